"""Kullback-Leibler divergence of the source law from the output law, the paper's perception."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cdp_toy.perceptions.base import DualTerm, FDivergence, ShiftedTerm, best_shift, product
from cdp_toy.validation import Array


class KL(FDivergence):
    """KL(p || q) = sum p log(p/q) [nats]; dual term e^-P prod v^p."""

    name = "kl"
    unit = "nats"
    slope_at_infinity = 1.0
    smooth = True

    def generator(self, x: Array) -> Array:
        """Return x - log(1 + x)."""
        return x - np.log1p(x)

    def log_integrand(self, log_p: Array, log_q: Array) -> Array:
        """Return p log(p/q) + q - p."""
        return np.exp(log_q) - np.exp(log_p) + product(np.exp(log_p), log_p - log_q)

    def descent(self, ratio: Array) -> Array:
        """Return 1/r."""
        return np.asarray(1 / ratio)

    def curvature(self, ratio: Array) -> Array:
        """Return 1/r^2."""
        return np.asarray(ratio**-2.0)

    def ratio_at(self, descent: Array) -> Array:
        """Return 1/s."""
        return np.asarray(1 / descent)

    def conjugate(self, descent: Array) -> Array:
        """Return log s."""
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(descent))

    def conic(self, cp: Any, ratio: Any) -> tuple[Any, float]:
        """Return -log(ratio)."""
        return -cp.log(ratio), 0.0

    def _dual(self, p: Array, potential: Array, level: float) -> DualTerm:
        def term(u: Array, c: float) -> ShiftedTerm:
            x = u / c
            log_mean = float(p @ np.log1p(x)) - level
            return ShiftedTerm(c * math.expm1(log_mean), math.exp(log_mean) * p / (1 + x), c * math.exp(log_mean))

        return best_shift(potential, term)
