"""Panels on trained models: the verdict, and each task with intervals."""

from collections.abc import Sequence
from typing import Any

from markupsafe import Markup

from automtl.reports._verdict import verdict
from automtl.reports.drawing.embed import fill
from automtl.reports.load import RunView
from automtl.reports.tables import Estimate, Model, models, more_is_better


def verdict_panel(runs: Sequence[RunView]) -> Markup:
    """The verdict: the best model, whether that is shown, and what is not finished."""
    return fill("verdict.html", sentences=verdict(runs))


def tasks_panel(runs: Sequence[RunView]) -> Markup | None:
    """Per task every model with its headline metric, interval and seeds; all metrics in a table
    that opens.
    """
    trained = models(runs)
    if not trained:
        return None
    tasks = list(dict.fromkeys(task for model in trained for task in model.tasks))
    several = len(runs) > 1
    cards = [_card(task, trained, several) for task in tasks]
    loss = [(_name(model, several), model.loss, len(model.phases)) for model in trained]
    cards.append(
        {
            "task": "MTL-Loss",
            "metric": "mean of the tasks' losses",
            "rows": _rows(loss, better_high=False),
            "up": False,
        }
    )
    return fill(
        "tasks.html",
        cards=cards,
        everything=_everything(trained, tasks, several),
        split=trained[0].split,
    )


def _name(model: Model, several: bool) -> str:
    return model.name if several else model.label


def _card(task: str, trained: Sequence[Model], several: bool) -> dict[str, Any]:
    judged = [model for model in trained if task in model.tasks]
    metric = judged[0].headline(task)[0]
    figures = [
        (_name(model, several), model.headline(task)[1], len(model.phases)) for model in judged
    ]
    up = more_is_better(metric)
    name = metric.upper() if metric in ("auc", "rmse") else metric
    return {"task": task, "metric": name, "rows": _rows(figures, better_high=up), "up": up}


def _rows(
    figures: Sequence[tuple[str, Estimate | None, int]], *, better_high: bool
) -> list[dict[str, Any]]:
    """Rows for one metric, best first, with where their dots and bars stand on the common scale (0
    to 100).
    """
    known = [e for _, e, _ in figures if e is not None]
    ends = [
        end
        for e in known
        for end in (*e.values, e.mean - (e.half or 0.0), e.mean + (e.half or 0.0))
    ]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    pad = 0.06 * (high - low) or 1.0

    def place(value: float) -> float:
        return 100 * (value - low + pad) / (high - low + 2 * pad)

    ordered = sorted(
        figures,
        key=lambda f: float("inf") if f[1] is None else (-f[1].mean if better_high else f[1].mean),
    )
    return [
        _row(name, estimate, seeds, place, best=i == 0 and estimate is not None)
        for i, (name, estimate, seeds) in enumerate(ordered)
    ]


def _row(
    name: str, estimate: Estimate | None, seeds: int, place: Any, *, best: bool
) -> dict[str, Any]:
    row: dict[str, Any] = {
        "name": name,
        "seeds": seeds,
        "best": best,
        "mean": None,
        "half": None,
        "dots": [],
        "bar": None,
    }
    if estimate is None:
        return row
    half = estimate.half
    row |= {
        "mean": estimate.mean,
        "half": half,
        "at": place(estimate.mean),
        "dots": [place(value) for value in estimate.values],
    }
    if half is not None:
        row["bar"] = (place(estimate.mean - half), place(estimate.mean + half))
    return row


def _everything(
    trained: Sequence[Model], tasks: Sequence[str], several: bool
) -> list[dict[str, Any]]:
    """Every metric of every task and model."""
    tables = []
    for task in tasks:
        pairs = [(model, model.metrics(task)) for model in trained if task in model.tasks]
        names = list(dict.fromkeys(name for _, metrics in pairs for name in metrics))
        rows = [
            (_name(model, several), [metrics.get(name) for name in names])
            for model, metrics in pairs
        ]
        tables.append({"task": task, "names": names, "rows": rows})
    return tables
