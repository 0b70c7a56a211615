"""Finite sources given by a table."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.errors import InputError
from cdp_toy.sources.base import Source
from cdp_toy.validation import Array, Indices, check_probabilities, finite_array

__all__ = ["TableSource"]


@dataclass(frozen=True, eq=False)
class TableSource(Source):
    """Finite source given by a table.

    Parameters
    ----------
    priors : array of shape (K,)
        Class probabilities P_c.
    p_x_given_class : array of shape (K, n_x)
        Rows p(x | c), each summing to one.
    x_values : array of shape (n_x,) or (n_x, dim), optional
        Where the letters lie [units of x]; squared error and additive noise need them.

    Examples
    --------
    >>> TableSource(priors=[0.5, 0.5], p_x_given_class=[[0.9, 0.1], [0.2, 0.8]]).n_x
    2
    """

    kind = "table"

    priors: Array
    p_x_given_class: Array
    x_values: Array | None = None

    def __init__(self, priors: ArrayLike, p_x_given_class: ArrayLike, x_values: ArrayLike | None = None) -> None:
        object.__setattr__(self, "priors", check_probabilities(priors, "priors", 1))
        table = check_probabilities(p_x_given_class, "p_x_given_class", 2)
        object.__setattr__(self, "p_x_given_class", table)
        if len(table) != len(self.priors):
            raise InputError(f"p_x_given_class has {len(table)} rows for {len(self.priors)} priors; one row per class")
        values = None if x_values is None else finite_array(x_values, "x_values")
        if values is not None and (values.ndim not in (1, 2) or len(values) != table.shape[1]):
            raise InputError(
                f"x_values has shape {values.shape}; expected ({table.shape[1]},) or ({table.shape[1]}, dim), "
                "one value per column of p_x_given_class"
            )
        object.__setattr__(self, "x_values", values)

    def sample(self, size: int, rng: np.random.Generator) -> tuple[Indices, Array]:
        """Draw pairs (class, letter); letters are indices, as floats."""
        classes = self.sample_classes(size, rng)
        cumulative = np.cumsum(self.p_x_given_class, axis=1)
        letters = (rng.random(size)[:, None] * cumulative[classes, -1:] >= cumulative[classes]).sum(axis=1)
        return classes, np.minimum(letters, self.n_x - 1).astype(np.float64)

    @property
    def dim(self) -> int | None:  # type: ignore[override]  # follows from the letters' places
        """Number of coordinates of the letters' places, None without places."""
        if self.x_values is None:
            return None
        return 1 if self.x_values.ndim == 1 else int(self.x_values.shape[1])

    @property
    def n_x(self) -> int:
        """Number of letters."""
        return int(self.p_x_given_class.shape[1])
