"""From the continuous problem to a finite one, with exact cell probabilities and moments."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from numbers import Real
from typing import Literal

import numpy as np

from cdp_toy.classifiers import bayes_regions
from cdp_toy.costs import ClassCost
from cdp_toy.degradations import AdditiveGaussian, TableDegradation
from cdp_toy.distortions import distortion_from
from cdp_toy.errors import InputError, unknown_name
from cdp_toy.finite import DiscreteProblem, Grid
from cdp_toy.perceptions import perception_from
from cdp_toy.problem import CDPProblem, check_classes, checked_class_cost
from cdp_toy.sources import GaussianMixture, TableSource
from cdp_toy.validation import Array, finite_array, refuse_if_too_large

__all__ = ["discretize"]

#: Cells lighter than this are merged with a neighbour: their squares underflow the solvers' arithmetic, and their
#: effect on any value is below 1e-24.
LIGHTEST_CELL = 1e-25


def discretize(
    problem: CDPProblem,
    n: int | None = None,
    n_y: int | None = None,
    bounds: tuple[float, float] | None = None,
    kind: Literal["cells", "points"] = "cells",
) -> DiscreteProblem:
    """Pose a CDP problem on a finite grid.

    Cells are equal between the class boundaries, which lie on edges; the two tails are cells. On "cells" an output
    letter stands for the source conditioned to its cell, so that d(i, j) = |E[X|Y in i] - E[X|X in j]|^2 +
    Var(X|Y in i) + Var(X|X in j), every f-divergence is exact, and the value is an upper bound of the continuous C.
    On "points" X is replaced by one letter per cell (its mean), a finite problem of its own.

    Parameters
    ----------
    problem : CDPProblem
    n, n_y : int
        Numbers of cells of x and y, tails included; `n_y` defaults to `n`. A problem of tables takes neither.
    bounds : (low, high), optional
        Where the tails of the x-grid begin [units of x]; five standard deviations beyond every component by default.
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
    """
    if kind not in ("cells", "points"):
        raise unknown_name("kind", kind, ("cells", "points"))
    if isinstance(problem.source, TableSource):
        return _finite_source(problem, problem.source, n, n_y, bounds)
    if isinstance(problem.degradation, TableDegradation):
        raise InputError("a degradation table needs a finite source; use AdditiveGaussian or Identity on the line")
    n = _checked_count(n, "n")
    n_y = n if n_y is None else _checked_count(n_y, "n_y")
    _refuse_large_grid(problem, n, n_y, kind)

    source, noise_std = problem.source, problem.degradation.noise_std
    class_cost = checked_class_cost(problem.class_cost, source.n_classes)
    regions = problem.classifier.regions(source, class_cost)
    x_bounds = source.bounds() if bounds is None else bounds
    x_edges = _aligned_edges(n, x_bounds, regions.boundaries, "n")
    y_boundaries = bayes_regions(source, class_cost, noise_std).boundaries
    # with Y's own Bayes boundaries on edges the error floor of the grid is the continuous one
    y_bounds = x_bounds if noise_std == 0 else source.bounds(noise_std)
    inside = [b for b in y_boundaries if y_bounds[0] < b < y_bounds[1]]
    y_edges = _aligned_edges(n_y, y_bounds, inside if n_y >= len(inside) + 3 else [], "n_y")
    x_edges = _merged(source, x_edges, 0.0, regions.boundaries)
    y_edges = _merged(source, y_edges, noise_std, ())

    priors = np.asarray(source.priors)
    mass, mean_x, variance_x = _cells(source, x_edges, 0.0)
    p_x = priors @ mass
    centres = np.where(np.isfinite(x_edges[:-1]), x_edges[:-1], x_edges[1:] - 1.0)
    classes = regions.at(centres).astype(int)
    check_classes(classes, source.n_classes)

    if kind == "points":
        letters = TableSource(priors, mass / mass.sum(axis=1, keepdims=True), mean_x)
        transition = np.eye(len(p_x)) if noise_std == 0 else problem.degradation.transition(mean_x, y_edges)
        finite = _tables(problem, letters, transition, classes)
        seen_edges = x_edges if noise_std == 0 else y_edges
        return dataclasses.replace(finite, kind="points", grid=Grid(source, x_edges, seen_edges))

    mass_y, mean_y, variance_y = _cells(source, y_edges, noise_std)
    p_y = priors @ mass_y
    posterior = (priors[:, None] * mass_y / p_y).T
    return DiscreteProblem(
        p_y=p_y / p_y.sum(),
        p_x=p_x / p_x.sum(),
        posterior=posterior,
        error_cost=ClassCost(posterior @ class_cost, np.eye(source.n_classes)[classes]),
        distortion_cost=distortion_from(problem.distortion).cells_cost(mean_y, variance_y, mean_x, variance_x),
        perception=perception_from(problem.perception),
        x_values=mean_x.reshape(-1, 1),
        kind="cells",
        grid=Grid(source, x_edges, y_edges),
        name=problem.name,
    )


def _finite_source(
    problem: CDPProblem, source: TableSource, n: int | None, n_y: int | None, bounds: tuple[float, float] | None
) -> DiscreteProblem:
    """Finite alphabets as they are; a noisy observation of a finite source is cut into cells of y."""
    classes = problem.classifier.letters(source, checked_class_cost(problem.class_cost, source.n_classes))
    degradation = problem.degradation
    if isinstance(degradation, AdditiveGaussian) and degradation.noise_std > 0:
        if source.x_values is None or source.x_values.ndim != 1:
            raise InputError("additive Gaussian noise needs one-dimensional x_values in the source")
        if bounds is not None:
            raise InputError("bounds describe the x-grid, but the source is already finite; leave them out")
        count = _checked_count(n_y if n_y is not None else n, "n")
        reach = 5 * degradation.noise_std
        span = float(source.x_values.min() - reach), float(source.x_values.max() + reach)
        refuse_if_too_large(8.0 * 4 * source.n_x * count, f"a grid of {count} cells of y", "Use a smaller n.")
        return _tables(
            problem, source, degradation.transition(source.x_values, _aligned_edges(count, span, (), "n")), classes
        )
    if n is not None or n_y is not None or bounds is not None:
        raise InputError("a problem of tables is already finite; call discretize() without n, n_y and bounds")
    table = degradation.p_y_given_x if isinstance(degradation, TableDegradation) else np.eye(source.n_x)
    return _tables(problem, source, table, classes)


def _tables(problem: CDPProblem, source: TableSource, transition: Array, classes: Array) -> DiscreteProblem:
    return DiscreteProblem.from_tables(
        source.priors,
        source.p_x_given_class,
        transition,
        classes,
        distortion=problem.distortion,
        perception=problem.perception,
        x_values=source.x_values,
        class_cost=problem.class_cost,
        name=problem.name,
    )


def _checked_count(n: int | None, name: str) -> int:
    if n is None:
        raise InputError(f"a continuous problem needs {name}, the number of cells; for example discretize(n=201)")
    if isinstance(n, bool) or not isinstance(n, Real) or n % 1 != 0:
        raise InputError(f"{name} must be a whole number, got {n!r}")
    if n < 3:
        raise InputError(f"{name} = {n} is too small: the two tails and one inner cell make 3")
    return int(n)


def _refuse_large_grid(problem: CDPProblem, n: int, n_y: int, kind: str) -> None:
    # "cells": about 12 + 6 K vectors of each length live at once; "points": four tables n x n_y besides
    vectors = 8.0 * (12 + 6 * problem.source.n_classes) * (n + n_y)
    tables = 8.0 * 4 * n * n_y if kind == "points" else 0.0
    refuse_if_too_large(vectors + tables, f"a grid of {n:,} x {n_y:,} {kind}", "Use a smaller n.")


def _aligned_edges(n: int, bounds: tuple[float, float], boundaries: Sequence[float], name: str) -> Array:
    """Edges of n cells: two tails, and inner cells that are equal between the class boundaries."""
    ends = finite_array(bounds, "bounds")
    if ends.shape != (2,) or not ends[0] < ends[1]:
        raise InputError(f"bounds must be an interval (low, high) with low < high, got {bounds}")
    low, high = ends.tolist()
    if boundaries:  # a class boundary outside of the bounds still needs to be an edge
        margin = (high - low) / (n - 2)
        low, high = min(low, min(boundaries) - margin), max(high, max(boundaries) + margin)
    marks = np.array([low, *boundaries, high])
    if n - 2 < len(marks) - 1:
        raise InputError(
            f"{name} = {n} is too small: {len(boundaries)} class boundaries on cell edges and two tails need "
            f"at least {len(marks) + 1} cells"
        )
    share = np.diff(marks) / (high - low) * (n - 2)
    counts = np.maximum(np.floor(share).astype(int), 1)
    while counts.sum() > n - 2:
        counts[np.argmax(np.where(counts > 1, counts - share, -np.inf))] -= 1
    while counts.sum() < n - 2:
        counts[np.argmax(share - counts)] += 1
    parts = [np.linspace(a, b, k + 1)[:-1] for a, b, k in zip(marks[:-1], marks[1:], counts, strict=True)]
    return np.concatenate([[-np.inf], *parts, [high, np.inf]])


def _merged(source: GaussianMixture, edges: Array, noise_std: float, kept: Sequence[float]) -> Array:
    """Drop edges next to cells lighter than `LIGHTEST_CELL`, never a class boundary."""
    mass = np.asarray(source.priors) @ source.cell_integrals(edges, noise_std).mass
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


def _cells(source: GaussianMixture, edges: Array, noise_std: float) -> tuple[Array, Array, Array]:
    """Mass of each class in each cell of Y, shape (K, n), and mean and variance of X on it.

    Moments are taken about the mean, so that nothing cancels far from the origin. A cell without mass counts as a point
    inside of it.
    """
    priors = np.asarray(source.priors)
    finite = np.isfinite(edges)
    ends = np.where(finite, edges, 0.0)
    mean = (ends[:-1] + ends[1:]) / np.maximum(finite[:-1].astype(int) + finite[1:], 1)
    variance = np.zeros(len(mean))
    for _ in range(2):  # about a point of the cell, then about the mean
        mass, first, second = source.cell_integrals(edges, noise_std, centre=mean)
        total = priors @ mass
        seen = total > 0
        offset = np.divide(priors @ first, total, where=seen, out=np.zeros(len(mean)))
        square = np.divide(priors @ second, total, where=seen, out=np.zeros(len(mean)))
        mean, variance = mean + offset, np.maximum(square - offset**2, 0.0)
    return mass, mean, variance
