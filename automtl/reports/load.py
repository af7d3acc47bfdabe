"""What a report is made of: runs as their files tell them, whole or not.

A report must open whatever state a run is in, so a file that is absent or torn becomes a remark,
never an error.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from automtl import files
from automtl.bounds import parse_json
from automtl.errors import ArtifactError, AutoMTLError
from automtl.reports.drawing.facts import Part
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, RunDir
from automtl.spaces.architecture import Architecture, learned

_MAX_BYTES = 256 * 2**20
Read = TypeVar("Read")


@dataclass(frozen=True)
class FieldImportance:
    """Which fields a trained model draws on.

    Args:
        rows: validation rows that it was judged on.
        whole: how many there are.
        repeats: shuffles of each field.
        table: per task and field the rise of the task's loss and its 95% interval: columns task,
            field, rise, low, high; the largest rise of a task first.
    """

    rows: int
    whole: int
    repeats: int
    table: pd.DataFrame


@dataclass(frozen=True)
class PhaseView:
    """One phase as its files tell it.

    Args:
        folder: where it lies.
        run: the name of its run.
        name: "search", or the folder of a retrain such as "selected-s0".
        manifest: command, machine, data, state; empty where it cannot be read.
        lines: of metrics.jsonl, one per epoch.
        architecture: derived or trained; None where there is none yet.
        results: validation and test figures of a finished retrain; empty before.
        cost: seconds, samples, parameters; empty before the end.
        alphas, betas: of a search, one row per epoch and weight; empty frames elsewhere.
        front: what `automtl pareto` left in a search's folder; empty elsewhere.
        config: the resolved settings as YAML text.
        remarks: what could not be read.
        parts: what each part of the architecture costs, where someone counted it.
        importance: of its fields, where someone asked for it.
    """

    folder: Path
    run: str
    name: str
    manifest: dict[str, Any] = field(default_factory=dict)
    lines: Sequence[dict[str, Any]] = ()
    architecture: Architecture | None = None
    results: dict[str, Any] = field(default_factory=dict)
    cost: dict[str, Any] = field(default_factory=dict)
    alphas: pd.DataFrame = field(default_factory=pd.DataFrame)
    betas: pd.DataFrame = field(default_factory=pd.DataFrame)
    front: dict[str, Any] = field(default_factory=dict)
    config: str = ""
    remarks: Sequence[str] = ()
    parts: Mapping[str, Part] = field(default_factory=dict)
    importance: FieldImportance | None = None

    @property
    def is_search(self) -> bool:
        """Whether it is a search, not a retrain."""
        return self.name == "search"

    @property
    def learned(self) -> bool:
        """Whether its alphas, if there are some, were learned. Of random draws, and of paths, each
        epoch is one architecture, the best so far, with weights 0 and 1; a race need not take it.
        """
        return self.alphas.empty or learned(set(self.alphas.weight))

    @property
    def state(self) -> str:
        """running, done, time_limited, interrupted, failed, or unreadable."""
        return str(self.manifest.get("state", "unreadable"))

    @property
    def label(self) -> str:
        """The label that models with different seeds share: the folder's name without its seed."""
        return self.name.rpartition("-s")[0] or self.name

    @property
    def seed(self) -> int | None:
        """The seed, where the manifest tells it."""
        return self.manifest.get("seed")

    @property
    def data(self) -> dict[str, Any]:
        """Name, source and hashes of the data."""
        data = self.manifest.get("data")
        return data if isinstance(data, dict) else {}


@dataclass(frozen=True)
class RunView:
    """A run with its phases, the search first, and the study that `automtl tune` made in it, if
    any.
    """

    path: Path
    name: str
    phases: Sequence[PhaseView]
    study: PhaseView | None = None

    @property
    def everything(self) -> list[PhaseView]:
        """Its phases, and its study's."""
        return [*self.phases, *([self.study] if self.study else [])]

    @property
    def search(self) -> PhaseView | None:
        """Its search; None for a run of a hand-made model."""
        return next((phase for phase in self.phases if phase.is_search), None)

    @property
    def retrains(self) -> list[PhaseView]:
        """Its trained models."""
        return [phase for phase in self.phases if not phase.is_search]


def load_runs(paths: Sequence[Path]) -> list[RunView]:
    """Read runs, each once, under names that tell them apart: the folder's, or the path where
    several folders share one.

    Raises:
        ArtifactError: there is no such folder, or no phase in it.
    """
    views = [load_run(path) for path in dict.fromkeys(paths)]
    shared = {view.name for view in views if sum(other.name == view.name for other in views) > 1}
    return [_renamed(view, str(view.path)) if view.name in shared else view for view in views]


def _renamed(view: RunView, name: str) -> RunView:
    return replace(view, name=name, phases=[replace(phase, run=name) for phase in view.phases])


def load_run(path: Path) -> RunView:
    """Read a run's folder, or one phase folder, as far as it can be read.

    Raises:
        ArtifactError: there is no such folder, or no phase in it.
    """
    if path.name == "tune" and (path / "manifest.json").exists():
        return load_run(path.parent)
    if (path / "manifest.json").exists():
        run = path.resolve().parent if path.name == "search" else path.resolve().parent.parent
        return RunView(path, run.name, [load_phase(PhaseDir(path), run.name)])
    run_dir = RunDir(path)
    phases = ([run_dir.search] if run_dir.search.manifest.exists() else []) + run_dir.retrains()
    name = path.resolve().name
    study = load_phase(run_dir.tune, name) if run_dir.tune.manifest.exists() else None
    if study is not None and study.remarks:
        study = replace(study, results={})  # figures that may be anybody's
    if not phases and study is None:
        got = "no phase in it" if path.is_dir() else "no such folder"
        raise ArtifactError(path, "must be a run folder", got, "see `automtl runs list`")
    return RunView(path, name, [load_phase(phase, name) for phase in phases], study)


def load_phase(phase: PhaseDir, run: str) -> PhaseView:
    """Read one phase as far as it can be read."""
    reader = _Reader()
    reader.verify(phase)
    return PhaseView(
        folder=phase.path,
        run=run,
        name=phase.path.name,
        manifest=reader.read(phase.manifest, _mapping, {}),
        lines=reader.read(phase.metrics, lambda path: _lines(path, reader.remarks), []),
        architecture=reader.read(phase.architecture, Architecture.load, None),
        results=reader.read(phase.results, _mapping, {}),
        cost=reader.read(phase.cost, _mapping, {}),
        alphas=reader.read(phase.alphas, _frame, pd.DataFrame()),
        betas=reader.read(phase.betas, _frame, pd.DataFrame()),
        front=reader.read(phase.front, _mapping, {}),
        config=reader.read(phase.config, lambda path: path.read_text(encoding="utf-8"), ""),
        remarks=reader.remarks,
    )


class _Reader:
    """Reads files that may be absent (quietly) or damaged (with a remark)."""

    def __init__(self) -> None:
        self.remarks: list[str] = []

    def verify(self, phase: PhaseDir) -> None:
        """A remark where a file is not as it was written."""
        try:
            Manifest.read(phase.manifest).verify()
        except AutoMTLError as error:
            self.remarks.append(str(error)[:300])

    def read(self, path: Path, how: Callable[[Path], Read], otherwise: Read) -> Read:
        if not path.is_file():
            return otherwise
        try:
            if path.stat().st_size > _MAX_BYTES:
                raise ArtifactError(path, "must be at most 256 MiB", f"{path.stat().st_size} bytes")
            return how(path)
        except (AutoMTLError, OSError, ValueError, pa.ArrowException) as error:
            self.remarks.append(f"{path.name} cannot be read: {' '.join(str(error).split())[:300]}")
            return otherwise


def _mapping(path: Path) -> dict[str, Any]:
    value = files.read_json(path)
    if not isinstance(value, dict):
        raise ArtifactError(path, "must hold a mapping", type(value).__name__)
    return value


def _frame(path: Path) -> pd.DataFrame:
    frame: pd.DataFrame = pq.read_table(path).to_pandas()
    return frame


def _lines(path: Path, remarks: list[str]) -> list[dict[str, Any]]:
    """All whole lines; the torn last line of a run that is being written, or was killed, is left
    out.
    """
    whole = path.read_bytes().split(b"\n")[:-1]
    lines = []
    for number, line in enumerate(whole, 1):
        try:
            value = parse_json(line)
            if not (
                isinstance(value, dict)
                and isinstance(value.get("epoch"), int)
                and isinstance(value.get("loss"), dict)
            ):
                raise ValueError("not the line of an epoch")
            lines.append(value)
        except (ValueError, RecursionError) as error:
            remarks.append(f"{path.name}, line {number} cannot be read: {error}")
    return lines
