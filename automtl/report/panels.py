"""The report's panels, in order: one explicit table. A panel that has nothing to show returns None
and is left out.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from automtl.report import (
    panel_architecture,
    panel_balancing,
    panel_masks,
    panel_models,
    panel_mome,
    panel_record,
    panel_search,
    panel_study,
    panel_training,
    panel_trust,
)
from automtl.report.load import RunView


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
    Panel("verdict", "Verdict", panel_models.verdict_panel),
    Panel("tasks", "Task by task", panel_models.tasks_panel),
    Panel("architecture", "Architecture", panel_architecture.architecture_panel),
    Panel("experts", "Experts and tasks", panel_search.experts_panel),
    Panel("gates", "Gates after training", panel_training.gates_panel),
    Panel("mome", "Masked experts", panel_mome.mome_panel),
    Panel("masks", "Field masks and cells", panel_masks.masks_panel),
    Panel("training", "Learning curves", panel_training.curves_panel),
    Panel("balancing", "Balancing", panel_balancing.balancing_panel),
    Panel("calibration", "Calibration", panel_training.calibration_panel),
    Panel("alphas", "Alphas over epochs", panel_search.alphas_panel),
    Panel("entropy", "How decided the search is", panel_search.entropy_panel),
    Panel("agreement", "Agreement of the searches", panel_trust.agreement_panel),
    Panel("front", "Score against cost", panel_trust.front_panel),
    Panel("study", "Study of the settings", panel_study.study_panel),
    Panel("cost", "Cost", panel_record.cost_panel),
    Panel("config", "Settings", panel_record.config_panel),
    Panel("reproduce", "To reproduce", panel_record.reproduce_panel),
)
