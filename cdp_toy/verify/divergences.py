"""f-divergences in balls: their sums over cells, and psi(a) = inf over r >= 0 of f(r) + a r."""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

from flint import arb

from cdp_toy.verify.exact import INF, ZERO, ball, number


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
    log2 = arb(2).log()
    if name == "kl":  # f = -log r
        return Divergence(lambda p, q: p * (p / q).log(), INF, lambda a: 1 + a.log(), lambda a: 1 / a, 1, ZERO)
    if name == "reverse_kl":  # f = r log r
        psi, ratio = lambda a: -(-1 - a).exp(), lambda a: math.exp(-1 - a)
        return Divergence(lambda p, q: q * (q / p).log(), ZERO, psi, ratio, -1, -INF)
    if name == "reverse_chi2":  # f = (r - 1)^2
        psi, ratio = lambda a: a.min(arb(2)) - a.min(arb(2)) ** 2 / 4, lambda a: max(0.0, 1 - a / 2)
        return Divergence(lambda p, q: (q - p) ** 2 / p, arb(1), psi, ratio, 0, -INF)
    if name == "js":  # f = (log(2 / (1 + r)) + r log(2 r / (1 + r))) / 2
        psi, ratio = lambda a: (2 - (-2 * a).exp()).log() / 2, lambda a: 1 / max(0.0, 2 * math.exp(2 * min(a, 300)) - 1)
        return Divergence(lambda p, q: (_share(p, q) + _share(q, p)) / 2, log2 / 2, psi, ratio, 0, -log2 / 2)
    # powers: f = sign r^(1-n), where f + a r is least at r = (|n-1| / a)^(1/n) and is n a r / (n-1) there. The sum is
    # sign exp((n-1) renyi); for n = 1/2 it is hellinger_squared - 1, for n = 2 chi2 + 1
    order = {"hellinger_squared": Fraction(1, 2), "chi2": Fraction(2)}.get(name) or number(name[6:], "order")
    sign, gap, root = (1 if order > 1 else -1), float(abs(order - 1)), float(1 / order)
    power, inverse, factor, less_one = (ball(x) for x in (1 - order, 1 / order, order / (order - 1), order - 1))
    renyi = name.startswith("renyi")
    return Divergence(
        lambda p, q: sign * p * (q / p) ** power,
        INF if order > 1 else ZERO,
        lambda a: factor * a * (abs(less_one) / a) ** inverse,
        lambda a: (gap / a) ** root,
        gap,
        ZERO,
        lambda level: sign * (less_one * level).exp() if renyi else level + sign,
        lambda total: (sign * total).log() / less_one if renyi else total - sign,
    )


def _share(p: arb, q: arb) -> arb:
    return p * (2 * p / (p + q)).log()
