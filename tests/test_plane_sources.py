"""Sources of products in the plane: against products of answers on the line, and against draws."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy.integrate import quad_vec

from cdp_toy.cells import PlaneCells
from cdp_toy.errors import InputError
from cdp_toy.pieces import build
from cdp_toy.sources import (
    GaussianMixture,
    Histogram,
    Histogram2D,
    IndependentPair,
    LaplaceMixture,
    LineMixture,
    SeparableSource,
    TableSource,
    UniformMixture,
)

INF = math.inf
PRIORS = (0.6, 0.4)


def blocks() -> Histogram2D:
    masses = np.random.default_rng(7).random((2, 3, 4))
    masses[0, 1] = masses[1, :, 2] = 0  # empty rectangles
    return Histogram2D(
        PRIORS, (-2, -0.5, 0.4, 1.5), (-1, 0, 0.3, 1, 3), masses / masses.sum(axis=(1, 2), keepdims=True)
    )


def gauss_and_bins() -> IndependentPair:
    bins = Histogram(PRIORS, (-1.0, 0.0, 0.5, 2.0), ((0.5, 0.5, 0.0), (0.1, 0.2, 0.7)))
    return IndependentPair(GaussianMixture(PRIORS, ((-1, 0), (1,)), 0.7), bins)


def laplace_and_uniform() -> IndependentPair:
    uniform = UniformMixture(PRIORS, ((-2, 0), (0.5,)), ((0, 1), (2,)), ((0.8, 0.2), (1,)))
    return IndependentPair(LaplaceMixture(PRIORS, (-0.5, 0.5), (0.6, 0.3)), uniform)


#: name -> source. To put a new separable source under every law, add it here.
SOURCES: dict[str, Callable[[], SeparableSource]] = {
    "blocks": blocks,
    "one_block": lambda: Histogram2D((1.0,), (0.0, 1.0), (0.0, 2.0), [[[1.0]]]),
    "gauss_and_bins": gauss_and_bins,
    "laplace_and_uniform": laplace_and_uniform,
}

#: name -> (matrix, covariance) of Y = matrix X + noise
MAPS = {
    "no_noise": ([[1.0, 0.0], [0.0, 1.0]], [[0.0, 0.0], [0.0, 0.0]]),
    "noise": ([[1.0, 0.0], [0.0, 1.0]], [[0.09, 0.0], [0.0, 0.25]]),
    "one_coordinate": ([[0.0, 1.0]], [[0.09]]),
    "turned_and_scaled": ([[0.0, 2.0], [-1.0, 0.0]], [[0.09, 0.0], [0.0, 0.25]]),
}

EDGES = (np.array([-INF, -1.0, 0.2, 1.1, INF]), np.array([-INF, -0.6, 0.0, 0.7, INF]))

sources = pytest.mark.parametrize("name", SOURCES)
maps = pytest.mark.parametrize("way", MAPS)


def observation(way: str) -> tuple[np.ndarray, np.ndarray, tuple[np.ndarray, ...]]:
    matrix, covariance = (np.array(part) for part in MAPS[way])
    return matrix, covariance, EDGES[: len(matrix)]


def centres(n: int) -> np.ndarray:
    return np.random.default_rng(n).normal(size=(n, 2))


def n_cells(edges: tuple[np.ndarray, ...]) -> int:
    return math.prod(len(e) - 1 for e in edges)


@sources
@maps
def test_cell_integrals_agree_with_draws(name: str, way: str) -> None:
    source, (matrix, covariance, edges) = SOURCES[name](), observation(way)
    rng, count = np.random.default_rng(11), 400_000
    classes, x = source.sample(count, rng)
    y = x @ matrix.T + rng.normal(size=(count, len(matrix))) * np.sqrt(np.diag(covariance))
    cell = np.zeros(count, dtype=int)
    for k, cuts in enumerate(edges):
        cell = cell * (len(cuts) - 1) + np.searchsorted(cuts, y[:, k]) - 1
    about = centres(n_cells(edges))
    found = source.cell_integrals(edges, matrix, covariance, about)
    lever = x - about[cell]
    values = {"mass": np.ones(count), "x1": lever[:, 0], "x2": lever[:, 1], "second": (lever**2).sum(axis=1)}
    exact = {"mass": found.mass, "x1": found.first[..., 0], "x2": found.first[..., 1], "second": found.second}
    for c in range(source.n_classes):
        mine = classes == c
        for key, value in values.items():
            mean, square = (
                np.bincount(cell[mine], value[mine] ** k, minlength=len(about)) / mine.sum() for k in (1, 2)
            )
            # a cell with a few draws has no normal error: allow for five of them
            tolerance = 5 * np.sqrt(square / mine.sum()) + 5 * np.abs(value).max() / mine.sum()
            assert np.all(np.abs(exact[key][c] - mean) <= tolerance), key


@pytest.mark.parametrize("name", ["gauss_and_bins", "laplace_and_uniform"])
@maps
def test_cell_integrals_of_a_pair_are_products_of_those_on_the_line(name: str, way: str) -> None:
    pair, (matrix, covariance, edges) = SOURCES[name](), observation(way)
    assert isinstance(pair, IndependentPair)
    about = centres(n_cells(edges))
    found = pair.cell_integrals(edges, matrix, covariance, about)
    shape = tuple(len(e) - 1 for e in edges)
    for letter, index in enumerate(np.ndindex(shape)):
        parts = []
        for axis, source in enumerate((pair.first, pair.second)):
            rows = np.flatnonzero(matrix[:, axis])
            low, high, noise = -INF, INF, 0.0
            if len(rows):
                r = int(rows[0])
                gain = matrix[r, axis]
                low, high = sorted(edges[r][[index[r], index[r] + 1]] / gain)
                noise = math.sqrt(covariance[r, r]) / abs(gain)
            parts.append([v[:, 0] for v in source.cell_integrals([low, high], noise, about[letter, axis])])
        (m1, f1, s1), (m2, f2, s2) = parts
        assert_allclose(found.mass[:, letter], m1 * m2, rtol=1e-11, atol=1e-300)
        assert_allclose(found.first[:, letter, 0], f1 * m2, rtol=1e-10, atol=1e-13)
        assert_allclose(found.first[:, letter, 1], m1 * f2, rtol=1e-10, atol=1e-13)
        assert_allclose(found.second[:, letter], s1 * m2 + m1 * s2, rtol=1e-10, atol=1e-13)


@sources
def test_one_centre_serves_all_cells(name: str) -> None:
    source, (matrix, covariance, edges) = SOURCES[name](), observation("noise")
    one = source.cell_integrals(edges, matrix, covariance, np.array([0.3, -0.2]))
    many = source.cell_integrals(edges, matrix, covariance, np.tile([0.3, -0.2], (n_cells(edges), 1)))
    for a, b in zip(one, many, strict=True):
        assert_allclose(a, b, rtol=1e-15)


def test_an_histogram_of_products_is_a_pair() -> None:
    first = Histogram(PRIORS, (-1, 0, 2), ((0.3, 0.7), (0.6, 0.4)))
    second = Histogram(PRIORS, (0, 1, 2, 4), ((0.2, 0.3, 0.5), (1, 0, 0)))
    table = np.einsum("ca,cb->cab", first.masses, second.masses)
    matrix, covariance, edges = observation("noise")
    for a, b in zip(
        Histogram2D(PRIORS, first.edges, second.edges, table).cell_integrals(edges, matrix, covariance, np.zeros(2)),
        IndependentPair(first, second).cell_integrals(edges, matrix, covariance, np.zeros(2)),
        strict=True,
    ):
        assert_allclose(a, b, rtol=1e-13, atol=1e-15)


@sources
def test_totals_are_the_moments_of_the_source(name: str) -> None:
    source, (matrix, covariance, edges) = SOURCES[name](), observation("noise")
    cells = source.cell_integrals(edges, matrix, covariance, np.zeros(2))
    assert_allclose(cells.mass.sum(axis=1), 1.0, rtol=1e-14)
    assert_allclose(np.asarray(source.priors) @ cells.first.sum(axis=1), source.mean, atol=1e-14)


@sources
def test_strips_integrate_to_cell_masses(name: str) -> None:
    source, (matrix, covariance, edges) = SOURCES[name](), observation("no_noise")
    mass = np.asarray(source.priors) @ source.cell_integrals(edges, matrix, covariance, np.zeros(2)).mass
    low, high = edges[1][None, :-1], edges[1][None, 1:]
    ends = source.bounds(matrix, covariance, n_std=8.0)[0]
    first = source.axes[0]
    bends = {*edges[0][1:-1], *first.breakpoints, *(m for row in getattr(first, "means", ()) for m in row)}
    cuts = np.unique(np.clip([*ends, *bends], *ends))
    strips = np.zeros((len(edges[0]) - 1, len(edges[1]) - 1))
    for a, b in pairwise(cuts):
        cell = np.searchsorted(edges[0], (a + b) / 2) - 1
        strips[cell] += quad_vec(lambda t: source.strip_mass(np.eye(2), np.array([t]), low, high)[0], a, b)[0]
    assert_allclose(strips.ravel(), mass, rtol=1e-7, atol=1e-9)
    with pytest.raises(InputError, match="is cut along its own axes only"):
        source.strip_mass(np.array([[0.6, 0.8], [-0.8, 0.6]]), np.zeros(1), low, high)


@sources
def test_log_density_is_that_of_the_products(name: str) -> None:
    source, h = SOURCES[name](), 1e-4
    points = np.random.default_rng(1).uniform(-1.7, 1.7, size=(12, 2))
    for point, density in zip(points, source.density(points).T, strict=True):
        edges = tuple(np.array([u - h, u + h]) for u in point)
        mass = source.cell_integrals(edges, np.eye(2), np.zeros((2, 2)), point).mass[:, 0]
        assert_allclose(density, mass / (2 * h) ** 2, rtol=1e-6, atol=1e-12)
    assert source.log_density(points).shape == (source.n_classes, 12)


@sources
def test_sampled_cells_have_the_moments_of_the_cell(name: str) -> None:
    source, rng, count = SOURCES[name](), np.random.default_rng(4), 20_000
    cells = PlaneCells.from_edges(EDGES, np.eye(2))
    # two rectangles that touch share the letter 0
    cells = PlaneCells(EDGES, np.eye(2), np.maximum(cells.letters - 1, 0))
    found = source.cell_integrals(EDGES, np.eye(2), np.zeros((2, 2)), np.zeros(2))
    mass, first, second = (np.tensordot(np.asarray(source.priors), part, axes=1) for part in found)
    mass, second = cells.gather(mass), cells.gather(second)
    first = np.stack([cells.gather(first[:, k]) for k in (0, 1)], axis=1)
    for letter in np.flatnonzero(mass > 1e-9):
        drawn = source.sample_cells(cells, np.full(count, letter), rng)
        assert np.all(cells.locate(drawn) == letter)
        for k in (0, 1):
            tolerance = 5 * drawn[:, k].std() / math.sqrt(count)
            assert_allclose(drawn[:, k].mean(), first[letter, k] / mass[letter], rtol=0, atol=tolerance)
        square = (drawn**2).sum(axis=1)
        assert_allclose(square.mean(), second[letter] / mass[letter], rtol=0, atol=5 * square.std() / math.sqrt(count))
    mixed = rng.choice(np.flatnonzero(mass > 1e-9), size=500)
    assert np.array_equal(cells.locate(source.sample_cells(cells, mixed, rng)), mixed)


@sources
@maps
def test_bounds_leave_little_outside(name: str, way: str) -> None:
    source, (matrix, covariance, _) = SOURCES[name](), observation(way)
    inside = tuple(np.array(ends) for ends in source.bounds(matrix, covariance))
    mass = source.cell_integrals(inside, matrix, covariance, np.zeros(2)).mass
    assert np.all(mass > 1 - 1e-5)


@sources
def test_a_source_is_built_again_from_its_specification(name: str) -> None:
    source = SOURCES[name]()
    again = build("source", source.specification())
    assert (again, hash(again)) == (source, hash(source))


def test_a_pair_is_written_with_both_of_its_sources() -> None:
    specification = laplace_and_uniform().specification()
    assert (specification["kind"], specification["first"]["kind"]) == ("independent_pair", "laplace")
    assert list(specification) == ["kind", "first", "second"]


LINE: LineMixture = GaussianMixture(PRIORS, (0.0, 1.0))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((LINE, TableSource((0.6, 0.4), ((1.0,), (1.0,)))), "second must be a mixture on the line (GaussianMixture,"),
        ((None, LINE), "first must be a mixture on the line"),
        ((blocks(), LINE), "first must be a mixture on the line (GaussianMixture, LaplaceMixture, UniformMixture or"),
        ((LINE, GaussianMixture((0.5, 0.5), (0, 1))), "first has (0.6, 0.4), second has (0.5, 0.5)"),
        ((LINE, GaussianMixture((1.0,), (0,))), "first and second must have the same priors"),
    ],
)
def test_a_pair_refuses(arguments: tuple[object, object], message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        IndependentPair(*arguments)


@pytest.mark.parametrize(
    ("matrix", "covariance"),
    [
        ([[1.0, 1.0]], [[0.0]]),
        ([[1.0, 0.0], [1.0, 0.0]], np.eye(2)),
        ([[1.0, 0.0], [0.0, 0.0]], np.eye(2)),
        (np.eye(2), [[1.0, 0.5], [0.5, 1.0]]),
    ],
)
def test_maps_that_mix_coordinates_are_refused(matrix: object, covariance: object) -> None:
    with pytest.raises(InputError, match="has exact integrals only where every coordinate of Y sees one coordinate"):
        blocks().cell_integrals(EDGES[: len(matrix)], np.array(matrix), np.array(covariance), np.zeros(2))
