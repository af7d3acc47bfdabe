"""Contents that come more than once, found by buckets of hashes: no process holds all of them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from automtl import files
from automtl.data.prepare._copies import Copies, of_training
from automtl.data.prepare._digest import ROLES
from automtl.data.prepare._parts_plan import HASHES, Part, Work, read_facts, write_facts
from automtl.data.store.npy import mapped
from automtl.data.store.schema import SPLITS

CONTENTS, SPLIT_ROWS = "contents.npy", "split_rows.npy"
_SEEN = pa.schema([("hash", pa.uint64()), ("seen", pa.int32())])


def _bounds(buckets: int) -> list[np.uint64]:
    return [np.uint64((i << 64) // buckets) for i in range(buckets)]


def _slice(hashes: np.ndarray, buckets: int, bucket: int) -> slice:
    """Where a bucket's hashes are among rising ones."""
    bounds = _bounds(buckets)
    start = int(np.searchsorted(hashes, bounds[bucket]))
    end = bucket + 1 < buckets
    return slice(start, int(np.searchsorted(hashes, bounds[bucket + 1])) if end else len(hashes))


def _array(work: Work, part: int, name: str) -> np.ndarray:
    return mapped(work.of(part, name), mode="r")


@dataclass(frozen=True)
class CopiesOrder:
    """A bucket of hashes to be looked through."""

    work: Work
    parts: tuple[Part, ...]
    buckets: int
    bucket: int


def copies_orders(work: Work, parts: Sequence[Part], buckets: int) -> list[CopiesOrder]:
    """An order for each bucket of hashes."""
    return [CopiesOrder(work, tuple(parts), buckets, bucket) for bucket in range(buckets)]


def find_copies(order: CopiesOrder) -> None:
    """Write a batch for each part: the contents in it that come more than once, and how many rows
    of its role had each of them before.
    """
    work, counted = order.work, list[tuple[np.ndarray, np.ndarray]]()
    for part in order.parts:
        hashes = _array(work, part.number, HASHES)
        in_bucket = hashes[_slice(hashes, order.buckets, order.bucket)]
        counted.append(np.unique(in_bucket, return_counts=True))
    hashes, counts = (np.concatenate(arrays) for arrays in zip(*counted, strict=True))
    numbers = np.repeat(np.arange(len(counted)), [len(distinct) for distinct, _ in counted])
    contents, inverse = np.unique(hashes, return_inverse=True)
    whole = np.bincount(inverse, counts, len(contents)).astype(np.int64)
    again = np.flatnonzero(whole[inverse] > 1)
    roles = np.array([ROLES.index(part.role) for part in order.parts], np.int64)
    # roles follow each other as the parts do
    ranked = again[np.lexsort((numbers[again], inverse[again]))]
    seen = _before(inverse[ranked] * len(ROLES) + roles[numbers[ranked]], counts[ranked])
    with (
        files.stream(work.bucket("copies", order.bucket, "arrow")) as stream,
        pa.ipc.new_file(stream, _SEEN) as writer,
    ):
        for part in order.parts:
            in_part = numbers[ranked] == part.number
            arrays = [pa.array(hashes[ranked][in_part]), pa.array(seen[in_part].astype(np.int32))]
            writer.write_batch(pa.RecordBatch.from_arrays(arrays, schema=_SEEN))
    copies = int(whole.sum()) - len(contents)
    write_facts(work.bucket("copies", order.bucket, "json"), copies)


def _before(keys: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The sum of the counts before each, among those of the same key, which follow each other."""
    ends = np.cumsum(counts)
    begins = np.concatenate([[True], keys[1:] != keys[:-1]])[: len(keys)]
    starts = np.maximum.accumulate(np.where(begins, ends - counts, 0))
    before: np.ndarray = ends - counts - starts
    return before


def copies_in(work: Work, part: Part, buckets: int, *, together: bool) -> Copies:
    """The contents of a part that come more than once, here or elsewhere."""
    batches = list[pa.RecordBatch]()
    for bucket in range(buckets):
        with work.bucket("copies", bucket, "arrow").open("rb") as stream:
            batches.append(pa.ipc.open_file(stream).get_batch(part.number))
    table = pa.Table.from_batches(batches)
    contents = table["hash"].to_numpy()
    seen = np.zeros((len(SPLITS), len(contents)), np.int32)
    seen[ROLES.index(part.role)] = table["seen"].to_numpy()
    return Copies(contents, 0, together=together, seen=seen)


def count_copies(work: Work, parts: Sequence[Part], buckets: int) -> dict[str, int]:
    """What `Copies.summary` says of all rows."""
    total = dict.fromkeys(SPLITS[1:], 0)
    for rows in _by_content(work, parts, buckets):
        for split, count in of_training(rows).items():
            total[split] += count
    count = sum(read_facts(work.bucket("copies", b, "json")) for b in range(buckets))
    return {"rows": count, **total}


def _by_content(work: Work, parts: Sequence[Part], buckets: int) -> Iterator[np.ndarray]:
    """The rows of each content and split, a bucket of contents at a time."""
    for bucket in range(buckets):
        pieces = list[tuple[np.ndarray, np.ndarray]]()
        for part in parts:
            contents = _array(work, part.number, CONTENTS)
            own = _slice(contents, buckets, bucket)
            pieces.append((contents[own], _array(work, part.number, SPLIT_ROWS)[:, own]))
        distinct, inverse = np.unique(
            np.concatenate([contents for contents, _ in pieces]), return_inverse=True
        )
        rows = np.zeros((len(SPLITS), len(distinct)), np.int64)
        there = np.concatenate([part for _, part in pieces], axis=1)
        for i in range(len(SPLITS)):
            np.add.at(rows[i], inverse, there[i])
        yield rows
