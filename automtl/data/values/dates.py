"""Times, however they are written: whole numbers as they are, dates and times as microseconds since
1970 in UTC.

A date that begins with its year can be read one way only; whether `3/4/2023` is of March or of
April, its column says where some day is above 12, or the data set does (`times`).
"""

import contextlib
from datetime import UTC, datetime

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.values.text_columns import as_text

WHOLE = "whole"
YEAR_FIRST = "ymd"
DAY_FIRST = "dmy"
MONTH_FIRST = "mdy"
ORDERS = (YEAR_FIRST, DAY_FIRST, MONTH_FIRST)
READ = (
    "whole numbers, 2023-11-14, 2023/11/14, 14.11.2023, 11/14/2023, with 10:05, 10:05:33.250 or "
    "10:05 PM behind, and Z, UTC or +08:00"
)
_YEAR_FIRST = r"(?P<y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P<s2>[-/.])(?P<d>\d{1,2})"
_YEAR_LAST = r"(?P<a>\d{1,2})(?P<t>[-/.])(?P<b>\d{1,2})(?P<t2>[-/.])(?P<e>\d{4})"
_CLOCK = (
    r"(?P<h>\d{1,2}):(?P<i>\d{2})(?::(?P<c>\d{2})(?:[.,](?P<f>\d{1,9}))?)?(?: ?(?P<p>[AaPp])[Mm])?"
)
_ZONE = r"(?P<z>[Zz]|UTC|GMT|[-+]\d{2}(?::?\d{2})?)"
_TIME = rf"^(?:{_YEAR_FIRST}|{_YEAR_LAST})(?:(?:[Tt]| +){_CLOCK}(?: ?{_ZONE})?)?$"
_WHOLE = r"^\s*[+]?(?P<n>-?\d{1,18})(?:\.0*)?\s*$"


def check_format(form: str, where: str) -> None:
    """Refuse a form that is neither an order of day, month and year nor a format of Python's
    `strptime`.

    Raises:
        ValueError: it is neither.
    """
    if form not in ORDERS and not (form.startswith("%") and _is_format(form)):
        raise ValueError(
            f"{where} must be {', '.join(ORDERS)}, or a format with the signs of Python's "
            f"strptime, as %d %b %Y; got '{form}'"
        )


def _is_format(form: str) -> bool:
    """Whether `strptime` reads what `strftime` writes."""
    moment = datetime(2023, 11, 14, 10, 5, 33, tzinfo=UTC)
    try:
        datetime.strptime(moment.strftime(form), form)
    except ValueError:
        return False
    return True


def as_times(column: pa.Array) -> pa.Array:
    """A column of times that are no texts as whole numbers, or as Arrow's times in microseconds;
    one without any value as texts.

    Raises:
        pyarrow.ArrowException: it is of another type, or holds fractions.
    """
    if pa.types.is_timestamp(column.type) or pa.types.is_date(column.type):
        return column.cast(pa.timestamp("us"), safe=False)
    if pa.types.is_null(column.type):
        return as_text(column)
    # whole numbers some of which are missing, as pandas has them
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
    elif not (pa.types.is_integer(column.type) or pa.types.is_decimal(column.type)):
        raise pa.ArrowInvalid(f"{column.type} is no time")
    return column.cast(pa.int64())


def read_times(words: pa.Array, form: str) -> pa.Array:
    """Texts as times, null where a text is none of this form."""
    if form == WHOLE:
        return pc.struct_field(pc.extract_regex(words, _WHOLE), "n").cast(pa.int64())
    if form.startswith("%"):
        parsed = pd.to_datetime(
            pd.Series(words.to_pylist(), dtype=object), format=form, errors="coerce", utc=True
        )
        return pa.Array.from_pandas(parsed).cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    # ISO 8601 throughout: many times as fast
    for kind in (pa.timestamp("us"), pa.timestamp("us", "UTC")):
        with contextlib.suppress(pa.ArrowInvalid):
            return words.cast(kind).cast(pa.int64())
    return _by_parts(words, form)


def time_rule(form: str, name: str, got: str) -> tuple[str, str, str]:
    """What must hold where a value of a column is none of its form, what was got, and what to
    do.
    """
    if form.startswith("%"):
        return (
            f"must be a time written as {form}",
            got,
            f"mend the value, or correct times: {{{name}: FORMAT}}",
        )
    rule = "must hold whole numbers, as times" if form == WHOLE else "must hold dates or times"
    return (
        rule,
        got,
        f"forms that are read: {READ}; for others say how they are written, as in times: "
        f"{{{name}: '%d %b %Y'}}",
    )


def forms_of(words: pa.Array) -> set[str]:
    """The forms in which some texts can be read, all of them: one, or two where day and month could
    be either; none where they differ.
    """
    for form in (WHOLE, YEAR_FIRST):
        if read_times(words, form).null_count == 0:
            return {form}
    # 3.4.2023: whoever writes dots puts the day first
    dotted = not pc.any(pc.match_substring_regex(words, r"^\s*\d{1,2}[-/]")).as_py()
    forms = {form for form in (DAY_FIRST, MONTH_FIRST) if read_times(words, form).null_count == 0}
    return {DAY_FIRST} if dotted and DAY_FIRST in forms else forms


def nearest_form(words: pa.Array) -> str:
    """The form that most of some texts have."""
    return min(
        (YEAR_FIRST, DAY_FIRST, MONTH_FIRST, WHOLE),
        key=lambda form: read_times(words, form).null_count,
    )


def _by_parts(words: pa.Array, form: str) -> pa.Array:
    """Dates and times by their parts."""
    matched = pc.extract_regex(pc.utf8_trim_whitespace(words), _TIME)
    there = matched.is_valid().to_numpy(zero_copy_only=False)
    part = {name: matched.field(i) for i, name in enumerate(field.name for field in matched.type)}
    number = {name: _numbers(part[name]) for name in ("y", "m", "d", "a", "b", "e", "h", "i", "c")}
    year_first = number["y"] > 0
    there &= year_first if form == YEAR_FIRST else True
    there &= _equal(part["s"], part["s2"]) & _equal(part["t"], part["t2"])
    day, month = ("a", "b") if form == DAY_FIRST else ("b", "a")
    years = np.where(year_first, number["y"], number["e"])
    days, fits = _days(
        years, *(np.where(year_first, number[x], number[y]) for x, y in (("m", month), ("d", day)))
    )
    # a.m. and p.m.: 12 is the first hour of each
    half = np.asarray(pc.utf8_lower(part["p"]).to_pylist(), object)
    twelve = half != ""
    hours = np.where(twelve, number["h"] % 12 + 12 * (half == "p"), number["h"])
    there &= (
        fits
        & (hours < 24)
        & (number["i"] < 60)
        & (number["c"] < 60)
        & ~(twelve & ((number["h"] < 1) | (number["h"] > 12)))
    )
    offsets, zoned = _offsets(part["z"])
    # with an offset, or without, throughout
    there &= zoned == zoned[np.argmax(there)] if len(zoned) else True
    fractions = _numbers(pc.utf8_rpad(pc.utf8_slice_codeunits(part["f"], 0, 6), 6, "0"))
    seconds = days * 86400 + hours * 3600 + number["i"] * 60 + number["c"] - offsets
    return pa.array(seconds * 1_000_000 + fractions, pa.int64(), mask=~there)


def _equal(first: pa.Array, second: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(pc.equal(first, second), False).to_numpy(zero_copy_only=False))


def _numbers(texts: pa.Array) -> np.ndarray:
    """Digits as numbers, 0 where there are none."""
    return np.asarray(pc.if_else(pc.equal(texts, ""), "0", texts).fill_null("0").cast(pa.int64()))


def _days(years: np.ndarray, months: np.ndarray, days: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Days since 1970, and whether there is such a day."""
    month = ((years - 1970) * 12 + np.clip(months, 1, 12) - 1).astype("datetime64[M]")
    first, last = (m.astype("datetime64[D]").astype(np.int64) for m in (month, month + 1))
    return first + days - 1, (months >= 1) & (months <= 12) & (days >= 1) & (days <= last - first)


def _offsets(zones: pa.Array) -> tuple[np.ndarray, np.ndarray]:
    """Seconds to take off, and whether there is an offset."""
    encoded = zones.fill_null("").dictionary_encode()
    seconds = [_offset(zone) for zone in encoded.dictionary.to_pylist()]
    codes = encoded.indices.to_numpy()
    return np.array(seconds, np.int64)[codes], np.array(
        [zone != "" for zone in encoded.dictionary.to_pylist()]
    )[codes]


def _offset(zone: str) -> int:
    digits = zone[1:].replace(":", "")
    if not digits.isdecimal():  # none, Z, UTC or GMT
        return 0
    return (-1 if zone[0] == "-" else 1) * (int(digits[:2]) * 3600 + int(digits[2:] or 0) * 60)
