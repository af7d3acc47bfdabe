import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from automtl.data.store.schema import Task
from automtl.training.metrics._calibration import reliability, task_reliability


def by_hand(p, y, w, bins):
    """The definition, row by row: a row goes to the bin of the first row that has its
    prediction.
    """
    rows = sorted((a, b, c) for a, b, c in zip(p, y, w, strict=True) if not math.isnan(b))
    n, table = len(rows), {}
    starts = [rows[k * n // bins][0] for k in range(1, bins)] if n else []
    for row in rows:
        table.setdefault(sum(row[0] >= start for start in starts), []).append(row)
    made = []
    for _, members in sorted(table.items()):
        total = sum(c for *_, c in members)
        if total > 0:
            made.append(
                (
                    sum(a * c for a, _, c in members) / total,
                    sum(b * c for _, b, c in members) / total,
                    len(members),
                )
            )
    return made


a_row = st.tuples(
    st.sampled_from([0.1, 0.2, 0.25, 0.5, 0.9]),
    st.sampled_from([0.0, 1.0, math.nan]),
    st.integers(0, 3),
)


@given(st.lists(a_row, max_size=60), st.integers(1, 8))
def test_bins_equal_the_definition(rows, bins):
    p, y, w = (np.array([row[i] for row in rows], dtype=np.float64) for i in range(3))
    made = [(b["prediction"], b["label"], b["rows"]) for b in reliability(p, y, w, bins=bins)]
    expected = by_hand(p, y, w, bins)
    assert len(made) == len(expected)
    for mine, theirs in zip(made, expected, strict=True):
        assert mine == pytest.approx(theirs, abs=1e-12)


def test_distinct_predictions_fill_equal_bins_in_any_order_of_rows():
    rng = np.random.default_rng(0)
    p, y = rng.permutation(1000) / 1000, rng.integers(0, 2, 1000).astype(float)
    table = reliability(p, y)
    assert [b["rows"] for b in table] == [50] * 20
    order = np.argsort(p)
    assert [b["label"] for b in table] == pytest.approx(y[order].reshape(20, 50).mean(axis=1))
    shuffled = rng.permutation(1000)
    assert reliability(p[shuffled], y[shuffled]) == table


def means(table):
    return [mean for piece in table for mean in (piece["prediction"], piece["label"])]


def test_a_task_s_own_link_is_applied():
    logits = np.array([0.0, math.log(3.0), -800.0])
    binary = task_reliability(
        Task(name="click", kind="binary"), logits, np.array([0.0, 1.0, np.nan]), None
    )
    assert means(binary) == pytest.approx([0.5, 0.0, 0.75, 1.0])
    task = Task(name="minutes", kind="regression", mean=10.0, std=2.0)
    assert task_reliability(task, np.array([-1.0, 1.0]), np.array([7.0, 13.0]), None)[1] == {
        "prediction": 12.0,
        "label": 13.0,
        "rows": 1,
    }
    wide = np.log(np.array([[0.5, 0.3, 0.2], [0.1, 0.2, 0.7]]))
    multi = task_reliability(
        Task(name="kind", kind="multiclass", classes=3), wide, np.array([1.0, 2.0]), None
    )
    assert means(multi) == pytest.approx([0.5, 0.0, 0.7, 1.0])


def test_no_labels_give_no_bins():
    assert reliability(np.array([0.3, 0.4]), np.array([np.nan, np.nan])) == []


def test_a_table_is_plain_json():
    table = reliability(np.float32([0.1, 0.4, 0.9]), np.float32([0, 1, 1]), np.float32([1, 2, 1]))
    assert json.loads(json.dumps(table)) == table
