"""One statement of the verdict."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Sentence:
    """One statement.

    Args:
        text: for people.
        tone: "main" for the verdict, "note" for what goes with it, "warning" for what a reader must
            know.
        command: what to do next, to copy; empty for nothing.
    """

    text: str
    tone: Literal["main", "note", "warning"] = "note"
    command: str = ""
