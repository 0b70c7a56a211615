"""Pictures of single results: each function draws on given axes, or new ones, and returns them."""

from __future__ import annotations

from cdp_toy.plotting.channel import plot_channel
from cdp_toy.plotting.laws import plot_output_law
from cdp_toy.plotting.plane import cell_density, draw_boundary, draw_law, drawn_ends, window
from cdp_toy.plotting.style import ACCENT, DARK, LIGHT, MIDDLE, STYLE, save, save_as

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
    "plot_channel",
    "plot_output_law",
    "save",
    "save_as",
    "window",
]
