"""What a predefined classifier offers: decision regions on the line, a rule in the plane, classes of letters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cdp_toy.errors import InputError
from cdp_toy.pieces import Piece
from cdp_toy.sources import LineSource, PlaneSource, Source, TableSource
from cdp_toy.validation import Array, Indices

__all__ = ["Classifier", "PlaneRule", "Regions", "first_change", "scanned_regions"]

#: Points of a scan for decision boundaries; regions narrower than a step can be missed.
SCAN_POINTS = 4001
#: A scan reaches this many standard deviations beyond the source.
SCAN_REACH = 12.0


class Regions(NamedTuple):
    """Decision regions on the line: class `classes[k]` on [boundaries[k-1], boundaries[k])."""

    boundaries: tuple[float, ...]
    classes: tuple[int, ...]

    def at(self, x: Array) -> Indices:
        """Class index of each point."""
        return np.asarray(self.classes)[np.searchsorted(self.boundaries, x, side="right")]


class PlaneRule(ABC):
    """A decision rule in the plane."""

    #: boundaries along a line are closed forms, not found by a scan
    exact: bool
    #: orthogonal frame in which the boundary is parallel to an axis, if there is one; else that of the coordinates
    frame: Array = np.eye(2)
    #: places of such boundaries along each axis of the frame
    marks: tuple[tuple[float, ...], tuple[float, ...]] = ((), ())

    @property
    def aligned(self) -> bool:
        """Whether the marks are the whole boundary, so that cells with edges there are never cut."""
        return any(self.marks)

    @abstractmethod
    def at(self, x: Array) -> Indices:
        """Class index of points of shape (N, 2)."""

    @abstractmethod
    def slices(self, frame: Array, t: Array) -> tuple[Array, Indices]:
        """Decision regions along the lines u1 = t of a frame u = frame @ x.

        Returns
        -------
        boundaries : array of shape (m, b)
            Increasing along each line; unused places hold inf.
        classes : array of shape (m, b + 1)
            Class below the first boundary, between consecutive ones, and above the last.
        """

    def breaks(self, frame: Array, edges: Array) -> Array:
        """Places along u1 of a frame where boundaries turn back or cross edges of u2, as far as they are known."""
        return np.zeros(0)


class Classifier(Piece, ABC):
    """The predefined classifier c0, applied to Xhat."""

    role = "classifier"
    #: its regions on the line are known, not found by probing a function
    exact = True

    #: class indices that it may answer with, empty when they follow from the source
    classes: tuple[int, ...] = ()

    def regions(self, source: LineSource, class_cost: Array | None) -> Regions:
        """Decision regions on the line."""
        raise self._misfit("a source on the line")

    def rule(self, source: PlaneSource, class_cost: Array | None) -> PlaneRule:
        """Decision rule in the plane."""
        raise self._misfit("a source in the plane")

    def letters(self, source: TableSource, class_cost: Array | None) -> Indices:
        """Class index of every letter of a finite source."""
        raise self._misfit("a finite source")

    def decide(self, source: Source, class_cost: Array | None, x: Array) -> Indices:
        """Class index of values of X: points of shape (N,) or (N, 2), or letter indices of a finite source."""
        if isinstance(source, LineSource):
            return self.regions(source, class_cost).at(x)
        if isinstance(source, PlaneSource):
            return self.rule(source, class_cost).at(x)
        if isinstance(source, TableSource):
            return np.asarray(self.letters(source, class_cost)[np.asarray(x).astype(int)])
        raise self._misfit(f"a {type(source).__name__}")

    def _misfit(self, where: str) -> InputError:
        return InputError(
            f"a {type(self).__name__} does not fit {where}: use ThresholdClassifier on the line, LinearClassifier or "
            "QuadraticClassifier in the plane, TableClassifier for letters, Bayes- or CallableClassifier for any"
        )


def first_change(decide: Callable[[Array], Indices], low: Array, high: Array) -> Array:
    """First double in (low, high] where a decision differs from the one at `low`, by bisection; arrays of brackets.

    `decide` takes points of the shape of `low`, one for each bracket.
    """
    start = decide(low)
    low, high = low.copy(), high.copy()
    while True:
        middle = low + (high - low) / 2
        open_ = (middle > low) & (middle < high)
        if not open_.any():
            return high
        same = decide(middle) == start
        low = np.where(open_ & same, middle, low)
        high = np.where(open_ & ~same, middle, high)


def scanned_regions(decide: Callable[[Array], Indices], points: Array) -> Regions:
    """Regions of a decision on the line, from its values at increasing points and bisection between them.

    Where `decide` answers -1 nothing is at stake; such points take the decision to their left (or the first one).
    """

    def filled(x: Array) -> Indices:
        labels = decide(x)
        known = np.flatnonzero(labels >= 0)
        if not len(known):
            return np.zeros(len(x), dtype=int)
        return labels[known[np.maximum(np.searchsorted(known, np.arange(len(x)), side="right") - 1, 0)]]

    labels = filled(points)
    found: list[tuple[float, int]] = []
    changes = np.flatnonzero(np.diff(labels))
    for left, right, before, after in zip(
        points[changes], points[changes + 1], labels[changes], labels[changes + 1], strict=True
    ):
        while before != after:  # more than one boundary between two points of the scan is rare, but happens

            def settled(x: Array, here: int = int(before)) -> Indices:
                answer = decide(x)
                return np.where(answer < 0, here, answer)

            left = float(first_change(settled, np.array([left]), np.array([right]))[0])
            before = after if left == right else int(settled(np.array([left]))[0])
            found.append((left, int(before)))
    return Regions(tuple(b for b, _ in found), (int(labels[0]), *(c for _, c in found)))
