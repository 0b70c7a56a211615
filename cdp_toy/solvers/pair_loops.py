"""Loops over the pairs of a support, which are in row-major order: compiled when numba is there, else in NumPy.

Both routes do the same sums, in an order of their own. `starts` says where each row begins; every row has a pair.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from cdp_toy.kernels import jit
from cdp_toy.validation import Array, Indices

__all__ = ["INTERPRETED", "PairLoops", "pair_loops"]


class PairLoops(NamedTuple):
    """The three loops that a step of the interior-point method spends its time in."""

    fold: Callable[..., tuple[Array, Array, Array]]
    unfold: Callable[..., tuple[Array, Array]]
    band: Callable[..., tuple[Array, Array]]


@cache
def pair_loops() -> PairLoops:
    """Compiled loops, or those of NumPy where numba is missing or switched off."""
    compile_loop = jit()
    if compile_loop is None:
        return INTERPRETED
    return PairLoops(compile_loop(_fold), compile_loop(_unfold), compile_loop(_band))


def _fold_interpreted(
    starts: Indices,
    rows: Indices,
    columns: Indices,
    n_columns: int,
    theta: Array,
    row_theta: Array,
    rho: Array,
    missed: Array,
) -> tuple[Array, Array, Array]:
    """What the rows are open by, the column sums of rho, and these after the rows are eliminated."""
    open_rows = missed - np.add.reduceat(rho, starts)
    sums = np.bincount(columns, weights=rho, minlength=n_columns)
    folded = sums + np.bincount(columns, weights=theta * (open_rows / row_theta)[rows], minlength=n_columns)
    return open_rows, np.asarray(sums, dtype=np.float64), np.asarray(folded, dtype=np.float64)


def _unfold_interpreted(
    rows: Indices,
    columns: Indices,
    x: Array,
    z: Array,
    asked: Array,
    dual: Array,
    du: Array,
    dv: Array,
) -> tuple[Array, Array]:
    """Changes of z, for which z + dz = c - u - v, and of x, for which x dz + z dx is what is asked."""
    dz = dual - du[rows] - dv[columns]
    return dz, (asked - x * dz) / z


def _band_interpreted(
    first: Indices, second: Indices, ranks: Indices, n_columns: int, width: int, scaled: Array
) -> tuple[Array, Array]:
    """Sums of products of two pairs of a row, in lower band storage, and their sums for each of the two letters."""
    a, b = ranks[first], ranks[second]
    low, high = np.minimum(a, b), np.maximum(a, b)
    products = scaled[first] * scaled[second]
    band = np.zeros((width + 1, n_columns))  # without a product bincount would count integers
    band += np.bincount((high - low) * n_columns + low, weights=products, minlength=band.size).reshape(band.shape)
    sums = np.bincount(low, weights=products, minlength=n_columns)
    sums = sums + np.bincount(high, weights=products, minlength=n_columns)
    return band, np.asarray(sums, dtype=np.float64)


INTERPRETED = PairLoops(_fold_interpreted, _unfold_interpreted, _band_interpreted)


def _fold(
    starts: Indices,
    rows: Indices,
    columns: Indices,
    n_columns: int,
    theta: Array,
    row_theta: Array,
    rho: Array,
    missed: Array,
) -> tuple[Array, Array, Array]:
    open_rows, sums, folded = missed.copy(), np.zeros(n_columns), np.zeros(n_columns)
    for k in range(len(rows)):
        open_rows[rows[k]] -= rho[k]
        sums[columns[k]] += rho[k]
    for k in range(len(rows)):
        folded[columns[k]] += theta[k] * (open_rows[rows[k]] / row_theta[rows[k]])
    return open_rows, sums, sums + folded


def _unfold(
    rows: Indices,
    columns: Indices,
    x: Array,
    z: Array,
    asked: Array,
    dual: Array,
    du: Array,
    dv: Array,
) -> tuple[Array, Array]:
    dz, dx = np.empty_like(x), np.empty_like(x)
    for k in range(len(rows)):
        dz[k] = dual[k] - du[rows[k]] - dv[columns[k]]
        dx[k] = (asked[k] - x[k] * dz[k]) / z[k]
    return dz, dx


def _band(
    first: Indices, second: Indices, ranks: Indices, n_columns: int, width: int, scaled: Array
) -> tuple[Array, Array]:
    band, sums = np.zeros((width + 1, n_columns)), np.zeros(n_columns)
    for k in range(len(first)):
        product = scaled[first[k]] * scaled[second[k]]
        a, b = ranks[first[k]], ranks[second[k]]
        if a > b:
            a, b = b, a
        band[b - a, a] += product
        sums[a] += product
        sums[b] += product
    return band, sums
