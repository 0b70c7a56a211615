"""Minima of reduced costs over all pairs, without a table of them: what certificates and column generation ask for.

For a cost c of pairs (y, xhat), a potential v and row offsets u these are min_j [c_ij - v_j], min_i [c_ij - u_i] and
the few best letters of every observation in every group of letters. Low-rank costs go through `kernels`; any other
cost, and every cost without numba, through blocks of rows.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cdp_toy.costs import ClassCost, Cost, PricedCost, SquaredErrorCost
from cdp_toy.kernels import LowRank, compiled
from cdp_toy.validation import Array, Indices, Mask

__all__ = ["Pricing"]

#: Numbers per block of rows: 2 MB, so that the few passes over a block stay within a processor's cache.
BLOCK = 1 << 18


@dataclass(frozen=True, eq=False)
class Pricing:
    """A cost of pairs, some of them forbidden.

    Attributes
    ----------
    cost : Cost
    reachable : bool array of shape (n_xhat,)
        Letters that may receive mass.
    allowed : bool array of shape (n_y, G) or None
        Profiles that each observation may be restored to.
    which : integer array of shape (n_xhat,)
        Profile of every letter.
    """

    cost: Cost
    reachable: Mask
    allowed: Mask | None
    which: Indices

    def row_minima(self, potential: Array) -> Array:
        """min_j [c_ij - v_j], shape (n_y,); inf for rows without an allowed pair."""
        loops, arrays = compiled(), self._low_rank
        v = np.where(self.reachable, potential, -np.inf)
        if loops is not None and arrays is not None:
            return np.asarray(loops.row_minima(*arrays, v))
        return np.concatenate([(block - v).min(axis=1) for _, block in self._blocks()])

    def column_least(self, offset: Array) -> Array:
        """min_i [c_ij - u_i], shape (n_xhat,); inf for letters that no observation may be restored to."""
        loops, arrays = compiled(), self._low_rank
        if loops is None or arrays is None:
            return self.column_minima(offset)[0][:, 0]
        return np.where(self.reachable, loops.column_least(*arrays, offset), np.inf)

    def column_minima(self, offset: Array, count: int = 1) -> tuple[Array, Indices]:
        """The `count` least c_ij - u_i of every letter and the observations that attain them.

        Returns
        -------
        values, observations : arrays of shape (n_xhat, count)
            Sorted; inf and -1 where fewer pairs are allowed.
        """
        loops, arrays = compiled(), self._low_rank
        n_x = len(self.which)
        if loops is not None and arrays is not None:
            values, places = loops.column_minima(*arrays, offset, count)
        else:
            values, places = np.full((n_x, count), np.inf), np.full((n_x, count), -1, dtype=np.intp)
            for rows, block in self._blocks():
                reduced = np.concatenate([values, (block - offset[rows, None]).T], axis=1)
                index = np.arange(rows.start, rows.stop)
                known = np.concatenate([places, np.broadcast_to(index, (n_x, len(index)))], axis=1)
                if count == 1:
                    order = reduced.argmin(axis=1)[:, None]
                else:
                    order = np.argsort(reduced, axis=1, kind="stable")[:, :count]
                values, places = np.take_along_axis(reduced, order, axis=1), np.take_along_axis(known, order, axis=1)
        values = np.where(self.reachable[:, None], values, np.inf)
        return values, np.where(np.isfinite(values), places, -1)

    def nearest(self, potential: Array, group: Indices, count: int) -> tuple[Array, Indices]:
        """The `count` least c_ij - v_j of every row in every group of letters, and their letters.

        Returns
        -------
        values, letters : arrays of shape (n_y, n_groups, count)
            Sorted; inf and -1 where a group has fewer allowed letters.
        """
        loops, arrays = compiled(), self._low_rank
        n_groups = int(group.max()) + 1
        v = np.where(self.reachable, potential, -np.inf)
        if loops is not None and arrays is not None:
            values, letters = loops.nearest(*arrays, v, group, n_groups, count)
            return values, letters
        members = [np.flatnonzero(group == g) for g in range(n_groups)]
        values = np.full((self.cost.shape[0], n_groups, count), np.inf)
        letters = np.full(values.shape, -1, dtype=np.intp)
        for rows, block in self._blocks():
            reduced = block - v
            for g, columns in enumerate(members):
                part = reduced[:, columns]
                few = min(count, len(columns))
                place = np.argpartition(part, few - 1, axis=1)[:, :few] if few < len(columns) else None
                chosen = part if place is None else np.take_along_axis(part, place, axis=1)
                order = np.argsort(chosen, axis=1, kind="stable")
                values[rows, g, :few] = np.take_along_axis(chosen, order, axis=1)
                letters[rows, g, :few] = columns[order if place is None else np.take_along_axis(place, order, axis=1)]
        letters[~np.isfinite(values)] = -1
        return values, letters

    def block(self, rows: slice | Indices, columns: slice | Indices) -> Array:
        """Costs of some rows and columns; inf off the support."""
        out = np.array(self.cost.block(rows, columns), dtype=np.float64)
        if self.allowed is not None:
            out[~self.allowed[rows][:, self.which[columns]]] = np.inf
        out[:, ~self.reachable[columns]] = np.inf
        return out

    def _blocks(self) -> Iterator[tuple[slice, Array]]:
        n_y, n_x = self.cost.shape
        size = max(1, BLOCK // n_x)
        for start in range(0, n_y, size):
            rows = slice(start, min(start + size, n_y))
            yield rows, self.block(rows, slice(None))

    @cached_property
    def _low_rank(self) -> LowRank | None:
        """Arrays for the compiled loops, None for a cost without that structure."""
        table, square, weight = _parts(self.cost)
        if (table is None and square is None) or weight is None:
            return None
        n_y, n_x = self.cost.shape
        which: Indices = np.zeros(n_x, dtype=np.intp)
        if table is not None or self.allowed is not None:
            which = self.which if table is None else table.profiles[1]
        costs = np.zeros((n_y, int(which.max()) + 1))
        if table is not None:
            costs = costs + table.profile_cost
        if self.allowed is not None:
            costs = np.where(self.allowed, costs, np.inf)
        if square is None:
            nothing = (np.zeros((n_y, 0)), np.zeros(n_y), np.zeros((n_x, 0)), np.zeros(n_x))
            return LowRank(costs, which, 0.0, *nothing)
        return LowRank(
            np.ascontiguousarray(costs),
            which,
            weight,
            *(_writable(table) for table in (square.mean_y, square.variance_y, square.mean_x, square.variance_x)),
        )


def _writable(table: Array) -> Array:
    """A table that loops need not be compiled anew for."""
    return np.require(table, np.float64, ["C", "W"])


def _parts(cost: Cost) -> tuple[ClassCost | None, SquaredErrorCost | None, float | None]:
    """Class cost, squared error and its weight that a cost is made of; a weight of None for any other cost."""
    if isinstance(cost, ClassCost):
        return cost, None, 0.0
    if isinstance(cost, SquaredErrorCost):
        return None, cost, 1.0
    if isinstance(cost, PricedCost):
        base, extra = _parts(cost.base), _parts(cost.extra)
        if base[2] is not None and extra[2] is not None:
            if base[1] is None and extra[0] is None:  # class cost + price * squared error
                return base[0], extra[1], cost.price * extra[2]
            if base[1] is not None and extra[1] is base[1] and extra[0] is None:  # a price on top of a price
                return base[0], base[1], base[2] + cost.price * extra[2]
    return None, None, None
