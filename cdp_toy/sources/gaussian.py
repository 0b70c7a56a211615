"""Sources: what X is, class by class, with exact integrals over cells.

A continuous source offers `cell_integrals(edges, noise_std)`: for Y = X + N(0, noise_std^2) and each class c the mass
P(Y in cell | c) and the moments E[X; Y in cell | c], E[X^2; Y in cell | c], about 0 or about a centre for each cell.
Noise 0 gives the integrals of X itself.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence, Sized
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import log_ndtr, ndtr, ndtri_exp

from cdp_toy.errors import InputError
from cdp_toy.validation import Array, check_probabilities, finite_array

__all__ = ["CellIntegrals", "GaussianMixture", "TableSource"]


class CellIntegrals(NamedTuple):
    """Mass and first two moments of X - centre over cells, per class; each of shape (K, n)."""

    mass: Array
    first: Array
    second: Array


class Component(NamedTuple):
    """One Gaussian of one class: `weight` is its probability within the class."""

    class_index: int
    weight: float
    mean: float
    std: float


#: one number for every class, or one row of numbers (a number per component)
PerClass = Sequence[float | Sequence[float] | Array] | Array


def _rows(value: float | PerClass, name: str, sizes: Sequence[int]) -> tuple[tuple[float, ...], ...]:
    """One row per class, of the given sizes; a scalar stands for every component it could belong to."""
    entries = list(value) if isinstance(value, Iterable) else [value] * len(sizes)
    if len(entries) != len(sizes):
        raise InputError(
            f"{name} has {len(entries)} entries for {len(sizes)} classes; give one entry (or row) per class"
        )
    rows = []
    for c, (entry, size) in enumerate(zip(entries, sizes, strict=True)):
        row = finite_array(list(entry) if isinstance(entry, Iterable) else [entry] * size, f"{name}, class {c}", 1)
        if len(row) != size:
            raise InputError(f"{name}, class {c}: {len(row)} numbers for {size} components")
        rows.append(tuple(row.tolist()))
    return tuple(rows)


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
        priors: Sequence[float] | Array,
        means: PerClass,
        stds: float | PerClass = 1.0,
        weights: PerClass | None = None,
    ) -> None:
        checked = tuple(check_probabilities(priors, "priors", 1).tolist())
        if not isinstance(means, Iterable) or len(means) != len(checked):
            found = f"has {len(means)} entries" if isinstance(means, Iterable) else f"is {means!r}"
            raise InputError(f"means {found} for {len(checked)} priors; give one entry (or row) per class")
        sizes = [len(row) if isinstance(row, Sized) else 1 for row in means]
        if 0 in sizes:
            raise InputError(f"means, class {sizes.index(0)}: the row is empty; a class needs at least one component")
        mean_rows, std_rows = _rows(means, "means", sizes), _rows(stds, "stds", sizes)
        for c, row in enumerate(std_rows):
            if min(row) <= 0:
                raise InputError(f"stds must be positive; class {c} has {row}")
        weight_rows = None if weights is None else _rows(weights, "weights", sizes)
        for c, row in enumerate(weight_rows or ()):
            check_probabilities(row, f"weights of class {c}", 1)
        object.__setattr__(self, "priors", checked)
        object.__setattr__(self, "means", mean_rows)
        object.__setattr__(self, "stds", std_rows)
        object.__setattr__(self, "weights", weight_rows)

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

    def cell_integrals(self, edges: ArrayLike, noise_std: float = 0.0, centre: ArrayLike = 0.0) -> CellIntegrals:
        """Integrate 1, x - centre and (x - centre)^2 over the cells of Y = X + N(0, noise_std^2), for each class.

        With t^2 = s^2 + noise_std^2 and g = s^2/t^2, X given Y = y is N(m + g (y - m), s^2 (1 - g)), so everything
        is a truncated moment of Y. Masses are taken from the nearer tail, hence accurate in relative terms.

        Parameters
        ----------
        edges : array of n + 1 increasing numbers [units of x]
            May start with -inf and end with +inf.
        centre : float or array of shape (n,) [units of x]
            What moments are taken about. With the means of the cells, variances come without cancellation.

        Returns
        -------
        CellIntegrals
            Three arrays of shape (K, n).
        """
        edges, centre = np.asarray(edges, dtype=np.float64), np.asarray(centre, dtype=np.float64)
        shape = (self.n_classes, len(edges) - 1)
        mass, first, second = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for c, w, m, s in self.components:
            t = math.hypot(s, noise_std)
            gain = (s / t) ** 2
            p, z1, z2 = truncated_normal_moments((edges - m) / t)
            e1, e2 = gain * t * z1, (gain * t) ** 2 * z2 + s**2 * (1 - gain) * p
            mass[c] += w * p
            offset = m - centre
            first[c] += w * (offset * p + e1)
            second[c] += w * (offset**2 * p + 2 * offset * e1 + e2)
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

    @property
    def n_classes(self) -> int:
        """Number of classes K."""
        return len(self.priors)

    @property
    def n_x(self) -> int:
        """Number of letters."""
        return int(self.p_x_given_class.shape[1])
