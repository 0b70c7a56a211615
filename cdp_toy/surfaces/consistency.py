"""Whether planes that are said to lie below a function lie below the values that it is said to attain."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cdp_toy.surfaces.geometry import Envelope
from cdp_toy.validation import Array

__all__ = ["LEVEL_ROUNDING", "ROUNDING", "Excess", "excesses"]

#: Planes may exceed attained values by this much, and by this share of what their prices make of the levels: rounding.
ROUNDING, LEVEL_ROUNDING = 1e-9, 1e-11


class Excess(NamedTuple):
    """A plane above an attained value: by how much, and their row numbers."""

    amount: float
    plane: int
    point: int


def excesses(envelope: Envelope, places: Array, values: Array, rounding: float = ROUNDING) -> Iterator[Excess]:
    """Every attained value below a plane by more than rounding, with the highest plane there.

    Parameters
    ----------
    envelope : Envelope
        The planes.
    places : array of shape (n, 2)
        Levels (D, P) at which values are attained.
    values : array of shape (n,)
    rounding : float
        Excess that counts as none, besides the share `LEVEL_ROUNDING` of price times level.

    Examples
    --------
    >>> envelope = Envelope(np.array([[1.0, 1.0]]), np.array([3.0]), np.array([[2.0, 0.5]]))
    >>> list(excesses(envelope, np.array([[1.0, 1.0], [0.0, 1.0]]), np.array([3.0, 4.5])))
    [Excess(amount=0.5, plane=0, point=1)]
    """
    over = envelope(places[:, 0], places[:, 1]) - values if len(envelope.values) else np.zeros(0)
    for k in np.flatnonzero(over > rounding).tolist():
        best = int(envelope.highest(places[k : k + 1], 1)[0, 0])
        sides = zip(envelope.prices[best], envelope.places[best], places[k], strict=True)
        paid = sum(
            float(price) * max(abs(here), abs(there)) if here != there and np.isfinite(price) else 0.0
            for price, here, there in sides
        )
        amount = float(over[k])
        if amount > rounding + LEVEL_ROUNDING * paid:
            yield Excess(amount, best, k)
