"""Cases that need no iteration: no perception level, couplings that reproduce the source, class-wise flat channels."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from cdp_toy.certificates import Evaluation, Program, channel_of, evaluate
from cdp_toy.costs import SquaredErrorCost
from cdp_toy.finite import DiscreteProblem
from cdp_toy.validation import Array, Mask

__all__ = ["Hint", "cheap_anchors", "coupling", "flat_profiles", "without_perception"]


class Hint(NamedTuple):
    """What a solver proposes; nothing in it is trusted."""

    joint: Array | None
    price_distortion: float
    potential: Array
    solver: str


def without_perception(program: Program) -> Hint:
    """Exact optimum when only the distortion level binds: a fractional knapsack over the rows.

    For a price lam every row takes argmin of objective + lam distortion; the choice changes only at the finitely many
    prices where two classes tie. At the price where the distortion crosses D, the choices on both sides are mixed.
    """
    problem = program.problem
    support = program.support()
    objective = np.where(support, program.objective.table(), np.inf)
    distortion = problem.distortion_cost.table()
    profiles = problem.error_cost.profiles[1]
    # within a profile the error is constant, so that the objective rises with the distortion: one best column for each
    columns = np.stack(
        [
            np.where(profiles == k, np.where(support, distortion, np.inf), np.inf).argmin(axis=1)
            for k in np.unique(profiles)
        ],
        axis=1,
    )
    rows = np.arange(problem.n_y)[:, None]
    cost, spread = objective[rows, columns], distortion[rows, columns]
    zero = np.zeros(problem.n_x)

    def joint(choice: Array) -> Array:
        out = np.zeros(problem.shape)
        out[rows[:, 0], columns[rows[:, 0], choice]] = problem.p_y
        return out

    def choice_at(price: float) -> Array:
        return np.asarray(np.argmin(cost + price * spread, axis=1))

    def level(choice: Array) -> float:
        return float(problem.p_y @ spread[rows[:, 0], choice])

    pairs = [(a, b) for a in range(cost.shape[1]) for b in range(a)]
    with np.errstate(divide="ignore", invalid="ignore"):
        ties = [(cost[:, a] - cost[:, b]) / (spread[:, b] - spread[:, a]) for a, b in pairs]
    breaks = np.unique(np.concatenate([*ties, [1.0]]))
    breaks = breaks[np.isfinite(breaks) & (breaks > 0)]
    between = np.concatenate([[breaks[0] / 2], (breaks[:-1] + breaks[1:]) / 2, [2 * breaks[-1]]])
    cheap = choice_at(float(between[0]))
    if level(cheap) <= program.max_distortion:
        return Hint(joint(cheap), 0.0, zero, "closed form without a perception level")
    low, high = 0, len(between) - 1
    while high - low > 1:  # distortion falls as its price rises
        middle = (low + high) // 2
        low, high = (low, middle) if level(choice_at(between[middle])) <= program.max_distortion else (middle, high)
    dear, cheap = choice_at(float(between[high])), choice_at(float(between[low]))
    span = level(cheap) - level(dear)
    share = min(max((program.max_distortion - level(dear)) / span, 0.0), 1.0) if span > 0 else 0.0
    mixed = share * joint(cheap) + (1 - share) * joint(dear)
    return Hint(mixed, float(breaks[high - 1]), zero, "fractional knapsack without a perception level")


def coupling(problem: DiscreteProblem) -> Array:
    """Joint law with marginals p_Y and p_X, monotone in the posterior mean where there is one: perception 0."""
    cost = problem.distortion_cost
    if isinstance(cost, SquaredErrorCost) and cost.mean_x.shape[1] == 1:
        rows, columns = np.argsort(cost.mean_y[:, 0]), np.argsort(cost.mean_x[:, 0])
    else:
        rows, columns = np.arange(problem.n_y), np.arange(problem.n_x)
    out = np.zeros(problem.shape)
    i = j = 0
    left_row, left_column = float(problem.p_y[rows[0]]), float(problem.p_x[columns[0]])
    while True:
        moved = min(left_row, left_column)
        out[rows[i], columns[j]] += moved
        left_row, left_column = left_row - moved, left_column - moved
        if left_row <= left_column:
            i += 1
            if i == problem.n_y:
                break
            left_row = float(problem.p_y[rows[i]])
        else:
            j += 1
            if j == problem.n_x:
                break
            left_column = float(problem.p_x[columns[j]])
    # cumulative rounding can starve the lightest letters; a trace of the independent coupling feeds them
    return (1 - 1e-9) * out + 1e-9 * np.outer(problem.p_y, problem.p_x)


def cheap_anchors(program: Program) -> Iterator[Evaluation]:
    """Channels that may be feasible and cost nothing: the coupling, pulled towards the least-distortion rows."""
    problem = program.problem
    if program.allowed is None:
        start = coupling(problem)
        support = program.support()
        least = np.zeros(problem.shape)
        nearest = np.where(support, problem.distortion_cost.table(), np.inf).argmin(axis=1)
        least[np.arange(problem.n_y), nearest] = problem.p_y
        for share in (0.0, 0.1, 0.3, 0.6):
            yield evaluate(program, channel_of(program, (1 - share) * start + share * least))
    else:
        joint = np.zeros(problem.shape)
        shares = flat_profiles(problem, program.allowed)
        for k in range(program.allowed.shape[1]):
            law = np.where(problem.error_cost.profiles[1] == k, problem.p_x, 0.0)
            if law.sum() > 0:
                joint += np.outer(problem.p_y * shares[:, k], law / law.sum())
        yield evaluate(program, channel_of(program, joint))


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
