"""Histograms on the line and in the plane: what samples say about a source, as mixtures of uniform bins."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.errors import InputError
from cdp_toy.sources.plane import SeparableSource
from cdp_toy.sources.uniform import UniformTerms
from cdp_toy.validation import Array, check_probabilities, class_indices, finite_array

__all__ = ["Histogram", "Histogram2D", "histogram_source"]

#: Bins that a default rule chooses at most, along the line and along each axis of the plane.
MOST_BINS = 64
MOST_BINS_2D = 24

#: number of bins, or their edges
Bins = int | Sequence[float] | Array


@dataclass(frozen=True, eq=False)
class Histogram(UniformTerms):
    """One-dimensional source whose every class is uniform within each of common bins.

    p(x | c) = masses[c][k] / (edges[k + 1] - edges[k]) for edges[k] <= x < edges[k + 1].

    Parameters
    ----------
    priors : sequence of K floats
        Class probabilities P_c.
    edges : sequence of B + 1 increasing floats [units of x]
    masses : array of shape (K, B)
        Probability of each bin within each class; rows sum to one. Bins may be empty.

    Raises
    ------
    InputError
        When priors or a row of masses are no probabilities, shapes disagree, or edges do not increase.

    Examples
    --------
    >>> source = Histogram(priors=(0.5, 0.5), edges=(0.0, 1.0, 3.0), masses=((0.8, 0.2), (0.0, 1.0)))
    >>> source.density([0.5, 2.0]).round(6).tolist()
    [[0.8, 0.1], [0.0, 0.5]]
    """

    kind = "histogram"

    priors: tuple[float, ...]
    edges: tuple[float, ...]
    masses: tuple[tuple[float, ...], ...]

    def __init__(
        self, priors: Sequence[float] | Array, edges: Sequence[float] | Array, masses: Sequence[Sequence[float]] | Array
    ) -> None:
        checked = check_probabilities(priors, "priors", 1)
        ends = _increasing(edges, "edges")
        table = check_probabilities(masses, "masses", 2)
        expected = len(checked), len(ends) - 1
        if table.shape != expected:
            raise InputError(
                f"masses has shape {table.shape}; expected {expected}: a row for each of {len(checked)} priors, "
                f"a column for each of the {len(ends) - 1} bins between {len(ends)} edges"
            )
        object.__setattr__(self, "priors", tuple(checked.tolist()))
        object.__setattr__(self, "edges", tuple(ends.tolist()))
        object.__setattr__(self, "masses", tuple(tuple(row) for row in table.tolist()))

    @cached_property
    def class_weights(self) -> Array:
        """Probability of each bin within each class, shape (K, B)."""
        return np.array(self.masses)

    @cached_property
    def ends(self) -> tuple[Array, Array]:
        """Lower and upper ends of the bins, two arrays of shape (B,) [units of x]."""
        edges = np.array(self.edges)
        return edges[:-1], edges[1:]


@dataclass(frozen=True, eq=False)
class Histogram2D(SeparableSource):
    """Source in the plane whose every class is uniform within each rectangle of a common grid.

    p(x | c) = masses[c][i][j] / (area of rectangle i, j), x1 in bin i of edges_1 and x2 in bin j of edges_2.

    Parameters
    ----------
    priors : sequence of K floats
        Class probabilities P_c.
    edges_1, edges_2 : sequences of B1 + 1 and B2 + 1 increasing floats [units of x]
    masses : array of shape (K, B1, B2)
        Probability of each rectangle within each class; every class sums to one. Rectangles may be empty.

    Raises
    ------
    InputError
        When priors or masses of a class are no probabilities, shapes disagree, or edges do not increase.

    Examples
    --------
    >>> source = Histogram2D((1.0,), edges_1=(0.0, 1.0, 2.0), edges_2=(0.0, 4.0), masses=[[[0.25], [0.75]]])
    >>> source.density([[0.5, 1.0], [1.5, 1.0]]).tolist(), source.mean.tolist()
    ([[0.0625, 0.1875]], [1.25, 2.0])
    """

    kind = "histogram_2d"

    priors: tuple[float, ...]
    edges_1: tuple[float, ...]
    edges_2: tuple[float, ...]
    masses: tuple[tuple[tuple[float, ...], ...], ...]

    def __init__(
        self,
        priors: Sequence[float] | Array,
        edges_1: Sequence[float] | Array,
        edges_2: Sequence[float] | Array,
        masses: Sequence[Sequence[Sequence[float]]] | Array,
    ) -> None:
        checked = check_probabilities(priors, "priors", 1)
        ends = _increasing(edges_1, "edges_1"), _increasing(edges_2, "edges_2")
        table = finite_array(masses, "masses", 3)
        expected = len(checked), len(ends[0]) - 1, len(ends[1]) - 1
        if table.shape != expected:
            raise InputError(
                f"masses has shape {table.shape}; expected {expected}: one table per prior, a row per bin of edges_1, "
                "a column per bin of edges_2"
            )
        bad = np.argwhere(table < 0)
        if len(bad):
            where = tuple(int(k) for k in bad[0])
            raise InputError(f"masses must not be negative; masses{list(where)} is {table[where]}")
        table = check_probabilities(table.reshape(len(checked), -1), "masses", 2).reshape(expected)
        object.__setattr__(self, "priors", tuple(checked.tolist()))
        object.__setattr__(self, "edges_1", tuple(ends[0].tolist()))
        object.__setattr__(self, "edges_2", tuple(ends[1].tolist()))
        object.__setattr__(self, "masses", tuple(tuple(tuple(row) for row in rows) for rows in table.tolist()))

    @cached_property
    def axes(self) -> tuple[Histogram, Histogram]:
        """The marginal laws of X1 and X2, whose terms are the bins."""
        total = self.total_weights
        return (
            Histogram((1.0,), self.edges_1, total.sum(axis=1)[None]),
            Histogram((1.0,), self.edges_2, total.sum(axis=0)[None]),
        )

    @cached_property
    def joint_weights(self) -> Array:
        """Probability of each rectangle within each class, shape (K, B1, B2)."""
        return np.array(self.masses)


def histogram_source(
    samples: ArrayLike,
    labels: ArrayLike,
    bins: Bins | tuple[Bins, Bins] | None = None,
    priors: Sequence[float] | Array | None = None,
) -> Histogram | Histogram2D:
    """Make a source of labelled samples: class by class the share of the samples in each bin.

    Parameters
    ----------
    samples : array of shape (N,), (N, 1) or (N, 2) [units of x]
    labels : array of shape (N,)
        Class of each sample, whole numbers; every class from 0 to the largest must occur.
    bins : int or sequence of edges, in the plane also a pair of either; optional
        A pair has one entry per axis. Left out: on the line the narrower of the Freedman-Diaconis and the Sturges
        width, 64 bins at most; in the plane 2 N^(1/4) bins along each axis, 24 at most.
    priors : sequence of K floats, optional
        Class probabilities; the shares of the labels when left out.

    Returns
    -------
    Histogram or Histogram2D
        For samples on the line or in the plane.

    Raises
    ------
    InputError
        When samples are not finite, constant, too few or outside of given edges, or labels do not fit them.

    Examples
    --------
    >>> source = histogram_source([0.0, 0.2, 0.9, 1.0], [0, 0, 0, 1], bins=2)
    >>> source.priors, source.edges
    ((0.75, 0.25), (0.0, 0.5, 1.0))
    >>> [[round(m, 4) for m in row] for row in source.masses]
    [[0.6667, 0.3333], [0.0, 1.0]]
    """
    points = finite_array(samples, "samples")
    points = points[:, None] if points.ndim == 1 else points
    if points.ndim != 2 or points.shape[1] not in (1, 2):
        raise InputError(
            f"samples has shape {np.shape(samples)}; expected (N,) or (N, 1) on the line, (N, 2) in the plane"
        )
    count, dim = points.shape
    if count < 2:
        raise InputError(
            f"samples holds {count} point(s); a histogram needs at least two, and thousands to be a good one"
        )
    classes = np.array(class_indices(labels, "labels"))
    if len(classes) != count:
        raise InputError(f"labels has {len(classes)} entries for {count} samples; give one label per sample")
    if classes.min() < 0:
        raise InputError(f"labels must be whole numbers from 0 on; labels[{int(classes.argmin())}] is {classes.min()}")
    occurring = set(classes.tolist())
    for c in range(max(occurring)):
        if c not in occurring:
            raise InputError(
                f"labels: class {c} never occurs, class {max(occurring)} does; number the classes 0, 1, ... with no gap"
            )
    n_classes = len(occurring)
    counts = np.bincount(classes, minlength=n_classes)
    a_pair = dim == 2 and isinstance(bins, Sequence | np.ndarray) and len(bins) == 2
    per_axis = [_number_or_edges(entry) for entry in (bins if a_pair else [bins] * dim)]  # type: ignore[union-attr]
    edges = [_edges(points[:, k], wanted, dim) for k, wanted in enumerate(per_axis)]
    masses = np.stack([np.histogramdd(points[classes == c], edges)[0] / counts[c] for c in range(n_classes)])
    shares = counts / count if priors is None else priors
    return Histogram(shares, edges[0], masses) if dim == 1 else Histogram2D(shares, edges[0], edges[1], masses)


def _increasing(edges: ArrayLike, name: str) -> Array:
    """Check the edges of bins."""
    array = finite_array(edges, name, 1)
    if len(array) < 2:
        raise InputError(f"{name} has {len(array)} entries; one bin needs two edges")
    bad = np.flatnonzero(np.diff(array) <= 0)
    if len(bad):
        k = int(bad[0])
        raise InputError(
            f"{name} must increase strictly; {name}[{k}] is {array[k]} and {name}[{k + 1}] is {array[k + 1]}"
        )
    return array


def _number_or_edges(wanted: object) -> int | Array | None:
    """What is wanted of one axis, checked."""
    if wanted is None:
        return None
    if isinstance(wanted, int | np.integer) and not isinstance(wanted, bool) and wanted > 0:
        return int(wanted)
    if isinstance(wanted, Sequence | np.ndarray) and not isinstance(wanted, str):
        return _increasing(wanted, "bins")
    raise InputError(f"bins must be a positive whole number or a sequence of edges, got {wanted!r}")


def _edges(values: Array, wanted: int | Array | None, dim: int) -> Array:
    """Edges of the bins along one axis."""
    where = "samples" if dim == 1 else "samples along an axis"
    low, high = float(values.min()), float(values.max())
    if isinstance(wanted, np.ndarray):
        outside = int(((values < wanted[0]) | (values > wanted[-1])).sum())
        if outside:
            raise InputError(
                f"bins from {wanted[0]:g} to {wanted[-1]:g} leave {outside} of {len(values)} samples outside; "
                f"samples reach from {low:g} to {high:g}. Widen the outer bins or drop these samples"
            )
        return wanted
    if low == high:
        raise InputError(f"all {where} are {low:g}: there is no spread to cut into bins; give edges if this is meant")
    number = _default_number(values, dim) if wanted is None else wanted
    try:
        return np.histogram_bin_edges(values, number)
    except ValueError as error:
        raise InputError(f"{where} from {low!r} to {high!r} cannot be cut into {number} bins: {error}") from None


def _default_number(values: Array, dim: int) -> int:
    """Number of bins of the default rule, found without allocating them (outliers may ask for billions)."""
    if dim == 2:
        return int(min(np.ceil(2 * len(values) ** 0.25), MOST_BINS_2D))
    spread = float(np.ptp(values))
    q1, q3 = np.percentile(values, [25, 75])
    widths = [spread / (math.log2(len(values)) + 1), float(2 * (q3 - q1) / np.cbrt(len(values)))]
    width = min(w for w in widths if w > 0)
    return int(np.ceil(min(spread / width, MOST_BINS)))
