"""Problems as TOML files: written by hand or by `save_problem`, read back bit by bit.

The format is documented by example in docs/problem-files.md.
"""

from __future__ import annotations

import dataclasses
import inspect
import os
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cdp_toy.distortions import CallableDistortion, TableDistortion, distortion_from
from cdp_toy.errors import InputError, unknown_name
from cdp_toy.perceptions import NAMES as PERCEPTIONS
from cdp_toy.perceptions import perception_from
from cdp_toy.pieces import CATALOGUE, build, plain
from cdp_toy.problem import CDPProblem, check_classes, checked_class_cost
from cdp_toy.toml_text import flat, toml
from cdp_toy.whole_files import replace_file

__all__ = ["load_problem", "problem_from_toml", "problem_to_toml", "save_problem"]

#: Files beyond are refused unread [bytes]; a table of 800 x 800 letters fits.
LARGEST_FILE = 16 << 20
HEADER = "# A problem of cdp_toy. The format: docs/problem-files.md\n\n"
#: tomllib takes time quadratic in the length of a dotted key
DEEP_KEY = re.compile(r"""(?<![\w"'-])(?:[\w"'-]++[ \t]*+\.[ \t]*+){100}""")

ROLES = ("source", "degradation", "classifier")
KEYS = ("name", "distortion", "perception", "class_cost", *ROLES)


def load_problem(path: str | os.PathLike[str]) -> CDPProblem:
    """Read a problem from a TOML file.

    Parameters
    ----------
    path : path of a file in UTF-8

    Raises
    ------
    InputError
        When the file cannot be read, is no TOML, or does not describe a problem: one line with the file, the table or
        key, the value and what to do.

    Examples
    --------
    >>> import cdp_toy as cdp, tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     file = pathlib.Path(directory, "toy.toml")
    ...     cdp.save_problem(cdp.presets.paper_toy(), file)
    ...     cdp.load_problem(file) == cdp.presets.paper_toy()
    True
    """
    file = _path(path)
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            raw = b"" if size > LARGEST_FILE else stream.read(LARGEST_FILE + 1)  # a pipe tells no size
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        reason = getattr(error, "strerror", None) or error
        raise _error(
            file, f"cannot be read: {reason}; name a TOML file (`cdp-toy presets NAME --out FILE` writes one)"
        ) from None
    if max(size, len(raw)) > LARGEST_FILE:
        raise _error(
            file,
            f"is too large for a problem file ({max(size, len(raw)):,} bytes, at most {LARGEST_FILE:,}); keep large "
            "tables in arrays and make the problem in Python",
        )
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _error(
            file, f"is not UTF-8 text (byte {error.start} is 0x{raw[error.start]:02x}); save it as UTF-8"
        ) from None
    return problem_from_toml(text, str(file))


def save_problem(problem: CDPProblem, path: str | os.PathLike[str]) -> None:
    """Write a problem to a TOML file, replacing a file of that name once the new one is complete.

    Raises
    ------
    InputError
        When a piece, the distortion or the perception cannot be written down, or the file cannot be written.
    """
    replace_file(_path(path), problem_to_toml(problem).encode())


def problem_to_toml(problem: CDPProblem) -> str:
    """Return the text of a problem file, every number with all of its digits.

    Raises
    ------
    InputError
        When a piece, the distortion or the perception holds a function or is of a class of its own.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> print(problem_to_toml(cdp.presets.paper_toy(threshold=0.0)))
    # A problem of cdp_toy. The format: docs/problem-files.md
    <BLANKLINE>
    name = "paper_toy, threshold 0"
    distortion = "squared_error"
    perception = "kl"
    <BLANKLINE>
    [source]
    kind = "gaussian_mixture"
    priors = [0.7, 0.3]
    means = [[-1.0], [1.0]]
    stds = [[1.0], [1.0]]
    <BLANKLINE>
    [degradation]
    kind = "additive_gaussian"
    std = 1.0
    <BLANKLINE>
    [classifier]
    kind = "threshold"
    thresholds = [0.0]
    classes = [0, 1]
    <BLANKLINE>
    """
    if not isinstance(problem, CDPProblem):
        raise InputError(f"only a CDPProblem can be written to a problem file, got {type(problem).__name__}")
    data = _plain_problem(problem)
    text = HEADER + toml(data)
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        raise InputError(f"name: {_short(problem.name)} holds half of a surrogate pair; rename the problem") from None
    if size > LARGEST_FILE:
        raise InputError(
            f"the problem takes {size:,} bytes as text, a problem file holds at most {LARGEST_FILE:,}; keep large "
            "tables in arrays and make the problem in Python"
        )
    if problem_from_toml(text) != dataclasses.replace(problem, perception=data["perception"]):
        raise InputError(
            "the file would give another problem back: a piece is of a class that shares its 'kind' with another one; "
            "use the class of that kind, or give yours a kind of its own"
        )
    return text


def _plain_problem(problem: CDPProblem) -> dict[str, Any]:
    """The problem as plain data in the order of the file."""
    distortion, perception = distortion_from(problem.distortion), perception_from(problem.perception)
    if isinstance(distortion, CallableDistortion):
        raise InputError(
            'distortion: a function cannot be written to a file; use "squared_error", "absolute_error", "hamming" or a '
            "table of rows"
        )
    try:
        known = perception_from(perception.name) == perception
    except InputError:
        known = False
    if not known:
        raise InputError(
            f"perception: a {type(perception).__name__} is not in the catalogue and cannot be written to a file; use "
            f"one of {', '.join(PERCEPTIONS)}"
        )
    data: dict[str, Any] = {
        "name": problem.name,
        "distortion": plain(distortion.table) if isinstance(distortion, TableDistortion) else distortion.name,
        "perception": perception.name,
    }
    cost = np.asarray(problem.class_cost)
    if not np.array_equal(cost, checked_class_cost(None, problem.source.n_classes)):
        data["class_cost"] = plain(cost)
    for role in ROLES:
        try:
            data[role] = getattr(problem, role).specification()
        except InputError as error:
            raise InputError(f"{role}: {error}") from None
    return data


def problem_from_toml(text: str, file: str = "<text>") -> CDPProblem:
    """Make a problem of the text of a problem file.

    Parameters
    ----------
    text : str
    file : str
        What messages call it.

    Raises
    ------
    InputError
        As `load_problem`.

    Examples
    --------
    >>> problem_from_toml('sorce = 1', "toy.toml")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    cdp_toy.errors.InputError: toy.toml: unknown top-level key or table 'sorce'; did you mean 'source'? Known: ...
    """
    try:
        return _problem(_parsed(text, file), file)
    except RecursionError:
        raise _error(file, "brackets or tables are nested too deeply; a problem needs 4 levels") from None


def _parsed(text: str, file: str) -> dict[str, Any]:
    if not isinstance(text, str):
        raise _error(file, f"the text of a problem file must be a str, got {type(text).__name__}")
    if DEEP_KEY.search(text):
        raise _error(file, "a key of 100 words joined by dots; a problem needs keys of one word")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = re.search(r"at line (\d+), column", str(error))
        lines = text.splitlines()
        line = lines[int(place[1]) - 1].strip() if place and int(place[1]) <= len(lines) else ""
        quoted = f", in {_cut(line if line.isprintable() else repr(line))}" if line else ""
        raise _error(file, f"is no TOML: {error}{quoted}; mend it there, docs/problem-files.md has examples") from None
    except ValueError as error:  # more digits than Python converts
        raise _error(file, f"a whole number is too long ({error}); write it like 1e30") from None


def _problem(data: dict[str, Any], file: str) -> CDPProblem:
    for key, value in data.items():
        if key not in KEYS:
            raise _error(file, f"{unknown_name('top-level key or table', key, KEYS)}; got {key} = {_short(value)}")
    missing = [f"[{role}]" for role in ROLES if role not in data]
    if missing:
        raise _error(
            file,
            f"{' and '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing; a problem needs the tables "
            "[source], [degradation] and [classifier], each with a key 'kind'",
        )
    words = {"name": "text in quotes", "perception": f"one of the words {', '.join(PERCEPTIONS)}"}
    for key, what in words.items():
        if not isinstance(data.get(key, ""), str):
            raise _error(file, f"{key} must be {what}; got {_short(data[key])}")
    if not isinstance(data.get("distortion", ""), str):
        _check_numbers(data["distortion"], file, "distortion", "a word in quotes or a table as a list of rows")
    if "class_cost" in data:
        _check_numbers(data["class_cost"], file, "class_cost")
    source, degradation, classifier = (_piece(role, data[role], role, file) for role in ROLES)
    where, shown = file, ""
    try:
        if "class_cost" in data:
            shown = f"; got class_cost = {_short(data['class_cost'])}"
            checked_class_cost(data["class_cost"], source.n_classes)
        where, shown = f"{file}, [classifier]", f"; got {_values(data['classifier'])}"
        check_classes(classifier.classes, source.n_classes)
        where, shown = file, ""
        return CDPProblem(
            source,
            degradation,
            classifier,
            distortion=distortion_from(data.get("distortion", "squared_error")),
            perception=data.get("perception", "kl"),
            class_cost=data.get("class_cost"),
            name=data.get("name", ""),
        )
    except InputError as error:
        raise _error(where, f"{error}{shown}") from None


def _piece(role: str, table: object, path: str, file: str) -> Any:
    """Build the piece of one table, the tables inside of it first."""
    where, kinds = f"{file}, [{path}]", CATALOGUE[role]
    if not isinstance(table, dict):
        raise _error(
            file, f"{path} must be a table, [{path}] with a key 'kind' (one of {', '.join(kinds)}); got {_short(table)}"
        )
    kind = table.get("kind", "")
    if not isinstance(kind, str):
        raise _error(where, f"kind must be one of the words {', '.join(kinds)}; got {_short(kind)}")
    parameters = inspect.signature(kinds[kind]).parameters if kind in kinds else None
    for key, value in table.items():
        if parameters and key in kinds[kind].nested:
            _piece(kinds[kind].nested[key], value, f"{path}.{key}", file)
        elif parameters and key in parameters:
            _check_numbers(value, where, key)
    try:
        with np.errstate(over="raise", invalid="raise"):  # numbers like 1e308
            return build(role, table)
    except InputError as error:
        raise _error(where, f"{error}{_got(table, parameters, str(error))}") from None
    except (TypeError, ValueError, ArithmeticError, LookupError, AttributeError) as error:
        raise _error(
            where, f"no {kind} can be made of {_values(table)} ({error}); docs/problem-files.md tells the shapes"
        ) from None


def _got(table: dict[str, Any], parameters: Mapping[str, inspect.Parameter] | None, message: str) -> str:
    """What the table of a piece says on what a message is about; no parameters stand for an unknown kind."""
    if parameters is None:
        return ""
    unknown = next((key for key in table if key not in parameters and key != "kind"), None)
    if unknown is not None:
        misplaced = f"; {unknown} belongs above the first table" if unknown in KEYS else ""
        return f"; got {unknown} = {_short(table[unknown])}{misplaced}"
    if any(key not in table and parameter.default is parameter.empty for key, parameter in parameters.items()):
        return ""  # a key is missing
    return f"; got {_values(table, message)}"


def _values(table: dict[str, Any], message: str = "") -> str:
    """The keys of a piece that a message speaks of (all when it names none), with their values."""
    keys = [key for key, value in table.items() if key != "kind" and not isinstance(value, dict)]
    named = [key for key in keys if re.search(rf"\b{re.escape(key)}\b", message)]
    return ", ".join(f"{key} = {_short(table[key])}" for key in named or keys) or "no key but kind"


def _check_numbers(value: object, where: str, key: str, wanted: str = "a number or a list of numbers") -> None:
    """Refuse anything but numbers and nested lists of numbers: no argument of a piece is a word, a switch or a date."""
    found = _no_number(value)
    if found is None:
        return
    place, odd = found
    remedy = "numbers look like 0.5"
    if isinstance(odd, str):
        remedy = "numbers stand without quotes"
    elif isinstance(odd, bool):
        remedy = "true and false are no numbers"
    elif isinstance(odd, dict):
        remedy = f"write {key} = ... instead of a table"
    elif isinstance(odd, int):
        remedy = "too large for a double"
    raise _error(where, f"{key} must be {wanted}; {key}{place} is {_short(odd)}, {remedy}")


def _no_number(value: object) -> tuple[str, object] | None:
    """Place and value of the first entry that is no number, if there is one."""
    if isinstance(value, list):
        if all(type(entry) is float for entry in value):
            return None
        for k, entry in enumerate(value):
            found = _no_number(entry)
            if found is not None:
                return f"[{k}]{found[0]}", found[1]
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "", value
    try:
        float(value)
    except OverflowError:
        return "", value
    return None


def _short(value: object) -> str:
    """A value as the file spells it, cut."""
    return "a table" if isinstance(value, dict) else _cut(flat(value))


def _cut(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:40]} ... {text[-15:]}"


def _path(path: object) -> Path:
    try:
        return Path(path)  # type: ignore[arg-type]  # what is no path is refused
    except TypeError:
        raise InputError(f"the path of a problem file must be a str or a Path, got {path!r}") from None


def _error(where: object, message: str) -> InputError:
    """One line that begins with the file (and table)."""
    joint = " " if message.startswith(("is ", "cannot ")) else ": "
    line = " ".join(f"{where}{joint}{message}".split())
    return InputError(line if len(line) <= 1500 else f"{line[:1000]} ... {line[-450:]}")
