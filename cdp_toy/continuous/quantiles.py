"""Quantiles of a mixture of Gaussians on the line, found on the lighter side, where masses have their digits."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import log_ndtr, ndtr, ndtri_exp

from cdp_toy.closed_forms.observed_mixture import ObservedMixture
from cdp_toy.validation import Array, Indices

__all__ = ["quantiles"]

#: rounds from a start that is taken to be near, and of the search between two ends; a handful is what it takes
NEAR_ROUNDS, ROUNDS = 4, 200
#: A step of this share of the length on which the density changes is the last one: what Halley's method leaves is of
#: third order, 1e-18 of that length.
LAST = 1e-6
#: masses below this are compared in logarithms only
FAR = 1e-280


def quantiles(law: ObservedMixture, below: Array, above: Array, start: Array | None = None) -> Array:
    """The y with P(Y <= y) = below, `below` and `above` adding up to one; all of shape (n,). 0 gives an infinity.

    Halley's method on the logarithm of the lighter tail, from `start` where one is given. What does not settle from
    there is searched between the quantiles of the single Gaussians: at the least of them no Gaussian has more than the
    mass asked for, at the largest none has less.

    Parameters
    ----------
    law : ObservedMixture
    below, above : arrays of shape (n,)
    start : array of shape (n,), optional
        Places near the quantiles [units of x]; they decide how long it takes, not what is found.

    Returns
    -------
    array of shape (n,) [units of x]

    Examples
    --------
    >>> law = ObservedMixture(np.array([0.5, 0.5]), np.array([-1.0, 1.0]), np.array([0.6, 0.6]), 0.8)
    >>> quantiles(law, np.array([0.0, 0.9, 1e-300]), np.array([1.0, 0.1, 1.0])).round(4).tolist()
    [-inf, 1.8495, -38.0284]
    """
    lower = below < above
    light = np.where(lower, below, above)
    sign = np.where(lower, 1.0, -1.0)  # on the upper side everything is mirrored: t = -y has P(-Y <= t) = above
    t = np.full(light.shape, -math.inf)
    rest: Indices = np.flatnonzero(light > 0)
    if start is not None:
        rest = _settle(law, t, rest[np.isfinite(start[rest]) & (light[rest] > FAR)], rest, light, sign, sign * start)
    if len(rest):
        t[rest] = _searched(law, np.log(light[rest]), sign[rest])
    return np.asarray(sign * t)


def _settle(
    law: ObservedMixture, t: Array, near: Indices, rest: Indices, light: Array, sign: Array, start: Array
) -> Indices:
    """Write the places that settle from a start into `t`; the others of `rest`."""
    here = start[near]
    for _ in range(NEAR_ROUNDS):
        if not len(near):
            break
        goal, z, stds = light[near], *_standard(law, here, sign[near])
        heights = law.weights[:, None] / stds * np.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
        mass, density, bend = law.weights @ ndtr(z), heights.sum(axis=0), -(heights * z / stds).sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            here = here + (step := _halley(np.log(mass / goal), density / mass, bend / density))
            settled = np.abs(step) * _change(z, stds) < LAST
        t[near[settled]] = here[settled]
        going = ~settled & np.isfinite(here)
        near, here = near[going], here[going]
    return rest[~np.isfinite(t[rest])]


def _searched(law: ObservedMixture, target: Array, sign: Array) -> Array:
    """Places of given logarithms of the lighter tail, between the quantiles of the single Gaussians."""
    ends = sign * law.means[:, None] + law.total_stds[:, None] * ndtri_exp(target)
    low, high = ends.min(axis=0), ends.max(axis=0)
    t = 0.5 * (low + high)
    active = np.flatnonzero(low < high)
    log_weights = np.log(law.weights)[:, None]
    for _ in range(ROUNDS):
        if not len(active):
            break
        here, goal = t[active], target[active]
        z, stds = _standard(law, here, sign[active])
        value = np.logaddexp.reduce(log_weights + log_ndtr(z), axis=0)
        heights = log_weights - np.log(stds) - 0.5 * z * z - 0.5 * math.log(2 * math.pi)
        density = np.logaddexp.reduce(heights, axis=0)
        bend = -(np.exp(heights - density) * z / stds).sum(axis=0)
        left = value <= goal
        low[active], high[active] = np.where(left, here, low[active]), np.where(left, high[active], here)
        with np.errstate(over="ignore", invalid="ignore"):
            moved = here + _halley(value - goal, np.exp(density - value), bend)
        inside = (moved >= low[active]) & (moved <= high[active])
        t[active] = moved = np.where(inside, moved, 0.5 * (low[active] + high[active]))
        active = active[np.abs(moved - here) * _change(z, stds) >= LAST]
    return np.asarray(t)


def _standard(law: ObservedMixture, t: Array, sign: Array) -> tuple[Array, Array]:
    """Standardised places t of the mirrored Gaussians of Y, shape (Gaussians, n), and their standard deviations."""
    stds: Array = law.total_stds[:, None]
    return (t - sign * law.means[:, None]) / stds, stds


def _halley(excess: Array, slope: Array, bend: Array) -> Array:
    """Step to where a logarithm of a mass has no excess.

    `slope` is density / mass, `bend` the slope of the logarithm of the density.
    """
    # the second derivative of the logarithm is slope (bend - slope)
    newton = excess / slope
    return np.asarray(-newton / np.clip(1 - 0.5 * newton * (bend - slope), 0.5, 2.0))


def _change(z: Array, stds: Array) -> Array:
    """Bound on how fast the logarithm of the density changes, and of the mass, which falls like it [1/units of x]."""
    return np.asarray(((1 + np.abs(z)) / stds).max(axis=0))
