"""Reference solver through CVXPY: plain, slow, for every perception of the catalogue. The only importer of cvxpy.

The joint law p_Y W is the variable, and perception is written in the ratio r = q/p_X. Interior-point codes stall on the
masses of 1e-8 in the tails, each scaling at different points; so a chain of scalings and step lengths is offered, and
whoever calls certifies every answer and stops at the first that is good enough.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from cdp_toy.certificates import Program, dual_bound
from cdp_toy.edges import Hint
from cdp_toy.solvers.budget import Budget
from cdp_toy.validation import Array
from cdp_toy.validation import refuse_if_too_large as refuse_bytes

#: Letters below this are treated as having no source mass: a hint only, and cone solvers cannot see them anyway.
LIGHTEST_LETTER = 1e-15

__all__ = ["Setting", "hint", "refuse_if_too_large", "settings_for"]

#: Peak memory per entry of the channel [bytes]: 2005, 1765 and 1704 measured with Clarabel at n = 101, 201 and 301.
BYTES_PER_ENTRY = 2_500


@dataclass(frozen=True)
class Setting:
    """One link of the chain: a cone solver, the power of p_Y and p_X that scales the joint law, a step length."""

    solver: str
    scaling: float
    step: float = 0.99

    @property
    def label(self) -> str:
        """Name shown in a solution."""
        return f"reference ({self.solver.title()})"

    def options(self, budget: Budget) -> dict[str, Any]:
        """Options of the cone solver, within what is left of a budget."""
        seconds = budget.seconds_left
        if self.solver == "CLARABEL":
            tight = dict.fromkeys(("tol_gap_abs", "tol_gap_rel", "tol_feas"), 1e-11)
            limits: dict[str, float] = {"max_iter": int(min(300, budget.iterations_left))}
            limits |= {"time_limit": seconds} if math.isfinite(seconds) else {}
            return {**tight, **limits, "max_step_fraction": self.step}
        limits = {"max_iters": int(min(20_000, budget.iterations_left))}
        limits |= {"time_limit_secs": seconds} if math.isfinite(seconds) else {}
        return {**limits, "eps_abs": 1e-9, "eps_rel": 1e-9}


#: No single link is good everywhere: on the paper's toy at n = 101 a link that certifies 1e-9 at one point gives up at
#: its neighbour, where another does not. SCS is a last resort on small problems, where it is fast.
CHAIN = (Setting("CLARABEL", 0.3), Setting("CLARABEL", 0.0, 0.9), Setting("CLARABEL", 0.5, 0.8))


def settings_for(program: Program) -> tuple[Setting, ...]:
    """Chain for a program, with SCS last where it is affordable."""
    last = (Setting("SCS", 0.3),) if program.problem.n_y * program.problem.n_x <= 1000 else ()
    return CHAIN + last


def refuse_if_too_large(program: Program) -> None:
    """Refuse a program whose cone program would not fit in memory."""
    n_y, n_x = program.problem.shape
    what = f"the reference solver on {n_y:,} x {n_x:,} letters"
    refuse_bytes(float(BYTES_PER_ENTRY) * n_y * n_x, what, "Use a smaller n.")


def hint(
    program: Program,
    setting: Setting,
    tightening: tuple[float, float] = (0.0, 0.0),
    budget: Budget | None = None,
) -> Hint | None:
    """Run one link of the chain.

    Parameters
    ----------
    program : Program
        With a finite positive perception level.
    setting : Setting
    tightening : (distortion, perception)
        How much to tighten the levels by, so that what the solver overshoots lands inside.
    budget : Budget, optional

    Returns
    -------
    Hint or None
        None when the solver gave up without an answer.
    """
    import cvxpy as cp

    problem = program.problem
    refuse_if_too_large(program)
    keep = np.flatnonzero(problem.p_y > 0)
    support = program.support()[keep]
    rows, columns = np.nonzero(support)
    p_y, p_x = problem.p_y[keep], problem.p_x
    inside = p_x > LIGHTEST_LETTER
    row_scale = p_y**setting.scaling
    column_scale = np.where(inside, p_x, 1.0) ** setting.scaling
    count = np.arange(len(rows))
    weight = row_scale[rows]  # joint = weight * x
    to_rows = csr_array((np.ones(len(rows)), (rows, count)), shape=(len(keep), len(rows)))
    to_columns = csr_array((weight / column_scale[columns], (columns, count)), shape=(problem.n_x, len(rows)))

    x = cp.Variable(len(rows), nonneg=True)
    ratio = cp.Variable(int(inside.sum()))
    outside = cp.Variable(int((~inside).sum()), nonneg=True) if not inside.all() else None
    law = cp.multiply((p_x / column_scale)[inside], ratio)
    output = [to_columns[inside] @ x == law]
    if outside is not None:
        output.append(to_columns[~inside] @ x == outside)
    level = max(program.max_perception - tightening[1], program.max_perception / 2)
    constraints = [
        to_rows @ x == p_y / row_scale,
        *problem.perception.conic_constraints(cp, p_x, inside, ratio, outside, level),
        *output,
    ]
    distortion = problem.distortion_cost.entries(keep[rows], columns)
    limited = bool(program.max_distortion < distortion.max())
    distortion_unit = _unit(np.ptp(distortion))
    if limited:
        excess = (distortion - (program.max_distortion - tightening[0])) / distortion_unit
        constraints.append((excess * weight) @ x <= 0)
    cost = program.objective.entries(keep[rows], columns)
    least = np.full(len(keep), np.inf)
    np.minimum.at(least, rows, cost)
    unit = _unit((cost - least[rows]).max())
    model = cp.Problem(cp.Minimize(((cost - least[rows]) / unit * weight) @ x), constraints)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "solution may be inaccurate": every answer is certified anyway
            model.solve(solver=setting.solver, **setting.options(Budget() if budget is None else budget))
    except (cp.error.SolverError, ArithmeticError, ValueError):
        return None
    if x.value is None or output[0].dual_value is None:
        return None
    joint = np.zeros(problem.shape)
    joint[keep[rows], columns] = x.value * weight
    price = unit / distortion_unit * float(np.asarray(constraints[-1].dual_value).ravel()[0]) if limited else 0.0
    potential = np.zeros((2, problem.n_x))
    potential[0, inside] = unit * np.asarray(output[0].dual_value) / column_scale[inside]
    if outside is not None:
        potential[1, ~inside] = unit * np.asarray(output[1].dual_value)
    return Hint(joint, price, _oriented(program, price, potential), setting.label)


def _unit(size: float) -> float:
    """Unit for costs that are far from one; ordinary ones are left as they are, which the chain was tuned on."""
    return 1.0 if size == 0 or 1e-3 <= size <= 1e3 else float(size)


def _oriented(program: Program, price: float, parts: Array) -> Array:
    """Potential from the multipliers of two blocks of equalities, each up to its sign.

    The sign of an equality's multiplier depends on how CVXPY rewrites the constraint: A x == B r came back with
    either sign in version 1.9, and two blocks of one problem with opposite ones. The proven bound decides.
    """
    signs = [(a, b) for a in (1.0, -1.0) for b in ((1.0, -1.0) if parts[1].any() else (1.0,))]
    candidates = [a * parts[0] + b * parts[1] for a, b in signs]
    return max(candidates, key=lambda v: dual_bound(program, price, v).value)
