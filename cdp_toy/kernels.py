"""Inner loops over all pairs of a low-rank cost, compiled when numba is there (the `fast` extra), else in NumPy blocks.

The cost of a pair is table[i, which[j]] + weight (|mean_y_i - mean_x_j|^2 + variance_y_i + variance_x_j), so that no
n_y x n_xhat table is ever stored. Both routes do the same additions in the same order. Setting the environment variable
CDP_TOY_NUMBA=0 before the first use keeps to NumPy.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from cdp_toy.validation import Array, Indices

__all__ = ["LowRank", "compiled", "jit"]


class LowRank(NamedTuple):
    """Arrays of a cost that is a table per profile plus a multiple of a squared error."""

    table: Array  # (n_y, G)
    which: Indices  # (n_x,)
    weight: float
    mean_y: Array  # (n_y, dim)
    variance_y: Array
    mean_x: Array  # (n_x, dim)
    variance_x: Array


def jit() -> Callable[[Callable[..., Any]], Any] | None:
    """Compiler of a loop, with a cache on disk; None where numba is missing or switched off."""
    if os.environ.get("CDP_TOY_NUMBA", "1") == "0":
        return None
    try:
        import numba
    except ImportError:
        return None
    decorator: Callable[[Callable[..., Any]], Any] = numba.njit(cache=True, nogil=True, error_model="numpy")
    return decorator


@cache
def compiled() -> _Loops | None:
    """Compiled loops, or None where numba is missing or switched off."""
    compile_loop = jit()
    if compile_loop is None:
        return None
    return _Loops(*(compile_loop(loop) for loop in (_row_minima, _column_least, _column_minima, _nearest)))


class _Loops(NamedTuple):
    row_minima: Callable[..., Array]
    column_least: Callable[..., Array]
    column_minima: Callable[..., tuple[Array, Indices]]
    nearest: Callable[..., tuple[Array, Indices]]


def _row_minima(
    table: Array,
    which: Indices,
    weight: float,
    mean_y: Array,
    variance_y: Array,
    mean_x: Array,
    variance_x: Array,
    potential: Array,
) -> Array:
    n_y, n_x, dim = len(table), len(which), mean_y.shape[1]
    out = np.empty(n_y)
    for i in range(n_y):
        least = np.inf
        for j in range(n_x):
            total = variance_y[i] + variance_x[j]
            for k in range(dim):
                total += (mean_y[i, k] - mean_x[j, k]) ** 2
            value = table[i, which[j]] + weight * total - potential[j]
            if value < least:
                least = value
        out[i] = least
    return out


def _column_least(
    table: Array,
    which: Indices,
    weight: float,
    mean_y: Array,
    variance_y: Array,
    mean_x: Array,
    variance_x: Array,
    offset: Array,
) -> Array:
    n_y, n_x, dim = len(table), len(which), mean_y.shape[1]
    out = np.full(n_x, np.inf)
    for j in range(n_x):
        least, costs = np.inf, table[:, which[j]]
        for i in range(n_y):
            total = variance_y[i] + variance_x[j]
            for k in range(dim):
                total += (mean_y[i, k] - mean_x[j, k]) ** 2
            value = costs[i] + weight * total - offset[i]
            if value < least:
                least = value
        out[j] = least
    return out


def _column_minima(
    table: Array,
    which: Indices,
    weight: float,
    mean_y: Array,
    variance_y: Array,
    mean_x: Array,
    variance_x: Array,
    offset: Array,
    count: int,
) -> tuple[Array, Indices]:
    n_y, n_x, dim = len(table), len(which), mean_y.shape[1]
    values = np.full((n_x, count), np.inf)
    places = np.full((n_x, count), -1, dtype=np.int64)
    met = np.full(n_y, -1)  # letter for which an observation was looked at already
    for j in range(n_x):
        best, where = values[j], places[j]
        for turn in range(count + n_y):  # first those of the letter before: they are near, and few others follow
            i = turn - count
            if i < 0 and j > 0:
                i = places[j - 1, turn]
            if i < 0 or met[i] == j:
                continue
            met[i] = j
            total = variance_y[i] + variance_x[j]
            for k in range(dim):
                total += (mean_y[i, k] - mean_x[j, k]) ** 2
            value = table[i, which[j]] + weight * total - offset[i]
            slot = count - 1
            if value < best[slot] or (value == best[slot] and i < where[slot]):  # insertion into a short sorted list
                while slot > 0 and (value < best[slot - 1] or (value == best[slot - 1] and i < where[slot - 1])):
                    best[slot], where[slot] = best[slot - 1], where[slot - 1]
                    slot -= 1
                best[slot], where[slot] = value, i
    return values, places


def _nearest(
    table: Array,
    which: Indices,
    weight: float,
    mean_y: Array,
    variance_y: Array,
    mean_x: Array,
    variance_x: Array,
    potential: Array,
    group: Indices,
    n_groups: int,
    count: int,
) -> tuple[Array, Indices]:
    n_y, n_x, dim = len(table), len(which), mean_y.shape[1]
    values = np.full((n_y, n_groups, count), np.inf)
    places = np.full((n_y, n_groups, count), -1, dtype=np.int64)
    met = np.full(n_x, -1)  # observation for which a letter was looked at already
    known = n_groups * count
    worst = np.empty(n_groups)
    for i in range(n_y):
        worst[:] = np.inf
        for turn in range(known + n_x):  # first those of the observation before, as above
            j = turn - known
            if j < 0 and i > 0:
                j = places[i - 1, turn // count, turn % count]
            if j < 0 or met[j] == i:
                continue
            met[j] = i
            total = variance_y[i] + variance_x[j]
            for k in range(dim):
                total += (mean_y[i, k] - mean_x[j, k]) ** 2
            value = table[i, which[j]] + weight * total - potential[j]
            if value > worst[group[j]]:
                continue
            best, where = values[i, group[j]], places[i, group[j]]
            slot = count - 1
            if value < best[slot] or (value == best[slot] and j < where[slot]):
                while slot > 0 and (value < best[slot - 1] or (value == best[slot - 1] and j < where[slot - 1])):
                    best[slot], where[slot] = best[slot - 1], where[slot - 1]
                    slot -= 1
                best[slot], where[slot] = value, j
                worst[group[j]] = best[count - 1]
    return values, places
