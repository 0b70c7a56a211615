"""The paper's linear family Xhat = a Y: three curves in one number a, and the best a under both constraints.

Error rate and distortion are closed forms in Gaussian cdfs and moments, the perception is a quadrature in one
dimension. Nothing is discretized, so every number is the continuous problem's.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq
from scipy.special import ndtr

from cdp_toy.classifiers import Regions, TableClassifier
from cdp_toy.degradations import AdditiveGaussian
from cdp_toy.distortions import SquaredError, distortion_from
from cdp_toy.errors import InputError
from cdp_toy.linear.line_divergence import Mixture, f_divergence, mixture_divergence
from cdp_toy.linear.scalar_search import NEAR_ZERO, SCAN_POINTS, ScalarSearch
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import Component, GaussianMixture
from cdp_toy.validation import Array, check_level, finite_array

KIND = "the linear family Xhat = a Y needs"

__all__ = ["LinearDenoiserFamily", "LinearOptimum"]


@dataclass(frozen=True)
class LinearOptimum:
    """A member Xhat = a Y of the family, with its three figures of merit."""

    a: float
    error_rate: float
    distortion: float
    perception: float


@dataclass(frozen=True, eq=False)
class LinearDenoiserFamily:
    """Error rate, distortion and perception of Xhat = a Y, and the least error rate under both constraints.

    C_lin(D, P) = min { error_rate(a) : distortion(a) <= D, perception(a) <= P, a in a_range }.

    Parameters
    ----------
    problem : CDPProblem
        Gaussian-mixture source, Gaussian noise or none, decision regions on the line, squared error.
    a_range : (low, high)
        The a-values that the optima search; the curves themselves are defined for every a.

    Raises
    ------
    InputError
        When a piece of the problem has no closed form here (the message names it), or a_range is empty.

    Notes
    -----
    Constraints are met to rounding, about 1e-14 in either level. Where a level is within 1e-12 of its least value the
    feasible a are known only to about the square root of that.

    References
    ----------
    Liu, Zhang and Xiong, "On the Classification-Distortion-Perception Tradeoff", NeurIPS 2019, section 2.4.
    """

    problem: CDPProblem
    a_range: tuple[float, float] = (0.0, 4.0)

    def __post_init__(self) -> None:
        problem = self.problem
        if not isinstance(problem, CDPProblem):
            raise InputError(f"linear_denoiser needs a CDPProblem, got {type(problem).__name__}")
        if not isinstance(problem.source, GaussianMixture):
            raise InputError(f"{KIND} a GaussianMixture source; this one is a {type(problem.source).__name__}")
        if not isinstance(problem.degradation, AdditiveGaussian):
            name = type(problem.degradation).__name__
            raise InputError(f"{KIND} a degradation AdditiveGaussian or Identity; this one is a {name}")
        if isinstance(problem.classifier, TableClassifier):
            raise InputError(f"{KIND} a ThresholdClassifier or BayesClassifier; a table has no regions on the line")
        distortion = distortion_from(problem.distortion)
        if not isinstance(distortion, SquaredError):
            raise InputError(f'{KIND} distortion="squared_error"; "{distortion.name}" has no closed form here')
        f_divergence(problem.perception, KIND)
        ends = finite_array(self.a_range, "a_range")
        if ends.shape != (2,) or not ends[0] < ends[1]:
            raise InputError(f"a_range must be two numbers low < high, got {self.a_range}")
        object.__setattr__(self, "a_range", (float(ends[0]), float(ends[1])))

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise [units of x]."""
        return cast(AdditiveGaussian, self.problem.degradation).noise_std

    @cached_property
    def regions(self) -> Regions:
        """Decision regions of the predefined classifier."""
        return self.problem.classifier.regions(self.source, np.asarray(self.problem.class_cost))

    @property
    def source(self) -> GaussianMixture:
        """The source, known to be a Gaussian mixture."""
        return cast(GaussianMixture, self.problem.source)

    @cached_property
    def _components(self) -> list[Component]:
        """The Gaussians of X that have mass, with their joint weight P_c w."""
        joint = [g._replace(weight=self.source.priors[g.class_index] * g.weight) for g in self.source.components]
        return [g for g in joint if g.weight > 0]

    @cached_property
    def _x_law(self) -> Mixture:
        weights, means, stds = np.array([(g.weight, g.mean, g.std) for g in self._components]).T
        return Mixture(weights, means, stds**2)

    @cached_property
    def _y_law(self) -> Mixture:
        law = self._x_law
        return Mixture(law.weights, law.means, law.variances + self.noise_std**2)

    @cached_property
    def _second_moment(self) -> float:
        law = self._x_law
        return math.fsum(law.weights * (law.means**2 + law.variances))

    # error rate

    def _boundary_terms(self, a: Array) -> Iterator[tuple[float, float, float, Array]]:
        """For each component and boundary: weighted step of the cost, boundary, std of Y, and standardized place z.

        P(a Y >= boundary | component) = ndtr(z) for any sign of a != 0.
        """
        cost = np.asarray(self.problem.class_cost)
        for g in self._components:
            std = math.hypot(g.std, self.noise_std)
            steps = g.weight * np.diff(cost[g.class_index, list(self.regions.classes)])
            for boundary, step in zip(self.regions.boundaries, steps.tolist(), strict=True):
                with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                    z = np.sign(a) * (g.mean - boundary / a) / std
                yield step, boundary, std, z

    def error_rate(self, a: ArrayLike) -> Array:
        """Expected class cost of Xhat = a Y (the error rate for 0-1 cost); at a = 0 the cost of deciding Xhat = 0.

        sum_c P_c sum_k class_cost[c, k] P(a Y in region k | c), each probability a difference of Gaussian cdfs.

        Examples
        --------
        >>> from cdp_toy import presets
        >>> print(f"{LinearDenoiserFamily(presets.paper_toy()).error_rate(0.5):.12f}")
        0.204117333467
        """
        points, cost = finite_array(a, "a"), np.asarray(self.problem.class_cost)
        lowest = math.fsum(g.weight * cost[g.class_index, self.regions.classes[0]] for g in self._components)
        total = np.full(points.shape, lowest)
        for step, boundary, _, z in self._boundary_terms(points):
            total += step * np.where(points == 0, float(boundary <= 0), ndtr(z))
        return _plain(total)

    def _error_slope(self, a: ArrayLike) -> Array:
        """d error_rate / d a, for a != 0."""
        points = np.asarray(a, dtype=np.float64)
        total = np.zeros(points.shape)
        for step, boundary, std, z in self._boundary_terms(points):
            pdf = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
            total += step * np.sign(points) * pdf * boundary / (points**2 * std)
        return _plain(total)

    def _error_minima(self) -> Array:
        """Where the error rate may be least inside an interval: its local minima, and both sides of the jump at 0."""
        low, high = self.a_range
        found = [a for a in (-NEAR_ZERO, 0.0, NEAR_ZERO) if low <= a <= high]
        for start, end in ((low, min(high, -NEAR_ZERO)), (max(low, NEAR_ZERO), high)):
            if start >= end:
                continue
            grid = np.linspace(start, end, 10 * SCAN_POINTS)
            sign = np.sign(self._error_slope(grid))
            for k in range(1, len(sign)):  # a zero (underflow, or exactly at a turn) takes its left neighbour's sign
                sign[k] = sign[k] or sign[k - 1]
            turns = np.flatnonzero((sign[:-1] < 0) & (sign[1:] > 0))
            found += [float(brentq(self._error_slope, grid[k], grid[k + 1], xtol=1e-15)) for k in turns]
        return np.asarray(found)

    # distortion

    def distortion(self, a: ArrayLike) -> Array:
        """Mean squared error (1 - a)^2 E[X^2] + a^2 noise_std^2 [squared units of x].

        Examples
        --------
        >>> from cdp_toy import presets
        >>> print(f"{LinearDenoiserFamily(presets.paper_toy()).distortion(2 / 3):.12f}")
        0.666666666667
        """
        points = finite_array(a, "a")
        return _plain((1 - points) ** 2 * self._second_moment + points**2 * self.noise_std**2)

    # perception

    def density(self, x: ArrayLike, a: float) -> Array:
        """Density of a Y at `x` [1/units of x]; a = 0 has none and is refused."""
        points = finite_array(x, "x")
        if a == 0 or not math.isfinite(a):
            raise InputError(f"a Y has a density only for finite a other than 0, got a = {a}")
        return _plain(np.exp(self._y_law.scaled(float(a)).log_density(points.ravel())).reshape(points.shape))

    def perception(self, a: ArrayLike) -> Array:
        """Divergence of the law of a Y from the law of X, to about 1e-14 (relative where it exceeds 1).

        In nats or dimensionless, as the divergence is; inf where the integral diverges. At a = 0 the laws are mutually
        singular and the value is f(0) + lim f(r)/r.

        Examples
        --------
        >>> from cdp_toy import presets
        >>> print(f"{LinearDenoiserFamily(presets.paper_toy()).perception(0.80940644):.12f}")
        0.006202278752
        """
        return _plain(self._quadrature(a)[..., 0])

    def perception_error(self, a: ArrayLike) -> Array:
        """Estimated error of `perception`: two rule sizes compared panel by panel, plus rounding; 0 where it is inf."""
        return _plain(self._quadrature(a)[..., 1])

    def _quadrature(self, a: ArrayLike) -> Array:
        """Perception and its error in the last axis."""
        points, divergence = finite_array(a, "a"), f_divergence(self.problem.perception, KIND)
        pairs = [mixture_divergence(divergence, self._x_law, self._y_law.scaled(float(t))) for t in points.ravel()]
        return np.array(pairs, dtype=np.float64).reshape(*points.shape, 2)

    # optima

    @cached_property
    def _search(self) -> ScalarSearch:
        total = self._second_moment + self.noise_std**2
        return ScalarSearch(
            self.error_rate,
            self.distortion,
            self.perception,
            (self._second_moment / total, total),
            self.a_range,
            self._error_minima,
        )

    def _optimum(self, a: float) -> LinearOptimum:
        return LinearOptimum(float(a), float(self.error_rate(a)), float(self.distortion(a)), float(self.perception(a)))

    def best(self, max_distortion: float, max_perception: float) -> LinearOptimum | None:
        """The member of least error rate with distortion <= D and perception <= P, None where there is none.

        A level inf drops the constraint. Among equal errors the one of least distortion is returned.

        Examples
        --------
        >>> from cdp_toy import presets
        >>> family = LinearDenoiserFamily(presets.paper_toy())
        >>> print(f"{family.best(0.70, float('inf')).a:.6f}", family.best(0.66, 0.1))
        0.561257 None
        """
        candidates = self._search.candidates(
            check_level(max_distortion, "max_distortion"), check_level(max_perception, "max_perception")
        )
        if not len(candidates):
            return None
        errors = self.error_rate(candidates)
        equal = candidates[errors <= errors.min() + 1e-15]
        return self._optimum(equal[np.argmin(self.distortion(equal))])

    def best_error_rate(self, max_distortion: ArrayLike, max_perception: ArrayLike) -> Array:
        """Least error rate C_lin(D, P) on broadcast arrays of levels; nan where no member is feasible."""
        levels = [np.asarray(v, dtype=np.float64) for v in (max_distortion, max_perception)]
        for level, name in zip(levels, ("max_distortion", "max_perception"), strict=True):
            if np.isnan(level).any():
                raise InputError(f"{name} has NaN; give numbers, or inf to drop the constraint")
        distortions, perceptions = np.broadcast_arrays(*levels)
        out = np.full(distortions.shape, np.nan)
        for level in np.unique(perceptions):
            out[perceptions == level] = self._search.least_errors(distortions[perceptions == level], float(level))
        return _plain(out)

    def begins(self, max_perception: ArrayLike) -> Array:
        """Least distortion min{MSE(a) : d(a) <= P} at levels P of any shape [squared units of x]; inf without one."""
        levels = np.asarray(max_perception, dtype=np.float64)
        found = [self._search.least_distortion_within(level) for level in levels.ravel().tolist()]
        return np.array(found).reshape(levels.shape)

    def least_error(self) -> LinearOptimum:
        """The member of least error rate in a_range."""
        return cast(LinearOptimum, self.best(math.inf, math.inf))

    def least_distortion(self) -> LinearOptimum:
        """The member of least distortion in a_range: a = E[X^2] / (E[X^2] + noise_std^2) where that lies inside."""
        return self._optimum(self._search.least_distortion)

    def least_perception(self) -> LinearOptimum:
        """The member of least perception in a_range."""
        return self._optimum(self._search.least_perception)


def _plain(values: Array) -> Array:
    """Scalars come back as numbers, arrays as arrays."""
    return values[()]
