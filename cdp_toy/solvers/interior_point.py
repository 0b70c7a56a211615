"""Primal-dual interior-point method for smooth f-divergences: a Newton system in the potential alone.

The program in the joint law x = p_Y W, the output law q, row multipliers u, the potential v, prices lam and kap:

    min sum x e   s.t.  row sums of x = p_Y,  column sums of x = q,  sum x d + s = D,  sum p f(q/p) + t = P,
    z = e + lam d - u - v >= 0,  v = kap (f'(inf) - f'(q/p)),   x z = mu w,  lam s = mu w0,  kap t = mu w0.

Eliminating x, z, u and q from the Newton step leaves a symmetric positive definite system M dv = ... of the size of the
output alphabet, with th = x/z and the secant H of q against -v between the two sides of v = kap (f'(inf) - f'(q/p)):

    M = diag(colsum th) - th' diag(1/rowsum th) th + diag(H).

For the Kullback-Leibler divergence H = q/v: v q = kap p is then treated as a bilinear complementarity. Everything that
is returned is a hint; `certificates` proves what it is worth.
"""

from __future__ import annotations

import math
from typing import NamedTuple, cast

import numpy as np
from scipy.sparse import csr_array

from cdp_toy.certificates import Program
from cdp_toy.edges import Hint
from cdp_toy.perceptions import FDivergence
from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.newton import Data, Residuals, State, System, residuals, step_lengths
from cdp_toy.solvers.support import NormalMatrix, Support
from cdp_toy.validation import Array, Indices
from cdp_toy.validation import refuse_if_too_large as refuse_bytes

__all__ = ["Answer", "Start", "hint", "refuse_if_too_large", "solve_on", "suits"]

#: Iterations before giving up: the toy takes 40-90 at n = 51 to 201 from a cold start.
MOST_ITERATIONS = 200
#: A merit this much above the best one will not come back: the restricted program is infeasible.
HOPELESS = 1e6
#: Share of the way to the boundary that a step goes at most.
STEP = 0.99
#: A step is halved while it makes the merit grow by more than this factor, and as long as it is longer than that.
GROWTH, SHORTEST = 2.0, 1e-3
#: The complementarity keeps at least this share of what the equations miss: it would run away to nothing.
AHEAD = 1e-2
#: Rows are centred with this power of their mass: twelve toys took 703 iterations, 799 with .75, over 1038 with 1.
ROW_POWER = 0.5
#: Share of the complementarity that the two levels carry each.
LEVEL_SHARE = 0.1
#: Letters below this count as having no source mass: a hint only, and their ratios q/p overflow.
LIGHTEST_LETTER = 1e-15
#: Barrier that the rows start with from nothing, in units of the mean cost.
COLD_BARRIER = 0.1
#: Prices start no lower than this, in units of the mean cost.
LEAST_PRICE = 1e-6
#: A potential that has to be shifted starts as if its least letter had this ratio q/p.
SHIFTED_RATIO = 10.0
#: Dense tables that live at once.
TABLES = 16


class Start(NamedTuple):
    """Prices and a potential to start from, in units of the program, and the barrier that the rows start with."""

    price_distortion: float
    price_perception: float
    potential: Array
    barrier: float


class Answer(NamedTuple):
    """What the iteration ended with: a joint law on the support, prices, potential, and what they miss."""

    joint: csr_array
    price_distortion: float
    price_perception: float
    potential: Array  # NaN at letters outside of the support
    merit: float  # complementarity and residuals, in units of the objective
    trail: tuple[tuple[float, Array], ...]  # prices and potentials of every iterate

    def hint(self, solver: str) -> Hint:
        """What certificates are to prove."""
        return Hint(self.joint, self.price_distortion, self.potential, solver, self.trail)


def suits(program: Program) -> bool:
    """Whether the method applies: a smooth divergence at a finite positive level."""
    perception = program.problem.perception
    if not (isinstance(perception, FDivergence) and perception.smooth):
        return False
    return program.max_perception > 0 and perception.sum_level(program.max_perception) < math.inf


def refuse_if_too_large(program: Program) -> None:
    """Refuse a program whose tables of all pairs would not fit in memory."""
    n_y, n_x = program.problem.shape
    what = f"the interior-point method on all of {n_y:,} x {n_x:,} pairs"
    refuse_bytes(8.0 * TABLES * n_y * n_x, what, 'Use solver="auto" or "levels", or a smaller n.')


def hint(program: Program, tol: float, budget: Budget) -> Hint | None:
    """Solve a program on all of its pairs to a complementarity gap of about `tol`.

    Parameters
    ----------
    program : Program
        One that the method `suits`.
    tol : float
        Gap at which to stop, in units of the objective.
    budget : Budget

    Returns
    -------
    Hint or None
        None when the iteration broke down without a usable point.
    """
    refuse_if_too_large(program)
    rows, columns = np.nonzero(program.support())
    answer = solve_on(program, rows, columns, tol, budget)
    return None if answer is None else answer.hint("interior point")


def solve_on(
    program: Program, rows: Indices, columns: Indices, tol: float, budget: Budget, start: Start | None = None
) -> Answer | None:
    """Solve a program restricted to some of its allowed pairs, given in row-major order.

    Parameters
    ----------
    program : Program
    rows, columns : integer arrays of shape (m,)
        At least one pair for every observation with mass.
    tol : float
        Gap at which to stop, in units of the objective.
    budget : Budget
    start : Start, optional
        Prices and potential of a neighbour; from scratch without.
    """
    problem, divergence = program.problem, cast(FDivergence, program.problem.perception)
    seen = problem.p_y > 0
    if not seen.all():
        rows, columns = rows[seen[rows]], columns[seen[rows]]
    used_rows, used_columns = np.flatnonzero(seen), np.unique(columns)
    support = Support(
        np.searchsorted(used_rows, rows), np.searchsorted(used_columns, columns), (len(used_rows), len(used_columns))
    )
    p_y, p_x = problem.p_y[used_rows], problem.p_x[used_columns]

    def above_least(values: Array) -> tuple[Array, float]:
        least = support.row_minima(values)
        return values - least[support.rows], float(p_y @ least)

    cost, floor = above_least(program.objective.entries(rows, columns))
    unit = abs(program.objective.mean(problem.p_y, problem.p_x) - floor) or 1.0
    distortion, limit, distortion_unit = None, math.inf, 1.0
    if math.isfinite(program.max_distortion):
        distortion, floor = above_least(problem.distortion_cost.entries(rows, columns))
        distortion_unit = abs(problem.distortion_cost.mean(problem.p_y, problem.p_x) - floor) or 1.0
        distortion, limit = distortion / distortion_unit, (program.max_distortion - floor) / distortion_unit
    weight = (p_y**ROW_POWER)[support.rows]
    data = Data(
        support,
        NormalMatrix(support),
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
        first = (
            _start(data, 1.0, 1.0, data.descent(p_x), COLD_BARRIER)
            if start is None
            else _start(
                data,
                start.price_distortion * distortion_unit / unit,
                start.price_perception / unit,
                start.potential[used_columns] / unit,
                start.barrier,
            )
        )
        state, merit, trail = _solve(data, first, tol / unit, budget)
    if state is None:
        return None

    def outside(v: Array) -> Array:
        potential = np.full(problem.n_x, np.nan)
        potential[used_columns] = unit * v
        return potential

    price = unit / distortion_unit
    return Answer(
        csr_array((state.x, (rows, columns)), shape=problem.shape),
        price * float(state.lam),
        unit * float(state.kap),
        outside(state.v),
        unit * merit,
        tuple((price * float(lam), outside(v)) for lam, v in trail),
    )


def _solve(
    data: Data, state: State, tol: float, budget: Budget
) -> tuple[State | None, float, list[tuple[float, Array]]]:
    """Iterate to complementarity `tol`; the best state met (None when there is none), its merit, all prices met."""
    best, best_merit, trail = None, math.inf, []
    missed = residuals(data, state)
    try:
        for _ in range(MOST_ITERATIONS):
            merit = state.gap() + missed.size(state)
            if not math.isfinite(merit):
                break
            trail.append((state.lam, state.v))
            if merit < best_merit:
                best, best_merit = state, merit
            if merit <= tol or merit > HOPELESS * best_merit or not budget.step():
                break
            system = System(data, state, missed)
            if system.solve is None:
                break
            state, missed = _next(data, state, system, merit)
    except KeyboardInterrupt:  # what is found by now is kept
        budget.interrupted = True
    return best, best_merit, trail


def _next(data: Data, state: State, system: System, merit: float) -> tuple[State, Residuals]:
    """Predictor and corrector, with step lengths of their own for what is primal and what is dual."""
    gap = state.gap()
    affine = system.step(-state.x * state.z, -state.lam * state.s, -state.kap * state.t)
    primal, dual = step_lengths(data, state, affine, 1.0)
    sigma = min(max((state.moved(affine, primal, dual).gap() / gap) ** 3, (1 - min(primal, dual)) ** 3, 1e-4), 1.0)
    target = max(sigma * gap, min(gap, AHEAD * (merit - gap)))
    pairs = (1 - 2 * LEVEL_SHARE) * target * data.weight
    step = system.step(
        pairs - state.x * state.z - affine.x * affine.z,
        LEVEL_SHARE * target - state.lam * state.s - affine.lam * affine.s,
        LEVEL_SHARE * target - state.kap * state.t - affine.kap * affine.t,
    )
    primal, dual = step_lengths(data, state, step, STEP)
    while True:
        there = state.moved(step, primal, dual)
        missed = residuals(data, there)
        # where f bends fast, a step that is too long throws the divergence far off
        if there.gap() + missed.size(there) <= GROWTH * merit or max(primal, dual) < SHORTEST:
            return there, missed
        primal, dual = primal / 2, dual / 2


def _start(data: Data, lam: float, kap: float, v: Array, barrier: float) -> State:
    """Row-wise barrier solutions at given prices and potential: sum_j tau w_i/(c_ij - u_i) = p_Y_i."""
    support = data.support
    # a price of zero never leaves it
    kap, lam = max(kap, LEAST_PRICE), 0.0 if data.distortion is None else max(lam, LEAST_PRICE)
    if math.isfinite(data.divergence.slope_at_infinity) and v.min() <= 0:  # potentials of others may be shifted
        v = v - v.min() + kap * data.descent(SHIFTED_RATIO * data.p_x).max()
    c = data.cost - v[support.columns]
    if data.distortion is not None:
        c += lam * data.distortion
    least = support.row_minima(c)
    above = c - least[support.rows]
    weight = barrier * data.weight * len(data.p_y)
    # the row sum is convex and falls in the distance of u from the least cost: Newton's method from the left
    depth = support.row_sums(np.where(above == 0, weight, 0.0)) / data.p_y
    for _ in range(60):
        quotient = weight / (above + depth[support.rows])
        excess = support.row_sums(quotient) - data.p_y
        if np.all(excess <= 1e-12 * data.p_y):
            break
        depth += np.maximum(excess, 0.0) / support.row_sums(quotient / (above + depth[support.rows]))
    z = above + depth[support.rows]
    x = weight / z
    x *= (data.p_y / support.row_sums(x))[support.rows]
    q = support.column_sums(x)
    s = 0.0
    if data.distortion is not None:
        spent = float(x @ data.distortion)
        s = max(data.max_distortion - spent, 0.1 * spent, 1e-3)
    t = max(data.max_perception - data.value(q), 0.1 * data.max_perception)
    # NumPy's scalars: a division by zero is a breakdown that shows, not an exception
    return State(x, z, least - depth, v, q, *(np.float64(number) for number in (lam, kap, s, t)))
