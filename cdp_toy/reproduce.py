"""The main job: the paper's toy figures from closed forms, and the exact surface over all channels beside them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from tqdm.auto import tqdm

from cdp_toy import __version__, presets, theorems
from cdp_toy.finite import DiscreteProblem
from cdp_toy.linear import LinearDenoiserFamily, linear_denoiser
from cdp_toy.point import Point, Status
from cdp_toy.published import compare
from cdp_toy.scan import Journal, Row, all_points, distortion_fractions, perception_levels, scan_row
from cdp_toy.summaries import table_text, write_csv

if TYPE_CHECKING:
    from cdp_toy.figures import ExactSurface

__all__ = ["reproduce"]

#: Perception levels of the scan [nats]: below 5e-4 the strip between D_min and saturation is as before, only steeper;
#: .4 is where the paper's axis ends.
LEAST_PERCEPTION, MOST_PERCEPTION = 5e-4, 0.4

#: Certified gap the scan aims for. The toy's surface is 2e-3 tall: 1e-7 is invisible and five digits of it are proven.
SCAN_TOL = 1e-7

THRESHOLDS: dict[str, float | None] = {"Bayes threshold for X": None, "threshold 0": 0.0}


def reproduce(
    out: Path,
    n: int = 101,
    levels: int = 9,
    points: int = 9,
    workers: int = 2,
    fresh: bool = False,
    say: Callable[[str], None] = print,
) -> list[Path]:
    """Reproduce the paper's toy figures and put the exact surface beside them.

    Parameters
    ----------
    out : Path
        Directory for figures, tables and the cache `rows.jsonl`; made when missing.
    n : int
        Cells per axis of the exact grids.
    levels, points : int
        Perception levels of each exact surface, and points of each level.
    workers : int
        Processes that solve rows of the surface.
    fresh : bool
        Forget cached rows.
    say : callable
        Where text goes.

    Returns
    -------
    list of Path
        Files written.

    Raises
    ------
    InputError
        When a grid cannot be built from `n`.
    """
    out.mkdir(parents=True, exist_ok=True)
    grids = {name: presets.paper_toy(t).discretize(n=n) for name, t in THRESHOLDS.items()}
    families = {name: linear_denoiser(presets.paper_toy(t)) for name, t in THRESHOLDS.items()}
    written = _paper_figures(out, families["Bayes threshold for X"], say)

    settings = {"version": __version__, "n": n, "levels": levels, "points": points, "tol": SCAN_TOL}
    if fresh:
        (out / "rows.jsonl").unlink(missing_ok=True)
    journal = Journal(out / "rows.jsonl", settings)
    try:
        _scan(grids, journal, levels, points, workers, say)
    finally:  # whatever ends the scan, what is known is tabulated
        written += _tables(out, journal, families, say)
    written += _surface_figure(out, grids, families, journal, n)
    say("\nfiles: " + ", ".join(str(p) for p in written))
    return written


def _paper_figures(out: Path, family: LinearDenoiserFamily, say: Callable[[str], None]) -> list[Path]:
    from cdp_toy import figures

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
    grids: dict[str, DiscreteProblem],
    journal: Journal,
    levels: int,
    points: int,
    workers: int,
    say: Callable[[str], None],
) -> None:
    """Solve the rows that the journal does not have, in worker processes."""
    wanted: list[tuple[str, float]] = []
    for name, grid in grids.items():
        known = [row.max_perception for row in journal.of(name)]
        if len(known) < levels:
            wanted += [
                (name, p) for p in perception_levels(grid, levels, LEAST_PERCEPTION, MOST_PERCEPTION) if p not in known
            ]
    if not wanted:
        say(f"\nexact surfaces: all rows found in {journal.path}; nothing to solve")
        return
    say(f"\nexact surfaces over all channels: {len(wanted)} rows of {points} certified points")
    fractions = distortion_fractions(points)
    with (
        tqdm(total=len(wanted) * points, unit="point", mininterval=0.5) as bar,
        _single_threaded_children(),
        ProcessPoolExecutor(max_workers=workers) as pool,
    ):
        futures = {pool.submit(scan_row, grids[name], p, fractions, SCAN_TOL): name for name, p in wanted}
        for future in as_completed(futures):
            row = future.result()
            journal.add(futures[future], row)
            bar.update(points)
            bar.set_postfix_str(f"widest gap of last row {max(p.gap for p in row.points):.0e}")


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Let worker processes start with one BLAS thread each, so that they do not fight for the cores."""
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


def _tables(
    out: Path, journal: Journal, families: dict[str, LinearDenoiserFamily], say: Callable[[str], None]
) -> list[Path]:
    """Points of the exact surfaces, and the verdicts, on the terminal and as CSV."""
    header = ["P", "D", "lower_bound", "upper_bound", "gap", "linear_family", "left_on_table", "price_D", "price_P"]
    all_rows: list[list[object]] = []
    verdicts: list[list[object]] = []
    for name, family in families.items():
        rows = journal.of(name)
        shown = [_point_line(p, family) for row in rows for p in row.points]
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
        d, p = np.linspace(0.667, 0.75, 15), np.linspace(0.0065, 0.4, 15)
        checks = (theorems.family_non_increasing, theorems.family_convex)
        verdicts += [
            [name, "linear family", *_verdict_line(check(family.best_error_rate, d, p, 1e-11))] for check in checks
        ]
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


def _point_line(point: Point, family: LinearDenoiserFamily) -> list[object]:
    linear = float(family.best_error_rate(point.max_distortion, point.max_perception))
    return [
        point.max_perception,
        point.max_distortion,
        point.lower_bound,
        point.upper_bound,
        f"{point.gap:.0e}",
        linear,
        linear - point.upper_bound,
        point.price_distortion,
        point.price_perception,
    ]


def _verdict_line(verdict: theorems.Verdict) -> list[object]:
    places = " ; ".join(f"({d:.5g}, {p:.4g})" for d, p in verdict.witness)
    return [verdict.claim, "yes" if verdict.holds else "NO", verdict.margin, f"{verdict.uncertainty:.0e}", places]


def _surface_figure(
    out: Path,
    grids: dict[str, DiscreteProblem],
    families: dict[str, LinearDenoiserFamily],
    journal: Journal,
    n: int,
) -> list[Path]:
    from cdp_toy import figures

    surfaces: list[ExactSurface] = [
        figures.ExactSurface(name, journal.of(name), grid.error_floor, families[name]) for name, grid in grids.items()
    ]
    return figures.save(figures.figure_3(surfaces, n), out, "figure3_exact_surface")
