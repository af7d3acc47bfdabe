"""Which columns look like labels, and as which kind of task each would be learnt."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np

from automtl.data.describe import _naming
from automtl.data.describe._profile import Values, look
from automtl.data.describe._shapes import FEW, MANY, is_whole
from automtl.data.values.forms import MISSING_NUMBERS

Standing = Literal["label", "unsure", "feature"]
_PAIRS = (
    *(
        ("1", "0"),
        ("true", "false"),
        ("yes", "no"),
        ("y", "n"),
        ("t", "f"),
        ("1", "-1"),
        ("ja", "nein"),
        ("oui", "non"),
        ("si", "no"),
    ),
    *(
        ("positive", "negative"),
        ("success", "failure"),
        ("pass", "fail"),
        ("good", "bad"),
        ("win", "loss"),
    ),
)
_DIGITS = (("1", "0"), ("true", "false"))  # pairs that a binary task reads without `positive`
SLIPS = 0.1  # of a label's rows: as many may be slips


def standing(values: Values) -> Standing:
    """Whether a column is a label by its name and its values, may be one, or is none."""
    name, words = values.name, known_words(values)
    if _naming.is_rating(name) and values.numbers is not None and 2 < len(words) <= MANY:
        return "label"
    if _naming.is_target(name) and "class" not in _naming.singulars(name) and settings_of(values):
        return "label"
    if is_truth(values):
        outcome, attribute = _naming.is_outcome(name), _naming.is_attribute(name)
        if attribute:
            return "unsure" if outcome else "feature"
        return "label" if _naming.ends_as_outcome(name) or _naming.asks_whether(name) else "unsure"
    if not 2 <= len(words) <= FEW:
        return "feature"
    if values.numbers is None:
        return (
            "label"
            if _naming.ends_as_outcome(name) or sum(map(_naming.is_outcome, words)) > len(words) / 2
            else "feature"
        )
    return "label" if is_whole(values) and _naming.is_one_of_several_outcomes(name) else "feature"


def known_words(values: Values) -> list[str]:
    """The distinct words but for those that stand for a missing label."""
    return [word for word in values.words.to_pylist() if word not in MISSING_NUMBERS]


def is_truth(values: Values) -> bool:
    """Whether the words say yes and no, and nothing else."""
    return _pair(values) is not None


def settings_of(values: Values) -> dict[str, Any] | None:
    """The kind of a task whose label the column is, and the word for 1 where that is needed; None
    where it can be no label.
    """
    words = known_words(values)
    if values.numbers is not None and set(values.numbers[~np.isnan(values.numbers)]) == {0.0, 1.0}:
        return {"kind": "binary"}
    if len(words) == 2:
        return {"kind": "binary", "positive": _positive(values, words)}
    if values.numbers is not None and (
        _naming.is_rating(values.name) or not is_whole(values) or len(words) > FEW
    ):
        return {"kind": "regression"}
    if settings := but_for_slips(values):
        return settings
    return {"kind": "multiclass"} if 2 < len(words) <= MANY else None


def but_for_slips(values: Values) -> dict[str, Any] | None:
    """The label that a column of words would be without its slips, so that preparing refuses each
    of these with its row; None where it looks like one of classes.

    The rule: where at least nine in ten of the known labels say yes and no in one manner, it is
    binary; where as many are numbers, it is regression. Classes of which that holds must be said
    to be multiclass.
    """
    if values.numbers is not None or values.is_list:
        return None
    counts = dict(zip(values.words.to_pylist(), values.counts.tolist(), strict=True))
    rows = {word: counts[word] for word in known_words(values)}
    least = (1 - SLIPS) * sum(rows.values())
    for yes, no in _PAIRS:
        words = {sign: [word for word in rows if _plain(word) == sign] for sign in (yes, no)}
        if all(words.values()) and sum(rows[w] for each in words.values() for w in each) >= least:
            return {"kind": "binary"} | (
                {} if (yes, no) in _DIGITS else {"positive": max(words[yes], key=rows.__getitem__)}
            )
    numbers = sum(count for word, count in rows.items() if _is_number(word))
    return {"kind": "regression"} if rows and numbers >= least else None


def slipped_label(path: str | Path, column: str) -> dict[str, Any] | None:
    """What `but_for_slips` says of a column of a table; None where the table has no such column."""
    columns = {values.name: values for values in look(path).columns}
    return but_for_slips(columns[column]) if column in columns else None


def positives(values: Values, settings: Mapping[str, Any]) -> np.ndarray:
    """(n,) 1.0 where a label is 1, or above its median where it is a number; NaN where it is
    missing.
    """
    words = values.words.to_pylist()
    if "positive" in settings:
        of_words = np.array([float(settings["positive"] in (word, _plain(word))) for word in words])
    elif values.numbers is not None:
        numbers = values.numbers
        cut = (
            0.5
            if settings["kind"] == "binary"
            else float(np.nanmedian(numbers[values.codes[values.codes >= 0]]))
        )
        of_words = (numbers > cut).astype(float)
    elif settings["kind"] == "binary":  # 0 and 1, but for slips
        of_words = np.array([float(_plain(word) in ("1", "true")) for word in words])
    elif settings["kind"] == "regression":  # numbers, but for slips
        numbers = np.array([float(word) if _is_number(word) else np.nan for word in words])
        cut = float(np.nanmedian(numbers[values.codes[values.codes >= 0]]))
        of_words = np.where(np.isnan(numbers), np.nan, (numbers > cut).astype(float))
    else:
        of_words = (np.arange(len(words)) != np.argmax(values.counts)).astype(float)
    of_words[[word in MISSING_NUMBERS for word in words]] = np.nan
    return np.asarray(np.append(of_words, np.nan)[values.codes])


def _pair(values: Values) -> tuple[str, str] | None:
    plain = set(map(_plain, known_words(values)))
    return next((pair for pair in _PAIRS if set(pair) == plain), None)


def _plain(word: str) -> str:
    try:
        return f"{float(word):g}"
    except ValueError:
        return word.lower()


def _is_number(word: str) -> bool:
    try:
        return bool(np.isfinite(float(word)))
    except ValueError:
        return False


def _positive(values: Values, words: list[str]) -> str:
    """The word for yes, a number in its shortest form; of two other words the rarer one."""
    pair, counts = _pair(values), dict(zip(values.words.to_pylist(), values.counts, strict=True))
    word = (
        min(words, key=lambda word: counts[word])
        if pair is None
        else next(word for word in words if _plain(word) == pair[0])
    )
    return word if values.numbers is None else _plain(word)
