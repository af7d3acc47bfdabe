"""How a CSV file is written, guessed from its first lines: the delimiter, and which line, if any,
names the columns.
"""

import codecs
import contextlib
import csv as csv_module
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from automtl.data.access.encodings import guess_encoding
from automtl.data.access.formats import HEAD_BYTES, content, readable
from automtl.data.raw.quotes import is_number
from automtl.data.spec.csv_settings import Csv
from automtl.data.values.forms import MISSING_NUMBERS
from automtl.errors import DataError

MAX_NAME = 190  # signs: a YAML takes 200, and a number may be added
DELIMITERS = (",", "\t", ";", "|", "\x01", "::", "||")
_LETTERS, _DIGITS = re.compile(r"[^\W\d_]+"), re.compile(r"\d+")


@dataclass(frozen=True)
class Layout:
    """How a file is written.

    Args:
        csv: reads it by the file's own header, or by names c1, c2, ... where it has none.
        given: what the header calls each column, "" where that is no name; without a header the
            names of `csv`.
        lines: before the first row of values.
        fits: the header has as many names as the rows have values, so that it can be read.
    """

    csv: Csv
    given: tuple[str, ...]
    lines: int
    fits: bool

    @property
    def names(self) -> tuple[str, ...]:
        """A name of its own for each column: `a_2` for a second `a`, `c3` for a third column
        without one.
        """
        names: list[str] = []
        for place, name in enumerate(self.given, 1):
            wanted = name if name.strip() else f"c{place}"
            if wanted != name or wanted in names:
                others = {*names, *self.given}
                again = (wanted, *(f"{wanted}_{i}" for i in range(2, len(others) + 3)))
                wanted = next(other for other in again if other not in others)
            names.append(wanted)
        return tuple(names)

    @property
    def header_serves(self) -> bool:
        """Whether the file can be read by its own header, which calls no two columns the same."""
        named = [name for name in self.given if name.strip()]
        return not self.csv.columns and self.fits and len(set(named)) == len(named)

    @property
    def by_names(self) -> Csv:
        """Reads the file by `names` in place of its own header."""
        return self.csv.model_copy(update={"columns": self.names, "skip": self.lines})


def sniff(path: Path, *, encoding: str = "", quotes: bool = True) -> Layout:
    """How a file is written.

    Args:
        path: of the file.
        encoding: where it is known.
        quotes: whether quotes may stand around values.

    Raises:
        DataError: the file cannot be read, or is empty.
    """
    with readable(path), content(path) as unpacked:
        head = unpacked.stream.read(HEAD_BYTES)
    encoding = encoding or _encoding(head)
    lines = list(
        io.StringIO(head.decode(encoding, errors="replace").removeprefix("\ufeff"), newline="")
    )
    if len(head) == HEAD_BYTES:
        lines = lines[:-1] or lines  # the last one may be cut
    quoted = {sign: quotes and _is_quoted(lines, sign) for sign in DELIMITERS}
    delimiter = max(
        DELIMITERS, key=lambda sign: _evenness(_rows(lines, sign, quoted[sign]), len(sign))
    )
    rows = _rows(lines, delimiter, quoted[delimiter])
    if not rows:
        raise DataError(path, "must have rows", "an empty file", "restore it")
    quote = "none" if len(delimiter) == 1 and not quoted[delimiter] else '"'
    return _layout(
        path,
        Csv().model_copy(update={"delimiter": delimiter, "encoding": encoding, "quote": quote}),
        rows,
    )


def _encoding(head: bytes) -> str:
    """What a text is written in, by its first bytes."""
    if head.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    # of signs of two bytes, one is mostly 0
    zeros = [sum(byte == 0 for byte in head[place::2]) > len(head) / 5 for place in (0, 1)]
    if any(zeros):
        return "utf-16-be" if zeros[0] else "utf-16-le"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return guess_encoding(head)
    return "utf-8"


def _layout(path: Path, csv: Csv, rows: Sequence[tuple[int, list[str]]]) -> Layout:
    width = _usual_width(rows)
    # a title above a table is no row of it
    start = next((i for i, (_, cells) in enumerate(rows) if len(cells) > 1 or width <= 2), 0)
    before = rows[start - 1][0] if start else 0
    body = [cells for _, cells in rows[start + 1 :] if len(cells) == width]
    end, first = rows[start]
    if not _is_header(first, body):
        names = tuple(f"c{place}" for place in range(1, len(first) + 1))
        return Layout(
            csv.model_copy(update={"columns": names, "skip": before}), names, before, fits=True
        )
    if len(rows) == start + 1:
        raise DataError(path, "must have rows", "a header only", "restore the file")
    given = tuple(name if len(name) <= MAX_NAME else "" for name in _fitted(first, width, body))
    return Layout(csv.model_copy(update={"skip": before}), given, end, fits=len(first) == width)


def _rows(lines: Sequence[str], delimiter: str, quoted: bool) -> list[tuple[int, list[str]]]:
    """The cells of each line that is not empty, after the number of lines up to its end."""
    if not quoted:
        split = [(i, line.rstrip("\r\n").split(delimiter)) for i, line in enumerate(lines, 1)]
        return [(i, cells) for i, cells in split if cells != [""]]
    reader = csv_module.reader(lines, delimiter=delimiter)
    rows = []
    # what Python's reader refuses, Arrow's may read: the rows so far will do
    with contextlib.suppress(csv_module.Error):
        rows += [(reader.line_num, cells) for cells in reader if cells]
    return rows


def _usual_width(rows: Sequence[tuple[int, list[str]]]) -> int:
    return Counter(len(cells) for _, cells in rows[1:] or rows).most_common(1)[0][0]


def _evenness(rows: Sequence[tuple[int, list[str]]], signs: int) -> tuple[float, int]:
    """How well a delimiter of so many signs cuts all lines into equally many cells, more than
    one.
    """
    if not rows or (width := _usual_width(rows)) == 1:
        return 0.0, 0
    return round(
        sum(abs(len(cells) - width) <= (i == 0) for i, (_, cells) in enumerate(rows)) / len(rows), 1
    ), width * signs


def _is_quoted(lines: Sequence[str], delimiter: str) -> bool:
    """Whether quotes stand around values, and not for themselves: then they would make lines that
    are rows into one value.
    """
    if len(delimiter) > 1:
        return False
    begin, rows = 0, _rows(lines, delimiter, quoted=True)
    for end, _ in rows:
        counts = [line.count(delimiter) for line in lines[begin:end] if line.strip()]
        if len(counts) > 1 and set(counts) == {_usual_width(rows) - 1}:
            return False
        begin = end
    return True


def _fitted(first: Sequence[str], width: int, body: Sequence[Sequence[str]]) -> list[str]:
    """The header's names, as many as the rows have values."""
    if len(first) == width - 1 and any(row[-1] for row in body):
        return ["", *first]  # R leaves the column of row names without one
    return [*first, *[""] * (width - len(first))][:width]


def _is_header(first: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether the first line names the columns, by what the lines below it hold, further copies of
    it left out.
    """
    body = [cells for cells in body if cells != first]
    if not body:
        return not any(map(is_number, first))
    columns = [
        [word for value in column if (word := value.strip())] for column in zip(*body, strict=True)
    ]
    first = [name.strip() for name in _fitted(first, len(columns), body)]
    pairs = [(name, values) for name, values in zip(first, columns, strict=True) if values]
    over_numbers = [
        name
        for name, values in pairs
        if all(value in MISSING_NUMBERS or is_number(value) for value in values)
    ]
    if any(name and name not in MISSING_NUMBERS and not is_number(name) for name in over_numbers):
        return True
    votes = [_vote(name, values) for name, values in pairs if name and name not in over_numbers]
    if _counts_up(over_numbers):
        index = first[0] == "" and columns[0] == [str(i) for i in range(len(columns[0]))]
        decimals = all(
            any(not value.isdecimal() for value in values)
            for name, values in pairs
            if name in over_numbers
        )
        return index or decimals or sum(votes) > 0 or len(over_numbers) >= 4
    return sum(votes) >= 0 and not any(map(is_number, over_numbers))


def _counts_up(names: Sequence[str]) -> bool:
    """Whether the names over numbers are 0, 1, 2, ... or 2019, 2020, ..., as values of one row
    hardly ever are.
    """
    named = [name for name in names if name]
    numbers = [int(name) for name in named if name.isdecimal()]
    return len(numbers) == len(named) > 1 and numbers == list(
        range(numbers[0], numbers[0] + len(numbers))
    )


def _vote(name: str, values: Sequence[str]) -> int:
    """1 where a word is no value of its column, -1 where it is one, 0 where there is no telling."""
    if name in values:
        return -1
    patterns = {_pattern(value) for value in values}
    if len(patterns) == 1 and (pattern := next(iter(patterns))) != "a":
        return -1 if _pattern(name) == pattern else 1
    return int(len(set(values)) <= len(values) / 2)


def _pattern(value: str) -> str:
    return _DIGITS.sub("9", _LETTERS.sub("a", value))
