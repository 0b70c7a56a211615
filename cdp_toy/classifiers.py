"""Predefined classifiers c0: which class a restored value is taken for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.optimize import brentq

from cdp_toy.errors import InputError
from cdp_toy.sources import GaussianMixture, TableSource
from cdp_toy.validation import Array, class_indices, finite_array

__all__ = ["BayesClassifier", "Regions", "TableClassifier", "ThresholdClassifier"]


class Regions(NamedTuple):
    """Decision regions on the line: class `classes[k]` on [boundaries[k-1], boundaries[k])."""

    boundaries: tuple[float, ...]
    classes: tuple[int, ...]

    def at(self, x: Array) -> Array:
        """Class index of each point."""
        return np.asarray(self.classes)[np.searchsorted(self.boundaries, x, side="right")]


@dataclass(frozen=True)
class ThresholdClassifier:
    """Class by thresholds: `classes[k]` between the k-th and the next threshold.

    Parameters
    ----------
    thresholds : float or increasing sequence
        Boundaries [units of x]; the value at a threshold belongs to the right-hand class.
    classes : sequence of len(thresholds) + 1 class indices, optional
        0, 1, 2, ... when left out.

    Examples
    --------
    >>> ThresholdClassifier(0.4).regions(None, None)
    Regions(boundaries=(0.4,), classes=(0, 1))
    """

    thresholds: tuple[float, ...]
    classes: tuple[int, ...]

    def __init__(self, thresholds: float | Sequence[float], classes: Sequence[int] | None = None) -> None:
        values = finite_array(np.atleast_1d(finite_array(thresholds, "thresholds")), "thresholds", 1)
        if np.any(np.diff(values) <= 0):
            raise InputError(f"thresholds must increase strictly, got {values.tolist()}")
        labels = tuple(range(len(values) + 1)) if classes is None else class_indices(classes, "classes of thresholds")
        if len(labels) != len(values) + 1:
            raise InputError(f"{len(values)} thresholds need {len(values) + 1} classes, got {len(labels)}")
        object.__setattr__(self, "thresholds", tuple(float(t) for t in values))
        object.__setattr__(self, "classes", labels)

    def regions(self, source: object, class_cost: Array | None) -> Regions:
        """Decision regions on the line; neither source nor cost matters here."""
        return Regions(self.thresholds, self.classes)

    def letters(self, source: TableSource, class_cost: Array | None) -> Array:
        """Class index of every letter of a finite source."""
        if source.x_values is None or source.x_values.ndim != 1:
            raise InputError("a threshold classifier needs one-dimensional x_values in the source")
        return self.regions(source, class_cost).at(source.x_values)


@dataclass(frozen=True)
class BayesClassifier:
    """The Bayes decision for X itself: argmin_k sum_c P(c | x) class_cost[c, k] (the largest posterior for 0-1 cost).

    Boundaries are found as sign changes on a scan of 4001 points that reaches 12 standard deviations beyond the
    components, refined to rounding; regions narrower than one step of the scan can be missed.
    """

    def regions(self, source: GaussianMixture, class_cost: Array | None) -> Regions:
        """Decision regions of the source on the line."""
        return bayes_regions(source, class_cost)

    def letters(self, source: TableSource, class_cost: Array | None) -> Array:
        """Class index of every letter of a finite source; ties go to the lower index."""
        joint = source.priors[:, None] * source.p_x_given_class
        return np.asarray(np.argmin(_cost(class_cost, source.n_classes).T @ joint, axis=0))


def _cost(class_cost: Array | None, n_classes: int) -> Array:
    return 1.0 - np.eye(n_classes) if class_cost is None else class_cost


def bayes_regions(source: GaussianMixture, class_cost: Array | None, noise_std: float = 0.0) -> Regions:
    """Regions of the Bayes decision for Y = X + N(0, noise_std^2); noise 0 is the decision for X.

    >>> source = GaussianMixture(priors=(0.7, 0.3), means=(-1.0, 1.0))
    >>> round(bayes_regions(source, None).boundaries[0], 10)  # ln(7/3)/2
    0.4236489302
    """
    cost = _cost(class_cost, source.n_classes)
    with np.errstate(divide="ignore"):
        log_priors = np.log(np.asarray(source.priors))

    def risks(x: float | Array) -> Array:
        log_joint = log_priors[:, None] + source.log_density(np.atleast_1d(x), noise_std)
        return np.asarray(cost.T @ np.exp(log_joint - log_joint.max(axis=0)))

    low, high = source.bounds(noise_std, n_std=12.0)
    scan = np.linspace(low, high, 4001)
    decision = np.argmin(risks(scan), axis=0)
    boundaries, classes = [], [int(decision[0])]
    for k in np.flatnonzero(np.diff(decision)):
        left, right = int(decision[k]), int(decision[k + 1])

        def difference(x: float, a: int = left, b: int = right) -> float:
            risk = risks(x)[:, 0]
            return float(risk[a] - risk[b])

        boundaries.append(float(brentq(difference, scan[k], scan[k + 1], xtol=1e-15, rtol=8.9e-16)))
        classes.append(right)
    return Regions(tuple(boundaries), tuple(classes))


@dataclass(frozen=True)
class TableClassifier:
    """Class index of every letter of a finite source, shape (n_x,)."""

    classes: tuple[int, ...]

    def __init__(self, classes: Sequence[int] | Array) -> None:
        object.__setattr__(self, "classes", class_indices(classes, "a classifier table"))

    def regions(self, source: object, class_cost: Array | None) -> Regions:
        """A table has no regions on the line."""
        raise InputError("a classifier table needs a finite source; use ThresholdClassifier on the line")

    def letters(self, source: TableSource, class_cost: Array | None) -> Array:
        """Class index of every letter."""
        if len(self.classes) != source.n_x:
            raise InputError(f"the classifier names {len(self.classes)} letters, the source has {source.n_x}")
        return np.asarray(self.classes)
