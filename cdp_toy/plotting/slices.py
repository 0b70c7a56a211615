"""Profiles of a traced surface along one level, as bands between the proven bounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import matplotlib
import numpy as np

from cdp_toy.errors import InputError
from cdp_toy.linear import LinearDenoiserFamily, PlaneLinearFamily
from cdp_toy.plotting.frame import FRAME, axis_labels, legend, new_axes
from cdp_toy.plotting.mesh import check_linear, first_finite, is_logarithmic
from cdp_toy.surfaces import Slice, Surface
from cdp_toy.validation import Array, check_level

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_slices", "slice_where_known"]

#: profiles that are drawn when none are named, and places along each
DEFAULT, PLACES = 4, 301
#: places along a profile of a linear family
LINEAR = 121
#: ends of the colours: the lightest one that shows on white paper, and the darkest
LIGHTEST, DARKEST = 0.85, 0.0
DASHES = ("-", "--", "-.", ":")
#: what a linear family looks like
OPEN: Any = {"ls": "-", "lw": 0.7, "marker": "o", "ms": 3.2, "mfc": "none"}


class _Axis(NamedTuple):
    """What is drawn along: D at fixed levels P, or P at fixed levels D."""

    along_d: bool
    fixed: Array


def plot_slices(
    surface: Surface,
    ax: Axes | None = None,
    *,
    P: float | Sequence[float] | None = None,
    D: float | Sequence[float] | None = None,
    linear: LinearDenoiserFamily | PlaneLinearFamily | None = None,
) -> Axes:
    """Draw profiles of C along D at levels P, or along P at levels D: bands between the bounds, lines at the upper one.

    Every profile begins where channels are known to exist, at D_min(P). Colours go from light to dark with the level,
    and the lines differ in their dashes.

    Parameters
    ----------
    surface : Surface
    ax : matplotlib Axes, optional
        Where to draw; a new figure when left out.
    P, D : float or sequence of floats, optional
        Levels [divergence units] or [distortion units], of one of the two; four levels of P when both are left out.
    linear : LinearDenoiserFamily or PlaneLinearFamily, optional
        From `cdp.linear_denoiser`: its best error rate at the same levels, with open marks.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        When both P and D are given, a level is none, or no level has a feasible place.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> grid = cdp.presets.paper_toy(threshold=0.0).discretize(n=21)
    >>> surface = cdp.trace(grid, (0.7, 0.8), (0.01, 0.02), tol=1e-2, progress=False)
    >>> plot_slices(surface, P=[0.01, 0.02]).get_xlabel()
    'distortion $D$ (squared units of $x$)'
    """
    if linear is not None:
        check_linear(linear)
    axis = _axis(surface, P, D)
    profiles = [(level, slice_where_known(surface, axis.along_d, float(level))) for level in axis.fixed]
    shown = [(float(level), profile) for level, profile in profiles if len(profile.levels)]
    if not shown:
        letter = "P" if axis.along_d else "D"
        raise InputError(f"at {letter} = {axis.fixed.tolist()} no place of the rectangle is known to be feasible")
    with matplotlib.rc_context(FRAME):
        axes = new_axes(ax)
        shades = matplotlib.colormaps["viridis"](np.linspace(LIGHTEST, DARKEST, len(shown)) if shown[1:] else [0.3])
        for k, ((level, profile), colour) in enumerate(zip(shown, shades, strict=True)):
            label = f"${'P' if axis.along_d else 'D'}$ = {level:.4g}"
            axes.fill_between(profile.levels, profile.lower, profile.upper, color=colour, alpha=0.3, linewidth=0)
            axes.plot(profile.levels, profile.upper, DASHES[k % 4], color=colour, lw=1.5, label=label)
            if linear is not None:
                levels, values = _linear_profile(linear, surface, axis.along_d, level)
                axes.plot(levels, values, color=colour, markevery=10, **OPEN)
        if linear is not None:
            axes.plot([], [], color="0.4", label="linear denoisers", **OPEN)
        axes.fill_between([], [], [], color="0.4", alpha=0.3, linewidth=0, label="between the bounds")
        names = axis_labels(surface)
        if not axis.along_d and is_logarithmic(surface):
            axes.set_xscale("log")
        axes.set(xlabel=names[0] if axis.along_d else names[1], ylabel="error rate $C$")
        axes.set_xlim(*(surface.distortion if axis.along_d else surface.perception))
        axes.ticklabel_format(axis="y", useOffset=False)
        legend(axes)
    return axes


def _axis(surface: Surface, P: float | Sequence[float] | None, D: float | Sequence[float] | None) -> _Axis:
    if P is not None and D is not None:
        raise InputError("give P for profiles along D, or D for profiles along P, not both")
    if P is None and D is None:
        (low, high), space = surface.perception, np.geomspace if is_logarithmic(surface) else np.linspace
        # round numbers read better than even steps
        levels = np.unique(np.clip([float(f"{level:.2g}") for level in space(low, high, DEFAULT)], low, high))
    else:
        name, given = ("D", D) if P is None else ("P", P)
        levels = np.unique([check_level(level, name) for level in np.atleast_1d(np.asarray(given, dtype=object))])
        if not len(levels):
            raise InputError(f"{name} needs at least one level")
    return _Axis(D is None, levels)


def slice_where_known(surface: Surface, along_d: bool, level: float, n: int = PLACES) -> Slice:
    """Bounds along one level from where the upper one is finite; empty where it never is.

    Places are denser near the beginning, where the surface is steep.
    """
    low, high = surface.distortion if along_d else surface.perception
    boundary = surface.boundary
    start = low if boundary is None or not along_d else float(np.clip(boundary.upper(level), low, high))

    def known(places: Array) -> Array:
        return np.where(surface.reached(*((places, level) if along_d else (level, places))), 0.0, np.inf)

    first = float(first_finite(known, np.array([start]), np.array([high]))[0])
    if np.isnan(first):
        return Slice(*(np.zeros(0),) * 3)
    levels = _spread(first, high, n, logarithmic=not along_d and is_logarithmic(surface))
    return Slice(levels, *(surface.bounds(levels, level) if along_d else surface.bounds(level, levels)))


def _spread(low: float, high: float, n: int, logarithmic: bool) -> Array:
    """Levels from low to high, quadratically dense at low."""
    t = np.linspace(0, 1, n) ** 2
    levels = low * (high / low) ** t if logarithmic else low + (high - low) * t
    levels[0], levels[-1] = low, high  # rounding
    return np.asarray(levels)


def _linear_profile(
    linear: LinearDenoiserFamily | PlaneLinearFamily, surface: Surface, along_d: bool, level: float
) -> tuple[Array, Array]:
    low, high = surface.distortion if along_d else surface.perception

    def best(places: Array) -> Array:
        return np.asarray(linear.best_error_rate(*((places, level) if along_d else (level, places))))

    first = float(first_finite(best, np.array([low]), np.array([high]))[0])
    if np.isnan(first):
        return np.zeros(0), np.zeros(0)
    levels = _spread(first, high, LINEAR, logarithmic=not along_d and is_logarithmic(surface))
    return levels, best(levels)
