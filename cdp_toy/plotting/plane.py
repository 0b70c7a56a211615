"""Laws in the plane: images over the cells of a grid, and the boundary of a classifier. Drawing only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np

from cdp_toy.cells import PlaneCells
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import PlaneSource
from cdp_toy.validation import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["cell_density", "draw_boundary", "draw_law", "drawn_centres", "drawn_ends", "window"]

#: tails are drawn this many times as wide as the cell next to them
TAIL = 0.6
#: pixels along an axis when a classifier's regions are drawn
PIXELS = 301


def drawn_ends(edges: Array) -> Array:
    """Edges with the infinite ones moved to where their tails are drawn."""
    out = edges.copy()
    out[0], out[-1] = out[1] - TAIL * (out[2] - out[1]), out[-2] + TAIL * (out[-2] - out[-3])
    return out


def cell_density(cells: PlaneCells, law: Array) -> tuple[Array, Array, Array]:
    """Corners (x1, x2) of the rectangles, each of shape (n1 + 1, n2 + 1), and mass per drawn area, shape (n1, n2).

    Tails are drawn of finite width; rectangles that share a letter share its mean density.
    """
    first, second = (drawn_ends(edges) for edges in cells.edges)
    u = np.stack(np.meshgrid(first, second, indexing="ij"), axis=-1)
    corners = u @ cells.frame
    area = np.outer(np.diff(first), np.diff(second))
    density = law / cells.gather(area.ravel())
    return corners[..., 0], corners[..., 1], density[cells.letters].reshape(cells.shape)


def window(problem: CDPProblem, n_std: float = 3.3) -> tuple[tuple[float, float], tuple[float, float]]:
    """Ranges of x1 and x2 that show the source."""
    assert isinstance(problem.source, PlaneSource)
    first, second = problem.source.bounds(np.eye(2), np.zeros((2, 2)), n_std)
    return first, second


def draw_law(axes: Axes, cells: PlaneCells, law: Array, top: float, title: str) -> Any:
    """Image of a law over its cells; returns the artist for a colour bar."""
    x1, x2, density = cell_density(cells, law)
    image = axes.pcolormesh(x1, x2, density, cmap="cividis", vmin=0, vmax=top, rasterized=True)
    # beyond the drawn ends of the tails there is next to nothing
    axes.set(xlabel="$x_1$", ylabel="$x_2$", title=title, aspect="equal", facecolor=matplotlib.colormaps["cividis"](0))
    return image


def draw_boundary(axes: Axes, problem: CDPProblem, colour: str, label: str | None) -> None:
    """Boundary of the predefined classifier within the limits of the axes."""
    x1, x2 = (np.linspace(*limits, PIXELS) for limits in (axes.get_xlim(), axes.get_ylim()))
    points = np.stack(np.meshgrid(x1, x2), axis=-1).reshape(-1, 2)
    decided = problem.classifier.decide(problem.source, problem.class_cost, points).reshape(PIXELS, PIXELS)
    levels = np.arange(problem.source.n_classes - 1) + 0.5
    axes.contour(x1, x2, decided, levels=levels, colors=colour, linewidths=1.2, linestyles="--")
    if label is not None:
        axes.plot([], [], "--", color=colour, lw=1.2, label=label)


def drawn_centres(cells: PlaneCells) -> Array:
    """Middle of every letter's rectangles as they are drawn, shape (n, 2)."""
    first, second = (drawn_ends(edges) for edges in cells.edges)
    u1, u2 = (first[1:] + first[:-1]) / 2, (second[1:] + second[:-1]) / 2
    centres = np.stack(np.meshgrid(u1, u2, indexing="ij"), axis=-1).reshape(-1, 2) @ cells.frame
    return np.asarray((cells.gather(centres.T) / cells.gather(np.ones(len(centres)))).T)
