"""What a child of `benchmarks.surfaces` does: trace and time a surface, solve single levels by ours or by a peer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np

import cdp_toy as cdp
from benchmarks.machine import peak_memory
from benchmarks.peers import solve_peer

__all__ = ["SURFACE_TASKS"]

Report = Callable[..., None]

#: Bounds that are compared are computed in floating point: they may cross by this without a contradiction.
ROUNDING = 1e-12

#: Toys by name, and cells per axis that make a small one.
TOYS: dict[str, tuple[Callable[[], cdp.CDPProblem], int]] = {
    "paper_toy": (cdp.presets.paper_toy, 31),
    "plane_toy": (cdp.presets.plane_toy, 5),
}


def _toy(model: str, n: int) -> cdp.DiscreteProblem:
    preset, _ = TOYS[model]
    return preset().discretize(n=n)


def _ready(model: str, report: Report) -> None:
    """Load kernels by a small surface first: points just above D_min(P), where all methods come to be used."""
    _, small = TOYS[model]
    grid = _toy(model, small)
    least = cdp.min_distortion(grid, 0.01).upper
    near = np.array([1e-4, 1e-3, 1e-2])
    cdp.trace(grid, grid=(least + near, 0.01 * (1 + near)), progress=False)
    report("ready", base_bytes=peak_memory())


def _lattice(job: dict[str, Any], report: Report) -> None:
    """Every point of a lattice; brackets of those that a peer is asked for."""
    _ready(job["model"], report)
    grid, levels = _toy(job["model"], job["n"]), (np.array(job["distortion"]), np.array(job["perception"]))
    began = time.perf_counter()
    surface = cdp.trace(grid, grid=levels, progress=False)
    seconds = time.perf_counter() - began
    points = surface.points
    # an infeasible point has no gap: its bounds are both inf
    gaps = [float(row["upper"] - row["lower"]) for row in points if row["status"] != "INFEASIBLE"]
    found = {(float(row["D"]), float(row["P"])): (float(row["lower"]), float(row["upper"])) for row in points}
    report(
        "traced",
        seconds=seconds,
        solves=surface.about["solves"],
        statuses=dict(Counter(map(str, points["status"]))),
        gap=max(gaps, default=0.0),
        brackets=[found[d, p] for d, p in job["sample"]],
    )


def _peers(job: dict[str, Any], report: Report) -> None:
    """Single levels by another solver, each posed anew."""
    solve_peer(_toy("paper_toy", 11), 10.0, 0.05, job["solver"], {})
    report("ready", base_bytes=peak_memory())
    for d, p in job["sample"]:
        grid = _toy(job["model"], job["n"])
        began = time.perf_counter()
        answer = solve_peer(grid, d, p, job["solver"], {})
        seconds = time.perf_counter() - began
        value = None if answer.value is None or not np.isfinite(answer.value) else answer.value
        report("peer", D=d, P=p, seconds=seconds, status=answer.status, value=value)


def _traced(job: dict[str, Any]) -> cdp.Surface:
    return cdp.trace(
        _toy(job["model"], job["n"]),
        job["distortion"],
        job["perception"],
        tol=job["tol"],
        margin=job["margin"],
        max_points=job["max_points"],
        progress=False,
    )


def _sandwich(job: dict[str, Any], report: Report) -> None:
    """A surface with a gap that is uniform."""
    _ready(job["model"], report)
    began = time.perf_counter()
    surface = _traced(job)
    seconds = time.perf_counter() - began
    curves = [curve for curve in (surface.boundary, surface.floor) if curve is not None]
    report(
        "traced",
        seconds=seconds,
        peak_bytes=peak_memory(),
        solves=surface.about["solves"],
        curve_solves=sum(len(curve.brackets) for curve in curves),
        planes=len(surface.hyperplanes),
        attained=len(surface.attained),
        gap=surface.max_gap,
        widest=list(surface.widest[1:]),
        stopped=surface.stopped,
    )


def _between(job: dict[str, Any], report: Report) -> None:
    """Random levels on a surface, solved afresh: a grid that the tracer has not seen, and no start from its points."""
    surface = _traced(job)
    report("ready", base_bytes=peak_memory())
    grid = _toy(job["model"], job["n"])
    for d, p in job["sample"]:
        lower, upper = float(surface.lower(d, p)), float(surface.upper(d, p))
        point = cdp.solve(grid, d, p, tol=job["fresh_tol"], on_infeasible="return")
        inside = lower - ROUNDING <= point.upper_bound and point.lower_bound <= upper + ROUNDING
        fresh = {"status": point.status.name, "fresh": [point.lower_bound, point.upper_bound]}
        report("fresh", D=d, P=p, lower=lower, upper=upper, inside=bool(inside), **fresh)


SURFACE_TASKS = {"lattice": _lattice, "peers": _peers, "sandwich": _sandwich, "between": _between}
