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
from automtl.errors import (
    ArtifactError,
    AutoMTLError,
    EnvironmentFault,
    Interrupted,
    NoMemory,
)
from automtl.phases.run.phase_folder import open_phase
from automtl.phases.run.resume import need_same_data
from automtl.phases.run.session import Session
from automtl.phases.tune._ranges import distribution, each_kind, ranges, reference, sharing_ranges
from automtl.phases.tune._study import Claim, Study
from automtl.phases.tune._trial import OutOfTime, TrialReporter
from automtl.phases.tune._trial_run import run_trial
from automtl.phases.tune.results import TuneResult, findings, write_results
from automtl.phases.tune.storage import Storage, storage_faults
from automtl.runs import checksums
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, one_phase
from automtl.training.early_stopping import Monitor, check_monitor


class Tuning:
    """One process at work in a study."""

    def __init__(
        self, session: Session, folder: PhaseDir, searched: str | None, storage: Storage
    ) -> None:
        config = session.config
        schema, tasks = session.schema, len(session.schema.tasks)
        self.session, self.config = session, config
        self.folder, self.searched = folder, searched
        self.reporter = session.reporter
        self.settings, self.monitor = config.tune, Monitor.of(config.retrain.monitor)
        check_monitor(
            config.retrain.monitor,
            {task.name: task.kind for task in schema.tasks},
            grouped=bool(schema.group),
        )
        if searched:
            architecture = one_phase(Path(searched), "search").derived()
            self.ranges = sharing_ranges(config, architecture)
            fixed = each_kind(config, self.ranges)
        else:
            self.ranges = ranges(config, num_tasks=tasks)
            fixed = [reference(config, self.ranges, num_tasks=tasks)]
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
        """The most epochs of any trial's search: the step at which its retrain's steps begin."""
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
            figure = f"{self.monitor.name} {self.monitor.shown(values[0]):.5f}"
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
        """The reporter of one phase of a trial; it reports no epochs where Optuna judges by seeds,
        or keeps one value only.
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
        """The losses of a trial and its cost; where a file of a trial that is taken up again is
        damaged, the trial begins anew.
        """
        try:
            return self._run(claim)
        except ArtifactError as error:
            run = claim.folder / "run"
            if not run.exists():
                raise
            self.reporter.say(f"trial {claim.number} begins anew: {error}")
            files.remove_folder(run)
            return self._run(claim)

    def _run(self, claim: Claim) -> tuple[list[float], dict[str, Any]]:
        """The losses of a trial's retrains, and what it cost."""
        number = claim.number
        first = {"search": 0, "first retrain": self._most_epochs(), "later retrain": None}
        return run_trial(
            self.config,
            self.folder,
            self.searched,
            claim,
            watch=lambda stage: self._watch(number, first[stage]),
            report=lambda value, step: self.study.report(number, value, step),
        )

    def _end(self, state: str) -> TuneResult:
        """Write what was found so far; the manifest says "running" while another process has a
        trial.
        """
        with files.locked(self.folder.path, wait=True):
            ended = findings(self.study.trials())
            if state == "done" and len(ended) < self.settings.trials:
                state = "running"
            named = write_results(self.folder.path, self.config, ended)
            manifest = Manifest.read(self.folder.manifest)
            if state == "running":
                manifest.update(finished_trials=len(ended))
            else:
                manifest.finish(state, finished_trials=len(ended))
        return TuneResult(self.folder, ended, state, named, self.monitor)
