"""The outcome of a race, in words and as plain data."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from automtl.config_search import SearchSection
from automtl.errors import counted
from automtl.models.like_size import can_scale
from automtl.phases.race._compare import Gap, Table
from automtl.phases.race._finals import CLOSE, Finals
from automtl.phases.race.entrants import Entrant
from automtl.phases.race.results import Result, of_rung


def answer(
    outcome: Finals,
    table: Table,
    results: Sequence[Result],
    rungs: int,
    *,
    beats: bool,
    search: SearchSection,
) -> dict[str, Any]:
    """The winner, its margins over the runner-up, the controls and the best rival, and words.

    Args:
        outcome: of the finals.
        table: their losses.
        results: all trainings.
        rungs: before the finals.
        beats: whether the winner is shown to be better than the base rates.
        search: the settings.
    """
    winner = outcome.winner
    others = [e for e in outcome.ordered if e.id != winner.id]
    rivals = [e for e in others if e.kind == "rival"]
    controls = _controls(winner, results, rungs)
    summary: dict[str, Any] = {
        "winner": winner.name,
        "kind": winner.kind,
        "loss_b": table.mean(("final", winner.id)),
        "margin": table.margin,
        "runner_up": _beside(others[0], outcome) if others else None,
        "rival": _beside(rivals[0], outcome) if rivals else None,
        "controls": controls,
        "beats_constant": beats,
        "finalists": {e.name: table.losses.get(("final", e.id)) for e in outcome.ordered},
        "trainings": len(results),
    }
    words = _words(outcome, summary, search)
    if search.race_patience is not None:
        words += words_of_length(results)
    return {**summary, "words": words}


def _beside(entrant: Entrant, outcome: Finals) -> dict[str, Any]:
    gap = outcome.gaps.get(entrant.id)
    return {"name": entrant.name, **({} if gap is None else asdict(gap))}


def _controls(winner: Entrant, results: Sequence[Result], rungs: int) -> dict[str, Any] | None:
    """The evenly drawn ones beside the winner at the last rung that it and one of them ran."""
    for rung in range(rungs - 1, -1, -1):
        judged = of_rung(results, rung)
        others = [r for r in judged.values() if r.candidate != winner.id]
        even = [r.b for r in others if r.kind == "control" and r.b is not None]
        own = judged.get(winner.id)
        if even and own is not None and own.b is not None:
            rows = own.rows if own.judged is None else own.judged
            return {"rung": rung, "rows": rows, "median": median(even), "winner": own.b}
    return None


def _words(outcome: Finals, summary: dict[str, Any], search: SearchSection) -> list[str]:
    winner, best = outcome.winner, outcome.best
    origin = "hand-made: " if winner.kind == "rival" else ""
    name, loss = _called(winner, search), summary["loss_b"]
    sentences = [f"{origin}{name} wins the race, MTL-Loss {loss:.5f} on B rows"]
    if not summary["beats_constant"]:
        sentences.append("no candidate is shown to be better than predicting the base rates")
    if best.id != winner.id:
        sentences.append(
            f"{_called(best, search)} has the least loss; not told apart and within {CLOSE:.1%} of "
            f"it, {name} is cheaper ({winner.flops:,} FLOPs a row for {best.flops:,})"
        )
    # beside a hand-made winner no other is the best hand-made one
    names = {"runner_up": "runner-up"}
    if winner.kind != "rival" and summary["rival"] == summary["runner_up"]:
        names["runner_up"] += " and best hand-made model"
    elif winner.kind != "rival":
        names["rival"] = "best hand-made model"
    called = {entrant.name: _called(entrant, search) for entrant in outcome.ordered}
    for key, name in names.items():
        if (beside := summary[key]) is not None:
            sentences.append(f"{name}, {called[beside['name']]}: {_gap(outcome, beside)}")
    if (controls := summary["controls"]) is not None:
        gap = controls["median"] - controls["winner"]
        sentences.append(
            f"evenly drawn ones: their median {gap:+.5f} beside the winner, one seed each"
        )
    return sentences


def words_of_length(results: Sequence[Result]) -> list[str]:
    """Whether the finals ended too early to tell, where at least half were best at their end."""
    finals = [r for r in results if r.stage == "final" and r.judged is not None]
    short = [r for r in finals if r.judged == r.rows]
    if not finals or 2 * len(short) < len(finals):
        return []
    return [
        f"{len(short)} of {counted(len(finals), 'training')} in the finals did best where they "
        f"ended, after {max(r.rows for r in short):,} rows: longer ones may come in another order; "
        "raise --budget or search.race_epochs"
    ]


def _called(entrant: Entrant, search: SearchSection) -> str:
    """A name for people, which tells a hand-made model that was scaled from the one it is of."""
    scaled = search.scale_rivals and entrant.kind == "rival" and can_scale(entrant.architecture)
    return f"{entrant.name} (scaled)" if scaled else entrant.name


def _gap(outcome: Finals, beside: dict[str, Any]) -> str:
    if "low" not in beside:
        return "no figure"
    gap = Gap(**{name: beside[name] for name in Gap.__dataclass_fields__})
    tie = "; tied within the margin" if gap.tied and not gap.apart else ""
    words = "told apart" if gap.apart else f"not told apart{tie}"
    searched = outcome.winner.kind != "rival"
    rival = searched and any(
        e.name == beside["name"] and e.kind == "rival" for e in outcome.ordered
    )
    take = "; no search is needed for what it gives" if rival and not gap.apart else ""
    return f"{gap.difference:+.5f} (adjusted {gap.low:+.5f} to {gap.high:+.5f}), {words}{take}"
