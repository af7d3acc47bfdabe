"""Lists, hashed and shared ids, vectors, missing numbers and quantiles, from raw rows to arrays,
against Python by hand.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.preprocessing import QuantileTransformer

from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from automtl.data.store.batches import Batches
from automtl.data.store.id_lists import Lists
from automtl.errors import ConfigError, DataError
from automtl.models.skeleton import input_layer, load_vectors
from tests.data.tables import dataset, frame, prepared

SPLITS = ("train", "validation", "test")
TIME = {"kind": "time", "column": "time"}


def with_lists(rows: int = 400) -> pd.DataFrame:
    """Rows in order of time with a text of words, some empty, some with blanks; and the ids seen so
    far.
    """
    g = np.random.default_rng(3)
    table = frame(rows).assign(time=np.arange(rows))
    words = [
        [str(w) for w in g.choice(["x", "y z", "1", "22", "é"], g.integers(0, 4))]
        for _ in range(rows)
    ]
    return table.assign(
        words=words,
        seen=[[int(i) for i in g.integers(0, 40, g.integers(0, 9))] for _ in range(rows)],
    )


def as_text(table: pd.DataFrame) -> pd.DataFrame:
    return table.assign(
        words=[" | ".join(w) for w in table["words"]],
        seen=["|".join(map(str, s)) for s in table["seen"]],
    )


def decoded(store: Store, number: int, field: str) -> list[list[str]]:
    words = ["", *store.vocabulary(field)["word"].to_pylist()]
    lists = [store.rows(split).lists[number] for split in SPLITS]
    return [
        [words[i] for i in part.values[part.offsets[row] : part.offsets[row + 1]]]
        for part in lists
        for row in range(len(part))
    ]


LISTS = [
    {"name": "user", "kind": "categorical", "min_count": 2},
    {"name": "words", "kind": "multi", "separator": "|"},
    {
        "name": "seen",
        "kind": "sequence",
        "separator": "|",
        "max_length": 4,
        "share_embedding": "user",
    },
]


@pytest.mark.parametrize("arrow", [False, True])
def test_lists_from_texts_and_from_parquet(tmp_path: Path, arrow: bool) -> None:
    raw = with_lists()
    if arrow:
        raw.to_parquet(tmp_path / "rows.parquet")
        path = dataset(tmp_path, files={"train": "rows.parquet"}, features=LISTS, split=TIME)
        store = prepare(load_dataset(path), data_dir=tmp_path / "data")
    else:
        store = prepared(tmp_path, as_text(raw), features=LISTS, split=TIME)
    train = raw[: len(store.rows("train"))]
    assert decoded(store, 0, "words") == [
        [w for w in row if w in set(train["words"].explode())] for row in raw["words"]
    ]
    pooled = pd.Series(
        [str(i) for i in [*train["user"], *train["seen"].explode().dropna()]]
    ).value_counts()
    known = pooled[pooled >= 2]
    expected = sorted(known.index, key=lambda word: (-known[word], word))
    assert (
        store.vocabulary("user")["word"].to_pylist()
        == store.vocabulary("seen")["word"].to_pylist()
        == expected
    )
    assert decoded(store, 1, "seen") == [
        [str(i) for i in row if str(i) in known.index][-4:] for row in raw["seen"]
    ]
    user, words, seen = store.schema.fields
    assert (user.kind, words.kind, seen.kind) == ("categorical", "multi", "sequence")
    assert (seen.shares, seen.vocabulary_size) == ("user", len(known) + 1)
    assert words.unknown_count == sum(not row for row in decoded(store, 0, "words")[: len(train)])


def test_text_and_parquet_lists_have_one_hash(tmp_path: Path) -> None:
    raw = with_lists()
    one = prepared(tmp_path / "a", as_text(raw), features=LISTS)
    (tmp_path / "b").mkdir()
    raw.sample(frac=1, random_state=0).to_parquet(tmp_path / "b" / "rows.parquet")
    path = dataset(tmp_path / "b", files={"train": "rows.parquet"}, features=LISTS)
    two = prepare(load_dataset(path), data_dir=tmp_path / "b" / "data")
    assert one.schema == two.schema


def test_batches_pad_lists_to_their_longest(tmp_path: Path) -> None:
    store = prepared(tmp_path, as_text(with_lists()), features=LISTS)
    rows = store.rows("train")
    for shuffle in (False, True):
        for batch in Batches(rows, batch_size=7, shuffle=shuffle).epoch(0):
            for mine, lists in zip(batch.inputs.lists, rows.lists, strict=True):
                taken = [
                    lists.values[lists.offsets[r] : lists.offsets[r + 1]].tolist()
                    for r in batch.rows
                ]
                assert mine.shape[1] == max(1, *map(len, taken))
                assert [[i for i in row if i] for row in mine.tolist()] == taken
                assert mine.dtype == torch.int32


def test_lists_by_hand() -> None:
    lists = Lists(np.array([5, 6, 7], np.int32), np.array([0, 2, 2, 3]))
    assert lists.padded(np.array([2, 1, 0])).tolist() == [[7, 0], [0, 0], [5, 6]]
    assert Lists(np.zeros(0, np.int32), np.zeros(3, np.int64)).padded(slice(None)).tolist() == [
        [0],
        [0],
    ]
    joined = Lists.join([lists, lists])
    assert (joined.values.tolist(), joined.offsets.tolist()) == (
        [5, 6, 7, 5, 6, 7],
        [0, 2, 2, 3, 5, 5, 6],
    )


def test_a_list_that_tells_the_label_is_a_leak(tmp_path: Path) -> None:
    raw = frame(2000)
    raw["words"] = [
        f"{'yes' if click else 'no'} {row % 5}" for row, click in enumerate(raw["is_click"])
    ]
    with pytest.raises(
        DataError, match="feature 'words': must not tell the label of task 'click' by itself"
    ):
        prepared(tmp_path, raw, features=[{"name": "words", "kind": "multi", "separator": " "}])


def test_hashed_ids_need_no_vocabulary(tmp_path: Path) -> None:
    raw = frame(2000).assign(user=lambda t: t.index)
    features = [
        {"name": "user", "kind": "categorical", "hash_buckets": 50},
        {"name": "tag", "kind": "categorical", "hash_buckets": 10_000},
    ]
    store = prepared(tmp_path, raw, features=features)
    user, tag = store.schema.fields
    assert (user.vocabulary_size, user.unknown_count, tag.vocabulary_size) == (51, 0, 10_001)
    ids = np.concatenate([store.rows(split).ids for split in SPLITS])
    assert set(ids[:, 0]) == set(range(1, 51))
    assert np.bincount(ids[:, 0])[1:].max() < 100, "spread evenly: 40 each on average"
    counts = raw["tag"].value_counts()
    assert (ids[:, 1] == 0).sum() == counts[""]
    assert sorted(np.unique(ids[ids[:, 1] > 0, 1], return_counts=True)[1]) == sorted(
        counts.drop("")
    )
    with pytest.raises(ConfigError, match="hashed"):
        store.vocabulary("user")


def vectors(folder: Path, **feature: Any) -> Store:
    settings = {
        "name": "user",
        "kind": "categorical",
        "pretrained": "v.npy",
        "embedding_dim": 3,
        **feature,
    }
    return prepared(folder, frame(), features=[settings, {"name": "price", "kind": "numeric"}])


@pytest.mark.parametrize("named", [False, True])
def test_pretrained_vectors_start_the_embedding(tmp_path: Path, named: bool) -> None:
    table = np.arange(60, dtype=np.float64).reshape(20, 3) + 1
    np.save(tmp_path / "v.npy", table[::-1] if named else table)
    (tmp_path / "words.txt").write_text("".join(f"{i}\n" for i in reversed(range(20))))
    store = vectors(tmp_path, **({"words": "words.txt"} if named else {}))
    layer = input_layer(store.schema, dim=4, numeric="linear", sparse=False)
    before = layer.rows_of(0).clone()
    load_vectors(layer, store.schema, store.vectors())
    words = store.vocabulary("user")["word"].to_pylist()
    for row, word in enumerate(words, 1):
        expected = torch.tensor(table[int(word)]).float() if int(word) < 20 else before[row]
        torch.testing.assert_close(layer.rows_of(0)[row], expected)
    assert not layer.rows_of(0)[0].any()


@pytest.mark.parametrize(
    ("array", "feature", "message"),
    [
        (
            np.zeros((40, 4)),
            {},
            "v.npy: must have the width that embedding_dim of 'user' says, got 4 and 3",
        ),
        (np.zeros(40), {}, "must hold floats of shape"),
        (np.full((40, 3), np.nan), {}, "must hold finite numbers"),
        (np.array([{}]), {}, "must be an .npy file of numbers"),
        (
            np.zeros((40, 3)),
            {"words": "words.txt"},
            "must have one word per vector, got 2 words for 40 vectors",
        ),
        (np.zeros((2, 3)), {"words": "words.txt"}, "must have each word once, got 'a'"),
    ],
)
def test_bad_vectors(
    tmp_path: Path, array: np.ndarray, feature: dict[str, str], message: str
) -> None:
    np.save(tmp_path / "v.npy", array, allow_pickle=True)
    (tmp_path / "words.txt").write_text("a\na\n")
    with pytest.raises(DataError) as caught:
        vectors(tmp_path, **feature)
    assert message in str(caught.value)


def numbers(folder: Path, raw: pd.DataFrame, **feature: Any) -> tuple[Store, np.ndarray]:
    store = prepared(
        folder,
        raw.assign(time=np.arange(len(raw))),
        features=[{"name": "price", "kind": "numeric", **feature}],
        split=TIME,
    )
    return store, np.concatenate([store.rows(split).dense for split in SPLITS])


def test_missing_numbers_and_their_indicator(tmp_path: Path) -> None:
    raw = frame(500)
    store, dense = numbers(tmp_path / "a", raw, missing="indicator")
    assert [field.name for field in store.schema.numeric] == ["price", "price:missing"]
    np.testing.assert_array_equal(dense[:, 1], raw["price"].isna())
    assert not dense[raw["price"].isna(), 0].any()
    store, dense = numbers(tmp_path / "b", raw, fill=0.0, transform="log1p")
    train = np.log1p(raw["price"].fillna(0.0))[: len(store.rows("train"))]
    np.testing.assert_allclose(
        dense[:, 0],
        (np.log1p(raw["price"].fillna(0.0)) - train.mean()) / train.std(ddof=0),
        rtol=1e-4,
        atol=1e-5,
    )
    with pytest.raises(DataError, match="column 'price': must have a number in every row"):
        numbers(tmp_path / "c", raw, missing="refuse")


def test_quantiles_are_scikit_learns(tmp_path: Path) -> None:
    raw = frame(3000)
    raw.loc[raw.index % 3 == 0, "price"] = 0.5  # a value that fills many ranks
    store, dense = numbers(tmp_path, raw, transform="quantile")
    train = raw["price"][: len(store.rows("train"))].dropna().to_numpy()[:, None]
    quantiles = max(min(len(train) // 30, 1000), 2)
    theirs = QuantileTransformer(
        n_quantiles=quantiles, output_distribution="normal", subsample=None
    ).fit(train)
    present = raw["price"].notna().to_numpy()
    np.testing.assert_allclose(
        dense[present, 0],
        theirs.transform(raw["price"].to_numpy()[present][:, None])[:, 0],
        rtol=1e-4,
        atol=1e-5,
    )
    assert not dense[~present, 0].any()
    again = numbers(tmp_path / "shuffled", raw, transform="quantile")[0]
    assert again.schema.fields == store.schema.fields


@pytest.mark.parametrize(
    ("feature", "message"),
    [
        ({"kind": "sequence"}, "max_length must be given"),
        (
            {"kind": "multi", "share_embedding": "none"},
            "'user' shares 'none', which must be a feature of ids",
        ),
        ({"kind": "multi", "share_embedding": "price"}, "which must be a feature of ids"),
        (
            {"kind": "categorical", "share_embedding": "tag", "min_count": 3},
            "min_count cannot be given with share_embedding",
        ),
        (
            {"kind": "categorical", "hash_buckets": 9, "min_count": 3},
            "hash_buckets cannot be given with pretrained or min_count",
        ),
        ({"kind": "categorical", "words": "w.txt"}, "words are for pretrained"),
        (
            {"kind": "numeric", "missing": "refuse", "fill": 1.0},
            "fill cannot be given with missing: refuse",
        ),
    ],
)
def test_features_that_cannot_be_meant(
    tmp_path: Path, feature: dict[str, Any], message: str
) -> None:
    features = [
        {"name": "user", **feature},
        {"name": "tag", "kind": "categorical"},
        {"name": "price", "kind": "numeric"},
    ]
    with pytest.raises(ConfigError) as caught:
        load_dataset(dataset(tmp_path, features=features))
    assert message in str(caught.value)
