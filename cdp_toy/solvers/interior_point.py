"""Primal-dual interior-point method for smooth f-divergences: a Newton system in the potential alone.

The program in the joint law x = p_Y W, the output law q, row multipliers u, the potential v, prices lam and kap:

    min sum x e   s.t.  row sums of x = p_Y,  column sums of x = q,  sum x d + s = D,  sum p f(q/p) + t = P,
    z = e + lam d - u - v >= 0,  v = kap (f'(inf) - f'(q/p)),   x z = mu w,  lam s = mu w0,  kap t = mu w0.

Eliminating x, z, u and q from the Newton step leaves a symmetric positive definite system M dv = ... of the size of the
output alphabet, with th = x/z and the secant H of q against -v between the two sides of v = kap (f'(inf) - f'(q/p)):

    M = diag(colsum th) - th' diag(1/rowsum th) th + diag(H).

For the Kullback-Leibler divergence H = q/v: v q = kap p is then treated as a bilinear complementarity. Everything that
is returned is a hint; `certificates` proves what it is worth.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_array

from cdp_toy.certificates import Program
from cdp_toy.edges import Hint
from cdp_toy.perceptions import FDivergence
from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.iteration import Path, iterate
from cdp_toy.solvers.restriction import SavedState, Units, from_prices, restricted
from cdp_toy.validation import Array, Indices
from cdp_toy.validation import refuse_if_too_large as refuse_bytes

__all__ = ["COLD_BARRIER", "NEIGHBOUR_BARRIER", "Answer", "Start", "hint", "refuse_if_too_large", "solve_on", "suits"]

#: Barrier of all rows together to start with from nothing and from a neighbour's prices, in units of the mean cost.
COLD_BARRIER, NEIGHBOUR_BARRIER = 3.0, 0.02
#: Merit of a state, in units of the mean cost, from which programs with other levels are taken up: with 5e-5 it took
#: one iteration more, with 5e-6 up to twice as many.
CENTRAL_MERIT = 5e-4
#: Dense tables that live at once.
TABLES = 16


class Start(NamedTuple):
    """Prices and a potential to start from, in units of the program, and the barrier of all rows together."""

    price_distortion: float
    price_perception: float
    potential: Array
    barrier: float


@dataclass(frozen=True, eq=False)
class Answer:
    """The best that the iteration met, in units of the program."""

    path: Path
    units: Units
    #: state of an earlier round for neighbours to be taken up from
    earlier: SavedState | None = None

    @cached_property
    def _best(self) -> SavedState:
        assert self.path.best is not None
        return self.units.saved(self.path.best)

    @cached_property
    def joint(self) -> csr_array:
        """Joint law on the support."""
        problem = self.units.program.problem
        return csr_array((self._best.x, np.divmod(self._best.keys, problem.n_x)), shape=problem.shape)

    @property
    def price_distortion(self) -> float:
        """Price of the distortion level."""
        return self._best.lam

    @property
    def price_perception(self) -> float:
        """Price of the perception level."""
        return self._best.kap

    @property
    def potential(self) -> Array:
        """Potential of every letter; NaN at letters outside of the support."""
        return self._best.v

    @property
    def merit(self) -> float:
        """Complementarity, and what the equations miss, in units of the objective."""
        return self.units.cost * self.path.merit

    def checkpoint_above(self, merit: float) -> SavedState:
        """The last state kept whose merit was at least this one, or the first one."""
        checkpoints = [state for worth, state in self.path.checkpoints if self.units.cost * worth >= merit]
        return self.units.saved(checkpoints[-1] if checkpoints else self.path.checkpoints[0][1])

    def central_state(self) -> SavedState | None:
        """The last state that is central enough for a program with other levels, from this round or an earlier one."""
        central = [state for merit, state in self.path.checkpoints if merit >= CENTRAL_MERIT]
        return self.units.saved(central[-1]) if central else self.earlier

    def trail(self) -> Iterator[tuple[float, Array]]:
        """Prices and potentials of all states."""
        price = self.units.cost / self.units.distortion
        return ((price * float(lam), self.units.potential(v)) for lam, v in self.path.trail)

    def hint(self, solver: str) -> Hint:
        """What certificates are to prove: the best state, and the prices of all."""
        state = self.central_state()
        return Hint(self.joint, self.price_distortion, self.potential, solver, self.trail, state)


def suits(program: Program) -> bool:
    """Whether the method applies: a smooth divergence at a finite positive level."""
    perception = program.problem.perception
    if not (isinstance(perception, FDivergence) and perception.smooth):
        return False
    return program.max_perception > 0 and perception.sum_level(program.max_perception) < math.inf


def refuse_if_too_large(program: Program) -> None:
    """Refuse a program whose tables of all pairs would not fit in memory."""
    n_y, n_x = program.problem.shape
    what = f"the interior-point method on all of {n_y:,} x {n_x:,} pairs"
    refuse_bytes(8.0 * TABLES * n_y * n_x, what, 'Use solver="auto" or "levels", or a smaller n.')


def hint(program: Program, tol: float, budget: Budget) -> Hint | None:
    """Solve a program on all of its pairs to a complementarity gap of about `tol`.

    Parameters
    ----------
    program : Program
        One that the method `suits`.
    tol : float
        Gap at which to stop, in units of the objective.
    budget : Budget

    Returns
    -------
    Hint or None
        None when the iteration broke down without a usable point.
    """
    refuse_if_too_large(program)
    answer = solve_on(program, np.flatnonzero(program.support()), tol, budget)
    return None if answer is None else answer.hint("interior point")


def solve_on(
    program: Program, keys: Indices, tol: float, budget: Budget, start: Start | SavedState | None = None
) -> Answer | None:
    """Solve a program restricted to some of its allowed pairs.

    Parameters
    ----------
    program : Program
    keys : integer array of shape (m,)
        row * n_x + column of the pairs, ascending, with at least one for every observation with mass.
    tol : float
        Gap at which to stop, in units of the objective.
    budget : Budget
    start : Start or SavedState, optional
        Prices and potential of a neighbour, or a state on some of these pairs; from scratch without.
    """
    data, units = restricted(program, keys)
    with np.errstate(all="ignore"):  # a breakdown shows in the numbers, and those are looked at
        if start is None:
            first = from_prices(data, 1.0, 1.0, data.descent(data.p_x), COLD_BARRIER)
        elif isinstance(start, SavedState):
            first = units.resumed(data, start)
        else:
            first = from_prices(
                data,
                start.price_distortion * units.distortion / units.cost,
                start.price_perception / units.cost,
                start.potential[units.used_columns] / units.cost,
                start.barrier,
            )
        path = iterate(data, first, tol / units.cost, budget)
    return None if path.best is None else Answer(path, units)
