"""`enclose`: proven intervals of the continuous C(D, P), refined until they are narrow or say which limit they met.

Where the monotone reduction applies (`continuous.conditions`) both ends come from one optimal map and its prices, on
ever more cells; elsewhere a grid gives the upper end and its prices the lower one (`grid_enclosure`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from typing import Any, Literal

from cdp_toy.certificate_files import problem_part
from cdp_toy.continuous.conditions import monotone_threshold
from cdp_toy.continuous.upper import ROUNDING
from cdp_toy.enclosure import CONTINUOUS, RIGOROUS, DistortionEnclosure, Enclosure, nothing, status_of
from cdp_toy.errors import InfeasibleError, InputError, unknown_name
from cdp_toy.evidence import Evidence
from cdp_toy.grid_enclosure import enclose_by_grids
from cdp_toy.point import Bracket, Prices, Status
from cdp_toy.problem import CDPProblem
from cdp_toy.solvers.monotone import (
    MonotoneMap,
    MonotoneProblem,
    flat_map,
    least_distortion,
    least_error,
    monotone_problem,
)
from cdp_toy.validation import check_level

__all__ = ["LADDER", "enclose", "enclose_flat_distortion", "enclose_min_distortion", "enclosure_of"]

#: output cells, one after the other; both ends err with the square of their width
LADDER = (801, 3201, 12801, 25601, 51201)


def enclose(
    problem: CDPProblem,
    max_distortion: float = math.inf,
    max_perception: float = math.inf,
    tol: float = 1e-8,
    rigorous: bool = False,
    *,
    on_infeasible: str = "raise",
    max_cells: int = LADDER[-1],
) -> Enclosure:
    """Enclose the continuous C(D, P) over all restoration channels.

    C(D, P) = inf over W(xhat|y) of P(c0(Xhat) is wrong)  s.t.  E[(X - Xhat)^2] <= D,  d(p_X, p_Xhat) <= P.

    Parameters
    ----------
    problem : CDPProblem
        A Gaussian mixture on the line in Gaussian noise, a classifier with known thresholds, squared error, and a
        smooth f-divergence or a Renyi divergence.
    max_distortion, max_perception : float
        Levels D [squared units of x] and P [units of the divergence]; inf drops one.
    tol : float
        Width of the interval to aim for.
    rigorous : bool
        Evaluate both bounds in ball arithmetic; levels and the numbers of the problem then are the decimals written.
    on_infeasible : "raise" or "return"
        What happens when no channel meets the levels, provably.
    max_cells : int
        Output cells to use at most.

    Returns
    -------
    Enclosure
        OPTIMAL when the interval is narrow enough; INEXACT with the interval reached and the limit met; UNDECIDED so
        near to D_min(P) that neither a restoration nor a proof that there is none was found.

    Raises
    ------
    TypeError
        For a finite problem, which `solve` is for.
    InputError
        When a bound is not possible for this problem, or `rigorous` where the monotone reduction does not apply.
    InfeasibleError
        When no channel meets the levels; its `min_distortion` is the interval of D_min(P).

    Notes
    -----
    Where optimal restorations are monotone maps (two classes, one standard deviation, one threshold) the interval's
    width falls with the square of the number of cells, to about 1e-10 with 25,600 of them. Elsewhere the upper end is a
    grid's; both ends still are proven, but millions of pairs buy about 1e-6.

    References
    ----------
    Liu, Zhang and Xiong, NeurIPS 2019 (the problem).

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> point = cdp.enclose(cdp.presets.paper_toy(), 0.70, 0.002, tol=1e-6)
    >>> print(f"{point.status.name} {point.lower_bound:.6f} {point.gap < 1e-6} {point.scope}")
    OPTIMAL 0.204339 True continuous
    """
    level_d, level_p = _checked(problem, max_distortion, max_perception, tol)
    if on_infeasible not in ("raise", "return"):
        raise unknown_name("on_infeasible", on_infeasible, ("raise", "return"))
    try:
        monotone_threshold(problem)
    except InputError as reason:
        if rigorous:
            raise InputError(f"rigorous enclosures are for monotone problems only: {reason}") from None
        point = enclose_by_grids(problem, level_d, level_p, tol, max_cells, str(reason))
    else:
        point = _enclose_monotone(problem, level_d, level_p, tol, rigorous, max_cells)
    if point.status is Status.INFEASIBLE and on_infeasible == "raise":
        raise InfeasibleError(
            f"no channel has distortion <= {level_d:.12g} at perception <= {level_p:.6g}: {point.note}",
            Bracket(*(point.least_distortion or (math.inf, math.inf)), None, Prices(1.0, point.price_perception)),
        )
    return point


def enclose_min_distortion(
    problem: CDPProblem,
    max_perception: float = math.inf,
    tol: float = 1e-8,
    rigorous: bool = False,
    *,
    max_cells: int = LADDER[-1],
) -> DistortionEnclosure:
    """Enclose D_min(P) of the continuous problem, the least distortion of any channel at a perception level.

    Parameters
    ----------
    problem : CDPProblem
        One that the monotone reduction applies to.
    max_perception : float
        P >= 0 [units of the divergence].
    tol, rigorous, max_cells
        As in `enclose`, the tolerance in squared units of x.

    Raises
    ------
    InputError
        When the monotone reduction does not apply, with the condition that fails; or P is negative.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> least = cdp.enclose_min_distortion(cdp.presets.paper_toy(), tol=1e-6)
    >>> print(f"{least.lower:.6f} {least.gap < 1e-6}")  # P = inf: E Var(X|Y)
    0.641689 True
    """
    _, level = _checked(problem, math.inf, max_perception, tol)
    found = _enclose_distortion(problem, "min_distortion", least_distortion, level, tol, rigorous, max_cells)
    assert found is not None
    return found


def enclose_flat_distortion(
    problem: CDPProblem,
    max_perception: float = math.inf,
    tol: float = 1e-8,
    rigorous: bool = False,
    *,
    max_cells: int = LADDER[-1],
) -> DistortionEnclosure | None:
    """Enclose D_flat(P) of the continuous problem, from where on C(D, P) sits on its floor, the Bayes error of Y.

    Parameters are those of `enclose_min_distortion`. None where no channel of that perception is error-optimal.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> flat = cdp.enclose_flat_distortion(cdp.presets.paper_toy(), 0.01, tol=1e-6)
    >>> print(f"{flat.lower:.6f} {flat.gap < 1e-6}")
    0.667232 True
    """
    _, level = _checked(problem, math.inf, max_perception, tol)
    return _enclose_distortion(problem, "flat_distortion", flat_map, level, tol, rigorous, max_cells)


def enclosure_of(evidence: Evidence, tol: float) -> Enclosure:
    """The interval of C(D, P) that one map and its prices prove, whatever the number of cells.

    Parameters
    ----------
    evidence : Evidence
        Of the quantity "error_rate".
    tol : float
        Width up to which it is OPTIMAL.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> posed = monotone_problem(cdp.presets.paper_toy(), 201)
    >>> point = enclosure_of(Evidence(posed, "error_rate", least_error(posed, 0.7, 0.002), 0.7, 0.002), 1e-5)
    >>> point.status.name, point.n_cells < 202
    ('OPTIMAL', True)
    """
    nowhere = nothing(evidence.posed.problem, evidence.max_distortion, evidence.max_perception, CONTINUOUS)
    return _point(nowhere, evidence, tol, None, last=False)


def _checked(problem: CDPProblem, max_distortion: float, max_perception: float, tol: float) -> tuple[float, float]:
    if not isinstance(problem, CDPProblem):
        raise TypeError(
            f"enclosures are of continuous problems, a CDPProblem; got {type(problem).__name__}. Use solve for a grid"
        )
    if not (math.isfinite(tol) and tol > 0):
        raise InputError(f"tol must be a positive number, got {tol}")
    return check_level(max_distortion, "max_distortion"), check_level(max_perception, "max_perception")


def _ladder(max_cells: int) -> list[int]:
    if max_cells < LADDER[0]:
        raise InputError(f"max_cells must be at least {LADDER[0]}, got {max_cells}")
    return [n for n in LADDER if n <= max_cells]


def _enclose_distortion(
    problem: CDPProblem,
    quantity: Literal["min_distortion", "flat_distortion"],
    solve_map: Callable[[MonotoneProblem, float], MonotoneMap],
    level: float,
    tol: float,
    rigorous: bool,
    max_cells: int,
) -> DistortionEnclosure | None:
    stated = problem_part(problem) if rigorous else None
    ladder = _ladder(max_cells)
    best: DistortionEnclosure | None = None
    for n in ladder:
        found = solve_map(posed := monotone_problem(problem, n), level)
        if found.diverged:
            return None
        evidence = Evidence(posed, quantity, found, math.inf, level)
        lower, upper, certificate = evidence.bound.value, evidence.upper, None
        if stated is not None and (upper - lower <= tol or n == ladder[-1]):
            certificate, balls = evidence.certified(stated)
            lower, upper = balls["lower"][0], balls["upper"][1] if "upper" in balls else math.inf
        scope = CONTINUOUS if certificate is None else RIGOROUS
        best = DistortionEnclosure(quantity, scope, max(lower, 0.0), upper, level, found, problem, certificate)
        if best.gap <= tol and (certificate is not None or not rigorous):
            break
    return best


def _enclose_monotone(
    problem: CDPProblem, max_distortion: float, max_perception: float, tol: float, rigorous: bool, max_cells: int
) -> Enclosure:
    stated = problem_part(problem) if rigorous else None
    point = nothing(problem, max_distortion, max_perception, RIGOROUS if rigorous else CONTINUOUS)
    if max_perception < 0:
        return point
    ladder, within_reach = _ladder(max_cells), False
    for n in ladder:
        posed = monotone_problem(problem, n)
        found = least_distortion(posed, max_perception)
        if not within_reach:
            below = Evidence(posed, "infeasible", found, max_distortion, max_perception)
            if below.bound.value > 0:
                return _infeasible(point, below, stated)
            within_reach = found.value.distortion <= max_distortion
        evidence = Evidence(posed, "error_rate", found, max_distortion, max_perception)
        if within_reach:
            found = least_error(posed, max_distortion, max_perception)
            better = dataclasses.replace(evidence, found=found)
            evidence = better if better.feasible else evidence
        last = n == ladder[-1]
        point = _point(point, evidence, tol, stated, last)
        if point.status is Status.OPTIMAL and (point.certificate is not None or not rigorous):
            break
    return point


def _point(point: Enclosure, evidence: Evidence, tol: float, stated: dict[str, Any] | None, last: bool) -> Enclosure:
    """The point with what one map and its prices prove; certified where that is narrow enough, or the last word."""
    found, posed = evidence.found, evidence.posed
    lower, dual = posed.curve.error_rate(math.inf) - ROUNDING, False
    if found.error_weight > 0 and evidence.bound.value > lower:
        lower, dual = evidence.bound.value, True
    upper, certificate = evidence.upper, None
    if stated is not None and (upper - lower <= tol or last):
        certificate, balls = evidence.certified(stated, with_dual=dual)
        lower, upper = balls["lower"][0], balls["upper"][1] if "upper" in balls else math.inf
    upper = max(upper, lower)
    status = status_of(lower, upper, tol)
    value, feasible = found.value, evidence.feasible
    slope = posed.model.perception.sum_slope(evidence.max_perception) if found.price_perception > 0 and dual else 0.0
    n = len(found.edges) + 1
    note = (
        f"both ends from a nondecreasing map on {n} cells and its prices"
        if dual
        else (f"the floor, the Bayes error of Y, and a nondecreasing map on {n} cells")
    )
    if status is Status.INEXACT:
        note += "; max_cells was reached" if last else ""
    elif status is Status.UNDECIDED:
        note = f"D lies within the width of the interval of D_min(P) on {n} cells; raise it a little, or max_cells"
    return dataclasses.replace(
        point,
        status=status,
        lower_bound=lower,
        upper_bound=upper,
        error_rate=value.error_rate if feasible else math.nan,
        distortion=value.distortion if feasible else math.nan,
        perception=value.perception if feasible else math.nan,
        price_distortion=found.price_distortion if dual else 0.0,
        price_perception=found.price_perception * slope if slope > 0 else 0.0,
        restoration=found if feasible else None,
        n_cells=n,
        note=note,
        certificate=certificate,
    )


def _infeasible(point: Enclosure, below: Evidence, stated: dict[str, Any] | None) -> Enclosure:
    """The point with the proof that there is no channel."""
    certificate = None if stated is None else below.certified(stated)[0]
    lower, upper = point.max_distortion + below.bound.value, below.found.value.distortion
    return dataclasses.replace(
        point,
        status=Status.INFEASIBLE,
        lower_bound=math.inf,
        upper_bound=math.inf,
        price_distortion=1.0,
        price_perception=below.found.price_perception,
        n_cells=len(below.found.edges) + 1,
        note=f"D_min(P) lies in [{lower:.12g}, {upper:.12g}]; raise max_distortion or max_perception",
        certificate=certificate,
        least_distortion=(lower, upper),
    )
