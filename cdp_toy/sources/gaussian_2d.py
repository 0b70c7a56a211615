"""Gaussian mixtures in the plane, with full covariances."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.cells import PlaneCells
from cdp_toy.errors import InputError
from cdp_toy.normal import interval_mass, interval_moments, log_normal_density, normal_density, truncated_normal
from cdp_toy.plane_normal import PANEL_NODES, correlated_panels, gauss_nodes, rectangle_moments
from cdp_toy.sources.base import AROUND, CellIntegrals
from cdp_toy.sources.covariances import SINGULAR, Matrix, Pair, covariance_rows
from cdp_toy.sources.gaussian import GaussianMixture
from cdp_toy.sources.plane import PlaneSource
from cdp_toy.validation import Array, Indices, check_probabilities, finite_array

__all__ = ["Component2D", "GaussianMixture2D"]


class Component2D(NamedTuple):
    """One Gaussian of one class: `weight` is its probability within the class."""

    class_index: int
    weight: float
    mean: Array
    covariance: Array


@dataclass(frozen=True, eq=False)
class GaussianMixture2D(PlaneSource):
    """Source in the plane whose every class is a mixture of Gaussians with full covariances.

    p(x | c) = sum_k weights[c][k] N(x; means[c][k], covariances[c][k]).

    Parameters
    ----------
    priors : sequence of K floats
        Class probabilities P_c.
    means : one pair per class, or one list of pairs per class
        Component means [units of x].
    covariances : number, 2 x 2 matrix, one matrix per class, or one list of matrices per class
        A number v is v times the identity; one matrix serves all components, one per class those of the class
        [squared units of x].
    weights : one row per class, optional
        Component probabilities within each class; equal when left out.

    Raises
    ------
    InputError
        When priors or weights are no probabilities, shapes disagree, or a covariance is not symmetric and positive
        definite.

    Examples
    --------
    >>> source = GaussianMixture2D(
    ...     priors=(0.7, 0.3), means=[(-1.0, 0.0), (1.0, 0.5)], covariances=[[1.0, 0.4], [0.4, 0.8]]
    ... )
    >>> len(source.components), source.mean.round(12).tolist()
    (2, [-0.4, 0.15])
    """

    kind = "gaussian_mixture_2d"
    rotates: ClassVar[bool] = True

    priors: tuple[float, ...]
    means: tuple[tuple[Pair, ...], ...]
    covariances: tuple[tuple[Matrix, ...], ...]
    weights: tuple[tuple[float, ...], ...] | None = None

    def __init__(
        self,
        priors: Sequence[float] | Array,
        means: ArrayLike | Sequence[ArrayLike],
        covariances: ArrayLike | Sequence[ArrayLike] = 1.0,
        weights: Sequence[Sequence[float]] | None = None,
    ) -> None:
        checked = tuple(check_probabilities(priors, "priors", 1).tolist())
        if not isinstance(means, Sequence | np.ndarray) or len(means) != len(checked):
            found = f"has {len(means)} entries" if isinstance(means, Sequence | np.ndarray) else f"is {means!r}"
            raise InputError(f"means {found} for {len(checked)} priors; give one pair (or list of pairs) per class")
        mean_rows = [np.atleast_2d(finite_array(row, f"means, class {c}")) for c, row in enumerate(means)]
        for c, rows in enumerate(mean_rows):
            if rows.ndim != 2 or rows.shape[1] != 2 or not len(rows):
                raise InputError(f"means, class {c}: expected pairs (x1, x2), got shape {rows.shape}")
        sizes = [len(rows) for rows in mean_rows]
        matrices = covariance_rows(covariances, sizes)
        if weights is not None:
            if not isinstance(weights, Sequence | np.ndarray):
                raise InputError(f"weights is {weights!r}; give one row of probabilities per class")
            if len(weights) != len(checked):
                raise InputError(f"weights has {len(weights)} entries for {len(checked)} classes; give one row each")
            weights = tuple(
                tuple(check_probabilities(row, f"weights of class {c}", 1).tolist()) for c, row in enumerate(weights)
            )
            for c, (row, size) in enumerate(zip(weights, sizes, strict=True)):
                if len(row) != size:
                    raise InputError(f"weights, class {c}: {len(row)} numbers for {size} components")
        object.__setattr__(self, "priors", checked)
        object.__setattr__(self, "means", tuple(tuple((float(a), float(b)) for a, b in rows) for rows in mean_rows))
        object.__setattr__(self, "covariances", matrices)
        object.__setattr__(self, "weights", weights)

    @cached_property
    def components(self) -> tuple[Component2D, ...]:
        """Every Gaussian with its class and its weight within the class."""
        return tuple(
            Component2D(
                c,
                1.0 / len(row) if self.weights is None else self.weights[c][k],
                np.array(mean),
                np.array(self.covariances[c][k]),
            )
            for c, row in enumerate(self.means)
            for k, mean in enumerate(row)
        )

    def _used(self) -> Iterator[tuple[float, Component2D]]:
        """Components that have mass, with their joint weight P_c w."""
        for g in self.components:
            joint = self.priors[g.class_index] * g.weight
            if joint > 0:
                yield joint, g

    @cached_property
    def mean(self) -> Array:
        """E[X], shape (2,) [units of x]."""
        return np.asarray(sum(joint * g.mean for joint, g in self._used()))

    def observed(self, matrix: ArrayLike, covariance: ArrayLike) -> GaussianMixture2D | GaussianMixture:
        """The law of Y = matrix X + N(0, covariance), class by class: a mixture on the line when Y has one coordinate.

        Raises
        ------
        InputError
            When a Gaussian of Y is singular.
        """
        a, noise = np.asarray(matrix, dtype=np.float64), np.asarray(covariance, dtype=np.float64)
        means = [[(a @ np.array(m)).tolist() for m in row] for row in self.means]
        covariances = [[a @ np.array(v) @ a.T + noise for v in row] for row in self.covariances]
        for row in covariances:
            for v in row:
                values = np.linalg.eigvalsh(v)
                if values[0] <= SINGULAR * values[-1]:
                    raise InputError(
                        "Y = A X + noise has no density: its covariance is singular; drop a row of the matrix or add "
                        "noise"
                    )
        if len(a) == 1:
            return GaussianMixture(
                self.priors,
                [[m[0] for m in row] for row in means],
                [[math.sqrt(float(v[0, 0])) for v in row] for row in covariances],
                self.weights,
            )
        return GaussianMixture2D(
            self.priors, means, [[(v + v.T) / 2 for v in row] for row in covariances], self.weights
        )

    def bounds(self, matrix: Array, covariance: Array, n_std: float = 5.0) -> tuple[tuple[float, float], ...]:
        """Interval of every coordinate of Y that reaches `n_std` standard deviations beyond every component."""
        ends = []
        for _, g in self._used():
            centre = matrix @ g.mean
            reach = n_std * np.sqrt(np.diag(matrix @ g.covariance @ matrix.T + covariance))
            ends.append((centre - reach, centre + reach))
        low, high = np.min([e[0] for e in ends], axis=0), np.max([e[1] for e in ends], axis=0)
        return tuple((float(a), float(b)) for a, b in zip(low, high, strict=True))

    def cell_integrals(
        self, edges: tuple[Array, ...], matrix: Array, covariance: Array, centre: Array
    ) -> CellIntegrals:
        """Moments by regression: given Y = y, X is N(m + G h, S - G A S), h = y - A m; see `PlaneSource`."""
        n = math.prod(len(e) - 1 for e in edges)
        k = self.n_classes
        mass, first, second = np.zeros((k, n)), np.zeros((k, n, 2)), np.zeros((k, n))
        self.observed(matrix, covariance)  # refuses a singular Y
        for c, w, mean, inner in self.components:
            seen = matrix @ inner @ matrix.T + covariance
            gain = np.linalg.solve(seen, matrix @ inner).T
            rest = float(np.trace(inner - gain @ matrix @ inner))
            p, h, hh = _moments(matrix @ mean, seen, edges)
            offset = mean - centre
            e1 = h @ gain.T
            e2 = np.einsum("nij,ik,jk->n", hh, gain.T, gain.T) + rest * p
            mass[c] += w * p
            first[c] += w * (offset * p[:, None] + e1)
            second[c] += w * ((offset**2).sum(axis=-1) * p + 2 * (offset * e1).sum(axis=-1) + e2)
        return CellIntegrals(mass, first, second)

    def log_density(self, x: Array) -> Array:
        """Logarithms of the class-conditional densities at points of shape (N, 2), exact far into the tails."""
        x = np.asarray(x, dtype=np.float64)
        out = np.full((self.n_classes, len(x)), -np.inf)
        for c, w, mean, covariance in self.components:
            if w > 0:
                z = np.linalg.solve(np.linalg.cholesky(covariance), (x - mean).T)
                height = math.log(w) - 0.5 * np.linalg.slogdet(covariance)[1] - math.log(2 * math.pi)
                out[c] = np.logaddexp(out[c], height - 0.5 * (z**2).sum(axis=0))
        return out

    def strip_mass(self, frame: Array, t: Array, low: Array, high: Array) -> Array:
        """Density in u1 times mass in u2; see `PlaneSource`."""
        total = np.zeros(low.shape)
        for joint, g in self._used():
            mean, v = frame @ g.mean, frame @ g.covariance @ frame.T
            slope, rest = v[0, 1] / v[0, 0], math.sqrt(np.linalg.det(v) / v[0, 0])
            along = np.exp(log_normal_density(t, mean[0], np.sqrt(v[0, 0])))
            middle = (mean[1] + slope * (t - mean[0]))[:, None]
            total += joint * along[:, None] * interval_mass((low - middle) / rest, (high - middle) / rest)
        return total

    def strip_breaks(self, frame: Array) -> Array:
        """Points around every Gaussian, in standard deviations of its marginal along u1."""
        found = [
            (frame[0] @ g.mean) + math.sqrt(float(frame[0] @ g.covariance @ frame[0])) * AROUND for _, g in self._used()
        ]
        return np.concatenate(found)

    def sample(self, size: int, rng: np.random.Generator) -> tuple[Indices, Array]:
        """Draw pairs (class, x)."""
        used = list(self._used())
        weights = np.array([joint for joint, _ in used])
        pick = rng.choice(len(used), size=size, p=weights / weights.sum())
        roots = np.array([np.linalg.cholesky(g.covariance) for _, g in used])
        means = np.array([g.mean for _, g in used])
        x = means[pick] + np.einsum("nij,nj->ni", roots[pick], rng.normal(size=(size, 2)))
        return np.array([g.class_index for _, g in used])[pick], x

    def sample_cells(self, cells: PlaneCells, letters: Indices, rng: np.random.Generator) -> Array:
        """Draw one X from p_X conditioned to each letter's cell: rectangle and component by mass, then by rejection."""
        used = [(joint, cells.frame @ g.mean, cells.frame @ g.covariance @ cells.frame.T) for joint, g in self._used()]
        masses = np.array([joint * rectangle_moments(m, v, cells.edges).mass.ravel() for joint, m, v in used])
        out = np.empty((len(letters), 2))
        for letter in np.unique(letters):
            mine = np.flatnonzero(letters == letter)
            inside = np.flatnonzero(cells.letters == letter)
            mass = masses[:, inside]
            pick = rng.choice(mass.size, size=len(mine), p=mass.ravel() / mass.sum())
            component, rectangle = np.divmod(pick, len(inside))
            for k, r in {(int(a), int(b)) for a, b in zip(component, rectangle, strict=True)}:
                here = mine[(component == k) & (rectangle == r)]
                i, j = divmod(int(inside[r]), cells.shape[1])
                box = tuple((float(e[n]), float(e[n + 1])) for e, n in zip(cells.edges, (i, j), strict=True))
                out[here] = _in_rectangle(used[k][1], used[k][2], box, len(here), rng)
        return out @ cells.frame


def _moments(mean: Array, covariance: Array, edges: tuple[Array, ...]) -> tuple[Array, Array, Array]:
    """Mass, E[h] and E[h h'] of the cells of one or two coordinates, flattened; h = Y - mean."""
    if len(edges) == 1:
        std = math.sqrt(float(covariance[0, 0]))
        z = (edges[0] - mean[0]) / std
        p, z1, z2 = interval_moments(z[:-1], z[1:])
        return p, std * z1[:, None], std**2 * z2[:, None, None]
    found = rectangle_moments(mean, covariance, (edges[0], edges[1]))
    n = found.mass.size
    return found.mass.ravel(), found.first.reshape(n, 2), found.second.reshape(n, 2, 2)


def _in_rectangle(mean: Array, covariance: Array, box: tuple[Pair, ...], size: int, rng: np.random.Generator) -> Array:
    """Draw from a Gaussian conditioned to a rectangle: u1 panel by panel with rejection, then u2 by inversion."""
    s1, s2 = np.sqrt(np.diag(covariance))
    rho = float(covariance[0, 1] / (s1 * s2))
    rest = math.sqrt((1 - rho) * (1 + rho))
    first, (low, high) = ((np.array(ends) - m) / s for ends, m, s in zip(box, mean, (s1, s2), strict=True))

    def height(t: Array) -> Array:
        return normal_density(t) * interval_mass((low - rho * t) / rest, (high - rho * t) / rest)

    panels = correlated_panels(first, np.array([low, high]), rho)
    t, weight = gauss_nodes(panels)
    heights = height(t).reshape(-1, PANEL_NODES)
    mass = (heights * weight.reshape(heights.shape)).sum(axis=1)
    # between the nodes a log-concave height exceeds the largest of nodes and ends by far less than one per cent
    top = 1.01 * np.max([heights.max(axis=1), height(panels[:-1]), height(panels[1:])], axis=0)
    panel = rng.choice(len(mass), size=size, p=mass / mass.sum())
    out = np.empty(size)
    waiting = np.arange(size)
    while len(waiting):
        here = panel[waiting]
        drawn = panels[here] + rng.random(len(waiting)) * (panels[here + 1] - panels[here])
        kept = rng.random(len(waiting)) * top[here] <= height(drawn)
        out[waiting[kept]] = drawn[kept]
        waiting = waiting[~kept]
    middle = rho * out
    z2 = middle + rest * truncated_normal((low - middle) / rest, (high - middle) / rest, rng.random(size))
    u = mean + np.stack([s1 * out, s2 * z2], axis=1)
    return np.stack([np.clip(u[:, k], *box[k]) for k in (0, 1)], axis=1)
