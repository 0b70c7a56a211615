"""`solve`: one certified point C(D, P) of a finite problem."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Literal

import numpy as np

from cdp_toy.boundary import anchors_near_boundary, min_distortion
from cdp_toy.certificates import FEASIBILITY_TOL, Evaluation, Program, dual_bound, verdict
from cdp_toy.edges import Hint, cheap_anchors
from cdp_toy.errors import InfeasibleError, InputError, unknown_name
from cdp_toy.finite import DiscreteProblem
from cdp_toy.perceptions import CATALOGUE
from cdp_toy.point import Bracket, Status
from cdp_toy.solution import Solution
from cdp_toy.solvers.engine import SOLVERS, Certified, SolverName, certify
from cdp_toy.validation import check_level

__all__ = ["solve"]


def solve(
    problem: DiscreteProblem,
    max_distortion: float = math.inf,
    max_perception: float = math.inf,
    *,
    solver: SolverName = "auto",
    tol: float = 1e-8,
    on_infeasible: Literal["raise", "return"] = "raise",
    warm_start: Solution | None = None,
    boundary: Bracket | None = None,
) -> Solution:
    """Least error rate over all restoration channels at given distortion and perception levels.

    C(D, P) = min over W of sum_y p_Y sum_xhat W e  s.t.  E[Delta] <= D,  d(p_X, q) <= P.

    Parameters
    ----------
    problem : DiscreteProblem
    max_distortion : float
        D [distortion units, squared units of x for squared error]; inf drops the constraint.
    max_perception : float
        P [nats for kl, reverse_kl, js and renyi, units of x for w1, squared ones for w2_squared]; inf drops the
        constraint, 0 asks for the source law itself.
    solver : "auto", "interior_point" or "reference"
        ==================  ========================================================================================
        P = inf             closed form (a fractional knapsack), whatever is asked for
        P = 0               transport LP through HiGHS, whatever is asked for
        smooth divergence   "auto": interior point, and cone programs where that leaves a gap; or what is asked for
        tv, w1, w2_squared  "auto": linear program through HiGHS, and cone programs where that leaves a gap;
                            "reference": cone programs through CVXPY
        ==================  ========================================================================================
    tol : float
        Absolute certified gap to aim for; a larger one gives status INEXACT, with both bounds valid.
    on_infeasible : "raise" or "return"
        What to do when infeasibility is proven.
    warm_start : Solution, optional
        A point of the same problem: its prices and channel are certified at the new levels first, and when they
        already close the gap no solver runs.
    boundary : Bracket, optional
        `min_distortion(problem, max_perception)` when it is known already; saves computing it again.

    Returns
    -------
    Solution
        Status OPTIMAL, INEXACT, UNDECIDED (or INFEASIBLE with on_infeasible="return"), decided from the bounds alone.

    Raises
    ------
    InfeasibleError
        When infeasibility is proven; it names D_min at this P and holds the certificate.
    InputError
        When a level is NaN, an option is unknown or `warm_start` belongs to a problem of another shape.
    TypeError
        For a CDPProblem: discretize it first (or enclose the continuous one).

    References
    ----------
    Liu, Zhang and Xiong, NeurIPS 2019, equations (5)-(8).

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> point = cdp.solve(cdp.presets.paper_toy().discretize(n=31), max_distortion=0.75, max_perception=0.05)
    >>> point.status.name, round(point.upper_bound, 6)
    ('OPTIMAL', 0.204117)
    """
    if not isinstance(problem, DiscreteProblem):
        raise TypeError(
            f"solve needs a DiscreteProblem, got {type(problem).__name__}: call problem.discretize(n=201) for the "
            "grid problem; two-sided bounds of the continuous one are the business of enclose"
        )
    if solver not in SOLVERS:
        raise unknown_name("solver", solver, SOLVERS)
    if solver == "interior_point" and not problem.perception.smooth:
        able = ", ".join([name for name, perception in CATALOGUE.items() if perception.smooth] + ["renyi:ORDER"])
        raise InputError(
            f"the interior-point method needs a smooth divergence ({able}), and {problem.perception.name} is none; "
            'use solver="reference" or "auto"'
        )
    if on_infeasible not in ("raise", "return"):
        raise unknown_name("on_infeasible", on_infeasible, ("raise", "return"))
    if not (math.isfinite(tol) and tol > 0):
        raise InputError(f"tol must be a positive number, got {tol}")
    limit_d, limit_p = check_level(max_distortion, "max_distortion"), check_level(max_perception, "max_perception")
    program = Program(problem, problem.error_cost, limit_d, limit_p)
    if warm_start is not None and not isinstance(warm_start, Solution):
        raise InputError(f"warm_start must be a Solution, got {type(warm_start).__name__}")
    hints = _hints_of(problem, warm_start)

    anchor = next((a for a in cheap_anchors(program) if a.violation <= 0), None) if limit_p >= 0 else None
    if anchor is None and boundary is None:
        boundary = min_distortion(problem, limit_p)
    if anchor is None and boundary is not None:
        slack = FEASIBILITY_TOL * program.distortion_scale
        if limit_p < 0 or _proven_minimum(problem, limit_p, boundary) > limit_d + slack:
            return _infeasible(problem, limit_d, limit_p, boundary, on_infeasible)

    def anchors() -> Iterator[Evaluation]:
        if boundary is not None:
            yield from anchors_near_boundary(program, boundary)

    certified = certify(program, tol, anchors, hints, solver)
    return _solution(program, certified, tol, _note(certified, boundary, limit_d, limit_p))


def _proven_minimum(problem: DiscreteProblem, limit_p: float, boundary: Bracket) -> float:
    """Lower end of D_min from the bracket's potential, proven afresh: a bracket may come from elsewhere."""
    if boundary.potential is None or len(boundary.potential) != problem.n_x:
        raise InputError("boundary must be min_distortion(problem, max_perception) of this very problem and level")
    program = Program(problem, problem.distortion_cost, max_perception=limit_p)
    return dual_bound(program, 0.0, boundary.potential).value


def _hints_of(problem: DiscreteProblem, warm_start: Solution | None) -> list[Hint]:
    if warm_start is None:
        return []
    if warm_start.problem.shape != problem.shape:
        raise InputError(
            f"warm_start belongs to a problem of shape {warm_start.problem.shape}, this one has {problem.shape}"
        )
    potential = np.zeros(problem.n_x) if warm_start.potential is None else warm_start.potential
    channel = warm_start.sparse_channel
    joint = None if channel is None else problem.p_y[:, None] * channel.toarray()
    return [Hint(joint, warm_start.price_distortion, potential, f"warm start ({warm_start.solver})")]


def _note(certified: Certified, boundary: Bracket | None, limit_d: float, limit_p: float) -> str:
    if limit_p == 0:
        return "P = 0: the channel was rounded to the source law, no strict interior exists"
    if certified.best is None or not certified.best.feasible:
        known = "" if boundary is None else f": D_min lies in [{boundary.lower:.12g}, {boundary.upper:.12g}]"
        return f"D = {limit_d:.12g} is too close to the least distortion at P = {limit_p:.6g}{known}"
    return ""


def _solution(program: Program, certified: Certified, tol: float, note: str) -> Solution:
    best, bound = certified.best, certified.bound
    channel = None if best is None else best.channel
    nothing = math.nan
    return Solution(
        status=verdict(bound.value, best, tol),
        scope="grid",
        lower_bound=bound.value,
        upper_bound=max(certified.upper, bound.value),
        error_rate=nothing if best is None else best.error_rate,
        distortion=nothing if best is None else best.distortion,
        perception=nothing if best is None else best.perception,
        max_distortion=program.max_distortion,
        max_perception=program.max_perception,
        price_distortion=bound.price_distortion,
        price_perception=bound.price_perception,
        problem=program.problem,
        sparse_channel=channel,
        potential=bound.potential,
        solver=certified.solver,
        note=note,
        feasibility_tol=FEASIBILITY_TOL,
    )


def _infeasible(
    problem: DiscreteProblem, limit_d: float, limit_p: float, boundary: Bracket, on_infeasible: str
) -> Solution:
    if limit_p < 0:
        message = f"max_perception = {limit_p:.6g} is negative, but no divergence is; use 0 or more"
    else:
        grid = "" if problem.grid is None else " of this grid"
        finer = "; a finer grid allows less distortion" if problem.kind == "cells" else ""
        message = (
            f"no channel{grid} has distortion <= {limit_d:.12g} at perception <= {limit_p:.6g}: the least is D_min = "
            f"{boundary.upper:.12g} (proven to be at least {boundary.lower:.12g}); raise max_distortion or "
            f"max_perception{finer}"
        )
    if on_infeasible == "raise":
        raise InfeasibleError(message, boundary)
    return Solution(
        status=Status.INFEASIBLE,
        scope="grid",
        lower_bound=math.inf,
        upper_bound=math.inf,
        error_rate=math.nan,
        distortion=math.nan,
        perception=math.nan,
        max_distortion=limit_d,
        max_perception=limit_p,
        price_distortion=1.0,
        price_perception=boundary.prices.perception,
        problem=problem,
        sparse_channel=None,
        potential=boundary.potential,
        solver="boundary",
        note=message,
        feasibility_tol=FEASIBILITY_TOL,
    )
