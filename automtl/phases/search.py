"""The search phase: epochs of a strategy over the supernet, recorded, checkpointed, and an architecture derived at the end."""

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from automtl import files
from automtl.config import RunConfig
from automtl.data.batches import Batch
from automtl.errors import ArtifactError, ConfigError
from automtl.models.cost import cost
from automtl.models.supernet import Supernet, build_supernet
from automtl.phases.records import close_failed, open_phase, training_losses
from automtl.phases.session import Reporter, Session, open_session
from automtl.runs import checkpoint
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, RunDir, find_phase
from automtl.spaces.architecture import Architecture
from automtl.spaces.space import SearchSpace
from automtl.strategies.darts import Darts, DartsSettings
from automtl.strategies.protocol import Strategy
from automtl.strict import build, load_yaml
from automtl.training.evaluation import evaluate, predict
from automtl.training.loop import RunningLosses, run_epoch
from automtl.training.losses import Losses


@dataclass(frozen=True)
class SearchResult:
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


def search(config: RunConfig, *, out: Path | None = None, reporter: Reporter | None = None, resume: bool = False) -> SearchResult:
    """Search a space on a data set and derive an architecture.

    Args:
        config: resolved settings, with a space.
        out: the run's folder; it must not exist. Default runs/<dataset>-<space>-<n>.
        reporter: told how it goes on.
        resume: go on with the interrupted run at `out`; see ``resumed`` for its settings.

    Raises:
        AutoMTLError: see ``automtl.errors``.
    """
    session = open_session(config, reporter)
    assert config.space is not None, "a search has a space"
    if resume:
        assert out is not None, "a run to resume has a folder"
        run = RunDir(find_phase(out, "search")[0].path.parent)
    else:
        # everything that can be refused is refused before the folder appears
        build_supernet(config.space, session.schema, sharing=config.search.sharing, settings=config.sharing, generator=session.noise())
        run = RunDir.new(out, f"{session.schema.name}-{config.space.name}")
    return SearchPhase(session, run.search, config.space).run(resume=resume)


def resumed(out: Path, config: RunConfig, *, given: bool) -> RunConfig:
    """The settings that an interrupted run goes on with: its own, and the machine's of today.

    Args:
        out: the run's folder.
        config: what the command line says now.
        given: whether it says anything about the search itself.

    Raises:
        ConfigError: it asks for other data or another search than the run's.
    """
    path = find_phase(out, "search")[0].config
    held = build(RunConfig, load_yaml(path), path)
    asked = {"data.source": (held.data.source, config.data.source)}
    if given:
        asked |= {name: (getattr(held, name), getattr(config, name)) for name in ("seed", "space", "search", "sharing")}
    for name, (mine, theirs) in asked.items():
        if mine != theirs:
            raise ConfigError(f"--resume: {name}", f"must be as in {path}", "another", "leave it out, or start a new search")
    return held.model_copy(update={"runtime": config.runtime})


class SearchPhase:
    """One search in one folder.

    Args:
        session: data, device, seeds.
        folder: the phase's folder.
        space: what is searched.
    """

    def __init__(self, session: Session, folder: PhaseDir, space: SearchSpace) -> None:
        self.session, self.folder, self.space = session, folder, space
        s, seeds = session.config.search, session.seeds
        self.generator = session.noise()
        self.net = self._net()
        self.strategy: Strategy = self._strategy(self.net)
        self.fit = session.batches("fit", batch_size=s.batch_size, seed=seeds.fit)
        self.alpha = session.batches("alpha", batch_size=s.batch_size, seed=seeds.alpha)
        self.history: list[dict[str, Any]] = []
        self.spent = {"seconds": 0.0, "samples": 0}
        self._started = time.monotonic()

    def _net(self) -> Supernet:
        c = self.session.config
        net = build_supernet(
            self.space,
            self.session.schema,
            sharing=c.search.sharing,
            settings=c.sharing,
            seed=self.session.seeds.weights,
            generator=self.generator,
        )
        self.session.start(net)
        net.to(self.session.device)
        if c.runtime.compile:
            net.compile()
        return net

    def _strategy(self, net: Supernet) -> Darts:
        s = self.session.config.search
        same = {name: getattr(s, name) for name in DartsSettings.__dataclass_fields__ if name != "sharing_settings"}
        settings = DartsSettings(**same, sharing_settings=self.session.config.sharing)
        return Darts(net, self.session.schema, settings, autocast=self.session.autocast)

    def run(self, *, resume: bool = False) -> SearchResult:
        """Search to the planned end, or to the time limit."""
        if not resume:
            files.make_folder(self.folder.path)
        with files.locked(self.folder.path):
            return self._run(resume)

    def _run(self, resume: bool) -> SearchResult:
        first, manifest = self._resume() if resume else (0, self._start())
        epochs, limit = self.session.config.search.epochs, self.session.config.runtime.time_limit_s
        state, done = "done", first
        try:
            for epoch in range(first, epochs):
                if not self._epoch(epoch, limit):
                    state = "time_limited"
                    break
                done = epoch + 1
        except BaseException as error:
            close_failed(manifest, error)
            raise
        architecture = self._derive(state, done)
        manifest.finish(state, finished_epochs=done)
        return SearchResult(self.folder.path.parent, architecture, state, done)

    def _start(self) -> Manifest:
        planned = self.session.config.search.epochs
        return open_phase(self.folder, self.session, phase="search", planned_epochs=planned, finished_epochs=0)

    def _epoch(self, epoch: int, limit: float | None) -> bool:
        """One epoch and its records; False where the time limit cut it."""
        running, steps = RunningLosses(), len(self.fit)
        self.strategy.begin_epoch(epoch)
        alphas = self.alpha.cycle(epoch * steps)
        device = self.session.device
        planned = steps * self.session.config.search.epochs

        def update(step: int, batch: Batch) -> Losses:
            self.net.sharing.advance((epoch * steps + step) / planned)
            return self.strategy.step(next(alphas).to(device, non_blocking=True), batch)

        for event in run_epoch(update, self.fit, epoch=epoch, device=device):
            running.add(event.losses)
            self.spent["samples"] += 2 * event.rows
            self.session.reporter.step(event, self.session.config.search.epochs)
            if limit is not None and self._seconds() > limit and event.step + 1 < steps:
                self.strategy.end_epoch()
                return False
        self.strategy.end_epoch()
        self._record(epoch, running)
        return True

    def _record(self, epoch: int, running: RunningLosses) -> None:
        """The epoch's line in metrics.jsonl, its alphas and betas, and a checkpoint."""
        schema = self.session.schema
        losses = training_losses(running, schema.tasks, epoch)
        validation = evaluate(predict(self.net, self.session.in_order("validation"), device=self.session.device), schema.tasks)
        record = self.strategy.record()
        choices = record.pop("choices")
        line = {
            "epoch": epoch,
            "loss": losses,
            "validation": {"tasks": validation.tasks, "loss": validation.loss},
            **record,
            "sharing": self.net.sharing.record(),
        }
        self.history.append({"epoch": epoch, "choices": choices, "expert_usage": record["expert_usage"]})
        self.folder.append_metrics(line)
        files.write_table(self.folder.alphas, _alpha_table(self.history))
        files.write_table(self.folder.betas, _beta_table(self.history))
        self._save(epoch)
        self.session.reporter.say(
            f"epoch {epoch + 1}/{self.session.config.search.epochs}: train loss {losses['total']:.5f}, "
            f"validation MTL-Loss {validation.loss:.5f}, mean alpha entropy {record['entropy']:.4f}"
        )

    def _seconds(self) -> float:
        return self.spent["seconds"] + time.monotonic() - self._started

    def _save(self, epoch: int) -> None:
        state = {
            "net": self.net.state_dict(),
            "strategy": self.strategy.state_dict(),
            "noise": self.generator.get_state(),
            "epoch": epoch,
            "metric_lines": epoch + 1,
            "history": self.history,
            "spent": {**self.spent, "seconds": self._seconds()},
        }
        checkpoint.save(self.folder.checkpoint("last"), state)

    def _resume(self) -> tuple[int, Manifest]:
        """Go back to the last checkpoint; lines written after it are cut."""
        manifest = Manifest.read(self.folder.manifest)
        held, now = manifest.values["data"]["hash"], self.session.schema.data_hash
        if held != now:
            raise ArtifactError(self.folder.manifest, "must be of the same prepared data", "data that changed since", "start a new search")
        if not self.folder.checkpoint("last").exists():
            files.cut_lines(self.folder.metrics, 0)
            return 0, manifest
        state = checkpoint.load(self.folder.checkpoint("last"))
        self.net.load_state_dict(state["net"])
        self.strategy.load_state_dict(state["strategy"])
        self.generator.set_state(state["noise"])
        self.history, self.spent = state["history"], state["spent"]
        files.cut_lines(self.folder.metrics, state["metric_lines"])
        manifest.update(state="running", end=None)
        return state["epoch"] + 1, manifest

    def _derive(self, state: str, epochs: int) -> Architecture:
        schema, config = self.session.schema, self.session.config
        provenance = {"dataset": schema.name, "data_hash": schema.data_hash, "seed": config.seed, "finished_epochs": epochs, "state": state}
        architecture = self.strategy.derive().evolve(provenance=provenance)
        architecture.save(self.folder.architecture)
        self._write_cost()
        return architecture

    def _write_cost(self) -> None:
        supernet = cost(self.net, self.session.schema)
        files.write_json(self.folder.cost, {**self.spent, "seconds": self._seconds(), "supernet": asdict(supernet)})


def _alpha_table(history: list[dict[str, Any]]) -> pa.Table:
    """Rows (epoch, block, operation, weight), weight = softmax(alpha)."""
    rows = [
        (line["epoch"], block, operation, weight)
        for line in history
        for block, weights in line["choices"].items()
        for operation, weight in weights.items()
    ]
    return pa.table(dict(zip(("epoch", "block", "operation", "weight"), map(list, zip(*rows, strict=True)), strict=True)))


def _beta_table(history: list[dict[str, Any]]) -> pa.Table:
    """Rows (epoch, task, expert, weight), weight = softmax(beta)."""
    rows = [
        (line["epoch"], task, expert, weight)
        for line in history
        for task, weights in line["expert_usage"].items()
        for expert, weight in enumerate(weights)
    ]
    names, kinds = ("epoch", "task", "expert", "weight"), (pa.int64(), pa.string(), pa.int64(), pa.float64())
    columns = list(zip(*rows, strict=True)) or [()] * 4
    return pa.table({n: pa.array(list(c), k) for n, k, c in zip(names, kinds, columns, strict=True)})
