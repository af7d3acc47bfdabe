"""The features of digests -> what a model reads: field-local ids and standardised numbers."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.prepare._statistics import normal_scores
from automtl.data.store.id_lists import Lists, cut_lists, drop_zeros
from automtl.data.store.schema import Field, Schema
from automtl.data.values.hashing import hash_words, mix
from automtl.data.values.list_columns import split_lists
from automtl.data.values.text_columns import spread
from automtl.errors import DataError


class FeatureEncoder:
    """Encodes the features of digests by a schema and its vocabularies.

    Args:
        schema: the fields, in the order of the columns to make.
        words: finds the ids of each field that owns words.
        lengths: per field of lists, how many ids are kept at most, and whether the latest.
    """

    def __init__(
        self,
        schema: Schema,
        words: "Mapping[str, Lookup]",
        lengths: Mapping[str, tuple[int | None, bool]],
    ) -> None:
        self._schema, self._lengths, self._words = schema, lengths, words

    def ids(self, batch: pa.RecordBatch) -> np.ndarray:
        """The ids of the categorical fields. Shape: (n, Fc) int32."""
        ids = np.empty((batch.num_rows, len(self._schema.categorical)), np.int32)
        for i, field in enumerate(self._schema.categorical):
            column = batch.column(f"f:{field.name}")
            words = field.words.apply(column.dictionary)
            hashes = (
                batch.column(f"h:{field.name}").dictionary.to_numpy()
                if words is column.dictionary
                else hash_words(words)
            )
            ids[:, i] = spread(self._known(field, words, hashes), column)
        return ids

    def dense(self, batch: pa.RecordBatch) -> np.ndarray:
        """The standardised numbers. Shape: (n, M) float32."""
        dense = np.empty((batch.num_rows, len(self._schema.numeric)), np.float32)
        for i, field in enumerate(self._schema.numeric):
            values = batch.column(f"f:{field.indicator_of or field.name}").to_numpy()
            dense[:, i] = np.isnan(values) if field.indicator_of else _standardised(field, values)
        return dense

    def lists(self, batch: pa.RecordBatch) -> tuple[Lists, ...]:
        """Per field of lists, each row's known ids."""
        return tuple(
            self._list(field, batch.column(f"f:{field.name}")) for field in self._schema.lists
        )

    def _list(self, field: Field, column: pa.DictionaryArray) -> Lists:
        words, offsets = split_lists(column.dictionary)
        formed = field.words.apply(words.dictionary)
        known = drop_zeros(
            Lists(spread(self._known(field, formed, hash_words(formed)), words), offsets)
        )
        longest, latest = self._lengths[field.name]
        cut = known if longest is None else cut_lists(known, longest, latest)
        return cut.take(column.indices.to_numpy())

    def _known(self, field: Field, words: pa.Array, hashes: np.ndarray) -> np.ndarray:
        """The id of each word, 0 where it is unknown."""
        if field.hash_buckets:
            missing = pc.equal(words, "").to_numpy(zero_copy_only=False)
            return np.where(
                missing, 0, mix(hashes) % np.uint64(field.hash_buckets) + np.uint64(1)
            ).astype(np.int32)
        return self._words[field.owner].ids(words, hashes)


def _standardised(field: Field, values: np.ndarray) -> np.ndarray:
    scored = normal_scores(values, field.quantiles) if field.quantiles else values
    standard = (scored - field.mean) / field.std
    return np.where(np.isnan(standard), 0.0, standard)


class Lookup(Protocol):
    """Finds the ids of words."""

    def ids(self, words: pa.Array, hashes: np.ndarray) -> np.ndarray:
        """The id of each word, by the word or by its hash; 0 where there is none. (n,) int32."""
        ...


class WordIndex:
    """The words of a vocabulary; word i has id i + 1.

    Looked up by 64-bit hash: eight bytes per word instead of a Python text, and one pass over the
    bytes to look up.

    Args:
        name: of the field, for errors.
        words: in their order.

    Raises:
        DataError: two words with one hash.
    """

    def __init__(self, name: str, words: pa.ChunkedArray) -> None:
        self._index = _hash_index(name, words)

    def ids(self, words: pa.Array, hashes: np.ndarray) -> np.ndarray:
        """The id of each word; 0 where there is none."""
        return np.asarray(self._index.get_indexer(pd.Index(hashes)) + 1, np.int32)


def indexed(vocabularies: Mapping[str, pa.Table]) -> dict[str, Lookup]:
    """The words of each vocabulary, to be looked up.

    Raises:
        DataError: two words with one hash.
    """
    return {name: WordIndex(name, table["word"]) for name, table in vocabularies.items()}


def _hash_index(name: str, words: pa.ChunkedArray) -> "pd.Index[int]":
    index: pd.Index[int] = pd.Index(
        np.concatenate([np.zeros(0, np.uint64), *map(hash_words, words.chunks)])
    )
    if not index.is_unique:  # two in 10^7 words: once in 400,000 data sets
        raise DataError(
            f"feature '{name}'",
            "must have words with different hashes",
            "two with the same",
            "rename one of its values",
        )
    return index
