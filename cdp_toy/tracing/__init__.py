"""`trace`: a whole surface with a certified interval at every pair of levels, not only at those that were solved."""

from __future__ import annotations

import dataclasses
import hashlib
import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from cdp_toy import __version__
from cdp_toy.errors import ExecutorError, InputError
from cdp_toy.finite import DiscreteProblem
from cdp_toy.problem import CDPProblem
from cdp_toy.surfaces import Surface
from cdp_toy.tracing.continuous_oracle import ContinuousOracle
from cdp_toy.tracing.executors import asking, places_at_once
from cdp_toy.tracing.finite_oracle import FiniteOracle
from cdp_toy.tracing.journal import opened
from cdp_toy.tracing.oracles import FormulaOracle, Oracle, TracedOracle
from cdp_toy.tracing.tracer import Settings, Tracer
from cdp_toy.validation import Array, check_level, finite_array

__all__ = ["trace"]

#: Default width of the strip between the proofs of D_min(P), in units of the range of D.
BOUNDARY_SHARE = 2e-3
#: Single points are asked to be so much sharper than the surface.
POINT_SHARE, POINT_TOL = 1e-2, 1e-8
#: Intervals of a continuous problem cost more the narrower they are.
ENCLOSED_SHARE, ENCLOSED_TOL = 1e-1, 1e-5


def trace(
    problem: DiscreteProblem | CDPProblem | Oracle,
    distortion: tuple[float, float] | None = None,
    perception: tuple[float, float] | None = None,
    tol: float = 1e-4,
    *,
    grid: tuple[ArrayLike, ArrayLike] | None = None,
    max_points: int | None = None,
    margin: float = 0.0,
    boundary_tol: float | None = None,
    point_tol: float | None = None,
    batch: int | None = None,
    progress: bool = True,
    keep_channels: bool = False,
    journal: str | os.PathLike[str] | None = None,
    executor: Executor | None = None,
    workers: int | None = None,
) -> Surface:
    """Bounds of C(D, P) at every pair of levels of a rectangle.

    C is convex and non-increasing: the supporting planes of solved points bound it from below everywhere, and the
    convex hull of attained points with its monotone extension from above. New points go where the two are farthest
    apart, until the gap is at most `tol` everywhere. For finite and continuous problems what is known of neighbours is
    mixed first, and a solver is only asked where mixtures are not good enough.

    Parameters
    ----------
    problem : DiscreteProblem, CDPProblem or callable
        A CDPProblem is the continuous problem itself, where the monotone reduction applies (see `enclose`). A callable
        answers (D, P) with a `Point`, and may have a method `min_distortion(P)` that returns a `Bracket`.
    distortion, perception : pairs of floats, optional
        The rectangle [distortion units], [divergence units]; needed for a callable. By default D runs from D_min(inf)
        to the larger of D_min at the least P and of D_flat, and P from 0 until D_min(P) has fallen to D_min(inf) up to
        one per cent of its way.
    tol : float
        Gap to aim for [units of the error rate].
    grid : pair of arrays, optional
        Levels (D values, P values) of a plain lattice, solved in place of the search.
    max_points : int, optional
        Most solves, those for D_min(P) and D_flat(P) included.
    margin : float
        The gap is to be met where D >= D_min(P) + margin [distortion units]: the surface falls like a root there.
    boundary_tol : float, optional
        Width of the strip between the proofs of D_min(P), and of D_flat(P) [distortion units]; by default two
        thousandths of the range of D. That of D_min(P) is at most half the margin.
    point_tol : float, optional
        Certified gap of single points; by default the smaller of 1e-8 and tol/100, for a continuous problem that of
        1e-5 and tol/10.
    batch : int, optional
        Places that are asked for at once; by default one, or the number of workers, and later a twentieth of the
        number of solves. Solves of a batch start from what was known before it: equal batches give equal surfaces,
        bit for bit, whoever solves them.
    progress : bool
        Show a bar with the solves done and the widest gap.
    keep_channels : bool
        Keep the restoration channels of all attained points, for `Surface.at`.
    journal : path, optional
        An SQLite file that gets every answer before the bar shows it. A run that was stopped, by its budget, the
        interrupt key or a crash, goes on where it was when it is asked for again with the same journal, and ends with
        the same surface, bit for bit. All settings but `max_points`, `progress`, `executor` and `workers` have to be
        the same; ranges and batch that are left out are those of the journal. A formula is known by its name alone.
        Wall times and facts of the machine are in the journal and nowhere else.
    executor : concurrent.futures.Executor, optional
        Solves the points of a batch at the same time: a pool of threads or processes, or `client.get_executor()` of a
        Dask cluster (the extra "dask"). Boundary curves are solved here, point after point. It is not shut down; when
        it fails, `ExecutorError` has the surface so far.
    workers : int, optional
        With `executor` its number of workers, where it does not tell. Without, a pool of so many processes of our own,
        with one BLAS thread each. When one dies the pool is made anew once in a batch, and after that this process
        goes on alone, with a RuntimeWarning; nothing that was computed is lost. Scripts have to call `trace` under
        ``if __name__ == "__main__":``, as with any pool.

    Returns
    -------
    Surface
        `stopped` says why tracing ended: the tolerance, the budget, the interrupt key, or a boundary too near to solve.

    Raises
    ------
    ContradictionError
        When answers exclude each other: the function is not convex and non-increasing, or a bound is wrong.
    ExecutorError
        When the executor fails; its `surface` is the surface so far.
    InputError
        When an argument makes no sense; when the journal has other settings (the message names them), is damaged, in
        use, or no journal; when a problem or a formula cannot be sent to workers; when a continuous problem has no
        monotone reduction (the message says why), or a journal and a piece that no problem file describes.

    References
    ----------
    Liu, Zhang and Xiong, NeurIPS 2019, Theorem 1 (C is convex and non-increasing).

    Examples
    --------
    >>> import cdp_toy as cdp
    >>> grid = cdp.presets.paper_toy().discretize(n=31)
    >>> surface = trace(grid, (0.66, 0.72), (0.003, 0.02), tol=2e-4, margin=1e-3, progress=False)
    >>> surface.stopped, surface.max_gap <= 2e-4
    ('tolerance reached', True)

    A run with a budget, and its continuation:

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as directory:
    ...     run = dict(tol=1e-3, margin=1e-3, journal=pathlib.Path(directory, "run.sqlite"), progress=False)
    ...     first = trace(grid, (0.66, 0.72), (0.003, 0.02), max_points=5, **run)
    ...     surface = trace(grid, **run)
    >>> first.stopped, surface.stopped
    ('budget of 5 solves spent', 'tolerance reached')
    """
    oracle = _oracle(problem, tol, point_tol, keep_channels)
    checked = {"tol": tol, "boundary_tol": boundary_tol, "max_points": max_points, "batch": batch, "workers": workers}
    for name, value in checked.items():
        if value is not None and not value > 0:
            raise InputError(f"{name} must be positive, got {value}")
    if not 0 <= margin < math.inf:
        raise InputError(f"margin must be finite and at least 0, got {margin}")
    lattice = None if grid is None else _lattice(grid)
    if lattice is not None:
        distortion, perception = ((float(levels[0]), float(levels[-1])) for levels in lattice)
    with opened(journal) as book, asking(oracle, executor, workers) as ask:
        kept = {} if book is None else book.settings
        given_p, given_d = (
            kept.get(n) if v is None else v for n, v in (("perception", perception), ("distortion", distortion))
        )
        levels_p = oracle.default_perception() if given_p is None else _range(given_p, "perception")
        levels_d = oracle.default_distortion(levels_p) if given_d is None else _range(given_d, "distortion")
        if boundary_tol is None:
            boundary_tol = BOUNDARY_SHARE * (levels_d[1] - levels_d[0] or 1.0)
        least_batch = places_at_once(executor, workers) if batch is None else 1
        if batch is None and kept:
            batch, least_batch = kept["batch"], kept["least_batch"]
        most = math.inf if max_points is None else max_points
        settings = Settings(levels_d, levels_p, tol, margin, boundary_tol, most, batch, keep_channels, least_batch)
        if book is not None:
            book.agree(_agreed(oracle, settings, lattice))
            ask = book.replayed(oracle, ask)
        return _traced(Tracer(oracle, settings, ask), lattice, progress)


def _traced(tracer: Tracer, lattice: tuple[Array, Array] | None, progress: bool) -> Surface:
    points = math.inf if lattice is None else len(lattice[0]) * len(lattice[1])
    with _bar(progress, min(points, tracer.settings.max_points)) as tick:
        try:
            for _ in tracer.search() if lattice is None else tracer.lattice(*lattice):
                tick(tracer)
        except KeyboardInterrupt:
            tracer.stopped = "interrupted"
        except ExecutorError as error:
            tracer.stopped = "the executor failed"
            error.surface = tracer.surface()
            raise
    return tracer.surface()


def _agreed(oracle: TracedOracle, settings: Settings, lattice: tuple[Array, Array] | None) -> dict[str, Any]:
    """What runs with one journal have to agree on: all that answers depend on, and the order of the questions."""
    levels = None if lattice is None else hashlib.sha256(b"".join(values.tobytes() for values in lattice)).hexdigest()
    agreed = dataclasses.asdict(settings) | {"grid": levels, "point_tol": oracle.facts.get("point_tol")}
    del agreed["max_points"]
    return {"version": __version__} | oracle.identity | agreed


def _oracle(
    problem: DiscreteProblem | CDPProblem | Oracle, tol: float, point_tol: float | None, keep_channels: bool
) -> TracedOracle:
    if isinstance(problem, DiscreteProblem):
        return FiniteOracle(problem, min(POINT_TOL, POINT_SHARE * tol) if point_tol is None else point_tol)
    if keep_channels:
        raise InputError("keep_channels=True: only finite problems have channels to be kept")
    if isinstance(problem, CDPProblem):
        return ContinuousOracle(problem, min(ENCLOSED_TOL, ENCLOSED_SHARE * tol) if point_tol is None else point_tol)
    if not callable(problem):
        raise TypeError(
            "trace needs a DiscreteProblem or a callable (D, P) -> Point, or a CDPProblem that enclosures are known "
            f"for; got {type(problem).__name__}"
        )
    return FormulaOracle(problem)


def _lattice(grid: tuple[ArrayLike, ArrayLike]) -> tuple[Array, Array]:
    if len(grid) != 2:
        raise InputError(f"grid must be a pair (D values, P values), got {len(grid)} entries")
    d_values, p_values = (np.unique(finite_array(values, f"grid[{k}]", 1)) for k, values in enumerate(grid))
    if not len(d_values) or not len(p_values):
        raise InputError("grid needs at least one value of D and one of P")
    return d_values, p_values


def _range(value: Sequence[float], name: str) -> tuple[float, float]:
    try:
        low, high = (check_level(v, name) for v in value)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} must be a pair (low, high) of numbers: {error}") from None
    if not (math.isfinite(low) and math.isfinite(high) and low <= high):
        raise InputError(f"{name} must be a pair (low, high) of finite levels with low <= high, got ({low}, {high})")
    return low, high


@contextmanager
def _bar(shown: bool, most: float) -> Iterator[Callable[[Tracer], None]]:
    """A progress bar with the solves done and the widest gap, and the time left where the most solves are known."""
    if not shown:
        yield lambda tracer: None
        return
    from tqdm import tqdm

    with tqdm(desc="trace", unit=" solves", total=int(most) if math.isfinite(most) else None) as bar:

        def tick(tracer: Tracer) -> None:
            bar.set_postfix_str(f"widest gap {tracer.sandwich.gap:.1e}", refresh=False)
            bar.update(tracer.solves - bar.n)

        yield tick
