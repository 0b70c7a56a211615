"""Distortions Delta(x, xhat), turned into expected costs of a pair (y, xhat)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist

from cdp_toy.costs import Cost, SquaredErrorCost, TableCost
from cdp_toy.errors import InputError, unknown_name
from cdp_toy.validation import Array, finite_array

__all__ = [
    "AbsoluteError",
    "CallableDistortion",
    "Distortion",
    "Hamming",
    "SquaredError",
    "TableDistortion",
    "distortion_from",
]


@dataclass(frozen=True)
class SquaredError:
    """Delta = |x - xhat|^2 [squared units of x]."""

    name = "squared_error"

    def letters_cost(self, p_x_given_y: Array, x_values: Array | None) -> Cost:
        """Expected cost on a finite alphabet from the posterior p(x | y), shape (n_y, n_x)."""
        if x_values is None:
            raise InputError(
                "squared error needs x_values, the place of every letter; give x_values=(n_x,) or (n_x, dim), "
                'or use distortion="hamming" or a table'
            )
        values = x_values.reshape(len(x_values), -1)
        mean = p_x_given_y @ values
        variance = np.zeros(len(mean))
        for k in range(values.shape[1]):  # sums of squares of deviations: nothing cancels
            variance += np.einsum("ij,ij->i", p_x_given_y, (values[None, :, k] - mean[:, None, k]) ** 2)
        return SquaredErrorCost(mean, variance, values, np.zeros(len(values)))

    def cells_cost(self, mean_y: Array, variance_y: Array, mean_x: Array, variance_x: Array) -> Cost:
        """Exact expected cost when xhat is drawn from the source conditioned to a cell; means of shape (n, dim)."""
        return SquaredErrorCost(mean_y, variance_y, mean_x, variance_x)


@dataclass(frozen=True)
class AbsoluteError:
    """Delta = |x - xhat|, summed over the coordinates [units of x]."""

    name = "absolute_error"

    def letters_cost(self, p_x_given_y: Array, x_values: Array | None) -> Cost:
        """Expected cost on a finite alphabet."""
        if x_values is None:
            raise InputError("absolute error needs x_values, the place of every letter; give (n_x,) or (n_x, dim)")
        return TableCost(np.asarray(p_x_given_y @ cdist(x_values, x_values, "cityblock")))

    def cells_cost(self, mean_y: Array, variance_y: Array, mean_x: Array, variance_x: Array) -> Cost:
        """Refused: moments of cells do not tell the mean absolute difference."""
        raise InputError(_only_points("absolute error"))


@dataclass(frozen=True)
class Hamming:
    """Delta = 1 where xhat differs from x."""

    name = "hamming"

    def letters_cost(self, p_x_given_y: Array, x_values: Array | None) -> Cost:
        """Expected cost on a finite alphabet: 1 - p(xhat | y)."""
        return TableCost(np.maximum(1.0 - p_x_given_y, 0.0))

    def cells_cost(self, mean_y: Array, variance_y: Array, mean_x: Array, variance_x: Array) -> Cost:
        """Refused: on a continuum every restoration differs from x."""
        raise InputError('Hamming distortion is 1 on a continuous source; discretize with kind="points" instead')


@dataclass(frozen=True, eq=False)
class TableDistortion:
    """Any finite distortion: `table[x, xhat]`, shape (n_x, n_x)."""

    table: Array
    name = "table"

    def __post_init__(self) -> None:
        object.__setattr__(self, "table", finite_array(self.table, "distortion", 2))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TableDistortion) and np.array_equal(self.table, other.table)

    def __hash__(self) -> int:
        return hash(self.table.tobytes())

    def letters_cost(self, p_x_given_y: Array, x_values: Array | None) -> Cost:
        """Expected cost on a finite alphabet."""
        n_x = p_x_given_y.shape[1]
        if self.table.shape != (n_x, n_x):
            raise InputError(f"distortion has shape {self.table.shape}; expected ({n_x}, {n_x}), rows x, columns xhat")
        return TableCost(np.asarray(p_x_given_y @ self.table))

    def cells_cost(self, mean_y: Array, variance_y: Array, mean_x: Array, variance_x: Array) -> Cost:
        """Refused: a table has no value between its letters."""
        raise InputError("a distortion table needs a finite source (a table of letters)")


@dataclass(frozen=True)
class CallableDistortion:
    """Any function Delta(x, xhat) of points.

    Parameters
    ----------
    function : callable
        Takes x of shape (n, 1) and xhat of shape (1, n) on the line, (n, 1, dim) and (1, n, dim) otherwise, and returns
        an array of shape (n, n) of finite numbers, as NumPy's broadcasting does by itself.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> toy = cdp.presets.paper_toy()
    >>> cube = cdp.CDPProblem(toy.source, toy.degradation, toy.classifier, lambda x, xhat: np.abs(x - xhat) ** 3)
    >>> cube.discretize(n=21, kind="points").distortion_cost.shape
    (21, 21)
    """

    function: Callable[[Array, Array], ArrayLike]
    name = "function"

    def letters_cost(self, p_x_given_y: Array, x_values: Array | None) -> Cost:
        """Expected cost on a finite alphabet."""
        if x_values is None:
            raise InputError("a distortion function needs x_values, the place of every letter; or give a table")
        values = x_values[:, 0] if x_values.ndim == 2 and x_values.shape[1] == 1 else x_values
        n = len(values)
        table = np.asarray(self.function(values[:, None], values[None, :]))
        if table.shape != (n, n):
            raise InputError(
                f"the distortion function returned shape {table.shape} for x of shape {values[:, None].shape} and xhat "
                f"of shape {values[None, :].shape}; expected ({n}, {n})"
            )
        return TableCost(np.asarray(p_x_given_y @ finite_array(table, "the distortion function")))

    def cells_cost(self, mean_y: Array, variance_y: Array, mean_x: Array, variance_x: Array) -> Cost:
        """Refused: moments of cells do not tell the mean of a function."""
        raise InputError(_only_points("a distortion function"))


def _only_points(what: str) -> str:
    return (
        f"{what} has no exact expectation over cells (only squared error follows from their moments); discretize with "
        'kind="points" instead'
    )


Distortion = SquaredError | AbsoluteError | Hamming | TableDistortion | CallableDistortion

_NAMED: dict[str, Distortion] = {
    "squared_error": SquaredError(),
    "absolute_error": AbsoluteError(),
    "hamming": Hamming(),
}


def distortion_from(distortion: str | Distortion | ArrayLike | Callable[[Array, Array], ArrayLike]) -> Distortion:
    """Return the distortion of a name, a table or a function (or the object itself).

    >>> distortion_from("hamming")
    Hamming()
    """
    if isinstance(distortion, Distortion):
        return distortion
    if callable(distortion) and not isinstance(distortion, type):
        return CallableDistortion(distortion)
    if isinstance(distortion, str):
        if distortion not in _NAMED:
            raise unknown_name("distortion", distortion, _NAMED)
        return _NAMED[distortion]
    try:
        table = np.array(distortion, dtype=np.float64)
    except (TypeError, ValueError):
        table = np.zeros(0)
    if table.ndim != 2:
        raise InputError(
            f"distortion must be one of {', '.join(_NAMED)}, or a table of numbers Delta[x, xhat] with two axes, or a "
            f"function of points; got {distortion!r}"
        )
    return TableDistortion(table)
