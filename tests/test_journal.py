"""Journals: stopped runs resume to the very same surface, and files that are not theirs are refused and left alone."""

from __future__ import annotations

import contextlib
import dataclasses
import multiprocessing
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tracing_cases import FINITE, UNIT, Bowl, Corner, assert_identical

import cdp_toy as cdp
from cdp_toy import tracing
from cdp_toy.point import Point
from cdp_toy.tracing import journal as journals
from cdp_toy.tracing.finite_oracle import FiniteOracle
from cdp_toy.tracing.oracles import Question
from cdp_toy.tracing.records import Answer


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "run.sqlite"


@pytest.fixture(scope="module")
def toy() -> cdp.DiscreteProblem:
    return cdp.presets.paper_toy().discretize(n=21)


@pytest.fixture(scope="module")
def whole(toy: cdp.DiscreteProblem) -> cdp.Surface:
    return cdp.trace(toy, keep_channels=True, **FINITE)


def rows_of(file: Path) -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(file)) as database:
        return database.execute("SELECT number, kind, distortion, perception, digest FROM answers").fetchall()


# resuming


@pytest.mark.parametrize(
    ("kind", "tol", "batch"), [pytest.param(Corner, 0.1, None, marks=pytest.mark.slow), (Bowl, 0.1, 3)]
)
def test_a_formula_stopped_after_any_answer(kind: type[Bowl], tol: float, batch: int | None, tmp_path: Path) -> None:
    formula = kind()
    whole = cdp.trace(formula, tol=tol, margin=0.05, batch=batch, **UNIT)
    assert whole.stopped == "tolerance reached" and formula.asked >= 12
    for k in range(formula.asked + 1):
        run = dict(tol=tol, margin=0.05, batch=batch, journal=tmp_path / f"{k}.sqlite", **UNIT)
        stopped, resumed = kind(stop_after=k), kind()
        first = cdp.trace(stopped, **run)
        assert (first.stopped == "interrupted") == (k < formula.asked) and first.about["solves"] == k
        assert_identical(cdp.trace(resumed, **run), whole)
        assert stopped.asked + resumed.asked == formula.asked, "an answer was asked for twice"


def test_a_finite_problem_stopped_again_and_again(
    toy: cdp.DiscreteProblem, whole: cdp.Surface, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the interrupt key, every two answers, with another copy of the problem."""
    asked: list[Question] = []
    answer = FiniteOracle.answer

    def impatient(self: FiniteOracle, question: Question) -> Answer:
        if len(asked) % 3 == 2:
            asked.append(question)
            raise KeyboardInterrupt
        asked.append(question)
        return answer(self, question)

    monkeypatch.setattr(FiniteOracle, "answer", impatient)
    stops = 0
    while True:
        again = cdp.presets.paper_toy().discretize(n=21)
        surface = cdp.trace(again, keep_channels=True, journal=file, **FINITE)
        if surface.stopped != "interrupted":
            break
        stops += 1
    assert stops >= 5 and len(rows_of(file)) == whole.about["solves"]
    assert_identical(surface, whole)


def test_a_budget_may_grow(toy: cdp.DiscreteProblem, whole: cdp.Surface, file: Path) -> None:
    run = dict(keep_channels=True, journal=file, **FINITE)
    for budget in (3, 11, 5):
        assert cdp.trace(toy, max_points=budget, **run).stopped == f"budget of {budget} solves spent"
    assert len(rows_of(file)) == 11
    assert_identical(cdp.trace(toy, **run), whole)


def test_a_finished_run_asks_nothing(toy: cdp.DiscreteProblem, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = cdp.trace(toy, journal=file, **FINITE)
    monkeypatch.setattr(FiniteOracle, "answer", None)
    assert_identical(cdp.trace(toy, journal=file, **FINITE), first)


def test_a_lattice_resumes(toy: cdp.DiscreteProblem, file: Path) -> None:
    levels = (np.linspace(0.73, 0.79, 4), np.array([0.004, 0.02]))
    whole = cdp.trace(toy, grid=levels, progress=False)
    assert np.any(whole.points["solver"] == "flat region")
    run = dict(grid=levels, journal=file, progress=False)
    assert cdp.trace(toy, max_points=7, **run).stopped == "budget of 7 solves spent"
    assert_identical(cdp.trace(toy, **run), whole)
    with pytest.raises(cdp.InputError, match="grid: the journal has"):
        cdp.trace(toy, grid=(levels[0], levels[1] * 2), perception=None, journal=file, progress=False)


def test_a_lattice_whose_curves_cost_more_than_its_budget(toy: cdp.DiscreteProblem) -> None:
    levels = (np.linspace(0.73, 0.79, 4), np.array([0.004, 0.02]))
    surface = cdp.trace(toy, grid=levels, max_points=1, progress=False)
    assert surface.stopped == "budget of 1 solves spent" and len(surface.points) == 0


def test_where_the_floor_begins_is_asked_once(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With transport that level has no formula and is bisected: these answers are kept as well."""
    problem = dataclasses.replace(cdp.presets.paper_toy(), perception="w1").discretize(n=7)
    run = dict(distortion=(0.7, 2.0), perception=(0.0, 0.5), tol=1e-2, margin=1e-2, progress=False)
    whole = cdp.trace(problem, **run)
    cdp.trace(problem, journal=file, **run)
    assert len(rows_of(file)) > whole.about["solves"]
    monkeypatch.setattr(FiniteOracle, "answer", None)
    monkeypatch.setattr(FiniteOracle, "flat_distortion", None)
    assert_identical(cdp.trace(problem, journal=file, **run), whole)


def test_numbers_of_numpy_are_numbers(file: Path) -> None:
    for batch, tol in ((np.int64(2), np.float32(0.5)), (2, 0.5)):
        cdp.trace(Bowl(), tol=tol, batch=batch, journal=file, **UNIT)


def test_what_is_left_out_is_the_journals(file: Path) -> None:
    cdp.trace(Bowl(), (0.0, 0.5), (0.25, 1.0), tol=0.1, batch=2, max_points=6, journal=file, progress=False)
    surface = cdp.trace(Bowl(), tol=0.1, journal=file, progress=False)
    assert (surface.distortion, surface.perception) == ((0.0, 0.5), (0.25, 1.0))
    assert_identical(surface, cdp.trace(Bowl(), (0.0, 0.5), (0.25, 1.0), tol=0.1, batch=2, progress=False))


def test_solutions_behind_a_callable(toy: cdp.DiscreteProblem, file: Path) -> None:
    """A callable may answer with solutions of a problem that the journal knows nothing of."""

    def solved(d: float, p: float) -> Point:
        return cdp.solve(toy, d, p)

    run = dict(distortion=(0.78, 0.8), perception=(0.005, 0.006), tol=1e-3, journal=file, progress=False)
    first = cdp.trace(solved, **run)
    assert_identical(cdp.trace(solved, **run), first)


def test_every_answer_is_on_disk_before_it_is_shown(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown: list[tuple[int, int]] = []

    @contextlib.contextmanager
    def bar(progress: bool, most: float) -> Iterator[Any]:
        def tick(tracer: tracing.Tracer) -> None:
            copy = file.parent / "copy"  # what a crash would leave: the file and its write-ahead log
            shutil.copy(file, copy)
            shutil.copy(f"{file}-wal", f"{copy}-wal")
            shown.append((tracer.solves, len(rows_of(copy))))
            copy.unlink()

        yield tick

    monkeypatch.setattr(tracing, "_bar", bar)
    cdp.trace(Corner(), tol=0.05, journal=file, **UNIT)
    assert len(shown) > 8 and shown == [(k + 1, k + 1) for k in range(len(shown))]


def test_times_and_the_machine_are_in_the_journal_alone(file: Path) -> None:
    surface = cdp.trace(Bowl(), tol=0.1, journal=file, **UNIT)
    with contextlib.closing(sqlite3.connect(file)) as database:
        for seconds, written, host in database.execute("SELECT seconds, written, host FROM answers"):
            assert 0 <= seconds < 60 and written.startswith("20") and "numpy" in host
    assert set(surface.about) == {"scope", "solves"}


# refusals


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tol": 0.05}, r"tol: the journal has 0\.1, asked was 0\.05"),
        ({"distortion": (0.0, 0.9)}, r"distortion: the journal has \[0\.0, 1\.0\], asked was \[0\.0, 0\.9\]"),
        ({"perception": (0.1, 1.0)}, r"perception: the journal has \[0\.0, 1\.0\], asked was \[0\.1, 1\.0\]"),
        ({"margin": 0.1}, r"margin: the journal has 0\.0, asked was 0\.1"),
        ({"boundary_tol": 0.1}, "boundary_tol: the journal has"),
        ({"batch": 4}, "batch: the journal has nothing, asked was 4"),
        ({"grid": ([0.0, 1.0], [0.0, 1.0])}, "grid: the journal has nothing, asked was"),
        ({"problem": Corner()}, r"problem: the journal has .*Bowl, asked was .*Corner"),
    ],
)
def test_other_settings_are_refused(change: dict[str, Any], message: str, file: Path) -> None:
    run = {"problem": Bowl(), "tol": 0.1, "margin": 0.0, "journal": file} | UNIT
    cdp.trace(**run)
    before = file.read_bytes()
    with pytest.raises(cdp.InputError, match=message) as caught:
        cdp.trace(**(run | change))
    assert "Ask for what the journal has, or give another file" in str(caught.value)
    assert file.read_bytes() == before


def test_another_finite_problem_is_refused(toy: cdp.DiscreteProblem, file: Path) -> None:
    cdp.trace(toy, max_points=2, journal=file, **FINITE)
    other = cdp.presets.paper_toy(threshold=0.0).discretize(n=21)
    with pytest.raises(cdp.InputError, match="fingerprint: the journal has"):
        cdp.trace(other, journal=file, **FINITE)
    with pytest.raises(cdp.InputError, match=r"point_tol: the journal has 1e-08, asked was 1e-07"):
        cdp.trace(toy, point_tol=1e-7, journal=file, **FINITE)
    with pytest.raises(cdp.InputError, match="keep_channels: the journal has False, asked was True"):
        cdp.trace(toy, keep_channels=True, journal=file, **FINITE)


def test_another_version_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cdp.trace(Bowl(), tol=0.1, journal=file, **UNIT)
    monkeypatch.setattr(tracing, "__version__", "99")
    with pytest.raises(cdp.InputError, match=f"version: the journal has {cdp.__version__}, asked was 99"):
        cdp.trace(Bowl(), tol=0.1, journal=file, **UNIT)
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA user_version = 7")
    with pytest.raises(cdp.InputError, match="has layout 7"):
        cdp.trace(Bowl(), tol=0.1, journal=file, **UNIT)


def test_places_where_no_file_can_be(tmp_path: Path) -> None:
    with pytest.raises(cdp.InputError, match="there is no directory"):
        cdp.trace(Bowl(), tol=0.1, journal=tmp_path / "nowhere" / "run.sqlite", **UNIT)
    with pytest.raises(cdp.InputError, match="cannot be read"):
        cdp.trace(Bowl(), tol=0.1, journal=tmp_path, **UNIT)


def foreign(file: Path, kind: str) -> None:
    if kind == "sqlite":
        with contextlib.closing(sqlite3.connect(file)) as database:
            database.execute("CREATE TABLE answers (number INTEGER)")
            database.commit()
    else:
        noise = np.random.default_rng(3).bytes(10_000)
        file.write_bytes({"text": b"levels, and what was found\n", "noise": noise, "short": b"SQLite format 3\0"}[kind])


@pytest.mark.parametrize("kind", ["text", "noise", "short", "sqlite"])
def test_files_of_others_are_refused_and_left_alone(kind: str, file: Path) -> None:
    foreign(file, kind)
    before = file.read_bytes()
    with pytest.raises(cdp.InputError, match="is no journal of cdp_toy"):
        cdp.trace(Bowl(), tol=0.1, journal=file, **UNIT)
    assert file.read_bytes() == before and list(file.parent.iterdir()) == [file]


def test_an_empty_file_is_a_new_journal(file: Path) -> None:
    file.touch()
    cdp.trace(Bowl(), tol=0.1, journal=file, **UNIT)
    assert len(rows_of(file)) > 5


def test_truncated_journals_are_refused(file: Path) -> None:
    whole = cdp.trace(Bowl(), tol=0.02, journal=file, **UNIT)
    data = file.read_bytes()
    for share in (0.02, 0.3, 0.6, 0.95):
        file.write_bytes(data[: int(share * len(data))])
        with pytest.raises(cdp.InputError, match="is damaged") as caught:
            cdp.trace(Bowl(), tol=0.02, journal=file, **UNIT)
        assert "left as it is" in str(caught.value)
        assert file.read_bytes() == data[: int(share * len(data))]
    file.write_bytes(data)
    assert_identical(cdp.trace(Bowl(), tol=0.02, journal=file, **UNIT), whole)


def test_random_damage_never_changes_a_surface(file: Path) -> None:
    """Bytes overwritten anywhere: refused, or without effect on what is read."""
    run = dict(tol=0.05, journal=file, **UNIT)
    whole = cdp.trace(Bowl(), **run)
    data, rng = file.read_bytes(), np.random.default_rng(8)
    refused = 0
    for _ in range(30):
        damaged = bytearray(data)
        at = int(rng.integers(len(data)))
        damaged[at : at + 40] = rng.bytes(len(damaged[at : at + 40]))
        file.write_bytes(damaged)
        for leftover in file.parent.glob("run.sqlite-*"):
            leftover.unlink()
        try:
            surface = cdp.trace(Bowl(), **run)
        except cdp.InputError as error:
            assert "damaged" in str(error) or "has layout" in str(error)
            refused += 1
        else:
            assert_identical(surface, whole)
    assert refused > 10


def test_a_flipped_digit_of_the_settings_is_refused(file: Path) -> None:
    cdp.trace(Bowl(), tol=0.125, journal=file, **UNIT)
    with contextlib.closing(sqlite3.connect(file)) as database:
        database.execute("UPDATE settings SET value = '[0.0, 0.9]' WHERE name = 'distortion'")
        database.commit()
    with pytest.raises(cdp.InputError, match="its settings are not what was written"):
        cdp.trace(Bowl(), tol=0.125, journal=file, progress=False)


def test_a_journal_in_use_is_refused(file: Path) -> None:
    """In this process, and in another one even after this one tried in vain."""
    cdp.trace(Bowl(), tol=0.1, journal=file, **UNIT)
    code = "import sys; from cdp_toy.tracing.journal import opened\nwith opened(sys.argv[1]): pass"
    other = [sys.executable, "-c", code, str(file)]
    with journals.opened(file):
        with pytest.raises(cdp.InputError, match="in use by another run"):
            cdp.trace(Bowl(), tol=0.1, journal=file, **UNIT)
        run = subprocess.run(other, capture_output=True, text=True, timeout=60)
        assert run.returncode != 0 and "InputError" in run.stderr and "in use by another run" in run.stderr
    cdp.trace(Bowl(), tol=0.1, journal=file, **UNIT)


# crashes


def traced(file: Path, begun: Any) -> None:
    """In a process that will be killed."""
    toy = cdp.presets.paper_toy().discretize(n=21)
    begun.set()
    cdp.trace(toy, journal=file, **(FINITE | {"tol": 2e-5}))


def left_behind(file: Path) -> list[tuple[Any, ...]]:
    """What the file and its logs hold, read from copies, so that the next run is the one that recovers them."""
    copies = file.parent / "copies"
    copies.mkdir()
    for path in file.parent.glob(f"{file.name}*"):
        shutil.copy(path, copies)
    empty = not file.exists() or not file.stat().st_size
    rows = [] if empty else rows_of(copies / file.name)
    shutil.rmtree(copies)
    return rows


def wait(process: Any, file: Path, rng: np.random.Generator) -> None:
    """Until a random moment: soon, or after one or two answers more and a little."""
    answers, size, deadline = int(rng.integers(3)), -1, time.monotonic() + 10
    while answers and process.exitcode is None and time.monotonic() < deadline:
        grown = sum(path.stat().st_size for path in file.parent.glob(f"{file.name}*"))
        answers -= grown > size > 0
        size = grown
        time.sleep(0.001)
    process.join(float(rng.uniform(0, 0.06)))


#: Kills of the default run, and of continuous integration.
KILLS = 50 if os.environ.get("CI") else 6


@pytest.mark.slow
def test_killed_at_random_moments(file: Path) -> None:
    toy = cdp.presets.paper_toy().discretize(n=21)
    whole = cdp.trace(toy, journal=file.with_name("whole.sqlite"), **(FINITE | {"tol": 2e-5}))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["cdp_toy.tracing", "cdp_toy.presets", "cdp_toy.solvers.reference"])
    rng = np.random.default_rng(12)
    kills, grown, before = 0, 0, left_behind(file)
    for _ in range(100):
        if kills == KILLS:
            break
        begun = context.Event()
        process = context.Process(target=traced, args=(file, begun))
        process.start()
        assert begun.wait(60)
        wait(process, file, rng)
        killed = process.exitcode is None
        process.kill()
        process.join()
        kills += killed
        after = left_behind(file)
        assert after[: len(before)] == before, "an answer was lost"
        grown += len(after) > len(before)
        before = after
        if not killed:  # it had come to its end: from the beginning
            assert process.exitcode == 0 and len(after) == whole.about["solves"]
            file.unlink()
            before = []
    assert kills == KILLS and grown >= max(1, KILLS // 10)
    assert_identical(cdp.trace(toy, journal=file, **(FINITE | {"tol": 2e-5})), whole)
    assert [row[1:4] for row in rows_of(file)] == [row[1:4] for row in rows_of(file.with_name("whole.sqlite"))]
