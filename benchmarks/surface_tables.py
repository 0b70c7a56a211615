"""The page's section about surfaces."""

from __future__ import annotations

import math
import textwrap
from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import Any

from benchmarks.campaign import COMPILED, HEADLINE_PEER
from benchmarks.tables import markdown, seconds_text

__all__ = ["extrapolated", "surfaces_page"]

#: Columns about a surface with a uniform gap.
UNIFORM = ("gap aimed for", "solves", "of them curves", "planes", "attained", "time", "widest gap")


def surfaces_page(kept: dict[str, Any]) -> str:
    """Section of the page.

    Parameters
    ----------
    kept : dict
        What `run_surfaces` measured, what `run_plane` did as its entry "plane", or either alone: a part that was
        not measured is left out.
    """
    parts = ["## Surfaces\n"]
    if "settings" in kept:
        parts.append(_line(kept))
    if "plane" in kept:
        parts.append(_plane(kept["plane"]))
    return "\n".join(parts)


def _line(kept: dict[str, Any]) -> str:
    wanted = kept["settings"]
    (d_low, d_high), (p_low, p_high) = wanted["distortion"], wanted["perception"]
    introduction = f"""The toy on {wanted["n"]} cells, D from {d_low:g} to {d_high:g}, P from {p_low:g} to {p_high:g}.
    Every surface is traced once, in a single-threaded process of its own, which traces a small one first."""
    uniform = f"""The gap between the proven bounds at every place of the rectangle with D >= D_min(P) +
    {wanted["margin"]:g}, not only at solved points. Solves include those of D_min(P) and D_flat(P), which the second
    column counts. The last three columns are of another search with the same gap to aim for, on the whole rectangle
    down to D_min(P), the strip included where the surface falls like a root."""
    return f"""{_paragraph(introduction)}

### A lattice of {wanted["side"]} x {wanted["side"]} points

{_lattice(kept["lattice"], wanted)}

### Solves for a uniform gap

{_paragraph(uniform)}

{_solves(kept["sandwiches"])}

### Between the points

{_between(kept["between"], wanted)}

### Memory of a surface

{_memory(kept["memory"], wanted)}
"""


def _plane(kept: dict[str, Any]) -> str:
    wanted, header = kept["settings"], [*UNIFORM, "peak memory"]
    (d_low, d_high), (p_low, p_high) = wanted["distortion"], wanted["perception"]
    n, letters = wanted["n"], wanted["n"] ** 2
    introduction = f"""The toy in the plane on {n} x {n} cells, {letters} observations x {letters} letters, D from
    {d_low:g} to {d_high:g}, P from {p_low:g} to {p_high:g}. Every surface is traced once and serially, in a
    single-threaded process of its own, which traces a small one first; its peak is in the last column. The gap is that
    at every place with D >= D_min(P) + {wanted["margin"]:g}, and the second column counts the solves for D_min(P) and
    D_flat(P)."""
    rows = []
    for row in kept["sandwiches"]:
        clear = row["clear"]
        peak = f"{clear['peak_bytes'] / 1e6:.0f} MB" if clear["ending"] == "done" else "–"
        rows.append([f"{row['tol']:.0e}", *_uniform(clear), peak])
    return f"""### In the plane

{_paragraph(introduction)}

{markdown(header, rows)}

{_between(kept["between"], wanted)}
"""


def extrapolated(seconds: Sequence[float], count: int) -> tuple[float, float]:
    """Time for `count` points from that of a sample, with its standard error.

    >>> extrapolated([1.0, 3.0], 10)
    (20.0, 10.0)
    """
    size = len(seconds)
    mean = sum(seconds) / size
    spread = math.sqrt(sum((s - mean) ** 2 for s in seconds) / (size - 1)) if size > 1 else math.inf
    return count * mean, count * spread / math.sqrt(size)


def _lattice(kept: dict[str, Any], wanted: dict[str, Any]) -> str:
    rows = []
    for label, row in kept["ours"].items():
        told = _counted(row["statuses"]) if row["ending"] == "done" else "–"
        gap = f"{row['gap']:.1e}" if row["ending"] == "done" else "–"
        rows.append([label, _time(row), told, gap, "–"])
    peer, ours = kept["peer"], kept["ours"][COMPILED]
    answers = peer["answers"]
    if answers:
        whole, error = extrapolated([answer["seconds"] for answer in answers], kept["count"])
        ratio = f"{whole / ours['seconds']:.0f}× ± {error / ours['seconds']:.0f}" if ours["ending"] == "done" else "–"
        told = _counted(Counter(answer["status"] for answer in answers))
        rows.append([f"{HEADLINE_PEER}, from {len(answers)} points", seconds_text(whole), told, "–", ratio])
    else:
        rows.append([HEADLINE_PEER, peer["reason"] or peer["ending"], "–", "–", "–"])
    table = markdown(["method", "time", "statuses", "widest certified gap", "ratio to ours"], rows)
    notes = f"""{HEADLINE_PEER}, at its defaults through CVXPY, solves {wanted["sample"]} random points of the lattice,
    infeasible ones among them; {kept["count"]} times their mean is its time. The ratio comes with the standard error of
    that mean."""
    if peer["ending"] != "done" and answers:
        notes += f" It was stopped after {len(answers)} of them ({peer['reason'] or peer['ending']})."
    if peer["error"] is not None:
        notes += f" Its value differs from the certified one by up to {peer['error']:.0e}."
    return f"{table}\n\n{_paragraph(notes)}"


def _paragraph(text: str) -> str:
    return textwrap.fill(" ".join(text.split()), 120)


def _counted(statuses: dict[str, int]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(statuses.items(), key=lambda item: -item[1]))


def _time(row: dict[str, Any]) -> str:
    return seconds_text(row["seconds"]) if row["ending"] == "done" else row["reason"] or row["ending"]


def _solves(rows: Sequence[dict[str, Any]]) -> str:
    header = [*UNIFORM, "with the strip: solves", "time", "widest gap"]
    lines = []
    for row in rows:
        solves, *_, time, gap = _uniform(row["strip"])
        lines.append([f"{row['tol']:.0e}", *_uniform(row["clear"]), solves, time, gap])
    return markdown(header, lines)


def _uniform(row: dict[str, Any]) -> list[str]:
    """Cells below `UNIFORM`, but for the first."""
    if row["ending"] != "done":
        return ["–", "–", "–", "–", _time(row), "–"]
    counts = [f"{row[key]:.0f}" for key in ("solves", "curve_solves", "planes", "attained")]
    return [*counts, _time(row), f"{row['gap']:.1e}"]


def _between(kept: dict[str, Any], wanted: dict[str, Any]) -> str:
    answers = kept["answers"]
    if not answers:
        return f"No surface: {kept['reason'] or kept['ending']}."
    inside = sum(answer["inside"] for answer in answers)
    infeasible = sum(answer["lower"] == math.inf for answer in answers)
    gaps = sorted(a["upper"] - a["lower"] for a in answers if math.isfinite(a["upper"]))
    text = f"""{len(answers)} random levels on the surface of gap {wanted["between_tol"]:.0e}, solved afresh to
{wanted["fresh_tol"]:.0e}: {inside} of {len(answers)} certified intervals meet the one that the surface gave. It proved
{infeasible} of the levels infeasible and left {len(answers) - infeasible - len(gaps)} undecided"""
    text += f"; at the others its gap has median {median(gaps):.1e} and is at most {gaps[-1]:.1e}." if gaps else "."
    if kept["ending"] != "done":
        text += f" It was stopped before the others ({kept['reason'] or kept['ending']})."
    return _paragraph(text)


def _memory(row: dict[str, Any], wanted: dict[str, Any]) -> str:
    what = f"{wanted['memory_n']} cells to a gap of {wanted['between_tol']:.0e}"
    if row["ending"] != "done":
        return f"{what}: {row['reason'] or row['ending']}."
    peak, added = row["peak_bytes"] / 1e6, (row["peak_bytes"] - row["base_bytes"]) / 1e6
    text = f"""{what}: {row["solves"]:.0f} solves in {_time(row)}, peak of the process {peak:.0f} MB, of which the
    surface added {added:.0f}."""
    return _paragraph(text)
