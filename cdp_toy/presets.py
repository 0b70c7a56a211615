"""Ready problems: the paper's toy, two teaching companions on the line, three toys in the plane."""

from __future__ import annotations

from collections.abc import Callable

from cdp_toy.classifiers import BayesClassifier, LinearClassifier, TableClassifier, ThresholdClassifier
from cdp_toy.degradations import AdditiveGaussian, LinearGaussian, binary_symmetric, drop_coordinate
from cdp_toy.errors import unknown_name
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import GaussianMixture, GaussianMixture2D, TableSource

__all__ = [
    "PRESETS",
    "binary_conflict",
    "from_name",
    "inpainting",
    "paper_toy",
    "plane_curved",
    "plane_toy",
    "three_classes",
]


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


def plane_toy() -> CDPProblem:
    """Two classes in the plane with a linear classifier: the paper's toy with a second, correlated coordinate.

    The classes are Gaussians with one full covariance, the noise is isotropic, and the predefined line is not the Bayes
    line of X, so that error, distortion and perception all have a price.

    >>> plane_toy().discretize(n=8).shape
    (64, 64)
    """
    return CDPProblem(
        source=GaussianMixture2D(
            priors=(0.7, 0.3), means=[(-1.0, 0.2), (1.0, -0.2)], covariances=[[1.0, 0.5], [0.5, 0.8]]
        ),
        degradation=AdditiveGaussian(1.0),
        classifier=LinearClassifier(normal=(1.0, 0.25), threshold=0.25),
        name="plane_toy",
    )


def plane_curved() -> CDPProblem:
    """Two classes in the plane with different covariances: the Bayes boundary of X is an ellipse; correlated noise.

    >>> plane_curved().degradation.covariance
    ((0.3, 0.12), (0.12, 0.25))
    """
    return CDPProblem(
        source=GaussianMixture2D(
            priors=(0.6, 0.4),
            means=[(-0.7, 0.0), (0.9, 0.4)],
            covariances=[[[1.5, 0.4], [0.4, 1.2]], [[0.3, -0.08], [-0.08, 0.4]]],
        ),
        degradation=LinearGaussian([[1.0, 0.0], [0.0, 1.0]], [[0.3, 0.12], [0.12, 0.25]]),
        classifier=BayesClassifier(),
        name="plane_curved",
    )


def inpainting() -> CDPProblem:
    """An inpainting toy: the second of two correlated coordinates is lost, the first is seen through a little noise.

    A restoration must invent the lost coordinate: the least distortion leaves it at its conditional mean, on a curve
    that has no density in the plane, and perception asks for the spread back.

    >>> inpainting().discretize(n=(8, 8), n_y=12).shape
    (12, 64)
    """
    return CDPProblem(
        source=GaussianMixture2D(
            priors=(0.6, 0.4), means=[(-0.8, -0.8), (0.8, 0.8)], covariances=[[1.0, 0.6], [0.6, 1.0]]
        ),
        degradation=drop_coordinate(1, std=0.3),
        classifier=LinearClassifier(normal=(0.5, 1.0), threshold=0.8),
        name="inpainting",
    )


def _paper_toy_threshold_0() -> CDPProblem:
    """Toy of the paper with the predefined classifier 1{x >= 0} in place of the Bayes threshold."""
    return paper_toy(threshold=0.0)


PRESETS: dict[str, Callable[[], CDPProblem]] = {
    "paper-toy": paper_toy,
    "paper-toy-threshold-0": _paper_toy_threshold_0,
    "three-classes": three_classes,
    "binary-conflict": binary_conflict,
    "plane-toy": plane_toy,
    "plane-curved": plane_curved,
    "inpainting": inpainting,
}


def from_name(name: str) -> CDPProblem:
    """Return the preset of a command-line name.

    >>> from_name("paper-toy").name
    'paper_toy'
    """
    if name not in PRESETS:
        raise unknown_name("preset", name, PRESETS)
    return PRESETS[name]()
