"""The benchmarks do what they say; how fast anything is, is no business of a test."""

from __future__ import annotations

import dataclasses
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import PERCEPTIONS as TEXTBOOK
from typer.testing import CliRunner

import cdp_toy as cdp
from benchmarks import __main__ as command_line
from benchmarks import enclosures, peers, surface_jobs, surfaces, tables
from benchmarks.campaign import measure
from benchmarks.cases import Case, all_cases, quick_cases
from benchmarks.formulas import measured, perception_value
from benchmarks.growth import exponent, warm_growth
from benchmarks.measurements import CaseResult, Measurement
from benchmarks.page import END, START, page, readme_section, replace_section
from benchmarks.random_problems import PERCEPTIONS, random_problem, random_tables, rng_of
from benchmarks.random_run import Answer, Settings, Trial, examine
from benchmarks.runner import Run, run_child
from benchmarks.storage import load, store
from benchmarks.surface_jobs import SURFACE_TASKS
from benchmarks.surface_tables import extrapolated, surfaces_page
from benchmarks.surfaces import PLANE, QUICK, QUICK_PLANE, Rectangle, Surfaces
from cdp_toy.perceptions import CATALOGUE

FACTS = {"CPU": "abacus", "cvxpy": "1.0", "clarabel": "0.1"}


def canned(n: int, seconds: float = 0.01) -> CaseResult:
    """A result as a run makes them, with invented numbers."""
    ours = Measurement(
        "cdp_toy", "solved", seconds=2 * seconds, warm_seconds=seconds, status="OPTIMAL", value=0.25, gap=1e-9,
        excess_distortion=-1e-15, excess_perception=0.0, base_bytes=10**8, peak_bytes=2 * 10**8,
    )  # fmt: skip
    peer = Measurement(
        "Clarabel", "solved", seconds=3.0, solver_seconds=1.0, status="optimal", value=0.251,
        excess_distortion=2e-6, excess_perception=math.nan, base_bytes=10**8, peak_bytes=5 * 10**8,
    )  # fmt: skip
    others = (Measurement("ECOS", "no answer", status="gave up"), Measurement("SCS", "timeout", "> 120 s"))
    return CaseResult(Case("paper toy", "kl", n, 0.003), (0.7, 0.003), (0.25 - 1e-9, 0.25), (ours, peer, *others))


def check_columns(text: str) -> None:
    """Every row of a table has the columns of its header."""
    for block in text.split("\n\n"):
        counts = {line.count("|") for line in block.splitlines() if line.startswith("|")}
        assert len(counts) <= 1, block


def test_tables_show_times_ratios_errors_and_why_there_is_none() -> None:
    results = [canned(401)]
    assert "| 20.0 ms / 10.0 ms | 3.00 s (1.00 s) | > 120 s | no answer |" in tables.time_table(results)
    assert "| 150× / 300× | > 120 s | no answer |" in tables.ratio_table(results)
    assert "| +5.0e-10; 0, 0; OPTIMAL | +1.0e-03; 2e-06, 0; optimal | – | gave up |" in tables.accuracy_table(results)
    assert "| 200 (+100) | 500 (+400) | > 120 s | no answer |" in tables.memory_table(results)
    assert "| paper toy | 401 | 20.0 ms | 10.0 ms | 1e-09 | 3.00 s | 150× / 300× |" in tables.headline_table(results)


def test_every_row_of_a_table_has_the_columns_of_its_header() -> None:
    refused = CaseResult(Case("plane toy", "kl", 48, 0.01), None, None, (Measurement("cdp_toy", "refused", "memory"),))
    text = page([canned(401), canned(801, 0.02), refused], [examine(0, Settings())], FACTS, ["python -m benchmarks"])
    check_columns(text)
    assert "refused" in text and "grows like n^1.00" in text


def test_growth_is_the_exponent_of_a_power_law() -> None:
    sizes = [401, 801, 1601]
    assert exponent(sizes, [3e-6 * n**1.2 for n in sizes]) == pytest.approx(1.2, abs=1e-12)
    assert math.isnan(exponent([401], [1.0]))
    (fit,) = warm_growth([canned(201), *(canned(n, 1e-7 * n**2) for n in sizes)])
    assert fit.sizes == (401, 801, 1601)
    assert fit.exponent == pytest.approx(2.0)


def test_the_readme_changes_between_its_markers_only(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{START}\nold\n{END}\nafter\n")
    text = readme_section([canned(101)], FACTS)
    assert replace_section(readme, text)
    assert readme.read_text() == f"before\n{START}\n{text}\n{END}\nafter\n"
    readme.write_text("no markers\n")
    assert not replace_section(readme, text)
    assert readme.read_text() == "no markers\n"


def test_raw_results_come_back_as_they_were(tmp_path: Path) -> None:
    result = canned(101)
    result = dataclasses.replace(result, bracket=(0.0, math.inf), measurements=result.measurements[:1])
    trial = Trial(3, 2, 2, "kl", math.inf, 0.0, "", Answer("OPTIMAL", 0.1, 0.2, 1.0), None)
    store(tmp_path / "raw.json", {"result": result.record(), "trial": trial.record()})
    kept = load(tmp_path / "raw.json")
    assert kept is not None
    assert CaseResult.from_record(kept["result"]) == result
    assert Trial.from_record(kept["trial"]) == trial
    assert load(tmp_path / "nothing.json") is None


def test_random_problems_are_valid_and_the_same_every_time() -> None:
    perceptions = set()
    for index in range(200):
        (problem, level), (again, same_level) = random_tables(rng_of(index)), random_tables(rng_of(index))
        assert level == same_level >= 0
        assert problem.p_x.sum() == pytest.approx(1, abs=1e-12) and problem.p_y.sum() == pytest.approx(1, abs=1e-12)
        assert problem.p_x.min() >= 0 and problem.p_y.min() >= 0
        for name in ("p_x", "p_y", "posterior", "x_values"):
            np.testing.assert_array_equal(getattr(problem, name), getattr(again, name))
        np.testing.assert_array_equal(problem.error_cost.table(), again.error_cost.table())
        np.testing.assert_array_equal(problem.distortion_cost.table(), again.distortion_cost.table())
        perceptions.add(problem.perception.name)
    assert perceptions >= set(CATALOGUE)


def test_random_levels_come_with_the_problem() -> None:
    problem, limit, level = random_problem(rng_of(4))
    assert 0 < limit - cdp.min_distortion(problem, level).upper < 0.2 * problem.distortion_cost.table().max()
    assert random_problem(rng_of(4))[1:] == (limit, level)
    assert random_problem(rng_of(3), "tv")[0].perception.name == "tv"


def test_random_problems_draw_every_divergence_there_is() -> None:
    assert set(CATALOGUE) <= set(PERCEPTIONS), (
        "a new perception: add it to PERCEPTIONS in benchmarks/random_problems.py"
    )


def test_brackets_without_a_common_point_disagree() -> None:
    one, other = Answer("OPTIMAL", 0.1, 0.1 + 1e-8), Answer("OPTIMAL", 0.1 + 2e-8, 0.1 + 3e-8)
    apart = Trial(0, 2, 2, "kl", 1.0, 1.0, "", one, other)
    assert apart.disagree and apart.troubled
    assert not dataclasses.replace(apart, reference=one).troubled
    infeasible = Answer("INFEASIBLE", math.inf, math.inf)
    assert dataclasses.replace(apart, reference=infeasible).disagree
    assert not dataclasses.replace(apart, ours=infeasible, reference=infeasible).disagree


@pytest.mark.parametrize("name", sorted(TEXTBOOK))
def test_formulas_agree_with_those_of_the_other_tests(name: str) -> None:
    p, q = np.array([0.5, 0.3, 0.2, 0.0]), np.array([0.2, 0.5, 0.2, 0.1])
    with np.errstate(divide="ignore"):
        assert perception_value(name, p, q) == pytest.approx(TEXTBOOK[name](p, q))


def test_formulas_of_transport_and_renyi() -> None:
    p, q, places = np.array([0.5, 0.5, 0.0]), np.array([0.0, 0.5, 0.5]), np.array([[0.0], [1.0], [3.0]])
    assert perception_value("w1", p, q, places) == pytest.approx(1.5)
    assert perception_value("w2_squared", p, q, places) == pytest.approx(2.5)
    assert perception_value("renyi:2", q, p[::-1]) == pytest.approx(0.0)
    assert perception_value("renyi:2", p, q) == math.inf
    assert perception_value("js", p, q) == pytest.approx(0.5 * math.log(2))


def test_one_size_is_solved_by_ours_and_by_peers() -> None:
    """End to end on 21 cells: a child for the levels, one for ours, one for a peer."""
    case = Case("threshold-0 toy", "kl", 21, 0.01)
    prepared = run_child({"task": "prepare", "case": case.record()}, patience=60)
    assert prepared.ending == "done", prepared.reason
    (levels,) = prepared.at("levels")
    ours = run_child({**levels, "task": "ours", "case": case.record()}, patience=60)
    assert ours.ending == "done", ours.reason
    bracket = prepared.at("certified")[-1]
    for report in ours.at("cold"):
        assert report["status"] == "OPTIMAL"
        assert bracket["lower"] - 1e-8 <= report["value"] <= bracket["upper"] + 1e-8
        assert max(report["excess_distortion"], report["excess_perception"]) <= 1e-12
    assert all(report["status"] == "OPTIMAL" for report in ours.at("warm"))
    peer = {"task": "peer", "solver": "CLARABEL", "options": {}}
    (report, *_) = run_child({**levels, **peer, "case": case.record()}, patience=60).at("cold")
    assert report["status"] == "optimal"
    assert report["value"] == pytest.approx(bracket["upper"], abs=1e-5)


def test_a_child_that_is_overdue_or_fails_is_reported_as_such() -> None:
    case = Case("paper toy", "kl", 21, 0.01).record()
    assert run_child({"task": "prepare", "case": case}, patience=0.01).ending == "timeout"
    failed = run_child({"task": "prepare", "case": {**case, "perception": "nonsense"}}, patience=60)
    assert failed.ending == "failed"
    assert "nonsense" in failed.reason


def test_sizes_ascend_within_a_series_and_quick_ones_are_among_them() -> None:
    cases = all_cases()
    assert set(quick_cases()) < set(cases)
    for before, after in itertools.pairwise(cases):
        assert before.series != after.series or before.n < after.n


def test_the_formulas_measure_a_channel() -> None:
    grid = cdp.presets.binary_conflict().discretize()
    point = cdp.solve(grid, max_distortion=0.3, max_perception=0.05)
    found = measured(grid, point.channel)
    assert found == pytest.approx((point.error_rate, point.distortion, point.perception), abs=1e-12)


def test_larger_sizes_of_a_lost_series_are_not_tried() -> None:
    kept: list[CaseResult] = []
    cases = [Case("paper toy", "nonsense", n, 0.01) for n in (21, 31)]
    measure(cases, timeout=60, say=lambda line: None, keep=kept.append)
    outcomes = [{m.outcome for m in result.measurements} for result in kept]
    assert outcomes == [{"failed", "not run"}] * 2


def test_enclosures_are_measured_and_tabulated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(enclosures, "SIZES", (51, 101))
    monkeypatch.setattr(enclosures, "MARGINS", (("threshold 0", 5e-3, (0.002,), 1e-4),))
    found = enclosures.run_enclosures(lambda text: None)
    widths = {(row["toy"], row["n"]): row["upper"] - row["lower"] for row in found["widths"]}
    assert all(0 < widths[toy, 101] < 0.5 * widths[toy, 51] for toy in enclosures.TOYS)
    text = enclosures.enclosures_page(found)
    assert "VERIFIED" in text
    assert text.count("| 101 |") == 2


#: A rectangle of the toy on 21 cells: D_min(P) runs through it, and C is flat nowhere.
SMALL = Surfaces(
    n=21, distortion=(0.75, 0.79), perception=(1e-3, 4e-3), side=4, sample=3, margin=2e-3, tolerances=(1e-3,),
    between=5, between_tol=1e-3, memory_n=21,
)  # fmt: skip

#: The same in the plane on 4 x 4 cells, which cost most of the distortion.
SMALL_PLANE = Rectangle(
    model="plane_toy", n=4, distortion=(2.88, 2.92), perception=(8e-2, 0.1), margin=1e-3, tolerances=(1e-2, 1e-3),
    between=6, between_tol=1e-2,
)  # fmt: skip


def test_surfaces_are_measured_and_tabulated(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """All children in this process, one after the other; a peer that knows nothing stands in for Clarabel."""

    def in_process(job: dict[str, Any], patience: float, environment: dict[str, str] | None = None) -> Run:
        reports: list[dict[str, Any]] = []
        SURFACE_TASKS[job["task"]](job, lambda stage, **what: reports.append({"stage": stage, **what}))
        return Run((*reports, {"stage": "done"}), "done")

    monkeypatch.setattr(surfaces, "run_child", in_process)
    monkeypatch.setattr(surface_jobs, "solve_peer", lambda *problem: peers.Answer("shrugged", 0.5, None, None))
    found = surfaces.run_surfaces(SMALL, 60, lambda line: None)
    for row in found["lattice"]["ours"].values():
        assert sum(row["statuses"].values()) == 16 and row["statuses"]["INFEASIBLE"] > 0
        assert row["gap"] <= 1e-8
    ends = np.array(found["lattice"]["ours"]["cdp_toy"]["brackets"]).mean(axis=1)
    assert found["lattice"]["peer"]["error"] == pytest.approx(np.abs(0.5 - ends[np.isfinite(ends)]).max())
    (row,) = found["sandwiches"]
    assert 0 < row["clear"]["gap"] <= 1e-3 and row["clear"]["stopped"] == "tolerance reached"
    assert 0 < row["clear"]["curve_solves"] <= row["clear"]["solves"]
    assert 0 < row["strip"]["gap"] <= 1e-3 and row["strip"]["stopped"] == "tolerance reached"
    assert [answer["inside"] for answer in found["between"]["answers"]] == [True] * 5
    found["plane"] = plane = surfaces.run_plane(SMALL_PLANE, 60, lambda line: None)
    coarse, fine = (row["clear"] for row in plane["sandwiches"])
    assert 0 < fine["gap"] <= 1e-3 < coarse["gap"] <= 1e-2, "each of its own gap"
    assert 0 < coarse["curve_solves"] <= coarse["solves"] <= fine["solves"]
    assert [answer["inside"] for answer in plane["between"]["answers"]] == [True] * 6
    store(tmp_path / "surfaces.json", found)
    kept = load(tmp_path / "surfaces.json")
    assert kept is not None
    text = page([], [], FACTS, [], surfaces=kept)
    check_columns(text)
    assert "Clarabel, from 3 points" in text and "| 3 shrugged |" in text
    assert "5 of 5 certified intervals meet" in text
    assert f"| 1e-03 | {row['clear']['solves']:.0f} |" in text
    text = text.partition("### In the plane")[2]
    assert "4 x 4 cells, 16 observations x 16 letters" in text and "6 of 6 certified intervals meet" in text
    assert f"| 1e-03 | {fine['solves']:.0f} |" in text and f"| {fine['peak_bytes'] / 1e6:.0f} MB |" in text


def test_surfaces_that_were_stopped_are_said_to_be(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def overdue(job: dict[str, Any], patience: float, environment: dict[str, str] | None = None) -> Run:
        asked.append(job["task"])
        return Run((), "timeout", f"> {patience:g} s")

    monkeypatch.setattr(surfaces, "run_child", overdue)
    text = surfaces_page(surfaces.run_surfaces(SMALL, 60, lambda line: None))
    check_columns(text)
    assert asked.count("sandwich") == 3, "memory, and a gap with and without the strip"
    assert "| cdp_toy | > 300 s | – | – | – |" in text
    assert "| Clarabel | > 60 s | – | – | – |" in text
    assert "| 1e-03 | – | – | – | – | > 300 s | – | – | > 300 s | – |" in text
    text = surfaces_page({"plane": surfaces.run_plane(SMALL_PLANE, 60, lambda line: None)})
    check_columns(text)
    assert "| 1e-03 | – | – | – | – | > 300 s | – | – |" in text and "No surface: > 300 s." in text
    assert "lattice" not in text


def test_surfaces_in_the_plane_are_run_with_the_others_or_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Kept results of what is not run stay, and the page is written from those of an older version as well."""

    def run(*words: str) -> tuple[dict[str, Any], str]:
        result = CliRunner().invoke(command_line.app, [*words, "--out", str(tmp_path)])
        assert result.exit_code == 0, result.output
        return load(tmp_path / "surfaces.json") or {}, (tmp_path / "benchmarks.md").read_text("utf-8")

    monkeypatch.setattr(surfaces, "run_child", lambda job, patience, environment=None: Run((), "crashed", "too bad"))
    kept, text = run("--only", "plane-surfaces", "--quick")
    assert kept.keys() == {"plane"} and kept["plane"]["settings"]["n"] == QUICK_PLANE.n
    assert text.count("### ") == 1 and "python -m benchmarks --quick --only plane-surfaces --timeout 120.0\n" in text
    kept, text = run("--only", "surfaces", "--quick", "--between-plane", "7")
    assert (kept["settings"]["between"], kept["plane"]["settings"]["between"]) == (QUICK.between, 7)
    assert text.count("python -m") == 1 and "--only surfaces --timeout 120.0 --between-plane 7\n" in text
    again, text = run("--only", "plane-surfaces")
    assert again.pop("plane")["settings"]["n"] == PLANE.n
    assert again.items() <= kept.items() and text.count("python -m") == 2
    store(tmp_path / "surfaces.json", again)
    _, text = run("--write-only")
    assert "### Memory of a surface" in text and "### In the plane" not in text


def test_a_child_traces_a_surface_and_a_child_solves_by_the_peer() -> None:
    levels = {
        "model": "paper_toy",
        "n": 21,
        "distortion": [0.75, 0.78],
        "perception": [0.003],
        "sample": [[0.78, 0.003]],
    }
    traced = run_child({"task": "lattice", **levels}, patience=60, environment={"CDP_TOY_NUMBA": "0"})
    assert traced.ending == "done", traced.reason
    ((lower, upper),) = traced.at("traced")[0]["brackets"]
    asked = run_child({"task": "peers", "solver": "CLARABEL", **levels}, patience=60)
    assert asked.ending == "done", asked.reason
    assert asked.at("peer")[0]["value"] == pytest.approx((lower + upper) / 2, abs=1e-5)


def test_levels_of_surfaces_are_the_same_every_time_and_within_the_rectangle() -> None:
    for wanted in (Surfaces(), QUICK, SMALL):
        d, p = wanted.axes()
        sample = wanted.lattice_sample()
        assert sample == wanted.lattice_sample() and len(set(sample)) == wanted.sample
        assert all(x in d and y in p for x, y in sample)
    for where in (Surfaces(), QUICK, SMALL, PLANE, QUICK_PLANE, SMALL_PLANE):
        places = np.array(where.places())
        assert places.tolist() == np.array(where.places()).tolist() and places.shape == (where.between, 2)
        for column, (low, high) in zip(places.T, (where.distortion, where.perception), strict=True):
            assert low <= column.min() and column.max() <= high


def test_a_sample_is_extrapolated_with_its_standard_error() -> None:
    rng = np.random.default_rng(0)
    drawn = rng.exponential(2.0, size=(2000, 25))
    ends = np.array([extrapolated(row.tolist(), 100) for row in drawn])
    assert ends[:, 0].mean() == pytest.approx(200, rel=0.02)
    assert ends[:, 1].mean() == pytest.approx(ends[:, 0].std(), rel=0.1)
    assert extrapolated([2.0], 3) == (6.0, math.inf)
