"""Figures of tested models beside their metrics: time, size, and how many seeds would separate the
best two.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev

from automtl import files
from automtl.phases.finished.evaluate import ModelResult
from automtl.runs.constant import flagged
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
    """The difference of the best two models; None without two of a defined MTL-Loss."""
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
