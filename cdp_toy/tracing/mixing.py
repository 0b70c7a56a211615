"""Mixtures of potentials and of channels of a finite problem: new proofs and new channels without a solve.

The dual function is concave in prices and potential, error rate and distortion are linear in the channel and perception
is convex: mixtures are at least as good as the mean of what they are made of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple, cast

import numpy as np
from scipy.sparse import csr_array, diags_array

from cdp_toy.boundary import error_optimal
from cdp_toy.certificates import Program, channel_of, dual_bound, evaluate
from cdp_toy.couplings import monotone
from cdp_toy.edges import coupling, on_line
from cdp_toy.finite import DiscreteProblem
from cdp_toy.perceptions import FDivergence
from cdp_toy.solvers.line import letter_order
from cdp_toy.tracing.chains import coupled_chain
from cdp_toy.tracing.mixtures import Attained, Plane
from cdp_toy.validation import Array, Indices

__all__ = [
    "Channel",
    "FiniteMixer",
    "Forest",
    "Proof",
    "coupled",
    "measured",
    "on_surface",
    "program_of",
]

#: Monotone couplings are taken when their error rate is no more than this above the mixture's: rounding.
NO_WORSE = 1e-13


class Channel(NamedTuple):
    """What mixtures need of a channel: its output law and linear costs; the channel itself is made on request."""

    law: Array
    error_rate: float
    distortion: float
    make: Callable[[], csr_array]
    forest: Forest | None = None


class Forest(NamedTuple):
    """Pairs row * n_x + column of a best coupling that are a forest, and the prices that it is best at."""

    keys: Indices
    prices: tuple[float, float]


class Proof(NamedTuple):
    """What mixtures need of a supporting plane."""

    price_distortion: float
    potential: Array


def program_of(problem: DiscreteProblem, quantity: str) -> Program:
    """What is minimized: the error rate ("error"), the distortion ("least") or that of least error rate ("flat")."""
    if quantity == "error":
        return Program(problem, problem.error_cost)
    return Program(problem, problem.distortion_cost, allowed=error_optimal(problem) if quantity == "flat" else None)


def measured(problem: DiscreteProblem, kept: csr_array) -> Channel:
    """A channel with its output law and costs."""
    found = evaluate(program_of(problem, "error"), kept)
    return Channel(np.asarray(problem.p_y @ kept).ravel(), found.error_rate, found.distortion, lambda: kept)


def on_surface(problem: DiscreteProblem, channel: Channel) -> Attained:
    """What any channel attains."""
    perception = problem.perception.value(problem.p_x, channel.law)
    return Attained(channel.distortion, perception, channel.error_rate, channel)


def coupled(problem: DiscreteProblem, law: Array) -> csr_array:
    """The channel of the monotone coupling of p_Y with a law of letters."""
    joint = coupling(problem, law)
    total = np.asarray(joint.sum(axis=1)).ravel()
    return csr_array(diags_array(1 / np.where(total > 0, total, 1.0)) @ joint)


@dataclass(frozen=True, eq=False)
class FiniteMixer:
    """Mixes what is known of the surface ("error") or of a boundary curve ("least", "flat").

    On the line, where a monotone coupling with the mixed output law costs no more than the mixture, that is taken.
    """

    problem: DiscreteProblem
    quantity: str

    @cached_property
    def program(self) -> Program:
        """The program whose bounds are mixed, without levels."""
        return program_of(self.problem, self.quantity)

    def plane(self, d: float, p: float, proofs: Sequence[Proof], weights: Array) -> Plane | None:
        """The bound of mixed prices and potentials at a place."""
        surface = self.quantity == "error"
        program = Program(self.problem, self.program.objective, d if surface else math.inf, p, self.program.allowed)
        price = float(sum(w * proof.price_distortion for w, proof in zip(weights, proofs, strict=True)))
        potential = sum(w * proof.potential for w, proof in zip(weights, proofs, strict=True))
        return self._plane(program, price, np.asarray(potential))

    def _plane(self, program: Program, price: float, potential: Array) -> Plane | None:
        bound = dual_bound(program, price, potential)
        if not (math.isfinite(bound.value) and math.isfinite(bound.price_perception)):
            return None
        d = program.max_distortion if self.quantity == "error" else 0.0
        proof = Proof(bound.price_distortion, bound.potential)
        return Plane(d, program.max_perception, bound.value, bound.price_distortion, bound.price_perception, proof)

    def attained(self, channels: Sequence[Channel], weights: Array) -> Attained:
        """What the mixture of channels attains, or a monotone coupling with its output law."""
        problem, used = self.problem, [k for k, w in enumerate(weights) if w > 0]
        parts, shares = [channels[k] for k in used], [float(weights[k]) for k in used]
        if len(parts) == 1:
            return self._attained(parts[0])
        law = np.asarray(sum(w * part.law for w, part in zip(shares, parts, strict=True)))
        error_rate = sum(w * part.error_rate for w, part in zip(shares, parts, strict=True))
        distortion = sum(w * part.distortion for w, part in zip(shares, parts, strict=True))

        def mixed() -> csr_array:
            return csr_array(sum(w * part.make() for w, part in zip(shares, parts, strict=True)))

        found = Channel(law, error_rate, distortion, mixed)
        if on_line(problem):
            ordered = self._ordered(law)
            if ordered.error_rate <= error_rate + NO_WORSE and ordered.distortion <= distortion:
                found = ordered
        return self._attained(found)

    def supporting(self, d: float, p: float, channel: Channel) -> Plane | None:
        """The bound at a place that is best for the output law of a channel, where letters are on a line."""
        problem, objective, on_surface = self.problem, self.program.objective, self.quantity == "error"
        perception = problem.perception
        if not (on_line(problem) and perception.smooth and self.program.allowed is None):
            return None
        rows, columns = self._order
        chain = coupled_chain(problem.p_y, channel.law, rows, columns)
        price, potential = 0.0, chain.potential(objective, np.zeros(len(chain.breaks)))
        if on_surface:
            fit = cast(FDivergence, perception), problem.p_x, channel.law
            price, jumps = chain.prices(objective, problem.distortion_cost, *fit)
            potential = chain.potential(objective, jumps) + price * chain.potential(problem.distortion_cost)
        return self._plane(Program(problem, objective, d if on_surface else math.inf, p), price, potential)

    def _attained(self, channel: Channel) -> Attained:
        place = on_surface(self.problem, channel)
        return place if self.quantity == "error" else Attained(0.0, place.p, channel.distortion, channel)

    def _ordered(self, law: Array) -> Channel:
        """The monotone coupling of p_Y with a law of letters."""
        problem = self.problem
        if self.program.allowed is not None:  # rounding must not put mass on other classes
            return measured(problem, channel_of(self.program, coupling(problem, law)))
        rows, columns = self._order
        i, j, mass = monotone(problem.p_y[rows], law[columns])
        costs = (problem.error_cost, problem.distortion_cost)
        error_rate, distortion = (float(mass @ cost.entries(rows[i], columns[j])) for cost in costs)
        return Channel(law, error_rate, distortion, partial(coupled, problem, law))

    @cached_property
    def _order(self) -> tuple[Indices, Indices]:
        return letter_order(self.problem)
