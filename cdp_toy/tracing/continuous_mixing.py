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
from cdp_toy.solvers.monotone import MonotoneProblem
from cdp_toy.solvers.monotone_map import preference
from cdp_toy.solvers.monotone_newton import places_of
from cdp_toy.tracing.mixing import Proof
from cdp_toy.tracing.sandwich import Attained, Plane
from cdp_toy.validation import Array

__all__ = ["ContinuousMixer", "OutputLaw", "law_of"]

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
    """

    posed: MonotoneProblem

    def attained(self, channels: Sequence[OutputLaw], weights: Array) -> Attained:
        """What the monotone map with the mixed output law attains."""
        used = [k for k, w in enumerate(weights) if w > 0]
        if len(used) == 1:
            return channels[used[0]].attained
        masses = np.asarray(sum(float(weights[k]) * channels[k].masses for k in used))
        masses = masses / masses.sum()
        return OutputLaw(masses, self.posed.values(places_of(self.posed.grid, masses))).attained

    def supporting(self, d: float, p: float, channel: OutputLaw) -> Plane | None:
        """The bound at a place that is best for an output law."""
        lam, potential = self._fitted(channel.masses)
        return self._plane(d, p, lam, potential)

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
        model = self.posed.model
        dual = dual_from_potential(model, 1.0, lam, self._edges, potential, p)
        cells = refined_cells(model, dual, OBSERVED * len(potential))
        value = lower_bound(model, dual, cells, d, p).value
        slope = dual.price_perception * model.perception.sum_slope(p) if dual.price_perception > 0 else 0.0
        floor = self.posed.curve.floor - ROUNDING
        if not (math.isfinite(value) and math.isfinite(slope)) or value <= floor:
            return Plane(d, p, floor, 0.0, 0.0, Proof(0.0, np.zeros(len(potential))))
        return Plane(d, p, value, lam, slope, Proof(lam, potential))

    def _fitted(self, masses: Array) -> tuple[float, Array]:
        """Price of distortion and potential of an output law, shape (n,).

        min over lam, kap and a constant of the sum of p / f''(q/p) (v_error + lam v_distance - kap descent(q/p) -
        constant)^2, which is what the bound loses, up to third order and a factor.
        """
        posed = self.posed
        perception, p = posed.model.perception, posed.grid.cells.mass
        error, distance = self._potentials(places_of(posed.grid, masses))
        some = (masses > 0) & (p > 0)
        ratio = masses[some] / p[some]
        descent = perception.descent(ratio)
        weight = np.sqrt(p[some] / perception.curvature(ratio))
        table = np.column_stack([distance[some], -descent, np.ones(len(ratio))]) * weight[:, None]
        right = -error[some] * weight
        sound = np.isfinite(table).all(axis=1) & np.isfinite(right)
        sizes = np.linalg.norm(table[sound], axis=0)
        sizes = np.where(sizes > 0, sizes, 1.0)
        found = np.linalg.lstsq(table[sound] / sizes, right[sound])[0] / sizes
        lam = max(float(found[0]), 0.0)
        potential = error + lam * distance
        return lam, potential - potential.min()

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
