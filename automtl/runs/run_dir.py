"""The layout of a run: ``runs/<name>/<phase>/`` and the files inside a phase folder."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from automtl import files
from automtl.bounds import parse_json, read_lines
from automtl.errors import ArtifactError, ConfigError
from automtl.runs import checksums
from automtl.runs.manifest import Manifest


@dataclass(frozen=True)
class PhaseDir:
    """One phase folder.

    Args:
        path: the folder, such as runs/x/search or runs/x/retrain/selected-s0.
    """

    path: Path

    @property
    def run(self) -> Path:
        """The folder of the run."""
        return self.path.parent if self.path.name in ("search", "tune") else self.path.parent.parent

    @property
    def home(self) -> Path:
        """The folder of the run that keeps the data; a trial's is that of its study."""
        run = self.run
        return run.parents[3] if run.name == "run" and run.parent.parent.name == "trials" else run

    @property
    def snapshots(self) -> Path:
        """The folder of the run's data sets."""
        return self.home / "data"

    def snapshot(self, name: str) -> Path:
        """One of them.

        Raises:
            ArtifactError: it is none of that folder, or the folder is a link that leads elsewhere.
        """
        if Path(name).name != name:
            raise ArtifactError(
                self.manifest,
                "must name a data set of the run's own folder",
                repr(name)[:80],
                "make the run anew",
            )
        checksums.refuse_links(self.home, [self.snapshots, self.snapshots / name])
        return self.snapshots / name

    @property
    def config(self) -> Path:
        return self.path / "config.yaml"

    @property
    def manifest(self) -> Path:
        return self.path / "manifest.json"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def race(self) -> Path:
        return self.path / "race.jsonl"

    @property
    def architecture(self) -> Path:
        return self.path / "architecture.json"

    def beside(self, name: str) -> Path:
        """A model beside the winner of a race, as it raced: "hand_made", the best such one, or
        "better", a changed copy of the winner that is shown to be better.
        """
        return self.path / f"{name}.json"

    @property
    def cost(self) -> Path:
        return self.path / "cost.json"

    @property
    def results(self) -> Path:
        return self.path / "results.json"

    @property
    def alphas(self) -> Path:
        return self.path / "alphas.parquet"

    @property
    def betas(self) -> Path:
        return self.path / "betas.parquet"

    @property
    def latencies(self) -> Path:
        return self.path / "latencies.json"

    @property
    def front(self) -> Path:
        return self.path / "pareto" / "front.json"

    def checkpoint(self, name: str) -> Path:
        """The checkpoint called "last" or "best"."""
        return self.path / "checkpoint" / f"{name}.safetensors"

    def state(self) -> str:
        """The state its manifest tells."""
        return str(Manifest.read(self.manifest).values.get("state"))

    def need_ended(self) -> None:
        """Refuse a search that has no result yet.

        Raises:
            ArtifactError: it is one.
        """
        if (state := self.state()) not in ("done", "time_limited"):
            fix = f"go on with --resume, and --out {self.path.parent}"
            raise ArtifactError(self.path, "must be a search that has ended", state, fix)

    def derived(self) -> Path:
        """The architecture file of a search.

        Raises:
            ArtifactError: it has derived none yet.
        """
        if not self.architecture.exists():
            self.need_ended()
        return self.architecture

    def metric_sum(self, lines: int) -> str:
        """The sum of the first `lines` lines of metrics.jsonl."""
        return checksums.of_lines(self.metrics, lines)

    def append_metrics(self, line: dict[str, Any]) -> None:
        """Append one line to metrics.jsonl."""
        files.append_line(self.metrics, line)

    def read_metrics(self) -> list[dict[str, Any]]:
        """All whole lines of metrics.jsonl; a torn last line is left out.

        Raises:
            ArtifactError: a line is no epoch's.
        """
        if not self.metrics.exists():
            return []
        lines = []
        for number, line in enumerate(read_lines(self.metrics), 1):
            try:
                value = parse_json(line)
            except (ValueError, RecursionError):
                value = None
            if not (
                isinstance(value, dict)
                and isinstance(value.get("epoch"), int)
                and isinstance(value.get("loss"), dict)
            ):
                raise ArtifactError(
                    f"{self.metrics}, line {number}",
                    "must be the line of an epoch",
                    repr(line[:60]),
                    "restore the file",
                )
            lines.append(value)
        return lines


@dataclass(frozen=True)
class RunDir:
    """One run's folder with its phases.

    Args:
        path: the folder, such as runs/census_income-automtl_small-1.

    Raises:
        ArtifactError: a phase of it is a link that leads elsewhere.
    """

    path: Path

    def __post_init__(self) -> None:
        checksums.refuse_links(
            self.path,
            [
                *(self.path / name for name in ("search", "retrain", "tune")),
                *self.path.glob("retrain/*"),
            ],
        )

    @classmethod
    def new(cls, out: Path | None, stem: str) -> "RunDir":
        """A folder for a new run: `out`, or runs/<stem>-<n> with the next free n; made when its
        first phase begins.

        Raises:
            ArtifactError: `out` exists; an existing run is never overwritten.
        """
        if out is not None:
            if out.exists():
                raise ArtifactError(
                    out,
                    "must not exist yet",
                    "an existing one",
                    "choose another --out, or remove it",
                )
            return cls(out)
        # a space may have any name
        stem, n = re.sub(r"[^A-Za-z0-9_.-]+", "_", stem)[:128], 1
        while (path := Path("runs") / f"{stem}-{n}").exists():
            n += 1
        return cls(path)

    @classmethod
    def begun(cls, out: Path | None, what: str = "run") -> "RunDir":
        """The folder of a run to go on with; `what` it is called in messages.

        Raises:
            ConfigError: none is named.
            ArtifactError: it is no folder.
        """
        if out is None:
            raise ConfigError("--resume", "needs --out", "none", f"name the {what}'s folder there")
        if not out.is_dir():
            raise ArtifactError(
                out, "must be a run folder", "no such folder", "see `automtl runs list`"
            )
        return cls(out)

    @property
    def search(self) -> PhaseDir:
        return PhaseDir(self.path / "search")

    @property
    def tune(self) -> PhaseDir:
        return PhaseDir(self.path / "tune")

    def retrain(self, label: str, seed: int) -> PhaseDir:
        """The folder of one retrain: its sharing kind or architecture name, and its seed."""
        return PhaseDir(self.path / "retrain" / f"{label}-s{seed}")

    def retrains(self) -> list[PhaseDir]:
        """All retrains, by name."""
        return [PhaseDir(p.parent) for p in sorted(self.path.glob("retrain/*/manifest.json"))]


def find_phase(path: Path, kind: str) -> list[PhaseDir]:
    """The phases of one kind ("search" or "retrain") at `path`: a run folder or a phase folder
    itself.

    Raises:
        ArtifactError: there is none.
    """
    if not path.exists():
        raise ArtifactError(
            path, "must be a run folder", "no such folder", "see `automtl runs list`"
        )
    if (path / "manifest.json").exists():
        phases = [PhaseDir(path)] if (path.name == "search") == (kind == "search") else []
    elif kind == "search":
        phases = [RunDir(path).search] if RunDir(path).search.manifest.exists() else []
    else:
        phases = RunDir(path).retrains()
    for phase in phases:
        Manifest.read(phase.manifest).verify()
    if not phases:
        raise ArtifactError(path, f"must hold a {kind}", "none", f"run `automtl {kind}` first")
    return phases


def one_phase(path: Path, kind: str) -> PhaseDir:
    """The one phase of a kind at `path`.

    Raises:
        ConfigError: several fit; they are listed.
    """
    phases = find_phase(path, kind)
    if len(phases) > 1:
        raise ConfigError(
            path,
            f"must hold one {kind}",
            f"{len(phases)}",
            f"pass one of them: {', '.join(str(p.path) for p in phases)}",
        )
    return phases[0]


def run_names(runs: Iterable[Path]) -> dict[Path, str]:
    """What to call runs: their folder's name, or the path where several folders share one."""
    names = {run: run.name or run.resolve().name for run in runs}  # "." has none
    counts = Counter(names.values())
    return {run: name if counts[name] == 1 else str(run) for run, name in names.items()}
