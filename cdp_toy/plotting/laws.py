"""Source law against output law of a solved point. Drawing only."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib
import numpy as np

from cdp_toy.cells import LineCells, PlaneCells
from cdp_toy.finite import DiscreteProblem
from cdp_toy.plotting.mixtures import with_problem
from cdp_toy.plotting.plane import cell_density, draw_law, drawn_ends
from cdp_toy.plotting.style import ACCENT, DARK, LIGHT, STYLE, new_figure
from cdp_toy.solution import Solution
from cdp_toy.surfaces import MixedPoint

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_output_law"]


def plot_output_law(
    solution: Solution | MixedPoint, ax: Axes | None = None, *, problem: DiscreteProblem | None = None
) -> Axes:
    """Draw the output law p_Xhat of a solved point against the source law p_X.

    On the line as densities over the cells, with the class boundaries of the predefined classifier; bars for letters;
    in the plane an image of the output law on the scale of the source law.

    Parameters
    ----------
    solution : Solution or MixedPoint
        A point with a channel, solved or of a surface whose channels were kept.
    ax : matplotlib Axes, optional
        Where to draw; a new figure when left out.
    problem : DiscreteProblem, optional
        The problem that was traced, which a place of a surface does not know.

    Returns
    -------
    matplotlib Axes

    Raises
    ------
    InputError
        When a place of a surface has no channel, or comes without its problem.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> point = cdp.solve(cdp.presets.paper_toy().discretize(n=31), 0.75, 0.05)
    >>> plot_output_law(point).get_ylabel()
    'density (1 / unit of $x$)'
    """
    point = with_problem(solution, problem)
    grid, law = point.problem, point.output_law
    cells = None if grid.grid is None else grid.grid.x_cells
    values = f"C = {point.upper_bound:.6g}, D = {point.distortion:.4g}, P = {point.perception:.3g}"
    with matplotlib.rc_context(STYLE):
        axes = new_figure().add_subplot() if ax is None else ax
        if isinstance(cells, PlaneCells):
            top = float(max(cell_density(cells, p)[2].max() for p in (grid.p_x, law)))
            image = draw_law(axes, cells, law, top, rf"output law $p_{{\hat X}}$: {values}")
            axes.figure.colorbar(image, ax=axes, aspect=30, pad=0.01, label="density (per squared unit of $x$)")
            return axes
        if isinstance(cells, LineCells):
            ends = drawn_ends(cells.edges)
            width = np.diff(ends)
            axes.stairs(grid.p_x / width, ends, fill=True, color=LIGHT, label="source law $p_X$")
            axes.stairs(law / width, ends, color=ACCENT, lw=1.5, label=r"output law $p_{\hat X}$")
            for place in cells.edges[1:-1][np.diff(grid.classes) != 0]:
                axes.axvline(place, color="black", ls="--", lw=1)
            axes.set(xlabel="$x$", ylabel="density (1 / unit of $x$)", xlim=(ends[0], ends[-1]))
        else:
            letters = np.arange(grid.n_x)
            axes.bar(letters - 0.2, grid.p_x, 0.4, color=LIGHT, label="source law $p_X$")
            axes.bar(letters + 0.2, law, 0.4, color=ACCENT, hatch="///", ec="white", label=r"output law $p_{\hat X}$")
            axes.set(xlabel="letter of $x$", ylabel="probability", xticks=letters if grid.n_x <= 20 else [])
        axes.spines["left"].set_color(DARK)
        axes.set_title(values)
        axes.legend(loc="upper right")
    return axes
