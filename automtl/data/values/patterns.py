"""Finds the few words, or lists of words as texts, that another spelling may hide in: by their
bytes first, then by patterns.

Most words need no rewriting, and a look at their first and last bytes says so at a tenth of a
pattern's cost.
"""

import re
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

# between the words of a list, once it is read: no file uses it inside a word
LIST_SEPARATOR = "\x1f"
SPACE = (
    r"\t-\r\x1c-\x1e \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}"
)
CLOCK = "[0-9]{4}-[0-9]{2}-[0-9]{2}[ T][0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:[.][0-9]+)?)? ?"
OFFSET = "[-+][0-9]{2}(?::?[0-9]{2})?"
TIME = f"{CLOCK}(?:Z|UTC|{OFFSET})?"
UNUSUAL_WHOLE = r"(?:[+](?:0|[1-9][0-9]*)(?:[.]0*)?|-0(?:[.]0*)?|-?(?:0|[1-9][0-9]*)[.]0*)"
WHOLE = "^(?:0|-?[1-9][0-9]*)$"
DECIMAL = "^[-+]?(?:[0-9]+[.]?[0-9]*|[.][0-9]+)(?:[eE][-+]?[0-9]+)?$"
_BEFORE, _AFTER = f"(?:^|{LIST_SEPARATOR})", f"(?:{LIST_SEPARATOR}|$)"  # of a word in a list's text
Change = Callable[[pa.Array], pa.Array]


def rewritten(
    words: pa.Array, pattern: str, change: Change, among: np.ndarray | None = None
) -> pa.Array:
    """Words with those that match a pattern changed; the same array where none does.

    Args:
        words: texts without nulls.
        pattern: in RE2's language.
        change: of a text.
        among: where words are that may match; by default all may. Shape: (len(words),).
    """
    where = np.ones(len(words), bool) if among is None else among.copy()
    if where.any():
        some = words if where.all() else words.filter(pa.array(where))
        where[where] = pc.match_substring_regex(some, pattern).to_numpy(zero_copy_only=False)
    return changed(words, where, change)


def changed(words: pa.Array, where: np.ndarray, change: Change) -> pa.Array:
    """Some words changed; the same array where there are none."""
    if not where.any():
        return words
    if where.all():
        return change(words)
    mask = pa.array(where)
    return pc.replace_with_mask(words, mask, change(words.filter(mask)))


def rewrite_odd(words: pa.Array, missing: tuple[str, ...], change: Change) -> pa.Array:
    """Words changed that have blanks outside, are missing, true, false or a time."""
    data, offsets = _data(words)
    if data.isdigit() and not any(map(is_whole, missing)):
        return words
    return rewritten(
        words,
        _odd(missing, "^", "$", SPACE + LIST_SEPARATOR),
        change,
        _odd_by_ends(data, offsets, missing),
    )


def rewrite_unusual(words: pa.Array, change: Change) -> pa.Array:
    """Words changed that are whole numbers in another writing than their plain digits."""
    data, offsets = _data(words)
    if not any(sign in data for sign in b".+-"):
        return words
    lengths, first, last = _ends(data, offsets)
    dots = (
        _DIGIT[first] & ((last == ord(".")) | (last == ord("0")))
        if b"." in data
        else np.zeros(len(words), bool)
    )
    return rewritten(
        words,
        f"^{UNUSUAL_WHOLE}$",
        change,
        (dots | (first == ord("+")) | (first == ord("-"))) & (lengths > 1),
    )


def rewrite_truth(words: pa.Array, change: Change) -> pa.Array:
    """The plain words true and false changed."""
    data, offsets = _data(words)
    if b"e" not in data:
        return words
    lengths, _, last = _ends(data, offsets)
    return rewritten(words, "^(?:true|false)$", change, (last == ord("e")) & (lengths >= 4))


def rewrite_odd_lists(texts: pa.Array, missing: tuple[str, ...], change: Change) -> pa.Array:
    """Texts of lists changed where a word is as `rewrite_odd` looks for; blanks of ASCII but rare
    ones are gone already.
    """
    data = _data(texts)[0]
    lower = data.lower()
    signs = (
        b"true",
        b"false",
        b":",
        b"\x0b",
        b"\x1c",
        b"\x1d",
        b"\x1e",
        *(word.encode() for word in missing if word),
    )
    if data.isascii() and not any(
        sign in (lower if sign in (b"true", b"false") else data) for sign in signs
    ):
        return texts
    return rewritten(texts, _odd(missing, _BEFORE, _AFTER, SPACE), change)


def rewrite_unusual_lists(texts: pa.Array, change: Change) -> pa.Array:
    """Texts of lists changed where a word is as `rewrite_unusual` looks for."""
    data = _data(texts)[0]
    if not any(sign in data for sign in b".+-"):
        return texts
    return rewritten(texts, f"{_BEFORE}{UNUSUAL_WHOLE}{_AFTER}", change)


@lru_cache(maxsize=64)
def _odd(missing: tuple[str, ...], before: str, after: str, space: str) -> str:
    whole = "|".join(
        [
            "(?i:true|false)",
            TIME,
            *(re.escape(word) + "(?:[.]0*)?" * is_whole(word) for word in missing if word),
        ]
    )
    return f"{before}(?:{whole}){after}|{before}[{space}]|[{space}]{after}"


def is_whole(word: str) -> bool:
    """Whether a word is a whole number."""
    return word.removeprefix("-").isdecimal()


def _table(*ranges: tuple[int, int]) -> np.ndarray:
    marked = np.zeros(256, bool)
    for low, high in ranges:
        marked[low : high + 1] = True
    return marked


# blanks, and all that is not ASCII
_DIGIT, _EDGE = _table((48, 57)), _table((9, 13), (28, 32), (128, 255))


def _odd_by_ends(data: bytes, offsets: np.ndarray, missing: tuple[str, ...]) -> np.ndarray:
    """Where words are that may be odd, of n by `_data`: (n,) bool."""
    lengths, first, last = _ends(data, offsets)
    odd = _EDGE[first] | _EDGE[last]
    if b"e" in data or b"E" in data:
        odd |= ((last | 32) == ord("e")) & (lengths >= 4) & (lengths <= 5)
    if b":" in data:
        odd |= _DIGIT[first] & (lengths >= 16)
    for word in filter(None, missing):
        letters = word.encode()
        odd |= (first == letters[0]) & (
            (lengths >= len(letters)) if is_whole(word) else (lengths == len(letters))
        )
    return np.asarray(odd & (lengths > 0))


def _ends(data: bytes, offsets: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The length, the first and the last byte of each word; 0 for the empty one."""
    lengths, letters = np.diff(offsets), np.frombuffer(data + b"\0", np.uint8)
    empty = lengths == 0
    first, last = letters[offsets[:-1]], letters[offsets[1:] - 1]
    return lengths, np.where(empty, 0, first), np.where(empty, 0, last)


def _data(words: pa.Array) -> tuple[bytes, np.ndarray]:
    """The bytes of all words, and where each begins."""
    buffers = words.buffers()
    offsets = (
        np.frombuffer(buffers[1], np.int32, len(words) + 1, words.offset * 4)
        if len(words)
        else np.zeros(1, np.int32)
    )
    return bytes(memoryview(buffers[2] or b"")[offsets[0] : offsets[-1]]), offsets - offsets[0]
