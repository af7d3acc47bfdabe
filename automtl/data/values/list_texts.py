"""Lists of ids as texts, however they were written down: with a separator alone, or as Python,
pandas, numpy and JSON show them.

`exports/encode.py` reads them in the same way.
"""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.values.forms import normal, plain
from automtl.data.values.patterns import LIST_SEPARATOR, rewritten

LOOK_LISTS = 2000
_ODD = r"""[\[({'"]"""
EMPTY = ("()", "{}", "set()")
PAIRS = {"[": "]", "(": ")", "{": "}"}
# words of their own, with their brackets
_SPECIAL = re.compile(r"\[(?:PAD|UNK|CLS|SEP|MASK|BOS|EOS)\]")
_NUMPY = re.compile(r"\bnp\.\w+\(([^()]*)\)")  # np.int64(3), as numpy 2 shows it
_TOKEN = re.compile(r"""'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"|([^\s,'"]+)""", re.DOTALL)
_QUOTED = re.compile(r"""\s*(?:(?:None|nan)\s*,\s*)*['"]""")
_MAPPING = re.compile(r"""\s*(?:'[^']*'|"[^"]*"|[^'",]+?)\s*:""")
_NUMBERS = re.compile(r"[-+.\deE\s]+")
_WEIGHTED = r"^[^:]+: ?[-+]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)(?:[eE][-+]?[0-9]+)?$"  # 3:0.5


class NotAList(ValueError):
    """A text in brackets that is no list of ids; its argument."""


def separated(texts: pa.Array, separator: str) -> pa.Array:
    """Texts of lists with `LIST_SEPARATOR` in front of each word, where they have brackets or
    quotes; the others as they are.

    Raises:
        NotAList: one is a mapping, or a list of lists.
    """
    return rewritten(
        texts,
        _ODD,
        lambda some: pa.array([_marked(text, separator) for text in some.to_pylist()], pa.string()),
    )


def _marked(text: str, separator: str) -> str:
    if text.startswith(LIST_SEPARATOR):
        return text
    try:
        return "".join(LIST_SEPARATOR + word for word in list_words(text, separator))
    except NotAList as wrong:
        raise NotAList(text) from wrong


def list_words(text: str, separator: str) -> list[str]:
    """The words of a list's text.

    Raises:
        NotAList: it is a mapping, or a list of lists.
    """
    inner = inside(text.strip())
    if text.strip() in EMPTY:
        parts = []
    elif inner is None:
        parts = text.split(separator)
    elif _QUOTED.match(inner):
        return [word for match in _TOKEN.finditer(inner) if (word := _token(match))]
    else:
        inner = _NUMPY.sub(r"\1", inner)
        if any(sign in inner for sign in "[]{}"):
            raise NotAList(text)
        several = (
            separator
            if separator in inner and (separator.strip() or "," not in inner)
            else ","
            if "," in inner
            else None
        )
        # numpy has blanks between numbers
        parts = inner.split(several) if several or _NUMBERS.fullmatch(inner) else [inner]
        parts = [part for part in parts if part.strip() not in ("None", "nan")]
    return [word for part in parts if (word := _unquoted(part.strip()))]


def inside(text: str) -> str | None:
    """What stands in a pair of brackets around a whole text; None where there is no such pair."""
    close = PAIRS.get(text[:1])
    if close is None or not text.endswith(close) or _SPECIAL.fullmatch(text):
        return None
    inner, depth = text[1:-1], 0
    if text[0] == "{" and _MAPPING.match(inner):
        raise NotAList(text)
    # in quotes a bracket is a sign of a word
    for i, sign in enumerate("" if _QUOTED.match(inner) else text):
        depth += (sign == text[0]) - (sign == close)
        if depth == 0 and i < len(text) - 1:
            return None  # (a), (b)
    return inner if text[0] != "(" or "," in text else None  # (drama) is a word


def _token(match: re.Match[str]) -> str:
    quoted = match[1] if match[1] is not None else match[2]
    if quoted is None:
        return "" if match[3] in ("None", "nan") else match[3]
    return re.sub(r"\\(.)", r"\1", quoted, flags=re.DOTALL).strip()


def _unquoted(word: str) -> str:
    return (
        word[1:-1].strip() if len(word) > 1 and word[0] == word[-1] and word[0] in "'\"" else word
    )


def fillers(padding: str | None) -> tuple[str, ...]:
    """The word that only fills lists up, as `plain` looks for missing ones."""
    return (
        ()
        if padding is None
        else tuple(normal(plain(pa.array([padding], pa.string()), ())).to_pylist())
    )


def first_weighted(texts: pa.Array) -> int | None:
    """The first of some plain lists that holds something, where the words of all look like ids with
    weights: a number behind a colon.

    It is None where they do not, or where none of these numbers is a fraction: `4:2` may be an id.
    Some thousand lists are looked at.
    """
    some = texts.slice(0, LOOK_LISTS)
    words = pc.split_pattern(some.filter(pc.not_equal(some, "")), LIST_SEPARATOR).flatten()
    if not len(words) or not pc.all(pc.match_substring_regex(words, _WEIGHTED)).as_py():
        return None
    fractions = pc.any(pc.match_substring_regex(words, ": ?[-+]?[0-9]*[.][0-9]")).as_py()
    return (
        int(np.argmax(pc.not_equal(some, "").to_numpy(zero_copy_only=False))) if fractions else None
    )
