"""What one map and one dual prove of a monotone problem, in double precision and in ball arithmetic."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from cdp_toy.certificate_files import Ball, Quantity, channel_part, derived, dual_part
from cdp_toy.continuous.lower import Dual, LowerBound, lower_bound, refined_cells
from cdp_toy.continuous.upper import ROUNDING
from cdp_toy.solvers.monotone import MonotoneMap, MonotoneProblem
from cdp_toy.validation import Array

__all__ = ["Evidence"]

#: cells of y for each cell of the output: fewer make the lower end the wider one
OBSERVED = 2


@dataclass(frozen=True, eq=False)
class Evidence:
    """A map and its prices, as evidence for one quantity of a monotone problem.

    Attributes
    ----------
    posed : MonotoneProblem
    quantity : str
        "error_rate" is about C(D, P), "min_distortion" and "flat_distortion" about D_min(P) and D_flat(P),
        "infeasible" says that no channel meets D and P; for this the map is that of least distortion.
    found : MonotoneMap
    max_distortion, max_perception : float
        Levels D and P; D does not matter for the two distortions.
    """

    posed: MonotoneProblem
    quantity: Quantity
    found: MonotoneMap
    max_distortion: float
    max_perception: float

    @property
    def feasible(self) -> bool:
        """The map meets the levels, so that there is an upper end."""
        return math.isfinite(self.upper)

    @cached_property
    def dual(self) -> Dual:
        """Prices and potential of the map."""
        return self.found.dual(self.posed.model)

    @cached_property
    def cells(self) -> Array:
        """Edges of the cells of y that the lower end is integrated over."""
        return refined_cells(self.posed.model, self.dual, OBSERVED * (len(self.found.edges) + 1))

    @cached_property
    def bound(self) -> LowerBound:
        """The lower end; of "infeasible" a number that is positive where the claim is proven."""
        distances = self.quantity in ("min_distortion", "flat_distortion")
        return lower_bound(
            self.posed.model,
            self.dual,
            self.cells,
            0.0 if distances else self.max_distortion,
            self.max_perception,
            above_floor=self.quantity == "flat_distortion",
        )

    @cached_property
    def upper(self) -> float:
        """The upper end, which the map attains; inf where it misses a level."""
        value, variance = self.found.value, self.posed.model.variance
        if value.perception > self.max_perception > 0:  # at P = 0 the map reproduces the source law by construction
            return math.inf
        if self.quantity != "error_rate":
            return value.distortion + ROUNDING * variance
        return value.error_rate + ROUNDING if value.distortion <= self.max_distortion else math.inf

    def certified(self, problem: dict[str, Any], with_dual: bool = True) -> tuple[dict[str, Any], dict[str, Ball]]:
        """A certificate of all this, and the balls that follow from it; `problem` is that of `problem_part`.

        Without the dual the lower end is the floor. A map that misses a level by rounding is left out, which leaves no
        upper end.

        Raises
        ------
        cdp_toy.verify.NotProven
            When the dual proves nothing of its own, such as infeasible levels.
        """
        from cdp_toy.verify import NotProven

        decides = self.quantity == "flat_distortion"
        channel = None
        if self.quantity != "infeasible" and self.feasible:
            channel = channel_part(self.found, self.max_perception == 0, decides)
        dual = dual_part(self.posed.model, self.dual, self.cells) if with_dual else None
        limit = self.max_distortion if self.quantity in ("error_rate", "infeasible") else None
        try:
            return derived(problem, self.quantity, limit, self.max_perception, channel, dual)
        except NotProven:
            if channel is None:
                raise
            return derived(problem, self.quantity, limit, self.max_perception, None, dual)
