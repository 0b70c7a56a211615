"""Exact numbers of a certificate, read strictly, their balls, and what is said of what is not proven."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from typing import Any, NoReturn, cast

from flint import arb, fmpq

VERIFIED, REFUTED, UNDECIDED = "VERIFIED", "REFUTED", "CANNOT DECIDE"
MOST_ENTRIES = 1 << 18
RATIONAL = re.compile(r"-?[0-9]{1,400}(/[0-9]{1,400}|(\.[0-9]{1,400})?(e[+-]?[0-9]{1,3})?)")
HEX = re.compile(r"-?0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}")
ZERO, INF = arb(0), arb("inf")

Level = Fraction | float  # a float for inf alone


class NotProven(ValueError):
    """Evidence that proves nothing: the message says why; `verdict` is REFUTED or CANNOT DECIDE."""

    def __init__(self, message: str, verdict: str = UNDECIDED, more_bits: bool = False) -> None:
        super().__init__(message)
        self.verdict, self.more_bits = verdict, more_bits


def need(condition: bool, message: str, more_bits: bool = False) -> None:
    """Without this nothing can be decided."""
    if not condition:
        raise NotProven(message, UNDECIDED, more_bits)


def demand(condition: bool, message: str) -> None:
    """Without this the certificate is wrong."""
    if not condition:
        raise NotProven(message, REFUTED)


def compare(a: arb, b: arb, message: str, strict: bool = False) -> None:
    """Demand a <= b, or a < b: proven, or refuted, or undecided at this precision."""
    if a < b if strict else a <= b:
        return
    refuted = a >= b if strict else a > b
    doubt = "" if refuted else "; undecided"
    raise NotProven(
        message.format(repr(float(a)), repr(float(b))) + doubt, REFUTED if refuted else UNDECIDED, not refuted
    )


def ball(value: Level) -> arb:
    """Ball of an exact number."""
    exact = Fraction(value)
    return arb(fmpq(exact.numerator, exact.denominator))


def brief(value: object) -> str:
    """A word of a file in a message, never long."""
    text = str(value) if isinstance(value, str) and value.isascii() and value.isprintable() else ascii(value)
    return text if len(text) <= 40 else f"{text[:36]}..."


def number(value: object, key: str) -> Fraction:
    """Exact rational of a rational or a hex float in a string, or of a Fraction or float in Python."""
    if isinstance(value, Fraction) or (isinstance(value, float) and math.isfinite(value)):
        return Fraction(value)
    if isinstance(value, str):
        try:
            if HEX.fullmatch(value):
                return Fraction(float.fromhex(value))
            if RATIONAL.fullmatch(value):
                return Fraction(value)
        except (OverflowError, ZeroDivisionError):
            pass
    raise NotProven(f"{key}: {brief(value)} is neither a rational nor a hex float in a string")


def level(value: object, key: str) -> Level:
    """A number that is not negative, or inf."""
    if (isinstance(value, str) and value == "inf") or (isinstance(value, float) and value == math.inf):
        return math.inf
    found = number(value, key)
    demand(found >= 0, f"{key} is negative")
    return found


def listed(value: object, key: str) -> list[Any]:
    """A list, not too long."""
    need(isinstance(value, list | tuple), f"{key}: a list is needed")
    found = cast(Sequence[Any], value)
    need(len(found) <= MOST_ENTRIES, f"{key}: more than {MOST_ENTRIES} entries")
    return list(found)


def floats(values: object, key: str) -> list[float]:
    """List of doubles, as hex floats or in Python as floats."""
    return [
        value if type(value) is float and math.isfinite(value) else _hex(value, key) for value in listed(values, key)
    ]


def _hex(value: object, key: str) -> float:
    if isinstance(value, str) and HEX.fullmatch(value):
        try:
            return float.fromhex(value)
        except OverflowError:
            pass
    raise NotProven(f"{key}: {brief(value)} is no hex float in a string")


def ascending(values: Sequence[float], strict: bool = True) -> bool:
    """Do the values increase, or at least not decrease?"""
    return all(a < b if strict else a <= b for a, b in pairwise(values))


def index(value: object, key: str, count: int) -> int:
    """A whole number in 0 .. count - 1."""
    need(type(value) is int and 0 <= value < count, f"{key}: {brief(value)} is no index below {count}")
    return cast(int, value)


def pair(value: object, key: str) -> tuple[Any, Any]:
    """Two entries: one per class, or one per side."""
    found = listed(value, key)
    need(len(found) == 2, f"{key}: two entries are needed, got {len(found)}")
    return found[0], found[1]


def fields(value: object, keys: Sequence[str], name: str) -> dict[str, Any]:
    """An object with exactly these keys."""
    need(isinstance(value, dict), f"{name}: an object is needed")
    found = cast(dict[str, Any], value)
    for key in keys:
        need(key in found, f"{name}: {key} is missing")
    for key in found:
        need(key in keys, f"{name}: unknown key {brief(key)}")
    return found


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """JSON object without repeated keys."""
    found = dict(pairs)
    need(len(found) == len(pairs), "a key occurs twice in an object")
    return found


def bare(text: str) -> NoReturn:
    """Refuse a number that would be rounded."""
    raise NotProven(f"{brief(text)}: real numbers are rationals or hex floats in strings")


def whole(text: str) -> int:
    """Integer of JSON, of sensible length."""
    need(len(text) <= 9, f"{brief(text)} is too long")
    return int(text)
