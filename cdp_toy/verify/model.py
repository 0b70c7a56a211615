"""The setting: a problem in exact rationals, with every condition of the theorem proven."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from cdp_toy.verify.exact import RATIONAL, brief, demand, fields, index, listed, need, number, pair

MOST_GAUSSIANS = 64
KEYS = ("priors", "means", "weights", "stds", "noise_std", "threshold", "classes", "perception")
PERCEPTION = re.compile(r"kl|reverse_kl|hellinger_squared|chi2|reverse_chi2|js|renyi:(" + RATIONAL.pattern + ")")


@dataclass(frozen=True)
class Model:
    """Problem in exact rationals: distinct means in order, joint weights of the other and the rising class at each."""

    means: list[Fraction]
    weights: list[tuple[Fraction, Fraction]]
    variance: Fraction
    noise: Fraction
    threshold: Fraction | None
    perception: str

    @property
    def one_sided(self) -> bool:
        """Is one class nowhere the less likely one? It shows at the end where u_k / f_k favours the other."""
        (first_other, first_rising), (last_other, last_rising) = self.weights[0], self.weights[-1]
        return first_rising >= first_other or last_rising <= last_other


def read_problem(problem: object) -> Model:
    """Model of a certificate's problem, with every condition of the setting proven in rationals."""
    given = fields(problem, KEYS, "problem")
    priors = [number(prior, "priors") for prior in pair(given["priors"], "priors")]
    tables: dict[str, list[list[Fraction]]] = {}
    for key in ("means", "weights", "stds"):
        table = [listed(row, key) for row in pair(given[key], key)]
        need(sum(map(len, table)) <= MOST_GAUSSIANS, f"{key}: more than {MOST_GAUSSIANS} Gaussians")
        tables[key] = [[number(value, key) for value in row] for row in table]
    shapes = {tuple(map(len, table)) for table in tables.values()}
    need(len(shapes) == 1 and 0 not in shapes.pop(), "means, weights and stds differ in shape, or a class is empty")
    noise = number(given["noise_std"], "noise_std")
    stds = {std for row in tables["stds"] for std in row}
    demand(sum(priors) == 1 and min(priors) >= 0, "the priors are no probabilities that sum to 1")
    for row in tables["weights"]:
        demand(sum(row) == 1 and min(row) >= 0, "the weights of a class are no probabilities that sum to 1")
    demand(min(stds) > 0 and noise > 0, "a standard deviation is not positive")
    need(min(priors) > 0, "both priors must be positive")
    need(len(stds) == 1, "the theorem needs one std for all Gaussians of X")
    name = given["perception"]
    need(isinstance(name, str) and bool(PERCEPTION.fullmatch(name)), f"unknown perception {brief(name)}")
    if name.startswith("renyi"):
        order = number(name[6:], "perception")
        need(order > 0 and order != 1, "the order of renyi must be positive and not 1")
    classes = [index(c, "classes", 2) for c in pair(given["classes"], "classes")]
    need(classes[0] != classes[1], "classes: the class below and the class above the threshold are the same")
    joint: dict[Fraction, list[Fraction]] = {}
    for side, c in enumerate(classes):
        for mean, weight in zip(tables["means"][c], tables["weights"][c], strict=True):
            if weight:
                joint.setdefault(mean, [Fraction(0), Fraction(0)])[side] += priors[c] * weight
    means = sorted(joint)
    weights = [(joint[mean][0], joint[mean][1]) for mean in means]
    ordered = all(f * above >= other * u for k, (f, u) in enumerate(weights) for other, above in weights[k + 1 :])
    need(ordered, "the means of the class above the threshold are not above the others in likelihood-ratio order")
    threshold = None if given["threshold"] == "bayes" else number(given["threshold"], "threshold")
    return Model(means, weights, stds.pop() ** 2, noise**2, threshold, name)
