"""C(inf, P) of two classes on the line: what perception alone costs in errors, by two classical lemmas and one root."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from cdp_toy.closed_forms.observed_mixture import ObservedMixture, increasing_root, observed, rising_class
from cdp_toy.errors import InputError
from cdp_toy.perceptions import perception_from
from cdp_toy.perceptions.base import FDivergence
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import GaussianMixture
from cdp_toy.validation import Array, check_level

__all__ = ["ErrorCurve"]

KIND = "the closed form of C(inf, P) needs"
#: thresholds are sought this many standard deviations beyond the means; what lies beyond is below the range of doubles
FAR = 40.0


@dataclass(frozen=True, eq=False)
class ErrorCurve:
    """Least error rate C(inf, P) over all channels when distortion does not matter.

    Let class u be the one whose posterior increases in y, a = P(c0(X) = u) and b = P(c0(Xhat) = u). Then

        C(inf, P) = min { err(b) : d((1 - a, a), (1 - b, b)) <= P },

    where err(b) is the error rate of answering u for the share b of the largest y. Both are closed forms in Gaussian
    cdfs; err is convex in b and d grows away from a, so the optimum is the b nearest to the best one within the level,
    a scalar root. The number is exact over all channels of the continuous problem, up to rounding.

    Parameters
    ----------
    problem : CDPProblem
        Two classes of Gaussian mixtures, Gaussian noise or none, a classifier with known regions that uses both
        classes, 0-1 error, and an f-divergence or a Renyi divergence.

    Raises
    ------
    InputError
        When a condition of the formula is not met or not known to be; the message says which.

    Notes
    -----
    *Perception.* Merging outputs by their class can only lower an f-divergence (data processing), and p_X reweighted
    within each class region to mass 1 - a or a attains the binary value: the ratio of densities is constant on each.
    *Error.* A channel matters through P(u|y) alone, and of all those that answer u with probability b the largest
    posteriors make the fewest errors (Neyman and Pearson). Output law and answers are chosen freely of each other.

    *Monotone posterior.* With equal standard deviations a class is a mixing law on its means, seen through one Gaussian
    kernel. That kernel is totally positive, so where the mixing laws are in likelihood-ratio order the observations
    are too (Karlin, "Total Positivity", 1968). This is what is checked. With unequal standard deviations the posterior
    of single Gaussians turns back in a tail, and that of mixtures may; they are refused.

    References
    ----------
    Liu, Zhang and Xiong, NeurIPS 2019 (the problem); Csiszar, 1967 (data processing of f-divergences);
    Neyman and Pearson, 1933 (best tests).

    Examples
    --------
    >>> from cdp_toy import presets
    >>> curve = ErrorCurve(presets.paper_toy())
    >>> print(f"{curve.error_rate(0.0):.12f} {curve.error_rate(float('inf')):.12f} {curve.saturation:.8f}")
    0.206362187422 0.204117333467 0.00424944
    """

    problem: CDPProblem

    def __post_init__(self) -> None:
        law, problem = observed(self.problem, KIND), self.problem
        if problem.source.n_classes != 2 or min(problem.source.priors) == 0:
            raise InputError(f"{KIND} two classes of positive probability; the priors are {problem.source.priors}")
        if not np.array_equal(np.asarray(problem.class_cost), 1.0 - np.eye(2)):
            raise InputError(f"{KIND} 0-1 error; leave class_cost out")
        perception = perception_from(problem.perception)
        if not isinstance(perception, FDivergence):
            raise InputError(
                f'{KIND} an f-divergence or a Renyi divergence, which sees only masses; "{perception.name}" also '
                "sees how far mass moves"
            )
        if not problem.classifier.exact:
            raise InputError(
                f"{KIND} known class boundaries; those of a {type(problem.classifier).__name__} are found by probing"
            )
        classes = set(problem.classifier.regions(self.source, np.asarray(problem.class_cost)).classes)
        if classes != {0, 1}:
            raise InputError(f"{KIND} a classifier that uses both classes; this one always answers {min(classes)}")
        if np.ptp(law.stds) > 0:
            raise InputError(
                f"{KIND} one standard deviation for all Gaussians, else the posterior may turn back in a tail; "
                f"these have {np.unique(law.stds).tolist()}"
            )
        rising_class(self.source, KIND)

    @property
    def source(self) -> GaussianMixture:
        """The source, known to be a Gaussian mixture."""
        return cast(GaussianMixture, self.problem.source)

    @cached_property
    def rising_class(self) -> int:
        """The class u whose posterior increases in y."""
        return rising_class(self.source, KIND)

    @cached_property
    def _law(self) -> ObservedMixture:
        return observed(self.problem, KIND)

    @property
    def source_mass(self) -> float:
        """a = P(c0(X) = u)."""
        return float(self._class_masses[1])

    @cached_property
    def _class_masses(self) -> Array:
        """Masses 1 - a and a of the class regions under p_X, each a sum of its own so that small ones keep digits."""
        regions = self.problem.classifier.regions(self.source, np.asarray(self.problem.class_cost))
        edges = np.array([-np.inf, *regions.boundaries, np.inf])
        mass = np.asarray(self.source.priors) @ self.source.cell_integrals(edges).mass
        rising = np.asarray(regions.classes) == self.rising_class
        return np.array([math.fsum(mass[~rising]), math.fsum(mass[rising])])

    @cached_property
    def best_threshold(self) -> float:
        """The y where both classes are equally likely; FAR beyond the means where one of them always is likelier."""

        def preference(y: Array) -> Array:
            log_density = self.source.log_density(y, self._law.noise_std)
            log_joint = np.log(np.asarray(self.source.priors))[:, None] + log_density
            return np.asarray(log_joint[self.rising_class] - log_joint[1 - self.rising_class])

        low, high = self._reach
        if preference(low)[0] > 0:
            return float(low[0])
        if preference(high)[0] < 0:
            return float(high[0])
        return float(increasing_root(preference, low, high)[0])

    @property
    def floor(self) -> float:
        """C(inf, inf), the Bayes error of Y."""
        return self._error(self.best_threshold)

    @property
    def saturation(self) -> float:
        """The perception level from which on C(inf, P) is the floor [units of the divergence]; inf where never."""
        return self._perception(self.best_threshold)

    def threshold(self, max_perception: float) -> float:
        """The y from which on an optimal channel answers the rising class [units of x].

        Parameters
        ----------
        max_perception : float
            P >= 0 [units of the divergence]; inf drops the constraint.
        """
        level = check_level(max_perception, "max_perception")
        if level < 0:
            raise InputError(f"no channel has a perception of at most {level:g}; give max_perception >= 0")
        if self._perception(self.best_threshold) <= level:
            return self.best_threshold
        within, beyond = self._source_threshold, self.best_threshold
        if level == 0:  # the one answer that keeps the masses; their rounding must not decide
            return within
        while (middle := within + (beyond - within) / 2) not in (within, beyond):
            if self._perception(middle) <= level:
                within = middle
            else:
                beyond = middle
        return within

    def error_rate(self, max_perception: float) -> float:
        """C(inf, P), the least error rate over all channels at a perception level.

        Parameters
        ----------
        max_perception : float
            P [units of the divergence]; inf drops the constraint, below 0 the value is inf.
        """
        if check_level(max_perception, "max_perception") < 0:
            return math.inf
        return self._error(self.threshold(max_perception))

    @cached_property
    def _reach(self) -> tuple[Array, Array]:
        far = FAR * float(self._law.total_stds.max())
        return np.array([self._law.means.min() - far]), np.array([self._law.means.max() + far])

    @cached_property
    def _source_threshold(self) -> float:
        """The y that is exceeded with probability a."""
        rest, mass = self._class_masses

        def excess(y: Array) -> Array:
            below, above = np.exp(self._law.log_tails(y, self._law.total_stds))
            return np.asarray(mass - above if mass < rest else below - rest)  # the lighter side has the digits

        return float(increasing_root(excess, *self._reach)[0])

    def _masses(self, threshold: float) -> Array:
        """Joint masses of class and side of Y, shape (2, 2)."""
        mass = self.source.cell_integrals([-math.inf, threshold, math.inf], self._law.noise_std).mass
        return np.asarray(np.asarray(self.source.priors)[:, None] * mass)

    def _error(self, threshold: float) -> float:
        joint = self._masses(threshold)
        return float(joint[self.rising_class, 0] + joint[1 - self.rising_class, 1])

    def _perception(self, threshold: float) -> float:
        """Binary divergence between the class masses of X and those of the answers."""
        answers = self._masses(threshold).sum(axis=0)
        return perception_from(self.problem.perception).value(self._class_masses, answers)
