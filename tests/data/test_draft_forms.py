"""Drafts of CSV files with and without headers, of folders and patterns; where the YAML says the
files are.
"""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automtl.data.describe import draft
from automtl.data.describe._sniff import sniff
from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.errors import DataError
from tests.data.drafts import (
    BINARY,
    BOTH,
    CLICKS,
    clicks,
    csv,
    drafted,
    labels,
    line_of,
    parquet,
    roles,
)

BY_PLACE = {"c1": "categorical", "c2": "categorical", "c3": "numeric"}


def lines(table: pd.DataFrame, header: str, end: str = "") -> str:
    """A header and the rows, each with an end of its own."""
    return (
        "\n".join(
            [header, *(",".join(map(str, row)) + end for row in table.itertuples(index=False))]
        )
        + "\n"
    )


def test_an_index_that_pandas_wrote(tmp_path: Path) -> None:
    text, content, _ = drafted(csv(tmp_path, clicks(), index=True))
    assert "csv" not in content
    assert roles(content) == CLICKS
    assert labels(content) == BOTH
    assert "  # a column without a name: row numbers, left out" in text.splitlines()


def test_an_index_of_ids_without_a_name_gets_one(tmp_path: Path) -> None:
    table = clicks().set_index("user_id").rename_axis(None)
    text, content, store = drafted(csv(tmp_path, table, index=True))
    assert content["csv"] == {
        "columns": ["c1", "item_id", "price", "time", "clicked", "bought"],
        "skip": 1,
    }
    assert "# in place of the header, which does not name each column once" in text
    assert roles(content) == {"c1": "categorical", "item_id": "categorical", "price": "numeric"}
    assert (
        len(store.rows("train")) + len(store.rows("validation")) + len(store.rows("test")) == 800
    ), "the header is no row"


def test_numbers_for_names(tmp_path: Path) -> None:
    for table in (
        clicks().set_axis(range(6), axis=1),
        clicks().set_axis(range(2018, 2024), axis=1),
    ):
        _, content, _ = drafted(csv(tmp_path, table, index=True))
        names = [str(name) for name in table]
        assert "csv" not in content
        assert roles(content) == dict(zip(names[:3], BY_PLACE.values(), strict=True))
        assert labels(content) == dict.fromkeys(names[4:], BINARY)
        assert content["split"]["column"] == names[3]


def test_one_name_twice(tmp_path: Path) -> None:
    table = clicks().assign(age=np.random.default_rng(0).integers(18, 80, 800))[
        ["user_id", "price", "age", "clicked", "bought"]
    ]
    _, content, store = drafted(
        csv(tmp_path, table.set_axis(["user_id", "price", "price", "clicked", "clicked"], axis=1))
    )
    assert content["csv"] == {
        "columns": ["user_id", "price", "price_2", "clicked", "clicked_2"],
        "skip": 1,
    }
    assert roles(content) == {"user_id": "categorical", "price": "numeric", "price_2": "numeric"}
    assert labels(content) == {"clicked": BINARY, "clicked_2": BINARY}
    ages = next(field for field in store.schema.fields if field.name == "price_2")
    assert 40 < ages.mean < 60, "the second price is the age"


def test_a_name_for_a_second_column_is_nobody_elses(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("a,a,a_2,,c4\n" + "1,2,3,4,5\n" * 9)
    assert sniff(tmp_path / "t.csv").names == ("a", "a_3", "a_2", "c4_2", "c4")


@pytest.mark.parametrize(
    "header",
    ["user_id,item_id,price,time,clicked,bought", "user_id,item_id,price,time,clicked,bought,"],
)
def test_a_comma_at_the_end_of_each_row(header: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(lines(clicks(), header, ","))
    text, content, _ = drafted(tmp_path / "t.csv")
    assert roles(content) == CLICKS
    assert labels(content) == BOTH
    assert "  # a column without a name: empty, left out" in text.splitlines()


def test_row_names_that_r_wrote(tmp_path: Path) -> None:
    table = clicks()
    table.insert(0, "", np.arange(1, 801))
    (tmp_path / "t.csv").write_text(lines(table, "user_id,item_id,price,time,clicked,bought"))
    text, content, _ = drafted(tmp_path / "t.csv")
    assert content["csv"] == {
        "columns": ["c1", "user_id", "item_id", "price", "time", "clicked", "bought"],
        "skip": 1,
    }
    assert roles(content) == CLICKS
    assert labels(content) == BOTH


def test_a_title_above_the_table(tmp_path: Path) -> None:
    for header, settings in (
        (True, {"skip": 1}),
        (False, {"columns": ["c1", "c2", "c3", "c4", "c5", "c6"], "skip": 1}),
    ):
        (tmp_path / "t.csv").write_text(
            "Clicks of May\n\n" + clicks().to_csv(index=False, header=header)
        )
        _, content, store = drafted(tmp_path / "t.csv")
        assert content["csv"] == settings
        assert roles(content) == (CLICKS if header else BY_PLACE)
        assert len(store.rows("train")) == 640


TEXTS = {
    "ids": lambda g, n: [f"u{value}" for value in g.integers(0, 60, n)],
    "words": lambda g, n: g.choice([a + b for a in "ADFUN" for b in "EFRSI"], n),
    "days": lambda g, n: [f"2024-03-{day:02}" for day in g.integers(1, 29, n)],
    "mixed": lambda g, n: [f"item-{value}/{value % 3}" for value in g.integers(0, 40, n)],
}


@pytest.mark.parametrize(
    "kinds",
    [("ids", "words"), ("words", "words"), ("days", "ids"), ("mixed", "words"), ("ids", "mixed")],
)
def test_files_of_texts_only(kinds: tuple[str, str], tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    values = {f"{kind} {i}": TEXTS[kind](g, 600) for i, kind in enumerate(kinds)}
    table = pd.DataFrame({**values, "clicked": g.choice(["yes", "no"], 600)})
    _, content, _ = drafted(csv(tmp_path, table, header=False))
    assert content["csv"] == {"columns": ["c1", "c2", "c3"]}
    assert labels(content) == {"c3": {"kind": "binary", "positive": "yes"}}
    _, content, _ = drafted(csv(tmp_path, table))
    assert "csv" not in content
    assert labels(content) == {"clicked": {"kind": "binary", "positive": "yes"}}


def test_other_delimiters_and_no_header(tmp_path: Path) -> None:
    for separator in (";", "\t", "|"):
        _, content, _ = drafted(csv(tmp_path, clicks(), sep=separator, header=False))
        assert content["csv"] == {
            "delimiter": separator,
            "columns": ["c1", "c2", "c3", "c4", "c5", "c6"],
        }
        assert roles(content) == BY_PLACE
        _, content, _ = drafted(csv(tmp_path, clicks(), sep=separator))
        assert content["csv"] == {"delimiter": separator}


def test_names_that_yaml_takes_for_something_else(tmp_path: Path) -> None:
    names = ["yes", "on", "a: b", "{x}", "clicked, or not", "null"]
    _, content, _ = drafted(csv(tmp_path, clicks().set_axis(names, axis=1)))
    assert roles(content) == dict(zip(names[:3], CLICKS.values(), strict=True))
    assert content["split"]["column"] == "{x}"
    assert [task["label"] for task in content["tasks"]] == names[4:]
    assert [task["name"] for task in content["tasks"]] == ["clicked_or_not", "null"]


def in_three(folder: Path, write: Callable[[Path, pd.DataFrame], Path]) -> Path:
    """The usual table in three files of a folder."""
    (folder / "days").mkdir()
    for day, rows in enumerate(np.array_split(np.arange(800), 3)):
        write(folder, clicks().iloc[rows]).rename(
            folder / "days" / f"{day}{'.csv' if write is csv else '.parquet'}"
        )
    return folder / "days"


@pytest.mark.parametrize("write", [csv, parquet])
def test_a_folder_and_a_pattern(
    write: Callable[[Path, pd.DataFrame], Path], tmp_path: Path
) -> None:
    folder = in_three(tmp_path, write)
    for given, written in (
        (folder, "days"),
        (folder / "*.*", "days/*.*"),
        (folder / "1.*", "days/1.*"),
    ):
        text = draft(str(given), folder=tmp_path)
        assert (
            f"files: {{train: {written if '*' not in written else chr(34) + written + chr(34)}}}"
            in text
        )
        (tmp_path / "draft.yaml").write_text(text)
        store = prepare(load_dataset(tmp_path / "draft.yaml"), data_dir=tmp_path / "data")
        assert [field.name for field in store.schema.fields] == list(CLICKS)
        assert text.startswith(f"# Drafted from {800 if given != folder / '1.*' else 267} rows of ")


@pytest.mark.parametrize("write", [csv, parquet])
def test_columns_that_folders_give(
    write: Callable[[Path, pd.DataFrame], Path], tmp_path: Path
) -> None:
    for city, rows in zip(("Bonn", "Ulm"), np.array_split(np.arange(800), 2), strict=True):
        (tmp_path / "log" / f"city={city}").mkdir(parents=True)
        path = write(tmp_path, clicks().iloc[rows])
        path.rename(tmp_path / "log" / f"city={city}" / path.name)
    (tmp_path / "draft.yaml").write_text(text := draft(tmp_path / "log", folder=tmp_path))
    assert "files: {train: log}" in text
    assert "- {name: city, kind: categorical}" in line_of(text, "city")
    store = prepare(load_dataset(tmp_path / "draft.yaml"), data_dir=tmp_path / "data")
    assert sorted(store.vocabulary("city")["word"].to_pylist()) == ["Bonn", "Ulm"]


def test_side_tables_beside_the_rows_are_told_and_not_read(tmp_path: Path) -> None:
    (tmp_path / "shop").mkdir()
    clicks().to_csv(tmp_path / "shop" / "log.csv", index=False)
    clicks()[["bought", "item_id", "clicked", "user_id", "price", "time"]].to_csv(
        tmp_path / "shop" / "more.csv", index=False
    )
    pd.DataFrame({"user_id": range(60), "age": 30}).to_csv(
        tmp_path / "shop" / "users.csv", index=False
    )
    text = draft(tmp_path / "shop", folder=tmp_path)
    assert (
        "files: {train: [shop/log.csv, shop/more.csv]}    # other columns than these have "
        "users.csv: side tables go to `joins`" in text
    )
    (tmp_path / "draft.yaml").write_text(text)
    assert (
        len(
            prepare(load_dataset(tmp_path / "draft.yaml"), data_dir=tmp_path / "data").rows("train")
        )
        == 1280
    )


def test_paths_lead_from_the_yaml_to_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "out").mkdir()
    table = csv(tmp_path / "in", clicks())
    monkeypatch.chdir(tmp_path)
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "in" / "deep")

    def written(path: str | Path, folder: Path) -> str:
        return next(
            line for line in draft(path, folder=folder).splitlines() if line.startswith("files:")
        )

    assert written("in/t.csv", Path()) == "files: {train: in/t.csv}"
    assert written("in/t.csv", Path("out")) == 'files: {train: "../in/t.csv"}'
    assert written("in/../in/t.csv", Path("in")) == "files: {train: t.csv}"
    assert written(table, tmp_path) == "files: {train: in/t.csv}"
    assert written(table, tmp_path / "out") == f'files: {{train: "{table}"}}'
    os.chdir(tmp_path / "in")
    assert written("t.csv", link) == f'files: {{train: "{table}"}}', (
        "`..` of a link leads elsewhere"
    )


def test_a_column_that_is_empty_for_megabytes_does_not_end_the_draft(tmp_path: Path) -> None:
    table = clicks(1000)
    late = pd.concat([table.assign(code="", note="x" * 6000), table.assign(code="7b", note="y")])
    text, content, _ = drafted(csv(tmp_path, late))
    assert roles(content)["price"] == "numeric"
    assert "one value only" in line_of(text, "code")


def test_texts_in_another_encoding(tmp_path: Path) -> None:
    table = clicks().assign(city=["München", "Köln", "Bonn", "Ulm"] * 200)
    for encoding, found in (("latin-1", "latin-1"), ("utf-16", "utf-16")):
        text, content, store = drafted(csv(tmp_path, table, encoding=encoding))
        assert content["csv"] == {"encoding": found}
        assert "# a guess of the encoding: its texts are no UTF-8" in text
        assert roles(content) == CLICKS | {"city": "categorical"}
        assert sorted(store.vocabulary("city")["word"].to_pylist()) == [
            "Bonn",
            "Köln",
            "München",
            "Ulm",
        ]
    late = pd.concat([clicks(9000).assign(city="Bonn"), table])
    text, content, store = drafted(csv(tmp_path, late, encoding="latin-1"))
    assert content["csv"] == {"encoding": "latin-1"}, "the first letter beyond ASCII comes late"
    assert "München" in store.vocabulary("city")["word"].to_pylist()


def test_other_signs_between_values(tmp_path: Path) -> None:
    for sign in ("::", "\x01", "||"):
        (tmp_path / "t.csv").write_text(
            clicks().to_csv(index=False, header=False, sep="\x02").replace("\x02", sign)
        )
        _, content, _ = drafted(tmp_path / "t.csv")
        assert content["csv"] == {
            "delimiter": sign,
            "columns": ["c1", "c2", "c3", "c4", "c5", "c6"],
        }
        assert roles(content) == BY_PLACE


def test_lines_that_end_as_on_an_old_mac(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(clicks().to_csv(index=False).replace("\n", "\r").encode())
    _, content, store = drafted(path)
    assert "csv" not in content
    assert roles(content) == CLICKS
    assert sum(len(store.rows(part)) for part in ("train", "validation", "test")) == 800
    path.write_bytes(b"Export of May\r" + path.read_bytes())
    _, content, store = drafted(path)
    assert content["csv"] == {"skip": 1}
    assert sum(len(store.rows(part)) for part in ("train", "validation", "test")) == 800


def test_a_header_that_comes_again(tmp_path: Path) -> None:
    text = clicks(400).to_csv(index=False)
    (tmp_path / "t.csv").write_text(text + text)
    with pytest.raises(
        DataError,
        match=r"t\.csv: must have one header, got the header again in row 401; remove the lines "
        r".* \(1 of",
    ):
        draft(tmp_path / "t.csv", folder=tmp_path)


def test_a_quote_that_is_a_letter(tmp_path: Path) -> None:
    titles = ["12 inch", '"Heroes', "So"] * 266
    text = lines(
        clicks(798).assign(title=titles), "user_id,item_id,price,time,clicked,bought,title"
    )
    (tmp_path / "t.csv").write_text(text.replace(",", "\t"))
    _, content, store = drafted(tmp_path / "t.csv")
    assert content["csv"] == {"delimiter": "\t", "quote": "none"}
    assert roles(content) == CLICKS | {"title": "categorical"}
    assert sorted(store.vocabulary("title")["word"].to_pylist()) == ['"Heroes', "12 inch", "So"]
    assert sum(len(store.rows(part)) for part in ("train", "validation", "test")) == 798


def test_line_breaks_in_quotes(tmp_path: Path) -> None:
    notes = ["one\ntwo", "a, b\n\nc"] * 400
    _, content, store = drafted(csv(tmp_path, clicks().assign(note=notes)))
    assert "csv" not in content
    assert roles(content) == CLICKS | {"note": "categorical"}
    assert sum(len(store.rows(part)) for part in ("train", "validation", "test")) == 800


@pytest.mark.parametrize(
    "ending", ["parquet.brotli", "parq", "feather", "jsonl", "csv.zip", "none"]
)
def test_files_are_known_by_what_they_hold(ending: str, tmp_path: Path) -> None:
    path = tmp_path / f"t.{ending}"
    table = clicks()
    if ending == "jsonl":
        table.to_json(path, orient="records", lines=True)
    elif ending == "feather":
        table.to_feather(path)
    elif ending == "csv.zip":
        table.to_csv(path, index=False)
    else:
        table.to_parquet(path, compression="brotli", index=False)
    text, content, _ = drafted(path)
    assert roles(content) == CLICKS
    assert labels(content) == BOTH
    assert f"files: {{train: t.{ending}}}" in text
