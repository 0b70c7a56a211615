"""What is known around a place, mixed: which convex weights, and how mixtures are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
from scipy.optimize import nnls

from cdp_toy.surfaces.geometry import Hull, Scale, within_reach
from cdp_toy.validation import Array

__all__ = ["Attained", "Mixer", "Mixture", "OneByOne", "Parts", "Plane", "Wish", "triangle_weights", "useful"]

#: A mixture is taken when its plane closes this share of the gap, or its point lies as far below the hull.
HELPFUL = 0.1

#: Mixtures that are made to come near a place.
AIMS = 3
#: Triangles of less area than this share of their longest side squared are segments: rounding.
THIN = 1e-12


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


class Wish(NamedTuple):
    """A place (d, p), the points whose mixtures may attain less there, and what may prove more.

    `slope` is that of the upper bound at the place, in units of the rectangle.
    """

    place: tuple[float, float]
    corners: Sequence[Attained]
    planes: Sequence[Plane]
    slope: Array


class Mixture(NamedTuple):
    """A plane and a point near a place, and how far apart they are."""

    plane: Plane
    attained: Attained
    gap: float


class Mixer(Protocol):
    """Proves and attains mixtures of what is known."""

    #: whether wishes are to name the planes that are highest at their place
    of_planes: bool
    #: whether nothing comes of a wish without points to be mixed
    of_corners: bool
    #: share of a tolerance that a gap may have for its mixture to be good enough
    share: float

    def mixtures(self, wishes: Sequence[Wish], scale: Scale) -> Sequence[Mixture | None]:
        """The mixtures that are wished for; None where nothing comes of one."""
        ...


def useful(
    mixtures: Sequence[Mixture | None], places: Array, lower: Array, gaps: Array, hull: Hull, most: float
) -> list[bool]:
    """Which mixtures are good enough, and close a good part of the gap at their place or lie far below the hull.

    Parameters
    ----------
    mixtures : sequence of Mixture or None
    places : array of shape (n, 2)
        (D, P) of each.
    lower, gaps : arrays of shape (n,)
        Lower bound there, and how far it is from the upper one.
    hull : Hull
    most : float
        Gap of a mixture that is good enough.
    """
    good = np.array([mixture is not None and mixture.gap <= most for mixture in mixtures], dtype=bool)
    some = [mixture for mixture, fine in zip(mixtures, good, strict=True) if mixture is not None and fine]
    planes = np.array([mixture.plane[:5] for mixture in some]).reshape(-1, 5)
    paid = np.einsum("ij,ij->i", planes[:, 3:], planes[:, :2] - places[good])
    helps = planes[:, 2] + paid - lower[good] > HELPFUL * gaps[good]
    points = np.array([mixture.attained[:3] for mixture, fine in zip(some, helps, strict=True) if not fine])
    points = points.reshape(-1, 3)
    depths = np.where(within_reach(hull.scale, points[:, :2]), hull(*points[:, :2].T) - points[:, 2], -np.inf)
    helps[~helps] = depths > HELPFUL * gaps[good][~helps]
    good[good] = helps
    return [bool(fine) for fine in good]


class Parts(Protocol):
    """Makes one plane or one point at a time."""

    def plane(self, d: float, p: float, proofs: Sequence[Any], weights: Array) -> Plane | None:
        """A plane from the mixture of proofs, with its value at a pair of levels; None when nothing comes of it."""
        ...

    def supporting(self, d: float, p: float, channel: Any) -> Plane | None:
        """A plane that supports the surface where a channel lies, with its value at a pair of levels; None without."""
        ...

    def attained(self, channels: Sequence[Any], weights: Array) -> Attained:
        """What a mixture of channels attains."""
        ...


class OneByOne:
    """Mixtures of any parts: a plane that supports the surface at the point, or else of the slope of the bound above.

    Parameters
    ----------
    parts : Parts
    """

    of_planes = of_corners = True
    share = 1.0

    def __init__(self, parts: Parts) -> None:
        self.parts = parts

    def mixtures(self, wishes: Sequence[Wish], scale: Scale) -> list[Mixture | None]:
        """The mixtures that are wished for."""
        return [self._mixture(wish, scale) for wish in wishes]

    def _mixture(self, wish: Wish, scale: Scale) -> Mixture | None:
        d, p = wish.place
        point = self._attained_near(wish, scale)
        if point is None:
            return None
        plane = self.parts.supporting(d, p, point.channel)
        if plane is None and len(wish.planes) > 1:
            slopes = -np.array([plane[3:5] for plane in wish.planes]) * scale.size
            proofs = [plane.proof for plane in wish.planes]
            plane = self.parts.plane(d, p, proofs, _weights(slopes, wish.slope))
        if plane is None:
            return None
        # at a kink what the point misses is dear
        steepest = np.max([[q.price_d, q.price_p] for q in (plane, *wish.planes)], axis=0)
        over = float(steepest @ np.maximum([point.d - d, point.p - p], 0.0))
        return Mixture(plane, point, point.value + over - plane.value)

    def _attained_near(self, wish: Wish, scale: Scale) -> Attained | None:
        """What a mixture attains near a place: it needs less of both levels than its parts, so it aims higher.

        None where rounding leaves a letter without the mass that a divergence cannot do without.
        """
        unit = scale.to_unit(np.array([point[:2] for point in wish.corners]))
        aim = goal = scale.to_unit(np.array([wish.place]))[0]
        channels = [point.channel for point in wish.corners]
        point = self.parts.attained(channels, _weights(unit, aim))
        for _ in range(AIMS - 1 if len(channels) > 1 else 0):
            if not np.isfinite(point[:2]).all():
                return None
            aim = aim + goal - scale.to_unit(np.array([point[:2]]))[0]
            point = self.parts.attained(channels, _weights(unit, aim))
        return point if np.isfinite(point[:2]).all() else None


def _weights(corners: Array, target: Array) -> Array:
    """Convex weights whose mean is nearest to a target."""
    unit = float(np.abs(corners - target).max()) or 1.0
    table = np.vstack([((corners - target) / unit).T, np.full(len(corners), 10.0)])
    found = nnls(table, np.array([0.0, 0.0, 10.0]))[0]
    total = float(found.sum())
    return np.asarray(found / total) if total > 0 else np.full(len(corners), 1 / len(corners))


def triangle_weights(corners: Array, targets: Array) -> Array:
    """Convex weights of the corners of many triangles whose means are nearest to targets.

    Parameters
    ----------
    corners : array of shape (m, 3, 2)
        Corners may coincide.
    targets : array of shape (m, 2)

    Returns
    -------
    array of shape (m, 3)

    Examples
    --------
    >>> corners = np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]] * 2)
    >>> triangle_weights(corners, np.array([[0.25, 0.5], [0.5, -3.0]])).tolist()
    [[0.25, 0.25, 0.5], [0.5, 0.5, 0.0]]
    """
    sides = corners[:, [1, 2, 0]] - corners
    to = targets[:, None, :] - corners
    length = np.sum(sides * sides, axis=2)
    share = np.clip(np.divide(np.sum(sides * to, axis=2), length, out=np.zeros_like(length), where=length > 0), 0, 1)
    away = np.sum((to - share[:, :, None] * sides) ** 2, axis=2)
    nearest, every = away.argmin(axis=1), np.arange(len(corners))
    out = np.zeros(share.shape)
    out[every, nearest] = 1 - share[every, nearest]
    out[every, (nearest + 1) % 3] += share[every, nearest]
    # within a triangle that has an area the shares are those of the areas opposite to the corners
    turned, after = to[:, [1, 2, 0]], to[:, [2, 0, 1]]
    areas = turned[:, :, 0] * after[:, :, 1] - turned[:, :, 1] * after[:, :, 0]
    total = areas.sum(axis=1)
    thick = np.abs(total) > THIN * length.max(axis=1)
    inner = np.divide(areas, total[:, None], out=np.full_like(areas, -1.0), where=thick[:, None])
    inside = (inner >= 0).all(axis=1)
    out[inside] = inner[inside]
    return np.asarray(out)
