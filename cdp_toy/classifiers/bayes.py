"""The Bayes decision for X itself, or for Y: on the line, in the plane and for letters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cdp_toy.classifiers.base import SCAN_POINTS, SCAN_REACH, Classifier, PlaneRule, Regions, scanned_regions
from cdp_toy.classifiers.plane import QuadraticRule
from cdp_toy.classifiers.scan import ScanRule
from cdp_toy.sources import GaussianMixture2D, LineSource, PlaneSource, Source, TableSource
from cdp_toy.validation import Array, Indices

__all__ = ["BayesClassifier", "bayes_regions", "bayes_rule"]


@dataclass(frozen=True, eq=False)
class BayesClassifier(Classifier):
    """The Bayes decision for X itself: argmin_k sum_c P(c | x) class_cost[c, k] (the largest posterior for 0-1 cost).

    On the line, boundaries are found as changes on a scan of 4001 points that reaches 12 standard deviations beyond the
    components and of points around every component, refined to rounding; narrower regions can be missed. In the plane
    they are conic sections, in closed form, for classes that are single Gaussians and 0-1 cost (or two classes);
    otherwise they are scanned line by line.
    """

    kind = "bayes"

    def regions(self, source: LineSource, class_cost: Array | None) -> Regions:
        """Decision regions of the source on the line."""
        return bayes_regions(source, class_cost)

    def rule(self, source: PlaneSource, class_cost: Array | None) -> PlaneRule:
        """Decision rule of the source in the plane."""
        return bayes_rule(source, class_cost)

    def letters(self, source: TableSource, class_cost: Array | None) -> Indices:
        """Class index of every letter of a finite source; ties go to the lower index."""
        joint = source.priors[:, None] * source.p_x_given_class
        return np.asarray(np.argmin(_cost(class_cost, source).T @ joint, axis=0))


def _cost(class_cost: Array | None, source: Source) -> Array:
    return 1.0 - np.eye(source.n_classes) if class_cost is None else class_cost


def _decisions(source: Source, cost: Array, log_density: Array) -> Indices:
    """Class of least risk from class-conditional log densities of shape (K, N); -1 where every density is 0."""
    with np.errstate(divide="ignore"):
        log_joint = np.log(np.asarray(source.priors))[:, None] + log_density
    top = log_joint.max(axis=0)
    seen = np.isfinite(top)
    risks = cost.T @ np.exp(log_joint - np.where(seen, top, 0.0))
    return np.asarray(np.where(seen, np.argmin(risks, axis=0), -1))


def bayes_regions(source: LineSource, class_cost: Array | None, noise_std: float = 0.0) -> Regions:
    """Regions of the Bayes decision for Y = X + N(0, noise_std^2); noise 0 is the decision for X.

    >>> from cdp_toy.sources import GaussianMixture
    >>> source = GaussianMixture(priors=(0.7, 0.3), means=(-1.0, 1.0))
    >>> round(bayes_regions(source, None).boundaries[0], 10)  # ln(7/3)/2
    0.4236489302
    """
    cost = _cost(class_cost, source)
    scan = np.linspace(*source.bounds(noise_std, n_std=SCAN_REACH), SCAN_POINTS)
    if noise_std == 0 and source.breakpoints:  # a density jumps between two neighbouring doubles
        jumps = np.asarray(source.breakpoints)
        scan = np.concatenate([scan, jumps, np.nextafter(jumps, -np.inf)])
    scan = np.unique(np.concatenate([scan, source.landmarks(noise_std)]))
    return scanned_regions(lambda x: _decisions(source, cost, source.log_density(x, noise_std)), scan)


def bayes_rule(source: PlaneSource, class_cost: Array | None) -> PlaneRule:
    """Rule of the Bayes decision in the plane, a closed form where there is one."""
    cost = _cost(class_cost, source)
    if isinstance(source, GaussianMixture2D):
        closed = _quadratic(source, cost)
        if closed is not None:
            return closed

    def decide(x: Array) -> Indices:
        return np.maximum(_decisions(source, cost, source.log_density(x)), 0)

    return ScanRule(decide, source)


def _quadratic(source: GaussianMixture2D, cost: Array) -> QuadraticRule | None:
    """Scores log(gain_k p(k, x)) for single Gaussians, None where the decision is no comparison of such scores."""
    used = [g for g in source.components if g.weight * source.priors[g.class_index] > 0]
    classes = [g.class_index for g in used]
    if len(set(classes)) < len(classes):
        return None
    if np.array_equal(cost, 1.0 - np.eye(source.n_classes)):
        gains = np.ones(source.n_classes)
    elif source.n_classes == 2:
        gains = np.array([cost[0, 1] - cost[0, 0], cost[1, 0] - cost[1, 1]])
        if gains.min() <= 0:
            return None
    else:
        return None
    matrices, vectors, offsets = [], [], []
    for g in used:
        precision, mean = np.linalg.inv(g.covariance), g.mean - source.mean
        matrices.append(-precision / 2)
        vectors.append(precision @ mean)
        constant = np.log(gains[g.class_index] * source.priors[g.class_index])
        offsets.append(constant - (mean @ precision @ mean + np.linalg.slogdet(g.covariance)[1]) / 2)
    return QuadraticRule(np.array(matrices), np.array(vectors), np.array(offsets), classes, centre=source.mean)
