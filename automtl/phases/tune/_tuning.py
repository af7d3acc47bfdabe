"""The tune phase: a study of the search budget, or of the module that shares the experts; a trial
is a short search and retrain.
"""

import time
import warnings
from collections.abc import Callable
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from optuna.trial import TrialState

from automtl import files
from automtl.config import RunConfig
from automtl.config_tune import Range, Value
from automtl.errors import (
    ArtifactError,
    AutoMTLError,
    EnvironmentFault,
    Interrupted,
    NoMemory,
)
from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.run.phase_folder import open_phase
from automtl.phases.run.resume import need_same_data
from automtl.phases.run.run_data import snapshot_of
from automtl.phases.run.session import Session
from automtl.phases.search import search
from automtl.phases.tune._ranges import applied, distribution, plugs, ranges, reference
from automtl.phases.tune._study import Claim, Study
from automtl.phases.tune._trial import OutOfTime, TrialReporter
from automtl.phases.tune.results import Finding, TuneResult, findings, shown, write_results
from automtl.phases.tune.storage import Storage, storage_faults
from automtl.runs import checksums
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, RunDir, one_phase
from automtl.training.early_stopping import Monitor, check_monitor


class Tuning:
    """One process at work in a study."""

    def __init__(
        self, session: Session, folder: PhaseDir, searched: str | None, storage: Storage
    ) -> None:
        config = session.config
        self.session, self.config, self.folder, self.searched, self.reporter = (
            session,
            config,
            folder,
            searched,
            session.reporter,
        )
        self.settings, self.monitor, schema = (
            config.tune,
            Monitor.of(config.retrain.monitor),
            session.schema,
        )
        check_monitor(
            config.retrain.monitor,
            {task.name: task.kind for task in schema.tasks},
            grouped=bool(schema.group),
        )
        tasks = len(self.session.schema.tasks)
        self.ranges = self._over_sharing() if searched else ranges(config, num_tasks=tasks)
        fixed = self._each_kind() if searched else [reference(config, self.ranges, num_tasks=tasks)]
        self.study = Study(
            folder.path,
            storage=storage,
            distributions={name: distribution(spread) for name, spread in self.ranges.items()},
            fixed=fixed,
            objectives=2 if self.settings.objective == "loss_and_cost" else 1,
            sampler=self.settings.sampler,
            pruner=self._pruner(),
            seed=config.seed,
        )
        self._begin(storage)
        limit = config.runtime.time_limit_s
        self.deadline = None if limit is None else time.monotonic() + limit

    def _over_sharing(self) -> dict[str, Range]:
        """The kinds that fit the run's experts, and the retrain's rate."""
        given = self.settings.parameters
        kinds = Range(choices=tuple(plugs(self._architecture())))
        lr = self.config.retrain.lr
        return dict(given) or {
            "sharing.kind": kinds,
            "retrain.lr": Range(low=lr / 3, high=lr * 3, log=True),
        }

    def _architecture(self) -> Path:
        assert self.searched is not None
        return one_phase(Path(self.searched), "search").architecture

    def _each_kind(self) -> list[dict[str, Value]]:
        """Every kind once at the run's own rate, before the sampler suggests any."""
        kinds = self.ranges["sharing.kind"].choices if "sharing.kind" in self.ranges else ()
        rest = {
            n: r.nearest(self.config.retrain.lr)
            for n, r in self.ranges.items()
            if n == "retrain.lr"
        }
        whole = set(self.ranges) <= {"sharing.kind", "retrain.lr"}
        return [{"sharing.kind": kind, **rest} for kind in kinds or ()] if whole else []

    def _pruner(self) -> optuna.pruners.BasePruner | None:
        if self.settings.objective == "loss_and_cost":
            return None
        pruners: dict[str, Callable[[], optuna.pruners.BasePruner]] = {
            "none": optuna.pruners.NopPruner,
            "median": lambda: optuna.pruners.MedianPruner(n_startup_trials=4),
            "hyperband": lambda: optuna.pruners.HyperbandPruner(
                max_resource=self._most_epochs() + self.config.retrain.epochs
            ),
            "wilcoxon": lambda: optuna.pruners.WilcoxonPruner(p_threshold=0.1),
        }
        with warnings.catch_warnings():
            # of the Wilcoxon pruner's interface
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return pruners[self.settings.pruner]()

    def _most_epochs(self) -> int:
        """Of any trial's search: where its retrain's steps begin."""
        spread = self.ranges.get("search.epochs")
        if self.searched:
            return 0
        if spread is None:
            return self.config.search.epochs
        return int(max(spread.choices or (spread.high,)))  # type: ignore[type-var,arg-type]

    def _begin(self, storage: Storage) -> None:
        """Settings and manifest, by the first process of the study."""
        with files.locked(self.folder.path, wait=True):
            if self.folder.manifest.exists():
                manifest = Manifest.read(self.folder.manifest)
                need_same_data(manifest, self.session)
                manifest.verify()
                manifest.go_on(checksums.FIXED)
            else:
                about = {
                    "planned_trials": self.settings.trials,
                    "searched": self.searched,
                    "storage": storage.shown,
                    "study": storage.name,
                }
                open_phase(self.folder, self.session, phase="tune", **about)

    def run(self) -> TuneResult:
        """Claim and run trials to the end, and write what was found."""
        with storage_faults(self.study.where):
            try:
                return self._end(self._work())
            except Interrupted:
                self._end("interrupted")
                raise

    def _work(self) -> str:
        """Claim and run trials; "done", or "time_limited"."""
        state = "done"
        while (claim := self.study.claim(self.settings.trials)) is not None:
            try:
                self._trial(claim)
            except OutOfTime:
                state = "time_limited"
                break
            # in a phase of the trial, whose folder nobody can go on with by itself
            except Interrupted as stopped:
                raise Interrupted(
                    stopped.signal, self.folder.path.parent, "what was finished is kept"
                ) from stopped
            finally:
                claim.release()
            if self._late() and len(self.study.trials()) < self.settings.trials:
                state = "time_limited"
                break
        return state

    def _late(self) -> bool:
        return self.deadline is not None and time.monotonic() > self.deadline

    def _trial(self, claim: Claim) -> None:
        """Run one trial and note how it ended; its own failure does not end the study."""
        shown_values = ", ".join(
            f"{name} {value:.4g}" if isinstance(value, float) else f"{name} {value}"
            for name, value in claim.values.items()
        )
        self.reporter.say(f"trial {claim.number}: {shown_values}")
        try:
            losses, facts = self._losses_or_anew(claim)
            values = (
                [fmean(losses)]
                if self.settings.objective == "loss"
                else [fmean(losses), float(facts["cost"])]
            )
            self.study.note(claim.number, {"losses": losses, **facts})
            self.study.end(claim.number, TrialState.COMPLETE, values)
            figure = f"{self.monitor.name} {shown(values[0], self.monitor):.5f}"
            self.reporter.say(
                f"trial {claim.number}: validation {figure}, search of {facts['cost']:.3g} FLOPs"
            )
        except optuna.TrialPruned:
            self.study.end(claim.number, TrialState.PRUNED)
            self.reporter.say(f"trial {claim.number}: pruned")
        # torch's own faults are RuntimeErrors
        except (AutoMTLError, MemoryError, RuntimeError) as error:
            if isinstance(error, EnvironmentFault) and not isinstance(error, NoMemory):
                raise  # a full disk is no fault of the trial's, and the next one's as well
            self.study.note(
                claim.number,
                {"error": f"{type(error).__name__}: {' '.join(str(error).split())[:500]}"},
            )
            self.study.end(claim.number, TrialState.FAIL)
            self.reporter.say(f"trial {claim.number}: failed: {error}")

    def _watch(self, number: int, first: int | None) -> TrialReporter:
        """Who hears of one phase of a trial: of its epochs no one where Optuna judges by seeds, or
        keeps one value only.
        """
        silent = self.settings.objective == "loss_and_cost" or self.settings.pruner == "wilcoxon"
        return TrialReporter(
            self.reporter,
            report=lambda value, step: self.study.report(number, value, step),
            verdict=lambda before: not silent and self.study.pruned(number, before),
            late=self._late,
            first=None if silent else first,
            monitor=self.monitor,
            task=self.monitor.task or self.session.schema.tasks[0].name,
        )

    def _losses_or_anew(self, claim: Claim) -> tuple[list[float], dict[str, Any]]:
        """As below; where a file of a trial that is taken up again is damaged, the trial begins
        anew, to the same end.
        """
        try:
            return self._losses(claim)
        except ArtifactError as error:
            run = claim.folder / "run"
            if not run.exists():
                raise
            self.reporter.say(f"trial {claim.number} begins anew: {error}")
            files.remove_folder(run)
            return self._losses(claim)

    def _losses(self, claim: Claim) -> tuple[list[float], dict[str, Any]]:
        """Per retrain seed the validation MTL-Loss, or what is monitored in its place, less being
        better; and what the trial cost.
        """
        run, config, source = RunDir(claim.folder / "run"), self._settings(claim), self.searched
        facts: dict[str, Any] = {}
        if source is None:
            source, begun = str(run.path), run.search.path.is_dir()
            if run.path.exists() and not begun:
                files.remove_folder(run.path)  # its process was killed before it had begun
            search(
                config,
                out=run.path,
                reporter=self._watch(claim.number, 0),
                resume=begun,
                own=snapshot_of(self.folder),
                announce=False,
            )
            spent = files.read_json(run.search.cost)
            flops = spent.get("supernet", {}).get("flops_per_row", 0) * spent["samples"]
            if config.search.selection == "race":  # most rows went through single models
                flops = spent["flops_spent"]
            facts = {
                "cost": flops,
                "search_seconds": spent["seconds"],
                "search_samples": spent["samples"],
            }
        kind = claim.values.get("sharing.kind")
        changes = config.retrain.model_dump(mode="json")
        asked = {
            "sharing": None if kind is None else str(kind),
            "flags": {"retrain": changes},
            "config_file": None,
            "sets": (),
        }
        plan = plan_retrain(source, data=None, out=None, **asked)  # type: ignore[arg-type]
        machine = {"runtime": config.runtime, "data": config.data}
        losses, seconds = [], 0.0
        for i in range(self.settings.seeds):
            settings = plan.config.model_copy(update={**machine, "seed": self.config.seed + i})
            watch = self._watch(claim.number, None if i else self._most_epochs())
            model = retrain(
                plan.architecture,
                settings,
                run=run,
                label=plan.label,
                reporter=watch,
                resume=True,
                own=plan.own,
            )
            loss = self.monitor.cost(model.validation.line)
            assert loss is not None, "a retrain refuses what is undefined"
            losses.append(loss)
            spent = files.read_json(model.folder.cost)
            seconds += spent["seconds"]
            facts.setdefault("cost", spent["model"]["flops_per_row"])
            if (
                self.settings.pruner == "wilcoxon"
                and self.study.report(claim.number, losses[-1], i)
                and i + 1 < self.settings.seeds
            ):
                raise optuna.TrialPruned
        return losses, {**facts, "retrain_seconds": seconds}

    def _settings(self, claim: Claim) -> RunConfig:
        """The trial's own settings: no limit of time but the study's."""
        values = {name: value for name, value in claim.values.items() if name != "sharing.kind"}
        config = applied(self.config, values)
        return config.model_copy(
            update={"runtime": config.runtime.model_copy(update={"time_limit_s": None})}
        )

    def _end(self, state: str) -> TuneResult:
        """Write what was found so far; the manifest says "running" while another process has a
        trial.
        """
        with files.locked(self.folder.path, wait=True):
            ended = findings(self.study.trials())
            if state == "done" and len(ended) < self.settings.trials:
                state = "running"
            named = write_results(self.folder.path, self.config, ended, self._settings_of)
            manifest = Manifest.read(self.folder.manifest)
            if state == "running":
                manifest.update(finished_trials=len(ended))
            else:
                manifest.finish(state, finished_trials=len(ended))
        return TuneResult(self.folder, ended, state, named, self.monitor)

    def _settings_of(self, finding: Finding) -> RunConfig:
        return applied(
            self.config,
            {name: value for name, value in finding.values.items() if name != "sharing.kind"},
        )
