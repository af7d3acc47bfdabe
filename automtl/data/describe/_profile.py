"""A look at tables that nothing is known of: how they are written, and what is in the first rows of
each column.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.access.paths import find_files, partitions
from automtl.data.describe._sniff import MAX_NAME, Layout, sniff
from automtl.data.raw.columns import Columns
from automtl.data.raw.sources import (
    Piece,
    column_names,
    convert,
    is_delimited,
    open_table,
    read_pieces,
)
from automtl.data.spec.csv_settings import Csv
from automtl.data.spec.features import Multi
from automtl.data.values.dates import forms_of, read_times
from automtl.data.values.forms import MISSING_NUMBERS
from automtl.data.values.text_columns import spread
from automtl.errors import DataError

LOOK_ROWS = 200_000
LOOK_CELLS = 20_000_000
LOOK_FILES = 8
SOME_WORDS = 50  # that show whether a column may hold times


@dataclass(frozen=True)
class Values:
    """What is known of a column from the rows that were read.

    Args:
        name: of the column.
        texts: (n,) words, "" where missing; a list as `list_columns.list_text` writes it.
        is_list: the file holds lists, not texts.
        is_time: the file holds times, not texts or numbers.
        fault: why no data set can use the column.
    """

    name: str
    texts: pa.DictionaryArray
    is_list: bool = False
    is_time: bool = False
    fault: str = ""

    @cached_property
    def words(self) -> pa.Array:
        """The distinct words but for "" and those that no row has."""
        return self.texts.dictionary.filter(pa.array(self._present))

    @cached_property
    def counts(self) -> np.ndarray:
        """In how many rows each word is."""
        return np.asarray(self._counts[self._present])

    @cached_property
    def codes(self) -> np.ndarray:
        """(n,) the word's place of each row, -1 where missing."""
        places = np.where(self._present, np.cumsum(self._present) - 1, -1)
        return spread(places, self.texts)

    @cached_property
    def missing(self) -> float:
        """The share of rows without a value."""
        return 1 - float(self.counts.sum()) / max(len(self.texts), 1)

    @cached_property
    def numbers(self) -> np.ndarray | None:
        """Each word's number, NaN where it stands for a missing one; None where a word is no finite
        number, or none is one.
        """
        try:
            numbers = self._columns.numbers(self.name)
        except DataError:
            return None
        return None if np.isnan(numbers).all() else numbers

    @cached_property
    def time_forms(self) -> tuple[str, ...]:
        """The forms in which all words are times, the likelier first: two where day and month could
        be either, none where they are none.
        """
        words = self.words.filter(
            pc.invert(pc.is_in(self.words, value_set=pa.array(MISSING_NUMBERS, pa.string())))
        )
        if not len(words) or not forms_of(words.slice(0, SOME_WORDS)):
            return ()
        return tuple(
            sorted(forms_of(words), key=lambda form: (_span(read_times(words, form)), form))
        )

    @cached_property
    def times(self) -> pa.Array | None:
        """Each word's time, null where it stands for a missing one, whole numbers as they are; None
        where a word is no time.
        """
        return read_times(self.words, self.time_forms[0]) if self.time_forms else None

    def lists(self, settings: Mapping[str, Any]) -> pa.Array:
        """Each word as a list of ids, `LIST_SEPARATOR` between them, as a feature of these settings
        reads it.

        Raises:
            DataError: a word is no list of ids.
        """
        return self._columns.lists(Multi(name=self.name, kind="multi", **settings)).dictionary

    @cached_property
    def _columns(self) -> Columns:
        """The words as a reader of rows sees them: a row each."""
        words = pa.DictionaryArray.from_arrays(
            pa.array(np.arange(len(self.words), dtype=np.int32)), self.words
        )
        return Columns(
            Piece(Path(self.name), 1, pa.RecordBatch.from_arrays([words], names=[self.name]))
        )

    @property
    def example(self) -> str:
        """The commonest word, of numbers the commonest number."""
        counts = (
            self.counts
            if self.numbers is None
            else np.where(np.isnan(self.numbers), 0, self.counts)
        )
        return str(self.words[int(np.argmax(counts))].as_py()) if len(self.words) else ""

    @cached_property
    def _counts(self) -> np.ndarray:
        return np.bincount(self.texts.indices.to_numpy(), minlength=len(self.texts.dictionary))

    @cached_property
    def _present(self) -> np.ndarray:
        return np.asarray(
            (self._counts > 0)
            & pc.not_equal(self.texts.dictionary, "").to_numpy(zero_copy_only=False)
        )


@dataclass(frozen=True)
class Profile:
    """Tables of the same columns, and the rows of them that were looked at.

    Args:
        paths: all files of these columns.
        others: files beside them that have other columns.
        layout: how they are written; None where they say it themselves, as Parquet does.
        rows: how many were looked at.
        whole: there are no more.
        columns: what is in them.
    """

    paths: tuple[Path, ...]
    others: tuple[Path, ...]
    layout: Layout | None
    rows: int
    whole: bool
    columns: tuple[Values, ...]


def look(path: str | Path) -> Profile:
    """Look at the first rows of a file, or of the files of a folder or of a pattern.

    Raises:
        DataError: there is no table, or none has rows.
    """
    paths = find_files([str(path)], "draft")
    largest = max(paths, key=lambda file: file.stat().st_size)
    if not is_delimited(largest):
        return _look(path, paths, largest, None)
    try:
        return _look(path, paths, largest, sniff(largest))
    # the first lines need not show a letter that is no UTF-8, and a quote that is one
    except DataError:
        for encoding, quotes in (("latin-1", True), ("", False), ("latin-1", False)):
            with contextlib.suppress(DataError):
                return _look(path, paths, largest, sniff(largest, encoding=encoding, quotes=quotes))
        raise


def _look(path: str | Path, paths: Sequence[Path], largest: Path, layout: Layout | None) -> Profile:
    alike = _alike(paths, largest, layout)
    looked_at = alike[:: -(-len(alike) // LOOK_FILES)]
    own = layout.names if layout else column_names(largest, Csv())
    # those that the folders' names give, as Hive has them
    names = (*own, *(name for name in partitions(largest) if name not in own))
    most = max(min(LOOK_ROWS, LOOK_CELLS // max(len(names), 1)) // len(looked_at), 1)
    tables = [_head(file, layout, names, most) for file in looked_at]
    rows = sum(count for count, _, _ in tables)
    if not rows:
        raise DataError(path, "must have rows", "none", "restore the file")
    columns = tuple(
        _joined([table[i] for _, _, table in tables if table]) for i in range(len(names))
    )
    if layout and layout.header_serves:
        _check_headers(path, columns)
    whole = len(looked_at) == len(alike) and all(ended for _, ended, _ in tables)
    return Profile(
        tuple(alike),
        tuple(file for file in paths if file not in alike),
        layout,
        rows,
        whole,
        columns,
    )


def _check_headers(path: str | Path, columns: Sequence[Values]) -> None:
    """Refuse rows that hold the columns' names: files were put one behind another with their
    headers.
    """
    named = [
        spread(pc.equal(v.texts.dictionary, v.name.strip()).to_numpy(zero_copy_only=False), v.texts)
        for v in columns
    ]
    again = np.logical_and.reduce(named)
    if again.any():
        got = f"the header again in row {int(np.argmax(again)) + 1}"
        raise DataError(
            path,
            "must have one header",
            got,
            f"remove the lines that are its copies ({int(again.sum())} of those looked at)",
        )


def _alike(paths: Sequence[Path], largest: Path, layout: Layout | None) -> list[Path]:
    """The files with the largest one's columns."""
    csv = layout.csv if layout else Csv()
    if layout and not layout.header_serves:
        return list(paths)
    names = sorted(column_names(largest, csv))
    return [path for path in paths if path == largest or sorted(column_names(path, csv)) == names]


def _head(
    path: Path, layout: Layout | None, names: Sequence[str], most: int
) -> tuple[int, bool, list[Values]]:
    """The number of the first rows of a file, whether these are all, and their columns."""
    parts: list[list[Values]] = []
    rows, ended = 0, True
    for batch in (
        _typed(path, {name: place for place, name in enumerate(names)})
        if layout is None
        else _texts(path, layout, names)
    ):
        if rows + len(batch[0].texts) > most:
            batch, ended = [_cut(column, most - rows) for column in batch], False
        parts.append(batch)
        rows += len(batch[0].texts)
        if not ended:
            break
    return rows, ended, [_joined(column) for column in zip(*parts, strict=True)] if parts else []


def _texts(path: Path, layout: Layout, names: Sequence[str]) -> Iterator[list[Values]]:
    csv = layout.by_names
    given = column_names(path, layout.csv)[: len(layout.given)] if layout.header_serves else []
    # the same columns in another order
    if given != list(layout.given) and sorted(given) == sorted(layout.given):
        named = dict(zip(layout.given, layout.names, strict=True))
        csv = csv.model_copy(update={"columns": tuple(named[name] for name in given)})
    for piece in read_pieces([path], dict.fromkeys(names, "text"), csv):
        yield [Values(name, _trimmed(piece.batch.column(name))) for name in names]


def _span(times: pa.Array) -> int:
    ends = pc.min_max(times).as_py()
    return int(ends["max"] - ends["min"])


def _typed(path: Path, places: Mapping[str, int]) -> Iterator[list[Values]]:
    for batch in open_table(path, Csv()):
        again = {name for name, count in Counter(batch.schema.names).items() if count > 1}
        order = sorted(range(batch.num_columns), key=lambda i: places[batch.schema.names[i]])
        yield [
            _read(path, batch.schema.names[i], batch.column(i), batch.schema.names[i] in again)
            for i in order
        ]


def _read(path: Path, name: str, column: pa.Array, again: bool) -> Values:
    """A column as text; as empty text where nothing can read it, with the reason."""
    nothing = pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(len(column), np.int32)), pa.array([""])
    )
    if again or not 0 < len(name) <= MAX_NAME:
        return Values(
            name,
            nothing,
            fault="its name is another column's, too"
            if again
            else "it has no name that can be written",
        )
    coded = False
    for reading in ("text", "list"):
        try:
            texts = convert(column, reading, path, name)
        except DataError as error:
            coded = "UTF" in error.got
        else:
            return Values(
                name,
                texts if reading == "list" else _trimmed(texts),
                reading == "list",
                _are_times(column.type),
            )
    kind = (
        "texts that are not UTF-8"
        if coded
        else f"the type {' '.join(str(column.type).split())[:60]}"
    )
    return Values(name, nothing, fault=f"{kind} cannot be read")


def _are_times(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind) or pa.types.is_date(kind))


def _trimmed(column: pa.DictionaryArray) -> pa.DictionaryArray:
    """The column without blanks around its words, each word once."""
    words = pc.utf8_trim_whitespace(column.dictionary).dictionary_encode()
    return pa.DictionaryArray.from_arrays(words.indices.take(column.indices), words.dictionary)


def _cut(column: Values, rows: int) -> Values:
    return replace(column, texts=column.texts.slice(0, rows))


def _joined(parts: Sequence[Values]) -> Values:
    """The rows of several parts of a column; what one part cannot be read as, the whole cannot."""
    texts = pa.chunked_array([part.texts for part in parts]).unify_dictionaries().combine_chunks()
    fault = next((part.fault for part in parts if part.fault), "")
    return replace(parts[0], texts=texts, is_time=all(part.is_time for part in parts), fault=fault)
