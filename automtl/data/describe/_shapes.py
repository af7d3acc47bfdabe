"""What the values of a column look like: row numbers, times, codes, quantities, lists, prose."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.describe._naming import is_time
from automtl.data.describe._profile import Values
from automtl.data.prepare.times import EARLIEST, LATEST
from automtl.data.values.list_columns import split_lists
from automtl.data.values.patterns import LIST_SEPARATOR

UNITS = {"s": 1, "ms": 1000, "us": 1_000_000}
FEW = 20  # whole numbers of so few values are taken for codes
MANY = 100  # values from which on a column of text is more than a code
PROSE = 60  # letters
SAMPLE_WORDS = 2000
_DAY = r"^(199\d|20\d\d)(0[1-9]|1[0-2])(0[1-9]|[12]\d|3[01])$"
SEPARATORS = ("|", "^", ";", ",", " ")


def is_row_number(values: Values) -> bool:
    """Whether each row's number is the one before and 1."""
    numbers = values.numbers
    if numbers is None or values.missing or len(numbers) < 3:
        return False
    return bool((np.diff(numbers[values.codes]) == 1).all())


def is_whole(values: Values) -> bool:
    """Whether all numbers are whole."""
    numbers = values.numbers
    return numbers is not None and bool((np.isnan(numbers) | (numbers == np.rint(numbers))).all())


def time_unit(values: Values) -> str | None:
    """The unit of a column of times, as `derived` names it, `date` for dates and times as text;
    `day` for 20001231; None for no times.

    Whole numbers count as times where all lie in 1990 to 2100 by one unit, and are many, or their
    name says so.
    """
    if values.is_time:
        return "date"
    times, words = values.times, values.words
    if times is None or not len(times):
        return None
    if not bool(pc.all(pc.ascii_is_decimal(words)).as_py()):
        return "date" if values.numbers is None else None
    if len(words) > 1 and bool(pc.all(pc.match_substring_regex(words, _DAY)).as_py()):
        return "day"
    low, high = pc.min_max(times).as_py().values()
    unit = next(
        (
            name
            for name, scale in UNITS.items()
            if EARLIEST * scale <= low and high <= LATEST * scale
        ),
        None,
    )
    return unit if len(words) > FEW or is_time(values.name) else None


def leads_with_zeros(values: Values) -> bool:
    """Whether some words are numbers by their digits and codes by their leading zeros, as 00123."""
    return bool(pc.any(pc.match_substring_regex(values.words, r"^0\d+$")).as_py())


def looks_like_codes(values: Values) -> bool:
    """Whether whole numbers are names of things by how they lie: quantities crowd at the low end,
    at round numbers, or around a mean.

    Neighbouring quantities are about equally frequent; neighbouring codes have nothing to do with
    each other.
    """
    numbers = values.numbers
    assert numbers is not None, "only numbers are asked about"
    known = ~np.isnan(numbers)
    order = np.argsort(numbers[known])
    distinct, counts = numbers[known][order], values.counts[known][order]
    if len(distinct) <= FEW:
        return True
    low_half = float((distinct < (distinct[0] + distinct[-1]) / 2).mean())
    round_share = float(counts[distinct % 5 == 0].sum() / counts.sum())
    repeats = counts.sum() / len(distinct)
    return (
        distinct[0] >= 0
        and repeats >= 2
        and 0.15 < low_half < 0.6
        and round_share < 0.4
        and _alike_neighbours(counts) < 0.5
    )


def _alike_neighbours(counts: np.ndarray) -> float:
    """Rank correlation of each count with the next one."""
    ranks = np.unique(counts, return_inverse=True)[1].astype(np.float64)
    before, after = ranks[:-1] - ranks[:-1].mean(), ranks[1:] - ranks[1:].mean()
    scale = float(np.sqrt((before**2).sum() * (after**2).sum()))
    return float((before * after).sum()) / scale if scale else 0.0


def seen_once(values: Values) -> float:
    """The share of the rows with a value whose value no other row has."""
    return float((values.counts == 1).sum() / max(values.counts.sum(), 1))


def is_prose(values: Values) -> bool:
    """Whether the texts are sentences or titles rather than names: with blanks, and long or hardly
    ever twice the same.
    """
    words = values.words
    lengths = pc.utf8_length(words).to_numpy()
    spaced = pc.match_substring(words, " ").to_numpy(zero_copy_only=False)
    long = float(np.average(lengths, weights=values.counts)) > PROSE
    return (
        len(words) > MANY
        and float(spaced.mean()) > 0.5
        and (long or len(words) > 0.3 * values.counts.sum())
    )


def separator_of(values: Values) -> str | None:
    """The sign between the ids of a list, where the words look like lists: short ids that come
    again.
    """
    words = [_without_brackets(word) for word in values.words.slice(0, SAMPLE_WORDS).to_pylist()]
    for sign in SEPARATORS:
        lists = [[part.strip(" '\"") for part in word.split(sign)] for word in words]
        ids = [part for parts in lists for part in parts]
        several = sum(len(parts) > 1 for parts in lists)
        if (
            several > len(words) / 5
            and len(set(ids)) < 0.75 * len(ids)
            and max(map(len, ids)) <= 24
            and _are_ids(sign, lists)
        ):
            return sign
    return None


def _are_ids(sign: str, lists: Sequence[Sequence[str]]) -> bool:
    """Whether the parts between signs are ids and not words of a sentence, which has blanks and
    commas, too, and words twice.
    """
    parts = [part for parts in lists for part in parts if part]
    if sign not in (" ", ","):
        return True
    if not all(part.isalnum() for part in parts):
        return False
    coded = sum(any(letter.isdigit() for letter in part) for part in parts) > 0.9 * len(parts)
    return (
        sign == ","
        or coded
        or (len(set(parts)) <= FEW and all(len(set(each)) == len(each) for each in lists))
    )


def _without_brackets(word: str) -> str:
    return word[1:-1] if word[:1] + word[-1:] in ("[]", "()", "{}") else word


def list_ids(values: Values, settings: Mapping[str, Any]) -> tuple[pa.Array, np.ndarray, int]:
    """The distinct ids in a column of lists as a reader of rows sees them, how often each comes,
    and the longest list's length.

    Raises:
        DataError: a value is no list of ids.
    """
    ids, offsets = split_lists(values.lists(settings))
    lengths = np.diff(offsets)
    counts = np.bincount(
        ids.indices.to_numpy(), np.repeat(values.counts, lengths), minlength=len(ids.dictionary)
    )
    return ids.dictionary, counts, int(lengths.max(initial=0))


def is_padded(values: Values, settings: Mapping[str, Any]) -> bool:
    """Whether many lists end in several zeros."""
    return mostly(values.lists(settings), f"{LIST_SEPARATOR}0{LIST_SEPARATOR}0$", least=0.05)


def are_decimals(words: pa.Array) -> bool:
    """Whether the words are numbers with decimals, as those of an embedding are."""
    return mostly(words, r"^-?\d*\.\d+([eE][-+]?\d+)?$", least=0.5)


def mostly(words: pa.Array, pattern: str, *, least: float) -> bool:
    """Whether a share of the words, more than `least`, match a pattern."""
    return len(words) > 0 and pc.sum(
        pc.match_substring_regex(words, pattern)
    ).as_py() > least * len(words)


def numbers_as_written(values: Values) -> str | None:
    """The commonest word, where nearly all are numbers as people write them: `9,55`, `$1,234.50`,
    `12.5%`; a list has two ids at times.
    """
    words = values.words
    signs = r"[$\x{20AC}\x{A3}\x{A5}%]"
    amount = rf"^(?:-?{signs} ?-?|-?)[0-9][0-9.,' ]*(?: ?{signs}|)$"
    if values.numbers is not None or not mostly(words, amount, least=0.95):
        return None
    marked = mostly(words, signs, least=0.95)
    comma = mostly(words, "^-?[0-9]{1,3}(?:[.' ]?[0-9]{3})*,[0-9]{1,2}$", least=0.8) and not mostly(
        words, ",.*,", least=0
    )
    return values.example if marked or comma else None


def odd_among_numbers(values: Values, most: float) -> str | None:
    """The commonest word that is no number, where most rows have numbers."""
    words = values.words
    numbers = pc.match_substring_regex(
        words, r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
    ).to_numpy(zero_copy_only=False)
    rows = values.counts
    if rows[numbers].sum() < most * rows.sum() or numbers.all():
        return None
    return str(words[int(np.argmax(np.where(numbers, 0, rows)))].as_py())
