"""Laws that every divergence of the catalogue obeys."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from cases import PERCEPTIONS, TRANSPORTS
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_allclose
from scipy.optimize import minimize_scalar

from cdp_toy import InputError
from cdp_toy.perceptions import CATALOGUE, Letters, Perception, Renyi, perception_from

laws = settings(deadline=None, max_examples=40)
catalogue = pytest.mark.parametrize("name", [*PERCEPTIONS, *TRANSPORTS])
divergences = pytest.mark.parametrize("name", PERCEPTIONS)

PLACES = np.array([0.4, -1.3, 2.1, 0.9, 3.7])  # of the letters, for perceptions by transport

P5 = np.array([0.1, 0.25, 0.3, 0.15, 0.2])
V5 = np.array([0.9, -0.4, 0.35, 0.1, -0.15])


def perception(name: str, n: int = 5) -> Perception:
    """A perception of the catalogue on the first n letters."""
    return perception_from(name).bound_to(Letters(PLACES[:n, None], np.zeros(n)))


def textbook(name: str, p: np.ndarray, q: np.ndarray) -> float:
    return PERCEPTIONS[name](p, q) if name in PERCEPTIONS else TRANSPORTS[name](p, q, PLACES[: len(p)])


@st.composite
def law(draw: st.DrawFn, n: int, least: float = 1e-3) -> np.ndarray:
    """A probability law on n letters; with least = 0 letters may have no mass."""
    weights = st.floats(least, 1.0) if least > 0 else st.one_of(st.just(0.0), st.floats(1e-3, 1.0))
    values = np.array(draw(st.lists(weights, min_size=n, max_size=n)))
    assume(values.sum() > 0)
    return values / values.sum()


def potentials(n: int) -> st.SearchStrategy[np.ndarray]:
    return st.lists(st.floats(-2.0, 2.0).map(lambda x: round(x, 6)), min_size=n, max_size=n).map(np.array)


levels = st.floats(-6.0, 0.7).map(lambda x: 10.0**x)


def furthest(divergence: Perception, p: np.ndarray, direction: np.ndarray, level: float) -> np.ndarray:
    """Last law of the ray p + t direction that stays a law within the level, by bisection."""
    with np.errstate(divide="ignore"):
        end = np.min(np.where(direction < 0, p / np.where(direction < 0, -direction, 1.0), np.inf))

    def at(t: float) -> np.ndarray:
        return np.maximum(p + t * direction, 0.0)

    if divergence.value(p, at(end)) <= level:
        return at(end)
    low, high = 0.0, float(end)
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if divergence.value(p, at(middle)) <= level else (low, middle)
    return at(low)


# value


def test_the_catalogue_is_complete() -> None:
    assert {name for name in [*PERCEPTIONS, *TRANSPORTS] if ":" not in name} == set(CATALOGUE)
    assert all(divergence.name == name for name, divergence in CATALOGUE.items())


@catalogue
@laws
@given(p=law(4, least=0), q=law(4, least=0))
def test_value_is_the_textbook_formula(name: str, p: np.ndarray, q: np.ndarray) -> None:
    assert_allclose(perception(name, 4).value(p, q), textbook(name, p, q), rtol=1e-11, atol=1e-14)


@catalogue
@laws
@given(p=law(4, least=0), q=law(4, least=0))
def test_zero_iff_equal_and_never_negative(name: str, p: np.ndarray, q: np.ndarray) -> None:
    divergence = perception(name, 4)
    assert divergence.value(p, p) == 0
    assert divergence.value(p, q) >= 0
    if np.max(np.abs(p - q)) > 1e-6:
        assert divergence.value(p, q) > 0


@catalogue
def test_small_differences_keep_their_digits(name: str) -> None:
    # f(1 + x) is quadratic in x (TV: linear); the naive formulas return rounding noise here
    p, step = np.array([0.5, 0.5]), np.array([1.0, -1.0])
    divergence = perception(name, 2)
    order = 1 if divergence.polyhedral else 2
    coarse, fine = (divergence.value(p, p + h * step) for h in (2.0**-20, 2.0**-30))
    assert_allclose(coarse / fine, 2.0 ** (10 * order), rtol=1e-5)


@catalogue
@laws
@given(p=law(4, least=0), a=law(4, least=0), b=law(4, least=0), t=st.floats(0.0, 1.0))
def test_convex_in_the_output_law(name: str, p: np.ndarray, a: np.ndarray, b: np.ndarray, t: float) -> None:
    divergence = perception(name, 4)
    ends = [weight * divergence.value(p, q) for weight, q in ((1 - t, a), (t, b)) if weight > 0]
    assert divergence.value(p, (1 - t) * a + t * b) <= sum(ends) + 1e-12


@divergences
def test_missing_mass_and_letters_outside_of_the_source(name: str) -> None:
    divergence = perception_from(name)
    p = np.array([0.6, 0.4, 0.0])
    misses, outside = np.array([1.0, 0.0, 0.0]), np.array([0.5, 0.4, 0.1])
    expected = PERCEPTIONS[name](p, misses)
    assert divergence.value(p, misses) == (expected if math.isinf(expected) else pytest.approx(expected, rel=1e-12))
    assert math.isinf(divergence.value(p, outside)) == math.isinf(divergence.slope_at_infinity)
    slope = divergence.generator(np.array([1e12]))[0] / 1e12
    limit = divergence.slope_at_infinity
    assert slope > 10 if math.isinf(limit) else abs(slope - limit) < 1e-5


# dual term


@catalogue
@laws
@given(p=law(4, least=0), q=law(4, least=0), v=potentials(4))
def test_dual_term_is_a_lower_bound(name: str, p: np.ndarray, q: np.ndarray, v: np.ndarray) -> None:
    level = perception(name, 4).value(p, q)  # the tightest level that admits q
    if math.isinf(level):
        return  # q is out of reach at every finite level
    assert v @ q >= perception(name, 4).dual_term(p, v, level).value - 1e-12


@catalogue
@laws
@given(p=law(2), v=potentials(2), level=levels)
def test_dual_term_is_attained_on_two_letters(name: str, p: np.ndarray, v: np.ndarray, level: float) -> None:
    divergence = perception(name, 2)
    cheap = int(np.argmin(v))
    direction = np.where(np.arange(2) == cheap, 1.0, -1.0)
    best = furthest(divergence, p, direction, level)
    assert_allclose(divergence.dual_term(p, v, level).value, v @ best, rtol=0, atol=1e-11)


@catalogue
@pytest.mark.parametrize("level", [1e-4, 0.02, 0.3, 3.0])
def test_dual_term_is_attained_on_three_letters(name: str, level: float) -> None:
    # a linear function on the boundary of a convex set, seen from inside, falls and rises once with the angle
    divergence, p, v = perception(name, 3), np.array([0.2, 0.5, 0.3]), np.array([0.3, -1.0, 0.8])
    basis = np.array([[1.0, -1.0, 0.0], [1.0, 1.0, -2.0]]) / np.sqrt([[2.0], [6.0]])

    def reached(angle: float) -> float:
        return float(v @ furthest(divergence, p, math.cos(angle) * basis[0] + math.sin(angle) * basis[1], level))

    scan = np.linspace(0, 2 * np.pi, 61)
    start = scan[np.argmin([reached(a) for a in scan])]
    best = minimize_scalar(reached, bounds=(start - 0.11, start + 0.11), method="bounded", options={"xatol": 1e-10})
    assert_allclose(divergence.dual_term(p, v, level).value, best.fun, rtol=0, atol=1e-8)


@catalogue
@laws
@given(
    level=levels,
    v=potentials(3),
    scale=st.sampled_from([1e-6, 1.0, 1e3, 1e5]),
    p=st.sampled_from([(1.0, 0.0, 0.0), (0.3, 0.7, 0.0)]),
)
def test_letters_of_zero_probability(
    name: str, level: float, v: np.ndarray, scale: float, p: tuple[float, float, float]
) -> None:
    divergence, source = perception(name, 3), np.array(p)
    v = scale * v
    term = divergence.dual_term(source, v, level)
    # moving mass from the source law to one letter is feasible, hence no better than the bound
    for target in np.eye(3):
        if np.array_equal(target, source):
            continue
        q = furthest(divergence, source, target - source, level)
        assert v @ q >= term.value - 1e-12 * scale
    if math.isinf(divergence.slope_at_infinity):  # those letters are out of reach, whatever their potential
        lowered = v - 100 * scale * (source == 0)
        assert divergence.dual_term(source, lowered, level)[:2] == term[:2]


@catalogue
@pytest.mark.parametrize("scale", [1e-3, 1.0, 250.0, 1e5])
def test_an_unseen_letter_with_the_lowest_potential(name: str, scale: float) -> None:
    # p = (1, 0): the value is known exactly, since q = (1 - t, t) with t as large as the level allows
    divergence, p, v = perception(name, 2), np.array([1.0, 0.0]), scale * np.array([1.0, 0.0])
    best = v @ furthest(divergence, p, np.array([-1.0, 1.0]), 0.1)
    assert_allclose(divergence.dual_term(p, v, 0.1).value, best, rtol=1e-10)


@catalogue
@laws
@given(p=law(4, least=0), v=potentials(4), level=levels, shift=st.floats(-5, 5), scale=st.floats(0.1, 10))
def test_constants_pass_through_and_scale_multiplies(
    name: str, p: np.ndarray, v: np.ndarray, level: float, shift: float, scale: float
) -> None:
    divergence = perception(name, 4)
    plain = divergence.dual_term(p, v, level).value
    assert_allclose(divergence.dual_term(p, scale * v + shift, level).value, scale * plain + shift, atol=1e-9)


@catalogue
@pytest.mark.parametrize("level", [1e-3, 0.013, 0.11])
def test_price_is_the_slope(name: str, level: float) -> None:
    h = 1e-4 * level
    below, above = (perception(name).dual_term(P5, V5, level + s * h).value for s in (-1, 1))
    assert_allclose(perception(name).dual_term(P5, V5, level).price, (below - above) / (2 * h), rtol=1e-6)


@catalogue
@laws
@given(p=law(4, least=0), v=potentials(4), level=levels, other=levels)
def test_price_gives_a_supporting_line(name: str, p: np.ndarray, v: np.ndarray, level: float, other: float) -> None:
    here, there = (perception(name, 4).dual_term(p, v, x) for x in (level, other))
    assert here.price >= 0
    assert there.value >= here.value - here.price * (other - level) - 1e-9


@catalogue
def test_level_zero_leaves_the_source_and_level_inf_leaves_everything(name: str) -> None:
    divergence = perception(name)
    assert divergence.dual_term(P5, V5, 0.0)[:2] == (pytest.approx(P5 @ V5, abs=1e-15), math.inf)
    assert divergence.dual_term(P5, V5, math.inf)[:2] == (V5.min(), 0.0)
    assert_allclose(divergence.dual_term(P5, V5, 1e-12).value, P5 @ V5, atol=1e-5)
    # inf drops the constraint, so letters without source probability are within reach too
    three = perception(name, 3)
    assert three.dual_term(np.array([0.5, 0.5, 0.0]), np.array([1.0, 2.0, 0.0]), math.inf)[:2] == (0.0, 0.0)


@catalogue
def test_constant_potential_has_no_price(name: str) -> None:
    assert perception(name).dual_term(P5, np.full(5, 0.7), 0.1)[:2] == (0.7, 0.0)


# names


@catalogue
def test_names_and_objects_are_accepted(name: str) -> None:
    divergence = perception_from(name)
    assert perception_from(divergence) is divergence
    assert perception_from(name) == divergence and hash(perception_from(name)) == hash(divergence)
    assert repr(divergence) == f"<perception {name}>" and divergence.name == name
    assert sum(perception_from(other) == divergence for other in [*PERCEPTIONS, *TRANSPORTS]) == 1


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [("kll", "kl"), ("hellinger", "hellinger_squared"), ("chi_2", "chi2"), ("reverse-kl", "reverse_kl")],
)
def test_a_misspelt_name_gets_a_suggestion(wrong: str, meant: str) -> None:
    with pytest.raises(InputError, match=f"unknown perception '{wrong}'; did you mean '{meant}'"):
        perception_from(wrong)


@pytest.mark.parametrize("odd", [["kl"], {"kl": 1}, None, 3.0, Perception])
def test_what_is_neither_a_name_nor_a_perception_is_refused(odd: object) -> None:
    with pytest.raises(InputError, match=r"unknown perception .*Known: kl, "):
        perception_from(odd)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("renyi:1", 'renyi:1 is the Kullback-Leibler divergence; use perception="kl"'),
        ("renyi:1.0", 'use perception="kl"'),
        ("renyi:0", "renyi:0 is no Renyi divergence: the order must be a finite number above 0 other than 1"),
        ("renyi:-1", "renyi:-1 is no Renyi divergence"),
        ("renyi:inf", "renyi:inf is no Renyi divergence"),
        ("renyi:nan", "renyi:nan is no Renyi divergence"),
        ("renyi:x", "perception 'renyi:x' names no order; write it like renyi:2"),
        ("renyi:", "names no order"),
        ("renyi", "names no order"),
        ("reni", "did you mean 'renyi:ORDER'"),
    ],
)
def test_orders_that_are_none_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        perception_from(name)


def test_an_order_is_written_in_its_shortest_form() -> None:
    assert [perception_from(f"renyi:{word}").name for word in ("2.0", "0.50", "1e1", "0.3333333333333333")] == [
        "renyi:2",
        "renyi:0.5",
        "renyi:10",
        "renyi:0.3333333333333333",
    ]


# Renyi divergences


@laws
@given(p=law(4, least=0), q=law(4), orders=st.tuples(st.floats(0.01, 50), st.floats(0.01, 50)))
def test_renyi_divergences_grow_with_the_order_and_pass_through_kl(
    p: np.ndarray, q: np.ndarray, orders: tuple[float, float]
) -> None:
    assume(1.0 not in orders)
    low, high = (Renyi(order).value(p, q) for order in sorted(orders))
    assert low <= high + 1e-12
    assert_allclose(Renyi(1 + 1e-7).value(p, q), perception_from("kl").value(p, q), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("order", [0.2, 0.5, 2.0, 5.0, 20.0])
def test_levels_of_renyi_and_of_its_sum(order: float) -> None:
    divergence = Renyi(order)
    for level in (1e-12, 1e-3, 0.5, 4.0):
        assert_allclose(divergence.of_sum(divergence.sum_level(level)), level, rtol=1e-11)
        h = 1e-6 * level
        slope = (divergence.sum_level(level + h) - divergence.sum_level(level - h)) / (2 * h)
        assert_allclose(divergence.sum_slope(level), slope, rtol=1e-7)
    # logarithms of sums that overflow, or that rounding hides next to one
    assert_allclose(Renyi(order).value(np.array([0.5, 0.5]), np.array([1.0, 1e-200])), far(order), rtol=1e-12)


def far(order: float) -> float:
    """Renyi divergence of (1/2, 1/2) from (1, 1e-200), summed in logarithms."""
    terms = [order * math.log(0.5), order * math.log(0.5) + (1 - order) * math.log(1e-200)]
    return float(np.logaddexp(*terms)) / (order - 1)


# Jensen-Shannon


def test_beyond_log_2_every_law_is_within_reach_of_js() -> None:
    divergence = perception_from("js")
    assert divergence.dual_term(P5, V5, math.log(2))[:2] == (V5.min(), 0.0)
    unseen = np.array([0.5, 0.5, 0.0])
    assert divergence.dual_term(unseen, np.array([1.0, 2.0, 0.0]), 0.7)[:2] == (0.0, 0.0)
    assert divergence.dual_term(unseen, np.array([1.0, 2.0, 0.0]), 0.69).value > 0
