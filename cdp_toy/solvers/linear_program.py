"""Linear programs: perceptions whose balls are polyhedra (tv, w1, w2_squared), and perception level 0, through HiGHS.

The joint law x = p_Y W and the moves f that lead from the source law to the output law are the unknowns:

    min sum x e   s.t.  row sums of x = p_Y,  column sums of x = p_X + effect f,  sum x d <= D,  cost.f <= P,
                        supply f <= p_X,  x, f >= 0.

The multipliers of the column sums are the potential v.
"""

from __future__ import annotations

import math

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array, hstack, vstack

from cdp_toy.certificates import Program
from cdp_toy.couplings import HIGHS_OPTIONS, MASS_SCALE
from cdp_toy.edges import Hint
from cdp_toy.perceptions import Moves
from cdp_toy.solvers.budget import Budget
from cdp_toy.validation import Array, Indices
from cdp_toy.validation import refuse_if_too_large as refuse_bytes

__all__ = ["hint", "refuse_if_too_large"]

#: Peak memory per unknown [bytes]: 1382, 1360 and 1325 measured for transport at n = 101, 201 and 301.
BYTES_PER_UNKNOWN = 1_600


def hint(
    program: Program, rows: Indices | None = None, columns: Indices | None = None, budget: Budget | None = None
) -> Hint:
    """Solve a program whose perception is polyhedral, or any at perception level 0.

    Parameters
    ----------
    program : Program
        With a finite perception level.
    rows, columns : index arrays of shape (k,), optional
        Pairs (y, xhat) that may carry mass, of those that the program allows; all of them when left out.
    budget : Budget, optional

    Returns
    -------
    Hint
        Without a joint law when HiGHS found none.
    """
    problem = program.problem
    if rows is None or columns is None:
        refuse_if_too_large(program)
    usable = program.support() & (problem.p_y > 0)[:, None]
    if rows is None or columns is None:
        rows, columns = np.nonzero(usable)
    else:
        kept = usable[rows, columns]
        rows, columns = rows[kept], columns[kept]
    moves = _moves(program)
    n_pairs, n_moves = len(rows), len(moves.cost)
    _refuse(n_pairs, n_moves)
    count, ones = np.arange(n_pairs), np.ones(n_pairs)
    row_sums = coo_array((ones, (rows, count)), shape=(problem.n_y, n_pairs))
    column_sums = coo_array((ones, (columns, count)), shape=(problem.n_x, n_pairs))
    equal = vstack([hstack([row_sums, coo_array((problem.n_y, n_moves))]), hstack([column_sums, -moves.effect])])
    # where moves keep the mass one sum follows from the others, and with it HiGHS takes twenty times as long
    last = None if np.any(moves.effect.sum(axis=0)) else -1
    distortion = problem.distortion_cost.entries(rows, columns)
    limited = bool(program.max_distortion < distortion.max(initial=-np.inf))
    distortion_unit, move_unit = _unit(distortion), _unit(moves.cost)
    below: list[tuple[csr_array, Array]] = []  # rows of <= and their right sides
    if limited:
        priced = np.concatenate([distortion, np.zeros(n_moves)]) / distortion_unit
        below.append((csr_array(priced[None]), np.array([program.max_distortion / distortion_unit])))
    if n_moves:
        paid = np.concatenate([np.zeros(n_pairs), moves.cost]) / move_unit
        below.append((csr_array(paid[None]), np.array([program.max_perception / move_unit])))
    if moves.supply is not None:
        below.append((hstack([csr_array((problem.n_x, n_pairs)), moves.supply]), problem.p_x))
    objective = program.objective.entries(rows, columns)
    objective_unit = _unit(objective)
    answer = linprog(
        np.concatenate([objective / objective_unit, np.zeros(n_moves)]),
        A_ub=csr_array(vstack([matrix for matrix, _ in below])) if below else None,
        b_ub=np.concatenate([limit for _, limit in below]) * MASS_SCALE if below else None,
        A_eq=csr_array(equal)[:last],
        b_eq=np.concatenate([problem.p_y, problem.p_x])[:last] * MASS_SCALE,
        method="highs",
        options=HIGHS_OPTIONS | _limits(budget),
    )
    label = "linear program (HiGHS)"
    if answer.x is None:
        return Hint(None, 0.0, np.zeros(problem.n_x), label)
    joint = csr_array((answer.x[:n_pairs] / MASS_SCALE, (rows, columns)), shape=problem.shape)
    potential = np.zeros(problem.n_x)
    potential[:last] = objective_unit * answer.eqlin.marginals[problem.n_y :]
    price = -objective_unit / distortion_unit * float(answer.ineqlin.marginals[0]) if limited else 0.0
    return Hint(joint, price, potential, label)


def refuse_if_too_large(program: Program) -> None:
    """Refuse a program whose linear program on all pairs would not fit in memory."""
    _refuse(program.problem.n_y * program.problem.n_x, 0)
    _refuse(program.problem.n_y * program.problem.n_x, len(_moves(program).cost))


def _refuse(n_pairs: int, n_moves: int) -> None:
    what = f"the linear program with {n_pairs:,} pairs and {n_moves:,} moves"
    refuse_bytes(float(BYTES_PER_UNKNOWN) * (n_pairs + n_moves), what, "Use a coarser grid.")


def _moves(program: Program) -> Moves:
    problem = program.problem
    return _none(problem.n_x) if program.max_perception == 0 else problem.perception.moves(problem.p_x)


def _limits(budget: Budget | None) -> dict[str, float]:
    """Options of HiGHS for what is left of a budget."""
    if budget is None:
        return {}
    limits: dict[str, float] = {}
    if math.isfinite(budget.seconds_left):
        limits["time_limit"] = budget.seconds_left
    if math.isfinite(budget.iterations_left):
        limits["maxiter"] = int(budget.iterations_left)
    return limits


def _none(n: int) -> Moves:
    """No move at all: the output law is the source law."""
    return Moves(csr_array((n, 0)), np.zeros(0))


def _unit(cost: Array) -> float:
    """Unit for costs that are far from one, which the tolerances of HiGHS are meant for; 1 for others."""
    size = float(np.abs(cost).max(initial=0.0))
    return 1.0 if size == 0 or 1e-3 <= size <= 1e3 else size
