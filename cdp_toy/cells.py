"""Cells: how the line and the plane are cut into letters, and which letter a value belongs to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from cdp_toy.errors import InputError
from cdp_toy.validation import Array, Indices, Mask, finite_array

__all__ = [
    "Bounds",
    "Cells",
    "ErasedOr",
    "LetterCells",
    "LineCells",
    "PlaneCells",
    "aligned_edges",
    "checked_count",
    "checked_interval",
    "merged_edges",
]

#: where the tails of a grid begin: (low, high) on the line, a pair of those in the plane
Bounds = tuple[float, float] | tuple[tuple[float, float], tuple[float, float]]

#: Cells lighter than this are merged with a neighbour: their squares underflow the solvers' arithmetic, and their
#: effect on any value is below 1e-24.
LIGHTEST_CELL = 1e-25


class Cells(Protocol):
    """A partition of the values of X or Y into letters."""

    @property
    def dim(self) -> int:
        """Coordinates of a value."""
        ...

    @property
    def n(self) -> int:
        """Number of letters."""
        ...

    def locate(self, values: Array) -> Indices:
        """Letter of each value; `values` has shape (N,) on the line and (N, 2) in the plane."""
        ...


@dataclass(frozen=True, eq=False)
class LineCells:
    """Intervals [edges[k], edges[k + 1]) of the line; `letters` tells which intervals share a letter, if any do."""

    edges: Array
    letters: Indices | None = None

    dim = 1

    @property
    def n(self) -> int:
        """Number of letters."""
        return len(self.edges) - 1 if self.letters is None else int(self.letters.max()) + 1

    def locate(self, values: Array) -> Indices:
        """Letter of each value, shape (N,)."""
        found = np.clip(np.searchsorted(self.edges, values, side="right") - 1, 0, len(self.edges) - 2)
        return found if self.letters is None else self.letters[found]

    def gather(self, per_interval: Array) -> Array:
        """Sum the last axis, one entry per interval, into letters."""
        if self.letters is None:
            return per_interval
        return _gathered(per_interval, self.letters, self.n)


@dataclass(frozen=True, eq=False)
class PlaneCells:
    """Rectangles of a rotated frame of the plane, u = frame @ x.

    Parameters
    ----------
    edges : (array of n1 + 1, array of n2 + 1)
        Edges along u1 and u2; both start with -inf and end with inf.
    frame : array of shape (2, 2)
        Orthogonal; rows are the axes of the frame.
    letters : array of shape (n1 * n2,)
        Letter of each rectangle, u1 varying slowest. Rectangles with next to no mass share that of a neighbour.
    """

    edges: tuple[Array, Array]
    frame: Array
    letters: Indices

    dim = 2

    @property
    def n(self) -> int:
        """Number of letters."""
        return int(self.letters.max()) + 1

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of rectangles along u1 and u2."""
        return len(self.edges[0]) - 1, len(self.edges[1]) - 1

    def rectangles(self, values: Array) -> Indices:
        """Index of the rectangle of each value of shape (N, 2)."""
        u = np.asarray(values) @ self.frame.T
        i, j = (np.clip(np.searchsorted(e, u[:, k], side="right") - 1, 0, len(e) - 2) for k, e in enumerate(self.edges))
        return np.asarray(i * self.shape[1] + j)

    def locate(self, values: Array) -> Indices:
        """Letter of each value, shape (N, 2) -> (N,)."""
        return self.letters[self.rectangles(values)]

    def centres(self) -> Array:
        """A point inside of every rectangle, shape (n1 * n2, 2); one unit beyond the edge in the tails."""
        u1, u2 = (_inside(edges) for edges in self.edges)
        u = np.stack(np.meshgrid(u1, u2, indexing="ij"), axis=-1).reshape(-1, 2)
        return np.asarray(u @ self.frame)

    def gather(self, per_rectangle: Array) -> Array:
        """Sum the last axis, one entry per rectangle, into letters."""
        return _gathered(per_rectangle, self.letters, self.n)

    @classmethod
    def from_edges(cls, edges: tuple[Array, Array], frame: Array) -> PlaneCells:
        """Every rectangle a letter of its own."""
        return cls(edges, frame, np.arange((len(edges[0]) - 1) * (len(edges[1]) - 1)))

    def merged(self, mass: Array, kinds: Indices | None = None) -> PlaneCells:
        """Let rectangles lighter than `LIGHTEST_CELL` share the letter of a neighbour, of the same kind if possible.

        Parameters
        ----------
        mass : array of shape (n1 * n2,)
        kinds : array of shape (n1 * n2,), optional
            Predefined class of each rectangle: a light one that could join either side of a boundary joins its own.
        """
        heavy = (mass >= LIGHTEST_CELL).reshape(self.shape)
        if heavy.all():
            return self
        kind = np.zeros(self.shape, dtype=int) if kinds is None else np.asarray(kinds).reshape(self.shape)
        owner = np.where(heavy, np.arange(heavy.size).reshape(self.shape), -1)
        for same_kind in (True, False):  # spread owners outwards, one ring of cells at a time
            while True:
                grown = _spread(owner, kind, same_kind)
                if np.array_equal(grown, owner):
                    break
                owner = grown
        return PlaneCells(self.edges, self.frame, np.unique(owner.ravel(), return_inverse=True)[1].ravel())


@dataclass(frozen=True, eq=False)
class LetterCells:
    """Letters as they are: values are whole numbers 0 .. n - 1."""

    n: int

    dim = 1

    def locate(self, values: Array) -> Indices:
        """The values themselves, refused when they are no letters."""
        letters = np.asarray(values).astype(int)
        if np.any((letters != values) | (letters < 0) | (letters >= self.n)):
            raise InputError(f"observations of this problem are letters 0 .. {self.n - 1}")
        return letters


@dataclass(frozen=True, eq=False)
class ErasedOr:
    """Cells of what is seen, and one last letter for an erased observation (NaN)."""

    seen: Cells

    @property
    def dim(self) -> int:
        """Coordinates of what is seen."""
        return self.seen.dim

    @property
    def n(self) -> int:
        """Number of letters."""
        return self.seen.n + 1

    def locate(self, values: Array) -> Indices:
        """Letter of each value; NaN (in any coordinate) is the last letter."""
        erased = np.isnan(values) if values.ndim == 1 else np.isnan(values).any(axis=1)
        out = np.full(len(values), self.seen.n, dtype=np.intp)
        out[~erased] = self.seen.locate(values[~erased])
        return out


def _inside(edges: Array) -> Array:
    low, high = edges[:-1], edges[1:]
    low, high = np.where(np.isfinite(low), low, high - 2), np.where(np.isfinite(high), high, low + 2)
    return np.asarray(np.where(np.isfinite(low), (low + high) / 2, 0.0))


def _gathered(parts: Array, letters: Indices, n: int) -> Array:
    rows = parts.reshape(-1, parts.shape[-1])
    return np.array([np.bincount(letters, weights=row, minlength=n) for row in rows]).reshape(*parts.shape[:-1], n)


def _spread(owner: Indices, kind: Indices, same_kind: bool) -> Indices:
    out = owner.copy()
    for axis in (0, 1):
        for step in (1, -1):
            near, near_kind = np.roll(owner, step, axis), np.roll(kind, step, axis)
            first = (0 if step == 1 else -1,)
            wrapped: Mask = np.zeros(owner.shape, dtype=bool)
            wrapped[first if axis == 0 else (slice(None), *first)] = True
            allowed = (near >= 0) & ~wrapped & ((near_kind == kind) | (not same_kind))
            out = np.where((out < 0) & allowed, near, out)
    return out


def checked_count(n: object, name: str) -> int:
    """Return a number of cells along an axis, at least 3."""
    if n is None:
        raise InputError(f"a continuous problem needs {name}, the number of cells; for example discretize(n=201)")
    if isinstance(n, bool) or not isinstance(n, int | float | np.integer | np.floating) or n % 1 != 0:
        raise InputError(f"{name} must be a whole number, got {n!r}")
    if n < 3:
        raise InputError(f"{name} = {n} is too small: the two tails and one inner cell make 3")
    return int(n)


def checked_interval(bounds: object) -> tuple[float, float]:
    """Return the ends of a finite interval low < high."""
    ends = finite_array(bounds, "bounds")  # type: ignore[arg-type]  # anything: refused there when no numbers
    if ends.shape != (2,) or not ends[0] < ends[1]:
        raise InputError(f"bounds must be an interval (low, high) with low < high, got {bounds}")
    return float(ends[0]), float(ends[1])


def aligned_edges(n: int, bounds: object, marks: Sequence[float], name: str) -> Array:
    """Edges of n cells: two tails, and inner cells that are equal between the marks (class boundaries).

    >>> aligned_edges(5, (0.0, 3.0), (2.0,), "n").tolist()
    [-inf, 0.0, 1.0, 2.0, 3.0, inf]
    """
    low, high = checked_interval(bounds)
    if marks:  # a class boundary outside of the bounds still needs to be an edge
        margin = (high - low) / (n - 2)
        low, high = min(low, min(marks) - margin), max(high, max(marks) + margin)
    ticks = np.array([low, *marks, high])
    if n - 2 < len(ticks) - 1:
        raise InputError(
            f"{name} = {n} is too small: {len(marks)} class boundaries on cell edges and two tails need "
            f"at least {len(ticks) + 1} cells"
        )
    share = np.diff(ticks) / (high - low) * (n - 2)
    counts = np.maximum(np.floor(share).astype(int), 1)
    while counts.sum() > n - 2:
        counts[np.argmax(np.where(counts > 1, counts - share, -np.inf))] -= 1
    while counts.sum() < n - 2:
        counts[np.argmax(share - counts)] += 1
    parts = [np.linspace(a, b, k + 1)[:-1] for a, b, k in zip(ticks[:-1], ticks[1:], counts, strict=True)]
    return np.concatenate([[-math.inf], *parts, [high, math.inf]])


def merged_edges(mass: Array, edges: Array, kept: Sequence[float]) -> Array:
    """Drop edges next to cells lighter than `LIGHTEST_CELL`, never a class boundary."""
    out, gathered = [edges[0]], 0.0
    for cell, edge in zip(mass, edges[1:], strict=True):
        gathered += cell
        if gathered >= LIGHTEST_CELL or edge in kept:
            out.append(edge)
            gathered = 0.0
    if out[-1] != edges[-1]:  # what is left over joins the last cell, unless a class boundary is in between
        if len(out) > 1 and out[-1] not in kept:
            out.pop()
        out.append(edges[-1])
    return np.array(out)
