"""How often each task is labelled, and with what."""

from collections import Counter

import numpy as np
import pyarrow as pa

from automtl.data.dataset import TaskConfig
from automtl.data.schema import Task
from automtl.data.split import SPLITS
from automtl.data.statistics import Moments
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

    def add(self, column: pa.Array, splits: np.ndarray) -> None:
        """Take in one batch."""
        if self.task.kind == "multiclass":
            words, codes = column.dictionary.to_pylist(), column.indices.to_numpy()
            there = spread(np.array([word != "" for word in words], bool), column)
            for code, count in enumerate(np.bincount(codes, minlength=len(words))):
                if words[code] and count:
                    self.classes[words[code]] += int(count)
        else:
            values = column.to_numpy(zero_copy_only=False)
            there = ~np.isnan(values)
            self.positives += np.bincount(splits[values == 1], minlength=len(SPLITS))
            if self.task.kind == "regression":
                self.moments.add(values[splits == 0])
        self.labelled += np.bincount(splits[there], minlength=len(SPLITS))

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
        shared: dict[str, object] = {"name": task.name, "kind": task.kind, "weight": task.weight, "transform": task.transform}
        counts = {"labelled": labelled, "positives": positives if task.kind == "binary" else 0}
        classes = {"classes": len(names), "class_names": names} if task.kind == "multiclass" else {}
        kept = task.negatives_kept or 1.0
        shared |= {"negatives_kept": kept, "negatives_kept_test": task.negatives_kept_test or kept}
        return Task(**shared, **counts, **classes, mean=mean, std=std)  # type: ignore[arg-type]


def _class_order(word: str) -> tuple[bool, float, str]:
    return (False, int(word), word) if word.lstrip("-").isdecimal() else (True, 0, word)
