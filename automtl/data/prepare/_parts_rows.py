"""The other maps: what a part's rows teach, its words counted, its rows encoded; and the rows of
all parts put together.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from automtl import files
from automtl.data.prepare._fit import Fit, counted
from automtl.data.prepare._parts_copies import CONTENTS, SPLIT_ROWS, copies_in
from automtl.data.prepare._parts_lookup import words_of
from automtl.data.prepare._parts_plan import (
    PARTS,
    SPOOL,
    Part,
    Work,
    write_array,
    write_facts,
)
from automtl.data.prepare._parts_words import Columns, SpilledWords
from automtl.data.prepare._passes import Made, encoded_rows, encoder_of, parts_of, weighted
from automtl.data.prepare._prefetch import ahead
from automtl.data.prepare._statistics import SeenWords
from automtl.data.prepare._writing import write_header, write_rows
from automtl.data.prepare.leakage import LeakCheck
from automtl.data.prepare.split import ALPHA, Rule
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.spec.features import Numeric
from automtl.data.store.id_lists import OFFSETS, VALUES
from automtl.data.store.npy import mapped
from automtl.data.store.schema import SPLITS, Schema
from automtl.data.values.forms import Form

LEARNT = "learnt.json"
ROWS = "rows"
MADE = "made.json"
LEAKS = "leaks/{}.npy"
_COPY_BYTES = 16 * 2**20


@dataclass(frozen=True)
class RowsOrder:
    """A part, and what is known of all parts: who tells rows apart, and which part a row is in."""

    config: DatasetConfig
    work: Work
    part: Part
    rule: Rule
    buckets: int

    def batches(self) -> Iterator[tuple[pa.RecordBatch, np.ndarray]]:
        """The digests with their draws, and the rows' parts as they were found."""
        parts, start = mapped(self.work.of(self.part.number, PARTS), mode="r"), 0
        for batch in ahead(self.work.batches(self.part.number)):
            yield batch, parts[start : start + len(batch)]
            start += len(batch)


def learn(order: RowsOrder) -> None:
    """What a part's rows teach, their words' forms included; the words are counted when the forms
    of all parts are known.
    """
    work, number = order.work, order.part.number
    together = order.config.split.duplicates == "together"
    copies = copies_in(work, order.part, order.buckets, together=together)
    fit, found = Fit(order.config, {}, SeenWords), list[np.ndarray]()
    for batch in ahead(copies.told_apart(work.batches(number))):
        parts = parts_of(order.rule, batch)
        fit.add(batch, parts)
        copies.add(batch.column("hash").to_numpy(), parts)
        found.append(parts)
    write_array(work.of(number, PARTS), np.concatenate([np.zeros(0, np.int8), *found]))
    write_array(work.of(number, CONTENTS), copies.contents)
    write_array(work.of(number, SPLIT_ROWS), copies.rows)
    write_facts(work.of(number, LEARNT), fit.state())


@dataclass(frozen=True)
class WordsOrder:
    """A part whose words are to be counted."""

    rows: RowsOrder
    columns: Columns
    forms: Mapping[str, Form]
    memory: int


def count_words(order: WordsOrder) -> None:
    """Count a part's words, each as the vocabulary would have it."""
    config, number = order.rows.config, order.rows.part.number
    words = SpilledWords(order.columns, number, order.memory)
    ids = [f for f in config.features if not isinstance(f, Numeric)]
    for batch, parts in order.rows.batches():
        train = parts <= ALPHA
        for feature in ids:
            owner = feature.share_embedding or feature.name
            if f"f:{owner}" in order.columns.least:
                found, counts = counted(feature, batch.column(f"f:{feature.name}"), train)
                words.add(f"f:{owner}", order.forms[owner].apply(found), counts)
        for name in config.kept:
            column = batch.column(f"k:{name}")
            codes, known = column.indices.to_numpy(), column.dictionary
            words.add(f"k:{name}", known, np.bincount(codes, minlength=len(known)))
    words.finish()


@dataclass(frozen=True)
class EncodeOrder:
    """A part to be encoded."""

    rows: RowsOrder
    columns: Columns
    schema: Schema
    part_rows: tuple[int, ...]


def encode_part(order: EncodeOrder) -> None:
    """Encode a part: the arrays of its rows, as a store of its own would have them."""
    rows = order.rows
    schema = order.schema
    config = order.rows.config
    number, work = rows.part.number, rows.work
    words = words_of(order.columns, number)
    owned = {name: words[f"f:{name}"] for name in schema.owners}
    kept = {name: words[f"k:{name}"] for name in config.kept}
    encoder = encoder_of(config, schema, owned, kept)
    leaks, made = LeakCheck(config, schema, schema.train_rows), Made(schema)
    together = config.split.duplicates == "together"
    copies = copies_in(work, rows.part, rows.buckets, together=together)
    batches = copies.told_apart(work.batches(number))
    with files.StagedFolder(work.of(number, ROWS)) as folder:
        encoded = encoded_rows(batches, encoder, rows.rule, leaks, made)
        write_rows(folder, schema, np.array(order.part_rows), bool(weighted(config)), encoded)
        for i, array in enumerate(leaks.sample()):
            with folder.stream(LEAKS.format(i)) as stream:
                np.save(stream, array)
        files.write_json(folder / MADE, made.state())
    files.remove_file(work.of(number, SPOOL))


def put_together(
    folder: files.StagedFolder, work: Work, schema: Schema, part_rows: Sequence[np.ndarray]
) -> None:
    """The rows of all parts, one behind the other, as the arrays of a store."""
    homes = [work.of(i, ROWS) for i in range(len(part_rows))]
    for split in SPLITS:
        for path in sorted((homes[0] / split).glob("*.npy")):
            if path.name != "alpha.npy":
                _concatenate(folder, f"{split}/{path.name}", homes)
        for i in range(len(schema.lists)):
            _concatenate(folder, f"{split}/{VALUES.format(i)}", homes)
            _concatenate_offsets(folder, f"{split}/{OFFSETS.format(i)}", homes)
    before = np.cumsum([0, *(int(rows[: ALPHA + 1].sum()) for rows in part_rows)])
    index = [
        _array(home / "train/alpha.npy") + start for home, start in zip(homes, before, strict=False)
    ]
    with folder.stream("train/alpha.npy") as stream:
        write_header(stream, (sum(map(len, index)),), np.int64)
        for mine in index:
            stream.write(mine.astype(np.int64).data)


def _opened(path: Path) -> tuple[BinaryIO, tuple[int, ...], np.dtype[Any]]:
    """An .npy file behind its header."""
    stream = path.open("rb")
    np.lib.format.read_magic(stream)
    shape, _, dtype = np.lib.format.read_array_header_2_0(stream)
    return stream, shape, dtype


def _array(path: Path) -> np.ndarray:
    stream, shape, dtype = _opened(path)
    with stream:
        return np.frombuffer(stream.read(), dtype).reshape(shape)


def _concatenate(folder: files.StagedFolder, name: str, homes: Sequence[Path]) -> None:
    opened = [_opened(home / name) for home in homes]
    rows, dtype = sum(shape[0] for _, shape, _ in opened), opened[0][2]
    with folder.stream(name) as target:
        write_header(target, (rows, *opened[0][1][1:]), dtype.type)
        for stream, _, _ in opened:
            with stream:
                while block := stream.read(_COPY_BYTES):
                    target.write(block)


def _concatenate_offsets(folder: files.StagedFolder, name: str, homes: Sequence[Path]) -> None:
    opened, base = [_opened(home / name) for home in homes], np.int64(0)
    with folder.stream(name) as target:
        write_header(target, (sum(shape[0] - 1 for _, shape, _ in opened) + 1,), np.int64)
        target.write(base.tobytes())
        for stream, _, _ in opened:
            with stream:
                last = np.int64(0)
                stream.seek(8, 1)  # the first row's, which is 0
                while block := stream.read(_COPY_BYTES):
                    offsets = np.frombuffer(block, np.int64)
                    target.write((offsets + base).data)
                    last = offsets[-1]
                base += last


def sample_of(work: Work, parts: int, number: int) -> np.ndarray:
    """What all parts sampled to look for leaks, one array of it."""
    path = f"{ROWS}/{LEAKS.format(number)}"
    return np.concatenate([mapped(work.of(part, path), mode="r") for part in range(parts)])
