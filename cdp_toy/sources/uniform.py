"""Mixtures of uniform laws on the line: noise makes their integrals iterated integrals of the normal tail."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.special import log_ndtr

from cdp_toy.errors import InputError
from cdp_toy.normal import interval_mass, log_normal_density, normal_density
from cdp_toy.sources.base import CellIntegrals, LineMixture, PerClass, Rows, mixture_rows, rows_to_weights
from cdp_toy.sources.tails import tail_integrals
from cdp_toy.validation import Array, Indices

__all__ = ["UniformMixture", "UniformTerms", "uniform_integrals", "uniform_log_density"]

#: Where (b - a) / noise_std times max(1, distance of the cell in noise_std) exceeds this, the ends of the interval are
#: treated one by one (which cancels when they are close), else all of it by one Gauss rule (which fails when the
#: integrand varies by orders of magnitude). Largest relative errors of the second moment about the mean of the cell,
#: 1500 cells of any width down to masses of 1e-290, noise from 1e-8 to 1e6 times b - a, against 700 digits: 1e-11 with
#: the switch at 0.25, 3e-12 at 0.5, 3e-13 at 1, 1.5e-13 from 3 to 8; those of the mass are 1.5e-13 everywhere, which is
#: what the normal density itself loses at 32 standard deviations. (For cells narrower than the noise: times their width
#: in noise_std.)
ONE_PANEL = 3.0
PANEL_NODES, PANEL_WEIGHTS = np.polynomial.legendre.leggauss(20)
#: the normal density is zero in double precision from here on
VANISHED = 39.0


class UniformTerms(LineMixture):
    """A line mixture whose terms are uniform laws on intervals."""

    @property
    @abstractmethod
    def ends(self) -> tuple[Array, Array]:
        """Lower and upper ends of the intervals, two arrays of shape (T,) [units of x]."""

    @cached_property
    def breakpoints(self) -> tuple[float, ...]:  # type: ignore[override]
        """Ends of the intervals that have mass in some class."""
        used = self.class_weights.max(axis=0) > 0
        return tuple(np.unique(np.concatenate([end[used] for end in self.ends])).tolist())

    def bounds(self, noise_std: float = 0.0, n_std: float = 5.0) -> tuple[float, float]:
        """Interval that reaches `n_std` standard deviations of the noise beyond every interval that has mass."""
        used = self.term_weights > 0
        low, high = self.ends
        return float(low[used].min()) - n_std * noise_std, float(high[used].max()) + n_std * noise_std

    def term_integrals(self, edges: Array, noise_std: float, centre: Array) -> CellIntegrals:
        """Integrals of every uniform law over cells; see `uniform_integrals`."""
        return uniform_integrals(*self.ends, edges, noise_std, centre)

    def term_log_density(self, x: Array, noise_std: float) -> Array:
        """Log density of every uniform law with noise; see `uniform_log_density`."""
        return uniform_log_density(*self.ends, x, noise_std)

    def term_mass(self, low: Array, high: Array) -> Array:
        """Mass of every uniform law in intervals."""
        a, b = (end.reshape(-1, *(1,) * np.ndim(low)) for end in self.ends)
        return np.asarray(np.maximum(np.minimum(high, b) - np.maximum(low, a), 0.0) / (b - a))

    def term_quantile(self, term: Indices, low: Array, high: Array, u: Array) -> Array:
        """Quantile of a uniform law cut to an interval."""
        a, b = (end[term] for end in self.ends)
        left, right = np.clip(low, a, b), np.clip(high, a, b)
        return left + u * (right - left)


@dataclass(frozen=True, eq=False)
class UniformMixture(UniformTerms):
    """One-dimensional source whose every class is a mixture of uniform laws.

    p(x | c) = sum_k weights[c][k] 1[lows[c][k] <= x < highs[c][k]] / (highs[c][k] - lows[c][k]).

    Parameters
    ----------
    priors : sequence of K floats
        Class probabilities P_c.
    lows, highs : one number per class, or one row of numbers per class
        Ends of the intervals [units of x]; a scalar `highs` serves all intervals. Intervals may touch and overlap.
    weights : one row per class, optional
        Probability of each interval within its class; equal when left out.

    Raises
    ------
    InputError
        When priors or weights are no probabilities, shapes disagree, or an interval is empty.

    Examples
    --------
    >>> source = UniformMixture(priors=(0.7, 0.3), lows=(-2.0, 0.0), highs=(1.0, 2.0))
    >>> source.cell_integrals([-float("inf"), 0.0, 1.0, float("inf")]).mass.round(6)
    array([[0.666667, 0.333333, 0.      ],
           [0.      , 0.5     , 0.5     ]])
    >>> source.breakpoints
    (-2.0, 0.0, 1.0, 2.0)
    """

    kind = "uniform"

    priors: tuple[float, ...]
    lows: Rows
    highs: Rows
    weights: Rows | None = None

    def __init__(
        self,
        priors: Sequence[float] | Array,
        lows: PerClass,
        highs: float | PerClass,
        weights: PerClass | None = None,
    ) -> None:
        checked, low_rows, high_rows, weight_rows = mixture_rows(priors, ("lows", lows), ("highs", highs), weights)
        for c, row in enumerate(low_rows):
            for k, (low, high) in enumerate(zip(row, high_rows[c], strict=True)):
                if not low < high:
                    raise InputError(
                        f"highs must exceed lows; class {c}, interval {k} reaches from {low} to {high}. "
                        "Exchange the two, or widen an interval of no width"
                    )
        object.__setattr__(self, "priors", checked)
        object.__setattr__(self, "lows", low_rows)
        object.__setattr__(self, "highs", high_rows)
        object.__setattr__(self, "weights", weight_rows)

    @cached_property
    def class_weights(self) -> Array:
        """Probability of each interval within each class, shape (K, T)."""
        return rows_to_weights([len(row) for row in self.lows], self.weights)

    @cached_property
    def ends(self) -> tuple[Array, Array]:
        """Lower and upper ends of the intervals, two arrays of shape (T,) [units of x]."""
        return np.concatenate(self.lows), np.concatenate(self.highs)


def uniform_integrals(a: Array, b: Array, edges: Array, noise_std: float, centre: Array) -> CellIntegrals:
    """Integrate 1, X - centre and (X - centre)^2, X uniform on (a, b), over cells of Y = X + N(0, noise_std^2).

    Without noise these are integrals over the overlap of cell and interval. Noise is felt by the ends of the interval
    only: inside, X given Y = y is N(y, noise_std^2). So the integrals are those without noise, a variance noise_std^2
    for what of the cell is inside, and for either end a term that falls off like a normal tail. No step subtracts
    numbers that are large against the result, but for cells much narrower than the noise: they are differences of
    cumulatives, and lose noise_std / width.

    Parameters
    ----------
    a, b : arrays of shape (T,) [units of x]
    edges : array of shape (n + 1,) [units of x]
    noise_std : float [units of x]
    centre : array of shape (n,) [units of x]

    Returns
    -------
    CellIntegrals
        Three arrays of shape (T, n).
    """
    a, b = a[:, None], b[:, None]
    width = b - a
    parts = _overlap(a, b, edges, centre)
    if noise_std > 0:
        gap = np.maximum(np.maximum(a - edges[1:], edges[:-1] - b), 0.0) / noise_std
        one_panel = width / noise_std * np.maximum(gap, 1.0) <= ONE_PANEL
        if not one_panel.all():
            parts += _end_terms(a, b, edges, noise_std, centre)
        if one_panel.any():
            term, cell = np.nonzero(one_panel)
            ends = edges[cell], edges[cell + 1]
            parts[:, term, cell] = _by_gauss(a[term, 0], b[term, 0], ends, noise_std, centre[cell])
    return CellIntegrals(*(parts / width))


def _overlap(a: Array, b: Array, edges: Array, centre: Array) -> Array:
    """Integrals of 1, x - centre and (x - centre)^2 over what (a, b) and the cells have in common."""
    cut = np.clip(edges, a, b)
    low, high = cut[:, :-1] - centre, cut[:, 1:] - centre
    mass = cut[:, 1:] - cut[:, :-1]
    return np.stack([mass, mass * (low + high) / 2, mass * (low**2 + low * high + high**2) / 3])


def _end_terms(a: Array, b: Array, edges: Array, noise_std: float, centre: Array) -> Array:
    """What noise adds to the integrals over the overlap.

    Integration by parts of g(x) Phi((t - x) / s) over (a, b), with K_n the iterated integrals of Phi = K_0, gives
    -s g K_1 - s^2 g' K_2 - s^3 g'' K_3 at b minus the same at a. For t beyond an end K_n is a polynomial less its tail
    value; the polynomials sum up to the integrals over the overlap and s^2 / 2 g'(t) where t is inside.
    """
    out = np.zeros((3, len(a), len(edges) - 1))
    inside = (edges > a) & (edges <= b)
    at = np.where(np.isfinite(edges), edges, 0.0)  # an infinite edge is never inside
    slope = np.stack([inside[:, 1:] * (at[1:] - centre), inside[:, :-1] * (at[:-1] - centre)])
    out[1] = noise_std**2 / 2 * (inside[:, 1:].astype(float) - inside[:, :-1])
    out[2] = noise_std**2 * (slope[0] - slope[1])
    for sign, end in ((1.0, a), (-1.0, b)):
        z = (edges - end) / noise_std
        near = np.abs(z) < VANISHED
        tails = np.zeros((3, *z.shape))
        size = np.abs(z[near])
        _, k1, k2, k3 = tail_integrals(size)
        tails[:, near] = normal_density(size) * np.stack([k1, np.where(z[near] > 0, -k2, k2), k3])
        d1, d2, d3 = sign * noise_std ** np.arange(1, 4)[:, None, None] * np.diff(tails)
        lever = end - centre
        out[0] += d1
        out[1] += lever * d1 + d2
        out[2] += lever**2 * d1 + 2 * lever * d2 + 2 * d3
    return out


def _by_gauss(a: Array, b: Array, ends: tuple[Array, Array], noise_std: float, centre: Array) -> Array:
    """Integrals over all of (a, b) of powers of x - centre times the probability that noise takes x into the cell."""
    out = np.zeros((3, len(a)))
    middle, half = (a + b) / 2, (b - a) / 2
    for node, weight in zip(PANEL_NODES, PANEL_WEIGHTS, strict=True):
        x = middle + half * node
        height = weight * half * interval_mass((ends[0] - x) / noise_std, (ends[1] - x) / noise_std)
        out += height * np.stack([np.ones_like(x), x - centre, (x - centre) ** 2])
    return out


def uniform_log_density(a: Array, b: Array, x: Array, noise_std: float) -> Array:
    """Log density of U(a, b) + N(0, noise_std^2) at `x`, shape (T, len(x)).

    Without noise an interval owns its lower end, and its upper end where no other interval begins. With noise it is
    log((Phi((x - a) / s) - Phi((x - b) / s)) / (b - a)), in logarithms from the nearer tail; where the two are close,
    the mean of the normal density over the interval by a Gauss rule.
    """
    open_end = np.isin(b, a)[:, None]
    a, b = a[:, None], b[:, None]
    if noise_std == 0:
        inside = (x >= a) & ((x < b) | (~open_end & (x == b)))
        return np.where(inside, -np.log(b - a), -np.inf)
    middle, half = (a + b) / 2, (b - a) / (2 * noise_std)
    z = np.abs(x - middle) / noise_std
    with np.errstate(divide="ignore", invalid="ignore"):  # an infinite x
        from_a, to_b = (x - a) / noise_std, (b - x) / noise_std
        top, rest = log_ndtr(np.minimum(from_a, to_b)), log_ndtr(-np.maximum(from_a, to_b))
        apart = top + np.log(-np.expm1(rest - top)) - np.log(b - a)
    close = 2 * half * np.maximum(z, 1.0) <= ONE_PANEL
    slope, bend = (np.where(close, v, 0.0) for v in (z * half, half**2 / 2))
    mean = np.zeros_like(z)
    for node, weight in zip(PANEL_NODES, PANEL_WEIGHTS, strict=True):
        mean += weight / 2 * np.exp(-slope * node - bend * node**2)
    out = np.where(close, log_normal_density(x, middle, np.asarray(noise_std)) + np.log(mean), apart)
    return np.asarray(np.where(np.isfinite(z), out, -math.inf))
