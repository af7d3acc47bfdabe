"""`where`: the rows that a task exists on, in a tiny language of comparisons (`is_click == 1 and tab != "ads"`); never eval."""

import operator
import re
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

COMPARE: dict[str, Callable[[np.ndarray, float | str], np.ndarray]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_COMPARISON = re.compile(
    r"""\s*(?P<column>[^\W\d][\w.\-]*)\s*(?P<sign>==|!=|<=|>=|<|>)\s*
    (?:(?P<number>[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)|"(?P<double>[^"]*)"|'(?P<single>[^']*)')\s*(?P<next>and\b|$)""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Comparison:
    """`column sign value`; a missing value satisfies no comparison."""

    column: str
    sign: str
    value: float | str


def parse_where(text: str) -> tuple[Comparison, ...]:
    """Read comparisons joined by `and`; a value is a number or a quoted text.

    Raises:
        ValueError: the text is anything else.
    """
    found, position = [], 0
    while True:
        match = _COMPARISON.match(text, position)
        if not match:
            example = 'is_click == 1 and tab != "ads"'
            raise ValueError(f"where must be comparisons joined by 'and', as in: {example}; stuck at {text[position:][:40]!r}")
        found.append(_comparison(match))
        position = match.end()
        if match["next"] != "and":
            return tuple(found)


def _comparison(match: re.Match[str]) -> Comparison:
    if match["number"] is not None:
        return Comparison(match["column"], match["sign"], float(match["number"]))
    value = match["double"] if match["double"] is not None else match["single"]
    if match["sign"] not in ("==", "!="):
        raise ValueError(f"where: a text can be compared by == and != only, got {match['sign']}")
    return Comparison(match["column"], match["sign"], value)
