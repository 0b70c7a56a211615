"""A traced surface over the plane of levels: filled contours here, in space next door. Drawing only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from cdp_toy.errors import InputError, unknown_name
from cdp_toy.linear import LinearDenoiserFamily, PlaneLinearFamily
from cdp_toy.plotting.frame import (
    FRAME,
    colour_bar,
    draw_curves,
    draw_infeasible,
    legend,
    new_axes,
    set_plane,
)
from cdp_toy.plotting.mesh import Mesh, linear_mesh, surface_mesh
from cdp_toy.plotting.solid import draw_solid
from cdp_toy.plotting.style import ACCENT
from cdp_toy.published import PublishedTable, load
from cdp_toy.surfaces import Surface
from cdp_toy.validation import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_surface"]

KINDS, BOUNDS = ("contour", "3d"), ("lower", "upper")
#: about so many colours, and lines of equal error rate of a linear family
COLOURS, LINES = 14, 6
#: places along each axis at which a linear family is sampled, on the line and in the plane (milliseconds a member)
LINEAR, LINEAR_PLANE = 41, 21
#: error rates of a linear family this near to each other, relatively, are one: closed forms are good to 1e-12
SAME = 1e-9


def plot_surface(
    surface: Surface,
    ax: Axes | None = None,
    *,
    kind: str = "contour",
    bound: str = "upper",
    linear: LinearDenoiserFamily | PlaneLinearFamily | None = None,
    published: PublishedTable | bool = False,
    n: int = 201,
) -> Axes:
    """Draw C(D, P) over the traced rectangle, with D_min(P), D_flat(P) and the points that were solved.

    P has a logarithmic axis where its range spans more than a decade and begins above 0. Left of the proven lower bound
    of D_min(P) nothing is feasible, hatched grey; in the strip behind it, up to `surface.margin`, no gap was aimed for.

    Parameters
    ----------
    surface : Surface
    ax : matplotlib Axes, optional
        Where to draw, made with projection="3d" for the solid picture; a new figure when left out.
    kind : "contour" or "3d"
        Filled contours over (D, P), or a surface in space over the feasible part.
    bound : "upper" or "lower"
        The bound of C that is drawn [error rate].
    linear : LinearDenoiserFamily or PlaneLinearFamily, optional
        From `cdp.linear_denoiser`: its best error rate as dashed lines, or a wire frame in space, where it has members.
    published : bool or PublishedTable
        Lay a table with columns D, P and C over it; True for the published corners of the paper's Figure 2a, which
        are of the linear family. What lies outside of the rectangle is left out.
    n : int
        Places along each axis.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        When the rectangle has no area or no feasible place, `ax` is of the other kind, or a word is unknown.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> grid = cdp.presets.paper_toy(threshold=0.0).discretize(n=21)
    >>> surface = cdp.trace(grid, (0.7, 0.8), (0.01, 0.02), tol=1e-2, progress=False)
    >>> plot_surface(surface, n=31).get_ylabel()
    'perception $P$ (nats)'
    """
    for word, value, words in (("kind of picture", kind, KINDS), ("bound", bound, BOUNDS)):
        if value not in words:
            raise unknown_name(word, value, words)
    mesh = surface_mesh(surface, n, surface.lower if bound == "lower" else None)
    linear_part = None if linear is None else _linear(linear, surface)
    points = _published(published, surface)
    label = f"error rate $C$ ({bound} bound)"
    with matplotlib.rc_context(FRAME):
        axes = new_axes(ax, solid=kind == "3d")
        if kind == "3d":
            draw_solid(axes, surface, mesh, label, linear_part, points)
        else:
            _contours(axes, surface, mesh, label, linear_part, points)
    return axes


def _linear(linear: LinearDenoiserFamily | PlaneLinearFamily, surface: Surface) -> Mesh | None:
    return linear_mesh(linear, surface, LINEAR_PLANE if isinstance(linear, PlaneLinearFamily) else LINEAR)


def _published(published: PublishedTable | bool, surface: Surface) -> Array:
    """Rows (D, P, C) inside of the rectangle."""
    if published is False or published is None:
        return np.zeros((0, 3))
    table = load("fig2a_corners") if published is True else published
    if not isinstance(table, PublishedTable):
        raise InputError(f"published must be True or a table of cdp.published.load, got {type(table).__name__}")
    rows = np.column_stack([table[name] for name in ("D", "P", "C")])
    low, high = zip(surface.distortion, surface.perception, strict=True)
    return np.asarray(rows[((rows[:, :2] >= low) & (rows[:, :2] <= high)).all(axis=1)])


def _contours(axes: Axes, surface: Surface, mesh: Mesh, label: str, linear: Mesh | None, points: Array) -> None:
    d, p, c = mesh.distortion, mesh.perception, mesh.values
    lowest, highest = float(c.min()), float(c.max())
    levels = MaxNLocator(COLOURS).tick_values(lowest, max(highest, lowest + 1e-9))
    image = axes.contourf(d, p, c, levels=levels, cmap="cividis", zorder=1)
    image.set_rasterized(True)
    set_plane(axes, surface)
    draw_infeasible(axes, surface)
    draw_curves(axes, surface)
    solved = surface.points[np.isfinite(surface.points["upper"])]
    axes.plot(
        solved["D"], solved["P"], "o", ms=2.2, color="white", mec="0.25", mew=0.25, label="solved point", zorder=3.5
    )
    if linear is not None:
        _linear_lines(axes, linear)
    if len(points):
        where: Any = {"cmap": "cividis", "norm": image.norm, "edgecolors": ACCENT, "linewidths": 1.3, "s": 34}
        axes.scatter(points[:, 0], points[:, 1], c=points[:, 2], label="published", zorder=4, **where)
    legend(axes)
    colour_bar(axes, image, label)


def _linear_lines(axes: Axes, linear: Mesh) -> None:
    """Lines of equal error rate, dashed, and the edge of the levels that a member meets."""
    low, high = float(linear.values.min()), float(linear.values.max())
    ticks = np.asarray(MaxNLocator(LINES).tick_values(low, high))
    levels = ticks[(ticks > low) & (ticks < high)]
    words = "linear denoisers begin"
    if high - low > SAME * high and len(levels):
        where = (linear.distortion, linear.perception, linear.values)
        lines = axes.contour(*where, levels=levels, colors=ACCENT, linestyles="--", linewidths=1.1, zorder=3)
        for text in axes.clabel(lines, fontsize=7, fmt="%.6g"):
            text.set_path_effects([withStroke(linewidth=2, foreground="white")])
        axes.plot([], [], "--", lw=1.1, color=ACCENT, label="their best error rate")
    else:  # a linear family may have no trade-off at all
        words = f"linear denoisers begin ($C$ = {low:.5g})"
    edge = np.concatenate([linear.distortion[0, :0:-1], linear.distortion[:, 0]])
    heights = np.concatenate([linear.perception[0, :0:-1], linear.perception[:, 0]])
    axes.plot(edge, heights, ":", lw=1.4, color=ACCENT, label=words, zorder=3)
