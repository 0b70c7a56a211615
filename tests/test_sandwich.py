"""The sandwich on formulas that are mixed exactly: gaps are what it says, wherever it looked for them."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from cdp_toy.surfaces.geometry import Polygon, Scale
from cdp_toy.surfaces.vertices import vertices_of
from cdp_toy.tracing import patches, sandwich
from cdp_toy.tracing.mixtures import Attained, Mixture, OneByOne, Plane, Wish
from cdp_toy.tracing.patches import nearby, patch_around
from cdp_toy.tracing.sandwich import Sandwich

Array = np.ndarray
#: Value and prices at levels.
Formula = Callable[[float, float], tuple[float, float, float]]


def bowl(d: float, p: float) -> tuple[float, float, float]:
    return (1 - d) ** 2 + (1 - p) ** 2 / 2, 2 * (1 - d), 1 - p


def steep(d: float, p: float) -> tuple[float, float, float]:
    """It falls like a root next to D + P = 0."""
    level = 0.01 + d + p
    return 1 / level, level**-2, level**-2


def kinked(d: float, p: float) -> tuple[float, float, float]:
    """A ridge along D = P over a bowl."""
    value, price_d, price_p = bowl(d, p)
    return value + max(1 - d, 1 - p), price_d + (d <= p), price_p + (d > p)


FORMULAS = {"bowl": bowl, "steep": steep, "kinked": kinked}
every = pytest.mark.parametrize("name", FORMULAS)


class Exact:
    """Mixtures are what the formula says at their place; those that `spoiled` are of no use."""

    of_planes, of_corners, share = False, True, 0.5

    def __init__(self, formula: Formula, spoiled: Callable[[int], bool] = lambda _: False) -> None:
        self.formula, self.spoiled, self.count = formula, spoiled, 0

    def mixtures(self, wishes: Sequence[Wish], scale: Scale) -> list[Mixture | None]:
        found: list[Mixture | None] = []
        for wish in wishes:
            self.count += 1
            plane, point = both(self.formula, *wish.place)
            found.append(None if self.spoiled(self.count) else Mixture(plane, point, 0.0))
        return found


def both(formula: Formula, d: float, p: float) -> tuple[Plane, Attained]:
    value, price_d, price_p = formula(d, p)
    return Plane(d, p, value, price_d, price_p), Attained(d, p, value, "a channel")


def ended(formula: Formula, tol: float, mixer: Exact, region: Polygon) -> Sandwich:
    found = Sandwich(Scale((0.0, 0.0), (1.0, 1.0)), region, tol, mixer)
    for _ in range(3000):
        places = found.propose(1)
        for place in places:
            plane, point = both(formula, *place)
            found.take(plane, [point])
        if not places:
            return found
    raise AssertionError("too many places")


def widest(found: Sandwich) -> float:
    """Widest gap of all planes and points, looked for from scratch."""
    assert found.region is not None
    places, heights, _ = vertices_of(found.envelope(), found.region, found.scale)
    return float((found.hull()(*places.T) - heights).max())


CUT = Polygon.square().intersected(Polygon(np.array([[-0.8, -0.6]]), np.array([-0.2])))


@every
@pytest.mark.parametrize("region", [Polygon.square(), CUT], ids=["square", "cut"])
@pytest.mark.parametrize("few", [0.0, 0.02, 1.0])
def test_gaps_are_closed_wherever_they_are_looked_for(
    name: str, region: Polygon, few: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Around what the last round left alone, or everywhere: all gaps end below what is asked for."""
    monkeypatch.setattr(sandwich, "FEW", few)
    formula, tol = FORMULAS[name], 1e-3 if name != "steep" else 0.05
    found = ended(formula, tol, Exact(formula), region)
    assert widest(found) <= found.gap + 1e-12 and found.gap <= tol
    assert len(found.planes) > 15


@every
def test_mixtures_that_fail_are_left_to_the_solver(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandwich, "FEW", 1.0)
    formula, tol = FORMULAS[name], 1e-2 if name != "steep" else 0.5
    found = ended(formula, tol, Exact(formula, lambda k: k % 3 == 0), Polygon.square())
    assert widest(found) <= found.gap + 1e-12 and found.gap <= tol


@every
@pytest.mark.parametrize("rings", [0, 1, 4])
def test_a_look_nearby_sees_what_a_look_everywhere_sees(name: str, rings: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """After planes and points are added where bounds were too far apart."""
    monkeypatch.setattr(patches, "RINGS", rings)
    formula, region, rng = FORMULAS[name], Polygon.square(), np.random.default_rng(3)
    found = ended(formula, 0.05 if name != "steep" else 1.0, Exact(formula), region)
    level = 0.5 * found.gap
    told = 0
    for _ in range(8):
        hull = found.hull()
        look = patches.everywhere(found.envelope(), hull, region, found.scale).wider(level)
        patch = patch_around(look, (len(found.planes), len(found.attained)), hull)
        for k in rng.permutation(len(look.places))[: max(1, len(look.places) // 2)]:
            plane, point = both(formula, *look.places[k])
            found.take(plane, [point])
        seen = nearby(found.envelope(), found._points(), patch, region, found.scale, level)
        all_of_them = patches.everywhere(found.envelope(), found.hull(), region, found.scale).wider(level)
        if seen is None:
            continue
        told += 1
        for place, gap in zip(all_of_them.places, all_of_them.gaps, strict=True):
            near = np.abs(seen.places - place).max(axis=1)
            assert near.min() <= 1e-9 and seen.gaps[near.argmin()] >= gap - 1e-9
        corners, values = seen.hull.corners[seen.facets], np.array([point.value for point in found.attained])
        known = (corners >= 0).all(axis=1) & (seen.weights >= 0).all(axis=1)
        mixed = np.sum(seen.weights * values[corners], axis=1)
        np.testing.assert_allclose(mixed[known], seen.upper[known], rtol=0, atol=1e-9)
    assert told >= (1 if rings == 0 else 4)


@every
@pytest.mark.parametrize("side", [0, 1], ids=["one D", "one P"])
@pytest.mark.parametrize("few", [0.0, 1.0])
def test_rectangles_without_width(name: str, side: int, few: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sandwich, "FEW", few)
    formula, tol = FORMULAS[name], 1e-4 if name != "steep" else 1e-2
    low, high = [0.0, 0.0], [1.0, 1.0]
    low[side] = high[side] = 0.4
    scale = Scale((low[0], low[1]), (high[0], high[1]))
    found = Sandwich(scale, Polygon.square(), tol, Exact(formula))
    for _ in range(500):
        places = found.propose(1)
        assert all(place[side] == 0.4 for place in places)
        for place in places:
            plane, point = both(formula, *place)
            found.take(plane, [point])
        if not places:
            break
    levels = np.full((2001, 2), 0.4)
    levels[:, 1 - side] = np.linspace(0, 1, 2001)
    gaps = found.hull()(*levels.T) - found.envelope()(*levels.T)
    assert gaps.max() <= found.gap + 1e-12 and found.gap <= tol
    assert widest(found) <= found.gap + 1e-12


@pytest.mark.parametrize("when", [0, 1, 2])
def test_mixtures_that_attain_nothing_are_none(when: int) -> None:
    """Rounding may leave a letter without mass, and the divergence without bound."""

    class Lost:
        calls = 0

        def attained(self, channels: Sequence[object], weights: Array) -> Attained:
            self.calls += 1
            return Attained(0.5, 0.5 if self.calls <= when else np.inf, 1.0, "a channel")

        def supporting(self, d: float, p: float, channel: object) -> Plane:
            raise AssertionError("there is nothing to support")

    corners = [Attained(0.0, 0.0, 1.0, "one"), Attained(1.0, 1.0, 1.0, "other")]
    wish = Wish((0.5, 0.4), corners, [], np.zeros(2))
    mixer = OneByOne(Lost())  # type: ignore[arg-type]
    assert mixer.mixtures([wish], Scale((0.0, 0.0), (1.0, 1.0))) == [None]
