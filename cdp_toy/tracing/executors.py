"""Answers from other processes: any `concurrent.futures.Executor`, or a pool of our own.

What travels is plain: the oracle once for each worker, then levels, and rows for what a solve starts from and for what
it found. A batch is submitted as a whole and its answers are taken in its order, whoever finishes first, so that the
number of workers changes nothing but the time.
"""

from __future__ import annotations

import contextlib
import hashlib
import multiprocessing
import os
import pickle
import signal
import threading
import traceback
import warnings
from collections.abc import Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future, ProcessPoolExecutor
from multiprocessing.process import BaseProcess
from typing import Any, NamedTuple

from cdp_toy.errors import ExecutorError, InputError
from cdp_toy.point import Bracket
from cdp_toy.solution import Solution
from cdp_toy.tracing.oracles import Ask, Question, TracedOracle
from cdp_toy.tracing.records import Answer, packed, row_of, unpacked

__all__ = ["asking", "places_at_once", "single_threaded_children"]

#: Tell libraries that are loaded later how many threads to use.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS")
#: Oracles that a worker keeps; a foreign pool may serve several runs.
MOST_KEPT = 4


def places_at_once(executor: Executor | None, workers: int | None) -> int:
    """Least number of places that keeps all workers busy."""
    if workers is not None:
        return int(workers)
    if executor is None:
        return 1
    # pools of the standard library know their size; nothing public tells that of another executor
    return int(getattr(executor, "_max_workers", None) or os.cpu_count() or 1)


@contextlib.contextmanager
def asking(oracle: TracedOracle, executor: Executor | None, workers: int | None) -> Iterator[Ask]:
    """What answers questions: this process, an executor, or a pool of `workers` processes that ends with the `with`."""
    if executor is None and workers is None:
        yield lambda questions: map(oracle.answer, questions)
        return
    if executor is not None and not callable(getattr(executor, "submit", None)):
        raise InputError(
            f"executor must be a concurrent.futures.Executor, got {type(executor).__name__}; for processes of our own "
            "give workers=2"
        )
    if workers is not None and workers != int(workers):
        raise InputError(f"workers must be a whole number, got {workers}")
    parcel = _parcel(oracle)
    if executor is not None:
        yield _Foreign(oracle, parcel, executor)
        return
    assert workers is not None
    own = _Own(oracle, parcel, int(workers))
    try:
        yield own
    finally:
        own.end()


class _Parcel(NamedTuple):
    """An oracle on its way to other processes."""

    key: str
    data: bytes


def _parcel(oracle: TracedOracle) -> _Parcel:
    try:
        data = pickle.dumps(oracle.portable())
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise InputError(
            f"executor: what is traced cannot be sent to other processes ({error}); discretize the problem and trace "
            "problem.discretize(n=201), or use a function of a module in place of a lambda or a local function"
        ) from None
    return _Parcel(hashlib.sha256(data).hexdigest(), data)


# in the workers

_kept: dict[str, TracedOracle] = {}


def keep(key: str, data: bytes) -> TracedOracle:
    """Keep an oracle for the tasks to come."""
    oracle: TracedOracle = pickle.loads(data)
    _kept[key] = oracle
    for old in list(_kept)[:-MOST_KEPT]:
        _kept.pop(old, None)
    return oracle


def begin(key: str, data: bytes) -> None:
    """Begin a worker of our own pool: it ends with the process that made it, and silently with the interrupt key."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    parent = multiprocessing.parent_process()
    if parent is not None:  # a pool's worker that lost its parent waits for ever otherwise
        threading.Thread(target=_follow, args=(parent,), daemon=True).start()
    keep(key, data)


def _follow(parent: BaseProcess) -> None:
    parent.join()
    os._exit(1)


class Outcome(NamedTuple):
    """An answer as a packed row, or what went wrong in solving; neither when the oracle is not known here."""

    row: bytes | None = None
    error: Exception | None = None
    trace: str = ""


def answer_there(
    key: str, data: bytes | None, levels: tuple[float, float], start: bytes | None, boundary: bytes | None
) -> Outcome:
    """Answer the question for a point; with `data` None the oracle has to be one that is kept here."""
    oracle = _kept.get(key)
    if oracle is None:
        if data is None:
            return Outcome()
        oracle = keep(key, data)
    try:  # what a solver raises is an outcome; what a future raises is a failure of the executor
        begun, bound = (None if part is None else oracle.restored(unpacked(part)) for part in (start, boundary))
        assert begun is None or isinstance(begun, Solution)
        assert bound is None or isinstance(bound, Bracket)
        return Outcome(packed(oracle.row(oracle.answer(Question("point", *levels, begun, bound)))))
    except Exception as error:
        return Outcome(error=error, trace=traceback.format_exc())


# in the process that traces


class _Foreign:
    """Questions to an executor of the caller's."""

    def __init__(self, oracle: TracedOracle, parcel: _Parcel, executor: Executor) -> None:
        self.oracle, self.parcel, self.executor = oracle, parcel, executor
        self._sent = False

    def __call__(self, questions: Sequence[Question]) -> Iterator[Answer]:
        futures = [self._submitted(question, with_oracle=not self._sent) for question in questions]
        try:
            for question, future in zip(questions, futures, strict=True):
                yield self.oracle.answer(question) if future is None else self._taken(question, future)
        finally:
            for future in futures:
                if future is not None:
                    future.cancel()

    def _submitted(self, question: Question, with_oracle: bool) -> Future[Outcome] | None:
        if not _elsewhere(question):
            return None
        try:
            return self.executor.submit(*_task(self.parcel, question, with_oracle))
        except Exception as error:
            raise _failure(error) from error

    def _taken(self, question: Question, future: Future[Outcome]) -> Answer:
        outcome = self._outcome(future)
        if outcome.row is None and outcome.error is None:  # a worker that joined later
            again = self._submitted(question, with_oracle=True)
            assert again is not None
            outcome = self._outcome(again)
        self._sent = True
        return _answer(self.oracle, outcome)

    def _outcome(self, future: Future[Outcome]) -> Outcome:
        try:
            return future.result()
        except Exception as error:
            raise _failure(error) from error


class _Own:
    """Questions to a pool of our own.

    When a worker dies, what the others found is kept and the rest of the batch is asked of a new pool; when that breaks
    in the same batch, this process goes on alone.
    """

    def __init__(self, oracle: TracedOracle, parcel: _Parcel, workers: int) -> None:
        self.oracle, self.parcel, self.workers = oracle, parcel, workers
        self.pool: ProcessPoolExecutor | None = self._made()
        self._futures: list[Future[Outcome] | None] = []

    def __call__(self, questions: Sequence[Question]) -> Iterator[Answer]:
        broken = 0
        futures = self._futures = [self._submitted(question) for question in questions]
        for k, question in enumerate(questions):
            outcome = None
            while outcome is None and (future := futures[k]) is not None:
                try:
                    outcome = future.result()
                except BrokenExecutor:
                    broken += 1
                    self._replace(alone=broken > 1)
                    for j in range(k, len(futures)):
                        if not _answered(futures[j]):
                            futures[j] = self._submitted(questions[j])
            yield self.oracle.answer(question) if outcome is None else _answer(self.oracle, outcome)

    def end(self) -> None:
        """End the workers; those that are at work, as after an interrupt, are not waited for."""
        if self.pool is not None:
            idle = all(future is None or future.done() for future in self._futures)
            self.pool.shutdown(wait=idle, cancel_futures=True)

    def _made(self) -> ProcessPoolExecutor:
        # not forked: a fork of a process with threads, such as those of BLAS, may hang
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(self.workers, context, initializer=begin, initargs=self.parcel)

    def _replace(self, alone: bool) -> None:
        assert self.pool is not None
        self.pool.shutdown(wait=False)
        self.pool = None if alone else self._made()
        if alone:
            warnings.warn(
                "workers died twice, and tracing goes on in this process alone; did they run out of memory, or does a "
                'script lack `if __name__ == "__main__":` around the call of trace?',
                RuntimeWarning,
                stacklevel=2,
            )

    def _submitted(self, question: Question) -> Future[Outcome] | None:
        if self.pool is None or not _elsewhere(question):
            return None
        try:
            with single_threaded_children():  # submitting begins workers as they are needed
                return self.pool.submit(*_task(self.parcel, question, with_oracle=False))
        except BrokenExecutor as error:
            failed: Future[Outcome] = Future()
            failed.set_exception(error)
            return failed


def _elsewhere(question: Question) -> bool:
    """Whether a question is worth the way: boundary curves come one by one, and the floor is not solved for."""
    return question.kind == "point" and question.floor is None


def _task(parcel: _Parcel, question: Question, with_oracle: bool) -> tuple[Any, ...]:
    start, boundary = (None if part is None else packed(row_of(part)) for part in (question.start, question.boundary))
    levels = (question.distortion, question.perception)
    return answer_there, parcel.key, parcel.data if with_oracle else None, levels, start, boundary


def _answered(future: Future[Outcome] | None) -> bool:
    return future is None or (future.done() and not future.cancelled() and future.exception() is None)


def _answer(oracle: TracedOracle, outcome: Outcome) -> Answer:
    if outcome.error is not None:
        outcome.error.add_note(f"In a worker:\n{outcome.trace}")
        raise outcome.error
    assert outcome.row is not None
    return oracle.restored(unpacked(outcome.row))


def _failure(error: Exception) -> ExecutorError:
    return ExecutorError(
        f"the executor failed ({type(error).__name__}: {error}); the surface so far is in .surface, and with "
        "journal=... nothing is asked again: trace with another executor, or with workers=... for processes of our own"
    )


@contextlib.contextmanager
def single_threaded_children() -> Iterator[None]:
    """Let processes that are spawned inside of the `with` use one thread each: more would fight for the cores.

    A forked process keeps the threads of its parent, and small factorizations on two busy cores then take sixty times
    as long.
    """
    before = {name: os.environ.get(name) for name in THREADS}
    os.environ.update(dict.fromkeys(THREADS, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
