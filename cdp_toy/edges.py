"""Cases that need no iteration: no perception level, couplings that reproduce the source, class-wise flat channels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple, cast

import numpy as np
from scipy.sparse import csr_array

from cdp_toy.certificates import Evaluation, Program, channel_of, evaluate
from cdp_toy.costs import SquaredErrorCost
from cdp_toy.couplings import monotone
from cdp_toy.finite import DiscreteProblem
from cdp_toy.pricing import Pricing
from cdp_toy.validation import Array, Indices, Mask

__all__ = ["SLACK_SHARE", "Hint", "cheap_anchors", "coupling", "flat_profiles", "on_line", "without_perception"]

#: Share of the slack of a level that is used on purpose, where nothing is feasible without.
SLACK_SHARE = 0.9


class Hint(NamedTuple):
    """What a solver proposes; nothing in it is trusted."""

    joint: Array | None
    price_distortion: float
    potential: Array
    solver: str
    #: prices and potentials met on the way
    trail: Callable[[], Iterable[tuple[float, Array]]] = tuple
    #: what a neighbouring program may be taken up from; only the solver that left it looks inside
    state: object | None = None


def without_perception(program: Program) -> Hint:
    """Exact optimum when only the distortion level binds: a fractional knapsack over the rows.

    For a price lam every row takes argmin of objective + lam distortion, a choice among one letter for every profile.
    The Lagrangian dual is concave and piecewise linear in lam; cutting planes find its kink, where choices on both
    sides of the level tie, and mixing these meets the level.
    """
    problem = program.problem
    rows = np.arange(problem.n_y)
    # within a profile the error is constant, so that the objective rises with the distortion: one best letter for each
    profiles = problem.error_cost.profiles[1]
    nearest = Pricing(problem.distortion_cost, program.reachable, program.allowed, profiles)
    letters = nearest.nearest(np.zeros(problem.n_x), profiles, 1)[1][:, :, 0]
    some = np.maximum(letters, 0)
    shape = letters.shape
    spread = problem.distortion_cost.entries(np.repeat(rows, shape[1]), some.ravel()).reshape(shape)
    cost = program.objective.entries(np.repeat(rows, shape[1]), some.ravel()).reshape(shape)
    cost = np.where(letters < 0, np.inf, cost)
    zero = np.zeros(problem.n_x)

    def choice_at(price: float) -> Choice:
        total = cost + price * spread
        # among ties the least distortion
        tied = total <= total.min(axis=1, keepdims=True)
        pick = np.where(tied, spread, np.inf).argmin(axis=1)
        return Choice(some[rows, pick], float(problem.p_y @ cost[rows, pick]), float(problem.p_y @ spread[rows, pick]))

    def joint(choice: Choice) -> csr_array:
        return csr_array((problem.p_y, (rows, choice.letters)), shape=problem.shape)

    limit = program.max_distortion
    cheap = choice_at(0.0)
    if cheap.distortion <= limit:
        return Hint(joint(cheap), 0.0, zero, "closed form without a perception level")
    low = np.where(letters < 0, np.inf, spread).argmin(axis=1)
    dear = Choice(some[rows, low], float(problem.p_y @ cost[rows, low]), float(problem.p_y @ spread[rows, low]))
    if dear.distortion > limit:  # below D_min by rounding, perhaps, which the bounds are granted too
        limit += SLACK_SHARE * program.distortion_slack
    price = 0.0
    while cheap.distortion > max(dear.distortion, limit) >= dear.distortion:
        price = (dear.cost - cheap.cost) / (cheap.distortion - dear.distortion)
        between = choice_at(price)
        if between.letters.tobytes() in (cheap.letters.tobytes(), dear.letters.tobytes()):
            break
        rounding = 1e-15 * (abs(dear.cost) + price * abs(dear.distortion))
        if between.cost + price * between.distortion >= dear.cost + price * dear.distortion - rounding:
            break  # the two sides tie with it
        cheap, dear = (between, dear) if between.distortion > limit else (cheap, between)
    span = cheap.distortion - dear.distortion
    share = min(max((limit - dear.distortion) / span, 0.0), 1.0) if span > 0 else 0.0
    mixed = csr_array(share * joint(cheap) + (1 - share) * joint(dear))
    return Hint(mixed, price, zero, "fractional knapsack without a perception level")


class Choice(NamedTuple):
    """One letter for every observation, and what that costs."""

    letters: Indices
    cost: float
    distortion: float


def on_line(problem: DiscreteProblem) -> bool:
    """Whether letters and observations are ordered, so that a monotone coupling is near any good channel."""
    cost = problem.distortion_cost
    return isinstance(cost, SquaredErrorCost) and cost.mean_x.shape[1] == 1


def coupling(problem: DiscreteProblem, law: Array | None = None) -> csr_array:
    """Joint law with marginals p_Y and p_X, or another law, monotone in the posterior mean where there is one."""
    return _coupled(problem, problem.p_y, problem.p_x if law is None else law)


def _coupled(problem: DiscreteProblem, mass: Array, law: Array) -> csr_array:
    """Coupling of a measure of observations with a measure of letters."""
    rows: Indices = np.arange(problem.n_y)
    columns: Indices = np.arange(problem.n_x)
    if on_line(problem):
        cost = cast(SquaredErrorCost, problem.distortion_cost)
        rows, columns = np.argsort(cost.mean_y[:, 0]), np.argsort(cost.mean_x[:, 0])
    i, j, moved = monotone(mass[rows], law[columns])
    joint = csr_array((moved, (rows[i], columns[j])), shape=problem.shape)
    # cumulative rounding can starve the lightest letters: the heaviest observation gives them what they lack
    lacking = np.maximum(law - np.asarray(joint.sum(axis=0)).ravel(), 0.0)
    letters = np.flatnonzero(lacking)
    heaviest = np.full(len(letters), np.argmax(mass))
    return csr_array(joint + csr_array((lacking[letters], (heaviest, letters)), shape=problem.shape))


def cheap_anchors(program: Program) -> Iterator[Evaluation]:
    """Channels that may be feasible and cost nothing: the coupling, pulled towards the least-distortion rows."""
    problem = program.problem
    if program.allowed is None:
        start = channel_of(program, coupling(problem))
        nearest = Pricing(problem.distortion_cost, program.reachable, None, problem.error_cost.profiles[1])
        one_group = np.zeros(problem.n_x, dtype=np.intp)
        letters = nearest.nearest(np.zeros(problem.n_x), one_group, 1)[1][:, 0, 0]
        least = csr_array((np.ones(problem.n_y), (np.arange(problem.n_y), letters)), shape=problem.shape)
        for share in (0.0, 0.1, 0.3, 0.6):
            yield evaluate(program, csr_array((1 - share) * start + share * least))
    else:
        joint = csr_array(problem.shape)
        shares = flat_profiles(problem, program.allowed)
        for k in range(program.allowed.shape[1]):
            law = np.where(problem.error_cost.profiles[1] == k, problem.p_x, 0.0)
            mass = problem.p_y * shares[:, k]
            if law.sum() > 0 and mass.sum() > 0:
                joint = joint + _coupled(problem, mass, law * (mass.sum() / law.sum()))
        yield evaluate(program, channel_of(program, csr_array(joint)))


def flat_profiles(problem: DiscreteProblem, allowed: Mask) -> Array:
    """Decisions on the allowed pairs whose masses of classes come near the source's, shape (n_y, G).

    G counts the profiles of the error cost: the classes, and mixtures of them in cells that are cut. Rows with one
    allowed profile have no choice. Rows that tie are shared between theirs in proportion to the mass that each still
    lacks; for two classes this is the nearest law there is.
    """
    target = np.bincount(problem.error_cost.profiles[1], weights=problem.p_x, minlength=allowed.shape[1])
    shares = allowed / allowed.sum(axis=1, keepdims=True)
    tied = allowed.sum(axis=1) > 1
    if tied.any():
        lacking = np.maximum(target - problem.p_y[~tied] @ shares[~tied], 0.0)
        wanted = allowed[tied] * lacking
        total = wanted.sum(axis=1, keepdims=True)
        shares[tied] = np.where(total > 0, wanted / np.where(total > 0, total, 1.0), shares[tied])
    return np.asarray(shares)
