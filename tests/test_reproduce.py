"""The main job on a coarse grid: files, tables, cache, and a run that fails late."""

from __future__ import annotations

import csv
import dataclasses
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import MODELS

import cdp_toy as cdp
from cdp_toy import figures, presets, reproduce, scan, study, workers
from cdp_toy.linear import linear_denoiser
from cdp_toy.point import Status


@pytest.fixture(scope="module")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    out = tmp_path_factory.mktemp("results")
    text: list[str] = []
    reproduce.reproduce(out, n=31, levels=3, points=3, workers=2, say=text.append, gap=2e-4)
    return out, "\n".join(text)


def records(path: Path) -> list[dict[str, str]]:
    with path.open() as stream:
        return list(csv.DictReader(stream))


def test_every_figure_and_table_is_written(first_run: tuple[Path, str]) -> None:
    out, text = first_run
    for name in ("figure1", "figure2", "figure3_exact_surface", "figure4_whole_surfaces"):
        assert (out / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (out / f"{name}.png").stat().st_size > 20_000
    assert "Verdicts" in text and "certified to 1e-6" in text and "published - exact" in text
    table = records(out / "published_against_exact.csv")
    knots = {row["quantity"]: row for row in table}
    assert float(knots["error rate at a = 0.5"]["exact (linear family)"]) == pytest.approx(0.204117333467, abs=1e-12)


def test_exact_points_carry_their_bounds_and_beat_the_linear_family(first_run: tuple[Path, str]) -> None:
    points = records(first_run[0] / "exact_points.csv")
    assert len(points) == 2 * 3 * 3
    gaps = [float(p["upper_bound"]) - float(p["lower_bound"]) for p in points]
    assert min(gaps) >= 0
    assert np.mean(np.array(gaps) <= 1e-6) >= 0.95
    assert all(float(p["left_on_table"]) > 0 for p in points if p["left_on_table"] != "nan")


def test_whole_surfaces_are_kept_and_bound_the_scanned_points(first_run: tuple[Path, str]) -> None:
    out, text = first_run
    assert "Whole surfaces" in text
    points = records(out / "exact_points.csv")
    for name, file in (
        ("Bayes threshold for X", "whole-bayes-threshold-for-x.nc"),
        ("threshold 0", "whole-threshold-0.nc"),
    ):
        surface = cdp.load_surface(out / file)
        assert surface.stopped == "tolerance reached"
        for point in (p for p in points if p["classifier"] == name and float(p["P"]) <= 0.03):
            d, p = float(point["D"]), float(point["P"])
            assert surface.lower(d, p) <= float(point["upper_bound"]) + 1e-12
            assert float(point["lower_bound"]) <= surface.upper(d, p) + 1e-12
    assert not list(out.glob("*.sqlite*"))


def test_verdicts_of_the_exact_surfaces_hold(first_run: tuple[Path, str]) -> None:
    verdicts = records(first_run[0] / "verdicts.csv")
    exact = [v for v in verdicts if v["surface"].startswith("all channels")]
    assert len(exact) == 4
    assert all(v["holds"] == "yes" for v in exact)


def test_a_second_run_only_draws(first_run: tuple[Path, str], monkeypatch: pytest.MonkeyPatch) -> None:
    out, _ = first_run
    before = (out / "exact_points.csv").read_text()

    def never(*args: Any) -> None:
        raise AssertionError("a cached run must not solve")

    monkeypatch.setattr(workers, "ProcessPoolExecutor", never)
    text: list[str] = []
    reproduce.reproduce(out, n=31, levels=3, points=3, say=text.append, gap=2e-4)
    assert "nothing to solve" in "\n".join(text)
    assert (out / "exact_points.csv").read_text() == before


def test_a_run_that_fails_late_keeps_what_it_had(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grid = presets.paper_toy().discretize(n=21)
    row = scan.scan_row(grid, 0.01, (0.5, 1.0), tol=1e-6)

    def failing_scan(grids: Any, journal: scan.Journal, *rest: Any) -> None:
        journal.add("Bayes threshold for X", row)
        raise RuntimeError("the machine went away")

    monkeypatch.setattr(reproduce, "_scan", failing_scan)
    with pytest.raises(RuntimeError, match="went away"):
        reproduce.reproduce(tmp_path, n=21, levels=3, points=2, say=lambda text: None)
    assert len(records(tmp_path / "exact_points.csv")) == 2
    settings = {"version": cdp.__version__, "n": 21, "levels": 3, "points": 2, "tol": reproduce.SCAN_TOL}
    assert scan.Journal(tmp_path / "rows.jsonl", settings).of("Bayes threshold for X") == (row,)


def test_after_a_failure_no_further_task_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    ends: list[bool] = []

    class Pool:
        def __init__(self, *_: object) -> None: ...

        def submit(self, function: Any, *arguments: Any) -> Any:
            return function(*arguments)

        def shutdown(self, wait: bool, *, cancel_futures: bool) -> None:
            assert wait
            ends.append(cancel_futures)

    monkeypatch.setattr(workers, "ProcessPoolExecutor", Pool)
    with workers.Workers(2) as pool:
        pool.submit(abs, -1)
    with pytest.raises(RuntimeError, match="went away"), workers.Workers(2) as pool:
        pool.submit(abs, -1)
        raise RuntimeError("the machine went away")
    assert ends == [False, True]


def test_rows_survive_json_exactly_and_nothing_else_is_read() -> None:
    row = scan.scan_row(presets.binary_conflict().discretize(), 0.01, (0.3, 1.0))
    assert scan.Row.from_json(row.to_json()) == row
    for hostile in ("", "[]", '{"max_perception": 1}', '{"points": "x"}', "nonsense"):
        with pytest.raises(cdp.InputError, match="not a row"):
            scan.Row.from_json(hostile)


def test_a_journal_of_other_settings_is_started_afresh(tmp_path: Path) -> None:
    row = scan.scan_row(presets.binary_conflict().discretize(), 0.01, (1.0,))
    scan.Journal(tmp_path / "rows.jsonl", {"n": 1}).add("a", row)
    with (tmp_path / "rows.jsonl").open("a") as stream:
        stream.write('a\t{"max_perc')  # a line cut short by a crash
    assert scan.Journal(tmp_path / "rows.jsonl", {"n": 1}).of("a") == (row,)
    assert scan.Journal(tmp_path / "rows.jsonl", {"n": 2}).of("a") == ()


def test_row_values_between_points_are_upper_bounds() -> None:
    grid = presets.paper_toy(threshold=0.0).discretize(n=31)
    row = scan.scan_row(grid, 0.02, scan.distortion_fractions(3), tol=1e-7)
    between = np.array(
        [(a.max_distortion + b.max_distortion) / 2 for a, b in zip(row.points, row.points[1:], strict=False)]
    )
    drawn = figures.row_values(row, between, grid.error_floor)
    for d, value in zip(between, drawn, strict=True):
        assert cdp.solve(grid, d, 0.02).lower_bound <= value
    assert np.isnan(figures.row_values(row, np.array([row.min_distortion.lower - 1e-3]), grid.error_floor)).all()


def test_figures_draw_what_they_are_given() -> None:
    family = linear_denoiser(presets.paper_toy())
    figure = figures.figure_1(family)
    left, _, right = figure.axes[:3]
    x, y = left.lines[0].get_data()
    assert np.trapezoid(y, x) == pytest.approx(1.0, abs=2e-3)
    a, mse = right.lines[0].get_data()
    assert float(mse[np.argmin(np.abs(np.asarray(a) - 0.5))]) == pytest.approx(0.75, abs=1e-9)
    for axes in figure.axes:
        assert axes.get_ylabel()


def test_infeasible_points_are_left_out_of_claims() -> None:
    point = cdp.solve(presets.binary_conflict().discretize(), 0.4, 0.05)
    gone = dataclasses.replace(point, status=Status.UNDECIDED, upper_bound=math.inf)
    with pytest.raises(cdp.InputError, match="at least two feasible points"):
        cdp.theorems.convex([point, gone])


@pytest.mark.parametrize(
    ("name", "kind", "families"),
    [
        ("histogram_2d", "cells", set()),
        ("plane_toy", "cells", {"linear_family", "linear_diagonal"}),
        ("inpainting", "cells", {"linear_diagonal"}),
        ("laplace", "points", set()),
    ],
)
def test_other_problems_are_reproduced_with_the_families_they_have(
    name: str, kind: Any, families: set[str], tmp_path: Path
) -> None:
    text: list[str] = []
    problem = MODELS[name]()[0]
    gap = 0.01 if name == "plane_toy" else 0.0
    reproduce.reproduce(tmp_path, n=5, levels=2, points=2, say=text.append, problem=problem, kind=kind, gap=gap)
    points = records(tmp_path / "exact_points.csv")
    assert len(points) == 4
    assert families <= set(points[0])
    assert ("no linear denoisers" in "\n".join(text)) == (len(families) < (2 if problem.source.dim == 2 else 1))
    for figure in (
        "problem",
        "surface",
        *(["channel"] if problem.source.dim == 2 else []),
        *(["whole_surface"] if gap else []),
    ):
        assert (tmp_path / f"{figure}.png").stat().st_size > 10_000


def test_problems_that_cannot_be_described_or_need_another_grid_are_refused(tmp_path: Path) -> None:
    with pytest.raises(cdp.InputError, match="holds a function and cannot be written"):
        reproduce.reproduce(tmp_path, problem=MODELS["density"]()[0])
    toy = presets.paper_toy()
    absolute = cdp.CDPProblem(toy.source, toy.degradation, toy.classifier, "absolute_error")
    with pytest.raises(cdp.InputError, match='kind="points"'):
        reproduce.reproduce(tmp_path, n=11, problem=absolute)
    assert study.portrait_grid(absolute).shape == (201, 201)
