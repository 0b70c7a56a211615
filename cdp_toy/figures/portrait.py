"""The picture of a problem: what X is, where the classifier decides, what is seen, what can be known. Drawing only."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cdp_toy.cells import Cells, ErasedOr, LineCells, PlaneCells
from cdp_toy.finite import DiscreteProblem
from cdp_toy.plotting import ACCENT, DARK, LIGHT, MIDDLE, STYLE, cell_density, draw_boundary, draw_law, window
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import LineSource, PlaneSource
from cdp_toy.validation import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["figure_problem"]

COLOURS = (LIGHT, ACCENT, MIDDLE, DARK)
HATCHES = ("", "///", "...", "xxx")


def figure_problem(problem: CDPProblem, grid: DiscreteProblem) -> Figure:
    """Law of X with the classifier beside the law of Y with the posterior, from the cells of a grid.

    Parameters
    ----------
    problem : CDPProblem
    grid : DiscreteProblem
        The problem on a grid fine enough to be looked at, or its letters.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(9.6, 3.9), layout="constrained")
        left, right = figure.subplots(1, 2)
        if isinstance(problem.source, PlaneSource):
            _plane_source(figure, left, problem, grid)
        elif isinstance(problem.source, LineSource):
            _line_source(left, problem, grid)
        else:
            _letters(left, grid.p_x, _class_masses_x(problem), "letter of $x$")
            _name_letters(left, grid)
            left.set(ylabel="probability", title="source $X$; the class of $c_0$ above each letter")
        _observation(figure, right, grid)
        figure.suptitle(problem.name or "problem", fontsize=10)
    return figure


def _stack(axes: Axes, ends: Array, layers: Array) -> None:
    """Class by class, one on top of the other, as steps over intervals."""
    base = np.zeros(layers.shape[1])
    for k, layer in enumerate(layers):
        style: Any = {"facecolor": COLOURS[k % 4], "hatch": HATCHES[k % 4], "edgecolor": "white", "linewidth": 0}
        axes.stairs(base + layer, ends, baseline=base, fill=True, label=f"class {k}", **style)
        base = base + layer
    axes.stairs(base, ends, color=DARK, lw=1)


def _line_source(axes: Axes, problem: CDPProblem, grid: DiscreteProblem) -> None:
    source = problem.source
    assert isinstance(source, LineSource)
    low, high = source.bounds(n_std=4.0)
    x = np.linspace(low, high, 601)
    joint = np.asarray(source.priors)[:, None] * source.density(x)
    base = np.zeros(len(x))
    for k, layer in enumerate(joint):
        style: Any = {"facecolor": COLOURS[k % 4], "hatch": HATCHES[k % 4], "edgecolor": "white", "linewidth": 0}
        axes.fill_between(x, base, base + layer, label=f"class {k}", **style)
        base = base + layer
    axes.plot(x, base, color=DARK, lw=1)
    regions = problem.classifier.regions(source, problem.class_cost)
    top = 1.16 * float(base.max())
    for boundary in regions.boundaries:
        axes.axvline(boundary, color="black", ls="--", lw=1)
    marks = [low, *(b for b in regions.boundaries if low < b < high), high]
    for a, b in pairwise(marks):
        decided = int(regions.at(np.array([(a + b) / 2]))[0])
        axes.text((a + b) / 2, 0.94 * top, f"$c_0$ = {decided}", ha="center", fontsize=8)
    axes.set(xlim=(low, high), ylim=(0, top), xlabel="$x$", ylabel="density (1 / unit of $x$)")
    axes.set_title("source $X$ by class, and the predefined classifier")
    axes.legend(loc="upper right", bbox_to_anchor=(1, 0.92))


def _plane_source(figure: Figure, axes: Axes, problem: CDPProblem, grid: DiscreteProblem) -> None:
    assert grid.grid is not None and isinstance(grid.grid.x_cells, PlaneCells)
    top = float(cell_density(grid.grid.x_cells, grid.p_x)[2].max())
    image = draw_law(axes, grid.grid.x_cells, grid.p_x, top, "source $X$, and the predefined classifier")
    ranges = window(problem, 3.6)
    axes.set(xlim=ranges[0], ylim=ranges[1])
    draw_boundary(axes, problem, "white", None)
    assert isinstance(problem.source, PlaneSource)
    x1, x2 = (np.linspace(*limits, 121) for limits in ranges)
    points = np.stack(np.meshgrid(x1, x2), axis=-1).reshape(-1, 2)
    for k, density in enumerate(problem.source.density(points)):
        level = float(density.max()) * np.exp(-2.0)  # two standard deviations of a Gaussian class
        axes.contour(x1, x2, density.reshape(121, 121), levels=[level], colors=[COLOURS[k % 4]], linewidths=1.3)
        axes.plot([], [], color=COLOURS[k % 4], lw=1.3, label=f"class {k}")
    axes.legend(loc="upper right", frameon=True, framealpha=0.9)
    figure.colorbar(image, ax=axes, aspect=30, pad=0.01, label="density (per squared unit of $x$)")


def _class_masses_x(problem: CDPProblem) -> Array:
    source: Any = problem.source
    return np.asarray(source.priors[:, None] * source.p_x_given_class)


def _letters(axes: Axes, law: Array, layers: Array, label: str) -> None:
    """Stacked bars, one for each letter."""
    base = np.zeros(len(law))
    for k, layer in enumerate(layers):
        axes.bar(
            np.arange(len(law)), layer, bottom=base, color=COLOURS[k % 4], hatch=HATCHES[k % 4], ec="white", lw=0,
            label=f"class {k}",
        )  # fmt: skip
        base = base + layer
    axes.set(xlabel=label, ylim=(0, 1.25 * float(base.max())))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="upper right", ncols=2)


def _name_letters(axes: Axes, grid: DiscreteProblem) -> None:
    for j, (height, decided) in enumerate(zip(grid.p_x, grid.classes, strict=True)):
        axes.annotate(str(int(decided)), (j, height), (0, 3), textcoords="offset points", ha="center", fontsize=8)


def _observation(figure: Figure, axes: Axes, grid: DiscreteProblem) -> None:
    """Law of Y, its classes, and how likely each class is given Y."""
    cells: Cells | None = None if grid.grid is None else grid.grid.y_cells
    erased = 0.0
    joint = (grid.p_y[:, None] * grid.posterior).T
    if isinstance(cells, ErasedOr):
        erased, joint, cells = float(grid.p_y[-1]), joint[:, :-1], cells.seen
    note = f"; erased: {erased:.3g}" if erased else ""
    if isinstance(cells, PlaneCells):
        law = joint.sum(axis=0)
        top = float(cell_density(cells, law)[2].max())
        x1, x2, _ = cell_density(cells, law)
        posterior = np.divide(joint[-1], law, where=law > 0, out=np.full(len(law), np.nan))
        shade = axes.pcolormesh(
            x1, x2, posterior[cells.letters].reshape(cells.shape), cmap="cividis", vmin=0, vmax=1, rasterized=True
        )
        middle = [(c[1:, 1:] + c[:-1, :-1]) / 2 for c in (x1, x2)]
        density = cell_density(cells, law)[2]
        axes.contour(*middle, density, levels=top * np.array([0.05, 0.2, 0.5, 0.8]), colors="white", linewidths=0.8)
        axes.set(xlabel="$y_1$", ylabel="$y_2$", aspect="equal")
        axes.set_title(f"observation $Y$: posterior, contours of its density{note}")
        figure.colorbar(shade, ax=axes, aspect=30, pad=0.01, label=f"posterior P(class {len(joint) - 1} | $y$)")
        return
    if isinstance(cells, LineCells) and cells.letters is None:
        inner = cells.edges[1:-1]
        width = np.diff(inner)
        _stack(axes, inner, joint[:, 1:-1] / width)
        axes.set(xlabel="$y$", ylabel="density (1 / unit of $y$)", xlim=(inner[0], inner[-1]))
        axes.set_ylim(0, 1.3 * float((joint[:, 1:-1].sum(axis=0) / width).max()))
        places = (inner[1:] + inner[:-1]) / 2
        shares = joint[:, 1:-1]
    else:
        _letters(axes, joint.sum(axis=0), joint, "letter of $y$")
        axes.set_ylabel("probability")
        places, shares = np.arange(joint.shape[1], dtype=np.float64), joint
    second = axes.twinx()
    second.spines["right"].set_visible(True)
    law = shares.sum(axis=0)
    few = len(places) <= 12  # letters get marks, a fine grid gets lines
    for k, (mark, dashes) in enumerate(zip("o^sv", ("-.", "--", ":", "-"), strict=True)):
        if 1 <= k < len(shares):
            posterior = np.divide(shares[k], law, where=law > 0, out=np.full(len(law), np.nan))
            look: Any = {"marker": mark, "ms": 4, "ls": "none"} if few else {"ls": dashes}
            second.plot(places, posterior, color="black", label=f"P(class {k} | $y$)", **look)
    second.set(ylim=(0, 1.3), ylabel="posterior probability", yticks=(0, 0.2, 0.4, 0.6, 0.8, 1))
    handles = [h for ax in (axes, second) for h in ax.get_legend_handles_labels()[0]]
    axes.legend(handles, [str(h.get_label()) for h in handles], loc="upper left", ncols=len(handles))
    axes.set_title(f"observation $Y$ by class, and the posterior{note}")
