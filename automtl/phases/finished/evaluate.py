"""The evaluate phase: trained models on the test rows, read once, at the end, and counted."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import numpy as np

from automtl import files
from automtl.bounds import fitting
from automtl.data.store import Store
from automtl.data.store.schema import Task
from automtl.data.store.slices import KNOWN_UNKNOWN, groups, known_slices, slices
from automtl.data.store.unknown import unknown_remarks
from automtl.errors import ArtifactError, ConfigError, need_whole
from automtl.phases.finished.open import load_net, session_of
from automtl.phases.run.faults import known_ids
from automtl.phases.run.reporter import Reporter, Silent
from automtl.runs.constant import LOSS, loss_of
from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir, find_phase, run_names
from automtl.training.metrics.evaluation import (
    Evaluation,
    Predictions,
    auc_intervals,
    evaluate,
    evaluate_slices,
)
from automtl.training.metrics.sampling import of_whole_log


@dataclass(frozen=True)
class ByKnown:
    """The test rows by whether training had their ids of a column.

    Args:
        known_rows: how many have one that the model knows.
        unknown_rows: how many have none.
        unknown_share: of all test rows.
        known: the metrics of the rows with an id that the model knows.
        unknown: of those without.
    """

    known_rows: int
    unknown_rows: int
    unknown_share: float
    known: Evaluation
    unknown: Evaluation


@dataclass(frozen=True)
class ModelResult:
    """One model on the test rows.

    Args:
        folder: its retrain folder.
        label: what to call it: the run, and the folder without its seed.
        seed: of the model.
        test: the metrics.
        reads: how many times these test rows were read for this model, this time included.
        data: its manifest's words on the data: name, source and hashes.
        slices: per value of the column asked for, the metrics of its rows.
        known: per column with unknown ids among the test rows, the metrics of rows with and without
            a known one.
    """

    folder: PhaseDir
    label: str
    seed: int
    test: Evaluation
    reads: int
    data: Mapping[str, Any]
    slices: dict[str, Evaluation] = field(default_factory=dict)
    known: dict[str, ByKnown] = field(default_factory=dict)


LEAST_RESAMPLES = 40  # 1 / 2.5%


def evaluate_runs(
    paths: Sequence[Path],
    *,
    device: str = "auto",
    by: str | None = None,
    bootstrap: int = 0,
    reporter: Reporter | None = None,
) -> list[ModelResult]:
    """Evaluate every retrained model of the named runs on its test rows.

    Args:
        paths: run folders, or retrain folders.
        device: where to run.
        by: a column to slice the test rows by.
        bootstrap: resamples for 95% intervals of AUC, of the groups that the data set names, else
            of rows; 0: none.
        reporter: told of second readings.

    Raises:
        ConfigError: too few resamples for an interval.
        ArtifactError: a folder holds no finished retrain, or its data changed since.
    """
    need_whole("--bootstrap", bootstrap, 0)
    if 0 < bootstrap < LEAST_RESAMPLES:
        rule = f"must be 0, or at least {LEAST_RESAMPLES}: of fewer there is no 2.5% to either side"
        raise ConfigError("--bootstrap", rule, bootstrap)
    reporter = reporter or Silent()
    folders = list(
        dict.fromkeys(folder for path in paths for folder in find_phase(path, "retrain"))
    )
    unfinished = [folder for folder in folders if folder.state() != "done"]
    for folder in unfinished:
        reporter.say(f"{folder.path} is {folder.state()}, left out")
    finished = [folder for folder in folders if folder not in unfinished]
    if not finished:
        raise ArtifactError(
            ", ".join(map(str, paths)),
            "must hold a finished retrain",
            "none",
            "run `automtl retrain` first",
        )
    once = _Once(reporter)
    called = run_names(folder.run for folder in finished)
    results = [
        _evaluate(folder, called[folder.run], device, by, bootstrap, once) for folder in finished
    ]
    if (most := max(result.reads for result in results)) > 1:
        reporter.say(
            f"warning: {_nth(most)} evaluation on the test rows; do not use these figures to pick "
            "a model"
        )
    return results


class _Once(Silent):
    """Passes on each sentence once, since models of one data set are told the same of it."""

    def __init__(self, reporter: Reporter) -> None:
        self._reporter, self._said = reporter, set[str]()

    def say(self, text: str) -> None:
        """Pass on what was not said yet."""
        if text not in self._said:
            self._said.add(text)
            self._reporter.say(text)


def _evaluate(
    folder: PhaseDir, run: str, device: str, by: str | None, bootstrap: int, reporter: Reporter
) -> ModelResult:
    session = session_of(folder, device, reporter)
    reporter = session.reporter
    store, batches = session.store, session.in_order("test")
    if by is not None:
        # a column that is not there is refused before the test rows count as read
        slices(store, "validation", np.arange(1), by)
    net = load_net(folder, session)
    # another evaluation of the model may be at the same files
    with files.locked(folder.path, wait=True):
        reads = Manifest.read(folder.manifest).count_test_read()
    unknown = {name: counts["test"] for name, counts in store.summary["unknown"].items()}
    for line in unknown_remarks(store.schema, unknown, store.summary["rows"]["test"], "test rows"):
        reporter.say(line)
    with known_ids(store):
        predictions, tasks = of_whole_log(session.predict(net, batches), session.schema.tasks)
    users = groups(store, "test", predictions.rows)
    test = evaluate(predictions, tasks, reliability=True, groups=users)
    if bootstrap:
        test = replace(
            test, intervals=auc_intervals(predictions, tasks, resamples=bootstrap, units=users)
        )
    parts = {}
    if by is not None:
        parts = evaluate_slices(
            predictions, tasks, *slices(store, "test", predictions.rows, by), groups=users
        )
    known = _by_known(store, predictions, tasks, users)
    with files.locked(folder.path, wait=True), fitting(folder.results):
        manifest, results = Manifest.read(folder.manifest), files.read_json(folder.results)
        if by is not None:
            results["test_by"] = {
                **results.get("test_by", {}),
                by: {name: asdict(part) for name, part in parts.items()},
            }
        by_known = {column: asdict(part) for column, part in known.items()}
        manifest.replace_file(
            folder.results, {**results, "test": asdict(test), "test_by_known_ids": by_known}
        )
    session.ranks.told(None)  # the first one has written
    label = f"{run}: {folder.path.name.rpartition('-s')[0]}"
    told = manifest.values
    return ModelResult(
        folder, label, int(told["seed"]), test, reads, told["data"], slices=parts, known=known
    )


def _by_known(
    store: Store, predictions: Predictions, tasks: Sequence[Task], users: np.ndarray | None
) -> dict[str, ByKnown]:
    """Per column with unknown ids among the test rows."""
    by_column = {}
    for column, part in known_slices(store, "test", predictions.rows).items():
        unknown = int(part.codes.sum())
        known, rest = evaluate_slices(predictions, tasks, *part, groups=users).values()
        by_column[column] = ByKnown(
            len(part.codes) - unknown, unknown, unknown / len(part.codes), known, rest
        )
    return by_column


def _nth(n: int) -> str:
    if n in (2, 3):
        return {2: "second", 3: "third"}[n]
    ending = "th" if n % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(n % 10, "th")
    return f"{n}{ending}"


def slice_rows(result: ModelResult) -> list[dict[str, Any]]:
    """One row per slice of a result: its labelled rows, each task's AUC (or RMSE), the MTL-Loss,
    and the constant's on its rows.
    """
    return [{"slice": name, **_slice_figures(part)} for name, part in result.slices.items()]


def known_rows(result: ModelResult) -> list[dict[str, Any]]:
    """Two rows per column with unknown ids among the test rows, of known and of unknown ones, as
    `slice_rows` has them.
    """
    rows = []
    for column, by in result.known.items():
        whole = by.known_rows + by.unknown_rows
        for ids, count, part in zip(
            KNOWN_UNKNOWN, (by.known_rows, by.unknown_rows), (by.known, by.unknown), strict=True
        ):
            rows.append(
                {
                    "column": column,
                    "ids": ids,
                    "rows": count,
                    "share": f"{count / whole:.1%}",
                    **_slice_figures(part),
                }
            )
    return rows


def _slice_figures(part: Evaluation) -> dict[str, Any]:
    metrics = {f"{task} {metric}": part.tasks[task][metric] for task, metric in _headline(part)}
    counts = {f"{task} rows": part.tasks[task]["rows"] for task in part.tasks}
    return {**counts, **metrics, LOSS: part.loss, "constant's": loss_of(asdict(part))}


def interval_rows(result: ModelResult) -> list[dict[str, Any]]:
    """One row per task with an AUC: its positives, AUC and 95% interval."""
    rows = []
    for task, interval in result.test.intervals.items():
        low, high = interval or (None, None)
        metrics = result.test.tasks[task]
        rows.append(
            {
                "task": task,
                "positives": metrics["positives"],
                "AUC": metrics["auc"],
                "from": low,
                "to": high,
            }
        )
    return rows


def summary(results: Sequence[ModelResult]) -> list[dict[str, Any]]:
    """One row per label: seeds, and mean and sd over them of each task's AUC (or RMSE) and of the
    MTL-Loss.
    """
    rows = []
    for label in dict.fromkeys(r.label for r in results):
        group = [r for r in results if r.label == label]
        metrics = {
            f"{task} {name}": [r.test.tasks[task][name] for r in group]
            for task, name in _headline(group[0].test)
        }
        metrics[LOSS] = [r.test.loss for r in group]
        rows.append(
            {
                "model": label,
                "seeds": [r.seed for r in group],
                **{k: _mean_sd(v) for k, v in metrics.items()},
            }
        )
    return rows


def _headline(test: Evaluation) -> list[tuple[str, str]]:
    """Per task the metrics people look at first: RMSE, or AUC and, where the data set names a
    group, GAUC.
    """
    return [
        (task, name)
        for task, metrics in test.tasks.items()
        for name in ("rmse", "auc", "gauc")
        if name in metrics
    ]


def _mean_sd(values: Sequence[float | None]) -> dict[str, float | None]:
    known = [v for v in values if v is not None]
    if len(known) < len(values):
        return {"mean": None, "sd": None}
    return {"mean": fmean(known), "sd": stdev(known) if len(known) > 1 else None}
