"""Answers as plain rows: nothing is lost on the way there and back."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

import cdp_toy as cdp
from cdp_toy.point import Bracket, Point, Prices, Status
from cdp_toy.solution import Solution
from cdp_toy.solvers.restriction import SavedState
from cdp_toy.tracing.fingerprint import bare, fingerprint
from cdp_toy.tracing.records import Answer, answer_of, packed, row_of, unpacked


@pytest.fixture(scope="module")
def toy() -> cdp.DiscreteProblem:
    return cdp.presets.paper_toy().discretize(n=41)


def there_and_back(answer: Answer, problem: cdp.DiscreteProblem | None = None) -> Answer:
    return answer_of(unpacked(packed(row_of(answer))), problem)


def same(one: object, other: object) -> bool:
    """Equal bit for bit, NaN included."""
    if hasattr(one, "indptr"):
        return all(same(getattr(one, part), getattr(other, part)) for part in ("data", "indices", "indptr", "shape"))
    if isinstance(one, SavedState):
        assert isinstance(other, SavedState)
        return all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, np.ndarray | float):
        a, b = np.asarray(one), np.asarray(other)
        return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
    return one == other


def assert_same(one: Answer, other: Answer) -> None:
    assert type(one) is type(other) and one is not None
    for field in dataclasses.fields(one):
        if field.name != "problem":
            assert same(getattr(one, field.name), getattr(other, field.name)), field.name


@pytest.mark.parametrize(
    "answer",
    [
        Point(Status.OPTIMAL, "formula", 0.1, 0.1 + 1e-16, 0.1, 0.7, 0.01, 0.7, 0.01, 1 / 3, math.pi),
        Point(Status.INFEASIBLE, "formula", math.inf, math.inf, *[math.nan] * 3, 0.7, 0.01, 0.0, 5e-324),
        Bracket(-math.inf, 0.3, None, Prices(0.0, math.inf)),
    ],
)
def test_answers_of_formulas(answer: Answer) -> None:
    assert_same(answer, there_and_back(answer))


def test_no_answer_is_an_answer() -> None:
    assert there_and_back(None) is None


@pytest.mark.parametrize("levels", [(0.69, 0.01), (0.69, math.inf), (0.8, 0.0), (0.5, 0.01)])
def test_solutions(toy: cdp.DiscreteProblem, levels: tuple[float, float]) -> None:
    solution = cdp.solve(toy, *levels, on_infeasible="return")
    again = there_and_back(solution, toy)
    assert_same(solution, again)
    assert isinstance(again, Solution) and again.problem is toy


@pytest.mark.parametrize("p", [math.inf, 0.01, 0.0])
def test_brackets(toy: cdp.DiscreteProblem, p: float) -> None:
    bracket = cdp.min_distortion(toy, p)
    assert bracket.witness is not None
    assert_same(bracket, there_and_back(bracket, toy))


def test_a_warm_start_from_a_row_is_the_same_bit_for_bit(toy: cdp.DiscreteProblem) -> None:
    start = cdp.solve(toy, 0.705, 0.004, solver="levels")
    assert isinstance(start.state, SavedState)
    again = there_and_back(start, toy)
    assert isinstance(again, Solution)
    one, other = (cdp.solve(toy, 0.704, 0.004, solver="levels", warm_start=warm) for warm in (start, again))
    assert_same(one, other)
    without = cdp.solve(toy, 0.704, 0.004, solver="levels", warm_start=dataclasses.replace(start, state=None))
    assert without.price_distortion != one.price_distortion, "the state makes no difference: the test shows nothing"


def test_a_solution_needs_its_problem(toy: cdp.DiscreteProblem) -> None:
    with pytest.raises(cdp.InputError, match="needs that problem"):
        there_and_back(cdp.solve(toy, 0.69, 0.01))


@pytest.mark.parametrize("row", [{}, {"kind": "point"}, {"kind": "bracket", "lower": 0.0}])
def test_rows_of_something_else_are_refused(row: dict[str, object]) -> None:
    with pytest.raises(cdp.InputError, match="not a row of an answer"):
        answer_of(row)


def test_archives_hold_nothing_that_runs() -> None:
    """An array of objects is a pickle: it is refused, and never loaded."""
    with pytest.raises(cdp.InputError, match="allow_pickle=False"):
        unpacked(packed({"kind": np.array([print], dtype=object)}))


@pytest.mark.parametrize("cut", [0, 10, 300, -1])
def test_damaged_archives_are_refused(cut: int) -> None:
    with pytest.raises(cdp.InputError, match="not a row of an answer"):
        unpacked(packed(row_of(Bracket(0.1, 0.2, None, Prices(0.0, 1.0))))[:cut])


def test_fingerprints_see_every_number_that_solvers_see(toy: cdp.DiscreteProblem) -> None:
    cost = toy.distortion_cost
    others = [
        dataclasses.replace(toy, p_x=toy.p_x * np.where(np.arange(toy.n_x) == 3, 1 + 1e-15, 1.0)),
        dataclasses.replace(toy, distortion_cost=dataclasses.replace(cost, mean_y=np.nextafter(cost.mean_y, 1))),
        dataclasses.replace(toy, perception=cdp.presets.paper_toy().discretize(n=5).perception, name="another"),
        dataclasses.replace(toy, grid=None),
        cdp.presets.paper_toy(threshold=0.0).discretize(n=41),
    ]
    assert len({fingerprint(problem) for problem in (toy, *others)}) == len(others) + 1
    assert fingerprint(bare(toy)) == fingerprint(toy) == fingerprint(cdp.presets.paper_toy().discretize(n=41))


@pytest.mark.parametrize(("one", "other"), [("kl", "tv"), ("renyi:2", "renyi:3"), ("w1", "w2_squared")])
def test_fingerprints_see_the_perception(one: str, other: str) -> None:
    toy = cdp.presets.paper_toy()
    grids = [dataclasses.replace(toy, perception=name).discretize(n=7) for name in (one, other, one)]
    first, second, third = map(fingerprint, grids)
    assert first == third != second
