"""Panels on whether a search can be trusted: agreement over seeds, and what was found at which
cost.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from automtl.reports.agreement import agreement
from automtl.reports.charts import chart
from automtl.reports.drawing.colours import SOFT, TASKS
from automtl.reports.drawing.embed import embed, fill
from automtl.reports.drawing.text import FONT
from automtl.reports.load import PhaseView, RunView

_COSTS = {
    "flops": "FLOPs per row",
    "parameters": "parameters beside the tables",
    "latency_us": "microseconds per batch, measured",
}


def agreement_panel(runs: Sequence[RunView]) -> Markup | None:
    """Per space and strategy with several searches: which operation each block chose, and how
    often.
    """
    groups: dict[tuple[str, str, object], list[PhaseView]] = {}
    for phase in (run.search for run in runs if run.search is not None):
        if phase.architecture is not None:
            strategy = str(phase.cost.get("strategy", "search"))
            groups.setdefault(
                (phase.architecture.name, strategy, phase.data.get("hash")), []
            ).append(phase)
    filled = []
    for (space, strategy, _), phases in groups.items():
        places = agreement(
            [phase.architecture for phase in phases if phase.architecture is not None]
        )
        if places:
            seeds = ", ".join(str(phase.seed) for phase in phases)
            filled.append(
                {"title": f"{strategy} in {space}, search seeds {seeds}", "places": places}
            )
    return fill("agreement.html", groups=filled) if filled else None


def front_panel(runs: Sequence[RunView]) -> Markup | None:
    """The Pareto front that `automtl pareto` left: score against cost."""
    groups = []
    for number, run in enumerate(runs):
        if run.search is None or not run.search.front.get("points"):
            continue
        points: Sequence[Mapping[str, Any]] = run.search.front["points"]
        cost = next(name for name in _COSTS if name.startswith(run.search.front["of"]))
        picture = embed(_front(points, cost), f"front-{number}", f"score against {_COSTS[cost]}")
        title = run.name if len(runs) > 1 else ""
        groups.append(
            {
                "title": title,
                "chart": picture,
                "points": points,
                "cost": cost,
                "called": _COSTS[cost],
            }
        )
    return fill("front.html", groups=groups) if groups else None


def _front(points: Sequence[Mapping[str, Any]], cost: str) -> Figure:
    figure, axes = chart(340, 220)
    places, scores = [p["cost"][cost] for p in points], [p["score"] for p in points]
    axes.plot(
        places,
        scores,
        color=TASKS[0],
        linewidth=0.8,
        drawstyle="steps-post",
        marker="o",
        markersize=4,
    )
    axes.set_xlabel(_COSTS[cost], fontsize=7.5, color=SOFT, fontfamily=FONT)
    axes.set_ylabel("sum of log softmax", fontsize=7.5, color=SOFT, fontfamily=FONT)
    return figure
