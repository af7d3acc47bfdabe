"""Rows that people write in other ways than the training file had them: the same ids; words for a
missing value, by role.
"""

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from automtl.data.describe import describe
from automtl.data.prepare import prepare
from automtl.data.prepare.frames import as_table
from automtl.data.prepare.new_rows import Server
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from automtl.data.store.id_lists import Lists
from automtl.data.values.forms import MISSING_IDS, MISSING_NUMBERS
from automtl.errors import ConfigError, DataError
from tests.data.tables import dataset, prepared

ROWS = 400
FEATURES = [
    *(
        {"name": name, "kind": "categorical"}
        for name in ("user_id", "zip", "vip", "day", "size", "code", "new")
    ),
    {"name": "price", "kind": "numeric"},
    {"name": "tags", "kind": "multi"},
]
TASKS = [{"name": "click", "label": "clicked"}]


def rows(seed: int = 0) -> pd.DataFrame:
    g = np.random.default_rng(seed)
    days = pd.to_datetime("2023-11-01") + pd.to_timedelta(g.integers(0, 9, ROWS), unit="D")
    return pd.DataFrame(
        {
            "user_id": g.integers(0, 60, ROWS),
            "zip": [f"{zip_code:05}" for zip_code in g.choice([501, 2134, 10001, 94110], ROWS)],
            "new": g.integers(0, 2, ROWS),
            "vip": g.integers(0, 2, ROWS).astype(bool),
            "day": days.strftime("%Y-%m-%d"),
            "size": g.choice([0.5, 1.25, 2.0], ROWS),
            "code": g.choice(["007", "1.10", "1e5", "NA", "?"], ROWS),
            "price": g.gamma(2, 10, ROWS).round(2),
            "tags": [",".join(map(str, g.choice(8, 2, replace=False))) for _ in range(ROWS)],
            "clicked": g.integers(0, 2, ROWS),
        }
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    folder = tmp_path_factory.mktemp("spellings")
    return prepared(folder, rows(), features=FEATURES, tasks=TASKS), folder


def encoded(
    trained: tuple[Store, Path], table: Any, said: list[str] | None = None
) -> tuple[np.ndarray, tuple[Lists, ...]]:
    """The ids of rows to predict on: of a path, or of rows in memory."""
    store, folder = trained
    server = Server(
        store, load_dataset(folder / "toy.yaml"), say=(said if said is not None else []).append
    )
    (part,) = (
        list(server.files(table, ()))
        if isinstance(table, Path)
        else list(server.table(as_table(table), ()))
    )
    return part.rows.ids, part.rows.lists


def test_the_forms_of_the_training_words(trained: tuple[Store, Path]) -> None:
    fields = {field.name: (field.form, field.digits) for field in trained[0].schema.id_fields}
    assert fields == {
        "user_id": ("whole", 0),
        "zip": ("fixed", 5),
        "vip": ("truth", 0),
        "day": ("text", 0),
        "size": ("float", 0),
        "code": ("text", 0),
        "new": ("bit", 0),
        "tags": ("whole", 0),
    }


Change = Callable[[pd.DataFrame], Any]
SPELLINGS: dict[str, Change] = {
    "as they are": lambda t: t,
    "users as floats": lambda t: t.astype({"user_id": float}),
    "users as float32": lambda t: t.astype({"user_id": "float32"}),
    "users as texts with blanks": lambda t: t.assign(user_id=" " + t["user_id"].astype(str)),
    "users as 7.0": lambda t: t.assign(user_id=t["user_id"].astype(float).astype(str)),
    "users as categories": lambda t: t.astype({"user_id": "category"}),
    "users as Int64": lambda t: t.astype({"user_id": "Int64"}),
    "users as objects": lambda t: t.astype({"user_id": object}),
    "users as int8": lambda t: t.astype({"user_id": "int8"}),
    "users as uint64": lambda t: t.astype({"user_id": "uint64"}),
    "zip codes as numbers": lambda t: t.assign(zip=t["zip"].astype(int)),
    "zip codes as floats": lambda t: t.assign(zip=t["zip"].astype(float)),
    "zip codes without zeros": lambda t: t.assign(zip=t["zip"].str.lstrip("0")),
    "0 and 1 as truth": lambda t: t.assign(new=t["new"].astype(bool)),
    "0 and 1 as TRUE": lambda t: t.assign(new=t["new"].astype(bool).astype(str).str.upper()),
    "truth as 0 and 1": lambda t: t.assign(vip=t["vip"].astype(int)),
    "truth as 0.0 and 1.0": lambda t: t.assign(vip=t["vip"].astype(float)),
    "truth as TRUE": lambda t: t.assign(vip=t["vip"].astype(str).str.upper()),
    "truth as true": lambda t: t.assign(vip=t["vip"].astype(str).str.lower()),
    "truth as objects": lambda t: t.astype({"vip": object}),
    "truth as boolean": lambda t: t.astype({"vip": "boolean"}),
    "days as timestamps": lambda t: t.assign(day=pd.to_datetime(t["day"])),
    "days as UTC": lambda t: t.assign(day=pd.to_datetime(t["day"]).dt.tz_localize("UTC")),
    "days as dates": lambda t: t.assign(day=pd.to_datetime(t["day"]).dt.date),
    "days as midnight": lambda t: t.assign(day=t["day"] + "T00:00:00.000Z"),
    "sizes as float32": lambda t: t.astype({"size": "float32"}),
    "sizes with zeros": lambda t: t.assign(size=t["size"].map("{:.3f}".format)),
    "codes as bytes": lambda t: t.assign(code=[word.encode() for word in t["code"]]),
    "tags as lists": lambda t: t.assign(
        tags=[list(map(int, text.split(","))) for text in t["tags"]]
    ),
    "tags as lists of floats": lambda t: t.assign(
        tags=[list(map(float, text.split(","))) for text in t["tags"]]
    ),
    "tags as tuples of mixed values": lambda t: t.assign(
        tags=[(int(text[0]), text[2], None) for text in t["tags"]]
    ),
    "dicts": lambda t: t.to_dict("records"),
    "columns": lambda t: t.to_dict("list"),
}


@pytest.mark.parametrize("change", SPELLINGS.values(), ids=SPELLINGS)
def test_another_spelling_has_the_same_ids(
    trained: tuple[Store, Path], change: Change, tmp_path: Path
) -> None:
    new, said = rows(seed=1), list[str]()
    new.to_csv(tmp_path / "plain.csv", index=False)
    ids, lists = encoded(trained, tmp_path / "plain.csv")
    assert (ids > 0).all() and all(np.diff(tags.offsets).min() == 2 for tags in lists)
    other = change(new.drop(columns="clicked"))
    found, values = encoded(trained, other, said)
    np.testing.assert_array_equal(found, ids)
    assert [tags.values.tolist() for tags in values] == [tags.values.tolist() for tags in lists]
    assert said == []
    # Parquet has no columns of several types
    if isinstance(other, pd.DataFrame) and not isinstance(other["tags"][0], tuple):
        other.to_parquet(tmp_path / "other.parquet")
        np.testing.assert_array_equal(encoded(trained, tmp_path / "other.parquet")[0], ids)


def test_one_missing_user_makes_no_other_unknown(
    trained: tuple[Store, Path], tmp_path: Path
) -> None:
    new = rows(seed=1)
    ids, _ = encoded(trained, new)
    holes = new.assign(
        user_id=new["user_id"].where(new.index != 5), vip=new["vip"].where(new.index != 7)
    )
    holes.to_csv(tmp_path / "in.csv", index=False)  # 7.0, and True beside nothing
    ids[5, 0] = ids[7, 2] = 0
    for source in (tmp_path / "in.csv", holes):
        np.testing.assert_array_equal(encoded(trained, source)[0], ids)


def test_unknown_ids_are_told_loudly_where_they_are_many(trained: tuple[Store, Path]) -> None:
    said: list[str] = []
    encoded(
        trained,
        rows(seed=1)
        .drop(columns="clicked")
        .assign(user_id=lambda t: t["user_id"].where(t.index % 10 > 0, -1), code=1),
        said,
    )
    assert said == [
        "rows without an id that the training rows have: user_id 10.0%, code 100.0%",
        "WARNING: 100.0% of the rows have no id of 'code' that the training rows have (0.0% "
        "there): "
        "is it the same column, written the same way?",
    ]


def test_a_test_part_in_another_spelling_is_told(tmp_path: Path) -> None:
    rows().to_csv(tmp_path / "rows.csv", index=False)
    rows(seed=1).assign(code=lambda t: "x" + t["code"]).to_csv(tmp_path / "test.csv", index=False)
    files = {"train": "rows.csv", "test": "test.csv"}
    path, said = (
        dataset(tmp_path, features=FEATURES, tasks=TASKS, files=files, split={"kind": "files"}),
        list[str](),
    )
    store = prepare(load_dataset(path), data_dir=tmp_path / "data", progress=said.append)
    assert next(line for line in said if "WARNING" in line).startswith(
        "WARNING: 100.0% of the test rows have no id of 'code'"
    )
    shares = {field["name"]: field.get("unknown_share") for field in describe(store)["fields"]}
    assert shares["code"] == {"train": 0.0, "validation": 0.0, "test": 1.0}
    assert shares["price"] is None


@pytest.mark.parametrize("form", ["csv", "parquet"])
@pytest.mark.parametrize("word", ["True", "true", "TRUE"])
def test_where_knows_truth_in_any_spelling(tmp_path: Path, form: str, word: str) -> None:
    table = rows()
    tasks = [{**TASKS[0], "where": f"vip == '{word}' and zip != '02134'"}]
    path = dataset(tmp_path, features=FEATURES, tasks=tasks, files={"train": f"rows.{form}"})
    table.to_csv(tmp_path / "rows.csv", index=False) if form == "csv" else table.to_parquet(
        tmp_path / "rows.parquet"
    )
    counts = prepare(load_dataset(path), data_dir=tmp_path / "data").summary["tasks"]["click"][
        "labelled"
    ]
    assert sum(counts.values()) == (table["vip"] & (table["zip"] != "02134")).sum() > 50


def test_keys_of_side_tables_in_another_spelling(tmp_path: Path) -> None:
    table = rows().assign(user_id=lambda t: t["user_id"].where(t.index > 0))  # 7.0
    side = pd.DataFrame(
        {
            "user_id": [*map(str, range(60)), "", "NaN"],
            "age": [f"{i}" if i % 3 else "NA" for i in range(60)] + ["1", "2"],
        }
    )
    side.to_csv(tmp_path / "side.csv", index=False)
    features = [{"name": "age", "kind": "numeric"}]
    store = prepared(
        tmp_path,
        table,
        features=features,
        tasks=TASKS,
        joins=[{"file": "side.csv", "on": "user_id"}],
    )
    expected = table["user_id"].where(table["user_id"] % 3 > 0)
    (age,) = store.schema.fields
    found = (
        np.concatenate([store.rows(split).dense[:, 0] for split in ("train", "validation", "test")])
        * age.std
        + age.mean
    )
    np.testing.assert_allclose(np.sort(found), np.sort(expected.fillna(age.mean)), rtol=1e-5)


LABELS = [
    {"name": "binary", "label": "b"},
    {"name": "classes", "label": "k", "kind": "multiclass"},
    {"name": "value", "label": "v", "kind": "regression"},
]


def test_missing_words_by_role(tmp_path: Path) -> None:
    """Every word in every role; what is missing in numbers and labels is a word among ids, but for
    five.
    """
    words = [*MISSING_NUMBERS, " ", "1"]
    table = pd.DataFrame({"word": words * 30})
    table = table.assign(
        **dict.fromkeys(["number", "v", "k", "b", "group"], table["word"]),
        list="a|" + table["word"],
    )
    table["row"] = table.index
    table.loc[::2, ["k", "b"]] = table.loc[::2, ["k", "b"]].replace("1", "0")
    table.loc[::2, "v"] = table.loc[::2, "v"].replace("1", "2")
    features = [
        {"name": "word", "kind": "categorical"},
        {"name": "list", "kind": "multi", "separator": "|"},
        {"name": "number", "kind": "numeric"},
    ]
    config = {
        "features": features,
        "tasks": LABELS,
        "keep": ["group"],
        "allow_leak": ["word", "list", "number"],
    }
    config["split"] = {"kind": "random", "column": "row"}
    store = prepared(tmp_path, table, **config)
    kept = sorted({*MISSING_NUMBERS, "1"} - {*MISSING_IDS})
    assert sorted(store.vocabulary("word")["word"].to_pylist()) == kept
    assert sorted(store.vocabulary("list")["word"].to_pylist()) == sorted([*kept, "a"])
    assert sorted(store.kept_words("group")["word"].to_pylist()) == kept
    tasks = store.summary["tasks"]
    assert {name: sum(tasks[name]["labelled"].values()) for name in tasks} == {
        "binary": 30,
        "classes": 30,
        "value": 30,
    }
    assert store.schema.tasks[1].class_names == ("0", "1")
    missing = describe(store)["missing_words"]
    numbers = dict.fromkeys(MISSING_NUMBERS, 30) | {"": 60}
    assert missing["number"] == missing["b"] == missing["k"] == missing["v"] == numbers
    assert missing["word"] == missing["group"] == dict.fromkeys(MISSING_IDS, 30) | {"": 60}


@pytest.mark.parametrize("word", ["", "NA", "None", "-", "?"])
def test_weights_and_times_must_be_there(tmp_path: Path, word: str) -> None:
    table = rows().assign(
        weight=[*["1"] * 9, word, *["1"] * 390],
        time=[*map(str, range(9)), word, *map(str, range(390))],
    )
    for name, config, rule in (
        (
            "a",
            {"tasks": [{**TASKS[0], "sample_weight": "weight"}]},
            "column 'weight': must be a weight of at least 0, got nan",
        ),
        (
            "b",
            {"split": {"kind": "time", "column": "time"}, "tasks": TASKS},
            "column 'time': must have a time in every row, got none",
        ),
    ):
        with pytest.raises(DataError) as caught:
            prepared(tmp_path / name, table, features=FEATURES, **config)
        assert f"rows.csv, row 10, {rule}" in str(caught.value)


@pytest.mark.parametrize("typed", [False, True])
def test_null_values_replace_the_words(tmp_path: Path, typed: bool) -> None:
    """-1 is missing, NA and ? are words: in ids, lists, numbers and labels, in CSV and in typed
    columns.
    """
    table = rows().assign(
        code=lambda t: t["code"].where(t.index % 2 > 0, "-1"),
        user_id=lambda t: t["user_id"].where(t.index % 4 > 0, -1),
    )
    table = table.assign(
        price=table["price"].where(table.index % 5 > 0, -1),
        clicked=table["clicked"].where(table.index % 8 > 0, -1),
    )
    files = {"train": "rows.parquet" if typed else "rows.csv"}
    path = dataset(
        tmp_path, csv={"null_values": ["-1"]}, features=FEATURES, tasks=TASKS, files=files
    )
    table.to_parquet(tmp_path / "rows.parquet") if typed else table.to_csv(
        tmp_path / "rows.csv", index=False
    )
    store = prepare(load_dataset(path), data_dir=tmp_path / "data")
    assert sorted(store.vocabulary("code")["word"].to_pylist()) == ["007", "1.10", "1e5", "?", "NA"]
    assert "-1" not in store.vocabulary("user_id")["word"].to_pylist()
    assert sum(store.summary["tasks"]["click"]["labelled"].values()) == 350
    missing = describe(store)["missing_words"]
    assert {name: sum(words.values()) for name, words in missing.items()} == {
        "code": 200,
        "user_id": 100,
        "price": 80,
        "clicked": 50,
    }
    assert all(set(words) <= {"-1", "-1.0"} for words in missing.values())
    server = Server(store, load_dataset(path), say=lambda line: None)
    (part,) = server.table(
        as_table([{**rows().iloc[0].to_dict(), "user_id": -1, "price": -1, "code": "NA"}]), ()
    )
    assert part.rows.ids[0, 0] == 0 < part.rows.ids[0, 5] and part.rows.dense[0, 0] == 0


def test_null_values_are_said_once(tmp_path: Path) -> None:
    path = dataset(
        tmp_path, joins=[{"file": "side.csv", "on": "user", "csv": {"null_values": ["-1"]}}]
    )
    with pytest.raises(ConfigError, match="null_values are said once, in the data set's own csv"):
        load_dataset(path)


def test_numbers_with_a_few_words_deep_in_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is read again from where the first one stood, each row once."""
    monkeypatch.setattr("automtl.data.raw.sources.BLOCK_BYTES", 3000)
    table = rows().assign(age=np.arange(ROWS) / 7, height=np.arange(ROWS) / 3)
    wild = table.astype({"price": object, "age": object, "height": object})
    wild.loc[300, "price"], wild.loc[350, "age"], wild.loc[360, "height"] = "NA", "?", " -"
    features = [
        *FEATURES,
        {"name": "age", "kind": "numeric"},
        {"name": "height", "kind": "numeric"},
    ]
    one = prepared(tmp_path / "words", wild, features=features, tasks=TASKS)
    holes = table.assign(
        price=table["price"].where(table.index != 300), age=table["age"].where(table.index != 350)
    )
    two = prepared(
        tmp_path / "holes",
        holes.assign(height=table["height"].where(table.index != 360)),
        features=features,
        tasks=TASKS,
    )
    assert one.schema == two.schema
    assert describe(one)["missing_words"] == {
        "price": {"NA": 1},
        "age": {"?": 1},
        "height": {"-": 1},
    }
    assert describe(two)["missing_words"] == {"price": {"": 1}, "age": {"": 1}, "height": {"": 1}}


def test_dates_and_moments_as_an_id(tmp_path: Path) -> None:
    """A column of times in any zone or unit has the words of its CSV."""
    times = [datetime.datetime(2023, 11, 14, hour, 30) for hour in range(8)]
    table = rows().assign(day=[times[i % 8] for i in range(ROWS)])
    store = prepared(tmp_path, table, features=FEATURES, tasks=TASKS)
    ids, _ = encoded((store, tmp_path), table)
    for kind in ("datetime64[s]", "datetime64[ns]"):
        np.testing.assert_array_equal(
            encoded((store, tmp_path), table.astype({"day": kind}))[0], ids
        )
    zoned = table.assign(day=table["day"].dt.tz_localize("UTC").dt.tz_convert("Asia/Tokyo"))
    zoned.to_csv(tmp_path / "zoned.csv", index=False)
    for source in (zoned, tmp_path / "zoned.csv"):
        np.testing.assert_array_equal(encoded((store, tmp_path), source)[0], ids)
    assert (ids > 0).all()
