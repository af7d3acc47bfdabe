"""The panel on a study of the settings: losses trial by trial, loss against cost, every trial's
values.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from markupsafe import Markup
from matplotlib.figure import Figure

from automtl.reports.charts import chart
from automtl.reports.drawing.colours import FAINT, SOFT, TASKS
from automtl.reports.drawing.embed import embed, fill
from automtl.reports.drawing.text import FONT, short
from automtl.reports.load import RunView

_LABEL: dict[str, Any] = {"fontsize": 7.5, "color": SOFT, "fontfamily": FONT}


def study_panel(runs: Sequence[RunView]) -> Markup | None:
    """The trials of each run's study."""
    groups = []
    for number, run in enumerate(runs):
        results = run.study.results if run.study is not None else {}
        trials: Sequence[Mapping[str, Any]] = results.get("trials", [])
        name, sign = (
            str(results.get("monitor", "MTL-Loss")),
            -1 if results.get("more_is_better") else 1,
        )
        trials = [t if t["loss"] is None else {**t, "shown": sign * t["loss"]} for t in trials]
        complete = [t for t in trials if t["loss"] is not None]
        if not complete:
            continue
        names = {
            n: ", ".join(name for name, other in results["named"].items() if other == n)
            for n in results["named"].values()
        }
        charts = [
            embed(
                _by_trial(complete, name),
                f"study-{number}-trials",
                f"validation {name} trial by trial",
            )
        ]
        charts.append(
            embed(
                _by_cost(complete, results["front"], name),
                f"study-{number}-front",
                f"validation {name} against cost",
            )
        )
        rows = [_row(trial, names.get(trial["number"], "")) for trial in trials]
        groups.append(
            {
                "title": run.name if len(runs) > 1 else "",
                "charts": charts,
                "rows": rows,
                "figure": name,
                "over": results["over"],
            }
        )
    return fill("study.html", groups=groups) if groups else None


def _row(trial: Mapping[str, Any], name: str) -> dict[str, str]:
    values = ", ".join(
        f"{k} {v:.3g}" if isinstance(v, float) else f"{k} {v}" for k, v in trial["values"].items()
    )
    return {
        "number": str(trial["number"]),
        "name": name,
        "state": trial["state"],
        "loss": "-" if trial["loss"] is None else f"{trial['shown']:.5f}",
        "cost": "-" if trial["cost"] is None else short(trial["cost"]),
        "tried": values,
        "error": trial["facts"].get("error", ""),
    }


def _by_trial(complete: Sequence[Mapping[str, Any]], name: str) -> Figure:
    figure, axes = chart(340, 200, f"validation {name} by trial")
    numbers, losses = [t["number"] for t in complete], [t["shown"] for t in complete]
    best = [min(complete[: i + 1], key=lambda t: t["loss"])["shown"] for i in range(len(complete))]
    axes.plot(numbers, losses, color=FAINT, linestyle="none", marker="o", markersize=4)
    axes.plot(numbers, best, color=TASKS[0], linewidth=1.2, drawstyle="steps-post")
    axes.set_xlabel("trial; line: the best so far", **_LABEL)
    return figure


def _by_cost(complete: Sequence[Mapping[str, Any]], front: Sequence[int], name: str) -> Figure:
    figure, axes = chart(340, 200, f"validation {name} against cost")
    points = [t for t in complete if t["cost"] is not None]
    on_front = sorted((t for t in points if t["number"] in front), key=lambda t: t["cost"])
    axes.plot(
        [t["cost"] for t in points],
        [t["shown"] for t in points],
        color=FAINT,
        linestyle="none",
        marker="o",
        markersize=4,
    )
    axes.plot(
        [t["cost"] for t in on_front],
        [t["shown"] for t in on_front],
        color=TASKS[0],
        linewidth=1.0,
        marker="o",
        markersize=4,
    )
    own = [t for t in points if t["number"] == 0 and t not in on_front]
    for trial in [*on_front, *own]:
        axes.annotate(
            str(trial["number"]),
            (trial["cost"], trial["shown"]),
            xytext=(3, 3),
            textcoords="offset points",
            **_LABEL,
        )
    axes.set_xlabel("FLOPs; line: no trial is better in both", **_LABEL)
    return figure
