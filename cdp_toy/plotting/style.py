"""One look for every figure, and how figures are written to files."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

from cdp_toy.errors import InputError

__all__ = ["ACCENT", "DARK", "LIGHT", "MIDDLE", "STYLE", "new_figure", "save", "save_as"]

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
#: dots per inch of a PNG
DPI = 160
DARK, MIDDLE, LIGHT, ACCENT = "#1b2a49", "#3f7cac", "#9cb7cf", "#c8553d"


def new_figure() -> Figure:
    """A figure that notebooks and windows show, for a picture that was given no axes."""
    from matplotlib import pyplot  # .2 s that nobody else has to spend

    return pyplot.figure(layout="constrained")


def save_as(figure: Figure, path: Path) -> None:
    """Write a figure to a file whose ending names the format.

    Raises
    ------
    InputError
        For another ending than .png, .pdf or .svg.
    """
    if path.suffix.lower() not in (".png", ".pdf", ".svg"):
        raise InputError(f"a figure is written as .png, .pdf or .svg; {path} has the ending {path.suffix!r}")
    with _laid_out(figure):
        _write(figure, path)


def save(figure: Figure, out: Path, name: str) -> list[Path]:
    """Write a figure as PDF and PNG, laid out once."""
    paths = [out / f"{name}.pdf", out / f"{name}.png"]
    with _laid_out(figure):
        for path in paths:
            _write(figure, path)
    return paths


def _write(figure: Figure, path: Path) -> None:
    """Draw into a file: `Figure.savefig` would draw once for nothing before."""
    drawing: Any  # their methods have no types
    with _drawing(figure):
        if path.suffix.lower() == ".png":
            figure.dpi = DPI
            drawing = FigureCanvasAgg(figure)
            drawing.print_png(path)
        elif path.suffix.lower() == ".pdf":
            drawing = FigureCanvasPdf(figure)
            drawing.print_pdf(path, metadata={"CreationDate": None})
        else:
            drawing = FigureCanvasSVG(figure)
            drawing.print_svg(path, metadata={"Date": None})


@contextmanager
def _drawing(figure: Figure) -> Iterator[None]:
    """Our look; canvas and dots per inch are those from before at the end of the `with`."""
    dpi, canvas = figure.dpi, figure.canvas
    # mplot3d projects the masked corners of a surface with whatever their memory holds; the overflow is not drawn
    with matplotlib.rc_context(STYLE), np.errstate(over="ignore", invalid="ignore"):
        try:
            yield
        finally:
            figure.dpi = dpi
            figure.set_canvas(canvas)


@contextmanager
def _laid_out(figure: Figure) -> Iterator[None]:
    """Lay a figure out now, by the pixels of a PNG, and keep that: left to itself matplotlib does it for every file."""
    engine = figure.get_layout_engine()
    if engine is None:
        yield
        return
    with _drawing(figure):
        FigureCanvasAgg(figure)
        figure.dpi = DPI
        for _ in range(2):  # solids and colour bars find their size in the second round alone
            engine.execute(figure)
    figure.set_layout_engine("none")
    try:
        yield
    finally:
        figure.set_layout_engine(engine)
