"""How a CSV file is written, guessed from its first lines: the delimiter, and which line, if any, names the columns."""

import csv as csv_module
import io
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from automtl.data.columns import MISSING_NUMBERS
from automtl.data.dataset import Csv
from automtl.data.remote import input_stream
from automtl.errors import DataError

HEAD_BYTES = 65536
MAX_NAME = 200  # signs that a YAML may give a column
DELIMITERS = (",", "\t", ";", "|")
_LETTERS, _DIGITS = re.compile(r"[^\W\d_]+"), re.compile(r"\d+")


@dataclass(frozen=True)
class Form:
    """How a file is written.

    Args:
        csv: reads it by the file's own header, or by names c1, c2, ... where it has none.
        given: what the header calls each column, "" where that is no name; without a header the names of `csv`.
        lines: before the first row of values.
        fits: the header has as many names as the rows have values, so that it can be read.
    """

    csv: Csv
    given: tuple[str, ...]
    lines: int
    fits: bool

    @property
    def names(self) -> tuple[str, ...]:
        """A name of its own for each column: `a_2` for a second `a`, `c3` for a third column without one."""
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
        return Csv(**{**self.csv.model_dump(), "columns": self.names, "skip": self.lines})


def sniff(path: Path) -> Form:
    """How a file is written.

    Raises:
        DataError: the file cannot be read, or is empty.
    """
    try:
        with input_stream(path) as stream:
            head = stream.read(HEAD_BYTES)
    except (pa.ArrowException, OSError, EOFError) as error:
        raise DataError(path, "must be readable", error) from error
    lines = list(io.StringIO(head.decode("utf-8-sig", errors="replace"), newline=""))
    if len(head) == HEAD_BYTES:
        lines = lines[:-1] or lines  # the last one may be cut
    delimiter, rows = max(((sign, _rows(lines, sign)) for sign in DELIMITERS), key=lambda pair: _evenness(pair[1]))
    if not rows:
        raise DataError(path, "must have rows", "an empty file", "restore it")
    width = _usual_width(rows)
    start = next((i for i, (_, cells) in enumerate(rows) if len(cells) > 1 or width <= 2), 0)  # a title above a table is no row of it
    before = rows[start - 1][0] if start else 0
    body = [cells for _, cells in rows[start + 1 :] if len(cells) == width]
    end, first = rows[start]
    if not _is_header(first, body):
        names = tuple(f"c{place}" for place in range(1, len(first) + 1))
        return Form(Csv(delimiter=delimiter, columns=names, skip=before), names, before, fits=True)
    given = tuple(name if len(name) <= MAX_NAME else "" for name in _fitted(first, width, body))
    return Form(Csv(delimiter=delimiter, skip=before), given, end, fits=len(first) == width)


def _rows(lines: Sequence[str], delimiter: str) -> list[tuple[int, list[str]]]:
    """The cells of each line that is not empty, after the number of lines up to its end."""
    reader = csv_module.reader(lines, delimiter=delimiter)
    rows = []
    try:
        for cells in reader:
            if cells:
                rows.append((reader.line_num, cells))
    except csv_module.Error:  # what Python's reader refuses, Arrow's may read: the rows so far will do
        pass
    return rows


def _usual_width(rows: Sequence[tuple[int, list[str]]]) -> int:
    return Counter(len(cells) for _, cells in rows[1:] or rows).most_common(1)[0][0]


def _evenness(rows: Sequence[tuple[int, list[str]]]) -> tuple[float, int]:
    """How well a delimiter cuts all lines into equally many cells, more than one."""
    if not rows or (width := _usual_width(rows)) == 1:
        return 0.0, 0
    return round(sum(abs(len(cells) - width) <= (i == 0) for i, (_, cells) in enumerate(rows)) / len(rows), 1), width


def _fitted(first: Sequence[str], width: int, body: Sequence[Sequence[str]]) -> list[str]:
    """The header's names, as many as the rows have values."""
    if len(first) == width - 1 and any(row[-1] for row in body):
        return ["", *first]  # R leaves the column of row names without one
    return [*first, *[""] * (width - len(first))][:width]


def _is_header(first: Sequence[str], body: Sequence[Sequence[str]]) -> bool:
    """Whether the first line names the columns, by what the lines below it hold."""
    if not body:
        return not any(map(is_number, first))
    columns = [[word for value in column if (word := value.strip())] for column in zip(*body, strict=True)]
    first = [name.strip() for name in _fitted(first, len(columns), body)]
    pairs = [(name, values) for name, values in zip(first, columns, strict=True) if values]
    over_numbers = [name for name, values in pairs if all(value in MISSING_NUMBERS or is_number(value) for value in values)]
    if any(name and name not in MISSING_NUMBERS and not is_number(name) for name in over_numbers):
        return True
    votes = [_vote(name, values) for name, values in pairs if name and name not in over_numbers]
    if _counts_up(over_numbers):
        index = first[0] == "" and columns[0] == [str(i) for i in range(len(columns[0]))]
        decimals = all(any(not value.isdecimal() for value in values) for name, values in pairs if name in over_numbers)
        return index or decimals or sum(votes) > 0 or len(over_numbers) >= 4
    return sum(votes) >= 0 and not any(map(is_number, over_numbers))


def _counts_up(names: Sequence[str]) -> bool:
    """Whether the names over numbers are 0, 1, 2, ... or 2019, 2020, ..., as values of one row hardly ever are."""
    named = [name for name in names if name]
    numbers = [int(name) for name in named if name.isdecimal()]
    return len(numbers) == len(named) > 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


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


def is_number(word: str) -> bool:
    """Whether a word is a number, with or without decimals."""
    try:
        float(word)
    except ValueError:
        return False
    return "_" not in word
