"""Commands about whole surfaces: `cdp-toy trace` and `cdp-toy plot`."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cdp_toy.cli_options import count_of, numbers_of, problem_of, range_of
from cdp_toy.errors import InputError, unknown_name

if TYPE_CHECKING:
    from cdp_toy.surfaces import Surface

__all__ = ["plot_command", "trace_command"]

PICTURES = ("surface", "3d", "slices", "boundary", "prices", "gap")


def trace_command(
    out: Annotated[Path, typer.Argument(help="netCDF file for the surface, such as toy.nc.")],
    preset: Annotated[str | None, typer.Option(help="A ready problem; `cdp-toy presets` lists them.")] = None,
    problem: Annotated[Path | None, typer.Option(help="A problem file in TOML.")] = None,
    n: Annotated[str | None, typer.Option(help="Cells per axis, such as 201, in the plane also 8,10.")] = None,
    kind: Annotated[str, typer.Option(help="Grid: cells (bounds the continuous problem) or points.")] = "cells",
    distortion: Annotated[
        str | None, typer.Option("-D", "--distortion", help="Range of D, such as 0.65,0.71; found when left out.")
    ] = None,
    perception: Annotated[
        str | None, typer.Option("-P", "--perception", help="Range of P, such as 0.0003,0.03; found when left out.")
    ] = None,
    tol: Annotated[float, typer.Option(help="Gap to aim for, everywhere.")] = 1e-4,
    margin: Annotated[float, typer.Option(help="Leave a strip of this width along D_min(P) out of the aim.")] = 0.0,
    max_points: Annotated[int | None, typer.Option(help="Most solves.")] = None,
    workers: Annotated[int | None, typer.Option(help="Processes that solve; this one when left out.")] = None,
    journal: Annotated[
        Path | None, typer.Option(help="SQLite file of all answers: a run that was stopped goes on from it.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the solved points here, too.")] = None,
    channels: Annotated[bool, typer.Option("--channels", help="Keep the restoration channels.")] = False,
) -> None:
    """Bound C(D, P) at every pair of levels of a rectangle, and write the surface to a file.

    Give one of --preset and --problem. Ctrl-C writes what is known so far.

    Example: cdp-toy trace toy.nc --preset paper-toy --n 101 -D 0.66,0.71 -P 0.002,0.02 --margin 1e-3

    Example: cdp-toy trace toy.nc --preset paper-toy --n 201 --tol 1e-5 --journal toy.sqlite --workers 2
    """
    from cdp_toy import trace
    from cdp_toy.problem_files import problem_to_toml

    cells = count_of(n, "--n")
    ranges = range_of(distortion, "--distortion"), range_of(perception, "--perception")
    model = problem_of(preset, problem)
    grid = model.discretize(n=cells, kind=kind)  # type: ignore[arg-type]  # checked there
    surface = trace(
        grid,
        *ranges,
        tol=tol,
        margin=margin,
        max_points=max_points,
        workers=workers,
        journal=journal,
        keep_channels=channels,
    )
    surface = dataclasses.replace(surface, about={**surface.about, "problem_file": problem_to_toml(model)})
    typer.echo(surface.summary())
    typer.echo(f"wrote {surface.save(out)}; draw it with: cdp-toy plot {out}")
    if csv is not None:
        surface.to_csv(csv)
        typer.echo(f"wrote {csv}")


def plot_command(
    file: Annotated[Path, typer.Argument(help="A surface that `cdp-toy trace` wrote.")],
    kind: Annotated[str, typer.Option(help=f"What to draw: {', '.join(PICTURES)}.")] = "surface",
    out: Annotated[Path | None, typer.Option(help="PNG or PDF to write; FILE-KIND.png here when left out.")] = None,
    perception: Annotated[
        str | None, typer.Option("-P", "--perception", help="Levels of slices along D, such as 0.001,0.003,0.01.")
    ] = None,
    distortion: Annotated[
        str | None, typer.Option("-D", "--distortion", help="Levels of slices along P, such as 0.68,0.70.")
    ] = None,
    price: Annotated[str, typer.Option(help="Price to draw: distortion or perception.")] = "distortion",
) -> None:
    """Draw a surface that was traced: contours, a solid, slices, the boundary, prices, or where the gap is wide.

    Example: cdp-toy plot toy.nc

    Example: cdp-toy plot toy.nc --kind slices -P 0.001,0.003,0.01 --out slices.pdf
    """
    from cdp_toy import load_surface, plotting

    if kind not in PICTURES:
        raise unknown_name("kind", kind, PICTURES)
    at_p, at_d = numbers_of(perception, "--perception"), numbers_of(distortion, "--distortion")
    if kind != "slices" and not at_p is at_d is None:
        raise InputError(f"-D and -P are levels of slices: add --kind slices, or leave them out; got --kind {kind}")
    surface = load_surface(file)
    draw: dict[str, Callable[[Surface], Any]] = {
        "surface": plotting.plot_surface,
        "3d": lambda s: plotting.plot_surface(s, kind="3d"),
        "slices": lambda s: plotting.plot_slices(s, P=at_p if at_p or at_d else _spread(s), D=at_d),
        "boundary": plotting.plot_boundary,
        "prices": lambda s: plotting.plot_prices(s, price=price),
        "gap": plotting.plot_gap,
    }
    figure = draw[kind](surface).figure
    target = Path(f"{file.stem}-{kind}.png") if out is None else out
    figure.savefig(target, bbox_inches="tight")
    typer.echo(f"wrote {target}")


def _spread(surface: Surface) -> list[float]:
    """Four levels of P across the range, further apart where it is long."""
    import numpy as np

    low, high = surface.perception
    levels = np.geomspace(low, high, 4) if low > 0 else np.linspace(low, high, 4)
    return [float(f"{level:.2g}") for level in levels]
