"""The retrain phase: a discrete architecture, searched or hand-made, from fresh weights, stopped on
validation.
"""

from dataclasses import replace
from typing import Any, Literal

from torch import Tensor

from automtl.errors import ArtifactError
from automtl.models.cost import flops_per_row
from automtl.phases.retrain._outcome import monitor_name, write_outcome
from automtl.phases.retrain._result import RetrainResult
from automtl.phases.retrain._trainer import Trainer
from automtl.phases.run.checkpointer import Checkpointer
from automtl.phases.run.faults import clear_note, enough_memory, make_guard
from automtl.phases.run.phase import Stopwatch, run_phase
from automtl.phases.run.session import Session
from automtl.phases.run.trained_net import fresh_net, networks_of
from automtl.runs.checkpoints import Checkpoints
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir
from automtl.spaces.architecture import Architecture
from automtl.training.checkpoint_state import Count, Spent, State, load_net_state, parse, require


class _State(State):
    """The state of a retrain; trainers and guard check their own."""

    guard: Any
    net: Any
    parts: tuple[Any, ...]
    noise: Tensor
    metric_lines: Count
    metric_sum: str
    spent: Spent


class RetrainPhase:
    """One retraining in one folder; one that was begun in it goes on. All that it then needs is in
    ``state_dict()``.

    Args:
        session: data, device, settings.
        folder: the phase's folder.
        model: the architecture, bound to the session's data.
    """

    kind: Literal["retrain"] = "retrain"

    def __init__(self, session: Session, folder: PhaseDir, model: Architecture) -> None:
        self.session, self.folder = session, folder
        self.model = model
        self.generator = session.dropout_generator()
        self.batch_size = ("retrain.batch_size", session.config.retrain.batch_size)
        with enough_memory(self.batch_size, model, session.schema):
            self.net = fresh_net(
                model,
                session,
                seed=session.seeds.weights,
                generator=self.generator,
                compiled=session.config.runtime.compile,
            )
        self.guard = make_guard(session.config.runtime, session.device)
        # one for the whole model, or one per task for ``single_task``
        self.trainers = [
            Trainer(session, folder, self.guard, net, columns)
            for net, columns in networks_of(self.net, len(session.schema.tasks))
        ]
        self.samples = 0
        self._stopwatch = Stopwatch()

    def run(self) -> RetrainResult:
        """Train every network and write the results."""
        for trainer in self.trainers:
            trainer.remember()
        return run_phase(self)

    def ended(self) -> RetrainResult:
        """The result of a retrain that has ended before."""
        Checkpoints(self.folder).clear()
        return RetrainResult.read(self.folder)

    def place(self) -> tuple[int, int]:
        """Epoch and step of the network in training."""
        trainer = next((t for t in self.trainers if t.begun), self.trainers[-1])
        return trainer.epoch, trainer.step

    def work(self, manifest: Manifest, checkpointer: Checkpointer) -> RetrainResult:
        """Train one network after the other and write down what came of it."""
        with checkpointer:
            for number, trainer in enumerate(self.trainers):
                place: dict[str, Any] = {"part": number, "parts": len(self.trainers)}
                place |= {"stage": trainer.tasks[0].name} if len(self.trainers) > 1 else {}
                for event in trainer.train():
                    self.samples += event.rows
                    event = replace(event, horizon=trainer.horizon, **place)
                    checkpointer.stepped(event, trainer.planned_epochs)
        best = tuple(trainer.best_epoch for trainer in self.trainers)
        validation = write_outcome(self.session, self.folder, self.net, self.trainers, self._spent)
        clear_note(self.folder)
        manifest.finish("done", best_epochs=best)
        checkpointer.clear()
        return RetrainResult(self.folder, self.model, validation, best)

    def _spent(self) -> dict[str, Any]:
        spent: dict[str, Any] = {"seconds": self._stopwatch.seconds, "samples": self.samples}
        if balancing := self.trainers[0].balancing:  # of several networks none is balanced
            spent["balancing"] = balancing
        return spent

    # -- resume

    def begin(self) -> dict[str, Any]:
        """Write the architecture; the manifest's values."""
        self.model.save(self.folder.architecture)
        return {
            "planned_epochs": self.trainers[0].planned_epochs,
            "architecture": self.model.name,
            "sharing": self.model.sharing.kind,
            "monitor": monitor_name(self.session),
        }

    def check_begun(self) -> None:
        """Refuse a retrain of another architecture.

        Raises:
            ArtifactError: it is one, or a file of it is damaged.
        """
        if (begun := Architecture.load(self.folder.architecture)) != self.model:
            raise ArtifactError(
                self.folder.architecture,
                "must be the architecture to train",
                f"one of other {', '.join(begun.differs(self.model))}",
                "start anew",
            )

    def state_dict(self) -> dict[str, Any]:
        """All that going on from here needs."""
        self.guard.look()
        lines = sum(trainer.epoch for trainer in self.trainers)
        return {
            "guard": self.guard.state_dict(),
            "net": self.net.state_dict(),
            "parts": [trainer.state_dict() for trainer in self.trainers],
            "noise": self.generator.get_state(),
            "metric_lines": lines,
            "metric_sum": self.folder.metric_sum(lines),
            "spent": self._spent(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a ``state_dict()``.

        Raises:
            AutoMTLError, RuntimeError: it is none of this retrain's.
        """
        parsed = parse(_State, state, "retrain")
        load_net_state(self.net, state["net"])
        # one pass: modules that lose units take their shapes from the state
        flops_per_row(self.net, self.session.schema)
        for trainer, part in zip(self.trainers, state["parts"], strict=True):
            trainer.load_state_dict(part)
        self.generator.set_state(state["noise"])
        self.guard.load_state_dict(state["guard"])
        epochs = sum(trainer.epoch for trainer in self.trainers)
        require(
            parsed.metric_lines == epochs,
            "retrain.metric_lines",
            f"must be {epochs}, one per epoch",
            parsed.metric_lines,
        )
        self._stopwatch.restart(parsed.spent.seconds)
        self.samples = parsed.spent.samples
