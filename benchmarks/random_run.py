"""Random problems by two solvers of ours: statuses are counted, and the two brackets must have a point in common."""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
import os
import signal
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm import tqdm

import cdp_toy as cdp
from benchmarks.formulas import measured
from benchmarks.random_problems import random_problem, random_tables, rng_of
from benchmarks.runner import SINGLE_THREAD

__all__ = ["Answer", "Settings", "Trial", "examine", "run_random"]

TOL = 1e-7

#: Brackets must intersect up to this, and channels achieve what is claimed up to this, in units of the costs.
ROUNDING = 1e-12


@dataclass(frozen=True)
class Settings:
    """Which problems, and what is affordable.

    `most_reference` is the largest number of channel entries that the reference solver is asked about; `seconds` ends a
    single solve (as soon as a compiled solver returns); `perception` overrides the one that an index draws.
    """

    count: int = 2000
    first: int = 0
    workers: int = 2
    most_reference: int = 900
    seconds: float = 120.0
    perception: str | None = None


@dataclass(frozen=True)
class Answer:
    """Answer of one solver: a status name or "EXCEPTION", the bracket, and what was wrong with the channel."""

    status: str
    lower: float = math.nan
    upper: float = math.nan
    seconds: float = math.nan
    solver: str = ""
    note: str = ""
    fault: str = ""


@dataclass(frozen=True)
class Trial:
    """One random problem by its index, and the answers."""

    index: int
    n_y: int
    n_x: int
    perception: str
    distortion: float
    level: float
    least: str
    ours: Answer
    reference: Answer | None

    @property
    def disagreement(self) -> float:
        """Gap between the two brackets in units of the costs; 0 where they meet or one is missing."""
        if self.reference is None:
            return 0.0
        ends = (self.ours.lower, self.ours.upper, self.reference.lower, self.reference.upper)
        if any(map(math.isnan, ends)):
            return 0.0
        low, high = max(ends[0], ends[2]), min(ends[1], ends[3])
        return 0.0 if low <= high else (low - high) / max(1.0, abs(high))

    @property
    def disagree(self) -> bool:
        """Whether the two solvers contradict each other."""
        return self.disagreement > ROUNDING

    @property
    def troubled(self) -> bool:
        """Whether anybody should look at it."""
        known = self.ours.status in ("OPTIMAL", "INFEASIBLE")
        faults = self.ours.fault or (self.reference is not None and self.reference.fault)
        return not known or self.disagree or bool(faults)

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_record(record: dict[str, Any]) -> Trial:
        """Read what `record` wrote; what is not a number was null on disk."""
        answers = {key: _answer(record[key]) for key in ("ours", "reference")}
        numbers = {key: _number(record[key]) for key in ("distortion", "level")}
        return Trial(**{**record, **answers, **numbers})


def _answer(record: dict[str, Any] | None) -> Answer | None:
    if record is None:
        return None
    return Answer(**{**record, **{key: _number(record[key]) for key in ("lower", "upper", "seconds")}})


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)


class _TooLongError(Exception):
    """A solve took longer than allowed."""


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Raise in the main thread after so long; compiled code is left to finish first."""

    def stop(*_: object) -> None:
        raise _TooLongError(f"stopped after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def examine(index: int, settings: Settings) -> Trial:
    """Draw the problem of an index and have it solved."""
    grid, level = random_tables(rng_of(index), settings.perception)
    limit, least = math.nan, ""
    try:
        with _limited(settings.seconds):
            grid, limit, level = random_problem(rng_of(index), settings.perception)
    except Exception as error:
        least = f"{type(error).__name__}: {error}"
    if least:
        ours, reference = Answer("EXCEPTION", note=f"min_distortion: {least}"), None
    else:
        ours = _solve(grid, limit, level, "auto", settings.seconds)
        affordable = grid.n_y * grid.n_x <= settings.most_reference
        reference = _solve(grid, limit, level, "reference", settings.seconds) if affordable else None
    return Trial(index, grid.n_y, grid.n_x, grid.perception.name, limit, level, least, ours, reference)


def _solve(grid: cdp.DiscreteProblem, limit: float, level: float, solver: Any, seconds: float) -> Answer:
    began = time.perf_counter()
    try:
        with _limited(seconds):
            point = cdp.solve(grid, limit, level, solver=solver, tol=TOL, on_infeasible="return")
            spent = time.perf_counter() - began
            fault = "" if point.sparse_channel is None else _fault(grid, point)
    except Exception as error:
        return Answer("EXCEPTION", seconds=time.perf_counter() - began, note=f"{type(error).__name__}: {error}")
    return Answer(
        point.status.name, float(point.lower_bound), float(point.upper_bound), spent, point.solver, point.note, fault
    )


def _fault(grid: cdp.DiscreteProblem, point: cdp.Solution) -> str:
    """First claim about a returned channel that does not hold, recomputed from the tables by other formulas."""
    channel = point.channel
    if channel.min() < 0 or np.abs(channel.sum(axis=1) - 1).max() > ROUNDING:
        return "the rows of the channel are no laws"
    found = measured(grid, channel)
    sizes = [max(1.0, float(np.abs(cost.table()).max())) for cost in (grid.error_cost, grid.distortion_cost)]
    if abs(found.error_rate - point.error_rate) > 10 * ROUNDING * sizes[0]:
        return f"error rate is {found.error_rate!r}, claimed {point.error_rate!r}"
    if point.status.name not in ("OPTIMAL", "INEXACT"):
        return ""
    if point.upper_bound - found.error_rate > TOL:  # lifted to the lower bound, by more than rounding explains
        return f"the lower bound exceeds the channel's error rate by {point.upper_bound - found.error_rate:.2e}"
    if found.distortion > point.max_distortion + 10 * ROUNDING * sizes[1]:
        return f"distortion exceeds its level by {found.distortion - point.max_distortion:.2e}"
    # linear programs and logarithms of sums are good to 1e-9; at P = 0 the law itself is what counts
    if point.max_perception == 0:
        far = float(np.abs(grid.p_y @ channel - grid.p_x).max())
        return f"the output law is {far:.2e} off the source law" if far > 10 * ROUNDING else ""
    over = found.perception - point.max_perception
    return f"perception exceeds its level by {over:.2e}" if over > 1e-9 * max(1.0, point.max_perception) else ""


def _unexamined(index: int, error: BaseException) -> Trial:
    nothing = Answer("EXCEPTION", note=f"{type(error).__name__}: {error}")
    return Trial(index, 0, 0, "?", math.nan, math.nan, "", nothing, None)


def run_random(settings: Settings) -> list[Trial]:
    """Examine the problems of a range of indices in a pool of processes.

    Parameters
    ----------
    settings : Settings
    """
    os.environ.update(SINGLE_THREAD)  # before the children import numpy
    trials = []
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(settings.workers, mp_context=context) as pool:
        indices = range(settings.first, settings.first + settings.count)
        waiting = {pool.submit(examine, index, settings): index for index in indices}
        for future in tqdm(as_completed(waiting), total=len(waiting), unit="problem"):
            error = future.exception()  # such as a worker that died; the other answers are worth keeping
            trials.append(_unexamined(waiting[future], error) if error is not None else future.result())
    return sorted(trials, key=lambda trial: trial.index)
