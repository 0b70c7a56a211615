"""The continuous problem as an oracle: proven intervals from optimal monotone maps, and mixtures of their laws."""

from __future__ import annotations

import math
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy.optimize import brentq

from cdp_toy.continuous.conditions import monotone_threshold
from cdp_toy.enclosing import (
    LADDER,
    enclose,
    enclose_flat_distortion,
    enclose_min_distortion,
    enclosure_of,
)
from cdp_toy.enclosure import CONTINUOUS, Enclosure
from cdp_toy.errors import InputError
from cdp_toy.evidence import Evidence
from cdp_toy.point import Bracket, Point, Prices, Status
from cdp_toy.problem import CDPProblem
from cdp_toy.problem_files import problem_to_toml
from cdp_toy.solvers.monotone import (
    MonotoneMap,
    MonotoneProblem,
    flat_map,
    least_distortion,
    least_error,
    monotone_problem,
)
from cdp_toy.tracing.continuous_mixing import REACH, ContinuousMixer, OutputLaw, law_of
from cdp_toy.tracing.mapped import mapped, mapped_row
from cdp_toy.tracing.mixing import Proof
from cdp_toy.tracing.mixtures import Attained, Mixer, OneByOne, Plane
from cdp_toy.tracing.oracles import FLOOR_SHARE, FLOOR_STEP, SATURATED, TracedOracle
from cdp_toy.tracing.records import Answer, Row

__all__ = ["ContinuousOracle"]

#: Output cells of all maps that are mixed, by the least gap of points that they serve: both ends err by 1.6e-5, 1e-6
#: and 6e-8 in D (measured on the toy), the surface by that times the price of distortion, 0.75 at 1e-4 from D_min(P).
#: With too few cells no mixture is narrow enough there, and every place is left to the solver.
CELLS = ((4e-6, LADDER[0]), (3e-7, LADDER[1]), (0.0, LADDER[2]))
#: Most output cells of a point or bracket: next to D_min(P), and where D_flat(P) begins, even more would not do.
FINEST = LADDER[2]
#: The default range of P ends below the exponential of this.
MOST_LOG = 20.0


@dataclass(eq=False)
class ContinuousOracle(TracedOracle):
    """Points and boundaries of a continuous problem that the monotone reduction applies to.

    Parameters
    ----------
    problem : CDPProblem
    tol : float
        Width of the interval of every point to aim for.
    curve_tol : float
        Width of the intervals of D_min(P) and D_flat(P) to aim for [squared units of x].

    Raises
    ------
    InputError
        When the monotone reduction does not apply; the message names the condition that fails.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> oracle = ContinuousOracle(presets.paper_toy(), 1e-5)
    >>> print(f"{oracle(0.7, 0.002).lower_bound:.6f} {oracle.min_distortion(0.002).lower:.4f}")
    0.204339 0.6858
    """

    problem: CDPProblem
    tol: float = 1e-6
    curve_tol: float = 1e-5

    scope = CONTINUOUS
    open_edges = True
    bounded = True

    def __post_init__(self) -> None:
        try:
            monotone_threshold(self.problem)
        except InputError as reason:
            raise InputError(
                f"the surface of this continuous problem cannot be traced: {reason}. Trace problem.discretize(n=201), "
                "the grid problem"
            ) from None

    @property
    def facts(self) -> dict[str, str | float]:
        """What files and summaries say about it."""
        return {
            "scope": self.scope,
            "problem": f"continuous problem {self.problem.name!r}, {self.posed.model.perception.name}",
            "perception": self.posed.model.perception.name,
            "point_tol": self.tol,
            "distortion": "squared_error",
        }

    @property
    def identity(self) -> dict[str, str]:
        """What a file says of the problem, entry by entry; refused where none describes it."""
        return _entries({"problem": {"scope": self.scope} | tomllib.loads(problem_to_toml(self.problem))})

    def portable(self) -> ContinuousOracle:
        """The same oracle for another process, without what it knows by now."""
        return ContinuousOracle(self.problem, self.tol, self.curve_tol)

    def row(self, answer: Answer) -> Row:
        """An answer as a plain row."""
        return mapped_row(answer)

    def restored(self, row: Row) -> Answer:
        """The answer that a plain row was made of."""
        return mapped(row)

    @cached_property
    def posed(self) -> MonotoneProblem:
        """The problem on the output cells that all maps have that are mixed."""
        return monotone_problem(self.problem, next(n for least, n in CELLS if self.tol >= least))

    def __call__(self, max_distortion: float, max_perception: float) -> Enclosure:
        """The interval at a pair of levels, on the common cells where these are fine enough."""
        found = least_error(self.posed, max_distortion, max_perception)
        if not found.diverged:
            point = enclosure_of(Evidence(self.posed, "error_rate", found, max_distortion, max_perception), self.tol)
            if point.status is Status.OPTIMAL:
                return point
        return enclose(self.problem, max_distortion, max_perception, self.tol, on_infeasible="return", max_cells=FINEST)

    def min_distortion(self, max_perception: float) -> Bracket:
        """D_min(P)."""
        found = least_distortion(self.posed, max_perception)
        evidence = Evidence(self.posed, "min_distortion", found, math.inf, max_perception)
        lower, upper = evidence.bound.value, evidence.upper
        if not upper - lower <= self.curve_tol:
            finer = enclose_min_distortion(self.problem, max_perception, self.curve_tol, max_cells=FINEST)
            lower, upper, found = finer.lower, finer.upper, finer.restoration
        return self._bracket(lower, upper, found, max_perception)

    def flat_distortion(self, max_perception: float) -> Bracket | None:
        """D_flat(P), None where the floor is out of reach."""
        found = flat_map(self.posed, max_perception)
        if not found.diverged:
            evidence = Evidence(self.posed, "flat_distortion", found, math.inf, max_perception)
            if evidence.upper - evidence.bound.value <= self.curve_tol:
                return self._bracket(evidence.bound.value, evidence.upper, found, max_perception)
        finer = enclose_flat_distortion(self.problem, max_perception, self.curve_tol, max_cells=FINEST)
        return None if finer is None else self._bracket(finer.lower, finer.upper, finer.restoration, max_perception)

    def _bracket(self, lower: float, upper: float, found: MonotoneMap, max_perception: float) -> Bracket:
        """An interval with its slope: the price of the map is that of the sum p f(q/p), not of P."""
        price = found.price_perception
        slope = price * self.posed.model.perception.sum_slope(max_perception) if price > 0 else 0.0
        return Bracket(max(lower, 0.0), upper, found, Prices(0.0, slope))

    def floor_begins(self, low: float, high: float, flat: Callable[[float], Bracket | None]) -> float | None:
        """Perception level in [low, high] from which the floor is within reach, None without one."""
        begins = self.posed.curve.saturation * (1 + FLOOR_SHARE) + FLOOR_STEP
        return max(begins, low) if begins <= high else None

    def mixer(self, quantity: str) -> Mixer:
        """Mixtures for the surface ("error") or for a boundary curve ("least", "flat")."""
        return OneByOne(ContinuousMixer(self.posed, quantity))

    def of_point(self, point: Point) -> tuple[Plane | None, list[Attained]]:
        """Supporting plane and attained point, with what mixtures need."""
        plane, attained = super().of_point(point)
        found = getattr(point, "restoration", None)
        if not isinstance(found, MonotoneMap):
            return plane, attained
        law = self._law(found)
        if plane is not None and math.isfinite(plane.price_p):
            plane = plane._replace(proof=ContinuousMixer(self.posed).proof(law))
        return plane, [place._replace(channel=law) for place in attained]

    def of_bracket(self, quantity: str, max_perception: float, bracket: Bracket) -> tuple[Plane | None, list[Attained]]:
        """Tangent and attained point of a boundary curve, with the law of a map on the common cells."""
        plane, attained = super().of_bracket(quantity, max_perception, bracket)
        found = bracket.witness
        if not self._common(found):
            found = (least_distortion if quantity == "least" else flat_map)(self.posed, max_perception)
        if found.diverged:
            return plane, attained
        if plane is not None and math.isfinite(plane.price_p):
            plane = plane._replace(proof=Proof(1.0, found.potential))
        law = law_of(self.posed, found.places, found.value)
        return plane, [place._replace(channel=law) for place in attained]

    def on_surface(self, attained: Sequence[Attained]) -> list[Attained]:
        """What the maps on a boundary curve attain on the surface."""
        return [point.channel.attained for point in attained if isinstance(point.channel, OutputLaw)]

    def default_perception(self) -> tuple[float, float]:
        """From 0 until D_min(P) has fallen to D_min(inf), up to a hundredth of its way."""
        least, most = (least_distortion(self.posed, p).value.distortion for p in (math.inf, 0.0))
        if not most > least:
            return 0.0, 1.0
        goal = least + SATURATED * (most - least)

        def above(log_p: float) -> float:
            return least_distortion(self.posed, math.exp(log_p)).value.distortion - goal

        high = 0.0
        while above(high) > 0 and high < MOST_LOG:
            high += 1.0
        if above(high) > 0:
            return 0.0, 1.0
        low = high - 1.0
        while above(low) <= 0:
            high, low = low, low - 1.0
        return 0.0, math.exp(brentq(above, low, high, xtol=1e-3))

    def default_distortion(self, perception: tuple[float, float]) -> tuple[float, float]:
        """From D_min(inf) to the larger of D_min at the least P and D_flat."""
        low = self.min_distortion(math.inf).lower
        flat = self.flat_distortion(max(1.01 * self.posed.curve.saturation, perception[0]))
        high = max(self.min_distortion(perception[0]).upper, -math.inf if flat is None else flat.upper)
        return low, max(high, low)

    def _law(self, found: MonotoneMap) -> OutputLaw:
        """The output law of a map on the common cells, or of one with its places at their edges.

        Every attained point has one: mixtures of some of the points around a place would lie far from it.
        """
        if self._common(found):
            return law_of(self.posed, found.places, found.value)
        ends = self.posed.model.source.bounds(self.posed.model.noise_std, REACH)
        places = np.interp(self.posed.grid.edges, found.edges, np.clip(found.places, *ends))
        return law_of(self.posed, places, self.posed.values(places))

    def _common(self, found: MonotoneMap) -> bool:
        """Whether a map is on the cells of those that are mixed."""
        return np.array_equal(found.edges, self.posed.grid.edges)


def _entries(table: Mapping[str, Any], section: str = "") -> dict[str, str]:
    """Every entry of nested tables, by its full name."""
    found: dict[str, str] = {}
    for name, value in table.items():
        found |= _entries(value, f"{section}{name}.") if isinstance(value, Mapping) else {section + name: repr(value)}
    return found
