"""`encode.py`, which stands in every export, encodes rows as the package does: ids, lists, hashes,
transforms, missing values.
"""

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from automtl import files
from automtl.data.prepare import prepare
from automtl.data.prepare.frames import as_table
from automtl.data.prepare.new_rows import Server
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from automtl.exports.encode import Encoder
from automtl.exports.encoding import Exported, write_encoding
from automtl.exports.network import arrays

FEATURES = [
    {"name": "user", "kind": "categorical", "min_count": 2},
    {"name": "size", "kind": "categorical"},
    {"name": "page", "kind": "categorical", "hash_buckets": 7},
    {"name": "tags", "kind": "multi", "separator": ";", "max_length": 2},
    {"name": "seen", "kind": "sequence", "max_length": 3, "share_embedding": "user"},
    {"name": "pages", "kind": "multi", "hash_buckets": 5},
    {"name": "plain", "kind": "numeric"},
    {"name": "logged", "kind": "numeric", "transform": "log1p", "fill": 3.0},
    {"name": "ranked", "kind": "numeric", "transform": "quantile", "missing": "indicator"},
]


def table(rows: int = 300, seed: int = 0) -> pd.DataFrame:
    g = np.random.default_rng(seed)
    words = ["", "a", "b c", "é", "x" * 300, "NA", "7", "line\nbreak", "\u2028", '"']
    some = lambda n: [str(v) for v in g.integers(0, 12, n)]  # noqa: E731
    frame = pd.DataFrame(
        {
            "user": g.integers(0, 30, rows),
            "size": np.where(g.random(rows) < 0.2, np.nan, g.integers(0, 4, rows) / 2),
        }
    )
    frame["page"] = g.choice(words, rows)
    frame["tags"] = [";".join(g.choice(words, g.integers(0, 4))) for _ in range(rows)]
    frame["seen"] = [",".join(some(g.integers(0, 6))) for _ in range(rows)]
    frame["pages"] = [" , ".join(some(g.integers(0, 3))) for _ in range(rows)]
    for name in ("plain", "logged", "ranked"):
        frame[name] = np.where(g.random(rows) < 0.1, np.nan, g.lognormal(size=rows).round(2))
    return frame.assign(click=g.integers(0, 2, rows))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Path]:
    folder = tmp_path_factory.mktemp("encode")
    table().to_parquet(folder / "rows.parquet")
    config = {
        "name": "wild",
        "files": {"train": "rows.parquet"},
        "features": FEATURES,
        "tasks": [{"name": "click", "label": "click"}],
    }
    (folder / "wild.yaml").write_text(json.dumps(config))
    dataset = load_dataset(folder / "wild.yaml")
    store = prepare(dataset, data_dir=folder / "data")
    with files.StagedFolder(folder / "out") as staged:
        write_encoding(staged, store, dataset)
    return store, folder / "out"


def plain(frame: pd.DataFrame) -> list[dict[str, object]]:
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


def test_the_package_itself_encodes_the_same(made: tuple[Store, Path]) -> None:
    store, folder = made
    frame = pd.concat(
        [
            table(seed=1),
            table(seed=2).assign(user=999, size="new", page="never seen", plain=1e6, ranked=-1e6),
        ]
    )
    # another writing
    frame["size"] = frame["size"].map(
        lambda v: v if isinstance(v, str) else "" if v != v else f"{v:.3f}"
    )
    frame = frame.drop(columns="click")
    exported = Exported(folder)
    assert str(folder.parent) not in "".join(p.read_text() for p in folder.glob("*.json")), (
        "no path of the machine"
    )
    found = Encoder(folder)(plain(frame))
    for server in (
        Server(store, load_dataset(folder.parent / "wild.yaml"), say=print),
        Server(exported, exported.config, say=print),
    ):
        (part,) = server.table(as_table(frame), ())
        expected = arrays(part.rows, store.schema, np.arange(len(frame)))
        assert list(found) == list(expected) == [field.name for field in store.schema.fields]
        for name, array in expected.items():
            assert found[name].dtype == array.dtype
            np.testing.assert_allclose(found[name], array, rtol=1e-6, atol=1e-6, err_msg=name)
    assert (
        (found["user"] == 0).sum() >= 300
        and (found["size"] > 0).any()
        and found["ranked:missing"].any()
    )


def test_values_as_people_write_them(made: tuple[Store, Path]) -> None:
    _, folder = made
    row = {
        "user": 3,
        "size": 0.5,
        "page": "a",
        "tags": ["b c", "é"],
        "seen": [1, 2],
        "pages": None,
        "plain": 1,
        "logged": 1.0,
        "ranked": 2,
    }
    other = {
        **row,
        "user": "3",
        "size": np.float32(0.5),
        "tags": " b c; é;",
        "seen": "1,2",
        "pages": [],
        "plain": "1",
    }
    other["logged"] = np.int64(1)
    one, two = Encoder(folder)([row]), Encoder(folder)([other])
    for name in one:
        np.testing.assert_array_equal(one[name], two[name], err_msg=name)
    assert one["tags"].all() and one["seen"].shape == (1, 2)
    spans = Encoder(folder)([{**row, "user": timedelta(seconds=3), "plain": timedelta(seconds=1)}])
    for name in one:
        np.testing.assert_array_equal(
            one[name], spans[name], err_msg=f"{name}: spans of time are their seconds"
        )
    with pytest.raises(ValueError, match="a row must have every column, there is no plain"):
        Encoder(folder)([{k: v for k, v in row.items() if k != "plain"}])
    with pytest.raises(ValueError, match="finite"):
        Encoder(folder)([{**row, "plain": float("inf")}])
