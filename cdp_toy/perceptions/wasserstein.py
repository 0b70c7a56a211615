"""Wasserstein perceptions: what it costs to move the source law to the output law, letter by letter.

    W(p, q) = min { sum_ij plan_ij c_ij : plan >= 0 with marginals p and q }.

The ground cost c lives on the letters of a finite problem, so a perception is bound to them first. On points it is a
distance |x_i - x_j| or its square. A cell stands for the source conditioned to it, and c_ij over-estimates the cost of
moving one conditional law to the other, 0 on the diagonal: any plan then bounds the Wasserstein distance of the
continuous laws from above.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array, hstack

from cdp_toy.couplings import cheapest, monotone
from cdp_toy.errors import InputError
from cdp_toy.perceptions.base import DualTerm, Letters, Moves, Perception
from cdp_toy.validation import Array, Indices, Mask, refuse_if_too_large

__all__ = ["Wasserstein", "Wasserstein1", "Wasserstein2Squared"]

#: ground costs that are formed at a time
BLOCK = 1 << 22
#: prices tried in the search for the best one; a dozen or two suffice
MOST_PRICES = 200
EPS = float(np.finfo(np.float64).eps)


class _Line(NamedTuple):
    """Tangent of the dual at a price."""

    price: float
    value: float
    slope: float

    def at(self, price: float) -> float:
        """Value of the tangent at another price."""
        return self.value + self.slope * (price - self.price)


class Wasserstein(Perception):
    """Optimal transport between p and q; dual term max_(k >= 0) sum_i p_i min_j (v_j + k c_ij) - k P.

    A subclass tells the cost of pairs of letters.
    """

    slope_at_infinity = 0.0
    polyhedral = True

    def __init__(self, letters: Letters | None = None) -> None:
        self.letters = letters

    def bound_to(self, letters: Letters | None) -> Wasserstein:
        """Return this perception with the ground cost of some letters."""
        if letters is None:
            raise InputError(
                f"perception {self.name} needs x_values, the place of every letter; give x_values=(n_x,) or "
                '(n_x, dim), or use another perception such as "tv"'
            )
        order = np.lexsort(letters.places.T)
        twins = np.flatnonzero((np.diff(letters.places[order], axis=0) == 0).all(axis=1))
        if len(twins):
            one, other = sorted((int(order[twins[0]]), int(order[twins[0] + 1])))
            raise InputError(
                f"letters {one} and {other} of x lie at the same place, where perception {self.name} cannot tell them "
                "apart; merge them, or use another perception"
            )
        return type(self)(letters)

    @abstractmethod
    def pair_costs(self, rows: Indices, columns: Indices) -> Array:
        """Ground cost of pairs of letters, index arrays that broadcast against each other; 0 on the diagonal."""

    @property
    def bound(self) -> Letters:
        """The letters, refused where there are none yet."""
        if self.letters is None:
            raise InputError(f"perception {self.name} is not bound to letters yet; DiscreteProblem binds it")
        return self.letters

    @property
    def on_line(self) -> bool:
        """Letters on the line, where a monotone plan is the cheapest.

        Points: the costs are convex functions of the difference. Cells of means m and variances s: the costs
        (m_i - m_j)^2 + s_i + s_j off the diagonal satisfy c(i, j) + c(i+1, j+1) <= c(i, j+1) + c(i+1, j) for j = i + 1
        as soon as s_j <= (m_(j+1) - m_j)(m_j - m_(j-1)). This holds, for the neighbours' means lie beyond the ends
        a, b of the cell and s_j <= (b - m_j)(m_j - a) (Bhatia and Davis, 2000); all other cases are plain.
        """
        return bool(self.bound.places.shape[1] == 1)

    def value(self, p: Array, q: Array) -> float:
        """Least cost of moving the source law p to the output law q, arrays of shape (n,) [unit of the ground cost]."""
        if np.array_equal(p, q):
            return 0.0
        if self.on_line:
            order = np.argsort(self.bound.places[:, 0])
            i, j, mass = monotone(p[order], q[order])
            return float(mass @ self.pair_costs(order[i], order[j]))
        return self._plan_cost(p, q)

    def _plan_cost(self, p: Array, q: Array) -> float:
        """Cost of the cheapest plan between letters that are not in line."""
        rows, columns = np.flatnonzero(p > 0), np.flatnonzero(q > 0)
        cost = self.pair_costs(rows[:, None], columns)
        return float((cheapest(p[rows], q[columns], cost) * cost).sum())

    def _dual(self, p: Array, potential: Array, level: float) -> DualTerm:
        rows = np.flatnonzero(p > 0)
        best = np.flatnonzero(potential == potential.min())
        nearest = np.concatenate([self.pair_costs(b[:, None], best).min(axis=1) for b in _blocks(rows, len(best))])
        left = _Line(0.0, float(potential.min()), float(p[rows] @ nearest) - level)
        if left.slope <= 0:  # all mass may go to the best letters
            return DualTerm(left.value, 0.0)

        def tangent(price: float) -> _Line:
            value = spent = 0.0
            for block in _blocks(rows, len(potential)):
                cost = self.pair_costs(block[:, None], np.arange(len(potential)))
                choice = np.argmin(potential + price * cost, axis=1)
                paid = cost[np.arange(len(block)), choice]
                value += float(p[block] @ (potential[choice] + price * paid))
                spent += float(p[block] @ paid)
            return _Line(price, value - price * level, spent - level)

        size = float(np.abs(potential).max())
        right = tangent(float(np.ptp(potential)) / level)
        found = max(left, right, key=lambda line: line.value)
        if right.slope > 0:  # rounding of a level too small to see: every price is a bound
            return DualTerm(found.value, found.price)
        for step in range(MOST_PRICES):
            # where the tangents meet lies the most that the dual can be; now and then the middle, so that both move
            price = left.price + (right.at(left.price) - left.value) / (left.slope - right.slope)
            if left.at(price) - found.value <= 2 * EPS * size:
                break
            if step % 3 == 2:
                price = math.sqrt(left.price * right.price) if left.price > 0 else right.price / 16
            if not left.price < price < right.price:
                break
            line = tangent(price)
            found = max(found, line, key=lambda line: line.value)
            left, right = (line, right) if line.slope > 0 else (left, line)
        return DualTerm(found.value, found.price)

    def moves(self, p: Array) -> Moves:
        """Every move from a letter to another: its mass, at the ground cost, at most what the letter has."""
        n = len(p)
        refuse_if_too_large(
            1600.0 * n * n,
            f"plans between {n:,} letters under {self.name}",
            "Use a coarser grid or another perception.",
        )
        i, j = (k.ravel() for k in np.indices((n, n)))
        moved = (i != j) & (p[i] > 0)
        i, j = i[moved], j[moved]
        leaving = csr_array(coo_array((np.ones(len(i)), (i, np.arange(len(i)))), shape=(n, len(i))))
        return Moves(_moved(i, j, n), self.pair_costs(i, j), leaving)

    def conic_constraints(
        self, cp: Any, p: Array, seen: Mask, ratio: Any, outside: Any | None, level: float
    ) -> list[Any]:
        """Return a plan with its marginals and its cost."""
        letters = np.arange(len(p))
        plan = cp.Variable((len(p), len(p)), nonneg=True)
        arrived = cp.sum(plan, axis=0)
        constraints = [
            cp.sum(cp.multiply(self.pair_costs(letters[:, None], letters), plan)) <= level,
            cp.sum(plan, axis=1) == p,
            arrived[seen] == cp.multiply(p[seen], ratio),
        ]
        return constraints if outside is None else [*constraints, arrived[~seen] == outside]

    def __eq__(self, other: object) -> bool:
        """Equal when of one kind and bound to the same letters, or both to none."""
        if not (isinstance(other, Wasserstein) and type(self) is type(other)):
            return False
        if self.letters is None or other.letters is None:
            return self.letters is None and other.letters is None
        pairs = zip(self.letters, other.letters, strict=True)
        return bool(all(np.array_equal(one, two) for one, two in pairs))

    def __hash__(self) -> int:
        return hash(type(self))


class Wasserstein1(Wasserstein):
    """w1 = least mean distance E|X - Xhat| of a plan [units of x].

    On the line W1 of two ordered cells is the distance of their means, and W1 = sum |F_p - F_q| dm over the gaps dm
    between the letters. In the plane c_ij^2 = |m_i - m_j|^2 + s_i + s_j with the traces s of the cells' covariances.

    Examples
    --------
    >>> import numpy as np
    >>> w1 = Wasserstein1(Letters(np.array([[0.0], [1.0], [3.0]]), np.zeros(3)))
    >>> w1.value(np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.5, 0.5]))
    2.0
    """

    name = "w1"
    unit = "units of x"

    def pair_costs(self, rows: Indices, columns: Indices) -> Array:
        """Return |m_i - m_j| on the line, (|m_i - m_j|^2 + s_i + s_j)^(1/2) in the plane; 0 on the diagonal."""
        if self.on_line:
            return np.asarray(np.abs(self.bound.places[rows, 0] - self.bound.places[columns, 0]))
        return np.asarray(np.sqrt(_squared(self.bound, rows, columns)))

    def value(self, p: Array, q: Array) -> float:
        """Least mean distance of moving the source law p to the output law q, arrays of shape (n,) [units of x]."""
        if not self.on_line:
            return super().value(p, q)
        order = np.argsort(self.bound.places[:, 0])
        carried = np.abs(np.cumsum((p - q)[order]))[:-1]  # sums of differences: nothing cancels
        return float(carried @ np.diff(self.bound.places[order, 0]))

    def _plan_cost(self, p: Array, q: Array) -> float:
        # a metric: mass that may stay does, and only what is too much moves to where it lacks
        rows, columns = np.flatnonzero(p > q), np.flatnonzero(q > p)
        if not len(rows) or not len(columns):  # laws that differ in the rounding of their sums
            return 0.0
        cost = self.pair_costs(rows[:, None], columns)
        return float((cheapest((p - q)[rows], (q - p)[columns], cost) * cost).sum())

    def moves(self, p: Array) -> Moves:
        """On the line a flow in either direction across every gap between neighbours, at its width."""
        if not self.on_line:
            return super().moves(p)
        order = np.argsort(self.bound.places[:, 0])
        here, there = order[:-1], order[1:]
        right = _moved(here, there, len(p))
        return Moves(csr_array(hstack([right, -right])), np.tile(self.pair_costs(here, there), 2))


class Wasserstein2Squared(Wasserstein):
    """w2_squared = least mean squared distance E|X - Xhat|^2 of a plan [squared units of x].

    On cells c_ij = |m_i - m_j|^2 + s_i + s_j off the diagonal, with the variances s (traces in the plane) of the
    source in the cells: what an independent coupling of two cells costs.

    Examples
    --------
    >>> import numpy as np
    >>> w2_squared = Wasserstein2Squared(Letters(np.array([[0.0], [1.0], [3.0]]), np.zeros(3)))
    >>> w2_squared.value(np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.5, 0.5]))
    5.0
    """

    name = "w2_squared"
    unit = "squared units of x"

    def pair_costs(self, rows: Indices, columns: Indices) -> Array:
        """Return |m_i - m_j|^2 + s_i + s_j, 0 on the diagonal."""
        return _squared(self.bound, rows, columns)


def _squared(letters: Letters, rows: Indices, columns: Indices) -> Array:
    total = letters.variances[rows] + letters.variances[columns]
    for place in letters.places.T:
        total = total + (place[rows] - place[columns]) ** 2
    return np.where(rows == columns, 0.0, total)


def _moved(here: Indices, there: Indices, n: int) -> csr_array:
    """What moves of a unit from `here` to `there` do to a law on n letters."""
    count, ones = np.arange(len(here)), np.ones(len(here))
    places = np.concatenate([there, here]), np.tile(count, 2)
    return csr_array(coo_array((np.concatenate([ones, -ones]), places), shape=(n, len(here))))


def _blocks(rows: Indices, width: int) -> Iterator[Indices]:
    """Rows of as many at a time as give a table of BLOCK entries."""
    step = max(1, BLOCK // width)
    for start in range(0, len(rows), step):
        yield rows[start : start + step]
