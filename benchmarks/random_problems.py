"""Random finite problems, nasty on purpose and reproducible by index."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

import cdp_toy as cdp

__all__ = ["PERCEPTIONS", "random_problem", "random_tables", "rng_of"]

Array = NDArray[np.float64]

#: A perception is drawn from this list; one that is new goes to its end.
PERCEPTIONS = (
    "kl", "reverse_kl", "tv", "hellinger_squared", "chi2", "reverse_chi2",
    "js", "w1", "w2_squared", "renyi:0.5", "renyi:2", "renyi:5",
)  # fmt: skip

#: First word of every seed.
SEED = 20190

MOST_LETTERS = 60

#: D - D_min in units of the largest distortion; 0 stands for D_min rounded to twelve digits.
OFFSETS = (0.0, 1e-9, 1e-7, 1e-5, 1e-3, 0.1, -1e-5, math.inf)


def rng_of(index: int) -> np.random.Generator:
    """Generator of the problem with this index."""
    return np.random.default_rng([SEED, index])


def random_problem(rng: np.random.Generator, perception: str | None = None) -> tuple[cdp.DiscreteProblem, float, float]:
    """Draw a problem and levels D and P, most of them at or near the boundary of what is feasible.

    Parameters
    ----------
    rng : numpy.random.Generator
        `rng_of(index)` for a problem that can be named.
    perception : str, optional
        In place of the one that is drawn.
    """
    problem, level = random_tables(rng, perception)
    offset = float(rng.choice(OFFSETS))
    if math.isinf(offset):
        return problem, math.inf, level
    least = cdp.min_distortion(problem, level).upper
    scale = float(np.abs(problem.distortion_cost.table()).max())
    return problem, float(f"{least:.12g}") if offset == 0 else least + offset * scale, level


def random_tables(rng: np.random.Generator, perception: str | None = None) -> tuple[cdp.DiscreteProblem, float]:
    """Draw a problem and a perception level; nothing is solved."""
    n_classes = int(rng.choice([2, 2, 3]))
    n_x, n_y = (round(math.exp(rng.uniform(math.log(2), math.log(MOST_LETTERS)))) for _ in range(2))
    if rng.random() < 0.2:
        n_y = n_x
    drawn = str(rng.choice(PERCEPTIONS))
    priors = _priors(rng, n_classes)
    laws = _laws(rng, n_classes, n_x)
    channel = _degradation(rng, n_x, n_y)
    places = _places(rng, n_x)
    classifier = rng.integers(n_classes, size=n_x) if rng.random() < 0.5 else np.arange(n_x) * n_classes // n_x
    if rng.random() < 0.3:  # letters that differ in nothing but, at times, their class
        for _ in range(int(rng.integers(1, 4))):
            one, other = rng.integers(n_x, size=2)
            laws[:, other], channel[other], places[other] = laws[:, one], channel[one], places[one]
            if rng.random() < 0.7:
                classifier[other] = classifier[one]
    laws, channel = _normalized(rng, laws), _normalized(rng, channel)
    name = drawn if perception is None else perception
    if name in ("w1", "w2_squared") and len(np.unique(places, axis=0)) < n_x:  # refused: it cannot tell letters apart
        name = "tv"
    problem = cdp.DiscreteProblem.from_tables(
        priors,
        laws,
        channel,
        classifier,
        distortion=_distortion(rng, n_x),
        perception=name,
        x_values=places,
        class_cost=_class_cost(rng, n_classes),
        name="random",
    )
    kind = rng.random()
    level = 0.0 if kind < 0.07 else math.inf if kind < 0.14 else 10 ** rng.uniform(-6, 0)
    return problem, level


def _priors(rng: np.random.Generator, n_classes: int) -> Array:
    kind = rng.random()
    if kind < 0.3:
        return np.full(n_classes, 1 / n_classes)
    if kind < 0.4:
        rare = np.full(n_classes, 1e-6)
        rare[0] = 1 - rare[1:].sum()
        return rare
    return np.asarray(rng.dirichlet(np.full(n_classes, 2.0)))


def _laws(rng: np.random.Generator, n_classes: int, n_x: int) -> Array:
    """Class-conditional laws: smooth, rough, sparse, tied, or with traces and zeros."""
    kind = rng.integers(5)
    if kind == 0:
        centre = rng.uniform(0, n_x, size=(n_classes, 1))
        laws = np.exp(-0.5 * ((np.arange(n_x) - centre) / rng.uniform(0.05, 0.5) / n_x) ** 2)
    elif kind == 1:
        laws = rng.dirichlet(np.ones(n_x), size=n_classes)
    elif kind == 2:
        laws = rng.dirichlet(np.full(n_x, 0.1), size=n_classes)
    elif kind == 3:
        laws = rng.integers(1, 4, size=(n_classes, n_x)).astype(float)
    else:
        laws = rng.dirichlet(np.ones(n_x), size=n_classes)
        laws[:, rng.random(n_x) < 0.2] = 1e-12
        laws[rng.random(laws.shape) < 0.2] = 0.0
    return np.asarray(np.where(laws < 1e-14, 0.0, laws))


def _degradation(rng: np.random.Generator, n_x: int, n_y: int) -> Array:
    """p(y|x): rough, banded, nearly or exactly deterministic, useless, or with traces."""
    kind = rng.integers(5)
    if kind == 0:
        table = rng.dirichlet(np.full(n_y, float(rng.choice([0.1, 1.0, 10.0]))), size=n_x)
    elif kind == 1:
        place = (np.arange(n_x)[:, None] + 0.5) / n_x - (np.arange(n_y) + 0.5) / n_y
        table = np.exp(-0.5 * (place / rng.uniform(0.03, 0.3)) ** 2)
    elif kind == 2:
        leak = float(rng.choice([0.0, 1e-12, 1e-6, 1e-2]))
        table = np.full((n_x, n_y), leak / n_y)
        table[np.arange(n_x), rng.integers(n_y, size=n_x)] += 1 - leak
    elif kind == 3:
        table = np.tile(rng.dirichlet(np.ones(n_y)), (n_x, 1))
    else:
        table = rng.dirichlet(np.ones(n_y), size=n_x)
        table[:, rng.random(n_y) < 0.3] = 1e-12
        table[rng.random(table.shape) < 0.3] = 0.0
    return np.asarray(np.where(table < 1e-16, 0.0, table))


def _normalized(rng: np.random.Generator, table: Array) -> Array:
    """Rows that sum to one; a row with next to nothing in it puts all on one letter."""
    table[table.sum(axis=1) < 1e-3, rng.integers(table.shape[1])] = 1.0
    return np.asarray(table / table.sum(axis=1, keepdims=True))


def _places(rng: np.random.Generator, n_x: int) -> Array:
    """Places of the letters on the line or in the plane, some coinciding, of very different scales."""
    dim = int(rng.choice([1, 2]))
    on_lattice = rng.random() < 0.3
    places = rng.integers(-4, 5, size=(n_x, dim)).astype(float) if on_lattice else rng.normal(size=(n_x, dim))
    if dim == 1:
        places = np.sort(places, axis=0)
    return np.asarray(places * float(rng.choice([1.0, 1.0, 1e-2, 1e2])))


def _distortion(rng: np.random.Generator, n_x: int) -> str | Array:
    kind = rng.random()
    if kind < 0.5:
        return "squared_error"
    if kind < 0.7:
        return "hamming"
    table = rng.integers(0, 4, size=(n_x, n_x)).astype(float) if kind < 0.85 else rng.random((n_x, n_x))
    np.fill_diagonal(table, 0.0)
    return np.asarray(table)


def _class_cost(rng: np.random.Generator, n_classes: int) -> Array | None:
    if rng.random() < 0.6:
        return None
    cost = rng.integers(0, 6, size=(n_classes, n_classes)).astype(float)
    np.fill_diagonal(cost, 0.0)
    return np.asarray(cost)
