"""Gaussian mixtures in Gaussian noise on the line, as arrays: every integral that bounds of C(D, P) are made of."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple, cast

import numpy as np

from cdp_toy.closed_forms.observed_mixture import ObservedMixture, observed
from cdp_toy.continuous.conditions import check_line, known_regions, monotone_threshold
from cdp_toy.continuous.quantiles import quantiles
from cdp_toy.errors import InputError
from cdp_toy.perceptions import FDivergence, perception_from
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import GaussianMixture
from cdp_toy.validation import Array

__all__ = ["LineModel", "ObservedCells", "OutputCells", "line_model"]

KIND = "bounds of the continuous problem need"


class OutputCells(NamedTuple):
    """Law of X on cells: mass (n,), mean (n,) [units of x] and variance (n,) [squared units of x] of X in each."""

    mass: Array
    mean: Array
    variance: Array


class ObservedCells(NamedTuple):
    """Cells of Y: P(class c, Y in cell), shape (K, n), and E[X - about; Y in cell], E[(X - about)^2; ...], (n,)."""

    joint: Array
    first: Array
    second: Array


@dataclass(frozen=True, eq=False)
class LineModel:
    """A problem on the line with what its bounds ask for; `line_model` makes one.

    Masses are relative to the lighter side, so that both tails keep their digits. Moments of X are about `centre`, the
    mean of X, so that a source far from the origin loses nothing either.

    Attributes
    ----------
    source : GaussianMixture
    law : ObservedMixture
        The Gaussians of positive weight, whatever their class, and the noise.
    boundaries : array of shape (S - 1,)
        Class boundaries of c0 [units of x]; they part the line into S sides.
    side_classes : tuple of S class indices
        What c0 answers on each side.
    class_cost : array of shape (K, K)
        Rows are true classes, columns decisions.
    perception : FDivergence
        Smooth.
    rising_class : int or None
        Class whose posterior is known to increase in y, where c0 parts two such classes by one threshold; else None.
    """

    source: GaussianMixture
    law: ObservedMixture
    boundaries: Array
    side_classes: tuple[int, ...]
    class_cost: Array
    perception: FDivergence
    rising_class: int | None

    @property
    def priors(self) -> Array:
        """Class probabilities, shape (K,)."""
        return np.asarray(self.source.priors)

    @property
    def noise_std(self) -> float:
        """Standard deviation of Y - X [units of x]."""
        return self.law.noise_std

    @cached_property
    def class_shares(self) -> Array:
        """Probability of each class given the Gaussian of `law`, shape (K, Gaussians)."""
        used = self.source.term_weights > 0
        joint = self.priors[:, None] * self.source.class_weights[:, used]
        return np.asarray(joint / joint.sum(axis=0))

    @cached_property
    def side_costs(self) -> Array:
        """Cost of answering each side's class, by the true class, shape (S, K)."""
        return np.asarray(self.class_cost[:, list(self.side_classes)].T)

    @cached_property
    def centre(self) -> float:
        """E[X] [units of x]."""
        return float(self.law.weights @ self.law.means)

    @cached_property
    def variance(self) -> float:
        """Var X, which is E[(X - centre)^2] [squared units of x]."""
        spread = (self.law.means - self.centre) ** 2 + self.law.stds**2
        return float(self.law.weights @ spread)

    def output_cells(self, edges: Array) -> OutputCells:
        """Law of X on the cells between edges of shape (n + 1,), which may start with -inf and end with inf."""
        inside = np.clip(edges, *self.source.bounds(0.0, 40.0))
        about, mass = 0.5 * (inside[:-1] + inside[1:]), np.zeros(0)
        second = mass
        for _ in range(2):  # about the middle, then about the mean
            mass, first, second = (self.priors @ part for part in self.source.cell_integrals(edges, 0.0, about))
            offset = np.divide(first, mass, out=np.zeros_like(mass), where=mass > 0)
            about = about + offset
        variance = np.divide(second, mass, out=np.zeros_like(mass), where=mass > 0) - offset**2
        # of a narrow cell the quotients above have few digits; no law on it has more variance than this
        largest = 0.25 * np.diff(inside) ** 2
        return OutputCells(mass, np.clip(about, inside[:-1], inside[1:]), np.clip(variance, 0.0, largest))

    def side_masses(self) -> Array:
        """P(X on each side), shape (S,)."""
        return self.output_cells(np.concatenate([[-np.inf], self.boundaries, [np.inf]])).mass

    def observed_cells(self, edges: Array, about: Array | float) -> ObservedCells:
        """Classes and X on cells of Y between edges of shape (n + 1,); `about` is a number or one per cell."""
        mass, first, second = self.source.cell_integrals(edges, self.noise_std, about)
        return ObservedCells(self.priors[:, None] * mass, self.priors @ first, self.priors @ second)

    def shares(self, y: Array) -> Array:
        """Probability of every Gaussian given Y = y, shape (Gaussians, len(y))."""
        log_joint = self.law.log_joint(y)
        return np.asarray(np.exp(log_joint - np.logaddexp.reduce(log_joint, axis=0)))

    def posterior(self, y: Array) -> Array:
        """r_c(y) = P(c | y), shape (K, len(y))."""
        return np.asarray(self.class_shares @ self.shares(y))

    def posterior_slope(self, y: Array) -> Array:
        """Derivative of the posterior, shape (K, len(y)) [1/units of x]."""
        shares = self.shares(y)
        scores = -(y - self.law.means[:, None]) / self.law.total_stds[:, None] ** 2
        return np.asarray(self.class_shares @ (shares * (scores - (shares * scores).sum(axis=0))))

    def mean(self, y: Array) -> Array:
        """E[X - centre | y], shape (len(y),); nondecreasing in y, for its slope is Var(X|y) / noise_std^2."""
        return self.law.posterior(y)[0] - self.centre

    def mean_variance(self, y: Array) -> tuple[Array, Array]:
        """E[X - centre | y] and Var(X | y), shapes (len(y),)."""
        mean, variance = self.law.posterior(y)
        return mean - self.centre, variance

    def log_density(self, y: Array) -> Array:
        """Logarithm of the density of Y, shape (len(y),)."""
        return np.asarray(np.logaddexp.reduce(self.law.log_joint(y), axis=0))

    def tails(self, y: Array) -> tuple[Array, Array]:
        """P(Y <= y) and P(Y > y), shapes (len(y),)."""
        below, above = np.exp(self.law.log_tails(y, self.law.total_stds))
        return below, above

    def quantile(self, below: Array, above: Array, start: Array | None = None) -> Array:
        """The y with P(Y <= y) = below, found on the lighter side; see `cdp_toy.continuous.quantiles`, shapes (n,)."""
        return quantiles(self.law, below, above, start)

    def falling_bound(self, first: int, second: int, cells: Array) -> Array:
        """Bound on how fast e_first - e_second falls over cells of y, the costs of answering on two sides.

        It is at least (e_second - e_first)' everywhere in the cell, and 0 where posteriors are known to be monotone;
        `first` < `second` are sides, cells lie between finite edges of shape (n + 1,); shape (n,) [1/units of x].

        Notes
        -----
        With shares pi_i(y) of the Gaussians i, e_first - e_second = sum_i pi_i eta_i, eta_i the difference of costs
        given i. The log density of Gaussian i of Y has slope s_i(y) = -(y - m_i)/t_i^2, so pi_i' = pi_i (s_i - sum_j
        pi_j s_j) and the derivative is the covariance of eta and s under pi,

            sum_i pi_i eta_i (s_i - sum_j pi_j s_j) = sum_{i < j} pi_i pi_j (eta_i - eta_j)(s_i - s_j).

        (a) The sum of pi_i pi_j over pairs is at most 1/2, so it falls no faster than 1/2 of the largest
        -(eta_i - eta_j)(s_i - s_j) over pairs, or 0; that is linear in y, hence largest at an end of the cell.
        (b) A covariance is at most 1/4 of the product of the ranges of eta and s (Gruess); the range of s is a largest
        of linear functions, hence convex, hence largest at an end. The smaller bound is taken.
        """
        if self.rising_class is not None:
            return np.zeros(len(cells) - 1)
        eta = self._cost_differences(first, second)
        scores = self._scores(cells)
        products = -(eta[:, None] - eta)[:, :, None] * (scores[:, None] - scores)
        pairs = 0.5 * np.maximum(products.max(axis=(0, 1)), 0.0)
        return np.minimum(_in_cells(pairs), _in_cells(0.25 * float(np.ptp(eta)) * np.ptp(scores, axis=0)))

    def cost_curvature(self, first: int, second: int, cells: Array) -> Array:
        """Bound on |(e_first - e_second)''| in cells of y, shape (n,) [1/squared units of x].

        The mean of any a_i(y) under the shares has the slope cov(a, s) + mean of a', s the slopes of log densities as
        in `falling_bound`. Twice that for constant eta: its second derivative is the mean of (eta - mean)(s - mean)^2
        plus cov(eta, s'), s_i' = -1/t_i^2. A variance is at most 1/4 of the squared range, and ranges of linear
        functions are convex, hence largest at an end of the cell.
        """
        spread = float(np.ptp(self._cost_differences(first, second)))
        return 0.25 * spread * (_in_cells(np.ptp(self._scores(cells), axis=0)) ** 2 + self._range_of_curvatures)

    def mean_curvature(self, cells: Array) -> Array:
        """Bound on |mu''| in cells of y, shape (n,) [1/units of x].

        mu is the mean of the lines x_i(y) of slopes g_i under the shares, so that, as in `cost_curvature`, mu'' is the
        mean of (x - mean)(s - mean)^2 plus cov(x, s') + 2 cov(g, s).
        """
        gain = (self.law.stds / self.law.total_stds) ** 2
        lines = self.law.means[:, None] + gain[:, None] * (cells - self.law.means[:, None])
        spread, score = _in_cells(np.ptp(lines, axis=0)), _in_cells(np.ptp(self._scores(cells), axis=0))
        return 0.25 * spread * (score**2 + self._range_of_curvatures) + 0.5 * float(np.ptp(gain)) * score

    def _cost_differences(self, first: int, second: int) -> Array:
        return np.asarray((self.side_costs[first] - self.side_costs[second]) @ self.class_shares)

    def _scores(self, y: Array) -> Array:
        return np.asarray(-(y - self.law.means[:, None]) / self.law.total_stds[:, None] ** 2)

    @property
    def _range_of_curvatures(self) -> float:
        return float(np.ptp(self.law.total_stds**-2.0))


def _in_cells(values: Array) -> Array:
    """Larger of the values at the two edges of each cell."""
    return np.maximum(values[:-1], values[1:])


def line_model(problem: CDPProblem) -> LineModel:
    """Model of a continuous problem on the line.

    Parameters
    ----------
    problem : CDPProblem
        A Gaussian mixture seen through `AdditiveGaussian` noise, a classifier with known boundaries, squared error and
        a smooth f-divergence or a Renyi divergence.

    Raises
    ------
    InputError
        When one of these is missing; the message says which.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> model = line_model(presets.paper_toy())
    >>> model.rising_class, round(float(model.quantile(np.array([0.7]), np.array([0.3]))[0]), 6)
    (1, 0.461421)
    """
    check_line(problem, KIND)
    regions = known_regions(problem, KIND)
    try:
        rising: int | None = monotone_threshold(problem).rising_class
    except InputError:
        rising = None
    return LineModel(
        cast(GaussianMixture, problem.source),
        observed(problem, KIND),
        np.asarray(regions.boundaries, dtype=np.float64),
        regions.classes,
        np.asarray(problem.class_cost),
        cast(FDivergence, perception_from(problem.perception)),
        rising,
    )
