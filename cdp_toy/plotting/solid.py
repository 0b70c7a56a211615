"""A traced surface in space. Drawing only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator

from cdp_toy.plotting.frame import axis_labels, floor_line
from cdp_toy.plotting.mesh import Mesh, is_logarithmic
from cdp_toy.plotting.style import ACCENT, DARK
from cdp_toy.surfaces import Surface
from cdp_toy.validation import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["draw_solid"]

#: C falls to the right and towards the eye, so that all of it is seen; degrees
ELEVATION, AZIMUTH = 26, 38
#: lines of the wire frame along each axis
WIRES = 13


def draw_solid(axes: Axes, surface: Surface, mesh: Mesh, label: str, linear: Mesh | None, points: Array) -> None:
    """Draw a mesh of C in space, with its curves, a linear family as a wire frame and published points (D, P, C).

    On a logarithmic scale the coordinate of P is its decimal logarithm and the ticks say P: mplot3d has no such axes.
    """
    solid: Any = axes
    solid.computed_zorder = False  # else curves on the surface are drawn behind it

    def height(p: Array) -> Array:
        return np.log10(p) if is_logarithmic(surface) else p

    shape: Any = {"rcount": len(mesh.values), "ccount": mesh.values.shape[1], "linewidth": 0, "antialiased": False}
    c = mesh.values
    solid.plot_surface(height(mesh.perception), mesh.distortion, c, cmap="cividis", zorder=1, **shape)
    begin = (height(mesh.perception[:, 0]), mesh.distortion[:, 0], c[:, 0])
    solid.plot(*begin, color=ACCENT, lw=1.8, label=r"begins at $D_{\min}(P)$", zorder=3)
    if surface.floor is not None:
        d, p = floor_line(surface, surface.floor)
        shown = (d >= surface.distortion[0]) & (d <= surface.distortion[1])
        values = surface.upper(d, p)
        solid.plot(
            height(p[shown]), d[shown], values[shown], "--", color="black", lw=1.4, zorder=3,
            label=r"floor from $D_{\mathrm{flat}}(P)$ on",
        )  # fmt: skip
    if linear is not None:
        step = max(1, (len(linear.values) - 1) // (WIRES - 1)), max(1, (linear.values.shape[1] - 1) // (WIRES - 1))
        solid.plot_wireframe(
            height(linear.perception), linear.distortion, linear.values, rstride=step[0], cstride=step[1],
            color=DARK, linewidth=0.6, zorder=2, label="linear denoisers",
        )  # fmt: skip
    if len(points):
        place = (height(points[:, 1]), points[:, 0], points[:, 2])
        solid.scatter(*place, facecolors="none", edgecolors=ACCENT, label="published", zorder=4, depthshade=False)
    _axes(solid, surface, label)


def _axes(solid: Any, surface: Surface, label: str) -> None:
    d_label, p_label = axis_labels(surface)
    low, high = surface.perception
    if is_logarithmic(surface):
        ticks = np.asarray(LogLocator(subs=(1.0, 3.0)).tick_values(low, high))
        ticks = ticks[(ticks >= low * (1 - 1e-9)) & (ticks <= high * (1 + 1e-9))]
        solid.xaxis.set_major_locator(FixedLocator(np.log10(ticks).tolist()))
        solid.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{10**x:.3g}"))
        low, high = float(np.log10(low)), float(np.log10(high))
    else:
        solid.xaxis.set_major_locator(MaxNLocator(5))
    solid.yaxis.set_major_locator(MaxNLocator(5, prune="upper"))  # else it meets the last one of P
    solid.zaxis.set_major_locator(MaxNLocator(5))
    solid.set(xlim=(low, high), ylim=surface.distortion)
    solid.set_xlabel(p_label, labelpad=6)
    solid.set_ylabel(d_label, labelpad=6)
    solid.zaxis.set_rotate_label(False)
    solid.set_zlabel(label, labelpad=8, rotation=90)
    solid.ticklabel_format(axis="z", useOffset=False)
    solid.tick_params(labelsize=7)
    solid.view_init(elev=ELEVATION, azim=AZIMUTH)
    solid.set_box_aspect(None, zoom=0.85)
    solid.legend(loc="upper left")
