"""The linear family Xhat = a Y: closed forms, the quadrature against scipy's, optima against brute force, refusals."""

from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from cases import PERCEPTIONS
from scipy.integrate import quad

from cdp_toy import presets
from cdp_toy.classifiers import BayesClassifier, TableClassifier, ThresholdClassifier
from cdp_toy.degradations import AdditiveGaussian, Identity, TableDegradation
from cdp_toy.errors import InputError
from cdp_toy.linear import LinearDenoiserFamily, linear_denoiser
from cdp_toy.perceptions import perception_from
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import GaussianMixture

INF = math.inf


@pytest.fixture(scope="module")
def toy() -> LinearDenoiserFamily:
    return linear_denoiser(presets.paper_toy())


@pytest.fixture(scope="module")
def families() -> dict[str, LinearDenoiserFamily]:
    return {name: linear_denoiser(replace(presets.paper_toy(), perception=name)) for name in PERCEPTIONS}


def test_printed_digits_of_the_toy(toy):
    assert toy.error_rate(0.5) == pytest.approx(0.204117333467, abs=5e-13)
    assert toy.distortion(2 / 3) == pytest.approx(2 / 3, abs=1e-15)
    assert toy.perception(0.80940644) == pytest.approx(0.006202278752, abs=5e-13)
    least = toy.least_error()
    assert (least.a, least.error_rate) == pytest.approx((0.5, 0.204117333467), abs=5e-13)
    least = toy.least_perception()
    assert least.a == pytest.approx(0.809406440, abs=5e-9)
    assert least.perception == pytest.approx(0.006202278752, abs=5e-13)
    least = toy.least_distortion()
    assert (least.a, least.distortion) == pytest.approx((2 / 3, 2 / 3), abs=1e-15)


def test_toy_closed_forms_written_out(toy):
    a, t0 = np.linspace(0.05, 3, 40), math.log(7 / 3) / 2
    upper = 0.5 * np.array([math.erfc((t0 + t) / (t * math.sqrt(2)) / math.sqrt(2)) for t in a])
    lower = 0.5 * np.array([math.erfc(-(t0 - t) / (t * math.sqrt(2)) / math.sqrt(2)) for t in a])
    np.testing.assert_allclose(toy.error_rate(a), 0.7 * upper + 0.3 * lower, atol=1e-15)
    np.testing.assert_allclose(toy.distortion(a), 2 * (a - 1) ** 2 + a**2, atol=1e-14)


def mixture_density(x: float, scale: float, variance: float) -> float:
    """Density of `scale` times the toy's X or Y, in plain arithmetic."""
    return sum(
        prior * math.exp(-((x / scale - m) ** 2) / (2 * variance)) / (abs(scale) * math.sqrt(2 * math.pi * variance))
        for prior, m in ((0.7, -1.0), (0.3, 1.0))
    )


@pytest.mark.parametrize("a", [0.62, 0.8094, 0.97, -0.8])
@pytest.mark.parametrize("name", [name for name in PERCEPTIONS if ":" not in name])
def test_perception_against_scipy_quad(families, name, a):
    nothing = np.zeros(1)
    constant = PERCEPTIONS[name](nothing, nothing)  # textbook formulas may have one besides their sum

    def term(x: float) -> float:
        p, q = (np.array([mixture_density(x, *law)]) for law in ((1.0, 1.0), (a, 2.0)))
        return float(PERCEPTIONS[name](p, q) - constant)

    # as far as the densities are normal numbers: the integrand of one divergence has variance 17 near its end
    reach = int(36 * min(1.0, abs(a) * math.sqrt(2)))
    value = constant + sum(quad(term, k, k + 1, epsabs=1e-14, epsrel=1e-12)[0] for k in range(-reach, reach))
    tolerance = 1e-9 if perception_from(name).kinked else 4e-13
    assert families[name].perception(a) == pytest.approx(value, abs=tolerance)
    assert 0 <= families[name].perception_error(a) < 1e-13


@pytest.mark.parametrize("a", [0.8094, 0.97, -0.8])
@pytest.mark.parametrize("order", [0.5, 2, 5])
def test_renyi_against_scipy_quad(families, order, a):
    def term(x: float) -> float:
        p, q = (mixture_density(x, *law) for law in ((1.0, 1.0), (a, 2.0)))
        return p * (p / q) ** (order - 1)

    total = sum(quad(term, k, k + 1, epsabs=1e-14, epsrel=1e-12)[0] for k in range(-25, 25))
    found = families[f"renyi:{order}"]
    assert found.perception(a) == pytest.approx(math.log(total) / (order - 1), abs=1e-12)
    assert 0 <= found.perception_error(a) < 1e-12


def test_tv_against_gaussian_cdfs(families):
    # for a = .5 the densities cross twice; TV is then a sum of cdf differences between the crossings
    from scipy.optimize import brentq
    from scipy.special import ndtr

    family, source = families["tv"], presets.paper_toy().source

    def difference(x: float) -> float:
        p = float(source.density(np.array([x])).T[0] @ source.priors)
        return float(family.density(x, 0.5)) - p

    crossings = [brentq(difference, -3, -0.5, xtol=1e-14), brentq(difference, 0, 3, xtol=1e-14)]
    inside = 0.0
    for prior, m in zip((0.7, 0.3), (-1.0, 1.0), strict=True):
        q = [ndtr((x - m / 2) / math.sqrt(0.5)) for x in crossings]
        p = [ndtr(x - m) for x in crossings]
        inside += prior * ((q[1] - q[0]) - (p[1] - p[0]))
    assert family.perception(0.5) == pytest.approx(inside, abs=1e-13)


def test_gaussian_divergence_closed_form_and_negative_a():
    problem = CDPProblem(GaussianMixture((1.0,), (0.0,), 1.5), AdditiveGaussian(0.5), ThresholdClassifier(9.0, (0, 0)))
    family = linear_denoiser(problem)
    for a in (1e-4, 0.3, 1.0, -2.0, 50.0):
        ratio = 1.5**2 / (a**2 * (1.5**2 + 0.25))
        exact = 0.5 * (ratio - 1 - math.log(ratio))
        assert family.perception(a) == pytest.approx(exact, rel=1e-12, abs=1e-13)


def test_infinite_and_extreme_values(families):
    chi2, reverse = families["chi2"], families["reverse_chi2"]
    assert np.all(np.isinf(chi2.perception([-0.5, 0.1, 0.4999, 0.5])))
    assert np.all(np.isfinite(chi2.perception([0.51, 0.6, 1.0, 4.0])))
    assert np.all(np.isinf(reverse.perception([-1.0, 1.0, 1.5, 4.0])))
    assert np.all(np.isfinite(reverse.perception([1e-3, 0.5, 0.999])))
    extremes = np.array([0.0, 1e-300, 1e-80, 1e-3, 0.5, 1.0, 1e3, 1e80, -1e-3, -1e80])
    for name, family in families.items():
        values = family.perception(extremes)
        assert not np.isnan(values).any() and np.all(values >= 0), name
        assert not np.isnan(family.perception_error(extremes)).any()
        # mutually singular laws: the supremum of a bounded divergence, inf otherwise
        assert values[0] == PERCEPTIONS[name](np.array([1.0, 0.0]), np.array([0.0, 1.0]))


def test_identity_at_a_one_is_perfect():
    family = linear_denoiser(CDPProblem(presets.paper_toy().source, Identity(), BayesClassifier()))
    assert family.perception(1.0) == 0 and family.distortion(1.0) == 0
    found = family.best(0.0, 0.0)
    assert found is not None and found.a == 1.0
    assert family.best_error_rate(0.0, 0.0) == pytest.approx(family.least_error().error_rate, abs=1e-15)


@pytest.mark.parametrize("a", [0.3, 0.7, 1.0, 2.0, -0.6])
def test_three_classes_error_rate_against_quad(a):
    problem = replace(presets.three_classes(), class_cost=np.array([[0, 1, 5.0], [2, 0, 1], [3, 0.5, 0]]))
    family = linear_denoiser(problem)
    source, cost, total = problem.source, problem.class_cost, 0.0
    edges = np.concatenate([[-30.0], np.array(family.regions.boundaries), [30.0]])
    for k, (low, high) in zip(family.regions.classes, pairwise(edges), strict=True):
        for c in range(3):

            def density(x: float, c: int = c) -> float:
                return float(source.density(np.array([x / a]), family.noise_std)[c, 0]) / abs(a)

            middle = np.linspace(low, high, 25)
            mass = sum(quad(density, *pair, epsabs=1e-13)[0] for pair in pairwise(middle))
            total += source.priors[c] * cost[c, k] * mass
    assert family.error_rate(a) == pytest.approx(total, abs=1e-11)


def test_error_rate_at_zero_and_jump():
    for threshold, expected in ((0.4, 0.3), (-0.4, 0.7), (0.0, 0.7)):  # the value at a threshold belongs to the right
        family = linear_denoiser(presets.paper_toy(threshold=threshold))
        assert family.error_rate(0.0) == pytest.approx(expected, abs=1e-15)
    # with threshold 0 every a > 0 decides alike; ties go to the least distortion
    flat = family.best(INF, INF)
    assert flat is not None and flat.a == pytest.approx(2 / 3)
    assert np.ptp(family.error_rate(np.linspace(0.01, 4, 50))) == 0
    signed = linear_denoiser(presets.paper_toy(threshold=0.0), a_range=(-2, 2))
    assert signed.best_error_rate(INF, INF) == pytest.approx(flat.error_rate, abs=1e-15)


def test_distortion_of_three_classes_by_moments():
    problem = presets.three_classes()
    family = linear_denoiser(problem)
    integrals = problem.source.cell_integrals(np.array([-INF, INF]))
    second = float(np.asarray(problem.source.priors) @ integrals.second[:, 0])
    for a in (0.0, 0.4, 1.3, -0.5):
        assert family.distortion(a) == pytest.approx((1 - a) ** 2 * second + a**2 * 0.64, abs=1e-13)


@pytest.mark.parametrize("name", PERCEPTIONS)
def test_the_family_begins_where_it_has_a_best_member(families, name):
    family = families[name]
    least = family.least_perception().perception
    levels = least + np.array([[-1e-3, 1e-3], [0.01, 0.3]])
    begins = family.begins(levels)
    assert begins.shape == levels.shape and begins[0, 0] == INF and np.all(np.isfinite(begins.ravel()[1:]))
    assert family.begins(INF) == pytest.approx(family.least_distortion().distortion, abs=1e-12)
    for level, begin in zip(levels.ravel()[1:], begins.ravel()[1:], strict=True):
        assert np.isfinite(family.best_error_rate(begin * (1 + 1e-12), level))
        assert np.isnan(family.best_error_rate(begin * (1 - 1e-9), level))


@pytest.mark.parametrize("name", ["kl", "tv", "chi2", "reverse_chi2"])
def test_best_error_rate_against_brute_force(families, name):
    family = families[name]
    a = np.linspace(0.01, 4, 400)
    error, distortion, perception = family.error_rate(a), family.distortion(a), family.perception(a)
    for d in (0.66, 0.667, 0.69, 0.75, 1.2, INF):
        for p in (0.001, 0.007, 0.02, 0.06, 0.3, INF):
            feasible = (distortion <= d) & (perception <= p)
            found = family.best(d, p)
            assert (found is None) == bool(np.isnan(family.best_error_rate(d, p)))
            if found is None:
                assert not feasible.any()
                continue
            # attained by a feasible member, hence not too low; no worse than any member of the grid, hence not too high
            assert found.distortion <= d + 1e-13 and found.perception <= p + 1e-13
            assert found.error_rate == family.best_error_rate(d, p)
            assert not feasible.any() or found.error_rate <= error[feasible].min() + 1e-13


def test_best_meets_its_constraints(toy):
    for d, p in ((0.67, 0.1), (0.7, 0.02), (0.75, 0.0063), (INF, 0.01), (0.668, INF)):
        found = toy.best(d, p)
        assert found is not None
        assert found.distortion <= d + 1e-13 and found.perception <= p + 1e-13
        assert found.error_rate == toy.best_error_rate(d, p)
    # only the perception constrains: the error falls towards a = 1/2, so its level is used up
    assert toy.best(INF, 0.1).perception == pytest.approx(0.1, abs=1e-13)


def test_blank_region_and_least_levels(toy):
    assert toy.best(0.666, INF) is None and toy.best(INF, 0.0062) is None and toy.best(-1.0, INF) is None
    assert toy.best(0.67, 0.01) is None  # each level is feasible alone
    assert toy.best(2 / 3, INF) is not None
    least = toy.least_perception()
    assert toy.best(INF, least.perception).a == pytest.approx(least.a, abs=1e-7)
    blank = toy.best_error_rate([0.67, 0.75], [[0.01], [0.4]])
    assert blank.shape == (2, 2) and np.array_equal(np.isnan(blank), [[True, False], [False, False]])


def test_lattice_is_monotone(toy):
    levels_d, levels_p = np.linspace(0.666, 0.76, 40), np.linspace(0.004, 0.42, 30)
    surface = toy.best_error_rate(levels_d, levels_p[:, None])
    filled = np.where(np.isnan(surface), INF, surface)
    with np.errstate(invalid="ignore"):
        assert not (np.diff(filled, axis=0) > 1e-13).any() and not (np.diff(filled, axis=1) > 1e-13).any()
    assert filled.min() >= toy.least_error().error_rate - 1e-15


def test_cutoff_of_the_papers_invariance(toy):
    # D = .671: the distortion alone binds from P = .0961 on, the perception below
    bound = toy.best_error_rate(0.671, INF)
    assert toy.best_error_rate(0.671, 0.0962) == pytest.approx(bound, abs=1e-14)
    assert np.isnan(toy.best_error_rate(0.671, 0.01)) or toy.best_error_rate(0.671, 0.01) > bound + 1e-6
    assert toy.best_error_rate(0.671, 0.0960) > bound + 1e-8


def test_density_integrates_to_one(toy):
    assert quad(lambda x: float(toy.density(x, -0.8)), -12, 12)[0] == pytest.approx(1, abs=1e-9)
    assert toy.density(np.zeros((2, 3)), 0.8).shape == (2, 3)
    with pytest.raises(InputError, match="other than 0"):
        toy.density(0.0, 0.0)


def test_shapes_and_scalars(toy):
    for curve in (toy.error_rate, toy.distortion, toy.perception, toy.perception_error):
        assert np.ndim(curve(0.7)) == 0 and isinstance(curve(0.7), float)
        assert curve([[0.6, 0.7, 0.8]]).shape == (1, 3)
    assert isinstance(toy.best_error_rate(0.7, 0.1), float)


TABLE = TableDegradation(np.eye(2))


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (presets.binary_conflict(), "needs a GaussianMixture source; this one is a TableSource"),
        (replace(presets.paper_toy(), degradation=TABLE), "AdditiveGaussian or Identity; this one is a TableDeg"),
        (replace(presets.paper_toy(), classifier=TableClassifier([0, 1])), "no regions on the line"),
        (replace(presets.paper_toy(), distortion="hamming"), '"hamming" has no closed form'),
    ],
)
def test_refusals_name_the_missing_piece(problem, message):
    with pytest.raises(InputError, match=message):
        linear_denoiser(problem)


def test_refused_arguments(toy):
    with pytest.raises(InputError, match="low < high"):
        linear_denoiser(presets.paper_toy(), a_range=(1.0, 1.0))
    with pytest.raises(InputError, match="a_range must be finite"):
        linear_denoiser(presets.paper_toy(), a_range=(0.0, INF))
    with pytest.raises(InputError, match="max_perception is NaN"):
        toy.best(0.7, math.nan)
    with pytest.raises(InputError, match="max_distortion has NaN"):
        toy.best_error_rate([0.7, math.nan], 0.1)
    with pytest.raises(InputError, match="must be finite"):
        toy.perception([0.5, INF])
