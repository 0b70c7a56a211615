"""Bounds of the continuous problem on the line: closed forms, grids, draws, weak duality, order two, refusals."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import quad

import cdp_toy as cdp
from cdp_toy.closed_forms import ErrorCurve, TransportCurve
from cdp_toy.closed_forms.observed_mixture import ObservedMixture
from cdp_toy.continuous.conditions import monotone_threshold
from cdp_toy.continuous.duals import dual_from_potential
from cdp_toy.continuous.envelope import Side
from cdp_toy.continuous.grids import output_edges
from cdp_toy.continuous.lower import Dual, crossing_cell, lower_bound, refined_cells
from cdp_toy.continuous.model import LineModel, line_model
from cdp_toy.continuous.quantiles import quantiles
from cdp_toy.continuous.upper import evaluate
from cdp_toy.perceptions import perception_from
from cdp_toy.solvers.monotone import (
    MonotoneMap,
    MonotoneProblem,
    flat_map,
    least_distortion,
    least_error,
    monotone_problem,
)
from cdp_toy.solvers.spring_chain import solve_chain

INF = math.inf
toy = cdp.presets.paper_toy()
hard = cdp.presets.paper_toy(threshold=0.0)
three = replace(cdp.presets.three_classes(), classifier=cdp.ThresholdClassifier((-1.8, 0.4)))
noise = cdp.AdditiveGaussian(1.0)
SMOOTH = ("kl", "reverse_kl", "hellinger_squared", "chi2", "reverse_chi2", "js", "renyi:2", "renyi:0.5")

#: name -> problem whose optimal maps are monotone
MONOTONE: dict[str, Callable[[], cdp.CDPProblem]] = {
    "toy": lambda: toy,
    "threshold_0": lambda: hard,
    "mirrored": lambda: cdp.CDPProblem(
        cdp.GaussianMixture((0.3, 0.7), (1.0, -1.0)), noise, cdp.ThresholdClassifier(0.0, (1, 0))
    ),
    "mixtures": lambda: cdp.CDPProblem(
        cdp.GaussianMixture((0.6, 0.4), ((-2.0, 0.0), (0.5, 1.5)), 0.5), noise, cdp.ThresholdClassifier(-0.2)
    ),
    "far_from_the_origin": lambda: cdp.CDPProblem(
        cdp.GaussianMixture((0.7, 0.3), (1e4 - 1, 1e4 + 1)), noise, cdp.ThresholdClassifier(1e4)
    ),
}
#: name -> problem of the general bound, P
GENERAL: dict[str, tuple[Callable[[], cdp.CDPProblem], float]] = {
    "three_classes": (lambda: three, 0.02),
    "class_costs": (lambda: replace(toy, class_cost=np.array([[0.0, 1.0], [5.0, 0.0]])), 0.01),
    "three_classes_with_costs": (
        lambda: replace(three, class_cost=np.array([[0.0, 1, 4], [2, 0, 1], [3, 1, 0]]), perception="reverse_kl"),
        0.02,
    ),
    "unequal_stds": (
        lambda: cdp.CDPProblem(
            cdp.GaussianMixture((0.7, 0.3), (-1.0, 1.0), (1.0, 0.6)), noise, cdp.ThresholdClassifier(0.3)
        ),
        0.002,
    ),
    "several_thresholds": (
        lambda: replace(toy, classifier=cdp.ThresholdClassifier((-1.5, 0.0, 1.0), (0, 1, 0, 1))),
        0.01,
    ),
    "wrong_polarity": (lambda: replace(toy, classifier=cdp.ThresholdClassifier(0.0, (1, 0)), perception="js"), 0.01),
}


@cache
def posed(name: str, n: int, perception: str = "kl") -> MonotoneProblem:
    return monotone_problem(replace(MONOTONE[name](), perception=perception), n)


def below(on: MonotoneProblem, found: MonotoneMap, d: float, p: float, above_floor: bool = False) -> float:
    """Lower bound from the dual of a map."""
    dual = found.dual(on.model)
    return lower_bound(on.model, dual, refined_cells(on.model, dual, 2 * len(found.edges)), d, p, above_floor).value


def error_bracket(on: MonotoneProblem, d: float, p: float) -> tuple[float, float]:
    found = least_error(on, d, p)
    assert found.converged
    assert found.value.distortion <= d
    assert p == INF or found.value.perception <= p
    return below(on, found, d, p), found.value.error_rate


def distortion_bracket(on: MonotoneProblem, p: float) -> tuple[float, float]:
    found = least_distortion(on, p)
    assert found.converged
    assert p in (0, INF) or found.value.perception <= p
    return below(on, found, 0.0, p), found.value.distortion


# the model


def test_integrals_of_the_model_are_those_of_quadrature() -> None:
    model = line_model(three)
    edges = np.array([-1.0, 0.2, 0.9])
    joint, first, second = model.observed_cells(edges, 0.3)
    posterior_mean = model.law.posterior

    def density(y: float) -> float:
        return float(np.exp(model.log_density(np.array([y])))[0])

    for j, (a, b) in enumerate(itertools.pairwise(edges)):
        for c in range(3):
            share = quad(lambda y, c=c: density(y) * model.posterior(np.array([y]))[c, 0], a, b)[0]
            assert joint[c, j] == pytest.approx(share, rel=1e-10)
        mean = quad(lambda y: density(y) * (posterior_mean(np.array([y]))[0][0] - 0.3), a, b)[0]
        square = quad(lambda y: density(y) * ((m := posterior_mean(np.array([y])))[1][0] + (m[0][0] - 0.3) ** 2), a, b)[
            0
        ]
        assert_allclose([first[j], second[j]], [mean, square], rtol=1e-10)


def test_quantiles_reach_far_into_both_tails() -> None:
    model = line_model(three)
    y = np.array([-17.0, -6.0, -1.0, 0.4, 3.0, 9.0, 15.0])
    assert_allclose(model.quantile(*model.tails(y)), y, rtol=1e-13)
    assert_allclose(model.quantile(*model.tails(y), start=np.zeros(7)), y, rtol=1e-13)
    assert model.quantile(np.array([0.0, 1.0]), np.array([1.0, 0.0])).tolist() == [-INF, INF]


def test_quantiles_do_not_depend_on_where_the_search_starts() -> None:
    """A valley between far Gaussians, where the tail hardly changes; near and useless starts; masses near 1e-300."""
    law = ObservedMixture(np.array([0.3, 0.7]), np.array([-30.0, 25.0]), np.array([0.5, 2.0]), 1.0)
    y = np.concatenate([np.linspace(-60, 90, 301), [-70.0, 108.0]])
    below, above = (np.exp(tail) for tail in law.log_tails(y, law.total_stds))
    for start in (None, y, y + 1e-3, y + 0.4, np.full(y.shape, -500.0), np.where(y < 0, INF, np.nan)):
        found = quantiles(law, below, above, start)
        again = [np.exp(tail) for tail in law.log_tails(found, law.total_stds)]
        assert_allclose(np.minimum(*again), np.minimum(below, above), rtol=3e-12)
        steep = np.minimum(np.abs(y + 30) / 1.2, np.abs(y - 25) / 2.3) < 3  # elsewhere places hang on the last digits
        assert_allclose(found[steep], y[steep], rtol=0, atol=1e-12)


@pytest.mark.parametrize("n", [3, 4, 1002, 1003, 4099])
def test_chains_of_springs_are_solved_however_stiff_they_are(n: int) -> None:
    """Forces of given displacements give these back, and a point of infinite ground stays."""
    rng = np.random.default_rng(n)
    stiffness, ground = 10.0 ** rng.uniform(-3, 6, n), 10.0 ** rng.uniform(-3, 3, n - 1)
    x = rng.uniform(1, 2, (2, n - 1))
    stretch = np.diff(x, prepend=0.0, append=0.0) * stiffness
    assert_allclose(solve_chain(stiffness, ground, ground * x - np.diff(stretch)), x, rtol=1e-6)
    # one at which only the sums of springs in series and in parallel are right: a chain stiff beyond all digits
    stiff, weak = np.concatenate([[0.5], np.full(n - 2, 1e25), [0.25]]), np.full(n - 1, 1 / 8)
    assert_allclose(solve_chain(stiff, weak, np.ones((1, n - 1))), (n - 1) / (0.75 + (n - 1) / 8), rtol=1e-12)
    ground[n // 2] = INF
    held = solve_chain(stiffness, ground, np.ones((1, n - 1)))[0]
    assert held[n // 2] == 0
    assert np.all(np.delete(held, n // 2) > 0)


@pytest.mark.parametrize("name", GENERAL)
def test_slopes_and_curvatures_stay_within_their_bounds(name: str) -> None:
    """On every cell against differences of the posterior and of mu at many points."""
    model = line_model(GENERAL[name][0]())
    cells = np.linspace(-6, 6, 25)
    h = 1e-4
    for a, b, cell in zip(cells[:-1], cells[1:], range(24), strict=False):
        y = np.linspace(a + h, b - h, 25)
        mean, costs = (np.stack([f(y + s * h) for s in (-1, 0, 1)]) for f in (model.mean, model.posterior))
        curvature = (mean[2] - 2 * mean[1] + mean[0]) / h**2
        assert np.abs(curvature).max() <= model.mean_curvature(cells)[cell] + 1e-6
        for k in range(len(model.side_costs)):
            for other in range(k + 1, len(model.side_costs)):
                e = np.einsum("k,skn->sn", model.side_costs[k] - model.side_costs[other], costs)
                assert ((e[0] - e[2]) / (2 * h)).max() <= model.falling_bound(k, other, cells)[cell] + 1e-6
                bent = np.abs(e[2] - 2 * e[1] + e[0]).max() / h**2
                assert bent <= model.cost_curvature(k, other, cells)[cell] + 1e-6


def test_equal_stds_with_ordered_means_fall_nowhere_by_the_general_bound_too() -> None:
    general = replace(line_model(hard), rising_class=None)
    assert general.falling_bound(0, 1, np.linspace(-9, 9, 30)).max() == 0


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6))
def test_the_envelope_is_the_least_value_over_the_side(seed: int) -> None:
    rng = np.random.default_rng(seed)
    nodes = np.sort(rng.normal(size=rng.integers(1, 9))) * 2
    side = Side(float(nodes[0]) - 0.3, INF, nodes, rng.normal(size=len(nodes)) ** 2)
    m, lam = np.sort(rng.normal(size=rng.integers(1, 12))) * 3, float(rng.choice([0.0, 0.05, 0.7, 4.0]))
    x = np.concatenate([np.linspace(side.low, nodes[-1] + 40, 40001), nodes])
    v = np.interp(x, nodes, side.values)
    table = lam * x * (x - 2 * m[:, None]) - v
    least, places = side.least(m, lam)
    assert np.all(least <= table.min(axis=1) + 1e-12 * (1 + np.abs(least)))
    assert_allclose(least, table.min(axis=1), atol=1e-4)
    assert np.all(np.diff(places) >= 0)
    assert_allclose(lam * places * (places - 2 * m) - np.interp(places, nodes, side.values), least, atol=1e-10)


@pytest.mark.parametrize("name", SMOOTH)
def test_conjugates_are_least_values(name: str) -> None:
    divergence = perception_from(name)
    slope = divergence.slope_at_infinity if math.isfinite(divergence.slope_at_infinity) else 0.0
    r = np.geomspace(1e-6, 1e6, 2001)
    for s in (1e-3, 0.3, 0.9, 1.4, 5.0):
        at = divergence.conjugate(np.array([s]))[0]
        line = divergence.generator(r - 1) - (slope - s) * r
        assert at <= line.min() + 1e-9
        assert at >= line.min() - 1e-3 * (1 + abs(at))
        here = np.maximum(divergence.ratio_at(np.array([s])), 0.0)
        assert at == pytest.approx(float((divergence.generator(here - 1) - (slope - s) * here)[0]), abs=1e-8)


# closed forms


@pytest.mark.parametrize("level", [0.0, 1e-4, 0.002, 0.01, INF])
@pytest.mark.parametrize("perception", ["kl", "reverse_chi2", "renyi:2"])
@pytest.mark.parametrize("name", ["toy", "threshold_0", "mirrored", "mixtures"])
def test_without_a_distortion_level_both_bounds_are_the_closed_form(name: str, perception: str, level: float) -> None:
    on = posed(name, 101, perception)
    lower, upper = error_bracket(on, INF, level)
    exact = ErrorCurve(on.problem).error_rate(level)
    assert lower <= exact + 1e-15
    assert exact <= upper + 1e-13  # the map stays 1e-13 below the level
    assert upper - lower < 2e-11


def test_printed_digits() -> None:
    on = posed("toy", 801)
    for d, p, digits in ((0.72, 0.0, 0.206362187422), (INF, INF, 0.204117333467), (0.70, 0.02, 0.204117333467)):
        lower, upper = error_bracket(on, d, p)
        assert lower <= digits + 5e-13
        assert upper >= digits - 5e-13
        assert upper - lower < 1e-12
    for p, digits in ((INF, 0.6416888797), (0.0, 0.7113170186)):
        lower, upper = distortion_bracket(on, p)
        assert lower <= digits <= upper
        assert upper - lower < 3e-5
    transport = TransportCurve(replace(toy, perception="w2_squared"))  # P = 0 is the same for every perception
    assert lower <= transport.least_distortion(0.0) <= upper
    assert least_error(on, 0.70, 0.0).diverged  # P = 0 has one monotone map, of distortion .7113
    lower, upper = error_bracket(on, 0.70, 0.002)
    assert lower <= 0.2043392017 <= upper
    assert upper - lower < 1e-7


def test_without_a_perception_level_the_map_is_the_posterior_mean_clipped() -> None:
    on = posed("threshold_0", 801)
    for d in (0.6425, 0.645, 0.66):
        lower, upper = error_bracket(on, d, INF)
        assert 0 < upper - lower < 2e-4
    assert least_error(on, 0.6416, INF).diverged
    # a place s of the threshold costs the error at s and keeps E[X|y] where it is on the right side
    s, model = 0.6, on.model

    def beyond(y: float) -> float:
        return float(np.exp(model.log_density(np.array([y])))[0] * (model.law.posterior(np.array([y]))[0][0]) ** 2)

    mean_zero = model.quantile(*model.tails(np.array([0.0])))[0]
    assert mean_zero == pytest.approx(0.0, abs=1e-14)
    start = float(np.interp(0.0, (grid := np.linspace(-2, 2, 4001)) * 0 + model.law.posterior(grid)[0], grid))
    d = 0.6416888797 + quad(beyond, start, s)[0]
    joint = model.observed_cells(np.array([-INF, s, INF]), 0.0).joint
    lower, upper = error_bracket(on, d, INF)
    assert lower <= joint[1, 0] + joint[0, 1] + 1e-9
    assert joint[1, 0] + joint[0, 1] <= upper + 1e-9


@pytest.mark.parametrize("level", [0.005, 0.02, INF])
def test_flat_maps_bound_where_the_floor_begins(level: float) -> None:
    on = posed("toy", 801)
    found = flat_map(on, level)
    assert found.converged
    assert found.value.error_rate == pytest.approx(on.curve.floor, abs=1e-15)
    lower = below(on, found, 0.0, level, above_floor=True)
    assert 0 < found.value.distortion - lower < 3e-5
    assert least_error(on, found.value.distortion, level).value.error_rate == pytest.approx(on.curve.floor, abs=1e-15)
    if level < INF:  # below it the floor is out of reach, and that is proven
        under = lower - 3e-4
        assert below(on, least_error(on, under, level), under, level) > on.curve.floor + 1e-9


def test_below_saturation_no_map_attains_the_floor() -> None:
    on = posed("toy", 101)
    assert flat_map(on, 0.004).diverged


# both bounds


@pytest.mark.parametrize("perception", SMOOTH)
@pytest.mark.parametrize("name", ["toy", "threshold_0"])
def test_brackets_of_every_divergence_are_narrow(name: str, perception: str) -> None:
    on = posed(name, 401, perception)
    least, most = distortion_bracket(on, 0.002)
    assert 0 < most - least < 8e-5
    lower, upper = error_bracket(on, most + 0.005, 0.002)
    assert 0 < upper - lower < 4e-5
    # the dual of D_min proves smaller levels out of reach
    dual = replace(least_distortion(on, 0.002).dual(on.model), error_weight=0.0)
    cells = refined_cells(on.model, dual, 800)
    assert lower_bound(on.model, dual, cells, least - 1e-4, 0.002).value > 0
    assert lower_bound(on.model, dual, cells, most, 0.002).value <= 0
    assert not least_error(on, least - 1e-3, 0.002).converged


@pytest.mark.parametrize("name", ["mirrored", "mixtures", "far_from_the_origin"])
def test_mirrored_mixed_and_shifted_problems(name: str) -> None:
    on = posed(name, 401)
    least, most = distortion_bracket(on, 0.003)
    lower, upper = error_bracket(on, most + 0.005, 0.003)
    assert 0 < most - least < 1e-4
    assert 0 < upper - lower < 1e-4
    if name != "mixtures":  # images of one problem
        here, there = error_bracket(posed("threshold_0", 401), most + 0.005, 0.003)
        assert lower <= there
        assert here <= upper


@pytest.mark.parametrize(
    "name, d, p", [("toy", 0.70, 0.002), ("threshold_0", 0.69, 0.004), ("threshold_0", 0.6467, 0.5)]
)
def test_widths_fall_with_the_square_of_the_cells(name: str, d: float, p: float) -> None:
    coarse, fine = (np.subtract(*error_bracket(posed(name, n), d, p)[::-1]) for n in (401, 1601))
    assert 10 < coarse / fine < 24


@pytest.mark.parametrize("level", [1e-6, 1e-3, 0.05, 0.4])
def test_grids_lie_above_every_lower_end(level: float) -> None:
    grid = hard.discretize(n=61)
    on = posed("threshold_0", 401)
    d = cdp.min_distortion(grid, level).upper + 0.01
    solution = cdp.solve(grid, d, level)
    lower, upper = error_bracket(on, d, level)
    assert lower <= upper <= solution.upper_bound
    assert distortion_bracket(on, level)[0] <= cdp.min_distortion(grid, level).upper


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_weak_duality(seed: int) -> None:
    """Any prices and any potential against any map, at the levels that the map meets."""
    rng = np.random.default_rng(seed)
    name, perception = str(rng.choice(["toy", "threshold_0", "mirrored", "mixtures"])), str(rng.choice(SMOOTH))
    model = _model(name, perception)
    edges = np.unique(np.concatenate([rng.normal(scale=2, size=rng.integers(1, 9)), model.boundaries]))
    places = np.sort(rng.normal(scale=2, size=len(edges)))
    value = evaluate(model, edges, places)
    dual = _any_dual(model, rng, value.perception)
    cells = np.unique(rng.normal(scale=3, size=rng.integers(2, 40)))
    bound = lower_bound(model, dual, cells, value.distortion, value.perception)
    assert bound.value <= dual.error_weight * value.error_rate + 1e-12
    refined = refined_cells(model, dual, int(rng.integers(5, 80)))
    assert lower_bound(model, dual, refined, value.distortion, value.perception).value <= (
        dual.error_weight * value.error_rate + 1e-12
    )


@cache
def _model(name: str, perception: str) -> LineModel:
    problem = MONOTONE[name]() if name in MONOTONE else GENERAL[name][0]()
    return line_model(replace(problem, perception=perception))


def _any_dual(model: LineModel, rng: np.random.Generator, level: float) -> Dual:
    ends = np.concatenate([[-6.0], model.boundaries, [6.0]])
    nodes = tuple(
        np.unique(a + (b - a) * rng.uniform(0.01, 0.99, size=rng.integers(1, 7))) for a, b in itertools.pairwise(ends)
    )
    price = float(rng.choice([0.0, rng.exponential(), 20 * rng.exponential()])) if math.isfinite(level) else 0.0
    potential = tuple(rng.exponential(scale=rng.choice([0.1, 1.0, 9.0]), size=len(x)) for x in nodes)
    return Dual(
        float(rng.choice([0.0, 1.0, 7.0])), float(rng.choice([0.0, rng.exponential()])), price, nodes, potential
    )


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6))
def test_weak_duality_of_the_general_bound(seed: int) -> None:
    """Several sides, several classes, costs, unequal standard deviations: sides of the map may come in any order."""
    rng = np.random.default_rng(seed)
    model = _model(str(rng.choice(list(GENERAL))), str(rng.choice(SMOOTH)))
    edges = np.unique(np.concatenate([rng.normal(scale=2, size=rng.integers(1, 9)), model.boundaries]))
    value = evaluate(model, edges, np.sort(rng.normal(scale=2, size=len(edges))))
    dual = _any_dual(model, rng, value.perception)
    cells = refined_cells(model, dual, int(rng.integers(5, 60)))
    bound = lower_bound(model, dual, cells, value.distortion, value.perception)
    assert bound.value <= dual.error_weight * value.error_rate + 1e-12
    # a coarse bound never exceeds the one on cells that are cut finely
    fine = np.unique(np.concatenate([np.linspace(a, b, 9) for a, b in itertools.pairwise(cells)]))
    assert bound.value <= lower_bound(model, dual, fine, value.distortion, value.perception).value + 1e-9


def test_the_integral_that_the_bound_bounds() -> None:
    """Against the minimum over a fine grid of x, integrated over a fine grid of y."""
    model = _model("three_classes", "kl")
    rng = np.random.default_rng(4)
    for _ in range(3):
        dual = replace(_any_dual(model, rng, 0.1), price_distortion=0.5, error_weight=1.0, price_perception=0.3)
        y, x = np.linspace(-9, 9, 1501), np.linspace(-9, 9, 3001)
        side = np.searchsorted(model.boundaries, x, side="right")
        v, log_v = np.empty(len(x)), np.empty(len(x))  # chords of psi, the logarithm for kl
        for k, (nodes, values) in enumerate(zip(dual.nodes, dual.potential, strict=True)):
            v[side == k] = np.interp(x[side == k], nodes, values)
            log_v[side == k] = np.interp(x[side == k], nodes, np.log(values))
        mean, variance = model.law.posterior(y)
        distance = (x - mean[:, None]) ** 2 + variance[:, None]
        least = ((model.side_costs @ model.posterior(y))[side].T + 0.5 * distance - v).min(axis=1)
        inner = float((np.exp(model.log_density(y)) * least).sum() * (y[1] - y[0]))
        p = np.asarray(model.priors) @ model.source.density(x)
        last = 0.3 * float((p * (log_v - math.log(0.3))).sum() * (x[1] - x[0])) - 0.3 * (0.1 - 1)
        bound = lower_bound(model, dual, refined_cells(model, dual, 2000), 0.8, 0.1)
        assert bound.value == pytest.approx(inner - 0.5 * 0.8 + last, rel=2e-3)


# the general bound


def test_the_general_bound_is_that_of_the_theorem_where_both_apply() -> None:
    for name, d, p in (("toy", 0.70, 0.002), ("threshold_0", 0.69, 0.004)):
        on = posed(name, 401)
        general = replace(on.model, rising_class=None)
        dual = least_error(on, d, p).dual(on.model)
        cells = refined_cells(on.model, dual, 800)
        ours = lower_bound(on.model, dual, cells, d, p).value
        assert lower_bound(general, dual, cells, d, p).value == pytest.approx(ours, abs=1e-13)
        finer = lower_bound(general, dual, refined_cells(general, dual, 800), d, p).value
        assert ours - 1e-13 <= finer <= ours + 1e-7


@pytest.mark.parametrize("name", GENERAL)
def test_the_general_bound_lies_below_the_grid_and_near_it(name: str) -> None:
    build, level = GENERAL[name]
    problem = build()
    model = line_model(problem)
    assert model.rising_class is None
    widths = []
    d = 1.01 * cdp.min_distortion(problem.discretize(n=51), level).upper
    for n in (51, 101):
        grid = problem.discretize(n=n)
        least, solution = cdp.min_distortion(grid, level), cdp.solve(grid, d, level)
        edges = grid.grid.x_edges
        dual = dual_from_potential(model, 1.0, solution.price_distortion, edges, solution.potential, level)
        bound = lower_bound(model, dual, refined_cells(model, dual, 8 * n), d, level)
        assert bound.value <= solution.upper_bound
        widths.append(solution.upper_bound - bound.value)
        dual = dual_from_potential(model, 0.0, 1.0, edges, least.potential, level)
        bound = lower_bound(model, dual, refined_cells(model, dual, 8 * n), 0.0, level)
        assert 0 < least.upper - bound.value < 0.06 * (51 / n) ** 2
    assert widths[1] < 0.4 * widths[0] + 1e-9
    assert widths[1] < 0.01


# maps


@pytest.mark.parametrize("name, perception", [("threshold_0", "kl"), ("mixtures", "renyi:2")])
def test_draws_have_the_values_of_the_map(name: str, perception: str) -> None:
    on = posed(name, 101, perception)
    p = 0.01
    found = least_error(on, least_distortion(on, p).value.distortion + 0.01, p)
    rng, size = np.random.default_rng(3), 40_000
    problem = on.problem
    classes, x = problem.source.sample(size, rng)
    y = problem.degradation.sample(x, rng)
    cell = np.searchsorted(found.places, y)
    edges = np.concatenate([[-INF], found.edges, [INF]])
    restored = problem.source.sample_cells(edges[cell], edges[cell + 1], rng)
    losses = (x - restored) ** 2
    assert losses.mean() == pytest.approx(found.value.distortion, abs=4 * losses.std() / math.sqrt(size))
    wrong = problem.classifier.decide(problem.source, None, restored) != classes
    assert wrong.mean() == pytest.approx(found.value.error_rate, abs=4 * wrong.std() / math.sqrt(size))
    assert crossing_cell(on.model, found.dual(on.model), np.array([-9.0, found.places[on.grid.at] + 1, 9.0])) == 0


def test_no_other_map_on_the_same_cells_is_better() -> None:
    on = posed("threshold_0", 41)
    found, rng = least_error(on, 0.70, 0.01), np.random.default_rng(6)
    scale = np.concatenate([10.0 ** -rng.uniform(1, 5, size=300)])
    for s in scale:
        other = np.sort(found.places + s * rng.normal(size=len(found.places)))
        value = evaluate(on.model, found.edges, other)
        if value.distortion <= 0.70 and value.perception <= 0.01:
            assert value.error_rate >= found.value.error_rate - 1e-11


def test_levels_of_a_map_are_met_beyond_rounding() -> None:
    on = posed("threshold_0", 401)
    found = least_error(on, 0.69, 0.004)
    assert 0 < 0.69 - found.value.distortion < 1e-11
    assert 0 < 0.004 - found.value.perception < 1e-12


# refusals


def test_conditions_name_what_fails() -> None:
    def refused(problem: cdp.CDPProblem, match: str) -> None:
        with pytest.raises(cdp.InputError, match=match):
            monotone_threshold(problem)
        with pytest.raises(cdp.InputError, match=match):
            monotone_problem(problem, 101)

    assert monotone_threshold(MONOTONE["mirrored"]()) == (0.0, 0)
    refused(three, r"two classes; this source has 3.*middle posterior rises and falls")
    refused(replace(toy, source=cdp.GaussianMixture((1.0, 0.0), (-1.0, 1.0))), "positive probability")
    refused(replace(toy, class_cost=np.array([[0.0, 1.0], [5.0, 0.0]])), "0-1 error; leave class_cost out")
    unequal = cdp.GaussianMixture((0.7, 0.3), (-1.0, 1.0), (1.0, 0.6))
    refused(replace(toy, source=unequal), r"one standard deviation.*turns back in a tail.*\[0.6, 1.0\]")
    refused(replace(toy, classifier=cdp.ThresholdClassifier((-1.0, 1.0), (0, 1, 0))), "one threshold; this one has 2")
    refused(replace(toy, classifier=cdp.ThresholdClassifier(0.0, (1, 1))), "one threshold; this one has 0")
    refused(
        replace(toy, classifier=cdp.ThresholdClassifier(0.0, (1, 0))),
        "increases in y, 1, above the threshold.*answers 1",
    )
    between = cdp.GaussianMixture((0.5, 0.5), ((-1.0, 1.0), (0.0, 2.0)))
    refused(replace(toy, source=between, classifier=cdp.ThresholdClassifier(0.0)), "likelihood-ratio order")
    refused(replace(toy, distortion="absolute_error"), 'distortion="squared_error"; this one is "absolute_error"')
    for name in ("tv", "w1", "w2_squared"):
        refused(replace(toy, perception=name), f'smooth f-divergence or a Renyi divergence.*is "{name}"')
    refused(replace(toy, degradation=cdp.Identity()), "noise; without it nothing is lost")
    laplace = cdp.LaplaceMixture((0.5, 0.5), (-1.0, 1.0), 1.0)
    refused(replace(toy, source=laplace), "needs a GaussianMixture source; this one is a LaplaceMixture")
    guess = cdp.CallableClassifier(lambda x: (x[:, 0] > 0).astype(int))
    refused(
        replace(toy, classifier=guess), "known class boundaries; those of a CallableClassifier are found by probing"
    )
    with pytest.raises(cdp.InputError, match="needs a CDPProblem, got DiscreteProblem"):
        monotone_threshold(toy.discretize(n=9))  # type: ignore[arg-type]


def test_bounds_refuse_what_does_not_fit() -> None:
    model = line_model(toy)
    good = Dual(1.0, 0.5, 0.1, (np.array([-1.0]), np.array([1.0])), (np.ones(1), np.ones(1)))
    cells = np.linspace(-9, 9, 30)

    def refused(dual: Dual, match: str, at: np.ndarray = cells) -> None:
        with pytest.raises(cdp.InputError, match=match):
            lower_bound(model, dual, at, 0.7, 0.01)

    refused(replace(good, nodes=(np.zeros(1),)), "1 rows of nodes and 2 of potentials, not 2")
    refused(
        replace(good, nodes=(np.array([0.5]), np.array([1.0]))), "side 0 must increase strictly between -inf and 0.42"
    )
    refused(replace(good, potential=(np.ones(1), -np.ones(1))), "not be negative under kl; side 1 has -1")
    refused(replace(good, potential=(np.ones(1), np.full(1, INF))), "potential must be finite; side 1 has inf")
    refused(replace(good, price_distortion=-1.0), "prices must not be negative")
    refused(replace(good, price_distortion=INF), "price of distortion must be finite")
    refused(good, "edges of cells of y must be finite and increase", np.array([0.0, 0.0]))
    assert lower_bound(model, good, cells, INF, 0.01).value == -INF  # a price for a level that is not there
    assert lower_bound(model, good, cells, 0.7, INF).value == -INF
    with pytest.raises(cdp.InputError, match="every class boundary must be an edge"):
        evaluate(model, np.array([0.0]), np.array([0.0]))
    with pytest.raises(cdp.InputError, match="must not decrease"):
        evaluate(model, np.sort(np.append(model.boundaries, 1.0)), np.array([1.0, 0.0]))
    with pytest.raises(cdp.InputError, match="differ in shape"):
        evaluate(model, model.boundaries, np.zeros(2))
    with pytest.raises(cdp.InputError, match="at least 2 cells for each side"):
        output_edges(model, 3)
    with pytest.raises(cdp.InputError, match=r"X has no mass from 1e\+06 to inf, where the classifier answers class 1"):
        monotone_problem(replace(toy, classifier=cdp.ThresholdClassifier(1e6)), 101)
    with pytest.raises(cdp.InputError, match="no channel has a perception of at most -1"):
        least_distortion(posed("toy", 101), -1.0)
    with pytest.raises(cdp.InputError, match="max_distortion is NaN"):
        least_error(posed("toy", 101), math.nan, 0.1)
    with pytest.raises(cdp.InputError, match="potential of shape"):
        dual_from_potential(model, 1.0, 0.1, np.array([-INF, 0.0, INF]), np.zeros(2), 0.1)
