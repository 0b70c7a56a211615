"""Divergence between two mixtures of Gaussians on the line, by a quadrature that knows its own error.

Adaptive Gauss-Legendre panels over log densities: nothing underflows far in the tails, where ratios of densities live.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cdp_toy.errors import InputError
from cdp_toy.perceptions import FDivergence, Perception, perception_from
from cdp_toy.perceptions.base import product
from cdp_toy.validation import Array

__all__ = ["Mixture", "Quadrature", "f_divergence", "mixture_divergence", "of_integral"]

#: panels reach this many standard deviations of every Gaussian involved; beyond lies less than 1e-22
REACH = 10
#: variances below this count as 0; their reciprocals come near the end of the range of doubles
SINGULAR = 1e-200
#: panels that two rules still disagree on are halved at most this often
HALVINGS = 60
EPS = float(np.finfo(np.float64).eps)

# Gauss-Legendre rules of 20 and 12 nodes on one list of nodes, so that a panel is evaluated once
_LARGE, _SMALL = np.polynomial.legendre.leggauss(20), np.polynomial.legendre.leggauss(12)
NODES = np.concatenate([_LARGE[0], _SMALL[0]])
FINE, COARSE = np.concatenate([_LARGE[1], np.zeros(12)]), np.concatenate([np.zeros(20), _SMALL[1]])


@dataclass(frozen=True, eq=False)
class Mixture:
    """Law sum_k weights[k] N(means[k], variances[k]) on the line; three arrays of shape (k,), weights positive."""

    weights: Array
    means: Array
    variances: Array

    def log_density(self, x: Array) -> Array:
        """Logarithm of the density, exact far into the tails, shape (len(x),)."""
        z = (x - self.means[:, None]) / np.sqrt(self.variances)[:, None]
        heights = np.log(self.weights) - 0.5 * np.log(2 * math.pi * self.variances)
        return np.asarray(np.logaddexp.reduce(heights[:, None] - 0.5 * z**2, axis=0))

    def scaled(self, a: float) -> Mixture:
        """Law of a times the variable."""
        return Mixture(self.weights, a * self.means, a * a * self.variances)


class Quadrature(NamedTuple):
    """An integral and the estimated error of it."""

    value: float
    error: float


def mixture_divergence(divergence: FDivergence, p: Mixture, q: Mixture) -> Quadrature:
    """Divergence of the law q from the law p, to about 1e-14 (relative where it exceeds 1).

    Parameters
    ----------
    divergence : FDivergence
        Its `log_integrand` is integrated; `tail_powers` tell where the integral diverges, `kinked` where panels end.
    p, q : Mixture
        The variances of q may all be 0: the laws are then mutually singular and the value is f(0) + lim f(r)/r.

    Returns
    -------
    Quadrature
        Value inf (with error 0) where the integral diverges or exceeds the range of doubles.

    Examples
    --------
    >>> p, q = (Mixture(np.array([1.0]), np.array([mean]), np.array([1.0])) for mean in (0.0, 2.0))
    >>> print(f"{mixture_divergence(perception_from('renyi:3'), p, q).value:.12f}")  # 3 (2 - 0)^2 / 2
    6.000000000000
    """
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        if q.variances.max() < SINGULAR:
            return of_integral(divergence, Quadrature(divergence.largest_sum(), 0.0))
        if _diverges(divergence, p, q):
            return Quadrature(math.inf, 0.0)
        ends = _panel_ends(divergence, p, q)
        left, right = ends[:-1], ends[1:]
        values: list[float] = []
        errors: list[float] = []
        for halvings in range(HALVINGS + 1):
            fine, difference, noise = _rules(divergence, p, q, left, right)
            if not np.all(np.isfinite(fine)):
                return Quadrature(math.inf, 0.0)
            size = max(1.0, math.fsum(values) + float(fine.sum()))
            split = (difference > np.maximum(8 * EPS * size, 4 * noise)) & (halvings < HALVINGS)
            values += fine[~split].tolist()
            errors += (difference + noise)[~split].tolist()
            if not split.any():
                break
            middle = 0.5 * (left + right)[split]
            left, right = np.concatenate([left[split], middle]), np.concatenate([middle, right[split]])
    return of_integral(divergence, Quadrature(math.fsum(values), math.fsum(errors)))


def f_divergence(perception: Perception | str, kind: str) -> FDivergence:
    """The divergence of a problem, refused where a perception is no integral over densities."""
    divergence = perception_from(perception)
    if not isinstance(divergence, FDivergence):
        raise InputError(
            f"{kind} an f-divergence or a Renyi divergence, an integral over densities; perception "
            f'"{divergence.name}" is an optimal-transport problem, which is solved on grids only'
        )
    return divergence


def of_integral(divergence: FDivergence, integral: Quadrature) -> Quadrature:
    """Divergence whose integral of p f(q/p) is known, with the error that this leaves."""
    value = divergence.of_sum(min(max(integral.value, 0.0), divergence.largest_sum()))
    return (
        Quadrature(value, integral.error / divergence.sum_slope(value))
        if math.isfinite(value)
        else Quadrature(math.inf, 0.0)
    )


def _diverges(divergence: FDivergence, p: Mixture, q: Mixture) -> bool:
    """Whether the tails of p^a q^b decay no more: the widest Gaussians decide, equality included."""
    if divergence.tail_powers is None:
        return False
    a, b = divergence.tail_powers
    return bool(a * q.variances.max() + b * p.variances.max() <= 0)


def _panel_ends(divergence: FDivergence, p: Mixture, q: Mixture) -> Array:
    """Every standard deviation of every Gaussian that the integrand is made of, and the kinks."""
    means, variances = np.concatenate([p.means, q.means]), np.concatenate([p.variances, q.variances])
    if divergence.tail_powers is not None:
        # p_i^a q_j^b is a multiple of a Gaussian, wide and far out where the integral is about to diverge; of the law
        # that divides, the widest Gaussian is what remains there
        a, b = divergence.tail_powers
        precisions = a / p.variances[:, None] + b / q.variances
        kept = precisions > 0
        if a < 0:
            kept &= (p.variances == p.variances.max())[:, None]
        if b < 0:
            kept &= q.variances == q.variances.max()
        centres = (a * p.means / p.variances)[:, None] + b * q.means / q.variances
        means = np.concatenate([means, centres[kept] / precisions[kept]])
        variances = np.concatenate([variances, 1 / precisions[kept]])
    stds = np.sqrt(variances)
    ends = np.unique(means + stds * np.arange(-REACH, REACH + 1)[:, None])
    ends = ends[np.concatenate([[True], np.diff(ends) > 1e-9 * stds.min()])]  # merge ends that differ by rounding
    return np.sort(np.concatenate([ends, _crossings(p, q, ends)])) if divergence.kinked else ends


def _crossings(p: Mixture, q: Mixture, ends: Array) -> Array:
    """Where p = q, to about 1e-8 of a panel; the halving of panels sees to what is missed."""

    def log_ratio(x: Array) -> Array:
        return q.log_density(x) - p.log_density(x)

    points = np.sort(np.concatenate([ends, 0.5 * (ends[1:] + ends[:-1])]))
    values = log_ratio(points)
    change = np.flatnonzero(values[:-1] * values[1:] < 0)
    left, right, low, high = points[change], points[change + 1], values[change], values[change + 1]
    for _ in range(12):
        middle = 0.5 * (left + right)
        value = log_ratio(middle)
        same = np.sign(value) == np.sign(low)
        left, low = np.where(same, middle, left), np.where(same, value, low)
        right, high = np.where(same, right, middle), np.where(same, high, value)
    return np.asarray(left + (right - left) * low / (low - high))


def _rules(divergence: FDivergence, p: Mixture, q: Mixture, left: Array, right: Array) -> tuple[Array, Array, Array]:
    """Value of each panel, its disagreement between two rule sizes, and the rounding error to expect in it."""
    half = 0.5 * (right - left)
    x = (left[:, None] + half[:, None] * (1 + NODES)).ravel()
    log_p, log_q = p.log_density(x), q.log_density(x)
    value = divergence.log_integrand(log_p, log_q)
    rounding = product(np.exp(log_p), 1 - log_p) + product(np.exp(log_q), 1 - log_q) + np.abs(value)
    if divergence.tail_powers is not None:  # a power of the ratio carries the errors of both logarithms
        rounding += product(np.abs(value), np.abs(log_p) + np.abs(log_q))
    shape = (len(left), len(NODES))
    fine, coarse = (value.reshape(shape) @ weights for weights in (FINE, COARSE))
    noise = EPS * half * (np.abs(rounding).reshape(shape) @ FINE)
    return half * fine, half * np.abs(fine - coarse), noise
