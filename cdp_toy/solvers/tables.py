"""Finite problems as plain tables, for methods that look at many prices or levels at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import cast

from cdp_toy.certificates import Program
from cdp_toy.finite import DiscreteProblem
from cdp_toy.perceptions import FDivergence
from cdp_toy.validation import Array

__all__ = ["Tables", "tables_of"]

#: Pairs of a problem whose costs are kept as tables of 32 MB each at most; methods keep up to three more.
LARGEST = 1 << 22


@dataclass(frozen=True, eq=False)
class Tables:
    """A problem as tables; every letter has mass.

    Attributes
    ----------
    p_y, p_x : arrays of shape (n_y,) and (n_x,)
        Laws.
    error, distance : arrays of shape (n_y, n_x)
        Error and distortion of every pair.
    perception : FDivergence
        A smooth one that is its sum p f(q/p).
    distortion_scale : float
        Unit in which rounding of distortions is measured.
    """

    p_y: Array
    p_x: Array
    error: Array
    distance: Array
    perception: FDivergence
    distortion_scale: float


def tables_of(problem: DiscreteProblem) -> Tables | None:
    """Tables of a problem; None where a letter has no mass, the divergence is not smooth, or they would be too large.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> tables_of(cdp.presets.plane_toy().discretize(n=5)).error.shape
    (25, 25)
    """
    perception = problem.perception
    plain = isinstance(perception, FDivergence) and type(perception).sum_level is FDivergence.sum_level
    if not (plain and perception.smooth and bool((problem.p_x > 0).all()) and problem.n_y * problem.n_x <= LARGEST):
        return None
    return Tables(
        problem.p_y,
        problem.p_x,
        problem.error_cost.table(),
        problem.distortion_cost.table(),
        cast(FDivergence, perception),
        Program(problem, problem.error_cost).distortion_scale,
    )
