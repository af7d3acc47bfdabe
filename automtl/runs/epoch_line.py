"""The rows that a line of metrics.jsonl is judged on, and its figures."""

from collections.abc import Mapping
from typing import Any

_ROWS = {"b": "B", "validation": "validation"}


def judged(line: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """The name of the rows and the figures: "B" in a search, the half of the alpha rows that
    decides; "validation" in a retrain, and in a search of a version that had no such half; ("", {})
    where nothing was judged.
    """
    for key, rows in _ROWS.items():
        if isinstance(figures := line.get(key), dict):
            return rows, figures
    return "", {}


def trained(line: Mapping[str, Any]) -> bool:
    """Whether an epoch trained or scored anything: a draw that a race begins with did not."""
    scored = line.get("best_score") is not None  # of an epoch of evolution
    return scored or any(loss is not None for loss in line["loss"].values())
