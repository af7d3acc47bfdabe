"""Intervals of AUC against resamples made row by row, and what a unit is."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from automtl.errors import DataError
from automtl.training.metrics._bootstrap import Resamples


def material(rows: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, scores with ties, users."""
    g = np.random.default_rng(0)
    labels = g.integers(0, 2, rows).astype(float)
    return labels, (labels + g.normal(size=rows) * 2).round(1), g.integers(0, 40, rows) + 1000


@pytest.mark.parametrize("weighted", [False, True])
def test_against_resampled_rows_and_scikit_learn(weighted: bool) -> None:
    labels, scores, users = material()
    weights = np.random.default_rng(1).random(300) if weighted else None
    g, names, areas = np.random.default_rng(7), np.unique(users), []
    for _ in range(50):
        rows = np.concatenate(
            [np.flatnonzero(users == names[u]) for u in g.integers(0, len(names), len(names))]
        )
        areas.append(
            roc_auc_score(
                labels[rows], scores[rows], sample_weight=None if weights is None else weights[rows]
            )
        )
    found = Resamples(50, units=users, rows=300, seed=7).auc_interval(labels, scores, weights)
    assert found == pytest.approx(np.quantile(areas, [0.025, 0.975]), abs=1e-12)


def test_rows_of_one_unit_tell_what_one_row_tells() -> None:
    labels, scores, _ = material()
    once = Resamples(200, units=None, rows=300, seed=0).auc_interval(labels, scores)
    fourfold = [np.repeat(part, 4) for part in (labels, scores, np.arange(300))]
    assert Resamples(200, units=fourfold[2], rows=1200, seed=0).auc_interval(
        *fourfold[:2]
    ) == pytest.approx(once, abs=1e-12)
    alone = Resamples(200, units=None, rows=1200, seed=0).auc_interval(*fourfold[:2])
    assert once is not None
    assert alone is not None
    assert alone[1] - alone[0] < 0.7 * (once[1] - once[0])


def test_rows_without_a_label_are_left_out() -> None:
    labels, scores, users = material()
    gone = (
        np.concatenate([labels, np.full(20, np.nan)]),
        np.concatenate([scores, np.full(20, 9.0)]),
        np.concatenate([users, users[:20]]),
    )
    expected = Resamples(50, units=users, rows=300, seed=0).auc_interval(labels, scores)
    assert Resamples(50, units=gone[2], rows=320, seed=0).auc_interval(*gone[:2]) == expected


def test_what_is_undefined() -> None:
    draws = Resamples(20, units=None, rows=4, seed=0)
    assert draws.auc_interval(np.ones(4), np.arange(4.0)) is None
    assert draws.auc_interval(np.full(4, np.nan), np.arange(4.0)) is None
    # resamples without the positive do not count
    assert draws.auc_interval(np.array([1.0, 0, 0, 0]), np.array([1.0, 0, 0, 0])) == (1.0, 1.0)
    with pytest.raises(DataError, match="labels must be 0 or 1"):
        draws.auc_interval(np.arange(4.0), np.arange(4.0))
