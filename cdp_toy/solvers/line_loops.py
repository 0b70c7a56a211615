"""Loops of a Newton step on cuts, law by law, and of dual bounds: compiled when numba is there.

They do what `line_newton` and `bulk_duals` do in NumPy for all laws at once, with sums in another order.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from cdp_toy.kernels import jit
from cdp_toy.validation import Array, Indices, Mask

__all__ = ["LineLoops", "line_loops"]


class LineLoops(NamedTuple):
    """Compiled loops."""

    moved: Callable[..., tuple[Array, Array, Array, Indices, Mask, Array]]
    placed: Callable[..., tuple[Indices, Mask]]
    row_minima: Callable[..., Array]


@cache
def line_loops() -> LineLoops | None:
    """Compiled loops, or None where numba is missing or switched off."""
    compile_loop = jit()
    if compile_loop is None:
        return None
    loops: list[Any] = [compile_loop(loop) for loop in (_moved, _placed, _row_minima)]
    return LineLoops(*loops)


def _moved(
    steps: Array,
    distance_steps: Array,
    distance_saved: Array,
    farthest: float,
    begins: Array,
    ends: Array,
    cuts: Array,
    rows: Indices,
    pinned: Mask,
    lam: Array,
    kap: Array,
    laws: Array,
    rise: Array,
    bend: Array,
    d: Array,
    over: Array,
    bounds: tuple[float, float, float, float],
) -> tuple[Array, Array, Array, Indices, Mask, Array]:
    """One Newton step for given places: cuts, prices, where the cuts are, whether it was whole, the longest move.

    `over` is the perception less its level; `bounds` are KEPT, GROWTH, SPARE and STUCK.
    """
    kept, growth, spare, stuck = bounds
    m, n = cuts.shape
    last = len(ends) - 1
    new_cuts, there = np.empty((m, n)), np.empty((m, n), dtype=rows.dtype)
    new_lam, new_kap, way = lam.copy(), kap.copy(), np.zeros(m)
    whole = np.zeros(m, dtype=np.bool_)
    far, diagonal, jump = np.empty(n), np.empty(n), np.empty(n)
    x, y, z = np.empty(n), np.empty(n), np.empty(n)
    for k in range(m):
        distortion = farthest
        for j in range(n):
            row = rows[k, j]
            far[j] = distance_steps[row, j]
            distortion -= distance_saved[row, j] + (cuts[k, j] - begins[row]) * far[j]
            diagonal[j] = bend[k, j] + bend[k, j + 1]
            x[j], y[j], z[j] = steps[row, j] + lam[k] * far[j] - kap[k] * rise[k, j], far[j], -rise[k, j]
            jump[j] = ends[row] - cuts[k, j] if pinned[k, j] else 0.0
        for j in range(n):  # what pinned neighbours do is known
            if pinned[k, j]:
                x[j], y[j], z[j], diagonal[j] = jump[j], 0.0, 0.0, 1.0
            else:
                if j > 0:
                    x[j] += bend[k, j] * jump[j - 1]
                if j < n - 1:
                    x[j] += bend[k, j + 1] * jump[j + 1]
        fine = True
        for j in range(1, n):
            if not (pinned[k, j] or pinned[k, j - 1]):
                share = bend[k, j] / diagonal[j - 1]
                diagonal[j] -= share * bend[k, j]
                x[j] += share * x[j - 1]
                y[j] += share * y[j - 1]
                z[j] += share * z[j - 1]
            fine = fine and diagonal[j - 1] > 0
        fine = fine and diagonal[n - 1] > 0
        for j in range(n - 1, -1, -1):
            if j < n - 1 and not (pinned[k, j] or pinned[k, j + 1]):
                x[j] += bend[k, j + 1] * x[j + 1]
                y[j] += bend[k, j + 1] * y[j + 1]
                z[j] += bend[k, j + 1] * z[j + 1]
            x[j] /= diagonal[j]
            y[j] /= diagonal[j]
            z[j] /= diagonal[j]
        short, excess = distortion - d[k], over[k]
        a, b, c, e = 0.0, 0.0, 0.0, 0.0
        for j in range(n):
            # sum far dQ = distortion - D, sum -rise dQ = perception - P
            short -= far[j] * x[j]
            excess += rise[k, j] * x[j]
            a += far[j] * y[j]
            b += far[j] * z[j]
            c -= rise[k, j] * y[j]
            e -= rise[k, j] * z[j]
        determinant = a * e - b * c
        change_lam, change_kap = (e * short - b * excess) / determinant, (a * excess - c * short) / determinant
        price = lam[k]
        if change_lam < -price and price < spare * kap[k]:
            price = 0.0
        if price == 0:
            change_lam, change_kap = 0.0, excess / e
        before, falls = 0.0, 0.0
        for j in range(n):
            x[j] += y[j] * change_lam + z[j] * change_kap
            way[k] = max(way[k], abs(x[j]))
            falls = max(falls, (before - x[j]) / laws[k, j])
            before = x[j]
        falls = max(falls, before / laws[k, n])
        unit = price if price > 0 else 1.0
        falls = max(falls, -change_lam / unit, change_lam / growth / unit, -change_kap / kap[k])
        falls = max(falls, change_kap / growth / kap[k])
        part = min(1.0, (1 - kept) / max(falls, 1e-300))
        if not (fine and part >= stuck):
            new_lam[k] = np.nan
            for j in range(n):  # rows at once bring an error message with them, which takes a second to compile
                new_cuts[k, j], there[k, j] = cuts[k, j], rows[k, j]
            continue
        for j in range(n):
            cut, row = cuts[k, j] + part * x[j], rows[k, j]
            while row < last and ends[row] < cut:
                row += 1
            while row > 0 and ends[row - 1] >= cut:
                row -= 1
            new_cuts[k, j], there[k, j] = cut, row
        new_lam[k], new_kap[k] = max(price + part * change_lam, 0.0), kap[k] + part * change_kap
        whole[k] = part == 1.0
    return new_cuts, new_lam, new_kap, there, whole, way


def _placed(
    steps: Array,
    distance_steps: Array,
    rows: Indices,
    pinned: Mask,
    there: Indices,
    lam: Array,
    slope: Array,
    care: float,
    held: int,
    loose: int,
) -> tuple[Indices, Mask]:
    """Where cuts are and whether they are pinned, after a step that took them `there`.

    The cut `held` stays pinned, the cut `loose` is never.
    """
    m, n = rows.shape
    last = len(steps) - 1
    new_rows, new_pinned = there.copy(), np.zeros((m, n), dtype=np.bool_)
    excess, onward = np.empty(n), np.empty(n, dtype=np.bool_)
    for k in range(m):
        worst, crossed = 0.0, False
        for j in range(n):
            row = rows[k, j]
            excess[j] = 0.0
            if pinned[k, j]:
                after = min(row + 1, last)
                low = steps[row, j] + lam[k] * distance_steps[row, j]
                high = steps[after, j] + lam[k] * distance_steps[after, j]
                onward[j] = slope[k, j] < high
                if j != held:
                    excess[j] = max(slope[k, j] - low, high - slope[k, j])
                    worst = max(worst, excess[j])
                new_rows[k, j], new_pinned[k, j] = row, True
            elif j == loose:
                if np.sign(steps[row, j]) != np.sign(steps[there[k, j], j]):
                    new_rows[k, j] = row
            elif abs(there[k, j] - row) == 1:
                crossed = True
                new_rows[k, j], new_pinned[k, j] = min(row, there[k, j]), True
        for j in range(n):
            if excess[j] > 0 and (care == 0 or (excess[j] >= care * worst and not crossed)):
                new_pinned[k, j] = False
                if onward[j]:
                    new_rows[k, j] = min(rows[k, j] + 1, last)
    return new_rows, new_pinned


def _row_minima(objective: Array, distance: Array, lam: Array, potential: Array) -> Array:
    """Least objective + lam distance - v of every row, for every price and potential; tables are letter by letter."""
    m, (n_x, n_y) = len(lam), objective.shape
    out = np.full((m, n_y), np.inf)
    for k in range(m):
        for j in range(n_x):  # along the rows of one letter the processor takes several at once
            for i in range(n_y):
                value = objective[j, i] + lam[k] * distance[j, i] - potential[k, j]
                if value < out[k, i]:
                    out[k, i] = value
    return out
