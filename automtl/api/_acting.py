"""Results of phases as results that act."""

from dataclasses import fields
from typing import Any


def acting(kind: type[Any], result: Any) -> Any:
    """A phase's result as one that acts."""
    return kind(**{item.name: getattr(result, item.name) for item in fields(result)})
