"""The phases that a panel of curves has a group for, with the groups' titles."""

from collections.abc import Sequence

from automtl.reports.load import PhaseView, RunView
from automtl.reports.tables import models


def titled_phases(runs: Sequence[RunView]) -> list[tuple[str, PhaseView]]:
    """One seed of each model, then the searches; runs are named where there are several."""
    several = len(runs) > 1
    trained = [
        (f"{model.name if several else model.label}, seed {model.phases[0].seed}", model.phases[0])
        for model in models(runs)
    ]
    searches = [
        (f"{run.name}: search" if several else "search", run.search)
        for run in runs
        if run.search is not None
    ]
    return [*trained, *searches]
