"""What every piece of a problem has in common: it is immutable, compares by value, and can be written down.

A piece is a frozen dataclass whose fields are its constructor's arguments. One that names a `kind` can be kept in a
problem file: its specification is that name and its arguments as plain numbers, words and lists.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self

import numpy as np

from cdp_toy.errors import InputError, unknown_name

__all__ = ["CATALOGUE", "Piece", "build", "plain"]

#: role ("source", "degradation", "classifier") -> name in problem files -> class
CATALOGUE: dict[str, dict[str, type[Piece]]] = {}


class Piece:
    """Base of sources, degradations and classifiers.

    A subclass is a frozen dataclass with `eq=False`; two pieces of one class are equal when their arguments are.
    """

    #: what the piece is to a problem; set by the base class of each role
    role: ClassVar[str] = ""
    #: name in problem files, empty for a piece that holds a function
    kind: ClassVar[str] = ""
    #: arguments that are pieces themselves, with their role
    nested: ClassVar[dict[str, str]] = {}

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if cls.__dict__.get("kind"):
            CATALOGUE.setdefault(cls.role, {})[cls.kind] = cls

    def arguments(self) -> dict[str, Any]:
        """Constructor arguments by name, those that are None left out."""
        values = {name: getattr(self, name) for name in inspect.signature(type(self)).parameters}
        return {name: value for name, value in values.items() if value is not None}

    def specification(self) -> dict[str, Any]:
        """The piece as plain data: its kind and its arguments, enough to build it again.

        Raises
        ------
        InputError
            For a piece that holds a function, which plain data cannot.
        """
        if not self.kind:
            raise InputError(
                f"a {type(self).__name__} holds a function and cannot be written to a file; discretize the problem and "
                "keep its tables, or use a piece that is described by numbers"
            )
        return {
            "kind": self.kind,
            **{
                name: value.specification() if isinstance(value, Piece) else plain(value)
                for name, value in self.arguments().items()
            },
        }

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Piece) or type(self) is not type(other):
            return NotImplemented
        return bool(self.kind) and self.specification() == other.specification() if self is not other else True

    def __hash__(self) -> int:
        return hash((type(self), repr(self.specification()))) if self.kind else id(self)

    def __copy__(self) -> Self:
        return self  # immutable


def plain(value: Any) -> Any:
    """Numbers, words and nested lists only; every float keeps its value.

    >>> plain((1, np.float64(0.5), np.array([[True, False]])))
    [1, 0.5, [[True, False]]]
    """
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, tuple | list):
        return [plain(entry) for entry in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise InputError(f"{value!r} cannot be written to a file: it is no number, word or list of these")


def build(role: str, specification: dict[str, Any]) -> Any:
    """Build a piece from its specification.

    Parameters
    ----------
    role : str
        "source", "degradation" or "classifier".
    specification : dict
        `kind` and the arguments by name, as `Piece.specification` returns them.

    Raises
    ------
    InputError
        When the kind or an argument is unknown (with the nearest known one), missing, or refused by the piece.
    """
    arguments = dict(specification)
    kind = arguments.pop("kind", None)
    known = CATALOGUE.get(role, {})
    if kind is None:
        raise InputError(f"{role}: the key 'kind' is missing; it is one of {', '.join(sorted(known))}")
    if kind not in known:
        raise unknown_name(f"{role} kind", kind, sorted(known))
    cls = known[kind]
    parameters = inspect.signature(cls).parameters
    for name in arguments:
        if name not in parameters:
            raise unknown_name(f"key of {role} '{kind}'", name, parameters)
    for name, nested_role in cls.nested.items():
        if name in arguments:
            if not isinstance(arguments[name], dict):
                raise InputError(f"{role} '{kind}': {name} must be a table with a key 'kind', got {arguments[name]!r}")
            arguments[name] = build(nested_role, arguments[name])
    required = [name for name, parameter in parameters.items() if parameter.default is parameter.empty]
    missing = [name for name in required if name not in arguments]
    if missing:
        raise InputError(f"{role} '{kind}': the key '{missing[0]}' is missing; it needs {', '.join(required)}")
    return cls(**arguments)
