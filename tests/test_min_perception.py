"""The least perception at a distortion level: against cone programs, against D_min(P), and at its edges."""

from __future__ import annotations

import dataclasses
import itertools
import math
import warnings
from collections.abc import Callable
from typing import Any

import cvxpy as cp
import numpy as np
import pytest
from cases import PERCEPTIONS, TRANSPORTS
from test_solve import INFINITE_OUTSIDE, Tables, random_tables

import cdp_toy as cdp
from cdp_toy.certificates import Program, dual_bound

Array = np.ndarray
ALL = [*PERCEPTIONS, *TRANSPORTS]
catalogue = pytest.mark.parametrize("name", PERCEPTIONS)
everything = pytest.mark.parametrize("name", ALL)
#: At renyi:5 every least distortion takes a second or more; renyi:2 stands for it where many are asked for.
most = pytest.mark.parametrize("name", [name for name in ALL if name != "renyi:5"])

#: name -> convex expression in the output law that falls and rises with the perception
CONVEX: dict[str, Callable[[Array, Any], Any]] = {
    "kl": lambda p, q: cp.sum(cp.rel_entr(p, q)),
    "reverse_kl": lambda p, q: cp.sum(cp.rel_entr(q, p)),
    "tv": lambda p, q: cp.norm1(q - p),
    "hellinger_squared": lambda p, q: -cp.sum(cp.multiply(np.sqrt(p), cp.sqrt(q))),
    "chi2": lambda p, q: cp.sum(cp.multiply(p**2, cp.inv_pos(q))),
    "reverse_chi2": lambda p, q: cp.sum(cp.multiply(1 / p, cp.square(q))),
    "js": lambda p, q: cp.sum(cp.rel_entr(p, (p + q) / 2)) + cp.sum(cp.rel_entr(q, (p + q) / 2)),
    "renyi:0.5": lambda p, q: -cp.sum(cp.multiply(np.sqrt(p), cp.sqrt(q))),
    "renyi:2": lambda p, q: cp.sum(cp.multiply(p**2, cp.inv_pos(q))),
    "renyi:5": lambda p, q: cp.sum(cp.multiply(p**5, cp.power(q, -4))),
}


def by_cone_program(name: str, tables: Tables, max_distortion: float) -> float:
    """Perception of the law that a cone solver finds best, by the textbook formula."""
    p, weight = tables.p_x, tables.distortion_weight
    channel = cp.Variable(weight.shape, nonneg=True)
    q, seen = tables.p_y @ channel, p > 0
    constraints = [cp.sum(channel, axis=1) == 1, cp.sum(cp.multiply(weight, channel)) <= max_distortion]
    objective = CONVEX[name](p[seen], q[seen])
    if not seen.all():
        outside = cp.sum(q[~seen])
        objective += {"tv": outside, "js": outside * math.log(2)}.get(name, 0.0)
        if name in INFINITE_OUTSIDE:
            constraints.append(outside == 0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what the solver makes of it is compared, not believed
        cp.Problem(cp.Minimize(objective), constraints).solve(solver="CLARABEL")
    found = np.maximum(channel.value, 0.0)
    law = tables.p_y @ (found / found.sum(axis=1, keepdims=True))
    if name in INFINITE_OUTSIDE:
        law = np.where(seen, law, 0.0)
    return float(PERCEPTIONS[name](p, law / law.sum()))


def toy(name: str, n: int = 31) -> cdp.DiscreteProblem:
    return dataclasses.replace(cdp.presets.paper_toy(), perception=name).discretize(n=n)


def span(problem: cdp.DiscreteProblem) -> tuple[float, float]:
    """Least distortion at any finite perception, and at perception 0."""
    return cdp.min_distortion(problem, 50.0).upper, cdp.min_distortion(problem, 0.0).upper


def assert_proven(problem: cdp.DiscreteProblem, bracket: cdp.Bracket, limit: float) -> None:
    """The lower end follows from the potential, the upper one from the witness."""
    if bracket.lower > 0:
        least = Program(problem, problem.distortion_cost, max_perception=min(bracket.lower, 1e3))
        assert dual_bound(least, 0.0, bracket.potential).value > limit
        assert bracket.prices.distortion > 0
    if bracket.upper < math.inf:
        joint = problem.p_y[:, None] * bracket.witness.toarray()
        assert np.abs(joint.sum(axis=1) - problem.p_y).max() < 1e-14
        assert (joint * problem.distortion_cost.table()).sum() <= limit + 1e-11 * max(1.0, abs(limit))
        value = problem.perception.value(problem.p_x, joint.sum(axis=0))
        assert value == pytest.approx(bracket.upper, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("seed", range(2))
@catalogue
def test_it_agrees_with_cone_programs(name: str, seed: int) -> None:
    rng = np.random.default_rng([seed, len(name), 41])
    tables = random_tables(rng)
    problem = tables.problem(name)
    low, high = span(problem)
    for share in (0.15, 0.7):
        limit = low + share * (high - low)
        bracket = cdp.min_perception(problem, limit)
        assert_proven(problem, bracket, limit)
        assert bracket.gap <= 1e-7
        if high - low < 1e-9:
            assert bracket.upper <= 1e-7
            continue
        other = by_cone_program(name, tables, limit)
        assert bracket.lower <= other + 1e-6 * (1 + other)
        assert bracket.upper >= other - 1e-4 * (1 + other)  # the cone solver stops at 1e-8 of a sum that may be large


@everything
def test_it_inverts_the_least_distortion(name: str) -> None:
    problem = toy(name, 15)
    low, high = span(problem)
    for share in (0.1, 0.9):
        limit = low + share * (high - low)
        bracket = cdp.min_perception(problem, limit)
        assert bracket.gap <= 1e-9
        assert_proven(problem, bracket, limit)
        assert cdp.min_distortion(problem, bracket.upper).upper <= limit + 1e-8
        assert cdp.min_distortion(problem, 0.99 * bracket.lower).lower > limit


@most
def test_it_falls_with_the_distortion_and_is_convex(name: str) -> None:
    problem = toy(name, 15)
    low, high = span(problem)
    brackets = [cdp.min_perception(problem, limit) for limit in np.linspace(low + 0.4 * (high - low), high, 4)]
    for first, second in itertools.pairwise(brackets):
        assert first.lower >= second.lower - 1e-9
        assert first.upper > second.lower
    for first, middle, last in zip(brackets, brackets[1:], brackets[2:], strict=False):
        assert middle.lower <= (first.upper + last.upper) / 2


@most
def test_its_price_is_its_slope(name: str) -> None:
    problem = toy(name, 15)
    low, high = span(problem)
    limit, step = low + 0.6 * (high - low), 1e-3
    here, left, right = (cdp.min_perception(problem, limit + s) for s in (0.0, -step, step))
    assert left.upper >= here.lower + 0.98 * here.prices.distortion * step
    assert right.upper >= here.lower - 1.02 * here.prices.distortion * step
    assert here.prices.perception == 0


@everything
def test_ends_of_the_range(name: str) -> None:
    problem = toy(name, 15)
    low, high = span(problem)
    for limit in (-math.inf, -1.0, 0.0, low - 1e-6):
        nothing = cdp.min_perception(problem, limit)
        assert (nothing.lower, nothing.upper, nothing.witness, nothing.gap) == (math.inf, math.inf, None, 0.0)
        assert_proven(problem, nothing, limit)
    for limit in (high + 1e-9, high + 1.0, math.inf):
        source = cdp.min_perception(problem, limit)
        assert (source.lower, source.upper) == (0.0, 0.0)
        law = problem.p_y @ source.witness.toarray()
        assert np.abs(law - problem.p_x).sum() <= 1e-12
    tiny = cdp.min_perception(problem, high - 1e-6)
    assert 0 <= tiny.lower < tiny.upper < 1e-4
    assert_proven(problem, tiny, high - 1e-6)


@pytest.mark.parametrize("name", ["reverse_kl", "reverse_chi2"])
def test_letters_that_the_source_never_shows_are_out_of_reach(name: str) -> None:
    """The best letter of the middle observation has no source mass: perception is infinite as soon as it is used."""
    problem = cdp.DiscreteProblem.from_tables(
        [1.0], [[0.5, 0.0, 0.5]], [[0.6, 0.4], [0.5, 0.5], [0.4, 0.6]], [0, 0, 0], perception=name, x_values=[0, 1, 2]
    )
    free, bound = cdp.min_distortion(problem, math.inf).upper, cdp.min_distortion(problem, 1e3).upper
    assert free < bound - 0.01
    assert cdp.min_perception(problem, (free + bound) / 2).lower == math.inf
    assert cdp.min_perception(problem, bound + 1e-3).upper < math.inf


@pytest.mark.parametrize("name", ["kl", "chi2"])
def test_starved_letters_cost_infinitely_much(name: str) -> None:
    """At the least distortion of all letters are left without mass; a little more feeds them."""
    problem = toy(name)
    least = cdp.min_distortion(problem, math.inf)
    there = cdp.min_perception(problem, least.upper)
    assert there.upper == math.inf
    assert 0.1 < there.lower < math.inf
    above = cdp.min_perception(problem, least.upper + 1e-5)
    assert above.lower < there.lower
    assert above.gap < 1e-6


def test_the_tolerance_is_what_it_says() -> None:
    problem = toy("kl")
    low, high = span(problem)
    loose, tight = (cdp.min_perception(problem, (low + high) / 2, tol=tol) for tol in (1e-2, 1e-10))
    assert tight.gap <= 1e-10
    assert loose.gap <= 1e-2
    assert loose.lower <= tight.lower <= tight.upper <= loose.upper
    # far below the tolerance nothing is asked of solvers near P = 0
    assert cdp.min_perception(problem, high - 1e-4, tol=1e-2).upper <= 1e-2


def test_problems_without_freedom() -> None:
    only = cdp.DiscreteProblem.from_tables([1.0], [[1.0]], [[0.5, 0.5]], [0], distortion="hamming")
    assert (cdp.min_perception(only, 0.0).lower, cdp.min_perception(only, 0.0).upper) == (0.0, 0.0)
    assert cdp.min_perception(only, -1e-6).lower == math.inf


def test_requests_that_make_no_sense_are_refused() -> None:
    problem = toy("kl", 11)
    with pytest.raises(cdp.InputError, match="max_distortion is NaN"):
        cdp.min_perception(problem, math.nan)
    with pytest.raises(cdp.InputError, match="max_distortion must be a number"):
        cdp.min_perception(problem, "much")  # type: ignore[arg-type]
    with pytest.raises(cdp.InputError, match=r"expected a DiscreteProblem.*discretize"):
        cdp.min_perception(cdp.presets.paper_toy(), 0.7)  # type: ignore[arg-type]
    for tol in (0.0, -1.0, math.nan, math.inf):
        with pytest.raises(cdp.InputError, match="tol must be a positive number"):
            cdp.min_perception(problem, 0.7, tol=tol)
