"""The paper's linear family Xhat = a Y: three curves in one number a, and the best a under both constraints.

Error rate and distortion are closed forms in Gaussian cdfs and moments, the perception is a quadrature in one
dimension. Nothing is discretized, so every number is the continuous problem's.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr

from cdp_toy.classifiers import Regions, TableClassifier
from cdp_toy.degradations import AdditiveGaussian
from cdp_toy.distortions import SquaredError
from cdp_toy.errors import InputError
from cdp_toy.perceptions import FDivergence
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import GaussianMixture
from cdp_toy.validation import Array, check_level, finite_array

__all__ = ["LinearDenoiserFamily", "LinearOptimum", "linear_denoiser"]

#: a-values of the scan that finds where the curves turn; sublevel pieces thinner than a step are found by their minimum
SCAN_POINTS = 401
#: a jump at a = 0 is possible (Xhat = 0 exactly), so the scan also looks this close to it
NEAR_ZERO = 1e-6
#: panels reach this many standard deviations of every Gaussian involved; beyond lies less than 1e-22
REACH = 10
#: |a| below this counts as 0, where a^2 would leave the range of doubles
SINGULAR = 1e-100
EPS = float(np.finfo(np.float64).eps)


def _times(weight: Array, factor: Array) -> Array:
    """Product with 0 * inf = 0."""
    return np.where(weight > 0, weight * np.where(weight > 0, factor, 0.0), 0.0)


#: p f(q/p) from (log p, log q), with f(1) = f'(1) = 0. Written so that no ratio q/p is formed: far in the tails it
#: leaves the range of doubles, or rounds to q/p - 1 = -1, long before its product with p is negligible.
_INTEGRANDS: dict[str, Callable[[Array, Array], Array]] = {
    "kl": lambda lp, lq: np.exp(lq) - np.exp(lp) + _times(np.exp(lp), lp - lq),
    "reverse_kl": lambda lp, lq: np.exp(lp) - np.exp(lq) + _times(np.exp(lq), lq - lp),
    "tv": lambda lp, lq: 0.5 * np.abs(np.exp(lq) - np.exp(lp)),
    "hellinger_squared": lambda lp, lq: 0.5 * (np.exp(0.5 * lq) - np.exp(0.5 * lp)) ** 2,
    "chi2": lambda lp, lq: np.exp(2 * lp - lq) - 2 * np.exp(lp) + np.exp(lq),
    "reverse_chi2": lambda lp, lq: np.exp(2 * lq - lp) - 2 * np.exp(lq) + np.exp(lp),
}

# Gauss-Legendre rules of 20 and 12 nodes on one list of nodes, so that a panel is evaluated once
_LARGE, _SMALL = np.polynomial.legendre.leggauss(20), np.polynomial.legendre.leggauss(12)
NODES = np.concatenate([_LARGE[0], _SMALL[0]])
FINE, COARSE = np.concatenate([_LARGE[1], np.zeros(12)]), np.concatenate([np.zeros(20), _SMALL[1]])


class _Gaussian(NamedTuple):
    """One Gaussian of X with its joint weight P_c w, and the variance of the same component of Y."""

    class_index: int
    weight: float
    mean: float
    variance: float
    variance_y: float


@dataclass(frozen=True, eq=False)
class _ScaledDivergence:
    """Divergence of the law of a Y from the law of X by adaptive Gauss-Legendre panels, from log densities."""

    source: GaussianMixture
    noise_std: float
    divergence: FDivergence
    gaussians: tuple[_Gaussian, ...]

    def log_law(self, x: Array, noise_std: float) -> Array:
        """Log density of X + N(0, noise_std^2)."""
        with np.errstate(divide="ignore"):
            log_priors = np.log(np.asarray(self.source.priors))
        log_joint = log_priors[:, None] + self.source.log_density(x, noise_std)
        return np.asarray(np.logaddexp.reduce(log_joint, axis=0), dtype=np.float64)

    def log_output(self, x: Array, a: float) -> Array:
        """Log density of a Y."""
        with np.errstate(over="ignore"):
            return self.log_law(x / a, self.noise_std) - math.log(abs(a))

    def diverges(self, a: float) -> bool:
        """Whether the tails of p^2/q or q^2/p decay no more: the widest Gaussians decide, equality included."""
        widest = max(g.variance for g in self.gaussians)
        widest_output = a * a * max(g.variance_y for g in self.gaussians)
        if self.divergence.name == "chi2":
            return 2 * widest_output <= widest
        return self.divergence.name == "reverse_chi2" and widest_output >= 2 * widest

    def panels(self, a: float) -> Array:
        """Panel ends: every standard deviation of every Gaussian that the integrand is made of, and the kinks of tv."""
        law = [(g.mean, g.variance) for g in self.gaussians]
        output = [(a * g.mean, a * a * g.variance_y) for g in self.gaussians]
        bumps = law + output
        if self.divergence.name in ("chi2", "reverse_chi2"):
            # N_i^2 / N_j is a multiple of a Gaussian, wide and far out where the integral is about to diverge
            top, bottom = (law, output) if self.divergence.name == "chi2" else (output, law)
            widest = max(v for _, v in bottom)
            for m, v in top:
                for m2, v2 in bottom:
                    precision = 2 / v - 1 / v2
                    if v2 == widest and precision > 0:
                        bumps.append(((2 * m / v - m2 / v2) / precision, 1 / precision))
        steps = np.arange(-REACH, REACH + 1)
        ends = np.unique(np.concatenate([m + math.sqrt(v) * steps for m, v in bumps]))
        gap = np.diff(ends) > 1e-9 * math.sqrt(min(v for _, v in bumps))  # merge ends that differ by rounding
        ends = ends[np.concatenate([[True], gap])]
        return np.sort(np.concatenate([ends, self.kinks(ends, a)])) if self.divergence.name == "tv" else ends

    def kinks(self, ends: Array, a: float) -> Array:
        """Sign changes of log q - log p to about 1e-8 of a panel; the halving of panels sees to what is missed."""

        def ratio(x: Array) -> Array:
            return self.log_output(x, a) - self.log_law(x, 0.0)

        points = np.sort(np.concatenate([ends, 0.5 * (ends[1:] + ends[:-1])]))
        values = ratio(points)
        change = np.flatnonzero(values[:-1] * values[1:] < 0)
        left, right, low, high = points[change], points[change + 1], values[change], values[change + 1]
        for _ in range(12):
            middle = 0.5 * (left + right)
            value = ratio(middle)
            same = np.sign(value) == np.sign(low)
            left, low = np.where(same, middle, left), np.where(same, value, low)
            right, high = np.where(same, right, middle), np.where(same, high, value)
        return np.asarray(left + (right - left) * low / (low - high), dtype=np.float64)

    def integrate(self, a: float) -> tuple[float, float]:
        """Value and estimated error at one a."""
        f = self.divergence
        with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
            singular = float(f.generator(np.array(-1.0))) + f.slope_at_infinity
            if abs(a) < SINGULAR:
                return singular, 0.0
            if self.diverges(a):
                return math.inf, 0.0
            ends = self.panels(a)
            left, right = ends[:-1], ends[1:]
            values: list[float] = []
            errors: list[float] = []
            for _ in range(60):
                fine, difference, noise = self.rules(left, right, a)
                if not np.all(np.isfinite(fine)):
                    return math.inf, 0.0
                size = max(1.0, math.fsum(values) + float(fine.sum()))
                split = difference > np.maximum(8 * EPS * size, 4 * noise)
                values += fine[~split].tolist()
                errors += (difference + noise)[~split].tolist()
                if not split.any():
                    break
                middle = 0.5 * (left + right)[split]
                left, right = np.concatenate([left[split], middle]), np.concatenate([middle, right[split]])
            else:  # unresolved panels count with their full disagreement
                values += fine[split].tolist()
                errors += difference[split].tolist()
        return min(max(math.fsum(values), 0.0), singular), math.fsum(errors)

    def rules(self, left: Array, right: Array, a: float) -> tuple[Array, Array, Array]:
        """Value of each panel, its disagreement between two rule sizes, and the rounding error to expect in it."""
        half = 0.5 * (right - left)
        x = (left[:, None] + half[:, None] * (1 + NODES)).ravel()
        log_p, log_q = self.log_law(x, 0.0), self.log_output(x, a)
        value = _INTEGRANDS[self.divergence.name](log_p, log_q)
        rounding = _times(np.exp(log_p), 1 - log_p) + _times(np.exp(log_q), 1 - log_q) + np.abs(value)
        if self.divergence.name in ("chi2", "reverse_chi2"):  # the exponent 2 log p - log q carries both errors
            rounding += _times(np.abs(value), np.abs(log_p) + np.abs(log_q))
        shape = (len(left), len(NODES))
        fine, coarse = (value.reshape(shape) @ weights for weights in (FINE, COARSE))
        noise = EPS * half * (np.abs(rounding).reshape(shape) @ FINE)
        return half * fine, half * np.abs(fine - coarse), noise


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
        kind = "the linear family Xhat = a Y needs"
        if not isinstance(problem.source, GaussianMixture):
            raise InputError(f"{kind} a GaussianMixture source; this one is a {type(problem.source).__name__}")
        if not isinstance(problem.degradation, AdditiveGaussian):
            name = type(problem.degradation).__name__
            raise InputError(f"{kind} a degradation AdditiveGaussian or Identity; this one is a {name}")
        if isinstance(problem.classifier, TableClassifier):
            raise InputError(f"{kind} a ThresholdClassifier or BayesClassifier; a table has no regions on the line")
        if not isinstance(problem.distortion, SquaredError):
            name = getattr(problem.distortion, "name", str(problem.distortion))
            raise InputError(f'{kind} distortion="squared_error"; "{name}" has no closed form here')
        if not isinstance(problem.perception, FDivergence) or problem.perception.name not in _INTEGRANDS:
            raise InputError(f"{kind} a perception with a known integrand, one of {', '.join(_INTEGRANDS)}")
        low, high = (float(a) for a in self.a_range)
        if not (math.isfinite(low) and math.isfinite(high) and low < high):
            raise InputError(f"a_range must be two finite numbers low < high, got {self.a_range}")
        object.__setattr__(self, "a_range", (low, high))

    @property
    def _source(self) -> GaussianMixture:
        return cast(GaussianMixture, self.problem.source)

    @property
    def noise_std(self) -> float:
        """Standard deviation of the noise [units of x]."""
        return cast(AdditiveGaussian, self.problem.degradation).noise_std

    @cached_property
    def regions(self) -> Regions:
        """Decision regions of the predefined classifier."""
        return self.problem.classifier.regions(self._source, self.problem.class_cost)

    @cached_property
    def _gaussians(self) -> tuple[_Gaussian, ...]:
        priors, noise = self._source.priors, self.noise_std**2
        return tuple(
            _Gaussian(c, priors[c] * w, m, s**2, s**2 + noise)
            for c, w, m, s in self._source.components
            if priors[c] * w > 0
        )

    @cached_property
    def _line(self) -> _ScaledDivergence:
        return _ScaledDivergence(
            self._source, self.noise_std, cast(FDivergence, self.problem.perception), self._gaussians
        )

    @cached_property
    def _second_moment(self) -> float:
        return math.fsum(g.weight * (g.mean**2 + g.variance) for g in self._gaussians)

    # error rate

    def error_rate(self, a: ArrayLike) -> Array:
        """Expected class cost of Xhat = a Y (the error rate for 0-1 cost); at a = 0 the cost of deciding Xhat = 0.

        sum_c P_c sum_k class_cost[c, k] P(a Y in region k | c), each probability a difference of Gaussian cdfs.

        Examples
        --------
        >>> from cdp_toy import presets
        >>> print(f"{linear_denoiser(presets.paper_toy()).error_rate(0.5):.12f}")
        0.204117333467
        """
        points = finite_array(a, "a")
        cost = np.asarray(self.problem.class_cost)
        total = np.zeros(points.shape)
        for g in self._gaussians:
            total += g.weight * cost[g.class_index, self.regions.classes[0]]
            for boundary, step in self._steps(g):
                total += step * _mass_from(boundary, points, g)
        return _plain(total)

    def _steps(self, g: _Gaussian) -> list[tuple[float, float]]:
        """Boundaries with the weighted change of cost across them, for one component."""
        row = np.asarray(self.problem.class_cost)[g.class_index, list(self.regions.classes)]
        return list(zip(self.regions.boundaries, (g.weight * np.diff(row)).tolist(), strict=True))

    def _error_slope(self, a: ArrayLike) -> Array:
        """d error_rate / d a, for a != 0."""
        points = np.asarray(a, dtype=np.float64)
        total = np.zeros(points.shape)
        for g in self._gaussians:
            std = math.sqrt(g.variance_y)
            for boundary, step in self._steps(g):
                z = (g.mean - boundary / points) / std
                pdf = np.exp(-0.5 * z**2) / math.sqrt(2 * math.pi)
                total += step * np.sign(points) * pdf * boundary / (points**2 * std)
        return total

    @cached_property
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
        >>> print(f"{linear_denoiser(presets.paper_toy()).distortion(2 / 3):.12f}")
        0.666666666667
        """
        points = finite_array(a, "a")
        return _plain((1 - points) ** 2 * self._second_moment + points**2 * self.noise_std**2)

    def _distortion_interval(self, level: float) -> tuple[float, float] | None:
        """Interval of a with distortion <= level, None where there is none."""
        if math.isinf(level):
            return self.a_range if level > 0 else None
        moment, noise = self._second_moment, self.noise_std**2
        total = moment + noise
        discriminant = level * total - moment * noise
        if discriminant < -4 * EPS * moment * total:  # less is rounding at the vertex
            return None
        root = math.sqrt(max(discriminant, 0.0))
        low, high = max(self.a_range[0], (moment - root) / total), min(self.a_range[1], (moment + root) / total)
        return (low, high) if low <= high else None

    # perception

    def density(self, x: ArrayLike, a: float) -> Array:
        """Density of a Y at `x` [1/units of x]; a = 0 has none and is refused."""
        points = finite_array(x, "x")
        if a == 0 or not math.isfinite(a):
            raise InputError(f"a Y has a density only for finite a other than 0, got a = {a}")
        return _plain(np.exp(self._line.log_output(points.ravel(), float(a))).reshape(points.shape))

    def perception(self, a: ArrayLike) -> Array:
        """Divergence of the law of a Y from the law of X, to about 1e-14 (relative where it exceeds 1).

        inf where the integral diverges,
        decided from the Gaussian tail exponents, or where it exceeds the range of doubles. At a = 0 the laws are
        mutually singular and the value is f(0) + lim f(r)/r: 1 for tv and hellinger_squared, inf for the others.

        Parameters
        ----------
        a : array_like
            Dimensionless, any finite numbers.

        Returns
        -------
        array of the shape of `a` [nats or dimensionless]

        Examples
        --------
        >>> from cdp_toy import presets
        >>> print(f"{linear_denoiser(presets.paper_toy()).perception(0.80940644):.12f}")
        0.006202278752
        """
        points = finite_array(a, "a")
        return _plain(np.array([self._line.integrate(float(t))[0] for t in points.ravel()]).reshape(points.shape))

    def perception_error(self, a: ArrayLike) -> Array:
        """Estimated error of `perception`: two rule sizes compared panel by panel, plus rounding; 0 where it is inf."""
        points = finite_array(a, "a")
        return _plain(np.array([self._line.integrate(float(t))[1] for t in points.ravel()]).reshape(points.shape))

    @cached_property
    def _scan(self) -> tuple[Array, Array]:
        """Perception on a grid of a that contains its local minima: between neighbours the curve is monotone."""
        low, high = self.a_range
        near = [a for a in (-NEAR_ZERO, 0.0, NEAR_ZERO) if low < a < high]
        grid = np.unique(np.concatenate([np.linspace(low, high, SCAN_POINTS), near]))
        values = np.asarray(self.perception(grid))
        extra = [
            self._perception_minimum(grid[k - 1], grid[k], grid[k + 1])
            for k in range(1, len(grid) - 1)
            if values[k] < values[k - 1] and values[k] <= values[k + 1]
        ]
        grid = np.concatenate([grid, extra])
        values = np.concatenate([values, np.atleast_1d(self.perception(np.asarray(extra)))])
        order = np.argsort(grid)
        return grid[order], values[order]

    def _perception_minimum(self, left: float, middle: float, right: float) -> float:
        """Local minimiser between two grid points; a polynomial through exact values finds it beyond sqrt(eps)."""
        found = minimize_scalar(
            lambda t: float(self.perception(t)), bounds=(left, right), method="bounded", options={"xatol": 1e-7}
        )
        rough = float(found.x)
        reach = 0.5 * min(rough - left, right - rough)
        candidates = [middle, rough]
        nodes = rough + reach * np.cos(np.pi * (np.arange(9) + 0.5) / 9)
        values = np.asarray(self.perception(nodes))
        if np.all(np.isfinite(values)):
            slope = np.polynomial.Chebyshev.fit(nodes, values, 8).deriv()
            roots = slope.roots()
            real = roots[np.abs(np.imag(roots)) < 1e-9].real
            candidates += [float(t) for t in real if abs(t - rough) < 1e-5]
        exact = np.asarray(self.perception(np.asarray(candidates)))
        best = np.flatnonzero(exact <= exact.min() + 4e-16)
        return candidates[int(best[-1])] if exact[0] > exact.min() else middle

    @cached_property
    def _level_sets(self) -> dict[float, list[tuple[float, float]]]:
        """Intervals of a with perception <= P, remembered for every P that was asked for."""
        return {}

    def _perception_intervals(self, level: float) -> list[tuple[float, float]]:
        if level not in self._level_sets:
            grid, values = self._scan
            inside = np.concatenate([[False], values <= level, [False]])
            starts, stops = np.flatnonzero(~inside[:-1] & inside[1:]), np.flatnonzero(inside[:-1] & ~inside[1:]) - 1
            self._level_sets[level] = [
                (
                    grid[i] if i == 0 else self._crossing(grid[i - 1], grid[i], level),
                    grid[j] if j == len(grid) - 1 else self._crossing(grid[j], grid[j + 1], level),
                )
                for i, j in zip(starts, stops, strict=True)
            ]
        return self._level_sets[level]

    def _crossing(self, left: float, right: float, level: float) -> float:
        def excess(t: float) -> float:  # bounded, so that an infinite perception is an ordinary end of the bracket
            value = self._line.integrate(t)[0]
            return 1.0 if math.isinf(value) else (value - level) / (1 + value + abs(level))

        return float(brentq(excess, left, right, xtol=1e-15, rtol=8.9e-16))

    # optima

    def _candidates(self, max_distortion: float, max_perception: float) -> Array:
        """The a-values among which the least error lies: ends of the feasible intervals and error minima inside."""
        allowed = self._distortion_interval(max_distortion)
        if allowed is None:
            return np.zeros(0)
        found: list[float] = []
        for start, end in self._perception_intervals(max_perception):
            low, high = max(start, allowed[0]), min(end, allowed[1])
            if low <= high:
                inside = self._error_minima[(self._error_minima >= low) & (self._error_minima <= high)]
                # the least distortion is no candidate for the least error; it settles ties where the error is flat
                found += [low, high, *inside.tolist(), min(max(self._least_distortion_at, low), high)]
        return np.asarray(found)

    @property
    def _least_distortion_at(self) -> float:
        return self._second_moment / (self._second_moment + self.noise_std**2)

    def _optimum(self, a: float) -> LinearOptimum:
        return LinearOptimum(float(a), float(self.error_rate(a)), float(self.distortion(a)), float(self.perception(a)))

    def best(self, max_distortion: float, max_perception: float) -> LinearOptimum | None:
        """The member of least error rate with distortion <= D and perception <= P, None where there is none.

        Parameters
        ----------
        max_distortion, max_perception : float
            inf drops the constraint. Among equal errors the one of least distortion is returned.

        Examples
        --------
        >>> from cdp_toy import presets
        >>> family = linear_denoiser(presets.paper_toy())
        >>> print(f"{family.best(0.70, float('inf')).a:.6f}", family.best(0.66, 0.1))
        0.561257 None
        """
        candidates = self._candidates(
            check_level(max_distortion, "max_distortion"), check_level(max_perception, "max_perception")
        )
        if not len(candidates):
            return None
        errors = np.asarray(self.error_rate(candidates))
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
        for k in np.ndindex(out.shape):
            candidates = self._candidates(float(distortions[k]), float(perceptions[k]))
            if len(candidates):
                out[k] = np.min(self.error_rate(candidates))
        return _plain(out)

    def least_error(self) -> LinearOptimum:
        """The member of least error rate in a_range."""
        return cast(LinearOptimum, self.best(math.inf, math.inf))

    def least_distortion(self) -> LinearOptimum:
        """The member of least distortion in a_range: a = E[X^2] / (E[X^2] + noise_std^2) where that lies inside."""
        return self._optimum(min(max(self._least_distortion_at, self.a_range[0]), self.a_range[1]))

    def least_perception(self) -> LinearOptimum:
        """The member of least perception in a_range."""
        grid, values = self._scan
        return self._optimum(grid[np.argmin(values)])


def _plain(values: Array) -> Array:
    """Scalars come back as numbers, arrays as arrays."""
    return values[()]


def _mass_from(boundary: float, a: Array, g: _Gaussian) -> Array:
    """P(a Y >= boundary) for one Gaussian, any sign of a."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        z = np.sign(a) * (g.mean - boundary / a) / math.sqrt(g.variance_y)
    return np.where(a == 0, float(boundary <= 0), ndtr(z))


def linear_denoiser(problem: CDPProblem, a_range: tuple[float, float] = (0.0, 4.0)) -> LinearDenoiserFamily:
    """The family Xhat = a Y of a Gaussian-mixture problem, the restorations that the paper's toy is drawn with.

    Parameters
    ----------
    problem : CDPProblem
        Gaussian-mixture source, AdditiveGaussian or Identity, threshold or Bayes classifier, squared error.
    a_range : (low, high), optional
        Where the optima are searched; negative a may be included.

    Raises
    ------
    InputError
        When the problem has another source, degradation, classifier, distortion or perception; the message says which.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> family = linear_denoiser(presets.paper_toy())
    >>> best = family.least_error()
    >>> print(f"{best.a:.6f} {best.error_rate:.12f}")
    0.500000 0.204117333467
    >>> least = family.least_perception()
    >>> print(f"{least.a:.8f} {least.perception:.12f}")
    0.80940644 0.006202278752
    """
    return LinearDenoiserFamily(problem, a_range)
