"""The loop of the interior-point method: predictor, corrector, centrality corrections, a damped step, until the end."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.newton import Data, Residuals, State, System, residuals, step_lengths
from cdp_toy.validation import Array

__all__ = ["LEVEL_SHARE", "Path", "iterate"]

#: Iterations before giving up: the toy takes 15-25 from prices, 80 x 80 cells up to 70.
MOST_ITERATIONS = 200
#: A merit this much above the best one will not come back: the restricted program is infeasible.
HOPELESS = 1e6
#: Steps without the merit falling by half that are too many.
LONG = 30
#: Share of the way to the boundary that a step goes at most: 80 x 80 cells took 68 steps with .99, 57 with .95.
STEP = 0.95
#: A step is halved while it makes the merit grow by more than this factor, and as long as it is longer than that.
GROWTH, SHORTEST = 2.0, 1e-3
#: The complementarity keeps at least this share of what the equations miss: it would run away to nothing.
AHEAD = 1e-2
#: Share of the complementarity that the two levels carry each.
LEVEL_SHARE = 0.1
#: Centrality corrections of a step (Gondzio 1996): how many at most, how much longer the step is to become, by how much
#: one has to lengthen it, and the products, in units of the target, that are let be. Ten programs took 159
#: factorizations without, 136 with one, 125 with two, 119 with three.
CORRECTIONS, LONGER, WORTHWHILE, CENTRAL = 2, 0.2, 0.02, (0.1, 10.0)
#: States are kept whenever the merit has fallen by this factor, and in the end, for other pairs to be taken up from.
APART = 0.1


@dataclass(eq=False)
class Path:
    """Where the iteration went: the best state and its merit, all prices met, and states at falling merits."""

    best: State | None = None
    merit: float = math.inf
    trail: list[tuple[float, Array]] = field(default_factory=list)
    checkpoints: list[tuple[float, State]] = field(default_factory=list)
    halved: int = 0  # steps by when the merit had fallen by half
    _half: float = math.inf

    def meet(self, state: State, merit: float, tol: float) -> None:
        """Take note of a state."""
        self.trail.append((state.lam, state.v))
        if not self.checkpoints or merit <= max(APART * self.checkpoints[-1][0], tol):
            self.checkpoints.append((merit, state))
        if merit < self.merit:
            self.best, self.merit = state, merit
        if merit < self._half:
            self.halved, self._half = len(self.trail), merit / 2

    @property
    def stalled(self) -> bool:
        """Whether the merit has long not been halved."""
        return len(self.trail) > self.halved + LONG


def iterate(data: Data, state: State, tol: float, budget: Budget) -> Path:
    """SavedState until complementarity and what the equations miss are worth no more than `tol`."""
    path = Path()
    missed = residuals(data, state)
    try:
        for _ in range(MOST_ITERATIONS):
            merit = state.gap() + missed.size(state)
            if not math.isfinite(merit):
                break
            path.meet(state, merit, tol)
            if merit <= tol or merit > HOPELESS * path.merit or path.stalled or not budget.step():
                break
            system = System(data, state, missed)
            if system.solve is None:
                break
            state, missed = _next(data, state, system, merit)
    except KeyboardInterrupt:  # what is found by now is kept
        budget.interrupted = True
    return path


def _next(data: Data, state: State, system: System, merit: float) -> tuple[State, Residuals]:
    """Predictor and correctors, with step lengths of their own for what is primal and what is dual."""
    gap = state.gap()
    affine = system.step(-state.x * state.z, -state.lam * state.s, -state.kap * state.t)
    primal, dual = step_lengths(data, state, affine, 1.0)
    products, *others = state.products(affine, primal, dual)
    sigma = min(max(((products.sum() + sum(others)) / gap) ** 3, (1 - min(primal, dual)) ** 3, 1e-4), 1.0)
    target = max(sigma * gap, min(gap, AHEAD * (merit - gap)))
    pairs, levels = (1 - 2 * LEVEL_SHARE) * target * data.weight, LEVEL_SHARE * target
    asked = (
        pairs - state.x * state.z - affine.x * affine.z,
        levels - state.lam * state.s - affine.lam * affine.s,
        levels - state.kap * state.t - affine.kap * affine.t,
    )
    step = system.step(*asked)
    primal, dual = step_lengths(data, state, step, STEP)
    for _ in range(CORRECTIONS):
        if min(primal, dual) >= STEP:
            break
        reached = state.products(step, min(primal + LONGER, 1.0), min(dual + LONGER, 1.0))
        asked = (
            asked[0] + _towards(reached[0], pairs),
            asked[1] + float(_towards(reached[1], levels)),
            asked[2] + float(_towards(reached[2], levels)),
        )
        corrected = system.step(*asked)
        lengths = step_lengths(data, state, corrected, STEP)
        if not (sum(lengths) >= primal + dual + WORTHWHILE and np.isfinite(corrected.x).all()):
            break
        step, (primal, dual) = corrected, lengths
    while True:
        there = state.moved(step, primal, dual)
        missed = residuals(data, there)
        # where f bends fast, a step that is too long throws the divergence far off
        if there.gap() + missed.size(there) <= GROWTH * merit or max(primal, dual) < SHORTEST:
            return there, missed
        primal, dual = primal / 2, dual / 2


def _towards(products: Array | float, target: Array | float) -> Array:
    """What products that are too small or too large lack, the latter no more than they should be."""
    low, high = CENTRAL[0] * target, CENTRAL[1] * target
    return np.maximum(low - products, 0.0) - np.minimum(np.maximum(products - high, 0.0), high)
