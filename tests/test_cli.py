"""The command line: what it prints, how it refuses, what it keeps."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest


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
        (("reproduce", "--workers", "0"), "workers"),
        (("solve", "--preset", "paper-toy", "--n", "31", "-D", "abc"), "Invalid value"),
        (("solve", "--n", "31"), "--preset"),
        (("solv",), "solve"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(words: tuple[str, ...], message: str, tmp_path: Path) -> None:
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
