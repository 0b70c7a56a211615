"""The edge of the surface under the squared Wasserstein distance: D_min(P) in one quadrature, and C along it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.closed_forms.observed_mixture import Integral, ObservedMixture, increasing_root, integrate, observed
from cdp_toy.distortions import SquaredError, distortion_from
from cdp_toy.errors import InputError
from cdp_toy.perceptions import perception_from
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import GaussianMixture
from cdp_toy.validation import Array, check_level, finite_array

__all__ = ["TransportCurve"]

KIND = "the closed form of D_min(P) under w2_squared needs"


@dataclass(frozen=True, eq=False)
class TransportCurve:
    """Least distortion D_min(P) over all channels under w2_squared, and the point of the surface above it.

    With levels P = d^2 [squared units of x] and d* the W2 distance between the laws of X and of E[X|Y],

        D_min(P) = D_min + [(d* - d)_+]^2,

    attained by Xhat = (1 - d/d*) T(E[X|Y]) + (d/d*) E[X|Y] up to d*, and by E[X|Y] from there on. T is the monotone map
    that carries the law of E[X|Y] to that of X. Every number is the continuous problem's, exact over all channels up
    to the error of a quadrature.

    Parameters
    ----------
    problem : CDPProblem
        Gaussian mixture on the line, Gaussian noise, squared error, perception "w2_squared".

    Raises
    ------
    InputError
        When a piece of the problem has no closed form here; the message names it.

    Notes
    -----
    E(X - Xhat)^2 = D_min + E(E[X|Y] - Xhat)^2 for every channel, and the last term is at least the squared distance
    between the laws of E[X|Y] and Xhat. A law within d of p_X is at least d* - d away from that of E[X|Y] (triangle
    inequality), and the geodesic between the two has the laws where this is an equality.

    On the line laws are their quantile functions, W2 is the distance of these in L2, and a ball has one nearest point:
    law and coupling, hence the channel, are unique. So its error rate *is* C(D_min(P), P), not a bound of it.

    In Gaussian noise E[X|Y = y] increases in y, with slope Var(X|y) / noise_std^2. Hence T(E[X|Y]) is the x with
    P(X <= x) = P(Y <= y), and d*^2 = E(T(E[X|Y]) - E[X|Y])^2 is a quadrature over y.

    References
    ----------
    Freirich, Michaeli and Meir, "A Theory of the Distortion-Perception Tradeoff in Wasserstein Space", NeurIPS 2021.

    Examples
    --------
    >>> from dataclasses import replace
    >>> from cdp_toy import presets
    >>> curve = TransportCurve(replace(presets.paper_toy(), perception="w2_squared"))
    >>> print(f"{curve.min_distortion:.10f} {curve.distance:.10f} {curve.least_distortion(0.0):.10f}")
    0.6416888797 0.2638714439 0.7113170186
    >>> print(f"{curve.error_rate(0.0):.12f}")
    0.206362187422
    """

    problem: CDPProblem

    def __post_init__(self) -> None:
        problem = self.problem
        if observed(problem, KIND).noise_std == 0:
            raise InputError("without noise nothing is lost: Xhat = Y has distortion 0 and perception 0")
        distortion, perception = distortion_from(problem.distortion), perception_from(problem.perception)
        if not isinstance(distortion, SquaredError):
            raise InputError(f'{KIND} distortion="squared_error"; this one is "{distortion.name}"')
        if perception.name != "w2_squared":
            raise InputError(
                f'{KIND} perception="w2_squared"; this one is "{perception.name}". '
                'Use dataclasses.replace(problem, perception="w2_squared")'
            )

    @cached_property
    def _law(self) -> ObservedMixture:
        return observed(self.problem, KIND)

    @cached_property
    def _lost(self) -> Integral:
        """E Var(X|Y)."""
        return integrate(lambda y: self._density(y) * self._law.posterior(y)[1], self._law.panel_ends())

    @cached_property
    def _squared_distance(self) -> Integral:
        """E (T(E[X|Y]) - E[X|Y])^2."""

        def integrand(y: Array) -> Array:
            return self._density(y) * (self._law.matched(y) - self._law.posterior(y)[0]) ** 2

        return integrate(integrand, self._law.panel_ends())

    def _density(self, y: Array) -> Array:
        return np.asarray(np.exp(self._law.log_joint(y)).sum(axis=0))

    @property
    def min_distortion(self) -> float:
        """D_min = E Var(X|Y), the least distortion at any perception [squared units of x]."""
        return self._lost.value

    @property
    def distance(self) -> float:
        """d*, the W2 distance of the law of E[X|Y] from that of X [units of x]; its square is a level."""
        return math.sqrt(self._squared_distance.value)

    @property
    def distortion_error(self) -> float:
        """Estimated error of `least_distortion`: two quadrature rules compared [squared units of x]."""
        return self._lost.error + self._squared_distance.error

    def least_distortion(self, max_perception: float) -> float:
        """D_min(P) over all channels [squared units of x].

        Parameters
        ----------
        max_perception : float
            Level P = d^2 of w2_squared [squared units of x]; below 0 the value is inf.
        """
        level = check_level(max_perception, "max_perception")
        if level < 0:
            return math.inf
        return self.min_distortion + max(self.distance - math.sqrt(level), 0.0) ** 2

    def restoration(self, y: ArrayLike, max_perception: float) -> Array:
        """The one restoration Xhat of y with perception <= P and distortion D_min(P) [units of x].

        Parameters
        ----------
        y : array of any shape [units of x]
        max_perception : float
            Level P = d^2 >= 0 of w2_squared [squared units of x].
        """
        points, share = finite_array(y, "y"), self._share(max_perception)
        self._law.refuse_far(points.ravel())
        return self._restored(points.ravel(), share).reshape(points.shape)[()]

    def error_rate(self, max_perception: float) -> float:
        """C(D_min(P), P): expected class cost of the restoration (the error rate for 0-1 cost).

        The restoration increases in y, so every boundary of the predefined classifier has one y that is restored to
        it, a scalar root; the classes' masses between them are Gaussian cdfs.

        Parameters
        ----------
        max_perception : float
            Level P = d^2 >= 0 of w2_squared [squared units of x].
        """
        share, cost = self._share(max_perception), np.asarray(self.problem.class_cost)
        source = cast(GaussianMixture, self.problem.source)
        regions = self.problem.classifier.regions(source, cost)
        boundaries = np.asarray(regions.boundaries, dtype=np.float64)
        places = increasing_root(lambda y: self._restored(y, share) - boundaries, boundaries - 1, boundaries + 1)
        edges = np.concatenate([[-np.inf], places, [np.inf]])
        joint = np.asarray(source.priors)[:, None] * source.cell_integrals(edges, self._law.noise_std).mass
        return math.fsum((joint * cost[:, list(regions.classes)]).ravel())

    def _share(self, max_perception: float) -> float:
        """Share d/d* of E[X|Y] in the restoration."""
        level = check_level(max_perception, "max_perception")
        if level < 0:
            raise InputError(f"no restoration has a perception of at most {level:g}; give max_perception >= 0")
        return min(math.sqrt(level) / self.distance, 1.0)

    def _restored(self, y: Array, share: float) -> Array:
        mean = self._law.posterior(y)[0]
        return mean if share == 1 else (1 - share) * self._law.matched(y) + share * mean
