"""Optimal monotone maps in closed form: the exact source law, no distortion level, no perception level."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from cdp_toy.closed_forms.observed_mixture import increasing_root
from cdp_toy.errors import InputError
from cdp_toy.solvers.monotone_map import MonotoneMap, MonotoneProblem, map_of, on_edges, preference
from cdp_toy.solvers.monotone_newton import places_of
from cdp_toy.validation import Array

__all__ = ["clipped", "reproducing", "reweighted"]

#: without a perception level mass gathers at the threshold: the cells next to it are so narrow [standard deviations]
ATOM = 1e-7


def reproducing(posed: MonotoneProblem, error: bool) -> MonotoneMap:
    """P = 0: the output law is the source law, and the potential integrates the conditions of the optimum."""
    grid, model = posed.grid, posed.model
    places = places_of(grid, grid.cells.mass)
    variance, std = model.variance, math.sqrt(model.variance)
    if error:  # distortion is not priced: the potential jumps at the threshold
        jump = preference(posed, places[grid.at])
        steps = np.where(np.arange(len(places)) == grid.at, -jump, 0.0)
    else:
        steps = variance * (np.diff(grid.second) - 2 * model.mean(places) / std * np.diff(grid.mean))
    potential = np.concatenate([[0.0], np.cumsum(steps)])
    potential = potential - potential.min()
    out = map_of(posed, places, float(error), 0.0 if error else 1.0, math.inf, potential)
    # the exact places, of which these are roundings, give the source law
    return replace(out, value=out.value._replace(perception=0.0))


def reweighted(posed: MonotoneProblem, level: float) -> MonotoneMap:
    """D = inf: the source law reweighted on the two sides, which attains C(inf, P)."""
    place = posed.curve.threshold(level)
    masses = np.ravel(posed.model.tails(np.array([place])))
    masses = np.maximum(masses, 0.0)
    q = posed.at_threshold(masses)
    places = places_of(posed.grid, q)
    places[posed.grid.at] = place
    descents = posed.model.perception.descent(np.maximum(masses, 1e-300) / posed.side_masses)
    gained = preference(posed, place)
    spread = float(descents[0] - descents[1])
    kap = 0.0
    if level < posed.curve.saturation and spread * gained > 0:
        kap = gained / spread
    potential = np.repeat(kap * descents, [posed.grid.at + 1, len(q) - posed.grid.at - 1])
    return map_of(posed, places, 1.0, 0.0, kap, potential)


def clipped(posed: MonotoneProblem, max_distortion: float, error: bool, place: float | None = None) -> MonotoneMap:
    """P = inf: y goes to the output cell nearest to E[X|y] on the side that it is sent to.

    The place of the threshold lies between the one of least distortion and the one of least error.
    """
    model, threshold = posed.model, float(posed.model.boundaries[0])
    margin = ATOM * math.sqrt(model.variance)
    edges = posed.grid.edges
    edges = edges[(np.abs(edges - threshold) > 2 * margin) | (edges == threshold)]
    edges = np.sort(np.concatenate([edges, [threshold - margin, threshold + margin]]))
    posed = on_edges(posed.problem, model, edges)
    grid = posed.grid
    std = math.sqrt(model.variance)
    nearest = 0.5 * std * np.diff(grid.second) / np.diff(grid.mean)
    low, high = model.source.bounds(model.noise_std, 1.0)
    try:
        natural = increasing_root(
            lambda y: model.mean(y) - nearest, np.full(nearest.shape, low), np.full(nearest.shape, high)
        )
    except ArithmeticError:
        raise InputError("E[X|y] does not reach the outer cells of the output") from None
    natural = np.maximum.accumulate(natural)
    k = grid.at

    def mapped(middle: float) -> Array:
        return np.concatenate([np.minimum(natural[:k], middle), [middle], np.maximum(natural[k + 1 :], middle)])

    within = float(increasing_root(lambda y: model.mean(y) - (threshold - model.centre), *np.array([[low], [high]]))[0])
    lam, weight = 1.0, 0.0
    if error:
        weight, beyond = 1.0, posed.curve.best_threshold
        if posed.values(mapped(beyond)).distortion <= max_distortion:
            within, lam = beyond, 0.0
        else:
            middle = within + 0.5 * (beyond - within)
            while middle not in (within, beyond):
                if posed.values(mapped(middle)).distortion <= max_distortion:
                    within = middle
                else:
                    beyond = middle
                middle = within + 0.5 * (beyond - within)
            distance = float(model.mean(np.array([within]))[0]) + model.centre - threshold
            lam = abs(preference(posed, within)) / max(distance**2, 1e-300)
    if place is not None:
        within = place
    out = map_of(posed, mapped(within), weight, min(lam, 1e12), 0.0, np.zeros(len(grid.cells.mass)))
    missed = error and out.value.distortion > max_distortion
    return replace(out, converged=not missed, diverged=missed)
