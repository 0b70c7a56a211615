"""What is measured of one method on one case, and how it is kept."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal

from benchmarks.cases import Case

__all__ = ["CaseResult", "Measurement", "Outcome"]

Outcome = Literal["solved", "no answer", "timeout", "refused", "failed", "crashed", "not run"]


@dataclass(frozen=True)
class Measurement:
    """One method on one case. Times are wall times [s], the fastest of up to three; memory is in bytes.

    `solver_seconds` is what a peer counts for itself, without CVXPY's share. Excesses are of the returned channel,
    after clipping and normalising its rows, over the levels. `base_bytes` is the peak before the first timed solve.
    """

    method: str
    outcome: Outcome
    reason: str = ""
    seconds: float | None = None
    solver_seconds: float | None = None
    repetitions: int = 0
    warm_seconds: float | None = None
    status: str = ""
    warm_status: str = ""
    value: float | None = None
    gap: float | None = None
    warm_gap: float | None = None
    error_rate: float | None = None
    excess_distortion: float | None = None
    excess_perception: float | None = None
    base_bytes: int | None = None
    peak_bytes: int | None = None


@dataclass(frozen=True)
class CaseResult:
    """A case, its levels (D, P), the certified bracket, and what every method made of it."""

    case: Case
    point: tuple[float, float] | None
    bracket: tuple[float, float] | None
    measurements: tuple[Measurement, ...]

    def of(self, method: str) -> Measurement | None:
        """Measurement of a method by its label."""
        return next((m for m in self.measurements if m.method == method), None)

    def true_error(self, measurement: Measurement) -> float | None:
        """Claimed value minus the middle of the certified bracket."""
        if measurement.value is None or self.bracket is None:
            return None
        return measurement.value - sum(self.bracket) / 2

    def record(self) -> dict[str, Any]:
        """Plain values."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_record(record: dict[str, Any]) -> CaseResult:
        """Read what `record` wrote."""
        pairs = [None if record[key] is None else (record[key][0], record[key][1]) for key in ("point", "bracket")]
        measurements = tuple(Measurement(**m) for m in record["measurements"])
        return CaseResult(Case(**record["case"]), pairs[0], pairs[1], measurements)
