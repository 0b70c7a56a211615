"""Duals of continuous bounds from potentials on output cells, such as those of a grid."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from cdp_toy.continuous.lower import Dual
from cdp_toy.continuous.model import LineModel
from cdp_toy.errors import InputError
from cdp_toy.perceptions.base import root_in_log
from cdp_toy.validation import Array

__all__ = ["dual_from_potential", "side_by_side"]

#: at a class boundary the potential is continued up to this share of the last half of a cell
NEAR_END = 1e-6


def dual_from_potential(
    model: LineModel,
    error_weight: float,
    price_distortion: float,
    edges: Array,
    potential: Array,
    max_perception: float,
) -> Dual:
    """Price of perception and shift of the potential that suit a potential on output cells.

    The potential of a grid is known up to a constant, and the price of perception follows from it: `dual_term` of the
    perception names it. The constant c is the one of the best last term, sum p r((v + c)/kap) = 1, r the ratio q/p
    that a potential asks for.

    Parameters
    ----------
    model : LineModel
    error_weight, price_distortion : float
        As in `Dual`.
    edges : array of shape (n + 1,)
        Edges of the output cells, such as those of a grid: from -inf to inf, every class boundary
        among them [units of x].
    potential : array of shape (n,)
        Such as that of a `Solution` or a `Bracket`.
    max_perception : float
        P [units of the divergence].

    Returns
    -------
    Dual
        With nodes at the means of X in the cells.

    Raises
    ------
    InputError
        When the shapes do not fit, or a class boundary is no edge.
    """
    if potential.shape != (len(edges) - 1,) or not np.all(np.isin(model.boundaries, edges)):
        raise InputError(
            f"a potential of shape {potential.shape} on cells between {len(edges)} edges: one number per cell, and "
            f"every class boundary an edge: {model.boundaries.tolist()}"
        )
    cells, perception = model.output_cells(edges), model.perception
    p, excess = cells.mass, potential - potential.min()
    price = perception.dual_term(p, potential, max_perception).price
    kap = price / perception.sum_slope(max_perception) if 0 < max_perception < np.inf else 0.0
    if max_perception == 0:
        kap, shift = np.inf, 0.0
    elif kap > 0:
        shift = _shift(model, p, excess, kap)
    values = np.zeros(len(p)) if kap == 0 else excess + shift
    nodes, values = side_by_side(model, cells.mean, values)
    return Dual(error_weight, price_distortion, kap, nodes, values)


def side_by_side(model: LineModel, nodes: Array, values: Array) -> tuple[tuple[Array, ...], tuple[Array, ...]]:
    """Nodes and values of each side of the classifier, with lines from the last two nodes on to its class boundaries.

    Where many y are restored to the boundary itself, a potential that stayed constant from the last node on would lose
    of first order in the widths of the cells.
    """
    side = np.searchsorted(model.boundaries, nodes)
    ends = np.concatenate([[-np.inf], model.boundaries, [np.inf]])
    parts = []
    for k in range(len(ends) - 1):
        x, v = _continued(nodes[side == k], values[side == k], float(ends[k + 1]))
        x, v = _continued(x[::-1], v[::-1], float(ends[k]))
        parts.append((x[::-1], v[::-1]))
    return tuple(x for x, _ in parts), tuple(v for _, v in parts)


def _continued(nodes: Array, values: Array, end: float) -> tuple[Array, Array]:
    """Nodes that run towards an end, with one more next to it."""
    last = nodes[-1] + (1 - NEAR_END) * (end - nodes[-1]) if len(nodes) > 1 and np.isfinite(end) else nodes[-1]
    if not min(nodes[-1], end) < last < max(nodes[-1], end):
        return nodes, values
    slope = (values[-1] - values[-2]) / (nodes[-1] - nodes[-2])
    value = values[-1] + slope * (last - nodes[-1])
    if values[-1] >= 0:  # what must not be negative is not made so
        value = max(value, 0.5 * values[-1])
    return np.append(nodes, last), np.append(values, value)


def _shift(model: LineModel, p: Array, excess: Array, kap: float) -> float:
    """The constant at which the law that excess + constant asks for has mass one."""
    perception = model.perception

    def surplus(shift: float) -> float:
        with np.errstate(over="ignore", divide="ignore"):
            return float(p @ perception.ratio_at((excess + shift) / kap)) - 1.0

    if np.isfinite(perception.slope_at_infinity):
        return root_in_log(surplus, max(float(excess.max()), kap))
    low = -float(excess.max())
    return 0.0 if surplus(0.0) >= 0 else float(brentq(surplus, low, 0.0, xtol=1e-15 * (1 - low)))
