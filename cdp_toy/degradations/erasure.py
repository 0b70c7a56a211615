"""Erasure: now and then nothing is seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import ClassVar

import numpy as np

from cdp_toy.cells import Bounds, Cells, ErasedOr
from cdp_toy.degradations.base import Degradation
from cdp_toy.degradations.gaussian import Identity
from cdp_toy.errors import InputError
from cdp_toy.observation import Observation, whole
from cdp_toy.sources import CellIntegrals, LineSource, PlaneSource, Source, TableSource
from cdp_toy.validation import Array

__all__ = ["Erasure"]


@dataclass(frozen=True, eq=False)
class Erasure(Degradation):
    """With some probability nothing is seen (Y is a letter of its own, NaN in samples), else what `otherwise` shows.

    Parameters
    ----------
    probability : float in [0, 1]
    otherwise : Degradation
        What an observation that is not erased went through; the identity when left out.

    Examples
    --------
    >>> Erasure(0.5).sample(np.array([1.0, 2.0, 3.0]), np.random.default_rng(1)).tolist()
    [1.0, nan, nan]
    """

    kind = "erasure"
    nested: ClassVar[dict[str, str]] = {"otherwise": "degradation"}

    probability: float
    otherwise: Degradation = field(default_factory=Identity)

    def __post_init__(self) -> None:
        number = isinstance(self.probability, Real) and not isinstance(self.probability, bool)
        if not (number and 0 <= self.probability <= 1):
            raise InputError(f"the probability of erasure must be a number in [0, 1], got {self.probability!r}")
        if not isinstance(self.otherwise, Degradation):
            raise InputError(f"otherwise must be a degradation, got {type(self.otherwise).__name__}")
        object.__setattr__(self, "probability", float(self.probability))

    def needs_cells(self, source: Source) -> bool:
        """As what is seen otherwise."""
        return self.otherwise.needs_cells(source)

    def observe(
        self, source: LineSource | PlaneSource, count: object, class_cost: Array, bounds: Bounds | None = None
    ) -> Observation:
        """The cells of what is seen otherwise, and one more that tells nothing of X."""
        seen = self.otherwise.observe(source, count, class_cost, bounds)

        def integrals(centre: Array) -> CellIntegrals:
            kept, lost = seen.integrals(centre[:-1]), whole(source, centre[-1])
            return CellIntegrals(
                *(
                    np.concatenate([(1 - self.probability) * a, self.probability * b], axis=1)
                    for a, b in zip(kept, lost, strict=True)
                )
            )

        return Observation(ErasedOr(seen.cells), integrals)

    def transition(self, x_values: Array, cells: Cells) -> Array:
        """P(Y in cell | x), the last cell being the erasure."""
        if not isinstance(cells, ErasedOr):
            raise self._misfit("cells without one for the erasure")
        return self._with_erasure(self.otherwise.transition(x_values, cells.seen))

    def of_letters(self, source: TableSource, count: object) -> tuple[Array, Cells]:
        """The table of what is seen otherwise, with one more column."""
        table, cells = self.otherwise.of_letters(source, count)
        return self._with_erasure(table), ErasedOr(cells)

    def sample(self, x: Array, rng: np.random.Generator) -> Array:
        """Draw Y for each X; an erased one is NaN."""
        y = np.array(self.otherwise.sample(x, rng), dtype=np.float64)
        y[rng.random(len(y)) < self.probability] = np.nan
        return y

    def _with_erasure(self, table: Array) -> Array:
        return np.hstack([(1 - self.probability) * table, np.full((len(table), 1), self.probability)])
