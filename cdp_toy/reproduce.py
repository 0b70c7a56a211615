"""The main job: paper figures from closed forms, and the exact surfaces over all channels beside the linear family.

The same job for other problems: the toy in the plane, or a problem of the user's.
"""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from tqdm.auto import tqdm

from cdp_toy import __version__, presets, theorems
from cdp_toy.boundary import min_distortion
from cdp_toy.continuous_table import HEADER, enclosed, kept_rows
from cdp_toy.distortions import distortion_from
from cdp_toy.errors import InputError, unknown_name
from cdp_toy.linear import LinearDenoiserFamily
from cdp_toy.point import Point, Status
from cdp_toy.problem import CDPProblem
from cdp_toy.problem_files import problem_to_toml
from cdp_toy.published import compare
from cdp_toy.scan import Journal, Row, all_points, distortion_fractions, perception_levels, scan_row
from cdp_toy.solution import Solution
from cdp_toy.solving import solve
from cdp_toy.sources import PlaneSource, TableSource
from cdp_toy.study import CELLS_ON_LINE, Kind, Study, paper_study, portrait_grid, study_of
from cdp_toy.summaries import table_text, write_csv
from cdp_toy.surface_files import load_surface
from cdp_toy.traced_surfaces import HEADER as PLAN_HEADER
from cdp_toy.traced_surfaces import Plan, kept, line_of, trace_missing

if TYPE_CHECKING:
    from cdp_toy.figures import ExactSurface

__all__ = ["TOYS", "reproduce"]

#: Perception levels of the scan: below 5e-4 the strip between D_min and saturation is as before, only steeper;
#: .4 is where the paper's axis ends.
LEAST_PERCEPTION, MOST_PERCEPTION = 5e-4, 0.4

#: Certified gap the scan aims for. The toy's surface is 2e-3 tall: 1e-7 is invisible and five digits of it are proven.
SCAN_TOL = 1e-7

#: Whole surfaces are closed to this share of their height; where they are flatter than FLAT there is nothing to see.
GAP_SHARE, FLAT = 1 / 100, 1e-9
#: The rectangle of the paper's toy: above P = .03 all of it is the floor. Next to D_min(P) it falls like a root.
PAPER_D, PAPER_P, PAPER_MARGIN = (0.645, 0.75), (3e-4, 3e-2), 1e-4
#: The strip next to D_min(P) of other problems, as a share of the range of D.
MARGIN_SHARE = 0.01

THRESHOLDS: dict[str, float | None] = {"Bayes threshold for X": None, "threshold 0": 0.0}

#: Toys of the job by their name on the command line.
TOYS = ("1d", "2d")


def reproduce(
    out: Path,
    n: int | tuple[int, int] | None = None,
    levels: int = 9,
    points: int = 9,
    workers: int = 2,
    fresh: bool = False,
    say: Callable[[str], None] = print,
    *,
    toy: str = "1d",
    problem: CDPProblem | None = None,
    kind: Kind = "cells",
    rigorous: bool = False,
    gap_share: float = GAP_SHARE,
) -> list[Path]:
    """Reproduce the paper's toy figures and put the exact surface beside them; or do the like for another problem.

    Parameters
    ----------
    out : Path
        Directory for figures, tables and the cache `rows.jsonl`; made when missing.
    n : int or pair of int, optional
        Cells per axis of the exact grids; 101 on the line and 9 in the plane when left out.
    levels, points : int
        Perception levels of each exact surface, and points of each level.
    workers : int
        Processes that solve rows of the surface; they are spawned, so a script calls this below
        `if __name__ == "__main__":`.
    fresh : bool
        Forget cached rows.
    say : callable
        Where text goes.
    toy : "1d" or "2d"
        The paper's toy with two classifiers, or the toy in the plane (`cdp_toy.presets.plane_toy`).
    problem : CDPProblem, optional
        A problem to treat instead of a toy; it must be describable by a problem file.
    kind : "cells" or "points"
        Grid of a problem of the user's; distortions without exact integrals need "points".
    rigorous : bool
        Enclose the continuous toy in ball arithmetic, write certificates and verify them.
    gap_share : float
        Gap of the whole surfaces, bounded at every place, as a share of their height; 0 leaves them out.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    InputError
        When a grid cannot be built from `n`, the toy is unknown, or the problem holds a function.
    """
    if toy not in TOYS:
        raise unknown_name("toy", toy, TOYS)
    paper = problem is None and toy == "1d"
    if paper and kind != "cells":
        raise InputError(
            f"the figures of the paper's toy are drawn from cells; kind={kind!r} goes with toy 2d or a problem"
        )
    if rigorous and not paper:
        raise InputError("rigorous enclosures are made of the paper's toy; leave out toy and problem")
    if not 0 <= gap_share <= 1:
        raise InputError(f"gap_share is a share of a surface's height, from 0 to 1; got {gap_share}")
    settings: dict[str, object] = {"version": __version__, "levels": levels, "points": points, "tol": SCAN_TOL}
    if paper:
        settings["n"] = n or CELLS_ON_LINE
        studies = [paper_study(name, threshold, n) for name, threshold in THRESHOLDS.items()]
    else:
        chosen = presets.plane_toy() if problem is None else problem
        settings.update(n=n, kind=kind, problem=problem_to_toml(chosen))
        studies = [study_of(chosen, n, kind, say)]
    out.mkdir(parents=True, exist_ok=True)
    written = _paper_figures(out, studies[0], say) if paper else _portrait(out, studies[0])
    if fresh:
        for file in (out / "rows.jsonl", out / "enclosures.json", *out.glob("whole-*")):
            file.unlink(missing_ok=True)
    journal = Journal(out / "rows.jsonl", settings)
    try:
        _scan(studies, journal, levels, points, workers, say)
    finally:  # whatever ends the scan, what is known is tabulated
        written += _tables(out, journal, studies, say)
    if paper:
        written += _enclosures(out, studies, workers, rigorous, say)
    written += _surface_figure(out, studies, journal, "figure3_exact_surface" if paper else "surface")
    written += _whole_surfaces(out, studies, journal, workers, paper, gap_share, say)
    written += [path for study in studies for path in _channel(out, study, journal, say)]
    say("\nfiles: " + ", ".join(str(p) for p in written))
    return written


def _enclosures(
    out: Path, studies: list[Study], workers: int, rigorous: bool, say: Callable[[str], None]
) -> list[Path]:
    """The continuous toy at plateaus and corners of Figure 2 and at points of the exact surfaces."""
    certificates = out / "certificates" if rigorous else None
    if certificates is not None:
        certificates.mkdir(exist_ok=True)
    by_threshold = dict(zip(THRESHOLDS.values(), studies, strict=True))
    families = {t: s.families["linear_family"] for t, s in by_threshold.items()}

    def compute() -> list[list[object]]:
        with _single_threaded_children(), ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            return enclosed(
                {t: dataclasses.replace(s.grid, grid=None) for t, s in by_threshold.items()},
                cast(dict[float | None, LinearDenoiserFamily], families),
                {t: s.name for t, s in by_threshold.items()},
                pool,
                certificates,
            )

    settings = {"version": __version__, "shape": studies[0].grid.shape, "rigorous": rigorous}
    rows = kept_rows(out / "enclosures.json", settings, compute)
    scope = "ball arithmetic" if rigorous else "double precision with a rounding allowance"
    say(
        "\n"
        + table_text(
            f"Continuous C(D, P) over all channels ({scope}), beside grid, linear family and paper", HEADER, rows
        )
    )
    say("  nan: the paper has no number, or no linear denoiser meets the levels; inf: no channel of the grid does")
    write_csv(out / "enclosures.csv", HEADER, rows)
    return [out / "enclosures.csv", *([] if certificates is None else sorted(certificates.glob("*.json")))]


def _whole_surfaces(
    out: Path,
    studies: list[Study],
    journal: Journal,
    workers: int,
    paper: bool,
    share: float,
    say: Callable[[str], None],
) -> list[Path]:
    """Surfaces with bounds at every place, to a share of the height of the scanned points."""
    from cdp_toy import figures

    plans = {}
    for study in studies:
        rows = journal.of(study.name)
        values = [p.upper_bound for p in all_points(rows)]
        if share == 0 or not np.ptp(values or [0.0]) > FLAT:
            continue
        low, high = min(row.min_distortion.lower for row in rows), study.far(rows)
        ranges = (PAPER_D, PAPER_P) if paper else ((low, high), (rows[0].max_perception, rows[-1].max_perception))
        tol = float(f"{share * np.ptp(values):.1g}")
        margin = PAPER_MARGIN if paper else MARGIN_SHARE * (high - low)
        slug = re.sub(r"[^0-9A-Za-z]+", "-", study.name).strip("-").lower()
        grid = dataclasses.replace(study.grid, grid=None)
        plans[study.name] = Plan(study.name, grid, *ranges, tol, margin, out / f"whole-{slug}.nc")
    if not plans:
        return []
    say(f"\nwhole surfaces: {len(plans)}, each to a gap of a share of its height, also between the points")
    if not all(map(kept, plans.values())):
        with _single_threaded_children(), ProcessPoolExecutor(workers, get_context("spawn")) as pool:
            trace_missing(list(plans.values()), pool)
    surfaces = [load_surface(plan.path) for plan in plans.values()]
    lines = [line_of(plan, surface) for plan, surface in zip(plans.values(), surfaces, strict=True)]
    say("\n" + table_text("Whole surfaces (bounds at every (D, P) of the rectangle, grid)", PLAN_HEADER, lines))
    if paper:
        say(f"  the gap is met where D >= D_min(P) + {PAPER_MARGIN:g}; the strip before it is hatched in the figure")
    families = [s.families.get("linear_family") for s in studies if s.name in plans]
    figure = figures.figure_4(list(plans), surfaces, families)
    name = "figure4_whole_surfaces" if paper else "whole_surface"
    return [*(plan.path for plan in plans.values()), *figures.save(figure, out, name)]


def _portrait(out: Path, study: Study) -> list[Path]:
    """Picture of the problem itself."""
    from cdp_toy import figures

    grid = study.grid if isinstance(study.problem.source, TableSource) else portrait_grid(study.problem)
    return figures.save(figures.figure_problem(study.problem, grid), out, "problem")


def _paper_figures(out: Path, study: Study, say: Callable[[str], None]) -> list[Path]:
    from cdp_toy import figures

    family = study.families["linear_family"]
    assert isinstance(family, LinearDenoiserFamily)
    written = figures.save(figures.figure_1(family), out, "figure1") + figures.save(
        figures.figure_2(family), out, "figure2"
    )
    rows = [[c.panel, c.quantity, c.published, c.uncertainty, c.exact, c.difference] for c in compare(family)]
    header = ["panel", "quantity", "published", "+-", "exact (linear family)", "published - exact"]
    quadrature = float(np.max(family.perception_error(np.linspace(0.2, 1.6, 15))))
    say(table_text("Published values (digitized) against the closed forms of the linear family", header, rows))
    say(
        "  exact values: closed forms to rounding (1e-14) for MSE and error rates, estimated quadrature error of KL "
        f"<= {quadrature:.0e}; best errors over a to 1e-12; nan: the exact family is infeasible there"
    )
    write_csv(out / "published_against_exact.csv", header, rows)
    return [*written, out / "published_against_exact.csv"]


def _scan(
    studies: list[Study], journal: Journal, levels: int, points: int, workers: int, say: Callable[[str], None]
) -> None:
    """Solve the rows that the journal does not have, in worker processes."""
    unfinished = [study for study in studies if len(journal.of(study.name)) < levels]
    if not unfinished:
        say(f"\nexact surfaces: all rows found in {journal.path}; nothing to solve")
        return
    # workers see plain arrays: a source may hold what does not travel between processes
    bare = {study.name: dataclasses.replace(study.grid, grid=None) for study in unfinished}
    with _single_threaded_children(), ProcessPoolExecutor(workers, get_context("spawn")) as pool:
        ends = (LEAST_PERCEPTION, MOST_PERCEPTION)
        places = {name: pool.submit(perception_levels, grid, levels, *ends) for name, grid in bare.items()}
        known = {name: [row.max_perception for row in journal.of(name)] for name in bare}
        wanted = [(name, p) for name, place in places.items() for p in place.result() if p not in known[name]]
        say(f"\nexact surfaces over all channels: {len(wanted)} rows of {points} certified points")
        fractions = distortion_fractions(points)
        with tqdm(total=len(wanted) * points, unit="point", mininterval=0.5) as bar:
            futures = {pool.submit(scan_row, bare[name], p, fractions, SCAN_TOL): name for name, p in wanted}
            for future in as_completed(futures):
                row = future.result()
                journal.add(futures[future], row)
                bar.update(points)
                bar.set_postfix_str(f"widest gap of last row {max(p.gap for p in row.points):.0e}")


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Let worker processes start with one BLAS thread each, so that they do not fight for the cores.

    This takes effect in processes that are spawned: a forked one keeps the threads of its parent, and small
    factorizations on two busy cores then take sixty times as long.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _tables(out: Path, journal: Journal, studies: list[Study], say: Callable[[str], None]) -> list[Path]:
    """Points of the exact surfaces, and the verdicts, on the terminal and as CSV."""
    extra = sorted({column for study in studies for column in study.families} - {"linear_family"})
    columns = ["linear_family", *extra]
    header = ["P", "D", "lower_bound", "upper_bound", "gap", *columns, "left_on_table", "price_D", "price_P"]
    all_rows: list[list[object]] = []
    verdicts: list[list[object]] = []
    for study in studies:
        name, rows = study.name, journal.of(study.name)
        shown = [_point_line(p, study, columns) for row in rows for p in row.points]
        all_rows += [[name, *line] for line in shown]
        boundary = [_boundary_line(row) for row in rows]
        say("\n" + table_text(f"Boundary of the surface, {name} (grid, certified)", _BOUNDARY, boundary))
        say("\n" + table_text(f"Exact surface over all channels, {name} (grid)", header, shown))
        feasible = all_points(rows)
        if len(feasible) > 1:
            exact = [theorems.non_increasing(feasible), theorems.convex(feasible)]
            verdicts += [[name, "all channels (grid)", *_verdict_line(v)] for v in exact]
            done = sum(p.gap <= 1e-6 for p in feasible)
            total = sum(len(row.points) for row in rows)
            best = sum(p.status is Status.OPTIMAL for p in feasible)
            say(f"  {done} of {total} points certified to 1e-6 or better; {best} OPTIMAL at {SCAN_TOL:.0e}")
        left = [float(str(line[header.index("left_on_table")])) for line in shown]
        if np.nanmin([*left, 0.0]) < 0:
            say(
                "  left_on_table < 0: the linear family is that of the continuous problem, and this grid is too coarse "
                "to contain it; the grid's values are upper bounds, and a finer grid (--n) lowers them"
            )
        if "linear_family" in study.families and rows:
            checks = (theorems.family_non_increasing, theorems.family_convex)
            value = study.families["linear_family"].best_error_rate
            d, p = study.lattice(rows)
            verdicts += [[name, "linear family", *_verdict_line(check(value, d, p, 1e-11))] for check in checks]
    verdict_header = ["classifier", "surface", "claim", "holds", "worst_margin", "uncertainty", "witness_D_P"]
    say("\n" + table_text("Verdicts (a margin above the uncertainty is a violation)", verdict_header, verdicts))
    write_csv(out / "exact_points.csv", ["classifier", *header], all_rows)
    write_csv(out / "verdicts.csv", verdict_header, verdicts)
    return [out / "exact_points.csv", out / "verdicts.csv"]


_BOUNDARY = ["P", "D_min", "gap", "D_flat", "gap "]


def _boundary_line(row: Row) -> list[object]:
    least, flat = row.min_distortion, row.flat_distortion
    ends: list[object] = ["never flat", "-"] if flat is None else [flat.upper, f"{flat.upper - flat.lower:.0e}"]
    return [row.max_perception, least.upper, f"{least.upper - least.lower:.0e}", *ends]


def _point_line(point: Point, study: Study, columns: list[str]) -> list[object]:
    linear = [
        float(study.families[c].best_error_rate(point.max_distortion, point.max_perception))
        if c in study.families
        else float("nan")
        for c in columns
    ]
    return [
        point.max_perception,
        point.max_distortion,
        point.lower_bound,
        point.upper_bound,
        f"{point.gap:.0e}",
        *linear,
        np.fmin.reduce(linear) - point.upper_bound,
        point.price_distortion,
        point.price_perception,
    ]


def _verdict_line(verdict: theorems.Verdict) -> list[object]:
    places = " ; ".join(f"({d:.5g}, {p:.4g})" for d, p in verdict.witness)
    return [verdict.claim, "yes" if verdict.holds else "NO", verdict.margin, f"{verdict.uncertainty:.0e}", places]


def _surface_figure(out: Path, studies: list[Study], journal: Journal, name: str) -> list[Path]:
    from cdp_toy import figures

    surfaces: list[ExactSurface] = []
    for study in studies:
        rows = journal.of(study.name)
        cells = f"grid {study.grid.n_y} x {study.grid.n_x}"
        family = study.families.get("linear_family") or study.families.get("linear_diagonal")
        distortion = distortion_from(study.problem.distortion).name
        unit = {"squared_error": "squared units of $x$", "absolute_error": "units of $x$"}.get(distortion, distortion)
        units = unit, study.grid.perception.unit or study.grid.perception.name
        floor, far = study.grid.error_floor, study.far(rows)
        # the Bayes boundaries of Y are cell edges on the line; with costs of its own the floor is no error
        zero_one = np.array_equal(np.asarray(study.problem.class_cost), 1.0 - np.eye(study.problem.source.n_classes))
        bayes = (
            zero_one and study.problem.source.dim == 1 and study.grid.kind == "cells" and study.grid.continuous_bound
        )
        words = (
            "floor: Bayes error of $Y$" if bayes else "floor of the grid",
            "error rate" if zero_one else "expected class cost",
        )
        surfaces.append(figures.ExactSurface(study.name, rows, floor, family, far, cells, units, *words))
    return figures.save(figures.figure_3(surfaces), out, name)


def _channel(out: Path, study: Study, journal: Journal, say: Callable[[str], None]) -> list[Path]:
    """In the plane: laws as images and the channel as arrows, for one point in the middle of the surface."""
    if not isinstance(study.problem.source, PlaneSource):
        return []
    from cdp_toy import figures

    point = _middle_point(study, journal.of(study.name))
    say("\nThe channel that is drawn\n" + point.summary())
    return figures.save(figures.figure_channel(study.problem, point), out, "channel")


def _middle_point(study: Study, rows: tuple[Row, ...]) -> Solution:
    """A point where both levels bind: the middle row, a tenth of the way from D_min to its end."""
    row = rows[len(rows) // 2]
    least = min_distortion(study.grid, row.max_perception, tol=1e-6)
    limit = least.upper + 0.1 * max(row.end - least.upper, 1e-3)
    return solve(study.grid, limit, row.max_perception, tol=1e-6, boundary=least)
