"""Arrays of all splits, appended batch by batch to the files of a store."""

import contextlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from automtl.data.prepare.encode import Arrays
from automtl.data.prepare.split import ALPHA
from automtl.data.store.id_lists import OFFSETS, VALUES
from automtl.data.store.schema import SPLITS, Schema
from automtl.files import StagedFolder


def write_header(stream: Any, shape: tuple[int, ...], dtype: type[np.generic]) -> None:
    """The head of an .npy file; as long for any number of rows, so that it can be written again
    when they are counted.
    """
    header = {
        "descr": np.lib.format.dtype_to_descr(np.dtype(dtype).newbyteorder("<")),
        "fortran_order": False,
        "shape": shape,
    }
    np.lib.format.write_array_header_2_0(stream, header)


class _ListFile:
    """One field's lists of one split: values, and where each row's begin."""

    def __init__(self, values: BinaryIO, offsets: BinaryIO, rows: int) -> None:
        self._values = values
        self._offsets = offsets
        self._count = 0
        write_header(values, (0,), np.int32)
        write_header(offsets, (rows + 1,), np.int64)
        offsets.write(np.zeros(1, np.int64).data)

    def append(self, values: np.ndarray, offsets: np.ndarray) -> None:
        self._values.write(np.ascontiguousarray(values, np.int32).data)
        self._offsets.write((offsets[1:] + self._count).astype(np.int64).data)
        self._count += len(values)

    def finish(self) -> None:
        self._values.seek(0)
        write_header(self._values, (self._count,), np.int32)


def write_rows(
    folder: StagedFolder,
    schema: Schema,
    part_rows: np.ndarray,
    weighted: bool,
    encoded: Iterator[tuple[Arrays, np.ndarray]],
) -> None:
    """Write every split's arrays, and the row numbers of the alpha rows.

    Args:
        folder: of the store to be.
        schema: says how many columns there are.
        part_rows: rows of each part.
        weighted: whether any task has weights.
        encoded: batches of arrays with their rows' parts.
    """
    rows = dict(
        zip(
            SPLITS,
            (int(part_rows[: ALPHA + 1].sum()), *part_rows[ALPHA + 1 :].tolist()),
            strict=True,
        )
    )
    columns = {
        "ids": len(schema.categorical),
        "dense": len(schema.numeric),
        "labels": len(schema.tasks),
    }
    columns |= {"weights": len(schema.tasks)} if weighted else {}
    columns |= {"kept": len(schema.kept)} if schema.kept else {}
    alpha, done = list[np.ndarray](), 0
    with contextlib.ExitStack() as stack:
        streams = {
            (split, name): stack.enter_context(folder.stream(f"{split}/{name}.npy"))
            for split in SPLITS
            for name in columns
        }
        for (split, name), stream in streams.items():
            write_header(
                stream,
                (rows[split], columns[name]),
                np.int32 if name in ("ids", "kept") else np.float32,
            )
        lists = {
            split: _open_lists(folder, split, len(schema.lists), rows[split], stack)
            for split in SPLITS
        }
        for arrays, parts in encoded:
            splits = np.maximum(parts - ALPHA, 0)
            for (split, name), stream in streams.items():
                stream.write(
                    np.ascontiguousarray(getattr(arrays, name)[splits == SPLITS.index(split)]).data
                )
            _append_lists(lists, arrays, splits)
            alpha.append(np.flatnonzero(parts[splits == 0] == ALPHA) + done)
            done += int((splits == 0).sum())
        for files in lists.values():
            for file in files:
                file.finish()
    index = np.concatenate(alpha).astype(np.int64)
    with folder.stream("train/alpha.npy") as stream:
        write_header(stream, index.shape, np.int64)
        stream.write(index.data)


def _open_lists(
    folder: StagedFolder, split: str, fields: int, rows: int, stack: contextlib.ExitStack
) -> list[_ListFile]:
    def opened(name: str) -> BinaryIO:
        return stack.enter_context(folder.stream(f"{split}/{name}"))

    return [
        _ListFile(opened(VALUES.format(i)), opened(OFFSETS.format(i)), rows) for i in range(fields)
    ]


def _append_lists(lists: dict[str, list[_ListFile]], arrays: Arrays, splits: np.ndarray) -> None:
    for split, files in lists.items():
        rows = np.flatnonzero(splits == SPLITS.index(split))
        for file, field in zip(files, arrays.lists, strict=True):
            taken = field.take(rows)
            file.append(taken.values, taken.offsets)
