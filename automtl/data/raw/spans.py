"""Consecutive rows of a file, so that several processes can read one file.

A span is made of whole pieces, the very ones that a reader of the whole file is handed, so that
whatever follows from how rows come in pieces is the same for both.
"""

import codecs
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from automtl.data.access.formats import Content, content, readable
from automtl.data.access.remote import arrow_source
from automtl.data.raw._delimited import Delimited
from automtl.data.raw._readings import Counts as Counts
from automtl.data.raw._readings import Reading
from automtl.data.raw._tables import BATCH_ROWS, table_of
from automtl.data.raw.sources import BLOCK_BYTES, Piece, pieces_of
from automtl.data.spec.csv_settings import Csv
from automtl.errors import DataError


class Span(NamedTuple):
    """Some consecutive pieces of a file.

    Attributes:
        path: the file.
        start: of the first piece: its first byte (delimited text), row (Parquet) or number (Arrow).
        pieces: the size of each, in bytes or rows; None: the file as a whole, which cannot be cut.
    """

    path: Path
    start: int = 0
    pieces: tuple[int, ...] | None = None

    def cut(self, counts: Iterable[int], *, numbered: bool) -> "Iterator[Span]":
        """The span in so many pieces each."""
        done, start = 0, self.start
        for count in counts:
            pieces = (self.pieces or ())[done : done + count]
            yield Span(self.path, start, pieces)
            done, start = done + count, start + (count if numbered else sum(pieces))


def pieces_in(path: Path, csv: Csv) -> tuple[Span, bool]:
    """A file with its pieces, and whether a piece's start is its number; whole where it cannot be
    read from the middle: packed, in another encoding than UTF-8, JSON, or damaged, which its reader
    tells.

    A delimited text is gone over once, for line breaks within quotes; nothing of it is parsed.
    """
    try:
        with readable(path), content(path) as unpacked:
            if not unpacked.packing and unpacked.kind in _CUTTERS:
                return _CUTTERS[unpacked.kind](path, csv, unpacked), unpacked.kind == "arrow"
    except DataError:
        return Span(path), False  # whoever reads the rows says which one is wrong
    return Span(path), False


def _texts(path: Path, csv: Csv, unpacked: Content) -> Span:
    if codecs.lookup(csv.encoding).name != "utf-8":
        return Span(path)
    blocks = iter(lambda: unpacked.stream.read(BLOCK_BYTES), b"")
    sizes = tuple(map(len, Delimited(path, csv, blocks, BLOCK_BYTES)))
    return Span(path, path.stat().st_size - sum(sizes), sizes)


def _batches_of_parquet(path: Path, csv: Csv, unpacked: Content) -> Span:
    file = pq.ParquetFile(arrow_source(path))
    if any(pa.types.is_dictionary(field.type) for field in file.schema_arrow):
        return Span(path)  # a piece's words would come in another order
    rows = file.metadata.num_rows
    return Span(path, 0, tuple(min(BATCH_ROWS, rows - i) for i in range(0, rows, BATCH_ROWS)))


def _batches_of_arrow(path: Path, csv: Csv, unpacked: Content) -> Span:
    reader = pa.ipc.open_file(unpacked.stream)
    sizes = [reader.get_batch(i).num_rows for i in range(reader.num_record_batches)]
    return Span(path, 0, tuple(sizes))


_CUTTERS = {"csv": _texts, "parquet": _batches_of_parquet, "arrow": _batches_of_arrow}


class SpanReader:
    """Reads spans as `read_pieces` reads files.

    Args:
        spans: in their order; each but the first begins its file.
        texts: the first one's columns that are read as texts, since a value before was no number.
        before: rows that come before the first one in its file, for errors.

    Attributes:
        begun: of the first span, the columns that were read as texts in its first piece.
        texts: of the last, those at its end.
        counts: per span.
    """

    def __init__(self, spans: Sequence[Span], texts: Iterable[str] = (), before: int = 0) -> None:
        self._spans, self._before = spans, before
        self.begun: set[str] | None = None
        self.texts, self.counts = set(texts), list[Counts]()

    def __call__(
        self, paths: Sequence[Path], readings: Mapping[str, Reading], csv: Csv, say: Any
    ) -> Iterator[Piece]:
        for span in self._spans:
            with table_of(span.path, csv, BLOCK_BYTES) as table:
                before = 0 if self.counts else self._before
                if span.pieces is not None:
                    table.narrow(span.start, span.pieces, before)
                if not self.counts:
                    table.texts |= self.texts
                for piece in pieces_of(table, span.path, readings, before + 1):
                    if self.begun is None:
                        self.begun = set(table.texts)
                    yield piece
                self.texts, counts = table.texts, table.counts
                self.counts.append(counts._replace(rows=max(counts.rows - before, 0)))
