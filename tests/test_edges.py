"""Edges: one letter, one class, letters that never occur, levels 0 and infinity, the floor and where it begins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import PERCEPTIONS
from scipy.optimize import linprog
from test_solve import assert_certified, independent, linear_program, random_tables

import cdp_toy as cdp
from cdp_toy import DiscreteProblem, InfeasibleError, InputError, Status
from cdp_toy.certificates import Program
from cdp_toy.edges import coupling, without_perception

Array = np.ndarray
catalogue = pytest.mark.parametrize("name", PERCEPTIONS)

PRIORS = np.array([0.6, 0.4])
TRANSITION = np.array([[0.7, 0.2, 0.1], [0.2, 0.5, 0.3], [0.1, 0.3, 0.6]])


# degenerate alphabets


@catalogue
def test_a_constant_classifier_leaves_nothing_to_choose(name: str) -> None:
    tables = random_tables(np.random.default_rng(3), n_x=3)._replace(classifier=np.zeros(3, dtype=int), class_cost=None)
    problem = tables.problem(name)
    expected = 1 - tables.priors[0]
    for level in (0.0, 0.01, math.inf):
        least = cdp.min_distortion(problem, level).upper
        point = cdp.solve(problem, least + 0.01, level)
        assert point.status is Status.OPTIMAL
        assert point.lower_bound == pytest.approx(expected, abs=1e-8)
        assert point.upper_bound == pytest.approx(expected, abs=1e-13)
        flat = cdp.flat_distortion(problem, level)
        assert flat is not None  # every channel is error-optimal
        assert flat.upper == pytest.approx(least, abs=1e-8)


@catalogue
def test_one_source_letter(name: str) -> None:
    problem = DiscreteProblem.from_tables(
        PRIORS, [[1.0], [1.0]], [[0.3, 0.7]], [1], distortion="hamming", perception=name
    )
    for limit, level in ((0.0, 0.0), (0.1, 0.2), (math.inf, math.inf)):
        point = cdp.solve(problem, limit, level)
        assert point.status is Status.OPTIMAL
        assert point.error_rate == pytest.approx(0.6)
        assert (point.distortion, point.perception) == (0.0, 0.0)
        assert np.array_equal(point.channel, np.ones((2, 1)))
    with pytest.raises(InfeasibleError, match="D_min = 0"):
        cdp.solve(problem, -1e-3, 0.1)


@catalogue
def test_one_observation_letter(name: str) -> None:
    """Nothing is observed: error and distortion are linear in the output law alone."""
    tables = random_tables(np.random.default_rng(2), n_x=3)._replace(
        priors=PRIORS,
        p_x_given_class=np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]]),
        p_y_given_x=np.ones((3, 1)),
        classifier=np.array([0, 1, 1]),
        distortion="hamming",
        class_cost=None,
    )
    problem = tables.problem(name)
    assert cdp.solve(problem, max_perception=0.0).error_rate == pytest.approx(
        1 - (0.6 * tables.p_x[0] + 0.4 * tables.p_x[1:].sum())
    )
    for limit in (0.665, 0.7, math.inf):
        point = cdp.solve(problem, limit, 0.02, tol=1e-7)
        assert_certified(point, *independent(name, tables, tables.error_weight, limit, 0.02))
        assert point.output_law == pytest.approx(point.channel[0])


@catalogue
def test_identity_degradation_restores_everything(name: str) -> None:
    problem = DiscreteProblem.from_tables(
        PRIORS,
        [[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]],
        np.eye(3),
        [0, 0, 1],
        x_values=[-1.0, 0.0, 2.0],
        perception=name,
    )
    for level in (0.0, 1e-6, 0.1):
        point = cdp.solve(problem, 0.0, level)
        assert point.status is Status.OPTIMAL
        assert point.error_rate == pytest.approx(0.4 * 0.25)  # the middle letter of the second class is misread
        assert cdp.min_distortion(problem, level).upper == pytest.approx(0.0, abs=1e-9)
    assert np.array_equal(cdp.solve(problem, 0.0, 0.0).channel.round(9), np.eye(3))


# letters that never occur


def with_silent_letters(name: str) -> tuple[DiscreteProblem, DiscreteProblem]:
    """A problem, and the same with a source letter and an observation of probability zero added."""
    laws = np.array([[0.5, 0.3, 0.2], [0.1, 0.3, 0.6]])
    plain = DiscreteProblem.from_tables(PRIORS, laws, TRANSITION, [0, 1, 1], x_values=[0.0, 1.0, 2.0], perception=name)
    transition = np.vstack([np.insert(TRANSITION, 1, 0.0, axis=1), [0.25, 0.0, 0.25, 0.5]])
    silent = DiscreteProblem.from_tables(
        PRIORS,
        np.insert(laws, 3, 0.0, axis=1),
        transition,
        [0, 1, 1, 0],
        x_values=[0.0, 1.0, 2.0, 9.0],  # out of the way: never worth its distortion
        perception=name,
    )
    return plain, silent


@catalogue
def test_silent_letters_out_of_the_way_change_nothing(name: str) -> None:
    plain, silent = with_silent_letters(name)
    for level in (0.0, 1e-4, 0.05, math.inf):
        a, b = cdp.min_distortion(plain, level), cdp.min_distortion(silent, level)
        assert max(a.lower, b.lower) <= min(a.upper, b.upper) + 1e-9
        assert max(a.gap, b.gap) <= 1e-7
        for spare in (1e-3, 0.1):
            one = cdp.solve(plain, a.upper + spare, level, tol=1e-7)
            two = cdp.solve(silent, a.upper + spare, level, tol=1e-7)
            assert one.status is two.status is Status.OPTIMAL
            # nine is far, but the price of distortion vanishes once the level is generous
            assert two.lower_bound <= one.upper_bound + 1e-9
            if spare < 0.1:
                assert one.lower_bound <= two.upper_bound + 1e-7
            assert two.channel.sum(axis=1) == pytest.approx(1.0)


@pytest.mark.parametrize("level", [0.0, 1e-6, 1e-3, 0.05, math.inf])
@catalogue
def test_silent_letters_may_receive_mass(name: str, level: float) -> None:
    """A letter that the source never shows, with the least distortion: used as far as the divergence allows."""
    tables = random_tables(np.random.default_rng(0), n_x=3)._replace(
        priors=PRIORS,
        p_x_given_class=np.array([[0.7, 0.0, 0.3], [0.2, 0.0, 0.8]]),
        p_y_given_x=np.array([[0.6, 0.0, 0.4], [0.2, 0.3, 0.5], [0.3, 0.0, 0.7]]),
        classifier=np.array([0, 1, 1]),
        distortion="squared_error",
        x_values=np.array([-1.0, 0.0, 1.0]),
        class_cost=None,
    )
    problem = tables.problem(name)
    assert problem.p_x[1] == 0
    assert problem.p_y[1] == 0
    low, high = independent(name, tables, tables.distortion_weight, math.inf, level)
    bracket = cdp.min_distortion(problem, level)
    assert bracket.lower - 3e-8 <= high
    assert low <= bracket.upper + 3e-8
    assert bracket.gap <= 1e-7
    received = float(tables.p_y @ bracket.witness.toarray()[:, 1])
    if level == 0 or (name in ("reverse_kl", "reverse_chi2") and math.isfinite(level)):
        assert received <= 1e-12
    elif level >= 0.05:
        assert received > 0.03
    for limit in (high + 1e-4, high + 0.05, math.inf):
        point = cdp.solve(problem, limit, level, tol=1e-7)
        assert_certified(point, *independent(name, tables, tables.error_weight, limit, level))


@pytest.mark.parametrize("level", [1e-6, 1e-3])
def test_silent_letters_of_duplicated_place(level: float) -> None:
    """The multipliers of silent letters must not spoil those of the others."""
    tables = random_tables(np.random.default_rng(47))
    assert tables.p_x.min() == 0
    low, high = independent("tv", tables, tables.distortion_weight, math.inf, level)
    bracket = cdp.min_distortion(tables.problem("tv"), level)
    assert bracket.gap <= 1e-7
    assert low - 3e-8 <= bracket.upper
    assert bracket.lower <= high + 3e-8


@pytest.mark.parametrize("spare", [1e-3, math.inf])
def test_silent_letters_at_perception_zero(spare: float) -> None:
    tables = random_tables(np.random.default_rng(240))
    assert tables.p_x.min() == 0
    low, _ = independent("chi2", tables, tables.distortion_weight, math.inf, 0.0)
    point = cdp.solve(tables.problem("chi2"), low + spare, 0.0, tol=1e-7)
    assert_certified(point, *independent("chi2", tables, tables.error_weight, low + spare, 0.0))


# perception 0 and infinity


@pytest.mark.parametrize("seed", range(8))
def test_perception_zero_is_a_transport_problem(seed: int) -> None:
    rng = np.random.default_rng([seed, 21])
    tables = random_tables(rng)
    name = list(PERCEPTIONS)[seed % len(PERCEPTIONS)]
    n_y, n_x = tables.error_weight.shape

    def value(weight: Array, limit: float) -> float:
        answer = linprog(
            weight.ravel(),
            A_ub=tables.distortion_weight.reshape(1, -1) if math.isfinite(limit) else None,
            b_ub=[limit] if math.isfinite(limit) else None,
            A_eq=np.vstack([np.kron(np.eye(n_y), np.ones(n_x)), np.kron(tables.p_y, np.eye(n_x))]),
            b_eq=np.concatenate([np.ones(n_y), tables.p_x]),
        )
        assert answer.status == 0
        return float(answer.fun)

    problem = tables.problem(name)
    least = value(tables.distortion_weight, math.inf)
    bracket = cdp.min_distortion(problem, 0.0)
    assert bracket.lower - 1e-8 <= least <= bracket.upper + 1e-8
    for limit in (least + 1e-4, least + 0.03, math.inf):
        truth = value(tables.error_weight, limit)
        point = cdp.solve(problem, limit, 0.0, tol=1e-7)
        assert_certified(point, truth, truth)
        assert "P = 0" in point.note
        assert point.output_law == pytest.approx(tables.p_x, abs=1e-12)


def test_perception_zero_means_the_source_law_itself() -> None:
    """Divergences are quadratic near the source law: 1e-12 of one is 1e-6 of a law, too much to call it equal."""
    tables = random_tables(np.random.default_rng(700))
    low, _ = independent("reverse_kl", tables, tables.distortion_weight, math.inf, 0.0)
    bracket = cdp.min_distortion(tables.problem("reverse_kl"), 0.0)
    assert tables.p_y @ bracket.witness.toarray() == pytest.approx(tables.p_x, abs=1e-12)
    assert bracket.upper >= low - 1e-9


@pytest.mark.parametrize("seed", range(12))
def test_without_a_perception_level_the_knapsack_is_exact(seed: int) -> None:
    tables = random_tables(np.random.default_rng([seed, 22]))
    problem = tables.problem("kl")
    empty = np.zeros((0, len(tables.p_x)))
    free = np.ones(len(tables.p_x), dtype=bool)
    least = float(tables.distortion_weight.min(axis=1).sum())
    for limit in (least, least + 1e-6, least + 0.01, least + 0.2, math.inf):
        found = linear_program(tables.error_weight, tables, limit + 1e-13, empty, np.zeros(0), free)
        assert found is not None
        point = cdp.solve(problem, limit + 1e-13, math.inf, tol=1e-7)
        assert point.upper_bound == pytest.approx(found[0], abs=1e-7)
        assert point.lower_bound == pytest.approx(found[0], abs=1e-7)
        assert "knapsack" in point.solver or "closed form" in point.solver
    bracket = cdp.min_distortion(problem, math.inf)
    assert bracket.upper == pytest.approx(least, abs=1e-13)
    assert bracket.gap <= 1e-12


def test_the_closed_form_mixes_at_most_the_rows_of_one_price() -> None:
    grid = cdp.presets.paper_toy().discretize(n=31)
    least = cdp.min_distortion(grid, math.inf).upper
    hint = without_perception(Program(grid, grid.error_cost, least + 1e-5))
    assert hint.joint is not None
    assert hint.joint.sum(axis=1) == pytest.approx(grid.p_y)
    assert np.sum((hint.joint > 0).sum(axis=1) > 1) <= 1


@pytest.mark.parametrize("seed", range(5))
def test_the_coupling_reproduces_both_laws(seed: int) -> None:
    tables = random_tables(np.random.default_rng([seed, 23]))
    joint = coupling(tables.problem("kl"))
    assert joint.min() >= 0
    assert joint.sum(axis=1) == pytest.approx(tables.p_y, abs=1e-15)
    assert joint.sum(axis=0) == pytest.approx(tables.p_x, abs=1e-15)


# the floor


@pytest.mark.parametrize("seed", range(4))
@catalogue
def test_the_floor_begins_where_flat_distortion_says(name: str, seed: int) -> None:
    tables = random_tables(np.random.default_rng([seed, len(name), 24]))
    problem = tables.problem(name)
    floor = float(tables.error_weight.min(axis=1).sum())
    assert problem.error_floor == pytest.approx(floor, abs=1e-14)
    level = 0.2
    flat = cdp.flat_distortion(problem, level)
    _, lowest = independent(name, tables, tables.error_weight, math.inf, level)
    if flat is None:
        assert lowest > floor - 1e-9
        return
    assert flat.gap <= 1e-7
    point = cdp.solve(problem, flat.upper, level, tol=1e-7)
    assert point.status is Status.OPTIMAL
    assert point.upper_bound == pytest.approx(floor, abs=1e-7)
    least = cdp.min_distortion(problem, level)
    assert least.lower <= flat.upper + 1e-9
    if flat.lower - least.upper > 0.05:
        before = (flat.lower + least.upper) / 2
        assert independent(name, tables, tables.error_weight, before, level)[0] > floor + 1e-6
        assert cdp.solve(problem, before, level, tol=1e-7).lower_bound > floor + 1e-7


def test_the_floor_of_the_toy() -> None:
    grid = cdp.presets.paper_toy().discretize(n=31)
    flat = cdp.flat_distortion(grid, 0.006)
    assert flat is not None
    assert flat.gap < 1e-8
    on = cdp.solve(grid, flat.upper, 0.006)
    assert on.upper_bound == pytest.approx(grid.error_floor, abs=1e-8)
    before = (flat.lower + cdp.min_distortion(grid, 0.006).upper) / 2
    assert cdp.solve(grid, before, 0.006).lower_bound > grid.error_floor + 1e-8


def test_where_the_floor_is_out_of_reach_there_is_no_flat_distortion() -> None:
    grid = cdp.presets.paper_toy().discretize(n=31)
    for level in (0.0, 0.002):
        assert cdp.flat_distortion(grid, level) is None
        assert cdp.solve(grid, max_perception=level).lower_bound > grid.error_floor + 1e-5
    assert cdp.flat_distortion(grid, -1.0) is None


def test_boundaries_at_senseless_levels() -> None:
    grid = cdp.presets.binary_conflict().discretize()
    nothing = cdp.min_distortion(grid, -1e-9)
    assert (nothing.lower, nothing.upper, nothing.witness, nothing.gap) == (math.inf, math.inf, None, 0.0)
    for function in (cdp.min_distortion, cdp.flat_distortion):
        with pytest.raises(InputError, match="NaN"):
            function(grid, math.nan)
        with pytest.raises(InputError, match="discretize"):
            function(cdp.presets.paper_toy(), 0.1)
