"""Finite problems whose letters and observations are on a line, with everything in order: tables instead of objects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple, cast
from weakref import WeakKeyDictionary

import numpy as np

from cdp_toy.costs import SquaredErrorCost
from cdp_toy.edges import on_line
from cdp_toy.finite import DiscreteProblem
from cdp_toy.solvers.tables import Tables, tables_of
from cdp_toy.validation import Array, Indices, Mask

__all__ = [
    "Achieved",
    "LineProblem",
    "Slopes",
    "blurred_steps",
    "letter_order",
    "line_problem",
    "next_to",
    "places_of",
]

#: Differences of error rates that count as none.
ROUNDING = 1e-14
#: Problems in order, as long as they are in use.
_KNOWN: WeakKeyDictionary[DiscreteProblem, LineProblem | None] = WeakKeyDictionary()


class Achieved(NamedTuple):
    """What laws achieve, shape (m,) each."""

    error_rate: Array
    distortion: Array
    perception: Array


@dataclass(frozen=True, eq=False)
class LineProblem(Tables):
    """A problem with letters and observations in order; every letter has mass.

    Attributes
    ----------
    p_y, p_x, error, distance, perception, distortion_scale
        Those of `Tables`, in order.
    rows, columns : integer arrays
        Number of each observation and of each letter in the problem itself.
    posterior_means, letters : arrays of shape (n_y,) and (n_x,)
        Posterior mean of every observation, and place of every letter [units of x].
    """

    rows: Indices
    columns: Indices
    posterior_means: Array
    letters: Array

    @cached_property
    def ends(self) -> Array:
        """Mass of the observations up to each, shape (n_y,)."""
        ends = np.cumsum(self.p_y)
        ends[-1] = max(ends[-1], 1.0)
        return ends

    @cached_property
    def begins(self) -> Array:
        """Mass of the observations before each, shape (n_y,)."""
        return np.concatenate([[0.0], self.ends[:-1]])

    @cached_property
    def error_steps(self) -> Array:
        """Error of a letter less that of the one before, shape (n_y, n_x - 1)."""
        return np.diff(self.error, axis=1)

    @cached_property
    def distance_steps(self) -> Array:
        """Distortion of a letter less that of the one before, shape (n_y, n_x - 1)."""
        return np.diff(self.distance, axis=1)

    @cached_property
    def distance_saved(self) -> Array:
        """What it saves to give all earlier observations the letter before, shape (n_y, n_x - 1)."""
        saved = np.cumsum(self.p_y[:, None] * self.distance_steps, axis=0)
        return np.concatenate([np.zeros((1, saved.shape[1])), saved[:-1]])

    @cached_property
    def farthest(self) -> float:
        """Distortion when every observation is given the last letter."""
        return float(self.p_y @ self.distance[:, -1])

    def achieved(self, laws: Array) -> Achieved:
        """What the monotone couplings of p_Y with laws, shape (m, n_x), achieve."""
        n_y, n_x = len(self.p_y), laws.shape[1]
        ends = np.concatenate([np.broadcast_to(np.cumsum(self.p_y), (len(laws), n_y)), np.cumsum(laws, axis=1)], axis=1)
        order = np.argsort(ends, axis=1, kind="stable")
        # a pair ends where its observation or its letter does
        of_letter = order >= n_y
        columns: Indices = np.cumsum(of_letter, axis=1) - of_letter
        rows = np.minimum(np.arange(n_y + n_x) - columns, n_y - 1)
        pairs = rows * n_x + np.minimum(columns, n_x - 1)
        mass = np.diff(np.take_along_axis(ends, order, axis=1), axis=1, prepend=0.0)
        error_rate, distortion = (
            np.einsum("mk,mk->m", mass, table.ravel()[pairs]) for table in (self.error, self.distance)
        )
        return Achieved(error_rate, distortion, self._perceptions(laws))

    def _perceptions(self, laws: Array) -> Array:
        """Divergence of every law from the source."""
        whole = (laws > 0).all(axis=1)
        out = np.empty(len(laws))
        rate = self.perception.generator((laws[whole] - self.p_x) / self.p_x)
        out[whole] = [self.perception.of_sum(float(self.p_x @ row)) for row in rate]
        out[~whole] = [self.perception.value(self.p_x, law) for law in laws[~whole]]
        return out

    def row_of(self, cuts: Array) -> Indices:
        """Observations within which places of the cumulative lie."""
        return np.minimum(np.searchsorted(self.ends, cuts), len(self.p_y) - 1)

    def narrowed(self, kept: Mask) -> LineProblem:
        """The same with some letters alone; what those left out add to the perception is left out too."""
        return replace(
            self,
            p_x=self.p_x[kept],
            error=np.ascontiguousarray(self.error[:, kept]),
            distance=np.ascontiguousarray(self.distance[:, kept]),
            columns=self.columns[kept],
            letters=self.letters[kept],
        )

    def ordered(self, laws: Array) -> Array:
        """Laws of the problem's letters, shape (m, n_x), with letters in order."""
        return np.asarray(laws[:, self.columns])

    def restored(self, laws: Array) -> Array:
        """Laws of letters in order, shape (m, n_x), as laws of the problem's letters."""
        out = np.empty(laws.shape)
        out[:, self.columns] = laws
        return out


def letter_order(problem: DiscreteProblem) -> tuple[Indices, Indices]:
    """Observations and letters of a problem on the line in order."""
    cost = cast(SquaredErrorCost, problem.distortion_cost)
    return np.argsort(cost.mean_y[:, 0]), np.argsort(cost.mean_x[:, 0])


def line_problem(problem: DiscreteProblem) -> LineProblem | None:
    """A problem on the line whose best couplings are monotone; None for others.

    Letters have mass, the divergence is smooth, differences of both costs between neighbouring letters fall from
    observation to observation, and the tables are not too large.
    """
    if problem not in _KNOWN:
        tables = tables_of(problem) if problem.n_x > 2 and on_line(problem) else None
        line = None if tables is None else _made(problem, tables)
        _KNOWN[problem] = line if line is not None and _in_order(line) else None
    return _KNOWN[problem]


def _in_order(line: LineProblem) -> bool:
    """Whether no crossing of a monotone coupling saves error, up to rounding."""
    return bool(np.all(np.diff(line.error_steps[line.p_y > 0], axis=0) <= ROUNDING))


def _made(problem: DiscreteProblem, tables: Tables) -> LineProblem:
    rows, columns = letter_order(problem)
    error, distance = (np.ascontiguousarray(table[rows][:, columns]) for table in (tables.error, tables.distance))
    cost = cast(SquaredErrorCost, problem.distortion_cost)
    return LineProblem(
        tables.p_y[rows],
        tables.p_x[columns],
        error,
        distance,
        tables.perception,
        tables.distortion_scale,
        rows,
        columns,
        cost.mean_y[rows, 0],
        cost.mean_x[columns, 0],
    )


class Slopes(NamedTuple):
    """Differences of a table at cuts, their derivative, and what blurring adds to their integral up to the cuts."""

    value: Array
    derivative: Array
    added: Array


def blurred_steps(line: LineProblem, tables: list[Array], cuts: Array, rows: Indices, blur: float) -> list[Slopes]:
    """Differences of tables at cuts with a slope in place of the step at every end of an observation.

    The slope leaves both treads where half the share `blur` of them is left, and the step is parted so that nothing is
    added to the integral over the whole slope.
    """
    mass = line.p_y
    width, into = mass[rows], cuts - line.begins[rows]
    upper = into > 0.5 * width
    sign = np.where(upper, 1, -1)
    beside = np.minimum(np.maximum(rows + sign, 0), len(mass) - 1)
    weight = mass[beside] / (width + mass[beside])
    reach = 0.5 * blur * width
    depth = np.maximum(1 - np.where(upper, width - into, into) / reach, 0.0)
    places, others = places_of(rows), places_of(beside)
    change, addition = sign * (depth > 0) / reach, 0.5 * sign * reach * depth**2
    out = []
    for table in tables:
        here = table.take(places)
        lean = (table.take(others) - here) * weight
        out.append(Slopes(here + lean * depth, lean * change, np.sum(lean * addition, axis=1)))
    return out


def places_of(rows: Indices) -> Indices:
    """Places of the observations of cuts in a table of differences that is read row by row."""
    n = rows.shape[1]
    return np.asarray(rows * n + np.arange(n))


def next_to(letters: Array, places: Array, mass: Array) -> Array:
    """Law of letters when the mass at every place is shared between the letters beside it."""
    law = np.zeros(len(letters))
    left = np.clip(np.searchsorted(letters, places) - 1, 0, max(len(letters) - 2, 0))
    right = np.minimum(left + 1, len(letters) - 1)
    width = letters[right] - letters[left]
    share = np.clip(np.divide(places - letters[left], width, out=np.zeros_like(places), where=width > 0), 0.0, 1.0)
    np.add.at(law, left, (1 - share) * mass)
    np.add.at(law, right, share * mass)
    return law
