"""One fresh process: imports and discretizes first, then times solves, and reports each on a line of its own.

    python -m benchmarks.child '{"task": "ours", "case": {...}, ...}'

The reports are lines of JSON on standard output. What compiled solvers print is sent elsewhere.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

import cdp_toy as cdp
from benchmarks.cases import NEIGHBOUR, Case
from benchmarks.formulas import measured, repaired
from benchmarks.machine import peak_memory
from benchmarks.peers import solve_peer
from benchmarks.surface_jobs import SURFACE_TASKS
from cdp_toy.validation import physical_memory

Report = Callable[..., None]

#: A solve is repeated up to this often, and the fastest counts, ...
REPETITIONS = 3
#: ... as long as the repetitions so far took less than this [s].
REPEAT_WITHIN = 20.0
#: The certified value is asked for with this share of the tolerance.
TIGHTER = 0.01


def _reporter() -> Report:
    """Keep the real standard output for reports and point the descriptor that solvers print to at nothing."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def report(stage: str, **what: Any) -> None:
        out.write(json.dumps({"stage": stage, **what}) + "\n")
        out.flush()

    return report


def _repeat(once: Callable[[], float]) -> None:
    spent = 0.0
    for _ in range(REPETITIONS):
        spent += once()
        if spent > REPEAT_WITHIN:
            break


def _prepare(case: Case, job: dict[str, Any], report: Report) -> None:
    """Levels of the point and of its neighbour, and the certified value."""
    grid = case.grid()
    near = case.level * (1 + NEIGHBOUR)
    margins = case.margin, case.margin * (1 + NEIGHBOUR)
    least = [cdp.min_distortion(grid, level).upper for level in (case.level, near)]
    limit = least[0] + margins[0]
    report("levels", point=[limit, case.level], neighbour=[least[1] + margins[1], near])
    for tol in (case.tol, TIGHTER * case.tol):
        point = cdp.solve(grid, limit, case.level, tol=tol, on_infeasible="return")
        report("certified", lower=point.lower_bound, upper=point.upper_bound)


def _excess(grid: cdp.DiscreteProblem, joint: np.ndarray, limits: list[float]) -> dict[str, float]:
    """Error rate of a channel and by how much it exceeds the levels."""
    found = measured(grid, repaired(grid, joint))
    return {
        "error_rate": found.error_rate,
        "excess_distortion": found.distortion - limits[0],
        "excess_perception": found.perception - limits[1],
    }


def _ours(case: Case, job: dict[str, Any], report: Report) -> None:
    """Cold solves of the point, then warm ones of its neighbour."""
    here, near = job["point"], job["neighbour"]
    small = Case(case.model, case.perception, 11 if case.dim == 1 else 5, 0.05, case.kind).grid()
    start = cdp.solve(small, 10.0, 0.05, tol=1e-6)
    cdp.solve(small, 10.0, 0.04, tol=1e-6, warm_start=start)
    report("ready", base_bytes=peak_memory())
    solved: list[cdp.Solution] = []

    def timed(stage: str, grid: cdp.DiscreteProblem, limits: list[float], warm: cdp.Solution | None) -> float:
        began = time.perf_counter()
        point = cdp.solve(grid, *limits, tol=case.tol, on_infeasible="return", warm_start=warm)
        seconds = time.perf_counter() - began
        solved.append(point)
        peak = peak_memory()
        levels = _excess(grid, grid.p_y[:, None] * point.channel, limits) if grid.n_y * grid.n_x <= 10**7 else {}
        values = {"value": point.upper_bound, "gap": point.gap, "status": point.status.name, "solver": point.solver}
        report(stage, seconds=seconds, peak_bytes=peak, **values, **levels)
        return seconds

    _repeat(lambda: timed("cold", case.grid(), here, None))
    cold = solved[0]
    _repeat(lambda: timed("warm", cold.problem, near, cold))


def _peer(case: Case, job: dict[str, Any], report: Report) -> None:
    """Cold solves by another solver."""
    small = Case(case.model, case.perception, 11 if case.dim == 1 else 5, case.level, case.kind).grid()
    solve_peer(small, 10.0, max(case.level, 0.05), job["solver"], job["options"])
    report("ready", base_bytes=peak_memory())

    def timed() -> float:
        grid = case.grid()
        began = time.perf_counter()
        answer = solve_peer(grid, job["point"][0], job["point"][1], job["solver"], job["options"])
        seconds = time.perf_counter() - began
        peak = peak_memory()
        levels = {} if answer.joint is None else _excess(grid, answer.joint, job["point"])
        values = {"value": answer.value, "status": answer.status, "solver_seconds": answer.solver_seconds}
        report("cold", seconds=seconds, peak_bytes=peak, **values, **levels)
        return seconds

    _repeat(timed)


TASKS = {"prepare": _prepare, "ours": _ours, "peer": _peer}


def main() -> None:
    """Do the job that the first argument describes."""
    job = json.loads(sys.argv[1])
    report = _reporter()
    half = physical_memory() // 2
    resource.setrlimit(resource.RLIMIT_AS, (half, half))  # a solver that wants more must not take the machine with it
    try:
        if job["task"] in SURFACE_TASKS:
            SURFACE_TASKS[job["task"]](job, report)
        else:
            TASKS[job["task"]](Case(**job["case"]), job, report)
    except MemoryError as error:  # the package's refusal is one of these
        report("refused", reason=str(error) or "out of memory")
    except Exception as error:
        report("failed", reason=f"{type(error).__name__}: {error}")
    else:
        report("done")


if __name__ == "__main__":
    main()
