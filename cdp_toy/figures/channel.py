"""Source law, output law and channel of one point in the plane, side by side. Drawing only."""

from __future__ import annotations

import matplotlib
from matplotlib.figure import Figure

from cdp_toy.cells import PlaneCells
from cdp_toy.plotting import STYLE, cell_density, draw_boundary, draw_law, plot_channel, window
from cdp_toy.problem import CDPProblem
from cdp_toy.solution import Solution

__all__ = ["figure_channel"]


def figure_channel(problem: CDPProblem, point: Solution) -> Figure:
    """Source law and output law as images, and the channel as arrows y -> E[Xhat | y], for one point in the plane."""
    grid = point.problem.grid
    assert grid is not None and isinstance(grid.x_cells, PlaneCells)
    ranges = window(problem)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(10.4, 3.7), layout="constrained")
        left, middle, right = figure.subplots(1, 3)
        p_x, q = point.problem.p_x, point.output_law
        top = float(max(cell_density(grid.x_cells, law)[2].max() for law in (p_x, q)))
        draw_law(left, grid.x_cells, p_x, top, r"source law $p_X$")
        name = point.problem.perception.name
        image = draw_law(middle, grid.x_cells, q, top, rf"output law $p_{{\hat X}}$, {name} = {point.perception:.3g}")
        for axes in (left, middle):
            axes.set(xlim=ranges[0], ylim=ranges[1])
            draw_boundary(axes, problem, "white", None)
        figure.colorbar(image, ax=[left, middle], aspect=30, pad=0.01, label="density (per squared unit of $x$)")
        plot_channel(point, ax=right)
        draw_boundary(right, problem, "black", "class boundary of $c_0$")
        figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", ncols=3)
        figure.suptitle(
            f"{problem.name}: C({point.max_distortion:.4g}, {point.max_perception:.3g}) in "
            f"[{point.lower_bound:.6f}, {point.upper_bound:.6f}] of the grid",
            fontsize=9.5,
        )
    return figure
