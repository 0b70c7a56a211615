"""Jensen-Shannon divergence with equal weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.optimize import brentq
from scipy.special import xlog1py

from cdp_toy.perceptions.base import DualTerm, FDivergence, product, root_in_log
from cdp_toy.validation import Array

LOG_2 = math.log(2)


class JensenShannon(FDivergence):
    """js = 1/2 KL(p || m) + 1/2 KL(q || m), m = (p + q)/2 [nats], at most log 2.

    Dual term max_(k,c) c + k/2 sum p log(2 - e^(2(c - v)/k)) - k P, with c - v <= k log(2)/2 everywhere.

    Examples
    --------
    >>> import numpy as np
    >>> round(JensenShannon().value(np.array([1.0, 0.0]), np.array([0.0, 1.0])), 12)  # log 2
    0.69314718056
    """

    name = "js"
    unit = "nats"
    slope_at_infinity = 0.5 * LOG_2
    smooth = True

    def generator(self, x: Array) -> Array:
        """Return [(h - log(1 + h)) + ((1 + x) log(1 + y) - h)]/2 with 1 + h = m/p and 1 + y = q/m."""
        h = x / 2
        y = h / (1 + h)
        return np.asarray(0.5 * ((h - np.log1p(h)) + np.maximum(xlog1py(1 + x, y) - h, 0.0)))

    def log_integrand(self, log_p: Array, log_q: Array) -> Array:
        """Return [p log(p/m) + q log(q/m)]/2."""
        change = log_q - log_p
        return -0.5 * (product(np.exp(log_p), _log_mean(change)) + product(np.exp(log_q), _log_mean(-change)))

    def descent(self, ratio: Array) -> Array:
        """Return log(1 + 1/r)/2."""
        return np.asarray(0.5 * np.log1p(1 / ratio))

    def curvature(self, ratio: Array) -> Array:
        """Return 1/(2r(1 + r))."""
        return np.asarray(0.5 / (ratio * (1 + ratio)))

    def ratio_at(self, descent: Array) -> Array:
        """Return 1/(e^(2 s) - 1)."""
        return np.asarray(1 / np.expm1(2 * descent))

    def conjugate(self, descent: Array) -> Array:
        """Return log(2 (1 - e^(-2 s)))/2."""
        with np.errstate(divide="ignore"):
            return np.asarray(0.5 * np.log(-2 * np.expm1(-2 * descent)))

    def conic(self, cp: Any, ratio: Any) -> tuple[Any, float]:
        """Return [r log(2r/(1 + r)) + log(2/(1 + r))]/2."""
        middle = (1 + ratio) / 2
        return 0.5 * (cp.rel_entr(ratio, middle) + cp.rel_entr(1, middle)), 0.5 * LOG_2

    def _dual(self, p: Array, potential: Array, level: float) -> DualTerm:
        lowest = float(potential.min())
        u = potential - lowest
        best = float(p[u == 0].sum())
        if self.value(np.array([best, 1 - best]), np.array([1.0, 0.0])) <= level:  # all mass to the best letters
            return DualTerm(lowest, 0.0)
        seen = p > 0
        p, u = p[seen], u[seen]

        def divergence(price: float) -> float:
            ratio = 1 / np.expm1(_root(p, u, price, best) + 2 * u / price)
            # what falls short of mass one lies on letters without source mass, and only where the root is 0
            return float(p @ self.generator(ratio - 1)) + self.slope_at_infinity * max(1 - float(p @ ratio), 0.0)

        with np.errstate(over="ignore", divide="ignore"):
            price = root_in_log(lambda k: divergence(k) - level, float(potential.max() - lowest))
            root = _root(p, u, price, best)
            slope = (LOG_2 - root) - 2 * u / price  # 2 (c - v)/k, small for large prices
            excess = np.expm1(slope)
            gain = np.where(excess < 0.5, np.log1p(-excess), LOG_2 + np.log(-np.expm1(-(root + 2 * u / price))))
        return DualTerm(lowest + price * (0.5 * (LOG_2 - root) + 0.5 * float(p @ gain) - level), price)


def _log_mean(x: Array) -> Array:
    """log((1 + e^x)/2), exactly 0 at 0."""
    return np.where(x > 1, np.logaddexp(0.0, x) - LOG_2, np.log1p(0.5 * np.expm1(np.minimum(x, 1.0))))


def _root(p: Array, u: Array, price: float, best: float) -> float:
    """The b >= 0 with sum p/(e^(b + 2u/k) - 1) = 1, for which q = p/(e^(b + 2u/k) - 1) has mass one; 0 without one."""

    def excess(log_b: float) -> float:
        return float(p @ (1 / np.expm1(math.exp(log_b) + 2 * u / price))) - 1.0

    # the best letters alone carry mass one at the lower end; at log 2 no ratio is above one
    low, high = math.log(max(math.log1p(best), 1e-300)), math.log(LOG_2)
    if excess(low) <= 0:
        return math.exp(low) if best > 0 else 0.0
    return math.exp(brentq(excess, low, high + 1e-9, xtol=1e-13))
