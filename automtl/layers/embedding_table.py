"""Embedding tables: all fields of one width in one table, with per-field offsets.

Legend: B rows, C fields of one id each, G list fields, L longest list, V rows of the table, e its
width.
"""

import math
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor, nn
from torch.nn import functional

from automtl.errors import ConfigError


class EmbeddingTable(nn.Module):
    """All fields of one width in one table: field j's rows begin at its offset, so a lookup is one
    gather.

    Xavier-uniform per field, its bound from (V_j, width), not from the whole table; row 0 of each
    field (unknown) starts at zero. Fields may share rows: then they have one segment of the table
    between them.

    Shape: ids (B, C), lists G times (B, L) -> (B, C + G, width).

    Args:
        vocabulary_sizes: V_j per segment, row 0 included.
        width: of the vectors.
        columns: the columns of `ids` that are read here; all by default.
        lists: the lists that are read here.
        segments: the segment of each of these columns, then of each of these lists; one after
            another by default.
        sparse: give the gradient of the touched rows only, as a sparse tensor.

    Raises:
        ConfigError: a field without a row.
    """

    offsets: Tensor
    chosen: Tensor

    def __init__(
        self,
        *,
        vocabulary_sizes: Sequence[int],
        width: int,
        columns: Sequence[int] | None = None,
        lists: Sequence[int] = (),
        segments: Sequence[int] | None = None,
        sparse: bool = False,
    ) -> None:
        super().__init__()
        if min(vocabulary_sizes) < 1:
            raise ConfigError(
                "vocabulary_sizes", "must be at least 1 each, id 0 included", list(vocabulary_sizes)
            )
        self.vocabulary_sizes = tuple(vocabulary_sizes)
        self.sparse = sparse
        self.width = width
        self.lists = tuple(lists)
        own = range(len(vocabulary_sizes)) if segments is None else segments
        starts = list(accumulate(vocabulary_sizes, initial=0))
        self.num_columns = len(own) - len(lists) if columns is None else len(columns)
        self.register_buffer(
            "offsets",
            torch.tensor([starts[s] for s in own[: self.num_columns]], dtype=torch.long),
            persistent=False,
        )
        self._list_offsets = [starts[s] for s in own[self.num_columns :]]
        self._segments, self._some = tuple(own), columns is not None
        self.register_buffer(
            "chosen", torch.tensor(list(columns or ()), dtype=torch.long), persistent=False
        )
        self.weight = nn.Parameter(torch.zeros(starts[-1], width))
        for segment in self.segments():
            bound = math.sqrt(6 / (len(segment) + width))
            nn.init.uniform_(segment[1:], -bound, bound)

    def segments(self) -> list[Tensor]:
        """Views of each segment's rows, without gradient. Shape: (V_j, width) each."""
        return list(torch.split(self.weight.detach(), list(self.vocabulary_sizes)))

    def row_ids(self, ids: Tensor, lists: Sequence[Tensor] = ()) -> Tensor:
        """Rows of the table that a batch touches. Shape: ids (B, C), lists (B, L) each -> (n,),
        int64, with repetitions.
        """
        return torch.cat(
            [
                self._rows(ids).flatten(),
                # int32 ids would wrap beyond 2^31 rows
                *((lists[i].long() + start).flatten() for i, start in self._own_lists()),
            ]
        )

    def _rows(self, ids: Tensor) -> Tensor:
        return (ids.index_select(1, self.chosen) if self._some else ids) + self.offsets

    def _own_lists(self) -> list[tuple[int, int]]:
        """Per list read here, its number and its segment's first row."""
        return list(zip(self.lists, self._list_offsets, strict=True))

    def forward(self, ids: Tensor, lists: Sequence[Tensor] = ()) -> Tensor:
        parts = (
            [functional.embedding(self._rows(ids), self.weight, sparse=self.sparse)]
            if self.num_columns
            else []
        )
        parts += [self._mean(lists[i], start).unsqueeze(1) for i, start in self._own_lists()]
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _mean(self, ids: Tensor, start: int) -> Tensor:
        """Mean over a list's known ids, zero for an empty list. Shape: (B, L) -> (B, width)."""
        known = (ids != 0).to(self.weight.dtype).unsqueeze(2)  # (B, L, 1)
        vectors = functional.embedding(
            ids.long() + start, self.weight, sparse=self.sparse
        )  # (B, L, width)
        return (vectors * known).sum(dim=1) / known.sum(dim=1).clamp_min(1)

    def fill_unknown(self, unknown_counts: Sequence[int]) -> None:
        """Set row 0 of each segment whose columns never met it to the mean of its other rows; lists
        never read their row 0.

        Args:
            unknown_counts: training rows with id 0, per column read here.
        """
        met: dict[int, int] = {}
        for segment, count in zip(self._segments[: self.num_columns], unknown_counts, strict=True):
            met[segment] = met.get(segment, 0) + count
        for number, rows in enumerate(self.segments()):
            if met.get(number) == 0 and len(rows) > 1:
                rows[0] = rows[1:].mean(dim=0)
