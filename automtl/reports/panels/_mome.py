"""Panel on masked experts: what the masks have become, what is left, and what rounding them cost
(Xu et al. 2024, Fig. 2 and 3).
"""

from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Any

from markupsafe import Markup

from automtl.reports.charts import Line, chart, curves, dress
from automtl.reports.drawing.colours import TASKS
from automtl.reports.drawing.embed import embed, fill
from automtl.reports.load import PhaseView, RunView
from automtl.reports.tables import models

_MOST_MODELS = 24
_PARTS = 12  # of a histogram: 0, ten between, 1


def mome_panel(runs: Sequence[RunView]) -> Markup | None:
    """Of every model whose experts are masks, one seed: entries' values before rounding, megabytes
    and live share over epochs.
    """
    groups = []
    for number, model in enumerate(models(runs)[:_MOST_MODELS]):
        phase = model.phases[0]
        charts = _charts(phase, f"mome-{number}")
        if charts:
            title = f"{model.name if len(runs) > 1 else model.label}, seed {phase.seed}"
            groups.append({"title": title, "words": _words(phase), "charts": charts, "left_out": 0})
    note = (
        "Experts here are masks over one base network; megabytes are those of the stored "
        "experts and gates."
    )
    return fill("charts.html", groups=groups, note=note) if groups else None


def _masks(line: Mapping[str, Any]) -> Mapping[str, Any]:
    sharing = line.get("sharing")
    masks = sharing.get("masked") if isinstance(sharing, dict) else None
    return masks if isinstance(masks, dict) else {}


def _charts(phase: PhaseView, ident: str) -> list[Markup]:
    charts = []
    for name, title in (
        ("neurons_histogram", "neuron masks at the end of their phase"),
        ("histogram", "weight masks before rounding"),
    ):
        histograms = [
            _masks(line).get(name) for line in phase.lines if line.get("phase") != "fine-tuning"
        ]
        shares = next(
            (h for h in reversed(histograms) if isinstance(h, list) and len(h) == _PARTS), None
        )
        if shares:
            charts.append(_bars(shares, f"{ident}-{name}", title))
    for name, title in (
        ("megabytes", "megabytes of experts and gates"),
        ("live", "share of weights that some mask keeps"),
    ):
        points = [(line["epoch"] + 1, _masks(line).get(name)) for line in phase.lines]
        known = [(epoch, float(value)) for epoch, value in points if isinstance(value, int | float)]
        if known:
            best = next(
                (line["epoch"] + 1 for line in reversed(phase.lines) if line.get("best")), None
            )
            figure = curves([Line(f"{known[-1][1]:.3g}", known, best)], title=title)
            charts.append(embed(figure, f"{ident}-{name}", f"{title} over epochs"))
    return charts


def _bars(shares: Sequence[float], ident: str, title: str) -> Markup:
    """A histogram with the exact 0s and 1s apart."""
    figure, axes = chart(340, 200, title)
    axes.bar(range(_PARTS), shares, color=TASKS[0], width=0.8)
    axes.set_xticks([0, 5.5, 11], ["0", "between, by tenths", "1"])
    dress(axes)
    return embed(figure, ident, f"shares of the entries of {title}, by value")


def _words(phase: PhaseView) -> str:
    """Mean AUC before rounding, after it, and of the kept epoch."""
    before = [
        _auc(line.get("validation")) for line in phase.lines if line.get("phase") == "weight masks"
    ]
    after = [
        _auc(line.get("start"))
        for line in phase.lines
        if line.get("phase") == "fine-tuning" and line.get("start")
    ]
    best = [_auc(line.get("validation")) for line in phase.lines if line.get("best")]
    if not (before and after and best and None not in (before[-1], after[0], best[-1])):
        return ""
    figures = (before[-1], after[0], best[-1])
    return (
        "Mean AUC on validation rows: {:.4f} before rounding, {:.4f} after it, {:.4f} after "
        "fine-tuning.".format(*figures)
    )


def _auc(validation: Any) -> float | None:
    tasks = validation.get("tasks") if isinstance(validation, dict) else None
    known = (
        [m["auc"] for m in tasks.values() if isinstance(m.get("auc"), float)]
        if isinstance(tasks, dict)
        else []
    )
    return fmean(known) if known else None
