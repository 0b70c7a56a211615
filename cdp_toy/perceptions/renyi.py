"""Renyi divergences of the source law from the output law, of any order but one."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import logsumexp

from cdp_toy.errors import InputError
from cdp_toy.perceptions.base import DualTerm, FDivergence, ShiftedTerm, best_shift
from cdp_toy.validation import Array, Mask

#: beyond this distance of sum p^a q^(1-a) from one its logarithm is summed in logarithms, where nothing overflows
FAR = 0.5
#: the power series of f has this many terms, and serves where they fall by more than this factor each
SERIES, NEAR = 8, 0.03
#: sums of laws miss one by so much
ROUNDING = 1e-15
#: logarithms of laws and means are kept below this; e^700 is near the end of the range of doubles
LARGEST_LOG = 700.0


class Renyi(FDivergence):
    """renyi:a = log(sum p^a q^(1-a)) / (a - 1) [nats]; dual term e^-P M_b(v; p), b = (a - 1)/a.

    M_b(v; p) = (sum p v^b)^(1/b) is the weighted power mean. The divergence is a monotone function of the f-divergence
    H = (sum p^a q^(1-a) - 1) / (a - 1), so both have the same balls.

    Parameters
    ----------
    order : float
        a > 0 other than 1, where the limit is `kl`.

    Examples
    --------
    >>> import numpy as np
    >>> round(Renyi(2.0).value(np.array([0.5, 0.5]), np.array([0.25, 0.75])), 12)  # log(4/3)
    0.287682072452
    """

    unit = "nats"
    slope_at_infinity = 1.0
    smooth = True

    def __init__(self, order: float) -> None:
        self.order = _checked(order)
        self.name = f"renyi:{repr(self.order).removesuffix('.0')}"
        if self.order > 1:
            self.tail_powers = (self.order, 1 - self.order)

    def generator(self, x: Array) -> Array:
        """Return (r^(1-a) - 1)/(a - 1) + r - 1 at r = 1 + x: the f of H."""
        a = self.order
        near = np.abs(x) < NEAR / (a + SERIES)
        term = 0.5 * a * np.where(near, x, 0.0) ** 2
        series = term
        for k in range(1, SERIES):
            term = term * np.where(near, x, 0.0) * (-(a + k) / (k + 2))
            series = series + term
        return np.where(near, series, x - np.expm1((1 - a) * np.log1p(x)) / (1 - a))

    def log_integrand(self, log_p: Array, log_q: Array) -> Array:
        """Return (p^a q^(1-a) - p)/(a - 1) + q - p."""
        power = self.order - 1
        mixed = np.exp(log_p + power * (log_p - log_q))  # exactly p where q = p
        return np.asarray((mixed - np.exp(log_p)) / power + np.exp(log_q) - np.exp(log_p))

    def descent(self, ratio: Array) -> Array:
        """Return r^-a."""
        return np.asarray(ratio**-self.order)

    def curvature(self, ratio: Array) -> Array:
        """Return a r^(-a-1)."""
        return np.asarray(self.order * ratio ** (-self.order - 1))

    def ratio_at(self, descent: Array) -> Array:
        """Return s^(-1/a)."""
        return np.asarray(descent ** (-1 / self.order))

    def sum_level(self, level: float) -> float:
        """Return (e^((a-1) P) - 1)/(a - 1), inf beyond the range of doubles."""
        exponent = (self.order - 1) * level
        return math.inf if exponent > LARGEST_LOG else math.expm1(exponent) / (self.order - 1)

    def of_sum(self, total: float) -> float:
        """Return log(1 + (a - 1) H)/(a - 1), inf where rounding has eaten the rest of 1 + (a - 1) H."""
        change = (self.order - 1) * total
        return math.log1p(change) / (self.order - 1) if 1 + change > ROUNDING else math.inf

    def sum_slope(self, level: float) -> float:
        """Return e^((a-1) P)."""
        exponent = (self.order - 1) * level
        return math.inf if exponent > LARGEST_LOG else math.exp(exponent)

    def value(self, p: Array, q: Array) -> float:
        """Renyi divergence of the output law q from the source law p [nats]; arrays of shape (n,)."""
        a, total = self.order, self.sum_value(p, q)
        if abs((a - 1) * total) <= FAR:
            return self.of_sum(total)
        with np.errstate(divide="ignore"):
            log_p, log_q = np.log(p[p > 0]), np.log(q[p > 0])
            if a > 1 and np.isneginf(log_q).any():
                return math.inf
            return float(logsumexp(a * log_p + (1 - a) * log_q) / (a - 1))

    def conjugate(self, descent: Array) -> Array:
        """Return (s^b - 1)/b, b = (a - 1)/a."""
        power = (self.order - 1) / self.order
        with np.errstate(divide="ignore"):
            return np.asarray(np.expm1(power * np.log(descent)) / power)

    def conic_constraints(
        self, cp: Any, p: Array, seen: Mask, ratio: Any, outside: Any | None, level: float
    ) -> list[Any]:
        """Return sum p r^(1-a) <= e^((a-1) P), for a >= 2 as a norm, and >= for a < 1; mass outside costs nothing.

        The norm of p^(1/(a-1)) / r of the power a - 1 is the root of that sum. At a = 10 Clarabel leaves gaps of 1e-8
        with the raw sum and of 1e-11 with the norm. An order that is no fraction with a denominator up to 1024 is
        replaced by one, which is worth 1e-6 of the level; exact power cones fail more often than not beyond n = 51.
        """
        power = self.order - 1
        if self.order >= 2:
            return [
                cp.pnorm(cp.multiply(p[seen] ** (1 / power), cp.inv_pos(ratio)), power)
                <= math.exp(min(level, LARGEST_LOG))
            ]
        total, limit = p[seen] @ cp.power(ratio, -power), math.exp(min(power * level, LARGEST_LOG))
        return [total <= limit if power > 0 else total >= limit]

    def _dual(self, p: Array, potential: Array, level: float) -> DualTerm:
        power = (self.order - 1) / self.order
        seen = p > 0
        log_p = np.log(p[seen])

        def term(u: Array, c: float) -> ShiftedTerm:
            log_u = np.log1p(u / c)  # the shifted potential in units of c
            change = float(p @ np.expm1(power * log_u))
            log_sum = math.log1p(change) if abs(change) < FAR else float(logsumexp(log_p + power * log_u[seen]))
            log_mean = log_sum / power - level
            # (sum p u^b)^(1/(a-1)) p u^(-1/a), e^-P times; its letters may outweigh every double
            law = p * np.exp(np.minimum((log_sum / power - log_u) / self.order - level, LARGEST_LOG))
            largest = min(log_mean, LARGEST_LOG)
            return ShiftedTerm(c * math.expm1(largest), law, c * math.exp(largest))

        return best_shift(potential, term)


def _checked(order: float) -> float:
    """Order as a float, refused where there is no divergence."""
    if order == 1:
        raise InputError('renyi:1 is the Kullback-Leibler divergence; use perception="kl"')
    if not 0 < order < math.inf:
        raise InputError(
            f"renyi:{order:g} is no Renyi divergence: the order must be a finite number above 0 other than 1"
        )
    return float(order)
