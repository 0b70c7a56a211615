"""Linear denoisers in the plane: Xhat = a Y, or a scaling along and across the class boundary, and the best of them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy.errors import InputError, unknown_name
from cdp_toy.linear.lattice_search import Found, LatticeSearch, meets
from cdp_toy.linear.plane_members import PlaneMembers
from cdp_toy.linear.scalar_search import ScalarSearch, scan
from cdp_toy.problem import CDPProblem
from cdp_toy.validation import Array, check_level, finite_array

__all__ = ["PlaneLinearFamily", "PlaneLinearOptimum"]

FAMILIES = ("scalar", "diagonal")
#: values of each parameter on the lattice of the diagonal family
LATTICE_POINTS = 25
#: step of differences for slopes, and for divergences that are known to about 1e-5 only
STEP, KINKED_STEP = 1e-5, 1e-2


@dataclass(frozen=True)
class PlaneLinearOptimum:
    """A member of the family, with its three figures of merit; `a` is a number ("scalar") or a pair ("diagonal")."""

    a: float | tuple[float, float]
    error_rate: float
    distortion: float
    perception: float


@dataclass(frozen=True, eq=False)
class PlaneLinearFamily:
    """Error rate, distortion and perception of linear denoisers in the plane, and the least error rate under levels.

    C_lin(D, P) = min { error_rate(a) : distortion(a) <= D, perception(a) <= P, a in a_range }.

    "scalar" is Xhat = a Y. "diagonal" is Xhat = F' diag(a1, a2) F Y with the orthogonal frame F of the classifier's
    rule, so that it scales across and along a straight class boundary: the error rate is a matter of the scale across
    it, and the other one is free to serve distortion and perception. F turns the first axis to the normal of the
    boundary; it is I for boundaries along an axis, curved ones and functions. When one coordinate is observed,
    "diagonal" is Xhat = (a1, a2)' Y, a vector times the number that is seen; this law has no density in the plane, and
    every member has the perception of mutually singular laws.

    Parameters
    ----------
    problem : CDPProblem
        GaussianMixture2D source, Gaussian degradation (AdditiveGaussian, Identity, LinearGaussian), squared error.
    family : "scalar" or "diagonal"
    a_range : (low, high)
        Where the optima search each parameter; the curves themselves are defined everywhere.

    Raises
    ------
    InputError
        When a piece of the problem has no closed form here (the message names it), Y has no density, "scalar" is asked
        for with one coordinate of Y, the name of the family is unknown, or a_range is empty.

    Notes
    -----
    Error rates are good to about 1e-12; with a scanned classifier to about 1e-5 (1e-3 where the law of Xhat is nearly
    singular). Optima of "scalar" are found as on the line. Optima of "diagonal" are the best members that a lattice and
    local searches found, hence upper bounds of the family's optimum and no proof of it; they are never worse than the
    scalar family's and never worse than any member of the lattice.

    References
    ----------
    Liu, Zhang and Xiong, "On the Classification-Distortion-Perception Tradeoff", NeurIPS 2019, section 2.4.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> scalar = PlaneLinearFamily(presets.plane_toy())
    >>> diagonal = PlaneLinearFamily(presets.plane_toy(), "diagonal")
    >>> bool(np.isclose(diagonal.perception([0.8, 0.8]), scalar.perception(0.8)))
    True
    """

    problem: CDPProblem
    family: str = "scalar"
    a_range: tuple[float, float] = (0.0, 2.0)

    def __post_init__(self) -> None:
        if not isinstance(self.family, str) or self.family not in FAMILIES:
            raise unknown_name("family of linear denoisers", self.family, FAMILIES)
        members = self._members  # refuses what has no closed form, before anything is asked
        if self.family == "scalar" and members.on_line:
            raise InputError(
                'the family "scalar", Xhat = a Y, needs both coordinates of Y and the degradation leaves one; use '
                'family="diagonal", a vector times the number that is seen'
            )
        ends = finite_array(self.a_range, "a_range")
        if ends.shape != (2,) or not ends[0] < ends[1]:
            raise InputError(f"a_range must be two numbers low < high, got {self.a_range}")
        object.__setattr__(self, "a_range", (float(ends[0]), float(ends[1])))

    @cached_property
    def _members(self) -> PlaneMembers:
        return PlaneMembers(self.problem)

    def _pairs(self, a: ArrayLike) -> tuple[Array, tuple[int, ...]]:
        """Parameters as pairs of shape (N, 2), and the shape of the answer."""
        points = finite_array(a, "a")
        if self.family == "scalar":
            return np.repeat(points.reshape(-1, 1), 2, axis=1), points.shape
        if points.ndim == 0 or points.shape[-1] != 2:
            raise InputError(
                f'a has shape {points.shape}; the family "diagonal" takes pairs (a1, a2), an array of shape (..., 2)'
            )
        return points.reshape(-1, 2), points.shape[:-1]

    def matrix(self, a: ArrayLike) -> Array:
        """The matrix A of Xhat = A Y, shape (2, m) for m coordinates of Y.

        Examples
        --------
        >>> from cdp_toy import presets
        >>> PlaneLinearFamily(presets.inpainting(), "diagonal").matrix((0.9, 0.5)).tolist()
        [[0.9], [0.5]]
        """
        pairs, shape = self._pairs(a)
        if shape != ():
            raise InputError(f"matrix takes one member at a time, a has shape {np.shape(a)}")
        if self._members.on_line:
            return np.asarray(pairs[0][:, None].copy())
        frame = np.eye(2) if self.family == "scalar" else self._members.rule.frame
        return np.asarray(frame.T @ np.diag(pairs[0]) @ frame)

    # error rate

    def error_rate(self, a: ArrayLike) -> Array:
        """Expected class cost of Xhat = A Y (the error rate for 0-1 cost).

        sum_c P_c sum_k class_cost[c, k] P(A Y in region k | c); where Xhat lies on a straight boundary with certainty,
        the rule's answer there counts.

        Examples
        --------
        >>> from cdp_toy import presets
        >>> family = PlaneLinearFamily(presets.plane_toy(), "diagonal")
        >>> bool(np.ptp(family.error_rate([[0.5, 0.1], [0.5, 2.0]])) == 0)  # a2 is along the boundary
        True
        """
        pairs, shape = self._pairs(a)
        return _plain(self._members.errors(pairs).reshape(shape))

    # distortion

    def distortion(self, a: ArrayLike) -> Array:
        """Mean squared error E|X - A Y|^2 = tr((I - A H) E[X X'] (I - A H)') + tr(A S A') [squared units of x].

        Examples
        --------
        >>> from cdp_toy import presets
        >>> family = PlaneLinearFamily(presets.plane_toy())
        >>> print(f"{family.distortion(1.0):.12f}")  # twice the variance of the noise
        2.000000000000
        """
        pairs, shape = self._pairs(a)
        return _plain(self._members.distortions(pairs).reshape(shape))

    # perception

    def perception(self, a: ArrayLike) -> Array:
        """Divergence of the law of A Y from the law of X in the plane, to about 1e-13 (relative where it exceeds 1).

        In nats or dimensionless, as the divergence is; inf where the integral diverges. Where A Y has no density the
        laws are mutually singular and the value is f(0) + lim f(r)/r. Divergences with a kink (tv) are known to 1e-5
        to 1e-4.

        Examples
        --------
        >>> from cdp_toy import presets
        >>> print(PlaneLinearFamily(presets.inpainting(), "diagonal").perception([0.9, 0.5]))
        inf
        """
        return _plain(self._quadrature(a)[..., 0])

    def perception_error(self, a: ArrayLike) -> Array:
        """Estimated error of `perception`: lattices of different steps compared, plus rounding; 0 where it is inf."""
        return _plain(self._quadrature(a)[..., 1])

    def _quadrature(self, a: ArrayLike) -> Array:
        """Perception and its error in the last axis."""
        pairs, shape = self._pairs(a)
        return self._members.divergences(pairs).reshape(*shape, 2)

    # what the optima are found with

    @cached_property
    def _scalar_search(self) -> ScalarSearch:
        """The curves of the scalar family, scanned on first use in about a second."""
        vertex, curvature = self._members.parabola
        return ScalarSearch(
            self.error_rate,
            self.distortion,
            self.perception,
            (float(vertex @ curvature / curvature.sum()), float(curvature.sum())),
            self.a_range,
        )

    @cached_property
    def _search(self) -> LatticeSearch:
        """The lattice of the diagonal family and the least distortion, tabulated on first use in a few seconds."""
        members, kinked = self._members, self._members.divergence.kinked
        return LatticeSearch(
            members.errors,
            members.distortions,
            lambda pairs: members.divergences(pairs)[:, 0],
            scan(self.a_range, LATTICE_POINTS),
            np.clip(members.parabola[0], *self.a_range)[None],
            KINKED_STEP if kinked else STEP,
        )

    @cached_property
    def _scalar(self) -> PlaneLinearFamily | None:
        """The scalar family that the diagonal one contains, None when one coordinate is observed."""
        return None if self._members.on_line else PlaneLinearFamily(self.problem, "scalar", self.a_range)

    def _scalar_pairs(self, optimum: PlaneLinearOptimum | None) -> Array:
        return np.zeros((0, 2)) if optimum is None else np.full((1, 2), optimum.a)

    def _found(self, max_distortion: float, max_perception: float) -> Found | None:
        start = None if self._scalar is None else self._scalar.best(max_distortion, max_perception)
        return self._search.best(max_distortion, max_perception, self._scalar_pairs(start))

    # optima

    def _optimum(self, a: float) -> PlaneLinearOptimum:
        numbers = (float(curve(a)) for curve in (self.error_rate, self.distortion, self.perception))
        return PlaneLinearOptimum(float(a), *numbers)

    def best(self, max_distortion: float, max_perception: float) -> PlaneLinearOptimum | None:
        """The member of least error rate with distortion <= D and perception <= P, None where there is none.

        A level inf drops the constraint. Among equal errors the one of least distortion is returned.

        In the family "diagonal" this is the best member that was found, from the best points of a lattice by local
        searches: an upper bound of the family's optimum and no proof of it. None means that no member was found, and
        ties are settled among the members that were looked at. The three numbers are recomputed and meet the levels to
        1e-12.

        Examples
        --------
        >>> from cdp_toy import presets
        >>> family = PlaneLinearFamily(presets.plane_toy(), "diagonal")
        >>> family.best(0.1, float("inf")) is None
        True
        """
        levels = check_level(max_distortion, "max_distortion"), check_level(max_perception, "max_perception")
        if self.family == "diagonal":
            found = self._found(*levels)
            return None if found is None else PlaneLinearOptimum(found.pair, *found.values)
        candidates = self._scalar_search.candidates(*levels)
        if not len(candidates):
            return None
        errors = self.error_rate(candidates)
        equal = candidates[errors <= errors.min() + 1e-15]
        return self._optimum(equal[np.argmin(self.distortion(equal))])

    def best_error_rate(self, max_distortion: ArrayLike, max_perception: ArrayLike) -> Array:
        """Least error rate on broadcast arrays of levels; nan where no member is feasible (or none was found).

        In the family "diagonal" every member found for one pair of levels serves all pairs of the call whose levels it
        meets, so that the answer never rises with a level; see `best` for what it means.
        """
        levels = [np.asarray(v, dtype=np.float64) for v in (max_distortion, max_perception)]
        for level, name in zip(levels, ("max_distortion", "max_perception"), strict=True):
            if np.isnan(level).any():
                raise InputError(f"{name} has NaN; give numbers, or inf to drop the constraint")
        distortions, perceptions = np.broadcast_arrays(*levels)
        out = np.full(distortions.shape, np.nan)
        pool: list[tuple[float, float, float]] = []
        for k in np.ndindex(out.shape):
            pair = float(distortions[k]), float(perceptions[k])
            if self.family == "scalar":
                candidates = self._scalar_search.candidates(*pair)
                out[k] = np.min(self.error_rate(candidates)) if len(candidates) else np.nan
            elif (found := self._found(*pair)) is not None:
                pool.append(found.values)
        if pool:
            known = np.array(pool)
            for k in np.ndindex(out.shape):
                inside = meets(known, float(distortions[k]), float(perceptions[k]))
                out[k] = known[inside, 0].min() if inside.any() else np.nan
        return _plain(out)

    def least_error(self) -> PlaneLinearOptimum:
        """The member of least error rate in a_range (the best that was found, in the family "diagonal")."""
        found = self.best(math.inf, math.inf)
        assert found is not None  # no level excludes a member
        return found

    def least_distortion(self) -> PlaneLinearOptimum:
        """The member of least distortion in a_range, in closed form.

        Examples
        --------
        >>> from cdp_toy import presets
        >>> least = PlaneLinearFamily(presets.plane_toy(), "diagonal").least_distortion()
        >>> least.distortion < PlaneLinearFamily(presets.plane_toy()).least_distortion().distortion
        True
        """
        if self.family == "scalar":
            return self._optimum(self._scalar_search.least_distortion)
        a1, a2 = np.clip(self._members.parabola[0], *self.a_range).tolist()
        numbers = (float(curve((a1, a2))) for curve in (self.error_rate, self.distortion, self.perception))
        return PlaneLinearOptimum((a1, a2), *numbers)

    def least_perception(self) -> PlaneLinearOptimum:
        """The member of least perception in a_range (the least that was found, in the family "diagonal")."""
        if self.family == "scalar":
            return self._optimum(self._scalar_search.least_perception)
        start = None if self._scalar is None else self._scalar.least_perception()
        found = self._search.least(2, self._scalar_pairs(start))
        return PlaneLinearOptimum(found.pair, *found.values)


def _plain(values: Array) -> Array:
    """Scalars come back as numbers, arrays as arrays."""
    return values[()]
