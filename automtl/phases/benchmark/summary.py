"""A table summarised in a few lines."""

import pandas as pd

from automtl.benchmarks.tables import DRAWN, FRESH


def summary_rows(table: pd.DataFrame) -> list[tuple[str, ...]]:
    """Per stratum and other model, of the first seeds: architectures, mean and least of their mean
    losses, seconds; best mean first.
    """
    known = table[table["loss"].notna() & (table["stage"] != FRESH)]
    named = known.assign(
        group=known["stratum"].where(known["kind"] == DRAWN, known["name"]).replace("", DRAWN)
    )
    rows = []
    for group, part in named.groupby("group"):
        means = part.groupby("architecture")["loss"].mean()
        seconds = f"{part['seconds'].median():.0f}"
        rows.append(
            (
                means.mean(),
                (str(group), str(len(means)), f"{means.mean():.5f}", f"{means.min():.5f}", seconds),
            )
        )
    return [row for _, row in sorted(rows)]
