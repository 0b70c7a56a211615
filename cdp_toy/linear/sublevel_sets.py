"""Where a curve in one variable stays below a level: intervals whose ends are exact to rounding."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar

from cdp_toy.validation import Array

__all__ = ["SublevelSets"]


class SublevelSets:
    """Sublevel sets of a non-negative curve, which may be infinite and may jump at points of the grid.

    Parameters
    ----------
    curve : function
        Takes and returns arrays; continuous between the points of the grid.
    grid : array of shape (n,)
        Increasing, and fine enough that the curve turns at most once between neighbours. Its local minima are added to
        it, so that the curve is monotone in between and thin sets are not missed.

    Examples
    --------
    >>> sets = SublevelSets(lambda t: (np.asarray(t) - 1 / 3) ** 2, np.linspace(0, 1, 5))
    >>> [(round(low, 12), round(high, 12)) for low, high in sets.intervals(1e-4)]
    [(0.323333333333, 0.343333333333)]
    """

    def __init__(self, curve: Callable[[ArrayLike], Array], grid: Array) -> None:
        self._curve = curve
        values = np.asarray(curve(grid))
        turns = 1 + np.flatnonzero((values[1:-1] < values[:-2]) & (values[1:-1] <= values[2:]))
        minima = np.array([self._minimum(*grid[k - 1 : k + 2].tolist()) for k in turns])
        grid, values = np.concatenate([grid, minima]), np.concatenate([values, np.asarray(curve(minima))])
        order = np.argsort(grid)
        self._grid, self._values = grid[order], values[order]
        self._known: dict[float, list[tuple[float, float]]] = {}

    @property
    def minimizer(self) -> float:
        """Where the curve is least."""
        return float(self._grid[np.argmin(self._values)])

    def intervals(self, level: float) -> list[tuple[float, float]]:
        """Intervals where the curve is at most `level`, in order; remembered for every level that was asked for."""
        if level not in self._known:
            last = len(self._grid) - 1
            inside = np.concatenate([[False], self._values <= level, [False]])
            starts, stops = np.flatnonzero(~inside[:-1] & inside[1:]), np.flatnonzero(inside[:-1] & ~inside[1:]) - 1
            self._known[level] = [
                (
                    float(self._grid[i]) if i == 0 else self._crossing(i - 1, level),
                    float(self._grid[j]) if j == last else self._crossing(j, level),
                )
                for i, j in zip(starts.tolist(), stops.tolist(), strict=True)
            ]
        return self._known[level]

    def _crossing(self, k: int, level: float) -> float:
        """Where the curve is at a level between two points of the grid."""
        left, right = self._grid[k : k + 2].tolist()
        known = dict(zip((left, right), self._values[k : k + 2].tolist(), strict=True))

        def excess(t: float) -> float:  # bounded, so that an infinite value is an ordinary end of the bracket
            value = known[t] if t in known else float(self._curve(t))
            return 1.0 if math.isinf(value) else (value - level) / (1 + value + abs(level))

        return float(brentq(excess, left, right, xtol=1e-15, rtol=8.9e-16))

    def _minimum(self, left: float, middle: float, right: float) -> float:
        """Local minimiser between two grid points; a polynomial through exact values finds it beyond sqrt(eps)."""
        found = minimize_scalar(
            lambda t: float(self._curve(t)), bounds=(left, right), method="bounded", options={"xatol": 1e-7}
        )
        rough = float(found.x)
        candidates = [middle, rough]
        nodes = rough + 0.5 * min(rough - left, right - rough) * np.cos(np.pi * (np.arange(9) + 0.5) / 9)
        values = np.asarray(self._curve(nodes))
        if np.all(np.isfinite(values)):
            roots = np.polynomial.Chebyshev.fit(nodes, values, 8).deriv().roots()
            real = roots[np.abs(np.imag(roots)) < 1e-9].real
            candidates += [float(t) for t in real if abs(t - rough) < 1e-5]
        exact = np.asarray(self._curve(np.asarray(candidates)))
        best = np.flatnonzero(exact <= exact.min() + 4e-16)
        return candidates[int(best[-1])] if exact[0] > exact.min() else middle
