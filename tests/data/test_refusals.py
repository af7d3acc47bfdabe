"""Data that cannot be meant: a clear error with file, row and column, and nothing left behind."""

import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.errors import AutoMTLError, ConfigError, DataError
from tests.data.tables import FEATURES, TASKS, dataset, frame

HOUR, HOURS = {"name": "hour", "what": "hour"}, [{"name": "hour", "kind": "categorical"}]
Change = Callable[[pd.DataFrame], pd.DataFrame]


def text_of(change: Change) -> str:
    return change(frame(50)).to_csv(index=False)


def cell(row: int, column: str, value: object) -> Change:
    """The table with one cell (rows count from 1) replaced."""
    return lambda table: table.astype({column: object}).assign(
        **{column: lambda t: t[column].where(t.index != row - 1, value)}
    )


def refusal(folder: Path, content: str | bytes | None, **settings: object) -> AutoMTLError:
    path = dataset(folder, **settings)
    if content is not None:
        (folder / "rows.csv").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises((ConfigError, DataError)) as caught:
        prepare(load_dataset(path), data_dir=folder / "data")
    assert not any((folder / "data" / "prepared").rglob("*")), "no partial store"
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "files.train: {folder}/rows.csv: must name a file, got none there"),
        ("", "rows.csv: must have rows, got an empty file"),
        ("user,tag,price,is_click,is_buy\n", "toy: fit rows: must not be empty, got rows: fit 0"),
        (
            text_of(lambda t: t.drop(columns="is_buy")),
            "rows.csv: must have the column 'is_buy', got columns user, tag, price, is_click",
        ),
        (text_of(lambda t: t.rename(columns={"price": "prise"})), "did you mean 'prise'?"),
        (
            text_of(lambda t: t.rename(columns={"time": "tag"})),
            "rows.csv: must have the column 'tag' once, got 2 times",
        ),
        (
            frame(50).to_csv(index=False, sep=";"),
            "must have the column 'user', got columns user;tag;price;is_click;is_buy;time",
        ),
        (
            text_of(cell(7, "is_click", 2)),
            "rows.csv, row 7, column 'is_click': must be 0, 1 or empty for the binary task "
            "'click', got 2",
        ),
        (
            text_of(cell(9, "is_buy", "yes")),
            "rows.csv, row 9, column 'is_buy': must be 0, 1 or empty for the binary task 'buy', "
            "got 'yes'",
        ),
        (
            text_of(cell(5, "price", "inf")),
            "rows.csv, row 5, column 'price': must be finite, got an infinite number",
        ),
        (
            text_of(cell(5, "price", "cheap")),
            "rows.csv, row 5, column 'price': must be a number, got 'cheap'",
        ),
        (
            text_of(cell(5, "is_click", 0.5)),
            "row 5, column 'is_click': must be 0, 1 or empty for the binary task 'click', got 0.5",
        ),
        (
            text_of(cell(5, "is_click", -1)),
            "row 5, column 'is_click': must be 0, 1 or empty for the binary task 'click', got -1",
        ),
        (
            2 * text_of(lambda t: t),
            "rows.csv, row 51, column 'price': must be a number, got 'price'",
        ),
        (
            text_of(lambda t: t).replace("\n", ",\n", 3),
            "rows.csv, row 3: must have 7 columns, as the header says, got 6: '10,é,1",
        ),
        (
            text_of(cell(9, "tag", "x" * 10_000_000)),
            "rows.csv, row 9: must have rows of at most 4 MiB, got one that begins with",
        ),
        ("\n\n\n", "rows.csv: must"),
        ("just words", "rows.csv: must have the column 'user', got columns just words"),
        (b"\x00\x01\x02\x00" * 50, "rows.csv: must"),
        (
            text_of(lambda t: t.assign(is_click=0)),
            "task 'click': must have positives and negatives in the training split, got 0 "
            "positives",
        ),
        (
            text_of(lambda t: t.assign(is_buy=np.nan)),
            "task 'buy': must have labels in the training split, got none",
        ),
        (
            text_of(lambda t: t) + "1,2\n",
            "rows.csv, row 51: must have 6 columns, as the header says, got 2: '1,2'",
        ),
        (frame(50).to_csv(index=False).encode("utf-16"), "rows.csv: must"),
        (
            b"user,tag,price,is_click,is_buy\n1,\xff\xfe,1,0,1\n",
            "rows.csv, row 1, column 'tag': must be UTF-8, got b'\\xff\\xfe'",
        ),
    ],
)
def test_bad_tables(tmp_path: Path, content: str | bytes | None, message: str) -> None:
    assert message.format(folder=tmp_path) in str(refusal(tmp_path, content))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"features": [{"name": "price", "kind": "numeric", "transform": "log1p"}]},
            "row 3, column 'price': must be above -1 for log1p",
        ),
        (
            {"tasks": [{**TASKS[0], "sample_weight": "price"}]},
            "row 3, column 'price': must be a weight of at least 0, got -2",
        ),
        (
            {"split": {"kind": "time", "column": "tag"}},
            "row 2, column 'tag': must hold dates or times, got 'b'; forms that are read: ",
        ),
        (
            {"split": {"kind": "by_user", "column": "tag"}},
            "column 'tag': must have a value in every row to split by, got none",
        ),
        ({"split": {"kind": "time", "column": "price"}}, "column 'price'"),
        ({"split": {"kind": "time", "column": "none"}}, "must have the column 'none'"),
        (
            {"split": {"kind": "by_user", "column": "same"}},
            "of 1 distinct values of 'same', each of whose rows stay together",
        ),
        (
            {"split": {"kind": "time", "column": "same"}},
            "alpha 0, validation 0, test 50, of 1 distinct time; change split: kind: random",
        ),
        (
            {"split": {"kind": "time", "column": "same", "duplicates": "together"}},
            "duplicates: together is for splits without a column",
        ),
        (
            {"tasks": [{**TASKS[0], "sample_weight": "is_buy"}]},
            "column 'is_buy': must be a weight of at least 0, got nan",
        ),
        ({"tasks": [{**TASKS[0], "where": "none == 1"}]}, "must have the column 'none'"),
        (
            {
                "tasks": [{"name": "p", "label": "tag", "kind": "regression"}],
                "features": FEATURES[:1],
            },
            "column 'tag': must be a number",
        ),
        ({"features": [{"name": "tag", "kind": "numeric"}]}, "column 'tag': must be a number, got"),
        ({"group": "none"}, "must have the column 'none'"),
        ({"joins": [{"file": "side.csv", "on": "user"}]}, "joins.0: "),
        (
            {"joins": [{"file": "rows.csv", "on": "user"}]},
            "must have each key of column 'user' once",
        ),
        (
            {"derived": [{**HOUR, "column": "tag"}], "features": HOURS},
            "row 2, column 'tag': must hold dates or times, got 'b'",
        ),
        (
            {"derived": [{**HOUR, "column": "time"}], "features": HOURS},
            "must be a time from 1990 to 2100 in unit date",
        ),
        (
            {"csv": {"columns": ["user", "tag"]}},
            "must have the 2 columns of csv.columns, got 7 values in its first row, 'user,",
        ),
        (
            {"adapter": "census"},
            "adapter: must be known, got census; did you mean 'census_income'?",
        ),
        (
            {
                "tasks": [
                    {
                        "name": "k",
                        "label": "is_click",
                        "kind": "multiclass",
                        "where": "is_click == 0",
                    }
                ]
            },
            "must have at least 2 classes",
        ),
        (
            {"tasks": [{**TASKS[0], "where": "tag == 'none such'"}]},
            "task 'click': must have labels in the training split",
        ),
    ],
)
def test_bad_settings_for_the_data(
    tmp_path: Path, settings: dict[str, object], message: str
) -> None:
    table = frame(50).astype({"price": object}).assign(same=1)
    table.loc[2, "price"] = -2
    assert message in str(refusal(tmp_path, table.to_csv(index=False), **settings))


def test_rows_are_counted_across_blocks_and_named_by_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("automtl.data.raw.sources.BLOCK_BYTES", 500)
    frame(100).to_csv(tmp_path / "a.csv", index=False)
    cell(77, "is_click", 5)(frame(100)).to_csv(tmp_path / "b.csv", index=False)
    error = refusal(tmp_path, None, files={"train": ["a.csv", "b.csv"]})
    assert error.where == f"{tmp_path}/b.csv, row 77, column 'is_click'"


def test_a_column_missing_in_one_part(tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    frame(50).to_parquet(tmp_path / "parts" / "a.parquet")
    frame(50).drop(columns="tag").to_parquet(tmp_path / "parts" / "b.parquet")
    error = refusal(tmp_path, None, files={"train": "parts"})
    assert f"{tmp_path}/parts/b.parquet: must have the column 'tag'" in str(error)


def test_a_torn_gzip(tmp_path: Path) -> None:
    frame(5000).to_csv(tmp_path / "rows.csv.gz", index=False)
    whole = (tmp_path / "rows.csv.gz").read_bytes()
    (tmp_path / "rows.csv.gz").write_bytes(whole[: len(whole) // 2])
    assert "rows.csv.gz: must be a readable table" in str(
        refusal(tmp_path, None, files={"train": "rows.csv.gz"})
    )


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        (
            "rows.csv.gz",
            gzip.compress(text_of(lambda t: t).encode())[:99],
            "rows.csv.gz: must be a readable table, got a file that is cut",
        ),
        (
            "rows.parquet",
            text_of(lambda t: t).encode(),
            "rows.parquet: must be a readable table, got a file that is not what",
        ),
        ("notes.txt", b"nothing of use", "files.train: {folder}: must name a file, got none there"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else None,
)
def test_names_that_promise_something_else(
    tmp_path: Path, name: str, content: bytes, message: str
) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / name).write_bytes(content)
    assert message.format(folder=tmp_path / "folder") in str(
        refusal(tmp_path, None, files={"train": "folder"})
    )


def test_plain_and_packed_at_once(tmp_path: Path) -> None:
    frame(50).to_csv(tmp_path / "rows.csv.gz", index=False)
    error = refusal(tmp_path, text_of(lambda t: t), files={"train": "rows.csv*"})
    assert "must not be given both plain and packed" in str(error)


def test_a_torn_parquet(tmp_path: Path) -> None:
    (tmp_path / "rows.parquet").write_bytes(b"PAR1 and then nothing")
    assert "rows.parquet: must be a readable table" in str(
        refusal(tmp_path, None, files={"train": "rows.parquet"})
    )


def test_texts_of_a_parquet_that_are_no_utf8(tmp_path: Path) -> None:
    table = pa.table(frame(50))
    words = pa.array([b"a", b"\xe2\x80"] * 25, pa.binary())
    torn = pa.StringArray.from_buffers(len(words), *words.buffers()[1:])
    pq.write_table(
        table.set_column(table.column_names.index("tag"), "tag", torn), tmp_path / "rows.parquet"
    )
    message = "rows.parquet: column 'tag': must be read as text, got bytes that are no UTF-8"
    assert message in str(refusal(tmp_path, None, files={"train": "rows.parquet"}))


def test_a_list_is_no_category(tmp_path: Path) -> None:
    frame(3).assign(tag=[["a"], ["b"], []]).to_parquet(tmp_path / "rows.parquet")
    assert "column 'tag': must hold one value in each row, got lists, such as ['a']; make" in str(
        refusal(tmp_path, None, files={"train": "rows.parquet"})
    )


def test_a_leaking_feature_is_named(tmp_path: Path) -> None:
    table = frame(2000)
    table["seen"] = table["is_click"] * 30 + table.index % 7
    features = [*FEATURES, {"name": "seen", "kind": "categorical"}]
    error = refusal(tmp_path, table.to_csv(index=False), features=features)
    assert (
        "feature 'seen': must not tell the label of task 'click' by itself, got an out-of-fold "
        "AUC of 1.0000" in str(error)
    )
    path = dataset(tmp_path, features=features, allow_leak=["seen"])
    assert len(prepare(load_dataset(path), data_dir=tmp_path / "data").schema.fields) == 4


def test_a_number_to_learn_must_differ_between_rows(tmp_path: Path) -> None:
    task = {"name": "spend", "label": "price", "kind": "regression"}
    error = refusal(
        tmp_path, text_of(lambda t: t.assign(price=0.1)), features=FEATURES[:1], tasks=[task]
    )
    assert (
        "task 'spend': must have numbers that differ in the training split, got the same number "
        "in all" in str(error)
    )
