"""The paper's toy, enclosed: plateaus and corners of its Figure 2 and points of the exact surfaces, continuous."""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import NamedTuple

from cdp_toy.enclosing import enclose, enclose_min_distortion
from cdp_toy.finite import DiscreteProblem
from cdp_toy.linear import LinearDenoiserFamily
from cdp_toy.presets import paper_toy
from cdp_toy.published import load
from cdp_toy.solving import solve

__all__ = ["HEADER", "Place", "enclosed", "kept_rows", "places"]

#: levels of the dozen points of the exact surfaces: above D_min(P) by these distances, at these P
MARGINS, LEVELS = (5e-4, 5e-3), (0.0005, 0.002, 0.01)
#: widths to aim for, in double precision and in ball arithmetic
TOL, RIGOROUS_TOL = 1e-7, 1e-8
#: D_min(P) only places points; this is as near as it has to be
PLACE_TOL = 1e-5

HEADER = (
    "classifier", "place", "D", "P", "published", "linear_family", "grid_upper", "continuous_lower",
    "continuous_upper", "width", "status", "certificate",
)  # fmt: skip


class Place(NamedTuple):
    """A pair of levels of one of the toys; `published` is NaN where the paper has no number."""

    threshold: float | None
    name: str
    max_distortion: float
    max_perception: float
    published: float


def places() -> list[Place]:
    """Where Figure 2 has plateaus and corners, and a dozen points where both levels bind.

    >>> [place.name for place in places()][:2]
    ['plateau C at P=0.04', 'plateau C at P=0.08']
    """
    out = []
    numbers, corners = load("key_numbers"), load("fig2a_corners")
    for quantity, value in zip(numbers.words["quantity"], numbers["published"], strict=True):
        axis, _, level = quantity.removeprefix("plateau C at ").partition("=")
        if axis in ("D", "P"):
            levels = (math.inf, float(level)) if axis == "P" else (float(level), math.inf)
            out.append(Place(None, quantity, *levels, float(value)))
    for name, d, p, value in zip(corners.words["point"], corners["D"], corners["P"], corners["C"], strict=True):
        out.append(Place(None, name, float(d), float(p), float(value)))
    least = {p: enclose_min_distortion(paper_toy(), p, tol=PLACE_TOL).upper for p in LEVELS}  # of both classifiers
    for threshold in (None, 0.0):
        for p in LEVELS:
            out += [Place(threshold, f"D_min(P) + {m:g}", round(least[p] + m, 6), p, math.nan) for m in MARGINS]
    return out


def enclosed(
    grids: dict[float | None, DiscreteProblem],
    families: dict[float | None, LinearDenoiserFamily],
    names: dict[float | None, str],
    pool: Executor,
    certificates: Path | None,
) -> list[list[object]]:
    """Rows of the table, with certificates written and verified where a directory for them is given."""
    where = places()
    paths = [None if certificates is None else certificates / f"{k:02d}.json" for k in range(len(where))]
    jobs = [pool.submit(_row, grids[place.threshold], place, path) for place, path in zip(where, paths, strict=True)]
    rows = []
    for place, job in zip(where, jobs, strict=True):
        grid, *ends = job.result()
        linear = float(families[place.threshold].best_error_rate(place.max_distortion, place.max_perception))
        levels = [place.max_distortion, place.max_perception]
        rows.append([names[place.threshold], place.name, *levels, place.published, linear, grid, *ends])
    return rows


def kept_rows(path: Path, settings: dict[str, object], compute: Callable[[], list[list[object]]]) -> list[list[object]]:
    """Rows that an earlier run left under the same settings, computed and left there else."""
    text = json.dumps(settings)
    with contextlib.suppress(OSError, ValueError, TypeError):
        kept = json.loads(path.read_text("utf-8"))
        if kept["settings"] == text and all(len(row) == len(HEADER) for row in kept["rows"]):
            return [list(row) for row in kept["rows"]]
    rows = compute()
    path.write_text(json.dumps({"settings": text, "rows": rows}), "utf-8")
    return rows


def _row(grid: DiscreteProblem, place: Place, path: Path | None) -> list[object]:
    """Grid value, ends of the enclosure, its width, its status and what the verifier says; in a worker process."""
    levels = (place.max_distortion, place.max_perception)
    on_grid = solve(grid, *levels, tol=TOL, on_infeasible="return").upper_bound
    rigorous = path is not None
    point = enclose(
        paper_toy(place.threshold),
        *levels,
        tol=RIGOROUS_TOL if rigorous else TOL,
        rigorous=rigorous,
        on_infeasible="return",
    )
    verdict = "-"
    if path is not None:
        from cdp_toy.verify import verify_file

        verdict = f"{verify_file(point.save(path)).verdict} {path.name}"
    width = f"{point.gap:.0e}"
    return [on_grid, point.lower_bound, point.upper_bound, width, point.status.name, verdict]
