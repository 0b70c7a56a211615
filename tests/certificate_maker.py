"""Certificates of small enclosures for the tests of the verifier, made and judged in floats with NumPy and SciPy alone.

Nothing here knows the verifier: the bounds are written down a second time, with other algorithms, so that both agree
only where both are right.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import Any, NamedTuple

import numpy as np
from scipy.linalg import solveh_banded
from scipy.optimize import brentq, minimize_scalar
from scipy.special import ndtr

Array = np.ndarray
Json = dict[str, Any]


def toy(threshold: str = "bayes", perception: str = "kl", **other: Any) -> Json:
    """The paper's toy as a problem of a certificate, or with other entries."""
    problem = {
        "priors": ["7/10", "3/10"],
        "means": [["-1"], ["1"]],
        "weights": [["1"], ["1"]],
        "stds": [["1"], ["1"]],
        "noise_std": "1",
        "threshold": threshold,
        "classes": [0, 1],
        "perception": perception,
    }
    return problem | other


#: two Gaussians per class that share a mean, the class with the smaller means above: everything mirrored
MIXTURE = toy(
    priors=["0.4", "3/5"],
    means=[["0.25", "1.5"], ["-1", "0.25"]],
    weights=[["1/4", "3/4"], ["0.7", "0.3"]],
    stds=[["0.8", "0.8"], ["4/5", "0.8"]],
    noise_std="0.6",
    classes=[1, 0],
)


class Generator(NamedTuple):
    """f, f', f'' of a divergence, the level of sum p f(q/p) for a level of the divergence, and the way back."""

    f: Callable[[Array], Array]
    slope: Callable[[Array], Array]
    bend: Callable[[Array], Array]
    level: Callable[[float], float] = lambda level: level
    of_sum: Callable[[float], float] = lambda total: total


def generator(name: str) -> Generator:
    """Generator of a perception."""
    if name.startswith("renyi"):
        order = float(Fraction(name[6:]))
        sign, a = math.copysign(1, order - 1), 1 - order
        return Generator(
            lambda r: sign * r**a,
            lambda r: sign * a * r ** (a - 1),
            lambda r: sign * a * (a - 1) * r ** (a - 2),
            lambda level: sign * math.exp((order - 1) * level),
            lambda total: math.log(sign * total) / (order - 1),
        )
    return {
        "kl": Generator(lambda r: -np.log(r), lambda r: -1 / r, lambda r: 1 / r**2),
        "reverse_kl": Generator(lambda r: r * np.log(r), lambda r: 1 + np.log(r), lambda r: 1 / r),
        "hellinger_squared": Generator(lambda r: 1 - np.sqrt(r), lambda r: -0.5 / np.sqrt(r), lambda r: 0.25 / r**1.5),
        "chi2": Generator(lambda r: (1 - r) ** 2 / r, lambda r: 1 - 1 / r**2, lambda r: 2 / r**3),
        "reverse_chi2": Generator(lambda r: (r - 1) ** 2, lambda r: 2 * (r - 1), lambda r: 2 + 0 * r),
        "js": Generator(
            lambda r: (np.log(2 / (1 + r)) + r * np.log(2 * r / (1 + r))) / 2,
            lambda r: np.log(2 * r / (1 + r)) / 2,
            lambda r: 0.5 / (r * (1 + r)),
        ),
    }[name]


class Line:
    """A problem in floats."""

    def __init__(self, problem: Json) -> None:
        self.problem = problem
        above = problem["classes"][1]
        rows = [
            (float(Fraction(p) * Fraction(w)), float(Fraction(m)), c)
            for c, p in enumerate(problem["priors"])
            for w, m in zip(problem["weights"][c], problem["means"][c], strict=True)
        ]
        self.weight, self.mean = (np.array([row[k] for row in rows])[:, None] for k in (0, 1))
        self.rising = np.array([row[2] == above for row in rows])[:, None]
        self.std = float(Fraction(problem["stds"][0][0]))
        self.noise = float(Fraction(problem["noise_std"]))
        self.total = math.hypot(self.std, self.noise)
        self.gain = (self.std / self.total) ** 2
        self.square = float((self.weight * (self.mean**2 + self.std**2)).sum())
        self.generator = generator(problem["perception"])
        self.decision = self.equally_likely(self.total)
        word = problem["threshold"]
        self.threshold = self.equally_likely(self.std) if word == "bayes" else float(Fraction(word))

    def equally_likely(self, std: float) -> float:
        """Where both classes are equally likely under Gaussians of this std."""
        far = 30 * self.total
        return float(brentq(lambda y: self.posterior(y, std)[0] - 0.5, self.mean.min() - far, self.mean.max() + far))

    def density(self, y: Any, std: float) -> Array:
        """Weighted densities of the Gaussians, in rows."""
        z = (np.atleast_1d(y) - self.mean) / std
        return np.asarray(self.weight * np.exp(-z * z / 2) / (std * math.sqrt(2 * math.pi)))

    def posterior(self, y: Any, std: float | None = None, keep: bool = False) -> tuple[Any, Any]:
        """r(y) and mu(y); floats for one y unless its array is kept."""
        y = np.atleast_1d(y)
        logs = np.log(self.weight) - ((y - self.mean) / (std or self.total)) ** 2 / 2
        share = np.exp(logs - logs.max(axis=0))
        share /= share.sum(axis=0)
        rising = (share * self.rising).sum(axis=0)
        mean = (share * (self.mean + self.gain * (y - self.mean))).sum(axis=0)
        return (rising, mean) if len(y) > 1 or keep else (float(rising[0]), float(mean[0]))

    def cells(self, edges: Array, observed: bool) -> tuple[Array, Array, Array, Array]:
        """Mass, mass of the rising class, E[X; cell] and E[X^2; cell] of X, or of Y with its noise."""
        std = self.total if observed else self.std
        z = (edges - self.mean) / std
        share = np.where(z[:, :-1] > 0, ndtr(-z[:, :-1]) - ndtr(-z[:, 1:]), ndtr(z[:, 1:]) - ndtr(z[:, :-1]))
        phi = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        with np.errstate(invalid="ignore"):
            tilted = np.where(np.isfinite(z), z * phi, 0.0)
        scale = self.std**2 / std
        drop = np.diff(phi) * scale
        first = self.weight * (self.mean * share - drop)
        second = (self.mean**2 + self.std**2) * share - 2 * self.mean * drop - scale**2 * np.diff(tilted)
        mass = self.weight * share
        return mass.sum(0), (mass * self.rising).sum(0), first.sum(0), (self.weight * second).sum(0)

    def grid(self, n: int, reach: float = 5.5) -> tuple[Array, int]:
        """Outer edges at infinity, n cells, and the position of the threshold among the inner edges."""
        low, high = self.mean.min() - reach * self.std, self.mean.max() + reach * self.std
        k = round((self.threshold - low) / (high - low) * (n - 2))
        lower = np.linspace(low, self.threshold, k + 1)
        return np.concatenate([[-np.inf], lower, np.linspace(self.threshold, high, n - 1 - k)[1:], [np.inf]]), k

    def matched(self, edges: Array) -> Array:
        """The points of y that give the inner edges the law of X."""
        below, goal = self.cells(np.array([-np.inf, np.inf]), True)[0], np.cumsum(self.cells(edges, False)[0])[:-1]
        assert abs(below[0] - 1) < 1e-12
        low = np.full(len(goal), self.mean.min() - 40.0)
        high = np.full(len(goal), self.mean.max() + 40.0)
        for _ in range(80):
            middle = (low + high) / 2
            less = (self.weight * ndtr((middle - self.mean) / self.total)).sum(0) < goal
            low, high = np.where(less, middle, low), np.where(less, high, middle)
        return (low + high) / 2

    def channel(self, channel: Json) -> tuple[float, float, float]:
        """Error rate, distortion and perception of a certificate's channel."""
        inner, at = unhexed(channel.get("edges", channel.get("quantile"))), channel["threshold_index"]
        edges = np.concatenate([[-np.inf], inner[:at], [self.threshold], inner[at:], [np.inf]])
        if "quantile" in channel:
            stops = self.matched(edges)
        else:
            stops = np.array([self.decision if s == "decision" else float.fromhex(s) for s in channel["map"]])
        return self.values(edges, stops, at)

    def values(self, edges: Array, stops: Array, at: int) -> tuple[float, float, float]:
        """Error rate, distortion and perception of a map."""
        p, _, first, second = self.cells(edges, False)
        q, rising, moment, _ = self.cells(np.concatenate([[-np.inf], stops, [np.inf]]), True)
        distortion = self.square + float((q * second / p - 2 * moment * first / p).sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            total = float((p * self.generator.f(q / p)).sum())
        error = float(rising[: at + 1].sum() + (q - rising)[at + 1 :].sum())
        return error, distortion, self.generator.of_sum(total)

    def best_map(self, edges: Array, at: int, w: float, lam: float, kap: float) -> Array:
        """The map that minimises w error + lam distortion + kap sum p f(q/p), by damped Newton steps in u = F_Y(s)."""
        p, _, first, second = self.cells(edges, False)
        m1, m2 = first / p, second / p
        s = self.matched(edges)
        if kap == 0:
            return self.map_without_perception(s, m1, m2, at, w, lam)

        def objective(s: Array) -> float:
            q, rising, moment, _ = self.cells(np.concatenate([[-np.inf], s, [np.inf]]), True)
            error = rising[: at + 1].sum() + (q - rising)[at + 1 :].sum()
            return float(w * error + lam * (q @ m2 - 2 * m1 @ moment) + kap * (p @ self.generator.f(q / p)))

        value = objective(s)
        for _ in range(200):
            q = self.cells(np.concatenate([[-np.inf], s, [np.inf]]), True)[0]
            r, mu = self.posterior(s, keep=True)
            height = self.density(s, self.total).sum(0)
            slope, bend = self.generator.slope(q / p), self.generator.bend(q / p) / p
            gradient = lam * (-np.diff(m2) + 2 * mu * np.diff(m1)) - kap * np.diff(slope)
            gradient[at] += w * (2 * r[at] - 1)
            step = 1e-5
            rates = (np.array(self.posterior(s + step, keep=True)) - np.array(self.posterior(s - step, keep=True))) / (
                2 * step
            )
            band = np.zeros((2, len(s)))
            band[0] = lam * 2 * rates[1] * np.diff(m1) / height + kap * (bend[1:] + bend[:-1])
            band[0, at] += w * 2 * rates[0, at] / height[at]
            band[1, :-1] = -kap * bend[1:-1]
            du = -solveh_banded(band, gradient, lower=True)
            ds = du / height
            squeeze = max(1e-300, float((-np.diff(ds) / np.diff(s)).max()))
            length = min(1.0, 0.9 / squeeze, 1 / max(1e-300, float(abs(ds).max())))
            decrease = float(-gradient @ du)
            if decrease < 1e-15:
                break
            while (trial := objective(s + length * ds)) > value - 1e-4 * length * decrease and length > 1e-9:
                length /= 2
            if trial >= value:
                break
            s, value = s + length * ds, trial
        return s

    def map_without_perception(self, s: Array, m1: Array, m2: Array, at: int, w: float, lam: float) -> Array:
        """Every entry by bisection for itself; those that the entry of the threshold would overtake go with it."""

        def gradient(s: Array) -> Array:
            return np.asarray(lam * (-np.diff(m2) + 2 * self.posterior(s, keep=True)[1] * np.diff(m1)))

        low, high = s - 60 * self.total, s + 60 * self.total
        for _ in range(90):
            middle = (low + high) / 2
            low, high = np.where(gradient(middle) < 0, middle, low), np.where(gradient(middle) < 0, high, middle)
        left, right = self.mean.min() - 60 * self.total, self.mean.max() + 60 * self.total
        place = np.arange(len(s))
        for _ in range(90):
            c = (left + right) / 2
            taken = (place == at) | ((place < at) & (low > c)) | ((place > at) & (low < c))
            slope = float(gradient(np.full(len(s), c))[taken].sum()) + w * (2 * self.posterior(c)[0] - 1)
            left, right = (c, right) if slope < 0 else (left, c)
        return np.concatenate([np.minimum(low[:at], c), [c], np.maximum(low[at + 1 :], c)])

    def least(self, side: int, nodes: Array, v: Array, lam: float, m: Array) -> Array:
        """G_side(m), by trying every node and every vertex of a piece."""
        t = self.threshold
        x, v = (np.append(nodes, t), np.append(v, v[-1])) if side == 0 else (np.append(t, nodes), np.append(v[0], v))
        value = (lam * x * x - v - 2 * lam * np.outer(m, x)).min(axis=1)
        if lam == 0:
            return np.asarray(value)
        left, right = np.append(-np.inf, x[:-1]), x
        slopes = np.append(0.0, np.diff(v) / np.diff(x))
        if side == 1:
            left, right, slopes = x, np.append(x[1:], np.inf), np.append(np.diff(v) / np.diff(x), 0.0)
        vertex = m[:, None] + slopes / (2 * lam)
        inside = (vertex > left) & (vertex < right)
        shape = lam * vertex**2 - 2 * lam * m[:, None] * vertex - (v + slopes * (vertex - x))
        return np.asarray(np.minimum(value, np.where(inside, shape, np.inf).min(axis=1)))

    def psi(self, a: Array) -> Array:
        """psi(a) = inf over r of f(r) + a r, by bisection of its derivative in log r."""
        low, high = np.full(np.shape(a), -40.0), np.full(np.shape(a), 40.0)
        for _ in range(58):
            middle = (low + high) / 2
            falling = self.generator.slope(np.exp(middle)) + a < 0
            low, high = np.where(falling, middle, low), np.where(falling, high, middle)
        r = np.exp((low + high) / 2)
        return np.asarray(self.generator.f(r) + a * r)

    def last_term(self, v: Array, mass: Array, kap: float, level: float) -> float:
        """max over c of kap (sum mass psi((v + c) / kap) - P') - c."""
        if kap == 0:
            return float(v.min())
        if math.isinf(kap):
            return float(mass @ v) if level == 0 else -math.inf
        if math.isinf(level):
            return -math.inf

        def negative(c: float) -> float:
            return -float(kap * (mass @ self.psi((v - v.min() + c) / kap) - self.generator.level(level)) - c + v.min())

        # the ratios at the best c have mean 1: that of the smallest v is at least 1 and at most 1 / its mass
        most = -kap * float(self.generator.slope(np.array(1.0)))
        least = -kap * float(self.generator.slope(np.array(min(1e12, 2 / mass[v.argmin()]))))
        spread = float(v.max() - v.min())
        found = minimize_scalar(
            negative, bounds=(max(least, most - spread), most), method="bounded", options={"xatol": 1e-9}
        )
        return -float(min(found.fun, negative(most)))

    def lagrangian(self, dual: Json, distortion: float, level: float, best_crossing: bool = False) -> float:
        """The dual bound of a certificate in floats, with the better side in every cell, whatever its crossing says.

        The crossing cell that A - B tells may be entered in the dual.
        """
        w, lam, kap = (math.inf if dual[key] == "inf" else float(number(dual[key])) for key in PRICES)
        nodes, potential, y = (
            [unhexed(x) for x in dual["nodes"]],
            [unhexed(x) for x in dual["potential"]],
            unhexed(dual["cells"]),
        )
        if lam > 0 and math.isinf(distortion):
            return -math.inf
        masses = []
        for side, x in enumerate(nodes):
            edges = np.concatenate([[-np.inf], x, [self.threshold]] if side == 0 else [[self.threshold], x, [np.inf]])
            p, _, first, _ = self.cells(edges, False)
            part = (first[1:-1] - x[:-1] * p[1:-1]) / np.diff(x)
            masses.append(np.append(p[1:-1] - part, p[-1]) + np.append(p[0], part))
        total = self.last_term(np.concatenate(potential), np.concatenate(masses), kap, level)
        r, mu = self.posterior(y)
        g = [self.least(side, nodes[side], potential[side], lam, mu) for side in (0, 1)]
        difference = w * (2 * r - 1) + g[0] - g[1]
        if best_crossing:
            dual["crossing"] = min(max(int((difference < 0).sum()) - 1, 0), len(y) - 2)
        p, rising, first, _ = self.cells(y, True)
        part = (first - mu[:-1] * p) / np.diff(mu)
        chords = [g[side][:-1] * (p - part) + g[side][1:] * part for side in (0, 1)]
        lower = w * rising + chords[0] - np.maximum(difference[1:], 0) * p
        upper = w * (p - rising) + chords[1] + np.minimum(difference[:-1], 0) * p
        total += float(np.maximum(lower, upper).sum())
        highest = max(part.max() for part in potential)
        for ends in ([-np.inf, y[0]], [y[-1], np.inf]):
            tail = self.cells(np.array(ends), True)
            total -= lam * float(tail[3][0]) + highest * float(tail[0][0])
        return total + (lam * (self.square - distortion) if lam else 0.0)


PRICES = ("error_weight", "price_distortion", "price_perception")


def hexed(values: Any) -> list[str]:
    """Doubles as a certificate holds them."""
    return [float(value).hex() for value in values]


def unhexed(values: list[str]) -> Array:
    """Doubles of a certificate."""
    return np.array([float.fromhex(value) for value in values])


def number(text: str) -> Fraction:
    """Exact number of a certificate."""
    return Fraction(float.fromhex(text)) if "x" in text else Fraction(text)


def level_of(text: str | None) -> float:
    """A level of a certificate in floats; null as 0."""
    return 0.0 if text is None else math.inf if text == "inf" else float(number(text))


def up(value: float, digits: int = 9) -> str:
    """A short decimal just above."""
    return str(Fraction(math.ceil(value * 10**digits) + 1, 10**digits))


def dual_of(line: Line, edges: Array, at: int, v: Array, w: float, lam: float, kap: float, n_y: int) -> Json:
    """Dual with the potential v at the means of the output cells, shifted to be nonnegative."""
    p, _, first, _ = line.cells(edges, False)
    k = at + 1
    nodes, potential = [np.split(x, [k]) for x in (first / p, np.maximum(v - v.min(), 0.0))]
    reach = 8.5 * line.total
    y = np.linspace(line.mean.min() - reach, line.mean.max() + reach, n_y)

    def difference(y: float) -> float:
        r, mu = line.posterior(y)
        g = [line.least(side, nodes[side], potential[side], lam, np.array([mu]))[0] for side in (0, 1)]
        return float(w * (2 * r - 1) + g[0] - g[1])

    crosses = difference(y[0]) < 0 < difference(y[-1])
    c = brentq(difference, y[0], y[-1], xtol=1e-13) if crosses else line.decision
    y = np.unique(np.concatenate([y, [c - 1e-9, c + 1e-9]]))
    return {
        "error_weight": w.hex(),
        "price_distortion": lam.hex(),
        "price_perception": "inf" if math.isinf(kap) else kap.hex(),
        "nodes": [hexed(x) for x in nodes],
        "potential": [hexed(x) for x in potential],
        "cells": hexed(y),
        "crossing": int(np.searchsorted(y, c)) - 1,
    }


def certificate(
    problem: Json, quantity: str, w: float, lam: float, kap: float, n: int = 60, n_y: int = 240, nudge: float = 0.0
) -> Json:
    """Certificate of the point of the surface that has these prices; kap = inf is P = 0, a price of 0 drops a level.

    `nudge` lowers the level of an infeasible claim below the least distortion.
    """
    line = Line(problem)
    edges, at = (np.array([-np.inf, line.threshold, np.inf]), 0) if lam == kap == 0 else line.grid(n)
    inner = np.delete(edges[1:-1], at)
    if math.isinf(kap):
        channel: Json | None = {"quantile": hexed(inner), "threshold_index": at}
        v = transport_potential(line, edges, at, w, lam)
    else:
        s = line.best_map(edges, at, w, lam, kap)
        marks: list[str] = hexed(s)
        if quantity == "flat_distortion":
            marks[at] = "decision"
        channel = {"edges": hexed(inner), "threshold_index": at, "map": marks}
        p = line.cells(edges, False)[0]
        q = line.cells(np.concatenate([[-np.inf], s, [np.inf]]), True)[0]
        v = -kap * line.generator.slope(q / p) if kap else np.zeros(len(p))
    error, distortion, perception = line.channel(channel)
    of_distortion = quantity in ("min_distortion", "flat_distortion")
    most_d: str | None = None if of_distortion else "inf" if lam == 0 else up(distortion - nudge)
    most_p = "0" if math.isinf(kap) else "inf" if kap == 0 else up(perception)
    dual = dual_of(line, edges, at, v, w, lam, kap, n_y)
    lower = line.lagrangian(dual, level_of(most_d), level_of(most_p))
    if quantity == "flat_distortion":
        lower -= w * float(line.values(np.array([-np.inf, line.threshold, np.inf]), np.array([line.decision]), 0)[0])
    claim: Json = {"quantity": quantity, "lower": None, "upper": None}
    if quantity == "infeasible":
        channel = None
    else:
        claim["lower"], claim["upper"] = (lower - 1e-10).hex(), ((distortion if of_distortion else error) + 1e-10).hex()
    return {
        "format": "cdp_toy enclosure",
        "version": 1,
        "problem": problem,
        "max_distortion": most_d,
        "max_perception": most_p,
        "claim": claim,
        "channel": channel,
        "dual": dual,
    }


def transport_potential(line: Line, edges: Array, at: int, w: float, lam: float) -> Array:
    """Potential of the monotone plan from Y to X: v' = 2 lam (x - mu(s(x))), with the jump that makes A = B at s(t)."""
    p, _, first, _ = line.cells(edges, False)
    x = first / p
    s = line.matched(edges)
    slope = 2 * lam * (edges[1:-1] - line.posterior(s)[1])
    v = np.append(0.0, np.cumsum(slope * np.diff(x)))
    r, mu = line.posterior(s[at])
    k = at + 1
    g = [line.least(side, part, u, lam, np.array([mu]))[0] for side, part, u in ((0, x[:k], v[:k]), (1, x[k:], v[k:]))]
    v[k:] += (g[1] - g[0]) - w * (2 * r - 1)
    return v
