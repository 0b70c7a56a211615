"""Enclosures of the continuous toy: how widths fall with the number of cells, and what rigorous ones take."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import cdp_toy as cdp
from benchmarks.tables import markdown
from cdp_toy.evidence import Evidence
from cdp_toy.solvers.monotone import least_error, monotone_problem
from cdp_toy.verify import verify_file

__all__ = ["enclosures_page", "run_enclosures"]

TOYS = {"threshold of X": None, "threshold 0": 0.0}
#: levels at which both prices are positive, and numbers of cells
LEVELS, SIZES = (0.70, 0.002), (51, 101, 201, 401, 801, 1601)
#: distances above D_min(P), with levels of P and the width to aim for, by toy
MARGINS = (
    ("threshold of X", 5e-3, (0.0005, 0.001, 0.002, 0.004, 0.006), 1e-8),
    ("threshold of X", 5e-4, (0.0005, 0.002, 0.005, 0.01, 0.02), 1e-7),
    ("threshold 0", 5e-3, (0.0005, 0.001, 0.002, 0.004, 0.006), 1e-8),
    ("threshold 0", 5e-4, (0.0005, 0.002, 0.005, 0.01, 0.02), 1e-8),
)


def run_enclosures(say: Callable[[str], None]) -> dict[str, Any]:
    """Measure both tables; plain values."""
    widths, rigorous = [], []
    for name, threshold in TOYS.items():
        toy = cdp.presets.paper_toy(threshold)
        for n in SIZES:
            posed = monotone_problem(toy, n)
            evidence = Evidence(posed, "error_rate", least_error(posed, *LEVELS), *LEVELS)
            widths.append({"toy": name, "n": n, "lower": evidence.bound.value, "upper": evidence.upper})
            say(f"{name}, n = {n}: width {evidence.upper - evidence.bound.value:.1e}")
    for name, margin, levels, tol in MARGINS:
        toy = cdp.presets.paper_toy(TOYS[name])
        for level in levels:
            limit = round(cdp.enclose_min_distortion(toy, level, tol=1e-7).upper + margin, 7)
            rigorous.append(
                {"toy": name, "margin": margin, "P": level, "D": limit, **_rigorous(toy, limit, level, tol)}
            )
            say(f"{name}, D_min({level:g}) + {margin:g}: {rigorous[-1]}")
    return {"widths": widths, "rigorous": rigorous}


def _rigorous(toy: cdp.CDPProblem, limit: float, level: float, tol: float) -> dict[str, Any]:
    start = time.perf_counter()
    point = cdp.enclose(toy, limit, level, tol=tol, rigorous=True)
    enclosed = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as folder:
        path = point.save(Path(folder) / "point.json")
        size, start = path.stat().st_size, time.perf_counter()
        verdict = verify_file(path).verdict
        verified = time.perf_counter() - start
    return {
        "width": point.gap,
        "price": point.price_distortion,
        "width_distortion": point.width_distortion,
        "cells": point.n_cells,
        "enclose_seconds": enclosed,
        "verify_seconds": verified,
        "verdict": verdict,
        "bytes": size,
    }


def enclosures_page(kept: dict[str, Any]) -> str:
    """Section of the page."""
    widths = [_convergence(name, [row for row in kept["widths"] if row["toy"] == name]) for name in TOYS]
    rigorous = markdown(
        ["toy", "P", "D - D_min(P)", "price of D", "width in C", "width in D", "cells", "enclose", "verify", "verdict"],
        [
            [
                row["toy"],
                f"{row['P']:g}",
                f"{row['margin']:g}",
                f"{row['price']:.3g}",
                f"{row['width']:.1e}",
                f"{row['width_distortion']:.1e}",
                str(row["cells"]),
                f"{row['enclose_seconds']:.1f} s",
                f"{row['verify_seconds']:.1f} s",
                row["verdict"],
            ]
            for row in kept["rigorous"]
        ],
    )
    d, p = LEVELS
    return f"""## Enclosures of the continuous toy

Width of the interval that one map and its prices on n cells prove of the continuous C({d:g}, {p:g}); order is the power
of 1/n that it fell with.

{chr(10).join(widths)}
Rigorous enclosures (`enclose(..., rigorous=True)`, one process): the interval is derived in ball arithmetic, written
to a certificate, and derived again from the file by `cdp-toy verify`.

{rigorous}
"""


def _convergence(name: str, rows: Sequence[dict[str, Any]]) -> str:
    widths = [row["upper"] - row["lower"] for row in rows]
    orders = [
        f"{math.log(a / b) / math.log(there['n'] / here['n']):.2f}"
        for (a, b), (here, there) in zip(pairwise(widths), pairwise(rows), strict=True)
    ]
    lines = [
        [str(row["n"]), f"{row['lower']:.10f}", f"{row['upper']:.10f}", f"{width:.1e}", order]
        for row, width, order in zip(rows, widths, ["–", *orders], strict=True)
    ]
    return f"{name}:\n\n" + markdown(["n", "lower end", "upper end", "width", "order"], lines) + "\n"
