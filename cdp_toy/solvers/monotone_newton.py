"""Interior-point iteration over monotone maps: tridiagonal in the cumulative masses, bordered by the two prices.

Unknowns are u_j = P(Y <= s_j), the cumulative masses of the output cells, q_j = u_j - u_{j-1}, a potential v, the prices
lam, kap and the slacks s, t of the levels. With f the generator, e, d and the sum F(q) = sum p f(q/p) as functions of u:

    w e' + lam d' - (v_j - v_{j+1}) = 0,    v = kap (f'(inf) - f'(q/p)) + z,
    d + s = D,    F + t = P',    lam s = kap t = tau -> 0,    z q = tau p.

e, d and F are convex in u: dK/du = mu increases for K(u) = E[X; Y <= s(u)], and so does the posterior at the threshold.
The link of v and q is linearised by the secant between q and the q that v asks for, so that tails, where f' may leave
the range of doubles, follow at once. The multipliers z of q >= 0 are there where f'(0) is finite (reverse_chi2), so that
cells may stay empty; else they are 0. Mehrotra's predictor and corrector, separate primal and dual step lengths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np
from scipy.linalg import solveh_banded

from cdp_toy.continuous.model import LineModel, OutputCells
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
#: a secant counts up to this factor from the tangent
FARTHEST = 1e8
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

    Levels are in units of the iteration: D / Var X and the sum p f(q/p); inf drops one. `pinned` keeps the mass below
    the threshold as it is at the start.
    """

    error_weight: float
    price_distortion: float
    max_distortion: float
    max_sum: float
    pinned: bool = False


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


class _Step(NamedTuple):
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
    return grid.model.quantile(below, above, start)


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
    total = model.perception.sum_value(p, q) if math.isfinite(task.max_sum) else 0.0
    return _Local(places, distortion, total, *gradients, task.error_weight * error_curvature, distortion_curvature)


class _System:
    """The factorized Newton system at a state."""

    def __init__(self, grid: MapGrid, task: Task, q: Array, v: Array, z: Array, prices: _Prices, at: _Local) -> None:
        self.task, self.q, self.z, self.prices, self.at = task, q, z, prices, at
        perception, p = grid.model.perception, grid.cells.mass
        kap = prices.kap
        self.descent, self.inverse = perception.descent(q / p), p / q
        self.gap = kap * self.descent - v
        with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
            tangent = p / (kap * perception.curvature(q / p) + p * z / q)
            asked = p * perception.ratio_at(v / kap)
            far = (np.abs(self.gap) > 1e-6 * (np.abs(v) + 1e-3 * kap)) & (z == 0)
            secant = np.where(far, (asked - q) / np.where(far, self.gap, 1.0), tangent)
        self.secant = np.clip(np.nan_to_num(secant, nan=0.0), tangent / FARTHEST, tangent * FARTHEST)
        stiffness = 1 / self.secant
        band = np.zeros((2, len(at.places)))
        band[0] = prices.lam * at.distortion_curvature + at.error_curvature + stiffness[:-1] + stiffness[1:]
        band[1, :-1] = -stiffness[1:-1]
        barrier_gradient = np.diff(self.inverse)
        if task.pinned:
            pin = grid.at
            band[0, pin], band[1, pin], band[1, max(pin - 1, 0)] = 1.0, 0.0, 0.0
            barrier_gradient[pin] = 0.0
        # stationarity with kap f' in place of v: what the potential misses is paid by the secant
        self.gradient = at.error_gradient + prices.lam * at.distortion_gradient + kap * at.sum_gradient
        right = np.stack([self.gradient, at.distortion_gradient, at.sum_gradient, barrier_gradient], axis=1)
        self.response = solveh_banded(band, right, lower=True, check_finite=False)
        self.levels = np.eye(2)
        d, f = at.distortion_gradient, at.sum_gradient
        if prices.limits_d:
            self.levels[0] = d @ self.response[:, 1] + prices.s / prices.lam, d @ self.response[:, 2]
        if prices.limits_f:
            self.levels[1] = f @ self.response[:, 1], f @ self.response[:, 2] + prices.t / kap
        if not prices.limits_d:
            self.levels[1, 0] = 0.0

    def step(self, asked_d: float, asked_f: float, tau: float) -> _Step:
        """Newton step for right-hand sides of lam s and kap t, and tau in z q = tau p."""
        task, prices, at = self.task, self.prices, self.at
        barrier = tau if self.z.any() else 0.0
        free = self.response[:, 0] + barrier * self.response[:, 3]
        right = np.zeros(2)
        if prices.limits_d:
            right[0] = at.distortion + prices.s - task.max_distortion - at.distortion_gradient @ free
            right[0] += asked_d / prices.lam - prices.s
        if prices.limits_f:
            right[1] = at.total + prices.t - task.max_sum - at.sum_gradient @ free
            right[1] += asked_f / prices.kap - prices.t
        dlam, dkap = (float(x) for x in np.linalg.solve(self.levels, right))
        du = -(free + dlam * self.response[:, 1] + dkap * self.response[:, 2])
        dq = np.diff(du, prepend=0.0, append=0.0)
        dv = self.gap + barrier * self.inverse + self.descent * dkap - dq / self.secant
        dz = barrier * self.inverse - self.z * (1 + dq / self.q)
        ds = (asked_d - prices.lam * prices.s - prices.s * dlam) / prices.lam if prices.limits_d else 0.0
        dt = (asked_f - prices.kap * prices.t - prices.t * dkap) / prices.kap if prices.limits_f else 0.0
        return _Step(du, dq, dv, dz, dlam, dkap, ds, dt)


@dataclass(frozen=True)
class _Prices:
    """Prices and slacks of the two levels."""

    lam: float
    kap: float
    s: float
    t: float
    limits_d: bool
    limits_f: bool

    def mean_product(self, step: _Step | None = None, primal: float = 0.0, dual: float = 0.0) -> float:
        """Mean of lam s and kap t, after a step."""
        moved = self if step is None else self.moved(step, primal, dual)
        products = [moved.lam * moved.s] * self.limits_d + [moved.kap * moved.t] * self.limits_f
        return sum(products) / max(len(products), 1)

    def moved(self, step: _Step, primal: float, dual: float) -> _Prices:
        """Prices and slacks after a step."""
        return replace(
            self,
            lam=self.lam + dual * step.lam,
            kap=self.kap + dual * step.kap,
            s=self.s + primal * step.s,
            t=self.t + primal * step.t,
        )


def _longest(change: Array | float, value: Array | float, share: float) -> float:
    worst = float(np.max(-np.asarray(change) / np.asarray(value)))
    return share / max(worst, TINY)


def iterate(grid: MapGrid, task: Task, q: Array) -> Answer:
    """Run the method from masses q > 0, shape (n,)."""
    perception, p = grid.model.perception, grid.cells.mass
    positive = math.isfinite(perception.slope_at_infinity)
    limits_d, limits_f = math.isfinite(task.max_distortion), math.isfinite(task.max_sum)
    at = _local(grid, task, q, None)
    prices = _Prices(
        1.0 if limits_d else task.price_distortion,
        1.0,
        max(task.max_distortion - at.distortion, 0.1 * task.max_distortion) if limits_d else 0.0,
        max(task.max_sum - at.total, 0.5 * task.max_sum) if limits_f else 0.0,
        limits_d,
        limits_f,
    )
    with np.errstate(divide="ignore"):
        bounded = math.isfinite(float(perception.descent(np.zeros(1))[0]))
    z = p / q if bounded else np.zeros(len(p))
    v = prices.kap * perception.descent(q / p) + z
    missed, best, since, count = math.inf, math.inf, 0, 0
    for count in range(1, MOST + 1):
        system = _System(grid, task, q, v, z, prices, at)
        tau = prices.mean_product() if not bounded else max(prices.mean_product(), float(z @ q))

        def lengths(step: _Step, share: float) -> tuple[float, float]:
            primal = [_longest(step.q, q, share)]
            dual = []
            if limits_d:
                primal.append(_longest(step.s, prices.s, share))
                dual.append(_longest(step.lam, prices.lam, share))
            if limits_f:
                primal.append(_longest(step.t, prices.t, share))
                dual.append(_longest(step.kap, prices.kap, share))
            if bounded:
                dual.append(_longest(step.z, z, share))
            if positive:
                dual.append(_longest(step.v, v, share))
            return min(1.0, *primal), min(1.0, *dual)

        affine = system.step(0.0, 0.0, 0.0)
        primal, dual = lengths(affine, 1.0)
        ahead = prices.mean_product(affine, primal, dual)
        if bounded:
            ahead = max(ahead, float((z + dual * affine.z) @ (q + primal * affine.q)))
        sigma = max((ahead / tau) ** 3 if tau > 0 else 0.0, (1 - min(primal, dual)) ** 3)
        step = system.step(sigma * tau - affine.lam * affine.s, sigma * tau - affine.kap * affine.t, sigma * tau)
        primal, dual = lengths(step, SHARE)
        q, v, z = q + primal * step.q, v + dual * step.v, z + dual * step.z
        prices = prices.moved(step, primal, dual)
        at = _local(grid, task, q, at.places)
        missed = abs(float(system.gradient @ step.u)) + prices.mean_product() + float(z @ q)
        missed += prices.lam * abs(at.distortion + prices.s - task.max_distortion) if limits_d else 0.0
        missed += prices.kap * abs(at.total + prices.t - task.max_sum) if limits_f else 0.0
        if missed < 0.5 * best:
            best, since = missed, 0
        since += 1
        dear = max(prices.lam, prices.kap) > DEAREST or not math.isfinite(missed)
        if dear or (min(primal, dual) > 0.9 and missed <= TOLERANCE) or since > 20:
            break
    return Answer(
        q,
        at.places,
        prices.lam,
        prices.kap,
        v,
        count,
        missed,
        max(prices.lam, prices.kap) > DEAREST or missed != missed,
    )
