"""Minima of reduced costs against the dense table, with compiled loops and without."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.testing import assert_allclose

import cdp_toy as cdp
from cdp_toy import kernels, pricing
from cdp_toy.costs import ClassCost, Cost, PricedCost, SquaredErrorCost, TableCost
from cdp_toy.pricing import Pricing

Array = np.ndarray
ROOT = Path(__file__).parents[1]

#: A few units in the last place of numbers of order ten.
ULPS = {"rtol": 1e-14, "atol": 1e-14}


class Case(NamedTuple):
    """A cost of pairs with its letters' groups, and the dense table of what is allowed."""

    pricing: Pricing
    table: Array
    low_rank: bool


def classes(rng: np.random.Generator, n_y: int, n_x: int) -> ClassCost:
    """Costs of three classes; some letters lie between two."""
    decision = np.eye(3)[rng.integers(3, size=n_x)]
    decision[:2] = [[0.25, 0.75, 0.0], [0.0, 0.5, 0.5]]
    return ClassCost(rng.random((n_y, 3)), decision)


def squares(rng: np.random.Generator, n_y: int, n_x: int, dim: int) -> SquaredErrorCost:
    return SquaredErrorCost(rng.normal(size=(n_y, dim)), rng.random(n_y), rng.normal(size=(n_x, dim)), rng.random(n_x))


def twice_priced(rng: np.random.Generator, n_y: int, n_x: int) -> Cost:
    """A price on top of a price, as the search over prices makes it."""
    square = squares(rng, n_y, n_x, 1)
    return PricedCost(PricedCost(classes(rng, n_y, n_x), square, 0.7), square, 0.4)


#: name -> maker of a cost, and whether the compiled loops take it
COSTS: dict[str, tuple[Callable[[np.random.Generator, int, int], Cost], bool]] = {
    "classes": (classes, True),
    "line": (lambda rng, n_y, n_x: squares(rng, n_y, n_x, 1), True),
    "plane": (lambda rng, n_y, n_x: squares(rng, n_y, n_x, 2), True),
    "space": (lambda rng, n_y, n_x: squares(rng, n_y, n_x, 3), True),
    "priced": (lambda rng, n_y, n_x: PricedCost(classes(rng, n_y, n_x), squares(rng, n_y, n_x, 2), 1.7), True),
    "twice_priced": (twice_priced, True),
    "table": (lambda rng, n_y, n_x: TableCost(rng.random((n_y, n_x))), False),
    "priced_table": (lambda rng, n_y, n_x: PricedCost(classes(rng, n_y, n_x), TableCost(rng.random((n_y, n_x))), 2.0),
                     False),
}  # fmt: skip
every_cost = pytest.mark.parametrize("name", COSTS)
every_shape = pytest.mark.parametrize("shape", [(9, 14), (17, 6), (1, 3), (5, 1)])
every_mask = pytest.mark.parametrize("masked", [False, True])


def case(name: str, shape: tuple[int, int], masked: bool) -> Case:
    """Random pairs; masked ones leave a letter without reach and forbid profiles, one row nearly everything."""
    n_y, n_x = shape
    rng = np.random.default_rng([n_y, n_x, len(name), masked])
    maker, low_rank = COSTS[name]
    if n_x < 2 and "line" not in name and name != "table":
        maker, low_rank = COSTS["plane"]
    cost = maker(rng, n_y, n_x)
    shares = next((c for c in (cost, getattr(cost, "base", None)) if isinstance(c, ClassCost)), None)
    inner = getattr(getattr(cost, "base", None), "base", None)
    shares = inner if isinstance(inner, ClassCost) else shares
    which = rng.integers(3, size=n_x) if shares is None else shares.profiles[1]
    reachable, allowed = np.ones(n_x, dtype=bool), None
    if masked:
        reachable[rng.integers(n_x)] = n_x == 1
        allowed = rng.random((n_y, int(which.max()) + 1)) < 0.6
        allowed[0] = False
        allowed[0, which[reachable][0]] = True
    table = cost.table().copy()
    table[:, ~reachable] = np.inf
    if allowed is not None:
        table[~allowed[:, which]] = np.inf
    return Case(Pricing(cost, reachable, allowed, which), table, low_rank)


@pytest.fixture(params=["loops", "interpreted", "numpy"])
def route(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Compiled loops, the same loops as plain Python, and blocks of rows."""
    loops = kernels._Loops(kernels._row_minima, kernels._column_least, kernels._column_minima, kernels._nearest)
    if request.param == "loops":
        pytest.importorskip("numba")
        kernels.compiled.cache_clear()
        monkeypatch.delenv("CDP_TOY_NUMBA", raising=False)
        assert kernels.compiled() is not None
    else:
        monkeypatch.setattr(pricing, "compiled", lambda: loops if request.param == "interpreted" else None)
    return str(request.param)


def least_of(reduced: Array, count: int) -> Array:
    """The `count` least of every row, filled up with inf."""
    ordered = np.sort(reduced, axis=1)[:, :count]
    return np.pad(ordered, [(0, 0), (0, count - ordered.shape[1])], constant_values=np.inf)


def assert_places(places: Array, values: Array, reduced: Array) -> None:
    """Every row's places are distinct and attain the values; -1 stands where there is none. Ties are free."""
    assert np.array_equal(places < 0, ~np.isfinite(values))
    for row, (where, value) in enumerate(zip(places, values, strict=True)):
        some = where >= 0
        assert len(np.unique(where[some])) == some.sum()
        assert_allclose(reduced[row, where[some]], value[some], **ULPS)


@every_cost
@every_shape
@every_mask
def test_minima_are_those_of_the_dense_table(name: str, shape: tuple[int, int], masked: bool, route: str) -> None:
    found, table, low_rank = case(name, shape, masked)
    assert (found._low_rank is not None) is low_rank
    rng = np.random.default_rng(3)
    v, u = rng.normal(size=shape[1]), rng.normal(size=shape[0])
    assert_allclose(found.row_minima(v), (table - v).min(axis=1), **ULPS)
    u[rng.integers(shape[0])] = -np.inf  # an observation without mass has no say
    reduced = (table - u[:, None]).T
    assert_allclose(found.column_least(u), reduced.min(axis=1), **ULPS)
    for count in (1, 3):
        values, places = found.column_minima(u, count)
        assert values.shape == places.shape == (shape[1], count)
        assert_allclose(values, least_of(reduced, count), **ULPS)
        assert_places(places, values, reduced)


@every_cost
@every_shape
@every_mask
@pytest.mark.parametrize("count", [1, 2, 5])
def test_nearest_letters_of_every_group(
    name: str, shape: tuple[int, int], masked: bool, count: int, route: str
) -> None:
    found, table, _ = case(name, shape, masked)
    v = np.random.default_rng(4).normal(size=shape[1])
    group = np.random.default_rng(5).integers(4, size=shape[1])  # some with fewer letters than asked for, some empty
    values, letters = found.nearest(v, group, count)
    assert values.shape == letters.shape == (shape[0], group.max() + 1, count)
    for g in range(group.max() + 1):
        reduced = np.where(group == g, table - v, np.inf)
        assert_allclose(values[:, g], least_of(reduced, count), **ULPS)
        assert_places(letters[:, g], values[:, g], reduced)


@every_cost
@pytest.mark.parametrize("block", [1, 20, 1 << 18])
def test_the_size_of_blocks_changes_nothing(name: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    found, table, _ = case(name, (9, 14), True)
    monkeypatch.setattr(pricing, "compiled", lambda: None)
    monkeypatch.setattr(pricing, "BLOCK", block)
    u, v = np.arange(9.0) / 7, np.arange(14.0) / 5
    assert_allclose(found.row_minima(v), (table - v).min(axis=1), **ULPS)
    assert_allclose(found.column_minima(u, 2)[0], least_of((table - u[:, None]).T, 2), **ULPS)
    values, letters = found.nearest(v, np.zeros(14, dtype=np.intp), 3)
    assert_allclose(values[:, 0], least_of(table - v, 3), **ULPS)
    assert_places(letters[:, 0], values[:, 0], table - v)


def test_ties_are_all_found(route: str) -> None:
    """Five letters in one place, of which three are asked for."""
    cost = SquaredErrorCost(np.zeros((2, 1)), np.zeros(2), np.zeros((5, 1)), np.zeros(5))
    found = Pricing(cost, np.ones(5, dtype=bool), None, np.zeros(5, dtype=np.intp))
    values, letters = found.nearest(np.zeros(5), np.zeros(5, dtype=np.intp), 3)
    assert np.array_equal(values, np.zeros((2, 1, 3)))
    assert all(len(set(row[0])) == 3 for row in letters)
    values, observations = found.column_minima(np.zeros(2), 4)
    assert np.array_equal(values, np.tile([0.0, 0.0, np.inf, np.inf], (5, 1)))
    assert all(set(row) == {0, 1, -1} for row in observations)


def test_a_block_is_infinite_off_the_support() -> None:
    found, table, _ = case("priced", (9, 14), True)
    rows, columns = np.array([0, 3, 8]), np.array([1, 5, 13, 2])
    assert_allclose(found.block(rows, columns), table[np.ix_(rows, columns)], **ULPS)
    assert_allclose(found.block(slice(2, 5), slice(None)), table[2:5], **ULPS)


@pytest.mark.parametrize("dim", [1, 2])
def test_solving_does_not_depend_on_the_route(dim: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    grid = cdp.presets.paper_toy().discretize(n=61) if dim == 1 else cdp.presets.plane_toy().discretize(n=7)
    limit = cdp.min_distortion(grid, 0.01).upper + 0.01
    first = cdp.solve(grid, limit, 0.01)
    monkeypatch.setattr(pricing, "compiled", lambda: None)
    second = cdp.solve(grid, limit, 0.01)
    assert first.status is second.status is cdp.Status.OPTIMAL
    assert first.lower_bound <= second.upper_bound
    assert second.lower_bound <= first.upper_bound


def test_numba_can_be_switched_off() -> None:
    code = (
        "import sys, cdp_toy as cdp\n"
        "point = cdp.solve(cdp.presets.paper_toy().discretize(n=41), 0.72, 0.004)\n"
        "print('numba' in sys.modules, point.lower_bound.hex(), point.upper_bound.hex())"
    )
    environment = os.environ | {"CDP_TOY_NUMBA": "0"}
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120
    )
    assert run.stderr == ""
    loaded, lower, upper = run.stdout.split()
    assert loaded == "False"
    here = cdp.solve(cdp.presets.paper_toy().discretize(n=41), 0.72, 0.004)
    assert float.fromhex(lower) == pytest.approx(here.lower_bound, abs=2e-8)
    assert float.fromhex(lower) <= here.upper_bound
    assert here.lower_bound <= float.fromhex(upper)


def test_a_missing_numba_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "numba", None)  # makes the import fail
    monkeypatch.delenv("CDP_TOY_NUMBA", raising=False)
    kernels.compiled.cache_clear()
    try:
        assert kernels.compiled() is None
    finally:
        kernels.compiled.cache_clear()
