"""Plain-text and CSV tables: how results look on a terminal and in a spreadsheet."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

__all__ = ["table_text", "write_csv"]


def table_text(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Format rows as an aligned text table.

    >>> print(table_text("squares", ["n", "n^2"], [[2, 4.0], [10, 100.0]]))
    squares
       n  n^2
       2    4
      10  100
    """
    cells = [list(map(str, header)), *([_text(v) for v in row] for row in rows)]
    widths = [max(len(row[k]) for row in cells) for k in range(len(header))]
    words = [any(not isinstance(row[k], int | float) for row in rows) for k in range(len(header))]
    lines = [
        "  " + "  ".join(c.ljust(w) if left else c.rjust(w) for c, w, left in zip(row, widths, words, strict=True))
        for row in cells
    ]
    return "\n".join([title, *(line.rstrip() for line in lines)])


def _text(value: object) -> str:
    return f"{value:.9g}" if isinstance(value, float) else str(value)


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Write rows to a CSV file; floats keep every digit."""
    with path.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(header)
        writer.writerows([repr(float(v)) if isinstance(v, float) else v for v in row] for row in rows)
