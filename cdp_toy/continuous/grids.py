"""Cells for bounds on the line: of the output with class boundaries on edges, and of the observation."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cdp_toy.continuous.model import LineModel
from cdp_toy.errors import InputError
from cdp_toy.validation import Array

__all__ = ["graded", "observation_cells", "output_edges"]

#: cells of the output reach this many standard deviations beyond the means, those of the observation so many
REACH, OBSERVED_REACH = 9.0, 9.5
#: cells are spaced like this power of the density: an error of the squared width per mass asks for 1/3, potentials grow
#: towards the tails (measured on the toy: .4 is best, and both bounds change by 2 % from .33 to .5)
POWER = 0.4
#: but no wider than this many times what uniform cells would be
WIDEST = 8.0
#: share of the output cells that crowd at class boundaries, where mass gathers when perception is cheap, and the width
#: of the narrowest of them [standard deviations of the narrowest Gaussian]
CROWD, NEAREST = 0.03, 1e-5
#: cells have at least this share of the lighter of the masses beside them, and this mass
LIGHTEST, LIGHTEST_CELL = 1e-11, 1e-25
#: points per standard deviation of the narrowest Gaussian that densities are looked at
SCAN = 20


def output_edges(model: LineModel, n: int) -> Array:
    """Inner edges of n output cells, class boundaries among them, shape (n - 1,) [units of x].

    Cells reach 9 standard deviations beyond the means; the first and the last one are tails. They are narrower where
    the source has more mass. Cells that the cumulative masses beside them cannot tell from none are merged with a
    neighbour, which leaves fewer than n.

    Raises
    ------
    InputError
        When n is too small for the sides of the classifier, or c0 answers a class on no mass at all.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> from cdp_toy.continuous.model import line_model
    >>> output_edges(line_model(presets.paper_toy(threshold=0.0)), 5).round(1).tolist()
    [-10.0, -1.6, 0.0, 10.0]
    """
    boundaries = model.boundaries
    if isinstance(n, bool) or int(n) != n or n < 2 * (len(boundaries) + 1):
        raise InputError(f"n must be a whole number, at least 2 cells for each side of the classifier; got {n!r}")
    light = np.flatnonzero(model.side_masses() <= 0)
    if len(light):
        ends = np.concatenate([[-np.inf], boundaries, [np.inf]])
        raise InputError(
            f"X has no mass from {ends[light[0]]:g} to {ends[light[0] + 1]:g}, where the classifier answers class "
            f"{model.side_classes[light[0]]}; move its thresholds"
        )
    low, high = model.source.bounds(0.0, REACH)
    margin = (high - low) / n  # a boundary far out is an edge all the same
    low, high = min([low, *(boundaries - margin)]), max([high, *(boundaries + margin)])
    edges = graded(
        np.array([low, *boundaries, high]), n - 2, lambda x: _density(model, x, 0.0), model.law.stds.min(), CROWD
    )
    padded = np.concatenate([[-np.inf], edges, [np.inf]])
    mass = model.output_cells(padded).mass
    lighter = np.minimum(np.cumsum(mass), np.cumsum(mass[::-1])[::-1])
    return _merged(mass, np.maximum(LIGHTEST * lighter, LIGHTEST_CELL), padded, set(boundaries.tolist()))[1:-1]


def _merged(mass: Array, least: Array, edges: Array, kept: set[float]) -> Array:
    """Drop edges beside cells that are lighter than what is asked of them, never a class boundary."""
    if np.all(mass >= least):
        return edges
    out, gathered = [edges[0]], 0.0
    for cell, wanted, edge in zip(mass.tolist(), least.tolist(), edges[1:].tolist(), strict=True):
        gathered += cell
        if edge in kept or edge == edges[-1]:
            if gathered < wanted and len(out) > 1 and out[-1] not in kept:
                out.pop()  # the rest of a side joins the cell before it
            out.append(edge)
            gathered = 0.0
        elif gathered >= wanted:
            out.append(edge)
            gathered = 0.0
    return np.array(out)


def observation_cells(model: LineModel, n: int) -> Array:
    """Edges of n cells of Y between finite ends, shape (n + 1,) [units of x]."""
    ends = np.array(model.source.bounds(model.noise_std, OBSERVED_REACH))
    return graded(ends, n, lambda y: _density(model, y, model.noise_std), model.law.total_stds.min())


def _density(model: LineModel, x: Array, noise_std: float) -> Array:
    return np.asarray(model.priors @ model.source.density(x, noise_std))


def graded(marks: Array, n: int, density: Callable[[Array], Array], scale: float, crowd: float = 0.0) -> Array:
    """Increasing edges of n cells from the first to the last mark, all marks among them, spaced by a density.

    A share `crowd` of them is spaced in proportion to the distance from the inner marks, down to NEAREST of the scale.
    """
    count = int(min(SCAN * (marks[-1] - marks[0]) / scale, 1e6)) + 2
    offsets = scale * NEAREST * np.geomspace(0.1, 10 / NEAREST, 400)
    near = (marks[1:-1, None] + np.concatenate([-offsets, offsets])).ravel()
    points = np.unique(np.concatenate([np.linspace(marks[0], marks[-1], count), near, marks]))
    points = points[(points >= marks[0]) & (points <= marks[-1])]
    middle, width = 0.5 * (points[:-1] + points[1:]), np.diff(points)
    wanted = density(middle) ** POWER
    wanted = wanted / (wanted @ width) + 1 / (WIDEST * (marks[-1] - marks[0]))
    if len(marks) > 2 and crowd > 0:
        distance = np.abs(middle[:, None] - marks[1:-1]).min(axis=1)
        close = np.where(distance < scale, 1 / (distance + NEAREST * scale), 0.0)
        wanted = wanted / (wanted @ width) + crowd / (1 - crowd) * close / (close @ width)
    rank = np.concatenate([[0.0], np.cumsum(wanted * width)])
    places = rank[np.searchsorted(points, marks)]
    share = np.diff(places) / rank[-1] * n
    counts = np.maximum(np.floor(share).astype(int), 1)
    while counts.sum() > n:
        counts[np.argmax(np.where(counts > 1, counts - share, -np.inf))] -= 1
    while counts.sum() < n:
        counts[np.argmax(share - counts)] += 1
    parts = [
        np.interp(np.linspace(a, b, k + 1)[1:-1], rank, points)
        for a, b, k in zip(places[:-1], places[1:], counts, strict=True)
    ]
    pieces = [piece for mark, part in zip(marks[:-1], parts, strict=True) for piece in ([mark], part)]
    return np.concatenate([*pieces, marks[-1:]])
