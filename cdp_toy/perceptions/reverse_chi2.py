"""Chi-square divergence relative to the source law (Pearson)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cdp_toy.perceptions.base import DualTerm, FDivergence, root_in_log
from cdp_toy.validation import Array


class ReverseChi2(FDivergence):
    """reverse_chi2 = sum (q - p)^2 / p; dual term max_(k,c) c - k sum p f*((c - v)/k) - k P."""

    name = "reverse_chi2"
    slope_at_infinity = math.inf
    tail_powers = (-1.0, 2.0)
    smooth = True

    def generator(self, x: Array) -> Array:
        """Return x^2."""
        return np.asarray(x**2)

    def log_integrand(self, log_p: Array, log_q: Array) -> Array:
        """Return q^2 / p - 2 q + p."""
        return np.asarray(np.exp(2 * log_q - log_p) - 2 * np.exp(log_q) + np.exp(log_p))

    def descent(self, ratio: Array) -> Array:
        """Return 2 (1 - r)."""
        return np.asarray(2 * (1 - ratio))

    def curvature(self, ratio: Array) -> Array:
        """Return 2."""
        return np.asarray(np.full(np.shape(ratio), 2.0))

    def ratio_at(self, descent: Array) -> Array:
        """Return 1 - s/2, at least 0."""
        return np.asarray(np.maximum(1 - descent / 2, 0.0))

    def conjugate(self, descent: Array) -> Array:
        """Return s - s^2/4, and 1 from s = 2 on."""
        nearest = np.minimum(descent, 2.0)
        return np.asarray(nearest * (1 - nearest / 4))

    def conic(self, cp: Any, ratio: Any) -> tuple[Any, float]:
        """Return (ratio - 1)^2."""
        return cp.square(ratio - 1), math.inf

    def _dual(self, p: Array, potential: Array, level: float) -> DualTerm:
        p, v = p[p > 0], potential[p > 0]
        lowest = float(v.min())
        u = v - lowest
        if 1 / float(p[u == 0].sum()) - 1 <= level:  # all mass may go to the best letters
            return DualTerm(lowest, 0.0)
        order = np.argsort(u)
        p, u = p[order], u[order]
        mass, moment = np.cumsum(p), np.cumsum(p * u)

        def constant(price: float) -> float:
            # root of sum p (1 + (c - u)/(2k))_+ = 1. With only the first m letters kept the sum is never larger, so
            # each m gives an upper estimate of c, and the right m gives c itself: the root is the smallest of them.
            return float(np.min((2 * price * (1 - mass) + moment) / mass))

        def divergence(price: float) -> float:
            ratio = np.maximum(1 + (constant(price) - u) / (2 * price), 0.0)
            return float(p @ (ratio - 1) ** 2)

        price = root_in_log(lambda k: divergence(k) - level, float(u.max()))
        c = constant(price)
        slope = (c - u) / price
        conjugate = np.where(slope >= -2, slope + slope**2 / 4, -1.0)
        return DualTerm(lowest + c - price * (float(p @ conjugate) + level), price)
