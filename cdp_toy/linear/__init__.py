"""Linear denoisers: Xhat = a Y on the line, Xhat = A Y in the plane, and the best of them under both levels."""

from __future__ import annotations

from cdp_toy.linear.families import linear_denoiser
from cdp_toy.linear.line import LinearDenoiserFamily, LinearOptimum
from cdp_toy.linear.plane import PlaneLinearFamily, PlaneLinearOptimum

__all__ = [
    "LinearDenoiserFamily",
    "LinearOptimum",
    "PlaneLinearFamily",
    "PlaneLinearOptimum",
    "linear_denoiser",
]
