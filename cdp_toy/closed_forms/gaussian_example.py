"""One Gaussian in Gaussian noise: the example of the perception-distortion tradeoff that pen and paper can do."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from cdp_toy.errors import InputError, unknown_name
from cdp_toy.validation import Array, check_level, finite_array

__all__ = ["GaussianExample"]

#: perceptions with a closed form between two Gaussians, by their names in the catalogue
PERCEPTIONS = ("w2_squared", "kl", "reverse_kl")


@dataclass(frozen=True)
class GaussianExample:
    """X ~ N(0, source_std^2) seen as Y = X + N(0, noise_std^2), restored under squared error.

    Write s, n for the two standard deviations, t^2 = s^2 + n^2, and m for the standard deviation s^2 / t of E[X|Y].

    Parameters
    ----------
    source_std, noise_std : float
        Positive standard deviations s and n [units of x].

    Raises
    ------
    InputError
        When a standard deviation is not a positive number, or a perception has no closed form here.

    Notes
    -----
    For every channel E(X - Xhat)^2 = s^2 - 2 E[X Xhat] + r^2 with r^2 = E[Xhat^2]. Given Y, X and Xhat are independent,
    so E[X Xhat] = E[E[X|Y] Xhat] <= m r (Cauchy and Schwarz), with equality for Xhat = r Y / t alone (r > 0). Hence

        distortion >= D_min + (r - m)^2,   D_min = s^2 n^2 / t^2,   attained by a linear restoration without noise.

    *reverse_kl.* KL(q || p_X) = -h(q) + log(s sqrt(2 pi)) + r^2 / (2 s^2), and of all laws of second moment r^2 the
    Gaussian N(0, r^2) has the largest entropy h. So at each r the Gaussian Xhat = r Y / t is best in both respects at
    once, and the least distortion over *all* channels is that of the linear family. Added noise,
    Xhat = a Y + N(0, b^2), keeps the law for a given r and lowers the correlation: it is never needed.

    *w2_squared.* The distance of any law of second moment r^2 from p_X is at least |s - r| (Cauchy and Schwarz again),
    which N(0, r^2) attains: the linear family is optimal over all channels here too.

    *kl.* KL(p_X || q) prefers heavier tails than a Gaussian's. The linear family gives an upper bound of D_min(P) only.

    References
    ----------
    Blau and Michaeli, "The Perception-Distortion Tradeoff", CVPR 2018 (the example, within the linear family).
    Freirich, Michaeli and Meir, "A Theory of the Distortion-Perception Tradeoff in Wasserstein Space", NeurIPS 2021
    (the Wasserstein distance, all channels).

    Examples
    --------
    >>> example = GaussianExample(source_std=1.0, noise_std=1.0)
    >>> print(f"{example.min_distortion:.6f} {example.least_distortion(0.0, 'reverse_kl'):.6f}")  # 1/2, 2 - sqrt(2)
    0.500000 0.585786
    """

    source_std: float
    noise_std: float

    def __post_init__(self) -> None:
        for name in ("source_std", "noise_std"):
            value = finite_array(getattr(self, name), name, 0)
            if value <= 0:
                raise InputError(f"{name} must be a positive standard deviation, got {getattr(self, name)!r}")
            object.__setattr__(self, name, float(value))

    @property
    def observation_std(self) -> float:
        """Standard deviation t of Y [units of x]."""
        return math.hypot(self.source_std, self.noise_std)

    @property
    def mean_std(self) -> float:
        """Standard deviation m = s^2 / t of E[X|Y] [units of x]."""
        return self.source_std * (self.source_std / self.observation_std)

    @property
    def min_distortion(self) -> float:
        """D_min = E Var(X|Y) = s^2 n^2 / t^2 [squared units of x], exact over all channels."""
        return (self.source_std * (self.noise_std / self.observation_std)) ** 2

    def linear_distortion(self, a: ArrayLike) -> Array:
        """Mean squared error (1 - a)^2 s^2 + a^2 n^2 of Xhat = a Y [squared units of x]."""
        points = finite_array(a, "a")
        return ((1 - points) ** 2 * self.source_std**2 + points**2 * self.noise_std**2)[()]

    def linear_perception(self, a: ArrayLike, perception: str) -> Array:
        """Perception of Xhat = a Y, a law N(0, r^2) with r = |a| t, in the units of the catalogue.

        w2_squared = (s - r)^2;  kl = log(r/s) + (s^2/r^2 - 1)/2;  reverse_kl = log(s/r) + (r^2/s^2 - 1)/2; the latter
        two are inf at a = 0.

        >>> print(f"{GaussianExample(1.0, 1.0).linear_perception(0.5, 'kl'):.12f}")  # (1 - log 2) / 2
        0.153426409720
        """
        _check_perception(perception)
        points = finite_array(a, "a")
        ratio = np.abs(points) * (self.observation_std / self.source_std)
        if perception == "w2_squared":
            return np.asarray((self.source_std * (1 - ratio)) ** 2)[()]
        spread = 2 * np.log(np.where(ratio > 0, ratio, 1.0))
        signed = -spread if perception == "kl" else spread
        with np.errstate(over="ignore"):
            values = (np.expm1(signed) - signed) / 2
        return np.where(ratio > 0, values, np.inf)[()]

    def best_gain(self, max_perception: float, perception: str) -> float:
        """The a of least distortion among Xhat = a Y with perception <= P; nan for P < 0, where there is none.

        The perception falls as r = |a| t grows up to s, and the distortion is least at r = m < s, so r is the larger of
        m and the least r within the level.
        """
        return self._best_std(max_perception, perception) / self.observation_std

    def least_linear_distortion(self, max_perception: float, perception: str) -> float:
        """Least distortion among Xhat = a Y with perception <= P: exact in the family, an upper bound of D_min(P).

        For w2_squared and reverse_kl the bound is attained, see `least_distortion`; for kl it is not.

        Parameters
        ----------
        max_perception : float
            P, in squared units of x for w2_squared and in nats for the other two; below 0 the value is inf.
        perception : "w2_squared", "kl" or "reverse_kl"

        Returns
        -------
        float
            D_min + (r - m)^2 [squared units of x].

        Examples
        --------
        >>> print(f"{GaussianExample(1.0, 2.0).least_linear_distortion(0.1, 'kl'):.6f}")
        0.892389
        """
        if check_level(max_perception, "max_perception") < 0:
            _check_perception(perception)
            return math.inf
        return self.min_distortion + (self._best_std(max_perception, perception) - self.mean_std) ** 2

    def least_distortion(self, max_perception: float, perception: str) -> float:
        """D_min(P), the least distortion over *all* channels with perception <= P [squared units of x].

        With w2_squared and P = d^2 this is D_min + [(s - m - d)_+]^2. See the notes of the class for the proofs.

        Raises
        ------
        InputError
            For kl, whose optimum is not Gaussian.

        Examples
        --------
        >>> print(f"{GaussianExample(1.0, 1.0).least_distortion(0.01, 'w2_squared'):.6f}")
        0.537208
        """
        _check_perception(perception)
        if perception == "kl":
            raise InputError(
                'under "kl" the best restoration of a Gaussian is not Gaussian and D_min(P) has no closed form; '
                "least_linear_distortion gives an upper bound of it, cdp_toy.min_distortion a bracket on a grid"
            )
        return self.least_linear_distortion(max_perception, perception)

    def _best_std(self, max_perception: float, perception: str) -> float:
        """Standard deviation r of the best linear restoration."""
        _check_perception(perception)
        level = check_level(max_perception, "max_perception")
        if level < 0:
            return math.nan
        if perception == "w2_squared":
            return max(self.source_std - math.sqrt(level), self.mean_std)
        return max(self.source_std * math.exp(-0.5 * _spread(level, perception)), self.mean_std)


def _spread(level: float, perception: str) -> float:
    """The v = log(s^2/r^2) >= 0 with e^v - 1 - v = 2 P (kl) or e^-v - 1 + v = 2 P (reverse_kl).

    These are branches of Lambert's W, e^v = -W_-1(-e^(-1-2P)) and e^-v = -W_0(-e^(-1-2P)), which lose half of the
    digits near P = 0. The root is found in v instead, below the bound -W_-1(-e^(-1-c)) < 1 + sqrt(2c) + c of
    Chatzigeorgiou (IEEE Communications Letters, 2013).
    """
    total = 2 * level
    if total == 0 or math.isinf(total):
        return total
    reach = math.sqrt(2 * total) + total
    sign, end = (1, 1.01 * math.log1p(reach)) if perception == "kl" else (-1, 1.01 * reach)
    return float(brentq(lambda v: math.expm1(sign * v) - sign * v - total, 0.0, end, xtol=1e-300))


def _check_perception(perception: str) -> None:
    if perception not in PERCEPTIONS:
        raise unknown_name("perception between two Gaussians in closed form", perception, PERCEPTIONS)
