"""A traced surface as named arrays with units and words: what its files and its xarray.Dataset hold.

Every column of a table is a variable of its own, named after table and column. A table without rows has no variables,
as a classic netCDF file has no dimension of length 0. Words are ASCII: other characters are written as escapes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdp_toy import __version__
from cdp_toy.errors import InputError
from cdp_toy.netcdf import NAME, Attribute, Contents, Variable
from cdp_toy.surfaces.curves import BRACKETS, TANGENTS, VALUES, Curve
from cdp_toy.surfaces.surface import ATTAINED, PLANES, POINTS, Surface

__all__ = [
    "CHANNEL_WORDS",
    "CURVES",
    "CURVE_TABLES",
    "FORMAT",
    "TABLES",
    "VERSION_OF_FORMAT",
    "contents_of",
    "described",
    "escaped",
    "units_of",
]

FORMAT, VERSION_OF_FORMAT = "cdp_toy surface", 1

#: Tables of a surface, and of a curve; what they hold.
TABLES = {
    "points": (POINTS, "solved points"),
    "hyperplanes": (PLANES, "planes below the surface"),
    "attained": (ATTAINED, "what channels attain, with the levels that they need"),
}
CURVE_TABLES = {
    "brackets": (BRACKETS, "solved levels"),
    "tangents": (TANGENTS, "tangents below the curve"),
    "attained": (VALUES, "what channels attain, with the perception that they need"),
}
CURVES = {"boundary": "D_min(P)", "floor": "D_flat(P)"}

#: Columns whose names say too little.
WORDS = {
    "P": "level of perception",
    "D": "level of distortion",
    "lower": "proven lower bound",
    "upper": "attained upper bound",
    "price": "fall per unit of perception",
    "price_distortion": "fall of the error rate per unit of distortion",
    "price_perception": "fall of the error rate per unit of perception",
}

#: Units of columns, where D and P stand for those of distortion and perception.
UNITS = {
    "P": "P",
    "D": "D",
    "price_distortion": "1 / (D)",
    "price_perception": "1 / (P)",
    "distortion": "D",
    "perception": "P",
}
CURVE_UNITS = {"P": "P", "lower": "D", "upper": "D", "value": "D", "price": "(D) / (P)", "perception": "P"}
#: Units of the levels where `Surface.about` does not say otherwise.
LEVEL_UNITS = {"D": ("distortion_units", "squared units of x"), "P": ("perception_units", "nats or divergence units")}

#: A backslash, and what is neither printable ASCII nor a tab or line end.
SPECIAL = re.compile(r"[^\t\n\r\x20-\x5b\x5d-\x7e]")


def escaped(word: str) -> str:
    r"""ASCII for any text, reversible.

    >>> escaped("D_min ≥ 0"), escaped("\\")
    ('D_min \\u2265 0', '\\\\')
    """
    return SPECIAL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), word)


def units_of(table: str, column: str, about: Mapping[str, str | float]) -> str | None:
    """Units of a column, None for words."""
    if column in ("status", "solver"):
        return None
    symbols = (CURVE_UNITS if table.startswith(tuple(CURVES)) else UNITS).get(column, "1")
    names = {symbol: str(about.get(key, default)) for symbol, (key, default) in LEVEL_UNITS.items()}
    return escaped(re.sub("[DP]", lambda found: names[found[0]], symbols))


def contents_of(surface: Surface) -> Contents:
    """Everything that a surface holds, by name.

    Raises
    ------
    InputError
        When an entry of `about` is neither a word nor a number, or channels do not belong to the attained points.
    """
    attributes: dict[str, Attribute] = {
        "format": FORMAT,
        "format_version": VERSION_OF_FORMAT,
        "cdp_toy_version": __version__,
        "stopped": escaped(surface.stopped),
        "tol": float(surface.tol),
        "margin": float(surface.margin),
        "distortion_range": np.array(surface.distortion, dtype=np.float64),
        "perception_range": np.array(surface.perception, dtype=np.float64),
    }
    attributes |= {f"about_{key}": _entry(key, value) for key, value in surface.about.items()}
    dimensions: dict[str, int] = {}
    variables: dict[str, Variable] = {}
    tables = {name: getattr(surface, name) for name in TABLES}
    for name in CURVES:
        curve: Curve | None = getattr(surface, name)
        if curve is not None:
            attributes[f"{name}_perception_range"] = np.array(curve.perception, dtype=np.float64)
            tables |= {f"{name}_{part}": getattr(curve, part) for part in CURVE_TABLES}
    for name, table in tables.items():
        for column in table.dtype.names if len(table) else ():
            dimensions[name] = len(table)
            variable, words = f"{name}_{column}", described(name, column, surface.about)
            if table.dtype[column].kind == "U":
                letters = _letters(table[column])
                dimensions[f"{variable}_letters"] = letters.shape[1]
                variables[variable] = Variable((name, f"{variable}_letters"), letters, words)
            else:
                variables[variable] = Variable((name,), table[column], words)
    for variable, (axes, data) in _channels(surface).items():
        dimensions |= dict(zip(axes, data.shape, strict=True))
        variables[variable] = Variable(axes, data, CHANNEL_WORDS[variable])
    return Contents(dimensions, attributes, variables)


def _entry(key: str, value: object) -> Attribute:
    if not (isinstance(key, str) and NAME.fullmatch(f"about_{key}")):
        raise InputError(f"the entry {key!r} of Surface.about cannot be saved: name it with letters, digits and _")
    if isinstance(value, str):
        return escaped(value)
    if isinstance(value, int | float | np.integer | np.floating):
        return float(value)
    raise InputError(
        f"the entry {key!r} of Surface.about cannot be saved: it is {type(value).__name__}; give a word or a number"
    )


def described(table: str, column: str, about: Mapping[str, str | float]) -> dict[str, Attribute]:
    """Attributes of a column: what it is, and its units."""
    group, _, part = table.partition("_")
    words = f"{CURVES[group]}, {CURVE_TABLES[part][1]}" if part else TABLES[table][1]
    out: dict[str, Attribute] = {"long_name": f"{words}: {WORDS.get(column, column.replace('_', ' '))}"}
    units = units_of(table, column, about)
    return out if units is None else out | {"units": units}


def _letters(words: NDArray[np.str_]) -> NDArray[np.bytes_]:
    """Words as rows of characters, filled up with zero bytes."""
    rows = np.array([escaped(str(word)) for word in words], dtype="S")
    return rows.view("S1").reshape(len(rows), rows.dtype.itemsize)


CHANNEL_WORDS: dict[str, dict[str, Attribute]] = {
    "p_y": {"long_name": "law of the observations", "units": "1"},
    "channels_data": {"long_name": "entries of all channels that are not 0, channel by channel", "units": "1"},
    "channels_indices": {"long_name": "letter of every entry"},
    "channels_indptr": {"long_name": "where the rows of each channel begin and end among its entries"},
    "channels_reach": {"long_name": "1 for letters that some channel restores to"},
}


def _channels(surface: Surface) -> dict[str, tuple[tuple[str, ...], NDArray[Any]]]:
    """Kept channels of all attained points, one after the other."""
    kept, p_y = surface.channels, surface.p_y
    if kept is None and p_y is None:
        return {}
    if kept is None or p_y is None or len(kept) != len(surface.attained) or not len(p_y):
        raise InputError("a surface with channels needs one for every attained point, and p_y: trace it anew")
    out: dict[str, tuple[tuple[str, ...], NDArray[Any]]] = {"p_y": (("observations",), np.asarray(p_y, np.float64))}
    if not kept:
        return out
    if len({channel.shape for channel in kept}) > 1 or kept[0].shape[0] != len(p_y):
        raise InputError("the channels of a surface must have the same shape, a row for every entry of p_y")
    rows = []
    for channel in kept:
        if not channel.has_canonical_format:
            channel = channel.copy()
            channel.sum_duplicates()
        rows.append(channel)
    indices = np.concatenate([channel.indices for channel in rows]).astype(np.int32)
    reach = np.zeros(kept[0].shape[1], dtype=np.int8)
    reach[indices] = 1
    return out | {
        "channels_data": (("entries",), np.concatenate([channel.data for channel in rows]).astype(np.float64)),
        "channels_indices": (("entries",), indices),
        "channels_indptr": (("attained", "row_ends"), np.stack([channel.indptr for channel in rows]).astype(np.int32)),
        "channels_reach": (("letters",), reach),
    }
