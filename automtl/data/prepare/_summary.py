"""The counts of a store's rows that its manifest has for people."""

from collections.abc import Callable
from typing import Any

from automtl.data.prepare._digest import Digester
from automtl.data.prepare._encoding_pass import EncodingCounts
from automtl.data.prepare._fit import Fit
from automtl.data.prepare.remarks import remarks
from automtl.data.spec.dataset import DatasetConfig


def summed_up(
    config: DatasetConfig,
    digester: Digester,
    fit: Fit,
    counts: EncodingCounts,
    copies: dict[str, int],
    say: Callable[[str], None],
) -> dict[str, Any]:
    """The summary of a data set's rows; what looks odd about them is said.

    Args:
        config: the data set.
        digester: which read the rows.
        fit: what they taught.
        counts: of their encoding.
        copies: how many rows are copies of others, see `Copies.summary`.
        say: is told the warnings and remarks.
    """
    summary = {
        **fit.summary(),
        "copies": copies,
        "split": config.split.model_dump(include={"kind", "column", "duplicates"}),
        "unknown": counts.summary(),
        "missing": {name: dict(words) for name, words in sorted(digester.lost.items())},
        "notes": [
            *(line for looks in digester.looks for line in looks.remarks()),
            *fit.remarks(),
            *counts.alike.remarks(),
        ],
    }
    for line in [*counts.warnings(fit.part_rows), *remarks(summary)]:
        say(line)
    return summary
