"""The language of `where`."""

from pathlib import Path

import pytest

from automtl.data.spec.where import Comparison, parse_where
from tests.data.tables import frame, prepared


def test_numbers_texts_and_conjunctions() -> None:
    found = parse_where(
        "is_click == 1 and tab!='ads and more'  and x.y-z <= -1.5e3 and t == \"a'b\""
    )
    assert found == (
        Comparison("is_click", "==", 1.0),
        Comparison("tab", "!=", "ads and more"),
        Comparison("x.y-z", "<=", -1500.0),
        Comparison("t", "==", "a'b"),
    )


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("`is click` == 1", "is click"),
        ('"is click" == 1', "is click"),
        ("'a:b'==1", "a:b"),
        ("`100%` == 1", "100%"),
        ("`1st` == 1", "1st"),
        ('`say "so"` == 1', 'say "so"'),
        ('"a`b" == 1', "a`b"),
        ("`a == 1 and b` == 1", "a == 1 and b"),
        ("用户 == 1", "用户"),
    ],
)
def test_any_name_in_backquotes_or_quotes(text: str, column: str) -> None:
    """Case A10: a column with a blank, a colon, % or a leading digit had no name."""
    assert parse_where(text) == (Comparison(column, "==", 1.0),)
    assert parse_where(f"x > 2 and {text} and x < 3")[1] == Comparison(column, "==", 1.0)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "is click == 1",
            "the name is click has other signs than letters, digits, _ . and -: write it as `is "
            "click`",
        ),
        (
            "x == 1 and a:b != 2",
            "the name a:b has other signs than letters, digits, _ . and -: write it as `a:b`",
        ),
        (
            "1st == 1",
            "the name 1st has other signs than letters, digits, _ . and -: write it as `1st`",
        ),
        (
            "a`b == 1",
            'the name a`b has other signs than letters, digits, _ . and -: write it as "a`b"',
        ),
        (
            "tab == ads",
            "the value 'ads' is no number: write a text in quotes, as in tab == \"ads\"",
        ),
        ("x = 1", "got a single =, write =="),
        ("x == 1 or y == 2", "got 'or y == 2' where 'and' or the end must be"),
        ("x in [1, 2]", "got 'x in [1, 2]', which is no comparison"),
    ],
)
def test_what_is_the_matter(text: str, message: str) -> None:
    with pytest.raises(ValueError, match="where must be comparisons joined by 'and'") as caught:
        parse_where(text)
    assert str(caught.value).endswith(message)


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


def test_a_store_by_a_column_of_any_name(tmp_path: Path) -> None:
    """The right rows: those where the column with a blank in its name is 1."""
    rows = frame(500).rename(columns={"is_click": "is click"})
    tasks = [
        {"name": "click", "label": "is click"},
        {"name": "buy", "label": "is_buy", "where": "`is click` == 1 and tag != 'b'"},
    ]
    store = prepared(tmp_path, rows, tasks=tasks)
    labelled = sum(store.summary["tasks"]["buy"]["labelled"].values())
    assert labelled == int(
        (
            rows["is_buy"].notna()
            & (rows["is click"] == 1)
            & (rows["tag"] != "b")
            & (rows["tag"] != "")
        ).sum()
    )
