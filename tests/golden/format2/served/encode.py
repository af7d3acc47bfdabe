"""Rows as people write them -> the arrays that the model beside this file reads. It needs Python
and numpy, nothing else.

    from encode import Encoder
    arrays = Encoder()([{"user_id": 17, "price": 2.5, "tags": ["new", "red"]}])

`features.json` says how each input is made: ids by the words of a vocabulary (the word on line i
has id i; 0: unknown or missing) or by a hash, numbers by a transform and the training rows' mean
and standard deviation (missing: 0). A row must have every column; where a value is missing, it is
None.
"""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

MISSING = ("", "NA", "N/A", "NaN", "nan", "NULL", "null", "None")  # of numbers written as text
SEPARATOR, BLANKS = "\x1f", " \t\n\f\r"
LONG_BYTES = 256
RANK_EPS = 1e-7  # as at training: normal scores stay within +-5.2
HERE = Path(__file__).resolve().parent
Row = Mapping[str, Any]


class Encoder:
    """Encodes rows for the model in `folder`."""

    def __init__(self, folder: str | Path = HERE) -> None:
        text = (Path(folder) / "features.json").read_text(encoding="utf-8")
        self.features: list[dict[str, Any]] = json.loads(text)["features"]
        names = {f["vocabulary"] for f in self.features if f.get("vocabulary")}
        self.words = {name: read_words(Path(folder) / name) for name in names}

    def __call__(self, rows: Sequence[Row]) -> dict[str, np.ndarray]:
        """One array per input, by its name: (B,) int64 ids, (B, L) int64 lists padded by 0, (B,)
        float32 numbers.
        """
        return {feature["input"]: self._column(feature, [row[feature["column"]] for row in rows]) for feature in self.features}

    def _column(self, feature: Mapping[str, Any], values: Sequence[Any]) -> np.ndarray:
        if feature["kind"] == "missing":
            return np.array([math.isnan(number(value)) for value in values], np.float32)
        if feature["kind"] == "numeric":
            return np.array([standardised(feature, value) for value in values], np.float32)
        if feature["kind"] == "categorical":
            return np.array([self._id(feature, text(value)) for value in values], np.int64)
        return padded([self._list(feature, value) for value in values])

    def _list(self, feature: Mapping[str, Any], value: Any) -> list[int]:
        ids = [self._id(feature, word) for word in list_words(value, feature["separator"])]
        known = [i for i in ids if i]
        longest = feature["max_length"]
        return known if longest is None else known[-longest:] if feature["kind"] == "sequence" else known[:longest]

    def _id(self, feature: Mapping[str, Any], word: str) -> int:
        word = canonical(word) if feature["float_text"] else word
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
    """A value as the text of an id: 5.0 is 5, missing is "" (None, NaN)."""
    value = value.item() if isinstance(value, np.generic) else value
    if value is None or isinstance(value, bool):
        return "" if value is None else str(value).lower()
    return float_text(value) if isinstance(value, float) else str(value)


def float_text(value: float) -> str:
    """The one text of a float: 1.0 is "1", NaN is ""."""
    return "" if math.isnan(value) else str(int(value)) if value.is_integer() else repr(value)


def canonical(word: str) -> str:
    """A float written as text in its one form; other words as they are."""
    if word.lstrip("-").isdecimal():
        return word
    try:
        return float_text(float(word or "nan"))
    except ValueError:
        return word


def list_words(value: Any, separator: str) -> list[str]:
    """The words of a list, or of a text with a separator; blanks around them and empty ones are
    dropped.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return []
    whole = text(value) if isinstance(value, str | int | float | np.generic) else SEPARATOR + SEPARATOR.join(text(v) for v in value)
    parts = (whole if whole.startswith(SEPARATOR) else whole.replace(separator, SEPARATOR)).strip().split(SEPARATOR)
    return [word for part in parts for word in [part.strip(BLANKS)] if word]


def padded(lists: Sequence[Sequence[int]]) -> np.ndarray:
    """(B, L) int64, 0 after a row's last id; L at least 1."""
    made = np.zeros((len(lists), max([1, *map(len, lists)])), np.int64)
    for row, ids in zip(made, lists, strict=True):
        row[: len(ids)] = ids
    return made


def number(value: Any) -> float:
    """A value as a number, NaN where missing."""
    found = math.nan if value is None or value in MISSING else float(value)
    if math.isinf(found):
        raise ValueError("a number must be finite")
    return found


def standardised(feature: Mapping[str, Any], value: Any) -> float:
    """(transform(x) - mean) / std; missing: 0."""
    found = number(value)
    if math.isnan(found):
        if feature["missing"] == "refuse":
            raise ValueError(f"{feature['column']}: must have a number in every row")
        found = math.nan if feature["fill"] is None else float(feature["fill"])
    scored = (TRANSFORMS[feature["transform"]](found, feature["quantiles"]) - feature["mean"]) / feature["std"]
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
