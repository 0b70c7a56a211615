"""The main job: paper figures from closed forms, and the exact surfaces over all channels beside the linear family.

The same job for other problems: the toy in the plane, or a problem of the user's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from concurrent.futures import Executor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
from tqdm.auto import tqdm

from cdp_toy import __version__, presets
from cdp_toy.boundary import min_distortion
from cdp_toy.continuous_table import HEADER, enclosed, kept_rows
from cdp_toy.distortions import distortion_from
from cdp_toy.errors import InputError, unknown_name
from cdp_toy.linear import LinearDenoiserFamily
from cdp_toy.problem import CDPProblem
from cdp_toy.problem_files import problem_to_toml
from cdp_toy.published import compare
from cdp_toy.scan import Journal, Row, distortion_fractions, perception_levels, scan_row
from cdp_toy.scan_tables import scan_tables
from cdp_toy.solution import Solution
from cdp_toy.solving import solve
from cdp_toy.sources import PlaneSource, TableSource
from cdp_toy.study import CELLS_ON_LINE, Kind, Study, paper_study, portrait_grid, study_of
from cdp_toy.summaries import table_text, write_csv
from cdp_toy.traced_surfaces import HEADER as PLAN_HEADER
from cdp_toy.traced_surfaces import PAPER_MARGIN, Traced, paper_plan, plan_of, start, traced
from cdp_toy.workers import Workers

if TYPE_CHECKING:
    from cdp_toy.figures import ExactSurface

__all__ = ["TOYS", "reproduce"]

#: Perception levels of the scan: below 5e-4 the strip between D_min and saturation is as before, only steeper;
#: .4 is where the paper's axis ends.
LEAST_PERCEPTION, MOST_PERCEPTION = 5e-4, 0.4

#: Certified gap the scan aims for. The toy's surface is 2e-3 tall: 1e-7 is invisible and five digits of it are proven.
SCAN_TOL = 1e-7

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
    gap: float | None = None,
    continuous: bool = False,
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
    gap : float, optional
        Gap of the whole surfaces, at every place; 0 leaves them out. By default 1e-6 for the paper's toy on the grid
        (201 cells unless n is given) and 1e-5 for the continuous one, a hundredth of its height for any other problem.
    continuous : bool
        Trace the surfaces of the paper's continuous toys too; that takes many times as long.

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
    if continuous and not paper:
        raise InputError("continuous surfaces are those of the paper's toy; leave out toy and problem")
    if gap is not None and not 0 <= gap <= 1:
        raise InputError(f"gap is that of a surface at every place, from 0 to 1; got {gap}")
    settings: dict[str, object] = {"version": __version__, "levels": levels, "points": points, "tol": SCAN_TOL}
    if paper:
        settings["n"] = n or CELLS_ON_LINE
        studies = [paper_study(name, threshold, n) for name, threshold in THRESHOLDS.items()]
    else:
        chosen = presets.plane_toy() if problem is None else problem
        settings.update(n=n, kind=kind, problem=problem_to_toml(chosen))
        studies = [study_of(chosen, n, kind, say)]
    out.mkdir(parents=True, exist_ok=True)
    if fresh:
        for file in (out / "rows.jsonl", out / "enclosures.json", *out.glob("whole-*")):
            file.unlink(missing_ok=True)
    journal = Journal(out / "rows.jsonl", settings)
    with Workers(workers) as pool:
        plans = []
        if paper and gap != 0:
            kinds = (False, True) if continuous else (False,)
            plans = [paper_plan(study, n, gap, out, kind) for kind in kinds for study in studies]
        tracing = start(plans[-1:], pool)  # what takes longest begins first, the others when this process has drawn
        written = _paper_figures(out, studies[0], say) if paper else _portrait(out, studies[0])
        tracing |= start(plans[-2::-1], pool)
        try:
            _scan(studies, journal, levels, points, pool, say)
        finally:  # whatever ends the scan, what is known is tabulated
            written += scan_tables(out, journal, studies, SCAN_TOL, say)
        if paper:
            written += _enclosures(out, studies, pool, rigorous, say)
        elif gap != 0:
            plans = [plan for study in studies if (plan := plan_of(study, journal.of(study.name), gap, out))]
            tracing = start(plans, pool)
        written += _surface_figure(out, studies, journal, "figure3_exact_surface" if paper else "surface")
        if tracing:
            say(f"\nwhole surfaces: waiting for {len(tracing)}, bounded at every (D, P)")
        found = []
        for plan in plans:  # what ended early is read while others are at work
            if plan.path in tracing:
                tracing[plan.path].result()
            found.append(traced(plan, pool if plan.path in tracing else None))
        pool.shutdown(wait=False)  # processes end while this one draws
        few = len(studies)
        written += _drawn(out, "figure4_whole_surfaces" if paper else "whole_surface", found[:few], studies, paper, say)
        written += _drawn(out, "figure5_continuous_surfaces", found[few:], studies, paper, say)
    written += [path for study in studies for path in _channel(out, study, journal, say)]
    say("\nfiles: " + ", ".join(str(p) for p in written))
    return written


def _enclosures(
    out: Path, studies: list[Study], pool: Executor, rigorous: bool, say: Callable[[str], None]
) -> list[Path]:
    """The continuous toy at plateaus and corners of Figure 2 and at points of the exact surfaces."""
    certificates = out / "certificates" if rigorous else None
    if certificates is not None:
        certificates.mkdir(exist_ok=True)
    by_threshold = dict(zip(THRESHOLDS.values(), studies, strict=True))
    families = {t: s.families["linear_family"] for t, s in by_threshold.items()}

    def compute() -> list[list[object]]:
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


def _drawn(
    out: Path, name: str, found: list[Traced], studies: list[Study], paper: bool, say: Callable[[str], None]
) -> list[Path]:
    """Table and figure of whole surfaces that were traced."""
    if not found:
        return []
    from cdp_toy import figures

    plans, surfaces, lines = zip(*found, strict=True)
    families = [study.families.get("linear_family") for study in studies]
    figure = figures.figure_4([plan.name for plan in plans], surfaces, families)
    written = [*(plan.path for plan in plans), *figures.save(figure, out, name)]
    scope = "continuous" if isinstance(plans[0].problem, CDPProblem) else "grid"
    title = f"Whole surfaces (bounds at every (D, P) of the rectangle, {scope})"
    say("\n" + table_text(title, PLAN_HEADER, [line() for line in lines]))
    if paper:
        say(f"  the gap is met where D >= D_min(P) + {PAPER_MARGIN:g}; the strip before it is hatched in the figure")
    return written


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
    studies: list[Study], journal: Journal, levels: int, points: int, pool: Executor, say: Callable[[str], None]
) -> None:
    """Solve the rows that the journal does not have, in worker processes."""
    unfinished = [study for study in studies if len(journal.of(study.name)) < levels]
    if not unfinished:
        say(f"\nexact surfaces: all rows found in {journal.path}; nothing to solve")
        return
    # workers see plain arrays: a source may hold what does not travel between processes
    bare = {study.name: dataclasses.replace(study.grid, grid=None) for study in unfinished}
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
