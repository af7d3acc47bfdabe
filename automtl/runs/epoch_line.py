"""The rows that a line of metrics.jsonl is judged on, and its figures."""

from collections.abc import Mapping
from typing import Any

from automtl.errors import counted

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
    return scores_only(line) or _has_loss(line)


def scores_only(line: Mapping[str, Any]) -> bool:
    """Whether an epoch scored architectures and trained nothing, as evolution's last ones do."""
    return line.get("best_score") is not None and not _has_loss(line)


def epochs_in_words(epochs: int, scoring: int) -> str:
    """So many epochs, of which the last ones may score architectures and train nothing.

    >>> epochs_in_words(3, 0), epochs_in_words(4, 2)
    ('3 epochs', '4 epochs (2 train, 2 score architectures)')
    """
    if not scoring:
        return counted(epochs, "epoch")
    train = max(0, epochs - scoring)
    return f"{counted(epochs, 'epoch')} ({train} train, {scoring} score architectures)"


def _has_loss(line: Mapping[str, Any]) -> bool:
    return any(loss is not None for loss in line["loss"].values())
