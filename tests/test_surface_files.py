"""Surfaces as files: what is read is what was saved, and what is damaged or hostile is refused by one exception."""

from __future__ import annotations

import csv
import dataclasses
import functools
import io
import json
import math
import os
import pickle
import random
import struct
import subprocess
import sys
import tracemalloc
import types
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import netcdf_file
from test_tracing import Corner, bowl

import cdp_toy as cdp
from cdp_toy import surface_files
from cdp_toy.netcdf import Contents, Variable, read_netcdf, write_netcdf
from cdp_toy.surface_contents import contents_of, escaped
from cdp_toy.surface_reading import surface_of
from cdp_toy.surfaces import Curve

Edit = Callable[[Contents], Contents]


def interrupted(d: float, p: float) -> cdp.Point:
    raise KeyboardInterrupt


def odd() -> cdp.Surface:
    """Words and numbers that are hard to write down, and the numbers of floating point that are none."""
    surface = cdp.trace(bowl, (0.0, 1.0), (0.0, 1.0), tol=0.1, progress=False)
    surface.points["error_rate"][:4] = [math.nan, math.inf, -0.0, 5e-324]
    surface.points["perception"][0] = np.array([0xFFF8_0000_0000_1234], dtype=np.uint64).view(np.float64)[0]
    surface.points["solver"][:3] = ["Größe", "back\\slash \\u0041", "line\nend\x07\udc80"]
    about = {
        "scope": "formula",
        "problem": "ν = 3, “noise”\\\\x\0",
        "problem_toml": 'name = "ν"\n\n[source]\n\tkind = "x"\n',
        "empty": "",
        "nan": math.nan,
        "inf": -math.inf,
        "tenth": 0.1,
        "distortion_units": "m²",
    }
    return dataclasses.replace(surface, about=about, stopped="the user's ✋", tol=math.inf)


@functools.cache
def small() -> cdp.Surface:
    """Channels and both curves, in a small file."""
    grid = cdp.presets.paper_toy().discretize(n=9)
    return cdp.trace(grid, (1.02, 1.15), (0.004, 0.05), tol=2e-4, progress=False, keep_channels=True)


SURFACES: dict[str, Callable[[], cdp.Surface]] = {
    "a formula with an infeasible part": lambda: cdp.trace(Corner(), (0.0, 1.0), (0.0, 1.0), tol=5e-3, progress=False),
    "a lattice": lambda: cdp.trace(Corner(), grid=(np.linspace(0, 1, 5), np.linspace(0, 1, 4)), progress=False),
    "without curves": lambda: cdp.trace(bowl, (0.0, 1.0), (0.0, 1.0), tol=1e-2, progress=False),
    "with channels": small,
    "down to P = 0": lambda: cdp.trace(
        cdp.presets.paper_toy().discretize(n=9), (1.1, 1.3), (0.0, 0.03), tol=1e-2, margin=5e-2, progress=False
    ),
    "interrupted before any answer": lambda: cdp.trace(interrupted, (0.0, 1.0), (0.0, 1.0), progress=False),
    "odd": odd,
}


def same_bits(one: object, other: object) -> bool:
    """Equal down to the bits of NaN."""
    if isinstance(one, np.ndarray) and isinstance(other, np.ndarray):
        return one.dtype == other.dtype and one.shape == other.shape and one.tobytes() == other.tobytes()
    if isinstance(one, float) and isinstance(other, float):
        return struct.pack("<d", one) == struct.pack("<d", other)
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(map(same_bits, one, other))
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same_bits(one[key], other[key]) for key in one)
    if isinstance(one, Curve) and isinstance(other, Curve):
        return same_bits(vars_of(one), vars_of(other))
    if hasattr(one, "indptr") and hasattr(other, "indptr"):
        return one.nnz == other.nnz and same_bits(one.toarray(), other.toarray())  # entries of a row have no order
    return type(one) is type(other) and one == other


def vars_of(record: Any) -> dict[str, object]:
    return {entry.name: getattr(record, entry.name) for entry in dataclasses.fields(record)}


@pytest.mark.parametrize("name", SURFACES)
def test_round_trip(name: str, tmp_path: Path) -> None:
    surface = SURFACES[name]()
    file = surface.save(tmp_path / "one.nc")
    again = cdp.load_surface(file)
    for part, value in vars_of(surface).items():
        assert same_bits(getattr(again, part), value), part
    d, p = np.meshgrid(np.linspace(0, 1.3, 27), np.linspace(0, 0.2, 13))
    if len(surface.attained):
        assert same_bits(again.lower(d, p), surface.lower(d, p)) and same_bits(again.upper(d, p), surface.upper(d, p))
    raw = file.read_bytes()
    assert again.save(tmp_path / "two.nc").read_bytes() == raw == surface.save(str(file)).read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["one.nc", "two.nc"]


def test_channels_survive(tmp_path: Path) -> None:
    surface, again = small(), cdp.load_surface(small().save(tmp_path / "a.nc"))
    (d, p), (d2, p2) = ((1.14, 0.03), (1.08, 0.01))
    for levels in ((d, p), (d2, p2)):
        one, other = surface.at(*levels), again.at(*levels)
        assert one.sparse_channel is not None and other.sparse_channel is not None
        assert same_bits(one.sparse_channel.toarray(), other.sparse_channel.toarray())
        assert one.parts == other.parts and same_bits(one.output_law, other.output_law)


def test_other_readers_understand(tmp_path: Path) -> None:
    surface = small()
    with netcdf_file(surface.save(tmp_path / "a.nc"), mmap=False) as file:
        assert file.format == b"cdp_toy surface" and file.format_version == 1 and file.about_perception == b"kl"
        assert file.cdp_toy_version == cdp.__version__.encode() and file.tol == surface.tol
        assert file.distortion_range.tolist() == list(surface.distortion)
        table, variable = surface.hyperplanes, file.variables["hyperplanes_price_distortion"]
        assert (
            variable[:].tolist() == table["price_distortion"].tolist() and variable.units == b"1 / (squared units of x)"
        )
        assert file.variables["points_perception"].units == b"nats or divergence units"
        assert file.variables["attained_error_rate"].units == b"1"
        status = [row.tobytes().rstrip(b"\0").decode() for row in file.variables["points_status"][:]]
        assert status == surface.points["status"].tolist()
        assert file.variables["boundary_tangents_price"].units == b"(squared units of x) / (nats or divergence units)"


def test_units_are_those_that_the_surface_tells() -> None:
    assert contents_of(odd()).variables["points_D"].attributes["units"] == r"m\xb2"
    assert escaped("m²") == r"m\xb2"


def test_channels_with_unsorted_or_repeated_entries_are_put_in_order(tmp_path: Path) -> None:
    surface = small()
    assert surface.channels is not None
    first = surface.channels[0].tocoo()
    rows, columns = first.coords
    messy = type(surface.channels[0])(surface.channels[0].shape)
    messy.data = np.repeat(first.data[::-1] / 2, 2)
    order = np.argsort(rows[::-1], kind="stable")
    messy.data = np.repeat(first.data[::-1][order] / 2, 2)
    messy.indices = np.repeat(columns[::-1][order], 2)
    messy.indptr = 2 * surface.channels[0].indptr
    again = cdp.load_surface(
        dataclasses.replace(surface, channels=(messy, *surface.channels[1:])).save(tmp_path / "a.nc")
    )
    assert again.channels is not None and same_bits(again.channels[0].toarray(), surface.channels[0].toarray())


def spoiled(surface: cdp.Surface, table: str, column: str, value: float, row: int = 0) -> cdp.Surface:
    """The surface with another number in a table."""
    changed = getattr(surface, table).copy()
    changed[column][row] = value
    return dataclasses.replace(surface, **{table: changed})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda s: spoiled(s, "hyperplanes", "value", math.nan),
            "it has a value of nan, where a finite number belongs",
        ),
        (lambda s: dataclasses.replace(s, about={"scope": "grid", "x": [1]}), "'x' of Surface.about .* it is list"),
        (lambda s: dataclasses.replace(s, about={"a b": "grid"}), "'a b' of Surface.about cannot be saved"),
        (lambda s: dataclasses.replace(s, p_y=None), "a surface with channels needs"),
        (lambda s: dataclasses.replace(s, channels=s.channels[1:]), "a surface with channels needs"),
        (lambda s: dataclasses.replace(s, p_y=s.p_y[1:]), "must have the same shape, a row for every entry of p_y"),
    ],
)
def test_what_cannot_be_saved_leaves_the_old_file(
    change: Callable[[cdp.Surface], cdp.Surface], message: str, tmp_path: Path
) -> None:
    file = tmp_path / "a.nc"
    file.write_bytes(b"old")
    with pytest.raises(cdp.InputError, match=message):
        change(small()).save(file)
    assert file.read_bytes() == b"old" and list(tmp_path.iterdir()) == [file]


def test_a_killed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = small().save(tmp_path / "a.nc")
    raw = file.read_bytes()

    def killed(descriptor: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", killed)
    with pytest.raises(KeyboardInterrupt):
        odd().save(file)
    assert file.read_bytes() == raw and list(tmp_path.iterdir()) == [file]


def test_places_that_are_no_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    surface = small()
    for path, message in (
        (tmp_path, "is a directory"),
        (tmp_path / "none" / "a.nc", "choose a directory that exists"),
        (tmp_path / "a\0b", "cannot be written"),
        (3, "must be a str or a Path"),
    ):
        with pytest.raises(cdp.InputError, match=message):
            surface.save(path)  # type: ignore[arg-type]
    with pytest.raises(cdp.InputError, match="only a Surface can be saved"):
        surface_files.save_surface("surface", tmp_path / "a.nc")  # type: ignore[arg-type]
    file = surface.save(tmp_path / "a.nc")
    monkeypatch.setattr(surface_files, "MOST_BYTES", 100)
    with pytest.raises(cdp.SurfaceFileError, match="too large for a surface"):
        cdp.load_surface(file)
    with pytest.raises(cdp.SurfaceFileError, match="without keep_channels"):
        surface.save(file)


# damaged and hostile files


@functools.cache
def good() -> bytes:
    return write_netcdf(contents_of(small()))


@functools.cache
def header_size() -> int:
    with netcdf_file(io.BytesIO(good()), mmap=False):
        return len(good()) - sum(v.data.nbytes + -v.data.nbytes % 4 for v in read_netcdf(good()).variables.values())


def patched(*changes: tuple[int, bytes]) -> bytes:
    raw = bytearray(good())
    for at, new in changes:
        raw[at : at + len(new)] = new
    return bytes(raw)


def after(text: bytes, offset: int = 0) -> int:
    """Place behind a name in the header, padding included."""
    at = good().index(struct.pack(">I", len(text)) + text)
    return at + 4 + len(text) + -len(text) % 4 + offset


def begin_of(variable: str) -> int:
    """Place of the last eight bytes of a variable's header entry: where its data begin."""
    words = read_netcdf(good()).variables[variable]
    at = after(variable.encode()) + 4 + 4 * len(words.dimensions) + 8
    for key, value in words.attributes.items():
        at += 4 + len(key) + -len(key) % 4 + 8 + len(value) + -len(value) % 4  # type: ignore[arg-type]
    return at + 8


def edited(edit: Edit) -> bytes:
    return write_netcdf(edit(read_netcdf(good())))


def number(variable: str, row: int, change: Callable[[float], float]) -> bytes:
    """One number of one variable changed."""

    def edit(contents: Contents) -> Contents:
        flat = contents.variables[variable].data.reshape(-1)
        flat[row] = change(flat[row])
        return contents

    return edited(edit)


def attribute(name: str, value: Any) -> bytes:
    return edited(lambda c: dataclasses.replace(c, attributes={**c.attributes, name: value}))


def without(kind: str, name: str) -> bytes:
    return edited(lambda c: dataclasses.replace(c, **{kind: {k: v for k, v in getattr(c, kind).items() if k != name}}))


def variable(name: str, change: Callable[[Variable], Variable]) -> bytes:
    return edited(lambda c: dataclasses.replace(c, variables={**c.variables, name: change(c.variables[name])}))


def reversed_rows(table: str) -> bytes:
    def edit(contents: Contents) -> Contents:
        for name, entry in contents.variables.items():
            if name.startswith(f"{table}_"):
                entry.data[:] = entry.data[::-1].copy()
        return contents

    return edited(edit)


def zipped() -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.nc", good())
    return stream.getvalue()


class Evil:
    """Unpickling would make a directory."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, ("unpickled",)


HUGE, U4 = struct.pack(">I", 2**31 - 1), struct.Struct(">I").pack

#: Files that must be refused, and why.
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    **{
        f"cut to {share:.0%} of the header": (
            lambda share=share: good()[: int(share * header_size())],
            "truncated or damaged|the size of the file, is possible",
        )
        for share in (0.01, 0.1, 0.3, 0.5, 0.8, 0.999)
    },
    **{
        f"cut to {share:.1%}": (lambda share=share: good()[: int(share * len(good()))], "truncated")
        for share in (0.9, 0.99, 0.999)
    },
    "cut by one byte": (lambda: good()[:-1], "truncated"),
    "three bytes": (lambda: good()[:3], "no netCDF-3"),
    "empty": (lambda: b"", "but empty"),
    "a pickle": (lambda: pickle.dumps(Evil()), "perhaps a pickle"),
    "a zip archive": (zipped, "zip archive"),
    "a netCDF-3 file with an archive behind": (lambda: good() + zipped(), "bytes after its last variable"),
    "HDF5": (lambda: b"\x89HDF\r\n\x1a\n" + bytes(1000), "HDF5"),
    "CDF-5": (lambda: patched((0, b"CDF\x05")), "CDF-5"),
    "TOML": (lambda: b'name = "toy"\n', "no netCDF-3"),
    "zeros": (lambda: bytes(4096), "no netCDF-3"),
    "32-bit offsets where there are 64": (lambda: patched((3, b"\x01")), "header|damaged|variable"),
    "records": (lambda: patched((4, HUGE)), "announces records"),
    "records without end": (lambda: patched((4, b"\xff" * 4)), "announces records"),
    "most dimensions": (lambda: patched((12, HUGE)), "no list of at most 32 dimensions"),
    "a list of another kind": (lambda: patched((8, U4(12))), "no list of at most 32 dimensions"),
    "a huge dimension": (lambda: patched((after(b"points"), HUGE)), "dimension points a length of 2,147,483,647"),
    "a huge dimension of letters": (lambda: patched((after(b"letters"), HUGE)), "dimension letters a length"),
    "a negative dimension": (lambda: patched((after(b"entries"), b"\x80\0\0\0")), "dimension entries a length"),
    "an unlimited dimension": (lambda: patched((after(b"attained"), U4(0))), "dimension attained a length of 0"),
    "a longer dimension": (lambda: patched((after(b"hyperplanes"), U4(200))), "says that variable .* takes"),
    "a name of 2 GB": (lambda: patched((after(b"points", -12), HUGE)), "no proper name"),
    "an attribute of 2 GB": (lambda: patched((after(b"stopped", 4), HUGE)), "larger than 16 MiB"),
    "an attribute of 16 GB": (lambda: patched((after(b"tol", 4), HUGE)), "larger than 16 MiB"),
    "a longer attribute": (lambda: patched((after(b"stopped", 4), U4(9999999))), "truncated or damaged"),
    "an unknown type": (lambda: patched((after(b"tol"), U4(5))), "the type 5"),
    "many axes": (lambda: patched((after(b"points_P"), HUGE)), "axes, where at most 2"),
    "an undeclared dimension": (lambda: patched((after(b"points_P", 4), U4(99))), "does not declare"),
    "data beyond the end": (lambda: patched((begin_of("points_lower"), struct.pack(">Q", 1 << 62))), "truncated"),
    "data in the header": (lambda: patched((begin_of("points_lower"), struct.pack(">Q", 8))), "inside of the header"),
    "data of another variable": (
        lambda: patched((begin_of("points_lower"), good()[begin_of("points_upper") :][:8])),
        "inside of the header or of another|after its last",
    ),
    "a size that is not the shape's": (lambda: patched((begin_of("points_lower") - 4, HUGE)), "2,147,483,647 bytes"),
    "two variables of a name": (lambda: good().replace(b"points_upper", b"points_lower"), "two variables named"),
    "a renamed variable": (lambda: good().replace(b"points_upper", b"points_uppel"), "lacks the variable points_upper"),
    "a renamed dimension": (lambda: good().replace(b"\x06points\0\0", b"\x06pointz\0\0"), "of type float64 over"),
    "a name that is code": (lambda: good().replace(b"points_upper", b"__import__()"), "no proper name"),
    "text that is not ASCII": (lambda: good().replace(b"tolerance", b"toleranc\xe9"), "not plain ASCII"),
    "text with a zero byte": (lambda: good().replace(b"tolerance reached", b"tolerance\0reached"), "not plain ASCII"),
    "a backslash": (lambda: attribute("stopped", "\\q"), "backslash in the attribute stopped"),
    "a character beyond Unicode": (lambda: attribute("stopped", "\\Uffffffff"), "backslash in the attribute"),
    "another format": (lambda: attribute("format", "surface"), "without the attribute format"),
    "a later version": (lambda: attribute("format_version", 2), "format_version 2.*update cdp_toy"),
    "an unknown attribute": (lambda: attribute("filename", "x"), "attribute filename, which is no part"),
    "no tolerance": (lambda: without("attributes", "tol"), "lacks the attribute tol"),
    "a tolerance in words": (lambda: attribute("tol", "small"), "tol that is not one number"),
    "no range": (lambda: attribute("distortion_range", 0.5), "distortion_range that is not a pair"),
    "a reversed range": (lambda: attribute("perception_range", np.array([0.2, 0.1])), "no pair low <= high"),
    "an infinite range": (lambda: attribute("distortion_range", np.array([0.2, math.inf])), "no pair low <= high"),
    "a range of no length to speak of": (
        lambda: attribute("distortion_range", np.array([0.0, 5e-324])),
        "no pair low <= high",
    ),
    "a tolerance of NaN": (lambda: attribute("tol", math.nan), "a tol that is not positive"),
    "a negative margin": (lambda: attribute("margin", -1.0), "a margin that is not finite"),
    "a curve without range": (lambda: without("attributes", "boundary_perception_range"), "which is no part"),
    "a curve without tangents": (lambda: without("variables", "boundary_tangents_price"), "lacks the variable"),
    "a table without a column": (lambda: without("variables", "points_status"), "lacks the variable points_status"),
    "an unknown variable": (
        lambda: edited(lambda c: dataclasses.replace(c, variables={**c.variables, "x": c.variables["points_P"]})),
        "variable x, which is no part",
    ),
    "a swapped type": (
        lambda: variable("points_P", lambda v: dataclasses.replace(v, data=v.data.astype(np.int32))),
        "points_P of type int32",
    ),
    "another shape": (
        lambda: variable(
            "points_P", lambda v: Variable(("points", "points_status_letters"), np.ones((len(v.data), 7)), v.attributes)
        ),
        "points_P of type float64 over",
    ),
    "other units": (
        lambda: variable("points_P", lambda v: dataclasses.replace(v, attributes={**v.attributes, "units": "bits"})),
        "describes the variable points_P otherwise",
    ),
    "NaN in a plane": (lambda: number("hyperplanes_value", 0, lambda _: math.nan), "a value of nan"),
    "an infinite plane": (lambda: number("hyperplanes_value", 1, lambda _: math.inf), "row 1 of hyperplanes"),
    "a plane beyond all numbers": (lambda: number("hyperplanes_price_distortion", 0, lambda _: 1e200), "1e.200"),
    "a raised plane": (lambda: number("hyperplanes_value", 2, lambda v: v + 1e-3), "a plane above what is attained"),
    "a steeper plane": (
        lambda: number("hyperplanes_price_distortion", 0, lambda v: 3 * v + 1),
        "a plane above what is attained",
    ),
    "a lowered point": (lambda: number("attained_error_rate", 3, lambda v: v - 1e-2), "a plane above what is att"),
    "an attained point moved left": (lambda: number("attained_D", 0, lambda v: v - 0.1), "attained|below D_min"),
    "a negative price": (
        lambda: number("hyperplanes_price_perception", 0, lambda _: -1e-9),
        "a price_perception of -1",
    ),
    "a negative price of a point": (lambda: number("points_price_distortion", 0, lambda _: -1.0), "row 0 of points"),
    "a NaN level": (lambda: number("attained_P", 0, lambda _: math.nan), "a P of nan"),
    "a lower bound above the upper": (lambda: number("points_lower", 0, lambda v: v + 1e-6), "lower bound"),
    "an upper bound below the planes": (
        lambda: edited(lambda c: _moved(c, ("points_lower", "points_upper"), -1e-3)),
        "row .* of hyperplanes, row .* of points",
    ),
    "a lower bound that nothing proves": (
        lambda: edited(lambda c: _moved(c, ("points_lower", "points_upper"), 1e-3)),
        "a lower bound in row 0 of points that none",
    ),
    "a lower bound of NaN": (lambda: number("points_lower", 0, lambda _: math.nan), "a lower of nan"),
    "unsorted points": (lambda: reversed_rows("hyperplanes"), "a level below the one before"),
    "unsorted tangents": (lambda: reversed_rows("boundary_tangents"), "before, in row .* of boundary_tangents"),
    "a raised tangent": (
        lambda: number("boundary_tangents_value", 1, lambda v: v + 1e-3),
        "a tangent above what is attained",
    ),
    "a raised tangent of the floor": (
        lambda: number("floor_tangents_value", 0, lambda v: v + 1e-3),
        "row 0 of floor_tangents",
    ),
    "a bracket that nothing proves": (
        lambda: edited(lambda c: _moved(c, ("boundary_brackets_lower", "boundary_brackets_upper"), 1e-3)),
        "boundary_brackets that none",
    ),
    "an unknown status": (lambda: good().replace(b"OPTIMAL", b"OPTIMUM"), "an unknown status"),
    "a status with a hole": (lambda: good().replace(b"OPTIMAL", b"OPT\0MAL"), "no plain ASCII text in row"),
    "a status in Latin letters": (lambda: good().replace(b"OPTIMAL", b"OPTIM\xc1L"), "no plain ASCII text in row"),
    "a row of a channel that is no law": (lambda: number("channels_data", 0, lambda v: v + 1e-6), "that sum to"),
    "a negative probability": (lambda: number("channels_data", 5, lambda _: -0.1), "no probability in channel 0"),
    "a probability of NaN": (lambda: number("channels_data", 5, lambda _: math.nan), "no probability in channel 0"),
    "a letter out of range": (lambda: number("channels_indices", 0, lambda _: 10**6), "that is no letter"),
    "a negative letter": (lambda: number("channels_indices", 0, lambda _: -1), "that is no letter"),
    "letters out of order": (
        lambda: edited(lambda c: _swapped(c, "channels_indices")),
        "do not rise within a row",
    ),
    "rows of a channel that fall": (lambda: number("channels_indptr", 4, lambda _: 0), "do not rise from 0"),
    "rows of a channel without end": (lambda: number("channels_indptr", 9, lambda _: 2**31 - 1), "tells of"),
    "an infeasible point that is met": (
        lambda: edited(_infeasible),
        r"an infeasible point in row \d of points whose levels",
    ),
    "a feasible point in words alone": (
        lambda: edited(lambda c: _moved(c, ("points_lower", "points_upper"), math.inf)),
        "a status that its bounds belie in row 0",
    ),
    "another set of letters": (lambda: number("channels_reach", 4, lambda v: 1 - v), "channels_reach"),
    "no law of observations": (lambda: number("p_y", 0, lambda v: v + 0.1), "a p_y that is no law"),
    "no law at all": (lambda: without("variables", "p_y"), "which is no part of a surface"),
}


def _moved(contents: Contents, names: tuple[str, ...], by: float) -> Contents:
    for name in names:
        contents.variables[name].data[0] += by
    return contents


def _infeasible(contents: Contents) -> Contents:
    """The last point is said to be infeasible."""
    count = contents.dimensions["points"]
    letters = np.zeros((count, 10), dtype="S1")
    for row, word in zip(letters, ["OPTIMAL"] * (count - 1) + ["INFEASIBLE"], strict=True):
        row[: len(word)] = list(word)
    status = contents.variables["points_status"]
    longer = {"points_status": Variable(status.dimensions, letters, status.attributes)}
    for name in ("points_lower", "points_upper"):
        contents.variables[name].data[-1] = math.inf
    return Contents(
        {**contents.dimensions, "points_status_letters": 10}, contents.attributes, {**contents.variables, **longer}
    )


def _swapped(contents: Contents, name: str) -> Contents:
    data = contents.variables[name].data
    k = int(np.flatnonzero(np.diff(data[: contents.variables["channels_indptr"].data[0, 1]]) > 0)[0])
    data[[k, k + 1]] = data[[k + 1, k]]
    return contents


def flipped(seed: int, low: int, high: int) -> bytes:
    draw = random.Random(seed)
    at = draw.randrange(low, high)
    return patched((at, bytes([good()[at] ^ (1 << draw.randrange(8))])))


#: One bit of the header, and of the data, is another one: refused, or without consequence.
FLIPPED: dict[str, Callable[[], bytes]] = {
    **{f"header {seed}": (lambda seed=seed: flipped(seed, 0, header_size())) for seed in range(40)},
    **{f"data {seed}": (lambda seed=seed: flipped(seed, header_size(), len(good()))) for seed in range(60)},
}


def load_and_watch(file: Path) -> cdp.Surface | str:
    """What loading gives, the surface or the refusal; other exceptions pass. It must not take much memory."""
    tracemalloc.start()
    try:
        return cdp.load_surface(file)
    except cdp.SurfaceFileError as error:
        return str(error)
    finally:
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak <= 8 * file.stat().st_size + (4 << 20)


def test_the_good_file_is_good(tmp_path: Path) -> None:
    file = tmp_path / "a.nc"
    file.write_bytes(good())
    assert isinstance(load_and_watch(file), cdp.Surface) and len(good()) < 60_000
    tables = (small().points, small().hyperplanes, small().attained)
    assert all(len(table) > 2 for table in tables) and small().floor is not None and small().boundary is not None


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str, tmp_path: Path) -> None:
    make, message = REFUSED[name]
    file = tmp_path / "a.nc"
    file.write_bytes(make())
    assert file.read_bytes() != good()
    found = load_and_watch(file)
    assert isinstance(found, str), "taken for a surface"
    assert found.startswith(repr(str(file))) and found.endswith(surface_files.REMEDY)
    with pytest.raises(cdp.SurfaceFileError, match=message):
        cdp.load_surface(file)
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("name", FLIPPED)
def test_a_flipped_bit_is_refused_or_harmless(name: str, tmp_path: Path) -> None:
    file = tmp_path / "a.nc"
    file.write_bytes(FLIPPED[name]())
    found = load_and_watch(file)
    if isinstance(found, str):
        return
    planes, attained = found.hyperplanes, found.attained
    falls = sum(
        planes[f"price_{word}"][:, None] * (planes[level][:, None] - attained[level])
        for word, level in (("distortion", "D"), ("perception", "P"))
    )
    assert np.all(planes["value"][:, None] + falls <= attained["error_rate"] + 2e-9)
    d, p = np.meshgrid(np.linspace(1.0, 1.2, 21), np.linspace(0.0, 0.1, 21))
    assert np.all(found.lower(d, p) <= found.upper(d, p))
    if found.boundary is not None:
        assert np.all(found.boundary.lower(p) <= found.boundary.upper(p))


def test_flips_do_both() -> None:
    """The tests above would see it if everything were refused, or nothing."""
    kept = 0
    for make in FLIPPED.values():
        try:
            surface_of(read_netcdf(make()))
            kept += 1
        except cdp.SurfaceFileError:
            pass
    assert 10 < kept < len(FLIPPED) - 10


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("missing.nc", "cannot be read: No such file"),
        ("missing/a.nc", "cannot be read: No such file"),
        (".", "is a directory, a pipe or a device"),
        ("/dev/zero", "is a directory, a pipe or a device"),
        ("a\0b", "cannot be read"),
        ("pipe", "is a directory, a pipe or a device"),
        (None, "must be a str or a Path"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices have no names there")
def test_what_is_no_file(path: str | None, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("pipe")
    with pytest.raises(cdp.SurfaceFileError, match=message):
        cdp.load_surface(path)  # type: ignore[arg-type]


WATCH = """
import json, sys
import cdp_toy as cdp
files = json.loads(sys.argv[1])
cdp.load_surface(files[0])  # imports open files, too
seen = []
def hook(event, arguments):
    if event.split(".")[0] in ("open", "os", "subprocess", "socket", "exec", "import", "compile", "pickle", "ctypes"):
        seen.append((event, str(arguments[0])))
sys.addaudithook(hook)
out = []
for file in files:
    del seen[:]
    try:
        cdp.load_surface(file)
    except cdp.SurfaceFileError:
        pass
    out.append([entry for entry in seen if entry != ("open", file)])
del seen[:]
print(json.dumps(out))
"""


def test_nothing_else_is_opened_or_run(tmp_path: Path) -> None:
    files = {"good": good(), **{name: make() for name, (make, _) in REFUSED.items()}}
    for k, raw in enumerate(files.values()):
        (tmp_path / f"{k}.nc").write_bytes(raw)
    paths = json.dumps([str(tmp_path / f"{k}.nc") for k in range(len(files))])
    run = subprocess.run(
        [sys.executable, "-c", WATCH, paths], cwd=tmp_path, capture_output=True, text=True, timeout=120,
        env={**os.environ, "PYTHONPATH": str(Path(cdp.__file__).parents[1])},
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    other = {name: seen for name, seen in zip(files, json.loads(run.stdout), strict=True) if seen}
    assert other == {} and not (tmp_path / "unpickled").exists()


# other programs


def test_csv(tmp_path: Path) -> None:
    surface = odd()
    file = surface.to_csv(tmp_path)
    assert file == tmp_path / "points.csv" and surface.to_csv(tmp_path / "a.csv").read_bytes() == file.read_bytes()
    with file.open(newline="", encoding="utf-8") as stream:
        header, *rows = csv.reader(stream)
    assert header[:3] == ["P [nats or divergence units]", r"D [m\xb2]", "lower [1]"] and header[-1] == "solver"
    assert len(rows) == len(surface.points)
    for row, point in zip(rows, surface.points.tolist(), strict=True):
        assert row[-2:] == [word.replace("\udc80", "\\udc80") for word in point[-2:]]
        assert np.array_equal([float(entry) for entry in row[:-2]], point[:-2], equal_nan=True)
    with pytest.raises(cdp.InputError, match="choose a directory"):
        surface.to_csv(tmp_path / "none" / "a.csv")


class FakeDataset:
    """Keeps what it is made of."""

    def __init__(self, variables: dict[str, Any], attrs: dict[str, Any]) -> None:
        self.variables, self.attrs = variables, attrs


def test_xarray_gets_all_variables_and_attributes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", types.SimpleNamespace(Dataset=FakeDataset))  # type: ignore[arg-type]
    surface, contents = small(), contents_of(small())
    found: Any = surface.to_xarray()
    assert found.variables.keys() == contents.variables.keys() and same_bits(found.attrs, dict(contents.attributes))
    axes, status, attributes = found.variables["points_status"]
    assert axes == ("points",) and status.tolist() == surface.points["status"].tolist()
    assert found.variables["attained_D"][1].tolist() == surface.attained["D"].tolist()
    assert attributes == contents.variables["points_status"].attributes


def test_a_real_dataset() -> None:
    pytest.importorskip("xarray", reason="the extra xarray is not installed")
    found = small().to_xarray()
    assert found["attained_error_rate"].dims == ("attained",) and found.attrs["about_perception"] == "kl"
    assert found["points_D"].attrs["units"] == "squared units of x"


def test_without_xarray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "xarray", None)
    with pytest.raises(ImportError, match=r"pip install 'cdp_toy\[xarray\]'"):
        small().to_xarray()
