"""Classes of letters, given by a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cdp_toy.classifiers.base import Classifier, PlaneRule, Regions
from cdp_toy.errors import InputError
from cdp_toy.sources import LineSource, PlaneSource, TableSource
from cdp_toy.validation import Array, Indices, class_indices

__all__ = ["TableClassifier"]


@dataclass(frozen=True, eq=False)
class TableClassifier(Classifier):
    """Class index of every letter of a finite source, shape (n_x,).

    >>> TableClassifier([0, 1, 1]).classes
    (0, 1, 1)
    """

    kind = "table"

    classes: tuple[int, ...]

    def __init__(self, classes: Sequence[int] | Array) -> None:
        object.__setattr__(self, "classes", class_indices(classes, "a classifier table"))

    def regions(self, source: LineSource, class_cost: Array | None) -> Regions:
        """A table has no regions on the line."""
        raise InputError("a classifier table needs a finite source; use ThresholdClassifier on the line")

    def rule(self, source: PlaneSource, class_cost: Array | None) -> PlaneRule:
        """A table has no regions in the plane."""
        raise InputError("a classifier table needs a finite source; use LinearClassifier in the plane")

    def letters(self, source: TableSource, class_cost: Array | None) -> Indices:
        """Class index of every letter."""
        if len(self.classes) != source.n_x:
            raise InputError(f"the classifier names {len(self.classes)} letters, the source has {source.n_x}")
        return np.asarray(self.classes)
