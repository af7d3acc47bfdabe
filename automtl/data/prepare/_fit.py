"""What is learnt from the rows: vocabularies, scalers and label statistics of the TRAINING split,
counts and hashes of all.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from automtl.data.prepare._labels import LabelCounts
from automtl.data.prepare._statistics import Moments, Ranks, SeenWords, Vocabulary
from automtl.data.prepare.split import ALPHA, PARTS
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.features import ORDER, Categorical, IdFeature, Numeric
from automtl.data.store.encoding import Encoding
from automtl.data.store.schema import Field, Schema
from automtl.data.values.extremes import Extremes
from automtl.data.values.forms import Form, FormFinder
from automtl.data.values.hashing import mix
from automtl.data.values.list_columns import split_lists
from automtl.data.values.sums import Sum
from automtl.errors import DataError

FEW = 1000


class Fit(Sum):
    """What one pass over the digests learns.

    Args:
        config: the data set.
        known: per field, the form and the words of an older vocabulary to grow from.
        words: what words are gathered in: counts of them all, or their forms only, for words that
            are counted elsewhere.
    """

    summed = (
        "_words",
        "_hashed",
        "_moments",
        "_extremes",
        "_ranks",
        "_labels",
        "part_rows",
        "_keys",
        "_part_hashes",
    )

    def __init__(
        self,
        config: DatasetConfig,
        known: Mapping[str, tuple[Form, pa.Array | None]],
        words: type[Vocabulary] | type[SeenWords] = Vocabulary,
    ) -> None:
        self._known = known
        self._config = config
        self._ids = [f for f in config.features if not isinstance(f, Numeric)]
        self._numbers = [f for f in config.features if isinstance(f, Numeric)]
        self._words = {
            f.name: words() for f in self._ids if not (f.share_embedding or f.hash_buckets)
        }
        self._hashed = {f.name: FormFinder() for f in self._ids if f.hash_buckets}
        self._kept = {name: Vocabulary() for name in config.kept if words is Vocabulary}
        self._moments = {f.name: Moments() for f in self._numbers}
        self._extremes = {f.name: Extremes() for f in self._numbers if f.transform != "quantile"}
        self._ranks = {f.name: Ranks() for f in self._numbers if f.transform == "quantile"}
        self._labels = [LabelCounts(task) for task in config.tasks]
        self.part_rows = np.zeros(len(PARTS), np.int64)
        self._keys = np.zeros(0, np.uint64)  # what a column splits the rows by, while that is few
        self._part_hashes = np.zeros((len(PARTS), 2), np.uint64)

    def add(self, batch: pa.RecordBatch, parts: np.ndarray) -> None:
        """Learn from one digest, given the parts of its rows."""
        train, draws = parts <= ALPHA, batch.column("draw").to_numpy()
        for feature in self._ids:
            words, counts = counted(feature, batch.column(f"f:{feature.name}"), train)
            owner = feature.share_embedding or feature.name
            if owner in self._words:
                self._words[owner].add(words, counts)
            else:
                self._hashed[owner].see(words.filter(pa.array(counts > 0)))
        for name, values in self._kept.items():
            column = batch.column(f"k:{name}")
            values.add(
                column.dictionary,
                np.bincount(column.indices.to_numpy(), minlength=len(column.dictionary)),
            )
        for name, moments in self._moments.items():
            numbers = batch.column(f"f:{name}").to_numpy()[train]
            moments.add(numbers)
            if name in self._extremes:
                self._extremes[name].add(numbers)
            if name in self._ranks:
                self._ranks[name].add(numbers, draws[train])
        for labels in self._labels:
            labels.add(batch, parts)
        self._count(batch.column("hash").to_numpy(), parts)
        if "key" in batch.schema.names and len(self._keys) <= FEW:
            self._keys = np.union1d(self._keys, batch.column("key").to_numpy())

    def merge(self, later: Self) -> None:
        """Add what was learnt from later rows."""
        keys = np.union1d(self._keys, later._keys)
        self._keys = later._keys = np.zeros(0, np.uint64)
        super().merge(later)
        self._keys = keys

    def _count(self, hashes: np.ndarray, parts: np.ndarray) -> None:
        self.part_rows += np.bincount(parts, minlength=len(PARTS))
        for part in range(len(PARTS)):
            part_hashes = hashes[parts == part]
            self._part_hashes[part] += np.array(
                [part_hashes.sum(dtype=np.uint64), mix(part_hashes).sum(dtype=np.uint64)]
            )

    def check_rows(self) -> None:
        """Refuse a split without rows.

        Raises:
            DataError: a part of the data has none.
        """
        for part, rows in zip(PARTS, self.part_rows, strict=True):
            if not rows:
                counts = ", ".join(
                    f"{name} {count}" for name, count in zip(PARTS, self.part_rows, strict=True)
                )
                column, few = self._config.split.column, 0 < len(self._keys) <= FEW
                keys = (
                    f", of {len(self._keys)} distinct values of '{column}', each of whose rows "
                    "stay together"
                    if few
                    else ""
                )
                fix = f"change split, or bring {'rows of more values' if few else 'more rows'}"
                raise DataError(
                    f"{self._config.name}: {part} rows",
                    "must not be empty",
                    f"rows: {counts}{keys}",
                    fix,
                )

    def kept(self) -> dict[str, pa.Table]:
        """The words (of all rows) of each column kept beside them; word i has code i + 1, and code
        0 is missing.
        """
        return {name: words.result(Form(), 1) for name, words in self._kept.items()}

    def vocabularies(self) -> dict[str, pa.Table]:
        """The vocabulary (word, count) of each field that owns one."""
        forms, older = self.forms(), {name: words for name, (_, words) in self._known.items()}
        return {
            f.name: words.result(forms[f.name], f.min_count, older.get(f.name))
            for f in self._ids
            if isinstance(words := self._words.get(f.name), Vocabulary)
        }

    def schema(self, config_hash: str, sizes: Mapping[str, int]) -> Schema:
        """The schema, but for the unknown ids, which encoding counts.

        Args:
            config_hash: of the settings.
            sizes: words of each vocabulary.
        """
        forms, owners = self.forms(), {f.name: f for f in self._ids}
        ordered = sorted(self._ids, key=lambda feature: ORDER[feature.kind])
        ids = [
            self._id_field(f, owners[f.share_embedding or f.name], sizes, forms) for f in ordered
        ]
        fields = [
            *ids,
            *(field for feature in self._numbers for field in self._number_fields(feature)),
        ]
        whole = self._part_hashes.sum(axis=0, dtype=np.uint64)
        hashes: dict[str, Any] = {
            "data_hash": _hex(whole),
            "split_hash": _hex(self._part_hashes),
            "config_hash": config_hash,
        }
        tasks = tuple(labels.result() for labels in self._labels)
        config = self._config
        shared: dict[str, Any] = {"name": config.name, "group": config.group or ""}
        rows = int(self.part_rows[: ALPHA + 1].sum())
        return Schema(
            fields=tuple(fields), tasks=tasks, train_rows=rows, kept=config.kept, **shared, **hashes
        )

    def forms(self) -> dict[str, Form]:
        """The form of the words of each field that shares no other's; an older vocabulary's
        stays.
        """
        forms = {name: finder.form for name, finder in {**self._hashed, **self._words}.items()}
        return {
            name: self._known[name][0] if name in self._known else form
            for name, form in forms.items()
        }

    def remarks(self) -> list[str]:
        """A line for each column of numbers whose variance a few values carry."""
        moments = self._moments
        lines = [
            extremes.remark(name, moments[name].count, *moments[name].result())
            for name, extremes in self._extremes.items()
        ]
        return [line for line in lines if line]

    def _id_field(
        self,
        feature: IdFeature,
        owner: IdFeature,
        sizes: Mapping[str, int],
        forms: dict[str, Form],
    ) -> Field:
        buckets = owner.hash_buckets or 0
        return Field(
            name=feature.name,
            kind=feature.kind,
            vocabulary_size=1 + (buckets or sizes[owner.name]),
            form=forms[owner.name].kind,
            digits=forms[owner.name].digits,
            hash_buckets=buckets,
            shares=feature.share_embedding or "",
            embedding_dim=owner.embedding_dim or 0,
            pretrained=owner.pretrained is not None,
        )

    def _number_fields(self, feature: Numeric) -> list[Field]:
        """The column's field, and its indicator's where that is asked for."""
        name, moments = feature.name, self._moments[feature.name]
        missing = int(self.part_rows[: ALPHA + 1].sum()) - moments.count
        quantiles = self._ranks[name].result() if name in self._ranks else ()
        mean, std = (0.0, 1.0) if quantiles else moments.result()
        field = Field(
            name=name,
            kind="numeric",
            unknown_count=missing,
            transform=feature.transform,
            quantiles=quantiles,
        )
        field = field.model_copy(update={"mean": mean, "std": std})
        indicator = Field(name=f"{name}:missing", kind="numeric", indicator_of=name)
        return [field, indicator] if feature.missing == "indicator" else [field]

    def summary(self) -> dict[str, Any]:
        """Counts for people: rows per part, labels per task."""
        tasks = {labels.task.name: labels.summary() for labels in self._labels}
        return {"rows": dict(zip(PARTS, self.part_rows.tolist(), strict=True)), "tasks": tasks}


def older_words(config: DatasetConfig) -> dict[str, tuple[Form, pa.Array | None]]:
    """The form and the words (none, where they are hashed) of the data that vocabularies grow from,
    per field that both have.
    """
    if config.vocabularies_from is None:
        return {}
    older = Encoding.open(Path(config.vocabularies_from))
    names = {feature.name for feature in config.features}
    fields = [field for field in older.schema.id_fields if field.name in names and not field.shares]
    words = {
        field.name: None
        if field.hash_buckets
        else older.vocabulary(field.name)["word"].combine_chunks()
        for field in fields
    }
    return {field.name: (field.words, words[field.name]) for field in fields}


def counted(
    feature: IdFeature, column: pa.DictionaryArray, rows: np.ndarray
) -> tuple[pa.Array, np.ndarray]:
    """A column's words and how often each comes in some of the rows."""
    words = column.dictionary
    counts = np.bincount(column.indices.to_numpy()[rows], minlength=len(column.dictionary))
    if isinstance(feature, Categorical):
        return words, counts
    words, offsets = split_lists(words)
    counts = np.bincount(
        words.indices.to_numpy(),
        np.repeat(counts, np.diff(offsets)),
        minlength=len(words.dictionary),
    )
    return words.dictionary, counts.astype(np.int64)


def _hex(numbers: np.ndarray) -> str:
    return hashlib.sha256(numbers.astype("<u8").tobytes()).hexdigest()
