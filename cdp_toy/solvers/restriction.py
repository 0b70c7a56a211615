"""A program on some of its pairs, in units of its own: its arrays, and the states that an iteration may start from."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple, cast

import numpy as np

from cdp_toy.certificates import Program
from cdp_toy.costs import Cost
from cdp_toy.perceptions import FDivergence
from cdp_toy.solvers.iteration import LEVEL_SHARE
from cdp_toy.solvers.newton import Data, State
from cdp_toy.solvers.support import NormalMatrix, Support
from cdp_toy.validation import Array, Indices

__all__ = ["SavedState", "Units", "from_prices", "restricted"]

#: Rows are centred with this power of their mass. Twelve toys took 703 iterations with .5, 799 with .75, over 1038 with
#: 1; 80 x 80 cells, with rows of 1e-8 that are the last to settle, 107 with .5 and 68 with .3.
ROW_POWER = 0.3
#: Share of its row that a new pair takes at most.
FRESH = 0.02
#: Letters below this count as having no source mass: a hint only, and their ratios q/p overflow.
LIGHTEST_LETTER = 1e-15
#: Prices start no lower than this, in units of the mean cost.
LEAST_PRICE = 1e-6
#: A potential that has to be shifted starts as if its least letter had this ratio q/p.
SHIFTED_RATIO = 10.0


class SavedState(NamedTuple):
    """A state on some pairs, in units of the program, to be taken up on others."""

    keys: Indices  # row * n_x + column of the pairs, ascending
    x: Array
    z: Array
    u: Array  # of all observations
    v: Array  # of all letters; NaN at those outside of the support
    lam: float
    kap: float
    s: float
    t: float


@dataclass(frozen=True, eq=False)
class Units:
    """What turns states of a restricted program, in units of its own, into those of the program, and back."""

    program: Program
    keys: Indices
    used_rows: Indices
    used_columns: Indices
    cost: float
    distortion: float
    least_cost: Array  # of each row, which the program in its own units lacks
    least_distortion: Array

    def potential(self, v: Array) -> Array:
        """Potential of all letters."""
        return self._spread(self.cost * v, self.used_columns, self.program.problem.n_x)

    def saved(self, state: State) -> SavedState:
        """A state in units of the program."""
        problem = self.program.problem
        lam = self.cost / self.distortion * float(state.lam)
        u = self.cost * state.u + self.least_cost + lam * self.least_distortion
        return SavedState(
            self.keys,
            state.x,
            self.cost * state.z,
            self._spread(u, self.used_rows, problem.n_y),
            self.potential(state.v),
            lam,
            self.cost * float(state.kap),
            self.distortion * float(state.s),
            float(state.t),
        )

    def resumed(self, data: Data, old: SavedState) -> State:
        """A state of other pairs, in units of this program; new pairs are as central as the old ones."""
        support = data.support
        lam = old.lam * self.distortion / self.cost
        u = (old.u[self.used_rows] - self.least_cost - old.lam * self.least_distortion) / self.cost
        v = old.v[self.used_columns] / self.cost
        v = np.where(np.isfinite(v), v, np.nanmin(v))
        x, z = np.full(support.size, np.nan), np.full(support.size, np.nan)
        kept = np.isin(old.keys, self.keys, assume_unique=True)
        known = np.searchsorted(self.keys, old.keys[kept])
        x[known], z[known] = old.x[kept], old.z[kept] / self.cost
        levels = (np.float64(number) for number in (lam, old.kap / self.cost, old.s / self.distortion, old.t))
        state = State(x, z, u, v, np.zeros_like(v), *levels)
        gap = float(old.x @ old.z) / self.cost + state.lam * state.s + state.kap * state.t
        new = np.isnan(x)
        rows, columns = support.rows[new], support.columns[new]
        product = (1 - 2 * LEVEL_SHARE) * gap * data.weight[new]
        reduced = data.priced(state.lam)[new] - u[rows] - v[columns]
        z[new] = np.maximum(reduced, product / (FRESH * data.p_y[rows]))
        x[new] = product / z[new]
        x *= (data.p_y / support.row_sums(x))[support.rows]
        return state._replace(x=x, q=support.column_sums(x))

    @staticmethod
    def _spread(values: Array, places: Indices, size: int) -> Array:
        out = np.full(size, np.nan)
        out[places] = values
        return out


def restricted(program: Program, keys: Indices) -> tuple[Data, Units]:
    """Arrays of a program on some of its pairs, in units of its own."""
    problem = program.problem
    rows, columns = np.divmod(keys, problem.n_x)
    seen = problem.p_y > 0
    if not seen.all():
        keys, rows, columns = keys[seen[rows]], rows[seen[rows]], columns[seen[rows]]
    met = np.zeros(problem.n_x, dtype=bool)
    met[columns] = True
    used_rows, used_columns = np.flatnonzero(seen), np.flatnonzero(met)
    support = Support((np.cumsum(seen) - 1)[rows], (np.cumsum(met) - 1)[columns], (len(used_rows), len(used_columns)))
    p_y, p_x = problem.p_y[used_rows], problem.p_x[used_columns]

    def above_least(cost: Cost) -> tuple[Array, Array, float]:
        values = cost.entries(rows, columns)
        least = support.row_minima(values)
        unit = abs(cost.mean(problem.p_y, problem.p_x) - float(p_y @ least)) or 1.0
        return (values - least[support.rows]) / unit, least, unit

    cost, least_cost, unit = above_least(program.objective)
    distortion, limit, distortion_unit, least_distortion = None, math.inf, 1.0, np.zeros(len(p_y))
    if math.isfinite(program.max_distortion):
        distortion, least_distortion, distortion_unit = above_least(problem.distortion_cost)
        limit = (program.max_distortion - float(p_y @ least_distortion)) / distortion_unit
    weight = (p_y**ROW_POWER)[support.rows]
    divergence = cast(FDivergence, problem.perception)
    data = Data(
        support,
        NormalMatrix(support),
        p_y,
        p_x,
        p_x > LIGHTEST_LETTER,
        cost,
        distortion,
        limit,
        divergence.sum_level(program.max_perception),
        weight / weight.sum(),
        divergence,
    )
    return data, Units(program, keys, used_rows, used_columns, unit, distortion_unit, least_cost, least_distortion)


def from_prices(data: Data, lam: float, kap: float, v: Array, barrier: float) -> State:
    """Row-wise barrier solutions at given prices and potential: sum_j tau w_i/(c_ij - u_i) = p_Y_i."""
    support = data.support
    # a price of zero never leaves it
    kap, lam = max(kap, LEAST_PRICE), 0.0 if data.distortion is None else max(lam, LEAST_PRICE)
    if math.isfinite(data.divergence.slope_at_infinity) and v.min() <= 0:  # potentials of others may be shifted
        v = v - v.min() + kap * data.descent(SHIFTED_RATIO * data.p_x).max()
    c = data.priced(lam) - v[support.columns]
    least = support.row_minima(c)
    above = c - least[support.rows]
    weight = barrier * data.weight
    # the row sum is convex and falls in the distance of u from the least cost: Newton's method from the left
    depth = support.row_sums(np.where(above == 0, weight, 0.0)) / data.p_y
    for _ in range(60):
        quotient = weight / (above + depth[support.rows])
        excess = support.row_sums(quotient) - data.p_y
        if np.all(excess <= 1e-12 * data.p_y):
            break
        depth += np.maximum(excess, 0.0) / support.row_sums(quotient / (above + depth[support.rows]))
    z = above + depth[support.rows]
    x = weight / z
    x *= (data.p_y / support.row_sums(x))[support.rows]
    q = support.column_sums(x)
    s = 0.0
    if data.distortion is not None:
        spent = float(x @ data.distortion)
        s = max(data.max_distortion - spent, 0.1 * spent, 1e-3)
    t = max(data.max_perception - data.value(q), 0.1 * data.max_perception)
    # NumPy's scalars: a division by zero is a breakdown that shows, not an exception
    return State(x, z, least - depth, v, q, *(np.float64(number) for number in (lam, kap, s, t)))
