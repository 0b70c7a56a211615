"""Growth exponent of warm solves: least squares of log time against log size."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from benchmarks.campaign import COMPILED
from benchmarks.measurements import CaseResult

__all__ = ["Growth", "exponent", "warm_growth"]

#: Sizes on the line that the exponent is fitted over: below, fixed costs dominate.
SMALLEST, LARGEST = 401, 1601


@dataclass(frozen=True)
class Growth:
    """Exponent over the sizes of one series, NaN with fewer than two of them."""

    series: str
    sizes: tuple[int, ...]
    exponent: float

    def __str__(self) -> str:
        """One line for people."""
        if math.isnan(self.exponent):
            solved = ", ".join(map(str, self.sizes)) or "none"
            return f"{self.series}: not measured, of n = {SMALLEST} to {LARGEST} only these were solved: {solved}"
        return f"{self.series}: warm time grows like n^{self.exponent:.2f} over n = {', '.join(map(str, self.sizes))}"


def exponent(sizes: Sequence[float], seconds: Sequence[float]) -> float:
    """Slope of the least-squares line through (log size, log seconds).

    >>> round(exponent([1, 10, 100], [2.0, 20.0, 200.0]), 12)
    1.0
    """
    if len(sizes) < 2:
        return math.nan
    x = np.log(sizes) - np.log(sizes).mean()
    return float(x @ np.log(seconds) / (x @ x))


def warm_growth(results: Iterable[CaseResult]) -> list[Growth]:
    """Growth of our warm solves on the line, for every series that has sizes in the range."""
    series: dict[str, list[tuple[int, float | None]]] = {}
    for result in results:
        if result.case.dim == 1 and SMALLEST <= result.case.n <= LARGEST:
            ours = result.of(COMPILED)
            warm = None if ours is None else ours.warm_seconds
            series.setdefault(result.case.series, []).append((result.case.n, warm))
    fits = []
    for name, pairs in series.items():
        if len(pairs) < 2:
            continue
        solved = [(n, seconds) for n, seconds in pairs if seconds is not None]
        slope = exponent([n for n, _ in solved], [seconds for _, seconds in solved])
        fits.append(Growth(name, tuple(n for n, _ in solved), slope))
    return fits
