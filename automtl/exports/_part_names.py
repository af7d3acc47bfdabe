"""Names of a network's parts as a reader of exported code would call them."""

from torch import nn

from automtl.data.store.schema import Schema
from automtl.models.derived import IndependentNets
from automtl.models.skeleton import MultiTaskNet
from automtl.sharing.network import FusionNetwork
from automtl.spaces.kinds import Slot


def part_names(net: nn.Module, schema: Schema) -> dict[str, str]:
    """What the parts of the whole are called in it, by path: by task, unit and place rather than by
    number.
    """
    tasks = [task.name for task in schema.tasks]
    parts: list[tuple[str, str, nn.Module, list[str]]] = [("", "", net, tasks)]
    if isinstance(net, IndependentNets):
        parts = [
            (f"nets.{t}.", f"{tasks[t]}_", part, [tasks[t]]) for t, part in enumerate(net.nets)
        ]
    spoken: dict[str, str] = {}
    for path, prefix, part, names in parts:
        own = {f"towers.{t}": f"tower_{name}" for t, name in enumerate(names)} | {"input": "fields"}
        if isinstance(part, MultiTaskNet) and isinstance(part.sharing, FusionNetwork):
            own |= _sharing_names(part.sharing)
        plain = {inner: inner.replace("sharing.", "") for inner, _ in part.named_modules()}
        spoken |= {path + inner: prefix + name for inner, name in {**plain, **own}.items()}
    return spoken


def _sharing_names(sharing: FusionNetwork) -> dict[str, str]:
    several = sharing.fusions[-1].level > 0
    experts = {
        f"sharing.experts.{i}": f"expert_{_place(slot, sharing.tasks, several)}"
        for i, slot in enumerate(sharing.slots)
    }
    units = [
        f"{fusion.label(sharing.tasks)}_{fusion.level}" if several else fusion.label(sharing.tasks)
        for fusion in sharing.fusions
    ]
    return experts | {f"sharing.gates.{i}": f"gate_{unit}" for i, unit in enumerate(units)}


def _place(slot: Slot, tasks: tuple[str, ...], several: bool) -> str:
    owner = (
        tasks[slot.owner]
        if isinstance(slot.owner, int)
        else ""
        if slot.owner == "pool"
        else slot.owner
    )
    return "_".join(
        str(part)
        for part in (owner, f"level{slot.level}" if several else "", slot.index)
        if part != ""
    )
