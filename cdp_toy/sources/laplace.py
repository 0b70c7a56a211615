"""Mixtures of Laplace laws on the line: two exponentials back to back, with closed forms under Gaussian noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import gammainc, log_ndtr, ndtr

from cdp_toy.normal import normal_density
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
from cdp_toy.sources.tails import tail_integrals
from cdp_toy.validation import Array, Indices

__all__ = ["LaplaceMixture"]

#: From this many standard deviations of the noise on, the other side of a law weighs less than 1e-18 of a density.
#: Second moments about the mean of a cell, 1500 cells from 1/20 to 30 noise_std or scales wide and out to masses of
#: 1e-290, against 700 digits: the largest relative errors are 2e-13 for noise_std / scale from 0.1 to 1e6 and 4e-12
#: from 0.01 to 0.1; below, cells that touch this zone err by 1e-15 scale^2, the others by 1e-15 of themselves.
#: (For cells narrower than the law of Y: times their width in its standard deviations.)
#: Cumulatives alone, without the one-sided formula, lose 2e-11, 3e-9 and 6e-13 scale^2 in every cell.
ONE_SIDED = 9.0
#: noise_std / scale up to which the shortcut is taken; its factor exp(ratio^2 / 2) would overflow from 38 on
LARGEST_RATIO = 20.0


@dataclass(frozen=True, eq=False)
class LaplaceMixture(LineMixture):
    """One-dimensional source whose every class is a mixture of Laplace laws.

    p(x | c) = sum_k weights[c][k] exp(-|x - means[c][k]| / scales[c][k]) / (2 scales[c][k]).

    Parameters
    ----------
    priors : sequence of K floats
        Class probabilities P_c.
    means, scales : one number per class, or one row of numbers per class
        Centres and scales [units of x]; a scalar `scales` serves all terms. The standard deviation is sqrt(2) scale.
    weights : one row per class, optional
        Probability of each term within its class; equal when left out.

    Raises
    ------
    InputError
        When priors or weights are no probabilities, shapes disagree, or a scale is not positive.

    Examples
    --------
    >>> source = LaplaceMixture(priors=(0.7, 0.3), means=(-1.0, 1.0), scales=0.5)
    >>> source.cell_integrals([-float("inf"), 0.0, float("inf")]).mass.round(6)
    array([[0.932332, 0.067668],
           [0.067668, 0.932332]])
    """

    kind = "laplace"

    priors: tuple[float, ...]
    means: Rows
    scales: Rows
    weights: Rows | None = None

    def __init__(
        self,
        priors: Sequence[float] | Array,
        means: PerClass,
        scales: float | PerClass = 1.0,
        weights: PerClass | None = None,
    ) -> None:
        checked, mean_rows, scale_rows, weight_rows = mixture_rows(
            priors, ("means", means), ("scales", scales), weights
        )
        positive_rows(scale_rows, "scales")
        object.__setattr__(self, "priors", checked)
        object.__setattr__(self, "means", mean_rows)
        object.__setattr__(self, "scales", scale_rows)
        object.__setattr__(self, "weights", weight_rows)

    @cached_property
    def class_weights(self) -> Array:
        """Probability of each Laplace law within each class, shape (K, T)."""
        return rows_to_weights([len(row) for row in self.means], self.weights)

    @cached_property
    def _mean(self) -> Array:
        return np.concatenate(self.means)

    @cached_property
    def _scale(self) -> Array:
        return np.concatenate(self.scales)

    def bounds(self, noise_std: float = 0.0, n_std: float = 5.0) -> tuple[float, float]:
        """Interval that reaches `n_std` times hypot(noise_std, 3 scale) beyond every centre.

        Without noise exp(-3 n_std) of a term is outside: 3e-7 at 5, as little as for a normal law.
        """
        used = self.term_weights > 0
        mean, reach = self._mean[used], n_std * np.hypot(3 * self._scale[used], noise_std)
        return float((mean - reach).min()), float((mean + reach).max())

    def landmarks(self, noise_std: float = 0.0) -> Array:
        """Points around the centre of every Laplace law."""
        return np.ravel(self._mean[:, None] + np.hypot(self._scale, noise_std)[:, None] * AROUND)

    def term_log_density(self, x: Array, noise_std: float) -> Array:
        """Log density of every Laplace law with noise: the sum of two exponentials cut off by a normal tail."""
        tau, scale = x - self._mean[:, None], self._scale[:, None]
        if noise_std == 0:
            return np.asarray(-np.abs(tau) / scale - np.log(2 * scale))
        z, ratio = tau / noise_std, noise_std / scale
        sides = [_log_cut_exponential(side * z, ratio) for side in (1, -1)]
        return np.asarray(np.logaddexp(*sides) - np.log(2 * scale))

    def term_integrals(self, edges: Array, noise_std: float, centre: Array) -> CellIntegrals:
        """Integrals of every Laplace law over cells of X + N(0, noise_std^2), each of shape (T, n)."""
        mean, scale = self._mean[:, None], self._scale[:, None]
        if noise_std == 0:
            return _without_noise(mean, scale, edges, centre)
        tau = edges - mean
        # a cell right of the centre is reflected, so that cumulatives come from the nearer tail
        with np.errstate(invalid="ignore"):  # -inf + inf: not reflected
            right = tau[:, 1:] + tau[:, :-1] > 0
        rising, falling = (np.diff(_cumulatives(side * tau, scale, noise_std), axis=-1) for side in (1, -1))
        sign = np.array([-1.0, 1.0, -1.0])[:, None, None]  # falling cumulatives, and odd moments turn
        mass, first, second = np.where(right, sign * falling, rising)
        offset = mean - centre
        parts = np.stack([mass, offset * mass + first, offset**2 * mass + 2 * offset * first + second])
        # away from the centre of the law one exponential is left: X given Y = y is N(y -+ s^2 / b, s^2)
        shift, ratio = np.where(right, 1, -1) * noise_std**2 / scale, noise_std / scale
        gap = np.where(right, tau[:, :-1], -tau[:, 1:]) / noise_std - ratio
        far = (gap > ONE_SIDED) & (ratio < LARGEST_RATIO)
        if far.any():
            alone = np.exp(np.minimum(ratio, LARGEST_RATIO) ** 2 / 2) * np.stack(
                _without_noise(mean, scale, edges, centre + shift)
            )
            alone[2] += noise_std**2 * alone[0]
            parts = np.where(far, alone, parts)
        return CellIntegrals(*parts)

    def term_mass(self, low: Array, high: Array) -> Array:
        """Mass of every Laplace law in intervals."""
        mean, scale = (v.reshape(-1, *(1,) * np.ndim(low)) for v in (self._mean, self._scale))
        left, right = _halves(mean, scale, low, high)
        return np.asarray(left.mass + right.mass)

    def term_quantile(self, term: Indices, low: Array, high: Array, u: Array) -> Array:
        """Quantile of a Laplace law cut to an interval: first which half, then an exponential cut to a length."""
        mean, scale = self._mean[term], self._scale[term]
        left, right = _halves(mean, scale, low, high)
        p, q = left.mass, right.mass
        mass = u * (p + q)
        with np.errstate(divide="ignore", invalid="ignore"):  # the half that is not taken
            on_left = left.near + scale * np.log1p(np.clip((p - mass) / p, 0, 1) * np.expm1(-left.length / scale))
            on_right = right.near - scale * np.log1p(np.clip((mass - p) / q, 0, 1) * np.expm1(-right.length / scale))
        return np.asarray(np.where(mass < p, on_left, on_right))


@dataclass(frozen=True)
class _Half:
    """The part of intervals on one side of the centre: its end next to the centre, its length and its mass."""

    near: Array
    length: Array
    mass: Array


def _halves(mean: Array, scale: Array, low: Array, high: Array) -> tuple[_Half, _Half]:
    """What of (low, high) lies left and right of the centres."""
    out = []
    for near, far in (
        (np.minimum(high, mean), np.minimum(low, mean)),
        (np.maximum(low, mean), np.maximum(high, mean)),
    ):
        distance = np.abs(near - mean)
        with np.errstate(invalid="ignore"):  # an interval that lies at infinity on this side is empty
            length = np.where(near == far, 0.0, np.abs(far - near))
        out.append(_Half(near, length, -np.exp(-distance / scale) * np.expm1(-length / scale) / 2))
    return out[0], out[1]


def _without_noise(mean: Array, scale: Array, edges: Array, centre: Array) -> CellIntegrals:
    """Integrals over cells: incomplete gamma functions of the distance from the cell's end next to the centre."""
    parts = np.zeros((3, len(mean), len(edges) - 1))
    for side, half in zip((-1.0, 1.0), _halves(mean, scale, edges[:-1], edges[1:]), strict=True):
        height = np.exp(-np.abs(half.near - mean) / scale) / 2
        first, second = (math.factorial(k) * scale**k * height * gammainc(k + 1, half.length / scale) for k in (1, 2))
        lever = half.near - centre
        parts += np.stack(
            [half.mass, lever * half.mass + side * first, lever**2 * half.mass + 2 * side * lever * first + second]
        )
    return CellIntegrals(*parts)


def _cumulatives(tau: Array, scale: Array, noise_std: float) -> Array:
    """E[(X - mean)^k; Y <= mean + tau] for k = 0, 1, 2, accurate in relative terms for tau < 0; shape (3, T, n + 1).

    By parts, with E[u^k] = k! b^k under the exponential law of scale b:

    - left half, all terms of one sign: (-1)^k / 2 (k! b^k Phi(tau / s) + E[q_k(U); U > 0]),
    - right half: 1/2 (k! b^k Phi(tau / s) - E[q_k(U); U > 0]), which cancels only where the left half is larger by far,

    where q_0 = 1, q_1 = u + b, q_2 = u^2 + 2 b u + 2 b^2, and U is normal with variance s^2 and mean -+tau - s^2 / b,
    times exp(+-tau / b + s^2 / (2 b^2)).
    """
    below = ndtr(tau / noise_std) * np.stack([np.ones_like(scale), scale, 2 * scale**2])
    out = np.zeros((3, *tau.shape))
    for side in (1.0, -1.0):
        t0, t1, t2 = _cut_exponential(side * tau / noise_std, noise_std / scale)
        t1, t2 = noise_std * t1, 2 * noise_std**2 * t2
        half = below + side * np.stack([t0, t1 + scale * t0, t2 + 2 * scale * t1 + 2 * scale**2 * t0])
        half[1] *= -side
        out += half / 2
    return out


def _cut_exponential(z: Array, ratio: Array) -> tuple[Array, Array, Array]:
    """exp(ratio z + ratio^2 / 2) K_n(-z - ratio) for n = 0, 1, 2, K_n the iterated integrals of the normal cdf."""
    at = z + ratio
    size = np.abs(at)
    tails = [normal_density(z) * k for k in tail_integrals(size)[:3]]
    rising = at < 0
    size = np.where(rising & np.isfinite(size), size, 0.0)
    with np.errstate(over="ignore", invalid="ignore"):  # where it is not used
        bulk = np.where(rising, np.exp(ratio * z + ratio**2 / 2), 0.0)
    sign = np.where(rising, -1.0, 1.0)
    return bulk + sign * tails[0], bulk * size + tails[1], bulk * (size**2 + 1) / 2 + sign * tails[2]


def _log_cut_exponential(z: Array, ratio: Array) -> Array:
    """Logarithm of exp(ratio z + ratio^2 / 2) Phi(-z - ratio)."""
    at = z + ratio
    with np.errstate(invalid="ignore", divide="ignore"):  # an infinite z
        falling = -(z**2) / 2 - math.log(2 * math.pi) / 2 + np.log(tail_integrals(np.maximum(at, 0.0))[0])
        rising = ratio * z + ratio**2 / 2 + log_ndtr(-at)
    return np.asarray(np.where(np.isnan(at) | np.isposinf(at), -np.inf, np.where(at > 0, falling, rising)))
