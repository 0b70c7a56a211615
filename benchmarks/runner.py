"""Start a child, listen to its reports, and stop it when one is overdue."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

__all__ = ["SINGLE_THREAD", "Run", "run_child"]

ROOT = Path(__file__).parents[1]

#: One thread for every library that would start more.
SINGLE_THREAD = dict.fromkeys(
    ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
)

Ending = Literal["done", "timeout", "refused", "failed", "crashed"]

#: Endings that a child reports itself.
ENDINGS: tuple[Literal["done", "refused", "failed"], ...] = ("done", "refused", "failed")


@dataclass(frozen=True)
class Run:
    """Reports of a child in their order, how it ended, and why when not well."""

    reports: tuple[dict[str, Any], ...]
    ending: Ending
    reason: str = ""

    def at(self, stage: str) -> list[dict[str, Any]]:
        """Reports of one stage."""
        return [report for report in self.reports if report["stage"] == stage]


def run_child(job: dict[str, Any], patience: float, environment: dict[str, str] | None = None) -> Run:
    """Run one job in a fresh process.

    Parameters
    ----------
    job : dict
        What `benchmarks.child` reads.
    patience : float
        Longest time between two reports, each of which follows one solve [s].
    environment : dict, optional
        Variables to set besides single threads.
    """
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    variables = {**os.environ, **SINGLE_THREAD, "PYTHONPATH": path, **(environment or {})}
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.child", json.dumps(job)]
    with (
        tempfile.TemporaryFile("w+") as complaints,
        subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=complaints,
            env=variables,
            cwd=ROOT,
            text=True,
            start_new_session=True,
        ) as child,
    ):
        assert child.stdout is not None
        lines: queue.Queue[str | None] = queue.Queue()
        listener = threading.Thread(target=_listen, args=(child.stdout, lines), daemon=True)
        listener.start()
        reports: list[dict[str, Any]] = []
        try:
            while (line := lines.get(timeout=patience)) is not None:
                reports.append(json.loads(line))
        except queue.Empty:
            return Run(tuple(reports), "timeout", f"> {patience:g} s")
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # its own session: nothing else is in the group
            child.wait()
            listener.join()
        complaints.seek(0)
        said = complaints.read().strip().splitlines()
    last: dict[str, Any] = reports[-1] if reports else {"stage": "none"}
    for ending in ENDINGS:
        if last["stage"] == ending:
            return Run(tuple(reports), ending, last.get("reason", ""))
    return Run(tuple(reports), "crashed", said[-1] if said else f"exit code {child.returncode}")


def _listen(stream: IO[str], lines: queue.Queue[str | None]) -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)
