"""Surfaces of the continuous problem against enclosures of their own."""

from __future__ import annotations

import dataclasses
import math
from functools import cache
from pathlib import Path

import numpy as np
import pytest

import cdp_toy as cdp
from cdp_toy.perceptions import perception_from
from cdp_toy.point import Bracket, Point, Status
from cdp_toy.solvers.monotone_map import MonotoneMap
from cdp_toy.tracing.continuous_mixing import ContinuousMixer, OutputLaw
from cdp_toy.tracing.continuous_oracle import ContinuousOracle
from cdp_toy.tracing.mapped import Mapped, mapped
from cdp_toy.tracing.records import packed, unpacked

PROBLEMS = {
    "paper": cdp.presets.paper_toy(),
    "threshold 0": cdp.presets.paper_toy(threshold=0.0),
    "renyi": dataclasses.replace(cdp.presets.paper_toy(), perception="renyi:2"),
}
DISTORTION, PERCEPTION, TOL = (0.66, 0.71), (0.002, 0.02), 2e-4


@cache
def oracle(name: str) -> ContinuousOracle:
    return ContinuousOracle(PROBLEMS[name], 1e-5)


@pytest.fixture(scope="module")
def surface() -> cdp.Surface:
    return cdp.trace(PROBLEMS["paper"], DISTORTION, PERCEPTION, tol=TOL, margin=1e-3, progress=False)


def places(count: int) -> list[tuple[float, float]]:
    rng = np.random.default_rng(5)
    return [(float(rng.uniform(*DISTORTION)), float(rng.uniform(*PERCEPTION))) for _ in range(count)]


# the surface


def test_reaches_the_tolerance_and_says_what_it_is(surface: cdp.Surface) -> None:
    assert surface.stopped == "tolerance reached" and surface.max_gap <= TOL
    assert surface.about["scope"] == "continuous"
    assert "continuous" in surface.summary()


def test_lies_around_fresh_enclosures(surface: cdp.Surface) -> None:
    feasible = 0
    for d, p in places(10):
        point = cdp.enclose(PROBLEMS["paper"], d, p, tol=1e-5, on_infeasible="return")
        if point.status is Status.INFEASIBLE:
            assert math.isinf(float(surface.upper(d, p)))
            continue
        feasible += 1
        assert float(surface.lower(d, p)) <= point.upper_bound
        assert float(surface.upper(d, p)) >= point.lower_bound
    assert feasible >= 3


def test_curves_lie_around_fresh_enclosures(surface: cdp.Surface) -> None:
    assert surface.boundary is not None and surface.floor is not None
    for p in (0.0023, 0.007, 0.019):
        least = cdp.enclose_min_distortion(PROBLEMS["paper"], p, tol=1e-5)
        assert float(surface.boundary.lower(p)) <= least.upper and float(surface.boundary.upper(p)) >= least.lower
    assert surface.floor.perception[0] > PERCEPTION[0]  # the floor comes within reach only then
    for p in (0.005, 0.019):
        flat = cdp.enclose_flat_distortion(PROBLEMS["paper"], p, tol=1e-5)
        assert flat is not None
        assert float(surface.floor.lower(p)) <= flat.upper and float(surface.floor.upper(p)) >= flat.lower


@pytest.mark.slow
@pytest.mark.parametrize("name", ["threshold 0", "renyi"])
def test_other_problems_reach_the_tolerance(name: str) -> None:
    traced = cdp.trace(PROBLEMS[name], DISTORTION, (0.004, 0.02), tol=TOL, margin=1e-3, progress=False)
    assert traced.stopped == "tolerance reached"
    for d, p in [(0.69, 0.006), (0.70, 0.01), (0.68, 0.015)]:
        point = cdp.enclose(PROBLEMS[name], d, p, tol=1e-6)
        assert float(traced.lower(d, p)) <= point.upper_bound
        assert float(traced.upper(d, p)) >= point.lower_bound


def test_default_ranges_begin_at_zero_and_hold_the_way_down() -> None:
    levels = oracle("paper").default_perception()
    span = [oracle("paper").min_distortion(p).upper for p in (0.0, levels[1], math.inf)]
    assert levels[0] == 0.0
    assert (span[1] - span[2]) / (span[0] - span[2]) == pytest.approx(0.01, rel=0.05)
    low, high = oracle("paper").default_distortion(levels)
    assert low <= span[2] and high >= span[0]


# mixtures


@pytest.mark.parametrize("name", PROBLEMS)
def test_the_law_of_a_solved_point_gives_its_plane_back(name: str) -> None:
    point = oracle(name)(0.695, 0.004)
    plane, attained = oracle(name).of_point(point)
    found = ContinuousMixer(oracle(name).posed).supporting(0.695, 0.004, attained[0].channel)
    assert plane is not None and found is not None
    assert abs(found.value - point.lower_bound) <= 1e-6
    assert found.price_d == pytest.approx(point.price_distortion, rel=1e-3)
    assert found.price_p == pytest.approx(point.price_perception, rel=1e-3)


@pytest.mark.parametrize("name", PROBLEMS)
def test_planes_of_perturbed_laws_are_below_what_is_attained(name: str) -> None:
    mixer = ContinuousMixer(oracle(name).posed)
    levels = [(0.69, 0.003), (0.70, 0.008), (0.705, 0.015)]
    points = [oracle(name)(d, p) for d, p in levels]
    rng = np.random.default_rng(2)
    for point in points:
        law: OutputLaw = oracle(name).of_point(point)[1][0].channel
        wave = np.sin(rng.uniform(1.0, 9.0) * np.linspace(0, 1, len(law.masses)) + rng.uniform(0.0, 6.0))
        masses = law.masses * np.exp(0.3 * wave)
        bent = law._replace(masses=masses / masses.sum())
        plane = mixer.supporting(point.max_distortion, point.max_perception, bent)
        assert plane is not None
        for other in points:
            below = plane.price_d * (plane.d - other.max_distortion) + plane.price_p * (plane.p - other.max_perception)
            assert plane.value + below <= other.upper_bound + 1e-12


@pytest.mark.parametrize("quantity", ["least", "flat"])
def test_mixtures_of_a_curve_lie_around_it(quantity: str) -> None:
    mixer, known = ContinuousMixer(oracle("paper").posed, quantity), oracle("paper")
    ask = known.min_distortion if quantity == "least" else known.flat_distortion
    ends, middle = (0.006, 0.012), 0.009
    laws = []
    for p in ends:
        bracket = ask(p)
        assert bracket is not None
        laws.append(known.of_bracket(quantity, p, bracket)[1][0].channel)
    fresh = ask(middle)
    mixed = mixer.attained(laws, np.array([0.5, 0.5]))
    plane = mixer.supporting(0.0, middle, mixed.channel)
    assert fresh is not None and plane is not None
    assert mixed.p <= middle  # the divergence is convex
    assert plane.value <= fresh.upper
    assert plane.value >= fresh.lower - 1e-3
    assert mixed.value + 1e-12 >= fresh.lower
    if quantity == "flat":  # what is mixed still decides by the larger posterior
        assert mixed.channel.value.error_rate == pytest.approx(known.posed.curve.floor, abs=1e-12)


def test_points_on_finer_cells_have_a_law_on_the_common_ones() -> None:
    sharp = ContinuousOracle(PROBLEMS["paper"], 5e-8)
    sharp.__dict__["posed"] = oracle("paper").posed
    point = sharp(0.69, 0.002)
    assert point.n_cells > len(sharp.posed.grid.edges) + 1
    _, attained = sharp.of_point(point)
    law = attained[0].channel
    assert len(law.masses) == len(sharp.posed.grid.edges) + 1
    assert law.value.error_rate == pytest.approx(point.error_rate, abs=1e-6)


# refusals


def test_three_classes_are_refused_with_the_reason() -> None:
    source = cdp.GaussianMixture(priors=(0.4, 0.3, 0.3), means=(-2.0, 0.0, 2.0), stds=(1.0, 1.0, 1.0))
    problem = cdp.CDPProblem(source, cdp.AdditiveGaussian(std=1.0), cdp.BayesClassifier())
    with pytest.raises(cdp.InputError, match=r"cannot be traced: .*two classes.*discretize"):
        cdp.trace(problem, DISTORTION, PERCEPTION, progress=False)


def test_channels_are_not_kept() -> None:
    with pytest.raises(cdp.InputError, match="only finite problems have channels"):
        cdp.trace(PROBLEMS["paper"], DISTORTION, PERCEPTION, progress=False, keep_channels=True)


class Unnamed(type(perception_from("kl"))):  # type: ignore[misc]
    """A divergence that is in no catalogue."""


def test_a_journal_needs_a_problem_that_a_file_describes(tmp_path: Path) -> None:
    problem = dataclasses.replace(PROBLEMS["paper"], perception=Unnamed())
    with pytest.raises(cdp.InputError, match="not in the catalogue"):
        cdp.trace(problem, DISTORTION, PERCEPTION, progress=False, journal=tmp_path / "run.sqlite")


# journals and workers

RUN = dict(distortion=DISTORTION, perception=PERCEPTION, tol=1e-3, margin=1e-3, progress=False)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    surface = cdp.trace(PROBLEMS["paper"], batch=2, **RUN)  # type: ignore[arg-type]
    return surface.save(tmp_path_factory.mktemp("whole") / "x.nc").read_bytes()


def test_a_run_that_was_stopped_ends_with_the_same_surface(
    uninterrupted: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = dict(journal=tmp_path / "run.sqlite", batch=2, **RUN)
    first = cdp.trace(PROBLEMS["paper"], max_points=6, **run)  # type: ignore[arg-type]
    assert "budget" in first.stopped
    asked: list[object] = []
    answer = ContinuousOracle.answer
    monkeypatch.setattr(ContinuousOracle, "answer", lambda self, q: asked.append(q) or answer(self, q))
    again = cdp.trace(PROBLEMS["paper"], **run)  # type: ignore[arg-type]
    assert again.stopped == "tolerance reached"
    assert len(asked) == int(again.about["solves"]) - int(first.about["solves"])
    assert again.save(tmp_path / "x.nc").read_bytes() == uninterrupted


def test_workers_end_with_the_same_surface(uninterrupted: bytes, tmp_path: Path) -> None:
    surface = cdp.trace(PROBLEMS["paper"], batch=2, workers=2, **RUN)  # type: ignore[arg-type]
    assert surface.save(tmp_path / "x.nc").read_bytes() == uninterrupted


def test_a_journal_of_another_continuous_problem_is_refused(tmp_path: Path) -> None:
    run = dict(journal=tmp_path / "run.sqlite", max_points=2, **RUN)
    cdp.trace(PROBLEMS["paper"], **run)  # type: ignore[arg-type]
    with pytest.raises(cdp.InputError, match=r"problem\.perception: the journal has 'kl', asked was 'renyi:2'"):
        cdp.trace(PROBLEMS["renyi"], **run)  # type: ignore[arg-type]
    with pytest.raises(cdp.InputError, match=r"problem\.classifier\.kind: the journal has 'bayes'"):
        cdp.trace(PROBLEMS["threshold 0"], **run)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", PROBLEMS)
def test_rows_of_answers_are_the_answers(name: str) -> None:
    asked = oracle(name)
    point = asked(0.7, 0.004)
    kept = mapped(unpacked(packed(asked.row(point))))
    assert isinstance(kept, Mapped) and isinstance(point.restoration, MonotoneMap)
    for field in dataclasses.fields(Point):
        assert getattr(kept, field.name) == getattr(point, field.name)
    assert_same_map(kept.restoration, point.restoration)
    for one, other in zip(asked.of_point(kept)[1], asked.of_point(point)[1], strict=True):
        assert one[:3] == other[:3] and np.array_equal(one.channel.masses, other.channel.masses)
    bracket = asked.min_distortion(0.004)
    again = mapped(unpacked(packed(asked.row(bracket))))
    assert isinstance(again, Bracket)
    assert (again.lower, again.upper, again.prices) == (bracket.lower, bracket.upper, bracket.prices)
    assert_same_map(again.witness, bracket.witness)
    infeasible = asked(0.5, 0.004)
    lost = mapped(unpacked(packed(asked.row(infeasible))))
    assert isinstance(lost, Mapped) and lost.status is Status.INFEASIBLE
    assert mapped(unpacked(packed(asked.row(None)))) is None


def assert_same_map(one: MonotoneMap | None, other: MonotoneMap) -> None:
    assert one is not None
    for field in dataclasses.fields(MonotoneMap):
        assert np.array_equal(getattr(one, field.name), getattr(other, field.name))


def test_rows_that_are_no_map_are_refused() -> None:
    row = dict(oracle("paper").row(oracle("paper").min_distortion(0.004)))
    for change in ({"map_value": np.zeros(2)}, {"map_counts": np.zeros(9)}, {"map_numbers": np.zeros(1)}):
        with pytest.raises(cdp.InputError, match="not a row of an answer"):
            mapped(row | change)
    del row["map_nodes"]
    with pytest.raises(cdp.InputError, match="map_nodes"):
        mapped(row)
