"""Kullback-Leibler divergence of the output law from the source law."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from scipy.special import xlog1py

from cdp_toy.perceptions.base import DualTerm, FDivergence, product, root_in_log
from cdp_toy.validation import Array


class ReverseKL(FDivergence):
    """reverse_kl = KL(q || p) = sum q log(q/p) [nats]; dual term max_k -k log sum p e^(-v/k) - k P."""

    name = "reverse_kl"
    unit = "nats"
    slope_at_infinity = math.inf
    smooth = True

    def generator(self, x: Array) -> Array:
        """Return (1 + x) log(1 + x) - x."""
        return np.asarray(xlog1py(1 + x, x) - x)

    def log_integrand(self, log_p: Array, log_q: Array) -> Array:
        """Return q log(q/p) + p - q."""
        return np.exp(log_p) - np.exp(log_q) + product(np.exp(log_q), log_q - log_p)

    def descent(self, ratio: Array) -> Array:
        """Return -log r."""
        return np.asarray(-np.log(ratio))

    def curvature(self, ratio: Array) -> Array:
        """Return 1/r."""
        return np.asarray(1 / ratio)

    def ratio_at(self, descent: Array) -> Array:
        """Return e^-s."""
        return np.asarray(np.exp(-descent))

    def conjugate(self, descent: Array) -> Array:
        """Return 1 - e^-s."""
        with np.errstate(over="ignore"):
            return np.asarray(-np.expm1(-descent))

    def conic(self, cp: Any, ratio: Any) -> tuple[Any, float]:
        """Return ratio log(ratio)."""
        return -cp.entr(ratio), math.inf

    def _dual(self, p: Array, potential: Array, level: float) -> DualTerm:
        p, v = p[p > 0], potential[p > 0]
        lowest = float(v.min())
        u = v - lowest
        if -math.log(p[u == 0].sum()) <= level:  # all mass may go to the best letters
            return DualTerm(lowest, 0.0)

        log_p = np.log(p)

        def log_sum(price: float) -> float:
            # log1p(sum p expm1) is exact for large prices, logarithms of the terms for small ones
            change = float(p @ np.expm1(-u / price))
            return math.log1p(change) if change > -0.5 else float(np.logaddexp.reduce(log_p - u / price))

        def divergence(price: float) -> float:
            law = np.exp(log_p - u / price - log_sum(price))
            return -log_sum(price) - float(law @ u) / price

        price = root_in_log(lambda k: divergence(k) - level, float(u.max()))
        return DualTerm(lowest + price * (-log_sum(price) - level), price)
