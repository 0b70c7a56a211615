"""Expected class cost of Gaussians in the plane under a predefined rule: the error rates of linear denoisers.

One straight boundary is a closed form in normal cdfs, and so is any rule when the law lies on a line. Otherwise the
mass of the regions is an integral along the first axis of closed forms along the second, over panels that end where two
boundaries merge (the ends of an ellipse) and are halved until two Gauss rules agree.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from scipy.special import ndtr

from cdp_toy.classifiers import PlaneRule
from cdp_toy.classifiers.plane import QuadraticRule
from cdp_toy.classifiers.scan import ScanRule
from cdp_toy.normal import interval_mass, normal_density
from cdp_toy.sources import GaussianMixture2D
from cdp_toy.validation import Array, Indices, Mask

__all__ = ["RuleCost"]

#: Panels reach this many standard deviations; beyond lies less than 1e-18.
REACH = 9.0
#: Panels of every Gaussian to begin with.
PANELS = 9
#: Disagreement of rules of 12 and 20 nodes, relative to the largest cost, that ends the halving of a panel (the larger
#: rule is then off by about its power 5/3), and the most halvings.
ACCURACY, HALVINGS = 1e-10, 40
#: A panel in which the classes along the lines change is halved down to this width: its square is lost at a kink.
KINK = 1e-7
#: A law is thin when its width across is below this share of that along its axis.
THIN = 0.1
#: Panels evaluated at a time.
BLOCK = 1 << 13
#: A scanned rule is probed once, on this many equal panels, and on panels that shrink by halves towards the origin.
SCANNED_PANELS, SCANNED_SCALES = 64, 24
EPS = float(np.finfo(np.float64).eps)

# Gauss rules in v, the node at (3 v - v^3) / 2 of a panel: where boundaries merge at an end of the panel, their square
# root becomes analytic. Two nodes close to the ends have no weight; they only tell which classes are met.
_LARGE, _SMALL = np.polynomial.legendre.leggauss(20), np.polynomial.legendre.leggauss(12)
_V = np.concatenate([_LARGE[0], _SMALL[0], [1e-4 - 1, 1 - 1e-4]])
_PLACES, _STRETCH = (3 * _V - _V**3) / 2, 1.5 * (1 - _V**2)
_FINE = _STRETCH * np.concatenate([_LARGE[1], np.zeros(14)])
_COARSE = _STRETCH * np.concatenate([np.zeros(20), _SMALL[1], np.zeros(2)])


@dataclass(frozen=True, eq=False)
class RuleCost:
    """Sum over Gaussians g and classes k of stakes[g, k] P(rule answers k | Gaussian g).

    Parameters
    ----------
    rule : PlaneRule
    stakes : array of shape (G, K)
        Joint weight of a Gaussian times the cost of deciding class k when the class is that of the Gaussian.

    Examples
    --------
    >>> from cdp_toy.classifiers import LinearClassifier
    >>> rule = LinearClassifier((1.0, 0.0), 1.0).rule(None, None)
    >>> cost = RuleCost(rule, np.array([[0.0, 1.0]]))
    >>> straight = cost.beside_boundary(np.array([[0.0]]), np.array([[2.0]]))
    >>> curved = cost.in_plane(*(np.array([[v]]) for v in (0.0, 2.0, 0.3, 0.1, 0.7)))
    >>> bool(np.allclose([straight, curved], ndtr(-0.5), rtol=0, atol=1e-14))
    True
    """

    rule: PlaneRule
    stakes: Array

    @cached_property
    def boundary(self) -> tuple[int, float, int, int] | None:
        """Axis of the frame, place, and the classes below and above of a single straight boundary, None for others."""
        places = [(axis, place) for axis in (0, 1) for place in self.rule.marks[axis]]
        if len(places) != 1:
            return None
        axis, place = places[0]
        beside = np.array([[place - 1 - abs(place)], [place + 1 + abs(place)]]) * self.rule.frame[axis]
        below, above = self.rule.at(beside).tolist()
        return axis, place, int(below), int(above)

    @cached_property
    def at_origin(self) -> float:
        """Cost of the law that is 0 with certainty."""
        return math.fsum(self.stakes[:, self.rule.at(np.zeros(2))])

    def beside_boundary(self, means: Array, stds: Array) -> Array:
        """Cost with a single straight boundary, from the coordinate normal to it, shape (N,).

        `means` and `stds` have shape (N, G). A linear image whose std is 0 has this coordinate 0 with certainty, and
        where the boundary goes through 0, the rule's own answer there counts.
        """
        assert self.boundary is not None
        _, place, below, above = self.boundary
        with np.errstate(divide="ignore", invalid="ignore"):
            upper = ndtr((means - place) / stds)
        step = self.stakes[:, above] - self.stakes[:, below]
        found = math.fsum(self.stakes[:, below]) + np.where(stds > 0, upper, 0.0) @ step
        return np.where(np.all(stds == 0, axis=1), self.at_origin, found)

    def on_line(self, direction: Array, means: Array, stds: Array) -> float:
        """Cost of direction * Z, Z Gaussian on the line with `means` and `stds` of shape (G,), direction not 0."""
        length = math.hypot(*direction)
        unit = direction / length
        frame = np.array([[unit[1], -unit[0]], unit])
        reach = length * float(np.max(np.abs(means) + REACH * stds))
        boundaries, classes = self._slices(frame, np.zeros(1), reach)
        return float(self._along(boundaries, classes, length * means[None], length * stds[None]).sum())

    def in_plane(self, means: Array, stds: Array, offsets: Array, slopes: Array, rests: Array) -> Array:
        """Cost of Gaussians in the coordinates u of the rule's frame, shape (N,).

        Parameters
        ----------
        means, stds : arrays of shape (N, G)
            Of u1.
        offsets, slopes, rests : arrays of shape (N, G)
            u2 given u1 has the mean offset + slope (u1 - mean) and the standard deviation rest > 0.
        """
        shape = means.shape
        laws = np.stack([v.ravel() for v in (means, stds, offsets, slopes, rests)])
        if self.rule.exact:
            parts = self._halved(laws, np.tile(np.arange(shape[1]), shape[0]))
        else:
            parts = self._scanned(laws, np.tile(np.arange(shape[1]), shape[0]))
        return np.asarray(parts.reshape(shape).sum(axis=1))

    def _halved(self, laws: Array, which: Indices) -> Array:
        """Cost of each Gaussian by panels in its own standardized u1, halved until two rules agree."""
        n = len(which)
        turns = (np.broadcast_to(self._turns, (n, len(self._turns))) - laws[0][:, None]) / laws[1][:, None]
        turns = np.concatenate([turns, self._crossings(laws)], axis=1)
        start = np.broadcast_to(np.linspace(-REACH, REACH, PANELS + 1), (n, PANELS + 1))
        ends = np.sort(np.concatenate([start, np.clip(turns, -REACH, REACH)], axis=1), axis=1)
        owner = np.repeat(np.arange(n), ends.shape[1] - 1)
        left, right = ends[:, :-1].ravel(), ends[:, 1:].ravel()
        wide = right > left
        owner, left, right = owner[wide], left[wide], right[wide]
        total, tolerance = np.zeros(n), ACCURACY * max(float(np.abs(self.stakes).max()), EPS)
        for step in range(HALVINGS + 1):
            values = [
                self._rules(laws, which, owner[k : k + BLOCK], left[k : k + BLOCK], right[k : k + BLOCK])
                for k in range(0, len(owner), BLOCK)
            ]
            fine, off, mixed = (np.concatenate(parts) for parts in zip(*values, strict=True))
            split = ((off > tolerance) | (mixed & (right - left > KINK))) & (step < HALVINGS)
            np.add.at(total, owner[~split], fine[~split])
            if not split.any():
                break
            middle = 0.5 * (left + right)[split]
            left, right = np.concatenate([left[split], middle]), np.concatenate([middle, right[split]])
            owner = np.tile(owner[split], 2)
        return total

    def _rules(
        self, laws: Array, which: Indices, owner: Indices, left: Array, right: Array
    ) -> tuple[Array, Array, Mask]:
        """Values of panels, disagreement of two rules, and whether the classes met along the lines change inside."""
        half = 0.5 * (right - left)
        z = left[:, None] + half[:, None] * (1 + _PLACES)
        mean, std, offset, slope, rest = laws[:, owner, None]
        boundaries, classes = self.rule.slices(self.rule.frame, (mean + std * z).ravel())
        middle, spread = (offset + slope * std * z).ravel(), np.broadcast_to(rest, z.shape).ravel()
        stakes = self.stakes[np.repeat(which[owner], z.shape[1])]
        values = _masses(boundaries, classes, middle, spread, stakes).reshape(z.shape) * normal_density(z)
        fine, coarse = (half * (values @ weights) for weights in (_FINE, _COARSE))
        met = _met(boundaries, classes).reshape(z.shape)
        return fine, np.abs(fine - coarse), np.any(met != met[:, :1], axis=1)

    def _crossings(self, laws: Array) -> Array:
        """Standardized u1 where the axis of a thin law meets a boundary: its cost changes there as if by a step."""
        means, stds, offsets, slopes, rests = laws
        found = []
        for k in np.flatnonzero(rests < THIN * np.hypot(1.0, slopes) * stds):
            axis = np.array([1.0, slopes[k]]) / math.hypot(1.0, slopes[k])
            turned = np.array([[axis[1], -axis[0]], axis])
            place = turned @ np.array([means[k], offsets[k]])
            boundaries, _ = self.rule.slices(turned @ self.rule.frame, place[:1])
            found.append((k, (boundaries[0] - place[1]) * axis[0] / stds[k]))
        out = np.full((len(means), max((len(z) for _, z in found), default=0)), np.inf)
        for k, z in found:
            out[k, : len(z)] = z
        return out

    @cached_property
    def _turns(self) -> Array:
        """Places along the first axis where two boundaries merge or cross, or one leaves to infinity."""
        if not isinstance(self.rule, QuadraticRule):
            return np.zeros(0)
        (along, across), n = self.rule.frame, len(self.rule.offsets)
        # along the line u1 = t a score is a polynomial in s = u2, whose coefficients are polynomials in t
        scores = [
            (
                np.array([across @ a @ across]),
                np.array([along @ (a + a.T) @ across, b @ across]),
                np.array([along @ a @ along, along @ b, c]),
            )
            for a, b, c in zip(self.rule.matrices, self.rule.vectors, self.rule.offsets, strict=True)
        ]
        size = max(float(np.abs(part).max()) for score in scores for part in score)
        gaps = {
            (i, j): [x - y for x, y in zip(scores[i], scores[j], strict=True)] for i, j in combinations(range(n), 2)
        }
        polynomials = []
        for square, linear, constant in gaps.values():
            polynomials.append(np.polysub(np.polymul(linear, linear), np.polymul(4 * square, constant)))
            if abs(square[0]) <= 1e-14 * size:
                polynomials.append(linear)
                if np.all(np.abs(linear) <= 1e-14 * size):
                    polynomials.append(constant)
        for i, j, k in combinations(range(n), 3):  # three scores are equal where the resultant of two gaps vanishes
            (a, b, c), (d, e, f) = gaps[i, j], gaps[i, k]
            outer = np.polysub(np.polymul(a, f), np.polymul(c, d))
            inner = [np.polysub(np.polymul(x, y), np.polymul(z, w)) for x, y, z, w in ((a, e, b, d), (b, f, c, e))]
            polynomials.append(np.polysub(np.polymul(outer, outer), np.polymul(*inner)))
            if abs(a[0]) <= 1e-14 * size and abs(d[0]) <= 1e-14 * size:  # straight lines: the resultant is another one
                polynomials.append(inner[1])
        found: list[float] = []
        for polynomial in polynomials:
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                roots = np.roots(polynomial)
            near = np.abs(roots.imag) <= 1e-7 * np.abs(roots)  # a double root comes as a pair of complex ones
            found += [float(t) for t in roots.real[near] if math.isfinite(t)]
        return np.unique(found)

    def _along(self, boundaries: Array, classes: Indices, means: Array, stds: Array) -> Array:
        """Cost of every Gaussian along lines, shape (m, G), from means and stds of shape (m, G)."""
        columns = [
            _masses(boundaries, classes, means[:, g], stds[:, g], np.broadcast_to(row, (len(boundaries), len(row))))
            for g, row in enumerate(self.stakes)
        ]
        return np.stack(columns, axis=1)

    # rules that are known by asking only

    def _slices(self, frame: Array, t: Array, reach: float) -> tuple[Array, Indices]:
        """Slices of the rule; a scanned one is probed as far as the law reaches, not as far as the source does."""
        if self.rule.exact:
            return self.rule.slices(frame, t)
        wide = GaussianMixture2D([1.0], [(0.0, 0.0)], (reach / REACH) ** 2)
        return ScanRule(self.rule.at, wide).slices(frame, t)

    def _scanned(self, laws: Array, which: Indices) -> Array:
        """Cost of each Gaussian on nodes that are probed once for all laws of about the same reach."""
        means, stds, offsets, slopes, rests = laws
        far = np.maximum(np.abs(means) + REACH * stds, np.abs(offsets) + REACH * (np.abs(slopes) * stds + rests))
        t, weights, boundaries, classes = self._probed(math.ceil(math.log2(float(far.max()))))
        total = np.zeros(len(which))
        for k, (mean, std, offset, slope, rest) in enumerate(laws.T):
            z = (t - mean) / std
            near = np.abs(z) < REACH
            stakes = np.broadcast_to(self.stakes[which[k]], (int(near.sum()), self.stakes.shape[1]))
            middle, spread = offset + slope * std * z[near], np.full(int(near.sum()), rest)
            values = _masses(boundaries[near], classes[near], middle, spread, stakes)
            density = weights[near] * normal_density(z[near]) / std
            total[k] = values @ density / density.sum() if density.sum() > 0 else math.nan
        return total

    def _probed(self, octave: int) -> tuple[Array, Array, Array, Indices]:
        """Nodes along the first axis within 2^octave with weights, and the slices there."""
        known: dict[int, tuple[Array, Array, Array, Indices]] = self.__dict__.setdefault("_known", {})
        if octave not in known:
            reach = math.ldexp(1.0, octave)
            inner = 2 / SCANNED_PANELS * 0.5 ** np.arange(1, SCANNED_SCALES)
            ends = reach * np.sort(np.concatenate([np.linspace(-1, 1, SCANNED_PANELS + 1), inner, -inner]))
            half = 0.5 * np.diff(ends)
            t = (ends[:-1, None] + half[:, None] * (1 + _LARGE[0])).ravel()
            known[octave] = (t, (half[:, None] * _LARGE[1]).ravel(), *self._slices(self.rule.frame, t, reach))
        return known[octave]


def _masses(boundaries: Array, classes: Indices, means: Array, stds: Array, stakes: Array) -> Array:
    """Cost along lines: for each line the boundaries (m, b), classes (m, b + 1), a Gaussian and its stakes (m, K)."""
    lines = np.arange(len(boundaries))
    total = np.zeros(len(boundaries))
    low = np.full(len(boundaries), -np.inf)
    for run in range(classes.shape[1]):
        last = run == classes.shape[1] - 1
        high = np.full(len(boundaries), np.inf) if last else (boundaries[:, run] - means) / stds
        total += stakes[lines, classes[:, run]] * interval_mass(low, high)
        low = high
    return total


def _met(boundaries: Array, classes: Indices) -> Indices:
    """A number for the sequence of different classes along each line."""
    code, last = classes[:, 0] + 1, classes[:, 0]
    for run in range(boundaries.shape[1]):
        new = np.isfinite(boundaries[:, run]) & (classes[:, run + 1] != last)
        code = np.where(new, 31 * code + classes[:, run + 1] + 1, code)
        last = np.where(new, classes[:, run + 1], last)
    return code
