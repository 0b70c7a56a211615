"""Newton's method on cuts for problems on the line: its bounds, its laws, where it does not apply, and its users."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from typing import Any

import numpy as np
import pytest
from cases import MODELS, finite_problem, model_problem, small
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array, diags_array

import cdp_toy as cdp
from cdp_toy.boundary import error_optimal
from cdp_toy.certificates import Program, dual_bound, evaluate
from cdp_toy.costs import ClassCost, SquaredErrorCost
from cdp_toy.edges import coupling
from cdp_toy.perceptions import perception_from
from cdp_toy.solvers import line_loops, line_newton, line_route
from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.bulk_duals import Multipliers, bulk_dual_bounds
from cdp_toy.solvers.engine import Certified, certify
from cdp_toy.solvers.line import LineProblem, line_problem, next_to
from cdp_toy.solvers.line_loops import LineLoops
from cdp_toy.solvers.line_newton import Best, Task, best_laws
from cdp_toy.surfaces.geometry import Scale
from cdp_toy.tracing.bulk_mixing import CHUNK, BulkMixer
from cdp_toy.tracing.finite_oracle import FiniteOracle
from cdp_toy.tracing.mixing import Channel
from cdp_toy.tracing.mixtures import Attained, Plane, Wish

Array = np.ndarray

#: A perception level at which distortion has a price, for every divergence.
LEVELS = {"kl": 0.01, "reverse_kl": 0.01, "chi2": 0.02, "js": 0.002, "hellinger_squared": 0.002, "reverse_chi2": 0.02}
#: Best laws of it starve some letters altogether, which cuts do not describe: others take over.
STARVING = "reverse_chi2"
both = pytest.mark.parametrize("threshold", [None, 0.0])
every = pytest.mark.parametrize("name", LEVELS)


@cache
def toy(name: str, threshold: float | None = None, n: int = 31) -> cdp.DiscreteProblem:
    return dataclasses.replace(cdp.presets.paper_toy(threshold), perception=name).discretize(n=n)


def line_of(grid: cdp.DiscreteProblem) -> LineProblem:
    line = line_problem(grid)
    assert line is not None
    return line


@cache
def solved(name: str, threshold: float | None, height: float, share: float) -> cdp.Solution:
    """A point between D_min(P) and where the surface is flat or P = 0 is within reach, by the method through levels."""
    grid, level = toy(name, threshold), LEVELS[name] * height
    least, flat = cdp.min_distortion(grid, level), cdp.flat_distortion(grid, level)
    most = cdp.min_distortion(grid, 0.0).upper if flat is None else flat.upper
    limit = least.upper + share * (most - least.upper)
    point = cdp.solve(grid, limit, level, solver="levels", boundary=least, tol=1e-9)
    assert point.status is cdp.Status.OPTIMAL and point.price_distortion > 0 and point.price_perception > 0
    return point


PLACES = [(1.0, 0.4), (1.05, 0.43), (0.9, 0.7)]


def points(name: str, threshold: float | None) -> list[cdp.Solution]:
    return [solved(name, threshold, *place) for place in PLACES]


def levels_of(some: list[cdp.Solution]) -> tuple[Array, Array]:
    return np.array([point.max_distortion for point in some]), np.array([point.max_perception for point in some])


def shuffled(problem: cdp.DiscreteProblem, seed: int) -> tuple[cdp.DiscreteProblem, Array, Array]:
    """The same problem with observations and letters in another order."""
    rng = np.random.default_rng(seed)
    rows, columns = rng.permutation(problem.n_y), rng.permutation(problem.n_x)
    error, cost = problem.error_cost, problem.distortion_cost
    assert isinstance(cost, SquaredErrorCost) and problem.x_values is not None
    other = cdp.DiscreteProblem(
        problem.p_y[rows],
        problem.p_x[columns],
        problem.posterior[rows],
        ClassCost(error.decision_cost[rows], error.decision[columns]),
        SquaredErrorCost(cost.mean_y[rows], cost.variance_y[rows], cost.mean_x[columns], cost.variance_x[columns]),
        problem.perception,
        problem.x_values[columns],
    )
    return other, rows, columns


# tables


@both
def test_tables_are_those_of_the_problem_in_order(threshold: float | None) -> None:
    grid, rows, columns = shuffled(toy("kl", threshold), 1)
    line, plain = line_of(grid), line_of(toy("kl", threshold))
    assert line_problem(grid) is line  # made once
    for field in ("p_y", "p_x", "error", "distance", "posterior_means", "letters"):
        assert_array_equal(getattr(line, field), getattr(plain, field))
    assert_array_equal(line.error, grid.error_cost.table()[line.rows][:, line.columns])
    assert_array_equal(rows[line.rows], plain.rows)
    assert_array_equal(columns[line.columns], plain.columns)
    assert np.all(np.diff(line.letters) > 0) and np.all(np.diff(line.posterior_means) > 0)
    laws = np.random.default_rng(2).dirichlet(np.ones(grid.n_x), size=4)
    assert_array_equal(line.restored(line.ordered(laws)), laws)
    assert_array_equal(line.ordered(grid.p_x[None])[0], line.p_x)
    assert line.farthest == pytest.approx(line.p_y @ line.distance[:, -1], rel=1e-15)


@every
@both
def test_laws_achieve_what_their_couplings_do(name: str, threshold: float | None) -> None:
    for seed, grid in ((0, toy(name, threshold)), (1, shuffled(toy(name, threshold), 3)[0])):
        rng, line = np.random.default_rng(seed), line_of(grid)
        laws = rng.dirichlet(np.full(grid.n_x, 0.5), size=8)
        laws[0], laws[1] = grid.p_x, np.eye(grid.n_x)[5]
        laws[2, ::2] = 0.0
        laws[2] /= laws[2].sum()
        found = line.achieved(line.ordered(laws))
        program = Program(grid, grid.error_cost)
        for k, law in enumerate(laws):
            joint = coupling(grid, law)
            other = evaluate(program, csr_array(diags_array(1 / np.asarray(joint.sum(axis=1)).ravel()) @ joint))
            assert found.error_rate[k] == pytest.approx(other.error_rate, abs=1e-13)
            assert found.distortion[k] == pytest.approx(other.distortion, abs=1e-12)
            if math.isfinite(found.perception[k]) or math.isfinite(other.perception):
                assert found.perception[k] == pytest.approx(other.perception, rel=1e-9, abs=1e-13)


def test_mass_is_shared_between_the_letters_beside_it() -> None:
    letters = np.array([-1.0, 0.0, 2.0])
    places, mass = np.array([-3.0, -1.0, -0.25, 0.0, 0.5, 2.0, 9.0]), np.full(7, 1 / 7)
    assert_allclose(7 * next_to(letters, places, mass), [1 + 1 + 0.25, 0.75 + 1 + 0.75, 0.25 + 1 + 1], atol=1e-14)
    inside = np.random.default_rng(3).uniform(-1, 2, 50)
    law = next_to(letters, inside, np.full(50, 0.02))
    assert law.sum() == pytest.approx(1, abs=1e-14) and law @ letters == pytest.approx(inside.mean(), abs=1e-14)
    assert_array_equal(next_to(np.zeros(1), places, mass), [mass.sum()])
    assert next_to(np.array([0.0, 0.0, 1.0]), np.zeros(2), np.full(2, 0.5))[:2].sum() == 1.0


# where it does not apply


@pytest.mark.parametrize(
    "problem",
    [
        small(perception="tv"),
        small(perception="w1"),
        small(perception="renyi:2"),
        small([0.5, 0.5]),
        small([0.5, 0.0, 0.5]),
        small(distortion="hamming"),
        small(x_values=[[0.0, 1.0], [1.0, 0.0], [0.5, 0.5]]),
        model_problem("plane_toy"),
        finite_problem("binary_conflict"),
    ],
    ids=["tv", "w1", "renyi", "two letters", "no mass", "hamming", "plane", "plane toy", "binary"],
)
def test_other_problems_are_left_alone(problem: cdp.DiscreteProblem) -> None:
    assert line_problem(problem) is None
    assert line_route.hint(Program(problem, problem.distortion_cost, max_perception=0.01), Budget()) is None
    assert not isinstance(FiniteOracle(problem).mixer("error"), BulkMixer)


def test_large_tables_are_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = [small() for _ in range(2)]
    for problem, most in zip(problems, (9, 8), strict=True):
        monkeypatch.setattr("cdp_toy.solvers.tables.LARGEST", most)
        assert (line_problem(problem) is None) is (most < 9)


def test_programs_without_a_level_or_a_start_are_left_alone() -> None:
    grid = toy("kl")
    for level in (0.0, math.inf):
        assert line_route.hint(Program(grid, grid.distortion_cost, max_perception=level), Budget()) is None
        assert line_route.hint(Program(grid, grid.error_cost, 1.0, level), Budget(), grid.p_x) is None
    assert line_route.hint(Program(grid, grid.error_cost, math.inf, 0.01), Budget()) is None
    assert line_route.hint(Program(grid, grid.error_cost, 1.0, 0.01, error_optimal(grid)), Budget(), grid.p_x) is None
    law = np.where(np.arange(grid.n_x) == 3, 0.0, grid.p_x)
    assert line_route.hint(Program(grid, grid.error_cost, 1.0, 0.01), Budget(), law / law.sum()) is None


# bounds


@every
@both
def test_bounds_of_any_multipliers_hold(name: str, threshold: float | None) -> None:
    grid, some = toy(name, threshold), points(name, threshold)
    line, rng, m = line_of(grid), np.random.default_rng([len(name), 5]), 90
    lam, kap = 10.0 ** rng.uniform(-4, 2, m), 10.0 ** rng.uniform(-5, 2, m)
    potential = rng.normal(size=(m, grid.n_x)) * 10.0 ** rng.uniform(-4, 1, (m, 1))
    # every third is close to what proves a point
    which = np.arange(m) % len(some)
    near = np.arange(m) % 3 == 0
    known = np.array([line.ordered(point.potential[None])[0] for point in some if point.potential is not None])
    potential[near] = known[which[near]] + 1e-3 * potential[near]
    lam[near], kap[near] = (
        ([p.price_distortion for p in some] * 30)[:30],
        ([p.price_perception for p in some] * 30)[:30],
    )
    lam[::10], potential[5, 3:], potential[6] = 0.0, -np.inf, 0.0
    kap[8], kap[9] = 0.0, -1.0
    d, p = (levels[which] for levels in levels_of(some))
    found = bulk_dual_bounds(line, line.error, Multipliers(lam, kap, potential, rng.normal(size=m)), d, p)
    assert np.all(np.isneginf(found.value[8:10])) and np.isfinite(found.value).mean() > 0.5
    truth = np.array([point.upper_bound for point in some])[which]
    assert np.all(found.value <= truth + 1e-12)
    for k in np.flatnonzero(np.isfinite(found.value)):
        program = Program(grid, grid.error_cost, d[k], p[k])
        best = dual_bound(program, lam[k], line.restored(found.multipliers.potential[k : k + 1])[0])
        assert found.value[k] <= best.value + 1e-12  # that finds the best price of perception


@every
@both
def test_bounds_without_a_distortion_level(name: str, threshold: float | None) -> None:
    grid, rng, m = toy(name, threshold), np.random.default_rng(6), 20
    line, level = line_of(grid), LEVELS[name]
    least = cdp.min_distortion(grid, level)
    assert least.potential is not None
    noise = rng.normal(size=(m, grid.n_x)) * np.where(np.arange(m) < 10, 10.0 ** rng.uniform(-4, 0, m), 0.0)[:, None]
    kap = least.prices.perception * np.where(np.arange(m) < 10, 10.0 ** rng.uniform(-1, 1, m), 1.0)
    hints = Multipliers(np.zeros(m), kap, line.ordered(least.potential[None]) + noise, np.zeros(m))
    value, _ = bulk_dual_bounds(line, line.distance, hints, None, np.full(m, level))
    assert np.all(value <= least.upper + 1e-12)


@every
@both
def test_bounds_are_those_of_certificates_where_it_matters(name: str, threshold: float | None) -> None:
    grid, some = toy(name, threshold), points(name, threshold)
    line = line_of(grid)
    proofs = [
        dual_bound(
            Program(grid, grid.error_cost, p.max_distortion, p.max_perception),
            p.price_distortion,
            p.potential if p.potential is not None else np.zeros(grid.n_x),
        )
        for p in some
    ]
    lam, kap = (np.array([getattr(b, f) for b in proofs]) for f in ("price_distortion", "price_perception"))
    potential = line.ordered(np.array([b.potential for b in proofs]))
    # a guess of the constant that is as good as the laws that Newton's method leaves
    slopes = [line.perception.descent(line.ordered(p.output_law[None])[0] / line.p_x) for p in some]
    limit = line.perception.slope_at_infinity
    beyond = limit if math.isfinite(limit) else 0.0
    fits = [
        np.average(v - k * (s - beyond), weights=line.ordered(p.output_law[None])[0])
        for v, k, s, p in zip(potential, kap, slopes, some, strict=True)
    ]
    for off in (0.0, 1e-3, -1e-3):  # Newton's method finds the best constant from a fit
        hints = Multipliers(lam, kap, potential, np.array(fits) + off * kap)
        value, _ = bulk_dual_bounds(line, line.error, hints, *levels_of(some))
        assert_allclose(value, [b.value for b in proofs], rtol=0, atol=1e-7)
        assert np.all(value <= [p.upper_bound + 1e-12 for p in some])


# laws


def laws_at(line: LineProblem, start: Array, levels: tuple[Array, Array], **changes: Any) -> tuple[Best, Array]:
    """The best laws and what their own multipliers prove."""
    task = Task(line.error_steps, **changes)
    best = best_laws(line, task, start, *levels)
    limit = levels[0] if task.priced else None
    return best, bulk_dual_bounds(line, line.error, best.multipliers, limit, levels[1]).value


@every
@both
def test_laws_from_neighbours_are_best(name: str, threshold: float | None) -> None:
    grid, some = toy(name, threshold), points(name, threshold)
    line = line_of(grid)
    laws = line.ordered(np.array([point.output_law for point in some]))
    pairs = [(0, 1), (1, 0), (0, 2), (2, 1)]
    start, goals = laws[[i for i, _ in pairs]], [some[j] for _, j in pairs]
    d, p = levels_of(goals)
    best, bound = laws_at(line, np.maximum(start, 1e-300), (d, p))
    if name != STARVING:
        assert best.ended.any()
    found = line.achieved(best.laws)
    for k in np.flatnonzero(best.ended):
        assert best.laws[k].min() > 0 and best.laws[k].sum() == pytest.approx(1, abs=1e-14)
        assert found.error_rate[k] - bound[k] < 1e-9
        assert abs(found.distortion[k] - d[k]) < 1e-10 and abs(found.perception[k] - p[k]) < 1e-10
        assert bound[k] <= goals[k].upper_bound + 1e-12
        assert found.error_rate[k] >= goals[k].lower_bound - 1e-10
        assert abs(found.error_rate[k] - goals[k].upper_bound) <= found.error_rate[k] - bound[k] + goals[k].gap + 1e-10


@pytest.mark.parametrize("name", sorted(set(LEVELS) - {STARVING}))
@both
def test_a_decision_at_the_end_of_an_observation_is_no_obstacle(name: str, threshold: float | None) -> None:
    """The surface has a ridge there: prices jump, and the best law is found on both of its sides and on it."""
    grid, level = toy(name, threshold, 201), LEVELS[name]
    line, cut = line_of(grid), Task(line_of(grid).error_steps).loose
    least, flat = cdp.min_distortion(grid, level).upper, cdp.flat_distortion(grid, level)
    most = least + 0.05 if flat is None else flat.upper
    ends = [cdp.solve(grid, least + share * (most - least), level) for share in (0.005, 0.8)]
    assert cut is not None

    def decision(laws: Array) -> float:
        return float(laws[0, : cut + 1].sum())

    laws = [line.ordered(point.output_law[None]) for point in ends]
    rows = [int(line.row_of(np.array([decision(law)]))[0]) for law in laws]
    assert rows[0] != rows[1]
    end = line.ends[min(rows)]
    inner, outer = (point.max_distortion for point in ends)
    falling = decision(laws[0]) > end
    law = laws[0]
    for _ in range(60):
        middle = 0.5 * (inner + outer)
        best, _ = laws_at(line, law, (np.array([middle]), np.array([level])))
        law = best.laws if best.ended[0] else line.ordered(cdp.solve(grid, middle, level).output_law[None])
        inner, outer = (middle, outer) if (decision(law) > end) == falling else (inner, middle)
    assert decision(law) == pytest.approx(end, abs=1e-12)
    away = np.array([0.0, 1e-13, -1e-13, 1e-10, -1e-10, 1e-6, -1e-6])
    levels = outer + away, np.full(len(away), level)
    best, bound = laws_at(line, np.tile(law, (len(away), 1)), levels)
    assert best.ended.all()
    assert np.all(line.achieved(best.laws).error_rate - bound < 1e-9)
    first, last = (line.error_steps[row, cut] for row in (min(rows), min(rows) + 1))
    kap = best.multipliers.price_perception[-2:]
    assert (kap[1] / kap[0] == pytest.approx(last / first, rel=1e-3)) == falling


@every
@both
def test_one_law_of_many_is_found_as_if_alone(name: str, threshold: float | None) -> None:
    grid, some = toy(name, threshold), points(name, threshold)
    line, (d, p) = line_of(grid), levels_of(some)
    start = np.maximum(line.ordered(np.array([some[1].output_law] * 3)), 1e-300)
    many, _ = laws_at(line, start, (d, p))
    for k in range(3):
        one, _ = laws_at(line, start[k : k + 1], (d[k : k + 1], p[k : k + 1]))
        assert one.ended[0] == many.ended[k]
        assert_allclose(one.laws[0], many.laws[k], rtol=0, atol=1e-9)
    none = best_laws(line, Task(line.error_steps), start[:0], d[:0], p[:0])
    assert none.laws.shape == (0, grid.n_x) and none.ended.shape == (0,)


@every
@both
def test_loops_law_by_law_take_the_same_steps(name: str, threshold: float | None) -> None:
    """What numba compiles, as plain Python, against NumPy, along the way from laws near and far."""
    loops = LineLoops(line_loops._moved, line_loops._placed, line_loops._row_minima)
    grid, some = toy(name, threshold), points(name, threshold)
    line, (d, p) = line_of(grid), levels_of(some)
    task = Task(line.error_steps, held=(5, 3) if name == "kl" else None)
    laws = np.array([some[1].output_law, 0.5 * some[0].output_law + 0.5 * grid.p_x, some[2].output_law])
    cuts = np.cumsum(np.maximum(line.ordered(laws), 1e-12), axis=1)[:, :-1]
    pinned, places = np.zeros(cuts.shape, dtype=bool), line.row_of(cuts)
    if task.held is not None:
        places[:, 3], pinned[:, 3] = 5, True
    state = line_newton._state(line, cuts, places, pinned, np.array([0.1, 1.0, 0.0]), np.array([0.5, 0.2, 0.1]))
    compared = pins = 0
    with np.errstate(all="ignore"), pytest.MonkeyPatch.context() as patch:
        for step in range(12):
            care = (0.0, 0.0, 0.5, 1.0)[step % 4]
            patch.setattr(line_newton, "line_loops", lambda: None)
            plain, still = line_newton._step(line, task, state, d, p, care)
            patch.setattr(line_newton, "line_loops", lambda: loops)
            looped, also = line_newton._step(line, task, state, d, p, care)
            fine = np.isfinite(plain.lam) & np.isfinite(plain.kap)
            if not fine.any():
                break
            for one, other in zip(plain[:6], looped[:6], strict=True):
                assert_allclose(other[fine], one[fine], rtol=1e-6, atol=1e-9)
            for moved in (plain, looped):  # the rest follows from the laws, and is rough where letters vanish
                assert_array_equal(moved.ratio, moved.laws / line.p_x)
                assert_array_equal(moved.rise, np.diff(line.perception.descent(moved.ratio), axis=1))
            assert_array_equal(also[fine], still[fine])
            compared, pins = compared + int(fine.sum()), pins + int(plain.pinned[fine].sum())
            state = type(state)(
                *(np.where(fine.reshape(-1, *[1] * (c.ndim - 1)), c, o) for c, o in zip(plain, state, strict=True))
            )
    assert compared >= 6 and (pins > 0 or threshold == 0.0)


@both
def test_row_minima_in_loops_are_the_same(threshold: float | None) -> None:
    line, rng = line_of(toy("kl", threshold)), np.random.default_rng(4)
    lam, potential = rng.exponential(size=5), rng.normal(size=(5, len(line.p_x)))
    found = line_loops._row_minima(line.error.T.copy(), line.distance.T.copy(), lam, potential)
    expected = [(line.error + price * line.distance - v).min(axis=1) for price, v in zip(lam, potential, strict=True)]
    assert_allclose(found, expected, rtol=0, atol=1e-14)


@every
@both
def test_levels_out_of_reach_prove_nothing_wrong(name: str, threshold: float | None) -> None:
    grid, some = toy(name, threshold), points(name, threshold)
    line, point = line_of(grid), some[0]
    least = cdp.min_distortion(grid, point.max_perception)
    start = np.maximum(line.ordered(np.array([point.output_law])), 1e-300)
    level = np.array([point.max_perception])
    for limit in (0.0, -1.0, least.lower - 0.1, least.lower - 1e-4):
        best, _ = laws_at(line, start, (np.array([limit]), level))
        assert not best.ended[0]
    for limit, height in ((math.inf, 1.0), (5.0, 1.0), (point.max_distortion, 50.0), (5.0, 1e6), (least.upper, 1.0)):
        levels = np.array([limit]), height * level
        best, bound = laws_at(line, start, levels)
        truth = cdp.solve(grid, limit, float(levels[1][0]), solver="levels", tol=1e-7)
        assert bound[0] <= truth.upper_bound + 1e-12
        if best.ended[0]:
            found = line.achieved(best.laws)
            assert found.distortion[0] <= limit + 1e-10 and found.perception[0] <= levels[1][0] + 1e-10
            assert found.error_rate[0] >= truth.lower_bound - 1e-10
            assert found.error_rate[0] - bound[0] < 1e-9


@every
@both
def test_what_ended_meets_its_levels_wherever_it_began(name: str, threshold: float | None) -> None:
    """From below D_min(P) to where distortion has no price, from laws near and far."""
    grid, some = toy(name, threshold), points(name, threshold)
    line, level = line_of(grid), some[0].max_perception
    least = cdp.min_distortion(grid, level)
    rng, m = np.random.default_rng(9), 120
    limits, share = least.upper + rng.uniform(-0.1, 0.1, m), rng.uniform(0.0, 0.9, (m, 1))
    laws = (1 - share) * np.array([point.output_law for point in some] * (m // 3)) + share * grid.p_x
    best, bound = laws_at(line, np.maximum(line.ordered(laws), 1e-300), (limits, np.full(m, level)))
    found = line.achieved(best.laws)
    done = best.ended
    assert not np.any(done & (limits < least.lower - 1e-12))
    assert np.all(found.distortion[done] <= limits[done] + 1e-10)
    assert_allclose(found.perception[done], level, rtol=0, atol=1e-10)
    assert np.all(found.error_rate[done] - bound[done] < 1e-9)
    assert np.all(np.abs(found.distortion - limits)[done & (best.multipliers.price_distortion > 0)] < 1e-10)


@every
def test_without_a_price_of_distortion(name: str) -> None:
    """Where distortion has no level the error rate is that of all distortions; the paper's threshold has its floor."""
    grid = toy(name, 0.0)
    line, level = line_of(grid), LEVELS[name]
    truth = cdp.solve(grid, math.inf, level, solver="levels", tol=1e-9)
    start = np.maximum(line.ordered(np.array([points(name, 0.0)[0].output_law])), 1e-300)
    best, bound = laws_at(line, start, (np.array([math.inf]), np.array([level])), priced=False)
    assert bound[0] <= truth.upper_bound + 1e-12
    assert np.all(best.multipliers.price_distortion == 0)
    if best.ended[0]:
        assert line.achieved(best.laws).error_rate[0] - bound[0] < 1e-9


# through `solve` and the boundary curves


def assert_same(one: Certified, other: Certified, scale: float = 1.0) -> None:
    """Brackets of one number."""
    assert one.best is not None and other.best is not None
    gaps = (one.upper - one.bound.value) + (other.upper - other.bound.value)
    assert abs(one.upper - other.upper) <= gaps + 1e-12 * scale
    assert max(one.bound.value, other.bound.value) <= min(one.upper, other.upper) + 1e-12 * scale


@every
@both
@pytest.mark.parametrize("flat", [False, True], ids=["least", "flat"])
def test_boundary_curves_agree_with_other_methods(name: str, threshold: float | None, flat: bool) -> None:
    grid = toy(name, threshold)
    for height in (0.1, 1.0, 1.5):
        level = height * LEVELS[name]
        allowed = error_optimal(grid) if flat else None
        program = Program(grid, grid.distortion_cost, max_perception=level, allowed=allowed)
        bracket = cdp.flat_distortion(grid, level) if flat else cdp.min_distortion(grid, level)
        other = certify(program, 1e-9, solver="levels")
        if bracket is None:
            assert other.best is None
            continue
        assert bracket.witness is not None and bracket.gap <= 1e-9
        gaps = bracket.gap + other.upper - other.bound.value
        assert abs(bracket.upper - other.upper) <= gaps + 1e-12
        assert bracket.lower <= other.upper + 1e-12 and other.bound.value <= bracket.upper + 1e-12
        found = evaluate(program, bracket.witness)
        assert found.feasible and found.objective <= bracket.upper + 1e-14
        if name != STARVING and height == 1.0:
            assert certify(program, 1e-9).solver == "Newton's method on cuts"


def test_cone_solvers_are_not_asked_for_what_slack_is_worth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Next to the least P of the floor its price is without bound, and so is what the slack of P is worth."""
    grid = toy("kl", None, 51)
    least, most = 1e-3, 1e-2
    while most - least > 1e-9:
        middle = 0.5 * (least + most)
        least, most = (least, middle) if cdp.flat_distortion(grid, middle, tol=1e-5) else (middle, most)
    asked: list[Program] = []
    monkeypatch.setattr("cdp_toy.solvers.reference.hint", lambda program, *_: asked.append(program))
    bracket = cdp.flat_distortion(grid, most)
    assert bracket is not None and 1e-9 < bracket.gap < 1e-7 and not asked


@every
@both
def test_warm_starts_agree_with_other_methods(name: str, threshold: float | None) -> None:
    some, labels = points(name, threshold), []
    for start, goal in ((0, 1), (2, 0), (0, 2)):
        point = cdp.solve(
            toy(name, threshold), some[goal].max_distortion, some[goal].max_perception, warm_start=some[start]
        )
        assert point.status is cdp.Status.OPTIMAL
        assert abs(point.upper_bound - some[goal].upper_bound) <= point.gap + some[goal].gap + 1e-13
        assert point.lower_bound <= some[goal].upper_bound + 1e-13
        labels.append(point.solver)
        assert point.distortion <= point.max_distortion + point.feasibility_tol
        assert point.perception <= point.max_perception + point.feasibility_tol
    if name != STARVING:
        assert "Newton's method on cuts" in labels


@both
@pytest.mark.parametrize("name", ["kl", "js"])
def test_order_does_not_matter(name: str, threshold: float | None) -> None:
    grid, goal = toy(name, threshold), points(name, threshold)[1]
    other, _, columns = shuffled(grid, 7)
    level = LEVELS[name]
    for curve in (cdp.min_distortion, cdp.flat_distortion):
        one, two = curve(grid, level), curve(other, level)
        assert (one is None) == (two is None)
        if one is not None and two is not None:
            assert two.upper == pytest.approx(one.upper, abs=one.gap + two.gap + 1e-12)
    start = cdp.solve(other, points(name, threshold)[0].max_distortion, level, solver="levels")
    point = cdp.solve(other, goal.max_distortion, goal.max_perception, warm_start=start, tol=1e-9)
    assert point.solver == "Newton's method on cuts"
    assert point.upper_bound == pytest.approx(goal.upper_bound, abs=point.gap + goal.gap + 1e-12)
    assert_allclose(point.output_law, goal.output_law[columns], atol=1e-4)


def random_on_line(rng: np.random.Generator, name: str, nasty: str) -> cdp.DiscreteProblem:
    """Laws, posterior means and costs of decisions that need not belong together."""
    n_x, n_y = int(rng.integers(3, 13)), int(rng.integers(1, 15))
    p_x, p_y = rng.dirichlet(np.full(n_x, rng.choice([0.5, 1.0, 5.0]))), rng.dirichlet(np.ones(n_y))
    letters, means = np.sort(rng.normal(size=n_x)), rng.normal(size=n_y)
    decision_cost = rng.random((n_y, 2))
    if nasty == "ties":
        letters, means, decision_cost = np.round(letters), np.round(means), np.round(decision_cost)
    if nasty == "light":
        p_x[0], p_y[0] = 1e-12, 1e-12
    if nasty == "steps":  # of one kind to the left of a place, as a threshold makes them
        order = np.argsort(means)
        decision_cost[order, 0] = np.linspace(0, 1, n_y)
        decision_cost[order, 1] = 1 - decision_cost[order, 0]
    classes = rng.integers(2, size=n_x) if nasty == "crossed" else (letters > rng.normal()).astype(int)
    if nasty not in ("steps", "crossed"):
        decision_cost[np.argsort(means)] = decision_cost[np.argsort(decision_cost[:, 0] - decision_cost[:, 1])]
    if nasty == "unseen":
        p_y[-1] = 0.0 if n_y > 1 else 1.0
    p_x = np.maximum(p_x, 1e-12)
    p_x, p_y = p_x / p_x.sum(), p_y / p_y.sum()
    return cdp.DiscreteProblem(
        p_y,
        p_x,
        np.full((n_y, 2), 0.5),
        ClassCost(decision_cost, np.eye(2)[classes]),
        SquaredErrorCost(means[:, None], 0.1 * rng.random(n_y), letters[:, None], np.zeros(n_x)),
        perception_from(name),
        letters[:, None],
    )


@settings(deadline=None, derandomize=True, max_examples=24)
@given(
    seed=st.integers(0, 10_000),
    name=st.sampled_from(list(LEVELS)),
    nasty=st.sampled_from(["none", "ties", "light", "steps", "unseen", "crossed"]),
)
def test_nasty_problems_get_brackets_that_agree(seed: int, name: str, nasty: str) -> None:
    rng = np.random.default_rng(seed)
    problem = random_on_line(rng, name, nasty)
    assert line_problem(problem) is not None or nasty in ("ties", "crossed")
    level = 10.0 ** rng.uniform(-4, -0.5)
    least = cdp.min_distortion(problem, level)
    cold = certify(Program(problem, problem.distortion_cost, max_perception=level), 1e-8, solver="levels")
    assert least.lower <= cold.upper + 1e-12 and cold.bound.value <= least.upper + 1e-12
    limit = least.upper + 10.0 ** rng.uniform(-3, 0)
    start = cdp.solve(problem, limit, level, solver="levels", boundary=least)
    higher = level * rng.uniform(1.0, 1.3)
    farther = limit * rng.uniform(1.0, 1.1)
    auto = cdp.solve(problem, farther, higher, warm_start=start, tol=1e-7)
    other = cdp.solve(problem, farther, higher, solver="levels", tol=1e-7)
    assert auto.lower_bound <= other.upper_bound + 1e-12
    assert other.lower_bound <= auto.upper_bound + 1e-12
    assert auto.lower_bound <= start.upper_bound + 1e-12  # more is allowed


ELSEWHERE = ["uniform", "laplace", "quantized", "erased", "magnitude", "class_cost", "empty_class", "threshold_0"]


@pytest.mark.parametrize("name", ELSEWHERE)
def test_other_problems_on_the_line(name: str) -> None:
    grid = model_problem(name) if name in MODELS else finite_problem(name)
    grid = dataclasses.replace(grid, perception=perception_from("kl"))
    line, some = line_of(grid), []
    for level, share in ((0.01, 0.3), (0.0104, 0.33), (0.012, 0.3)):
        least = cdp.min_distortion(grid, level)
        most = cdp.min_distortion(grid, 0.0).upper
        limit = least.upper + share * (most - least.upper)
        some.append(cdp.solve(grid, limit, level, solver="levels", boundary=least, tol=1e-9))
    start = np.maximum(line.ordered(np.array([point.output_law for point in some[:1] * 3])), 1e-300)
    levels = levels_of(some)
    best, bound = laws_at(line, start, levels)
    found = line.achieved(best.laws)
    for k, point in enumerate(some):
        assert bound[k] <= point.upper_bound + 1e-12
        if best.ended[k]:
            assert found.distortion[k] <= levels[0][k] + 1e-10 and found.perception[k] <= levels[1][k] + 1e-10
            assert found.error_rate[k] >= point.lower_bound - 1e-10
            assert found.error_rate[k] - bound[k] < 1e-9
        again = cdp.solve(grid, point.max_distortion, point.max_perception, warm_start=some[0])
        assert again.lower_bound <= point.upper_bound + 1e-12
        assert point.lower_bound <= again.upper_bound + 1e-12
        assert again.gap <= max(1e-8, 2 * point.gap)


# mixtures in bulk


@every
@both
def test_mixtures_in_bulk_prove_and_attain(name: str, threshold: float | None) -> None:
    grid, some = toy(name, threshold), points(name, threshold)
    oracle = FiniteOracle(grid)
    mixer = oracle.mixer("error")
    assert isinstance(mixer, BulkMixer)
    known = [oracle.of_point(point) for point in some]
    planes: list[Plane] = [plane for plane, _ in known if plane is not None]
    attained: list[Attained] = [corner for _, corners in known for corner in corners]
    spots = np.array([(corner.d, corner.p) for corner in attained])
    scale = Scale(tuple(spots.min(axis=0)), tuple(spots.max(axis=0)))
    rng, count = np.random.default_rng(8), CHUNK + 6 if name == "kl" else 12
    inner = [tuple(map(float, weights @ spots)) for weights in rng.dirichlet(np.ones(3), size=count)]
    wishes = [Wish(place, attained, (), np.zeros(2)) for place in inner]  # type: ignore[arg-type]
    wishes += [
        Wish(tuple(spots[0]), attained[:1], (), np.zeros(2)),
        Wish(tuple(spots[1]), attained[:2], (), np.zeros(2)),
    ]
    mixtures = mixer.mixtures(wishes, scale)
    assert len(mixtures) == len(wishes)
    made = [mixture for mixture in mixtures if mixture is not None]
    if name != STARVING:
        assert len(made) >= len(wishes) // 2
    for mixture in made:
        assert mixture.gap == mixture.attained.value - mixture.plane.value >= -1e-12
        planes.append(mixture.plane)
        attained.append(mixture.attained)
    table = np.array([[q.value - q.price_d * (a.d - q.d) - q.price_p * (a.p - q.p) for a in attained] for q in planes])
    assert np.all(table <= np.array([a.value for a in attained]) + 1e-11)
    assert all(plane.price_d >= 0 and plane.price_p >= 0 for plane in planes)
    program = Program(grid, grid.error_cost)
    for mixture in made[:5]:
        found = evaluate(program, mixture.attained.channel.make())
        here = (found.distortion, found.perception, found.error_rate)
        assert_allclose(here, mixture.attained[:3], rtol=0, atol=1e-11)
    if name != STARVING:
        good = sum(mixture.gap < 1e-9 for mixture in made)
        assert good >= len(made) // 2


@every
def test_laws_without_mass_somewhere_are_no_start(name: str) -> None:
    """Nor are those at P = 0; nothing comes of them, or what comes is proven."""
    grid, point = toy(name), points(name, None)[0]
    line = line_of(grid)
    starved = grid.p_x.copy()
    starved[4] = 0.0
    wishes = []
    for law in (starved / starved.sum(), grid.p_x):
        for place in ((point.max_distortion, point.max_perception), (point.max_distortion, 0.0), (0.0, 0.0)):
            channel = Channel(law, 0.0, 0.0, lambda: coupling(grid))
            wishes.append(Wish(place, [Attained(*place, 0.0, channel)], (), np.zeros(2)))
    for mixture in BulkMixer(grid, line).mixtures(wishes, Scale((0.0, 0.0), (1.0, 1.0))):
        if mixture is not None:
            plane = mixture.plane
            moved = plane.price_d * (point.distortion - plane.d) + plane.price_p * (point.perception - plane.p)
            assert plane.value - moved <= point.upper_bound + 1e-12
            assert mixture.gap >= -1e-12


def test_no_wishes_no_mixtures() -> None:
    grid = toy("kl")
    assert BulkMixer(grid, line_of(grid)).mixtures([], Scale((0.0, 0.0), (1.0, 1.0))) == []


@pytest.mark.parametrize("name", ["callable_line", "three_classes", "two_boundaries"])
def test_costs_that_are_not_in_order_are_left_alone(name: str) -> None:
    """There a coupling that is not monotone may be better."""
    grid = model_problem(name) if name in MODELS else finite_problem(name)
    assert line_problem(dataclasses.replace(grid, perception=perception_from("kl"))) is None
