"""Keys of prepared rows, by which they are drawn and halved whatever their order.

A row's key follows from what the store says of it, ids, numbers, labels and weights; the k-th copy
of a row has a key of its own, so that equal rows spread instead of falling to one side together.
Legend: n rows.
"""

import numpy as np
import pyarrow as pa

from automtl.data.store._store import Rows, Store
from automtl.data.store.id_lists import Lists
from automtl.data.values.hashing import hash_text, hash_words, mix, share

BLOCK = 2**18


def row_keys(rows: Rows) -> np.ndarray:
    """(n,) uint64: the key of each row of a split."""
    blocks = [
        _content(rows, start, min(start + BLOCK, len(rows))) for start in range(0, len(rows), BLOCK)
    ]
    content = np.concatenate([np.zeros(0, np.uint64), *blocks])
    return mix(content + _copies(content).astype(np.uint64))


def draw_rows(
    keys: np.ndarray, index: np.ndarray, count: int | None, *, purpose: str, seed: int = 0
) -> np.ndarray:
    """At most `count` of some rows, ascending; of two counts the smaller one's rows are among the
    larger one's.

    Args:
        keys: of the whole split.
        index: the rows to draw from.
        count: None for all.
        purpose: draws for other purposes are independent.
        seed: likewise.
    """
    if count is None or count >= len(index):
        return np.sort(index)
    drawn = share(keys[index], seed, purpose)
    return np.sort(index[np.lexsort((keys[index], drawn))[:count]])


def alpha_halves(store: Store, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The alpha rows in two halves, A and B, by key: all rows of a group together where the data
    set names one, else row by row.
    """
    rows, index = store.rows("train"), store.alpha_index
    keys = row_keys(rows)[index]
    if rows.kept is not None and store.schema.group:
        codes = np.asarray(rows.kept[index, store.schema.kept.index(store.schema.group)])
        words = hash_words(
            pa.concat_arrays(
                [pa.array([""]), store.kept_words(store.schema.group)["word"].combine_chunks()]
            )
        )
        keys = np.where(codes > 0, words[codes], keys)  # a row without a group is one by itself
    first = share(keys, seed, "half") < 0.5
    return index[first], index[~first]


def _content(rows: Rows, start: int, end: int) -> np.ndarray:
    """The hash of what rows `start` to `end` - 1 say. A sum over columns, each with a salt of its
    own.
    """
    total = np.zeros(end - start, np.uint64)
    arrays = {"ids": rows.ids, "dense": rows.dense, "labels": rows.labels, "weights": rows.weights}
    for name, array in arrays.items():
        for column in range(0 if array is None else array.shape[1]):
            assert array is not None
            values = np.asarray(array[start:end, column])
            if values.dtype.kind == "f":
                # one NaN, one zero
                values = np.where(
                    np.isnan(values), np.float32(np.nan), values + np.float32(0.0)
                ).view(np.uint32)
            total += mix(values.astype(np.uint64) ^ hash_text(f"{name}.{column}"))
    for i, lists in enumerate(rows.lists):
        total += mix(_lists(lists, start, end) ^ hash_text(f"lists.{i}"))
    return mix(total)


def _lists(lists: Lists, start: int, end: int) -> np.ndarray:
    """One hash per list, of its values in order."""
    offsets = np.asarray(lists.offsets[start : end + 1])
    values = np.asarray(lists.values[offsets[0] : offsets[-1]])
    places = np.arange(len(values)) - np.repeat(offsets[:-1] - offsets[0], np.diff(offsets))
    hashes = mix(mix(values.astype(np.uint64)) + places.astype(np.uint64))
    before = np.concatenate([np.zeros(1, np.uint64), np.cumsum(hashes, dtype=np.uint64)])
    # whole numbers wrap round, and back
    sums: np.ndarray = before[offsets[1:] - offsets[0]] - before[offsets[:-1] - offsets[0]]
    return sums


def _copies(values: np.ndarray) -> np.ndarray:
    """How many equal values come before each. Shape: (n,)."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    begins = np.concatenate([np.ones(min(1, len(values)), bool), ordered[1:] != ordered[:-1]])
    places = np.arange(len(values))
    first = np.maximum.accumulate(np.where(begins, places, 0))
    copies = np.empty(len(values), np.int64)
    copies[order] = places - first
    return copies
