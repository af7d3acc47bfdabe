"""The columns of one piece of raw rows, as texts, numbers or times, with errors that name file, row
and column.
"""

from collections import Counter
from typing import NoReturn

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.raw.sources import Piece, Reading
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.features import Feature, ListFeature, Numeric
from automtl.data.spec.where import COMPARE, Comparison, parse_where
from automtl.data.values.dates import WHOLE, read_times, time_rule
from automtl.data.values.extremes import LARGEST
from automtl.data.values.forms import DEFAULT, Missing, normal, plain
from automtl.data.values.list_columns import plain_lists
from automtl.data.values.list_texts import NotAList, fillers, first_weighted
from automtl.data.values.patterns import LIST_SEPARATOR, rewritten
from automtl.data.values.text_columns import as_text, map_words, spread
from automtl.errors import DataError
from automtl.strict import shown


def plan_readings(config: DatasetConfig, *, served: bool = False) -> dict[str, Reading]:
    """How each used column is read; one that is used in several ways is read as text, from which
    the others follow.

    Args:
        config: the data set.
        served: rows to predict on: features only, no labels and no split.
    """
    uses = [(feature.name, _reading(feature)) for feature in config.features]
    for task in () if served else config.tasks:
        uses.append((task.label, "number" if task.kind == "regression" else "text"))
        uses += (
            [(comparison.column, "text") for comparison in parse_where(task.where)]
            if task.where
            else []
        )
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
    """One piece of rows by column name.

    Args:
        piece: the rows.
        missing: the words that stand for a missing value.

    Attributes:
        lost: per column asked for, how many rows have which word of those.
    """

    def __init__(self, piece: Piece, missing: Missing = DEFAULT) -> None:
        self._piece, self._missing = piece, missing
        self._plain: dict[tuple[str, tuple[str, ...]], pa.DictionaryArray] = {}
        self.lost: dict[str, Counter[str]] = {}

    def __len__(self) -> int:
        return int(self._piece.batch.num_rows)

    def text(self, name: str) -> pa.DictionaryArray:
        """The column's plain words (see `forms`); "" is missing."""
        return self._words(name, self._missing.ids)

    def keys(self, name: str) -> pa.DictionaryArray:
        """The column's words with whole numbers in one spelling, to compare and to group rows by;
        "" is missing.
        """
        return _normal(self.text(name))

    def classes(self, name: str) -> pa.DictionaryArray:
        """As `keys`, of a label: what is missing in numbers is missing here."""
        return _normal(self._words(name, self._missing.numbers))

    def lists(self, feature: ListFeature) -> pa.DictionaryArray:
        """A column's lists, in the one form of `plain_lists`, without the word that only fills them
        up.

        Raises:
            DataError: a value is no list of ids.
        """
        name, column = feature.name, self._piece.batch.column(feature.name)
        try:
            lists = plain_lists(
                column, feature.separator, (*self._missing.ids, *fillers(feature.padding))
            )
        except NotAList as wrong:
            self._refuse_list(name, str(wrong), "write the ids alone, or leave the column out")
        if (i := first_weighted(lists.dictionary)) is not None:
            fix = (
                "write the ids alone: the model takes the mean of a list's ids and reads no weights"
            )
            self._refuse_list(name, column.dictionary[i].as_py(), fix)
        self._count(name, column, lists)
        return lists

    def _refuse_list(self, name: str, text: str, fix: str) -> NoReturn:
        column = self._piece.batch.column(name)
        rows = spread(pc.equal(column.dictionary, text).to_numpy(zero_copy_only=False), column)
        self.fail(
            name,
            rows,
            "must be a list of ids",
            repr(shown(text.replace(LIST_SEPARATOR, ",").removeprefix(","))),
            fix,
        )

    def _words(self, name: str, missing: tuple[str, ...]) -> pa.DictionaryArray:
        if (name, missing) not in self._plain:
            column = self._piece.batch.column(name)
            assert pa.types.is_dictionary(column.type), f"{name} was planned as text"
            self._plain[name, missing] = map_words(column, plain(column.dictionary, missing))
            self._count(name, column, self._plain[name, missing])
        return self._plain[name, missing]

    def _count(self, name: str, column: pa.DictionaryArray, plain: pa.DictionaryArray) -> None:
        """Note which words turned out to be missing."""
        empty = np.flatnonzero(pc.equal(plain.dictionary, "").to_numpy(zero_copy_only=False))
        counts = (
            np.bincount(column.indices.to_numpy(), minlength=len(column.dictionary))[empty]
            if len(empty)
            else empty
        )
        lost = Counter[str]()
        for word, count in zip(
            column.dictionary.take(pa.array(empty)).to_pylist(), counts.tolist(), strict=True
        ):
            lost[word.strip()] += count
        self._lose(name, +lost)

    def _lose(self, name: str, words: Counter[str]) -> None:
        if words:
            # a column may be read in two ways
            self.lost[name] = self.lost.get(name, Counter()) | words

    def numbers(self, name: str) -> np.ndarray:
        """The column as float64, NaN where missing; true is 1 and false 0.

        Raises:
            DataError: a value is no number, or infinite.
        """
        column = self._piece.batch.column(name)
        if pa.types.is_dictionary(column.type):
            words = self._words(name, self._missing.numbers)
            values = spread(self._parse(name, words), words)
        else:
            values = np.asarray(column.to_numpy(zero_copy_only=False), np.float64)
            values = self._without_missing(name, values, column.null_count)
        infinite = np.isinf(values)
        if infinite.any():
            self.fail(
                name,
                infinite,
                "must be finite",
                "an infinite number",
                "mend the value, or leave it empty",
            )
        beyond = np.abs(values) > LARGEST
        if beyond.any():
            got = f"{values[np.argmax(beyond)]:g}"
            rule = f"must be at most {LARGEST:g}, so that its square is a number"
            self.fail(name, beyond, rule, got, "mend the value, or leave it empty")
        return values

    def _without_missing(self, name: str, values: np.ndarray, nulls: int) -> np.ndarray:
        """Numbers without those that a missing value is written as, such as -999."""
        for word, number in self._missing.values.items() if self._missing is not DEFAULT else ():
            if (same := values == number).any():
                self._lose(name, Counter({word: int(same.sum())}))
                values = np.where(same, np.nan, values)
        lost = int(np.isnan(values).sum()) - sum(self.lost.get(name, Counter()).values()) - nulls
        self._lose(
            name,
            Counter({word: count for word, count in (("", nulls), ("NaN", lost)) if count > 0}),
        )
        return values

    def _parse(self, name: str, column: pa.DictionaryArray) -> np.ndarray:
        words = column.dictionary
        values = rewritten(words, "^(?:true|false|[+].*)$", _as_number)
        try:
            return np.asarray(
                pc.if_else(pc.equal(values, ""), None, values)
                .cast(pa.float64())
                .to_numpy(zero_copy_only=False)
            )
        except pa.ArrowInvalid:
            wrong = next(
                i for i, word in enumerate(values.to_pylist()) if word and not _is_number(word)
            )
            got = repr(self._piece.batch.column(name).dictionary[wrong].as_py()[:80])
            fix = (
                "is it a second header? remove that row"
                if got == repr(name)
                else "mend the value, or leave it empty"
            )
            self.fail(name, column.indices.to_numpy() == wrong, "must be a number", got, fix)

    def times(self, name: str) -> np.ndarray:
        """The column as int64 to order rows by.

        Raises:
            DataError: a value is missing, or no time.
        """
        column = self.times_or_null(name)
        if column.null_count:
            self.fail(
                name,
                column.is_null().to_numpy(zero_copy_only=False),
                "must have a time in every row",
                "none",
            )
        return np.asarray(column.to_numpy())

    def times_or_null(self, name: str) -> pa.Array:
        """As `times`, null where missing.

        Raises:
            DataError: a value is no time.
        """
        column, form = self._piece.batch.column(name), self._piece.times.get(name, WHOLE)
        if form.startswith("%") and pa.types.is_integer(column.type):  # 20231114
            column = as_text(column)
        if not pa.types.is_dictionary(column.type):
            if (form == WHOLE) != pa.types.is_integer(column.type):
                rule = (
                    f"must hold {'whole numbers' if form == WHOLE else 'dates or times'} throughout"
                )
                self.fail(
                    name,
                    np.ones(len(self), bool),
                    rule,
                    str(column[0].as_py()),
                    "bring the column to one form",
                )
            return column.cast(pa.int64())
        missing = pc.equal(plain(column.dictionary, self._missing.numbers), "")
        parsed = read_times(pc.if_else(missing, None, column.dictionary), form)
        wrong = spread(pc.and_not(parsed.is_null(), missing).to_numpy(zero_copy_only=False), column)
        if wrong.any():
            self.fail(
                name,
                wrong,
                *time_rule(form, name, repr(column[int(np.argmax(wrong))].as_py()[:80])),
            )
        return parsed.take(column.indices)

    def satisfies(self, comparison: Comparison) -> np.ndarray:
        """Where a comparison holds; a missing value satisfies none."""
        compare = COMPARE[comparison.sign]
        if isinstance(comparison.value, float):
            values = self.numbers(comparison.column)
            return np.asarray(compare(values, comparison.value) & ~np.isnan(values))
        column = self.keys(comparison.column)
        value = normal(plain(pa.array([comparison.value], pa.string()), ()))[0].as_py()
        words = np.array(column.dictionary.to_pylist(), dtype=object)
        holds = np.asarray(compare(words, value), dtype=bool) & np.asarray(words != "", dtype=bool)
        return spread(holds, column)

    def fail(
        self, name: str, rows: np.ndarray, rule: str, got: str, fix: str = "mend the value"
    ) -> NoReturn:
        """Refuse the first of the marked rows."""
        row = self._piece.first_row + int(np.argmax(rows))
        raise DataError(f"{self._piece.path}, row {row}, column '{name}'", rule, got, fix)


def transformed(columns: Columns, name: str, values: np.ndarray, transform: str) -> np.ndarray:
    """Numbers after a feature's or a label's transform.

    Raises:
        DataError: log1p of a number at or below -1.
    """
    # a quantile transform needs all training rows: it comes when they are encoded
    if transform != "log1p":
        return values
    low = values <= -1
    if low.any():
        columns.fail(
            name,
            low,
            "must be above -1 for log1p",
            str(values[np.argmax(low)]),
            "mend the value, or leave out the transform",
        )
    return np.asarray(np.log1p(values))


def _normal(column: pa.DictionaryArray) -> pa.DictionaryArray:
    return map_words(column, normal(column.dictionary))


def _as_number(words: pa.Array) -> pa.Array:
    """`true` as 1, `false` as 0, and a plus sign in front left out."""
    words = pc.if_else(
        pc.equal(words, "true"), "1", pc.if_else(pc.equal(words, "false"), "0", words)
    )
    return pc.replace_substring_regex(words, "^[+]", "")


def _is_number(word: str) -> bool:
    try:
        return bool(pa.scalar(word).cast(pa.float64()).is_valid)
    except pa.ArrowInvalid:
        return False
