"""The sandwich: a convex, non-increasing function of two levels between planes and a hull, made thinner where it gapes.

The bounds are farthest apart at a vertex of the lower one. There either a solver is asked, or, at next to no cost, what
is known around the vertex is mixed: the certificates of the planes that meet there, which prove a plane that lies
higher, and the channels at the corners of the facet above, which attain a point that lies lower. What is made of them
is proven by itself, and solvers are only asked where it is not good enough.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from cdp_toy.errors import ContradictionError
from cdp_toy.surfaces.consistency import excesses
from cdp_toy.surfaces.geometry import Envelope, Hull, Polygon, Scale, lower_hull
from cdp_toy.tracing.mixtures import Attained, Mixer, Plane, Wish, useful
from cdp_toy.tracing.patches import Look, Patch, everywhere, nearby, patch_around
from cdp_toy.validation import Array, Indices, Mask

__all__ = ["Sandwich"]

#: Another round is worth while when the last one closed this share of what is open.
WORTHWHILE = 0.1
#: Where a round took no more than this share of all planes, what it left open is looked for around them alone.
FEW = 0.02
#: With so many planes a round takes longer than the solves that it could spare.
MANY = 5000
#: Gaps are closed down to the tolerance times a power of this, then to the next: what solvers say is best known before
#: much is mixed from it. 6 to 16 made no difference of a tenth.
LEVELS = 8
#: Mixtures at neighbours do not wait for each other where gaps are so many times wider than what comes next, and places
#: are well inside of their facets, with such weights of the corners: a mixture at every facet makes gaps a third.
AHEAD, INSIDE = 3, 0.2
#: Places this near to one that was asked for, in units of the rectangle, are the same.
SAME = 1e-9
#: Tables without rows.
NO_PLANES, NO_POINTS = np.zeros((0, 5)), np.zeros((0, 3))


class _Wanted(NamedTuple):
    hoped: float  # for a gap, by mixing
    gap: float
    d: float
    p: float
    lower: float = -np.inf
    corners: tuple[int, ...] = ()  # attained points around it, by number
    prices: tuple[float, float] = (0.0, 0.0)


#: Moves a place of a given gap, whose highest plane has the given prices, to where a solver can be asked.
Move = Callable[[float, float, float, tuple[float, float]], tuple[float, float]]


@dataclass(eq=False)
class Sandwich:
    """Lower and upper bounds of a convex, non-increasing function on a region, and where to look next.

    Attributes
    ----------
    scale : Scale
    region : Polygon or None
        Where the gap has to become small, in units of the rectangle; None for the part of the rectangle where the upper
        bound is finite.
    tol : float
        Gap to aim for.
    mixer : Mixer, optional
    move : callable, optional
        Moves a place (d, p) with its gap and the prices there to where a solver is asked.
    planes, attained : lists
        What is proven and what is attained.
    gap : float
        Widest gap when `propose` was called last, or a bound of it.

    Examples
    --------
    >>> sandwich = Sandwich(Scale((0.0, 0.0), (1.0, 1.0)), Polygon.square(), 0.01)
    >>> while places := sandwich.propose(1):
    ...     for d, p in places:
    ...         value = (1 - d) ** 2 + (1 - p) ** 2
    ...         sandwich.take(Plane(d, p, value, 2 * (1 - d), 2 * (1 - p)), [Attained(d, p, value)])
    >>> sandwich.gap <= 0.01, len(sandwich.planes) < 200
    (True, True)
    """

    scale: Scale
    region: Polygon | None
    tol: float
    mixer: Mixer | None = None
    move: Move | None = None
    planes: list[Plane] = field(default_factory=list)
    attained: list[Attained] = field(default_factory=list)
    gap: float = np.inf
    _most: float = np.inf
    _asked: list[Array] = field(default_factory=list)
    _hopes: dict[tuple[int, ...], float] = field(default_factory=dict)
    _patch: Patch | None = None
    _plane_table: Array = field(default_factory=lambda: NO_PLANES)
    _attained_table: Array = field(default_factory=lambda: NO_POINTS)

    def envelope(self) -> Envelope:
        """Maximum of the planes."""
        return _envelope(self._planes())

    def hull(self) -> Hull:
        """Lower hull of what is attained."""
        points = self._points()
        return lower_hull(self.scale, points[:, :2], points[:, 2])

    def _planes(self) -> Array:
        """Numbers of the planes, shape (n, 5)."""
        self._plane_table = _grown(self._plane_table, self.planes)
        return self._plane_table

    def _points(self) -> Array:
        """Numbers of the attained points, shape (n, 3)."""
        self._attained_table = _grown(self._attained_table, self.attained)
        return self._attained_table

    def take(self, plane: Plane | None, attained: Sequence[Attained]) -> None:
        """Take what a solver proved.

        Raises
        ------
        ContradictionError
            When a plane exceeds an attained value: then the function is not convex and non-increasing, or a bound is
            wrong.
        """
        new_planes = [] if plane is None else [plane]
        self._refuse(_grown(NO_PLANES, new_planes), np.concatenate([self._points(), _grown(NO_POINTS, attained)]))
        self._refuse(self._planes(), _grown(NO_POINTS, attained))
        self.planes += new_planes
        self.attained += attained

    def _refuse(self, planes: Array, points: Array) -> None:
        """Refuse planes that exceed attained values."""
        if not len(planes) or not len(points):
            return
        for found in excesses(_envelope(planes), points[:, :2], points[:, 2]):
            (plane_d, plane_p), (d, p, value) = planes[found.plane, :2], points[found.point]
            raise ContradictionError(
                f"bounds contradict each other by {found.amount:.3g}: the supporting plane of ({plane_d:.9g}, "
                f"{plane_p:.9g}) has value {value + found.amount:.9g} at ({d:.9g}, {p:.9g}), where {value:.9g} is "
                "attained; the function is not convex and non-increasing, or one of the two is wrong",
                (float(plane_d), float(plane_p)),
                (float(d), float(p)),
            )

    def propose(self, count: int) -> list[tuple[float, float]]:
        """Up to `count` places to solve next; none when the gap is at most `tol`, or nothing is left to be asked.

        `gap` is the widest gap on the region when it returns none, and that before the last mixtures otherwise.
        """
        while True:
            wanted, taken = self._rounds()
            wanted.sort(key=lambda place: -place.hoped)
            places = self._chosen(wanted, count)
            if not places and not taken and count > 0 and self.mixer is not None and self._level > self.tol:
                # where solvers have said what they can; elsewhere more may be mixed
                self._most = self._level / LEVELS
            elif places or not taken:
                return places

    def _rounds(self) -> tuple[list[_Wanted], int]:
        """Mix as long as that closes a good part of the vertices that are too wide.

        Returns
        -------
        wanted : list
            Those that are left.
        taken : int
            How many mixtures were taken in the last round: where there are some, there may be more.
        """
        while True:
            wanted, taken = self._round()
            if not wanted and 0 < taken <= FEW * len(self.planes) and self._closed_nearby():
                if self.gap <= self.tol:
                    return [], 0
                continue
            if taken <= WORTHWHILE * len(wanted) or (wanted and len(self.planes) > MANY):
                break
        if taken:
            wanted = self._still_wide(wanted, taken)
        return self._priced(wanted), taken

    def _priced(self, wanted: list[_Wanted]) -> list[_Wanted]:
        """With the prices of the plane that is highest at each place."""
        places = np.array([place[2:4] for place in wanted]).reshape(-1, 2)
        envelope = self.envelope().tangent
        if not len(envelope.values):
            return wanted
        prices = envelope.prices[envelope.highest(places, 1)[0]]
        return [place._replace(prices=(float(d), float(p))) for place, (d, p) in zip(wanted, prices, strict=True)]

    @property
    def _level(self) -> float:
        """Gap of the vertices that come next."""
        level = self.tol
        while level * LEVELS < self.gap < np.inf and level * LEVELS <= self._most:
            level *= LEVELS
        return level

    def _still_wide(self, wanted: list[_Wanted], taken: int) -> list[_Wanted]:
        """Places where the bounds are too far apart after the last mixtures, nearby, were taken."""
        places = np.array([place[2:4] for place in wanted]).reshape(-1, 2)
        # bounds from few of the planes and of the points are bounds
        lower = _envelope(self._planes()[-taken:]).tangent(*places.T)
        used = sorted({i for place in wanted for i in place.corners if i >= 0})
        points = np.concatenate([self._points()[used], self._points()[-taken:]])
        upper = lower_hull(self.scale, points[:, :2], points[:, 2])(*places.T)
        found = []
        for place, low, high in zip(wanted, lower.tolist(), upper.tolist(), strict=True):
            gap = min(place.gap, high - max(place.lower, low), place.gap - max(low - place.lower, 0.0))
            if gap > self.tol:
                found.append(place._replace(gap=gap, hoped=min(place.hoped, gap)))
        return found

    def _round(self) -> tuple[list[_Wanted], int]:
        """Look at every vertex where bounds are too far apart: take mixtures that do, return the other places."""
        hull = self.hull()
        look = everywhere(self.envelope(), hull, self.region or Polygon.square().intersected(hull.domain), self.scale)
        self.gap = float(np.max(look.gaps, initial=0.0)) if len(self.attained) else np.inf
        if self.mixer is None or not len(hull.heights):
            return _wanted(look.wider(self.tol)), 0
        return self._mixed(look.wider(self._level), hull)

    def _closed_nearby(self) -> bool:
        """Whether mixtures bring all gaps down to the level of the last round; only what it left is looked at."""
        patch, level = self._patch, self._level
        while patch is not None and self.region is not None:
            look = nearby(self.envelope(), self._points(), patch, self.region, self.scale, level)
            if look is None:
                break
            if not len(look.places):
                self.gap = level
                return True
            wanted, taken = self._mixed(look, patch.hull)
            if wanted or not taken:
                break
            patch = self._patch
        return False

    def _mixed(self, look: Look, hull: Hull) -> tuple[list[_Wanted], int]:
        """Take mixtures for all places of a look that do; return the other places."""
        self._patch = patch_around(look, (len(self.planes), len(self.attained)), hull)
        waits = (look.gaps < AHEAD * self._level)[:, None] | ~(look.weights >= INSIDE)
        return self._mix(_wanted(look), look.hull, look.facets, waits)

    def _mix(self, wide: list[_Wanted], hull: Hull, facets: Indices, waits: Mask) -> tuple[list[_Wanted], int]:
        """Take mixtures that are good enough; return the places where they are not, or were tried before.

        Facets on the sides of which a place `waits`, shape (n, 3), wait for what its mixture does.
        """
        assert self.mixer is not None
        wanted: list[_Wanted] = []
        tried: list[tuple[int, tuple[int, ...]]] = []
        busy: set[int] = set()
        unit = self.scale.to_unit(np.array([place[2:4] for place in wide]).reshape(-1, 2))
        cells, corners = np.rint(unit / SAME).astype(int).tolist(), np.sort(hull.corners[facets]).tolist()
        waiting = np.where(waits, hull.beside[facets], -1).tolist()
        for k, (cell, around, facet) in enumerate(zip(cells, corners, facets.tolist(), strict=True)):
            key = (*cell, *[i for i in dict.fromkeys(around) if i >= 0 and self.attained[i].channel is not None])
            if (len(key) == 2 and self.mixer.of_corners) or not np.isfinite(wide[k].gap):
                wanted.append(wide[k]._replace(corners=tuple(around)))
            elif key in self._hopes:  # once: what it does not close is the solver's
                hoped = min(self._hopes[key], wide[k].gap)
                wanted.append(wide[k]._replace(hoped=hoped, corners=tuple(around)))
            elif facet not in busy:
                busy.update((facet, *waiting[k]))
                tried.append((k, key))
        places = np.array([wide[k][2:4] for k, _ in tried]).reshape(-1, 2)
        planes = self._highest(places) if self.mixer.of_planes else [()] * len(tried)
        wishes = [
            Wish((wide[k].d, wide[k].p), [self.attained[i] for i in key[2:]], proofs, hull.slopes[facets[k]])
            for (k, key), proofs in zip(tried, planes, strict=True)
        ]
        mixtures = self.mixer.mixtures(wishes, self.scale)
        gaps, lower = np.array([(wide[k].gap, wide[k].lower) for k, _ in tried]).reshape(-1, 2).T
        good = useful(mixtures, places, lower, gaps, hull, self.mixer.share * self.tol)
        for (k, key), mixture, taken in zip(tried, mixtures, good, strict=True):
            if mixture is not None and taken:
                self.planes.append(mixture.plane)
                self.attained.append(mixture.attained)
                self._hopes[key] = np.inf
                continue
            far = mixture is not None and mixture.gap > self.mixer.share * self.tol
            self._hopes[key] = min(mixture.gap, wide[k].gap) if far and mixture is not None else wide[k].gap
            wanted.append(wide[k]._replace(hoped=self._hopes[key], corners=tuple(corners[k])))
        return wanted, len(self.planes) - len(self._plane_table)

    def _highest(self, places: Array) -> list[list[Plane]]:
        """The planes with proofs among the three that are highest at each place."""
        every = self.envelope()
        if not len(every.tangent.values):
            return [[] for _ in places]
        numbers = np.flatnonzero(every.tangential)[every.tangent.highest(places, 3)].T
        return [[self.planes[i] for i in np.sort(row) if self.planes[i].proof is not None] for row in numbers]

    def _chosen(self, wanted: Sequence[_Wanted], count: int) -> list[tuple[float, float]]:
        """The widest gaps, not too near to each other nor to what was asked for already."""
        chosen: list[Array] = []
        places: list[tuple[float, float]] = []
        wanted = wanted if count > 0 else []
        apart = SAME if count == 1 else 0.3 / (2 + np.sqrt(len(self.planes)))
        asked = np.array(self._asked).reshape(-1, 2)
        for place in wanted:
            d, p = place.d, place.p
            if self.move is not None:
                d, p = self.move(d, p, place.gap, place.prices)
            unit = self.scale.to_unit(np.array([[d, p]]))[0]
            if len(asked) and np.abs(asked - unit).max(axis=1).min() <= SAME:
                continue
            if all(np.abs(other - unit).max() > apart for other in chosen):
                chosen.append(unit)
                places.append((d, p))
            if len(chosen) == count:
                break
        self._asked += chosen
        return places


def _wanted(look: Look) -> list[_Wanted]:
    return [_Wanted(*row) for row in np.column_stack([look.gaps, look.gaps, look.places, look.lower]).tolist()]


def _grown(table: Array, rows: Sequence[tuple[Any, ...]]) -> Array:
    """A table of the first numbers of every row, grown by rows that are new."""
    new = [row[: table.shape[1]] for row in rows[len(table) :]]
    if not new:
        return table
    return np.concatenate([table, np.array(new, dtype=np.float64).reshape(-1, table.shape[1])])


def _envelope(table: Array) -> Envelope:
    return Envelope(table[:, :2], table[:, 2], table[:, 3:])
