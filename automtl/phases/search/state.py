"""The result of a search, and the state in its checkpoint."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from torch import Tensor

from automtl.errors import NoResult
from automtl.reports.results import SelfShowing
from automtl.runs import decided
from automtl.runs.epoch_line import epochs_in_words, scores_only
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.architecture import Architecture
from automtl.strategies.protocol import Strategy
from automtl.training.checkpoint_state import (
    Count,
    Number,
    Spent,
    State,
    load_net_state,
    parse,
    require,
)


@dataclass(frozen=True)
class SearchResult(SelfShowing):
    """The result of a search.

    Args:
        run: the run's folder.
        architecture: the derived architecture.
        state: "done", or "time_limited".
        epochs: finished epochs; 0 of a race over draws.
        scoring: how many of these scored architectures and trained nothing.
    """

    run: Path
    architecture: Architecture
    state: str
    epochs: int
    scoring: int = 0

    @classmethod
    def read(cls, folder: PhaseDir) -> Self:
        """The result of a search that has ended.

        Raises:
            ArtifactError: it has not, or a file of it is damaged.
        """
        folder.need_ended()
        values = Manifest.read(folder.manifest).values
        architecture = Architecture.load(folder.architecture)
        scoring = sum(map(scores_only, folder.read_metrics()))
        epochs = values["finished_epochs"]
        return cls(folder.path.parent, architecture, values["state"], epochs, scoring)

    @property
    def home(self) -> Path:
        return self.run

    @property
    def decisions(self) -> list[dict[str, Any]]:
        """Every choice with its verdict and what that rests on, see `spaces.decisions.Decision`; []
        where the search was made before searches told.
        """
        return decided.decisions_of(self.architecture.provenance)

    @property
    def decided(self) -> str:
        """The decision in one sentence."""
        return decided.sentence_and_advice(self.architecture.provenance)[0]

    @property
    def race(self) -> dict[str, Any]:
        """The outcome of the race; {} where there was none."""
        race = self.architecture.provenance.get("race")
        return race if isinstance(race, dict) else {}

    @property
    def remarks(self) -> list[str]:
        """Remarks on the decisions: the outcome of the race, and what would help to decide more."""
        more = decided.sentence_and_advice(self.architecture.provenance)[1]
        return [*self.race.get("words", ()), *([more] if more else [])]

    def need_decided(self) -> None:
        """Refuse a search in which not one choice is decided.

        Raises:
            NoResult: it is one.
        """
        if not decided.count(self.decisions, "decided"):
            raise NoResult(
                self.run,
                "must have decided a choice (--require-decided)",
                f"that {self.decided}",
                decided.sentence_and_advice(self.architecture.provenance)[1],
            )

    @property
    def after(self) -> str:
        """After how many epochs it ended; a race tells its length otherwise."""
        if self.race or not self.epochs:
            return ""
        return f" after {epochs_in_words(self.epochs, self.scoring)}"

    def headline(self) -> str:
        return f"{self.decided}; search {self.state}{self.after}: {self.run}"


class _Line(State):
    """An epoch in a search's history."""

    epoch: Count
    choices: dict[str, dict[str, Number]]
    b_loss: float | None
    expert_usage: dict[str, tuple[Number, ...]]
    skip_chosen: float | None
    eigenvalue: float | None


class _Spent(Spent):
    """The cost of a search; the ledger checks its own."""

    ledger: Any


class SearchState(State):
    """The state of a search; strategy, guard and losses check their own."""

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
    race: Any
    spent: _Spent

    @classmethod
    def load_strategy(cls, state: dict[str, Any], strategy: Strategy) -> None:
        """Bring a strategy and its supernet to where a state says they are.

        Raises:
            AutoMTLError, RuntimeError: it is none of this search's.
        """
        parsed = parse(cls, state, "search")
        parsed._check_net(strategy)
        if strategy.supernet is not None:
            load_net_state(strategy.supernet, state["net"])
        strategy.load_state_dict(state["strategy"])
        parsed._check_place(strategy)

    def _check_net(self, strategy: Strategy) -> None:
        """Refuse a state with a network where the strategy trains none, or without one.

        Raises:
            ArtifactError: it is such.
        """
        require(
            (self.net is None) == (strategy.supernet is None),
            "net",
            "must be there where a supernet is searched, and nowhere else",
            "none" if self.net is None else "one",
        )

    def _check_place(self, strategy: Strategy) -> None:
        """Refuse a place that the strategy, its state loaded, cannot be at.

        Raises:
            ArtifactError: it is such, or has not the lines of its epochs.
        """
        place = self.epoch <= strategy.epochs and strategy.stands_at(self.epoch, self.step)
        require(
            place,
            "search",
            "must be at a place of its strategy",
            f"epoch {self.epoch}, step {self.step}",
        )
        # a race may begin at an earlier epoch than the last, after a rollback
        count = self.epoch if self.race is None else max(self.epoch, self.metric_lines)
        epochs = [line.epoch for line in self.history]
        rule = f"must be {count} lines, epoch after epoch"
        require(epochs == list(range(count)), "search.history", rule, f"epochs {epochs}"[:80])
        require(
            self.metric_lines == count, "search.metric_lines", f"must be {count}", self.metric_lines
        )
