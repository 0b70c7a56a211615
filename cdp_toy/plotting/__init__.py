"""Pictures of results: each function draws on given axes, or new ones, and returns them."""

from __future__ import annotations

from cdp_toy.plotting.boundary import plot_boundary
from cdp_toy.plotting.certificates import plot_gap, plot_prices
from cdp_toy.plotting.channel import plot_channel
from cdp_toy.plotting.laws import plot_output_law
from cdp_toy.plotting.plane import cell_density, draw_boundary, draw_law, drawn_ends, window
from cdp_toy.plotting.slices import plot_slices
from cdp_toy.plotting.style import ACCENT, DARK, LIGHT, MIDDLE, STYLE, save, save_as
from cdp_toy.plotting.surface import plot_surface

__all__ = [
    "ACCENT",
    "DARK",
    "LIGHT",
    "MIDDLE",
    "STYLE",
    "cell_density",
    "draw_boundary",
    "draw_law",
    "drawn_ends",
    "plot_boundary",
    "plot_channel",
    "plot_gap",
    "plot_output_law",
    "plot_prices",
    "plot_slices",
    "plot_surface",
    "save",
    "save_as",
    "window",
]
