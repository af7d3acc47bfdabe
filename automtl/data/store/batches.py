"""Shuffled batches over memory-mapped rows: one vectorised gather per array, never a Python object
per row.

B rows of a batch, Fc categorical fields, M numeric fields, T tasks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from automtl.data.store._order import cut, shuffled
from automtl.data.store._store import Rows
from automtl.errors import ConfigError, DataError


def _moved(part: Tensor, device: torch.device | str, non_blocking: bool) -> Tensor:
    """A tensor on another device; from pinned memory to CUDA, since only such copies run beside the
    computation.
    """
    pin = non_blocking and torch.device(device).type == "cuda" and part.device.type == "cpu"
    return (part.pin_memory() if pin else part).to(device, non_blocking=non_blocking)


class Inputs(NamedTuple):
    """What a model reads.

    >>> inputs = mtl.Inputs(torch.zeros(8, 2, dtype=torch.int32), torch.randn(8, 1))
    >>> inputs.ids.shape, inputs.lists
    (torch.Size([8, 2]), ())

    Shape:
        ids: (B, Fc) int32, field-local, 0 = unknown or missing.
        dense: (B, M) float32, standardised.
        lists: per field of lists (B, L) int32, padded by 0 to the batch's longest list. Padded, not
            offsets: of one speed with an embedding bag on a CPU (measured at L = 3, 20, 50), rows
            can be sliced, and any exporter takes it.
    """

    ids: Tensor
    dense: Tensor
    lists: tuple[Tensor, ...] = ()

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Inputs":
        """The inputs on another device."""
        ids, dense, *lists = (
            _moved(part, device, non_blocking) for part in (self.ids, self.dense, *self.lists)
        )
        return Inputs(ids, dense, tuple(lists))


@dataclass(frozen=True)
class Batch:
    """Some rows with their labels.

    >>> inputs = mtl.Inputs(torch.zeros(8, 2, dtype=torch.int32), torch.randn(8, 1))
    >>> len(mtl.Batch(inputs, torch.ones(8, 2)))
    8

    Shape:
        labels: (B, T) float32, NaN = missing.
        weights: (B, T) float32, or None where every weight is 1.
        rows: (B,) int64, the rows' numbers in their split; (0,) for rows of no store.
    """

    inputs: Inputs
    labels: Tensor
    weights: Tensor | None = None
    rows: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The batch on another device."""
        inputs = self.inputs.to(device, non_blocking)
        weights = None if self.weights is None else _moved(self.weights, device, non_blocking)
        labels, rows = (_moved(part, device, non_blocking) for part in (self.labels, self.rows))
        return Batch(inputs, labels, weights, rows)


class Batches:
    """Batches of some rows of a split, the same for the same (seed, epoch) whatever ran before.

    Every row comes once per epoch (and once over all ranks). A last batch that would leave a rank
    with fewer than two rows is merged into the one before it: batch normalisation needs two. All
    ranks have the same number of batches.

    Args:
        rows: the split.
        batch_size: rows per batch and rank.
        index: (n,) the row numbers to go over, not to be changed meanwhile; all rows by default.
        shuffle: another order in each epoch; else the order of `index`.
        block: shuffle in blocks of so many rows, for data larger than memory (see
            `_order.shuffled`); without, an epoch's order takes 8 bytes a row.
        seed: of the orders.
        rank, world_size: this process among those that train together.

    Raises:
        ConfigError: a size or a rank out of range.
        DataError: no rows, or fewer than ranks.
    """

    def __init__(
        self,
        rows: Rows,
        *,
        batch_size: int,
        index: np.ndarray | None = None,
        shuffle: bool = False,
        block: int | None = None,
        seed: int = 0,
        rank: int = 0,
        world_size: int = 1,
    ) -> None:
        if batch_size < 1:
            raise ConfigError("batch_size", "must be at least 1", batch_size)
        if not 0 <= rank < world_size:
            raise ConfigError("rank", f"must be from 0 to {world_size - 1}", rank)
        # of a billion rows another copy is 8 GB
        self._index = (
            None if index is None else torch.from_numpy(np.require(index, np.int64, ["C", "W"]))
        )
        self._count = len(rows) if self._index is None else len(self._index)
        if self._count < world_size:
            raise DataError(
                "batches",
                f"must have a row for each of {world_size} ranks",
                f"{self._count} rows",
                "check the split",
            )
        self._arrays = [torch.from_numpy(part) for part in (rows.ids, rows.dense, rows.labels)]
        self._lists = rows.lists
        self._weights = None if rows.weights is None else torch.from_numpy(rows.weights)
        self._shuffle, self._block, self._seed, self._rank, self._world_size = (
            shuffle,
            block,
            seed,
            rank,
            world_size,
        )
        self._step = batch_size * world_size
        rest = self._count % self._step
        self._batches = max(1, self._count // self._step + (rest >= 2 * world_size))

    def __len__(self) -> int:
        return self._batches

    @property
    def num_rows(self) -> int:
        """Rows of an epoch, over all ranks."""
        return self._count

    def epoch(self, epoch: int, start: int = 0) -> Iterator[Batch]:
        """The batches of one epoch, from batch number `start` on."""
        if not self._shuffle:
            for number in range(start, len(self)):
                yield self._in_order(number * self._step, self._end(number))
            return
        order = shuffled(self._count, block=self._block, seed=(self._seed, epoch))
        runs = cut(order, map(self._end, range(len(self))))
        for run in islice(runs, start, None):
            rows = torch.from_numpy(run[self._rank :: self._world_size].copy())
            yield self._gather(rows if self._index is None else self._index[rows])

    def cycle(self, start: int = 0) -> Iterator[Batch]:
        """Batches without end; position k is batch k % len(self) of epoch k // len(self)."""
        epoch, number = divmod(start, len(self))
        while True:
            yield from self.epoch(epoch, number)
            epoch, number = epoch + 1, 0

    def _end(self, number: int) -> int:
        """Where in an epoch's order a batch ends, over all ranks."""
        return (number + 1) * self._step if number + 1 < len(self) else self._count

    def _in_order(self, begin: int, end: int) -> Batch:
        part = slice(begin + self._rank, end, self._world_size)
        if self._index is not None:
            return self._gather(self._index[part].clone())
        rows = torch.arange(part.start, part.stop, part.step)
        arrays = [array[part].clone() for array in self._arrays]
        return self._batch(
            rows, arrays, None if self._weights is None else self._weights[part].clone()
        )

    def _gather(self, rows: Tensor) -> Batch:
        arrays = [array.index_select(0, rows) for array in self._arrays]
        return self._batch(
            rows, arrays, None if self._weights is None else self._weights.index_select(0, rows)
        )

    def _batch(self, rows: Tensor, arrays: list[Tensor], weights: Tensor | None) -> Batch:
        lists = tuple(torch.from_numpy(field.padded(rows.numpy())) for field in self._lists)
        ids, dense, labels = arrays
        return Batch(Inputs(ids, dense, lists), labels, weights, rows)
