"""What a search hands back, and what its checkpoint holds."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from automtl.report.results import SelfShowing
from automtl.spaces.architecture import Architecture
from automtl.training.checkpoint_state import Count, Number, Spent, State


@dataclass(frozen=True)
class SearchResult(SelfShowing):
    """What a search found.

    Args:
        run: the run's folder.
        architecture: the derived architecture.
        state: "done", or "time_limited".
        epochs: finished epochs.
    """

    run: Path
    architecture: Architecture
    state: str
    epochs: int

    @property
    def home(self) -> Path:
        return self.run

    def headline(self) -> str:
        return f"search {self.state} after {self.epochs} epochs: {self.run}"


class _Line(State):
    """What a search remembers of an epoch."""

    epoch: Count
    choices: dict[str, dict[str, Number]]
    validation_loss: float | None
    expert_usage: dict[str, tuple[Number, ...]]
    skip_chosen: float | None
    eigenvalue: float | None


class _Spent(Spent):
    """What a search has cost; None of the ledger for one begun before there was one."""

    ledger: Any = None


class SearchState(State):
    """Of a search; strategy, guard and losses look at their own."""

    guard: Any
    net: Any
    strategy: Any
    noise: Tensor
    epoch: Count
    step: Count
    running: Any
    metric_lines: Count
    metric_sum: str
    history: tuple[_Line, ...]
    spent: _Spent
