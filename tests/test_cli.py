"""The command line: what it prints, how it refuses, what it keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cdp_toy import load_surface, presets
from cdp_toy.cli_options import count_of
from cdp_toy.problem_files import load_problem, problem_to_toml


def cli(*words: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cdp_toy.cli", *words], capture_output=True, text=True, cwd=cwd, check=False
    )


def test_help_explains_itself_with_examples() -> None:
    top = cli("--help")
    assert top.returncode == 0
    assert "cdp-toy solve --preset paper-toy --n 101 -D 0.70 -P 0.002" in top.stdout
    assert "Example" in cli("reproduce", "--help").stdout


def test_solve_prints_both_bounds() -> None:
    done = cli("solve", "--preset", "paper-toy", "--n", "31", "-D", "0.75", "-P", "0.002")
    assert done.returncode == 0, done.stderr
    assert "OPTIMAL" in done.stdout and "lower bound" in done.stdout and "upper bound" in done.stdout


def test_solve_as_json() -> None:
    done = cli("solve", "--preset", "paper-toy-threshold-0", "--n", "31", "-D", "0.75", "-P", "0.002", "--json")
    record = json.loads(done.stdout)
    assert record["status"] == "OPTIMAL"
    assert 0 <= record["gap"] <= 1e-8
    assert record["upper_bound"] - record["lower_bound"] == pytest.approx(record["gap"])
    unlimited = json.loads(cli("solve", "--preset", "binary-conflict", "--json").stdout)
    assert unlimited["max_distortion"] == "inf" and unlimited["status"] == "OPTIMAL"


def test_infeasible_levels_are_an_answer_with_exit_code_1() -> None:
    done = cli("solve", "--preset", "paper-toy", "--n", "31", "-D", "0.6", "-P", "0.002")
    assert done.returncode == 1
    assert "INFEASIBLE" in done.stdout and "D_min" in done.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("solve", "--preset", "paper-toi", "--n", "31"), "did you mean 'paper-toy'"),
        (("solve", "--preset", "paper-toy"), "needs n"),
        (("solve", "--preset", "paper-toy", "--n", "2"), "too small"),
        (("solve", "--preset", "paper-toy", "--n", "31", "-D", "nan"), "max_distortion is NaN"),
        (("solve", "--preset", "paper-toy", "--n", "31", "--kind", "cell"), "did you mean 'cells'"),
        (("solve", "--preset", "paper-toy", "--n", "31", "--tol", "0"), "tol must be"),
        (("solve", "--preset", "paper-toy", "--n", "100000000000"), "GiB"),
        (("solve", "--preset", "binary-conflict", "--n", "31"), "already finite"),
        (("reproduce", "--n", "2"), "too small"),
        (("reproduce", "--kind", "points"), "drawn from cells"),
        (("reproduce", "--workers", "0"), "workers"),
        (("solve", "--preset", "paper-toy", "--n", "31", "-D", "abc"), "Invalid value"),
        (("solve", "--n", "31"), "--preset"),
        (("solve",), "exactly one of --preset NAME and --problem FILE.toml, got neither"),
        (("solve", "--preset", "paper-toy", "--problem", "toy.toml", "--n", "31"), "got both"),
        (("solve", "--problem", "none.toml", "--n", "31"), "none.toml cannot be read: No such file"),
        (("solve", "--problem", ".", "--n", "31"), "cannot be read: Is a directory"),
        (("solve", "--problem", "bad.toml", "--n", "31"), "bad.toml, [degradation]: unknown key"),
        (("solve", "--problem", "no.toml", "--n", "31"), "no.toml is no TOML: Invalid value (at line 1, column 8)"),
        (("solve", "--preset", "plane-toy", "--n", "8,x"), "--n must be a whole number such as 101, or two"),
        (("solve", "--preset", "plane-toy", "--n", "8,9,10"), "--n must be a whole number"),
        (("solve", "--preset", "plane-toy", "--n", "8.5"), "got '8.5'"),
        (("solve", "--preset", "plane-toy", "--n", ""), "got ''"),
        (("solve", "--preset", "plane-toy", "--n", "1" * 5000), "--n must be a whole number"),
        (("solve", "--preset", "plane-toy", "--n", "8", "--n-y", "8;9"), "--n-y must be a whole number"),
        (("solve", "--preset", "paper-toy", "--n", "8,10"), "n must be a whole number"),
        (("presets", "plane-toi"), "did you mean 'plane-toy'"),
        (("presets", "--out", "toy.toml"), "needs the name of a preset"),
        (("presets", "plane-toy", "--out", "bad.toml"), "bad.toml exists and is kept"),
        (("presets", "plane-toy", "--out", "no/toy.toml"), "no/toy.toml cannot be written: No such file"),
        (("solv",), "solve"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text(problem_to_toml(presets.paper_toy()).replace("std = ", "sdt = "))
    (tmp_path / "no.toml").write_text("name = toy")
    done = cli(*words, cwd=tmp_path)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_an_output_directory_that_cannot_be_made_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("a file")
    done = cli("reproduce", "--out", str(tmp_path / "taken" / "below"), "--n", "21")
    assert done.returncode == 2
    assert "taken" in done.stderr and "Traceback" not in done.stderr


def test_presets_are_listed_with_what_they_are() -> None:
    done = cli("presets")
    assert done.returncode == 0, done.stderr
    rows = {line.split()[0]: line for line in done.stdout.splitlines()}
    assert list(rows) == ["preset", *presets.PRESETS]
    assert "plane     2        Two classes in the plane with a linear classifier" in rows["plane-toy"]
    assert "letters   2        Binary toy" in rows["binary-conflict"] and "line      3  " in rows["three-classes"]
    assert all(len(line) > 60 for name, line in rows.items() if name != "preset"), "a preset without a description"


def test_a_preset_is_a_file_to_start_from(tmp_path: Path) -> None:
    printed = cli("presets", "plane-curved")
    assert printed.stdout == problem_to_toml(presets.plane_curved()) and printed.stderr == ""
    written = cli("presets", "plane-curved", "--out", "mine.toml", cwd=tmp_path)
    assert written.returncode == 0 and "cdp-toy solve --problem mine.toml" in written.stdout
    assert load_problem(tmp_path / "mine.toml") == presets.plane_curved()


def test_a_problem_file_is_solved_as_its_preset(tmp_path: Path) -> None:
    cli("presets", "plane-toy", "--out", "mine.toml", cwd=tmp_path)
    arguments = ("--n", "6,5", "--n-y", "4", "-D", "4", "-P", "0.3", "--json")
    mine = json.loads(cli("solve", "--problem", "mine.toml", *arguments, cwd=tmp_path).stdout)
    preset = json.loads(cli("solve", "--preset", "plane-toy", *arguments).stdout)
    assert (mine.pop("preset"), mine.pop("problem")) == (None, "mine.toml")
    assert (preset.pop("preset"), preset.pop("problem")) == ("plane-toy", None)
    assert mine == preset
    assert (mine["n"], mine["n_y"], mine["status"]) == ([6, 5], 4, "OPTIMAL")


def test_solvers_do_not_talk_into_the_json(tmp_path: Path) -> None:
    """Total variation is a linear program, whose solver likes to print a banner."""
    text = problem_to_toml(presets.three_classes()).replace('"kl"', '"tv"')
    (tmp_path / "tv.toml").write_text(text)
    done = cli("solve", "--problem", "tv.toml", "--n", "15", "-D", "0.9", "-P", "0.05", "--json", cwd=tmp_path)
    record = json.loads(done.stdout)
    assert record["status"] == "OPTIMAL" and "HiGHS" in record["solver"]
    assert done.stderr == ""


@pytest.mark.parametrize(
    ("text", "count"), [(None, None), ("101", 101), ("8,10", (8, 10)), (" 8 , 10 ", (8, 10)), ("-3", -3)]
)
def test_counts_are_numbers_or_pairs(text: str | None, count: object) -> None:
    assert count_of(text, "--n") == count


def test_a_surface_is_traced_saved_and_drawn(tmp_path: Path) -> None:
    words = ("--preset", "paper-toy", "--n", "31", "-D", "0.68,0.72", "-P", "0.003,0.02", "--margin", "2e-3")
    done = cli("trace", "toy.nc", *words, "--tol", "5e-4", "--journal", "toy.sqlite", "--csv", "toy.csv", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tolerance reached" in done.stdout and "widest gap" in done.stderr
    assert (tmp_path / "toy.csv").read_text().count("\n") > 1
    before = (tmp_path / "toy.nc").read_bytes()
    assert load_surface(tmp_path / "toy.nc").about["problem_file"] == problem_to_toml(presets.from_name("paper-toy"))
    again = cli("trace", "toy.nc", *words, "--tol", "5e-4", "--journal", "toy.sqlite", cwd=tmp_path)
    assert again.returncode == 0 and (tmp_path / "toy.nc").read_bytes() == before
    other = cli("trace", "toy.nc", *words, "--tol", "4e-4", "--journal", "toy.sqlite", cwd=tmp_path)
    assert other.returncode == 2 and "tol" in other.stderr
    for kind in ("surface", "slices", "boundary"):
        done = cli("plot", "toy.nc", "--kind", kind, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (tmp_path / f"toy-{kind}.png").read_bytes().startswith(b"\x89PNG")
    for wrong, message in (
        (("plot", "toy.csv"), "cdp-toy:"),
        (("plot", "toy.nc", "--kind", "slice"), "did you mean 'slices'"),
        (("plot", "toy.nc", "-P", "0.01"), "add --kind slices"),
        (("plot", "toy.nc", "--kind", "slices", "-P", "a"), "numbers separated by commas"),
        (("trace", "x.nc", "--preset", "paper-toy", "--n", "31", "-D", "0.7"), "low and high"),
    ):
        refused = cli(*wrong, cwd=tmp_path)
        assert refused.returncode == 2 and message in refused.stderr and refused.stderr.count("\n") == 1
