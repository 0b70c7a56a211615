"""From a program to a certified bracket: collect hints, prove each, stop when the gap is small enough."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from scipy.sparse import csr_array, diags_array

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
from cdp_toy.edges import SLACK_SHARE, Hint, cheap_anchors, without_perception
from cdp_toy.solvers import interior_point, levels, line_route, linear_program, reference, transport
from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.columns import mean_cost
from cdp_toy.solvers.levels import Near, Neighbour
from cdp_toy.solvers.threads import one_blas_thread
from cdp_toy.validation import Array

__all__ = ["SOLVERS", "Certified", "SolverName", "begins_with", "certify", "chosen", "refuse_if_too_large"]

SolverName = Literal["auto", "cuts", "interior_point", "levels", "linear_program", "reference"]
SOLVERS: tuple[SolverName, ...] = get_args(SolverName)

#: Solvers are asked for this share of a tolerance: the rest is for what repairing their channel costs.
INNER_SHARE = 0.2

#: ... but for no less than this times the root of the number of pairs, in units of the mean cost: rounding stalls the
#: iteration (6400 x 6400 pairs took 100 steps instead of 30 for a goal three times smaller).
SMALLEST_GOAL = 2e-15

#: Up to this many pairs all of them are tried where levels leave a gap (1 s; the time grows like n^3), ...
MOST_PAIRS_FOR_ALL = 160_000
#: ... and up to this many the cone solvers of the reference are tried where a faster method leaves a gap (12 s each).
MOST_PAIRS_FOR_REFERENCE = 45_000

#: A hint that overshoots a level by more than this much, or this share of the perception level, is noise: tightening
#: by it would change the problem. (chi2 = 50 with a letter that wants 5e-8 of mass is overshot by a few per cent.)
LARGEST_TIGHTENING, LARGEST_SHARE = 1e-6, 0.1

#: Scalarized programs tried in the search for the price of a distortion level; with these every point of the paper's
#: toy that the chain left open (n = 101, both classifiers) closed to 1e-7.
MOST_PRICES = 24

#: On a boundary curve a gap of no more than what the slack of P is worth, and than so many tolerances, is left: next to
#: its end, where P is dear, ten times the time of everything before had closed none of it.
SLACK_WORTH, NOT_FAR = 1.1, 100
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
    interrupted: bool = False
    #: what a neighbouring program may be taken up from
    state: object | None = None

    @property
    def upper(self) -> float:
        """Objective of the best feasible channel, inf without one."""
        return math.inf if self.best is None else self.best.objective


class _State:
    """Best bound and channel so far, and how far the last hint overshot the levels."""

    def __init__(self, program: Program, tol: float, near: Callable[[], Near | None], budget: Budget) -> None:
        self.program, self.tol, self.budget = program, tol, budget
        self.bound = dual_bound(program, 0.0, np.zeros(program.problem.n_x))
        self.best: Evaluation | None = None
        self.label = "none"
        self.tightening = (0.0, 0.0)
        #: whether a channel may be repaired at the price of D_min(P)
        self.thorough = False
        self._near = near
        self._trails: list[Callable[[], Iterable[tuple[float, Array]]]] = []
        #: what a neighbouring program may be taken up from
        self.central: object | None = None

    @cached_property
    def near(self) -> Near | None:
        """What is known of D_min(P); found out once, and only when needed."""
        return self._near()

    @cached_property
    def unfed(self) -> Evaluation:
        """The rows' own choice, without a perception level."""
        joint = without_perception(self.program).joint
        assert joint is not None
        return evaluate(self.program, channel_of(self.program, joint))

    @cached_property
    def anchor(self) -> Evaluation | None:
        """First strictly feasible channel on offer; looked for once, and only when needed."""
        if self.cheap_anchor is not None or self.near is None:
            return self.cheap_anchor
        return self._first_inside(self.near.anchors())

    @cached_property
    def cheap_anchor(self) -> Evaluation | None:
        """The same without asking for D_min(P)."""
        return self._first_inside(cheap_anchors(self.program))

    def _first_inside(self, channels: Iterable[Evaluation]) -> Evaluation | None:
        exactly_p = self.program.max_perception == 0  # where rounding is all the slack there is
        return next((a for a in channels if a.violation <= 0 or (exactly_p and a.feasible)), None)

    def fall_back(self) -> None:
        """Take any feasible channel on offer."""
        label = "a feasible channel that no solver improved"
        for channel in cheap_anchors(self.program):
            self._offer(channel, label)
        for channel in () if self.near is None else self.near.anchors():
            self._offer(channel, label)

    def gap(self) -> float:
        """Certified gap so far."""
        return math.inf if self.best is None else self.best.objective - self.bound.value

    def slack_alone(self) -> bool:
        """Whether what is open is no more than what the slack of the levels is worth."""
        bound, program = self.bound, self.program
        worth = bound.price_distortion * program.distortion_slack + bound.price_perception * program.perception_slack
        return self.gap() <= min(SLACK_WORTH * worth, NOT_FAR * self.tol)

    def take(self, hint: Hint, repaired: bool = True) -> None:
        """Certify one hint; a channel that misses the levels is repaired unless told otherwise."""
        bound = self._raise(hint.price_distortion, hint.potential)
        if hint.joint is not None:
            self._improve(hint, bound, repaired)
        self._trails.append(hint.trail)
        if hint.state is not None:
            self.central = hint.state

    def look_back(self) -> None:
        """Prove the prices of all iterates: a solver that stopped early may have had better ones on its way."""
        for price, potential in itertools.chain.from_iterable(trail() for trail in self._trails):
            self._raise(price, potential)

    def _raise(self, price: float, potential: Array) -> DualBound:
        bound = dual_bound(self.program, price, potential)
        self.bound = max(self.bound, bound, key=lambda b: b.value)
        return bound

    def _improve(self, hint: Hint, bound: DualBound, repaired: bool) -> None:
        """Candidates for a better channel, the cheapest to make first, until the gap is closed."""
        assert hint.joint is not None
        program = self.program
        found = evaluate(program, channel_of(program, hint.joint))
        if found.violation <= 0 or not repaired:
            self._offer(found, hint.solver)
        if self.gap() <= self.tol or not repaired:
            return
        nourished = fed(program, found, bound) if found.violation > 0 else found
        # what a feasible-perception version still overshoots is what the next hint should leave room for
        over = (nourished.distortion - program.max_distortion, found.perception - program.max_perception)
        most = (LARGEST_TIGHTENING, max(LARGEST_TIGHTENING, LARGEST_SHARE * program.max_perception))
        small = [1.5 * v if 0 < v <= m else 0.0 for v, m in zip(over, most, strict=True)]
        self.tightening = (small[0], small[1])
        if nourished.violation <= 0:
            self._offer(nourished, hint.solver)
        if self.gap() <= self.tol:
            return
        candidates = [found] if nourished is found else [found, nourished]
        if self.bound.law is not None:
            # where perception asks for next to no mass, the rows' own choice, fed by the law that the best prices ask
            # for, is better than what a cone solver leaves in the last digits
            candidates.append(fed(program, self.unfed, self.bound))
        # D_min(P) is not worth its price yet, unless it is known already or nothing else will follow
        thorough = self.thorough or "near" in self.__dict__ or self.budget.spent
        self._pull(candidates, self.anchor if thorough else self.cheap_anchor, hint.solver)
        if self.gap() > self.tol:  # next to D_min(P) the slack that rounding is granted is worth more than the gap
            self._offer(found, hint.solver)

    def _pull(self, candidates: list[Evaluation], anchor: Evaluation | None, solver: str) -> None:
        """Offer candidates, those that miss the levels pulled towards a channel that meets them."""
        for candidate in candidates:
            if candidate.violation > 0 and anchor is not None:
                candidate = mixed_to_feasible(self.program, candidate, anchor)
            self._offer(candidate, solver)

    def _offer(self, candidate: Evaluation, solver: str) -> None:
        if candidate.feasible and (self.best is None or candidate.objective < self.best.objective):
            self.best, self.label = candidate, solver


def begins_with(program: Program) -> str:
    """Name of the method that "auto" begins with."""
    return "cuts" if line_route.suits(program) else chosen(program)


def chosen(program: Program) -> str:
    """Name of the method that "auto" runs where Newton's method on cuts does not apply, or does not end."""
    if math.isinf(program.max_perception):
        return "closed form"
    if program.max_perception == 0:
        return "linear_program"
    if interior_point.suits(program):
        n_y, n_x = program.problem.shape
        return "interior_point" if n_y * n_x <= levels.FULL else "levels"
    return "linear_program" if program.problem.perception.polyhedral else "reference"


def refuse_if_too_large(program: Program, solver: SolverName) -> None:
    """Refuse a program whose tables would not fit in memory with the method that is to run, before any work."""
    method = chosen(program) if solver in ("auto", "cuts") else solver
    if method == "interior_point":
        interior_point.refuse_if_too_large(program)
    elif method == "reference":
        reference.refuse_if_too_large(program)
    elif method == "linear_program":
        linear_program.refuse_if_too_large(program)


def certify(
    program: Program,
    tol: float,
    near: Callable[[], Near | None] = lambda: None,
    warm: tuple[Hint, Neighbour] | None = None,
    solver: SolverName = "auto",
    budget: Budget | None = None,
) -> Certified:
    """Bracket the optimum of a program.

    Hints are tried in the order: a neighbour's answer (after the next, if much changes), what follows from its prices,
    the closed form without the perception level, the method that was asked for or `chosen`, and, with "auto", what else
    may close a gap: all pairs, the reference chain, a search over prices.

    Parameters
    ----------
    program : Program
    tol : float
        Absolute gap at which to stop asking for hints.
    near : callable, optional
        Finds out about D_min(P), asked only when needed.
    warm : (Hint, Neighbour), optional
        A neighbour's answer as it is, and as a start for the interior point.
    solver : SolverName
    budget : Budget, optional
    """
    budget = Budget() if budget is None else budget
    state = _State(program, tol, near, budget)
    try:
        with one_blas_thread():
            for hint in _hints(program, warm, state, solver, budget):
                state.take(hint, repaired=warm is None or hint is not warm[0])
                if state.gap() <= tol or budget.spent:
                    break
        if state.gap() > tol:
            state.look_back()
        if state.best is None and not budget.interrupted:
            state.fall_back()
    except KeyboardInterrupt:
        budget.interrupted = True
    return Certified(state.bound, state.best, state.label, budget.interrupted, state.central)


def _hints(
    program: Program, warm: tuple[Hint, Neighbour] | None, state: _State, solver: SolverName, budget: Budget
) -> Iterator[Hint]:
    smooth = interior_point.suits(program)
    n_y, n_x = program.problem.shape
    goal = max(INNER_SHARE * state.tol, SMALLEST_GOAL * math.sqrt(n_y * n_x) * mean_cost(program))
    if warm is not None:
        as_it_is = [warm[0]]
        if warm[1].change <= state.tol:
            yield as_it_is.pop()
        if solver in ("auto", "cuts"):
            law = np.asarray(program.problem.p_y @ warm[1].channel)
            at_once = line_route.hint(program, budget, law, tries=1)
            yield from _some(at_once or line_route.hint(program, budget) or line_route.hint(program, budget, law))
        if smooth and solver in ("auto", "levels") and warm[1].price_perception > 0:
            yield from _some(levels.from_neighbour(program, goal, warm[1], budget, state))
        yield from as_it_is
    elif solver in ("auto", "cuts"):
        yield from _some(line_route.hint(program, budget))
    # where the perception level hardly binds this is nearly the answer, and cone solvers are at their worst
    yield without_perception(program)
    if math.isinf(program.max_perception) or (solver == "cuts" and program.max_perception > 0):
        return
    if state.tightening[0] > 0:
        yield without_perception(
            dataclasses.replace(program, max_distortion=program.max_distortion - state.tightening[0])
        )
    method = chosen(program) if solver in ("auto", "cuts") else solver
    if method == "levels" and program.max_perception > 0:
        hint = levels.hint(program, goal, budget, state)
        yield from _some(hint)
        if hint is not None and state.cheap_anchor is None:  # its channel once more, repaired at the price of D_min(P)
            state.thorough = True
            yield hint._replace(trail=tuple)
    state.thorough = True
    _ = state.anchor  # a D below D_min(P) is found out before anything slower runs
    if program.max_perception == 0:
        yield transport.hint(program, budget)
        if math.isfinite(program.max_distortion):  # HiGHS may find nothing next to D_min(0)
            yield from _price_search(program, state, solver, budget)
        return
    if program.objective is program.problem.distortion_cost and solver == "auto" and state.slack_alone():
        return
    all_pairs = solver == "auto" and smooth and n_y * n_x <= MOST_PAIRS_FOR_ALL
    if method == "interior_point" or all_pairs:
        yield from _some(interior_point.hint(program, goal, budget))
    if method == "linear_program":
        yield linear_program.hint(program, budget=budget)
    if solver not in ("auto", "reference"):
        return
    if solver == "auto" and program.problem.n_y * program.problem.n_x > MOST_PAIRS_FOR_REFERENCE:
        return
    for setting in reference.settings_for(program):
        yield from _some(reference.hint(program, setting, state.tightening, budget))
    if math.isfinite(program.max_distortion):
        yield from _price_search(program, state, solver, budget)
    if program.max_perception < TINY_PERCEPTION:  # the source law itself is feasible, and an LP finds it
        yield transport.hint(dataclasses.replace(program, max_perception=0.0), budget)


def _some(hint: Hint | None) -> Iterator[Hint]:
    if hint is not None:
        yield hint


def _price_search(program: Program, state: _State, solver: SolverName, budget: Budget) -> Iterator[Hint]:
    """Replace the distortion level by its price: min E[objective + lam distortion] is what cone solvers do best.

    Each price gives a bound and a channel; the distortion of the channel falls as the price rises. Two prices whose
    channels lie on either side of the level give, mixed to the level, a feasible channel.
    """
    problem = program.problem
    low: tuple[float, float, csr_array] | None = None  # price, excess distortion > 0, joint law
    high: tuple[float, float, csr_array] | None = None  # excess <= 0
    price = max(state.bound.price_distortion, 1e-4 / program.distortion_scale)
    # next to D_min(P) the error rate falls by 1e-6 within the slack that rounding is granted
    limit = program.max_distortion + SLACK_SHARE * program.distortion_slack
    level = program.max_perception + SLACK_SHARE * program.perception_slack
    for _ in range(MOST_PRICES):
        cost = PricedCost(program.objective, problem.distortion_cost, price)
        inner = dataclasses.replace(program, objective=cost, max_distortion=math.inf, max_perception=level)
        certified = certify(inner, state.tol / 20, solver=solver, budget=budget)
        if certified.best is None:
            return
        joint = csr_array(diags_array(problem.p_y) @ certified.best.channel)
        excess = certified.best.distortion - limit
        here = (price, excess, joint)
        low, high = (here, high) if excess > 0 else (low, here)
        mixed = joint
        if low is not None and high is not None:
            share = low[1] / (low[1] - high[1])
            mixed = csr_array(share * high[2] + (1 - share) * low[2])
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
            # near D_min(P) the distortion above it falls like price^-2; kept off the ends so that both sides shrink
            share = min(max(low[1] / (low[1] - high[1]), 0.05), 0.95)
            price = (low[0] ** -2 + share * (high[0] ** -2 - low[0] ** -2)) ** -0.5
