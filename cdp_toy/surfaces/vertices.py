"""Vertices of an envelope of planes within a region: where bounds of a convex function are farthest apart.

Within the cell of one plane a convex upper bound minus the envelope is convex, hence largest at a corner: among the
vertices, with those on the border of the region, is the place where bounds are farthest apart.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cdp_toy.surfaces.geometry import Envelope, Polygon, Scale, convex_hull
from cdp_toy.validation import Array, Indices

__all__ = ["Vertices", "envelope_vertices", "vertices_of"]

#: Vertices this far outside of a region, in units of the rectangle, count as inside: rounding.
OUTSIDE = 1e-9


class Vertices(NamedTuple):
    """Places (D, P) in units of the user, shape (n, 2), values there, and planes that meet there.

    The value is that of the highest of the planes, a lower bound by itself; -inf where no plane says anything. Planes
    are numbers of shape (n, 3), -1 for a border of the region. Corners of the region come first: of those the planes
    are the highest, which need not meet.
    """

    places: Array
    heights: Array
    planes: Indices


def envelope_vertices(envelope: Envelope, region: Polygon, scale: Scale) -> Array:
    """Vertices of an envelope within a region of the rectangle, and the corners of the region.

    Returns
    -------
    array of shape (n, 2)
        Places (D, P), in units of the user.
    """
    return vertices_of(envelope, region, scale).places


def vertices_of(envelope: Envelope, region: Polygon, scale: Scale) -> Vertices:
    """Vertices of an envelope within a region of the rectangle, and the corners of the region."""
    tangent, corners = envelope.tangent, region.vertices
    found, planes = _unit_vertices(tangent, region, scale, corners)
    at_corners = np.full((len(corners), 3), -1)
    if len(tangent.values) and len(corners):
        highest = tangent.highest(scale.from_unit(corners), 3).T
        at_corners[:, : highest.shape[1]] = highest
    planes = np.concatenate([at_corners, planes])
    exact = scale.from_unit(np.concatenate([corners, found]))
    places = np.clip(exact, scale.low, scale.high)  # rounding must not leave the rectangle, ...
    kept = (np.abs(exact - places) <= 2 * OUTSIDE * scale.size).all(axis=1)  # which has sides without length
    places, planes = places[kept], planes[kept]
    values = np.full(len(places), -np.inf)
    for column in planes.T:
        known = column >= 0
        which = column[known]
        paid = np.einsum("ij,ij->i", tangent.prices[which], tangent.places[which] - places[known])
        values[known] = np.maximum(values[known], tangent.values[which] + paid)
    return Vertices(places, values, planes)


def _unit_vertices(tangent: Envelope, region: Polygon, scale: Scale, corners: Array) -> tuple[Array, Indices]:
    """Vertices in units of the rectangle, and the planes that meet at each, -1 for a border, shape (n, 3)."""
    n = len(tangent.values)
    if not n or not len(corners):
        return np.zeros((0, 2)), np.zeros((0, 3), dtype=np.intp)
    slopes = -tangent.prices * scale.size
    heights = tangent.values - np.sum(slopes * scale.to_unit(tangent.places), axis=1)
    at_corners = corners @ slopes.T + heights
    low, high = float(at_corners.max(axis=1).min()), float(at_corners.max())
    unit = high - low or 1.0  # the envelope is convex: its largest value is met at a corner
    slopes, heights = slopes / unit, (heights - low) / unit
    top = 1.0 + 1.0
    rows = np.concatenate(
        [
            np.column_stack([slopes, -np.ones(n), heights]),
            np.column_stack([region.normals, np.zeros(len(region.normals)), -region.offsets]),
            [[0.0, 0.0, 1.0, -top]],
        ]
    )
    centre = region.inside[0]
    inner = np.append(centre, (top + float((slopes @ centre + heights).max())) / 2)
    # seen from a point inside, facets of the convex hull of the dual points are the vertices of the half-spaces
    found = convex_hull(rows[:, :3] / -(rows[:, :3] @ inner + rows[:, 3:].T).T)
    with np.errstate(all="ignore"):
        vertices = found.equations[:, :3] / -found.equations[:, 3:] + inner
    planes = np.where(found.simplices < n, found.simplices, -1)
    kept = np.isfinite(vertices).all(axis=1) & (planes >= 0).any(axis=1)
    vertices, planes = vertices[kept, :2], planes[kept]
    inside = region.contains(vertices, OUTSIDE)
    return vertices[inside], planes[inside]
