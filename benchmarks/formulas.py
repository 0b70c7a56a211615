"""Textbook formulas of the perceptions and of a channel's levels, written apart from the package that is measured."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linprog
from scipy.sparse import eye_array, kron, vstack
from scipy.spatial.distance import cdist
from scipy.special import rel_entr

from cdp_toy.finite import DiscreteProblem

Array = NDArray[np.float64]

__all__ = ["Measured", "measured", "perception_value", "repaired"]


class Measured(NamedTuple):
    """What a channel achieves: error rate, distortion, perception."""

    error_rate: float
    distortion: float
    perception: float


def measured(problem: DiscreteProblem, channel: Array) -> Measured:
    """Error rate, distortion and perception of a dense channel, from the tables alone.

    Parameters
    ----------
    problem : DiscreteProblem
    channel : array of shape (n_y, n_x)
        Rows sum to one.
    """
    joint = problem.p_y[:, None] * channel
    law = joint.sum(axis=0)
    return Measured(
        float((joint * problem.error_cost.table()).sum()),
        float((joint * problem.distortion_cost.table()).sum()),
        perception_value(problem.perception.name, problem.p_x, law, problem.x_values),
    )


def repaired(problem: DiscreteProblem, joint: Array) -> Array:
    """Channel of an approximate joint law: negative entries are clipped and rows normalised, nothing else."""
    clipped = np.maximum(joint, 0.0)
    total = clipped.sum(axis=1, keepdims=True)
    return np.where(total > 0, clipped / np.where(total > 0, total, 1.0), problem.p_x)


def perception_value(name: str, p: Array, q: Array, places: Array | None = None) -> float:
    """Perception of an output law q from the source law p [nats, dimensionless, or units of the places].

    Parameters
    ----------
    name : str
        Public name of the perception.
    p, q : arrays of shape (n,)
    places : array of shape (n, dim), optional
        Needed by "w1" and "w2_squared".
    """
    if name == "kl":
        return float(rel_entr(p, q).sum())
    if name == "reverse_kl":
        return float(rel_entr(q, p).sum())
    if name == "tv":
        return float(np.abs(p - q).sum() / 2)
    if name == "hellinger_squared":
        return float(((np.sqrt(p) - np.sqrt(q)) ** 2).sum() / 2)
    if name == "chi2":
        return float(_over((p - q) ** 2, q).sum())
    if name == "reverse_chi2":
        return float(_over((q - p) ** 2, p).sum())
    if name == "js":
        middle = (p + q) / 2
        return float((rel_entr(p, middle) + rel_entr(q, middle)).sum() / 2)
    if name.startswith("renyi:"):
        order = float(name.partition(":")[2])
        p, q = p[p > 0], q[p > 0]
        if order > 1 and (q == 0).any():
            return math.inf
        total = float((p**order * q ** (1 - order)).sum())
        return math.log(total) / (order - 1) if total > 0 else math.inf
    if name in ("w1", "w2_squared") and places is not None:
        return _transport(p, q, cdist(places, places) ** (1 if name == "w1" else 2))
    raise ValueError(f"no formula for the perception {name!r} here: add it to benchmarks/formulas.py")


def _over(numerator: Array, denominator: Array) -> Array:
    """Quotient with 0/0 = 0 and a/0 = inf."""
    positive = denominator > 0
    return np.where(positive, numerator / np.where(positive, denominator, 1.0), np.where(numerator > 0, np.inf, 0.0))


def _transport(p: Array, q: Array, cost: Array) -> float:
    """Least transport cost between two laws, one linear program."""
    n = len(p)
    ones = np.ones((1, n))
    marginals = vstack([kron(eye_array(n), ones), kron(ones, eye_array(n))])
    # the last marginal follows from the others, and rounding of the sums must not make the program infeasible
    right = np.concatenate([p, q * (p.sum() / q.sum())])[:-1]
    for presolve in (True, False):  # presolve takes traces of 1e-12 for a contradiction at times
        answer = linprog(cost.ravel(), A_eq=marginals.tocsr()[:-1], b_eq=right, options={"presolve": presolve})
        if answer.success:
            break
    else:
        raise ArithmeticError(f"the transport program failed: {answer.message}")
    return float(answer.fun)
