"""Which expert of an architecture fills which slot of its sharing module."""

from collections.abc import Mapping
from typing import Any

from automtl.errors import ConfigError
from automtl.spaces.architecture import Architecture, Expert, Sharing
from automtl.spaces.catalogue import SHARING
from automtl.spaces.kinds import Slot, layout
from automtl.spaces.operations import OPERATIONS
from automtl.spaces.wiring import Fusion, Wiring, wire

_MASKABLE = ("mlp", "dense")


def plugged(architecture: Architecture, kind: str, settings: Mapping[str, Any]) -> Architecture:
    """The same experts under another sharing module, or under its own with other settings.

    Experts that a search bound to the units of its own kind may stand anywhere in another; their
    order is then the ranking's, by mean gate weight. A hand-made architecture keeps its levels.
    What is recommended for one kind is not for another.

    Raises:
        ConfigError: an unknown kind or setting, one that does not fit, or experts whose widths do
            not.
    """
    experts = architecture.experts
    if kind != architecture.sharing.kind and architecture.ranking is not None:
        experts = tuple(
            expert.model_copy(update={"level": None, "owner": None, "task": None})
            for expert in experts
        )
    recommended = architecture.recommended if kind == architecture.sharing.kind else {}
    architecture = architecture.evolve(
        experts=experts,
        sharing=Sharing(kind=kind, settings=dict(settings)),
        recommended=recommended,
    )
    check_widths(architecture)
    return architecture


def tasks_of(architecture: Architecture) -> list[str] | None:
    """The names of the tasks that an architecture is bound to, or a template counts experts of;
    None for a template of any tasks.
    """
    if architecture.tasks is not None:
        return [task.name for task in architecture.tasks]
    own = architecture.sharing.all_settings.get("task_experts")
    if isinstance(own, Mapping):
        return list(own)
    return [f"task {i + 1}" for i in range(len(own))] if isinstance(own, tuple) else None


def slots_of(architecture: Architecture, num_tasks: int) -> tuple[Slot, ...]:
    """The slots of an architecture's own sharing kind; `single_task` has one per chosen expert."""
    kind, settings = architecture.sharing.kind, architecture.sharing.all_settings
    if kind == "single_task" and architecture.chosen is not None:
        return tuple(
            Slot(0, t, i) for t, picks in enumerate(architecture.chosen) for i in range(len(picks))
        )
    names = tasks_of(architecture)
    return layout(
        kind,
        num_tasks=num_tasks,
        num_experts=len(pool(architecture)),
        settings=settings,
        names=names,
    )


def picks_of(architecture: Architecture) -> list[list[int]] | None:
    """Per task, the places in the pool of its chosen experts; None where every task reads
    them all.
    """
    members = pool(architecture)
    return (
        None
        if architecture.chosen is None
        else [[members.index(i) for i in task if i in members] for task in architecture.chosen]
    )


def wiring_of(architecture: Architecture, num_tasks: int) -> Wiring:
    """The wiring of an architecture's own sharing kind and settings."""
    settings = architecture.sharing.all_settings
    order = settings.get("order")
    names = [task.name for task in architecture.tasks or ()]
    funnel = [names.index(name) for name in order] if order and names else None
    slots = slots_of(architecture, num_tasks)
    kind = architecture.sharing.kind
    pairs = not settings.get("cells", True)
    return wire(
        kind,
        slots,
        num_tasks=num_tasks,
        picks=picks_of(architecture),
        order=funnel,
        all_pairs=pairs,
    )


def check_widths(architecture: Architecture) -> None:
    """Refuse experts of different output widths where their outputs are added.

    Raises:
        ConfigError: as above, with the level and the widths.
    """
    # a template's tasks are all alike
    wiring = wiring_of(architecture, len(tasks_of(architecture) or (1, 2)))
    # None: as wide as the flat fields
    widths: dict[Fusion | None, int | None] = {None: architecture.projection}
    for fusion in wiring.fusions:
        outputs = {}
        for slot in fusion.slots:
            index = expert_for(architecture, slot)
            outputs[index] = _width(architecture.experts[index], widths[wiring.source(slot)])
        if len(set(outputs.values())) > 1:
            said = ", ".join(
                f"expert {i}: {width or 'as its input'}" for i, width in sorted(outputs.items())
            )
            raise ConfigError(
                f"experts of level {fusion.level}",
                "must have one output width, since their outputs are added",
                said,
            )
        widths[fusion] = next(iter(outputs.values()))


def _width(expert: Expert, width_in: int | None) -> int | None:
    for operation in expert.operations:
        width_in = (
            int(operation.argument or 0) if OPERATIONS[operation.name].changes_width else width_in
        )
    return width_in


def parts(architecture: Architecture) -> tuple[Architecture, ...]:
    """The models to train apart: one per task for ``single_task``, else the architecture itself."""
    if architecture.sharing.kind != "single_task":
        return (architecture,)
    assert architecture.tasks is not None, "only a bound architecture has parts"
    return tuple(_part(architecture, t) for t in range(len(architecture.tasks)))


def _part(architecture: Architecture, task: int) -> Architecture:
    """One task's own model: its chosen experts under a gate of its own, or one expert where none is
    chosen.
    """
    assert architecture.tasks is not None
    count = len(architecture.chosen[task]) if architecture.chosen is not None else 1
    experts = [
        architecture.experts[expert_for(architecture, Slot(0, task, i))] for i in range(count)
    ]
    return architecture.evolve(
        tasks=(architecture.tasks[task],),
        experts=tuple(Expert(blocks=expert.blocks) for expert in experts),
        chosen=(tuple(range(count)),),
        sharing=Sharing(),
        ranking=None,
        choices={},
    )


def pool(architecture: Architecture, level: int = 0) -> tuple[int, ...]:
    """Indices of the experts a pool holds, in listed order: those chosen by at least one task; all
    where none is chosen.

    Where the sharing kind is told to hold fewer, it keeps those of the largest mean weight.
    """
    members = architecture.pool(level)
    count = architecture.sharing.all_settings.get("experts") or len(members)
    known = set(members)
    best = set([i for i in _shared_order(architecture) if i in known][:count])
    return tuple(i for i in members if i in best)


def expert_for(architecture: Architecture, slot: Slot) -> int:
    """The index of the expert that fills `slot`.

    A pool takes the chosen experts in listed order, a task's unit that task's experts by beta rank,
    a shared unit all by mean softmax(beta); without a ranking, after those that one names, and in
    the very unit that experts were searched for, the listed order holds. Where a unit has more
    slots than there are experts, the list starts again. A base network is the first expert by mean
    softmax(beta) that masks have something to hold on to in.

    Raises:
        ConfigError: there is no such expert.
    """
    if SHARING[architecture.sharing.kind].slots == "base":
        return _base(architecture)
    if slot.owner == "pool":
        order = pool(architecture, slot.level)
    else:
        order = legal = architecture.fitting(slot)
        if any(
            architecture.experts[i].level is None or architecture.experts[i].owner is None
            for i in legal
        ):
            ranked = (
                _shared_order(architecture)
                if slot.owner == "shared"
                else _task_order(architecture, int(slot.owner))
            )
            order = tuple(i for i in ranked if i in legal) or legal
    return order[slot.index % len(order)]


def _base(architecture: Architecture) -> int:
    for index in _shared_order(architecture):
        if any(operation.name in _MASKABLE for operation in architecture.experts[index].operations):
            return index
    got = "; ".join(" -> ".join(expert.blocks) for expert in architecture.experts)[:200]
    fix = "choose another sharing kind"
    raise ConfigError(
        f"sharing.kind {architecture.sharing.kind}",
        "needs an expert that holds mlp or dense, to mask its weights",
        got,
        fix,
    )


def _task_order(architecture: Architecture, task: int) -> tuple[int, ...]:
    ranking, chosen = architecture.ranking, architecture.chosen
    listed = chosen[task] if chosen is not None else tuple(range(len(architecture.experts)))
    ranked = [entry.expert for entry in ranking[task]] if ranking is not None else []
    return (*(i for i in ranked if i in listed), *(i for i in listed if i not in ranked))


def _shared_order(architecture: Architecture) -> tuple[int, ...]:
    everyone = range(len(architecture.experts))
    if architecture.ranking is None:
        return tuple(everyone)
    weights = dict.fromkeys(everyone, 0.0)
    for task in architecture.ranking:
        for entry in task:
            weights[entry.expert] += entry.weight / len(architecture.ranking)
    return tuple(sorted(everyone, key=lambda i: (-weights[i], i)))
