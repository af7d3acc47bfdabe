"""What the one who prepares a data set should know of its rows, in sentences made from a store's
counts.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from automtl.data.prepare._chance import unlikely
from automtl.errors import counted

Summary = Mapping[str, Any]
FEW_ROWS, MOST_NAMED = 20, 10  # of a class that is rare; classes in one sentence


def by_chance(split: Summary) -> bool:
    """Whether each row's part is drawn on its own, so that only chance makes parts differ."""
    return split["kind"] == "random" and split["column"] is None and split["duplicates"] == "spread"


def differing(tasks: Summary) -> tuple[str, ...]:
    """The tasks whose labels differ from part to part by more than chance."""
    return unlikely({name: task["p"] for name, task in tasks.items()})


def remarks(summary: Summary) -> list[str]:
    """What looks odd about columns, copies among the rows, tasks without labels to judge by, label
    rates that differ between parts; and which tasks are of classes, which may have been a guess.
    """
    lines = [*summary["notes"], *([_copies(summary)] if summary["copies"]["rows"] else [])]
    for name, task in summary["tasks"].items():
        lines += [
            _unlabelled(name, split)
            for split in ("validation", "test")
            if not task["counted"][split]
        ]
        lines += _classes(name, task)
    if names := differing(summary["tasks"]):
        lines.append(_rates(summary, names))
    return lines


def _copies(summary: Summary) -> str:
    copies, rows = summary["copies"], summary["rows"]
    are = "is an exact copy of another" if copies["rows"] == 1 else "are exact copies of others"
    copied = (
        f"{counted(copies['rows'], 'row')} ({copies['rows'] / sum(rows.values()):.1%}) {are}; of "
        "the rows of"
    )
    shares = [f"{split} {copies[split] / rows[split]:.1%}" for split in ("validation", "test")]
    return f"{copied} {' and '.join(shares)} are copies of training rows"


def _classes(name: str, task: Summary) -> list[str]:
    """A task's classes, and those of few rows or of none in some part."""
    if not (rows := task["classes"]):
        return []
    classes = [what.removeprefix("class ") for what in task["rates"]]  # in their order
    lines = [f"task '{name}' is multiclass, of {len(classes):,} classes: {_named(classes)}"]
    if rare := [word for word in classes if rows[word] < FEW_ROWS]:
        shown = _few([f"{word!r} {counted(rows[word], 'row')}" for word in rare])
        have = counted(len(rare), "class has", "classes have")
        lines.append(
            f"task '{name}': {have} fewer than {FEW_ROWS} rows ({', '.join(shown)}); a mistyped "
            "label is a class, too"
        )
    absent = {word: _parts_without(task["rates"][f"class {word}"]) for word in classes}
    if missing := [f"{word!r} from {_listed(parts)}" for word, parts in absent.items() if parts]:
        lines.append(f"task '{name}': classes missing from parts: {'; '.join(_few(missing))}")
    return lines


def _parts_without(rates: Mapping[str, float | None]) -> list[str]:
    return [part for part, rate in rates.items() if rate == 0]


def _named(words: Sequence[str]) -> str:
    first = _few([repr(word) for word in words])
    return _listed(first) if len(words) <= MOST_NAMED else ", ".join(first)


def _few(words: Sequence[str]) -> list[str]:
    """The first ones of many."""
    return [*words[:MOST_NAMED], *(["..."] if len(words) > MOST_NAMED else [])]


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def _unlabelled(name: str, split: str) -> str:
    unlabelled = (
        f"task '{name}' has no {split} row with a label (and a weight above 0): there is no "
        f"MTL-Loss of the {split} rows"
    )
    refused = "; search and retrain will refuse these data. Change the split, or leave out the task"
    return unlabelled + (refused if split == "validation" else "")


def _rates(summary: Summary, names: tuple[str, ...]) -> str:
    rates = "; ".join(f"{name} ({_of_parts(summary['tasks'][name])})" for name in names)
    if by_chance(summary["split"]):
        head = "WARNING: the labels of the parts differ by more than chance"
        fix = "choose another split.seed"
        return f"{head}: {rates}. One random split in 1,000 does so; {fix}"
    split = summary["split"]
    how = split["kind"] + (f", column {split['column']}" if split["column"] else "")
    how += ", copies together" if split["duplicates"] == "together" else ""
    return f"drift: the labels of the parts differ, as they may in this split ({how}): {rates}"


def _of_parts(task: Summary) -> str:
    """The rate that differs most from part to part."""

    def span(rates: Mapping[str, float | None]) -> float:
        known = [rate for rate in rates.values() if rate is not None]
        return max(known, default=0.0) - min(known, default=0.0)

    what = max(task["rates"], key=lambda name: span(task["rates"][name]))
    rates = ", ".join(
        f"{part} {rate:.4g}" for part, rate in task["rates"][what].items() if rate is not None
    )
    return f"{what}: {rates}; p {task['p']:.1g}"
