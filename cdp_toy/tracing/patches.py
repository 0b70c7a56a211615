"""Where bounds are too far apart: looked for everywhere, or only around the places where they were.

Bounds only come closer. On the cell of one plane the upper bound less the plane is convex, hence largest at a vertex of
the cell: where bounds are too far apart now, the cell of every plane that was highest there had a vertex at which they
were. So of all planes only those that met at such vertices matter, with those that are new since.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np

from cdp_toy.surfaces.geometry import Envelope, Hull, Polygon, Scale, lower_hull
from cdp_toy.surfaces.vertices import vertices_of
from cdp_toy.validation import Array, Indices

__all__ = ["Look", "Patch", "everywhere", "nearby", "patch_around"]

#: Facets around those of a patch whose corners belong to it, from neighbour to neighbour: with fewer the upper bound is
#: higher than it need be, with more there is more to look at.
RINGS = 1
#: A place is left to a look at everything when the points of a patch bound it from above worse than all points of the
#: last one did, by this share of the gap.
WORSE = 1e-3


class Look(NamedTuple):
    """Places with bounds: the facet above each, weights of its corners, the planes that meet there by number or -1."""

    places: Array
    lower: Array
    upper: Array
    facets: Indices
    weights: Array
    planes: Indices
    hull: Hull

    @property
    def gaps(self) -> Array:
        """How far bounds are apart."""
        return np.asarray(self.upper - self.lower)

    def wider(self, level: float) -> Look:
        """The places where bounds are farther apart than a level, the farthest first."""
        wide = np.flatnonzero(self.gaps > level)
        return self.at(wide[np.argsort(-self.gaps[wide], kind="stable")])

    def at(self, which: Indices) -> Look:
        """Some of the places."""
        places, lower, upper, weights = (c[which] for c in (self.places, self.lower, self.upper, self.weights))
        return Look(places, lower, upper, self.facets[which], weights, self.planes[which], self.hull)


class Patch(NamedTuple):
    """Numbers of the planes and attained points around some places, those that are newer than all of `seen` too.

    `hull` is that of all points when everything was looked at.
    """

    planes: Indices
    points: Indices
    seen: tuple[int, int]
    hull: Hull

    def numbers(self, n_planes: int, n_points: int) -> tuple[Indices, Indices]:
        """Numbers of planes and points that matter, when there are so many."""
        pairs = zip((self.planes, self.points), self.seen, (n_planes, n_points), strict=True)
        planes, points = (np.concatenate([kept, np.arange(seen, n)]) for kept, seen, n in pairs)
        return planes, points


def everywhere(planes: Envelope, hull: Hull, region: Polygon, scale: Scale) -> Look:
    """Every vertex of the planes."""
    numbers = np.flatnonzero(planes.tangential)
    vertices = vertices_of(planes.tangent, region, scale)
    return Look(
        vertices.places, vertices.heights, *hull.near(vertices.places), _numbered(numbers, vertices.planes), hull
    )


def patch_around(look: Look, seen: tuple[int, int], hull: Hull) -> Patch:
    """What matters where bounds of a look are too far apart, at all of its places."""
    facets = np.unique(look.facets)
    for _ in range(RINGS):
        facets = np.unique(np.append(look.hull.beside[facets], facets))
        facets = facets[facets >= 0]
    return Patch(_known(look.planes), _known(look.hull.corners[facets]), seen, hull)


def nearby(planes: Envelope, points: Array, patch: Patch, region: Polygon, scale: Scale, level: float) -> Look | None:
    """Places where bounds are farther apart than a level, around a patch; None where its points do not tell.

    Parameters
    ----------
    planes : Envelope
    points : array of shape (n, 3)
        Attained (D, P, value).
    patch : Patch
    region : Polygon
    scale : Scale
    level : float
    """
    which, around = patch.numbers(len(planes.values), len(points))
    which = which[planes.tangential[which]]
    vertices = vertices_of(Envelope(planes.places[which], planes.values[which], planes.prices[which]), region, scale)
    hull = lower_hull(scale, points[around, :2], points[around, 2])
    upper, facets, weights = hull.near(vertices.places)
    look = Look(vertices.places, vertices.heights, upper, facets, weights, _numbered(which, vertices.planes), hull)
    look = look.wider(level)
    # where others than those of the patch are highest, or lowest, they say more
    look = look._replace(lower=np.maximum(look.lower, planes.tangent(*look.places.T)))
    known = patch.hull.near(look.places)[0]
    wide = np.flatnonzero(np.minimum(look.upper, known) - look.lower > level)
    look, known = look.at(wide), known[wide]
    if np.any(look.upper - known > WORSE * look.gaps):
        return None
    return look._replace(hull=dataclasses.replace(hull, corners=_numbered(around, hull.corners))).wider(level)


def _numbered(numbers: Indices, some: Indices) -> Indices:
    """Numbers of some of those that have numbers, by place among them; -1 stays."""
    if not len(numbers):
        return some
    return np.asarray(np.where(some >= 0, numbers[some], -1))


def _known(numbers: Indices) -> Indices:
    found = np.unique(numbers)
    return found[found >= 0]
