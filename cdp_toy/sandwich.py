"""The sandwich: a convex, non-increasing function of two levels between planes and a hull, made thinner where it gapes.

The bounds are farthest apart at a vertex of the lower one. There either a solver is asked, or, at next to no cost, what
is known around the vertex is mixed: the certificates of the planes that meet there, which prove a plane that lies higher,
and the channels at the corners of the facet above, which attain a point that lies lower. Mixtures are themselves proven,
and solvers are only asked where they are not good enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.optimize import nnls

from cdp_toy.errors import ContradictionError
from cdp_toy.geometry import Envelope, Hull, Polygon, Scale, envelope_vertices, lower_hull
from cdp_toy.validation import Array

__all__ = ["Attained", "Mixer", "Plane", "Sandwich"]

#: A mixture that leaves less than this share of the tolerance is taken in place of a solve.
GOOD = 0.7
#: Rounds of mixing before a solver is asked in any case.
MOST_ROUNDS = 40
#: Places this near to one that was asked for, in units of the rectangle, are the same.
SAME = 1e-9
#: Planes may exceed attained values by this much, and by this share of what their prices make of a unit: rounding.
ROUNDING, LEVEL_ROUNDING = 1e-9, 1e-11


class Plane(NamedTuple):
    """Global minorant value + prices . (place - level); `proof` is what mixtures are made of."""

    d: float
    p: float
    value: float
    price_d: float
    price_p: float
    proof: Any = None


class Attained(NamedTuple):
    """Value that is attained at a place; `channel` is what mixtures are made of."""

    d: float
    p: float
    value: float
    channel: Any = None


class Mixer(Protocol):
    """Proves and attains mixtures of what is known; either may be None where nothing can be made of it."""

    def plane(self, d: float, p: float, proofs: Sequence[Any], weights: Array) -> Plane | None:
        """A plane from the mixture of proofs, with its value at a place."""
        ...

    def attained(self, channels: Sequence[Any], weights: Array) -> list[Attained]:
        """Points that mixtures of channels attain."""
        ...


class _Mixture(NamedTuple):
    plane: Plane
    attained: list[Attained]
    gap: float


@dataclass(eq=False)
class Sandwich:
    """Lower and upper bounds of a convex, non-increasing function on a region, and where to look next.

    Attributes
    ----------
    scale : Scale
    region : Polygon
        Where the gap has to become small, in units of the rectangle.
    tol : float
        Gap to aim for.
    mixer : Mixer or None
    planes, attained : lists
        What is proven and what is attained.
    stalled : bool
        Every place that gapes was asked for already.

    Examples
    --------
    >>> sandwich = Sandwich(Scale((0.0, 0.0), (1.0, 1.0)), Polygon.square(), 0.01)
    >>> while places := sandwich.propose(1):
    ...     for d, p in places:
    ...         value = (1 - d) ** 2 + (1 - p) ** 2
    ...         sandwich.take(Plane(d, p, value, 2 * (1 - d), 2 * (1 - p)), [Attained(d, p, value)])
    >>> sandwich.gap <= 0.01, len(sandwich.planes) < 100
    (True, True)
    """

    scale: Scale
    region: Polygon
    tol: float
    mixer: Mixer | None = None
    planes: list[Plane] = field(default_factory=list)
    attained: list[Attained] = field(default_factory=list)
    gap: float = np.inf
    stalled: bool = False
    mixed: int = 0
    _asked: list[tuple[float, float]] = field(default_factory=list)
    _tried: dict[tuple[int, ...], _Mixture | None] = field(default_factory=dict)

    def envelope(self) -> Envelope:
        """Maximum of the planes."""
        table = np.array([plane[:5] for plane in self.planes], dtype=np.float64).reshape(-1, 5)
        return Envelope(table[:, :2], table[:, 2], table[:, 3:])

    def hull(self) -> Hull:
        """Lower hull of what is attained."""
        table = np.array([point[:3] for point in self.attained], dtype=np.float64).reshape(-1, 3)
        return lower_hull(self.scale, table[:, :2], table[:, 2])

    def take(self, plane: Plane | None, attained: Sequence[Attained]) -> None:
        """Take what a solver or a mixture proved.

        Raises
        ------
        ContradictionError
            When a plane exceeds an attained value: then the function is not convex and non-increasing, or a bound is
            wrong.
        """
        new_planes = [] if plane is None else [plane]
        for one, other in [(a, b) for a in new_planes for b in (*self.attained, *attained)]:
            _check(one, other)
        for one, other in [(a, b) for a in self.planes for b in attained]:
            _check(one, other)
        self.planes += new_planes
        self.attained += attained

    def propose(self, count: int) -> list[tuple[float, float]]:
        """Up to `count` places to solve next; none when the gap is small enough everywhere, or nothing is left to ask.

        `gap` is the widest gap on the region when it returns.
        """
        self.stalled = False
        for _ in range(MOST_ROUNDS):
            envelope, hull = self.envelope(), self.hull()
            vertices = envelope_vertices(envelope, self.region, self.scale)
            places = self.scale.from_unit(vertices)
            upper, facet = hull.best(places[:, 0], places[:, 1])
            gaps = upper - envelope(places[:, 0], places[:, 1])
            self.gap = float(np.max(gaps, initial=0.0))
            order = np.argsort(-gaps, kind="stable")
            order = order[gaps[order] > self.tol]
            if not len(order):
                return []
            wanted: list[tuple[float, int]] = []
            taken = 0
            for k in order:
                key, found = self._between(places[k], envelope, hull, int(facet[k]), np.isfinite(gaps[k]))
                if found is not None and key is not None and found.gap <= GOOD * self.tol:
                    self._tried[key] = None  # once; what it does not close is the solver's
                    self.planes.append(found.plane)
                    self.attained += found.attained
                    taken += 1
                else:
                    wanted.append((float(gaps[k]) if found is None else min(found.gap, float(gaps[k])), int(k)))
            self.mixed += taken
            if not taken:
                break
        chosen = self._chosen(wanted, vertices, count)
        self.stalled = not chosen
        return [(float(places[k, 0]), float(places[k, 1])) for k in chosen]

    def _chosen(self, wanted: list[tuple[float, int]], vertices: Array, count: int) -> list[int]:
        """The widest gaps, not too near to each other nor to what was asked for already."""
        chosen: list[int] = []
        asked = np.array(self._asked, dtype=np.float64).reshape(-1, 2)
        apart = SAME if count == 1 else 0.3 / (2 + np.sqrt(len(self.planes)))
        for _, k in sorted(wanted, key=lambda pair: (-pair[0], pair[1])):
            near = np.abs(asked - vertices[k]).max(axis=1, initial=0.0) if len(asked) else np.ones(1)
            here = np.abs(vertices[chosen] - vertices[k]).max(axis=1) if chosen else np.ones(1)
            if near.min() > SAME and here.min() > apart:
                chosen.append(k)
            if len(chosen) == count:
                break
        self._asked += [tuple(vertices[k]) for k in chosen]
        return chosen

    def _between(
        self, place: Array, envelope: Envelope, hull: Hull, facet: int, finite: bool
    ) -> tuple[tuple[int, ...] | None, _Mixture | None]:
        """Mixture of what is known around a vertex."""
        if self.mixer is None or not finite or len(self.planes) < 2:
            return None, None
        d, p = map(float, place)
        heights = _heights(envelope, place)
        active = [int(i) for i in np.argsort(-heights, kind="stable")[:3]]
        below = [i for i in active if self.planes[i].proof is not None]
        corners = [int(i) for i in np.unique(hull.corners[facet]) if i >= 0 and self.attained[i].channel is not None]
        key = (*below, -1, *corners)
        if key in self._tried:
            return key, self._tried[key]
        found = None
        if len(below) >= 2 and corners:
            slopes = -np.array([self.planes[i][3:5] for i in below]) * self.scale.size
            weights = _weights(slopes, hull.slopes[facet])
            plane = self.mixer.plane(d, p, [self.planes[i].proof for i in below], weights)
            unit = self.scale.to_unit(np.array([self.attained[i][:2] for i in corners]))
            shares = _weights(unit, self.scale.to_unit(place[None, :])[0])
            attained = self.mixer.attained([self.attained[i].channel for i in corners], shares)
            if plane is not None and attained:
                least = min(a.value + plane.price_d * (a.d - d) + plane.price_p * (a.p - p) for a in attained)
                found = _Mixture(plane, attained, least - plane.value)
        self._tried[key] = found
        return key, found


def _heights(envelope: Envelope, place: Array) -> Array:
    """Value of every plane at a place."""
    usable = np.isfinite(envelope.prices).all(axis=1)
    prices = np.where(usable[:, None], envelope.prices, 0.0)
    return np.where(usable, envelope.values + np.sum(prices * (envelope.places - place), axis=1), -np.inf)


def _weights(corners: Array, target: Array) -> Array:
    """Convex weights whose mean is nearest to a target."""
    unit = float(np.abs(corners - target).max()) or 1.0
    table = np.vstack([((corners - target) / unit).T, np.full(len(corners), 10.0)])
    found = nnls(table, np.array([0.0, 0.0, 10.0]))[0]
    total = float(found.sum())
    return np.asarray(found / total) if total > 0 else np.full(len(corners), 1 / len(corners))


def _check(plane: Plane, point: Attained) -> None:
    below = plane.value
    slack = ROUNDING
    for price, here, there in ((plane.price_d, plane.d, point.d), (plane.price_p, plane.p, point.p)):
        if price == 0 or here == there:
            continue
        if not np.isfinite(price):
            return  # holds at its own level alone
        below += price * (here - there)
        slack += LEVEL_ROUNDING * price * max(abs(here), abs(there))
    if below > point.value + slack:
        raise ContradictionError(
            f"bounds contradict each other by {below - point.value:.3g}: the supporting plane of ({plane.d:.9g}, "
            f"{plane.p:.9g}) has value {below:.9g} at ({point.d:.9g}, {point.p:.9g}), where {point.value:.9g} is attained; "
            "the function is not convex and non-increasing, or one of the two is wrong",
            (plane.d, plane.p),
            (point.d, point.p),
        )
