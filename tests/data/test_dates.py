"""Times by one parser from every source, against Python's own calendar."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from automtl.data.prepare import prepare
from automtl.data.prepare.frames import as_table
from automtl.data.prepare.new_rows import Server
from automtl.data.raw.columns import Columns
from automtl.data.raw.sources import convert, read_pieces
from automtl.data.spec.dataset import Csv, load_dataset
from automtl.data.store import Store
from automtl.data.values.dates import as_times, check_format, forms_of, read_times
from automtl.errors import ConfigError, DataError
from tests.data.tables import FEATURES, dataset, frame

UTC = dt.UTC


def micros(*parts: int, offset: float = 0.0) -> int:
    zone = dt.timezone(dt.timedelta(hours=offset))
    return (dt.datetime(*parts, tzinfo=zone) - dt.datetime(1970, 1, 1, tzinfo=UTC)) // dt.timedelta(
        microseconds=1
    )  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("word", "form", "moment"),
    [
        ("2023-11-14", "ymd", micros(2023, 11, 14)),
        ("2023-11-14T10:05", "ymd", micros(2023, 11, 14, 10, 5)),
        ("2023-11-14 10:05:33.25", "ymd", micros(2023, 11, 14, 10, 5, 33, 250_000)),
        ("2023-11-14 10:05:33,250", "ymd", micros(2023, 11, 14, 10, 5, 33, 250_000)),
        ("2023-11-14T10:05:33.123456789Z", "ymd", micros(2023, 11, 14, 10, 5, 33, 123_456)),
        ("2023-11-14t10:05:33z", "ymd", micros(2023, 11, 14, 10, 5, 33)),
        ("2023-11-14 10:05:33 UTC", "ymd", micros(2023, 11, 14, 10, 5, 33)),
        ("2023-11-14 10:05:33.5 UTC", "ymd", micros(2023, 11, 14, 10, 5, 33, 500_000)),
        ("2023-11-14T10:05:33+08:00", "ymd", micros(2023, 11, 14, 10, 5, 33, offset=8)),
        ("2023-11-14 10:05:33 -0330", "ymd", micros(2023, 11, 14, 10, 5, 33, offset=-3.5)),
        ("2023-11-14 10:05:33+00", "ymd", micros(2023, 11, 14, 10, 5, 33)),
        ("2023/11/14", "ymd", micros(2023, 11, 14)),
        ("2023/1/4 9:05", "ymd", micros(2023, 1, 4, 9, 5)),
        ("2023.11.14", "ymd", micros(2023, 11, 14)),
        (" 2023-1-4 ", "ymd", micros(2023, 1, 4)),
        ("1969-12-31 23:59:59.5", "ymd", -500_000),
        ("14.11.2023", "dmy", micros(2023, 11, 14)),
        ("4.1.2023 10:05", "dmy", micros(2023, 1, 4, 10, 5)),
        ("29.2.2024", "dmy", micros(2024, 2, 29)),
        ("11/14/2023", "mdy", micros(2023, 11, 14)),
        ("11/1/2000 12:05:00 AM", "mdy", micros(2000, 11, 1, 0, 5)),
        ("1/4/2023 12:05:01 pm", "dmy", micros(2023, 4, 1, 12, 5, 1)),
        ("31-12-1999 23:00 UTC", "dmy", micros(1999, 12, 31, 23)),
        ("1700000000", "whole", 1_700_000_000),
        ("1700000000.0", "whole", 1_700_000_000),
        ("-5", "whole", -5),
        ("14 Nov 2023", "%d %b %Y", micros(2023, 11, 14)),
        ("20231114", "%Y%m%d", micros(2023, 11, 14)),
        (
            "Tue Nov 14 10:05:33 +0800 2023",
            "%a %b %d %H:%M:%S %z %Y",
            micros(2023, 11, 14, 10, 5, 33, offset=8),
        ),
        ("11/14/23 01:05 PM", "%m/%d/%y %I:%M %p", micros(2023, 11, 14, 13, 5)),
    ],
)
def test_words_are_moments(word: str, form: str, moment: int) -> None:
    assert read_times(pa.array([word, None]), form).to_pylist() == [moment, None]
    assert form.startswith("%") or form in forms_of(pa.array([word]))


@pytest.mark.parametrize(
    "word",
    [
        *(
            "29.2.2023",
            "13/13/2023",
            "2023-11/14",
            "1/4/2023 13:05 PM",
            "0/1/2023",
            "2023-11-14 25:00",
            "2023-11-14 10:60",
            "x",
            "",
        ),
        *("14/11/23", "1e9"),
    ],
)
def test_words_that_are_no_moments(word: str) -> None:
    assert forms_of(pa.array([word])) == set()


def test_every_day_of_a_century_in_every_order() -> None:
    days = [dt.date(1950, 1, 1) + dt.timedelta(days=i) for i in range(36_600)]
    expected = [(day - dt.date(1970, 1, 1)).days * 86_400_000_000 for day in days]
    for pattern, form in (
        ("{0}/{1}/{2}", "ymd"),
        ("{2}/{1}/{0}", "dmy"),
        ("{1}-{2}-{0}", "mdy"),
        ("{2}.{1}.{0} 0:00", "dmy"),
    ):
        words = pa.array([pattern.format(day.year, day.month, day.day) for day in days])
        assert forms_of(words) == {form}
        assert read_times(words, form).to_pylist() == expected


def test_offsets_throughout_or_nowhere() -> None:
    mixed = read_times(pa.array(["2023-11-14 10:00:00 UTC", "2023-11-14 10:00:00"]), "ymd")
    assert mixed.to_pylist() == [micros(2023, 11, 14, 10), None]


# --- from every source ---

# no zone, as in most tables
MOMENTS = [dt.datetime(2023, 11, 1, 10) + dt.timedelta(hours=7 * i) for i in range(600)]
WRITTEN = {
    "iso": "%Y-%m-%dT%H:%M:%S",
    "fractions": "%Y-%m-%d %H:%M:%S.%f",
    "slashes": "%Y/%m/%d %H:%M",
    "dots": "%d.%m.%Y %H:%M",
    "american": "%m/%d/%Y %I:%M %p",
    "british": "%d/%m/%Y %H:%M",
    "utc": "%Y-%m-%d %H:%M:%S UTC",
    "offset": "%Y-%m-%d %H:%M:%S+0000",
}
SETTINGS: dict[str, Any] = {
    "split": {"kind": "time", "column": "at"},
    "derived": [
        {"name": "hour", "what": "hour", "column": "at"},
        {"name": "weekday", "what": "weekday", "column": "at"},
    ],
    "features": [
        *FEATURES,
        {"name": "hour", "kind": "categorical"},
        {"name": "weekday", "kind": "categorical"},
    ],
}


def stored(folder: Path, table: pd.DataFrame | pa.Table, suffix: str, **settings: Any) -> Store:
    folder.mkdir(exist_ok=True)
    path = folder / f"rows{suffix}"
    whole = (
        pa.Table.from_pandas(table, preserve_index=False)
        if isinstance(table, pd.DataFrame)
        else table
    )
    if suffix == ".csv":
        whole.to_pandas().to_csv(path, index=False)
    elif suffix == ".jsonl":
        whole.to_pandas().to_json(path, orient="records", lines=True)
    else:
        pq.write_table(whole, path)
    return prepare(
        load_dataset(dataset(folder, files={"train": path.name}, **{**SETTINGS, **settings})),
        data_dir=folder / "data",
    )


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Store]:
    rows = frame(600).drop(columns="time")
    store = stored(tmp_path_factory.mktemp("typed"), rows.assign(at=MOMENTS), ".parquet")
    hours = store.vocabulary("hour")["word"].to_pylist()
    assert sorted(map(int, hours)) == list(range(24))
    return rows, store


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("name", sorted(WRITTEN))
def test_texts_are_the_times_that_they_say(
    tmp_path: Path, expected: tuple[pd.DataFrame, Store], name: str, suffix: str
) -> None:
    """Case B3: refused in Parquet and frames; slashes, dots and UTC refused in CSV, too."""
    rows, typed = expected
    written = [moment.strftime(WRITTEN[name]) for moment in MOMENTS]
    store = stored(tmp_path, rows.assign(at=written), suffix)
    for split in ("train", "validation", "test"):
        assert np.array_equal(store.rows(split).ids, typed.rows(split).ids)
    assert store.schema.times == {
        "at": {"american": "mdy", "british": "dmy", "dots": "dmy"}.get(name, "ymd")
    }


@pytest.mark.parametrize(
    ("kind", "days"),
    [
        (pa.date32(), True),
        (pa.date64(), True),
        (pa.timestamp("s"), False),
        (pa.timestamp("ms", "UTC"), False),
        (pa.timestamp("ns"), False),
    ],
)
def test_typed_times(
    tmp_path: Path, expected: tuple[pd.DataFrame, Store], kind: pa.DataType, days: bool
) -> None:
    rows, typed = expected
    values = pa.array([moment.date() if days else moment for moment in MOMENTS], kind)
    table = pa.Table.from_pandas(rows, preserve_index=False).append_column("at", values)
    store = stored(tmp_path, table, ".parquet")
    i = [field.name for field in store.schema.categorical].index("weekday")
    words = np.array(["", *store.vocabulary("weekday")["word"].to_pylist()])
    seen = np.concatenate(
        [words[store.rows(split).ids[:, i]] for split in ("train", "validation", "test")]
    )
    assert sorted(seen) == sorted(str(moment.weekday()) for moment in MOMENTS)
    if not days:
        assert store.schema.split_hash == typed.schema.split_hash


def test_nanoseconds_are_cut_and_other_types_refused() -> None:
    assert as_times(pa.array([1_234_567_891], pa.timestamp("ns"))).cast(pa.int64()).to_pylist() == [
        1_234_567
    ]
    assert as_times(pa.array([7.0, None, float("nan")])).to_pylist() == [7, None, None]
    for column, times in (
        (pa.array(["2023-11-14", None]), ["2023-11-14", ""]),
        (pa.array([5, 7]), [5, 7]),
    ):
        assert convert(column.dictionary_encode(), "time", Path("rows"), "at").to_pylist() == times
    for column in (
        pa.array([1.5]),
        pa.array([True]),
        pa.array([[1]]),
        pa.array([1], pa.duration("s")),
        pa.array([1], pa.time64("us")),
    ):
        with pytest.raises(pa.ArrowException):
            as_times(column)


def test_what_stands_first_is_proved_by_a_later_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first rows could be either; a row far below has a day above 12."""
    monkeypatch.setattr("automtl.data.raw.sources.BLOCK_BYTES", 2000)
    rows = frame(600).drop(columns="time")
    early = [f"{1 + i % 11}/{1 + i % 7}/2023" for i in range(599)]
    for last, form in (("1/28/2023", "mdy"), ("28/1/2023", "dmy")):
        store = stored(tmp_path / form, rows.assign(at=[*early, last]), ".csv")
        assert store.schema.times == {"at": form}
        days = {
            part: store.summary["rows"][part] for part in ("fit", "alpha", "validation", "test")
        }
        assert sum(days.values()) == 600
    with pytest.raises(DataError) as caught:
        stored(tmp_path / "either", rows.assign(at=[*early, "1/2/2023"]), ".csv")
    message = str(caught.value)
    assert "rows.csv: column 'at': must be dates that tell the day from the month, got '" in message
    assert message.endswith("say which comes first: times: {at: dmy} or {at: mdy}")
    for form, day in (("dmy", dt.date(2023, 1, 8)), ("mdy", dt.date(2023, 8, 1))):
        store = stored(
            tmp_path / "said",
            rows.assign(at="8/1/2023"),
            ".csv",
            times={"at": form},
            split={"kind": "random"},
        )
        assert store.vocabulary("weekday")["word"].to_pylist() == [str(day.weekday())]


def test_dates_that_prove_both_are_refused_with_the_row(tmp_path: Path) -> None:
    rows = frame(60).drop(columns="time").assign(at=["13/1/2023"] * 50 + ["1/13/2023"] * 10)
    with pytest.raises(
        DataError,
        match="row 51, column 'at': must hold dates or times, got '1/13/2023'; forms that are "
        "read: whole",
    ):
        stored(tmp_path, rows, ".csv")


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_formats_of_strptime(
    tmp_path: Path, expected: tuple[pd.DataFrame, Store], suffix: str
) -> None:
    rows, typed = expected
    for i, form in enumerate(("%d %b %Y %H:%M", "%Y%m%d%H")):
        written = pd.Series([moment.strftime(form) for moment in MOMENTS])
        if form == "%Y%m%d%H" and suffix == ".parquet":
            written = written.astype(int)
        store = stored(tmp_path / str(i), rows.assign(at=written), suffix, times={"at": form})
        assert np.array_equal(store.rows("test").ids, typed.rows("test").ids)
    with pytest.raises(
        DataError, match="row 1, column 'at': must be a time written as %d %m %Y, got '2023110110'"
    ):
        stored(tmp_path / "wrong", rows.assign(at=written), suffix, times={"at": "%d %m %Y"})


@pytest.mark.parametrize(
    ("times", "message"),
    [
        (
            {"at": "DD/MM/YYYY"},
            "times: at must be ymd, dmy, mdy, or a format with the signs of Python's strptime, "
            "as %d %b %Y; got 'DD",
        ),
        ({"at": "%Q"}, "times: at must be"),
        (
            {"price": "dmy"},
            "times: 'price' must be a column that is split by time, or one that derived columns "
            "are made of",
        ),
    ],
)
def test_formats_that_cannot_be_meant(tmp_path: Path, times: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_dataset(dataset(tmp_path, times=times, **SETTINGS))
    assert message in str(caught.value)


def test_orders_and_formats_are_known() -> None:
    for form in ("ymd", "dmy", "mdy", "%d.%m.%y", "%Y-%m-%dT%H:%M:%S.%f%z"):
        check_format(form, "x")


def test_missing_times_are_named(tmp_path: Path) -> None:
    rows = (
        frame(60).drop(columns="time").assign(at=["2023-11-14"] * 40 + [None] + ["2023-11-15"] * 19)
    )
    for suffix in (".csv", ".parquet"):
        with pytest.raises(
            DataError,
            match=f"rows{suffix}, row 41, column 'at': must have a time in every row, got none",
        ):
            stored(tmp_path / suffix, rows, suffix)


def test_times_of_a_side_table(tmp_path: Path) -> None:
    rows = frame(600).drop(columns="time")
    users = pd.DataFrame(
        {"user": range(40), "at": [f"{1 + i % 12}/{1 + i % 28}/2023" for i in range(40)]}
    )
    users.to_csv(tmp_path / "users.csv", index=False)
    settings = {"joins": [{"file": "users.csv", "on": "user"}], "split": {"kind": "random"}}
    store = stored(tmp_path, rows, ".csv", **settings)
    i = [field.name for field in store.schema.categorical].index("weekday")
    words = np.array(["", *store.vocabulary("weekday")["word"].to_pylist()])
    seen = np.concatenate(
        [words[store.rows(split).ids[:, i]] for split in ("train", "validation", "test")]
    )
    assert sorted(seen) == sorted(
        str(dt.date(2023, 1 + user % 12, 1 + user % 28).weekday()) for user in rows["user"]
    )


def test_new_rows_are_read_as_the_training_rows_were(tmp_path: Path) -> None:
    """Also where the new rows alone would not tell day from month; typed times and dates with their
    year in front are the same moments.
    """
    rows = frame(600).drop(columns="time")
    store = stored(
        tmp_path, rows.assign(at=[moment.strftime("%d/%m/%Y %H:%M") for moment in MOMENTS]), ".csv"
    )
    config = load_dataset(tmp_path / "toy.yaml")
    server, new = Server(store, config, say=print), rows.head(20)
    moments = pd.Series([dt.datetime(2024, 2, 1 + i // 2, i) for i in range(20)])
    forms = [
        moments,
        moments.dt.strftime("%d/%m/%Y %H:%M"),
        moments.dt.strftime("%Y-%m-%d %H:%M"),
        moments.dt.date,
    ]
    ids = [
        np.concatenate([part.rows.ids for part in server.table(as_table(new.assign(at=at)), ())])
        for at in forms
    ]
    assert (ids[0] == ids[1]).all() and (ids[0] == ids[2]).all() and not (ids[0] == ids[3]).all(), (
        "days alone have other hours"
    )
    with pytest.raises(
        DataError,
        match="rows, row 1, column 'at': must hold dates or times throughout, got 1706745600",
    ):
        list(server.table(as_table(new.assign(at=1_706_745_600)), ()))
    with pytest.raises(
        DataError, match="rows, row 3, column 'at': must hold dates or times, got 'soon'"
    ):
        list(server.table(as_table(new.assign(at=["01/02/2024 10:00"] * 2 + ["soon"] * 18)), ()))


def test_whole_numbers_stay_whole_numbers(tmp_path: Path) -> None:
    """A column of seconds some pieces of which cannot be told from floats, and dates among them."""
    path = tmp_path / "rows.csv"
    path.write_text("at\n" + "1700000000\n" * 5 + "1700000001.0\n" * 5)
    pieces = [
        Columns(piece._replace(times={"at": "whole"})).times("at")
        for piece in read_pieces([path], {"at": "time"}, Csv())
    ]
    assert np.concatenate(pieces).tolist() == [1_700_000_000] * 5 + [1_700_000_001] * 5
    path.write_text("at\n" + "1700000000\n" * 5 + "2023-11-14\n")
    with pytest.raises(
        DataError, match="row 6, column 'at': must hold whole numbers, as times, got '2023-11-14'"
    ):
        for piece in read_pieces([path], {"at": "time"}, Csv()):
            Columns(piece._replace(times={"at": "whole"})).times("at")
