"""Makes a table: forecasts the time, trains what is missing, stops at the gate or passes it, and
writes what there is.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from automtl import files
from automtl.benchmarks.gate import Verdict, gate, judgeable
from automtl.benchmarks.tables import CONSTANT
from automtl.config import RunConfig
from automtl.errors import InUse, counted
from automtl.phases.benchmark._folder import TableFolder
from automtl.phases.benchmark._helpers import helped, stopped_by_signals
from automtl.phases.benchmark._plan import (
    Job,
    Plan,
    check_same,
    fresh_groups,
    fresh_jobs,
    make_plan,
    pilot_jobs,
    read_plan,
    table_jobs,
)
from automtl.phases.benchmark._rows import TableRows
from automtl.phases.benchmark._train import constant, train
from automtl.phases.benchmark.estimate import (
    duration,
    fresh_seconds,
    seconds_by_entry,
    total_seconds,
)
from automtl.phases.benchmark.settings import TableSettings, check, one_trainer
from automtl.phases.run.faults import known_ids
from automtl.phases.run.opening import open_session
from automtl.phases.run.reporter import Reporter, Silent

_LOOK_EVERY_S = 2.0  # for trainings that another process is at


@dataclass(frozen=True)
class TableResult:
    """A table as far as it has come.

    Args:
        folder: with table.parquet.
        trainings: that have ended.
        of: planned, as far as known: the groups with fresh seeds are known once the table's first
            part is there.
        verdict: the gate's; None where no architecture has two seeds.
    """

    folder: Path
    trainings: int
    of: int
    verdict: Verdict | None

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train; else the gate has stopped it."""
        return self.trainings == self.of


@dataclass(frozen=True)
class Forecast:
    """The forecast of a table, for one process.

    Args:
        rows: per role.
        trainings: of the pilot, of the rest of the table's first part, of the two groups with fresh
            seeds.
        seconds: of each of these.
    """

    rows: dict[str, int]
    trainings: dict[str, int]
    seconds: dict[str, float]

    @property
    def total(self) -> float:
        """Seconds of all."""
        return sum(self.seconds.values())


class Benchmark:
    """A table in the making.

    Args:
        config: resolved settings, with a space.
        settings: of the table.
        reporter: told how it goes on.

    Raises:
        ConfigError: a setting is given that a table does not read.
    """

    def __init__(
        self, config: RunConfig, settings: TableSettings, reporter: Reporter | None = None
    ) -> None:
        check(config, settings)
        self.settings, self.reporter = settings, reporter or Silent()
        self.session = open_session(one_trainer(config), self.reporter)
        self.rows = TableRows(self.session, settings)

    def forecast(self) -> Forecast:
        """Forecast the whole table; nothing is written."""
        return self._forecast(
            make_plan(self.session, self.settings, self.rows.counts(), self.reporter.say)
        )

    def run(
        self,
        out: Path,
        *,
        resume: bool = False,
        anyway: bool = False,
        rows_from: Sequence[Path] = (),
        processes: int = 1,
    ) -> TableResult:
        """Make the table in a folder, or go on with it there; several processes may do so at once.

        Args:
            out: the folder; it must not exist yet unless `resume`.
            resume: go on with a table that was begun there.
            anyway: train on where the gate says that the data set cannot rank architectures.
            rows_from: tables of the same plan whose trainings need not be run again.
            processes: that share the trainings, this one among them.

        Raises:
            ArtifactError: the folder is taken, or holds a table of other code, data or settings.
            Interrupted: the process was asked to stop; every training that ended is kept.
        """
        folder = TableFolder(out)
        plan = self._open(folder, resume)
        first = [*pilot_jobs(plan), *table_jobs(plan)]
        for source in rows_from:
            self.reporter.say(
                f"{counted(folder.take(source, plan, first), 'training')} taken over from {source}"
            )
        self._tell(self._forecast(plan, folder))
        order = (self.session.config, self.settings, out, anyway, rows_from)
        with stopped_by_signals(out), helped(_help, processes - 1, order, self.reporter.say):
            self._work(folder, plan, pilot_jobs(plan), first)
            if (verdict := self._verdict(folder, pilot_jobs(plan))) is not None:
                self.reporter.say(f"the pilot: {verdict.words}")
                if not verdict.passed and not anyway:
                    return self._ended(folder, plan, first, {}, verdict)
            self._work(folder, plan, first, first)
            if self.settings.sample is not None:
                return self._ended(folder, plan, first, {}, None)
            groups = fresh_groups(plan, folder.frame(first))
            jobs = [*first, *fresh_jobs(plan, groups)]
            for source in rows_from:
                folder.take(source, plan, jobs)
            self._work(folder, plan, jobs, jobs)
            return self._ended(folder, plan, jobs, groups, self._verdict(folder, first))

    def _open(self, folder: TableFolder, resume: bool) -> Plan:
        counts = self.rows.counts()
        if resume:
            plan = read_plan(folder.plan)
            check_same(folder.plan, plan, self.session, self.settings, counts)
            return plan
        if folder.path.exists():
            files.make_folder(folder.path)  # refuses, before minutes of planning
        plan = make_plan(self.session, self.settings, counts, self.reporter.say)
        files.make_folder(folder.path)
        files.write_text(folder.path / "config.yaml", self.session.config.to_yaml())
        files.write_json(folder.plan, plan.model_dump(mode="json"))
        return plan

    def _forecast(self, plan: Plan, folder: TableFolder | None = None) -> Forecast:
        """Forecast what is left of a table."""
        by_entry = seconds_by_entry(plan, self.rows)
        left = {"pilot": pilot_jobs(plan), "table": table_jobs(plan)}
        if folder is not None:
            left = {
                name: [job for job in jobs if not folder.done(job)] for name, jobs in left.items()
            }
        seconds = {name: total_seconds(jobs, by_entry) for name, jobs in left.items()}
        trainings = {name: len(jobs) for name, jobs in left.items()}
        if self.settings.sample is None:
            most = len(
                fresh_jobs(
                    plan,
                    {
                        "any": [e.id for e in plan.entries if e.kind == "drawn" and not e.sealed][
                            :16
                        ]
                    },
                )
            )
            trainings["fresh"], seconds["fresh"] = most, fresh_seconds(plan, by_entry)
        return Forecast(plan.rows, trainings, seconds)

    def _tell(self, forecast: Forecast) -> None:
        counts = ", ".join(
            f"{name} {n} ({duration(forecast.seconds[name])})"
            for name, n in forecast.trainings.items()
        )
        self.reporter.say(
            f"trainings to do: {counts}; about {duration(forecast.total)} on this machine as busy "
            "as it is now, in one process. "
            "--jobs N has N processes share them; so does the same command with --resume beside it."
        )

    def _work(
        self, folder: TableFolder, plan: Plan, jobs: Sequence[Job], whole: Sequence[Job]
    ) -> None:
        """Train what is not trained yet, beside other processes; ends when all is there."""
        waiting = False
        while open_ := [job for job in jobs if not folder.done(job)]:
            busy = True
            for job in open_:
                try:
                    with folder.claim(job):
                        if not folder.done(job):
                            self._train(folder, plan, job, whole)
                            busy = waiting = False
                except InUse:
                    continue
            if busy:
                if not waiting:
                    self.reporter.say("waiting for trainings that another process is at")
                waiting = True
                time.sleep(_LOOK_EVERY_S)

    def _train(self, folder: TableFolder, plan: Plan, job: Job, whole: Sequence[Job]) -> None:
        with known_ids(self.session.store):
            if job.entry.kind == CONSTANT:
                row, test = constant(self.rows)
            else:
                row, test_row = train(
                    job.entry.architecture, self.rows, seed=job.seed, test=job.tested
                )
                test = test_row or {}
        folder.keep(job, plan, row, test if job.tested and test else None)
        folder.write_tables(plan, whole, {})
        done = sum(folder.done(j) for j in whole)
        figures = (
            "sealed"
            if job.entry.sealed
            else row["error"] or f"validation MTL-Loss {row['loss']:.5f}"
        )
        epoch = (
            ""
            if job.entry.sealed or row["epoch"] is None
            else f", epoch {row['epoch']} of {self.settings.epochs}"
        )
        self.reporter.say(
            f"[{done}/{len(whole)}] {job.entry.name}, seed {job.seed}: {figures}{epoch}, "
            f"{row['seconds']:.0f} s"
        )
        self.session.trim()

    def _verdict(self, folder: TableFolder, jobs: Sequence[Job]) -> Verdict | None:
        frame = folder.frame(jobs)
        return gate(frame) if judgeable(frame) else None

    def _ended(
        self,
        folder: TableFolder,
        plan: Plan,
        jobs: Sequence[Job],
        groups: Mapping[str, Sequence[str]],
        verdict: Verdict | None,
    ) -> TableResult:
        folder.write_tables(plan, jobs, groups)
        done = sum(folder.done(job) for job in jobs)
        return TableResult(folder.path, done, len(jobs), verdict)


def _help(
    config: RunConfig,
    settings: TableSettings,
    out: Path,
    anyway: bool,
    rows_from: Sequence[Path],
) -> None:
    """Take part in a table, in a process of its own."""
    Benchmark(config, settings).run(out, resume=True, anyway=anyway, rows_from=rows_from)
