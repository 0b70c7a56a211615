"""Divergence between two mixtures of Gaussians in the plane, by a trapezoidal rule that knows its own error.

For analytic integrands that decay at both ends the rule converges exponentially. The lattice is laid in the axes in
which the overall covariances of both laws are diagonal, and x = c + s sinh(u) along each axis serves laws of very
different widths at once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import eigh

from cdp_toy.linear.line_divergence import SINGULAR, Quadrature, of_integral
from cdp_toy.perceptions import FDivergence
from cdp_toy.perceptions.base import product
from cdp_toy.validation import Array

__all__ = ["PlaneMixture", "largest_divergence", "plane_divergence"]

#: the lattice reaches this many standard deviations of every Gaussian involved; beyond lies less than 1e-18
REACH = 9.0
#: step of the first lattice, in standard deviations of the Gaussian that asks for the smallest one
FIRST_STEP = 1.1
#: a lattice has at most this many points; a kinked integrand, whose rule converges slowly, gets fewer
POINTS, KINKED_POINTS = 1 << 22, 1 << 16
#: points that are evaluated at a time
BLOCK = 1 << 18
#: relative size of a quadratic form that counts as 0 when the decay of tails is decided
FLAT = 1e-13
EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, eq=False)
class PlaneMixture:
    """Law sum_k weights[k] N(means[k], covariances[k]) in the plane; shapes (k,), (k, 2), (k, 2, 2), weights positive.

    Examples
    --------
    >>> law = PlaneMixture(np.ones(1), np.zeros((1, 2)), np.eye(2)[None])
    >>> bool(np.isclose(law.log_density(np.zeros((1, 2)))[0], -np.log(2 * np.pi)))
    True
    """

    weights: Array
    means: Array
    covariances: Array

    def log_density(self, x: Array) -> Array:
        """Logarithm of the density at points of shape (N, 2), exact far into the tails."""
        return self.log_density_of(x[:, 0], x[:, 1])

    def log_density_of(self, x1: Array, x2: Array) -> Array:
        """Logarithm of the density at coordinates that broadcast against each other."""
        terms = []
        for weight, mean, root in zip(self.weights, self.means, np.linalg.cholesky(self.covariances), strict=True):
            z1 = (x1 - mean[0]) / root[0, 0]
            z2 = (x2 - (mean[1] + root[1, 0] * z1)) / root[1, 1]
            terms.append(math.log(weight / (2 * math.pi * root[0, 0] * root[1, 1])) - 0.5 * (z1**2 + z2**2))
        if len(terms) == 1:
            return np.asarray(terms[0])
        top = np.maximum.reduce(terms)
        return np.asarray(top + np.log(sum(np.exp(term - top) for term in terms)))

    def mapped(self, matrix: Array) -> PlaneMixture:
        """Law of matrix times the variable."""
        return PlaneMixture(self.weights, self.means @ matrix.T, matrix @ self.covariances @ matrix.T)

    def overall(self) -> tuple[Array, Array]:
        """Mean and covariance of the whole mixture."""
        mean = self.weights @ self.means / self.weights.sum()
        away = self.means - mean
        spread = self.covariances + away[:, :, None] * away[:, None, :]
        return mean, np.einsum("k,kij->ij", self.weights, spread) / self.weights.sum()


def largest_divergence(divergence: FDivergence) -> float:
    """Divergence of mutually singular laws, the largest value there is.

    >>> from cdp_toy.perceptions import CATALOGUE
    >>> largest_divergence(CATALOGUE["tv"]), largest_divergence(CATALOGUE["kl"])
    (1.0, inf)
    """
    return divergence.of_sum(divergence.largest_sum())


def plane_divergence(divergence: FDivergence, p: PlaneMixture, q: PlaneMixture) -> Quadrature:
    """Divergence of the law q from the law p, to about 1e-13 for smooth integrands (relative where it exceeds 1).

    A kinked integrand (`divergence.kinked`, such as that of tv) is known to about 1e-5, to 1e-4 where the kink runs
    along an axis of the lattice; the error says so.

    Parameters
    ----------
    divergence : FDivergence
        Its `log_integrand` is integrated; `tail_powers` tell where the integral diverges.
    p, q : PlaneMixture
        Those of q may be singular along an axis of the coordinates, all at once: the laws are then mutually singular
        and the value is f(0) + lim f(r)/r.

    Returns
    -------
    Quadrature
        Value and estimated error: what halving the step changed, extrapolated, and rounding. Value inf
        (with error 0) where the integral diverges or exceeds the range of doubles.

    Examples
    --------
    >>> from cdp_toy.perceptions import CATALOGUE
    >>> p, q = (PlaneMixture(np.ones(1), np.array([mean]), np.eye(2)[None]) for mean in ((0.0, 0.0), (3.0, 4.0)))
    >>> print(f"{plane_divergence(CATALOGUE['kl'], p, q).value:.12f}")  # 25 / 2
    12.500000000000
    >>> plane_divergence(CATALOGUE["chi2"], p, p).value
    0.0
    """
    if np.diagonal(q.covariances, axis1=1, axis2=2).min() < SINGULAR:
        return Quadrature(largest_divergence(divergence), 0.0)
    if _diverges(divergence, p, q):
        return Quadrature(math.inf, 0.0)
    turn = _common_axes(p, q)
    with np.errstate(divide="ignore", over="ignore", under="ignore", invalid="ignore"):
        found = _refined(divergence, p.mapped(turn), q.mapped(turn))
    return of_integral(divergence, found)


def _common_axes(p: PlaneMixture, q: PlaneMixture) -> Array:
    """Linear map after which p has the covariance I and q a diagonal one; divergences do not feel it."""
    inner, outer = p.overall()[1], q.overall()[1]
    scale = 1 / np.sqrt(np.diag(outer))  # a diagonal scaling first, so that widths of any ratio keep their digits
    scaled = np.outer(scale, scale)
    _, vectors = eigh(outer * scaled, inner * scaled)
    return np.asarray(vectors.T * scale)


def _diverges(divergence: FDivergence, p: PlaneMixture, q: PlaneMixture) -> bool:
    """Whether p^a q^b fails to decay in some direction, equality included.

    In the direction d a mixture decays like its slowest Gaussian. So of the law with the positive power a every
    Gaussian N counts, of the other the slowest M: a d'N^-1 d > |b| min_M d'M^-1 d for all d. The forms
    d'(a N^-1 - |b| M^-1)d are positive on arcs of directions, and these cover the circle exactly when each end of an
    arc lies inside of another.
    """
    if divergence.tail_powers is None:
        return False
    a, b = divergence.tail_powers
    unit = np.sqrt(np.diag(p.overall()[1]))  # in units of p, and of q for both at once: forms of order 1
    inverse_p, inverse_q = (np.linalg.inv(law.covariances / np.outer(unit, unit)) for law in (p, q))
    above, below = (a * inverse_p, b * inverse_q) if a > 0 else (b * inverse_q, a * inverse_p)
    for fast in above:
        forms = fast + below
        sizes = np.abs(fast).max() + np.abs(below).max(axis=(1, 2))
        middle, first, second = _angular(forms)
        swing = np.hypot(first, second)
        if np.any(middle - swing > FLAT * sizes):  # one form is positive in all directions
            continue
        partly = np.flatnonzero(middle + swing > FLAT * sizes)
        if not len(partly):
            return True
        half = np.arccos(np.clip(-middle[partly] / swing[partly], -1, 1))
        centre = np.arctan2(second[partly], first[partly])
        ends = np.concatenate([centre - half, centre + half])
        values = middle[:, None] + first[:, None] * np.cos(ends) + second[:, None] * np.sin(ends)
        if np.any(np.max(values / sizes[:, None], axis=0) <= FLAT):
            return True
    return False


def _angular(forms: Array) -> tuple[Array, Array, Array]:
    """d'M d = middle + first cos(2 angle) + second sin(2 angle) for symmetric M, d = (cos, sin)(angle)."""
    return (
        (forms[:, 0, 0] + forms[:, 1, 1]) / 2,
        (forms[:, 0, 0] - forms[:, 1, 1]) / 2,
        (forms[:, 0, 1] + forms[:, 1, 0]) / 2,
    )


class _Axis(NamedTuple):
    """x = centre + scale sinh(u), u between low and high in steps."""

    centre: float
    scale: float
    low: float
    high: float
    step: float

    def nodes(self, step: float, shift: float) -> tuple[Array, Array]:
        """Nodes x and the slopes dx/du of a lattice of the given step, moved by a share of it."""
        count = math.ceil((self.high - self.low) / step)
        u = self.low + step * (np.arange(count + 1) + shift)
        return self.centre + self.scale * np.sinh(u), self.scale * np.cosh(u)


def _refined(divergence: FDivergence, p: PlaneMixture, q: PlaneMixture) -> Quadrature:
    """Lattices of twice as many points each, until the estimated error is rounding or the points are too many."""
    axes = _axes(divergence, p, q)
    total = noise = error = rounding = 0.0
    values: list[float] = []
    area = axes[0].step * axes[1].step
    count = math.prod((axis.high - axis.low) / axis.step + 1 for axis in axes)
    limit = KINKED_POINTS if divergence.kinked else POINTS
    for level in range(60):
        # the squares of the lattice get their centres, then their edges get theirs: a lattice of half the step
        shifts = [(0.0, 0.0)] if level == 0 else [(0.5, 0.5)] if level % 2 else [(0.5, 0.0), (0.0, 0.5)]
        share = 0.5 ** (max(level - 1, 0) // 2)
        for shift in shifts:
            first, second = (axis.nodes(axis.step * share, s) for axis, s in zip(axes, shift, strict=True))
            added = _sums(divergence, p, q, first, second)
            total, noise = total + added[0], noise + added[1]
        weight = area * 0.5**level
        values.append(total * weight)
        if not math.isfinite(values[-1]):
            return Quadrature(math.inf, 0.0)
        rounding = noise * weight
        if level >= 2:
            changes, scale = np.abs(np.diff(values[-6:])), max(1.0, abs(values[-1]))
            change = float(changes[-2:].max())
            # half the step at least squares the relative error where convergence is exponential; the power 3/2 is safe
            error = change * math.sqrt(min(1.0, change / scale))
            if divergence.kinked:  # an error of the order of the area of a square, with a factor of any sign
                error = 2 * float(np.max(changes * 0.5 ** np.arange(len(changes))[::-1]))
            if error <= max(4 * EPS * scale, rounding) or count * 2 ** (level + 1) > limit:
                break
    return Quadrature(values[-1], error + rounding)


def _axes(divergence: FDivergence, p: PlaneMixture, q: PlaneMixture) -> list[_Axis]:
    """For each axis the map x = c + s sinh(u) and the step that need the fewest nodes."""
    means, covariances = np.concatenate([p.means, q.means]), np.concatenate([p.covariances, q.covariances])
    wide, narrow = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2)), _conditional(covariances)
    low, high = (means - REACH * wide).min(axis=0), (means + REACH * wide).max(axis=0)
    if divergence.tail_powers is not None:
        for centre, std in _tails(divergence.tail_powers, p, q):
            low, high = np.minimum(low, centre - REACH * std), np.maximum(high, centre + REACH * std)
    out = []
    for k in (0, 1):
        middle = float(means[np.argmin(narrow[:, k]), k])
        away = np.abs(means[:, k] - middle) + 2 * wide[:, k]
        scales = narrow[:, k].min() * np.geomspace(1.0, 1e3 * (high[k] - low[k]) / narrow[:, k].min(), 40)
        steps = FIRST_STEP * np.min(narrow[:, k] / np.hypot(scales[:, None], away), axis=1)
        steps = np.minimum(steps, 0.3)
        ends = np.arcsinh((np.array([low[k], high[k]]) - middle) / scales[:, None])
        best = int(np.argmin((ends[:, 1] - ends[:, 0]) / steps))
        step = float(steps[best])
        out.append(_Axis(middle, float(scales[best]), float(ends[best, 0]), float(ends[best, 1]), step))
    return out


def _conditional(covariances: Array) -> Array:
    """Standard deviation of each coordinate given the other, shape (k, 2)."""
    std = np.sqrt(np.diagonal(covariances, axis1=1, axis2=2))
    correlation = covariances[:, 0, 1] / std[:, 0] / std[:, 1]
    return np.asarray(std * np.sqrt(np.maximum((1 - correlation) * (1 + correlation), EPS))[:, None])


def _tails(powers: tuple[float, float], p: PlaneMixture, q: PlaneMixture) -> list[tuple[Array, Array]]:
    """Centres and standard deviations of p_i^a q_j^b, wide and far out where the integral is about to diverge.

    Every Gaussian of the law that divides bounds the integrand, so for each of the other law the narrowest product is
    enough.
    """
    (a, b), out = powers, []
    inverse_p, inverse_q = np.linalg.inv(p.covariances), np.linalg.inv(q.covariances)
    one, two = (a * inverse_p, p.means), (b * inverse_q, q.means)
    above, below = (one, two) if a > 0 else (two, one)
    for fast, fast_mean in zip(*above, strict=True):
        found = []
        for slow, slow_mean in zip(*below, strict=True):
            form = fast + slow
            if np.linalg.eigvalsh(form)[0] > 0:
                covariance = np.linalg.inv(form)
                found.append((covariance @ (fast @ fast_mean + slow @ slow_mean), np.sqrt(np.diag(covariance))))
        if found:
            out.append(min(found, key=lambda pair: float(np.max(np.abs(pair[0]) + pair[1]))))
        else:  # only together do they bound the integrand, by the best of them in every direction
            angle = np.linspace(0, math.pi, 721)
            d = np.stack([np.cos(angle), np.sin(angle)])
            slowest = np.min(np.max(np.einsum("im,kij,jm->km", d, fast + below[0], d), axis=0))
            out.append((fast_mean, np.full(2, 1 / math.sqrt(max(float(slowest), FLAT)))))
    return out


def _sums(
    divergence: FDivergence, p: PlaneMixture, q: PlaneMixture, first: tuple[Array, Array], second: tuple[Array, Array]
) -> tuple[float, float]:
    """Sum of the integrand over a lattice of nodes, and the rounding error to expect in it."""
    total = noise = 0.0
    rows = max(1, BLOCK // len(second[0]))
    for start in range(0, len(first[0]), rows):
        x1, slope = first[0][start : start + rows, None], first[1][start : start + rows]
        log_p, log_q = p.log_density_of(x1, second[0]), q.log_density_of(x1, second[0])
        value = divergence.log_integrand(log_p, log_q)
        rounding = np.abs(value)
        for log_density in (log_p, log_q):
            rounding += product(np.exp(log_density), 1 + np.abs(log_density))
        if divergence.tail_powers is not None:  # a power of the ratio carries the errors of both logarithms
            rounding += product(np.abs(value), np.abs(log_p) + np.abs(log_q))
        total += float(slope @ value @ second[1])
        noise += EPS * float(slope @ rounding @ second[1])
    return total, noise
