"""The Newton system of the interior-point method: its data, the state it moves, what is missed, one step.

The formulas are those at the top of `interior_point`; here they are arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from cdp_toy.perceptions import FDivergence
from cdp_toy.solvers.pair_loops import LetterTerms, PairTerms, PriceTerms, pair_loops
from cdp_toy.solvers.support import NormalMatrix, Support
from cdp_toy.validation import Array, Mask

__all__ = ["Data", "Residuals", "State", "System", "residuals", "step_lengths"]

#: A secant counts up to this factor from the tangent: far from the solution f' may leave the range of doubles.
FARTHEST = 1e8


@dataclass(frozen=True, eq=False)
class Data:
    """A program in units of its own, on a support: one number per pair, costs of mean size one."""

    support: Support
    normal: NormalMatrix
    p_y: Array
    p_x: Array
    seen: Mask  # letters whose ratio q/p enters the divergence
    cost: Array
    distortion: Array | None
    max_distortion: float
    max_perception: float
    weight: Array  # of each pair in the complementarity
    divergence: FDivergence

    @cached_property
    def all_seen(self) -> bool:
        """Whether every letter has source mass."""
        return bool(self.seen.all())

    @cached_property
    def mass(self) -> Array:
        """Source law, 1 for letters without."""
        return self.p_x if self.all_seen else np.where(self.seen, self.p_x, 1.0)

    def priced(self, lam: float) -> Array:
        """Cost of every pair, with the distortion at its price."""
        return self.cost if self.distortion is None else self.cost + lam * self.distortion

    def descent(self, q: Array) -> Array:
        """f'(inf) - f'(q/p), 0 for letters without source mass."""
        if self.all_seen:
            return self.divergence.descent(q / self.p_x)
        return np.where(self.seen, self.divergence.descent(np.where(self.seen, q, 1.0) / self.mass), 0.0)

    def value(self, q: Array) -> float:
        """Sum of p f(q/p)."""
        p, last = self.mass, self.divergence.slope_at_infinity
        terms = p * self.divergence.generator((q - p) / p)
        if self.all_seen:
            return float(terms.sum())
        outside = float(q[~self.seen].sum())
        return float(terms[self.seen].sum()) + (last if math.isfinite(last) else 0.0) * outside

    def secant(self, q: Array, v: Array, kap: float, gap: Array) -> Array:
        """Change of q for a unit change of -v, by the secant between q and the q that v asks for."""
        p = self.mass
        asked = p * self.divergence.ratio_at(v / kap)
        tangent = p / (kap * self.divergence.curvature(q / p))
        far = np.abs(gap) > 1e-6 * (np.abs(v) + kap * 1e-3)
        secant = np.where(far, (asked - q) / np.where(far, gap, 1.0), tangent)
        secant = np.minimum(np.maximum(secant, tangent / FARTHEST), tangent * FARTHEST)
        return secant if self.all_seen else np.where(self.seen, secant, 0.0)


class State(NamedTuple):
    """Everything the method iterates on."""

    x: Array
    z: Array
    u: Array
    v: Array
    q: Array
    lam: float
    kap: float
    s: float
    t: float

    def gap(self) -> float:
        """Complementarity left."""
        return float(self.x @ self.z) + self.lam * self.s + self.kap * self.t

    def products(self, step: State, primal: float, dual: float) -> tuple[Array, float, float]:
        """Complementarities x z, lam s and kap t after a step."""
        return (
            (self.x + primal * step.x) * (self.z + dual * step.z),
            (self.lam + dual * step.lam) * (self.s + primal * step.s),
            (self.kap + dual * step.kap) * (self.t + primal * step.t),
        )

    def moved(self, step: State, primal: float, dual: float) -> State:
        """The state after a step with separate lengths for x, q, s, t and for z, u, v, lam, kap."""
        lengths = (primal, dual, dual, dual, primal, dual, dual, primal, primal)
        pairs: list[tuple[Any, Any]] = list(zip(self, step, strict=True))
        return State(*(value + length * change for (value, change), length in zip(pairs, lengths, strict=True)))


class Residuals(NamedTuple):
    """What the equations miss."""

    rows: Array
    columns: Array
    dual: Array
    potential: Array
    distortion: float
    perception: float

    def size(self, state: State) -> float:
        """What the misses are worth at the prices of a state."""
        primal = float(np.abs(self.rows).sum()) + float(np.abs(self.columns) @ (1 + np.abs(state.v)))
        # a slack that is too small is a level that is kept
        levels = (1 + state.lam) * abs(self.distortion) + (1 + state.kap) * max(-self.perception - state.t, 0.0)
        levels += state.kap * abs(self.perception)
        return primal + levels + float(state.x @ np.abs(self.dual)) + float(state.q @ np.abs(self.potential))


def residuals(data: Data, state: State) -> Residuals:
    """What the equations miss at a state."""
    x, z, u, v, q, lam, kap, s, t = state
    support = data.support
    dual = data.priced(lam) - u[support.rows] - v[support.columns] - z
    spent = 0.0 if data.distortion is None else data.max_distortion - float(x @ data.distortion) - s
    return Residuals(
        data.p_y - support.row_sums(x),
        q - support.column_sums(x),
        dual,
        kap * data.descent(q) - v,
        spent,
        data.max_perception - data.value(q) - t,
    )


class System:
    """The factorized Newton system at a state, ready for right-hand sides."""

    def __init__(self, data: Data, state: State, residual: Residuals) -> None:
        self.data, self.state, self.residual = data, state, residual
        self.theta = state.x / state.z
        self.row_theta, self.column_theta = data.support.row_sums(self.theta), data.support.column_sums(self.theta)
        self.secant = data.secant(state.q, state.v, state.kap, residual.potential)
        # in a step f'(q/p) itself serves, which is small near q = p, and v and u are shifted by f'(inf) dkap in the end
        self.shift = float(data.divergence.descent(np.ones(1))[0])
        self.slope = self.shift - data.descent(state.q)
        self.solve = data.normal.solver(self.theta, self.row_theta, self._extra)
        if self.solve is not None:
            self._prices()

    def _extra(self, laplacian: Array) -> Array:
        # a letter without source mass follows its cost: an infinite secant, in effect
        unseen = ~self.data.seen
        self.secant[unseen] = 1e12 * (laplacian[unseen] + 1e-12)
        return self.secant

    def _to_rows(self, dv: Array) -> Array:
        """theta dv."""
        support = self.data.support
        return pair_loops().product(support.rows, support.columns, self.theta, dv, support.shape[0])

    def _to_columns(self, du: Array) -> Array:
        """theta' du."""
        support = self.data.support
        return pair_loops().product(support.columns, support.rows, self.theta, du, support.shape[1])

    def _prices(self) -> None:
        """Response of (dv, du) to a unit change of each price, and what that does to the two levels."""
        assert self.solve is not None
        data, state, residual, support = self.data, self.state, self.residual, self.data.support
        d, nothing = data.distortion, np.zeros(0)
        right, row_d, column_d = [-self.secant * self.slope], nothing, np.zeros(support.shape[1])
        if d is not None:
            theta_d = self.theta * d
            row_d, column_d = support.row_sums(theta_d), support.column_sums(theta_d)
            right.append(column_d - self._to_columns(row_d / self.row_theta))
        answers = self.solve(np.stack(right, axis=1))
        dv_kap = np.ascontiguousarray(answers[:, 0])
        du_kap = -self._to_rows(dv_kap) / self.row_theta
        self.letters = LetterTerms(
            self.secant, self.slope, residual.potential, residual.columns, self.column_theta, column_d, data.seen
        )
        own = float(self.slope @ self._change_q(dv_kap, du_kap, 0.0, 1.0)) - state.t / state.kap
        levels = np.array([[1.0, 0.0], [0.0, own]])  # no price of distortion, and nothing that would change it
        dv_lam = du_lam = nothing
        if d is not None:
            dv_lam = np.ascontiguousarray(answers[:, 1])
            du_lam = (row_d - self._to_rows(dv_lam)) / self.row_theta
            levels[0] = (
                float(row_d @ du_lam + column_d @ dv_lam) - float(theta_d @ d) - state.s / state.lam,
                float(row_d @ du_kap + column_d @ dv_kap),
            )
            levels[1, 0] = float(self.slope @ self._change_q(dv_lam, du_lam, 1.0, 0.0))
        self.prices = PriceTerms(dv_kap, du_kap, dv_lam, du_lam, row_d, levels)
        distortion = nothing if d is None else d
        self.pairs = PairTerms(support.rows, support.columns, state.x, state.z, self.theta, residual.dual, distortion)

    def _change_q(self, dv: Array, du: Array, dlam: float, dkap: float) -> Array:
        """Change of the output law that a change of prices brings about, by itself and through (dv, du)."""
        asked = -self.secant * (dv + self.slope * dkap)
        if self.data.all_seen:
            return asked
        followed = self._to_columns(du) + self.column_theta * dv - self.letters.column_d * dlam
        return np.where(self.data.seen, asked, followed)

    def step(self, asked: Array, level_d: float, level_p: float) -> State:
        """Newton step for right-hand sides of the complementarities x z, lam s and kap t."""
        state, residual, loops = self.state, self.residual, pair_loops()
        limited = self.data.distortion is not None
        assert self.solve is not None
        open_rows, open_columns, right, spent = loops.fold(
            self.pairs, self.letters, self.row_theta, residual.rows, asked
        )
        dx, dz, du, dv, dq, dlam, dkap = loops.unfold(
            self.pairs,
            self.letters,
            self.prices,
            self.row_theta,
            asked,
            open_rows,
            open_columns,
            self.solve(right),
            residual.distortion - level_d / state.lam - spent if limited else 0.0,
            residual.perception - level_p / state.kap,
        )
        du, dv = du - self.shift * dkap, dv + self.shift * dkap
        ds = (level_d - state.s * dlam) / state.lam if limited else 0.0
        dt = (level_p - state.t * dkap) / state.kap
        return State(dx, dz, du, dv, dq, dlam, dkap, ds, dt)


def step_lengths(data: Data, state: State, step: State, share: float) -> tuple[float, float]:
    """Longest primal and dual step lengths, at most one, that go `share` of the way to the boundary."""

    def length(worst: float) -> float:
        return math.inf if worst >= 0 else -share / worst

    seen = slice(None) if data.all_seen else data.seen
    lowest = pair_loops().lowest
    primal = [length(lowest(step.x, state.x)), length(lowest(step.q[seen], state.q[seen]))]
    dual = [length(lowest(step.z, state.z)), length(step.kap / state.kap)]
    primal.append(length(step.t / state.t))
    if data.distortion is not None:
        primal.append(length(step.s / state.s))
        dual.append(length(step.lam / state.lam))
    if math.isfinite(data.divergence.slope_at_infinity):  # descents are positive then
        dual.append(length(lowest(step.v[seen], state.v[seen])))
    return min(1.0, *primal), min(1.0, *dual)
