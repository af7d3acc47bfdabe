"""What each candidate of a supernet adds to a derived model: parameters and floating-point operations per row."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from torch import nn

from automtl.data.schema import Schema
from automtl.models.cost import cost, flops_by_module
from automtl.models.derived import build_model
from automtl.models.supernet import Supernet
from automtl.nn.nested import NestedMLP
from automtl.spaces.architecture import Architecture

COSTS = ("flops", "parameters")


@dataclass(frozen=True)
class Prices:
    """Costs by candidate.

    Args:
        candidates: per choice block (n, 2): FLOPs per row and parameters of each candidate.
        operations: per choice block its candidates' names, in the same order.
    """

    candidates: Mapping[str, np.ndarray]
    operations: Mapping[str, tuple[str, ...]]

    def total(self, best: Mapping[str, str]) -> np.ndarray:
        """Costs of one candidate in each of some blocks. Shape: (2,)."""
        rows = [self.candidates[block][self.operations[block].index(operation)] for block, operation in best.items()]
        total: np.ndarray = np.sum(rows, axis=0) if rows else np.zeros(2, dtype=np.int64)
        return total


def prices(net: Supernet, schema: Schema) -> Prices:
    """Count every candidate of a supernet in one forward pass over all of them."""
    for block in net.choice_blocks():
        assert block.path is None, "a supernet on a path computes only that"
    flops = flops_by_module(net, schema)
    names = {id(module): f"{type(net).__name__}.{name}" for name, module in net.named_modules()}
    found, operations = {}, {}
    for name, block in net.blocks().items():
        known = net.space.interaction_operations if name.startswith("interaction.") else net.space.expert_operations
        operations[name] = tuple(str(o) for o in known)
        counts = [(flops.get(names[id(c)], 0), _parameters(c)) for c in block.candidates]
        found[name] = np.array(counts, dtype=np.int64)
    return Prices(found, operations)


def _parameters(candidate: nn.Module) -> int:
    return candidate.num_parameters() if isinstance(candidate, NestedMLP) else sum(p.numel() for p in candidate.parameters())


def fixed_costs(architecture: Architecture, schema: Schema, table: Prices, best: Mapping[str, str]) -> np.ndarray:
    """What a derived model costs beside its choice blocks, embedding tables left out. Shape: (2,).

    Args:
        architecture: any derived from the space with as many experts per task.
        schema: the data set.
        table: prices of the candidates.
        best: the operations of the blocks that `architecture` has, those of unused experts left out.
    """
    counted = cost(build_model(architecture, schema), schema)
    whole = np.array([counted.flops_per_row, counted.other_parameters], dtype=np.int64)
    rest: np.ndarray = whole - table.total(best)
    return rest
