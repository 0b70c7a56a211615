"""Transport perceptions: their values and dual terms against linear programs, cells, and what `solve` makes of them."""

from __future__ import annotations

import dataclasses
import math
from itertools import pairwise

import numpy as np
import pytest
from cases import TRANSPORTS, finite_problem, least_transport
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import linprog
from scipy.sparse import csr_array
from scipy.special import ndtri

import cdp_toy as cdp
from cdp_toy.certificates import Program, dual_bound
from cdp_toy.couplings import cheapest, monotone
from cdp_toy.perceptions import Letters, perception_from
from cdp_toy.perceptions.wasserstein import Wasserstein
from cdp_toy.solvers import linear_program

names = pytest.mark.parametrize("name", TRANSPORTS)
base = cdp.presets.paper_toy(threshold=0.0)


def toy(name: str, n: int = 31, **arguments: object) -> cdp.DiscreteProblem:
    problem = cdp.CDPProblem(base.source, base.degradation, base.classifier, perception=name)
    return problem.discretize(n=n, **arguments)  # type: ignore[arg-type]


def costs(perception: Wasserstein) -> np.ndarray:
    letters = np.arange(len(perception.bound.places))
    return perception.pair_costs(letters[:, None], letters)


def random_letters(rng: np.random.Generator, n: int, kind: str) -> Letters:
    """Points on the line or in the plane, or cells of the plane; for cells of the line there are the grids."""
    places = rng.normal(size=(n, 1 if kind == "line" else 2))
    return Letters(places, rng.uniform(0, 0.3, n) if kind == "cells" else np.zeros(n))


def least_potential(p: np.ndarray, v: np.ndarray, cost: np.ndarray, level: float) -> float:
    """min v.q over the laws within a level, with the plan as the unknown."""
    n = len(p)
    answer = linprog(
        np.tile(v, n),
        A_ub=cost.ravel()[None],
        b_ub=[level],
        A_eq=np.kron(np.eye(n), np.ones(n)),
        b_eq=p,
        options={"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10},
    )
    assert answer.status == 0
    return float(answer.fun)


# values and dual terms


@names
@pytest.mark.parametrize("kind", ["line", "plane", "cells"])
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000))
def test_values_and_dual_terms_are_linear_programs(name: str, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n = int(rng.integers(2, 7))
    perception = perception_from(name).bound_to(random_letters(rng, n, kind))
    assert isinstance(perception, Wasserstein)
    p, q = rng.dirichlet(np.full(n, 0.7), size=2)
    p[rng.random(n) < 0.2] = 0.0
    p = p / p.sum() if p.sum() > 0 else np.full(n, 1 / n)
    cost = costs(perception)
    assert_allclose(perception.value(p, q), least_transport(p, q, cost), rtol=0, atol=1e-9)
    assert perception.value(p, p) == perception.value(q, q) == 0
    v = rng.normal(size=n)
    for level in (1e-5, 0.03, 0.4, 3.0):
        term = perception.dual_term(p, v, level)
        assert_allclose(term.value, least_potential(p, v, cost, level), rtol=0, atol=1e-9)
        assert term.price >= 0
        # every price is a bound, so that none beats the best
        for price in (0.0, 0.5 * term.price, 2 * term.price, 1.0):
            assert p @ (v + price * cost).min(axis=1) - price * level <= term.value + 1e-12


@names
def test_cells_on_the_line_have_monotone_plans(name: str) -> None:
    grid = toy(name)
    rng = np.random.default_rng(0)
    cost = costs(grid.perception)  # type: ignore[arg-type]
    assert np.all(np.diag(cost) == 0) and np.all(cost[~np.eye(len(cost), dtype=bool)] > 0)
    # the condition for each two neighbouring rows and columns
    assert np.all(cost[:-1, :-1] + cost[1:, 1:] <= cost[:-1, 1:] + cost[1:, :-1] + 1e-13)
    for spread in (0.05, 1.0, 100.0):
        q = rng.dirichlet(spread * np.ones(grid.n_x))
        assert_allclose(grid.perception.value(grid.p_x, q), least_transport(grid.p_x, q, cost), rtol=0, atol=1e-9)


def test_a_grid_over_estimates_the_continuous_distance() -> None:
    # a Gaussian and the law that has the same cells but other masses, by their quantile functions
    problem = cdp.CDPProblem(
        cdp.GaussianMixture((1.0,), (0.0,)), cdp.AdditiveGaussian(1.0), cdp.ThresholdClassifier(9.0, (0, 0))
    )
    t = (np.arange(400_000) + 0.5) / 400_000
    for n in (9, 17, 33):
        grids = [dataclasses.replace(problem, perception=name).discretize(n=n) for name in TRANSPORTS]
        edges, p = grids[0].grid.x_edges, grids[0].p_x  # type: ignore[union-attr]
        q = p * np.exp(0.4 * np.where(np.isfinite(edges[:-1]), edges[:-1], edges[1]))
        q = q / q.sum()
        cell = np.minimum(np.searchsorted(np.cumsum(q), t), n - 1)
        within = (t - (np.cumsum(q) - q)[cell]) / q[cell]
        start = np.concatenate([[0.0], np.cumsum(p)[:-1]])
        moved = ndtri(np.clip(start[cell] + within * p[cell], 1e-15, 1 - 1e-15)) - ndtri(t)
        w1, w2 = float(np.mean(np.abs(moved))), float(np.mean(moved**2))
        found = [grid.perception.value(p, q) for grid in grids]
        assert found[0] == pytest.approx(w1, abs=1e-3) or found[0] >= w1
        assert found[1] >= w2 - 1e-4
    assert found[0] <= 1.02 * w1 and found[1] <= 1.4 * w2  # and not by much


def test_couplings() -> None:
    rng = np.random.default_rng(1)
    for _ in range(20):
        p, q = rng.dirichlet(np.ones(5)), rng.dirichlet(np.ones(7))
        i, j, mass = monotone(p, q)
        plan = np.zeros((5, 7))
        np.add.at(plan, (i, j), mass)
        assert_allclose(plan.sum(axis=1), p, atol=1e-15)
        assert_allclose(plan.sum(axis=0), q, atol=1e-15)
        cost = rng.random((5, 7))
        plan = cheapest(3 * p, 3 * q, cost)
        assert_allclose(plan.sum(axis=1), 3 * p, atol=1e-15)
        assert_allclose(plan.sum(axis=0), 3 * q, atol=1e-15)


# solving


@names
@pytest.mark.parametrize("kind", ["cells", "points"])
def test_the_linear_program_agrees_with_the_reference(name: str, kind: str) -> None:
    grid = toy(name, 15, kind=kind)
    for level in (0.003, 0.05, 0.4):
        least = cdp.min_distortion(grid, level)
        assert least.gap <= 1e-9
        for spare in (1e-3, 0.1):
            limit = least.upper + spare
            first = cdp.solve(grid, limit, level, boundary=least)
            second = cdp.solve(grid, limit, level, boundary=least, solver="reference", tol=1e-6)
            assert first.status is cdp.Status.OPTIMAL and first.gap <= 1e-10
            assert second.gap <= 1e-6
            assert first.lower_bound <= second.upper_bound + 1e-11
            assert second.lower_bound <= first.upper_bound + 1e-11


@pytest.mark.parametrize("name", ["tv", *TRANSPORTS])
def test_values_against_a_program_with_a_plan(name: str) -> None:
    """The whole problem as one linear program in the channel and a plan, built from tables here."""
    rng = np.random.default_rng(3)
    for _ in range(6):
        n_x, n_y = int(rng.integers(2, 6)), int(rng.integers(2, 5))
        laws, transition = rng.dirichlet(np.ones(n_x), size=2), rng.dirichlet(np.ones(n_y), size=n_x)
        laws[:, 0] *= rng.random() < 0.5  # sometimes a letter that the source never shows
        laws /= laws.sum(axis=1, keepdims=True)
        classes, x = np.arange(n_x) % 2, rng.normal(size=n_x)
        problem = cdp.DiscreteProblem.from_tables(
            [0.4, 0.6], laws, transition, classes, perception=name, x_values=x, distortion="hamming"
        )
        joint = np.array([0.4, 0.6])[:, None, None] * laws[:, :, None] * transition
        p_x, p_y = joint.sum(axis=(0, 2)), joint.sum(axis=(0, 1))
        error = np.einsum("cxy,cj->yj", joint, 1.0 - np.eye(2)[:, classes])
        hamming = np.einsum("cxy,xj->yj", joint, 1.0 - np.eye(n_x))
        away = np.abs(x[:, None] - x)
        cost = {"tv": 1.0 - np.eye(n_x), "w1": away, "w2_squared": away**2}[name]
        n = n_y * n_x
        plan_rows = np.hstack([np.zeros((n_x, n)), np.kron(np.eye(n_x), np.ones(n_x))])
        channel_rows = np.hstack([np.kron(np.eye(n_y), np.ones(n_x)), np.zeros((n_y, n_x**2))])
        columns = np.hstack([np.kron(p_y, np.eye(n_x)), -np.kron(np.ones(n_x), np.eye(n_x))])
        for level, limit in ((0.05, math.inf), (0.3, 0.6), (1e-3, 0.9)):
            answer = linprog(
                np.append(error.ravel(), np.zeros(n_x**2)),
                A_ub=[
                    np.append(np.zeros(n), cost.ravel()),
                    np.append(hamming.ravel() if limit < math.inf else np.zeros(n), np.zeros(n_x**2)),
                ],
                b_ub=[level, min(limit, 1e3)],
                A_eq=np.vstack([plan_rows, channel_rows, columns]),
                b_eq=np.concatenate([p_x, np.ones(n_y), np.zeros(n_x)]),
            )
            if answer.status == 2:
                with pytest.raises(cdp.InfeasibleError):
                    cdp.solve(problem, limit, level)
                continue
            point = cdp.solve(problem, limit, level)
            assert point.solver in ("linear program (HiGHS)", "closed form without a perception level")
            assert point.status is cdp.Status.OPTIMAL
            assert_allclose(point.upper_bound, answer.fun, rtol=0, atol=1e-8)


def test_w2_squared_is_linear_where_w2_is_not_convex() -> None:
    """X in {0, 1, 2}, class = symbol, seen as it is: C = .3 - W2^2 moves mass from 1 to 2."""
    problem = cdp.DiscreteProblem.from_tables(
        [0.7, 0.3],
        [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]],
        np.eye(3),
        [0, 0, 1],
        distortion="hamming",
        perception="w2_squared",
        x_values=[0.0, 1.0, 2.0],
    )
    points = [cdp.solve(problem, math.inf, level) for level in (0.0, 0.05, 0.1, 0.25)]
    assert_allclose([point.upper_bound for point in points], [0.3, 0.25, 0.2, 0.05], atol=1e-9)
    assert all(point.price_perception == pytest.approx(1.0) for point in points[1:])
    assert cdp.solve(problem, math.inf, 0.31).upper_bound == pytest.approx(0.0, abs=1e-12)


@names
def test_in_the_plane(name: str) -> None:
    plane = dataclasses.replace(cdp.presets.plane_toy(), perception=name).discretize(n=5)
    level = 0.1
    least = cdp.min_distortion(plane, level)
    assert least.gap <= 1e-9
    point = cdp.solve(plane, least.upper + 0.02, level, boundary=least)
    assert point.status is cdp.Status.OPTIMAL
    assert point.perception <= level
    cost = costs(plane.perception)  # type: ignore[arg-type]
    assert_allclose(point.perception, least_transport(plane.p_x, point.output_law, cost), rtol=0, atol=1e-9)


@pytest.mark.parametrize("name", ["tv", *TRANSPORTS])
def test_support_restricts_the_program(name: str) -> None:
    grid = toy(name, 21)
    program = Program(grid, grid.distortion_cost, max_perception=0.1)
    full = linear_program.hint(program)
    joint = csr_array(full.joint).toarray()
    rows, columns = np.nonzero(joint > 0)
    again = csr_array(linear_program.hint(program, rows, columns).joint).toarray()
    table = grid.distortion_cost.table()
    assert (again * table).sum() == pytest.approx((joint * table).sum(), abs=1e-10)
    assert np.all(again[joint == 0] == 0)
    assert dual_bound(program, 0.0, full.potential).value == pytest.approx((joint * table).sum(), abs=1e-9)
    # without a column that the law must have there is no answer, and that is said
    assert linear_program.hint(dataclasses.replace(program, max_perception=1e-6), rows[:3], columns[:3]).joint is None


@names
def test_solving_prints_nothing(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    grid = toy(name, 11)
    cdp.solve(grid, 2.0, 0.05)
    cdp.solve(grid, 2.0, 0.0)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


@names
def test_the_surface_does_not_increase_and_joins_its_ends(name: str) -> None:
    grid = toy(name, 21)
    least = cdp.min_distortion(grid, 0.0).upper
    levels = (0.0, 1e-12, 1e-6, 1e-3, 0.1, 1.0, math.inf)
    values = [cdp.solve(grid, least + 0.01, level).upper_bound for level in levels]
    assert all(a >= b - 1e-9 for a, b in pairwise(values))
    assert values[0] - values[1] <= 1e-5


@names
def test_the_floor_is_reached_by_other_laws_than_the_class_wise_source(name: str) -> None:
    grid = toy(name, 21)
    flat = cdp.flat_distortion(grid, 0.5)
    assert flat is not None and flat.gap <= 1e-9
    assert cdp.solve(grid, flat.upper + 1e-6, 0.5).upper_bound == pytest.approx(grid.error_floor, abs=1e-8)
    assert cdp.flat_distortion(grid, 1e-6) is None


# names, binding, refusals


@names
def test_letters_make_the_perception(name: str) -> None:
    free, grid = perception_from(name), toy(name, 11)
    assert free == perception_from(name) and hash(free) == hash(grid.perception)
    assert grid.perception != free and free != grid.perception and grid.perception != "w1"
    assert grid.perception == toy(name, 11).perception != toy(name, 13).perception
    other = perception_from(next(other for other in TRANSPORTS if other != name))
    assert other.bound_to(Letters(np.zeros((1, 1)), np.zeros(1))) != free.bound_to(
        Letters(np.zeros((1, 1)), np.zeros(1))
    )
    assert finite_problem("paper_toy").perception is perception_from("kl")


@names
def test_refusals(name: str) -> None:
    tables = dict(priors=[1.0], p_x_given_class=[[0.5, 0.5]], p_y_given_x=np.eye(2), classifier=[0, 0])
    with pytest.raises(cdp.InputError, match=f"perception {name} needs x_values, the place of every letter"):
        cdp.DiscreteProblem.from_tables(**tables, distortion="hamming", perception=name)
    with pytest.raises(cdp.InputError, match="letters 0 and 1 of x lie at the same place"):
        cdp.DiscreteProblem.from_tables(**tables, x_values=[[1.0, 2.0], [1.0, 2.0]], perception=name)
    with pytest.raises(cdp.InputError, match=f"perception {name} is not bound to letters yet"):
        perception_from(name).value(np.array([0.5, 0.5]), np.array([1.0, 0.0]))
    with pytest.raises(cdp.InputError, match=f"the interior-point method needs a smooth divergence .* {name} is none"):
        cdp.solve(toy(name, 11), 2.0, 0.1, solver="interior_point")
    with pytest.raises(cdp.InputError, match=f'perception "{name}" is an optimal-transport problem'):
        cdp.linear_denoiser(dataclasses.replace(base, perception=name))
    with pytest.raises(cdp.InputError, match=f'perception "{name}" is an optimal-transport problem'):
        cdp.linear_denoiser(dataclasses.replace(cdp.presets.plane_toy(), perception=name))
    with pytest.raises(cdp.InputError, match="perception kl is not polyhedral"):
        perception_from("kl").moves(np.ones(1))
