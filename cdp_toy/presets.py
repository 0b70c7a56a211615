"""Ready problems: the paper's toy and two teaching companions."""

from __future__ import annotations

from collections.abc import Callable

from cdp_toy.classifiers import BayesClassifier, TableClassifier, ThresholdClassifier
from cdp_toy.degradations import AdditiveGaussian, binary_symmetric
from cdp_toy.errors import unknown_name
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import GaussianMixture, TableSource

__all__ = ["PRESETS", "binary_conflict", "from_name", "paper_toy", "three_classes"]


def paper_toy(threshold: float | None = None) -> CDPProblem:
    """Toy of the paper: classes N(-1, 1) and N(1, 1) with priors .7 and .3, Y = X + N(0, 1), MSE and KL.

    Parameters
    ----------
    threshold : float, optional
        Predefined classifier 1{x >= threshold}; the Bayes threshold for X, ln(7/3)/2 = .4236..., when left out.

    References
    ----------
    Liu, Zhang and Xiong, NeurIPS 2019, section 2.4 and Figures 1-2.

    Examples
    --------
    >>> paper_toy().name, paper_toy(threshold=0.0).name
    ('paper_toy', 'paper_toy, threshold 0')
    """
    return CDPProblem(
        source=GaussianMixture(priors=(0.7, 0.3), means=(-1.0, 1.0), stds=1.0),
        degradation=AdditiveGaussian(1.0),
        classifier=BayesClassifier() if threshold is None else ThresholdClassifier(threshold),
        name="paper_toy" if threshold is None else f"paper_toy, threshold {threshold:g}",
    )


def three_classes() -> CDPProblem:
    """Three classes on the line, the middle one itself a mixture, seen through Gaussian noise.

    >>> three_classes().source.n_classes
    3
    """
    return CDPProblem(
        source=GaussianMixture(
            priors=(0.4, 0.35, 0.25),
            means=((-2.0,), (-0.4, 0.6), (2.2,)),
            stds=((0.7,), (0.5, 0.5), (0.8,)),
            weights=((1.0,), (0.6, 0.4), (1.0,)),
        ),
        degradation=AdditiveGaussian(0.8),
        classifier=BayesClassifier(),
        name="three_classes",
    )


def binary_conflict() -> CDPProblem:
    """Binary toy whose three criteria conflict: each asks for another output law, and both levels have a price.

    X is a biased bit (25% ones) behind a binary symmetric channel. The predefined classifier was made for the opposite
    polarity: it takes 0 for the class that is rich in ones. So the least error inverts the observation (60% ones), the
    least Hamming distortion answers 0 throughout, and perception wants the 25% ones of the source back.

    A classifier of the right polarity would not do. On two letters error = constant + b distortion + c P(Xhat = 1) for
    every channel, with b > 0 exactly when the polarity is right; less distortion is then less error, and the two levels
    never bind together. Here b = -8/15, the price of distortion wherever they do.

    Examples
    --------
    >>> from cdp_toy import solve
    >>> point = solve(binary_conflict().discretize(), max_distortion=0.3, max_perception=0.05)
    >>> print(f"{point.upper_bound:.4f} {point.price_distortion:.3f} {point.price_perception:.3f}")
    0.5086 0.533 0.259
    """
    return CDPProblem(
        source=TableSource(priors=[0.5, 0.5], p_x_given_class=[[0.95, 0.05], [0.55, 0.45]]),
        degradation=binary_symmetric(0.3),
        classifier=TableClassifier([1, 0]),
        distortion="hamming",
        name="binary_conflict",
    )


PRESETS: dict[str, Callable[[], CDPProblem]] = {
    "paper-toy": paper_toy,
    "paper-toy-threshold-0": lambda: paper_toy(threshold=0.0),
    "three-classes": three_classes,
    "binary-conflict": binary_conflict,
}


def from_name(name: str) -> CDPProblem:
    """Return the preset of a command-line name.

    >>> from_name("paper-toy").name
    'paper_toy'
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]()
