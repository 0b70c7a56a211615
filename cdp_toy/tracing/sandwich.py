"""The sandwich: a convex, non-increasing function of two levels between planes and a hull, made thinner where it gapes.

The bounds are farthest apart at a vertex of the lower one. There either a solver is asked, or, at next to no cost, what
is known around the vertex is mixed: the certificates of the planes that meet there, which prove a plane that lies
higher, and the channels at the corners of the facet above, which attain a point that lies lower. Mixtures are proven
themselves, and solvers are only asked where they are not good enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.optimize import nnls
from scipy.spatial import cKDTree

from cdp_toy.errors import ContradictionError
from cdp_toy.surfaces.consistency import excesses
from cdp_toy.surfaces.geometry import Envelope, Hull, Polygon, Scale, envelope_vertices, lower_hull
from cdp_toy.validation import Array, Indices

__all__ = ["Attained", "Mixer", "Plane", "Sandwich"]

#: Another round is worth while when the last one closed this share of what is open.
WORTHWHILE = 0.1
#: Places this near to one that was asked for, in units of the rectangle, are the same.
SAME = 1e-9
#: Mixtures that are made to come near a place.
AIMS = 3


class Plane(NamedTuple):
    """Global minorant value + prices . (levels of tangency - levels); `proof` is what mixtures are made of."""

    d: float
    p: float
    value: float
    price_d: float
    price_p: float
    proof: Any = None


class Attained(NamedTuple):
    """Value that is attained at a pair of levels; `channel` is what mixtures are made of."""

    d: float
    p: float
    value: float
    channel: Any = None


class Mixer(Protocol):
    """Proves and attains mixtures of what is known."""

    def plane(self, d: float, p: float, proofs: Sequence[Any], weights: Array) -> Plane | None:
        """A plane from the mixture of proofs, with its value at a pair of levels; None when nothing comes of it."""
        ...

    def supporting(self, d: float, p: float, channel: Any) -> Plane | None:
        """A plane that supports the surface where a channel lies, with its value at a pair of levels; None without."""
        ...

    def attained(self, channels: Sequence[Any], weights: Array) -> Attained:
        """What a mixture of channels attains."""
        ...


class _Mixture(NamedTuple):
    plane: Plane
    attained: Attained
    gap: float


class _Wanted(NamedTuple):
    hoped: float  # for a gap, by mixing
    gap: float
    d: float
    p: float
    prices: tuple[float, float]


#: Moves a place of a given gap, whose highest plane has the given prices, to where a solver can be asked.
Move = Callable[[float, float, float, tuple[float, float]], tuple[float, float]]


@dataclass(eq=False)
class Sandwich:
    """Lower and upper bounds of a convex, non-increasing function on a region, and where to look next.

    Attributes
    ----------
    scale : Scale
    region : Polygon or None
        Where the gap has to become small, in units of the rectangle; None for the part of the rectangle where the upper
        bound is finite.
    tol : float
        Gap to aim for.
    mixer : Mixer, optional
    move : callable, optional
        Moves a place (d, p) with its gap and the prices there to where a solver is asked.
    planes, attained : lists
        What is proven and what is attained.
    gap : float
        Widest gap when `propose` was called last.
    mixed : int
        Mixtures that were taken in place of solves.

    Examples
    --------
    >>> sandwich = Sandwich(Scale((0.0, 0.0), (1.0, 1.0)), Polygon.square(), 0.01)
    >>> while places := sandwich.propose(1):
    ...     for d, p in places:
    ...         value = (1 - d) ** 2 + (1 - p) ** 2
    ...         sandwich.take(Plane(d, p, value, 2 * (1 - d), 2 * (1 - p)), [Attained(d, p, value)])
    >>> sandwich.gap <= 0.01, len(sandwich.planes) < 200
    (True, True)
    """

    scale: Scale
    region: Polygon | None
    tol: float
    mixer: Mixer | None = None
    move: Move | None = None
    planes: list[Plane] = field(default_factory=list)
    attained: list[Attained] = field(default_factory=list)
    gap: float = np.inf
    mixed: int = 0
    _asked: list[Array] = field(default_factory=list)
    _closed: Array = field(default_factory=lambda: np.zeros((0, 2)))
    _tried: dict[tuple[int, ...], _Mixture | None] = field(default_factory=dict)

    def envelope(self) -> Envelope:
        """Maximum of the planes."""
        return _envelope(self.planes)

    def hull(self) -> Hull:
        """Lower hull of what is attained."""
        table = _table(self.attained, 3)
        return lower_hull(self.scale, table[:, :2], table[:, 2])

    def take(self, plane: Plane | None, attained: Sequence[Attained]) -> None:
        """Take what a solver proved.

        Raises
        ------
        ContradictionError
            When a plane exceeds an attained value: then the function is not convex and non-increasing, or a bound is
            wrong.
        """
        new_planes = [] if plane is None else [plane]
        _check(new_planes, [*self.attained, *attained])
        _check(self.planes, attained)
        self.planes += new_planes
        self.attained += attained

    def propose(self, count: int) -> list[tuple[float, float]]:
        """Up to `count` places to solve next; none when the gap is at most `tol`, or nothing is left to be asked.

        `gap` is the widest gap on the region when it returns.
        """
        wanted = self._rounds()
        wanted.sort(key=lambda place: -place.hoped)
        return self._chosen(wanted, count)

    def _rounds(self) -> list[_Wanted]:
        """Mix as long as that closes a good part of the vertices that are too wide; return those that are left."""
        while True:
            wanted, taken = self._round()
            if not taken and not wanted and len(self._closed):  # rounding may have hidden one
                self._closed = self._closed[:0]
                wanted, taken = self._round()
            self.mixed += taken
            if taken <= WORTHWHILE * len(wanted):
                break
        return self._still_wide(wanted) if taken else wanted

    def _still_wide(self, wanted: list[_Wanted]) -> list[_Wanted]:
        """Places where the bounds are too far apart after mixtures nearby were taken."""
        places = np.array([place[2:4] for place in wanted]).reshape(-1, 2)
        gaps = self.hull()(*places.T) - self.envelope().tangent(*places.T)
        found = [
            place._replace(gap=float(gap), hoped=min(place.hoped, float(gap)))
            for place, gap in zip(wanted, gaps, strict=True)
            if gap > self.tol
        ]
        self.gap = max((place.gap for place in found), default=self.gap)
        return found

    def _round(self) -> tuple[list[_Wanted], int]:
        """Look at every vertex where bounds are too far apart: take mixtures that do, return the other places.

        Bounds come only closer: a vertex where they were close, and which is one still, needs no second look.
        """
        every, hull = self.envelope(), self.hull()
        envelope, numbers = every.tangent, np.flatnonzero(every.tangential)
        region = self.region or Polygon.square().intersected(hull.domain)
        places = envelope_vertices(envelope, region, self.scale)
        unit = self.scale.to_unit(places)
        if len(self._closed):
            open_ = cKDTree(self._closed).query(unit, distance_upper_bound=SAME)[0] > SAME
            places, unit = places[open_], unit[open_]
        upper, facets = hull.best(places[:, 0], places[:, 1])
        gaps = upper - envelope(places[:, 0], places[:, 1])
        self.gap = float(np.max(gaps, initial=0.0)) if len(self.attained) else np.inf
        wide = np.argsort(-gaps, kind="stable")
        wide = wide[gaps[wide] > self.tol]
        self._closed = np.concatenate([self._closed, unit[gaps <= self.tol]])
        active = envelope.highest(places[wide], 3).T if len(envelope.values) else np.zeros((len(wide), 0), dtype=int)
        wanted, taken = [], 0
        edges: set[tuple[int, int]] = set()
        for k, highest in zip(wide, active, strict=True):
            around = set(combinations(sorted(highest.tolist()), 2))
            if around & edges:  # a neighbour's mixture was taken: one that knows of it may do more
                continue
            place, gap = places[k], float(gaps[k])
            mixture = None
            if self.mixer is not None and np.isfinite(gap):
                key = self._key(numbers[highest], hull.corners[facets[k]])
                if key not in self._tried:
                    self._tried[key] = self._mixture(place, key, hull.slopes[facets[k]])
                mixture = self._tried[key]
            if mixture is not None and mixture.gap <= self.tol:
                taken += 1
                edges |= around
                self._tried[key] = None  # once: what it does not close is the solver's
                self.planes.append(mixture.plane)
                self.attained.append(mixture.attained)
                continue
            prices = envelope.prices[highest[0]] if len(highest) else np.zeros(2)
            least = gap if mixture is None else min(mixture.gap, gap)
            wanted.append(_Wanted(least, gap, float(place[0]), float(place[1]), (float(prices[0]), float(prices[1]))))
        return wanted, taken

    def _chosen(self, wanted: Sequence[_Wanted], count: int) -> list[tuple[float, float]]:
        """The widest gaps, not too near to each other nor to what was asked for already."""
        chosen: list[Array] = []
        places: list[tuple[float, float]] = []
        apart = SAME if count == 1 else 0.3 / (2 + np.sqrt(len(self.planes)))
        asked = np.array(self._asked).reshape(-1, 2)
        for place in wanted:
            d, p = place.d, place.p
            if self.move is not None:
                d, p = self.move(d, p, place.gap, place.prices)
            unit = self.scale.to_unit(np.array([[d, p]]))[0]
            if len(asked) and np.abs(asked - unit).max(axis=1).min() <= SAME:
                continue
            if all(np.abs(other - unit).max() > apart for other in chosen):
                chosen.append(unit)
                places.append((d, p))
            if len(chosen) == count:
                break
        self._asked += chosen
        return places

    def _key(self, planes: Indices, corners: Indices) -> tuple[int, ...]:
        """Planes and points around a vertex that mixtures may be made of."""
        below = [int(i) for i in np.sort(planes) if self.planes[i].proof is not None]
        above = {int(i) for i in corners if i >= 0 and self.attained[i].channel is not None}
        return (*below, -1, *sorted(above))

    def _mixture(self, place: Array, key: tuple[int, ...], slope: Array) -> _Mixture | None:
        """What is known around a vertex, mixed: the proofs so as to have the slope of the facet above."""
        assert self.mixer is not None
        end = key.index(-1)
        planes, corners = [self.planes[i] for i in key[:end]], [self.attained[i] for i in key[end + 1 :]]
        if not corners:
            return None
        d, p = map(float, place)
        point = self._attained_near(place, corners)
        plane = self.mixer.supporting(d, p, point.channel)
        if plane is None and len(planes) > 1:
            slopes = -np.array([plane[3:5] for plane in planes]) * self.scale.size
            plane = self.mixer.plane(d, p, [plane.proof for plane in planes], _weights(slopes, slope))
        if plane is None:
            return None
        steepest = np.max(
            [[q.price_d, q.price_p] for q in (plane, *planes)], axis=0
        )  # at a kink what it misses is dear
        over = float(steepest @ np.maximum([point.d - d, point.p - p], 0.0))
        return _Mixture(plane, point, point.value + over - plane.value)

    def _attained_near(self, place: Array, corners: list[Attained]) -> Attained:
        """What a mixture attains near a place: it needs less of both levels than its parts, so it aims higher."""
        assert self.mixer is not None
        unit = self.scale.to_unit(np.array([point[:2] for point in corners]))
        aim = goal = self.scale.to_unit(place[None, :])[0]
        channels = [point.channel for point in corners]
        point = self.mixer.attained(channels, _weights(unit, aim))
        for _ in range(AIMS - 1 if len(corners) > 1 else 0):
            aim = aim + goal - self.scale.to_unit(np.array([point[:2]]))[0]
            point = self.mixer.attained(channels, _weights(unit, aim))
        return point


def _weights(corners: Array, target: Array) -> Array:
    """Convex weights whose mean is nearest to a target."""
    unit = float(np.abs(corners - target).max()) or 1.0
    table = np.vstack([((corners - target) / unit).T, np.full(len(corners), 10.0)])
    found = nnls(table, np.array([0.0, 0.0, 10.0]))[0]
    total = float(found.sum())
    return np.asarray(found / total) if total > 0 else np.full(len(corners), 1 / len(corners))


def _table(rows: Sequence[tuple[Any, ...]], columns: int) -> Array:
    return np.array([row[:columns] for row in rows], dtype=np.float64).reshape(-1, columns)


def _envelope(planes: Sequence[Plane]) -> Envelope:
    table = _table(planes, 5)
    return Envelope(table[:, :2], table[:, 2], table[:, 3:])


def _check(planes: Sequence[Plane], points: Sequence[Attained]) -> None:
    """Refuse planes that exceed attained values."""
    if not planes or not points:
        return
    table = _table(points, 3)
    for found in excesses(_envelope(planes), table[:, :2], table[:, 2]):
        plane, point = planes[found.plane], points[found.point]
        raise ContradictionError(
            f"bounds contradict each other by {found.amount:.3g}: the supporting plane of ({plane.d:.9g}, "
            f"{plane.p:.9g}) has value {point.value + found.amount:.9g} at ({point.d:.9g}, {point.p:.9g}), where "
            f"{point.value:.9g} is attained; the function is not convex and non-increasing, or one of the two is wrong",
            (plane.d, plane.p),
            (point.d, point.p),
        )
