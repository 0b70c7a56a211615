"""Traced surfaces as files: classic netCDF that explains itself, and that is judged before it is believed.

Such a file holds numbers and words, no code and no links. `save_surface` writes equal bytes for equal surfaces;
`load_surface` reads one regular file, checks its header against its size, then every statement that can be checked.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from cdp_toy.errors import InputError, SurfaceFileError
from cdp_toy.netcdf import read_netcdf, write_netcdf
from cdp_toy.surface_audit import audit
from cdp_toy.surface_contents import contents_of
from cdp_toy.surface_reading import surface_of
from cdp_toy.surfaces import Surface
from cdp_toy.whole_files import replace_file

__all__ = ["load_surface", "save_surface"]

#: Larger files are refused unread [bytes]: sizes in a classic netCDF file are 32-bit numbers.
MOST_BYTES = 1 << 30
REMEDY = "name an undamaged file that Surface.save wrote, or trace the surface anew"


def save_surface(surface: Surface, path: str | os.PathLike[str]) -> Path:
    """Write a traced surface to a netCDF-3 file, replacing a file of that name once the new one is complete.

    Every column of its tables becomes a variable with its units, and every entry of `Surface.about` an attribute
    ``about_...``. Neither dates nor anything of this machine are written: equal surfaces give equal bytes.

    Parameters
    ----------
    surface : Surface
        What `trace` returned.
    path : str or path
        Usually ends with ``.nc``; the directory must exist.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        When the surface contradicts itself, `about` holds what is neither word nor number, or the file cannot be
        written.

    Examples
    --------
    >>> import cdp_toy as cdp, tempfile, pathlib
    >>> grid = cdp.presets.paper_toy().discretize(n=11)
    >>> surface = cdp.trace(grid, (0.7, 0.8), (0.05, 0.1), tol=0.01, margin=0.01, progress=False)
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     file = surface.save(pathlib.Path(directory, "toy.nc"))
    ...     again = cdp.load_surface(file)
    >>> again.max_gap == surface.max_gap
    True
    """
    if not isinstance(surface, Surface):
        raise InputError(f"only a Surface can be saved, as trace returns one, not {type(surface).__name__}")
    file = _path(path)
    try:
        contents = contents_of(surface)
        audit(surface)
        raw = write_netcdf(contents)
        surface_of(read_netcdf(raw))  # what is written can be read
    except SurfaceFileError as error:
        raise SurfaceFileError(f"the surface cannot be saved, it {error}; trace it anew") from None
    if len(raw) > MOST_BYTES:
        raise SurfaceFileError(
            f"the surface cannot be saved, its file would take {len(raw):,} bytes, at most {MOST_BYTES:,}; trace it "
            "without keep_channels"
        )
    return replace_file(file, raw)


def load_surface(path: str | os.PathLike[str]) -> Surface:
    """Read a traced surface from a file that `Surface.save` wrote, perhaps on another machine, perhaps by a stranger.

    Nothing in the file is run, no other file is opened, and memory is taken in proportion to the size of the file, once
    its header has been found to be true. Then everything that the file itself can decide is checked: types, shapes,
    units, signs, orders, and that no plane exceeds what is attained. That the planes are proven it cannot: who must
    know traces the surface anew.

    Parameters
    ----------
    path : str or path

    Returns
    -------
    Surface

    Raises
    ------
    SurfaceFileError
        For whatever is wrong with the file: it says what, where in the file, and what to do.
    """
    file = _path(path)
    try:
        surface = surface_of(read_netcdf(_bytes_of(file)))
        audit(surface)
    except SurfaceFileError as error:
        raise SurfaceFileError(f"{str(file)!a} {error}; {REMEDY}") from None
    return surface


def _path(path: object) -> Path:
    try:
        return Path(path)  # type: ignore[arg-type]  # what is no path is refused
    except TypeError:
        raise SurfaceFileError(f"the path of a surface must be a str or a Path, got {path!r}") from None


def _bytes_of(file: Path) -> bytes:
    """All of a regular file, unless it is too large or begins like something else."""
    try:
        if not stat.S_ISREG(os.stat(file).st_mode):  # a pipe would let its opener wait
            raise SurfaceFileError("is a directory, a pipe or a device, not a regular file")
        with open(file, "rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            if size > MOST_BYTES:
                raise SurfaceFileError(f"is too large for a surface ({size:,} bytes, at most {MOST_BYTES:,})")
            raw = stream.read(4)
            return raw + stream.read(size - len(raw)) if raw.startswith(b"CDF") else raw
    except (OSError, ValueError) as error:  # ValueError: a zero byte in the path
        if isinstance(error, SurfaceFileError):
            raise
        raise SurfaceFileError(f"cannot be read: {getattr(error, 'strerror', None) or error}") from None
