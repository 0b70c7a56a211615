"""Tables in Markdown from measurements: times, ratios, accuracy, memory, and the short one of the README."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from benchmarks.campaign import COMPILED, HEADLINE_PEER, METHODS, OURS
from benchmarks.measurements import CaseResult, Measurement

__all__ = ["accuracy_table", "headline_table", "markdown", "memory_table", "ratio_table", "seconds_text", "time_table"]

Cell = Callable[[CaseResult, Measurement], str]

#: Shown where a method was not asked.
NOTHING = "–"

#: Series of the short table: the middle one on the line and the one in the plane.
HEADLINES = ("paper toy, kl, P = 0.003", "plane toy, kl, P = 0.01")


def markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table whose first column is text and whose others are numbers."""
    lines = [header, ["---", *(["---:"] * (len(header) - 1))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def seconds_text(seconds: float | None) -> str:
    """Three digits with a unit.

    >>> seconds_text(0.01234), seconds_text(12.34), seconds_text(123.4)
    ('12.3 ms', '12.3 s', '123 s')
    """
    if seconds is None:
        return NOTHING
    return f"{_digits(seconds * 1e3)} ms" if seconds < 1 else f"{_digits(seconds)} s"


def _digits(value: float) -> str:
    return f"{value:.0f}" if value >= 99.95 else f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def time_table(results: Sequence[CaseResult]) -> str:
    """Wall times; ours cold and warm, a peer's with what the solver counts for itself in brackets."""

    def cell(_: CaseResult, found: Measurement) -> str:
        if found.seconds is None:
            return _without_time(found)
        cold = seconds_text(found.seconds)
        if found.method in OURS:
            return f"{cold} / {seconds_text(found.warm_seconds)}"
        return cold if found.solver_seconds is None else f"{cold} ({seconds_text(found.solver_seconds)})"

    return _pivot(results, cell, {label: f"{label} cold / warm" for label in OURS})


def ratio_table(results: Sequence[CaseResult]) -> str:
    """Time of a peer over our cold and over our warm time."""

    def cell(result: CaseResult, found: Measurement) -> str:
        return _ratios(result, found.seconds) if found.seconds is not None else _without_time(found)

    return _pivot(results, cell, without=[COMPILED, *OURS])


def accuracy_table(results: Sequence[CaseResult]) -> str:
    """Claimed value minus the certified one, how far the channel exceeds D and P, and the claimed status."""

    def cell(result: CaseResult, found: Measurement) -> str:
        error = result.true_error(found)
        if error is None:
            return found.status if found.outcome == "no answer" else NOTHING
        return f"{error:+.1e}; {_excesses(found)}; {found.status}"

    return _pivot(results, cell, without=[label for label in OURS if label != COMPILED], bracket=True)


def memory_table(results: Sequence[CaseResult]) -> str:
    """Peak memory of the process after the first solve [MB], and how much of it came with that solve."""

    def cell(_: CaseResult, found: Measurement) -> str:
        if found.peak_bytes is None or found.base_bytes is None:
            return _without_time(found)
        return f"{found.peak_bytes / 1e6:.0f} (+{(found.peak_bytes - found.base_bytes) / 1e6:.0f})"

    return _pivot(results, cell)


def headline_table(results: Sequence[CaseResult]) -> str:
    """One row for each size of the two headline series: ours against the peer at its defaults."""
    header = [
        "problem", "cells", "cdp_toy, cold", "cdp_toy, warm", "certified gap",
        f"{HEADLINE_PEER} (CVXPY)", "ratio cold / warm", "its error; excess of D, P",
    ]  # fmt: skip
    rows = []
    for result in sorted(results, key=lambda r: (r.case.dim, r.case.n)):
        ours, peer = result.of(COMPILED), result.of(HEADLINE_PEER)
        if result.case.series not in HEADLINES or ours is None or peer is None:
            continue
        error = result.true_error(peer)
        rows.append(
            [
                result.case.model,
                result.case.size,
                seconds_text(ours.seconds) if ours.seconds is not None else _without_time(ours),
                seconds_text(ours.warm_seconds),
                NOTHING if ours.gap is None else f"{ours.gap:.0e}",
                seconds_text(peer.seconds) if peer.seconds is not None else _without_time(peer),
                _ratios(result, peer.seconds),
                NOTHING if error is None else f"{error:+.0e}; {_excesses(peer)}",
            ]
        )
    return markdown(header, rows)


def _excesses(found: Measurement) -> str:
    pair = (found.excess_distortion, found.excess_perception)
    return ", ".join("?" if over is None else f"{over:.0e}" if over > 0 else "0" for over in pair)


def _ratios(result: CaseResult, seconds: float | None) -> str:
    ours = result.of(COMPILED)
    if ours is None or ours.seconds is None or seconds is None:
        return NOTHING
    warm = NOTHING if ours.warm_seconds is None else f"{_digits(seconds / ours.warm_seconds)}×"
    return f"{_digits(seconds / ours.seconds)}× / {warm}"


def _without_time(found: Measurement) -> str:
    """Why there is no time; a timeout's reason is the time it was given."""
    return found.reason if found.outcome == "timeout" else found.outcome


def _pivot(
    results: Sequence[CaseResult],
    cell: Cell,
    titles: dict[str, str] | None = None,
    without: Sequence[str] = (),
    bracket: bool = False,
) -> str:
    """Cases down, methods across, those methods only that were run or refused somewhere."""
    seen = {m.method for result in results for m in result.measurements}
    methods = [method for method in METHODS if method in seen and method not in without]
    extra = ["certified value"] if bracket else []
    rows = []
    for result in results:
        first = [f"{result.case.series}, n = {result.case.size}"]
        if bracket:
            middle = None if result.bracket is None else sum(result.bracket) / 2
            half = None if result.bracket is None else (result.bracket[1] - result.bracket[0]) / 2
            first.append(NOTHING if middle is None else f"{middle:.10f} ± {half:.0e}")
        found = [(method, result.of(method)) for method in methods]
        rows.append([*first, *(NOTHING if m is None else cell(result, m) for _, m in found)])
    return markdown(["problem", *extra, *((titles or {}).get(m, m) for m in methods)], rows)
