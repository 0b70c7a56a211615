"""When an optimal restoration is a monotone map: the conditions of the reduction, checked one by one."""

from __future__ import annotations

from typing import NamedTuple, cast

import numpy as np

from cdp_toy.classifiers import Regions
from cdp_toy.closed_forms.observed_mixture import observed, rising_class
from cdp_toy.distortions import SquaredError, distortion_from
from cdp_toy.errors import InputError
from cdp_toy.perceptions import FDivergence, perception_from
from cdp_toy.problem import CDPProblem
from cdp_toy.sources import GaussianMixture

__all__ = ["MonotoneThreshold", "check_line", "known_regions", "monotone_threshold"]

KIND = "the monotone reduction needs"


class MonotoneThreshold(NamedTuple):
    """The threshold t of c0 [units of x], and the class above it, whose posterior increases in y."""

    threshold: float
    rising_class: int


def monotone_threshold(problem: CDPProblem) -> MonotoneThreshold:
    """Check that optimal restorations are nondecreasing functions of y.

    With two classes whose Gaussians have one standard deviation, the class u above the threshold the one of the larger
    means, both r(y) = P(u|y) and mu(y) = E[X|y] are nondecreasing. Then error plus priced squared error,

        e(y, x) + lam d(y, x) = |1{x >= t} - 1{u}| in the mean + lam (x^2 - 2 mu(y) x + E[X^2|y]),

    is submodular in (y, x), so that of all channels with a given output law q the comonotone coupling of p_Y and q has
    the least error and the least distortion together; perception is a matter of q alone.

    Parameters
    ----------
    problem : CDPProblem

    Returns
    -------
    MonotoneThreshold

    Raises
    ------
    InputError
        Naming the first condition that fails, and why it is needed.

    References
    ----------
    Rueschendorf, 1983 (submodular costs and comonotone couplings); Karlin, "Total Positivity", 1968 (the posterior).

    Examples
    --------
    >>> from cdp_toy import presets
    >>> found = monotone_threshold(presets.paper_toy())
    >>> round(found.threshold, 8), found.rising_class
    (0.42364893, 1)
    """
    check_line(problem, KIND)
    source = cast(GaussianMixture, problem.source)
    if source.n_classes > 2:
        raise InputError(
            f"{KIND} two classes; this source has {source.n_classes}. With more the error is no longer submodular: of "
            "three equal Gaussians in a row the middle posterior rises and falls"
        )
    if source.n_classes < 2 or min(source.priors) == 0:
        raise InputError(f"{KIND} two classes of positive probability; the priors are {source.priors}")
    if not np.array_equal(np.asarray(problem.class_cost), 1.0 - np.eye(2)):
        raise InputError(f"{KIND} 0-1 error; leave class_cost out")
    law = observed(problem, KIND)
    if np.ptp(law.stds) > 0:
        raise InputError(
            f"{KIND} one standard deviation for all Gaussians, else the posterior turns back in a tail; these have "
            f"{np.unique(law.stds).tolist()}"
        )
    regions = known_regions(problem, KIND)
    if len(regions.classes) != 2:
        raise InputError(
            f"{KIND} a classifier with one threshold; this one has "
            f"{len(regions.boundaries)} at {list(regions.boundaries)}"
        )
    rising = rising_class(source, KIND)
    if regions.classes != (1 - rising, rising):
        raise InputError(
            f"{KIND} the class whose posterior increases in y, {rising}, above the threshold and the other below; this "
            f"classifier answers {regions.classes[0]} below {regions.boundaries[0]:g} and {regions.classes[1]} above"
        )
    return MonotoneThreshold(regions.boundaries[0], rising)


def check_line(problem: CDPProblem, kind: str) -> None:
    """Refuse what has no closed integrals or no smooth dual: what every bound of the continuous problem needs.

    Raises
    ------
    InputError
        When the problem is not a Gaussian mixture in Gaussian noise on the line with squared error and a smooth
        f-divergence or a Renyi divergence; `kind` begins the message.
    """
    law = observed(problem, kind)
    if law.noise_std == 0:
        raise InputError(f"{kind} noise; without it nothing is lost: Xhat = Y has distortion 0 and perception 0")
    distortion, perception = distortion_from(problem.distortion), perception_from(problem.perception)
    if not isinstance(distortion, SquaredError):
        raise InputError(f'{kind} distortion="squared_error"; this one is "{distortion.name}"')
    if not isinstance(perception, FDivergence) or not perception.smooth:
        raise InputError(
            f"{kind} a smooth f-divergence or a Renyi divergence (kl, reverse_kl, hellinger_squared, chi2, "
            f'reverse_chi2, js, renyi:ORDER); this perception is "{perception.name}"'
        )


def known_regions(problem: CDPProblem, kind: str) -> Regions:
    """Decision regions of c0, refused where they are only probed; regions of one class side by side are merged."""
    if not problem.classifier.exact:
        name = type(problem.classifier).__name__
        raise InputError(f"{kind} known class boundaries; those of a {name} are found by probing")
    source = cast(GaussianMixture, problem.source)
    boundaries, classes = problem.classifier.regions(source, np.asarray(problem.class_cost))
    kept = [k for k in range(len(boundaries)) if classes[k] != classes[k + 1]]
    return Regions(tuple(boundaries[k] for k in kept), (classes[0], *(classes[k + 1] for k in kept)))
