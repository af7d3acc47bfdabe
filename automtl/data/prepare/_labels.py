"""How often each task is labelled, and with what."""

from typing import Any

import numpy as np
import pyarrow as pa

from automtl.data.prepare._base_rates import BaseRates
from automtl.data.prepare._chance import chi_square, rank_test
from automtl.data.prepare._statistics import Moments, Ranks
from automtl.data.prepare.split import ALPHA, PARTS, by_split
from automtl.data.spec.sections import TaskConfig
from automtl.data.store.schema import Task
from automtl.data.values.sums import Sum
from automtl.data.values.text_columns import spread
from automtl.errors import DataError


class LabelCounts(Sum):
    """How often each task is labelled, by part; binary: with which label; multiclass: with which
    classes; regression: its mean.
    """

    summed = (
        "_labelled",
        "_counted",
        "_positives",
        "_moments",
        "_samples",
        "_classes",
        "_base_rates",
    )

    def __init__(self, task: TaskConfig) -> None:
        self.task = task
        self._labelled = np.zeros(len(PARTS), np.int64)
        self._counted = np.zeros(len(PARTS), np.int64)
        self._positives = np.zeros(len(PARTS), np.int64)
        self._moments = [Moments() for _ in PARTS]
        self._samples = [Ranks() for _ in PARTS]
        self._classes: dict[str, np.ndarray] = {}
        self._base_rates = BaseRates(task)

    def add(self, batch: pa.RecordBatch, parts: np.ndarray) -> None:
        """Count the labels of one digest, given the parts of its rows."""
        column = batch.column(f"y:{self.task.name}")
        if self.task.kind == "multiclass":
            there = self._add_classes(column, parts)
        else:
            values = column.to_numpy(zero_copy_only=False)
            there = ~np.isnan(values)
            self._positives += np.bincount(parts[values == 1], minlength=len(PARTS))
            if self.task.kind == "regression":
                self._add_numbers(values, parts, batch.column("draw").to_numpy())
        self._labelled += np.bincount(parts[there], minlength=len(PARTS))
        self._base_rates.add(batch, parts, there)
        if self.task.sample_weight:
            there = there & (batch.column(f"w:{self.task.name}").to_numpy() > 0)
        self._counted += np.bincount(parts[there], minlength=len(PARTS))

    def _add_classes(self, column: pa.DictionaryArray, parts: np.ndarray) -> np.ndarray:
        words = column.dictionary.to_pylist()
        cells = parts.astype(np.int64) * len(words) + column.indices.to_numpy()
        table = np.bincount(cells, minlength=len(PARTS) * len(words)).reshape(len(PARTS), -1)
        for word, counts in zip(words, table.T, strict=True):
            if word and counts.any():
                self._classes[word] = self._classes.get(word, 0) + counts
        return spread(np.array([word != "" for word in words], bool), column)

    def _add_numbers(self, values: np.ndarray, parts: np.ndarray, draws: np.ndarray) -> None:
        for part, (moments, sample) in enumerate(zip(self._moments, self._samples, strict=True)):
            in_part = parts == part
            moments.add(values[in_part])
            sample.add(values[in_part], draws[in_part])

    def result(self) -> Task:
        """The task as the schema says it.

        Raises:
            DataError: nothing to learn from in the training split.
        """
        task = self.task
        labelled = int(self._labelled[: ALPHA + 1].sum())
        positives = int(self._positives[: ALPHA + 1].sum())
        names = tuple(sorted(self._classes, key=_class_order))
        moments = Moments.merged(self._moments[: ALPHA + 1])
        self._check(labelled, positives, names, moments)
        mean, std = moments.result() if task.kind == "regression" else (0.0, 1.0)
        classes: dict[str, Any] = (
            {"classes": len(names), "class_names": names} if task.kind == "multiclass" else {}
        )
        share = task.negatives_kept or 1.0
        return Task(
            name=task.name,
            kind=task.kind,
            weight=task.weight,
            transform=task.transform,
            negatives_kept=share,
            negatives_kept_test=task.negatives_kept_test or share,
            labelled=labelled,
            positives=positives if task.kind == "binary" else 0,
            **classes,
            mean=mean,
            std=std,
            constant=self._base_rates.result(names or ("0", "1"), labelled, mean, std),
        )

    def _check(
        self, labelled: int, positives: int, names: tuple[str, ...], moments: Moments
    ) -> None:
        """Refuse labels of the training split that nothing can be learnt from."""
        kind, where = self.task.kind, f"task '{self.task.name}'"
        fix = "check the label, or leave out the task"
        if not labelled:
            rule = "must have labels in the training split"
            raise DataError(where, rule, "none", "check the label's column, `where` and the split")
        if kind == "binary" and positives in (0, labelled):
            rule = "must have positives and negatives in the training split"
            raise DataError(where, rule, f"{positives} positives of {labelled} labelled rows", fix)
        if kind == "multiclass" and len(names) < 2:
            raise DataError(where, "must have at least 2 classes", ", ".join(names), fix)
        if kind == "regression" and moments.is_constant:
            rule = "must have numbers that differ in the training split"
            raise DataError(where, rule, f"the same number in all {labelled} labelled rows", fix)

    def summary(self) -> dict[str, Any]:
        """Counts for people, per split or part, and how likely chance alone makes the parts' labels
        differ as much.
        """
        kind = self.task.kind
        return {
            "labelled": by_split(self._labelled),
            "counted": by_split(self._counted),
            "positives": by_split(self._positives) if kind == "binary" else None,
            "classes": {name: int(counts.sum()) for name, counts in self._classes.items()}
            if kind == "multiclass"
            else None,
            "rates": {
                what: dict(zip(PARTS, rates, strict=True)) for what, rates in self._rates().items()
            },
            "p": self._p(),
        }

    def _rates(self) -> dict[str, list[float | None]]:
        """What of the labels can be compared between parts."""
        if self.task.kind == "regression":
            return {
                "mean": [
                    moments.result()[0] if moments.count else None for moments in self._moments
                ]
            }
        if self.task.kind == "binary":
            return {"positive": self._shares(self._positives)}
        return {
            f"class {name}": self._shares(self._classes[name])
            for name in sorted(self._classes, key=_class_order)
        }

    def _shares(self, counts: np.ndarray) -> list[float | None]:
        return [
            float(count / labelled) if labelled else None
            for count, labelled in zip(counts, self._labelled, strict=True)
        ]

    def _p(self) -> float | None:
        if self.task.kind == "regression":
            return rank_test([sample.values() for sample in self._samples])
        classes = (
            [self._positives, self._labelled - self._positives]
            if self.task.kind == "binary"
            else list(self._classes.values())
        )
        return chi_square(np.stack(classes, axis=1))


def _class_order(word: str) -> tuple[bool, float, str]:
    return (False, int(word), word) if word.lstrip("-").isdecimal() else (True, 0, word)
