"""Checks of user input, each with a message that says what is wrong, where, and what to do."""

from __future__ import annotations

import math
import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cdp_toy.errors import InputError, MemoryRefusedError

__all__ = [
    "Array",
    "Indices",
    "Mask",
    "check_level",
    "check_probabilities",
    "class_indices",
    "finite_array",
    "refuse_if_too_large",
]

Array = NDArray[np.float64]
Mask = NDArray[np.bool_]
Indices = NDArray[np.integer[Any]]

#: How far probabilities given in double precision may miss one. Decimals such as .1 x 10 err by 1e-16 a term;
#: anything above 1e-9 is a typing error, not rounding.
SUM_TOLERANCE = 1e-9

#: The computed sum of n quotients by their sum misses one by n units in the last place at most, and by 40 up to
#: n = 2^30, for numpy adds 128 numbers in 8 strands and such blocks pairwise.
ROUNDED_SUM = 40


def finite_array(value: ArrayLike, name: str, ndim: int | None = None) -> Array:
    """Return `value` as a read-only float array, refusing NaN, infinities and a wrong number of axes."""
    try:
        array = np.array(value, dtype=np.float64)
        if np.asarray(value).dtype.kind in "US":  # NumPy reads numbers out of strings
            raise ValueError(f"got the text {value!r}")
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be an array of numbers: {error}") from None
    if ndim is not None and array.ndim != ndim:
        raise InputError(f"{name} must have {ndim} axis/axes, it has shape {array.shape}")
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        where = tuple(int(k) for k in bad[0])
        raise InputError(f"{name} must be finite; {name}{list(where) or ''} is {array[where]}")
    array.setflags(write=False)
    return array


def check_probabilities(value: ArrayLike, name: str, ndim: int) -> Array:
    """Return non-negative rows that sum to one, divided by their sum unless rounding alone explains it.

    Checked rows pass a second time unchanged, so that what was written to a file is read back bit by bit.

    >>> check_probabilities([0.7, 0.3], "priors", 1).tolist()
    [0.7, 0.3]
    """
    array = finite_array(value, name, ndim)
    if array.shape[-1] == 0:
        raise InputError(f"{name} is empty: it needs at least one probability")
    bad = np.argwhere(array < 0)
    if len(bad):
        where = tuple(int(k) for k in bad[0])
        raise InputError(f"{name} must not be negative; {name}{list(where)} is {array[where]}")
    total = np.asarray(np.ascontiguousarray(array).sum(axis=-1))  # contiguous rows are summed pairwise
    off = np.argwhere(np.atleast_1d(np.abs(total - 1.0)) > SUM_TOLERANCE)
    if len(off):
        row = int(off[0][0])
        which = name if ndim == 1 else f"{name}, row {row},"
        raise InputError(
            f"{which} must sum to 1; the sum is {np.atleast_1d(total)[row]:.12g}. "
            "Divide by the sum if these are weights."
        )
    rounded = np.abs(total - 1.0) <= min(array.shape[-1], ROUNDED_SUM) * np.finfo(np.float64).eps
    normalized = np.asarray(array / np.where(rounded, 1.0, total)[..., None])
    normalized.setflags(write=False)
    return normalized


def class_indices(value: ArrayLike, what: str) -> tuple[int, ...]:
    """Return a row of whole numbers; which classes exist is the source's matter."""
    try:
        array = np.array(value, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.full(1, np.nan)
    if array.ndim != 1 or not np.all(np.isfinite(array)) or np.any(array != np.floor(array)):
        raise InputError(f"{what} must be one row of class indices, whole numbers from 0 on; got {value!r}")
    return tuple(int(k) for k in array)


def check_level(value: float, name: str) -> float:
    """Return a distortion or perception level as a float; NaN is refused, +inf means "no constraint"."""
    try:
        level = float(value)
    except (TypeError, ValueError):
        raise InputError(f"{name} must be a number, got {value!r}") from None
    if math.isnan(level):
        raise InputError(f"{name} is NaN; give a number, or inf to drop the constraint")
    return level


def physical_memory() -> int:
    """Physical memory of this machine [bytes], or 4 GiB where the system does not tell."""
    try:
        return int(os.sysconf("SC_PAGE_SIZE")) * int(os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):  # not on Windows
        return 4 << 30


def refuse_if_too_large(n_bytes: float, what: str, remedy: str) -> None:
    """Raise before allocating when `n_bytes` exceeds half of the physical memory."""
    limit = physical_memory() / 2
    if n_bytes > limit:
        raise MemoryRefusedError(
            f"{what} would need about {n_bytes / 2**30:,.1f} GiB, more than half of this machine's memory "
            f"({limit / 2**30:,.1f} GiB); nothing was allocated. {remedy}"
        )
