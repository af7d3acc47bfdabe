"""Panel on balancing: the tasks' weights over epochs, and how often their gradients pulled
apart.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from markupsafe import Markup

from automtl.reports.charts import Line, curves
from automtl.reports.drawing.embed import embed, fill
from automtl.reports.load import PhaseView, RunView
from automtl.reports.panels._phases import titled_phases

_MOST = 12
_NOTE = (
    "Mean factor on each task's share of the loss (methods on gradients: of its gradient over "
    "the shared parameters); 1 is plain training. "
    "A conflict is a step in which two tasks' gradients have a negative inner product."
)


def balancing_panel(runs: Sequence[RunView]) -> Markup | None:
    """Weights and conflicts over epochs, of searches and of one seed of each model."""
    groups = []
    for number, (title, phase) in enumerate(list(_phases(runs))[:_MOST]):
        groups.append(
            {"title": title, "charts": list(_charts(phase, f"balancing-{number}")), "left_out": 0}
        )
    return fill("charts.html", groups=groups, note=_NOTE) if groups else None


def _phases(runs: Sequence[RunView]) -> Iterator[tuple[str, PhaseView]]:
    """Titles and phases that balanced."""
    for title, phase in titled_phases(runs):
        records = [_balancing(line) for line in phase.lines]
        if any(records):
            yield (
                f"{title}: {next(t['method'] for t in records if t)}, {_cost(phase, records)}",
                phase,
            )


def _cost(phase: PhaseView, records: Sequence[Mapping[str, Any]]) -> str:
    """The cost of balancing, in words."""
    passes = max(float(t["backward_passes"]) for t in records if t)
    megabytes = max(float(t["extra_bytes"]) for t in records if t) / 2**20
    seconds, whole = phase.cost.get("balancing", {}).get("seconds"), phase.cost.get("seconds")
    share = f" ({seconds / whole:.0%} of the time)" if seconds and whole else ""
    return f"{passes:.3g} backward passes a step{share}, {megabytes:.3g} MB of gradients held"


def _charts(phase: PhaseView, ident: str) -> Iterator[Markup]:
    records = [(line["epoch"] + 1, _balancing(line)) for line in phase.lines if _balancing(line)]
    tasks = list(dict.fromkeys(task for _, t in records for task in t["weights"]))
    lines = [
        Line(
            task,
            [(e, t["weights"][task]) for e, t in records if t["weights"].get(task) is not None],
        )
        for task in tasks
    ]
    if lines := [line for line in lines if line.points]:
        yield embed(
            curves(lines, title="weight of each task"),
            f"{ident}-weights",
            "weights of the tasks over epochs",
        )
    conflicts = [(e, float(t["conflicts"])) for e, t in records if "conflicts" in t]
    if conflicts:
        chart = curves([Line("conflicts", conflicts)], title="share of steps in conflict")
        yield embed(
            chart, f"{ident}-conflicts", "share of steps with conflicting gradients over epochs"
        )


def _balancing(line: Mapping[str, Any]) -> dict[str, Any]:
    balancing = line.get("balancing")
    return (
        balancing
        if isinstance(balancing, dict)
        and isinstance(balancing.get("weights"), dict)
        and "method" in balancing
        else {}
    )
