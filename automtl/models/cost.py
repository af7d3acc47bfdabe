"""What a network costs: parameters (tables and the rest apart), floating-point operations per row,
bytes.
"""

from dataclasses import dataclass, field

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from automtl.data.store.batches import Inputs
from automtl.data.store.schema import Schema
from automtl.layers.embedding import InputLayer
from automtl.layers.normalization import frozen_statistics
from automtl.models.storage import stored_megabytes

_ROWS = 4


@dataclass(frozen=True)
class Cost:
    """Costs of one network.

    Args:
        table_parameters: entries of the embedding tables.
        other_parameters: all other trainable entries.
        flops_per_row: of one forward pass in evaluation mode, multiply and add counted as two;
            products only.
        megabytes: size of all parameters in memory.
        stored: per part ("tables", "trunk", "experts", "towers") the megabytes of the finished
            network's file.
    """

    table_parameters: int
    other_parameters: int
    flops_per_row: int
    megabytes: float
    stored: dict[str, float] = field(default_factory=dict)


def cost(net: nn.Module, schema: Schema) -> Cost:
    """Count a network's cost on a few rows of unknown ids."""
    tables = {
        id(p) for module in net.modules() if isinstance(module, InputLayer) for p in module.tables()
    }
    in_tables = sum(p.numel() for p in net.parameters() if id(p) in tables)
    total = sum(p.numel() for p in net.parameters())
    size = sum(p.numel() * p.element_size() for p in net.parameters())
    return Cost(
        in_tables,
        total - in_tables,
        flops_per_row(net, schema),
        size / 2**20,
        stored_megabytes(net),
    )


def flops_per_row(net: nn.Module, schema: Schema) -> int:
    """Floating-point operations of one row's forward pass, counted by torch's own counter."""
    return flops_by_module(net, schema)["Global"]


def flops_by_module(net: nn.Module, schema: Schema) -> dict[str, int]:
    """The same per module, by its path from the class of `net` on; "Global" is the whole."""
    parameter = next(net.parameters())
    inputs = Inputs(
        torch.zeros(_ROWS, len(schema.categorical), dtype=torch.int64, device=parameter.device),
        torch.zeros(_ROWS, len(schema.numeric), dtype=parameter.dtype, device=parameter.device),
        tuple(
            torch.zeros(_ROWS, 1, dtype=torch.int32, device=parameter.device) for _ in schema.lists
        ),
    )
    training = net.training
    net.eval()
    try:
        with torch.no_grad(), frozen_statistics(net), FlopCounterMode(display=False) as counter:
            net(inputs)
    finally:
        net.train(training)
    counts = {"Global": {}, **counter.get_flop_counts()}
    return {path: sum(by_operation.values()) // _ROWS for path, by_operation in counts.items()}
