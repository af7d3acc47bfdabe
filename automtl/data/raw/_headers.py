"""The names of a delimited text's columns: of its first row, or as `csv.columns` gives them."""

import csv as csv_module
import io
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import NamedTuple

from automtl.data.access.encodings import guess_encoding
from automtl.data.raw.quotes import is_number
from automtl.data.spec.csv_settings import Csv
from automtl.data.values.forms import MISSING_NUMBERS
from automtl.errors import DataError, counted
from automtl.strict import shown

# neither numbers nor names, in whatever letters
MISSING = {word.lower() for word in MISSING_NUMBERS}
_LINE_END = re.compile(r"\r\n|\n|\r")


class Header(NamedTuple):
    """What the first rows tell of a text's columns.

    Attributes:
        names: of the columns.
        is_row: whether the first row holds them, and is no row of data.
        numeric: per column, whether it holds numbers.
        note: what is worth telling.
    """

    names: list[str]
    is_row: bool
    numeric: list[bool]
    note: str = ""


def header(path: Path, csv: Csv, first: bytes, rows: bytes) -> Header:
    """The names of a text's columns.

    Args:
        path: of the file, for errors.
        csv: how it is written.
        first: its first row.
        rows: some rows behind that.

    Raises:
        DataError: the first row is no UTF-8, or does not fit `csv.columns`.
    """
    words, sample = first_values(path, csv, first), _values(csv, rows.decode(errors="replace"))
    if not csv.columns:
        return Header(_padded(words, sample), True, _numeric(len(words), sample))
    names = list(csv.columns)
    if names_columns(words, names):
        own = {name.casefold(): name for name in names}
        actual = [own.get(word.strip().casefold(), word) for word in words]
        note = "its first row holds names of csv.columns and is taken as its header"
        return Header(_padded(actual, sample), True, _numeric(len(words), sample), note)
    if len(words) == len(names) + 1 and not words[-1]:
        names = _padded(names, [words, *sample])
    if len(words) != len(names):
        got = (
            f"{counted(len(words), 'value')} in its first row, {shown(csv.delimiter.join(words))!r}"
        )
        raise DataError(
            path,
            f"must have the {counted(len(names), 'column')} of csv.columns",
            got,
            "correct csv.columns; is csv.delimiter right?",
        )
    numeric = _numeric(len(names), sample)
    if (
        any(numeric)
        and len({*words}) == len(words)
        and not any(is_number(word) or word.strip().lower() in MISSING for word in words)
    ):
        got = f"a first row of words, {shown(csv.delimiter.join(words))!r}, above numbers"
        fix = "take csv.columns out, so that the first row names the columns, or remove that row"
        raise DataError(path, "must have no header where csv.columns is given", got, fix)
    return Header(names, False, numeric)


def first_values(path: Path, csv: Csv, first: bytes) -> list[str]:
    """The values of a text's first row.

    Raises:
        DataError: it is no UTF-8.
    """
    try:
        text = first.decode()
    except UnicodeDecodeError as error:
        fix = f"set csv: {{encoding: {guess_encoding(first)}}}, if that is what it is written in"
        got = ascii(first[error.start : error.start + 8])
        raise DataError(
            f"{path}, first row", f"must be written in {csv.encoding}", got, fix
        ) from error
    return next(iter(_values(csv, text)), [""])


def _values(csv: Csv, text: str) -> list[list[str]]:
    if not csv.quote_sign:
        return [line.split(csv.delimiter) for line in _LINE_END.split(text) if line]
    try:
        return [
            row
            for row in csv_module.reader(
                io.StringIO(text, newline=""), delimiter=csv.delimiter, quotechar=csv.quote
            )
            if row
        ]
    except csv_module.Error:  # a value longer than the module's limit: the rows tell nothing then
        return []


def _padded(names: list[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The names, with a nameless one for rows that all end in a delimiter where the header does
    not.
    """
    extra = rows and all(len(row) == len(names) + 1 and not row[-1] for row in rows)
    return [*names, ""] if extra else names


def names_columns(words: Sequence[str], names: Sequence[str]) -> bool:
    """Whether a row holds the names of columns."""
    own = {name.casefold() for name in names}
    matches = sum(word.strip().casefold() in own for word in words)
    return matches == len(words) == len(names) or (matches > 1 and 2 * matches >= len(words))


def narrowed(columns: Sequence[str], needed: Collection[str], width: int) -> tuple[str, ...] | None:
    """Which of some columns rows of fewer values hold: all that are needed, where these can stand
    in one way only; None where they cannot.

    Args:
        columns: in their order.
        needed: those that must be there; any of the others may be absent.
        width: how many values a row has.
    """
    spare = [name for name in columns if name not in needed]
    filled = width - (len(columns) - len(spare))
    before = [
        sum(other in spare for other in columns[:i])
        for i, name in enumerate(columns)
        if name in needed
    ]
    fixed = all(max(0, filled - (len(spare) - count)) == min(count, filled) for count in before)
    if not 0 <= filled <= len(spare) or not fixed:
        return None
    return tuple(name for name in columns if name in needed or name in spare[:filled])


def _numeric(columns: int, rows: Sequence[Sequence[str]]) -> list[bool]:
    """Per column, whether the values that are there are numbers, at least two."""
    whole = [row for row in rows if len(row) == columns]
    values = [
        [row[i] for row in whole if row[i].strip().lower() not in MISSING] for i in range(columns)
    ]
    return [len(column) > 1 and all(map(is_number, column)) for column in values]
