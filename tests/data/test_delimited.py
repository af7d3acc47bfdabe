"""Delimited text: quotes over any distance, rows that do not fit; each value against what was
written.
"""

import csv
import io
import json
import random
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automtl.data.prepare import prepare
from automtl.data.raw import sources
from automtl.data.raw.quotes import quotes
from automtl.data.spec.dataset import load_dataset
from tests.data.reading import read, refusal, written
from tests.data.tables import dataset


@pytest.mark.parametrize("block", [64, 1000, 4 * 2**20])
def test_line_breaks_in_quotes_are_read_whatever_the_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    g = np.random.default_rng(0)
    texts = [
        random.Random(i).choice(
            ["plain", "two\nlines", 'said ""so"", then\nleft', "a, b\r\nc", "", "\n"]
        )
        for i in range(300)
    ]
    stream = io.StringIO(newline="")
    writer = csv.writer(stream)
    writer.writerow(["user", "note", "price"])
    prices = g.random(300).round(3).tolist()
    writer.writerows(zip(range(300), texts, prices, strict=True))
    path = written(tmp_path / "rows.csv", stream.getvalue())
    monkeypatch.setattr(sources, "BLOCK_BYTES", block)
    notes: list[str] = []
    found = read(path, notes=notes, user="text", note="text", price="number")
    assert found == {"user": [str(i) for i in range(300)], "note": texts, "price": prices}
    assert notes == [
        f"rows.csv: 300 rows in {300 + sum(text.count(chr(10)) for text in texts)} lines: "
        "values in quotes hold line breaks"
    ]


def test_a_large_unused_column_of_texts_with_line_breaks(tmp_path: Path) -> None:
    """Case A7(a): the same was read with 600 rows, and refused with 30,000."""
    rows = pd.DataFrame(
        {
            "user": np.arange(30_000) % 60,
            "text": "first line,\nsecond line " * 10,
            "clicked": np.arange(30_000) % 2,
        }
    )
    rows.to_csv(tmp_path / "rows.csv", index=False)
    found = read(tmp_path / "rows.csv", user="text", clicked="text")
    assert found["user"] == [str(i % 60) for i in range(30_000)]
    assert found["clicked"] == [str(i % 2) for i in range(30_000)]


def titles(
    quoted: dict[int, str], rows: int = 600, columns: str = "user\ttitle\tprice\tclicked"
) -> str:
    lines = [
        f"{i % 60}\t{quoted.get(i, f'title {i}')}\t{i / 10}\t{i % 2}" for i in range(1, rows + 1)
    ]
    return "\n".join([columns, *lines]) + "\n"


@pytest.mark.parametrize(
    ("quoted", "row"),
    [
        ({31: '"Unclosed'}, 31),
        # the second opening closes the first: 46 rows would be one title
        ({31: '"One', 77: '"Two'}, 31),
        ({31: '"One', 77: 'Two"'}, 31),  # and here by the rules of CSV
        ({31: '"One', 32: 'Two"'}, 31),
        ({600: '"Last'}, 600),
        ({1: '"First'}, 1),
    ],
)
def test_a_quote_that_is_a_sign_of_the_text_is_never_read_as_one(
    tmp_path: Path, quoted: dict[int, str], row: int
) -> None:
    """Case A7(b): 31 rows were read, exit 0."""
    path = written(tmp_path / "rows.tsv", titles(quoted))
    message = refusal(path, {"delimiter": "\t"}, user="text", title="text", clicked="text")
    assert (
        f"rows.tsv, row {row}, column 'title': must close its quotes, got a quote that opens "
        "with '\"" in message
    )
    assert "set csv: {quote: none}" in message
    whole = read(path, {"delimiter": "\t", "quote": "none"}, title="text", clicked="text")
    assert whole["title"] == [quoted.get(i, f"title {i}") for i in range(1, 601)]
    assert whole["clicked"] == [str(i % 2) for i in range(1, 601)]


def test_a_quote_open_at_the_end_of_a_title_that_is_the_last_column(tmp_path: Path) -> None:
    text = "user\tclicked\ttitle\n" + "".join(
        f"{i}\t{i % 2}\t{chr(34) if i == 30 else ''}title {i}\n" for i in range(600)
    )
    path = written(tmp_path / "rows.tsv", text)
    assert "row 31, column 'title': must close its quotes" in refusal(
        path, {"delimiter": "\t"}, user="text", title="text"
    )


def test_a_quote_that_stays_open_over_blocks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "BLOCK_BYTES", 2000)
    path = written(tmp_path / "rows.tsv", titles({431: '"Unclosed'}, rows=5000))
    assert "row 431, column 'title': must close its quotes" in refusal(
        path, {"delimiter": "\t"}, user="text"
    )


def test_texts_of_many_lines_are_not_taken_for_rows(tmp_path: Path) -> None:
    """Reviews whose lines hold as many commas as the table has, by chance, beside numbers that they
    do not hold.
    """
    review = (
        "Roses are red, violets are blue\nsugar is sweet, honey is too\ngood, bad\nugly, "
        "really\nup, down\nin, out"
    )
    rows = pd.DataFrame({"user": range(50), "review": review, "clicked": 1})
    rows.to_csv(tmp_path / "rows.csv", index=False)
    assert read(tmp_path / "rows.csv", user="text", review="text")["review"] == [review] * 50


def test_quotes_within_values_and_other_quotes(tmp_path: Path) -> None:
    path = written(
        tmp_path / "a.csv", 'user,title\n1,5" screen\n2,"a ""b"", c"\n3,"x"y\n4,""\n5,"""q"""\n'
    )
    assert read(path, title="text")["title"] == ['5" screen', 'a "b", c', "xy", "", '"q"']
    path = written(tmp_path / "b.csv", "user,title\n1,'a, b'\n2,\"c\"\n")
    assert read(path, {"quote": "'"}, title="text")["title"] == ["a, b", '"c"']
    path = written(tmp_path / "c.csv", 'user,title\n1,"He said \\"hi, you\\""\n')
    assert "double the quotes within quotes, instead of a backslash" in refusal(path, title="text")


def test_the_quotes_found_are_those_of_pythons_csv_module() -> None:
    """Rows by the scan against rows by another reader, on texts of quotes, delimiters and line
    breaks in any order.
    """
    g, agreed = random.Random(7), 0
    for _ in range(6000):
        text = "".join(g.choice('ab,,\n"""') for _ in range(g.randint(1, 30)))
        found = quotes(np.frombuffer(text.encode(), np.uint8), ord(","), ord('"'), 10)
        if found.left_open is not None:
            continue
        starts = [0, *(found.ends + 1).tolist()]
        rows = [text[a:b] for a, b in zip(starts, [*(found.ends).tolist(), len(text)], strict=True)]
        expected = [row for row in csv.reader(io.StringIO(text, newline="")) if row]
        parsed = [next(csv.reader(io.StringIO(row, newline=""))) for row in rows if row]
        assert parsed == expected, repr(text)
        agreed += 1
    assert agreed > 500


def test_empty_lines_are_told(tmp_path: Path) -> None:
    notes: list[str] = []
    path = written(tmp_path / "rows.csv", "\n\nuser,price\n1,2\n\n3,4\n\n\n5,6\n\n\n\n")
    assert read(path, notes=notes, user="text", price="number") == {
        "user": ["1", "3", "5"],
        "price": [2.0, 4.0, 6.0],
    }
    assert notes == ["rows.csv: 3 empty lines are left out"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_line_end(tmp_path: Path, end: str) -> None:
    notes: list[str] = []
    path = written(tmp_path / "rows.csv", end.join(["user,note", "1,a", f'2,"b{end}c"', "3,d"]))
    assert read(path, notes=notes, user="text", note="text") == {
        "user": ["1", "2", "3"],
        "note": ["a", f"b{end}c", "d"],
    }
    assert notes == ["rows.csv: 3 rows in 4 lines: values in quotes hold line breaks"]


def test_rows_of_another_width_are_named(tmp_path: Path) -> None:
    lines = [f"{i},{i}" for i in range(1, 5000)]
    path = written(
        tmp_path / "rows.csv", "\n".join(["user,price", *lines[:3210], "1,2,3", *lines[3210:]])
    )
    assert (
        "rows.csv, row 3211: must have 2 columns, as the header says, got 3: '1,2,3'; mend the row"
        in refusal(path, user="text")
    )


def test_a_delimiter_behind_every_row_but_the_header(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv", "user,price\n1,2,\n3,4,\n")
    assert read(path, user="text", price="number") == {"user": ["1", "3"], "price": [2.0, 4.0]}


def test_a_header_again_in_the_middle_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv", "user,price\n1,2\nuser,price\n3,4\n")
    assert (
        "row 2, column 'price': must be a number, got 'price'; is it a second header? remove "
        "that row" in refusal(path, price="number")
    )


def test_a_wrong_delimiter_is_guessed(tmp_path: Path) -> None:
    for delimiter in (";", "\t", "|", "::", "\x01"):
        path = written(
            tmp_path / "rows.csv",
            "".join(f"{delimiter.join(row)}\n" for row in (["user", "price"], ["1", "2"])),
        )
        assert f"set csv: {{delimiter: {json.dumps(delimiter)}}}" in refusal(path, user="text")


def test_a_store_of_a_quoted_gbk_table_is_that_of_the_plain_one(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "user": g.integers(0, 9, 400),
            "tag": g.choice(["北京", "上 海", "x"], 400),
            "price": g.random(400).round(3),
        }
    )
    rows = rows.assign(is_click=g.integers(0, 2, 400), is_buy=g.integers(0, 2, 400), note="a\nb, c")
    stores = []
    for name, sign, encoding in (("plain", ",", "utf-8"), ("odd", "\x01", "gbk")):
        path = dataset(tmp_path / name, csv={"delimiter": sign, "encoding": encoding})
        rows.to_csv(path.parent / "rows.csv", index=False, sep=sign, encoding=encoding)
        stores.append(prepare(load_dataset(path), data_dir=tmp_path / name / "data"))
    first, second = (store.schema.model_dump(exclude={"config_hash"}) for store in stores)
    assert first == second
