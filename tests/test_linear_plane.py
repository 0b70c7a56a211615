"""Linear denoisers in the plane: closed forms, the line as a special case, Monte Carlo, optima, refusals."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from cases import PERCEPTIONS
from scipy.stats import multivariate_normal, ncx2

import cdp_toy as cdp
from cdp_toy import presets
from cdp_toy.errors import InputError
from cdp_toy.linear import LinearDenoiserFamily, PlaneLinearFamily, linear_denoiser, plane_error
from cdp_toy.linear.plane_divergence import PlaneMixture, largest_divergence, plane_divergence
from cdp_toy.linear.plane_error import RuleCost
from cdp_toy.perceptions import perception_from
from cdp_toy.sources import GaussianMixture2D

INF = math.inf
catalogue = pytest.mark.parametrize("name", PERCEPTIONS)


def plane(problem: cdp.CDPProblem, family: str = "scalar", **arguments: tuple[float, float]) -> PlaneLinearFamily:
    found = linear_denoiser(problem, family=family, **arguments)
    assert isinstance(found, PlaneLinearFamily)
    return found


def gaussian(mean, covariance) -> PlaneMixture:
    return PlaneMixture(np.ones(1), np.array([mean], dtype=float), np.array([covariance], dtype=float))


#: three classes, one of them a mixture; the Bayes rule for single Gaussians has conic boundaries that meet
THREE = GaussianMixture2D(
    priors=(0.5, 0.3, 0.2),
    means=[(-1.0, 0.2), (1.0, 0.5), (0.2, -1.2)],
    covariances=[[[1.0, 0.3], [0.3, 0.7]], [[0.4, -0.2], [-0.2, 0.6]], [[0.5, 0.1], [0.1, 0.3]]],
)
MIXED = GaussianMixture2D(
    priors=(0.6, 0.4),
    means=[[(-1.2, 0.0), (0.5, 1.2)], [(0.8, -0.3)]],
    covariances=[[[0.5, 0.1], [0.1, 0.4]], [[0.6, 0.0], [0.0, 0.3]]],
    weights=[(0.7, 0.3), (1.0,)],
)
NOISE = cdp.LinearGaussian([[0.9, 0.2], [-0.1, 1.1]], [[0.5, 0.2], [0.2, 0.4]])
COST = np.array([[0.0, 1.0, 5.0], [2.0, 0.0, 1.0], [3.0, 0.5, 0.0]])

TOY = cdp.CDPProblem(
    GaussianMixture2D((0.7, 0.3), [(-1.0, -0.4), (1.0, 0.4)], [[1.0, 0.4], [0.4, 0.8]]),
    cdp.AdditiveGaussian(1.0),
    cdp.LinearClassifier((1.0, 0.25), 0.0),
)
CURVED = cdp.CDPProblem(
    GaussianMixture2D((0.6, 0.4), [(-0.6, 0.0), (0.9, 0.3)], [[[1.6, 0.3], [0.3, 1.2]], [[0.35, -0.1], [-0.1, 0.5]]]),
    cdp.LinearGaussian(np.eye(2), [[0.5, 0.2], [0.2, 0.4]]),
    cdp.BayesClassifier(),
)
LOST = cdp.CDPProblem(
    GaussianMixture2D((0.6, 0.4), [(-0.8, -0.8), (0.8, 0.8)], [[1.0, 0.6], [0.6, 1.0]]),
    cdp.drop_coordinate(1, std=0.3),
    cdp.LinearClassifier((0.5, 1.0)),
)
PROBLEMS = {
    "toy": TOY,
    "curved": CURVED,
    "off_centre": replace(TOY, classifier=cdp.LinearClassifier((1.0, 0.25), 0.4)),
    "along_an_axis": replace(TOY, classifier=cdp.LinearClassifier((0.0, -2.0), -0.3, (1, 0))),
    "three_classes": cdp.CDPProblem(THREE, NOISE, cdp.BayesClassifier()),
    "class_cost": cdp.CDPProblem(
        THREE,
        NOISE,
        cdp.QuadraticClassifier(np.zeros((3, 2, 2)), [(-1, 0), (1, 0.3), (0, -1)], (0, 0, 0.2)),
        class_cost=COST,
    ),
    "blur": cdp.CDPProblem(MIXED, cdp.blur(0.2, 0.5), cdp.LinearClassifier((1.0, -1.0), -0.2)),
}
#: rules that are probed are known to about 1e-5
SCANNED = {
    "scanned": cdp.CDPProblem(MIXED, NOISE, cdp.BayesClassifier()),
    "function": replace(CURVED, classifier=cdp.CallableClassifier(lambda x: (x[:, 0] > x[:, 1] ** 2) * 1)),
}


@pytest.fixture(scope="module")
def curved() -> PlaneLinearFamily:
    return plane(CURVED, "diagonal")


@pytest.fixture(scope="module")
def curved_scalar() -> PlaneLinearFamily:
    return plane(CURVED)


@pytest.fixture(scope="module")
def off_centre() -> PlaneLinearFamily:
    return plane(PROBLEMS["off_centre"], "diagonal")


# the line as a special case


def product_problem(perception: str = "kl") -> cdp.CDPProblem:
    """The paper's toy, and a second coordinate that is independent of everything and seen as it is."""
    return cdp.CDPProblem(
        GaussianMixture2D((0.7, 0.3), [(-1.0, 0.3), (1.0, 0.3)], [[1.0, 0.0], [0.0, 0.6]]),
        cdp.LinearGaussian(np.eye(2), [[1.0, 0.0], [0.0, 0.0]]),
        cdp.LinearClassifier((1.0, 0.0), math.log(7 / 3) / 2),
        perception=perception,
    )


@catalogue
def test_a_product_is_the_family_on_the_line(name: str) -> None:
    both = plane(product_problem(name), "diagonal")
    line = linear_denoiser(replace(presets.paper_toy(), perception=name))
    a = np.array([-0.7, 0.3, 0.62, 0.9, 1.4])
    pairs = np.stack([a, np.ones(5)], axis=-1)
    np.testing.assert_allclose(both.error_rate(pairs), line.error_rate(a), atol=1e-15)
    np.testing.assert_allclose(both.distortion(pairs), line.distortion(a), atol=1e-14)
    tolerance = 1e-4 if perception_from(name).kinked else 1e-12
    values, errors = both.perception(pairs), both.perception_error(pairs)
    np.testing.assert_allclose(values, line.perception(a), rtol=tolerance, atol=tolerance)
    finite = np.isfinite(values)
    off = np.abs(values[finite] - line.perception(a[finite]))
    assert np.all(off <= errors[finite] + 1e-13)
    assert np.array_equal(errors[~finite], np.zeros((~finite).sum()))


def test_the_line_and_the_plane_find_the_same_optimum() -> None:
    line = linear_denoiser(presets.paper_toy())
    both = plane(product_problem(), "diagonal")
    for levels in ((0.70, INF), (INF, 0.02), (0.69, 0.05)):
        one, two = line.best(*levels), both.best(*levels)
        assert one is not None and two is not None
        assert two.error_rate <= one.error_rate + 1e-9


# distortion


def test_distortion_of_an_isotropic_gaussian_by_hand() -> None:
    source = GaussianMixture2D((1.0,), [(0.5, -1.0)], 2.0)
    problem = cdp.CDPProblem(source, cdp.AdditiveGaussian(0.7), cdp.LinearClassifier((1.0, 0.0), 9.0, (0, 0)))
    scalar, diagonal = plane(problem), plane(problem, "diagonal")
    for a in (-0.5, 0.0, 0.4, 1.0, 3.0):
        expected = (1 - a) ** 2 * (2 * 2.0 + 1.25) + 2 * a**2 * 0.49
        assert scalar.distortion(a) == pytest.approx(expected, abs=1e-13)
        assert diagonal.distortion((a, a)) == pytest.approx(expected, abs=1e-13)
    assert scalar.error_rate(0.5) == 0
    least = scalar.least_distortion()
    assert least.a == pytest.approx(5.25 / (5.25 + 0.98), abs=1e-15)


def test_identity_is_perfect_at_one() -> None:
    for name in PERCEPTIONS:
        for source, classifier in ((MIXED, cdp.LinearClassifier((1.0, 0.4), 0.1)), (THREE, cdp.BayesClassifier())):
            problem = cdp.CDPProblem(source, cdp.Identity(), classifier, perception=name)
            assert plane(problem).perception(1.0) == 0 == plane(problem).distortion(1.0)
            assert plane(problem, "diagonal").perception((1.0, 1.0)) == 0
    found = plane(replace(TOY, degradation=cdp.Identity()), "diagonal").best(0.0, 0.0)
    assert found is not None and found.a == (1.0, 1.0)


def test_the_matrix_is_the_map_of_the_curves() -> None:
    family = plane(PROBLEMS["blur"], "diagonal")
    matrix, source = family.matrix((0.8, 0.5)), PROBLEMS["blur"].source
    normal = np.array([1.0, -1.0]) / math.sqrt(2)
    np.testing.assert_allclose(matrix @ normal, 0.8 * normal, atol=1e-15)
    h, noise = PROBLEMS["blur"].degradation.arrays
    second = sum(
        source.priors[g.class_index] * g.weight * (g.covariance + np.outer(g.mean, g.mean)) for g in source.components
    )
    left = np.eye(2) - matrix @ h
    expected = np.trace(left @ second @ left.T) + np.trace(matrix @ noise @ matrix.T)
    assert family.distortion((0.8, 0.5)) == pytest.approx(expected, abs=1e-14)
    np.testing.assert_array_equal(plane(PROBLEMS["blur"]).matrix(0.3), 0.3 * np.eye(2))
    assert plane(LOST, "diagonal").matrix((0.9, 0.5)).shape == (2, 1)


# error rate


def disc(radius: float) -> cdp.QuadraticClassifier:
    return cdp.QuadraticClassifier([np.zeros((2, 2)), -np.eye(2)], np.zeros((2, 2)), [0.0, radius**2])


@pytest.mark.parametrize("radius", [0.05, 0.7, 2.0, 5.0])
@pytest.mark.parametrize("mean", [(0.0, 0.0), (1.0, 0.0), (-0.3, 2.5)])
def test_a_disc_has_the_mass_of_a_chi_square(radius: float, mean: tuple[float, float]) -> None:
    problem = cdp.CDPProblem(
        GaussianMixture2D((1.0, 0.0), [mean, (9.0, 9.0)], 0.8), cdp.AdditiveGaussian(0.6), disc(radius)
    )
    for a in (0.01, 0.5, 1.0, -2.0):
        variance = a**2 * (0.8 + 0.36)
        expected = ncx2.cdf(radius**2 / variance, 2, a**2 * (mean[0] ** 2 + mean[1] ** 2) / variance)
        assert plane(problem).error_rate(a) == pytest.approx(expected, abs=2e-13)


def laws_of(problem: cdp.CDPProblem, frame: np.ndarray, pair: tuple[float, float]) -> tuple[RuleCost, list[np.ndarray]]:
    """Rule costs in a frame, and what `in_plane` takes, for the member frame' diag(pair) frame Y."""
    rule = problem.classifier.rule(problem.source, problem.class_cost)
    rule.frame = frame
    observed = problem.source.observed(np.eye(2), problem.degradation.noise_std**2 * np.eye(2))
    used = [(observed.priors[g.class_index] * g.weight, g) for g in observed.components]
    scale = np.diag(pair) @ frame
    means = np.array([scale @ g.mean for _, g in used])
    v = np.array([scale @ g.covariance @ scale.T for _, g in used])
    slopes = v[:, 0, 1] / v[:, 0, 0]
    rests = np.sqrt(v[:, 1, 1] - slopes * v[:, 0, 1])
    stakes = np.array([w * problem.class_cost[g.class_index] for w, g in used])
    return RuleCost(rule, stakes), [x[None] for x in (means[:, 0], np.sqrt(v[:, 0, 0]), means[:, 1], slopes, rests)]


@pytest.mark.parametrize("name", ["toy", "off_centre", "along_an_axis"])
@pytest.mark.parametrize("angle", [0.0, 0.3, 2.0])
def test_both_routes_agree_on_straight_boundaries(name: str, angle: float) -> None:
    problem, turn = PROBLEMS[name], np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    for a in (0.02, 0.8, 1.7):
        cost, laws = laws_of(problem, turn, (a, a))
        assert cost.in_plane(*laws)[0] == pytest.approx(plane(problem).error_rate(a), abs=1e-12)


def test_panels_need_not_be_finer(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = np.random.default_rng(5).uniform(-2, 2, (40, 2))
    names = ("curved", "three_classes", "class_cost")
    before = [plane(PROBLEMS[name], "diagonal").error_rate(pairs) for name in names]
    monkeypatch.setattr(plane_error, "ACCURACY", 1e-13)
    monkeypatch.setattr(plane_error, "PANELS", 20)
    monkeypatch.setattr(plane_error, "KINK", 1e-9)
    for name, values in zip(names, before, strict=True):
        np.testing.assert_allclose(values, plane(PROBLEMS[name], "diagonal").error_rate(pairs), atol=1e-12)


@pytest.mark.parametrize("name", [*PROBLEMS, *SCANNED])
def test_error_and_distortion_against_draws(name: str) -> None:
    problem = {**PROBLEMS, **SCANNED}[name]
    rng, size = np.random.default_rng(11), 400_000
    classes, x = problem.source.sample(size, rng)
    y = problem.degradation.sample(x, rng)
    rule = problem.classifier.rule(problem.source, problem.class_cost)
    scalar, diagonal = plane(problem), plane(problem, "diagonal")
    members = [(scalar, a) for a in (0.7, -0.4)]
    members += [(diagonal, pair) for pair in ((0.8, 0.3), (1.5, 0.9), (-0.5, 0.7), (0.9, 0.0), (0.0, 1.1), (0.0, 0.0))]
    for family, a in members:
        drawn = y @ family.matrix(a).T
        # a coordinate that is 0 with certainty must not be rounded to either side of a boundary
        drawn[np.abs(drawn) < 1e-13] = 0.0
        cost = problem.class_cost[classes, rule.at(drawn)]
        if not (name == "toy" and a == (0.0, 1.1)):  # Xhat on the boundary itself; see below
            assert abs(family.error_rate(a) - cost.mean()) <= 5 * cost.std() / math.sqrt(size) + 1e-12, a
        square = ((x - drawn) ** 2).sum(axis=1)
        assert abs(family.distortion(a) - square.mean()) <= 5 * square.std() / math.sqrt(size), a


def test_a_law_on_the_boundary_is_of_the_class_of_the_rule() -> None:
    for classes, expected in (((0, 1), 0.7), ((1, 0), 0.3)):  # the value at a threshold belongs to the second class
        toy = replace(TOY, classifier=cdp.LinearClassifier((1.0, 0.25), 0.0, classes))
        values = plane(toy, "diagonal").error_rate([(0.0, 1.1), (0.0, 0.0)])
        np.testing.assert_allclose(values, expected, atol=1e-15)
        assert plane(toy).error_rate(0.0) == pytest.approx(expected, abs=1e-15)
    lost = plane(replace(LOST, classifier=cdp.LinearClassifier((0.5, 1.0))), "diagonal")
    assert lost.error_rate((2.0, -1.0)) == lost.error_rate((0.0, 0.0)) == pytest.approx(0.6, abs=1e-15)
    # with the threshold elsewhere the origin lies on one side
    assert plane(PROBLEMS["off_centre"], "diagonal").error_rate((0.0, 5.0)) == pytest.approx(0.3, abs=1e-15)


def test_singular_members_are_limits(curved: PlaneLinearFamily) -> None:
    # within its width of the line, a nearly singular law has the error of the singular one
    for thin, flat in (((0.8, 1e-7), (0.8, 0.0)), ((1e-7, 0.9), (0.0, 0.9))):
        assert curved.error_rate(thin) == pytest.approx(curved.error_rate(flat), abs=1e-6)


def test_probed_rules_are_close_to_the_exact_ones() -> None:
    problem = CURVED
    rule = problem.classifier.rule(problem.source, problem.class_cost)
    probed = plane(replace(problem, classifier=cdp.CallableClassifier(rule.at)), "diagonal")
    pairs = [(0.8, 0.8), (0.3, 1.2), (-0.9, 0.5), (2.0, 2.0), (0.7, 0.0)]
    np.testing.assert_allclose(probed.error_rate(pairs), plane(problem, "diagonal").error_rate(pairs), atol=2e-4)


def test_inpainting_lies_on_a_line() -> None:
    for classifier in (cdp.LinearClassifier((0.5, 1.0), 0.2), disc(0.9)):
        problem = replace(LOST, classifier=classifier)
        family = plane(problem, "diagonal")
        rng, size = np.random.default_rng(3), 400_000
        classes, x = problem.source.sample(size, rng)
        y = problem.degradation.sample(x, rng)
        for pair in ((0.9, 0.6), (1.5, -0.3), (0.0, 0.8), (0.0, 0.0)):
            drawn = y[:, None] * np.array(pair)
            wrong = classifier.rule(problem.source, problem.class_cost).at(drawn) != classes
            assert abs(family.error_rate(pair) - wrong.mean()) <= 5 * math.sqrt(0.25 / size)
            square = ((x - drawn) ** 2).sum(axis=1)
            assert abs(family.distortion(pair) - square.mean()) <= 5 * square.std() / math.sqrt(size)


# perception


def kl(p_mean, p, q_mean, q) -> float:
    inverse, away = np.linalg.inv(q), np.subtract(q_mean, p_mean)
    return 0.5 * float(
        np.trace(inverse @ p) + away @ inverse @ away - 2 + math.log(np.linalg.det(q) / np.linalg.det(p))
    )


def test_kl_of_gaussians_in_closed_form() -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        roots = rng.normal(size=(2, 2, 2)) * 10 ** rng.uniform(-2, 1, (2, 1, 1))
        p, q = (root @ root.T + 0.02 * np.eye(2) * np.abs(root).max() ** 2 for root in roots)
        means = rng.normal(size=(2, 2))
        laws = gaussian(means[0], p), gaussian(means[1], q)
        for name, expected in (("kl", kl(means[0], p, means[1], q)), ("reverse_kl", kl(means[1], q, means[0], p))):
            found = plane_divergence(perception_from(name), *laws)
            assert found.value == pytest.approx(expected, rel=1e-12, abs=1e-12)
            assert abs(found.value - expected) <= 4 * found.error + 1e-14 * expected  # which is rounded, too


def test_other_divergences_of_gaussians_in_closed_form() -> None:
    mean = np.array([0.7, -0.4])
    p, q = np.array([[1.0, 0.3], [0.3, 0.6]]), np.array([[0.9, -0.1], [-0.1, 0.8]])
    middle = (p + q) / 2
    overlap = (np.linalg.det(p) * np.linalg.det(q)) ** 0.25 / math.sqrt(np.linalg.det(middle))
    overlap *= math.exp(-float(mean @ np.linalg.solve(middle, mean)) / 8)
    # integral of p^2 / q: both at once, centred at the mean of p
    form = 2 * np.linalg.inv(p) - np.linalg.inv(q)
    pull = -np.linalg.solve(q, mean)
    chi2 = math.exp(0.5 * float(mean @ np.linalg.solve(q, mean) + pull @ np.linalg.solve(form, pull)))
    chi2 *= math.sqrt(np.linalg.det(q) / np.linalg.det(form)) / np.linalg.det(p)
    laws = gaussian((0.0, 0.0), p), gaussian(mean, q)
    for name, expected in (("hellinger_squared", 1 - overlap), ("chi2", chi2 - 1)):
        assert plane_divergence(perception_from(name), *laws).value == pytest.approx(expected, abs=1e-13)
    assert plane_divergence(perception_from("reverse_chi2"), *laws[::-1]).value == pytest.approx(chi2 - 1, abs=1e-13)
    shifted = plane_divergence(perception_from("tv"), gaussian((0.0, 0.0), p), gaussian(mean, p))
    expected = math.erf(math.sqrt(float(mean @ np.linalg.solve(p, mean)) / 8))
    assert shifted.value == pytest.approx(expected, abs=1e-4)
    assert abs(shifted.value - expected) <= shifted.error <= 1e-3


def test_the_density_of_a_mixture() -> None:
    law = PlaneMixture(
        np.array([0.3, 0.7]), np.array([(0.0, 1.0), (2.0, -1.0)]), np.array([np.eye(2), [[2, 0.5], [0.5, 1]]])
    )
    x = np.random.default_rng(0).normal(size=(50, 2))
    expected = sum(
        w * multivariate_normal(m, v).pdf(x) for w, m, v in zip(law.weights, law.means, law.covariances, strict=True)
    )
    np.testing.assert_allclose(np.exp(law.log_density(x)), expected, rtol=1e-13)
    assert law.log_density(np.array([[400.0, 0.0]]))[0] < -4e4  # far below the least double


@pytest.mark.parametrize("name", [name for name in PERCEPTIONS if perception_from(name).tail_powers])
def test_integrals_diverge_by_direction(name: str) -> None:
    divergence = perception_from(name)
    limit = -min(divergence.tail_powers) / max(divergence.tail_powers)  # variance at which the first axis diverges
    dividing, divided = np.diag([1.1 * limit, 2.0]), np.eye(2)

    def value(wide: np.ndarray, narrow: np.ndarray, turn: float = 0.4) -> float:
        c = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
        above, below = gaussian((0.01, 0.0), c @ wide @ c.T), gaussian((0.0, 0.0), c @ narrow @ c.T)
        p, q = (above, below) if divergence.tail_powers[0] > 0 else (below, above)
        return plane_divergence(divergence, p, q).value

    assert math.isfinite(value(divided, dividing))
    assert value(divided, np.diag([0.9 * limit, 2.0])) == INF
    assert value(divided, np.diag([limit, 2.0])) == INF  # equality included
    # two Gaussians that divide cover all directions together, neither does alone
    above = gaussian((0.0, 0.0), np.eye(2))
    one, other = np.diag([0.6 * limit, 3.0]), np.diag([3.0, 0.6 * limit])
    both = PlaneMixture(np.array([0.5, 0.5]), np.zeros((2, 2)), np.array([one, other]))
    for below, finite in ((both, True), (gaussian((0.0, 0.0), one), False)):
        p, q = (above, below) if divergence.tail_powers[0] > 0 else (below, above)
        found = plane_divergence(divergence, p, q)
        assert math.isfinite(found.value) == finite
        if finite:  # the plain sum over a wide fine lattice
            grid = np.arange(-16, 16, 0.03)
            x = np.stack(np.meshgrid(grid, grid, indexing="ij"), axis=-1).reshape(-1, 2)
            plain = divergence.log_integrand(p.log_density(x), q.log_density(x)).sum() * 0.03**2
            assert found.value == pytest.approx(divergence.of_sum(plain), rel=1e-10)


def test_singular_laws_have_the_largest_value() -> None:
    for name in PERCEPTIONS:
        divergence = perception_from(name)
        family = plane(replace(TOY, perception=name), "diagonal")
        values = family.perception([(0.0, 0.8), (0.8, 0.0), (0.0, 0.0)])
        assert np.all(values == largest_divergence(divergence))
        near = family.perception((1e-6, 0.8))
        assert near <= values[0]
        lost = plane(replace(LOST, perception=name), "diagonal")
        assert lost.perception((0.9, 0.6)) == largest_divergence(divergence) and lost.perception_error((1, 1)) == 0


@catalogue
def test_extreme_members(name: str) -> None:
    family = plane(replace(CURVED, perception=name), "diagonal")
    pairs = [(1e-12, 1.0), (1.0, 1e-12), (1e-12, 1e-12), (1e3, 1.0), (1e3, 1e3), (-0.5, 1e-3)]
    values = family.perception(pairs)
    assert not np.isnan(values).any() and np.all(values >= 0)
    assert not np.isnan(family.perception_error(pairs)).any()


# optima

LEVELS_D, LEVELS_P = (0.66, 0.668, 0.69, INF), (0.02, 0.0276, 0.04, 0.1, INF)


def test_best_error_rate_is_monotone(curved: PlaneLinearFamily) -> None:
    surface = curved.best_error_rate(np.array(LEVELS_D), np.array(LEVELS_P)[:, None])
    filled = np.where(np.isnan(surface), INF, surface)
    with np.errstate(invalid="ignore"):
        assert not (np.diff(filled, axis=0) > 0).any() and not (np.diff(filled, axis=1) > 0).any()
    assert np.isnan(surface[:, 0]).all() and np.isnan(surface[0]).all() and np.isfinite(surface[-1, -1])


@pytest.mark.parametrize("d", LEVELS_D)
@pytest.mark.parametrize("p", LEVELS_P)
def test_best_is_feasible_and_beats_what_it_contains(
    curved: PlaneLinearFamily, curved_scalar: PlaneLinearFamily, d: float, p: float
) -> None:
    found, scalar = curved.best(d, p), curved_scalar.best(d, p)
    table = curved._search.values
    feasible = (table[:, 1] <= d) & (table[:, 2] <= p)
    if found is None:
        assert scalar is None and not feasible.any()
        return
    assert curved.distortion(found.a) <= d + 1e-12 and curved.perception(found.a) <= p + 1e-12
    assert curved.error_rate(found.a) == pytest.approx(found.error_rate, abs=1e-14)
    assert curved.best_error_rate(d, p) == found.error_rate
    assert not feasible.any() or found.error_rate <= table[feasible, 0].min()
    if scalar is not None:
        assert scalar.distortion <= d + 1e-12 and scalar.perception <= p + 1e-12
        assert found.error_rate <= scalar.error_rate + 1e-14


def test_scalar_best_against_brute_force(curved_scalar: PlaneLinearFamily) -> None:
    a = np.linspace(0.5, 1.2, 400)
    error, distortion, perception = (
        curve(a) for curve in (curved_scalar.error_rate, curved_scalar.distortion, curved_scalar.perception)
    )
    for d in LEVELS_D:
        for p in LEVELS_P:
            feasible = (distortion <= d) & (perception <= p)
            found = curved_scalar.best(d, p)
            if found is None:
                assert not feasible.any() and np.isnan(curved_scalar.best_error_rate(d, p))
            else:
                assert not feasible.any() or found.error_rate <= error[feasible].min() + 1e-13


def test_diagonal_best_against_a_fine_lattice(off_centre: PlaneLinearFamily) -> None:
    axis = np.linspace(0.4, 1.0, 41)
    pairs = np.stack(np.meshgrid(axis, axis, indexing="ij"), axis=-1)
    error, distortion, perception = (
        curve(pairs) for curve in (off_centre.error_rate, off_centre.distortion, off_centre.perception)
    )
    for d, p in ((1.12, INF), (1.13, 0.15), (1.2, 0.05), (INF, 0.04)):
        found = off_centre.best(d, p)
        assert found is not None
        assert found.error_rate <= error[(distortion <= d) & (perception <= p)].min()
        assert found.distortion <= d + 1e-12 and found.perception <= p + 1e-12


def test_least_members(curved: PlaneLinearFamily, curved_scalar: PlaneLinearFamily) -> None:
    rng = np.random.default_rng(4)
    for which, curve in (
        ("distortion", curved.distortion),
        ("perception", curved.perception),
        ("error_rate", curved.error_rate),
    ):
        least, scalar = (
            getattr(family, "least_error" if which == "error_rate" else f"least_{which}")()
            for family in (curved, curved_scalar)
        )
        value = getattr(least, which)
        assert value <= getattr(scalar, which)
        around = np.array(least.a) + 1e-3 * rng.normal(size=(30, 2))
        assert value <= np.min(curve(around)) + 1e-13
        assert value <= np.min(curve(rng.uniform(0, 2, (100, 2))))


def test_flat_errors_are_settled_by_the_distortion(off_centre: PlaneLinearFamily) -> None:
    # with the threshold 0 every member with a1 > 0 decides alike, and no linear denoiser trades error for anything
    toy = plane(TOY, "diagonal")
    assert np.ptp(toy.error_rate([(0.01, 1.0), (0.8, 0.3), (2.0, -1.0)])) <= 1e-15
    least = toy.least_distortion()
    for found in (toy.best(INF, INF), toy.best(least.distortion, INF)):
        assert found is not None and found.a == least.a
    assert toy.best(least.distortion - 1e-9, INF) is None
    found = toy.best(INF, 0.05)
    assert found is not None and found.perception == pytest.approx(0.05, abs=1e-9)
    pairs = toy._search.pairs[toy._search.values[:, 2] <= 0.05]
    assert found.distortion <= toy.distortion(pairs).min()
    # elsewhere the error is a matter of a1, and a2 is free
    least = off_centre.least_error()
    assert least.a == pytest.approx((plane(PROBLEMS["off_centre"]).least_error().a, off_centre.least_distortion().a[1]))


@pytest.mark.parametrize("name", ["tv", "chi2", "reverse_chi2"])
def test_other_perceptions_have_optima(name: str) -> None:
    family = plane(replace(PROBLEMS["off_centre"], perception=name), "diagonal")
    least = family.least_perception()
    level = 1.2 * least.perception
    found = family.best(1.25, level)
    assert found is not None and found.distortion <= 1.25 + 1e-12
    assert family.perception(found.a) <= level + 1e-12
    assert name == "tv" or family.best(1.25, 0.5 * least.perception) is None


def test_presets() -> None:
    for name in ("plane_toy", "plane_curved"):
        family = plane(getattr(presets, name)())
        best = family.best(INF, 0.1)
        assert best is not None and best.perception <= 0.1 + 1e-12
        assert isinstance(best.a, float)


def test_inpainting_cannot_be_natural() -> None:
    family = plane(presets.inpainting(), "diagonal")
    assert np.all(np.isinf(family.perception([(0.9, 0.6), (0.0, 0.0)])))
    surface = family.best_error_rate([0.8, 0.85, INF], [[100.0], [INF]])
    assert np.isnan(surface[0]).all()  # the law of Xhat is singular for every member
    assert np.isnan(surface[1, 0]) and np.all(np.isfinite(surface[1, 1:]))
    assert family.best(INF, 1.0) is None
    bounded = plane(replace(presets.inpainting(), perception="tv"), "diagonal")
    assert bounded.best(INF, 0.99) is None and bounded.best(INF, 1.0) is not None


# what comes in and goes out


def test_shapes_and_scalars(curved: PlaneLinearFamily, curved_scalar: PlaneLinearFamily) -> None:
    for name in ("error_rate", "distortion", "perception", "perception_error"):
        one, two = getattr(curved_scalar, name), getattr(curved, name)
        assert isinstance(one(0.7), float) and isinstance(two((0.7, 0.6)), float)
        assert one([[0.6, 0.7, 0.8]]).shape == (1, 3)
        assert two(np.full((3, 4, 2), 0.8)).shape == (3, 4)
        assert two((0.7, 0.7)) == pytest.approx(one(0.7), abs=1e-13)
    assert isinstance(curved.best_error_rate(0.5, 0.1), float)


def test_one_entry_serves_line_and_plane() -> None:
    line = linear_denoiser(presets.paper_toy())
    assert isinstance(line, LinearDenoiserFamily) and line.a_range == (0.0, 4.0)
    assert linear_denoiser(presets.paper_toy(), (0, 1)).a_range == (0.0, 1.0)
    assert linear_denoiser(presets.plane_toy()).a_range == (0.0, 2.0)
    assert linear_denoiser(presets.plane_toy(), (0, 1), family="diagonal").a_range == (0.0, 1.0)
    assert cdp.linear_denoiser is linear_denoiser


@pytest.mark.parametrize(
    ("problem", "message"),
    [
        (
            cdp.CDPProblem(
                cdp.IndependentPair(
                    cdp.GaussianMixture((0.5, 0.5), (-1.0, 1.0)), cdp.GaussianMixture((0.5, 0.5), (0.0, 0.0))
                ),
                cdp.AdditiveGaussian(1.0),
                cdp.LinearClassifier((1.0, 0.0)),
            ),
            "need a GaussianMixture2D source; this one is a IndependentPair",
        ),
        (replace(presets.plane_toy(), degradation=cdp.Erasure(0.3)), "LinearGaussian; this one is a Erasure"),
        (replace(presets.plane_toy(), classifier=cdp.ThresholdClassifier(0.0)), "ThresholdClassifier does not fit"),
        (replace(presets.plane_toy(), classifier=cdp.TableClassifier([0, 1])), "use LinearClassifier in the plane"),
        (replace(presets.plane_toy(), distortion="absolute_error"), '"absolute_error" has no closed form'),
        (replace(presets.plane_toy(), degradation=cdp.LinearGaussian([[1, 0], [1, 0]], 0.0)), "covariance is singular"),
        (presets.inpainting(), 'use family="diagonal"'),
    ],
)
def test_refusals_name_the_missing_piece(problem: cdp.CDPProblem, message: str) -> None:
    with pytest.raises(InputError, match=message):
        linear_denoiser(problem)


def test_refused_arguments(curved: PlaneLinearFamily) -> None:
    toy = presets.plane_toy()
    with pytest.raises(InputError, match="unknown family of linear denoisers 'diagnal'; did you mean 'diagonal'"):
        linear_denoiser(toy, family="diagnal")
    with pytest.raises(InputError, match="unknown family"):
        linear_denoiser(presets.paper_toy(), family="both")
    with pytest.raises(InputError, match='on the line use family="scalar"'):
        linear_denoiser(presets.paper_toy(), family="diagonal")
    with pytest.raises(InputError, match="a family is given as family='diagonal'"):
        linear_denoiser(toy, "diagonal")  # type: ignore[arg-type]
    for a_range in ((1.0, 1.0), (2.0, 0.0), (0.0, 1.0, 2.0)):
        with pytest.raises(InputError, match="low < high"):
            linear_denoiser(toy, a_range)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="a_range must be finite"):
        linear_denoiser(toy, (0.0, INF))
    with pytest.raises(InputError, match=r"takes pairs \(a1, a2\), an array of shape \(..., 2\)"):
        curved.error_rate(0.5)
    with pytest.raises(InputError, match=r"a has shape \(3,\)"):
        curved.perception([0.1, 0.2, 0.3])
    with pytest.raises(InputError, match="a must be finite"):
        curved.distortion((0.5, INF))
    with pytest.raises(InputError, match="one member at a time"):
        curved.matrix(np.ones((4, 2)))
    with pytest.raises(InputError, match="max_perception is NaN"):
        curved.best(0.7, math.nan)
    with pytest.raises(InputError, match="max_distortion has NaN"):
        curved.best_error_rate([0.7, math.nan], 0.1)
    with pytest.raises(InputError, match="needs a CDPProblem, got int"):
        PlaneLinearFamily(3)  # type: ignore[arg-type]
