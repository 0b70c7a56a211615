"""Couplings of two laws: the monotone one, the cheapest one, and the repair of one that misses its marginals."""

from __future__ import annotations

import numpy as np
from scipy.optimize import linprog
from scipy.sparse import coo_array, vstack

from cdp_toy.validation import Array, Indices, refuse_if_too_large

__all__ = ["HIGHS_OPTIONS", "MASS_SCALE", "cheapest", "monotone", "round_to_marginals"]

#: HiGHS meets constraints to 1e-10 at best; masses are scaled so that this means 1e-13 of probability.
MASS_SCALE = 1e3
HIGHS_OPTIONS = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}


def monotone(p: Array, q: Array) -> tuple[Indices, Indices, Array]:
    """Monotone coupling of laws on ordered letters, as triples (i, j, mass); shapes (n,) and (m,).

    It is the cheapest one for costs with c(i, j) + c(i+1, j+1) <= c(i, j+1) + c(i+1, j).

    Examples
    --------
    >>> rows, columns, mass = monotone(np.array([0.5, 0.5]), np.array([0.25, 0.75]))
    >>> rows.tolist(), columns.tolist(), mass.tolist()
    ([0, 0, 1], [0, 1, 1], [0.25, 0.25, 0.5])
    """
    ends_p, ends_q = np.cumsum(p), np.cumsum(q)
    cuts = np.unique(np.concatenate([ends_p, ends_q]))
    starts = np.concatenate([[0.0], cuts[:-1]])
    # the letter whose interval of the cumulative holds each piece; what rounding leaves beyond the end goes to the last
    rows = np.minimum(np.searchsorted(ends_p, starts, side="right"), len(p) - 1)
    columns = np.minimum(np.searchsorted(ends_q, starts, side="right"), len(q) - 1)
    return rows, columns, cuts - starts


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


def cheapest(p: Array, q: Array, cost: Array) -> Array:
    """Coupling of two measures of equal mass at the least cost, through HiGHS; shapes (n,), (m,) and (n, m).

    The marginals are met to rounding, so that the cost of what is returned is never below the least.

    Examples
    --------
    >>> cheapest(np.array([0.5, 0.5]), np.array([0.2, 0.8]), np.array([[0.0, 1.0], [1.0, 0.0]])).round(12).tolist()
    [[0.2, 0.3], [0.0, 0.5]]
    """
    n, m = cost.shape
    refuse_if_too_large(1600.0 * n * m, f"optimal transport between {n:,} and {m:,} letters", "Use a coarser grid.")
    count, ones = np.arange(n * m), np.ones(n * m)
    rows = coo_array((ones, (np.repeat(np.arange(n), m), count)), shape=(n, n * m))
    columns = coo_array((ones, (np.tile(np.arange(m), n), count)), shape=(m, n * m))
    total = float(p.sum())
    answer = linprog(
        cost.ravel() / (cost.max() or 1.0),
        A_eq=vstack([rows, columns]).tocsr()[:-1],  # one marginal follows from the others
        b_eq=np.concatenate([p, q * (total / float(q.sum()))])[:-1] * (MASS_SCALE / total),
        method="highs",
        options=HIGHS_OPTIONS,
    )
    plan = np.outer(p, q) / total if answer.x is None else answer.x.reshape(n, m) * (total / MASS_SCALE)
    return round_to_marginals(plan, p, q)
