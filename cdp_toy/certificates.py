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

from cdp_toy.costs import Cost, expected
from cdp_toy.finite import DiscreteProblem
from cdp_toy.point import Status
from cdp_toy.validation import Array, Mask, refuse_if_too_large

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
#: Relative to the largest distortion where that is below one, and to 1000 P where that is below one.
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

    def __post_init__(self) -> None:
        # certificates hold a handful of dense tables at a time
        size = 8.0 * 6 * self.problem.n_y * self.problem.n_x
        what = f"certifying a channel of {self.problem.n_y:,} x {self.problem.n_x:,} letters"
        refuse_if_too_large(size, what, "Use a smaller n.")

    @cached_property
    def distortion_scale(self) -> float:
        """Largest distortion of a pair, at most one: the unit in which rounding of distortions is measured."""
        largest = float(np.abs(self.problem.distortion_cost.table()).max())
        return min(largest, 1.0) or 1.0

    def support(self) -> Mask:
        """Allowed pairs, boolean of shape (n_y, n_xhat): forbidden classes and letters no mass may reach are out."""
        problem = self.problem
        mask = np.ones(problem.shape, dtype=bool)
        if self.allowed is not None:
            mask = self.allowed[:, problem.error_cost.profiles[1]]
        unreachable = self.max_perception == 0 or math.isinf(problem.perception.slope_at_infinity)
        if math.isfinite(self.max_perception) and unreachable:
            mask = mask & (problem.p_x > 0)
        return np.asarray(mask)

    def priced_cost(self, price_distortion: float) -> Array:
        """objective + price * distortion, shape (n_y, n_xhat); +inf off the support."""
        total = self.objective.table()
        if price_distortion != 0:
            total = total + price_distortion * self.problem.distortion_cost.table()
        return np.where(self.support(), total, np.inf)


@dataclass(frozen=True, eq=False)
class DualBound:
    """Lower bound with the multipliers that prove it, and the output law they ask for where that is known."""

    value: float
    price_distortion: float
    price_perception: float
    potential: Array
    law: Array | None = None


def dual_bound(program: Program, price_distortion: float, potential: Array) -> DualBound:
    """Lower bound of a program from any price and any potential.

    LB = sum_y p_Y min_xhat [objective + lam d - v] - lam D + min {v.q : divergence(p_X, q) <= P}.

    The potential is first raised to the largest one with the same row minima, which can only help. A rounding
    allowance of a few units in the last place of every summand is subtracted.

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
    cost = program.priced_cost(lam)
    seen = problem.p_y > 0
    weight, cost = problem.p_y[seen], cost[seen]
    v = np.asarray(potential, dtype=np.float64)
    v = np.where(np.isfinite(v), v, v[np.isfinite(v)].min() if np.isfinite(v).any() else 0.0)
    row_minima = (cost - v).min(axis=1)
    raised = (cost - row_minima[:, None]).min(axis=0)
    v = np.where(np.isfinite(raised), np.maximum(raised, v), v)
    row_minima = (cost - v).min(axis=1)
    last = perception.dual_term(problem.p_x, v, program.max_perception)
    paid = lam * program.max_distortion if lam > 0 else 0.0
    size = float(weight @ np.abs(row_minima)) + abs(paid) + abs(last.value) + float(np.ptp(v))
    value = float(weight @ row_minima) - paid + last.value - 16 * float(np.finfo(float).eps) * size
    return DualBound(value, lam, last.price, v, last.law)


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


def channel_of(program: Program, joint: Array) -> csr_array:
    """Turn an approximate joint law into a channel: clip, keep to the support, renormalise the rows."""
    problem = program.problem
    support = program.support()
    mass = np.where(support, np.nan_to_num(np.maximum(joint, 0.0), posinf=0.0), 0.0)
    output = mass.sum(axis=0)
    mass[mass <= NEGLIGIBLE * np.minimum(problem.p_y[:, None], output)] = 0.0
    total = mass.sum(axis=1)
    fallback = support * np.where(support @ problem.p_x > 0, 1.0, 0.0)[:, None] * problem.p_x
    fallback = np.where(fallback.sum(axis=1, keepdims=True) > 0, fallback, support)
    rows = np.where(total[:, None] > 0, mass, fallback)
    return csr_array(rows / rows.sum(axis=1, keepdims=True))


def evaluate(program: Program, channel: csr_array) -> Evaluation:
    """Error rate, distortion, perception and worst violation of a channel."""
    problem = program.problem
    joint = csr_array(diags_array(problem.p_y) @ channel)
    distortion = expected(problem.distortion_cost, joint)
    output = np.asarray(joint.sum(axis=0)).ravel()
    perception = problem.perception.value(problem.p_x, output)
    excess = [(distortion - program.max_distortion) / program.distortion_scale]
    if program.max_perception == 0:  # most divergences are quadratic near p, so a tiny value says little there
        excess.append(float(np.abs(output - problem.p_x).max()))
    elif math.isfinite(program.max_perception):
        unit = min(1e3 * abs(program.max_perception), 1.0)
        excess.append((perception - program.max_perception) / unit)
    violation = math.inf if any(map(math.isnan, excess)) else max(*excess, 0.0)
    return Evaluation(
        channel,
        expected(program.objective, joint),
        expected(problem.error_cost, joint),
        distortion,
        perception,
        violation,
    )


def mixed_to_feasible(program: Program, start: Evaluation, anchor: Evaluation) -> Evaluation:
    """Pull an infeasible channel towards a feasible one, no further than needed.

    Error and distortion are linear in the channel and perception is convex, so the feasible weights form an interval
    that ends at the anchor; its start is found by bisection in the logarithm of the weight.
    """
    if start.violation <= 0 or anchor.violation > 0:
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
    reduced = program.priced_cost(bound.price_distortion) - bound.potential
    reduced -= reduced.min(axis=1, keepdims=True)
    # five per cent more than asked for puts the target inside, and the mixture takes back what is too much
    goals = [problem.p_x] if bound.law is None else [1.05 * bound.law, problem.p_x]
    for share, goal in ((s, g) for s in (1e-6, 1e-3, 1e-1) for g in goals):
        starved = np.flatnonzero((output < share * problem.p_x) & (output < goal))
        if not len(starved):
            continue
        rich = problem.p_y[:, None] > (goal - output)[starved] / 2
        rows = np.where(rich, reduced[:, starved], np.inf).argmin(axis=0)
        joint = problem.p_y[:, None] * start.channel.toarray()
        for row in np.unique(rows[problem.p_y[rows] > 0]):
            letters = starved[rows == row]
            wanted = goal[letters] - output[letters]
            taken = min(float(wanted.sum()), 0.5 * float(problem.p_y[row]))
            joint[row] *= 1 - taken / problem.p_y[row]
            joint[row, letters] += wanted * (taken / wanted.sum())
        target = evaluate(program, channel_of(program, joint))
        if target.perception <= program.max_perception:
            return _mixed(program, start, target, math.inf)
    return start


def _mixed(program: Program, start: Evaluation, target: Evaluation, max_distortion: float) -> Evaluation:
    """Least mixture of two channels that meets the levels, the target being known to meet them."""
    problem = program.problem
    q_start = np.asarray(problem.p_y @ start.channel).ravel()
    q_target = np.asarray(problem.p_y @ target.channel).ravel()

    def violated(weight: float) -> bool:
        distortion = start.distortion + weight * (target.distortion - start.distortion)
        output = (1 - weight) * q_start + weight * q_target
        return distortion > max_distortion or (problem.perception.value(problem.p_x, output) > program.max_perception)

    low, high = math.log(1e-18), 0.0
    while high - low > 1e-6:
        middle = (low + high) / 2
        low, high = (middle, high) if violated(math.exp(middle)) else (low, middle)
    weight, more = math.exp(high), 1e-12
    while True:
        mixed = evaluate(program, csr_array((1 - weight) * start.channel + weight * target.channel))
        # the law of the mixture is rounded otherwise than the mixture of the laws: a little more brings it inside
        outside = mixed.distortion > max_distortion or mixed.perception > program.max_perception
        if not outside or weight >= 1 or more > 1e-6:
            return mixed
        weight, more = min(weight + more, 1.0), 8 * more


def verdict(lower: float, best: Evaluation | None, tol: float) -> Status:
    """Status from the bounds alone: never from what a solver said."""
    if best is None or not best.feasible:
        return Status.UNDECIDED
    return Status.OPTIMAL if best.objective - lower <= tol else Status.INEXACT
