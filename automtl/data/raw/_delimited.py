"""Delimited text as pieces of whole rows, each of which Arrow then parses by itself.

So quotes are followed over any distance, a row's number is known wherever something is wrong, and a
text in another encoding or with a delimiter of several signs is rewritten on the way.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv

from automtl.data.access.encodings import guess_encoding, utf8_blocks
from automtl.data.raw._headers import header
from automtl.data.raw.quotes import Quotes, quotes, swallowed
from automtl.data.spec.csv_settings import Csv
from automtl.errors import DataError, counted
from automtl.strict import shown

SAMPLE_ROWS = 200
# for a delimiter that Arrow does not know, whichever the text is without
_STANDINS = bytes([31, 30, 29, 28, *range(1, 9)])
_WRONG_WIDTH = re.compile(
    r"CSV parse error: (?:Row #(?P<row>\d+): )?Expected \d+ columns, got (?P<got>\d+): "
    r"(?P<text>.*)",
    re.S,
)
_WRONG_VALUE = re.compile(
    r"In CSV column #(?P<column>\d+): (?:Row #(?P<row>\d+): )?CSV conversion error to .*?: "
    r"(?P<what>.*)",
    re.S,
)


class Delimited:
    """A delimited text.

    Args:
        path: of the file, for errors.
        csv: how it is written.
        blocks: its bytes, some megabytes at a time.
        longest: bytes that a row may have.

    Attributes:
        names: of its columns.
        note: what is worth telling of them.
        rows: how many were read so far; whoever has read a piece adds its own.
        breaks: line breaks within values, so far.
        ends: line breaks that end a line, so far; those of empty lines behind the last row left
            out.

    Raises:
        DataError: it is no text, or its first row does not fit `csv.columns`.
    """

    def __init__(self, path: Path, csv: Csv, blocks: Iterator[bytes], longest: int) -> None:
        self.path = path
        self.names = list[str]()
        self._longest = longest
        self.rows = self.breaks = self.ends = 0
        self._csv = csv
        self._quote = csv.quote_sign
        self._numeric = list[bool]()
        texts = utf8_blocks(blocks, csv.encoding, path, csv.delimiter.encode())
        head = _skipped(texts, csv.skip)
        self._newline = _newline(head)
        head = head.lstrip(b"\r\n")
        ends = self._quoted(head).ends[: SAMPLE_ROWS + 1]
        if not len(ends) and (len(head) >= longest or self._quoted(head).left_open is not None):
            self._refuse_endless(head)
        first = int(ends[0]) + 1 if len(ends) else len(head)
        sample = int(ends[-1]) + 1 if len(ends) else len(head)
        first_row = header(path, csv, head[:first], head[first:sample])
        self.names = first_row.names
        self._numeric = first_row.numeric
        self.note = first_row.note
        rest: Iterator[bytes] = chain([head[first:] if first_row.is_row else head], texts)
        self._blocks = rest

    def only(self, start: int, pieces: Sequence[int]) -> None:
        """Read some consecutive pieces only, as they were cut before.

        Args:
            start: where the first one begins in the file, which is UTF-8 and not packed.
            pieces: bytes of each.
        """
        self._blocks = _pieces(self.path, start, pieces)

    def __iter__(self) -> Iterator[bytes]:
        behind = 0
        for piece in self._whole():
            self.ends += behind + piece.count(self._newline)
            behind = piece[len(piece.rstrip(b"\r\n")) :].count(self._newline) - 1
            self.ends -= behind
            yield piece

    def _whole(self) -> Iterator[bytes]:
        """The text, in pieces of whole rows."""
        rest = b""
        for block in self._blocks:
            data = rest + block
            end = self._last_end(data)
            if not end and len(data) > self._longest:
                self._refuse_endless(data)
            rest = data[end:]
            if end:
                yield data[:end]
        if rest:
            quotes = self._quoted(rest)
            if quotes.left_open is not None:
                self._refuse_endless(rest)
            self._check(rest, quotes)
            yield rest

    def _last_end(self, data: bytes) -> int:
        """Where the last whole row of a text ends."""
        if not self._quote or self._quote not in data:
            return data.rfind(self._newline) + 1
        quotes = self._quoted(data)
        end = int(quotes.ends[-1]) + 1 if len(quotes.ends) else 0
        self._check(data[:end], quotes)
        return end

    def _quoted(self, data: bytes) -> Quotes:
        text = np.frombuffer(data, np.uint8)
        if not self._quote:
            none = np.zeros(0, np.int64)
            return Quotes(np.flatnonzero(text == self._newline[0]), none, none, none)
        return quotes(text, ord(self._csv.delimiter), self._quote[0], self._newline[0])

    def _check(self, data: bytes, quotes: Quotes) -> None:
        """Count the line breaks within values; refuse a quote that makes whole rows into one
        value.
        """
        breaks = quotes.breaks[quotes.breaks < len(data)]
        self.breaks += len(breaks)
        if not len(breaks):
            return
        place = swallowed(
            data, quotes._replace(breaks=breaks), self._csv.delimiter.encode(), self._numeric
        )
        if place is not None:
            got = (
                f"a quote that opens with {_shown(data, place)} and closes some lines below, "
                "behind what look like whole rows"
            )
            fix = (
                "set csv: {quote: none} where the sign is part of the text; if the value is "
                "right, write the table as Parquet"
            )
            raise DataError(self._place(data, place), "must close its quotes", got, fix)

    def _refuse_endless(self, data: bytes) -> None:
        place = self._quoted(data).left_open
        if place is not None:
            fix = "set csv: {quote: none} where the sign is part of the text, or close it"
            got = f"a quote that opens with {_shown(data, place)} and does not close"
            raise DataError(self._place(data, place), "must close its quotes", got, fix)
        rule = f"must have rows of at most {self._longest / 2**20:g} MiB"
        raise DataError(
            f"{self.path}, row {self.rows + 1}",
            rule,
            f"one that begins with {_shown(data, 0)}",
            "mend the row",
        )

    def _place(self, data: bytes, position: int) -> str:
        """File, row and column of a place in a text."""
        ends = self._quoted(data).ends
        starts = [0, *(ends[ends < position] + 1).tolist()]
        before = sum(1 for start, end in pairwise(starts) if data[start:end].strip())
        column = data[starts[-1] : position].count(self._csv.delimiter.encode())
        return self._named(self.rows + before + 1, column)

    def _named(self, row: int, column: int) -> str:
        name = (
            f"column '{self.names[column]}'" if column < len(self.names) else f"column {column + 1}"
        )
        return f"{self.path}, row {row}, {name}"

    def parsed(
        self, data: bytes, options: pyarrow.csv.ConvertOptions, *, threads: bool = True
    ) -> pa.RecordBatch:
        """A piece's columns.

        Raises:
            pyarrow.ArrowInvalid: a row or a value cannot be read; `refused` says which.
        """
        written, sign = self._csv.delimiter.encode(), self._sign(data)
        if sign != written:
            data = data.replace(written, sign)
        quoted = bool(self._quote) and self._quote in data
        read = pyarrow.csv.ReadOptions(
            block_size=len(data) + 1, column_names=self.names, use_threads=threads
        )
        parse = pyarrow.csv.ParseOptions(
            delimiter=sign.decode(),
            quote_char=quoted and self._quote.decode(),
            newlines_in_values=quoted,
        )
        table = pyarrow.csv.read_csv(pa.BufferReader(data), read, parse, options)
        batches = table.combine_chunks().to_batches()
        return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)

    def _sign(self, data: bytes) -> bytes:
        """The delimiter that Arrow is told: the text's own, or a sign that the text is without."""
        written = self._csv.delimiter.encode()
        return (
            written
            if len(written) == 1
            else bytes([next(sign for sign in (*_STANDINS, 0) if sign not in data)])
        )

    def column_of(self, fault: pa.ArrowInvalid) -> str | None:
        """The column whose type a value does not have; None where something else is wrong."""
        match = _WRONG_VALUE.match(str(fault))
        return self.names[int(match["column"])] if match else None

    def refused(
        self, data: bytes, options: pyarrow.csv.ConvertOptions, fault: pa.ArrowInvalid
    ) -> DataError:
        """What is wrong with a piece that `parsed` refused, with the row, which Arrow tells only
        where it reads by one thread.
        """
        try:
            self.parsed(data, options, threads=False)
        except pa.ArrowInvalid as again:
            fault = again
        said = str(fault)
        if match := _WRONG_WIDTH.match(said):
            return self._wrong_width(
                match, match["text"].replace(self._sign(data).decode(), self._csv.delimiter)
            )
        if match := _WRONG_VALUE.match(said):
            return self._wrong_value(match, data)
        return DataError(
            self.path,
            "must be a readable table",
            f"rows that cannot be parsed ({shown(' '.join(said.split()))})",
            _DELIMITER,
        )

    def _wrong_width(self, match: re.Match[str], text: str) -> DataError:
        row, fix = self.rows + int(match["row"] or 1), _DELIMITER
        if '\\"' in text:
            fix = "double the quotes within quotes, instead of a backslash before them"
        elif int(match["got"]) > len(self.names) and self._quote and self._quote.decode() in text:
            fix = f"quotes count only where they are a value's first sign; {fix}"
        elif self._csv.delimiter * 2 in text or self._csv.delimiter in " \t":
            fix = f"{fix} (several signs in a row hold empty values between them)"
        got = f"{match['got']}: {shown(text)!r}"
        return DataError(
            f"{self.path}, row {row}",
            f"must have {counted(len(self.names), 'column')}, as {self._names_from}",
            got,
            fix,
        )

    @property
    def _names_from(self) -> str:
        return "csv.columns says" if self._csv.columns and not self.note else "the header says"

    def _wrong_value(self, match: re.Match[str], data: bytes) -> DataError:
        column, row = int(match["column"]), self.rows + int(match["row"] or 1)
        if "UTF8" in match["what"]:
            return self._not_utf8(column, data)
        value = re.sub(r"^invalid value '(.*)'$", r"\1", match["what"], flags=re.S)
        return DataError(
            self._named(row, column),
            "must be of the same type as in the rows before",
            repr(value[:80]),
            "mend the value",
        )

    def _not_utf8(self, column: int, data: bytes) -> DataError:
        name = self.names[column]
        options = pyarrow.csv.ConvertOptions(
            include_columns=[name], column_types={name: pa.binary()}, strings_can_be_null=False
        )
        values = self.parsed(data, options).column(0).to_pylist()
        row, value = next((i, value) for i, value in enumerate(values) if not _is_utf8(value))
        encoding = guess_encoding(b" ".join(values[row : row + SAMPLE_ROWS]))
        fix = f"set csv: {{encoding: {encoding}}}, if that is what the file is written in"
        return DataError(
            self._named(self.rows + row + 1, column), "must be UTF-8", ascii(value[:40]), fix
        )


_DELIMITER = "mend the row; is csv.delimiter right?"


def _pieces(path: Path, start: int, pieces: Sequence[int]) -> Iterator[bytes]:
    with path.open("rb") as stream:
        stream.seek(start)
        yield from map(stream.read, pieces)


def _skipped(blocks: Iterator[bytes], lines: int) -> bytes:
    """The first block, without some lines."""
    head = next(blocks, b"")
    newline = _newline(head)
    for _ in range(lines):
        while newline not in head and (more := next(blocks, b"")):
            head += more
        head = head.partition(newline)[2]
    return head or next(blocks, b"")


def _newline(head: bytes) -> bytes:
    """The sign that ends a text's lines."""
    return b"\n" if b"\n" in head or b"\r" not in head else b"\r"


def _shown(data: bytes, place: int) -> str:
    return repr(data[place : place + 40].split(b"\n")[0].decode(errors="replace"))


def _is_utf8(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True
