"""The largest of affine functions without a table of all pairs, and the nearest mixtures of corners of triangles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import nnls
from scipy.spatial import ConvexHull

from cdp_toy.surfaces.maxima import FEW, TABLE, climbed, maxima
from cdp_toy.tracing.mixtures import triangle_weights

Array = np.ndarray


def assert_largest(slopes: Array, heights: Array, places: Array) -> None:
    """Against the table of all pairs; sums may be rounded otherwise there."""
    values, which = maxima(slopes, heights, places)
    table = heights + places @ slopes.T
    size = np.abs(heights).max() + np.abs(slopes).max() * np.abs(places).max(initial=0.0)
    rounding = 8 * np.finfo(float).eps * size + 1e-300
    assert values.shape == which.shape == (len(places),)
    assert_allclose(values, table.max(axis=1), rtol=0, atol=rounding)
    assert_allclose(table[np.arange(len(places)), which], values, rtol=0, atol=rounding)


# maxima


def tangents(rng: np.random.Generator, m: int) -> tuple[Array, Array]:
    """Planes that touch a bowl: almost each is the largest somewhere."""
    at = rng.random((m, 2))
    return 2 * at, -(at * at).sum(axis=1)


@pytest.mark.parametrize(("m", "n"), [(3000, 3000), (40, 20_000), (20_000, 40), (TABLE, FEW + 1), (1, 2 * TABLE)])
def test_tangents_of_a_bowl_in_boxes(m: int, n: int) -> None:
    rng = np.random.default_rng([m, n])
    assert m * n > TABLE  # else nothing is halved
    slopes, heights = tangents(rng, m)
    places = rng.random((n, 2)) * 1.2 - 0.1
    values, which = maxima(slopes, heights, places)
    for part in np.array_split(np.arange(n), 1 + m * n // 1_000_000):
        table = heights + places[part] @ slopes.T
        assert_allclose(values[part], table.max(axis=1), rtol=0, atol=1e-14)
        assert_allclose(table[np.arange(len(part)), which[part]], values[part], rtol=0, atol=1e-14)
    assert np.all(values <= (places * places).sum(axis=1) + 1e-14)


@pytest.mark.parametrize("units", [(1.0, 1.0), (1e-9, 1e6), (1e8, 1e-3)])
@pytest.mark.parametrize("shift", [0.0, 1e4])
def test_units_of_levels_and_values_do_not_matter(units: tuple[float, float], shift: float) -> None:
    rng = np.random.default_rng(3)
    slopes, heights = rng.normal(size=(700, 2)) / units, rng.normal(size=700) + shift
    assert_largest(slopes, heights, rng.normal(size=(600, 2)) * units)


def test_the_first_of_equal_functions_is_named() -> None:
    places = np.random.default_rng(4).random((2000, 2))
    slopes, heights = np.tile([[1.0, -2.0], [0.0, 0.0]], (50, 1)), np.tile([0.5, 0.25], 50)
    values, which = maxima(slopes, heights, places)
    table = np.array([places @ [1.0, -2.0] + 0.5, np.full(2000, 0.25)])
    assert_allclose(values, table.max(axis=0), rtol=0, atol=1e-15)
    clear = np.abs(table[0] - table[1]) > 1e-12
    assert_array_equal(which[clear], table.argmax(axis=0)[clear])
    _, which = maxima(np.zeros((300, 2)), np.zeros(300), places)
    assert_array_equal(which, 0)


@pytest.mark.parametrize(
    "places",
    [
        np.zeros((0, 2)),
        np.array([[0.3, -0.7]]),
        np.tile([[0.3, -0.7]], (3000, 1)),
        np.repeat(np.random.default_rng(5).random((5, 2)), 600, axis=0),
        np.linspace(-1, 1, 3000)[:, None] * [1.0, 0.0],
        np.linspace(-1, 1, 3000)[:, None] * [0.0, 1.0],
        np.linspace(-1, 1, 3000)[:, None] * [1.0, -0.5] + 0.25,
        np.stack(np.meshgrid(np.linspace(0, 1, 60), np.linspace(0, 1, 50)), axis=-1).reshape(-1, 2),
    ],
    ids=["none", "one", "all the same", "five", "level", "upright", "slanting", "lattice"],
)
@pytest.mark.parametrize("functions", ["one", "same", "bowl", "parallel", "fan", "random"])
def test_degenerate_places_and_functions(places: Array, functions: str) -> None:
    rng = np.random.default_rng(6)
    slopes, heights = {
        "one": (np.array([[0.5, -1.5]]), np.array([2.0])),
        "same": (np.tile([[0.5, -1.5]], (200, 1)), np.full(200, 2.0)),
        "bowl": tangents(rng, 300),
        "parallel": (np.tile([[0.5, -1.5]], (200, 1)), rng.normal(size=200)),
        "fan": (np.linspace(-1, 1, 200)[:, None] * [1.0, 1.0], np.zeros(200)),  # all meet along a line
        "random": (rng.normal(size=(150, 2)), rng.normal(size=150)),
    }[functions]
    assert_largest(slopes, heights, places)


numbers = st.floats(-1e3, 1e3) | st.sampled_from([0.0, 1.0, -1.0, 1e-9])


@settings(deadline=None, max_examples=150)
@given(data=st.data(), table=st.sampled_from([1, 16, TABLE]))
def test_small_inputs_are_compared_in_boxes_of_any_size(data: st.DataObject, table: int) -> None:
    m, n = data.draw(st.integers(1, 12)), data.draw(st.integers(0, 40))
    slopes, heights, places = (data.draw(arrays(float, shape, elements=numbers)) for shape in ((m, 2), m, (n, 2)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("cdp_toy.surfaces.maxima.TABLE", table)
        patch.setattr("cdp_toy.surfaces.maxima.FEW", 1)
        assert_largest(slopes, heights, places)


# climbing


def test_from_neighbour_to_neighbour_the_largest_is_found() -> None:
    """Facets of the lower hull of a paraboloid; starts are anywhere."""
    rng = np.random.default_rng(12)
    at = rng.random((800, 2))
    hull = ConvexHull(np.column_stack([at, (at * at).sum(axis=1)]))
    lower = np.flatnonzero(hull.equations[:, 2] < -1e-9)
    number = np.full(len(hull.equations), -1)
    number[lower] = np.arange(len(lower))
    rows = hull.equations[lower]
    slopes, heights = -rows[:, :2] / rows[:, 2:3], -rows[:, 3] / rows[:, 2]
    places = np.einsum("nk,nkj->nj", rng.dirichlet(np.ones(3), size=3000), at[rng.integers(800, size=(3000, 3))])
    start = rng.integers(len(lower), size=len(places))
    values, which = climbed(slopes, heights, number[hull.neighbors[lower]], start, places)
    expected, _ = maxima(slopes, heights, places)
    assert_allclose(values, expected, rtol=0, atol=1e-12)
    assert_allclose(heights[which] + np.sum(slopes[which] * places, axis=1), values, rtol=0, atol=1e-14)
    assert climbed(slopes, heights, np.full((len(lower), 3), -1), start, places)[1].tolist() == start.tolist()


# weights

rounded = numbers.map(lambda x: round(x, 6))


def least_distance(corners: Array, target: Array) -> float:
    """Distance of a triangle from a place: 0 with the place in between, else that of the nearest side, by a scan."""
    scale = float(np.abs(corners - target).max()) or 1.0
    around = (corners - target) / scale
    share = np.linspace(0, 1, 2001)[:, None]
    sides = [np.hypot(*((1 - share) * around[i] + share * around[j]).T).min() for i, j in ((0, 1), (1, 2), (2, 0))]
    inside = nnls(np.vstack([around.T, np.full(3, 10.0)]), np.array([0.0, 0.0, 10.0]))[1] < 1e-12
    return 0.0 if inside else scale * float(min(sides))


def assert_nearest(corners: Array, targets: Array, tol: float = 1e-12) -> None:
    weights = triangle_weights(corners, targets)
    assert weights.shape == (len(corners), 3)
    assert np.all(weights >= 0)
    assert_allclose(weights.sum(axis=1), 1.0, rtol=0, atol=1e-12)
    away = np.hypot(*(np.einsum("mk,mkj->mj", weights, corners) - targets).T)
    for corner, target, far in zip(corners, targets, away, strict=True):
        size = float(np.abs(corner).max() + np.abs(target).max())
        assert far <= least_distance(corner, target) + tol * size, (corner.tolist(), target.tolist())


def test_means_of_random_triangles_are_nearest() -> None:
    rng = np.random.default_rng(7)
    corners, targets = rng.random((400, 3, 2)), rng.random((400, 2)) * 1.6 - 0.3
    assert_nearest(corners, targets)
    inner = rng.dirichlet(np.ones(3), size=400)
    weights = triangle_weights(corners, np.einsum("mk,mkj->mj", inner, corners))
    area = np.abs(np.linalg.det(corners[:, 1:] - corners[:, :1]))
    assert_allclose(weights[area > 1e-3], inner[area > 1e-3], rtol=0, atol=1e-10)


@pytest.mark.parametrize("turn", [[0, 1, 2], [1, 2, 0], [2, 0, 1], [0, 2, 1], [2, 1, 0], [1, 0, 2]])
def test_corners_may_come_in_any_order(turn: list[int]) -> None:
    rng = np.random.default_rng(8)
    corners, targets = rng.random((200, 3, 2)), rng.random((200, 2)) * 2 - 0.5
    plain, turned = triangle_weights(corners, targets), triangle_weights(corners[:, turn], targets)
    assert_allclose(turned, plain[:, turn], rtol=0, atol=1e-10)


def test_corners_that_coincide() -> None:
    rng = np.random.default_rng(9)
    corners, targets = rng.random((120, 3, 2)), rng.random((120, 2)) * 1.6 - 0.3
    corners[:40, 1], corners[40:80, 2], corners[80:, 2] = corners[:40, 0], corners[40:80, 0], corners[80:, 1]
    assert_nearest(corners, targets)
    points = np.repeat(corners[:, :1], 3, axis=1)
    assert_nearest(points, targets)
    assert_nearest(points, points[:, 0])  # nothing to divide by
    for corner in range(3):
        assert_nearest(corners, corners[:, corner])


def test_a_place_between_two_corners_that_are_given_twice() -> None:
    """A chain of places has no area: what rounding leaves of it says nothing."""
    rng = np.random.default_rng(10)
    ends, share = rng.random((500, 2, 2)), rng.random((500, 1))
    targets = (1 - share) * ends[:, 0] + share * ends[:, 1]
    assert_nearest(ends[:, [0, 1, 0]], targets)
    assert_nearest(ends[:, [0, 1, 1]], targets)


def test_a_place_among_corners_on_one_line() -> None:
    rng = np.random.default_rng(11)
    start, along, share = rng.random((500, 1, 2)), rng.random((500, 1, 2)), rng.random((500, 3, 1))
    corners = start + share * along
    targets = start[:, 0] + rng.uniform(-0.3, 1.3, (500, 1)) * along[:, 0]
    assert_nearest(corners, targets)


@settings(deadline=None, derandomize=True, max_examples=150)
@given(corners=arrays(float, (1, 3, 2), elements=rounded), targets=arrays(float, (1, 2), elements=rounded))
def test_any_triangle_and_place(corners: Array, targets: Array) -> None:
    assert_nearest(corners, targets, 1e-6)


@settings(deadline=None, max_examples=100)
@given(data=st.data())
def test_places_on_a_coarse_lattice(data: st.DataObject) -> None:
    whole = st.integers(-3, 3)
    corners = np.array(data.draw(st.lists(st.tuples(whole, whole), min_size=3, max_size=3)), float)[None]
    target = np.array(data.draw(st.tuples(whole, whole)), float)[None]
    assert_nearest(corners, target)
