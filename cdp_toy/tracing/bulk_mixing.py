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
#: Steps after which the laws that take longer are put together: of 55,000 all but a few hundred end in ten.
QUICK = 12


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
        self.problem, self.line, self.task = problem, line, Task(line.error_steps)

    def mixtures(self, wishes: Sequence[Wish], scale: Scale) -> list[Mixture | None]:
        """The mixtures that are wished for."""
        places = np.array([wish.place for wish in wishes]).reshape(-1, 2)
        parts = [slice(k, k + CHUNK) for k in range(0, len(wishes), CHUNK)]
        mixed = [self._mixed(wishes[part], scale) for part in parts]
        quick = dataclasses.replace(self.task, rounds=QUICK)
        found = [best_laws(self.line, quick, start, *places[part].T) for part, start in zip(parts, mixed, strict=True)]
        self._others(found, mixed, places)
        return [mixture for best in found for mixture in self._proven(best)]

    def _mixed(self, wishes: Sequence[Wish], scale: Scale) -> Array:
        """Mixtures of the laws around places, letters in order."""
        places = np.array([wish.place for wish in wishes])
        corners = [[*wish.corners, *[wish.corners[0]] * (3 - len(wish.corners))] for wish in wishes]
        unit = scale.to_unit(np.array([point[:2] for row in corners for point in row])).reshape(-1, 3, 2)
        laws = self.line.ordered(np.array([point.channel.law for row in corners for point in row]))
        weights = triangle_weights(unit, scale.to_unit(places))
        return np.asarray(np.einsum("mk,mkn->mn", weights, laws.reshape(len(wishes), 3, -1)))

    def _others(self, found: list[Best], mixed: list[Array], places: Array) -> None:
        """The few laws that take longer, all together; where places of cuts go in circles they are blurred first."""
        left = [(k, row) for k, best in enumerate(found) for row in np.flatnonzero(~best.ended).tolist()]
        for begin in range(0, len(left), CHUNK):
            some = left[begin : begin + CHUNK]
            start = np.array([mixed[k][row] for k, row in some])
            d, p = np.array([places[k * CHUNK + row] for k, row in some]).T
            last = self._slowly(start, d, p)
            for j, (k, row) in enumerate(some):
                for column, other in zip(
                    (found[k].laws, *found[k].multipliers), (last.laws, *last.multipliers), strict=True
                ):
                    column[row] = other[j]
                found[k].ended[row] = last.ended[j]

    def _slowly(self, start: Array, d: Array, p: Array) -> Best:
        """The best laws at levels, with patience."""
        line, task = self.line, self.task
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

    def _proven(self, best: Best) -> Iterator[Mixture | None]:
        """Planes and points of laws."""
        line = self.line
        found = line.achieved(best.laws)
        inner = best.ended & (found.perception > 0)
        prices = best.multipliers.price_distortion, np.where(inner, best.multipliers.price_perception, 0.0)
        multipliers = best.multipliers._replace(price_perception=prices[1])
        value, _ = bulk_dual_bounds(line, line.error, multipliers, found.distortion, found.perception, raised=False)
        for law, *numbers in zip(line.restored(best.laws), *found, value, *prices, strict=True):
            error_rate, d, p, bound, price_d, price_p = map(float, numbers)
            if bound == -np.inf:
                yield None
                continue
            channel = Channel(law, error_rate, d, partial(coupled, self.problem, law))
            yield Mixture(Plane(d, p, bound, price_d, price_p), Attained(d, p, error_rate, channel), error_rate - bound)
