"""Whole surfaces of several problems: contours, solids and profiles. Drawing only."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cdp_toy.linear import LinearDenoiserFamily, PlaneLinearFamily
from cdp_toy.plotting import STYLE, plot_slices, plot_surface
from cdp_toy.surfaces import Surface

__all__ = ["figure_4"]

#: Places along each axis of a solid.
SOLID = 101

Family = LinearDenoiserFamily | PlaneLinearFamily


def figure_4(titles: Sequence[str], surfaces: Sequence[Surface], families: Sequence[Family | None]) -> Figure:
    """Every surface as contours beside the linear family, as a solid, and along D; a line of panels for each."""
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(14.4, 4.9 * len(surfaces)), layout="constrained")
        grid = figure.add_gridspec(len(surfaces), 3, width_ratios=(1.15, 1, 1))
        for k, (title, surface, family) in enumerate(zip(titles, surfaces, families, strict=True)):
            plane = figure.add_subplot(grid[k, 0])
            plot_surface(surface, plane, linear=family)
            plane.set_title(title, pad=46)
            solid = figure.add_subplot(grid[k, 1], projection="3d")
            plot_surface(surface, solid, kind="3d", n=SOLID)
            for artist in solid.collections:  # thousands of facets: as vectors they make a file of megabytes
                artist.set_rasterized(True)
            solid.set_zlabel("")  # the colour bar beside it says what it is
            low, high = surface.perception
            levels = np.geomspace(max(low, 1e-3 * high), high, 5)[:-1]
            plot_slices(surface, figure.add_subplot(grid[k, 2]), P=[float(f"{level:.1g}") for level in levels])
    return figure
