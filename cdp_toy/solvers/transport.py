"""Perception level 0: the output law is the source law, and the program is an optimal-transport LP (HiGHS)."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, csr_array, vstack

from cdp_toy.certificates import Program
from cdp_toy.edges import Hint
from cdp_toy.validation import Array, refuse_if_too_large

__all__ = ["hint", "round_to_marginals"]

#: HiGHS meets constraints to 1e-10 at best; masses are scaled so that this means 1e-13 of probability.
MASS_SCALE = 1e3


def hint(program: Program) -> Hint:
    """Solve min <objective, joint> with both marginals fixed and the distortion level, if any."""
    problem = program.problem
    rows, columns = np.nonzero(program.support() & (problem.p_y > 0)[:, None] & (problem.p_x > 0))
    # peak memory: 1382, 1360 and 1325 bytes per entry measured at n = 101, 201 and 301
    refuse_if_too_large(1600.0 * len(rows), f"the transport LP with {len(rows):,} entries", "Use a coarser grid.")
    count = np.arange(len(rows))
    ones = np.ones(len(rows))
    row_sums = coo_array((ones, (rows, count)), shape=(problem.n_y, len(rows)))
    column_sums = coo_array((ones, (columns, count)), shape=(problem.n_x, len(rows)))
    distortion = problem.distortion_cost.entries(rows, columns)
    limited = bool(program.max_distortion < distortion.max(initial=-np.inf))
    answer = linprog(
        program.objective.entries(rows, columns),
        A_ub=csr_array(distortion[None, :]) if limited else None,
        b_ub=[program.max_distortion * MASS_SCALE] if limited else None,
        A_eq=vstack([row_sums, column_sums]).tocsr()[:-1],  # one marginal follows from the others
        b_eq=np.concatenate([problem.p_y, problem.p_x])[:-1] * MASS_SCALE,
        method="highs",
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    if answer.x is None:
        return Hint(None, 0.0, np.zeros(problem.n_x), "transport LP (HiGHS)")
    joint = np.zeros(problem.shape)
    joint[rows, columns] = answer.x / MASS_SCALE
    potential = np.append(answer.eqlin.marginals[problem.n_y :], 0.0)
    price = -float(answer.ineqlin.marginals[0]) if limited else 0.0
    return Hint(round_to_marginals(joint, problem.p_y, problem.p_x), price, potential, "transport LP (HiGHS)")


def round_to_marginals(joint: Array, p_y: Array, p_x: Array) -> Array:
    """Nearest-style rounding to a coupling: shrink rows, then columns, then add the missing mass as a product.

    Altschuler, Weed and Rigollet, "Near-linear time approximation algorithms for optimal transport", NeurIPS 2017.
    """
    joint = np.maximum(joint, 0.0)
    for axis, marginal in ((1, p_y), (0, p_x)):
        total = joint.sum(axis=axis)
        factor = np.minimum(np.divide(marginal, total, out=np.ones_like(total), where=total > 0), 1.0)
        joint = joint * (factor[:, None] if axis == 1 else factor)
    missing_y = np.maximum(p_y - joint.sum(axis=1), 0.0)
    missing_x = np.maximum(p_x - joint.sum(axis=0), 0.0)
    if missing_y.sum() > 0:
        joint = joint + np.outer(missing_y, missing_x) / missing_y.sum()
    return joint
