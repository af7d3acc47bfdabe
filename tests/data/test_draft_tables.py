"""Drafts of tables put together at random from columns whose roles are known, written in any form;
each is prepared as it is drafted.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.data.drafts import drafted, labels

Make = Callable[[np.random.Generator, int], Any]
ROWS = 600
CATEGORICAL, NUMERIC = {"kind": "categorical"}, {"kind": "numeric"}

FEATURES: dict[str, tuple[Make, dict[str, Any] | None]] = {  # None: left out
    "user_id": (lambda g, n: g.integers(0, 60, n), CATEGORICAL),
    "SellerId": (lambda g, n: g.integers(10**8, 10**8 + 40, n), CATEGORICAL),
    "Clothing ID": (lambda g, n: g.integers(0, 90, n), CATEGORICAL),
    "PRODUCT_SUBCLASS": (lambda g, n: g.choice(g.integers(100_101, 780_510, 50), n), CATEGORICAL),
    "zip code": (lambda g, n: [f"{value:05}" for value in g.integers(500, 600, n)], CATEGORICAL),
    "Country": (lambda g, n: g.choice(["DE", "FR", "US", "é à"], n), CATEGORICAL),
    "device_type": (lambda g, n: g.integers(0, 5, n), CATEGORICAL),
    "gender": (lambda g, n: g.integers(0, 2, n), CATEGORICAL),
    "is_weekend": (lambda g, n: g.random(n) < 0.3, CATEGORICAL),
    "hour of day": (lambda g, n: g.integers(0, 24, n), CATEGORICAL),
    "price": (lambda g, n: g.gamma(2, 10, n).round(2), NUMERIC),
    "Age": (lambda g, n: np.where(g.random(n) < 0.1, np.nan, g.integers(18, 80, n)), NUMERIC),
    "num_orders": (lambda g, n: g.poisson(30, n), NUMERIC),
    "income": (lambda g, n: g.lognormal(10, 1, n).astype(int), NUMERIC),
    "embedding_norm": (lambda g, n: g.normal(size=n), NUMERIC),
    "review text": (
        lambda g, n: [
            " ".join(g.choice("a nice bad dress shoe very wow fit love".split(), 14))
            for _ in range(n)
        ],
        None,
    ),
    "request_token": (lambda g, n: [f"{value:x}" for value in g.integers(2**60, 2**61, n)], None),
    "app_version": (lambda g, n: ["1.2.3"] * n, None),
    "comment": (lambda g, n: [None] * n, None),
    "row": (lambda g, n: np.arange(n), None),
}
LABELS: dict[str, tuple[Make, dict[str, Any]]] = {
    "clicked": (lambda g, n: g.integers(0, 2, n), {"kind": "binary"}),
    "isBought": (lambda g, n: g.random(n) < 0.2, {"kind": "binary"}),
    "purchase": (
        lambda g, n: np.where(g.random(n) < 0.1, np.nan, g.random(n) < 0.1),
        {"kind": "binary"},
    ),
    "Liked": (lambda g, n: g.choice(["yes", "no"], n), {"kind": "binary", "positive": "yes"}),
    "converted": (lambda g, n: g.choice(["Y", "N", None], n), {"kind": "binary", "positive": "Y"}),
    "Recommended IND": (
        lambda g, n: g.integers(0, 2, n) * 2 - 1,
        {"kind": "binary", "positive": "1"},
    ),
    "Rating": (lambda g, n: g.integers(1, 6, n), {"kind": "regression"}),
    "event": (lambda g, n: g.choice(["view", "cart", "sale"], n), {"kind": "multiclass"}),
}
TIMES: dict[str, Make] = {
    "time": lambda g, n: 1_650_000_000 + g.integers(0, 10**6, n),
    "created_at": lambda g, n: 1_650_000_000_123 + g.integers(0, 10**9, n),
    "Date": lambda g, n: [
        f"2024-{month:02}-{day:02}"
        for month, day in zip(g.integers(1, 13, n), g.integers(1, 29, n), strict=True)
    ],
    "timestamp": lambda g, n: pd.to_datetime(
        1_650_000_000 + g.integers(0, 10**6, n), unit="s"
    ).astype(str),
    "day": lambda g, n: 20_240_100 + g.integers(1, 29, n),
}


def lists(g: np.random.Generator, n: int) -> list[list[int]]:
    """A history of item ids for each row."""
    return [g.integers(0, 40, g.integers(1, 7)).tolist() for _ in range(n)]


def write(table: pd.DataFrame, folder: Path, form: str) -> Path:
    """The table in one of the forms."""
    if form == "parquet":
        table.to_parquet(folder / "t.parquet", index=False)
        return folder / "t.parquet"
    joined = table.assign(
        **{
            name: ["|".join(map(str, ids)) for ids in table[name]]
            for name in table
            if isinstance(table[name][0], list)
        }
    )
    name = {"tsv": "t.tsv", "gz": "t.csv.gz"}.get(form, "t.csv")
    joined.to_csv(
        folder / name, index=form == "index", sep={"tsv": "\t", "semicolon": ";"}.get(form, ",")
    )
    return folder / name


@pytest.mark.parametrize(
    "number", [*range(25), *(pytest.param(i, marks=pytest.mark.slow) for i in range(25, 400))]
)
def test_a_table_of_known_columns(number: int, tmp_path: Path) -> None:
    draw, g = random.Random(number), np.random.default_rng(number)
    form = draw.choice(["csv", "index", "tsv", "semicolon", "gz", "parquet"])
    features = draw.sample(sorted(FEATURES), draw.randint(2, 9))
    targets = draw.sample(sorted(LABELS), draw.randint(1, 4))
    times = draw.sample(sorted(TIMES), draw.randint(0, 2))
    made: dict[str, Any] = {name: FEATURES[name][0](g, ROWS) for name in features}
    made |= {name: LABELS[name][0](g, ROWS) for name in targets} | {
        name: TIMES[name](g, ROWS) for name in times
    }
    expected = {name: settings for name in features if (settings := FEATURES[name][1]) is not None}
    made["item_id"], expected["item_id"] = g.integers(0, 40, ROWS), CATEGORICAL
    if draw.random() < 0.5:
        made["recent_items"] = lists(g, ROWS)
        separator = {} if form == "parquet" else {"separator": "|"}
        expected["recent_items"] = {
            "kind": "sequence",
            "max_length": 6,
            "share_embedding": "item_id",
        } | separator
    names = draw.sample(sorted(made), len(made))
    text, content, store = drafted(
        write(pd.DataFrame({name: made[name] for name in names}), tmp_path, form)
    )
    found = {
        feature["name"]: {key: value for key, value in feature.items() if key != "name"}
        for feature in content["features"]
    }
    assert found == expected, text
    assert labels(content) == {name: LABELS[name][1] for name in targets}, text
    assert (content["split"]["kind"] == "time") == bool(times), text
    assert content["split"].get("column") in (times or [None]), text
    assert [field.name for field in store.schema.fields if not field.indicator_of] == sorted(
        expected,
        key=lambda name: (
            {"categorical": 0, "sequence": 1, "numeric": 2}[expected[name]["kind"]],
            list(found).index(name),
        ),
    )
