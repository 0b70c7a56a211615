"""Any function of points as a classifier, such as the `predict` of a fitted estimator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cdp_toy.classifiers.base import SCAN_POINTS, SCAN_REACH, Classifier, Regions, scanned_regions
from cdp_toy.classifiers.scan import ScanRule
from cdp_toy.errors import InputError
from cdp_toy.sources import LineSource, PlaneSource, TableSource
from cdp_toy.validation import Array, Indices

__all__ = ["CallableClassifier"]


@dataclass(frozen=True, eq=False)
class CallableClassifier(Classifier):
    """Class by a function of points, such as the `predict` of a fitted scikit-learn classifier.

    Boundaries are found by probing (4001 points on the line, 401 along each line of the plane) and bisection, so
    regions narrower than a step can be missed; values of such problems are no proven bounds of the continuous one.

    Parameters
    ----------
    predict : function
        Takes points of shape (N, dim), dim = 1 on the line and 2 in the plane, and returns N class indices 0 .. K - 1.

    Examples
    --------
    >>> from cdp_toy.sources import GaussianMixture
    >>> classifier = CallableClassifier(lambda points: (np.abs(points[:, 0]) > 1).astype(int))
    >>> regions = classifier.regions(GaussianMixture((0.5, 0.5), (-1.0, 1.0)), None)
    >>> [round(b, 12) for b in regions.boundaries]
    [-1.0, 1.0]
    """

    exact = False

    predict: Callable[[Array], Any]

    def __post_init__(self) -> None:
        if not callable(self.predict):
            raise InputError(f"predict must be a function of points of shape (N, dim), got {self.predict!r}")

    def regions(self, source: LineSource, class_cost: Array | None) -> Regions:
        """Decision regions on the line, by a scan."""
        scan = np.linspace(*source.bounds(n_std=SCAN_REACH), SCAN_POINTS)
        return scanned_regions(lambda x: self._answers(x.reshape(-1, 1), source.n_classes), scan)

    def rule(self, source: PlaneSource, class_cost: Array | None) -> ScanRule:
        """Decision rule in the plane."""
        return ScanRule(lambda x: self._answers(x, source.n_classes), source)

    def letters(self, source: TableSource, class_cost: Array | None) -> Indices:
        """Class index of every letter of a finite source."""
        if source.x_values is None:
            raise InputError("a classifier of points needs x_values in the source")
        return self._answers(source.x_values.reshape(source.n_x, -1), source.n_classes)

    def _answers(self, points: Array, n_classes: int) -> Indices:
        answer = np.asarray(self.predict(points))
        if answer.shape != (len(points),):
            raise InputError(
                f"the classifier's function returned shape {answer.shape} for {len(points)} points of shape "
                f"{points.shape}; expected ({len(points)},), one class index per point"
            )
        try:
            labels = answer.astype(np.intp)
            whole = bool(np.all(labels == answer))
        except (TypeError, ValueError):
            whole = False
        if not whole or np.any((labels < 0) | (labels >= n_classes)):
            odd = answer[0] if not whole else answer[(labels < 0) | (labels >= n_classes)][0]
            raise InputError(
                f"the classifier's function must return class indices 0 .. {n_classes - 1}, the classes of the source; "
                f"it returned {odd!r}"
            )
        return labels
