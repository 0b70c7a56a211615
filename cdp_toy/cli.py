"""Command line: `cdp-toy reproduce`, `show`, `solve`, `enclose`, `trace`, `plot`, `presets` and `verify`."""

from __future__ import annotations

import inspect
import json
import math
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cdp_toy import __version__
from cdp_toy.cli_options import count_of, problem_of
from cdp_toy.cli_surfaces import plot_command, trace_command
from cdp_toy.errors import CDPError, InputError

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="""The classification-distortion-perception tradeoff of small sources, exactly and with proof.


Examples:
  cdp-toy reproduce
  cdp-toy reproduce --out results --n 51
  cdp-toy reproduce --toy 2d --out results_2d
  cdp-toy show plane-toy
  cdp-toy solve --preset paper-toy --n 101 -D 0.70 -P 0.002
  cdp-toy solve --preset binary-conflict -D 0.3 -P 0.01 --json
  cdp-toy enclose --preset paper-toy -D 0.70 -P 0.002
  cdp-toy trace toy.nc --preset paper-toy --n 101 -D 0.66,0.71 -P 0.002,0.02 --margin 1e-3
  cdp-toy plot toy.nc --kind 3d
  cdp-toy presets
  cdp-toy presets plane-toy --out my_toy.toml
  cdp-toy solve --problem my_toy.toml --n 12,10 -D 2.5 -P 0.05
  cdp-toy verify enclosure.json

Exit codes: 0 done, 1 no channel meets the levels (proven), 2 the request was refused. Those of verify: 0 all files
are proven, 1 one is refuted, 2 one cannot be decided.""",
)


def _version(show: bool) -> None:
    if show:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options before the command."""


@app.command("reproduce")
def reproduce_command(
    out: Annotated[Path, typer.Option(help="Directory for figures, tables and the cache.")] = Path("cdp_toy_results"),
    n: Annotated[
        str | None, typer.Option(help="Cells per axis of the exact grids; 101 on the line, 9 in the plane.")
    ] = None,
    levels: Annotated[int, typer.Option(min=2, help="Perception levels of each exact surface.")] = 9,
    points: Annotated[int, typer.Option(min=1, help="Points of each perception level.")] = 9,
    workers: Annotated[int, typer.Option(min=1, help="Processes that solve.")] = 2,
    fresh: Annotated[bool, typer.Option("--fresh", help="Solve again instead of drawing from the cache.")] = False,
    toy: Annotated[
        str | None, typer.Option(help="1d, the paper's toy (the default), or 2d, the toy in the plane.")
    ] = None,
    problem: Annotated[Path | None, typer.Option(help="A problem file in TOML instead of a toy.")] = None,
    kind: Annotated[str, typer.Option(help="Grid of a problem file: cells or points.")] = "cells",
    rigorous: Annotated[
        bool, typer.Option("--rigorous", help="Enclose the continuous toy in ball arithmetic, with certificates.")
    ] = False,
    gap: Annotated[
        float | None,
        typer.Option(help="Gap of the whole surfaces at every place; 1e-6 for the paper's toy. 0 leaves them out."),
    ] = None,
    continuous: Annotated[
        bool, typer.Option("--continuous", help="Trace the surfaces of the continuous toy too, to 1e-5: many minutes.")
    ] = False,
) -> None:
    """Reproduce the paper's Figures 1 and 2, and draw the exact surface over all channels beside the linear family.

    Plateaus and corners of Figure 2 are also enclosed for the continuous toy, over all channels; with --rigorous the
    intervals come with certificates in OUT/certificates, which are verified.

    With --toy 2d or --problem FILE the like for another problem: its picture, the exact surface, and in the plane the
    laws as images and the channel as arrows.

    Example: cdp-toy reproduce --out results

    Example: cdp-toy reproduce --problem my_toy.toml --n 51 --out my_results

    Solved rows are kept in OUT/rows.jsonl as they come: an interrupted run goes on where it stopped, and a second run
    only draws.
    """
    from cdp_toy.reproduce import reproduce

    if toy is not None and problem is not None:
        raise InputError("give at most one of --toy and --problem")
    reproduce(
        out,
        n=count_of(n, "--n"),
        levels=levels,
        points=points,
        workers=workers,
        fresh=fresh,
        say=typer.echo,
        toy=toy or "1d",
        problem=None if problem is None else problem_of(None, problem),
        kind=kind,  # type: ignore[arg-type]  # checked there
        rigorous=rigorous,
        gap=gap,
        continuous=continuous,
    )


@app.command("show")
def show_command(
    problem: Annotated[str, typer.Argument(help="A preset's name or a problem file in TOML.")],
    out: Annotated[Path | None, typer.Option(help="PNG or PDF to write; NAME.png here when left out.")] = None,
    n: Annotated[str | None, typer.Option(help="Cells per axis; 201 on the line, 41 in the plane.")] = None,
) -> None:
    """Draw a problem: source by class, classifier, observation, and the posterior.

    Example: cdp-toy show plane-toy

    Example: cdp-toy show my_toy.toml --out my_toy.pdf
    """
    from cdp_toy.presets import PRESETS
    from cdp_toy.study import portrait_grid

    is_file = problem not in PRESETS and (problem.endswith(".toml") or Path(problem).exists())
    model = problem_of(None, Path(problem)) if is_file else problem_of(problem, None)
    grid = portrait_grid(model, count_of(n, "--n"))
    from cdp_toy import figures

    target = Path(f"{Path(problem).stem}.png") if out is None else out
    figures.save_as(figures.figure_problem(model, grid), target)
    typer.echo(f"wrote {target}")


@app.command("solve")
def solve_command(
    preset: Annotated[str | None, typer.Option(help="A ready problem; `cdp-toy presets` lists them.")] = None,
    problem: Annotated[
        Path | None, typer.Option(help="A problem file in TOML; `cdp-toy presets NAME --out FILE` writes one.")
    ] = None,
    n: Annotated[
        str | None, typer.Option(help="Cells per axis, such as 101, in the plane also 8,10 (no tables of letters).")
    ] = None,
    n_y: Annotated[str | None, typer.Option(help="The same for the observation Y; as --n when left out.")] = None,
    max_distortion: Annotated[float, typer.Option("-D", "--max-distortion", help="Distortion level.")] = math.inf,
    max_perception: Annotated[float, typer.Option("-P", "--max-perception", help="Perception level.")] = math.inf,
    kind: Annotated[str, typer.Option(help="Grid: cells (bounds the continuous problem) or points.")] = "cells",
    tol: Annotated[float, typer.Option(help="Absolute certified gap to aim for.")] = 1e-8,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Solve one point C(D, P) exactly over all channels, with a lower and an upper bound.

    Give one of --preset and --problem.

    Example: cdp-toy solve --preset paper-toy --n 101 -D 0.70 -P 0.002

    Example: cdp-toy solve --problem my_toy.toml --n 12,10 --n-y 9 -D 2.5 -P 0.05
    """
    from cdp_toy import solve
    from cdp_toy.point import Status

    cells, cells_y = count_of(n, "--n"), count_of(n_y, "--n-y")
    grid = problem_of(preset, problem).discretize(n=cells, n_y=cells_y, kind=kind)  # type: ignore[arg-type]  # checked there
    solution = solve(
        grid, max_distortion=max_distortion, max_perception=max_perception, tol=tol, on_infeasible="return"
    )
    if as_json:
        asked: dict[str, object] = {
            "preset": preset,
            "problem": None if problem is None else str(problem),
            "n": cells,
            "n_y": cells_y,
        }
        typer.echo(json.dumps(_record(solution, asked), indent=2))
    else:
        typer.echo(solution.summary())
    if solution.status is Status.INFEASIBLE:
        raise typer.Exit(1)


@app.command("enclose")
def enclose_command(
    preset: Annotated[str | None, typer.Option(help="A ready problem; `cdp-toy presets` lists them.")] = None,
    problem: Annotated[Path | None, typer.Option(help="A problem file in TOML.")] = None,
    max_distortion: Annotated[float, typer.Option("-D", "--max-distortion", help="Distortion level.")] = math.inf,
    max_perception: Annotated[float, typer.Option("-P", "--max-perception", help="Perception level.")] = math.inf,
    tol: Annotated[float, typer.Option(help="Width of the interval to aim for.")] = 1e-8,
    rigorous: Annotated[bool, typer.Option("--rigorous", help="Evaluate both ends in ball arithmetic.")] = False,
    out: Annotated[Path | None, typer.Option(help="Write the certificate here (implies --rigorous).")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Enclose C(D, P) of the continuous problem over all channels: a proven interval, not a grid's value.

    Give one of --preset and --problem.

    Example: cdp-toy enclose --preset paper-toy -D 0.70 -P 0.002

    Example: cdp-toy enclose --preset paper-toy -D 0.70 -P 0.002 --out point.json && cdp-toy verify point.json
    """
    from cdp_toy import enclose
    from cdp_toy.point import Status

    point = enclose(
        problem_of(preset, problem),
        max_distortion,
        max_perception,
        tol=tol,
        rigorous=rigorous or out is not None,
        on_infeasible="return",
    )
    if as_json:
        asked: dict[str, object] = {"preset": preset, "problem": None if problem is None else str(problem)}
        extra = {"width_distortion": _json_number(point.width_distortion), "n_cells": point.n_cells}
        typer.echo(json.dumps({**_record(point, asked), **extra}, indent=2))
    else:
        typer.echo(point.summary())
    if out is not None:
        typer.echo(f"wrote {point.save(out)}", err=as_json)
    if point.status is Status.INFEASIBLE:
        raise typer.Exit(1)


app.command("trace")(trace_command)
app.command("plot")(plot_command)


@app.command("presets")
def presets_command(
    name: Annotated[str | None, typer.Argument(help="A preset to print as a problem file.")] = None,
    out: Annotated[Path | None, typer.Option(help="Write the problem file here; a file that exists is kept.")] = None,
) -> None:
    """List the ready problems, or print one as a problem file to start from.

    Example: cdp-toy presets

    Example: cdp-toy presets paper-toy --out my_toy.toml
    """
    from cdp_toy.presets import PRESETS, from_name
    from cdp_toy.problem_files import problem_to_toml, save_problem

    if name is None and out is not None:
        raise InputError("presets --out needs the name of a preset: cdp-toy presets paper-toy --out my_toy.toml")
    if name is None:
        places = {1: "line", 2: "plane", None: "letters"}
        typer.echo(f"{'preset':24}{'X':10}{'classes':9}")
        for key, preset in PRESETS.items():
            source = preset().source
            description = (inspect.getdoc(preset) or "").partition("\n")[0]
            typer.echo(f"{key:24}{places.get(source.dim, source.dim):10}{source.n_classes:<9}{description}")
    elif out is None:
        typer.echo(problem_to_toml(from_name(name)), nl=False)
    else:
        preset_problem = from_name(name)
        if out.exists():
            raise InputError(f"{out} exists and is kept; choose another name, or remove it first")
        save_problem(preset_problem, out)
        typer.echo(f"wrote {out}; solve it with: cdp-toy solve --problem {out}")


@app.command("verify")
def verify_command(
    files: Annotated[list[str], typer.Argument(metavar="FILE", help="Certificates of enclosures, in JSON.")],
) -> None:
    """Prove the claims of certificates again, in ball arithmetic, with nothing of the solvers that made them.

    One line per file: VERIFIED with what is proven, REFUTED or CANNOT DECIDE with the reason. Exit code 1 if any file
    is refuted, else 2 if any cannot be decided, else 0.

    Example: cdp-toy verify enclosure.json
    """
    from cdp_toy.verify import main as verify_files

    raise typer.Exit(verify_files(files))


def _record(point: object, asked: dict[str, object]) -> dict[str, object]:
    """Plain JSON of a point: numbers that are not finite become null or the word inf."""
    bounds = ("lower_bound", "upper_bound", "gap")
    levels = ("max_distortion", "max_perception", "price_distortion", "price_perception")
    fields = (*bounds, "error_rate", "distortion", "perception", *levels)
    numbers = {name: _json_number(float(getattr(point, name))) for name in fields}
    named = ("status", "scope", "solver", "note")
    words = {name: str(getattr(point, name)) for name in named if hasattr(point, name)}
    return {**asked, **words, **numbers, "version": __version__}


def _json_number(value: float) -> float | str | None:
    if math.isnan(value):
        return None
    return value if math.isfinite(value) else ("inf" if value > 0 else "-inf")


def main() -> None:
    """Entry point: one line on standard error and exit code 2 for whatever the user can mend."""
    try:
        code = app(["--help"] if len(sys.argv) == 1 else None, standalone_mode=False)
    except CDPError as error:
        _refuse(str(error))
    except OSError as error:
        _refuse(f"{error.strerror or error}: {error.filename}")
    except (KeyboardInterrupt, typer.Abort):
        _refuse("interrupted; what was finished is kept")
    except Exception as error:
        # usage errors of the command-line parser carry their text in format_message; anything else is our bug
        if not hasattr(error, "format_message"):
            raise
        _refuse(f"{error.format_message()} (see cdp-toy --help)")
    else:
        sys.exit(code if isinstance(code, int) else 0)


def _refuse(message: str) -> NoReturn:
    typer.echo(f"cdp-toy: {' '.join(message.split())}", err=True)
    sys.exit(2)


if __name__ == "__main__":
    main()
