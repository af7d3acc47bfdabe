"""The tables of a search: softmax(alpha) per block and softmax(beta) per task, epoch by epoch."""

from collections.abc import Iterable, Mapping
from typing import Any

import pyarrow as pa

_ALPHAS = pa.schema(
    [
        ("epoch", pa.int64()),
        ("block", pa.string()),
        ("operation", pa.string()),
        ("weight", pa.float64()),
    ]
)
_BETAS = pa.schema(
    [("epoch", pa.int64()), ("task", pa.string()), ("expert", pa.int64()), ("weight", pa.float64())]
)


def alpha_table(history: list[dict[str, Any]]) -> pa.Table:
    """Rows (epoch, block, operation, weight), weight = softmax(alpha)."""
    lines = (
        _rows(line["epoch"], {b: w.items() for b, w in line["choices"].items()}, _ALPHAS)
        for line in history
    )
    return pa.concat_tables(lines)


def beta_table(history: list[dict[str, Any]]) -> pa.Table:
    """Rows (epoch, task, expert, weight), weight = softmax(beta)."""
    lines = (
        _rows(line["epoch"], {t: enumerate(w) for t, w in line["expert_usage"].items()}, _BETAS)
        for line in history
    )
    return pa.concat_tables(lines)


def _rows(
    epoch: int, groups: Mapping[str, Iterable[tuple[Any, float]]], schema: pa.Schema
) -> pa.Table:
    """An epoch's rows: of all epochs at once, they would stay with Python as memory that a long
    search never gives back.
    """
    rows = [
        (epoch, group, name, weight) for group, pairs in groups.items() for name, weight in pairs
    ]
    return pa.table([list(column) for column in zip(*rows, strict=True)] or [[]] * 4, schema=schema)
