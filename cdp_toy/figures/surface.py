"""The exact surface beside the linear family. Drawing only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from cdp_toy.linear import LinearDenoiserFamily, PlaneLinearFamily
from cdp_toy.plotting import ACCENT, DARK, MIDDLE, STYLE
from cdp_toy.scan import Row
from cdp_toy.validation import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ExactSurface", "figure_3", "row_values"]


@dataclass(frozen=True, eq=False)
class ExactSurface:
    """What is drawn of one problem: scanned rows, the floor, and a linear family of the same problem if there is one.

    `far` is where the axis of distortion ends, `cells` says which grid was solved, `units` are those of D and P,
    `floor_name` says what the floor is and `cost_name` what C is.
    """

    title: str
    rows: Sequence[Row]
    floor: float
    family: LinearDenoiserFamily | PlaneLinearFamily | None
    far: float
    cells: str
    units: tuple[str, str]
    floor_name: str = "floor of the grid"
    cost_name: str = "error rate"

    @property
    def axis_labels(self) -> tuple[str, str]:
        """Labels of the axes of distortion and perception."""
        return f"distortion $D$ ({self.units[0]})", f"perception $P$ ({self.units[1]})"


def row_values(row: Row, distortion: Array, floor: float) -> Array:
    """What to draw of C along one row of a scan; NaN below D_min.

    C is convex and non-increasing in D, so chords between achieved values are upper bounds, and so is the last value
    to the right of it; from D_flat on the floor is exact. Left of the first point only its supporting hyperplane is
    known, a lower bound, and that is drawn there.
    """
    solved = [p for p in row.points if math.isfinite(p.upper_bound)]
    if not solved:
        return np.full(distortion.shape, np.nan)
    d = np.array([p.max_distortion for p in solved])
    c = np.array([p.upper_bound for p in solved])
    plane = np.array([solved[0].hyperplane.at(float(x), row.max_perception) for x in distortion])
    values = np.where(distortion < d[0], plane, np.interp(distortion, d, c))
    if row.flat_distortion is not None:
        values = np.where(distortion >= row.flat_distortion.upper, floor, values)
    return np.where(distortion >= row.min_distortion.upper, values, np.nan)


#: Levels D and P at which the linear family is drawn.
FAMILY_D, FAMILY_P = 180, 90


def figure_3(surfaces: Sequence[ExactSurface]) -> Figure:
    """Exact surface over all channels beside the linear family, one line of panels for each problem."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.6, 3.5 * len(surfaces) + 0.2), layout="constrained")
        beside = any(surface.family is not None for surface in surfaces)
        axes = figure.subplots(len(surfaces), 3 if beside else 2, squeeze=False)
        for panels, surface in zip(axes, surfaces, strict=True):
            _planes(figure, panels[0], panels[1] if beside else None, surface)
            _slices(panels[-1], surface)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _family_values(surface: ExactSurface, low: float, top: float) -> tuple[Array, Array, Array]:
    """Levels D and P and the best error rate of the linear family there (NaN where it has no member)."""
    coarse = 2 if isinstance(surface.family, PlaneLinearFamily) else 1  # a member in the plane takes a millisecond
    d = np.linspace(low, surface.far, FAMILY_D // coarse)
    p = np.geomspace(max(surface.rows[0].max_perception, 1e-3 * top), top, FAMILY_P // coarse)
    assert surface.family is not None
    return d, p, surface.family.best_error_rate(d[None, :], p[:, None])


def _planes(figure: Figure, left: Axes, right: Axes | None, surface: ExactSurface) -> None:
    """Exact surface and, if there is one, the linear family over the same (D, P) plane, with the same colours."""
    rows, far = surface.rows, surface.far
    top = max(rows[-1].max_perception, 0.1)
    levels_p = np.array([row.max_perception for row in rows])
    least = np.array([row.min_distortion.upper for row in rows])
    # a mesh that follows D_min(P), denser where the surface is steep
    d = least[:, None] + (far - least)[:, None] * np.linspace(0, 1, 200) ** 2
    exact = np.array([row_values(row, x, surface.floor) for row, x in zip(rows, d, strict=True)])
    p = np.repeat(levels_p[:, None], d.shape[1], axis=1)
    if levels_p[-1] < top:  # above the last row the surface is the floor but for a sliver too thin to see
        p, d, exact = np.vstack([p, 0 * p[-1] + top]), np.vstack([d, d[-1]]), np.vstack([exact, exact[-1]])
        levels_p, least = np.append(levels_p, top), np.append(least, least[-1])
    exact = np.fmax(exact, surface.floor)  # rounding below the lowest level would be left white
    low = float(least.min())
    panels: list[tuple[Axes, Array, Array, Any, str]] = [(left, d, p, exact, f"all channels ({surface.cells})")]
    values = exact[np.isfinite(exact)]
    if right is not None and surface.family is not None:
        if isinstance(surface.family, PlaneLinearFamily):  # a coarse grid may begin at larger distortions
            low = min(low, surface.family.least_distortion().distortion)
        d_linear, p_linear, linear = _family_values(surface, low, top)
        values = np.concatenate([values, linear[np.isfinite(linear)]])
        panels.append((right, d_linear, p_linear, np.ma.masked_invalid(linear), _family_title(surface.family)))
    # a family without any trade-off has one value, which then is the top of the scale
    levels = np.linspace(float(values.min()), 1e-9 + float(values.max()), 16)
    flat = [(row.flat_distortion.upper, row.max_perception) for row in rows if row.flat_distortion is not None]
    for axes, x, y, z, title in panels:
        if np.ma.count(z):
            image = axes.contourf(x, y, z, levels=levels, cmap="cividis")
        if axes is left or not isinstance(surface.family, PlaneLinearFamily):
            # chords in P, not in its logarithm: D_min is convex, so that channels do exist to the right of them
            between = np.geomspace(levels_p[0], levels_p[-1], 300)
            edge = np.interp(between, levels_p, least)
            axes.plot(edge, between, color=ACCENT, lw=1.8, label=r"$D_{\min}(P)$: channels exist to the right")
        if flat and (axes is left or not isinstance(surface.family, PlaneLinearFamily)):
            flat_d, flat_p = np.array(flat).T
            flat_d, flat_p = np.append(flat_d, flat_d[-1]), np.append(flat_p, top)
            shade = "white" if axes is left else "0.35"
            axes.plot(flat_d, flat_p, color=shade, ls="--", lw=1.3)
        axes.set(yscale="log", xlim=(low - 0.04 * (far - low), far), ylim=(levels_p[0], top))
        axes.set(xlabel=surface.axis_labels[0], ylabel=surface.axis_labels[1])
        axes.set_title(f"{surface.title}\n{title}")
    if flat:
        left.plot([], [], color="0.35", ls="--", lw=1.3, label=r"$D_{\mathrm{flat}}(P)$: floor to the right")
        left.text(
            0.97,
            0.93,
            f"{surface.floor_name}",
            transform=left.transAxes,
            color="white",
            ha="right",
            fontsize=8,
            path_effects=[withStroke(linewidth=2, foreground="0.2")],
        )
    for row in rows:
        left.plot([q.max_distortion for q in row.points], [row.max_perception] * len(row.points), "w.", ms=2)
    shown = [axes for axes, *_ in panels]
    bar = figure.colorbar(image, ax=shown, pad=0.01, aspect=28, format="%.4f")
    bar.set_label(f"{surface.cost_name} $C$")
    if len(panels) > 1 and right is not None:
        right.text(0.97, 0.2, "no linear\ndenoiser", transform=right.transAxes, fontsize=8, ha="right")
    elif right is not None:
        right.set_visible(False)


def _family_title(family: LinearDenoiserFamily | PlaneLinearFamily) -> str:
    """Which linear denoisers are drawn; they are those of the continuous problem."""
    diagonal = isinstance(family, PlaneLinearFamily) and family.family == "diagonal"
    return r"linear denoisers $\hat X = AY$, continuous" if diagonal else r"linear denoisers $\hat X = aY$, continuous"


def _slices(axes: Axes, surface: ExactSurface) -> None:
    """Profiles in D at a few perception levels, exact and linear."""
    rows, far = list(surface.rows), surface.far
    chosen = sorted({0, len(rows) // 2, max(len(rows) - 2, 0)})
    for k, colour, line in zip(chosen, (DARK, MIDDLE, "black"), ("-", "--", "-."), strict=False):
        row = rows[k]
        d = np.append([p.max_distortion for p in row.points], far)
        c = row_values(row, d, surface.floor)
        axes.plot(d, c, line, color=colour, marker=".", ms=4, label=f"all channels, $P$ = {row.max_perception:.2g}")
    d = np.linspace(min(row.min_distortion.upper for row in rows), far, 250)
    dashes: tuple[tuple[float, Any], ...] = ((0.01, ":"), (0.02, (0, (1, 1))), (0.1, (0, (4, 2))))
    for p, dash in dashes if surface.family is not None else ():
        assert surface.family is not None
        curve = surface.family.best_error_rate(d, p)
        if np.isfinite(curve).any():
            axes.plot(d, curve, ls=dash, lw=1.6, color=ACCENT, label=f"linear, $P$ = {p:.2g}")
    axes.axhline(surface.floor, color="0.6", lw=0.8, zorder=0)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.08 * (high - low), high + 0.75 * (high - low))
    axes.annotate(
        surface.floor_name,
        (far, surface.floor),
        (0, -10),
        textcoords="offset points",
        ha="right",
        fontsize=7.5,
    )
    widest = max((p.gap for row in rows for p in row.points if math.isfinite(p.gap)), default=math.nan)
    axes.set(xlabel=surface.axis_labels[0], ylabel=f"{surface.cost_name} $C$")
    axes.set_title(
        f"profiles; every certified gap of\nthe {sum(len(r.points) for r in rows)} points is <= {widest:.0e}"
    )
    axes.legend(loc="upper right")
