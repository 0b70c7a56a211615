"""Every case with every method: who is run where, and what the children reported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from benchmarks.cases import Case
from benchmarks.measurements import CaseResult, Measurement, Outcome
from benchmarks.peers import BYTES_PER_ENTRY, PEERS, Peer
from benchmarks.runner import Run, run_child
from cdp_toy.validation import physical_memory

__all__ = ["COMPILED", "HEADLINE_PEER", "METHODS", "OURS", "measure"]

#: Ours, with compiled kernels where they are available, and without.
COMPILED = "cdp_toy"
OURS: dict[str, dict[str, str]] = {COMPILED: {}, "cdp_toy, no numba": {"CDP_TOY_NUMBA": "0"}}

#: The peer that ratios are quoted against, at its defaults.
HEADLINE_PEER = "Clarabel"

#: Order of the methods in tables.
METHODS = (*OURS, *(peer.label for peer in PEERS))

#: The preparations (two D_min, the certified value) may take this many times as long as a timed solve.
PREPARATION = 3

#: Endings of a child after which its method is not run on larger sizes.
FINAL = ("timeout", "refused", "crashed")


class _Job(NamedTuple):
    """A method on a case: why it is not run, or what its child is told."""

    method: str
    excuse: str
    task: dict[str, Any]
    environment: dict[str, str]


def measure(
    cases: Iterable[Case], timeout: float, say: Callable[[str], None], keep: Callable[[CaseResult], None]
) -> None:
    """Measure all methods on all cases, in the order given.

    Parameters
    ----------
    cases : iterable of Case
        Sizes ascending within a series: a method that was stopped at one size is not run on larger ones.
    timeout : float
        Longest time for one solve [s].
    say : callable
        Told one line of progress for every method.
    keep : callable
        Handed each result as it is complete.
    """
    stopped: dict[tuple[str, str], str] = {}  # (series, method) -> where and how
    lost: dict[str, Run] = {}  # series -> preparation without levels, which larger sizes will not bring either
    for case in cases:
        prepared = lost.get(case.series)
        if prepared is None:
            prepared = run_child({"task": "prepare", "case": case.record()}, PREPARATION * timeout)
        levels = prepared.at("levels")[0] if prepared.at("levels") else None
        if levels is None:
            lost[case.series] = prepared
        measurements = []
        for job in _jobs(case, levels, prepared):
            excuse = job.excuse or stopped.get((case.series, job.method), "")
            if levels is None and job.method in OURS:
                found = Measurement(job.method, _outcome(prepared), excuse)
            elif excuse:
                found = Measurement(job.method, "not run", excuse)
            else:
                run = run_child(job.task, timeout, job.environment)
                found = _summary(job.method, run)
                if run.ending in FINAL:
                    stopped[case.series, job.method] = f"{run.ending} at {case.size}"
            measurements.append(found)
            say(f"{case.series}, {case.size}: {job.method}: {_line(found)}")
        point = None if levels is None else (levels["point"][0], levels["point"][1])
        keep(CaseResult(case, point, _bracket(prepared, measurements), tuple(measurements)))


def _jobs(case: Case, levels: dict[str, Any] | None, prepared: Run) -> Iterator[_Job]:
    """All methods that make sense for a case."""
    lost = "" if levels is not None else f"no D_min: {prepared.reason or prepared.ending}"
    task = {"case": case.record()} if levels is None else {**levels, "case": case.record()}
    for label, environment in OURS.items():
        yield _Job(label, lost, {**task, "task": "ours"}, environment)
    linear = case.perception in ("tv", "w1") or case.level == 0
    for peer in PEERS:
        if (peer.linear and not linear) or case.entries > peer.most_entries:
            continue
        yield _Job(
            peer.label,
            lost or _too_large(peer, case),
            {**task, "task": "peer", "solver": peer.solver, "options": peer.options},
            {},
        )


def _too_large(peer: Peer, case: Case) -> str:
    wanted, half = BYTES_PER_ENTRY * case.entries, physical_memory() / 2
    return "" if wanted <= half else f"{peer.label} would need about {wanted / 2**30:.0f} GiB"


def _bracket(prepared: Run, measurements: Iterable[Measurement]) -> tuple[float, float] | None:
    """Best certified bracket: of the preparation, or of our own timed solve where that was stopped before."""
    ends = [(float(r["lower"]), float(r["upper"])) for r in prepared.at("certified")]
    ends += [(m.value - m.gap, m.value) for m in measurements if m.value is not None and m.gap is not None]
    return (max(low for low, _ in ends), min(high for _, high in ends)) if ends else None


def _outcome(run: Run) -> Outcome:
    return "failed" if run.ending == "done" else run.ending


def _summary(method: str, run: Run) -> Measurement:
    """One measurement from the reports of a child; a stop in a later repetition or in the warm part is noted."""
    cold, warm, ready = run.at("cold"), run.at("warm"), run.at("ready")
    if not cold:
        return Measurement(method, _outcome(run), run.reason)
    best = min(cold, key=lambda report: float(report["seconds"]))
    fields = ("seconds", "solver_seconds", "status", "value", "gap", "error_rate")
    return Measurement(
        method,
        "no answer" if best["value"] is None else "solved",
        run.reason,
        repetitions=len(cold),
        warm_seconds=min((r["seconds"] for r in warm), default=None),
        warm_status=warm[0]["status"] if warm else "",
        warm_gap=warm[0]["gap"] if warm else None,
        excess_distortion=best.get("excess_distortion"),
        excess_perception=best.get("excess_perception"),
        base_bytes=ready[0]["base_bytes"] if ready else None,
        peak_bytes=cold[0]["peak_bytes"],
        **{name: best[name] for name in fields if name in best},
    )


def _line(found: Measurement) -> str:
    if found.seconds is None:
        return f"{found.outcome} ({found.reason})" if found.reason else found.outcome
    warm = "" if found.warm_seconds is None else f", warm {found.warm_seconds:.4g} s"
    return f"{found.status}, {found.seconds:.4g} s{warm}"
