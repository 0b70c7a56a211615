"""Interior-point iteration over monotone maps: tridiagonal in the cumulative masses, bordered by the two prices.

Unknowns are u_j = P(Y <= s_j), the cumulative masses of the output cells, q_j = u_j - u_{j-1}, a potential v, the
prices lam, kap and the slacks s, t of the levels. With f the generator and e, d, F = sum p f(q/p) as functions of u:

    w e' + lam d' - (v_j - v_{j+1}) = 0,    v = kap (f'(inf) - f'(q/p)) + z,
    d + s = D,    F + t = P',    lam s = kap t = tau -> 0,    z q = tau p.

e, d and F are convex in u: dK/du = mu increases for K(u) = E[X; Y <= s(u)], and so does the posterior at the threshold.
The link of v and q is linearised by the secant between q and the q that v asks for, so that tails, where f' may leave
the range of doubles, follow at once. The multipliers z of q >= 0 are there where f(0) is finite, so that cells may
stay empty; else they are 0. Mehrotra's predictor and corrector, separate primal and dual step lengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from cdp_toy.continuous.model import LineModel, OutputCells
from cdp_toy.solvers.spring_chain import solve_chain
from cdp_toy.solvers.threads import one_blas_thread
from cdp_toy.validation import Array

__all__ = ["Answer", "MapGrid", "Task", "iterate"]

#: iterations after which the method gives up
MOST = 150
#: prices, in units of 1 and Var X, beyond which a level is out of reach or at the end of what is
DEAREST = 1e12
#: what a converged answer may still miss, in units of the objective
TOLERANCE = 1e-14
#: share of the way to the boundary that a step goes
SHARE = 0.95
#: a step of this length is taken for a whole one; rounds without half of what was missed before that are borne
LONG, PATIENCE = 0.9, 20
#: a secant counts up to this factor from the tangent
FARTHEST = 1e8
#: a step may bring the divergence to this multiple of its level
OVERSHOOT = 3.0
TINY = 1e-300


@dataclass(frozen=True, eq=False)
class MapGrid:
    """Output cells of a monotone problem: inner edges (n - 1,), the law of X on them, the edge at the threshold."""

    model: LineModel
    edges: Array
    cells: OutputCells
    at: int

    @cached_property
    def mean(self) -> Array:
        """Means of X in the cells about the centre, in standard deviations of X."""
        return np.asarray((self.cells.mean - self.model.centre) / math.sqrt(self.model.variance))

    @cached_property
    def second(self) -> Array:
        """Second moments of X in the cells about the centre, in units of Var X."""
        return np.asarray(self.mean**2 + self.cells.variance / self.model.variance)


@dataclass(frozen=True, eq=False)
class Task:
    """Minimise error_weight error + lam distortion / Var X under levels; `lam` is an unknown where D is finite.

    Levels are in units of the iteration: D / Var X, which may be inf, and the sum p f(q/p). `pinned` keeps the mass
    below the threshold as it is at the start.
    """

    error_weight: float
    price_distortion: float
    max_distortion: float
    max_sum: float
    pinned: bool = False

    @property
    def limits_distortion(self) -> bool:
        """Whether lam is an unknown."""
        return math.isfinite(self.max_distortion)


@dataclass(frozen=True, eq=False)
class Answer:
    """Where an iteration ended: masses (n,), places (n - 1,), prices and potential (n,) in units of the iteration."""

    q: Array
    places: Array
    price_distortion: float
    price_perception: float
    potential: Array
    iterations: int
    missed: float
    diverged: bool


class _Local(NamedTuple):
    """Values and derivatives at a map; gradients with respect to u, shape (n - 1,)."""

    places: Array
    distortion: float
    total: float
    error_gradient: Array
    distortion_gradient: Array
    sum_gradient: Array
    error_curvature: Array
    distortion_curvature: Array


class _State(NamedTuple):
    """What the method iterates on: masses, potential, multipliers of q >= 0, prices and slacks of the levels."""

    q: Array
    v: Array
    z: Array
    lam: float
    kap: float
    s: float
    t: float
    positive: bool  # whether v > 0, as f'(inf) - f' is

    def moved(self, step: _Step, primal: float, dual: float) -> _State:
        """The state after a step with separate lengths for q, s, t and for v, z, lam, kap.

        Only the stiffness of the system knows v and z, so that each entry may be kept positive by itself.
        """
        v, least = self.v + dual * step.v, (1 - SHARE) * self.v
        return _State(
            self.q + primal * step.q,
            np.where(self.v > 0, np.maximum(v, least), v) if self.positive else v,
            np.maximum(self.z + dual * step.z, (1 - SHARE) * self.z),
            self.lam + dual * step.lam,
            self.kap + dual * step.kap,
            self.s + primal * step.s,
            self.t + primal * step.t,
            self.positive,
        )

    def complementarity(self) -> float:
        """Largest of lam s, kap t and the sum of z q; what does not exist is 0."""
        return max(self.lam * self.s, self.kap * self.t, float(self.z @ self.q))


class _Step(NamedTuple):
    """Change of a state, and of the cumulative masses."""

    u: Array
    q: Array
    v: Array
    z: Array
    lam: float
    kap: float
    s: float
    t: float


def cumulative(q: Array) -> tuple[Array, Array]:
    """Masses below and above the inner edges, each added up from its own end."""
    return np.cumsum(q)[:-1], np.cumsum(q[::-1])[::-1][1:]


def places_of(grid: MapGrid, q: Array, start: Array | None = None) -> Array:
    """The y below which the cumulative masses of the output lie."""
    below, above = cumulative(q)
    return np.maximum.accumulate(grid.model.quantile(below, above, start))


def _local(grid: MapGrid, task: Task, q: Array, start: Array | None) -> _Local:
    model, p = grid.model, grid.cells.mass
    places = places_of(grid, q, start)
    _, first, _ = model.observed_cells(np.concatenate([[-np.inf], places, [np.inf]]), model.centre)
    std = math.sqrt(model.variance)
    distortion = 1.0 + float((q * grid.second - 2 * grid.mean * first / std).sum())
    seen = np.clip(places, *model.source.bounds(model.noise_std, 39.0))
    mean, variance = model.mean_variance(seen)
    density = np.exp(model.log_density(seen))
    rise = np.diff(grid.mean)
    with np.errstate(over="ignore"):
        distortion_curvature = 2 * rise * (variance / model.noise_std**2 / std) / density
    error_gradient, error_curvature = np.zeros(len(places)), np.zeros(len(places))
    if task.error_weight > 0 and model.rising_class is not None:
        here = seen[grid.at : grid.at + 1]
        error_gradient[grid.at] = 2 * model.posterior(here)[model.rising_class, 0] - 1
        error_curvature[grid.at] = 2 * model.posterior_slope(here)[model.rising_class, 0] / density[grid.at]
    descent = model.perception.descent(q / p)
    gradients = [
        task.error_weight * error_gradient,
        -np.diff(grid.second) + 2 * mean / std * rise,
        np.diff(descent),
    ]
    if task.pinned:
        for gradient in gradients:
            gradient[grid.at] = 0.0
    total = model.perception.sum_value(p, q)
    error, away, apart = gradients
    curvature = task.error_weight * error_curvature
    return _Local(places, distortion, total, error, away, apart, curvature, distortion_curvature)


class _System:
    """The factorized Newton system at a state."""

    def __init__(self, grid: MapGrid, task: Task, state: _State, at: _Local) -> None:
        self.task, self.state, self.at = task, state, at
        perception, p = grid.model.perception, grid.cells.mass
        q, kap = state.q, state.kap
        self.descent, self.inverse = perception.descent(q / p), p / q
        self.gap = kap * self.descent - state.v
        target = state.v - state.z  # what the divergence alone should pay
        away = kap * self.descent - target
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            tangent = p / (kap * perception.curvature(q / p))
            asked = p * perception.ratio_at(target / kap)
            far = (np.abs(away) > 1e-6 * (np.abs(target) + 1e-3 * kap)) & (asked >= 0)
            secant = np.where(far, (asked - q) / np.where(far, away, 1.0), tangent)
        secant = np.clip(np.nan_to_num(secant, nan=0.0), tangent / FARTHEST, tangent * FARTHEST)
        stiffness = 1 / secant + state.z / q
        self.secant = 1 / stiffness
        ground = state.lam * at.distortion_curvature + at.error_curvature
        barrier_gradient = np.diff(self.inverse)
        if task.pinned:
            ground[grid.at] = math.inf
            barrier_gradient[grid.at] = 0.0
        # stationarity with kap f' in place of v: what the potential misses is paid by the secant
        self.gradient = at.error_gradient + state.lam * at.distortion_gradient + kap * at.sum_gradient
        right = np.stack([self.gradient, at.distortion_gradient, at.sum_gradient, barrier_gradient])
        self.response = solve_chain(stiffness, ground, right)
        self.levels = np.eye(2)
        d, f = at.distortion_gradient, at.sum_gradient
        if task.limits_distortion:
            self.levels[0] = d @ self.response[1] + state.s / state.lam, d @ self.response[2]
            self.levels[1, 0] = f @ self.response[1]
        self.levels[1, 1] = f @ self.response[2] + state.t / kap

    def step(self, asked_d: float, asked_f: float, tau: float) -> _Step:
        """Newton step for right-hand sides of lam s and kap t, and tau in z q = tau p."""
        task, state, at = self.task, self.state, self.at
        barrier = tau if state.z.any() else 0.0
        free = self.response[0] + barrier * self.response[3]
        right = np.zeros(2)
        if task.limits_distortion:
            right[0] = at.distortion - task.max_distortion - at.distortion_gradient @ free + asked_d / state.lam
        right[1] = at.total - task.max_sum - at.sum_gradient @ free + asked_f / state.kap
        dlam, dkap = (float(x) for x in np.linalg.solve(self.levels, right))
        du = -(free + dlam * self.response[1] + dkap * self.response[2])
        dq = np.diff(du, prepend=0.0, append=0.0)
        dv = self.gap + barrier * self.inverse + self.descent * dkap - dq / self.secant
        dz = barrier * self.inverse - state.z * (1 + dq / state.q)
        ds = (asked_d - state.s * dlam) / state.lam - state.s if task.limits_distortion else 0.0
        dt = (asked_f - state.t * dkap) / state.kap - state.t
        return _Step(du, dq, dv, dz, dlam, dkap, ds, dt)

    def lengths(self, step: _Step, share: float) -> tuple[float, float]:
        """Longest primal and dual step lengths, at most one, that go `share` of the way to the boundary."""
        state = self.state
        primal = [_longest(step.q, state.q, share), _longest(step.t, state.t, share)]
        dual = [_longest(step.kap, state.kap, share)]
        if self.task.limits_distortion:
            primal.append(_longest(step.s, state.s, share))
            dual.append(_longest(step.lam, state.lam, share))
        return min(1.0, *primal), min(1.0, *dual)

    def missed(self, step: _Step, state: _State, at: _Local) -> float:
        """What the optimality conditions miss at the next state, in units of the objective."""
        total = abs(float(self.gradient @ step.u)) + state.complementarity()
        total += state.kap * abs(at.total + state.t - self.task.max_sum)
        if self.task.limits_distortion:
            total += state.lam * abs(at.distortion + state.s - self.task.max_distortion)
        return total


def _longest(change: Array | float, value: Array | float, share: float) -> float:
    worst = float(np.max(-np.asarray(change) / np.asarray(value)))
    return share / max(worst, TINY)


def _start(grid: MapGrid, task: Task, q: Array, at: _Local) -> _State:
    perception, p = grid.model.perception, grid.cells.mass
    with np.errstate(divide="ignore"):
        bounded = math.isfinite(float(perception.generator(np.full(1, -1.0))[0]))
    z = p / q if bounded else np.zeros(len(p))
    limited = task.limits_distortion
    return _State(
        q,
        perception.descent(q / p) + z,
        z,
        1.0 if limited else task.price_distortion,
        1.0,
        max(task.max_distortion - at.distortion, 0.1 * task.max_distortion) if limited else 0.0,
        max(task.max_sum - at.total, 0.5 * task.max_sum),
        math.isfinite(perception.slope_at_infinity),
    )


def iterate(grid: MapGrid, task: Task, q: Array) -> Answer:
    """Run the method from masses q > 0, shape (n,)."""
    with one_blas_thread():
        return _iterate(grid, task, q)


def _iterate(grid: MapGrid, task: Task, q: Array) -> Answer:
    at = _local(grid, task, q, None)
    state = _start(grid, task, q, at)
    missed, best, since, count, dear = math.inf, math.inf, 0, 0, False
    while count < MOST and since <= PATIENCE and not dear:
        system, count = _System(grid, task, state, at), count + 1
        affine = system.step(0.0, 0.0, 0.0)
        primal, dual = system.lengths(affine, 1.0)
        tau, ahead = state.complementarity(), state.moved(affine, primal, dual).complementarity()
        centred = max((ahead / tau) ** 3, (1 - min(primal, dual)) ** 3) * tau
        step = system.step(centred - affine.lam * affine.s, centred - affine.kap * affine.t, centred)
        primal, dual = system.lengths(step, SHARE)
        # steep divergences grow without bound on the way to q = 0, and Newton's method would not come back from there
        most = OVERSHOOT * max(at.total, task.max_sum)
        while grid.model.perception.sum_value(grid.cells.mass, state.q + primal * step.q) > most and primal > TINY:
            primal *= 0.5
        state = state.moved(step, primal, dual)
        at = _local(grid, task, state.q, at.places)
        missed = system.missed(step, state, at)
        if min(primal, dual) > LONG and missed <= TOLERANCE:
            break
        best, since = (missed, 0) if missed < 0.5 * best else (best, since + 1)
        dear = not (math.isfinite(missed) and max(state.lam, state.kap) <= DEAREST)
    # z >= 0, so that rounding and what is still missed must not take the potential below what q pays for
    paid = state.kap * grid.model.perception.descent(state.q / grid.cells.mass)
    return Answer(state.q, at.places, state.lam, state.kap, np.maximum(state.v, paid), count, missed, dear)
