"""A coarse scan of the exact surface: rows of certified points, placed where the surface is not flat."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cdp_toy.boundary import flat_distortion, min_distortion
from cdp_toy.errors import InputError
from cdp_toy.finite import DiscreteProblem
from cdp_toy.point import Point, Status
from cdp_toy.solving import solve

__all__ = ["Interval", "Journal", "Row", "distortion_fractions", "perception_levels", "scan_row"]

#: A row whose non-flat strip is narrower than this [distortion units] shows nothing on a plot 0.1 wide.
NARROWEST_STRIP = 5e-4


@dataclass(frozen=True)
class Interval:
    """Certified interval of a boundary value."""

    lower: float
    upper: float


@dataclass(frozen=True)
class Row:
    """Points of one perception level, with the certified ends of its interesting part.

    Attributes
    ----------
    max_perception : float
        P [divergence units].
    min_distortion : Interval
        D_min(P): below it nothing is feasible.
    flat_distortion : Interval or None
        D_flat(P): from it on C sits on its floor; None where it never does.
    end : float
        Where the row ends: D_flat(P), else the least distortion of a channel that reproduces the source.
    points : tuple of Point
        In increasing distortion.
    """

    max_perception: float
    min_distortion: Interval
    flat_distortion: Interval | None
    end: float
    points: tuple[Point, ...]

    def to_json(self) -> str:
        """One line of JSON; floats survive exactly."""
        return json.dumps(dataclasses.asdict(self), default=lambda status: status.name)

    @classmethod
    def from_json(cls, line: str) -> Row:
        """Row of a line written by `to_json`; raises InputError for anything else."""
        try:
            raw: dict[str, Any] = json.loads(line)
            flat = raw["flat_distortion"]
            return cls(
                max_perception=float(raw["max_perception"]),
                min_distortion=Interval(**raw["min_distortion"]),
                flat_distortion=None if flat is None else Interval(**flat),
                end=float(raw["end"]),
                points=tuple(Point(**{**p, "status": Status[p["status"]]}) for p in raw["points"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InputError(f"not a row of a scan: {error}") from None


def distortion_fractions(n: int) -> tuple[float, ...]:
    """Fractions of the strip [D_min, end], squares because the surface falls like a square root at D_min.

    >>> distortion_fractions(3)
    (0.1111111111111111, 0.4444444444444444, 1.0)
    """
    return tuple((k / n) ** 2 for k in range(1, n + 1))


def perception_levels(problem: DiscreteProblem, n: int, low: float, high: float) -> tuple[float, ...]:
    """Geometric levels from `low` up to where the surface becomes flat to the eye, at most `high`.

    Parameters
    ----------
    problem : DiscreteProblem
    n : int
        Number of levels.
    low, high : float
        Least and largest perception level [divergence units].
    """
    while high > 4 * low:
        flat = flat_distortion(problem, high / 1.5, tol=1e-6)
        if flat is None or flat.upper - min_distortion(problem, high / 1.5, tol=1e-6).upper > NARROWEST_STRIP:
            break
        high /= 1.5
    return tuple(float(p) for p in np.geomspace(low, high, n))


def scan_row(problem: DiscreteProblem, max_perception: float, fractions: Sequence[float], tol: float = 1e-8) -> Row:
    """Solve the points of one perception level.

    Parameters
    ----------
    problem : DiscreteProblem
    max_perception : float
        P > 0 [divergence units].
    fractions : sequence of floats in (0, 1]
        Places within the strip from D_min(P) to the end of the row.
    tol : float
        Absolute certified gap to aim for.
    """
    least = min_distortion(problem, max_perception)
    flat = flat_distortion(problem, max_perception)
    end = min_distortion(problem, 0.0).upper if flat is None else flat.upper
    # at the very boundary there is no interior; a strip too narrow to resolve still gets distinct points
    width = max(end - least.upper, NARROWEST_STRIP)
    points = [
        solve(problem, least.upper + f * width, max_perception, tol=tol, on_infeasible="return", boundary=least)
        for f in fractions
    ]
    return Row(
        max_perception,
        Interval(least.lower, least.upper),
        None if flat is None else Interval(flat.lower, flat.upper),
        end,
        tuple(Point(**{f.name: _plain(getattr(p, f.name)) for f in dataclasses.fields(Point)}) for p in points),
    )


def _plain(value: Any) -> Any:
    return float(value) if isinstance(value, float | np.floating) else value


class Journal:
    """Rows as lines of a text file: durable as soon as they are known, reused when the settings agree.

    The first line holds the settings. A file of other settings is started afresh; a line cut short by a crash is
    dropped. Nothing but JSON is ever read, so a file from a stranger can do no more than be refused.
    """

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.path = path
        self._header = json.dumps(settings, sort_keys=True)
        self.rows: dict[tuple[str, float], Row] = {}
        lines = path.read_text().splitlines() if path.exists() else []
        if lines and lines[0] == self._header:
            for line in lines[1:]:
                try:
                    name, row = line.split("\t", 1)
                    kept = Row.from_json(row)
                except (ValueError, InputError):
                    continue
                self.rows[name, kept.max_perception] = kept
        self._write_all()

    def add(self, name: str, row: Row) -> None:
        """Store one finished row."""
        self.rows[name, row.max_perception] = row
        with self.path.open("a") as stream:
            stream.write(f"{name}\t{row.to_json()}\n")

    def of(self, name: str) -> tuple[Row, ...]:
        """Rows of one surface in increasing perception."""
        return tuple(row for key, row in sorted(self.rows.items()) if key[0] == name)

    def _write_all(self) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_suffix(".tmp")
        body = "".join(f"{name}\t{row.to_json()}\n" for (name, _), row in sorted(self.rows.items()))
        temporary.write_text(f"{self._header}\n{body}")
        temporary.replace(self.path)


def all_points(rows: Sequence[Row]) -> list[Point]:
    """Every point of the rows that has a proven bracket with a feasible channel."""
    return [p for row in rows for p in row.points if math.isfinite(p.upper_bound)]
