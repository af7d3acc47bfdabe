"""Trains one network of a retrain through its stages and epochs, as a generator of step events."""

import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from automtl.data.store.batches import Batch
from automtl.data.store.slices import groups
from automtl.models.skeleton import MultiTaskNet
from automtl.phases.retrain._trainer_state import (
    PLACE,
    BegunState,
    TrainerState,
    copied,
    epoch_line,
    horizon,
    plain,
    stands,
)
from automtl.phases.run.phase_folder import append_epoch, charge_balancing, training_losses
from automtl.phases.run.session import Session
from automtl.phases.run.trained_net import TrainedNet
from automtl.runs.run_dir import PhaseDir
from automtl.sharing.base import Stage
from automtl.training.checkpoint_state import parse, require, require_tensors
from automtl.training.early_stopping import EarlyStopping, Monitor
from automtl.training.loop import RunningLosses, StepEvent, run_epoch
from automtl.training.losses import Losses
from automtl.training.metrics.evaluation import Evaluation, evaluate
from automtl.training.step.guard import Guard


class Trainer:
    """Trains one net through the stages of its sharing module.

    `number` (of the stage), `epoch` and `step` are the next to come.
    # DEVIATION: AutoMTL's paper trains its own model by SGD (.02, cosine) and the baselines by
    Adam; here all by Adam, unless told.

    Args:
        session: data, device, settings.
        folder: of the retrain.
        guard: looks for losses that are not finite.
        net: the whole model, or one task's own.
        columns: its tasks' numbers.

    Attributes:
        best_epoch: the epoch whose weights the last stage ended with; counted from 0 over all
            stages.
        balancing: what balancing cost.
    """

    def __init__(
        self,
        session: Session,
        folder: PhaseDir,
        guard: Guard,
        net: MultiTaskNet,
        columns: list[int],
    ) -> None:
        self.session, self.folder = session, folder
        self.guard, self.net = guard, net
        self.settings = session.config.retrain
        self.stages = net.sharing.stages()
        self.batches = session.batches(
            "train", batch_size=self.settings.batch_size, seed=session.seeds.fit
        )
        self.trained = TrainedNet(session, guard, net, columns, length=self._length)
        self.tasks = self.trained.tasks
        monitor = Monitor.of(self.settings.monitor)
        self.monitor = monitor if monitor.task in [task.name for task in self.tasks] else Monitor()
        self.number, self.begun = 0, False
        self.epoch, self.step = 0, 0
        self.best_epoch = -1
        self.running = RunningLosses()
        self.balancing: dict[str, Any] = {}
        self.origin: dict[str, Any] = {}

    def _length(self, stage: Stage) -> int:
        planned = (
            stage.epochs if stage.steps is None else math.ceil(stage.steps / len(self.batches))
        )
        return self.settings.epochs if planned is None else min(planned, self.settings.epochs)

    def remember(self) -> None:
        """Keep the weights as they are before all stages, where a stage begins from them anew."""
        if any(stage.begins == "anew" for stage in self.stages):
            self.origin = copied(self.net.state_dict())

    @property
    def planned_epochs(self) -> int:
        """The most epochs, over all stages."""
        return sum(self._length(stage) for stage in self.stages)

    @property
    def horizon(self) -> int:
        """While it trains, the epochs after which it ends if none to come is better."""
        lengths = [self._length(stage) for stage in self.stages]
        best = self.stopping.best_epoch
        return horizon(
            self.stages, lengths, (self.number, self.first, best), self.settings.patience
        )

    def train(self) -> Iterator[StepEvent]:
        """Train through all stages, or what is left of them, and fill the unknown ids; an event
        after each step.
        """
        while self.number < len(self.stages):
            stage = self.stages[self.number]
            if not self.begun:
                self._begin(stage)
            while self.epoch < self.first + self._length(stage) and not self._is_over(stage):
                yield from self._epoch(stage)
            self._end(stage)
            if self.number == len(self.stages):
                self.net.fill_unknown(self.session.schema)

    def _is_over(self, stage: Stage) -> bool:
        """Whether a stage ends before its last epoch: patience is at its end, or someone asks; one
        that is not judged has a course to finish.
        """
        asked = self.session.asked_to_stop()
        return stage.judged and (self.stopping.should_stop or (asked and self.epoch > self.first))

    def _begin(self, stage: Stage) -> None:
        """The sharing module makes ready, perhaps by other parameters; optimiser and early stop
        start anew.
        """
        self.net.sharing.begin(stage.name)
        if stage.begins == "anew":
            decided = {f"sharing.{name}" for name in self.net.sharing.decided()}
            self.net.load_state_dict(
                {
                    name: v if name in decided else self.origin[name]
                    for name, v in self.net.state_dict().items()
                }
            )
            self.origin = {}
        self._make_ready()
        self.best: dict[str, Any] = {}
        self.start = plain(self._validate()) if self.number and stage.begins != "anew" else None
        self.first, self.begun = self.epoch, True

    def _epoch(self, stage: Stage) -> Iterator[StepEvent]:
        """One epoch, or what is left of it, and its judgement."""
        length, steps = self._length(stage), len(self.batches)

        def update(step: int, batch: Batch) -> Losses:
            epoch = self.epoch - self.first
            return self.trained.step(batch, epoch=epoch, step=step, steps=steps, epochs=length)

        for event in run_epoch(
            update,
            self.batches,
            epoch=self.epoch,
            start=self.step,
            device=self.session.device,
        ):
            assert event.losses is not None, "a step of a training"
            self.running.add(event.losses)
            self.step = event.step + 1
            yield event
        self.trained.optimizer.flush()
        self._judge(stage)
        self.epoch, self.step = self.epoch + 1, 0
        self.running = RunningLosses()

    def state_dict(self) -> dict[str, Any]:
        """All that going on from here needs beside the net's own state."""
        place = {name: getattr(self, name) for name in PLACE}
        if not self.begun:
            return place
        place |= {
            "first": self.first,
            "start": self.start,
            "best": self.best,
            "balancing": self.balancing,
        }
        place["frozen"] = [
            name for name, parameter in self.net.named_parameters() if not parameter.requires_grad
        ]
        moving = {
            "optimizer": self.trained.optimizer.state_dict(),
            "balancer": self.trained.balancer.state_dict(),
            "stopping": self.stopping.state_dict(),
        }
        return {**place, **moving, "running": self.running.state_dict()}

    def load_state_dict(self, state: Any) -> None:
        """Go on from a ``state_dict()``; the net's own was loaded before.

        Raises:
            AutoMTLError: it is of another net.
        """
        parsed = parse(
            TrainerState if isinstance(state, dict) and state.get("begun") is False else BegunState,
            state,
            "part",
        )
        for name in PLACE:
            setattr(self, name, state[name])
        lengths = [self._length(stage) for stage in self.stages]
        require(
            stands(parsed, lengths=lengths, steps=len(self.batches)),
            "part",
            "must be at a place of its stages",
            f"stage {parsed.number}, epoch {parsed.epoch}, step {parsed.step}",
        )
        if not isinstance(parsed, BegunState):
            return
        names = [task.name for task in self.tasks]
        require(
            parsed.start is None or [*parsed.start.tasks] == names,
            "start",
            f"must be of the tasks {', '.join(names)}",
            "none" if parsed.start is None else ", ".join(parsed.start.tasks),
        )
        if parsed.best:
            require_tensors(self.net.state_dict(), state["best"], "best")
        self.first, self.start = state["first"], state["start"]
        self.best = state["best"]
        self._freeze(parsed.frozen)
        self.running.load_state_dict(
            state["running"], tasks=len(self.tasks), device=self.session.device
        )
        self._make_ready()
        self.trained.optimizer.load_state_dict(state["optimizer"])
        self.trained.balancer.load_state_dict(state["balancer"])
        self.balancing = state["balancing"]
        self.stopping.load_state_dict(state["stopping"])
        best = self.stopping.best_epoch
        known = (
            not parsed.best
            if best is None
            else bool(parsed.best) and parsed.first <= best < parsed.epoch
        )
        require(
            known, "best", "must be the weights of the best of the stage's epochs", f"epoch {best}"
        )

    def _freeze(self, names: tuple[str, ...]) -> None:
        """Train all parameters but those of some names."""
        owned = dict(self.net.named_parameters())
        unknown = [name for name in names if name not in owned]
        require(not unknown, "frozen", "must be parameters of the network", ", ".join(unknown)[:80])
        for name, parameter in owned.items():
            parameter.requires_grad_(name not in names)

    def _make_ready(self) -> None:
        """A fresh optimiser and early stop."""
        self.trained.renew_optimizer()
        self.stopping = EarlyStopping(self.monitor.metric, patience=self.settings.patience)

    def _keeps_best(self) -> bool:
        """Whether the stage ends as its best epoch left it: it is judged, or the next one begins
        there.
        """
        after = self.stages[self.number + 1 : self.number + 2]
        return self.stages[self.number].judged or any(stage.begins == "best" for stage in after)

    def _end(self, stage: Stage) -> None:
        """A stage ends as its best epoch left it where that is kept; else the last epoch is its
        best.
        """
        keeps = self._keeps_best()
        self.number, self.begun = self.number + 1, False
        if not keeps or not self._length(stage):
            self.best_epoch = self.epoch - 1
            return
        assert self.stopping.best_epoch is not None, "the first epoch of a stage is its best so far"
        self.net.load_state_dict(self.best)
        self.best_epoch = self.stopping.best_epoch

    def _validate(self) -> Evaluation:
        predictions = self.session.predict(self.net, self.session.in_order("validation"))
        users = (
            groups(self.session.store, "validation", predictions.rows)
            if self.monitor.metric == "gauc"
            else None
        )
        own = replace(
            predictions,
            labels=predictions.labels[:, self.trained.columns],
            weights=self.trained.own_columns(predictions.weights),
        )
        return evaluate(own, self.tasks, groups=users)

    def _judge(self, stage: Stage) -> None:
        """Evaluate on validation and record; keep the best where it is asked for."""
        epoch, validation = self.epoch, self._validate()
        losses = training_losses(self.running, self.tasks, epoch)
        # the same to the bit on all ranks
        value = self.session.ranks.told(self.monitor.judged(validation.line, epoch=epoch))
        improved = self._keeps_best() and self.stopping.update(epoch, value)
        if improved:
            self.best = copied(self.net.state_dict())
        best = improved and stage.judged
        line: dict[str, Any] = {"epoch": epoch, "part": [task.name for task in self.tasks]}
        if len(self.stages) > 1:
            line |= {"phase": stage.name, "judged": stage.judged} | (
                {"anew_from": self.first} if stage.begins == "anew" else {}
            )
        if self.start is not None:
            line["start"], self.start = self.start, None
        line |= {
            "loss": losses,
            "validation": validation.line,
            "sharing": self.net.sharing.record(),
            "best": best,
        }
        if self.guard.skipped:
            line["skipped_batches"] = self.guard.skipped
        if balancing := self.trained.balancer.record():
            line["balancing"] = balancing
            charge_balancing(self.balancing, line)
        append_epoch(self.folder, self.session, line)
        mark = f" (best{' ' + self.monitor.name if self.monitor.task else ''})" if best else ""
        self.session.reporter.say(f"epoch {epoch + 1}: {epoch_line(losses, validation, mark)}")
