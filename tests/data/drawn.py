"""Tables of few distinct rows, and the parts that their rows are drawn into without a store being
made.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from automtl.data.prepare._copies import Copies
from automtl.data.prepare._digest import Digester
from automtl.data.prepare._labels import LabelCounts
from automtl.data.prepare.remarks import differing
from automtl.data.prepare.split import split_rule
from automtl.data.raw.sources import Piece
from automtl.data.spec.dataset import DatasetConfig, load_dataset
from tests.data.tables import dataset


def few_values(columns: int, rows: int = 20_000) -> tuple[pd.DataFrame, np.ndarray]:
    """Case A1: rows of a few small columns, click and buy drawn from a function of all; and the
    true probabilities.
    """
    g = np.random.default_rng(columns)
    sizes = (2, 8, 3, 6, 10)[:columns]
    table = pd.DataFrame({f"x{i}": g.integers(0, size, rows) for i, size in enumerate(sizes)})
    effects = [g.normal(size=(size, 2)) * 0.8 for size in sizes]
    truth = 1 / (1 + np.exp(-sum(effect[table[f"x{i}"]] for i, effect in enumerate(effects))))
    labels = (g.random(truth.shape) < truth).astype(int)
    return table.assign(is_click=labels[:, 0], is_buy=labels[:, 1]), truth


def configured(folder: Path, table: pd.DataFrame, **settings: Any) -> DatasetConfig:
    features = [
        {"name": name, "kind": "categorical"} for name in table.columns if name.startswith("x")
    ]
    return load_dataset(dataset(folder, **{"features": features, **settings}))


def digested(config: DatasetConfig, table: pd.DataFrame) -> pa.RecordBatch:
    """The digest of a table of whole numbers, each row with its draw."""
    columns = {
        name: pa.array(values.astype(str).tolist()).dictionary_encode()
        for name, values in table.items()
    }
    piece = Piece(
        Path("rows.csv"), 1, pa.RecordBatch.from_arrays(list(columns.values()), list(columns))
    )
    digest = Digester(config)(piece, "train")
    copies = Copies.among(
        digest.column("hash").to_numpy().copy(), together=config.split.duplicates == "together"
    )
    return next(copies.with_draws(iter([digest])))


def parts_by_seed(
    config: DatasetConfig, batch: pa.RecordBatch, seeds: range
) -> Iterator[np.ndarray]:
    roles, key = (
        batch.column("role").to_numpy(),
        batch.column("key" if config.split.column else "draw").to_numpy(),
    )
    for seed in seeds:
        seeded = config.model_copy(update={"split": config.split.model_copy(update={"seed": seed})})
        yield split_rule(seeded, np.zeros(0, np.int64))(roles, key)


def alarms(config: DatasetConfig, batch: pa.RecordBatch, parts: np.ndarray) -> tuple[str, ...]:
    counts = [LabelCounts(task) for task in config.tasks]
    for labels in counts:
        labels.add(batch, parts)
    return differing({labels.task.name: labels.summary() for labels in counts})
