"""The continuous (or tabulated) CDP problem: five pieces, named and immutable."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.cells import Bounds
from cdp_toy.classifiers import Classifier
from cdp_toy.degradations import Degradation
from cdp_toy.distortions import Distortion, distortion_from
from cdp_toy.errors import InputError
from cdp_toy.perceptions import Perception, perception_from
from cdp_toy.pieces import CATALOGUE
from cdp_toy.sources import Source
from cdp_toy.validation import Array, class_indices, finite_array

if TYPE_CHECKING:
    from cdp_toy.finite import DiscreteProblem

__all__ = ["CDPProblem"]


@dataclass(frozen=True, eq=False)
class CDPProblem:
    """Classification-distortion-perception problem X -> Y -> Xhat.

    C(D, P) = min over W(xhat|y) of E[class_cost[c, c0(Xhat)]]  s.t.  E[Delta(X, Xhat)] <= D,  d(p_X, p_Xhat) <= P.

    Parameters
    ----------
    source : Source
        Classes, priors and class-conditional laws of X: on the line `GaussianMixture`, `LaplaceMixture`,
        `UniformMixture`, `Histogram`, `DensitySource`; in the plane `GaussianMixture2D`, `Histogram2D`,
        `IndependentPair`; letters `TableSource`.
    degradation : Degradation
        p(y | x): `Identity`, `AdditiveGaussian`, `LinearGaussian` (plane), `UniformQuantizer`, `Erasure`,
        `DeterministicMap`, `TableDegradation` (letters).
    classifier : Classifier
        The predefined classifier c0, applied to Xhat: `BayesClassifier`, `ThresholdClassifier` (line),
        `LinearClassifier` and `QuadraticClassifier` (plane), `CallableClassifier`, `TableClassifier` (letters).
    distortion : str, table, function or Distortion
        "squared_error", "absolute_error", "hamming", a table Delta[x, xhat], or a function of points.
    perception : str or Perception
        "kl" (nats), "reverse_kl" (nats), "tv", "hellinger_squared", "chi2", "reverse_chi2", "js" (nats),
        "renyi:ORDER" (nats) such as "renyi:2", "w1" (units of x), "w2_squared" (squared units of x).
    class_cost : array of shape (K, K), optional
        Cost of deciding column k when the class is row c; 0-1 error when left out.
    name : str
        Shown in summaries and figures.

    Raises
    ------
    InputError
        When a piece is missing, a name is unknown, or the classifier names a class that the source does not have.

    References
    ----------
    Liu, Zhang and Xiong, "On the Classification-Distortion-Perception Tradeoff", NeurIPS 2019.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> toy = cdp.CDPProblem(
    ...     source=cdp.GaussianMixture(priors=(0.7, 0.3), means=(-1.0, 1.0)),
    ...     degradation=cdp.AdditiveGaussian(1.0),
    ...     classifier=cdp.ThresholdClassifier(0.0),
    ... )
    >>> toy.discretize(n=51).shape
    (51, 51)
    """

    source: Source
    degradation: Degradation
    classifier: Classifier
    distortion: Distortion | str = "squared_error"
    perception: Perception | str = "kl"
    class_cost: Array | None = None
    name: str = ""

    def __post_init__(self) -> None:
        roles = {"source": Source, "degradation": Degradation, "classifier": Classifier}
        for role, base in roles.items():
            value = getattr(self, role)
            if not isinstance(value, base):
                found = type(value).__name__
                if isinstance(value, type):
                    found = f"{value.__name__} (an instance is needed, not the class)"
                raise InputError(f"{role} must be a {base.__name__} such as {', '.join(_examples(role))}; got {found}")
        if not isinstance(self.name, str):
            raise InputError(f"name must be text, got {self.name!r}")
        object.__setattr__(self, "distortion", distortion_from(self.distortion))
        object.__setattr__(self, "perception", perception_from(self.perception))
        n_classes = self.source.n_classes
        object.__setattr__(self, "class_cost", checked_class_cost(self.class_cost, n_classes))
        check_classes(self.classifier.classes, n_classes)

    def __eq__(self, other: object) -> bool:
        """Equal pieces, distortion, perception, class cost and name."""
        if not isinstance(other, CDPProblem):
            return NotImplemented
        return (
            (self.source, self.degradation, self.classifier, self.name)
            == (other.source, other.degradation, other.classifier, other.name)
            and distortion_from(self.distortion) == distortion_from(other.distortion)
            and self.perception == other.perception
            and np.array_equal(np.asarray(self.class_cost), np.asarray(other.class_cost))
        )

    def __hash__(self) -> int:
        return hash((self.source, self.degradation, self.classifier, self.name))

    def discretize(
        self,
        n: int | tuple[int, int] | None = None,
        n_y: int | tuple[int, int] | None = None,
        bounds: Bounds | None = None,
        kind: Literal["cells", "points"] = "cells",
    ) -> DiscreteProblem:
        """Pose the problem on a finite grid with exact integrals; see `cdp_toy.discretize.discretize`."""
        from cdp_toy.discretize import discretize

        return discretize(self, n=n, n_y=n_y, bounds=bounds, kind=kind)


def _examples(role: str) -> list[str]:
    return sorted(cls.__name__ for cls in CATALOGUE[role].values())


def checked_class_cost(class_cost: Array | None, n_classes: int) -> Array:
    """Return the class-cost matrix, 0-1 error when None."""
    if class_cost is None:
        return 1.0 - np.eye(n_classes)
    cost = finite_array(class_cost, "class_cost", 2)
    if cost.shape != (n_classes, n_classes):
        raise InputError(f"class_cost has shape {cost.shape}; expected ({n_classes}, {n_classes}), rows true classes")
    return cost


def check_classes(classes: ArrayLike, n_classes: int) -> None:
    """Refuse class indices that are not whole or lie outside of 0 .. K - 1."""
    for k, index in enumerate(class_indices(classes, "the classifier")):
        if not 0 <= index < n_classes:
            raise InputError(
                f"the classifier names class {index} (entry {k}), but the source has classes 0 .. {n_classes - 1}"
            )
