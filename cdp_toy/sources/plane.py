"""What a source in the plane offers: integrals over rectangles of Y = A X + noise, strips along curves, draws."""

from __future__ import annotations

from abc import abstractmethod
from functools import cached_property
from typing import ClassVar

import numpy as np

from cdp_toy.cells import PlaneCells
from cdp_toy.errors import InputError
from cdp_toy.sources.base import CellIntegrals, LineMixture, Source
from cdp_toy.validation import Array, Indices

__all__ = ["PlaneSource", "SeparableSource"]


class PlaneSource(Source):
    """A source in the plane."""

    dim = 2
    #: grids may be turned to the normal of a linear class boundary
    rotates: ClassVar[bool] = False

    @property
    @abstractmethod
    def mean(self) -> Array:
        """E[X], shape (2,) [units of x]."""

    @abstractmethod
    def bounds(self, matrix: Array, covariance: Array, n_std: float = 5.0) -> tuple[tuple[float, float], ...]:
        """One interval per coordinate of Y = matrix X + N(0, covariance), with little mass outside."""

    @abstractmethod
    def cell_integrals(
        self, edges: tuple[Array, ...], matrix: Array, covariance: Array, centre: Array
    ) -> CellIntegrals:
        """Integrate 1, X - centre and |X - centre|^2 over rectangles of Y = matrix X + N(0, covariance).

        Parameters
        ----------
        edges : m arrays, m = 1 or 2
            Edges of the cells along each coordinate of Y.
        matrix, covariance : arrays of shape (m, 2) and (m, m)
        centre : array of shape (n, 2) or (2,)
            n rectangles, the first coordinate varying slowest.

        Returns
        -------
        CellIntegrals
            Shapes (K, n), (K, n, 2), (K, n).

        Raises
        ------
        InputError
            When the source has no closed form for this map and noise.
        """

    @abstractmethod
    def log_density(self, x: Array) -> Array:
        """Logarithms of the class-conditional densities at points of shape (N, 2), shape (K, N)."""

    def density(self, x: Array) -> Array:
        """Class-conditional densities at points of shape (N, 2), shape (K, N) [1/units of x^2]."""
        return np.exp(self.log_density(x))

    @abstractmethod
    def strip_mass(self, frame: Array, t: Array, low: Array, high: Array) -> Array:
        """Density of p_X in u1 at `t` times the mass of (low, high] in u2, u = frame @ x.

        `t` has shape (m,), `low` and `high` (m, b); returns (m, b). Integrated over t this is the mass of any region.
        """

    def strip_breaks(self, frame: Array) -> Array:
        """Places along u1 around which strips change quickly: jumps of densities, and what is narrow."""
        return np.zeros(0)

    @abstractmethod
    def sample_cells(self, cells: PlaneCells, letters: Indices, rng: np.random.Generator) -> Array:
        """Draw one X from p_X conditioned to each letter's cell, shape (len(letters), 2)."""


class SeparableSource(PlaneSource):
    """Classes that are mixtures of products of terms on the two axes: p(x|c) = sum_ab w[c,a,b] f_a(x1) g_b(x2).

    A subclass gives the two axes (line mixtures, whose terms are used and whose classes are not) and the weights.
    """

    @property
    @abstractmethod
    def axes(self) -> tuple[LineMixture, LineMixture]:
        """Line mixtures whose terms are f_a and g_b."""

    @property
    @abstractmethod
    def joint_weights(self) -> Array:
        """w[c, a, b], shape (K, T1, T2); every class sums to one."""

    @cached_property
    def total_weights(self) -> Array:
        """Weights under p_X, shape (T1, T2)."""
        return np.asarray(np.einsum("c,cab->ab", np.asarray(self.priors), self.joint_weights))

    @cached_property
    def _axis_means(self) -> tuple[Array, Array]:
        everything = np.array([-np.inf, np.inf])
        first, second = (axis.term_integrals(everything, 0.0, np.zeros(1)).first[:, 0] for axis in self.axes)
        return first, second

    @property
    def mean(self) -> Array:
        """E[X], shape (2,) [units of x]."""
        total = self.total_weights
        return np.array([total.sum(axis=1) @ self._axis_means[0], total.sum(axis=0) @ self._axis_means[1]])

    def _seen(self, matrix: Array, covariance: Array) -> list[tuple[int, float, float]]:
        """Axis, gain and noise of every coordinate of Y; refused where the products are lost."""
        matrix, covariance = np.asarray(matrix), np.asarray(covariance)
        single = (matrix != 0).sum(axis=1)
        axes = np.argmax(matrix != 0, axis=1)
        if (
            np.any(single != 1)
            or len(set(axes.tolist())) < len(axes)
            or np.any(covariance != np.diag(np.diag(covariance)))
        ):
            raise InputError(
                f"a {type(self).__name__} has exact integrals only where every coordinate of Y sees one coordinate of "
                "X with noise of its own; use a GaussianMixture2D, a diagonal covariance, or "
                'discretize(kind="points")'
            )
        noise = np.sqrt(np.diag(covariance))
        return [(int(k), float(matrix[r, k]), float(noise[r])) for r, k in enumerate(axes)]

    def bounds(self, matrix: Array, covariance: Array, n_std: float = 5.0) -> tuple[tuple[float, float], ...]:
        """One interval per coordinate of Y, with little mass outside."""
        matrix, noise = np.asarray(matrix), np.sqrt(np.diag(covariance))
        spans = [axis.bounds(0.0, n_std) for axis in self.axes]
        out = []
        for row, std in zip(matrix, noise, strict=True):
            ends = [sorted((gain * low, gain * high)) for gain, (low, high) in zip(row, spans, strict=True)]
            out.append((sum(e[0] for e in ends) - n_std * float(std), sum(e[1] for e in ends) + n_std * float(std)))
        return tuple(out)

    def cell_integrals(
        self, edges: tuple[Array, ...], matrix: Array, covariance: Array, centre: Array
    ) -> CellIntegrals:
        """Sums of products of integrals along the axes; see `PlaneSource.cell_integrals`."""
        parts: list[CellIntegrals | None] = [None, None]
        order = []
        for (k, gain, noise), cut in zip(self._seen(matrix, covariance), edges, strict=True):
            ends = np.sort(cut / gain)
            found = self._along(k, ends, noise / abs(gain))
            parts[k] = found if gain > 0 else CellIntegrals(*(part[:, ::-1] for part in found))
            order.append(k)
        for k in (0, 1):
            if parts[k] is None:
                parts[k] = self._along(k, np.array([-np.inf, np.inf]), 0.0)
        f, g = parts
        assert f is not None and g is not None

        def combined(left: Array, right: Array) -> Array:
            out = np.einsum("cab,ai,bj->cij", self.joint_weights, left, right, optimize=True)
            if order == [1, 0]:
                out = out.transpose(0, 2, 1)
            return np.asarray(out.reshape(self.n_classes, -1))

        mass = combined(f.mass, g.mass)
        first = np.stack([combined(f.first, g.mass), combined(f.mass, g.first)], axis=-1)
        second = combined(f.second, g.mass) + combined(f.mass, g.second)
        shift = self.mean - np.broadcast_to(centre, (mass.shape[1], 2))  # from about the mean to about the centre
        second = second + 2 * (first * shift).sum(axis=-1) + mass * (shift**2).sum(axis=-1)
        return CellIntegrals(mass, first + mass[..., None] * shift, second)

    def _along(self, axis: int, edges: Array, noise_std: float) -> CellIntegrals:
        centre = np.full(len(edges) - 1, self.mean[axis])
        return self.axes[axis].term_integrals(edges, noise_std, centre)

    def log_density(self, x: Array) -> Array:
        """Logarithms of the class-conditional densities at points of shape (N, 2), shape (K, N)."""
        x = np.asarray(x, dtype=np.float64)
        f, g = (axis.term_log_density(x[:, k], 0.0) for k, axis in enumerate(self.axes))
        with np.errstate(divide="ignore"):
            density = np.einsum("cab,ai,bi->ci", self.joint_weights, np.exp(f), np.exp(g), optimize=True)
            return np.asarray(np.log(density))

    def strip_mass(self, frame: Array, t: Array, low: Array, high: Array) -> Array:
        """Density in u1 times mass in u2; the frame must be that of the axes."""
        if not np.array_equal(frame, np.eye(2)):
            raise InputError(f"a {type(self).__name__} is cut along its own axes only")
        first = np.exp(self.axes[0].term_log_density(t, 0.0))
        second = self.axes[1].term_mass(low, high)
        return np.asarray(np.einsum("ab,am,bmk->mk", self.total_weights, first, second, optimize=True))

    def strip_breaks(self, frame: Array) -> Array:
        """Jumps of the first axis, and points around its terms."""
        first = self.axes[0]
        return np.concatenate([np.asarray(first.breakpoints, dtype=np.float64), first.landmarks()])

    def sample(self, size: int, rng: np.random.Generator) -> tuple[Indices, Array]:
        """Draw pairs (class, x)."""
        classes = self.sample_classes(size, rng)
        pairs = np.empty(size, dtype=np.intp)
        for c in range(self.n_classes):
            weights = self.joint_weights[c].ravel()
            mine = classes == c
            pairs[mine] = rng.choice(len(weights), size=int(mine.sum()), p=weights / weights.sum())
        infinite = np.full((size, 2), np.inf)
        return classes, self._draw(pairs, -infinite, infinite, rng)

    def sample_cells(self, cells: PlaneCells, letters: Indices, rng: np.random.Generator) -> Array:
        """Draw one X from p_X conditioned to each letter's cell, shape (len(letters), 2)."""
        first, second = (
            axis.term_mass(edges[:-1], edges[1:]) for axis, edges in zip(self.axes, cells.edges, strict=True)
        )
        low, high = np.empty((len(letters), 2)), np.empty((len(letters), 2))
        pairs = np.empty(len(letters), dtype=np.intp)
        for letter in np.unique(letters):
            mine = np.flatnonzero(letters == letter)
            i, j = np.divmod(np.flatnonzero(cells.letters == letter), cells.shape[1])
            mass = np.einsum("ab,ar,br->rab", self.total_weights, first[:, i], second[:, j])
            pick = rng.choice(mass.size, size=len(mine), p=mass.ravel() / mass.sum())
            rectangle, pairs[mine] = np.divmod(pick, self.total_weights.size)
            for k, (edges, which) in enumerate(zip(cells.edges, (i[rectangle], j[rectangle]), strict=True)):
                low[mine, k], high[mine, k] = edges[which], edges[which + 1]
        return self._draw(pairs, low, high, rng)

    def _draw(self, pairs: Indices, low: Array, high: Array, rng: np.random.Generator) -> Array:
        terms = np.divmod(pairs, self.total_weights.shape[1])
        columns = [
            np.clip(axis.term_quantile(term, low[:, k], high[:, k], rng.random(len(pairs))), low[:, k], high[:, k])
            for k, (axis, term) in enumerate(zip(self.axes, terms, strict=True))
        ]
        return np.stack(columns, axis=1)
