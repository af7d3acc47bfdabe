"""Small tables on disk, and data sets that read them."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store

FEATURES = [
    {"name": "user", "kind": "categorical"},
    {"name": "tag", "kind": "categorical"},
    {"name": "price", "kind": "numeric"},
]
TASKS = [{"name": "click", "label": "is_click"}, {"name": "buy", "label": "is_buy", "weight": 2.0}]


def frame(rows: int = 600, seed: int = 0) -> pd.DataFrame:
    """Rows with ids, texts, a number with holes, and two labels, one of them with holes."""
    g = np.random.default_rng(seed)
    price = g.lognormal(size=rows).round(3)
    price[g.random(rows) < 0.1] = np.nan
    buy = g.integers(0, 2, rows).astype(float)
    buy[g.random(rows) < 0.3] = np.nan
    return pd.DataFrame(
        {
            "user": g.integers(0, 40, rows),
            "tag": g.choice(["a", "b", "c d", "NA", "é", ""], rows),
            "price": price,
            "is_click": g.integers(0, 2, rows),
            "is_buy": buy,
            "time": 1_650_000_000_000 + g.integers(0, 10_000, rows),
        }
    )


def dataset(folder: Path, name: str = "toy", **settings: Any) -> Path:
    """Write the data set's YAML; `settings` replace or add keys."""
    config = {
        "name": name,
        "files": {"train": "rows.csv"},
        "features": FEATURES,
        "tasks": TASKS,
        **settings,
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(config), encoding="utf-8")  # JSON is YAML
    return path


def prepared(folder: Path, rows: pd.DataFrame, **settings: Any) -> Store:
    """The store of a table written as `rows.csv`."""
    path = dataset(folder, **settings)
    rows.to_csv(folder / "rows.csv", index=False)
    return prepare(load_dataset(path), data_dir=folder / "data")


def everything(store: Store) -> pd.DataFrame:
    """All rows of a store, decoded, with the part that each is in."""
    tables = []
    for split in ("train", "validation", "test"):
        rows, schema = store.rows(split), store.schema
        table: dict[str, Any] = {"part": np.full(len(rows), split, dtype=object)}
        if split == "train":
            table["part"][store.alpha_index] = "alpha"
        for i, field in enumerate(schema.categorical):
            words = np.array(["", *store.vocabulary(field.name)["word"].to_pylist()], dtype=object)
            table[field.name] = words[rows.ids[:, i]]
        table |= {field.name: rows.dense[:, i] for i, field in enumerate(schema.numeric)}
        table |= {task.name: rows.labels[:, i] for i, task in enumerate(schema.tasks)}
        tables.append(pd.DataFrame(table))
    return pd.concat(tables, ignore_index=True)


def contents(store: Store) -> Counter[tuple[object, ...]]:
    """How often each content is in each part."""
    return Counter(everything(store).itertuples(index=False, name=None))
