"""Panel on MSSM's masks: what each sub-network takes of each field, and how many cells are off
(Ding et al. 2021, Fig. 3).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup

from automtl.reports.charts import Line, curves, heat
from automtl.reports.drawing.embed import embed, fill
from automtl.reports.load import PhaseView, RunView
from automtl.reports.panels._phases import titled_phases
from automtl.spaces.architecture import Architecture

_MOST = 12
_NOTE = (
    "Mean mask of each field on the last rows seen in the best epoch, per sub-network; share of "
    "cells that are off in evaluation."
)


def masks_panel(runs: Sequence[RunView]) -> Markup | None:
    """Field masks at the best epoch and cells off over epochs, of searches and of one seed of each
    model.
    """
    groups = []
    for number, (title, phase) in enumerate(list(_phases(runs))[:_MOST]):
        charts = list(_charts(phase, f"masks-{number}"))
        if charts:
            groups.append({"title": title, "charts": charts, "left_out": 0})
    return fill("charts.html", groups=groups, note=_NOTE) if groups else None


def _phases(runs: Sequence[RunView]) -> Iterator[tuple[str, PhaseView]]:
    yield from (
        (title, phase)
        for title, phase in titled_phases(runs)
        if any("cells_off" in _sharing(line) for line in phase.lines)
    )


def _charts(phase: PhaseView, ident: str) -> Iterator[Markup]:
    best = next((line for line in reversed(phase.lines) if line.get("best")), phase.lines[-1])
    masks = _sharing(best).get("field_masks")
    if isinstance(masks, dict) and masks:
        names = _field_names(phase.architecture, max(len(row) for row in masks.values()))
        columns = {str(unit): row for unit, row in masks.items() if len(row) == len(names)}
        yield embed(
            heat(pd.DataFrame(columns, index=names), title="field masks"),
            f"{ident}-fields",
            "mean mask of each field",
        )
    off = [
        (line["epoch"] + 1, _sharing(line)) for line in phase.lines if "cells_off" in _sharing(line)
    ]
    lines = [Line("all", [(epoch, float(sharing["cells_off"])) for epoch, sharing in off])]
    levels = max(len(sharing.get("cells_off_by_level", ())) for _, sharing in off)
    for level in range(levels if levels > 1 else 0):
        lines.append(
            Line(
                f"level {level + 1}",
                [(epoch, float(sharing["cells_off_by_level"][level])) for epoch, sharing in off],
            )
        )
    yield embed(
        curves(lines, title="share of cells off"),
        f"{ident}-cells",
        "share of cells off over epochs",
    )


def _sharing(line: Mapping[str, Any]) -> dict[str, Any]:
    sharing = line.get("sharing")
    return sharing if isinstance(sharing, dict) else {}


def _field_names(architecture: Architecture | None, count: int) -> list[str]:
    """Names in the order of the input layer: ids, lists, numbers; numbers taken jointly are one
    field.
    """
    fields = (architecture.fields or ()) if architecture is not None else ()
    numbers = [field.name for field in fields if field.kind == "numeric"]
    if architecture is not None and architecture.numeric == "joint" and numbers:
        numbers = ["numbers"]
    ids = [field.name for field in fields if field.kind == "categorical"]
    names = [
        *ids,
        *(field.name for field in fields if field.kind in ("multi", "sequence")),
        *numbers,
    ]
    return names if len(names) == count else [f"field {i}" for i in range(count)]
