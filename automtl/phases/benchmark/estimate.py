"""Estimates how long a table takes on this machine, from a few timed steps per stratum and
hand-made model.
"""

import time
from collections.abc import Mapping, Sequence
from statistics import median

import torch

from automtl.benchmarks.tables import CONSTANT
from automtl.phases.benchmark._draw import Entry
from automtl.phases.benchmark._plan import FRESH_SEEDS, GROUP, Job, Plan
from automtl.phases.benchmark._rows import TableRows
from automtl.phases.benchmark._train import FRACTIONS
from automtl.phases.run.alone import Model

_TIMED = 3


def seconds_by_entry(plan: Plan, rows: TableRows) -> dict[str, float]:
    """The seconds of one training of each architecture; test rows are not counted, and none is
    read.
    """
    timed: dict[tuple[str, str], float] = {}
    for entry in plan.entries:
        if (kind := _alike(entry)) not in timed:
            timed[kind] = 0.0 if entry.kind == CONSTANT else _seconds(entry, rows)
    return {entry.id: timed[_alike(entry)] for entry in plan.entries}


def _alike(entry: Entry) -> tuple[str, str]:
    return (
        (entry.kind, entry.stratum or entry.name)
        if entry.stratum or entry.kind != "drawn"
        else (entry.kind, "")
    )


def _seconds(entry: Entry, rows: TableRows) -> float:
    """A warm-up step and a few timed ones on fit rows, and a forward pass over a batch of them."""
    model, batches = Model(entry.architecture, rows.session, 0), rows.training(0)
    steps, passes = list[float](), list[float]()
    size = 0
    for number, batch in enumerate(batches.cycle()):
        begun = time.perf_counter()
        model.step(batch.to(rows.session.device))
        middle = time.perf_counter()
        model.net.eval()
        with torch.inference_mode():
            model.net(batch.to(rows.session.device).inputs)
        model.net.train()
        if number:
            steps.append(middle - begun)
            passes.append(time.perf_counter() - middle)
            size = len(batch)
        if number == _TIMED:
            break
    marks = rows.settings.epochs + len(FRACTIONS)
    judged = sum(count for role, count in rows.counts().items() if role != "fit")
    return (
        median(steps) * len(batches) * rows.settings.epochs + median(passes) / size * judged * marks
    )


def total_seconds(jobs: Sequence[Job], by_entry: Mapping[str, float]) -> float:
    """The seconds of some trainings in one process."""
    return sum(by_entry[job.entry.id] for job in jobs)


def fresh_seconds(plan: Plan, by_entry: Mapping[str, float]) -> float:
    """About what the best and the random group take, of which nothing is known yet: as the drawn
    architectures in the median.
    """
    drawn = [by_entry[entry.id] for entry in plan.entries if entry.kind == "drawn"]
    return 2 * GROUP * len(FRESH_SEEDS) * median(drawn)


def duration(seconds: float) -> str:
    """A duration for people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
