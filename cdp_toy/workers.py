"""Worker processes of the main job, started when there is work."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import ParamSpec, TypeVar

from cdp_toy.tracing.executors import single_threaded_children

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
        with single_threaded_children():
            if self._pool is None:
                self._pool = ProcessPoolExecutor(self.count, get_context("spawn"))
            return self._pool.submit(function, *args, **kwargs)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Wait for what runs; after a failure nothing else is begun."""
        self.shutdown(cancel_futures=kind is not None)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for the processes to end."""
        if self._pool is not None:
            self._pool.shutdown(wait, cancel_futures=cancel_futures)
