"""Digests -> the arrays that a model reads: field-local ids, standardised numbers, labels, weights."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa

from automtl.data.hashing import hash_words
from automtl.data.schema import Field, Schema, Task
from automtl.data.words import canonical, spread
from automtl.errors import DataError


class Arrays(NamedTuple):
    """Rows of a batch or of a split. n rows, Fc categorical fields, M numeric fields, T tasks.

    Attributes:
        ids: (n, Fc) int32, 0 = unknown or missing.
        dense: (n, M) float32, standardised, missing = 0.
        labels: (n, T) float32, NaN = missing; binary 0/1, multiclass the class index, regression in the label's unit after its transform.
        weights: (n, T) float32, or None where every weight is 1.
    """

    ids: np.ndarray
    dense: np.ndarray
    labels: np.ndarray
    weights: np.ndarray | None


class Encoder:
    """Encodes digests by a schema and its vocabularies.

    Args:
        schema: fields and tasks, in the order of the columns to make.
        vocabularies: the words of each categorical field; word i has id i + 1.
        weighted: tasks whose digest has a column of weights.
    """

    def __init__(self, schema: Schema, vocabularies: Mapping[str, pa.ChunkedArray], weighted: frozenset[str] = frozenset()) -> None:
        self._schema, self._weighted = schema, weighted
        # Looked up by 64-bit hash: eight bytes per word instead of a Python text, and one pass over the bytes to look up.
        self._words = {name: _index(name, words) for name, words in vocabularies.items()}

    def __call__(self, batch: pa.RecordBatch) -> Arrays:
        rows, schema = batch.num_rows, self._schema
        ids = np.empty((rows, len(schema.categorical)), np.int32)
        for i, field in enumerate(schema.categorical):
            ids[:, i] = self._ids(field, batch.column(f"f:{field.name}"))
        dense = np.empty((rows, len(schema.numeric)), np.float32)
        for i, field in enumerate(schema.numeric):
            values = (batch.column(f"f:{field.name}").to_numpy() - field.mean) / field.std
            dense[:, i] = np.where(np.isnan(values), 0.0, values)
        labels = np.empty((rows, len(schema.tasks)), np.float32)
        weights = np.ones((rows, len(schema.tasks)), np.float32) if self._weighted else None
        for i, task in enumerate(schema.tasks):
            labels[:, i] = _labels(task, batch.column(f"y:{task.name}"))
            if weights is not None and task.name in self._weighted:
                weights[:, i] = batch.column(f"w:{task.name}").to_numpy()
        return Arrays(ids, dense, labels, weights)

    def _ids(self, field: Field, column: pa.DictionaryArray) -> np.ndarray:
        column = canonical(column) if field.float_text else column
        known = self._words[field.name].get_indexer(pd.Index(hash_words(column.dictionary)))
        return spread((known + 1).astype(np.int32), column)


def _index(name: str, words: pa.ChunkedArray) -> "pd.Index[int]":
    index: pd.Index[int] = pd.Index(hash_words(pa.concat_arrays(words.chunks) if words.num_chunks else pa.array([], pa.string())))
    if not index.is_unique:  # two in 10^7 words: once in 400,000 data sets
        raise DataError(f"feature '{name}'", "must have words with different hashes", "two with the same", "rename one of its values")
    return index


def _labels(task: Task, column: pa.Array) -> np.ndarray:
    if task.kind != "multiclass":
        return np.asarray(column.to_numpy(zero_copy_only=False))
    index = {name: float(i) for i, name in enumerate(task.class_names)}
    return spread(np.array([index.get(word, np.nan) for word in column.dictionary.to_pylist()]), column)
