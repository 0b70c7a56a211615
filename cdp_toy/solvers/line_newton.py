"""The best output law at given levels, for many levels at once: Newton's method on where the cumulative is cut.

On the line a monotone coupling is best, and is given by its cuts: Q_j is the mass of the letters up to j, and letter j
receives the observations between Q_(j-1) and Q_j. With q_j = Q_j - Q_(j-1) and t = f'(inf) - f'(q/p) the best cuts have

    kap (t_(j+1) - t_j) = s_j,    s_j = g_j(i) = e(i, j+1) - e(i, j) + lam (d(i, j+1) - d(i, j))

where Q_j lies within observation i, and s_j between g_j(i) and g_j(i+1) where it lies at the end of i. For given places
of the cuts, free within an observation or pinned at its end, this is a tridiagonal system, bordered by the levels of
distortion and perception whose prices are lam and kap. Places are corrected after every step: a free cut that leaves
its observation is pinned where it does, a pinned one whose s_j is out of bounds is freed. From a law nearby this ends
after few steps with the exact solution; where it does not, what is found is proven all the same.

Where the classes of letters change at one cut alone, that one is never pinned: the equations of all others hold for
multiples of lam and kap, which both levels cannot be met by, and so the cut is what the levels say, wherever it lies.
It keeps to observations of one class, as if the last one were longer than it is: beyond there is the floor.

The places are what makes it hard: from a law far away they go in circles. With slopes in place of the steps of g_j at
the ends of observations (`Task.blur`) there are none, and the law that is found is near the exact one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import numpy as np
from scipy.linalg.lapack import dptsv

from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.bulk_duals import Multipliers
from cdp_toy.solvers.line import LineProblem, blurred_steps, places_of
from cdp_toy.solvers.line_loops import LineLoops, line_loops
from cdp_toy.validation import Array, Indices, Mask

__all__ = ["Best", "Task", "best_laws", "distortions", "leaving"]

#: Steps; from a mixture of best laws nearby five to ten are taken.
ROUNDS = 60
#: All cuts that are out of bounds are freed in so many first steps; in as many next ones those alone, as a share, that
#: are out by as much as the farthest, and none while others are pinned; else places may go in circles.
HASTY, CARE = 10, (0.0, 0.3, 0.6, 1.0)
#: Masses and prices keep at least this share of themselves in a step.
KEPT = 0.1
#: Prices grow by this at most, as a share of themselves over that which they keep when they fall.
GROWTH = 2.0
#: A price of distortion that wants to be negative, and is less than this share of that of perception, is none.
SPARE = 1e-3
#: A price this many times larger or smaller than at first leads nowhere.
FAR = 1e4
#: A step of which no larger share can be taken leads nowhere: some letter wants no mass at all.
STUCK = 1e-5
#: Cuts move less than this in the last step; than the second where places are blurred, which is a start alone.
STILL, BLURRED_STILL = 1e-11, 1e-5

Columns = TypeVar("Columns", bound=tuple[Any, ...])


class Best(NamedTuple):
    """Laws of letters in order, shape (m, n_x), multipliers, and whether the method ended."""

    laws: Array
    multipliers: Multipliers
    ended: Mask


@dataclass(frozen=True, eq=False)
class Task:
    """What is minimized.

    Attributes
    ----------
    steps : array of shape (n_y, n_x - 1)
        Differences between letters.
    priced : bool
        Whether distortion has a level.
    held : (int, int), optional
        An observation and the number of a cut that stays at its end.
    blur : float
        Share of every observation in which g_j passes to that of the next one along a straight line instead of in a
        step: 0 for the problem as it is, 1 for no treads.
    rounds : int
        Steps at most.
    budget : Budget
        Of steps.
    """

    steps: Array
    priced: bool = True
    held: tuple[int, int] | None = None
    blur: float = 0.0
    rounds: int = ROUNDS
    budget: Budget = field(default_factory=Budget)

    @cached_property
    def loose(self) -> int | None:
        """The cut that is never pinned, by number, where there is one."""
        decisions = np.flatnonzero(np.any(self.steps != 0, axis=0))
        return int(decisions[0]) if len(decisions) == 1 else None


class _State(NamedTuple):
    """Cuts, shape (m, n_x - 1): their places, observations, whether they are pinned to the end of it; prices (m,).

    Laws of the letters, ratios q/p, shape (m, n_x), and the rise of t from letter to letter follow from the cuts.
    """

    cuts: Array
    rows: Indices
    pinned: Mask
    lam: Array
    kap: Array
    laws: Array
    ratio: Array
    rise: Array


def best_laws(
    line: LineProblem, task: Task, start: Array, d: Array, p: Array, prices: tuple[Array, Array] | None = None
) -> Best:
    """Laws that are best at levels D and P, from laws nearby.

    Parameters
    ----------
    line : LineProblem
    task : Task
    start : array of shape (m, n_x)
        Laws of letters in order, all positive.
    d, p : arrays of shape (m,)
        Levels; d is not looked at where distortion has none.
    prices : (lam, kap), optional
        To begin with, shape (m,) each; those that fit best otherwise.
    """
    with np.errstate(all="ignore"):  # what fails is left out
        cuts = np.ascontiguousarray(np.cumsum(start, axis=1)[:, :-1])  # loops are compiled once
        rows, pinned = line.row_of(cuts), np.zeros(cuts.shape, dtype=bool)
        if task.held is not None:
            row, cut = task.held
            rows[:, cut], pinned[:, cut] = row, True
        nothing = np.zeros(len(start))
        state = _state(line, cuts, rows, pinned, nothing, nothing)
        lam, kap = _fitted(line, task, state) if prices is None else prices
        state = state._replace(lam=np.asarray(lam), kap=np.asarray(kap))
        columns: list[Any] = [np.array(column) for column in state]
        found = _State(*columns)
        ended = np.zeros(len(start), dtype=bool)
        active = np.flatnonzero(np.isfinite(lam) & np.isfinite(kap) & (lam >= 0) & (kap > 0))
        state = _picked(state, active)
        for k in range(task.rounds):
            if not len(active) or not task.budget.step():
                break
            care = CARE[min(k // HASTY, len(CARE) - 1)]
            new, still = _step(line, task, state, d[active], p[active], care)
            fine = np.isfinite(new.rise).all(axis=1) & np.isfinite(new.lam)
            fine &= (new.kap < FAR * kap[active]) & (new.kap * FAR > kap[active])
            over = still | ~fine
            if over.any():
                for column, other, last in zip(found, new, state, strict=True):
                    column[active[fine]], column[active[~fine]] = other[fine], last[~fine]
                ended[active[fine & still]] = True
                active, new = active[~over], _picked(new, np.flatnonzero(~over))
            state = new
        for column, last in zip(found, state, strict=True):
            column[active] = last
        if task.priced:
            ended &= (found.lam > 0) | (distortions(line, found.laws, task.blur) <= d)
        return Best(found.laws, _multipliers(line, task, found), ended)


def distortions(line: LineProblem, laws: Array, blur: float = 0.0) -> Array:
    """Distortion of laws of letters in order, shape (m, n_x), blurred like the places of their cuts."""
    cuts = np.cumsum(laws, axis=1)[:, :-1]
    rows = line.row_of(cuts)
    out = _distortions(line, cuts, rows)
    return out - blurred_steps(line, [line.distance_steps], cuts, rows, blur)[0].added if blur > 0 else out


def leaving(line: LineProblem, least: Best, blur: float, spare: float) -> tuple[Array, tuple[Array, Array]]:
    """Law and prices (lam, kap) of least error rate near the law of least distortion, for a little more distortion.

    With the perception that it has the law moves along the direction that lowers the error rate, and the distortion
    rises with the square of the way.

    Parameters
    ----------
    line : LineProblem
    least : Best
        One law of least distortion, blurred as much.
    blur : float
        Positive.
    spare : float
        Distortion above the least.
    """
    law, kap = least.laws, least.multipliers.price_perception
    cuts = np.cumsum(law, axis=1)[:, :-1]
    state = _state(line, cuts, line.row_of(cuts), np.zeros(cuts.shape, dtype=bool), np.ones(1), kap)
    error, distance = blurred_steps(line, [line.error_steps, line.distance_steps], cuts, state.rows, blur)
    bend = kap[:, None] * line.perception.curvature(state.ratio) / line.p_x
    sides = np.stack([error.value, distance.value])
    with np.errstate(all="ignore"):
        x = _solved(bend[:, :-1] + bend[:, 1:] - np.minimum(distance.derivative, 0.0), -bend[:, 1:-1], sides)
        if x is None:
            return law, (np.full(1, np.nan), kap)
        way = x[0] - x[1] * (np.sum(state.rise * x[0]) / np.sum(state.rise * x[1]))
        far = np.sqrt(2 * spare / np.sum(way * error.value))
        move = far * _masses(way, 0.0)
        share = min(1.0, (1 - KEPT) / max(float(np.max(-move / law)), 1e-300))
        return law + share * move, (np.full(1, 1 / far), kap / far)


def _state(line: LineProblem, cuts: Array, rows: Indices, pinned: Mask, lam: Array, kap: Array) -> _State:
    laws = _masses(cuts, 1.0)
    ratio = laws / line.p_x
    t = line.perception.descent(ratio)
    return _State(cuts, rows, pinned, lam, kap, laws, ratio, t[:, 1:] - t[:, :-1])


def _step(line: LineProblem, task: Task, state: _State, d: Array, p: Array, care: float) -> tuple[_State, Mask]:
    """One step of Newton's method and the correction of places; which are done."""
    cuts, rows, pinned, lam, kap, laws, ratio, rise = state
    bend = line.perception.curvature(ratio) / line.p_x * kap[:, None]
    loops = line_loops()
    if loops is not None and task.blur == 0:
        return _compiled_step(line, task, state, bend, d, p, care, loops)
    inner, diagonal = bend[:, 1:-1], bend[:, :-1] + bend[:, 1:]
    distortion = _distortions(line, cuts, rows)
    if task.blur > 0:
        error, distance = blurred_steps(line, [task.steps, line.distance_steps], cuts, rows, task.blur)
        first, far = error.value, distance.value
        distortion = distortion - distance.added
        diagonal -= np.minimum(error.derivative + lam[:, None] * distance.derivative, 0.0)
    else:
        places = places_of(rows)
        first, far = task.steps.take(places), line.distance_steps.take(places)
    missing = first + lam[:, None] * far - kap[:, None] * rise
    beside = -inner
    sides = np.stack([missing, far, -rise])
    if pinned.any():
        free, jump = ~pinned, np.where(pinned, line.ends[rows] - cuts, 0.0)
        # what pinned neighbours do is known
        sides[0, :, 1:] += inner * jump[:, :-1]
        sides[0, :, :-1] += inner * jump[:, 1:]
        sides *= free
        sides[0] += jump
        diagonal = np.where(free, diagonal, 1.0)
        beside *= free[:, :-1] & free[:, 1:]
    x = _solved(diagonal, beside, sides)
    if x is None:
        return state._replace(lam=np.full(len(lam), np.nan)), np.zeros(len(lam), dtype=bool)
    # sum far dQ = distortion - D, sum -rise dQ = perception - P
    perception = line.perception.generator(ratio - 1.0) @ line.p_x
    (short, a, b), (over, c, e) = np.einsum("mn,kmn->km", far, x), -np.einsum("mn,kmn->km", rise, x)
    short, over = distortion - d - short, perception - p - over
    determinant = a * e - b * c
    change_lam, change_kap = (e * short - b * over) / determinant, (a * over - c * short) / determinant
    # distortion has no price where its level is beyond what is best without one
    lam = np.where((change_lam < -lam) & (lam < SPARE * kap), 0.0, lam)
    change_lam, change_kap = np.where(lam == 0, 0.0, change_lam), np.where(lam == 0, over / e, change_kap)
    move = x[0] + x[1] * change_lam[:, None] + x[2] * change_kap[:, None]
    falls = np.max(-_masses(move, 0.0) / laws, axis=1)
    for change, price in ((change_lam, np.where(lam > 0, lam, 1.0)), (change_kap, kap)):
        falls = np.maximum(falls, np.maximum(-change, change / GROWTH) / price)
    share = np.minimum(1.0, (1 - KEPT) / np.maximum(falls, 1e-300))
    lam = np.where(share < STUCK, np.nan, lam)
    cuts = cuts + share[:, None] * move
    there = line.row_of(cuts)
    lam, kap = np.maximum(lam + share * change_lam, 0.0), kap + share * change_kap
    whole, way = share == 1.0, np.abs(move).max(axis=1)
    if task.blur > 0:
        return _state(line, cuts, np.where(pinned, rows, there), pinned, lam, kap), whole & (way < BLURRED_STILL)
    moved = _placed(line, task, _state(line, cuts, rows, pinned, lam, kap), there, care)
    return moved, _same(task, state, moved, there) & whole & (way < STILL)


def _compiled_step(
    line: LineProblem, task: Task, state: _State, bend: Array, d: Array, p: Array, care: float, loops: LineLoops
) -> tuple[_State, Mask]:
    """The same without blur, in loops."""
    over = line.perception.generator(state.ratio - 1.0) @ line.p_x - p
    tables = (task.steps, line.distance_steps)
    cuts, lam, kap, there, whole, way = loops.moved(
        *(*tables, line.distance_saved, line.farthest, line.begins, line.ends),
        *(*state[:6], state.rise, bend, d, over, (KEPT, GROWTH, SPARE, STUCK)),
    )
    moved = _state(line, cuts, state.rows, state.pinned, lam, kap)
    held, loose = -1 if task.held is None else task.held[1], -1 if task.loose is None else task.loose
    slope = kap[:, None] * moved.rise
    rows, pinned = loops.placed(*tables, state.rows, state.pinned, there, lam, slope, care, held, loose)
    moved = moved._replace(rows=rows, pinned=pinned)
    return moved, _same(task, state, moved, there) & whole & (way < STILL)


def _same(task: Task, before: _State, after: _State, there: Indices) -> Mask:
    """Whose cuts are where they were, after a step that took them `there`."""
    same: Mask = (after.rows == before.rows).all(axis=1) & (after.pinned == before.pinned).all(axis=1)
    return same if task.loose is None else np.asarray(same & (there[:, task.loose] == before.rows[:, task.loose]))


def _placed(line: LineProblem, task: Task, state: _State, there: Indices, care: float) -> _State:
    """Pin cuts that leave their observation for the next one, follow those that go farther, free pinned ones."""
    rows, pinned, lam = state.rows, state.pinned, state.lam[:, None]
    crossed = ~pinned & (np.abs(there - rows) == 1)
    if task.loose is not None:
        side, here, ahead = np.sign(task.steps[:, task.loose]), rows[:, task.loose], there[:, task.loose]
        crossed[:, task.loose], there = False, there.copy()
        there[:, task.loose] = np.where(side[here] == side[ahead], ahead, here)
    if not pinned.any():
        return state._replace(rows=np.where(crossed, np.minimum(rows, there), there), pinned=crossed)
    slope = state.kap[:, None] * state.rise
    after = np.minimum(rows + 1, len(line.p_y) - 1)
    low, high = (
        task.steps.take(places) + lam * line.distance_steps.take(places)
        for places in (places_of(rows), places_of(after))
    )
    excess = np.where(pinned, np.maximum(slope - low, high - slope), 0.0)
    if task.held is not None:
        excess[:, task.held[1]] = 0.0
    freed = excess > 0
    if care > 0:
        freed &= (excess >= care * excess.max(axis=1, keepdims=True)) & ~crossed.any(axis=1, keepdims=True)
    onward = freed & (slope < high)
    new_rows = np.where(pinned, np.where(onward, after, rows), np.where(crossed, np.minimum(rows, there), there))
    return state._replace(rows=new_rows, pinned=(pinned & ~freed) | crossed)


def _solved(diagonal: Array, beside: Array, sides: Array) -> Array | None:
    """Solutions of tridiagonal systems, shape (m, n), for k right sides, shape (k, m, n); None if one is singular."""
    m, n = diagonal.shape
    apart = np.zeros((m, n))
    apart[:, :-1] = beside
    _, _, found, failed = dptsv(diagonal.ravel(), apart.ravel()[:-1], sides.reshape(-1, m * n).T)
    return None if failed else np.asarray(found.T).reshape(sides.shape)


def _masses(cuts: Array, last: float) -> Array:
    """Differences between 0, the cuts, and the last."""
    out = np.empty((len(cuts), cuts.shape[1] + 1))
    out[:, 0], out[:, -1] = cuts[:, 0], last - cuts[:, -1]
    np.subtract(cuts[:, 1:], cuts[:, :-1], out=out[:, 1:-1])
    return out


def _distortions(line: LineProblem, cuts: Array, rows: Indices) -> Array:
    places = places_of(rows)
    saved = line.distance_saved.take(places) + (cuts - line.begins[rows]) * line.distance_steps.take(places)
    return np.asarray(line.farthest - saved.sum(axis=1))


def _fitted(line: LineProblem, task: Task, state: _State) -> tuple[Array, Array]:
    """Prices that fit best: their ratio where what is minimized has no say, their size where it has."""
    rise, bend = state.rise, line.perception.curvature(state.ratio) / line.p_x
    weight = np.where(state.pinned, 0.0, 1 / (bend[:, 1:] + bend[:, :-1]))
    places = places_of(state.rows)
    first, far = task.steps.take(places), line.distance_steps.take(places)
    quotient = np.full(len(rise), np.inf)  # kap / lam
    if task.priced:
        quiet = np.where(first == 0, weight, 0.0)
        quotient = np.sum(quiet * far * rise, axis=1) / np.sum(quiet * rise * rise, axis=1)
    loud = np.where(first != 0, weight, 0.0)
    left = rise - far / quotient[:, None]
    kap = np.sum(loud * first * left, axis=1) / np.sum(loud * left * left, axis=1)
    lam = kap / quotient
    return (np.where(lam < SPARE * kap, SPARE * kap, lam) if task.priced else lam), kap


def _multipliers(line: LineProblem, task: Task, state: _State) -> Multipliers:
    """Prices and the potential v that rises by s_j from letter to letter."""
    lam, kap = state.lam, state.kap
    places = places_of(state.rows)
    steps = task.steps.take(places) + lam[:, None] * line.distance_steps.take(places)
    steps = np.where(state.pinned, kap[:, None] * state.rise, steps)
    potential = np.concatenate([np.zeros((len(lam), 1)), np.cumsum(steps, axis=1)], axis=1)
    limit = line.perception.slope_at_infinity
    t = line.perception.descent(state.ratio) - (limit if np.isfinite(limit) else 0.0)
    constant = np.einsum("mn,mn->m", state.laws, potential - kap[:, None] * t)
    return Multipliers(lam, kap, potential, constant)


def _picked(columns: Columns, rows: Indices) -> Columns:
    return columns if len(rows) == len(columns[0]) else type(columns)(*(column[rows] for column in columns))
