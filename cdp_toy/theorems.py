"""The paper's claims as functions: each returns a verdict, its worst margin and a witness."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cdp_toy.errors import InputError
from cdp_toy.point import Point, Status
from cdp_toy.validation import Array

__all__ = ["Verdict", "convex", "family_convex", "family_non_increasing", "non_increasing"]


@dataclass(frozen=True)
class Verdict:
    """Outcome of a claim.

    Attributes
    ----------
    claim : str
    holds : bool
        No violation beyond `uncertainty` was found.
    margin : float
        Largest violation over everything examined; negative or zero means none.
    uncertainty : float
        Certified width of the numbers compared: violations up to this size are no evidence.
    witness : tuple of (D, P) pairs
        Where the margin was met.
    examined : int
        Number of comparisons.
    """

    claim: str
    holds: bool
    margin: float
    uncertainty: float
    witness: tuple[tuple[float, float], ...]
    examined: int

    def __str__(self) -> str:
        places = " -> ".join(f"({d:.6g}, {p:.6g})" for d, p in self.witness)
        return (
            f"{self.claim}: {'holds' if self.holds else 'VIOLATED'}; worst margin {self.margin:+.2e} "
            f"(uncertainty {self.uncertainty:.1e}, {self.examined} comparisons) at {places}"
        )


def _usable(points: Sequence[Point]) -> list[Point]:
    kept = [p for p in points if p.status in (Status.OPTIMAL, Status.INEXACT)]
    if len(kept) < 2:
        raise InputError(f"a claim about a surface needs at least two feasible points, got {len(kept)}")
    return kept


def non_increasing(points: Sequence[Point]) -> Verdict:
    """Claim 1: C does not increase when a level is relaxed.

    For every pair with D_i <= D_j and P_i <= P_j the margin is lower_bound_j - upper_bound_i: positive would disprove
    the claim, whatever the gaps.

    References
    ----------
    Liu, Zhang and Xiong, NeurIPS 2019, Theorem 1.
    """
    kept = _usable(points)
    worst, witness, examined = -math.inf, (kept[0], kept[0]), 0
    for tight in kept:
        for loose in kept:
            if loose is tight:
                continue
            if tight.max_distortion <= loose.max_distortion and tight.max_perception <= loose.max_perception:
                examined += 1
                margin = loose.lower_bound - tight.upper_bound
                if margin > worst:
                    worst, witness = margin, (tight, loose)
    return Verdict(
        "non-increasing", worst <= 0, worst, max(p.gap for p in kept), tuple(_place(p) for p in witness), examined
    )


def convex(points: Sequence[Point]) -> Verdict:
    """Claim 2: C is jointly convex in (D, P), by certificate.

    Every point's supporting hyperplane l_i must lie below every achieved value: margin = max_ij l_i(point_j) - UB_j.
    With margin <= 0 and gaps <= eps, C at each point is at most any convex combination of the others plus 2 eps.

    References
    ----------
    Liu, Zhang and Xiong, NeurIPS 2019, Theorem 1.
    """
    kept = _usable(points)
    worst, witness = -math.inf, (kept[0], kept[0])
    for plane in kept:
        for other in kept:
            if other is plane:
                continue
            margin = plane.hyperplane.at(other.max_distortion, other.max_perception) - other.upper_bound
            if margin > worst:
                worst, witness = margin, (plane, other)
    return Verdict(
        "convex",
        worst <= 0,
        worst,
        max(p.gap for p in kept),
        tuple(_place(p) for p in witness),
        len(kept) * (len(kept) - 1),
    )


def family_non_increasing(value: Callable[[Array, Array], Array], d: Array, p: Array, uncertainty: float) -> Verdict:
    """Claim 1 for a restricted family, by values on a lattice (NaN where the family is infeasible)."""
    table = value(d[:, None], p[None, :])
    worst, witness, examined = -math.inf, ((float("nan"),) * 2,) * 2, 0
    for axis in (0, 1):
        step = np.diff(table, axis=axis)
        examined += int(np.isfinite(step).sum())
        if np.isfinite(step).any() and np.nanmax(step) > worst:
            i, j = np.unravel_index(int(np.nanargmax(step)), step.shape)
            worst = float(step[i, j])
            k, m = (i + 1, j) if axis == 0 else (i, j + 1)
            witness = ((float(d[i]), float(p[j])), (float(d[k]), float(p[m])))
    return Verdict("non-increasing", worst <= uncertainty, worst, uncertainty, witness, examined)


def family_convex(value: Callable[[Array, Array], Array], d: Array, p: Array, uncertainty: float) -> Verdict:
    """Claim 9: is the surface of a restricted family convex? No theorem says so.

    Chords between lattice points at even index distance, along rows, columns and both diagonals, are compared with the
    value at their midpoint: margin = C(midpoint) - mean of C at the ends (infinite where the midpoint is infeasible).
    """
    axes_d, axes_p = np.asarray(d), np.asarray(p)
    table = value(axes_d[:, None], axes_p[None, :])
    worst, witness, examined = -math.inf, ((float("nan"),) * 2,) * 3, 0
    for a, b in ((0, 1), (1, 0), (1, 1), (1, -1)):
        for k in range(1, max(table.shape) // 2):
            rows = np.arange(a * k, len(axes_d) - a * k)
            columns = np.arange(abs(b) * k, len(axes_p) - abs(b) * k)
            if not len(rows) or not len(columns):
                break
            i, j = np.meshgrid(rows, columns, indexing="ij")
            first, last = (i - a * k, j - b * k), (i + a * k, j + b * k)
            middle_d = (axes_d[first[0]] + axes_d[last[0]]) / 2
            middle_p = (axes_p[first[1]] + axes_p[last[1]]) / 2
            middle = value(middle_d, middle_p)
            ends = (table[first] + table[last]) / 2
            margin = np.where(np.isnan(middle), np.inf, middle) - ends
            margin = np.where(np.isnan(ends), -np.inf, margin)
            examined += int(np.isfinite(ends).sum())
            m = np.unravel_index(int(np.argmax(margin)), margin.shape)
            if margin[m] > worst:
                worst = float(margin[m])
                witness = (
                    (float(axes_d[first[0][m]]), float(axes_p[first[1][m]])),
                    (float(middle_d[m]), float(middle_p[m])),
                    (float(axes_d[last[0][m]]), float(axes_p[last[1][m]])),
                )
    return Verdict("convex", worst <= uncertainty, worst, uncertainty, witness, examined)


def _place(point: Point) -> tuple[float, float]:
    return point.max_distortion, point.max_perception
