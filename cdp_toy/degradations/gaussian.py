"""Gaussian noise on the line and in the plane, after a linear map if there is one."""

from __future__ import annotations

import math
from dataclasses import dataclass
from numbers import Real

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.cells import Bounds, Cells, LetterCells, LineCells, PlaneCells, aligned_edges, checked_count
from cdp_toy.degradations.base import Degradation
from cdp_toy.errors import InputError
from cdp_toy.normal import interval_mass
from cdp_toy.observation import Observation, observed_in_plane, observed_on_line, plane_counts
from cdp_toy.plane_normal import INDEPENDENT, rectangle_moments
from cdp_toy.sources import LineSource, PlaneSource, Source, TableSource, checked_covariance
from cdp_toy.validation import Array, finite_array, refuse_if_too_large

__all__ = ["AdditiveGaussian", "Identity", "LinearGaussian", "blur", "drop_coordinate"]

#: Cells of a finite source in noise reach this many standard deviations beyond its letters.
REACH = 5.0


@dataclass(frozen=True, eq=False)
class AdditiveGaussian(Degradation):
    """Y = X + N(0, std^2) on the line, Y = X + N(0, std^2 I) in the plane, with `std` in units of x; 0 is the identity.

    Raises
    ------
    InputError
        When `std` is negative or not finite.

    Examples
    --------
    >>> AdditiveGaussian(1.0).transition(np.array([0.0]), LineCells(np.array([-np.inf, 0.0, np.inf])))
    array([[0.5, 0.5]])
    """

    kind = "additive_gaussian"

    std: float

    def __post_init__(self) -> None:
        number = isinstance(self.std, Real) and not isinstance(self.std, bool)
        if not (number and math.isfinite(self.std) and self.std >= 0):
            raise InputError(f"the noise standard deviation must be a finite number, not negative; got {self.std!r}")
        object.__setattr__(self, "std", float(self.std))

    @property
    def noise_std(self) -> float:
        """Standard deviation of the Gaussian noise [units of x]."""
        return float(self.std)

    def needs_cells(self, source: Source) -> bool:
        """Letters that are seen as they are need none."""
        return self.noise_std > 0 or not isinstance(source, TableSource)

    def observe(
        self, source: LineSource | PlaneSource, count: object, class_cost: Array, bounds: Bounds | None = None
    ) -> Observation:
        """Cells of Y with the integrals of X over them."""
        if isinstance(source, PlaneSource):
            return observed_in_plane(source, np.eye(2), self.noise_std**2 * np.eye(2), count, class_cost)
        return observed_on_line(source, self.noise_std, count, class_cost, bounds if self.noise_std == 0 else None)

    def transition(self, x_values: Array, cells: Cells) -> Array:
        """P(Y in cell | x) for letters at `x_values`, shape (n_x, n_y)."""
        if isinstance(cells, PlaneCells):
            return _plane_transition(x_values, self.noise_std**2 * np.eye(2), cells)
        if not isinstance(cells, LineCells):
            raise self._misfit("cells that are no intervals or rectangles")
        return _line_transition(np.asarray(x_values, dtype=np.float64).ravel(), self.noise_std, cells)

    def of_letters(self, source: TableSource, count: object) -> tuple[Array, Cells]:
        """Letters as they are without noise; otherwise cells of Y that reach 5 standard deviations beyond them."""
        if self.noise_std == 0:
            if count is not None:
                raise InputError("a problem of tables is already finite; call discretize() without n, n_y and bounds")
            return np.eye(source.n_x), LetterCells(source.n_x)
        if source.x_values is None or source.x_values.ndim > 2 or source.dim not in (1, 2):
            raise InputError("additive Gaussian noise needs one-dimensional x_values in the source, or pairs")
        dim = source.dim
        return _letters_in_noise(self, source.x_values.reshape(-1, dim), self.noise_std**2 * np.eye(dim), count)

    def sample(self, x: Array, rng: np.random.Generator) -> Array:
        """Draw Y for each X."""
        return np.asarray(x + self.noise_std * rng.normal(size=np.shape(x)))


@dataclass(frozen=True, eq=False)
class Identity(AdditiveGaussian):
    """Y = X: nothing is lost.

    >>> Identity().noise_std
    0.0
    """

    kind = "identity"

    std: float = 0.0

    def __post_init__(self) -> None:
        if self.std != 0:
            raise InputError("Identity takes no noise; use AdditiveGaussian(std)")


@dataclass(frozen=True, eq=False)
class LinearGaussian(Degradation):
    """Y = A X + N(0, covariance) in the plane, with one or two coordinates of Y.

    Parameters
    ----------
    matrix : array of shape (1, 2) or (2, 2)
        A; one row leaves one coordinate of Y.
    covariance : number or array of shape (m, m)
        Covariance of the noise [squared units of y]; a number v stands for v times the identity, 0 for no noise.

    Raises
    ------
    InputError
        When shapes disagree, or the covariance is not symmetric or has a negative eigenvalue.

    Examples
    --------
    >>> correlated = LinearGaussian(np.eye(2), [[1.0, 0.6], [0.6, 1.0]])
    >>> lost = drop_coordinate(1, std=0.5)  # only the first coordinate is seen
    >>> lost.matrix, lost.covariance
    (((1.0, 0.0),), ((0.25,),))
    """

    kind = "linear_gaussian"

    matrix: tuple[tuple[float, ...], ...]
    covariance: tuple[tuple[float, ...], ...]

    def __init__(self, matrix: ArrayLike, covariance: ArrayLike) -> None:
        a = finite_array(matrix, "matrix")
        if a.shape not in ((1, 2), (2, 2)):
            raise InputError(f"matrix has shape {a.shape}; expected (1, 2) or (2, 2), one row per coordinate of y")
        noise = checked_covariance(covariance, "covariance", size=len(a))
        object.__setattr__(self, "matrix", tuple(tuple(row) for row in a.tolist()))
        object.__setattr__(self, "covariance", tuple(tuple(row) for row in noise.tolist()))

    @property
    def arrays(self) -> tuple[Array, Array]:
        """Matrix and covariance as arrays of shapes (m, 2) and (m, m)."""
        return np.array(self.matrix), np.array(self.covariance)

    def observe(
        self, source: LineSource | PlaneSource, count: object, class_cost: Array, bounds: Bounds | None = None
    ) -> Observation:
        """Cells of Y with the integrals of X over them."""
        if not isinstance(source, PlaneSource):
            raise self._misfit("a source on the line; use AdditiveGaussian(std)")
        matrix, covariance = self.arrays
        return observed_in_plane(source, matrix, covariance, count, class_cost)

    def transition(self, x_values: Array, cells: Cells) -> Array:
        """P(Y in cell | x) for letters at `x_values` of shape (n_x, 2)."""
        matrix, covariance = self.arrays
        centres = np.asarray(x_values, dtype=np.float64) @ matrix.T
        if isinstance(cells, PlaneCells):
            return _plane_transition(centres, covariance, cells)
        if not isinstance(cells, LineCells):
            raise self._misfit("cells that are no intervals or rectangles")
        return _line_transition(centres[:, 0], math.sqrt(covariance[0, 0]), cells)

    def of_letters(self, source: TableSource, count: object) -> tuple[Array, Cells]:
        """Cells of Y that reach 5 standard deviations beyond the images of the letters."""
        if source.dim != 2 or source.x_values is None:
            raise InputError("a linear map of the plane needs x_values of shape (n_x, 2) in the source")
        matrix, covariance = self.arrays
        return _letters_in_noise(self, source.x_values @ matrix.T, covariance, count)

    def sample(self, x: Array, rng: np.random.Generator) -> Array:
        """Draw Y for each X of shape (N, 2): shape (N,) when Y has one coordinate, else (N, 2)."""
        matrix, covariance = self.arrays
        noise = rng.multivariate_normal(np.zeros(len(matrix)), covariance, size=len(x), method="eigh")
        y = np.asarray(x) @ matrix.T + noise
        return y[:, 0] if len(matrix) == 1 else y


def blur(weight: float, std: float) -> LinearGaussian:
    """Each coordinate is mixed with the other, A = [[1 - w, w], [w, 1 - w]], and noise of the given std is added.

    >>> blur(0.25, 1.0).matrix
    ((0.75, 0.25), (0.25, 0.75))
    """
    if not (isinstance(weight, Real) and 0 <= weight <= 1):
        raise InputError(f"the weight of a blur must be a number in [0, 1], got {weight!r}")
    return LinearGaussian([[1 - weight, weight], [weight, 1 - weight]], AdditiveGaussian(std).noise_std ** 2)


def drop_coordinate(axis: int, std: float = 0.0) -> LinearGaussian:
    """Coordinate `axis` (0 or 1) is lost, the other is seen through noise of the given std: an inpainting toy."""
    if axis not in (0, 1):
        raise InputError(f"axis must be 0 or 1, got {axis!r}")
    return LinearGaussian([[float(axis == 1), float(axis == 0)]], AdditiveGaussian(std).noise_std ** 2)


def _letters_in_noise(
    degradation: Degradation, centres: Array, covariance: Array, count: object
) -> tuple[Array, Cells]:
    reach = REACH * np.sqrt(np.diag(covariance))
    low, high = centres.min(axis=0) - reach, centres.max(axis=0) + reach
    spans = [(float(a), float(b) if b > a else float(a) + 1.0) for a, b in zip(low, high, strict=True)]
    cells: Cells
    if len(spans) == 1:
        cells = LineCells(aligned_edges(checked_count(count, "n"), spans[0], (), "n"))
    else:
        first, second = (
            aligned_edges(n, span, (), "n") for n, span in zip(plane_counts(count, "n"), spans, strict=True)
        )
        cells = PlaneCells.from_edges((first, second), np.eye(2))
    refuse_if_too_large(8.0 * 4 * len(centres) * cells.n, f"a grid of {cells.n} cells of y", "Use a smaller n.")
    if isinstance(cells, PlaneCells):
        return _plane_transition(centres, covariance, cells), cells
    assert isinstance(cells, LineCells)
    return _line_transition(centres[:, 0], math.sqrt(covariance[0, 0]), cells), cells


def _line_transition(centres: Array, std: float, cells: LineCells) -> Array:
    return cells.gather(_along(centres, std, cells.edges))


def _along(centres: Array, std: float, edges: Array) -> Array:
    """P(Y in cell | centre) on the line; without noise a centre lies in its own cell."""
    if std == 0:
        return np.asarray(np.diff(edges[None, :] > centres[:, None], axis=1) != 0, dtype=np.float64)
    z = (edges[None, :] - centres[:, None]) / std
    return interval_mass(z[:, :-1], z[:, 1:])


def _plane_transition(centres: Array, covariance: Array, cells: PlaneCells) -> Array:
    """P(Y in cell | centre) in the plane: products where the noise is independent in the frame of the cells."""
    turned = centres @ cells.frame.T
    noise = cells.frame @ covariance @ cells.frame.T
    scale = math.sqrt(abs(noise[0, 0] * noise[1, 1]))
    if abs(noise[0, 1]) <= INDEPENDENT * scale or scale == 0:
        std = np.sqrt(np.maximum(np.diag(noise), 0.0))
        first, second = (_along(turned[:, k], float(std[k]), cells.edges[k]) for k in (0, 1))
        mass = (first[:, :, None] * second[:, None, :]).reshape(len(centres), -1)
    elif np.linalg.det(noise) <= 1e-12 * scale**2:
        raise InputError("the noise is singular along a direction that is no axis of the grid; add noise in it")
    else:
        mass = np.array([rectangle_moments(centre, noise, cells.edges).mass.ravel() for centre in turned])
    return cells.gather(mass)
