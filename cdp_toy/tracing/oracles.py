"""What a surface is traced from: something that answers a pair of levels with a certified point.

A formula will do. Who knows more overrides the rest of `TracedOracle`: where the surface begins, where it is flat, and
how to mix what was proven and attained at some levels into proofs and channels for others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Literal, NamedTuple, Protocol, cast

from scipy.sparse import csr_array

from cdp_toy.errors import InputError
from cdp_toy.point import Bracket, Point, Status
from cdp_toy.solution import Solution
from cdp_toy.tracing.mixtures import Attained, Mixer, Plane
from cdp_toy.tracing.records import Answer, Row, answer_of, row_of
from cdp_toy.validation import Array

__all__ = ["Ask", "BoundaryOracle", "FormulaOracle", "Oracle", "Question", "TracedOracle"]

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


class Question(NamedTuple):
    """A point of the surface at two levels, or D_min ("least") or D_flat ("flat") at a perception level.

    The rest is what a solver may begin with; it is chosen before any question of a batch is answered, so that answers
    do not depend on who answers them, or when.
    """

    kind: Literal["point", "least", "flat"]
    distortion: float
    perception: float
    start: Solution | None = None
    boundary: Bracket | None = None  # D_min at this perception level
    floor: csr_array | None = None  # a channel of least error rate that meets the levels


#: Answers questions one after the other, in their order; they may be at work at the same time.
Ask = Callable[[Sequence[Question]], Iterator[Answer]]


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

    @property
    def identity(self) -> dict[str, str]:
        """What is traced, in words that tell it from others; journals compare them."""
        return {}

    def portable(self) -> TracedOracle:
        """The same oracle for another process, without what it knows by now."""
        return self

    def row(self, answer: Answer) -> Row:
        """An answer as a plain row, for journals and workers."""
        return row_of(answer)

    def restored(self, row: Row) -> Answer:
        """The answer that a plain row was made of."""
        return answer_of(row)

    def question(
        self,
        max_distortion: float,
        max_perception: float,
        least: Bracket | None = None,
        flat: Bracket | None = None,
    ) -> Question:
        """The question for a point, perhaps where the brackets of D_min(P) and D_flat(P) are known."""
        return Question("point", max_distortion, max_perception)

    def answer(self, question: Question) -> Answer:
        """The answer to a question."""
        if question.kind == "least":
            return self.min_distortion(question.perception)
        if question.kind == "flat":
            return self.flat_distortion(question.perception)
        return self(question.distortion, question.perception)

    def __call__(self, max_distortion: float, max_perception: float) -> Point:
        """The point at a pair of levels."""
        raise NotImplementedError

    def remember(self, point: Point) -> None:
        """Let later questions start from a point."""

    def min_distortion(self, max_perception: float) -> Bracket:
        """Bracket of D_min(P), for those that know it."""
        raise NotImplementedError

    def flat_distortion(self, max_perception: float) -> Bracket | None:
        """Bracket of D_flat(P), None where the floor is out of reach or unknown."""
        return None

    def floor_begins(self, low: float, high: float, flat: Callable[[float], Bracket | None]) -> float | None:
        """Perception level in [low, high] from which D_flat(P) is known, None without one; `flat` answers D_flat."""
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

    def __init__(self, formula: Oracle) -> None:
        self.formula = formula
        self.bounded = hasattr(formula, "min_distortion")

    @property
    def identity(self) -> dict[str, str]:
        """A formula is known by its name alone."""
        named = self.formula if hasattr(self.formula, "__qualname__") else type(self.formula)
        return {"problem": f"{named.__module__}.{named.__qualname__}"}

    def answer(self, question: Question) -> Answer:
        """The answer to a question; of solutions only the point, for the problem behind them is not known here."""
        answer = super().answer(question)
        if isinstance(answer, Solution):
            return Point(**{field.name: getattr(answer, field.name) for field in fields(Point)})
        return answer

    def __call__(self, max_distortion: float, max_perception: float) -> Point:
        """The point at a pair of levels."""
        return self.formula(max_distortion, max_perception)

    def min_distortion(self, max_perception: float) -> Bracket:
        """Bracket of D_min(P)."""
        return cast(BoundaryOracle, self.formula).min_distortion(max_perception)
