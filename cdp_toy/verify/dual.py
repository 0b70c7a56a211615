"""Lower bounds: the Lagrangian of a dual, at any prices and potential."""

from __future__ import annotations

import math
from collections.abc import Sequence
from fractions import Fraction

from flint import arb

from cdp_toy.verify.divergences import Divergence, divergence
from cdp_toy.verify.exact import (
    INF,
    ZERO,
    Level,
    ascending,
    ball,
    compare,
    demand,
    fields,
    floats,
    index,
    level,
    need,
    pair,
)
from cdp_toy.verify.laws import Law, threshold
from cdp_toy.verify.model import Model

KEYS = ("error_weight", "price_distortion", "price_perception", "nodes", "potential", "cells", "crossing")


def conjugate(xs: list[arb], vs: list[float], lam: arb, ms: Sequence[arb]) -> list[arb]:
    """Balls of G(m) = inf { lam x^2 - 2 lam m x - v(x) : x <= xs[-1] } at increasing m; v is constant below xs[0].

    Candidates, in order of x: 2 k is the piece of v that ends at node k, with the vertex of its parabola where that
    lies inside, and 2 k + 1 is node k. A piece whose vertex is provably outside is least at a node. The middle m of a
    range of ms is tried against the range of candidates; `best` is the value at a point x* that provably exists, at
    most some slack above the least of the range. For m' > m and x < x* the value at x less that at x* has grown by
    2 lam (m' - m) (x* - x) >= 0: whatever lies below x* undercuts x* by no more than the slack. So larger m need only
    the candidates from x* on, smaller ones those up to x*, and the slacks add up on the way down. A piece ends a range
    only if its vertex was provably inside for the m that set the range, on whose far side no later m lies.
    """
    if lam == 0:
        return [arb(-max(vs))] * len(ms)
    pieces = zip(xs, xs[1:], vs, vs[1:], strict=False)
    slopes = [ZERO] + [(arb(high) - low) / (right - left) for left, right, low, high in pieces]
    shifts = [slope / (2 * lam) for slope in slopes]
    starts = [left - shift for left, shift in zip([-INF, *xs], shifts, strict=False)]
    stops = [right - shift for right, shift in zip(xs, shifts, strict=True)]
    offsets = [v - slope * x for x, v, slope in zip(xs, vs, slopes, strict=True)]
    heights = [lam * x * x - v for x, v in zip(xs, vs, strict=True)]
    found = [ZERO] * len(ms)
    todo = [(0, len(ms), 0, 2 * len(xs) - 1, ZERO)]
    while todo:
        start, stop, low, high, slack = todo.pop()
        middle = (start + stop) // 2
        m, price = ms[middle], 2 * lam * ms[middle]
        least, best, left, right = INF, INF, low, high
        for k in range(low // 2, high // 2 + 1):
            if 2 * k >= low and not (m < starts[k] or m > stops[k]):
                vertex = m + shifts[k]
                value = -(lam * vertex * vertex + offsets[k])
                if not value > least:
                    least = value if value < least else least.min(value)
                if value < best and m > starts[k] and m < stops[k]:
                    best, left, right = value, 2 * k, 2 * k
            if 2 * k < high:
                value = heights[k] - price * xs[k]
                if not value > least:
                    least = value if value < least else least.min(value)
                if value < best:
                    best, left, right = value, 2 * k + 1, 2 * k + 1
        slack = slack + (best - least).abs_upper()  # without a sure point infinite, and the bound is void
        found[middle] = least + arb(0, slack)
        if start < middle:
            todo.append((start, middle, low, right, slack))
        if middle + 1 < stop:
            todo.append((middle + 1, stop, left, high, slack))
    return found


def last_term(formulas: Divergence, weights: list[arb], vs: list[float], kap: Level, level: Level) -> arb:
    """The last term of the bound, at the shift c with int p_X psi'((v + c) / kap) = 1 nearly; every c is valid."""
    if kap == 0:
        return arb(min(vs))
    if math.inf in (kap, level):
        law_is_source = kap == math.inf and level == 0
        return sum((p * v for p, v in zip(weights, vs, strict=True)), ZERO) if law_is_source else -INF
    price, masses, exact = float(kap), [float(p) for p in weights], ball(kap)
    low = max(price * formulas.unit - max(vs), price * float(formulas.least) - min(vs))
    high = price * formulas.unit - min(vs)
    for _ in range(60):
        middle = (low + high) / 2
        try:
            mass = sum(p * formulas.ratio((v + middle) / price) for p, v in zip(masses, vs, strict=True))
        except ArithmeticError:  # too large for a float
            mass = math.inf
        low, high = (middle, high) if mass > 1 else (low, middle)
    if not (arb(min(vs)) + high) / exact >= formulas.least:
        return -INF
    psis = (p * formulas.psi((arb(v) + high) / exact) for p, v in zip(weights, vs, strict=True))
    return exact * (sum(psis, ZERO) - formulas.level(ball(level))) - high


def lagrangian(model: Model, dual: object, distortion: Level, perception: Level) -> arb:
    """Ball of Lag(w, lam, kap, v; D, P), -inf where the prices make it void."""
    given = fields(dual, KEYS, "dual")
    w, lam, kap = (level(given[key], key) for key in KEYS[:3])
    demand(w < math.inf and lam < math.inf, "the error weight and the price of distortion must be finite")
    nodes, potential = ([floats(side, key) for side in pair(given[key], key)] for key in ("nodes", "potential"))
    for xs, vs in zip(nodes, potential, strict=True):
        need(len(xs) == len(vs) > 0, "dual: every side needs nodes, and a potential at each")
        demand(ascending(xs), "the nodes do not increase")
        demand(min(vs) >= 0, "the potential is negative")
    ys = floats(given["cells"], "cells")
    demand(ascending(ys), "the edges of the y-cells do not increase")
    crossing = index(given["crossing"], "crossing", len(ys) - 1)
    t, law, observed = threshold(model), Law(model, Fraction(0)), Law(model, model.noise)
    compare(arb(nodes[0][-1]), t, "a node of the lower side does not lie below the threshold", strict=True)
    compare(t, arb(nodes[1][0]), "a node of the upper side does not lie above the threshold", strict=True)

    weights: list[arb] = []  # int p_X v = sum of weights times v at the nodes
    for xs, start, end in ((nodes[0], law.start, law.at(t)), (nodes[1], law.at(t), law.end)):
        points = [arb(x) for x in xs]
        edges = [law.at(x) for x in points]
        here = [law.cell(start, edges[0])[0]]
        for k in range(len(xs) - 1):
            mass, _, moment, _ = law.cell(edges[k], edges[k + 1])
            part = (moment - points[k] * mass) / (points[k + 1] - points[k])
            here[k] += mass - part
            here.append(part)
        here[-1] += law.cell(edges[-1], end)[0]
        weights += here
    total = last_term(divergence(model.perception), weights, potential[0] + potential[1], kap, perception)

    price, error_weight, points = ball(lam), ball(w), [arb(y) for y in ys]
    edges = [observed.at(y) for y in points]
    r, mu = zip(*(observed.posterior(y, edge) for y, edge in zip(points, edges, strict=True)), strict=True)
    lower = conjugate([*map(arb, nodes[0]), t], potential[0] + potential[0][-1:], price, mu[: crossing + 2])
    # the upper side is the mirrored lower one
    flipped, ms = [-arb(x) for x in reversed(nodes[1])], [-m for m in reversed(mu[crossing:])]
    upper = conjugate([*flipped, -t], potential[1][::-1] + potential[1][:1], price, ms)[::-1]
    left, right = (error_weight * (2 * r[crossing + k] - 1) + lower[crossing + k] - upper[k] for k in (0, 1))  # A - B
    for k in range(len(ys) - 1):
        mass, rising, moment, _ = observed.cell(edges[k], edges[k + 1])
        part = (moment - mu[k] * mass) / (mu[k + 1] - mu[k])
        bounds = []
        if k <= crossing:
            chord = lower[k] * (mass - part) + lower[k + 1] * part
            bounds.append(error_weight * rising + chord - (left if k < crossing else right).max(ZERO) * mass)
        if k >= crossing:
            chord = upper[k - crossing] * (mass - part) + upper[k + 1 - crossing] * part
            bounds.append(error_weight * (mass - rising) + chord + (right if k > crossing else left).min(ZERO) * mass)
        total += bounds[0].max(bounds[-1])
    highest = max(map(max, potential))
    for mass, _, _, second in (observed.cell(observed.start, edges[0]), observed.cell(edges[-1], observed.end)):
        total -= price * second + highest * mass
    if lam == 0:
        return total
    square = law.cell(law.start, law.end)[3]
    return total + price * (square - ball(distortion)) if distortion < math.inf else -INF
