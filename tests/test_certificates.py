"""Certificates: bounds that hold whatever the hint was, channels that are what they say, verdicts from bounds alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from cases import PERCEPTIONS, finite_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse import csr_array
from test_solve import Tables, independent, random_tables

import cdp_toy as cdp
from cdp_toy import Hyperplane, Status
from cdp_toy.certificates import (
    FEASIBILITY_TOL,
    Evaluation,
    Program,
    channel_of,
    dual_bound,
    evaluate,
    mixed_to_feasible,
    verdict,
)

catalogue = pytest.mark.parametrize("name", PERCEPTIONS)
TOY = cdp.presets.paper_toy().discretize(n=31)


def assert_minorants(points: list[cdp.Solution]) -> None:
    """The hyperplane of every point lies below the upper bound of every other one."""
    for here in points:
        assert here.hyperplane.at(here.max_distortion, here.max_perception) == here.lower_bound
        for there in points:
            # a level may be exceeded by the feasibility tolerance, which is worth that much times the price
            prices = [x for x in (here.price_distortion, here.price_perception) if math.isfinite(x)]
            allowance = FEASIBILITY_TOL * (1 + sum(prices))
            assert here.hyperplane.at(there.max_distortion, there.max_perception) <= there.upper_bound + allowance


# lower bounds


@settings(deadline=None, derandomize=True, max_examples=20)
@given(data=st.data())
@catalogue
def test_no_prices_prove_more_than_the_truth(name: str, data: st.DataObject) -> None:
    rng = np.random.default_rng(data.draw(st.integers(0, 7), label="seed"))
    tables = random_tables(rng)
    problem = tables.problem(name)
    level = data.draw(st.sampled_from([0.0, 1e-4, 0.02, 0.3, math.inf]), label="level")
    _, least = independent(name, tables, tables.distortion_weight, math.inf, level)
    limit = least + data.draw(st.sampled_from([1e-3, 0.1, math.inf]), label="distortion to spare")
    _, truth = independent(name, tables, tables.error_weight, limit, level)
    program = Program(problem, problem.error_cost, limit, level)
    boundary = Program(problem, problem.distortion_cost, max_perception=level)
    for scale in (0.01, 1.0, 30.0):
        price, potential = rng.exponential(scale), rng.normal(size=problem.n_x) * scale
        bound = dual_bound(program, price, potential)
        assert bound.value <= truth + 1e-9
        assert bound.price_distortion >= 0
        assert bound.price_perception >= 0
        assert dual_bound(boundary, 0.0, potential).value <= least + 1e-9


def test_hints_that_are_not_numbers_are_harmless() -> None:
    truth = cdp.solve(TOY, 0.72, 0.004)
    program = Program(TOY, TOY.error_cost, 0.72, 0.004)
    broken = np.where(np.arange(TOY.n_x) % 2, np.nan, truth.potential)
    for price, potential in (
        (math.nan, np.full(TOY.n_x, math.nan)),
        (math.inf, np.full(TOY.n_x, -math.inf)),
        (-3.0, np.full(TOY.n_x, math.inf)),
        (truth.price_distortion, broken),
    ):
        bound = dual_bound(program, price, potential)
        assert math.isfinite(bound.value)
        assert bound.value <= truth.upper_bound


def test_corrupted_prices_give_a_worse_bound() -> None:
    truth = cdp.solve(TOY, 0.72, 0.004)
    program = Program(TOY, TOY.error_cost, 0.72, 0.004)
    again = dual_bound(program, truth.price_distortion, truth.potential)
    assert again.value == pytest.approx(truth.lower_bound, abs=1e-14)
    rng = np.random.default_rng(3)
    for scale in (0.01, 0.1, 1.0):
        potential = truth.potential * (1 + scale * rng.normal(size=TOY.n_x))
        worse = dual_bound(program, truth.price_distortion, potential)
        assert worse.value < truth.lower_bound - 1e-6
    assert dual_bound(program, truth.price_distortion + 1.0, truth.potential).value < truth.lower_bound - 1e-3


@pytest.mark.parametrize("seed", range(3))
@catalogue
def test_hyperplanes_lie_below_the_surface(name: str, seed: int) -> None:
    tables = random_tables(np.random.default_rng([seed, len(name), 7]))
    problem = tables.problem(name)
    points = []
    for level in (0.0, 0.003, 0.1, math.inf):
        least = cdp.min_distortion(problem, level).upper
        points += [cdp.solve(problem, least + spare, level, tol=1e-6) for spare in (1e-3, 0.05, math.inf)]
    assert_minorants(points)


def test_hyperplanes_of_the_toy() -> None:
    pairs = [(0.72, 0.0), (0.70, 0.004), (0.72, 0.004), (0.70, 0.02), (0.69, 0.05), (math.inf, 0.002), (0.75, math.inf)]
    points = [cdp.solve(TOY, *pair, tol=1e-7, on_infeasible="return") for pair in pairs]
    feasible = [p for p in points if p.status is not Status.INFEASIBLE]
    assert len(feasible) >= 5
    assert_minorants(feasible)


def test_hyperplanes_at_infinite_levels() -> None:
    flat = Hyperplane(0.2, math.inf, 0.1, 0.0, 2.0)
    assert flat.at(0.7, 0.2) == pytest.approx(0.0)
    assert flat.at(math.inf, 0.1) == 0.2
    vertical = Hyperplane(0.2, 0.7, 0.0, 0.0, math.inf)
    assert vertical.at(0.7, 0.0) == 0.2
    assert vertical.at(0.7, 1e-9) == -math.inf


# channels


@pytest.mark.parametrize("seed", range(3))
@catalogue
def test_claims_follow_from_the_channel(name: str, seed: int) -> None:
    tables = random_tables(np.random.default_rng([seed, len(name), 11]))
    least = cdp.min_distortion(tables.problem(name), 0.01).upper
    point = cdp.solve(tables.problem(name), least + 0.02, 0.01, tol=1e-6)
    assert_channel_is_honest(name, tables, point)


def assert_channel_is_honest(name: str, tables: Tables, point: cdp.Solution) -> None:
    """Every number of a point, recomputed from its channel and the raw tables."""
    channel = point.channel
    assert channel.shape == (len(tables.p_y), len(tables.p_x))
    assert channel.min() >= 0
    assert np.abs(channel.sum(axis=1) - 1).max() <= 1e-14 * channel.size
    assert point.error_rate == pytest.approx((tables.error_weight * channel).sum(), abs=1e-13)
    # never below the proven lower bound, which a violation within the tolerance can undercut by its price
    assert point.error_rate <= point.upper_bound <= point.error_rate + 1e-11
    assert point.distortion == pytest.approx((tables.distortion_weight * channel).sum(), abs=1e-13)
    law = tables.p_y @ channel
    assert np.abs(point.output_law - law).max() <= 1e-15
    assert point.perception == pytest.approx(PERCEPTIONS[name](tables.p_x, law), rel=1e-9, abs=1e-12)
    assert point.distortion <= point.max_distortion + 1e-12
    assert point.perception <= point.max_perception + 1e-12


@pytest.mark.parametrize("name", ["threshold_0", "three_classes", "class_cost", "identity", "letters_in_noise"])
def test_claims_on_grids_follow_from_their_tables(name: str) -> None:
    problem = finite_problem(name)
    least = cdp.min_distortion(problem, 0.02, tol=1e-6).upper
    point = cdp.solve(problem, least + 0.02, 0.02, tol=1e-5)
    assert point.status is Status.OPTIMAL
    joint = problem.p_y[:, None] * point.channel
    assert point.error_rate == pytest.approx((joint * problem.error_cost.table()).sum(), abs=1e-13)
    assert point.distortion == pytest.approx((joint * problem.distortion_cost.table()).sum(), abs=1e-12)
    law = PERCEPTIONS[problem.perception.name](problem.p_x, joint.sum(axis=0))
    assert point.perception == pytest.approx(law, abs=1e-12)
    assert max(point.distortion - point.max_distortion, point.perception - point.max_perception) <= 1e-12


def test_a_corrupted_channel_gives_a_worse_but_valid_value() -> None:
    point = cdp.solve(TOY, 0.72, 0.004)
    program = Program(TOY, TOY.error_cost, 0.72, 0.004)
    joint = TOY.p_y[:, None] * point.channel
    rng = np.random.default_rng(4)
    anchor = evaluate(program, channel_of(program, np.outer(TOY.p_y, TOY.p_x)))
    assert not anchor.feasible  # the independent coupling restores nothing
    anchor = evaluate(program, cdp.min_distortion(TOY, 0.003).witness)
    assert anchor.feasible
    for scale in (1e-6, 1e-3, 0.3):
        noisy = joint * np.exp(scale * rng.normal(size=joint.shape)) * rng.uniform(0.5, 2)
        noisy[5] = np.nan
        noisy[6] = -1.0
        found = mixed_to_feasible(program, evaluate(program, channel_of(program, noisy)), anchor)
        assert found.feasible
        assert np.abs(found.channel.sum(axis=1) - 1).max() < 1e-13
        assert found.objective >= point.lower_bound
        assert found.objective > point.upper_bound - 1e-8
    untouched = mixed_to_feasible(program, anchor, anchor)
    assert untouched is anchor


def test_channels_keep_to_their_support() -> None:
    tables = random_tables(np.random.default_rng(1), n_x=3)._replace(
        p_x_given_class=np.array([[0.5, 0.5, 0.0], [0.2, 0.8, 0.0]]),
        priors=np.array([0.5, 0.5]),
        classifier=np.array([0, 1, 1]),
        class_cost=None,
        distortion="hamming",
    )
    for name in ("reverse_kl", "reverse_chi2"):
        problem = tables.problem(name)
        program = Program(problem, problem.error_cost, math.inf, 0.1)
        channel = channel_of(program, np.ones(problem.shape)).toarray()
        assert channel[:, 2].max() == 0
        assert channel.sum(axis=1) == pytest.approx(1.0)
        nothing = channel_of(program, np.zeros(problem.shape)).toarray()
        assert nothing == pytest.approx(np.tile(problem.p_x, (problem.n_y, 1)))


# verdicts


def evaluation(objective: float, violation: float) -> Evaluation:
    return Evaluation(csr_array((1, 1)), objective, objective, 0.0, 0.0, violation)


@pytest.mark.parametrize(
    ("lower", "objective", "violation", "status"),
    [
        (0.2, 0.2, 0.0, Status.OPTIMAL),
        (0.2, 0.2 + 5e-9, 0.0, Status.OPTIMAL),
        (0.2, 0.2 + 5e-8, 0.0, Status.INEXACT),
        (-math.inf, 0.2, 0.0, Status.INEXACT),
        (0.2, 0.2, FEASIBILITY_TOL, Status.OPTIMAL),
        (0.2, 0.2, 2 * FEASIBILITY_TOL, Status.UNDECIDED),
        (0.2, 0.2, math.inf, Status.UNDECIDED),
        (0.2, 0.2, math.nan, Status.UNDECIDED),
    ],
)
def test_verdicts_follow_from_bounds(lower: float, objective: float, violation: float, status: Status) -> None:
    assert verdict(lower, evaluation(objective, violation), 1e-8) is status


def test_without_a_channel_nothing_is_decided() -> None:
    assert verdict(0.2, None, 1e-8) is Status.UNDECIDED


def test_summaries_tell_bounds_and_remedy() -> None:
    point = cdp.solve(TOY, 0.75, 0.05)
    text = point.summary()
    for number in (point.lower_bound, point.upper_bound, point.distortion):
        assert f"{number:.12f}" in text
    assert point.status.value in text
    assert "OPTIMAL" in text
    inexact = dataclasses.replace(point, status=Status.INEXACT, lower_bound=0.1)
    assert inexact.gap == inexact.upper_bound - 0.1
    assert "raise tol" in inexact.summary()
