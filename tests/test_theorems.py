"""Claims hold on the exact surface, and the functions that check them expose what does not hold."""

from __future__ import annotations

import numpy as np
import pytest

import cdp_toy as cdp
from cdp_toy.linear import linear_denoiser
from cdp_toy.point import Point, Status
from cdp_toy.theorems import convex, family_convex, family_non_increasing, non_increasing


def point(d: float, p: float, value: float, price_d: float = 0.0, price_p: float = 0.0) -> Point:
    return Point(Status.OPTIMAL, "grid", value, value, value, d, p, d, p, price_d, price_p)


def test_claims_hold_on_a_solved_lattice() -> None:
    grid = cdp.presets.paper_toy(threshold=0.0).discretize(n=31)
    points = [
        cdp.solve(grid, cdp.min_distortion(grid, p).upper + step, p, tol=1e-7)
        for p in (0.005, 0.02, 0.08)
        for step in (0.001, 0.005, 0.02)
    ]
    for verdict in (non_increasing(points), convex(points)):
        assert verdict.holds
        assert verdict.margin <= 0
        assert verdict.examined > 0
        assert "holds" in str(verdict)


def test_a_rising_surface_is_exposed_with_its_witness() -> None:
    verdict = non_increasing([point(1, 1, 0.2), point(2, 1, 0.3), point(3, 1, 0.1)])
    assert not verdict.holds
    assert verdict.margin == pytest.approx(0.1)
    assert verdict.witness == ((1, 1), (2, 1))


def test_a_hyperplane_above_a_point_is_exposed() -> None:
    verdict = convex([point(1, 1, 0.3, price_d=0.05), point(2, 1, 0.2)])
    assert not verdict.holds
    assert verdict.margin == pytest.approx(0.05)
    assert "VIOLATED" in str(verdict)


def test_families_without_convexity_are_exposed() -> None:
    d = p = np.linspace(0, 1, 9)
    bump = family_convex(lambda x, y: np.sqrt(1 - 0.5 * x) + 0 * y, d, p, 1e-12)
    assert not bump.holds
    assert family_non_increasing(lambda x, y: -x - y, d, p, 1e-12).holds
    assert not family_non_increasing(lambda x, y: x - 3 * y, d, p, 1e-12).holds
    bowl = family_convex(lambda x, y: (1 - x) ** 2 + (1 - y) ** 2, d, p, 1e-12)
    assert bowl.holds and bowl.margin < 0


def test_a_gap_in_the_feasible_set_counts_as_a_violation() -> None:
    d = p = np.linspace(0, 1, 9)
    holed = family_convex(lambda x, y: np.where(np.abs(x - 0.5) < 0.01, np.nan, 0.0) + 0 * y, d, p, 1e-12)
    assert not holed.holds and holed.margin == np.inf


def test_the_linear_family_of_the_toy_does_not_increase() -> None:
    family = linear_denoiser(cdp.presets.paper_toy())
    d, p = np.linspace(0.667, 0.75, 12), np.linspace(0.0065, 0.4, 12)
    assert family_non_increasing(family.best_error_rate, d, p, 1e-11).holds
