"""Raw results on disk as strict JSON: infinities are text, what is not a number is null."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

__all__ = ["load", "store"]


def store(path: Path, content: dict[str, Any]) -> None:
    """Write a file in one step, so that an interrupted run leaves the last complete one.

    Parameters
    ----------
    path : Path
    content : dict
        Plain values.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = path.with_suffix(".part")
    whole.write_text(json.dumps(_strict(content), indent=1, allow_nan=False) + "\n", "utf-8")
    whole.replace(path)


def load(path: Path) -> dict[str, Any] | None:
    """Read what `store` wrote, None where nothing is."""
    return dict(_revived(json.loads(path.read_text("utf-8")))) if path.exists() else None


def _revived(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _revived(entry) for key, entry in value.items()}
    if isinstance(value, list):
        return [_revived(entry) for entry in value]
    return float(value) if value in ("inf", "-inf") else value


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _strict(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None if math.isnan(value) else str(value)
    return value
