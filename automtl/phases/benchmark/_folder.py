"""The folder of a table in the making: plan.json, a folder per training, and the tables of what
there is so far.

Several processes may work in one folder, each holding the folder of the training it is at; a
training's row appears whole or not at all.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from automtl import files
from automtl.benchmarks import tables
from automtl.bounds import fitting
from automtl.errors import ArtifactError
from automtl.phases.benchmark._plan import Job, Plan
from automtl.phases.benchmark._train import Row

_IDENTITY = ("architecture", "kind", "name", "stratum", "number", "sealed", "seed", "stage")


@dataclass(frozen=True)
class TableFolder:
    """Paths and rows of a table's folder."""

    path: Path

    @property
    def plan(self) -> Path:
        """The plan."""
        return self.path / "plan.json"

    @property
    def table(self) -> Path:
        """The table so far."""
        return self.path / "table.parquet"

    @property
    def test(self) -> Path:
        """The test figures so far."""
        return self.path / f"table{tables.TEST}"

    def home(self, job: Job) -> Path:
        """The folder of one training."""
        return self.path / "trainings" / job.key

    def done(self, job: Job) -> bool:
        """Whether a training has its row; its test row is written before."""
        return (self.home(job) / "row.json").exists()

    @contextmanager
    def claim(self, job: Job) -> Iterator[None]:
        """Hold a training for this process.

        Raises:
            InUse: another process is at it.
        """
        with files.locked(self.home(job)):
            yield

    def keep(self, job: Job, plan: Plan, row: Row, test: Row | None) -> None:
        """Write a training's rows, the test figures first."""
        entry = job.entry
        values = (
            entry.id,
            entry.kind,
            entry.name,
            entry.stratum,
            entry.number,
            entry.sealed,
            job.seed,
            job.stage,
        )
        same = dict(zip(_IDENTITY, values, strict=True)) | plan.under.model_dump()
        if test is not None:
            files.write_json(self.home(job) / "test.json", {**same, **test})
        definition = "" if entry.definition is None else entry.architecture.identity()
        files.write_json(self.home(job) / "row.json", {**same, **row, "definition": definition})

    def rows(self, jobs: Sequence[Job], name: str = "row.json") -> list[Row]:
        """The rows of those trainings that have ended."""
        rows = []
        for job in jobs:
            if (path := self.home(job) / name).exists():
                row = files.read_json(path)
                due = (job.entry.id, job.seed)
                of = (row.get("architecture"), row.get("seed")) if isinstance(row, dict) else None
                if of != due:
                    raise ArtifactError(
                        path,
                        f"must be the row of its training, {due}",
                        str(of or type(row).__name__)[:120],
                        "remove that folder to train it again",
                    )
                rows.append(row)
        return rows

    def frame(self, jobs: Sequence[Job]) -> pd.DataFrame:
        """The rows of ended trainings, the sealed ones left out."""
        rows = [row for row in self.rows(jobs) if not row.get("sealed")]
        return (
            pd.DataFrame(rows).astype({"loss": float, "loss_b": float}) if rows else pd.DataFrame()
        )

    def write_tables(
        self, plan: Plan, jobs: Sequence[Job], groups: Mapping[str, Sequence[str]]
    ) -> None:
        """Write the tables of what there is so far."""
        about = plan.about(groups)
        for path, name in ((self.table, "row.json"), (self.test, "test.json")):
            if rows := self.rows(jobs, name):
                tables.write(path, rows, about | {"trainings": len(rows)})

    def take(self, source: Path, plan: Plan, jobs: Sequence[Job]) -> int:
        """Take over the rows of a table of the same plan, trained elsewhere or before; how many
        were new.

        Raises:
            ArtifactError: they were trained under something else.
        """
        rows = {(row["architecture"], row["seed"]): row for row in tables.read_rows(source)}
        beside = source.with_name(source.name.removesuffix(".parquet") + tables.TEST)
        test = (
            {(row["architecture"], row["seed"]): row for row in tables.read_rows(beside)}
            if beside.exists()
            else {}
        )
        taken = 0
        for job in jobs:
            key = (job.entry.id, job.seed)
            if (
                (row := rows.get(key)) is None
                or self.done(job)
                or (job.tested and key not in test and row.get("loss") is not None)
            ):
                continue
            _check_under(source, row, plan)
            with fitting(source):
                self.keep(
                    job,
                    plan,
                    _measured(row, plan),
                    _measured(test[key], plan) if key in test else None,
                )
            taken += 1
        return taken


def _measured(row: Row, plan: Plan) -> dict[str, Any]:
    """The figures of a training: its row without the columns that identify it or name its
    conditions.
    """
    excluded = {*_IDENTITY, *plan.under.model_dump(), "definition"}
    return {name: value for name, value in row.items() if name not in excluded}


def _check_under(source: Path, row: Row, plan: Plan) -> None:
    for name, value in plan.under.model_dump().items():
        if row.get(name) != value:
            raise ArtifactError(
                source,
                f"must be trained under the plan's {name.replace('_', ' ')} {value}",
                row.get(name),
            )
