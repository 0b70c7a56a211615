"""Sources against adaptive quadrature, classifiers, degradations, and what they refuse."""

from __future__ import annotations

import math
import re
from itertools import pairwise

import numpy as np
import pytest
from cases import SOURCES
from numpy.testing import assert_allclose
from scipy.integrate import quad
from scipy.special import ndtr
from scipy.stats import norm

import cdp_toy as cdp
from cdp_toy.cells import LineCells
from cdp_toy.classifiers import Regions, bayes_regions

INF = math.inf
EDGES = np.array([-INF, -2.5, -1.0, 0.3, 0.8, 2.0, INF])
T0 = math.log(7 / 3) / 2

sources = pytest.mark.parametrize("name", SOURCES)


def refused(message: str) -> pytest.RaisesExc:
    return pytest.raises(cdp.InputError, match=re.escape(message))


# sources


@sources
@pytest.mark.parametrize("noise_std", [0.0, 0.6])
def test_cell_integrals_agree_with_quadrature(name: str, noise_std: float) -> None:
    source = SOURCES[name]()
    cells = source.cell_integrals(EDGES, noise_std)
    low, high = source.bounds(n_std=12.0)

    def inside(x: float, a: float, b: float) -> float:
        """P(x + noise in (a, b])."""
        if noise_std == 0:
            return float(a < x <= b)
        return float(ndtr((b - x) / noise_std) - ndtr((a - x) / noise_std))

    for c in range(source.n_classes):
        for j, (a, b) in enumerate(pairwise(EDGES)):
            # all of x, or with no noise the cell alone; near the components and near the cell the integrand bends
            left, right = (low, high) if noise_std else (max(a, low), min(b, high))
            marks = {k.mean for k in source.components} | {e for e in (a, b) if math.isfinite(e)}
            points = sorted(m for m in marks if left < m < right)
            for k, exact in enumerate(cells):

                def integrand(x: float, a: float = a, b: float = b, c: int = c, k: int = k) -> float:
                    return x**k * float(source.density(np.array([x]))[c, 0]) * inside(x, a, b)

                expected = quad(integrand, left, right, points=points or None, epsabs=1e-12, epsrel=1e-10, limit=200)
                assert_allclose(exact[c, j], expected[0], rtol=1e-9, atol=1e-11)


@sources
@pytest.mark.parametrize("noise_std", [0.0, 0.6])
def test_totals_are_those_of_the_class_laws(name: str, noise_std: float) -> None:
    source = SOURCES[name]()
    cells = source.cell_integrals(EDGES, noise_std)
    first, second = np.zeros(source.n_classes), np.zeros(source.n_classes)
    for c, weight, mean, std in source.components:
        first[c] += weight * mean
        second[c] += weight * (mean**2 + std**2)
    assert_allclose(cells.mass.sum(axis=1), 1.0, rtol=1e-14)
    assert_allclose(cells.first.sum(axis=1), first, rtol=1e-13, atol=1e-14)
    assert_allclose(cells.second.sum(axis=1), second, rtol=1e-13)


@sources
@pytest.mark.parametrize("noise_std", [0.0, 0.6])
def test_moments_about_a_centre_are_those_of_the_shifted_variable(name: str, noise_std: float) -> None:
    source = SOURCES[name]()
    centre = np.array([-3.0, -1.5, 0.0, 0.5, 1.0, 2.5])
    plain, about = source.cell_integrals(EDGES, noise_std), source.cell_integrals(EDGES, noise_std, centre)
    assert_allclose(about.mass, plain.mass, rtol=0)
    assert_allclose(about.first, plain.first - centre * plain.mass, rtol=0, atol=1e-13)
    assert_allclose(about.second, plain.second - 2 * centre * plain.first + centre**2 * plain.mass, rtol=0, atol=1e-12)


@sources
def test_splitting_a_cell_splits_its_integrals(name: str) -> None:
    source = SOURCES[name]()
    for coarse, fine in zip(source.cell_integrals(EDGES[::2], 0.3), source.cell_integrals(EDGES, 0.3), strict=True):
        assert_allclose(coarse, fine.reshape(source.n_classes, -1, 2).sum(axis=-1), atol=1e-15)


def test_tail_masses_are_accurate_in_relative_terms() -> None:
    source = cdp.GaussianMixture((0.7, 0.3), (-1.0, 1.0))
    cells = source.cell_integrals([-INF, -20.0, -10.0, 10.0, 20.0, INF])
    mirrored = source.cell_integrals([-INF, -20.0, -10.0, 10.0, 20.0, INF]).mass[::-1, ::-1]
    assert_allclose(cells.mass[0, 3:], [norm.sf(11), norm.sf(21)], rtol=1e-12)
    assert_allclose(cells.mass[1, 3:], [norm.sf(9), norm.sf(19)], rtol=1e-12)
    assert_allclose(cells.mass, mirrored, rtol=1e-15)
    tail = source.cell_integrals([8.0, INF])
    # E[X; X > 8] = mean Q + phi, E[X^2; X > 8] = (mean^2 + 1) Q + (mean + 8) phi
    for c, mean in enumerate((-1.0, 1.0)):
        q, phi = norm.sf(8 - mean), norm.pdf(8 - mean)
        assert_allclose(tail.first[c, 0], mean * q + phi, rtol=1e-12)
        assert_allclose(tail.second[c, 0], (mean**2 + 1) * q + (mean + 8) * phi, rtol=1e-12)


@sources
def test_density_is_the_derivative_of_the_mass(name: str) -> None:
    source, x, h = SOURCES[name](), np.linspace(-4, 4, 17), 1e-4
    for noise_std in (0.0, 0.7):
        mass = np.hstack([source.cell_integrals([t - h, t + h], noise_std).mass for t in x])
        assert_allclose(source.density(x, noise_std), mass / (2 * h), rtol=1e-5, atol=1e-9)
        with np.errstate(divide="ignore"):
            assert_allclose(source.log_density(x, noise_std), np.log(source.density(x, noise_std)), rtol=1e-12)


@sources
def test_sampled_cells_have_the_moments_of_the_cell(name: str) -> None:
    source, rng, count = SOURCES[name](), np.random.default_rng(0), 40_000
    cells = source.cell_integrals(EDGES)
    priors = np.array(source.priors)
    for j, (a, b) in enumerate(pairwise(EDGES)):
        drawn = source.sample_cells(np.full(count, a), np.full(count, b), rng)
        assert np.all((drawn >= a) & (drawn <= b))
        mass = priors @ cells.mass[:, j]
        mean, second = priors @ cells.first[:, j] / mass, priors @ cells.second[:, j] / mass
        assert_allclose(drawn.mean(), mean, atol=5 * drawn.std() / math.sqrt(count))
        assert_allclose((drawn**2).mean(), second, atol=5 * (drawn**2).std() / math.sqrt(count))


def test_sampling_deep_in_a_tail() -> None:
    source = cdp.GaussianMixture((0.7, 0.3), (-1.0, 1.0))
    drawn = source.sample_cells(np.array([[30.0, -INF]]), np.array([[INF, -30.0]]), np.random.default_rng(1))
    assert drawn.shape == (1, 2)
    assert 30 <= drawn[0, 0] < 31
    assert -31 < drawn[0, 1] <= -30


def test_bounds_reach_beyond_every_component() -> None:
    assert SOURCES["paper_toy"]().bounds(n_std=3.0) == (-4.0, 4.0)
    assert SOURCES["paper_toy"]().bounds(noise_std=1.0, n_std=2.0) == pytest.approx((-1 - 8**0.5, 1 + 8**0.5))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(priors=(0.7, 0.4), means=(0, 1)), "priors must sum to 1; the sum is 1.1"),
        (dict(priors=(1.2, -0.2), means=(0, 1)), "priors must not be negative; priors[1] is -0.2"),
        (dict(priors=(0.7, math.nan), means=(0, 1)), "priors must be finite; priors[1] is nan"),
        (dict(priors=(), means=()), "priors is empty"),
        (dict(priors=[[0.5, 0.5]], means=(0, 1)), "priors must have 1 axis/axes, it has shape (1, 2)"),
        (dict(priors=("a", "b"), means=(0, 1)), "priors must be an array of numbers"),
        (dict(priors=(0.7, 0.3), means=(0, 1, 2)), "means has 3 entries for 2 priors"),
        (dict(priors=(0.7, 0.3), means=(0, INF)), "means, class 1 must be finite"),
        (dict(priors=(0.7, 0.3), means=(0, 1), stds=0), "stds must be positive; class 0 has (0.0,)"),
        (dict(priors=(0.7, 0.3), means=(0, 1), stds=(1, -1)), "stds must be positive; class 1 has (-1.0,)"),
        (dict(priors=(0.7, 0.3), means=(0, 1), stds=math.nan), "stds, class 0 must be finite"),
        (dict(priors=(0.7, 0.3), means=(0, 1), stds=(1, 1, 1)), "stds has 3 entries for 2 classes"),
        (dict(priors=(0.7, 0.3), means=((0, 2), 1), stds=((1,), 1)), "stds, class 0: 1 numbers for 2 components"),
        (dict(priors=(1,), means=((0, 1),), weights=((0.5, 0.4),)), "weights of class 0 must sum to 1; the sum is 0.9"),
        (dict(priors=(1,), means=((0, 1),), weights=((0.5,),)), "weights, class 0: 1 numbers for 2 components"),
        (dict(priors=(1,), means=((0, 1),), weights=((0.5, 0.5), (1,))), "weights has 2 entries for 1 classes"),
        (dict(priors=(1,), means=((),)), "means, class 0: the row is empty; a class needs at least one component"),
        (dict(priors=(0.5, 0.5), means=(0, [])), "means, class 1: the row is empty"),
        (dict(priors=(1,), means=3.0), "means is 3.0 for 1 priors; give one entry (or row) per class"),
        (dict(priors=(1,), means=("a",)), "means, class 0 must be an array of numbers"),
        (dict(priors=(1,), means=(0,), stds="a"), "stds, class 0 must be an array of numbers"),
        (dict(priors=(1,), means=(0,), stds=None), "stds, class 0 must be finite; stds, class 0[0] is nan"),
        (dict(priors=(1,), means=((0, 1),), weights=((1.5, -0.5),)), "weights of class 0 must not be negative"),
    ],
)
def test_a_mixture_refuses(arguments: dict[str, object], message: str) -> None:
    with refused(message):
        cdp.GaussianMixture(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0.5, 0.4], [[1, 0], [0, 1]]), "priors must sum to 1; the sum is 0.9"),
        (([0.5, 0.5], [[1, 0], [0.5, 0.6]]), "p_x_given_class, row 1, must sum to 1; the sum is 1.1"),
        (([0.5, 0.5], [[1, 0], [1.5, -0.5]]), "p_x_given_class must not be negative; p_x_given_class[1, 1] is -0.5"),
        (([0.5, 0.5], [[1, 0], [math.nan, 1]]), "p_x_given_class must be finite; p_x_given_class[1, 0] is nan"),
        (([0.5, 0.5], [1, 0]), "p_x_given_class must have 2 axis/axes, it has shape (2,)"),
        (([0.5, 0.5], [[1, 0]]), "p_x_given_class has 1 rows for 2 priors"),
        (([1.0], [[0.5, 0.5]], [0, 1, 2]), "x_values has shape (3,); expected (2,) or (2, dim)"),
        (([1.0], [[0.5, 0.5]], [0, INF]), "x_values must be finite; x_values[1] is inf"),
    ],
)
def test_a_table_source_refuses(arguments: tuple[object, ...], message: str) -> None:
    with refused(message):
        cdp.TableSource(*arguments)


def test_table_source_removes_rounding_from_its_sums_and_is_read_only() -> None:
    source = cdp.TableSource([1.0], [[0.1] * 10])
    assert (source.n_classes, source.n_x) == (1, 10)
    assert abs(source.p_x_given_class.sum() - 1) <= 2**-52
    with pytest.raises(ValueError, match="read-only"):
        source.priors[0] = 2.0


# degradations


def test_gaussian_transition_rows() -> None:
    x, edges = np.array([-1.0, 0.0, 8.0]), np.array([-INF, -1.0, 0.5, INF])
    table = cdp.AdditiveGaussian(0.5).transition(x, LineCells(edges))
    assert_allclose(table.sum(axis=1), 1.0, rtol=1e-15)
    assert_allclose(table, np.diff(norm.cdf((edges[None, :] - x[:, None]) / 0.5), axis=1), atol=1e-16)
    far = cdp.AdditiveGaussian(0.5).transition(np.array([-8.0]), LineCells(edges))
    assert_allclose(far[0, 2], norm.sf(17), rtol=1e-12)


def test_no_noise_puts_a_letter_into_its_own_cell() -> None:
    table = cdp.Identity().transition(np.array([-3.0, 0.2, 4.0]), LineCells(np.array([-INF, -1.0, 0.5, INF])))
    assert table.tolist() == np.eye(3).tolist()
    assert cdp.Identity().noise_std == 0


def test_binary_symmetric_channel() -> None:
    assert_allclose(cdp.binary_symmetric(0.2).p_y_given_x, [[0.8, 0.2], [0.2, 0.8]])


def test_degradations_refuse() -> None:
    for std in (-1.0, math.nan, INF, "a", None):
        with refused(f"the noise standard deviation must be a finite number, not negative; got {std!r}"):
            cdp.AdditiveGaussian(std)
    with refused("Identity takes no noise"):
        cdp.Identity(1.0)
    for crossover in (-0.1, 1.1, math.nan, "a"):
        with refused(f"crossover must be a number in [0, 1], got {crossover!r}"):
            cdp.binary_symmetric(crossover)
    with refused("p_y_given_x, row 0, must sum to 1; the sum is 1.5"):
        cdp.TableDegradation([[1.0, 0.5], [0.0, 1.0]])
    with refused("p_y_given_x must have 2 axis/axes"):
        cdp.TableDegradation([0.5, 0.5])


# classifiers


def test_bayes_threshold_of_the_paper_toy() -> None:
    regions = cdp.BayesClassifier().regions(SOURCES["paper_toy"](), None)
    assert regions.classes == (0, 1)
    assert regions.boundaries == pytest.approx((T0,), abs=1e-14)
    noisy = bayes_regions(SOURCES["paper_toy"](), None, noise_std=1.0)
    assert noisy.boundaries == pytest.approx((2 * T0,), abs=1e-14)  # Y | c has variance 2


def test_bayes_threshold_follows_the_class_cost() -> None:
    # deciding 0 for a true 1 costs 5: the threshold solves .7 N(x; -1) = 5 .3 N(x; 1)
    regions = cdp.BayesClassifier().regions(SOURCES["paper_toy"](), np.array([[0.0, 1.0], [5.0, 0.0]]))
    assert regions.boundaries == pytest.approx((math.log(0.7 / 1.5) / 2,), abs=1e-14)


def test_unequal_variances_have_two_boundaries() -> None:
    regions = cdp.BayesClassifier().regions(SOURCES["unequal_stds"](), None)
    root = math.sqrt(2 * math.log(3) / (1 - 1 / 9))  # N(x; 0, 1) = N(x; 0, 9)
    assert regions.classes == (1, 0, 1)
    assert regions.boundaries == pytest.approx((-root, root), abs=1e-14)
    assert regions.at(np.array([-3.0, 0.0, 3.0])).tolist() == [1, 0, 1]


def test_three_classes_and_a_class_without_probability() -> None:
    source = SOURCES["mixture_of_mixtures"]()
    regions = cdp.BayesClassifier().regions(source, None)
    assert regions.classes == (0, 1, 2)
    at = source.density(np.array(regions.boundaries)) * np.array(source.priors)[:, None]
    assert_allclose([at[0, 0], at[1, 1]], [at[1, 0], at[2, 1]], rtol=1e-12)
    assert cdp.BayesClassifier().regions(SOURCES["empty_class"](), None).classes == (0, 1)


@pytest.mark.parametrize("name", SOURCES)
def test_the_bayes_rule_is_the_best_of_random_rules(name: str) -> None:
    source = SOURCES[name]()
    regions = cdp.BayesClassifier().regions(source, None)

    def error(rule: Regions) -> float:
        mass = source.cell_integrals([-INF, *rule.boundaries, INF]).mass
        return 1 - sum(source.priors[k] * mass[k, j] for j, k in enumerate(rule.classes))

    rng = np.random.default_rng(2)
    for _ in range(50):
        moved = np.sort(np.array(regions.boundaries) + 0.1 * rng.normal(size=len(regions.boundaries)))
        assert error(regions._replace(boundaries=tuple(moved))) >= error(regions) - 1e-15


def test_thresholds_own_their_right_side() -> None:
    rule = cdp.ThresholdClassifier([0.0, 1.0], classes=[2, 0, 2])
    source = cdp.TableSource([1 / 3] * 3, [[0.25] * 4] * 3, [-1.0, 0.0, 0.5, 1.0])
    assert rule.letters(source, None).tolist() == [2, 0, 0, 2]
    assert rule.regions(None, None).at(np.array([-1e-300, 0.0])).tolist() == [2, 0]


def test_bayes_letters_take_the_lower_index_on_ties() -> None:
    source = cdp.TableSource([0.5, 0.5], [[0.5, 0.3, 0.2], [0.5, 0.1, 0.4]])
    assert cdp.BayesClassifier().letters(source, None).tolist() == [0, 0, 1]
    assert cdp.BayesClassifier().letters(source, np.array([[0.0, 9.0], [1.0, 0.0]])).tolist() == [0, 0, 0]


def test_classifiers_refuse() -> None:
    line, table = SOURCES["paper_toy"](), cdp.TableSource([1.0], [[0.5, 0.5]])
    for thresholds in ([1.0, 0.0], [1.0, 1.0]):
        with refused(f"thresholds must increase strictly, got {thresholds}"):
            cdp.ThresholdClassifier(thresholds)
    with refused("thresholds must be finite; thresholds is nan"):
        cdp.ThresholdClassifier(math.nan)
    with refused("thresholds must be an array of numbers"):
        cdp.ThresholdClassifier("a")
    with refused("thresholds must have 1 axis/axes, it has shape (1, 2)"):
        cdp.ThresholdClassifier([[0.0, 1.0]])
    for classes in ([0, 0.5], [0, math.nan], ["a", "b"], 1):
        with refused("classes of thresholds must be one row of class indices, whole numbers"):
            cdp.ThresholdClassifier(0.0, classes=classes)
    with refused("2 thresholds need 3 classes, got 2"):
        cdp.ThresholdClassifier([0.0, 1.0], classes=[0, 1])
    with refused("a threshold classifier needs one-dimensional x_values"):
        cdp.ThresholdClassifier(0.0).letters(table, None)
    with refused("a classifier table needs a finite source"):
        cdp.TableClassifier([0, 1]).regions(line, None)
    with refused("the classifier names 3 letters, the source has 2"):
        cdp.TableClassifier([0, 0, 0]).letters(table, None)
    for classes in ([[0, 1]], [0, 0.5], [0, math.nan], [0, INF], ["a", "b"], [[0], [0, 1]], None):
        with refused("a classifier table must be one row of class indices"):
            cdp.TableClassifier(classes)
