"""Answers of solvers as plain rows, for journals and workers: numbers, words and arrays, nothing that runs."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
from scipy.sparse import csr_array

from cdp_toy.errors import InputError
from cdp_toy.finite import DiscreteProblem
from cdp_toy.point import Bracket, Point, Prices, Status
from cdp_toy.solution import Solution
from cdp_toy.solvers.restriction import SavedState

__all__ = ["Answer", "Row", "answer_of", "packed", "row_of", "unpacked"]

#: What an oracle says: a point, a bracket of a boundary curve, or that there is none.
Answer = Point | Bracket | None

#: Names and plain values: str, float, or a NumPy array of numbers.
Row = Mapping[str, Any]

POINT_FIELDS = tuple(f.name for f in fields(Point))
STATE_ARRAYS, STATE_NUMBERS = ("keys", "x", "z", "u", "v"), ("lam", "kap", "s", "t")


def row_of(answer: Answer) -> Row:
    """A plain row with everything a later solve may start from; `answer_of` is its inverse.

    Examples
    --------
    >>> row = row_of(Bracket(0.25, 0.5, None, Prices(0.0, 1.0)))
    >>> answer_of(row).upper
    0.5
    """
    if answer is None:
        return {"kind": "nothing"}
    if isinstance(answer, Bracket):
        row: dict[str, Any] = {"kind": "bracket", "lower": float(answer.lower), "upper": float(answer.upper)}
        row |= {
            "price_distortion": float(answer.prices.distortion),
            "price_perception": float(answer.prices.perception),
        }
        return row | _sparse(answer.witness) | _optional("potential", answer.potential)
    row = {"kind": "solution" if isinstance(answer, Solution) else "point"}
    row |= {name: _plain(getattr(answer, name)) for name in POINT_FIELDS}
    if isinstance(answer, Solution):
        row |= {"solver": answer.solver, "note": answer.note, "feasibility_tol": answer.feasibility_tol}
        row |= _sparse(answer.sparse_channel) | _optional("potential", answer.potential)
        state = answer.state
        if isinstance(state, SavedState):
            row |= {f"state_{name}": np.asarray(getattr(state, name)) for name in STATE_ARRAYS}
            row["state_numbers"] = np.array([float(getattr(state, name)) for name in STATE_NUMBERS])
    return row


def answer_of(row: Row, problem: DiscreteProblem | None = None) -> Answer:
    """The answer that a row was made of.

    Parameters
    ----------
    row : mapping
    problem : DiscreteProblem, optional
        Needed by solutions of a finite problem.

    Raises
    ------
    InputError
        When the row is none of `row_of`.
    """
    try:
        if row["kind"] == "nothing":
            return None
        if row["kind"] == "bracket":
            prices = Prices(row["price_distortion"], row["price_perception"])
            return Bracket(row["lower"], row["upper"], _channel(row), prices, row.get("potential"))
        values = {name: row[name] for name in POINT_FIELDS} | {"status": Status[row["status"]]}
        if row["kind"] == "point":
            return Point(**values)
        state = None
        if "state_numbers" in row:
            arrays = [row[f"state_{name}"] for name in STATE_ARRAYS]
            state = SavedState(*arrays, *(float(x) for x in row["state_numbers"]))
        if problem is None:
            raise InputError("a row of a finite problem's solution needs that problem")
        return Solution(
            **values,
            problem=problem,
            sparse_channel=_channel(row),
            potential=row.get("potential"),
            solver=row["solver"],
            note=row["note"],
            feasibility_tol=row["feasibility_tol"],
            state=state,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"not a row of an answer: {error!r}") from None


def packed(row: Row) -> bytes:
    """A row as an archive of arrays, nothing of which runs when it is read; `unpacked` is its inverse.

    Examples
    --------
    >>> unpacked(packed({"kind": "bracket", "lower": 0.1}))
    {'kind': 'bracket', 'lower': 0.1}
    """
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in row.items()}
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def unpacked(data: bytes) -> Row:
    """The row of an archive, its numbers and words plain again.

    Raises
    ------
    InputError
        When the bytes are none of `packed`, or damaged.
    """
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile, NotImplementedError) as error:
        raise InputError(f"not a row of an answer: {error}") from None
    return {name: array.item() if array.ndim == 0 else array for name, array in arrays.items()}


def _plain(value: Any) -> str | float:
    if isinstance(value, Status):
        return value.name
    return value if isinstance(value, str) else float(value)


def _optional(name: str, array: Any) -> dict[str, Any]:
    return {} if array is None else {name: np.asarray(array)}


def _sparse(channel: csr_array | None) -> dict[str, Any]:
    if channel is None:
        return {}
    parts = {name: np.asarray(getattr(channel, name)) for name in ("data", "indices", "indptr")}
    return {f"channel_{name}": part for name, part in parts.items()} | {"channel_shape": np.array(channel.shape)}


def _channel(row: Row) -> csr_array | None:
    if "channel_data" not in row:
        return None
    data, indices, indptr = (row[f"channel_{name}"] for name in ("data", "indices", "indptr"))
    return csr_array((data, indices, indptr), shape=tuple(int(n) for n in row["channel_shape"]))
