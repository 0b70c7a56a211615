"""Distortions Delta(x, xhat), turned into expected costs of a pair (y, xhat)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.costs import Cost, SquaredErrorCost, TableCost
from cdp_toy.errors import InputError, unknown_name
from cdp_toy.validation import Array, finite_array

__all__ = ["Distortion", "Hamming", "SquaredError", "TableDistortion", "distortion_from"]


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
        """Exact expected cost when xhat is drawn from the source conditioned to a cell."""
        return SquaredErrorCost(mean_y.reshape(-1, 1), variance_y, mean_x.reshape(-1, 1), variance_x)


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

    def letters_cost(self, p_x_given_y: Array, x_values: Array | None) -> Cost:
        """Expected cost on a finite alphabet."""
        n_x = p_x_given_y.shape[1]
        if self.table.shape != (n_x, n_x):
            raise InputError(f"distortion has shape {self.table.shape}; expected ({n_x}, {n_x}), rows x, columns xhat")
        return TableCost(np.asarray(p_x_given_y @ self.table))

    def cells_cost(self, mean_y: Array, variance_y: Array, mean_x: Array, variance_x: Array) -> Cost:
        """Refused: a table has no value between its letters."""
        raise InputError("a distortion table needs a finite source (a table of letters)")


Distortion = SquaredError | Hamming | TableDistortion

_NAMED: dict[str, Distortion] = {"squared_error": SquaredError(), "hamming": Hamming()}


def distortion_from(distortion: str | Distortion | ArrayLike) -> Distortion:
    """Return the distortion of a name or a table (or the object itself).

    >>> distortion_from("hamming")
    Hamming()
    """
    if isinstance(distortion, SquaredError | Hamming | TableDistortion):
        return distortion
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
            f"distortion must be one of {', '.join(_NAMED)}, or a table of numbers Delta[x, xhat] with two axes; "
            f"got {distortion!r}"
        )
    return TableDistortion(table)
