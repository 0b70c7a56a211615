"""What a surface is traced from: something that answers a pair of levels with a certified point.

A formula will do. A finite problem knows more: where the surface begins and where it is flat, and how to mix what it
proved and attained at some levels into proofs and channels for others, which costs an evaluation and no solve.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, Protocol, cast

import numpy as np
from scipy.sparse import csr_array, diags_array

from cdp_toy.boundary import error_optimal, flat_distortion, min_distortion
from cdp_toy.certificates import FEASIBILITY_TOL, Program, channel_of, dual_bound, evaluate, verdict
from cdp_toy.costs import SquaredErrorCost
from cdp_toy.couplings import monotone
from cdp_toy.edges import cheap_anchors, coupling, on_line
from cdp_toy.finite import DiscreteProblem
from cdp_toy.perceptions import FDivergence
from cdp_toy.point import Bracket, Point, Status
from cdp_toy.sandwich import Attained, Mixer, Plane
from cdp_toy.solution import Solution
from cdp_toy.solving import solve
from cdp_toy.validation import Array, Indices

__all__ = ["BoundaryOracle", "Channel", "FiniteOracle", "Oracle", "attained_of", "plane_of"]

#: Monotone couplings are taken when their error rate is no more than this above the mixture's: rounding.
NO_WORSE = 1e-13
#: Points that cost nothing to move are compared by their distance at this price.
NO_PRICE = 1e-3


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


class Channel(NamedTuple):
    """What mixtures need of a channel: its output law and linear costs; the channel itself is made on request."""

    law: Array
    error_rate: float
    distortion: float
    make: Callable[[], csr_array]


class _Proof(NamedTuple):
    price_distortion: float
    potential: Array


def plane_of(point: Point) -> Plane | None:
    """The supporting plane of a point, None where it proves nothing."""
    if point.status is Status.INFEASIBLE or math.isinf(point.lower_bound) or math.isinf(point.max_perception):
        return None
    plane = point.hyperplane
    proof = None
    if isinstance(point, Solution) and point.potential is not None and math.isfinite(point.price_perception):
        proof = _Proof(point.price_distortion, point.potential)
    return Plane(*_levels(point), plane.value, plane.price_distortion, plane.price_perception, proof)


def attained_of(point: Point) -> list[Attained]:
    """What a point attains, at the levels that its channel needs: at most those that were asked for."""
    if not math.isfinite(point.upper_bound):
        return []
    needs = (point.distortion, point.perception)
    d, p = (
        level if math.isnan(need) else min(need, level) for need, level in zip(needs, _levels(point), strict=True)
    )
    channel = None
    if isinstance(point, Solution) and point.sparse_channel is not None:
        kept = point.sparse_channel
        channel = Channel(point.output_law, point.error_rate, point.distortion, lambda: kept)
    return [Attained(d, p, point.upper_bound, channel)]


def _levels(point: Point) -> tuple[float, float]:
    return point.max_distortion, point.max_perception


@dataclass(eq=False)
class FiniteOracle:
    """Points and boundaries of a finite problem, each solve started from the nearest one before.

    Parameters
    ----------
    problem : DiscreteProblem
    tol : float
        Certified gap of every point to aim for.
    """

    problem: DiscreteProblem
    tol: float = 1e-8
    scope: str = "grid"
    known: list[Solution] = field(default_factory=list)
    _rows: list[tuple[float, float, float, float]] = field(default_factory=list, repr=False)

    def __call__(self, max_distortion: float, max_perception: float) -> Solution:
        """Solve one point from the nearest one that is known."""
        return self.solve(max_distortion, max_perception, self.nearest(max_distortion, max_perception))

    def solve(
        self, max_distortion: float, max_perception: float, start: Solution | None, boundary: Bracket | None = None
    ) -> Solution:
        """Solve one point from a given one, and remember it."""
        point = solve(
            self.problem,
            max_distortion,
            max_perception,
            tol=self.tol,
            on_infeasible="return",
            warm_start=start,
            boundary=boundary,
        )
        self.remember(point)
        return point

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
            solver="flat region",
            note="",
            feasibility_tol=FEASIBILITY_TOL,
        )

    def remember(self, point: Solution) -> None:
        """Let later solves start from a point."""
        if point.potential is not None and point.sparse_channel is not None and math.isfinite(point.price_perception):
            self.known.append(point)
            self._rows.append((*_levels(point), point.price_distortion, point.price_perception))

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
        program = self._program("flat")
        if not isinstance(self.problem.perception, FDivergence) or not program.support().any(axis=1).all():
            return math.inf
        return next(cheap_anchors(program)).perception

    def of_bracket(self, quantity: str, level: float, bracket: Bracket) -> tuple[Plane | None, list[Attained]]:
        """Tangent and attained point of a boundary curve, a function of P alone."""
        plane = None
        if math.isfinite(bracket.lower):
            price = bracket.prices.perception
            usable = bracket.potential is not None and math.isfinite(price)
            plane = Plane(0.0, level, bracket.lower, 0.0, price, _Proof(0.0, bracket.potential) if usable else None)
        if bracket.witness is None:
            return plane, []
        channel = self.channel(bracket.witness)
        perception = self.problem.perception.value(self.problem.p_x, channel.law)
        level = min(perception, level) if math.isfinite(perception) else level
        return plane, [Attained(0.0, level, bracket.upper, channel)]

    def channel(self, kept: csr_array) -> Channel:
        """A channel with its output law and costs."""
        found = evaluate(self._program("error"), kept)
        law = np.asarray(self.problem.p_y @ kept).ravel()
        return Channel(law, found.error_rate, found.distortion, lambda: kept)

    def on_surface(self, channel: Channel) -> Attained:
        """What any channel attains."""
        perception = self.problem.perception.value(self.problem.p_x, channel.law)
        return Attained(channel.distortion, perception, channel.error_rate, channel)

    def mixer(self, quantity: str) -> Mixer:
        """Mixtures for the surface ("error") or for a boundary curve ("least", "flat")."""
        return _FiniteMixer(self, quantity, self._program(quantity))

    def _program(self, quantity: str) -> Program:
        problem = self.problem
        if quantity == "error":
            return Program(problem, problem.error_cost)
        return Program(problem, problem.distortion_cost, allowed=error_optimal(problem) if quantity == "flat" else None)


@dataclass(frozen=True, eq=False)
class _FiniteMixer:
    """Mixtures of potentials and of channels of a finite problem.

    The dual function is concave in prices and potential, error and distortion are linear in the channel and perception is
    convex: mixtures are at least as good as the mean of what they are made of. On the line, where a monotone coupling
    with the mixed output law costs no more than the mixture, that is taken.
    """

    oracle: FiniteOracle
    quantity: str
    program: Program

    def plane(self, d: float, p: float, proofs: Sequence[_Proof], weights: Array) -> Plane | None:
        """The bound of mixed prices and potentials at a place."""
        surface = self.quantity == "error"
        program = Program(
            self.program.problem, self.program.objective, d if surface else math.inf, p, self.program.allowed
        )
        price = float(sum(w * proof.price_distortion for w, proof in zip(weights, proofs, strict=True)))
        potential = sum(w * proof.potential for w, proof in zip(weights, proofs, strict=True))
        bound = dual_bound(program, price, np.asarray(potential))
        if not (math.isfinite(bound.value) and math.isfinite(bound.price_perception)):
            return None
        proof = _Proof(bound.price_distortion, bound.potential)
        return Plane(d if surface else 0.0, p, bound.value, bound.price_distortion, bound.price_perception, proof)

    def attained(self, channels: Sequence[Channel], weights: Array) -> Attained:
        """What the mixture of channels attains, or a monotone coupling with its output law."""
        problem, used = self.program.problem, [k for k, w in enumerate(weights) if w > 0]
        parts, shares = [channels[k] for k in used], [float(weights[k]) for k in used]
        if len(parts) == 1:
            return self._attained(parts[0])
        law = np.asarray(sum(w * part.law for w, part in zip(shares, parts, strict=True)))
        error_rate = sum(w * part.error_rate for w, part in zip(shares, parts, strict=True))
        distortion = sum(w * part.distortion for w, part in zip(shares, parts, strict=True))

        def mixed() -> csr_array:
            return csr_array(sum(w * part.make() for w, part in zip(shares, parts, strict=True)))

        found = Channel(law, error_rate, distortion, mixed)
        if on_line(problem):
            ordered = self._ordered(law)
            if ordered.error_rate <= error_rate + NO_WORSE and ordered.distortion <= distortion:
                found = ordered
        return self._attained(found)

    def _attained(self, channel: Channel) -> Attained:
        place = self.oracle.on_surface(channel)
        return place if self.quantity == "error" else Attained(0.0, place.p, channel.distortion, channel)

    def _ordered(self, law: Array) -> Channel:
        """The monotone coupling of p_Y with a law of letters."""
        problem = self.program.problem
        if self.program.allowed is not None:  # rounding must not put mass on other classes
            return self.oracle.channel(channel_of(self.program, coupling(problem, law)))
        rows, columns = self._order
        i, j, mass = monotone(problem.p_y[rows], law[columns])
        costs = (problem.error_cost, problem.distortion_cost)
        error_rate, distortion = (float(mass @ cost.entries(rows[i], columns[j])) for cost in costs)

        def coupled() -> csr_array:
            joint = coupling(problem, law)
            total = np.asarray(joint.sum(axis=1)).ravel()
            return csr_array(diags_array(1 / np.where(total > 0, total, 1.0)) @ joint)

        return Channel(law, error_rate, distortion, coupled)

    @cached_property
    def _order(self) -> tuple[Indices, Indices]:
        cost = cast(SquaredErrorCost, self.program.problem.distortion_cost)
        return np.argsort(cost.mean_y[:, 0]), np.argsort(cost.mean_x[:, 0])
