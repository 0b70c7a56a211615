"""Command line: `cdp-toy reproduce` and `cdp-toy solve`."""

from __future__ import annotations

import json
import math
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer

from cdp_toy import __version__
from cdp_toy.errors import CDPError

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
  cdp-toy solve --preset paper-toy --n 101 -D 0.70 -P 0.002
  cdp-toy solve --preset binary-conflict -D 0.3 -P 0.01 --json

Exit codes: 0 done, 1 no channel meets the levels (proven), 2 the request was refused.""",
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
    n: Annotated[int, typer.Option(help="Cells per axis of the exact grids.")] = 101,
    levels: Annotated[int, typer.Option(min=2, help="Perception levels of each exact surface.")] = 9,
    points: Annotated[int, typer.Option(min=1, help="Points of each perception level.")] = 9,
    workers: Annotated[int, typer.Option(min=1, help="Processes that solve.")] = 2,
    fresh: Annotated[bool, typer.Option("--fresh", help="Solve again instead of drawing from the cache.")] = False,
) -> None:
    """Reproduce the paper's Figures 1 and 2, and draw the exact surface over all channels beside the linear family.

    Example: cdp-toy reproduce --out results

    Solved rows are kept in OUT/rows.jsonl as they come: an interrupted run goes on where it stopped, and a second run
    only draws.
    """
    from cdp_toy.reproduce import reproduce

    reproduce(out, n=n, levels=levels, points=points, workers=workers, fresh=fresh, say=typer.echo)


@app.command("solve")
def solve_command(
    preset: Annotated[str, typer.Option(help="paper-toy, paper-toy-threshold-0, three-classes or binary-conflict.")],
    n: Annotated[int | None, typer.Option(help="Cells per axis (continuous presets only).")] = None,
    max_distortion: Annotated[float, typer.Option("-D", "--max-distortion", help="Distortion level.")] = math.inf,
    max_perception: Annotated[float, typer.Option("-P", "--max-perception", help="Perception level.")] = math.inf,
    kind: Annotated[str, typer.Option(help="Grid: cells (bounds the continuous problem) or points.")] = "cells",
    tol: Annotated[float, typer.Option(help="Absolute certified gap to aim for.")] = 1e-8,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Solve one point C(D, P) exactly over all channels, with a lower and an upper bound.

    Example: cdp-toy solve --preset paper-toy --n 101 -D 0.70 -P 0.002
    """
    from cdp_toy import presets, solve
    from cdp_toy.point import Status

    problem = presets.from_name(preset)
    grid = problem.discretize(n=n, kind=kind)  # type: ignore[arg-type]  # refused there when unknown
    solution = solve(
        grid, max_distortion=max_distortion, max_perception=max_perception, tol=tol, on_infeasible="return"
    )
    if as_json:
        typer.echo(json.dumps(_record(solution, preset, n), indent=2))
    else:
        typer.echo(solution.summary())
    if solution.status is Status.INFEASIBLE:
        raise typer.Exit(1)


def _record(solution: object, preset: str, n: int | None) -> dict[str, object]:
    """Plain JSON of a point: numbers that are not finite become null or the word inf."""
    bounds = ("lower_bound", "upper_bound", "gap")
    levels = ("max_distortion", "max_perception", "price_distortion", "price_perception")
    fields = (*bounds, "error_rate", "distortion", "perception", *levels)
    numbers = {name: _json_number(float(getattr(solution, name))) for name in fields}
    words = {name: str(getattr(solution, name)) for name in ("status", "scope", "solver", "note")}
    return {"preset": preset, "n": n, **words, **numbers, "version": __version__}


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
