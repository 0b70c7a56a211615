"""Thresholds on the line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdp_toy.classifiers.base import Classifier, Regions
from cdp_toy.errors import InputError
from cdp_toy.sources import LineSource, TableSource
from cdp_toy.validation import Array, Indices, class_indices, finite_array

__all__ = ["ThresholdClassifier"]


@dataclass(frozen=True, eq=False)
class ThresholdClassifier(Classifier):
    """Class by thresholds: `classes[k]` between the k-th and the next threshold.

    Parameters
    ----------
    thresholds : float or increasing sequence
        Boundaries [units of x]; the value at a threshold belongs to the right-hand class.
    classes : sequence of len(thresholds) + 1 class indices, optional
        0, 1, 2, ... when left out.

    Examples
    --------
    >>> ThresholdClassifier(0.4).thresholds, ThresholdClassifier(0.4).classes
    ((0.4,), (0, 1))
    """

    kind = "threshold"

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

    def regions(self, source: LineSource | TableSource, class_cost: Array | None) -> Regions:
        """Decision regions on the line; neither source nor cost matters here."""
        return Regions(self.thresholds, self.classes)

    def letters(self, source: TableSource, class_cost: Array | None) -> Indices:
        """Class index of every letter of a finite source."""
        if source.x_values is None or source.x_values.ndim != 1:
            raise InputError("a threshold classifier needs one-dimensional x_values in the source")
        return self.regions(source, class_cost).at(source.x_values)
