"""Costs of a pair (y, xhat), kept in the structure they have: dense tables only on request.

Each cost knows its shape (n_y, n_xhat), its dense `table()`, and the expectation under a sparse joint law of (Y, Xhat).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from scipy.sparse import csr_array

from cdp_toy.validation import Array, Indices, refuse_if_too_large

__all__ = ["ClassCost", "Cost", "PricedCost", "SquaredErrorCost", "TableCost", "expected"]


class Cost(Protocol):
    """What solvers and certificates ask of a cost."""

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of observations and of output letters."""
        ...

    def entries(self, rows: Indices, columns: Indices) -> Array:
        """Costs of the pairs (rows[k], columns[k])."""
        ...

    def block(self, rows: slice | Indices, columns: slice | Indices) -> Array:
        """Costs of some observations (rows) and some output letters (columns), dense."""
        ...

    def table(self) -> Array:
        """Dense table of shape (n_y, n_xhat), refused with an estimate where it would not fit."""
        ...

    def mean(self, p_y: Array, p_x: Array) -> float:
        """Expectation for an output that is independent of the observation."""
        ...


def expected(cost: Cost, joint: csr_array) -> float:
    """Expectation of a cost under a sparse joint law of (Y, Xhat)."""
    triples = joint.tocoo()
    return float(triples.data @ cost.entries(triples.coords[0], triples.coords[1]))


def _guard(shape: tuple[int, int]) -> None:
    refuse_if_too_large(
        8.0 * shape[0] * shape[1], f"a dense table of {shape[0]} x {shape[1]} numbers", "Use a coarser grid."
    )


@dataclass(frozen=True, eq=False)
class ClassCost:
    """Cost that sees xhat only through its class: sum_k decision_cost[y, k] decision[xhat, k].

    Parameters
    ----------
    decision_cost : array of shape (n_y, K)
        Expected class cost of deciding k when y is observed; 1 - P(k | y) for 0-1 error.
    decision : array of shape (n_xhat, K)
        One-hot rows (or fractions, for cells that a class boundary cuts).
    """

    decision_cost: Array
    decision: Array

    @cached_property
    def profiles(self) -> tuple[Array, Indices]:
        """Distinct rows of `decision`, shape (G, K), and which of them each output letter has, shape (n_xhat,).

        Letters of one profile cost the same for every observation. There is one profile for each class in use, and one
        for each cell that a boundary cuts.
        """
        rows, which = np.unique(self.decision, axis=0, return_inverse=True)
        return rows[::-1], len(rows) - 1 - which.ravel()  # the first class first

    @cached_property
    def profile_cost(self) -> Array:
        """Cost of every profile for every observation, shape (n_y, G)."""
        return np.asarray(self.decision_cost @ self.profiles[0].T)

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of observations and of output letters."""
        return len(self.decision_cost), len(self.decision)

    def entries(self, rows: Indices, columns: Indices) -> Array:
        """Costs of single pairs."""
        return np.asarray(np.einsum("ik,ik->i", self.decision_cost[rows], self.decision[columns]))

    def block(self, rows: slice | Indices, columns: slice | Indices) -> Array:
        """Costs of some rows and columns."""
        return np.asarray(self.decision_cost[rows] @ self.decision[columns].T)

    def table(self) -> Array:
        """Dense table."""
        _guard(self.shape)
        return self.block(slice(None), slice(None))

    def mean(self, p_y: Array, p_x: Array) -> float:
        """Expectation for an output that is independent of the observation."""
        return float((p_y @ self.decision_cost) @ (p_x @ self.decision))


@dataclass(frozen=True, eq=False)
class SquaredErrorCost:
    """|mean_y - mean_x|^2 + variance_y + variance_x, the expected squared error of a pair [squared units of x].

    Parameters
    ----------
    mean_y, variance_y : arrays of shape (n_y, dim) and (n_y,)
        Posterior mean of X given the observation and the trace of its covariance.
    mean_x, variance_x : arrays of shape (n_xhat, dim) and (n_xhat,)
        Mean and trace of covariance of what the output letter stands for (variance 0 for a point).
    """

    mean_y: Array
    variance_y: Array
    mean_x: Array
    variance_x: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of observations and of output letters."""
        return len(self.mean_y), len(self.mean_x)

    def entries(self, rows: Indices, columns: Indices) -> Array:
        """Costs of single pairs."""
        offset = self.mean_y[rows] - self.mean_x[columns]
        return np.asarray((offset**2).sum(axis=-1) + self.variance_y[rows] + self.variance_x[columns])

    def block(self, rows: slice | Indices, columns: slice | Indices) -> Array:
        """Costs of some rows and columns."""
        mean_y, mean_x = self.mean_y[rows], self.mean_x[columns]
        total = self.variance_y[rows][:, None] + self.variance_x[columns][None, :]
        for k in range(mean_y.shape[1]):
            total += (mean_y[:, None, k] - mean_x[None, :, k]) ** 2
        return np.asarray(total)

    def table(self) -> Array:
        """Dense table."""
        _guard(self.shape)
        return self.block(slice(None), slice(None))

    def mean(self, p_y: Array, p_x: Array) -> float:
        """Expectation for an output that is independent of the observation."""
        centre = p_x @ self.mean_x
        spread = p_x @ (((self.mean_x - centre) ** 2).sum(axis=1) + self.variance_x)
        return float(p_y @ (((self.mean_y - centre) ** 2).sum(axis=1) + self.variance_y) + spread)


@dataclass(frozen=True, eq=False)
class TableCost:
    """A cost without structure: the table itself, shape (n_y, n_xhat)."""

    values: Array

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of observations and of output letters."""
        return int(self.values.shape[0]), int(self.values.shape[1])

    def entries(self, rows: Indices, columns: Indices) -> Array:
        """Costs of single pairs."""
        return np.asarray(self.values[rows, columns])

    def block(self, rows: slice | Indices, columns: slice | Indices) -> Array:
        """Costs of some rows and columns."""
        return np.asarray(self.values[rows][:, columns])

    def table(self) -> Array:
        """The table itself."""
        return self.values

    def mean(self, p_y: Array, p_x: Array) -> float:
        """Expectation for an output that is independent of the observation."""
        return float(p_y @ self.values @ p_x)


@dataclass(frozen=True, eq=False)
class PricedCost:
    """base + price * extra: the Lagrangian cost at a fixed price."""

    base: Cost
    extra: Cost
    price: float

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of observations and of output letters."""
        return self.base.shape

    def entries(self, rows: Indices, columns: Indices) -> Array:
        """Costs of single pairs."""
        return self.base.entries(rows, columns) + self.price * self.extra.entries(rows, columns)

    def block(self, rows: slice | Indices, columns: slice | Indices) -> Array:
        """Costs of some rows and columns."""
        return self.base.block(rows, columns) + self.price * self.extra.block(rows, columns)

    def table(self) -> Array:
        """Dense table."""
        return self.base.table() + self.price * self.extra.table()

    def mean(self, p_y: Array, p_x: Array) -> float:
        """Expectation for an output that is independent of the observation."""
        return self.base.mean(p_y, p_x) + self.price * self.extra.mean(p_y, p_x)
