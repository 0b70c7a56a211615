"""Tridiagonal systems of springs, solved without differences."""

from __future__ import annotations

import math

import numpy as np
from scipy.linalg.lapack import dpttrs

from cdp_toy.validation import Array

__all__ = ["solve_chain"]

#: chains of at most so many points are solved one by one, in 0.2 ms; eliminating them by halves takes as long
SHORT = 1000


def solve_chain(stiffness: Array, ground: Array, right: Array) -> Array:
    """Solve H x = right, H the matrix of a chain of springs between n - 1 points that are tied to the ground as well.

    H_jj = ground_j + stiffness_j + stiffness_(j+1), H_j(j+1) = -stiffness_(j+1). Every other point is eliminated, again
    and again, which leaves a chain of half as many: a point between springs l, r of ground g becomes a spring l r/s
    between its neighbours and l g/s, r g/s to the ground, s = l + r + g. No differences, so that stiff springs do not
    drown the ground. A point of infinite ground stays where it is.

    Parameters
    ----------
    stiffness : array of shape (n,)
        Positive; the first and the last one tie the ends of the chain to walls.
    ground : array of shape (n - 1,)
        Not negative; may be inf.
    right : array of shape (k, n - 1)
        Right-hand sides.

    Returns
    -------
    array of shape (k, n - 1)

    Examples
    --------
    >>> solve_chain(np.array([1.0, 1e30, 2.0]), np.zeros(2), np.array([[3.0, 3.0]])).tolist()
    [[2.0, 2.0]]
    """
    ground, springs = ground.copy(), stiffness[1:-1]
    ground[0] += stiffness[0]
    ground[-1] += stiffness[-1]
    gone = []
    while len(ground) > SHORT:
        left, right_of, held_by = springs[::2], springs[1::2], ground[1::2]
        if len(right_of) < len(left):  # the last point has none
            right_of = np.append(right_of, 0.0)
        tied = left + right_of
        total = tied + held_by
        with np.errstate(divide="ignore"):
            held = 1 / (1 + tied / held_by)
        to_left, to_right, load = left / total, right_of / total, right[:, 1::2]
        gone.append((to_left, to_right, load / total))
        ground, right = ground[::2].copy(), right[:, ::2].copy()
        count, after = len(left), len(ground) - 1
        ground[:count] += left * held
        ground[1:] += (right_of * held)[:after]
        right[:, :count] += to_left * load
        right[:, 1:] += (to_right * load)[:, :after]
        springs = (left * to_right)[:after]
    x = _solve_short_chain(springs, ground, right)
    for to_left, to_right, free in reversed(gone):
        count = len(to_left)
        beyond = x[:, 1:] if x.shape[1] > count else np.pad(x[:, 1:], ((0, 0), (0, 1)))
        longer = np.empty((len(x), x.shape[1] + count))
        longer[:, ::2], longer[:, 1::2] = x, free + to_left * x[:, :count] + to_right * beyond
        x = longer
    return x


def _solve_short_chain(springs: Array, ground: Array, right: Array) -> Array:
    """The same by elimination from one end."""
    pivots, tied = [], 0.0
    for here, spring in zip(ground.tolist(), [*springs.tolist(), 0.0], strict=True):
        tied += here
        pivots.append(tied + spring)
        tied = spring if tied == math.inf else tied * (spring / (tied + spring))
    pivot = np.array(pivots)
    answer, info = dpttrs(pivot, -springs / pivot[:-1], right.T)
    assert info == 0
    return np.asarray(answer.T)
