"""Raw tables to stores, against pandas by hand."""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automtl.data.describe import describe
from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.files import locked
from tests.data.tables import FEATURES, TASKS, dataset, everything, frame, prepared


def expected_vocabulary(column: pd.Series, min_count: int = 1) -> list[str]:
    words = column.dropna().astype(str)
    counts = words[words != ""].value_counts()
    return sorted(counts[counts >= min_count].index, key=lambda word: (-counts[word], word))


def test_decoded_rows_are_the_raw_rows(tmp_path: Path) -> None:
    raw = frame()
    store = prepared(tmp_path, raw)
    found = everything(store)
    assert len(found) == len(raw)
    assert (
        found[["user", "tag"]].value_counts().to_dict()
        == raw[["user", "tag"]].astype(str).value_counts().to_dict()
    )
    by_user = (
        raw.assign(user=raw["user"].astype(str))
        .groupby("user")[["is_click", "is_buy"]]
        .agg(["sum", "count"])
    )
    mine = found.groupby("user")[["click", "buy"]].agg(["sum", "count"])
    np.testing.assert_array_equal(mine.to_numpy(), by_user.to_numpy())


def test_statistics_are_of_the_training_split(tmp_path: Path) -> None:
    features = [{**FEATURES[0], "min_count": 12}, *FEATURES[1:]]
    raw = frame().assign(part=["train", "test", "validation", "train", "train", "train"] * 100)
    for part, rows in raw.groupby("part"):
        rows.to_csv(tmp_path / f"{part}.csv", index=False)
    files = {part: f"{part}.csv" for part in ("train", "validation", "test")}
    path = dataset(tmp_path, files=files, split={"kind": "files"}, features=features)
    store = prepare(load_dataset(path), data_dir=tmp_path / "data")
    train = raw[raw["part"] == "train"]
    words = expected_vocabulary(train["user"], 12)
    assert store.vocabulary("user")["word"].to_pylist() == words
    assert store.vocabulary("user")["count"].to_pylist() == [
        int((train["user"].astype(str) == word).sum()) for word in words
    ]
    user, tag, price = store.schema.fields
    assert user.vocabulary_size == len(words) + 1
    assert user.unknown_count == int((~train["user"].astype(str).isin(words)).sum()) > 0
    assert tag.unknown_count == int((train["tag"] == "").sum()) > 0
    assert price.unknown_count == int(train["price"].isna().sum()) > 0
    assert (price.mean, price.std) == (
        pytest.approx(train["price"].mean()),
        pytest.approx(train["price"].std(ddof=0)),
    )
    test = raw[raw["part"] == "test"]
    rows = store.rows("test")
    np.testing.assert_allclose(
        rows.dense[:, 0], ((test["price"] - price.mean) / price.std).fillna(0), rtol=1e-5, atol=1e-6
    )
    np.testing.assert_array_equal(rows.labels, test[["is_click", "is_buy"]].to_numpy(np.float32))
    assert store.schema.tasks[1].labelled == train["is_buy"].count()
    assert store.schema.tasks[1].positives == train["is_buy"].sum()


def test_parts_are_disjoint_and_of_their_shares(tmp_path: Path) -> None:
    raw = frame(20_000).drop_duplicates()
    store = prepared(tmp_path, raw, split={"train": 0.6, "validation": 0.3, "test": 0.1, "seed": 3})
    shares = everything(store)["part"].value_counts(normalize=True)
    for part, share in {"train": 0.48, "alpha": 0.12, "validation": 0.3, "test": 0.1}.items():
        assert shares[part] == pytest.approx(share, abs=0.015)
    assert len(np.intersect1d(store.alpha_index, store.fit_index)) == 0
    assert sorted([*store.alpha_index, *store.fit_index]) == list(range(len(store.rows("train"))))


def test_without_validation_a_tenth_of_training_is_taken(tmp_path: Path) -> None:
    raw = frame(20_000)
    shares = everything(
        prepared(tmp_path, raw, split={"train": 0.8, "validation": 0.0, "test": 0.2})
    )["part"].value_counts(normalize=True)
    for part, share in {"train": 0.576, "alpha": 0.144, "validation": 0.08, "test": 0.2}.items():
        assert shares[part] == pytest.approx(share, abs=0.015)


def test_equal_rows_go_together_where_that_is_asked_for(tmp_path: Path) -> None:
    raw = pd.concat([frame(400)] * 3)
    found = everything(prepared(tmp_path, raw, split={"duplicates": "together"}))
    assert (found.groupby([*found.columns.drop("part")], dropna=False)["part"].nunique() == 1).all()
    assert found["part"].nunique() == 4


def test_split_seed_changes_the_split_only(tmp_path: Path) -> None:
    one = prepared(tmp_path / "a", frame(), split={"seed": 0})
    two = prepared(tmp_path / "b", frame(), split={"seed": 1})
    assert one.schema.data_hash == two.schema.data_hash
    assert one.schema.split_hash != two.schema.split_hash


@pytest.mark.parametrize(
    "split",
    [{"kind": "random"}, {"kind": "time", "column": "time"}, {"kind": "by_user", "column": "user"}],
)
def test_order_and_parts_of_the_files_do_not_matter(
    tmp_path: Path, split: dict[str, object]
) -> None:
    raw = frame(3000)
    one = prepared(tmp_path / "one", raw, split=split)
    folder = tmp_path / "seven"
    path = dataset(folder, split=split, files={"train": "parts"})
    (folder / "parts").mkdir()
    for i, part in enumerate(np.array_split(np.random.default_rng(1).permutation(len(raw)), 7)):
        raw.iloc[part].to_parquet(folder / "parts" / f"part-{i}.parquet", row_group_size=100)
    seven = prepare(load_dataset(path), data_dir=folder / "data")
    assert one.schema == seven.schema
    for field in one.schema.categorical:
        assert one.vocabulary(field.name).equals(seven.vocabulary(field.name))
    key = ["part", "user", "tag", "price", "click", "buy"]
    ordered = [everything(store).sort_values(key, ignore_index=True) for store in (one, seven)]
    pd.testing.assert_frame_equal(*ordered)


def test_time_leaves_the_latest_to_test_then_validation_then_alpha(tmp_path: Path) -> None:
    raw = frame(2000)
    raw["price"] = raw["time"].astype(float)
    split = {"kind": "time", "column": "time", "train": 0.7, "validation": 0.1, "test": 0.2}
    found = everything(prepared(tmp_path, raw, split=split))
    span = found.groupby("part")["price"].agg(["min", "max"])
    assert span.loc["train", "max"] < span.loc["alpha", "min"]
    assert span.loc["alpha", "max"] < span.loc["validation", "min"]
    assert span.loc["validation", "max"] < span.loc["test", "min"]
    shares = found["part"].value_counts(normalize=True)
    for part, share in {"train": 0.56, "alpha": 0.14, "validation": 0.1, "test": 0.2}.items():
        assert shares[part] == pytest.approx(share, abs=0.01)


@pytest.mark.parametrize("text", [False, True])
def test_times_may_be_dates(tmp_path: Path, text: bool) -> None:
    times = pd.to_datetime(frame(300)["time"], unit="ms")
    raw = frame(300).assign(time=times.dt.strftime("%Y-%m-%d %H:%M:%S.%f") if text else times)
    store = prepared(tmp_path, raw, split={"kind": "time", "column": "time"})
    numbers = prepared(tmp_path / "numbers", frame(300), split={"kind": "time", "column": "time"})
    assert store.summary["rows"] == numbers.summary["rows"]


def test_by_user_keeps_users_whole(tmp_path: Path) -> None:
    found = everything(prepared(tmp_path, frame(4000), split={"kind": "by_user", "column": "user"}))
    # a user of validation or test only is unknown to the vocabulary: the others are in one part
    # each
    assert (found[found["user"] != ""].groupby("user")["part"].nunique() == 1).all()
    assert (found.loc[found["user"] == "", "part"].isin(["validation", "test"])).all()
    assert (found["user"] == "").any()


def test_files_are_halved_by_seed(tmp_path: Path) -> None:
    frame(2000).to_csv(tmp_path / "rows.csv", index=False)
    frame(4000, seed=1).to_csv(tmp_path / "late.csv", index=False)
    path = dataset(
        tmp_path,
        files={"train": "rows.csv", "test": "late.csv"},
        split={"kind": "files", "test_to_validation": 0.5},
    )
    rows = prepare(load_dataset(path), data_dir=tmp_path / "data").summary["rows"]
    assert rows["fit"] + rows["alpha"] == 2000
    assert rows["validation"] + rows["test"] == 4000
    assert rows["test"] == pytest.approx(2000, abs=120)


def test_where_and_weights_and_kinds(tmp_path: Path) -> None:
    raw = frame(500).assign(
        share=lambda t: t.index % 3 / 2, kind=lambda t: np.array(["z", "10", "9"])[t.index % 3]
    )
    tasks = [
        {"name": "click", "label": "is_click"},
        {
            "name": "buy",
            "label": "is_buy",
            "where": "is_click == 1 and tag != 'a'",
            "sample_weight": "share",
        },
        {"name": "spend", "label": "price", "kind": "regression", "transform": "log1p"},
        {"name": "kind", "label": "kind", "kind": "multiclass", "where": "is_click == 0"},
    ]
    split = {"kind": "time", "column": "time"}
    store = prepared(
        tmp_path, raw, tasks=tasks, features=FEATURES[:2], split=split, allow_leak=["tag"]
    )
    labels = np.concatenate([store.rows(s).labels for s in ("train", "validation", "test")])
    weights = np.concatenate([store.rows(s).weights for s in ("train", "validation", "test")])
    asked = raw["is_click"].eq(1) & raw["tag"].ne("a") & raw["tag"].ne("")
    expected = np.column_stack(
        [
            raw["is_click"],
            raw["is_buy"].where(asked),
            np.log1p(raw["price"]),
            raw["kind"].map({"9": 0, "10": 1, "z": 2}).where(raw["is_click"] == 0),
        ]
    ).astype(np.float32)
    order, mine = (np.lexsort(np.nan_to_num(table, nan=-1).T) for table in (expected, labels))
    np.testing.assert_array_equal(labels[mine], expected[order])
    np.testing.assert_allclose(np.sort(weights[:, 1]), np.sort(raw["share"]))
    assert (weights[:, [0, 2, 3]] == 1).all()
    train = store.rows("train").labels
    click, buy, spend, kind = store.schema.tasks
    assert (spend.mean, spend.std) == (
        pytest.approx(np.nanmean(train[:, 2]), rel=1e-5),
        pytest.approx(np.nanstd(train[:, 2]), rel=1e-5),
    )
    assert (kind.classes, kind.class_names) == (3, ("9", "10", "z"))
    assert (click.labelled, buy.labelled) == (len(train), np.isfinite(train[:, 1]).sum())


def test_close_ids_stay_apart_and_floats_become_whole(tmp_path: Path) -> None:
    raw = frame(600)
    raw["user"] = 2**53 + raw["user"] % 2
    # whole numbers with holes: pandas writes 1.0
    raw["tag"] = raw["user"].mod(3).where(raw.index % 5 > 0)
    store = prepared(tmp_path, raw)
    assert sorted(store.vocabulary("user")["word"].to_pylist()) == [str(2**53), str(2**53 + 1)]
    assert set(store.vocabulary("tag")["word"].to_pylist()) == set(
        raw["tag"].dropna().astype(int).astype(str)
    )
    assert [field.form for field in store.schema.categorical] == ["whole", "whole"]


def test_csv_gz_and_other_delimiters(tmp_path: Path) -> None:
    raw = frame()
    one = prepared(tmp_path / "plain", raw)
    folder = tmp_path / "packed"
    path = dataset(
        folder, files={"train": "rows.tsv*"}, csv={"delimiter": "\t", "columns": list(raw.columns)}
    )
    raw.to_csv(folder / "rows.tsv.gz", index=False, header=False, sep="\t")
    two = prepare(load_dataset(path), data_dir=folder / "data")
    assert one.schema.data_hash == two.schema.data_hash
    assert one.schema.split_hash == two.schema.split_hash


def test_many_small_blocks_are_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    one = prepared(tmp_path / "one", frame(3000))
    monkeypatch.setattr("automtl.data.raw.sources.BLOCK_BYTES", 2000)
    many = prepared(tmp_path / "many", frame(3000))
    assert one.schema == many.schema
    for split in ("train", "validation", "test"):
        np.testing.assert_array_equal(one.rows(split).ids, many.rows(split).ids)
        np.testing.assert_array_equal(one.rows(split).labels, many.rows(split).labels)
    np.testing.assert_array_equal(one.alpha_index, many.alpha_index)


def test_two_that_prepare_one_set_make_it_once_and_what_a_killed_one_left_goes(
    tmp_path: Path,
) -> None:
    frame().to_csv(tmp_path / "rows.csv", index=False)
    config, stores = load_dataset(dataset(tmp_path)), tmp_path / "data/prepared"
    (stores / ".toy-0.x.tmp").mkdir(parents=True)
    said: list[str] = []
    with ThreadPoolExecutor(2) as pool:
        with locked(tmp_path / "data"):
            both = [
                pool.submit(prepare, config, data_dir=tmp_path / "data", progress=said.append)
                for _ in range(2)
            ]
            until = time.monotonic() + 30
            while sum("waiting for another process" in line for line in said) < 2:
                assert time.monotonic() < until
                time.sleep(0.01)
        one, two = (made.result() for made in both)
    assert one.path == two.path and one.schema == two.schema
    assert sum(line.startswith("preparing toy") for line in said) == 1
    assert [path.name for path in stores.iterdir()] == [one.path.name]


def test_describe_is_plain_data(tmp_path: Path) -> None:
    raw = frame(2000)
    found = describe(prepared(tmp_path, raw))
    rows = found["rows"]
    assert rows["train"] == rows["fit"] + rows["alpha"]
    assert rows["train"] + rows["validation"] + rows["test"] == 2000
    assert [field["name"] for field in found["fields"]] == ["user", "tag", "price"]
    assert found["fields"][2]["missing_share"] == pytest.approx(0.1, abs=0.03)
    click, buy = found["tasks"]
    assert sum(
        click["positive_rate"][s] * rows[s] for s in ("train", "validation", "test")
    ) == pytest.approx(raw["is_click"].sum())
    assert sum(
        buy["label_share"][s] * rows[s] for s in ("train", "validation", "test")
    ) == pytest.approx(raw["is_buy"].count())
    assert TASKS[1]["weight"] == buy["weight"]
