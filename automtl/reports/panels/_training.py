"""Panels on training: learning curves, gates, calibration."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from automtl.reports.charts import Line, calibration, curves, heat
from automtl.reports.drawing.embed import embed, fill
from automtl.reports.drawing.text import clean
from automtl.reports.load import PhaseView, RunView
from automtl.reports.tables import headline, models, names_of
from automtl.runs.epoch_line import judged
from automtl.runs.rows import by_rows

_MOST_MODELS = 24


def curves_panel(runs: Sequence[RunView]) -> Markup | None:
    """Losses and each task's headline metric over epochs: of searches, and of trained models; in
    pictures of their own where the data are others.
    """
    groups: list[dict[str, Any]] = []
    searches = [run.search for run in runs if run.search is not None and run.search.lines]
    retrains = [phase for run in runs for phase in run.retrains if phase.lines]
    names = names_of(runs)
    for title, phases in (
        ("Training of the searched or given models", retrains),
        ("The supernet during the search", searches),
    ):
        same = by_rows(phases, lambda phase: (phase.data, phase.run))
        for rows, own in same:
            charts, legend = _charts(own[:_MOST_MODELS], f"training-{len(groups)}", names)
            left_out = max(len(own) - _MOST_MODELS, 0)
            if charts:  # a race trains no supernet
                where = f", on {rows}" if len(same) > 1 else ""
                groups.append(
                    {
                        "title": title + where,
                        "charts": charts,
                        "left_out": left_out,
                        "legend": legend,
                    }
                )
    return fill("charts.html", groups=groups, note="") if groups else None


def _charts(
    phases: Sequence[PhaseView], ident: str, names: Mapping[tuple[str, str], str]
) -> tuple[list[Markup], list[str]]:
    """Training loss, loss on the rows that judge, then a chart per task; and their legend."""
    tasks = list(
        dict.fromkeys(name for phase in phases for line in phase.lines for name in _tasks(line))
    )
    named = dict.fromkeys(judged(line)[0] for phase in phases for line in phase.lines)
    rows = " or ".join(name for name in named if name) or "held-out"
    kinds: list[tuple[str, Any]] = [("training loss", lambda line: line["loss"].get("total"))]
    kinds.append((f"MTL-Loss on {rows} rows", lambda line: judged(line)[1].get("loss")))
    for task in tasks:
        metric = _metric(phases, task)
        kinds.append(
            (f"{task}: {metric.replace('auc', 'AUC')} on {rows} rows", _reader(task, metric))
        )
    drawn = [
        (title, [line for phase in phases for line in _lines(phase, read, names)])
        for title, read in kinds
    ]
    legend = list(dict.fromkeys(line.name for _, lines in drawn for line in lines))
    charts = [
        embed(curves(lines, title=title, legend=legend), f"{ident}-{i}", f"{title} over epochs")
        for i, (title, lines) in enumerate(drawn)
        if lines
    ]
    return charts, legend


def _tasks(line: Mapping[str, Any]) -> Mapping[str, Any]:
    return judged(line)[1].get("tasks") or {}


def _metric(phases: Sequence[PhaseView], task: str) -> str:
    return headline(
        name for phase in phases for line in phase.lines for name in _tasks(line).get(task, {})
    )


def _reader(task: str, metric: str) -> Any:
    return lambda line: _tasks(line).get(task, {}).get(metric)


def _lines(phase: PhaseView, read: Any, names: Mapping[tuple[str, str], str]) -> list[Line]:
    """One line per part of a model (one, or one per task for ``single_task``), the best epoch
    marked.
    """
    name = names.get((phase.run, phase.label), phase.run)  # a search is called by its run
    parts: dict[tuple[str, ...], list[tuple[int, float, bool]]] = {}
    for line in phase.lines:
        value = read(line)
        if isinstance(value, int | float):
            parts.setdefault(tuple(line.get("part", ())), []).append(
                (line["epoch"] + 1, float(value), bool(line.get("best")))
            )
    best = {
        part: max((e for e, _, b in points if b), default=None) for part, points in parts.items()
    }
    suffix = {part: f" ({', '.join(part)})" if len(parts) > 1 else "" for part in parts}
    return [
        Line(name + suffix[part], [(e, v) for e, v, _ in points], best[part])
        for part, points in parts.items()
    ]


def gates_panel(runs: Sequence[RunView]) -> Markup | None:
    """Mean gate weights of the trained models at their best epoch, level by level; one seed of
    each.
    """
    groups = []
    for number, model in enumerate(models(runs)[:_MOST_MODELS]):
        sharing = _best_sharing(model.phases[0])
        charts = _gate_charts(sharing, f"gates-{number}")
        if charts:
            title = f"{model.name}, seed {model.phases[0].seed}"
            groups.append(
                {"title": title, "charts": charts, "left_out": 0, "words": _selection(sharing)}
            )
    note = (
        "Mean weight that each task or unit gives each expert, on the last rows seen in the "
        "best epoch."
    )
    return fill("charts.html", groups=groups, note=note) if groups else None


def _best_sharing(phase: PhaseView) -> Mapping[str, Any]:
    """The record of the sharing module in the best epoch."""
    best = next((line for line in reversed(phase.lines) if line.get("best")), None)
    return (best or {}).get("sharing") or {}


def _selection(sharing: Mapping[str, Any]) -> str:
    """The experts that DSelect-k's gates have settled on, and since when."""
    if "binary_step" not in sharing:
        return ""
    chosen = "; ".join(
        f"{clean(str(task), 60)}: {', '.join(map(str, experts))}"
        for task, experts in sharing.get("experts", {}).items()
    )
    step = sharing["binary_step"]
    return f"Experts with weight, {chosen}. " + (
        f"Binary since step {step:,}." if step is not None else "Not binary yet in that epoch."
    )


def _gate_charts(sharing: Mapping[str, Any], ident: str) -> list[Markup]:
    levels = sharing.get("levels", [])
    charts = []
    for i, level in enumerate(levels):
        names = [f"expert {name}" for name in level.get("experts", [])]
        columns = {
            str(unit): row
            for unit, row in level.get("weights", {}).items()
            if len(row) == len(names)
        }
        if len(names) > 1 and columns:
            title = f"level {i + 1}" if len(levels) > 1 else ""
            figure = heat(pd.DataFrame(columns, index=names), title=title)
            charts.append(
                embed(figure, f"{ident}-{i}", f"mean gate weights, {title or 'one level'}")
            )
    return charts


def calibration_panel(runs: Sequence[RunView]) -> Markup | None:
    """Mean label against mean prediction; one seed of each model."""
    charts = []
    for number, model in enumerate(models(runs)[:_MOST_MODELS]):
        tables = model.phases[0].results.get(model.split, {}).get("reliability", {})
        tables = {task: table for task, table in tables.items() if table}
        if tables:
            title = f"{model.name}, {model.split} rows"
            charts.append(
                embed(
                    calibration(tables, title=title),
                    f"calibration-{number}",
                    f"calibration of {title}",
                )
            )
    note = (
        "Rows in at most 20 even bins by prediction. Dotted line: perfect calibration. One seed of "
        "each model."
    )
    return (
        fill("charts.html", groups=[{"title": "", "charts": charts, "left_out": 0}], note=note)
        if charts
        else None
    )
