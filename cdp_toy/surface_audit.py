"""What must be true of a traced surface, whoever made it: the judge of files before they are believed.

A file cannot prove its bounds, as potentials and costs are not in it. But its numbers can contradict each other, and
do so after most accidents: planes that lie below the surface must lie below everything that is attained, and what is
said of solved points must follow from planes and attained points.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cdp_toy.errors import SurfaceFileError
from cdp_toy.point import Status
from cdp_toy.surfaces.consistency import LEVEL_ROUNDING, ROUNDING, excesses
from cdp_toy.surfaces.curves import Curve
from cdp_toy.surfaces.geometry import Envelope
from cdp_toy.surfaces.surface import Surface
from cdp_toy.validation import SUM_TOLERANCE, Array, Mask

__all__ = ["audit"]

#: Numbers beyond are no levels, bounds or prices: products of two would overflow.
FARTHEST = 1e100
#: A level is met up to this share of the rectangle and of the level: rounding of what channels need.
SAME_LEVEL = 1e-9

#: What columns may hold: numbers; numbers or inf; numbers, inf and -inf; numbers from 0 to inf, or NaN as well.
FINITE, LEVEL, BOUND, PRICE, PERHAPS = "a finite number", "a number or inf", "a number", "a price", "a price or NaN"
COLUMNS = {
    "points": {
        **{"P": FINITE, "D": FINITE, "lower": BOUND, "upper": BOUND},
        **{"price_distortion": PERHAPS, "price_perception": PERHAPS},
    },
    "hyperplanes": {
        **{"P": FINITE, "D": FINITE, "value": FINITE},
        **{"price_distortion": PRICE, "price_perception": PRICE},
    },
    "attained": {"P": LEVEL, "D": FINITE, "error_rate": FINITE},
}
CURVE_COLUMNS = {
    "brackets": {"P": FINITE, "lower": BOUND, "upper": BOUND, "price": PERHAPS},
    "tangents": {"P": FINITE, "value": FINITE, "price": PRICE},
    "attained": {"P": LEVEL, "value": FINITE},
}


def audit(surface: Surface) -> None:
    """Refuse a surface whose numbers make no sense or contradict each other.

    Checked are signs and orders, finite numbers where these are needed, that no plane or tangent exceeds what is
    attained, that the bounds of solved points lie where planes and attained points put them, that nothing is attained
    where infeasibility is said to be proven, and that channels have rows that are laws. The work grows with the number
    of planes times that of points; memory does not.

    Parameters
    ----------
    surface : Surface

    Raises
    ------
    SurfaceFileError
        At the first contradiction; the message begins with "has" and names table and row.

    Examples
    --------
    >>> import cdp_toy as cdp, dataclasses
    >>> from cdp_toy.point import Point, Status
    >>> def bowl(d, p):
    ...     value = (1 - d) ** 2
    ...     return Point(Status.OPTIMAL, "formula", value, value, value, d, p, d, p, 2 * (1 - d), 0.0)
    >>> surface = cdp.trace(bowl, (0.0, 1.0), (0.0, 1.0), tol=0.1, progress=False)
    >>> audit(surface)
    >>> surface.hyperplanes["value"][0] += 1e-6
    >>> audit(surface)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    cdp_toy.errors.SurfaceFileError: has a plane above what is attained, by 1e-06: row 0 of ... row 0 of attained
    """
    with np.errstate(all="ignore"):
        _settings(surface)
        for name, columns in COLUMNS.items():
            _table(name, getattr(surface, name), columns)
        _points(surface)
        planes = _planes(surface.hyperplanes)
        rows = surface.attained
        _below("plane", planes, _places(rows), rows["error_rate"], "hyperplanes", "attained")
        _bounds(planes, surface)
        for name in ("boundary", "floor"):
            curve: Curve | None = getattr(surface, name)
            if curve is not None:
                _curve(name, curve)
        _feasible(surface)
        _channels(surface)


def _refuse(bad: Mask, what: str, table: str) -> None:
    if bad.any():
        raise SurfaceFileError(f"has {what} in row {int(bad.argmax())} of {table}")


def _settings(surface: Surface) -> None:
    ranges = [("distortion_range", surface.distortion), ("perception_range", surface.perception)]
    for name in ("boundary", "floor"):
        curve: Curve | None = getattr(surface, name)
        if curve is not None:
            ranges.append((f"{name}_perception_range", curve.perception))
    for name, (low, high) in ranges:
        too_short = 0 < high - low < 1 / FARTHEST  # levels are divided by it
        if not -FARTHEST <= low <= high <= FARTHEST or too_short:
            raise SurfaceFileError(
                f"has a {name} that is no pair low <= high of finite levels: ({low:.6g}, {high:.6g})"
            )
    if not surface.tol > 0:
        raise SurfaceFileError(f"has a tol that is not positive: {surface.tol:.6g}")
    if not 0 <= surface.margin <= FARTHEST:
        raise SurfaceFileError(f"has a margin that is not finite and at least 0: {surface.margin:.6g}")


def _table(name: str, table: NDArray[np.void], columns: dict[str, str]) -> None:
    for column, kind in columns.items():
        values = table[column]
        bad = np.isnan(values) if kind != PERHAPS else np.zeros(len(values), dtype=bool)
        if kind == FINITE:
            bad |= np.isinf(values)
        elif kind == LEVEL:
            bad |= np.isneginf(values)
        elif kind in (PRICE, PERHAPS):
            bad |= values < 0
        bad |= np.isfinite(values) & (np.abs(values) > FARTHEST)
        what = f"a {column} of {values[bad][0]:.6g}, where {kind} belongs," if bad.any() else ""
        _refuse(bad, what, name)
    keys = [table[key] for key in ("P", "D") if key in (table.dtype.names or ())]
    falls = keys[0][1:] < keys[0][:-1]
    if len(keys) > 1:
        falls |= (keys[0][1:] == keys[0][:-1]) & (keys[1][1:] < keys[1][:-1])
    _refuse(np.append(np.zeros(min(len(table), 1), dtype=bool), falls), "a level below the one before,", name)
    if "lower" in columns:
        _refuse(~(table["lower"] <= table["upper"] + ROUNDING), "a lower bound above the upper one", name)


def _points(surface: Surface) -> None:
    points = surface.points
    status = points["status"]
    _refuse(~np.isin(status, list(Status.__members__)), "an unknown status", "points")
    infeasible = status == Status.INFEASIBLE.name
    _refuse(infeasible != np.isposinf(points["lower"]), "a status that its bounds belie", "points")
    solved = np.isin(status, [Status.OPTIMAL.name, Status.INEXACT.name])
    _refuse(solved & ~np.isfinite(points["upper"]), "a feasible point without an upper bound", "points")


def _bounds(planes: Envelope, surface: Surface) -> None:
    """Bounds of solved points are those that their planes prove."""
    points = surface.points
    rows = np.flatnonzero(np.isfinite(points["upper"]))
    solved = points[rows]
    _below("plane", planes, _places(solved), solved["upper"], "hyperplanes", "points", rows)
    rows = np.flatnonzero(np.isfinite(points["lower"]))
    solved = points[rows]
    prices = np.stack([solved["price_distortion"], solved["price_perception"]])
    levels = np.abs([solved["D"], solved["P"]])
    paid = np.where(np.isfinite(prices), prices * levels, 0.0).sum(axis=0)
    _proven(planes, _places(solved), solved["lower"] - ROUNDING - LEVEL_ROUNDING * paid, rows, "points")


def _curve(name: str, curve: Curve) -> None:
    """A curve is a surface that does not depend on D."""
    for part, columns in CURVE_COLUMNS.items():
        _table(f"{name}_{part}", getattr(curve, part), columns)
    tangents = _tangents(curve)
    for part, column in (("attained", "value"), ("brackets", "upper")):
        table = getattr(curve, part)
        rows = np.flatnonzero(np.isfinite(table[column]))
        kept = table[rows]
        _below("tangent", tangents, _levels(kept), kept[column], f"{name}_tangents", f"{name}_{part}", rows)
    rows = np.flatnonzero(np.isfinite(curve.brackets["lower"]))
    kept = curve.brackets[rows]
    paid = np.where(np.isfinite(kept["price"]), kept["price"] * np.abs(kept["P"]), 0.0)
    _proven(tangents, _levels(kept), kept["lower"] - ROUNDING - LEVEL_ROUNDING * paid, rows, f"{name}_brackets")


def _feasible(surface: Surface) -> None:
    """Nothing is attained where infeasibility is proven: left of D_min(P), or at points that are said to be so."""
    attained, size = surface.attained, surface.scale.size
    if not len(attained):
        return
    if surface.boundary is not None:
        slack = SAME_LEVEL * max(1.0, size[0], float(np.abs(attained["D"]).max()))
        for found in excesses(_tangents(surface.boundary), _levels(attained), attained["D"], slack):
            raise SurfaceFileError(
                f"has a D in row {found.point} of attained that lies {found.amount:.3g} below D_min(P), as row "
                f"{found.plane} of boundary_tangents proves it"
            )
    rows = np.flatnonzero(surface.points["status"] == Status.INFEASIBLE.name)
    levels = _places(surface.points[rows])
    d, p = (levels - SAME_LEVEL * np.maximum(size, np.abs(levels))).T
    least = np.minimum.accumulate(attained["D"])
    count = np.searchsorted(attained["P"], p, side="right")
    bad = (count > 0) & (least[np.maximum(count - 1, 0)] <= d)
    if bad.any():
        raise SurfaceFileError(
            f"has an infeasible point in row {int(rows[bad.argmax()])} of points whose levels a row of attained meets"
        )


def _channels(surface: Surface) -> None:
    if surface.p_y is None or surface.channels is None:
        return
    law = surface.p_y
    if not (np.all(law >= 0) and abs(float(law.sum()) - 1) <= SUM_TOLERANCE):
        raise SurfaceFileError("has a p_y that is no law: entries must not be negative, and sum to 1")
    for k, channel in enumerate(surface.channels):
        if not np.all((channel.data >= 0) & (channel.data <= 1 + SUM_TOLERANCE)):
            raise SurfaceFileError(f"has an entry that is no probability in channel {k}")
        total = np.asarray(channel.sum(axis=1)).ravel()
        off = ~(np.abs(total - 1) <= SUM_TOLERANCE) & ((law > 0) | (total != 0))  # who never appears needs no row
        _refuse(off, f"probabilities that sum to {total[off][0]:.9g}" if off.any() else "", f"channel {k}")


# planes and places


def _planes(rows: NDArray[np.void]) -> Envelope:
    return Envelope(_places(rows), rows["value"], np.column_stack([rows["price_distortion"], rows["price_perception"]]))


def _tangents(curve: Curve) -> Envelope:
    rows = curve.tangents
    return Envelope(_levels(rows), rows["value"], np.column_stack([np.zeros(len(rows)), rows["price"]]))


def _places(rows: NDArray[np.void]) -> Array:
    return np.column_stack([rows["D"], rows["P"]])


def _levels(rows: NDArray[np.void]) -> Array:
    return np.column_stack([np.zeros(len(rows)), rows["P"]])


def _below(
    kind: str,
    planes: Envelope,
    places: Array,
    values: Array,
    table: str,
    other: str,
    rows: NDArray[np.intp] | None = None,
) -> None:
    for found in excesses(planes, places, values):
        row = found.point if rows is None else int(rows[found.point])
        raise SurfaceFileError(
            f"has a {kind} above what is attained, by {found.amount:.3g}: row {found.plane} of {table}, row {row} of "
            f"{other}"
        )


def _proven(planes: Envelope, places: Array, claims: Array, rows: NDArray[np.intp], table: str) -> None:
    """Lower bounds are no higher than the highest plane, so neither higher than what is attained around them."""
    missed = claims - planes(places[:, 0], places[:, 1])
    if not np.all(missed <= 0):
        k = int(np.argmax(~(missed <= 0)))
        raise SurfaceFileError(
            f"has a lower bound in row {int(rows[k])} of {table} that none of {len(planes.values)} planes proves"
        )
