"""The language of `where`."""

import pytest

from automtl.data.where import Comparison, parse_where


def test_numbers_texts_and_conjunctions() -> None:
    found = parse_where("is_click == 1 and tab!='ads and more'  and x.y-z <= -1.5e3 and t == \"a'b\"")
    assert found == (
        Comparison("is_click", "==", 1.0),
        Comparison("tab", "!=", "ads and more"),
        Comparison("x.y-z", "<=", -1500.0),
        Comparison("t", "==", "a'b"),
    )


@pytest.mark.parametrize(
    "text",
    [
        *("", "a", "a == ", "a == b", "a == 1 or b == 2", "a == 1 and", "__import__('os')"),
        *("a == 1; b == 2", "1 == 1", "a == 1andb == 2", "a < 'x'"),
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="where"):
        parse_where(text)
