"""Covariance matrices as users give them: numbers, matrices, one per class, or lists per class."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.errors import InputError
from cdp_toy.validation import Array, finite_array

__all__ = ["SINGULAR", "Matrix", "Pair", "checked_covariance", "covariance_rows"]

#: A covariance whose least eigenvalue is below this share of the largest has no density in double precision.
SINGULAR = 1e-12

Pair = tuple[float, float]
Matrix = tuple[Pair, Pair]


def checked_covariance(value: ArrayLike, name: str, size: int = 2) -> Array:
    """Return a symmetric, positive semi-definite matrix; a number stands for that multiple of the identity."""
    matrix = finite_array(value, name)
    if matrix.ndim == 0:
        matrix = float(matrix) * np.eye(size)
    if matrix.shape != (size, size):
        raise InputError(f"{name} has shape {matrix.shape}; expected a number or a {size} x {size} matrix")
    if not np.allclose(matrix, matrix.T, rtol=1e-12, atol=0):
        raise InputError(f"{name} must be symmetric, got {matrix.tolist()}")
    least = float(np.linalg.eigvalsh(matrix)[0])
    if least < -SINGULAR * float(np.abs(matrix).max()):
        raise InputError(f"{name} must have no negative eigenvalue; the least of {matrix.tolist()} is {least:.6g}")
    return matrix / 2 + matrix.T / 2


def covariance_rows(value: ArrayLike | Sequence[ArrayLike], sizes: Sequence[int]) -> tuple[tuple[Matrix, ...], ...]:
    """One list of matrices per class, from a number, a matrix, one matrix per class or a list per class."""
    depth = _depth(value)
    rows: list[list[ArrayLike]]
    if depth in (0, 2):
        rows = [[value] * size for size in sizes]  # type: ignore[list-item]  # a number or a matrix, by its depth
    elif depth in (3, 4):
        entries = list(value)  # type: ignore[arg-type]
        if len(entries) != len(sizes):
            raise InputError(f"covariances has {len(entries)} entries for {len(sizes)} classes; give one per class")
        rows = [
            [*entry] if _depth(entry) == 3 else [entry] * size  # type: ignore[misc]  # iterable, by its depth
            for entry, size in zip(entries, sizes, strict=True)
        ]
    else:
        raise InputError(
            "covariances must be a number, a 2 x 2 matrix, one matrix per class, or one list of matrices per class"
        )
    out = []
    for c, (row, size) in enumerate(zip(rows, sizes, strict=True)):
        if len(row) != size:
            raise InputError(f"covariances, class {c}: {len(row)} matrices for {size} components")
        checked = [checked_covariance(v, f"covariances, class {c}") for v in row]
        for v in checked:
            values = np.linalg.eigvalsh(v)
            if values[0] <= SINGULAR * values[-1]:
                raise InputError(f"covariances, class {c}: {v.tolist()} is singular; every Gaussian needs a density")
        out.append(tuple(((float(v[0, 0]), float(v[0, 1])), (float(v[1, 0]), float(v[1, 1]))) for v in checked))
    return tuple(out)


def _depth(value: object) -> int:
    """How deep lists are nested, judged by their first entries."""
    depth = 0
    while isinstance(value, Sequence | np.ndarray) and not isinstance(value, str) and len(value):
        depth, value = depth + 1, value[0]
    return depth
