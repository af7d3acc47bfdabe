"""Panel on the fields: which of them each task draws on."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from automtl.errors import counted
from automtl.reports.charts import chart
from automtl.reports.drawing.colours import INK, SOFT, TASKS
from automtl.reports.drawing.embed import embed, fill
from automtl.reports.drawing.text import FONT, clean
from automtl.reports.load import RunView
from automtl.reports.tables import names_of

_MOST_FIELDS = 15


def importance_panel(runs: Sequence[RunView]) -> Markup | None:
    """Per model and task the fields whose shuffling costs most; of the seeds that were asked."""
    names, notes = names_of(runs), set()
    groups: list[dict[str, Any]] = []
    for run in runs:
        for phase in run.retrains:
            if phase.importance is None:
                continue
            measured = phase.importance
            charts = [
                embed(
                    _chart(rows, str(task), number),
                    f"importance-{len(groups)}-{number}",
                    f"importance of the fields for {task}",
                )
                for number, (task, rows) in enumerate(measured.table.groupby("task", sort=False))
            ]
            title = f"{names[phase.run, phase.label]}, seed {phase.seed}"
            groups.append({"title": title, "charts": charts, "left_out": 0})
            times = counted(measured.repeats, "time")
            drawn = f"of {measured.whole:,} " if measured.rows < measured.whole else ""
            notes.add(f"each field shuffled {times} among {measured.rows:,} {drawn}rows")
    if not groups:
        return None
    note = (
        "Rise of a task's loss on validation rows when the values of one field are shuffled among "
        f"them ({'; '.join(sorted(notes))}). Bars: 95% intervals over rows; one that contains 0 "
        "(hollow) shows nothing. Fields that say the same share their importance, and each looks "
        f"less important than both are. At most {_MOST_FIELDS} fields a task."
    )
    return fill("charts.html", groups=groups, note=note)


def _chart(rows: pd.DataFrame, task: str, colour: int) -> Figure:
    """The most important fields of a task, the first on top."""
    top = rows.dropna(subset=["rise"]).nlargest(_MOST_FIELDS, "rise").iloc[::-1]
    figure, axes = chart(340, 70 + 17 * max(len(top), 1), clean(task, 40))
    shade = TASKS[colour % len(TASKS)]
    figures = (top[name].astype(float).tolist() for name in ("rise", "low", "high"))
    for place, (rise, low, high) in enumerate(zip(*figures, strict=True)):
        inside = shade if low > 0 or high < 0 else "none"
        axes.barh(place, rise, height=0.55, color=inside, edgecolor=shade, linewidth=0.8)
        axes.plot([low, high], [place, place], color=INK, linewidth=0.9)
    axes.set_yticks(range(len(top)), [clean(str(name), 22) for name in top.field], parse_math=False)
    axes.set_xlabel("rise of the loss", fontsize=7.5, color=SOFT, fontfamily=FONT)
    axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    axes.axvline(0, color=SOFT, linewidth=0.6)
    axes.grid(visible=False, axis="y")
    return figure
