"""Panel on what models cost and how well they do: size and operations against quality."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from automtl.reports.charts import chart
from automtl.reports.drawing.colours import SOFT, TASKS
from automtl.reports.drawing.embed import embed, fill
from automtl.reports.drawing.text import FONT, short
from automtl.reports.load import RunView
from automtl.reports.tables import Estimate, Model, models, of_same_rows, scale
from automtl.runs.constant import LOSS, loss_of


def size_panel(runs: Sequence[RunView]) -> Markup | None:
    """Size and operations against quality, a point per model; models of other rows stand in
    pictures of their own.
    """
    trained = [model for model in models(runs) if model.loss is not None]
    groups: list[dict[str, Any]] = []
    several = len(of_same_rows(trained)) > 1
    for rows, own in of_same_rows(trained):
        if charts := _charts(own, f"size-{len(groups)}"):
            title = f"On {rows}" if several else ""
            legend = [model.name for model in own]
            groups.append({"title": title, "charts": charts, "left_out": 0, "legend": legend})
    if not groups:
        return None
    note = (
        f"{trained[0].split.capitalize()} rows; lower and further left is better. Bars: 95% "
        "intervals of the mean over seeds; a hollow point has one seed and no interval. Dotted "
        "line: the constant, where it is near."
    )
    return fill("charts.html", groups=groups, note=note)


def _charts(trained: Sequence[Model], ident: str) -> list[Markup]:
    """The pictures of models of the same rows, which all have a loss."""
    costs = {
        "megabytes on disk": [model.megabytes for model in trained],
        "FLOPs per row": [model.flops for model in trained],
    }
    charts: list[Markup] = []
    for cost, values in costs.items():
        known = [
            _Point(i, value, model.loss)
            for i, (model, value) in enumerate(zip(trained, values, strict=True))
            if value is not None and model.loss is not None
        ]
        if len(known) > 1:
            title = f"{LOSS} against {cost}"
            figure = _scatter(
                known, title=title, across=cost, constant=loss_of(trained[0].constant)
            )
            charts.append(embed(figure, f"{ident}-{len(charts)}", title))
    return charts


@dataclass(frozen=True)
class _Point:
    """A model in a picture of cost and quality.

    Args:
        colour: its number among the models.
        cost: across.
        loss: upwards, over seeds.
    """

    colour: int
    cost: float
    loss: Estimate


def _scatter(
    points: Sequence[_Point], *, title: str, across: str, constant: float | None = None
) -> Figure:
    """Cost against loss, with intervals over seeds; a hollow point has one seed.

    Args:
        points: the models.
        title: over it.
        across: what the cost is.
        constant: the loss of the constant; a dotted line where it lies on the picture.
    """
    figure, axes = chart(340, 240, title)
    for point in points:
        colour, half = TASKS[point.colour % len(TASKS)], point.loss.half
        axes.errorbar(
            point.cost,
            point.loss.mean,
            yerr=half,
            color=colour,
            marker="os^Dv"[point.colour // len(TASKS) % 5],
            markersize=5.5,
            markerfacecolor="none" if half is None else colour,
            capsize=2.5,
            linewidth=1.0,
        )
    low, high = scale(point.loss for point in points)
    if constant is not None and constant < high + (high - low):
        axes.axhline(constant, color=SOFT, linewidth=0.9, linestyle=(0, (1, 2)))
        low, high = min(low, constant), max(high, constant + 0.06 * (high - low))
    axes.set_ylim(low, high)
    axes.set_xlim(0, 1.12 * max(point.cost for point in points))
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.xaxis.set_major_formatter(lambda value, _: short(value) if value >= 1000 else f"{value:g}")
    axes.set_xlabel(across, fontsize=7.5, color=SOFT, fontfamily=FONT)
    return figure
