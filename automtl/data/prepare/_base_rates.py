"""What the best constant model says of a task: base rates of the training rows, weighted as the
loss weighs them.
"""

import math
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pyarrow as pa

from automtl.data.prepare._statistics import exact_sum
from automtl.data.prepare.split import ALPHA
from automtl.data.spec.sections import TaskConfig
from automtl.data.values.sums import Sum


class BaseRates(Sum):
    """Sums of the training rows' weights by class, or of their labels; exact, so that the order of
    rows does not matter.
    """

    summed = ("_masses", "_mass", "_moment")

    def __init__(self, task: TaskConfig) -> None:
        self._task = task
        self._masses: dict[str, Fraction] = {}  # per class, the sum of its rows' weights
        # the sum of all weights; regression: of weight * label
        self._mass = self._moment = Fraction(0)

    def add(self, batch: pa.RecordBatch, parts: np.ndarray, there: np.ndarray) -> None:
        """Count one digest, given its rows' parts and which of them have the label."""
        rows = np.flatnonzero(there & (parts <= ALPHA))
        column, weighted = batch.column(f"y:{self._task.name}"), self._task.sample_weight
        weights = (
            batch.column(f"w:{self._task.name}").to_numpy()[rows]
            if weighted
            else np.ones(len(rows))
        )
        weights = weights.astype(np.float32).astype(np.float64)  # as the store keeps them
        if self._task.kind == "multiclass":
            self._weigh(column.dictionary.to_pylist(), column.indices.to_numpy()[rows], weights)
            return
        values = column.to_numpy(zero_copy_only=False)[rows]
        if self._task.kind == "binary":
            self._weigh(("0", "1"), values.astype(np.intp), weights)
        else:
            self._moment += exact_sum(weights * values)
            self._mass += exact_sum(weights)

    def _weigh(self, words: Sequence[str], codes: np.ndarray, weights: np.ndarray) -> None:
        ends = np.cumsum(np.bincount(codes, minlength=len(words)))[:-1]
        for word, part in zip(
            words, np.split(weights[np.argsort(codes, kind="stable")], ends), strict=True
        ):
            mass = exact_sum(part)
            self._masses[word] = self._masses.get(word, Fraction(0)) + mass
            self._mass += mass

    def result(
        self, names: Sequence[str], labelled: int, mean: float, std: float
    ) -> tuple[float, ...]:
        """See ``Task.constant``. Where a class has no weight, each gets one row's more: the log of
        its share must be finite.
        """
        if self._task.kind == "regression":
            return ((float(self._moment / self._mass) - mean) / std if self._mass else 0.0,)
        masses = [self._masses.get(name, Fraction(0)) for name in names]
        if not all(masses):
            row = self._mass / labelled or Fraction(1)
            masses = [mass + row for mass in masses]
        logs = [math.log(mass / sum(masses)) for mass in masses]
        return (logs[1] - logs[0],) if self._task.kind == "binary" else tuple(logs)
