"""The catalogue the tests run over. To test a new divergence, source or problem under every law, add its line here."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from scipy.special import rel_entr

import cdp_toy as cdp

Law = np.ndarray


def over(numerator: Law, denominator: Law) -> Law:
    """Quotient with 0/0 = 0 and a/0 = inf."""
    safe = np.where(denominator == 0, 1.0, denominator)
    return np.where(denominator == 0, np.where(numerator == 0, 0.0, np.inf), numerator / safe)


#: name -> textbook formula in the source law p and the output law q
PERCEPTIONS: dict[str, Callable[[Law, Law], float]] = {
    "kl": lambda p, q: rel_entr(p, q).sum(),
    "reverse_kl": lambda p, q: rel_entr(q, p).sum(),
    "tv": lambda p, q: np.abs(p - q).sum() / 2,
    "hellinger_squared": lambda p, q: 1 - np.sqrt(p * q).sum(),
    "chi2": lambda p, q: over((p - q) ** 2, q).sum(),
    "reverse_chi2": lambda p, q: over((q - p) ** 2, p).sum(),
}

#: name -> continuous source
SOURCES: dict[str, Callable[[], cdp.GaussianMixture]] = {
    "paper_toy": lambda: cdp.GaussianMixture((0.7, 0.3), (-1.0, 1.0)),
    "one_class": lambda: cdp.GaussianMixture((1.0,), (0.5,), 2.0),
    "unequal_stds": lambda: cdp.GaussianMixture((0.5, 0.5), (0.0, 0.0), (1.0, 3.0)),
    "mixture_of_mixtures": lambda: cdp.presets.three_classes().source,
    "equal_weights": lambda: cdp.GaussianMixture((0.2, 0.8), ((-3.0, 0.0, 1.0), (2.0,)), 0.5),
    "empty_class": lambda: cdp.GaussianMixture((0.6, 0.4, 0.0), (-1.0, 1.0, 0.0)),
}

#: name -> problem and the arguments that make a small finite problem of it
PROBLEMS: dict[str, Callable[[], tuple[cdp.CDPProblem, dict[str, object]]]] = {
    "paper_toy": lambda: (cdp.presets.paper_toy(), {"n": 41}),
    "threshold_0": lambda: (cdp.presets.paper_toy(threshold=0.0), {"n": 41, "n_y": 60}),
    "points": lambda: (cdp.presets.paper_toy(), {"n": 41, "kind": "points"}),
    "wide_bounds": lambda: (cdp.presets.paper_toy(), {"n": 61, "bounds": (-20.0, 20.0)}),
    "narrow_bounds": lambda: (cdp.presets.paper_toy(), {"n": 21, "bounds": (1.0, 3.0)}),
    "three_classes": lambda: (cdp.presets.three_classes(), {"n": 41}),
    "three_classes_points": lambda: (cdp.presets.three_classes(), {"n": 30, "n_y": 25, "kind": "points"}),
    "identity": lambda: (cdp.CDPProblem(SOURCES["paper_toy"](), cdp.Identity(), cdp.BayesClassifier()), {"n": 21}),
    "two_boundaries": lambda: (
        cdp.CDPProblem(SOURCES["unequal_stds"](), cdp.AdditiveGaussian(0.5), cdp.BayesClassifier(), perception="tv"),
        {"n": 35},
    ),
    "empty_class": lambda: (
        cdp.CDPProblem(SOURCES["empty_class"](), cdp.AdditiveGaussian(1.0), cdp.BayesClassifier()),
        {"n": 25},
    ),
    "class_cost": lambda: (
        cdp.CDPProblem(
            SOURCES["paper_toy"](),
            cdp.AdditiveGaussian(1.0),
            cdp.BayesClassifier(),
            class_cost=np.array([[0.0, 1.0], [5.0, 0.0]]),
        ),
        {"n": 31},
    ),
    "binary_conflict": lambda: (cdp.presets.binary_conflict(), {}),
    "letters_in_noise": lambda: (
        cdp.CDPProblem(
            cdp.TableSource([0.7, 0.3], [[0.5, 0.4, 0.1], [0.0, 0.2, 0.8]], [-1.0, 0.0, 2.0]),
            cdp.AdditiveGaussian(0.7),
            cdp.ThresholdClassifier(1.0),
        ),
        {"n": 30},
    ),
}


def finite_problem(name: str) -> cdp.DiscreteProblem:
    """Small finite problem of the catalogue."""
    problem, arguments = PROBLEMS[name]()
    return problem.discretize(**arguments)
