"""Worker processes of the main job, started when there is work."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

__all__ = ["Workers"]

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class Workers(Executor):
    """Spawned processes with one BLAS thread each, none before the first task.

    Parameters
    ----------
    count : int
    """

    def __init__(self, count: int) -> None:
        self.count = count
        self._pool: ProcessPoolExecutor | None = None

    def submit(
        self, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
    ) -> Future[Result]:
        """Run a function in one of the processes."""
        with _single_threaded_children():
            if self._pool is None:
                self._pool = ProcessPoolExecutor(self.count, get_context("spawn"))
            return self._pool.submit(function, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for the processes to end."""
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)


@contextmanager
def _single_threaded_children() -> Iterator[None]:
    """Let worker processes start with one BLAS thread each, so that they do not fight for the cores.

    This takes effect in processes that are spawned: a forked one keeps the threads of its parent, and small
    factorizations on two busy cores then take sixty times as long.
    """
    names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "RAYON_NUM_THREADS")
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
