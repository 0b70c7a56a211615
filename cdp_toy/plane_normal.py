"""The bivariate normal distribution on rectangles: masses and moments to rounding.

Independent coordinates give products of closed forms. Otherwise the rectangle probability is an integral over the first
coordinate of a closed form in the second, of positive and entire integrands: Gauss-Legendre panels no wider than the
scale on which the integrand changes leave only rounding, also in relative terms far into the tails.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from cdp_toy.normal import normal_density, truncated_normal_moments
from cdp_toy.validation import Array, Indices

__all__ = ["FARTHEST", "INDEPENDENT", "PANEL_NODES", "RectangleMoments", "gauss_panels", "rectangle_moments"]

#: With 20 nodes a panel as wide as the integrand's scale is integrated to 1e-16; 12 nodes still give 1e-13.
PANEL_NODES = 20
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(PANEL_NODES)
#: Beyond this many standard deviations the normal density is below the least double.
FARTHEST = 38.5
#: Correlations below this are rounding of a rotation.
INDEPENDENT = 1e-15


class RectangleMoments(NamedTuple):
    """Integrals over rectangles of 1, of h = Y - mean and of h h': shapes (n1, n2), (n1, n2, 2) and (n1, n2, 2, 2)."""

    mass: Array
    first: Array
    second: Array


def gauss_panels(edges: Array, width: float) -> tuple[Array, Array, Indices]:
    """Gauss-Legendre nodes and weights for consecutive cells, and where the nodes of each cell start.

    Parameters
    ----------
    edges : array of n + 1 increasing finite numbers
    width : float
        No panel is wider; cells are cut into equal panels.
    """
    counts = np.maximum(np.ceil(np.diff(edges) / width).astype(int), 1)
    left = np.concatenate(
        [np.linspace(a, b, k + 1)[:-1] for a, b, k in zip(edges[:-1], edges[1:], counts, strict=True)]
    )
    half = np.repeat(np.diff(edges) / counts, counts) / 2
    nodes = (left[:, None] + half[:, None] * (1 + _NODES)).ravel()
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]]) * PANEL_NODES
    return nodes, (half[:, None] * _WEIGHTS).ravel(), starts


def rectangle_moments(mean: Array, covariance: Array, edges: tuple[Array, Array]) -> RectangleMoments:
    """Moments of N(mean, covariance) over the rectangles between edges.

    Parameters
    ----------
    mean : array of shape (2,)
    covariance : array of shape (2, 2)
        Positive definite.
    edges : (array of n1 + 1, array of n2 + 1)
        May start with -inf and end with inf.

    Examples
    --------
    >>> quadrants = (np.array([-np.inf, 0.0, np.inf]),) * 2
    >>> mass = rectangle_moments(np.zeros(2), np.array([[1.0, 0.5], [0.5, 1.0]]), quadrants).mass
    >>> mass.round(12).tolist()  # 1/4 + arcsin(1/2)/(2 pi) where the signs agree
    [[0.333333333333, 0.166666666667], [0.166666666667, 0.333333333333]]
    """
    std = np.sqrt(np.diag(covariance))
    correlation = float(covariance[0, 1] / (std[0] * std[1]))
    a, b = ((e - m) / s for e, m, s in zip(edges, mean, std, strict=True))
    if abs(correlation) < INDEPENDENT:
        along, across = truncated_normal_moments(a), truncated_normal_moments(b)
        moments = {(i, j): np.outer(along[i], across[j]) for i in range(3) for j in range(3) if i + j <= 2}
    else:
        moments = _correlated(correlation, a, b)
    mass = moments[0, 0]
    first = np.stack([moments[1, 0], moments[0, 1]], axis=-1) * std
    second = np.empty((*mass.shape, 2, 2))
    second[..., 0, 0], second[..., 1, 1] = moments[2, 0], moments[0, 2]
    second[..., 0, 1] = second[..., 1, 0] = moments[1, 1]
    return RectangleMoments(mass, first, second * np.outer(std, std))


def _correlated(correlation: float, a: Array, b: Array) -> dict[tuple[int, int], Array]:
    """Integrals of z1^i z2^j over standardized rectangles: z2 given z1 = t is N(rho t, 1 - rho^2)."""
    rest = math.sqrt((1 - correlation) * (1 + correlation))
    t, weight, starts = gauss_panels(np.clip(a, -FARTHEST, FARTHEST), min(1.0, rest / abs(correlation)))
    weight = weight * normal_density(t)
    middle = correlation * t[:, None]
    p, z1, z2 = truncated_normal_moments((b - middle) / rest)
    y1 = middle * p + rest * z1
    y2 = middle**2 * p + 2 * middle * rest * z1 + rest**2 * z2

    def over_cells(values: Array) -> Array:
        return np.add.reduceat(weight[:, None] * values, starts, axis=0)

    column = t[:, None]
    return {
        (0, 0): over_cells(p),
        (1, 0): over_cells(column * p),
        (0, 1): over_cells(y1),
        (2, 0): over_cells(column**2 * p),
        (1, 1): over_cells(column * y1),
        (0, 2): over_cells(y2),
    }
