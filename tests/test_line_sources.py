"""Uniform, Laplace, histogram and density sources: one set of laws, tails to 700 digits, refusals."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise

import numpy as np
import pytest
from flint import arb, ctx
from numpy.testing import assert_allclose
from scipy.integrate import quad_vec
from scipy.special import ndtr

from cdp_toy.errors import InputError
from cdp_toy.pieces import build
from cdp_toy.sources import (
    DensitySource,
    GaussianMixture,
    Histogram,
    Histogram2D,
    LaplaceMixture,
    LineSource,
    UniformMixture,
    histogram_source,
)
from cdp_toy.sources.tails import tail_integrals

INF = math.inf
EDGES = np.array([-INF, -2.5, -1.0, 0.3, 0.8, 2.0, INF])


def normal(mean: float, std: float) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: np.exp(-(((x - mean) / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi))


def samples_with_labels(dim: int = 1) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    labels = (rng.random(3000) < 0.3).astype(int)
    return rng.normal(size=(3000, dim)) + 2 * labels[:, None] - 1, labels


#: name -> source. To put a new line source under every law, add it here.
SOURCES: dict[str, Callable[[], LineSource]] = {
    "uniform": lambda: UniformMixture((0.7, 0.3), (-2.0, 0.0), (1.0, 2.0)),
    "touching": lambda: UniformMixture((0.5, 0.5), ((-1, 0.3), (0.3,)), ((0.3, 1), (2,)), ((0.9, 0.1), (1,))),
    "overlapping": lambda: UniformMixture((0.2, 0.8), ((-3, -1, -1), (-1.5,)), ((0.5, 0.3, 0.3), (4,))),
    "narrow_and_wide": lambda: UniformMixture((0.4, 0.6), ((0.299, -6), (0.79,)), ((0.301, 6), (0.8,))),
    "empty_class": lambda: UniformMixture((0.6, 0.4, 0.0), (-1, 0, 5), (0, 1, 6)),
    "laplace": lambda: LaplaceMixture((0.7, 0.3), (-1.0, 1.0)),
    "laplace_scales": lambda: LaplaceMixture((0.5, 0.5), ((0.3, -2), (0.8,)), ((0.02, 0.5), (2,)), ((0.2, 0.8), (1,))),
    "histogram": lambda: Histogram((0.6, 0.4), (-3, -1, 0, 0.3, 4), ((0.1, 0.9, 0, 0), (0, 0.2, 0, 0.8))),
    "one_bin": lambda: Histogram((1.0,), (-1.0, 2.0), ((1.0,),)),
    "of_samples": lambda: histogram_source(*samples_with_labels()),
    "density": lambda: DensitySource(
        (0.3, 0.7), (lambda x: np.maximum(1 - np.abs(x), 0), normal(0.5, 0.8)), breakpoints=(-1, 0, 1)
    ),
    "density_on_an_interval": lambda: DensitySource((1.0,), (lambda x: 0.5 / np.sqrt(x),), (0.0, 1.0)),
    "density_on_a_half_line": lambda: DensitySource(
        (0.5, 0.5), (lambda x: np.exp(-x - 1), lambda x: (x + 1) * np.exp(-x - 1)), (-1.0, INF)
    ),
}

sources = pytest.mark.parametrize("name", SOURCES)
noises = pytest.mark.parametrize("noise_std", [0.0, 0.05, 0.6, 30.0])


def refused(message: str) -> pytest.RaisesExc:
    return pytest.raises(InputError, match=re.escape(message))


def kinks(source: LineSource) -> list[float]:
    """Where a density jumps or bends."""
    means = (m for row in getattr(source, "means", ()) for m in row)
    return [*source.breakpoints, *getattr(source, "support", ()), *means]


def by_quadrature(source: LineSource, noise_std: float) -> np.ndarray:
    """Integrals of 1, x, x^2 over the cells, shape (3, K, n): adaptive quadrature of p(x | c) P(x + noise in cell)."""
    low, high = source.bounds(n_std=12.0)

    def integrand(x: float) -> np.ndarray:
        below = (x <= EDGES).astype(float) if noise_std == 0 else ndtr((EDGES - x) / noise_std)
        return x ** np.arange(3)[:, None, None] * source.density(np.array([x])) * np.diff(below)

    steps = np.arange(-8, 9, 2) * noise_std
    marks = [*filter(math.isfinite, kinks(source)), *np.add.outer(EDGES[1:-1], steps).ravel()]
    inner = sorted({m for m in marks if low < m < high})
    return quad_vec(integrand, low, high, points=inner, epsabs=1e-13, epsrel=1e-12, norm="max", limit=4000)[0]


@sources
@noises
def test_cell_integrals_agree_with_quadrature(name: str, noise_std: float) -> None:
    source = SOURCES[name]()
    used = np.array(source.priors) > 0
    for exact, expected in zip(source.cell_integrals(EDGES, noise_std), by_quadrature(source, noise_std), strict=True):
        assert_allclose(exact[used], expected[used], rtol=1e-9, atol=1e-11)


@sources
@noises
def test_totals_do_not_depend_on_the_noise(name: str, noise_std: float) -> None:
    source = SOURCES[name]()
    everything = source.cell_integrals([-INF, INF])
    cells = source.cell_integrals(EDGES, noise_std)
    assert np.all((cells.mass >= 0) & (cells.mass <= 1 + 1e-15))
    assert_allclose(cells.mass.sum(axis=1), 1.0, rtol=1e-11)
    for whole, parts in zip(everything, cells, strict=True):
        assert_allclose(parts.sum(axis=1), whole[:, 0], rtol=1e-10, atol=1e-10)


@sources
@noises
def test_splitting_a_cell_splits_its_integrals(name: str, noise_std: float) -> None:
    source = SOURCES[name]()
    coarse, fine = source.cell_integrals(EDGES[::2], noise_std), source.cell_integrals(EDGES, noise_std)
    for whole, parts in zip(coarse, fine, strict=True):
        assert_allclose(whole, parts.reshape(source.n_classes, -1, 2).sum(axis=-1), rtol=1e-10, atol=1e-10)


@sources
@noises
def test_moments_about_a_centre_are_those_of_the_shifted_variable(name: str, noise_std: float) -> None:
    source, centre = SOURCES[name](), np.array([-3.0, -1.5, 0.0, 0.5, 1.0, 2.5])
    plain, about = source.cell_integrals(EDGES, noise_std), source.cell_integrals(EDGES, noise_std, centre)
    assert_allclose(about.mass, plain.mass, rtol=1e-10, atol=1e-12)
    assert_allclose(about.first, plain.first - centre * plain.mass, atol=1e-11)
    assert_allclose(about.second, plain.second - 2 * centre * plain.first + centre**2 * plain.mass, atol=1e-10)


@sources
@pytest.mark.parametrize("noise_std", [0.0, 0.7])
def test_density_is_the_derivative_of_the_mass(name: str, noise_std: float) -> None:
    source, h = SOURCES[name](), 1e-4
    x = np.array([t for t in np.linspace(-4, 4, 23) if all(abs(t - k) > 2 * h for k in kinks(source))])
    mass = np.hstack([source.cell_integrals([t - h, t + h], noise_std).mass for t in x])
    assert_allclose(source.density(x, noise_std), mass / (2 * h), rtol=1e-4, atol=1e-9)


@sources
def test_bounds_leave_little_outside(name: str) -> None:
    source = SOURCES[name]()
    for noise_std in (0.0, 0.5, 20.0):
        low, high = source.bounds(noise_std)
        used = np.array(source.priors) > 0
        outside = source.cell_integrals([-INF, low, high, INF], noise_std).mass[used][:, [0, 2]]
        assert outside.max() < 1e-6
        wider = source.bounds(noise_std, n_std=8.0)
        assert wider[0] <= low < high <= wider[1]


@sources
def test_samples_have_the_moments_of_the_classes(name: str) -> None:
    source, rng, count = SOURCES[name](), np.random.default_rng(3), 60_000
    classes, x = source.sample(count, rng)
    whole = source.cell_integrals([-INF, INF])
    for c, prior in enumerate(source.priors):
        mine = x[classes == c]
        assert abs(len(mine) / count - prior) <= 5 * math.sqrt(prior * (1 - prior) / count)
        for k, exact in ((1, whole.first), (2, whole.second)):
            if len(mine):
                tolerance = 5 * (mine**k).std() / math.sqrt(len(mine))
                assert_allclose((mine**k).mean(), exact[c, 0], rtol=0, atol=tolerance)


@sources
def test_sampled_cells_have_the_moments_of_the_cell(name: str) -> None:
    source, rng, count = SOURCES[name](), np.random.default_rng(0), 20_000
    cells, priors = source.cell_integrals(EDGES), np.array(source.priors)
    for j, (a, b) in enumerate(pairwise(EDGES)):
        mass = priors @ cells.mass[:, j]
        if mass < 1e-12:
            continue
        drawn = source.sample_cells(np.full(count, a), np.full(count, b), rng)
        assert np.all((drawn >= a) & (drawn <= b))
        for k, exact in ((1, cells.first), (2, cells.second)):
            tolerance = 5 * (drawn**k).std() / math.sqrt(count)
            assert_allclose((drawn**k).mean(), priors @ exact[:, j] / mass, rtol=0, atol=tolerance)


@sources
def test_a_source_is_built_again_from_its_specification(name: str) -> None:
    source = SOURCES[name]()
    if isinstance(source, DensitySource):
        assert not source.exact
        with refused("a DensitySource holds a function and cannot be written to a file"):
            source.specification()
    else:
        again = build("source", source.specification())
        assert (again, hash(again)) == (source, hash(source))
        assert source.exact


def test_breakpoints_are_the_ends_of_intervals_with_mass() -> None:
    assert SOURCES["touching"]().breakpoints == (-1.0, 0.3, 1.0, 2.0)
    assert SOURCES["histogram"]().breakpoints == (-3.0, -1.0, 0.0, 0.3, 4.0)
    assert Histogram((1.0,), (0, 1, 2, 3, 4), ((0, 0.5, 0.5, 0),)).breakpoints == (1.0, 2.0, 3.0)
    assert SOURCES["laplace"]().breakpoints == ()


def test_touching_intervals_count_their_common_end_once() -> None:
    source = UniformMixture((1.0,), ((0.0, 1.0),), ((1.0, 3.0),))
    assert source.density([-0.1, 0.0, 1.0, 2.0, 3.0, 3.1])[0].tolist() == [0.0, 0.5, 0.25, 0.25, 0.25, 0.0]


# tails, and noise far below and above the width, to 700 digits


@pytest.fixture
def many_digits() -> None:
    before, ctx.dps = ctx.dps, 700
    yield
    ctx.dps = before


def upper_tail(z: arb) -> arb:
    return (z / arb(2).sqrt()).erfc() / 2


def bell(z: arb) -> arb:
    return (-z * z / 2).exp() / (2 * arb.pi()).sqrt()


def uniform_cumulatives(t: arb, s: arb) -> list[arb]:
    """E[X^k; Y <= t], X uniform on (0, 1): iterated integrals of the normal cdf."""
    out = [arb(0)] * 3
    for sign, end in ((1, arb(0)), (-1, arb(1))):
        z = (t - end) / s
        k0, k = upper_tail(-z), [bell(z)]
        k.append(z * k0 + k[0])
        k.append((z * k[1] + k0) / 2)
        k.append((z * k[2] + k[1]) / 3)
        terms = (s * k[1], s * end * k[1] + s**2 * k[2], s * end**2 * k[1] + 2 * s**2 * end * k[2] + 2 * s**3 * k[3])
        out = [total + sign * term for total, term in zip(out, terms, strict=True)]
    return out


def laplace_cumulatives(t: arb, s: arb) -> list[arb]:
    """E[X^k; Y <= t], X Laplace with mean 0 and scale 1: by parts in either half."""

    def right_half(t: arb) -> list[arb]:
        mean, factor = t - s * s, (-t + s * s / 2).exp()
        t0, density = upper_tail(-mean / s), s * bell(mean / s)
        t1, t2 = mean * t0 + density, (mean * mean + s * s) * t0 + mean * density
        cuts = (t0, t1 + t0, t2 + 2 * t1 + 2 * t0)
        return [f * upper_tail(-t / s) - factor * cut for f, cut in zip((1, 1, 2), cuts, strict=True)]

    right, left = right_half(t), right_half(-t)
    return [(right[k] + (-1) ** k * (f - left[k])) / 2 for k, f in enumerate((1, 1, 2))]


def test_tail_integrals_are_accurate_in_relative_terms(many_digits: None) -> None:
    z = np.concatenate([np.linspace(0, 6, 121), [10.0, 38.0, 150.0]])
    found = np.array(tail_integrals(z))
    for at, column in zip(z, found.T, strict=True):
        t = arb(at)
        exact = [upper_tail(t) / bell(t)]
        exact.append(1 - t * exact[0])
        exact.append((exact[0] - t * exact[1]) / 2)
        exact.append((exact[1] - t * exact[2]) / 3)
        assert_allclose(column, [float(k.mid()) for k in exact], rtol=4e-14)
    assert np.array(tail_integrals(np.array([INF, 1e200])))[:, 0].tolist() == [0.0] * 4


def test_variances_survive_little_noise_on_a_laplace_law(many_digits: None) -> None:
    rng, source = np.random.default_rng(2), LaplaceMixture((1.0,), (0.0,))
    for _ in range(60):
        s = 10 ** rng.uniform(-8, 0)
        low = (10 * s + s * s + rng.uniform(0, 20)) * (1 + rng.random())
        high = low + s * rng.uniform(1, 5)
        low, high = rng.choice([(low, high), (-high, -low)])
        mass, first, second = (
            b - a for a, b in zip(*(laplace_cumulatives(arb(t), arb(s)) for t in (low, high)), strict=True)
        )
        mean = arb(float((first / mass).mid()))
        found = source.cell_integrals([low, high], s, float(mean.mid()))
        assert_allclose(found.mass[0, 0], float(mass.mid()), rtol=1e-13)
        assert_allclose(
            found.second[0, 0],
            float((second - 2 * mean * first + mean * mean * mass).mid()),
            rtol=max(1e-12, 1e-14 / s),
        )


@pytest.mark.parametrize(
    ("source", "cumulatives", "smallest"),
    [
        (UniformMixture((1.0,), (0.0,), (1.0,)), uniform_cumulatives, -8),
        (LaplaceMixture((1.0,), (0.0,)), laplace_cumulatives, -1),
    ],
    ids=["uniform", "laplace"],
)
def test_cells_are_accurate_in_relative_terms(
    source: LineSource, cumulatives: Callable[[arb, arb], list[arb]], smallest: int, many_digits: None
) -> None:
    rng, tried = np.random.default_rng(0), 0
    for _ in range(300):
        s = 10 ** rng.uniform(smallest, 6)
        low = rng.choice([0.0, 1.0]) + rng.choice([s, 1.0]) * rng.uniform(-30, 30)
        high = low + max(s, rng.choice([0.0, 1.0])) * 10 ** rng.uniform(0, 1.5)
        mass, first, second = (b - a for a, b in zip(*(cumulatives(arb(t), arb(s)) for t in (low, high)), strict=True))
        if not mass > 1e-290:
            continue
        tried += 1
        mean = arb(float((first / mass).mid()))
        exact = [float(v.mid()) for v in (mass, first - mean * mass, second - 2 * mean * first + mean**2 * mass)]
        found = [float(part[0, 0]) for part in source.cell_integrals([low, high], s, float(mean.mid()))]
        spread = math.sqrt(exact[2] / exact[0])
        # 2e-13 is what the normal density itself loses at 30 standard deviations
        assert_allclose(found[0], exact[0], rtol=5e-13)
        assert abs(found[1] - exact[1]) <= 5e-13 * spread * exact[0]
        assert_allclose(found[2], exact[2], rtol=1e-12)
    assert tried > 100


def test_log_densities_are_accurate_in_relative_terms(many_digits: None) -> None:
    uniform, laplace = UniformMixture((1.0,), (0.0,), (1.0,)), LaplaceMixture((1.0,), (0.0,))
    rng = np.random.default_rng(1)
    for _ in range(200):
        std = 10 ** rng.uniform(-6, 6)
        place = rng.choice([1.0, std]) * rng.uniform(-30, 30)
        y, s = arb(place), arb(std)
        exact = (
            ((y + s * s / 2).exp() * upper_tail(y / s + s) + (s * s / 2 - y).exp() * upper_tail(s - y / s)) / 2
        ).log()
        if exact.is_finite():  # 700 digits are too few for exp(10^12)
            assert_allclose(laplace.log_density([place], std)[0, 0], float(exact.mid()), rtol=1e-14, atol=1e-14)
        if abs(place) < 30 * std:
            exact = (upper_tail((y - 1) / s) - upper_tail(y / s)).log()
            assert_allclose(uniform.log_density([place], std)[0, 0], float(exact.mid()), rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", ["uniform", "laplace", "histogram"])
def test_vanishing_noise_is_no_noise(name: str) -> None:
    source, edges = SOURCES[name](), np.array([-INF, -2.5, -1.5, -0.5, 0.5, 1.5, INF])
    centre = np.array([-3.0, -2.0, -1.0, 0.0, 1.0, 2.0])
    for some, none in zip(
        source.cell_integrals(edges, 1e-9, centre), source.cell_integrals(edges, 0, centre), strict=True
    ):
        assert_allclose(some, none, rtol=1e-8, atol=1e-13)
    assert_allclose(source.density(centre + 0.1, 1e-9), source.density(centre + 0.1), rtol=1e-8)


# mixtures


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(priors=(0.7, 0.4), lows=(0, 1), highs=(1, 2)), "priors must sum to 1; the sum is 1.1"),
        (dict(priors=(1,), lows=(0, 1), highs=(1, 2)), "lows has 2 entries for 1 priors"),
        (dict(priors=(1,), lows=0, highs=1), "lows is 0 for 1 priors; give one entry (or row) per class"),
        (dict(priors=(0.5, 0.5), lows=(0, 1), highs=1), "class 1, interval 0 reaches from 1.0 to 1.0"),
        (
            dict(priors=(1,), lows=((0, 3),), highs=((1, 2),)),
            "highs must exceed lows; class 0, interval 1 reaches from",
        ),
        (dict(priors=(1,), lows=(0,), highs=(INF,)), "highs, class 0 must be finite"),
        (dict(priors=(1,), lows=(math.nan,), highs=(1,)), "lows, class 0 must be finite"),
        (dict(priors=(1,), lows=((0, 1),), highs=((1, 2, 3),)), "highs, class 0: 3 numbers for 2 components"),
        (dict(priors=(1,), lows=((0, 1),), highs=2, weights=((0.5, 0.4),)), "weights of class 0 must sum to 1"),
    ],
)
def test_a_uniform_mixture_refuses(arguments: dict[str, object], message: str) -> None:
    with refused(message):
        UniformMixture(**arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(priors=(1,), means=(0,), scales=0), "scales must be positive; class 0 has (0.0,)"),
        (dict(priors=(0.7, 0.3), means=(0, 1), scales=(1, -1)), "scales must be positive; class 1 has (-1.0,)"),
        (dict(priors=(0.7, 0.3), means=(0,)), "means has 1 entries for 2 priors"),
        (dict(priors=(1,), means=(INF,)), "means, class 0 must be finite"),
        (dict(priors=(1,), means=((0, 1),), weights=((1.5, -0.5),)), "weights of class 0 must not be negative"),
    ],
)
def test_a_laplace_mixture_refuses(arguments: dict[str, object], message: str) -> None:
    with refused(message):
        LaplaceMixture(**arguments)


# histograms


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((1.0,), (0, 1, 1), ((0.5, 0.5),)), "edges must increase strictly; edges[1] is 1.0 and edges[2] is 1.0"),
        (((1.0,), (0,), ((),)), "edges has 1 entries; one bin needs two edges"),
        (((1.0,), (0, INF), ((1,),)), "edges must be finite; edges[1] is inf"),
        (((1.0,), (0, 1, 2), ((1.0,),)), "masses has shape (1, 1); expected (1, 2): a row for each of 1 priors"),
        (((0.5, 0.5), (0, 1), ((1.0,),)), "masses has shape (1, 1); expected (2, 1)"),
        (((1.0,), (0, 1, 2), ((0.5, 0.6),)), "masses, row 0, must sum to 1; the sum is 1.1"),
        (((1.0,), (0, 1, 2), ((1.5, -0.5),)), "masses must not be negative; masses[0, 1] is -0.5"),
        (((1.0,), (0, 1), (1.0,)), "masses must have 2 axis/axes, it has shape (1,)"),
    ],
)
def test_a_histogram_refuses(arguments: tuple[object, ...], message: str) -> None:
    with refused(message):
        Histogram(*arguments)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((1.0,), (0, 1), (0, 1, 0.5), [[[0.5, 0.5]]]), "edges_2 must increase strictly; edges_2[1] is 1.0"),
        (((1.0,), (0, 1), (0, 1), [[1.0]]), "masses must have 3 axis/axes, it has shape (1, 1)"),
        (((1.0,), (0, 1), (0, 1, 2), [[[1.0]]]), "masses has shape (1, 1, 1); expected (1, 1, 2): one table per prior"),
        (((1.0,), (0, 1), (0, 1, 2), [[[1.5, -0.5]]]), "masses must not be negative; masses[0, 0, 1] is -0.5"),
        (((1.0,), (0, 1), (0, 1, 2), [[[0.5, 0.4]]]), "masses, row 0, must sum to 1; the sum is 0.9"),
    ],
)
def test_a_histogram_of_the_plane_refuses(arguments: tuple[object, ...], message: str) -> None:
    with refused(message):
        Histogram2D(*arguments)


def test_histogram_of_samples_counts_them() -> None:
    samples, labels = samples_with_labels()
    source = histogram_source(samples, labels, bins=[-10, -1, 0, 2.5, 10])
    assert isinstance(source, Histogram)
    assert source.edges == (-10.0, -1.0, 0.0, 2.5, 10.0)
    assert_allclose(source.priors, np.bincount(labels) / len(labels))
    for c in (0, 1):
        counts, _ = np.histogram(samples[labels == c, 0], source.edges)
        assert_allclose(source.masses[c], counts / counts.sum())
    assert histogram_source(samples[:, 0], labels, 7, priors=(0.5, 0.5)).priors == (0.5, 0.5)
    assert np.all(np.isfinite(source.log_density(samples[:, 0])[labels, np.arange(len(labels))]))


def test_histogram_of_samples_in_the_plane_counts_them() -> None:
    samples, labels = samples_with_labels(dim=2)
    source = histogram_source(samples, labels, bins=(6, [-10, 0, 1, 10]))
    assert isinstance(source, Histogram2D)
    assert (len(source.edges_1), source.edges_2) == (7, (-10.0, 0.0, 1.0, 10.0))
    for c in (0, 1):
        mine = samples[labels == c]
        counts, *_ = np.histogram2d(*mine.T, bins=(source.edges_1, source.edges_2))
        assert_allclose(source.masses[c], counts / len(mine))
    assert np.array(histogram_source(samples, labels, bins=5).masses).shape == (2, 5, 5)
    assert np.array(histogram_source(samples, labels, bins=[-10, 0, 10, 20]).masses).shape == (2, 3, 3)
    assert np.array(histogram_source(samples, labels).masses).shape == (2, 15, 15)  # 2 * 3000^(1/4) = 14.8


def test_the_default_number_of_bins_is_that_of_numpy_up_to_a_cap() -> None:
    rng = np.random.default_rng(2)
    labels = np.zeros(500, dtype=int)
    normal_samples = rng.normal(size=500)
    for samples in (normal_samples, rng.random(500), 1e6 + rng.random(500) ** 3):
        source = histogram_source(samples, labels)
        assert isinstance(source, Histogram)
        assert len(source.edges) == len(np.histogram_bin_edges(samples, "auto"))
    core = histogram_source([0.0] * 499 + [1.0], labels)  # no spread between the quartiles
    assert isinstance(core, Histogram)
    assert len(core.edges) == 11
    outlier = histogram_source(np.append(normal_samples, 1e9), np.append(labels, 0))
    assert isinstance(outlier, Histogram)
    assert len(outlier.edges) == 65


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([0, 1, math.nan], [0, 0, 0]), "samples must be finite; samples[2] is nan"),
        ((np.zeros((4, 3)), [0] * 4), "samples has shape (4, 3); expected (N,) or (N, 1) on the line, (N, 2)"),
        (([1.0], [0]), "samples holds 1 point(s); a histogram needs at least two"),
        (([], []), "samples holds 0 point(s)"),
        (([2.0, 2.0], [0, 0]), "all samples are 2: there is no spread to cut into bins"),
        (([[1, 2], [1, 3]], [0, 0]), "all samples along an axis are 1"),
        (([0, 1, 2], [0, 0]), "labels has 2 entries for 3 samples; give one label per sample"),
        (([0, 1, 2], [0, 0, 2]), "labels: class 1 never occurs, class 2 does; number the classes 0, 1, ..."),
        (([0, 1, 2], [1, 1, 1]), "labels: class 0 never occurs"),
        (([0, 1, 2], [0, -1, 0]), "labels must be whole numbers from 0 on; labels[1] is -1"),
        (([0, 1, 2], [0, 0.5, 0]), "labels must be one row of class indices, whole numbers"),
        (([0, 1, 2], [0, 0, 0], [0.5, 1]), "bins from 0.5 to 1 leave 2 of 3 samples outside"),
        (([0, 1, 2], [0, 0, 0], 0), "bins must be a positive whole number or a sequence of edges, got 0"),
        (([0, 1, 2], [0, 0, 0], 2.5), "bins must be a positive whole number or a sequence of edges, got 2.5"),
        (([0, 1, 2], [0, 0, 0], "auto"), "bins must be a positive whole number or a sequence of edges, got 'auto'"),
        (([0, 1, 2], [0, 0, 0], [0, 0, 2]), "bins must increase strictly; bins[0] is 0.0 and bins[1] is 0.0"),
        (([0, 1, 2], [0, 0, 0], 2, (0.5, 0.5)), "masses has shape (1, 2); expected (2, 2)"),
        (([1.0, 1.0 + 2**-52], [0, 0], 9), "cannot be cut into 9 bins"),
    ],
)
def test_a_histogram_of_samples_refuses(arguments: tuple[object, ...], message: str) -> None:
    with refused(message):
        histogram_source(*arguments)


# densities


@pytest.mark.parametrize("noise_std", [0.0, 0.05, 0.6, 30.0])
def test_a_density_source_knows_its_error(noise_std: float) -> None:
    exact = GaussianMixture((0.7, 0.3), (-1.0, 1.0), (1.0, 0.5))
    source = DensitySource((0.7, 0.3), (normal(-1.0, 1.0), normal(1.0, 0.5)))
    cells, error = source.cell_integrals_with_error(EDGES, noise_std)
    for found, expected in zip(cells, exact.cell_integrals(EDGES, noise_std), strict=True):
        assert np.abs(found - expected).max() <= error
    assert 0 < error < 1e-10
    x = np.linspace(-6, 6, 25)
    assert_allclose(source.log_density(x, noise_std), exact.log_density(x, noise_std), rtol=1e-9, atol=1e-9)


def test_undeclared_jumps_cost_time_and_no_accuracy() -> None:
    exact = UniformMixture((0.7, 0.3), (-1.0, -1.0), (1.0, 2.0))
    source = DensitySource((0.7, 0.3), (lambda x: (abs(x) < 1) / 2, lambda x: ((x > -1) & (x < 2)) / 3))
    for noise_std in (0.0, 0.6):
        cells = source.cell_integrals(EDGES, noise_std)
        for found, expected in zip(cells, exact.cell_integrals(EDGES, noise_std), strict=True):
            assert_allclose(found, expected, atol=1e-11)
    # far outside, where only the noise reaches, in relative terms
    assert_allclose(source.log_density([9.0, -9.0], 0.3), exact.log_density([9.0, -9.0], 0.3), rtol=1e-9)


def test_a_density_that_misses_one_by_a_rounding_is_normalised() -> None:
    source = DensitySource((1.0,), (lambda x: 1.0000005 * normal(0, 1)(x),))
    assert_allclose(source.cell_integrals(EDGES).mass.sum(), 1.0, rtol=1e-12)
    assert_allclose(source.density([0.0])[0], 1 / math.sqrt(2 * math.pi), rtol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (((1.0,), normal(0, 1)), "densities must be a list of functions, one per class"),
        (((1.0,), (1.0,)), "densities must be a list of functions, one per class; got (1.0,)"),
        (((0.5, 0.5), (normal(0, 1),)), "densities has 1 entries for 2 priors; give one per class"),
        (
            ((1.0,), (normal(0, 1),), (1.0, 0.0)),
            "support must be an interval (low, high) with low < high, got (1.0, 0.0)",
        ),
        (((1.0,), (normal(0, 1),), 3.0), "support must be an interval (low, high), got 3.0"),
        (((1.0,), (normal(0, 1),), (0.0, math.nan)), "support must be an interval (low, high) with low < high"),
        (
            ((1.0,), (normal(0, 1),), (0.0, 1.0), (2.0,)),
            "breakpoints must lie inside of the support (0.0, 1.0), got [2.0]",
        ),
        (((1.0,), (normal(0, 1),), (-INF, INF), (INF,)), "breakpoints must be finite; breakpoints[0] is inf"),
        (((1.0,), (lambda x: 2 * normal(0, 1)(x),)), "is 2, not 1; divide the function by it"),
        (((1.0,), (normal(1000, 0.01),)), "is 0, not 1; divide the function by it, or where a narrow peak was missed"),
        (((1.0,), (lambda x: x,)), "densities, class 0: must be finite and not negative; at x = "),
        (((1.0,), (lambda x: np.where(x > 0, np.nan, 0.5),), (-1.0, 1.0)), "densities, class 0: must be finite"),
        (((1.0,), (lambda x: 1.0,)), "of shape (640,) to densities of the same shape; it returned shape ()"),
        (
            ((0.5, 0.5), (normal(0, 1), lambda x: 1 if x > 0 else 0)),
            "densities, class 1: the function failed on an array",
        ),
        (
            ((1.0,), (lambda x: 1 / (math.pi * (1 + x**2)),)),
            "class 0: the integral or the second moment does not settle",
        ),
    ],
)
def test_a_density_source_refuses(arguments: tuple[object, ...], message: str) -> None:
    with refused(message):
        DensitySource(*arguments)
