"""Sources: what X is, class by class, with exact integrals over cells.

A continuous source offers `cell_integrals(edges, noise_std)`: for Y = X + N(0, noise_std^2) and each class c the mass
P(Y in cell | c) and the moments E[X; Y in cell | c], E[X^2; Y in cell | c]. Noise 0 gives the integrals of X itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri_exp

from cdp_toy.errors import InputError
from cdp_toy.validation import Array, check_probabilities, finite_array

__all__ = ["CellIntegrals", "GaussianMixture", "TableSource"]


class CellIntegrals(NamedTuple):
    """Mass and first two moments of X over cells, per class; each of shape (K, n)."""

    mass: Array
    first: Array
    second: Array


class Component(NamedTuple):
    """One Gaussian of one class: `weight` is its probability within the class."""

    class_index: int
    weight: float
    mean: float
    std: float


def _nested(value: float | Sequence[float] | Sequence[Sequence[float]], shape: Sequence[int], name: str) -> tuple[
    tuple[float, ...], ...
]:
    """Broadcast a scalar, one number per class, or one row per class to a tuple of rows."""
    if np.isscalar(value):
        return tuple((float(value),) * k for k in shape)  # type: ignore[arg-type]
    rows = list(value)  # type: ignore[arg-type]
    if len(rows) != len(shape):
        raise InputError(f"{name} has {len(rows)} entries for {len(shape)} classes; give one entry (or row) per class")
    out = []
    for c, (row, k) in enumerate(zip(rows, shape, strict=True)):
        numbers = tuple(float(r) for r in ((row,) * k if np.isscalar(row) else row))  # type: ignore[union-attr]
        if len(numbers) != k:
            raise InputError(f"{name}, class {c}: {len(numbers)} numbers for {k} components")
        out.append(numbers)
    return tuple(out)


@dataclass(frozen=True)
class GaussianMixture:
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

    priors: tuple[float, ...]
    means: tuple[tuple[float, ...], ...]
    stds: tuple[tuple[float, ...], ...]
    weights: tuple[tuple[float, ...], ...] | None = None

    #: every integral is a closed form, so `cells` grids bound the continuous problem
    exact = True

    def __init__(
        self,
        priors: Sequence[float],
        means: Sequence[float] | Sequence[Sequence[float]],
        stds: float | Sequence[float] | Sequence[Sequence[float]] = 1.0,
        weights: Sequence[Sequence[float]] | None = None,
    ) -> None:
        check_probabilities(priors, "priors", 1)
        n_classes = len(priors)
        if len(means) != n_classes:
            raise InputError(f"means has {len(means)} entries for {n_classes} priors; give one entry (or row) per class")
        shape = [1 if np.isscalar(m) else len(m) for m in means]  # type: ignore[arg-type]
        mean_rows = _nested(means, shape, "means")
        std_rows = _nested(stds, shape, "stds")
        for c in range(n_classes):
            finite_array(mean_rows[c], f"means, class {c}", 1)
            if not np.all(finite_array(std_rows[c], f"stds, class {c}", 1) > 0):
                raise InputError(f"stds must be positive; class {c} has {std_rows[c]}")
        rows = None if weights is None else _nested(weights, shape, "weights")
        if rows is not None:
            for c, row in enumerate(rows):
                check_probabilities(row, f"weights of class {c}", 1)
        for field, value in (
            ("priors", tuple(float(p) for p in priors)),
            ("means", mean_rows),
            ("stds", std_rows),
            ("weights", rows),
        ):
            object.__setattr__(self, field, value)

    @property
    def n_classes(self) -> int:
        """Number of classes K."""
        return len(self.priors)

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
        reach = [(m, n_std * math.hypot(s, noise_std)) for c, w, m, s in self.components if w * self.priors[c] > 0]
        return min(m - r for m, r in reach), max(m + r for m, r in reach)

    def density(self, x: Array, noise_std: float = 0.0) -> Array:
        """Class-conditional densities of X + N(0, noise_std^2) at `x`, shape (K, len(x)) [1/units of x]."""
        return np.exp(self.log_density(x, noise_std))

    def log_density(self, x: Array, noise_std: float = 0.0) -> Array:
        """Logarithms of the class-conditional densities, exact far into the tails, shape (K, len(x))."""
        x = np.asarray(x, dtype=np.float64)
        out = np.full((self.n_classes, x.size), -np.inf)
        for c, w, m, s in self.components:
            if w > 0:
                t = math.hypot(s, noise_std)
                log_pdf = math.log(w) - math.log(t) - 0.5 * math.log(2 * math.pi) - 0.5 * ((x - m) / t) ** 2
                out[c] = np.logaddexp(out[c], log_pdf)
        return out

    def cell_integrals(self, edges: Sequence[float] | Array, noise_std: float = 0.0) -> CellIntegrals:
        """Integrate 1, x and x^2 over the cells of Y = X + N(0, noise_std^2), for each class.

        With t^2 = s^2 + noise_std^2 and g = s^2/t^2, X given Y = y is N(m + g (y - m), s^2 (1 - g)), so everything
        is a truncated moment of Y. Masses are taken from the nearer tail, hence accurate in relative terms.

        Parameters
        ----------
        edges : array of n + 1 increasing numbers [units of x]
            May start with -inf and end with +inf.

        Returns
        -------
        CellIntegrals
            Three arrays of shape (K, n).
        """
        edges = np.asarray(edges, dtype=np.float64)
        shape = (self.n_classes, len(edges) - 1)
        mass, first, second = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for c, w, m, s in self.components:
            t = math.hypot(s, noise_std)
            gain = (s / t) ** 2
            p, z1, z2 = truncated_normal_moments((edges - m) / t)
            e1, e2 = gain * t * z1, (gain * t) ** 2 * z2 + s**2 * (1 - gain) * p
            mass[c] += w * p
            first[c] += w * (m * p + e1)
            second[c] += w * (m**2 * p + 2 * m * e1 + e2)
        return CellIntegrals(mass, first, second)

    def sample_cells(self, low: Array, high: Array, rng: np.random.Generator) -> Array:
        """Draw one X from p_X conditioned to each interval (low[i], high[i]], by inversion."""
        low, high = np.broadcast_arrays(np.asarray(low, float), np.asarray(high, float))
        pairs = np.stack([low.ravel(), high.ravel()], axis=1)
        comps = self.components
        masses = np.stack(
            [self.priors[c] * w * _interval_mass((pairs[:, 0] - m) / s, (pairs[:, 1] - m) / s) for c, w, m, s in comps]
        )
        cumulative = np.cumsum(masses, axis=0)
        pick = (rng.random(len(pairs)) * cumulative[-1] >= cumulative).sum(axis=0).clip(max=len(comps) - 1)
        means = np.array([k.mean for k in comps])[pick]
        stds = np.array([k.std for k in comps])[pick]
        z = _truncated_normal((pairs[:, 0] - means) / stds, (pairs[:, 1] - means) / stds, rng.random(len(pairs)))
        drawn = np.clip(means + stds * z, pairs[:, 0], pairs[:, 1])
        return np.asarray(drawn.reshape(low.shape), dtype=np.float64)


def _interval_mass(a: Array, b: Array) -> Array:
    """Phi(b) - Phi(a), from the nearer tail."""
    upper = a > 0
    return np.asarray(np.where(upper, ndtr(-a) - ndtr(-b), ndtr(b) - ndtr(a)), dtype=np.float64)


def truncated_normal_moments(z: Array) -> tuple[Array, Array, Array]:
    """Integrals of 1, z and z^2 against the standard normal density between consecutive entries of `z`."""
    finite = np.where(np.isfinite(z), z, 0.0)
    pdf = np.where(np.isfinite(z), np.exp(-0.5 * finite**2) / math.sqrt(2 * math.pi), 0.0)
    mass = _interval_mass(z[:-1], z[1:])
    first = pdf[:-1] - pdf[1:]
    second = mass + finite[:-1] * pdf[:-1] - finite[1:] * pdf[1:]
    return mass, first, second


def _truncated_normal(a: Array, b: Array, u: Array) -> Array:
    """Quantile u of the standard normal conditioned to (a, b), computed in logarithms on the nearer tail."""
    flip = a > 0
    lo, hi = np.where(flip, -b, a), np.where(flip, -a, b)
    u = np.where(flip, 1 - u, u)
    with np.errstate(divide="ignore"):
        log_p = np.logaddexp(log_ndtr(lo) + np.log1p(-u), log_ndtr(hi) + np.log(u))
    z = np.clip(ndtri_exp(np.minimum(log_p, 0.0)), lo, hi)
    return np.asarray(np.where(flip, -z, z), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class TableSource:
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

    priors: Array
    p_x_given_class: Array
    x_values: Array | None = None

    exact = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "priors", check_probabilities(self.priors, "priors", 1))
        table = check_probabilities(self.p_x_given_class, "p_x_given_class", 2)
        object.__setattr__(self, "p_x_given_class", table)
        if len(table) != len(self.priors):
            raise InputError(f"p_x_given_class has {len(table)} rows for {len(self.priors)} priors; one row per class")
        if self.x_values is not None:
            values = finite_array(self.x_values, "x_values")
            if values.ndim not in (1, 2) or len(values) != table.shape[1]:
                raise InputError(
                    f"x_values has shape {values.shape}; expected ({table.shape[1]},) or ({table.shape[1]}, dim), "
                    "one value per column of p_x_given_class"
                )
            object.__setattr__(self, "x_values", values)

    @property
    def n_classes(self) -> int:
        """Number of classes K."""
        return len(self.priors)

    @property
    def n_x(self) -> int:
        """Number of letters."""
        return int(self.p_x_given_class.shape[1])
