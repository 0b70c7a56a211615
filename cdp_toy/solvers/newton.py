"""The Newton system of the interior-point method: its data, the state it moves, what is missed, one step.

The formulas are those at the top of `interior_point`; here they are arrays.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from cdp_toy.perceptions import FDivergence
from cdp_toy.validation import Array, Mask

__all__ = ["Data", "Residuals", "State", "System", "residuals", "step_lengths"]

#: A secant counts up to this factor from the tangent: far from the solution f' may leave the range of doubles.
FARTHEST = 1e4


@dataclass(frozen=True, eq=False)
class Data:
    """A program in units of its own: letters and rows without mass left out, costs of mean size one."""

    p_y: Array
    p_x: Array
    seen: Mask  # letters whose ratio q/p enters the divergence
    cost: Array
    distortion: Array | None
    max_distortion: float
    max_perception: float
    weight: Array  # of each pair in the complementarity; 0 off the support
    divergence: FDivergence

    def slope(self, q: Array) -> Array:
        """f'(q/p), the slope at infinity for letters without source mass."""
        ratio = np.where(self.seen, q, 1.0) / np.where(self.seen, self.p_x, 1.0)
        return np.where(self.seen, self.divergence.slope(ratio), self._last_slope)

    @property
    def _last_slope(self) -> float:
        last = self.divergence.slope_at_infinity
        return last if math.isfinite(last) else 0.0

    def value(self, q: Array) -> float:
        """Sum p f(q/p), of a q of any mass."""
        p, seen = self.p_x, self.seen
        inside = float(p[seen] @ self.divergence.generator((q[seen] - p[seen]) / p[seen]))
        return inside + self._last_slope * float(q[~seen].sum())

    def secant(self, q: Array, v: Array, kap: float, gap: Array) -> Array:
        """Change of q for a unit change of -v, by the secant between q and the q that v asks for."""
        p = np.where(self.seen, self.p_x, 1.0)
        asked = p * self.divergence.inverse_slope(-v / kap)
        tangent = p / (kap * self.divergence.curvature(q / p))
        far = np.abs(gap) > 1e-6 * (np.abs(v) + kap * 1e-3)
        secant = np.where(far, (asked - q) / np.where(far, gap, 1.0), tangent)
        return np.where(self.seen, np.clip(secant, tangent / FARTHEST, tangent * FARTHEST), 0.0)


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
        return float((self.x * self.z).sum()) + self.lam * self.s + self.kap * self.t

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
        return primal + levels + float((state.x * np.abs(self.dual)).sum()) + float(state.q @ np.abs(self.potential))


def residuals(data: Data, state: State) -> Residuals:
    """What the equations miss at a state."""
    x, z, u, v, q, lam, kap, s, t = state
    priced = data.cost if data.distortion is None else data.cost + lam * data.distortion
    dual = np.where(data.weight > 0, priced - u[:, None] - v - z, 0.0)
    spent = 0.0 if data.distortion is None else data.max_distortion - float((x * data.distortion).sum()) - s
    return Residuals(
        data.p_y - x.sum(axis=1),
        q - x.sum(axis=0),
        dual,
        -kap * data.slope(q) - v,
        spent,
        data.max_perception - data.value(q) - t,
    )


class System:
    """The factorized Newton system at a state, ready for right-hand sides."""

    def __init__(self, data: Data, state: State, residual: Residuals) -> None:
        self.data, self.state, self.residual = data, state, residual
        self.theta = np.where(data.weight > 0, state.x / state.z, 0.0)
        self.row_theta, self.column_theta = self.theta.sum(axis=1), self.theta.sum(axis=0)
        scaled = self.theta / np.sqrt(self.row_theta)[:, None]
        matrix = -(scaled.T @ scaled)
        np.fill_diagonal(matrix, 0.0)
        laplacian = -matrix.sum(axis=1)  # as the sum of its off-diagonals: nothing cancels
        self.secant = data.secant(state.q, state.v, state.kap, residual.potential)
        # a letter without source mass follows its cost: an infinite secant, in effect
        self.secant[~data.seen] = 1e12 * (laplacian[~data.seen] + 1e-12)
        self.slope = data.slope(state.q)
        np.fill_diagonal(matrix, laplacian + self.secant)
        self.solvable = bool(np.isfinite(matrix).all()) and self._factorize(matrix)
        if self.solvable:
            self._prices()

    def _factorize(self, matrix: Array) -> bool:
        diagonal = np.diag(matrix).copy()
        for ridge in (0.0, 1e-14, 1e-12, 1e-10):
            try:
                np.fill_diagonal(matrix, diagonal * (1 + ridge))
                self.factor = cho_factor(matrix, check_finite=False)
            except LinAlgError:
                continue
            return True
        return False

    def _prices(self) -> None:
        """Response of (dv, du) to a unit change of each price."""
        theta, d = self.theta, self.data.distortion
        self.dv_kap = cho_solve(self.factor, -self.secant * self.slope, check_finite=False)
        self.du_kap = -(theta @ self.dv_kap) / self.row_theta
        if d is not None:
            self.theta_d = theta * d
            self.row_d, self.column_d = self.theta_d.sum(axis=1), self.theta_d.sum(axis=0)
            right = self.column_d - theta.T @ (self.row_d / self.row_theta)
            self.dv_lam = cho_solve(self.factor, right, check_finite=False)
            self.du_lam = (self.row_d - theta @ self.dv_lam) / self.row_theta

    def step(self, pairs: Array, level_d: float, level_p: float) -> State:
        """Newton step for right-hand sides of the complementarities x z, lam s and kap t."""
        data, state, residual = self.data, self.state, self.residual
        theta, secant, slope, d = self.theta, self.secant, self.slope, data.distortion
        rho = np.where(data.weight > 0, pairs / state.z, 0.0) - theta * residual.dual
        open_rows = residual.rows - rho.sum(axis=1)
        right = residual.columns - rho.sum(axis=0) - theta.T @ (open_rows / self.row_theta)
        dv = cho_solve(self.factor, right + secant * residual.potential, check_finite=False)
        du = (open_rows - theta @ dv) / self.row_theta

        columns = rho.sum(axis=0) - residual.columns

        def change_q(
            dv: Array, du: Array, dlam: float, dkap: float, missed: Array | float, open_q: Array | float
        ) -> Array:
            # behind the infinite secant of a letter without source mass only the columns tell how q changes
            followed = open_q + theta.T @ du + self.column_theta * dv
            if d is not None:
                followed = followed - self.column_d * dlam
            return np.where(data.seen, -secant * (dv + slope * dkap - missed), followed)

        perception = [
            float(slope @ change_q(dv, du, 0.0, 0.0, residual.potential, columns)),
            float(slope @ change_q(self.dv_kap, self.du_kap, 0.0, 1.0, 0.0, 0.0)),
        ]
        dlam = dkap = 0.0
        if d is None:
            dkap = (residual.perception - level_p / state.kap - perception[0]) / (perception[1] - state.t / state.kap)
        else:

            def spent(du: Array, dv: Array) -> float:
                return float(self.row_d @ du + self.column_d @ dv)

            cross = float(slope @ change_q(self.dv_lam, self.du_lam, 1.0, 0.0, 0.0, 0.0))
            own = spent(self.du_lam, self.dv_lam) - float((self.theta_d * d).sum())
            matrix = [
                [own - state.s / state.lam, spent(self.du_kap, self.dv_kap)],
                [cross, perception[1] - state.t / state.kap],
            ]
            open_d = residual.distortion - level_d / state.lam - float((rho * d).sum()) - spent(du, dv)
            open_p = residual.perception - level_p / state.kap - perception[0]
            determinant = np.float64(matrix[0][0] * matrix[1][1] - matrix[0][1] * matrix[1][0])
            dlam = (open_d * matrix[1][1] - matrix[0][1] * open_p) / determinant
            dkap = (matrix[0][0] * open_p - matrix[1][0] * open_d) / determinant
            dv, du = dv + dlam * self.dv_lam, du + dlam * self.du_lam
        dv, du = dv + dkap * self.dv_kap, du + dkap * self.du_kap
        dz = residual.dual - du[:, None] - dv if d is None else residual.dual + dlam * d - du[:, None] - dv
        dx = np.where(data.weight > 0, (pairs - state.x * dz) / state.z, 0.0)
        ds = 0.0 if d is None else (level_d - state.s * dlam) / state.lam
        dt = (level_p - state.t * dkap) / state.kap
        dq = change_q(dv, du, dlam, dkap, residual.potential, columns)
        return State(dx, dz, du, dv, dq, dlam, dkap, ds, dt)


def step_lengths(data: Data, state: State, step: State, share: float) -> tuple[float, float]:
    """Longest primal and dual step lengths, at most one, that go `share` of the way to the boundary."""

    def length(value: Array | float, change: Array | float) -> float:
        ratio = np.asarray(change) / np.asarray(value)
        worst = float(ratio.min(initial=0.0))
        return math.inf if worst >= 0 else -share / worst

    used = data.weight > 0
    primal = [length(state.x[used], step.x[used]), length(state.q[data.seen], step.q[data.seen])]
    dual = [length(state.z[used], step.z[used]), length(state.kap, step.kap)]
    primal.append(length(state.t, step.t))
    if data.distortion is not None:
        primal.append(length(state.s, step.s))
        dual.append(length(state.lam, step.lam))
    last = data.divergence.slope_at_infinity
    if math.isfinite(last):  # -v / kap stays within the slopes that f has
        seen = data.seen
        dual.append(length((state.v + last * state.kap)[seen], (step.v + last * step.kap)[seen]))
    return min(1.0, *primal), min(1.0, *dual)
