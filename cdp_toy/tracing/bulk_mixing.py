"""The best laws at many places of the surface of a finite problem on the line, from mixtures of laws around them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np

from cdp_toy.finite import DiscreteProblem
from cdp_toy.solvers.bulk_duals import bulk_dual_bounds
from cdp_toy.solvers.line import LineProblem
from cdp_toy.solvers.line_newton import Best, Task, best_laws
from cdp_toy.surfaces.geometry import Scale
from cdp_toy.tracing.mixing import Channel, coupled
from cdp_toy.tracing.mixtures import Attained, Mixture, Plane, Wish, triangle_weights
from cdp_toy.validation import Array

__all__ = ["BulkMixer"]

#: Laws that are looked at together: 64 took a tenth longer, 512 and more gained nothing.
CHUNK = 192


class BulkMixer:
    """Mixes what is known of the surface of a problem.

    Parameters
    ----------
    problem : DiscreteProblem
    line : LineProblem
        The same with everything in order.
    """

    of_planes, of_corners = False, True
    share = 0.5  # what a law is short of its best is the solver's; the rest of a gap is for the way between places

    def __init__(self, problem: DiscreteProblem, line: LineProblem) -> None:
        self.problem, self.line = problem, line

    def mixtures(self, wishes: Sequence[Wish], scale: Scale) -> list[Mixture | None]:
        """The mixtures that are wished for."""
        parts = [wishes[k : k + CHUNK] for k in range(0, len(wishes), CHUNK)]
        return [mixture for part in parts for mixture in self._some(part, scale)]

    def _some(self, wishes: Sequence[Wish], scale: Scale) -> Iterator[Mixture | None]:
        line, places = self.line, np.array([wish.place for wish in wishes])
        corners = [[*wish.corners, *[wish.corners[0]] * (3 - len(wish.corners))] for wish in wishes]
        unit = scale.to_unit(np.array([point[:2] for row in corners for point in row])).reshape(-1, 3, 2)
        laws = line.ordered(np.array([point.channel.law for row in corners for point in row]))
        weights = triangle_weights(unit, scale.to_unit(places))
        mixed = np.einsum("mk,mkn->mn", weights, laws.reshape(len(wishes), 3, -1))
        best = self._best(mixed, *places.T)
        found = line.achieved(best.laws)
        inner = best.ended & (found.perception > 0)
        prices = best.multipliers.price_distortion, np.where(inner, best.multipliers.price_perception, 0.0)
        multipliers = best.multipliers._replace(price_perception=prices[1])
        value, _ = bulk_dual_bounds(line, line.error, multipliers, found.distortion, found.perception)
        for law, *numbers in zip(line.restored(best.laws), *found, value, *prices, strict=True):
            error_rate, d, p, bound, price_d, price_p = map(float, numbers)
            if bound == -np.inf:
                yield None
                continue
            channel = Channel(law, error_rate, d, partial(coupled, self.problem, law))
            yield Mixture(Plane(d, p, bound, price_d, price_p), Attained(d, p, error_rate, channel), error_rate - bound)

    def _best(self, start: Array, d: Array, p: Array) -> Best:
        """The best laws at levels; where places of cuts go in circles they are blurred first."""
        line, task = self.line, Task(self.line.error_steps)
        best = best_laws(line, task, start, d, p)
        lost = np.flatnonzero(~best.ended)
        if not len(lost):
            return best
        blurred = best_laws(line, dataclasses.replace(task, blur=1.0), start[lost], d[lost], p[lost])
        again = best_laws(line, task, blurred.laws, d[lost], p[lost], blurred.multipliers[:2])
        found = again.ended & blurred.ended
        for column, other in zip((best.laws, *best.multipliers), (again.laws, *again.multipliers), strict=True):
            column[lost[found]] = other[found]
        best.ended[lost[found]] = True
        return best
