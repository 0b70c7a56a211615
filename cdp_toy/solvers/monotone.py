"""Optimal restorations of monotone problems on the line: maps, their prices and the potentials that prove them.

Three programs over the same cells of the output: least error at levels (D, P), least distortion at a level P, and
least distortion of those maps whose error is the floor. What has a closed form is not iterated: P = 0, where the output
law is the source law; D = inf, where it is reweighted on the two sides; P = inf, where E[X|y] is clipped.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from cdp_toy.closed_forms.error_curve import ErrorCurve
from cdp_toy.closed_forms.observed_mixture import increasing_root
from cdp_toy.continuous.conditions import monotone_threshold
from cdp_toy.continuous.duals import side_by_side
from cdp_toy.continuous.grids import output_edges
from cdp_toy.continuous.lower import Dual
from cdp_toy.continuous.model import LineModel, line_model
from cdp_toy.continuous.upper import MapValue, evaluate_cells
from cdp_toy.errors import InputError
from cdp_toy.problem import CDPProblem
from cdp_toy.solvers.monotone_newton import Answer, MapGrid, Task, cumulative, iterate, places_of
from cdp_toy.validation import Array, check_level

__all__ = ["MonotoneMap", "MonotoneProblem", "flat_map", "least_distortion", "least_error", "monotone_problem"]

#: levels are met with this much to spare, so that rounding does not decide: of D in units of Var X, of P itself
SLACK_DISTORTION, SLACK_PERCEPTION = 1e-12, 1e-13
#: but with no more than this share of P
SLACK_SHARE = 1e-3
#: a method that stalls here is as good as converged: rounding of bounds, in units of the objective
GOOD = 1e-11
#: without a perception level mass gathers at the threshold: the cells next to it are so narrow [standard deviations]
ATOM = 1e-7
#: weight of the error in the dual of D_flat, in units of Var X: what the bound loses falls like 1/weight
FLAT_WEIGHT = 1e8


@dataclass(frozen=True, eq=False)
class MonotoneProblem:
    """A problem whose optimal restorations are monotone, on output cells; `monotone_problem` makes one."""

    problem: CDPProblem
    model: LineModel
    grid: MapGrid

    @cached_property
    def curve(self) -> ErrorCurve:
        """C(inf, P) in closed form."""
        return ErrorCurve(self.problem)

    @cached_property
    def side_masses(self) -> Array:
        """P(X below and above the threshold), shape (2,)."""
        mass, k = self.grid.cells.mass, self.grid.at + 1
        return np.array([mass[:k].sum(), mass[k:].sum()])

    def values(self, places: Array) -> MapValue:
        """What a map achieves."""
        return evaluate_cells(self.model, self.grid.edges, self.grid.cells, places)

    def at_threshold(self, masses: Array) -> Array:
        """Masses of the output cells: the source law, reweighted to the given masses of the two sides."""
        k, share = self.grid.at + 1, masses / self.side_masses
        mass = self.grid.cells.mass
        return np.concatenate([mass[:k] * share[0], mass[k:] * share[1]])


@dataclass(frozen=True, eq=False)
class MonotoneMap:
    """A restoration: y in (places[j-1], places[j]] goes to X given X in (edges[j-1], edges[j]]; and its prices.

    Attributes
    ----------
    edges : array of shape (n - 1,)
        Inner edges of the output cells [units of x].
    threshold_index : int
        edges[threshold_index] is the class boundary.
    places : array of shape (n - 1,)
        Nondecreasing [units of x].
    value : MapValue
        Error rate, distortion and perception, exact for the continuous problem.
    error_weight, price_distortion, price_perception : float
        Weight of the error and multipliers of the two levels in the units of the problem; the latter is that of the sum
        p f(q/p), inf at P = 0.
    nodes, potential : arrays of shape (n,)
        Means of X in the cells, and the potential there.
    iterations : int
        0 for a closed form.
    converged : bool
        The optimality conditions hold to rounding.
    diverged : bool
        The map misses a level or a price grew beyond bounds: the levels are out of reach, or at the end of what is.
    """

    edges: Array
    threshold_index: int
    places: Array
    value: MapValue
    error_weight: float
    price_distortion: float
    price_perception: float
    nodes: Array
    potential: Array
    iterations: int
    converged: bool
    diverged: bool

    def dual(self, model: LineModel) -> Dual:
        """What a lower bound needs."""
        nodes, potential = side_by_side(model, self.nodes, self.potential)
        return Dual(self.error_weight, self.price_distortion, self.price_perception, nodes, potential)


def monotone_problem(problem: CDPProblem, n: int = 3201) -> MonotoneProblem:
    """Check the conditions of the monotone reduction and cut the output into about n cells.

    Raises
    ------
    InputError
        When a condition of `monotone_threshold` fails, or n is too small.
    """
    monotone_threshold(problem)
    model = line_model(problem)
    return _on_edges(problem, model, output_edges(model, n))


def _on_edges(problem: CDPProblem, model: LineModel, edges: Array) -> MonotoneProblem:
    cells = model.output_cells(np.concatenate([[-np.inf], edges, [np.inf]]))
    at = int(np.searchsorted(edges, model.boundaries[0]))
    return MonotoneProblem(problem, model, MapGrid(model, edges, cells, at))


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
        return _clipped(posed, level_d, error=True)
    if level_p > 0:
        free = _reweighted(posed, level_p - min(slack_perception, SLACK_SHARE * level_p))
    else:
        free = _reproducing(posed, error=True)
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
        return replace(_reproducing(posed, error=True), converged=False, diverged=True)
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
        return _reproducing(posed, error=False)
    if math.isinf(level):
        return _clipped(posed, -math.inf, error=False)
    task = Task(0.0, 1.0, math.inf, _sum_level(posed, level, slack_perception))
    found = _found(posed, task, iterate(posed.grid, task, posed.grid.cells.mass))
    return _repaired(posed, found, _reproducing(posed, error=False), math.inf, level)


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
        return replace(_clipped(posed, math.inf, error=False, place=float(decision[0])), error_weight=weight)
    start = posed.at_threshold(masses)
    limit = level - min(slack_perception, SLACK_SHARE * level)
    if masses.min() <= 0 or posed.model.perception.value(posed.grid.cells.mass, start) >= limit:
        here = _map(posed, places_of(posed.grid, posed.grid.cells.mass), 1.0, 0.0, 0.0, np.zeros(len(start)))
        return replace(here, converged=False, diverged=True)
    task = Task(0.0, 1.0, math.inf, _sum_level(posed, level, slack_perception), pinned=True)
    found = _repaired(
        posed,
        _found(posed, task, iterate(posed.grid, task, start)),
        _map(posed, places_of(posed.grid, start), 0.0, 1.0, 0.0, np.zeros(len(start))),
        math.inf,
        level,
    )
    # the pinned place comes back rounded; the error is least at the decision itself
    places, k = found.places.copy(), posed.grid.at
    places[k] = decision[0]
    places[:k], places[k:] = np.minimum(places[:k], decision[0]), np.maximum(places[k:], decision[0])
    return replace(found, places=places, value=posed.values(places), error_weight=weight)


def _checked_perception(value: float) -> float:
    level = check_level(value, "max_perception")
    if level < 0:
        raise InputError(f"no channel has a perception of at most {level:g}; give max_perception >= 0")
    return level


def _sum_level(posed: MonotoneProblem, level: float, slack: float) -> float:
    return posed.model.perception.sum_level(level - min(slack, SLACK_SHARE * level))


def _feasible(value: MapValue, max_distortion: float, max_perception: float) -> bool:
    return value.distortion <= max_distortion and value.perception <= max_perception


def _map(posed: MonotoneProblem, places: Array, weight: float, lam: float, kap: float, potential: Array) -> MonotoneMap:
    grid = posed.grid
    return MonotoneMap(
        grid.edges, grid.at, places, posed.values(places), weight, lam, kap, grid.cells.mean, potential, 0, True, False
    )


def _found(posed: MonotoneProblem, task: Task, answer: Answer) -> MonotoneMap:
    """Map of an answer in the units of the problem: error in 1, or distortion with a price of one."""
    variance = posed.model.variance
    unit = 1.0 if task.error_weight > 0 else variance
    lam = answer.price_distortion * unit / variance
    kap, potential = answer.price_perception * unit, answer.potential * unit
    out = _map(posed, answer.places, task.error_weight, lam, kap, potential)
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


def _reproducing(posed: MonotoneProblem, error: bool) -> MonotoneMap:
    """P = 0: the output law is the source law, and the potential integrates the conditions of the optimum."""
    grid, model = posed.grid, posed.model
    places = places_of(grid, grid.cells.mass)
    variance, std = model.variance, math.sqrt(model.variance)
    if error:  # distortion is not priced: the potential jumps at the threshold
        jump = _preference(posed, places[grid.at])
        steps = np.where(np.arange(len(places)) == grid.at, -jump, 0.0)
    else:
        steps = variance * (np.diff(grid.second) - 2 * model.mean(places) / std * np.diff(grid.mean))
    potential = np.concatenate([[0.0], np.cumsum(steps)])
    potential = potential - potential.min()
    out = _map(posed, places, float(error), 0.0 if error else 1.0, math.inf, potential)
    # the exact places, of which these are roundings, give the source law
    return replace(out, value=out.value._replace(perception=0.0))


def _preference(posed: MonotoneProblem, place: float) -> float:
    """2 r - 1 at a place, r the posterior of the rising class."""
    assert posed.model.rising_class is not None
    return float(2 * posed.model.posterior(np.array([place]))[posed.model.rising_class, 0] - 1)


def _reweighted(posed: MonotoneProblem, level: float) -> MonotoneMap:
    """D = inf: the source law reweighted on the two sides, which attains C(inf, P)."""
    place = posed.curve.threshold(level)
    masses = np.ravel(posed.model.tails(np.array([place])))
    masses = np.maximum(masses, 0.0)
    q = posed.at_threshold(masses)
    places = places_of(posed.grid, q)
    places[posed.grid.at] = place
    descents = posed.model.perception.descent(np.maximum(masses, 1e-300) / posed.side_masses)
    preference = _preference(posed, place)
    spread = float(descents[0] - descents[1])
    kap = 0.0
    if level < posed.curve.saturation and spread * preference > 0:
        kap = preference / spread
    potential = np.repeat(kap * descents, [posed.grid.at + 1, len(q) - posed.grid.at - 1])
    return _map(posed, places, 1.0, 0.0, kap, potential)


def _clipped(posed: MonotoneProblem, max_distortion: float, error: bool, place: float | None = None) -> MonotoneMap:
    """P = inf: y goes to the output cell nearest to E[X|y] on the side that it is sent to.

    The place of the threshold lies between the one of least distortion and the one of least error.
    """
    model, threshold = posed.model, float(posed.model.boundaries[0])
    margin = ATOM * math.sqrt(model.variance)
    edges = posed.grid.edges
    edges = edges[(np.abs(edges - threshold) > 2 * margin) | (edges == threshold)]
    edges = np.sort(np.concatenate([edges, [threshold - margin, threshold + margin]]))
    posed = _on_edges(posed.problem, model, edges)
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
            lam = abs(_preference(posed, within)) / max(distance**2, 1e-300)
    if place is not None:
        within = place
    out = _map(posed, mapped(within), weight, min(lam, 1e12), 0.0, np.zeros(len(grid.cells.mass)))
    missed = error and out.value.distortion > max_distortion
    return replace(out, converged=not missed, diverged=missed)
