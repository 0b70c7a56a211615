"""Where a traced surface begins and where it is flat: D_min(P) and D_flat(P) between their bounds. Drawing only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from scipy.ndimage import distance_transform_edt

from cdp_toy.errors import InputError
from cdp_toy.plotting.frame import FRAME, HATCH, SHADE, curve_line, floor_line, legend, new_axes, set_plane
from cdp_toy.plotting.mesh import is_logarithmic
from cdp_toy.plotting.style import ACCENT, DARK
from cdp_toy.surfaces import Curve, Surface
from cdp_toy.validation import Array, Mask

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_boundary", "regions"]

#: places along each axis at which regions are told apart, to find room for their names
PLACES = 80
#: a word is so many times as wide as it is high, and needs this share of the height of the axes on either side
WORD, ROOM = 5.0, 0.02


def plot_boundary(surface: Surface, ax: Axes | None = None) -> Axes:
    """Draw D_min(P) and D_flat(P) as bands between their proven bounds, with the brackets that were solved as ticks.

    Left of D_min(P) no channel meets the levels, right of D_flat(P) the error rate is the least of all; between them it
    is traded. Without a known floor the trade-off may end within the picture or not.

    Parameters
    ----------
    surface : Surface
        With a boundary, which every finite problem has.
    ax : matplotlib Axes, optional
        Where to draw; a new figure when left out.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        When the surface was traced without a boundary, or at one level P.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> grid = cdp.presets.paper_toy().discretize(n=21)
    >>> surface = cdp.trace(grid, (0.7, 0.8), (0.01, 0.02), tol=1e-2, progress=False)
    >>> [text.get_text() for text in plot_boundary(surface).texts]
    ['infeasible', 'floor']
    """
    if surface.boundary is None:
        raise InputError("this surface has no boundary D_min(P): trace an oracle that has a method min_distortion")
    for name, (low, high) in (("D", surface.distortion), ("P", surface.perception)):
        if not low < high:
            raise InputError(f"the surface was traced at {name} = {low:.6g} alone: there is no curve to draw")
    with matplotlib.rc_context(FRAME):
        axes = new_axes(ax)
        set_plane(axes, surface)
        edge, levels = curve_line(surface, surface.boundary, "lower")
        axes.fill_betweenx(
            levels, surface.distortion[0], edge, facecolor=SHADE, hatch="////", edgecolor=HATCH, linewidth=0
        )
        _curve(axes, surface, surface.boundary, ACCENT, "-", r"$D_{\min}(P)$")
        if surface.floor is not None:
            _curve(axes, surface, surface.floor, DARK, "--", r"$D_{\mathrm{flat}}(P)$")
        for word, (d, p) in _words(surface).items():
            ground = {"facecolor": "white", "edgecolor": "none", "pad": 1.5}
            axes.text(d, p, word, ha="center", va="center", fontsize=9, bbox=ground)
        legend(axes)
    return axes


def _curve(axes: Axes, surface: Surface, curve: Curve, colour: str, dash: str, name: str) -> None:
    """A band, its two edges so that it shows where it is thin, and the solved brackets."""
    line = floor_line if curve is surface.floor else curve_line
    (low, levels), (high, _) = line(surface, curve, "lower"), line(surface, curve, "upper")
    axes.fill_betweenx(levels, low, high, color=colour, alpha=0.35, linewidth=0)
    axes.plot(high, levels, dash, color=colour, lw=1.3, label=f"{name}, within {curve.max_gap:.1g}")
    axes.plot(low, levels, dash, color=colour, lw=0.6)
    rows = curve.brackets
    marked = "solved bracket" if curve is surface.boundary else None
    middle = (rows["lower"] + rows["upper"]) / 2
    reach = np.abs(rows["upper"] - rows["lower"]) / 2
    axes.errorbar(
        middle, rows["P"], xerr=reach, fmt="|", color=colour, ms=9, mew=1.1, capsize=3, elinewidth=1.0,
        label=marked,
    )  # fmt: skip


def regions(surface: Surface, d: Array, p: Array) -> dict[str, Mask]:
    """Where levels are proven infeasible, lie on the floor, or trade off: masks of the common shape of d and p."""
    assert surface.boundary is not None
    infeasible = d < surface.boundary.lower(p)
    flat = np.zeros(infeasible.shape, dtype=bool)
    if surface.floor is not None:
        flat = (d >= surface.floor.upper(p)) & (p >= surface.floor.perception[0]) & ~infeasible
    return {"infeasible": infeasible, "trade-off": ~infeasible & ~flat, "floor": flat}


def _words(surface: Surface) -> dict[str, tuple[float, float]]:
    """Where each region has most room for its name; regions without room have none."""
    share = (np.arange(PLACES) + 0.5) / PLACES
    (d_low, d_high), (p_low, p_high) = surface.distortion, surface.perception
    d = d_low + share * (d_high - d_low)
    p = p_low * (p_high / p_low) ** share if is_logarithmic(surface) else p_low + share * (p_high - p_low)
    out = {}
    for word, mask in regions(surface, d[None, :], p[:, None]).items():
        room = distance_transform_edt(np.pad(mask, 1), sampling=(1 / PLACES, 1 / PLACES / WORD))[1:-1, 1:-1]
        row, column = np.unravel_index(int(np.argmax(room)), room.shape)
        if room[row, column] > ROOM:
            out[word] = (float(d[column]), float(p[row]))
    return out
