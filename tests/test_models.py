"""Every model of the catalogue against draws from it: cells, posteriors, moments, and channels that are returned."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import MODELS, model_problem
from numpy.testing import assert_allclose

import cdp_toy as cdp
from cdp_toy.observation import whole
from cdp_toy.problem import checked_class_cost

models = pytest.mark.parametrize("name", MODELS)
COUNT = 200_000


def draws(model: cdp.CDPProblem, count: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Classes, values and observations."""
    rng = np.random.default_rng(seed)
    labels, x = model.source.sample(count, rng)
    return labels, x, model.degradation.sample(x, rng)


def assert_frequency(hits: np.ndarray, expected: np.ndarray, count: int) -> None:
    """Counts of draws agree with probabilities within five standard errors (and a few draws where rare)."""
    expected = np.clip(expected, 0, 1)
    allowed = 5 * np.sqrt(expected * (1 - expected) / count) + 10 / count
    assert np.all(np.abs(hits / count - expected) <= allowed)


# laws


@models
def test_probabilities_are_probabilities(name: str) -> None:
    problem, (model, _) = model_problem(name), MODELS[name]()
    for law in (problem.p_x, problem.p_y):
        assert law.min() >= 0
        assert_allclose(law.sum(), 1.0, rtol=1e-13)
    assert problem.posterior.min() >= 0
    assert_allclose(problem.posterior.sum(axis=1), 1.0, rtol=1e-12)
    accuracy = 1e-13 if model.source.exact else 1e-8
    assert_allclose(problem.p_y @ problem.posterior, model.source.priors, atol=accuracy)
    shares = problem.error_cost.decision
    assert shares.min() >= 0
    assert_allclose(shares.sum(axis=1), 1.0, rtol=1e-14)
    table = problem.error_cost.table()
    assert table.min() >= 0 and table.max() <= 1 + 1e-14


@models
def test_cells_keep_the_moments_of_the_source(name: str) -> None:
    problem, (model, _) = model_problem(name), MODELS[name]()
    dim = model.source.dim
    total = whole(model.source, np.zeros(dim))
    priors = np.asarray(model.source.priors)
    first, second = np.einsum("c,cnd->d", priors, total.first), float(priors @ total.second[:, 0])
    cost = problem.distortion_cost
    accuracy = 1e-12 if model.source.exact else 1e-7
    assert_allclose(problem.p_x @ problem.x_values, first, atol=accuracy)
    assert_allclose(problem.p_y @ cost.mean_y, first, atol=accuracy)
    assert_allclose(problem.p_x @ ((problem.x_values**2).sum(axis=1) + cost.variance_x), second, rtol=accuracy)
    assert_allclose(problem.p_y @ ((cost.mean_y**2).sum(axis=1) + cost.variance_y), second, rtol=accuracy)


@models
def test_classes_on_cells_without_a_cut_are_those_of_the_classifier(name: str) -> None:
    problem, (model, _) = model_problem(name), MODELS[name]()
    rng = np.random.default_rng(0)
    pure = problem.error_cost.decision.max(axis=1) == 1
    class_cost = checked_class_cost(None, model.source.n_classes)
    _, x = model.source.sample(20_000, rng)
    cells = problem.grid.x_cells.locate(x)
    decided = model.classifier.decide(model.source, class_cost, x)
    agree = decided == problem.classes[cells]
    assert agree[pure[cells]].mean() >= (1.0 if problem.continuous_bound else 0.999)


# against draws


@models
def test_cells_posteriors_and_means_agree_with_draws(name: str) -> None:
    problem, (model, _) = model_problem(name), MODELS[name]()
    labels, x, y = draws(model, COUNT, seed=1)
    cells_x, cells_y = problem.grid.x_cells.locate(x), problem.grid.y_cells.locate(y)
    assert_frequency(np.bincount(cells_x, minlength=problem.n_x), problem.p_x, COUNT)
    joint = np.zeros((problem.n_y, model.source.n_classes))
    np.add.at(joint, (cells_y, labels), 1)
    assert_frequency(joint, problem.p_y[:, None] * problem.posterior, COUNT)  # also: p_Y is p_X pushed forward
    x = x.reshape(COUNT, -1)
    cost = problem.distortion_cost
    for cells, mean, variance in (
        (cells_x, problem.x_values, cost.variance_x),
        (cells_y, cost.mean_y, cost.variance_y),
    ):
        for cell in np.flatnonzero(np.bincount(cells) > 500):
            mine = x[cells == cell]
            spread = mine.std(axis=0) / math.sqrt(len(mine))
            assert np.all(np.abs(mine.mean(axis=0) - mean[cell]) <= 5 * spread + 1e-9)
            square = ((mine - mean[cell]) ** 2).sum(axis=1)
            assert abs(square.mean() - variance[cell]) <= 5 * square.std() / math.sqrt(len(mine)) + 1e-9


@models
def test_shares_of_cut_cells_agree_with_draws(name: str) -> None:
    problem, (model, _) = model_problem(name), MODELS[name]()
    class_cost = checked_class_cost(None, model.source.n_classes)
    _, x = model.source.sample(COUNT, np.random.default_rng(2))
    decided = model.classifier.decide(model.source, class_cost, x)
    joint = np.zeros(problem.error_cost.decision.shape)
    np.add.at(joint, (problem.grid.x_cells.locate(x), decided), 1)
    assert_frequency(joint, problem.p_x[:, None] * problem.error_cost.decision, COUNT)


@models
def test_the_returned_channel_does_on_the_continuous_model_what_it_claims(name: str) -> None:
    """Monte Carlo of the channel: error rate and distortion within three standard errors."""
    problem, (model, _) = model_problem(name), MODELS[name]()
    least = cdp.min_distortion(problem, 0.05, tol=1e-5)
    assert least.witness is not None
    point = cdp.solve(problem, least.upper + 0.05, 0.05, tol=1e-4)
    labels, x, y = draws(model, COUNT, seed=3)
    restored = point.sample(y, np.random.default_rng(4))
    assert restored.shape == x.shape
    class_cost = checked_class_cost(None, model.source.n_classes)
    wrong = model.classifier.decide(model.source, class_cost, restored) != labels
    assert abs(wrong.mean() - point.error_rate) <= 3 * wrong.std() / math.sqrt(COUNT)
    square = ((restored - x) ** 2).reshape(COUNT, -1).sum(axis=1)
    assert abs(square.mean() - point.distortion) <= 3 * square.std() / math.sqrt(COUNT)
    letters = problem.grid.x_cells.locate(restored)
    assert_frequency(np.bincount(letters, minlength=problem.n_x), point.output_law, COUNT)


# upper bounds


@pytest.mark.parametrize(
    ("name", "coarse", "fine"),
    [
        ("paper_toy", {"n": 12}, {"n": 22}),
        ("laplace", {"n": 12}, {"n": 22}),
        ("erased", {"n": 12}, {"n": 22}),
        ("plane_toy", {"n": 6}, {"n": 10}),
        ("plane_curved", {"n": 6}, {"n": 10}),
        ("inpainting", {"n": 6, "n_y": 7}, {"n": 8, "n_y": 12}),
    ],
)
def test_a_finer_grid_gives_a_better_upper_bound(name: str, coarse: dict[str, int], fine: dict[str, int]) -> None:
    """Splitting cells can only help, and cells are split (but for the class boundaries) when their number doubles."""
    model = cdp.presets.paper_toy(threshold=0.0) if name == "paper_toy" else MODELS[name]()[0]
    grids = model.discretize(**coarse), model.discretize(**fine)
    least = [cdp.min_distortion(grid, 0.1, tol=1e-5) for grid in grids]
    assert least[1].upper < least[0].lower
    limit = least[0].upper + 0.01
    values = [cdp.solve(grid, limit, 0.1, tol=1e-5) for grid in grids]
    assert values[1].upper_bound <= values[0].lower_bound + 1e-5


def test_estimated_boundaries_and_integrals_are_no_bound_of_the_continuous_problem() -> None:
    for name in ("callable_line", "callable_in_the_plane", "density"):
        problem = model_problem(name)
        assert not problem.continuous_bound
        point = cdp.solve(problem, math.inf, math.inf)
        assert point.continuous_upper_bound is None
        assert "both bounds are the grid's alone" in point.summary()
    point = cdp.solve(model_problem("plane_toy"), math.inf, math.inf)
    assert point.continuous_upper_bound == point.upper_bound
