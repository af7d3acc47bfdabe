"""Forms of fields that share a vocabulary, that are hashed, and of vocabularies that grow."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from automtl.data.prepare import prepare
from automtl.data.prepare.frames import as_table
from automtl.data.prepare.new_rows import Server
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from tests.data.tables import dataset, prepared

COMMON: dict[str, Any] = {
    "tasks": [{"name": "click", "label": "click"}],
    "split": {"kind": "random", "column": "row"},
}
ITEM, SEEN = (
    {"name": "item", "kind": "categorical"},
    {"name": "seen", "kind": "sequence", "max_length": 3, "share_embedding": "item"},
)


def table(rows: int = 300) -> pd.DataFrame:
    g = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "item": g.integers(0, 20, rows).astype(float),
            "seen": [",".join(map(str, g.integers(0, 20, g.integers(1, 4)))) for _ in range(rows)],
            "click": g.integers(0, 2, rows),
            "row": np.arange(rows),
        }
    )


def served(store: Store, folder: Path, rows: object) -> np.ndarray:
    server = Server(store, load_dataset(folder / "toy.yaml"), say=lambda line: None)
    (part,) = server.table(as_table(rows), ())
    return np.asarray(part.rows.ids)


def test_fields_that_share_have_one_form_of_all_their_words(tmp_path: Path) -> None:
    """Items are written 7.0, those seen before 7: one id; a word among the seen ones makes texts of
    both.
    """
    whole = prepared(tmp_path / "whole", table(), features=[ITEM, SEEN], **COMMON)
    assert [field.form for field in whole.schema.id_fields] == ["whole", "whole"]
    assert sorted(whole.vocabulary("item")["word"].to_pylist(), key=int) == [
        str(item) for item in range(20)
    ]
    codes = table().assign(seen=lambda t: "007," + t["seen"])
    texts = prepared(tmp_path / "texts", codes, features=[ITEM, SEEN], **COMMON)
    assert [field.form for field in texts.schema.id_fields] == ["text", "text"]
    assert {"7.0", "7", "007"} <= set(texts.vocabulary("item")["word"].to_pylist())


def test_counts_of_spellings_are_those_of_the_word(tmp_path: Path) -> None:
    """min_count is of the word: rare spellings of it count together."""
    rows = table().assign(
        item=lambda t: np.where(t.index % 3 == 0, "7", np.where(t.index % 3 == 1, "7.0", "+7"))
    )
    rows.loc[:60, "item"] = [str(100 + i) for i in range(61)]
    store = prepared(tmp_path, rows, features=[{**ITEM, "min_count": 90}], **COMMON)
    assert store.vocabulary("item").to_pydict()["word"] == ["7"]
    (field,) = store.schema.fields
    assert (
        store.vocabulary("item")["count"].to_pylist()
        == [store.schema.train_rows - field.unknown_count]
        and field.unknown_count > 30
    )


def test_hashed_ids_have_a_form_too(tmp_path: Path) -> None:
    features = [
        {**ITEM, "hash_buckets": 50},
        {"name": "flag", "kind": "categorical", "hash_buckets": 11},
    ]
    rows = table().assign(flag=lambda t: t["click"].astype(bool))
    store = prepared(tmp_path, rows, features=features, **COMMON, allow_leak=["flag"])
    assert [field.form for field in store.schema.id_fields] == ["whole", "truth"]
    one = served(store, tmp_path, {"item": [7.0, 8.0], "flag": [True, False]})
    for other in (
        {"item": ["7", " 8.0"], "flag": ["TRUE", "false"]},
        {"item": [7, 8], "flag": [1, 0]},
    ):
        np.testing.assert_array_equal(served(store, tmp_path, other), one)
    assert (one > 0).all() and one[0, 1] != one[1, 1]


@pytest.mark.parametrize(
    ("new", "expected"), [(["2134", "501"], ["02134", "00501"]), (["x", "00501"], ["x", "00501"])]
)
def test_a_vocabulary_that_grows_keeps_its_form(
    tmp_path: Path, new: list[str], expected: list[str]
) -> None:
    rows = table().assign(item=lambda t: np.where(t.index % 2 > 0, "00501", "10001"))
    old = prepared(tmp_path / "monday", rows, features=[ITEM], **COMMON)
    tuesday = rows.assign(item=lambda t: np.where(t.index % 2 > 0, new[0], new[1]))
    path = dataset(tmp_path / "tuesday", features=[ITEM], **COMMON, vocabularies_from=str(old.path))
    tuesday.to_csv(tmp_path / "tuesday" / "rows.csv", index=False)
    store = prepare(load_dataset(path), data_dir=tmp_path / "tuesday" / "data")
    (field,) = store.schema.fields
    assert (field.form, field.digits) == ("fixed", 5)
    words = store.vocabulary("item")["word"].to_pylist()
    assert words[:2] == old.vocabulary("item")["word"].to_pylist() and set(words) == {
        "10001",
        *expected,
        "00501",
    }
    assert (
        served(store, tmp_path / "tuesday", pa.table({"item": [501]}))[0, 0]
        == words.index("00501") + 1
    )
