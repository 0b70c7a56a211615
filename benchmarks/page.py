"""The page about speed and accuracy, and its short version for the README."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.enclosures import enclosures_page
from benchmarks.growth import warm_growth
from benchmarks.measurements import CaseResult
from benchmarks.random_run import Trial
from benchmarks.random_tables import random_page
from benchmarks.surface_tables import surfaces_page
from benchmarks.tables import accuracy_table, headline_table, markdown, memory_table, ratio_table, time_table

__all__ = ["page", "readme_section", "replace_section"]

START, END = "<!-- benchmark:start -->", "<!-- benchmark:end -->"

INTRODUCTION = """# Benchmarks

The same finite problems by `cdp_toy` and by general solvers behind CVXPY, one after the other on one machine. Every
solve has a process of its own with single-threaded libraries; that process imports, discretizes and does a small
unrelated solve first.

- **cold**: the first solve of a point, the fastest of up to three. For ours it includes whatever `solve` does, the
  search for D_min(P) among it. A peer's time is building the CVXPY model and solving it; what the solver counts for
  itself stands in brackets.
- **warm**: a neighbour, D - D_min and P changed by 5 %, started from the point's own solution. Peers start anew for
  every point, so that their cold time is the comparison.
- **Levels**: D = D_min(P) + 0.003, D_min that of the grid itself.
- **Tolerance**: ours, a certified absolute gap of 1e-8 on the line and 1e-7 in the plane. Peers at their defaults, and
  with tight tolerances on small grids. They are posed plainly: the joint law is the variable, perception is written in
  q / p_X.
- **error**: the value a solver claims, minus the middle of the certified bracket. **excess**: how far its channel
  exceeds D and P, after negative entries were clipped and rows normalised; 0 is what was asked for.
- A solve that takes longer than the limit is shown as "> limit". A method that was stopped at one size is not run on
  larger ones, nor where it would need more than half of the memory.
"""


def page(
    results: Sequence[CaseResult],
    trials: Sequence[Trial],
    facts: dict[str, str],
    commands: Sequence[str],
    enclosures: dict[str, Any] | None = None,
    surfaces: dict[str, Any] | None = None,
) -> str:
    """Whole page in Markdown.

    Parameters
    ----------
    results : sequence of CaseResult
    trials : sequence of Trial
        Either may be empty: its sections are left out.
    facts : dict
        Facts about the machine.
    commands : sequence of str
        What was run.
    enclosures : dict, optional
        What `run_enclosures` measured.
    surfaces : dict, optional
        What `run_surfaces` measured, what `run_plane` did as its entry "plane", or either alone.
    """
    parts = [INTRODUCTION, _machine(facts, commands)]
    for dim, title in ((1, "On the line"), (2, "In the plane")):
        mine = [result for result in results if result.case.dim == dim]
        if mine:
            parts.append(_section(title, mine))
    growth = warm_growth(results)
    if growth:
        parts.append("## Growth of warm solves\n\n" + "\n".join(f"- {fit}" for fit in growth) + "\n")
    if results:
        memory = memory_table(results)
        parts.append(
            f"## Memory\n\nPeak of the process [MB], in brackets what the first timed solve added.\n\n{memory}\n"
        )
    if trials:
        parts.append(random_page(trials))
    if enclosures:
        parts.append(enclosures_page(enclosures))
    if surfaces:
        parts.append(surfaces_page(surfaces))
    return "\n".join(parts)


def _machine(facts: dict[str, str], commands: Sequence[str]) -> str:
    table = markdown(["machine", ""], [[key, value] for key, value in facts.items()])
    return f"{table}\n\n```bash\n" + "\n".join(commands) + "\n```\n"


def _section(title: str, results: Sequence[CaseResult]) -> str:
    return f"""## {title}

Times.

{time_table(results)}

Ratios to ours, cold / warm.

{ratio_table(results)}

Accuracy: error; excess of D, of P; status claimed.

{accuracy_table(results)}
"""


def readme_section(results: Sequence[CaseResult], facts: dict[str, str]) -> str:
    """Short table with the machine in one line, for between the markers of the README."""
    machine = f"{facts['CPU']}, one thread; CVXPY {facts['cvxpy']}, Clarabel {facts['clarabel']} at its defaults"
    return (
        f"{headline_table(results)}\n\nEvery row from one run ({machine}). Errors are against the certified value; "
        "excesses are what the returned channel takes beyond the levels it was given. [All tables](docs/benchmarks.md)."
    )


def replace_section(readme: Path, text: str) -> bool:
    """Put text between the markers of a file; False where there are none."""
    old = readme.read_text("utf-8")
    marked = re.compile(f"{re.escape(START)}.*?{re.escape(END)}", flags=re.DOTALL)
    if not marked.search(old):
        return False
    readme.write_text(marked.sub(lambda _: f"{START}\n{text}\n{END}", old), "utf-8")
    return True
