"""Bounds of a convex, non-increasing function of two levels: from below by planes, from above by a hull.

A plane that lies below the function everywhere bounds it from below; so does the maximum of many, their envelope.
Points that are attained bound it from above through all of their convex combinations, and through all that lies to the
right of or above these. The hull comes from Qhull; here are the scales and the degenerate cases.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import linprog
from scipy.spatial import ConvexHull, HalfspaceIntersection, QhullError, cKDTree

from cdp_toy.surfaces.maxima import climbed, maxima
from cdp_toy.validation import Array, Indices, Mask

__all__ = ["Envelope", "Hull", "Polygon", "Scale", "convex_hull", "lower_hull", "mixture", "within_reach"]

#: Where the monotone extension ends, in units of the rectangle: beyond its edges, so that points near them have room.
BEYOND = 2.0
#: Facets steeper than this, in units of the rectangle and of the range of values, have no area.
STEEPEST = 1e9
#: Places this far outside of a domain, in units of the rectangle, count as inside: rounding.
ROUNDING = 1e-12
#: Planes times places that are looked at at once: a table of 1 MB, so that a small file is judged in little memory.
CHUNK = 1 << 17
#: Weights of mixtures meet their levels and are best up to this, the least that HiGHS takes. With its own 1e-7 those of
#: rectangles with a side of 1e-6 were up to 1e-5 dearer than the hull, and needed up to 1e-2 sides more than allowed.
SHARP = 1e-10
#: Weights of the corners of a facet above minus this belong to a place on the facet: rounding.
ON_FACET = 1e-9


@dataclass(frozen=True)
class Scale:
    """Units in which the rectangle of levels is the unit square.

    Parameters
    ----------
    low, high : pair of floats
        Corners of the rectangle, (D, P); a side without length counts as one of length one.
    """

    low: tuple[float, float]
    high: tuple[float, float]

    @cached_property
    def size(self) -> Array:
        """Lengths of the sides."""
        size = np.subtract(self.high, self.low)
        return np.asarray(np.where(size > 0, size, 1.0))

    def to_unit(self, places: Array) -> Array:
        """Places, shape (n, 2), in units of the rectangle."""
        return np.asarray((places - self.low) / self.size)

    def from_unit(self, places: Array) -> Array:
        """Places, shape (n, 2), in units of the user."""
        return np.asarray(places * self.size + self.low)


@dataclass(frozen=True, eq=False)
class Envelope:
    """Maximum of the planes value + price . (place_of_tangency - place), which all lie below the function.

    Attributes
    ----------
    places : array of shape (n, 2)
        Where each plane has its value, (D, P).
    values : array of shape (n,)
    prices : array of shape (n, 2)
        Its fall per unit of each level, not negative; inf in the second column for a plane that holds at P = 0 alone.

    Examples
    --------
    >>> envelope = Envelope(np.array([[1.0, 1.0]]), np.array([3.0]), np.array([[2.0, 0.5]]))
    >>> envelope([0.0, 1.0], [1.0, 3.0]).tolist()
    [5.0, 2.0]
    """

    places: Array
    values: Array
    prices: Array

    def __call__(self, d: ArrayLike, p: ArrayLike) -> Array:
        """Lower bound at places, broadcast over d and p; -inf where no plane says anything."""
        flat_d, flat_p, shape = _flat(d, p)
        out = np.full(len(flat_d), -np.inf)
        kept, places = self.tangential, np.column_stack([flat_d, flat_p])
        rest = self
        if kept.any() and np.isfinite(places).all():
            out = maxima(-self.prices[kept], self._offsets[kept], places)[0]
            rest = Envelope(self.places[~kept], self.values[~kept], self.prices[~kept])
        for part in _parts(len(flat_d), len(rest.values)):
            out[part] = np.maximum(out[part], rest._heights(flat_d[part], flat_p[part]).max(axis=0, initial=-np.inf))
        return out.reshape(shape)

    @property
    def _offsets(self) -> Array:
        """Values of the tangential planes at the levels (0, 0)."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.values + np.einsum("ij,ij->i", self.prices, self.places))

    @property
    def tangential(self) -> Mask:
        """Which planes bound the function on both sides of their place."""
        return np.asarray(np.isfinite(np.column_stack([self.prices, self.places, self.values])).all(axis=1))

    @property
    def tangent(self) -> Envelope:
        """The planes that bound the function on both sides of their place."""
        kept = self.tangential
        return self if kept.all() else Envelope(self.places[kept], self.values[kept], self.prices[kept])

    def highest(self, places: Array, count: int) -> Indices:
        """Numbers of the planes that are highest at places of shape (n, 2), shape (count, n), the highest first."""
        count = min(count, len(self.values))
        out = np.empty((count, len(places)), dtype=np.intp)
        for part in _parts(len(places), len(self.values)):
            table = -self._heights(places[part, 0], places[part, 1])
            if count == 1:  # the first of equals, as below
                out[0, part] = table.argmin(axis=0)
                continue
            some = np.argpartition(table, count - 1, axis=0)[:count]
            order = np.lexsort((some, np.take_along_axis(table, some, axis=0)), axis=0)
            out[:, part] = np.take_along_axis(some, order, axis=0)
        return out

    def _heights(self, d: Array, p: Array) -> Array:
        """Value of every plane at every place."""
        slopes = -self.prices
        usable: Mask = np.asarray(np.isfinite(slopes).all(axis=1))
        slopes = np.where(usable[:, None], slopes, 0.0)
        table = _outer(slopes[:, 0], d) + _outer(slopes[:, 1], p)
        table += (self.values - np.einsum("ij,ij->i", slopes, np.where(usable[:, None], self.places, 0.0)))[:, None]
        if usable.all() and np.isfinite(p).all() and np.isfinite(self.places).all():
            return table
        for k in np.flatnonzero(~(usable & np.isfinite(self.places).all(axis=1))):
            sides = zip(self.prices[k], self.places[k], (d, p), strict=True)
            table[k] = self.values[k] + sum(_paid(price, here, there) for price, here, there in sides)
        # only the absence of the level lets mass on letters that cost infinitely much
        return np.where(np.isinf(p) & (p != self.places[:, 1:]), -np.inf, np.nan_to_num(table, nan=-np.inf))


def _outer(slopes: Array, levels: Array) -> Array:
    """slope * level, 0 where a slope is."""
    infinite = np.isinf(levels)
    table = np.asarray(np.outer(slopes, np.where(infinite, 0.0, levels)))
    if infinite.any():
        table[np.ix_(slopes != 0, infinite)] = -np.inf
    return table


def _paid(price: float, tangency: float, levels: Array) -> Array:
    """price * (tangency - level), 0 where either factor is; -inf for an infinite price on the far side."""
    with np.errstate(invalid="ignore"):
        paid = price * (tangency - levels)
    return np.asarray(np.where((price == 0) | (tangency == levels), 0.0, paid))


def _flat(d: ArrayLike, p: ArrayLike) -> tuple[Array, Array, tuple[int, ...]]:
    wide_d, wide_p = np.broadcast_arrays(np.asarray(d, dtype=np.float64), np.asarray(p, dtype=np.float64))
    return wide_d.ravel(), wide_p.ravel(), wide_d.shape


def _parts(n_places: int, n_rows: int) -> list[slice]:
    step = max(1, CHUNK // max(n_rows, 1))
    return [slice(k, k + step) for k in range(0, n_places, step)]


@dataclass(frozen=True, eq=False)
class Polygon:
    """Convex region {place : normals . place <= offsets} of the plane, in units of the rectangle."""

    normals: Array
    offsets: Array

    def contains(self, places: Array, slack: float = ROUNDING) -> Mask:
        """Whether places of shape (n, 2) lie inside."""
        return np.asarray(np.all(self.normals @ places.T <= (self.offsets + slack)[:, None], axis=0))

    def intersected(self, other: Polygon) -> Polygon:
        """What two regions have in common."""
        return Polygon(np.vstack([self.normals, other.normals]), np.concatenate([self.offsets, other.offsets]))

    @cached_property
    def inside(self) -> tuple[Array, float]:
        """Centre and radius of the largest circle inside; the radius is negative for an empty region."""
        length = np.linalg.norm(self.normals, axis=1)
        table = np.column_stack([self.normals, length])
        found = linprog([0, 0, -1.0], table, self.offsets, bounds=[(None, None), (None, None), (None, 1.0)])
        return (np.asarray(found.x[:2]), float(found.x[2])) if found.status == 0 else (np.zeros(2), -1.0)

    @cached_property
    def vertices(self) -> Array:
        """Corners, shape (n, 2)."""
        centre, radius = self.inside
        if radius <= 0:
            return np.zeros((0, 2))
        rows = np.column_stack([self.normals, -self.offsets])
        return np.asarray(HalfspaceIntersection(rows, centre).intersections)

    @classmethod
    def square(cls) -> Polygon:
        """The rectangle itself."""
        return cls(np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]]), np.array([1.0, 0, 1, 0]))


@dataclass(frozen=True, eq=False)
class Hull:
    """Lower convex hull of attained points with its monotone extension.

    Attributes
    ----------
    scale : Scale
    places : array of shape (n, 2)
        Attained places (D, P).
    values : array of shape (n,)
    slopes, heights : arrays of shape (m, 2) and (m,)
        Facets in units of the rectangle: height + slope . place.
    corners : integer array of shape (m, 3)
        Points that span each facet, by number; a projection counts as its point, and -1 is the far corner.
    spots : array of shape (m, 3, 2)
        Places of these corners in units of the rectangle, projections where they lie.
    beside : integer array of shape (m, 3)
        Facets that share the side opposite to each corner, by number; -1 where the hull ends.
    domain : Polygon
        In units of the rectangle: convex combinations of the points, and all that lies to the right and above.
    """

    scale: Scale
    places: Array
    values: Array
    slopes: Array
    heights: Array
    corners: Indices
    spots: Array
    beside: Indices
    domain: Polygon

    def __call__(self, d: ArrayLike, p: ArrayLike) -> Array:
        """Upper bound at places, broadcast over d and p; inf where no combination of the points serves."""
        return self.best(d, p)[0]

    def best(self, d: ArrayLike, p: ArrayLike) -> tuple[Array, Indices]:
        """Upper bound at places, and the number of the facet they lie on."""
        flat_d, flat_p, shape = _flat(d, p)
        unit = np.minimum(self.scale.to_unit(np.column_stack([flat_d, flat_p])), BEYOND)
        out, which = np.full(len(unit), np.inf), np.zeros(len(unit), dtype=np.intp)
        inside = self.domain.contains(unit)
        if len(self.heights):
            out[inside], which[inside] = maxima(self.slopes, self.heights, unit[inside])
        return out.reshape(shape), which.reshape(shape)

    def near(self, places: Array) -> tuple[Array, Indices, Array]:
        """Upper bound at places of shape (n, 2), the facet of each, and the weights of its corners, shape (n, 3).

        Like `best`, but faster where places are many: from facet to facet. What is found in this way is the mean of the
        corners of a facet around the place, hence a bound. Where the way ends on no such facet all are looked at.
        """
        if not len(self.heights) or not len(places):
            return *self.best(*places.T), np.full((len(places), 3), np.nan)
        some = np.full(len(self.places), -1)
        for column in self.corners.T:
            some[column[column >= 0]] = np.flatnonzero(column >= 0)
        known = np.flatnonzero(some >= 0)
        unit = np.minimum(self.scale.to_unit(places), BEYOND)
        _, nearest = cKDTree(self.scale.to_unit(self.places[known])).query(unit)
        upper, which = climbed(self.slopes, self.heights, self.beside, some[known[nearest]], unit)
        weights = _weights(self.spots[which], unit)
        lost = np.flatnonzero(~(weights >= -ON_FACET).all(axis=1))
        upper[lost], which[lost] = self.best(*places[lost].T)
        return upper, which, weights


def _weights(triangles: Array, places: Array) -> Array:
    """Weights of the corners of triangles, shape (n, 3, 2), whose means are places; no numbers without an area."""
    to = triangles - places[:, None]
    turned, after = to[:, [1, 2, 0]], to[:, [2, 0, 1]]
    areas = turned[:, :, 0] * after[:, :, 1] - turned[:, :, 1] * after[:, :, 0]
    with np.errstate(all="ignore"):
        return np.asarray(areas / areas.sum(axis=1, keepdims=True))


def lower_hull(scale: Scale, places: Array, values: Array) -> Hull:
    """Lower convex hull with monotone extension: to every point within reach belong its projections onto the far edges.

    Parameters
    ----------
    scale : Scale
    places : array of shape (n, 2)
    values : array of shape (n,)
        All finite.
    """
    near = np.flatnonzero(within_reach(scale, places))
    if not len(near):
        nowhere, none = Polygon(np.zeros((1, 2)), np.array([-1.0])), np.zeros((0, 3), dtype=np.intp)
        places, values = np.zeros((0, 2)), np.zeros(0)
        return Hull(scale, places, values, places, values, none, np.zeros((0, 3, 2)), none, nowhere)
    least, height = float(values[near].min()), float(np.ptp(values[near])) or 1.0
    unit, z = scale.to_unit(places[near]), (values[near] - least) / height
    right, above = _outermost(unit[:, 1], z), _outermost(unit[:, 0], z)
    cloud = np.concatenate(
        [
            np.column_stack([unit, z]),
            np.column_stack([np.full(len(right), BEYOND), unit[right, 1], z[right]]),
            np.column_stack([unit[above, 0], np.full(len(above), BEYOND), z[above]]),
            # nothing lies below the far corner, and a lid above it gives the hull a third dimension
            [[BEYOND, BEYOND, 0.0], [BEYOND, BEYOND, 2.0]],
        ]
    )
    base = convex_hull(cloud[:-1, :2])
    found = convex_hull(cloud)
    lower = np.flatnonzero(found.equations[:, 2] < -1 / STEEPEST)
    number = np.full(len(found.equations), -1)
    number[lower] = np.arange(len(lower))
    facets, corners = found.equations[lower], found.simplices[lower]
    return Hull(
        scale,
        places,
        values,
        slopes=-height * facets[:, :2] / facets[:, 2:3],
        heights=least - height * facets[:, 3] / facets[:, 2],
        corners=np.concatenate([near, near[right], near[above], [-1, -1]])[corners],
        spots=cloud[corners, :2],
        beside=number[found.neighbors[lower]],
        domain=Polygon(base.equations[:, :2], -base.equations[:, 2]),
    )


def within_reach(scale: Scale, places: Array) -> Mask:
    """Which places, shape (n, 2), an upper bound looks at: what is attained far off says little, and is left out."""
    return np.asarray((scale.to_unit(places) <= BEYOND).all(axis=1))


def _outermost(levels: Array, z: Array) -> Indices:
    """Points that span the convex hull of levels and values: of the others no projection lies on the lower hull."""
    try:
        return np.asarray(np.sort(ConvexHull(np.column_stack([levels, z])).vertices))
    except QhullError:  # few points, or on a line
        return np.arange(len(z))


def convex_hull(cloud: Array) -> ConvexHull:
    """The convex hull of points, shape (n, 3) or (n, 2), also where these have next to no volume."""
    try:
        return ConvexHull(cloud)
    except QhullError:  # points within rounding of a plane: one may be moved by that much
        return ConvexHull(cloud, qhull_options="Qt QJ")


def mixture(places: Array, values: Array, d: float, p: float, scale: Scale) -> tuple[Indices, Array]:
    """Convex combination of attained points of least value at or below a pair of levels.

    min w.values  s.t.  w.D <= d, w.P <= p, sum w = 1, w >= 0: a linear program with at most three weights.

    Returns
    -------
    indices, weights : arrays of at most three entries
        Empty where no combination meets the levels.
    """
    nothing = np.zeros(0, dtype=np.intp), np.zeros(0)
    near = np.flatnonzero(within_reach(scale, places))
    if not len(near):
        return nothing
    limits = np.minimum(scale.to_unit(np.array([[d, p]]))[0], BEYOND)
    worth = (values[near] - values[near].min()) / (float(np.ptp(values[near])) or 1.0)
    unit = scale.to_unit(places[near])
    sharp = {"primal_feasibility_tolerance": SHARP, "dual_feasibility_tolerance": SHARP}
    found = linprog(worth, unit.T, limits + ROUNDING, np.ones((1, len(near))), [1.0], method="highs-ds", options=sharp)
    if found.status != 0:
        return nothing
    used = np.flatnonzero(found.x > ROUNDING)
    return near[used], np.asarray(found.x[used] / found.x[used].sum())
