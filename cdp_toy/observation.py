"""What is known of X in each cell of Y: masses and moments over grids of the line and of the plane."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cdp_toy.cells import (
    Bounds,
    Cells,
    LineCells,
    PlaneCells,
    aligned_edges,
    checked_count,
    checked_interval,
    merged_edges,
)
from cdp_toy.classifiers import PlaneRule, bayes_regions, bayes_rule
from cdp_toy.errors import InputError
from cdp_toy.sources import CellIntegrals, GaussianMixture2D, LineSource, PlaneSource
from cdp_toy.validation import Array

__all__ = [
    "CellMoments",
    "Observation",
    "cell_moments",
    "line_cells",
    "observed_in_plane",
    "observed_on_line",
    "plane_cells",
    "plane_counts",
    "plane_reach",
    "whole",
]

#: edges between -inf and inf: one cell that is everything
EVERYTHING = np.array([-np.inf, np.inf])


@dataclass(frozen=True, eq=False)
class Observation:
    """Cells of an observation Y with the integrals of 1, X - centre and |X - centre|^2 over them.

    `integrals` takes centres of shape (n, dim) and returns `CellIntegrals` of shapes (K, n), (K, n, dim), (K, n).
    """

    cells: Cells
    integrals: Callable[[Array], CellIntegrals]


class CellMoments(NamedTuple):
    """Mass of each class (K, n), and mean (n, dim) and trace of the covariance (n,) of X on each cell of Y."""

    mass: Array
    mean: Array
    variance: Array


def cell_moments(observation: Observation, priors: Array, start: Array) -> CellMoments:
    """Moments of X on every cell, about the mean so that nothing cancels far from the origin.

    `start` of shape (n, dim) or (dim,) is a first guess of the means; a cell without mass keeps it.
    """
    mean = np.array(np.broadcast_to(start, (observation.cells.n, np.shape(start)[-1])))
    variance = np.zeros(len(mean))
    for _ in range(2):  # about the guess, then about the mean
        mass, first, second = observation.integrals(mean)
        total = priors @ mass
        seen = total > 0
        divisor = np.where(seen, total, 1.0)
        offset = np.where(seen[:, None], np.einsum("c,cnd->nd", priors, first) / divisor[:, None], 0.0)
        square = np.where(seen, priors @ second / divisor, 0.0)
        mean, variance = mean + offset, np.maximum(square - (offset**2).sum(axis=1), 0.0)
    return CellMoments(mass, mean, variance)


def line_cells(source: LineSource, noise_std: float, edges: Array, kept: Sequence[float]) -> LineCells:
    """Cells of Y = X + noise between edges, those without mass merged, never across a kept edge."""
    mass = np.asarray(source.priors) @ source.cell_integrals(edges, noise_std).mass
    return LineCells(merged_edges(mass, edges, kept))


def on_line(source: LineSource, noise_std: float, cells: LineCells) -> Observation:
    """Observation of a source on the line through Gaussian noise."""

    def integrals(centre: Array) -> CellIntegrals:
        intervals = centre[:, 0] if cells.letters is None else centre[cells.letters, 0]
        mass, first, second = (cells.gather(v) for v in source.cell_integrals(cells.edges, noise_std, intervals))
        return CellIntegrals(mass, first[..., None], second)

    return Observation(cells, integrals)


def observed_on_line(
    source: LineSource, noise_std: float, count: object, class_cost: Array, bounds: Bounds | None = None
) -> Observation:
    """Cells of Y = X + N(0, noise_std^2), the Bayes boundaries of Y on edges where there is room for them.

    With those on edges the error floor of the grid is the continuous one.
    """
    n = checked_count(count, "n_y")
    span = source.bounds(noise_std) if bounds is None else checked_interval(bounds)
    marks = [b for b in bayes_regions(source, class_cost, noise_std).boundaries if span[0] < b < span[1]]
    edges = aligned_edges(n, span, marks if n >= len(marks) + 3 else [], "n_y")
    return on_line(source, noise_std, line_cells(source, noise_std, edges, ()))


def plane_counts(count: object, name: str) -> tuple[int, int]:
    """Cells along both axes from an int or a pair."""
    pair = tuple(count) if isinstance(count, Sequence) and not isinstance(count, str) else (count, count)
    if len(pair) != 2:
        raise InputError(f"{name} must be a whole number or a pair of them in the plane, got {count!r}")
    return checked_count(pair[0], name), checked_count(pair[1], name)


def plane_reach(counts: Sequence[int]) -> float:
    """Standard deviations that a grid in the plane reaches before its tails begin, by its cells along an axis.

    A coarse grid spends its cells where the mass is. At n = 10 the least distortion of the plane toy, about 1.07 in the
    limit, is 1.24 with a reach of 2, 1.37 with 3 and 1.79 with 5; at n = 32 it is 1.086, 1.094 and 1.127.

    >>> [plane_reach((n, n)) for n in (8, 32, 200)]
    [2.0, 2.5, 5.0]
    """
    return min(max(1.5 + min(counts) / 32, 2.0), 5.0)


def plane_cells(
    counts: tuple[int, int],
    bounds: Sequence[Sequence[float]],
    frame: Array,
    marks: tuple[tuple[float, ...], tuple[float, ...]],
    name: str,
) -> PlaneCells:
    """Rectangles of a frame with the marks on edges; every rectangle is a letter still."""
    first, second = (
        aligned_edges(n, ends, places, name) for n, ends, places in zip(counts, bounds, marks, strict=True)
    )
    return PlaneCells.from_edges((first, second), frame)


def in_plane(source: PlaneSource, matrix: Array, covariance: Array, cells: PlaneCells) -> Observation:
    """Observation Y = matrix X + N(0, covariance) of two coordinates in cells of a frame of their own."""
    turned, noise = cells.frame @ matrix, cells.frame @ covariance @ cells.frame.T
    if np.array_equal(np.diag(np.diag(covariance)), covariance) and covariance[0, 0] == covariance[1, 1]:
        noise = covariance  # isotropic noise is the same in every frame

    def integrals(centre: Array) -> CellIntegrals:
        mass, first, second = source.cell_integrals(cells.edges, turned, noise, centre[cells.letters])
        return CellIntegrals(
            cells.gather(mass), np.moveaxis(cells.gather(np.moveaxis(first, -1, 1)), 1, -1), cells.gather(second)
        )

    return Observation(cells, integrals)


def observed_in_plane(
    source: PlaneSource, matrix: Array, covariance: Array, count: object, class_cost: Array
) -> Observation:
    """Cells of Y = matrix X + N(0, covariance); straight Bayes boundaries of a Gaussian mixture lie on edges.

    `count` is an int or a pair; where Y has one coordinate the larger of a pair counts.
    """
    law = source.observed(matrix, covariance) if isinstance(source, GaussianMixture2D) else None
    if len(matrix) == 1:
        n = max(plane_counts(count, "n_y"))
        low, high = source.bounds(matrix, covariance, plane_reach((n,)))[0]
        marks = bayes_regions(law, class_cost).boundaries if isinstance(law, LineSource) else ()
        marks = tuple(b for b in marks if low < b < high)
        edges = aligned_edges(n, (low, high), marks if n >= len(marks) + 3 else (), "n_y")
        mass = source.cell_integrals((edges,), matrix, covariance, source.mean).mass
        edges = merged_edges(np.asarray(source.priors) @ mass, edges, ())
        return Observation(LineCells(edges), lambda centre: source.cell_integrals((edges,), matrix, covariance, centre))
    counts = plane_counts(count, "n_y")
    frame, places = np.eye(2), PlaneRule.marks
    if isinstance(law, GaussianMixture2D):
        rule = bayes_rule(law, class_cost)
        frame, places = rule.frame, rule.marks
    spans = source.bounds(frame @ matrix, frame @ covariance @ frame.T, plane_reach(counts))
    inside = [tuple(b for b in row if low < b < high) for row, (low, high) in zip(places, spans, strict=True)]
    cells = plane_cells(counts, spans, frame, (inside[0], inside[1]), "n_y")
    whole_mass = in_plane(source, matrix, covariance, cells).integrals(np.broadcast_to(source.mean, (cells.n, 2))).mass
    return in_plane(source, matrix, covariance, cells.merged(np.asarray(source.priors) @ whole_mass))


def whole(source: LineSource | PlaneSource, centre: Array) -> CellIntegrals:
    """Integrals over everything about one centre of shape (dim,): shapes (K, 1), (K, 1, dim), (K, 1)."""
    if isinstance(source, PlaneSource):
        return source.cell_integrals((EVERYTHING, EVERYTHING), np.eye(2), np.zeros((2, 2)), centre)
    mass, first, second = source.cell_integrals(EVERYTHING, 0.0, centre)
    return CellIntegrals(mass, first[..., None], second)
