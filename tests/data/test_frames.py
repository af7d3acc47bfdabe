"""Rows in memory: of any kind one table; a DataFrame as a data set is written down once, the same
store as its CSV.
"""

import datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from automtl.data.prepare import prepare
from automtl.data.prepare.frames import as_table, keep_frame
from automtl.data.spec.dataset import load_dataset
from automtl.data.values.text_columns import as_text
from automtl.errors import ConfigError, DataError
from tests.data.tables import FEATURES, TASKS, frame, prepared

SETTINGS = {"name": "toy", "features": FEATURES, "tasks": TASKS}


def test_a_frame_is_prepared_as_its_csv(tmp_path: Path) -> None:
    path = keep_frame(frame(), SETTINGS, data_dir=tmp_path)
    store = prepare(load_dataset(path), data_dir=tmp_path)
    assert store.schema == prepared(tmp_path / "csv", frame()).schema
    assert keep_frame(frame(), SETTINGS, data_dir=tmp_path) == path
    assert (
        keep_frame(frame(), load_dataset(path), data_dir=tmp_path).parent.parent
        == path.parent.parent
    )
    assert keep_frame(frame(seed=1), SETTINGS, data_dir=tmp_path) != path
    assert not any(p.name.startswith(".") for p in path.parent.parent.iterdir())


def test_frames_that_cannot_be_kept(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match="column 'user': must hold numbers, texts, times, or lists of them"
    ):
        keep_frame(pd.DataFrame({"user": [1, "a", object()]}), SETTINGS, data_dir=tmp_path)
    with pytest.raises(
        ConfigError,
        match="data set of a DataFrame: .*features must be given|features must be given",
    ):
        keep_frame(frame(), {"name": "toy", "tasks": TASKS}, data_dir=tmp_path)


def test_errors_do_not_name_the_file_that_the_rows_are_kept_in(tmp_path: Path) -> None:
    """Case B3: the place named was a hidden file of the cache."""
    for column, value, message in (
        ("price", "cheap", "must be a number"),
        ("time", "soon", "must hold dates or times"),
    ):
        rows = frame(50).astype({column: object})
        rows.loc[6, column] = value
        settings = {**SETTINGS, "split": {"kind": "time", "column": "time"}}
        if column == "time":
            rows["time"] = ["2023-11-14"] * 6 + ["soon"] + ["2023-11-15"] * 43
        with pytest.raises(DataError) as caught:
            prepare(load_dataset(keep_frame(rows, settings, data_dir=tmp_path)), data_dir=tmp_path)
        assert str(caught.value).startswith(
            f"rows, row 7, column '{column}': {message}, got '{value}'"
        )
    with pytest.raises(DataError, match="^rows: must have the column 'tag'"):
        prepare(
            load_dataset(keep_frame(frame(50).drop(columns="tag"), SETTINGS, data_dir=tmp_path)),
            data_dir=tmp_path,
        )


KINDS = {
    "pandas": pd.DataFrame({"a": [1, 2], "b": ["x", None]}),
    "arrow": pa.table({"a": [1, 2], "b": ["x", None]}),
    "batch": pa.record_batch({"a": pa.array([1, 2]), "b": pa.array(["x", None])}),
    "dicts": [{"a": 1, "b": "x"}, {"a": 2}],
    "columns": {"a": np.array([1, 2]), "b": ["x", None]},
    "series": {"a": pd.Series([1, 2]), "b": pa.chunked_array([["x"], [None]])},
}


@pytest.mark.parametrize("rows", KINDS.values(), ids=KINDS)
def test_rows_of_any_kind_are_one_table(rows: object) -> None:
    assert as_table(rows).to_pydict() == {"a": [1, 2], "b": ["x", None]}


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([2**53 + 1, None, float("nan")], ["9007199254740993", "", ""]),
        ([2**53 + 1, 0.5], ["9007199254740993", "0.5"]),
        ([2**64, 1], ["18446744073709551616", "1"]),
        ([1, "a", b"b", True, 2.0, Decimal("1.50")], ["1", "a", "b", "true", "2", "1.5"]),
        ([True, 1, None, pd.NA], ["true", "1", "", ""]),
        (
            [datetime.date(2023, 11, 14), datetime.datetime(2023, 11, 14, 9, 30), pd.NaT],
            ["2023-11-14", "2023-11-14 09:30:00", ""],
        ),
        ([np.float32(0.1), np.int8(7)], ["0.1", "7"]),
        ([], []),
    ],
)
def test_values_of_several_types_keep_their_own_texts(
    values: list[object], texts: list[str]
) -> None:
    for rows in ({"a": values}, pd.DataFrame({"a": pd.Series(values, dtype=object)})):
        column = as_table(rows)["a"].combine_chunks()
        assert as_text(column).to_pylist() == texts
    if values:
        (lists,) = as_table([{"a": values}])["a"].to_pylist()
        assert len(lists) == len(values)


@pytest.mark.parametrize("rows", ["rows", 7, [1, 2], {"a": 1}, None, ["ab"]])
def test_what_is_no_table_is_refused(rows: object) -> None:
    with pytest.raises(
        ConfigError,
        match="rows: must be a DataFrame of pandas or polars, an Arrow table, a list of dicts or "
        "a dict",
    ):
        as_table(rows)


def test_columns_of_other_lengths_or_without_a_type_are_refused() -> None:
    with pytest.raises(DataError, match="rows: must have columns of one length, got a 2, b 1"):
        as_table({"a": [1, 2], "b": [1]})
    with pytest.raises(
        DataError,
        match="rows: row 1, column 'a': must hold numbers, texts, times, or lists of them",
    ):
        as_table({"a": [object()]})
