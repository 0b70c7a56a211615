"""The interior-point iteration from the inside: its matrix, its loops, its steps, and where it is taken up again.

What it returns is certified anyway; here is what it is meant to do.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
import pathlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

import cdp_toy as cdp
from cdp_toy import boundary
from cdp_toy.certificates import Program
from cdp_toy.solvers import columns, iteration, newton, pair_loops, support
from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.columns import heavy_pairs
from cdp_toy.solvers.interior_point import Answer, Start, solve_on
from cdp_toy.solvers.iteration import Path
from cdp_toy.solvers.newton import Data, State
from cdp_toy.solvers.pair_loops import PairLoops
from cdp_toy.solvers.restriction import SavedState, restricted
from cdp_toy.solvers.support import NormalMatrix, Support

Array = np.ndarray

TOY = cdp.presets.paper_toy().discretize(n=41)


# restricted supports


def random_support(rng: np.random.Generator, n_y: int, n_x: int, most: int) -> Support:
    """A few letters for every row, all columns met."""
    mask = np.zeros((n_y, n_x), dtype=bool)
    for row in range(n_y):
        mask[row, rng.choice(n_x, size=rng.integers(1, most + 1), replace=False)] = True
    mask[rng.integers(n_y, size=n_x), np.arange(n_x)] = True
    return Support(*np.nonzero(mask), (n_y, n_x))


@pytest.mark.parametrize("sizes", [(1, 1, 1), (7, 5, 2), (40, 30, 3), (30, 40, 12), (12, 9, 9)])
@pytest.mark.parametrize("route", ["banded", "sparse", "dense"])
def test_the_normal_matrix_is_its_formula(
    sizes: tuple[int, int, int], route: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng([*sizes, len(route)])
    pairs = random_support(rng, *sizes)
    costs = {"banded": (0.0, 0.0, 1e8), "sparse": (0.0, 1e-9, -1.0), "dense": (4.0, 1e30, 1e30)}[route]
    for name, cost in zip(("GATHER", "BANDED", "WIDEST_BAND"), costs, strict=True):
        monkeypatch.setattr(support, name, cost)
    normal = NormalMatrix(pairs)
    assert normal.route == route or (route == "dense" and max(sizes) == 1)  # a single pair costs nothing anyhow
    theta, extra = 10.0 ** rng.uniform(-3, 3, pairs.size), 10.0 ** rng.uniform(-2, 2, sizes[1])
    full = np.zeros(pairs.shape)
    full[pairs.rows, pairs.columns] = theta
    row_theta = pairs.row_sums(theta)
    assert_allclose(row_theta, full.sum(axis=1), rtol=1e-13)
    assert_allclose(pairs.column_sums(theta), full.sum(axis=0), rtol=1e-13)
    assert_allclose(pairs.row_minima(theta), np.where(full > 0, full, np.inf).min(axis=1))
    laplacian = np.diag(full.sum(axis=0)) - full.T @ (full / full.sum(axis=1, keepdims=True))
    seen: list[Array] = []

    def more(diagonal: Array) -> Array:
        seen.append(diagonal)
        return extra

    solve = normal.solver(theta, row_theta, more)
    assert solve is not None
    assert_allclose(seen[0], np.diag(laplacian), rtol=1e-9, atol=1e-9)
    right = rng.normal(size=(sizes[1], 2))
    expected = np.linalg.solve(laplacian + np.diag(extra), right)
    size = np.abs(expected).max()
    assert_allclose(solve(right), expected, rtol=1e-7, atol=1e-9 * size)
    assert_allclose(solve(right[:, 0]), expected[:, 0], rtol=1e-7, atol=1e-9 * size)


def test_a_matrix_that_cannot_be_factorized_is_refused() -> None:
    pairs = random_support(np.random.default_rng(0), 6, 5, 3)
    assert (
        NormalMatrix(pairs).solver(np.ones(pairs.size), pairs.row_sums(np.ones(pairs.size)), lambda d: -3 * d) is None
    )


# the loops, compiled and not

ROUTES: dict[str, Callable[[], PairLoops]] = {
    "numpy": lambda: pair_loops.INTERPRETED,
    "uncompiled": lambda: PairLoops(
        pair_loops._fold, pair_loops._unfold, pair_loops._band, pair_loops._lowest, pair_loops._product
    ),
    "compiled": pair_loops.pair_loops,
}


@pytest.fixture(params=ROUTES)
def loops(request: pytest.FixtureRequest) -> PairLoops:
    if request.param == "compiled":
        pytest.importorskip("numba")
    return ROUTES[request.param]()


@pytest.mark.parametrize("sizes", [(1, 1, 1), (7, 5, 2), (30, 40, 12)])
def test_products_within_rows(sizes: tuple[int, int, int], loops: PairLoops) -> None:
    rng = np.random.default_rng(sizes)
    pairs, n = random_support(rng, *sizes), sizes[1]
    scaled, rank = rng.random(pairs.size), rng.permutation(n)
    full = np.zeros(pairs.shape)
    full[pairs.rows, rank[pairs.columns]] = scaled
    product = full.T @ full
    np.fill_diagonal(product, 0.0)
    lengths = np.diff(np.append(pairs.starts, pairs.size))
    first, second = support._pairs_within_rows(pairs.starts, lengths)
    band, sums = loops.band(first, second, rank[pairs.columns], n, n - 1, scaled)
    for below in range(n):
        assert_allclose(band[below, : n - below], np.diag(product, below), rtol=1e-12, atol=1e-15)
        assert not band[below, n - below :].any()
    assert_allclose(sums, product.sum(axis=0), rtol=1e-12)


def test_the_lowest_ratio(loops: PairLoops) -> None:
    assert loops.lowest(np.array([1.0, -3.0, 5.0]), np.array([2.0, 4.0, 1.0])) == -0.75
    assert math.isnan(loops.lowest(np.array([1.0, math.nan, -5.0]), np.ones(3)))


def test_the_product_with_a_sparse_matrix(loops: PairLoops) -> None:
    pairs, rng = random_support(np.random.default_rng(3), 7, 5, 2), np.random.default_rng(4)
    values, vector, full = rng.random(pairs.size), rng.random(5), np.zeros((7, 5))
    full[pairs.rows, pairs.columns] = values
    assert_allclose(loops.product(pairs.rows, pairs.columns, values, vector, 7), full @ vector, rtol=1e-12)


def test_compiled_loops_are_used_when_numba_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    for value, interpreted in (("0", True), ("1", False)):
        monkeypatch.setenv("CDP_TOY_NUMBA", value)
        pair_loops.pair_loops.cache_clear()
        assert (pair_loops.pair_loops() is pair_loops.INTERPRETED) is interpreted
    pair_loops.pair_loops.cache_clear()


def test_what_numba_keeps_on_disk_names_no_class_of_ours() -> None:
    """A newer version that renames one could not load it."""
    pytest.importorskip("numba")
    solve_on(Program(TOY, TOY.error_cost, 0.8, 0.01), np.arange(TOY.n_y * TOY.n_x), 1e-6, Budget())
    kept = list(pathlib.Path(pair_loops.__file__).parent.joinpath("__pycache__").glob("pair_loops._*.nbi"))
    assert len(kept) >= 3
    ours = [kind.__name__.encode() for kind in (pair_loops.PairTerms, pair_loops.LetterTerms, pair_loops.PriceTerms)]
    assert [path.name for path in kept if any(name in path.read_bytes() for name in ours)] == []


# steps


def starved(grid: cdp.DiscreteProblem) -> cdp.DiscreteProblem:
    """The same letters, of which two have no source mass."""
    places = np.linspace(-3.0, 3.0, 21)
    laws = np.exp(-((places - np.array([[-1.0], [1.0]])) ** 2) / 2)
    laws[:, [3, 15]] = 0.0
    noise = np.exp(-((places[:, None] - places) ** 2) / 2)
    return cdp.DiscreteProblem.from_tables(
        [0.7, 0.3],
        laws / laws.sum(axis=1, keepdims=True),
        noise / noise.sum(axis=1, keepdims=True),
        (places > 0.4).astype(int),
        distortion="squared_error",
        perception=grid.perception,
        x_values=places,
    )


def midway(level: float = 0.01, name: str = "kl", limit: float = 0.8) -> tuple[Program, Data, State]:
    """A program on all of its pairs and a state of it in the midst of the iteration."""
    grid = dataclasses.replace(cdp.presets.paper_toy(), perception=name.split(",")[0]).discretize(n=21)
    if "without" in name:
        grid = starved(grid)
    program = Program(grid, grid.error_cost, limit, level)
    seen: list[tuple[Data, State]] = []
    step = iteration._next

    def spy(data: Data, state: State, *rest: Any) -> Any:
        seen.append((data, state))
        return step(data, state, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(iteration, "_next", spy)
        solve_on(program, np.flatnonzero(program.support()), 1e-10, Budget())
    return program, *seen[4]


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "chi2", "js", "renyi:2", "js, letters without mass"])
@pytest.mark.parametrize("limit", [0.8, math.inf])
def test_a_step_solves_the_linear_equations(
    name: str, limit: float, loops: PairLoops, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are linear but f' and f, of which the secant and the slope stand in."""
    _, data, state = midway(name=name, limit=limit)
    for module in (newton, support):
        monkeypatch.setattr(module, "pair_loops", lambda: loops)
    missed = newton.residuals(data, state)
    system = newton.System(data, state, missed)
    rng = np.random.default_rng(0)
    asked = rng.random(data.support.size) * state.x * state.z, 0.3 * state.lam * state.s, 0.2 * state.kap * state.t
    step = system.step(*asked)
    pairs, seen = data.support, data.seen
    assert seen.all() is not ("without" in name)
    close = {"rtol": 1e-7, "atol": 1e-11}
    assert_allclose(pairs.row_sums(step.x), missed.rows, **close)
    assert_allclose(pairs.column_sums(step.x) - step.q, missed.columns, **close)
    d = 0.0 if data.distortion is None else data.distortion
    assert_allclose(step.z + step.u[pairs.rows] + step.v[pairs.columns] - step.lam * d, missed.dual, **close)
    assert_allclose(state.x * step.z + state.z * step.x, asked[0], **close)
    assert_allclose(state.kap * step.t + state.t * step.kap, asked[2], **close)
    follows = missed.potential + step.kap * data.descent(state.q) - step.q / system.secant
    assert_allclose(step.v[seen], follows[seen], rtol=1e-6, atol=1e-9)
    assert_allclose(step.t + system.slope @ step.q, missed.perception, rtol=1e-6, atol=1e-9)
    if data.distortion is not None:
        assert_allclose(step.x @ data.distortion + step.s, missed.distortion, **close)
        assert_allclose(state.lam * step.s + state.s * step.lam, asked[1], **close)
    primal, dual = newton.step_lengths(data, state, step, 1.0)
    there = state.moved(step, primal, dual)
    least = [float(np.min(part)) for part in (there.x, there.z, there.q[seen])]
    assert min(*least, there.s if data.distortion is not None else 1.0, there.t, there.kap) >= -1e-12
    assert 0 < primal <= 1
    assert 0 < dual <= 1


def test_corrections_pull_products_towards_their_target() -> None:
    low, high = iteration.CENTRAL
    products, target = np.array([-1.0, 0.01, 0.1, 1.0, 10.0, 12.0, 1e6]), 1.0
    pull = iteration._towards(products, target)
    assert_allclose(pull, [low + 1, low - 0.01, 0, 0, 0, -2, -high], atol=1e-15)


def test_an_iteration_that_gets_nowhere_ends() -> None:
    _, _, state = midway()
    path = Path()
    for count in range(2 * iteration.LONG):
        path.meet(state, 1.0 if count > 3 else 8.0 - count, 0.0)
        assert path.stalled is (count > 4 + iteration.LONG)
    path.meet(state, 0.4, 0.0)
    assert not path.stalled


# where it is taken up again


def answer_on(program: Program, keys: Array, tol: float, start: Any = None) -> Answer:
    found = solve_on(program, keys, tol, Budget(), start)
    assert found is not None
    assert found.merit <= tol
    return found


def test_a_state_is_taken_up_on_other_pairs() -> None:
    program = Program(TOY, TOY.error_cost, cdp.min_distortion(TOY, 0.01).upper + 0.01, 0.01)
    everything = np.flatnonzero(program.support())
    cold = answer_on(program, everything, 1e-11)
    heavy = heavy_pairs(cold.joint, TOY)
    rng = np.random.default_rng(0)
    some = np.union1d(heavy, rng.choice(everything, size=len(everything) // 4, replace=False))
    first = answer_on(program, some, 1e-4)
    here = first.checkpoint_above(1e-3)
    for keys in (everything, np.union1d(heavy, rng.choice(everything, size=len(everything) // 4, replace=False))):
        data, units = restricted(program, keys)
        state = units.resumed(data, here)
        assert_allclose(data.support.row_sums(state.x), data.p_y, rtol=1e-12)
        assert_allclose(data.support.column_sums(state.x), state.q, rtol=1e-12)
        again = units.saved(state)
        known, old = np.isin(keys, some), np.isin(some, keys)
        assert_allclose(again.z[known], here.z[old], rtol=1e-12)
        # rows are normalised: what is left of them is shared as it was
        rows = keys[known] // TOY.n_x
        scale = again.x[known] / here.x[old]
        assert_allclose(scale, np.bincount(rows, scale)[rows] / np.bincount(rows)[rows], rtol=1e-12)
        assert np.all(again.x > 0)
        assert np.all(again.z > 0)
        assert_allclose([again.lam, again.kap, again.s, again.t], [here.lam, here.kap, here.s, here.t], rtol=1e-12)
    warm = answer_on(program, everything, 1e-11, here)
    value = [float(program.objective.entries(*np.divmod(a.units.keys, TOY.n_x)) @ a._best.x) for a in (cold, warm)]
    assert value[0] == pytest.approx(value[1], abs=1e-10)
    assert len(warm.path.trail) < len(cold.path.trail)


def test_states_are_kept_at_falling_merits() -> None:
    program = Program(TOY, TOY.error_cost, 0.8, 0.01)
    answer = answer_on(program, np.flatnonzero(program.support()), 1e-11)
    merits = [merit for merit, _ in answer.path.checkpoints]
    assert all(later <= iteration.APART * earlier for earlier, later in itertools.pairwise(merits[:-1]))
    assert answer.path.checkpoints[-1][1] is answer.path.best
    for merit in (math.inf, 1e-3, 1e-6, 0.0):
        found = answer.checkpoint_above(merit)
        expected = [m for m in merits if answer.units.cost * m >= merit] or merits[:1]
        state = answer.path.checkpoints[merits.index(expected[-1])][1]
        assert found.kap == pytest.approx(answer.units.cost * state.kap, rel=1e-14)


@pytest.mark.parametrize("share, taken_up", [(0.002, True), (0.05, False)])
def test_a_near_neighbour_is_taken_up_where_it_was_central(share: float, taken_up: bool) -> None:
    """A state that other levels can be reached from saves steps; far away, or for another problem, prices serve."""
    levels = (cdp.min_distortion(TOY, 0.003).upper + 0.005, 0.003)
    first = cdp.solve(TOY, *levels, solver="levels")
    assert isinstance(first.state, SavedState)
    there = tuple(level * (1 + share) for level in levels)
    starts: dict[str, list[object]] = {}
    steps: dict[str, int] = {}
    for name, state in (("state", first.state), ("prices", None)):
        seen = starts.setdefault(name, [])
        taken: list[int] = []

        def watched(*arguments: Any, seen: list[object] = seen, taken: list[int] = taken, **more: Any) -> Answer | None:
            seen.append(arguments[4])
            answer = solve_on(*arguments, **more)
            taken.append(0 if answer is None else len(answer.path.trail))
            return answer

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(columns, "solve_on", watched)
            point = cdp.solve(TOY, *there, solver="levels", warm_start=dataclasses.replace(first, state=state))
        assert point.status is cdp.Status.OPTIMAL
        assert point.solver == "interior point from a neighbour"
        steps[name] = sum(taken)
    assert (starts["state"][0] is first.state) is taken_up
    assert isinstance(starts["prices"][0], Start)
    if taken_up:
        assert steps["state"] < steps["prices"]


@pytest.mark.parametrize("spare, asked", [(0.3, False), (0.02, False), (1e-7, True)])
def test_the_least_distortion_is_found_out_only_where_it_matters(
    spare: float, asked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Far from D_min(P) the coarser levels tell how far; nearer a rough value of the finest one does."""
    plane = cdp.presets.plane_toy().discretize(n=16)
    limit = cdp.min_distortion(plane, 0.01).upper + spare
    calls: list[float] = []
    bracket = boundary.bracket_of_minimum
    monkeypatch.setattr(
        "cdp_toy.solving.bracket_of_minimum", lambda *rest, **more: calls.append(0.0) or bracket(*rest, **more)
    )
    point = cdp.solve(plane, limit, 0.01, tol=1e-7)
    assert point.status is cdp.Status.OPTIMAL
    assert bool(calls) is asked
