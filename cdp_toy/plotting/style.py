"""One look for every figure, and how figures are written to files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from cdp_toy.errors import InputError

__all__ = ["ACCENT", "DARK", "LIGHT", "MIDDLE", "STYLE", "save", "save_as"]

#: one look for every figure; line styles and markers carry the meaning so that grey prints stay legible
STYLE: Any = {  # matplotlib types the keys one by one, differently in each version
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.labelsize": 9,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "cdp_toy",
}
DARK, MIDDLE, LIGHT, ACCENT = "#1b2a49", "#3f7cac", "#9cb7cf", "#c8553d"


def save_as(figure: Figure, path: Path) -> None:
    """Write a figure to a file whose ending names the format.

    Raises
    ------
    InputError
        For another ending than .png, .pdf or .svg.
    """
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise InputError(f"a figure is written as .png, .pdf or .svg; {path} has the ending {path.suffix!r}")
    # mplot3d projects the masked corners of a surface with whatever their memory holds; the overflow is not drawn
    with matplotlib.rc_context(STYLE), np.errstate(over="ignore", invalid="ignore"):
        if path.suffix.lower() == ".png":
            figure.savefig(path, dpi=160)
        else:
            figure.savefig(path, metadata={"CreationDate" if path.suffix.lower() == ".pdf" else "Date": None})


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Write a figure as PDF and PNG."""
    paths = [out / f"{name}.pdf", out / f"{name}.png"]
    for path in paths:
        save_as(figure, path)
    return paths
