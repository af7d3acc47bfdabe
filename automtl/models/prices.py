"""What each candidate of a supernet adds to a derived model: floating-point operations per row,
parameters, measured time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from torch import nn

from automtl.data.store.schema import Schema
from automtl.layers.nested import NestedMLP
from automtl.models.cost import cost, flops_by_module
from automtl.models.derived import build_model
from automtl.models.supernet import Supernet
from automtl.spaces.architecture import Architecture

COSTS = ("flops", "parameters", "latency_us")  # the last only where it was measured


@dataclass(frozen=True)
class Latencies:
    """Microseconds of forward passes, as one machine took them.

    Args:
        rows: of the batch.
        candidates: per choice block, of each candidate.
        rest: of a derived model beside its blocks.
    """

    rows: int
    candidates: Mapping[str, Sequence[int]]
    rest: int


@dataclass(frozen=True)
class Prices:
    """Costs by candidate.

    Args:
        candidates: per choice block (n, k): of each candidate the first k of `COSTS`.
        operations: per choice block its candidates' names, in the same order.
    """

    candidates: Mapping[str, np.ndarray]
    operations: Mapping[str, tuple[str, ...]]

    def total(self, best: Mapping[str, str]) -> np.ndarray:
        """Costs of one candidate in each of some blocks. Shape: (k,)."""
        rows = [
            self.candidates[block][self.operations[block].index(operation)]
            for block, operation in best.items()
        ]
        total: np.ndarray = np.sum(rows, axis=0) if rows else np.zeros(len(COSTS), dtype=np.int64)
        return total


def prices(net: Supernet, schema: Schema, latencies: Latencies | None = None) -> Prices:
    """Count every candidate of a supernet in one forward pass over all of them; times are taken as
    given.
    """
    for block in net.choice_blocks():
        assert block.path is None, "a supernet on a path computes only that"
    flops = flops_by_module(net, schema)
    names = {id(module): f"{type(net).__name__}.{name}" for name, module in net.named_modules()}
    costs, operations = {}, {}
    for name, block in net.blocks().items():
        known = (
            net.space.interaction_operations
            if name.startswith("interaction.")
            else net.space.expert_operations
        )
        operations[name] = tuple(str(o) for o in known)
        counts = [(flops.get(names[id(c)], 0), _parameters(c)) for c in block.candidates]
        costs[name] = np.array(counts, dtype=np.int64)
        if latencies is not None:
            costs[name] = np.column_stack(
                [costs[name], np.array(latencies.candidates[name], dtype=np.int64)]
            )
    return Prices(costs, operations)


def _parameters(candidate: nn.Module) -> int:
    return (
        candidate.num_parameters()
        if isinstance(candidate, NestedMLP)
        else sum(p.numel() for p in candidate.parameters())
    )


def fixed_costs(
    architecture: Architecture, schema: Schema, table: Prices, best: Mapping[str, str]
) -> np.ndarray:
    """The costs of a derived model outside its choice blocks, embedding tables left out. Shape:
    (2,).

    Args:
        architecture: any derived from the space with as many experts per task.
        schema: the data set.
        table: prices of the candidates.
        best: the operations of the blocks that `architecture` has, those of unused experts left
            out.
    """
    counted = cost(build_model(architecture, schema, max_parameters=None), schema)
    whole = np.array([counted.flops_per_row, counted.other_parameters], dtype=np.int64)
    rest: np.ndarray = whole - table.total(best)[:2]
    return rest
