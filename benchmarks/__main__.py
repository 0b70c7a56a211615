"""`python -m benchmarks`: measure, keep the raw results, write the page."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from benchmarks.campaign import measure
from benchmarks.cases import Case, all_cases, quick_cases
from benchmarks.enclosures import run_enclosures
from benchmarks.growth import warm_growth
from benchmarks.machine import machine_facts
from benchmarks.measurements import CaseResult
from benchmarks.page import page, readme_section, replace_section
from benchmarks.random_run import Settings, Trial, run_random
from benchmarks.storage import load, store
from benchmarks.surfaces import PLANE, QUICK, QUICK_PLANE, Surfaces, run_plane, run_surfaces

ROOT = Path(__file__).parents[1]

#: Random problems of a quick run.
QUICK_COUNT = 100


app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)


@app.command()
def run(
    quick: Annotated[bool, typer.Option("--quick", help="Small sizes and few random problems: some minutes.")] = False,
    only: Annotated[
        Literal["solvers", "random", "enclosures", "surfaces", "plane-surfaces"] | None,
        typer.Option(help="One part instead of all; plane-surfaces are those of surfaces that are in the plane."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Directory for raw results and the page.")] = ROOT
    / "benchmarks"
    / "results",
    match: Annotated[str, typer.Option(help="Only timed problems whose name contains this, such as plane.")] = "",
    timeout: Annotated[float, typer.Option(help="Longest time for one timed solve [s].")] = 120.0,
    count: Annotated[int | None, typer.Option(min=1, help="Random problems; 2000, or 100 with --quick.")] = None,
    first: Annotated[int, typer.Option(min=0, help="Index of the first random problem.")] = 0,
    perception: Annotated[str | None, typer.Option(help="Perception of all random problems, instead of any.")] = None,
    reference_entries: Annotated[int, typer.Option(help="Largest channel the reference judges as well.")] = 900,
    workers: Annotated[int, typer.Option(min=1, help="Processes for random problems; timed ones run alone.")] = 2,
    between: Annotated[
        int | None, typer.Option(min=1, help="Random levels on a surface to solve afresh; 100, or 20 with --quick.")
    ] = None,
    between_plane: Annotated[
        int | None, typer.Option(min=1, help="The same for a surface in the plane; 60, or 10 with --quick.")
    ] = None,
    docs: Annotated[bool, typer.Option("--docs", help="Write docs/benchmarks.md and the README's table too.")] = False,
    write_only: Annotated[
        bool, typer.Option("--write-only", help="Write pages from kept results; run nothing.")
    ] = False,
) -> None:
    """Time cdp_toy against general solvers, let random problems be judged by two of its own, enclose the toy, trace it.

    Raw results are kept in OUT/solvers.json, OUT/random.json, OUT/enclosures.json and OUT/surfaces.json, and each part
    of the page comes from the latest of them: parts may be run one at a time.
    """
    if not write_only and only in (None, "solvers"):
        cases = [case for case in (quick_cases() if quick else all_cases()) if match in case.series]
        _time(cases, timeout, out, _command(quick, "solvers", timeout=timeout, match=match))
    if not write_only and only in (None, "random"):
        settings = Settings(
            count or (QUICK_COUNT if quick else Settings.count),
            first,
            workers,
            reference_entries,
            perception=perception,
        )
        command = _command(False, "random", count=settings.count, first=first, perception=perception)
        trials = run_random(settings)
        kept = {"command": command, "machine": machine_facts(), "trials": [t.record() for t in trials]}
        store(out / "random.json", kept)
    if not write_only and only in (None, "enclosures"):
        found = run_enclosures(typer.echo)
        store(out / "enclosures.json", {"command": _command(False, "enclosures"), "machine": machine_facts(), **found})
    if not write_only and only in (None, "surfaces"):
        wanted = QUICK if quick else Surfaces()
        wanted = wanted if between is None else dataclasses.replace(wanted, between=between)
        command = _command(quick, "surfaces", timeout=timeout, between=between, between_plane=between_plane)
        measured = run_surfaces(wanted, timeout, typer.echo)
        _add(out / "surfaces.json", {"command": command, "machine": machine_facts(), **measured})
    if not write_only and only in (None, "surfaces", "plane-surfaces"):
        where = QUICK_PLANE if quick else PLANE
        where = where if between_plane is None else dataclasses.replace(where, between=between_plane)
        if only == "plane-surfaces":
            command = _command(quick, only, timeout=timeout, between_plane=between_plane)
        measured = run_plane(where, timeout, typer.echo)
        _add(out / "surfaces.json", {"plane": {"command": command, "machine": machine_facts(), **measured}})
    _write(out, docs)


def _command(quick: bool, only: str, **options: Any) -> str:
    """Command that repeats a part, without directories."""
    given = {f"--{key.replace('_', '-')}": value for key, value in options.items() if value}
    words = [f"{key} {value!r}" if " " in str(value) else f"{key} {value}" for key, value in given.items()]
    return " ".join(["python -m benchmarks", *(["--quick"] if quick else []), f"--only {only}", *words])


def _add(path: Path, measured: dict[str, Any]) -> None:
    """Keep what was measured, and of earlier results what was not."""
    store(path, (load(path) or {}) | measured)


def _time(cases: list[Case], timeout: float, out: Path, command: str) -> None:
    """Measure cases, keeping earlier results of other cases."""
    path = out / "solvers.json"
    earlier = load(path) or {"commands": [], "results": []}
    results = {str(r["case"]): r for r in earlier["results"]}
    commands = list(dict.fromkeys([*earlier["commands"], command]))

    def keep(result: CaseResult) -> None:
        record = result.record()
        results[str(record["case"])] = record
        order = {str(case.record()): k for k, case in enumerate(all_cases())}
        ordered = sorted(results.values(), key=lambda r: order.get(str(r["case"]), len(order)))
        store(path, {"commands": commands, "machine": machine_facts(), "results": ordered})

    measure(cases, timeout, typer.echo, keep)


def _write(out: Path, docs: bool) -> None:
    """Write the page, and say how warm times grow."""
    solvers, *others = (load(out / f"{part}.json") for part in ("solvers", "random", "enclosures", "surfaces"))
    random, enclosures, surfaces = others
    results = [CaseResult.from_record(r) for r in solvers["results"]] if solvers else []
    trials = [Trial.from_record(r) for r in random["trials"]] if random else []
    measured = [kept for kept in (*others, (surfaces or {}).get("plane")) if kept and "command" in kept]
    commands = [*(solvers["commands"] if solvers else []), *dict.fromkeys(kept["command"] for kept in measured)]
    facts = next((kept["machine"] for kept in (solvers, *measured) if kept), machine_facts())
    text = page(results, trials, facts, commands, enclosures, surfaces)
    targets = [out / "benchmarks.md", *([ROOT / "docs" / "benchmarks.md"] if docs else [])]
    for target in targets:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        typer.echo(f"wrote {target}")
    if docs and results and not replace_section(ROOT / "README.md", readme_section(results, facts)):
        typer.echo("README.md has no markers for the table; it was left alone")
    for fit in warm_growth(results):
        typer.echo(str(fit))
    if trials:
        typer.echo(f"random: {len(trials)} problems, {sum(t.disagree for t in trials)} disagreements")
        troubled = [t.index for t in trials if t.troubled]
        typer.echo(f"to look at: {', '.join(map(str, troubled)) or 'none'}")


if __name__ == "__main__":
    app()
