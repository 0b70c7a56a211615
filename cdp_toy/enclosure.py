"""Enclosures: what is proven of the continuous problem, with the restoration that attains the upper end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cdp_toy.certificate_files import write_certificate
from cdp_toy.errors import InputError
from cdp_toy.point import Point, Status
from cdp_toy.problem import CDPProblem
from cdp_toy.solution import Solution
from cdp_toy.solvers.monotone import MonotoneMap
from cdp_toy.sources import LineSource
from cdp_toy.validation import Array, finite_array

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

__all__ = ["CONTINUOUS", "RIGOROUS", "DistortionEnclosure", "Enclosure", "nothing", "status_of"]

#: scopes: bounds of the continuous problem in double precision with a rounding allowance, and in ball arithmetic
CONTINUOUS, RIGOROUS = "continuous", "continuous, rigorous"


@dataclass(frozen=True, eq=False)
class Enclosure(Point):
    """Proven interval of the continuous C(D, P) over all restoration channels, which `cdp_toy.enclose` returns.

    Attributes
    ----------
    problem : CDPProblem
    restoration : MonotoneMap, Solution or None
        What attains the upper end: a nondecreasing map of cells of y to cells of xhat, or the channel of a grid.
    n_cells : int
        Output cells of the restoration.
    note : str
        Which bounds were used, and which limit was met where the gap is above the tolerance.
    certificate : dict or None
        What `save` writes; only a rigorous enclosure has one.
    least_distortion : pair of float or None
        Interval of D_min(P) where that lies above D, so that no channel meets the levels.
    """

    problem: CDPProblem
    restoration: MonotoneMap | Solution | None
    n_cells: int
    note: str
    certificate: dict[str, Any] | None = field(default=None, repr=False)
    least_distortion: tuple[float, float] | None = None

    @property
    def width_distortion(self) -> float:
        """Width of the interval seen along D [distortion units]: what D would have to change to move C by the gap.

        Next to D_min(P) the price of distortion grows without bound, and the gap with it; this does not.
        """
        return self.gap / self.price_distortion if self.price_distortion > 0 else 0.0

    def sample(self, y: ArrayLike, rng: np.random.Generator) -> Array:
        """Draw restorations of observations.

        Parameters
        ----------
        y : array [units of x]
        rng : numpy.random.Generator

        Returns
        -------
        array of the shape of y [units of x]
            Draws from the source conditioned to the output cell that each y is sent to.

        Raises
        ------
        InputError
            When there is no restoration, or y is not finite.
        """
        if self.restoration is None:
            raise InputError(f"this enclosure has no restoration: {self.status.value}")
        if isinstance(self.restoration, Solution):
            return self.restoration.sample(y, rng)
        return sample_map(self.problem, self.restoration, y, rng)

    def summary(self) -> str:
        """Few lines of text with every number and its bound."""
        lines = [super().summary().replace("  channel:", "  restoration:")]
        if math.isfinite(self.upper_bound):
            lines.append(f"  width in D {self.width_distortion:.2e}, {self.n_cells} output cells")
        return "\n".join([*lines, f"  {self.note}"])

    def save(self, path: str | Path) -> Path:
        """Write the certificate, from which `cdp-toy verify` derives the interval anew.

        Raises
        ------
        InputError
            When the enclosure is not rigorous.
        """
        if self.certificate is None:
            why = (
                "nothing was proven, so there is nothing to certify"
                if self.scope == RIGOROUS
                else "only rigorous enclosures have a certificate; call enclose(..., rigorous=True)"
            )
            raise InputError(f"cannot save this enclosure: {why}")
        return write_certificate(self.certificate, path)


@dataclass(frozen=True, eq=False)
class DistortionEnclosure:
    """Proven interval of D_min(P) or D_flat(P) of the continuous problem.

    Attributes
    ----------
    quantity : "min_distortion" or "flat_distortion"
    scope : str
        "continuous" or "continuous, rigorous".
    lower, upper : float
        The interval [squared units of x]; `restoration` attains the upper end.
    max_perception : float
        P [units of the divergence].
    restoration : MonotoneMap
    problem : CDPProblem
    certificate : dict or None
    """

    quantity: str
    scope: str
    lower: float
    upper: float
    max_perception: float
    restoration: MonotoneMap
    problem: CDPProblem
    certificate: dict[str, Any] | None = field(default=None, repr=False)

    @property
    def gap(self) -> float:
        """Width of the interval."""
        return max(self.upper - self.lower, 0.0)

    def sample(self, y: ArrayLike, rng: np.random.Generator) -> Array:
        """Draw restorations of observations, as `Enclosure.sample` does."""
        return sample_map(self.problem, self.restoration, y, rng)

    def save(self, path: str | Path) -> Path:
        """Write the certificate; see `Enclosure.save`."""
        if self.certificate is None:
            raise InputError("cannot save this interval: only rigorous ones have a certificate; pass rigorous=True")
        return write_certificate(self.certificate, path)


def sample_map(problem: CDPProblem, found: MonotoneMap, y: ArrayLike, rng: np.random.Generator) -> Array:
    """Draw X given its output cell, for the cell of each y; shape of y."""
    values = finite_array(y, "y")
    assert isinstance(problem.source, LineSource)
    edges = np.concatenate([[-np.inf], found.edges, [np.inf]])
    cell = np.searchsorted(found.places, values.ravel(), side="left")
    return problem.source.sample_cells(edges[cell], edges[cell + 1], rng).reshape(values.shape)


def nothing(problem: CDPProblem, max_distortion: float, max_perception: float, scope: str) -> Enclosure:
    """The enclosure of levels that no channel meets because perception levels below 0 do not exist; to be replaced."""
    return Enclosure(
        status=Status.INFEASIBLE,
        scope=scope,
        lower_bound=math.inf,
        upper_bound=math.inf,
        error_rate=math.nan,
        distortion=math.nan,
        perception=math.nan,
        max_distortion=max_distortion,
        max_perception=max_perception,
        price_distortion=0.0,
        price_perception=0.0,
        problem=problem,
        restoration=None,
        n_cells=0,
        note="no divergence is negative",
    )


def status_of(lower: float, upper: float, tol: float) -> Status:
    """OPTIMAL within the tolerance, INEXACT where a restoration is known, UNDECIDED else."""
    if not math.isfinite(upper):
        return Status.UNDECIDED
    return Status.OPTIMAL if upper - lower <= tol else Status.INEXACT
