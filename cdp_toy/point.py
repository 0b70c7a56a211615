"""The result types everybody returns: Status, Hyperplane, Point, Bracket."""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

__all__ = ["Bracket", "Hyperplane", "Point", "Prices", "Status"]


class Status(enum.Enum):
    """What is proven of a point; the value is a sentence that says what to do."""

    OPTIMAL = "feasible, and the certified gap is within the tolerance"
    INEXACT = "feasible and both bounds hold, but the gap is above the tolerance: raise tol or use a smaller grid"
    INFEASIBLE = "proven: no channel meets both levels; raise max_distortion or max_perception"
    UNDECIDED = "neither a feasible channel nor a proof of infeasibility was found; move away from the boundary"

    def __str__(self) -> str:
        return self.name


class Prices(NamedTuple):
    """Multipliers of the two levels: error (or distortion) gained per unit of level given up."""

    distortion: float
    perception: float


@dataclass(frozen=True)
class Hyperplane:
    """Supporting hyperplane l(D, P) = value + price_distortion (D_i - D) + price_perception (P_i - P).

    It lies below the whole surface: C(D, P) >= l(D, P) for every (D, P).

    Examples
    --------
    >>> Hyperplane(0.2, 0.7, 0.01, 0.5, 1.0).at(0.71, 0.01)
    0.195
    """

    value: float
    max_distortion: float
    max_perception: float
    price_distortion: float
    price_perception: float

    def at(self, max_distortion: float, max_perception: float) -> float:
        """Lower bound on C at another pair of levels; -inf where nothing is proven."""
        if math.isinf(max_perception) and max_perception != self.max_perception:
            return -math.inf  # only the absence of the level lets mass on letters that cost infinitely much
        total = self.value
        for price, here, there in (
            (self.price_distortion, self.max_distortion, max_distortion),
            (self.price_perception, self.max_perception, max_perception),
        ):
            if price != 0 and here != there:
                total += price * (here - there)
        return total


@dataclass(frozen=True)
class Point:
    """One certified point of the surface C(D, P).

    Attributes
    ----------
    status : Status
    scope : str
        What the bounds bound: "grid", the finite problem itself; "continuous", the problem on the line;
        "continuous, rigorous", the same in ball arithmetic.
    lower_bound, upper_bound : float
        Proven bracket of C(D, P); the upper bound is the error rate of a feasible channel (or the lower bound, should
        rounding put that above it), inf where none is known.
    error_rate, distortion, perception : float
        Achieved by the returned channel (NaN without one).
    max_distortion, max_perception : float
        The levels D [distortion units] and P [divergence units].
    price_distortion, price_perception : float
        Prices that prove the lower bound.
    """

    status: Status
    scope: str
    lower_bound: float
    upper_bound: float
    error_rate: float
    distortion: float
    perception: float
    max_distortion: float
    max_perception: float
    price_distortion: float
    price_perception: float

    @property
    def gap(self) -> float:
        """Certified gap upper_bound - lower_bound (never negative; inf without a feasible channel)."""
        if self.status is Status.INFEASIBLE:
            return 0.0
        return max(self.upper_bound - self.lower_bound, 0.0)

    @property
    def hyperplane(self) -> Hyperplane:
        """Global minorant of the surface that this point proves (-inf everywhere for an infeasible one)."""
        if self.status is Status.INFEASIBLE:
            return Hyperplane(-math.inf, self.max_distortion, self.max_perception, 0.0, 0.0)
        return Hyperplane(
            self.lower_bound, self.max_distortion, self.max_perception, self.price_distortion, self.price_perception
        )

    def summary(self) -> str:
        """Few lines of text with every number and its bound."""
        rows = [
            f"C({self.max_distortion:.10g}, {self.max_perception:.10g}) of the {self.scope}: {self.status}",
            f"  ({self.status.value})",
            f"  lower bound   {self.lower_bound:.12f}   upper bound  {self.upper_bound:.12f}   gap  {self.gap:.2e}",
        ]
        if math.isfinite(self.error_rate):
            rows.append(
                f"  channel: error rate {self.error_rate:.12f}, distortion {self.distortion:.12f}, "
                f"perception {self.perception:.3e}"
            )
        rows.append(f"  prices: distortion {self.price_distortion:.6g}, perception {self.price_perception:.6g}")
        return "\n".join(rows)


@dataclass(frozen=True, eq=False)
class Bracket:
    """Certified interval of a boundary value such as D_min(P).

    Attributes
    ----------
    lower, upper : float
        Proven bracket; the upper end is attained by `witness`.
    witness : scipy.sparse.csr_array or None
        Restoration channel, shape (n_y, n_xhat), that attains `upper`.
    prices : Prices
        Multipliers behind the lower end.
    potential : array or None
        Potential v(xhat) behind the lower end: with the prices, the whole certificate.
    """

    lower: float
    upper: float
    witness: Any
    prices: Prices
    potential: Any = None

    @property
    def gap(self) -> float:
        """Width of the bracket."""
        return 0.0 if self.lower == self.upper else max(self.upper - self.lower, 0.0)
