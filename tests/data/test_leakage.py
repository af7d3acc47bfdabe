"""One-feature out-of-fold AUC against scikit-learn, and what is no leak."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from automtl.data.prepare.leakage import FOLDS, MIN_ROWS, cell_auc, one_feature_auc


def slow_auc(values: np.ndarray, labels: np.ndarray, folds: np.ndarray) -> float:
    there = ~np.isnan(labels) & np.array(
        [(values[~np.isnan(labels)] == v).sum() >= MIN_ROWS for v in values]
    )
    values, labels, folds = values[there], labels[there], folds[there]
    scores = []
    for value, fold in zip(values, folds, strict=True):
        others = labels[(values == value) & (folds != fold)]
        scores.append(others.mean() if len(others) else labels.mean())
    return float(roc_auc_score(labels, scores))


def test_against_scikit_learn() -> None:
    g = np.random.default_rng(0)
    values = (g.zipf(1.5, 3000) - 1).clip(max=300)
    labels = (g.random(3000) < (values % 7) / 8).astype(float)
    labels[g.random(3000) < 0.2] = np.nan
    folds = g.integers(0, FOLDS, 3000)
    assert one_feature_auc(values, labels, folds) == pytest.approx(
        slow_auc(values, labels, folds), abs=1e-12
    )


def test_far_more_ids_than_rows_take_no_more_memory() -> None:
    """With a cell for each id these would be 170 GB."""
    g = np.random.default_rng(1)
    values, labels = g.integers(0, 7, 900), (g.random(900) < 0.3).astype(float)
    folds = g.integers(0, FOLDS, 900)
    few = one_feature_auc(values, labels, folds)
    assert few == one_feature_auc(values * (2**31 // 8), labels, folds) is not None


def test_cells_with_ties() -> None:
    assert cell_auc(
        np.array([0.1, 0.5, 0.5]), np.array([1, 2, 0]), np.array([3, 0, 1])
    ) == pytest.approx(roc_auc_score([1, 0, 0, 0, 1, 1, 0], [0.1] * 4 + [0.5] * 3))
    assert cell_auc(np.array([0.1]), np.array([0]), np.array([3])) is None


def test_many_values_of_few_rows_are_no_leak() -> None:
    g = np.random.default_rng(0)
    values, labels, folds = (
        np.repeat(np.arange(500), 4),
        g.integers(0, 2, 2000).astype(float),
        g.integers(0, FOLDS, 2000),
    )
    assert one_feature_auc(values, labels, folds) is None
    values = np.repeat(np.arange(100), MIN_ROWS)
    in_sample = np.array([labels[values == v].mean() for v in values])
    assert roc_auc_score(labels, in_sample) > 0.6
    assert one_feature_auc(values, labels, folds) == pytest.approx(0.5, abs=0.05)


def test_no_labels_at_all() -> None:
    assert one_feature_auc(np.zeros(5, np.int64), np.full(5, np.nan), np.zeros(5, np.int64)) is None
