"""The verifier: what is true is proven, what is false never, and what is no certificate is told so in one line."""

from __future__ import annotations

import ast
import copy
import json
import math
import os
import random
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from certificate_maker import MIXTURE, Json, Line, certificate, generator, hexed, level_of, number, toy, unhexed
from flint import arb, ctx
from scipy.integrate import quad
from scipy.optimize import minimize_scalar

from cdp_toy import closed_forms, presets, verify
from cdp_toy.verify import compare, conjugate, divergence, last_term, setting

ROOT = Path(__file__).parents[1]
INF = math.inf
PERCEPTIONS = [
    "kl",
    "reverse_kl",
    "hellinger_squared",
    "chi2",
    "reverse_chi2",
    "js",
    "renyi:2",
    "renyi:1/2",
    "renyi:3.5",
]

#: name: problem, quantity, prices of error, distortion and perception (inf: P = 0), and by how much D is lowered
CASES: dict[str, tuple[Json, str, float, float, float, float]] = {
    "bayes threshold": (toy(), "error_rate", 1.0, 0.05, 0.05, 0.0),
    "threshold 0": (toy("0"), "error_rate", 1.0, 0.3, 0.3, 0.0),
    "P = 0": (toy(), "error_rate", 1.0, 0.3, INF, 0.0),
    "D_min at P = 0": (toy("0"), "min_distortion", 0.0, 1.0, INF, 0.0),
    "P = inf": (toy("0"), "error_rate", 1.0, 0.3, 0.0, 0.0),
    "D = inf": (toy("0"), "error_rate", 1.0, 0.0, 0.3, 0.0),
    "both inf": (toy("0"), "error_rate", 1.0, 0.0, 0.0, 0.0),
    "D_flat": (toy(), "flat_distortion", 30.0, 1.0, 0.5, 0.0),
    "infeasible": (toy(perception="js"), "infeasible", 0.0, 1.0, 0.5, 0.02),
    "infeasible at P = 0": (toy(), "infeasible", 0.0, 1.0, INF, 0.02),
    "mixture": (MIXTURE, "error_rate", 1.0, 0.2, 0.2, 0.0),
    "mixture, D_min": (MIXTURE | {"perception": "js"}, "min_distortion", 0.0, 1.0, 1.0, 0.0),
    "mixture, D_flat": (MIXTURE | {"perception": "renyi:0.7"}, "flat_distortion", 30.0, 1.0, 0.5, 0.0),
    "mixture, P = 0": (MIXTURE, "error_rate", 1.0, 0.2, INF, 0.0),
} | {f"{name}, C": (toy("0.25", name), "error_rate", 1.0, 0.3, 0.3, 0.0) for name in PERCEPTIONS}


@pytest.fixture(scope="module")
def made() -> dict[str, Json]:
    return {name: certificate(*case[:5], nudge=case[5]) for name, case in CASES.items()}


def judged(value: object) -> verify.Report:
    """Report on a certificate, by way of its JSON."""
    return verify.verify_text(json.dumps(value))


def below(ball: arb) -> float:
    """A float below a ball, and hardly so."""
    return math.nextafter(float(ball.lower()), -INF)


@pytest.mark.parametrize("name", CASES)
def test_what_is_true_is_proven(name: str, made: dict[str, Json]) -> None:
    proof = made[name]
    report = judged(proof)
    assert report.verdict == "VERIFIED", report.reason
    line = Line(proof["problem"])
    bound = line.lagrangian(proof["dual"], level_of(proof["max_distortion"]), level_of(proof["max_perception"]))
    assert bound > 0
    if proof["claim"]["quantity"] == "infeasible":
        assert float(report.enclosures["lower"]) == pytest.approx(bound, abs=1e-13)
        return
    balls = [report.enclosures[key] for key in ("error_rate", "distortion", "perception")]
    assert [float(ball) for ball in balls] == pytest.approx(line.channel(proof["channel"]), abs=1e-13)
    if proof["claim"]["quantity"] == "flat_distortion":
        bound -= float(number(proof["dual"]["error_weight"])) * float(report.enclosures["floor"])
    assert float(report.enclosures["lower"]) == pytest.approx(bound, abs=1e-13)
    assert max(float(ball.rad()) for ball in report.enclosures.values()) < 1e-25
    ends = [float(number(proof["claim"][key])) for key in ("lower", "upper")]
    assert f"[{ends[0]!r}, {ends[1]!r}], width {ends[1] - ends[0]:.1e}" in report.reason
    assert ends[1] - ends[0] < 0.01


@pytest.mark.parametrize("name", CASES)
def test_the_last_digit_decides(name: str, made: dict[str, Json]) -> None:
    """A claim at the end of the ball is proven, one beyond it refuted."""
    proof = copy.deepcopy(made[name])
    balls = verify.enclosures(proof)
    if proof["claim"]["quantity"] == "infeasible":
        proof["max_distortion"] = str(number(proof["max_distortion"]) + Fraction(float(balls["lower"]) * 1.000001))
        assert judged(proof).verdict == "REFUTED"
        return
    low, high = below(balls["lower"]), -below(-balls["upper"])
    proof["claim"] |= {"lower": low.hex(), "upper": high.hex()}
    assert judged(proof).verdict == "VERIFIED"
    for key, value, far in (("lower", low, INF), ("upper", high, -INF)):
        beyond = math.nextafter(math.nextafter(math.nextafter(value, far), far), far)
        report = judged(proof | {"claim": proof["claim"] | {key: beyond.hex()}})
        assert report.verdict == "REFUTED" and f"the {key} end" in report.reason


def test_more_cells_and_nodes_only_help(made: dict[str, Json]) -> None:
    """The bound grows to the integral over y of the least over xhat, found by quadrature of the undivided problem."""
    for name in ("threshold 0", "mixture", "chi2, C", "js, C"):
        proof = made[name]
        line, dual = Line(proof["problem"]), copy.deepcopy(proof["dual"])
        level, distortion = level_of(proof["max_perception"]), level_of(proof["max_distortion"])
        bounds = [verify.lower_bound(proof["problem"], dual, proof["max_distortion"], proof["max_perception"])]
        finer = copy.deepcopy(dual)
        finer["cells"] = hexed(refined(unhexed(dual["cells"]), 8))
        finer["crossing"] = 8 * dual["crossing"] + 4
        bounds.append(verify.lower_bound(proof["problem"], finer, proof["max_distortion"], proof["max_perception"]))
        for k in (0, 1):
            x, v = unhexed(dual["nodes"][k]), unhexed(dual["potential"][k])
            finer["nodes"][k] = hexed(refined(x, 8))
            finer["potential"][k] = hexed(np.interp(refined(x, 8), x, v))
        bounds.append(verify.lower_bound(proof["problem"], finer, proof["max_distortion"], proof["max_perception"]))
        assert bounds[0] < bounds[1] < bounds[2]
        truth = undivided(line, dual, distortion, level)
        lost = [truth - float(bound) for bound in bounds]
        assert 0 < lost[2] < 2e-5 and lost[2] < lost[0] / 8


def refined(x: np.ndarray, times: int) -> np.ndarray:
    """The same points and `times` - 1 between any two."""
    return np.interp(np.arange(times * (len(x) - 1) + 1) / times, np.arange(len(x)), x)


def undivided(line: Line, dual: Json, distortion: float, level: float) -> float:
    """The Lagrangian as integrals over fine grids of y and of x, with no use of cells, chords, or crossings."""
    w, lam, kap = (float(number(dual[key])) for key in ("error_weight", "price_distortion", "price_perception"))
    nodes, potential = ([unhexed(part) for part in dual[key]] for key in ("nodes", "potential"))
    y = np.linspace(line.mean.min() - 14, line.mean.max() + 14, 30_001)
    r, mu = line.posterior(y)
    sides = [line.least(k, nodes[k], potential[k], lam, mu) for k in (0, 1)]
    inner = np.minimum(w * r + sides[0], w * (1 - r) + sides[1])
    total = float(np.trapezoid(line.density(y, line.total).sum(0) * inner, y)) + lam * (line.square - distortion)
    values, masses = [], []
    for k in (0, 1):
        ends = [line.mean.min() - 14, line.threshold] if k == 0 else [line.threshold, line.mean.max() + 14]
        edges = np.linspace(*ends, 20_001)
        values.append(np.interp((edges[1:] + edges[:-1]) / 2, nodes[k], potential[k]))
        masses.append(line.cells(edges, False)[0])
    return total + line.last_term(np.concatenate(values), np.concatenate(masses), kap, level)


@pytest.mark.parametrize("name", ["threshold 0", "mixture", "P = 0"])
def test_channels_by_quadrature(name: str, made: dict[str, Json]) -> None:
    """Error rate and distortion as integrals over x and y of the channel's own definition."""
    proof = made[name]
    line, channel = Line(proof["problem"]), proof["channel"]
    inner, at = unhexed(channel.get("edges", channel.get("quantile"))), channel["threshold_index"]
    edges = np.concatenate([[-30.0], inner[:at], [line.threshold], inner[at:], [30.0]])
    stops = (
        line.matched(np.concatenate([[-INF], edges[1:-1], [INF]])) if "quantile" in channel else unhexed(channel["map"])
    )
    cuts = np.concatenate([[-30.0], stops, [30.0]])
    error = distortion = 0.0
    for k in range(len(edges) - 1):
        p, m1, m2 = (
            integral(lambda x, n=n: x**n * line.density(x, line.std).sum(), edges[k], edges[k + 1]) for n in range(3)
        )

        def cost(y: float, m1: float = m1 / p, m2: float = m2 / p) -> float:
            density = line.density(y, line.total)[:, 0]
            inner_mean = line.mean[:, 0] + line.gain * (y - line.mean[:, 0])
            spread = line.std**2 * (1 - line.gain)
            return float((density * (inner_mean**2 + spread - 2 * inner_mean * m1 + m2)).sum())

        distortion += integral(cost, cuts[k], cuts[k + 1])
        wrong = ~line.rising[:, 0] if k > at else line.rising[:, 0]
        error += integral(lambda y, wrong=wrong: float(line.density(y, line.total)[wrong].sum()), cuts[k], cuts[k + 1])
    balls = verify.upper_bound(proof["problem"], channel)
    assert [float(ball) for ball in balls[:2]] == pytest.approx([error, distortion], abs=1e-10)


def integral(function: Callable[[float], float], a: float, b: float) -> float:
    return float(quad(function, a, b, epsabs=1e-13, epsrel=1e-11)[0])


@pytest.mark.parametrize("perception", ["kl", "reverse_chi2", "renyi:3.5", "renyi:1/2"])
def test_no_bound_exceeds_the_lagrangian_of_any_channel(perception: str) -> None:
    """Weak duality, for random problems, prices and potentials against random maps: sound however bad the hints."""
    rng = random.Random(f"weak duality of {perception}")
    margins = []
    for _ in range(12):
        problem = random_problem(rng, perception)
        line = Line(problem)
        dual = random_dual(rng, line)
        w, lam, kap = (float(number(dual[key])) for key in ("error_weight", "price_distortion", "price_perception"))
        distortion, level = rng.uniform(0.1, 2), rng.uniform(0.001, 0.5)
        levels = distortion.hex(), level.hex()
        anywhere = verify.lower_bound(problem, dual, *levels)
        truth = line.lagrangian(dual, distortion, level, best_crossing=True)
        bound = verify.lower_bound(problem, dual, *levels)
        assert float(anywhere) <= float(bound) == pytest.approx(truth, rel=1e-9, abs=1e-9)
        edges, at = line.grid(20)
        for _ in range(12):
            stops = np.sort(line.matched(edges) + np.array([rng.gauss(0, 0.3) for _ in edges[1:-1]]))
            error, mse, value = line.values(edges, stops, at)
            rules = generator(perception)
            spent = w * error + lam * (mse - distortion) + kap * (rules.level(value) - rules.level(level))
            margins.append(spent - float(bound.upper()))
    assert min(margins) > 0


def random_problem(rng: random.Random, perception: str) -> Json:
    """Two classes of one or two Gaussians in likelihood-ratio order, which class is above at random."""
    other, rising = (
        [str(Fraction(rng.randint(*span), 8)) for _ in range(rng.randint(1, 2))] for span in ((-16, 0), (0, 12))
    )
    prior = Fraction(rng.randint(2, 8), 10)
    weights = [["1"] if len(means) == 1 else ["1/3", "2/3"] for means in (other, rising)]
    std = str(Fraction(rng.randint(3, 12), 8))
    rows = {"means": [other, rising], "weights": weights, "stds": [[std] * len(means) for means in (other, rising)]}
    classes = [0, 1]
    if rng.random() < 0.5:
        rows, classes = {key: value[::-1] for key, value in rows.items()}, [1, 0]
    priors = [str(prior), str(1 - prior)]
    threshold = str(Fraction(rng.randint(-10, 10), 16))
    noise = str(Fraction(rng.randint(2, 12), 8))
    return toy(threshold, perception, priors=priors, noise_std=noise, classes=classes, **rows)


def random_dual(rng: random.Random, line: Line) -> Json:
    """Prices of any size, a potential that jumps about, cells and a crossing anywhere."""
    t = line.threshold
    nodes = [
        sorted({t - rng.uniform(0.01, 4) for _ in range(12)}),
        sorted({t + rng.uniform(0.01, 4) for _ in range(15)}),
    ]
    lam, kap = 2 ** rng.uniform(-4, 3), 2 ** rng.uniform(-4, 3)
    scale = rng.choice([0.1, 1.0, 5.0])
    potential = [[kap * (1 + scale * rng.random() ** 3) for _ in side] for side in nodes]
    cells = sorted({rng.uniform(-9, 9) for _ in range(60)})
    return {
        "error_weight": rng.choice([0.0, 1.0, 3.5]).hex(),
        "price_distortion": lam.hex(),
        "price_perception": kap.hex(),
        "nodes": [hexed(side) for side in nodes],
        "potential": [hexed(side) for side in potential],
        "cells": hexed(cells),
        "crossing": rng.randrange(len(cells) - 1),
    }


@pytest.mark.parametrize("name", PERCEPTIONS)
def test_formulas_of_divergences(name: str) -> None:
    """psi by brute force over r, the sums by the textbook formulas, and the slopes at 1 and infinity."""
    formulas, rules = divergence(name), generator(name)
    least, spread = float(formulas.least), np.geomspace(1e-3, 20, 25)
    places = formulas.unit + np.concatenate([-spread[spread < 3], [0.0], spread])
    constant = float(rules.f(np.array(1.0))) - float(formulas.cell(arb(1), arb(1)))  # f up to c0 + c1 (r - 1)
    tilt = formulas.unit + float(rules.slope(np.array(1.0)))
    for a in places[places > least + 1e-3]:

        def lagrangian(log_r: float, a: float = a) -> float:
            r = np.exp(log_r)
            return float(rules.f(r)) - constant - tilt * (r - 1) + a * r

        best = min(lagrangian(u) for u in np.linspace(-40, 12, 4001))
        start = min(np.linspace(-40, 12, 4001), key=lagrangian)
        best = min(best, minimize_scalar(lagrangian, bounds=(start - 0.02, start + 0.02), method="bounded").fun)
        assert float(formulas.psi(arb(a))) == pytest.approx(best, rel=1e-9, abs=1e-9)
        step = 1e-5 * (a - least if math.isfinite(least) else 1.0)
        slope = (formulas.psi(arb(a + step)) - formulas.psi(arb(a - step))) / (2 * step)
        assert formulas.ratio(a) == pytest.approx(float(slope), rel=1e-5, abs=1e-9)
    far = tilt - rules.slope(np.array([1e6, 1e12]))
    assert least == pytest.approx(float(far[1]), abs=1e-3) if math.isfinite(least) else far[1] < far[0] - 10
    p, q = np.array([0.1, 0.2, 0.3, 0.4]), np.array([0.3, 0.1, 0.15, 0.45])
    total = sum((formulas.cell(arb(a), arb(b)) for a, b in zip(p, q, strict=True)), arb(0))
    textbook = {
        "kl": (p * np.log(p / q)).sum(),
        "reverse_kl": (q * np.log(q / p)).sum(),
        "hellinger_squared": 1 - np.sqrt(p * q).sum(),
        "chi2": ((p - q) ** 2 / q).sum(),
        "reverse_chi2": ((p - q) ** 2 / p).sum(),
        "js": (p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q))).sum() / 2,
    }
    order = float(Fraction(name[6:])) if name.startswith("renyi") else 0
    value = textbook[name] if name in textbook else math.log((p**order * q ** (1 - order)).sum()) / (order - 1)
    assert float(formulas.of_sum(total)) == pytest.approx(value, abs=1e-14)
    assert float(formulas.of_sum(formulas.level(arb(value)))) == pytest.approx(value, abs=1e-14)
    near = float(formulas.cell(arb(1), arb(1e-30)))
    assert (
        float(formulas.at_zero) == pytest.approx(near, abs=1e-9)
        if math.isfinite(float(formulas.at_zero))
        else near > 60
    )


def test_the_conjugate_by_brute_force() -> None:
    """Rough potentials, narrow and wide pieces, many m: every ball holds what trying all candidates finds."""
    rng = random.Random(5)
    line = Line(toy("0"))
    for case in range(25):
        count = rng.choice([1, 2, 3, 40, 150])
        gaps = [rng.choice([1e-9, 0.01, 0.2]) for _ in range(count)]
        x = -0.001 - np.cumsum(gaps)[::-1]
        v = np.array([rng.choice([0.0, rng.random(), 5 * rng.random() ** 4]) for _ in x])
        lam = rng.choice([1e-6, 0.3, 1.0, 1e5]) if case else 0.0
        m = np.sort(np.array([rng.uniform(-8, 6) for _ in range(400)] + [rng.choice(x) for _ in range(5)]))
        with ctx.workprec(128):
            balls = conjugate([*map(arb, x)], [*v], arb("-inf"), arb(0), arb(lam), [arb(value) for value in m])
        # lam x^2 - 2 lam m x is lam (x - m)^2 less lam m^2, where the digits are
        truth = line.least(0, x, v, lam, m)
        assert np.all(np.abs([float(ball) for ball in balls] - truth) <= 1e-9 * (1 + lam * 100))
        assert max(float(ball.rad()) for ball in balls) < 1e-25 * (1 + lam)


def test_the_conjugate_with_few_bits() -> None:
    """Where comparisons of balls stay undecided the search may go astray, and says so in its radii."""
    rng = random.Random(7)
    line = Line(toy("0"))
    widest = 0.0
    for case in range(60):
        count = rng.choice([3, 10, 40])
        x = -0.125 - np.cumsum([rng.choice([1, 2, 8, 64]) / 1024 for _ in range(count)])[::-1]
        v = np.array([rng.randint(0, 40) / 1024 for _ in x]) * rng.choice([0.0, 0.125, 1.0])
        lam = rng.choice([0.25, 1.0])
        m = np.sort([rng.randint(-4096, 1024) / 1024 for _ in range(60)])
        with ctx.workprec(rng.choice([12, 16, 24])):
            balls = conjugate([*map(arb, x)], [*v], arb("-inf"), arb(0), arb(lam), [arb(value) for value in m])
        for ball, truth in zip(balls, line.least(0, x, v, lam, m), strict=True):
            assert ball.lower() <= truth + 1e-13 and truth - 1e-13 <= ball.upper(), case
            widest = max(widest, float(ball.rad()))
    assert 1e-3 < widest < 1


@pytest.mark.parametrize("name", PERCEPTIONS)
def test_any_shift_of_the_potential_is_valid_or_void(name: str) -> None:
    """The shift c is found in floats; whatever their search does, the last term is at most the best one."""
    formulas, rng = divergence(name), random.Random(11)
    weights, vs = [arb(k) / 10 for k in (1, 2, 3, 4)], [0.0, 0.3, 0.7, 2.0]
    best = last_term(formulas, weights, vs, 0.5, Fraction(1, 10))
    assert best > -1
    for _ in range(40):
        mean, unit = rng.choice([0.0, 0.5, 2.0]), formulas.unit + rng.uniform(-4, 4)
        strange = formulas._replace(ratio=lambda a, mean=mean: mean + rng.random(), unit=unit)
        found = last_term(strange, weights, vs, 0.5, Fraction(1, 10))
        assert found <= best + 1e-9


def test_the_floor_and_the_decision_points() -> None:
    for problem in (toy(), MIXTURE, toy(noise_std="1/3", means=[["-2"], ["0.7"]])):
        line = Line(problem)

        def lesser(y: float, line: Line = line) -> float:
            rising = float(line.density(y, line.total)[line.rising[:, 0]].sum())
            return min(rising, float(line.density(y, line.total).sum()) - rising)

        floor = integral(lesser, -20, line.decision) + integral(lesser, line.decision, 20)
        assert float(verify.bayes_error(problem)) == pytest.approx(floor, abs=1e-12)
        with ctx.workprec(128):
            points = [law.decision() for law in setting(problem)[:2]]
        assert [float(point) for point in points] == pytest.approx(
            [line.equally_likely(line.std), line.decision], abs=1e-12
        )
        assert max(float(point.rad()) for point in points) < 1e-30
    paper = closed_forms.ErrorCurve(presets.paper_toy())
    assert float(verify.bayes_error(toy())) == pytest.approx(paper.floor, abs=1e-14)
    # the likelier class is the same everywhere: answer it
    hopeless = toy(
        means=[["0", "1"], ["0", "1"]], weights=[["1/2", "1/2"], ["0.4", "0.6"]], stds=[["1", "1"], ["1", "1"]]
    )
    assert verify.bayes_error(hopeless) == arb(3) / 10 or float(verify.bayes_error(hopeless)) == 0.3
    with pytest.raises(verify.NotProven, match="no Bayes decision point"):
        verify.upper_bound(hopeless, {"edges": [], "threshold_index": 0, "map": ["decision"]})


def test_the_bound_at_p_zero_is_the_closed_form(made: dict[str, Json]) -> None:
    """At P = 0 the quantile map makes the errors that the closed form of C(inf, 0) says, whatever D allows."""
    error, _, perception = verify.upper_bound(toy(), made["P = 0"]["channel"])
    assert float(error) == pytest.approx(closed_forms.ErrorCurve(presets.paper_toy()).error_rate(0.0), abs=1e-14)
    assert perception == 0


def test_a_shift_of_the_potential_changes_nothing(made: dict[str, Json]) -> None:
    for name in ("threshold 0", "reverse_kl, C", "hellinger_squared, C", "P = 0"):
        proof = made[name]
        bounds = []
        for shift in (0.0, 0.5, 40.0):
            dual = copy.deepcopy(proof["dual"])
            dual["potential"] = [hexed(unhexed(side) + shift) for side in dual["potential"]]
            bounds.append(verify.lower_bound(proof["problem"], dual, proof["max_distortion"], proof["max_perception"]))
        assert [float(b) for b in bounds] == pytest.approx([float(bounds[0])] * 3, abs=1e-11)


def test_prices_on_what_is_not_bounded_make_a_bound_void(made: dict[str, Json]) -> None:
    """So does a law of the output that is forced but not demanded."""
    proof = made["threshold 0"]
    dual, levels = proof["dual"], (proof["max_distortion"], proof["max_perception"])
    bound = verify.lower_bound(proof["problem"], dual, *levels)
    assert str(bound) == str(verify.enclosures(proof)["lower"])
    assert verify.lower_bound(proof["problem"], dual, "inf", levels[1]) == arb("-inf")
    assert verify.lower_bound(proof["problem"], dual, levels[0], "inf") == arb("-inf")
    assert verify.lower_bound(proof["problem"], dual | {"price_perception": "inf"}, *levels) == arb("-inf")


def test_without_a_dual_the_floor_is_the_lower_end(made: dict[str, Json]) -> None:
    proof = copy.deepcopy(made["both inf"]) | {"dual": None}
    proof["claim"]["lower"] = below(verify.bayes_error(toy())).hex()
    assert judged(proof).verdict == "VERIFIED"
    proof["claim"]["lower"] = "0.2042"
    assert judged(proof).verdict == "REFUTED"
    least = copy.deepcopy(made["D_min at P = 0"]) | {"dual": None}
    least["claim"]["lower"] = "0"
    assert judged(least).verdict == "VERIFIED"
    least["claim"]["lower"] = "1e-30"
    assert judged(least).verdict == "REFUTED"


def test_the_flat_distortion_asks_for_the_decision_itself(made: dict[str, Json]) -> None:
    """The nearest double errs by about 1e-34 more than the Bayes error, which is too much; so does a quantile map."""
    proof = copy.deepcopy(made["D_flat"])
    channel, at = proof["channel"], proof["channel"]["threshold_index"]
    channel["map"][at] = Line(proof["problem"]).decision.hex()
    report = judged(proof)
    assert report.verdict == "REFUTED" and "exceeds the Bayes error" in report.reason
    quantile = {"quantile": channel["edges"], "threshold_index": at}
    wide = proof | {"channel": quantile, "claim": proof["claim"] | {"upper": "2"}}
    assert "exceeds the Bayes error" in judged(wide).reason


def test_more_bits_decide_what_is_close(made: dict[str, Json]) -> None:
    """An end in the middle of the ball of 128 bits is decided by 256; equality of a ball with its middle never is."""
    proof = copy.deepcopy(made["threshold 0"])
    for key in ("lower", "upper"):
        mantissa, exponent = verify.enclosures(proof)[key].mid().man_exp()
        proof["claim"][key] = str(Fraction(int(mantissa)) * Fraction(2) ** int(exponent))
        report = judged(proof)
        assert report.verdict in ("VERIFIED", "REFUTED") and float(report.enclosures[key].rad()) < 1e-60
        proof["claim"][key] = made["threshold 0"]["claim"][key]
    balanced = {"priors": ["1/2"] * 2, "means": [["-1", "-3"], ["1", "3"]], "weights": [["1/2", "1/2"]] * 2}
    problem = toy("0", **balanced, stds=[["1", "1"]] * 2)
    steps = {"edges": hexed([1.0]), "threshold_index": 0, "map": ["decision", (0.0).hex()]}
    with pytest.raises(verify.NotProven, match="undecided") as refusal:
        verify.upper_bound(problem, steps)
    assert refusal.value.verdict == "CANNOT DECIDE" and refusal.value.more_bits
    report = judged(made["both inf"] | {"problem": problem, "channel": steps})
    assert report.verdict == "CANNOT DECIDE" and "decision point" in report.reason


def test_comparisons_of_balls() -> None:
    third, exact = arb(1) / 3, arb(1)
    compare(exact, exact, "")
    compare(third, exact, "", strict=True)
    for a, b, strict, verdict in (
        (exact, exact, True, "REFUTED"),
        (exact, third, False, "REFUTED"),
        (third, third, False, "CANNOT DECIDE"),
        (third, third, True, "CANNOT DECIDE"),
        (arb("nan"), exact, False, "CANNOT DECIDE"),
        (exact, arb("nan"), True, "CANNOT DECIDE"),
        (arb(0, INF), exact, False, "CANNOT DECIDE"),
    ):
        with pytest.raises(verify.NotProven, match="ends ") as refusal:
            compare(a, b, "ends {} {}", strict=strict)
        assert refusal.value.verdict == verdict


def test_cells_are_additive() -> None:
    """Whichever tails the edges keep: parts of a cell add up, and all cells have mass 1 and the moments of X."""
    with ctx.workprec(128):
        for law in setting(MIXTURE)[:2]:
            edges = [law.start, *(law.at(arb(y)) for y in (-20.0, -1.0, 0.2, 0.25, 0.3, 1.5, 4.0, 20.0)), law.end]
            whole = law.cell(law.start, law.end)
            assert whole[0].overlaps(arb(1)) and float(whole[3]) == pytest.approx(Line(MIXTURE).square, abs=1e-14)
            for a in edges:
                for b in edges:
                    there, back = law.cell(a, b), law.cell(b, a)
                    assert all((x + y).contains(0) for x, y in zip(there, back, strict=True))
                    rest = law.cell(b, law.end)
                    parts = zip(law.cell(law.start, a), there, rest, whole, strict=True)
                    assert all((x + y + z - total).contains(0) for x, y, z, total in parts)


def test_far_quantiles_are_enclosed_or_refused() -> None:
    near = {"quantile": hexed([-12.0, 14.0]), "threshold_index": 1}
    error, distortion, perception = verify.upper_bound(toy(), near)
    assert perception == 0 and max(float(error.rad()), float(distortion.rad())) < 1e-25
    with pytest.raises(verify.NotProven, match="quantile of the channel could not be enclosed"):
        verify.upper_bound(toy(), near | {"quantile": hexed([-12.0, 60.0])})


def test_one_end_may_be_left_open(made: dict[str, Json]) -> None:
    proof = copy.deepcopy(made["threshold 0"])
    for key, words in (("upper", ", inf] ("), ("lower", " is in [-inf, ")):
        report = judged(proof | {"claim": proof["claim"] | {key: None}})
        assert report.verdict == "VERIFIED" and words in report.reason
    open_above = proof | {"claim": proof["claim"] | {"upper": None}, "channel": None}
    assert judged(open_above).verdict == "VERIFIED"
    assert "without a channel" in judged(proof | {"channel": None}).reason


def test_the_certificate_of_the_documentation_is_proven() -> None:
    page = (ROOT / "docs" / "certificates.md").read_text("utf-8")
    (text,) = re.findall(r"```json\n(.*?)```", page, flags=re.DOTALL)
    assert verify.verify_text(text).verdict == "VERIFIED"
    assert verify.verify_text(text.replace("0.204117333467", "0.204117333468")).verdict == "REFUTED"
    assert all(f"`{name}`" in page for name in (*verify.CLAIMS, *json.loads(text)["problem"], *made_keys(toy())))


def made_keys(problem: Json) -> list[str]:
    """Keys of the evidence that a page on the format has to name."""
    proof = certificate(problem, "error_rate", 1.0, 0.3, INF, n=10, n_y=20)
    return [*proof["dual"], *proof["channel"], "edges", "map", "claim", "channel", "dual"]


# -- corruptions ------------------------------------------------------------------------------------------------------

BASES = [
    "bayes threshold",
    "threshold 0",
    "P = 0",
    "P = inf",
    "D = inf",
    "D_flat",
    "infeasible",
    "mixture",
    "mixture, D_min",
    "chi2, C",
    "renyi:1/2, C",
]


def other_digit(text: str, rng: random.Random) -> str:
    """One hex digit changed."""
    places = [k for k, letter in enumerate(text) if letter in "0123456789abcdef" and k > 3]
    k = rng.choice(places)
    return text[:k] + rng.choice("0123456789abcdef") + text[k + 1 :]


def moved(text: str, rng: random.Random) -> str:
    """A number moved a little or far."""
    value = float.fromhex(text)
    return float(value + rng.gauss(0, 1) * 10 ** rng.uniform(-9, 0) * max(1.0, abs(value))).hex()


def corrupt_claim(c: Json, rng: random.Random) -> None:
    if c["claim"]["lower"] is None:
        if c["max_distortion"]:
            c["max_distortion"] = str(number(c["max_distortion"]) + Fraction(rng.uniform(0.005, 0.1)))
        return
    key = rng.choice([key for key in ("lower", "upper") if c["claim"][key]])
    sign = 1 if key == "lower" else -1
    c["claim"][key] = float(float(number(c["claim"][key])) + sign * 10 ** rng.uniform(-6, 0)).hex()


def corrupt_digit(c: Json, rng: random.Random) -> None:
    if c["claim"]["lower"]:
        key = rng.choice(["lower", "upper"])
        c["claim"][key] = other_digit(c["claim"][key], rng)


def corrupt_level(c: Json, rng: random.Random) -> None:
    keys = [key for key in ("max_distortion", "max_perception") if c[key] not in (None, "inf")]
    if keys:
        key = rng.choice(keys)
        c[key] = str(number(c[key]) * Fraction(rng.choice([0.5, 0.9, 0.99, 0.9999, 1.01, 1.5])))


def corrupt_hint(c: Json, rng: random.Random) -> None:
    rows = [c["dual"]["cells"], *c["dual"]["nodes"], *c["dual"]["potential"]]
    if c["channel"]:
        rows += [row for row in c["channel"].values() if isinstance(row, list)] * 2
    row = rng.choice(rows)
    for _ in range(rng.choice([1, 1, 5])):
        k = rng.randrange(len(row))
        if row[k] != "decision":
            row[k] = rng.choice([moved, other_digit])(row[k], rng)


def corrupt_price(c: Json, rng: random.Random) -> None:
    key = rng.choice(["error_weight", "price_distortion", "price_perception"])
    text = c["dual"][key]
    c["dual"][key] = rng.choice(["inf", (0.0).hex(), text if text == "inf" else moved(text, rng), (7.5).hex()])


def corrupt_index(c: Json, rng: random.Random) -> None:
    if c["channel"] and rng.random() < 0.5:
        c["channel"]["threshold_index"] = rng.randrange(-2, 45)
    else:
        c["dual"]["crossing"] = rng.randrange(-2, 150)


def corrupt_order(c: Json, rng: random.Random) -> None:
    dual, channel = c["dual"], c["channel"]
    choice = rng.randrange(6)
    if choice == 0:
        dual["nodes"].reverse()
    elif choice == 1:
        dual["potential"].reverse()
    elif choice == 2:
        dual["nodes"], dual["potential"] = dual["potential"], dual["nodes"]
    elif choice == 3:
        rng.choice([dual["cells"], *dual["nodes"]]).reverse()
    elif choice == 4:
        rng.choice(dual["potential"]).reverse()
    elif channel and "map" in channel:
        channel["map"], channel["edges"] = [*channel["edges"], channel["map"][-1]], channel["map"][:-1]


def corrupt_length(c: Json, rng: random.Random) -> None:
    rows = [c["dual"]["cells"], *c["dual"]["nodes"], *c["dual"]["potential"], *(c["channel"] or {}).values()]
    row = rng.choice([row for row in rows if isinstance(row, list)])
    if rng.random() < 0.5:
        del row[rng.randrange(len(row))]
    else:
        row.insert(rng.randrange(len(row)), rng.choice(row))


def corrupt_problem(c: Json, rng: random.Random) -> None:
    problem = c["problem"]
    choice = rng.randrange(8)
    if choice == 0:
        p = Fraction(rng.randint(1, 99), 100)
        problem["priors"] = [str(p), str(1 - p)]
    elif choice == 1:
        row = rng.choice(problem["means"])
        row[rng.randrange(len(row))] = str(Fraction(rng.randint(-300, 300), 100))
    elif choice == 2:
        std = str(Fraction(rng.randint(1, 40), 20))
        problem["stds"] = [[std] * len(row) for row in problem["stds"]]
    elif choice == 3:
        problem["noise_std"] = str(Fraction(rng.randint(1, 40), 20))
    elif choice == 4:
        problem["threshold"] = rng.choice(["bayes", "0", "0.1", "-1/2", "1.5"])
    elif choice == 5:
        problem["perception"] = rng.choice(PERCEPTIONS)
    elif choice == 6:
        problem["classes"] = problem["classes"][::-1]
    else:
        problem["priors"] = problem["priors"][::-1]


def corrupt_quantity(c: Json, rng: random.Random) -> None:
    c["claim"]["quantity"] = rng.choice(list(verify.CLAIMS))
    if c["claim"]["quantity"].endswith("distortion"):
        c["max_distortion"] = None
        c["dual"]["price_distortion"] = (1.0).hex()
        c["dual"]["error_weight"] = (0.0).hex()


CORRUPTIONS = [
    corrupt_claim,
    corrupt_claim,
    corrupt_claim,
    corrupt_digit,
    corrupt_level,
    corrupt_hint,
    corrupt_price,
    corrupt_index,
    corrupt_order,
    corrupt_length,
    corrupt_problem,
    corrupt_problem,
    corrupt_quantity,
]


TRUTHS: dict[str, tuple[float, float]] = {}


def known(c: Json, original: Json) -> tuple[float, float]:
    """Bounds of the truth, worked out once for what is asked by many."""
    asked = [c[key] for key in ("problem", "max_distortion", "max_perception")]
    key = json.dumps([asked, c["claim"]["quantity"], original])
    if key not in TRUTHS:
        TRUTHS[key] = known_anew(c, original)
    return TRUTHS[key]


def known_anew(c: Json, original: Json) -> tuple[float, float]:
    """Bounds of the truth that floats alone know: the quantity claimed, or for infeasible the least distortion - D.

    They rest on the Bayes error of Y, the mean posterior variance by quadrature, the quantile channel, and on the
    channel and the dual of the certificate before it was corrupted, which mean something under any levels and for any
    problem with that threshold.
    """
    line, quantity, dual = Line(c["problem"]), c["claim"]["quantity"], original["dual"]
    most_d, most_p = level_of(c["max_distortion"]), level_of(c["max_perception"])
    y = np.linspace(-25, 25, 5_001)
    floor = line.values(np.array([-INF, line.threshold, INF]), np.array([line.decision]), 0)[0]
    least = line.square - float(np.trapezoid(line.density(y, line.total).sum(0) * line.posterior(y)[1] ** 2, y))
    edges, at = line.grid(80)
    channels = [(*line.values(edges, line.matched(edges), at)[:2], 0.0)]
    within = unhexed(dual["nodes"][0])[-1] < line.threshold < unhexed(dual["nodes"][1])[0]
    if within and original["channel"]:
        inner, cut = unhexed(original["channel"].get("edges", original["channel"].get("quantile"))), at_of(original)
        if np.all(np.diff(np.concatenate([inner[:cut], [line.threshold], inner[cut:]])) > 0):
            channels.append(line.channel(original["channel"]))
    of_distortion = quantity != "error_rate"
    allowed = [x for x in channels if x[2] <= most_p]
    if quantity == "error_rate":
        allowed = [x for x in allowed if x[1] <= most_d]
    if quantity == "flat_distortion":
        allowed = [x for x in allowed if x[0] <= floor + 1e-12]
    high = min((x[1] if of_distortion else x[0] for x in allowed), default=INF)
    low = least if of_distortion else INF if most_d < least - 1e-9 else floor
    if within:
        w, lam = (float(number(dual[key])) for key in ("error_weight", "price_distortion"))
        bound = line.lagrangian(dual, most_d if quantity == "error_rate" else 0.0, most_p)
        if (quantity == "error_rate" and w == 1) or (quantity == "flat_distortion" and lam == 1):
            low = max(low, bound - (w * floor if quantity == "flat_distortion" else 0.0))
        elif quantity in ("min_distortion", "infeasible") and w == 0 and lam == 1:
            low = max(low, bound)
    if quantity == "infeasible":
        return low - most_d, high - most_d
    return low, high


def at_of(c: Json) -> int:
    return int(c["channel"]["threshold_index"])


def known_false(c: Json, original: Json) -> bool:
    """Does the claim contradict what floats know, by more than their rounding?"""
    claim = c["claim"]
    try:
        low, high = known(c, original)
        ends = [None if claim[key] is None else float(number(claim[key])) for key in ("lower", "upper")]
    except (ValueError, KeyError, AttributeError, TypeError, OverflowError, IndexError):
        return False  # no sense at all: nothing is known
    if claim["quantity"] == "infeasible":
        return high < -1e-9
    return (ends[0] is not None and ends[0] > high + 1e-9) or (ends[1] is not None and ends[1] < low - 1e-9)


def corrupted() -> Iterator[tuple[str, Json, Json]]:
    for name in BASES:
        original = certificate(*CASES[name][:5], n=40, n_y=140, nudge=CASES[name][5])
        rng = random.Random(f"corrupt {name}")
        for k in range(52):
            broken = copy.deepcopy(original)
            corrupt = CORRUPTIONS[k % len(CORRUPTIONS)]
            corrupt(broken, rng)
            if rng.random() < 0.2:
                rng.choice(CORRUPTIONS)(broken, rng)
            if broken != original:
                yield f"{name}, {corrupt.__name__} {k}", original, broken


def test_corruptions_are_never_proven_when_false() -> None:
    """Whatever is done to a certificate: no crash, a false claim is not verified, and what is derived stays true."""
    verdicts: dict[str, int] = {}
    false = derived = total = 0
    with np.errstate(all="ignore"):
        for label, original, broken in corrupted():
            total += 1
            report = judged(broken)
            assert len(report.reason.splitlines()) == 1, label
            verdicts[report.verdict] = verdicts.get(report.verdict, 0) + 1
            if known_false(broken, original):
                false += 1
                assert report.verdict != "VERIFIED", f"{label}: {report.reason}"
            if not (balls := report.enclosures):
                continue
            low, high = known(broken, original)
            if broken["claim"]["quantity"] == "infeasible":
                assert high > 0, label
                continue
            derived += 1
            assert float(balls["lower"]) <= high + 1e-9, label
            assert "upper" not in balls or float(balls["upper"]) >= low - 1e-9, label
    assert total >= 500 and false >= 150 and derived >= 150, (total, false, derived)
    assert set(verdicts) == {"VERIFIED", "REFUTED", "CANNOT DECIDE"} and min(verdicts.values()) >= 20, verdicts


def test_claims_of_other_points_are_not_proven(made: dict[str, Json]) -> None:
    """Points whose true intervals are disjoint: neither certificate proves the other's claim."""
    low, high = (
        certificate(toy("0"), "error_rate", 1.0, lam, kap, n=120, n_y=480) for lam, kap in ((0.3, 0.3), (2.0, 1.0))
    )
    ends = [[float(number(c["claim"][key])) for key in ("lower", "upper")] for c in (low, high)]
    assert ends[0][1] < ends[1][0] or ends[1][1] < ends[0][0]
    for one, other in ((low, high), (high, low)):
        assert judged(one).verdict == "VERIFIED"
        assert judged(one | {"claim": other["claim"]}).verdict == "REFUTED"
        stolen = one | {key: other[key] for key in ("max_distortion", "max_perception", "claim")}
        assert judged(stolen).verdict == "REFUTED"


# -- files ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"problem": {"priors": ["0.7", "0.31"]}}, "priors are no probabilities"),
        ({"problem": {"priors": ["1.2", "-0.2"]}}, "priors are no probabilities"),
        ({"problem": {"weights": [["1"], ["0.9"]]}}, "weights of a class"),
        ({"problem": {"stds": [["-1"], ["-1"]]}}, "standard deviation is not positive"),
        ({"problem": {"noise_std": "0"}}, "standard deviation is not positive"),
        ({"max_distortion": "-1"}, "max_distortion is negative"),
        ({"max_perception": "-1/100"}, "max_perception is negative"),
        ({"dual": {"error_weight": "2"}}, "error weight of error_rate must be 1"),
        ({"dual": {"price_distortion": "-0x1.0p+0"}}, "price_distortion is negative"),
        ({"dual": {"price_distortion": "inf"}}, "must be finite"),
        (
            {"dual": {"nodes": [["-0x1.0p+0"] * 2, ["0x1.0p+0"]], "potential": [["0x1.0p+0"] * 2, ["0x1.0p+0"]]}},
            "nodes do",
        ),
        (
            {"dual": {"nodes": [["0x1.0p+0"], ["0x1.8p+0"]], "potential": [["0x1.0p+0"]] * 2}},
            "lower side does not lie below",
        ),
        (
            {"dual": {"nodes": [["-0x1.0p+0"], ["0x1.0p-2"]], "potential": [["0x1.0p+0"]] * 2}},
            "upper side does not lie above",
        ),
        (
            {"dual": {"nodes": [["-0x1.0p+0"], ["0x1.0p+0"]], "potential": [["0x1.0p+0"], ["-0x1.0p-9"]]}},
            "potential is neg",
        ),
        ({"dual": {"cells": ["-0x1.0p+0", "0x1.0p+0", "0x0.0p+0"], "crossing": 0}}, "edges of the y-cells"),
        ({"channel": {"edges": ["0x1.0p+0"], "threshold_index": 0, "map": ["0x1.0p+0", "0x0.0p+0"]}}, "map decreases"),
        (
            {"channel": {"edges": ["0x1.0p+0"], "threshold_index": 0, "map": ["decision", "0x0.0p+0"]}},
            "map decreases at the",
        ),
        (
            {"channel": {"edges": ["-0x1.0p+0"], "threshold_index": 1, "map": ["0x1.0p+0", "decision"]}},
            "map decreases at the",
        ),
        (
            {"channel": {"edges": ["0x1.0p+0", "0x1.0p+0"], "threshold_index": 0, "map": ["0x0.0p+0"] * 3}},
            "output edges",
        ),
        ({"channel": {"edges": ["0x1.0p+0"], "threshold_index": 1, "map": ["0x0.0p+0"] * 2}}, "threshold does not lie"),
        ({"channel": {"edges": [], "threshold_index": 0, "map": ["0x1.8p+1"]}}, "perception .* exceeds"),
        ({"max_distortion": "0.6"}, "distortion .* exceeds"),
        ({"max_perception": "0"}, "perception .* exceeds"),
    ],
)
def test_ill_posed_files_are_refuted(change: Json, message: str, made: dict[str, Json]) -> None:
    report = judged(merged(made["bayes threshold"], change))
    assert report.verdict == "REFUTED"
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(report.reason)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "other"}, "format: other is not that of an enclosure"),
        ({"version": 2}, "not a cdp_toy enclosure of version 1"),
        ({"version": True}, "version: True is no index"),
        ({"more": 1}, "unknown key more"),
        ({"problem": {"more": "1"}}, "unknown key more"),
        ({"problem": None}, "an object is needed"),
        ({"problem": {"priors": ["1/3", "1/3", "1/3"]}}, "2 to 2 entries are needed, got 3"),
        ({"problem": {"priors": ["1", "0"]}}, "both priors must be positive"),
        ({"problem": {"priors": "ab"}}, "a list is needed"),
        ({"problem": {"means": [["-1", "0"], ["1"]]}}, "differ in shape"),
        ({"problem": {"means": [[], []], "weights": [[], []], "stds": [[], []]}}, "1 to 64 entries are needed, got 0"),
        ({"problem": {"means": [["-1"] * 70, ["1"]]}}, "1 to 64 entries are needed, got 70"),
        ({"problem": {"stds": [["1"], ["2"]]}}, "one std"),
        ({"problem": {"classes": [1, 0]}}, "likelihood-ratio order"),
        ({"problem": {"classes": [1, 1]}}, "0 and 1 are needed"),
        ({"problem": {"classes": [False, True]}}, "False is no index"),
        ({"problem": {"perception": "tv"}}, "tv is not a perception"),
        ({"problem": {"perception": "renyi:1"}}, "order of renyi"),
        ({"problem": {"perception": "renyi:-2"}}, "order of renyi"),
        ({"problem": {"perception": "renyi:1e999"}}, "out of reach"),
        ({"problem": {"threshold": 0}}, "threshold: 0 is not a rational or"),
        ({"problem": {"threshold": "1/0"}}, "is not a rational or a hex float in a string"),
        ({"problem": {"threshold": "nan"}}, "is not a rational or a hex float in a string"),
        ({"problem": {"threshold": "1e999999999"}}, "is not a rational or a hex float in a string"),
        ({"problem": {"threshold": "1" * 5000}}, "is not a rational or a hex float in a string"),
        ({"problem": {"threshold": "１"}}, "is not a rational or a hex float in a string"),
        ({"problem": {"noise_std": "0x1.0p+9999"}}, "is not a rational or a hex float in a string"),
        ({"max_distortion": None}, "max_distortion: None"),
        ({"max_distortion": ["0.7"]}, "max_distortion"),
        ({"max_perception": "-inf"}, "max_perception"),
        ({"claim": {"quantity": "price"}}, "price is not a quantity"),
        ({"claim": {"quantity": ["error_rate"]}}, "is not a quantity"),
        ({"claim": {"quantity": "min_distortion"}}, "max_distortion must be null"),
        ({"claim": {"lower": None, "upper": None}}, "no ends"),
        ({"claim": {"lower": "\ud800"}}, "lower"),
        ({"claim": {"lower": "two\nlines"}}, "lower"),
        ({"claim": {"upper": "1e400"}}, "out of reach"),
        ({"dual": {"nodes": [[], []], "potential": [[], []]}}, "needs nodes"),
        ({"dual": {"nodes": [["0x1.0p+0"]]}}, "2 to 2 entries are needed, got 1"),
        ({"dual": {"cells": ["0x1.0p+0"]}}, "crossing"),
        ({"dual": {"cells": "0x1.0p+0"}}, "a list is needed"),
        ({"dual": {"cells": ["0x1.0p+0"] * 300_000}}, "0 to 262144 entries are needed, got 300000"),
        ({"dual": {"crossing": "3"}}, "crossing"),
        ({"dual": {"crossing": -1}}, "crossing"),
        ({"dual": []}, "an object is needed"),
        ({"channel": {"map": "decision"}}, "a list is needed"),
        ({"channel": {"map": ["decision"]}}, "one entry per output edge"),
        ({"channel": {"map": [None]}}, "one entry per output edge"),
        ({"channel": {"quantile": []}}, "unknown key"),
        ({"channel": 7}, "an object is needed"),
    ],
)
def test_what_is_no_certificate_is_undecided(
    change: Json, message: str, made: dict[str, Json], tmp_path: Path, capsys: Any
) -> None:
    path = tmp_path / "c.json"
    path.write_text(json.dumps(merged(made["bayes threshold"], change)))
    assert verify.main([str(path)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"CANNOT DECIDE {path}: ") and message in lines[0]


def merged(base: Json, change: Json) -> Json:
    """Deep update, where lists and scalars replace."""
    found = copy.deepcopy(base)
    for key, value in change.items():
        mergeable = isinstance(value, dict) and isinstance(found.get(key), dict)
        replace = key == "channel" and isinstance(value, dict) and len(value) == 3
        found[key] = merged(found[key], value) if mergeable and not replace else value
    return found


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no JSON"),
        (b"{}", "format is missing"),
        (b"[]", "an object is needed"),
        (b"null", "an object is needed"),
        (b"\x00\xff\xfe\x80 binary", "cannot be read: 'utf-8'"),
        (b'{"format": "cdp_toy enclosure", "version"', "no JSON"),
        (b'{"version": NaN}', "real numbers are"),
        (b'{"version": -Infinity}', "real numbers are"),
        (b'{"version": 0.5}', "real numbers are"),
        (b'{"version": 1e999}', "real numbers are"),
        (b'{"version": ' + b"9" * 100_000 + b"}", "real numbers are"),
        (b'{"version": 1, "version": 1}', "a key occurs twice"),
        (b"[" * 200_000, "recursion"),
        (b'{"a":' * 100_000 + b"1", "recursion"),
        (b"[" + b"0," * 100_000 + b"0]", "an object is needed"),
    ],
    ids=lambda value: repr(value[:20]) if isinstance(value, bytes) else "",
)
def test_damaged_files_are_one_line(data: bytes, message: str, tmp_path: Path, capsys: Any) -> None:
    path = tmp_path / "c.json"
    path.write_bytes(data)
    assert verify.main([str(path)]) == 2
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 and lines[0].startswith(f"CANNOT DECIDE {path}: ") and message in lines[0]


def test_truncated_files_are_one_line(made: dict[str, Json]) -> None:
    text = json.dumps(made["threshold 0"])
    for length in range(0, len(text) - 1, 997):
        report = verify.verify_text(text[:length])
        assert (report.verdict, report.reason.partition(":")[0]) == ("CANNOT DECIDE", "no JSON of a certificate")


def test_what_is_no_file_is_one_line(tmp_path: Path) -> None:
    huge, pipe = tmp_path / "huge.json", tmp_path / "pipe"
    huge.touch()
    os.truncate(huge, 1 << 40)
    os.mkfifo(pipe)
    expected = {
        huge: "larger than 32 MiB",
        tmp_path: "not a regular file",
        pipe: "not a regular file",
        tmp_path / "no": "No such file",
    }
    for path, message in expected.items():
        report = verify.verify_file(path)
        assert report.verdict == "CANNOT DECIDE" and message in report.reason
    assert verify.verify_file("a\0b").verdict == "CANNOT DECIDE"


def test_extreme_numbers_end_soon(made: dict[str, Json]) -> None:
    """Problems in numbers of hundreds of digits: any verdict but the false one."""
    for key, value in (
        ("noise_std", "1e-300"),
        ("noise_std", "1e300"),
        ("stds", [["1e-999"], ["1e-999"]]),
        ("threshold", "1e900"),
    ):
        report = judged(merged(made["threshold 0"], {"problem": {key: value}}))
        assert report.verdict != "VERIFIED"
    tiny = merged(made["threshold 0"], {"max_perception": "1e-999"})
    assert judged(tiny).verdict == "REFUTED"


def test_precedence_of_exit_codes(made: dict[str, Json], tmp_path: Path, capsys: Any) -> None:
    good, bad, none = tmp_path / "good.json", tmp_path / "bad.json", tmp_path / "none\n.json"
    good.write_text(json.dumps(made["threshold 0"]))
    bad.write_text(json.dumps(merged(made["threshold 0"], {"claim": {"lower": "0.3"}})))
    for paths, code in (([good], 0), ([good, good], 0), ([good, none], 2), ([none, bad, good], 1), ([bad], 1), ([], 2)):
        assert verify.main([str(path) for path in paths]) == code
        out = capsys.readouterr().out.splitlines()
        assert len(out) == len(paths)
    assert verify.main([str(none)]) == 2
    assert capsys.readouterr().out.startswith(f"CANNOT DECIDE '{tmp_path}/none\\n.json': cannot be read")


@pytest.mark.parametrize("words", [["cdp_toy.verify"], ["cdp_toy.cli", "verify"]], ids=" ".join)
def test_verifying_is_light(words: list[str], made: dict[str, Json], tmp_path: Path) -> None:
    """Both commands in a fresh process, without NumPy, SciPy, CVXPY or any other module of the package."""
    good, bad = tmp_path / "good.json", tmp_path / "bad.json"
    good.write_text(json.dumps(made["P = 0"]))
    bad.write_text(json.dumps(merged(made["P = 0"], {"claim": {"upper": "0.2"}})))
    code = (
        f"import atexit, runpy, sys; sys.argv = {[*words, str(good), str(bad)]!r}\n"
        "heavy = lambda: sorted({'numpy', 'scipy', 'cvxpy', 'matplotlib', 'cdp_toy.problem'} & set(sys.modules))\n"
        "atexit.register(lambda: print(heavy()))\n"
        f"runpy.run_module({words[0]!r}, run_name='__main__', alter_sys=False)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    lines = done.stdout.splitlines()
    assert done.returncode == 1, done.stderr
    assert [line.split(":")[0] for line in lines] == [f"VERIFIED {good}", f"REFUTED {bad}", "[]"]


def test_the_command_line_asks_for_files() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "cdp_toy.cli", "verify"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2 and "Missing argument" in done.stderr and len(done.stderr.splitlines()) == 1


def test_the_verifier_imports_nothing_else_of_the_package() -> None:
    allowed = {*sys.stdlib_module_names, "flint"}
    nodes = list(ast.walk(ast.parse((ROOT / "cdp_toy" / "verify.py").read_text("utf-8"))))
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)]
    assert "flint" in names
    assert {name.split(".")[0] for name in names} <= allowed


@pytest.mark.slow
def test_many_cells(made: dict[str, Json]) -> None:
    """3,200 output cells: the interval is narrow, and its ends do not depend on the bits."""
    proof = certificate(toy(), "error_rate", 1.0, 0.05, 0.05, n=3200, n_y=6400)
    report = judged(proof)
    assert report.verdict == "VERIFIED"
    ends = [float(number(proof["claim"][key])) for key in ("lower", "upper")]
    assert ends[1] - ends[0] < 1e-6
    finer = verify.enclosures(proof, bits=256)
    assert all(report.enclosures[key].overlaps(finer[key]) for key in finer)
    assert all(float(report.enclosures[key].rad()) < 1e-25 and float(finer[key].rad()) < 1e-60 for key in finer)
