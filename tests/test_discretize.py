"""Finite problems: laws over the catalogue, exactness on the paper's toy, tables by hand, and refusals."""

from __future__ import annotations

import math
import re
import time
import tracemalloc

import numpy as np
import pytest
from cases import PROBLEMS, finite_problem
from numpy.testing import assert_allclose, assert_array_equal
from scipy.sparse import csr_array

import cdp_toy as cdp
from cdp_toy.costs import expected

T0 = math.log(7 / 3) / 2
BAYES_ERROR_OF_Y = 0.204117333467
MMSE = 0.6416888797

problems = pytest.mark.parametrize("name", PROBLEMS)


def refused(message: str) -> pytest.RaisesExc:
    return pytest.raises(cdp.InputError, match=re.escape(message))


def least_distortion(grid: cdp.DiscreteProblem) -> float:
    return float(grid.p_y @ grid.distortion_cost.table().min(axis=1))


# laws over the catalogue


@problems
def test_laws_are_laws(name: str) -> None:
    problem = finite_problem(name)
    n_classes = problem.posterior.shape[1]
    for law in (problem.p_x, problem.p_y):
        assert np.all(law >= 0)
        assert_allclose(law.sum(), 1.0, rtol=1e-14)
    assert problem.shape == (problem.n_y, problem.n_x) == (len(problem.p_y), len(problem.p_x))
    assert problem.posterior.shape == (problem.n_y, n_classes)
    assert np.all(problem.posterior >= 0)
    assert_allclose(problem.posterior.sum(axis=1), 1.0, rtol=1e-13)


@problems
def test_averaged_posterior_is_the_prior(name: str) -> None:
    problem = finite_problem(name)
    priors = PROBLEMS[name]()[0].source.priors
    assert_allclose(problem.p_y @ problem.posterior, priors, atol=1e-14)


@problems
def test_costs_are_non_negative_and_consistent(name: str) -> None:
    problem, rng = finite_problem(name), np.random.default_rng(0)
    weights = rng.random(problem.shape) * (rng.random(problem.shape) < 0.3)
    joint = csr_array(weights)
    for cost in (problem.error_cost, problem.distortion_cost):
        table = cost.table()
        assert cost.shape == table.shape == problem.shape
        assert np.all(table >= 0)
        rows, columns = rng.integers(problem.n_y, size=20), rng.integers(problem.n_x, size=20)
        assert_allclose(cost.entries(rows, columns), table[rows, columns], rtol=1e-12, atol=1e-15)
        assert_allclose(expected(cost, joint), (weights * table).sum(), rtol=1e-12)
    assert_allclose(problem.error_floor, problem.p_y @ problem.error_cost.table().min(axis=1), rtol=1e-14)


@problems
def test_classes_follow_the_classifier(name: str) -> None:
    problem, (model, _) = finite_problem(name), PROBLEMS[name]()
    assert problem.classes.shape == (problem.n_x,)
    if problem.kind != "tables":
        regions = model.classifier.regions(model.source, model.class_cost)
        assert_array_equal(problem.classes, regions.at(problem.x_values[:, 0]))
        for boundary in regions.boundaries:
            assert boundary in problem.grid.x_edges


@pytest.mark.parametrize("name", [name for name in PROBLEMS if finite_problem(name).kind != "tables"])
def test_grids_keep_the_moments_of_the_source(name: str) -> None:
    problem, (model, _) = finite_problem(name), PROBLEMS[name]()
    parts = [(model.source.priors[c] * w, m, s) for c, w, m, s in model.source.components]
    first, second = sum(w * m for w, m, _ in parts), sum(w * (m**2 + s**2) for w, m, s in parts)
    cost, x = problem.distortion_cost, problem.x_values[:, 0]
    assert np.all(np.diff(x) > 0)
    assert_allclose(problem.p_x @ x, first, atol=1e-13)
    assert_allclose(problem.p_y @ cost.mean_y[:, 0], first, atol=1e-13)
    kept = problem.p_x @ (x**2 + cost.variance_x)
    seen = problem.p_y @ (cost.mean_y[:, 0] ** 2 + cost.variance_y)
    if problem.kind == "points":  # X itself is the letter: its own second moment, smaller than that of the source
        assert np.all(cost.variance_x == 0)
        assert kept < second
        assert_allclose(seen, kept, rtol=1e-13)
    else:
        assert_allclose([kept, seen], second, rtol=1e-13)


@problems
def test_a_channel_is_judged_as_its_joint_law_says(name: str) -> None:
    # the output law p_X itself, independent of Y: perception 0, error and distortion by averaging
    problem = finite_problem(name)
    joint = problem.p_y[:, None] * problem.p_x[None, :]
    assert problem.perception.value(problem.p_x, joint.sum(axis=0)) < 1e-13
    cost = problem.distortion_cost
    if hasattr(cost, "mean_x"):
        x_second = problem.p_x @ (cost.mean_x[:, 0] ** 2 + cost.variance_x)
        y_second = problem.p_y @ (cost.mean_y[:, 0] ** 2 + cost.variance_y)
        mean = problem.p_x @ cost.mean_x[:, 0]
        assert_allclose((joint * cost.table()).sum(), x_second + y_second - 2 * mean**2, rtol=1e-11)


# the paper's toy


@pytest.mark.parametrize("n", [4, 5, 21, 101, 400])
@pytest.mark.parametrize("threshold", [None, 0.0])
def test_error_floor_of_the_toy_is_the_bayes_error_on_every_grid(n: int, threshold: float | None) -> None:
    grid = cdp.presets.paper_toy(threshold).discretize(n=n)
    assert grid.error_floor == pytest.approx(BAYES_ERROR_OF_Y, abs=1e-12)


def test_least_distortion_of_the_toy_converges_from_above_with_order_two() -> None:
    sizes = np.array([51, 101, 201, 401])
    excess = np.array([least_distortion(cdp.presets.paper_toy().discretize(n=int(n))) - MMSE for n in sizes])
    assert np.all(excess > 0)
    orders = np.log(excess[:-1] / excess[1:]) / np.log((sizes[1:] - 2) / (sizes[:-1] - 2))
    assert_allclose(orders, 2.0, atol=0.1)


def test_refining_the_grid_refines_the_cells() -> None:
    coarse, fine = (cdp.presets.paper_toy().discretize(n=n).p_x for n in (22, 42))
    assert len(coarse) == 22
    assert len(fine) == 42
    assert coarse[0] == pytest.approx(fine[0], rel=1e-12)  # the tails begin at the same bounds


def test_cells_and_points_share_the_output_alphabet() -> None:
    toy = cdp.presets.paper_toy()
    cells, points = toy.discretize(n=81), toy.discretize(n=81, kind="points")
    assert (cells.kind, points.kind) == ("cells", "points")
    assert_allclose(points.p_x, cells.p_x, rtol=1e-12, atol=1e-18)
    assert_allclose(points.x_values, cells.x_values, rtol=1e-13)
    assert_array_equal(points.classes, cells.classes)
    assert_allclose(points.p_y, cells.p_y, atol=1e-3)
    assert 0 < least_distortion(cells) - least_distortion(points) < 0.02


def test_the_two_axes_have_their_own_counts_and_bounds() -> None:
    grid = cdp.presets.paper_toy().discretize(n=40, n_y=70, bounds=(-4.0, 5.0))
    assert grid.shape == (70, 40)
    assert grid.grid.x_edges[[0, 1, -2, -1]].tolist() == [-math.inf, -4.0, 5.0, math.inf]
    # the Bayes boundaries for X and for Y, each on its axis
    assert np.abs(grid.grid.x_edges - T0).min() < 1e-14
    assert np.abs(grid.grid.y_edges - 2 * T0).min() < 1e-14
    assert repr(grid) == "<DiscreteProblem 'paper_toy': 70 x 40 cells, kl>"


def test_cells_between_marks_are_equal() -> None:
    edges = cdp.presets.paper_toy().discretize(n=101).grid.x_edges
    k = int(np.argmin(np.abs(edges - T0)))
    for side in (edges[1 : k + 1], edges[k:-1]):
        assert_allclose(np.diff(side), np.diff(side)[0], rtol=1e-10)


@pytest.mark.parametrize("bounds", [(-20.0, 20.0), (-100.0, 100.0)])
def test_cells_too_light_for_double_precision_are_merged(bounds: tuple[float, float]) -> None:
    grid = cdp.presets.paper_toy().discretize(n=401, bounds=bounds)
    assert 4 < grid.n_x < 401
    assert grid.p_x.min() >= 1e-25
    assert grid.p_y.min() >= 1e-25
    assert np.any(np.abs(grid.grid.x_edges - T0) < 1e-14)


def test_merging_many_cells_is_quick() -> None:
    start = time.perf_counter()
    grid = cdp.presets.paper_toy().discretize(n=6001, bounds=(-60.0, 60.0))
    assert grid.n_x < 6001
    assert time.perf_counter() - start < 2


def test_a_class_without_prior_does_not_widen_the_grid() -> None:
    source = cdp.GaussianMixture((0.7, 0.3, 0.0), (-1.0, 1.0, 90.0))
    problem = cdp.CDPProblem(source, cdp.AdditiveGaussian(1.0), cdp.BayesClassifier())
    assert problem.discretize(n=41).shape == (41, 41)


def test_variances_do_not_cancel_far_from_the_origin() -> None:
    def grid(shift: float) -> cdp.DiscreteProblem:
        source = cdp.GaussianMixture((0.7, 0.3), (shift - 1.0, shift + 1.0))
        return cdp.CDPProblem(source, cdp.AdditiveGaussian(1.0), cdp.BayesClassifier()).discretize(n=201)

    here, there = grid(0.0), grid(1e4)
    # edges near 1e4 are rounded to 2e-12; moments about the origin would leave errors of 1e-8
    assert_allclose(there.distortion_cost.variance_x, here.distortion_cost.variance_x, rtol=0, atol=4e-12)
    assert_allclose(there.distortion_cost.variance_y, here.distortion_cost.variance_y, rtol=0, atol=4e-12)
    assert_allclose(there.x_values - 1e4, here.x_values, rtol=0, atol=1e-11)
    assert least_distortion(there) == pytest.approx(least_distortion(here), abs=1e-11)


def test_one_cell_of_y_is_a_grid_too() -> None:
    # bounds far from the source leave its whole mass in one tail
    problem = cdp.CDPProblem(cdp.presets.paper_toy().source, cdp.Identity(), cdp.ThresholdClassifier(150.0))
    grid = problem.discretize(n=21, bounds=(100.0, 200.0))
    assert grid.distortion_cost.mean_y[:, 0] == pytest.approx([-0.4], abs=1e-15)
    assert grid.distortion_cost.variance_y == pytest.approx([1.84], abs=1e-14)


# tables


def test_two_letters_by_hand() -> None:
    # X = 0, 2; P(x=0) = .6 .9 + .4 .2 = .62; Y flips X with probability .1
    problem = cdp.DiscreteProblem.from_tables(
        priors=[0.6, 0.4],
        p_x_given_class=[[0.9, 0.1], [0.2, 0.8]],
        p_y_given_x=[[0.9, 0.1], [0.1, 0.9]],
        classifier=[0, 1],
        perception="tv",
        x_values=[0.0, 2.0],
        name="by hand",
    )
    p_y0 = 0.62 * 0.9 + 0.38 * 0.1  # .596
    assert_allclose(problem.p_x, [0.62, 0.38], rtol=1e-15)
    assert_allclose(problem.p_y, [p_y0, 1 - p_y0], rtol=1e-15)
    class0 = np.array([0.6 * (0.9 * 0.9 + 0.1 * 0.1), 0.6 * (0.9 * 0.1 + 0.1 * 0.9)])  # P(class 0, y)
    posterior = class0 / [p_y0, 1 - p_y0]
    assert_allclose(problem.posterior, np.stack([posterior, 1 - posterior], axis=1), rtol=1e-14)
    assert_allclose(problem.error_cost.table(), np.stack([1 - posterior, posterior], axis=1), rtol=1e-14)
    p_x2 = np.array([0.038 / p_y0, 0.342 / (1 - p_y0)])  # P(X = 2 | y)
    assert_allclose(problem.distortion_cost.table(), np.stack([4 * p_x2, 4 * (1 - p_x2)], axis=1), rtol=1e-14)
    assert problem.error_floor == pytest.approx(0.104 + 0.108, abs=1e-15)  # P(class 1, y=0) + P(class 0, y=1)
    assert repr(problem) == "<DiscreteProblem 'by hand': 2 x 2 tables, tv>"


def test_hamming_table_and_class_cost_by_hand() -> None:
    tables = dict(priors=[0.5, 0.5], p_x_given_class=np.eye(2), p_y_given_x=[[0.8, 0.2], [0.4, 0.6]], classifier=[0, 1])
    posterior = np.array([[2 / 3, 1 / 3], [0.25, 0.75]])
    hamming = cdp.DiscreteProblem.from_tables(**tables, distortion="hamming")
    assert_allclose(hamming.distortion_cost.table(), 1 - posterior, rtol=1e-15)
    table = np.array([[0.0, 3.0], [7.0, 1.0]])
    assert_allclose(
        cdp.DiscreteProblem.from_tables(**tables, distortion=table).distortion_cost.table(), posterior @ table
    )
    costly = cdp.DiscreteProblem.from_tables(**tables, distortion="hamming", class_cost=[[0, 1], [10, 0]])
    assert_allclose(costly.error_cost.table(), posterior @ [[0, 1], [10, 0]], rtol=1e-15)


def test_letters_in_the_plane() -> None:
    values = np.array([[0.0, 0.0], [3.0, 4.0], [0.0, 1.0]])
    problem = cdp.DiscreteProblem.from_tables(
        [1.0], [[0.2, 0.3, 0.5]], np.full((3, 2), 0.5), [0, 0, 0], x_values=values
    )
    squared = ((values[:, None] - values[None]) ** 2).sum(axis=-1)
    assert_allclose(problem.distortion_cost.table(), np.tile([0.2, 0.3, 0.5] @ squared, (2, 1)), rtol=1e-14)


def test_a_presets_tables_are_those_of_from_tables() -> None:
    model = cdp.presets.binary_conflict()
    there = model.discretize()
    here = cdp.DiscreteProblem.from_tables(
        [0.5, 0.5], [[0.95, 0.05], [0.55, 0.45]], [[0.7, 0.3], [0.3, 0.7]], [1, 0], distortion="hamming"
    )
    assert there.kind == "tables"
    assert there.grid is None
    for a, b in ((there, here), (there.error_cost, here.error_cost)):
        for field in ("p_x", "p_y", "posterior", "decision_cost", "decision"):
            if hasattr(a, field):
                assert_allclose(getattr(a, field), getattr(b, field), rtol=1e-15)


def test_the_binary_conflict_is_one() -> None:
    grid = cdp.presets.binary_conflict().discretize()
    error, distortion = grid.error_cost.table(), grid.distortion_cost.table()
    assert error.argmin(axis=1).tolist() == [1, 0]  # inverts the observation: P(Xhat = 1) = .6
    assert distortion.argmin(axis=1).tolist() == [0, 0]
    assert_allclose(grid.p_x, [0.75, 0.25], rtol=1e-15)  # neither is what perception wants
    # error = constant + b distortion + c P(Xhat = 1), whatever the channel
    b, c = np.linalg.solve(np.stack([np.diff(distortion)[:, 0], np.ones(2)], axis=1), np.diff(error)[:, 0])
    assert b == pytest.approx(-8 / 15)
    for max_distortion, max_perception in ((0.28, 0.05), (0.3, 0.01), (0.3, 0.1), (0.35, 0.01)):
        point = cdp.solve(grid, max_distortion, max_perception)
        ones = point.output_law[1]
        assert point.price_distortion == pytest.approx(8 / 15, rel=1e-3)
        # c dq/dP with P = KL(p || q), so dP/dq = (q - p) / (q (1 - q))
        assert point.price_perception == pytest.approx(c * ones * (1 - ones) / (0.25 - ones), rel=1e-3)


def test_letters_seen_through_gaussian_noise() -> None:
    source = cdp.TableSource([0.7, 0.3], np.eye(2), [-1.0, 1.0])
    grid = cdp.CDPProblem(source, cdp.AdditiveGaussian(1.0), cdp.BayesClassifier()).discretize(n=801)
    assert grid.shape == (801, 2)
    # the Bayes error of N(-1, 1) against N(1, 1) with threshold ln(7/3)/2
    exact = 0.7 * 0.5 * math.erfc((T0 + 1) / math.sqrt(2)) + 0.3 * 0.5 * math.erfc((1 - T0) / math.sqrt(2))
    assert grid.error_floor == pytest.approx(exact, abs=1e-5)
    assert grid.error_floor >= exact - 1e-12  # merging observations loses information
    assert_array_equal(grid.x_values[:, 0], [-1.0, 1.0])


def test_zero_probabilities_are_kept_without_warnings() -> None:
    problem = cdp.DiscreteProblem.from_tables(
        priors=[1.0, 0.0],
        p_x_given_class=[[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]],
        p_y_given_x=[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]],
        classifier=[0, 0, 1],
        x_values=[0.0, 1.0, 2.0],
    )
    assert problem.p_x.tolist() == [0.5, 0.5, 0.0]
    assert problem.p_y.tolist() == [0.5, 0.5, 0.0]
    assert problem.posterior.tolist() == [[1, 0], [1, 0], [1, 0]]  # an impossible observation tells nothing
    assert np.all(np.isfinite(problem.distortion_cost.table()))
    assert problem.error_floor == 0


def test_an_output_class_that_no_letter_carries_is_out_of_reach() -> None:
    problem = cdp.DiscreteProblem.from_tables(
        [0.5, 0.5], np.eye(2), [[0.9, 0.1], [0.1, 0.9]], [0, 0], distortion="hamming"
    )
    assert problem.error_floor == 0.5


# refusals


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "a continuous problem needs n, the number of cells; for example discretize(n=201)"),
        ({"n": 2}, "n = 2 is too small: the two tails and one inner cell make 3"),
        ({"n": -5}, "n = -5 is too small"),
        ({"n": 3}, "n = 3 is too small: 1 class boundaries on cell edges and two tails need at least 4 cells"),
        ({"n": 21, "n_y": 2}, "n_y = 2 is too small"),
        ({"n": 21.5}, "n must be a whole number, got 21.5"),
        ({"n": True}, "n must be a whole number, got True"),
        ({"n": "a"}, "n must be a whole number, got 'a'"),
        ({"n": math.nan}, "n must be a whole number, got nan"),
        ({"n": math.inf}, "n must be a whole number, got inf"),
        ({"n": [21]}, "n must be a whole number, got [21]"),
        ({"n": 21, "n_y": "a"}, "n_y must be a whole number, got 'a'"),
        ({"n": 21, "bounds": (0,)}, "bounds must be an interval (low, high) with low < high, got (0,)"),
        ({"n": 21, "bounds": ()}, "bounds must be an interval (low, high) with low < high, got ()"),
        ({"n": 21, "bounds": 3.0}, "bounds must be an interval (low, high) with low < high, got 3.0"),
        ({"n": 21, "bounds": (0, 1, 2)}, "bounds must be an interval"),
        ({"n": 21, "bounds": ("a", "b")}, "bounds must be an array of numbers"),
        ({"n": 21, "kind": "cell"}, "unknown kind 'cell'; did you mean 'cells'? Known: cells, points"),
        ({"n": 21, "kind": "point"}, "unknown kind 'point'; did you mean 'points'?"),
        ({"n": 21, "bounds": (5.0, -5.0)}, "bounds must be an interval (low, high) with low < high, got (5.0, -5.0)"),
        ({"n": 21, "bounds": (1.0, 1.0)}, "bounds must be an interval"),
        ({"n": 21, "bounds": (-math.inf, 1.0)}, "bounds must be finite; bounds[0] is -inf"),
        ({"n": 21, "bounds": (math.nan, 1.0)}, "bounds must be finite; bounds[0] is nan"),
    ],
)
def test_grids_refuse(arguments: dict[str, object], message: str) -> None:
    with refused(message):
        cdp.presets.paper_toy().discretize(**arguments)


@pytest.mark.parametrize(
    ("arguments", "size"),
    [
        ({"n": 10**11}, "100,000,000,000 x 100,000,000,000 cells"),
        ({"n": 21, "n_y": 10**12}, "21 x 1,000,000,000,000 cells"),
        ({"n": 200_000, "kind": "points"}, "200,000 x 200,000 points"),
    ],
)
def test_grids_that_exceed_the_memory_are_refused_at_once(arguments: dict[str, object], size: str) -> None:
    problem = cdp.presets.paper_toy()
    start = time.perf_counter()
    tracemalloc.start()
    try:
        with pytest.raises(
            cdp.MemoryRefusedError, match=rf"{size} would need about [\d,.]+ GiB.*nothing was allocated"
        ):
            problem.discretize(**arguments)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert time.perf_counter() - start < 1
    assert peak < 2**20


def test_a_dense_table_of_a_long_grid_is_refused() -> None:
    grid = cdp.presets.paper_toy().discretize(n=200_000)
    for cost in (grid.error_cost, grid.distortion_cost):
        with pytest.raises(cdp.MemoryRefusedError, match=r"200000 x 200000 numbers would need about 298\.0 GiB"):
            cost.table()


def test_tables_take_no_grid() -> None:
    for arguments in ({"n": 21}, {"n_y": 21}, {"bounds": (-1.0, 1.0)}):
        with refused("a problem of tables is already finite; call discretize() without n, n_y and bounds"):
            cdp.presets.binary_conflict().discretize(**arguments)
    letters = PROBLEMS["letters_in_noise"]()[0]
    with refused("a continuous problem needs n"):
        letters.discretize()
    with refused("bounds describe the x-grid, but the source is already finite"):
        letters.discretize(n=21, bounds=(-1.0, 1.0))


def test_pieces_that_do_not_fit_are_refused() -> None:
    source, noise = cdp.presets.paper_toy().source, cdp.AdditiveGaussian(1.0)
    letters = cdp.TableSource([0.5, 0.5], np.eye(2))
    with refused("the classifier names class 2 (entry 2), but the source has classes 0 .. 1"):
        cdp.CDPProblem(source, noise, cdp.ThresholdClassifier([0.0, 1.0]))
    with refused("the classifier names class -1 (entry 0)"):
        cdp.CDPProblem(letters, cdp.binary_symmetric(0.1), cdp.TableClassifier([-1, 1]))
    with refused("a classifier table needs a finite source"):
        cdp.CDPProblem(source, noise, cdp.TableClassifier([0, 1])).discretize(n=21)
    with refused("a degradation table needs a finite source"):
        cdp.CDPProblem(source, cdp.binary_symmetric(0.1), cdp.BayesClassifier()).discretize(n=21)
    with refused('Hamming distortion is 1 on a continuous source; discretize with kind="points" instead'):
        cdp.CDPProblem(source, noise, cdp.BayesClassifier(), distortion="hamming").discretize(n=21)
    with refused("a distortion table needs a finite source"):
        cdp.CDPProblem(source, noise, cdp.BayesClassifier(), distortion=np.eye(21)).discretize(n=21)
    with refused("squared error needs x_values"):
        cdp.CDPProblem(letters, cdp.binary_symmetric(0.1), cdp.BayesClassifier()).discretize()
    with refused("additive Gaussian noise needs one-dimensional x_values"):
        cdp.CDPProblem(letters, noise, cdp.BayesClassifier(), distortion="hamming").discretize(n=21)
    with refused("source must be a Source such as ") as caught:
        cdp.CDPProblem("normal", noise, cdp.BayesClassifier())
    assert "GaussianMixture, " in str(caught.value) and str(caught.value).endswith("; got str")
    with refused("got BayesClassifier (an instance is needed, not the class)"):
        cdp.CDPProblem(source, noise, cdp.BayesClassifier)
    with refused("name must be text, got 3"):
        cdp.CDPProblem(source, noise, cdp.BayesClassifier(), name=3)
    with refused("class_cost has shape (3, 3); expected (2, 2), rows true classes"):
        cdp.CDPProblem(source, noise, cdp.BayesClassifier(), class_cost=np.ones((3, 3)))
    with refused("the classifier names class -1 (entry 0)"):
        cdp.CDPProblem(source, noise, cdp.ThresholdClassifier(0.0, [-1, 0]))
    for odd in (None, 3.0, {"squared": 1}, [1.0, 2.0], [[1.0], [1.0, 2.0]], object):
        with refused("distortion must be one of squared_error, absolute_error, hamming, or a table of numbers"):
            cdp.CDPProblem(source, noise, cdp.BayesClassifier(), distortion=odd)
    with refused("unknown perception '['kl']'; did you mean 'kl'?"):
        cdp.CDPProblem(source, noise, cdp.BayesClassifier(), perception=["kl"])
    with refused("unknown distortion 'squared'; did you mean 'squared_error'?"):
        cdp.CDPProblem(source, noise, cdp.BayesClassifier(), distortion="squared")


def test_hamming_works_on_points() -> None:
    toy = cdp.presets.paper_toy()
    problem = cdp.CDPProblem(toy.source, toy.degradation, toy.classifier, distortion="hamming")
    assert problem.discretize(n=21, kind="points").distortion_cost.table().max() <= 1


GOOD = dict(
    priors=[0.5, 0.5],
    p_x_given_class=[[1.0, 0.0, 0.0], [0.0, 0.5, 0.5]],
    p_y_given_x=[[0.9, 0.1], [0.1, 0.9], [0.5, 0.5]],
    classifier=[0, 1, 1],
    distortion="hamming",
)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"priors": [0.5, 0.6]}, "priors must sum to 1; the sum is 1.1"),
        ({"priors": [1.5, -0.5]}, "priors must not be negative; priors[1] is -0.5"),
        ({"priors": [0.5, 0.25, 0.25]}, "p_x_given_class has 2 rows, priors has 3 entries; they must agree"),
        ({"p_x_given_class": [[1, 0], [0, 1]]}, "p_y_given_x has 3 rows, p_x_given_class has 2 columns"),
        ({"p_x_given_class": [[1, 0, 0], [0, 0.5, 0.6]]}, "p_x_given_class, row 1, must sum to 1; the sum is 1.1"),
        ({"p_y_given_x": [[1, 0], [0, 1]]}, "p_y_given_x has 2 rows, p_x_given_class has 3 columns"),
        ({"p_y_given_x": [[0.9, 0.1]] * 2 + [[0.9, 0.2]]}, "p_y_given_x, row 2, must sum to 1; the sum is 1.1"),
        ({"classifier": [0, 1]}, "classifier has shape (2,); expected (3,), one class per output letter"),
        ({"classifier": [0, 1, 0.5]}, "the classifier must be one row of class indices, whole numbers"),
        ({"classifier": ["a", "b", "c"]}, "the classifier must be one row of class indices, whole numbers"),
        ({"classifier": [0, 1, -1]}, "the classifier names class -1 (entry 2)"),
        ({"classifier": [0, 1, 2]}, "the classifier names class 2 (entry 2), but the source has classes 0 .. 1"),
        ({"distortion": np.ones((2, 3))}, "distortion has shape (2, 3); expected (3, 3), rows x, columns xhat"),
        ({"distortion": [[math.nan] * 3] * 3}, "distortion must be finite; distortion[0, 0] is nan"),
        ({"distortion": "squared_error"}, "squared error needs x_values"),
        ({"distortion": "haming"}, "unknown distortion 'haming'; did you mean 'hamming'?"),
        ({"perception": "tvv"}, "unknown perception 'tvv'; did you mean 'tv'?"),
        ({"x_values": [0.0, 1.0]}, "x_values has shape (2,); expected (3,) or (3, dim)"),
        ({"x_values": np.zeros((3, 1, 1))}, "x_values has shape (3, 1, 1)"),
        ({"class_cost": np.ones((3, 3))}, "class_cost has shape (3, 3); expected (2, 2)"),
    ],
)
def test_from_tables_refuses(change: dict[str, object], message: str) -> None:
    cdp.DiscreteProblem.from_tables(**GOOD)
    with refused(message):
        cdp.DiscreteProblem.from_tables(**{**GOOD, **change})
