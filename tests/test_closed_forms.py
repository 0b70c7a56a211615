"""Closed forms against the solvers, quadrature, brute force and draws; and what they refuse."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from cases import PERCEPTIONS
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.optimize import brentq
from scipy.stats import ks_2samp, norm

import cdp_toy as cdp
from cdp_toy.closed_forms import ErrorCurve, GaussianExample, TransportCurve
from cdp_toy.closed_forms.observed_mixture import observed

INF = math.inf
toy = cdp.presets.paper_toy()
hard = cdp.presets.paper_toy(threshold=0.0)
by_transport = replace(hard, perception="w2_squared")
gapped = cdp.CDPProblem(
    cdp.GaussianMixture((0.35, 0.65), ((-2.0, 0.5), (1.5,)), ((0.15, 0.4), (0.2,))),
    cdp.AdditiveGaussian(0.8),
    cdp.ThresholdClassifier(1.1),
    perception="w2_squared",
)


def one_gaussian(perception: str, noise: float = 1.0) -> cdp.CDPProblem:
    """X ~ N(0, 1), whatever the class."""
    source = cdp.GaussianMixture((0.5, 0.5), (0.0, 0.0))
    return cdp.CDPProblem(
        source, cdp.AdditiveGaussian(noise), cdp.ThresholdClassifier(0.0), "squared_error", perception
    )


def limit(problem: cdp.CDPProblem, level: float) -> tuple[float, float, float]:
    """D_min(P) of two grids of cells, and the limit of cells of width 0 for an excess of second order."""
    coarse, fine = (cdp.min_distortion(problem.discretize(n=n), level) for n in (31, 61))
    assert max(coarse.gap, fine.gap) < 1e-8
    shrink = ((61 - 2) / (31 - 2)) ** 2  # two of the cells are tails
    return coarse.upper, fine.upper, (shrink * fine.upper - coarse.upper) / (shrink - 1)


# one Gaussian


@pytest.mark.parametrize("s, n", [(1.0, 1.0), (0.5, 2.0), (3.0, 0.4)])
@pytest.mark.parametrize("perception", ["kl", "reverse_kl"])
def test_members_of_the_linear_family_are_those_of_the_quadrature(s: float, n: float, perception: str) -> None:
    source = cdp.GaussianMixture((0.5, 0.5), (0.0, 0.0), s)
    problem = cdp.CDPProblem(source, cdp.AdditiveGaussian(n), cdp.ThresholdClassifier(0.0), perception=perception)
    family, example = cdp.linear_denoiser(problem), GaussianExample(s, n)
    a = np.array([-0.7, 0.05, 0.3, 0.9, 1.0, 1.7])
    assert_allclose(example.linear_distortion(a), family.distortion(a), rtol=1e-14)
    assert_allclose(example.linear_perception(a, perception), family.perception(a), rtol=1e-12, atol=1e-14)
    assert example.linear_perception(0.0, perception) == INF
    best = family.best(INF, 0.3)
    assert best is not None
    assert example.least_linear_distortion(0.3, perception) <= best.distortion


def test_the_wasserstein_distance_of_two_gaussians_is_that_of_their_quantiles() -> None:
    example = GaussianExample(1.5, 2.0)  # Y has standard deviation 5/2
    squared = quad(lambda u: ((1.5 - 0.4 * 2.5) * norm.ppf(u)) ** 2, 0, 1)[0]
    assert example.linear_perception(-0.4, "w2_squared") == pytest.approx(squared, rel=1e-7)
    assert example.linear_perception(0.0, "w2_squared") == 1.5**2


@pytest.mark.parametrize("perception", ["w2_squared", "kl", "reverse_kl"])
@pytest.mark.parametrize("level", [1e-13, 1e-6, 0.01, 0.12, 3.0, 400.0])
def test_the_best_gain_spends_the_level_or_is_the_wiener_filter(perception: str, level: float) -> None:
    example = GaussianExample(1.0, 2.0)
    a = example.best_gain(level, perception)
    spent = example.linear_perception(a, perception)
    assert a >= 0.2 - 1e-15  # s^2/(s^2 + n^2)
    if a > 0.2 + 1e-15:
        assert spent == pytest.approx(level, rel=1e-6 if level < 1e-9 else 1e-12)
    else:
        assert spent < level
    assert example.least_linear_distortion(level, perception) == pytest.approx(example.linear_distortion(a), rel=1e-14)
    scan = np.linspace(-1, 1, 4001)
    feasible = scan[example.linear_perception(scan, perception) <= level]
    assert example.linear_distortion(feasible).min(initial=INF) >= example.linear_distortion(a) - 1e-15


def test_limits_of_the_gaussian_example() -> None:
    example = GaussianExample(1.0, 1.0)
    for perception in ("w2_squared", "reverse_kl"):
        assert example.least_distortion(0.0, perception) == pytest.approx(2 - math.sqrt(2), rel=1e-15)
        assert example.least_distortion(INF, perception) == pytest.approx(0.5, rel=1e-15)
        assert example.least_distortion(-1e-9, perception) == INF
        assert math.isnan(example.best_gain(-1.0, perception))
    assert example.least_distortion(0.0, "reverse_kl") <= 2 * example.min_distortion


@pytest.mark.parametrize(
    "perception, noise, level", [("w2_squared", 3.0, 0.1), ("reverse_kl", 1.0, 0.02), ("reverse_kl", 2.0, 0.1)]
)
def test_grids_of_all_channels_converge_to_the_linear_family_from_above(
    perception: str, noise: float, level: float
) -> None:
    exact = GaussianExample(1.0, noise).least_distortion(level, perception)
    coarse, fine, limiting = limit(one_gaussian(perception, noise), level)
    assert exact < fine < coarse
    # moves of transport are not much longer than the cells here, which costs an order
    assert limiting == pytest.approx(exact, abs=2e-3 if perception == "w2_squared" else 4e-4)
    assert fine - exact < 0.02


def law_of_two_gains(s: float, one: float, other: float, share: float, x: np.ndarray) -> np.ndarray:
    return np.asarray((1 - share) * norm.pdf(x, 0, s * one) + share * norm.pdf(x, 0, s * other))


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6])
@pytest.mark.parametrize("one, other", [(0.45, 1.0), (0.7, 0.9), (0.5, 1.2)])
def test_neither_noise_nor_switching_gains_anything_under_reverse_kl(one: float, other: float, share: float) -> None:
    example = GaussianExample(1.0, 2.0)
    for a, b in ((0.2, one), (0.3, 0.3 * other), (0.4, share)):  # Xhat = a Y + N(0, b^2)
        ratio = (a * example.observation_std) ** 2 + b**2
        level = (ratio - 1 - math.log(ratio)) / 2
        distortion = float(example.linear_distortion(a)) + b**2
        assert distortion > example.least_distortion(level, "reverse_kl") + 1e-6
    x = np.linspace(-12, 12, 6001)  # Xhat = one of two multiples of Y at random, not Gaussian
    q, p = law_of_two_gains(1.0, one, other, share, x), norm.pdf(x)
    level = float((q * np.log(q / p)).sum() * (x[1] - x[0]))
    gains = np.array([one, other]) / example.observation_std
    distortion = float(example.linear_distortion(gains) @ [1 - share, share])
    assert distortion > example.least_distortion(level, "reverse_kl") + 1e-6


def test_under_kl_the_linear_family_is_beaten() -> None:
    example = GaussianExample(1.0, 2.0)
    z = np.linspace(-14, 14, 7001)  # Y in units of its standard deviation
    step = z[1] - z[0]
    restored, slope = 0.55 * z + 0.02 * z**3, 0.55 + 0.06 * z**2  # heavier tails than a Gaussian's
    log_ratio = norm.logpdf(restored) + np.log(slope) - norm.logpdf(z)  # density of X by that of Xhat
    level = float((norm.pdf(restored) * slope * log_ratio).sum() * step)
    distortion = example.min_distortion + float((norm.pdf(z) * (restored - example.mean_std * z) ** 2).sum() * step)
    linear = example.least_linear_distortion(level, "kl")
    assert distortion < linear - 0.01
    _, fine, limiting = limit(one_gaussian("kl", 2.0), level)
    assert fine < linear
    assert limiting < distortion
    with pytest.raises(cdp.InputError, match="not Gaussian and D_min\\(P\\) has no closed form"):
        example.least_distortion(level, "kl")


def test_the_gaussian_example_refuses() -> None:
    with pytest.raises(cdp.InputError, match="noise_std must be a positive standard deviation, got 0"):
        GaussianExample(1.0, 0)
    with pytest.raises(cdp.InputError, match="source_std must be finite"):
        GaussianExample(math.nan, 1.0)
    with pytest.raises(cdp.InputError, match=r"unknown perception between two Gaussians.*'tv'"):
        GaussianExample(1.0, 1.0).least_distortion(0.1, "tv")
    with pytest.raises(cdp.InputError, match="max_perception is NaN"):
        GaussianExample(1.0, 1.0).least_distortion(math.nan, "reverse_kl")


# the curve of least distortion under w2_squared


def test_printed_digits_of_the_curve() -> None:
    curve = TransportCurve(replace(toy, perception="w2_squared"))
    assert curve.min_distortion == pytest.approx(0.6416888797, abs=5e-11)
    assert curve.least_distortion(0.0) == pytest.approx(0.7113170186, abs=5e-11)
    assert curve.distance**2 == pytest.approx(0.7113170186 - 0.6416888797, abs=1e-10)
    assert 0 < curve.distortion_error < 1e-13
    assert curve.least_distortion(INF) == curve.least_distortion(curve.distance**2) == curve.min_distortion
    assert curve.least_distortion(-1e-9) == INF
    assert curve.error_rate(0.0) == pytest.approx(0.206362187422, abs=5e-13)
    # E[X|Y] at the Bayes threshold of Y is the Bayes threshold of X
    assert curve.error_rate(INF) == pytest.approx(0.204117333467, abs=5e-13)


@pytest.mark.parametrize("level", [0.0, 0.01, 0.2, 1.0])
def test_the_curve_of_a_gaussian_is_the_example(level: float) -> None:
    curve, example = TransportCurve(one_gaussian("w2_squared", 2.0)), GaussianExample(1.0, 2.0)
    assert curve.distance == pytest.approx(1 - example.mean_std, abs=1e-13)
    assert curve.least_distortion(level) == pytest.approx(example.least_distortion(level, "w2_squared"), abs=1e-13)
    y = np.array([[-3.0, 0.1], [2.0, 9.0]])
    assert_allclose(curve.restoration(y, level), example.best_gain(level, "w2_squared") * y, rtol=1e-12)


@pytest.mark.parametrize("problem", [by_transport, gapped], ids=["toy", "gapped"])
def test_the_distance_is_that_of_a_sum_over_x(problem: cdp.CDPProblem) -> None:
    """The same coupling from the side of X, with Tweedie's formula for E[X|Y]; smooth where the map T is steep."""
    source, noise = problem.source, problem.degradation.noise_std
    priors = np.asarray(source.priors)

    def sides(x: float, std: float) -> tuple[float, float]:
        below, above = priors @ source.cell_integrals([-INF, x, INF], std).mass
        return float(below), float(above)

    def mean(y: float) -> float:
        nearby = priors @ source.density(np.array([y - 1e-4, y + 1e-4]), noise)
        return float(y + noise**2 * np.log(nearby[1] / nearby[0]) / 2e-4)

    def squared(x: float) -> float:
        side = int(np.argmin(sides(x, 0.0)))
        mass = sides(x, 0.0)[side]
        y = brentq(lambda t: math.log(sides(t, noise)[side] / mass), -12, 12, xtol=1e-13)
        return (x - mean(y)) ** 2

    x = np.linspace(-5.5, 5.5, 551)
    density = priors @ source.density(x)
    total = sum(p * squared(t) for p, t in zip(density, x, strict=True) if p > 1e-12) * (x[1] - x[0])
    curve = TransportCurve(problem)
    assert curve.distance**2 == pytest.approx(total, rel=1e-4)
    assert curve.distortion_error < 1e-10


@pytest.mark.parametrize("problem", [by_transport, gapped], ids=["toy", "gapped"])
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_draws_have_the_distortion_the_distance_and_the_errors(problem: cdp.CDPProblem, share: float) -> None:
    curve, rng, size = TransportCurve(problem), np.random.default_rng(5), 10_000
    level = (share * curve.distance) ** 2
    classes, x = problem.source.sample(size, rng)
    y = problem.degradation.sample(x, rng)
    restored, natural = curve.restoration(y, level), curve.restoration(y, 0.0)
    losses = (x - restored) ** 2
    assert losses.mean() == pytest.approx(curve.least_distortion(level), abs=4 * losses.std() / math.sqrt(size))
    # one increasing function of y against another: the coupling is the optimal one, and the latter has the law of X
    assert math.sqrt(np.mean((natural - restored) ** 2)) == pytest.approx(math.sqrt(level), rel=0.05)
    assert ks_2samp(natural, problem.source.sample(size, rng)[1]).pvalue > 1e-3
    wrong = problem.classifier.decide(problem.source, None, restored) != classes
    assert wrong.mean() == pytest.approx(curve.error_rate(level), abs=4 * wrong.std() / math.sqrt(size))


def test_no_other_monotone_restoration_lies_below_the_curve() -> None:
    """D and P of Xhat = any increasing function of Y, by the masses of 1000 equally likely observations."""
    curve, law, rng = TransportCurve(by_transport), observed(by_transport, ""), np.random.default_rng(2)
    u = (np.arange(1000) + 0.5) / 1000
    y = np.array(
        [brentq(lambda t, v=v: np.exp(law.log_tails(np.array([t]), law.total_stds)[0][0]) - v, -9, 9) for v in u]
    )
    natural, mean = curve.restoration(y, 0.0), curve.restoration(y, INF)
    for _ in range(100):
        share, stretch, bend = rng.uniform(0, 1), rng.uniform(0.8, 1.2), rng.normal(scale=0.2)
        other = np.sort((share * natural + (1 - share) * mean) * stretch + bend * np.sin(2 * y))
        level = float(np.mean((natural - other) ** 2))
        distortion = curve.min_distortion + float(np.mean((mean - other) ** 2))
        assert distortion >= curve.least_distortion(level) - 3e-4


@pytest.mark.parametrize("level", [0.0, 0.1])
def test_grids_converge_to_the_curve_from_above(level: float) -> None:
    curve = TransportCurve(by_transport)
    exact = curve.least_distortion(level)
    coarse, fine, limiting = limit(by_transport, level)
    assert exact < fine < coarse
    assert limiting == pytest.approx(exact, abs=1e-3)


@pytest.mark.parametrize("kind, width", [("cells", 0.023), ("points", 0.016)])
def test_small_levels_of_transport_are_met_by_grids_too(kind: str, width: float) -> None:
    curve = TransportCurve(by_transport)
    excess = [
        cdp.min_distortion(by_transport.discretize(n=n, kind=kind), 0.01).upper - curve.least_distortion(0.01)
        for n in (16, 31, 61)
    ]
    assert 0 < excess[2] < excess[1] < excess[0]
    assert excess[2] < width


def test_errors_on_the_curve_are_those_of_the_channel_of_a_grid() -> None:
    curve = TransportCurve(by_transport)
    for level in (0.0, 0.01):
        away = []
        for n in (16, 31, 61):
            grid = by_transport.discretize(n=n)
            witness = cdp.min_distortion(grid, level).witness.toarray()
            wrong = 1 - grid.posterior[:, grid.classes]
            away.append(abs(float(grid.p_y @ (witness * wrong).sum(axis=1)) - curve.error_rate(level)))
        assert away[2] < away[1] < away[0]
        assert away[2] < 0.004


def test_three_classes_and_costs_on_the_curve() -> None:
    cost = [[0, 1, 4], [2, 0, 1], [3, 1, 0]]
    problem = replace(cdp.presets.three_classes(), perception="w2_squared", class_cost=np.array(cost, dtype=float))
    curve, rng, size = TransportCurve(problem), np.random.default_rng(8), 10_000
    classes, x = problem.source.sample(size, rng)
    restored = curve.restoration(problem.degradation.sample(x, rng), 0.02)
    paid = np.asarray(cost)[classes, problem.classifier.decide(problem.source, problem.class_cost, restored)]
    assert paid.mean() == pytest.approx(curve.error_rate(0.02), abs=4 * paid.std() / math.sqrt(size))


def test_the_curve_refuses() -> None:
    with pytest.raises(cdp.InputError, match=r'needs perception="w2_squared"; this one is "kl".*replace'):
        TransportCurve(toy)
    with pytest.raises(cdp.InputError, match='needs distortion="squared_error"; this one is "absolute_error"'):
        TransportCurve(replace(by_transport, distortion="absolute_error"))
    with pytest.raises(cdp.InputError, match="nothing is lost"):
        TransportCurve(replace(by_transport, degradation=cdp.Identity()))
    with pytest.raises(cdp.InputError, match="needs a GaussianMixture source; this one is a LaplaceMixture"):
        TransportCurve(replace(by_transport, source=cdp.LaplaceMixture((0.5, 0.5), (-1.0, 1.0), 1.0)))
    with pytest.raises(cdp.InputError, match="AdditiveGaussian; this one is a Erasure"):
        TransportCurve(replace(by_transport, degradation=cdp.Erasure(0.1)))
    with pytest.raises(cdp.InputError, match="needs a CDPProblem, got DiscreteProblem"):
        TransportCurve(by_transport.discretize(n=9))  # type: ignore[arg-type]
    with pytest.raises(cdp.InputError, match="no restoration has a perception of at most -1"):
        TransportCurve(by_transport).error_rate(-1.0)
    with pytest.raises(cdp.InputError, match=r"y\[1\] is nan"):
        TransportCurve(by_transport).restoration([0.0, math.nan], 0.0)
    with pytest.raises(cdp.InputError, match=r"y = -1e\+200 lies beyond every tail"):
        TransportCurve(by_transport).restoration([0.0, -1e200], 0.0)


def test_far_tails_are_matched() -> None:
    curve = TransportCurve(by_transport)
    y = np.array([-1e6, -300.0, 300.0, 1e6])  # the outer Gaussian of each law decides
    assert_allclose(curve.restoration(y, 0.0), np.sign(y) + (y - np.sign(y)) / math.sqrt(2), rtol=1e-4)


@pytest.mark.parametrize("threshold, error", [(1e5, 0.3), (-1e5, 0.7)])
def test_a_threshold_that_nothing_passes_answers_one_class(threshold: float, error: float) -> None:
    problem = replace(by_transport, classifier=cdp.ThresholdClassifier(threshold))
    assert TransportCurve(problem).error_rate(0.01) == pytest.approx(error, abs=1e-15)


# C(inf, P) of two classes


def finely_seen(problem: cdp.CDPProblem, level: float, n_y: int = 401) -> cdp.Solution:
    """C_n(inf, P): cells of x only tell the class, so few suffice; cells of y cut the observation finely."""
    return cdp.solve(problem.discretize(n=5, n_y=n_y), INF, level, tol=1e-8)


def test_printed_digits_of_the_error_curve() -> None:
    curve = ErrorCurve(toy)
    assert curve.error_rate(INF) == curve.floor == pytest.approx(0.204117333467, abs=5e-13)
    assert curve.error_rate(0.0) == pytest.approx(0.206362187422, abs=5e-13)
    assert curve.saturation == pytest.approx(0.00424944, abs=5e-9)
    assert curve.best_threshold == pytest.approx(math.log(7 / 3), abs=1e-14)
    assert curve.error_rate(curve.saturation) == curve.floor < curve.error_rate(0.99 * curve.saturation)
    assert curve.error_rate(-1e-9) == INF
    assert ErrorCurve(hard).error_rate(0.0) == pytest.approx(0.2278110187, abs=5e-11)


@pytest.mark.parametrize("perception", sorted(PERCEPTIONS))
@pytest.mark.parametrize("level", [1e-4, 0.01])
def test_solvers_reach_the_error_curve(perception: str, level: float) -> None:
    problem = replace(hard, perception=perception)
    exact, solved = ErrorCurve(problem).error_rate(level), finely_seen(problem, level)
    assert solved.gap < 1e-8
    assert exact - 1e-12 <= solved.upper_bound
    assert solved.lower_bound <= exact + 3e-5
    assert exact < ErrorCurve(problem).error_rate(0.0)


def test_the_excess_of_grids_is_of_second_order() -> None:
    exact = ErrorCurve(hard).error_rate(0.002)
    excess = [finely_seen(hard, 0.002, n_y).upper_bound - exact for n_y in (51, 201, 801)]
    assert excess[2] < excess[1] / 6 < excess[0] / 36
    assert excess[2] > -1e-12


@pytest.mark.parametrize("perception", ["kl", "tv", "renyi:2"])
def test_no_linear_restoration_errs_less(perception: str) -> None:
    problem = replace(toy, perception=perception)
    levels = np.array([0.008, 0.02, 0.1, INF])
    linear = cdp.linear_denoiser(problem).best_error_rate(INF, levels)
    exact = np.array([ErrorCurve(problem).error_rate(p) for p in levels])
    assert np.all(exact <= np.where(np.isnan(linear), INF, linear) + 1e-14)


def test_the_two_curves_meet_where_the_law_of_x_is_kept() -> None:
    """At P = 0 the monotone coupling is best in errors and in distortion: C(D, 0) does not depend on D."""
    for problem in (toy, hard):
        one = TransportCurve(replace(problem, perception="w2_squared")).error_rate(0.0)
        assert one == pytest.approx(ErrorCurve(problem).error_rate(0.0), abs=1e-14)


ordered = cdp.GaussianMixture((0.4, 0.6), ((0.0, 1.0, 2.0), (0.0, 1.0, 2.0)), 0.7, ((0.5, 0.3, 0.2), (0.2, 0.3, 0.5)))
VARIANTS = {
    "classes swapped": replace(hard, source=cdp.GaussianMixture((0.3, 0.7), (1.0, -1.0))),
    "an absurd classifier": replace(hard, classifier=cdp.ThresholdClassifier(0.8, (1, 0))),
    "an island": replace(hard, classifier=cdp.ThresholdClassifier((-0.5, 1.5), (0, 1, 0))),
    "seen as it is": replace(hard, degradation=cdp.Identity(), classifier=cdp.ThresholdClassifier(-0.3)),
    "shared means": replace(hard, source=ordered, classifier=cdp.ThresholdClassifier(1.9)),
    "nothing to tell": replace(hard, source=cdp.GaussianMixture((0.7, 0.3), (0.0, 0.0))),
}


@pytest.mark.parametrize("name", VARIANTS)
@pytest.mark.parametrize("level", [0.0, 0.003, 0.05])
def test_variants_agree_with_solvers(name: str, level: float) -> None:
    problem = VARIANTS[name]
    grid = problem.discretize(n=201) if name == "seen as it is" else problem.discretize(n=5, n_y=401)
    solved, exact = cdp.solve(grid, INF, level, tol=1e-7), ErrorCurve(problem).error_rate(level)
    assert exact - 1e-9 <= solved.upper_bound
    assert solved.lower_bound <= exact + 1e-4


def test_the_threshold_is_that_of_an_optimal_channel() -> None:
    curve, rng, size = ErrorCurve(hard), np.random.default_rng(4), 400_000
    classes, x = hard.source.sample(size, rng)
    answers = hard.degradation.sample(x, rng) >= curve.threshold(0.01)
    wrong, a = answers != classes, float(np.mean(x >= 0))
    b = float(answers.mean())
    assert wrong.mean() == pytest.approx(curve.error_rate(0.01), abs=4 * wrong.std() / math.sqrt(size))
    assert a * math.log(a / b) + (1 - a) * math.log((1 - a) / (1 - b)) == pytest.approx(0.01, abs=1e-3)


def test_the_error_curve_refuses() -> None:
    with pytest.raises(cdp.InputError, match='"w1" also sees how far mass moves'):
        ErrorCurve(replace(toy, perception="w1"))
    with pytest.raises(cdp.InputError, match=r"needs two classes of positive probability; the priors are \(0.4"):
        ErrorCurve(cdp.presets.three_classes())
    with pytest.raises(cdp.InputError, match="needs two classes of positive probability"):
        ErrorCurve(replace(hard, source=cdp.GaussianMixture((1.0, 0.0), (0.0, 1.0))))
    with pytest.raises(cdp.InputError, match=r"one standard deviation.*\[1.0, 2.0\]"):
        ErrorCurve(replace(hard, source=cdp.GaussianMixture((0.5, 0.5), (-1.0, 1.0), (1.0, 2.0))))
    with pytest.raises(cdp.InputError, match=r"monotone in y.*class 0 has -1: 0.5, 1: 0.5, class 1 0: 1"):
        ErrorCurve(replace(hard, source=cdp.GaussianMixture((0.5, 0.5), ((-1.0, 1.0), (0.0,)))))
    with pytest.raises(cdp.InputError, match="always answers 1"):
        ErrorCurve(replace(hard, classifier=cdp.ThresholdClassifier(0.0, (1, 1))))
    with pytest.raises(cdp.InputError, match="CallableClassifier are found by probing"):
        ErrorCurve(replace(hard, classifier=cdp.CallableClassifier(lambda x: (x > 0).astype(int))))
    with pytest.raises(cdp.InputError, match="needs 0-1 error"):
        ErrorCurve(replace(hard, class_cost=np.array([[0.0, 2.0], [1.0, 0.0]])))
    with pytest.raises(cdp.InputError, match="no channel has a perception of at most -1"):
        ErrorCurve(hard).threshold(-1.0)
