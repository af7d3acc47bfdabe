"""Words counted and numbered by buckets of their hashes: no process holds all words of a column.

A part's words go to files with a batch for each bucket; a bucket's are summed over the parts and
sorted; the sorted buckets are merged into the vocabulary; and each bucket then tells every part the
ids of its words.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from automtl import files
from automtl.data.prepare._parts_plan import Work, read_facts, write_facts
from automtl.data.prepare._side_files import WORDS_A_BATCH, write_batches
from automtl.data.prepare._statistics import summed_counts
from automtl.data.store.encoding import WORDS
from automtl.data.values.hashing import hash_words

SPILLS = "words.json"
_IDS = pa.schema([("id", pa.int32())])


@dataclass(frozen=True)
class Columns:
    """The columns whose words are counted: fields that own a vocabulary, then those that are kept.

    Attributes:
        least: how often a word must come, per column: `f:` and a field's name, `k:` and a kept
            column's.
        parts: how many there are.
        buckets: of words.
    """

    work: Work
    least: Mapping[str, int]
    parts: int
    buckets: int

    @property
    def names(self) -> list[str]:
        """The columns' names."""
        return list(self.least)

    def words(self, name: str, spill: int) -> str:
        """The name of a file of words, of any part."""
        return f"words/{self.names.index(name)}-{spill}.arrow"

    def vocabulary(self, name: str, ending: str) -> Path:
        """The file of a column's words in the order of their ids, and that of their number."""
        return self.work.path / "vocabularies" / f"{self.names.index(name)}.{ending}"

    def kind(self, what: str, name: str) -> str:
        """The name of the folder of a column's buckets."""
        return f"{what}-{self.names.index(name)}"

    def files(self, name: str) -> Iterator[tuple[int, str]]:
        """Part and name of every file of a column's words."""
        for part in range(self.parts):
            for spill in range(read_facts(self.work.of(part, SPILLS))[name]):
                yield part, self.words(name, spill)

    def bucket(self, name: str, bucket: int) -> list[pa.RecordBatch]:
        """A bucket's words and counts as every file has them, in the order of `files`."""
        return [self.batch(part, file, bucket) for part, file in self.files(name)]

    def batch(self, part: int, file: str, bucket: int) -> pa.RecordBatch:
        """A bucket's words in one file."""
        with self.work.of(part, file).open("rb") as stream:
            return pa.ipc.open_file(stream).get_batch(bucket)


class SpilledWords:
    """Counts a part's words, those of no training row with 0; what takes too much goes to files.

    Args:
        columns: whose words they are.
        part: the part's number.
        most: bytes of words in memory.
    """

    def __init__(self, columns: Columns, part: int, most: int) -> None:
        self._columns, self._part, self._most = columns, part, most
        self._pending: dict[str, list[pa.Table]] = {name: [] for name in columns.names}
        self._spills = dict.fromkeys(columns.names, 0)
        self._bytes = self._compact_bytes = 0

    def add(self, name: str, words: pa.Array, counts: np.ndarray) -> None:
        """Count some words."""
        table = pa.table({"word": words, "count": pa.array(counts, pa.int64())})
        table = table.filter(pc.not_equal(table["word"], ""))
        self._pending[name].append(table)
        self._bytes += _size(table)
        if self._bytes > self._most // 2 + self._compact_bytes:
            self._compact()
            if self._bytes > self._most // 2:
                self._spill()
            self._compact_bytes = self._bytes

    def finish(self) -> None:
        """Write the rest, and how many files there are."""
        self._compact()
        self._spill()
        write_facts(self._columns.work.of(self._part, SPILLS), self._spills)

    def _compact(self) -> None:
        self._pending = {
            name: [summed_counts(tables)] if tables else []
            for name, tables in self._pending.items()
        }
        self._bytes = sum(_size(t) for tables in self._pending.values() for t in tables)

    def _spill(self) -> None:
        for name, tables in self._pending.items():
            for table in tables:
                self._write(name, table)
        self._pending, self._bytes = {name: [] for name in self._pending}, 0

    def _write(self, name: str, table: pa.Table) -> None:
        columns, whole = self._columns, table.combine_chunks()
        words = pa.concat_arrays(whole["word"].chunks) if len(whole) else pa.array([], pa.string())
        buckets = _bucket_of(hash_words(words), columns.buckets)
        ordered = whole.take(pa.array(np.argsort(buckets, kind="stable")))
        ends = np.cumsum(np.bincount(buckets, minlength=columns.buckets))
        file = columns.words(name, self._spills[name])
        with (
            files.stream(columns.work.of(self._part, file)) as stream,
            pa.ipc.new_file(stream, WORDS) as writer,
        ):
            for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True):
                writer.write_batch(_one(ordered.slice(start, end - start)))
        self._spills[name] += 1


def _size(table: pa.Table) -> int:
    """About what words take while they are counted, in hash tables and in copies."""
    return int(3 * table.nbytes + 100 * len(table))


def _bucket_of(hashes: np.ndarray, buckets: int) -> np.ndarray:
    return ((hashes >> np.uint64(32)) * np.uint64(buckets) >> np.uint64(32)).astype(np.int64)


def _one(table: pa.Table) -> pa.RecordBatch:
    """A table as one batch, empty or not."""
    batches = table.combine_chunks().to_batches()
    return batches[0] if batches else pa.RecordBatch.from_pylist([], schema=table.schema)


@dataclass(frozen=True)
class BucketOrder:
    """The order to sort a bucket of words, or to tell the parts their ids."""

    columns: Columns
    bucket: int


def sort_bucket(order: BucketOrder) -> None:
    """Sum a bucket's words over the parts; write those that come often enough, the most frequent
    first, equal ones by text.
    """
    columns = order.columns
    for name, least in columns.least.items():
        path = columns.work.bucket(columns.kind("sorted", name), order.bucket, "arrow")
        tables = [pa.Table.from_batches([batch]) for batch in columns.bucket(name, order.bucket)]
        table = summed_counts(
            [pa.table({"word": pa.array([], pa.string()), "count": []}, WORDS), *tables]
        )
        table = table.filter(pc.greater_equal(table["count"], max(least, 1)))
        table = table.sort_by([("count", "descending"), ("word", "ascending")])
        rows = max(WORDS_A_BATCH // columns.buckets, 1024)
        with files.stream(path) as stream, pa.ipc.new_file(stream, WORDS) as writer:
            for batch in table.combine_chunks().to_batches(max_chunksize=rows):
                writer.write_batch(batch)
    write_facts(columns.work.bucket("sorted", order.bucket, "json"), None)


class _Run:
    """A sorted bucket, read batch by batch."""

    def __init__(self, stream: BinaryIO, bucket: int) -> None:
        self._reader = pa.ipc.open_file(stream)
        self._next = 0
        self._bucket = bucket
        self.head = pa.table({"word": [], "count": []}, WORDS)
        self.fill()

    def fill(self) -> None:
        """Read the next batch once all of the head was taken."""
        if not len(self.head) and self.more:
            self.head = pa.Table.from_batches([self._reader.get_batch(self._next)])
            self._next += 1

    @property
    def more(self) -> bool:
        """Whether there are batches behind the head."""
        return bool(self._next < self._reader.num_record_batches)

    @property
    def last(self) -> tuple[int, bytes]:
        """The head's last word, as words are ordered."""
        end = len(self.head) - 1
        return -self.head["count"][end].as_py(), self.head["word"][end].as_py().encode()

    def take(self, bound: tuple[int, bytes] | None) -> pa.Table:
        """The words up to a bound, or all; with the bucket."""
        count = len(self.head)
        if bound is not None and count:
            least, word = -bound[0], bound[1].decode()
            same = pc.and_(
                pc.equal(self.head["count"], least), pc.less_equal(self.head["word"], word)
            )
            before = pc.or_(pc.greater(self.head["count"], least), same)
            count = pc.sum(before).as_py()
        taken, self.head = self.head.slice(0, count), self.head.slice(count)
        number = pa.array(np.full(count, self._bucket, np.int32))
        return taken.append_column("bucket", number)


def _merged(runs: Sequence[_Run]) -> Iterator[pa.Table]:
    """The words of all runs in order, some at a time."""
    while any(len(run.head) for run in runs):
        bound = min((run.last for run in runs if run.more), default=None)
        taken = pa.concat_tables([run.take(bound) for run in runs])
        yield taken.sort_by([("count", "descending"), ("word", "ascending")])
        for run in runs:
            run.fill()


@dataclass(frozen=True)
class MergeOrder:
    """The order to number a column's words."""

    columns: Columns
    name: str


def merge_words(order: MergeOrder) -> None:
    """Write a column's words in the order of their ids as a store has them, how many they are, and
    the ids of each bucket's.
    """
    columns, name = order.columns, order.name
    with contextlib.ExitStack() as opened:
        runs, ids = list[_Run](), list[BinaryIO]()
        for bucket in range(columns.buckets):
            path = columns.work.bucket(columns.kind("sorted", name), bucket, "arrow")
            runs.append(_Run(opened.enter_context(path.open("rb")), bucket))
            target = columns.work.bucket(columns.kind("ids", name), bucket, "i4")
            ids.append(opened.enter_context(files.stream(target)))
        done = [0]
        target = columns.vocabulary(name, "arrow")
        vocabulary = opened.enter_context(files.stream(target))
        write_batches(vocabulary, _numbered(runs, ids, done))
    write_facts(columns.vocabulary(name, "json"), done[0])


def _numbered(
    runs: Sequence[_Run], ids: Sequence[BinaryIO], done: list[int]
) -> Iterator[pa.RecordBatch]:
    """All words in batches of the store's size; each one's id goes to its bucket's file."""
    rest = list[pa.Table]()
    for table in _merged(runs):
        buckets = table["bucket"].to_numpy()
        numbers = np.arange(done[0] + 1, done[0] + len(table) + 1, dtype=np.int32)
        order = np.argsort(buckets, kind="stable")
        ends = np.cumsum(np.bincount(buckets, minlength=len(ids)))[:-1]
        for stream, bucket_ids in zip(ids, np.split(numbers[order], ends), strict=True):
            stream.write(np.ascontiguousarray(bucket_ids, "<i4").data)
        done[0] += len(table)
        rest.append(table.select(["word", "count"]))
        while sum(map(len, rest)) >= WORDS_A_BATCH:
            whole = pa.concat_tables(rest)
            yield _one(whole.slice(0, WORDS_A_BATCH))
            rest = [whole.slice(WORDS_A_BATCH)]
    if rest:
        yield _one(pa.concat_tables(rest))


def tell_ids(order: BucketOrder) -> None:
    """Write the ids of a bucket's words as every part has them: a batch for each of their files, 0
    where a word has none. Words are compared, not hashes.
    """
    columns, work = order.columns, order.columns.work
    with (
        files.stream(work.bucket("found", order.bucket, "arrow")) as stream,
        pa.ipc.new_file(stream, _IDS) as writer,
    ):
        for name in columns.names:
            batches = columns.bucket(name, order.bucket)
            if not batches:
                continue
            with work.bucket(columns.kind("sorted", name), order.bucket, "arrow").open("rb") as raw:
                known = pa.ipc.open_file(raw).read_all()["word"].combine_chunks()
            path = work.bucket(columns.kind("ids", name), order.bucket, "i4")
            ids = np.append(np.frombuffer(path.read_bytes(), "<i4"), np.int32(0))
            words = pa.Table.from_batches(batches)["word"]
            places = pc.fill_null(pc.index_in(words, value_set=known), -1).to_numpy()
            word_ids = ids[places]
            start = 0
            for batch in batches:
                column = pa.array(word_ids[start : start + len(batch)], pa.int32())
                writer.write_batch(pa.RecordBatch.from_arrays([column], schema=_IDS))
                start += len(batch)
