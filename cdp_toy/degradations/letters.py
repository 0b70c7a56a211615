"""Degradations whose output is finite: tables, deterministic maps, the uniform quantizer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.cells import Bounds, Cells, LetterCells, LineCells, PlaneCells
from cdp_toy.degradations.base import Degradation
from cdp_toy.errors import InputError
from cdp_toy.observation import Observation, in_plane, line_cells, on_line
from cdp_toy.sources import LineSource, PlaneSource, Source, TableSource
from cdp_toy.validation import Array, Indices, check_probabilities, class_indices, finite_array, refuse_if_too_large

__all__ = ["DeterministicMap", "TableDegradation", "UniformQuantizer", "binary_symmetric"]

#: finer quantizers cannot be told from none
MOST_LEVELS = 1_000_000


@dataclass(frozen=True, eq=False)
class TableDegradation(Degradation):
    """Finite degradation: row x of `p_y_given_x`, shape (n_x, n_y), is the law of Y given X = x.

    >>> TableDegradation([[0.9, 0.1], [0.0, 1.0]]).p_y_given_x
    array([[0.9, 0.1],
           [0. , 1. ]])
    """

    kind = "table"

    p_y_given_x: Array

    def __init__(self, p_y_given_x: ArrayLike) -> None:
        object.__setattr__(self, "p_y_given_x", check_probabilities(p_y_given_x, "p_y_given_x", 2))

    def needs_cells(self, source: Source) -> bool:
        """Y is finite."""
        return False

    def observe(
        self, source: LineSource | PlaneSource, count: object, class_cost: Array, bounds: Bounds | None = None
    ) -> Observation:
        """Refused: the rows of a table are letters."""
        raise InputError("a degradation table needs a finite source; use AdditiveGaussian or Identity on the line")

    def transition(self, x_values: Array, cells: Cells) -> Array:
        """The table itself, for as many letters as it has rows."""
        if len(x_values) != len(self.p_y_given_x):
            raise InputError(f"p_y_given_x has {len(self.p_y_given_x)} rows for {len(x_values)} letters")
        return self.p_y_given_x

    def of_letters(self, source: TableSource, count: object) -> tuple[Array, Cells]:
        """The table itself."""
        _no_count(count)
        return self.p_y_given_x, LetterCells(self.p_y_given_x.shape[1])

    def sample(self, x: Array, rng: np.random.Generator) -> Array:
        """Draw a letter of Y for each letter of X."""
        cumulative = np.cumsum(self.p_y_given_x, axis=1)[np.asarray(x).astype(int)]
        drawn = (rng.random(len(cumulative))[:, None] * cumulative[:, -1:] >= cumulative).sum(axis=1)
        return np.asarray(np.minimum(drawn, cumulative.shape[1] - 1), dtype=np.float64)


def binary_symmetric(crossover: float) -> TableDegradation:
    """Binary symmetric channel that flips its input with probability `crossover`.

    >>> binary_symmetric(0.1).p_y_given_x
    array([[0.9, 0.1],
           [0.1, 0.9]])
    """
    if not (isinstance(crossover, Real) and 0 <= crossover <= 1):
        raise InputError(f"crossover must be a number in [0, 1], got {crossover!r}")
    return TableDegradation([[1 - crossover, crossover], [crossover, 1 - crossover]])


@dataclass(frozen=True, eq=False)
class DeterministicMap(Degradation):
    """Y = letters[k], a deterministic map given as a table.

    Parameters
    ----------
    letters : sequence of whole numbers from 0 on
        Letter of Y for each letter of a finite source, or for each interval between the thresholds on the line; letters
        may repeat.
    thresholds : increasing sequence, optional
        Ends of the intervals [units of x], one less than letters; a value at a threshold belongs to the right. Left out
        for a finite source.

    Examples
    --------
    >>> magnitude = DeterministicMap([1, 0, 1], thresholds=[-1.0, 1.0])  # is |X| large?
    >>> magnitude.sample(np.array([-3.0, 0.2, 1.0]), None).tolist()
    [1.0, 0.0, 1.0]
    """

    kind = "deterministic_map"

    letters: tuple[int, ...]
    thresholds: tuple[float, ...] | None = None

    def __init__(self, letters: Sequence[int], thresholds: Sequence[float] | None = None) -> None:
        values = class_indices(letters, "letters of a deterministic map")
        if not values or min(values) < 0:
            raise InputError(f"letters of a deterministic map must be whole numbers from 0 on; got {letters!r}")
        used = set(values)
        unused = next((k for k in range(max(values)) if k not in used), None)
        if unused is not None:
            raise InputError(f"letter {unused} of y is never used by the map; number the letters 0, 1, 2, ...")
        object.__setattr__(self, "letters", values)
        object.__setattr__(self, "thresholds", None)
        if thresholds is not None:
            ends = finite_array(thresholds, "thresholds", 1)
            if np.any(np.diff(ends) <= 0):
                raise InputError(f"thresholds must increase strictly, got {ends.tolist()}")
            if len(values) != len(ends) + 1:
                raise InputError(f"{len(ends)} thresholds need {len(ends) + 1} letters, got {len(values)}")
            object.__setattr__(self, "thresholds", tuple(ends.tolist()))

    def needs_cells(self, source: Source) -> bool:
        """Y is finite."""
        return False

    def _cells(self) -> LineCells:
        if self.thresholds is None:
            raise InputError("a deterministic map of a continuous source needs thresholds, the ends of its intervals")
        return LineCells(np.array([-np.inf, *self.thresholds, np.inf]), np.array(self.letters))

    def observe(
        self, source: LineSource | PlaneSource, count: object, class_cost: Array, bounds: Bounds | None = None
    ) -> Observation:
        """Sums over the intervals that share a letter."""
        if not isinstance(source, LineSource):
            raise self._misfit("a source in the plane; use UniformQuantizer, or a finite source")
        seen = on_line(source, 0.0, self._cells())
        return Observation(LetterCells(max(self.letters) + 1), seen.integrals)

    def transition(self, x_values: Array, cells: Cells) -> Array:
        """One for the letter of each x."""
        return _one_hot(self._cells().locate(np.asarray(x_values).ravel()), cells.n)

    def of_letters(self, source: TableSource, count: object) -> tuple[Array, Cells]:
        """One for the letter of each x."""
        _no_count(count)
        n_y = max(self.letters) + 1
        if self.thresholds is not None:
            if source.dim != 1 or source.x_values is None:
                raise InputError("thresholds of a deterministic map need one-dimensional x_values in the source")
            return self.transition(source.x_values, LetterCells(n_y)), LetterCells(n_y)
        if len(self.letters) != source.n_x:
            raise InputError(f"the map names {len(self.letters)} letters, the source has {source.n_x}")
        return _one_hot(np.array(self.letters), n_y), LetterCells(n_y)

    def sample(self, x: Array, rng: np.random.Generator) -> Array:
        """The letter of each x, as a float."""
        if self.thresholds is None:
            return np.take(np.asarray(self.letters, dtype=np.float64), np.asarray(x).astype(int))
        return np.asarray(self._cells().locate(np.asarray(x)), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class UniformQuantizer(Degradation):
    """Y is the middle of the bin that X falls into: `levels` equal bins on [low, high], the outer two unbounded.

    In the plane both coordinates are quantized alike.

    Parameters
    ----------
    low, high : float
        Ends of the range [units of x]; values beyond saturate.
    levels : int
        Number of bins, 2 to 1,000,000.

    Examples
    --------
    >>> UniformQuantizer(-2.0, 2.0, 4).sample(np.array([-9.0, 0.3, 1.0]), None).tolist()
    [-1.5, 0.5, 1.5]
    """

    kind = "uniform_quantizer"

    low: float
    high: float
    levels: int

    def __post_init__(self) -> None:
        ends = finite_array([self.low, self.high], "the range of a quantizer")
        if not ends[0] < ends[1]:
            raise InputError(f"a quantizer needs low < high, got low = {self.low}, high = {self.high}")
        if isinstance(self.levels, bool) or not isinstance(self.levels, Real) or self.levels % 1 or self.levels < 2:
            raise InputError(f"levels must be a whole number of at least 2, got {self.levels!r}")
        if self.levels > MOST_LEVELS:
            raise InputError(f"levels must be at most {MOST_LEVELS:,}; use Identity for a quantizer as fine as that")
        object.__setattr__(self, "low", float(ends[0]))
        object.__setattr__(self, "high", float(ends[1]))
        object.__setattr__(self, "levels", int(self.levels))

    def needs_cells(self, source: Source) -> bool:
        """Y is finite."""
        return False

    @property
    def edges(self) -> Array:
        """Ends of the bins, shape (levels + 1,), the outer ones infinite."""
        return np.array([-np.inf, *np.linspace(self.low, self.high, self.levels + 1)[1:-1], np.inf])

    def observe(
        self, source: LineSource | PlaneSource, count: object, class_cost: Array, bounds: Bounds | None = None
    ) -> Observation:
        """The bins are the cells; those with next to no mass share a letter with a neighbour."""
        if isinstance(source, LineSource):
            return on_line(source, 0.0, line_cells(source, 0.0, self.edges, ()))
        refuse_if_too_large(100.0 * self.levels**2, f"a quantizer of {self.levels} levels in the plane", "Use fewer.")
        plane = PlaneCells.from_edges((self.edges, self.edges), np.eye(2))
        nothing = np.zeros((2, 2))
        mass = in_plane(source, np.eye(2), nothing, plane).integrals(np.tile(source.mean, (plane.n, 1))).mass
        return in_plane(source, np.eye(2), nothing, plane.merged(np.asarray(source.priors) @ mass))

    def transition(self, x_values: Array, cells: Cells) -> Array:
        """One for the bin of each x."""
        return _one_hot(cells.locate(self.sample(np.asarray(x_values), None)), cells.n)

    def of_letters(self, source: TableSource, count: object) -> tuple[Array, Cells]:
        """One for the bin of each x."""
        _no_count(count)
        if source.dim not in (1, 2) or source.x_values is None:
            raise InputError("a quantizer needs x_values in the source, numbers or pairs")
        cells: Cells = (
            LineCells(self.edges) if source.dim == 1 else PlaneCells.from_edges((self.edges, self.edges), np.eye(2))
        )
        values = source.x_values.ravel() if source.dim == 1 else source.x_values
        return self.transition(values, cells), cells

    def sample(self, x: Array, rng: np.random.Generator | None) -> Array:
        """The middle of the bin of each x, coordinate by coordinate."""
        step = (self.high - self.low) / self.levels
        bins = np.searchsorted(self.edges[1:-1], x, side="right")
        return np.asarray(self.low + (bins + 0.5) * step)


def _one_hot(letters: Indices, n: int) -> Array:
    """Rows that put all mass on one letter."""
    table = np.zeros((len(letters), n))
    table[np.arange(len(letters)), letters] = 1.0
    return table


def _no_count(count: object) -> None:
    if count is not None:
        raise InputError("a problem of tables is already finite; call discretize() without n, n_y and bounds")
