"""Where a function of two levels is sampled for a picture: a mesh that follows the edge of where it is finite.

A rectangular lattice cuts D_min(P) into a staircase. Here every row begins on it,

    D = begin(P) + t (D_high - begin(P)),   t = 0, ..., 1, denser where the surface is steep,

and rows are as close as the curve asks for. Nothing is drawn here.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cdp_toy.errors import InputError
from cdp_toy.linear import LinearDenoiserFamily, PlaneLinearFamily
from cdp_toy.surfaces import Surface
from cdp_toy.validation import Array

__all__ = [
    "Mesh",
    "check_linear",
    "curve_levels",
    "finite_places",
    "first_finite",
    "is_logarithmic",
    "linear_mesh",
    "surface_mesh",
]

#: Halvings of an interval: a picture shows less than 2^-30 of it.
HALVINGS = 30
#: A curve that is known is drawn right of itself by this share: on it rounding decides.
BESIDE = 1e-12

#: A function of D and P, arrays of one shape.
TwoLevels = Callable[[Array, Array], Array]


@dataclass(frozen=True, eq=False)
class Mesh:
    """Values at places whose rows, one for each P, begin where the function does.

    Attributes
    ----------
    distortion, perception, values : arrays of shape (n_p, n_d)
    """

    distortion: Array
    perception: Array
    values: Array


def is_logarithmic(surface: Surface) -> bool:
    """Whether P is drawn on a logarithmic axis: its range spans more than a decade and begins above 0."""
    low, high = surface.perception
    return 0 < 10 * low < high


def first_finite(function: Callable[[Array], Array], low: Array, high: Array) -> Array:
    """Where a function begins to be finite between `low` and `high`, entry by entry; NaN where it is not at `high`.

    Parameters
    ----------
    function : callable
        From an array like `low` to one of its shape; finite from some place on.
    low, high : arrays of one shape

    Examples
    --------
    >>> root = lambda x: np.sqrt(x, where=x >= 0, out=np.full(x.shape, np.nan))
    >>> first_finite(root, np.array([-1.0, 2.0, -3.0]), np.array([2.0, 3.0, -1.0])).round(6).tolist()
    [0.0, 2.0, nan]
    """
    known = np.isfinite(function(low))
    outside, inside = np.array(low, dtype=np.float64), np.where(known, low, high)
    if not known.all():
        nowhere = ~np.isfinite(function(inside))
        for _ in range(HALVINGS):
            middle = (outside + inside) / 2
            finite = np.isfinite(function(middle))
            outside, inside = np.where(finite, outside, middle), np.where(finite, middle, inside)
        inside[nowhere] = np.nan
    return inside


def curve_levels(curve: Callable[[Array], Array], low: float, high: float, n: int, logarithmic: bool) -> Array:
    """Some n perception levels that show a falling curve: one half equally spaced along the axis, one along the curve.

    Parameters
    ----------
    curve : callable
        From levels P, shape (m,), to distortions.
    low, high : float
        Ends of the axis.
    n : int
    logarithmic : bool
        Whether the axis is.
    """
    space = np.geomspace if logarithmic else np.linspace
    even = np.asarray(space(low, high, n - n // 2))
    even[0], even[-1] = low, high  # rounding
    for _ in range(2):  # the second time from a curve that is known better
        heights = curve(even)
        between = np.linspace(heights[0], heights[-1], n // 2 + 2)[1:-1]
        steep = np.interp(-between, -heights, even)
        found = np.unique(np.concatenate([np.asarray(space(low, high, n - n // 2))[1:-1], steep, [low, high]]))
        even = found[(found >= low) & (found <= high)]
    return even


def finite_places(
    function: TwoLevels,
    distortion: tuple[float, float],
    perception: tuple[float, float],
    n: int,
    logarithmic: bool,
    start: Callable[[Array], Array] | None = None,
    begins: Callable[[Array], Array] | None = None,
) -> tuple[Array, Array] | None:
    """Places D and P where a function is finite: from some curve on, falling with P, to the right end of D.

    Parameters
    ----------
    function : callable
        From arrays D and P of one shape to values; inf or NaN left of the curve.
    distortion, perception : pairs of floats
        The rectangle.
    n : int
        Places along D, and about as many rows.
    logarithmic : bool
        Whether rows are spaced for a logarithmic axis of P.
    start : callable, optional
        From levels P to distortions left of which nothing is finite.
    begins : callable, optional
        From levels P to the curve itself; it is searched otherwise.

    Returns
    -------
    pair of arrays of shape (n_p, n), or None
        None where nothing is finite.
    """
    (d_low, d_high), (p_low, p_high) = distortion, perception

    def far(p: Array) -> Array:
        return function(np.full(p.shape, d_high), p)

    def begin(p: Array) -> Array:
        if begins is not None:
            curve = begins(p) * (1 + BESIDE)
            return np.where(curve <= d_high, np.maximum(curve, d_low), np.nan)
        left = np.full(p.shape, d_low) if start is None else np.clip(start(p), d_low, d_high)
        return first_finite(lambda d: function(d, p), left, np.full(p.shape, d_high))

    low = float(first_finite(far, np.array([p_low]), np.array([p_high]))[0])
    if math.isnan(low):
        return None
    levels = curve_levels(begin, low, p_high, n, logarithmic) if low < p_high else np.array([low])
    first = begin(levels)
    t = np.linspace(0, 1, n) ** 2
    d = first[:, None] + (d_high - first)[:, None] * t
    d[:, -1] = d_high  # rounding
    p = np.repeat(levels[:, None], n, axis=1)
    return d, p


def surface_mesh(surface: Surface, n: int, function: TwoLevels | None = None) -> Mesh:
    """The upper bound, or another function, over the part of the rectangle where channels are known to exist.

    Parameters
    ----------
    surface : Surface
    n : int
        Places along each axis.
    function : callable, optional
        From arrays D and P of one shape to values.

    Raises
    ------
    InputError
        When the rectangle has no area, n is less than 3, or no place of it is known to be feasible.
    """
    if n < 3:
        raise InputError(f"n must be at least 3 places along each axis, got {n}")
    for name, (low, high) in (("D", surface.distortion), ("P", surface.perception)):
        if not low < high:
            raise InputError(
                f"the surface was traced at {name} = {low:.6g} alone; plot_slices draws it along the other"
            )
    boundary = surface.boundary
    start = None if boundary is None else boundary.upper

    def known(d: Array, p: Array) -> Array:
        return np.where(surface.reached(d, p), 0.0, np.inf)

    places = finite_places(known, surface.distortion, surface.perception, n, is_logarithmic(surface), start)
    if places is None:
        raise InputError(
            "no place of the rectangle is known to be feasible: trace larger levels D and P, or more points"
        )
    return Mesh(*places, (surface.drawn if function is None else function)(*places))


def linear_mesh(linear: LinearDenoiserFamily | PlaneLinearFamily, surface: Surface, n: int) -> Mesh | None:
    """The best error rate of a linear family over the rectangle of a surface; None where it has no member there."""
    check_linear(linear)
    best, begins = linear.best_error_rate, linear.begins if isinstance(linear, LinearDenoiserFamily) else None
    places = finite_places(best, surface.distortion, surface.perception, n, is_logarithmic(surface), begins=begins)
    return None if places is None else Mesh(*places, best(*places))


def check_linear(linear: object) -> None:
    """Refuse what is no linear family."""
    if not isinstance(linear, LinearDenoiserFamily | PlaneLinearFamily):
        raise InputError(f"linear must come from cdp.linear_denoiser, got {type(linear).__name__}")
