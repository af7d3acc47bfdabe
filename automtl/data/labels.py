"""How often each task is labelled, and with what."""

import math
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction

import numpy as np
import pyarrow as pa

from automtl.data.dataset import TaskConfig
from automtl.data.schema import Task
from automtl.data.split import SPLITS
from automtl.data.statistics import Moments, exact_sum
from automtl.data.words import spread
from automtl.errors import DataError


class LabelCounts:
    """How often each task is labelled, by split; binary: with which label; multiclass: with which classes."""

    def __init__(self, task: TaskConfig) -> None:
        self.task = task
        self.labelled = np.zeros(len(SPLITS), np.int64)
        self.positives = np.zeros(len(SPLITS), np.int64)
        self.moments = Moments()
        self.classes: Counter[str] = Counter()
        self._masses: dict[str, Fraction] = {}  # of the training rows with a class, the sum of their weights
        self._mass = self._moment = Fraction(0)  # of all of them; regression: of weight * label

    def add(self, column: pa.Array, splits: np.ndarray, weights: np.ndarray | None = None) -> None:
        """Take in one batch; weights are 1 where there are none."""
        train = splits == 0
        loss_weights = np.ones(len(splits)) if weights is None else weights.astype(np.float32).astype(np.float64)
        if self.task.kind == "multiclass":
            words, codes = column.dictionary.to_pylist(), column.indices.to_numpy()
            there = spread(np.array([word != "" for word in words], bool), column)
            for code, count in enumerate(np.bincount(codes, minlength=len(words))):
                if words[code] and count:
                    self.classes[words[code]] += int(count)
            self._weigh(words, codes[train & there], loss_weights[train & there])
        else:
            values = column.to_numpy(zero_copy_only=False)
            there = ~np.isnan(values)
            self.positives += np.bincount(splits[values == 1], minlength=len(SPLITS))
            if self.task.kind == "regression":
                self.moments.add(values[train])
                self._moment += exact_sum(loss_weights[train & there] * values[train & there])
                self._mass += exact_sum(loss_weights[train & there])
            else:
                self._weigh(("0", "1"), values[train & there].astype(np.intp), loss_weights[train & there])
        self.labelled += np.bincount(splits[there], minlength=len(SPLITS))

    def _weigh(self, words: Sequence[str], codes: np.ndarray, weights: np.ndarray) -> None:
        """Add training rows' weights to those of their classes."""
        ends = np.cumsum(np.bincount(codes, minlength=len(words)))[:-1]
        for word, part in zip(words, np.split(weights[np.argsort(codes, kind="stable")], ends), strict=True):
            self._masses[word] = self._masses.get(word, Fraction(0)) + (mass := exact_sum(part))
            self._mass += mass

    def _constant(self, names: tuple[str, ...], mean: float, std: float) -> tuple[float, ...]:
        """See ``Task.constant``. Where a class has no weight, each gets one row's more: the log of its share must be finite."""
        if self.task.kind == "regression":
            return ((float(self._moment / self._mass) - mean) / std if self._mass else 0.0,)
        masses = [self._masses.get(name, Fraction(0)) for name in names]
        if not all(masses):
            row = self._mass / int(self.labelled[0]) or Fraction(1)
            masses = [mass + row for mass in masses]
        logs = [math.log(mass / sum(masses)) for mass in masses]
        return (logs[1] - logs[0],) if self.task.kind == "binary" else tuple(logs)

    def result(self) -> Task:
        """The task as the schema says it.

        Raises:
            DataError: nothing to learn from in the training split.
        """
        task, labelled, positives = self.task, int(self.labelled[0]), int(self.positives[0])
        where = f"task '{task.name}'"
        if not labelled:
            raise DataError(where, "must have labels in the training split", "none", "check the label's column, `where` and the split")
        if task.kind == "binary" and positives in (0, labelled):
            got = f"{positives} positives of {labelled} labelled rows"
            raise DataError(where, "must have positives and negatives in the training split", got, "check the label, or leave out the task")
        names = tuple(sorted(self.classes, key=_class_order))
        if task.kind == "multiclass" and len(names) < 2:
            raise DataError(where, "must have at least 2 classes", ", ".join(names), "check the label, or leave out the task")
        mean, std = self.moments.result() if task.kind == "regression" else (0.0, 1.0)
        shared = {"name": task.name, "kind": task.kind, "weight": task.weight, "transform": task.transform}
        counts = {"labelled": labelled, "positives": positives if task.kind == "binary" else 0}
        classes = {"classes": len(names), "class_names": names} if task.kind == "multiclass" else {}
        constant = self._constant(names or ("0", "1"), mean, std)
        return Task(**shared, **counts, **classes, mean=mean, std=std, constant=constant)  # type: ignore[arg-type]


def _class_order(word: str) -> tuple[bool, float, str]:
    return (False, int(word), word) if word.lstrip("-").isdecimal() else (True, 0, word)
