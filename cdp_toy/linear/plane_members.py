"""Linear denoisers of a Gaussian mixture in the plane as pairs of numbers: their three figures of merit.

A pair (a1, a2) is Xhat = F' diag(a1, a2) F Y with the orthogonal frame F of the classifier's rule, or
Xhat = (a1, a2)' Y when Y has one coordinate. Nothing is discretized: the distortion is a closed form in second moments,
the error rate one in normal cdfs for a straight class boundary and a quadrature to rounding for conic sections, the
perception a quadrature in the plane.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np

from cdp_toy.classifiers import PlaneRule
from cdp_toy.degradations import AdditiveGaussian, LinearGaussian
from cdp_toy.distortions import SquaredError, distortion_from
from cdp_toy.errors import InputError
from cdp_toy.linear.line_divergence import f_divergence
from cdp_toy.linear.plane_divergence import PlaneMixture, largest_divergence, plane_divergence
from cdp_toy.linear.plane_error import RuleCost
from cdp_toy.perceptions import FDivergence
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import GaussianMixture, GaussianMixture2D
from cdp_toy.validation import Array

__all__ = ["PlaneMembers"]

EPS = float(np.finfo(np.float64).eps)
KIND = "linear denoisers in the plane need"


@dataclass(frozen=True, eq=False)
class PlaneMembers:
    """Error rate, distortion and perception of linear denoisers in the plane, for pairs of shape (N, 2).

    Raises
    ------
    InputError
        When a piece of the problem has no closed form here (the message names it), or Y has no density.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> members = PlaneMembers(presets.plane_toy())
    >>> members.distortions(np.array([[1.0, 1.0], [0.0, 1.0]])).round(12).tolist()[0]  # twice the variance of the noise
    2.0
    """

    problem: CDPProblem

    def __post_init__(self) -> None:
        problem = self.problem
        if not isinstance(problem, CDPProblem):
            raise InputError(f"linear_denoiser needs a CDPProblem, got {type(problem).__name__}")
        if not isinstance(problem.source, GaussianMixture2D):
            raise InputError(f"{KIND} a GaussianMixture2D source; this one is a {type(problem.source).__name__}")
        if not isinstance(problem.degradation, AdditiveGaussian | LinearGaussian):
            name = type(problem.degradation).__name__
            raise InputError(f"{KIND} a degradation AdditiveGaussian, Identity or LinearGaussian; this one is a {name}")
        distortion = distortion_from(problem.distortion)
        if not isinstance(distortion, SquaredError):
            raise InputError(f'{KIND} distortion="squared_error"; "{distortion.name}" has no closed form here')
        # transport perceptions, classifiers without a rule in the plane and a singular Y are refused here
        _ = self.divergence, self.rule, self._y_law

    @property
    def divergence(self) -> FDivergence:
        """The perception, known to be an f-divergence or a function of one."""
        return f_divergence(self.problem.perception, KIND)

    @property
    def source(self) -> GaussianMixture2D:
        """The source, known to be a Gaussian mixture."""
        return cast(GaussianMixture2D, self.problem.source)

    @cached_property
    def rule(self) -> PlaneRule:
        """Decision rule of the predefined classifier."""
        return self.problem.classifier.rule(self.source, self._class_cost)

    @property
    def _class_cost(self) -> Array:
        return np.asarray(self.problem.class_cost, dtype=np.float64)

    @cached_property
    def _seen(self) -> tuple[Array, Array]:
        """H and S of Y = H X + N(0, S)."""
        degradation = self.problem.degradation
        if isinstance(degradation, LinearGaussian):
            return degradation.arrays
        return np.eye(2), cast(AdditiveGaussian, degradation).noise_std ** 2 * np.eye(2)

    @property
    def on_line(self) -> bool:
        """Whether one coordinate is observed, so that Xhat lies on a line."""
        return len(self._seen[0]) == 1

    @cached_property
    def _x_law(self) -> PlaneMixture:
        return _mixture(self.source).mapped(self.rule.frame)

    @cached_property
    def _y_law(self) -> PlaneMixture | GaussianMixture:
        """Law of F Y, or of the one coordinate of Y."""
        law = self.source.observed(*self._seen)
        return law if isinstance(law, GaussianMixture) else _mixture(law).mapped(self.rule.frame)

    @cached_property
    def _y_line(self) -> tuple[Array, Array]:
        """Means and standard deviations of the Gaussians of the one coordinate of Y."""
        law = cast(GaussianMixture, self._y_law)
        used = [g for g in law.components if law.priors[g.class_index] * g.weight > 0]
        return np.array([g.mean for g in used]), np.array([g.std for g in used])

    @cached_property
    def _cost(self) -> RuleCost:
        """The rule with what is at stake for every Gaussian that has mass."""
        source = self.source
        joint = [(source.priors[g.class_index] * g.weight, g.class_index) for g in source.components]
        return RuleCost(self.rule, np.array([weight * self._class_cost[c] for weight, c in joint if weight > 0]))

    def errors(self, pairs: Array) -> Array:
        """Expected class cost of each member, shape (N,)."""
        cost = self._cost
        if self.on_line:
            means, stds = self._y_line
            if cost.boundary is not None:
                normal = self.rule.frame[cost.boundary[0]]
                place = pairs @ normal
                place[np.abs(place) <= 4 * EPS * (np.abs(pairs) @ np.abs(normal))] = 0.0
                return cost.beside_boundary(place[:, None] * means, np.abs(place)[:, None] * stds)
            return np.array([cost.on_line(pair, means, stds) if pair.any() else cost.at_origin for pair in pairs])
        law = cast(PlaneMixture, self._y_law)
        stds = np.sqrt(np.diagonal(law.covariances, axis1=1, axis2=2))
        if cost.boundary is not None:
            k = cost.boundary[0]
            return cost.beside_boundary(pairs[:, k, None] * law.means[:, k], np.abs(pairs[:, k, None]) * stds[:, k])
        out = np.empty(len(pairs))
        regular = np.all(pairs != 0, axis=1)
        if regular.any():
            a1, a2 = (column[:, None] for column in pairs[regular].T)
            slope = law.covariances[:, 0, 1] / law.covariances[:, 0, 0]
            rest = np.sqrt(np.linalg.det(law.covariances)) / stds[:, 0]
            out[regular] = cost.in_plane(
                a1 * law.means[:, 0], np.abs(a1) * stds[:, 0], a2 * law.means[:, 1], a2 / a1 * slope, np.abs(a2) * rest
            )
        for k in np.flatnonzero(~regular).tolist():
            axis = int(np.argmax(np.abs(pairs[k])))
            direction = pairs[k, axis] * self.rule.frame[axis]
            out[k] = cost.at_origin
            if pairs[k, axis]:
                out[k] = cost.on_line(direction, law.means[:, axis], stds[:, axis])
        return out

    @cached_property
    def _moments(self) -> tuple[Array, Array, Array]:
        """E[X X'], one row of H for each coordinate of Xhat, and its variance of noise."""
        matrix, noise = self._seen
        law = _mixture(self.source) if self.on_line else self._x_law
        second = np.einsum("k,kij->ij", law.weights, law.covariances + law.means[:, :, None] * law.means[:, None, :])
        if self.on_line:
            return second, np.repeat(matrix, 2, axis=0), np.repeat(noise[0, 0], 2)
        frame = self.rule.frame
        turned = matrix if np.array_equal(matrix, np.eye(2)) else frame @ matrix @ frame.T
        return second, turned, np.diag(frame @ noise @ frame.T)

    def distortions(self, pairs: Array) -> Array:
        """Mean squared error of each member, shape (N,) [squared units of x]."""
        second, rows, noise = self._moments
        left = np.eye(2) - pairs[:, :, None] * rows
        return np.asarray(np.einsum("nki,ij,nkj->n", left, second, left) + pairs**2 @ noise)

    @cached_property
    def parabola(self) -> tuple[Array, Array]:
        """Vertex and curvature of the distortion in each parameter; it is a sum of a function of either."""
        second, rows, noise = self._moments
        curvature = np.einsum("ki,ij,kj->k", rows, second, rows) + noise
        return np.einsum("ki,ki->k", rows, second) / curvature, curvature

    def divergences(self, pairs: Array) -> Array:
        """Perception of each member and its estimated error, shape (N, 2)."""
        divergence = self.divergence
        if self.on_line:
            return np.array([(largest_divergence(divergence), 0.0)] * len(pairs)).reshape(-1, 2)
        law = cast(PlaneMixture, self._y_law)
        found = [plane_divergence(divergence, self._x_law, law.mapped(np.diag(pair))) for pair in pairs]
        return np.array(found, dtype=np.float64).reshape(-1, 2)


def _mixture(source: GaussianMixture2D) -> PlaneMixture:
    """The law of X over all classes: the Gaussians that have mass."""
    joint = [(source.priors[g.class_index] * g.weight, g) for g in source.components]
    used = [(weight, g) for weight, g in joint if weight > 0]
    return PlaneMixture(
        np.array([weight for weight, _ in used]),
        np.array([g.mean for _, g in used]),
        np.array([g.covariance for _, g in used]),
    )
