"""Classic netCDF as far as surfaces need it: written by SciPy, read by a parser that believes nothing.

A reader that trusts the header allocates what that asks for. Here every count, length and offset is checked against
the size of the file before anything is made of it, so that a hostile file costs no more than its own size.
The format: https://docs.unidata.ucar.edu/netcdf-c/current/file_format_specifications.html (CDF-1 and CDF-2).
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.io import netcdf_file

from cdp_toy.errors import SurfaceFileError
from cdp_toy.validation import Array

__all__ = ["Attribute", "Contents", "Variable", "read_netcdf", "write_netcdf"]

#: What an attribute may be: ASCII text, a whole number, or doubles.
Attribute = str | int | float | Array

#: Names of dimensions, variables and attributes, as SciPy writes them without a change.
NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,127}", re.ASCII)
#: Text with line ends and tabs, and no other control characters.
TEXT = re.compile(rb"[\t\n\r\x20-\x7e]*+")
#: Most entries of the lists in a header: twice what a surface has, or more.
MOST_DIMENSIONS, MOST_VARIABLES, MOST_ATTRIBUTES, MOST_OF_A_VARIABLE = 32, 128, 256, 8
#: Longest attribute [bytes]: text of the largest problem file.
LONGEST_ATTRIBUTE = 16 << 20

#: Tags of the lists in a header, and codes of the types that are understood.
DIMENSIONS, VARIABLES, ATTRIBUTES = 10, 11, 12
TYPES = {1: np.dtype(">i1"), 2: np.dtype("S1"), 4: np.dtype(">i4"), 6: np.dtype(">f8")}
#: How files of other kinds begin, to say what was given.
OTHERS = {
    b"CDF\x05": "netCDF with 64-bit data (CDF-5)",
    b"\x89HDF": "HDF5 or netCDF-4",
    b"PK\x03\x04": "a zip archive",
    b"\x80": "perhaps a pickle",
    b"\x1f\x8b": "compressed by gzip",
    b"\x93NUMPY": "an array of NumPy",
}


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable: names of its dimensions, its array ("f8", "i4", "i1" or "S1") and its attributes."""

    dimensions: tuple[str, ...]
    data: NDArray[Any]
    attributes: Mapping[str, Attribute] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Contents:
    """What a file holds; no dimension has length 0, for netCDF takes that for unlimited."""

    dimensions: Mapping[str, int]
    attributes: Mapping[str, Attribute]
    variables: Mapping[str, Variable]


def write_netcdf(contents: Contents) -> bytes:
    """The bytes of a file with 64-bit offsets; equal contents give equal bytes.

    Examples
    --------
    >>> one = Contents({"n": 2}, {"title": "two numbers"}, {"x": Variable(("n",), np.array([1.0, np.nan]))})
    >>> again = read_netcdf(write_netcdf(one))
    >>> again.attributes["title"], again.variables["x"].data.tolist()
    ('two numbers', [1.0, nan])
    """
    stream = io.BytesIO()
    file = netcdf_file(stream, "w", mmap=False, version=2)
    for name, length in contents.dimensions.items():
        file.createDimension(name, length)
    for name, attribute in contents.attributes.items():
        setattr(file, name, _writable(attribute))
    for name, variable in contents.variables.items():
        made = file.createVariable(name, variable.data.dtype.newbyteorder("="), variable.dimensions)
        made[:] = variable.data
        for key, attribute in variable.attributes.items():
            setattr(made, key, _writable(attribute))
    file.flush()
    return stream.getvalue()


def _writable(value: Attribute) -> Any:
    return np.float64(value) if isinstance(value, float) else value  # SciPy makes single precision of a float


def read_netcdf(raw: bytes) -> Contents:
    """What is in the bytes of a file; arrays are copies in native byte order.

    Raises
    ------
    SurfaceFileError
        When it is no classic netCDF, is truncated, or its header asks for what the file does not hold.
    """
    return _Header(raw).contents()


@dataclass(frozen=True)
class _Place:
    """Where the data of a variable lie."""

    name: str
    dimensions: tuple[str, ...]
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    attributes: dict[str, Attribute]
    begin: int

    @property
    def size(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize  # Python's integers do not overflow

    @property
    def end(self) -> int:
        return self.begin + self.size + -self.size % 4


class _Header:
    """Reads a header front to back; every method says where it stumbled."""

    def __init__(self, raw: bytes) -> None:
        self.raw, self.at = raw, 0

    def contents(self) -> Contents:
        magic = bytes(self.raw[:4])
        if magic not in (b"CDF\x01", b"CDF\x02"):
            raise SurfaceFileError(f"is no netCDF-3 file{_kind(self.raw)}")
        self.at, self.wide = 4, magic == b"CDF\x02"
        if self._whole("number of records"):
            raise SurfaceFileError("announces records in its header (byte 4): surfaces have none")
        dimensions: dict[str, int] = {}
        for _ in range(self._list(DIMENSIONS, "dimensions", MOST_DIMENSIONS, 12)):
            name = self._fresh(dimensions, "dimension")
            length = self._whole(f"length of dimension {name}")
            if not 0 < length <= len(self.raw):
                raise SurfaceFileError(
                    f"gives dimension {name} a length of {length:,}, where 1 to {len(self.raw):,}, the size of the "
                    f"file, is possible"
                )
            dimensions[name] = length
        attributes = self._attributes("the file", MOST_ATTRIBUTES)
        places: dict[str, _Place] = {}
        for _ in range(self._list(VARIABLES, "variables", MOST_VARIABLES, 28)):
            name = self._fresh(places, "variable")
            places[name] = self._place(name, list(dimensions.items()))
        self._check_layout(list(places.values()))
        return Contents(dimensions, attributes, {name: self._variable(place) for name, place in places.items()})

    def _place(self, name: str, dimensions: list[tuple[str, int]]) -> _Place:
        what = f"variable {name}"
        rank = self._whole(f"rank of {what}")
        if not rank <= 2:
            raise SurfaceFileError(f"gives {what} {rank:,} axes, where at most 2 are possible")
        numbers = [self._whole(f"dimensions of {what}") for _ in range(rank)]
        if any(k >= len(dimensions) for k in numbers):
            raise SurfaceFileError(f"gives {what} a dimension that it does not declare")
        used = [dimensions[k] for k in numbers]
        attributes = self._attributes(what, MOST_OF_A_VARIABLE)
        dtype = self._type(what)
        announced = self._whole(f"size of {what}")
        begin = int.from_bytes(self._take(8 if self.wide else 4, f"place of {what}"), "big")
        place = _Place(name, tuple(n for n, _ in used), tuple(k for _, k in used), dtype, attributes, begin)
        if place.end - place.begin != announced:
            raise SurfaceFileError(
                f"says that {what} takes {announced:,} bytes, but its shape {place.shape} takes "
                f"{place.end - place.begin:,}"
            )
        return place

    def _check_layout(self, places: list[_Place]) -> None:
        """Data begin after the header, do not overlap, and end where the file ends."""
        end = self.at
        for place in sorted(places, key=lambda place: place.begin):
            if place.begin < end or place.begin % 4:
                raise SurfaceFileError(
                    f"puts variable {place.name} at byte {place.begin:,}, inside of the header or of another variable"
                )
            end = place.end
            if end > len(self.raw):
                raise SurfaceFileError(
                    f"is truncated or damaged: variable {place.name} ends at byte {end:,} and the file at byte "
                    f"{len(self.raw):,}"
                )
        if end != len(self.raw):
            raise SurfaceFileError(f"has {len(self.raw) - end:,} bytes after its last variable")

    def _variable(self, place: _Place) -> Variable:
        flat = np.frombuffer(self.raw, place.dtype, math.prod(place.shape), place.begin)
        native = flat.astype(place.dtype.newbyteorder("="), copy=True)
        return Variable(place.dimensions, native.reshape(place.shape), place.attributes)

    # parts of a header

    def _take(self, count: int, what: str) -> bytes:
        end = self.at + count
        if end > len(self.raw):
            raise SurfaceFileError(
                f"is truncated or damaged: it has {len(self.raw):,} bytes, and its {what} would end at byte {end:,}"
            )
        taken = self.raw[self.at : end]
        self.at = end
        return taken

    def _padded(self, count: int, what: str) -> bytes:
        """Bytes that are filled up with zeros to a multiple of four."""
        taken = self._take(count, what)
        if any(self._take(-count % 4, what)):
            raise SurfaceFileError(f"has {_a(what)} that is not padded by zeros (byte {self.at:,})")
        return taken

    def _whole(self, what: str) -> int:
        return int.from_bytes(self._take(4, what), "big")

    def _list(self, tag: int, what: str, most: int, least: int) -> int:
        """Number of entries of a list, at most so many and each of at least so many bytes."""
        found, count = struct.unpack(">II", self._take(8, f"list of {what}"))
        if (found, count) != (0, 0) and not (found == tag and 0 < count <= most):
            raise SurfaceFileError(f"has no list of at most {most} {what} at byte {self.at - 8:,}, where one belongs")
        if count * least > len(self.raw) - self.at:
            raise SurfaceFileError(
                f"is truncated or damaged: it has {len(self.raw):,} bytes, too few for {count} {what}"
            )
        return int(count)

    def _fresh(self, known: Mapping[str, object], what: str) -> str:
        """A name that no other entry has."""
        length = self._whole(f"name of {_a(what)}")
        name = self._padded(length, f"name of {_a(what)}").decode("latin-1") if length <= 128 else ""
        if not NAME.fullmatch(name):
            raise SurfaceFileError(f"has no proper name of {_a(what)} before byte {self.at:,}")
        if name in known:
            raise SurfaceFileError(f"has two {what}s named {name}")
        return name

    def _type(self, what: str) -> np.dtype[Any]:
        code = self._whole(f"type of {what}")
        if code not in TYPES:
            raise SurfaceFileError(f"gives {what} the type {code}, which no part of a surface has")
        return TYPES[code]

    def _attributes(self, where: str, most: int) -> dict[str, Attribute]:
        out: dict[str, Attribute] = {}
        for _ in range(self._list(ATTRIBUTES, f"attributes of {where}", most, 16)):
            name = self._fresh(out, "attribute")
            what = f"attribute {name} of {where}"
            dtype = self._type(what)
            count = self._whole(f"length of {what}")
            if count * dtype.itemsize > LONGEST_ATTRIBUTE:
                raise SurfaceFileError(
                    f"has {_a(what)} of {count:,} entries, larger than {LONGEST_ATTRIBUTE >> 20} MiB"
                )
            out[name] = _attribute(self._padded(count * dtype.itemsize, what), dtype, what)
        return out


def _attribute(raw: bytes, dtype: np.dtype[Any], what: str) -> Attribute:
    if dtype.kind == "S":
        raw = raw.rstrip(b"\0")
        if not TEXT.fullmatch(raw):
            raise SurfaceFileError(f"has {_a(what)} that is not plain ASCII text")
        return raw.decode("ascii")
    values = np.frombuffer(raw, dtype)
    if len(values) == 1:
        return int(values[0]) if dtype.kind == "i" else float(values[0])
    return values.astype(np.float64)


def _a(what: str) -> str:
    return f"{'an' if what.startswith('a') else 'a'} {what}"


def _kind(raw: bytes) -> str:
    if not raw:
        return " but empty"
    return next((f" but {kind}" for start, kind in OTHERS.items() if raw.startswith(start)), "")
