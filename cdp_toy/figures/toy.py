"""The paper's two figures from closed forms. Drawing only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cdp_toy.linear import LinearDenoiserFamily
from cdp_toy.plotting import ACCENT, DARK, MIDDLE, STYLE
from cdp_toy.published import load

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["figure_1", "figure_2"]


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
