"""Splits: rows are drawn one by one, whatever their order and their copies, and later ones move
none before them.
"""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import OneHotEncoder

from automtl.data.prepare import prepare
from automtl.data.prepare.split import ALPHA, TEST, Times, split_rule
from automtl.data.spec.dataset import DatasetConfig, load_dataset
from automtl.errors import DataError
from automtl.strict import build
from tests.data.drawn import configured, digested, few_values, parts_by_seed
from tests.data.tables import FEATURES, TASKS, contents, dataset, frame, prepared

SEEDS = 10


def spread_of_auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Standard error of an AUC (Hanley and McNeil 1982)."""
    auc, n1 = roc_auc_score(labels, scores), labels.sum()
    n0 = len(labels) - n1
    q1, q2 = auc / (2 - auc), 2 * auc**2 / (1 + auc)
    return float(
        np.sqrt((auc * (1 - auc) + (n1 - 1) * (q1 - auc**2) + (n0 - 1) * (q2 - auc**2)) / (n1 * n0))
    )


@pytest.mark.parametrize("columns", [1, 2, 3, 5])
def test_rows_of_few_values_are_split_as_independent_ones(tmp_path: Path, columns: int) -> None:
    table, truth = few_values(columns)
    config = configured(tmp_path, table, split={"train": 0.7, "validation": 0.15, "test": 0.15})
    batch, inputs = digested(config, table), OneHotEncoder().fit_transform(table.iloc[:, :columns])
    for k, label in enumerate(("is_click", "is_buy")):
        labels, found = table[label].to_numpy(), []
        for parts in parts_by_seed(config, batch, range(SEEDS)):
            model = LogisticRegression(C=10).fit(inputs[parts <= ALPHA], labels[parts <= ALPHA])
            found.append(
                roc_auc_score(labels[parts == TEST], model.decision_function(inputs[parts == TEST]))
            )
        error = spread_of_auc(labels, truth[:, k]) / np.sqrt(0.15 * SEEDS)
        assert abs(np.mean(found) - roc_auc_score(labels, truth[:, k])) < 2 * error
        assert max(found) - min(found) < 6 * error * np.sqrt(SEEDS)


@pytest.mark.parametrize(
    "split", [{}, {"validation": 0, "test": 0.2}, {"kind": "random", "column": "x1"}]
)
def test_rows_that_come_later_move_none_of_the_earlier(
    tmp_path: Path, split: dict[str, object]
) -> None:
    table, _ = few_values(2, 3000)
    # not scaled by what comes later
    features = [{"name": "x0", "kind": "numeric", "fill": 0}, {"name": "x1", "kind": "numeric"}]
    first = configured(tmp_path / "first", table, split=split, features=features)
    more = configured(tmp_path / "more", table, split=split, features=features)
    before, after = digested(first, table[:2000]), digested(more, table)
    [parts], [later] = (
        list(parts_by_seed(config, batch, range(1)))
        for config, batch in ((first, before), (more, after))
    )
    assert (later[:2000] == parts).all()
    [shuffled] = parts_by_seed(more, digested(more, table.sample(frac=1, random_state=0)), range(1))
    assert Counter(shuffled.tolist()) == Counter(later.tolist())


def test_test_rows_stay_where_they_were_when_training_rows_come(tmp_path: Path) -> None:
    table, _ = few_values(2, 3000)
    for name, train in (("few", table[:500]), ("more", table[:1500])):
        (tmp_path / name).mkdir()
        train.to_csv(tmp_path / name / "rows.csv", index=False)
        table[1500:].to_csv(tmp_path / name / "late.csv", index=False)
    features = [{"name": f"x{i}", "kind": "categorical"} for i in range(2)]
    told = {
        "files": {"train": "rows.csv", "test": "late.csv"},
        "split": {"kind": "files", "test_to_validation": 0.5},
    }
    stores = [
        prepare(
            load_dataset(dataset(tmp_path / name, features=features, **told)),
            data_dir=tmp_path / name / "data",
        )
        for name in ("few", "more")
    ]
    few, more = (contents(store) for store in stores)
    late = [
        {key: n for key, n in rows.items() if key[0] in ("validation", "test")}
        for rows in (few, more)
    ]
    assert late[0] == late[1]
    halves = [sum(n for key, n in few.items() if key[0] == part) for part in ("validation", "test")]
    assert sum(halves) == 1500 and min(halves) > 650


def test_folds_of_the_leak_check_part_equal_rows(tmp_path: Path) -> None:
    """With one number for all copies of a content a fold holds whole contents, and a column of
    noise may look like a leak or hide one.
    """
    table = few_values(1, 4000)[0].assign(is_click=lambda t: t["x0"])
    with pytest.raises(
        DataError, match="feature 'x0': must not tell the label of task 'click' by itself"
    ):
        prepared(tmp_path, table, features=[{"name": "x0", "kind": "categorical"}])


def test_five_days_are_told_with_shares_that_fit(tmp_path: Path) -> None:
    days = np.repeat(pd.date_range("2024-03-01", periods=5).strftime("%Y-%m-%d"), 100)
    table = frame(500).assign(day=days)
    with pytest.raises(DataError) as caught:
        prepared(tmp_path, table, split={"kind": "time", "column": "day"})
    message = str(caught.value)
    assert (
        "toy: column 'day': must leave a time to each of fit, alpha, validation, test, as rows "
        "of one time stay together" in message
    )
    assert "got rows: fit 300, alpha 100, validation 0, test 100, of 5 distinct times" in message
    assert (
        "change split: for example train: 0.6, validation: 0.2, test: 0.2, or kind: random"
        in message
    )
    assert not any((tmp_path / "data/prepared").rglob("*"))
    advised = {"kind": "time", "column": "day", "train": 0.6, "validation": 0.2, "test": 0.2}
    assert prepared(tmp_path / "again", table, split=advised).summary["rows"] == {
        "fit": 200,
        "alpha": 100,
        "validation": 100,
        "test": 100,
    }


def by_time(times: np.ndarray, shares: dict[str, float]) -> np.ndarray | DataError:
    """Rows per part, or the refusal."""
    split = {"kind": "time", "column": "t", **shares}
    config = {
        "name": "toy",
        "files": {"train": "a.csv"},
        "features": FEATURES,
        "tasks": TASKS,
        "split": split,
    }
    try:
        return np.bincount(
            split_rule(build(DatasetConfig, config, "toy"), Times([times]))(times, times),
            minlength=4,
        )
    except DataError as error:
        return error


@settings(deadline=None)
@given(
    st.lists(st.integers(5, 40), min_size=1, max_size=12),
    st.sampled_from([(0.8, 0.1, 0.1), (0.7, 0.0, 0.3), (0.34, 0.33, 0.33)]),
)
def test_advised_shares_always_fit(sizes: list[int], shares: tuple[float, float, float]) -> None:
    times = np.repeat(np.arange(len(sizes), dtype=np.int64) * 86400, sizes)
    found = by_time(times, dict(zip(("train", "validation", "test"), shares, strict=True)))
    if isinstance(found, DataError):
        assert f"of {len(sizes)} distinct time" in found.got
        advised = {name: float(share) for name, share in re.findall(r"(\w+): (0\.\d+)", found.fix)}
        found = by_time(times, advised) if advised else np.ones(4)
        assert advised or len(sizes) < 4 or sizes[0] > 0.8 * sum(sizes[:-2])
    assert isinstance(found, np.ndarray) and found.all()
