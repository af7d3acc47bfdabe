"""Raw files, one after another, as Arrow batches of the columns that are used; never a whole file
in memory.

Each column is read in one of four ways: `text` is a dictionary array of strings without nulls,
where null and NaN are "" (whole numbers keep all their digits: an id never passes through a float);
`number` is float64, NaN is missing; `time` is int64, microseconds where the column holds times;
`list` is text, or Arrow lists as `list_columns.list_text` writes them. A column of texts that is to
be numbers or times is handed on as text: `Columns` reads them, and says which row is wrong.
"""

import json
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from automtl.data.access.formats import kind_of
from automtl.data.access.paths import find_files, partitions, shown_path
from automtl.data.raw._headers import names_columns, narrowed
from automtl.data.raw._readings import Reading as Reading
from automtl.data.raw._tables import BATCH_ROWS as BATCH_ROWS
from automtl.data.raw._tables import Table, table_of
from automtl.data.raw.quotes import is_number
from automtl.data.spec.dataset import Csv, DatasetConfig
from automtl.data.spec.features import Numeric
from automtl.data.values.dates import as_times
from automtl.data.values.list_columns import is_list, list_text
from automtl.data.values.text_columns import as_text, decoded, is_text
from automtl.errors import DataError, counted
from automtl.strict import nearest, shown

JOIN = "join "  # the role of a side table's files, before its number
BLOCK_BYTES = 4 * 2**20
_DELIMITERS = ("\t", ";", "|", "::", "\x01", ",", "^", "~")


class Source(NamedTuple):
    """One raw file and what it is for."""

    role: str
    path: Path


class Piece(NamedTuple):
    """Some consecutive rows of one file; `first_row` counts from 1, the header left out; `times`
    are the forms of columns of times.
    """

    path: Path
    first_row: int
    batch: pa.RecordBatch
    times: Mapping[str, str] = MappingProxyType({})


def find_sources(config: DatasetConfig) -> tuple[Source, ...]:
    """The files of a data set, globs and folders resolved, in the order of their names.

    Raises:
        DataError: a path or a pattern that no file answers, or a file given both plain and gzipped.
    """
    main = [
        Source(role, path)
        for role, patterns in config.files.roles().items()
        for path in find_files(patterns, f"files.{role}")
    ]
    vectors = [
        path
        for f in config.features
        if not isinstance(f, Numeric)
        for path in (f.pretrained, f.words)
        if path
    ]
    older = (
        [Source("older", Path(config.vocabularies_from) / "manifest.json")]
        if config.vocabularies_from
        else []
    )
    return (
        *main,
        *side_sources(config),
        *(Source("vectors", path) for path in find_files(vectors, "pretrained")),
        *older,
    )


def side_sources(config: DatasetConfig) -> tuple[Source, ...]:
    """The files of a data set's side tables.

    Raises:
        DataError: as `find_sources`.
    """
    return tuple(
        Source(f"{JOIN}{i}", path)
        for i, join in enumerate(config.joins)
        for path in find_files(join.file, f"joins.{i}")
    )


def silent(text: str) -> None:
    """Ignore a message: for callers who want none."""


def read_pieces(
    paths: Sequence[Path],
    readings: Mapping[str, Reading],
    csv: Csv,
    say: Callable[[str], None] = silent,
) -> Iterator[Piece]:
    """The rows of plain files, the columns of `readings` only, each read as it says.

    Args:
        paths: the files, of any format that `formats` knows.
        readings: the columns that are wanted.
        csv: how those of delimited text are written.
        say: is told what is worth knowing of how a file was read.

    Raises:
        DataError: a file that cannot be read as a table, or that lacks a column.
    """
    for path in paths:
        with table_of(path, csv, BLOCK_BYTES) as table:
            yield from pieces_of(table, path, readings)
            for note in table.counts.notes:
                say(f"{path.name}: {note}")


def pieces_of(
    table: Table, path: Path, readings: Mapping[str, Reading], first_row: int = 1
) -> Iterator[Piece]:
    """The rows of a file that is open.

    Raises:
        DataError: as `read_pieces`.
    """
    place = shown_path(path)
    folders = {name: word for name, word in partitions(path).items() if name not in table.names}
    check_columns(place, [*table.names, *folders], readings)
    own = {name: reading for name, reading in readings.items() if name not in folders}
    for raw in table.batches(own):
        columns = [
            convert(
                _constant(folders[name], raw.num_rows) if name in folders else raw.column(name),
                reading,
                place,
                name,
            )
            for name, reading in readings.items()
        ]
        yield Piece(place, first_row, pa.RecordBatch.from_arrays(columns, names=list(readings)))
        first_row += raw.num_rows


def _constant(word: str, rows: int) -> pa.Array:
    """A column of one word, as a file's folder gives it."""
    return pa.DictionaryArray.from_arrays(
        pa.array(np.zeros(rows, np.int32)), pa.array([word], pa.string())
    )


def column_names(path: Path, csv: Csv) -> list[str]:
    """The columns of a file, those that its folders' names give behind its own.

    Raises:
        DataError: it is empty, or no table.
    """
    with table_of(path, csv, BLOCK_BYTES) as table:
        return [*table.names, *(name for name in partitions(path) if name not in table.names)]


def fitted(path: Path, csv: Csv, needed: Collection[str]) -> Csv:
    """`csv` for rows to predict on, which need not have the columns that no model reads, although
    no header says which are there.

    Raises:
        DataError: there are fewer columns than in training, and it cannot be told which.
    """
    if not csv.columns or not is_delimited(path):
        return csv
    with table_of(path, csv.model_copy(update={"columns": ()}), BLOCK_BYTES) as table:
        words = table.names
    if len(words) >= len(csv.columns) or names_columns(words, csv.columns):
        return csv
    columns = narrowed(csv.columns, needed, len(words))
    if columns is None:
        got = (
            f"{len(words)} in its first row, {shown(csv.delimiter.join(words))!r}, which could "
            "be several of them"
        )
        rule = (
            f"must have the {counted(len(csv.columns), 'column')} of csv.columns "
            f"({', '.join(csv.columns)[:200]})"
        )
        raise DataError(path, rule, got, "write their names above them")
    return csv.model_copy(update={"columns": columns})


def is_delimited(path: Path) -> bool:
    """Whether a file is text with delimiters, which `csv` describes.

    Raises:
        DataError: it is empty, or no table.
    """
    return kind_of(path) == "csv"


def open_table(path: Path, csv: Csv) -> Iterator[pa.RecordBatch]:
    """All columns of a file, by Arrow's own types, block by block; those that its folders' names
    give behind its own.

    Raises:
        DataError: it is empty, or no table.
    """
    with table_of(path, csv, BLOCK_BYTES) as table:
        folders = {name: word for name, word in partitions(path).items() if name not in table.names}
        for batch in table.batches(None):
            extra = [_constant(word, batch.num_rows) for word in folders.values()]
            yield pa.RecordBatch.from_arrays(
                [*batch.columns, *extra], names=[*batch.schema.names, *folders]
            )


def check_columns(path: Path, names: Sequence[str], wanted: Mapping[str, Reading]) -> None:
    """Refuse a table that lacks a column, or has it twice.

    Raises:
        DataError: the message names file and column.
    """
    for name in wanted:
        if name not in names:
            raise DataError(
                path,
                f"must have the column '{name}'",
                f"columns {', '.join(names)[:300]}",
                _missing(name, names),
            )
        if names.count(name) > 1:
            raise DataError(
                path,
                f"must have the column '{name}' once",
                f"{names.count(name)} times",
                "rename or remove the others",
            )


def _missing(name: str, names: Sequence[str]) -> str:
    """What to do about a column that is not there."""
    if len(names) == 1 and (sign := next((sign for sign in _DELIMITERS if sign in names[0]), None)):
        return f"set csv: {{delimiter: {json.dumps(sign)}}}"
    if sum(map(is_number, names)) * 2 > len(names):
        return "is the first row one of data? then name the columns in csv.columns"
    return nearest(name, names)


def convert(column: pa.Array, reading: Reading, path: Path, name: str) -> pa.Array:
    """A raw column, converted to the reading that is asked for.

    Raises:
        DataError: it cannot be read so.
    """
    try:
        column = decoded(column)
        if reading == "list" and is_list(column.type):
            return list_text(column)
        if reading in ("text", "list") or is_text(column.type):
            return as_text(column)
        if pa.types.is_dictionary(column.type):
            column = column.dictionary_decode()
        return column.cast(pa.float64(), safe=False) if reading == "number" else as_times(column)
    except pa.ArrowException as error:
        rule, got = f"must be read as {reading}", f"values of type {column.type}"
        fix = "mend the column, or leave it out"
        if "UTF8" in str(error):
            got = "bytes that are no UTF-8"
        elif is_list(column.type):
            row = int(np.argmax(column.is_valid()))
            rule, got = "must hold one value in each row", f"lists, such as {column[row].as_py()}"
            fix = "make it a feature of lists (kind: multi), or leave it out"
        raise DataError(f"{path}: column '{name}'", rule, shown(got), fix) from error
