"""`where`: the rows that a task exists on, in a tiny language of comparisons (`is_click == 1 and
tab != "ads"`); never eval.
"""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np

COMPARE: dict[str, Callable[[np.ndarray, float | str], np.ndarray]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
EXAMPLE = 'is_click == 1 and tab != "ads"'
_COLUMN = re.compile(
    r"""\s*(?:(?P<plain>[^\W\d][\w.\-]*)|"""
    r"""`(?P<back>[^`]+)`|"(?P<double>[^"]+)"|'(?P<single>[^']+)')\s*"""
)
_SIGN = re.compile(r"(==|!=|<=|>=|<|>)\s*")
_VALUE = re.compile(
    r"""(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|"""
    r""""(?P<double>[^"]*)"|'(?P<single>[^']*)'"""
)
_NEXT = re.compile(r"\s*(and\b|$)")
_REST = re.compile(
    r"\s*(?P<name>.*?)\s*(?P<sign>==|!=|<=|>=|<|>|=|$)\s*(?P<value>.*?)\s*(?:\band\b|\bor\b|&&|;|$)"
)


@dataclass(frozen=True)
class Comparison:
    """`column sign value`; a missing value satisfies no comparison."""

    column: str
    sign: str
    value: float | str


def parse_where(text: str) -> tuple[Comparison, ...]:
    """Read comparisons joined by `and`; a column is a plain name or any in backquotes or quotes, a
    value a number or a quoted text.

    Raises:
        ValueError: the text is anything else; the message says whether the name, the sign, the
            value or what joins them is the matter.
    """
    comparisons, position = [], 0
    while True:
        column = _COLUMN.match(text, position)
        sign = column and _SIGN.match(text, column.end())
        value = sign and _VALUE.match(text, sign.end())
        joint = value and _NEXT.match(text, value.end())
        if not column or not sign or not value or not joint:
            _refuse(text[position:], text[value.end() :] if value else "")
        comparisons.append(_comparison(_given(column), sign[1], value))
        position = joint.end()
        if joint[1] != "and":
            return tuple(comparisons)


def _given(match: re.Match[str]) -> str:
    return next(word for word in match.groups() if word is not None)


def _comparison(column: str, sign: str, value: re.Match[str]) -> Comparison:
    if value["number"] is not None:
        return Comparison(column, sign, float(value["number"]))
    if sign not in ("==", "!="):
        raise ValueError(f"where: a text can be compared by == and != only, got {sign}")
    return Comparison(column, sign, _given(value))


def _refuse(rest: str, behind: str) -> NoReturn:
    """Say what is wrong with a text that does not begin with a comparison, or with what stands
    behind one.
    """
    rule = f"where must be comparisons joined by 'and', as in: {EXAMPLE}"
    if behind:
        raise ValueError(f"{rule}; got {behind.strip()[:40]!r} where 'and' or the end must be")
    parts = _REST.match(rest)
    assert parts is not None, "it matches anything"
    name = parts["name"]
    sign = parts["sign"]
    value = parts["value"]
    if not name.strip("`\"'") or not sign:
        raise ValueError(f"{rule}; got {rest.strip()[:40]!r}, which is no comparison")
    if not _COLUMN.fullmatch(name):
        quoted = f'"{name}"' if "`" in name else f"`{name}`"
        raise ValueError(
            f"{rule}; the name {name[:60]} has other signs than letters, digits, _ . and -: "
            f"write it as {quoted[:60]}"
        )
    if sign == "=":
        raise ValueError(f"{rule}; got a single =, write ==")
    raise ValueError(
        f"{rule}; the value {value[:40]!r} is no number: write a text in quotes, as in {name} "
        f'{sign} "{value[:40]}"'
    )
