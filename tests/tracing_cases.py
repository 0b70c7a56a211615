"""Formulas that can be stopped and sent to other processes, and what it means that two surfaces are the same."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import cdp_toy as cdp
from cdp_toy.point import Bracket, Point, Prices, Status

#: A rectangle of the paper's toy on 21 cells, with what asks for about 20 answers.
FINITE = dict(
    distortion=(0.74, 0.79), perception=(0.001, 0.006), tol=5e-5, margin=0.0, boundary_tol=1e-3, progress=False
)
#: The rectangle of formulas.
UNIT = dict(distortion=(0.0, 1.0), perception=(0.0, 1.0), progress=False)


@dataclass
class Bowl:
    """(1 - D)^2 + (1 - P)^2 / 2; the interrupt key is pressed at the question after `stop_after` of them."""

    stop_after: float = math.inf
    asked: int = 0

    def count(self) -> None:
        if self.asked >= self.stop_after:
            raise KeyboardInterrupt
        self.asked += 1

    def __call__(self, d: float, p: float) -> Point:
        self.count()
        value = (1 - d) ** 2 + (1 - p) ** 2 / 2
        return Point(Status.OPTIMAL, "formula", value, value, value, d, p, d, p, 2 * (1 - d), 1 - p)


@dataclass
class Corner(Bowl):
    """Feasible where D >= D_min(P) = 1/2 - P/2 + P^2/8; there the distance to that curve is paid for."""

    def __call__(self, d: float, p: float) -> Point:
        self.count()
        least, slope = 0.5 - p / 2 + p * p / 8, 0.5 - p / 4
        if d < least:
            return Point(Status.INFEASIBLE, "formula", math.inf, math.inf, *[math.nan] * 3, d, p, 0.0, 0.0)
        over = 1 + d - least
        return Point(Status.OPTIMAL, "formula", *[1 / over] * 3, d, p, d, p, over**-2, slope * over**-2)

    def min_distortion(self, p: float) -> Bracket:
        self.count()
        least = 0.5 - p / 2 + p * p / 8
        return Bracket(least, least, None, Prices(0.0, 0.5 - p / 4))


@dataclass
class Deadly:
    """The bowl, but whoever is asked ends at once while the directory holds a file for it to take away."""

    directory: Path

    def __call__(self, d: float, p: float) -> Point:
        for file in sorted(self.directory.glob("death*")):
            try:
                file.unlink()
            except FileNotFoundError:
                continue
            os._exit(1)
        return Bowl()(d, p)


@dataclass
class Failing:
    """A formula with a mistake."""

    def __call__(self, d: float, p: float) -> Point:
        raise ZeroDivisionError("a mistake in the formula")


def content(surface: cdp.Surface) -> dict[str, object]:
    """Everything that a surface holds, arrays as bytes."""
    found: dict[str, object] = {
        name: getattr(surface, name).tobytes() for name in ("points", "hyperplanes", "attained")
    }
    for name in ("boundary", "floor"):
        curve = getattr(surface, name)
        parts = () if curve is None else (curve.perception, curve.brackets, curve.tangents, curve.attained)
        found[name] = [part.tobytes() if isinstance(part, np.ndarray) else part for part in parts]
    found["channels"] = [channel.toarray().tobytes() for channel in surface.channels or ()]
    for name in ("stopped", "about", "distortion", "perception", "tol", "margin"):
        found[name] = getattr(surface, name)
    return found


def assert_identical(one: cdp.Surface, other: cdp.Surface) -> None:
    """Equal bit for bit."""
    a, b = content(one), content(other)
    assert [name for name in a if a[name] != b[name]] == []
