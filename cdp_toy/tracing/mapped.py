"""Answers about a continuous problem as plain rows: a point or a bracket, and the monotone map behind it."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from cdp_toy.continuous.upper import MapValue
from cdp_toy.errors import InputError
from cdp_toy.point import Bracket, Point
from cdp_toy.solvers.monotone_map import MonotoneMap
from cdp_toy.tracing.records import Answer, Row, answer_of, row_of

__all__ = ["Mapped", "mapped", "mapped_row"]

#: Fields of a map, and in the row their names begin with this.
ARRAYS, NUMBERS = ("edges", "places", "nodes", "potential"), ("error_weight", "price_distortion", "price_perception")
COUNTS, PREFIX = ("threshold_index", "iterations", "converged", "diverged"), "map_"


@dataclass(frozen=True, eq=False)
class Mapped(Point):
    """A point of a continuous problem with the map that attains its upper end: what tracing needs of an enclosure."""

    restoration: MonotoneMap | None


def mapped_row(answer: Answer) -> Row:
    """A plain row with everything that tracing needs; `mapped` is its inverse."""
    if isinstance(answer, Bracket):
        return dict(row_of(dataclasses.replace(answer, witness=None))) | _of_map(answer.witness)
    return dict(row_of(answer)) | _of_map(getattr(answer, "restoration", None))


def mapped(row: Row) -> Answer:
    """The answer that a row was made of, an enclosure as `Mapped`.

    Raises
    ------
    InputError
        When the row is none of `mapped_row`.
    """
    answer = answer_of(row)
    found = _map_of(row) if f"{PREFIX}edges" in row else None
    if isinstance(answer, Bracket):
        return dataclasses.replace(answer, witness=found)
    if answer is None:
        return None
    return Mapped(**{field.name: getattr(answer, field.name) for field in dataclasses.fields(Point)}, restoration=found)


def _of_map(found: Any) -> dict[str, Any]:
    if not isinstance(found, MonotoneMap):
        return {}
    row = {name: np.asarray(getattr(found, name), dtype=np.float64) for name in ARRAYS}
    row |= {"value": np.array(found.value), "numbers": np.array([getattr(found, name) for name in NUMBERS])}
    row["counts"] = np.array([int(getattr(found, name)) for name in COUNTS])
    return {PREFIX + name: column for name, column in row.items()}


def _map_of(row: Row) -> MonotoneMap:
    try:
        values: dict[str, Any] = {name: row[PREFIX + name] for name in ARRAYS}
        values |= zip(NUMBERS, map(float, row[PREFIX + "numbers"]), strict=True)
        index, iterations, converged, diverged = map(int, row[PREFIX + "counts"])
        values |= zip(COUNTS, (index, iterations, bool(converged), bool(diverged)), strict=True)
        return MonotoneMap(**values, value=MapValue(*map(float, row[PREFIX + "value"])))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"not a row of an answer: {error!r}") from None
