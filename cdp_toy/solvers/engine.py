"""From a program to a certified bracket: collect hints, prove each, stop when the gap is small enough."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np

from cdp_toy.certificates import (
    DualBound,
    Evaluation,
    Program,
    channel_of,
    dual_bound,
    evaluate,
    fed,
    mixed_to_feasible,
)
from cdp_toy.costs import PricedCost
from cdp_toy.edges import Hint, cheap_anchors, without_perception
from cdp_toy.solvers import interior_point, linear_program, reference, transport
from cdp_toy.validation import Array

__all__ = ["SOLVERS", "Certified", "SolverName", "certify"]

SolverName = Literal["auto", "interior_point", "reference"]
SOLVERS: tuple[SolverName, ...] = get_args(SolverName)

#: The interior-point method is asked for this share of a tolerance: the rest is for what repairing its channel costs.
INNER_SHARE = 0.01

#: A hint that overshoots a level by more than this much, or this share of the perception level, is noise: tightening
#: by it would change the problem. (chi2 = 50 with a letter that wants 5e-8 of mass is overshot by a few per cent.)
LARGEST_TIGHTENING, LARGEST_SHARE = 1e-6, 0.1

#: Scalarized programs tried in the search for the price of a distortion level; with these every point of the paper's
#: toy that the chain left open (n = 101, both classifiers) closed to 1e-7.
MOST_PRICES = 14

#: Prices below this move C by less than 1e-9 over distortions of order one: the level is slack.
LEAST_PRICE = 1e-9

#: Below this level the channels that reproduce the source exactly are tried too: C differs by about sqrt(P).
TINY_PERCEPTION = 1e-4


@dataclass(frozen=True, eq=False)
class Certified:
    """Best proven lower bound and best feasible channel of a program."""

    bound: DualBound
    best: Evaluation | None
    solver: str

    @property
    def upper(self) -> float:
        """Objective of the best feasible channel, inf without one."""
        return math.inf if self.best is None else self.best.objective


class _State:
    """Best bound and channel so far, and how far the last hint overshot the levels."""

    def __init__(self, program: Program, anchors: Callable[[], Iterator[Evaluation]] | None) -> None:
        self.program = program
        self.bound = dual_bound(program, 0.0, np.zeros(program.problem.n_x))
        self.best: Evaluation | None = None
        self.label = "none"
        self.tightening = (0.0, 0.0)
        self._sources = [lambda: cheap_anchors(program), *([] if anchors is None else [anchors])]
        self._anchor: Evaluation | None = None
        self._searched = False

    @cached_property
    def unfed(self) -> Evaluation:
        """The rows' own choice, without a perception level."""
        joint = without_perception(self.program).joint
        assert joint is not None
        return evaluate(self.program, channel_of(self.program, joint))

    @property
    def anchor(self) -> Evaluation | None:
        """First strictly feasible channel on offer; looked for once, and only when needed."""
        if not self._searched:
            self._searched = True
            self._anchor = next((a for source in self._sources for a in source() if a.violation <= 0), None)
        return self._anchor

    def gap(self) -> float:
        """Certified gap so far."""
        return math.inf if self.best is None else self.best.objective - self.bound.value

    def take(self, hint: Hint) -> None:
        """Certify one hint."""
        bound = dual_bound(self.program, hint.price_distortion, hint.potential)
        self.bound = max(self.bound, bound, key=lambda b: b.value)
        if hint.joint is None:
            return
        found = evaluate(self.program, channel_of(self.program, hint.joint))
        candidates = [found]
        if self.bound.law is not None:
            # where perception asks for next to no mass, the rows' own choice, fed by the law that the best prices ask
            # for, is better than what a cone solver leaves in the last digits
            candidates.insert(0, fed(self.program, self.unfed, self.bound))
        if found.violation > 0:
            candidates.append(fed(self.program, found, bound))
        # what a feasible-perception version still overshoots is what the next hint should leave room for
        over = (
            candidates[-1].distortion - self.program.max_distortion,
            found.perception - self.program.max_perception,
        )
        most = (LARGEST_TIGHTENING, max(LARGEST_TIGHTENING, LARGEST_SHARE * self.program.max_perception))
        small = [1.5 * v if 0 < v <= m else 0.0 for v, m in zip(over, most, strict=True)]
        self.tightening = (small[0], small[1])
        if found.violation > 0 and self.anchor is not None:
            candidates = [mixed_to_feasible(self.program, c, self.anchor) for c in candidates]
        for candidate in candidates:
            if candidate.feasible and (self.best is None or candidate.objective < self.best.objective):
                self.best, self.label = candidate, hint.solver


def certify(
    program: Program,
    tol: float,
    anchors: Callable[[], Iterator[Evaluation]] | None = None,
    hints: Sequence[Hint] = (),
    solver: SolverName = "auto",
) -> Certified:
    """Bracket the optimum of a program.

    Hints are tried in the order: those given, the closed form without the perception level, and then the structural
    case (P = 0 or inf), or the interior-point method or the linear program where they apply, or the reference chain
    followed by a search over prices. "auto" goes on to the reference chain where these leave a gap.

    Parameters
    ----------
    program : Program
    tol : float
        Absolute gap at which to stop asking for hints.
    anchors : callable, optional
        More feasible channels, asked for only when a hint needs to be pulled inside and nothing cheap will do.
    hints : sequence of Hint
        Proposals to try before any solver runs, such as a neighbour's answer.
    solver : "auto", "interior_point" or "reference"
    """
    state = _State(program, anchors)
    for hint in _hints(program, hints, state, tol, solver):
        state.take(hint)
        if state.gap() <= tol:
            break
    if state.best is None and state.anchor is not None:
        state.best, state.label = state.anchor, "a feasible channel that no solver improved"
    return Certified(state.bound, state.best, state.label)


def _hints(program: Program, given: Sequence[Hint], state: _State, tol: float, solver: SolverName) -> Iterator[Hint]:
    yield from given
    # where the perception level hardly binds this is nearly the answer, and cone solvers are at their worst
    yield without_perception(program)
    if math.isinf(program.max_perception):
        return
    if state.tightening[0] > 0:
        yield without_perception(
            dataclasses.replace(program, max_distortion=program.max_distortion - state.tightening[0])
        )
    if program.max_perception == 0:
        yield transport.hint(program)
        return
    if solver != "reference" and interior_point.suits(program):
        hint = interior_point.hint(program, INNER_SHARE * tol)
        if hint is not None:
            yield hint
    if solver != "reference" and program.problem.perception.polyhedral:
        yield linear_program.hint(program)
    if solver == "interior_point":
        return
    for setting in reference.settings_for(program):
        hint = reference.hint(program, setting, state.tightening)
        if hint is not None:
            yield hint
    if math.isfinite(program.max_distortion):
        yield from _price_search(program, state.bound.price_distortion, tol, solver)
    if program.max_perception < TINY_PERCEPTION:  # the source law itself is feasible, and an LP finds it
        yield transport.hint(dataclasses.replace(program, max_perception=0.0))


def _price_search(program: Program, start: float, tol: float, solver: SolverName) -> Iterator[Hint]:
    """Replace the distortion level by its price: min E[objective + lam distortion] is what cone solvers do best.

    Each price gives a bound and a channel; the distortion of the channel falls as the price rises. Two prices whose
    channels lie on either side of the level give, mixed to the level, a feasible channel.
    """
    problem = program.problem
    low: tuple[float, float, Array] | None = None  # price, excess distortion > 0, joint law
    high: tuple[float, float, Array] | None = None  # excess <= 0
    price = max(start, 1e-4 / program.distortion_scale)
    for _ in range(MOST_PRICES):
        cost = PricedCost(program.objective, problem.distortion_cost, price)
        inner = dataclasses.replace(program, objective=cost, max_distortion=math.inf)
        certified = certify(inner, tol / 4, solver=solver)
        if certified.best is None:
            return
        joint = problem.p_y[:, None] * certified.best.channel.toarray()
        excess = certified.best.distortion - program.max_distortion
        here = (price, excess, joint)
        low, high = (here, high) if excess > 0 else (low, here)
        mixed = joint
        if low is not None and high is not None:
            share = low[1] / (low[1] - high[1])
            mixed = share * high[2] + (1 - share) * low[2]
        yield Hint(mixed, price, certified.bound.potential, "reference (search over prices)")
        if low is None:
            if price <= LEAST_PRICE / program.distortion_scale:
                return
            price /= 30
        elif high is None:
            price *= 4
        elif high[0] / low[0] < 1 + 1e-9:
            return
        else:
            # interpolate in the logarithm of the price, kept off the ends so that both sides shrink
            share = min(max(low[1] / (low[1] - high[1]), 0.1), 0.9)
            price = low[0] * (high[0] / low[0]) ** share
