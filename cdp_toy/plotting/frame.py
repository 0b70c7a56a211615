"""What all pictures over the plane (D, P) share: axes, units, the infeasible part, the curves. Drawing only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import ScalarFormatter

from cdp_toy.errors import InputError
from cdp_toy.perceptions import perception_from
from cdp_toy.plotting.mesh import curve_levels, is_logarithmic
from cdp_toy.plotting.style import ACCENT, STYLE, new_figure
from cdp_toy.surfaces import Curve, Surface
from cdp_toy.validation import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "FRAME",
    "axis_labels",
    "colour_bar",
    "curve_line",
    "draw_curves",
    "draw_infeasible",
    "floor_line",
    "legend",
    "new_axes",
    "set_plane",
]

#: the common look with thin hatches
FRAME: Any = STYLE | {"hatch.linewidth": 0.5}
#: places along a drawn curve
CURVE = 400
#: grey of what no channel meets, and of its hatches
SHADE, HATCH = "0.88", "0.62"


def new_axes(ax: Axes | None, solid: bool = False) -> Axes:
    """The given axes, checked, or new ones in a figure of their own."""
    if ax is None:
        figure = new_figure()
        return figure.add_subplot(projection="3d") if solid else figure.add_subplot()
    if (ax.name == "3d") != solid:
        need = 'axes made with projection="3d"' if solid else "plane axes"
        raise InputError(f"this picture needs {need}; got ax of the kind {ax.name!r}")
    return ax


def axis_labels(surface: Surface) -> tuple[str, str]:
    """Labels of D and P with their units, as far as the surface tells them.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> grid = cdp.presets.paper_toy().discretize(n=21)
    >>> surface = cdp.trace(grid, (0.7, 0.8), (0.01, 0.02), tol=1e-2, progress=False)
    >>> axis_labels(surface)
    ('distortion $D$ (squared units of $x$)', 'perception $P$ (nats)')
    """
    labels = []
    squared = surface.about.get("distortion") == "squared_error"
    perception = str(surface.about.get("perception", ""))
    try:
        unit = perception_from(perception).unit or perception
    except InputError:  # a perception of the user's own, or none
        unit = perception
    for name, words in (
        ("distortion $D$", "squared units of $x$" if squared else ""),
        ("perception $P$", unit.replace("of x", "of $x$").replace("_", " ")),
    ):
        labels.append(f"{name} ({words})" if words else name)
    return labels[0], labels[1]


def set_plane(axes: Axes, surface: Surface) -> None:
    """D to the right, P upward, on a logarithmic axis where its range asks for one."""
    labels = axis_labels(surface)
    if is_logarithmic(surface):
        axes.set_yscale("log")
    axes.set(xlim=surface.distortion, ylim=surface.perception, xlabel=labels[0], ylabel=labels[1])


def curve_line(surface: Surface, curve: Curve, bound: str = "upper") -> tuple[Array, Array]:
    """Distortions and levels P along one bound of a boundary curve, where the curve is known."""
    function = curve.upper if bound == "upper" else curve.lower
    low, high = max(curve.perception[0], surface.perception[0]), surface.perception[1]
    if not low < high:
        return np.zeros(0), np.zeros(0)
    levels = curve_levels(curve.lower, low, high, CURVE, is_logarithmic(surface))
    return function(levels), levels


def floor_line(surface: Surface, floor: Curve, bound: str = "upper") -> tuple[Array, Array]:
    """D_flat(P), and the level P from which on it is known, up to the right end: all of the edge of the floor."""
    d, p = curve_line(surface, floor, bound)
    if len(p) and p[0] > surface.perception[0] and d[0] < surface.distortion[1]:
        return np.append(surface.distortion[1], d), np.append(p[0], p)
    return d, p


def draw_infeasible(axes: Axes, surface: Surface, label: str | None = "infeasible") -> None:
    """Hatch what is proven infeasible in grey, and lightly the strip behind it where the gap was not aimed for."""
    boundary = surface.boundary
    if boundary is None:
        return
    edge, levels = curve_line(surface, boundary, "lower")
    look: Any = {"linewidth": 0, "edgecolor": HATCH, "zorder": 1.5}
    axes.fill_betweenx(levels, surface.distortion[0], edge, facecolor=SHADE, hatch="////", label=label, **look)
    strip = np.maximum(edge + surface.margin, boundary.upper(levels))
    axes.fill_betweenx(levels, edge, strip, facecolor="none", hatch="....", zorder=2.5, edgecolor="0.75", linewidth=0)


def draw_curves(axes: Axes, surface: Surface) -> None:
    """The boundary D_min(P) and the floor D_flat(P), as far as they are known."""
    if surface.boundary is not None:
        axes.plot(*curve_line(surface, surface.boundary), color=ACCENT, lw=1.8, label=r"$D_{\min}(P)$", zorder=3)
    if surface.floor is not None:
        d, p = floor_line(surface, surface.floor)
        axes.plot(d, p, color="white", lw=2.6, zorder=3)  # legible on dark and on light colours
        axes.plot(d, p, "--", color="black", lw=1.3, label=r"$D_{\mathrm{flat}}(P)$", zorder=3)


def legend(axes: Axes) -> None:
    """A legend above the axes, where it covers nothing."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, borderaxespad=0.3, columnspacing=1.2)


def colour_bar(axes: Axes, image: Any, label: str, **given: Any) -> Any:
    """A colour bar beside the axes, its numbers written in full."""
    bar = axes.figure.colorbar(image, ax=axes, aspect=30, pad=0.01, label=label, **given)
    if isinstance(bar.formatter, ScalarFormatter):
        bar.formatter.set_useOffset(False)
        bar.update_ticks()
    return bar
