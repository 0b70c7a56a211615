"""Hulls, envelopes and their vertices against linear programs and dense sampling, also where Qhull has a hard time."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.optimize import linprog

from cdp_toy.surfaces.curves import BRACKETS, TANGENTS, VALUES, Curve, traced_region
from cdp_toy.surfaces.geometry import Envelope, Polygon, Scale, lower_hull, mixture
from cdp_toy.surfaces.vertices import envelope_vertices, vertices_of

Array = np.ndarray
UNIT = Scale((0.0, 0.0), (1.0, 1.0))
RNG = np.random.default_rng(0)


def root(d: Array, p: Array) -> Array:
    """Vertical tangent at D = 0 and at P = 0, as the surfaces of the paper have."""
    return 1 - np.sqrt(d) / 2 - np.sqrt(p) / 3


def bowl(d: Array, p: Array) -> Array:
    return (1 - d) ** 2 + (1 - p) ** 2 / 2 + (2 - d - p) ** 2 / 5


#: name -> attained places and values, in units of the unit square
CLOUDS: dict[str, tuple[Array, Array]] = {
    "random": (RNG.random((40, 2)), RNG.random(40)),
    "bowl": (x := RNG.random((60, 2)), bowl(*x.T)),
    "root": (y := RNG.random((60, 2)) ** 3, root(*y.T)),
    "one_point": (np.array([[0.3, 0.4]]), np.array([2.0])),
    "two_points": (np.array([[0.3, 0.4], [0.6, 0.1]]), np.array([2.0, 1.0])),
    "collinear": (np.column_stack([np.linspace(0, 1, 9), np.full(9, 0.5)]), np.linspace(1, 0, 9) ** 2),
    "duplicates": (np.repeat(RNG.random((6, 2)), 5, axis=0), np.repeat(RNG.random(6), 5)),
    "nearly_equal": (np.full((5, 2), 0.5) + 1e-13 * RNG.random((5, 2)), 1 + 1e-13 * RNG.random(5)),
    "constant": (RNG.random((20, 2)), np.full(20, 0.25)),
    "plane": (z := RNG.random((30, 2)), 3 - z @ [1.0, 2.0]),
    "corners": (np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]]), np.array([3.0, 2, 1, 0])),
}

#: rectangles of the same clouds: as they are, and as thin and far from the origin as levels may be
SCALES = {
    "unit": UNIT,
    "thin": Scale((0.645, 3e-4), (0.715, 3e-2)),
    "tiny": Scale((0.7, 1e-9), (0.7 + 1e-6, 2e-9)),
    "large": Scale((100.0, 0.0), (1e4, 50.0)),
}
clouds = pytest.mark.parametrize("cloud", CLOUDS)


def least_mixture(places: Array, values: Array, place: Array) -> float:
    """Least mean value of a mixture at or below a place, as the linear program that it is; inf without one."""
    found = linprog(values, places.T, place + 1e-13, np.ones((1, len(values))), [1.0])
    return float(found.fun) if found.status == 0 else np.inf


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@clouds
def test_the_hull_is_the_least_mixture(cloud: str, scale: Scale) -> None:
    places, values = CLOUDS[cloud]
    values = 0.2 + 1e-3 * values
    hull = lower_hull(scale, scale.from_unit(places), values)
    asked = np.concatenate([RNG.random((40, 2)), 0.9 * places[:20] + 0.1 * RNG.random((len(places[:20]), 2))])
    asked = asked[np.abs(asked[:, None] - places[None]).min(axis=(1, 2)) > 1e-9]  # off the edges of the domain
    here, there = (scale.to_unit(scale.from_unit(rows)) for rows in (places, asked))  # as doubles far away have them
    expected = np.array([least_mixture(here, values, place) for place in there])
    assert_allclose(hull(*scale.from_unit(asked).T), expected, rtol=0, atol=1e-12)


@clouds
def test_attained_points_lie_on_or_above_their_hull_and_inside_of_its_domain(cloud: str) -> None:
    places, values = CLOUDS[cloud]
    above = values - lower_hull(UNIT, places, values)(*places.T)
    assert np.all(above >= -1e-12)
    assert above.min() <= 1e-12  # the lowest point at least lies on it


@clouds
def test_the_hull_does_not_increase_and_ends_nowhere(cloud: str) -> None:
    places, values = CLOUDS[cloud]
    hull = lower_hull(UNIT, places, values)
    d, p = RNG.random((2, 50))
    here, there = hull(d, p), hull(d + RNG.random(50), p + RNG.random(50))
    assert np.all(there[np.isfinite(here)] <= here[np.isfinite(here)] + 1e-12)
    assert hull(1e9, 1e9) == pytest.approx(values.min(), abs=1e-12)
    assert hull(-0.1, 2.0) == np.inf


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
@clouds
def test_from_facet_to_facet_the_hull_is_the_same(cloud: str, scale: Scale) -> None:
    places, values = CLOUDS[cloud]
    hull = lower_hull(scale, scale.from_unit(places), values)
    asked = scale.from_unit(np.concatenate([1.3 * RNG.random((500, 2)), places, (places + places[:1]) / 2]))
    upper, facets, weights = hull.near(asked)
    assert_allclose(upper, hull(*asked.T), rtol=0, atol=1e-11)
    within = np.isfinite(upper)
    unit = np.minimum(scale.to_unit(asked), 2.0)
    on_facet = hull.heights[facets] + np.sum(hull.slopes[facets] * unit, axis=1)
    assert_allclose(upper[within], on_facet[within], rtol=0, atol=1e-11)
    around = (weights >= 0.01).all(axis=1)
    means = np.einsum("nk,nkj->nj", weights[around], hull.spots[facets[around]])
    assert_allclose(means, unit[around], rtol=0, atol=1e-12)
    assert around.sum() > 10 or len(places) < 10


@clouds
def test_facets_share_the_side_opposite_to_a_corner(cloud: str) -> None:
    hull = lower_hull(UNIT, *CLOUDS[cloud])
    for facet, (spots, beside) in enumerate(zip(hull.spots.tolist(), hull.beside.tolist(), strict=True)):
        for k, other in enumerate(beside):
            if other >= 0:
                side = [spot for j, spot in enumerate(spots) if j != k]
                assert all(spot in hull.spots[other].tolist() for spot in side)
                assert facet in hull.beside[other]


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_what_is_attained_far_off_promises_nothing_near(scale: Scale) -> None:
    """A mixture with a point far beyond the rectangle needs its levels whole."""
    rng = np.random.default_rng(3)
    places = np.concatenate([rng.random((20, 2)), np.exp(rng.uniform(-1, 4, (60, 2)))])
    values = np.array([1 / (0.1 + d) + 1 / (0.2 + p) for d, p in places])
    hull, asked = lower_hull(scale, scale.from_unit(places), values), rng.random((200, 2))
    upper = hull(*scale.from_unit(asked).T)
    assert np.isfinite(upper).mean() > 0.5
    assert np.all(upper >= [1 / (0.1 + d) + 1 / (0.2 + p) - 1e-9 for d, p in asked])
    for (d, p), value in zip(scale.from_unit(asked[:10]), upper[:10], strict=True):
        used, weights = mixture(scale.from_unit(places), values, d, p, scale)
        assert (weights @ values[used] if len(used) else np.inf) == pytest.approx(value, abs=1e-9)
    far = lower_hull(scale, scale.from_unit(np.array([[9.0, 9.0]])), np.array([1.0]))
    assert np.all(np.isinf(far(*scale.from_unit(asked).T)))


def test_the_hull_of_nothing_is_infinite() -> None:
    hull = lower_hull(UNIT, np.zeros((0, 2)), np.zeros(0))
    assert np.all(np.isinf(hull([0.0, 1.0], 0.5)))


@clouds
def test_mixtures_attain_the_hull(cloud: str) -> None:
    places, values = CLOUDS[cloud]
    hull = lower_hull(UNIT, places, values)
    for d, p in RNG.random((10, 2)):
        used, weights = mixture(places, values, d, p, UNIT)
        if not len(used):
            assert hull(d, p) == np.inf
            continue
        assert len(used) <= 3
        assert weights.sum() == pytest.approx(1)
        assert weights.min() > 0
        assert np.all(weights @ places[used] <= np.array([d, p]) + 1e-11)
        assert weights @ values[used] == pytest.approx(float(hull(d, p)), abs=1e-9)


def test_mixtures_attain_the_hull_where_one_level_hardly_varies() -> None:
    """Prices of that level are next to nothing in units of the rectangle, but parts from afar need less of it."""
    places = np.array([[1.0, -7307], [0.414, -6630], [0.04396, -6.372e-5], [0.2825, 0.9999], [0.5424, 1]])
    values = np.array([0.5605, 0.59039, 0.61431, 0.59832, 0.58268])
    place = (0.38113379, 0.06133018)
    used, weights = mixture(places, values, *place, UNIT)
    assert weights @ values[used] == pytest.approx(float(lower_hull(UNIT, places, values)(*place)), abs=1e-10)


@pytest.mark.parametrize("width", [1e-6, 1e-3, 0.3])
def test_the_region_of_no_margin_is_bounded_by_all_chords(width: float) -> None:
    """Also by those to points far outside of a narrow rectangle."""
    levels, least = np.array([0.0, 0.5, 1.0]), np.array([0.9, 0.5, 0.4])
    brackets = np.array([(p, d, d, 0.0, p) for p, d in zip(levels, least, strict=True)], dtype=BRACKETS)
    tangents = np.array([(1.0, 0.4, 0.2), (0.0, 0.9, 0.8)], dtype=TANGENTS)
    attained = np.array(list(zip(levels, least, strict=True)), dtype=VALUES)
    curve, scale = Curve((0.0, 1.0), brackets, tangents, attained), Scale((0.45, 0.0), (0.45 + width, 1.0))
    unit = np.random.default_rng(4).random((500, 2))
    d, p = scale.from_unit(unit).T
    over = (d - curve.upper(p)) / width
    clear = np.abs(over) > 1e-6
    assert 0 < np.sum(over > 0) < 500
    assert_array_equal(traced_region(scale, curve, 0.0).contains(unit[clear]), over[clear] > 0)
    unattained = Curve((0.0, 1.0), brackets, tangents, attained[:0])
    assert not traced_region(scale, unattained, 0.0).contains(unit).any()


def tangents(function: object, places: Array) -> Envelope:
    """Tangent planes by central differences."""
    h = 1e-6
    d, p = places.T
    prices = [function(d - h, p) - function(d + h, p), function(d, p - h) - function(d, p + h)]  # type: ignore[operator]
    return Envelope(places, function(d, p), np.column_stack(prices) / (2 * h))  # type: ignore[operator]


REGIONS = {
    "square": Polygon.square(),
    "cut": Polygon.square().intersected(Polygon(np.array([[-0.8, -0.6]]), np.array([-0.5]))),
}


def each(envelope: Envelope) -> list[Envelope]:
    columns = envelope.places, envelope.values, envelope.prices
    return [Envelope(*(column[k : k + 1] for column in columns)) for k in range(len(envelope.values))]


@pytest.mark.parametrize("region", REGIONS.values(), ids=REGIONS)
@pytest.mark.parametrize("function", [bowl, root])
def test_the_widest_gap_is_at_a_vertex_of_the_envelope(function: object, region: Polygon) -> None:
    places = 0.05 + 0.9 * RNG.random((30, 2))
    envelope = tangents(function, places)
    corners = np.array([[0.0, 0], [0, 1], [1, 0], [1, 1]])
    attained = np.concatenate([places, corners])
    hull = lower_hull(UNIT, attained, function(*attained.T))  # type: ignore[operator]
    vertices, heights, planes = vertices_of(envelope, region, UNIT)
    assert_allclose(heights, envelope(*vertices.T), rtol=0, atol=1e-12)
    assert (planes >= 0).any(axis=1).all()
    beyond_corners = np.arange(len(planes)) >= len(region.vertices)
    for k in range(3):
        met = (planes[:, k] >= 0) & beyond_corners
        named = Envelope(*(column[planes[met, k]] for column in (envelope.places, envelope.values, envelope.prices)))
        there = [plane(*place).item() for plane, place in zip(each(named), vertices[met], strict=True)]
        assert_allclose(there, heights[met], rtol=0, atol=1e-9)
    assert region.contains(vertices, 1e-8).all()
    widest = (hull(*vertices.T) - envelope(*vertices.T)).max()
    sample = RNG.random((20_000, 2))
    sample = sample[region.contains(sample)]
    gaps = hull(*sample.T) - envelope(*sample.T)
    assert gaps.min() >= -1e-9
    assert gaps.max() <= widest + 1e-9
    assert gaps.max() >= 0.8 * widest


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_planes_have_the_corners_of_the_region_as_vertices(count: int) -> None:
    places = np.array([[0.5, 0.5], [0.5, 0.5]])[:count]
    envelope = Envelope(places, np.ones(count), np.ones((count, 2)))
    vertices = envelope_vertices(envelope, Polygon.square(), UNIT)
    for corner in ([0, 0], [0, 1], [1, 0], [1, 1]):
        assert np.abs(vertices - corner).max(axis=1).min() < 1e-9


def test_an_empty_region_has_no_vertices() -> None:
    nowhere = Polygon.square().intersected(Polygon(np.array([[1.0, 0.0]]), np.array([-1.0])))
    assert nowhere.inside[1] < 0
    assert envelope_vertices(tangents(bowl, RNG.random((5, 2))), nowhere, UNIT).shape == (0, 2)


def test_planes_of_infinite_price_hold_at_their_own_level_alone() -> None:
    envelope = Envelope(np.array([[0.5, 0.0], [0.5, 1.0]]), np.array([2.0, 1.0]), np.array([[1.0, np.inf], [0.0, 0.5]]))
    assert envelope(0.0, 0.0) == 2.5
    assert envelope(0.0, 1e-12) == pytest.approx(1.5)
    assert len(envelope.tangent.values) == 1


def test_only_planes_without_a_level_hold_where_the_level_is_absent() -> None:
    planes = Envelope(np.array([[0.5, 1.0], [0.5, np.inf]]), np.array([2.0, 1.0]), np.array([[1.0, 0.0], [1.0, 0.0]]))
    assert planes(0.5, np.inf) == 1.0
    assert planes(0.5, 3.0) == 2.0


def test_evaluation_broadcasts() -> None:
    envelope = tangents(bowl, RNG.random((5, 2)))
    assert envelope(np.zeros((4, 1)), np.zeros(3)).shape == (4, 3)
    assert lower_hull(UNIT, *CLOUDS["bowl"])(np.zeros((4, 1)), np.zeros(3)).shape == (4, 3)
    assert envelope(0.5, 0.5).shape == ()
