"""The figures: the paper's two from closed forms, and the exact surface beside the linear family. Drawing only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cdp_toy.linear import LinearDenoiserFamily
from cdp_toy.published import load
from cdp_toy.scan import Row
from cdp_toy.validation import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["ExactSurface", "figure_1", "figure_2", "figure_3", "row_values", "save"]

#: one look for every figure; line styles and markers carry the meaning so that grey prints stay legible
STYLE: Any = {  # matplotlib types the keys one by one, differently in each version
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "cdp_toy",
}
DARK, MIDDLE, LIGHT, ACCENT = "#1b2a49", "#3f7cac", "#9cb7cf", "#c8553d"


@dataclass(frozen=True, eq=False)
class ExactSurface:
    """What figure 3 draws for one classifier: scanned rows, the floor, and the linear family of the same problem."""

    title: str
    rows: Sequence[Row]
    floor: float
    family: LinearDenoiserFamily


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


def figure_1(family: LinearDenoiserFamily) -> Figure:
    """Densities of X and .8 Y with the threshold, and the three criteria against a (the paper's Figure 1)."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.2, 3.1), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        x = np.linspace(-4, 4, 401)
        source = family.source
        densities = (
            (left, "fig1a_density_x", np.asarray(source.priors) @ source.density(x), "(a) source $X$"),
            (middle, "fig1b_density_restored_a0.8", family.density(x, 0.8), r"(b) restored $\hat X = 0.8\,Y$"),
        )
        for axes, name, density, title in densities:
            published = load(name)
            axes.plot(x, density, color=DARK, label="closed form")
            axes.plot(
                published["x"][::6], published["density"][::6], "o", ms=3.5, mfc="none", mec=ACCENT, label="published"
            )
            for boundary in family.regions.boundaries:
                axes.axvline(boundary, color="0.45", ls=":", lw=1)
                axes.annotate(
                    f"threshold {boundary:.4f}", (boundary, 0.305), (4, 0), textcoords="offset points", fontsize=7.5
                )
            axes.set(xlabel=r"value (units of $x$)", ylabel="density (1 / unit of $x$)", title=title, ylim=(0, 0.32))
            axes.legend(loc="upper right", bbox_to_anchor=(1, 0.93))
        _criteria(right, family)
    return figure


def _criteria(axes: Axes, family: LinearDenoiserFamily) -> None:
    a = np.linspace(0.2, 1.6, 281)
    second = axes.twinx()
    second.spines["right"].set_visible(True)
    curves = (
        (axes, family.distortion(a), "MSE", "-", DARK, "fig1c_mse", "mse", "s", 24),
        (axes, family.perception(a), "KL (nats)", "--", MIDDLE, "fig1c_kl", "kl_nats", "^", 20),
        (
            second,
            family.error_rate(a),
            "error rate (right axis)",
            "-.",
            "black",
            "fig1c_error_rate",
            "error_rate",
            "o",
            16,
        ),
    )
    for where, curve, label, line, colour, table, column, marker, every in curves:
        where.plot(a, curve, line, color=colour, label=label)
        published = load(table)
        where.plot(
            published["a"][::every],
            published[column][::every],
            marker,
            ms=3.5,
            mfc="none",
            mec=ACCENT,
            label=f"{label.split(' (')[0]}, published",
        )
    axes.set(xlabel=r"gain $a$ of $\hat X = aY$", ylabel="MSE (squared units of $x$), KL (nats)", ylim=(0, 4))
    axes.set_title("(c) three criteria of the linear family")
    second.set(ylabel="error rate", ylim=(0.2, 0.26))
    handles = [h for ax in (axes, second) for h in ax.get_legend_handles_labels()[0]]
    axes.legend(handles, [str(h.get_label()) for h in handles], loc="upper center", ncols=1)


def figure_2(family: LinearDenoiserFamily) -> Figure:
    """Surface and profiles of the linear family (the paper's Figure 2)."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.2, 3.6), layout="constrained")
        grid = figure.add_gridspec(1, 3, width_ratios=(1.25, 1, 1))
        solid: Any = figure.add_subplot(grid[0], projection="3d")
        d, p = np.linspace(0.667, 0.75, 60), np.geomspace(0.006, 0.4, 64)
        surface = family.best_error_rate(d[:, None], p[None, :])
        solid.plot_surface(
            *np.meshgrid(p, d), surface, cmap="cividis", rcount=60, ccount=64, linewidth=0, antialiased=False
        )
        corners = load("fig2a_corners")
        solid.scatter(
            corners["P"], corners["D"], corners["C"], facecolors="none", edgecolors=ACCENT, label="published corners"
        )
        solid.legend(loc="upper left", bbox_to_anchor=(0.0, 0.98))
        solid.set(
            xticks=(0, 0.1, 0.2, 0.3, 0.4), yticks=(0.67, 0.69, 0.71, 0.73, 0.75), zticks=(0.204, 0.206, 0.208, 0.21)
        )
        solid.set_title("(a) $C(D, P)$ of the linear family")
        solid.set_xlabel("perception $P$ (nats)", labelpad=6)
        solid.set_ylabel("distortion $D$ (squared units)", labelpad=4)
        solid.zaxis.set_rotate_label(False)
        solid.set_zlabel("error rate $C$", labelpad=5, rotation=90)
        solid.tick_params(labelsize=7)
        solid.view_init(elev=24, azim=38)
        solid.set_box_aspect(None, zoom=0.8)
        _profiles(figure.add_subplot(grid[1]), family, along="D")
        _profiles(figure.add_subplot(grid[2]), family, along="P")
    return figure


def _profiles(axes: Axes, family: LinearDenoiserFamily, along: str) -> None:
    lines = ("-", "--", "-.")
    if along == "D":
        x = np.linspace(0.6667, 0.75, 250)
        fixed = (0.04, 0.08, 0.12)
        curves = [family.best_error_rate(x, p) for p in fixed]
        labels = [f"$P$ = {p}" for p in fixed]
        axes.set(xlabel="distortion $D$ (squared units of $x$)", title="(b) $C$ against $D$")
        table, column = load("fig2b_C_vs_D"), "D"
    else:
        x = np.linspace(0.005, 0.4, 250)
        fixed = (0.671, 0.68, 0.7)
        curves = [family.best_error_rate(d, x) for d in fixed]
        labels = [f"$D$ = {d}" for d in fixed]
        axes.set(xlabel="perception $P$ (nats)", title="(c) $C$ against $P$")
        table, column = load("fig2b_C_vs_P"), "P"
    for curve, label, line, colour in zip(curves, labels, lines, (DARK, MIDDLE, "black"), strict=True):
        axes.plot(x, curve, line, color=colour, label=label)
    plateau = np.array(["plateau" in word for word in table.words["curve"]])
    x_seen, c_seen = table[column], table["C"]
    axes.plot(
        x_seen[~plateau][::4],
        c_seen[~plateau][::4],
        "o",
        ms=3.2,
        mfc="none",
        mec=ACCENT,
        label="published (same order)",
    )
    for start in np.flatnonzero(plateau)[::2]:  # plateaus are published as their two ends
        ends = slice(start, start + 2)
        axes.plot(x_seen[ends], c_seen[ends], "o:", ms=3.2, mfc="none", mec=ACCENT, color=ACCENT)
    axes.set_ylabel("error rate $C$")
    axes.set_ylim(0.2038, 0.2125)
    axes.legend(loc="upper right")


def figure_3(surfaces: Sequence[ExactSurface], n: int) -> Figure:
    """Exact surface over all channels beside the linear family, one line of panels for each classifier."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.6, 3.5 * len(surfaces)), layout="constrained")
        axes = figure.subplots(len(surfaces), 3, squeeze=False)
        for panels, surface in zip(axes, surfaces, strict=True):
            _planes(figure, panels[0], panels[1], surface, n)
            _slices(panels[2], surface)
        handles, labels = axes[0, 1].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=9)
    return figure


def _planes(figure: Figure, left: Axes, right: Axes, surface: ExactSurface, n: int) -> None:
    """Exact surface and linear family over the same (D, P) plane, with the same colours."""
    rows = surface.rows
    far, top = 0.745, max(rows[-1].max_perception, 0.1)
    levels_p = np.array([row.max_perception for row in rows])
    least = np.array([row.min_distortion.upper for row in rows])
    # a mesh that follows D_min(P), denser where the surface is steep
    d = least[:, None] + (far - least)[:, None] * np.linspace(0, 1, 200) ** 2
    exact = np.array([row_values(row, x, surface.floor) for row, x in zip(rows, d, strict=True)])
    p = np.repeat(levels_p[:, None], d.shape[1], axis=1)
    if levels_p[-1] < top:  # above the last row the surface is the floor but for a sliver too thin to see
        p, d, exact = np.vstack([p, 0 * p[-1] + top]), np.vstack([d, d[-1]]), np.vstack([exact, exact[-1]])
        levels_p, least = np.append(levels_p, top), np.append(least, least[-1])
    d_linear, p_linear = np.linspace(least.min(), far, 180), np.geomspace(0.005, top, 90)
    linear = surface.family.best_error_rate(d_linear[None, :], p_linear[:, None])
    # a family without any trade-off has one value, which then is the top of the scale
    levels = np.linspace(surface.floor, 1e-9 + max(float(np.nanmax(exact)), float(np.nanmax(linear))), 16)
    panels = (
        (left, d, p, exact, f"all channels (grid {n} x {n})"),
        (right, d_linear, p_linear, np.ma.masked_invalid(linear), r"linear denoisers $\hat X = aY$"),
    )
    flat = [(row.flat_distortion.upper, row.max_perception) for row in rows if row.flat_distortion is not None]
    for axes, x, y, z, title in panels:
        image = axes.contourf(x, y, z, levels=levels, cmap="cividis")
        axes.plot(least, levels_p, color=ACCENT, lw=1.8, label=r"$D_{\min}(P)$: channels exist to the right")
        if flat:
            flat_d, flat_p = np.array(flat).T
            flat_d, flat_p = np.append(flat_d, flat_d[-1]), np.append(flat_p, top)
            shade = "white" if axes is left else "0.35"
            axes.plot(flat_d, flat_p, color=shade, ls="--", lw=1.3, label=r"$D_{\mathrm{flat}}(P)$: floor to the right")
        axes.set(yscale="log", xlim=(least.min() - 0.004, far), ylim=(levels_p[0], top))
        axes.set(xlabel="distortion $D$ (squared units of $x$)", ylabel="perception $P$ (nats)")
        axes.set_title(f"{surface.title}\n{title}")
    for row in rows:
        left.plot([q.max_distortion for q in row.points], [row.max_perception] * len(row.points), "w.", ms=2)
    left.text(
        0.97, 0.93, "floor: $C$ = Bayes error of $Y$", transform=left.transAxes, color="white", ha="right", fontsize=8
    )
    bar = figure.colorbar(image, ax=[left, right], pad=0.01, aspect=28, format="%.4f")
    bar.set_label("error rate $C$")
    right.text(0.97, 0.2, "no linear\ndenoiser", transform=right.transAxes, fontsize=8, ha="right")


def _slices(axes: Axes, surface: ExactSurface) -> None:
    """Profiles in D at a few perception levels, exact and linear."""
    rows = list(surface.rows)
    chosen = sorted({0, len(rows) // 2, max(len(rows) - 2, 0)})
    far = 0.745
    for k, colour, line in zip(chosen, (DARK, MIDDLE, "black"), ("-", "--", "-."), strict=False):
        row = rows[k]
        d = np.append([p.max_distortion for p in row.points], far)
        c = row_values(row, d, surface.floor)
        axes.plot(d, c, line, color=colour, marker=".", ms=4, label=f"all channels, $P$ = {row.max_perception:.2g}")
    d = np.linspace(0.645, far, 250)
    dashes: tuple[tuple[float, Any], ...] = ((0.01, ":"), (0.02, (0, (1, 1))), (0.1, (0, (4, 2))))
    for p, dash in dashes:
        curve = surface.family.best_error_rate(d, p)
        if np.isfinite(curve).any():
            axes.plot(d, curve, ls=dash, lw=1.6, color=ACCENT, label=f"linear, $P$ = {p:.2g}")
    axes.axhline(surface.floor, color="0.6", lw=0.8, zorder=0)
    low, high = axes.get_ylim()
    axes.set_ylim(low - 0.08 * (high - low), high + 0.75 * (high - low))
    axes.annotate(
        "floor: Bayes error of $Y$",
        (far, surface.floor),
        (0, -10),
        textcoords="offset points",
        ha="right",
        fontsize=7.5,
    )
    widest = max((p.gap for row in rows for p in row.points if math.isfinite(p.gap)), default=math.nan)
    axes.set(xlabel="distortion $D$ (squared units of $x$)", ylabel="error rate $C$")
    axes.set_title(
        f"profiles; every certified gap of\nthe {sum(len(r.points) for r in rows)} points is <= {widest:.0e}"
    )
    axes.legend(loc="upper right")


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Write a figure as PDF and PNG."""
    paths = [out / f"{name}.pdf", out / f"{name}.png"]
    # mplot3d projects the masked corners of a surface with whatever their memory holds; the overflow is not drawn
    with matplotlib.rc_context(STYLE), np.errstate(over="ignore", invalid="ignore"):
        figure.savefig(paths[0], metadata={"CreationDate": None})
        figure.savefig(paths[1], dpi=160)
    return paths
