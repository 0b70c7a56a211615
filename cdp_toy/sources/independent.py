"""Two line sources side by side: coordinates that are independent given the class."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import ClassVar

import numpy as np

from cdp_toy.errors import InputError
from cdp_toy.sources.base import LineMixture
from cdp_toy.sources.plane import SeparableSource
from cdp_toy.validation import SUM_TOLERANCE, Array

__all__ = ["IndependentPair"]


@dataclass(frozen=True, eq=False)
class IndependentPair(SeparableSource):
    """Source in the plane whose coordinates are independent given the class: p(x | c) = p1(x1 | c) p2(x2 | c).

    Parameters
    ----------
    first, second : LineMixture
        Laws of X1 and X2 with the same classes and priors, such as `GaussianMixture`, `LaplaceMixture`,
        `UniformMixture` or `Histogram`.

    Raises
    ------
    InputError
        When one of them is no mixture on the line, or their priors differ.

    Examples
    --------
    >>> from cdp_toy.sources import GaussianMixture, UniformMixture
    >>> pair = IndependentPair(GaussianMixture((0.7, 0.3), (-1, 1)), UniformMixture((0.7, 0.3), (0, 1), (1, 3)))
    >>> pair.mean.round(6).tolist(), pair.density([[0.0, 0.5]]).round(6).tolist()
    ([-0.4, 0.95], [[0.241971], [0.0]])
    """

    kind = "independent_pair"
    nested: ClassVar[dict[str, str]] = {"first": "source", "second": "source"}

    first: LineMixture
    second: LineMixture
    priors: tuple[float, ...] = field(repr=False)

    def __init__(self, first: LineMixture, second: LineMixture) -> None:
        for name, source in (("first", first), ("second", second)):
            if not isinstance(source, LineMixture):
                raise InputError(
                    f"{name} must be a mixture on the line (GaussianMixture, LaplaceMixture, UniformMixture or "
                    f"Histogram), got {type(source).__name__}; a histogram of samples stands for any other law"
                )
        if (
            first.n_classes != second.n_classes
            or np.abs(np.subtract(first.priors, second.priors)).max() > SUM_TOLERANCE
        ):
            raise InputError(
                f"first and second must have the same priors, for X1 and X2 share the class; first has "
                f"{tuple(map(float, first.priors))}, second has {tuple(map(float, second.priors))}"
            )
        object.__setattr__(self, "first", first)
        object.__setattr__(self, "second", second)
        object.__setattr__(self, "priors", tuple(map(float, first.priors)))

    @property
    def axes(self) -> tuple[LineMixture, LineMixture]:
        """The two line sources."""
        return self.first, self.second

    @cached_property
    def joint_weights(self) -> Array:
        """Products of the weights of the terms within each class, shape (K, T1, T2)."""
        return np.asarray(np.einsum("ca,cb->cab", self.first.class_weights, self.second.class_weights))
