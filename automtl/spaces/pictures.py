"""How an architecture shows itself where it is looked at: what draws stands in a higher layer, and
says here that it can.
"""

from collections.abc import Callable
from typing import Any

Drawer = Callable[[Any], str]
_drawers: list[Drawer] = []


def draw_by(drawer: Drawer) -> Drawer:
    """Let a function draw architectures as HTML; the latest is asked."""
    _drawers.append(drawer)
    return drawer


def picture_of(architecture: Any) -> str | None:
    """An architecture as HTML; None where nothing that draws is there."""
    return _drawers[-1](architecture) if _drawers else None
