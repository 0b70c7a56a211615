"""Plain data as TOML text: words, numbers, nested lists and tables of these; the standard library only reads TOML."""

from __future__ import annotations

import json
import re
import tomllib
from typing import Any

__all__ = ["flat", "toml"]

#: columns of a written file
WIDTH = 120


def toml(data: dict[str, Any]) -> str:
    """Return tables of words, numbers and nested lists as TOML, proven by reading it again.

    >>> print(toml({"name": "a", "source": {"kind": "b", "rows": [[0.1, -0.0]]}}))
    name = "a"
    <BLANKLINE>
    [source]
    kind = "b"
    rows = [[0.1, -0.0]]
    <BLANKLINE>
    """
    data = _tables_last(data)
    text = "\n".join(_table(data, ())) + "\n"
    if repr(tomllib.loads(text)) != repr(data):  # digits, signs of zero and types, too
        raise AssertionError("the text does not give the data back")
    return text


def _tables_last(data: dict[str, Any]) -> dict[str, Any]:
    parts = {key: _tables_last(value) if isinstance(value, dict) else value for key, value in data.items()}
    return dict(sorted(parts.items(), key=lambda item: isinstance(item[1], dict)))


def _table(data: dict[str, Any], path: tuple[str, ...]) -> list[str]:
    lines = ["", f"[{'.'.join(map(_key, path))}]"] if path else []
    for key, value in data.items():
        if isinstance(value, dict):
            lines += _table(value, (*path, key))
        else:
            lines += _wrapped(f"{_key(key)} = ", value, "")
    return lines


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else _scalar(key)


def _scalar(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, int | float):
        return repr(value)  # the shortest decimals that give the double back; inf and nan are spelled alike
    return str(value)


def flat(value: object) -> str:
    """A word, number or nested list in one line."""
    return f"[{', '.join(map(flat, value))}]" if isinstance(value, list) else _scalar(value)


def _wrapped(start: str, value: object, end: str) -> list[str]:
    """Lines of a value: in one if it fits, else rows one by one and numbers as many as fit."""
    whole = flat(value)
    if not isinstance(value, list) or len(start) + len(whole) + len(end) <= WIDTH:
        return [f"{start}{whole}{end}"]
    indent = " " * (len(start) - len(start.lstrip()))
    inner, lines, line = f"{indent}  ", [f"{start}["], ""
    for entry in value:
        nested = isinstance(entry, list)
        word = "" if nested else f"{_scalar(entry)},"
        if line and (nested or len(line) + 1 + len(word) > WIDTH):
            lines.append(line)
            line = ""
        if nested:
            lines += _wrapped(inner, entry, ",")
        else:
            line = f"{line} {word}" if line else inner + word
    return [*lines, *([line] if line else []), f"{indent}]{end}"]
