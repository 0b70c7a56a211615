"""Coarse to fine: prices of a coarser problem start the next finer one; the coarsest is solved on all of its pairs.

A coarser problem merges neighbouring letters (`coarsening`). Between levels the logarithm of q/p is interpolated, and
the pairs that a coarse channel uses become blocks of finer pairs, among which there is always a feasible channel of
nearly the same output law. Prices of a neighbour do the same service without any level.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple, Protocol, cast

import numpy as np
from numpy.linalg import LinAlgError
from scipy.interpolate import RBFInterpolator
from scipy.sparse import csr_array
from scipy.spatial import KDTree

from cdp_toy.certificates import Evaluation, Program
from cdp_toy.coarsening import Grouped, coarser, lattice_of
from cdp_toy.costs import Cost, PricedCost, SquaredErrorCost, expected
from cdp_toy.edges import Hint, coupling, on_line
from cdp_toy.finite import DiscreteProblem
from cdp_toy.perceptions import FDivergence
from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.columns import generate, heavy_pairs, mean_cost, pair_keys
from cdp_toy.solvers.interior_point import NEIGHBOUR_BARRIER, Answer, Start, solve_on
from cdp_toy.solvers.restriction import SavedState
from cdp_toy.validation import Array, Indices

__all__ = ["FULL", "Background", "Near", "Neighbour", "from_neighbour", "hint"]

#: Problems with at most this many pairs are solved on all of them: below, levels cost more than they save.
FULL = 1_000
#: A problem without geometry has no coarser one; up to this many pairs it is solved on all of them.
FULL_WITHOUT_LEVELS = 160_000
#: Merging has to take away at least this share of the pairs to be worth a level.
LEAST_MERGED = 0.3
#: Barrier that rows start with together after prolonging prices, in units of the mean cost.
PROLONGED = 0.1
#: A neighbour's iteration is taken up where prices say that the value differs by no more than this, in units of the
#: mean cost; its prices alone serve elsewhere. Levels 5 % away took 6-11 iterations instead of 10-17, but most of 62
#: pairs of levels farther apart took more.
NEAR = 2e-3
#: Gap of coarser levels, and of the first round of every level, in units of the mean cost.
COARSE_TOL, FIRST_ROUND = 1e-9, 0.03
#: Where the coarser levels cannot tell how far D lies above D_min(P), that is found to this share of their error.
SHARP = 0.05
#: Places that the interpolation of a letter looks at.
PLACES = 12
#: Pairs of a feasible channel beyond this many for each letter would fill a sparse matrix.
MOST_FEASIBLE = 50


class Near(NamedTuple):
    """What is known of D_min(P): its value, the channel that attains it, and channels that meet both levels."""

    distortion: float
    witness: csr_array
    anchors: Callable[[], Iterator[Evaluation]]


class Background(Protocol):
    """What may be asked about a program while it is being solved, at a cost."""

    @property
    def near(self) -> Near | None:
        """D_min(P), None where no distortion level is set."""
        ...

    @property
    def anchor(self) -> Evaluation | None:
        """A channel that meets both levels."""
        ...


class Neighbour(NamedTuple):
    """Answer at other levels: prices, potential and channel."""

    price_distortion: float
    price_perception: float
    potential: Array
    channel: csr_array
    #: by how much its prices say that the value differs
    change: float = math.inf
    #: where its iteration may be taken up, by a program with other levels alone
    saved: SavedState | None = None


class Level(NamedTuple):
    """A program, its letters on the lattice, and keys of pairs to use from the start."""

    program: Program
    grouped: Grouped | None
    local: Indices


def from_neighbour(
    program: Program, tol: float, neighbour: Neighbour, budget: Budget, background: Background
) -> Hint | None:
    """Solve a program from the prices of a neighbour, a program of the same shape."""
    start = Start(neighbour.price_distortion, neighbour.price_perception, neighbour.potential, NEIGHBOUR_BARRIER)
    local = heavy_pairs(neighbour.channel, program.problem)
    saved = neighbour.saved if neighbour.change <= NEAR * mean_cost(program) else None
    answer = generate(program, start, tol, budget, local, lambda: _rescue(program, background), saved=saved)
    return None if answer is None else answer.hint("interior point from a neighbour")


def hint(program: Program, tol: float, budget: Budget, background: Background) -> Hint | None:
    """Solve a program through coarser levels.

    Parameters
    ----------
    program : Program
        One that the interior-point method suits.
    tol : float
        Gap at which to stop, in units of the objective.
    budget : Budget
    background : Background
        Asked for D_min(P) when the distortion level is too near to it for the coarser levels to tell.
    """
    chain = _chain(program)
    if len(chain) > 1 and math.isfinite(program.max_distortion):
        chain = _with_spare_distortion(chain, budget, background)
    answer = _through(chain, tol, budget, background)[0]
    return None if answer is None else answer.hint("interior point through levels")


def _rescue(program: Program, background: Background) -> Indices:
    """Keys of the pairs of a feasible channel, few enough of them."""
    anchor = background.anchor
    if anchor is None or anchor.channel.nnz > MOST_FEASIBLE * sum(program.problem.shape):
        return np.zeros(0, dtype=np.int64)
    return _all_pairs(anchor.channel, program.problem)


def _all_pairs(channel: csr_array, problem: DiscreteProblem) -> Indices:
    """Keys of all pairs of a channel: next to D_min(P) the lightest ones decide what is feasible."""
    rows, columns = channel.nonzero()
    return pair_keys(rows, columns, problem.n_x)


def _through(
    chain: list[Level], tol: float, budget: Budget, background: Background | None, finest: int = 0
) -> list[Answer | None]:
    """Answers of the levels of a chain down to number `finest`, each from the prices of the one before."""
    answers: list[Answer | None] = [None] * len(chain)
    for depth in range(len(chain) - 1, finest - 1, -1):
        goal = tol if depth == 0 else COARSE_TOL * mean_cost(chain[depth].program)
        answers[depth] = _level(chain, answers, depth, goal, budget, background)
    return answers


def _level(
    chain: list[Level],
    answers: list[Answer | None],
    depth: int,
    goal: float,
    budget: Budget,
    background: Background | None,
) -> Answer | None:
    """Answer of one level of a chain, from the prices of the next coarser one."""
    program, _, local = chain[depth]
    problem = program.problem
    below = answers[depth + 1] if depth + 1 < len(chain) else None
    if below is not None:
        coarse = chain[depth + 1]
        start = _prolonged(below, coarse.program, program)
        local = np.union1d(local, _blocks(heavy_pairs(below.joint, coarse.program.problem), coarse, problem))
    elif problem.n_y * problem.n_x <= FULL_WITHOUT_LEVELS:
        return solve_on(program, np.flatnonzero(program.support()), goal, budget)
    else:
        start = Start(1.0, 1.0, np.zeros(problem.n_x), PROLONGED)

    def feasible() -> Indices:
        if depth == 0 and background is not None:
            return _rescue(program, background)
        return _all_pairs(coupling(problem), problem)

    return generate(program, start, goal, budget, local, feasible, FIRST_ROUND * mean_cost(program))


def _chain(program: Program) -> list[Level]:
    """The program and coarser ones, down to one that is small."""
    grouped = lattice_of(program.problem)
    levels = [Level(program, grouped, _ordered_pairs(program))]
    while True:
        program, fine, _ = levels[-1]
        pairs = program.problem.n_y * program.problem.n_x
        if fine is None or pairs <= FULL:
            return levels
        coarse = coarser(fine)
        if coarse.problem.n_y * coarse.problem.n_x > (1 - LEAST_MERGED) * pairs:
            return levels
        inner = _coarse_program(program, coarse)
        levels.append(Level(inner, coarse, _ordered_pairs(inner)))


def _ordered_pairs(program: Program) -> Indices:
    """On the line the pairs of the monotone coupling, which are near those of any good channel."""
    if program.allowed is None and on_line(program.problem):
        return heavy_pairs(coupling(program.problem), program.problem)
    return np.zeros(0, dtype=np.int64)


def _with_spare_distortion(chain: list[Level], budget: Budget, background: Background) -> list[Level]:
    """Give every coarser level as much distortion above its own D_min(P) as the finest one has.

    The finest one's D_min(P) is asked for when the next coarser one's is not sharp enough to tell.
    """
    least = [
        level._replace(
            program=dataclasses.replace(
                level.program, objective=level.program.problem.distortion_cost, max_distortion=math.inf
            )
        )
        for level in chain
    ]
    found = _through(least, 0.0, budget, None, finest=1)
    answers = [answer for answer in found[1:] if answer is not None]
    if len(answers) < len(chain) - 1:
        return chain[:1]
    floors = [
        expected(level.program.problem.distortion_cost, answer.joint)
        for level, answer in zip(chain[1:], answers, strict=True)
    ]
    limit = chain[0].program.max_distortion
    # errors of second order in the cell: a third of the last change is left
    left = (floors[0] - floors[1]) / 3 if len(floors) > 1 else 0.1 * floors[0]
    spare, local = limit - floors[0] - left, chain[0].local
    known = spare > abs(left)
    if not known and len(floors) > 1:
        goal = max(SHARP * abs(left), COARSE_TOL * mean_cost(least[0].program))
        rough = _level(least, found, 0, goal, budget, None)
        if rough is not None:
            spare = limit - expected(least[0].program.problem.distortion_cost, rough.joint)
            local = np.union1d(local, heavy_pairs(rough.joint, chain[0].program.problem))
            known = spare > 3 * goal
    if not known and background.near is not None:
        spare = limit - background.near.distortion
        local = np.union1d(local, heavy_pairs(background.near.witness, chain[0].program.problem))
    out = [chain[0]._replace(local=local)]
    for level, answer, floor in zip(chain[1:], answers, floors, strict=True):
        program = dataclasses.replace(level.program, max_distortion=floor + spare)
        out.append(Level(program, level.grouped, np.union1d(level.local, heavy_pairs(answer.joint, program.problem))))
    return out


def _coarse_program(program: Program, coarse: Grouped) -> Program:
    allowed = program.allowed
    if allowed is not None:  # what any of the merged pairs may do
        rows = np.zeros((coarse.problem.n_y, allowed.shape[1]), dtype=bool)
        np.logical_or.at(rows, coarse.group_y, allowed)
        profiles, profile = coarse.problem.error_cost.profiles
        met = np.zeros((len(profiles), allowed.shape[1]))
        met[profile[coarse.group_x], program.problem.error_cost.profiles[1]] = 1.0
        allowed = rows.astype(np.float64) @ met.T > 0
    objective = _coarse_cost(program.objective, program.problem, coarse.problem)
    return dataclasses.replace(program, problem=coarse.problem, objective=objective, allowed=allowed)


def _coarse_cost(cost: Cost, fine: DiscreteProblem, coarse: DiscreteProblem) -> Cost:
    if isinstance(cost, PricedCost):
        return PricedCost(_coarse_cost(cost.base, fine, coarse), _coarse_cost(cost.extra, fine, coarse), cost.price)
    return coarse.error_cost if cost is fine.error_cost else coarse.distortion_cost


def _blocks(keys: Indices, coarse: Level, fine: DiscreteProblem) -> Indices:
    """Keys of the finer pairs that a coarser level's pairs stand for."""
    assert coarse.grouped is not None
    rows, columns = np.divmod(keys, coarse.program.problem.n_x)
    members_y, members_x = _incidence(coarse.grouped.group_y), _incidence(coarse.grouped.group_x)
    pattern = csr_array((np.ones(len(keys)), (rows, columns)), shape=coarse.program.problem.shape)
    rows, columns = (members_y.T @ pattern @ members_x).nonzero()
    return pair_keys(rows, columns, fine.n_x)


def _incidence(group: Indices) -> csr_array:
    return csr_array((np.ones(len(group)), (group, np.arange(len(group)))))


def _prolonged(answer: Answer, coarse: Program, fine: Program) -> Start:
    """Prices of a coarser level; the logarithm of q/p is interpolated between the letters of each class."""
    there, here = coarse.problem, fine.problem
    q = np.asarray(answer.joint.sum(axis=0)).ravel()
    known = (there.p_x > 0) & (q > 0)
    log_ratio = np.zeros(here.n_x)
    places, targets = (cast(SquaredErrorCost, problem.distortion_cost).mean_x for problem in (there, here))
    for k in np.unique(here.classes):
        mine, theirs = here.classes == k, known & (there.classes == k)
        theirs = theirs if theirs.any() else known
        log_ratio[mine] = _interpolated(places[theirs], np.log(q[theirs] / there.p_x[theirs]), targets[mine])
    ratio = np.exp(np.clip(log_ratio, -200.0, 200.0))
    potential = answer.price_perception * cast(FDivergence, here.perception).descent(ratio)
    return Start(answer.price_distortion, answer.price_perception, potential, PROLONGED)


def _interpolated(places: Array, values: Array, targets: Array) -> Array:
    """Thin-plate splines through the nearest places, which extend linearly beyond the last ones."""
    if len(places) >= 5:
        with contextlib.suppress(LinAlgError):  # places that coincide, or lie on one line of the plane
            return np.asarray(RBFInterpolator(places, values, neighbors=min(PLACES, len(places)), degree=1)(targets))
    return np.asarray(values[KDTree(places).query(targets)[1]])
