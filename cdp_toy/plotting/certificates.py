"""What proves a traced surface: the prices of its planes, and the gap that they leave below the hull. Drawing only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.colors import LogNorm
from matplotlib.patheffects import withStroke

from cdp_toy.errors import unknown_name
from cdp_toy.plotting.frame import FRAME, colour_bar, draw_curves, draw_infeasible, legend, new_axes, set_plane
from cdp_toy.plotting.mesh import Mesh, surface_mesh
from cdp_toy.plotting.style import ACCENT
from cdp_toy.surfaces import Surface
from cdp_toy.validation import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["both_active", "outline", "plot_gap", "plot_prices"]

PRICES = ("distortion", "perception")
#: prices beyond this percentile share the last colour, for they have no bound at D_min(P); likewise the least ones
DEAREST = 99.5
#: decades of gaps below the one aimed for that are told apart
DECADES = 3
#: white lines with black edges show on every colour, and in a legend
EDGED: Any = {"path_effects": [withStroke(linewidth=2.6, foreground="black")]}
#: places along each edge of the outline, straight in P and not in its logarithm
EDGE = 60


def plot_prices(surface: Surface, ax: Axes | None = None, *, price: str = "distortion", n: int = 121) -> Axes:
    """Draw what a unit of distortion or perception is worth: the fall of C along the highest plane over (D, P).

    -dC/dD or -dC/dP, on a logarithmic scale of colours. Prices so small that a plane falls by no more than the gap
    aimed for across the whole range of its level have the first colour. Outlined is where both prices are active for
    certain: the lower bound here lies above the upper bounds at the far ends of D and of P.

    Parameters
    ----------
    surface : Surface
    ax : matplotlib Axes, optional
        Where to draw; a new figure when left out.
    price : "distortion" or "perception"
        [error rate / distortion unit] or [error rate / divergence unit].
    n : int
        Places along each axis.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        When the rectangle has no area or no feasible place, or the price is unknown.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> grid = cdp.presets.paper_toy(threshold=0.0).discretize(n=21)
    >>> surface = cdp.trace(grid, (0.7, 0.8), (0.01, 0.02), tol=1e-2, progress=False)
    >>> plot_prices(surface, price="perception", n=21).get_xlabel()
    'distortion $D$ (squared units of $x$)'
    """
    if price not in PRICES:
        raise unknown_name("price", price, PRICES)
    mesh = surface_mesh(surface, n, surface.lower)
    d, p = mesh.distortion, mesh.perception
    k = PRICES.index(price)
    values = surface.prices(d, p)[k]
    least = surface.tol / float(np.ptp(surface.distortion if k == 0 else surface.perception))
    seen = values[np.isfinite(values) & (values > least)]
    bottom, top = np.percentile(seen, [100 - DEAREST, DEAREST]).tolist() if len(seen) else (least, least)
    top = max(top, 1.01 * bottom)
    shade = np.clip(values, bottom, top)  # a plane that holds at P = 0 alone has no finite price
    active = both_active(surface, mesh)
    with matplotlib.rc_context(FRAME):
        axes = new_axes(ax)
        look: Any = {"cmap": "cividis", "norm": LogNorm(bottom, top), "zorder": 1}
        image = axes.pcolormesh(d, p, shade, shading="gouraud", rasterized=True, **look)
        set_plane(axes, surface)
        draw_infeasible(axes, surface)
        draw_curves(axes, surface)
        if (active > 0).any() and not (active > 0).all():
            line = axes.contour(d, p, active, levels=[0.0], colors="white", linewidths=1.2, zorder=2.8)
            line.set_path_effects(EDGED["path_effects"])
            axes.plot([], [], color="white", lw=1.2, label="both prices active: left, below", **EDGED)
        colour_bar(axes, image, rf"price of {price}, $-\partial C/\partial {'DP'[k]}$", extend="both")
        legend(axes)
    return axes


def both_active(surface: Surface, mesh: Mesh) -> Array:
    """How much C is proven to fall from each place to the far end of D, or of P if that is less.

    Above 0 both prices are positive for certain: of a convex function that still falls, the slope here is negative.
    """
    d, p = mesh.distortion, mesh.perception
    right = surface.upper(surface.distortion[1], p[:, :1])
    above = np.interp(d, d[-1], surface.upper(d[-1], p[-1]))  # the last row; chords lie above a convex function
    return np.asarray(mesh.values - np.maximum(right, above))


def plot_gap(surface: Surface, ax: Axes | None = None, *, n: int = 201) -> Axes:
    """Draw the decimal logarithm of the certified gap, upper minus lower bound of C, over (D, P).

    The widest gap on the traced region is marked, the region outlined, and the gap aimed for is a line in the bar.

    Parameters
    ----------
    surface : Surface
    ax : matplotlib Axes, optional
        Where to draw; a new figure when left out.
    n : int
        Places along each axis.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        When the rectangle has no area or no feasible place.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> grid = cdp.presets.paper_toy(threshold=0.0).discretize(n=21)
    >>> surface = cdp.trace(grid, (0.7, 0.8), (0.01, 0.02), tol=1e-2, progress=False)
    >>> axes = plot_gap(surface, n=21)
    """
    mesh = surface_mesh(surface, n, surface.gap)
    aim = float(np.log10(surface.tol))
    values = np.log10(np.maximum(mesh.values, 10 ** (aim - DECADES)))
    gap, d, p = surface.widest
    with matplotlib.rc_context(FRAME):
        axes = new_axes(ax)
        look: Any = {"cmap": "cividis", "vmin": aim - DECADES, "vmax": max(float(values.max()), aim), "zorder": 1}
        image = axes.pcolormesh(mesh.distortion, mesh.perception, values, shading="gouraud", rasterized=True, **look)
        set_plane(axes, surface)
        draw_infeasible(axes, surface)
        draw_curves(axes, surface)
        axes.plot(*outline(surface).T, color="white", lw=1.2, zorder=3, label="region aimed for", **EDGED)
        if np.isfinite(gap):
            widest: Any = {"color": ACCENT, "mec": "white", "ms": 11, "mew": 0.8, "ls": "none", "zorder": 4}
            axes.plot([d], [p], marker="X", label=f"its widest gap, {gap:.2g}", **widest)
        words = rf"$\log_{{10}}$ of the gap of $C$ (mark: {surface.tol:.2g}, aimed for)"
        colour_bar(axes, image, words, extend="min").ax.axhline(aim, color=ACCENT, lw=2)
        legend(axes)
    return axes


def outline(surface: Surface) -> Array:
    """Closed line around the region on which the gap was to become small, rows (D, P); empty where there is none."""
    corners = surface.region.vertices
    if not len(corners):
        return np.zeros((0, 2))
    centre = corners.mean(axis=0)
    around = corners[np.argsort(np.arctan2(*(corners - centre).T[::-1]))]
    following = np.roll(around, -1, axis=0)
    t = np.linspace(0, 1, EDGE)[None, :, None]
    return surface.scale.from_unit((around[:, None] * (1 - t) + following[:, None] * t).reshape(-1, 2))
