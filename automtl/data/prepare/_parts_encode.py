"""The fourth map: a part's rows encoded; and the rows of all parts put together."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from automtl import files
from automtl.data.prepare._encoding_pass import EncodingCounts, EncodingPass
from automtl.data.prepare._parts_learn import RowsOrder
from automtl.data.prepare._parts_lookup import words_of
from automtl.data.prepare._parts_plan import SPOOL, Work, read_facts
from automtl.data.prepare._parts_words import Columns
from automtl.data.prepare._writing import write_header, write_rows
from automtl.data.prepare.leakage import LeakCheck
from automtl.data.prepare.split import ALPHA
from automtl.data.spec.dataset import DatasetConfig
from automtl.data.store.id_lists import OFFSETS, VALUES
from automtl.data.store.npy import mapped
from automtl.data.store.schema import SPLITS, Schema

ROWS = "rows"
COUNTS = "counts.json"
LEAKS = "leaks/{}.npy"
_COPY_BYTES = 16 * 2**20


@dataclass(frozen=True)
class EncodeOrder:
    """The order to encode a part."""

    rows: RowsOrder
    columns: Columns
    schema: Schema
    part_rows: tuple[int, ...]


def encode_part(order: EncodeOrder) -> None:
    """Encode a part: the arrays of its rows, as a store of its own would have them."""
    rows, schema, config = order.rows, order.schema, order.rows.config
    number, work = rows.part.number, rows.work
    words = words_of(order.columns, number)
    owned = {name: words[f"f:{name}"] for name in schema.owners}
    encoding = EncodingPass(
        config, schema, owned, {name: words[f"k:{name}"] for name in config.kept}
    )
    encoded = encoding(rows.copies().with_draws(work.batches(number)), rows.rule)
    with files.StagedFolder(work.of(number, ROWS)) as folder:
        write_rows(folder, schema, np.array(order.part_rows), encoding.has_weights, encoded)
        for i, array in enumerate(encoding.leaks.sample()):
            with folder.stream(LEAKS.format(i)) as stream:
                np.save(stream, array)
        files.write_json(folder / COUNTS, encoding.counts.state_dict())
    files.remove_file(work.of(number, SPOOL))


def checked_counts(config: DatasetConfig, schema: Schema, work: Work, parts: int) -> EncodingCounts:
    """What was counted while the parts were encoded.

    Raises:
        DataError: a feature tells a label.
    """
    homes = [work.of(part, ROWS) for part in range(parts)]
    leaks = LeakCheck(config, schema, schema.train_rows)
    leaks.add_sample(
        tuple(
            np.concatenate([mapped(home / LEAKS.format(i), mode="r") for home in homes])
            for i in range(leaks.ARRAYS)
        )
    )
    leaks.check()
    counts = EncodingCounts(schema)
    for home in homes:
        counts.merge(EncodingCounts(schema).load_state_dict(read_facts(home / COUNTS)))
    return counts


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
        for rows in index:
            stream.write(rows.astype(np.int64).data)


def _opened(path: Path) -> tuple[BinaryIO, tuple[int, ...], np.dtype[Any]]:
    """An .npy file opened behind its header, with the shape and type that it tells."""
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
