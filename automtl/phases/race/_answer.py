"""The outcome of a race, in words and as plain data."""

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean, median
from typing import Any, NamedTuple

from automtl.config_search import SearchSection
from automtl.data.store.schema import Task
from automtl.errors import counted
from automtl.phases.race._checks import Check
from automtl.phases.race._compare import Gap, Table
from automtl.phases.race._finals import CLOSE, Finals
from automtl.phases.race._patterns import Pattern
from automtl.phases.race.entrants import Entrant
from automtl.phases.race.judge import Judge
from automtl.phases.race.results import Result, of_rung
from automtl.runs.decided import FEW_UNITS, NO_BETTER, ONE_UNIT
from automtl.statistics import upper_limit
from automtl.training.losses import task_weights

MOST = 0.8  # of the MTL-Loss, above which one task may decide alone


class TaskLoss(NamedTuple):
    """A task's loss on B rows, without its share in the MTL-Loss.

    Attributes:
        name: of the task.
        share: its weight in the MTL-Loss.
        winner: mean over the winner's finals.
        high: its upper one-sided 95% limit, by the difference from the base rates' over seeds and
            rows (or groups).
        constant: the base rates'.
    """

    name: str
    share: float
    winner: float
    high: float
    constant: float


def task_losses(
    winner: Entrant, results: Sequence[Result], judge: Judge, tasks: Sequence[Task]
) -> list[TaskLoss]:
    """The winner's loss of each task beside the base rates'; [] where they are not known."""
    trained = [r.tasks for r in results if r.stage == "final" and r.candidate == winner.id]
    constant = judge.constant
    if constant is None or not all(len(told) == len(tasks) for told in trained):
        return []
    told = []
    for task, share, seeds, base, equal in zip(
        tasks,
        task_weights(tasks),
        zip(*trained, strict=True),
        constant.tasks,
        judge.equal_units_of_tasks,
        strict=True,
    ):
        own, errors = zip(*seeds, strict=True)
        high = upper_limit(own, fmean(errors) ** 2, equal - 1)
        told.append(TaskLoss(task.name, share, fmean(own), high, base.loss or 0.0))
    return told


def answer(
    outcome: Finals,
    table: Table,
    results: Sequence[Result],
    rungs: int,
    *,
    beats: bool,
    tasks: Sequence[TaskLoss] = (),
    grouped: bool = False,
    search: SearchSection,
) -> dict[str, Any]:
    """The winner, its margins over the runner-up, the controls and the best rival, and words.

    Args:
        outcome: of the finals.
        table: their losses.
        results: all trainings.
        rungs: before the finals.
        beats: whether the winner is shown to be better than the base rates.
        tasks: the winner's losses beside the base rates'.
        grouped: whether the B rows come in groups.
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
        "units": table.equal,
        "grouped": grouped,
        "tasks": [task._asdict() for task in tasks],
    }
    words = _words(outcome, summary, tasks, lone=table.lone)
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


def _words(
    outcome: Finals, summary: dict[str, Any], tasks: Sequence[TaskLoss], *, lone: bool
) -> list[str]:
    winner, best = outcome.winner, outcome.best
    origin = "hand-made: " if winner.kind == "rival" else ""
    sentences = [f"{origin}{winner.name} wins the race, MTL-Loss {summary['loss_b']:.5f} on B rows"]
    if lone:
        sentences.append(f"{ONE_UNIT}: take data of more rows or groups")
    else:
        sentences += [] if summary["beats_constant"] else [NO_BETTER]
        sentences += _words_of_units(summary["units"], summary["grouped"])
    sentences += words_of_tasks(tasks)
    if best.id != winner.id:
        within = f"{'' if lone else 'not told apart and '}within {CLOSE:.1%} of it"
        sentences.append(
            f"{best.name} has the least loss; {within}, "
            f"{winner.name} is cheaper ({_cheaper(winner, best)})"
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
        beside = "beside" if gap >= 0 else "and so better than"
        sentences.append(
            f"{counted(controls['count'], 'other drawn one')}: median {gap:+.5f} {beside} the "
            "winner, in the first trainings"
        )
    return sentences


def _cheaper(winner: Entrant, best: Entrant) -> str:
    if winner.flops != best.flops:
        return f"{winner.flops:,} FLOPs a row for {best.flops:,}"
    return f"{winner.parameters:,} parameters for {best.parameters:,}"


def _words_of_units(units: float, grouped: bool) -> list[str]:
    """That the labels of the B rows are few, or in few groups, so that little can be shown."""
    if units >= FEW_UNITS:
        return []
    what = "groups" if grouped else "rows"
    return [
        f"the labels of the B rows tell as much as {units:.1f} {what} of equal size, so that only "
        "large differences can be shown"
    ]


def words_of_tasks(tasks: Sequence[TaskLoss]) -> list[str]:
    """The tasks on which the winner is not shown to be better than the base rates, and a task that
    makes most of the MTL-Loss.
    """
    if len(tasks) == 1:
        return []
    open_ = [
        f"'{task.name}' ({task.winner:.5f} for {task.constant:.5f})"
        for task in tasks
        if task.high >= task.constant
    ]
    said = [f"not shown to be better than the base rates on {', '.join(open_)}"] if open_ else []
    whole = sum(task.share * task.constant for task in tasks)
    for task in tasks:
        if task.share * task.constant > MOST * whole:
            said.append(
                f"'{task.name}' makes {task.share * task.constant / whole:.0%} of the base rates' "
                "MTL-Loss, and may decide alone; if that is not meant, change the tasks' weight"
            )
    return said


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
