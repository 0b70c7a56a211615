"""Verifier of enclosure certificates: every bound is derived again from the file, in ball arithmetic, by this module.

What has to be believed: Python's json, re and fractions; flint's arb, whose operations return balls that hold the true
result; and what follows. Nothing else of cdp_toy is used, and no number of a solver: duals and channels are hints.

*Setting* (Law, setting). X given class c is a mixture of Gaussians of one std, Y = X + N(0, noise^2), and the
classifier answers the rising class u where xhat > t. With joint weights f_k (other class) and u_k (class u) at the
distinct means m_1 < m_2 < ... the ratio u_k / f_k must not decrease in k (checked in rationals). Then r(y) = P(u|y)
does not decrease: given y the mixing laws stay in that order, and the derivative of log(u density / other density) is
the difference of their means over the variance of Y. mu(y) = E[X|y] has the derivative Var(X|y) / noise^2 > 0.

*Upper bounds* (channel_values). Y in (s_{j-1}, s_j] is answered by Xhat drawn from p_X on (e_{j-1}, e_j], one e being
t. With q_j = P(Y in cell j), and p_j, m1_j, m2_j the mass and the mean powers of X in output cell j,

    E(X - Xhat)^2 = E X^2 + sum q_j m2_j - 2 m1_j E[X; Y in cell j];

the density ratio is q_j / p_j on the cell, so the divergence is sum p_j f(q_j / p_j). Both are exact, as is the error.

*Lower bounds* (lagrangian). For w, lam, kap >= 0, a potential v, a number c, and any channel of distortion <= D and
integral p_X f(q / p_X) <= P',

    w error >= int p_Y min_xhat [w e + lam d - v] - lam D + last,   last = kap (int p_X psi((v + c) / kap) - P') - c,

where psi(a) = inf_{r >= 0} f(r) + a r is concave and increasing, and a >= -f'(inf) everywhere, so that parts of the
output law without a density cost nothing. v is linear between nodes and constant from the outer nodes to the ends of
their side of t; the chord of psi between nodes lies below psi. kap = inf (P = 0, output law p_X): last = int p_X v;
kap = 0: last = min v. d = |x|^2 - 2 mu x + E[X^2|y]. With G_i(m) = inf over side i, closed at t, of
lam x^2 - 2 lam m x - v(x) the inner minimum is min(A, B), A = w r + G_0(mu), B = w (1 - r) + G_1(mu). G is concave: its
chord in m over a y-cell lies below it. A - B does not decrease, as G_0' - G_1' = 2 lam (x_1 - x_0) >= 0: left of the
crossing cell min(A, B) >= A - (A - B)^+ at that cell's left edge, right of it B - (B - A)^+ at its right edge, inside
either one with its other edge. Beyond the outer y-edges the inner minimum is >= -lam mu^2 - max v, and
E[mu^2; tail] <= E[X^2; tail].

*Claims* (enclosures). error_rate: w = 1. min_distortion: w = 0, lam = 1, D = 0. flat_distortion (channels whose error
is the floor): lam = 1, D = 0, less w times the floor. infeasible: w = 0 and a bound above 0. The floor, the Bayes error
of Y, is the error of answering u where r >= 1/2; it bounds the error rate, and 0 every distortion, without a dual.

*Verdicts*. VERIFIED: proven. REFUTED: the file can be read, but a condition on its numbers is provably false, or what
it proves provably falls short of its claim. CANNOT DECIDE: unreadable, too large, outside the setting, evidence
missing, or undecided with the most bits. Exit code 1 if any file is refuted, else 2 if any cannot be decided, else 0.
"""

from __future__ import annotations

import json
import math
import os
import re
import stat
import sys
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, NamedTuple

from flint import arb, ctx, fmpq

__all__ = ["BITS", "CLAIMS", "NotProven", "Report", "bayes_error", "enclosures", "lower_bound", "main", "upper_bound"]
__all__ += ["verify", "verify_file", "verify_text"]

#: what a claim of each kind is about, {D} and {P} being the levels of the file
CLAIMS = {
    "error_rate": "the least error rate of channels with distortion <= {D} and perception <= {P}",
    "min_distortion": "the least distortion of channels with perception <= {P}",
    "flat_distortion": "the least distortion of channels with perception <= {P} and the Bayes error of Y",
    "infeasible": "no channel has distortion <= {D} and perception <= {P}",
}
VERIFIED, REFUTED, UNDECIDED = "VERIFIED", "REFUTED", "CANNOT DECIDE"
BITS, MOST_BYTES = (128, 256, 512), 32 << 20
ZERO, INF = arb(0), arb("inf")

Level = Fraction | float  # a float for inf alone
Form = dict[str, Any]
Edge = list[tuple[int, arb, arb, arb]]


class NotProven(ValueError):
    """Evidence that proves nothing: the message says why; `verdict` is REFUTED or CANNOT DECIDE."""

    def __init__(self, message: str, verdict: str = UNDECIDED, more_bits: bool = False) -> None:
        super().__init__(message)
        self.verdict, self.more_bits = verdict, more_bits


class Report(NamedTuple):
    """Verdict on a certificate, the reason (where VERIFIED the statement), and balls of what could be derived."""

    verdict: str
    reason: str
    enclosures: dict[str, arb]


def need(condition: object, message: str, verdict: str = UNDECIDED, more_bits: bool = False) -> None:
    """Give up where a condition fails: the file is wrong (REFUTED), or nothing can be decided."""
    if not condition:
        raise NotProven(message, verdict, more_bits)


def compare(a: arb, b: arb, message: str, strict: bool = False) -> None:
    """Demand a <= b, or a < b: proven, or refuted, or undecided at this precision."""
    proven, refuted = (a < b, a >= b) if strict else (a <= b, a > b)
    words = message.format(repr(float(a)), repr(float(b))) + ("" if refuted else "; undecided")
    need(proven, words, REFUTED if refuted else UNDECIDED, more_bits=not refuted)


def ball(value: Level) -> arb:
    """Ball of an exact number."""
    return arb(value) if isinstance(value, float) else arb(fmpq(value.numerator, value.denominator))


def brief(value: Any) -> str:
    """A word of a file in a message, never long."""
    text = str(value) if isinstance(value, str) and value.isascii() and value.isprintable() else ascii(value)
    return text if len(text) <= 40 else f"{text[:36]}..."


def exact(text: str) -> Level:
    """Rational of a number, or inf."""
    return math.inf if text == "inf" else Fraction(float.fromhex(text) if "x" in text else text)


# a form is a dict of keys, [form of the entries, their least, their greatest number], (pattern of a string, what it
# means, what it is called), int for an index, or None for anything
RATIONAL = "-?[0-9]{1,400}(/0{0,399}[1-9][0-9]{0,399}|([.][0-9]{1,400})?(e[+-]?[0-9]{1,3})?)"
HEX = "-?0x[01][.][0-9a-f]{1,13}p[+-]([0-9]{1,3}|10[01][0-9]|102[0-3])"
DOUBLE = (re.compile(HEX), float.fromhex, "a hex float in a string")
NUMBER = (re.compile(f"{RATIONAL}|{HEX}"), exact, "a rational or a hex float in a string")
LEVEL = (re.compile(f"{RATIONAL}|{HEX}|inf"), exact, "a rational or a hex float in a string, or inf")
PERCEPTION = (re.compile(f"kl|reverse_kl|hellinger_squared|chi2|reverse_chi2|js|renyi:{RATIONAL}"), str, "a perception")
DOUBLES, ROWS = [DOUBLE, 0, 1 << 18], [[NUMBER, 1, 64], 2, 2]
PROBLEM: Form = {"priors": [NUMBER, 2, 2], "means": ROWS, "weights": ROWS, "stds": ROWS, "noise_std": NUMBER}
PROBLEM |= {"threshold": None, "classes": [int, 2, 2], "perception": PERCEPTION}
MAP: Form = {"edges": DOUBLES, "threshold_index": int, "map": [None, 1, 1 << 18]}
QUANTILE: Form = {"quantile": DOUBLES, "threshold_index": int}
DUAL: Form = {"error_weight": LEVEL, "price_distortion": LEVEL, "price_perception": LEVEL, "nodes": [DOUBLES, 2, 2]}
DUAL |= {"potential": [DOUBLES, 2, 2], "cells": DOUBLES, "crossing": int}
CERTIFICATE: Form = {"format": (re.compile("cdp_toy enclosure"), str, "that of an enclosure"), "version": int}
CERTIFICATE |= {"problem": None, "max_distortion": None, "max_perception": LEVEL, "channel": None, "dual": None}
CERTIFICATE |= {"claim": {"quantity": (re.compile("|".join(CLAIMS)), str, "a quantity"), "lower": None, "upper": None}}


def read(value: Any, form: Any, key: str) -> Any:
    """What a file says, where it has the form that it needs."""
    if isinstance(form, dict):
        need(isinstance(value, dict), f"{key}: an object is needed")
        for name in [*form, *value]:
            need(name in value, f"{key}: {name} is missing")
            need(name in form, f"{key}: unknown key {brief(name)}")
        return {name: read(value[name], form[name], name) for name in form}
    if isinstance(form, list):
        entry, least, most = form
        need(isinstance(value, list), f"{key}: a list is needed")
        need(least <= len(value) <= most, f"{key}: {least} to {most} entries are needed, got {len(value)}")
        return [read(one, entry, key) for one in value]
    if isinstance(form, tuple):
        pattern, meaning, called = form
        if not (isinstance(value, str) and pattern.fullmatch(value)):
            raise NotProven(f"{key}: {brief(value)} is not {called}")
        value = meaning(value)
        need(form is not LEVEL or value >= 0, f"{key} is negative", REFUTED)
    need(form is not int or (type(value) is int and value >= 0), f"{key}: {brief(value)} is no index")
    return value


class Law:
    """X, or Y with its noise, as Gaussians in balls, from joint weights (f_k, u_k) at the means m_k."""

    def __init__(self, joint: dict[Fraction, list[Fraction]], source: Fraction, noise: Fraction) -> None:
        self.std, self.gain, self.source = ball(source + noise).sqrt(), ball(source / (source + noise)), ball(source)
        self.scale = self.gain * self.std  # given its Gaussian of mean m, X is m + scale z + something independent of z
        self.rows = [(ball(m), ball(f + u), ball(u), ball(u - f)) for m, (f, u) in sorted(joint.items())]
        self.start, self.end = ([(step, ZERO, ZERO, ZERO) for _ in joint] for step in (0, 1))
        self.root_half, self.height = (arb(1) / 2).sqrt(), (2 * arb.pi()).rsqrt()
        # is one class nowhere the less likely one? It shows at the end where u_k / f_k favours the other
        self.one_sided = not self.rows[0][3] < 0 < self.rows[-1][3]

    def at(self, y: arb) -> Edge:
        """Per Gaussian: the step (0 or 1) that its cdf is near, the cdf less the step, the density of z, and z."""
        edge = []
        for mean, *_ in self.rows:
            z = (y - mean) / self.std
            step = int(z.mid() > 0)
            tail = ((z if step else -z) * self.root_half).erfc() / 2
            edge.append((step, -tail if step else tail, (-z * z / 2).exp() * self.height, z))
        return edge

    def cell(self, a: Edge, b: Edge) -> tuple[arb, arb, arb, arb]:
        """Mass, mass of the rising class, E[X; cell], E[X^2; cell].

        By parts, E[z; cell] = -[density] and E[z^2; cell] = mass - [z density].
        """
        mass = rising = first = second = ZERO
        for (sa, ta, da, za), (sb, tb, db, zb), (m, weight, rise, _) in zip(a, b, self.rows, strict=True):
            share = tb - ta if sa == sb else tb - ta + (sb - sa)
            drop = self.scale * (db - da)
            mass += weight * share
            rising += rise * share
            first += weight * (m * share - drop)
            second += weight * ((m * m + self.source) * share - 2 * m * drop - self.scale**2 * (zb * db - za * da))
        return mass, rising, first, second

    def posterior(self, y: arb, edge: Edge) -> tuple[arb, arb]:
        """r(y) and mu(y)."""
        total = rising = mean = ZERO
        for (_, _, density, _), (m, weight, rise, _) in zip(edge, self.rows, strict=True):
            total += weight * density
            rising += rise * density
            mean += weight * density * m
        return rising / total, self.gain * y + (1 - self.gain) * mean / total

    def decision(self) -> arb:
        """The point where both classes are equally likely: r - 1/2 has the sign of sum (u_k - f_k) density_k."""
        need(not self.one_sided, "one class is nowhere the less likely one: there is no Bayes decision point")

        def excess(y: arb) -> tuple[arb, arb]:
            terms = [(gap * density, z) for (_, _, density, z), (*_, gap) in zip(self.at(y), self.rows, strict=True)]
            return sum((h for h, _ in terms), ZERO), -sum((h * z for h, z in terms), ZERO) / self.std

        return root(excess, self.rows[0][0] - 2**30 * self.std, self.rows[-1][0] + 2**30 * self.std)

    def error_above(self, edge: Edge) -> arb:
        """Error rate of answering the rising class above an edge of Y and the other below."""
        mass, rising, _, _ = self.cell(edge, self.end)
        return self.cell(self.start, edge)[1] + mass - rising

    def floor(self) -> arb:
        """Bayes error of Y; the lesser prior where one class is nowhere the less likely one."""
        mass, rising, _, _ = self.cell(self.start, self.end)
        return rising.min(mass - rising) if self.one_sided else self.error_above(self.at(self.decision()))


def root(function: Callable[[arb], tuple[arb, arb]], low: arb, high: arb) -> arb:
    """Ball in which a function, given with its slope, provably changes its sign; the search for it is free to err."""
    y, close = low, arb(2) ** (18 - ctx.prec)
    for _ in range(4 * ctx.prec):
        value, slope = function(y)
        newton = (y - value / slope).mid()
        if abs(newton - y) < close * (1 + abs(y)):
            break
        low, high = (y, high) if value < 0 else (low, y)
        y = newton if low < newton < high else ((low + high) / 2).mid()
    radius = 4 * close * (1 + abs(y)).upper()
    proven = function(y - radius)[0] < 0 < function(y + radius)[0]
    need(proven, "a decision point or a quantile of the channel could not be enclosed", more_bits=True)
    return y + arb(0, radius)


Setting = tuple[Law, Law, Callable[[], arb], "Divergence"]


def setting(problem: Any) -> Setting:
    """Laws of X and Y, threshold, and divergence of a problem, every condition of the theorem proven in rationals."""
    given = read(problem, PROBLEM, "problem")
    priors, means, weights, stds, classes = (given[key] for key in ("priors", "means", "weights", "stds", "classes"))
    need(len({tuple(map(len, x)) for x in (means, weights, stds)}) == 1, "means, weights and stds differ in shape")
    for name, row in (("priors", priors), ("weights of a class", weights[0]), ("weights of a class", weights[1])):
        need(sum(row) == 1 and min(row) >= 0, f"the {name} are no probabilities that sum to 1", REFUTED)
    need(min(*stds[0], *stds[1], given["noise_std"]) > 0, "a standard deviation is not positive", REFUTED)
    need(min(priors) > 0, "both priors must be positive")
    need(len({*stds[0], *stds[1]}) == 1, "the theorem needs one std for all Gaussians of X")
    need(sorted(classes) == [0, 1], "classes: 0 and 1 are needed, the class below the threshold and the one above")
    joint: dict[Fraction, list[Fraction]] = {}
    for side, c in enumerate(classes):
        for mean, weight in zip(means[c], weights[c], strict=True):
            if weight > 0:
                joint.setdefault(mean, [Fraction(0), Fraction(0)])[side] += priors[c] * weight
    ordered = all(f * above >= other * u for (f, u), (other, above) in pairwise(joint[m] for m in sorted(joint)))
    need(ordered, "the means of the class above the threshold are not above the others in likelihood-ratio order")
    source, t = stds[0][0] ** 2, given["threshold"]
    X, Y = Law(joint, source, Fraction(0)), Law(joint, source, given["noise_std"] ** 2)
    threshold = None if t == "bayes" else ball(read(t, NUMBER, "threshold"))
    return X, Y, lambda: X.decision() if threshold is None else threshold, divergence(given["perception"])


class Divergence(NamedTuple):
    """Formulas of f: p f(q/p), f(0) and psi in balls; psi' in floats; -f'(1), -f'(inf); P' of P and its inverse."""

    cell: Callable[[arb, arb], arb]
    at_zero: arb
    psi: Callable[[arb], arb]
    ratio: Callable[[float], float]
    unit: float
    least: arb
    level: Callable[[arb], arb] = lambda level: level
    of_sum: Callable[[arb], arb] = lambda total: total


def divergence(name: str) -> Divergence:
    """Formulas of a perception at the precision of now; where f + a r is least, r = ratio(a)."""
    if name == "kl":  # f = -log r
        return Divergence(lambda p, q: p * (p / q).log(), INF, lambda a: 1 + a.log(), lambda a: 1 / a, 1, ZERO)
    if name == "reverse_kl":  # f = r log r
        psi, ratio = lambda a: -(-1 - a).exp(), lambda a: math.exp(-1 - a)
        return Divergence(lambda p, q: q * (q / p).log(), ZERO, psi, ratio, -1, -INF)
    if name == "reverse_chi2":  # f = (r - 1)^2
        psi, ratio = lambda a: 1 - (1 - a / 2).max(ZERO) ** 2, lambda a: max(0.0, 1 - a / 2)
        return Divergence(lambda p, q: (q - p) ** 2 / p, arb(1), psi, ratio, 0, -INF)
    if name == "js":  # f = (log(2 / (1 + r)) + r log(2 r / (1 + r))) / 2
        psi, ratio = lambda a: (2 - (-2 * a).exp()).log() / 2, lambda a: 1 / max(0.0, 2 * math.exp(2 * min(a, 300)) - 1)
        log2 = arb(2).log()
        return Divergence(
            lambda p, q: (p * (2 * p / (p + q)).log() + q * (2 * q / (p + q)).log()) / 2,
            log2 / 2,
            psi,
            ratio,
            0,
            -log2 / 2,
        )
    # powers: f = sign r^(1-n), where f + a r is least at r = (|n-1| / a)^(1/n) and is n a r / (n-1) there. The sum is
    # sign exp((n-1) renyi); for n = 1/2 it is hellinger_squared - 1, for n = 2 chi2 + 1
    n = {"hellinger_squared": Fraction(1, 2), "chi2": Fraction(2)}.get(name) or Fraction(name[6:])
    need(n > 0 and n != 1, "the order of renyi must be positive and not 1")
    sign, gap, inverse, renyi = 1 if n > 1 else -1, float(abs(n - 1)), float(1 / n), name.startswith("renyi")
    power, root_of, factor, less_one = (ball(x) for x in (1 - n, 1 / n, n / (n - 1), n - 1))
    return Divergence(
        cell=lambda p, q: sign * p * (q / p) ** power,
        at_zero=INF if n > 1 else ZERO,
        psi=lambda a: factor * a * (abs(less_one) / a) ** root_of,
        ratio=lambda a: (gap / a) ** inverse,
        unit=gap,
        least=ZERO,
        level=lambda level: sign * (less_one * level).exp() if renyi else level + sign,
        of_sum=lambda total: (sign * total).log() / less_one if renyi else total - sign,
    )


def quantile(X: Law, Y: Law, edge: Edge, low: arb) -> arb:
    """The s >= low with P(Y <= s) = P(X <= x) at an edge x of X, compared by the lighter tail, which has the digits."""
    below, above = X.cell(X.start, edge)[0], X.cell(edge, X.end)[0]
    by_lower = below.mid() < above.mid()

    def excess(y: arb) -> tuple[arb, arb]:
        at = Y.at(y)
        slope = sum((weight * density for (_, _, density, _), (_, weight, *_) in zip(at, Y.rows, strict=True)), ZERO)
        return Y.cell(Y.start, at)[0] - below if by_lower else above - Y.cell(at, Y.end)[0], slope / Y.std

    return root(excess, low, Y.rows[-1][0] + 43 * Y.std)


def channel_values(model: Setting, channel: Any) -> tuple[arb, arb, arb, bool]:
    """Error rate, distortion, perception, and whether the switch of class lies at the Bayes decision exactly."""
    X, Y, threshold, formulas = model
    stops: list[arb] = []
    by_quantiles, decides = isinstance(channel, dict) and "quantile" in channel, False
    given = read(channel, QUANTILE if by_quantiles else MAP, "channel")
    inner, at = given["quantile" if by_quantiles else "edges"], given["threshold_index"]
    need(inner == sorted(set(inner)), "the output edges do not increase", REFUTED)
    need(at <= len(inner), f"threshold_index: {at} is no index below {len(inner) + 1}")
    points = [*map(arb, inner[:at]), threshold(), *map(arb, inner[at:])]
    for a, b in pairwise(points[max(at - 1, 0) : at + 2]):
        compare(a, b, "the threshold does not lie at its place among the output edges", strict=True)
    edges = [X.start, *map(X.at, points), X.end]
    if by_quantiles:
        for edge in edges[1:-1]:
            stops.append(quantile(X, Y, edge, stops[-1].lower() if stops else Y.rows[0][0] - 43 * Y.std))
    else:
        need(len(given["map"]) == len(points), "map: one entry per output edge, the threshold's too")
        decides = given["map"][at] == "decision"
        finite = read(given["map"][:at] + given["map"][at + decides :], DOUBLES, "map")
        need(finite == sorted(finite), "the map decreases", REFUTED)
        stops = [*map(arb, finite[:at]), *[Y.decision()] * decides, *map(arb, finite[at:])]
        for a, b in pairwise(stops[max(at - 1, 0) : at + 2] if decides else []):
            compare(a, b, "the map decreases at the decision point")
    cuts = [Y.start, *map(Y.at, stops), Y.end]

    total, distortion = ZERO, X.cell(X.start, X.end)[3]
    for k in range(len(edges) - 1):
        mass, _, first, second = X.cell(edges[k], edges[k + 1])
        if 0 < k < len(stops) and stops[k - 1] == stops[k]:  # both exact and equal: nothing comes here
            total += mass * formulas.at_zero
            continue
        share, _, moment, _ = Y.cell(cuts[k], cuts[k + 1])
        distortion += (share * second - 2 * first * moment) / mass
        if not by_quantiles:
            total += formulas.cell(mass, share)
    return Y.error_above(cuts[at + 1]), distortion, ZERO if by_quantiles else formulas.of_sum(total), decides


def split(cell: tuple[arb, arb, arb, arb], a: arb, b: arb) -> tuple[arb, arb]:
    """Weights of the values at both ends, a and b on average, in a cell's integral of what is linear in between."""
    part = (cell[2] - a * cell[0]) / (b - a)
    return cell[0] - part, part


def conjugate(xs: list[arb], vs: list[float], start: arb, end: arb, lam: arb, ms: Sequence[arb]) -> list[arb]:
    """Balls of G(m) = inf { lam x^2 - 2 lam m x - v(x) : start <= x <= end } at increasing m; xs are the nodes of v.

    On a piece of v the least x is the vertex of a parabola, or the end of the piece beyond which it lies. The middle m
    of a range of ms is tried against a range of pieces, one of which holds an x* that is least up to some slack. For
    m' > m and x < x* the value at x less that at x* has grown by 2 lam (m' - m) (x* - x) >= 0: what lies below x*
    undercuts x* by no more than the slack. So larger m need only the pieces from that of x* on, smaller ones those up
    to it, and the slacks add up on the way down.
    """
    if lam == 0:
        return [arb(-max(vs))] * len(ms)
    inner = [(arb(w) - v) / (b - a) for (a, b), (v, w) in zip(pairwise(xs), pairwise(vs), strict=True)]
    slopes, lefts, rights = [ZERO, *inner, ZERO], [start, *xs], [*xs, end]
    shifts = [slope / (2 * lam) for slope in slopes]
    heights = [v - slope * x for v, slope, x in zip([vs[0], *vs], slopes, [xs[0], *xs], strict=True)]
    pieces = list(zip(lefts, rights, slopes, shifts, heights, strict=True))
    found = [ZERO] * len(ms)
    todo = [(0, len(ms), 0, len(pieces), ZERO)]
    while todo:
        first, last, low, high, slack = todo.pop()
        middle, place, least, best = (first + last) // 2, low, INF, INF
        m, price = ms[middle], 2 * lam * ms[middle]
        for k in range(low, high):
            left, right, slope, shift, height = pieces[k]
            x = (m + shift).max(left).min(right)
            value = x * (lam * x - price - slope) - height
            least = least.min(value)
            if value < best:
                best, place = value, k
        found[middle] = least + arb(0, slack)
        slack = slack + (best - least).abs_upper()
        if first < middle:
            todo.append((first, middle, low, place + 1, slack))
        if middle + 1 < last:
            todo.append((middle + 1, last, place, high, slack))
    return found


def last_term(formulas: Divergence, weights: list[arb], vs: list[float], kap: Level, level: Level) -> arb:
    """The last term of the bound, at the shift c with int p_X psi'((v + c) / kap) = 1 nearly; every c is valid."""
    if kap == 0:
        return arb(min(vs))
    if math.inf in (kap, level):
        law_is_source = kap == math.inf and level == 0
        return sum((p * v for p, v in zip(weights, vs, strict=True)), ZERO) if law_is_source else -INF
    price, masses, exactly = float(kap), [float(p) for p in weights], ball(kap)
    low = max(price * formulas.unit - max(vs), price * float(formulas.least) - min(vs))
    high = price * formulas.unit - min(vs)
    for _ in range(60):
        middle = (low + high) / 2
        try:
            mass = sum(p * formulas.ratio((v + middle) / price) for p, v in zip(masses, vs, strict=True))
        except ArithmeticError:  # too large for a float
            mass = math.inf
        low, high = (middle, high) if mass > 1 else (low, middle)
    if not (arb(min(vs)) + high) / exactly >= formulas.least:
        return -INF
    psis = (p * formulas.psi((arb(v) + high) / exactly) for p, v in zip(weights, vs, strict=True))
    return exactly * (sum(psis, ZERO) - formulas.level(ball(level))) - high


def lagrangian(model: Setting, dual: Any, most_d: Level, most_p: Level) -> tuple[arb, Level, Level]:
    """Ball of Lag(w, lam, kap, v; D, P), -inf where the prices make it void, and w and lam."""
    X, Y, threshold, formulas = model
    given = read(dual, DUAL, "dual")
    weight, rate, nodes, potential = (given[k] for k in ("error_weight", "price_distortion", "nodes", "potential"))
    need(math.inf not in (weight, rate), "the error weight and the price of distortion must be finite", REFUTED)
    for side, vs in zip(nodes, potential, strict=True):
        need(len(side) == len(vs) > 0, "dual: every side needs nodes, and a potential at each")
        need(side == sorted(set(side)), "the nodes do not increase", REFUTED)
        need(min(vs) >= 0, "the potential is negative", REFUTED)
    cells, crossing = given["cells"], given["crossing"]
    need(cells == sorted(set(cells)), "the edges of the y-cells do not increase", REFUTED)
    need(crossing < len(cells) - 1, f"crossing: {crossing} is no index below {len(cells) - 1}")
    t, ys, below, above = threshold(), *(list(map(arb, places)) for places in (cells, *nodes))
    compare(below[-1], t, "a node of the lower side does not lie below the threshold", strict=True)
    compare(t, above[0], "a node of the upper side does not lie above the threshold", strict=True)

    masses = []  # int p_X v = sum of these times v at the nodes
    for xs, start, end in ((below, X.start, X.at(t)), (above, X.at(t), X.end)):
        edges = [X.at(x) for x in xs]
        masses.append(X.cell(start, edges[0])[0])
        for (a, b), (x, y) in zip(pairwise(edges), pairwise(xs), strict=True):
            left, right = split(X.cell(a, b), x, y)
            masses[-1] += left
            masses.append(right)
        masses[-1] += X.cell(edges[-1], end)[0]
    total = last_term(formulas, masses, potential[0] + potential[1], given["price_perception"], most_p)

    w, lam, edges = ball(weight), ball(rate), [Y.at(y) for y in ys]
    r, mu = zip(*map(Y.posterior, ys, edges), strict=True)
    lower = conjugate(below, potential[0], -INF, t, lam, mu[: crossing + 2])
    upper = [ZERO] * crossing + conjugate(above, potential[1], t, INF, lam, mu[crossing:])
    gaps = [w * (2 * r[k] - 1) + lower[k] - upper[k] for k in (crossing, crossing + 1)]  # A - B
    for k, (a, b) in enumerate(pairwise(edges)):
        mass, rising, _, _ = cell = Y.cell(a, b)
        left, right = split(cell, mu[k], mu[k + 1])
        bounds = []
        if k <= crossing:
            chord = lower[k] * left + lower[k + 1] * right
            bounds.append(w * rising + chord - gaps[k == crossing].max(ZERO) * mass)
        if k >= crossing:
            chord = upper[k] * left + upper[k + 1] * right
            bounds.append(w * (mass - rising) + chord + gaps[k > crossing].min(ZERO) * mass)
        total += bounds[0].max(bounds[-1])
    for mass, _, _, second in (Y.cell(Y.start, edges[0]), Y.cell(edges[-1], Y.end)):
        total -= lam * second + max(map(max, potential)) * mass
    if lam > 0:
        total += lam * (X.cell(X.start, X.end)[3] - ball(most_d))
    return total, weight, rate


def bayes_error(problem: Any, bits: int = BITS[0]) -> arb:
    """Ball of the floor C(inf, inf), the Bayes error of Y, of a certificate's problem."""
    with ctx.workprec(bits):
        return setting(problem)[1].floor()


def lower_bound(problem: Any, dual: Any, D: str, P: str, bits: int = BITS[0]) -> arb:
    """Ball of the dual bound Lag(w, lam, kap, v; D, P), -inf where the prices make it void; its lower end is proven."""
    with ctx.workprec(bits):
        return lagrangian(setting(problem), dual, read(D, LEVEL, "D"), read(P, LEVEL, "P"))[0]


def upper_bound(problem: Any, channel: Any, bits: int = BITS[0]) -> tuple[arb, arb, arb]:
    """Balls of the error rate, the distortion and the perception of a certificate's channel."""
    with ctx.workprec(bits):
        return channel_values(setting(problem), channel)[:3]


def enclosures(certificate: Any, bits: int = BITS[0]) -> dict[str, arb]:
    """Balls of all that a certificate proves, whatever ends it claims: "lower" and "upper" of its quantity, and others.

    Raises NotProven where a condition fails, such as a channel that violates a level.
    """
    given = read(certificate, CERTIFICATE, "certificate")
    need(given["version"] == 1, "not a cdp_toy enclosure of version 1")
    kind, dual, channel, most_p = given["claim"]["quantity"], given["dual"], given["channel"], given["max_perception"]
    of_distortion = kind in ("min_distortion", "flat_distortion")
    need(not of_distortion or given["max_distortion"] is None, f"max_distortion must be null for {kind}")
    most_d = Fraction(0) if of_distortion else read(given["max_distortion"], LEVEL, "max_distortion")
    with ctx.workprec(bits):
        model = setting(given["problem"])
        balls = {"floor": model[1].floor()} if kind in ("error_rate", "flat_distortion") else {}
        if dual is None:
            need(kind != "infeasible", "a claim of infeasibility needs a dual")
            balls["lower"] = ZERO if of_distortion else balls["floor"]
        else:
            balls["lower"], w, lam = lagrangian(model, dual, most_d, most_p)
            needed = {"error_rate": 1, "flat_distortion": w}.get(kind, 0)
            need(w == needed, f"the error weight of {kind} must be {needed}", REFUTED)
            need(not of_distortion or lam == 1, f"the price of distortion of {kind} must be 1", REFUTED)
            if kind == "flat_distortion":
                balls["lower"] -= ball(w) * balls["floor"]
        if kind == "infeasible":
            need(channel is None, "a claim of infeasibility holds no channel")
            compare(ZERO, balls["lower"], "the dual does not prove infeasibility: its bound is {1}", strict=True)
        elif channel is not None:
            error, distortion, perception, decides = channel_values(model, channel)
            balls |= {"error_rate": error, "distortion": distortion, "perception": perception}
            balls["upper"] = distortion if of_distortion else error
            if most_p < math.inf:
                compare(perception, ball(most_p), "the channel's perception {0} exceeds max_perception")
            if most_d < math.inf and not of_distortion:
                compare(distortion, ball(most_d), "the channel's distortion {0} exceeds max_distortion")
            if kind == "flat_distortion" and not decides:
                compare(error, balls["floor"], "the channel's error rate {0} exceeds the Bayes error of Y")
    return balls


def statement(certificate: Any, balls: dict[str, arb]) -> str:
    """The claim in words, after its ends were compared with what was derived."""
    kind, low, high = (certificate["claim"][key] for key in ("quantity", "lower", "upper"))
    need((kind == "infeasible") == (low is high is None), f"claim: these are no ends of {kind}")
    words = CLAIMS[kind].format(D=brief(certificate["max_distortion"]), P=brief(certificate["max_perception"]))
    lower = -math.inf if low is None else read(low, NUMBER, "lower")
    upper = math.inf if high is None else read(high, NUMBER, "upper")
    if low is not None:
        compare(ball(lower), balls["lower"], "the lower end {} is not proven, only {}")
    if high is not None:
        need("upper" in balls, "an upper end is claimed without a channel")
        compare(balls["upper"], ball(upper), "only the upper end {} is proven, not {}")
    if kind != "infeasible":
        width = float(upper) - float(lower)
        words += f" is in [{float(lower)!r}, {float(upper)!r}]" + f", width {width:.1e}" * (width < math.inf)
    return f"{words} ({'; '.join(f'{key} {brief(value)}' for key, value in certificate['problem'].items())})"


def verify(certificate: Any) -> Report:
    """Judge a certificate, given as the object that its JSON holds."""
    for bits in BITS:
        balls: dict[str, arb] = {}
        try:
            balls = enclosures(certificate, bits)
            with ctx.workprec(bits):
                return Report(VERIFIED, statement(certificate, balls), balls)
        except NotProven as refusal:
            if not refusal.more_bits or bits == BITS[-1]:
                return Report(refusal.verdict, str(refusal), balls)
        except (ArithmeticError, MemoryError) as failure:
            return Report(UNDECIDED, f"the numbers are out of reach ({type(failure).__name__})", {})
    raise AssertionError("the last precision returns")


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON object without repeated keys."""
    need(len(dict(pairs)) == len(pairs), "a key occurs twice in an object")
    return dict(pairs)


def whole(text: str) -> int:
    """Number of JSON, a short whole one: others would be rounded."""
    need(re.fullmatch("-?[0-9]{1,9}", text), f"{brief(text)}: real numbers are rationals or hex floats in strings")
    return int(text)


def verify_text(text: str) -> Report:
    """Judge a certificate, given as JSON."""
    try:
        parsed = json.loads(text, object_pairs_hook=unique, parse_float=whole, parse_constant=whole, parse_int=whole)
    except (ValueError, RecursionError, MemoryError) as failure:  # NotProven is a ValueError
        return Report(UNDECIDED, f"no JSON of a certificate: {failure}", {})
    return verify(parsed)


def verify_file(path: str | os.PathLike[str]) -> Report:
    """Judge a certificate file; nothing else is opened, and nothing in it is run."""
    try:
        about = os.stat(path)
        need(stat.S_ISREG(about.st_mode), "not a regular file")
        need(about.st_size <= MOST_BYTES, f"larger than {MOST_BYTES >> 20} MiB")
        with open(path, "rb") as file:
            text = file.read(MOST_BYTES).decode()
    except (OSError, ValueError) as failure:  # ValueError: NotProven, a path with a null byte, or no UTF-8
        return Report(UNDECIDED, f"cannot be read: {failure}", {})
    return verify_text(text)


def main(paths: Sequence[str] | None = None) -> int:
    """Print one line per file; return 1 if any is refuted, else 2 if any cannot be decided, else 0."""
    paths = sys.argv[1:] if paths is None else paths
    if not paths:
        print("usage: python -m cdp_toy.verify FILE...", file=sys.stderr)
        return 2
    verdicts = set()
    for path in paths:
        report = verify_file(path)
        shown = path if path.isascii() and path.isprintable() else ascii(path)
        print(f"{report.verdict} {shown}: {report.reason}", flush=True)
        verdicts.add(report.verdict)
    return 1 if REFUTED in verdicts else 2 if UNDECIDED in verdicts else 0


if __name__ == "__main__":
    sys.exit(main())
