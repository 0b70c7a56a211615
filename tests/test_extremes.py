"""Numbers at the ends of the scale: tiny masses, tiny units, tiny and huge levels. No bracket may exclude the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from cases import PERCEPTIONS

import cdp_toy as cdp
from cdp_toy.point import Status


def light_letter(mass: float, perception: str) -> cdp.DiscreteProblem:
    return cdp.DiscreteProblem.from_tables(
        [0.5, 0.5],
        [[0.9, 0.1 - mass, mass], [0.2, 0.8 - mass, mass]],
        [[0.8, 0.2], [0.3, 0.7], [0.5, 0.5]],
        [0, 0, 1],
        "hamming",
        perception,
    )


def binary(perception: str, scale: float | None = None) -> cdp.DiscreteProblem:
    return cdp.DiscreteProblem.from_tables(
        [0.5, 0.5],
        [[0.9, 0.1], [0.55, 0.45]],
        [[0.8, 0.2], [0.3, 0.7]],
        [1, 0],
        "hamming" if scale is None else "squared_error",
        perception,
        x_values=None if scale is None else [0.0, scale],
    )


@pytest.mark.parametrize("perception", sorted(set(PERCEPTIONS) - {"reverse_kl", "reverse_chi2"}))
@pytest.mark.parametrize("mass", [1e-140, 1e-30, 1e-17])
def test_a_letter_of_next_to_no_mass_is_like_one_of_none(perception: str, mass: float) -> None:
    truth = cdp.solve(light_letter(0.0, perception), 0.9, 0.01)
    point = cdp.solve(light_letter(mass, perception), 0.9, 0.01, tol=1e-7)
    assert truth.gap <= 1e-8
    assert point.gap <= 1e-7
    assert point.lower_bound <= truth.upper_bound + 1e-9
    assert point.upper_bound >= truth.lower_bound - 1e-9


@pytest.mark.parametrize("mass", [1e-140, 1e-30, 1e-17])
def test_reverse_kl_pays_for_light_letters(mass: float) -> None:
    heavy, light = light_letter(1e-6, "reverse_kl"), light_letter(mass, "reverse_kl")
    assert cdp.solve(light, 0.9, 0.01).upper_bound >= cdp.solve(heavy, 0.9, 0.01).lower_bound
    assert cdp.solve(light, 0.9, 0.01).gap <= 1e-6


def test_masses_whose_square_is_lost_are_refused() -> None:
    with pytest.raises(cdp.InputError, match=r"letter 2 of x has probability 1e-310.*set it to 0"):
        light_letter(1e-310, "kl")


@pytest.mark.parametrize("scale", [1e-6, 1e-3, 1e5])
def test_the_unit_of_x_does_not_matter(scale: float) -> None:
    one, other = binary("kl", 1.0), binary("kl", scale)
    least, scaled = cdp.min_distortion(one, 0.01), cdp.min_distortion(other, 0.01)
    assert scaled.upper / scale**2 == pytest.approx(least.upper, rel=1e-7)
    with pytest.raises(cdp.InfeasibleError, match="D_min"):
        cdp.solve(other, 0.5 * scaled.lower, 0.01)
    a, b = cdp.solve(one, 1.2 * least.upper, 0.01), cdp.solve(other, 1.2 * scaled.upper, 0.01)
    assert max(a.lower_bound, b.lower_bound) <= min(a.upper_bound, b.upper_bound) + 1e-7


@pytest.mark.parametrize("perception", sorted(PERCEPTIONS))
def test_tiny_levels_join_the_transport_problem(perception: str) -> None:
    problem = binary(perception)
    exact = cdp.solve(problem, math.inf, 0.0)
    for level in (1e-300, 1e-14, 1e-10):
        point = cdp.solve(problem, math.inf, level)
        assert point.lower_bound <= exact.upper_bound + 1e-12
        assert point.gap <= 1e-6
        assert exact.lower_bound - point.upper_bound <= 4 * math.sqrt(level)
        assert point.perception <= level


def test_hyperplanes_claim_nothing_where_nothing_is_proven() -> None:
    grid = cdp.presets.paper_toy().discretize(n=21)
    assert cdp.solve(grid, 0.5, 0.05, on_infeasible="return").hyperplane.at(1.0, 0.05) == -math.inf
    point = cdp.solve(light_letter(0.0, "reverse_kl"), math.inf, 5.0)
    assert point.hyperplane.at(math.inf, math.inf) == -math.inf


def test_a_distortion_level_beyond_every_distortion_is_no_level() -> None:
    grid = cdp.presets.paper_toy().discretize(n=11)
    for level in (0.0, 0.01):
        huge, none = cdp.solve(grid, 1e308, level), cdp.solve(grid, math.inf, level)
        assert huge.status is Status.OPTIMAL
        assert huge.upper_bound == pytest.approx(none.upper_bound, abs=1e-8)


def test_a_boundary_from_elsewhere_proves_nothing() -> None:
    grid = cdp.presets.paper_toy().discretize(n=21)
    strict = cdp.min_distortion(grid, 0.0005)
    level = (cdp.min_distortion(grid, 0.05).upper + strict.lower) / 2
    assert cdp.solve(grid, level, 0.05, boundary=strict, on_infeasible="return").status is not Status.INFEASIBLE
    other = cdp.min_distortion(cdp.presets.paper_toy().discretize(n=11), 0.0005)
    with pytest.raises(cdp.InputError, match="of this very problem"):
        cdp.solve(grid, 0.5, 0.0005, boundary=other)


def test_wrong_types_are_named() -> None:
    grid = cdp.presets.paper_toy().discretize(n=11)
    with pytest.raises(cdp.InputError, match="warm_start must be a Solution, got int"):
        cdp.solve(grid, 1.0, 0.05, warm_start=3)  # type: ignore[arg-type]
    with pytest.raises(cdp.InputError, match="needs a CDPProblem, got DiscreteProblem"):
        cdp.linear_denoiser(grid)
    with pytest.raises(cdp.InputError, match=r"y\[0\] is nan"):
        cdp.solve(grid, 1.0, 0.05).sample([math.nan], np.random.default_rng(0))
    with pytest.raises(ValueError, match="read-only"):
        grid.p_y[0] = 1.0


def test_misspelt_public_names_get_the_nearest() -> None:
    with pytest.raises(AttributeError, match="did you mean 'solve'"):
        cdp.solv  # noqa: B018
