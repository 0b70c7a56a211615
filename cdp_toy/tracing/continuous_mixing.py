"""Mixtures of output laws of a continuous problem whose restorations are monotone maps: new maps and new proofs.

The map with a given output law is the monotone one, and error, distortion and divergence are convex in that law: the
map of a mixture of laws is at least as good as the mean of what was mixed. The dual of a law follows from its map: at
the place s in y where the map steps from output cell j to the next, both must cost the same,

    v_(j+1) - v_j = e_(j+1)(s) - e_j(s) + lam (c_(j+1) - c_j - 2 (m_(j+1) - m_j) mu(s)),    c_j = m_j^2 + var_j,

m_j and var_j mean and variance of X in the cell, mu(s) = E[X|s]; at the best law v is also kap descent(q/p) up to a
constant. Fitting lam to this loses what is of second order in the distance of q from the best law.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from cdp_toy.continuous.duals import dual_from_potential
from cdp_toy.continuous.lower import lower_bound, refined_cells
from cdp_toy.continuous.upper import ROUNDING, MapValue
from cdp_toy.evidence import OBSERVED
from cdp_toy.solvers.monotone import FLAT_WEIGHT, MonotoneProblem, decided
from cdp_toy.solvers.monotone_map import preference
from cdp_toy.solvers.monotone_newton import places_of
from cdp_toy.tracing.mixing import Proof
from cdp_toy.tracing.mixtures import Attained, Plane
from cdp_toy.validation import Array

__all__ = ["REACH", "ContinuousMixer", "OutputLaw", "law_of"]

#: Y is looked at up to so many standard deviations beyond the means, where its densities still are doubles.
REACH = 39.0


class OutputLaw(NamedTuple):
    """Masses of the output cells, shape (n,), and what the monotone map with this law achieves."""

    masses: Array
    value: MapValue

    @property
    def attained(self) -> Attained:
        """Where the map lies above the surface."""
        return Attained(self.value.distortion, self.value.perception, self.value.error_rate + ROUNDING, self)


def law_of(posed: MonotoneProblem, places: Array, value: MapValue) -> OutputLaw:
    """The output law of a map on the cells of a problem.

    Parameters
    ----------
    posed : MonotoneProblem
        With n output cells.
    places : array of shape (n - 1,)
        The y of every inner edge [units of x].
    value : MapValue
        What the map achieves.
    """
    joint = posed.model.observed_cells(np.concatenate([[-np.inf], places, [np.inf]]), 0.0).joint
    return OutputLaw(np.maximum(joint.sum(axis=0), 0.0), value)


@dataclass(frozen=True, eq=False)
class ContinuousMixer:
    """Mixes output laws, and proves what they nearly attain.

    Parameters
    ----------
    posed : MonotoneProblem
        All laws are on its output cells.
    quantity : "error", "least" or "flat"
        Mixes for the surface, or for a boundary curve, where D stands for the value and not for a level.

    Examples
    --------
    >>> from cdp_toy import presets
    >>> from cdp_toy.solvers.monotone import least_error, monotone_problem
    >>> posed = monotone_problem(presets.paper_toy(), 201)
    >>> maps = [least_error(posed, 0.7, p) for p in (0.001, 0.003)]
    >>> mixer = ContinuousMixer(posed)
    >>> mixed = mixer.attained([law_of(posed, m.places, m.value) for m in maps], np.array([0.5, 0.5]))
    >>> mixed.p < 0.002 and mixed.value < (maps[0].value.error_rate + maps[1].value.error_rate) / 2
    True
    >>> proven = mixer.supporting(mixed.d, mixed.p, mixed.channel)
    >>> 0 < mixed.value - proven.value < 1e-5
    True
    """

    posed: MonotoneProblem
    quantity: str = "error"

    def attained(self, channels: Sequence[OutputLaw], weights: Array) -> Attained:
        """What the monotone map with the mixed output law attains."""
        used = [k for k, w in enumerate(weights) if w > 0]
        if len(used) == 1:
            return self.place(channels[used[0]])
        masses = np.asarray(sum(float(weights[k]) * channels[k].masses for k in used))
        places = places_of(self.posed.grid, masses / masses.sum())
        if self.quantity == "flat":  # the error is least at the decision itself, which the quantile is by rounding
            places = decided(self.posed, places)
        return self.place(law_of(self.posed, places, self.posed.values(places)))

    def place(self, law: OutputLaw) -> Attained:
        """What a law attains of the quantity."""
        if self.quantity == "error":
            return law.attained
        return Attained(0.0, law.value.perception, law.value.distortion + ROUNDING * self.posed.model.variance, law)

    def supporting(self, d: float, p: float, channel: OutputLaw) -> Plane | None:
        """The bound at a place that is best for an output law."""
        return self._plane(d, p, *self.proof(channel))

    def proof(self, channel: OutputLaw) -> Proof:
        """Price of distortion and potential that are best for an output law."""
        return Proof(*self._fitted(channel.masses))

    def plane(self, d: float, p: float, proofs: Sequence[Proof], weights: Array) -> Plane | None:
        """The bound of mixed prices and potentials at a place."""
        lam = float(sum(w * proof.price_distortion for w, proof in zip(weights, proofs, strict=True)))
        potential = sum(w * proof.potential for w, proof in zip(weights, proofs, strict=True))
        return self._plane(d, p, lam, np.asarray(potential))

    def _plane(self, d: float, p: float, lam: float, potential: Array) -> Plane | None:
        """What a price of distortion and a potential, with their best price of perception, prove at a place.

        The best price makes the bound a convex function of P, whatever the divergence, and this its tangent.
        """
        if not 0 < p < math.inf:
            return None
        model, on_surface, flat = self.posed.model, self.quantity == "error", self.quantity == "flat"
        weight = 1.0 if on_surface else (FLAT_WEIGHT * model.variance if flat else 0.0)
        dual = dual_from_potential(model, weight, lam, self._edges, potential, p)
        cells = refined_cells(model, dual, OBSERVED * len(potential))
        value = lower_bound(model, dual, cells, d if on_surface else 0.0, p, above_floor=flat).value
        slope = dual.price_perception * model.perception.sum_slope(p) if dual.price_perception > 0 else 0.0
        if not (math.isfinite(value) and math.isfinite(slope)):
            return None
        if not on_surface:
            return Plane(0.0, p, value, 0.0, slope, Proof(lam, potential))
        floor = self.posed.curve.floor - ROUNDING
        if value <= floor:
            return Plane(d, p, floor, 0.0, 0.0, Proof(0.0, np.zeros(len(potential))))
        return Plane(d, p, value, lam, slope, Proof(lam, potential))

    def _fitted(self, masses: Array) -> tuple[float, Array]:
        """Price of distortion and potential of an output law, shape (n,).

        min over lam, kap and a constant of the sum of p / f''(q/p) (v_error + lam v_distance - kap descent(q/p) -
        constant)^2, which is what the bound loses, up to third order and a factor. On boundary curves lam is one; there
        the error has no price, or one so high that v jumps at the threshold as it likes.
        """
        posed = self.posed
        perception, p = posed.model.perception, posed.grid.cells.mass
        error, distance = self._potentials(places_of(posed.grid, masses))
        beyond = (np.arange(len(p)) > posed.grid.at).astype(float)
        given, free = {"error": (error, distance), "least": (distance, None), "flat": (distance, beyond)}[self.quantity]
        some = (masses > 0) & (p > 0)
        ratio = masses[some] / p[some]
        weight = np.sqrt(p[some] / perception.curvature(ratio))
        columns = [-perception.descent(ratio), np.ones(len(ratio)), *([] if free is None else [free[some]])]
        table = np.column_stack([*columns, -given[some]]) * weight[:, None]
        table = table[np.isfinite(table).all(axis=1)]  # where doubles end, there is next to no mass
        sizes = np.linalg.norm(table[:, :-1], axis=0)
        sizes = np.where(sizes > 0, sizes, 1.0)
        found = np.linalg.lstsq(table[:, :-1] / sizes, table[:, -1])[0] / sizes
        if self.quantity == "error":
            found[2] = max(found[2], 0.0)
        potential = given if free is None else given + found[2] * free
        return float(found[2]) if self.quantity == "error" else 1.0, potential - potential.min()

    def _potentials(self, places: Array) -> tuple[Array, Array]:
        """v_error and v_distance, up to constants, shapes (n,)."""
        grid, model = self.posed.grid, self.posed.model
        seen = np.clip(places, *model.source.bounds(model.noise_std, REACH))
        std = math.sqrt(model.variance)
        steps = model.variance * (np.diff(grid.second) - 2 * model.mean(seen) / std * np.diff(grid.mean))
        distance = np.concatenate([[0.0], np.cumsum(steps)])
        error = np.where(np.arange(len(distance)) > grid.at, -preference(self.posed, float(seen[grid.at])), 0.0)
        return error, distance

    @cached_property
    def _edges(self) -> Array:
        return np.concatenate([[-np.inf], self.posed.grid.edges, [np.inf]])
