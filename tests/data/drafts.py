"""Drafts of tables, prepared as they are: a draft that `prepare` refuses is none."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from automtl.data.describe import draft
from automtl.data.prepare import prepare
from automtl.data.spec.dataset import load_dataset
from automtl.data.store import Store
from automtl.strict import parse_yaml

Roles = dict[str, str]


def clicks(rows: int = 800, seed: int = 0) -> pd.DataFrame:
    """The usual table: users, items, a price, seconds since 1970, a click, and a purchase that some
    clicks lead to.
    """
    g = np.random.default_rng(seed)
    user, item = g.integers(0, 60, rows), g.integers(0, 40, rows)
    clicked = (
        g.random(rows) < 1 / (1 + np.exp(0.5 - (user % 7 - 3) / 4 - (item % 5 - 2) / 4))
    ).astype(int)
    table = {
        "user_id": user,
        "item_id": item,
        "price": g.gamma(2, 10, rows).round(2),
        "time": 1_650_000_000 + g.integers(0, 10**6, rows),
    }
    return pd.DataFrame(table | {"clicked": clicked, "bought": clicked * (g.random(rows) < 0.4)})


def drafted(
    table: Path, tasks: list[dict[str, Any]] | None = None, **settings: Any
) -> tuple[str, dict[str, Any], Store]:
    """A table's draft beside it, as text and as plain data, and its store; `tasks` where it has
    none.
    """
    folder = table.parent
    text = draft(table, folder=folder)
    content: dict[str, Any] = parse_yaml(text, "draft")
    assert content == yaml.safe_load(text), "all readers of YAML read the same"
    used = content
    if tasks:
        assert content["tasks"] is None
        labels = {task["label"] for task in tasks}
        used = content | {
            "tasks": tasks,
            "features": [f for f in content["features"] if f["name"] not in labels],
        }
    (folder / "draft.yaml").write_text(
        text if used is content and not settings else yaml.safe_dump(used | settings)
    )
    return text, content, prepare(load_dataset(folder / "draft.yaml"), data_dir=folder / "data")


def roles(content: dict[str, Any]) -> Roles:
    """The kind of each feature."""
    return {feature["name"]: feature["kind"] for feature in content["features"]}


def labels(content: dict[str, Any]) -> dict[str, Any]:
    """The settings of each task but for its label, by the label's column."""
    return {
        task["label"]: {key: value for key, value in task.items() if key not in ("name", "label")}
        for task in content["tasks"]
    }


def line_of(text: str, name: str) -> str:
    """The line of a column, comment or not."""
    return next(
        line
        for line in text.splitlines()
        if f"- {{name: {name}," in line or f'- {{name: "{name}",' in line
    )


CLICKS = {"user_id": "categorical", "item_id": "categorical", "price": "numeric"}
BINARY = {"kind": "binary"}
BOTH = {"clicked": BINARY, "bought": BINARY}


def csv(folder: Path, table: pd.DataFrame, **settings: Any) -> Path:
    """The table as `t.csv`."""
    table.to_csv(folder / "t.csv", **({"index": False} | settings))
    return folder / "t.csv"


def parquet(folder: Path, table: pd.DataFrame | dict[str, pa.Array]) -> Path:
    """The table as `t.parquet`."""
    made = (
        pa.Table.from_pandas(table, preserve_index=False)
        if isinstance(table, pd.DataFrame)
        else pa.table(table)
    )
    pq.write_table(made, folder / "t.parquet")
    return folder / "t.parquet"


def arrays(table: pd.DataFrame) -> dict[str, pa.Array]:
    """The table's columns."""
    return {name: pa.array(table[name]) for name in table}
