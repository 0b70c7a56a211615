"""The largest of many affine functions of two levels at many places, without a table of all pairs.

Within a box of places only those functions matter that exceed a chosen one at some corner of the box: differences of
affine functions are largest at corners. Boxes are halved until what matters fits into a small table.
"""

from __future__ import annotations

import numpy as np

from cdp_toy.validation import Array, Indices

__all__ = ["maxima"]

#: Functions times places that are compared in one table: half a megabyte, which stays in a processor's cache.
TABLE = 1 << 16
#: Boxes of so few places are not halved any more.
FEW = 8
#: Functions this far below the chosen one, as a share of its size, may be the largest after rounding.
ROUNDING = 1e-12


def maxima(slopes: Array, heights: Array, places: Array) -> tuple[Array, Indices]:
    """Largest value of height_k + slope_k . place at every place, and the first function that attains it.

    Parameters
    ----------
    slopes, heights : arrays of shapes (m, 2) and (m,)
        The functions, all finite, at least one.
    places : array of shape (n, 2)
        All finite.

    Returns
    -------
    values, which : arrays of shape (n,)

    Examples
    --------
    >>> values, which = maxima(np.array([[1.0, 0.0], [0.0, 2.0]]), np.zeros(2), np.array([[3.0, 1.0], [0.5, 1.0]]))
    >>> values.tolist(), which.tolist()
    ([3.0, 2.0], [0, 1])
    """
    values, which = np.empty(len(places)), np.empty(len(places), dtype=np.intp)
    unit = np.ptp(places, axis=0) if len(places) else np.ones(2)
    unit = np.where(unit > 0, unit, 1.0)
    boxes = [(np.arange(len(places)), np.arange(len(heights)))]
    while boxes:
        here, among = boxes.pop()
        spots = places[here]
        if len(here) <= FEW or len(here) * len(among) <= TABLE:
            table = spots @ slopes[among].T + heights[among]
            best = table.argmax(axis=1)
            values[here], which[here] = table[np.arange(len(here)), best], among[best]
            continue
        low, high = spots.min(axis=0), spots.max(axis=0)
        corners = np.array([low, (low[0], high[1]), (high[0], low[1]), high])
        at_corners = slopes[among] @ corners.T + heights[among][:, None]
        chosen = at_corners[at_corners.sum(axis=1).argmax()]
        among = among[(at_corners >= chosen - ROUNDING * np.abs(chosen).max()).any(axis=1)]
        halves = np.argsort(spots[:, int(np.argmax((high - low) / unit))], kind="stable")
        boxes += [(here[half], among) for half in np.array_split(halves, 2)]
    return values, which
