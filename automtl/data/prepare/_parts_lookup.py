"""The ids of a part's words, as its buckets tell them."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from automtl.data.prepare._parts_words import Columns
from automtl.data.values.hashing import hash_words


class PartWords:
    """A part's words of one column, each with its id or 0: looked up by 64-bit hash, and by the
    word itself where two of the words have one hash.

    Args:
        words, ids: of each file and bucket; a word may come several times.
    """

    def __init__(self, words: Sequence[pa.Array], ids: Sequence[np.ndarray]) -> None:
        hashes = list[np.ndarray]()
        known = list[np.ndarray]()
        self._odd = dict[str, int]()
        odd = list[np.ndarray]()
        for some, own in zip(words, ids, strict=True):
            hashed = hash_words(some)
            distinct, first, inverse = np.unique(hashed, return_index=True, return_inverse=True)
            same = pc.equal(some.take(pa.array(first[inverse])), some).to_numpy(
                zero_copy_only=False
            )
            hashes.append(distinct)
            known.append(own[first])
            if not same.all():
                odd.append(np.unique(hashed[~same]))
                there = np.flatnonzero(np.isin(hashed, odd[-1]))
                pairs = zip(some.take(pa.array(there)).to_pylist(), own[there], strict=True)
                self._odd |= {word: int(number) for word, number in pairs}
        self._odd_hashes = np.concatenate([np.zeros(0, np.uint64), *odd])
        self._index: pd.Index[int] = pd.Index(np.concatenate([np.zeros(0, np.uint64), *hashes]))
        self._ids = np.concatenate([*known, np.zeros(1, np.int32)]).astype(np.int32)

    def ids(self, words: pa.Array, hashes: np.ndarray) -> np.ndarray:
        """The id of each word; 0 where there is none."""
        ids = self._ids[self._index.get_indexer(pd.Index(hashes))]
        for i in np.flatnonzero(np.isin(hashes, self._odd_hashes)) if self._odd else ():
            ids[i] = self._odd.get(words[int(i)].as_py(), 0)
        return ids


def words_of(columns: Columns, part: int) -> dict[str, PartWords]:
    """The words of a part with their ids, per column."""
    spills = {name: list(columns.files(name)) for name in columns.names}
    words: dict[str, list[pa.Array]] = {name: [] for name in columns.names}
    ids: dict[str, list[np.ndarray]] = {name: [] for name in columns.names}
    for bucket in range(columns.buckets):
        with columns.work.bucket("found", bucket, "arrow").open("rb") as stream:
            reader, number = pa.ipc.open_file(stream), 0
            for name, spill_files in spills.items():
                own_files = [(i, file) for i, (own, file) in enumerate(spill_files) if own == part]
                if own_files:
                    some = [columns.batch(part, file, bucket)["word"] for _, file in own_files]
                    own = [reader.get_batch(number + i)["id"].to_numpy() for i, _ in own_files]
                    words[name].append(pa.concat_arrays(some))
                    ids[name].append(np.concatenate(own))
                number += len(spill_files)
    return {name: PartWords(words[name], ids[name]) for name in columns.names}
