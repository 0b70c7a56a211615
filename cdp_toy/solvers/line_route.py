"""Programs on the line by Newton's method on cuts: from a neighbour's output law, or from nothing.

From nothing the law of least distortion at the level of perception is found first, from a blend, with the places of
cuts blurred and then exactly. For a level of distortion above, the blurred law moves away from that one until its
distortion has risen as much, and is a start for the exact one. Where neither level has a price nothing is left but a
channel of the least error rate: the cut between the decisions is held, and distortion is least.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from scipy.optimize import brentq

from cdp_toy.certificates import Program
from cdp_toy.edges import Hint, coupling
from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.bulk_duals import Multipliers
from cdp_toy.solvers.line import LineProblem, line_problem, next_to
from cdp_toy.solvers.line_newton import Best, Task, best_laws, distortions, leaving
from cdp_toy.validation import Array, Mask

__all__ = ["hint", "suits"]

#: Levels are met with this share of the slack to spare: rounding of a channel's sums stays below.
SPARE_SHARE = 0.05
#: Levels on the way to those that are asked for, those included where the method did not end.
MOST_TRIES = 6
#: How much places are blurred, one after another: the first alone is enough nearly everywhere.
BLURS = (1.0, 0.3, 0.1)
#: A law of least distortion is found exactly where less than this is left above that of the blurred one, as a share of
#: what blurring changes; elsewhere the distortion of the blurred law itself tells how much is left.
SHARP = 1.0
#: Letters of less than this share of their source mass in a law that the method got stuck at are left out, ...
VANISHED = 1e-3
#: ... so many times: where more than the outermost ones want no mass (reverse_chi2 at large levels) others are faster.
MOST_NARROWED = 3
#: Share of the source law that a blend keeps at least.
LEAST_SOURCE = 1e-9


def suits(program: Program) -> bool:
    """Whether the method applies to the error rate of channels at two levels."""
    levels = 0 < program.max_perception < math.inf and math.isfinite(program.max_distortion)
    return levels and program.allowed is None and line_problem(program.problem) is not None


def hint(program: Program, budget: Budget, law: Array | None = None, tries: int = MOST_TRIES) -> Hint | None:
    """The best law of a program, from one nearby or from nothing; None where the method does not apply or end.

    Parameters
    ----------
    program : Program
    budget : Budget
        Of steps.
    law : array of shape (n_xhat,), optional
        Output law of a neighbour.
    tries : int
        Attempts from there, those at levels on the way included.
    """
    problem, least = program.problem, program.objective is program.problem.distortion_cost
    priced = math.isfinite(program.max_distortion)
    known = least or priced or law is not None
    if not 0 < program.max_perception < math.inf or not known or not (least or program.allowed is None):
        return None
    whole = line_problem(problem)
    if whole is None or not (least or program.objective is problem.error_cost):
        return None
    limit = program.max_distortion - SPARE_SHARE * program.distortion_slack if priced else math.inf
    level = program.max_perception - SPARE_SHARE * program.perception_slack
    line, letters = whole, np.ones(problem.n_x, dtype=bool)
    for _ in range(MOST_NARROWED):
        held = None if program.allowed is None else _held(line, program)
        if program.allowed is not None and held is None:
            return None
        task = Task(line.distance_steps if least else line.error_steps, priced, held, budget=budget)
        best = _best(line, task, None if law is None else line.ordered(law[None]), limit, level, tries)
        if best.ended[0]:
            return _hint(program, whole, letters, best)
        kept = _kept(line, best)
        if kept is None or kept.all() or kept.sum() < 3:
            return None
        level -= float(line.perception.generator(np.full(1, -1.0))[0] * line.p_x[~kept].sum())
        line, letters[letters] = line.narrowed(kept), kept
    return None


def _kept(line: LineProblem, stuck: Best) -> Mask | None:
    """Letters that want mass, after a law that the method got stuck at; None where all of them always do."""
    with np.errstate(all="ignore"):
        may_vanish = np.isfinite(line.perception.descent(np.zeros(1)))
    return np.asarray(stuck.laws[0] > VANISHED * line.p_x) if may_vanish.all() else None


def _hint(program: Program, line: LineProblem, letters: Mask, best: Best) -> Hint:
    """What is found for some letters of a problem, for all of them."""
    law, potential, price = np.zeros(len(letters)), best.multipliers.potential[0], best.multipliers.price_distortion[0]
    law[letters] = best.laws[0]
    if not letters.all():  # as much as leaves the row minima as they are
        least = program.objective is program.problem.distortion_cost
        cost = price * line.distance + (line.distance if least else line.error)
        minima = (cost[:, letters] - potential).min(axis=1)
        potential = (cost - minima[:, None]).min(axis=0)
    found, potential = (line.restored(values[None])[0] for values in (law, potential))
    return Hint(coupling(program.problem, found), float(price), potential, "Newton's method on cuts")


def _best(line: LineProblem, task: Task, start: Array | None, limit: float, level: float, tries: int) -> Best:
    """The best law at two levels, from one nearby or from nothing, as far as the method comes."""
    if start is not None:
        return _by_steps(line, task, start, limit, level, tries) if (start > 0).all() else _unfinished(start)
    if not task.priced:
        return _least(line, task, level)
    best = _from_least(line, task, limit, level)
    if best.ended[0]:
        return best
    flat = _of_least_error(line, task, level)
    if flat is None or distortions(line, flat.laws)[0] > limit:
        return best
    return _unfinished(flat.laws)._replace(ended=flat.ended)


def _unfinished(laws: Array) -> Best:
    free = np.zeros(1)
    return Best(laws, Multipliers(free, free, np.zeros(laws.shape), free), np.zeros(1, dtype=bool))


def _blurred_least(line: LineProblem, task: Task, level: float) -> Best:
    """The blurred law of least distortion."""
    start = _blend(line, level, task.held)[None]
    return best_laws(line, replace(task, blur=BLURS[0]), start, np.full(1, math.inf), np.full(1, level))


def _least(line: LineProblem, task: Task, level: float) -> Best:
    """The law of least distortion."""
    blurred = _blurred_least(line, task, level)
    return _by_steps(line, task, blurred.laws, math.inf, level) if blurred.ended[0] else blurred


def _from_least(line: LineProblem, task: Task, limit: float, level: float) -> Best:
    """The best law at two levels, by way of the law of least distortion."""
    least = replace(task, steps=line.distance_steps, priced=False)
    blurred = _blurred_least(line, least, level)
    if not blurred.ended[0]:
        return blurred
    lowest, floor = distortions(line, blurred.laws), distortions(line, blurred.laws, BLURS[0])
    if limit - lowest[0] < SHARP * abs(floor[0] - lowest[0]):
        exact = _by_steps(line, least, blurred.laws, math.inf, level)
        if not exact.ended[0]:
            return exact
        lowest = distortions(line, exact.laws)
    spare = limit - float(lowest[0])
    if spare <= 0:
        return _unfinished(blurred.laws)
    levels, (start, prices) = np.full(1, level), leaving(line, blurred, BLURS[0], spare)
    best = best_laws(line, replace(task, blur=BLURS[0]), start, floor + spare, levels, prices)
    for blur in (0.0, *BLURS[1:], 0.0):
        if not best.ended[0]:
            return best
        closer = best_laws(line, replace(task, blur=blur), best.laws, np.full(1, limit), levels, best.multipliers[:2])
        if blur == 0 and closer.ended[0]:
            return closer
        best = closer if blur > 0 else best
    return closer


def _of_least_error(line: LineProblem, task: Task, level: float) -> Best | None:
    """A law that meets two levels with the least error rate there is, where neither has a price."""
    cuts = np.flatnonzero(np.any(line.error_steps != 0, axis=0))
    if len(cuts) != 1:
        return None
    wanted = line.error_steps[:, cuts[0]] > 0  # observations for the first class
    rows = int(wanted.sum())
    if not 0 < rows < len(wanted) or not wanted[:rows].all():
        return None
    task = replace(task, steps=line.distance_steps, priced=False, held=(rows - 1, int(cuts[0])))
    best = _least(line, task, level)
    return best if best.ended[0] else None


def _by_steps(
    line: LineProblem, task: Task, law: Array, max_distortion: float, max_perception: float, tries: int = MOST_TRIES
) -> Best:
    """The best law at levels, reached through levels on the way where the method does not end at once."""
    limits = np.full(1, max_distortion), np.full(1, max_perception)
    best = best_laws(line, task, law, *limits)
    if best.ended[0]:
        return best
    begun = line.achieved(law)
    done, step = 0.0, 0.25
    for _ in range(tries - 1):
        share = min(done + step, 1.0)
        p = (1 - share) * begun.perception + share * limits[1]
        d = (1 - share) * begun.distortion + share * limits[0] if task.priced else limits[0]
        best = best_laws(line, task, law, d, p)
        if not best.ended[0]:
            step /= 4
            continue
        if share == 1.0:
            return best
        law, done, step = best.laws, share, 2 * step
    return best._replace(ended=np.zeros(1, dtype=bool))


def _held(line: LineProblem, program: Program) -> tuple[int, int] | None:
    """The last observation and the last letter of the first class, when pairs across the classes are forbidden."""
    pairs = program.support()[line.rows][:, line.columns]
    rows, letters = int(pairs[:, 0].sum()), int(pairs[0].sum())
    first = np.outer(np.arange(len(pairs)) < rows, np.arange(pairs.shape[1]) < letters)
    last = np.outer(np.arange(len(pairs)) >= rows, np.arange(pairs.shape[1]) >= letters)
    parted = 0 < rows < len(pairs) and 0 < letters < pairs.shape[1] and bool((pairs == (first | last)).all())
    return (rows - 1, letters - 1) if parted else None


def _blend(line: LineProblem, level: float, held: tuple[int, int] | None) -> Array:
    """The source law blended with that of the letters next to the posterior means, as much as the level allows.

    Where a cut is held both laws have the masses of the observations on its sides.
    """
    parts = [(slice(None), slice(None))]
    if held is not None:
        row, cut = held[0] + 1, held[1] + 1
        parts = [(slice(None, row), slice(None, cut)), (slice(row, None), slice(cut, None))]
    source, nearest = np.empty(len(line.p_x)), np.empty(len(line.p_x))
    for rows, columns in parts:
        mass = line.p_y[rows]
        source[columns] = line.p_x[columns] * (mass.sum() / line.p_x[columns].sum())
        nearest[columns] = next_to(line.letters[columns], line.posterior_means[rows], mass)
    share = 1.0 - LEAST_SOURCE

    def excess(weight: float) -> float:
        return line.perception.value(line.p_x, (1 - weight) * source + weight * nearest) - level

    if excess(0.0) >= 0:
        return np.asarray((1 - LEAST_SOURCE) * source + LEAST_SOURCE * nearest)
    if excess(share) > 0:
        share = float(brentq(excess, 0.0, share, xtol=1e-12))
    return np.asarray((1 - share) * source + share * nearest)
