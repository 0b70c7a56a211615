"""Restricted supports and levels of grids: the interior-point method where a table of all pairs is out of the question.

An optimal channel uses few pairs: those of small reduced cost c_ij - v_j - u_i. So the method runs on a support of a
few pairs in every row, all pairs are priced, and the best of those that the prices ask for are added, until none is
missing (column generation; the row minima over all pairs are the certificate). Prices come from a neighbour, or from a
coarser problem that is a relaxation of this one, down to one that is small enough for all of its pairs.
"""

from __future__ import annotations

import dataclasses
import math
from typing import NamedTuple

import numpy as np
from scipy.interpolate import NearestNDInterpolator, RBFInterpolator
from scipy.sparse import csr_array

from cdp_toy.certificates import Program
from cdp_toy.coarsening import Grouped, coarser, lattice_of
from cdp_toy.costs import Cost, PricedCost, SquaredErrorCost, expected
from cdp_toy.edges import Hint
from cdp_toy.finite import DiscreteProblem
from cdp_toy.solvers.interior_point import Answer, Start, solve_on
from cdp_toy.validation import Array, Indices

__all__ = ["hint"]

#: Problems with at most this many pairs are solved on all of them.
FULL = 1_000
#: Letters of every class that a row starts with, on the line and in the plane.
LETTERS_PER_ROW, PLANE_LETTERS_PER_ROW = 8, 6
#: Observations that a letter starts with.
ROWS_PER_LETTER = 4
#: Rounds of pricing before what is there is taken.
MOST_ROUNDS = 12
#: Barrier that rows start with after prolonging prices from a coarser level, and from a neighbour's prices.
PROLONGED, NEIGHBOUR = 1e-3, 1e-4
#: A class is within reach of a row when its best letter costs this much more, in units of the mean cost.
CLASS_REACH = 0.1
#: A restricted program whose answer misses its goal by this factor is taken for infeasible.
LOST = 1e3
#: Pairs with less than this share of both their row and their column hardly matter.
HEAVY = 1e-3
#: Gap of the first round of a level, in units of the mean cost: pairs that are missing show early.
FIRST_ROUND = 0.03
#: Gap to which coarser levels are solved, in units of the mean cost.
COARSE_TOL = 1e-7


class Level(NamedTuple):
    """A program, its letters on the lattice, and pairs (keys row * n_x + column).

    `local` pairs are used from the start; `feasible` ones carry a channel that meets the levels, wherever its pairs lie.
    """

    program: Program
    grouped: Grouped | None
    local: Indices
    feasible: Indices


class Boundary(NamedTuple):
    """What is known of D_min(P): the least distortion, and the prices and potential that prove it."""

    distortion: float
    price_perception: float
    potential: Array


def hint(
    program: Program,
    tol: float,
    local: csr_array | None = None,
    feasible: csr_array | None = None,
    start: Start | None = None,
    boundary: Boundary | None = None,
) -> Hint | None:
    """Solve a program by column generation, from prices or through coarser levels.

    Parameters
    ----------
    program : Program
        One that the interior-point method suits.
    tol : float
        Gap at which to stop, in units of the objective.
    local : csr_array, optional
        A channel that is likely to use the right pairs, such as that of D_min(P) or of a neighbour.
    feasible : csr_array, optional
        A channel that meets the levels, for supports that turn out to be infeasible.
    start : Start, optional
        Prices and potential of a neighbour, of the same shape; no coarser level is asked then.
    boundary : Boundary, optional
        D_min(P), where it is known.
    """
    nothing = np.zeros(0, dtype=np.int64)
    finest = Level(
        program,
        None if start is not None else lattice_of(program.problem),
        nothing if local is None else _heavy_pairs(local, program.problem),
        nothing if feasible is None else _heavy_pairs(feasible, program.problem),
    )
    if start is not None:
        answer = _generate(finest, start, tol)
        return None if answer is None else _hint(answer)
    chain = _chain(finest)
    if len(chain) > 1 and math.isfinite(program.max_distortion):
        chain = _with_spare_distortion(chain, boundary)
    answer = _through(chain, tol)[0]
    return None if answer is None else _hint(answer)


def _through(chain: list[Level], tol: float, coarsest: int = 0) -> list[Answer | None]:
    """Answers of the levels of a chain, each from the prices of the one below it."""
    answers: list[Answer | None] = [None] * len(chain)
    for depth in range(len(chain) - 1, coarsest - 1, -1):
        level = chain[depth]
        goal = tol if depth == 0 else max(tol, COARSE_TOL * _unit(level.program))
        below = answers[depth + 1] if depth + 1 < len(chain) else None
        if below is None:
            answers[depth] = _on_all_pairs(level, goal)
        else:
            coarse = chain[depth + 1]
            start = _prolonged(below, coarse.program, level.program)
            local = _blocks(_heavy_pairs(below.joint, coarse.program.problem), coarse, level.program.problem)
            level = level._replace(local=np.union1d(level.local, local))
            answers[depth] = _generate(level, start, goal, FIRST_ROUND * _unit(level.program))
    return answers


def _with_spare_distortion(chain: list[Level], boundary: Boundary | None) -> list[Level]:
    """Give every coarser level as much distortion above its own D_min(P) as the finest one has."""
    least = [
        level._replace(
            program=dataclasses.replace(level.program, objective=level.program.problem.distortion_cost, max_distortion=math.inf)
        )
        for level in chain
    ]
    answers = _through(least, 0.0, coarsest=1)
    limit, out = chain[0].program.max_distortion, [chain[0]]
    for level, answer in zip(chain[1:], answers[1:], strict=True):
        cost = level.program.problem.distortion_cost
        if answer is None:
            break
        floor = expected(cost, answer.joint)
        spare = 0.1 * (_unit(least[0].program) - floor)
        target = max(limit, floor + spare) if boundary is None else floor + limit - boundary.distortion
        program = dataclasses.replace(level.program, max_distortion=target)
        local = np.union1d(level.local, _heavy_pairs(answer.joint, program.problem))
        out.append(Level(program, level.grouped, local, level.feasible))
    return out


def _hint(answer: Answer) -> Hint:
    return Hint(answer.joint, answer.price_distortion, answer.potential, "interior point")


def _unit(program: Program) -> float:
    return abs(program.objective.mean(program.problem.p_y, program.problem.p_x))


def _keys(rows: Indices, columns: Indices, n_x: int) -> Indices:
    return np.unique(rows.astype(np.int64) * n_x + columns)


def _heavy_pairs(joint: csr_array, problem: DiscreteProblem) -> Indices:
    """Pairs that matter to their row or to their column, as keys (a channel counts as well as a joint law)."""
    entries = joint.tocoo()
    rows, columns = entries.coords
    row, column = (np.bincount(at, weights=entries.data, minlength=n) for at, n in zip((rows, columns), problem.shape, strict=True))
    heavy = entries.data > HEAVY * np.minimum(row[rows], column[columns])
    return _keys(rows[heavy], columns[heavy], problem.n_x)


def _blocks(keys: Indices, coarse: Level, fine: DiscreteProblem) -> Indices:
    """Finer pairs that a coarser level's pairs stand for."""
    assert coarse.grouped is not None
    rows, columns = np.divmod(keys, coarse.program.problem.n_x)
    members_y, members_x = _incidence(coarse.grouped.group_y), _incidence(coarse.grouped.group_x)
    pattern = csr_array((np.ones(len(keys)), (rows, columns)), shape=coarse.program.problem.shape)
    return _keys(*(members_y.T @ pattern @ members_x).nonzero(), fine.n_x)


def _incidence(group: Indices) -> csr_array:
    return csr_array((np.ones(len(group)), (group, np.arange(len(group)))))


def _chain(finest: Level) -> list[Level]:
    """The finest level and coarser ones, down to one that is small."""
    levels = [finest]
    while True:
        program, fine, *pairs = levels[-1]
        n_y, n_x = program.problem.shape
        if fine is None or n_y * n_x <= FULL:
            return levels
        coarse = coarser(fine)
        if coarse.problem.n_y * coarse.problem.n_x > 0.7 * n_y * n_x:  # nothing left to merge
            return levels
        mapped = [
            _keys(coarse.group_y[keys // n_x], coarse.group_x[keys % n_x], coarse.problem.n_x) for keys in pairs
        ]
        levels.append(Level(_coarse_program(program, coarse), coarse, *mapped))


def _coarse_program(program: Program, coarse: Grouped) -> Program:
    allowed = program.allowed
    if allowed is not None:
        rows = np.zeros((coarse.problem.n_y, allowed.shape[1]), dtype=bool)
        np.logical_or.at(rows, coarse.group_y, allowed)
        fine_profile = program.problem.error_cost.profiles[1]
        profiles, profile = coarse.problem.error_cost.profiles
        met = np.zeros((len(profiles), allowed.shape[1]), dtype=bool)
        met[profile[coarse.group_x], fine_profile] = True
        allowed = (rows.astype(float) @ met.T.astype(float)) > 0
    objective = _coarse_cost(program.objective, program.problem, coarse.problem)
    return dataclasses.replace(program, problem=coarse.problem, objective=objective, allowed=allowed)


def _coarse_cost(cost: Cost, fine: DiscreteProblem, coarse: DiscreteProblem) -> Cost:
    if isinstance(cost, PricedCost):
        return PricedCost(_coarse_cost(cost.base, fine, coarse), _coarse_cost(cost.extra, fine, coarse), cost.price)
    return coarse.error_cost if cost is fine.error_cost else coarse.distortion_cost


def _on_all_pairs(level: Level, tol: float) -> Answer | None:
    rows, columns = np.nonzero(level.program.support())
    return solve_on(level.program, rows, columns, tol)


def _prolonged(answer: Answer, coarse: Program, fine: Program) -> Start:
    """Prices of a coarser level; the logarithm of q/p is interpolated between the letters of each class."""
    there, here = coarse.problem, fine.problem
    perception = here.perception
    q = np.asarray(answer.joint.sum(axis=0)).ravel()
    known = (there.p_x > 0) & (q > 0)
    log_ratio = np.zeros(here.n_x)
    places, targets = there.distortion_cost.mean_x, here.distortion_cost.mean_x  # type: ignore[attr-defined]
    for k in np.unique(here.classes):
        mine = here.classes == k
        from_k = known & (there.classes == k)
        if not from_k.any():
            from_k = known
        values = np.log(q[from_k] / there.p_x[from_k])
        log_ratio[mine] = _interpolated(places[from_k], values, targets[mine])
    ratio = np.exp(np.clip(log_ratio, -200.0, 200.0))
    potential = -answer.price_perception * perception.slope(ratio)
    return Start(answer.price_distortion, answer.price_perception, potential, PROLONGED)


def _interpolated(places: Array, values: Array, targets: Array) -> Array:
    """Thin-plate splines through the nearest places, which extend linearly beyond the last ones."""
    scale = np.ptp(places, axis=0)
    used = scale > 0
    if len(places) < 5 or not used.any():
        return np.asarray(NearestNDInterpolator(places, values)(targets))
    near = RBFInterpolator(places[:, used], values, neighbors=min(12, len(places)), degree=1)
    return np.asarray(near(targets[:, used]))


def _generate(level: Level, start: Start, tol: float, first: float = 0.0) -> Answer | None:
    """Column generation from prices."""
    program = level.program
    problem = program.problem
    n_x = problem.n_x
    on_line = isinstance(problem.distortion_cost, SquaredErrorCost) and problem.distortion_cost.mean_x.shape[1] == 1
    count = LETTERS_PER_ROW if on_line else PLANE_LETTERS_PER_ROW
    keys, _ = _asked_for(program, start.price_distortion, start.potential, count)
    keys = np.union1d(keys, level.local)
    if on_line:  # the monotone coupling is local
        keys = np.union1d(keys, level.feasible)
    answer: Answer | None = None
    goal = max(tol, first)
    for _ in range(MOST_ROUNDS):
        rows, columns = np.divmod(keys, n_x)
        found = solve_on(program, rows, columns, goal, start)
        if found is None or found.merit > LOST * goal:  # the support may not be feasible
            before = len(keys)
            keys = np.union1d(keys, level.feasible)
            if len(keys) > before:
                if DEBUG: print("   add feasible", before, len(keys), found and found.merit)
                continue
            if found is None:
                return answer
        answer = found
        asked, least = _asked_for(program, answer.price_distortion, answer.potential, count)
        # u of every row on the support, against the row minima over all pairs
        reduced = program.pricing(answer.price_distortion).cost.entries(rows, columns) - answer.potential[columns]
        kept = np.full(problem.n_y, np.inf)
        np.minimum.at(kept, rows, reduced)
        missing = np.where(problem.p_y > 0, kept - least, 0.0)
        if DEBUG: print("  level", problem.shape, "keys", len(keys), "its", answer.iterations, "merit %.1e"%answer.merit, "missing %.1e" % (problem.p_y @ np.maximum(missing, 0)), "tol %.1e"%tol, "lam", answer.price_distortion, "kap", answer.price_perception)
        lost = float(problem.p_y @ np.maximum(missing, 0.0))
        if lost <= tol and goal <= tol:
            break
        short = missing > 0.1 * min(goal, lost)
        extra = asked[short[asked // n_x]]
        before = len(keys)
        keys = np.union1d(keys, extra)
        if len(keys) == before and goal <= tol:
            break
        goal = tol
        if lost <= WILD * _unit(program):  # else the support was too small for prices to mean anything
            start = Start(answer.price_distortion, answer.price_perception, answer.potential, NEIGHBOUR)
    return answer
DEBUG=False
WILD = 0.01



def _asked_for(program: Program, price: float, potential: Array, count: int) -> tuple[Indices, Array]:
    """Pairs of small reduced cost, as keys: a few in every class for each row, one for each column; and row minima."""
    problem = program.problem
    pricing = program.pricing(price)
    v = np.where(np.isfinite(potential), potential, np.nanmin(potential))
    groups = problem.classes
    if program.objective is problem.distortion_cost:
        groups = np.zeros(problem.n_x, dtype=np.intp)
    values, letters = pricing.nearest(v, groups, count)
    rows = np.broadcast_to(np.arange(problem.n_y)[:, None, None], letters.shape)
    least = values.min(axis=(1, 2))
    # letters of another class only where that class is within reach: the others would tie everything to the boundary
    near = values[:, :, :1] - least[:, None, None] <= CLASS_REACH * _unit(program)
    kept = (letters >= 0) & near
    offset = np.where(problem.p_y > 0, least, -np.inf)
    best = pricing.column_minima(offset, ROWS_PER_LETTER)[1]
    columns = np.broadcast_to(np.arange(problem.n_x)[:, None], best.shape)
    some = best >= 0
    keys = np.concatenate([rows[kept] * problem.n_x + letters[kept], best[some] * problem.n_x + columns[some]])
    return np.unique(keys), least
