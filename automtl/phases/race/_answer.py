"""The outcome of a race, in words and as plain data."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import median
from typing import Any

from automtl.config_search import SearchSection
from automtl.errors import counted
from automtl.phases.race._checks import Check
from automtl.phases.race._compare import Gap, Table
from automtl.phases.race._finals import CLOSE, Finals
from automtl.phases.race._patterns import Pattern
from automtl.phases.race.entrants import Entrant
from automtl.phases.race.results import Result, of_rung
from automtl.runs.decided import NO_BETTER


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
    # proposals of a strategy that trains nothing are even draws, too
    drawn = {"control"} if search.trains_supernet else {"control", "proposal"}
    controls = _controls(winner, results, rungs, drawn)
    summary: dict[str, Any] = {
        "winner": winner.name,
        "kind": winner.kind,
        "loss_b": table.mean(("final", winner.id)),
        "margin": outcome.margin,
        "runner_up": _beside(others[0], outcome) if others else None,
        "rival": _beside(rival, outcome) if (rival := outcome.rival) else None,
        "controls": controls,
        "beats_constant": beats,
        "finalists": {e.name: table.losses.get(("final", e.id)) for e in outcome.ordered},
        "trainings": len(results),
    }
    words = _words(outcome, summary, lone=table.lone)
    if search.race_patience is not None:
        words += words_of_length(results)
    return {**summary, "words": words}


def _beside(entrant: Entrant, outcome: Finals) -> dict[str, Any]:
    if (gap := outcome.gaps.get(entrant.id)) is None:
        return {"name": entrant.name}
    needed = {"seeds_needed": outcome.needed[entrant.id]} if entrant.id in outcome.needed else {}
    return {"name": entrant.name, **asdict(gap), **needed}


def _controls(
    winner: Entrant, results: Sequence[Result], rungs: int, kinds: set[str]
) -> dict[str, Any] | None:
    """The evenly drawn ones beside the winner at the last rung that it and one of them ran."""
    for rung in range(rungs - 1, -1, -1):
        judged = of_rung(results, rung)
        others = [r for r in judged.values() if r.candidate != winner.id]
        even = [r.b for r in others if r.kind in kinds and r.b is not None]
        own = judged.get(winner.id)
        if even and own is not None and own.b is not None:
            rows = own.rows if own.judged is None else own.judged
            figures = {"median": median(even), "winner": own.b, "count": len(even)}
            return {"rung": rung, "rows": rows, **figures}
    return None


def _words(outcome: Finals, summary: dict[str, Any], *, lone: bool) -> list[str]:
    winner, best = outcome.winner, outcome.best
    origin = "hand-made: " if winner.kind == "rival" else ""
    sentences = [f"{origin}{winner.name} wins the race, MTL-Loss {summary['loss_b']:.5f} on B rows"]
    if not summary["beats_constant"]:
        sentences.append(NO_BETTER)
    if lone:
        sentences.append(
            "the B rows are one row, or one group, so no two models can be compared: take data of "
            "more rows or groups"
        )
    if best.id != winner.id:
        within = f"{'' if lone else 'not told apart and '}within {CLOSE:.1%} of it"
        sentences.append(
            f"{best.name} has the least loss; {within}, "
            f"{winner.name} is cheaper ({winner.flops:,} FLOPs a row for {best.flops:,})"
        )
    # beside a hand-made winner no other is the best hand-made one
    names = {"runner_up": "runner-up"}
    if winner.kind != "rival" and summary["rival"] == summary["runner_up"]:
        names["runner_up"] += " and best hand-made model"
    elif winner.kind != "rival":
        names["rival"] = "best hand-made model"
    for key, name in names.items():
        if (beside := summary[key]) is not None:
            sentences.append(f"{name}, {beside['name']}: {_gap(beside)}")
    if (controls := summary["controls"]) is not None:
        gap = controls["median"] - controls["winner"]
        sentences.append(
            f"{counted(controls['count'], 'other drawn one')}: median {gap:+.5f} beside the "
            "winner, by the trainings that chose the finalists"
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


def better(checks: Sequence[Check], patterns: Sequence[Pattern]) -> Check | Pattern | None:
    """The best of the changed copies that are shown to be better than the winner; None where none
    is. They came after the finals, and are not handed over.
    """
    tried: list[Check | Pattern] = [*checks, *patterns]
    shown = {copy.gap.difference: copy for copy in tried if copy.gap and copy.gap.high < 0}
    return shown[min(shown)] if shown else None


def words_of_better(copy: Check | Pattern) -> str:
    """What is told of a better copy."""
    assert copy.gap is not None
    return (
        f"a copy of the winner ({copy.entrant.name}) is shown to be better by "
        f"{-copy.gap.difference:.5f}: the winner of the finals is handed over, the copy is in "
        "search/better.json; train and compare both, or search on with more candidates"
    )


def _gap(beside: dict[str, Any]) -> str:
    if "low" not in beside:
        return "no figure"
    gap = Gap(**{name: beside[name] for name in Gap.__dataclass_fields__})
    tie = "; tied within the margin" if gap.tied and not gap.apart else ""
    words = "told apart" if gap.apart else f"not told apart{tie}"
    return f"{gap.difference:+.5f} (adjusted {gap.low:+.5f} to {gap.high:+.5f}), {words}"
