"""How strangers damage what was legal: bytes flipped, cut, doubled and put in; parts of documents
replaced, renamed, removed and added.
"""

import copy
from typing import Any

from hypothesis import strategies as st

# Text as a stranger may write it; no half letters, which no file can hold.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "'; DROP TABLE studies; --",
    "../../etc/passwd",
    "\x1b[2J\x1b]0;owned\x07",
    "\u202egnp.exe\u2066",
    "\u200b\ufeff",
    "a\0b",
    "a\nb\r\tc",
    "$\\frac{$ {{7*7}} %s %(x)s [bold red]x[/]",
    "\N{PARTY POPPER}\N{ZERO WIDTH JOINER}\N{PILE OF POO}",
    "CON",
    "-rf",
    "x" * 10_000,
    " ",
    "",
)
NAMES = st.sampled_from(HOSTILE) | TEXTS
NUMBERS = st.sampled_from(
    [-1, 0, 1, 2, 10**6, 10**9, 2**31, 2**63, 10**30, 0.5, -0.0, 1e308, 1e-320]
)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.integers(-3, 70) | NAMES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@st.composite
def damaged(draw: st.DrawFn, documents: st.SearchStrategy[Any], most: int = 3) -> Any:
    """A document of JSON values with one to `most` places changed."""
    document = copy.deepcopy(draw(documents))
    for _ in range(draw(st.integers(1, most))):
        document = _changed(draw, document)
    return document


def _changed(draw: st.DrawFn, part: Any) -> Any:
    if not isinstance(part, dict | list) or not part or draw(st.integers(0, 5)) == 0:
        return draw(VALUES)
    keys = list(part) if isinstance(part, dict) else list(range(len(part)))
    key, how = draw(st.sampled_from(keys)), draw(st.integers(0, 7))
    if how == 0:
        del part[key]
    elif how == 1 and isinstance(part, dict):
        part[draw(TEXTS)] = part.pop(key)
    elif how == 1:
        part += part[: draw(st.integers(1, 3))]
    elif how == 2:
        part[key] = copy.deepcopy(part[draw(st.sampled_from(keys))])
    else:
        part[key] = _changed(draw, part[key])
    return part


@st.composite
def damaged_bytes(
    draw: st.DrawFn, legal: st.SearchStrategy[bytes], pieces: tuple[bytes, ...] = (b"\0",)
) -> bytes:
    """Bytes with one to six places changed; what is put in are some `pieces` of the format, and any
    bytes.
    """
    data = bytearray(draw(legal))
    for _ in range(draw(st.integers(1, 6))):
        start = draw(st.integers(0, max(len(data) - 1, 0)))
        end = min(len(data), start + draw(st.integers(1, 40)))
        how = draw(st.sampled_from(["flip", "cut", "put", "double", "end"]))
        if how == "flip" and data:
            data[start] ^= 1 << draw(st.integers(0, 7))
        elif how == "cut":
            del data[start:end]
        elif how == "put":
            data[start:start] = draw(st.sampled_from(pieces) | st.binary(max_size=8))
        elif how == "double":
            data[start:start] = data[start:end]
        else:
            del data[start:]
    return bytes(data)
