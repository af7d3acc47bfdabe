"""A comparison on one screen: the models beside the constant, what tells them apart, and the
command that would tell more.
"""

import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING

from automtl.cli._models import (
    CONSTANT,
    LOSS,
    Row,
    beside_constant,
    duration,
    measured,
    print_models,
)
from automtl.cli.console import listed, say, say_command, table
from automtl.errors import counted
from automtl.reports.names import shortest
from automtl.runs.more_seeds import more_seeds

if TYPE_CHECKING:
    from automtl.phases.finished.compare import Comparison
    from automtl.phases.finished.contrasts import Contrast
    from automtl.phases.finished.entries import Entry

MOST_SEEDS = 100  # that are worth a proposal
MOST_LINES = 6


def show(comparison: "Comparison") -> None:
    """The screen."""
    names = shortest([entry.name for entry in comparison.entries])
    _models(comparison, names)
    flagged = {names[e.name]: e.flagged.get(comparison.split, {}) for e in comparison.entries}
    if said := beside_constant(flagged):
        say(said)
    tests = _tests(comparison)
    if tests:
        rows = [
            _test_row(name, test, names, comparison.margin) for name, test in tests[:MOST_LINES]
        ]
        left = len(tests) - len(rows)
        more = f"; {left} more with --full" if left else ""
        title = "MTL-Loss apart on these rows, 95% interval (seeds that would show as much)"
        table(title + more, ("", "", "", ""), rows)
    if hurt := _hurt(comparison, names):
        say(f"worse than single_task in: {hurt}")
    if comparison.trainings:
        say(f"not all were trained alike: {listed(comparison.trainings)} (see --full)")
    say("tests, costs and settings: --full")
    _next(comparison, tests)


def _models(comparison: "Comparison", names: dict[str, str]) -> None:
    rows = []
    for entry in comparison.entries:
        figures = {
            metric: measured(
                entry.mean(comparison.split, metric), entry.sd(comparison.split, metric)
            )
            if metric == LOSS
            else measured(entry.mean(comparison.split, metric), None, 4)
            for metric in comparison.metrics
        }
        count = len(entry.seeds(comparison.split))
        rows.append(Row(names[entry.name], figures, count, entry.megabytes, seconds_of(entry)))
    if comparison.constant:
        digits = {LOSS: 5}
        figures = {m: measured(v, None, digits.get(m, 4)) for m, v in comparison.constant.items()}
        rows.append(Row(CONSTANT, figures))
    print_models(f"{comparison.split} rows, {_order(comparison, names)}", comparison.metrics, rows)
    if marks := [f"{names[e.name]}: {', '.join(e.marks)}" for e in comparison.entries if e.marks]:
        say("; ".join(marks))


def _order(comparison: "Comparison", names: dict[str, str]) -> str:
    undefined = [
        names[e.name] for e in comparison.entries if e.mean(comparison.split, LOSS) is None
    ]
    if not undefined:
        return "best first"
    return f"no MTL-Loss to rank by, for want of a label of every task: {', '.join(undefined)}"


def seconds_of(entry: "Entry") -> float | None:
    """Seconds of one training in the mean."""
    seconds = entry.cost["retrain"]["seconds"]
    units = len(entry.figures["validation"].get(LOSS, {}))
    return seconds / units if seconds and units and entry.home else None


def _tests(comparison: "Comparison") -> "list[tuple[str, Contrast]]":
    """The primary tests, those that show something first; each pair once."""
    seen: set[frozenset[str]] = set()
    tests = []
    for entry in comparison.entries:
        for test in comparison.tests[entry.name]:
            pair = frozenset((entry.name, test.reference))
            if test.primary and test.difference is not None and pair not in seen:
                seen.add(pair)
                tests.append((entry.name, test))
    return sorted(tests, key=lambda item: not item[1].shown)


def _test_row(
    name: str, test: "Contrast", names: dict[str, str], margin: float | None
) -> tuple[str, str, str, str]:
    interval = (
        "" if test.interval is None else f"{test.interval[0]:+.4f} .. {test.interval[1]:+.4f}"
    )
    pair = f"{names[name]} - {names[test.reference]}"
    return pair, f"{test.difference:+.5f}", interval, _verdict(test, margin)


def _verdict(test: "Contrast", margin: float | None) -> str:
    """The verdict of a test, in a few words."""
    if test.shown:
        return test.shown
    if test.holm is None:
        return "not tested (2 seeds)"
    if test.equivalent and margin is not None:
        return f"equal within {margin:.2g}"
    if test.seeds_needed is None:
        return "no difference to see"
    return f"not shown ({test.seeds_needed:,} seeds)"


def _hurt(comparison: "Comparison", names: dict[str, str]) -> str:
    shown = {
        names[name]: [task for task, flag in tasks.items() if flag == "shown"]
        for name, tasks in comparison.negative_transfer.items()
    }
    return ", ".join(f"{name} ({', '.join(tasks)})" for name, tasks in shown.items() if tasks)


def _next(comparison: "Comparison", tests: "Sequence[tuple[str, Contrast]]") -> None:
    """The command that would tell more: test figures, or more seeds."""
    homes = list(dict.fromkeys(entry.home for entry in comparison.entries if entry.home))
    if comparison.split == "validation":
        say("the validation rows chose the epochs; not all models have test figures yet")
        say_command("next", shlex.join(["automtl", "evaluate", *homes]))
        return
    by_name = {entry.name: entry for entry in comparison.entries}
    for name, test in sorted(tests, key=lambda item: item[1].seeds_needed or 0):
        pair = [by_name[name], by_name[test.reference]]
        count = 2 if test.holm is None else test.seeds_needed
        if test.shown or count is None or count > MOST_SEEDS:
            continue
        commands = [
            more_seeds(entry.command, entry.home, entry.seeds(comparison.split), count)
            for entry in pair
        ]
        if not all(commands):
            continue
        times = [seconds_of(entry) or 0.0 for entry in pair]
        missing = [max(0, count - len(entry.seeds(comparison.split))) for entry in pair]
        spent = sum(t * n for t, n in zip(times, missing, strict=True))
        say(f"to tell these two apart: {counted(count, 'seed')} each, about {duration(spent)} more")
        for label, command in zip(("next", "and"), commands, strict=True):
            say_command(label, command)
        return
    say_command("next", shlex.join(["automtl", "report", *homes]))
