"""The best couplings at many prices of the surface of a finite problem, from forests of couplings nearby."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from scipy.sparse import csr_array

from cdp_toy.certificates import channel_of
from cdp_toy.finite import DiscreteProblem
from cdp_toy.solvers.bulk_duals import Multipliers, bulk_dual_bounds
from cdp_toy.solvers.forests import best_couplings
from cdp_toy.solvers.tables import Tables
from cdp_toy.surfaces.geometry import Scale
from cdp_toy.tracing.mixing import Channel, Forest, program_of
from cdp_toy.tracing.mixtures import Attained, Mixture, Plane, Wish
from cdp_toy.validation import Array, Indices

__all__ = ["ForestMixer"]

#: Couplings that are looked at together.
CHUNK = 128
#: A price below this share of the least one around is taken for none: the bound above is level at an edge.
NO_PRICE = 1e-3


class ForestMixer:
    """Finds points whose supporting planes have the slope that the upper bound has at a place.

    Parameters
    ----------
    problem : DiscreteProblem
    tables : Tables
        The same as tables.
    tol : float
        Gap that a point is to have.
    """

    of_planes = of_corners = False
    share = 0.5

    def __init__(self, problem: DiscreteProblem, tables: Tables, tol: float) -> None:
        self.problem, self.tables, self.tol = problem, tables, tol
        self._made: list[Forest] = []

    def mixtures(self, wishes: Sequence[Wish], scale: Scale) -> list[Mixture | None]:
        """What is wished for; None where no forest is known nearby, or its method does not end."""
        out: list[Mixture | None] = [None] * len(wishes)
        known = [(k, *found) for k, wish in enumerate(wishes) if (found := self._begun(wish, scale)) is not None]
        for begin in range(0, len(known), CHUNK):
            places, prices, forests = zip(*known[begin : begin + CHUNK], strict=True)
            for k, mixture in self._some(np.array(prices), forests):
                out[places[k]] = mixture
        return out

    def _some(self, prices: Array, forests: Sequence[Forest]) -> Iterator[tuple[int, Mixture]]:
        tables = self.tables
        there = np.array([forest.prices for forest in forests])
        found = best_couplings(tables, [forest.keys for forest in forests], prices, there, self.tol)
        ended = np.flatnonzero(np.isfinite(found.gap))
        error, d = (
            np.array([found.mass[k] @ table.take(found.keys[k]) for k in ended])
            for table in (tables.error, tables.distance)
        )
        p = np.array([tables.perception.value(tables.p_x, found.laws[k]) for k in ended])
        limit = tables.perception.slope_at_infinity
        lam, kap = prices[ended].T
        constant = kap * limit if np.isfinite(limit) else np.zeros(len(kap))
        multipliers = Multipliers(lam, kap, found.potentials[ended], constant)
        value = bulk_dual_bounds(tables, tables.error, multipliers, d, p, raised=False).value
        for k, *numbers in zip(
            ended.tolist(), *(column.tolist() for column in (error, d, p, value, lam, kap)), strict=True
        ):
            error_rate, distortion, perception, bound, price_d, price_p = numbers
            if bound == -np.inf:
                continue
            forest = Forest(found.keys[k].astype(np.int32), (price_d, price_p))
            self._made.append(forest)
            make = partial(self._channel, forest.keys, found.mass[k])
            channel = Channel(found.laws[k], error_rate, distortion, make, forest)
            plane = Plane(distortion, perception, bound, price_d, price_p)
            yield k, Mixture(plane, Attained(distortion, perception, error_rate, channel), error_rate - bound)

    def _channel(self, keys: Indices, mass: Array) -> csr_array:
        joint = csr_array((mass, np.divmod(keys, self.problem.n_x)), shape=self.problem.shape)
        return channel_of(program_of(self.problem, "error"), joint)

    def _begun(self, wish: Wish, scale: Scale) -> tuple[Array, Forest] | None:
        """Prices to ask for, and the forest to begin with, that of the nearest prices."""
        corners = [point.channel.forest for point in wish.corners if point.channel.forest is not None]
        prices = -wish.slope / scale.size
        if not corners and not prices.min() > 0:
            return None
        forests = corners or self._made
        if not forests:
            return None
        around = np.array([forest.prices for forest in forests])
        if corners:
            prices = np.where(prices > NO_PRICE * around.min(axis=0), prices, around.mean(axis=0))
        return prices, forests[int(np.abs(np.log(around / prices)).sum(axis=1).argmin())]
