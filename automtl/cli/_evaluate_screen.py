"""Test figures on one screen: the models beside the constant, and what would tell the best two of
the same rows apart.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from automtl.cli._models import (
    LOSS,
    Row,
    beside_constant,
    measured,
    print_models,
)
from automtl.cli.console import listed, say
from automtl.reports.names import shortest

if TYPE_CHECKING:
    from automtl.phases.finished.evaluate import ModelResult


def show(results: "Sequence[ModelResult]") -> None:
    """The screen: a table for the models that were read on the same rows."""
    from automtl.phases.finished.figures import apart, by_label, constants, of_same_rows
    from automtl.phases.finished.figures import beside_constant as flagged

    names = shortest(list(by_label(results)))
    if said := apart(results):
        say(said)
    groups = of_same_rows(results)
    for (rows, group), constant in zip(groups, constants(results), strict=True):
        _table(group, constant, names, f" of {rows}" if len(groups) > 1 else "")
    if said := beside_constant({names[label]: own for label, own in flagged(results).items()}):
        say(said)
    for _, group in groups:
        _gap(group, names)
    if known := dict.fromkeys(column for result in results for column in result.known):
        say(f"rows with and without known ids of {listed(known)}: --full")


def _table(
    results: "Sequence[ModelResult]",
    constant: Mapping[str, Any],
    names: Mapping[str, str],
    where: str,
) -> None:
    """Models of the same rows, the best first, above their constant."""
    from automtl.phases.finished.evaluate import summary
    from automtl.phases.finished.figures import stored_sizes, training_seconds

    rows, seconds, sizes = summary(results), training_seconds(results), stored_sizes(results)
    metrics = [LOSS, *(key for key in rows[0] if key not in ("model", "seeds", LOSS))]
    lines = [
        Row(
            names[row["model"]],
            _figures(row),
            len(row["seeds"]),
            sum(sizes[row["model"]].values()) or None,
            seconds[row["model"]],
        )
        for row in sorted(rows, key=_loss)
    ]
    lines.append(Row(constant["model"], _figures(constant)))
    reads = max(result.reads for result in results)
    print_models(f"test rows{where} (read {reads}x)", metrics, lines)


def _loss(row: Mapping[str, Any]) -> tuple[bool, float]:
    mean = (row.get(LOSS) or {}).get("mean")
    return mean is None, mean or 0.0


def _figures(row: Mapping[str, Any]) -> dict[str, str]:
    figures = {key: value for key, value in row.items() if key not in ("model", "seeds")}
    return {
        key: measured(
            value and value["mean"],
            value["sd"] if value and key == LOSS else None,
            5 if key == LOSS else 4,
        )
        for key, value in figures.items()
    }


def _gap(results: "Sequence[ModelResult]", names: Mapping[str, str]) -> None:
    """Whether the best two are told apart, and how many seeds would do it."""
    from automtl.phases.finished.figures import best_gap

    if (gap := best_gap(results)) is None:
        return
    said = f"{names[gap.second]} - {names[gap.best]}: {gap.difference:+.5f}"
    if gap.interval is None:
        say(f"{said}, of too few seeds to tell them apart; 2 of each would give an interval")
        return
    said += f" (95% {gap.interval[0]:+.5f} .. {gap.interval[1]:+.5f})"
    if gap.shown:
        say(f"{said}, of these two on these rows")
    elif gap.needed is None:
        say(f"{said}, no difference to see")
    else:
        say(f"{said}, not told apart; about {gap.needed:,} seeds of each would")
