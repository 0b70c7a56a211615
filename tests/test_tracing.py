"""The sandwich on formulas whose values are known everywhere, and on finite problems against solves of their own."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
from numpy.testing import assert_allclose
from tracing_cases import UNIT, Bowl

import cdp_toy as cdp
from cdp_toy.point import Bracket, Point, Prices, Status
from cdp_toy.tracing.mixing import FiniteMixer, measured
from cdp_toy.tracing.sandwich import Sandwich

Array = np.ndarray


def point_of(d: float, p: float, value: float, prices: tuple[float, float]) -> Point:
    return Point(Status.OPTIMAL, "formula", value, value, value, d, p, d, p, *prices)


def bowl(d: float, p: float) -> Point:
    """Smooth, strictly convex, flat in the far corner."""
    return point_of(d, p, (1 - d) ** 2 + (1 - p) ** 2 / 2, (2 * (1 - d), 1 - p))


def facets(d: float, p: float) -> Point:
    """Maximum of three planes: exact after few points."""
    planes = [(1.0, 2.0, 0.5), (0.8, 0.5, 1.5), (0.1, 0.0, 0.0)]
    value, a, b = max((height - a * d - b * p, a, b) for height, a, b in planes)
    return point_of(d, p, value, (a, b))


def root(d: float, p: float) -> Point:
    """Vertical tangents at both edges."""
    d, p = max(d, 1e-12), max(p, 1e-12)
    value = 2 - math.sqrt(d) - math.sqrt(p) / 2
    return point_of(d, p, value, (0.5 / math.sqrt(d), 0.25 / math.sqrt(p)))


def saddle(d: float, p: float) -> Point:
    """Not convex: what it calls supporting planes cut through it."""
    return point_of(d, p, 1 - d * d, (2 * d, 0.0))


def rising(d: float, p: float) -> Point:
    """Convex, but increasing in D; the prices that it gives are those of a falling one."""
    return point_of(d, p, d * d, (0.0, 0.0))


FORMULAS: dict[str, Callable[[float, float], Point]] = {"bowl": bowl, "facets": facets, "root": root}


@dataclass
class Corner:
    """Feasible where D >= D_min(P) = 1/2 - P/2 + P^2/8; there the distance to that curve is paid for."""

    asked: int = 0

    def __call__(self, d: float, p: float) -> Point:
        self.asked += 1
        least, slope = 0.5 - p / 2 + p * p / 8, 0.5 - p / 4
        if d < least:
            return Point(Status.INFEASIBLE, "formula", math.inf, math.inf, *[math.nan] * 3, d, p, 0.0, 0.0)
        over = 1 + d - least
        return point_of(d, p, 1 / over, (over**-2, slope * over**-2))

    def min_distortion(self, p: float) -> Bracket:
        least = 0.5 - p / 2 + p * p / 8
        return Bracket(least, least, None, Prices(0.0, 0.5 - p / 4))


PLACES = np.random.default_rng(1).random((400, 2))


@pytest.mark.parametrize(("name", "tol"), [("bowl", 1e-2), ("bowl", 1e-3), ("facets", 1e-9), ("root", 1e-2)])
def test_formulas_lie_between_the_bounds(name: str, tol: float) -> None:
    formula = FORMULAS[name]
    surface = cdp.trace(formula, (0.0, 1.0), (0.0, 1.0), tol=tol, progress=False)
    values = np.array([formula(d, p).lower_bound for d, p in PLACES])
    lower, upper = surface.lower(*PLACES.T), surface.upper(*PLACES.T)
    assert surface.stopped == "tolerance reached" and surface.max_gap <= tol
    assert np.all(lower <= values + 1e-12) and np.all(values <= upper + 1e-12)
    assert np.all(surface.gap(*PLACES.T) <= tol * (1 + 1e-9))
    assert_allclose(surface.gap(*PLACES.T), upper - lower, atol=1e-15)


def test_planes_are_found_exactly() -> None:
    surface = cdp.trace(facets, (0.0, 1.0), (0.0, 1.0), tol=1e-9, progress=False)
    assert surface.max_gap <= 1e-9 and len(surface.points) <= 30


def test_fewer_points_than_a_lattice() -> None:
    """Where the surface is steep at its edges, points of a lattice are wasted."""
    surface = cdp.trace(root, (0.0, 1.0), (0.0, 1.0), tol=1e-2, progress=False)
    levels = np.linspace(0, 1, math.isqrt(len(surface.points)) + 1)
    lattice = cdp.trace(root, grid=(levels, levels), progress=False)
    assert len(lattice.points) >= len(surface.points) and lattice.max_gap > 3 * surface.max_gap


def test_an_infeasible_part() -> None:
    oracle = Corner()
    surface = cdp.trace(oracle, (0.0, 1.0), (0.0, 1.0), tol=1e-3, progress=False)
    d, p = PLACES.T
    least = 0.5 - p / 2 + p**2 / 8
    values = 1 / (1 + d - least)
    lower, upper, gap = surface.lower(d, p), surface.upper(d, p), surface.gap(d, p)
    assert surface.boundary is not None and surface.boundary.max_gap <= 1e-3
    assert np.all(surface.boundary.lower(p) <= least + 1e-12) and np.all(least <= surface.boundary.upper(p) + 1e-12)
    proven, feasible = np.isposinf(lower), d >= least
    assert not np.any(proven & feasible), "a feasible place is called infeasible"
    assert np.all(proven[d < surface.boundary.lower(p)]) and np.all(gap[proven] == 0)
    assert np.all(lower[feasible] <= values[feasible] + 1e-12)
    assert np.all(upper[feasible] >= values[feasible] - 1e-12)
    undecided = ~proven & np.isposinf(upper)
    assert np.all(np.isposinf(gap[undecided])) and np.all(d[undecided] < least[undecided] + 2e-3)


def test_infeasible_answers_without_a_boundary_are_refused() -> None:
    oracle = Corner()
    with pytest.raises(cdp.InputError, match="has no method min_distortion"):
        cdp.trace(lambda d, p: oracle(d, p), (0.0, 1.0), (0.0, 1.0), progress=False)


@pytest.mark.parametrize("formula", [saddle, rising], ids=lambda formula: formula.__name__)
def test_what_is_not_convex_and_falling_is_exposed(formula: Callable[[float, float], Point]) -> None:
    with pytest.raises(cdp.ContradictionError, match="not convex and non-increasing") as caught:
        cdp.trace(formula, (0.0, 1.0), (0.0, 1.0), tol=1e-3, progress=False)
    (d, p), (there_d, there_p) = caught.value.plane, caught.value.point
    plane, place = formula(d, p), formula(there_d, there_p)
    fall = plane.price_distortion * (there_d - d) + plane.price_perception * (there_p - p)
    assert plane.lower_bound - fall > place.upper_bound


def test_bounds_that_are_wrong_by_a_little_are_exposed() -> None:
    def biased(d: float, p: float) -> Point:
        true = bowl(d, p)
        return dataclasses.replace(true, lower_bound=true.lower_bound + 1e-4)

    with pytest.raises(cdp.ContradictionError, match="contradict each other"):
        cdp.trace(biased, (0.0, 1.0), (0.0, 1.0), tol=1e-5, progress=False)


def test_the_budget_and_the_interrupt_key_leave_a_valid_surface() -> None:
    surface = cdp.trace(bowl, (0.0, 1.0), (0.0, 1.0), tol=1e-9, max_points=17, progress=False)
    assert surface.stopped == "budget of 17 solves spent" and len(surface.points) == 17
    assert 1e-9 < surface.max_gap < 1 and surface.max_gap == pytest.approx(
        float(np.max(surface.gap(*PLACES.T))), rel=0.5
    )

    asked: list[float] = []

    def impatient(d: float, p: float) -> Point:
        asked.append(d)
        if len(asked) == 9:
            raise KeyboardInterrupt
        return bowl(d, p)

    surface = cdp.trace(impatient, (0.0, 1.0), (0.0, 1.0), tol=1e-9, progress=False)
    assert surface.stopped == "interrupted" and len(surface.points) == 8
    assert np.all(surface.lower(*PLACES.T) <= [bowl(d, p).lower_bound for d, p in PLACES])


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"problem": 3}, TypeError, "needs a DiscreteProblem or a callable"),
        (
            {"problem": dataclasses.replace(cdp.presets.paper_toy(), perception="tv")},
            cdp.InputError,
            "smooth f-divergence",
        ),
        ({"distortion": None}, cdp.InputError, r"distortion=\(low, high\) is needed"),
        ({"perception": None}, cdp.InputError, r"perception=\(low, high\) is needed"),
        ({"distortion": (1.0, 0.0)}, cdp.InputError, "low <= high"),
        ({"distortion": (0.0, math.inf)}, cdp.InputError, "finite levels"),
        ({"perception": 3.0}, cdp.InputError, "perception must be a pair"),
        ({"perception": (0.0, math.nan)}, cdp.InputError, "perception"),
        ({"tol": 0.0}, cdp.InputError, "tol must be positive"),
        ({"tol": math.nan}, cdp.InputError, "tol must be positive"),
        ({"max_points": 0}, cdp.InputError, "max_points must be positive"),
        ({"batch": -1}, cdp.InputError, "batch must be positive"),
        ({"boundary_tol": -1.0}, cdp.InputError, "boundary_tol must be positive"),
        ({"margin": -1e-3}, cdp.InputError, "margin must be finite"),
        ({"keep_channels": True}, cdp.InputError, "only finite problems have channels"),
        ({"grid": ([], [0.1])}, cdp.InputError, "at least one value"),
        ({"grid": ([0.1], [0.1], [0.1])}, cdp.InputError, "pair"),
        ({"grid": ([0.1, math.nan], [0.1])}, cdp.InputError, r"grid\[0\]"),
    ],
)
def test_refusals(arguments: dict[str, object], error: type[Exception], message: str) -> None:
    given = {"problem": bowl, "distortion": (0.0, 1.0), "perception": (0.0, 1.0), "progress": False} | arguments
    with pytest.raises(error, match=message):
        cdp.trace(**given)  # type: ignore[arg-type]


# finite problems


@pytest.fixture(scope="module")
def toy() -> cdp.DiscreteProblem:
    return cdp.presets.paper_toy().discretize(n=41)


@pytest.fixture(scope="module")
def surface(toy: cdp.DiscreteProblem) -> cdp.Surface:
    return cdp.trace(toy, (0.645, 0.72), (3e-4, 3e-2), tol=2e-5, margin=2e-4, progress=False, keep_channels=True)


def test_fresh_solves_lie_between_the_bounds(toy: cdp.DiscreteProblem, surface: cdp.Surface) -> None:
    assert surface.stopped == "tolerance reached" and surface.max_gap <= 2e-5
    rng = np.random.default_rng(5)
    for d, p in zip(rng.uniform(0.645, 0.72, 60), np.exp(rng.uniform(np.log(3e-4), np.log(3e-2), 60)), strict=True):
        fresh = cdp.solve(toy, d, p, on_infeasible="return")
        lower, upper = float(surface.lower(d, p)), float(surface.upper(d, p))
        if fresh.status is Status.INFEASIBLE:
            assert math.isinf(upper)
            continue
        assert lower <= fresh.upper_bound + 1e-12 and fresh.lower_bound <= upper + 1e-12, (d, p)


def test_a_batch_is_as_large_as_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    counts: list[int] = []
    propose = Sandwich.propose

    def counted(self: Sandwich, count: int) -> list[tuple[float, float]]:
        counts.append(count)
        return propose(self, count)

    monkeypatch.setattr(Sandwich, "propose", counted)
    monkeypatch.setattr("cdp_toy.tracing.tracer.PLANES_PER_POINT", 2)
    cdp.trace(Bowl(), tol=1e-2, batch=2, **UNIT)
    assert len(counts) > 3 and set(counts) == {2}
    counts.clear()
    cdp.trace(Bowl(), tol=1e-2, **UNIT)
    assert max(counts) > 2, "many planes ask for larger batches"


def test_mixtures_save_solves(surface: cdp.Surface) -> None:
    solved = len(surface.points)
    assert len(surface.hyperplanes) > 1.2 * solved and len(surface.attained) > 1.2 * solved


@pytest.mark.parametrize("perception", ["kl", "reverse_kl", "chi2", "js", "renyi:2"])
def test_a_law_supports_the_surface_where_it_is_best(perception: str) -> None:
    """The potential that an output law needs is a proof: nearly sharp from the law of a solution, valid from any."""
    problem = dataclasses.replace(cdp.presets.paper_toy(threshold=0.0), perception=perception).discretize(n=31)
    mixer = FiniteMixer(problem, "error")
    rng = np.random.default_rng(8)
    level = 0.01
    limit = cdp.min_distortion(problem, level).upper + 0.004
    point = cdp.solve(problem, limit, level)
    channel = measured(problem, point.sparse_channel)
    plane = mixer.supporting(limit, level, channel)
    assert plane is not None and point.lower_bound - 1e-6 <= plane.value <= point.upper_bound
    assert plane.price_d == pytest.approx(point.price_distortion, rel=0.02, abs=1e-3)
    for spread in (1e-3, 0.1, 3.0):
        law = channel.law * np.exp(rng.normal(0, spread, problem.n_x))
        plane = mixer.supporting(limit, level, channel._replace(law=law / law.sum()))
        assert plane is None or plane.value <= point.upper_bound


def test_curves_hold_fresh_brackets(toy: cdp.DiscreteProblem, surface: cdp.Surface) -> None:
    assert surface.boundary is not None and surface.floor is not None
    for curve, bracket_of, most in (
        (surface.boundary, cdp.min_distortion, 1e-4),  # half the margin
        (surface.floor, cdp.flat_distortion, 1.5e-4),  # two thousandths of the range of D
    ):
        low, high = curve.perception
        for p in np.geomspace(max(low, 1e-4), high, 12):
            fresh = bracket_of(toy, p)
            assert fresh is not None
            assert float(curve.lower(p)) <= fresh.upper + 1e-12 and fresh.lower <= float(curve.upper(p)) + 1e-12
        assert 0 <= curve.max_gap <= most
        levels = np.geomspace(max(low, 1e-4), high, 300)
        assert np.all(curve.gap(levels) <= curve.max_gap * (1 + 1e-6) + 1e-15)


def test_the_bounds_are_convex_and_falling(surface: cdp.Surface) -> None:
    d, p = (np.linspace(*ends, 40) for ends in (surface.distortion, surface.perception))
    for bound in (surface.lower, surface.upper):
        table = bound(d[:, None], p[None, :])
        for values in (table, table.T):
            finite = np.isfinite(values[:-2]) & np.isfinite(values[1:-1]) & np.isfinite(values[2:])
            with np.errstate(invalid="ignore"):
                steps = np.diff(values, axis=0)
                assert np.all(steps[1:][finite] <= 1e-11)
                assert np.all(np.diff(values, 2, axis=0)[finite] >= -1e-11)


def test_a_mixture_attains_the_upper_bound(toy: cdp.DiscreteProblem, surface: cdp.Surface) -> None:
    rng = np.random.default_rng(6)
    for d, p in zip(rng.uniform(0.66, 0.72, 12), rng.uniform(2e-3, 3e-2, 12), strict=True):
        found = surface.at(d, p)
        upper = float(surface.upper(d, p))
        assert found.upper_bound == upper and found.lower_bound == float(surface.lower(d, p))
        if math.isinf(upper):
            continue
        channel = found.sparse_channel
        assert channel is not None and found.output_law is not None
        dense = channel.toarray()
        assert_allclose(dense.sum(axis=1), 1.0, atol=1e-9)
        mass = toy.p_y[:, None] * dense
        rows, columns = (index.ravel() for index in np.indices(mass.shape))
        error_rate = float(mass.ravel() @ toy.error_cost.entries(rows, columns))
        distortion = float(mass.ravel() @ toy.distortion_cost.entries(rows, columns))
        law = toy.p_y @ dense
        assert error_rate == pytest.approx(found.error_rate, abs=1e-9) and found.error_rate <= upper + 1e-9
        assert distortion == pytest.approx(found.distortion, abs=1e-9) and distortion <= d + 1e-9
        assert_allclose(law, found.output_law, atol=1e-12)
        assert float(np.sum(toy.p_x * np.log(toy.p_x / law))) <= found.perception + 1e-9
        assert found.perception <= p + 1e-9 and sum(part[0] for part in found.parts) == pytest.approx(1.0)


def test_places_outside_of_the_rectangle(surface: cdp.Surface) -> None:
    assert float(surface.lower(0.7, -1e-9)) == math.inf and float(surface.gap(0.7, -1e-9)) == 0
    assert float(surface.lower(0.5, 0.01)) == math.inf == float(surface.upper(0.5, 0.01))
    far = float(surface.upper(10.0, 10.0))
    assert float(surface.lower(10.0, 10.0)) <= far <= float(surface.upper(0.72, 0.03))
    assert float(surface.upper(math.inf, math.inf)) == far
    assert math.isnan(float(surface.lower(math.nan, 0.01))) and math.isnan(float(surface.gap(0.7, math.nan)))
    assert surface.lower([[0.7], [0.71]], [0.01, 0.02, 0.03]).shape == (2, 3)


def test_slices(surface: cdp.Surface) -> None:
    along = surface.slice(P=0.01, n=11)
    assert_allclose(along.levels, np.linspace(*surface.distortion, 11))
    assert_allclose(along.lower, surface.lower(along.levels, 0.01))
    across = surface.slice(D=0.7, n=7)
    assert_allclose(across.upper, surface.upper(0.7, across.levels))
    for arguments in ({}, {"D": 0.7, "P": 0.1}):
        with pytest.raises(cdp.InputError, match="exactly one of D and P"):
            surface.slice(**arguments)


def test_words(surface: cdp.Surface) -> None:
    assert "widest gap" in surface.summary() and "tolerance reached" in surface.summary()
    assert surface._repr_html_().startswith("<table>") and "D_min(P)" in surface._repr_html_()
    assert repr(surface).startswith("<Surface: ")


def test_points_are_sorted_and_say_what_they_are(surface: cdp.Surface) -> None:
    points = surface.points
    order = np.lexsort([points["D"], points["P"]])
    assert np.array_equal(order, np.arange(len(points)))
    feasible = np.isin(points["status"], ["OPTIMAL", "INEXACT"])
    assert np.all(points["lower"][feasible] <= points["upper"][feasible])
    assert np.all(points["distortion"][feasible] <= points["D"][feasible] + 1e-9)
    assert np.all(surface.lower(points["D"], points["P"]) >= points["lower"] - 1e-10)
    assert np.all(surface.upper(points["D"], points["P"])[feasible] <= points["upper"][feasible] + 1e-10)


def test_a_lattice_is_every_point_of_it(toy: cdp.DiscreteProblem) -> None:
    d, p = np.linspace(0.645, 0.715, 7), np.linspace(3e-4, 3e-2, 6)
    lattice = cdp.trace(toy, grid=(d, p), progress=False)
    points = lattice.points
    assert lattice.stopped == "lattice solved" and len(points) == 42
    assert_allclose(np.unique(points["D"]), d)
    assert_allclose(np.unique(points["P"]), p)
    assert set(points["status"]) <= {"OPTIMAL", "INFEASIBLE"}
    for row in points[::5]:
        fresh = cdp.solve(toy, row["D"], row["P"], on_infeasible="return")
        assert fresh.status.name == row["status"]
        if fresh.status is not Status.INFEASIBLE:
            assert row["lower"] <= fresh.upper_bound + 1e-12 and fresh.lower_bound <= row["upper"] + 1e-12
            assert row["upper"] - row["lower"] <= 1e-8


def test_equal_runs_are_equal(toy: cdp.DiscreteProblem) -> None:
    one, other = (cdp.trace(toy, (0.66, 0.70), (2e-3, 2e-2), tol=1e-4, margin=1e-3, progress=False) for _ in range(2))
    for name in ("points", "hyperplanes", "attained"):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_default_ranges(toy: cdp.DiscreteProblem) -> None:
    surface = cdp.trace(toy, tol=1e-3, progress=False, max_points=60)
    least = cdp.min_distortion(toy, math.inf)
    assert least.lower == surface.distortion[0] and surface.perception[0] == 0.0
    assert float(surface.lower(surface.distortion[1], 0.0)) < math.inf


OTHERS: dict[str, Callable[[], cdp.DiscreteProblem]] = {
    "threshold 0, tv": lambda: dataclasses.replace(cdp.presets.paper_toy(threshold=0.0), perception="tv").discretize(
        n=11
    ),
    "reverse_kl": lambda: dataclasses.replace(cdp.presets.paper_toy(), perception="reverse_kl").discretize(n=21),
    "three classes, Hamming": lambda: cdp.DiscreteProblem.from_tables(
        priors=[0.5, 0.3, 0.2],
        p_x_given_class=[[0.7, 0.2, 0.1, 0.0], [0.1, 0.6, 0.1, 0.2], [0.0, 0.1, 0.3, 0.6]],
        p_y_given_x=[[0.8, 0.1, 0.1], [0.2, 0.6, 0.2], [0.1, 0.3, 0.6], [0.1, 0.1, 0.8]],
        classifier=[0, 1, 2, 2],
        distortion="hamming",
        perception="tv",
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_problems(name: str) -> None:
    problem = OTHERS[name]()
    low, high = (cdp.min_distortion(problem, p).upper for p in (0.1, 0.0))
    surface = cdp.trace(problem, (low, high + 0.2), (0.0, 0.1), tol=2e-3, margin=1e-3, progress=False)
    assert surface.max_gap <= 2e-3, surface.summary()
    rng = np.random.default_rng(7)
    for d, p in zip(rng.uniform(low, high + 0.2, 15), rng.uniform(0, 0.1, 15), strict=True):
        fresh = cdp.solve(problem, d, p, on_infeasible="return")
        if fresh.status is not Status.INFEASIBLE:
            assert float(surface.lower(d, p)) <= fresh.upper_bound + 1e-9, (d, p)
            assert fresh.lower_bound <= float(surface.upper(d, p)) + 1e-9, (d, p)
