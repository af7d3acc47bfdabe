"""Files with and without a header, against what the data set says of them; rows to predict on
without the columns that no model reads.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automtl.data.prepare import prepare
from automtl.data.prepare.new_rows import Server
from automtl.data.raw._headers import narrowed
from automtl.data.spec.dataset import load_dataset
from automtl.errors import DataError
from tests.data.tables import dataset, frame

COLUMNS = ["user", "tag", "price", "is_click", "is_buy", "time"]


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    return frame(500)[COLUMNS]


def served(
    folder: Path, rows: pd.DataFrame, columns: list[str], new: str, **settings: Any
) -> tuple[np.ndarray, np.ndarray, list[str]]:
    """Ids and numbers of new rows, encoded by a store of headerless training rows; and what was
    said of them.
    """
    (folder / "rows.csv").write_text(rows[columns].to_csv(index=False, header=False))
    config = load_dataset(dataset(folder, csv={"columns": columns}, **settings))
    store = prepare(config, data_dir=folder / "data")
    (folder / "new.csv").write_text(new)
    said: list[str] = []
    parts = list(Server(store, config, say=said.append).files(folder / "new.csv", ()))
    return (
        np.concatenate([part.rows.ids for part in parts]),
        np.concatenate([part.rows.dense for part in parts]),
        said,
    )


def test_a_file_with_a_header_among_headerless_ones(tmp_path: Path, rows: pd.DataFrame) -> None:
    """Case A9: the header was scored as a row."""
    plain = served(tmp_path, rows, COLUMNS, rows.to_csv(index=False, header=False))
    headed = served(tmp_path, rows, COLUMNS, rows.to_csv(index=False))
    assert len(headed[0]) == len(rows)
    assert [(a == b).all() for a, b in zip(plain[:2], headed[:2], strict=True)] == [True, True]
    assert (
        "new.csv: its first row holds names of csv.columns and is taken as its header" in headed[2]
    )
    turned = served(
        tmp_path, rows, COLUMNS, rows[COLUMNS[::-1]].rename(columns=str.upper).to_csv(index=False)
    )
    assert (turned[0] == plain[0]).all(), (
        "the names say which column is which, in any order and in capitals"
    )


def test_rows_without_labels(tmp_path: Path, rows: pd.DataFrame) -> None:
    """Case A9: refused against the docs. The columns are told apart by their number, where that can
    be done in one way only.
    """
    columns = ["user", "tag", "price", "is_click", "is_buy"]
    whole = served(tmp_path, rows, columns, rows[columns].to_csv(index=False, header=False))
    bare = served(
        tmp_path, rows, columns, rows[["user", "tag", "price"]].to_csv(index=False, header=False)
    )
    assert (whole[0] == bare[0]).all() and (whole[1] == bare[1]).all()
    one = served(
        tmp_path,
        rows,
        columns,
        rows[["user", "tag", "price", "is_buy"]].to_csv(index=False, header=False),
    )
    assert (whole[0] == one[0]).all()
    named = served(tmp_path, rows, columns, rows[["price", "tag", "user"]].to_csv(index=False))
    assert (whole[0] == named[0]).all() and (whole[1] == named[1]).all()


def test_rows_that_could_be_read_in_several_ways_are_refused(
    tmp_path: Path, rows: pd.DataFrame
) -> None:
    columns = ["is_click", "user", "tag", "price", "is_buy"]
    with pytest.raises(DataError) as caught:
        served(
            tmp_path,
            rows,
            columns,
            rows[["user", "tag", "price", "is_buy"]].to_csv(index=False, header=False),
        )
    assert (
        "must have the 5 columns of csv.columns (is_click, user, tag, price, is_buy), got 4 in "
        "its first row" in str(caught.value)
    )
    assert str(caught.value).endswith(
        "which could be several of them; write their names above them"
    )
    bare = served(
        tmp_path, rows, columns, rows[["user", "tag", "price"]].to_csv(index=False, header=False)
    )
    assert len(bare[0]) == len(rows), "without any of the others there is one way again"


@pytest.mark.parametrize(
    ("columns", "needed", "width", "found"),
    [
        ("abcde", "abc", 3, "abc"),
        ("abcde", "abc", 4, "abcd"),
        ("abcde", "abc", 5, "abcde"),
        ("abcde", "cde", 4, "acde"),
        ("abcde", "bcd", 4, None),  # a or e
        ("abcde", "bcd", 3, "bcd"),
        ("abcde", "abc", 2, None),
        ("abcde", "abc", 6, None),
        ("abcde", "", 2, "ab"),
    ],
)
def test_which_columns_are_there(columns: str, needed: str, width: int, found: str | None) -> None:
    assert narrowed(tuple(columns), set(needed), width) == (None if found is None else tuple(found))


def test_a_header_of_other_names_is_not_a_row(tmp_path: Path, rows: pd.DataFrame) -> None:
    other = rows.rename(columns=lambda name: f"the_{name}").to_csv(index=False)
    with pytest.raises(DataError) as caught:
        served(tmp_path, rows, COLUMNS, other)
    message = str(caught.value)
    assert (
        "new.csv: must have no header where csv.columns is given, got a first row of words, "
        "'the_user,the_tag,the_price," in message
    )
    assert (
        "take csv.columns out, so that the first row names the columns, or remove that row"
        in message
    )


def test_first_rows_that_are_no_headers(tmp_path: Path, rows: pd.DataFrame) -> None:
    """A missing number in the first row, a word for it, and a table of words alone."""
    table = rows.astype(object)
    table.loc[0] = ["new", "a", "NA", "", "", ""]
    ids, dense, _ = served(tmp_path, rows, COLUMNS, table.to_csv(index=False, header=False))
    assert len(ids) == len(rows)
    assert ids[0, 0] == 0 and dense[0, 0] == 0
    assert (
        served(tmp_path, rows, COLUMNS, rows.to_csv(index=False, header=False))[0][1:] == ids[1:]
    ).all()


def test_a_headerless_file_where_a_header_is_expected(tmp_path: Path, rows: pd.DataFrame) -> None:
    (tmp_path / "rows.csv").write_text(rows.fillna(1).to_csv(index=False, header=False))
    with pytest.raises(
        DataError, match="is the first row one of data\\? then name the columns in csv.columns"
    ):
        prepare(load_dataset(dataset(tmp_path)), data_dir=tmp_path / "data")
