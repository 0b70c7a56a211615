"""What a surface is traced from: something that answers a pair of levels with a certified point.

A formula will do. Who knows more overrides the rest of `TracedOracle`: where the surface begins, where it is flat, and
how to mix what was proven and attained at some levels into proofs and channels for others.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol, cast

from scipy.sparse import csr_array

from cdp_toy.errors import InputError
from cdp_toy.point import Bracket, Point, Status
from cdp_toy.tracing.sandwich import Attained, Mixer, Plane
from cdp_toy.validation import Array

__all__ = ["BoundaryOracle", "FormulaOracle", "Oracle", "TracedOracle"]

#: D_min(P) comes so close to D_min(inf), in units of D_min(0) - D_min(inf), where the default range of P ends.
SATURATED = 0.01
#: D_flat(P) is traced from just above the level where the floor comes within reach: at it there is no interior.
FLOOR_SHARE, FLOOR_STEP = 1e-6, 1e-12


class Oracle(Protocol):
    """Certified points of a convex, non-increasing function of two levels."""

    def __call__(self, max_distortion: float, max_perception: float) -> Point:
        """The point at a pair of levels; infeasible levels are answered with that status, not an exception."""
        ...


class BoundaryOracle(Oracle, Protocol):
    """An oracle that knows where its function begins."""

    def min_distortion(self, max_perception: float) -> Bracket:
        """Least feasible distortion at a perception level."""
        ...


class TracedOracle:
    """An oracle as `trace` sees it: what is here will do for any convex, non-increasing function.

    Attributes
    ----------
    scope : str
        What its bounds bound.
    open_edges : bool
        Whether solvers fail at D = D_min(P) and prices are infinite at P = 0, so that places are moved off these edges.
    bounded : bool
        Whether it knows where feasible levels begin.
    curve_tol : float
        Width of brackets of boundary curves to aim for, where they may be had wider; set by the tracer.
    """

    scope: str = "formula"
    open_edges: bool = False
    bounded: bool = False
    curve_tol: float = 1e-5

    @property
    def facts(self) -> dict[str, str | float]:
        """What files and summaries say about it."""
        return {"scope": self.scope}

    @property
    def observation_law(self) -> Array | None:
        """Law of Y, where channels have rows that can be weighted."""
        return None

    def __call__(self, max_distortion: float, max_perception: float) -> Point:
        """The point at a pair of levels."""
        raise NotImplementedError

    def lattice_point(
        self, max_distortion: float, max_perception: float, least: Bracket | None, flat: Bracket | None
    ) -> Point:
        """The point at a pair of levels, where the brackets of D_min(P) and D_flat(P) are known."""
        return self(max_distortion, max_perception)

    def min_distortion(self, max_perception: float) -> Bracket:
        """Bracket of D_min(P), for those that know it."""
        raise NotImplementedError

    def flat_distortion(self, max_perception: float) -> Bracket | None:
        """Bracket of D_flat(P), None where the floor is out of reach or unknown."""
        return None

    def floor_begins(self, low: float, high: float) -> float | None:
        """Perception level in [low, high] from which D_flat(P) is known, None without one."""
        return None

    def mixer(self, quantity: str) -> Mixer | None:
        """Mixtures for the surface ("error") or for a boundary curve ("least", "flat"), where there are any."""
        return None

    def of_point(self, point: Point) -> tuple[Plane | None, list[Attained]]:
        """Supporting plane and attained point, at the levels that the channel needs."""
        plane = None
        useless = point.status is Status.INFEASIBLE or math.isinf(point.lower_bound) or math.isinf(point.max_perception)
        if not useless:
            tangent = point.hyperplane
            levels = (point.max_distortion, point.max_perception)
            plane = Plane(*levels, tangent.value, tangent.price_distortion, tangent.price_perception)
        if not math.isfinite(point.upper_bound):
            return plane, []
        d, p = (
            level if math.isnan(need) else min(need, level)
            for need, level in (
                (point.distortion, point.max_distortion),
                (point.perception, point.max_perception),
            )
        )
        return plane, [Attained(d, p, point.upper_bound)]

    def of_bracket(self, quantity: str, max_perception: float, bracket: Bracket) -> tuple[Plane | None, list[Attained]]:
        """Tangent and attained point of a boundary curve, a function of P alone."""
        plane = None
        if math.isfinite(bracket.lower):
            plane = Plane(0.0, max_perception, bracket.lower, 0.0, bracket.prices.perception)
        return plane, [Attained(0.0, max_perception, bracket.upper)] if math.isfinite(bracket.upper) else []

    def on_surface(self, attained: Sequence[Attained]) -> list[Attained]:
        """What the channels on a boundary curve attain on the surface."""
        return []

    def restoration(self, channel: Any) -> csr_array:
        """The restoration channel behind an attained point."""
        raise InputError("only finite problems have channels to be kept")

    def default_perception(self) -> tuple[float, float]:
        """Range of P where none is given."""
        raise InputError("perception=(low, high) is needed: a formula has no default ranges")

    def default_distortion(self, perception: tuple[float, float]) -> tuple[float, float]:
        """Range of D where none is given."""
        raise InputError("distortion=(low, high) is needed: a formula has no default ranges")


class FormulaOracle(TracedOracle):
    """Any callable (D, P) -> Point, perhaps with a method `min_distortion(P)` that returns a Bracket."""

    def __init__(self, answer: Oracle) -> None:
        self.answer = answer
        self.bounded = hasattr(answer, "min_distortion")

    def __call__(self, max_distortion: float, max_perception: float) -> Point:
        """The point at a pair of levels."""
        return self.answer(max_distortion, max_perception)

    def min_distortion(self, max_perception: float) -> Bracket:
        """Bracket of D_min(P)."""
        return cast(BoundaryOracle, self.answer).min_distortion(max_perception)
