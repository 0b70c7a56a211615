"""Executors: whoever solves the points, the surface is the same, and a worker that dies costs nothing."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tracing_cases import FINITE, UNIT, Bowl, Corner, Deadly, Failing, assert_identical

import cdp_toy as cdp
from cdp_toy import tracing
from cdp_toy.tracing import executors
from cdp_toy.tracing.executors import places_at_once

PLACES = np.random.default_rng(4).random((200, 2))


class Here(Executor):
    """Runs what is submitted at once, in workers that are born for the task when they are `forgetful`."""

    def __init__(self, forgetful: bool = False) -> None:
        self.forgetful = forgetful
        self.with_oracle: list[bool] = []

    def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.with_oracle.append(args[1] is not None)
        if self.forgetful:
            executors._kept.clear()
        future: Future[Any] = Future()
        future.set_result(function(*args, **kwargs))
        return future


@pytest.fixture(scope="module")
def toy() -> cdp.DiscreteProblem:
    return cdp.presets.paper_toy().discretize(n=21)


@pytest.fixture(scope="module")
def serial(toy: cdp.DiscreteProblem) -> cdp.Surface:
    return cdp.trace(toy, batch=2, **FINITE)


def test_threads(toy: cdp.DiscreteProblem, serial: cdp.Surface) -> None:
    with ThreadPoolExecutor(2) as pool:
        assert_identical(cdp.trace(toy, batch=2, executor=pool, **FINITE), serial)


def test_processes_of_our_own(toy: cdp.DiscreteProblem, serial: cdp.Surface) -> None:
    before = dict(os.environ)
    surface = cdp.trace(toy, workers=2, batch=2, **FINITE)
    assert os.environ == before
    assert_identical(surface, serial)


def test_other_batches_agree_within_the_tolerance(toy: cdp.DiscreteProblem, serial: cdp.Surface) -> None:
    surface = cdp.trace(toy, executor=Here(), workers=3, **FINITE)
    d, p = 0.77 + 0.02 * PLACES[:, 0], 0.003 + 0.003 * PLACES[:, 1]
    assert surface.stopped == "tolerance reached" and surface.points.tobytes() != serial.points.tobytes()
    tol = FINITE["tol"]
    for one, other in ((surface.lower(d, p), serial.lower(d, p)), (surface.upper(d, p), serial.upper(d, p))):
        assert np.all(np.isfinite(one)) and np.all(np.abs(one - other) <= tol * (1 + 1e-9))
    assert np.all(surface.lower(d, p) <= serial.upper(d, p) + 1e-12)
    assert np.all(serial.lower(d, p) <= surface.upper(d, p) + 1e-12)


def test_a_lattice(toy: cdp.DiscreteProblem) -> None:
    """Points of the flat region are not worth the way; the others begin with the bracket of D_min(P)."""
    levels = (np.linspace(0.73, 0.79, 4), np.array([0.004, 0.02]))
    pool = Here()
    surface = cdp.trace(toy, grid=levels, batch=3, executor=pool, progress=False)
    assert_identical(surface, cdp.trace(toy, grid=levels, batch=3, progress=False))
    assert len(pool.with_oracle) == np.sum(surface.points["solver"] != "flat region") < len(surface.points)


@pytest.mark.parametrize("kind", [Bowl, Corner])
def test_formulas_that_can_be_sent(kind: type[Bowl]) -> None:
    formula = kind()
    surface = cdp.trace(formula, tol=0.05, margin=0.1, batch=3, executor=Here(), **UNIT)
    assert_identical(surface, cdp.trace(kind(), tol=0.05, margin=0.1, batch=3, **UNIT))
    assert formula.asked == (0 if kind is Bowl else len(surface.boundary.brackets))  # type: ignore[union-attr]


def test_the_oracle_travels_once_and_to_workers_that_join_later() -> None:
    whole = cdp.trace(Bowl(), tol=0.05, batch=3, **UNIT)
    for forgetful in (False, True):
        executors._kept.clear()
        pool = Here(forgetful)
        assert_identical(cdp.trace(Bowl(), tol=0.05, batch=3, executor=pool, **UNIT), whole)
        points = len(whole.points)
        assert len(pool.with_oracle) == (2 * points - 1 if forgetful else points)
        assert pool.with_oracle[:3] == ([True, False, True] if forgetful else [True, False, False])


def test_oracles_of_other_runs_do_not_pile_up() -> None:
    for k in range(3 * executors.MOST_KEPT):
        cdp.trace(Bowl(stop_after=1000 + k), tol=0.5, executor=Here(), **UNIT)
    assert len(executors._kept) == executors.MOST_KEPT


def test_how_many_places_are_asked_for_at_once() -> None:
    with ThreadPoolExecutor(5) as pool:
        assert places_at_once(pool, None) == 5 and places_at_once(pool, 3) == 3
    assert places_at_once(None, 4) == 4 and places_at_once(None, None) == 1
    assert places_at_once(Here(), None) == os.cpu_count()


def test_a_journal_goes_on_with_other_workers(toy: cdp.DiscreteProblem, serial: cdp.Surface, tmp_path: Path) -> None:
    run = dict(journal=tmp_path / "run.sqlite", **FINITE)
    cdp.trace(toy, max_points=13, batch=2, **run)
    cdp.trace(toy, max_points=15, batch=2, executor=Here(), workers=3, **run)
    assert_identical(cdp.trace(toy, executor=Here(), workers=7, **run), serial)


# failures


@pytest.mark.parametrize("deaths", [1, 2])
def test_workers_that_die_cost_nothing(deaths: int, tmp_path: Path) -> None:
    """The pool is made anew; when that dies too, this process goes on alone."""
    whole = cdp.trace(Deadly(tmp_path), tol=0.1, batch=4, **UNIT)
    for k in range(deaths):
        (tmp_path / f"death{k}").touch()
    told = pytest.warns(RuntimeWarning, match="workers died twice") if deaths == 2 else contextlib.nullcontext()
    with told:
        surface = cdp.trace(Deadly(tmp_path), tol=0.1, batch=4, workers=1, **UNIT)
    assert_identical(surface, whole)
    assert list(tmp_path.iterdir()) == []


def test_a_broken_executor_leaves_the_surface_and_the_journal(tmp_path: Path) -> None:
    whole = cdp.trace(Deadly(tmp_path), tol=0.1, batch=2, **UNIT)
    run = dict(tol=0.1, batch=2, journal=tmp_path / "run.sqlite", **UNIT)
    cdp.trace(Deadly(tmp_path), max_points=5, **run)
    (tmp_path / "death").touch()
    with ProcessPoolExecutor(1) as pool, pytest.raises(cdp.ExecutorError, match="BrokenProcessPool") as caught:
        cdp.trace(Deadly(tmp_path), executor=pool, **run)
    surface = caught.value.surface
    assert surface is not None and surface.stopped == "the executor failed" and len(surface.points) == 5
    assert_identical(cdp.trace(Deadly(tmp_path), **run), whole)


def test_an_executor_that_was_shut_down() -> None:
    pool = ThreadPoolExecutor(1)
    pool.shutdown()
    with pytest.raises(cdp.ExecutorError, match="after shutdown"):
        cdp.trace(Bowl(), tol=0.1, executor=pool, **UNIT)


def test_what_a_solver_raises_is_raised_here() -> None:
    with ThreadPoolExecutor(2) as pool, pytest.raises(ZeroDivisionError, match="a mistake in the formula") as caught:
        cdp.trace(Failing(), tol=0.1, executor=pool, **UNIT)
    assert "In a worker" in caught.value.__notes__[0] and "tracing_cases.py" in caught.value.__notes__[0]


@pytest.mark.parametrize("pool", [{"workers": 2}, {"executor": Here()}])
def test_what_cannot_be_sent_is_refused(pool: dict[str, Any]) -> None:
    with pytest.raises(cdp.InputError, match=r"cannot be sent to other processes .*; discretize the problem"):
        cdp.trace(lambda d, p: Bowl()(d, p), tol=0.1, **UNIT, **pool)


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ({"workers": 0}, "workers must be positive"),
        ({"workers": -2}, "workers must be positive"),
        ({"workers": 1.5}, "workers must be a whole number"),
        ({"executor": "processes"}, r"executor must be a concurrent\.futures\.Executor, got str"),
    ],
)
def test_refusals(pool: dict[str, Any], message: str) -> None:
    with pytest.raises(cdp.InputError, match=message):
        cdp.trace(Bowl(), tol=0.1, **UNIT, **pool)


def test_the_interrupt_key_ends_our_own_pool(monkeypatch: pytest.MonkeyPatch) -> None:
    @contextlib.contextmanager
    def bar(progress: bool, most: float) -> Iterator[Any]:
        def tick(tracer: tracing.Tracer) -> None:
            if tracer.solves == 5:
                raise KeyboardInterrupt

        yield tick

    monkeypatch.setattr(tracing, "_bar", bar)
    surface = cdp.trace(Bowl(), tol=0.1, workers=1, **UNIT)
    assert surface.stopped == "interrupted" and len(surface.points) == 5


TRACED_BY_WORKERS = """
import multiprocessing, os, sys, threading, time
sys.path[:0] = sys.argv[1:]
from tracing_cases import UNIT, Bowl
import cdp_toy as cdp

def report():
    while len(multiprocessing.active_children()) < 2:
        time.sleep(0.01)
    print(*(child.pid for child in multiprocessing.active_children()), flush=True)

if __name__ == "__main__":
    threading.Thread(target=report, daemon=True).start()
    cdp.trace(Bowl(), tol=1e-7, workers=2, batch=2, **UNIT)
"""


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks at processes under /proc")
def test_workers_do_not_outlive_a_killed_process(tmp_path: Path) -> None:
    script, tests = tmp_path / "script.py", Path(__file__).parent
    script.write_text(TRACED_BY_WORKERS)
    run = subprocess.Popen(
        [sys.executable, str(script), str(tests), str(tests.parent)], stdout=subprocess.PIPE, text=True
    )
    assert run.stdout is not None
    with run.stdout:
        workers = [int(pid) for pid in run.stdout.readline().split()]
        assert len(workers) == 2
        time.sleep(2)
        run.send_signal(signal.SIGKILL)
        run.wait()
        for _ in range(600):
            left = [pid for pid in workers if alive(pid)]
            if not left:
                break
            time.sleep(0.1)
    assert left == []


def alive(pid: int) -> bool:
    """Whether a process runs; one that nobody has waited for is dead all the same."""
    with contextlib.suppress(FileNotFoundError):
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    return False


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # of a cluster that loses a worker
@pytest.mark.skipif(importlib.util.find_spec("distributed") is None, reason="needs distributed, the extra dask")
def test_a_dask_cluster_that_loses_a_worker(toy: cdp.DiscreteProblem, serial: cdp.Surface) -> None:
    import distributed

    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids = list(client.run(os.getpid).values())
        assert len(set(pids)) == 2
        killed: list[int] = []

        class Losing(Executor):
            """The cluster's executor, which loses a worker in mid-run."""

            def submit(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
                future: Future[Any] = client.get_executor().submit(function, *args, **kwargs)
                if args[1] is None and not killed:  # workers have the oracle: the run is under way
                    killed.append(pids[0])
                    os.kill(pids[0], signal.SIGKILL)
                return future

        surface = cdp.trace(toy, batch=2, executor=Losing(), **FINITE)
        assert killed and surface.stopped == "tolerance reached"
        d, p = 0.77 + 0.02 * PLACES[:, 0], 0.003 + 0.003 * PLACES[:, 1]
        assert np.all(np.abs(surface.lower(d, p) - serial.lower(d, p)) <= FINITE["tol"])
        assert np.all(np.abs(surface.upper(d, p) - serial.upper(d, p)) <= FINITE["tol"])
        assert len(client.run(os.getpid)) >= 1
        again = cdp.trace(toy, executor=client.get_executor(), workers=2, batch=2, **FINITE)
        assert_identical(again, serial)
