"""The best pair of parameters under two levels, as far as a lattice and a local search find it."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq, minimize

from cdp_toy.validation import Array, Mask

__all__ = ["Found", "LatticeSearch", "meets"]

#: A level counts as met up to this, relative where it exceeds 1: rounding of a value that was made to equal it.
SLACK = 1e-13
#: Local searches per pair of levels, from points of the lattice that lie this many of its steps apart.
STARTS, APART = 2, 4
#: Iterations of a local search.
ITERATIONS = 60

Curve = Callable[[Array], Array]


class Found(NamedTuple):
    """A pair of parameters and its three values: objective and the two constrained ones."""

    pair: tuple[float, float]
    values: tuple[float, float, float]


class LatticeSearch:
    """Least objective over pairs in a square whose two constraints stay below levels; the best that is found.

    All curves are tabulated on a lattice once. For a pair of levels a local search (SLSQP) starts from the best
    feasible points of the table; what it returns is drawn back along a line until its values meet the levels. So every
    answer is feasible and none is proven to be the best: it is an upper bound of the least objective.

    Parameters
    ----------
    objective, first, second : functions
        Take pairs of shape (N, 2), return (N,); `second` may be inf.
    axis : array of shape (n,)
        Increasing; the lattice is axis x axis.
    special : array of shape (S, 2)
        Pairs that are tabulated beside the lattice.
    step : float
        Of the central differences for slopes; a local search ends when it gains less than about its square.

    Examples
    --------
    >>> search = LatticeSearch(
    ...     lambda t: t[:, 0] + t[:, 1],
    ...     lambda t: (t**2).sum(axis=1),
    ...     lambda t: np.abs(t[:, 0]),
    ...     np.linspace(-2, 2, 9),
    ...     np.zeros((0, 2)),
    ... )
    >>> best = search.best(1.0, math.inf)
    >>> print(f"{best.values[0]:.9f} {best.values[1] <= 1 + 1e-12}")
    -1.414213562 True
    >>> search.best(-1.0, math.inf) is None
    True
    """

    def __init__(
        self, objective: Curve, first: Curve, second: Curve, axis: Array, special: Array, step: float = 1e-5
    ) -> None:
        self._curves = (objective, first, second)
        self._bounds = (float(axis[0]), float(axis[-1]))
        self._apart = APART * (axis[-1] - axis[0]) / (len(axis) - 1)
        self._step = step
        lattice = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1).reshape(-1, 2)
        self.pairs = np.concatenate([special, lattice])
        self.values = self._evaluated(self.pairs)

    def _evaluated(self, pairs: Array) -> Array:
        return np.stack([curve(pairs) for curve in self._curves], axis=-1)

    def best(self, first: float, second: float, extra: Array | None = None) -> Found | None:
        """Best pair found with both constraints at most `first` and `second`, None where none was found.

        `extra` pairs, shape (E, 2), take part as candidates and starts. Among candidates of equal objective (to 1e-15)
        the one with the least of the first constraint is returned.
        """
        pairs, values = self.pairs, self.values
        if extra is not None and len(extra):
            pairs, values = np.concatenate([extra, pairs]), np.concatenate([self._evaluated(extra), values])
        inside = np.flatnonzero(meets(values, first, second))
        if not len(inside):
            rescued = self._rescued(pairs, values, first, second)
            if rescued is None:
                return None
            pairs, values = rescued[0][None], rescued[1][None]
            inside = np.zeros(1, dtype=np.intp)
        candidates = [(pairs[k], values[k]) for k in inside]
        order = inside[np.lexsort((values[inside, 1], values[inside, 0]))]
        starts: list[Array] = []
        for k in order:
            if len(starts) < STARTS and all(np.abs(pairs[k] - s).max() >= self._apart for s in starts):
                starts.append(pairs[k])
        for start in starts:
            end = self._descended(0, start, (first, second))
            drawn = self._drawn_back(start, end, first, second)
            if drawn is not None:
                candidates.append(drawn)
        # where the objective is flat, or flat in one parameter, the least of the first constraint settles the tie
        best = np.asarray(_least(candidates, 0).pair)
        lowest = pairs[np.argmin(values[:, 1])]
        ends = [np.array([lowest[0], best[1]]), np.array([best[0], lowest[1]])]
        ends.append(self._descended(1, best, (math.inf, second)))
        drawn_back = (self._drawn_back(best, end, first, second) for end in ends)
        return _least([*candidates, *(found for found in drawn_back if found is not None)], 0)

    def least(self, which: int, extra: Array | None = None) -> Found:
        """Least value found of curve 0, 1 or 2, without constraints."""
        pairs, values = self.pairs, self.values
        if extra is not None and len(extra):
            pairs, values = np.concatenate([extra, pairs]), np.concatenate([self._evaluated(extra), values])
        start = int(np.argmin(values[:, which]))
        candidates = [(pairs[start], values[start])]
        if math.isfinite(values[start, which]):
            end = self._descended(which, pairs[start], (math.inf, math.inf))
            candidates.append((end, self._evaluated(end[None])[0]))
        return _least(candidates, which)

    def _rescued(self, pairs: Array, values: Array, first: float, second: float) -> tuple[Array, Array] | None:
        """A feasible pair where the table has none: the least of the second constraint under the first."""
        allowed = np.flatnonzero((values[:, 1] <= first + _slack(first)) & np.isfinite(values[:, 2]))
        if not len(allowed):
            return None
        start = pairs[allowed[np.argmin(values[allowed, 2])]]
        end = self._descended(2, start, (first, math.inf))
        drawn = self._drawn_back(start, end, first, math.inf)
        return drawn if drawn is not None and meets(drawn[1][None], first, second)[0] else None

    def _descended(self, which: int, start: Array, levels: tuple[float, float]) -> Array:
        """End of a local search for the least of a curve, clipped to the square."""

        def value(t: Array) -> float:
            return float(bounded(self._curves[which](t[None]), 0.0)[0])

        def slope(curve: Callable[[Array], Array]) -> Callable[[Array], Array]:
            shifts = self._step * np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])

            def of(t: Array) -> Array:
                around = curve(t + shifts)
                return np.array([around[0] - around[1], around[2] - around[3]]) / (2 * self._step)

            return of

        constraints = []
        for curve, level in zip(self._curves[1:], levels, strict=True):
            if math.isfinite(level):

                def room(t: Array, curve: Curve = curve, level: float = level) -> Array:
                    return -bounded(curve(np.atleast_2d(t)), level)

                constraints.append({"type": "ineq", "fun": room, "jac": slope(room)})
        with warnings.catch_warnings():  # a step may leave the bounds by rounding, which SciPy mends and reports
            warnings.filterwarnings("ignore", message="Values in x were outside bounds")
            found = minimize(
                value,
                start,
                jac=slope(lambda t: bounded(self._curves[which](t), 0.0)),
                bounds=[self._bounds] * 2,
                constraints=constraints,
                method="SLSQP",
                options={"maxiter": ITERATIONS, "ftol": 0.01 * self._step**2},
            )
        end = np.clip(np.asarray(found.x, dtype=np.float64), *self._bounds)
        return end if np.all(np.isfinite(end)) else start

    def _drawn_back(self, start: Array, end: Array, first: float, second: float) -> tuple[Array, Array] | None:
        """The pair nearest to `end` on the way from the feasible `start` that meets both levels."""

        def at(share: float) -> tuple[Array, Array]:
            pair = start + share * (end - start)
            return pair, self._evaluated(pair[None])[0]

        def excess(share: float) -> float:
            values = at(share)[1]
            return max(float(bounded(v, level)) for v, level in zip(values[1:], (first, second), strict=True))

        found = at(1.0)
        if meets(found[1][None], first, second)[0]:
            return found
        low = 0.5 if excess(0.5) < 0 else 0.0
        if not excess(low) < 0:
            return None
        share = float(brentq(excess, low, 1.0, xtol=1e-15, rtol=1e-15))
        for back in (0.0, 1e-15, 1e-13, 1e-11, 1e-9, 1e-6):
            found = at(share * (1 - back))
            if meets(found[1][None], first, second)[0]:
                return found
        return None


def _slack(level: float) -> float:
    return SLACK * max(1.0, abs(level)) if math.isfinite(level) else 0.0


def meets(values: Array, first: float, second: float) -> Mask:
    """Which rows of values (N, 3) meet both levels, to 1e-13.

    >>> meets(np.array([[0.0, 1.0, 2.0], [0.0, 1.0, 3.0]]), 1.0, 2.5).tolist()
    [True, False]
    """
    return (values[:, 1] <= first + _slack(first)) & (values[:, 2] <= second + _slack(second))


def bounded(values: Array, level: float) -> Array:
    """Excess over a level on a scale that ends at 1, so that an infinite value is an ordinary one."""
    if math.isinf(level):
        return np.full(np.shape(values), -1.0 if level > 0 else 1.0)
    with np.errstate(invalid="ignore"):
        share = (values - level) / (1 + np.abs(values) + abs(level))
    return np.where(np.isinf(values), 1.0, share)


def _least(candidates: list[tuple[Array, Array]], which: int) -> Found:
    """Least of the curve `which` among candidates; ties go to the least first constraint."""
    values = np.array([v for _, v in candidates])
    equal = np.flatnonzero(values[:, which] <= values[:, which].min() + 1e-15)
    best = equal[np.argmin(values[equal, 1])]
    pair, numbers = candidates[int(best)][0].tolist(), values[best].tolist()
    return Found((pair[0], pair[1]), (numbers[0], numbers[1], numbers[2]))
