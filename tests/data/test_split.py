"""Splits: equal rows are drawn one by one, whatever the order of rows and files, and later rows move none before them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from automtl.data.copies import Copies
from automtl.data.dataset import DatasetConfig, load_dataset
from automtl.data.digest import Digester
from automtl.data.labels import LabelCounts
from automtl.data.remarks import differing
from automtl.data.sources import Piece
from automtl.data.split import ALPHA, TEST, split_rule
from tests.data.tables import dataset

SEEDS, ROWS = 10, 20_000


def few_values(columns: int, rows: int = ROWS) -> tuple[pd.DataFrame, np.ndarray]:
    """Case A1: rows of a few small columns, click and buy drawn from a function of all; and the true probabilities."""
    g = np.random.default_rng(columns)
    sizes = (2, 8, 3, 6, 10)[:columns]
    table = pd.DataFrame({f"x{i}": g.integers(0, size, rows) for i, size in enumerate(sizes)})
    effects = [g.normal(size=(size, 2)) * 0.8 for size in sizes]
    truth = 1 / (1 + np.exp(-sum(effect[table[f"x{i}"]] for i, effect in enumerate(effects))))
    labels = (g.random(truth.shape) < truth).astype(int)
    return table.assign(is_click=labels[:, 0], is_buy=labels[:, 1]), truth


def configured(folder: Path, table: pd.DataFrame, **settings: Any) -> DatasetConfig:
    features = [{"name": name, "kind": "categorical"} for name in table.columns if name.startswith("x")]
    return load_dataset(dataset(folder, **{"features": features, **settings}))


def digested(config: DatasetConfig, table: pd.DataFrame) -> pa.RecordBatch:
    """The digest of a table of whole numbers, each row with its draw."""
    columns = {name: pa.array(values.astype(str).tolist()).dictionary_encode() for name, values in table.items()}
    piece = Piece(Path("rows.csv"), 1, pa.RecordBatch.from_arrays(list(columns.values()), list(columns)))
    digest = Digester(config)(piece, "train")
    copies = Copies(digest.column("hash").to_numpy().copy(), together=config.split.duplicates == "together")
    return next(copies.told_apart(iter([digest])))


def parts_by_seed(config: DatasetConfig, batch: pa.RecordBatch, seeds: range) -> Iterator[np.ndarray]:
    roles, key = batch.column("role").to_numpy(), batch.column("key" if config.split.column else "draw").to_numpy()
    for seed in seeds:
        seeded = config.model_copy(update={"split": config.split.model_copy(update={"seed": seed})})
        yield split_rule(seeded, np.zeros(0, np.int64))(roles, key)


def alarms(config: DatasetConfig, batch: pa.RecordBatch, parts: np.ndarray) -> tuple[str, ...]:
    counts = [LabelCounts(task) for task in config.tasks]
    for labels in counts:
        labels.add(batch, parts)
    return differing({labels.task.name: labels.summary() for labels in counts})


def spread_of_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Standard error of an AUC (Hanley and McNeil 1982)."""
    auc, n1 = roc_auc_score(labels, scores), labels.sum()
    n0 = len(labels) - n1
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    return float(np.sqrt((auc * (1 - auc) + (n1 - 1) * (q1 - auc**2) + (n0 - 1) * (q2 - auc**2)) / (n1 * n0)))


@pytest.mark.parametrize("columns", [1, 2, 3, 5])
def test_rows_of_few_values_are_split_as_independent_ones(tmp_path: Path, columns: int) -> None:
    table, truth = few_values(columns)
    config = configured(tmp_path, table, split={"train": 0.7, "validation": 0.15, "test": 0.15})
    batch, inputs = digested(config, table), OneHotEncoder().fit_transform(table.iloc[:, :columns])
    for k, label in enumerate(("is_click", "is_buy")):
        labels, found = table[label].to_numpy(), []
        for parts in parts_by_seed(config, batch, range(SEEDS)):
            model = LogisticRegression(C=10).fit(inputs[parts <= ALPHA], labels[parts <= ALPHA])
            found.append(roc_auc_score(labels[parts == TEST], model.decision_function(inputs[parts == TEST])))
        error = spread_of_auc(labels, truth[:, k]) / np.sqrt(0.15 * SEEDS)
        assert abs(np.mean(found) - roc_auc_score(labels, truth[:, k])) < 2 * error
        assert max(found) - min(found) < 6 * error * np.sqrt(SEEDS)


@pytest.mark.parametrize("columns", [1, 2, 3, 5])
def test_a_random_split_raises_an_alarm_once_in_a_thousand(tmp_path: Path, columns: int) -> None:
    table, _ = few_values(columns)
    config = configured(tmp_path, table)
    batch = digested(config, table)
    assert sum(bool(alarms(config, batch, parts)) for parts in parts_by_seed(config, batch, range(100))) <= 1


def test_labels_that_decide_the_part_raise_an_alarm(tmp_path: Path) -> None:
    table, _ = few_values(2)
    config = configured(tmp_path, table, split={"duplicates": "together"})  # as every random split once was: case A1
    batch = digested(config, table)
    assert sum(bool(alarms(config, batch, parts)) for parts in parts_by_seed(config, batch, range(20))) == 20
