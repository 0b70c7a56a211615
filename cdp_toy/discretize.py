"""From the continuous problem to a finite one, with exact cell probabilities and moments."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal, NamedTuple

import numpy as np

from cdp_toy.cells import Bounds, Cells, LetterCells, aligned_edges, checked_count
from cdp_toy.costs import ClassCost
from cdp_toy.degradations import AdditiveGaussian
from cdp_toy.distortions import distortion_from
from cdp_toy.errors import InputError, unknown_name
from cdp_toy.finite import DiscreteProblem, Grid
from cdp_toy.fractions import class_fractions
from cdp_toy.observation import (
    Observation,
    cell_moments,
    in_plane,
    line_cells,
    on_line,
    plane_cells,
    plane_counts,
    plane_reach,
)
from cdp_toy.perceptions import Letters, perception_from
from cdp_toy.problem import CDPProblem, check_classes, checked_class_cost
from cdp_toy.sources import LineSource, PlaneSource, TableSource
from cdp_toy.validation import Array, Indices, finite_array, refuse_if_too_large

__all__ = ["discretize"]

Count = int | tuple[int, int] | None


class _Output(NamedTuple):
    """Cells of x as output letters: what they hold of X, and their class shares (n, K) with the error of these."""

    observation: Observation
    shares: Array
    share_error: float
    exact: bool


def discretize(
    problem: CDPProblem,
    n: Count = None,
    n_y: Count = None,
    bounds: Bounds | None = None,
    kind: Literal["cells", "points"] = "cells",
) -> DiscreteProblem:
    """Pose a CDP problem on a finite grid.

    Cells are equal between the class boundaries, which lie on edges; the two tails of every axis are cells. On "cells"
    an output letter stands for the source conditioned to its cell, so that d(i, j) = |E[X|Y in i] - E[X|X in j]|^2 +
    tr Cov(X|Y in i) + tr Cov(X|X in j), every f-divergence is exact, and the value is an upper bound of the continuous
    C. In the plane a grid of a Gaussian mixture is turned to the normal of a straight class boundary; a cell that a
    boundary cuts keeps the share of each class, e(i, j) = 1 - sum_k P(c0(X) = k | X in j) P(k | Y in i).
    On "points" X is replaced by one letter per cell (its mean), a finite problem of its own.

    Parameters
    ----------
    problem : CDPProblem
    n, n_y : int or pair of int
        Numbers of cells of x and y along each axis, tails included; `n_y` defaults to `n`. A problem of tables takes
        neither, and a degradation with letters of its own takes no `n_y`.
    bounds : (low, high), or a pair of those in the plane, optional
        Where the tails of the x-grid begin [units of x]. On the line five standard deviations beyond every Gaussian by
        default, or the ends of the support of other sources; in the plane 2 to 5 standard deviations, more on finer
        grids (`cdp_toy.observation.plane_reach`), along the axes of the grid.
    kind : "cells" or "points"

    Returns
    -------
    DiscreteProblem

    Raises
    ------
    InputError
        When `n` is too small or missing, bounds are no interval, or the pieces do not fit together.
    MemoryRefusedError
        When the grid would not fit in memory; the message has the estimate.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> cdp.presets.paper_toy().discretize(n=101)
    <DiscreteProblem 'paper_toy': 101 x 101 cells, kl>
    >>> cdp.presets.plane_toy().discretize(n=(8, 6), n_y=5)
    <DiscreteProblem 'plane_toy': 25 x 48 cells, kl>
    """
    if kind not in ("cells", "points"):
        raise unknown_name("kind", kind, ("cells", "points"))
    source, degradation = problem.source, problem.degradation
    class_cost = checked_class_cost(problem.class_cost, source.n_classes)
    if isinstance(source, TableSource):
        return _finite_source(problem, source, n, n_y, bounds, class_cost)
    if not isinstance(source, LineSource | PlaneSource):
        raise InputError(f"a {type(source).__name__} is neither on the line nor in the plane nor finite")
    if n_y is not None and not degradation.needs_cells(source):
        raise InputError(f"a {type(degradation).__name__} has observation letters of its own; leave n_y out")
    count_y = n if n_y is None else n_y
    _refuse_large_grid(problem, n, count_y if degradation.needs_cells(source) else None, kind)

    output = _line_output if isinstance(source, LineSource) else _plane_output
    x = output(problem, source, n, bounds, class_cost)  # type: ignore[arg-type]  # each takes its kind of source
    y = degradation.observe(source, count_y, class_cost, bounds)

    priors = np.asarray(source.priors)
    mass, mean_x, variance_x = cell_moments(x.observation, priors, _start(source, x.observation.cells))
    p_x = priors @ mass
    classes = np.argmax(x.shares, axis=1)
    check_classes(classes, source.n_classes)
    exact = source.exact and x.exact

    if kind == "points":
        places = mean_x[:, 0] if mean_x.shape[1] == 1 else mean_x
        letters = TableSource(priors, mass / mass.sum(axis=1, keepdims=True), places)
        cells = y.cells
        if isinstance(degradation, AdditiveGaussian) and degradation.noise_std == 0:  # seen as it is
            cells, transition = x.observation.cells, np.eye(len(p_x))
        else:
            transition = degradation.transition(places, cells)
        finite = _tables(problem, letters, transition, _classes_at(problem, source, class_cost, mean_x, classes))
        return dataclasses.replace(finite, kind="points", grid=Grid(source, x.observation.cells, cells))

    mass_y, mean_y, variance_y = cell_moments(y, priors, _start(source, y.cells))
    p_y = priors @ mass_y
    seen = p_y > 0
    posterior = np.where(seen, priors[:, None] * mass_y / np.where(seen, p_y, 1.0), priors[:, None]).T
    error = 0.0 if source.exact else max(float(abs(p_x.sum() - 1)), float(abs(p_y.sum() - 1)))
    return DiscreteProblem(
        p_y=p_y / p_y.sum(),
        p_x=p_x / p_x.sum(),
        posterior=posterior,
        error_cost=ClassCost(posterior @ class_cost, x.shares),
        distortion_cost=distortion_from(problem.distortion).cells_cost(mean_y, variance_y, mean_x, variance_x),
        perception=perception_from(problem.perception).bound_to(Letters(mean_x, variance_x)),
        x_values=mean_x,
        kind="cells",
        grid=Grid(source, x.observation.cells, y.cells),
        name=problem.name,
        continuous_bound=exact,
        integration_error=max(error, x.share_error),
    )


def _line_output(
    problem: CDPProblem, source: LineSource, n: Count, bounds: Bounds | None, class_cost: Array
) -> _Output:
    """Intervals with the class boundaries on edges."""
    regions = problem.classifier.regions(source, class_cost)
    span = source.bounds() if bounds is None else bounds
    edges = aligned_edges(checked_count(n, "n"), span, regions.boundaries, "n")
    cells = line_cells(source, 0.0, edges, regions.boundaries)
    low, high = cells.edges[:-1], cells.edges[1:]
    classes = regions.at(np.where(np.isfinite(low), low, high - 1.0)).astype(int)
    check_classes(classes, source.n_classes)
    return _Output(on_line(source, 0.0, cells), np.eye(source.n_classes)[classes], 0.0, problem.classifier.exact)


def _plane_output(
    problem: CDPProblem, source: PlaneSource, n: Count, bounds: Bounds | None, class_cost: Array
) -> _Output:
    """Rectangles of the classifier's frame, with straight class boundaries on edges and shares where one is cut."""
    counts = plane_counts(n, "n")
    rule = problem.classifier.rule(source, class_cost)
    nothing = np.zeros((2, 2))
    if bounds is None:
        spans = source.bounds(rule.frame, nothing, plane_reach(counts))
    else:
        ends = finite_array(bounds, "bounds")
        if ends.shape != (2, 2):
            raise InputError(f"bounds of a grid in the plane are ((low, high), (low, high)), got {bounds}")
        spans = tuple((float(a), float(b)) for a, b in ends)
    cells = plane_cells(counts, spans, rule.frame, rule.marks, "n")
    mass = np.asarray(source.priors) @ source.cell_integrals(cells.edges, cells.frame, nothing, source.mean).mass
    cells = cells.merged(mass, rule.at(cells.centres()))
    shares, error = class_fractions(source, cells, rule, source.n_classes)
    return _Output(in_plane(source, np.eye(2), nothing, cells), shares, error, rule.exact)


def _start(source: LineSource | PlaneSource, cells: Cells) -> Array:
    """First guess of the means of cells, about which moments are taken at first."""
    if isinstance(source, PlaneSource):
        return source.mean
    edges = getattr(cells, "edges", None)
    if edges is None or getattr(cells, "letters", None) is not None:
        return np.array([0.5 * sum(source.bounds())])
    finite = np.isfinite(edges)
    ends = np.where(finite, edges, 0.0)
    middle = (ends[:-1] + ends[1:]) / np.maximum(finite[:-1].astype(int) + finite[1:], 1)
    return np.asarray(middle[:, None])


def _classes_at(
    problem: CDPProblem, source: LineSource | PlaneSource, class_cost: Array, places: Array, classes: Indices
) -> Indices:
    """Class of every letter at its place (in the plane a cell may be cut, but its mean lies on one side)."""
    if isinstance(source, LineSource):
        return classes
    return problem.classifier.rule(source, class_cost).at(places)


def _finite_source(
    problem: CDPProblem, source: TableSource, n: Count, n_y: Count, bounds: Bounds | None, class_cost: Array
) -> DiscreteProblem:
    """Finite alphabets as they are; a noisy observation of a finite source is cut into cells of y."""
    classes = problem.classifier.letters(source, class_cost)
    count = n if n_y is None else n_y
    transition, cells = problem.degradation.of_letters(source, count)
    if bounds is not None:
        raise InputError(
            "bounds describe the x-grid, but the source is already finite; leave them out"
            if count is not None
            else "a problem of tables is already finite; call discretize() without n, n_y and bounds"
        )
    finite = _tables(problem, source, transition, classes)
    if isinstance(cells, LetterCells):
        return finite
    return dataclasses.replace(finite, grid=Grid(source, LetterCells(source.n_x), cells))


def _tables(problem: CDPProblem, source: TableSource, transition: Array, classes: Indices) -> DiscreteProblem:
    return DiscreteProblem.from_tables(
        source.priors,
        source.p_x_given_class,
        transition,
        classes.tolist(),
        distortion=problem.distortion,
        perception=problem.perception,
        x_values=source.x_values,
        class_cost=problem.class_cost,
        name=problem.name,
    )


def _refuse_large_grid(problem: CDPProblem, n: Count, n_y: Count, kind: str) -> None:
    """Check the numbers of cells, and refuse too many before anything is allocated; an n_y of None counts nothing."""

    def total(count: Count, name: str) -> int:
        return math.prod(plane_counts(count, name)) if problem.source.dim == 2 else checked_count(count, name)

    n_x, n_seen = total(n, "n"), 0 if n_y is None else total(n_y, "n_y")
    # "cells": about 12 + 6 K vectors of each length live at once; "points": four tables n x n_y besides
    vectors = 8.0 * (12 + 6 * problem.source.n_classes) * (n_x + n_seen)
    tables = 8.0 * 4 * n_x * n_seen if kind == "points" else 0.0
    refuse_if_too_large(vectors + tables, f"a grid of {n_x:,} x {n_seen:,} {kind}", "Use a smaller n.")
