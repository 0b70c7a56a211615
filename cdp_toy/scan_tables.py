"""Tables of the scanned points of the main job, and verdicts on the paper's claims about them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from cdp_toy import theorems
from cdp_toy.point import Point, Status
from cdp_toy.scan import Journal, Row, all_points
from cdp_toy.study import Study
from cdp_toy.summaries import table_text, write_csv

__all__ = ["scan_tables"]


def scan_tables(
    out: Path, journal: Journal, studies: list[Study], tol: float, say: Callable[[str], None]
) -> list[Path]:
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
            say(f"  {done} of {total} points certified to 1e-6 or better; {best} OPTIMAL at {tol:.0e}")
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
