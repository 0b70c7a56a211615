"""The same program for other people's solvers: plain CVXPY, the joint law as variable, perception in r = q/p_X."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cdp_toy.finite import DiscreteProblem

__all__ = ["PEERS", "Answer", "Peer", "solve_peer"]

#: Peak memory of a cone program per entry of the channel [bytes], as the reference solver of the package allows for.
BYTES_PER_ENTRY = 2_500


@dataclass(frozen=True)
class Peer:
    """A solver behind CVXPY with its options.

    Attributes
    ----------
    label : str
        Name in tables.
    solver : str
        Name that CVXPY knows it by.
    options : dict
        Empty for the defaults.
    linear : bool
        Whether it takes linear programs only.
    most_entries : int
        Largest channel it is tried on; the tight settings are of interest on small grids.
    """

    label: str
    solver: str
    options: dict[str, float] = field(default_factory=dict)
    linear: bool = False
    most_entries: int = 10**9


PEERS = (
    Peer("Clarabel", "CLARABEL"),
    Peer(
        "Clarabel 1e-11",
        "CLARABEL",
        {"tol_gap_abs": 1e-11, "tol_gap_rel": 1e-11, "tol_feas": 1e-11, "max_iter": 300},
        most_entries=201**2,
    ),
    Peer("SCS", "SCS"),
    Peer("SCS 1e-9", "SCS", {"eps_abs": 1e-9, "eps_rel": 1e-9}, most_entries=201**2),
    Peer("ECOS", "ECOS"),
    Peer("HiGHS", "HIGHS", linear=True),
)


@dataclass(frozen=True)
class Answer:
    """What a solver says: status, value, joint law (None when it gave up), seconds it counts for itself."""

    status: str
    value: float | None
    joint: NDArray[np.float64] | None
    solver_seconds: float | None


def solve_peer(
    problem: DiscreteProblem, max_distortion: float, max_perception: float, solver: str, options: dict[str, float]
) -> Answer:
    """Pose and solve a problem through CVXPY.

    Parameters
    ----------
    problem : DiscreteProblem
        With p_X > 0 everywhere, as grids have it.
    max_distortion, max_perception : float
        Finite levels; P = 0 is posed as q = p_X.
    solver : str
    options : dict
    """
    import cvxpy as cp

    p_y, p_x = problem.p_y, problem.p_x
    joint = cp.Variable(problem.shape, nonneg=True)
    law = cp.sum(joint, axis=0)
    constraints = [
        cp.sum(joint, axis=1) == p_y,
        cp.sum(cp.multiply(problem.distortion_cost.table(), joint)) <= max_distortion,
    ]
    if max_perception == 0:
        constraints.append(law == p_x)
    elif problem.perception.name == "w1":
        # on the line the distance is the area between the two distribution functions
        assert problem.x_values is not None and problem.x_values.shape[1] == 1
        order = np.argsort(problem.x_values[:, 0])
        gaps = np.diff(problem.x_values[order, 0])
        behind = cp.cumsum(law[order])[:-1] - np.cumsum(p_x[order])[:-1]
        constraints.append(gaps @ cp.abs(behind) <= max_perception)
    else:
        ratio = cp.Variable(problem.n_x)
        divergence = {"kl": lambda: -cp.log(ratio), "tv": lambda: 0.5 * cp.abs(ratio - 1)}[problem.perception.name]()
        constraints += [law == cp.multiply(p_x, ratio), p_x @ divergence <= max_perception]
    model = cp.Problem(cp.Minimize(cp.sum(cp.multiply(problem.error_cost.table(), joint))), constraints)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "solution may be inaccurate": that is in the status
            model.solve(solver=solver, **options)
    except cp.error.SolverError:
        return Answer("gave up (SolverError)", None, None, None)
    spent: Any = model.solver_stats.solve_time if model.solver_stats is not None else None
    value = None if joint.value is None else float(model.value)
    return Answer(str(model.status), value, joint.value, None if spent is None else float(spent))
