"""Certified points against routes that share no code with them: textbook formulas and scipy's linear programs."""

from __future__ import annotations

import math
import pickle
import tracemalloc
from typing import NamedTuple

import numpy as np
import pytest
from cases import PERCEPTIONS
from scipy.optimize import brentq, linprog

import cdp_toy as cdp
from cdp_toy import InfeasibleError, InputError, MemoryRefusedError, Status

Array = np.ndarray
catalogue = pytest.mark.parametrize("name", PERCEPTIONS)

#: Divergences that are infinite when mass falls on letters that the source never shows.
INFINITE_OUTSIDE = ("reverse_kl", "reverse_chi2")


# the independent route


class Tables(NamedTuple):
    """Raw tables of a random finite problem; everything else is derived here, not in the package."""

    priors: Array
    p_x_given_class: Array
    p_y_given_x: Array
    classifier: Array
    distortion: str | Array
    x_values: Array | None
    class_cost: Array | None

    def problem(self, name: str) -> cdp.DiscreteProblem:
        """The same problem, as the package poses it."""
        return cdp.DiscreteProblem.from_tables(
            self.priors,
            self.p_x_given_class,
            self.p_y_given_x,
            self.classifier,
            distortion=self.distortion,
            perception=name,
            x_values=self.x_values,
            class_cost=self.class_cost,
        )

    @property
    def joint(self) -> Array:
        """P(class, x, y)."""
        return self.priors[:, None, None] * self.p_x_given_class[:, :, None] * self.p_y_given_x[None]

    @property
    def p_x(self) -> Array:
        return self.joint.sum(axis=(0, 2))

    @property
    def p_y(self) -> Array:
        return self.joint.sum(axis=(0, 1))

    @property
    def error_weight(self) -> Array:
        """Error rate of a channel W is the sum of error_weight * W; shape (n_y, n_x)."""
        k = len(self.priors)
        cost = 1.0 - np.eye(k) if self.class_cost is None else self.class_cost
        return np.einsum("cxy,cj->yj", self.joint, cost[:, self.classifier])

    @property
    def distortion_weight(self) -> Array:
        """Distortion of a channel W is the sum of distortion_weight * W."""
        n_x = len(self.p_x)
        if isinstance(self.distortion, np.ndarray):
            delta = self.distortion
        elif self.distortion == "hamming":
            delta = 1.0 - np.eye(n_x)
        else:
            assert self.x_values is not None
            values = self.x_values.reshape(n_x, -1)
            delta = ((values[:, None, :] - values[None, :, :]) ** 2).sum(axis=2)
        return np.einsum("cxy,xj->yj", self.joint, delta)


def gradient(name: str, p: Array, q: Array) -> Array:
    """Gradient of a divergence in the output law, by hand; 0 in the coordinates of letters without source mass."""
    inside = p > 0
    p, r = np.where(inside, p, 1.0), np.where(inside, q, 1.0)
    if name.startswith("renyi:"):
        order = float(name.removeprefix("renyi:"))
        log_terms = np.where(inside, order * np.log(p) + (1 - order) * np.log(r), -np.inf)
        return np.where(inside, -np.exp(log_terms - np.logaddexp.reduce(log_terms)) / r, 0.0)
    slopes = {
        "kl": -p / r,
        "reverse_kl": np.log(r / p) + 1,
        "tv": np.sign(r - p) / 2,
        "hellinger_squared": -np.sqrt(p / r) / 2,
        "chi2": 1 - (p / r) ** 2,
        "reverse_chi2": 2 * (r - p) / p,
        "js": np.log(2 * r / (p + r)) / 2,
    }[name]
    outside = {"tv": 0.5, "chi2": 1.0, "js": math.log(2) / 2}.get(name, 0.0)
    return np.where(inside, slopes, outside)


def linear_program(
    weight: Array, tables: Tables, max_distortion: float, law_rows: Array, law_levels: Array, used: Array
) -> tuple[float, Array] | None:
    """min sum weight * W over channels with distortion <= D and law_rows @ q <= law_levels; None when infeasible.

    Of the channels within 1e-9 of the optimum, one whose output law is relatively nearest to the source law: vertices
    of a face of ties would make poor cuts.
    """
    n_y, n_x = weight.shape
    rows = [np.kron(tables.p_y, row) for row in law_rows]
    levels = list(law_levels)
    if math.isfinite(max_distortion):
        rows.append(tables.distortion_weight.ravel())
        levels.append(max_distortion)
    sums = np.kron(np.eye(n_y), np.ones(n_x))
    bounds = [(0, None if free else 0) for free in np.tile(used, n_y)]
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    upper = (np.array(rows), np.array(levels)) if rows else (None, None)
    answer = linprog(weight.ravel(), *upper, A_eq=sums, b_eq=np.ones(n_y), bounds=bounds, options=tight)
    if answer.status == 2:
        return None
    assert answer.status == 0, answer.message
    to_law = np.kron(tables.p_y, np.eye(n_x))
    radius = -np.maximum(tables.p_x, 1e-3)[:, None]
    limits = np.vstack([*rows, weight.ravel()])
    nearest = linprog(
        np.append(np.zeros(n_y * n_x), 1.0),
        np.vstack([np.pad(limits, [(0, 0), (0, 1)]), np.hstack([to_law, radius]), np.hstack([-to_law, radius])]),
        np.concatenate([levels, [answer.fun + 1e-9], tables.p_x, -tables.p_x]),
        A_eq=np.pad(sums, [(0, 0), (0, 1)]),
        b_eq=np.ones(n_y),
        bounds=[*bounds, (0, None)],
        options=tight,
    )
    channel = answer.x if nearest.status != 0 else nearest.x[:-1]
    return float(answer.fun), channel.reshape(n_y, n_x)


def touching(name: str, p: Array, q: Array, level: float) -> Array:
    """Where the segment from p to q leaves the divergence ball of a level."""
    low, high = -80.0, 0.0  # logarithm of the weight of p
    for _ in range(60):
        middle = (low + high) / 2
        weight = math.exp(middle)
        inside = PERCEPTIONS[name](p, weight * p - math.expm1(middle) * q) <= level
        low, high = (low, middle) if inside else (middle, high)
    return math.exp(low) * p - math.expm1(low) * q


def independent(
    name: str, tables: Tables, weight: Array, max_distortion: float, max_perception: float
) -> tuple[float, float]:
    """Bracket of a value by cutting planes: outer cuts until the law that they leave lies inside of the ball.

    Cuts touch a ball that is smaller by a slack. The last channel is feasible, so its value is the upper end; the same
    cuts moved out by their slack give the lower end. (inf, inf) when the cuts leave no channel.
    """
    p, formula = tables.p_x, PERCEPTIONS[name]
    bounded = math.isfinite(max_perception)
    used = p > 0 if name in INFINITE_OUTSIDE and bounded else np.ones(len(p), dtype=bool)
    if max_perception == 0 or not bounded:
        sides = np.vstack([np.eye(len(p)), -np.eye(len(p))]) if bounded else np.zeros((0, len(p)))
        found = linear_program(weight, tables, max_distortion, sides, sides @ p + 1e-12, used)
        return (math.inf, math.inf) if found is None else (found[0], found[0])
    rows: list[Array] = []
    ends: list[float] = []
    moved_out: list[float] = []
    for step in range(160):
        # linear programs are accurate to 1e-10 of the largest slope: where that is too coarse, allow more
        slack = max_perception * min(1e-4, 1e-9 / min(max_perception, 1.0)) * 10.0 ** (step // 40)
        found = linear_program(weight, tables, max_distortion, np.array(rows), np.array(ends), used)
        if found is None:
            return math.inf, math.inf
        channel = np.maximum(found[1], 0.0)
        q = np.where(used, tables.p_y @ (channel / channel.sum(axis=1, keepdims=True)), 0.0)
        if formula(p, q) <= max_perception:
            attained = float((weight * channel).sum())
            break
        level = max_perception - slack
        touch = touching(name, p, q, level)
        if np.abs(touch - q).max() < 1e-14:  # letters that want 1e-20 of mass are beyond what a program resolves
            attained = float((weight * channel).sum())
            break
        row = gradient(name, p, touch)
        row = row - row @ p  # laws sum to one
        scale = np.abs(row).max()
        rows.append(row / scale)
        ends.append(float(row @ touch + level - formula(p, touch)) / scale)
        moved_out.append(ends[-1] + slack / scale)
    else:
        raise AssertionError("cutting planes did not settle")
    relaxed = linear_program(weight, tables, max_distortion, np.array(rows), np.array(moved_out), used)
    assert relaxed is not None
    return relaxed[0], attained


def random_tables(rng: np.random.Generator, n_x: int | None = None) -> Tables:
    """Small problem with the awkward features of real ones: missing letters, ties, nearly deterministic channels."""
    k = int(rng.integers(1, 4)) if rng.random() < 0.3 else 2
    n_x = int(rng.integers(2, 6)) if n_x is None else n_x
    n_y = int(rng.integers(2, 6))
    priors = rng.dirichlet(np.ones(k))
    p_x_given_class = rng.dirichlet(np.full(n_x, rng.choice([0.3, 1.0, 5.0])), size=k)
    kind = rng.choice(["random", "sharp", "identity"], p=[0.5, 0.3, 0.2])
    if kind == "random":
        transition = rng.dirichlet(np.full(n_y, rng.choice([0.3, 1.0])), size=n_x)
    else:
        n_y = n_x if kind == "identity" else n_y
        blur = 0.0 if kind == "identity" else 10.0 ** rng.uniform(-7, -2)
        transition = (1 - blur) * np.eye(n_y)[rng.integers(n_y, size=n_x)] + blur / n_y
        if kind == "identity":
            transition = np.eye(n_x)
    if rng.random() < 0.2:  # a letter that the source never shows
        p_x_given_class[:, rng.integers(n_x)] = 0.0
    if rng.random() < 0.2 and kind == "random":  # an observation that never happens
        transition[:, rng.integers(n_y)] = 0.0
    if rng.random() < 0.2:  # two letters with the same noise
        transition[0] = transition[-1]
    for table in (p_x_given_class, transition):
        empty = table.sum(axis=1) == 0
        table[empty] = 1.0
        table /= table.sum(axis=1, keepdims=True)
    distortion: str | Array = str(rng.choice(["hamming", "squared_error"]))
    if rng.random() < 0.3:
        distortion = rng.integers(0, 3, size=(n_x, n_x)).astype(float)
    shape = (n_x,) if rng.random() < 0.7 else (n_x, 2)
    x_values = np.round(rng.normal(size=shape), int(rng.integers(0, 3)))  # rounding makes ties
    class_cost = rng.integers(0, 4, size=(k, k)).astype(float) if rng.random() < 0.3 else None
    return Tables(priors, p_x_given_class, transition, rng.integers(k, size=n_x), distortion, x_values, class_cost)


def assert_brackets_agree(point: cdp.Point, low: float, high: float) -> None:
    """Two brackets of one number overlap, up to the accuracy of the linear programs."""
    assert point.lower_bound <= high + 3e-8
    assert point.upper_bound >= low - 3e-8


def assert_certified(point: cdp.Solution, low: float, high: float) -> None:
    """Optimal at 1e-7, around the independent value, with a channel that is what it says it is."""
    assert_brackets_agree(point, low, high)
    assert point.status is Status.OPTIMAL, point.summary()
    assert point.gap <= 1e-7
    assert point.distortion <= point.max_distortion + point.feasibility_tol
    assert point.perception <= point.max_perception + point.feasibility_tol


# random problems against cutting planes


@pytest.mark.parametrize("seed", range(6))
@catalogue
def test_brackets_contain_the_value_of_cutting_planes(name: str, seed: int) -> None:
    rng = np.random.default_rng([seed, len(name)])
    tables = random_tables(rng)
    problem = tables.problem(name)
    level = float([10.0 ** rng.uniform(-4, -1), 1e-6, 0.0, math.inf, 50.0, 10.0 ** rng.uniform(-2, 0)][seed])
    least, attained = independent(name, tables, tables.distortion_weight, math.inf, level)
    bracket = cdp.min_distortion(problem, level)
    assert bracket.lower <= attained + 3e-8
    assert bracket.upper >= least - 3e-8
    assert bracket.gap <= 1e-7
    most = float(tables.distortion_weight.max(axis=1).sum())
    for limit in (least + (most - least) * 10.0 ** rng.uniform(-3, -0.3), attained + 1e-4, math.inf):
        point = cdp.solve(problem, limit, level, tol=1e-7)
        assert_certified(point, *independent(name, tables, tables.error_weight, limit, level))
    below = cdp.solve(problem, least - 1e-6, level, tol=1e-7, on_infeasible="return")
    assert below.status in (Status.INFEASIBLE, Status.UNDECIDED)
    if below.status is Status.INFEASIBLE:
        with pytest.raises(InfeasibleError, match="D_min") as caught:
            cdp.solve(problem, least - 1e-6, level)
        assert least - 1e-6 < caught.value.min_distortion.lower <= attained + 3e-8


@catalogue
def test_infeasibility_is_proven_not_only_suspected(name: str) -> None:
    rng = np.random.default_rng(5)
    tables = random_tables(rng)
    bracket = cdp.min_distortion(tables.problem(name), 0.01)
    point = cdp.solve(tables.problem(name), bracket.lower - 1e-6, 0.01, on_infeasible="return")
    assert point.status is Status.INFEASIBLE
    assert (point.lower_bound, point.upper_bound, point.gap) == (math.inf, math.inf, 0.0)
    assert "D_min" in point.summary()


# total variation against one linear program


@pytest.mark.parametrize("seed", range(8))
def test_total_variation_against_a_linear_program(seed: int) -> None:
    rng = np.random.default_rng([seed, 1])
    tables = random_tables(rng)
    n_y, n_x = tables.error_weight.shape
    level = float(rng.uniform(0, 0.3))
    to_law = np.kron(tables.p_y, np.eye(n_x))
    minus = -np.eye(n_x)  # |q - p| <= t with t as variables behind the channel
    above = [np.hstack([to_law, minus]), np.hstack([-to_law, minus])]
    total = np.append(np.zeros(n_y * n_x), np.full(n_x, 0.5))
    spread = np.append(tables.distortion_weight.ravel(), np.zeros(n_x))
    sums = np.hstack([np.kron(np.eye(n_y), np.ones(n_x)), np.zeros((n_y, n_x))])

    def value(weight: Array, limit: float) -> float:
        answer = linprog(
            np.append(weight.ravel(), np.zeros(n_x)),
            A_ub=np.vstack([*above, total, spread]),
            b_ub=np.concatenate([tables.p_x, -tables.p_x, [level, limit]]),
            A_eq=sums,
            b_eq=np.ones(n_y),
        )
        assert answer.status == 0
        return float(answer.fun)

    least = value(tables.distortion_weight, 1e3)
    for limit in (least + 1e-4, least + 0.03, 1e3):
        truth = value(tables.error_weight, limit)
        assert_certified(cdp.solve(tables.problem("tv"), limit, level, tol=1e-7), truth, truth)


# binary output alphabets: one unknown number


def ball_of_binary_laws(name: str, p: Array, level: float) -> tuple[float, float]:
    """Interval of q_1 whose law (1 - q_1, q_1) lies within a level of p."""

    def excess(q_1: float) -> float:
        return min(float(PERCEPTIONS[name](p, np.array([1 - q_1, q_1]))), 1e3) - level

    low = 0.0 if excess(0.0) <= 0 else brentq(excess, 0.0, p[1], xtol=1e-15)
    high = 1.0 if excess(1.0) <= 0 else brentq(excess, p[1], 1.0, xtol=1e-15)
    return low, high


@pytest.mark.parametrize("seed", range(4))
@catalogue
def test_binary_outputs_against_brentq(name: str, seed: int) -> None:
    rng = np.random.default_rng([seed, len(name), 2])
    tables = random_tables(rng, n_x=2)
    level = float([1e-6, 1e-3, 0.03, 0.2][seed])
    if tables.p_x.min() == 0 and name in INFINITE_OUTSIDE:
        low = high = float(tables.p_x[1])
    else:
        low, high = ball_of_binary_laws(name, tables.p_x, level)
    rows, ends = np.array([[0.0, -1.0], [0.0, 1.0]]), np.array([-low, high])
    free = np.ones(2, dtype=bool)
    found = linear_program(tables.distortion_weight, tables, math.inf, rows, ends, free)
    assert found is not None
    least = found[0]
    bracket = cdp.min_distortion(tables.problem(name), level)
    assert bracket.lower - 3e-8 <= least <= bracket.upper + 3e-8
    for limit in (least + 1e-4, least + 0.05, math.inf):
        found = linear_program(tables.error_weight, tables, limit, rows, ends, free)
        assert found is not None
        assert_certified(cdp.solve(tables.problem(name), limit, level, tol=1e-7), found[0], found[0])


# levels that need no solver


@catalogue
def test_infinite_levels_drop_their_constraint(name: str) -> None:
    tables = random_tables(np.random.default_rng(8))
    problem = tables.problem(name)
    free = cdp.solve(problem)
    floor = float(tables.error_weight.min(axis=1).sum())
    assert free.upper_bound == pytest.approx(floor, abs=1e-14)
    assert free.lower_bound == pytest.approx(floor, abs=1e-13)
    assert (free.price_distortion, free.price_perception) == (0.0, 0.0)
    huge = cdp.solve(problem, 1e6, 1e6, tol=1e-7)
    assert huge.status is Status.OPTIMAL
    assert huge.upper_bound == pytest.approx(floor, abs=1e-5)  # chi2 asks for some mass on every letter


@catalogue
def test_negative_levels_are_infeasible(name: str) -> None:
    problem = random_tables(np.random.default_rng(9)).problem(name)
    with pytest.raises(InfeasibleError, match="negative"):
        cdp.solve(problem, max_perception=-1e-9)
    with pytest.raises(InfeasibleError, match="D_min"):
        cdp.solve(problem, max_distortion=-0.1, max_perception=0.1)
    for levels in ({"max_perception": -1.0}, {"max_distortion": -1.0}):
        point = cdp.solve(problem, **levels, on_infeasible="return")
        assert point.status is Status.INFEASIBLE
        with pytest.raises(InputError, match="no channel"):
            _ = point.channel


# the paper's toy


TOY = cdp.presets.paper_toy().discretize(n=31)


def test_finer_cells_give_smaller_values_at_perception_zero() -> None:
    exact = 0.206362187422  # proven value of the continuous problem at P = 0 without a distortion level
    values = [
        cdp.solve(cdp.presets.paper_toy().discretize(n=n), max_perception=0.0, tol=1e-9).lower_bound for n in (31, 61)
    ]
    assert values[0] > values[1] > exact
    assert values[1] < exact + 1e-3


def test_published_value_of_the_toy() -> None:
    # the floor of the continuous toy is the Bayes error of Y, which cells keep exactly
    assert pytest.approx(0.204117333467, abs=5e-12) == TOY.error_floor
    point = cdp.solve(TOY, 0.75, 0.05)
    assert point.status is Status.OPTIMAL
    assert point.upper_bound == pytest.approx(TOY.error_floor, abs=1e-8)
    assert point.continuous_upper_bound == point.upper_bound
    assert "also bounds the continuous problem" in point.summary()


def test_samples_reproduce_the_certified_numbers() -> None:
    """The channel, run on the continuous model, has the error rate and the distortion that are claimed for it."""
    point = cdp.solve(TOY, 0.72, 0.004)
    rng = np.random.default_rng(2019)
    count = 100_000
    label = rng.random(count) < 0.3
    x = rng.normal(np.where(label, 1.0, -1.0))
    restored = point.sample(x + rng.normal(size=count), rng)
    wrong = (restored >= math.log(7 / 3) / 2) != label
    squares = (x - restored) ** 2
    assert abs(wrong.mean() - point.error_rate) < 4 * wrong.std() / math.sqrt(count)
    assert abs(squares.mean() - point.distortion) < 4 * squares.std() / math.sqrt(count)


def test_samples_of_tables_are_letters() -> None:
    point = cdp.solve(cdp.presets.binary_conflict().discretize(), 0.3, 0.05)
    y = np.random.default_rng(1).integers(2, size=(200, 100))
    letters = point.sample(y, np.random.default_rng(2))
    assert letters.shape == y.shape
    for k in range(2):
        share = letters[y == k].mean()
        assert abs(share - point.channel[k, 1]) < 4 * 0.5 / math.sqrt(np.sum(y == k))
    for wrong in ([2], [-1], [0.5]):
        with pytest.raises(InputError, match=r"letters 0 \.\. 1"):
            point.sample(wrong, np.random.default_rng(0))


def test_samples_of_points_are_letters_of_the_grid() -> None:
    point = cdp.solve(cdp.presets.paper_toy().discretize(n=21, kind="points"), 0.8, 0.05, tol=1e-6)
    assert point.continuous_upper_bound is None
    drawn = point.sample(np.linspace(-9, 9, 50), np.random.default_rng(0))
    assert set(drawn) <= set(point.problem.x_values[:, 0])


# options


def test_tolerance_is_what_it_says() -> None:
    loose = cdp.solve(TOY, 0.72, 0.004, tol=1e-3)
    tight = cdp.solve(TOY, 0.72, 0.004, tol=1e-9)
    assert loose.status is Status.OPTIMAL
    assert tight.gap <= loose.gap <= 1e-3
    assert tight.status is (Status.OPTIMAL if tight.gap <= 1e-9 else Status.INEXACT)
    assert loose.lower_bound <= tight.upper_bound
    assert tight.lower_bound <= loose.upper_bound
    # rounding forbids a proof to 1e-18, and the status says so
    assert cdp.solve(TOY, tol=1e-18).status is Status.INEXACT


def test_a_warm_start_is_used() -> None:
    first = cdp.solve(TOY, 0.72, 0.004)
    again = cdp.solve(TOY, 0.72, 0.004, warm_start=first)
    assert first.status is again.status is Status.OPTIMAL
    assert again.solver == f"warm start ({first.solver})"
    assert again.upper_bound == pytest.approx(first.upper_bound, abs=1e-14)
    assert again.lower_bound == pytest.approx(first.lower_bound, abs=1e-13)
    # and is harmless where it does not fit
    elsewhere = cdp.solve(TOY, 0.80, 0.002, warm_start=first)
    cold = cdp.solve(TOY, 0.80, 0.002)
    assert elsewhere.status is Status.OPTIMAL
    assert max(elsewhere.lower_bound, cold.lower_bound) <= min(elsewhere.upper_bound, cold.upper_bound)


def test_an_infeasible_warm_start_is_harmless() -> None:
    nothing = cdp.solve(TOY, 0.5, 0.004, on_infeasible="return")
    assert nothing.status is Status.INFEASIBLE
    assert cdp.solve(TOY, 0.75, 0.05, warm_start=nothing).status is Status.OPTIMAL


def test_a_known_boundary_saves_work_and_changes_nothing() -> None:
    bracket = cdp.min_distortion(TOY, 0.004)
    limit = bracket.upper + 1e-4
    plain, informed = cdp.solve(TOY, limit, 0.004), cdp.solve(TOY, limit, 0.004, boundary=bracket)
    assert max(plain.lower_bound, informed.lower_bound) <= min(plain.upper_bound, informed.upper_bound)
    with pytest.raises(InfeasibleError, match=r"D_min = 0\.\d+"):
        cdp.solve(TOY, bracket.lower - 1e-3, 0.004, boundary=bracket)


def test_requests_that_make_no_sense_are_refused() -> None:
    toy = cdp.presets.paper_toy()
    with pytest.raises(TypeError, match=r"discretize.*enclose"):
        cdp.solve(toy)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"unknown solver 'referense'; did you mean 'reference'\?"):
        cdp.solve(TOY, solver="referense")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="did you mean 'return'"):
        cdp.solve(TOY, on_infeasible="returns")  # type: ignore[arg-type]
    for name in ("max_distortion", "max_perception"):
        with pytest.raises(InputError, match=f"{name} is NaN"):
            cdp.solve(TOY, **{name: math.nan})
        with pytest.raises(InputError, match=f"{name} must be a number"):
            cdp.solve(TOY, **{name: "much"})
    for tol in (0.0, -1e-8, math.nan, math.inf):
        with pytest.raises(InputError, match="tol must be a positive number"):
            cdp.solve(TOY, tol=tol)
    other = cdp.solve(toy.discretize(n=21), 0.75, 0.05, tol=1e-3)
    with pytest.raises(InputError, match=r"warm_start .*\(21, 21\).*\(31, 31\)"):
        cdp.solve(TOY, warm_start=other)


def test_grids_beyond_memory_are_refused_before_anything_is_allocated(monkeypatch: pytest.MonkeyPatch) -> None:
    grid = cdp.presets.paper_toy().discretize(n=20_001)
    monkeypatch.setattr("cdp_toy.validation.physical_memory", lambda: 4 << 30)
    tracemalloc.start()
    try:
        for solver in ("interior_point", "reference"):
            with pytest.raises(MemoryRefusedError, match="GiB"):
                cdp.solve(grid, 0.7, 0.01, solver=solver)
        with pytest.raises(MemoryRefusedError, match="linear program with 400,040,001 pairs"):
            cdp.solve(grid, 0.7, 0.0)
        assert tracemalloc.get_traced_memory()[1] < 200e6
    finally:
        tracemalloc.stop()


# pickling


def test_points_and_errors_survive_pickling() -> None:
    point = cdp.solve(TOY, 0.72, 0.004)
    copy = pickle.loads(pickle.dumps(point))
    assert copy.summary() == point.summary()
    assert np.array_equal(copy.channel, point.channel)
    assert np.array_equal(copy.potential, point.potential)
    assert copy.hyperplane == point.hyperplane
    assert cdp.solve(copy.problem, 0.72, 0.004, warm_start=copy).status is Status.OPTIMAL
    with pytest.raises(InfeasibleError) as caught:
        cdp.solve(TOY, 0.5, 0.004)
    error = pickle.loads(pickle.dumps(caught.value))
    assert str(error) == str(caught.value)
    assert error.min_distortion.lower == caught.value.min_distortion.lower
    assert np.array_equal(error.min_distortion.witness.toarray(), caught.value.min_distortion.witness.toarray())
