"""The best number a under two levels, one of them on a quadratic curve: intervals that are exact to rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize_scalar

from cdp_toy.linear.sublevel_sets import SublevelSets
from cdp_toy.validation import Array

__all__ = ["ScalarSearch", "scan"]

#: a-values of the scan that finds where the curves turn
SCAN_POINTS = 401
#: a jump at a = 0 is possible (Xhat = 0 exactly), so a scan also looks this close to it
NEAR_ZERO = 1e-6
EPS = float(np.finfo(np.float64).eps)


def scan(a_range: tuple[float, float], count: int) -> Array:
    """Equally spaced values of a parameter, 0 and what is next to it.

    >>> scan((-1.0, 1.0), 3).tolist()
    [-1.0, -1e-06, 0.0, 1e-06, 1.0]
    """
    low, high = a_range
    near_zero = [a for a in (-NEAR_ZERO, 0.0, NEAR_ZERO) if low < a < high]
    return np.unique(np.concatenate([np.linspace(low, high, count), near_zero]))


class ScalarSearch:
    """The a-values among which the least error rate under two levels lies.

    Parameters
    ----------
    error_rate, distortion, perception : functions
        Take and return arrays; the distortion is a parabola, the perception may be inf.
    parabola : (vertex, curvature)
        Distortion = least + curvature (a - vertex)^2.
    a_range : (low, high)
    error_minima : function, optional
        Where the error rate may be least inside an interval, both sides of a jump at 0 included; asked for once. Found
        on a scan when left out.

    Examples
    --------
    >>> square = lambda a: np.square(np.asarray(a) - 0.5)
    >>> search = ScalarSearch(np.asarray, square, lambda a: np.abs(np.asarray(a)), (0.5, 1.0), (0.0, 2.0))
    >>> print(f"{search.candidates(0.04, 0.4).min():.12f}", search.candidates(-1.0, 1.0).size)
    0.300000000000 0
    """

    def __init__(
        self,
        error_rate: Callable[[ArrayLike], Array],
        distortion: Callable[[ArrayLike], Array],
        perception: Callable[[ArrayLike], Array],
        parabola: tuple[float, float],
        a_range: tuple[float, float],
        error_minima: Callable[[], Array] | None = None,
    ) -> None:
        self._error_rate, self._distortion, self._perception = error_rate, distortion, perception
        self._vertex, self._curvature = parabola
        self._range = a_range
        self._find_minima = self._scanned_minima if error_minima is None else error_minima

    @property
    def least_distortion(self) -> float:
        """Where in the range the distortion is least."""
        return min(max(self._vertex, self._range[0]), self._range[1])

    @property
    def least_perception(self) -> float:
        """Where in the range the perception is least."""
        return self._perception_sets.minimizer

    def candidates(self, max_distortion: float, max_perception: float) -> Array:
        """Ends of the feasible intervals and error minima inside; empty where nothing is feasible.

        The place of the least distortion is added: it settles ties where the error is flat.
        """
        allowed = self._distortion_interval(max_distortion)
        if allowed is None:
            return np.zeros(0)
        found: list[float] = []
        for start, end in self._perception_sets.intervals(max_perception):
            low, high = max(start, allowed[0]), min(end, allowed[1])
            if low <= high:
                inside = self._error_minima[(self._error_minima >= low) & (self._error_minima <= high)]
                found += [low, high, *inside.tolist(), min(max(self._vertex, low), high)]
        return np.asarray(found)

    def least_errors(self, max_distortion: Array, max_perception: float) -> Array:
        """Least error rate at many levels D, shape (n,), and one level P; NaN where nothing is feasible."""
        out = np.full(max_distortion.shape, np.nan)
        intervals = self._perception_sets.intervals(max_perception)
        if not intervals:
            return out
        ends = [self._distortion_interval(level) or (math.inf, -math.inf) for level in max_distortion.tolist()]
        allowed = np.array(ends).reshape(-1, 2)
        for start, end in intervals:
            low, high = np.maximum(start, allowed[:, 0]), np.minimum(end, allowed[:, 1])
            some = np.flatnonzero(low <= high)
            low, high = low[some], high[some]
            best = np.minimum(*(self._error_rate(places) for places in (low, high)))
            for place, error in zip(self._error_minima, self._least_known, strict=True):
                best = np.where((place >= low) & (place <= high), np.minimum(best, error), best)
            best = np.minimum(best, self._error_rate(np.clip(self._vertex, low, high)))
            out[some] = np.fmin(out[some], best)
        return out

    def least_distortion_within(self, max_perception: float) -> float:
        """Least distortion at a level P; inf where nothing is feasible."""
        intervals = np.array(self._perception_sets.intervals(max_perception)).reshape(-1, 2)
        return float(np.min(self._distortion(np.clip(self._vertex, *intervals.T)), initial=math.inf))

    @cached_property
    def _least_known(self) -> Array:
        return np.asarray(self._error_rate(self._error_minima))

    @cached_property
    def _least(self) -> float:
        return float(self._distortion(self._vertex))

    @cached_property
    def _perception_sets(self) -> SublevelSets:
        return SublevelSets(self._perception, scan(self._range, SCAN_POINTS))

    @cached_property
    def _error_minima(self) -> Array:
        return self._find_minima()

    def _scanned_minima(self) -> Array:
        """Where the error rate may be least inside an interval: local minima, and both sides of the jump at 0."""
        grid = scan(self._range, SCAN_POINTS)
        errors = np.asarray(self._error_rate(grid))
        found = [a for a in (-NEAR_ZERO, 0.0, NEAR_ZERO) if self._range[0] <= a <= self._range[1]]
        for k in 1 + np.flatnonzero((errors[1:-1] < errors[:-2]) & (errors[1:-1] <= errors[2:])):
            ends = (float(grid[k - 1]), float(grid[k + 1]))
            least = minimize_scalar(
                lambda t: float(self._error_rate(t)), bounds=ends, method="bounded", options={"xatol": 1e-9}
            )
            found += [float(grid[k]), float(least.x)]
        return np.asarray(found)

    def _distortion_interval(self, level: float) -> tuple[float, float] | None:
        """Interval of a with distortion <= level, None where there is none."""
        if math.isinf(level):
            return self._range if level > 0 else None
        room = level - self._least
        if room < -4 * EPS * max(1.0, abs(level)):  # less is rounding at the vertex
            return None
        root = math.sqrt(max(room, 0.0) / self._curvature)
        low, high = max(self._range[0], self._vertex - root), min(self._range[1], self._vertex + root)
        return (low, high) if low <= high else None
