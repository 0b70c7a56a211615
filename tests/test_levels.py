"""Coarser problems, column generation and levels against all pairs and the reference.

What the methods return is certified anyway; here is what they are meant to find.
"""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
from cases import model_problem
from numpy.testing import assert_allclose

import cdp_toy as cdp
from cdp_toy.certificates import Program, channel_of, dual_bound, evaluate
from cdp_toy.coarsening import Grouped, coarser, lattice_of
from cdp_toy.costs import SquaredErrorCost
from cdp_toy.edges import cheap_anchors, coupling
from cdp_toy.perceptions import perception_from
from cdp_toy.solvers import columns, engine, levels
from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.interior_point import COLD_BARRIER, Start

Array = np.ndarray
DIVERGENCES = ["kl", "js", "reverse_kl", "hellinger_squared", "chi2", "renyi:2"]

#: name -> finite problem with more pairs than are solved at once
GRIDS: dict[str, cdp.DiscreteProblem] = {
    "toy": cdp.presets.paper_toy().discretize(n=101),
    "threshold_0": cdp.presets.paper_toy(threshold=0.0).discretize(n=61),
    "three_classes": cdp.presets.three_classes().discretize(n=61),
    "plane": cdp.presets.plane_toy().discretize(n=10),
    "plane_curved": cdp.presets.plane_curved().discretize(n=(10, 9), n_y=8),
    "inpainting": cdp.presets.inpainting().discretize(n=9, n_y=40),
}
every_grid = pytest.mark.parametrize("name", GRIDS)


def under(grid: cdp.DiscreteProblem, divergence: str) -> cdp.DiscreteProblem:
    return dataclasses.replace(grid, perception=perception_from(divergence))


def lattice(grid: cdp.DiscreteProblem) -> Grouped:
    found = lattice_of(grid)
    assert found is not None
    return found


def whole(decision: Array) -> Array:
    return decision.max(axis=1) > 1 - 1e-12


# coarser problems

COARSE = [*GRIDS, "erased", "plane_erased", "plane_quadratic", "histogram_2d", "independent_pair"]


@cache
def grid_of(name: str) -> cdp.DiscreteProblem:
    return GRIDS[name] if name in GRIDS else model_problem(name)


@pytest.mark.parametrize("name", COARSE)
def test_a_coarser_problem_adds_laws_and_averages_the_rest(name: str) -> None:
    fine = lattice(grid_of(name))
    coarse = coarser(fine)
    a, b = fine.problem, coarse.problem
    assert (len(coarse.group_y), len(coarse.group_x)) == a.shape
    to_y, to_x = (np.eye(n)[group] for n, group in zip(b.shape, (coarse.group_y, coarse.group_x), strict=True))
    assert to_y.any(axis=0).all()
    assert to_x.any(axis=0).all()
    assert_allclose(b.p_y, a.p_y @ to_y, rtol=1e-13)
    assert_allclose(b.p_x, a.p_x @ to_x, rtol=1e-13)
    costs = [cast(SquaredErrorCost, problem.distortion_cost) for problem in (a, b)]
    weighted = [
        (b.p_y[:, None] * b.posterior, to_y.T @ (a.p_y[:, None] * a.posterior)),
        (b.p_y[:, None] * b.error_cost.decision_cost, to_y.T @ (a.p_y[:, None] * a.error_cost.decision_cost)),
        (b.p_x[:, None] * b.error_cost.decision, to_x.T @ (a.p_x[:, None] * a.error_cost.decision)),
        (b.p_y[:, None] * costs[1].mean_y, to_y.T @ (a.p_y[:, None] * costs[0].mean_y)),
        (b.p_x[:, None] * costs[1].mean_x, to_x.T @ (a.p_x[:, None] * costs[0].mean_x)),
        (b.p_y * costs[1].variance_y, (a.p_y * costs[0].variance_y) @ to_y),
        (b.p_x * costs[1].variance_x, (a.p_x * costs[0].variance_x) @ to_x),
    ]
    for left, right in weighted:
        assert_allclose(left, right, rtol=1e-12, atol=1e-15)
    assert b.error_cost.decision.sum(axis=1) == pytest.approx(1)


@pytest.mark.parametrize("name", COARSE)
def test_classes_and_cut_cells_are_kept_apart_and_neighbours_merged(name: str) -> None:
    fine = lattice(grid_of(name))
    coarse = coarser(fine)
    decision = fine.problem.error_cost.decision
    kind = np.where(whole(decision), decision.argmax(axis=1), -1)
    for group in range(coarse.problem.n_x):
        members = np.flatnonzero(coarse.group_x == group)
        assert len(np.unique(kind[members])) == 1
        assert np.ptp(fine.place_x[members], axis=0).max() <= (2 if fine.place_x.shape[1] == 1 else 1)
    for group in range(coarse.problem.n_y):
        assert np.ptp(fine.place_y[coarse.group_y == group], axis=0).max() <= (2 if fine.place_x.shape[1] == 1 else 1)
    assert coarse.problem.n_y < fine.problem.n_y
    assert coarse.problem.n_x < fine.problem.n_x


@pytest.mark.parametrize("name", ["erased", "plane_erased"])
def test_an_erased_observation_is_merged_with_nothing(name: str) -> None:
    grouped = lattice(model_problem(name))
    last = grouped.problem.p_y[-1]
    for _ in range(4):
        grouped = coarser(grouped)
        alone = np.flatnonzero(np.abs(grouped.problem.p_y - last) < 1e-15)
        assert len(alone) == 1
        assert grouped.place_y[alone[0]].max() < -1_000_000


@every_grid
@pytest.mark.parametrize("divergence", ["kl", "hellinger_squared"])
def test_a_coarser_channel_gives_a_finer_one(name: str, divergence: str) -> None:
    """Spread by mass over the members: equal error rate and divergence, and the variance within letters on top."""
    fine = lattice(under(GRIDS[name], divergence))
    coarse = coarser(fine)
    a, b = fine.problem, coarse.problem
    point = cdp.solve(b, max_perception=0.01, tol=1e-4)
    share = a.p_x / b.p_x[coarse.group_x]
    channel = point.channel[np.ix_(coarse.group_y, coarse.group_x)] * share
    lifted = evaluate(Program(a, a.error_cost), channel_of(Program(a, a.error_cost), a.p_y[:, None] * channel))
    assert lifted.error_rate == pytest.approx(point.error_rate, abs=1e-12)
    assert lifted.perception == pytest.approx(point.perception, abs=1e-12)
    mine, theirs = (cast(SquaredErrorCost, problem.distortion_cost) for problem in (a, b))
    output = b.p_y @ point.channel
    within = a.p_y @ ((mine.mean_y - theirs.mean_y[coarse.group_y]) ** 2).sum(axis=1)
    within += (output[coarse.group_x] * share) @ ((mine.mean_x - theirs.mean_x[coarse.group_x]) ** 2).sum(axis=1)
    assert within > 1e-3
    assert lifted.distortion == pytest.approx(point.distortion + within, abs=1e-11)
    assert cdp.solve(a, max_perception=0.01, tol=1e-4).lower_bound <= point.upper_bound


def test_merging_may_cost_distortion() -> None:
    """Four letters seen as they are, in two groups cut elsewhere than the observations: no relaxation in distortion."""
    letters = np.arange(4.0)
    fine = lattice(
        cdp.DiscreteProblem.from_tables(
            [0.5, 0.5], np.full((2, 4), 0.25), np.eye(4), [0, 1, 1, 1], "squared_error", "kl", letters
        )
    )
    coarse = coarser(fine).problem
    assert coarse.shape == (2, 3)
    assert cdp.min_distortion(fine.problem, 0.0).upper == pytest.approx(0.0, abs=1e-12)
    assert cdp.min_distortion(coarse, 0.0).lower > 0.1


def test_problems_without_geometry_have_no_lattice() -> None:
    assert lattice_of(cdp.presets.binary_conflict().discretize()) is None
    assert lattice_of(line_tables(8, 7)) is not None
    assert lattice_of(plane_tables(8, 7)) is None


@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("count", [1, 4, 5, 30])
def test_interpolation_between_levels(dim: int, count: int) -> None:
    """A linear function comes back from five places on; from fewer, the nearest place's value."""
    rng = np.random.default_rng([dim, count])
    places, targets, slope = rng.normal(size=(count, dim)), rng.normal(size=(9, dim)), rng.normal(size=dim)
    values = levels._interpolated(places, places @ slope + 2.0, targets)
    nearest = ((targets[:, None] - places) ** 2).sum(axis=2).argmin(axis=1)
    expected = (targets if count >= 5 else places[nearest]) @ slope + 2.0
    assert_allclose(values, expected, atol=1e-9)


# column generation


@pytest.mark.parametrize("name", ["threshold_0", "plane"])
@pytest.mark.parametrize("divergence", ["kl", "reverse_kl", "renyi:2"])
def test_columns_from_a_poor_start_reach_the_optimum_of_all_pairs(name: str, divergence: str) -> None:
    """The start's potential has either sign: with renyi:2 no law asks for what is below -kap."""
    grid = under(GRIDS[name], divergence)
    limit = cdp.min_distortion(grid, 0.01).upper + 0.02
    program = Program(grid, grid.error_cost, limit, 0.01)
    start = Start(1.0, 1.0, np.random.default_rng(1).normal(size=grid.n_x), 0.1)
    anchor = next(a for a in cheap_anchors(Program(grid, grid.error_cost, 10.0, 1.0)) if a.feasible)
    local = columns.heavy_pairs(coupling(grid), grid)
    answer = columns.generate(program, start, 1e-11, Budget(), local, lambda: columns.heavy_pairs(anchor.channel, grid))
    assert answer is not None
    assert answer.joint.nnz < 0.6 * grid.n_y * grid.n_x
    whole_problem = cdp.solve(grid, limit, 0.01, solver="interior_point")
    assert whole_problem.status is cdp.Status.OPTIMAL
    proven = dual_bound(program, answer.price_distortion, answer.potential).value
    assert whole_problem.lower_bound - 1e-8 <= proven <= whole_problem.upper_bound
    found = evaluate(program, channel_of(program, answer.joint))
    assert found.objective == pytest.approx(whole_problem.upper_bound, abs=1e-8)
    assert found.violation <= 1e-8


def test_a_spent_budget_ends_column_generation() -> None:
    grid = GRIDS["threshold_0"]
    program = Program(grid, grid.error_cost, 0.7, 0.01)
    nothing = np.zeros(0, dtype=np.int64)
    for count in (1, 5):
        budget = Budget(count)
        columns.generate(program, Start(1.0, 1.0, np.zeros(grid.n_x), 0.1), 1e-11, budget, nothing, lambda: nothing)
        assert budget.spent
        assert budget.iterations_left == 0


class Fake(NamedTuple):
    """What `_solved` looks at in an answer."""

    merit: float


@pytest.mark.parametrize(
    "merits, adds, chosen, tries",
    [
        ([1e-12], True, 0, 1),
        ([5e-7, 6e-7, 1e-5, 2e-5], True, 0, 4),  # a retry that fails worse does not count
        ([1e-2, None, 1e-12], True, 2, 3),
        ([None, None, None, 1e-12], True, 3, 4),
        ([1e-2, None, 1e-3], False, 2, 3),  # the same program again would fail again
    ],
)
def test_the_best_attempt_at_a_round_counts(
    merits: list[float | None], adds: bool, chosen: int, tries: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From the state that was kept, from prices, from prices far from the end, with the pairs of a feasible channel."""
    grid = GRIDS["threshold_0"]
    program = Program(grid, grid.error_cost, 0.7, 0.01)
    seen: list[tuple[int, Any]] = []

    def solve_on(program: Program, keys: Array, goal: float, budget: Budget, start: Any) -> Fake | None:
        seen.append((len(keys), start))
        merit = merits[len(seen) - 1]
        return None if merit is None else Fake(merit)

    monkeypatch.setattr(columns, "solve_on", solve_on)
    prices, kept, keys = Start(1.0, 1.0, np.zeros(grid.n_x), 0.02), object(), np.arange(50)
    more = np.arange(60) if adds else keys
    best, last = columns._solved(program, keys, 1e-12, Budget(), (prices, cast(Any, kept)), lambda: more)
    assert best is not None
    assert best.merit == merits[chosen]
    assert len(seen) == tries
    far = prices._replace(barrier=COLD_BARRIER)
    assert [start for _, start in seen] == [kept, prices, far, far][:tries]
    assert [size for size, _ in seen] == [50, 50, 50, 60][:tries]
    assert len(last) == (60 if tries == 4 else 50)


# levels against all pairs

LEVELS = [(1e-5, 1e-3), (1e-3, 0.05), (0.05, 1e-6), (1e-3, 1e-3), (0.05, 0.05), (1e-5, 0.05)]


def assert_agree(first: cdp.Solution, second: cdp.Solution) -> None:
    """Two brackets of one number meet."""
    assert first.lower_bound <= second.upper_bound
    assert second.lower_bound <= first.upper_bound
    assert abs(first.upper_bound - second.upper_bound) <= first.gap + second.gap


@every_grid
@pytest.mark.parametrize("divergence", DIVERGENCES)
def test_levels_agree_with_all_pairs(name: str, divergence: str) -> None:
    """Every problem under every divergence at one pair of levels; all pairs of levels come up under each divergence."""
    grid = under(GRIDS[name], divergence)
    level, spare = LEVELS[(list(GRIDS).index(name) + DIVERGENCES.index(divergence)) % len(LEVELS)]
    least = cdp.min_distortion(grid, level)
    assert least.gap <= 1e-9
    assert cdp.which_solver(grid, 1.0, level) in ("cuts", "levels")
    usual, by_levels, every = (
        cdp.solve(grid, least.upper + spare, level, boundary=least, solver=solver)
        for solver in ("auto", "levels", "interior_point")
    )
    assert usual.status is cdp.Status.OPTIMAL
    assert_agree(usual, every)
    assert_agree(by_levels, every)


@every_grid
@pytest.mark.parametrize("divergence", ["kl", "reverse_kl"])
def test_levels_alone_suffice_off_the_boundary(name: str, divergence: str) -> None:
    grid = under(GRIDS[name], divergence)
    least = cdp.min_distortion(grid, 1e-3)
    point = cdp.solve(grid, least.upper + 1e-3, 1e-3, boundary=least, solver="levels")
    assert point.status is cdp.Status.OPTIMAL
    assert point.solver == "interior point through levels"


@pytest.mark.parametrize(
    "name, divergence, level, spare",
    [("plane_curved", "js", 1e-3, 1e-3), ("toy", "chi2", 1e-3, 0.05), ("threshold_0", "kl", 1e-3, 1e-6)],
)
def test_what_levels_leave_open_is_closed_by_all_pairs(name: str, divergence: str, level: float, spare: float) -> None:
    """A support that carries no channel so close to the boundary, and ties where the distortion level is slack."""
    grid = under(GRIDS[name], divergence)
    least = cdp.min_distortion(grid, level)
    alone = cdp.solve(grid, least.upper + spare, level, boundary=least, solver="levels", tol=1e-7)
    point = cdp.solve(grid, least.upper + spare, level, boundary=least, tol=1e-7)
    assert point.status is cdp.Status.OPTIMAL
    assert alone.lower_bound <= point.upper_bound + 1e-12
    assert point.lower_bound <= alone.upper_bound + 1e-12


# tables


def line_tables(n_x: int, n_y: int) -> cdp.DiscreteProblem:
    """Letters on the line in no order, two smooth classes, observations by noise."""
    rng = np.random.default_rng([n_x, n_y])
    places = rng.normal(size=n_x) * 2
    laws = np.exp(-((places[None] - [[-1.0], [1.0]]) ** 2))
    noise = np.exp(-((places[:, None] - np.linspace(-4, 4, n_y)) ** 2) / 0.8) + 1e-9
    return tables(laws, noise, places)


def plane_tables(n_x: int, n_y: int) -> cdp.DiscreteProblem:
    """Scattered letters of the plane: no lattice to make coarser problems on."""
    rng = np.random.default_rng([n_x, n_y, 2])
    places, seen = rng.normal(size=(n_x, 2)) * 1.5, rng.normal(size=(n_y, 2)) * 1.5
    laws = np.exp(-((places[None] - np.array([[-1.0, 0.0], [1.0, 0.5]])[:, None]) ** 2).sum(axis=2))
    noise = np.exp(-((places[:, None] - seen) ** 2).sum(axis=2)) + 1e-9
    return tables(laws, noise, places)


def tables(laws: Array, noise: Array, places: Array) -> cdp.DiscreteProblem:
    laws, noise = (rows / rows.sum(axis=1, keepdims=True) for rows in (laws, noise))
    classifier = (places if places.ndim == 1 else places[:, 0]) > 0.2
    return cdp.DiscreteProblem.from_tables(
        [0.6, 0.4], laws, noise, classifier.astype(int), distortion="squared_error", x_values=places
    )


@pytest.mark.parametrize("maker", [line_tables, plane_tables])
@pytest.mark.parametrize("level", [1e-3, 0.05])
def test_tables_are_solved_with_geometry_and_without(maker: Any, level: float, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = maker(120, 90)
    merged = []
    monkeypatch.setattr(levels, "coarser", lambda fine: merged.append(fine) or coarser(fine))
    least = cdp.min_distortion(problem, level)
    for spare in (1e-3, 0.05):
        limit = least.upper + spare
        usual, every = (
            cdp.solve(problem, limit, level, boundary=least, solver=solver) for solver in ("levels", "interior_point")
        )
        assert usual.status is cdp.Status.OPTIMAL
        assert_agree(usual, every)
    assert bool(merged) is (maker is line_tables)


# D_flat


@pytest.mark.parametrize("level", [0.006, 0.05])
def test_the_flat_distortion_through_levels(level: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """At n = 31 against the reference, at n = 101 against all pairs."""
    small, large = (cdp.presets.paper_toy().discretize(n=n) for n in (31, 101))
    usual = [cdp.flat_distortion(grid, level) for grid in (small, large)]
    assert all(bracket is not None and bracket.gap <= 1e-8 for bracket in usual)
    slow = [flat_by(grid, level, solver) for grid, solver in ((small, "reference"), (large, "interior_point"))]
    for mine, (lower, upper) in zip(cast(list[cdp.Bracket], usual), slow, strict=True):
        assert upper - lower <= 1e-6
        assert mine.lower <= upper
        assert lower <= mine.upper
    # cells of the same model: the finer grid is near the coarser one, and allows no more distortion
    assert 0 < usual[0].upper - usual[1].upper < 0.1


@pytest.mark.parametrize(
    "grid, level",
    [(cdp.presets.plane_toy().discretize(n=21), 0.05), (cdp.presets.paper_toy().discretize(n=421), 0.006)],
)
def test_the_flat_distortion_of_a_problem_too_large_for_all_pairs(grid: cdp.DiscreteProblem, level: float) -> None:
    """Blocks of a coarser level's pairs hold pairs that are not error-optimal, and those must not be used."""
    assert grid.n_y * grid.n_x > engine.MOST_PAIRS_FOR_ALL
    flat, least = cdp.flat_distortion(grid, level), cdp.min_distortion(grid, level)
    assert flat is not None
    assert flat.gap <= 1e-8
    assert flat.lower > least.upper + 1e-3
    assert flat.witness is not None
    error_rate = grid.error_cost.profile_cost.min(axis=1) @ grid.p_y
    found = evaluate(Program(grid, grid.error_cost, math.inf, level), flat.witness)
    assert found.feasible
    assert found.error_rate == pytest.approx(error_rate, abs=1e-12)


def flat_by(grid: cdp.DiscreteProblem, level: float, solver: Any) -> tuple[float, float]:
    """D_flat(P) with one method: the program of least distortion on the error-optimal pairs."""
    from cdp_toy.solvers.engine import certify

    cost = grid.error_cost.profile_cost
    allowed = cost <= cost.min(axis=1, keepdims=True) + 1e-14
    found = certify(Program(grid, grid.distortion_cost, math.inf, level, allowed), 1e-8, solver=solver)
    return found.bound.value, found.upper
