"""Closed forms that solvers are measured against: formulas with scalar roots or one quadrature, no grid.

    GaussianExample   one Gaussian in Gaussian noise: least distortion under w2_squared, reverse_kl and kl
    TransportCurve    D_min(P) under w2_squared, its optimal restoration and the surface along that curve
    ErrorCurve        C(inf, P) of two classes under every f-divergence and Renyi divergence

Each says in its docstring what its numbers are: exact over all channels, exact within a family, or a bound.
"""

from __future__ import annotations

from cdp_toy.closed_forms.error_curve import ErrorCurve
from cdp_toy.closed_forms.gaussian_example import GaussianExample
from cdp_toy.closed_forms.transport_curve import TransportCurve

__all__ = ["ErrorCurve", "GaussianExample", "TransportCurve"]
