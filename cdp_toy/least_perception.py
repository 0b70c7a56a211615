"""The least perception at a distortion level: D_min(P) inverted, with its bounds turned into bounds on P."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from scipy.sparse import csr_array, diags_array

from cdp_toy.boundary import check_discrete
from cdp_toy.certificates import DualBound, Evaluation, Program, channel_of, dual_bound, evaluate
from cdp_toy.edges import Hint, coupling, without_perception
from cdp_toy.errors import InputError
from cdp_toy.finite import DiscreteProblem
from cdp_toy.point import Bracket, Prices
from cdp_toy.solvers.engine import Certified, SolverName, certify, chosen
from cdp_toy.solvers.levels import Neighbour
from cdp_toy.validation import Array, check_level

__all__ = ["min_perception"]

#: A finite level that no channel with a finite perception exceeds: doubles end at 1e308, logarithms of them at 1e3.
FAR = 1e100

#: The first level that is solved, unless the tolerance is larger: solvers are sure of themselves from here on.
FIRST = 1e-9

#: Newton steps; from the left of a simple root five to ten do, where D_min(P) is about to get flat each halves what
#: is left.
MOST_STEPS = 50

#: Gaps of D_min(P), in units of its scale, that are asked for one after the other when a step leads nowhere.
TOLERANCES = (1e-9, 1e-11, 1e-13)

#: Levels that differ by this share are one.
ROUNDING = 1e-14


def min_perception(problem: DiscreteProblem, max_distortion: float, tol: float = 1e-9) -> Bracket:
    """Least perception of any channel at a distortion level.

    P_min(D) = min d(p_X, p_Xhat)  s.t.  E[Delta(X, Xhat)] <= D,

    the inverse of the convex and decreasing D_min(P). Both ends come from solving D_min(P) at levels P_k:

    - lower: for any potential v, g(P) = sum_y p_Y min_xhat [d - v] + min {v.q : d(p_X, q) <= P} is at most D_min(P) at
      every P, convex and decreasing in P. Where g(P) > D no channel with perception <= P has distortion <= D, thus
      P_min(D) > P. The tangent of slope -kap at P_k lies below g, so that the Newton step P_k + (g(P_k) - D)/kap is
      such a P, whichever side of P_min it starts from; steps are repeated on g until they stand still.
    - upper: the channels found on both sides of D are mixed so as to meet D exactly, and the perception of the mixture
      is evaluated.

    Parameters
    ----------
    problem : DiscreteProblem
    max_distortion : float
        D [distortion units, squared units of x for squared error]; inf drops the constraint.
    tol : float
        Absolute gap to aim for [divergence units: nats for kl, reverse_kl, js and renyi].

    Returns
    -------
    Bracket
        `upper` is attained by `witness`, shape (n_y, n_xhat), None where it is inf; 0 stands for the source law itself
        up to rounding. `lower` is proven by `potential` v, shape (n_xhat,) [distortion units]:
        ``certificates.dual_bound(Program(problem, problem.distortion_cost, max_perception=lower), 0.0, v).value``
        exceeds D (a lower end of 0 needs no proof, and inf holds as the bound exceeds D at every finite level).
        `prices.distortion` is 1/kap there, the perception saved per unit of D; `prices.perception` is 0.
        [inf, inf] when D lies below D_min of every finite level.

    Raises
    ------
    InputError
        When the level is NaN, `tol` is not positive, or the problem is not a DiscreteProblem.

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> grid = cdp.presets.paper_toy().discretize(n=51)
    >>> round(min_perception(grid, 0.70).upper, 6), min_perception(grid, 0.73).upper
    (0.002362, 0.0)
    """
    level = check_level(max_distortion, "max_distortion")
    check_discrete(problem)
    if not (math.isfinite(tol) and tol > 0):
        raise InputError(f"tol must be a positive number, got {tol}")
    limited = Program(problem, problem.distortion_cost, max_distortion=level)
    reproducing = evaluate(limited, channel_of(limited, coupling(problem)))
    if reproducing.feasible:
        return _source_law(problem, reproducing)
    zero = np.zeros(problem.n_x)
    far = _at(problem, FAR)
    if dual_bound(far, 0.0, zero).value > level + limited.distortion_slack:
        return Bracket(math.inf, math.inf, None, Prices(math.inf, 0.0), zero)
    nearest = without_perception(far).joint
    assert nearest is not None
    search = _Search(limited, reproducing)
    search.take(evaluate(limited, channel_of(far, nearest)))
    return _searched(search, tol)


def _searched(search: _Search, tol: float) -> Bracket:
    """Newton's method on D_min(P) = D."""
    problem = search.limited.problem
    level, sharpness = max(tol, FIRST), 0
    found: Certified | None = None
    for step in range(MOST_STEPS):
        found = _least_distortion(problem, level, TOLERANCES[sharpness], sharpness > 0, found)
        before = search.lower, search.upper
        search.learn(found, level)
        if step == 0 and search.lower == 0:  # whether D suffices for the source law itself is found out exactly
            found = _least_distortion(problem, 0.0, TOLERANCES[0], False, None)
            if found.best is not None and found.best.distortion <= search.limit:
                return _source_law(problem, found.best)
            search.learn(found, min(level, tol))
        if search.upper - search.lower <= tol:
            break
        if search.lower == 0:
            level /= 30
        elif search.lower - before[0] > 0.1 * tol:
            level = search.lower
        elif level < search.upper < 0.9 * before[1] or (level == before[0] and search.upper < math.inf):
            level = search.upper  # the channel that is missing lies on the other side
        elif sharpness + 1 < len(TOLERANCES):
            level, sharpness = search.lower, sharpness + 1
        else:
            break
    return search.bracket()


def _least_distortion(
    problem: DiscreteProblem, level: float, tol: float, alone: bool, neighbour: Certified | None
) -> Certified:
    """D_min(P), from the answer at a level nearby; `alone` keeps to the first method, as others are no sharper."""
    program = _at(problem, level)
    solver: SolverName = "auto"
    if alone and chosen(program) in ("interior_point", "levels"):
        solver = "levels" if chosen(program) == "levels" else "interior_point"
    warm = None
    if neighbour is not None and neighbour.best is not None and math.isfinite(neighbour.bound.price_perception):
        bound, channel = neighbour.bound, neighbour.best.channel
        joint = csr_array(diags_array(problem.p_y) @ channel)
        warm = (
            Hint(joint, 0.0, bound.potential, neighbour.solver),
            Neighbour(0.0, bound.price_perception, bound.potential, channel),
        )
    return certify(program, tol * program.distortion_scale, warm=warm, solver=solver)


def _at(problem: DiscreteProblem, level: float) -> Program:
    """The program of D_min(P)."""
    return Program(problem, problem.distortion_cost, max_perception=level)


def _source_law(problem: DiscreteProblem, found: Evaluation) -> Bracket:
    return Bracket(0.0, 0.0, found.channel, Prices(0.0, 0.0), np.zeros(problem.n_x))


@dataclass(eq=False)
class _Search:
    """What is proven so far: a lower end with its potential, and the best channels on both sides of D."""

    limited: Program
    above: Evaluation  # of least distortion above D
    below: list[Evaluation] = field(default_factory=list)  # channels with distortion at most D
    best: Evaluation | None = None
    proof: DualBound | None = None
    lower: float = 0.0

    @property
    def limit(self) -> float:
        """D with the slack that a channel is granted: no channel that counts as feasible lies below the bound."""
        return self.limited.max_distortion + self.limited.distortion_slack

    @property
    def upper(self) -> float:
        """Perception of the best channel, inf without one."""
        return math.inf if self.best is None else self.best.perception

    def learn(self, found: Certified, level: float) -> None:
        """Take the bound and the channel of D_min at a level."""
        self._raise(found.bound.potential, level)
        if found.best is not None:
            self.take(evaluate(self.limited, found.best.channel))

    def take(self, channel: Evaluation) -> None:
        """Take a channel, and its mixtures with what lies on the other side of D."""
        if channel.feasible:
            self.below.append(channel)
            self._offer(channel)
        elif channel.distortion < self.above.distortion:
            self.above = channel
        for under in [channel] if channel.feasible else self.below:
            over = self.above.distortion - self.limited.max_distortion
            share = min(over / (self.above.distortion - under.distortion), 1.0)
            self._offer(evaluate(self.limited, csr_array((1 - share) * self.above.channel + share * under.channel)))

    def _offer(self, channel: Evaluation) -> None:
        if channel.feasible and (self.best is None or channel.perception < self.upper):
            self.best = channel

    def _raise(self, potential: Array, level: float) -> None:
        """Newton's method on the bound that a potential gives at every level; from the right it lands on the left."""
        back = ROUNDING
        for _ in range(MOST_STEPS):
            bound = dual_bound(_at(self.limited.problem, level), 0.0, potential)
            excess = bound.value - self.limit
            if excess > 0 and level > self.lower:
                self.lower, self.proof = level, bound
            if not 0 < bound.price_perception < math.inf:
                return
            step = excess / bound.price_perception
            if excess <= 0:  # rounding may leave the proof behind, above all at the root of a straight line
                step -= back * level
                back *= 8
            if level + step <= self.lower or (excess > 0 and step <= ROUNDING * level):
                return
            level += step

    def bracket(self) -> Bracket:
        """Both ends and what proves them."""
        witness = None if self.best is None or math.isinf(self.upper) else self.best.channel
        price, potential = 0.0, np.zeros(self.limited.problem.n_x)
        if self.proof is not None:
            potential = self.proof.potential
            price = 1 / self.proof.price_perception if self.proof.price_perception > 0 else math.inf
        return Bracket(self.lower, max(self.upper, self.lower), witness, Prices(price, 0.0), potential)
