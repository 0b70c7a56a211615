"""Sources given by density functions: every integral is an adaptive quadrature with an error estimate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike
from scipy.integrate import quad_vec
from scipy.special import ndtr

from cdp_toy.errors import InputError
from cdp_toy.normal import interval_mass
from cdp_toy.sources.base import CellIntegrals, LineSource
from cdp_toy.validation import Array, Indices, check_probabilities, finite_array

__all__ = ["DensitySource"]

#: a density that misses one by more is refused, by less is divided by its integral
INTEGRAL_TOLERANCE = 1e-6
#: Panels to start with, most of them, and how often one is halved: a jump that was not declared takes 50, a density
#: like 1 / sqrt(x) at 0 takes 75.
FIRST_PANELS, MOST_PANELS, HALVINGS = 64, 4000, 80
PANEL_NODES, PANEL_WEIGHTS = np.polynomial.legendre.leggauss(10)
#: A second moment of which more than this share comes from beyond 1e9 has a tail like |x|^-3.4 or heavier; up to there
#: what lies beyond the largest place that is sampled, 1e16, is 4e-7 of it.
FAR, FAR_SHARE = 1e9, 1e-4
#: a panel is resolved when halving it moves its mass, or its share of E[X^2], by less
RESOLVED = 1e-12
#: Distances from an edge, in noise_std, where integrals over noise are split. Beyond the last the tail is 0.
SPLITS = np.array([0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 39.0])
#: Tolerance of the quadrature, absolute and relative, in units of the standard deviation of X.
TOLERANCE, QUADRATURE_PANELS = 1e-12, 200
#: steps per panel of the table that draws are inverted from
STEPS = 64


@dataclass(frozen=True, eq=False)
class DensitySource(LineSource):
    """One-dimensional source whose every class has a density function.

    p(x | c) = densities[c](x) / (its integral over the support).

    Integrals are adaptive quadratures, so grids of this source bound the continuous problem up to an error that is
    estimated (`cell_integrals_with_error`) and not proven. Draws invert a tabulated distribution function.

    Parameters
    ----------
    priors : sequence of K floats
        Class probabilities P_c.
    densities : sequence of K functions
        Each maps an array of shape (n,) to densities of the same shape [1/units of x].
    support : (low, high), optional
        Interval outside of which all densities are zero [units of x]; either end may be infinite.
    breakpoints : sequence of floats, optional
        Places inside of the support where a density jumps or has a kink, or where a narrow peak sits.

    Raises
    ------
    InputError
        When a function is not vectorised, negative or not finite, when its integral is not one within 1e-6, or when it
        has no second moment.

    Examples
    --------
    >>> triangle = DensitySource((1.0,), [lambda x: 1 - np.abs(x)], support=(-1.0, 1.0), breakpoints=(0.0,))
    >>> cells, error = triangle.cell_integrals_with_error([-1.0, 0.5, 1.0])
    >>> cells.mass.round(9).tolist(), error < 1e-9
    ([[0.875, 0.125]], True)
    """

    exact: ClassVar[bool] = False

    priors: tuple[float, ...]
    densities: tuple[Callable[[Array], Array], ...]
    support: tuple[float, float] = (-math.inf, math.inf)
    breakpoints: tuple[float, ...] = ()

    def __init__(
        self,
        priors: Sequence[float] | Array,
        densities: Sequence[Callable[[Array], Array]],
        support: Sequence[float] = (-math.inf, math.inf),
        breakpoints: Sequence[float] | Array = (),
    ) -> None:
        checked = tuple(check_probabilities(priors, "priors", 1).tolist())
        if not isinstance(densities, Sequence) or not all(callable(density) for density in densities):
            raise InputError(f"densities must be a list of functions, one per class; got {densities!r}")
        if len(densities) != len(checked):
            raise InputError(f"densities has {len(densities)} entries for {len(checked)} priors; give one per class")
        low, high = _checked_support(support)
        marks = np.unique(finite_array(breakpoints, "breakpoints", 1))
        if np.any((marks <= low) | (marks >= high)):
            raise InputError(f"breakpoints must lie inside of the support ({low}, {high}), got {marks.tolist()}")
        object.__setattr__(self, "priors", checked)
        object.__setattr__(self, "densities", tuple(densities))
        object.__setattr__(self, "support", (low, high))
        object.__setattr__(self, "breakpoints", tuple(marks.tolist()))
        self._check_integrals()

    # integrals

    def cell_integrals(self, edges: ArrayLike, noise_std: float = 0.0, centre: ArrayLike = 0.0) -> CellIntegrals:
        """Integrals over cells, for each class; see `LineSource.cell_integrals`."""
        return self.cell_integrals_with_error(edges, noise_std, centre)[0]

    def cell_integrals_with_error(
        self, edges: ArrayLike, noise_std: float = 0.0, centre: ArrayLike = 0.0
    ) -> tuple[CellIntegrals, float]:
        """Integrals over cells, and the estimated absolute error of the least accurate entry.

        Parameters
        ----------
        edges, noise_std, centre
            As for `LineSource.cell_integrals`.

        Returns
        -------
        integrals : CellIntegrals
            Three arrays of shape (K, n).
        error : float
            Estimate by the quadrature rule, of masses, first [units of x] and second moments [squared units of x].
        """
        ends = np.asarray(edges, dtype=np.float64)
        low, high = ends[:-1], ends[1:]
        centres = np.broadcast_to(np.asarray(centre, dtype=np.float64), low.shape)
        spread = self._spread
        if noise_std == 0:
            panels = self._panels(low, high, np.empty((len(low), 0)))
        else:
            reach = np.concatenate([-SPLITS[::-1], SPLITS]) * noise_std
            splits = np.concatenate([low[:, None] + reach, high[:, None] + reach], axis=1)
            panels = self._panels(low - SPLITS[-1] * noise_std, high + SPLITS[-1] * noise_std, splits)

        def powers(x: Array, cell: Indices) -> Array:
            lever = (x - centres[cell]) / spread
            inside = np.ones_like(x)
            if noise_std > 0:
                inside = interval_mass((low[cell] - x) / noise_std, (high[cell] - x) / noise_std)
            return np.stack([inside, inside * lever, inside * lever**2])[:, None]

        parts, error = self._integrate(len(low), panels, powers)
        scales = np.array([1.0, spread, spread**2])
        return CellIntegrals(*(parts * scales[:, None, None])), float((error + self._resolved[2]) * scales.max())

    def log_density(self, x: Array, noise_std: float = 0.0) -> Array:
        """Logarithms of the class-conditional densities; with noise by quadrature, shape (K, len(x))."""
        y = np.asarray(x, dtype=np.float64)
        if noise_std == 0:
            with np.errstate(divide="ignore"):
                return np.log(self._densities(y) / self._integrals[:, None])
        # relative to the normal density at the nearest place where the class has mass, so that tails do not underflow
        at = np.stack([np.clip(y, *hull) for hull in self._hulls])
        nearest = np.abs(y - at) / noise_std
        reach = np.concatenate([-SPLITS[::-1], SPLITS]) * noise_std
        splits = np.concatenate([place[:, None] + reach for place in (y, *at)], axis=1)
        panels = self._panels(splits.min(axis=1), splits.max(axis=1), splits)

        def kernel(x: Array, which: Indices) -> Array:
            z, d = np.abs(y[which] - x) / noise_std, nearest[:, which]
            return np.exp(np.minimum((d - z) * (d + z) / 2, 0.0))[None]

        parts, _ = self._integrate(len(y), panels, kernel)
        with np.errstate(divide="ignore"):
            return np.asarray(np.log(parts[0]) - nearest**2 / 2 - math.log(math.sqrt(2 * math.pi) * noise_std))

    def bounds(self, noise_std: float = 0.0, n_std: float = 5.0) -> tuple[float, float]:
        """Interval that leaves, class by class, as little on either side as a normal law beyond n_std (3e-7 for 5).

        With noise it is widened by n_std * noise_std.
        """
        left = float(ndtr(-n_std))
        used = [c for c, prior in enumerate(self.priors) if prior > 0]
        grid, below, above = self._table
        low = min(float(np.interp(left, below[c], grid)) for c in used)
        high = max(float(np.interp(left, above[c][::-1], grid[::-1])) for c in used)
        ends = self._to_line(np.array([low, high]))
        return float(ends[0]) - n_std * noise_std, float(ends[1]) + n_std * noise_std

    # draws

    def sample(self, size: int, rng: np.random.Generator) -> tuple[Indices, Array]:
        """Draw pairs (class, x), by inversion of a tabulated distribution function."""
        classes = self.sample_classes(size, rng)
        grid, below, _ = self._table
        u, out = rng.random(size), np.empty(size)
        for c in range(self.n_classes):
            mine = classes == c
            out[mine] = np.interp(u[mine], below[c], grid)
        return classes, self._to_line(out)

    def sample_cells(self, low: Array, high: Array, rng: np.random.Generator) -> Array:
        """Draw one X from p_X conditioned to each interval (low[i], high[i]], by inversion of a table."""
        low, high = np.broadcast_arrays(np.asarray(low, float), np.asarray(high, float))
        grid, below, above = self._table
        rising, falling = np.asarray(self.priors) @ below, np.asarray(self.priors) @ above
        left, right = self._from_line(low), self._from_line(high)
        u = rng.random(low.shape)
        # from the nearer tail, where differences of the table keep their digits
        up = np.interp(left, grid, rising) > 0.5
        a, b = np.interp(left, grid, rising), np.interp(right, grid, rising)
        c, d = np.interp(left, grid, falling), np.interp(right, grid, falling)
        from_left = np.interp(a + u * (b - a), rising, grid)
        from_right = np.interp(c + u * (d - c), falling[::-1], grid[::-1])
        drawn = np.where(up, from_right, from_left)
        drawn = np.where(np.where(up, c > d, b > a), drawn, left + u * (right - left))  # no mass that the table knows
        return np.clip(self._to_line(drawn), low, high)

    # the line as a finite interval: v = x where the support is finite, else x runs off as v nears -1 or 1

    def _to_line(self, v: Array) -> Array:
        low, high = self.support
        with np.errstate(divide="ignore"):
            if math.isfinite(low) and math.isfinite(high):
                return v
            if math.isfinite(low):
                return low + v / (1 - v)
            if math.isfinite(high):
                return high + v / (1 + v)
            return self._middle + v / ((1 - v) * (1 + v))

    def _heights(self, v: Array) -> tuple[Array, Array]:
        """Places x of `v`, and p(x | c) dx/dv as the functions are given; nothing where v rounds to an infinite x."""
        low, high = self.support
        x = self._to_line(v)
        with np.errstate(divide="ignore"):
            if math.isfinite(low) and math.isfinite(high):
                slope = np.ones_like(v)
            elif math.isfinite(low):
                slope = (1 - v) ** -2.0
            elif math.isfinite(high):
                slope = (1 + v) ** -2.0
            else:
                slope = (1 + v**2) / ((1 - v) * (1 + v)) ** 2
        inside = np.isfinite(x) & np.isfinite(slope)
        x = np.where(inside, x, 0.0)
        return x, self._densities(x) * np.where(inside, slope, 0.0)

    def _from_line(self, x: Array) -> Array:
        low, high = self.support
        x = np.clip(x, low, high)
        with np.errstate(invalid="ignore"):  # inf / inf, at infinity
            if math.isfinite(low) and math.isfinite(high):
                return x
            if math.isfinite(low):
                return np.where(np.isposinf(x), 1.0, (x - low) / (1 + (x - low)))
            if math.isfinite(high):
                return np.where(np.isneginf(x), -1.0, (x - high) / (1 - (x - high)))
            y = x - self._middle
            return np.where(np.isinf(x), np.sign(x), 2 * y / (1 + np.hypot(1, 2 * y)))

    @property
    def _middle(self) -> float:
        return float(np.mean(self.breakpoints)) if self.breakpoints else 0.0

    # quadrature

    def _densities(self, x: Array) -> Array:
        """The functions as they are given at points of shape (n,), zero outside of the support, shape (K, n)."""
        low, high = self.support
        inside = (x >= low) & (x <= high)
        points = x[inside]
        out = np.zeros((len(self.densities), len(x)))
        for c, density in enumerate(self.densities):
            try:
                with np.errstate(all="ignore"):
                    found = np.asarray(density(points), dtype=np.float64)
            except Exception as error:
                raise InputError(
                    f"densities, class {c}: the function failed on an array of shape {points.shape} ({error}); it must "
                    "map an array of shape (n,) to densities of shape (n,), which np.vectorize does for any function"
                ) from error
            if found.shape != points.shape:
                raise InputError(
                    f"densities, class {c}: the function must map an array of shape {points.shape} to densities of the "
                    f"same shape; it returned shape {found.shape}"
                )
            bad = np.flatnonzero(~((found >= 0) & (found < np.inf)))
            if len(bad):
                raise InputError(
                    f"densities, class {c}: must be finite and not negative; at x = {points[bad[0]]:g} it is "
                    f"{found[bad[0]]:g}"
                )
            out[c, inside] = found
        return out

    @cached_property
    def _resolved(self) -> tuple[Array, Array, float]:
        """Panels on which every density is smooth: their ends (in v), integrals and error.

        The integrals are those of 1, x and x^2, shape (K, 3, panels); the error is relative to the whole of them.
        """
        first, last = self._from_line(np.array(self.support))
        marks = self._from_line(np.array(self.breakpoints))
        ends = np.unique(np.concatenate([np.linspace(first, last, FIRST_PANELS + 1), marks]))
        low, high = ends[:-1], ends[1:]
        whole = self._by_gauss(low, high)
        lows: list[Array] = []
        parts: list[Array] = []
        error = 0.0
        for halving in range(HALVINGS + 1):
            middle = (low + high) / 2
            left, right = self._by_gauss(low, middle), self._by_gauss(middle, high)
            total = sum(p.sum(axis=2) for p in parts) + whole.sum(axis=2)
            moved = np.abs(left + right - whole)[:, [0, 2]] / np.maximum(total[:, [0, 2], None], 1e-300)
            done = np.all(moved <= RESOLVED, axis=(0, 1)) | (middle <= low) | (middle >= high)
            if halving == HALVINGS or 2 * len(low) + len(lows) > MOST_PANELS:
                done[:] = True
            lows.append(low[done])
            error += float(moved[..., done].sum(axis=2).max(initial=0.0))
            parts.append((left + right)[..., done])
            if done.all():
                break
            low, high, middle = low[~done], high[~done], middle[~done]
            whole = np.concatenate([left[..., ~done], right[..., ~done]], axis=2)
            low, high = np.concatenate([low, middle]), np.concatenate([middle, high])
        starts = np.concatenate(lows)
        order = np.argsort(starts)
        return np.append(starts[order], last), np.concatenate(parts, axis=2)[..., order], error

    def _by_gauss(self, low: Array, high: Array) -> Array:
        """Integrals of 1, x, x^2 against every density over panels of v, shape (K, 3, panels)."""
        v = low[:, None] + (high - low)[:, None] * (1 + PANEL_NODES) / 2
        x, heights = self._heights(v.ravel())
        parts = np.stack([heights * x**k for k in range(3)], axis=1).reshape(-1, 3, *v.shape)
        return np.asarray((parts @ PANEL_WEIGHTS) * (high - low) / 2)

    def _check_integrals(self) -> None:
        ends, parts, error = self._resolved
        middle = self._to_line((ends[:-1] + ends[1:]) / 2)
        for c, second in enumerate(parts[:, 2]):
            far = second[np.abs(middle) > FAR].sum() if np.inf in np.abs(self.support) else 0.0
            if error > INTEGRAL_TOLERANCE or far > FAR_SHARE * second.sum():
                raise InputError(
                    f"densities, class {c}: the integral or the second moment does not settle; a source needs a "
                    "density with a finite second moment and few jumps. Cut heavy tails by a finite support, declare "
                    "jumps as breakpoints"
                )
        for c, integral in enumerate(self._integrals.tolist()):
            if abs(integral - 1) > INTEGRAL_TOLERANCE:
                remedy = "divide the function by it"
                if integral < 0.5:
                    remedy += ", or where a narrow peak was missed give a finite support close around the density"
                raise InputError(
                    f"densities, class {c}: the integral over the support {self.support} is {integral:.9g}, not 1; "
                    f"{remedy}"
                )

    @cached_property
    def _integrals(self) -> Array:
        """Integral of every function, shape (K,)."""
        return np.asarray(self._resolved[1][:, 0].sum(axis=1))

    @cached_property
    def _hulls(self) -> list[tuple[float, float]]:
        """Smallest interval of panels that holds all of a class, class by class."""
        ends, parts, _ = self._resolved
        x = self._to_line(ends)
        used = [np.flatnonzero(mass > 0) for mass in parts[:, 0]]
        return [(float(x[panels[0]]), float(x[panels[-1] + 1])) for panels in used]

    @cached_property
    def _spread(self) -> float:
        """Standard deviation of X, the unit of the quadrature's tolerance."""
        mass, first, second = np.asarray(self.priors) @ self._resolved[1].sum(axis=2)
        return math.sqrt(max(second / mass - (first / mass) ** 2, 1e-300))

    def _panels(self, low: Array, high: Array, splits: Array) -> tuple[Array, Array, Indices]:
        """Cut the intervals [low, high] at the ends of the resolved panels and at their own splits.

        Returns lower and upper ends (in v) of all pieces and the interval that each belongs to.
        """
        knots = self._resolved[0]
        first, last = (self._from_line(end)[:, None] for end in (low, high))
        cuts = np.concatenate([np.broadcast_to(knots, (len(low), len(knots))), self._from_line(splits), first, last], 1)
        cuts = np.sort(np.clip(cuts, first, last), axis=1)
        which, piece = np.nonzero(np.diff(cuts) > 0)
        return cuts[which, piece], cuts[which, piece + 1], which

    def _integrate(
        self, n: int, panels: tuple[Array, Array, Indices], weight: Callable[[Array, Indices], Array]
    ) -> tuple[Array, float]:
        """Integrate weight(x, i) p(x | c) over the panels of each of n intervals i, all at once.

        `weight` returns an array of shape (m, 1, panels) or (m, K, panels); the result has shape (m, K, n).
        """
        low, high, which = panels
        if not len(which):
            m = len(weight(np.zeros(0), which))
            return np.zeros((m, self.n_classes, n)), 0.0
        occurring, starts = np.unique(which, return_index=True)

        def at(u: float) -> Array:
            v = low + u * (high - low)
            x, heights = self._heights(v)
            product = weight(x, which) * (heights * ((high - low) / self._integrals[:, None]))
            return np.asarray(np.add.reduceat(product, starts, axis=2))

        found, error = quad_vec(at, 0.0, 1.0, epsabs=TOLERANCE, epsrel=TOLERANCE, norm="max", limit=QUADRATURE_PANELS)
        out = np.zeros((*found.shape[:2], n))
        out[..., occurring] = found
        return out, float(error)

    @cached_property
    def _table(self) -> tuple[Array, Array, Array]:
        """Places v, and the mass of every class below and above them, shapes (G,), (K, G), (K, G)."""
        ends, parts, _ = self._resolved
        share = np.arange(STEPS) / STEPS
        grid = np.append((ends[:-1, None] + np.diff(ends)[:, None] * share).ravel(), ends[-1])
        middle = (grid[:-1] + grid[1:]) / 2
        step = self._heights(middle)[1] * np.diff(grid)
        step = step.reshape(self.n_classes, -1, STEPS)
        total = step.sum(axis=2)
        step *= np.divide(parts[:, 0], total, out=np.zeros_like(total), where=total > 0)[..., None]
        step = step.reshape(self.n_classes, -1) / step.sum(axis=(1, 2))[:, None]
        none = np.zeros((self.n_classes, 1))
        below = np.concatenate([none, np.cumsum(step, axis=1)], axis=1)
        above = np.concatenate([np.cumsum(step[:, ::-1], axis=1)[:, ::-1], none], axis=1)
        return grid, below, above


def _checked_support(support: Sequence[float]) -> tuple[float, float]:
    """Return an interval, which may be infinite."""
    try:
        low, high = (float(end) for end in support)
    except (TypeError, ValueError):
        raise InputError(f"support must be an interval (low, high), got {support!r}") from None
    if not low < high:
        raise InputError(f"support must be an interval (low, high) with low < high, got ({low}, {high})")
    return low, high
