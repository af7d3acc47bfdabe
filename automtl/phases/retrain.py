"""The retrain phase: a discrete architecture, searched or hand-made, from fresh weights, stopped on validation."""

import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from automtl import files
from automtl.config import RunConfig
from automtl.data.batches import Batch
from automtl.errors import ArtifactError
from automtl.models.cost import cost
from automtl.models.derived import IndependentNets, build_model
from automtl.models.skeleton import MultiTaskNet
from automtl.phases.records import append_epoch, charge_balancing, close_failed, holding, open_phase, training_losses
from automtl.phases.session import Reporter, Session, open_session
from automtl.report.results import SelfShowing
from automtl.runs import checkpoint
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, RunDir
from automtl.spaces.architecture import Architecture
from automtl.training.balancers import make_balancer
from automtl.training.balancing import BalancingSettings
from automtl.training.early_stopping import EarlyStopping
from automtl.training.evaluation import Evaluation, Predictions, evaluate, predict
from automtl.training.loop import RunningLosses, run_epoch
from automtl.training.losses import Losses, multi_task_loss
from automtl.training.optim import clip_grad_norm, parameter_groups


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

    @property
    def home(self) -> Path:
        return self.folder.path.parent.parent

    def headline(self) -> str:
        return f"{self.folder.path.name}: validation MTL-Loss {self.validation.loss:.5f}"


def retrain(
    architecture: Architecture,
    config: RunConfig,
    *,
    run: RunDir,
    label: str,
    reporter: Reporter | None = None,
    carry: Callable[[nn.Module, Session], None] | None = None,
) -> RetrainResult:
    """Train an architecture from fresh weights on fit + alpha rows and keep the best epoch by validation MTL-Loss.

    Args:
        architecture: a template or one bound to this data set.
        config: resolved settings; ``config.seed`` is the model's seed.
        run: the run's folder; the phase goes to retrain/<label>-s<seed> inside.
        label: the sharing kind or the architecture's name.
        reporter: told how it goes on.
        carry: sets weights of the fresh network, such as an older model's embeddings (see `phases/grow.py`).
    """
    session = open_session(config, reporter)
    bound = architecture.bind(session.schema)
    folder = PhaseDir(files.make_folder(run.retrain(label, config.seed).path))
    phase = RetrainPhase(session, folder, bound)
    if carry is not None:
        carry(phase.net, session)
    return phase.run()


class RetrainPhase:
    """One retraining in one folder."""

    def __init__(self, session: Session, folder: PhaseDir, bound: Architecture) -> None:
        self.session, self.folder, self.bound = session, folder, bound
        self.generator = session.noise()
        self.net = build_model(bound, session.schema, seed=session.seeds.weights, generator=self.generator).to(session.device)
        session.start(self.net)
        if session.config.runtime.compile:
            self.net.compile()
        self.samples, self._started = 0, time.monotonic()
        self.balancing: dict[str, Any] = {}  # what it cost

    def run(self) -> RetrainResult:
        """Train every part and write the results."""
        with holding(self.folder, self.session, "retrain"):
            return self._run()

    def _run(self) -> RetrainResult:
        manifest = self._start()
        try:
            parts = self.net.nets if isinstance(self.net, IndependentNets) else [self.net]
            names = [task.name for task in self.session.schema.tasks]
            groups = [[t] for t in range(len(names))] if isinstance(self.net, IndependentNets) else [list(range(len(names)))]
            best = tuple(_Part(self, net, columns).train() for net, columns in zip(parts, groups, strict=True))  # type: ignore[arg-type]
            checkpoint.save(self.folder.checkpoint("best"), {"net": self.net.state_dict()})
            validation = evaluate(self._predict("validation"), self.session.schema.tasks, reliability=True)
        except BaseException as error:
            close_failed(manifest, error)
            raise
        self._write_results(validation, best)
        manifest.finish("done", best_epochs=best)
        return RetrainResult(self.folder, self.bound, validation, best)

    def _predict(self, split: str) -> Predictions:
        return predict(self.net, self.session.in_order(split), device=self.session.device)

    def _start(self) -> Manifest:
        self.bound.save(self.folder.architecture)
        planned, bound = self.session.config.retrain.epochs, self.bound
        return open_phase(
            self.folder, self.session, phase="retrain", planned_epochs=planned, architecture=bound.name, sharing=bound.sharing.kind
        )

    def _write_results(self, validation: Evaluation, best: tuple[int, ...]) -> None:
        spent: dict[str, Any] = {"seconds": time.monotonic() - self._started, "samples": self.samples}
        spent |= {"balancing": self.balancing} if self.balancing else {}
        files.write_json(self.folder.cost, {**spent, "model": asdict(cost(self.net, self.session.schema))})
        files.write_json(self.folder.results, {"best_epochs": list(best), "validation": asdict(validation)})


class _Part:
    """The training of one net: the whole model, or one task's own for ``single_task``."""

    def __init__(self, phase: RetrainPhase, net: MultiTaskNet, columns: list[int]) -> None:
        self.phase, self.net, self.columns = phase, net, columns
        self.tasks = [phase.session.schema.tasks[c] for c in columns]
        self.settings = phase.session.config.retrain
        apart = [*net.sharing.optimizer_groups(), {"params": net.tables(), "weight_decay": 0.0}]
        groups = parameter_groups(net.parameters(), apart)
        self.optimizer = torch.optim.Adam(groups, lr=self.settings.lr, weight_decay=self.settings.weight_decay, fused=True)
        self.balancer = make_balancer(BalancingSettings(**self.settings.balancing.given()), self.tasks, net)
        self.stopping = EarlyStopping("loss", patience=self.settings.patience)
        self.best: dict[str, torch.Tensor] = {}

    def train(self) -> int:
        """Train to the early stop, restore the best epoch and fill its unknown ids; the best epoch."""
        session = self.phase.session
        batches = session.batches("train", batch_size=self.settings.batch_size, seed=session.seeds.fit)
        for epoch in range(self.settings.epochs):
            running = RunningLosses()
            for event in run_epoch(partial(self._step, epoch, len(batches)), batches, epoch=epoch, device=session.device):
                running.add(event.losses)
                self.phase.samples += event.rows
                session.reporter.step(event, self.settings.epochs)
            if self._judge(epoch, running):
                break
        self.net.load_state_dict(self.best)
        self.net.fill_unknown(session.schema)
        assert self.stopping.best_epoch is not None
        return self.stopping.best_epoch

    def _step(self, epoch: int, steps: int, step: int, batch: Batch) -> Losses:
        self.net.sharing.advance((epoch + step / steps) / self.settings.epochs)
        mine = self._mine(batch)
        with self.phase.session.autocast():
            outputs = self.net(mine.inputs)
        losses = multi_task_loss(self.tasks, outputs, mine.labels, mine.weights)
        self.balancer.backward(losses, self.net.sharing.auxiliary_loss(outputs, mine.labels))
        clip_grad_norm(list(self.net.parameters()), self.settings.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        return losses

    def _mine(self, batch: Batch) -> Batch:
        if len(self.columns) == batch.labels.shape[1]:
            return batch
        weights = None if batch.weights is None else batch.weights[:, self.columns]
        return replace(batch, labels=batch.labels[:, self.columns], weights=weights)

    def _judge(self, epoch: int, running: RunningLosses) -> bool:
        """Evaluate on validation, record, keep the best; whether to stop."""
        phase, session = self.phase, self.phase.session
        losses = training_losses(running, self.tasks, epoch)
        predictions = predict(self.net, session.in_order("validation"), device=session.device)
        mine = replace(predictions, labels=predictions.labels[:, self.columns], weights=_columns(predictions.weights, self.columns))
        validation = evaluate(mine, self.tasks)
        line: dict[str, Any] = {
            "epoch": epoch,
            "part": [task.name for task in self.tasks],
            "loss": losses,
            "validation": {"tasks": validation.tasks, "loss": validation.loss},
            "sharing": self.net.sharing.record(),
        }
        if balancing := self.balancer.record():
            line["balancing"] = balancing
            charge_balancing(phase.balancing, line)
        improved = self.stopping.update(epoch, validation.loss)
        if improved:
            self.best = {name: value.detach().clone() for name, value in self.net.state_dict().items()}
        append_epoch(phase.folder, session, {**line, "best": improved})
        aucs = ", ".join(f"{n} AUC {m['auc']:.4f}" for n, m in validation.tasks.items() if m.get("auc") is not None)
        session.reporter.say(
            f"epoch {epoch + 1}: train loss {losses['total']:.5f}, "
            f"validation MTL-Loss {validation.loss:.5f}{' (best)' if improved else ''}; {aucs}"
        )
        return self.stopping.should_stop


def _columns(weights: Any, columns: list[int]) -> Any:
    return None if weights is None else weights[:, columns]


def load_net(folder: PhaseDir, session: Session) -> nn.Module:
    """The trained network of a retrain folder, on the session's device.

    Raises:
        ArtifactError: the checkpoint is torn, or of another architecture or version.
    """
    bound = Architecture.load(folder.architecture)
    net = build_model(bound, session.schema, generator=session.noise())
    path = folder.checkpoint("best")
    try:
        net.load_state_dict(checkpoint.load(path)["net"])
    except (RuntimeError, KeyError) as error:
        got = str(error).strip().splitlines()[-1].strip()
        raise ArtifactError(path, "must hold the weights of the architecture beside it", got, "retrain it with this version") from error
    return net.to(session.device)
