"""Pairs (observation, output letter) that a restricted program may use, and the normal matrix that lives on them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cho_solve_banded, cholesky_banded
from scipy.sparse import csr_array
from scipy.sparse.csgraph import reverse_cuthill_mckee

from cdp_toy.validation import Array, Indices

__all__ = ["NormalMatrix", "Support"]

#: Shares of the diagonal that are added, one after the other, until a factorization succeeds.
RIDGES = (0.0, 1e-14, 1e-12, 1e-10)

#: Nanoseconds per product gathered, per multiplication of a banded and of a dense factorization, measured on one core
#: (they decide between two routes to the same matrix, so that only their ratios matter).
GATHER, BANDED, DENSE = 4.0, 0.3, 0.08


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
    where the pairs of each row are few, else as a dense matrix. The diagonal of the first two terms is built as the
    sum of the off-diagonals, so that nothing cancels.
    """

    def __init__(self, support: Support) -> None:
        self.support = support
        n_rows, n = support.shape
        lengths = np.diff(np.append(support.starts, support.size))
        self.banded = False
        products = float((lengths * (lengths - 1)).sum()) / 2
        dense = 0.5 * DENSE * n_rows * float(n) ** 2 + DENSE * float(n) ** 3 / 3 + GATHER * support.size
        if GATHER * products < dense:
            self._analyse(lengths)
            width = self._width
            self.banded = GATHER * products + BANDED * n * float(width) ** 2 < dense

    def _analyse(self, lengths: Indices) -> None:
        """List the products th_a th_b of every row, and where in the band each lands."""
        support, n = self.support, self.support.shape[1]
        first, second = _pairs_within_rows(support.starts, lengths)
        keys = support.columns[first] * np.int64(n) + support.columns[second]
        distinct, place = np.unique(keys, return_inverse=True)
        a, b = np.divmod(distinct, n)
        graph = csr_array((np.ones(2 * len(a)), (np.concatenate([a, b]), np.concatenate([b, a]))), shape=(n, n))
        order = reverse_cuthill_mckee(graph, symmetric_mode=True)
        rank = np.empty(n, dtype=np.intp)
        rank[order] = np.arange(n)
        low, high = np.minimum(rank[a], rank[b]), np.maximum(rank[a], rank[b])
        self._order, self._first, self._second = order, first, second
        self._place, self._ends = place, (a, b)
        self._width = int((high - low).max(initial=0))
        self._band = (high - low) * np.int64(n) + low  # lower band storage: entry (i, j) at [i - j, j]

    def solver(
        self, theta: Array, row_theta: Array, extra: Callable[[Array], Array]
    ) -> Callable[[Array], Array] | None:
        """Factorize; `extra` maps the Laplacian's diagonal to what is added to it. None when it cannot be done."""
        return (self._solver_banded if self.banded else self._solver_dense)(theta, row_theta, extra)

    def _solver_banded(
        self, theta: Array, row_theta: Array, extra: Callable[[Array], Array]
    ) -> Callable[[Array], Array] | None:
        n, order = self.support.shape[1], self._order
        scaled = theta / np.sqrt(row_theta)[self.support.rows]
        off = np.bincount(self._place, weights=scaled[self._first] * scaled[self._second], minlength=len(self._band))
        laplacian = np.zeros(n)
        for ends in self._ends:
            laplacian += np.bincount(ends, weights=off, minlength=n)
        band = np.zeros((self._width + 1, n))
        band.ravel()[self._band] = -off
        diagonal = (laplacian + extra(laplacian))[order]
        for ridge in RIDGES:
            band[0] = diagonal * (1 + ridge)
            try:
                factor = cholesky_banded(band, lower=True, check_finite=False)
            except (LinAlgError, ValueError):
                continue

            return partial(_solved, factor, order)
        return None

    def _solver_dense(
        self, theta: Array, row_theta: Array, extra: Callable[[Array], Array]
    ) -> Callable[[Array], Array] | None:
        support = self.support
        scaled = np.zeros(support.shape)
        scaled[support.rows, support.columns] = theta / np.sqrt(row_theta)[support.rows]
        matrix = -(scaled.T @ scaled)
        np.fill_diagonal(matrix, 0.0)
        laplacian = -matrix.sum(axis=1)
        diagonal = laplacian + extra(laplacian)
        for ridge in RIDGES:
            np.fill_diagonal(matrix, diagonal * (1 + ridge))
            try:
                factor = cho_factor(matrix, check_finite=False)
            except (LinAlgError, ValueError):
                continue
            return lambda right: np.asarray(cho_solve(factor, right, check_finite=False))
        return None


def _solved(factor: Array, order: Indices, right: Array) -> Array:
    """Solution with a banded factor of the reordered matrix."""
    out = np.empty_like(right)
    out[order] = cho_solve_banded((factor, True), right[order], check_finite=False)
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
