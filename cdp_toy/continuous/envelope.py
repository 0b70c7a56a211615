"""Least priced distance to one side: G(m) = inf over its x of lam x^2 - 2 lam m x - v(x), for many m at once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cdp_toy.validation import Array, Indices

__all__ = ["Side"]


@dataclass(frozen=True, eq=False)
class Side:
    """A potential on one side of the line: linear between nodes, constant from the outer ones to the ends.

    Attributes
    ----------
    low, high : float
        Ends of the side, perhaps infinite [units of x].
    nodes, values : arrays of shape (k,), k >= 1
        Increasing, strictly between the ends, and v at them.
    """

    low: float
    high: float
    nodes: Array
    values: Array

    def least(self, m: Array, price: float) -> tuple[Array, Array]:
        """G(m) at increasing m, concave in m, and a nondecreasing x where it is attained; shapes (len(m),).

        On a segment where v has slope g the best x is m + g/(2 lam), clipped to the segment. The segment of the least
        value does not go left when m grows, for -2 lam m x is submodular in (m, x); so the m are treated in the order
        of a bisection, each between the segments of its neighbours on either side: (k + len(m)) log len(m) values.
        """
        if price == 0:
            best = int(self.values.argmax())
            return np.full(len(m), -float(self.values[best])), np.full(len(m), self.nodes[best])
        last = len(self.nodes)  # segments: the constant ends and what lies between consecutive nodes
        left, right = np.concatenate([[self.low], self.nodes]), np.concatenate([self.nodes, [self.high]])
        anchors = np.concatenate([self.nodes[:1], self.nodes])
        heights = np.concatenate([self.values[:1], self.values])
        slopes = np.concatenate([[0.0], np.diff(self.values) / np.diff(self.nodes), [0.0]])
        shifts = slopes / (2 * price)
        offsets = heights - slopes * anchors

        def place(segment: Indices, at: Array) -> Array:
            return np.asarray(np.minimum(np.maximum(at + shifts[segment], left[segment]), right[segment]))

        def value(segment: Indices, at: Array) -> Array:
            x = place(segment, at)
            return np.asarray(price * x * (x - 2 * at) - offsets[segment] - slopes[segment] * x)

        # segment of each m, with room for neighbours beyond both ends
        size = len(m)
        chosen, least = np.zeros(size + 2, dtype=np.intp), np.empty(size)
        chosen[-1] = last
        half = 1 << max(size.bit_length() - 1, 0)
        while half >= 1:
            middle = np.arange(half - 1, size, 2 * half)
            lowest = chosen[np.maximum(middle - half + 1, 0)]
            count = chosen[np.minimum(middle + half + 1, size + 1)] - lowest + 1
            starts = np.cumsum(count) - count
            segment = np.arange(int(count.sum())) - np.repeat(starts - lowest, count)
            values = value(segment, np.repeat(m[middle], count))
            lowest_value = np.minimum.reduceat(values, starts)
            hits = np.flatnonzero(values == np.repeat(lowest_value, count))
            first = np.searchsorted(hits, starts)
            chosen[middle + 1], least[middle] = segment[hits[first]], lowest_value
            half //= 2
        return least, place(chosen[1:-1], m)
