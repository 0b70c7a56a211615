"""Solution of a finite problem: a certified point with its restoration channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from cdp_toy.errors import InputError
from cdp_toy.finite import DiscreteProblem
from cdp_toy.point import Point, Status
from cdp_toy.validation import Array, finite_array, refuse_if_too_large

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["Solution"]


@dataclass(frozen=True, eq=False)
class Solution(Point):
    """A point of scope "grid" with the channel that attains it and the potential that proves it.

    Attributes
    ----------
    problem : DiscreteProblem
    sparse_channel : scipy.sparse.csr_array of shape (n_y, n_xhat) or None
        Restoration channel W(xhat | y).
    potential : array of shape (n_xhat,) or None
        v(xhat) of the lower bound.
    solver : str
        Where the channel came from.
    note : str
        Which structural case applied, or why a point is undecided.
    feasibility_tol : float
        Violations of a level up to this count as feasible.
    """

    problem: DiscreteProblem
    sparse_channel: csr_array | None
    potential: Array | None
    solver: str
    note: str
    feasibility_tol: float

    @property
    def channel(self) -> Array:
        """Dense channel W, rows sum to one; refused with an estimate where it would not fit."""
        kept = self._kept_channel()
        refuse_if_too_large(8.0 * kept.shape[0] * kept.shape[1], "the dense channel", "Use sparse_channel.")
        return np.asarray(kept.toarray())

    @property
    def output_law(self) -> Array:
        """q(xhat) = sum_y p_Y(y) W(xhat|y), shape (n_xhat,)."""
        return np.asarray(self.problem.p_y @ self._kept_channel()).ravel()

    @property
    def continuous_upper_bound(self) -> float | None:
        """Upper bound of the continuous C(D, P): the grid's on "cells", None otherwise."""
        return self.upper_bound if self.problem.kind == "cells" else None

    def sample(self, y: ArrayLike, rng: np.random.Generator) -> Array:
        """Draw restorations of observations.

        Parameters
        ----------
        y : array
            Real observations on a grid; letter indices for a problem of tables.
        rng : numpy.random.Generator

        Returns
        -------
        array of the same shape
            Real values on "cells" (drawn from the source within the chosen cell) and "points", else letter indices.
        """
        cumulative = np.cumsum(self.channel, axis=1)
        values = finite_array(y, "y")
        grid = self.problem.grid
        if grid is not None:
            rows = np.clip(np.searchsorted(grid.y_edges, values.ravel(), side="right") - 1, 0, self.problem.n_y - 1)
        else:
            rows = values.ravel().astype(int)
            if np.any((rows != values.ravel()) | (rows < 0) | (rows >= self.problem.n_y)):
                raise InputError(f"observations of this problem are letters 0 .. {self.problem.n_y - 1}")
        draws = rng.random(len(rows)) * cumulative[rows, -1]
        letters = np.empty(len(rows), dtype=int)
        for row in np.unique(rows):  # row by row: one table of (draws, letters) would be too large
            mine = rows == row
            letters[mine] = np.searchsorted(cumulative[row], draws[mine], side="right")
        letters = np.minimum(letters, self.problem.n_x - 1)
        if self.problem.kind == "cells" and grid is not None:
            out = grid.source.sample_cells(grid.x_edges[letters], grid.x_edges[letters + 1], rng)
        elif self.problem.kind == "points" and self.problem.x_values is not None:
            out = self.problem.x_values[letters, 0]
        else:
            out = letters
        return np.asarray(out).reshape(values.shape)

    def summary(self) -> str:
        """Few lines of text with every number and its bound."""
        text = super().summary()
        if self.problem.kind == "cells" and self.status is not Status.INFEASIBLE:
            text += "\n  the upper bound also bounds the continuous problem; the lower bound is the grid's alone"
        return text + (f"\n  {self.note}" if self.note else "")

    def _kept_channel(self) -> csr_array:
        if self.sparse_channel is None:
            raise InputError(f"this point has no channel: {self.status.value}")
        return self.sparse_channel
