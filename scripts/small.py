"""A data set of a few hundred rows and settings that train on it in a second or two: for the
scripts and the tests beside them.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pandas as pd

SPACE = (
    "space.expert=[mlp(4), conv1d(3), skip]",
    "space.interaction=[cross(1), skip]",
    "space.num_experts=3",
    "space.expert_dim=8",
    "space.embedding_dim=4",
    "space.towers=[8]",
)
PAPER = ("search.strategy=darts", "search.selection=argmax")
SEARCH = (*SPACE, *PAPER, "search.batch_size=64", "search.epochs=2", "search.warmup_epochs=1")


def flags(sets: Iterable[str]) -> list[str]:
    """Settings as words of a command line."""
    return [word for item in sets for word in ("--set", item)]


def write_dataset(
    folder: Path, rows: int = 600, seed: int = 0, first_field: str = "user", missing: float = 0.1
) -> Path:
    """A CSV with two categorical fields, a number and two learnable binary tasks, and its YAML; the
    YAML's path.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(seed)
    user, item = rng.integers(0, 20, rows), rng.integers(0, 15, rows)
    price = rng.normal(size=rows)
    click = rng.random(rows) < 1 / (1 + np.exp(-(0.3 * (user - 10) + price)))
    buy = rng.random(rows) < 1 / (1 + np.exp(-(0.4 * (item - 7) - price)))
    frame = pd.DataFrame(
        {
            first_field: user,
            "item": item,
            "price": price,
            "click": click.astype(int),
            "buy": buy.astype(float),
        }
    )
    frame.loc[rng.random(rows) < missing, "buy"] = np.nan
    frame.to_csv(folder / "rows.csv", index=False)
    yaml = folder / "tiny.yaml"
    yaml.write_text(
        "name: tiny\n"
        "files: {train: rows.csv}\n"
        f"features:\n  - {{name: {first_field}, kind: categorical}}\n  - {{name: item, kind: "
        "categorical}\n"
        "  - {name: price, kind: numeric}\n"
        "tasks:\n  - {name: click, label: click}\n  - {name: buy, label: buy}\n"
        "split: {kind: random, train: 0.7, validation: 0.1, test: 0.2}\n"
    )
    return yaml
