"""What each part of a network costs, by the name of its node in ``spaces.graph.to_graph``."""

from collections.abc import Iterator
from dataclasses import dataclass

from torch import nn

from automtl.data.store.schema import Field, Schema, Task
from automtl.errors import AutoMTLError
from automtl.models.cost import flops_by_module
from automtl.models.derived import IndependentNets, build_model
from automtl.models.skeleton import MultiTaskNet
from automtl.sharing.mssm import MSSM
from automtl.spaces.architecture import Architecture
from automtl.spaces.kinds import Slot
from automtl.spaces.placement import Placement


@dataclass(frozen=True)
class PartCost:
    """One part of a network.

    Args:
        parameters: trainable entries, tables included; None where they hang on data that is not
            known.
        flops: floating-point operations per row; None likewise.
    """

    parameters: int | None
    flops: int | None


def part_costs(architecture: Architecture, schema: Schema | None = None) -> dict[str, PartCost]:
    """Parameters and operations of every part: "fields", "interaction.0", "projection",
    "expert.level0.pool.3", "tower.1", "masks" of fields, and "sharing", which is what these leave
    of the sharing module.

    Without a schema two networks are built, for data sets that differ in all that the architecture
    leaves open; what comes out alike is certain, and all else is None.

    Raises:
        ConfigError: the architecture does not fit the schema.
    """
    if schema is not None:
        return _counted(architecture, schema)
    small, large = (_counted(architecture, _stand_in(architecture, size)) for size in (2, 3))
    pairs = {name: (small[name], large[name]) for name in small if name in large}
    return {
        name: PartCost(
            a.parameters if a.parameters == b.parameters else None,
            a.flops if a.flops == b.flops else None,
        )
        for name, (a, b) in pairs.items()
    }


def known_part_costs(architecture: Architecture) -> dict[str, PartCost]:
    """``part_costs`` without a schema for a picture: empty where the architecture cannot be built
    without one.
    """
    try:
        return part_costs(architecture)
    except (AutoMTLError, ValueError, KeyError):
        return {}


def _stand_in(architecture: Architecture, size: int) -> Schema:
    """A data set that the architecture fits; `size` sets what it leaves open."""
    tasks = [Task(name=t.name, kind=t.kind, classes=t.classes) for t in architecture.tasks or ()]
    tasks = tasks or [
        Task(name=name, kind="binary") for name in Placement(architecture).task_names or ["task"]
    ]
    fields = architecture.fields or [
        Field(name=f"field{i}", kind="categorical") for i in range(size)
    ]
    known = [
        Field(name=f.name, kind=f.kind, vocabulary_size=0 if f.kind == "numeric" else 1 + size)
        for f in fields
    ]
    return Schema(name="stand-in", fields=tuple(known), tasks=tuple(tasks))


def _counted(architecture: Architecture, schema: Schema) -> dict[str, PartCost]:
    net = build_model(architecture, schema)
    flops = flops_by_module(net, schema)
    paths = {module: path for path, module in net.named_modules(prefix=type(net).__name__)}
    counts: dict[str, tuple[int, int]] = {}
    for name, module in _parts(net):
        parameters, operations = counts.get(name, (0, 0))
        counts[name] = (
            parameters + sum(p.numel() for p in module.parameters()),
            operations + flops.get(paths[module], 0),
        )
    everything = (sum(p.numel() for p in net.parameters()), flops["Global"])
    rest = [
        whole - sum(counted)
        for whole, counted in zip(everything, zip(*counts.values(), strict=True), strict=True)
    ]
    return {
        **{name: PartCost(*counted) for name, counted in counts.items()},
        "sharing": PartCost(*rest),
    }


def _parts(net: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Names of nodes with the modules behind them; a node stands for several modules where every
    task has a net of its own.
    """
    apart = isinstance(net, IndependentNets)
    for task, single in enumerate(net.nets if isinstance(net, IndependentNets) else [net]):
        assert isinstance(single, MultiTaskNet)
        yield "fields", single.input
        yield from ((f"interaction.{i}", block) for i, block in enumerate(single.interaction))
        if single.projection is not None:
            yield "projection", single.projection
        if isinstance(single.sharing, MSSM) and single.sharing.field_masks is not None:
            yield "masks", single.sharing.field_masks
        experts = getattr(single.sharing, "experts", ())
        if len(experts) == len(single.sharing.slots):
            for slot, expert in zip(single.sharing.slots, experts, strict=True):
                owner = Slot(slot.level, task, slot.index) if apart else slot
                yield f"expert.{owner}", expert
        yield from ((f"tower.{task + t}", tower) for t, tower in enumerate(single.towers))
