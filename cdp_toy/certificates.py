"""Proof of every number: dual bound, repair, residuals, verdict. No solver inside.

A solver's answer is a hint. `dual_bound` turns prices and a potential into a lower bound that holds whatever they are;
`repair` turns an approximate joint law into a feasible channel, whose own value is the upper bound; `verdict` decides.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.sparse import csr_array, diags_array

from cdp_toy.costs import Cost, PricedCost
from cdp_toy.finite import DiscreteProblem
from cdp_toy.point import Status
from cdp_toy.pricing import Pricing
from cdp_toy.validation import Array, Indices, Mask, refuse_if_too_large

__all__ = [
    "FEASIBILITY_TOL",
    "DualBound",
    "Evaluation",
    "Program",
    "channel_of",
    "dual_bound",
    "evaluate",
    "fed",
    "mixed_to_feasible",
    "verdict",
]

#: How far a returned channel may exceed a level and still count as feasible: rounding of sums of 1e4 terms, no more.
#: Relative to the largest distortion where that is below one and to D where that is above one, and to 1000 P where that
#: is below one; at P = 0 it is the sum of |q - p|.
FEASIBILITY_TOL = 1e-12

#: Entries of a joint law below this share of both their row and their column are dropped (10^4 of them: 1e-9 relative
#: in perception's second order, none in first).
NEGLIGIBLE = 1e-13


@dataclass(frozen=True, eq=False)
class Program:
    """min E[objective] over channels s.t. distortion <= D, perception <= P, on allowed (y, class) pairs.

    Attributes
    ----------
    problem : DiscreteProblem
    objective : Cost
        The error cost for C(D, P), the distortion cost for D_min(P) and D_flat(P).
    max_distortion, max_perception : float
        Levels; inf drops the constraint.
    allowed : bool array of shape (n_y, G) or None
        Profiles of `error_cost` (classes, and mixtures in cells that are cut) that each observation may be restored to.
    """

    problem: DiscreteProblem
    objective: Cost
    max_distortion: float = math.inf
    max_perception: float = math.inf
    allowed: Mask | None = None

    @cached_property
    def distortion_scale(self) -> float:
        """Largest distortion of a pair, at most one: the unit in which rounding of distortions is measured."""
        largest, cost = 0.0, self.problem.distortion_cost
        for row in range(self.problem.n_y):
            largest = max(largest, float(np.abs(cost.block(slice(row, row + 1), slice(None))).max()))
            if largest >= 1:
                return 1.0
        return largest or 1.0

    @cached_property
    def distortion_slack(self) -> float:
        """How far a distortion may exceed its level by rounding."""
        level = abs(self.max_distortion) if math.isfinite(self.max_distortion) else 0.0
        return FEASIBILITY_TOL * max(self.distortion_scale, level)

    @property
    def perception_slack(self) -> float:
        """How far a perception may exceed its level by rounding; at level 0 the laws' distance, not the divergence."""
        level = self.max_perception if math.isfinite(self.max_perception) else 0.0
        return FEASIBILITY_TOL * min(1e3 * abs(level), 1.0)

    @cached_property
    def reachable(self) -> Mask:
        """Letters that may receive mass, shape (n_xhat,): a level may forbid those without source mass."""
        problem = self.problem
        barred = self.max_perception == 0 or math.isinf(problem.perception.slope_at_infinity)
        if math.isfinite(self.max_perception) and barred:
            return np.asarray(problem.p_x > 0)
        return np.ones(problem.n_x, dtype=bool)

    def allows(self, rows: Indices, columns: Indices) -> Mask:
        """Whether the pairs (rows[k], columns[k]) may carry mass."""
        mask = self.reachable[columns]
        if self.allowed is not None:
            mask = mask & self.allowed[rows, self.problem.error_cost.profiles[1][columns]]
        return np.asarray(mask)

    def support(self) -> Mask:
        """Allowed pairs, boolean of shape (n_y, n_xhat), dense."""
        problem = self.problem
        refuse_if_too_large(float(problem.n_y) * problem.n_x, "a mask of all pairs", "Use a smaller n.")
        mask = np.broadcast_to(self.reachable, problem.shape)
        if self.allowed is not None:
            mask = mask & self.allowed[:, problem.error_cost.profiles[1]]
        return np.asarray(mask)

    def pricing(self, price_distortion: float) -> Pricing:
        """objective + price * distortion of every allowed pair."""
        problem = self.problem
        cost = self.objective
        if price_distortion != 0:
            cost = PricedCost(cost, problem.distortion_cost, price_distortion)
        return Pricing(cost, self.reachable, self.allowed, problem.error_cost.profiles[1])


@dataclass(frozen=True, eq=False)
class DualBound:
    """Lower bound with the multipliers that prove it, and the output law they ask for where that is known."""

    value: float
    price_distortion: float
    price_perception: float
    potential: Array
    row_minima: Array
    law: Array | None = None


def dual_bound(program: Program, price_distortion: float, potential: Array) -> DualBound:
    """Lower bound of a program from any price and any potential.

    LB = sum_y p_Y min_xhat [objective + lam d - v] - lam D + min {v.q : divergence(p_X, q) <= P}.

    The potential is first raised to the largest one with the same row minima, which can only help. The levels D and P
    are taken with the slack that a channel is granted, so that no channel that counts as feasible lies below the bound,
    and a rounding allowance of a few units in the last place of every summand is subtracted.

    Parameters
    ----------
    program : Program
    price_distortion : float
        lam >= 0 (negative and infinite hints count as 0; ignored without a distortion level).
    potential : array of shape (n_xhat,)
        v, a hint; entries that are not finite count as the least finite one.
    """
    problem, perception = program.problem, program.problem.perception
    lam = price_distortion if math.isfinite(price_distortion) and math.isfinite(program.max_distortion) else 0.0
    lam = max(lam, 0.0)
    pricing = program.pricing(lam)
    v = np.asarray(potential, dtype=np.float64)
    v = np.where(np.isfinite(v), v, v[np.isfinite(v)].min() if np.isfinite(v).any() else 0.0)
    seen = problem.p_y > 0
    offset = np.where(seen, pricing.row_minima(v), -np.inf)  # observations without mass have no say
    raised = pricing.column_least(offset)
    v = np.where(np.isfinite(raised), np.maximum(raised, v), v)
    row_minima = pricing.row_minima(v)
    weight = problem.p_y[seen]
    last = perception.dual_term(problem.p_x, v, program.max_perception + program.perception_slack)
    paid = lam * (program.max_distortion + program.distortion_slack) if lam > 0 else 0.0
    spread = float(np.ptp(v))
    if program.max_perception == 0:  # q may miss p by this much in all
        paid += FEASIBILITY_TOL * spread
    size = float(weight @ np.abs(row_minima[seen])) + abs(paid) + abs(last.value) + spread
    value = float(weight @ row_minima[seen]) - paid + last.value - 16 * float(np.finfo(float).eps) * size
    return DualBound(value, lam, last.price, v, row_minima, last.law)


@dataclass(frozen=True, eq=False)
class Evaluation:
    """A channel and what it achieves, computed from it and the problem alone; `violation` in units of each level."""

    channel: csr_array
    objective: float
    error_rate: float
    distortion: float
    perception: float
    violation: float

    @property
    def feasible(self) -> bool:
        """Both levels are met up to rounding."""
        return self.violation <= FEASIBILITY_TOL


def channel_of(program: Program, joint: Array | csr_array) -> csr_array:
    """Turn an approximate joint law into a channel: clip, keep to allowed pairs, renormalise the rows.

    Observations that are left with nothing are restored to the source law on their allowed letters.
    """
    problem = program.problem
    entries = csr_array(joint).tocoo()
    rows, columns = entries.coords
    mass = np.nan_to_num(np.maximum(entries.data, 0.0), posinf=0.0)
    mass = np.where(program.allows(rows, columns), mass, 0.0)
    output = np.bincount(columns, weights=mass, minlength=problem.n_x)
    kept = mass > NEGLIGIBLE * np.minimum(problem.p_y[rows], output[columns])
    rows, columns, mass = rows[kept], columns[kept], mass[kept]
    total = np.bincount(rows, weights=mass, minlength=problem.n_y)
    share = mass / total[rows]
    channel = csr_array((share, (rows, columns)), shape=problem.shape)
    empty = np.flatnonzero(total == 0)
    if not len(empty):
        return channel
    letters = np.tile(np.arange(problem.n_x), len(empty))
    open_to = program.allows(np.repeat(empty, problem.n_x), letters).reshape(len(empty), -1)
    law = open_to * np.where((open_to @ problem.p_x > 0)[:, None], problem.p_x, 1.0)
    filler = csr_array(law / law.sum(axis=1, keepdims=True)).tocoo()
    place = (np.concatenate([rows, empty[filler.coords[0]]]), np.concatenate([columns, filler.coords[1]]))
    return csr_array((np.concatenate([share, filler.data]), place), shape=problem.shape)


def evaluate(program: Program, channel: csr_array) -> Evaluation:
    """Error rate, distortion, perception and worst violation of a channel."""
    problem = program.problem
    triples = channel.tocoo()
    rows, columns = triples.coords
    mass = triples.data * problem.p_y[rows]
    error_rate, distortion = (
        float(mass @ cost.entries(rows, columns)) for cost in (problem.error_cost, problem.distortion_cost)
    )
    objective = error_rate
    if program.objective is not problem.error_cost:
        objective = float(mass @ program.objective.entries(rows, columns))
    output = np.asarray(np.bincount(columns, weights=mass, minlength=problem.n_x), dtype=np.float64)
    perception = problem.perception.value(problem.p_x, output)
    excess = [(distortion - program.max_distortion) / program.distortion_slack]
    if program.max_perception == 0:  # most divergences are quadratic near p, so a tiny value says little there
        excess.append(float(np.abs(output - problem.p_x).sum()) / FEASIBILITY_TOL)
    elif math.isfinite(program.max_perception):
        excess.append((perception - program.max_perception) / program.perception_slack)
    violation = math.inf if any(map(math.isnan, excess)) else FEASIBILITY_TOL * max(*excess, 0.0)
    return Evaluation(channel, objective, error_rate, distortion, perception, violation)


def mixed_to_feasible(program: Program, start: Evaluation, anchor: Evaluation) -> Evaluation:
    """Pull an infeasible channel towards a feasible one, no further than needed.

    Error and distortion are linear in the channel and perception is convex, so the feasible weights form an interval
    that ends at the anchor; its start is found by bisection in the logarithm of the weight.
    """
    inside = anchor.violation <= 0 or (program.max_perception == 0 and anchor.feasible)
    if start.violation <= 0 or not inside:
        return start
    return _mixed(program, start, anchor, program.max_distortion)


def fed(program: Program, start: Evaluation, bound: DualBound) -> Evaluation:
    """Meet the perception level by feeding the letters that a channel starves, at the least cost.

    A starved letter takes mass from the row where it is cheapest (by reduced cost at the prices of the bound), as much
    as the perception level asks for: in proportion to the law that the bound asks for where it is known and suffices,
    else to the source law. The distortion level may suffer a little. As few letters as possible are fed: first those
    with next to nothing, then those below a tenth of their source mass.
    """
    problem = program.problem
    output = np.asarray(problem.p_y @ start.channel).ravel()
    if start.perception <= program.max_perception:
        return start
    pricing = program.pricing(bound.price_distortion)
    # five per cent more than asked for puts the target inside, and the mixture takes back what is too much
    goals = [problem.p_x] if bound.law is None else [1.05 * bound.law, problem.p_x]
    for share, goal in ((s, g) for s in (1e-6, 1e-3, 1e-1) for g in goals):
        starved = np.flatnonzero((output < share * problem.p_x) & (output < goal))
        if not len(starved):
            continue
        rows = _cheapest_rows(program, pricing, bound, starved, (goal - output)[starved] / 2)
        wanted = (goal - output)[starved]
        total = np.bincount(rows, weights=wanted, minlength=problem.n_y)
        taken = np.minimum(total, 0.5 * problem.p_y)
        portion = np.divide(taken, total, out=np.zeros_like(total), where=total > 0)
        left = 1 - np.divide(taken, problem.p_y, out=np.zeros_like(total), where=problem.p_y > 0)
        joint = diags_array(problem.p_y * left) @ start.channel
        joint = csr_array(joint + csr_array((wanted * portion[rows], (rows, starved)), shape=problem.shape))
        target = evaluate(program, channel_of(program, joint))
        if target.perception <= program.max_perception:
            return _mixed(program, start, target, math.inf)
    return start


def _cheapest_rows(
    program: Program, pricing: Pricing, bound: DualBound, letters: Indices, least_mass: Array
) -> Indices:
    """For every letter the observation of least reduced cost among those with enough mass."""
    problem = program.problem
    best = np.empty(len(letters), dtype=np.intp)
    size = max(1, (1 << 18) // problem.n_y)
    for start in range(0, len(letters), size):
        part = slice(start, start + size)
        reduced = pricing.block(slice(None), letters[part]) - bound.row_minima[:, None]
        rich = problem.p_y[:, None] > least_mass[part]
        best[part] = np.where(rich, reduced, np.inf).argmin(axis=0)
    return best


def _mixed(program: Program, start: Evaluation, target: Evaluation, max_distortion: float) -> Evaluation:
    """Least mixture of two channels that meets the levels, the target being known to meet them."""
    problem = program.problem
    q_start = np.asarray(problem.p_y @ start.channel).ravel()
    q_target = np.asarray(problem.p_y @ target.channel).ravel()

    def violated(weight: float) -> bool:
        distortion = start.distortion + weight * (target.distortion - start.distortion)
        if distortion > max_distortion:
            return True
        if program.max_perception == 0:  # both reproduce the source law as far as rounding goes
            return False
        output = (1 - weight) * q_start + weight * q_target
        return problem.perception.value(problem.p_x, output) > program.max_perception

    low, high = math.log(1e-18), 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if violated(math.exp(middle)) else (low, middle)
    weight, more = math.exp(high), 1e-12
    while True:
        mixed = evaluate(program, csr_array((1 - weight) * start.channel + weight * target.channel))
        # the law of the mixture is rounded otherwise than the mixture of the laws: a little more brings it inside
        outside = mixed.distortion > max_distortion or mixed.perception > program.max_perception > 0
        if not outside or weight >= 1 or more > 1e-6:
            return mixed
        weight, more = min(weight + more, 1.0), 8 * more


def verdict(lower: float, best: Evaluation | None, tol: float) -> Status:
    """Status from the bounds alone: never from what a solver said."""
    if best is None or not best.feasible:
        return Status.UNDECIDED
    return Status.OPTIMAL if best.objective - lower <= tol else Status.INEXACT
