"""Asks an oracle where bounds are far apart, boundary curves first, and keeps what it says."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from typing import Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from cdp_toy.errors import InputError
from cdp_toy.point import Bracket, Point, Status
from cdp_toy.surfaces.curves import BRACKETS, TANGENTS, VALUES, Curve, traced_region
from cdp_toy.surfaces.geometry import Polygon, Scale
from cdp_toy.surfaces.surface import ATTAINED, PLANES, POINTS, Surface
from cdp_toy.tracing.oracles import Ask, Question, TracedOracle
from cdp_toy.tracing.sandwich import Sandwich
from cdp_toy.validation import Array

__all__ = ["Settings", "Tracer"]

#: Places on an open edge are moved off it by at least this, in units of the ranges: on it there is no interior.
NEAREST = 1e-7
#: Where the surface falls like a square root the next point lies at this share of the way to the last one's tangency.
ROOT_SHARE = 1 / 8
#: Brackets of a boundary curve are asked to be so much narrower than the strip between its proofs.
CURVE_SHARE = 1 / 3
#: By default a batch is this share of the points so far.
BATCH_SHARE = 1 / 20
#: With so many planes to look at per point, a batch is larger: looking at them takes as long as a solve.
PLANES_PER_POINT = 1000


@dataclass(frozen=True)
class Settings:
    """What is traced, and how well."""

    distortion: tuple[float, float]
    perception: tuple[float, float]
    tol: float
    margin: float
    boundary_tol: float
    max_points: float
    batch: int | None
    keep_channels: bool
    least_batch: int = 1

    @property
    def scale(self) -> Scale:
        """Units of the rectangle."""
        return Scale((self.distortion[0], self.perception[0]), (self.distortion[1], self.perception[1]))


@dataclass(eq=False)
class TracedCurve:
    """A boundary curve in the making: "least", D_min(P), or "flat", D_flat(P)."""

    quantity: Literal["least", "flat"]
    perception: tuple[float, float]
    sandwich: Sandwich
    rows: list[tuple[float, ...]] = field(default_factory=list)
    answers: dict[float, Bracket] = field(default_factory=dict)

    def curve(self) -> Curve | None:
        """The certified curve so far."""
        if not self.rows:
            return None
        tangents = [(plane.p, plane.value, plane.price_p) for plane in self.sandwich.planes]
        attained = [(point.p, point.value) for point in self.sandwich.attained]
        return Curve(
            self.perception, _sorted(self.rows, BRACKETS), _sorted(tangents, TANGENTS), _sorted(attained, VALUES)
        )


@dataclass(eq=False)
class Tracer:
    """A surface in the making; its iterators yield after every answer of the oracle."""

    oracle: TracedOracle
    settings: Settings
    ask: Ask
    stopped: str = "interrupted"
    solves: int = 0
    points: list[Point] = field(default_factory=list)
    least: TracedCurve | None = None
    flat: TracedCurve | None = None

    def __post_init__(self) -> None:
        square = Polygon.square()
        self.sandwich = Sandwich(self.settings.scale, square, self.settings.tol, self.oracle.mixer("error"))

    def search(self) -> Iterator[None]:
        """Boundary curves, then points where the gap is widest."""
        yield from self._boundaries()
        sandwich, settings = self.sandwich, self.settings
        if not self.oracle.bounded:  # an answer with prices 0 would be believed everywhere
            for d, p in product(settings.distortion, settings.perception):
                if not self._spent:
                    yield from self._points([self.oracle.question(d, p)])
        curve = None if self.least is None else self.least.curve()
        if curve is not None:
            sandwich.region = traced_region(settings.scale, curve, settings.margin)
            if self.oracle.open_edges:
                sandwich.move = partial(self._off_boundary, curve)
        while not self._spent:
            shares = int(BATCH_SHARE * len(self.points)), len(sandwich.planes) // PLANES_PER_POINT
            count = settings.batch or max(settings.least_batch, *shares)
            places = sandwich.propose(int(min(count, settings.max_points - self.solves)))
            if not places:
                break
            yield from self._points([self.oracle.question(d, p) for d, p in places])
        else:
            sandwich.propose(0)  # mixes what is left to be mixed, and says how wide the gap is
        self.stopped = "no place left that a solver can be asked for"
        if sandwich.gap <= settings.tol:
            self.stopped = "tolerance reached"
        elif self._spent:
            self.stopped = f"budget of {settings.max_points:.0f} solves spent"

    def lattice(self, d_values: Array, p_values: Array) -> Iterator[None]:
        """Every point of a lattice: per P the boundaries, then D downward from point to point."""
        yield from self._boundaries([float(p) for p in p_values])
        least, flat = ({} if curve is None else curve.answers for curve in (self.least, self.flat))
        places = [(float(d), float(p)) for p in p_values for d in d_values[::-1]]
        count = self.settings.batch or self.settings.least_batch
        for begin in range(0, len(places), count):
            left = int(max(min(count, self.settings.max_points - self.solves), 0))
            batch = places[begin : begin + left]
            yield from self._points([self.oracle.question(d, p, least.get(p), flat.get(p)) for d, p in batch])
            if left < count and begin + left < len(places):
                self.stopped = f"budget of {self.settings.max_points:.0f} solves spent"
                return
        self.stopped = "lattice solved"

    @property
    def _spent(self) -> bool:
        return self.solves >= self.settings.max_points

    def _points(self, questions: Sequence[Question]) -> Iterator[None]:
        for answer in self.ask(questions):
            self._take(cast(Point, answer))
            yield

    def _take(self, point: Point) -> None:
        self.solves += 1
        if point.status is Status.INFEASIBLE and self.least is None:
            raise InputError(
                f"the oracle says that ({point.max_distortion:.9g}, {point.max_perception:.9g}) is infeasible, but has "
                "no method min_distortion(P) that tells where feasible levels begin; give it one, or a rectangle of "
                "feasible levels"
            )
        self.sandwich.take(*self.oracle.of_point(point))
        self.points.append(point)
        self.oracle.remember(point)

    # boundary curves

    def _boundaries(self, levels: Sequence[float] | None = None) -> Iterator[None]:
        """Trace D_min(P) and D_flat(P), or solve them at given levels, and learn what their channels attain."""
        if not self.oracle.bounded:
            return
        low, high = self.settings.perception
        self.least = self._begin("least", low)
        yield from self._curve(self.least, levels)
        begins = None if self._spent else self.oracle.floor_begins(low, high, self._flat)
        if begins is not None:
            self.flat = self._begin("flat", begins)
            yield from self._curve(self.flat, levels)

    def _begin(self, quantity: Literal["least", "flat"], low: float) -> TracedCurve:
        perception = (low, self.settings.perception[1])
        scale = Scale((0.0, low), (1.0, perception[1]))
        tol = self.settings.boundary_tol
        if quantity == "least" and self.settings.margin > 0:  # the margin is to hold no place that is undecided
            tol = min(tol, self.settings.margin / 2)
        self.oracle.curve_tol = CURVE_SHARE * tol
        sandwich = Sandwich(scale, Polygon.square(), tol, self.oracle.mixer(quantity))
        if self.oracle.open_edges:
            sandwich.move = partial(self._off_zero, sandwich)
        return TracedCurve(quantity, perception, sandwich)

    def _curve(self, traced: TracedCurve, levels: Sequence[float] | None) -> Iterator[None]:
        sandwich, known = traced.sandwich, 0
        given = [p for p in levels or [] if traced.perception[0] <= p]
        while True:
            # the curve of a lattice needs its levels alone
            asked = given if levels is not None else [p for _, p in ([] if self._spent else sandwich.propose(1))]
            for p in asked:
                self._ask_bracket(traced, p)
                yield
            self.sandwich.take(None, self.oracle.on_surface(sandwich.attained[known:]))
            known = len(sandwich.attained)
            if not asked or levels is not None:
                return

    def _flat(self, level: float) -> Bracket | None:
        (answer,) = self.ask([Question("flat", 0.0, level)])
        return cast(Bracket | None, answer)

    def _ask_bracket(self, traced: TracedCurve, level: float) -> None:
        (answer,) = self.ask([Question(traced.quantity, 0.0, level)])
        self.solves += 1
        bracket = cast(Bracket | None, answer)
        if bracket is None:
            return
        plane, attained = self.oracle.of_bracket(traced.quantity, level, bracket)
        traced.sandwich.take(plane, attained)
        traced.answers[level] = bracket
        needs = attained[0].p if attained else math.nan
        traced.rows.append((level, bracket.lower, bracket.upper, bracket.prices.perception, needs))

    # open edges

    def _off_boundary(
        self, boundary: Curve, d: float, p: float, gap: float, prices: tuple[float, float]
    ) -> tuple[float, float]:
        """Move a place off D_min(P), where no channel is strictly feasible, and off P = 0."""
        d, p = self._off_zero(self.sandwich, d, p, gap, prices)
        nearest = NEAREST * self.settings.scale.size[0]
        if d - float(boundary.lower(p)) > nearest:
            return d, p
        least = float(boundary.upper(p))
        reach = min(_tangency(gap, prices[0]), 0.5 * (self.settings.distortion[1] - least))
        return least + max(ROOT_SHARE * reach, nearest), p

    def _off_zero(
        self, sandwich: Sandwich, d: float, p: float, gap: float, prices: tuple[float, float]
    ) -> tuple[float, float]:
        """Move a place off P = 0 once that is solved: prices of perception are infinite there."""
        nearest_d, nearest_p = NEAREST * sandwich.scale.size
        if p > nearest_p:
            return d, p
        if not any(plane.p == 0 and abs(plane.d - d) <= nearest_d for plane in sandwich.planes):
            return d, 0.0
        reach = min(_tangency(gap, prices[1]), 0.5 * float(sandwich.scale.size[1]))
        return d, max(ROOT_SHARE * reach, float(nearest_p))

    # the result

    def surface(self) -> Surface:
        """What is known so far."""
        settings, oracle = self.settings, self.oracle
        points = [
            (p.max_perception, p.max_distortion, *_numbers(p), p.status.name, str(getattr(p, "solver", "")))
            for p in self.points
        ]
        planes = [(q.p, q.d, q.value, q.price_d, q.price_p) for q in self.sandwich.planes]
        attained = sorted(self.sandwich.attained, key=lambda point: (point.p, point.d, point.value))
        channels = None
        if settings.keep_channels:
            attained = [point for point in attained if point.channel is not None]
            channels = tuple(oracle.restoration(point.channel) for point in attained)
        return Surface(
            distortion=settings.distortion,
            perception=settings.perception,
            tol=settings.tol,
            margin=settings.margin,
            stopped=self.stopped,
            points=_sorted(points, POINTS),
            hyperplanes=_sorted(planes, PLANES),
            attained=np.array([(point.p, point.d, point.value) for point in attained], dtype=ATTAINED),
            boundary=None if self.least is None else self.least.curve(),
            floor=None if self.flat is None else self.flat.curve(),
            about=oracle.facts | {"solves": float(self.solves)},
            channels=channels,
            p_y=None if channels is None else oracle.observation_law,
        )


def _numbers(point: Point) -> tuple[float, ...]:
    bounds, prices = (point.lower_bound, point.upper_bound), (point.price_distortion, point.price_perception)
    return (*bounds, *prices, point.error_rate, point.distortion, point.perception)


def _tangency(gap: float, price: float) -> float:
    """How far the tangency of a plane lies from a place of a given gap, for a function that falls like a root."""
    return gap / price if price > 0 and math.isfinite(gap) else 0.0


def _sorted(rows: Sequence[tuple[Any, ...]], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    table = np.array(rows, dtype=dtype)
    return table[np.lexsort([table[name] for name in reversed(list(dtype.names or ())[:3])])]
