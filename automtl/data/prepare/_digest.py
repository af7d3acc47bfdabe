"""Raw rows -> the rows that the later passes need, checked: features, labels, weights, a hash of
the content, what the split goes by.

Columns of a digest: `f:<feature>` (plain words, a plain list as text, or float64), `h:<feature>`
(texts: their words' hashes), `k:<kept column>` (text), `y:<task>` (float64, NaN = missing;
multiclass: text, "" = missing), `w:<task>` (float64), `role` (int8), `hash` (uint64, of all that
the row says in these columns), and, where a column splits the rows, `key`: its values' hashes
(uint64), or the times (int64).
"""

from collections import Counter

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.prepare._list_looks import ListLooks
from automtl.data.prepare._twowords import TwoWords
from automtl.data.prepare.times import TimeUnits
from automtl.data.raw.columns import Columns, plan_readings, transformed
from automtl.data.raw.sources import Piece
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.features import Categorical, Feature, ListFeature, Numeric
from automtl.data.spec.sections import TaskConfig
from automtl.data.spec.where import parse_where
from automtl.data.values.forms import missing_words, normal
from automtl.data.values.hashing import hash_column, hash_dictionary, mix
from automtl.data.values.list_columns import normal_lists
from automtl.data.values.sums import Sum
from automtl.data.values.text_columns import TEXT, map_words, spread
from automtl.errors import DataError

ROLES = ("train", "validation", "test")
HASHES = pa.dictionary(pa.int32(), pa.uint64())


class Digester(Sum):
    """Turns pieces of raw rows into digests.

    Args:
        config: the data set.

    Attributes:
        lost: per column, how many rows have which word for a missing value.
        looks: of the columns of lists.
        two_words: of the tasks whose labels are words.

    Raises:
        DataError: on a row that breaks a rule, with file, row and column.
    """

    summed = ("lost", "units")

    def __init__(self, config: DatasetConfig) -> None:
        self._config = config
        self.readings = plan_readings(config)
        self.units = TimeUnits(config.split.column or "")
        self.two_words = {
            task.name: TwoWords(task) for task in config.tasks if task.positive is not None
        }
        self._texts = {
            feature.name: feature for feature in config.features if not isinstance(feature, Numeric)
        }
        self._missing = missing_words(config.csv.null_values)
        self.lost: dict[str, Counter[str]] = {}
        self.looks = [
            ListLooks(feature) for feature in config.features if isinstance(feature, ListFeature)
        ]

    @property
    def schema(self) -> pa.Schema:
        """The columns of a digest."""
        fields = [
            (f"f:{f.name}", pa.float64() if isinstance(f, Numeric) else TEXT)
            for f in self._config.features
        ]
        fields += [
            (f"h:{f.name}", HASHES) for f in self._config.features if not isinstance(f, Numeric)
        ]
        fields += [(f"k:{name}", TEXT) for name in self._config.kept]
        fields += [
            (f"y:{t.name}", TEXT if t.kind == "multiclass" else pa.float64())
            for t in self._config.tasks
        ]
        fields += [(f"w:{t.name}", pa.float64()) for t in self._config.tasks if t.sample_weight]
        fields += [("role", pa.int8()), ("hash", pa.uint64())]
        if self._config.split.column:
            fields.append(("key", pa.int64() if self._config.split.kind == "time" else pa.uint64()))
        return pa.schema(fields)

    def __call__(self, piece: Piece, role: str) -> pa.RecordBatch:
        columns = Columns(piece, self._missing)
        arrays = self._features(columns)
        for looks in self.looks:
            looks.see(arrays[f"f:{looks.name}"])
        arrays |= {f"k:{name}": columns.keys(name) for name in self._config.kept}
        for task in self._config.tasks:
            arrays[f"y:{task.name}"] = _label(columns, task, self.two_words.get(task.name))
        for task in self._config.tasks:
            if task.sample_weight:
                arrays[f"w:{task.name}"] = _weight(columns, task.sample_weight)
        arrays["role"] = pa.array(np.full(len(columns), ROLES.index(role), np.int8))
        arrays |= self._keys(piece, columns, arrays)
        for name, words in columns.lost.items():
            self.lost[name] = self.lost.get(name, Counter()) + words
        return pa.RecordBatch.from_arrays(
            [arrays[name] for name in self.schema.names], schema=self.schema
        )

    def features(self, piece: Piece) -> dict[str, pa.Array]:
        """The `f:` and `h:` columns alone, for rows to predict on."""
        return self._features(Columns(piece, self._missing))

    def _features(self, columns: Columns) -> dict[str, pa.Array]:
        arrays = {
            f"f:{feature.name}": self._feature(columns, feature)
            for feature in self._config.features
        }
        return arrays | {f"h:{name}": hash_dictionary(arrays[f"f:{name}"]) for name in self._texts}

    def _feature(self, columns: Columns, feature: Feature) -> pa.Array:
        if isinstance(feature, Numeric):
            return pa.array(_numbers(columns, feature))
        return (
            columns.text(feature.name)
            if isinstance(feature, Categorical)
            else columns.lists(feature)
        )

    def _keys(
        self, piece: Piece, columns: Columns, arrays: dict[str, pa.Array]
    ) -> dict[str, pa.Array]:
        """The hash of each row's content, and its time, user or other value that the split
        goes by.
        """
        split, keys = self._config.split, dict[str, pa.Array]()
        if split.kind == "time":
            times = columns.times(split.column or "")
            self.units.see(piece, times)
            keys["key"] = pa.array(times)
        elif split.column:
            user = columns.keys(split.column)
            _refuse_missing(columns, split.column, user)
            keys["key"] = pa.array(hash_column("key", user))
        total = np.zeros(len(columns), np.uint64)
        for name in arrays | keys:
            if name != "role" and name[:2] != "h:":  # the same row in another file is the same row
                total += hash_column(
                    name, keys[name] if name in keys else self._normal(arrays, name)
                )
        return keys | {"hash": pa.array(mix(total))}

    def _normal(self, arrays: dict[str, pa.Array], name: str) -> pa.Array:
        """A digest's column as it is hashed: words by a text that does not depend on what else the
        column holds.
        """
        column, hashes = arrays[name], arrays.get(f"h:{name[2:]}")
        if hashes is None or name[:2] != "f:":
            return column
        feature = self._texts[name[2:]]
        words = (normal if isinstance(feature, Categorical) else normal_lists)(column.dictionary)
        return hashes if words is column.dictionary else map_words(column, words)


def _numbers(columns: Columns, feature: Numeric) -> np.ndarray:
    values = columns.numbers(feature.name)
    if feature.missing == "refuse" and np.isnan(values).any():
        columns.fail(
            feature.name,
            np.isnan(values),
            "must have a number in every row (missing: refuse)",
            "none",
        )
    if feature.fill is not None:
        values = np.where(np.isnan(values), feature.fill, values)
    return transformed(columns, feature.name, values, feature.transform)


def _refuse_missing(columns: Columns, name: str, column: pa.DictionaryArray) -> None:
    missing = spread(pc.equal(column.dictionary, "").to_numpy(zero_copy_only=False), column)
    if missing.any():
        columns.fail(name, missing, "must have a value in every row to split by", "none")


def _label(columns: Columns, task: TaskConfig, two_words: TwoWords | None) -> pa.Array:
    """The label where the task exists, missing elsewhere."""
    exists = np.ones(len(columns), bool)
    for comparison in parse_where(task.where) if task.where else ():
        exists &= columns.satisfies(comparison)
    if task.kind == "multiclass":
        column = columns.classes(task.label)
        words = pa.concat_arrays([column.dictionary, pa.array([""], pa.string())])
        indices = np.where(exists, column.indices.to_numpy(), len(words) - 1).astype(np.int32)
        return pa.DictionaryArray.from_arrays(pa.array(indices), words)
    values = (
        two_words(columns)
        if two_words
        else _truth(columns, task)
        if task.kind == "binary"
        else _amounts(columns, task)
    )
    values = transformed(columns, task.label, values, task.transform)
    return pa.array(np.where(exists, values, np.nan))


def _truth(columns: Columns, task: TaskConfig) -> np.ndarray:
    """Labels that are 0 and 1, or true and false."""
    rule = f"must be 0, 1 or empty for the binary task '{task.name}'"
    fix = f"mend the value, or use kind: multiclass for task '{task.name}'"
    try:
        values = columns.numbers(task.label)
    except DataError as error:
        raise DataError(
            error.where, rule, error.got, f"name the word for 1 by `positive`, or {fix}"
        ) from error
    wrong = ~(np.isnan(values) | (values == 0) | (values == 1))
    if wrong.any():
        columns.fail(task.label, wrong, rule, f"{values[np.argmax(wrong)]:g}", fix)
    return values


def _amounts(columns: Columns, task: TaskConfig) -> np.ndarray:
    """Labels that are numbers."""
    try:
        return columns.numbers(task.label)
    except DataError as error:
        fix = f"{error.fix}, or use kind: multiclass for task '{task.name}'"
        raise DataError(error.where, error.rule, error.got, fix) from error


def _weight(columns: Columns, name: str) -> pa.Array:
    values = columns.numbers(name)
    wrong = ~(values >= 0)
    if wrong.any():
        columns.fail(name, wrong, "must be a weight of at least 0", f"{values[np.argmax(wrong)]:g}")
    return pa.array(values)
