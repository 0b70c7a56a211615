"""Loops of a Newton step over the pairs of a support: compiled when numba is there, else in NumPy.

Both routes do the same sums, in an order of their own. `System` in `newton` says what the numbers mean. Pairs are in
row-major order with a pair in every row; `distortion` is empty where no distortion level is set.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np

from cdp_toy.kernels import jit
from cdp_toy.validation import Array, Indices, Mask

__all__ = ["INTERPRETED", "LetterTerms", "PairLoops", "PairTerms", "PriceTerms", "pair_loops"]


class PairTerms(NamedTuple):
    """Per pair: its row and column, x, z, x/z, what z = c - u - v misses, and the distortion."""

    rows: Indices
    columns: Indices
    x: Array
    z: Array
    theta: Array
    dual: Array
    distortion: Array


class LetterTerms(NamedTuple):
    """Per letter: secant and slope of the divergence, what potential and column sum miss, column sums, source mass."""

    secant: Array
    slope: Array
    potential: Array
    columns: Array
    column_theta: Array
    column_d: Array
    seen: Mask


class PriceTerms(NamedTuple):
    """Response of (dv, du) to a unit change of kap and of lam, and the two equations for those changes."""

    dv_kap: Array
    du_kap: Array
    dv_lam: Array
    du_lam: Array
    row_d: Array
    levels: Array


class PairLoops(NamedTuple):
    """The loops that the interior-point method spends its time in."""

    fold: Callable[..., tuple[Array, Array, Array, float]]
    unfold: Callable[..., tuple[Array, Array, Array, Array, Array, float, float]]
    band: Callable[..., tuple[Array, Array]]
    lowest: Callable[[Array, Array], float]
    product: Callable[[Indices, Indices, Array, Array, int], Array]


@cache
def pair_loops() -> PairLoops:
    """Compiled loops, or those of NumPy where numba is missing or switched off."""
    compile_loop = jit()
    if compile_loop is None:
        return INTERPRETED
    fold, unfold, *others = (compile_loop(loop) for loop in (_fold, _unfold, _band, _lowest, _product))
    # plain tuples: numba's cache on disk would remember our classes, and fail to load once one of them is renamed
    return PairLoops(
        lambda pairs, letters, *rest: fold(tuple(pairs), tuple(letters), *rest),
        lambda pairs, letters, prices, *rest: unfold(tuple(pairs), tuple(letters), tuple(prices), *rest),
        *others,
    )


def _sums(places: Indices, values: Array, n: int) -> Array:
    return np.asarray(np.bincount(places, weights=values, minlength=n), dtype=np.float64)


def _fold_interpreted(
    pairs: PairTerms, letters: LetterTerms, row_theta: Array, missed: Array, asked: Array
) -> tuple[Array, Array, Array, float]:
    """What rows and columns are open by, the right-hand side for dv alone, and the distortion that is spent."""
    n = len(letters.secant)
    rho = asked / pairs.z - pairs.theta * pairs.dual
    open_rows = missed - _sums(pairs.rows, rho, len(missed))
    open_columns = _sums(pairs.columns, rho, n) - letters.columns
    pulled = _sums(pairs.columns, pairs.theta * (open_rows / row_theta)[pairs.rows], n)
    spent = float(rho @ pairs.distortion) if len(pairs.distortion) else 0.0
    return open_rows, open_columns, letters.secant * letters.potential - open_columns - pulled, spent


def _unfold_interpreted(
    pairs: PairTerms,
    letters: LetterTerms,
    prices: PriceTerms,
    row_theta: Array,
    asked: Array,
    open_rows: Array,
    open_columns: Array,
    dv: Array,
    open_d: float,
    open_p: float,
) -> tuple[Array, Array, Array, Array, Array, float, float]:
    """Changes of x, z, u, v, q, lam and kap from that of v at fixed prices."""
    limited, n = len(pairs.distortion) > 0, len(dv)
    du = (open_rows - _sums(pairs.rows, pairs.theta * dv[pairs.columns], len(open_rows))) / row_theta
    all_seen = bool(letters.seen.all())

    def change_q(dlam: float, dkap: float) -> Array:
        asked_for = letters.secant * (letters.potential - dv - letters.slope * dkap)
        if all_seen:
            return np.asarray(asked_for)
        # behind the infinite secant of a letter without source mass only the columns tell how q changes
        pulled = _sums(pairs.columns, pairs.theta * du[pairs.rows], n)
        followed = open_columns + pulled + letters.column_theta * dv - letters.column_d * dlam
        return np.where(letters.seen, asked_for, followed)

    open_p -= float(letters.slope @ change_q(0.0, 0.0))
    if limited:
        open_d -= float(prices.row_d @ du + letters.column_d @ dv)
    (a, b), (c, e) = prices.levels
    determinant = a * e - b * c
    dlam, dkap = (open_d * e - b * open_p) / determinant, (a * open_p - c * open_d) / determinant
    dv, du = dv + dkap * prices.dv_kap, du + dkap * prices.du_kap
    if limited:
        dv, du = dv + dlam * prices.dv_lam, du + dlam * prices.du_lam
    dz = pairs.dual - du[pairs.rows] - dv[pairs.columns]
    if limited:
        dz += dlam * pairs.distortion
    return (asked - pairs.x * dz) / pairs.z, dz, du, dv, change_q(dlam, dkap), dlam, dkap


def _band_interpreted(
    first: Indices, second: Indices, ranks: Indices, n_columns: int, width: int, scaled: Array
) -> tuple[Array, Array]:
    """Sums of products of two pairs of a row, in lower band storage, and their sums for each of the two letters."""
    a, b = ranks[first], ranks[second]
    low, high = np.minimum(a, b), np.maximum(a, b)
    products = scaled[first] * scaled[second]
    band = _sums((high - low) * n_columns + low, products, (width + 1) * n_columns).reshape(width + 1, n_columns)
    return band, _sums(low, products, n_columns) + _sums(high, products, n_columns)


def _lowest_interpreted(change: Array, value: Array) -> float:
    """Least ratio of a change to a value."""
    return float((change / value).min())


def _product_interpreted(rows: Indices, columns: Indices, values: Array, vector: Array, n_rows: int) -> Array:
    """Product of a sparse matrix, in coordinates, with a vector."""
    return _sums(rows, values * vector[columns], n_rows)


INTERPRETED = PairLoops(
    _fold_interpreted, _unfold_interpreted, _band_interpreted, _lowest_interpreted, _product_interpreted
)


def _fold(
    pairs: PairTerms, letters: LetterTerms, row_theta: Array, missed: Array, asked: Array
) -> tuple[Array, Array, Array, float]:
    rows, columns, _, z, theta, dual, distortion = pairs
    secant, _, missed_potential, missed_columns, _, _, _ = letters
    limited = len(distortion) > 0
    open_rows, open_columns, spent = missed.copy(), -missed_columns, 0.0
    for k in range(len(rows)):
        rho = asked[k] / z[k] - theta[k] * dual[k]
        open_rows[rows[k]] -= rho
        open_columns[columns[k]] += rho
        if limited:
            spent += rho * distortion[k]
    right = secant * missed_potential - open_columns
    for k in range(len(rows)):
        right[columns[k]] -= theta[k] * (open_rows[rows[k]] / row_theta[rows[k]])
    return open_rows, open_columns, right, spent


def _unfold(
    pairs: PairTerms,
    letters: LetterTerms,
    prices: PriceTerms,
    row_theta: Array,
    asked: Array,
    open_rows: Array,
    open_columns: Array,
    dv: Array,
    open_d: float,
    open_p: float,
) -> tuple[Array, Array, Array, Array, Array, float, float]:
    rows, columns, x, z, theta, dual, distortion = pairs
    secant, slope, missed_potential, _, column_theta, column_d, seen = letters
    dv_kap, du_kap, dv_lam, du_lam, row_d, levels = prices
    limited, n = len(distortion) > 0, len(dv)
    du, dv, followed = open_rows.copy(), dv.copy(), open_columns.copy()
    for k in range(len(rows)):
        du[rows[k]] -= theta[k] * dv[columns[k]]
    du /= row_theta
    if not seen.all():
        for k in range(len(rows)):
            followed[columns[k]] += theta[k] * du[rows[k]]
        followed += column_theta * dv
    for j in range(n):
        dq = secant[j] * (missed_potential[j] - dv[j]) if seen[j] else followed[j]
        open_p -= slope[j] * dq
    if limited:
        for i in range(len(du)):
            open_d -= row_d[i] * du[i]
        for j in range(n):
            open_d -= column_d[j] * dv[j]
    a, b, c, e = levels[0, 0], levels[0, 1], levels[1, 0], levels[1, 1]
    determinant = a * e - b * c
    dlam, dkap = (open_d * e - b * open_p) / determinant, (a * open_p - c * open_d) / determinant
    du += dkap * du_kap
    dv += dkap * dv_kap
    if limited:
        du += dlam * du_lam
        dv += dlam * dv_lam
    change_q = secant * (missed_potential - dv - slope * dkap)
    if not seen.all():
        followed = open_columns.copy()
        for k in range(len(rows)):
            followed[columns[k]] += theta[k] * du[rows[k]]
        for j in range(n):
            if not seen[j]:
                change_q[j] = followed[j] + column_theta[j] * dv[j]
                if limited:
                    change_q[j] -= column_d[j] * dlam
    dx, dz = np.empty_like(x), np.empty_like(x)
    for k in range(len(rows)):
        change = dual[k] - du[rows[k]] - dv[columns[k]]
        if limited:
            change += dlam * distortion[k]
        dz[k] = change
        dx[k] = (asked[k] - x[k] * change) / z[k]
    return dx, dz, du, dv, change_q, dlam, dkap


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


def _lowest(change: Array, value: Array) -> float:
    least = np.inf
    for k in range(len(change)):
        ratio = change[k] / value[k]
        if np.isnan(ratio):
            return np.nan
        least = min(least, ratio)
    return least


def _product(rows: Indices, columns: Indices, values: Array, vector: Array, n_rows: int) -> Array:
    out = np.zeros(n_rows)
    for k in range(len(rows)):
        out[rows[k]] += values[k] * vector[columns[k]]
    return out
