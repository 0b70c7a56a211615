"""What a perception declares: its statistic, value, convexity and dual term; and the family of f-divergences.

A perception measures the output law q against the source law p, both of shape (n,). Its dual term at a potential v is

    dual_term(p, v, P) = min { sum v q : q a probability law, divergence(p, q) <= P },

found by maximising a concave dual whose every point is a lower bound, so that the number returned is always one.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import brentq
from scipy.sparse import csr_array

from cdp_toy.errors import InputError
from cdp_toy.validation import Array, Mask

__all__ = [
    "DualTerm",
    "FDivergence",
    "Letters",
    "Moves",
    "Perception",
    "ShiftedTerm",
    "best_shift",
    "product",
    "root_in_log",
]


class DualTerm(NamedTuple):
    """Lower bound `value` on min {v.q : divergence <= P}, and the price -d value / dP that attains it.

    The minimising `law` q, where it is known, is a hint for channels; no bound rests on it.
    """

    value: float
    price: float
    law: Array | None = None


class ShiftedTerm(NamedTuple):
    """Dual at one shift c: `excess` = term(u + c) - c, the minimising q (of any mass), and the price."""

    excess: float
    law: Array
    price: float


class Letters(NamedTuple):
    """The output letters of a finite problem: places (n, dim), and the variance of what each stands for (n,).

    On cells these are the mean and the trace of the covariance of the source in the cell; points have variance 0.
    """

    places: Array
    variances: Array


class Moves(NamedTuple):
    """A ball {q : perception <= P} as {p + effect f : f >= 0, cost.f <= P, supply f <= p}: m moves of mass f (m,).

    `effect` has shape (n, m), `cost` (m,), `supply` (n, m) or None where there is no limit.
    """

    effect: csr_array
    cost: Array
    supply: csr_array | None = None


class Perception(ABC):
    """Distance of the output law q from the source law p: a convex function of q that is 0 at q = p alone."""

    #: public name of the perception
    name: str
    #: what its values are measured in, empty for a pure number
    unit: str = ""
    #: cost of mass on letters with p = 0, per unit and far from p; inf puts them out of reach
    slope_at_infinity: float
    #: the statistic of the channel that the value is a function of
    statistic = "output_law"
    #: the program is convex only for a convex perception
    convex = True
    #: the constraint can be written with linear inequalities alone, those of `moves`
    polyhedral = False
    #: an f-divergence whose `descent`, `curvature` and `ratio_at` are there, as Newton's method needs them
    smooth = False

    @abstractmethod
    def value(self, p: Array, q: Array) -> float:
        """Return the perception of the output law q under the source law p, arrays of shape (n,)."""

    @abstractmethod
    def _dual(self, p: Array, potential: Array, level: float) -> DualTerm:
        """Dual term for 0 < level < inf."""

    @abstractmethod
    def conic_constraints(
        self, cp: Any, p: Array, seen: Mask, ratio: Any, outside: Any | None, level: float
    ) -> list[Any]:
        """Return constraints for a modelling module `cp` that keep the perception within a level.

        Parameters
        ----------
        cp : module
        p : array of shape (n,)
            Source law.
        seen : boolean array of shape (n,)
            Letters with source mass.
        ratio : expression of shape (seen.sum(),)
            q/p on these letters.
        outside : expression or None
            Masses q of the other letters, None where there are none.
        level : float
        """

    def moves(self, p: Array) -> Moves:
        """Return the linear description of the ball, for a polyhedral perception."""
        raise InputError(f"perception {self.name} is not polyhedral")

    def bound_to(self, letters: Letters | None) -> Perception:
        """Return the perception on the letters of a finite problem; most do not look at them."""
        return self

    def dual_term(self, p: Array, potential: Array, level: float) -> DualTerm:
        """Lower bound on min {sum potential q : perception(p, q) <= level}, with its price.

        Parameters
        ----------
        p, potential : arrays of shape (n,)
        level : float
            Perception level P >= 0; at 0 only q = p remains, at inf every law.
        """
        if level == 0:
            return DualTerm(float(p @ potential), math.inf)
        if math.isinf(level):
            return DualTerm(float(potential.min()), 0.0)
        allowed = potential if math.isfinite(self.slope_at_infinity) else potential[p > 0]
        if np.ptp(allowed) == 0:
            return DualTerm(float(allowed.min()), 0.0)
        return self._dual(p, potential, level)

    def __eq__(self, other: object) -> bool:
        """Equal when of one kind: a perception is its formula."""
        return type(self) is type(other) and vars(self) == vars(other)

    def __hash__(self) -> int:
        return hash(type(self))

    def __repr__(self) -> str:
        return f"<perception {self.name}>"


class FDivergence(Perception):
    """f-divergence sum p f(q/p) with f convex and f(1) = f'(1) = 0, or an increasing function of one.

    Letters of zero source probability cost `slope_at_infinity` times the mass they receive. A subclass is one file:
    the generator, its slope at infinity, the dual term and the form that the conic reference solver understands;
    `log_integrand`, `tail_powers` and `kinked` tell quadratures on the line more than the generator does.
    """

    #: f has a kink at q = p, so that p f(q/p) has one wherever the densities cross
    kinked = False
    #: (a, b) when p f(q/p) grows like p^a q^b in some tail and the integral may diverge; None when it never does
    tail_powers: tuple[float, float] | None = None

    @abstractmethod
    def generator(self, x: Array) -> Array:
        """Return f(1 + x), written in the excess x = q/p - 1 so that nothing cancels near q = p."""

    def descent(self, ratio: Array) -> Array:
        """Return f'(inf) - f'(ratio), or -f'(ratio) where f'(inf) is infinite: the potential of a letter per price.

        Written as the difference that it is, so that nothing cancels for large ratios.
        """
        raise InputError(f"the divergence {self.name} has no smooth generator")

    def curvature(self, ratio: Array) -> Array:
        """Return f''(ratio)."""
        raise InputError(f"the divergence {self.name} has no smooth generator")

    def ratio_at(self, descent: Array) -> Array:
        """Return the ratio r >= 0 of a descent, 0 for descents above that of r = 0."""
        raise InputError(f"the divergence {self.name} has no smooth generator")

    def conjugate(self, descent: Array) -> Array:
        """Return min over r >= 0 of f(r) - (f'(inf) - descent) r, with 0 for an infinite f'(inf).

        The minimum is at `ratio_at(descent)`. It is concave and increasing in the descent, -inf where f is not bounded
        below by that line.
        """
        raise InputError(f"the divergence {self.name} has no smooth generator")

    def conic(self, cp: Any, ratio: Any) -> tuple[Any, float]:
        """Return the convex expression f(ratio) for a modelling module `cp`, and its slope at infinity.

        Any f that differs from `generator` by a multiple of ratio - 1 serves, since both laws have mass one.
        """
        raise InputError(f"the divergence {self.name} tells cone solvers no form of f(q/p)")

    def conic_constraints(
        self, cp: Any, p: Array, seen: Mask, ratio: Any, outside: Any | None, level: float
    ) -> list[Any]:
        """Return sum p f(q/p) <= level, with the slope at infinity for the mass outside."""
        divergence, slope = self.conic(cp, ratio)
        total, unreachable = p[seen] @ divergence, []
        if outside is not None:
            if math.isinf(slope):
                unreachable = [outside == 0]
            elif slope > 0:
                total = total + slope * cp.sum(outside)
        return [total <= level, *unreachable]

    def log_integrand(self, log_p: Array, log_q: Array) -> Array:
        """Return p f(q/p) from the logarithms of two densities.

        A subclass overrides this with a formula that forms no ratio q/p: far in the tails the ratio leaves the range of
        doubles, or rounds to q/p - 1 = -1, long before its product with p is negligible. Here the ratio is kept within
        1e-16 .. 1e304 instead, which is exact where f is bounded near 0.
        """
        log_ratio = log_q - log_p
        excess = np.expm1(np.clip(log_ratio, -36.0, 700.0))
        per_mass = self.generator(excess)  # f(q/p), per unit of p; where q > p the larger mass is the safe factor
        return np.where(
            log_ratio > 0, product(np.exp(log_q), per_mass / (1 + excess)), product(np.exp(log_p), per_mass)
        )

    def sum_level(self, level: float) -> float:
        """Return the level of sum p f(q/p) that is the given level of the divergence."""
        return level

    def of_sum(self, total: float) -> float:
        """Return the divergence whose sum p f(q/p) is `total`: the inverse of `sum_level`."""
        return total

    def sum_slope(self, level: float) -> float:
        """Return the derivative of `sum_level`."""
        return 1.0

    def largest_sum(self) -> float:
        """Return f(0) + lim f(r)/r, the sum p f(q/p) of mutually singular laws; none is larger."""
        with np.errstate(divide="ignore", invalid="ignore"):
            return float(self.generator(np.array(-1.0))) + self.slope_at_infinity

    def value(self, p: Array, q: Array) -> float:
        """Divergence of the output law q from the source law p [nats or dimensionless].

        Parameters
        ----------
        p, q : arrays of shape (n,)
            Probabilities; inf is returned where q misses mass that the divergence cannot do without.
        """
        return self.of_sum(self.sum_value(p, q))

    def sum_value(self, p: Array, q: Array) -> float:
        """Return sum p f(q/p) with f'(inf) for the mass on letters without source probability; shapes (n,)."""
        seen = p > 0
        outside = float(q[~seen].sum())
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            inside = float(p[seen] @ self.generator((q[seen] - p[seen]) / p[seen]))
        return inside + (self.slope_at_infinity * outside if outside > 0 else 0.0)


def product(weight: Array, factor: Array) -> Array:
    """Product of a weight >= 0 and a factor, with 0 * inf = 0."""
    return np.asarray(weight * np.where(weight > 0, factor, 0.0))


def root_in_log(function: Callable[[float], float], start: float) -> float:
    """Root of a decreasing function of a positive number, bracketed outwards from `start`.

    The end of the double range is returned when there is no sign change: the caller's formula is a bound anywhere.
    """
    low = high = math.log(start)
    step = 1.0
    while function(math.exp(low)) < 0 and low > -250:
        low, step = max(low - step, -250.0), step * 2
    step = 1.0
    while function(math.exp(high)) > 0 and high < 250:
        high, step = min(high + step, 250.0), step * 2
    if not function(math.exp(low)) >= 0 >= function(math.exp(high)):
        return math.exp(low if function(math.exp(low)) < 0 else high)
    return math.exp(brentq(lambda t: function(math.exp(t)), low, high, xtol=1e-13))


def best_shift(potential: Array, term: Callable[[Array, float], ShiftedTerm]) -> DualTerm:
    """Maximise over the constant added to a potential, for divergences whose price has a closed form.

    Rows of a channel sum to one, so v + c gives the same program; the best c is where the minimising q has mass one.
    """
    lowest = float(potential.min())
    excess_potential = potential - lowest
    scale = float(excess_potential.max())
    shift = root_in_log(lambda c: float(term(excess_potential, c).law.sum()) - 1.0, scale)
    best = term(excess_potential, shift)
    if best.excess < 0:  # v >= lowest everywhere, so the constant potential is always as good
        return DualTerm(lowest, 0.0)
    return DualTerm(lowest + best.excess, best.price, best.law)
