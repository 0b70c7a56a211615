"""The interior-point method: its pieces against differences, its answers against the reference, its refusals."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from cases import PERCEPTIONS, PROBLEMS, finite_problem
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from test_solve import random_tables

import cdp_toy as cdp
from cdp_toy.certificates import Program
from cdp_toy.perceptions import perception_from
from cdp_toy.solvers import interior_point

SMOOTH = [name for name in PERCEPTIONS if perception_from(name).smooth]
smooth = pytest.mark.parametrize("name", SMOOTH)


@smooth
@settings(deadline=None, max_examples=40)
@given(ratio=st.floats(-6.0, 2.0).map(lambda x: 10.0**x))
def test_descents_fall_as_the_curvature_says_and_have_inverses(name: str, ratio: float) -> None:
    divergence, r = perception_from(name), np.array([ratio])
    last = divergence.slope_at_infinity if math.isfinite(divergence.slope_at_infinity) else 0.0
    h = 1e-5 * ratio
    ends = np.array([ratio - h - 1, ratio + h - 1])  # the excesses as they are rounded
    below, above = divergence.generator(ends)
    scale = 1 + abs(float(divergence.generator(r - 1)[0])) / ratio
    assert_allclose(last - divergence.descent(r), (above - below) / (ends[1] - ends[0]), rtol=1e-6, atol=1e-6 * scale)
    low, high = (divergence.descent(np.array([ratio + s * h])) for s in (-1, 1))
    rounded = 2.0**-52 * float(np.abs(divergence.descent(r))[0]) / h  # what rounding does to the quotient
    assert_allclose(divergence.curvature(r), (low - high) / (2 * h), rtol=1e-5, atol=4 * rounded)
    # rounding of the descent is worth that much of the ratio divided by the curvature
    rounding = 4 * 2.0**-52 * (1 + np.abs(divergence.descent(r))) / divergence.curvature(r) + 8 * 2.0**-52 * ratio
    assert np.all(np.abs(divergence.ratio_at(divergence.descent(r)) - ratio) <= 2 * rounding)
    assert float(divergence.descent(r)[0]) >= 0 or not math.isfinite(divergence.slope_at_infinity)


def test_only_smooth_divergences_at_positive_levels_suit_it() -> None:
    grid = finite_problem("paper_toy")
    for level, suits in ((0.01, True), (0.0, False), (math.inf, False)):
        assert interior_point.suits(Program(grid, grid.error_cost, 1.0, level)) is suits
    with pytest.raises(cdp.InputError, match=re.escape("needs a smooth divergence (kl, reverse_kl,")):
        cdp.solve(finite_problem("two_boundaries"), 2.0, 0.1, solver="interior_point")
    with pytest.raises(cdp.InputError, match="the divergence tv has no smooth generator"):
        perception_from("tv").curvature(np.ones(1))
    with pytest.raises(cdp.InputError, match="unknown solver 'interior'; did you mean 'interior_point'"):
        cdp.solve(grid, 1.0, 0.1, solver="interior")  # type: ignore[arg-type]


@pytest.mark.parametrize("threshold", [None, 0.0])
@pytest.mark.parametrize("level", [0.001, 0.003, 0.01])
def test_the_toy_at_201_cells_is_certified(threshold: float | None, level: float) -> None:
    grid = cdp.presets.paper_toy(threshold).discretize(n=201)
    least = cdp.min_distortion(grid, level)
    assert least.gap <= 1e-9
    point = cdp.solve(grid, least.upper + 0.003, level, solver="interior_point", boundary=least)
    assert point.status is cdp.Status.OPTIMAL
    assert point.gap <= 1e-8
    assert point.solver == "interior point"


@smooth
@pytest.mark.parametrize("seed", range(4))
def test_it_agrees_with_the_reference(name: str, seed: int) -> None:
    tables = random_tables(np.random.default_rng([seed, len(name), 23]))
    problem = tables.problem(name)
    for level in (1e-4, 0.02, 0.4):
        least = cdp.min_distortion(problem, level).upper
        for spare in (1e-3, 0.1):
            first, second = (
                cdp.solve(problem, least + spare, level, tol=1e-7, solver=solver)
                for solver in ("interior_point", "reference")
            )
            assert first.lower_bound <= second.upper_bound + 1e-11
            assert second.lower_bound <= first.upper_bound + 1e-11
            assert first.gap <= max(1e-7, second.gap)


@pytest.mark.parametrize("name", [n for n in PROBLEMS if finite_problem(n).perception.smooth])
def test_alone_it_solves_the_catalogue(name: str) -> None:
    problem = finite_problem(name)
    for level in (0.003, 0.05):
        least = cdp.min_distortion(problem, level)
        spread = cdp.min_distortion(problem, 0.0).upper - least.upper
        point = cdp.solve(problem, least.upper + max(0.2 * spread, 1e-4), level, solver="interior_point")
        assert point.status is cdp.Status.OPTIMAL, point.summary()


@settings(deadline=None, derandomize=True, max_examples=60)
@given(
    seed=st.integers(0, 10_000), name=st.sampled_from(SMOOTH), nasty=st.sampled_from(["ties", "sure", "light", "twin"])
)
def test_nasty_problems_get_valid_brackets(seed: int, name: str, nasty: str) -> None:
    """Ties, near-deterministic channels, letters of 1e-12, duplicated letters: the truth is never excluded."""
    rng = np.random.default_rng(seed)
    n_x, n_y, k = (int(rng.integers(2, 7)) for _ in range(3))
    priors = rng.dirichlet(np.ones(k))
    laws = rng.dirichlet(np.ones(n_x), size=k)
    transition = rng.dirichlet(np.full(n_y, 0.05 if nasty == "sure" else 1.0), size=n_x)
    values = np.round(rng.normal(size=n_x), 0 if nasty == "ties" else 6)
    if nasty == "light":
        laws[:, 0] = 1e-12
        laws /= laws.sum(axis=1, keepdims=True)
    if nasty == "twin":
        laws[:, -1], values[-1], transition[-1] = laws[:, 0], values[0], transition[0]
        laws /= laws.sum(axis=1, keepdims=True)
    problem = cdp.DiscreteProblem.from_tables(
        priors, laws, transition, rng.integers(k, size=n_x), perception=name, x_values=values
    )
    level = 10.0 ** rng.uniform(-4, 0)
    least = cdp.min_distortion(problem, level)
    assert least.lower <= least.upper + 1e-12
    limit = least.upper + 10.0 ** rng.uniform(-4, 0)
    point = cdp.solve(problem, limit, level, tol=1e-7, boundary=least)
    assert point.status in (cdp.Status.OPTIMAL, cdp.Status.INEXACT)
    other = cdp.solve(problem, limit, level, tol=1e-7, boundary=least, solver="reference")
    assert point.lower_bound <= other.upper_bound + 1e-11
    assert other.lower_bound <= point.upper_bound + 1e-11
