"""The normal distribution on intervals: masses, truncated moments and quantiles, accurate in relative terms."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri_exp

from cdp_toy.validation import Array

__all__ = ["interval_mass", "log_normal_density", "normal_density", "truncated_normal", "truncated_normal_moments"]


def normal_density(z: Array) -> Array:
    """Standard normal density, 0 at the infinities."""
    return np.asarray(np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi))


def log_normal_density(x: Array, mean: Array, std: Array) -> Array:
    """Log density of N(mean, std^2)."""
    return np.asarray(-0.5 * ((x - mean) / std) ** 2 - np.log(std) - 0.5 * math.log(2 * math.pi))


def interval_mass(low: Array, high: Array) -> Array:
    """Phi(high) - Phi(low), from the nearer tail."""
    upper = low > 0
    return np.asarray(ndtr(np.where(upper, -low, high)) - ndtr(np.where(upper, -high, low)))


def truncated_normal_moments(z: Array) -> tuple[Array, Array, Array]:
    """Integrals of 1, z and z^2 against the standard normal density between consecutive entries of the last axis."""
    return interval_moments(z[..., :-1], z[..., 1:])


def interval_moments(low: Array, high: Array) -> tuple[Array, Array, Array]:
    """Integrals of 1, z and z^2 against the standard normal density over (low, high)."""
    pdf_low, pdf_high = normal_density(low), normal_density(high)
    mass = interval_mass(low, high)
    edge_low = np.where(np.isfinite(low), low, 0.0) * pdf_low
    edge_high = np.where(np.isfinite(high), high, 0.0) * pdf_high
    return mass, pdf_low - pdf_high, mass + edge_low - edge_high


def truncated_normal(low: Array, high: Array, u: Array) -> Array:
    """Quantile u of the standard normal conditioned to (low, high), computed in logarithms on the nearer tail."""
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    u = np.where(flip, 1 - u, u)
    with np.errstate(divide="ignore"):
        log_p = np.logaddexp(log_ndtr(a) + np.log1p(-u), log_ndtr(b) + np.log(u))
    z = np.clip(ndtri_exp(np.minimum(log_p, 0.0)), a, b)
    return np.asarray(np.where(flip, -z, z))
