"""A Gaussian mixture and what noise makes of it: tails in logarithms, quantiles matched, X given Y, class order."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.special import log_ndtr

from cdp_toy.degradations import AdditiveGaussian
from cdp_toy.errors import InputError
from cdp_toy.normal import log_normal_density
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import GaussianMixture
from cdp_toy.validation import Array

__all__ = ["Integral", "ObservedMixture", "increasing_root", "integrate", "observed", "rising_class"]

#: panels reach this many standard deviations of every Gaussian; beyond lies less than 1e-22 of the mass
REACH = 10
#: panels that two rules still disagree on are halved at most this often
HALVINGS = 60
EPS = float(np.finfo(np.float64).eps)
_FINE, _COARSE = np.polynomial.legendre.leggauss(20), np.polynomial.legendre.leggauss(12)


class Integral(NamedTuple):
    """An integral and the estimated error of it."""

    value: float
    error: float


@dataclass(frozen=True, eq=False)
class ObservedMixture:
    """X ~ sum_k weights[k] N(means[k], stds[k]^2) and Y = X + N(0, noise_std^2); arrays of shape (k,)."""

    weights: Array
    means: Array
    stds: Array
    noise_std: float

    @property
    def total_stds(self) -> Array:
        """Standard deviations of the Gaussians of Y, shape (k,) [units of x]."""
        return np.hypot(self.stds, self.noise_std)

    def log_joint(self, y: Array) -> Array:
        """Logarithm of weight times density of each Gaussian of Y, shape (k, len(y))."""
        heights = log_normal_density(y, self.means[:, None], self.total_stds[:, None])
        return np.asarray(np.log(self.weights)[:, None] + heights)

    def posterior(self, y: Array) -> tuple[Array, Array]:
        """Mean and variance of X given Y = y, shapes (len(y),).

        Given its Gaussian k, X is N(m_k + g_k (y - m_k), s_k^2 (1 - g_k)) with g_k = s_k^2 / (s_k^2 + noise_std^2).
        """
        log_joint = self.log_joint(y)
        share = np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=0))
        gain = (self.stds / self.total_stds) ** 2
        inner = self.means[:, None] + gain[:, None] * (y - self.means[:, None])
        mean = (share * inner).sum(axis=0)
        within = (self.stds * self.noise_std / self.total_stds) ** 2
        return mean, (share * (within[:, None] + (inner - mean) ** 2)).sum(axis=0)

    def log_tails(self, x: Array, stds: Array) -> tuple[Array, Array]:
        """Logarithms of the masses below and above `x` for Gaussians of the given standard deviations."""
        z = (x - self.means[:, None]) / stds[:, None]
        log_weights = np.log(self.weights)[:, None]
        below, above = (np.logaddexp.reduce(log_weights + log_ndtr(side), axis=0) for side in (z, -z))
        return np.asarray(below), np.asarray(above)

    def matched(self, y: Array) -> Array:
        """The x with P(X <= x) = P(Y <= y): the monotone map that gives Y the law of X, shape (len(y),)."""
        below, above = self.log_tails(y, self.total_stds)
        lower = below < above  # compared on the lighter side, where digits are

        def difference(x: Array) -> Array:
            under, over = self.log_tails(x, self.stds)
            return np.where(lower, under - below, above - over)

        start = self.means.min() - self.stds.max(), self.means.max() + self.stds.max()
        return increasing_root(difference, np.full(y.shape, start[0]), np.full(y.shape, start[1]))

    def refuse_far(self, y: Array) -> None:
        """Refuse observations so far out that logarithms of their tails overflow."""
        lost = ~np.isfinite(np.minimum(*self.log_tails(y, self.total_stds)))
        if lost.any():
            raise InputError(f"y = {y[lost][0]:g} lies beyond every tail that double precision can tell; clip y first")

    def panel_ends(self) -> Array:
        """Every standard deviation of every Gaussian of Y, up to REACH of them."""
        return np.unique(self.means + self.total_stds * np.arange(-REACH, REACH + 1)[:, None])


def observed(problem: CDPProblem, kind: str) -> ObservedMixture:
    """Mixture and noise of a problem on the line.

    Raises
    ------
    InputError
        When the problem is not a Gaussian mixture with Gaussian noise; `kind` begins the message.
    """
    if not isinstance(problem, CDPProblem):
        raise InputError(f"{kind} a CDPProblem, got {type(problem).__name__}")
    if not isinstance(problem.source, GaussianMixture):
        raise InputError(f"{kind} a GaussianMixture source; this one is a {type(problem.source).__name__}")
    if not isinstance(problem.degradation, AdditiveGaussian):
        name = type(problem.degradation).__name__
        raise InputError(f"{kind} a degradation AdditiveGaussian; this one is a {name}")
    source = problem.source
    used = [
        (source.priors[g.class_index] * g.weight, g.mean, g.std)
        for g in source.components
        if source.priors[g.class_index] * g.weight > 0
    ]
    weights, means, stds = np.array(used).T
    return ObservedMixture(weights, means, stds, problem.degradation.noise_std)


def rising_class(source: GaussianMixture, kind: str) -> int:
    """Class whose mixing law on the means is the larger in likelihood-ratio order, of two with equal Gaussians.

    Raises
    ------
    InputError
        When neither is; `kind` begins the message.
    """
    means = np.unique([g.mean for g in source.components])
    laws = np.zeros((2, len(means)))
    for g in source.components:
        laws[g.class_index, np.searchsorted(means, g.mean)] += g.weight
    pairs = np.triu(np.outer(laws[0], laws[1]) - np.outer(laws[1], laws[0]), 1)
    if np.all(pairs >= 0):
        return 1
    if np.all(pairs <= 0):
        return 0
    raise InputError(
        f"{kind} a posterior that is monotone in y: the means of one class should lie beyond those of the other, or "
        f"their weights be in likelihood-ratio order; class 0 has {_listed(means, laws[0])}, class 1 "
        f"{_listed(means, laws[1])} (mean: weight)"
    )


def _listed(means: Array, weights: Array) -> str:
    return ", ".join(f"{m:g}: {w:g}" for m, w in zip(means, weights, strict=True) if w > 0)


def increasing_root(function: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Roots of an increasing function of arrays, entry by entry, to neighbouring doubles.

    The brackets (low, high) are widened until they hold the roots.

    Raises
    ------
    ArithmeticError
        When there is no root in the range of doubles: the function does not pass from negative to positive.

    >>> increasing_root(lambda x: x**3 - np.array([8.0, 27.0]), np.zeros(2), np.ones(2)).tolist()
    [2.0, 3.0]
    """
    low, high, step = low.copy(), high.copy(), high - low
    while np.any(outside := (function(low) > 0) | (function(high) < 0)):
        if not np.all(np.isfinite(step)):
            raise ArithmeticError("no root in the range of doubles")
        low, high, step = np.where(outside, low - step, low), np.where(outside, high + step, high), 2 * step
    while True:
        middle = low + (high - low) / 2
        if not np.any((middle > low) & (middle < high)):
            return high
        below = function(middle) < 0
        low, high = np.where(below, middle, low), np.where(below, high, middle)


def integrate(function: Callable[[Array], Array], ends: Array) -> Integral:
    """Integral over consecutive panels, halved until rules of 20 and 12 Gauss-Legendre nodes agree.

    >>> print(f"{integrate(np.abs, np.array([-1.0, 2.0])).value:.12f}")
    2.500000000000
    """
    left, right = ends[:-1], ends[1:]
    values: list[float] = []
    errors: list[float] = []
    for halvings in range(HALVINGS + 1):
        half = 0.5 * (right - left)
        fine, coarse = (
            half * (function((left[:, None] + half[:, None] * (1 + nodes)).ravel()).reshape(len(left), -1) @ weights)
            for nodes, weights in (_FINE, _COARSE)
        )
        size = math.fsum(values) + float(np.abs(fine).sum())
        difference = np.abs(fine - coarse)
        split = (difference > 8 * EPS * size) & (halvings < HALVINGS)
        values += fine[~split].tolist()
        errors += (difference + 8 * EPS * np.abs(fine))[~split].tolist()
        if not split.any():
            break
        middle = 0.5 * (left + right)[split]
        left, right = np.concatenate([left[split], middle]), np.concatenate([middle, right[split]])
    return Integral(math.fsum(values), math.fsum(errors))
