"""Primal-dual interior-point method for smooth f-divergences: a Newton system in the potential alone.

The program in the joint law x = p_Y W, the output law q, row multipliers u, the potential v, prices lam and kap:

    min sum x e   s.t.  row sums of x = p_Y,  column sums of x = q,  sum x d + s = D,  sum p f(q/p) + t = P,
    z = e + lam d - u - v >= 0,  v = -kap f'(q/p),   x z = mu w,  lam s = mu w0,  kap t = mu w0.

Eliminating x, z, u and q from the Newton step leaves a symmetric positive definite system M dv = ... of the size of the
output alphabet, with th = x/z and the secant H of q against -v between the two sides of v = -kap f'(q/p):

    M = diag(colsum th) - th' diag(1/rowsum th) th + diag(H).

For the Kullback-Leibler divergence H = q/v: v q = kap p is then treated as a bilinear complementarity. Everything that
is returned is a hint; `certificates` proves what it is worth.
"""

from __future__ import annotations

import math
from typing import cast

import numpy as np

from cdp_toy.certificates import Program
from cdp_toy.edges import Hint
from cdp_toy.perceptions import FDivergence
from cdp_toy.solvers.newton import Data, State, System, residuals, step_lengths
from cdp_toy.validation import Array, refuse_if_too_large

__all__ = ["hint", "suits"]

#: Iterations before giving up: the toy takes 40-90 at n = 51 to 201.
MOST_ITERATIONS = 200
#: Share of the way to the boundary that a step goes at most.
STEP = 0.99
#: Rows are centred with this power of their mass: twelve toys took 703 iterations, 799 with .75, over 1038 with 1.
ROW_POWER = 0.5
#: Share of the complementarity that the two levels carry each.
LEVEL_SHARE = 0.1
#: Letters below this count as having no source mass: a hint only, and their ratios q/p overflow.
LIGHTEST_LETTER = 1e-15
#: Barrier that the rows start with, in units of the mean cost.
START = 0.1
#: Dense tables that live at once.
TABLES = 12


def suits(program: Program) -> bool:
    """Whether the method applies: a smooth divergence at a finite positive level."""
    perception = program.problem.perception
    if not (isinstance(perception, FDivergence) and perception.smooth):
        return False
    return program.max_perception > 0 and perception.sum_level(program.max_perception) < math.inf


def hint(program: Program, tol: float = 1e-10) -> Hint | None:
    """Solve a program to a complementarity gap of about `tol`.

    Parameters
    ----------
    program : Program
        One that the method `suits`.
    tol : float
        Gap at which to stop, in units of the objective.

    Returns
    -------
    Hint or None
        None when the iteration broke down without a usable point.
    """
    problem, divergence = program.problem, cast(FDivergence, program.problem.perception)
    refuse_if_too_large(
        8.0 * TABLES * problem.n_y * problem.n_x,
        f"the interior-point method on {problem.n_y:,} x {problem.n_x:,} letters",
        "Use a smaller n.",
    )
    support = program.support()
    rows, columns = problem.p_y > 0, support[problem.p_y > 0].any(axis=0)
    inside = support[np.ix_(rows, columns)]
    objective = np.where(inside, program.objective.table()[np.ix_(rows, columns)], np.inf)
    least = objective.min(axis=1, keepdims=True)
    cost = np.where(inside, objective - least, 0.0)
    p_y, p_x = problem.p_y[rows], problem.p_x[columns]
    unit = _mean(cost, p_y, p_x)
    distortion, limit, distortion_unit = None, math.inf, 1.0
    if math.isfinite(program.max_distortion):
        table = problem.distortion_cost.table()[np.ix_(rows, columns)]
        floor = np.where(inside, table, np.inf).min(axis=1, keepdims=True)
        limit = program.max_distortion - float(p_y @ floor[:, 0])
        distortion = np.where(inside, table - floor, 0.0)
        distortion_unit = _mean(distortion, p_y, p_x)
        distortion, limit = distortion / distortion_unit, limit / distortion_unit
    weight = np.where(inside, (p_y**ROW_POWER)[:, None], 0.0)
    data = Data(
        p_y,
        p_x,
        p_x > LIGHTEST_LETTER,
        cost / unit,
        distortion,
        limit,
        divergence.sum_level(program.max_perception),
        weight / weight.sum(),
        divergence,
    )
    with np.errstate(all="ignore"):  # a breakdown shows in the numbers, and those are looked at
        state = _solve(data, tol / unit)
    if state is None:
        return None
    joint = np.zeros(problem.shape)
    joint[np.ix_(rows, columns)] = state.x
    potential = np.full(problem.n_x, np.nan)
    potential[columns] = unit * state.v
    return Hint(joint, unit / distortion_unit * state.lam, potential, "interior point")


def _mean(cost: Array, p_y: Array, p_x: Array) -> float:
    """Mean cost of an output that is independent of the observation: the unit of the iteration."""
    return float(p_y @ cost @ p_x) or 1.0


def _solve(data: Data, tol: float) -> State | None:
    """Iterate to complementarity `tol`; the best state met, None when there is none."""
    state = _start(data)
    best, best_merit = None, math.inf
    for _ in range(MOST_ITERATIONS):
        missed = residuals(data, state)
        merit = state.gap() + missed.size(state)
        if not math.isfinite(merit):
            break
        if merit < best_merit:
            best, best_merit = state, merit
        if merit <= tol:
            break
        system = System(data, state, missed)
        if not system.solvable:
            break
        gap = state.gap()
        affine = system.step(-state.x * state.z, -state.lam * state.s, -state.kap * state.t)
        primal, dual = step_lengths(data, state, affine, 1.0)
        sigma = min(max((state.moved(affine, primal, dual).gap() / gap) ** 3, (1 - min(primal, dual)) ** 3, 1e-4), 1.0)
        target = sigma * gap
        pairs = (1 - 2 * LEVEL_SHARE) * target * data.weight
        step = system.step(
            pairs - state.x * state.z - affine.x * affine.z,
            LEVEL_SHARE * target - state.lam * state.s - affine.lam * affine.s,
            LEVEL_SHARE * target - state.kap * state.t - affine.kap * affine.t,
        )
        state = state.moved(step, *step_lengths(data, state, step, STEP))
    return best


def _start(data: Data) -> State:
    """Row-wise barrier solutions at prices one and the potential of q = p: sum_j tau w/(c_ij - u_i) = p_Y."""
    lam = 0.0 if data.distortion is None else 1.0
    kap = 1.0
    v = -kap * data.slope(data.p_x)
    c = data.cost - v if data.distortion is None else data.cost + lam * data.distortion - v
    support = data.weight > 0
    least = np.where(support, c, np.inf).min(axis=1)
    above = np.where(support, c - least[:, None], 0.0)
    barrier = START * data.weight * len(data.p_y)
    low = np.full(len(data.p_y), 1e-30)
    high = barrier.sum(axis=1) / data.p_y
    for _ in range(60):  # the row sum falls in the distance of u from the least cost
        middle = np.sqrt(low * high)
        heavy = (barrier / (above + middle[:, None])).sum(axis=1) > data.p_y
        low, high = np.where(heavy, middle, low), np.where(heavy, high, middle)
    z = above + high[:, None]
    x = barrier / z
    x *= (data.p_y / x.sum(axis=1))[:, None]
    q = x.sum(axis=0)
    s = 0.0
    if data.distortion is not None:
        spent = float((x * data.distortion).sum())
        s = max(data.max_distortion - spent, 0.1 * spent, 1e-3)
    t = max(data.max_perception - data.value(q), 0.1 * data.max_perception)
    # NumPy's scalars: a division by zero is a breakdown that shows, not an exception
    return State(x, z, least - high, v, q, *(np.float64(number) for number in (lam, kap, s, t)))
