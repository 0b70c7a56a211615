"""Surfaces of the toys: a lattice against a peer, solves against uniform gaps, places between points, memory."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.campaign import HEADLINE_PEER, OURS
from benchmarks.peers import PEERS
from benchmarks.runner import Run, run_child

__all__ = ["PLANE", "QUICK", "QUICK_PLANE", "Rectangle", "Surfaces", "run_plane", "run_surfaces"]

#: A whole surface may take this many times as long as a timed solve.
PATIENCE = 5
#: Seeds of the lattice's points that a peer solves, and of the places between points.
SEED_PEER, SEED_BETWEEN = 20190201, 20190202

Levels = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Rectangle:
    """A toy, and where and how closely its surface is traced.

    Parameters
    ----------
    model : "paper_toy" or "plane_toy"
    n : int
        Cells of the toy per axis.
    distortion, perception : pairs of floats
        The rectangle.
    margin : float
        The gap is to be met where D >= D_min(P) + margin.
    tolerances : tuple of floats
        Uniform gaps.
    between : int
        Random levels that are solved afresh, ...
    between_tol, fresh_tol : float
        ... on a surface of the one gap, to the other.
    """

    model: str
    n: int
    distortion: Levels
    perception: Levels
    margin: float
    tolerances: tuple[float, ...]
    between: int
    between_tol: float
    fresh_tol: float = 1e-9

    def places(self) -> list[Levels]:
        """Random levels of the rectangle."""
        rng = np.random.default_rng(SEED_BETWEEN)
        d, p = (rng.uniform(*levels, self.between).tolist() for levels in (self.distortion, self.perception))
        return list(zip(d, p, strict=True))


@dataclass(frozen=True, kw_only=True)
class Surfaces(Rectangle):
    """What is traced of the toy on the line.

    Parameters
    ----------
    side : int
        Levels of D and of P on the lattice.
    sample : int
        Points of the lattice that the peer solves.
    memory_n : int
        Cells of the surface whose memory is measured, traced to `between_tol`.
    """

    model: str = "paper_toy"
    n: int = 201
    distortion: Levels = (0.645, 0.715)
    perception: Levels = (3e-4, 3e-2)
    margin: float = 1e-4
    tolerances: tuple[float, ...] = (1e-4, 3e-5, 1e-5, 3e-6, 1e-6)
    between: int = 100
    between_tol: float = 1e-5
    side: int = 33
    sample: int = 30
    memory_n: int = 401

    def axes(self) -> tuple[list[float], list[float]]:
        """Levels of D and of P of the lattice."""
        d, p = (np.linspace(*levels, self.side) for levels in (self.distortion, self.perception))
        return d.tolist(), p.tolist()

    def lattice_sample(self) -> list[Levels]:
        """Points of the lattice for the peer, the infeasible ones being as likely as others."""
        d, p = self.axes()
        chosen = np.random.default_rng(SEED_PEER).choice(self.side**2, min(self.sample, self.side**2), replace=False)
        return [(d[k % self.side], p[k // self.side]) for k in map(int, chosen)]


#: Budget of a surface down to D_min(P), where the last tenth of a gap may have no place left to solve at.
MOST_SOLVES = 400

#: A few minutes.
QUICK = Surfaces(
    n=51, side=9, sample=5, margin=1e-3, tolerances=(1e-3, 1e-4), between=20, between_tol=1e-4, memory_n=101
)

#: The toy in the plane, 256 observations x 256 letters: D_min(P) falls from 1.28 to 1.15 within the rectangle.
PLANE = Rectangle(
    model="plane_toy",
    n=16,
    distortion=(1.13, 1.5),
    perception=(3e-4, 0.1),
    margin=1e-4,
    tolerances=(1e-3, 1e-4, 1e-5),
    between=60,
    between_tol=1e-4,
)
#: Coarse cells lose so much that D_min(P) falls from 2.13 to 2.01: the same rectangle would be infeasible as a whole.
QUICK_PLANE = dataclasses.replace(
    PLANE, n=5, distortion=(1.99, 2.36), tolerances=(1e-2, 1e-3), between=10, between_tol=1e-3
)


def run_surfaces(wanted: Surfaces, timeout: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure everything on the line, each surface in a process of its own; plain values.

    Parameters
    ----------
    wanted : Surfaces
    timeout : float
        Longest time for one solve [s]; a surface may take `PATIENCE` times as long.
    say : callable
        Told one line of progress for every part.
    """
    sandwiches = []
    found = {
        "settings": dataclasses.asdict(wanted),
        "lattice": _lattice(wanted, timeout, say),
        "memory": _sandwich(wanted, wanted.between_tol, timeout, say, n=wanted.memory_n),
        "between": _between(wanted, timeout, say),
    }
    for tol in wanted.tolerances:
        clear = _sandwich(wanted, tol, timeout, say)
        strip = _sandwich(wanted, tol, timeout, say, margin=0.0, max_points=MOST_SOLVES)
        sandwiches.append({"tol": tol, "clear": clear, "strip": strip})
    return found | {"sandwiches": sandwiches}


def run_plane(where: Rectangle, timeout: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Measure surfaces in the plane, each in a process of its own; plain values.

    Parameters
    ----------
    where : Rectangle
    timeout : float
        Longest time for one solve [s]; a surface may take `PATIENCE` times as long.
    say : callable
        Told one line of progress for every part.
    """
    sandwiches = [{"tol": tol, "clear": _sandwich(where, tol, timeout, say)} for tol in where.tolerances]
    between = _between(where, timeout, say)
    return {"settings": dataclasses.asdict(where), "sandwiches": sandwiches, "between": between}


def _lattice(wanted: Surfaces, timeout: float, say: Callable[[str], None]) -> dict[str, Any]:
    """The lattice by ours, and a sample of it by the peer."""
    (d, p), sample = wanted.axes(), wanted.lattice_sample()
    toy = {"model": wanted.model, "n": wanted.n}
    job = {"task": "lattice", **toy, "distortion": d, "perception": p, "sample": sample}
    ours = {label: _traced(run_child(job, PATIENCE * timeout, variables)) for label, variables in OURS.items()}
    for label, row in ours.items():
        say(f"lattice, {label}: {_line(row)}")
    brackets = next((row["brackets"] for row in ours.values() if row["ending"] == "done"), None)
    (solver,) = (peer.solver for peer in PEERS if peer.label == HEADLINE_PEER)
    run = run_child({"task": "peers", **toy, "solver": solver, "sample": sample}, timeout)
    answers = run.at("peer")
    errors = [
        abs(answer["value"] - sum(ends) / 2)
        for answer, ends in zip(answers, brackets or (), strict=False)
        if answer["value"] is not None and math.isfinite(sum(ends))
    ]
    say(f"lattice, {HEADLINE_PEER}: {len(answers)} points in {sum(a['seconds'] for a in answers):.4g} s, {run.ending}")
    peer = {"ending": run.ending, "reason": run.reason, "answers": answers, "error": max(errors, default=None)}
    return {"count": wanted.side**2, "ours": ours, "peer": peer}


def _sandwich(
    where: Rectangle, tol: float, timeout: float, say: Callable[[str], None], **changes: int | float
) -> dict[str, Any]:
    row = _traced(run_child(_job("sandwich", where, tol) | changes, PATIENCE * timeout))
    say(f"{where.model}, gap {tol:g}{''.join(f', {key} {value:g}' for key, value in changes.items())}: {_line(row)}")
    return row


def _between(where: Rectangle, timeout: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Whether fresh solves at random levels are where a surface says."""
    job = _job("between", where, where.between_tol) | {"fresh_tol": where.fresh_tol, "sample": where.places()}
    run = run_child(job, PATIENCE * timeout)
    answers = run.at("fresh")
    inside = sum(answer["inside"] for answer in answers)
    say(f"{where.model}, between points: {inside} of {len(answers)} inside, {run.ending} {run.reason}")
    return {"ending": run.ending, "reason": run.reason, "answers": answers}


def _job(task: str, where: Rectangle, tol: float) -> dict[str, Any]:
    return {
        "task": task,
        "model": where.model,
        "n": where.n,
        "distortion": where.distortion,
        "perception": where.perception,
        "tol": tol,
        "margin": where.margin,
        "max_points": None,
    }


def _traced(run: Run) -> dict[str, Any]:
    """How a child ended, with what it measured."""
    (ready, *_), (traced, *_) = run.at("ready") or [{}], run.at("traced") or [{}]
    return {"ending": run.ending, "reason": run.reason, **ready, **traced}


def _line(row: dict[str, Any]) -> str:
    if row["ending"] != "done":
        return f"{row['ending']} ({row['reason']})"
    return f"{row['solves']:.0f} solves, {row['seconds']:.4g} s, widest gap {row['gap']:.1e}"
