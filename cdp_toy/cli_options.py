"""Options that several commands share: the problem, cells per axis, ranges of levels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from cdp_toy.errors import InputError

if TYPE_CHECKING:
    from cdp_toy.problem import CDPProblem

__all__ = ["count_of", "numbers_of", "problem_of", "range_of"]


def problem_of(preset: str | None, file: Path | None) -> CDPProblem:
    """Return the problem of exactly one of a preset's name and a problem file."""
    from cdp_toy.presets import from_name
    from cdp_toy.problem_files import load_problem

    if preset is not None and file is None:
        return from_name(preset)
    if file is not None and preset is None:
        return load_problem(file)
    given = "neither" if file is None else "both"
    raise InputError(
        f"give exactly one of --preset NAME and --problem FILE.toml, got {given}; `cdp-toy presets` lists the presets"
    )


def count_of(text: str | None, option: str) -> int | tuple[int, int] | None:
    """Return a number of cells per axis, or a pair of them.

    >>> count_of("101", "--n"), count_of("8,10", "--n")
    (101, (8, 10))
    """
    if text is None:
        return None
    if not re.fullmatch(r"\s*[+-]?[0-9]{1,18}\s*(,\s*[+-]?[0-9]{1,18}\s*)?", text):
        raise InputError(f"{option} must be a whole number such as 101, or two such as 8,10 in the plane; got {text!r}")
    first, *second = map(int, text.split(","))
    return (first, second[0]) if second else first


def numbers_of(text: str | None, option: str) -> list[float] | None:
    """Return numbers that are separated by commas.

    >>> numbers_of("0.001,3e-3", "-P")
    [0.001, 0.003]
    """
    if text is None:
        return None
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} must be numbers separated by commas, such as 0.001,0.003; got {text!r}") from None


def range_of(text: str | None, option: str) -> tuple[float, float] | None:
    """Return a pair of levels, low and high.

    >>> range_of("0.65,0.71", "-D")
    (0.65, 0.71)
    """
    numbers = numbers_of(text, option)
    if numbers is None:
        return None
    if len(numbers) != 2:
        raise InputError(f"{option} must be two levels, low and high, such as 0.65,0.71; got {text!r}")
    return numbers[0], numbers[1]
