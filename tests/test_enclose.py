"""Enclosures of the continuous problem against closed forms, grids, draws, each other and the verifier."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import cdp_toy as cdp
from cdp_toy import continuous_table, grid_enclosure
from cdp_toy.cli import app
from cdp_toy.closed_forms import ErrorCurve, TransportCurve
from cdp_toy.enclosing import LADDER
from cdp_toy.grid_enclosure import enclose_by_grids
from cdp_toy.point import Status
from cdp_toy.verify import verify, verify_file

TOY, ZERO = cdp.presets.paper_toy(), cdp.presets.paper_toy(threshold=0.0)
FLOOR, EXACT_LAW = 0.204117333467, 0.206362187422
SMALL = {"max_cells": LADDER[0]}
INF = math.inf


def toy(**changes: object) -> cdp.CDPProblem:
    return dataclasses.replace(ZERO, **{"class_cost": None, **changes})  # type: ignore[arg-type]


MIRRORED = toy(
    source=cdp.GaussianMixture((0.3, 0.7), (1.0, -1.0)), classifier=cdp.ThresholdClassifier(0.0, classes=(1, 0))
)
MIXED = toy(
    source=cdp.GaussianMixture((0.4, 0.6), ((-2.0, -0.5), (0.5, 1.5)), 0.8, weights=((0.25, 0.75), (0.5, 0.5))),
    degradation=cdp.AdditiveGaussian(0.7),
    classifier=cdp.ThresholdClassifier(0.1),
)
#: problems that the reduction to monotone maps does not cover
OTHERS = {
    "unequal": toy(source=cdp.GaussianMixture((0.6, 0.4), (-1.0, 1.0), (1.0, 0.6)), classifier=cdp.BayesClassifier()),
    "three classes": toy(
        source=cdp.GaussianMixture((0.5, 0.3, 0.2), (-2.0, 0.0, 2.0)), classifier=cdp.ThresholdClassifier([-1.0, 1.0])
    ),
    "costs": toy(class_cost=np.array([[0.0, 1.0], [3.0, 0.5]])),
    "two thresholds": toy(classifier=cdp.ThresholdClassifier([-0.5, 0.5], classes=(0, 1, 0))),
    "wrong way round": toy(classifier=cdp.ThresholdClassifier(0.0, classes=(1, 0))),
}


# closed forms


@pytest.mark.parametrize("rigorous", [False, True])
def test_the_ends_of_the_surface(rigorous: bool) -> None:
    exactly_p = cdp.enclose(TOY, 0.7114, 0.0, rigorous=rigorous)
    floor = cdp.enclose(TOY, rigorous=rigorous)
    beyond = cdp.enclose(TOY, 0.66, 0.02, rigorous=rigorous)
    for point, value in ((exactly_p, EXACT_LAW), (floor, FLOOR), (beyond, FLOOR)):
        assert point.status is Status.OPTIMAL
        assert point.gap <= 1e-13
        assert abs(point.lower_bound - value) < 6e-13
        assert point.scope == ("continuous, rigorous" if rigorous else "continuous")


def test_the_least_distortions() -> None:
    curve = TransportCurve(dataclasses.replace(TOY, perception="w2_squared"))
    nothing, everything = cdp.enclose_min_distortion(TOY, tol=1e-6), cdp.enclose_min_distortion(TOY, 0.0, tol=1e-6)
    assert nothing.lower <= curve.min_distortion <= nothing.upper
    assert everything.lower <= curve.least_distortion(0.0) <= everything.upper
    assert abs(nothing.upper - 0.6416888797) < 1e-6
    assert abs(everything.lower - 0.7113170186) < 1e-6


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "hellinger_squared", "chi2", "reverse_chi2", "js", "renyi:3"])
def test_without_a_distortion_level_the_value_is_a_closed_form(name: str) -> None:
    problem = toy(perception=name)
    curve = ErrorCurve(problem)
    for share in (0.1, 0.6, 1.5):
        level = share * curve.saturation
        point = cdp.enclose(problem, INF, level, tol=1e-11, **SMALL)
        assert point.status is Status.OPTIMAL
        assert point.lower_bound - 1e-12 <= curve.error_rate(level) <= point.upper_bound + 1e-12


def test_the_floor_begins_where_grids_say() -> None:
    flat = cdp.enclose_flat_distortion(TOY, 0.01, tol=1e-7)
    assert flat is not None
    assert flat.lower <= flat.upper
    assert abs(flat.upper - 0.66723230) < 2e-7
    grids = [cdp.flat_distortion(TOY.discretize(n=n, bounds=(-7.0, 7.0)), 0.01).upper for n in (51, 101)]
    assert grids[0] > grids[1] > flat.upper
    assert cdp.enclose(TOY, flat.upper + 1e-9, 0.01, tol=1e-12, max_cells=12801).upper_bound <= FLOOR + 1e-12
    assert cdp.enclose(TOY, flat.lower - 1e-3, 0.01).lower_bound > FLOOR + 1e-12
    assert cdp.enclose_flat_distortion(TOY, 0.002) is None  # below saturation no law has that error


# grids, draws, other points


@pytest.mark.parametrize("problem", [TOY, ZERO, MIRRORED, MIXED], ids=["bayes", "zero", "mirrored", "mixed"])
@pytest.mark.parametrize("name", ["kl", "hellinger_squared", "renyi:2"])
def test_grids_lie_above_the_lower_end(problem: cdp.CDPProblem, name: str) -> None:
    problem = dataclasses.replace(problem, perception=name)
    grid = problem.discretize(n=51)
    level = 0.004
    limit = cdp.min_distortion(grid, level).upper + 0.004
    on_grid, point = cdp.solve(grid, limit, level), cdp.enclose(problem, limit, level, tol=1e-6)
    assert point.status is Status.OPTIMAL
    assert point.lower_bound <= on_grid.continuous_upper_bound
    assert on_grid.upper_bound - point.upper_bound < 0.01


def test_points_grids_come_near() -> None:
    point = cdp.enclose(ZERO, 0.70, 0.004, tol=1e-7)
    away = [
        abs(
            cdp.solve(ZERO.discretize(n=n, kind="points", bounds=(-6.0, 6.0)), 0.70, 0.004).upper_bound
            - point.upper_bound
        )
        for n in (41, 81)
    ]
    assert away[1] < 0.4 * away[0] < 0.004


def test_mirror_images_have_the_same_surface() -> None:
    here, there = (cdp.enclose(p, 0.70, 0.003, tol=1e-7) for p in (ZERO, MIRRORED))
    assert here.lower_bound <= there.upper_bound
    assert there.lower_bound <= here.upper_bound


def test_hyperplanes_lie_below_other_points() -> None:
    levels = [(0.69, 0.003), (0.70, 0.001), (0.70, 0.004), (0.72, 0.0005), (0.66, 0.02), (INF, 0.001)]
    points = [cdp.enclose(ZERO, d, p, tol=1e-5) for d, p in levels]
    for one in points:
        for other in points:
            if math.isfinite(one.max_distortion):
                bound = one.hyperplane.at(other.max_distortion, other.max_perception)
                assert bound <= other.upper_bound or one.price_distortion > 0 == math.isfinite(other.max_distortion)


@pytest.mark.parametrize("size", [400_000, pytest.param(4_000_000, marks=pytest.mark.slow)])
def test_draws_of_the_map(size: int) -> None:
    point = cdp.enclose(ZERO, 0.70, 0.002, tol=1e-7)
    rng = np.random.default_rng(5)
    classes, x = ZERO.source.sample(size, rng)
    restored = point.sample(x + rng.normal(size=size), rng)
    wrong, square = (restored >= 0.0) != (classes == 1), (x - restored) ** 2
    for draws, value in ((wrong, point.error_rate), (square, point.distortion)):
        assert abs(draws.mean() - value) < 3 * draws.std() / math.sqrt(size)
    edges = np.concatenate([[-INF], np.linspace(-3.5, 3.5, 29), [INF]])
    p = np.asarray(ZERO.source.priors) @ ZERO.source.cell_integrals(edges).mass
    counts = np.histogram(restored, np.clip(edges, -100, 100))[0]
    assert counts.min() > 20
    q = counts / size
    seen = float(p @ np.log(p / q)) - (len(p) - 1) / (2 * size)  # the bias of counts
    spread = math.sqrt(float((p**2 / q).sum() - 1) / size)  # of sum p log q
    assert seen < point.perception + 3 * spread
    assert seen > 0.5 * point.perception


# infeasible levels, and near the boundary


def test_infeasible_levels_are_proven() -> None:
    with pytest.raises(
        cdp.InfeasibleError, match=r"no channel has distortion <= 0.68 at .* D_min\(P\) lies in \[0.685"
    ):
        cdp.enclose(TOY, 0.68, 0.002)
    try:
        cdp.enclose(TOY, 0.68, 0.002)
    except cdp.InfeasibleError as error:
        assert error.min_distortion.lower > 0.68
    point = cdp.enclose(TOY, 0.68, 0.002, rigorous=True, on_infeasible="return")
    assert point.status is Status.INFEASIBLE
    assert point.certificate is not None
    assert verify(point.certificate).verdict == "VERIFIED"
    assert cdp.enclose(TOY, 0.7, -1.0, on_infeasible="return").status is Status.INFEASIBLE
    assert cdp.enclose(TOY, -1.0, 0.1, on_infeasible="return").status is Status.INFEASIBLE
    with pytest.raises(cdp.InputError, match="has no restoration"):
        point.sample([0.0], np.random.default_rng(0))


def test_within_the_width_of_the_boundary_nothing_is_claimed() -> None:
    least = cdp.enclose_min_distortion(TOY, 0.002, tol=1e-4, **SMALL)
    middle = 0.5 * (least.lower + least.upper)
    point = cdp.enclose(TOY, middle, 0.002, on_infeasible="return", **SMALL)
    assert point.status is Status.UNDECIDED
    assert point.lower_bound >= FLOOR - 1e-12
    assert point.upper_bound == INF
    assert "D_min(P)" in point.note
    assert cdp.enclose(TOY, least.upper + 1e-7, 0.002, **SMALL).status is Status.INEXACT
    assert cdp.enclose(TOY, least.lower - 1e-7, 0.002, on_infeasible="return", **SMALL).status is Status.INFEASIBLE


def test_the_width_along_d_stays_small_where_prices_grow() -> None:
    least = cdp.enclose_min_distortion(TOY, 0.002, tol=1e-5)
    far, near = (cdp.enclose(TOY, least.upper + margin, 0.002, tol=1e-3) for margin in (1e-2, 1e-6))
    assert near.gap > 10 * far.gap
    assert near.width_distortion < 10 * far.width_distortion


# rigorous


@pytest.mark.parametrize("name", ["kl", "reverse_kl", "hellinger_squared", "chi2", "reverse_chi2", "js", "renyi:2"])
@pytest.mark.parametrize("problem", [TOY, MIRRORED, MIXED], ids=["bayes", "mirrored", "mixed"])
def test_balls_confirm_what_doubles_say(problem: cdp.CDPProblem, name: str, tmp_path: Path) -> None:
    problem = dataclasses.replace(problem, perception=name)
    least = cdp.enclose_min_distortion(problem, 0.004, tol=1e-3)
    levels = (round(least.upper + 0.004, 4), 0.004)
    point = cdp.enclose(problem, *levels, tol=1e-5, **SMALL)
    proven = cdp.enclose(problem, *levels, tol=1e-5, rigorous=True, **SMALL)
    assert abs(point.lower_bound - proven.lower_bound) < 1e-11
    assert abs(point.upper_bound - proven.upper_bound) < 1e-11
    report = verify_file(proven.save(tmp_path / "point.json"))
    assert report.verdict == "VERIFIED"
    assert f"{proven.lower_bound!r}" in report.reason


@pytest.mark.parametrize("enclosed", [cdp.enclose_min_distortion, cdp.enclose_flat_distortion])
def test_distortions_have_certificates_too(enclosed: object, tmp_path: Path) -> None:
    found = enclosed(TOY, 0.02, tol=1e-4, rigorous=True)  # type: ignore[operator]
    assert found.scope == "continuous, rigorous"
    assert verify_file(found.save(tmp_path / "least.json")).verdict == "VERIFIED"
    drawn = found.sample(np.linspace(-3, 3, 50), np.random.default_rng(0))
    assert drawn.shape == (50,)
    plain = enclosed(TOY, 0.02, tol=1e-4)  # type: ignore[operator]
    assert abs(plain.upper - found.upper) < 1e-11
    with pytest.raises(cdp.InputError, match="pass rigorous=True"):
        plain.save(tmp_path / "plain.json")


def test_narrower_claims_are_refuted() -> None:
    point = cdp.enclose(ZERO, 0.7, 0.004, tol=1e-4, rigorous=True, **SMALL)
    assert point.certificate is not None
    for end, value in (("lower", point.upper_bound + 1e-9), ("upper", point.lower_bound - 1e-9)):
        claim = {**point.certificate["claim"], end: value.hex()}
        assert verify({**point.certificate, "claim": claim}).verdict == "REFUTED"


def test_what_cannot_be_stated_exactly_is_refused() -> None:
    thirds = toy(source=cdp.GaussianMixture((1 / 3, 1 / 3 + 1 / 3), (-1.0, 1.0)))
    with pytest.raises(cdp.InputError, match="decimals that sum to one exactly"):
        cdp.enclose(thirds, 0.7, 0.01, rigorous=True)
    with pytest.raises(cdp.InputError, match="only rigorous enclosures have a certificate"):
        cdp.enclose(ZERO, 0.7, 0.01, tol=1e-3).save("nowhere.json")


# outside of the theorem


@pytest.mark.parametrize("name", OTHERS)
def test_other_problems_are_bracketed_by_grids(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grid_enclosure, "SIZES", (101, 201))
    problem = OTHERS[name]
    least = cdp.min_distortion(problem.discretize(n=101), 0.004)
    gaps = []
    for sizes in ((101,), (201,)):
        monkeypatch.setattr(grid_enclosure, "SIZES", sizes)
        point = cdp.enclose(problem, least.upper + 0.01, 0.004, tol=1e-9)
        gaps.append(point.gap)
    finer = cdp.solve(problem.discretize(n=301), least.upper + 0.01, 0.004)
    assert point.lower_bound <= finer.upper_bound <= point.upper_bound + 1e-9
    assert point.status in (Status.OPTIMAL, Status.INEXACT)
    assert gaps[1] < max(0.5 * gaps[0], 1e-10)
    assert "the monotone reduction needs" in point.note
    assert point.sample([-1.0, 1.0], np.random.default_rng(0)).shape == (2,)
    below = cdp.enclose(problem, 0.9 * least.lower, 0.004, on_infeasible="return")
    assert below.status is Status.INFEASIBLE
    with pytest.raises(cdp.InputError, match="rigorous enclosures are for monotone problems only: the monotone"):
        cdp.enclose(problem, 1.0, 0.1, rigorous=True)


@pytest.mark.parametrize("levels", [(0.70, 0.004), (0.72, 0.0), (INF, 0.001), (0.66, INF), (0.60, 0.004)])
def test_both_routes_agree(levels: tuple[float, float]) -> None:
    point = cdp.enclose(ZERO, *levels, tol=1e-6, on_infeasible="return")
    by_grids = enclose_by_grids(ZERO, *levels, 1e-9, 201, "")
    assert by_grids.lower_bound <= point.upper_bound
    assert point.lower_bound <= by_grids.upper_bound
    assert (point.status is Status.INFEASIBLE) is (by_grids.status is Status.INFEASIBLE)


# random problems


@settings(max_examples=15, deadline=None, derandomize=True)
@given(
    prior=st.sampled_from([0.05, 0.3, 0.5, 0.9]),
    distance=st.floats(0.05, 4.0),
    std=st.floats(0.3, 2.0),
    noise=st.floats(0.1, 3.0),
    threshold=st.floats(-2.0, 2.0),
    name=st.sampled_from(["kl", "reverse_kl", "hellinger_squared", "chi2", "js", "renyi:0.5"]),
    level=st.sampled_from([1e-4, 1e-2, 0.3]),
    margin=st.sampled_from([1e-4, 1e-2, 0.5]),
)
def test_random_problems_are_enclosed(
    prior: float, distance: float, std: float, noise: float, threshold: float, name: str, level: float, margin: float
) -> None:
    problem = cdp.CDPProblem(
        cdp.GaussianMixture((1 - prior, prior), (-distance, distance), std),
        cdp.AdditiveGaussian(noise),
        cdp.ThresholdClassifier(threshold),
        perception=name,
    )
    least = cdp.enclose_min_distortion(problem, level, tol=1e-3, **SMALL)
    assert least.lower <= least.upper
    point = cdp.enclose(problem, least.upper * (1 + margin), level, tol=1e-6, **SMALL)
    assert point.status in (Status.OPTIMAL, Status.INEXACT)
    assert point.lower_bound <= point.upper_bound
    assert point.width_distortion < 1e-3 * least.upper
    on_grid = cdp.solve(problem.discretize(n=41), point.max_distortion, level, tol=1e-6, on_infeasible="return")
    assert point.lower_bound <= on_grid.upper_bound


# refusals and faces


def test_refusals() -> None:
    with pytest.raises(TypeError, match=r"enclosures are of continuous problems.*Use solve for a grid"):
        cdp.enclose(TOY.discretize(n=11), 0.7, 0.1)  # type: ignore[arg-type]
    with pytest.raises(cdp.InputError, match="max_distortion is NaN"):
        cdp.enclose(TOY, math.nan, 0.1)
    with pytest.raises(cdp.InputError, match="tol must be a positive number"):
        cdp.enclose(TOY, 0.7, 0.1, tol=0.0)
    with pytest.raises(cdp.InputError, match="max_cells must be at least 801"):
        cdp.enclose(TOY, 0.7, 0.1, max_cells=100)
    with pytest.raises(cdp.InputError, match="unknown on_infeasible 'ignore'"):
        cdp.enclose(TOY, 0.7, 0.1, on_infeasible="ignore")
    with pytest.raises(cdp.InputError, match="need a GaussianMixture source"):
        cdp.enclose(toy(source=cdp.LaplaceMixture((0.7, 0.3), (-1.0, 1.0), 1.0)), 0.7, 0.1)
    with pytest.raises(cdp.InputError, match='this perception is "w1"'):
        cdp.enclose(toy(perception="w1"), 0.7, 0.1)
    with pytest.raises(cdp.InputError, match="needs two classes; this source has 3"):
        cdp.enclose_min_distortion(OTHERS["three classes"], 0.1)


def test_solve_points_to_enclose() -> None:
    with pytest.raises(TypeError, match=r"discretize.*enclose"):
        cdp.solve(TOY, 0.7, 0.1)  # type: ignore[arg-type]


def test_summary_says_what_is_bounded() -> None:
    text = cdp.enclose(ZERO, 0.7, 0.004, tol=1e-3).summary()
    assert "of the continuous: OPTIMAL" in text
    assert "width in D" in text
    assert "nondecreasing map on 801 cells" in text


def test_command_line(tmp_path: Path) -> None:
    out = tmp_path / "point.json"
    levels = ["--preset", "paper-toy", "-D", "0.7", "-P", "0.002", "--tol", "1e-5"]
    made = CliRunner().invoke(app, ["enclose", *levels, "--out", str(out), "--json"])
    assert made.exit_code == 0
    record = json.loads(made.stdout)
    assert record["scope"] == "continuous, rigorous"
    assert record["gap"] < 1e-5
    checked = CliRunner().invoke(app, ["verify", str(out)])
    assert checked.exit_code == 0
    assert checked.stdout.startswith("VERIFIED")
    below = CliRunner().invoke(app, ["enclose", "--preset", "paper-toy", "-D", "0.6"])
    assert below.exit_code == 1
    assert "INFEASIBLE" in below.stdout


def test_places_of_the_table() -> None:
    where = continuous_table.places()
    assert sum(math.isfinite(place.published) for place in where) == 10
    assert sum(math.isnan(place.published) for place in where) == 12


def test_a_rigorous_row_of_the_table_has_a_verified_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(continuous_table, "RIGOROUS_TOL", 1e-4)
    place = continuous_table.Place(None, "here", 0.72, 0.002, math.nan)
    grid = dataclasses.replace(TOY.discretize(n=31), grid=None)
    on_grid, lower, upper, width, status, verdict = continuous_table._row(grid, place, tmp_path / "00.json")
    assert lower <= upper <= on_grid
    assert float(width) == pytest.approx(upper - lower, rel=0.5)
    assert (status, verdict) == ("OPTIMAL", "VERIFIED 00.json")
    assert verify_file(tmp_path / "00.json").verdict == "VERIFIED"


def test_rows_are_kept_between_runs_of_the_same_settings(tmp_path: Path) -> None:
    rows = [["a", "b", INF, 0.1, math.nan, *[0.5] * 4, "1e-09", "OPTIMAL", "-"]]
    path, calls = tmp_path / "enclosures.json", []

    def compute() -> list[list[object]]:
        calls.append(1)
        return rows

    first = continuous_table.kept_rows(path, {"n": 1}, compute)
    again = continuous_table.kept_rows(path, {"n": 1}, compute)
    assert repr(again) == repr(first) == repr(rows)
    assert len(calls) == 1
    continuous_table.kept_rows(path, {"n": 2}, compute)
    path.write_text('{"settings": 3')
    continuous_table.kept_rows(path, {"n": 2}, compute)
    assert len(calls) == 3
