"""The report's panels, in order: one explicit table. A panel that has nothing to show returns None
and is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from automtl.reports.load import RunView
from automtl.reports.panels import (
    _architecture,
    _balancing,
    _decisions,
    _importance,
    _masks,
    _models,
    _mome,
    _record,
    _search,
    _sizes,
    _study,
    _training,
    _trust,
)


@dataclass(frozen=True)
class Panel:
    """One part of a report.

    Args:
        id: a word; the part's address in the page.
        title: its heading.
        make: its content from the runs, as safe markup (``embed.fill`` and ``embed.embed`` make
            such), or None for nothing to show. Names of user's files must pass through them, never
            through string formatting.
    """

    id: str
    title: str
    make: Callable[[Sequence[RunView]], Markup | None]


PANELS: tuple[Panel, ...] = (
    Panel("verdict", "Verdict", _models.verdict_panel),
    Panel("decisions", "What the search decided", _decisions.decisions_panel),
    Panel("tasks", "Task by task", _models.tasks_panel),
    Panel("size", "Size against quality", _sizes.size_panel),
    Panel("importance", "Which fields matter", _importance.importance_panel),
    Panel("architecture", "Architecture", _architecture.architecture_panel),
    Panel("experts", "Experts and tasks", _search.experts_panel),
    Panel("gates", "Gates after training", _training.gates_panel),
    Panel("mome", "Masked experts", _mome.mome_panel),
    Panel("masks", "Field masks and cells", _masks.masks_panel),
    Panel("training", "Learning curves", _training.curves_panel),
    Panel("balancing", "Balancing", _balancing.balancing_panel),
    Panel("calibration", "Calibration", _training.calibration_panel),
    Panel("alphas", "Alphas over epochs", _search.alphas_panel),
    Panel("entropy", "How certain is the architecture?", _search.entropy_panel),
    Panel("agreement", "Agreement of the searches", _trust.agreement_panel),
    Panel("front", "Score against cost", _trust.front_panel),
    Panel("study", "Study of the settings", _study.study_panel),
    Panel("cost", "Cost", _record.cost_panel),
    Panel("config", "Settings", _record.config_panel),
    Panel("reproduce", "To reproduce", _record.reproduce_panel),
)
