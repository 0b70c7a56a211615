"""Problem files: what is written is read back bit by bit, and every mistake is one line that helps."""

from __future__ import annotations

import dataclasses
import inspect
import math
import re
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import cdp_toy as cdp
from cdp_toy.perceptions import CATALOGUE as PERCEPTIONS
from cdp_toy.perceptions import KL
from cdp_toy.pieces import CATALOGUE, Piece
from cdp_toy.presets import PRESETS
from cdp_toy.problem_files import LARGEST_FILE, load_problem, problem_from_toml, problem_to_toml, save_problem
from cdp_toy.toml_text import WIDTH, toml

PAGE = (Path(__file__).parents[1] / "docs" / "problem-files.md").read_text("utf-8")
BLOCKS = re.findall(r"```toml\n(.*?)```", PAGE, flags=re.DOTALL)

LINE = cdp.GaussianMixture((0.7, 0.3), (-1.0, 1.0), 1.0)
PLANE = cdp.GaussianMixture2D((0.6, 0.4), [[(-1.0, 0.1), (0.3, 1 / 3)], [(1.0, 0.5)]], 0.5, [(0.1, 0.9), (1.0,)])
LETTERS = cdp.TableSource([0.5, 0.5], [[0.6, 0.3, 0.1], [1 / 3, 1 / 3, 1 / 3]], [-1.0, 0.1, 2.0])
_RNG = np.random.default_rng(7)


def problem(piece: Any) -> cdp.CDPProblem:
    """A problem that holds a piece."""
    pieces = {"source": LINE, "degradation": cdp.Identity(), "classifier": cdp.BayesClassifier()}
    return cdp.CDPProblem(**{**pieces, piece.role: piece})


#: at least one piece of every kind, with every argument at least once
PIECES: list[Any] = [
    cdp.GaussianMixture((0.7, 0.3), (-1.0, 1.0), 1.0),
    cdp.GaussianMixture(_RNG.dirichlet([1, 1, 1]), ((-2.0,), (-0.4, 1 / 3), (2.2,)), 0.7, ((1.0,), (0.6, 0.4), (1.0,))),
    cdp.LaplaceMixture((0.7, 0.3), (-1.0, 1.0), 0.8),
    cdp.LaplaceMixture((0.7, 0.3), ((-1.0, 0.1), (1.0,)), 0.8, ((0.2, 0.8), (1.0,))),
    cdp.UniformMixture((0.5, 0.5), ((-2.0, 1e-300), (-0.5,)), ((0.5, 1.0), (2.5,)), ((0.1, 0.9), (1.0,))),
    cdp.Histogram(_RNG.dirichlet([1, 1]), np.sort(_RNG.normal(size=41)), _RNG.dirichlet(np.ones(40), size=2)),
    cdp.Histogram2D(
        (0.5, 0.5), (0.0, 0.1, 2.0), (0.0, 1.0, 1.5, 4.0), _RNG.dirichlet(np.ones(6), size=2).reshape(2, 2, 3)
    ),
    PLANE,
    cdp.GaussianMixture2D(
        (0.6, 0.4), [(-0.6, 0.0), (0.9, 0.3)], [[[1.6, 0.3], [0.3, 1.2]], [[0.35, -0.1], [-0.1, 0.5]]]
    ),
    cdp.IndependentPair(LINE, cdp.LaplaceMixture((0.7, 0.3), (0.0, 0.5), 0.6)),
    LETTERS,
    cdp.TableSource(_RNG.dirichlet(np.ones(3)), _RNG.dirichlet(np.ones(50), size=3), _RNG.normal(size=(50, 2))),
    cdp.TableSource([1.0], [[0.25, 0.75]]),
    cdp.Identity(),
    cdp.AdditiveGaussian(0.1 + 0.2),
    cdp.AdditiveGaussian(2),
    cdp.LinearGaussian([[1.0, 0.3], [0.3, 1 / 3]], [[0.5, 0.2], [0.2, 0.4]]),
    cdp.drop_coordinate(1, std=0.3),
    cdp.UniformQuantizer(-2.0, 2.0, 5),
    cdp.Erasure(0.25),
    cdp.Erasure(0.1, cdp.Erasure(0.2, cdp.UniformQuantizer(-1.0, 1 / 3, 3))),
    cdp.DeterministicMap([1, 0, 1]),
    cdp.DeterministicMap([2, 1, 0, 1, 2], [-1.5, -0.5, 0.5, 1.5]),
    cdp.TableDegradation(_RNG.dirichlet(np.ones(7), size=3)),
    cdp.BayesClassifier(),
    cdp.ThresholdClassifier(math.log(7 / 3) / 2),
    cdp.ThresholdClassifier((-1.0, 1.0), (1, 0, 1)),
    cdp.LinearClassifier((1.0, 1 / 3), -0.1, (1, 0)),
    cdp.QuadraticClassifier([np.zeros((2, 2)), -np.eye(2)], [[0.0, 0.0], [0.1, 0.2]], [0.0, 1.5]),
    cdp.TableClassifier([0, 1, 1]),
]


def identify(value: object) -> str:
    return type(value).__name__ if isinstance(value, Piece) else str(value)[:40]


# ---- round trips ----


@pytest.mark.parametrize("piece", PIECES, ids=identify)
def test_every_piece_comes_back(piece: Piece, tmp_path: Path) -> None:
    one = problem(piece)
    assert problem_from_toml(problem_to_toml(one)) == one
    save_problem(one, tmp_path / "one.toml")
    again = load_problem(tmp_path / "one.toml")
    assert again == one
    assert problem_to_toml(again) == problem_to_toml(one)
    assert max(map(len, (tmp_path / "one.toml").read_text("utf-8").splitlines())) <= WIDTH


def test_every_kind_and_argument_has_an_example() -> None:
    """A new piece without an example in PIECES fails here."""
    for role, kinds in CATALOGUE.items():
        for kind, cls in kinds.items():
            examples = [piece for piece in PIECES if type(piece) is cls]
            used = {name for piece in examples for name in piece.arguments()}
            assert examples, f"no example of the {role} '{kind}'"
            assert used == set(inspect.signature(cls).parameters), f"arguments of the {role} '{kind}' without example"


@pytest.mark.parametrize("name", PRESETS)
def test_presets_come_back_to_the_last_bit(name: str) -> None:
    preset = cdp.presets.from_name(name)
    again = problem_from_toml(problem_to_toml(preset))
    assert again == preset and again.name == preset.name
    n = None if isinstance(preset.source, cdp.TableSource) else 5 if preset.source.dim == 2 else 21
    one, two = preset.discretize(n=n), again.discretize(n=n)
    for attribute in ("p_x", "p_y"):
        assert getattr(one, attribute).tobytes() == getattr(two, attribute).tobytes()
    assert np.asarray(one.distortion_cost.table()).tobytes() == np.asarray(two.distortion_cost.table()).tobytes()
    assert np.asarray(one.error_cost.table()).tobytes() == np.asarray(two.error_cost.table()).tobytes()


def test_the_rest_of_a_problem_comes_back() -> None:
    for perception in (*PERCEPTIONS, "renyi:2", "renyi:0.3333333333333333"):
        one = cdp.CDPProblem(
            LINE, cdp.Identity(), cdp.BayesClassifier(), "absolute_error", perception, name='ä "\\\n\x7f'
        )
        assert problem_from_toml(problem_to_toml(one)) == one
    cost = np.array([[0.0, 0.1], [1 / 3, -0.0]])
    table = _RNG.random((3, 3))
    one = cdp.CDPProblem(
        LETTERS,
        cdp.Identity(),
        cdp.TableClassifier([0, 1, 1]),
        table,
        class_cost=cost,  # type: ignore[arg-type]
    )
    again = problem_from_toml(problem_to_toml(one))
    assert again == one
    assert again.discretize().error_cost.table().tobytes() == one.discretize().error_cost.table().tobytes()


def test_what_is_the_default_may_be_left_out() -> None:
    text = problem_to_toml(dataclasses.replace(cdp.presets.paper_toy(), name=""))
    assert "class_cost" not in text
    short = "\n".join(line for line in text.splitlines() if not line.startswith(("name", "distortion", "perception")))
    assert problem_from_toml(short) == problem_from_toml(text)
    equal = cdp.CDPProblem(LINE, cdp.Identity(), cdp.BayesClassifier(), perception=KL())  # type: ignore[abstract]
    assert 'perception = "kl"' in problem_to_toml(equal)


@given(st.lists(st.floats(min_value=1e-12, max_value=1.0), min_size=1, max_size=40))
def test_any_priors_come_back(weights: list[float]) -> None:
    priors = np.array(weights) / np.sum(weights)
    one = problem(cdp.GaussianMixture(priors, np.arange(len(weights), dtype=float)))
    assert problem_from_toml(problem_to_toml(one)).source.priors == one.source.priors


# ---- the writer ----

SCALARS = st.one_of(
    st.floats(allow_nan=True, allow_subnormal=True),
    st.sampled_from([5e-324, -0.0, math.inf, -math.inf, 1.7976931348623157e308, 1e22, 1e-7]),
    st.integers(-(2**63), 2**63 - 1),
    st.booleans(),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=200),
    st.text("\x00\x1f\x7f\"'\\\n\r\t\b\f#= \u0085\u2028\ufeff😀", max_size=20),
)
LISTS = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=40), max_leaves=60)
KEYS = st.one_of(st.from_regex(r"[A-Za-z0-9_-]+", fullmatch=True), st.text(st.characters(exclude_categories=["Cs"])))
TABLES = st.recursive(
    st.dictionaries(KEYS, LISTS, max_size=5),
    lambda inner: st.dictionaries(KEYS, st.one_of(LISTS, inner), max_size=4),
    max_leaves=4,
)


def same(one: object, two: object) -> bool:
    """Equal to the type and the last bit."""
    if isinstance(one, dict) and isinstance(two, dict):
        return one.keys() == two.keys() and all(same(one[key], two[key]) for key in one)
    if isinstance(one, list) and isinstance(two, list):
        return len(one) == len(two) and all(map(same, one, two))
    return type(one) is type(two) and repr(one) == repr(two)


@given(TABLES)
def test_what_is_emitted_is_what_was_meant(data: dict[str, Any]) -> None:
    assert same(tomllib.loads(toml(data)), data)


def test_long_rows_are_wrapped() -> None:
    rows = _RNG.normal(size=(3, 40)).tolist()
    lines = toml({"a": rows, "b": list(range(200)), "c": [[1.0], [2.0]]}).splitlines()
    assert max(map(len, lines)) <= WIDTH
    assert len(lines) < 50
    assert "c = [[1.0], [2.0]]" in lines


# ---- what cannot be written ----


class OwnKL(KL):  # type: ignore[misc, unused-ignore]
    """A perception of one's own."""

    name = "own"


def flat_density(x: Any) -> Any:
    return 0.5 + 0 * x


class OwnMixture(cdp.GaussianMixture):
    """A source of one's own that forgot its kind."""


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"source": cdp.DensitySource((0.5, 0.5), (flat_density, flat_density), (-1.0, 1.0))},
            "source: a DensitySource holds a",
        ),
        (
            {"classifier": cdp.CallableClassifier(lambda x: x[:, 0] > 0)},
            "classifier: a CallableClassifier holds a func",
        ),
        ({"distortion": lambda x, y: abs(x - y)}, "distortion: a function cannot be written .* table of rows"),
        ({"perception": OwnKL()}, "perception: a OwnKL is not in the catalogue .* kl"),
        ({"source": OwnMixture((0.7, 0.3), (-1.0, 1.0))}, "shares its 'kind'"),
        ({"name": "\ud800"}, "surrogate"),
    ],
)
def test_what_cannot_be_written_is_refused_before_a_file_is_touched(
    changes: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / "kept.toml").write_text("as it was")
    one = dataclasses.replace(cdp.presets.paper_toy(), **changes)
    with pytest.raises(cdp.InputError, match=message) as refused:
        save_problem(one, tmp_path / "kept.toml")
    assert len(str(refused.value).splitlines()) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["kept.toml"]
    assert (tmp_path / "kept.toml").read_text() == "as it was"


def test_a_problem_too_large_to_be_read_is_not_written() -> None:
    rows = np.full((1000, 1000), 1 / 3) * [[0.123456789012]]
    huge = cdp.CDPProblem(
        cdp.TableSource([1.0], [np.full(1000, 0.001)]),
        cdp.Identity(),
        cdp.BayesClassifier(),
        rows,  # type: ignore[arg-type]
    )
    with pytest.raises(cdp.InputError, match=r"bytes as text.* at most 16,777,216"):
        problem_to_toml(huge)
    with pytest.raises(cdp.InputError, match="only a CDPProblem"):
        problem_to_toml("paper-toy")  # type: ignore[arg-type]


def test_a_file_is_replaced_as_a_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "one.toml"
    save_problem(cdp.presets.paper_toy(), file)
    (tmp_path / "link.toml").symlink_to(file)
    save_problem(cdp.presets.plane_toy(), tmp_path / "link.toml")
    assert load_problem(file) == cdp.presets.plane_toy() and (tmp_path / "link.toml").is_symlink()

    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", fail)
    with pytest.raises(cdp.InputError, match=r"one\.toml cannot be written: No space left"):
        save_problem(cdp.presets.paper_toy(), str(file))
    assert load_problem(file) == cdp.presets.plane_toy()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link.toml", "one.toml"]


def test_places_that_cannot_be_written(tmp_path: Path) -> None:
    for place, message in [
        (tmp_path, "is a directory"),
        (tmp_path / "no" / "one.toml", "No such file or directory; choose a directory"),
        ("a\0b", "cannot be written"),
        (3, "must be a str or a Path, got 3"),
    ]:
        with pytest.raises(cdp.InputError, match=message) as refused:
            save_problem(cdp.presets.paper_toy(), place)  # type: ignore[arg-type]
        assert len(str(refused.value).splitlines()) == 1


# ---- what cannot be read ----

TOP = 'name = "toy"\n'
SOURCE = '[source]\nkind = "gaussian_mixture"\npriors = [0.7, 0.3]\nmeans = [-1.0, 1.0]\n'
NOISE = '[degradation]\nkind = "additive_gaussian"\nstd = 1.0\n'
BAYES = '[classifier]\nkind = "bayes"\n'
GOOD = TOP + SOURCE + NOISE + BAYES


def table(role: str, kind: str, **keys: str) -> str:
    """A good problem but for one table."""
    rest = {"source": SOURCE, "degradation": NOISE, "classifier": BAYES}
    lines = "".join(f"{key} = {value}\n" for key, value in keys.items())
    return "".join(text for name, text in rest.items() if name != role) + f'[{role}]\nkind = "{kind}"\n{lines}'


MALFORMED = [
    # no TOML
    ("", r"^bad\.toml: \[source\] and \[degradation\] and \[classifier\] are missing"),
    (GOOD.replace("std = 1.0", "std = 1,0"), r"is no TOML: .*line 8.* in std = 1,0; mend it"),
    (GOOD.replace("std = 1.0", "std ="), r"is no TOML: Invalid value \(at line 8, column 6\)"),
    (GOOD.replace('"toy"', '"toy'), r"is no TOML: .*line 1.* in name = \"toy"),
    (GOOD.replace('"toy"', "toy"), r"is no TOML: Invalid value \(at line 1, column 8\), in name = toy"),
    (GOOD + SOURCE, r"is no TOML: Cannot declare .*source.* twice"),
    (GOOD + "kind = 1", r"is no TOML: Cannot overwrite a value"),
    (GOOD.replace("[0.7, 0.3]", "[0.7 0.3]"), r"is no TOML: Unclosed array .*line 4"),
    (GOOD.replace("[0.7, 0.3]", "[.7, .3]"), r"is no TOML: Invalid value.* in priors = \[\.7, \.3\]"),
    (GOOD + '\nname = "\x00"', r"is no TOML: Illegal character '\\x00'"),
    (GOOD.replace("1.0", "1" * 5000), r"bad\.toml: a whole number is too long .*5000 digits.*; write it like 1e30"),
    ("a = " + "[" * 100_000, r"^bad\.toml: brackets or tables are nested too deeply"),
    ("a = " + "[" * 100_000 + "]" * 100_000, "nested too deeply"),
    ("a = " + "{a = " * 100_000, "nested too deeply"),
    (".".join("a" * 50_000) + " = 1", "a key of 100 words joined by dots"),
    ("[" + ".".join("a" * 50_000) + "]", "a key of 100 words joined by dots"),
    (table("classifier", "threshold", thresholds="[" * 300 + "1" + "]" * 300), r"\[classifier\]: .*thresholds"),
    # top level
    (GOOD.replace("name", "nam"), r"^bad\.toml: unknown .*'nam'; did you mean 'name'\?.*; got nam = \"toy\"$"),
    (GOOD.replace("[source]", "[sources]"), r"unknown .*'sources'; did you mean 'source'\?.*; got sources = a table"),
    (GOOD.replace('name = "toy"', "n = 101"), r"unknown top-level key or table 'n'.*; got n = 101"),
    (GOOD.replace('"toy"', "3"), r"name must be text in quotes; got 3"),
    (GOOD.replace('"toy"', '["a", true]'), r'name must be text in quotes; got \["a", true\]'),
    ('distortion = "squared"\n' + GOOD, r"unknown distortion 'squared'; did you mean 'squared_error'\?"),
    ("distortion = 2.0\n" + GOOD, r"distortion must be .* got 2.0"),
    ("distortion = true\n" + GOOD, r"distortion must be a word in quotes or a table.*distortion is true"),
    ("distortion = {}\n" + GOOD, r"distortion must be a word in quotes or a table.*distortion is a table"),
    ("distortion = [[0, 1], [1]]\n" + GOOD, r"distortion must be one of .*two axes.* got \[\[0, 1\], \[1\]\]"),
    ('distortion = [[0, "1"]]\n' + GOOD, r'distortion\[0\]\[1\] is "1", numbers stand without quotes'),
    ("distortion = [[0, nan], [1, 0]]\n" + GOOD, r"distortion must be finite; distortion\[0, 1\] is nan"),
    ('perception = "kll"\n' + GOOD, r"unknown perception 'kll'; did you mean 'kl'\?"),
    ('perception = "renyi:1"\n' + GOOD, "renyi:1 is the Kullback-Leibler divergence"),
    ("perception = 1\n" + GOOD, r"perception must be one of the words kl, .*; got 1"),
    (
        "class_cost = [[0, 1]]\n" + GOOD,
        r"class_cost has shape \(1, 2\); expected \(2, 2\).* got class_cost = \[\[0, 1\]\]",
    ),
    ("class_cost = 1.0\n" + GOOD, r"class_cost must have 2 axis.*; got class_cost = 1.0"),
    ('class_cost = "0-1"\n' + GOOD, r'class_cost must be .* class_cost is "0-1", numbers stand without quotes'),
    (
        "class_cost = [[0, inf], [1, 0]]\n" + GOOD,
        r"class_cost must be finite.*; got class_cost = \[\[0, inf\], \[1, 0\]\]",
    ),
    # tables
    (TOP + NOISE + BAYES, r"^bad\.toml: \[source\] is missing; a problem needs the tables"),
    (TOP + SOURCE, r"\[degradation\] and \[classifier\] are missing"),
    ("source = 3\n" + NOISE + BAYES, r"source must be a table, \[source\] with a key 'kind' \(one of .*; got 3"),
    (GOOD.replace("[source]", "[[source]]"), r"source must be a table, \[source\] with"),
    (
        GOOD.replace('kind = "bayes"', ""),
        r"bad\.toml, \[classifier\]: classifier: the key 'kind' is missing; it is one of bay",
    ),
    (GOOD.replace('"bayes"', "2024-05-01"), r"\[classifier\]: kind must be one of the words .*; got 2024-05-01"),
    (GOOD.replace('"bayes"', '"Bayes"'), r"\[classifier\]: unknown classifier kind 'Bayes'; did you mean 'bayes'\?"),
    (
        GOOD.replace("gaussian_mixture", "gausian"),
        r"\[source\]: unknown source kind 'gausian'; did you mean 'gaussian_mix",
    ),
    (GOOD.replace("std =", "sdt ="), r"\[degradation\]: unknown key .*'sdt'; did you mean 'std'\?.*; got sdt = 1.0"),
    (
        GOOD + 'perception = "tv"',
        r'\[classifier\]: unknown key .*; got perception = "tv"; perception belongs above the',
    ),
    (GOOD.replace("std = 1.0", ""), r"\[degradation\]: degradation 'additive_gaussian': the key 'std' is missing"),
    (GOOD.replace("means = [-1.0, 1.0]", ""), r"\[source\]: .*the key 'means' is missing; it needs priors, means$"),
    # values
    (
        GOOD.replace("std = 1.0", 'std = "1.0"'),
        r'\[degradation\]: std must be .*; std is "1.0", numbers stand without quotes',
    ),
    (
        GOOD.replace("std = 1.0", "std = true"),
        r"\[degradation\]: std must be .*; std is true, true and false are no num",
    ),
    (GOOD.replace("std = 1.0", "std = 1979-05-27"), r"std is 1979-05-27, numbers look like 0.5"),
    (GOOD.replace("std = 1.0", "std = {}"), r"std is a table, write std = \.\.\. instead"),
    (GOOD.replace("std = 1.0", "std = -1.0"), r"\[degradation\]: the noise .* not negative; got -1.0; got std = -1.0"),
    (GOOD.replace("std = 1.0", "std = [1.0]"), r"\[degradation\]: the noise .* got std = \[1.0\]"),
    (GOOD.replace("std = 1.0", "std = nan"), r"must be a finite number.*; got std = nan"),
    (GOOD.replace("std = 1.0", f"std = 1{'0' * 400}"), r"std is 1000.* \.\.\. 0+, too large for a double"),
    (
        GOOD.replace("[0.7, 0.3]", "[0.7, 0.4]"),
        r"\[source\]: priors must sum to 1; the sum is 1.1.*; got priors = \[0.7, 0.4\]",
    ),
    (GOOD.replace("[0.7, 0.3]", "[-0.7, 1.7]"), r"priors must not be negative; priors\[0\] is -0.7.*; got priors"),
    (GOOD.replace("[0.7, 0.3]", "[]"), r"priors is empty.*; got priors = \[\]"),
    (GOOD.replace("[0.7, 0.3]", '"ab"'), r'priors is "ab", numbers stand without quotes'),
    (GOOD.replace("[0.7, 0.3]", '[0.7, "0.3"]'), r'priors\[1\] is "0.3", numbers stand without quotes'),
    (GOOD.replace("[0.7, 0.3]", "0.7"), r"priors must have 1 axis.*; got priors = 0.7"),
    (
        GOOD.replace("[-1.0, 1.0]", "[-1.0]"),
        r"\[source\]: means has 1 entries for 2 priors.*; got priors = .*, means = \[-1.0\]",
    ),
    (
        GOOD.replace("[-1.0, 1.0]", "[[-1.0, [1.0]], 1.0]"),
        r"\[source\]: means, class 0.*; got means = \[\[-1.0, \[1.0\]\], 1.0\]",
    ),
    (table("classifier", "threshold", thresholds="{}"), r"\[classifier\]: thresholds must be .* is a table"),
    (table("classifier", "threshold", thresholds="[1.0, 0.0]"), r"\[classifier\]: thresholds must increase strictly"),
    (
        table("classifier", "table", classes="[0, 2]"),
        r"\[classifier\]: the classifier names class 2 .*; got classes = \[0, 2\]",
    ),
    (table("classifier", "table", classes="[0.5]"), r"\[classifier\]: .*class indices.*; got classes = \[0.5\]"),
    (table("degradation", "deterministic_map", letters="3"), r"\[degradation\]: letters .*; got letters = 3"),
    (
        table("degradation", "deterministic_map", letters="[0, 1000000000000]"),
        r"letter 1 of y is never used.*; got letters =",
    ),
    (
        table("degradation", "uniform_quantizer", low="0", high="1", levels='"a"'),
        r'levels is "a", numbers stand without',
    ),
    (
        table("degradation", "uniform_quantizer", low="0", high="1", levels="2.5"),
        r"levels must be a whole .*; got levels = 2.5",
    ),
    (
        table("degradation", "uniform_quantizer", low="0", high="1", levels="1e18"),
        r"levels must be at most 1,000,000; use Identity .*; got levels = 1e\+18",
    ),
    (
        table("degradation", "uniform_quantizer", low="1", high="0", levels="2"),
        r"low < high.*; got levels = 2|; got low = 1, high",
    ),
    (table("degradation", "linear_gaussian", matrix="[[1, 0]]", covariance="1e309"), r"covariance.* finite"),
    (table("degradation", "erasure", probability="1.5"), r"\[degradation\]: the probability .*; got probability = 1.5"),
    # tables inside of tables
    (
        table("degradation", "erasure", probability="0.5", otherwise="1"),
        r"degradation\.otherwise must be a table.*; got 1",
    ),
    (
        table("degradation", "erasure", probability="0.5", otherwise='{kind = "gauss"}'),
        r"bad\.toml, \[degradation\.otherwise\]: unknown degradation kind 'gauss'; did you mean 'linear_gaussian'\?",
    ),
    (
        table("degradation", "erasure", probability="0.5", otherwise='{kind = "additive_gaussian", std = -2}'),
        r"bad\.toml, \[degradation\.otherwise\]: the noise .*; got std = -2",
    ),
    (table("source", "independent_pair", first='{kind = "laplace"}'), r"\[source\.first\]: .*'priors' is missing"),
    (
        table("source", "independent_pair", first='{kind = "laplace", priors = [1], means = [0]}'),
        r"\[source\]: .*the key 'second' is missing; it needs first, second$",
    ),
    (
        table(
            "source",
            "independent_pair",
            first='{kind = "laplace", priors = [1], means = [0]}',
            second='{kind = "table", priors = [1], p_x_given_class = [[1]]}',
        ),
        r"\[source\]: second must be a mixture on the line",
    ),
]


@pytest.mark.parametrize(("text", "message"), MALFORMED, ids=lambda value: re.sub(r"\W+", "_", value)[:50])
def test_a_mistake_is_one_line_that_helps(text: str, message: str) -> None:
    with pytest.raises(cdp.InputError, match=message) as refused:
        problem_from_toml(text, "bad.toml")
    line = str(refused.value)
    assert line.startswith("bad.toml")
    assert len(line.splitlines()) == 1 and line.isprintable() and len(line) < 1600


def test_the_good_file_is_good() -> None:
    assert problem_from_toml(GOOD) == dataclasses.replace(cdp.presets.paper_toy(), name="toy")
    assert len(MALFORMED) >= 45


ODD = [
    *('"a"', '"0.5"', "true", "[]", "[[]]", "[[], []]", "[[[]]]", '["a"]', "[1]", "[[1]]", "[1, [2]]", "[[1, 2], [3]]"),
    *("{}", '{kind = "identity"}', "1979-05-27", "07:32:00", f"1{'0' * 400}", "nan", "inf", "-inf", "[nan, nan]"),
    *("[inf, -inf]", "1e308", "[1e308, -1e308]", "[[1e308], [-1e308]]", "5e-324", "0", "-1", "3", "[0, 1, 2]", "[{}]"),
    *("[0.5, 0.5]", "[[1, 2], [3, 4]]", "[" * 70 + "1" + "]" * 70, "[0, 1000000000000]"),
]


@pytest.mark.parametrize("piece", PIECES, ids=identify)
def test_odd_values_of_every_argument_never_escape(piece: Piece) -> None:
    """An argument of any type gives a problem or one line of InputError, nothing else."""
    data = tomllib.loads(problem_to_toml(problem(piece)))
    rest = {role: data[role] for role in ("source", "degradation", "classifier") if role != piece.role}
    for key in piece.arguments():
        own = toml({piece.role: {k: v for k, v in data[piece.role].items() if k != key}})
        for odd in ODD:
            text = toml(rest) + own.replace(f"[{piece.role}]\n", f"[{piece.role}]\n{key} = {odd}\n", 1)
            try:
                problem_from_toml(text, "odd.toml")
            except cdp.InputError as error:
                assert str(error).startswith("odd.toml") and len(str(error).splitlines()) == 1
                assert "__" not in str(error)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "latin.toml").write_bytes('name = "größe"'.encode("latin-1"))
    (tmp_path / "wide.toml").write_bytes(GOOD.encode("utf-16"))
    with (tmp_path / "large.toml").open("wb") as stream:
        stream.truncate(20 << 20)
    for name, message in [
        ("none.toml", "none.toml cannot be read: No such file or directory; name a TOML file"),
        (".", "cannot be read: Is a directory"),
        ("latin.toml", r"latin.toml is not UTF-8 text \(byte 10 is 0xf6\); save it as UTF-8"),
        ("wide.toml", r"wide.toml is not UTF-8 text \(byte 0 is 0xff\)"),
        ("large.toml", r"large.toml is too large .*20,971,520 bytes, at most 16,777,216"),
    ]:
        with pytest.raises(cdp.InputError, match=message) as refused:
            load_problem(tmp_path / name)
        assert len(str(refused.value).splitlines()) == 1
    for path, message in [("a\0b", "cannot be read"), (3, "must be a str or a Path"), ("/dev/zero", "too large")]:
        with pytest.raises(cdp.InputError, match=message):
            load_problem(path)  # type: ignore[arg-type]
    with pytest.raises(cdp.InputError, match="must be a str, got bytes"):
        problem_from_toml(b"")  # type: ignore[arg-type]
    assert LARGEST_FILE == 16 << 20


def test_a_file_that_may_not_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Root may read everything, so the refusal of the system is played."""
    (tmp_path / "closed.toml").write_text(GOOD)

    def refuse(*args: object, **named: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(cdp.InputError, match="cannot be read: Permission denied"):
        load_problem(tmp_path / "closed.toml")


def test_marks_of_other_editors_do_no_harm(tmp_path: Path) -> None:
    (tmp_path / "dos.toml").write_bytes(b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert load_problem(tmp_path / "dos.toml") == problem_from_toml(GOOD)


# ---- the page ----


def test_the_page_shows_a_problem_on_the_line_in_the_plane_and_of_letters() -> None:
    problems = [problem_from_toml(block, "docs/problem-files.md") for block in BLOCKS]
    assert [one.source.dim for one in problems] == [1, 2, None]
    for one, n in zip(problems, (11, 5, None), strict=True):
        assert problem_from_toml(problem_to_toml(one)) == one
        assert one.discretize(n=n).p_x.sum() == pytest.approx(1)


def test_the_page_names_every_kind_and_key() -> None:
    reference = PAGE.split("## Reference")[1].split("\n## ")[0]
    for role, kinds in CATALOGUE.items():
        section = reference.split(f"### `[{role}]`")[1].split("\n### ")[0]
        rows = {row.split("`")[1].strip('"'): row for row in section.splitlines() if row.startswith('| `"')}
        assert set(rows) == set(kinds)
        for kind, cls in kinds.items():
            for name, parameter in inspect.signature(cls).parameters.items():
                spelled = f"`[{role}.{name}]`" if name in cls.nested else f"`{name}`"
                assert spelled in rows[kind], f"{role} '{kind}' has a key {name} that the page does not name"
                optional = parameter.default is not parameter.empty
                assert (f"*{spelled}*" in rows[kind]) == optional, f"is {name} of {role} '{kind}' optional?"
    for word in [*PERCEPTIONS, "renyi:ORDER", "squared_error", "absolute_error", "hamming"]:
        assert f'`"{word}"`' in reference


def test_the_page_quotes_a_true_message() -> None:
    (quoted,) = re.findall(r"```text\n(.*?)\n```", PAGE, flags=re.DOTALL)
    with pytest.raises(cdp.InputError) as refused:
        problem_from_toml(BLOCKS[0].replace("\nstds", "\nsdts"), "my_toy.toml")
    assert str(refused.value) == quoted
