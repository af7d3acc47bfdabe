"""Finished runs judged from Python, by the commands' own code: the test rows, comparisons, the
supernet's order, the front of score and cost.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import pandas as pd

from automtl.api._progress import Listening
from automtl.api._wording import speaks_python
from automtl.api.answers import Answer
from automtl.data.access.paths import home
from automtl.errors import ConfigError
from automtl.phases.finished.compare import Comparison
from automtl.phases.finished.compare import compare as _compare
from automtl.phases.finished.evaluate import (
    ModelResult,
    evaluate_runs,
    interval_rows,
    known_rows,
    slice_rows,
    summary,
)
from automtl.phases.finished.figures import constants, of_same_rows, stored_sizes, verdicts
from automtl.phases.finished.pareto import pareto as _pareto
from automtl.phases.finished.rank import rank as _rank
from automtl.phases.run.reporter import Reporter


@runtime_checkable
class OnDisk(Protocol):
    """A result, or several, in folders."""

    @property
    def folders(self) -> tuple[Path, ...]:
        """Run folders, or phase folders inside them."""


Runs = str | Path | OnDisk | Sequence[Any]


def folders_of(*runs: Runs) -> list[Path]:
    """The folders of runs, results, paths and lists of them, each once.

    Raises:
        ConfigError: something else, or nothing.
    """
    folders = list(dict.fromkeys(path for run in runs for path in _each(run)))
    if not folders:
        raise ConfigError("runs", "must name a run", "none", 'for example "runs/first"')
    return folders


def folder_of(run: Runs) -> Path:
    """The one folder of a run.

    Raises:
        ConfigError: several.
    """
    folders = folders_of(run)
    if len(folders) > 1:
        raise ConfigError(
            "run", "must be one", f"{len(folders)} of them", "choose one, as models[0]"
        )
    return folders[0]


def _each(run: Runs) -> Iterator[Path]:
    if isinstance(run, str | Path):
        yield Path(home(run))
    elif isinstance(run, OnDisk):
        yield from run.folders
    elif isinstance(run, Sequence):
        for one in run:
            yield from _each(one)
    else:
        raise ConfigError("runs", "must be results or paths of runs", type(run).__name__)


@speaks_python
def evaluate(
    *runs: Runs,
    by: str | None = None,
    bootstrap: int = 0,
    device: str = "auto",
    verbose: bool | None = None,
    reporter: Reporter | None = None,
) -> Answer:
    """Trained models on the test rows, read once and counted, beside the constant.

    >>> automtl.evaluate(models).frame["model"].tolist()
    ['mine: selected', 'constant']

    Args:
        runs: results of `retrain`, or paths of runs.
        by: a column to slice the test rows by, of the data set's `keep`.
        bootstrap: resamples for 95% intervals of AUC, say 1000.
        device: where to run.
        verbose: whether to show progress; default in terminals and notebooks.
        reporter: told how it goes on, in place of a bar.
    """
    with Listening(verbose, reporter) as listener:
        results = evaluate_runs(
            folders_of(*runs), device=device, by=by, bootstrap=bootstrap, reporter=listener
        )
    several = len(of_same_rows(results)) > 1
    return Answer(
        f"{'different test rows, not to be compared;' if several else 'test rows,'} mean and sd "
        "over seeds",
        _models(results),
        tuple(verdicts(results)),
        {
            name: frame
            for name, frame in (
                ("seeds", _seeds(results)),
                ("intervals", _joined(results, interval_rows)),
                ("known_ids", _joined(results, known_rows)),
                ("slices", _joined(results, slice_rows)),
            )
            if not frame.empty
        },
        results,
    )


def _models(results: Sequence[ModelResult]) -> pd.DataFrame:
    sizes, groups = stored_sizes(results), of_same_rows(results)
    pairs = zip(groups, constants(results), strict=True)
    rows = []
    for row in (row for (_, group), own in pairs for row in (*summary(group), own)):
        plain: dict[str, Any] = {"model": row["model"], "seeds": len(row["seeds"])}
        for metric, value in row.items():
            if isinstance(value, Mapping):
                plain |= {metric: value["mean"], f"{metric} sd": value["sd"]}
        stored = sizes.get(row["model"], {})
        rows.append(plain | {"MB": sum(stored.values()) if stored else None})
    return pd.DataFrame(rows).dropna(axis="columns", how="all")


def _seeds(results: Sequence[ModelResult]) -> pd.DataFrame:
    """A row per model and seed."""
    return pd.DataFrame(
        [
            {"model": r.label, "seed": r.seed, "MTL-Loss": r.test.loss, "test_reads": r.reads}
            | {
                f"{task} {name}": value
                for task, metrics in r.test.tasks.items()
                for name, value in metrics.items()
            }
            for r in results
        ]
    )


def _joined(results: Sequence[ModelResult], rows_of: Any) -> pd.DataFrame:
    rows = [{"model": r.label, "seed": r.seed, **row} for r in results for row in rows_of(r)]
    return pd.DataFrame(rows)


@speaks_python
def compare(*runs: Runs, margin: float | None = None) -> Answer:
    """Trained models side by side, with tests over their seeds and the verdict in words; what is
    compared is what the runs hold, test figures where all models have been evaluated.

    >>> comparison = automtl.compare(models, plain)
    >>> comparison.details["tests"].columns[:3].tolist()
    ['model', 'metric', 'reference']

    Args:
        runs: results of `retrain`, or paths of runs.
        margin: by how much more MTL-Loss a model counts as worse; default 1.5 pooled standard
            deviations between seeds.
    """
    return compared(_compare(folders_of(*runs), margin=margin))


def compared(comparison: Comparison) -> Answer:
    """A comparison as an answer."""
    rows = []
    for entry in comparison.entries:
        row: dict[str, Any] = {"model": entry.name, "mark": ", ".join(entry.marks)}
        row["seeds"] = len(entry.seeds(comparison.split))
        for metric in comparison.metrics:
            row |= {metric: entry.mean(comparison.split, metric)}
            row |= {f"{metric} sd": entry.sd(comparison.split, metric)}
        rows.append(row)
    if comparison.constant:
        rows.append(
            {"model": "constant", "mark": "training base rates", "seeds": 0, **comparison.constant}
        )
    tests = [
        {"model": name, **asdict(test)} for name, own in comparison.tests.items() for test in own
    ]
    costs = [
        {"model": entry.name, "phase": phase, **spent}
        for entry in comparison.entries
        for phase, spent in entry.cost.items()
    ]
    said = [f"{entry.name}: {comparison.verdict(entry)}" for entry in comparison.entries]
    for name, tasks in comparison.negative_transfer.items():
        hurt = [f"{task} ({flag})" for task, flag in tasks.items() if flag != "no"]
        said += [f"{name}: negative transfer: {', '.join(hurt)}"] if hurt else []
    trainings = pd.DataFrame(comparison.trainings).rename_axis("model").reset_index()
    details = {"tests": pd.DataFrame(tests), "costs": pd.DataFrame(costs), "trainings": trainings}
    return Answer(
        f"{comparison.split} rows, mean and sd over seeds",
        pd.DataFrame(rows).dropna(axis="columns", how="all"),
        (*said, *(f"note: {note}" for note in comparison.notes)),
        {name: frame for name, frame in details.items() if not frame.empty},
        comparison,
    )


@speaks_python
def rank(
    run: Runs,
    *,
    samples: int = 12,
    epochs: int = 1,
    seed: int = 0,
    device: str = "auto",
    verbose: bool | None = None,
    reporter: Reporter | None = None,
) -> Answer:
    """Whether a searched supernet orders architectures as training them alone does.

    >>> ranking = automtl.rank(found, samples=3)
    >>> ranking.frame.columns.tolist()
    ['supernet', 'alone']

    Args:
        run: a searched run, or its path.
        samples: architectures sampled from the space.
        epochs: of each brief training.
        seed: of the samples and of their weights.
        device: where to run.
        verbose: whether to show progress; default in terminals and notebooks.
        reporter: told how it goes on, in place of a bar.
    """
    with Listening(verbose, reporter) as listener:
        ranking = _rank(
            folder_of(run),
            samples=samples,
            epochs=epochs,
            seed=seed,
            device=device,
            reporter=listener,
        )
    if ranking.tau is None or ranking.interval is None:
        said = ["Kendall's tau undefined: all are alike on one side"]
    else:
        low, high = ranking.interval
        said = [
            f"Kendall's tau {ranking.tau:+.2f} (95% {low:+.2f} .. {high:+.2f}, p {ranking.p:.3g})"
        ]
        if low <= 0 <= high:
            said.append("the supernet is not shown to order architectures as training them does")
    said.append(f"regret of its first choice: {ranking.regret:.5f}")
    frame = pd.DataFrame({"supernet": ranking.supernet, "alone": ranking.alone})
    title = (
        f"MTL-Loss: supernet on {ranking.rows[0]:,} alpha rows, alone on {ranking.rows[1]:,} others"
    )
    return Answer(title, frame, said, source=ranking)


@speaks_python
def pareto(
    run: Runs,
    *,
    points: int = 8,
    of: str = "flops",
    device: str = "auto",
    verbose: bool | None = None,
    reporter: Reporter | None = None,
) -> Answer:
    """The best architecture under each limit of a cost, from one trained supernet.

    >>> front = automtl.pareto(found, points=3)
    >>> smallest = front.source[0].architecture

    Args:
        run: a searched run, or its path.
        points: limits of the sweep; those that change nothing are left out.
        of: which cost is limited: "flops", "parameters" or "latency" (measured here).
        device: where to run.
        verbose: whether to show progress; default in terminals and notebooks.
        reporter: told how it goes on, in place of a bar.
    """
    with Listening(verbose, reporter) as listener:
        front = _pareto(folder_of(run), points=points, of=of, device=device, reporter=listener)
    rows = [{"file": str(p.path), **p.cost, "score": p.score} for p in front]
    said = ["score: sum of log softmax(alpha) and log softmax(beta); retrain a file to judge it"]
    return Answer("best architectures, cheapest first", pd.DataFrame(rows), said, source=front)
