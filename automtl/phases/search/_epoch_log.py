"""The log of a search's epochs: each is judged on B rows, watched for a collapse, and written."""

from typing import Any

from automtl import files
from automtl.phases.run.phase_folder import append_epoch, charge_balancing, training_losses
from automtl.phases.run.session import Session
from automtl.phases.search._collapse import Watch
from automtl.phases.search._judging import judge
from automtl.phases.search._tables import alpha_table, beta_table
from automtl.runs.run_dir import PhaseDir
from automtl.strategies.protocol import Strategy
from automtl.training.loop import RunningLosses
from automtl.training.step.guard import Guard


class EpochLog:
    """The epochs of a search so far.

    Args:
        session: data and settings.
        folder: of the search.
        strategy: which searches.
        guard: tells how many batches were skipped.

    Attributes:
        history: what a collapse and the tables are read from, one entry an epoch.
        balancing: what balancing cost.
        watch: when the search must end, or go back.
    """

    def __init__(
        self, session: Session, folder: PhaseDir, strategy: Strategy, guard: Guard
    ) -> None:
        self._session, self._folder = session, folder
        self._strategy, self._guard = strategy, guard
        self.history: list[dict[str, Any]] = []
        self.balancing: dict[str, Any] = {}
        self.watch = Watch.of(session.config.search)

    @property
    def collapsed(self) -> bool:
        """Whether the search must end here."""
        return self.watch.fired(self.history)

    def record(self, epoch: int, running: RunningLosses) -> None:
        """Write an epoch's line in metrics.jsonl, its alphas and betas."""
        session, folder = self._session, self._folder
        losses = training_losses(running, session.schema.tasks, epoch)
        # what decides anything must be the same to the bit on all ranks
        judged = session.ranks.told(judge(session, self._strategy))
        record = session.ranks.told(self._strategy.record())
        charge_balancing(self.balancing, record)
        if self._guard.skipped:
            record["skipped_batches"] = self._guard.skipped
        choices = record.pop("choices")
        loss = judged and judged["loss"]
        watched = {name: record.get(name) for name in ("expert_usage", "skip_chosen", "eigenvalue")}
        self.history.append({"epoch": epoch, "choices": choices, "b_loss": loss, **watched})
        if reason := self.watch.reason(self.history):
            record["collapse"] = reason
            session.reporter.say(f"epoch {epoch + 1}: the search may have collapsed: {reason}")
        append_epoch(folder, session, {"epoch": epoch, "loss": losses, "b": judged, **record})
        files.write_table(folder.alphas, alpha_table(self.history))
        files.write_table(folder.betas, beta_table(self.history))
        trained = self._strategy.supernet is not None
        figures = {
            "train loss": losses["total"],
            "MTL-Loss on B rows": loss,
            "mean alpha entropy": record["entropy"] if trained else None,
        }
        message = ", ".join(
            f"{name} {value:.5f}" for name, value in figures.items() if value is not None
        )
        if message:  # a draw that nothing trains has no figures
            session.reporter.say(f"epoch {epoch + 1}/{self._strategy.epochs}: {message}")
