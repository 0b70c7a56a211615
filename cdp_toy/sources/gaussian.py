"""Gaussian mixtures on the line: every integral is a closed form in the normal distribution function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from cdp_toy.normal import interval_mass, log_normal_density, truncated_normal, truncated_normal_moments
from cdp_toy.sources.base import (
    AROUND,
    CellIntegrals,
    LineMixture,
    PerClass,
    Rows,
    mixture_rows,
    positive_rows,
    rows_to_weights,
)
from cdp_toy.validation import Array, Indices

__all__ = ["Component", "GaussianMixture"]


class Component(NamedTuple):
    """One Gaussian of one class: `weight` is its probability within the class."""

    class_index: int
    weight: float
    mean: float
    std: float


@dataclass(frozen=True, eq=False)
class GaussianMixture(LineMixture):
    """One-dimensional source whose every class is a mixture of Gaussians.

    p(x | c) = sum_k weights[c][k] N(x; means[c][k], stds[c][k]^2).

    Parameters
    ----------
    priors : sequence of K floats
        Class probabilities P_c.
    means, stds : one number per class, or one row of numbers per class
        Component means and standard deviations [units of x]; a scalar `stds` serves all components.
    weights : one row per class, optional
        Component probabilities within each class; equal when left out.

    Raises
    ------
    InputError
        When priors or weights are no probabilities, shapes disagree, or a standard deviation is not positive.

    Examples
    --------
    >>> source = GaussianMixture(priors=(0.7, 0.3), means=(-1.0, 1.0), stds=1.0)
    >>> source.cell_integrals([-float("inf"), 0.0, float("inf")]).mass.round(6)
    array([[0.841345, 0.158655],
           [0.158655, 0.841345]])
    """

    kind = "gaussian_mixture"

    priors: tuple[float, ...]
    means: Rows
    stds: Rows
    weights: Rows | None = None

    def __init__(
        self,
        priors: Sequence[float] | Array,
        means: PerClass,
        stds: float | PerClass = 1.0,
        weights: PerClass | None = None,
    ) -> None:
        checked, mean_rows, std_rows, weight_rows = mixture_rows(priors, ("means", means), ("stds", stds), weights)
        positive_rows(std_rows, "stds")
        object.__setattr__(self, "priors", checked)
        object.__setattr__(self, "means", mean_rows)
        object.__setattr__(self, "stds", std_rows)
        object.__setattr__(self, "weights", weight_rows)

    @cached_property
    def class_weights(self) -> Array:
        """Probability of each Gaussian within each class, shape (K, T)."""
        return rows_to_weights([len(row) for row in self.means], self.weights)

    @cached_property
    def _mean(self) -> Array:
        return np.concatenate(self.means)

    @cached_property
    def _std(self) -> Array:
        return np.concatenate(self.stds)

    @property
    def components(self) -> tuple[Component, ...]:
        """Every Gaussian with its class and its weight within the class."""
        return tuple(
            Component(c, 1.0 / len(row) if self.weights is None else self.weights[c][k], mean, self.stds[c][k])
            for c, row in enumerate(self.means)
            for k, mean in enumerate(row)
        )

    def bounds(self, noise_std: float = 0.0, n_std: float = 5.0) -> tuple[float, float]:
        """Interval that reaches `n_std` standard deviations of X + noise beyond every component."""
        used = self.term_weights > 0
        mean, reach = self._mean[used], n_std * np.hypot(self._std[used], noise_std)
        return float((mean - reach).min()), float((mean + reach).max())

    def landmarks(self, noise_std: float = 0.0) -> Array:
        """Points around the mean of every component."""
        return np.ravel(self._mean[:, None] + np.hypot(self._std, noise_std)[:, None] * AROUND)

    def term_log_density(self, x: Array, noise_std: float) -> Array:
        """Log density of every Gaussian with noise."""
        return log_normal_density(x, self._mean[:, None], np.hypot(self._std, noise_std)[:, None])

    def term_integrals(self, edges: Array, noise_std: float, centre: Array) -> CellIntegrals:
        """Truncated moments: X given Y = y is N(m + g (y - m), s^2 (1 - g)), t^2 = s^2 + noise_std^2, g = s^2/t^2."""
        mean, std = self._mean[:, None], self._std[:, None]
        total = np.hypot(std, noise_std)
        gain = (std / total) ** 2
        mass, z1, z2 = truncated_normal_moments((edges - mean) / total)
        first, second = gain * total * z1, (gain * total) ** 2 * z2 + std**2 * (1 - gain) * mass
        offset = mean - centre
        return CellIntegrals(mass, offset * mass + first, offset**2 * mass + 2 * offset * first + second)

    def term_mass(self, low: Array, high: Array) -> Array:
        """Mass of every Gaussian in intervals."""
        mean, std = (v.reshape(-1, *(1,) * np.ndim(low)) for v in (self._mean, self._std))
        return interval_mass((low - mean) / std, (high - mean) / std)

    def term_quantile(self, term: Indices, low: Array, high: Array, u: Array) -> Array:
        """Quantile of a truncated Gaussian."""
        mean, std = self._mean[term], self._std[term]
        return mean + std * truncated_normal((low - mean) / std, (high - mean) / std, u)
