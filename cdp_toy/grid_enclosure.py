"""Enclosures where optimal restorations need not be monotone maps: a grid above, its prices below."""

from __future__ import annotations

import dataclasses
import itertools
import math
from typing import cast

import numpy as np
from scipy.interpolate import CubicSpline

from cdp_toy.boundary import min_distortion
from cdp_toy.continuous.lower import Dual, LowerBound, lower_bound, refined_cells
from cdp_toy.continuous.model import LineModel, line_model
from cdp_toy.costs import SquaredErrorCost
from cdp_toy.enclosure import CONTINUOUS, Enclosure, status_of
from cdp_toy.finite import DiscreteProblem
from cdp_toy.perceptions.base import root_in_log
from cdp_toy.point import Status
from cdp_toy.problem import CDPProblem
from cdp_toy.solving import solve
from cdp_toy.validation import Array

__all__ = ["SIZES", "enclose_by_grids"]

#: cells per axis of the grids, one after the other
SIZES = (101, 201, 401, 801)
#: nodes of the potential for each letter, and cells of y for each node: the grid's own error is what remains
FINER, OBSERVED = 4, 2
#: letters lighter than this say nothing of the potential
LIGHTEST = 1e-13


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
    point = Enclosure(
        status=Status.INFEASIBLE,
        scope=CONTINUOUS,
        lower_bound=math.inf,
        upper_bound=math.inf,
        error_rate=math.nan,
        distortion=math.nan,
        perception=math.nan,
        max_distortion=max_distortion,
        max_perception=max_perception,
        price_distortion=0.0,
        price_perception=0.0,
        problem=problem,
        restoration=None,
        n_cells=0,
        note="no divergence is negative",
    )
    if max_perception < 0:
        return point
    floor = _bound(model, _silent(model), math.inf, math.inf).value
    lower, upper = floor, math.inf
    for n in (size for size in SIZES if size <= max_cells):
        grid = problem.discretize(n=n)
        found = solve(grid, max_distortion, max_perception, tol=min(tol / 4, 1e-8), on_infeasible="return")
        if found.status is Status.INFEASIBLE:
            least = min_distortion(grid, max_perception)
            dual = _dual(model, grid, 0.0, 1.0, least.prices.perception, np.asarray(least.potential), max_perception)
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
        dual = _dual(model, grid, 1.0, found.price_distortion, found.price_perception, found.potential, max_perception)
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
    model: LineModel,
    grid: DiscreteProblem,
    weight: float,
    lam: float,
    price_perception: float,
    potential: Array,
    max_perception: float,
) -> Dual:
    """The grid's prices and potential for the continuous problem: splines of log v between the means of its cells."""
    perception, exactly_p = model.perception, max_perception == 0
    if not exactly_p and not (price_perception > 0 and math.isfinite(max_perception)):
        silent = _silent(model)
        return dataclasses.replace(silent, error_weight=weight, price_distortion=lam)
    kap = math.inf if exactly_p else price_perception / perception.sum_slope(max_perception)
    v = potential - potential.min()
    if not exactly_p:  # the constant that makes the law of least Lagrangian a law
        p, scale = grid.p_x, max(float(np.ptp(v)), kap)
        v = v + root_in_log(lambda c: float(p @ perception.ratio_at((v + c) / kap)) - 1.0, scale)
    places = cast(SquaredErrorCost, grid.distortion_cost).mean_x[:, 0]
    known = grid.p_x > LIGHTEST
    ends = np.concatenate([[-np.inf], model.boundaries, [np.inf]])
    nodes, values = [], []
    for low, high in itertools.pairwise(ends):
        mine = known & (places > low) & (places < high)
        x, height = places[mine], v[mine]
        fine = np.interp(np.arange(FINER * (len(x) - 1) + 1) / FINER, np.arange(len(x)), x)
        if len(x) < 4:
            nodes.append(x)
            values.append(height)
        elif exactly_p:
            nodes.append(fine)
            values.append(CubicSpline(x, height)(fine))
        else:
            nodes.append(fine)
            values.append(np.exp(CubicSpline(x, np.log(height))(fine)))
    return Dual(weight, lam, kap, tuple(nodes), tuple(values))
