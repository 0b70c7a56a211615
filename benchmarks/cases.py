"""The problems that are timed: toys on the line and in the plane, from small to large."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import cdp_toy as cdp

__all__ = ["Case", "all_cases", "quick_cases"]

MODELS: dict[str, Callable[[], cdp.CDPProblem]] = {
    "paper toy": cdp.presets.paper_toy,
    "threshold-0 toy": lambda: cdp.presets.paper_toy(threshold=0.0),
    "plane toy": cdp.presets.plane_toy,
}

#: Tails of the grids on the line begin here.
LINE_BOUNDS = (-6.0, 6.0)

#: Relative change of D - D_min and of P from a point to its neighbour.
NEIGHBOUR = 0.05


@dataclass(frozen=True)
class Case:
    """One finite problem and how far from the boundary it is solved.

    Parameters
    ----------
    model : str
        Key of `MODELS`.
    perception : str
    n : int
        Cells per axis, of x and of y.
    level : float
        Perception level P.
    kind : "cells" or "points"
    margin : float
        D - D_min(P), D_min being that of the grid: a fixed D would lie elsewhere on every grid.
    """

    model: str
    perception: str
    n: int
    level: float
    kind: Literal["cells", "points"] = "cells"
    margin: float = 0.003

    @property
    def dim(self) -> int:
        """Dimension of x."""
        return 2 if self.model.startswith("plane") else 1

    @property
    def tol(self) -> float:
        """Absolute certified gap that ours is asked for."""
        return 1e-8 if self.dim == 1 else 1e-7

    @property
    def series(self) -> str:
        """What is the same along a row of growing sizes."""
        return f"{self.model}, {self.perception}, P = {self.level:g}"

    @property
    def size(self) -> str:
        """Cells as they are written in tables."""
        return str(self.n) if self.dim == 1 else f"{self.n}x{self.n}"

    @property
    def entries(self) -> int:
        """Number of entries of a channel."""
        return int(self.n ** (2 * self.dim))

    def grid(self) -> cdp.DiscreteProblem:
        """Discretize afresh, so that nothing cached on a problem carries over from one timing to the next."""
        problem = dataclasses.replace(MODELS[self.model](), perception=self.perception)
        bounds = LINE_BOUNDS if self.dim == 1 else None
        return problem.discretize(n=self.n, bounds=bounds, kind=self.kind)

    def record(self) -> dict[str, Any]:
        """Plain values, from which `Case(**values)` makes the case again."""
        return dataclasses.asdict(self)


def all_cases() -> list[Case]:
    """Everything, sizes ascending within a series."""
    return [
        *(Case("paper toy", "kl", n, p) for p in (0.001, 0.003, 0.01) for n in (51, 101, 201, 301, 401, 801, 1601)),
        *(Case("paper toy", "kl", n, 0.0) for n in (51, 101, 201)),
        *(Case("threshold-0 toy", "kl", n, 0.003) for n in (51, 101, 201, 401)),
        *(Case("threshold-0 toy", "tv", n, 0.01) for n in (51, 101, 201)),
        # on cells the Wasserstein distance is that of laws within cells; on points it is the plain one of the peers
        *(Case("threshold-0 toy", "w1", n, 0.03, "points") for n in (51, 101, 201)),
        *(Case("plane toy", "kl", n, 0.01) for n in (12, 16, 24, 32, 48, 80)),
    ]


def quick_cases() -> list[Case]:
    """Small sizes of every kind: a few minutes."""
    small = {1: 51, 2: 12}
    return [
        case
        for case in all_cases()
        if case.n <= small[case.dim] or (case.model == "paper toy" and case.level == 0.003 and case.n <= 101)
    ]
