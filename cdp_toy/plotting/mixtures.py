"""A place of a surface, with the problem it belongs to, as the solution that pictures of channels know."""

from __future__ import annotations

from dataclasses import fields

from cdp_toy.errors import InputError
from cdp_toy.finite import DiscreteProblem
from cdp_toy.point import Point
from cdp_toy.solution import Solution
from cdp_toy.surfaces import MixedPoint

__all__ = ["with_problem"]


def with_problem(point: Solution | MixedPoint, problem: DiscreteProblem | None) -> Solution:
    """The point as a solution: a mixture of channels, from `Surface.at`, does not know its problem.

    Parameters
    ----------
    point : Solution or MixedPoint
    problem : DiscreteProblem, optional
        Needed for a MixedPoint: the problem that was traced.

    Raises
    ------
    InputError
        When a MixedPoint comes without channel, without problem, or with one of another size.
    """
    if isinstance(point, Solution):
        return point
    if not isinstance(point, MixedPoint):
        raise InputError(
            f"a picture of a channel needs a Solution or what Surface.at returns, got {type(point).__name__}"
        )
    if point.sparse_channel is None:
        raise InputError(
            f"the place ({point.max_distortion:.6g}, {point.max_perception:.6g}) has no channel: trace with "
            "keep_channels=True, and ask for levels that are known to be feasible"
        )
    if problem is None:
        raise InputError("a place of a surface does not know its problem: give problem=, the one that was traced")
    if problem.shape != point.sparse_channel.shape:
        raise InputError(f"the channel has shape {point.sparse_channel.shape}, the problem {problem.shape}")
    known = {field.name: getattr(point, field.name) for field in fields(Point)}
    return Solution(
        **known,
        problem=problem,
        sparse_channel=point.sparse_channel,
        potential=None,
        solver="mixture",
        note=f"a mixture of {len(point.parts)} channels",
        feasibility_tol=0.0,
    )
