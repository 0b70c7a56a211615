"""Optimal restorations of monotone problems on the line: maps, their prices and the potentials that prove them.

Three programs over the same cells of the output: least error at levels (D, P), least distortion at a level P, and
least distortion of those maps whose error is the floor. What has a closed form is not iterated: P = 0, where the output
law is the source law; D = inf, where it is reweighted on the two sides; P = inf, where E[X|y] is clipped.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from cdp_toy.continuous.upper import MapValue
from cdp_toy.errors import InputError
from cdp_toy.solvers.monotone_closed import clipped, reproducing, reweighted
from cdp_toy.solvers.monotone_map import MonotoneMap, MonotoneProblem, map_of, monotone_problem
from cdp_toy.solvers.monotone_newton import Answer, Task, cumulative, iterate, places_of
from cdp_toy.validation import Array, check_level

__all__ = [
    "FLAT_WEIGHT",
    "MonotoneMap",
    "MonotoneProblem",
    "decided",
    "flat_map",
    "least_distortion",
    "least_error",
    "monotone_problem",
]

#: levels are met with this much to spare, so that rounding does not decide: of D in units of Var X, of P itself
SLACK_DISTORTION, SLACK_PERCEPTION = 1e-12, 1e-13
#: but with no more than this share of P
SLACK_SHARE = 1e-3
#: a method that stalls here is as good as converged: rounding of bounds, in units of the objective
GOOD = 1e-11
#: weight of the error in the dual of D_flat, in units of Var X: what the bound loses falls like 1/weight
FLAT_WEIGHT = 1e8


def least_error(
    posed: MonotoneProblem,
    max_distortion: float,
    max_perception: float,
    slack_distortion: float = SLACK_DISTORTION,
    slack_perception: float = SLACK_PERCEPTION,
) -> MonotoneMap:
    """Map of least error rate at levels (D, P).

    Parameters
    ----------
    posed : MonotoneProblem
    max_distortion, max_perception : float
        D [squared units of x] and P [units of the divergence]; inf drops one.
    slack_distortion, slack_perception : float
        The levels are met with this much to spare, in units of Var X and of P, so that the map is feasible beyond
        rounding.

    Returns
    -------
    MonotoneMap
        Where `diverged`, no map was found that meets the levels; that proves nothing.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> best = least_error(monotone_problem(presets.paper_toy(), 801), 0.7, 0.002)
    >>> print(f"{best.value.error_rate:.6f} {best.value.distortion:.6f} {best.value.perception:.6f}")
    0.204339 0.700000 0.002000
    """
    level_d = check_level(max_distortion, "max_distortion")
    level_p = _checked_perception(max_perception)
    if math.isinf(level_p):
        return clipped(posed, level_d, error=True)
    if level_p > 0:
        free = reweighted(posed, level_p - min(slack_perception, SLACK_SHARE * level_p))
    else:
        free = reproducing(posed, error=True)
    if free.value.distortion <= level_d:
        return free
    if level_p == 0:
        return replace(free, converged=False, diverged=True)
    if level_p > posed.curve.saturation:
        flat = flat_map(posed, level_p, slack_perception)
        if flat.converged and flat.value.distortion <= level_d:
            return replace(
                flat, error_weight=1.0, price_distortion=0.0, price_perception=0.0, potential=0.0 * flat.potential
            )
    variance = posed.model.variance
    task = Task(1.0, 0.0, level_d / variance - slack_distortion, _sum_level(posed, level_p, slack_perception))
    if task.max_distortion <= 0:
        return replace(reproducing(posed, error=True), converged=False, diverged=True)
    found = _found(posed, task, iterate(posed.grid, task, posed.grid.cells.mass))
    if found.diverged or _feasible(found.value, level_d, level_p):
        return found
    return _repaired(posed, found, least_distortion(posed, level_p, slack_perception), level_d, level_p)


def least_distortion(
    posed: MonotoneProblem, max_perception: float, slack_perception: float = SLACK_PERCEPTION
) -> MonotoneMap:
    """Map of least distortion at a perception level P, with D_min(P) as its distortion.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> print(f"{least_distortion(monotone_problem(presets.paper_toy(), 801), 0.0).value.distortion:.4f}")
    0.7113
    """
    level = _checked_perception(max_perception)
    if level == 0:
        return reproducing(posed, error=False)
    if math.isinf(level):
        return clipped(posed, -math.inf, error=False)
    task = Task(0.0, 1.0, math.inf, _sum_level(posed, level, slack_perception))
    found = _found(posed, task, iterate(posed.grid, task, posed.grid.cells.mass))
    return _repaired(posed, found, reproducing(posed, error=False), math.inf, level)


def flat_map(posed: MonotoneProblem, max_perception: float, slack_perception: float = SLACK_PERCEPTION) -> MonotoneMap:
    """Map of least distortion among those of least error, which decide by the larger posterior; D_flat(P).

    Its `dual` bounds w floor + D_flat(P), w its error weight. Below the level where the floor is reached no such map
    exists, which the result reports as diverged.
    """
    level = _checked_perception(max_perception)
    decision = np.array([posed.curve.best_threshold])
    masses = np.ravel(posed.model.tails(decision))
    weight = FLAT_WEIGHT * posed.model.variance
    if math.isinf(level):
        return replace(clipped(posed, math.inf, error=False, place=float(decision[0])), error_weight=weight)
    start = posed.at_threshold(masses)
    limit = level - min(slack_perception, SLACK_SHARE * level)
    if masses.min() <= 0 or posed.model.perception.value(posed.grid.cells.mass, start) >= limit:
        here = map_of(posed, places_of(posed.grid, posed.grid.cells.mass), 1.0, 0.0, 0.0, np.zeros(len(start)))
        return replace(here, converged=False, diverged=True)
    task = Task(0.0, 1.0, math.inf, _sum_level(posed, level, slack_perception), pinned=True)
    found = _repaired(
        posed,
        _found(posed, task, iterate(posed.grid, task, start)),
        map_of(posed, places_of(posed.grid, start), 0.0, 1.0, 0.0, np.zeros(len(start))),
        math.inf,
        level,
    )
    places = decided(posed, found.places)  # the pinned place comes back rounded
    return replace(found, places=places, value=posed.values(places), error_weight=weight)


def decided(posed: MonotoneProblem, places: Array) -> Array:
    """Places with that of the class boundary at the decision of least error, and the others on their sides of it."""
    decision, k = posed.curve.best_threshold, posed.grid.at
    return np.concatenate([np.minimum(places[:k], decision), [decision], np.maximum(places[k + 1 :], decision)])


def _checked_perception(value: float) -> float:
    level = check_level(value, "max_perception")
    if level < 0:
        raise InputError(f"no channel has a perception of at most {level:g}; give max_perception >= 0")
    return level


def _sum_level(posed: MonotoneProblem, level: float, slack: float) -> float:
    return posed.model.perception.sum_level(level - min(slack, SLACK_SHARE * level))


def _feasible(value: MapValue, max_distortion: float, max_perception: float) -> bool:
    return value.distortion <= max_distortion and value.perception <= max_perception


def _found(posed: MonotoneProblem, task: Task, answer: Answer) -> MonotoneMap:
    """Map of an answer in the units of the problem: error in 1, or distortion with a price of one."""
    variance = posed.model.variance
    unit = 1.0 if task.error_weight > 0 else variance
    lam = answer.price_distortion * unit / variance
    kap, potential = answer.price_perception * unit, answer.potential * unit
    out = map_of(posed, answer.places, task.error_weight, lam, kap, potential)
    good = not answer.diverged and answer.missed <= GOOD
    return replace(out, iterations=answer.iterations, converged=good, diverged=answer.diverged)


def _repaired(
    posed: MonotoneProblem, found: MonotoneMap, anchor: MonotoneMap, max_distortion: float, max_perception: float
) -> MonotoneMap:
    """The map itself where it meets the levels, else the least mixture with one that does.

    What is mixed are the cumulative masses of the output: distortion, divergence and error are convex in them.
    """
    if found.diverged or _feasible(found.value, max_distortion, max_perception):
        return found
    ends = [cumulative(posed.model.observed_cells(_padded(m.places), 0.0).joint.sum(axis=0)) for m in (found, anchor)]
    for share in 10.0 ** np.arange(-12, 1):
        below, above = ((1 - share) * a + share * b for a, b in zip(*ends, strict=True))
        places = posed.model.quantile(below, above)
        value = posed.values(places)
        if _feasible(value, max_distortion, max_perception):
            return replace(found, places=places, value=value)
    return replace(found, converged=False, diverged=True)


def _padded(places: Array) -> Array:
    return np.concatenate([[-np.inf], places, [np.inf]])
