"""The reaction of a search to its collapse: warn, stop, or roll back to the best epoch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from automtl.config_search import SearchSection
from automtl.strategies.monitor import CollapseRule

Lines = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Watch:
    """The watch for a collapse, by the epochs so far.

    Args:
        rule: when it is a collapse.
        action: what follows.
    """

    rule: CollapseRule
    action: Literal["warn", "stop", "rollback"]

    @classmethod
    def of(cls, section: SearchSection) -> "Watch":
        """The watch that the settings ask for."""
        return cls(
            CollapseRule(section.collapse_skip, section.collapse_growth), section.on_collapse
        )

    def reason(self, lines: Lines) -> str:
        """Why the search has collapsed; empty where it has not."""
        return self.rule.reason(lines) if lines else ""

    def fired(self, lines: Lines) -> bool:
        """Whether the search must end here."""
        return self.action != "warn" and bool(self.reason(lines))

    def keeps(self, lines: Lines) -> bool:
        """Whether the last epoch's state is one to go back to: not collapsed, and the best on B
        rows so far.
        """
        if self.action != "rollback" or self.reason(lines):
            return False
        losses = [line["b_loss"] for line in lines if line["b_loss"] is not None]
        return bool(losses) and lines[-1]["b_loss"] == min(losses)
