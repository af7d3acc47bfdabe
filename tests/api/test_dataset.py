"""A data set from rows in memory, a file or a YAML: the roles, the split, batches."""

import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from torch.utils.data import DataLoader

import automtl
from automtl.data.prepare.frames import as_table
from automtl.errors import ConfigError, DataError

NAMED = {"ids": ["user"], "numbers": ["price"], "tasks": ["click", "buy"]}


def test_named_roles_are_the_features_and_tasks(data):
    assert [(f.name, f.kind) for f in data.config.features] == [
        ("user", "categorical"),
        ("price", "numeric"),
    ]
    assert data.tasks == ["click", "buy"] and data.config.split.kind == "random"
    assert [f.name for f in data.schema.fields] == ["user", "price"]


def test_equal_rows_are_kept_once_and_in_the_data_folder(home, rows, data):
    again = automtl.Dataset.from_frame(rows, name="shop", **NAMED)
    assert again.source == data.source and str(data.data_dir) in data.source


@pytest.mark.parametrize(
    "kind",
    [
        lambda f: pa.Table.from_pandas(f),
        lambda f: f.to_dict("records"),
        lambda f: f.to_dict("list"),
    ],
)
def test_rows_of_any_kind_are_the_same_rows(kind, rows, data):
    other = automtl.Dataset.from_frame(kind(rows), name="shop", **NAMED)
    assert other.schema.data_hash == data.schema.data_hash


def test_what_nobody_names_is_guessed_and_what_looks_like_a_label_is_told(home, rows):
    with pytest.warns(UserWarning, match="looks like something to predict: 'buy'") as heard:
        data = automtl.Dataset.from_frame(rows, tasks=["click"])
    assert [w.filename for w in heard] == [__file__]
    assert [f.name for f in data.config.features] == ["user", "price"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        automtl.Dataset.from_frame(rows, tasks=["click", "buy"])


def test_a_time_is_split_by_where_columns_are_guessed_and_is_no_feature(home, rows):
    timed = rows.assign(ts=pd.date_range("2025-01-01", periods=len(rows), freq="h"))
    guessed = automtl.Dataset.from_frame(timed, tasks=["click", "buy"])
    assert (guessed.config.split.kind, guessed.config.split.column) == ("time", "ts")
    assert "ts" not in [f.name for f in guessed.config.features]
    assert automtl.Dataset.from_frame(timed, split="random", **NAMED).config.split.kind == "random"
    asked = automtl.Dataset.from_frame(timed, split="time:ts", **NAMED)
    prices = [batch.inputs.dense for batch in asked.batches("test", 10, shuffle=False).epoch(0)]
    latest = (timed.price[-30:] - timed.price[:240].mean()) / timed.price[:240].std(ddof=0)
    got = np.sort(torch.cat(prices)[:, 0].numpy())
    assert got == pytest.approx(np.sort(latest.to_numpy()), abs=1e-4)


def test_kinds_of_tasks_are_the_drafts_or_said(home, rows):
    mixed = rows.assign(spent=rows.price * 2, tier=np.resize(["a", "b", "c"], len(rows)))
    guessed = automtl.Dataset.from_frame(mixed, ids=["user"], tasks=["click", "spent", "tier"])
    assert [t.kind for t in guessed.config.tasks] == ["binary", "regression", "multiclass"]
    said = automtl.Dataset.from_frame(
        mixed, ids=["user"], tasks={"click": "regression", "buy": {"where": "click == 1"}}
    )
    assert [(t.kind, t.where) for t in said.config.tasks] == [
        ("regression", None),
        ("binary", "click == 1"),
    ]


def test_lists_weights_and_settings(home, rows):
    rows = rows.assign(tags=["a,b", "c"] * 150, w=1.5)
    data = automtl.Dataset.from_frame(
        rows,
        ids=[{"name": "user", "min_count": 2}],
        lists=["tags"],
        tasks=["click"],
        weights="w",
        group="user",
    )
    assert [f.kind for f in data.config.features] == ["categorical", "multi"]
    assert data.config.features[0].min_count == 2 and data.config.group == "user"
    batch = next(data.batches("train", 16).epoch(0))
    assert batch.weights is not None and batch.weights.unique().tolist() == [1.5]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"ids": ["usr"]},
            "feature 'usr': must be a column of the rows, got 'usr'; did you mean 'user'",
        ),
        ({"ids": "user"}, "ids: must be a list of columns, got 'user'"),
        ({"tasks": ["clik"]}, "task 'clik': must be a column"),
        ({"split": "tme:ts"}, "did you mean 'time'"),
        ({"split": "time:when"}, "split: must be a column of the rows, got 'when'"),
        ({"split": "time"}, "column must be given where kind is time"),
        ({"weights": "w"}, "weights: must be a column of the rows, got 'w'"),
        ({"tasks": []}, "tasks must name at least one"),
        ({"tasks": [2, 3]}, r"^tasks: must be names of columns \(texts\), .*got 2; write '2'"),
        ({"ids": [0]}, r"^ids: must be names of columns"),
        ({"tasks": {"click": "binry"}}, "kind should be 'binary'"),
        ({"colour": "red"}, "colour"),
    ],
)
def test_a_role_that_cannot_be_is_refused_with_its_name(home, rows, change, said):
    with pytest.raises(ConfigError, match=said) as caught:
        automtl.Dataset.from_frame(rows, **NAMED | change)
    assert "--" not in str(caught.value)


def test_what_is_no_table_is_refused(home, rows):
    with pytest.raises(DataError, match="^rows: must be there to learn from, got none"):
        automtl.Dataset.from_frame(rows.head(0), **NAMED)
    with pytest.raises(ConfigError, match="^rows: must be a DataFrame.*got Series"):
        automtl.Dataset.from_frame(rows.user, **NAMED)
    table = pa.table({"user": [1, 2]})
    assert as_table(table) is table


def test_a_file_stays_where_it_is_and_its_delimiter_is_seen(
    home, tmp_path, monkeypatch, rows, data
):
    rows.to_csv(tmp_path / "shop.csv", sep=";", index=False)
    monkeypatch.chdir(tmp_path)
    by_name = automtl.Dataset.from_file("shop.csv", **NAMED)
    monkeypatch.chdir("/")
    assert by_name.config.files.train == (str(tmp_path / "shop.csv"),)
    assert by_name.config.csv.delimiter == ";" and by_name.name == "shop"
    assert by_name.describe().frame.equals(data.describe().frame)
    with pytest.raises(Exception, match="nothing.csv"):
        automtl.Dataset.from_file(tmp_path / "nothing.csv", **NAMED)


def test_a_yaml_is_used_as_it_is(home, tmp_path, rows):
    rows.to_csv(tmp_path / "rows.csv", index=False)
    (tmp_path / "a.yaml").write_text(
        "name: a\nfiles: {train: rows.csv}\nfeatures: [{name: user, kind: categorical}]\n"
        "tasks: [{name: click, label: click}]\n"
    )
    data = automtl.Dataset.from_yaml(tmp_path / "a.yaml", data_dir=tmp_path / "own")
    assert [field.name for field in data.schema.fields] == ["user"]
    assert (tmp_path / "own" / "prepared").is_dir()
    assert automtl.Dataset.from_yaml("census_income").name == "census_income"


def test_parts_are_disjoint_and_whole(data, rows):
    sizes = {
        part: len(data.torch(part)) for part in ("train", "validation", "test", "fit", "alpha")
    }
    assert sizes["train"] + sizes["validation"] + sizes["test"] == len(rows)
    assert sizes["fit"] + sizes["alpha"] == sizes["train"]
    seen = [torch.cat([b.rows for b in data.batches(p, 32).epoch(0)]) for p in ("fit", "alpha")]
    assert sorted(torch.cat(seen).tolist()) == list(range(sizes["train"]))
    with pytest.raises(ConfigError, match="did you mean 'train'"):
        data.batches("trian")


def test_the_torch_view_gives_the_rows_of_the_batches(data):
    view = data.torch("fit")
    [whole] = list(data.batches("fit", len(view), shuffle=False).epoch(0))
    loader = DataLoader(view, batch_size=50, collate_fn=view.collate)
    labels = torch.cat([batch.labels for batch in loader])
    assert torch.equal(labels, whole.labels)
    assert torch.equal(view[3].labels[0], whole.labels[3]) and torch.equal(
        view[-1].rows[0], whole.rows[-1]
    )
    with pytest.raises(IndexError):
        view[len(view)]
