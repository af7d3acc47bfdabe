"""The panel on what searches decided, choice by choice."""

from collections.abc import Sequence

from markupsafe import Markup

from automtl.reports._decisions import decisions_of, ended
from automtl.reports.drawing.embed import fill
from automtl.reports.load import PhaseView, RunView
from automtl.runs import decided


def decisions_panel(runs: Sequence[RunView]) -> Markup | None:
    """Per ended search every choice with its verdict and what that rests on; how a race came
    out.
    """
    groups = [
        {
            "title": phase.run if len(runs) > 1 else "",
            "rows": decided.rows(decisions),
            "words": _race(phase),
        }
        for phase in ended(runs)
        if (decisions := decisions_of(phase))
    ]
    return fill("decisions.html", groups=groups, header=decided.HEADER) if groups else None


def _race(phase: PhaseView) -> list[str]:
    race = phase.manifest.get("race")
    words = race.get("words") if isinstance(race, dict) else None
    return [str(line) for line in words] if isinstance(words, list) else []
