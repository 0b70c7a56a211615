"""A traced surface for other programs: its solved points as CSV, all of it as an xarray.Dataset."""

from __future__ import annotations

import csv
import io
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cdp_toy.surface_contents import contents_of, units_of
from cdp_toy.surfaces import Surface
from cdp_toy.whole_files import replace_file

if TYPE_CHECKING:
    import xarray

__all__ = ["points_to_csv", "surface_to_xarray"]


def points_to_csv(surface: Surface, path: str | os.PathLike[str]) -> Path:
    """Write the solved points as CSV, a header with units first, numbers with 17 significant digits.

    Parameters
    ----------
    surface : Surface
    path : str or path
        A file, or a directory that exists, for ``points.csv`` in it.

    Returns
    -------
    pathlib.Path
        The file.

    Raises
    ------
    InputError
        When the file cannot be written.
    """
    file = Path(path)
    if file.is_dir():
        file = file / "points.csv"
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    points = surface.points
    names = points.dtype.names or ()
    units = {name: units_of("points", name, surface.about) for name in names}
    writer.writerow(name if units[name] is None else f"{name} [{units[name]}]" for name in names)
    for row in points.tolist():
        writer.writerow(f"{entry:.17g}" if isinstance(entry, float) else entry for entry in row)
    return replace_file(file, text.getvalue().encode(errors="backslashreplace"))


def surface_to_xarray(surface: Surface) -> xarray.Dataset:
    """The variables and attributes of `save_surface` as a Dataset; rows of characters are words.

    Raises
    ------
    ImportError
        When xarray is not installed; it comes with the extra of that name.
    """
    try:
        import xarray
    except ImportError:
        raise ImportError("Surface.to_xarray needs xarray: pip install 'cdp_toy[xarray]'", name="xarray") from None
    contents = contents_of(surface)
    variables: dict[str, Any] = {}
    for name, variable in contents.variables.items():
        axes, data = variable.dimensions, variable.data
        if data.dtype.kind == "S":
            axes, data = axes[:1], surface.points[name.removeprefix("points_")]
        variables[name] = (axes, data.copy(), dict(variable.attributes))
    return xarray.Dataset(variables, attrs=dict(contents.attributes))
