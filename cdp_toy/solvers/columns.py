"""Column generation: the interior-point method on few pairs, all pairs priced, the missing ones added.

An optimal channel uses few pairs: those of small reduced cost c_ij - v_j - u_i. The row minima of c_ij - v_j over all
pairs tell what a support misses, and they are what the certificate is made of.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from scipy.sparse import csr_array

from cdp_toy.certificates import Program
from cdp_toy.edges import on_line
from cdp_toy.finite import DiscreteProblem
from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.interior_point import COLD_BARRIER, NEIGHBOUR_BARRIER, Answer, Start, solve_on
from cdp_toy.solvers.restriction import SavedState
from cdp_toy.validation import Array, Indices

__all__ = ["generate", "heavy_pairs", "mean_cost", "pair_keys"]

#: Letters that a row starts with in every class within reach, on the line and elsewhere; observations of a letter.
#: With 5 on the line restricted programs at n = 1601 turned out infeasible; 10 in the plane took longer than 6.
LETTERS_ON_LINE, LETTERS_ELSEWHERE, OBSERVATIONS = 8, 6, 4
#: A class is within reach of a row when its best letter costs this much more, in units of the mean cost.
CLASS_REACH = 0.1
#: Pairs with less than this share of both their row and their column hardly matter.
HEAVY = 1e-3
#: From this merit on, in units of the mean cost, pairs that carry next to nothing and are none of the best are let go.
SETTLED = 1e-3
#: What a support may miss in the end, in units of the tolerance, which is a twentieth of what is certified.
MISSING = 6
#: Rounds of pricing before what is there is taken.
MOST_ROUNDS = 20
#: Every round goes on to this share of the gap of the one before: pairs that are missing show early, ...
STAGE = 1e-2
#: ... or to the end when that is this near.
NEARLY = 100
#: A restricted program whose answer misses its goal by this factor is taken for infeasible.
LOST = 1e3
#: What a support may miss, in units of the mean cost, for its prices to be worth more than those it started from.
WILD = 0.3


def mean_cost(program: Program) -> float:
    """Expected objective of an output that is independent of the observation: the unit of tolerances here."""
    return abs(program.objective.mean(program.problem.p_y, program.problem.p_x)) or 1.0


def pair_keys(rows: Indices, columns: Indices, n_x: int) -> Indices:
    """Sorted distinct keys row * n_x + column."""
    return distinct(rows.astype(np.int64) * n_x + columns)


def distinct(*keys: Indices) -> Indices:
    """Sorted distinct keys of all: what np.unique returns, which hashes first and takes five times as long."""
    ordered = np.sort(np.concatenate(keys))
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


def heavy_pairs(joint: csr_array, problem: DiscreteProblem) -> Indices:
    """Keys of the pairs that matter to their row or to their column; a channel counts as well as a joint law."""
    entries = csr_array(joint).tocoo()
    rows, columns = entries.coords
    row = np.bincount(rows, weights=entries.data, minlength=problem.n_y)
    column = np.bincount(columns, weights=entries.data, minlength=problem.n_x)
    heavy = entries.data > HEAVY * np.minimum(row[rows], column[columns])
    return pair_keys(rows[heavy], columns[heavy], problem.n_x)


def generate(
    program: Program,
    start: Start,
    tol: float,
    budget: Budget,
    local: Indices,
    feasible: Callable[[], Indices],
    first: float = 0.0,
    saved: SavedState | None = None,
) -> Answer | None:
    """Solve a program from prices, or from a state where there is one, on pairs that the prices ask for.

    Parameters
    ----------
    program : Program
    start : Start
        Prices and potential for the first support.
    tol : float
        Gap at which to stop, in units of the objective.
    budget : Budget
    local : integer array
        Keys of pairs to use from the start.
    feasible : callable
        Keys of pairs that carry a feasible channel, asked for when a support turns out to be infeasible.
    first : float
        Gap at which the first round stops: pairs that are missing show early.
    saved : SavedState, optional
        State of a program that differs in its levels alone.
    """
    problem = program.problem
    count = LETTERS_ON_LINE if on_line(problem) else LETTERS_ELSEWHERE
    keys = distinct(_asked_for(program, start.price_distortion, start.potential, count), _allowed(program, local))
    answer: Answer | None = None
    goal = max(tol, first)
    for _ in range(MOST_ROUNDS):
        found, keys = _solved(program, keys, goal, budget, (start, saved), feasible)
        if found is None or (budget.spent and answer is not None and found.merit > answer.merit):
            break
        answer = found if answer is None else dataclasses.replace(found, earlier=answer.central_state())
        if budget.spent:
            break
        kept = _row_minima_on(program, answer, keys)
        least = program.pricing(answer.price_distortion).row_minima(_filled(answer.potential))
        lost = float(problem.p_y @ np.maximum(kept - least, 0.0))
        if lost <= MISSING * tol and goal <= tol:
            break
        asked = _asked_for(program, answer.price_distortion, answer.potential, count)
        extra = np.setdiff1d(asked[_reduced(program, answer, asked) < kept[asked // problem.n_x]], keys)
        if not len(extra) and (goal <= tol or _failed(found, goal)):
            break
        if goal > tol and found.merit <= SETTLED * mean_cost(program):
            keys = np.intersect1d(keys, distinct(asked, heavy_pairs(answer.joint, problem)))
        keys, goal = distinct(keys, extra), _next_goal(goal, lost, tol)
        if lost <= WILD * mean_cost(program):
            start = Start(answer.price_distortion, answer.price_perception, answer.potential, NEIGHBOUR_BARRIER)
            saved = answer.checkpoint_above(lost)
    return answer


def _solved(
    program: Program,
    keys: Indices,
    goal: float,
    budget: Budget,
    starts: tuple[Start, SavedState | None],
    feasible: Callable[[], Indices],
) -> tuple[Answer | None, Indices]:
    """Solve on a support from what is known, then from less and less, then with the pairs of a feasible channel.

    Returns the best answer of all attempts, and the support of the last one.
    """
    prices, saved = starts
    attempts: list[Start | SavedState] = [prices] if saved is None else [saved, prices]
    if prices.barrier < COLD_BARRIER:
        attempts.append(prices._replace(barrier=COLD_BARRIER))
    best: Answer | None = None
    for attempt in (*attempts, None):
        if attempt is None:
            more = distinct(keys, _allowed(program, feasible()))
            if len(more) == len(keys):
                break
            keys, attempt = more, attempts[-1]
        found = solve_on(program, keys, goal, budget, attempt)
        if found is not None and (best is None or found.merit < best.merit):
            best = found
        if budget.spent or (best is not None and not _failed(best, goal)):
            break
    return best, keys


def _failed(answer: Answer, goal: float) -> bool:
    return answer.merit > LOST * goal


def _allowed(program: Program, keys: Indices) -> Indices:
    """Those of some pairs that a program allows: blocks of pairs of a coarser problem may hold others."""
    return keys[program.allows(*np.divmod(keys, program.problem.n_x))]


def _next_goal(goal: float, lost: float, tol: float) -> float:
    """Gap of the next round: two digits further, or to the end when hardly anything is missing."""
    further = STAGE * goal
    return tol if lost <= MISSING * tol or further <= NEARLY * tol else further


def _reduced(program: Program, answer: Answer, keys: Indices) -> Array:
    """c_ij - v_j of some pairs."""
    rows, columns = np.divmod(keys, program.problem.n_x)
    return program.pricing(answer.price_distortion).cost.entries(rows, columns) - answer.potential[columns]


def _row_minima_on(program: Program, answer: Answer, keys: Indices) -> Array:
    """Row minima of c_ij - v_j over a support; -inf for observations without mass, which have no say."""
    problem = program.problem
    kept = np.full(problem.n_y, np.inf)
    np.minimum.at(kept, keys // problem.n_x, _reduced(program, answer, keys))
    return np.where(problem.p_y > 0, kept, -np.inf)


def _filled(potential: Array) -> Array:
    """A potential of all letters: those outside of the support get the least there is."""
    return np.where(np.isfinite(potential), potential, np.nanmin(potential))


def _asked_for(program: Program, price: float, potential: Array, count: int) -> Indices:
    """Keys of pairs of small reduced cost, a few for each row and each letter."""
    problem = program.problem
    pricing = program.pricing(price)
    classes: Indices = np.zeros(problem.n_x, dtype=np.intp)
    if program.objective is problem.error_cost:
        classes = problem.classes
    values, letters = pricing.nearest(_filled(potential), classes, count)
    least = values.min(axis=(1, 2))
    # letters of another class only where that class is within reach: the others would tie everything to the boundary
    near = values[:, :, :1] - least[:, None, None] <= CLASS_REACH * mean_cost(program)
    kept = (letters >= 0) & near
    rows = np.broadcast_to(np.arange(problem.n_y)[:, None, None], letters.shape)
    best = pricing.column_minima(np.where(problem.p_y > 0, least, -np.inf), OBSERVATIONS)[1]
    columns = np.broadcast_to(np.arange(problem.n_x)[:, None], best.shape)
    some = best >= 0
    return distinct(rows[kept] * problem.n_x + letters[kept], best[some] * problem.n_x + columns[some])
