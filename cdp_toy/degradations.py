"""Degradations p(y | x): what is seen of X."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtr

from cdp_toy.errors import InputError
from cdp_toy.validation import Array, check_probabilities

__all__ = ["AdditiveGaussian", "Identity", "TableDegradation", "binary_symmetric"]


@dataclass(frozen=True)
class AdditiveGaussian:
    """Y = X + N(0, std^2), with `std` in units of x; 0 is the identity.

    Raises
    ------
    InputError
        When `std` is negative or not finite.

    Examples
    --------
    >>> AdditiveGaussian(1.0).transition(np.array([0.0]), np.array([-np.inf, 0.0, np.inf]))
    array([[0.5, 0.5]])
    """

    std: float

    def __post_init__(self) -> None:
        if not (isinstance(self.std, Real) and math.isfinite(self.std) and self.std >= 0):
            raise InputError(f"the noise standard deviation must be a finite number, not negative; got {self.std!r}")

    @property
    def noise_std(self) -> float:
        """Standard deviation of the Gaussian noise [units of x]."""
        return float(self.std)

    def transition(self, x_values: Array, y_edges: Array) -> Array:
        """P(Y in cell | x) for letters at `x_values`, shape (n_x, n_y)."""
        offset = y_edges[None, :] - np.asarray(x_values, float)[:, None]
        if self.std == 0:
            return np.asarray(np.diff(offset >= 0, axis=1) != 0, dtype=np.float64)
        z = offset / self.std
        low, high = z[:, :-1], z[:, 1:]
        return np.asarray(np.where(low > 0, ndtr(-low) - ndtr(-high), ndtr(high) - ndtr(low)), dtype=np.float64)


@dataclass(frozen=True)
class Identity(AdditiveGaussian):
    """Y = X: nothing is lost."""

    std: float = 0.0

    def __post_init__(self) -> None:
        if self.std != 0:
            raise InputError("Identity takes no noise; use AdditiveGaussian(std)")


@dataclass(frozen=True, eq=False)
class TableDegradation:
    """Finite degradation: row x of `p_y_given_x`, shape (n_x, n_y), is the law of Y given X = x."""

    p_y_given_x: Array

    def __init__(self, p_y_given_x: ArrayLike) -> None:
        object.__setattr__(self, "p_y_given_x", check_probabilities(p_y_given_x, "p_y_given_x", 2))


def binary_symmetric(crossover: float) -> TableDegradation:
    """Binary symmetric channel that flips its input with probability `crossover`.

    >>> binary_symmetric(0.1).p_y_given_x
    array([[0.9, 0.1],
           [0.1, 0.9]])
    """
    if not (isinstance(crossover, Real) and 0 <= crossover <= 1):
        raise InputError(f"crossover must be a number in [0, 1], got {crossover!r}")
    return TableDegradation([[1 - crossover, crossover], [crossover, 1 - crossover]])
