"""Pairs (observation, output letter) that a restricted program may use, and the normal matrix that lives on them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Literal

import numpy as np
from numpy.linalg import LinAlgError
from scipy.linalg.lapack import dpbtrf, dpbtrs, dpotrf, dpotrs  # scipy.linalg checks more than these cost
from scipy.sparse import csc_array, csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee
from scipy.sparse.linalg import splu

from cdp_toy.solvers.pair_loops import pair_loops
from cdp_toy.validation import Array, Indices

__all__ = ["NormalMatrix", "Support"]

#: Shares of the diagonal that are added, one after the other, until a factorization succeeds.
RIDGES = (0.0, 1e-14, 1e-12, 1e-10)

#: Nanoseconds per product gathered, per multiplication of a banded and of a dense factorization, measured on one core
#: (they decide between two routes to the same matrix, so that only their ratios matter).
GATHER, BANDED, DENSE = 4.0, 0.3, 0.08
#: Nanoseconds beyond which a banded factorization loses to sparse elimination: 2304 letters with a width of 275 took
#: 8.5 ms against 12, of 696 126 ms against 67; 6400 letters with a width of 3242 took 9.3 s against .4.
WIDEST_BAND = 1e8

#: Solves M x = b for one right side or several columns.
Solve = Callable[[Array], Array]
#: Factorizes a matrix whose diagonal is multiplied by a number.
Factor = Callable[[float], Solve]


@dataclass(frozen=True, eq=False)
class Support:
    """Pairs in row-major order; every row has one, and columns that have none receive no mass."""

    rows: Indices
    columns: Indices
    shape: tuple[int, int]

    @property
    def size(self) -> int:
        """Number of pairs."""
        return len(self.rows)

    @cached_property
    def starts(self) -> Indices:
        """Where each row begins."""
        return np.searchsorted(self.rows, np.arange(self.shape[0]))

    def row_sums(self, values: Array) -> Array:
        """Sum over the pairs of each row."""
        return np.asarray(np.add.reduceat(values, self.starts))

    def row_minima(self, values: Array) -> Array:
        """Least value of each row."""
        return np.asarray(np.minimum.reduceat(values, self.starts))

    def column_sums(self, values: Array) -> Array:
        """Sum over the pairs of each column."""
        return np.asarray(np.bincount(self.columns, weights=values, minlength=self.shape[1]), dtype=np.float64)


class NormalMatrix:
    """M = diag(colsum th) - th' diag(1/rowsum th) th + diag(extra), symmetric and positive definite.

    Its pattern follows from the support: it is factorized as a band where that is narrow, in the order of the letters
    or a better one, by sparse elimination where it is not, and as a dense matrix where rows have many pairs. The
    diagonal of the first two terms is built as the sum of the off-diagonals, so that nothing cancels.
    """

    def __init__(self, support: Support) -> None:
        self.support = support
        n_rows, n = support.shape
        lengths = np.diff(np.append(support.starts, support.size))
        products = GATHER * float((lengths * (lengths - 1)).sum()) / 2
        dense = 0.5 * DENSE * n_rows * float(n) ** 2 + DENSE * float(n) ** 3 / 3 + GATHER * support.size
        self.route: Literal["banded", "sparse", "dense"] = "dense"
        if products < dense:
            band = self._order_letters(products)
            if products + min(band, WIDEST_BAND) < dense:
                self.route = "banded" if band <= WIDEST_BAND else "sparse"
        if self.route == "banded":
            self._ranks = self._rank[support.columns]
            self._first, self._second = _pairs_within_rows(support.starts, lengths)

    def solver(self, theta: Array, row_theta: Array, extra: Callable[[Array], Array]) -> Solve | None:
        """Factorize; `extra` maps the Laplacian's diagonal to what is added to it. None when it cannot be done."""
        scaled = theta / np.sqrt(row_theta)[self.support.rows]
        factor = {"banded": self._banded, "sparse": self._sparse, "dense": self._dense}[self.route](scaled, extra)
        for ridge in RIDGES:
            with contextlib.suppress(LinAlgError, ValueError, RuntimeError):
                return factor(1 + ridge)
        return None

    def _order_letters(self, products: float) -> float:
        """Rank of each letter in the band and its width; returns the nanoseconds of a banded factorization."""
        support, n = self.support, self.support.shape[1]
        last = np.append(support.starts[1:], support.size) - 1
        self._rank = np.arange(n)
        self._width = int((support.columns[last] - support.columns[support.starts]).max())
        band = BANDED * n * float(self._width) ** 2
        if band > products:
            pattern = self._incidence(np.ones(support.size))
            order = reverse_cuthill_mckee(pattern.T @ pattern, symmetric_mode=True)
            rank = np.empty(n, dtype=np.intp)
            rank[order] = np.arange(n)
            ranks = rank[support.columns]
            most, least = np.maximum.reduceat(ranks, support.starts), np.minimum.reduceat(ranks, support.starts)
            width = int((most - least).max())
            if width < self._width:
                self._rank, self._width = rank, width
        return BANDED * n * float(self._width) ** 2

    def _incidence(self, values: Array) -> csr_array:
        support = self.support
        ends = np.append(support.starts, support.size)
        return csr_array((values, support.columns, ends), shape=support.shape)

    def _banded(self, scaled: Array, extra: Callable[[Array], Array]) -> Factor:
        n = self.support.shape[1]
        band, sums = pair_loops().band(self._first, self._second, self._ranks, n, self._width, scaled)
        laplacian = sums[self._rank]
        diagonal = np.empty(n)
        diagonal[self._rank] = laplacian + extra(laplacian)
        np.negative(band, out=band)

        def factor(ridge: float) -> Solve:
            matrix = band.copy()
            matrix[0] = ridge * diagonal
            lower, failed = dpbtrf(matrix, lower=1, overwrite_ab=1)
            if failed:
                raise LinAlgError
            return partial(_solved, lower, self._rank)

        return factor

    def _sparse(self, scaled: Array, extra: Callable[[Array], Array]) -> Factor:
        incidence = self._incidence(scaled)
        matrix = csr_array(incidence.T @ incidence)
        matrix.sort_indices()
        diagonal = matrix.indices == np.repeat(np.arange(matrix.shape[0]), np.diff(matrix.indptr))
        matrix.data[diagonal] = 0.0
        laplacian = matrix.sum(axis=1)
        total = laplacian + extra(laplacian)
        np.negative(matrix.data, out=matrix.data)

        def factor(ridge: float) -> Solve:
            matrix.data[diagonal] = ridge * total
            lower = splu(
                csc_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape),  # it is symmetric
                permc_spec="MMD_AT_PLUS_A",
                diag_pivot_thresh=0.0,
                options={"SymmetricMode": True},
            )
            return lambda right: np.asarray(lower.solve(right))

        return factor

    def _dense(self, scaled: Array, extra: Callable[[Array], Array]) -> Factor:
        support = self.support
        table = np.zeros(support.shape)
        table[support.rows, support.columns] = scaled
        matrix = table.T @ table
        np.fill_diagonal(matrix, 0.0)
        laplacian = matrix.sum(axis=1)
        total = laplacian + extra(laplacian)
        np.negative(matrix, out=matrix)

        def factor(ridge: float) -> Solve:
            ridged = matrix.copy()
            np.fill_diagonal(ridged, ridge * total)
            lower, failed = dpotrf(ridged, lower=1, clean=0, overwrite_a=1)
            if failed:
                raise LinAlgError
            return lambda right: np.asarray(dpotrs(lower, right, lower=1)[0])

        return factor


def _solved(factor: Array, rank: Indices, right: Array) -> Array:
    """Solution with a banded factor of the reordered matrix."""
    ordered = np.empty_like(right)
    ordered[rank] = right
    return np.asarray(dpbtrs(factor, ordered, lower=1)[0])[rank]


def _pairs_within_rows(starts: Indices, lengths: Indices) -> tuple[Indices, Indices]:
    """Index pairs a < b of entries that share a row."""
    first, second = [np.zeros(0, dtype=np.intp)], [np.zeros(0, dtype=np.intp)]
    for length in np.unique(lengths[lengths > 1]):
        a, b = np.triu_indices(int(length), 1)
        begin = starts[lengths == length][:, None]
        first.append((begin + a).ravel())
        second.append((begin + b).ravel())
    return np.concatenate(first), np.concatenate(second)
