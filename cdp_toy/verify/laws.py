"""X and Y as Gaussians in balls: what lies between two edges, posteriors, decision points, matched quantiles."""

from __future__ import annotations

import math
from fractions import Fraction

from flint import arb, ctx

from cdp_toy.verify.exact import ZERO, ball, need
from cdp_toy.verify.model import Model

Edge = list[tuple[bool, arb, arb, arb]]


class Law:
    """X, or Y with its noise, as Gaussians: what lies between two edges."""

    def __init__(self, model: Model, noise: Fraction) -> None:
        variance = model.variance + noise
        self.std, self.gain, self.source = ball(variance).sqrt(), ball(model.variance / variance), ball(model.variance)
        self.scale = self.gain * self.std  # given its Gaussian of mean m, X is m + scale z + something independent of z
        self.means = [ball(mean) for mean in model.means]
        self.weights = [(ball(f + u), ball(u)) for f, u in model.weights]
        self.root_half, self.height = (arb(1) / 2).sqrt(), (2 * arb.pi()).rsqrt()
        self.start, self.end = ([(above, ZERO, ZERO, ZERO) for _ in self.means] for above in (False, True))

    def at(self, y: arb) -> Edge:
        """Per Gaussian: whether the kept tail is the upper one, its mass, the density of z, z. Either tail would do."""
        edge = []
        for mean in self.means:
            z = (y - mean) / self.std
            above = bool(z.mid() > 0)
            tail = ((z if above else -z) * self.root_half).erfc() / 2
            edge.append((above, tail, (-z * z / 2).exp() * self.height, z))
        return edge

    def cell(self, a: Edge, b: Edge) -> tuple[arb, arb, arb, arb]:
        """Mass, mass of the rising class, E[X; cell], E[X^2; cell].

        By parts, E[z; cell] = -[density] and E[z^2; cell] = mass - [z density].
        """
        mass = rising = first = second = ZERO
        for (above, ta, da, za), (beyond, tb, db, zb), m, (weight, rise) in zip(
            a, b, self.means, self.weights, strict=True
        ):
            share = ta - tb if above and beyond else (1 - tb if beyond else tb) - (1 - ta if above else ta)
            drop = self.scale * (db - da)
            mass += weight * share
            rising += rise * share
            first += weight * (m * share - drop)
            second += weight * ((m * m + self.source) * share - 2 * m * drop - self.scale**2 * (zb * db - za * da))
        return mass, rising, first, second

    def posterior(self, y: arb, edge: Edge) -> tuple[arb, arb]:
        """r(y) and mu(y)."""
        total = rising = mean = ZERO
        for (_, _, density, _), m, (weight, rise) in zip(edge, self.means, self.weights, strict=True):
            total += weight * density
            rising += rise * density
            mean += weight * density * m
        return rising / total, self.gain * y + (1 - self.gain) * mean / total


def threshold(model: Model) -> arb:
    """Ball of the classifier's threshold; that of the Bayes decision for X where the file says so."""
    return decision(model, model.variance) if model.threshold is None else ball(model.threshold)


def decision(model: Model, variance: Fraction) -> arb:
    """The point where both classes are equally likely under Gaussians of this variance.

    It is the root of sum (u_k - f_k) exp((y m_k - m_k^2/2) / variance), which has the sign of r - 1/2.
    """
    need(not model.one_sided, "one class is nowhere the less likely one: there is no Bayes decision point")
    low, high = model.means[0], model.means[-1]
    if len(model.means) == 2 and model.weights[0][1] == 0 == model.weights[1][0]:
        ratio = ball(model.weights[0][0] / model.weights[1][1])
        return ball((low + high) / 2) + ball(variance / (high - low)) * ratio.log()
    pairs = zip(model.means, model.weights, strict=True)
    terms = [(ball(u - f), ball(m / variance), ball(m * m / variance / 2)) for m, (f, u) in pairs]

    def excess(y: Fraction) -> arb:
        return sum((gap * (ball(y) * rate - offset).exp() for gap, rate, offset in terms), ZERO)

    step = high - low
    while not excess(low) < 0 < excess(high):
        low, high, step = low - step, high + step, 2 * step
        need(step < (model.means[-1] - model.means[0]) * 2**60, "the Bayes decision point lies too far out")
    for part in [Fraction(1, 2), Fraction(3, 8)] * ctx.prec:  # at most one of two neighbours is the root
        middle = low + (high - low) * part
        value = excess(middle)
        low, high = (middle if value < 0 else low), (middle if value > 0 else high)
    return ball(low).union(ball(high))


def floor(model: Model) -> arb:
    """Bayes error of Y; the lesser prior where one class is nowhere the less likely one."""
    if model.one_sided:
        return ball(min(sum(pair[c] for pair in model.weights) for c in (0, 1)))
    observed = Law(model, model.noise)
    return error_above(observed, observed.at(decision(model, model.variance + model.noise)))


def error_above(observed: Law, edge: Edge) -> arb:
    """Error rate of answering the rising class above an edge of Y and the other below."""
    mass, rising, _, _ = observed.cell(edge, observed.end)
    return observed.cell(observed.start, edge)[1] + mass - rising


def matched(law: Law, observed: Law, edge: Edge) -> arb:
    """The s with P(Y <= s) = P(X <= x) at an edge x of X.

    Found by bisection in floats and by Newton steps; what is proven is that the difference changes sign in the ball.
    """
    masses = law.cell(law.start, edge)[0], law.cell(edge, law.end)[0]
    lighter = bool(masses[0].mid() < masses[1].mid())  # is it the lower tail? the lighter one has the digits
    side = 1 if lighter else -1
    goal, scale = masses[0 if lighter else 1], float(observed.std) * math.sqrt(2)
    places = [
        (float(weight) / 2, float(mean)) for (weight, _), mean in zip(observed.weights, observed.means, strict=True)
    ]
    low, high = min(m for _, m in places) - 30 * scale, max(m for _, m in places) + 30 * scale
    for _ in range(64):
        middle = (low + high) / 2
        tail = sum(weight * math.erfc(side * (mean - middle) / scale) for weight, mean in places)
        low, high = (middle, high) if (tail < goal.mid()) == lighter else (low, middle)

    def excess(y: arb) -> tuple[arb, arb]:
        at = observed.at(y)
        tail = observed.cell(observed.start, at)[0] if lighter else observed.cell(at, observed.end)[0]
        heights = (weight * density for (_, _, density, _), (weight, _) in zip(at, observed.weights, strict=True))
        return side * (tail - goal), sum(heights, ZERO) / observed.std

    s = arb((low + high) / 2)
    for _ in range(ctx.prec.bit_length() - 5):
        value, slope = excess(s)
        s = (s - value / slope).mid()
    radius = (1 + abs(s)).upper() * arb(2) ** (20 - ctx.prec)
    proven = excess(s - radius)[0] < 0 < excess(s + radius)[0]
    need(bool(proven), "a quantile of the channel could not be enclosed", more_bits=True)
    return s + arb(0, radius)
