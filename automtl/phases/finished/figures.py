"""Figures of tested models beside their metrics: which of them can be compared, the constant, time,
size, and how many seeds would separate the best two.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any

from automtl import files
from automtl.phases.finished.evaluate import ModelResult
from automtl.reports.names import shortest
from automtl.runs.constant import LOSS, flagged, loss_of, metrics_of, remarks
from automtl.runs.rows import by_rows
from automtl.runs.run_dir import run_names
from automtl.runs.stored import stored_parts
from automtl.statistics import seeds_needed, welch


@dataclass(frozen=True)
class Gap:
    """The MTL-Loss of the second best model less that of the best.

    Args:
        best: the best model's label.
        second: the other one's.
        difference: of the means.
        interval: 95% confidence interval of it; None where one has fewer than two seeds.
        needed: seeds of each that would show a difference of this size in four of five trials;
            None where it is shown, no number would show it, or nothing is known of seeds.
    """

    best: str
    second: str
    difference: float
    interval: tuple[float, float] | None
    needed: int | None

    @property
    def shown(self) -> bool:
        """Whether the interval leaves out 0."""
        return self.interval is not None and not self.interval[0] <= 0 <= self.interval[1]


def best_gap(results: Sequence[ModelResult]) -> Gap | None:
    """The difference of the best two models; None without two of a defined MTL-Loss, or where not
    all were read on the same test rows.
    """
    if len(of_same_rows(results)) > 1:
        return None
    losses: dict[str, list[float]] = {}
    for label, group in by_label(results).items():
        known = [r.test.loss for r in group if r.test.loss is not None]
        if len(known) == len(group):
            losses[label] = known
    if len(losses) < 2:
        return None
    best, second = sorted(losses, key=lambda label: fmean(losses[label]))[:2]
    pair = losses[second], losses[best]
    test = welch(*pair)
    difference = fmean(pair[0]) - fmean(pair[1])
    if test is None:
        return Gap(best, second, difference, None, None)
    gap = Gap(best, second, difference, (test.low, test.high), None)
    if gap.shown:
        return gap
    needed = seeds_needed(difference, (stdev(pair[0]), stdev(pair[1])))
    return Gap(best, second, difference, gap.interval, needed)


def of_same_rows(results: Sequence[ModelResult]) -> list[tuple[str, list[ModelResult]]]:
    """The models by the test rows that they were read on, with these rows' names; only models of
    the same rows can be compared.
    """
    called = run_names(r.folder.run for r in results)
    return by_rows(results, lambda r: (r.data, called[r.folder.run]))


def apart(results: Sequence[ModelResult]) -> str:
    """That models were read on different test rows, in one sentence; "" where all were read on the
    same.
    """
    groups = of_same_rows(results)
    if len(groups) < 2:
        return ""
    names = shortest(list(by_label(results)))
    said = [
        f"{', '.join(dict.fromkeys(names[r.label] for r in group))} on {rows}"
        for rows, group in groups
    ]
    return (
        "these models were read on different test rows and cannot be compared with each other: "
        + "; ".join(said)
    )


def constants(results: Sequence[ModelResult]) -> list[dict[str, Any]]:
    """One row per group of `of_same_rows`, like those of `summary`: the best constant, predicting
    the base rates of the training rows.
    """
    groups = of_same_rows(results)
    return [
        {
            "model": "constant" if len(groups) == 1 else f"constant on {rows}",
            "seeds": [],
            **_constant(asdict(group[0].test)),
        }
        for rows, group in groups
    ]


def _constant(figures: Mapping[str, Any]) -> dict[str, dict[str, float | None]]:
    metrics = {
        f"{task} {metric}": value
        for task, by_metric in metrics_of(figures).items()
        for metric, value in by_metric.items()
    }
    known = {**metrics, LOSS: loss_of(figures)}
    return {key: {"mean": value, "sd": None} for key, value in known.items()}


def verdicts(results: Sequence[ModelResult]) -> list[str]:
    """Which models cannot be compared, and remarks on the models beside the constant, a sentence
    each.
    """
    said = [
        f"{label}: {remark}"
        for label, group in by_label(results).items()
        for remark in remarks([asdict(r.test) for r in group])
    ]
    return [between, *said] if (between := apart(results)) else said


def by_label(results: Sequence[ModelResult]) -> dict[str, list[ModelResult]]:
    """The seeds of each model."""
    labels = dict.fromkeys(r.label for r in results)
    return {label: [r for r in results if r.label == label] for label in labels}


def training_seconds(results: Sequence[ModelResult]) -> dict[str, float]:
    """Per label the seconds of a training, mean over seeds."""
    return {
        label: fmean(float(files.read_json(r.folder.cost)["seconds"]) for r in group)
        for label, group in by_label(results).items()
    }


def beside_constant(results: Sequence[ModelResult]) -> dict[str, dict[str, list[str]]]:
    """Per label in what it is not better than the constant (see `runs/constant.py`)."""
    return {
        label: flagged([asdict(r.test) for r in group])
        for label, group in by_label(results).items()
    }


def stored_sizes(results: Sequence[ModelResult]) -> dict[str, dict[str, float]]:
    """Per label the megabytes of each part of its stored models, mean over seeds; empty for those
    trained before sizes were kept.
    """
    sizes: dict[str, dict[str, float]] = {}
    for label, group in by_label(results).items():
        stored = [stored_parts(files.read_json(r.folder.cost)) for r in group]
        sizes[label] = {
            part: sum(f[part] for f in stored) / len(stored)
            for part in stored[0]
            if all(part in f for f in stored)
        }
    return sizes
