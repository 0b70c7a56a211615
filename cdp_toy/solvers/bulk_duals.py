"""Dual bounds of many prices and potentials at once, for problems as tables.

The bound of `certificates.dual_bound`, for rows of an array, with a price of perception that is given instead of the
best one: for all lam, kap >= 0, every v and every constant c

    sum_y p_Y min_xhat [objective + lam d - v] - lam D + c + kap sum_x p_X f*(v - c) - kap P  <=  C(D, P),

where f*(s) is the least of f(r) + (s / kap) r over ratios r >= 0.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cdp_toy.certificates import FEASIBILITY_TOL
from cdp_toy.solvers.line_loops import line_loops
from cdp_toy.solvers.tables import Tables
from cdp_toy.validation import Array

__all__ = ["BulkBounds", "Multipliers", "bulk_dual_bounds"]

#: Steps of Newton's method for the constant, from a fit that is good to some digits.
NEWTON_STEPS = 6


class Multipliers(NamedTuple):
    """Prices lam and kap, shape (m,), potentials v, shape (m, n_x), and constants c, shape (m,)."""

    price_distortion: Array
    price_perception: Array
    potential: Array
    constant: Array


class BulkBounds(NamedTuple):
    """Lower bounds at given levels, shape (m,), -inf where nothing is proven, and the multipliers that prove them."""

    value: Array
    multipliers: Multipliers


def bulk_dual_bounds(
    tables: Tables,
    objective: Array,
    given: Multipliers,
    max_distortion: Array | None,
    max_perception: Array,
    raised: bool = True,
) -> BulkBounds:
    """Lower bounds from any multipliers, each at its own pair of levels.

    Parameters
    ----------
    tables : Tables
    objective : array of shape (n_y, n_x)
        What is minimized.
    given : Multipliers
        lam >= 0; where kap is not positive nothing is proven. Potentials are -inf where they are not known. The
        constant is a first guess.
    max_distortion, max_perception : arrays of shape (m,)
        D, None without that constraint (then lam is to be 0), and P > 0.
    raised : bool
        Raise potentials to the largest with the same row minima. Those of best laws are that already.
    """
    eps = float(np.finfo(float).eps)
    lam, kap, potential, _ = given
    seen = tables.p_y > 0
    weight = tables.p_y[seen]
    objective, distance = (costs[seen] for costs in (objective, tables.distance))
    largest = np.abs(objective).max() + lam * np.abs(distance).max()
    minima = _row_minima(objective.T, distance.T, lam, potential)
    if raised:
        potential = _row_minima(objective, distance, lam, minima)
    with np.errstate(all="ignore"):  # what is not a number proves nothing
        found = Multipliers(lam, np.where(kap > 0, kap, np.nan), potential, given.constant)
        found, term, size = _best_constants(tables, found)
        paid = found.price_perception * (max_perception + FEASIBILITY_TOL * np.minimum(1e3 * max_perception, 1.0))
        if max_distortion is not None:
            scale = np.maximum(tables.distortion_scale, np.abs(max_distortion))
            paid = paid + np.where(lam > 0, lam, 0.0) * np.where(lam > 0, max_distortion + FEASIBILITY_TOL * scale, 0.0)
        spread = np.abs(potential).max(axis=1)
        # raised potentials have the row minima that they were made of up to the rounding of one difference
        size = size + np.abs(minima) @ weight + np.abs(paid) + largest + 2 * spread + np.abs(minima).max(axis=1)
        value = minima @ weight - paid + term - 16 * eps * size
    return BulkBounds(np.where(np.isfinite(value), value, -np.inf), found)


def _row_minima(objective: Array, distance: Array, lam: Array, offsets: Array) -> Array:
    """Least objective + lam distance - offset along the first axis of tables, shape (m, n), for offsets (m, k)."""
    loops = line_loops()
    if loops is not None:
        return loops.row_minima(*(np.ascontiguousarray(table) for table in (objective, distance)), lam, offsets)
    out = np.empty((len(lam), objective.shape[1]))
    cost, room = np.empty_like(objective), np.empty_like(objective)
    with np.errstate(invalid="ignore"):
        for k, (price, offset) in enumerate(zip(lam, offsets, strict=True)):
            np.multiply(distance, price, out=cost)
            cost += objective
            np.subtract(cost, offset[:, None], out=room).min(axis=0, out=out[k])
    return out


def _descents(tables: Tables, given: Multipliers) -> Array:
    """Descents f'(inf) - f'(q/p) that the multipliers ask for, with 0 for an infinite f'(inf)."""
    limit = tables.perception.slope_at_infinity
    shifted = (given.potential - given.constant[:, None]) / given.price_perception[:, None]
    return np.asarray(shifted + (limit if np.isfinite(limit) else 0.0))


def _best_constants(tables: Tables, given: Multipliers) -> tuple[Multipliers, Array, Array]:
    """With the best c that Newton's method finds; c + kap sum p f*(v - c), and the size of its summands."""
    perception, kap, v = tables.perception, given.price_perception, given.potential
    limit = perception.slope_at_infinity
    most = np.full(len(v), np.inf)
    if np.isfinite(limit):  # a constant above this lets mass go to infinity
        most = v.min(axis=1) + kap * limit
    mass = tables.p_x
    with np.errstate(all="ignore"):
        found = given._replace(constant=np.where(given.constant < most, given.constant, most - 1e-9 * kap))
        for _ in range(NEWTON_STEPS):
            ratio = perception.ratio_at(_descents(tables, found))
            miss = ratio @ mass - 1.0
            step = miss * kap / ((1.0 / perception.curvature(ratio)) @ mass)
            ahead = found.constant - np.where(np.isfinite(step), step, 0.0)
            found = found._replace(constant=np.where(ahead < most, ahead, (found.constant + most) / 2))
            if not np.any(np.abs(miss) > 1e-12):
                break
        rate, c = perception.conjugate(_descents(tables, found)), found.constant
        return found, c + kap * (rate @ mass), np.abs(c) + kap * (np.abs(rate) @ mass)
