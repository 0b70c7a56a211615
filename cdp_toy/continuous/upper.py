"""Upper bounds: error rate, distortion and divergence of a monotone map, exact for the continuous problem."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cdp_toy.continuous.model import LineModel, OutputCells
from cdp_toy.errors import InputError
from cdp_toy.validation import Array

__all__ = ["ROUNDING", "MapValue", "evaluate", "evaluate_cells"]

#: Rounding of each value, in units of 1 (error rate), Var X (distortion) and 1 + the divergence: masses of neighbouring
#: cells are differences of the same tails, so that what one cell gains by rounding its neighbour loses.
ROUNDING = 1e-14


class MapValue(NamedTuple):
    """What a restoration achieves: error rate (or expected class cost), E[(X - Xhat)^2], divergence of its law."""

    error_rate: float
    distortion: float
    perception: float


def evaluate(model: LineModel, edges: Array, places: Array) -> MapValue:
    """Value of the restoration that sends y in (s_{j-1}, s_j] to X given X in (e_{j-1}, e_j].

    With q_j = P(Y in cell j), p_j, m_j and v_j mass, mean and variance of X in output cell j,

        distortion = Var X + sum_j q_j (m_j^2 + v_j) - 2 m_j E[X; Y in cell j]   (X and m about E[X]),
        perception = sum_j p_j f(q_j / p_j),   error rate = P(class, side of Xhat) weighted by the cost,

    all exact for the continuous problem up to `ROUNDING`: the law of Xhat has the density p_X q_j/p_j in cell j.

    Parameters
    ----------
    model : LineModel
    edges : array of shape (n - 1,)
        Inner edges e of the output, increasing, every class boundary among them [units of x].
    places : array of shape (n - 1,)
        The y of each edge, s, nondecreasing [units of x]; infinities are allowed.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> from cdp_toy.continuous.model import line_model
    >>> value = evaluate(line_model(presets.paper_toy(threshold=0.0)), np.array([0.0]), np.array([0.8]))
    >>> print(f"{value.error_rate:.4f} {value.distortion:.4f}")  # two cells: X given its sign
    0.2042 1.8458

    Raises
    ------
    InputError
        When the edges miss a class boundary or something does not increase.
    """
    if edges.shape != places.shape or edges.ndim != 1:
        raise InputError(f"edges and places differ in shape: {edges.shape} and {places.shape}")
    if not (np.all(np.diff(edges) > 0) and np.all(np.diff(places[np.isfinite(places)]) >= 0)):
        raise InputError("edges must increase and their places in y must not decrease")
    if not np.all(np.isin(model.boundaries, edges)):
        raise InputError(f"every class boundary must be an edge of the output: {model.boundaries.tolist()}")
    return evaluate_cells(model, edges, model.output_cells(np.concatenate([[-np.inf], edges, [np.inf]])), places)


def evaluate_cells(model: LineModel, edges: Array, cells: OutputCells, places: Array) -> MapValue:
    """`evaluate` with the law of X on the output cells at hand."""
    joint, first, _ = model.observed_cells(np.concatenate([[-np.inf], places, [np.inf]]), model.centre)
    q, mean = np.maximum(joint.sum(axis=0), 0.0), cells.mean - model.centre
    side = np.searchsorted(model.boundaries, np.concatenate([edges, [np.inf]]), side="left")
    error = float((model.side_costs[side].T * joint).sum())
    distortion = model.variance + float((q * (mean**2 + cells.variance) - 2 * mean * first).sum())
    return MapValue(error, distortion, model.perception.value(cells.mass, q))
