"""What the random problems came to: counts, and the list of those that somebody should look at."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from benchmarks.random_run import TOL, Trial
from benchmarks.tables import markdown, seconds_text

__all__ = ["count_table", "random_page", "trouble_table"]

STATUSES = ("OPTIMAL", "INEXACT", "INFEASIBLE", "UNDECIDED", "EXCEPTION")


def count_table(trials: Sequence[Trial]) -> str:
    """Counts by perception: statuses, comparisons with the reference, disagreements and faulty channels."""
    header = ["perception", "problems", *STATUSES, "compared", "disagreements", "faulty channels", "slowest"]
    names = list(dict.fromkeys(trial.perception for trial in sorted(trials, key=lambda t: t.perception)))
    rows = [_counts(name, [t for t in trials if t.perception == name]) for name in names]
    return markdown(header, [*rows, _counts("**all**", trials)])


def _counts(title: str, trials: Sequence[Trial]) -> list[str]:
    statuses = Counter(trial.ours.status for trial in trials)
    counts = [
        len(trials),
        *(statuses[status] for status in STATUSES),
        sum(trial.reference is not None for trial in trials),
        sum(trial.disagree for trial in trials),
        sum(bool(trial.ours.fault) for trial in trials),
    ]
    slowest = max((trial.ours.seconds for trial in trials if trial.ours.seconds >= 0), default=None)
    return [title, *map(str, counts), seconds_text(slowest)]


def trouble_table(trials: Iterable[Trial]) -> str:
    """One row for each problem that needs looking at, the contradictions first, then by the size of the gap."""
    header = ["index", "size y, x", "perception", "D", "P", "status", "gap", "reference", "remark"]

    def order(trial: Trial) -> tuple[bool, float]:
        return not trial.disagree, -_gap(trial)

    rows = []
    for trial in sorted((t for t in trials if t.troubled), key=order):
        reference = "–" if trial.reference is None else trial.reference.status
        remarks = [f"brackets {trial.disagreement:.1e} apart"] if trial.disagree else []
        remarks += [f"channel: {trial.ours.fault}"] if trial.ours.fault else []
        if trial.reference is not None and trial.reference.fault:
            remarks.append(f"reference's channel: {trial.reference.fault}")
        remarks += [trial.ours.note] if trial.ours.note else []
        size = f"{trial.n_y}, {trial.n_x}"
        numbers = [f"{trial.distortion!r}", f"{trial.level!r}", trial.ours.status, f"{_gap(trial):.1e}"]
        rows.append([str(trial.index), size, trial.perception, *numbers, reference, "; ".join(remarks)])
    return markdown(header, rows) if rows else "None."


def _gap(trial: Trial) -> float:
    return trial.ours.upper - trial.ours.lower


def random_page(trials: Sequence[Trial]) -> str:
    """Section of the page about random problems."""
    first, last = min(t.index for t in trials), max(t.index for t in trials)
    return f"""## Random problems

Problems {first} to {last} of `benchmarks/random_problems.py`: 2 to 60 letters on either side, ties, traces of 1e-12,
exact zeros, letters that coincide, nearly deterministic channels, levels at and next to the boundary, P = 0 and
P = inf. Each is solved to {TOL:.0e}, small ones also by the reference solver, and the two certified brackets must have
a point in common. Returned channels are measured again by textbook formulas.

{count_table(trials)}

Problems to look at (neither OPTIMAL nor INFEASIBLE, a contradiction, or a channel that does not do what it claims):

{trouble_table(trials)}
"""
