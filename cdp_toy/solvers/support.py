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

    Its pattern follows from the support, so that it is analysed once and factorized often: as a band after reordering
    where that is narrow, by sparse elimination where it is not, and as a dense matrix where rows have many pairs. The
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
            self._analyse(lengths)
            band = BANDED * n * float(self._width) ** 2
            if products + min(band, WIDEST_BAND) < dense:
                self.route = "banded" if band <= WIDEST_BAND else "sparse"

    def solver(self, theta: Array, row_theta: Array, extra: Callable[[Array], Array]) -> Solve | None:
        """Factorize; `extra` maps the Laplacian's diagonal to what is added to it. None when it cannot be done."""
        scaled = theta / np.sqrt(row_theta)[self.support.rows]
        off, laplacian = self._dense_parts(scaled) if self.route == "dense" else self._sparse_parts(scaled)
        factor = {"banded": self._banded, "sparse": self._sparse, "dense": self._dense}[self.route]
        diagonal = laplacian + extra(laplacian)
        for ridge in RIDGES:
            with contextlib.suppress(LinAlgError, ValueError, RuntimeError):
                return factor(off, diagonal * (1 + ridge))
        return None

    def _analyse(self, lengths: Indices) -> None:
        """List the products th_a th_b of every row, and where in the matrix each lands."""
        support, n = self.support, self.support.shape[1]
        self._first, self._second = _pairs_within_rows(support.starts, lengths)
        keys = support.columns[self._first] * np.int64(n) + support.columns[self._second]
        distinct, self._place = np.unique(keys, return_inverse=True)
        a, b = self._ends = np.divmod(distinct, n)
        graph = csr_array((np.ones(2 * len(a)), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(n, n))
        self._order = reverse_cuthill_mckee(graph, symmetric_mode=True)
        rank = np.empty(n, dtype=np.intp)
        rank[self._order] = np.arange(n)
        low, high = np.minimum(rank[a], rank[b]), np.maximum(rank[a], rank[b])
        self._width = int((high - low).max(initial=0))
        self._band = (high - low) * np.int64(n) + low  # lower band storage: entry (i, j) at [i - j, j]

    def _sparse_parts(self, scaled: Array) -> tuple[Array, Array]:
        off = np.bincount(self._place, weights=scaled[self._first] * scaled[self._second], minlength=len(self._band))
        laplacian = np.zeros(self.support.shape[1])
        for ends in self._ends:
            laplacian += np.bincount(ends, weights=off, minlength=len(laplacian))
        return np.asarray(off, dtype=np.float64), laplacian

    def _dense_parts(self, scaled: Array) -> tuple[Array, Array]:
        support = self.support
        table = np.zeros(support.shape)
        table[support.rows, support.columns] = scaled
        matrix = table.T @ table
        np.fill_diagonal(matrix, 0.0)
        return matrix, matrix.sum(axis=1)

    def _banded(self, off: Array, diagonal: Array) -> Solve:
        band = np.zeros((self._width + 1, len(diagonal)))
        band.ravel()[self._band] = -off
        band[0] = diagonal[self._order]
        factor, failed = dpbtrf(band, lower=1, overwrite_ab=1)
        if failed:
            raise LinAlgError
        return partial(_solved, factor, self._order)

    def _sparse(self, off: Array, diagonal: Array) -> Solve:
        a, b = self._ends
        here = np.arange(len(diagonal))
        place = (np.concatenate([a, b, here]), np.concatenate([b, a, here]))
        matrix = csc_array((np.concatenate([-off, -off, diagonal]), place), shape=(len(here), len(here)))
        factor = splu(matrix, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
        return lambda right: np.asarray(factor.solve(right))

    def _dense(self, off: Array, diagonal: Array) -> Solve:
        matrix = -off
        np.fill_diagonal(matrix, diagonal)
        factor, failed = dpotrf(matrix, lower=1, clean=0, overwrite_a=1)
        if failed:
            raise LinAlgError
        return lambda right: np.asarray(dpotrs(factor, right, lower=1)[0])


def _solved(factor: Array, order: Indices, right: Array) -> Array:
    """Solution with a banded factor of the reordered matrix."""
    out = np.empty_like(right)
    out[order] = dpbtrs(factor, right[order], lower=1)[0]
    return out


def _pairs_within_rows(starts: Indices, lengths: Indices) -> tuple[Indices, Indices]:
    """Index pairs a < b of entries that share a row."""
    first, second = [], []
    for length in np.unique(lengths[lengths > 1]):
        a, b = np.triu_indices(int(length), 1)
        begin = starts[lengths == length][:, None]
        first.append((begin + a).ravel())
        second.append((begin + b).ravel())
    if not first:
        nothing = np.zeros(0, dtype=np.intp)
        return nothing, nothing
    return np.concatenate(first), np.concatenate(second)
