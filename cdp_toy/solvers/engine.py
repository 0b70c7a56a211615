"""From a program to a certified bracket: collect hints, prove each, stop when the gap is small enough."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cdp_toy.certificates import DualBound, Evaluation, Program, channel_of, dual_bound, evaluate, mixed_to_feasible
from cdp_toy.edges import Hint, cheap_anchors, without_perception
from cdp_toy.solvers import reference, transport

__all__ = ["Certified", "certify"]

#: A hint that overshoots a level by more than this is noise; tightening by it would change the problem.
LARGEST_TIGHTENING = 1e-6


@dataclass(frozen=True, eq=False)
class Certified:
    """Best proven lower bound and best feasible channel of a program."""

    bound: DualBound
    best: Evaluation | None
    solver: str

    @property
    def upper(self) -> float:
        """Objective of the best feasible channel, inf without one."""
        return np.inf if self.best is None else self.best.objective


def certify(
    program: Program,
    tol: float,
    anchors: Callable[[], Iterator[Evaluation]] | None = None,
    hints: Sequence[Hint] = (),
) -> Certified:
    """Bracket the optimum of a program.

    Parameters
    ----------
    program : Program
    tol : float
        Absolute gap at which to stop asking for hints.
    anchors : callable, optional
        More feasible channels, asked for only when a hint needs to be pulled inside and nothing cheap will do.
    hints : sequence of Hint
        Proposals to try before any solver runs, such as a neighbour's answer.
    """
    bound = dual_bound(program, 0.0, np.zeros(program.problem.n_x))
    best: Evaluation | None = None
    label = "none"
    anchor: Evaluation | None = None
    searched = False
    tightening = (0.0, 0.0)
    source = _Hints(program, hints)
    while (proposal := source.next(tightening)) is not None:
        bound = max(
            bound, dual_bound(program, proposal.price_distortion, proposal.potential), key=lambda b: b.value
        )
        if proposal.joint is not None:
            found = evaluate(program, channel_of(program, proposal.joint))
            tightening = _overshoot(program, found)
            if not found.feasible:
                if not searched:
                    anchor, searched = _first_feasible(program, anchors), True
                if anchor is not None:
                    found = mixed_to_feasible(program, found, anchor)
            if found.feasible and (best is None or found.objective < best.objective):
                best, label = found, proposal.solver
        if best is not None and best.objective - bound.value <= tol:
            break
    if best is None and not searched:
        anchor = _first_feasible(program, anchors)
    if best is None and anchor is not None:
        best, label = anchor, "a feasible channel that no solver improved"
    return Certified(bound, best, label)


class _Hints:
    """Hints in order: the caller's, then the structural case or the links of the reference chain."""

    def __init__(self, program: Program, given: Sequence[Hint]) -> None:
        self.program = program
        self.given = list(given)
        if np.isinf(program.max_perception):
            self.given.append(without_perception(program))
            self.settings: list[reference.Setting] = []
        elif program.max_perception == 0:
            self.given.append(transport.hint(program))
            self.settings = []
        else:
            self.settings = list(reference.settings_for(program))

    def next(self, tightening: tuple[float, float]) -> Hint | None:
        """Return the next proposal, skipping links that give up."""
        if self.given:
            return self.given.pop(0)
        while self.settings:
            proposal = reference.hint(self.program, self.settings.pop(0), tightening)
            if proposal is not None:
                return proposal
        return None


def _overshoot(program: Program, found: Evaluation) -> tuple[float, float]:
    """How far a hint lies outside of each level, where that is rounding-sized."""
    over = (found.distortion - program.max_distortion, found.perception - program.max_perception)
    small = [1.5 * v if 0 < v <= LARGEST_TIGHTENING else 0.0 for v in over]
    return small[0], small[1]


def _first_feasible(program: Program, anchors: Callable[[], Iterator[Evaluation]] | None) -> Evaluation | None:
    """First strictly feasible channel on offer."""
    for source in (lambda: cheap_anchors(program), anchors):
        if source is not None:
            for anchor in source():
                if anchor.violation <= 0:
                    return anchor
    return None
