"""Linear and quadratic decision rules in the plane."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.classifiers.base import Classifier, PlaneRule
from cdp_toy.errors import InputError
from cdp_toy.sources import PlaneSource, TableSource
from cdp_toy.validation import Array, Indices, class_indices, finite_array

__all__ = ["LinearClassifier", "QuadraticClassifier", "QuadraticRule"]


class QuadraticRule(PlaneRule):
    """Class of the largest score x' A_k x + b_k x + c_k; ties go to the earlier score.

    Parameters
    ----------
    matrices, vectors, offsets : arrays of shape (S, 2, 2), (S, 2) and (S,)
        A_k, b_k and c_k about the centre: scores are those of x - centre.
    classes : S class indices
        Class of each score.
    rotates : bool
        Whether grids may be turned to the normal of a straight boundary.
    centre : array of shape (2,), optional
        Where the scores are written about; near the source nothing cancels far from the origin.
    """

    exact = True

    def __init__(
        self,
        matrices: Array,
        vectors: Array,
        offsets: Array,
        classes: Sequence[int],
        rotates: bool = True,
        centre: Array | None = None,
    ) -> None:
        self.matrices, self._vectors, self._offsets = matrices, vectors, offsets
        self._centre = np.zeros(2) if centre is None else centre
        self.classes = np.asarray(classes)
        if len(offsets) == 2 and np.array_equal(matrices[0], matrices[1]):
            normal = vectors[1] - vectors[0]
            self._align(normal, float(offsets[0] - offsets[1] + normal @ self._centre), rotates)

    @property
    def vectors(self) -> Array:
        """Linear coefficients about the origin, shape (S, 2)."""
        turned = (self.matrices + self.matrices.transpose(0, 2, 1)) @ self._centre
        return np.asarray(self._vectors - turned)

    @property
    def offsets(self) -> Array:
        """Constants about the origin, shape (S,)."""
        c = self._centre
        return np.asarray(self._offsets - self._vectors @ c + np.einsum("i,kij,j->k", c, self.matrices, c))

    def _align(self, normal: Array, threshold: float, rotates: bool) -> None:
        """One straight boundary normal @ x = threshold: along an axis as it is, else in a frame turned to it."""
        length = float(np.hypot(*normal))
        axis = int(np.argmax(np.abs(normal)))
        if length == 0:
            return
        if normal[1 - axis] == 0:
            place = threshold / float(normal[axis])
            self.marks = ((place,), ()) if axis == 0 else ((), (place,))
        elif rotates:
            unit = normal / length
            self.frame = np.array([unit, [-unit[1], unit[0]]])
            self.marks = ((threshold / length,), ())

    def _scores(self, x: Array) -> Array:
        x = x - self._centre
        a = self.matrices
        first, second = x[..., 0, None], x[..., 1, None]
        quadratic = a[:, 0, 0] * first**2 + (a[:, 0, 1] + a[:, 1, 0]) * first * second + a[:, 1, 1] * second**2
        return np.asarray(quadratic + x @ self._vectors.T + self._offsets)

    def at(self, x: Array) -> Indices:
        """Class index of points of shape (..., 2)."""
        return np.asarray(self.classes[np.argmax(self._scores(np.asarray(x, dtype=np.float64)), axis=-1)])

    def slices(self, frame: Array, t: Array) -> tuple[Array, Indices]:
        """Decision regions along lines: the roots of all differences of two scores, and the class in between."""
        along, across = frame
        place = frame @ self._centre
        from_centre = t - place[0]
        roots = []
        for square, (l1, l0), (c2, c1, c0) in self._pairs(frame):
            linear = l1 * from_centre + l0
            constant = (c2 * from_centre + c1) * from_centre + c0
            roots += [root + place[1] for root in _roots(np.full(len(t), square), linear, constant)]
        boundaries = np.sort(np.stack(roots, axis=1), axis=1) if roots else np.zeros((len(t), 0))
        inside = _between(boundaries)
        points = t[:, None, None] * along + inside[..., None] * across
        return boundaries, self.at(points)

    def breaks(self, frame: Array, edges: Array) -> Array:
        """Places along u1 where boundaries turn back (roots of discriminants) or cross edges of u2, shape (m,)."""
        place = frame @ self._centre
        found = [np.zeros(0)]
        for square, (l1, l0), (c2, c1, c0) in self._pairs(frame):
            found.append(
                _real_roots(l1 * l1 - 4 * square * c2, 2 * l1 * l0 - 4 * square * c1, l0 * l0 - 4 * square * c0)
            )
            for s in edges[np.isfinite(edges)] - place[1]:
                found.append(_real_roots(c2, c1 + l1 * s, c0 + l0 * s + square * s * s))
        return np.asarray(np.concatenate(found) + place[0])

    def _pairs(self, frame: Array) -> Iterator[tuple[float, tuple[float, float], tuple[float, float, float]]]:
        """For every two scores their difference in the frame about the centre: coefficients of s^2, of s and of 1.

        The difference is square s^2 + (l1 t + l0) s + c2 t^2 + c1 t + c0 at u - frame @ centre = (t, s).
        """
        along, across = frame
        for i, j in combinations(range(len(self._offsets)), 2):
            a, b = self.matrices[i] - self.matrices[j], self._vectors[i] - self._vectors[j]
            yield (
                float(across @ a @ across),
                (float(along @ (a + a.T) @ across), float(b @ across)),
                (float(along @ a @ along), float(b @ along), float(self._offsets[i] - self._offsets[j])),
            )


def _real_roots(square: float, linear: float, constant: float) -> Array:
    """Real roots of a quadratic with number coefficients."""
    found = np.concatenate(_roots(*(np.array([float(v)]) for v in (square, linear, constant))))
    return found[np.isfinite(found)]


def _roots(square: Array, linear: Array, constant: Array) -> list[Array]:
    """Real roots of square s^2 + linear s + constant for each entry, inf where there is none."""
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        discriminant = linear**2 - 4 * square * constant
        q = -(linear + np.where(linear >= 0, 1.0, -1.0) * np.sqrt(discriminant)) / 2
        found = [q / square, constant / q]
    return [np.where(np.isfinite(root), root, np.inf) for root in found]


def _between(boundaries: Array) -> Array:
    """A point in each interval that the boundaries of each line leave, shape (m, b + 1)."""
    m = len(boundaries)
    low = np.concatenate([np.full((m, 1), -np.inf), boundaries], axis=1)
    high = np.concatenate([boundaries, np.full((m, 1), np.inf)], axis=1)
    low, high = np.where(np.isfinite(low), low, high - 2), np.where(np.isfinite(high), high, low + 2)
    with np.errstate(invalid="ignore"):
        middle = low / 2 + high / 2
    return np.asarray(np.where(np.isfinite(middle), middle, 0.0))


@dataclass(frozen=True, eq=False)
class LinearClassifier(Classifier):
    """Class by the side of a straight line: `classes[1]` where normal @ x >= threshold, else `classes[0]`.

    Parameters
    ----------
    normal : pair of numbers, not both 0
    threshold : float
        In the units of normal @ x.
    classes : pair of class indices

    Examples
    --------
    >>> LinearClassifier((1.0, 1.0), 0.5).rule(None, None).at(np.array([[0.0, 0.0], [1.0, 0.0]])).tolist()
    [0, 1]
    """

    kind = "linear"

    normal: tuple[float, float]
    threshold: float
    classes: tuple[int, ...]

    def __init__(
        self, normal: Sequence[float] | Array, threshold: float = 0.0, classes: Sequence[int] = (0, 1)
    ) -> None:
        direction, place = finite_array(normal, "normal"), finite_array(threshold, "threshold", 0)
        if direction.shape != (2,) or not direction.any():
            raise InputError(f"normal must be two numbers, not both 0; got {normal!r}")
        labels = class_indices(classes, "classes of a linear classifier")
        if len(labels) != 2:
            raise InputError(f"a linear classifier has 2 classes, got {len(labels)}")
        object.__setattr__(self, "normal", (float(direction[0]), float(direction[1])))
        object.__setattr__(self, "threshold", float(place))
        object.__setattr__(self, "classes", labels)

    def rule(self, source: PlaneSource | None, class_cost: Array | None) -> QuadraticRule:
        """Decision rule in the plane; the grid is turned to the normal where the source allows it."""
        # the score of the second class comes first: it wins on the boundary itself
        vectors = np.array([[0.0, 0.0], self.normal])[::-1]
        return QuadraticRule(
            np.zeros((2, 2, 2)),
            vectors,
            np.array([-self.threshold, 0.0]),
            self.classes[::-1],
            rotates=source is None or source.rotates,
        )

    def letters(self, source: TableSource, class_cost: Array | None) -> Indices:
        """Class index of every letter of a finite source in the plane."""
        return self.rule(None, None).at(_places(source, "a linear classifier"))


@dataclass(frozen=True, eq=False)
class QuadraticClassifier(Classifier):
    """Class of the largest quadratic score, argmax_k x' A_k x + b_k x + c_k; ties go to the lower index.

    Parameters
    ----------
    matrices : array of shape (K, 2, 2)
    vectors : array of shape (K, 2)
    offsets : array of shape (K,)

    Examples
    --------
    >>> disc = QuadraticClassifier([np.zeros((2, 2)), -np.eye(2)], np.zeros((2, 2)), [0.0, 4.0])  # 1 inside of radius 2
    >>> disc.rule(None, None).at(np.array([[0.0, 0.0], [2.0, 1.0]])).tolist()
    [1, 0]
    """

    kind = "quadratic"

    matrices: tuple[tuple[tuple[float, ...], ...], ...]
    vectors: tuple[tuple[float, ...], ...]
    offsets: tuple[float, ...]

    def __init__(self, matrices: ArrayLike, vectors: ArrayLike, offsets: ArrayLike) -> None:
        constant = finite_array(offsets, "offsets", 1)
        k = len(constant)
        for name, value, shape in (("matrices", matrices, (k, 2, 2)), ("vectors", vectors, (k, 2))):
            array = finite_array(value, name)
            if array.shape != shape or k < 2:
                raise InputError(
                    f"a quadratic classifier needs at least 2 offsets and as many matrices and vectors; {name} has "
                    f"shape {array.shape} for {k} offsets, expected {shape}"
                )
            nested = tuple(tuple(tuple(row) if shape[2:] else row for row in entry) for entry in array.tolist())
            object.__setattr__(self, name, nested)
        object.__setattr__(self, "offsets", tuple(constant.tolist()))

    @property
    def classes(self) -> tuple[int, ...]:  # type: ignore[override]  # derived, not stored
        """One class for every score."""
        return tuple(range(len(self.offsets)))

    def rule(self, source: PlaneSource | None, class_cost: Array | None) -> QuadraticRule:
        """Decision rule in the plane."""
        return QuadraticRule(
            np.array(self.matrices),
            np.array(self.vectors),
            np.array(self.offsets),
            self.classes,
            rotates=source is None or source.rotates,
        )

    def letters(self, source: TableSource, class_cost: Array | None) -> Indices:
        """Class index of every letter of a finite source in the plane."""
        return self.rule(None, None).at(_places(source, "a quadratic classifier"))


def _places(source: TableSource, what: str) -> Array:
    if source.x_values is None or source.x_values.ndim != 2 or source.x_values.shape[1] != 2:
        raise InputError(f"{what} needs x_values of shape (n_x, 2) in the source")
    return source.x_values
