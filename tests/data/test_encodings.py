"""Texts in any encoding, with delimiters of any signs; each value against what was written."""

import re
from pathlib import Path
from typing import Any

import pytest

from automtl.data.raw import sources
from automtl.data.spec.csv_settings import Csv
from automtl.errors import ConfigError
from automtl.strict import build, parse_yaml
from tests.data.reading import read, refusal, written

CITIES = ["北京", "上海", "广州市", "Zürich"]


@pytest.mark.parametrize(
    "encoding", ["gbk", "gb18030", "utf-16", "utf-16-le", "utf-8-sig", "utf-32"]
)
def test_encodings_are_read_over_block_borders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    rows = [f"{i},{CITIES[i % len(CITIES)]},{i / 4}" for i in range(500)]
    path = written(tmp_path / "rows.csv", "\n".join(["user,城市,price", *rows]).encode(encoding))
    monkeypatch.setattr(sources, "BLOCK_BYTES", 101)  # in the middle of signs
    found = read(path, {"encoding": encoding}, user="text", 城市="text", price="number")
    assert found["城市"] == [CITIES[i % len(CITIES)] for i in range(500)]
    assert found["price"] == [i / 4 for i in range(500)]


@pytest.mark.parametrize(
    ("encoding", "words", "says"),
    [
        ("gbk", ["北京", "上海"], "set csv: {encoding: gbk}"),
        ("latin-1", ["café", "Zürich"], "set csv: {encoding: latin-1}"),
        ("cp1252", ["a “quoted” word", "5 €"], "set csv: {encoding: cp1252}"),
        ("cp1251", ["Москва", "Санкт-Петербург"], "set csv: {encoding: cp1251}"),
    ],
)
def test_what_is_no_utf8_is_named_with_row_column_and_a_guess(
    tmp_path: Path, encoding: str, words: list[str], says: str
) -> None:
    rows = ["plain"] * 40 + words * 10
    text = "\n".join(["user,city", *(f"{i},{word}" for i, word in enumerate(rows))])
    path = written(tmp_path / "rows.csv", text.encode(encoding))
    message = refusal(path, user="text", city="text")
    assert "rows.csv, row 41, column 'city': must be UTF-8, got b'" in message
    assert says in message
    assert read(path, {"encoding": encoding}, city="text")["city"] == rows
    assert read(path, user="text")["user"] == [str(i) for i in range(60)], (
        "a column that nobody uses may be anything"
    )


def test_utf16_is_named(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv", "user,price\n1,2\n".encode("utf-16"))
    assert (
        "must be written in utf-8, got UTF-16 (by its byte order mark); set csv: {encoding: utf-16}"
        in refusal(path, user="text")
    )
    path = written(tmp_path / "rows.csv", ("user,price\n" + "1,2\n" * 50).encode("utf-16-be"))
    assert "must be UTF-8, got what looks like UTF-16; set csv: {encoding: utf-16-be}" in refusal(
        path, user="text"
    )


def test_a_wrong_encoding_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv", "user,city\n" + "1,北京\n" * 30 + "2,é\n")
    assert ", line " in refusal(path, {"encoding": "ascii"}, city="text")
    assert "must be written in ascii, got the bytes e5 8c 97 e4; correct csv.encoding" in refusal(
        path, {"encoding": "ascii"}, city="text"
    )


def test_a_header_that_is_no_utf8(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv", "用户,价格\n1,2\n".encode("gbk"))
    assert "rows.csv, first row: must be written in utf-8" in (
        message := refusal(path, 用户="text")
    )
    assert "set csv: {encoding: gbk}" in message


@pytest.mark.parametrize(
    "content",
    [
        b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(range(256)) * 9,
        bytes(range(256)) * 40,
        b"\0" * 5000,
    ],
)
def test_a_binary_file_is_called_so_and_not_shown(tmp_path: Path, content: bytes) -> None:
    message = refusal(written(tmp_path / "rows.csv", content), user="text")
    assert message.endswith(
        "rows.csv: must be a table, got a binary file of no known kind; write it as Parquet, "
        "CSV or JSON lines"
    )


@pytest.mark.parametrize(
    "delimiter", ["::", "\x01", "\t", "||", "|~|", "§", ", ", " ", "\x1f\x1e", ";"]
)
def test_delimiters_of_any_signs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, delimiter: str
) -> None:
    monkeypatch.setattr(sources, "BLOCK_BYTES", 50)
    rows = [[str(i), "", f"t{i}", str(i / 2)] for i in range(90)]
    path = written(
        tmp_path / "ratings.dat",
        "\n".join(delimiter.join(row) for row in [["user", "none", "title", "rating"], *rows]),
    )
    found = read(
        path, {"delimiter": delimiter}, user="text", none="text", title="text", rating="number"
    )
    assert found["user"] == [row[0] for row in rows]
    assert found["none"] == [""] * 90
    assert found["title"] == [row[2] for row in rows]
    assert found["rating"] == [i / 2 for i in range(90)]


def test_movielens_as_it_is(tmp_path: Path) -> None:
    path = written(
        tmp_path / "movies.dat",
        '1::Toy Story (1995)::Animation|Comedy\n260::"A New Hope", said he::Action\n'.encode(
            "latin-1"
        ),
    )
    found = read(
        path,
        {"delimiter": "::", "columns": ["movie", "title", "genres"]},
        movie="text",
        title="text",
        genres="list",
    )
    assert found["title"] == ["Toy Story (1995)", '"A New Hope", said he']
    assert found["genres"] == ["Animation|Comedy", "Action"]
    message = refusal(
        written(tmp_path / "torn.dat", "1::2::3\n4::5\n"),
        {"delimiter": "::", "columns": ["a", "b", "c"]},
        a="text",
    )
    assert "torn.dat, row 2: must have 3 columns, as csv.columns says, got 2: '4::5'" in message


@pytest.mark.parametrize(
    ("yaml", "delimiter"),
    [
        *((r'"\x01"', "\x01"), (r"'\x01'", "\x01"), (r"\t", "\t"), (r'"\t"', "\t")),
        *(('"::"', "::"), (r'"\u00a7"', "§"), (r"'\u00a7'", "§"), ('"|"', "|")),
    ],
)
def test_delimiters_as_yaml_has_them(yaml: str, delimiter: str) -> None:
    assert build(Csv, parse_yaml(f"delimiter: {yaml}", "x"), "csv").delimiter == delimiter


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"delimiter": r"\s+"},
            r"csv: delimiter must be the signs themselves, not a pattern, got '\\s+'",
        ),
        ({"delimiter": "[,;]"}, "must be the signs themselves, not a pattern"),
        ({"delimiter": " +"}, "must be the signs themselves, not a pattern"),
        ({"delimiter": "\n"}, "cannot hold a line break: it ends rows"),
        ({"delimiter": '"'}, "quote must be another sign than the delimiter"),
        (
            {"delimiter": "::", "quote": '"'},
            "quote cannot be given with a delimiter of several signs",
        ),
        ({"quote": "''"}, "quote must be one ASCII sign, or none"),
        (
            {"encoding": "gkb"},
            "encoding must be an encoding that Python knows (did you mean 'gbk'?)",
        ),
        ({"encoding": "base64"}, "encoding must be an encoding that Python knows"),
    ],
)
def test_settings_that_cannot_be_meant(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        build(Csv, settings, "csv")


def test_lines_to_pass_over(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.csv", 'Report of May\n"odd, quote\nuser,price\n1,2\n')
    assert read(path, {"skip": 2}, user="text", price="number") == {"user": ["1"], "price": [2.0]}
