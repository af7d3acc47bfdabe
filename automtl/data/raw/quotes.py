"""Where the rows of a delimited text end, when values may stand in quotes: by the rules that Arrow
reads by.

A quote opens at a value's first sign and nowhere else; it closes at the next quote that no other
follows (two are one sign of the text); what stands behind it up to the delimiter still is of the
value.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

# in lines of text: so many by chance, and the same in each line, is past belief
FULL_OF_DELIMITERS = 20


class Quotes(NamedTuple):
    """The quoted parts of a text that begins with a row.

    Attributes:
        ends: places of the line breaks that end rows.
        breaks: places of the line breaks within values.
        opens: where quotes open.
        closes: where they close; one less than `opens` where the text ends in quotes.
    """

    ends: np.ndarray
    breaks: np.ndarray
    opens: np.ndarray
    closes: np.ndarray

    @property
    def left_open(self) -> int | None:
        """Where a quote opens that does not close."""
        return int(self.opens[-1]) if len(self.opens) > len(self.closes) else None


def quotes(text: np.ndarray, delimiter: int, quote: int, newline: int) -> Quotes:
    """The quoted parts of a text. Shape: (n,) uint8."""
    places = np.flatnonzero(text == quote)
    # what they are where all quotes are at values' ends, or double within them
    opens, closes = places[0::2], places[1::2]
    before = text[np.maximum(opens, 1) - 1]
    if not np.all((before == delimiter) | (before == newline) | (before == quote) | (opens == 0)):
        opens, closes = _one_by_one(text, places, delimiter, newline)
    lines = np.flatnonzero(text == newline)
    within = np.searchsorted(opens, lines) > np.searchsorted(closes, lines)
    return Quotes(lines[~within], lines[within], opens, closes)


def _one_by_one(
    text: np.ndarray, places: np.ndarray, delimiter: int, newline: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `quotes`, where some quotes are signs of a value that does not begin with one."""
    starts = (
        (text[np.maximum(places, 1) - 1] == delimiter)
        | (text[np.maximum(places, 1) - 1] == newline)
        | (places == 0)
    )
    opens = []
    closes = []
    opened = False
    last = -2
    for place, starting in zip(places.tolist(), starts.tolist(), strict=True):
        if opened:
            closes.append(place)
            opened = False
        elif starting or (place == last + 1 and closes and closes[-1] == last):
            opens.append(place)
            opened = True
        last = place
    return np.array(opens, np.int64), np.array(closes, np.int64)


def swallowed(data: bytes, quoted: Quotes, delimiter: bytes, numeric: Sequence[bool]) -> int | None:
    """Where a quote opens that seems to be a sign of the text, since it makes whole rows into one
    value.

    It does so where it closes some lines below in the middle of a word, or where each line of its
    row is a row by itself.

    Args:
        data: the text.
        quoted: its quoted parts.
        delimiter: between values.
        numeric: per column, whether it holds numbers.
    """
    text = np.frombuffer(data, np.uint8)
    regions = np.unique(np.searchsorted(quoted.opens, quoted.breaks) - 1)
    regions = regions[regions < len(quoted.closes)]
    for region in regions[~_at_values_end(text, quoted.closes[regions], delimiter)].tolist():
        close = int(quoted.closes[region])
        if data[close + 1 : close + 80].lstrip(b" ")[:1] not in (delimiter, b"\n", b"\r", b""):
            return int(quoted.opens[region])
    starts = np.concatenate([[0], quoted.ends + 1])
    rows = np.unique(np.searchsorted(starts, quoted.breaks, side="right") - 1)
    firsts = quoted.breaks[np.searchsorted(quoted.breaks, starts[rows])]
    delimiters = np.flatnonzero(text == delimiter[0])
    full = (
        np.searchsorted(delimiters, firsts) - np.searchsorted(delimiters, starts[rows])
        == len(numeric) - 1
    )
    ends = np.append(quoted.ends, len(data))
    for row in rows[full].tolist():
        start = int(starts[row])
        if _are_rows(data[start : int(ends[row])].splitlines(), delimiter, numeric):
            return int(quoted.opens[np.searchsorted(quoted.opens, start)])
    return None


def _at_values_end(text: np.ndarray, closes: np.ndarray, delimiter: bytes) -> np.ndarray:
    after = text[np.minimum(closes + 1, len(text) - 1)]
    return np.asarray(
        np.isin(after, np.frombuffer(delimiter + b"\r\n", np.uint8)) | (after == text[closes])
    )


def _are_rows(lines: list[bytes], delimiter: bytes, numeric: Sequence[bool]) -> bool:
    """Whether each line has as many values as there are columns, and numbers where those hold
    numbers.
    """
    parts = [line.split(delimiter) for line in lines]
    if len(numeric) < 2 or any(len(values) != len(numeric) for values in parts):
        return False
    if any(numeric):
        numbers = [
            [value for value, number in zip(values, numeric, strict=True) if number]
            for values in parts
        ]
        return all(is_number(value) for values in numbers for value in values if value)
    return len(lines) * (len(numeric) - 1) >= FULL_OF_DELIMITERS


def is_number(value: bytes | str) -> bool:
    """Whether a number can be read from a value; Python reads 1_000 as one, no table means it
    so.
    """
    try:
        float(value)
    except ValueError:
        return False
    return (b"_" if isinstance(value, bytes) else "_") not in value  # type: ignore[operator]
