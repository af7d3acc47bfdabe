"""One reading of a word, whichever kind of file it comes from.

`plain` is what every column's words go through: blanks outside go, words that stand for a missing
value become "", `True` and `TRUE` are `true`, and a time has one ISO form. `normal` writes whole
numbers in one way besides (`7.0`, `+7` and `7` are `7`); rows are hashed, joined and compared by
it, since it needs no knowledge of the column. A `Form` is what the training words of a column of
ids have in common, and says which further spellings are the same id. `exports/encode.py` does the
same in plain Python.
"""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal, NamedTuple, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.values.patterns import (
    CLOCK,
    DECIMAL,
    OFFSET,
    TIME,
    WHOLE,
    changed,
    rewrite_odd,
    rewrite_truth,
    rewrite_unusual,
    rewritten,
)
from automtl.data.values.sums import Sum

MISSING_IDS = ("", "null", "NaN", r"\N", "<NA>")  # `?` is a class in Census, `NA` is Namibia
MISSING_NUMBERS = (*MISSING_IDS, "NA", "N/A", "n/a", "#N/A", "nan", "NaT", "NULL", "None", "-", "?")
FIRST = 1000
LONGEST_CODE = 100  # digits of a zero-padded code; longer ones are texts
Kind = Literal["bit", "whole", "fixed", "truth", "float", "text"]

_SHIFTED, _UTC = f"^{CLOCK}{OFFSET}$", f"^{CLOCK}(?:Z|UTC)?$"


class Missing(NamedTuple):
    """The words that stand for a missing value: in columns of ids, lists and groups; in numbers,
    labels, weights and times.
    """

    ids: tuple[str, ...] = MISSING_IDS
    numbers: tuple[str, ...] = MISSING_NUMBERS

    @property
    def values(self) -> dict[str, float]:
        """The missing words that are numbers, as -999 may be."""
        return {word: float(word) for word in self.numbers if re.fullmatch(DECIMAL, word, re.ASCII)}


DEFAULT = Missing()


def missing_words(null_values: tuple[str, ...] | None) -> Missing:
    """What a data set's `csv.null_values` say; the empty text is missing in any case."""
    if null_values is None:
        return DEFAULT
    given = [word.strip() for word in null_values]
    words = tuple(dict.fromkeys(["", *given, *plain(pa.array(given, pa.string()), ()).to_pylist()]))
    return Missing(words, words)


def plain(words: pa.Array, missing: tuple[str, ...]) -> pa.Array:
    """Words without blanks outside, "" where missing, truth and times in one spelling; the same
    array where all were so.
    """
    return rewrite_odd(words, missing, lambda some: _plain(some, missing))


def normal(words: pa.Array) -> pa.Array:
    """Plain words with whole numbers in one spelling; the same array where all were so."""
    return rewrite_unusual(words, _normal)


def _plain(words: pa.Array, missing: tuple[str, ...]) -> pa.Array:
    words = pc.utf8_trim_whitespace(words)
    lower = pc.utf8_lower(words)
    words = pc.if_else(pc.is_in(lower, value_set=pa.array(["true", "false"])), lower, words)
    words = rewritten(words, f"^{TIME}$", iso_times)
    return pc.if_else(pc.is_in(normal(words), value_set=pa.array(missing, pa.string())), "", words)


def _normal(words: pa.Array) -> pa.Array:
    return pc.replace_substring_regex(
        pc.replace_substring_regex(words, r"^[+]|[.]0*$", ""), "^-0$", "0"
    )


def iso_times(words: pa.Array) -> pa.Array:
    """Times as `2023-11-14 10:11:12.5`, in UTC where they name a zone, and as `2023-11-14` at
    midnight.
    """
    words = rewritten(
        words, _SHIFTED, lambda some: pa.array(map(_utc, some.to_pylist()), pa.string())
    )
    return rewritten(words, _UTC, _shortest_times)


def _shortest_times(words: pa.Array) -> pa.Array:
    for pattern, text in (
        ("^([0-9]{4}-[0-9]{2}-[0-9]{2})T", r"\1 "),
        (" ?(?:Z|UTC)$", ""),
        ("^(.{10} [0-9]{2}:[0-9]{2})$", r"\1:00"),
        ("([.][0-9]*?)0+$", r"\1"),
        ("[.]$| 00:00:00[.]?$", ""),
    ):
        words = pc.replace_substring_regex(words, pattern, text)
    return words


def _utc(word: str) -> str:
    """A time with a zone's offset on UTC's clock; as it is, where it is no time."""
    parts = re.fullmatch(r"(.{10})[ T](.{5})(.*?) ?([-+]\d\d):?(\d\d)?", word, re.ASCII)
    if parts is None:
        return word
    try:
        minutes = datetime.fromisoformat(
            f"{parts[1]} {parts[2]}{parts[4]}:{parts[5] or '00'}"
        ).astimezone(UTC)
    except (ValueError, OverflowError):
        return word
    return f"{minutes:%Y-%m-%d %H:%M}{parts[3]}"


def float_text(value: float) -> str:
    """The shortest text of a float: `1.0` -> `1`, `0.50` -> `0.5`, `1e-05` as it is, NaN -> ``."""
    if value != value:
        return ""
    text = repr(value).removesuffix(".0")
    return "0" if text == "-0" else text


class Form(NamedTuple):
    """What the words of a column of ids have in common.

    Attributes:
        kind: `bit`: 0 and 1 only, which truth values are read as; `whole` numbers without leading
            zeros; `fixed`: digits, of one length, some with leading zeros; `truth`: true and false,
            also 0 and 1 beside them; `float`: numbers as they are shortest; else `text`.
        digits: fixed: how many.
    """

    kind: Kind = "text"
    digits: int = 0

    def apply(self, words: pa.Array) -> pa.Array:
        """Plain words, each as the vocabulary would have it; the same array where all are so."""
        if self.kind == "text":
            return words
        words = normal(words)
        if self.kind == "bit":
            return rewrite_truth(words, lambda some: pc.if_else(pc.equal(some, "true"), "1", "0"))
        if self.kind == "fixed":
            short = np.asarray(
                pc.ascii_is_decimal(words).to_numpy(zero_copy_only=False)
            ) & _shorter(words, self.digits)
            return changed(
                words, short, lambda some: pc.ascii_lpad(some, width=self.digits, padding="0")
            )
        if self.kind == "truth":
            return rewritten(
                words, "^[01]$", lambda some: pc.if_else(pc.equal(some, "1"), "true", "false")
            )
        if self.kind == "float":
            return rewritten(
                words, DECIMAL, lambda some: pa.array(map(_decimal, some.to_pylist()), pa.string())
            )
        return words


def _shorter(words: pa.Array, length: int) -> np.ndarray:
    return np.asarray(pc.less(pc.binary_length(words), length).to_numpy(zero_copy_only=False))


def _decimal(word: str) -> str:
    """A number as the shortest text of its float; whole numbers that no float holds stay."""
    value = float(word)
    exact = np.isfinite(value) and (not word.lstrip("-").isdecimal() or int(value) == int(word))
    return float_text(value) if exact else word


class FormFinder(Sum):
    """Finds the form of a column from its words, batch by batch."""

    summed = ("_kinds", "_lengths", "_named")

    def __init__(self) -> None:
        self._kinds = dict.fromkeys(("bit", "whole", "fixed", "truth", "float"), True)
        self._lengths = set[int]()
        self._named = False  # true or false was among the words

    def see(self, words: pa.Array) -> None:
        """Rule out the forms that some plain words do not have; "" says nothing."""
        # these rule out most kinds, which saves a look at the others
        self._see(words.slice(0, FIRST))
        self._see(words.slice(FIRST))

    def _see(self, words: pa.Array) -> None:
        words = (
            words.filter(pc.not_equal(words, ""))
            if len(words) and any(self._kinds.values())
            else words[:0]
        )
        if not len(words):
            return
        numbers = normal(words)
        tests: dict[str, Callable[[], bool]] = {
            "bit": lambda: _all(numbers, "^[01]$"),
            "whole": lambda: _all(numbers, WHOLE),
            "fixed": lambda: self._one_length(words),
            "truth": lambda: _all(numbers, "^(?:true|false|0|1)$"),
            "float": lambda: self._kinds["whole"] or _all_floats(numbers),
        }
        if self._kinds["truth"]:
            self._named |= bool(
                pc.any(pc.is_in(numbers, value_set=pa.array(["true", "false"]))).as_py()
            )
        for kind, test in tests.items():
            self._kinds[kind] = self._kinds[kind] and test()

    def _one_length(self, words: pa.Array) -> bool:
        self._lengths |= set(pc.unique(pc.binary_length(words)).to_pylist())
        return (
            len(self._lengths) == 1
            and max(self._lengths) <= LONGEST_CODE
            and bool(pc.all(pc.ascii_is_decimal(words)).as_py())
        )

    def merge(self, later: Self) -> None:
        """Add the words of later rows."""
        self._kinds = {
            kind: possible and later._kinds[kind] for kind, possible in self._kinds.items()
        }
        self._lengths |= later._lengths
        self._kinds["fixed"] &= len(self._lengths) < 2
        self._named |= later._named

    @property
    def form(self) -> Form:
        """The form of the words so far."""
        if not self._lengths:
            return Form()
        for kind in ("bit", "whole"):
            if self._kinds[kind]:
                return Form(kind)
        if self._kinds["fixed"]:
            return Form("fixed", max(self._lengths))
        if self._kinds["truth"] and self._named:
            return Form("truth")
        return Form("float") if self._kinds["float"] else Form()


def _all(words: pa.Array, pattern: str) -> bool:
    return bool(pc.all(pc.match_substring_regex(words, pattern), min_count=0).as_py())


def _all_floats(numbers: pa.Array) -> bool:
    """Whether all are whole, or numbers at their shortest."""
    rest = numbers.filter(pc.invert(pc.match_substring_regex(numbers, WHOLE)))
    return _all(rest, DECIMAL) and all(map(_is_shortest, rest.to_pylist()))


def _is_shortest(word: str) -> bool:
    value = float(word)
    return word in (float_text(value), np.format_float_positional(value, trim="-"))
