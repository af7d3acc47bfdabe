"""The table of trained models that several commands print, and the remarks below it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from automtl.cli.console import table
from automtl.errors import counted

LOSS = "MTL-Loss"
CONSTANT = "constant"


@dataclass(frozen=True)
class Row:
    """One model, or the constant.

    Args:
        name: of the model.
        figures: by metric, in words.
        seeds: how many; 0 for the constant.
        megabytes: of the stored model.
        seconds: of one training.
        more: further columns.
    """

    name: str
    figures: Mapping[str, str]
    seeds: int = 0
    megabytes: float | None = None
    seconds: float | None = None
    more: Mapping[str, str] = field(default_factory=dict)


def print_models(title: str, metrics: Sequence[str], rows: Sequence[Row]) -> None:
    """The models beside the constant. What is the same of all stands in the title."""
    tasks = [metric for metric in metrics if metric != LOSS]
    kinds = {metric.rpartition(" ")[2] for metric in tasks}
    if len(kinds) == 1:
        title += f"; tasks: {kinds.pop()}"
        heads = {metric: metric.rpartition(" ")[0] for metric in tasks}
    else:
        heads = {metric: metric for metric in tasks}
    counts = {row.seeds for row in rows if row.seeds}
    if len(counts) == 1:
        title += f"; {counted(counts.pop(), 'seed')}{' each' if len(rows) > 2 else ''}"
        counts = set()
    more = list(dict.fromkeys(name for row in rows for name in row.more))
    sized, timed = (any(getattr(r, n) is not None for r in rows) for n in ("megabytes", "seconds"))
    header = [
        "model",
        *(["seeds"] if counts else []),
        *(heads.get(metric, metric) for metric in metrics),
        *more,
        *(["size"] if sized else []),
        *(["train"] if timed else []),
    ]
    lines = [
        [
            row.name,
            *([str(row.seeds or "-")] if counts else []),
            *(row.figures.get(metric, "-") for metric in metrics),
            *(row.more.get(name, "-") for name in more),
            *([megabytes(row.megabytes)] if sized else []),
            *([duration(row.seconds)] if timed else []),
        ]
        for row in rows
    ]
    table(title, header, lines)


def beside_constant(flagged: Mapping[str, Mapping[str, Sequence[str]]]) -> str:
    """The models that are not better than the constant, and in what, in one line; "" where all are.

    Args:
        flagged: per model what `runs/constant.py` says of it.
    """
    words = list(dict.fromkeys(word for own in flagged.values() for word in own))
    return "; ".join(
        f"{word}: "
        + ", ".join(
            f"{name} ({', '.join(own[word])})" for name, own in flagged.items() if word in own
        )
        for word in words
    )


def measured(mean: float | None, sd: float | None, digits: int = 5) -> str:
    """A figure over seeds."""
    if mean is None:
        return "undefined"
    return f"{mean:.{digits}f}" + ("" if sd is None else f" ±{sd:.{digits}f}")


def megabytes(size: float | None) -> str:
    """A size in words."""
    return "-" if size is None else f"{size:.2g} MB" if size < 100 else f"{size:,.0f} MB"


def duration(seconds: float | None) -> str:
    """A duration in words."""
    if seconds is None:
        return "-"
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 90 * 60 else f"{seconds / 3600:.1f} h"
