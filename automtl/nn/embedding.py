"""The input layer: ids and numbers become one vector per field (spec section 1).

Legend: B rows, F fields (C categorical, M numeric columns), d embedding width, V rows of a table.
"""

import math
from collections.abc import Sequence
from itertools import accumulate
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from automtl.errors import ConfigError

NUMERIC_MODES = ("linear", "joint")


class InputsLike(Protocol):
    """What a batch gives: ids (B, C) int32 or int64, field-local; dense (B, M) standardised numbers."""

    @property
    def ids(self) -> Tensor: ...

    @property
    def dense(self) -> Tensor: ...


class EmbeddingTable(nn.Module):
    """All fields of one width in one table: field j's rows begin at its offset, so a lookup is one gather.

    Xavier-uniform per field, its bound from (V_j, width), not from the whole table; row 0 of each field (unknown) starts at zero.

    Shape: ids (B, C) -> (B, C, width).

    Args:
        vocabulary_sizes: V_j per field, row 0 included.
        width: of the vectors.
        sparse: give the gradient of the touched rows only, as a sparse tensor.

    Raises:
        ConfigError: a field without a row.
    """

    offsets: Tensor

    def __init__(self, *, vocabulary_sizes: Sequence[int], width: int, sparse: bool = False) -> None:
        super().__init__()
        if min(vocabulary_sizes) < 1:
            raise ConfigError("vocabulary_sizes", "must be at least 1 each, id 0 included", list(vocabulary_sizes))
        self.vocabulary_sizes, self.sparse = tuple(vocabulary_sizes), sparse
        starts = list(accumulate(vocabulary_sizes, initial=0))
        self.register_buffer("offsets", torch.tensor(starts[:-1]), persistent=False)  # (C,)
        self.weight = nn.Parameter(torch.zeros(starts[-1], width))
        for field in self.fields():
            bound = math.sqrt(6 / (len(field) + width))
            nn.init.uniform_(field[1:], -bound, bound)

    def fields(self) -> list[Tensor]:
        """Views of each field's rows, without gradient. Shape: (V_j, width) each."""
        return list(torch.split(self.weight.detach(), list(self.vocabulary_sizes)))

    def row_ids(self, ids: Tensor) -> Tensor:
        """Rows of the table that `ids` touch. Shape: (B, C) -> (B, C), int64."""
        return ids + self.offsets

    def forward(self, ids: Tensor) -> Tensor:
        return functional.embedding(self.row_ids(ids), self.weight, sparse=self.sparse)

    def fill_unknown(self, unknown_counts: Sequence[int]) -> None:
        """Set row 0 of each field that never met it to the mean of the field's other rows (a field without others keeps it)."""
        for field, count in zip(self.fields(), unknown_counts, strict=True):
            if not count and len(field) > 1:
                field[0] = field[1:].mean(dim=0)


class NumericFields(nn.Module):
    """x_j * w_j + b_j: every numeric column a field of its own.

    Shape: (B, M) -> (B, M, d).
    """

    def __init__(self, *, num_numeric: int, dim: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(dim)  # as the feature tokenizer of Gorishniy et al. 2021: the scale of the embeddings beside it
        self.weight = nn.Parameter(torch.empty(num_numeric, dim).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(num_numeric, dim).uniform_(-bound, bound))

    def forward(self, dense: Tensor) -> Tensor:
        return torch.addcmul(self.bias, dense.to(self.weight.dtype).unsqueeze(2), self.weight)


class JointNumeric(nn.Module):
    """One Linear over all numeric columns: together one field (the authors' code).

    Shape: (B, M) -> (B, 1, d).
    """

    def __init__(self, *, num_numeric: int, dim: int) -> None:
        super().__init__()
        self.linear = nn.Linear(num_numeric, dim)

    def forward(self, dense: Tensor) -> Tensor:
        out: Tensor = self.linear(dense.to(self.linear.weight.dtype))
        return out.unsqueeze(1)


class InputLayer(nn.Module):
    """Fields as vectors: the categorical ones in their order, then the numeric.

    Fields of another width, shared tables and lists of ids join as further entries of `embeddings`, each with its own
    table: callers already see tables and touched rows as lists.

    Shape: ids (B, C), dense (B, M) -> (B, F, d).

    Args:
        vocabulary_sizes: rows of each categorical field, id 0 (unknown) included; empty where there is none.
        num_numeric: M.
        dim: d.
        numeric: "linear" (M fields) or "joint" (one field).
        sparse: tables give sparse gradients.

    Raises:
        ConfigError: no field at all, an unknown numeric mode, or a field without a row.
    """

    def __init__(
        self, *, vocabulary_sizes: Sequence[int], num_numeric: int, dim: int, numeric: str = "linear", sparse: bool = False
    ) -> None:
        super().__init__()
        if not vocabulary_sizes and not num_numeric:
            raise ConfigError("fields", "must be at least one", 0, "name a categorical or numeric feature of the data set")
        if numeric not in NUMERIC_MODES:
            raise ConfigError("numeric", f"must be one of {', '.join(NUMERIC_MODES)}", repr(numeric))
        self.num_fields = len(vocabulary_sizes) + (min(num_numeric, 1) if numeric == "joint" else num_numeric)
        self.embeddings = nn.ModuleList()
        if vocabulary_sizes:
            self.embeddings.append(EmbeddingTable(vocabulary_sizes=vocabulary_sizes, width=dim, sparse=sparse))
        kind = JointNumeric if numeric == "joint" else NumericFields
        self.numeric = kind(num_numeric=num_numeric, dim=dim) if num_numeric else None

    def tables(self) -> list[nn.Parameter]:
        """The embedding tables, for optimisers that treat their rows apart. Shape: (V, width) each."""
        return [table.weight for table in self._tables()]

    def row_ids(self, inputs: InputsLike) -> list[Tensor]:
        """Per table, in the order of `tables()`, the rows that a batch touches. Shape: (B*C,) each, with repetitions."""
        return [table.row_ids(inputs.ids).flatten() for table in self._tables()]

    def fill_unknown(self, unknown_counts: Sequence[int]) -> None:
        """After fitting, give each categorical field that met no unknown id in training the mean of its rows as row 0."""
        for table in self._tables():
            table.fill_unknown(unknown_counts)

    def forward(self, inputs: InputsLike) -> Tensor:
        parts: list[Tensor] = [table(inputs.ids) for table in self._tables()]
        if self.numeric is not None:
            parts.append(self.numeric(inputs.dense))
        return parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)

    def _tables(self) -> list[EmbeddingTable]:
        return [module for module in self.embeddings if isinstance(module, EmbeddingTable)]
