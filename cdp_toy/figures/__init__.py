"""Figures: drawing only, numbers come from elsewhere. The only place that needs matplotlib."""

from __future__ import annotations

from cdp_toy.figures.channel import figure_channel
from cdp_toy.figures.portrait import figure_problem
from cdp_toy.figures.surface import ExactSurface, figure_3, row_values
from cdp_toy.figures.toy import figure_1, figure_2
from cdp_toy.figures.traced import figure_4
from cdp_toy.plotting import save, save_as

__all__ = [
    "ExactSurface",
    "figure_1",
    "figure_2",
    "figure_3",
    "figure_4",
    "figure_channel",
    "figure_problem",
    "row_values",
    "save",
    "save_as",
]
