"""The columns of one piece of raw rows, as texts, numbers or times, with errors that name file, row and column."""

from collections.abc import Mapping
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.dataset import DatasetConfig
from automtl.data.dates import WHOLE, read_times, time_rule
from automtl.data.features import Feature, Numeric
from automtl.data.sources import Piece, Reading
from automtl.data.where import COMPARE, Comparison, parse_where
from automtl.data.words import as_text, spread
from automtl.errors import DataError

MISSING_NUMBERS = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")
TRUTH = {"true": "1", "True": "1", "TRUE": "1", "false": "0", "False": "0", "FALSE": "0"}


def plan_readings(config: DatasetConfig, *, served: bool = False) -> dict[str, Reading]:
    """How each used column is read; one that is used in several ways is read as text, from which the others follow.

    Args:
        config: the data set.
        served: rows to predict on: features only, no labels and no split.
    """
    uses = [(feature.name, _reading(feature)) for feature in config.features]
    for task in () if served else config.tasks:
        uses.append((task.label, "number" if task.kind == "regression" else "text"))
        uses += [(comparison.column, "text") for comparison in parse_where(task.where)] if task.where else []
        uses += [(task.sample_weight, "number")] if task.sample_weight else []
    if not served:
        uses += [(name, "text") for name in config.kept]
    if config.split.column and not served:
        uses.append((config.split.column, "time" if config.split.kind == "time" else "text"))
    readings: dict[str, Reading] = {}
    for name, reading in uses:
        readings[name] = reading if readings.get(name, reading) == reading else "text"
    return readings


def _reading(feature: Feature) -> Reading:
    if isinstance(feature, Numeric):
        return "number"
    return "text" if feature.kind == "categorical" else "list"


class Columns:
    """One piece of rows by column name."""

    def __init__(self, piece: Piece) -> None:
        self._piece = piece

    def __len__(self) -> int:
        return int(self._piece.batch.num_rows)

    def text(self, name: str) -> pa.DictionaryArray:
        """The column's texts; "" is missing."""
        column = self._piece.batch.column(name)
        assert pa.types.is_dictionary(column.type), f"{name} was planned as text"
        return column

    def numbers(self, name: str, truth: Mapping[str, str] | None = None) -> np.ndarray:
        """The column as float64, NaN where missing; `truth` says which words stand for which numbers.

        Raises:
            DataError: a value is no number, or infinite.
        """
        column = self._piece.batch.column(name)
        if pa.types.is_dictionary(column.type):
            parsed = self._parse(name, column, truth or {})
            values = spread(parsed, column)
        else:
            values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
        infinite = np.isinf(values)
        if infinite.any():
            self.fail(name, infinite, "must be finite", "an infinite number", "mend the value, or leave it empty")
        return values

    def _parse(self, name: str, column: pa.DictionaryArray, truth: Mapping[str, str]) -> np.ndarray:
        words = column.dictionary
        missing = pc.is_in(words, value_set=pa.array(MISSING_NUMBERS, pa.string()))
        replaced = pa.array([truth.get(word, word) for word in words.to_pylist()], pa.string()) if truth else words
        try:
            return np.asarray(pc.if_else(missing, None, replaced).cast(pa.float64()).to_numpy(zero_copy_only=False))
        except pa.ArrowInvalid:
            wrong = next(i for i, word in enumerate(replaced.to_pylist()) if not missing[i].as_py() and not _is_number(word))
            self.fail(name, column.indices.to_numpy() == wrong, "must be a number", repr(words[wrong].as_py()))

    def times(self, name: str) -> np.ndarray:
        """The column as int64 to order rows by.

        Raises:
            DataError: a value is missing, or no time.
        """
        column, form = self._piece.batch.column(name), self._piece.times.get(name, WHOLE)
        if form.startswith("%") and pa.types.is_integer(column.type):  # 20231114
            column = as_text(column)
        if pa.types.is_dictionary(column.type):
            words = column.dictionary
            missing = pc.is_in(words, value_set=pa.array(MISSING_NUMBERS, pa.string()))
            parsed = read_times(pc.if_else(missing, None, words), form)
            wrong = spread(np.asarray(pc.and_not(parsed.is_null(), missing)), column)
            if wrong.any():
                self.fail(name, wrong, *time_rule(form, name, repr(column[int(np.argmax(wrong))].as_py()[:80])))
            column = parsed.take(column.indices)
        elif (form == WHOLE) != pa.types.is_integer(column.type):
            self.fail(name, np.ones(len(self), bool), *time_rule(form, name, str(column[0].as_py())))
        if column.null_count:
            self.fail(name, column.is_null().to_numpy(zero_copy_only=False), "must have a time in every row", "none")
        return np.asarray(column.cast(pa.int64()).to_numpy())

    def satisfies(self, comparison: Comparison) -> np.ndarray:
        """Where a comparison holds; a missing value satisfies none."""
        column, compare = self.text(comparison.column), COMPARE[comparison.sign]
        if isinstance(comparison.value, float):
            values = self.numbers(comparison.column, TRUTH)
            return np.asarray(compare(values, comparison.value) & ~np.isnan(values))
        words = np.array(column.dictionary.to_pylist(), dtype=object)
        found = np.asarray(compare(words, comparison.value), dtype=bool) & np.asarray(words != "", dtype=bool)
        return spread(found, column)

    def fail(self, name: str, rows: np.ndarray, rule: str, got: str, fix: str = "mend the value") -> NoReturn:
        """Refuse the first of the marked rows."""
        row = self._piece.first_row + int(np.argmax(rows))
        raise DataError(f"{self._piece.path}, row {row}, column '{name}'", rule, got, fix)


def transformed(columns: Columns, name: str, values: np.ndarray, transform: str) -> np.ndarray:
    """Numbers after a feature's or a label's transform.

    Raises:
        DataError: log1p of a number at or below -1.
    """
    if transform != "log1p":  # a quantile transform needs all training rows: it comes when they are encoded
        return values
    low = values <= -1
    if low.any():
        columns.fail(name, low, "must be above -1 for log1p", str(values[np.argmax(low)]), "mend the value, or leave out the transform")
    return np.asarray(np.log1p(values))


def _is_number(word: str) -> bool:
    try:
        return bool(pa.scalar(word).cast(pa.float64()).is_valid)
    except pa.ArrowInvalid:
        return False


