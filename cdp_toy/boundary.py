"""Where the surface begins and where it is flat: D_min(P) and D_flat(P), as certified brackets."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
from scipy.sparse import csr_array

from cdp_toy.certificates import Evaluation, Program, evaluate
from cdp_toy.edges import cheap_anchors
from cdp_toy.errors import InputError
from cdp_toy.finite import DiscreteProblem
from cdp_toy.perceptions import FDivergence
from cdp_toy.point import Bracket, Prices
from cdp_toy.solvers.budget import Budget
from cdp_toy.solvers.engine import certify
from cdp_toy.validation import Mask, check_level

__all__ = ["anchors_near_boundary", "bracket_of_minimum", "check_discrete"]
__all__ += ["error_optimal", "flat_distortion", "min_distortion"]

#: Classes whose expected cost is this close to a row's least count as optimal: rounding of a few products.
TIE = 1e-14


def min_distortion(problem: DiscreteProblem, max_perception: float, tol: float = 1e-9) -> Bracket:
    """Least distortion of any channel at a perception level.

    D_min(P) = min E[Delta(X, Xhat)]  s.t.  d(p_X, p_Xhat) <= P.

    Parameters
    ----------
    problem : DiscreteProblem
    max_perception : float
        P [divergence units]; inf drops the constraint, below 0 nothing is feasible and the bracket is [inf, inf].
    tol : float
        Absolute gap to aim for [distortion units].

    Returns
    -------
    Bracket
        `upper` is attained by `witness`; `lower` is proven by `prices` and `potential`.

    Raises
    ------
    InputError
        When the level is NaN or the problem is not a DiscreteProblem.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> grid = cdp.presets.paper_toy().discretize(n=51)
    >>> round(min_distortion(grid, float("inf")).upper, 6)
    0.65373
    """
    level = check_level(max_perception, "max_perception")
    check_discrete(problem)
    return bracket_of_minimum(problem, level, tol=tol)


def bracket_of_minimum(
    problem: DiscreteProblem, level: float, budget: Budget | None = None, tol: float = 1e-9
) -> Bracket:
    """`min_distortion` of checked arguments, within a budget."""
    if level < 0:
        return Bracket(math.inf, math.inf, None, Prices(0.0, 0.0))
    return _bracket(Program(problem, problem.distortion_cost, max_perception=level), tol, budget)


def flat_distortion(problem: DiscreteProblem, max_perception: float, tol: float = 1e-9) -> Bracket | None:
    """Distortion from which on C(D, P) sits on its floor, or None where it never does.

    D_flat(P) = min E[Delta(X, Xhat)]  s.t.  d(p_X, p_Xhat) <= P  over channels that restore every observation to a
    class of least expected cost.

    Parameters
    ----------
    problem : DiscreteProblem
    max_perception : float
        P [divergence units].
    tol : float
        Absolute gap to aim for [distortion units].

    Returns
    -------
    Bracket or None
        None when no error-optimal channel was found at this perception level.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> flat_distortion(cdp.presets.paper_toy().discretize(n=51), 0.002) is None
    True
    """
    level = check_level(max_perception, "max_perception")
    check_discrete(problem)
    if level < 0:
        return None
    program = Program(problem, problem.distortion_cost, max_perception=level, allowed=error_optimal(problem))
    if not program.support().any(axis=1).all():
        return None  # some observation has no error-optimal letter that mass may reach
    least = next(cheap_anchors(program))  # the class-wise source law: of all laws of those classes the nearest
    if not least.feasible and isinstance(problem.perception, FDivergence):
        return None
    bracket = _bracket(program, tol)
    return bracket if bracket.witness is not None else None  # by transport another law may be nearer


def error_optimal(problem: DiscreteProblem) -> Mask:
    """Profiles of the error cost that are of least expected cost, for every observation, shape (n_y, G)."""
    cost = problem.error_cost.profile_cost
    return np.asarray(cost <= cost.min(axis=1, keepdims=True) + TIE)


def _bracket(program: Program, tol: float, budget: Budget | None = None) -> Bracket:
    certified = certify(program, tol * program.distortion_scale, budget=budget)
    if certified.interrupted and budget is None:  # with a budget whoever owns it looks
        raise KeyboardInterrupt
    witness = None if certified.best is None else certified.best.channel
    bound = certified.bound
    return Bracket(
        bound.value,
        max(certified.upper, bound.value),
        witness,
        Prices(bound.price_distortion, bound.price_perception),
        bound.potential,
    )


def anchors_near_boundary(program: Program, bracket: Bracket) -> Iterator[Evaluation]:
    """Strictly feasible channels from the D_min(P) solution, pulled towards a coupling that reproduces p_X.

    The witness meets P and has distortion to spare; a share b of a coupling lowers the perception to at most
    (1 - b) P at a price in distortion. The share spends half of what is to spare.
    """
    if bracket.witness is None:
        return
    witness = evaluate(program, bracket.witness)
    reproducing = next(cheap_anchors(program))
    spare = program.max_distortion - witness.distortion
    price = reproducing.distortion - witness.distortion
    share = 0.5 * min(1.0, spare / price) if price > 0 else 0.5
    if share > 0:
        yield evaluate(program, csr_array((1 - share) * witness.channel + share * reproducing.channel))
    yield witness


def check_discrete(problem: DiscreteProblem) -> None:
    """Refuse anything but a finite problem."""
    if not isinstance(problem, DiscreteProblem):
        raise InputError(f"expected a DiscreteProblem, got {type(problem).__name__}; call its discretize(n=...) first")
