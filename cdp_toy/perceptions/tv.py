"""Total variation distance."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.sparse import csr_array, eye_array, hstack

from cdp_toy.perceptions.base import DualTerm, FDivergence, Moves
from cdp_toy.validation import Array


class TotalVariation(FDivergence):
    """tv = 1/2 sum |p - q|, in [0, 1]; dual term max_k sum p min(v, min v + k) - k P."""

    name = "tv"
    slope_at_infinity = 0.5
    polyhedral = True
    kinked = True

    def generator(self, x: Array) -> Array:
        """Return |x| / 2."""
        return 0.5 * np.abs(x)

    def log_integrand(self, log_p: Array, log_q: Array) -> Array:
        """Return |q - p| / 2."""
        return np.asarray(0.5 * np.abs(np.exp(log_q) - np.exp(log_p)))

    def conic(self, cp: Any, ratio: Any) -> tuple[Any, float]:
        """Return |ratio - 1| / 2."""
        return 0.5 * cp.abs(ratio - 1), 0.5

    def moves(self, p: Array) -> Moves:
        """Mass put on a letter, or taken from one, at 1/2 each."""
        each = eye_array(len(p), format="csr")
        return Moves(csr_array(hstack([each, -each])), np.full(2 * len(p), 0.5))

    def _dual(self, p: Array, potential: Array, level: float) -> DualTerm:
        lowest = float(potential.min())
        u = potential - lowest
        order = np.argsort(-u)
        # concave and piecewise linear in the price: its best corner is the level-quantile of u from above
        above = np.concatenate([[0.0], np.cumsum(p[order])])  # mass of the letters before each corner
        corner = int(np.searchsorted(above, level, side="right")) - 1
        price = float(u[order[corner]]) if corner < len(u) else 0.0
        return DualTerm(lowest + float(p @ np.minimum(u, price)) - price * level, price)
