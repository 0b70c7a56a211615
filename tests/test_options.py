"""Options of `solve`: which method runs, how long it may, what it may start from. No bound is ever wrong for them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, Literal

import numpy as np
import pytest
from scipy.sparse import csr_array

import cdp_toy as cdp
from cdp_toy import Status
from cdp_toy.certificates import Program, dual_bound
from cdp_toy.edges import cheap_anchors
from cdp_toy.solvers import engine, iteration, newton

LIMITED = (Status.INEXACT, Status.UNDECIDED)


def toy(name: str = "kl", n: int = 31, threshold: float | None = None) -> cdp.DiscreteProblem:
    return dataclasses.replace(cdp.presets.paper_toy(threshold), perception=name).discretize(n=n)


TOY = toy()
LARGE = toy(n=61)  # more pairs than are solved at once
PERCEPTION = 0.004
BOUNDARY = {id(grid): cdp.min_distortion(grid, PERCEPTION) for grid in (TOY, LARGE)}
#: Levels of which both bind, and what is proven there without limits.
LEVELS = {id(grid): (BOUNDARY[id(grid)].upper + 0.005, PERCEPTION) for grid in (TOY, LARGE)}
TRUTH = {id(grid): cdp.solve(grid, *LEVELS[id(grid)]) for grid in (TOY, LARGE)}
both = pytest.mark.parametrize("grid", [TOY, LARGE], ids=["all pairs", "levels"])


def assert_contains_the_truth(point: cdp.Solution, grid: cdp.DiscreteProblem = TOY) -> None:
    truth = TRUTH[id(grid)]
    assert point.lower_bound <= truth.upper_bound
    assert point.upper_bound >= truth.lower_bound
    if point.sparse_channel is not None:
        assert point.distortion <= point.max_distortion + point.feasibility_tol
        assert point.perception <= point.max_perception + point.feasibility_tol


# solver


@pytest.mark.parametrize("solver", ["interior_point", "levels"])
@pytest.mark.parametrize("name", ["tv", "w1", "w2_squared"])
def test_newton_refuses_perceptions_with_kinks(solver: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdp_toy.solving.certify", None)  # before any work
    able = r"needs a smooth divergence \(kl, reverse_kl.*renyi:ORDER\), and " + name + ' is none; use solver="linear'
    with pytest.raises(cdp.InputError, match=able):
        cdp.solve(toy(name, 11), 0.75, 0.01, solver=solver)


@pytest.mark.parametrize("name", ["kl", "js", "renyi:2"])
def test_linear_programs_refuse_curved_divergences(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cdp_toy.solving.certify", None)
    able = r"needs a polyhedral perception \(tv, w1, w2_squared\), and " + name + ' is none; use solver="interior_point'
    with pytest.raises(cdp.InputError, match=able):
        cdp.solve(toy(name, 11), 0.75, 0.01, solver="linear_program")


@pytest.mark.parametrize(
    "grid, levels, name, label",
    [
        (TOY, LEVELS[id(TOY)], "cuts", "Newton's method on cuts"),
        (LARGE, LEVELS[id(LARGE)], "cuts", "Newton's method on cuts"),
        (toy("renyi:2"), (0.72, 0.03), "interior_point", "interior point"),
        (toy("renyi:2", 61), (0.72, 0.03), "levels", "interior point through levels"),
        (toy("tv"), (0.72, 0.03), "linear_program", "linear program (HiGHS)"),
        (toy("w1"), (0.72, 0.08), "linear_program", "linear program (HiGHS)"),
        (TOY, (0.76, 0.0), "linear_program", "transport LP (HiGHS)"),
        (toy(threshold=0.0), (0.675, math.inf), "closed form", "fractional knapsack without a perception level"),
        (TOY, (math.inf, math.inf), "closed form", "closed form without a perception level"),
    ],
)
def test_the_method_that_is_announced_is_the_one_that_answers(
    grid: cdp.DiscreteProblem, levels: tuple[float, float], name: str, label: str
) -> None:
    assert cdp.which_solver(grid, *levels) == name
    point = cdp.solve(grid, *levels)
    assert point.status is Status.OPTIMAL
    assert point.solver == label


def test_every_method_can_be_asked_for() -> None:
    labels = {
        "cuts": "cuts",
        "interior_point": "interior point",
        "levels": "interior point through levels",
        "reference": "CVXPY",
    }
    for solver, label in labels.items():
        point = cdp.solve(TOY, *LEVELS[id(TOY)], solver=solver, tol=1e-7)  # type: ignore[arg-type]
        assert label in point.solver or solver == "reference"
        assert point.status is Status.OPTIMAL
        assert_contains_the_truth(point)
    tables = [cdp.solve(toy("tv"), 0.72, 0.03, solver=s) for s in ("linear_program", "reference", "auto")]
    assert max(p.lower_bound for p in tables) <= min(p.upper_bound for p in tables)


def test_which_solver_asks_no_more_than_solve() -> None:
    with pytest.raises(TypeError, match="discretize"):
        cdp.which_solver(cdp.presets.paper_toy())  # type: ignore[arg-type]
    with pytest.raises(cdp.InputError, match="NaN"):
        cdp.which_solver(TOY, math.nan)


# limits


@both
def test_few_iterations_give_bounds_that_hold(grid: cdp.DiscreteProblem) -> None:
    bounds = []
    for count in (1, 3, 10, 30, 1000):
        point = cdp.solve(grid, *LEVELS[id(grid)], max_iter=count, boundary=BOUNDARY[id(grid)])
        assert_contains_the_truth(point, grid)
        bounds.append(point.lower_bound)
        if count <= 10:
            assert point.status in LIMITED
            assert point.note == "max_iter or time_limit was reached"
    assert point.status is Status.OPTIMAL
    assert np.all(np.diff(bounds) >= -1e-13)
    assert bounds[-1] > bounds[0]


@both
@pytest.mark.parametrize("count", [1, 3, 10])
def test_iterations_for_the_boundary_count(grid: cdp.DiscreteProblem, count: int) -> None:
    point = cdp.solve(grid, *LEVELS[id(grid)], max_iter=count)
    assert_contains_the_truth(point, grid)
    assert point.status in LIMITED


@both
def test_a_limit_that_is_not_reached_changes_nothing(grid: cdp.DiscreteProblem) -> None:
    point, truth = cdp.solve(grid, *LEVELS[id(grid)], max_iter=10**9, time_limit=3600.0), TRUTH[id(grid)]
    assert (point.lower_bound, point.upper_bound, point.solver, point.note) == (
        truth.lower_bound,
        truth.upper_bound,
        truth.solver,
        "",
    )


@pytest.mark.parametrize("name, level", [("tv", 0.03), ("w1", 0.08)])
def test_linear_programs_stop_too(name: str, level: float) -> None:
    grid = toy(name, threshold=0.0)
    truth = cdp.solve(grid, 0.71, level)
    for options in ({"max_iter": 1}, {"time_limit": 1e-9}):
        point = cdp.solve(grid, 0.71, level, **options)
        assert point.status in LIMITED
        assert point.lower_bound <= truth.upper_bound
        assert point.upper_bound >= truth.lower_bound


@both
def test_no_time_at_all_gives_bounds_that_hold(grid: cdp.DiscreteProblem) -> None:
    point = cdp.solve(grid, *LEVELS[id(grid)], time_limit=1e-9)
    assert point.status in LIMITED
    assert_contains_the_truth(point, grid)
    assert "time_limit was reached" in point.summary()


def test_limits_that_are_none_are_refused() -> None:
    for name in ("max_iter", "time_limit"):
        for value in (0, -1, -math.inf):
            with pytest.raises(cdp.InputError, match=f"{name} must be positive, got {value}; leave it out"):
                cdp.solve(TOY, *LEVELS[id(TOY)], **{name: value})
        with pytest.raises(cdp.InputError, match=f"{name} is NaN"):
            cdp.solve(TOY, *LEVELS[id(TOY)], **{name: math.nan})
        with pytest.raises(cdp.InputError, match=f"{name} must be a number"):
            cdp.solve(TOY, *LEVELS[id(TOY)], **{name: "long"})


@pytest.mark.parametrize("count", [3, 6, 9, 12])
def test_the_best_bound_of_all_iterates_is_kept(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last iterate's prices need not be the best ones."""
    bounds: list[float] = []
    take = engine._State.take

    def spy(state: Any, hint: Any, repaired: bool = True) -> None:
        take(state, hint, repaired)
        if state.program.objective is TOY.error_cost:
            bounds.extend(dual_bound(state.program, price, v).value for price, v in hint.trail())

    monkeypatch.setattr(engine._State, "take", spy)
    point = cdp.solve(TOY, *LEVELS[id(TOY)], solver="interior_point", max_iter=count, boundary=BOUNDARY[id(TOY)])
    assert len(bounds) == count + 1
    assert point.lower_bound >= max(bounds)


# the interrupt key


@both
@pytest.mark.parametrize("when", [1, 4, 20, 45])
def test_an_interrupt_keeps_what_is_found(
    grid: cdp.DiscreteProblem, when: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, step = [0], newton.System.step

    def interrupted(system: Any, *arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == when:
            raise KeyboardInterrupt
        return step(system, *arguments)

    monkeypatch.setattr(newton.System, "step", interrupted)
    with pytest.raises(cdp.SolveInterrupted, match=r"interrupted: C lies in \[0\.2.*\.solution") as caught:
        cdp.solve(grid, *LEVELS[id(grid)], solver="interior_point" if grid is TOY else "levels")
    assert calls[0] == when, "nothing runs on after the key"
    assert isinstance(caught.value, KeyboardInterrupt)
    point = caught.value.solution
    assert point.note == "interrupted"
    assert point.status in LIMITED
    assert_contains_the_truth(point, grid)


@pytest.mark.parametrize("when", [5, 20])
def test_a_known_boundary_serves_an_interrupted_solve(when: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing that could do without it follows, so that D_min(P) repairs what there is."""
    grid = cdp.presets.paper_toy().discretize(n=61)
    least = cdp.min_distortion(grid, 0.01)
    assert next((a for a in cheap_anchors(Program(grid, grid.error_cost, 0.676, 0.01)) if a.feasible), None) is None
    calls, step = [0], iteration._next

    def interrupted(*arguments: Any) -> Any:
        calls[0] += 1
        if calls[0] == when:
            raise KeyboardInterrupt
        return step(*arguments)

    monkeypatch.setattr(iteration, "_next", interrupted)
    with pytest.raises(cdp.SolveInterrupted) as caught:
        cdp.solve(grid, 0.676, 0.01, solver="levels", boundary=least)
    point = caught.value.solution
    assert point.upper_bound < 0.21
    assert point.channel is not None


# what is known already


@pytest.mark.parametrize(
    "solver, label", [("auto", "Newton's method on cuts"), ("levels", "interior point from a neighbour")]
)
@pytest.mark.parametrize("factor", [0.95, 1.05])
@pytest.mark.parametrize("name, threshold", [("kl", None), ("kl", 0.0), ("js", 0.0), ("chi2", None), ("chi2", 0.0)])
def test_a_neighbour_is_a_start(
    name: str, threshold: float | None, factor: float, solver: Literal["auto", "levels"], label: str
) -> None:
    grid = toy(name, 61, threshold)
    level = 0.004
    least = cdp.min_distortion(grid, level * factor).upper
    limit = least + 0.02
    first = cdp.solve(grid, limit, level)
    moved = (least + factor * 0.02, level * factor)
    cold, warm = cdp.solve(grid, *moved), cdp.solve(grid, *moved, solver=solver, warm_start=first)
    assert first.status is cold.status is warm.status is Status.OPTIMAL
    assert warm.solver == label
    assert warm.lower_bound <= cold.upper_bound
    assert cold.lower_bound <= warm.upper_bound
    assert abs(warm.lower_bound - cold.lower_bound) <= cold.gap + warm.gap


def test_a_warm_start_is_a_solution_of_the_same_shape() -> None:
    with pytest.raises(cdp.InputError, match="warm_start must be a Solution, got float"):
        cdp.solve(TOY, *LEVELS[id(TOY)], warm_start=0.2)  # type: ignore[arg-type]
    with pytest.raises(cdp.InputError, match=r"warm_start belongs to a problem of shape \(61, 61\)"):
        cdp.solve(TOY, *LEVELS[id(TOY)], warm_start=TRUTH[id(LARGE)])


def test_a_misleading_warm_start_is_harmless() -> None:
    """Prices and channel of another problem, or none at all: hints, not facts."""
    truth = TRUTH[id(TOY)]
    rng = np.random.default_rng(0)
    wild = dataclasses.replace(
        truth,
        potential=rng.normal(size=TOY.n_x) * 1e3,
        price_distortion=1e6,
        price_perception=1e-9,
        sparse_channel=csr_array(rng.dirichlet(np.ones(TOY.n_x), size=TOY.n_y)),
    )
    empty = dataclasses.replace(truth, potential=None, sparse_channel=None, price_perception=math.inf)
    for start in (wild, empty, cdp.solve(toy("tv"), 0.72, 0.03), cdp.solve(TOY, max_perception=0.0)):
        point = cdp.solve(TOY, *LEVELS[id(TOY)], warm_start=start)
        assert point.status is Status.OPTIMAL
        assert_contains_the_truth(point)


@both
def test_a_known_boundary_is_not_computed_again(grid: cdp.DiscreteProblem, monkeypatch: pytest.MonkeyPatch) -> None:
    known = BOUNDARY[id(grid)]
    limit = known.upper + 1e-5
    plain = cdp.solve(grid, limit, PERCEPTION)
    monkeypatch.setattr("cdp_toy.solving.bracket_of_minimum", None)
    informed = cdp.solve(grid, limit, PERCEPTION, boundary=known)
    assert informed.status is plain.status is Status.OPTIMAL
    assert max(plain.lower_bound, informed.lower_bound) <= min(plain.upper_bound, informed.upper_bound)
    below = cdp.solve(grid, known.lower - 1e-4, PERCEPTION, boundary=known, on_infeasible="return")
    assert below.status is Status.INFEASIBLE


def test_a_boundary_of_another_level_proves_nothing_wrong() -> None:
    """One of a lower perception level claims more than is true here: it is proven afresh."""
    other = cdp.min_distortion(TOY, 0.0005)
    limit = (BOUNDARY[id(TOY)].upper + other.lower) / 2
    assert BOUNDARY[id(TOY)].upper + 1e-3 < limit < other.lower - 1e-3
    point = cdp.solve(TOY, limit, PERCEPTION, boundary=other, on_infeasible="return")
    assert point.status is not Status.INFEASIBLE
    plain = cdp.solve(TOY, limit, PERCEPTION)
    assert max(plain.lower_bound, point.lower_bound) <= min(plain.upper_bound, point.upper_bound)
    with pytest.raises(cdp.InputError, match="of this very problem and level"):
        cdp.solve(TOY, 0.6, PERCEPTION, boundary=BOUNDARY[id(LARGE)])


# tol and on_infeasible


@pytest.mark.parametrize("tol", [1e-2, 1e-5, 1e-8, 1e-10])
def test_a_tolerance_is_met(tol: float) -> None:
    point = cdp.solve(LARGE, *LEVELS[id(LARGE)], tol=tol)
    assert point.status is Status.OPTIMAL
    assert point.gap <= tol
    assert_contains_the_truth(point, LARGE)


def test_proven_infeasibility_is_raised_or_returned() -> None:
    least = BOUNDARY[id(TOY)]
    limit = least.lower - 1e-6
    with pytest.raises(cdp.InfeasibleError, match=r"D_min = 0\.7") as caught:
        cdp.solve(TOY, limit, PERCEPTION)
    assert limit < caught.value.min_distortion.lower <= least.upper
    point = cdp.solve(TOY, limit, PERCEPTION, on_infeasible="return")
    assert point.status is Status.INFEASIBLE
    assert point.sparse_channel is None
    for other in ("Raise", "", None):
        with pytest.raises(cdp.InputError, match="on_infeasible"):
            cdp.solve(TOY, *LEVELS[id(TOY)], on_infeasible=other)  # type: ignore[arg-type]


def test_limits_never_turn_into_infeasibility() -> None:
    """What could not be decided in time is undecided, on both sides of the boundary."""
    least = BOUNDARY[id(LARGE)]
    for spare in (1e-6, 1e-3):
        for count in (1, 5, 20):
            point = cdp.solve(LARGE, least.upper + spare, PERCEPTION, max_iter=count)
            assert point.status is not Status.INFEASIBLE


# threads


def test_blas_keeps_to_one_thread_during_a_solve(monkeypatch: pytest.MonkeyPatch) -> None:
    threadpoolctl = pytest.importorskip("threadpoolctl")
    counts: list[int] = []
    step = newton.System.step

    def counted(system: Any, *arguments: Any) -> Any:
        counts.extend(pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas")
        return step(system, *arguments)

    monkeypatch.setattr(newton.System, "step", counted)
    with threadpoolctl.threadpool_limits(limits=2, user_api="blas"):
        cdp.solve(TOY, *LEVELS[id(TOY)], solver="interior_point", max_iter=20)
    assert set(counts) == {1}


def test_cuts_are_refused_where_couplings_are_not_monotone() -> None:
    for grid in (toy("renyi:2"), cdp.presets.plane_toy().discretize(n=4)):
        with pytest.raises(cdp.InputError, match="Newton's method on cuts needs letters on a line"):
            cdp.solve(grid, 0.8, 0.05, solver="cuts")
