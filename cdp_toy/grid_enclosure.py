"""Enclosures where optimal restorations need not be monotone maps: a grid above, its prices below."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
from scipy.interpolate import CubicSpline

from cdp_toy.boundary import min_distortion
from cdp_toy.continuous.duals import dual_from_potential
from cdp_toy.continuous.lower import Dual, LowerBound, lower_bound, refined_cells
from cdp_toy.continuous.model import LineModel, line_model
from cdp_toy.enclosure import CONTINUOUS, Enclosure, nothing, status_of
from cdp_toy.finite import DiscreteProblem
from cdp_toy.point import Status
from cdp_toy.problem import CDPProblem
from cdp_toy.solving import solve
from cdp_toy.validation import Array

__all__ = ["SIZES", "enclose_by_grids"]

#: cells per axis of the grids, one after the other
SIZES = (101, 201, 401, 801)
#: nodes of the potential for each letter, and cells of y for each node: the grid's own error is what remains
FINER, OBSERVED = 4, 2


def enclose_by_grids(
    problem: CDPProblem, max_distortion: float, max_perception: float, tol: float, max_cells: int, why: str
) -> Enclosure:
    """Enclose C(D, P) of a problem on the line with a classifier of finitely many thresholds.

    The upper end is the error rate of the best channel of a `cells` grid, which is a channel of the continuous problem:
    xhat is drawn from the source within its cell. The lower end is the Lagrangian of the continuous problem at the
    grid's prices and potential, minimised over all of y and xhat (`continuous.lower`). Class boundaries are cell edges,
    so that both err with the square of the cell width where the potential is smooth. `why` says why maps do not serve.
    """
    model = line_model(problem)
    point = nothing(problem, max_distortion, max_perception, CONTINUOUS)
    if max_perception < 0:
        return point
    floor = _bound(model, _silent(model), math.inf, math.inf).value
    lower, upper = floor, math.inf
    for n in (size for size in SIZES if size <= max_cells):
        grid = problem.discretize(n=n)
        found = solve(grid, max_distortion, max_perception, tol=min(tol / 4, 1e-8), on_infeasible="return")
        if found.status is Status.INFEASIBLE:
            least = min_distortion(grid, max_perception)
            dual = _dual(model, grid, 0.0, 1.0, np.asarray(least.potential), max_perception)
            bound = _bound(model, dual, 0.0, max_perception).value
            if bound > max_distortion:
                return dataclasses.replace(
                    point,
                    price_distortion=1.0,
                    price_perception=least.prices.perception,
                    n_cells=n,
                    note=f"D_min(P) lies in [{bound:.12g}, {least.upper:.12g}]; raise max_distortion or max_perception",
                    least_distortion=(bound, least.upper),
                )
            continue
        assert found.potential is not None
        dual = _dual(model, grid, 1.0, found.price_distortion, found.potential, max_perception)
        here = _bound(model, dual, max_distortion, max_perception).value
        if here >= lower:
            lower = here
            point = dataclasses.replace(
                point, price_distortion=found.price_distortion, price_perception=found.price_perception
            )
        if found.upper_bound < upper:
            upper = found.upper_bound
            point = dataclasses.replace(
                point,
                error_rate=found.error_rate,
                distortion=found.distortion,
                perception=found.perception,
                restoration=found,
            )
        point = dataclasses.replace(point, n_cells=n, lower_bound=lower, upper_bound=max(upper, lower))
        if upper - lower <= tol:
            break
    status = status_of(lower, upper, tol)
    note = f"a grid of {point.n_cells} cells above, its prices below; {why}"
    if status is Status.INEXACT:
        note += "; the gap falls with the square of the cell width, and the largest grid was used"
    elif status is Status.UNDECIDED:
        note = f"the grids have no channel and the bound on D_min(P) does not exceed D; {why}"
    return dataclasses.replace(point, status=status, lower_bound=lower, note=note)


def _bound(model: LineModel, dual: Dual, max_distortion: float, max_perception: float) -> LowerBound:
    count = OBSERVED * max(sum(map(len, dual.nodes)), FINER * SIZES[0])
    return lower_bound(model, dual, refined_cells(model, dual, count), max_distortion, max_perception)


def _silent(model: LineModel) -> Dual:
    """The dual without prices, which proves the floor."""
    ends = np.concatenate([[-np.inf], model.boundaries, [np.inf]])
    reach = np.clip(ends, *model.source.bounds(0.0, 9.0))
    nodes = tuple(np.array([0.5 * (a + b)]) for a, b in itertools.pairwise(reach))
    return Dual(1.0, 0.0, 0.0, nodes, tuple(np.zeros(1) for _ in nodes))


def _dual(
    model: LineModel, grid: DiscreteProblem, weight: float, lam: float, potential: Array, max_perception: float
) -> Dual:
    """The grid's prices and potential for the continuous problem, with splines of v between the means of its cells."""
    assert grid.grid is not None
    coarse = dual_from_potential(model, weight, lam, grid.grid.x_edges, potential, max_perception)
    log = coarse.price_perception < math.inf and all(v.min() > 0 for v in coarse.potential)
    nodes, values = [], []
    for x, v in zip(coarse.nodes, coarse.potential, strict=True):
        if len(x) >= 4:
            fine = np.interp(np.arange(FINER * (len(x) - 1) + 1) / FINER, np.arange(len(x)), x)
            x, v = fine, np.exp(CubicSpline(x, np.log(v))(fine)) if log else CubicSpline(x, v)(fine)
        nodes.append(x)
        values.append(v)
    return dataclasses.replace(coarse, nodes=tuple(nodes), potential=tuple(values))
