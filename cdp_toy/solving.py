"""`solve`: one certified point C(D, P) of a finite problem."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
from scipy.sparse import csr_array, diags_array

from cdp_toy.boundary import anchors_near_boundary, bracket_of_minimum
from cdp_toy.certificates import FEASIBILITY_TOL, Program, dual_bound, verdict
from cdp_toy.edges import Hint
from cdp_toy.errors import InfeasibleError, InputError, unknown_name
from cdp_toy.finite import DiscreteProblem
from cdp_toy.perceptions import CATALOGUE
from cdp_toy.point import Bracket, Status
from cdp_toy.solution import Solution
from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.engine import SOLVERS, Certified, SolverName, begins_with, certify, refuse_if_too_large
from cdp_toy.solvers.levels import Near, Neighbour
from cdp_toy.solvers.line import line_problem
from cdp_toy.solvers.restriction import SavedState
from cdp_toy.validation import check_level

__all__ = ["SolveInterrupted", "solve", "which_solver"]


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
    max_iter: int | None = None,
    time_limit: float | None = None,
) -> Solution:
    """Least error rate over all restoration channels at given distortion and perception levels.

    C(D, P) = min over W of sum_y p_Y sum_xhat W e  s.t.  E[Delta] <= D,  d(p_X, q) <= P.

    Parameters
    ----------
    problem : DiscreteProblem
    max_distortion : float
        D [distortion units, squared units of x for squared error]; inf drops the constraint.
    max_perception : float
        P [nats for kl, reverse_kl, js and renyi]; inf drops the constraint, 0 asks for the source law itself.
    solver : str
        Which method may run (`which_solver` tells what "auto" begins with):

        ===================  ======================================================================================
        "auto"               P = inf: closed form (a fractional knapsack). P = 0: linear program. A smooth
                             divergence (all f-divergences but tv): "cuts" on the line; elsewhere, and where that does
                             not end, "interior_point" up to 1,000 pairs (y, xhat), "levels" beyond. tv, w1,
                             w2_squared: "linear_program". What leaves a gap is followed by "interior_point" up to
                             160,000 pairs and by "reference" up to 45,000.
        "cuts"               Newton's method on the cuts of the output law's cumulative (docs/theory.md, section 6);
                             smooth divergences but renyi, squared error and two classes on the line; it may not end.
        "interior_point"     Newton's method on all pairs; smooth divergences, n_y n_xhat numbers in memory.
        "levels"             the same on the few pairs that matter, through coarser problems; smooth divergences.
        "linear_program"     HiGHS through SciPy; tv, w1, w2_squared.
        "reference"          cone programs through CVXPY, plain and slow; every divergence.
        ===================  ======================================================================================

        P = inf and P = 0 are solved as with "auto", whatever is asked for.
    tol : float
        Absolute certified gap to aim for; a larger one gives status INEXACT, with both bounds valid.
    on_infeasible : "raise" or "return"
        What to do when infeasibility is proven.
    warm_start : Solution, optional
        A point of the same problem at other levels: the interior point starts from its prices, and where these say
        that the value hardly changes they are certified at the new levels first, with its channel.
    boundary : Bracket, optional
        `min_distortion(problem, max_perception)` when it is known already; saves computing it again.
    max_iter : int, optional
        Iterations (of Newton's method, or of a library's solver) in all, those for D_min(P) included.
    time_limit : float, optional
        Seconds after which no new step begins. When either limit is reached the status is INEXACT (or UNDECIDED) and
        both bounds hold.

    Returns
    -------
    Solution
        Status OPTIMAL, INEXACT, UNDECIDED (or INFEASIBLE with on_infeasible="return"), decided from the bounds alone.

    Raises
    ------
    InfeasibleError
        When infeasibility is proven; it names D_min at this P and holds the certificate.
    SolveInterrupted
        When the interrupt key is pressed; a KeyboardInterrupt that holds the best `solution` found by then.
    InputError
        When a level is NaN, an option is unknown, the solver cannot do this perception, or `warm_start` belongs to a
        problem of another shape.
    MemoryRefusedError
        When the tables of all pairs that the method needs would not fit; "levels" needs none.
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
    program = _checked_program(problem, max_distortion, max_perception, solver)
    if on_infeasible not in ("raise", "return"):
        raise unknown_name("on_infeasible", on_infeasible, ("raise", "return"))
    if not (math.isfinite(tol) and tol > 0):
        raise InputError(f"tol must be a positive number, got {tol}")
    refuse_if_too_large(program, solver)
    budget = Budget(_checked_limit(max_iter, "max_iter"), _checked_limit(time_limit, "time_limit"))
    if warm_start is not None and not isinstance(warm_start, Solution):
        raise InputError(f"warm_start must be a Solution, got {type(warm_start).__name__}")
    warm = _warm(program, warm_start)
    search = _Boundary(program, boundary, budget)
    below: Bracket | None = None
    try:
        if program.max_perception < 0:
            raise _BelowBoundary(search.bracket)
        if boundary is not None:
            search.near()  # what is known already costs one bound
        certified = certify(program, tol, search.near, warm, solver, budget)
    except _BelowBoundary as proof:
        below = proof.bracket
    if below is not None:
        return _infeasible(program, below, on_infeasible)
    solution = _solution(program, certified, tol, _note(program, certified, search.found, budget))
    if certified.interrupted:
        raise SolveInterrupted(solution)
    return solution


def which_solver(problem: DiscreteProblem, max_distortion: float = math.inf, max_perception: float = math.inf) -> str:
    """Name of the method that `solve` begins with when solver="auto".

    Parameters
    ----------
    problem : DiscreteProblem
    max_distortion, max_perception : float
        Levels D and P, as in `solve`.

    Returns
    -------
    str
        "closed form" or one of the names in the table of `solve`.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> grid = cdp.presets.paper_toy().discretize(n=201)
    >>> which_solver(grid, 0.7, 0.01), which_solver(grid, 0.7, 0.0), which_solver(grid, 0.7)
    ('cuts', 'linear_program', 'closed form')
    """
    return begins_with(_checked_program(problem, max_distortion, max_perception, "auto"))


class SolveInterrupted(KeyboardInterrupt):
    """The interrupt key was pressed during `solve`; `solution` is the best bracket found by then."""

    def __init__(self, solution: Solution) -> None:
        super().__init__(
            f"interrupted: C lies in [{solution.lower_bound:.9g}, {solution.upper_bound:.9g}]; see .solution"
        )
        self.solution = solution


def _checked_program(
    problem: DiscreteProblem, max_distortion: float, max_perception: float, solver: SolverName
) -> Program:
    """The program of checked levels, refused when the solver cannot do its perception."""
    if not isinstance(problem, DiscreteProblem):
        raise TypeError(
            f"solve needs a DiscreteProblem, got {type(problem).__name__}: call problem.discretize(n=201) for the "
            "grid problem; two-sided bounds of the continuous one are the business of enclose"
        )
    if solver not in SOLVERS:
        raise unknown_name("solver", solver, SOLVERS)
    perception = problem.perception
    if solver in ("interior_point", "levels") and not perception.smooth:
        able = ", ".join([name for name, kind in CATALOGUE.items() if kind.smooth] + ["renyi:ORDER"])
        method = "the interior-point method" if solver == "interior_point" else 'solver="levels"'
        raise InputError(
            f"{method} needs a smooth divergence ({able}), and {perception.name} is none; "
            'use solver="linear_program", "reference" or "auto"'
        )
    if solver == "cuts" and line_problem(problem) is None:
        raise InputError(
            "Newton's method on cuts needs letters on a line, all with source mass, squared error, a smooth "
            'f-divergence and an error rate that favours order (two classes); use solver="levels" or "auto"'
        )
    if solver == "linear_program" and not perception.polyhedral:
        able = ", ".join(name for name, kind in CATALOGUE.items() if kind.polyhedral)
        raise InputError(
            f"a linear program needs a polyhedral perception ({able}), and {perception.name} is none; "
            'use solver="interior_point", "levels", "reference" or "auto"'
        )
    limit_d, limit_p = check_level(max_distortion, "max_distortion"), check_level(max_perception, "max_perception")
    return Program(problem, problem.error_cost, limit_d, limit_p)


def _checked_limit(value: float | None, name: str) -> float:
    if value is None:
        return math.inf
    limit = check_level(value, name)
    if limit <= 0:
        raise InputError(f"{name} must be positive, got {value}; leave it out for no limit")
    return limit


class _BelowBoundary(Exception):
    """No channel meets the levels; `bracket` proves it."""

    def __init__(self, bracket: Bracket) -> None:
        super().__init__()
        self.bracket = bracket


class _Boundary:
    """D_min(P), found out when it is first asked for."""

    def __init__(self, program: Program, known: Bracket | None, budget: Budget) -> None:
        self.program, self.found, self._budget = program, known, budget
        self._proven = False

    @property
    def bracket(self) -> Bracket:
        """The bracket of D_min(P)."""
        if self.found is None:
            self.found = bracket_of_minimum(self.program.problem, self.program.max_perception, self._budget)
        return self.found

    def near(self) -> Near | None:
        """What solvers may know of it; raises when the distortion level lies below."""
        program = self.program
        if math.isinf(program.max_distortion):
            return None
        bracket = self.bracket
        if not self._proven:
            self._proven = True
            if _proven_minimum(program, bracket) > program.max_distortion + program.distortion_slack:
                raise _BelowBoundary(bracket)
        if bracket.witness is None:
            return None
        return Near(bracket.upper, bracket.witness, lambda: anchors_near_boundary(program, bracket))


def _proven_minimum(program: Program, boundary: Bracket) -> float:
    """Lower end of D_min from the bracket's potential, proven afresh: a bracket may come from elsewhere."""
    problem = program.problem
    if boundary.potential is None or len(boundary.potential) != problem.n_x:
        raise InputError("boundary must be min_distortion(problem, max_perception) of this very problem and level")
    least = Program(problem, problem.distortion_cost, max_perception=program.max_perception)
    return dual_bound(least, 0.0, boundary.potential).value


def _warm(program: Program, warm_start: Solution | None) -> tuple[Hint, Neighbour] | None:
    """A neighbour's answer as a hint, and as a start."""
    if warm_start is None:
        return None
    problem = program.problem
    if warm_start.problem.shape != problem.shape:
        raise InputError(
            f"warm_start belongs to a problem of shape {warm_start.problem.shape}, this one has {problem.shape}"
        )
    potential = np.zeros(problem.n_x) if warm_start.potential is None else warm_start.potential
    channel = warm_start.sparse_channel
    price, label = warm_start.price_distortion, f"warm start ({warm_start.solver})"
    if channel is None:
        nothing = csr_array(problem.shape)
        return Hint(None, price, potential, label), Neighbour(price, 0.0, potential, nothing, 0.0)
    joint = csr_array(diags_array(problem.p_y) @ channel)
    kept = warm_start.price_perception if math.isfinite(warm_start.price_perception) else 0.0
    change = sum(
        value * abs(here - there) if here != there else 0.0
        for value, here, there in (
            (price, program.max_distortion, warm_start.max_distortion),
            (warm_start.price_perception, program.max_perception, warm_start.max_perception),
        )
    )
    other_levels = warm_start.problem is problem and (
        math.isinf(warm_start.max_distortion) == math.isinf(program.max_distortion)
    )
    saved = warm_start.state if other_levels and isinstance(warm_start.state, SavedState) else None
    return Hint(joint, price, potential, label), Neighbour(price, kept, potential, channel, change, saved)


def _note(program: Program, certified: Certified, boundary: Bracket | None, budget: Budget) -> str:
    limited = "max_iter or time_limit was reached" if budget.spent and not budget.interrupted else ""
    limited = "interrupted" if budget.interrupted else limited
    if program.max_perception == 0 and certified.best is not None:
        return "P = 0: the channel was rounded to the source law, no strict interior exists"
    if limited:
        return limited
    if certified.best is None or not certified.best.feasible:
        known = "" if boundary is None else f": D_min lies in [{boundary.lower:.12g}, {boundary.upper:.12g}]"
        return (
            f"D = {program.max_distortion:.12g} is too close to the least distortion at "
            f"P = {program.max_perception:.6g}{known}"
        )
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
        state=certified.state,
    )


def _infeasible(program: Program, boundary: Bracket, on_infeasible: str) -> Solution:
    problem, limit_d, limit_p = program.problem, program.max_distortion, program.max_perception
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
