"""The rows of all splits, appended batch by batch to the files of a store."""

import contextlib
from collections.abc import Iterator
from typing import Any, BinaryIO

import numpy as np

from automtl.data.prepare.split import ALPHA, by_split
from automtl.data.store import Rows
from automtl.data.store.id_lists import OFFSETS, VALUES
from automtl.data.store.schema import Schema
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


class _SplitFiles:
    """The files of one split's rows: an array each, and two for each field of lists."""

    def __init__(
        self,
        folder: StagedFolder,
        split: str,
        schema: Schema,
        *,
        count: int,
        weighted: bool,
        stack: contextlib.ExitStack,
    ) -> None:
        def opened(name: str) -> BinaryIO:
            return stack.enter_context(folder.stream(f"{split}/{name}"))

        tasks = len(schema.tasks)
        widths = {"ids": len(schema.categorical), "dense": len(schema.numeric), "labels": tasks}
        widths |= {"weights": tasks} if weighted else {}
        widths |= {"kept": len(schema.kept)} if schema.kept else {}
        self._streams = {name: opened(f"{name}.npy") for name in widths}
        for name, stream in self._streams.items():
            dtype = np.int32 if name in ("ids", "kept") else np.float32
            write_header(stream, (count, widths[name]), dtype)
        self._lists = [
            _ListFile(opened(VALUES.format(i)), opened(OFFSETS.format(i)), count)
            for i in range(len(schema.lists))
        ]

    def append(self, rows: Rows, chosen: np.ndarray) -> None:
        """Write some of a batch's rows, by their numbers in it."""
        for name, stream in self._streams.items():
            stream.write(np.ascontiguousarray(getattr(rows, name)[chosen]).data)
        for file, field in zip(self._lists, rows.lists, strict=True):
            lists = field.take(chosen)
            file.append(lists.values, lists.offsets)

    def finish(self) -> None:
        """Write the heads of which the length is known now."""
        for file in self._lists:
            file.finish()


def write_rows(
    folder: StagedFolder,
    schema: Schema,
    part_rows: np.ndarray,
    weighted: bool,
    encoded: Iterator[tuple[Rows, np.ndarray]],
) -> None:
    """Write every split's arrays, and the row numbers of the alpha rows.

    Args:
        folder: of the store to be.
        schema: says how many columns there are.
        part_rows: rows of each part.
        weighted: whether any task has weights.
        encoded: batches of rows with their parts.
    """
    alpha, done = list[np.ndarray](), 0
    with contextlib.ExitStack() as stack:
        splits = [
            _SplitFiles(folder, split, schema, count=count, weighted=weighted, stack=stack)
            for split, count in by_split(part_rows).items()
        ]
        for rows, parts in encoded:
            numbers = np.maximum(parts - ALPHA, 0)
            for number, split in enumerate(splits):
                split.append(rows, np.flatnonzero(numbers == number))
            training = parts[numbers == 0]
            alpha.append(np.flatnonzero(training == ALPHA) + done)
            done += len(training)
        for split in splits:
            split.finish()
    index = np.concatenate(alpha).astype(np.int64)
    with folder.stream("train/alpha.npy") as stream:
        write_header(stream, index.shape, np.int64)
        stream.write(index.data)
