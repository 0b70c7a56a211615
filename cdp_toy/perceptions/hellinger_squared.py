"""Squared Hellinger distance (its root is not convex and breaks the paper's theorem)."""

from __future__ import annotations

from typing import Any

import numpy as np

from cdp_toy.perceptions.base import DualTerm, FDivergence, ShiftedTerm, best_shift
from cdp_toy.validation import Array


class HellingerSquared(FDivergence):
    """hellinger_squared = 1 - sum sqrt(p q), in [0, 1]; dual term (1 - P)^2 / sum(p/v)."""

    name = "hellinger_squared"
    slope_at_infinity = 0.5
    smooth = True

    def generator(self, x: Array) -> Array:
        """Return (sqrt(1 + x) - 1)^2 / 2."""
        return np.asarray(0.5 * (x / (1 + np.sqrt(1 + x))) ** 2)

    def log_integrand(self, log_p: Array, log_q: Array) -> Array:
        """Return (sqrt q - sqrt p)^2 / 2."""
        return np.asarray(0.5 * (np.exp(0.5 * log_q) - np.exp(0.5 * log_p)) ** 2)

    def descent(self, ratio: Array) -> Array:
        """Return r^-1/2 / 2."""
        return np.asarray(0.5 * ratio**-0.5)

    def curvature(self, ratio: Array) -> Array:
        """Return r^-3/2 / 4."""
        return np.asarray(0.25 * ratio**-1.5)

    def ratio_at(self, descent: Array) -> Array:
        """Return 1/(2 s)^2."""
        return np.asarray((2 * descent) ** -2.0)

    def conjugate(self, descent: Array) -> Array:
        """Return 1/2 - 1/(4 s)."""
        with np.errstate(divide="ignore"):
            return np.asarray(0.5 - 0.25 / descent)

    def conic(self, cp: Any, ratio: Any) -> tuple[Any, float]:
        """Return 1 - sqrt(ratio)."""
        return 1 - cp.sqrt(ratio), 0.0

    def _dual(self, p: Array, potential: Array, level: float) -> DualTerm:
        if level >= 1:  # every law is within reach
            return DualTerm(float(potential.min()), 0.0)

        def term(u: Array, c: float) -> ShiftedTerm:
            x = u / c
            inverse = float(p @ (1 / (1 + x)))
            lost = float(p @ (x / (1 + x)))  # 1 - inverse without cancellation
            return ShiftedTerm(
                c * (lost - 2 * level + level**2) / inverse,
                ((1 - level) / inverse) ** 2 * p * (1 + x) ** -2.0,
                2 * (1 - level) * c / inverse,
            )

        return best_shift(potential, term)
