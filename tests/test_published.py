"""The digitized figures: every table loads, and stands to the exact curves as the design says."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from cdp_toy import presets, published
from cdp_toy.errors import InputError
from cdp_toy.linear import linear_denoiser


@pytest.fixture(scope="module")
def rows() -> list[published.Comparison]:
    return published.compare(linear_denoiser(presets.paper_toy()))


def by_prefix(rows, prefix):
    found = [row for row in rows if row.quantity.startswith(prefix)]
    assert found
    return found


@pytest.mark.parametrize("name", list(published.TABLES))
def test_every_table_loads(name):
    table = published.load(name)
    assert table.name == name and len(table) > 3
    for column in table.numbers:
        assert table[column].shape == (len(table),) and np.isfinite(table[column]).all()
    for words in table.words.values():
        assert len(words) == len(table) and all(words)


def test_quoted_commas_and_stated_uncertainty():
    corners = published.load("fig2a_corners")
    assert corners.words["point"][3] == "front lowest corner (P=.4,D=.75)" and corners["C"][3] == 0.2083
    numbers = published.load("key_numbers")
    k = numbers.words["quantity"].index("min KL")
    assert (numbers["published"][k], numbers["uncertainty"][k]) == (0.005, 0.001)


def test_tables_are_read_only_and_names_are_checked():
    table = published.load("fig1c_mse")
    with pytest.raises(ValueError, match="read-only"):
        table["mse"][0] = 0
    with pytest.raises(InputError, match="did you mean 'mse'"):
        table["msee"]
    with pytest.raises(InputError, match="unknown published table 'fig1c_mes'; did you mean 'fig1c_mse'"):
        published.load("fig1c_mes")


def test_published_error_rates_lie_above_the_exact_ones(rows):
    found = by_prefix(rows, "error rate at")
    assert len(found) == 16
    assert all(0.001 <= row.difference <= 0.007 for row in found)
    assert all(0.002 < row.difference < 0.005 for row in [*by_prefix(rows, "plateau"), *by_prefix(rows, "min error")])


def test_published_mse_is_the_closed_form(rows):
    found = by_prefix(rows, "MSE at")
    assert [row.quantity for row in found] == [f"MSE at a = {k / 10:g}" for k in range(3, 16)]
    # single points err by the digitization, the root mean square over the knots by 6e-4
    assert all(abs(row.difference) <= row.uncertainty for row in found)
    assert np.sqrt(np.mean([row.difference**2 for row in found])) < 6e-4


def test_published_kl_is_too_small_for_small_a(rows):
    differences = {float(row.quantity.split("=")[1]): row.difference for row in by_prefix(rows, "KL at")}
    assert all(differences[a] < -0.01 for a in (0.2, 0.3, 0.4, 0.5))
    assert abs(differences[0.6]) < 5e-4


def test_corners_inside_the_blank_region_have_no_exact_value(rows):
    found = by_prefix(rows, "C, ")
    assert {row.panel for row in found} == {"2a"}
    # P = .0054 lies below the least KL of the family, .0062
    assert [bool(np.isnan(row.exact)) for row in found] == [True, True, False, False]
    assert all(0.004 < row.difference < 0.005 for row in found[2:])


def test_minima_and_plateaus(rows):
    exact = {row.quantity: row.exact for row in rows}
    assert exact["min error"] == pytest.approx(0.204117333467, abs=5e-13)
    assert exact["min MSE"] == pytest.approx(2 / 3, abs=1e-14)
    assert exact["min KL"] == pytest.approx(0.006202278752, abs=5e-13)
    family = linear_denoiser(presets.paper_toy())
    assert exact["plateau C at P=0.04"] == family.best_error_rate(np.inf, 0.04)
    assert exact["plateau C at D=0.671"] == family.best_error_rate(0.671, np.inf)


def test_csv_round_trip(rows, tmp_path):
    path = tmp_path / "differences.csv"
    published.to_csv(rows, path)
    with path.open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert list(read[0]) == ["panel", "quantity", "published", "uncertainty", "exact", "difference"]
    assert [row["quantity"] for row in read] == [row.quantity for row in rows]
    np.testing.assert_array_equal([float(row["difference"]) for row in read], [row.difference for row in rows])
