"""A column of times that mixes units is refused with a row of each; numbers that only look like it
are not.
"""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.errors import DataError
from tests.data.tables import dataset, frame, prepared

SPLIT = {"kind": "time", "column": "time"}
SECONDS = 1_650_000_000


def timed(rows: int, unit: int) -> pd.DataFrame:
    return frame(rows).assign(time=lambda t: (SECONDS + np.arange(len(t)) * 60) * unit)


@pytest.mark.parametrize(
    ("one", "other"),
    [((1, "seconds"), (1000, "milliseconds")), ((1000, "milliseconds"), (10**6, "microseconds"))],
)
def test_two_units_in_one_column(
    tmp_path: Path, one: tuple[int, str], other: tuple[int, str]
) -> None:
    table = timed(300, one[0])
    table.loc[41, "time"] = table.loc[41, "time"] // one[0] * other[0]
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, table, split=SPLIT)
    message = str(caught.value)
    assert "column 'time': must hold times in one unit, got " in message
    assert f"{table['time'][0]} in {tmp_path}/rows.csv, row 1 (one of 299 in {one[1]}), " in message
    assert (
        f"{table['time'][41]} in {tmp_path}/rows.csv, row 42 (one of 1 in {other[1]}); bring "
        "all rows to one unit" in message
    )
    assert not any((tmp_path / "data/prepared").rglob("*"))


@pytest.mark.parametrize("parquet", [False, True])
def test_two_files_of_two_units(tmp_path: Path, parquet: bool) -> None:
    path = dataset(tmp_path, split=SPLIT, files={"train": "rows-*"})
    for name, unit in (("a", 1), ("b", 1000)):
        table = timed(200, unit)
        table.to_parquet(tmp_path / f"rows-{name}.parquet") if parquet else table.to_csv(
            tmp_path / f"rows-{name}.csv", index=False
        )
    with pytest.raises(
        DataError,
        match=r"rows-a\.\w+, row 1 \(one of 200 in seconds\), .*rows-b\.\w+, row 1 \(.* in milli",
    ):
        prepare(load_dataset(path), data_dir=tmp_path / "data")


def test_dates_beside_numbers(tmp_path: Path) -> None:
    path = dataset(tmp_path, split=SPLIT, files={"train": "rows-*.csv"})
    timed(200, 1).to_csv(tmp_path / "rows-a.csv", index=False)
    dates = timed(200, 1).assign(time=lambda t: pd.to_datetime(t["time"], unit="s"))
    dates.to_csv(tmp_path / "rows-b.csv", index=False)
    with pytest.raises(
        DataError,
        match=r"rows-b.csv, row 1, column 'time': must hold whole numbers, as times, got '2022-",
    ):
        prepare(load_dataset(path), data_dir=tmp_path / "data")


@pytest.mark.parametrize(
    "times",
    [
        np.arange(300) * 10**10,  # a counter that passes through seconds and milliseconds
        np.where(np.arange(300) % 9, SECONDS + np.arange(300), 0),  # 0 for missing
        # the year 9999 for never
        np.where(np.arange(300) % 99, SECONDS + np.arange(300), 253_402_300_799),
        np.arange(300),
    ],
)
def test_other_numbers_order_rows_as_they_are(tmp_path: Path, times: np.ndarray) -> None:
    assert (
        sum(prepared(tmp_path, frame(300).assign(time=times), split=SPLIT).summary["rows"].values())
        == 300
    )
