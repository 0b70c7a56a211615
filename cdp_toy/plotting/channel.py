"""A restoration channel: heat map of W over letters, arrows y -> E[Xhat | y] in the plane. Drawing only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.ticker import MaxNLocator

from cdp_toy.cells import ErasedOr, LineCells, PlaneCells
from cdp_toy.finite import DiscreteProblem
from cdp_toy.plotting.mixtures import with_problem
from cdp_toy.plotting.plane import drawn_centres, drawn_ends
from cdp_toy.plotting.style import ACCENT, STYLE, new_figure
from cdp_toy.solution import Solution
from cdp_toy.surfaces import MixedPoint
from cdp_toy.validation import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["arrow_ends", "plot_channel"]

#: observations with less probability get no arrow
RAREST = 1e-4


def plot_channel(
    solution: Solution | MixedPoint, ax: Axes | None = None, *, problem: DiscreteProblem | None = None
) -> Axes:
    """Draw the restoration channel of a solved point.

    On the line and for letters a heat map of W(xhat | y) with the mean restoration E[Xhat | y] as a line; in the plane
    an arrow from every observation to its mean restoration, coloured by the posterior of the last class.

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
    >>> grid = cdp.presets.binary_conflict().discretize()
    >>> plot_channel(cdp.solve(grid, 0.3, 0.05)).get_xlabel()
    'letter of $y$'
    """
    point = with_problem(solution, problem)
    with matplotlib.rc_context(STYLE):
        axes = new_figure().add_subplot() if ax is None else ax
        grid = point.problem.grid
        if grid is not None and isinstance(grid.x_cells, PlaneCells):
            _arrows(axes, point)
        else:
            _heat_map(axes, point)
    return axes


def arrow_ends(solution: Solution) -> tuple[Array, Array]:
    """Places of the observations and of their mean restorations in the plane, each of shape (n_y, 2).

    An observation of one coordinate is placed below the restorations, one without a place (an erasure) at NaN.
    """
    problem = solution.problem
    assert problem.grid is not None and problem.x_values is not None and solution.sparse_channel is not None
    target = np.asarray(solution.sparse_channel @ problem.x_values)
    cells = problem.grid.y_cells.seen if isinstance(problem.grid.y_cells, ErasedOr) else problem.grid.y_cells
    places = np.full((problem.n_y, 2), np.nan)
    if isinstance(cells, PlaneCells):
        places[: cells.n] = drawn_centres(cells)
    elif isinstance(cells, LineCells):
        ends = drawn_ends(cells.edges)
        places[: cells.n, 0] = (ends[:-1] + ends[1:]) / 2
        places[: cells.n, 1] = target[:, 1].min() - 0.25 * np.ptp(target[:, 1])
    return places, target


def _arrows(axes: Axes, solution: Solution) -> None:
    places, target = arrow_ends(solution)
    problem = solution.problem
    shown = (problem.p_y > RAREST) & np.isfinite(places).all(axis=1)
    quiver = axes.quiver(
        *places[shown].T,
        *(target - places)[shown].T,
        problem.posterior[shown, -1],
        cmap="cividis",
        angles="xy",
        scale_units="xy",
        scale=1,
        width=0.006,
        clim=(0, 1),
    )
    axes.plot(*places[shown].T, ".", color="0.55", ms=3, label="observation $y$")
    axes.plot(*target[shown].T, "o", ms=2.6, mfc="none", mec=ACCENT, mew=0.7, label=r"$E[\hat X\mid y]$")
    ends = np.concatenate([places[shown], target[shown]])
    margin = 0.04 * np.ptp(ends, axis=0)
    low, high = ends.min(axis=0) - margin, ends.max(axis=0) + margin
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]), aspect="equal", xlabel="$x_1$", ylabel="$x_2$")
    axes.set_title(r"channel: $y \rightarrow E[\hat X \mid y]$")
    label = f"posterior P(class {problem.posterior.shape[1] - 1} | $y$)"
    axes.figure.colorbar(quiver, ax=axes, aspect=30, pad=0.01, label=label)


def _heat_map(axes: Axes, solution: Solution) -> None:
    problem, grid, channel = solution.problem, solution.problem.grid, solution.channel
    if grid is not None and isinstance(grid.x_cells, LineCells) and isinstance(grid.y_cells, LineCells):
        assert problem.x_values is not None
        y_ends, x_ends = drawn_ends(grid.y_edges), drawn_ends(grid.x_edges)
        names, unit = "", "density (1 / unit of $x$)"
        shade = channel / np.diff(x_ends)
        mean = channel @ problem.x_values[:, 0]
        axes.plot((y_ends[1:] + y_ends[:-1]) / 2, mean, color=ACCENT, lw=1.2, label=r"$E[\hat X\mid y]$")
        axes.legend(loc="upper left", frameon=True, framealpha=0.9)
    else:
        y_ends, x_ends = (np.asarray(np.arange(n + 1) - 0.5) for n in solution.problem.shape)
        names, unit = "letter of ", "probability"
        shade = np.asarray(channel)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_locator(MaxNLocator(integer=True))
    image: Any = axes.pcolormesh(y_ends, x_ends, shade.T, cmap="cividis", vmin=0, rasterized=True)
    axes.set(xlabel=f"{names}$y$", ylabel=rf"{names}$\hat x$", title=r"channel $W(\hat x\mid y)$")
    axes.figure.colorbar(image, ax=axes, aspect=30, pad=0.01, label=unit)
