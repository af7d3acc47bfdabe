"""The one skeleton of supernet and derived model: input -> interaction -> sharing(experts) ->
towers.

Shapes: B batch, F fields, d embedding width, D width of the experts' input, T tasks.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from automtl.data.store.batches import Inputs
from automtl.data.store.schema import Schema
from automtl.layers.embedding import InputLayer
from automtl.layers.towers import Tower
from automtl.sharing.base import ParameterGroup, SharingModule, torch_groups


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Draw initial weights from `seed` and leave torch's global generator as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


class MultiTaskNet(nn.Module):
    """Input layer, interaction blocks, optional projection, sharing module and one tower per task.

    # DEVIATION: AutoMTL's paper has no projection between interaction and experts; its authors'
    code has one, so that an expert's width does not depend on the number of fields. A hand-made
    model may do without.

    Shape:
        - ids: (B, categorical fields), dense: (B, numeric fields)
        - output: T tensors of logits, (B,) or (B, classes); regression in standardised units

    Args:
        input_layer: categorical ids and numbers -> (B, F, d).
        interaction: blocks (B, F, d) -> (B, F*d), stacked.
        projection: Linear(F*d, D), or None for experts that read the flat vector.
        sharing: the sharing module; owns the experts.
        towers: one per task.
    """

    def __init__(
        self,
        *,
        input_layer: InputLayer,
        interaction: Sequence[nn.Module],
        projection: nn.Linear | None,
        sharing: SharingModule,
        towers: Sequence[nn.Module],
    ) -> None:
        super().__init__()
        self.input = input_layer
        self.interaction = nn.ModuleList(interaction)
        self.projection = projection
        self.sharing = sharing
        self.towers = nn.ModuleList(towers)

    def encode(self, fields: Tensor) -> Tensor:
        """(B, F, d) -> (B, D): interaction blocks, then the projection."""
        flat = fields.flatten(1)
        for block in self.interaction:
            flat = block(flat.view_as(fields))
        return flat if self.projection is None else self.projection(flat)

    def forward(self, inputs: Inputs) -> list[Tensor]:
        representations = self.sharing(self.input(inputs), self.encode)
        return [tower(r) for tower, r in zip(self.towers, representations, strict=True)]

    def tables(self) -> list[nn.Parameter]:
        """The embedding tables."""
        return self.input.tables()

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All parameters as groups for a torch optimiser: those of the sharing module with rates of
        their own, undecayed tables, the rest.

        >>> torch.optim.Adam(net.parameter_groups(), lr=1e-3, weight_decay=1e-4)  # doctest: +SKIP
        """
        tables = ParameterGroup("tables", self.tables(), weight_decay=0.0)
        return torch_groups(self.parameters(), [*self.sharing.parameter_groups(), tables])

    def touched_rows(self, inputs: Inputs) -> list[Tensor]:
        """Per table, the rows that `inputs` read."""
        return self.input.row_ids(inputs)

    def fill_unknown(self, schema: Schema) -> None:
        """After fitting: the unknown id of a field, where it never occurred in training, takes the
        mean of its field's rows.
        """
        self.input.fill_unknown([field.unknown_count for field in schema.id_fields])


def input_layer(schema: Schema, *, dim: int, numeric: str, sparse: bool) -> InputLayer:
    """The input layer for a data set's fields."""
    fields = schema.id_fields
    names = [field.name for field in fields]
    return InputLayer(
        vocabulary_sizes=[field.vocabulary_size for field in schema.categorical],
        num_numeric=len(schema.numeric),
        dim=dim,
        numeric=numeric,
        sparse=sparse,
        list_sizes=[field.vocabulary_size for field in schema.lists],
        widths=[field.embedding_dim for field in fields],
        shares=[names.index(field.owner) for field in fields],
    )


def load_vectors(net: nn.Module, schema: Schema, vectors: Mapping[str, np.ndarray]) -> None:
    """Start embedding rows from pretrained vectors; rows without one keep their random start.

    Args:
        net: a network of this schema.
        schema: the data set.
        vectors: per field (V, width), NaN in the rows without a vector.
    """
    names = [field.name for field in schema.id_fields]
    for layer in (module for module in net.modules() if isinstance(module, InputLayer)):
        for name, array in vectors.items():
            known = torch.from_numpy(~np.isnan(array[:, 0]))
            rows = layer.rows_of(names.index(name))
            rows[known] = torch.from_numpy(np.array(array)).to(rows)[known]


def towers(
    schema: Schema,
    widths_in: Sequence[int],
    *,
    hidden: Sequence[int],
    dropout: float,
    batch_norm: bool,
    generator: torch.Generator | None,
) -> list[nn.Module]:
    """One tower per task of the schema, its output's bias at the base rates of the training rows
    that have the label.

    So a fresh network starts at the loss of the best constant, not at probability 1/2, and need not
    learn the rates first (Lin et al., "Focal loss for dense object detection", ICCV 2017, section
    3.3). Where the schema knows no rates, the bias starts at 0.
    """
    return [
        Tower(
            width_in=width,
            hidden=tuple(hidden),
            outputs=task.outputs,
            start=task.base,
            dropout=dropout,
            batch_norm=batch_norm,
            generator=generator,
        )
        for task, width in zip(schema.tasks, widths_in, strict=True)
    ]
