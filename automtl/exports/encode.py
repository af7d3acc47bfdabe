"""Rows as people write them -> the arrays that the model beside this file reads. It needs Python
and numpy, nothing else.

    from encode import Encoder
    arrays = Encoder()([{"user_id": 17, "price": 2.5, "tags": ["new", "red"]}])

`features.json` says how each input is made: ids by the words of a vocabulary (the word on line i
has id i; 0: unknown or missing) or by a hash, numbers by a transform and the training rows' mean
and standard deviation (missing: 0). A row must have every column, or the time that one is made of
(`derived`); where a value is missing, it is None. A word is read as the training rows were, whether
it comes as text, number, date or truth: blanks outside go, `7.0` is `7`; its column's `form` says
the rest (see `formed`).
"""

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from hashlib import blake2b
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

SEPARATOR = "\x1f"
WHOLE = re.compile(r"[-+]?(0|[1-9][0-9]*)(\.0*)?")
DECIMAL = re.compile(r"[-+]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][-+]?[0-9]+)?")
TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[ T]([0-9]{2}:[0-9]{2})(:[0-9]{2}(?:\.[0-9]+)?)? "
    r"?(Z|UTC|[-+][0-9]{2}(?::?[0-9]{2})?)?"
)
YEAR_FIRST = r"(?P<y>\d{4})(?P<s>[-/.])(?P<m>\d{1,2})(?P=s)(?P<d>\d{1,2})"
YEAR_LAST = r"(?P<a>\d{1,2})(?P<t>[-/.])(?P<b>\d{1,2})(?P=t)(?P<e>\d{4})"
CLOCK = (
    r"(?P<h>\d{1,2}):(?P<i>\d{2})(?::(?P<c>\d{2})(?:[.,](?P<f>\d{1,9}))?)?(?: ?(?P<p>[AaPp])[Mm])?"
)
DATE = re.compile(
    rf"(?:{YEAR_FIRST}|{YEAR_LAST})(?:(?:[Tt]| +){CLOCK}(?: "
    r"?(?P<z>[Zz]|UTC|GMT|[-+]\d{2}(?::?\d{2})?))?)?",
    re.ASCII,
)
EMPTY_LISTS, BRACKETS = ("()", "{}", "set()"), {"[": "]", "(": ")", "{": "}"}
# words of their own, with their brackets
SPECIAL = re.compile(r"\[(?:PAD|UNK|CLS|SEP|MASK|BOS|EOS)\]")
NUMPY = re.compile(r"\bnp\.\w+\(([^()]*)\)")  # np.int64(3), as numpy 2 shows it
TOKEN = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"]+)""", re.DOTALL)
QUOTED = re.compile(r"""\s*(?:(?:None|nan)\s*,\s*)*['"]""")
MAPPING = re.compile(r"""\s*(?:'[^']*'|"[^"]*"|[^'",]+?)\s*:""")
NUMBERS = re.compile(r"[-+.\deE\s]+")
# 1990 and 2100: a time outside was meant in another unit
EARLIEST, LATEST = 631_152_000, 4_102_444_800
EXACT = 10**16  # whole floats below have all their digits in their shortest text
LONG_BYTES = 256
RANK_EPS = 1e-7  # as at training: normal scores stay within +-5.2
HERE = Path(__file__).resolve().parent
Row = Mapping[str, Any]


class Encoder:
    """Encodes rows for the model in `folder`."""

    def __init__(self, folder: str | Path = HERE) -> None:
        text = (Path(folder) / "features.json").read_text(encoding="utf-8")
        self.features: list[dict[str, Any]] = json.loads(text)["features"]
        self.derived: list[dict[str, Any]] = json.loads(text).get("derived", [])
        names = {f["vocabulary"] for f in self.features if f.get("vocabulary")}
        self.words = {name: read_words(Path(folder) / name) for name in names}

    def __call__(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """One array per input, by its name: (B,) int64 ids, (B, L) int64 lists padded by 0, (B,)
        float32 numbers.
        """
        rows = [self._whole(row) for row in rows]
        return {
            feature["input"]: self._column(feature, [row[feature["column"]] for row in rows])
            for feature in self.features
        }

    def _whole(self, row: Row) -> Row:
        """A row with the columns that are made of a time."""
        of = {
            derived["column"]: derived for derived in self.derived if derived["column"] not in row
        }
        row = {
            **row,
            **{
                name: derive(derived, row[derived["of"]])
                for name, derived in of.items()
                if derived["of"] in row
            },
        }
        if absent := dict.fromkeys(
            feature["column"] for feature in self.features if feature["column"] not in row
        ):
            named = (
                f"{name} (or {of[name]['of']}, of which it is made)" if name in of else name
                for name in absent
            )
            raise ValueError(f"a row must have every column, there is no {', '.join(named)}")
        return row

    def _column(self, feature: Mapping[str, Any], values: Sequence[Any]) -> np.ndarray:
        if feature["kind"] == "missing":
            return np.array(
                [math.isnan(number(value, feature["null_values"])) for value in values], np.float32
            )
        if feature["kind"] == "numeric":
            return np.array([standardised(feature, value) for value in values], np.float32)
        if feature["kind"] == "categorical":
            return np.array([self._id(feature, text(value)) for value in values], np.int64)
        return padded([self._list(feature, value) for value in values])

    def _list(self, feature: Mapping[str, Any], value: Any) -> list[int]:
        ids = [self._id(feature, word) for word in list_words(value, feature["separator"])]
        known = [i for i in ids if i]
        longest = feature["max_length"]
        return (
            known
            if longest is None
            else known[-longest:]
            if feature["kind"] == "sequence"
            else known[:longest]
        )

    def _id(self, feature: Mapping[str, Any], word: str) -> int:
        word = formed(plain(word, feature["null_values"]), feature["form"], feature["digits"])
        if feature["hash_buckets"]:
            return mix(hash_word(word)) % int(feature["hash_buckets"]) + 1 if word else 0
        return self.words[feature["vocabulary"]].get(word, 0)


def read_words(path: Path) -> dict[str, int]:
    """The words of a vocabulary with their ids: one JSON text per line, that of line i (from 1)
    with id i.
    """
    with path.open(encoding="utf-8") as lines:
        return {json.loads(line): i for i, line in enumerate(lines, start=1)}


def text(value: Any) -> str:
    """A value's shortest text: 5.0 is 5, missing is "" (None, NaN), midnight is its date."""
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, bytes):
        return value.decode("utf-8")
    if isinstance(value, bool | np.bool_):
        return str(bool(value)).lower()
    if isinstance(value, float | np.floating):
        return float_text(
            float(value)
            if float(value).is_integer() and abs(float(value)) < EXACT
            else float(str(value))
        )
    if isinstance(value, Decimal):
        return "" if value.is_nan() else decimal_text(value)
    if isinstance(value, date | time | np.datetime64):
        return time_text(value)
    return float_text(value / timedelta(seconds=1)) if isinstance(value, timedelta) else str(value)


def float_text(value: float) -> str:
    """The shortest text of a float: 1.0 is "1", NaN is ""."""
    shortest = "" if math.isnan(value) else repr(value).removesuffix(".0")
    return "0" if shortest == "-0" else shortest


def decimal_text(value: Decimal) -> str:
    """A decimal without an exponent and zeros at its end."""
    digits = f"{value:f}"
    digits = digits.rstrip("0").rstrip(".") if "." in digits else digits
    return "0" if digits == "-0" else digits


def time_text(value: date | time | np.datetime64) -> str:
    """A date as 2023-11-14, a time of day as it is shortest, both as `iso` has it; not a
    time: "".
    """
    if isinstance(value, time):
        return re.sub(r"(\.[0-9]*?)0+$", r"\1", value.isoformat())
    if isinstance(value, datetime) or not isinstance(value, date):
        return "" if value != value else iso(str(value))
    return value.isoformat()


def iso(word: str) -> str:
    """A time as 2023-11-14 10:11:12.5, in UTC where it names a zone, and as 2023-11-14 at midnight;
    other words as they are.
    """
    match = TIME.fullmatch(word)
    if match is None:
        return word
    day = match[1]
    minute = match[2]
    rest = match[3] or ":00"
    zone = match[4] or "Z"
    if zone not in ("Z", "UTC"):
        digits = zone[1:].replace(":", "").ljust(4, "0")
        try:
            moment = datetime.fromisoformat(
                f"{day} {minute}{zone[0]}{digits[:2]}:{digits[2:]}"
            ).astimezone(UTC)
        except (ValueError, OverflowError):
            return word
        day, minute = f"{moment:%Y-%m-%d}", f"{moment:%H:%M}"
    rest = rest.rstrip("0").rstrip(".") if "." in rest else rest
    return day if f"{minute}{rest}" == "00:00:00" else f"{day} {minute}{rest}"


def derive(derived: Mapping[str, Any], value: Any) -> int:
    """The hour, the weekday (0: Monday) or the day since 1970 of a time, on the clock of the data
    set.
    """
    seconds = whole_time(derived, value) // int(derived["per_second"])
    if not EARLIEST <= seconds <= LATEST:
        raise ValueError(
            f"{derived['of']}: must be a time from 1990 to 2100, in the unit of the training rows, "
            f"got {value!r}"
        )
    local = seconds + int(derived["offset_s"])
    return {"hour": local // 3600 % 24, "weekday": (local // 86400 + 3) % 7, "day": local // 86400}[
        derived["what"]
    ]


def whole_time(derived: Mapping[str, Any], value: Any) -> int:
    """A time as a whole number: as it is, or where training had dates microseconds since 1970 in
    UTC.
    """
    form, word = derived["form"], text(value).strip()
    if normal(word) in derived["null_values"]:
        raise ValueError(f"{derived['of']}: must have a time in every row")
    try:
        if form == "whole":
            return int(normal(word))
        own = form.startswith("%") and not isinstance(value, date | np.datetime64)
        moment = datetime.strptime(word, form) if own else by_parts(word, form)
    except (ValueError, KeyError, OverflowError):
        what = (
            "a whole number"
            if form == "whole"
            else "a date or a time, written as the training rows were"
        )
        raise ValueError(f"{derived['of']}: must be {what}, got {value!r}") from None
    return (
        moment.replace(tzinfo=moment.tzinfo or UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    ) // timedelta(microseconds=1)


def by_parts(word: str, form: str) -> datetime:
    """A date or a time by its parts; of 3/4/2023 the month is first where the form is `mdy`."""
    match = DATE.fullmatch(word)
    part = {name: value or "" for name, value in match.groupdict().items()} if match else {}
    order = (
        ("y", "m", "d")
        if part["y"] or form == "ymd"
        else ("e", "a", "b")
        if form == "mdy"
        else ("e", "b", "a")
    )
    year, month, day = (part[name] for name in order)
    hour = int(part["h"] or 0)
    half = part["p"].lower()
    zone = part["z"] if part["z"][:1] in ("+", "-") else "+00:00"
    hour = hour if not half else hour % 12 + 12 * (half == "p") if 1 <= hour <= 12 else 99
    clock = f"{hour:02}:{part['i'] or '00'}:{part['c'] or '00'}.{part['f'][:6]:0<6}"
    return datetime.fromisoformat(f"{year}-{month:0>2}-{day:0>2} {clock}{zone}")


def plain(word: str, null_values: Iterable[str]) -> str:
    """A word without blanks outside, "" where missing, truth and times in one spelling."""
    word = word.strip()
    word = word.lower() if word.lower() in ("true", "false") else iso(word)
    return "" if normal(word) in null_values else word


def normal(word: str) -> str:
    """Whole numbers in one spelling: 7.0 and +7 are 7."""
    if not WHOLE.fullmatch(word):
        return word
    whole = word.partition(".")[0].removeprefix("+")
    return "0" if whole == "-0" else whole


def formed(word: str, form: str, digits: int) -> str:
    """A plain word as the vocabulary would have it.

    Args:
        word: the word.
        form: `bit`: 0 and 1, which true and false are read as; `whole` numbers; `fixed`: codes of
            so many `digits`, whose zeros in front may be lost; `truth`: 1 and 0 are true and false;
            `float`: numbers at their shortest; `text`: as it is.
        digits: of `fixed`.
    """
    if form == "text":
        return word
    word = normal(word)
    if form == "fixed":
        return word.rjust(digits, "0") if word.isascii() and word.isdecimal() else word
    if form == "bit":
        return {"true": "1", "false": "0"}.get(word, word)
    if form == "truth":
        return {"1": "true", "0": "false"}.get(word, word)
    if form == "float" and DECIMAL.fullmatch(word):
        value = float(word)
        exact = math.isfinite(value) and (
            not word.lstrip("-").isdecimal() or int(value) == int(word)
        )
        return float_text(value) if exact else word
    return word


def list_words(value: Any, separator: str) -> list[str]:
    """The words of a list, or of a text with a separator alone, or as Python, pandas, numpy and
    JSON show lists; without empty ones.
    """
    if isinstance(value, list | tuple | set | np.ndarray):
        return [text(one) for one in value]
    raw = text(value)
    if raw.startswith(SEPARATOR):  # a list of Arrow's as text
        return [word for part in raw.split(SEPARATOR) if (word := part.strip())]
    whole = raw.strip()
    inner = None if whole in EMPTY_LISTS else inside(whole)
    if inner is None:
        parts = [] if whole in EMPTY_LISTS else raw.replace(separator, SEPARATOR).split(SEPARATOR)
    elif QUOTED.match(inner):
        return [
            word
            for token in TOKEN.finditer(inner)
            for word in [token_word(*token.groups())]
            if word
        ]
    else:
        inner = NUMPY.sub(r"\1", inner)
        if any(sign in inner for sign in "[]{}"):
            raise ValueError(f"must be a list of ids, got {value!r}")
        several = (
            separator
            if separator in inner and (separator.strip() or "," not in inner)
            else ","
            if "," in inner
            else None
        )
        parts = inner.split(several) if several or NUMBERS.fullmatch(inner) else [inner]
        parts = [part for part in parts if part.strip() not in ("None", "nan")]
    return [word for part in parts for word in [unquoted(part.strip())] if word]


def inside(whole: str) -> str | None:
    """What stands in a pair of brackets around a whole text; None where there is no such pair."""
    close = BRACKETS.get(whole[:1])
    if close is None or not whole.endswith(close) or SPECIAL.fullmatch(whole):
        return None
    inner, depth = whole[1:-1], 0
    if whole[0] == "{" and MAPPING.match(inner):
        raise ValueError(f"must be a list of ids, got {whole!r}")
    # in quotes a bracket is a sign of a word
    for i, sign in enumerate("" if QUOTED.match(inner) else whole):
        depth += (sign == whole[0]) - (sign == close)
        if depth == 0 and i < len(whole) - 1:
            return None
    return inner if whole[0] != "(" or "," in whole else None


def token_word(single: str | None, double: str | None, bare: str | None) -> str:
    """A word in quotes of either kind, or in none."""
    if bare is not None:
        return "" if bare in ("None", "nan") else bare
    return re.sub(
        r"\\(.)", r"\1", single if single is not None else double or "", flags=re.DOTALL
    ).strip()


def unquoted(word: str) -> str:
    """A word without a pair of quotes around it."""
    return (
        word[1:-1].strip() if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word
    )


def padded(lists: Sequence[Sequence[int]]) -> np.ndarray:
    """(B, L) int64, 0 after a row's last id; L at least 1."""
    rows = np.zeros((len(lists), max([1, *map(len, lists)])), np.int64)
    for row, ids in zip(rows, lists, strict=True):
        row[: len(ids)] = ids
    return rows


def number(value: Any, null_values: Iterable[str]) -> float:
    """A value as a number, NaN where missing."""
    if value is None or str(value) in ("<NA>", "NaT"):
        return math.nan
    if isinstance(value, str | bytes):
        word = plain(text(value), null_values)
        value = {"": math.nan, "true": 1.0, "false": 0.0}.get(word, word)
        if isinstance(value, str) and not (
            DECIMAL.fullmatch(value) or value.lower().lstrip("-+") in ("nan", "inf", "infinity")
        ):
            raise ValueError(f"must be a number, got {value!r}")
    parsed = value / timedelta(seconds=1) if isinstance(value, timedelta) else float(value)
    if math.isinf(parsed):
        raise ValueError("a number must be finite")
    return (
        math.nan
        if any(DECIMAL.fullmatch(word) and parsed == float(word) for word in null_values)
        else parsed
    )


def standardised(feature: Mapping[str, Any], value: Any) -> float:
    """(transform(x) - mean) / std; missing: 0."""
    x = number(value, feature["null_values"])
    if math.isnan(x):
        if feature["missing"] == "refuse":
            raise ValueError(f"{feature['column']}: must have a number in every row")
        x = math.nan if feature["fill"] is None else float(feature["fill"])
    scored = (
        TRANSFORMS[feature["transform"]](x, feature["quantiles"]) - feature["mean"]
    ) / feature["std"]
    return 0.0 if math.isnan(scored) else float(scored)


def normal_score(value: float, quantiles: Sequence[float]) -> float:
    """The standard normal's value at a number's rank among the training rows; the middle one, where
    it fills several.
    """
    if math.isnan(value):
        return value
    marks, ranks = np.array(quantiles), np.linspace(0, 1, len(quantiles))
    rank = (np.interp(value, marks, ranks) - np.interp(-value, -marks[::-1], -ranks[::-1])) / 2
    return NormalDist().inv_cdf(min(max(float(rank), RANK_EPS), 1 - RANK_EPS))


TRANSFORMS: dict[str, Callable[[float, Sequence[float]], float]] = {
    "none": lambda value, quantiles: value,
    "log1p": lambda value, quantiles: math.log1p(value),
    "quantile": normal_score,
}


def mix(value: int) -> int:
    """The finaliser of splitmix64."""
    mixed = (value + 0x9E3779B97F4A7C15) % 2**64
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1)):
        mixed = (mixed ^ mixed >> shift) * factor % 2**64
    return mixed


def hash_word(word: str) -> int:
    """64 bits of a text: its length, then its bytes, eight at a time, through `mix`."""
    data = word.encode("utf-8")
    if len(data) > LONG_BYTES:
        return int.from_bytes(blake2b(data, digest_size=8).digest(), "little")
    hashed = mix(len(data))
    for start in range(0, len(data), 8):
        hashed = mix(hashed ^ int.from_bytes(data[start : start + 8], "little"))
    return hashed
