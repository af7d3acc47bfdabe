"""The network of a discrete architecture."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from automtl.bounds import MAX_PARAMETERS
from automtl.data.store.batches import Inputs
from automtl.data.store.schema import Schema
from automtl.layers.interaction import build_interaction
from automtl.layers.operations import Chain, build_operation
from automtl.models.size import check_size
from automtl.models.skeleton import MultiTaskNet, input_layer, seeded, towers
from automtl.sharing import SHARING_MODULES
from automtl.sharing.base import SharingModule
from automtl.spaces.architecture import Architecture
from automtl.spaces.catalogue import module_settings
from automtl.spaces.kinds import Slot
from automtl.spaces.operations import Operation
from automtl.spaces.placement import Placement, check_widths, parts


class IndependentNets(nn.Module):
    """T whole models, one per task, nothing shared (``single_task``)."""

    def __init__(self, nets: Sequence[MultiTaskNet]) -> None:
        super().__init__()
        self.nets = nn.ModuleList(nets)

    def forward(self, inputs: Inputs) -> list[Tensor]:
        return [net(inputs)[0] for net in self.nets]

    def parameter_groups(self) -> list[dict[str, Any]]:
        """All nets' groups for one torch optimiser, see ``MultiTaskNet.parameter_groups``."""
        return [
            group
            for net in self.nets
            if isinstance(net, MultiTaskNet)
            for group in net.parameter_groups()
        ]


def build_model(
    architecture: Architecture,
    schema: Schema,
    *,
    seed: int = 0,
    sparse: bool = False,
    generator: torch.Generator | None = None,
    max_parameters: int | None = MAX_PARAMETERS,
) -> MultiTaskNet | IndependentNets:
    """Make the network of an architecture with fresh weights.

    Args:
        architecture: a template or one bound to this schema's tasks and fields.
        schema: the data set; gives vocabulary sizes.
        seed: of the initial weights.
        sparse: embedding tables give sparse gradients.
        generator: source of dropout and gate noise, on the device the network will run on.
        max_parameters: a larger network is refused before it is made; None for any, where the
            architecture is no stranger's.

    Raises:
        ConfigError: the architecture is bound to other tasks or fields, an operation does not fit a
            width, or it is too large.
    """
    bound = architecture.bind(schema)
    check_widths(bound)

    def make() -> MultiTaskNet | IndependentNets:
        if bound.sharing.kind == "single_task":
            apart = zip(parts(bound), schema.tasks, strict=True)
            return IndependentNets(
                [_build(part, schema.only(task.name), sparse, generator) for part, task in apart]
            )
        return _build(bound, schema, sparse, generator)

    check_size(f"architecture {bound.name[:80]}".strip(), make, max_parameters)
    with seeded(seed):
        return make()


def _build(
    bound: Architecture, schema: Schema, sparse: bool, generator: torch.Generator | None
) -> MultiTaskNet:
    inputs = input_layer(schema, dim=bound.embedding_dim, numeric=bound.numeric, sparse=sparse)
    interaction = [
        build_interaction(
            Operation.parse(block, "interaction"),
            num_fields=inputs.num_fields,
            dim=bound.embedding_dim,
            dropout=bound.dropout,
            batch_norm=bound.batch_norm,
            generator=generator,
        )
        for block in bound.interaction
    ]
    flat = inputs.num_fields * bound.embedding_dim
    projection = None if bound.projection is None else nn.Linear(flat, bound.projection)
    shape = (inputs.num_fields, bound.embedding_dim)
    sharing = _sharing(bound, schema, bound.projection or flat, shape, generator)
    heads = towers(
        schema,
        sharing.width_out,
        hidden=bound.towers,
        dropout=bound.dropout,
        batch_norm=bound.batch_norm,
        generator=generator,
    )
    return MultiTaskNet(
        input_layer=inputs,
        interaction=interaction,
        projection=projection,
        sharing=sharing,
        towers=heads,
    )


def _sharing(
    bound: Architecture,
    schema: Schema,
    width_in: int,
    field_shape: tuple[int, int],
    generator: torch.Generator | None,
) -> SharingModule:
    kind = bound.sharing.kind
    placement = Placement(bound, len(schema.tasks))

    def build(slot: Slot, width: int) -> Chain:
        return expert(
            bound.experts[placement.expert(slot)].operations,
            width_in=width,
            architecture=bound,
            generator=generator,
        )

    return SHARING_MODULES[kind](
        build=build,
        tasks=[task.name for task in schema.tasks],
        width_in=width_in,
        slots=placement.slots,
        field_shape=field_shape,
        chosen=placement.picks,
        generator=generator,
        **module_settings(kind, bound.sharing.all_settings),
    )


def expert(
    operations: Sequence[Operation],
    *,
    width_in: int,
    architecture: Architecture,
    generator: torch.Generator | None,
) -> Chain:
    """One derived expert: its operations in a row, (B, width_in) -> (B, width_out)."""
    chain: list[nn.Module] = []
    width = width_in
    for operation in operations:
        module = build_operation(
            operation,
            width_in=width,
            dropout=architecture.dropout,
            batch_norm=architecture.batch_norm,
            generator=generator,
        )
        chain.append(module)
        width = int(module.width_out)  # type: ignore[arg-type]
    return Chain(chain, width)
