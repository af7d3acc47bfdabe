"""The retrain phase: a discrete architecture, searched or hand-made, from fresh weights, stopped on
validation.
"""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Self

from torch import Tensor, nn

from automtl import files
from automtl.bounds import fitting
from automtl.config import RunConfig
from automtl.data.store.slices import groups
from automtl.data.store.snapshot import Snapshot
from automtl.errors import ArtifactError
from automtl.models.cost import cost, flops_per_row
from automtl.models.derived import IndependentNets, build_model
from automtl.models.skeleton import MultiTaskNet
from automtl.models.storage import packed_state
from automtl.phases.retrain._trainer import Part
from automtl.phases.run.checkpointer import Keeper
from automtl.phases.run.device import compile_net
from automtl.phases.run.faults import clear_note, enough_memory, make_guard, mishaps
from automtl.phases.run.phase_folder import close_failed, holding, open_phase
from automtl.phases.run.resume import own_settings, reopen
from automtl.phases.run.run_data import snapshot_of
from automtl.phases.run.session import Reporter, Session, training_session
from automtl.report.results import SelfShowing
from automtl.runs import checkpoint
from automtl.runs.checkpoints import Slots
from automtl.runs.constant import remarks
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, RunDir
from automtl.spaces.architecture import Architecture
from automtl.training.checkpoint_state import Count, Spent, State, check, need, take_net
from automtl.training.early_stopping import Monitor
from automtl.training.metrics.evaluation import Evaluation, Predictions, evaluate
from automtl.training.optim.optimizers import OptimizerSettings
from automtl.training.step.guard import Guard


@dataclass(frozen=True)
class RetrainResult(SelfShowing):
    """One retrained model.

    Args:
        folder: its phase folder.
        architecture: bound to the data set.
        validation: metrics of the best epoch on the validation rows.
        best_epochs: per part (one, or one per task for ``single_task``) the best epoch, from 0.
    """

    folder: PhaseDir
    architecture: Architecture
    validation: Evaluation
    best_epochs: tuple[int, ...]

    @classmethod
    def read(cls, folder: PhaseDir) -> Self:
        """The result of a retrain that has ended.

        Raises:
            ArtifactError: it has not, or a file of it is damaged.
        """
        if (state := folder.state()) != "done":
            fix = f"go on with --resume, and --out {folder.path.parent.parent}"
            raise ArtifactError(folder.path, "must be a retrain that has ended", state, fix)
        results = files.read_json(folder.results)
        with fitting(folder.results):
            validation, best = Evaluation(**results["validation"]), tuple(results["best_epochs"])
        return cls(folder, Architecture.load(folder.architecture), validation, best)

    @property
    def home(self) -> Path:
        return self.folder.path.parent.parent

    def headline(self) -> str:
        return f"{self.folder.path.name}: validation MTL-Loss {self.validation.loss_text}"


def retrain(
    architecture: Architecture,
    config: RunConfig,
    *,
    run: RunDir,
    label: str,
    reporter: Reporter | None = None,
    carry: Callable[[nn.Module, Session], None] | None = None,
    resume: bool = False,
    own: Snapshot | None = None,
) -> RetrainResult:
    """Train an architecture from fresh weights on fit + alpha rows and keep the epoch that
    `_phase.monitor` judges best on validation.

    Args:
        architecture: a template or one bound to this data set.
        config: resolved settings; ``config.seed`` is the model's seed.
        run: the run's folder; the phase goes to retrain/<label>-s<seed> inside.
        label: the sharing kind or the architecture's name.
        reporter: told how it goes on.
        carry: sets weights of the fresh network, such as an older model's embeddings (see
            `phases/retrain/warm_start.py`).
        resume: go on with the same retrain where it was begun and interrupted; where it has ended,
            hand over its result.
        own: the data set as a searched run keeps it; default what its YAML says now, or of a
            resumed retrain its own.
    """
    folder = run.retrain(label, config.seed)
    if resume and folder.manifest.exists():
        config, own = (
            own_settings(folder, config, sections=("seed", "sharing", "retrain")),
            snapshot_of(folder),
        )
    session = training_session(config, reporter, own, search=False, retrain=True)
    session.ranks.same("folder", str(folder.path))
    bound = architecture.bind(session.schema)
    # refuses what cannot be made, before the folder appears
    phase = RetrainPhase(session, folder, bound)
    if not (resume and folder.path.exists()):
        files.make_folder(folder.path)
    if carry is not None:
        carry(phase.net, session)
    return phase.run()


class _State(State):
    """Of a retrain; parts and guard look at their own."""

    guard: Any
    net: Any
    parts: tuple[Any, ...]
    noise: Tensor
    metric_lines: Count
    metric_sum: str
    spent: Spent


class RetrainPhase:
    """One retraining in one folder; one that was begun in it goes on. All that it then needs is in
    ``state()``.
    """

    def __init__(self, session: Session, folder: PhaseDir, bound: Architecture) -> None:
        self.session, self.folder, self.bound = session, folder, bound
        self.generator = session.noise()
        most, seed = session.config.runtime.max_parameters, session.seeds.weights
        self._size = ("retrain.batch_size", session.config.retrain.batch_size)
        with enough_memory(self._size, bound, session.schema):
            net = build_model(
                bound,
                session.schema,
                seed=seed,
                sparse=OptimizerSettings.of(session.config.retrain).sparse,
                generator=self.generator,
                max_parameters=most,
            )
            self.net = net.to(session.device)
        session.start(self.net)
        if session.config.runtime.compile:
            compile_net(self.net)
        self.guard = make_guard(session.config.runtime, session.device)
        self.parts = _parts_of(self.net, session, folder, self.guard)
        self.samples, self._before, self._started = 0, 0.0, time.monotonic()

    def run(self) -> RetrainResult:
        """Train every part and write the results."""
        for part in self.parts:
            part.remember()
        with holding(self.folder, self.session, "retrain"):
            manifest = self._open()
            if manifest.values["state"] == "done":
                Slots(self.folder).clear()
                return RetrainResult.read(self.folder)
            try:
                with mishaps(self.folder, self._size, self._place, self.session.store, self.bound):
                    result = self._run(manifest)
                    self.session.ranks.told(None)  # what the first one wrote is there for all
                    return result
            except BaseException as error:
                close_failed(manifest, error)
                raise

    def _run(self, manifest: Manifest) -> RetrainResult:
        with Keeper(
            self.folder, self.folder.path.parent.parent, self.session, self.state
        ) as keeper:
            for number, part in enumerate(self.parts):
                place: dict[str, Any] = {"part": number, "parts": len(self.parts)}
                place |= {"stage": part.tasks[0].name} if len(self.parts) > 1 else {}
                for event in part.train():
                    self.samples += event.rows
                    event = replace(event, horizon=part.horizon, **place)
                    keeper.stepped(event, part.planned_epochs)
        best = tuple(part.best_epoch for part in self.parts)
        checkpoint.save(self.folder.checkpoint("best"), {"net": packed_state(self.net)})
        session = self.session
        predictions, store = self._predict("validation"), session.store
        users = groups(store, "validation", predictions.rows)
        validation = evaluate(predictions, store.schema.tasks, reliability=True, groups=users)
        self._write_results(validation, best)
        for remark in remarks([asdict(validation)]):
            session.reporter.say(f"{self.folder.path.name}: {remark}")
        clear_note(self.folder)
        manifest.finish("done", best_epochs=best)
        Slots(self.folder).clear()
        return RetrainResult(self.folder, self.bound, validation, best)

    def _place(self) -> tuple[int, int]:
        """Epoch and step of the part in training."""
        part = next((part for part in self.parts if part.begun), self.parts[-1])
        return part.epoch, part.step

    def _predict(self, split: str) -> Predictions:
        return self.session.predict(self.net, self.session.in_order(split))

    def _open(self) -> Manifest:
        """A new manifest, or the begun retrain's, its state restored.

        Raises:
            ArtifactError: the begun one is of another architecture or of other data, or a file of
                it is damaged.
        """
        if self.session.ranks.told(self.folder.manifest.exists()):
            if (begun := Architecture.load(self.folder.architecture)) != self.bound:
                raise ArtifactError(
                    self.folder.architecture,
                    "must be the architecture to train",
                    f"one of other {', '.join(begun.differs(self.bound))}",
                    "start anew",
                )
            return reopen(self.folder, self.session, self._restore)
        self.bound.save(self.folder.architecture)
        named = {
            "architecture": self.bound.name,
            "sharing": self.bound.sharing.kind,
            "monitor": self._monitor,
        }
        return open_phase(
            self.folder,
            self.session,
            phase="retrain",
            planned_epochs=self.parts[0].planned_epochs,
            **named,
        )

    @property
    def _monitor(self) -> str:
        """What picks the epoch, in words."""
        return Monitor.of(self.session.config.retrain.monitor).name

    def state(self) -> dict[str, Any]:
        """All that going on from here needs."""
        self.guard.look()
        lines = sum(part.epoch for part in self.parts)
        return {
            "guard": self.guard.state(),
            "net": self.net.state_dict(),
            "parts": [part.state() for part in self.parts],
            "noise": self.generator.get_state(),
            "metric_lines": lines,
            "metric_sum": self.folder.metric_sum(lines),
            "spent": self._spent(),
        }

    def _restore(self, state: dict[str, Any]) -> None:
        """Go on from a ``state()``.

        Raises:
            AutoMTLError, RuntimeError: it is none of this retrain's.
        """
        whole = check(_State, state, "retrain")
        take_net(self.net, state["net"])
        # one pass: modules that lose units take their shapes from the state
        flops_per_row(self.net, self.session.schema)
        for part, part_state in zip(self.parts, state["parts"], strict=True):
            part.load(part_state)
        self.generator.set_state(state["noise"])
        self.guard.load(state["guard"])
        epochs = sum(part.epoch for part in self.parts)
        need(
            whole.metric_lines == epochs,
            "retrain.metric_lines",
            f"must be {epochs}, one per epoch",
            whole.metric_lines,
        )
        self._before, self.samples = whole.spent.seconds, whole.spent.samples

    def _spent(self) -> dict[str, Any]:
        spent: dict[str, Any] = {
            "seconds": self._before + time.monotonic() - self._started,
            "samples": self.samples,
        }
        if balancing := self.parts[0].balancing:  # where there are several parts, none is balanced
            spent["balancing"] = balancing
        return spent

    def _write_results(self, validation: Evaluation, best: tuple[int, ...]) -> None:
        files.write_json(
            self.folder.cost,
            {**self._spent(), "model": asdict(cost(self.net, self.session.schema))},
        )
        # as it is evaluated: its gates have seen all rows
        shared = {part.tasks[0].name: part.net.sharing.record() for part in self.parts}
        sharing = shared if len(shared) > 1 else next(iter(shared.values()))
        values = {
            "best_epochs": list(best),
            "monitor": self._monitor,
            "validation": asdict(validation),
            "sharing": sharing,
        }
        files.write_json(self.folder.results, values)


def _parts_of(net: nn.Module, session: Session, folder: PhaseDir, guard: Guard) -> list[Part]:
    """One part for the whole model, or one per task for ``single_task``."""
    tasks = range(len(session.schema.tasks))
    if isinstance(net, IndependentNets):
        return [
            Part(session, folder, guard, own, [t])  # type: ignore[arg-type]
            for t, own in zip(tasks, net.nets, strict=True)
        ]
    assert isinstance(net, MultiTaskNet)
    return [Part(session, folder, guard, net, list(tasks))]
