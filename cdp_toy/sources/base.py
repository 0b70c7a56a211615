"""What a source offers: classes with priors, integrals over cells, and draws.

Sources on the line integrate 1, X and X^2 over cells of Y = X + N(0, noise_std^2). A line source that is a mixture
declares its terms (weights of the classes on them, and integrals, densities and draws of one term); the rest is here.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence, Sized
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.errors import InputError
from cdp_toy.pieces import Piece
from cdp_toy.validation import Array, Indices, check_probabilities, finite_array

__all__ = [
    "CellIntegrals",
    "LineMixture",
    "LineSource",
    "PerClass",
    "Rows",
    "Source",
    "mixture_rows",
    "positive_rows",
    "rows_to_weights",
]


class CellIntegrals(NamedTuple):
    """Mass and first two moments of X - centre over cells, per class.

    On the line each is of shape (K, n); in the plane `first` is (K, n, 2) and `second` integrates |X - centre|^2.
    """

    mass: Array
    first: Array
    second: Array


class Source(Piece, ABC):
    """What X is, class by class."""

    role = "source"
    #: number of coordinates of X; None for letters without a place
    dim: int | None
    #: every integral is a closed form (or as exact as one), so that `cells` grids bound the continuous problem
    exact: ClassVar[bool] = True

    #: class probabilities P_c
    priors: tuple[float, ...] | Array

    @property
    def n_classes(self) -> int:
        """Number of classes K."""
        return len(self.priors)

    @abstractmethod
    def sample(self, size: int, rng: np.random.Generator) -> tuple[Indices, Array]:
        """Draw `size` pairs (class, x): class indices of shape (size,), values of shape (size,) or (size, 2)."""

    def sample_classes(self, size: int, rng: np.random.Generator) -> Indices:
        """Draw class indices from the priors."""
        return rng.choice(self.n_classes, size=size, p=np.asarray(self.priors))


class LineSource(Source):
    """A source on the line."""

    dim = 1

    #: places where a density jumps [units of x]
    breakpoints: tuple[float, ...] = ()

    @abstractmethod
    def bounds(self, noise_std: float = 0.0, n_std: float = 5.0) -> tuple[float, float]:
        """Interval outside of which X + noise has little mass; a larger `n_std` leaves less."""

    def landmarks(self, noise_std: float = 0.0) -> Array:
        """Points around what is narrow in the densities of X + noise, for scans to look at."""
        return np.zeros(0)

    @abstractmethod
    def log_density(self, x: Array, noise_std: float = 0.0) -> Array:
        """Logarithms of the class-conditional densities of X + N(0, noise_std^2) at `x`, shape (K, len(x))."""

    def density(self, x: Array, noise_std: float = 0.0) -> Array:
        """Class-conditional densities of X + N(0, noise_std^2) at `x`, shape (K, len(x)) [1/units of x]."""
        return np.exp(self.log_density(x, noise_std))

    @abstractmethod
    def cell_integrals(self, edges: ArrayLike, noise_std: float = 0.0, centre: ArrayLike = 0.0) -> CellIntegrals:
        """Integrate 1, x - centre and (x - centre)^2 over the cells of Y = X + N(0, noise_std^2), for each class.

        Parameters
        ----------
        edges : array of n + 1 increasing numbers [units of x]
            May start with -inf and end with +inf.
        noise_std : float [units of x]
        centre : float or array of shape (n,) [units of x]
            What moments are taken about. With the means of the cells, variances come without cancellation.

        Returns
        -------
        CellIntegrals
            Three arrays of shape (K, n).
        """

    @abstractmethod
    def sample_cells(self, low: Array, high: Array, rng: np.random.Generator) -> Array:
        """Draw one X from p_X conditioned to each interval (low[i], high[i]]."""


#: Points around a term of a mixture, in its standard deviations.
AROUND = np.array([-8.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0])


class LineMixture(LineSource):
    """A line source whose classes are mixtures of simple terms: p(x | c) = sum_k class_weights[c, k] term_k(x).

    A subclass gives the integrals, log densities and draws of its terms, each for all terms at once.
    """

    @property
    @abstractmethod
    def class_weights(self) -> Array:
        """Probability of each term within each class, shape (K, T)."""

    @abstractmethod
    def term_integrals(self, edges: Array, noise_std: float, centre: Array) -> CellIntegrals:
        """Integrals of every term over the cells of X + N(0, noise_std^2), each of shape (T, n).

        `centre` has shape (n,). Masses should be accurate in relative terms far into the tails.
        """

    @abstractmethod
    def term_log_density(self, x: Array, noise_std: float) -> Array:
        """Log density of every term of X + N(0, noise_std^2), shape (T, len(x))."""

    @abstractmethod
    def term_mass(self, low: Array, high: Array) -> Array:
        """Mass of every term in the intervals (low, high], elementwise, shape (T, *low.shape)."""

    @abstractmethod
    def term_quantile(self, term: Indices, low: Array, high: Array, u: Array) -> Array:
        """Quantile u[i] of term term[i] conditioned to (low[i], high[i]], which may reach to -inf and inf."""

    @cached_property
    def term_weights(self) -> Array:
        """Probability of each term under p_X, shape (T,)."""
        return np.asarray(self.priors) @ self.class_weights

    def log_density(self, x: Array, noise_std: float = 0.0) -> Array:
        """Logarithms of the class-conditional densities, exact far into the tails, shape (K, len(x))."""
        terms = self.term_log_density(np.asarray(x, dtype=np.float64), noise_std)
        out = np.full((self.n_classes, terms.shape[1]), -np.inf)
        # class by class, relative to the largest term of that class: nothing underflows
        for c, weights in enumerate(self.class_weights):
            used = weights > 0
            top = np.max(terms[used], axis=0, initial=-np.inf)
            shift = np.where(np.isfinite(top), top, 0.0)
            with np.errstate(divide="ignore"):
                out[c] = np.log(weights[used] @ np.exp(terms[used] - shift)) + shift
        return out

    def cell_integrals(self, edges: ArrayLike, noise_std: float = 0.0, centre: ArrayLike = 0.0) -> CellIntegrals:
        """Integrals over cells, for each class; see `LineSource.cell_integrals`."""
        edges = np.asarray(edges, dtype=np.float64)
        centres = np.broadcast_to(np.asarray(centre, dtype=np.float64), (len(edges) - 1,))
        terms = self.term_integrals(edges, noise_std, centres)
        return CellIntegrals(*(self.class_weights @ integral for integral in terms))

    def sample(self, size: int, rng: np.random.Generator) -> tuple[Indices, Array]:
        """Draw pairs (class, x): class from the priors, term from the class, value from the term."""
        classes = self.sample_classes(size, rng)
        terms = np.empty(size, dtype=np.intp)
        for c, weights in enumerate(self.class_weights):
            mine = classes == c
            terms[mine] = rng.choice(len(weights), size=int(mine.sum()), p=weights / weights.sum())
        infinite = np.full(size, np.inf)
        return classes, self.term_quantile(terms, -infinite, infinite, rng.random(size))

    def sample_cells(self, low: Array, high: Array, rng: np.random.Generator) -> Array:
        """Draw one X from p_X conditioned to each interval (low[i], high[i]], by inversion."""
        low, high = np.broadcast_arrays(np.asarray(low, float), np.asarray(high, float))
        (lows, first), (highs, second) = (np.unique(end, return_inverse=True) for end in (low, high))
        keys, which = np.unique(first.ravel() * len(highs) + second.ravel(), return_inverse=True)
        pairs = np.stack([lows[keys // len(highs)], highs[keys % len(highs)]], axis=1)
        pick = np.empty(len(which), dtype=np.intp)
        order = np.argsort(which, kind="stable")  # the draws of an interval, one interval after the other
        stops = np.cumsum(np.bincount(which, minlength=len(pairs)))
        for k, (a, b) in enumerate(pairs):
            mine = order[stops[k - 1] if k else 0 : stops[k]]
            mass = self.term_weights * self.term_mass(np.array(a), np.array(b))
            if mass.sum() == 0:  # nothing to draw from: the cell stands for a point inside of it
                pairs[k] = (a + b) / 2 if np.isfinite(a + b) else (a if np.isfinite(a) else b)
                mass = self.term_weights
            pick[mine] = rng.choice(len(mass), size=len(mine), p=mass / mass.sum())
        ends = pairs[which]
        drawn = self.term_quantile(pick, ends[:, 0], ends[:, 1], rng.random(len(which)))
        return np.clip(drawn, ends[:, 0], ends[:, 1]).reshape(low.shape)


#: one number for every class, or one row of numbers (a number per component)
PerClass = Sequence[float | Sequence[float] | Array] | Array
#: one row of numbers per class, a number per component
Rows = tuple[tuple[float, ...], ...]


def _rows(value: float | PerClass, name: str, sizes: Sequence[int]) -> Rows:
    """One row per class, of the given sizes; a scalar stands for every component it could belong to."""
    entries = list(value) if isinstance(value, Iterable) else [value] * len(sizes)
    if len(entries) != len(sizes):
        raise InputError(
            f"{name} has {len(entries)} entries for {len(sizes)} classes; give one entry (or row) per class"
        )
    rows = []
    for c, (entry, size) in enumerate(zip(entries, sizes, strict=True)):
        row = finite_array(list(entry) if isinstance(entry, Iterable) else [entry] * size, f"{name}, class {c}", 1)
        if len(row) != size:
            raise InputError(f"{name}, class {c}: {len(row)} numbers for {size} components")
        rows.append(tuple(row.tolist()))
    return tuple(rows)


def mixture_rows(
    priors: Sequence[float] | Array,
    first: tuple[str, PerClass],
    second: tuple[str, float | PerClass],
    weights: PerClass | None,
) -> tuple[tuple[float, ...], Rows, Rows, Rows | None]:
    """Check the arguments of a mixture with two numbers per component; `first` and `second` are (name, value).

    Raises
    ------
    InputError
        When priors or weights are no probabilities, or shapes disagree.
    """
    checked = tuple(check_probabilities(priors, "priors", 1).tolist())
    name, places = first
    if not isinstance(places, Iterable) or len(places) != len(checked):
        found = f"has {len(places)} entries" if isinstance(places, Iterable) else f"is {places!r}"
        raise InputError(f"{name} {found} for {len(checked)} priors; give one entry (or row) per class")
    sizes = [len(row) if isinstance(row, Sized) else 1 for row in places]
    if 0 in sizes:
        raise InputError(f"{name}, class {sizes.index(0)}: the row is empty; a class needs at least one component")
    first_rows, second_rows = _rows(places, name, sizes), _rows(second[1], second[0], sizes)
    weight_rows = None if weights is None else _rows(weights, "weights", sizes)
    for c, row in enumerate(weight_rows or ()):
        check_probabilities(row, f"weights of class {c}", 1)
    return checked, first_rows, second_rows, weight_rows


def positive_rows(rows: Rows, name: str) -> None:
    """Refuse rows with an entry that is not positive."""
    for c, row in enumerate(rows):
        if min(row) <= 0:
            raise InputError(f"{name} must be positive; class {c} has {row}")


def rows_to_weights(sizes: Sequence[int], weights: Rows | None) -> Array:
    """Probability of every component within every class, shape (K, components); equal ones when not given."""
    table = np.zeros((len(sizes), sum(sizes)))
    start = 0
    for c, size in enumerate(sizes):
        table[c, start : start + size] = 1.0 / size if weights is None else weights[c]
        start += size
    return table
