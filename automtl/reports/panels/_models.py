"""Panels on trained models: the verdict, and each task with intervals."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from markupsafe import Markup
from matplotlib.ticker import MaxNLocator

from automtl.reports._verdict import verdict
from automtl.reports.drawing.embed import fill
from automtl.reports.load import RunView
from automtl.reports.tables import Estimate, Model, models, more_is_better, of_same_rows, scale
from automtl.runs.constant import LOSS, loss_of, metrics_of


def verdict_panel(runs: Sequence[RunView]) -> Markup:
    """The verdict: the best model, whether that is shown, and what is not finished."""
    return fill("verdict.html", sentences=verdict(runs))


def tasks_panel(runs: Sequence[RunView]) -> Markup | None:
    """Per task every model with its headline metric, interval, seeds and lift over the constant;
    all metrics in a table that opens. Models of other rows stand by themselves, with their own
    constant.
    """
    trained = models(runs)
    if not trained:
        return None
    groups = [{"title": rows, **_group(own)} for rows, own in of_same_rows(trained)]
    return fill("tasks.html", groups=groups, split=trained[0].split)


def _group(trained: Sequence[Model]) -> dict[str, Any]:
    """Models of the same rows."""
    tasks = list(dict.fromkeys(task for model in trained for task in model.tasks))
    cards = [_card(task, trained) for task in tasks]
    losses = [_Figure(m.name, len(m.phases), m.loss, m.lift()) for m in trained]
    cards.append(
        {
            "task": LOSS,
            "metric": "mean of the tasks' losses",
            "up": False,
            **_rows(losses, up=False),
            "constant": loss_of(trained[0].constant),
        }
    )
    return {"cards": cards, "everything": _everything(trained, tasks)}


class _Figure(NamedTuple):
    """A model's figure in a card."""

    name: str
    seeds: int
    estimate: Estimate | None
    lift: Estimate | None


def _card(task: str, trained: Sequence[Model]) -> dict[str, Any]:
    judged = [model for model in trained if task in model.tasks]
    metric = judged[0].headline(task)[0]
    figures = [_Figure(m.name, len(m.phases), m.headline(task)[1], m.lift(task)) for m in judged]
    up = more_is_better(metric)
    constant = metrics_of(judged[0].constant).get(task, {}).get(metric)
    name = metric.upper() if metric in ("auc", "rmse") else metric
    return {"task": task, "metric": name, "up": up, **_rows(figures, up=up), "constant": constant}


def _rows(figures: Sequence[_Figure], *, up: bool) -> dict[str, Any]:
    """Rows for one metric, best first, with where their dots and bars stand on the common scale (0
    to 100), and the scale's ticks.
    """
    low, high = scale(e for f in figures if (e := f.estimate) is not None)

    def place(value: float) -> float:
        return 100 * (value - low) / (high - low)

    def worth(figure: _Figure) -> float:
        if figure.estimate is None:
            return float("inf")
        return -figure.estimate.mean if up else figure.estimate.mean

    rows = [_row(figure, place) for figure in sorted(figures, key=worth)]
    ticks = [(place(t), f"{t:.6g}") for t in MaxNLocator(nbins=3).tick_values(low, high)]
    return {"rows": rows, "ticks": [(at, text) for at, text in ticks if 8 <= at <= 92]}


def _row(figure: _Figure, place: Callable[[float], float]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": figure.name, "seeds": figure.seeds, "lift": figure.lift}
    estimate = figure.estimate
    if estimate is None:
        return row | {"mean": None, "half": None, "dots": [], "bar": None}
    half = estimate.half
    bar = None if half is None else (place(estimate.mean - half), place(estimate.mean + half))
    return row | {
        "mean": estimate.mean,
        "half": half,
        "at": place(estimate.mean),
        "dots": [place(value) for value in estimate.values],
        "bar": bar,
    }


def _everything(trained: Sequence[Model], tasks: Sequence[str]) -> list[dict[str, Any]]:
    """Every metric of every task and model."""
    tables = []
    for task in tasks:
        pairs = [(model, model.metrics(task)) for model in trained if task in model.tasks]
        names = list(dict.fromkeys(name for _, metrics in pairs for name in metrics))
        rows = [(model.name, [metrics.get(name) for name in names]) for model, metrics in pairs]
        tables.append({"task": task, "names": names, "rows": rows})
    return tables
