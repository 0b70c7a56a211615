"""The potential that belongs to an output law, where letters and observations are on a line.

With the letters in order and costs that favour order, the pairs (i, j) of the monotone coupling of p_Y with a law q are
a chain; u_i + v_j = cost(i, j) on the chain gives the potential v that proves it to be the cheapest coupling with
this law. At the best law v_j is also price_perception * descent(q_j / p_j) up to a constant; descent is -f' of the
divergence. Fitting the one to the other gives prices; the bound they prove is less than the best one by what is of
second order in the distance of q from the best law. Mixtures of the potentials of solutions, which are not unique, lose
far more on a grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cdp_toy.costs import Cost
from cdp_toy.couplings import monotone
from cdp_toy.perceptions import FDivergence
from cdp_toy.validation import Array, Indices

__all__ = ["Chain", "coupled_chain"]

#: Pairs with less than this share of their row and of their column hold nothing: the chain is broken there.
LIGHT = 1e-6


@dataclass(frozen=True, eq=False)
class Chain:
    """Pairs of a monotone coupling in order; at `breaks` both row and column are new, and what v rises by is free.

    Attributes
    ----------
    rows, columns : integer arrays of shape (n,)
    breaks : integer array
        Places in the chain.
    n_letters : int
    """

    rows: Indices
    columns: Indices
    breaks: Indices
    n_letters: int

    @cached_property
    def used(self) -> Indices:
        """Letters that are used, in order."""
        return np.asarray(self.columns[np.append(True, self.columns[1:] != self.columns[:-1])])

    def potential(self, cost: Cost, jumps: Array | None = None) -> Array:
        """v with u_i + v_j = cost(i, j) along the chain, risen by `jumps` at the breaks; -inf at unused letters."""
        # v rises where the column is new, at the row of the new pair: at a break that is the least that it may rise by
        onward = np.flatnonzero(self.columns[1:] != self.columns[:-1]) + 1
        steps = np.zeros(len(self.rows))
        rows, here, before = self.rows[onward], self.columns[onward], self.columns[onward - 1]
        steps[onward] = cost.entries(rows, here) - cost.entries(rows, before)
        if jumps is not None:
            steps[self.breaks] += jumps
        out = np.full(self.n_letters, -np.inf if jumps is not None else 0.0)
        out[self.columns] = np.cumsum(steps)
        return out

    def slack(self, cost: Cost) -> Array:
        """What v may rise by at each break above the least."""
        low, high = self.breaks - 1, self.breaks
        i, k, j, m = self.rows[low], self.rows[high], self.columns[low], self.columns[high]
        return np.asarray(cost.entries(i, m) - cost.entries(i, j) - cost.entries(k, m) + cost.entries(k, j))

    def prices(
        self, objective: Cost, distance: Cost, perception: FDivergence, p: Array, q: Array
    ) -> tuple[float, Array]:
        """The price of distortion, and the jumps, for which v comes nearest to what the divergence asks for.

        min over price, price_perception, constant and jumps of the sum of
        p / f''(q/p) (v_objective + price v_distance + jumps - price_perception descent(q/p) - constant)^2,
        which is what the bound loses, up to third order and a factor.
        """
        none = np.zeros(len(self.breaks))
        letters = self.used[(p[self.used] > 0) & (q[self.used] > 0)]
        ratio = q[letters] / p[letters]
        weight = np.sqrt(p[letters] / perception.curvature(ratio))
        beyond = np.zeros((self.n_letters, len(self.breaks)))
        for b, place in enumerate(self.breaks):
            beyond[self.columns[place:], b] = 1.0
        table = np.column_stack(
            [self.potential(distance)[letters], -perception.descent(ratio), np.ones(len(letters)), beyond[letters]]
        )
        table = table * weight[:, None]
        sizes = np.linalg.norm(table, axis=0)
        sizes = np.where(sizes > 0, sizes, 1.0)
        found = np.linalg.lstsq(table / sizes, -self.potential(objective, none)[letters] * weight)[0] / sizes
        price = max(float(found[0]), 0.0)
        most = self.slack(objective) + price * self.slack(distance)
        return price, np.clip(found[3:], 0.0, np.maximum(most, 0.0))


def coupled_chain(p_y: Array, law: Array, rows: Indices, columns: Indices) -> Chain:
    """The chain of the monotone coupling of two laws.

    Parameters
    ----------
    p_y, law : arrays of shapes (n_y,) and (n_xhat,)
    rows, columns : integer arrays
        Observations and letters in order.
    """
    i, j, mass = monotone(p_y[rows], law[columns])
    i, j = rows[i], columns[j]
    heavy = mass > LIGHT * np.minimum(p_y[i], law[j])
    i, j = i[heavy], j[heavy]
    breaks = np.flatnonzero((np.diff(i) != 0) & (np.diff(j) != 0)) + 1
    return Chain(i, j, breaks, len(law))
