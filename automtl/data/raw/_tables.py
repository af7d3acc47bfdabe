"""A file as a table, whatever its format: the names of its columns, and batches of some or of all
of them.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from automtl.data.access.formats import Content, content, readable
from automtl.data.access.remote import opened
from automtl.data.raw._delimited import Delimited
from automtl.data.raw._json_lines import JsonLines
from automtl.data.raw._readings import TYPES, Reading
from automtl.data.spec.csv_settings import Csv
from automtl.data.values.text_columns import TEXT

BATCH_ROWS = 65536


class Table(Protocol):
    """One file: the names of its columns, and what is worth telling of how it was read, once it
    was.
    """

    names: list[str]

    @property
    def notes(self) -> Sequence[str]: ...

    def batches(self, readings: Mapping[str, Reading] | None) -> Iterator[pa.RecordBatch]:
        """The columns of `readings`, or all of them by Arrow's own types."""
        ...


@contextlib.contextmanager
def table_of(path: Path, csv: Csv, block_bytes: int) -> Iterator[Table]:
    """A file as a table.

    Args:
        path: the file.
        csv: how it is written, where it is delimited text.
        block_bytes: of text, to be read at a time.

    Raises:
        DataError: it is empty, cut short, or no table; the message says what it is instead, and
            what to do.
    """
    with readable(path), content(path) as found:
        blocks = iter(lambda: found.stream.read(block_bytes), b"")
        if found.kind == "csv":
            yield _Text(Delimited(path, csv, blocks, block_bytes))
        elif found.kind == "json":
            yield JsonLines(path, blocks)
        else:
            yield _Parquet(path, found) if found.kind == "parquet" else _Arrow(found)


class _Parquet:
    notes = ()

    def __init__(self, path: Path, found: Content) -> None:
        self._file = pq.ParquetFile(found.stream if found.packing else opened(path))
        self.names = list(self._file.schema_arrow.names)

    def batches(self, readings: Mapping[str, Reading] | None) -> Iterator[pa.RecordBatch]:
        yield from self._file.iter_batches(
            batch_size=BATCH_ROWS, columns=None if readings is None else list(readings)
        )


class _Arrow:
    notes = ()

    def __init__(self, found: Content) -> None:
        self._reader = (
            pa.ipc.open_file(found.stream)
            if found.kind == "arrow"
            else pa.ipc.open_stream(found.stream)
        )
        self.names = list(self._reader.schema.names)

    def batches(self, readings: Mapping[str, Reading] | None) -> Iterator[pa.RecordBatch]:
        for batch in self._whole():
            part = batch if readings is None else batch.select(list(readings))
            yield from (
                part.slice(start, BATCH_ROWS) for start in range(0, part.num_rows, BATCH_ROWS)
            )

    def _whole(self) -> Iterator[pa.RecordBatch]:
        if isinstance(self._reader, pa.ipc.RecordBatchFileReader):
            return (self._reader.get_batch(i) for i in range(self._reader.num_record_batches))
        return iter(self._reader)


class _Text:
    def __init__(self, text: Delimited) -> None:
        self._text, self.names, self._types = text, text.names, dict[str, pa.DataType]()

    @property
    def notes(self) -> list[str]:
        text = self._text
        empty = text.ends - text.breaks - text.rows
        notes = {
            text.note: bool(text.note),
            f"{text.rows:,} rows in {text.ends:,} "
            "lines: values in quotes hold line breaks": text.breaks > 0,
            f"{empty:,} empty lines are left out": empty > 0,
        }
        return [note for note, holds in notes.items() if holds]

    def batches(self, readings: Mapping[str, Reading] | None) -> Iterator[pa.RecordBatch]:
        if readings is not None:
            self._types = {name: TYPES[reading] for name, reading in readings.items()}
        for piece in self._text:
            batch = self._batch(piece, readings)
            self._text.rows += batch.num_rows
            # the types of the first megabytes are those of all
            if readings is None and not self._types:
                batch = _without_nulls(batch)
                self._types = {field.name: field.type for field in batch.schema}
            yield batch

    def _batch(self, piece: bytes, readings: Mapping[str, Reading] | None) -> pa.RecordBatch:
        """A piece's columns; numbers and times are texts from the first piece on that holds another
        word: `Columns` reads them.
        """
        options = convert_options(readings, self._types)
        try:
            return self._text.parsed(piece, options)
        except pa.ArrowInvalid as fault:
            column = self._text.column_of(fault)
            if readings is None or column is None or self._types[column] == TEXT:
                raise self._text.refused(piece, options, fault) from fault
            self._types[column] = TEXT
            return self._batch(piece, readings)


def convert_options(
    readings: Mapping[str, Reading] | None, types: Mapping[str, pa.DataType]
) -> pyarrow.csv.ConvertOptions:
    """How Arrow reads the values of a text."""
    if readings is None:
        return pyarrow.csv.ConvertOptions(column_types=dict(types))
    shared = {"include_columns": list(readings), "null_values": [""], "strings_can_be_null": False}
    return pyarrow.csv.ConvertOptions(column_types=dict(types), **shared)


def _without_nulls(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Columns without any value as texts, since a later row may have one."""
    columns = [
        column.cast(pa.string()) if pa.types.is_null(column.type) else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(columns, names=batch.schema.names)
