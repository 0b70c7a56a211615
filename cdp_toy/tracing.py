"""`trace`: a whole surface with a certified interval at every pair of levels, not only at those that were solved."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cdp_toy.curves import BRACKETS, TANGENTS, VALUES, Curve
from cdp_toy.errors import InputError
from cdp_toy.finite import DiscreteProblem
from cdp_toy.geometry import Polygon, Scale
from cdp_toy.least_perception import min_perception
from cdp_toy.oracles import FiniteOracle, Oracle, attained_of, plane_of
from cdp_toy.point import Bracket, Point, Status
from cdp_toy.records import Row, answer_of, row_of
from cdp_toy.sandwich import Attained, Plane, Sandwich
from cdp_toy.solution import Solution
from cdp_toy.surface import ATTAINED, PLANES, POINTS, Surface, traced_region
from cdp_toy.validation import Array, check_level, finite_array

__all__ = ["Journal", "trace"]

#: D_min(P) comes so close to D_min(inf), in units of D_min(0) - D_min(inf), where the default range of P ends.
SATURATED = 0.01
#: Default width of the strip between the proofs of D_min(P), in units of the range of D.
BOUNDARY_SHARE = 1e-3
#: A finite problem is not asked nearer to D_min(P) or to P = 0 than this, in units of the ranges: there is no interior.
NEAREST = 1e-7
#: Where the surface falls like a square root the next point lies at this share of the way to the last one's tangency.
ROOT_SHARE = 1 / 8


class Journal(Protocol):
    """Where answers are kept while they are found; `cdp_toy.records` says what a row holds."""

    def get(self, key: str) -> Row | None:
        """The row of an earlier run, None when there is none."""
        ...

    def put(self, key: str, row: Row) -> None:
        """Keep a row; it is durable when this returns."""
        ...


def trace(
    problem: DiscreteProblem | Oracle,
    distortion: tuple[float, float] | None = None,
    perception: tuple[float, float] | None = None,
    tol: float = 1e-4,
    *,
    grid: tuple[ArrayLike, ArrayLike] | None = None,
    max_points: int | None = None,
    margin: float = 0.0,
    boundary_tol: float | None = None,
    point_tol: float | None = None,
    batch: int | None = None,
    journal: Journal | None = None,
    progress: bool = True,
    keep_channels: bool = False,
) -> Surface:
    """Bounds of C(D, P) at every pair of levels of a rectangle.

    C is convex and non-increasing: the supporting planes of solved points bound it from below everywhere, and the
    convex hull of attained points with its monotone extension from above. New points go where the two are farthest
    apart, until the gap is at most `tol` everywhere. For a finite problem neighbouring potentials and channels are mixed
    first, and a solver is only asked where mixtures are not good enough.

    Parameters
    ----------
    problem : DiscreteProblem or callable
        A callable answers (D, P) with a `Point`, and may have a method `min_distortion(P)` that returns a `Bracket`.
    distortion, perception : pairs of floats, optional
        The rectangle [distortion units], [divergence units]; needed for a callable. By default D runs from D_min(inf) to
        the larger of D_min at the least P and of D_flat, and P from 0 until D_min(P) has fallen to D_min(inf) up to one
        per cent of its way.
    tol : float
        Gap to aim for [units of the error rate].
    grid : pair of arrays, optional
        Levels (D values, P values) of a plain lattice, solved in place of the search.
    max_points : int, optional
        Most solves, those for D_min(P) and D_flat(P) included.
    margin : float
        The gap is to be met where D >= D_min(P) + margin [distortion units]; the surface falls like a square root there.
    boundary_tol : float, optional
        Width of the strip between the proofs of D_min(P), and of D_flat(P) [distortion units]; by default a thousandth
        of the range of D, and at most half the margin.
    point_tol : float, optional
        Certified gap of single points; by default the smaller of 1e-8 and tol/100.
    batch : int, optional
        Places that are asked for at once; by default one, and later a twentieth of the number of solves.
    journal : Journal, optional
        Answers are looked up there before anything is solved, and kept there.
    progress : bool
        Show a bar with the solves done and the widest gap.
    keep_channels : bool
        Keep the restoration channels of all attained points, for `Surface.at`.

    Returns
    -------
    Surface
        `stopped` says why tracing ended: the tolerance, the budget, the interrupt key, or a boundary too near to solve.

    Raises
    ------
    ContradictionError
        When answers exclude each other: the function is not convex and non-increasing, or a bound is wrong.
    InputError
        When an argument makes no sense; the message says which.

    References
    ----------
    Liu, Zhang and Xiong, NeurIPS 2019, Theorem 1 (C is convex and non-increasing).

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> grid = cdp.presets.paper_toy().discretize(n=31)
    >>> surface = trace(grid, (0.66, 0.72), (0.003, 0.02), tol=2e-4, margin=1e-3, progress=False)
    >>> surface.stopped, surface.max_gap <= 2e-4
    ('tolerance reached', True)
    """
    oracle = _oracle(problem, tol, point_tol)
    for name, value in (("tol", tol), ("boundary_tol", boundary_tol), ("max_points", max_points), ("batch", batch)):
        if value is not None and not value > 0:
            raise InputError(f"{name} must be positive, got {value}")
    if not margin >= 0:
        raise InputError(f"margin must be at least 0, got {margin}")
    if grid is not None:
        d_values, p_values = (
            np.unique(finite_array(values, f"grid[{k}]", 1)) for k, values in enumerate(grid)
        )
        if not len(d_values) or not len(p_values):
            raise InputError("grid needs at least one value of D and one of P")
        distortion, perception = (d_values[0], d_values[-1]), (p_values[0], p_values[-1])
    levels_p = _range(perception, "perception") if perception is not None else _default_perception(oracle)
    levels_d = _range(distortion, "distortion") if distortion is not None else _default_distortion(oracle, levels_p)
    if boundary_tol is None:
        boundary_tol = BOUNDARY_SHARE * (levels_d[1] - levels_d[0] or 1.0)
        boundary_tol = min(boundary_tol, margin / 2) if margin > 0 else boundary_tol
    budget = math.inf if max_points is None else max_points
    tracer = _Tracer(oracle, levels_d, levels_p, tol, margin, boundary_tol, budget, batch, journal, keep_channels)
    steps = tracer.lattice(d_values, p_values) if grid is not None else tracer.search()
    with _bar(progress) as tick:
        try:
            for _ in steps:
                tick(tracer)
        except KeyboardInterrupt:
            tracer.stopped = "interrupted"
    return tracer.surface()


def _oracle(problem: DiscreteProblem | Oracle, tol: float, point_tol: float | None) -> Oracle:
    if isinstance(problem, DiscreteProblem):
        return FiniteOracle(problem, min(1e-8, tol / 100) if point_tol is None else point_tol)
    if not callable(problem):
        raise TypeError(
            f"trace needs a DiscreteProblem or a callable (D, P) -> Point, got {type(problem).__name__}: call "
            "problem.discretize(n=201) for the grid problem"
        )
    return problem


def _range(value: Sequence[float], name: str) -> tuple[float, float]:
    try:
        low, high = (check_level(v, name) for v in value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a pair (low, high) of numbers: {error}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise InputError(f"{name} must be a pair (low, high) of finite levels with low <= high, got ({low}, {high})")
    return low, high


def _finite(oracle: Oracle, name: str) -> FiniteOracle:
    if not isinstance(oracle, FiniteOracle):
        raise InputError(f"{name} is needed: a pair (low, high); only a finite problem has default ranges")
    return oracle


def _default_perception(oracle: Oracle) -> tuple[float, float]:
    problem = _finite(oracle, "perception").problem
    least, most = (_finite(oracle, "perception").min_distortion(p).upper for p in (math.inf, 0.0))
    if not most > least:
        return 0.0, 1.0
    high = min_perception(problem, least + SATURATED * (most - least)).upper
    return 0.0, high if 0 < high < math.inf else 1.0


def _default_distortion(oracle: Oracle, perception: tuple[float, float]) -> tuple[float, float]:
    finite = _finite(oracle, "distortion")
    low = finite.min_distortion(math.inf).lower
    flat = finite.flat_distortion(max(1.01 * finite.floor_level, perception[0]))
    high = max(finite.min_distortion(perception[0]).upper, -math.inf if flat is None else flat.upper)
    return low, max(high, low)


@dataclass(eq=False)
class _Traced:
    """A boundary curve in the making."""

    perception: tuple[float, float]
    sandwich: Sandwich
    brackets: list[tuple[float, ...]] = field(default_factory=list)
    answers: dict[float, Bracket] = field(default_factory=dict)

    def curve(self) -> Curve | None:
        """The certified curve so far."""
        if not self.brackets:
            return None
        tangents = [(plane.p, plane.value, plane.price_p) for plane in self.sandwich.planes]
        attained = [(point.p, point.value) for point in self.sandwich.attained]
        return Curve(
            self.perception,
            _sorted(self.brackets, BRACKETS),
            _sorted(tangents, TANGENTS),
            _sorted(attained, VALUES),
        )


@dataclass(eq=False)
class _Tracer:
    """Asks an oracle, and keeps what it says."""

    oracle: Oracle
    distortion: tuple[float, float]
    perception: tuple[float, float]
    tol: float
    margin: float
    boundary_tol: float
    budget: float
    batch: int | None
    journal: Journal | None
    keep_channels: bool
    stopped: str = "interrupted"
    solves: int = 0
    points: list[Point] = field(default_factory=list)
    least: _Traced | None = None
    flat: _Traced | None = None

    def __post_init__(self) -> None:
        mixer = self.oracle.mixer("error") if isinstance(self.oracle, FiniteOracle) else None
        self.sandwich = Sandwich(self.scale, Polygon.square(), self.tol, mixer)

    @property
    def scale(self) -> Scale:
        """Units of the rectangle."""
        return Scale((self.distortion[0], self.perception[0]), (self.distortion[1], self.perception[1]))

    # asking

    def _ask(self, quantity: str, levels: tuple[float, float], solve: Callable[[], Any]) -> Any:
        """An answer from the journal, or from the oracle and into the journal."""
        key = f"{quantity} {levels[0].hex()} {levels[1].hex()}"
        row = None if self.journal is None else self.journal.get(key)
        self.solves += 1
        if row is not None:
            problem = self.oracle.problem if isinstance(self.oracle, FiniteOracle) else None
            answer = answer_of(row, problem)
            if isinstance(answer, Solution) and isinstance(self.oracle, FiniteOracle):
                self.oracle.remember(answer)
            return answer
        answer = solve()
        if self.journal is not None and answer is not None:
            self.journal.put(key, row_of(answer))
        return answer

    def _point(self, d: float, p: float, solve: Callable[[], Point] | None = None) -> Point:
        point: Point = self._ask("point", (d, p), solve or partial(self.oracle, d, p))
        if point.status is Status.INFEASIBLE and self.least is None:
            raise InputError(
                f"the oracle says that ({d:.9g}, {p:.9g}) is infeasible, but has no method min_distortion(P) that tells "
                "where feasible levels begin; give it one, or a rectangle of feasible levels"
            )
        self.sandwich.take(plane_of(point), attained_of(point))
        self.points.append(point)
        return point

    def _bracket(self, quantity: str, traced: _Traced, level: float) -> Bracket | None:
        name = "min_distortion" if quantity == "least" else "flat_distortion"
        bracket: Bracket | None = self._ask(quantity, (0.0, level), partial(getattr(self.oracle, name), level))
        if bracket is None:
            return None
        plane: Plane | None = Plane(0.0, level, bracket.lower, 0.0, bracket.prices.perception)
        attained = [Attained(0.0, level, bracket.upper)] if math.isfinite(bracket.upper) else []
        if isinstance(self.oracle, FiniteOracle):
            plane, attained = self.oracle.of_bracket(quantity, level, bracket)
        traced.sandwich.take(plane, attained)
        needs = attained[0].p if attained else math.nan
        traced.answers[level] = bracket
        traced.brackets.append((level, bracket.lower, bracket.upper, bracket.prices.perception, needs))
        return bracket

    # boundary curves

    def _begin(self, quantity: str, low: float) -> _Traced:
        perception = (low, self.perception[1])
        mixer = self.oracle.mixer(quantity) if isinstance(self.oracle, FiniteOracle) else None
        scale = Scale((0.0, low), (1.0, self.perception[1]))
        traced = _Traced(perception, Sandwich(scale, Polygon.square(), self.boundary_tol, mixer))
        traced.sandwich.move = partial(self._off_edge, traced.sandwich)
        return traced

    def _boundaries(self, levels: Sequence[float] | None = None) -> Iterator[None]:
        """Trace D_min(P) and D_flat(P), and put on the surface what their channels attain."""
        if not hasattr(self.oracle, "min_distortion"):
            return
        self.least = self._begin("least", self.perception[0])
        yield from self._curve("least", self.least, levels)
        if isinstance(self.oracle, FiniteOracle):
            low = self._floor_begins(self.oracle)
            if low is not None:
                self.flat = self._begin("flat", low)
                yield from self._curve("flat", self.flat, levels)

    def _curve(self, quantity: str, traced: _Traced, levels: Sequence[float] | None) -> Iterator[None]:
        sandwich, known = traced.sandwich, 0
        while True:
            if levels is None:
                places = sandwich.propose(1) if self.solves < self.budget else []
            else:
                places = [(0.0, p) for p in levels if traced.perception[0] <= p]
            for _, p in places:
                self._bracket(quantity, traced, p)
                yield
            if isinstance(self.oracle, FiniteOracle):
                channels = [point.channel for point in sandwich.attained[known:] if point.channel is not None]
                self.sandwich.take(None, [self.oracle.on_surface(channel) for channel in channels])
            known = len(sandwich.attained)
            if not places or levels is not None:
                return

    def _floor_begins(self, oracle: FiniteOracle) -> float | None:
        """Perception level from which D_flat(P) is traced, None when it is out of reach."""
        low, high = self.perception
        begins = oracle.floor_level * (1 + 1e-6) + 1e-12
        if math.isfinite(begins):
            return max(begins, low) if begins <= high else None
        if self.solves >= self.budget or oracle.flat_distortion(high) is None:
            return None
        if oracle.flat_distortion(low) is not None:
            return low
        while high - low > 1e-2 * (self.perception[1] - self.perception[0]):
            middle = (low + high) / 2
            low, high = (low, middle) if oracle.flat_distortion(middle) is not None else (middle, high)
        return high

    # the surface

    def search(self) -> Iterator[None]:
        """Boundary curves, then points where the gap is widest."""
        yield from self._boundaries()
        sandwich = self.sandwich
        if self.least is not None:
            curve = self.least.curve()
            sandwich.region = None if curve is None else traced_region(self.scale, curve, self.margin)
            if isinstance(self.oracle, FiniteOracle) and curve is not None:
                sandwich.move = partial(self._off_boundary, curve)
        while self.solves < self.budget:
            count = max(1, len(self.points) // 20) if self.batch is None else self.batch
            places = sandwich.propose(int(min(count, self.budget - self.solves)))
            if not places:
                reached = sandwich.gap <= self.tol
                self.stopped = "tolerance reached" if reached else "no place left that a solver can be asked for"
                return
            for d, p in places:
                self._point(d, p)
                yield
        sandwich.propose(1)
        self.stopped = "tolerance reached" if sandwich.gap <= self.tol else f"budget of {self.budget:.0f} solves spent"

    def _off_boundary(
        self, boundary: Curve, d: float, p: float, gap: float, prices: tuple[float, float]
    ) -> tuple[float, float]:
        """Move a place off D_min(P), where no channel is strictly feasible, and off P = 0."""
        d, p = self._off_edge(self.sandwich, d, p, gap, prices)
        nearest = NEAREST * self.scale.size[0]
        if d - float(boundary.lower(p)) > nearest:
            return d, p
        least = float(boundary.upper(p))
        reach = min(_tangency(gap, prices[0]), 0.5 * (self.distortion[1] - least))
        return least + max(ROOT_SHARE * reach, nearest), p

    def _off_edge(
        self, sandwich: Sandwich, d: float, p: float, gap: float, prices: tuple[float, float]
    ) -> tuple[float, float]:
        """Move a place off P = 0 once that is solved: prices of perception are infinite there."""
        if not isinstance(self.oracle, FiniteOracle):
            return d, p
        nearest = NEAREST * float(sandwich.scale.size[1])
        if p > nearest or p < 0:
            return d, p
        same = [q for q in sandwich.planes if q.p == 0 and abs(q.d - d) <= NEAREST * float(sandwich.scale.size[0])]
        if not same:
            return d, 0.0
        reach = min(_tangency(gap, prices[1]), 0.5 * float(sandwich.scale.size[1]))
        return d, max(ROOT_SHARE * reach, nearest)

    def lattice(self, d_values: Array, p_values: Array) -> Iterator[None]:
        """Every point of a lattice: per P the boundaries, the flat region, then D downward from point to point."""
        yield from self._boundaries([float(p) for p in p_values])
        for p in map(float, p_values):
            least = None if self.least is None else self.least.answers.get(p)
            flat = None if self.flat is None else self.flat.answers.get(p)
            for d in map(float, d_values[::-1]):
                if self.solves >= self.budget:
                    self.stopped = f"budget of {self.budget:.0f} solves spent"
                    return
                self._point(d, p, self._lattice_point(d, p, least, flat))
                yield
        self.stopped = "lattice solved"

    def _lattice_point(
        self, d: float, p: float, least: Bracket | None, flat: Bracket | None
    ) -> Callable[[], Point] | None:
        oracle = self.oracle
        if not isinstance(oracle, FiniteOracle):
            return None
        if flat is not None and flat.witness is not None and d >= flat.upper:
            return partial(oracle.on_floor, d, p, flat.witness)
        return partial(oracle.solve, d, p, oracle.nearest(d, p), least)

    def surface(self) -> Surface:
        """What is known so far."""
        oracle = self.oracle
        points = [
            (p.max_perception, p.max_distortion, p.lower_bound, p.upper_bound, p.price_distortion, p.price_perception)
            + (p.error_rate, p.distortion, p.perception, p.status.name, str(getattr(p, "solver", "")))
            for p in self.points
        ]
        planes = [(q.p, q.d, q.value, q.price_d, q.price_p) for q in self.sandwich.planes]
        attained = sorted(self.sandwich.attained, key=lambda point: (point.p, point.d, point.value))
        about: dict[str, str | float] = {"scope": "formula", "solves": float(self.solves)}
        if isinstance(oracle, FiniteOracle):
            about |= {"problem": repr(oracle.problem)[1:-1], "perception": oracle.problem.perception.name}
            about |= {"scope": oracle.scope, "point_tol": oracle.tol}
        channels = None
        if self.keep_channels and isinstance(oracle, FiniteOracle):
            attained = [point for point in attained if point.channel is not None]
            channels = tuple(point.channel.make() for point in attained)
        return Surface(
            distortion=self.distortion,
            perception=self.perception,
            tol=self.tol,
            margin=self.margin,
            stopped=self.stopped,
            points=_sorted(points, POINTS),
            hyperplanes=_sorted(planes, PLANES),
            attained=np.array([(point.p, point.d, point.value) for point in attained], dtype=ATTAINED),
            boundary=None if self.least is None else self.least.curve(),
            floor=None if self.flat is None else self.flat.curve(),
            about=about,
            channels=channels,
            p_y=oracle.problem.p_y if channels is not None and isinstance(oracle, FiniteOracle) else None,
        )


def _tangency(gap: float, price: float) -> float:
    """How far the tangency of a plane lies from a place of a given gap, for a function that falls like a root."""
    return gap / price if price > 0 and math.isfinite(gap) else 0.0


def _sorted(rows: Sequence[tuple[Any, ...]], dtype: np.dtype[np.void]) -> NDArray[np.void]:
    table = np.array(rows, dtype=dtype)
    return table[np.lexsort([table[name] for name in reversed(table.dtype.names[:3])])]  # type: ignore[index]


class _bar:
    """A progress bar with the solves done and the widest gap."""

    def __init__(self, shown: bool) -> None:
        self.shown = shown

    def __enter__(self) -> Callable[[_Tracer], None]:
        if not self.shown:
            return lambda tracer: None
        from tqdm import tqdm

        self.bar = tqdm(desc="trace", unit=" solves")

        def tick(tracer: _Tracer) -> None:
            self.bar.set_postfix_str(f"widest gap {tracer.sandwich.gap:.1e}", refresh=False)
            self.bar.update(tracer.solves - self.bar.n)

        return tick

    def __exit__(self, *_: object) -> None:
        if self.shown:
            self.bar.close()
