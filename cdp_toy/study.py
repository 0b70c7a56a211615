"""One problem of the main job: its model, its grid, and the linear families that are put beside it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from cdp_toy import presets
from cdp_toy.errors import InputError
from cdp_toy.finite import DiscreteProblem
from cdp_toy.linear import LinearDenoiserFamily, PlaneLinearFamily, linear_denoiser
from cdp_toy.problem import CDPProblem
from cdp_toy.scan import Row
from cdp_toy.sources import PlaneSource, TableSource
from cdp_toy.validation import Array

__all__ = ["CELLS_ON_LINE", "Kind", "Study", "paper_study", "portrait_grid", "study_of"]

Kind = Literal["cells", "points"]

#: Cells per axis when none are asked for: on the line, and in the plane, where a point has n^4 channel entries.
CELLS_ON_LINE, CELLS_IN_PLANE = 101, 16

#: Where the paper's axis of distortion ends, and the linear family's values are tabulated from.
PAPER_D, PAPER_P = (0.667, 0.745), (0.0065, 0.4)

#: Points of the lattice on which claims about the linear family are checked, along D and P.
LATTICE = 15


@dataclass(frozen=True, eq=False)
class Study:
    """One problem of a job: its model, its grid, and the linear families that are put beside it.

    `ranges` are the intervals of D and P on which the families are compared; found from the scan when None.
    """

    name: str
    problem: CDPProblem
    grid: DiscreteProblem
    families: dict[str, LinearDenoiserFamily | PlaneLinearFamily] = field(default_factory=dict)
    ranges: tuple[tuple[float, float], tuple[float, float]] | None = None

    def lattice(self, rows: tuple[Row, ...]) -> tuple[Array, Array]:
        """Levels D and P on which claims about the families are checked."""
        d, p = self.ranges or (
            (min(row.min_distortion.upper for row in rows), self.far(rows)),
            (rows[0].max_perception, rows[-1].max_perception),
        )
        return np.linspace(*d, LATTICE), np.linspace(*p, LATTICE)

    def far(self, rows: tuple[Row, ...]) -> float:
        """Where a picture ends in D: a little beyond the end of every row."""
        if self.ranges is not None:
            return self.ranges[0][1]
        low, high = min(row.min_distortion.upper for row in rows), max(row.end for row in rows)
        return high + 0.15 * max(high - low, 1e-3 * abs(high), 1e-9)  # a strip without width is a line in the picture


def paper_study(name: str, threshold: float | None, n: int | tuple[int, int] | None) -> Study:
    """The paper's toy with one of its classifiers; the Bayes threshold for X when `threshold` is None."""
    toy = presets.paper_toy(threshold)
    grid = toy.discretize(n=n or CELLS_ON_LINE)
    return Study(name, toy, grid, {"linear_family": linear_denoiser(toy)}, (PAPER_D, PAPER_P))


def study_of(problem: CDPProblem, n: int | tuple[int, int] | None, kind: Kind, say: Callable[[str], None]) -> Study:
    """A problem on its grid, with as many linear families as have closed forms for it."""
    in_plane = isinstance(problem.source, PlaneSource)
    grid = _on_grid(problem, n, CELLS_ON_LINE, CELLS_IN_PLANE, kind)
    families: dict[str, LinearDenoiserFamily | PlaneLinearFamily] = {}
    for column, family in (("linear_family", "scalar"), *((("linear_diagonal", "diagonal"),) if in_plane else ())):
        try:
            families[column] = linear_denoiser(problem, family=family)
        except InputError as reason:
            say(f"no linear denoisers ({family}) beside the exact surface: {reason}")
    return Study(problem.name or "problem", problem, grid, families)


def portrait_grid(problem: CDPProblem, n: int | tuple[int, int] | None = None) -> DiscreteProblem:
    """The problem on a grid that is fine to look at: 201 cells on the line and 41 x 41 in the plane when n is None."""
    if not isinstance(problem.source, TableSource):  # a picture shows no distortion, and this one has exact cells
        problem = dataclasses.replace(problem, distortion="squared_error")
    return _on_grid(problem, n, on_line=201, in_plane=41)


def _on_grid(
    problem: CDPProblem, n: int | tuple[int, int] | None, on_line: int, in_plane: int, kind: Kind = "cells"
) -> DiscreteProblem:
    """Discretize with n cells, or a default where cells are needed and none are asked for."""
    finite = isinstance(problem.source, TableSource)
    if n is None and not (finite and not problem.degradation.needs_cells(problem.source)):
        n = in_plane if problem.source.dim == 2 else on_line
    return problem.discretize(n=n, kind=kind)
