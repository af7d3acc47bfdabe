"""The size of a stored model, from its cost.json."""

from collections.abc import Mapping
from typing import Any


def stored_parts(cost: Mapping[str, Any]) -> dict[str, float]:
    """Megabytes of each part of a stored model; {} for one trained before sizes were kept."""
    model = cost.get("model")
    return dict(model.get("stored") or {}) if isinstance(model, Mapping) else {}


def stored_megabytes(cost: Mapping[str, Any]) -> float | None:
    """Megabytes of a stored model; None where they are not known."""
    return sum(stored_parts(cost).values()) or None
