"""A file as a table, whatever its format: the names of its columns, and batches of some or of all
of them.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from automtl.data.access.formats import Content, content, readable
from automtl.data.access.remote import arrow_source
from automtl.data.raw._delimited import Delimited
from automtl.data.raw._json_lines import JsonLines
from automtl.data.raw._readings import TYPES, Counts, Reading
from automtl.data.spec.csv_settings import Csv
from automtl.data.values.text_columns import TEXT

BATCH_ROWS = 65536


class Table(Protocol):
    """A file of rows, read piece by piece.

    Attributes:
        names: of its columns.
        texts: columns of numbers or times that are read as texts, since a value so far was none.
    """

    names: list[str]
    texts: set[str]

    @property
    def counts(self) -> Counts: ...

    def narrow(self, start: int, pieces: Sequence[int], before: int) -> None:
        """Read some consecutive pieces only (see `spans.Span`), behind so many rows."""
        ...

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
    with readable(path), content(path) as unpacked:
        blocks = iter(lambda: unpacked.stream.read(block_bytes), b"")
        if unpacked.kind == "csv":
            yield _Text(Delimited(path, csv, blocks, block_bytes))
        elif unpacked.kind == "json":
            yield JsonLines(path, blocks)
        else:
            yield _Parquet(path, unpacked) if unpacked.kind == "parquet" else _Arrow(unpacked)


class _Parquet:
    counts = Counts()

    def __init__(self, path: Path, unpacked: Content) -> None:
        self._file = pq.ParquetFile(unpacked.stream if unpacked.packing else arrow_source(path))
        self.names, self.texts = list(self._file.schema_arrow.names), set[str]()
        self._start, self._rows = 0, self._file.metadata.num_rows

    def narrow(self, start: int, pieces: Sequence[int], before: int) -> None:
        self._start, self._rows = start, sum(pieces)

    def batches(self, readings: Mapping[str, Reading] | None) -> Iterator[pa.RecordBatch]:
        columns = None if readings is None else list(readings)
        if self._rows == self._file.metadata.num_rows:
            yield from self._file.iter_batches(batch_size=BATCH_ROWS, columns=columns)
            return
        groups, skip = self._groups()
        rest, left = list[pa.RecordBatch](), self._rows
        for batch in self._file.iter_batches(BATCH_ROWS, groups, columns):
            batch, skip = batch.slice(min(skip, len(batch))), max(skip - len(batch), 0)
            rest.append(batch.slice(0, left))
            left -= len(rest[-1])
            if (there := sum(map(len, rest))) >= BATCH_ROWS or (there and not left):
                whole = pa.Table.from_batches(rest).combine_chunks()
                yield from whole.slice(0, BATCH_ROWS).to_batches()
                rest = whole.slice(BATCH_ROWS).to_batches()
        yield from rest

    def _groups(self) -> tuple[list[int], int]:
        """The row groups that hold the rows, and how many of the first one's come before."""
        sizes = [
            self._file.metadata.row_group(i).num_rows for i in range(self._file.num_row_groups)
        ]
        ends = np.cumsum(sizes)
        first = int(np.searchsorted(ends, self._start, side="right"))
        last = int(np.searchsorted(ends, self._start + self._rows, side="left"))
        return list(range(first, last + 1)), self._start - int(ends[first] - sizes[first])


class _Arrow:
    counts = Counts()

    def __init__(self, unpacked: Content) -> None:
        self.texts, self._range = set[str](), slice(None)
        self._reader = (
            pa.ipc.open_file(unpacked.stream)
            if unpacked.kind == "arrow"
            else pa.ipc.open_stream(unpacked.stream)
        )
        self.names = list(self._reader.schema.names)

    def batches(self, readings: Mapping[str, Reading] | None) -> Iterator[pa.RecordBatch]:
        for batch in self._whole():
            part = batch if readings is None else batch.select(list(readings))
            yield from (
                part.slice(start, BATCH_ROWS) for start in range(0, part.num_rows, BATCH_ROWS)
            )

    def narrow(self, start: int, pieces: Sequence[int], before: int) -> None:
        self._range = slice(start, start + len(pieces))

    def _whole(self) -> Iterator[pa.RecordBatch]:
        if isinstance(self._reader, pa.ipc.RecordBatchFileReader):
            numbers = range(self._reader.num_record_batches)[self._range]
            return (self._reader.get_batch(i) for i in numbers)
        return iter(self._reader)


class _Text:
    def __init__(self, text: Delimited) -> None:
        self._text = text
        self.names = text.names
        self._types = dict[str, pa.DataType]()
        self.texts = set[str]()

    @property
    def counts(self) -> Counts:
        return Counts(self._text.note, self._text.rows, self._text.ends, self._text.breaks)

    def narrow(self, start: int, pieces: Sequence[int], before: int) -> None:
        self._text.only(start, pieces)
        self._text.rows = before

    def batches(self, readings: Mapping[str, Reading] | None) -> Iterator[pa.RecordBatch]:
        if readings is not None:
            self._types = {
                name: TEXT if name in self.texts else TYPES[reading]
                for name, reading in readings.items()
            }
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
            self.texts.add(column)
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
