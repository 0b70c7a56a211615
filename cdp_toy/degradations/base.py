"""What a degradation p(y | x) offers: cells of Y with what they tell of X, transitions of letters, draws."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from cdp_toy.cells import Bounds, Cells
from cdp_toy.errors import InputError
from cdp_toy.observation import Observation
from cdp_toy.pieces import Piece
from cdp_toy.sources import LineSource, PlaneSource, Source, TableSource
from cdp_toy.validation import Array

__all__ = ["Degradation"]


class Degradation(Piece, ABC):
    """What is seen of X."""

    role = "degradation"

    def needs_cells(self, source: Source) -> bool:
        """Whether Y of this source is cut into cells, or else finite by itself, so that a count makes no sense."""
        return True

    @abstractmethod
    def observe(
        self, source: LineSource | PlaneSource, count: object, class_cost: Array, bounds: Bounds | None = None
    ) -> Observation:
        """Cells of Y with the integrals of X over them, for a continuous source.

        Parameters
        ----------
        source : LineSource or PlaneSource
        count : int or pair of int
            Cells along each coordinate of Y; not looked at where Y is finite by itself.
        class_cost : array of shape (K, K)
            Tells the Bayes boundaries of Y, which are put on edges where possible.
        bounds : (low, high), optional
            Of the grid of x; on the line an observation without noise is cut between the same bounds.

        Raises
        ------
        InputError
            When the source has no exact integrals for this degradation; the message names the remedy.
        """

    @abstractmethod
    def transition(self, x_values: Array, cells: Cells) -> Array:
        """P(Y in cell | x) for letters at `x_values` of shape (n_x,) or (n_x, dim), shape (n_x, cells.n)."""

    @abstractmethod
    def of_letters(self, source: TableSource, count: object) -> tuple[Array, Cells]:
        """p(y | x) for every letter of a finite source, shape (n_x, n_y), and the cells of Y."""

    @abstractmethod
    def sample(self, x: Array, rng: np.random.Generator) -> Array:
        """Draw one Y for each value of X of shape (N,) or (N, dim) (letter indices for a finite source)."""

    def _misfit(self, where: str) -> InputError:
        return InputError(f"a {type(self).__name__} does not apply to {where}")
