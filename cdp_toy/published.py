"""The values published in Figures 1 and 2 of the paper, digitized, and how far they are from the exact ones.

The tables are a labelled overlay for figures and a comparison; no solver reads them. Their README tells how they were
read off and which of their differences are explained.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib import resources
from typing import TYPE_CHECKING

import numpy as np

from cdp_toy.errors import unknown_name
from cdp_toy.validation import Array

if TYPE_CHECKING:
    from cdp_toy.linear import LinearDenoiserFamily

__all__ = ["TABLES", "Comparison", "PublishedTable", "compare", "load", "to_csv"]

#: name of every table and the panel it was read from ("all" for the numbers taken from several)
TABLES: dict[str, str] = {
    "fig1a_density_x": "1a",
    "fig1b_density_restored_a0.8": "1b",
    "fig1c_mse": "1c",
    "fig1c_kl": "1c",
    "fig1c_kl_knots": "1c",
    "fig1c_error_rate": "1c",
    "fig1c_error_rate_knots": "1c",
    "fig2a_corners": "2a",
    "fig2b_C_vs_D": "2b",
    "fig2b_C_vs_P": "2b",
    "key_numbers": "all",
}

#: columns that hold words; every other column is numeric
_WORDS = ("point", "note", "curve", "quantity")

#: the reading error of C in the corners, stated in their notes; that of the plateaus is in the profiles' own column
_CORNER_UNCERTAINTY = 2e-5


@dataclass(frozen=True, eq=False)
class PublishedTable:
    """One digitized table.

    Parameters
    ----------
    name, panel : str
    numbers : dict of arrays of shape (n,)
        Numeric columns, in the units of their names; a value printed as "v+-u" also gives a column `uncertainty`.
    words : dict of n-tuples of str
        Columns of labels and notes.
    """

    name: str
    panel: str
    numbers: dict[str, Array]
    words: dict[str, tuple[str, ...]]

    def __getitem__(self, column: str) -> Array:
        if column not in self.numbers:
            raise unknown_name(f"column of {self.name}", column, self.numbers)
        return self.numbers[column]

    def __len__(self) -> int:
        return len(next(iter(self.numbers.values())))


@dataclass(frozen=True)
class Comparison:
    """One published number beside the exact one; `uncertainty` is the digitization's, half a printed unit if unstated.

    `exact` is nan where no linear denoiser meets both levels, which is a finding about the published point.
    """

    panel: str
    quantity: str
    published: float
    uncertainty: float
    exact: float

    @property
    def difference(self) -> float:
        """published - exact"""
        return self.published - self.exact


def load(name: str) -> PublishedTable:
    """Read one digitized table that ships with the package.

    Parameters
    ----------
    name : str
        A key of `TABLES`.

    Raises
    ------
    InputError
        For an unknown name.

    Examples
    --------
    >>> table = load("fig1c_error_rate_knots")
    >>> table.panel, table["a"][4].item(), table["error_rate"][4].item()
    ('1c', 0.5, 0.208284)
    """
    if name not in TABLES:
        raise unknown_name("published table", name, TABLES)
    file = resources.files("cdp_toy").joinpath("data", "published_figure", f"{name}.csv")
    with file.open("r", encoding="utf-8") as lines:
        rows = list(csv.DictReader(lines))
    columns = list(rows[0])
    numbers: dict[str, Array] = {}
    for column in columns:
        if column in _WORDS:
            continue
        pairs = [_number(row[column]) for row in rows]
        numbers[column] = np.array([value for value, _ in pairs])
        if any("+-" in row[column] for row in rows):
            numbers["uncertainty"] = np.array([uncertainty for _, uncertainty in pairs])
    for array in numbers.values():
        array.setflags(write=False)
    words = {column: tuple(row[column] for row in rows) for column in columns if column in _WORDS}
    return PublishedTable(name, TABLES[name], numbers, words)


def _number(text: str) -> tuple[float, float]:
    """Value and uncertainty of a printed number: stated as "v+-u", else half a unit of the last printed digit.

    >>> _number(".005+-.001"), _number("0.67")
    ((0.005, 0.001), (0.67, 0.005))
    """
    value, stated, uncertainty = text.partition("+-")
    if stated:
        return float(value), float(uncertainty)
    decimals = len(value.partition(".")[2])
    return float(value), 0.5 / 10**decimals


def compare(family: LinearDenoiserFamily) -> list[Comparison]:
    """Set every published number beside the exact value of the linear family.

    Parameters
    ----------
    family : LinearDenoiserFamily
        That of `presets.paper_toy()`, the problem that the figures show.

    Returns
    -------
    list of Comparison
        Panel 1c: error rate and KL at the sampled a, MSE at a = k/10 interpolated between the digitized points, the
        three minima. Panel 2a: corners of the surface. Panel 2b: plateaus of the profiles, where only the named level
        constrains.

    References
    ----------
    Liu, Zhang and Xiong, "On the Classification-Distortion-Perception Tradeoff", NeurIPS 2019, Figures 1 and 2.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> from cdp_toy.linear import linear_denoiser
    >>> rows = compare(linear_denoiser(presets.paper_toy()))
    >>> knot = next(row for row in rows if row.quantity == "error rate at a = 0.5")
    >>> round(knot.difference, 6)
    0.004167
    """
    return [*_curves(family), *_key_numbers(family), *_corners(family)]


def _curves(family: LinearDenoiserFamily) -> list[Comparison]:
    rows = []
    for name, column, label, exact in (
        ("fig1c_error_rate_knots", "error_rate", "error rate", family.error_rate),
        ("fig1c_kl_knots", "kl_nats", "KL", family.perception),
    ):
        table = load(name)
        for a, value, uncertainty, truth in zip(
            table["a"], table[column], table["uncertainty"], np.asarray(exact(table["a"])), strict=True
        ):
            rows.append(_row("1c", f"{label} at a = {a:g}", value, uncertainty, truth))
    table = load("fig1c_mse")
    knots = np.array([k / 10 for k in range(3, 17) if table["a"][0] <= k / 10 <= table["a"][-1]])
    values, uncertainties = (np.interp(knots, table["a"], table[column]) for column in ("mse", "uncertainty"))
    for a, value, uncertainty, truth in zip(
        knots, values, uncertainties, np.asarray(family.distortion(knots)), strict=True
    ):
        rows.append(_row("1c", f"MSE at a = {a:g}", value, uncertainty, truth))
    return rows


def _key_numbers(family: LinearDenoiserFamily) -> list[Comparison]:
    minima = {
        "min MSE": family.least_distortion().distortion,
        "min error": family.least_error().error_rate,
        "min KL": family.least_perception().perception,
    }
    table = load("key_numbers")
    rows = []
    for quantity, value, uncertainty in zip(
        table.words["quantity"], table["published"], table["uncertainty"], strict=True
    ):
        if quantity in minima:
            rows.append(_row("1c", quantity, value, uncertainty, minima[quantity]))
            continue
        axis, _, level = quantity.removeprefix("plateau C at ").partition("=")
        levels = (math.inf, float(level)) if axis == "P" else (float(level), math.inf)
        profile = load("fig2b_C_vs_D" if axis == "P" else "fig2b_C_vs_P")
        reading_error = float(profile["uncertainty_C"].max())
        rows.append(_row("2b", quantity, value, reading_error, family.best_error_rate(*levels)))
    return rows


def _corners(family: LinearDenoiserFamily) -> list[Comparison]:
    table = load("fig2a_corners")
    exact = np.asarray(family.best_error_rate(table["D"], table["P"]))
    return [
        _row("2a", f"C, {point}", value, _CORNER_UNCERTAINTY, truth)
        for point, value, truth in zip(table.words["point"], table["C"], exact, strict=True)
    ]


def _row(panel: str, quantity: str, published: float, uncertainty: float, exact: float | Array) -> Comparison:
    return Comparison(panel, quantity, float(published), float(uncertainty), float(exact))


def to_csv(rows: Iterable[Comparison], path: str | os.PathLike[str]) -> None:
    """Write comparisons as a CSV file with a header; numbers in full precision, nan where no exact value exists."""
    with open(path, "w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["panel", "quantity", "published", "uncertainty", "exact", "difference"])
        for row in rows:
            writer.writerow([row.panel, row.quantity, row.published, row.uncertainty, row.exact, row.difference])
