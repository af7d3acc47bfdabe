"""What is learnt from the rows: vocabularies, scalers and label statistics of the TRAINING split, counts and hashes of all."""

import hashlib
from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.dataset import Categorical, DatasetConfig, Feature, TaskConfig
from automtl.data.hashing import mix
from automtl.data.schema import Field, Schema, Task
from automtl.data.split import ALPHA, PARTS, SPLITS
from automtl.data.statistics import Moments, Vocabulary
from automtl.data.words import canonical, spread
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
        shared = {"name": task.name, "kind": task.kind, "weight": task.weight, "transform": task.transform}
        counts = {"labelled": labelled, "positives": positives if task.kind == "binary" else 0}
        classes = {"classes": len(names), "class_names": names} if task.kind == "multiclass" else {}
        return Task(**shared, **counts, **classes, mean=mean, std=std)  # type: ignore[arg-type]


def _class_order(word: str) -> tuple[bool, float, str]:
    return (False, int(word), word) if word.lstrip("-").isdecimal() else (True, 0, word)


class Fit:
    """One pass over the digests.

    Args:
        config: the data set.
        float_text: the categorical columns that hold floats.
    """

    def __init__(self, config: DatasetConfig, float_text: tuple[str, ...]) -> None:
        self._config, self._float_text = config, float_text
        self._words = {f.name: Vocabulary() for f in config.features if isinstance(f, Categorical)}
        self._moments = {f.name: Moments() for f in config.features if not isinstance(f, Categorical)}
        self._labels = [LabelCounts(task) for task in config.tasks]
        self.part_rows = np.zeros(len(PARTS), np.int64)
        self._part_hashes = np.zeros((len(PARTS), 2), np.uint64)

    def add(self, batch: pa.RecordBatch, parts: np.ndarray) -> None:
        """Take in one digest and the parts of its rows."""
        train = parts <= ALPHA
        for name, words in self._words.items():
            column = batch.column(f"f:{name}")
            column = canonical(column) if name in self._float_text else column
            words.add(column.dictionary, np.bincount(column.indices.to_numpy()[train], minlength=len(column.dictionary)))
        for name, moments in self._moments.items():
            moments.add(batch.column(f"f:{name}").to_numpy()[train])
        splits = np.maximum(parts - ALPHA, 0)
        for labels in self._labels:
            labels.add(batch.column(f"y:{labels.task.name}"), splits)
        self._count(batch.column("hash").to_numpy(), parts)

    def _count(self, hashes: np.ndarray, parts: np.ndarray) -> None:
        self.part_rows += np.bincount(parts, minlength=len(PARTS))
        for part in range(len(PARTS)):
            mine = hashes[parts == part]
            self._part_hashes[part] += np.array([mine.sum(dtype=np.uint64), mix(mine).sum(dtype=np.uint64)])

    def check_rows(self) -> None:
        """Refuse a split without rows.

        Raises:
            DataError: a part of the data has none.
        """
        for part, rows in zip(PARTS, self.part_rows, strict=True):
            if not rows:
                counts = ", ".join(f"{name} {count}" for name, count in zip(PARTS, self.part_rows, strict=True))
                fix = "change split, or bring more rows"
                raise DataError(f"{self._config.name}: {part} rows", "must not be empty", f"rows: {counts}", fix)

    def result(self, config_hash: str) -> tuple[Schema, dict[str, pa.Table]]:
        """The schema, and the vocabulary (word, count) of each categorical field."""
        vocabularies = {f.name: self._words[f.name].result(f.min_count) for f in self._config.features if isinstance(f, Categorical)}
        train_rows = int(self.part_rows[: ALPHA + 1].sum())
        ordered = sorted(self._config.features, key=lambda f: f.kind != "categorical")
        fields = tuple(self._field(feature, vocabularies, train_rows) for feature in ordered)
        whole = self._part_hashes.sum(axis=0, dtype=np.uint64)
        hashes = {"data_hash": _hex(whole), "split_hash": _hex(self._part_hashes), "config_hash": config_hash}
        tasks = tuple(labels.result() for labels in self._labels)
        return Schema(name=self._config.name, fields=fields, tasks=tasks, **hashes), vocabularies

    def _field(self, feature: Feature, vocabularies: dict[str, pa.Table], train_rows: int) -> Field:
        name = feature.name
        if isinstance(feature, Categorical):
            known = int(pc.sum(vocabularies[name]["count"]).as_py() or 0)
            size, unknown = len(vocabularies[name]) + 1, train_rows - known
            return Field(name=name, kind="categorical", vocabulary_size=size, unknown_count=unknown, float_text=name in self._float_text)
        mean, std = self._moments[name].result()
        unknown = train_rows - self._moments[name].count
        return Field(name=name, kind="numeric", unknown_count=unknown, mean=mean, std=std, transform=feature.transform)

    def summary(self) -> dict[str, object]:
        """Counts for people: rows per part, labels and positives per task and split."""
        tasks = {
            labels.task.name: {
                "labelled": dict(zip(SPLITS, labels.labelled.tolist(), strict=True)),
                "positives": dict(zip(SPLITS, labels.positives.tolist(), strict=True)) if labels.task.kind == "binary" else None,
                "classes": dict(labels.classes) if labels.task.kind == "multiclass" else None,
            }
            for labels in self._labels
        }
        return {"rows": dict(zip(PARTS, self.part_rows.tolist(), strict=True)), "tasks": tasks}


def _hex(numbers: np.ndarray) -> str:
    return hashlib.sha256(numbers.astype("<u8").tobytes()).hexdigest()
