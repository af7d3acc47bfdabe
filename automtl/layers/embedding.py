"""The input layer: ids, lists of ids and numbers become one vector per field.

Legend: B rows, F fields (C of one id each, G of lists, M numeric columns), d embedding width, L
longest list, V rows of a table.
"""

import math
from collections.abc import Sequence
from typing import Protocol

import torch
from torch import Tensor, nn

from automtl.errors import ConfigError
from automtl.layers._numeric_embedding import NUMERIC
from automtl.layers.embedding_table import EmbeddingTable


class InputsLike(Protocol):
    """What a batch gives: ids (B, C) int32 or int64, field-local; dense (B, M) standardised
    numbers; lists G times (B, L), 0 = none.
    """

    @property
    def ids(self) -> Tensor: ...

    @property
    def dense(self) -> Tensor: ...

    @property
    def lists(self) -> tuple[Tensor, ...]: ...


class OwnWidth(nn.Module):
    """One bias-free Linear(e, d) per field of a table whose width e is not the model's.

    Shape: (B, C, e) -> (B, C, d).
    """

    def __init__(self, *, num_fields: int, width: int, dim: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(width)  # as nn.Linear
        self.weight = nn.Parameter(torch.empty(num_fields, width, dim).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        return torch.bmm(x.transpose(0, 1), self.weight).transpose(0, 1)


class InputLayer(nn.Module):
    """Fields as vectors: those of one id in their order, then those of lists, then the numeric
    ones.

    Each width has one table; `tables()`, `row_ids()` go over them in step.

    Shape: ids (B, C), lists G times (B, L), dense (B, M) -> (B, F, d).

    Args:
        vocabulary_sizes: rows of each field of one id, id 0 (unknown) included; empty where there
            is none.
        num_numeric: M.
        dim: d.
        numeric: "linear" (M fields), "joint" (one field) or "periodic" (M fields, PLR).
        sparse: tables give sparse gradients.
        list_sizes: rows of each field of lists, id 0 (nothing) included.
        widths: per field of ids, then of lists, its own width, 0 for d; all d by default.
        shares: per such field the number of the field whose rows it reads, itself by default.

    Raises:
        ConfigError: no field at all, an unknown numeric mode, or a field without a row.
    """

    order: Tensor

    def __init__(
        self,
        *,
        vocabulary_sizes: Sequence[int],
        num_numeric: int,
        dim: int,
        numeric: str = "linear",
        sparse: bool = False,
        list_sizes: Sequence[int] = (),
        widths: Sequence[int] | None = None,
        shares: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        sizes, self._columns = [*vocabulary_sizes, *list_sizes], len(vocabulary_sizes)
        if not sizes and not num_numeric:
            raise ConfigError(
                "fields",
                "must be at least one",
                0,
                "name a categorical or numeric feature of the data set",
            )
        if numeric not in NUMERIC:
            raise ConfigError("numeric", f"must be one of {', '.join(NUMERIC)}", repr(numeric))
        self.num_fields = len(sizes) + (min(num_numeric, 1) if numeric == "joint" else num_numeric)
        self._owners = list(range(len(sizes))) if shares is None else list(shares)
        width_of = [width or dim for width in (widths or [0] * len(sizes))]
        # fields per table
        self._groups = [
            [i for i, w in enumerate(width_of) if w == width] for width in dict.fromkeys(width_of)
        ]
        self.embeddings = nn.ModuleList(
            self._table(group, sizes, width_of[group[0]], sparse) for group in self._groups
        )
        widened = [group for group in self._groups if width_of[group[0]] != dim]
        self.maps = nn.ModuleDict(
            {
                str(self._groups.index(g)): OwnWidth(
                    num_fields=len(g), width=width_of[g[0]], dim=dim
                )
                for g in widened
            }
        )
        flat = [field for group in self._groups for field in group]
        self._ordered = flat == sorted(flat)
        self.register_buffer(
            "order",
            torch.tensor([flat.index(i) for i in range(len(flat))], dtype=torch.long),
            persistent=False,
        )
        self.numeric = NUMERIC[numeric](num_numeric=num_numeric, dim=dim) if num_numeric else None

    def _table(
        self, group: Sequence[int], sizes: Sequence[int], width: int, sparse: bool
    ) -> EmbeddingTable:
        """The table of the fields of one width."""
        owners = list(dict.fromkeys(self._owners[field] for field in group))
        columns = [field for field in group if field < self._columns]
        return EmbeddingTable(
            vocabulary_sizes=[sizes[owner] for owner in owners],
            width=width,
            columns=None if len(columns) == self._columns else columns,
            lists=[field - self._columns for field in group if field >= self._columns],
            segments=[owners.index(self._owners[field]) for field in group],
            sparse=sparse,
        )

    def tables(self) -> list[nn.Parameter]:
        """The embedding tables, for optimisers that treat their rows apart. Shape: (V, width)
        each.
        """
        return [table.weight for table in self._tables()]

    def row_ids(self, inputs: InputsLike) -> list[Tensor]:
        """Per table, in the order of `tables()`, the rows that a batch touches. Shape: (n,) each,
        with repetitions.
        """
        return [table.row_ids(inputs.ids, _lists(inputs)) for table in self._tables()]

    def fill_unknown(self, unknown_counts: Sequence[int]) -> None:
        """After fitting, give each field of one id that met no unknown id in training the mean of
        its rows as row 0.
        """
        for group, table in zip(self._groups, self._tables(), strict=True):
            table.fill_unknown([unknown_counts[field] for field in group if field < self._columns])

    def rows_of(self, field: int) -> Tensor:
        """A view, without gradient, of the rows of a field of ids or lists (its owner's, where it
        shares them). Shape: (V, width).
        """
        owner = self._owners[field]
        for group, table in zip(self._groups, self._tables(), strict=True):
            owners = list(dict.fromkeys(self._owners[member] for member in group))
            if owner in owners:
                return table.segments()[owners.index(owner)]
        raise AssertionError(f"no table has field {owner}")

    def forward(self, inputs: InputsLike) -> Tensor:
        parts: list[Tensor] = []
        for number, table in enumerate(self._tables()):
            vectors = table(inputs.ids, _lists(inputs))  # (B, fields of the table, e)
            parts.append(self.maps[str(number)](vectors) if str(number) in self.maps else vectors)
        if not self._ordered:
            parts = [torch.cat(parts, dim=1).index_select(1, self.order)]
        if self.numeric is not None:
            parts.append(self.numeric(inputs.dense))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _tables(self) -> list[EmbeddingTable]:
        return [module for module in self.embeddings if isinstance(module, EmbeddingTable)]


def _lists(inputs: InputsLike) -> tuple[Tensor, ...]:
    return getattr(inputs, "lists", ())
