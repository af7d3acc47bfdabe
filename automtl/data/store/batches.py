"""Shuffled batches over memory-mapped rows: one vectorised gather per array, never a Python object
per row.

B rows of a batch, Fc categorical fields, M numeric fields, T tasks.
"""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from automtl.data.store._order import cut, shuffled
from automtl.data.store._store import Rows
from automtl.errors import ConfigError, DataError, counted


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
        step: (S,) int64, likewise of all rows of a step that several ranks make together, of which
            these are one rank's; None where these are all.
    """

    inputs: Inputs
    labels: Tensor
    weights: Tensor | None = None
    rows: Tensor = field(default_factory=lambda: torch.empty(0, dtype=torch.int64))
    step: Tensor | None = None

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def step_rows(self) -> Tensor:
        """The numbers of all rows of the step. Shape: (S,)."""
        return self.rows if self.step is None else self.step

    @property
    def step_size(self) -> int:
        """How many rows the step has over all ranks."""
        return len(self) if self.step is None else len(self.step)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> "Batch":
        """The batch on another device."""
        inputs = self.inputs.to(device, non_blocking)
        weights = None if self.weights is None else _moved(self.weights, device, non_blocking)
        labels, rows = (_moved(part, device, non_blocking) for part in (self.labels, self.rows))
        return Batch(inputs, labels, weights, rows, self.step)


class Batches:
    """Batches of some rows of a split, the same for the same (seed, epoch) whatever ran before.

    Every row comes once per epoch (and once over all ranks). A last batch of fewer than two rows is
    merged into the one before it: batch normalisation needs two. Ranks need two each: a last batch
    with fewer takes some of the one before it, so that an epoch has as many batches for any number
    of ranks of one step; where ranks have fewer than four rows of it, it is merged, too.

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
        # of a billion rows another copy is 8 GB
        self._index = (
            None if index is None else torch.from_numpy(np.require(index, np.int64, ["C", "W"]))
        )
        self._count = len(rows) if self._index is None else len(self._index)
        self._arrays = [torch.from_numpy(part) for part in (rows.ids, rows.dense, rows.labels)]
        self._lists = rows.lists
        self._weights = None if rows.weights is None else torch.from_numpy(rows.weights)
        self._shuffle = shuffle
        self._block = block
        self._seed = seed
        self._size = batch_size
        self._share(rank, world_size)

    def _share(self, rank: int, world_size: int) -> None:
        """Lay out the batches of one rank among several."""
        if not 0 <= rank < world_size:
            raise ConfigError("rank", f"must be from 0 to {world_size - 1}", rank)
        if self._count < world_size:
            raise DataError(
                "batches",
                f"must have a row for each of {counted(world_size, 'rank')}",
                counted(self._count, "row"),
                "check the split",
            )
        self._rank, self._world_size = rank, world_size
        self._step, least = self._size * world_size, 2 * world_size
        rest = self._count % self._step
        own = rest >= (least if self._size < 4 else 2)  # a batch of its own
        self._batches = max(1, self._count // self._step + own)
        # where the batch before the last ends
        self._last = self._count - (max(rest, least) if own else self._step + rest)

    def of_rank(self, rank: int, world_size: int) -> Self:
        """The same rows, of each batch this rank's; rows per batch and rank stay."""
        part = copy(self)
        part._share(rank, world_size)
        return part

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
                yield self._in_order(self._end(number - 1) if number else 0, self._end(number))
            return
        order = shuffled(self._count, block=self._block, seed=(self._seed, epoch))
        runs = cut(order, map(self._end, range(len(self))))
        for run in islice(runs, start, None):
            step = torch.from_numpy(run.copy())
            step = step if self._index is None else self._index[step]
            yield self._gather(step)

    def cycle(self, start: int = 0) -> Iterator[Batch]:
        """Batches without end; position k is batch k % len(self) of epoch k // len(self)."""
        epoch, number = divmod(start, len(self))
        while True:
            yield from self.epoch(epoch, number)
            epoch, number = epoch + 1, 0

    def _end(self, number: int) -> int:
        """Where in an epoch's order a batch ends, over all ranks."""
        if number + 1 >= len(self):
            return self._count
        return min((number + 1) * self._step, self._last)

    def _in_order(self, begin: int, end: int) -> Batch:
        if self._index is not None:
            return self._gather(self._index[begin:end].clone())
        part = slice(begin + self._rank, end, self._world_size)
        arrays = [array[part].clone() for array in self._arrays]
        weights = None if self._weights is None else self._weights[part].clone()
        return self._batch(torch.arange(begin, end), arrays, weights)

    def _gather(self, step: Tensor) -> Batch:
        rows = step[self._rank :: self._world_size]
        arrays = [array.index_select(0, rows) for array in self._arrays]
        weights = None if self._weights is None else self._weights.index_select(0, rows)
        return self._batch(step, arrays, weights)

    def _batch(self, step: Tensor, arrays: list[Tensor], weights: Tensor | None) -> Batch:
        rows = step[self._rank :: self._world_size]
        lists = tuple(torch.from_numpy(field.padded(rows.numpy())) for field in self._lists)
        ids, dense, labels = arrays
        inputs, alone = Inputs(ids, dense, lists), self._world_size == 1
        return Batch(inputs, labels, weights, rows, None if alone else step)
