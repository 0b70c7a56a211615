"""The exceptions users meet, and the wording helpers that make them useful."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cdp_toy.point import Bracket
    from cdp_toy.surfaces import Surface

__all__ = [
    "CDPError",
    "ContradictionError",
    "ExecutorError",
    "InfeasibleError",
    "InputError",
    "MemoryRefusedError",
    "SurfaceFileError",
    "unknown_name",
]


class CDPError(Exception):
    """Base of every exception that `cdp_toy` raises on purpose."""


class InputError(CDPError, ValueError):
    """A request that makes no sense as posed: the message says what, where and what to do."""


class SurfaceFileError(InputError):
    """A file of a traced surface that cannot be read, is damaged, or says what cannot be true; nothing was loaded."""


class MemoryRefusedError(CDPError, MemoryError):
    """A request that would not fit in memory, refused before anything was allocated."""


class InfeasibleError(CDPError):
    """No restoration channel meets the levels, and this is proven.

    Parameters
    ----------
    message : str
    min_distortion : Bracket
        D_min at the requested perception level [distortion units]; its prices and its potential are the certificate.
    """

    def __init__(self, message: str, min_distortion: Bracket) -> None:
        super().__init__(message)
        self.min_distortion = min_distortion

    def __reduce__(self) -> tuple[type[InfeasibleError], tuple[str, Bracket]]:
        return type(self), (str(self), self.min_distortion)


class ContradictionError(CDPError):
    """Two bounds that exclude each other: what was asked is not a convex, non-increasing function of the levels.

    Parameters
    ----------
    message : str
    plane, point : pairs of floats
        Levels (D, P) whose supporting plane exceeds the value attained at the other pair.
    """

    def __init__(self, message: str, plane: tuple[float, float], point: tuple[float, float]) -> None:
        super().__init__(message)
        self.plane, self.point = plane, point

    def __reduce__(self) -> tuple[type[ContradictionError], tuple[str, tuple[float, float], tuple[float, float]]]:
        return type(self), (str(self), self.plane, self.point)


class ExecutorError(CDPError):
    """The executor that `trace` was given failed; nothing that was computed is lost.

    Parameters
    ----------
    message : str
    surface : Surface, optional
        What was traced by then.
    """

    def __init__(self, message: str, surface: Surface | None = None) -> None:
        super().__init__(message)
        self.surface = surface

    def __reduce__(self) -> tuple[type[ExecutorError], tuple[str, Surface | None]]:
        return type(self), (str(self), self.surface)


def unknown_name(kind: str, name: object, known: Iterable[str]) -> InputError:
    """Build the error for a misspelt name, with the nearest known one.

    >>> str(unknown_name("perception", "kll", ["kl", "tv"]))
    "unknown perception 'kll'; did you mean 'kl'? Known: kl, tv"
    """
    known = list(known)
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.0)
    hint = f"; did you mean '{close[0]}'?" if close else "."
    return InputError(f"unknown {kind} '{name}'{hint} Known: {', '.join(known) or 'none'}")
