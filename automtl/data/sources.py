"""Raw files, one after another, as Arrow batches of the columns that are used; never a whole file in memory.

Each column is read in one of four ways: `text` is a dictionary array of strings without nulls, where "" is missing
(whole numbers keep all their digits: an id never passes through a float); `number` is float64, NaN is missing;
`time` is int64, microseconds where the column holds times; `list` is text, or Arrow lists as `lists.list_text` writes them.
"""

import glob
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from automtl.data.dataset import Csv, DatasetConfig
from automtl.data.features import Numeric
from automtl.data.lists import list_text
from automtl.data.remote import MARK, expand, input_stream, opened
from automtl.data.words import TEXT, as_text
from automtl.errors import DataError
from automtl.strict import nearest

Reading = Literal["text", "number", "time", "list"]
TYPES: dict[Reading, pa.DataType] = {"text": TEXT, "number": pa.float64(), "time": pa.int64(), "list": TEXT}
JOIN = "join "  # the role of a side table's files, before its number
_WRONG_VALUE = re.compile(
    r"In CSV column #(?P<column>\d+): (?:Row #(?P<row>\d+): )?CSV conversion error to .*: invalid value '(?P<value>.*)'"
)
BLOCK_BYTES = 4 * 2**20
UNREADABLE = (pa.ArrowException, OSError, EOFError, UnicodeDecodeError)  # what Arrow and gzip raise where a file is no table
BATCH_ROWS = 65536
PARQUET = (".parquet", ".pq")
TABULAR = (*PARQUET, ".csv", ".csv.gz", ".tsv", ".tsv.gz")


class Source(NamedTuple):
    """One raw file and what it is for."""

    role: str
    path: Path


class Piece(NamedTuple):
    """Some consecutive rows of one file; `first_row` counts from 1, the header left out."""

    path: Path
    first_row: int
    batch: pa.RecordBatch


def find_sources(config: DatasetConfig) -> tuple[Source, ...]:
    """The files of a data set, globs and folders resolved, in the order of their names.

    Raises:
        DataError: a path or a pattern that no file answers, or a file given both plain and gzipped.
    """
    main = [Source(role, path) for role, patterns in config.files.roles().items() for path in _found(patterns, f"files.{role}")]
    vectors = [path for f in config.features if not isinstance(f, Numeric) for path in (f.pretrained, f.words) if path]
    older = [Source("older", Path(config.vocabularies_from) / "manifest.json")] if config.vocabularies_from else []
    return (*main, *side_sources(config), *(Source("vectors", path) for path in _found(vectors, "pretrained")), *older)


def side_sources(config: DatasetConfig) -> tuple[Source, ...]:
    """The files of a data set's side tables.

    Raises:
        DataError: as `find_sources`.
    """
    return tuple(Source(f"{JOIN}{i}", path) for i, join in enumerate(config.joins) for path in _found(join.file, f"joins.{i}"))


def table_files(path: str, where: str) -> list[Path]:
    """The tables that a path, a pattern or a folder stands for, in the order of their names.

    Raises:
        DataError: as `find_sources`.
    """
    return _found([path], where)


def _found(patterns: Sequence[str], where: str) -> list[Path]:
    paths = sorted({path for pattern in patterns for path in _resolve(pattern, where)})
    for path in paths:
        if path.suffix == ".gz" and path.with_suffix("") in paths:
            raise DataError(path, "must not be given both plain and gzipped", "both", "remove or name one of them")
    return paths


def _resolve(pattern: str, where: str) -> list[Path]:
    path = Path(pattern)
    if MARK in pattern:
        found = expand(pattern, TABULAR)
    elif path.is_dir():
        found = [child for child in path.iterdir() if child.name.endswith(TABULAR)]
    else:
        found = [path] if path.is_file() else [match for match in map(Path, glob.glob(pattern)) if match.is_file()]
    if not found:
        fix = "check the path; of a shipped data set `automtl data get NAME` brings the files, or says where to put them"
        raise DataError(f"{where}: {pattern}", "must name a file", "none there", fix)
    return found


def read_pieces(paths: Sequence[Path], readings: Mapping[str, Reading], csv: Csv) -> Iterator[Piece]:
    """The rows of plain CSV and Parquet files, the columns of `readings` only, each read as it says.

    Raises:
        DataError: a file that cannot be read as a table, or that lacks a column.
    """
    for path in paths:
        first_row = 1
        try:
            for raw in _open(path, readings, csv):
                columns = [convert(raw.column(name), reading, path, name) for name, reading in readings.items()]
                yield Piece(path, first_row, pa.RecordBatch.from_arrays(columns, names=list(readings)))
                first_row += raw.num_rows
        except UNREADABLE as error:
            raise DataError(path, "must be a readable table", _plain(error), "mend the file; is the delimiter right?") from error


def _plain(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if "straddl" in text:
        return f"a row longer than {BLOCK_BYTES / 2**20:g} MiB (is a quote left open?)"
    return text if len(text) <= 300 else f"{text[:300]}..."


def _open(path: Path, readings: Mapping[str, Reading], csv: Csv) -> Iterator[pa.RecordBatch]:
    return _open_parquet(path, readings) if path.suffix in PARQUET else _open_csv(path, readings, csv)


def _open_parquet(path: Path, readings: Mapping[str, Reading]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(opened(path)) as file:
        check_columns(path, file.schema_arrow.names, readings)
        yield from file.iter_batches(batch_size=BATCH_ROWS, columns=list(readings))


def column_names(path: Path, csv: Csv) -> list[str]:
    """The columns of a file.

    Raises:
        DataError: it is empty, or no table.
    """
    try:
        if path.suffix in PARQUET:
            return list(pq.read_schema(opened(path)).names)
        if path.stat().st_size == 0:
            raise DataError(path, "must have rows", "an empty file", "restore it")
        if csv.columns:
            return list(csv.columns)
        read, parse = _csv_options(csv)
        read.use_threads = False  # a fault in the first block then tells its row
        with input_stream(path) as head:
            return list(pyarrow.csv.open_csv(head, read_options=read, parse_options=parse).schema.names)
    except UNREADABLE as error:
        raise DataError(path, "must be a readable table", _plain(error), "mend the file; is the delimiter right?") from error


def _csv_options(csv: Csv) -> tuple[pyarrow.csv.ReadOptions, pyarrow.csv.ParseOptions]:
    read = pyarrow.csv.ReadOptions(block_size=BLOCK_BYTES, column_names=list(csv.columns) or None, skip_rows=csv.skip)
    return read, pyarrow.csv.ParseOptions(delimiter=csv.delimiter)


def _open_csv(path: Path, readings: Mapping[str, Reading], csv: Csv) -> Iterator[pa.RecordBatch]:
    read, parse = _csv_options(csv)
    check_columns(path, names := column_names(path, csv), readings)
    types = {name: TYPES[reading] for name, reading in readings.items() if reading != "time"}
    options = pyarrow.csv.ConvertOptions(include_columns=list(readings), column_types=types, strings_can_be_null=False)
    try:
        with input_stream(path) as stream:
            yield from pyarrow.csv.open_csv(stream, read_options=read, parse_options=parse, convert_options=options)
    except pa.ArrowInvalid as fault:
        error = _counted(path, csv, options, fault)
        if found := _WRONG_VALUE.search(str(error)):
            row = f", row {int(found['row']) - (not csv.columns)}" if found["row"] else ""
            where = f"{path}{row}, column '{names[int(found['column'])]}'"
            raise DataError(where, "must be a number", repr(found["value"][:80]), "mend the value, or leave it empty") from error
        raise error from fault


def _counted(path: Path, csv: Csv, options: pyarrow.csv.ConvertOptions, fault: pa.ArrowInvalid) -> pa.ArrowInvalid:
    """A fault with its row: Arrow counts rows on one thread only, so where it did not, the file is read again up to the fault."""
    if "Row #" in str(fault):
        return fault
    read, parse = _csv_options(csv)
    read.use_threads = False
    try:
        with input_stream(path) as stream:
            for _ in pyarrow.csv.open_csv(stream, read_options=read, parse_options=parse, convert_options=options):
                continue
    except pa.ArrowInvalid as again:
        return again
    return fault


def open_table(path: Path, csv: Csv) -> Iterator[pa.RecordBatch]:
    """All columns of a file, by Arrow's own types, block by block.

    Raises:
        DataError: it is empty, or no table.
    """
    try:
        if path.suffix in PARQUET:
            with pq.ParquetFile(opened(path)) as file:
                _readable(file.schema_arrow)
                yield from file.iter_batches(batch_size=BATCH_ROWS)
            return
        if path.stat().st_size == 0:
            raise DataError(path, "must have rows", "an empty file", "restore it")
        read, parse = _csv_options(csv)
        with input_stream(path) as stream:
            batches = pyarrow.csv.open_csv(stream, read_options=read, parse_options=parse)
            _readable(batches.schema)
            yield from batches
    except UNREADABLE as error:
        raise DataError(path, "must be a readable table", _plain(error), "mend the file; is the delimiter right?") from error


def _readable(schema: pa.Schema) -> list[str]:
    """The columns' names; a UnicodeDecodeError where one is no text, which would else come only when somebody asks for it."""
    return list(schema.names)


def check_columns(path: Path, names: Sequence[str], wanted: Mapping[str, Reading]) -> None:
    """Refuse a table that lacks a column, or has it twice.

    Raises:
        DataError: the message names file and column.
    """
    for name in wanted:
        if name not in names:
            raise DataError(path, f"must have the column '{name}'", f"columns {', '.join(names)[:300]}", nearest(name, names))
        if names.count(name) > 1:
            raise DataError(path, f"must have the column '{name}' once", f"{names.count(name)} times", "rename or remove the others")


def convert(column: pa.Array, reading: Reading, path: Path, name: str) -> pa.Array:
    """A column read as it is to be.

    Raises:
        DataError: it cannot be read so.
    """
    try:
        if reading == "text":
            return as_text(column)
        if reading == "list":
            return list_text(column) if pa.types.is_list(column.type) or pa.types.is_large_list(column.type) else as_text(column)
        if reading == "number":
            return column.cast(pa.float64())
        return column.cast(pa.timestamp("us")).cast(pa.int64()) if pa.types.is_temporal(column.type) else column.cast(pa.int64())
    except pa.ArrowException as error:
        raise DataError(f"{path}: column '{name}'", f"must be read as {reading}", _plain(error), "mend the column") from error
