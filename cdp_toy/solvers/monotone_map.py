"""Monotone maps on cells of the output, their values and prices, and the problem they belong to."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cdp_toy.closed_forms.error_curve import ErrorCurve
from cdp_toy.continuous.conditions import monotone_threshold
from cdp_toy.continuous.duals import side_by_side
from cdp_toy.continuous.grids import output_edges
from cdp_toy.continuous.lower import Dual
from cdp_toy.continuous.model import LineModel, line_model
from cdp_toy.continuous.upper import MapValue, evaluate_cells
from cdp_toy.problem import CDPProblem
from cdp_toy.solvers.monotone_newton import MapGrid
from cdp_toy.validation import Array

__all__ = ["MonotoneMap", "MonotoneProblem", "map_of", "monotone_problem", "on_edges", "preference"]


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
    return on_edges(problem, model, output_edges(model, n))


def on_edges(problem: CDPProblem, model: LineModel, edges: Array) -> MonotoneProblem:
    """The problem on output cells between given inner edges, the class boundary among them."""
    cells = model.output_cells(np.concatenate([[-np.inf], edges, [np.inf]]))
    at = int(np.searchsorted(edges, model.boundaries[0]))
    return MonotoneProblem(problem, model, MapGrid(model, edges, cells, at))


def map_of(
    posed: MonotoneProblem, places: Array, weight: float, lam: float, kap: float, potential: Array
) -> MonotoneMap:
    """The map of given places with prices and a potential at the means of the cells."""
    grid = posed.grid
    return MonotoneMap(
        grid.edges, grid.at, places, posed.values(places), weight, lam, kap, grid.cells.mean, potential, 0, True, False
    )


def preference(posed: MonotoneProblem, place: float) -> float:
    """2 r - 1 at a place, r the posterior of the rising class."""
    assert posed.model.rising_class is not None
    return float(2 * posed.model.posterior(np.array([place]))[posed.model.rising_class, 0] - 1)
