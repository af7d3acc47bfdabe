"""Figures of trained models: one per run and label, over its seeds, with intervals, as plain data
and as a data frame.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Any

import pandas as pd

from automtl.reports.load import PhaseView, RunView
from automtl.reports.names import shortest
from automtl.runs.constant import LOSS, known, lift, remarks
from automtl.runs.epoch_line import judged
from automtl.runs.rows import by_rows
from automtl.runs.stored import stored_megabytes
from automtl.statistics import half_width

# What people look at first, and whether more is better.
HEADLINES = {"auc": True, "rmse": False, "accuracy": True, "logloss": False}


@dataclass(frozen=True)
class Estimate:
    """A figure over seeds.

    Args:
        values: one per seed, in their order.
    """

    values: tuple[float, ...]

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return fmean(self.values)

    @property
    def half(self) -> float | None:
        """Half the 95% confidence interval of the mean (Student's t over seeds); None for one
        seed.
        """
        n = len(self.values)
        return None if n < 2 else half_width(stdev(self.values), n)


@dataclass(frozen=True)
class Model:
    """Trained models that differ in their seed only.

    Args:
        run: the run's name.
        label: the retrain folders' name without the seed.
        phases: the finished retrains.
        split: "test" where every model in sight has been evaluated on it, else "validation".
        name: the shortest that tells it from the other models in sight.
    """

    run: str
    label: str
    phases: tuple[PhaseView, ...]
    split: str
    name: str

    @property
    def seeds(self) -> list[int | None]:
        """The seeds."""
        return [phase.seed for phase in self.phases]

    @property
    def loss(self) -> Estimate | None:
        """MTL-Loss over seeds."""
        return _estimate([_part(phase, self.split).get("loss") for phase in self.phases])

    @property
    def tasks(self) -> list[str]:
        """The tasks that it was judged on, in their order."""
        names = [name for phase in self.phases for name in _tasks(phase, self.split)]
        return list(dict.fromkeys(names))

    def metrics(self, task: str) -> dict[str, Estimate | None]:
        """Every metric of a task over seeds; None where a seed has none."""
        by_phase = [_tasks(phase, self.split).get(task, {}) for phase in self.phases]
        names = dict.fromkeys(name for metrics in by_phase for name in metrics)
        return {name: _estimate([metrics.get(name) for metrics in by_phase]) for name in names}

    @property
    def remarks(self) -> list[str]:
        """Remarks on the model beside the constant."""
        return remarks([_part(phase, self.split) for phase in self.phases])

    @property
    def beside_constant(self) -> bool:
        """Whether its figures tell of the constant."""
        return known([_part(phase, self.split) for phase in self.phases])

    def lift(self, task: str | None = None) -> Estimate | None:
        """By which share of the constant's loss the model's lies below it, over seeds: of a task,
        or the MTL-Loss; None where a seed has no such figure.
        """
        return _estimate([lift(_part(phase, self.split), task) for phase in self.phases])

    @property
    def constant(self) -> Mapping[str, Any]:
        """The figures that tell of the constant: those of the first seed."""
        return _part(self.phases[0], self.split)

    @property
    def megabytes(self) -> float | None:
        """Megabytes of the stored model, mean over seeds; None where they are not known."""
        sizes = _estimate([stored_megabytes(phase.cost) for phase in self.phases])
        return None if sizes is None else sizes.mean

    @property
    def flops(self) -> float | None:
        """FLOPs per row, mean over seeds; None where they are not known."""
        networks = [phase.cost.get("model") for phase in self.phases]
        flops = _estimate(
            [n.get("flops_per_row") if isinstance(n, dict) else None for n in networks]
        )
        return None if flops is None else flops.mean

    def headline(self, task: str) -> tuple[str, Estimate | None]:
        """The metric of a task that people look at first."""
        metrics = self.metrics(task)
        name = headline(metrics)
        return name, metrics.get(name)


def headline(metrics: Iterable[str]) -> str:
    """Which of a task's metrics people look at first."""
    known = list(metrics)
    return next((name for name in HEADLINES if name in known), next(iter(known), "none"))


def more_is_better(metric: str) -> bool:
    """Whether a headline metric is to be large."""
    return HEADLINES.get(metric, False)


def _part(phase: PhaseView, split: str) -> Mapping[str, Any]:
    part = phase.results.get(split)
    return part if isinstance(part, dict) else {}


def _tasks(phase: PhaseView, split: str) -> Mapping[str, Any]:
    tasks = _part(phase, split).get("tasks")
    return tasks if isinstance(tasks, dict) else {}


def _estimate(values: Sequence[Any]) -> Estimate | None:
    """The figure over seeds; None where a seed has none."""
    known = [float(v) for v in values if isinstance(v, int | float)]
    return Estimate(tuple(known)) if known and len(known) == len(values) else None


def models(runs: Sequence[RunView]) -> list[Model]:
    """Every finished model, those with the smallest MTL-Loss first; models of other data stand
    apart at the end.
    """
    finished = [
        phase for run in runs for phase in run.retrains if phase.state == "done" and phase.results
    ]
    split = (
        "test" if finished and all("test" in phase.results for phase in finished) else "validation"
    )
    groups: dict[tuple[str, str], list[PhaseView]] = {}
    for phase in finished:
        groups.setdefault((phase.run, phase.label), []).append(phase)
    names = names_of(runs)
    trained = [
        Model(run, label, tuple(phases), split, names[run, label])
        for (run, label), phases in groups.items()
    ]
    return [
        model
        for _, group in of_same_rows(trained)
        for model in sorted(group, key=lambda m: m.loss.mean if m.loss else float("inf"))
    ]


def scale(estimates: Iterable[Estimate]) -> tuple[float, float]:
    """The ends of an axis that shows figures with their intervals: at least 1% of them wide, so
    that what differs by noise does not stand at opposite ends.
    """
    ends = [
        end
        for e in estimates
        for end in (*e.values, e.mean - (e.half or 0.0), e.mean + (e.half or 0.0))
    ]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    least = 0.01 * max(abs(low), abs(high)) or 1.0
    short = max(least - (high - low), 0.0)
    pad = 0.06 * max(high - low, least) + short / 2
    return low - pad, high + pad


def names_of(runs: Sequence[RunView]) -> dict[tuple[str, str], str]:
    """By run and label the shortest names that tell all trained models of some runs apart."""
    full = {(run.name, p.label): f"{run.name}: {p.label}" for run in runs for p in run.retrains}
    short = shortest(list(full.values()))
    return {key: short[name] for key, name in full.items()}


def of_same_rows(trained: Iterable[Model]) -> list[tuple[str, list[Model]]]:
    """Models by the rows that they were judged on, with these rows' names; only models of the same
    rows can be compared.
    """
    return by_rows(trained, lambda model: (model.phases[0].data, model.run))


def leaderboard(runs: Sequence[RunView]) -> pd.DataFrame:
    """One row per model, best MTL-Loss first: run, model, seeds, split, and mean and sd over seeds
    of every headline metric.
    """
    return pd.DataFrame([dict(_row(model)) for model in models(runs)])


def _row(model: Model) -> Iterator[tuple[str, Any]]:
    yield from (
        ("run", model.run),
        ("model", model.label),
        ("seeds", len(model.phases)),
        ("rows", model.split),
    )
    figures = [
        (f"{task} {name}", value) for task in model.tasks for name, value in [model.headline(task)]
    ]
    for name, estimate in [(LOSS, model.loss), *figures]:
        yield name, None if estimate is None else estimate.mean
        yield (
            f"{name} sd",
            stdev(estimate.values) if estimate is not None and len(estimate.values) > 1 else None,
        )


def supernet_row(run: RunView) -> pd.DataFrame:
    """The same table with one row: the supernet after its last epoch on the rows that the search
    judged it on; empty where there is none.
    """
    lines = run.search.lines if run.search is not None else ()
    rows, figures = judged(lines[-1]) if lines else ("", {})
    if not figures:
        return pd.DataFrame()
    by_task = {
        f"{task} {headline(metrics)}": metrics.get(headline(metrics))
        for task, metrics in figures["tasks"].items()
    }
    return pd.DataFrame(
        [
            {
                "run": run.name,
                "model": "supernet",
                "seeds": 1,
                "rows": rows,
                LOSS: figures["loss"],
                **by_task,
            }
        ]
    )
