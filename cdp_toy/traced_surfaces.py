"""Whole surfaces of the main job: traced in processes of a pool, kept as files, and summed up in a table."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from cdp_toy.errors import SurfaceFileError
from cdp_toy.finite import DiscreteProblem
from cdp_toy.problem import CDPProblem
from cdp_toy.problem_files import problem_to_toml
from cdp_toy.scan import Row, all_points
from cdp_toy.study import Study
from cdp_toy.surface_files import load_surface
from cdp_toy.surfaces import Surface
from cdp_toy.tracing import trace
from cdp_toy.tracing.fingerprint import fingerprint

__all__ = ["HEADER", "PAPER_MARGIN", "Plan", "Traced", "kept", "paper_plan", "plan_of", "start", "traced"]

#: Where a surface is not closed by so many solves its file says how far it got.
MOST_SOLVES = 400
#: The rectangle of the paper's toy: above P = .03 all of it is the floor. Next to D_min(P) it falls like a root.
PAPER_D, PAPER_P, PAPER_MARGIN = (0.645, 0.75), (3e-4, 3e-2), 1e-4
#: Gaps of the paper's surfaces, on the grid and of the continuous problem, where proofs take a hundred times as long.
PAPER_GAP, CONTINUOUS_GAP = 1e-6, 1e-5
#: Cells of the grid that the paper's surfaces are traced on.
PAPER_CELLS = 201
#: Other surfaces are closed to this share of their height; where they are flatter than FLAT there is nothing to see.
GAP_SHARE, FLAT = 1 / 500, 1e-9
#: The strip next to D_min(P) of other problems, as a share of the range of D.
MARGIN_SHARE = 0.01

HEADER = ("classifier", "D", "P", "aimed_for", "widest_gap", "at_D_P", "solves", "planes", "attained", "file")


@dataclasses.dataclass(frozen=True, eq=False)
class Plan:
    """One surface to be traced: name, problem, its model as text, rectangle, tolerance, margin, file."""

    name: str
    problem: DiscreteProblem | CDPProblem
    text: str
    distortion: tuple[float, float]
    perception: tuple[float, float]
    tol: float
    margin: float
    path: Path

    @property
    def journal(self) -> Path:
        """Where answers are kept until the surface is whole."""
        return self.path.with_suffix(".sqlite")


class Traced(NamedTuple):
    """A surface that was traced, and what makes its row of the table."""

    plan: Plan
    surface: Surface
    line: Callable[[], list[object]]


def paper_plan(study: Study, n: int | tuple[int, int] | None, gap: float | None, out: Path, continuous: bool) -> Plan:
    """The surface of a toy of the paper, on a grid of n cells or of the continuous problem."""
    model = study.problem
    problem = model if continuous else _bare(model.discretize(n=n or PAPER_CELLS))
    tol = (CONTINUOUS_GAP if continuous else PAPER_GAP) if gap is None else gap
    name, kind = (f"{study.name}, continuous", "continuous-") if continuous else (study.name, "")
    path = out / f"whole-{kind}{_slug(study.name)}.nc"
    return Plan(name, problem, problem_to_toml(model), PAPER_D, PAPER_P, tol, PAPER_MARGIN, path)


def plan_of(study: Study, rows: tuple[Row, ...], gap: float | None, out: Path) -> Plan | None:
    """The surface of any other problem where it was scanned; None for one that is flat."""
    values = [p.upper_bound for p in all_points(rows)]
    if not np.ptp(values or [0.0]) > FLAT:
        return None
    low, high = min(row.min_distortion.lower for row in rows), study.far(rows)
    tol = float(f"{GAP_SHARE * np.ptp(values):.1g}") if gap is None else gap
    return Plan(
        study.name,
        _bare(study.grid),
        problem_to_toml(study.problem),
        (low, high),
        (rows[0].max_perception, rows[-1].max_perception),
        tol,
        MARGIN_SHARE * (high - low),
        out / f"whole-{_slug(study.name)}.nc",
    )


def start(plans: Sequence[Plan], pool: Executor) -> dict[Path, Future[None]]:
    """Begin to trace the surfaces whose files are not there from an earlier run, one surface per task of a pool.

    Answers are in journals until the file is written, so that a run that was stopped goes on where it was.
    """
    return {plan.path: pool.submit(_trace, plan) for plan in plans if not kept(plan)}


def kept(plan: Plan) -> bool:
    """Whether the file is there, from an earlier run with the same settings."""
    try:
        surface = load_surface(plan.path)
    except SurfaceFileError:
        return False
    numbers = fingerprint(plan.problem) if isinstance(plan.problem, DiscreteProblem) else None
    wanted = (numbers, plan.text, plan.distortion, plan.perception, plan.tol, plan.margin)
    about = surface.about
    return wanted == (
        about.get("fingerprint"),
        about.get("problem_file"),
        surface.distortion,
        surface.perception,
        surface.tol,
        surface.margin,
    )


def traced(plan: Plan, pool: Executor | None) -> Traced:
    """What is in the file of a surface; with a pool its row is begun there: it takes as long as a picture."""
    surface = load_surface(plan.path)
    return Traced(plan, surface, partial(_line, plan, surface) if pool is None else pool.submit(_line, plan).result)


def _line(plan: Plan, surface: Surface | None = None) -> list[object]:
    """A row of the table."""
    surface = load_surface(plan.path) if surface is None else surface
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
    dataclasses.replace(surface, about={**surface.about, "problem_file": plan.text}).save(plan.path)
    for path in plan.path.parent.glob(f"{plan.path.stem}.sqlite*"):
        path.unlink()


def _bare(grid: DiscreteProblem) -> DiscreteProblem:
    """Workers see plain arrays: a source may hold what does not travel between processes."""
    return dataclasses.replace(grid, grid=None)


def _slug(name: str) -> str:
    return re.sub(r"[^0-9A-Za-z]+", "-", name).strip("-").lower()
