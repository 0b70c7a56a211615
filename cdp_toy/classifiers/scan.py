"""Decision rules in the plane that are known only by asking them at points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cdp_toy.classifiers.base import SCAN_REACH, PlaneRule, first_change
from cdp_toy.sources import PlaneSource
from cdp_toy.validation import Array, Indices

__all__ = ["ScanRule"]

#: Points along a line of the plane; regions narrower than a step can be missed.
LINE_POINTS = 401


class ScanRule(PlaneRule):
    """A rule given by a function of points; boundaries along a line are found by a scan and bisection to rounding.

    Parameters
    ----------
    decide : function
        Takes points of shape (N, 2), returns N class indices.
    source : PlaneSource
        Tells how far a scan must reach.
    """

    exact = False

    def __init__(self, decide: Callable[[Array], Indices], source: PlaneSource) -> None:
        self._decide, self._source = decide, source

    def at(self, x: Array) -> Indices:
        """Class index of points of shape (..., 2)."""
        points = np.asarray(x, dtype=np.float64)
        return np.asarray(self._decide(points.reshape(-1, 2)).reshape(points.shape[:-1]))

    def slices(self, frame: Array, t: Array) -> tuple[Array, Indices]:
        """Decision regions along lines; see `PlaneRule.slices`."""
        along, across = frame
        low, high = self._source.bounds(frame, np.zeros((2, 2)), SCAN_REACH)[1]
        scan = np.linspace(low, high, LINE_POINTS)
        labels = self.at(t[:, None, None] * along + scan[:, None] * across)
        line, place = np.nonzero(np.diff(labels, axis=1))

        def on_lines(s: Array) -> Indices:
            return self.at(t[line, None] * along + s[:, None] * across)

        found = first_change(on_lines, scan[place], scan[place + 1]) if len(line) else np.zeros(0)
        count = np.bincount(line, minlength=len(t))
        rank = np.arange(len(line)) - np.repeat(np.cumsum(count) - count, count)
        boundaries = np.full((len(t), int(count.max(initial=0))), np.inf)
        boundaries[line, rank] = found
        classes = np.repeat(labels[:, :1], boundaries.shape[1] + 1, axis=1)
        classes[line, rank + 1] = labels[line, place + 1]
        return boundaries, classes
