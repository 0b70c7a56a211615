"""Perception level 0: the output law is the source law, and the program is an optimal-transport LP (HiGHS)."""

from __future__ import annotations

from scipy.sparse import csr_array

from cdp_toy.certificates import Program
from cdp_toy.couplings import round_to_marginals
from cdp_toy.edges import Hint
from cdp_toy.solvers import linear_program
from cdp_toy.solvers.budget import Budget

__all__ = ["hint"]


def hint(program: Program, budget: Budget) -> Hint:
    """Solve min <objective, joint> with both marginals fixed and the distortion level, if any."""
    found = linear_program.hint(program, budget=budget)._replace(solver="transport LP (HiGHS)")
    if found.joint is None:
        return found
    joint = csr_array(found.joint).toarray()
    return found._replace(joint=round_to_marginals(joint, program.problem.p_y, program.problem.p_x))
