"""Chi-square divergence relative to the output law."""

from __future__ import annotations

from typing import Any

import numpy as np

from cdp_toy.perceptions.base import DualTerm, FDivergence, ShiftedTerm, best_shift
from cdp_toy.validation import Array


class Chi2(FDivergence):
    """chi2 = sum (p - q)^2 / q; dual term (sum p sqrt v)^2 / (1 + P)."""

    name = "chi2"
    slope_at_infinity = 1.0
    tail_powers = (2.0, -1.0)
    smooth = True

    def generator(self, x: Array) -> Array:
        """Return x^2 / (1 + x)."""
        return np.where(x > -1, x * (x / (1 + x)), np.inf)

    def log_integrand(self, log_p: Array, log_q: Array) -> Array:
        """Return p^2 / q - 2 p + q."""
        return np.asarray(np.exp(2 * log_p - log_q) - 2 * np.exp(log_p) + np.exp(log_q))

    def descent(self, ratio: Array) -> Array:
        """Return 1/r^2."""
        return np.asarray(ratio**-2.0)

    def curvature(self, ratio: Array) -> Array:
        """Return 2/r^3."""
        return np.asarray(2 * ratio**-3.0)

    def ratio_at(self, descent: Array) -> Array:
        """Return s^-1/2."""
        return np.asarray(descent**-0.5)

    def conjugate(self, descent: Array) -> Array:
        """Return 2 (sqrt s - 1)."""
        return np.asarray(2 * (np.sqrt(descent) - 1))

    def conic(self, cp: Any, ratio: Any) -> tuple[Any, float]:
        """Return 1/ratio - 1."""
        return cp.inv_pos(ratio) - 1, 0.0

    def _dual(self, p: Array, potential: Array, level: float) -> DualTerm:
        def term(u: Array, c: float) -> ShiftedTerm:
            x = u / c
            root = np.sqrt(1 + x)
            gain = float(p @ (x / (1 + root)))  # sum p (sqrt(1 + x) - 1) without cancellation
            total = 1 + gain
            return ShiftedTerm(
                c * (2 * gain + gain**2 - level) / (1 + level),
                total / (1 + level) * p / root,
                c * (total / (1 + level)) ** 2,
            )

        return best_shift(potential, term)
