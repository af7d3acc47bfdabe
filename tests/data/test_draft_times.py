"""Drafts of tables with dates and times: how they are written, and whether the rows are split by
them.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from tests.data.drafts import CLICKS, clicks, csv, drafted, parquet, roles


def test_dates_however_they_are_written(tmp_path: Path) -> None:
    g, table = np.random.default_rng(0), clicks()
    days = pd.to_datetime("2000-11-01") + pd.to_timedelta(g.integers(0, 100, 800), unit="D")
    forms = {
        "iso": "%Y-%m-%d",
        "us": "%m/%d/%Y",
        "dots": "%d.%m.%Y",
        "slashes": "%Y/%m/%d",
        "clock": "%Y-%m-%d %H:%M:%S",
    }
    forms["digits"] = "%Y%m%d"
    for name, form in forms.items():
        dated = table.drop(columns="time").assign(**{name: days.strftime(form)})
        for path in (csv(tmp_path, dated), parquet(tmp_path, dated)):
            text, content, store = drafted(path)
            assert roles(content) == CLICKS
            assert content["split"] == {
                "kind": "time",
                "column": name,
                "train": 0.8,
                "validation": 0.1,
                "test": 0.1,
            }
            assert "times" not in content
            assert len(store.rows("test")) == (days >= np.sort(days)[720]).sum()
    typed = table.drop(columns="time").assign(
        day=days.date, at=days.to_numpy() + pd.to_timedelta(g.integers(0, 86400, 800), unit="s")
    )
    _, content, _ = drafted(parquet(tmp_path, typed))
    assert roles(content) == CLICKS
    assert content["split"]["column"] == "at"


def test_dates_whose_day_and_month_could_be_either(tmp_path: Path) -> None:
    g = np.random.default_rng(0)
    table = clicks().assign(
        time=[
            f"{month}/{day}/2023"
            for month, day in zip(g.integers(5, 7, 800), g.integers(1, 13, 800), strict=True)
        ]
    )
    text, content, _ = drafted(csv(tmp_path, table))
    assert content["times"] == {"time": "mdy"}, "two months, and not a year's"
    assert "# day and month could be either: or dmy" in text
    assert roles(content) == CLICKS


def test_a_time_that_cannot_split_the_rows_does_not(tmp_path: Path) -> None:
    table = clicks()
    days = table.assign(time=[f"2024-03-0{day}" for day in np.arange(800) % 3 + 1])
    text, content, _ = drafted(csv(tmp_path, days))
    assert content["split"]["kind"] == "random"
    assert "# time has too few times to split by" in text
    holes = table.assign(time=table["time"].where(table["time"] % 7 > 0).astype("Int64"))
    _, content, _ = drafted(csv(tmp_path, holes))
    assert content["split"]["kind"] == "random"
    born = table.drop(columns="time").assign(
        birth_date=pd.to_datetime(table["time"], unit="s").dt.strftime("%Y-%m-%d")
    )
    _, content, _ = drafted(csv(tmp_path, born))
    assert content["split"]["kind"] == "random"
    assert roles(content) == CLICKS
