"""Finite problems told apart by their numbers: what a journal compares, and what travels to other processes."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any, cast

import numpy as np

from cdp_toy.finite import DiscreteProblem
from cdp_toy.sources import Source

__all__ = ["bare", "fingerprint"]


def bare(problem: DiscreteProblem) -> DiscreteProblem:
    """The problem without the source that its grid was cut from: no solver looks at it, and it may hold functions."""
    if problem.grid is None:
        return problem
    return dataclasses.replace(problem, grid=problem.grid._replace(source=cast(Source, None)))


def fingerprint(problem: DiscreteProblem) -> str:
    """SHA-256 of every array, name and number that solvers look at, as 64 hexadecimal digits.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> toy = cdp.presets.paper_toy()
    >>> fingerprint(toy.discretize(n=11)) == fingerprint(toy.discretize(n=11))
    True
    >>> fingerprint(toy.discretize(n=11)) == fingerprint(toy.discretize(n=13))
    False
    """
    digest = hashlib.sha256()
    for part in _parts(bare(problem)):
        digest.update(len(part).to_bytes(8, "big") + part)  # with its length: no two lists of parts look the same
    return digest.hexdigest()


def _parts(thing: Any) -> Iterator[bytes]:
    if isinstance(thing, np.ndarray):
        yield f"array {thing.dtype.str} {thing.shape}".encode()
        yield np.ascontiguousarray(thing).tobytes()
        return
    if thing is None or isinstance(thing, (bool, int, float, str)):
        yield f"{type(thing).__name__} {thing!r}".encode()
        return
    if isinstance(thing, (tuple, list)):
        named = {str(k): value for k, value in enumerate(thing)}
    elif dataclasses.is_dataclass(thing):
        named = {field.name: getattr(thing, field.name) for field in dataclasses.fields(thing)}
    else:  # a perception is its class and its parameters
        named = dict(sorted(vars(thing).items()))
    yield f"{type(thing).__name__} of {len(named)}".encode()
    for name, value in named.items():
        yield name.encode()
        yield from _parts(value)
