"""A traced surface: proven bounds of C(D, P) on a rectangle of levels, at every place and not only at solved points."""

from __future__ import annotations

import html
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.sparse import csr_array

from cdp_toy.errors import InputError
from cdp_toy.point import Point, Status
from cdp_toy.surfaces.curves import Curve, traced_region
from cdp_toy.surfaces.geometry import BEYOND, Envelope, Hull, Polygon, Scale, lower_hull, mixture
from cdp_toy.surfaces.vertices import vertices_of
from cdp_toy.validation import Array, Mask, check_level

if TYPE_CHECKING:
    import xarray

__all__ = ["ATTAINED", "PLANES", "POINTS", "MixedPoint", "Slice", "Surface"]

#: Solved points: levels, bounds of C, prices, what the channel achieves (NaN without one).
POINTS = np.dtype(
    [(name, "f8") for name in ("P", "D", "lower", "upper", "price_distortion", "price_perception")]
    + [(name, "f8") for name in ("error_rate", "distortion", "perception")]
    + [("status", "U10"), ("solver", "U48")]
)
#: Supporting planes value + price_distortion (D - d) + price_perception (P - p) at (d, p).
PLANES = np.dtype([(name, "f8") for name in ("P", "D", "value", "price_distortion", "price_perception")])
#: Error rates that channels attain, with the levels that they need.
ATTAINED = np.dtype([(name, "f8") for name in ("P", "D", "error_rate")])


class Slice(NamedTuple):
    """Bounds along one level, the other one being fixed."""

    levels: Array
    lower: Array
    upper: Array


@dataclass(frozen=True, eq=False)
class MixedPoint(Point):
    """A place of a surface with the mixture of channels that attains its upper bound.

    Attributes
    ----------
    parts : tuple of (weight, D, P, error_rate)
        Rows of `Surface.attained`; empty where no mixture meets the levels.
    sparse_channel : scipy.sparse.csr_array of shape (n_y, n_xhat) or None
        The mixture itself, when channels were kept.
    output_law : array of shape (n_xhat,) or None
        Its output law.
    """

    parts: tuple[tuple[float, float, float, float], ...] = ()
    sparse_channel: csr_array | None = None
    output_law: Array | None = None


@dataclass(frozen=True, eq=False)
class Surface:
    """Lower and upper bounds of C(D, P) from supporting planes and attained points.

    The lower bound is the maximum of all planes; the upper one is the lower convex hull of the attained points with its
    monotone extension. Where D lies below the proven lower bound of D_min(P) both are inf; between the two bounds of
    D_min(P) neither is decided: there the lower bound is finite and the upper one inf.

    Attributes
    ----------
    distortion, perception : pairs of floats
        The rectangle that was traced, [distortion units] and [divergence units].
    tol : float
        Gap that was aimed for.
    margin : float
        The gap was to be met where D >= D_min(P) + margin.
    stopped : str
        Why tracing ended.
    points : structured array of dtype POINTS
        Solved points, sorted by (P, D).
    hyperplanes : structured array of dtype PLANES
        All planes, those of solved points among them, sorted by (P, D).
    attained : structured array of dtype ATTAINED
        All attained points, sorted by (P, D).
    boundary, floor : Curve or None
        D_min(P) and D_flat(P); None where nothing is known of them.
    about : mapping
        Problem, scope, perception and settings, as words and numbers.
    channels : tuple of csr_array, or None
        Restoration channels of `attained`, when kept.
    p_y : array of shape (n_y,) or None
        Observation law, when channels were kept.
    """

    distortion: tuple[float, float]
    perception: tuple[float, float]
    tol: float
    margin: float
    stopped: str
    points: NDArray[np.void]
    hyperplanes: NDArray[np.void]
    attained: NDArray[np.void]
    boundary: Curve | None = None
    floor: Curve | None = None
    about: Mapping[str, str | float] = field(default_factory=dict)
    channels: tuple[csr_array, ...] | None = None
    p_y: Array | None = None

    def lower(self, max_distortion: ArrayLike, max_perception: ArrayLike) -> Array:
        """Proven lower bound of C at levels D and P, broadcast against each other."""
        return self.bounds(max_distortion, max_perception)[0]

    def upper(self, max_distortion: ArrayLike, max_perception: ArrayLike) -> Array:
        """Proven upper bound of C at levels D and P, broadcast against each other."""
        return self.bounds(max_distortion, max_perception)[1]

    def gap(self, max_distortion: ArrayLike, max_perception: ArrayLike) -> Array:
        """Upper minus lower bound: 0 where infeasibility is proven, inf where it is undecided."""
        lower, upper = self.bounds(max_distortion, max_perception)
        with np.errstate(invalid="ignore"):
            return np.where(np.isposinf(lower), 0.0, upper - lower)

    @cached_property
    def max_gap(self) -> float:
        """Widest gap on the traced region: the rectangle where D >= D_min(P) + margin; inf without any point."""
        return self.widest[0]

    @cached_property
    def widest(self) -> tuple[float, float, float]:
        """Widest gap on the traced region, and the levels (D, P) where it is met."""
        if not len(self.attained):
            return math.inf, math.nan, math.nan
        corners, lower, _ = vertices_of(self._envelope, self.region, self.scale)
        if not len(corners):
            return 0.0, math.nan, math.nan
        gaps = self._hull.near(corners)[0] - lower
        k = int(np.argmax(gaps))
        return max(float(gaps[k]), 0.0), float(corners[k, 0]), float(corners[k, 1])

    @cached_property
    def region(self) -> Polygon:
        """Where the gap was to become small, in units of the rectangle."""
        if self.boundary is None:
            return Polygon.square()
        return traced_region(self.scale, self.boundary, self.margin)

    @cached_property
    def scale(self) -> Scale:
        """Units of the rectangle."""
        return Scale((self.distortion[0], self.perception[0]), (self.distortion[1], self.perception[1]))

    @cached_property
    def _envelope(self) -> Envelope:
        rows = self.hyperplanes
        prices = np.column_stack([rows["price_distortion"], rows["price_perception"]])
        return Envelope(np.column_stack([rows["D"], rows["P"]]), rows["value"], prices)

    @cached_property
    def _hull(self) -> Hull:
        return lower_hull(self.scale, self._places, self.attained["error_rate"])

    @property
    def _places(self) -> Array:
        return np.column_stack([self.attained["D"], self.attained["P"]])

    def bounds(self, max_distortion: ArrayLike, max_perception: ArrayLike) -> tuple[Array, Array]:
        """Proven lower and upper bound of C at levels D and P, broadcast against each other."""
        d, p = np.broadcast_arrays(np.asarray(max_distortion, float), np.asarray(max_perception, float))
        lower, upper, proven = self._envelope(d, p), self._hull(d, p), self._proven_infeasible(d, p)
        lower = np.where(proven, np.inf, lower)
        upper = np.where(proven, np.inf, np.maximum(upper, lower))  # rounding
        unknown = np.isnan(d) | np.isnan(p)
        return np.where(unknown, np.nan, lower), np.where(unknown, np.nan, upper)

    def reached(self, max_distortion: ArrayLike, max_perception: ArrayLike) -> Mask:
        """Whether a channel is known that meets levels D and P, where `upper` is finite; fast."""
        d, p = np.broadcast_arrays(np.asarray(max_distortion, float), np.asarray(max_perception, float))
        unit = np.minimum(self.scale.to_unit(np.column_stack([d.ravel(), p.ravel()])), BEYOND)
        return np.asarray(self._hull.domain.contains(unit).reshape(d.shape) & ~self._proven_infeasible(d, p))

    def drawn(self, max_distortion: ArrayLike, max_perception: ArrayLike) -> Array:
        """The upper bound but for rounding, fast at many levels: from facet to facet of the hull, without planes."""
        d, p = np.broadcast_arrays(np.asarray(max_distortion, float), np.asarray(max_perception, float))
        out, known = np.full(d.shape, np.inf), self.reached(d, p)
        out[known] = self._hull.near(np.column_stack([d[known], p[known]]))[0]
        return out

    def _proven_infeasible(self, d: Array, p: Array) -> Mask:
        return np.asarray((p < 0) if self.boundary is None else (p < 0) | (d < self.boundary.lower(p)))

    def slice(self, *, D: float | None = None, P: float | None = None, n: int = 401) -> Slice:
        """Bounds along the rectangle at a fixed D or a fixed P.

        Parameters
        ----------
        D, P : float
            Exactly one of them.
        n : int
            Number of equally spaced levels.

        Raises
        ------
        InputError
            When both or none of D and P are given.
        """
        if (D is None) == (P is None):
            raise InputError("give exactly one of D and P: slice(P=0.01) runs along D")
        low, high = self.perception if P is None else self.distortion
        levels = np.linspace(low, high, n)
        fixed = check_level(P if D is None else D, "P" if D is None else "D")  # type: ignore[arg-type]
        lower, upper = self.bounds(fixed, levels) if P is None else self.bounds(levels, fixed)
        return Slice(levels, lower, upper)

    def at(self, max_distortion: float, max_perception: float) -> MixedPoint:
        """The certified interval of C at one pair of levels, with the mixture of channels that attains its upper end.

        Error rate and distortion are those of the mixture; its perception is at most the mean of its parts, which is
        what `perception` holds.
        """
        d, p = check_level(max_distortion, "max_distortion"), check_level(max_perception, "max_perception")
        lower, upper = (float(bound) for bound in self.bounds(d, p))
        places, values = self._places, self.attained["error_rate"]
        used, weights = mixture(places, values, d, p, self.scale)
        if math.isinf(lower) and lower > 0:
            used, weights = used[:0], weights[:0]
        nothing = math.nan if not len(used) else 0.0
        error_rate, mean_d, mean_p = (
            nothing + float(weights @ column[used]) for column in (values, places[:, 0], places[:, 1])
        )
        status = Status.OPTIMAL if upper - lower <= self.tol else Status.INEXACT
        if math.isinf(upper):
            status = Status.INFEASIBLE if math.isinf(lower) else Status.UNDECIDED
        price_d, price_p = (float(price) for price in self.prices(d, p))
        channel, law = None, None
        if self.channels is not None and self.p_y is not None and len(used):
            kept = self.channels
            channel = csr_array(sum(w * kept[k] for w, k in zip(weights, used, strict=True)))
            law = np.asarray(self.p_y @ channel).ravel()
        return MixedPoint(
            status=status,
            scope=str(self.about.get("scope", "grid")),
            lower_bound=lower,
            upper_bound=upper,
            error_rate=error_rate,
            distortion=mean_d,
            perception=mean_p,
            max_distortion=d,
            max_perception=p,
            price_distortion=price_d,
            price_perception=price_p,
            parts=tuple(
                (float(w), float(places[k, 0]), float(places[k, 1]), float(values[k]))
                for w, k in zip(weights, used, strict=True)
            ),
            sparse_channel=channel,
            output_law=law,
        )

    def prices(self, max_distortion: ArrayLike, max_perception: ArrayLike) -> tuple[Array, Array]:
        """Prices of distortion and perception, the falls per unit of D and of P of the plane that is highest at (D, P).

        Parameters
        ----------
        max_distortion, max_perception : float or array
            Levels [distortion units], [divergence units], broadcast against each other.

        Returns
        -------
        pair of arrays of the common shape
            NaN without any plane.
        """
        d, p = np.broadcast_arrays(np.asarray(max_distortion, float), np.asarray(max_perception, float))
        if not len(self.hyperplanes):
            return np.full(d.shape, np.nan), np.full(d.shape, np.nan)
        best = self.hyperplanes[self._envelope.highest(np.column_stack([d.ravel(), p.ravel()]), 1)[0].reshape(d.shape)]
        return np.asarray(best["price_distortion"]), np.asarray(best["price_perception"])

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write a netCDF-3 file, from which `load_surface` reads the surface; see `cdp_toy.surface_files`."""
        from cdp_toy.surface_files import save_surface

        return save_surface(self, path)

    def to_csv(self, path: str | os.PathLike[str]) -> Path:
        """Write the solved points as CSV, to a file or as ``points.csv`` into a directory."""
        from cdp_toy.surface_tables import points_to_csv

        return points_to_csv(self, path)

    def to_xarray(self) -> xarray.Dataset:
        """The variables and attributes that `save` writes, as an xarray.Dataset (the extra `xarray`)."""
        from cdp_toy.surface_tables import surface_to_xarray

        return surface_to_xarray(self)

    def summary(self) -> str:
        """Few lines of text with what was traced and how well."""
        return "\n".join(f"{name:<22} {value}" for name, value in self._facts())

    def _facts(self) -> Sequence[tuple[str, str]]:
        solved = self.points[np.isin(self.points["status"], ["OPTIMAL", "INEXACT"])]
        worst = max((float(x) for x in solved["upper"] - solved["lower"]), default=math.nan)
        gap, d, p = self.widest
        facts = [
            ("surface", f"{self.about.get('problem', 'C(D, P)')}"),
            ("distortion D", f"{self.distortion[0]:.6g} to {self.distortion[1]:.6g}"),
            ("perception P", f"{self.perception[0]:.6g} to {self.perception[1]:.6g}"),
            ("widest gap", f"{gap:.2e} at (D, P) = ({d:.6g}, {p:.6g})"),
            ("aimed for", f"{self.tol:.2e}" + (f" from D_min(P) + {self.margin:.3g} on" if self.margin else "")),
            ("solved points", f"{len(solved)} of {len(self.points)} asked for, none wider than {worst:.1e}"),
            ("planes, attained", f"{len(self.hyperplanes)} and {len(self.attained)}, mixtures of solved ones included"),
        ]
        for name, curve in (("D_min(P)", self.boundary), ("D_flat(P)", self.floor)):
            if curve is not None:
                facts.append((name, f"{len(curve.brackets)} brackets, no wider than {curve.max_gap:.2e} between them"))
        return [*facts, ("stopped", self.stopped)]

    def __repr__(self) -> str:
        return f"<Surface: {len(self.points)} points, widest gap {self.max_gap:.2e}, {self.stopped}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(name)}</th><td style='text-align:left'>{html.escape(value)}"
            "</td></tr>"
            for name, value in self._facts()
        )
        return f"<table>{rows}</table>"
