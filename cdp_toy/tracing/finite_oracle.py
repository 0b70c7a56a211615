"""A finite problem as an oracle: points, boundary curves, and mixtures of what was proven and attained."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array, diags_array

from cdp_toy.boundary import flat_distortion, min_distortion
from cdp_toy.certificates import FEASIBILITY_TOL, Program, dual_bound, evaluate, verdict
from cdp_toy.costs import SquaredErrorCost
from cdp_toy.edges import cheap_anchors
from cdp_toy.finite import DiscreteProblem
from cdp_toy.least_perception import min_perception
from cdp_toy.perceptions import FDivergence
from cdp_toy.point import Bracket, Point
from cdp_toy.solution import Solution
from cdp_toy.solvers.line import line_problem
from cdp_toy.solvers.tables import Tables, tables_of
from cdp_toy.solvers.trees import heaviest_forest
from cdp_toy.solving import solve
from cdp_toy.tracing.bulk_mixing import BulkMixer
from cdp_toy.tracing.fingerprint import bare, fingerprint
from cdp_toy.tracing.forest_mixing import ForestMixer
from cdp_toy.tracing.mixing import Channel, FiniteMixer, Forest, Proof, measured, on_surface, program_of
from cdp_toy.tracing.mixtures import Attained, Mixer, OneByOne, Plane
from cdp_toy.tracing.oracles import FLOOR_SHARE, FLOOR_STEP, SATURATED, Question, TracedOracle
from cdp_toy.tracing.records import Answer, Row, answer_of
from cdp_toy.validation import Array

__all__ = ["FiniteOracle"]

#: Points that cost nothing to move are compared by their distance at this price.
NO_PRICE = 1e-3
#: Who solves points of the flat region: their potential is 0, a poor start for others.
FLOOR_SOLVER = "flat region"
#: Where that level has no formula it is bisected to this share of the range.
FLOOR_WIDTH = 1e-2


@dataclass(eq=False)
class FiniteOracle(TracedOracle):
    """Points and boundaries of a finite problem, each solve started from the nearest one before.

    Parameters
    ----------
    problem : DiscreteProblem
    tol : float
        Certified gap of every point to aim for.
    """

    problem: DiscreteProblem
    tol: float = 1e-8
    known: list[Solution] = field(default_factory=list)
    _rows: list[tuple[float, float, float, float]] = field(default_factory=list, repr=False)

    scope = "grid"
    open_edges = True
    bounded = True

    @property
    def facts(self) -> dict[str, str | float]:
        """What files and summaries say about it."""
        problem = self.problem
        named = {"distortion": "squared_error"} if isinstance(problem.distortion_cost, SquaredErrorCost) else {}
        return {
            "scope": self.scope,
            "problem": repr(problem)[1:-1],
            "perception": problem.perception.name,
            "point_tol": self.tol,
            "fingerprint": fingerprint(problem),
            **named,
        }

    @property
    def observation_law(self) -> Array:
        """Law of Y."""
        return self.problem.p_y

    @property
    def identity(self) -> dict[str, str]:
        """Name and fingerprint of the problem."""
        return {"problem": repr(self.problem)[1:-1], "fingerprint": fingerprint(self.problem)}

    def portable(self) -> FiniteOracle:
        """The same oracle for another process, without what it knows by now."""
        return FiniteOracle(bare(self.problem), self.tol)

    def restored(self, row: Row) -> Answer:
        """The answer that a plain row was made of."""
        return answer_of(row, self.problem)

    def question(
        self,
        max_distortion: float,
        max_perception: float,
        least: Bracket | None = None,
        flat: Bracket | None = None,
    ) -> Question:
        """The question for a point, to be solved from the nearest one that is known."""
        if flat is not None and flat.witness is not None and max_distortion >= flat.upper:
            return Question("point", max_distortion, max_perception, floor=flat.witness)
        return Question("point", max_distortion, max_perception, self.nearest(max_distortion, max_perception), least)

    def answer(self, question: Question) -> Answer:
        """The answer to a question."""
        if question.kind != "point":
            return super().answer(question)
        if question.floor is not None:
            return self.on_floor(question.distortion, question.perception, question.floor)
        return solve(
            self.problem,
            question.distortion,
            question.perception,
            tol=self.tol,
            on_infeasible="return",
            warm_start=question.start,
            boundary=question.boundary,
        )

    def on_floor(self, max_distortion: float, max_perception: float, channel: csr_array) -> Solution:
        """A point of the flat region, from a channel of least error that meets the levels; nothing is solved."""
        problem = self.problem
        program = Program(problem, problem.error_cost, max_distortion, max_perception)
        found, bound = evaluate(program, channel), dual_bound(program, 0.0, np.zeros(problem.n_x))
        return Solution(
            status=verdict(bound.value, found, self.tol),
            scope="grid",
            lower_bound=bound.value,
            upper_bound=max(found.error_rate, bound.value) if found.feasible else math.inf,
            error_rate=found.error_rate,
            distortion=found.distortion,
            perception=found.perception,
            max_distortion=max_distortion,
            max_perception=max_perception,
            price_distortion=0.0,
            price_perception=bound.price_perception,
            problem=problem,
            sparse_channel=channel,
            potential=bound.potential,
            solver=FLOOR_SOLVER,
            note="",
            feasibility_tol=FEASIBILITY_TOL,
        )

    def remember(self, point: Point) -> None:
        """Let later solves start from a point."""
        if not isinstance(point, Solution) or point.solver == FLOOR_SOLVER:
            return
        if point.potential is not None and point.sparse_channel is not None and math.isfinite(point.price_perception):
            self.known.append(point)
            self._rows.append(
                (point.max_distortion, point.max_perception, point.price_distortion, point.price_perception)
            )

    def nearest(self, max_distortion: float, max_perception: float) -> Solution | None:
        """The known point whose prices say that its value differs least, as from there to here so back."""
        if not self.known:
            return None
        rows = np.array(self._rows)
        away = np.abs(rows[:, :2] - (max_distortion, max_perception))
        return self.known[int(np.argmin(((rows[:, 2:] + NO_PRICE) * away).sum(axis=1)))]

    def min_distortion(self, max_perception: float) -> Bracket:
        """D_min(P)."""
        return min_distortion(self.problem, max_perception)

    def flat_distortion(self, max_perception: float) -> Bracket | None:
        """D_flat(P), None where the floor is out of reach."""
        return flat_distortion(self.problem, max_perception)

    @cached_property
    def floor_level(self) -> float:
        """Perception level from which on the floor is within reach, inf where that is not known."""
        program = program_of(self.problem, "flat")
        if not isinstance(self.problem.perception, FDivergence) or not program.support().any(axis=1).all():
            return math.inf
        return next(cheap_anchors(program)).perception

    def floor_begins(self, low: float, high: float, flat: Callable[[float], Bracket | None]) -> float | None:
        """Perception level in [low, high] from which D_flat(P) is known, None without one; `flat` answers D_flat."""
        begins = self.floor_level * (1 + FLOOR_SHARE) + FLOOR_STEP
        if math.isfinite(begins):
            return max(begins, low) if begins <= high else None
        if flat(high) is None:
            return None
        if flat(low) is not None:
            return low
        width = high - low
        while high - low > FLOOR_WIDTH * width:
            middle = (low + high) / 2
            low, high = (low, middle) if flat(middle) is not None else (middle, high)
        return high

    @cached_property
    def _tables(self) -> Tables | None:
        """The problem as tables where it is not on the line."""
        return tables_of(self.problem) if line_problem(self.problem) is None else None

    def mixer(self, quantity: str) -> Mixer:
        """Mixtures for the surface ("error") or for a boundary curve ("least", "flat")."""
        if quantity == "error" and (line := line_problem(self.problem)) is not None:
            return BulkMixer(self.problem, line)
        if quantity == "error" and self._tables is not None:
            return ForestMixer(self.problem, self._tables, self.tol)
        return OneByOne(FiniteMixer(self.problem, quantity))

    def of_point(self, point: Point) -> tuple[Plane | None, list[Attained]]:
        """Supporting plane and attained point, with what mixtures need."""
        plane, attained = super().of_point(point)
        if not isinstance(point, Solution):
            return plane, attained
        if plane is not None and point.potential is not None and math.isfinite(point.price_perception):
            plane = plane._replace(proof=Proof(point.price_distortion, point.potential))
        if attained and point.sparse_channel is not None:
            kept = point.sparse_channel
            channel = Channel(point.output_law, point.error_rate, point.distortion, lambda: kept, self._forest(point))
            attained = [attained[0]._replace(channel=channel)]
        return plane, attained

    def _forest(self, point: Solution) -> Forest | None:
        """A forest that a coupling at the prices of a point is not far from; None where nothing begins with it."""
        prices = point.price_distortion, point.price_perception
        if self._tables is None or point.sparse_channel is None or not 0 < min(prices) <= max(prices) < math.inf:
            return None
        keys = heaviest_forest(csr_array(diags_array(self.problem.p_y) @ point.sparse_channel))
        return None if keys is None else Forest(keys.astype(np.int32), prices)

    def of_bracket(self, quantity: str, max_perception: float, bracket: Bracket) -> tuple[Plane | None, list[Attained]]:
        """Tangent and attained point of a boundary curve, with what mixtures need."""
        plane, attained = super().of_bracket(quantity, max_perception, bracket)
        if plane is not None and bracket.potential is not None and math.isfinite(plane.price_p):
            plane = plane._replace(proof=Proof(0.0, bracket.potential))
        if bracket.witness is None:
            return plane, []
        channel = measured(self.problem, bracket.witness)
        perception = self.problem.perception.value(self.problem.p_x, channel.law)
        level = min(perception, max_perception) if math.isfinite(perception) else max_perception
        return plane, [attained[0]._replace(p=level, channel=channel)]

    def on_surface(self, attained: Sequence[Attained]) -> list[Attained]:
        """What the channels on a boundary curve attain on the surface."""
        return [on_surface(self.problem, point.channel) for point in attained if point.channel is not None]

    def restoration(self, channel: Channel) -> csr_array:
        """The restoration channel behind an attained point."""
        return channel.make()

    def default_perception(self) -> tuple[float, float]:
        """From 0 until D_min(P) has fallen to D_min(inf), up to a hundredth of its way."""
        least, most = (self.min_distortion(p).upper for p in (math.inf, 0.0))
        if not most > least:
            return 0.0, 1.0
        high = min_perception(self.problem, least + SATURATED * (most - least)).upper
        return 0.0, high if 0 < high < math.inf else 1.0

    def default_distortion(self, perception: tuple[float, float]) -> tuple[float, float]:
        """From D_min(inf) to the larger of D_min at the least P and D_flat."""
        low = self.min_distortion(math.inf).lower
        flat = self.flat_distortion(max(1.01 * self.floor_level, perception[0]))
        high = max(self.min_distortion(perception[0]).upper, -math.inf if flat is None else flat.upper)
        return low, max(high, low)
