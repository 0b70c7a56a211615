"""A certified curve over perception levels, D_min(P) or D_flat(P), between tangents and chords; what lies beyond it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cdp_toy.surfaces.geometry import BEYOND, Envelope, Hull, Polygon, Scale, convex_hull, lower_hull
from cdp_toy.surfaces.vertices import envelope_vertices
from cdp_toy.validation import Array

__all__ = ["BRACKETS", "TANGENTS", "VALUES", "Curve", "traced_region"]

#: Solved levels: proven bracket, price (fall per unit of P), perception of the channel that attains the upper end.
BRACKETS = np.dtype([(name, "f8") for name in ("P", "lower", "upper", "price", "perception")])
#: Tangents value + price (P - p) at p, all below the curve.
TANGENTS = np.dtype([(name, "f8") for name in ("P", "value", "price")])
#: Distortions that channels attain, with the perception that they need.
VALUES = np.dtype([(name, "f8") for name in ("P", "value")])


@dataclass(frozen=True, eq=False)
class Curve:
    """Bounds of a convex, non-increasing function of the perception level.

    Attributes
    ----------
    perception : pair of floats
        Where it was traced [divergence units].
    brackets : structured array of dtype BRACKETS
        Solved levels, sorted by P.
    tangents : structured array of dtype TANGENTS
        All tangents, those of the brackets among them, sorted by P.
    attained : structured array of dtype VALUES
        All attained points, sorted by P.
    """

    perception: tuple[float, float]
    brackets: NDArray[np.void]
    tangents: NDArray[np.void]
    attained: NDArray[np.void]

    def lower(self, max_perception: ArrayLike) -> Array:
        """Proven lower bound: the maximum of the tangents; inf below P = 0."""
        p = np.asarray(max_perception, dtype=np.float64)
        return np.where(p < 0, np.inf, self._envelope(0.0, p))

    def upper(self, max_perception: ArrayLike) -> Array:
        """Attained upper bound: chords and their monotone extension; inf to the left of what was attained."""
        p = np.asarray(max_perception, dtype=np.float64)
        return np.maximum(self._hull(0.0, p), self.lower(p))

    def gap(self, max_perception: ArrayLike) -> Array:
        """Upper minus lower bound."""
        return self.upper(max_perception) - self.lower(max_perception)

    @cached_property
    def max_gap(self) -> float:
        """Widest gap where it was traced."""
        if not len(self.attained) or not len(self.tangents):
            return float("inf")
        places = envelope_vertices(self._envelope, Polygon.square(), self._scale)
        return max(float(np.max(self._hull(*places.T) - self._envelope.tangent(*places.T))), 0.0)

    @cached_property
    def _scale(self) -> Scale:
        return Scale((0.0, self.perception[0]), (1.0, self.perception[1]))

    @cached_property
    def _envelope(self) -> Envelope:
        rows = self.tangents
        zero = np.zeros(len(rows))
        return Envelope(np.column_stack([zero, rows["P"]]), rows["value"], np.column_stack([zero, rows["price"]]))

    @cached_property
    def _hull(self) -> Hull:
        rows = self.attained
        return lower_hull(self._scale, np.column_stack([np.zeros(len(rows)), rows["P"]]), rows["value"])


def traced_region(scale: Scale, boundary: Curve, margin: float) -> Polygon:
    """The rectangle where D >= D_min(P) + margin, on the safe side; with margin 0 down to the attained D_min(P)."""
    if margin <= 0:
        unit = scale.to_unit(np.column_stack([boundary.attained[name] for name in ("value", "P")]))
        unit = unit[np.isfinite(unit).all(axis=1)]
        if not len(unit):
            return Polygon(np.zeros((1, 2)), np.array([-1.0]))
        far = np.maximum(unit.max(axis=0), BEYOND)  # chords to points far off bound the curve within the rectangle, too
        base = convex_hull(np.concatenate([unit, unit * [1, 0] + far * [0, 1], unit * [0, 1] + far * [1, 0], [far]]))
        return Polygon.square().intersected(Polygon(base.equations[:, :2], -base.equations[:, 2]))
    rows = boundary.tangents[np.isfinite(boundary.tangents["price"])]
    normals = np.column_stack([-np.ones(len(rows)), -rows["price"]])
    offsets = -(rows["value"] + rows["price"] * rows["P"] + margin) - normals @ np.array(scale.low)
    normals = normals * scale.size
    length = np.linalg.norm(normals, axis=1)
    return Polygon.square().intersected(Polygon(normals / length[:, None], offsets / length))
