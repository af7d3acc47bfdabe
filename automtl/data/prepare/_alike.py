"""Tasks whose labels are the same in every row, or each other's opposite: a second task of them
teaches nothing, and counts twice.
"""

from typing import Self

import numpy as np

from automtl.data.store.schema import Schema
from automtl.data.values.sums import Sum


class AlikeLabels(Sum):
    """Gathers which pairs of tasks have told the same so far.

    Args:
        schema: the tasks; a binary one may be another's opposite, too.
    """

    summed = ("_same", "_opposite")

    def __init__(self, schema: Schema) -> None:
        tasks = list(enumerate(schema.tasks))
        self._names = [task.name for _, task in tasks]
        pairs = [
            (i, j, one.kind == other.kind == "binary")
            for i, one in tasks
            for j, other in tasks[i + 1 :]
            if one.kind == other.kind
        ]
        self._same = {(i, j) for i, j, _ in pairs}
        self._opposite = {(i, j) for i, j, binary in pairs if binary}

    def add(self, labels: np.ndarray) -> None:
        """Count the labels of some rows, NaN where missing. Shape: (n, T)."""
        self._same = {
            (i, j)
            for i, j in self._same
            if np.array_equal(labels[:, i], labels[:, j], equal_nan=True)
        }
        self._opposite = {
            (i, j)
            for i, j in self._opposite
            if np.array_equal(labels[:, i], 1 - labels[:, j], equal_nan=True)
        }

    def merge(self, later: Self) -> None:
        """Add the labels of later rows."""
        self._same &= later._same
        self._opposite &= later._opposite

    def remarks(self) -> list[str]:
        """A line for each pair of tasks that are alike."""
        pairs = [(pair, "the same labels as") for pair in self._same] + [
            (pair, "the opposite labels of") for pair in self._opposite
        ]
        fix = "in every row: one of them will do, and both together count twice in the MTL-Loss"
        return [
            f"task '{self._names[j]}' has {words} task '{self._names[i]}' {fix}"
            for (i, j), words in sorted(pairs)
        ]
