"""Whole surfaces of the main job: traced in processes of their own, kept as files, and summed up in a table."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from concurrent.futures import Executor
from pathlib import Path

from cdp_toy.errors import SurfaceFileError
from cdp_toy.finite import DiscreteProblem
from cdp_toy.surface_files import load_surface
from cdp_toy.surfaces import Surface
from cdp_toy.tracing import trace
from cdp_toy.tracing.fingerprint import fingerprint

__all__ = ["HEADER", "Plan", "kept", "line_of", "trace_missing"]

#: Where a surface is not closed by so many solves its file says how far it got.
MOST_SOLVES = 400

HEADER = ("classifier", "D", "P", "aimed_for", "widest_gap", "at_D_P", "solves", "planes", "attained", "file")


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """One surface to be traced: name, grid without its source, rectangle, tolerance, margin, file."""

    name: str
    problem: DiscreteProblem
    distortion: tuple[float, float]
    perception: tuple[float, float]
    tol: float
    margin: float
    path: Path

    @property
    def journal(self) -> Path:
        """Where answers are kept until the surface is whole."""
        return self.path.with_suffix(".sqlite")


def trace_missing(plans: Sequence[Plan], pool: Executor) -> None:
    """Trace the surfaces whose files are not there from an earlier run, one surface per task of a pool.

    Answers are in journals until the file is written, so that a run that was stopped goes on where it was.
    """
    for future in [pool.submit(_trace, plan) for plan in plans if not kept(plan)]:
        future.result()


def kept(plan: Plan) -> bool:
    """Whether the file is there, from an earlier run with the same settings."""
    try:
        surface = load_surface(plan.path)
    except SurfaceFileError:
        return False
    wanted = (fingerprint(plan.problem), plan.distortion, plan.perception, plan.tol, plan.margin)
    return wanted == (
        surface.about.get("fingerprint"),
        surface.distortion,
        surface.perception,
        surface.tol,
        surface.margin,
    )


def line_of(plan: Plan, surface: Surface) -> list[object]:
    """A row of the table."""
    gap, d, p = surface.widest
    ranges = (f"{low:g} to {high:g}" for low, high in (surface.distortion, surface.perception))
    counts = (int(surface.about["solves"]), len(surface.hyperplanes), len(surface.attained))
    return [plan.name, *ranges, f"{plan.tol:.0e}", f"{gap:.2e}", f"({d:.5g}, {p:.4g})", *counts, plan.path.name]


def _trace(plan: Plan) -> None:
    surface = trace(
        plan.problem,
        plan.distortion,
        plan.perception,
        tol=plan.tol,
        margin=plan.margin,
        max_points=MOST_SOLVES,
        journal=plan.journal,
        progress=False,
    )
    if surface.stopped == "interrupted":
        raise KeyboardInterrupt
    surface.save(plan.path)
    for path in plan.path.parent.glob(f"{plan.journal.name}*"):
        path.unlink()
