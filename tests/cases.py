"""The catalogue the tests run over. To test a new divergence, source or problem under every law, add its line here."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from scipy.optimize import linprog
from scipy.special import rel_entr
from scipy.stats import wasserstein_distance

import cdp_toy as cdp

Law = np.ndarray


def over(numerator: Law, denominator: Law) -> Law:
    """Quotient with 0/0 = 0 and a/0 = inf."""
    safe = np.where(denominator == 0, 1.0, denominator)
    return np.where(denominator == 0, np.where(numerator == 0, 0.0, np.inf), numerator / safe)


def renyi(order: float) -> Callable[[Law, Law], float]:
    """Textbook Renyi divergence of an order."""

    def formula(p: Law, q: Law) -> float:
        p, q = p[p > 0], q[p > 0]
        with np.errstate(divide="ignore"):
            return np.log((p**order * q ** (1 - order)).sum()) / (order - 1)

    return formula


#: name -> textbook formula in the source law p and the output law q
PERCEPTIONS: dict[str, Callable[[Law, Law], float]] = {
    "kl": lambda p, q: rel_entr(p, q).sum(),
    "reverse_kl": lambda p, q: rel_entr(q, p).sum(),
    "tv": lambda p, q: np.abs(p - q).sum() / 2,
    "hellinger_squared": lambda p, q: 1 - np.sqrt(p * q).sum(),
    "chi2": lambda p, q: over((p - q) ** 2, q).sum(),
    "reverse_chi2": lambda p, q: over((q - p) ** 2, p).sum(),
    "js": lambda p, q: (rel_entr(p, (p + q) / 2).sum() + rel_entr(q, (p + q) / 2).sum()) / 2,
    "renyi:0.5": renyi(0.5),
    "renyi:2": renyi(2),
    "renyi:5": renyi(5),
}

#: name -> textbook formula in the two laws and the places of the letters on the line
TRANSPORTS: dict[str, Callable[[Law, Law, np.ndarray], float]] = {
    "w1": lambda p, q, x: wasserstein_distance(x, x, p, q),
    "w2_squared": lambda p, q, x: least_transport(p, q, (x[:, None] - x) ** 2),
}


def least_transport(p: Law, q: Law, cost: np.ndarray) -> float:
    """Optimal transport as the linear program that it is; the plan is the unknown."""
    n = len(p)
    sums = np.vstack([np.kron(np.eye(n), np.ones(n)), np.kron(np.ones(n), np.eye(n))])
    tight = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
    answer = linprog(cost.ravel(), A_eq=sums[:-1], b_eq=np.append(p, q)[:-1], options=tight)
    assert answer.status == 0, answer.message
    return float(answer.fun)


#: name -> continuous source
SOURCES: dict[str, Callable[[], cdp.GaussianMixture]] = {
    "paper_toy": lambda: cdp.GaussianMixture((0.7, 0.3), (-1.0, 1.0)),
    "one_class": lambda: cdp.GaussianMixture((1.0,), (0.5,), 2.0),
    "unequal_stds": lambda: cdp.GaussianMixture((0.5, 0.5), (0.0, 0.0), (1.0, 3.0)),
    "mixture_of_mixtures": lambda: cdp.presets.three_classes().source,
    "equal_weights": lambda: cdp.GaussianMixture((0.2, 0.8), ((-3.0, 0.0, 1.0), (2.0,)), 0.5),
    "empty_class": lambda: cdp.GaussianMixture((0.6, 0.4, 0.0), (-1.0, 1.0, 0.0)),
}

#: name -> problem and the arguments that make a small finite problem of it
PROBLEMS: dict[str, Callable[[], tuple[cdp.CDPProblem, dict[str, object]]]] = {
    "paper_toy": lambda: (cdp.presets.paper_toy(), {"n": 41}),
    "threshold_0": lambda: (cdp.presets.paper_toy(threshold=0.0), {"n": 41, "n_y": 60}),
    "points": lambda: (cdp.presets.paper_toy(), {"n": 41, "kind": "points"}),
    "wide_bounds": lambda: (cdp.presets.paper_toy(), {"n": 61, "bounds": (-20.0, 20.0)}),
    "narrow_bounds": lambda: (cdp.presets.paper_toy(), {"n": 21, "bounds": (1.0, 3.0)}),
    "three_classes": lambda: (cdp.presets.three_classes(), {"n": 41}),
    "three_classes_points": lambda: (cdp.presets.three_classes(), {"n": 30, "n_y": 25, "kind": "points"}),
    "identity": lambda: (cdp.CDPProblem(SOURCES["paper_toy"](), cdp.Identity(), cdp.BayesClassifier()), {"n": 21}),
    "two_boundaries": lambda: (
        cdp.CDPProblem(SOURCES["unequal_stds"](), cdp.AdditiveGaussian(0.5), cdp.BayesClassifier(), perception="tv"),
        {"n": 35},
    ),
    "empty_class": lambda: (
        cdp.CDPProblem(SOURCES["empty_class"](), cdp.AdditiveGaussian(1.0), cdp.BayesClassifier()),
        {"n": 25},
    ),
    "class_cost": lambda: (
        cdp.CDPProblem(
            SOURCES["paper_toy"](),
            cdp.AdditiveGaussian(1.0),
            cdp.BayesClassifier(),
            class_cost=np.array([[0.0, 1.0], [5.0, 0.0]]),
        ),
        {"n": 31},
    ),
    "binary_conflict": lambda: (cdp.presets.binary_conflict(), {}),
    "letters_in_noise": lambda: (
        cdp.CDPProblem(
            cdp.TableSource([0.7, 0.3], [[0.5, 0.4, 0.1], [0.0, 0.2, 0.8]], [-1.0, 0.0, 2.0]),
            cdp.AdditiveGaussian(0.7),
            cdp.ThresholdClassifier(1.0),
        ),
        {"n": 30},
    ),
}


def _samples(dim: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(5)
    labels = (rng.random(600) < 0.4).astype(int)
    x = rng.normal(size=(600, 2)) + np.where(labels, 0.9, -0.7)[:, None]
    return (x[:, 0] if dim == 1 else x), labels


def _histogram(dim: int) -> cdp.Histogram | cdp.Histogram2D:
    samples, labels = _samples(dim)
    return cdp.histogram_source(samples, labels, bins=12 if dim == 1 else 5)


def _bump(centre: float) -> Callable[[np.ndarray], np.ndarray]:
    """Raised cosine on [centre - 2, centre + 2]."""
    return lambda x: np.where(np.abs(x - centre) < 2, (1 + np.cos(np.pi * (x - centre) / 2)) / 4, 0.0)


_LINE = cdp.GaussianMixture((0.7, 0.3), (-1.0, 1.0))
_PLANE = cdp.presets.plane_toy().source
_PAIR = cdp.IndependentPair(
    cdp.GaussianMixture((0.7, 0.3), (-1.0, 1.0)), cdp.LaplaceMixture((0.7, 0.3), (0.0, 0.5), 0.6)
)

#: name -> model with continuous X, and the arguments that make a small finite problem of it
MODELS: dict[str, Callable[[], tuple[cdp.CDPProblem, dict[str, object]]]] = {
    "uniform": lambda: (
        cdp.CDPProblem(
            cdp.UniformMixture((0.5, 0.5), (-2.0, -0.5), (0.5, 2.5)), cdp.AdditiveGaussian(0.5), cdp.BayesClassifier()
        ),
        {"n": 21},
    ),
    "laplace": lambda: (
        cdp.CDPProblem(
            cdp.LaplaceMixture((0.6, 0.4), (-1.0, 1.0), 0.8), cdp.AdditiveGaussian(0.7), cdp.ThresholdClassifier(0.2)
        ),
        {"n": 21},
    ),
    "histogram": lambda: (
        cdp.CDPProblem(_histogram(1), cdp.AdditiveGaussian(0.6), cdp.ThresholdClassifier(0.0)),
        {"n": 21},
    ),
    "density": lambda: (
        cdp.CDPProblem(
            cdp.DensitySource((0.6, 0.4), (_bump(-0.8), _bump(0.8)), (-2.8, 2.8)),
            cdp.AdditiveGaussian(0.6),
            cdp.ThresholdClassifier(0.1),
        ),
        {"n": 15},
    ),
    "quantized": lambda: (
        cdp.CDPProblem(_LINE, cdp.UniformQuantizer(-3.0, 3.0, 8), cdp.BayesClassifier()),
        {"n": 21},
    ),
    "erased": lambda: (
        cdp.CDPProblem(_LINE, cdp.Erasure(0.3, cdp.AdditiveGaussian(0.8)), cdp.BayesClassifier()),
        {"n": 21},
    ),
    "erased_identity": lambda: (cdp.CDPProblem(_LINE, cdp.Erasure(0.5), cdp.BayesClassifier()), {"n": 15}),
    "magnitude": lambda: (
        cdp.CDPProblem(
            _LINE, cdp.DeterministicMap([2, 1, 0, 1, 2], [-1.5, -0.5, 0.5, 1.5]), cdp.ThresholdClassifier(0.0)
        ),
        {"n": 21},
    ),
    "callable_line": lambda: (
        cdp.CDPProblem(
            _LINE,
            cdp.AdditiveGaussian(1.0),
            cdp.CallableClassifier(lambda points: (np.abs(points[:, 0]) < 1.2).astype(int)),
        ),
        {"n": 21},
    ),
    "plane_toy": lambda: (cdp.presets.plane_toy(), {"n": 7}),
    "plane_curved": lambda: (cdp.presets.plane_curved(), {"n": (7, 6), "n_y": 6}),
    "inpainting": lambda: (cdp.presets.inpainting(), {"n": (6, 7), "n_y": 9}),
    "plane_quadratic": lambda: (
        cdp.CDPProblem(
            _PLANE,
            cdp.blur(0.2, 0.7),
            cdp.QuadraticClassifier([np.zeros((2, 2)), -np.eye(2)], np.zeros((2, 2)), [0.0, 1.5]),
        ),
        {"n": 6, "n_y": 5, "bounds": ((-4.0, 4.0), (-4.0, 4.0))},
    ),
    "plane_identity": lambda: (cdp.CDPProblem(_PLANE, cdp.Identity(), cdp.BayesClassifier()), {"n": 6}),
    "plane_quantized": lambda: (
        cdp.CDPProblem(_PLANE, cdp.UniformQuantizer(-2.5, 2.5, 5), cdp.LinearClassifier((1.0, 0.0), -0.2)),
        {"n": 6},
    ),
    "plane_erased": lambda: (
        cdp.CDPProblem(_PLANE, cdp.Erasure(0.2, cdp.drop_coordinate(0, 0.5)), cdp.LinearClassifier((1.0, 1.0))),
        {"n": 6},
    ),
    "three_classes_in_the_plane": lambda: (
        cdp.CDPProblem(
            cdp.GaussianMixture2D(
                (0.4, 0.3, 0.3),
                [[(-1.5, 0.0), (-0.5, 1.0)], [(1.0, 1.0)], [(0.5, -1.2)]],
                0.5,
                [(0.6, 0.4), (1,), (1,)],
            ),
            cdp.AdditiveGaussian(0.6),
            cdp.BayesClassifier(),
            perception="tv",
        ),
        {"n": 6},
    ),
    "callable_in_the_plane": lambda: (
        cdp.CDPProblem(
            _PLANE,
            cdp.AdditiveGaussian(0.8),
            cdp.CallableClassifier(lambda points: (points[:, 0] > np.sin(points[:, 1])).astype(int)),
        ),
        {"n": 6},
    ),
    "histogram_2d": lambda: (
        cdp.CDPProblem(_histogram(2), cdp.AdditiveGaussian(0.5), cdp.LinearClassifier((1.0, 0.6))),
        {"n": 7, "n_y": 6},
    ),
    "independent_pair": lambda: (
        cdp.CDPProblem(
            _PAIR, cdp.LinearGaussian(np.eye(2), np.diag([1.0, 0.3])), cdp.LinearClassifier((1.0, 0.0), 0.3)
        ),
        {"n": 7},
    ),
}


def model_problem(name: str) -> cdp.DiscreteProblem:
    """Small finite problem of a continuous model."""
    problem, arguments = MODELS[name]()
    return problem.discretize(**arguments)


def finite_problem(name: str) -> cdp.DiscreteProblem:
    """Small finite problem of the catalogue."""
    problem, arguments = PROBLEMS[name]()
    return problem.discretize(**arguments)


def small(p_x: Any = (0.3, 0.4, 0.3), perception: str = "kl", **changes: Any) -> cdp.DiscreteProblem:
    """Three letters, or as many as there are masses, seen through a channel that mixes all of them."""
    n = len(p_x)
    tables: dict[str, Any] = dict(
        priors=[1.0],
        p_x_given_class=[list(p_x)],
        p_y_given_x=0.5 * np.eye(n) + 0.5 / n,
        classifier=[0] * n,
        x_values=np.arange(n) / n,
        perception=perception,
    )
    return cdp.DiscreteProblem.from_tables(**(tables | changes))
