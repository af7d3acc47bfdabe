"""Rows are drawn and halved by what they say, not by where they stand."""

from types import SimpleNamespace

import numpy as np
import pyarrow as pa

from automtl.data.store import Rows
from automtl.data.store.id_lists import Lists
from automtl.data.store.row_keys import alpha_halves, draw_rows, row_keys
from automtl.data.store.schema import Field as SchemaField
from automtl.data.store.schema import Schema, Task


def make(n=400, seed=0, distinct=50):
    """Rows with many copies, missing labels and lists."""
    rng = np.random.default_rng(seed)
    content = rng.integers(0, distinct, n)
    ids = np.stack([content % 7, content // 7], axis=1).astype(np.int32)
    labels = np.where(content % 5 == 0, np.nan, content % 2).astype(np.float32)[:, None]
    lengths = content % 4
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    values = np.concatenate(
        [np.arange(1, k + 1) + c for c, k in zip(content, lengths, strict=True)]
    ).astype(np.int32)
    kept = (content % 11).astype(np.int32)[:, None]
    return Rows(
        ids,
        (content / 3).astype(np.float32)[:, None],
        labels,
        None,
        (Lists(values, offsets),),
        kept,
    )


def permuted(rows, order):
    offsets, values = rows.lists[0].offsets, rows.lists[0].values
    parts = [values[offsets[i] : offsets[i + 1]] for i in order]
    moved = Lists(
        np.concatenate(parts),
        np.concatenate([[0], np.cumsum([len(p) for p in parts])]).astype(np.int64),
    )
    return Rows(
        rows.ids[order], rows.dense[order], rows.labels[order], None, (moved,), rows.kept[order]
    )


def test_copies_have_keys_of_their_own_and_the_order_of_rows_does_not_matter():
    rows = make()
    keys = row_keys(rows)
    assert len(np.unique(keys)) == len(keys) == 400
    order = np.random.default_rng(1).permutation(400)
    np.testing.assert_array_equal(np.sort(row_keys(permuted(rows, order))), np.sort(keys))


def test_every_part_of_a_row_counts_and_kept_columns_do_not():
    n = 3
    lists = Lists(np.array([1, 2, 3], np.int32), np.array([0, 2, 3, 3]))
    base = {
        "ids": np.zeros((n, 2), np.int32),
        "dense": np.zeros((n, 1), np.float32),
        "labels": np.zeros((n, 1), np.float32),
    }
    base |= {
        "weights": np.ones((n, 1), np.float32),
        "lists": (lists,),
        "kept": np.zeros((n, 1), np.int32),
    }
    before = row_keys(Rows(**base))
    others = {
        "ids": np.array([[1, 0], [0, 0], [0, 0]], np.int32),
        "dense": np.array([[0.5], [0], [0]], np.float32),
        "labels": np.array([[np.nan], [0], [0]], np.float32),
        "weights": np.array([[2], [1], [1]], np.float32),
        "lists": (Lists(np.array([2, 1, 3], np.int32), lists.offsets),),
    }
    for name, value in others.items():
        after = row_keys(Rows(**{**base, name: value}))
        assert after[0] != before[0] and (after[1:] == before[1:]).all(), name
    swapped = Rows(**{**base, "ids": np.array([[0, 1], [0, 0], [0, 0]], np.int32)})
    assert row_keys(swapped)[0] != row_keys(Rows(**{**base, "ids": others["ids"]}))[0], (
        "which column"
    )
    assert (row_keys(Rows(**{**base, "kept": np.ones((n, 1), np.int32)})) == before).all()
    assert (
        row_keys(Rows(**{**base, "dense": np.full((n, 1), -0.0, np.float32)})) == before
    ).all(), "one zero"


def test_a_smaller_draw_is_part_of_a_larger_one_and_purposes_are_independent():
    keys, index = row_keys(make()), np.arange(0, 400, 2)
    few, more = (draw_rows(keys, index, count, purpose="fit") for count in (30, 90))
    assert len(few) == 30 and set(few) < set(more) < set(index) and (np.diff(more) > 0).all()
    assert len(set(draw_rows(keys, index, 90, purpose="b")) & set(more)) < 60
    assert (draw_rows(keys, index[::-1], None, purpose="fit") == index).all() and len(
        draw_rows(keys, index, 10**6, purpose="fit")
    ) == 200


def store(rows, group):
    schema = Schema(
        name="t",
        fields=(SchemaField(name="a", kind="categorical", vocabulary_size=9),),
        tasks=(Task(name="y", kind="binary"),),
        kept=("user",),
        group=group,
    )
    words = pa.table({"word": [f"u{i}" for i in range(1, 11)], "count": [1] * 10})
    return SimpleNamespace(
        schema=schema,
        rows=lambda split: rows,
        alpha_index=np.arange(100, 400),
        kept_words=lambda name: words,
    )


def test_halves_are_disjoint_even_and_whole():
    rows = make()
    first, second = alpha_halves(store(rows, ""))
    assert sorted([*first, *second]) == list(range(100, 400)) and abs(len(first) - 150) < 40
    copies = [set(map(tuple, rows.ids[part])) for part in (first, second)]
    assert copies[0] & copies[1], "copies of a row fall to both sides"


def test_halves_keep_a_group_together_and_rows_without_one_apart():
    rows = make()
    first, second = alpha_halves(store(rows, "user"))
    groups = [set(rows.kept[part, 0].tolist()) for part in (first, second)]
    assert (
        groups[0] & groups[1] <= {0}
        and groups[0] & groups[1]
        and sorted([*first, *second]) == list(range(100, 400))
    )
