"""A traced surface out of what a file holds: every part in its place, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from cdp_toy import __version__
from cdp_toy.errors import SurfaceFileError
from cdp_toy.netcdf import Attribute, Contents
from cdp_toy.surface_contents import (
    CHANNEL_WORDS,
    CURVE_TABLES,
    CURVES,
    FORMAT,
    TABLES,
    VERSION_OF_FORMAT,
    described,
)
from cdp_toy.surfaces.curves import Curve
from cdp_toy.surfaces.surface import Surface
from cdp_toy.validation import Array

__all__ = ["surface_of"]

#: An escape that `cdp_toy.surface_contents.escaped` writes; alone, a backslash is none.
ESCAPE = re.compile(r"\\(\\|x[0-9a-f]{2}|u[0-9a-f]{4}|U[0-9a-f]{8}|)")


def surface_of(contents: Contents) -> Surface:
    """The surface that a file holds, whose parts are all there, in their shapes, and no others; values are not judged.

    Raises
    ------
    SurfaceFileError
        When something is missing, of another shape or type, or unknown.
    """
    return _Taking(contents).surface()


def unescaped(text: str, where: str) -> str:
    """The text that was escaped."""

    def character(found: re.Match[str]) -> str:
        code = found[1]
        if code == "\\":
            return code
        number = int(code[1:], 16) if code else 1 << 32
        if number > 0x10FFFF:
            raise SurfaceFileError(f"has a backslash in {where} that begins no escape")
        return chr(number)

    return ESCAPE.sub(character, text)


class _Taking:
    """Takes known parts out of the contents; what is left is unknown."""

    def __init__(self, contents: Contents) -> None:
        self.dimensions = dict(contents.dimensions)
        self.attributes = dict(contents.attributes)
        self.variables = dict(contents.variables)
        self.used: set[str] = set()
        self.about: dict[str, str | float] = {}

    def surface(self) -> Surface:
        kind, version = self.attributes.pop("format", None), self.attributes.pop("format_version", None)
        if not isinstance(kind, str) or kind != FORMAT:
            raise SurfaceFileError(f"is a netCDF-3 file without the attribute format = {FORMAT!r}")
        if not isinstance(version, int) or version != VERSION_OF_FORMAT:
            raise SurfaceFileError(
                f"has format_version {str(version)[:40]}, but this is cdp_toy {__version__}, which reads "
                f"{VERSION_OF_FORMAT}; update cdp_toy if the file is newer"
            )
        self._word("cdp_toy_version")
        stopped, tol, margin = self._word("stopped"), self._number("tol"), self._number("margin")
        distortion, perception = self._pair("distortion_range"), self._pair("perception_range")
        for name in [name for name in self.attributes if name.startswith("about_")]:
            value = self.attributes[name]
            self.about[name.removeprefix("about_")] = self._word(name) if isinstance(value, str) else self._number(name)
        points, hyperplanes, attained = (self._table(name, dtype) for name, (dtype, _) in TABLES.items())
        boundary, floor = map(self._curve, CURVES)
        channels, p_y = self._kept(len(attained))
        for what, left in (
            ("attribute", self.attributes),
            ("variable", self.variables),
            ("dimension", self.dimensions.keys() - self.used),
        ):
            if left:
                raise SurfaceFileError(f"has the {what} {min(left)}, which is no part of a surface")
        return Surface(
            distortion=distortion,
            perception=perception,
            tol=tol,
            margin=margin,
            stopped=stopped,
            points=points,
            hyperplanes=hyperplanes,
            attained=attained,
            boundary=boundary,
            floor=floor,
            about=self.about,
            channels=channels,
            p_y=p_y,
        )

    # attributes

    def _attribute(self, name: str) -> Attribute:
        if name not in self.attributes:
            raise SurfaceFileError(f"lacks the attribute {name}")
        return self.attributes.pop(name)

    def _word(self, name: str) -> str:
        value = self._attribute(name)
        if not isinstance(value, str):
            raise SurfaceFileError(f"has an attribute {name} that is no text")
        return unescaped(value, f"the attribute {name}")

    def _number(self, name: str) -> float:
        value = self._attribute(name)
        if not isinstance(value, float):
            raise SurfaceFileError(f"has an attribute {name} that is not one number in double precision")
        return value

    def _pair(self, name: str) -> tuple[float, float]:
        value = self._attribute(name)
        if not isinstance(value, np.ndarray) or value.shape != (2,):
            raise SurfaceFileError(f"has an attribute {name} that is not a pair of numbers")
        return float(value[0]), float(value[1])

    # variables

    def _variable(self, name: str, axes: tuple[str, ...], dtype: str, words: Mapping[str, Attribute]) -> NDArray[Any]:
        found = self.variables.pop(name, None)
        if found is None:
            raise SurfaceFileError(f"lacks the variable {name}")
        if found.dimensions != axes or found.data.dtype != np.dtype(dtype):
            raise SurfaceFileError(
                f"has a variable {name} of type {found.data.dtype} over ({', '.join(found.dimensions)}), where {dtype} "
                f"over ({', '.join(axes)}) belongs"
            )
        if not all(isinstance(value, str) for value in found.attributes.values()) or found.attributes != words:
            wanted = ", ".join(f"{key} = {value!r}" for key, value in words.items())
            raise SurfaceFileError(f"describes the variable {name} otherwise than by {wanted}")
        self.used.update(axes)
        return found.data

    def _table(self, name: str, dtype: np.dtype[np.void]) -> NDArray[np.void]:
        names = dtype.names or ()
        if not any(f"{name}_{column}" in self.variables for column in names):
            return np.zeros(0, dtype)
        columns: dict[str, Any] = {}
        for column in names:
            variable, words = f"{name}_{column}", described(name, column, self.about)
            if dtype[column].kind == "U":
                letters = self._variable(variable, (name, f"{variable}_letters"), "S1", words)
                columns[column] = _words(letters, dtype[column].itemsize // 4, variable)
            else:
                columns[column] = self._variable(variable, (name,), "f8", words)
        table = np.zeros(self.dimensions[name], dtype)
        for column, values in columns.items():
            table[column] = values
        return table

    def _curve(self, name: str) -> Curve | None:
        if f"{name}_perception_range" not in self.attributes:
            return None
        perception = self._pair(f"{name}_perception_range")
        tables = {part: self._table(f"{name}_{part}", dtype) for part, (dtype, _) in CURVE_TABLES.items()}
        return Curve(perception, **tables)

    def _kept(self, count: int) -> tuple[tuple[csr_array, ...] | None, Array | None]:
        if "p_y" not in self.variables:
            return None, None
        p_y = self._variable("p_y", ("observations",), "f8", CHANNEL_WORDS["p_y"])
        if not count:
            return (), p_y
        axes = {
            "data": ("entries",),
            "indices": ("entries",),
            "indptr": ("attained", "row_ends"),
            "reach": ("letters",),
        }
        types = {"data": "f8", "indices": "i4", "indptr": "i4", "reach": "i1"}
        data, indices, indptr, reach = (
            self._variable(f"channels_{part}", axes[part], types[part], CHANNEL_WORDS[f"channels_{part}"])
            for part in axes
        )
        return _sparse(data, indices, indptr, reach, len(p_y)), p_y


def _words(letters: NDArray[np.bytes_], longest: int, where: str) -> Sequence[str]:
    """Rows of characters as words."""
    codes = np.ascontiguousarray(letters).view(np.uint8)
    ended = np.logical_or.accumulate(codes == 0, axis=1)
    plain = ((codes >= 0x20) & (codes <= 0x7E)) | np.isin(codes, list(b"\t\n\r"))
    bad = np.where(ended, codes != 0, ~plain).any(axis=1)
    if bad.any():
        raise SurfaceFileError(f"has no plain ASCII text in row {int(bad.argmax())} of {where}")
    rows = letters.view(f"S{letters.shape[1]}").ravel().tolist()
    words = [unescaped(row.decode("ascii"), where) for row in rows]
    for k, word in enumerate(words):
        if len(word) > longest:
            raise SurfaceFileError(f"has a word of more than {longest} characters in row {k} of {where}")
    return words


def _sparse(
    data: Array, indices: NDArray[np.int32], indptr: NDArray[np.int32], reach: NDArray[np.int8], n_y: int
) -> tuple[csr_array, ...]:
    """Channels one after the other, apart again."""
    ends = np.concatenate([[0], np.cumsum(indptr[:, -1], dtype=np.int64)])
    if indptr.shape[1] != n_y + 1 or np.any(indptr[:, 0]) or np.any(np.diff(indptr.astype(np.int64)) < 0):
        raise SurfaceFileError("has channels_indptr whose rows do not rise from 0, one step for every observation")
    if ends[-1] != len(data):
        raise SurfaceFileError(f"has {len(data):,} entries of channels, but channels_indptr tells of {ends[-1]:,}")
    if np.any(indices < 0) or np.any(indices >= len(reach)):
        raise SurfaceFileError(f"has an entry of channels_indices that is no letter, 0 to {len(reach) - 1}")
    found = np.zeros(len(reach), dtype=np.int8)
    found[indices] = 1
    if np.any(found != reach):
        raise SurfaceFileError("has channels_reach that are not the letters of channels_indices")
    channels = []
    for rows, start, end in zip(indptr, ends[:-1], ends[1:], strict=True):
        columns = indices[start:end]
        falls = np.flatnonzero(np.diff(columns) <= 0) + 1
        if not np.isin(falls, rows).all():
            raise SurfaceFileError("has channels_indices that do not rise within a row")
        channels.append(csr_array((data[start:end], columns, rows), shape=(n_y, len(reach))))
    return tuple(channels)
