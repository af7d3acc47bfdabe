"""The report's first lines on searches: what each decided."""

from collections.abc import Sequence
from typing import Any

from automtl.reports.load import PhaseView, RunView
from automtl.runs import decided


def decisions_of(phase: PhaseView) -> list[dict[str, Any]]:
    """The decisions of a search; [] where none are told."""
    return (
        decided.decisions_of(phase.architecture.provenance)
        if phase.architecture is not None
        else []
    )


def ended(runs: Sequence[RunView]) -> list[PhaseView]:
    """The searches that have ended with an architecture."""
    searches = [run.search for run in runs if run.search is not None]
    return [s for s in searches if s.architecture and s.state in ("done", "time_limited")]


def headlines(runs: Sequence[RunView]) -> list[tuple[str, str]]:
    """Per ended search what is decided, named where there are several runs, and what would help."""
    lines = []
    for phase in ended(runs):
        name = f"The search of {phase.run}" if len(runs) > 1 else "The search"
        assert phase.architecture is not None  # see `ended`
        headline, more = decided.sentence_and_advice(phase.architecture.provenance)
        lines.append((f"{name}: {headline}.", f"{more}." if more else ""))
    return lines
