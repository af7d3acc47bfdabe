"""The pass that encodes: digests become rows of a store, their unknown ids are counted and features
that tell a label are looked for.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa

from automtl.data.prepare._alike import AlikeLabels
from automtl.data.prepare._encode import FeatureEncoder, Lookup
from automtl.data.prepare._prefetch import prefetch_results
from automtl.data.prepare.leakage import LeakCheck
from automtl.data.prepare.split import ALPHA, Rule, by_split, parts_of
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.features import Categorical, Numeric
from automtl.data.store import Rows
from automtl.data.store.schema import SPLITS, Schema, Task
from automtl.data.store.unknown import unknown_rows, unknown_warnings
from automtl.data.values.hashing import hash_words
from automtl.data.values.sums import Sum
from automtl.data.values.text_columns import spread


class EncodingCounts(Sum):
    """What is counted while rows are encoded: rows without a known id, by field of ids and split,
    and tasks with the same labels.
    """

    summed = ("unknown", "alike")

    def __init__(self, schema: Schema) -> None:
        self._schema, self.alike = schema, AlikeLabels(schema)
        self.unknown = {field.name: np.zeros(len(SPLITS), np.int64) for field in schema.id_fields}

    def add(self, rows: Rows, parts: np.ndarray) -> None:
        """Count one batch, given the parts of its rows."""
        self.alike.add(rows.labels)
        splits = np.maximum(parts - ALPHA, 0)
        for name, unknown in unknown_rows(self._schema, rows.ids, rows.lists).items():
            self.unknown[name] += np.bincount(splits[unknown], minlength=len(SPLITS))

    def schema(self) -> Schema:
        """The schema with the counts of the training rows."""
        counts = {name: {"unknown_count": int(counts[0])} for name, counts in self.unknown.items()}
        fields = tuple(f.model_copy(update=counts.get(f.name)) for f in self._schema.fields)
        return self._schema.model_copy(update={"fields": fields})

    def warnings(self, part_rows: np.ndarray) -> list[str]:
        """A line for each column and split whose ids are mostly unknown."""
        schema, rows, lines = self.schema(), by_split(part_rows), list[str]()
        for i, split in enumerate(SPLITS[1:], start=1):
            unknown = {name: int(counts[i]) for name, counts in self.unknown.items()}
            lines += unknown_warnings(schema, unknown, rows[split], f"{split} rows")
        return lines

    def summary(self) -> dict[str, dict[str, int]]:
        """Per field of ids, the rows of each split without a known one."""
        return {
            name: dict(zip(SPLITS, counts.tolist(), strict=True))
            for name, counts in self.unknown.items()
        }


class EncodingPass:
    """Encodes a data set's digests.

    Args:
        config: the data set.
        schema: its fields and tasks.
        words: finds the ids of each field that owns words.
        kept_words: finds the codes of each kept column's words.

    Attributes:
        has_weights: whether any task has a column of weights.
        counts: of the rows so far.
        leaks: the check for features that tell a label, given the rows so far.
    """

    def __init__(
        self,
        config: DatasetConfig,
        schema: Schema,
        words: Mapping[str, Lookup],
        kept_words: Mapping[str, Lookup],
    ) -> None:
        self._features = FeatureEncoder(schema, words, list_lengths(config))
        self._tasks, self._kept_words = schema.tasks, kept_words
        self._weighted = {task.name for task in config.tasks if task.sample_weight}
        self.has_weights = bool(self._weighted)
        self.counts = EncodingCounts(schema)
        self.leaks = LeakCheck(config, schema, schema.train_rows)

    def __call__(
        self, batches: Iterator[pa.RecordBatch], rule: Rule
    ) -> Iterator[tuple[Rows, np.ndarray]]:
        """Each digest's rows and their parts."""

        def encoded(batch: pa.RecordBatch) -> tuple[Rows, np.ndarray, np.ndarray]:
            return self._rows(batch), parts_of(rule, batch), batch.column("draw").to_numpy()

        for rows, parts, draws in prefetch_results(encoded, batches):
            self.leaks.add(rows, parts <= ALPHA, draws)
            self.counts.add(rows, parts)
            yield rows, parts

    def _rows(self, batch: pa.RecordBatch) -> Rows:
        """A digest as rows of a store."""
        count, features = batch.num_rows, self._features
        labels = np.empty((count, len(self._tasks)), np.float32)
        weights = np.ones(labels.shape, np.float32) if self._weighted else None
        for i, task in enumerate(self._tasks):
            labels[:, i] = _labels(task, batch.column(f"y:{task.name}"))
            if weights is not None and task.name in self._weighted:
                weights[:, i] = batch.column(f"w:{task.name}").to_numpy()
        codes = np.empty((count, len(self._kept_words)), np.int32)
        for i, (name, words) in enumerate(self._kept_words.items()):
            column = batch.column(f"k:{name}")
            distinct = words.ids(column.dictionary, hash_words(column.dictionary))
            codes[:, i] = spread(distinct, column)
        return Rows(
            features.ids(batch),
            features.dense(batch),
            labels,
            weights,
            features.lists(batch),
            codes if self._kept_words else None,
        )


def _labels(task: Task, column: pa.Array) -> np.ndarray:
    """A task's labels as numbers: of classes their places, NaN where missing."""
    if task.kind != "multiclass":
        return np.asarray(column.to_numpy(zero_copy_only=False))
    index = {name: float(i) for i, name in enumerate(task.class_names)}
    words = column.dictionary.to_pylist()
    return spread(np.array([index.get(word, np.nan) for word in words]), column)


def list_lengths(config: DatasetConfig) -> dict[str, tuple[int | None, bool]]:
    """Per feature of lists, how many ids are kept at most, and whether the latest."""
    lists = [f for f in config.features if not isinstance(f, Categorical | Numeric)]
    return {feature.name: (feature.max_length, feature.kind == "sequence") for feature in lists}
