"""The plane: rectangle moments, class shares, separable problems against the line, grids and what they refuse."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.integrate import dblquad, quad
from scipy.stats import multivariate_normal, ncx2, norm

import cdp_toy as cdp
from cdp_toy.cells import ErasedOr, LetterCells, LineCells, PlaneCells
from cdp_toy.fractions import class_fractions
from cdp_toy.plane_normal import rectangle_moments

INF = math.inf
EDGES = (np.array([-INF, -1.2, 0.1, 0.9, INF]), np.array([-INF, -0.4, 1.1, INF]))


def refused(message: str) -> pytest.RaisesExc:
    return pytest.raises(cdp.InputError, match=re.escape(message))


# the bivariate normal


@pytest.mark.parametrize("correlation", [0.0, 1e-9, 0.5, -0.8, 0.99, -0.9999])
def test_rectangle_moments_agree_with_quadrature(correlation: float) -> None:
    mean, std = np.array([0.3, -0.2]), np.array([0.8, 1.3])
    covariance = np.array([[1.0, correlation], [correlation, 1.0]]) * np.outer(std, std)
    found = rectangle_moments(mean, covariance, EDGES)
    rest = std[1] * math.sqrt(1 - correlation**2)
    first = norm(mean[0], std[0])
    for i in range(4):
        for j in range(3):
            low, high = np.clip(EDGES[0][i : i + 2], -9, 9)

            def across(x: float, power: int, j: int = j) -> float:
                """Integral over the second coordinate of (y - mean)^power given the first, by quad."""
                middle = mean[1] + correlation * std[1] / std[0] * (x - mean[0])
                a, b = np.clip(EDGES[1][j : j + 2], middle - 9 * rest, middle + 9 * rest)
                law = norm(middle, rest)
                return (
                    quad(lambda y: law.pdf(y) * (y - mean[1]) ** power, a, b, epsabs=1e-12)[0]
                    if power
                    else float(law.cdf(b) - law.cdf(a))
                )

            kinks = [mean[0] + (e - mean[1]) * std[0] / std[1] / correlation for e in EDGES[1][1:3] if correlation]
            inside = [k for k in kinks if low < k < high] or None
            mass, _ = quad(lambda x: first.pdf(x) * across(x, 0), low, high, points=inside, epsabs=1e-13, limit=200)
            assert_allclose(found.mass[i, j], mass, rtol=1e-9, atol=1e-12)
            if abs(correlation) <= 0.8 and correlation:
                cross, _ = quad(
                    lambda x: first.pdf(x) * (x - mean[0]) * across(x, 1), low, high, epsabs=1e-11, limit=200
                )
                assert_allclose(found.second[i, j, 0, 1], cross, rtol=1e-7, atol=1e-9)
    assert_allclose(found.mass.sum(), 1.0, rtol=1e-14)
    assert_allclose(found.first.sum(axis=(0, 1)), 0.0, atol=1e-15)
    assert_allclose(found.second.sum(axis=(0, 1)), covariance, rtol=1e-13, atol=1e-15)


def test_rectangle_masses_agree_with_scipys_distribution() -> None:
    mean, covariance = np.array([0.2, 0.1]), np.array([[1.0, 0.6], [0.6, 2.0]])
    cdf = np.cumsum(np.cumsum(rectangle_moments(mean, covariance, EDGES).mass, axis=0), axis=1)
    for i, a in enumerate(EDGES[0][1:-1]):
        for j, b in enumerate(EDGES[1][1:-1]):
            assert_allclose(cdf[i, j], multivariate_normal(mean, covariance).cdf([a, b]), atol=1e-7)


def test_far_corners_are_accurate_in_relative_terms() -> None:
    covariance = np.array([[1.0, 0.5], [0.5, 1.0]])
    edges = (np.array([5.0, 6.0]), np.array([-INF, -4.0]))
    density = multivariate_normal([0, 0], covariance).pdf
    expected = dblquad(lambda y, x: density([x, y]), 5, 6, -12, -4, epsabs=0, epsrel=1e-10)[0]
    found = rectangle_moments(np.zeros(2), covariance, edges).mass[0, 0]
    assert 0 < found < 1e-20
    assert_allclose(found, expected, rtol=1e-9)


# classes in cells


def test_shares_of_a_half_plane_are_closed_forms() -> None:
    """One Gaussian, one oblique line, a grid along the axes: sums over cells are probabilities on a half-plane."""
    source = cdp.GaussianMixture2D((1.0, 0.0), [(0.3, -0.2), (0.0, 0.0)], [[1.0, 0.3], [0.3, 0.6]])
    classifier = cdp.QuadraticClassifier(np.zeros((2, 2, 2)), [[0.0, 0.0], [1.0, 0.7]], [0.0, -0.4])
    cells = PlaneCells.from_edges(EDGES, np.eye(2))
    rule = classifier.rule(source, None)
    rule.frame, rule.marks = np.eye(2), ((), ())  # keep the grid along the axes, so that cells are cut
    found = class_fractions(source, cells, rule, 2)
    mass = source.cell_integrals(EDGES, np.eye(2), np.zeros((2, 2)), source.mean).mass[0]
    normal = np.array([1.0, 0.7])
    std = math.sqrt(normal @ np.array([[1.0, 0.3], [0.3, 0.6]]) @ normal)
    assert_allclose(mass @ found.share[:, 1], norm.sf(0.4, normal @ source.mean, std), rtol=1e-13)
    assert found.error < 1e-12
    assert np.any((found.share > 0) & (found.share < 1))


def test_shares_of_a_disc_are_those_of_the_chi_square_law() -> None:
    source = cdp.GaussianMixture2D((0.5, 0.5), [(0.0, 0.0), (0.0, 0.0)], 1.0)
    disc = cdp.QuadraticClassifier([np.zeros((2, 2)), -np.eye(2)], np.zeros((2, 2)), [0.0, 1.7**2])
    grid = cdp.CDPProblem(source, cdp.Identity(), disc).discretize(n=7)
    assert_allclose(grid.p_x @ grid.error_cost.decision[:, 1], 1 - math.exp(-(1.7**2) / 2), rtol=1e-13)
    assert grid.integration_error < 1e-12


@pytest.mark.parametrize(
    ("radius", "n", "centre"),
    [(0.01, 4, (-0.142, 0.053)), (0.2, 4, (-0.301, 0.671)), (0.05, 4, (0.549, 0.056)), (1.3, 7, (0.5, 0.2))],
)
def test_small_regions_between_the_nodes_of_a_rule_are_found(
    radius: float, n: int, centre: tuple[float, float]
) -> None:
    source, c = cdp.GaussianMixture2D((0.5, 0.5), [(0.0, 0.0), (0.0, 0.0)], 1.0), np.array(centre)
    disc = cdp.QuadraticClassifier(
        [np.zeros((2, 2)), -np.eye(2)], np.array([[0.0, 0.0], 2 * c]), [0.0, radius**2 - c @ c]
    )
    grid = cdp.CDPProblem(source, cdp.Identity(), disc).discretize(n=n)
    assert_allclose(grid.p_x @ grid.error_cost.decision[:, 1], ncx2(2, c @ c).cdf(radius**2), rtol=1e-10)
    assert grid.integration_error < 1e-12


def test_a_narrow_component_is_not_missed() -> None:
    source = cdp.GaussianMixture2D((0.5, 0.5), [(0.111, 0.057), (2.3, 2.0)], [1e-6 * np.eye(2), np.eye(2)])
    problem = cdp.CDPProblem(source, cdp.AdditiveGaussian(0.3), cdp.BayesClassifier(), perception="tv")
    point = cdp.solve(problem.discretize(n=6), max_perception=0.02)
    rng = np.random.default_rng(0)
    labels, x = source.sample(200_000, rng)
    restored = point.sample(problem.degradation.sample(x, rng), rng)
    wrong = problem.classifier.decide(source, None, restored) != labels
    assert abs(wrong.mean() - point.error_rate) <= 3 * wrong.std() / math.sqrt(len(labels))
    line = cdp.GaussianMixture((0.5, 0.5), (0.0, 0.1234), (1.0, 1e-4))
    assert len(cdp.BayesClassifier().regions(line, None).boundaries) == 2


@pytest.mark.parametrize("shift", [0.0, 1e3, 1e5])
def test_a_curved_boundary_far_from_the_origin_is_the_same_one(shift: float) -> None:
    def share(at: float) -> float:
        source = cdp.GaussianMixture2D((0.5, 0.5), [(at, at), (at + 1, at + 1)], [np.eye(2), 0.3 * np.eye(2)])
        grid = cdp.CDPProblem(source, cdp.AdditiveGaussian(0.5), cdp.BayesClassifier()).discretize(n=6)
        assert grid.integration_error < 1e-10
        return float(grid.p_x @ grid.error_cost.decision[:, 1])

    assert share(shift) == pytest.approx(share(0.0), abs=1e-11)


@pytest.mark.parametrize("rest", [1e-3, 1e-6, 1e-10])
def test_correlations_near_one_keep_their_moments(rest: float) -> None:
    rho = 1 - rest
    source = cdp.GaussianMixture2D((0.6, 0.4), [(-1.0, 0.0), (1.0, 0.5)], [[1.0, rho], [rho, 1.0]])
    grid = cdp.CDPProblem(source, cdp.Identity(), cdp.LinearClassifier((1.0, 0.0))).discretize(n=8)
    assert_allclose(grid.p_x @ grid.x_values, source.mean, atol=1e-13)
    second = 2.0 + 0.6 * 1.0 + 0.4 * 1.25
    kept = grid.p_x @ ((grid.x_values**2).sum(axis=1) + grid.distortion_cost.variance_x)
    assert_allclose(kept, second, rtol=1e-12)
    half = (np.array([-INF, 0.0, INF]),) * 2
    assert_allclose(
        rectangle_moments(np.zeros(2), np.array([[1.0, rho], [rho, 1.0]]), half).mass[0, 0],
        0.25 + math.asin(rho) / (2 * math.pi),
        rtol=1e-13,
    )


@settings(deadline=None, derandomize=True, max_examples=25)
@given(seed=st.integers(0, 10_000), n_scores=st.integers(2, 4))
def test_slices_tell_what_the_rule_says_at_points(seed: int, n_scores: int) -> None:
    rng = np.random.default_rng(seed)
    matrices = rng.normal(size=(n_scores, 2, 2)) * (rng.random(n_scores) < 0.7)[:, None, None]
    rule = cdp.QuadraticClassifier(matrices, rng.normal(size=(n_scores, 2)), rng.normal(size=n_scores)).rule(None, None)
    angle = rng.uniform(0, math.pi)
    frame = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    t, s = rng.normal(size=40) * 2, rng.normal(size=(40, 30)) * 3
    boundaries, classes = rule.slices(frame, t)
    place = (s[:, :, None] > boundaries[:, None, :]).sum(axis=2)
    points = t[:, None, None] * frame[0] + s[..., None] * frame[1]
    assert np.mean(np.take_along_axis(classes, place, axis=1) == rule.at(points)) == 1.0


def test_scanned_slices_agree_with_closed_forms() -> None:
    source = cdp.presets.plane_curved().source
    exact = cdp.BayesClassifier().rule(source, None)
    scanned = cdp.CallableClassifier(exact.at).rule(source, None)
    t = np.linspace(-2, 2, 9)
    (b1, c1), (b2, c2) = exact.slices(np.eye(2), t), scanned.slices(np.eye(2), t)
    for row in range(len(t)):
        finite = b1[row][np.isfinite(b1[row])]
        assert_allclose(b2[row][: len(finite)], finite, atol=1e-13)
        assert c2[row][: len(finite) + 1].tolist() == c1[row][: len(finite) + 1].tolist()


def test_a_scanned_classifier_gives_nearly_the_shares_of_the_closed_form() -> None:
    model = cdp.presets.plane_curved()
    exact = model.discretize(n=7)
    rule = model.classifier.rule(model.source, None)
    scanned = cdp.CDPProblem(model.source, model.degradation, cdp.CallableClassifier(rule.at)).discretize(n=7)
    gap = np.abs(exact.p_x[:, None] * (exact.error_cost.decision - scanned.error_cost.decision)).max()
    assert gap < 1e-6
    assert exact.continuous_bound and not scanned.continuous_bound


def test_the_bayes_rule_of_equal_covariances_is_a_line_and_its_grid_has_no_cut_cell() -> None:
    model = cdp.presets.plane_toy()
    problem = cdp.CDPProblem(model.source, model.degradation, cdp.BayesClassifier())
    grid = problem.discretize(n=8)
    assert set(np.unique(grid.error_cost.decision)) == {0.0, 1.0}
    frame = grid.grid.x_cells.frame
    assert_allclose(frame @ frame.T, np.eye(2), atol=1e-15)
    assert not np.allclose(frame, np.eye(2))
    # the Bayes line of Y is an edge as well, so that the floor is the Bayes error of Y on every grid
    finer = problem.discretize(n=13)
    assert grid.error_floor == pytest.approx(finer.error_floor, abs=1e-13)
    rng = np.random.default_rng(0)
    labels, x = model.source.sample(400_000, rng)
    law = model.source.observed(np.eye(2), np.eye(2))
    decided = cdp.BayesClassifier().decide(law, None, model.degradation.sample(x, rng))
    wrong = decided != labels
    assert abs(wrong.mean() - grid.error_floor) <= 4 * wrong.std() / math.sqrt(len(labels))


def test_bayes_with_class_cost_in_the_plane() -> None:
    """Costs move the line between two classes; three classes with costs are scanned."""
    source = cdp.GaussianMixture2D((0.5, 0.5), [(-1.0, 0.0), (1.0, 0.0)], 1.0)
    cost = np.array([[0.0, 1.0], [5.0, 0.0]])
    rule = cdp.BayesClassifier().rule(source, cost)
    assert rule.marks[0][0] == pytest.approx(-math.log(5) / 2, abs=1e-14)
    always = cdp.BayesClassifier().rule(source, np.array([[0.0, 1.0], [0.0, 1.0]]))
    assert set(always.at(np.random.default_rng(0).normal(size=(50, 2))).tolist()) == {0}


# separable problems


SOURCE_1 = cdp.GaussianMixture((0.7, 0.3), (-1.0, 1.0))
SOURCE_2D = cdp.GaussianMixture2D((0.7, 0.3), [(-1.0, 0.4), (1.0, 0.4)], [[1.0, 0.0], [0.0, 0.5]])
LINE = cdp.CDPProblem(SOURCE_1, cdp.AdditiveGaussian(1.0), cdp.ThresholdClassifier(0.0))


def plane(second_noise: float) -> cdp.CDPProblem:
    return cdp.CDPProblem(
        SOURCE_2D,
        cdp.LinearGaussian(np.eye(2), np.diag([1.0, second_noise])),
        cdp.LinearClassifier((1.0, 0.0), 0.0),
    )


@pytest.fixture
def same_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    """Grids in the plane that reach as far as those of the line, so that their cells along an axis are the same."""
    for module in ("observation", "discretize"):
        monkeypatch.setattr(f"cdp_toy.{module}.plane_reach", lambda counts: 5.0)


def assert_same(first: cdp.Point, second: cdp.Point) -> None:
    """Two routes to one number: brackets that meet within the sum of their gaps."""
    assert first.lower_bound <= second.upper_bound + 1e-12
    assert second.lower_bound <= first.upper_bound + 1e-12
    assert max(first.gap, second.gap) <= 1e-6


@pytest.mark.usefixtures("same_reach")
def test_separable_tables_are_products_of_those_of_the_line() -> None:
    line, both = LINE.discretize(n=7), plane(0.3).discretize(n=(7, 5), n_y=(7, 4))
    assert_allclose(both.p_x.reshape(7, 5).sum(axis=1), line.p_x, rtol=1e-13)
    assert_allclose(both.p_y.reshape(7, 4).sum(axis=1), line.p_y, rtol=1e-13)
    assert_allclose(both.posterior.reshape(7, 4, 2), np.repeat(line.posterior[:, None], 4, axis=1), rtol=1e-12)
    assert both.error_floor == pytest.approx(line.error_floor, abs=1e-14)


@pytest.mark.parametrize("level", [0.002, 0.02, 0.2])
@pytest.mark.usefixtures("same_reach")
def test_without_a_distortion_level_the_plane_is_the_line(level: float) -> None:
    """C(inf, P) of a problem whose second coordinate is independent of class and first coordinate is that of the line.

    Any channel of the plane gives one of the line that is as good: draw the second observation from its law, restore,
    drop the second coordinate. The error is the same, and the divergence of the first coordinate's law is at most that
    of both (data processing). Conversely a channel of the line, with the second coordinate drawn from its own law
    independently, has a product as its output law, and the divergence of products with an equal factor is that of the
    other factor.
    """
    line, both = LINE.discretize(n=7), plane(0.3).discretize(n=(7, 4), n_y=(7, 3))
    assert_same(cdp.solve(line, INF, level, tol=1e-7), cdp.solve(both, INF, level, tol=1e-7))


@pytest.mark.parametrize("spare", [0.002, 0.02, 0.1])
@pytest.mark.usefixtures("same_reach")
def test_without_a_perception_level_the_distortions_add(spare: float) -> None:
    """C(D + D2, inf) of the plane is C(D, inf) of the line, D2 the least distortion of the second coordinate.

    Squared error is a sum over the coordinates, Y2 tells nothing of (class, X1) and Y1 nothing of X2: for every
    observation the best second letter does not depend on what is chosen for the first, and costs D2 on average.
    """
    line, both = LINE.discretize(n=7), plane(0.3).discretize(n=(7, 4), n_y=(7, 3))
    least = cdp.min_distortion(line, INF).upper
    second = cdp.min_distortion(both, INF).upper - least
    assert_same(cdp.solve(line, least + spare, INF), cdp.solve(both, least + second + spare, INF))


@pytest.mark.parametrize(("spare", "level"), [(0.01, 0.01), (0.05, 0.05)])
@pytest.mark.usefixtures("same_reach")
def test_a_second_coordinate_that_is_seen_costs_nothing(spare: float, level: float) -> None:
    """On "points" with Y2 = X2 independent of everything else, C(D, P) of the plane is that of the line.

    From the plane to the line as above; distortion only falls when the second coordinate is dropped. From the line to
    the plane: restore the second coordinate as what was seen, which costs no distortion and leaves the output law a
    product with p_X2.
    """
    line = LINE.discretize(n=7, kind="points")
    both = plane(0.0).discretize(n=(7, 4), n_y=(7, 4), kind="points")
    assert both.distortion_cost.table().min() == pytest.approx(line.distortion_cost.table().min(), abs=1e-12)
    least = cdp.min_distortion(line, level).upper
    assert_same(cdp.solve(line, least + spare, level, tol=1e-7), cdp.solve(both, least + spare, level, tol=1e-7))


# grids


def test_counts_and_bounds_in_the_plane() -> None:
    grid = cdp.presets.plane_curved().discretize(n=(8, 5), n_y=(4, 6), bounds=((-3.0, 3.0), (-2.0, 2.5)))
    assert grid.shape == (24, 40)
    assert grid.x_values.shape == (40, 2)
    assert grid.grid.x_cells.edges[1][[0, 1, -2, -1]].tolist() == [-INF, -2.0, 2.5, INF]
    assert grid.grid.x_cells.shape == (8, 5)
    with refused("PlaneCells are no intervals of the line"):
        _ = grid.grid.x_edges


def test_light_corners_are_merged_but_not_across_the_class_boundary() -> None:
    source = cdp.GaussianMixture2D((0.5, 0.5), [(-1.0, 0.0), (1.0, 0.0)], [[1.0, 0.97], [0.97, 1.0]])
    problem = cdp.CDPProblem(source, cdp.AdditiveGaussian(0.5), cdp.LinearClassifier((1.0, 0.0)))
    grid = problem.discretize(n=12, bounds=((-9.0, 9.0), (-9.0, 9.0)))
    assert grid.n_x < 144
    assert grid.p_x.min() >= 1e-25
    assert set(np.unique(grid.error_cost.decision)) == {0.0, 1.0}
    cells = grid.grid.x_cells
    side = np.zeros(cells.n)
    for letter, centre in zip(cells.letters, cells.centres(), strict=True):
        assert side[letter] * (1 if centre[0] > 0 else -1) >= 0
        side[letter] = 1 if centre[0] > 0 else -1


def test_cells_locate_values() -> None:
    line = LineCells(np.array([-INF, 0.0, 1.0, INF]), np.array([0, 1, 0]))
    assert line.locate(np.array([-1.0, 0.0, 0.5, 1.0, 9.0])).tolist() == [0, 1, 1, 0, 0]
    erased = ErasedOr(line)
    assert (erased.n, erased.dim) == (3, 1)
    assert erased.locate(np.array([np.nan, 0.5])).tolist() == [2, 1]
    plane_cells = PlaneCells.from_edges(EDGES, np.array([[0.0, 1.0], [-1.0, 0.0]]))
    assert (plane_cells.n, plane_cells.shape) == (12, (4, 3))
    assert plane_cells.locate(plane_cells.centres()).tolist() == list(range(12))
    assert ErasedOr(plane_cells).locate(np.array([[0.0, np.nan], [0.0, 0.0]])).tolist() == [12, 4]
    with refused("observations of this problem are letters 0 .. 2"):
        LetterCells(3).locate(np.array([0.5]))


def test_letters_in_the_plane_seen_through_noise() -> None:
    places = [[-1.0, -1.0], [1.0, 0.0], [0.0, 2.0]]
    source = cdp.TableSource([0.5, 0.5], [[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]], places)
    problem = cdp.CDPProblem(source, cdp.AdditiveGaussian(0.8), cdp.LinearClassifier((0.0, 1.0), 0.5))
    grid = problem.discretize(n=(9, 8))
    assert grid.shape == (72, 3)
    assert grid.classes.tolist() == [0, 0, 1]
    _, letters = source.sample(200_000, np.random.default_rng(0))
    y = problem.degradation.sample(np.asarray(places)[letters.astype(int)], np.random.default_rng(1))
    hits = np.bincount(grid.grid.y_cells.locate(y), minlength=72) / len(y)
    assert np.abs(hits - grid.p_y).max() < 0.003
    correlated = cdp.LinearGaussian(np.eye(2), [[0.6, 0.3], [0.3, 0.5]])
    seen = cdp.CDPProblem(source, correlated, cdp.BayesClassifier()).discretize(n=6)
    assert_allclose(seen.p_y @ seen.posterior, [0.5, 0.5], rtol=1e-13)
    lost = cdp.CDPProblem(source, cdp.drop_coordinate(1, 0.4), cdp.BayesClassifier()).discretize(n=12)
    assert lost.shape == (12, 3)


def test_absolute_error_and_functions_on_points() -> None:
    model = cdp.presets.plane_toy()
    l1 = cdp.CDPProblem(model.source, model.degradation, model.classifier, distortion="absolute_error")
    function = cdp.CDPProblem(
        model.source, model.degradation, model.classifier, lambda x, xhat: np.abs(x - xhat).sum(axis=-1)
    )
    tables = [p.discretize(n=5, kind="points").distortion_cost.table() for p in (l1, function)]
    assert_allclose(tables[0], tables[1], rtol=1e-13)
    square = cdp.CDPProblem(model.source, model.degradation, model.classifier).discretize(n=5, kind="points")
    euclid = cdp.CDPProblem(
        model.source, model.degradation, model.classifier, lambda x, xhat: ((x - xhat) ** 2).sum(axis=-1)
    ).discretize(n=5, kind="points")
    assert_allclose(euclid.distortion_cost.table(), square.distortion_cost.table(), rtol=1e-11)
    point = cdp.solve(euclid, cdp.min_distortion(euclid, 0.05).upper + 0.02, 0.05, tol=1e-6)
    assert point.status is cdp.Status.OPTIMAL


def test_a_solution_in_the_plane_restores_arrays_of_any_shape() -> None:
    point = cdp.solve(cdp.presets.plane_toy().discretize(n=5), INF, INF)
    rng = np.random.default_rng(0)
    assert point.sample(rng.normal(size=(3, 4, 2)), rng).shape == (3, 4, 2)
    assert point.sample([0.0, 1.0], rng).shape == (2,)
    with refused("observations of this problem are pairs, shape (..., 2); got shape (3,)"):
        point.sample([0.0, 1.0, 2.0], rng)
    lost = cdp.solve(cdp.presets.inpainting().discretize(n=5, n_y=6), INF, INF)
    assert lost.sample(np.zeros(7), rng).shape == (7, 2)


def test_pieces_that_do_not_fit_are_refused() -> None:
    model = cdp.presets.plane_toy()

    def made(**change: object) -> cdp.CDPProblem:
        pieces = {"source": model.source, "degradation": model.degradation, "classifier": model.classifier}
        return cdp.CDPProblem(**{**pieces, **change})

    with refused("a ThresholdClassifier does not fit a source in the plane: use ThresholdClassifier on the line"):
        made(classifier=cdp.ThresholdClassifier(0.0)).discretize(n=5)
    with refused("a LinearClassifier does not fit a source on the line"):
        made(source=SOURCE_1, classifier=cdp.LinearClassifier((1.0, 0.0))).discretize(n=5)
    with refused("a classifier table needs a finite source; use LinearClassifier in the plane"):
        made(classifier=cdp.TableClassifier([0, 1])).discretize(n=5)
    with refused("a LinearGaussian does not apply to a source on the line; use AdditiveGaussian(std)"):
        made(source=SOURCE_1, degradation=cdp.blur(0.1, 1.0), classifier=cdp.BayesClassifier()).discretize(n=5)
    with refused("a DeterministicMap does not apply to a source in the plane"):
        made(degradation=cdp.DeterministicMap([0, 1], [0.0])).discretize(n=5)
    with refused("has no density: its covariance is singular; drop a row of the matrix or add noise"):
        made(degradation=cdp.LinearGaussian([[1.0, 1.0], [2.0, 2.0]], 0.0)).discretize(n=5)
    histogram = cdp.Histogram2D((0.5, 0.5), [0, 1, 2], [0, 1, 2], np.full((2, 2, 2), 0.25))
    with refused("has exact integrals only where every coordinate of Y sees one coordinate of X"):
        made(source=histogram, degradation=cdp.blur(0.2, 1.0)).discretize(n=5)
    for distortion in ("absolute_error", lambda x, xhat: np.abs(x - xhat).sum(axis=-1)):
        with refused("has no exact expectation over cells (only squared error follows from their moments)"):
            made(distortion=distortion).discretize(n=5)
    with refused("the distortion function returned shape (25, 25, 2)"):
        made(distortion=lambda x, xhat: x - xhat).discretize(n=5, kind="points")
    with refused("a UniformQuantizer has observation letters of its own; leave n_y out"):
        made(degradation=cdp.UniformQuantizer(-1.0, 1.0, 4)).discretize(n=5, n_y=5)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "a continuous problem needs n"),
        ({"n": 2}, "n = 2 is too small"),
        ({"n": (5, 2)}, "n = 2 is too small"),
        ({"n": (5, 5, 5)}, "n must be a whole number or a pair of them in the plane, got (5, 5, 5)"),
        ({"n": 5, "n_y": (5, "a")}, "n_y must be a whole number, got 'a'"),
        ({"n": (3, 5)}, "n = 3 is too small: 1 class boundaries on cell edges"),
        (
            {"n": 5, "bounds": (-3.0, 3.0)},
            "bounds of a grid in the plane are ((low, high), (low, high)), got (-3.0, 3.0)",
        ),
        ({"n": 5, "bounds": ((-3.0, 3.0), (3.0, 3.0))}, "bounds must be an interval (low, high) with low < high"),
    ],
)
def test_grids_refuse(arguments: dict[str, object], message: str) -> None:
    with refused(message):
        cdp.presets.plane_toy().discretize(**arguments)


def test_a_grid_too_large_for_memory_is_refused() -> None:
    with pytest.raises(cdp.MemoryRefusedError, match=r"10,000,000,000 x 10,000,000,000 cells would need about"):
        cdp.presets.plane_toy().discretize(n=100_000)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: cdp.GaussianMixture2D((0.5, 0.5), [(0, 0)]), "means has 1 entries for 2 priors"),
        (
            lambda: cdp.GaussianMixture2D((1.0,), [(0, 0, 0)]),
            "means, class 0: expected pairs (x1, x2), got shape (1, 3)",
        ),
        (lambda: cdp.GaussianMixture2D((1.0,), 3.0), "means is 3.0 for 1 priors"),
        (lambda: cdp.GaussianMixture2D((1.0,), [(0, 0)], [[1, 2], [2, 1]]), "must have no negative eigenvalue"),
        (lambda: cdp.GaussianMixture2D((1.0,), [(0, 0)], [[1, 0.5], [0, 1]]), "must be symmetric"),
        (
            lambda: cdp.GaussianMixture2D((1.0,), [(0, 0)], [[1, 1], [1, 1]]),
            "is singular; every Gaussian needs a density",
        ),
        (lambda: cdp.GaussianMixture2D((1.0,), [(0, 0)], 0.0), "is singular; every Gaussian needs a density"),
        (lambda: cdp.GaussianMixture2D((1.0,), [(0, 0)], [1.0, 1.0]), "covariances must be a number, a 2 x 2 matrix"),
        (lambda: cdp.GaussianMixture2D((1.0,), [(0, 0)], [np.eye(2)] * 3), "covariances has 3 entries for 1 classes"),
        (lambda: cdp.GaussianMixture2D((1.0,), [[(0, 0), (1, 1)]], [[np.eye(2)]]), "1 matrices for 2 components"),
        (lambda: cdp.GaussianMixture2D((1.0,), [(0, 0)], weights=[(0.5,)]), "weights of class 0 must sum to 1"),
        (lambda: cdp.GaussianMixture2D((1.0,), [(0, 0)], weights=[(0.5, 0.5)]), "2 numbers for 1 components"),
        (lambda: cdp.GaussianMixture2D((1.0,), [(0, 0)], weights=[]), "weights has 0 entries for 1 classes"),
        (lambda: cdp.LinearGaussian(np.eye(3), 1.0), "matrix has shape (3, 3); expected (1, 2) or (2, 2)"),
        (lambda: cdp.LinearGaussian(np.eye(2), np.eye(3)), "covariance has shape (3, 3); expected a number or a 2 x 2"),
        (lambda: cdp.LinearGaussian(np.eye(2), -1.0), "covariance must have no negative eigenvalue"),
        (lambda: cdp.blur(2.0, 1.0), "the weight of a blur must be a number in [0, 1], got 2.0"),
        (lambda: cdp.drop_coordinate(2), "axis must be 0 or 1, got 2"),
        (lambda: cdp.LinearClassifier((0.0, 0.0)), "normal must be two numbers, not both 0"),
        (lambda: cdp.LinearClassifier((1.0,)), "normal must be two numbers, not both 0"),
        (lambda: cdp.LinearClassifier((1.0, 0.0), classes=(0, 1, 2)), "a linear classifier has 2 classes, got 3"),
        (lambda: cdp.QuadraticClassifier([np.eye(2)], [[0, 0]], [0]), "needs at least 2 offsets"),
        (lambda: cdp.QuadraticClassifier(np.zeros((2, 2, 2)), [[0, 0]], [0, 0]), "vectors has shape (1, 2)"),
        (lambda: cdp.CallableClassifier(3), "predict must be a function of points of shape (N, dim), got 3"),
        (lambda: cdp.UniformQuantizer(1.0, 0.0, 4), "a quantizer needs low < high"),
        (lambda: cdp.UniformQuantizer(0.0, 1.0, 1), "levels must be a whole number of at least 2, got 1"),
        (lambda: cdp.UniformQuantizer(0.0, 1.0, 2.5), "levels must be a whole number of at least 2, got 2.5"),
        (lambda: cdp.Erasure(1.5), "the probability of erasure must be a number in [0, 1], got 1.5"),
        (lambda: cdp.Erasure(0.5, "noise"), "otherwise must be a degradation, got str"),
        (lambda: cdp.DeterministicMap([0, 2]), "letter 1 of y is never used by the map"),
        (lambda: cdp.DeterministicMap([-1]), "must be whole numbers from 0 on"),
        (lambda: cdp.DeterministicMap([0, 1], [0.0, 1.0]), "2 thresholds need 3 letters, got 2"),
        (lambda: cdp.DeterministicMap([0, 1, 0], [1.0, 0.0]), "thresholds must increase strictly"),
    ],
)
def test_pieces_refuse(call: object, message: str) -> None:
    with refused(message):
        call()  # type: ignore[operator]


@pytest.mark.parametrize(
    ("predict", "message"),
    [
        (lambda points: np.zeros((len(points), 1)), "returned shape"),
        (lambda points: np.full(len(points), 0.5), "must return class indices 0 .. 1"),
        (lambda points: np.full(len(points), 2), "it returned np.int64(2)"),
        (lambda points: np.array(["a"] * len(points)), "must return class indices 0 .. 1"),
    ],
)
def test_functions_that_do_not_classify_are_refused(predict: object, message: str) -> None:
    model = cdp.presets.plane_toy()
    with refused(message):
        cdp.CDPProblem(model.source, model.degradation, cdp.CallableClassifier(predict)).discretize(n=4)  # type: ignore[arg-type]


def test_finite_degradations_of_letters() -> None:
    source = cdp.TableSource([0.5, 0.5], [[0.6, 0.3, 0.1], [0.1, 0.3, 0.6]], [-1.0, 0.0, 2.0])

    def seen(degradation: cdp.TableDegradation) -> np.ndarray:
        problem = cdp.CDPProblem(source, degradation, cdp.BayesClassifier())
        return problem.discretize().p_y

    assert_allclose(seen(cdp.DeterministicMap([0, 1, 0])), [0.7, 0.3])
    assert_allclose(seen(cdp.DeterministicMap([0, 1], [1.0])), [0.65, 0.35])
    assert_allclose(seen(cdp.UniformQuantizer(-2.0, 2.0, 2)), [0.35, 0.65])
    assert_allclose(seen(cdp.Erasure(0.5)), [0.175, 0.15, 0.175, 0.5])
    assert_allclose(seen(cdp.Erasure(0.5, cdp.DeterministicMap([0, 1, 0]))), [0.35, 0.15, 0.5])
    for wrong, message in (
        (cdp.DeterministicMap([0, 1]), "the map names 2 letters, the source has 3"),
        (cdp.blur(0.1, 1.0), "needs x_values of shape (n_x, 2) in the source"),
    ):
        with refused(message):
            cdp.CDPProblem(source, wrong, cdp.BayesClassifier()).discretize(
                n=5 if wrong.kind == "linear_gaussian" else None
            )
