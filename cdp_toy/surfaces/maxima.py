"""The largest of many affine functions of two levels at many places, without a table of all pairs.

Within a box of places only those functions matter that exceed a chosen one at some corner of the box: differences of
affine functions are largest at corners. Boxes are halved until what matters fits into a small table.
"""

from __future__ import annotations

import numpy as np

from cdp_toy.validation import Array, Indices

__all__ = ["climbed", "maxima"]

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


def climbed(slopes: Array, heights: Array, beside: Indices, start: Indices, places: Array) -> tuple[Array, Indices]:
    """Larger and larger values of height_k + slope_k . place, from function to neighbour, until no neighbour has more.

    Where the functions are the facets of a convex function, and neighbours share a side, that is the largest one.

    Parameters
    ----------
    slopes, heights : arrays of shapes (m, 2) and (m,)
        The functions, all finite.
    beside : integer array of shape (m, k)
        Neighbours by number, -1 for none.
    start : integer array of shape (n,)
        Where to begin.
    places : array of shape (n, 2)
        All finite.

    Returns
    -------
    values, which : arrays of shape (n,)

    Examples
    --------
    >>> slopes, heights = np.array([[-1.0, 0.0], [0.0, 0.0], [1.0, 0.0]]), np.array([0.0, -0.5, -2.0])
    >>> values, which = climbed(slopes, heights, np.array([[1], [2], [1]]), np.array([0]), np.array([[3.0, 0.0]]))
    >>> values.tolist(), which.tolist()
    ([1.0], [2])
    """
    which = np.array(start)
    values = heights[which] + np.einsum("ij,ij->i", slopes[which], places)
    active = np.arange(len(places))
    while len(active):
        near = beside[which[active]]
        near = np.where(near < 0, which[active][:, None], near)
        table = heights[near] + slopes[near, 0] * places[active, :1] + slopes[near, 1] * places[active, 1:]
        best = (np.arange(len(active)), table.argmax(axis=1))
        higher = table[best] > values[active]
        active = active[higher]
        values[active], which[active] = table[best][higher], near[best][higher]
    return values, which
