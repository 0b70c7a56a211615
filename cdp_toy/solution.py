"""Solution of a finite problem: a certified point with its restoration channel."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import csr_array

from cdp_toy.cells import Cells, ErasedOr, LetterCells, PlaneCells
from cdp_toy.errors import InputError
from cdp_toy.finite import DiscreteProblem
from cdp_toy.point import Point, Status
from cdp_toy.sources import LineSource, PlaneSource
from cdp_toy.validation import Array, Indices, finite_array, refuse_if_too_large

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
    state : object or None
        Where the solver may be taken up at other levels of the same problem; `warm_start` looks at it.
    """

    problem: DiscreteProblem
    sparse_channel: csr_array | None
    potential: Array | None
    solver: str
    note: str
    feasibility_tol: float
    state: object | None = field(default=None, repr=False)

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
        """Upper bound of the continuous C(D, P): the grid's on "cells" with exact integrals, None otherwise."""
        return self.upper_bound if self.problem.continuous_bound else None

    def sample(self, y: ArrayLike, rng: np.random.Generator) -> Array:
        """Draw restorations of observations.

        Parameters
        ----------
        y : array
            Observations on a grid, shape (...) on the line and (..., 2) in the plane, NaN for an erased one; letter
            indices for a problem of tables.
        rng : numpy.random.Generator

        Returns
        -------
        array of shape (...) or (..., 2)
            Real values on "cells" (drawn from the source within the chosen cell) and "points", else letter indices.
        """
        grid = self.problem.grid
        cells: Cells = LetterCells(self.problem.n_y) if grid is None else grid.y_cells
        values = np.asarray(y, dtype=np.float64) if isinstance(cells, ErasedOr) else finite_array(y, "y")
        if cells.dim == 2 and values.shape[-1:] != (2,):
            raise InputError(f"observations of this problem are pairs, shape (..., 2); got shape {values.shape}")
        shape = values.shape[: values.ndim - (cells.dim == 2)]
        rows = cells.locate(values.reshape(-1, 2) if cells.dim == 2 else values.ravel())
        letters = self._draw_letters(rows, rng)
        if grid is None or self.problem.kind == "tables":
            return np.asarray(letters.reshape(shape), dtype=np.float64)
        if self.problem.kind == "points":
            assert self.problem.x_values is not None
            out = self.problem.x_values[letters]
        elif isinstance(grid.source, PlaneSource):
            assert isinstance(grid.x_cells, PlaneCells)
            out = grid.source.sample_cells(grid.x_cells, letters, rng)
        else:
            assert isinstance(grid.source, LineSource)
            out = grid.source.sample_cells(grid.x_edges[letters], grid.x_edges[letters + 1], rng)[:, None]
        return out.reshape(shape if out.shape[1] == 1 else (*shape, out.shape[1]))

    def _draw_letters(self, rows: Indices, rng: np.random.Generator) -> Indices:
        """One output letter for each observation letter."""
        channel = self._kept_channel()
        letters = np.empty(len(rows), dtype=np.intp)
        for row in np.unique(rows):  # row by row: one table of (draws, letters) would be too large
            mine = rows == row
            start, stop = channel.indptr[row], channel.indptr[row + 1]
            cumulative = np.cumsum(channel.data[start:stop])
            draws = rng.random(int(mine.sum())) * cumulative[-1]
            place = np.minimum(np.searchsorted(cumulative, draws, side="right"), len(cumulative) - 1)
            letters[mine] = channel.indices[start:stop][place]
        return letters

    def summary(self) -> str:
        """Few lines of text with every number and its bound."""
        text = super().summary()
        if self.problem.kind == "cells" and self.status is not Status.INFEASIBLE:
            text += "\n  " + (
                "the upper bound also bounds the continuous problem; the lower bound is the grid's alone"
                if self.problem.continuous_bound
                else "both bounds are the grid's alone: integrals or class boundaries are estimated (error about "
                f"{self.problem.integration_error:.0e})"
            )
        return text + (f"\n  {self.note}" if self.note else "")

    def _kept_channel(self) -> csr_array:
        if self.sparse_channel is None:
            raise InputError(f"this point has no channel: {self.status.value}")
        return self.sparse_channel
