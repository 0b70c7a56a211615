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
from cdp_toy.validation import Array

__all__ = [
    "FARTHEST",
    "INDEPENDENT",
    "PANEL_NODES",
    "RectangleMoments",
    "correlated_panels",
    "gauss_nodes",
    "rectangle_moments",
]

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


def correlated_panels(a: Array, b: Array, correlation: float) -> Array:
    """Ends of panels along z1 for phi(z1) times masses of z2 | z1 ~ N(rho z1, 1 - rho^2) between the edges `b`.

    Parameters
    ----------
    a : array of n + 1 increasing numbers
        Cell edges of z1; all of them are ends of panels.
    b : array
        Edges of z2. Where the line z2 = rho z1 crosses one, the mass changes on the scale sqrt(1 - rho^2) / rho;
        elsewhere on a scale of one.
    """
    rest = math.sqrt((1 - correlation) * (1 + correlation))
    scale = rest / max(abs(correlation), INDEPENDENT)
    ends = np.clip(a, -FARTHEST, FARTHEST)
    parts = [ends, np.arange(math.ceil(ends[0]), ends[-1])]
    if scale < 1:
        crossings = b[np.isfinite(b)] / correlation
        # nine standard deviations around a crossing; half a scale per panel keeps 20 nodes at rounding
        near = (crossings[:, None] + scale * np.arange(-9.0, 9.5, 0.5)).ravel()
        parts.append(near[(near > ends[0]) & (near < ends[-1])])
    return np.unique(np.concatenate(parts))


def gauss_nodes(ends: Array) -> tuple[Array, Array]:
    """Gauss-Legendre nodes and weights of consecutive panels, PANEL_NODES for each."""
    half = np.diff(ends) / 2
    return (ends[:-1, None] + half[:, None] * (1 + _NODES)).ravel(), (half[:, None] * _WEIGHTS).ravel()


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
    ends, cells = correlated_panels(a, b, correlation), np.clip(a, -FARTHEST, FARTHEST)
    starts = PANEL_NODES * np.searchsorted(ends, cells[:-1])
    t, weight = gauss_nodes(ends)
    weight = weight * normal_density(t)
    middle = correlation * t[:, None]
    p, z1, z2 = truncated_normal_moments((b - middle) / rest)
    y1 = middle * p + rest * z1
    y2 = middle**2 * p + 2 * middle * rest * z1 + rest**2 * z2

    empty = np.diff(cells) == 0  # beyond the farthest place there is nothing

    def over_cells(values: Array) -> Array:
        summed = np.add.reduceat(weight[:, None] * values, np.minimum(starts, len(t) - 1), axis=0)
        return np.where(empty[:, None], 0.0, summed)

    column = t[:, None]
    return {
        (0, 0): over_cells(p),
        (1, 0): over_cells(column * p),
        (0, 1): over_cells(y1),
        (2, 0): over_cells(column**2 * p),
        (1, 1): over_cells(column * y1),
        (0, 2): over_cells(y2),
    }
