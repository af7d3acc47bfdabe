"""The tables of a search: softmax(alpha) per block and softmax(beta) per task, epoch by epoch."""

from typing import Any

import pyarrow as pa


def alpha_table(history: list[dict[str, Any]]) -> pa.Table:
    """Rows (epoch, block, operation, weight), weight = softmax(alpha)."""
    rows = [
        (line["epoch"], block, operation, weight)
        for line in history
        for block, weights in line["choices"].items()
        for operation, weight in weights.items()
    ]
    return pa.table(dict(zip(("epoch", "block", "operation", "weight"), map(list, zip(*rows, strict=True)), strict=True)))


def beta_table(history: list[dict[str, Any]]) -> pa.Table:
    """Rows (epoch, task, expert, weight), weight = softmax(beta)."""
    rows = [
        (line["epoch"], task, expert, weight)
        for line in history
        for task, weights in line["expert_usage"].items()
        for expert, weight in enumerate(weights)
    ]
    names, kinds = ("epoch", "task", "expert", "weight"), (pa.int64(), pa.string(), pa.int64(), pa.float64())
    columns = list(zip(*rows, strict=True)) or [()] * 4
    return pa.table({n: pa.array(list(c), k) for n, k, c in zip(names, kinds, columns, strict=True)})
