"""Which expert of an architecture fills which slot of its sharing module: the plug-in rule of spec/sharing.md."""

from automtl.spaces.architecture import Architecture, Expert, Sharing
from automtl.spaces.slots import Slot


def parts(architecture: Architecture) -> tuple[Architecture, ...]:
    """The models to train apart: one per task for ``single_task``, else the architecture itself."""
    if architecture.sharing.kind != "single_task":
        return (architecture,)
    assert architecture.tasks is not None, "only a bound architecture has parts"
    return tuple(_part(architecture, t) for t in range(len(architecture.tasks)))


def _part(architecture: Architecture, task: int) -> Architecture:
    """One task's own model: its chosen experts under a gate of its own, or one expert where none is chosen."""
    assert architecture.tasks is not None
    count = len(architecture.chosen[task]) if architecture.chosen is not None else 1
    experts = [architecture.experts[expert_for(architecture, Slot(0, task, i))] for i in range(count)]
    return architecture.evolve(
        tasks=(architecture.tasks[task],),
        experts=tuple(Expert(blocks=expert.blocks) for expert in experts),
        chosen=(tuple(range(count)),),
        sharing=Sharing(),
        ranking=None,
        choices={},
    )


def pool(architecture: Architecture) -> tuple[int, ...]:
    """Indices of the experts a pool holds: those chosen by at least one task, in listed order; all where none is chosen."""
    everyone = _matching(architecture, Slot(0, "pool", 0))
    if architecture.chosen is None:
        return everyone
    used = {expert for task in architecture.chosen for expert in task}
    return tuple(i for i in everyone if i in used)


def expert_for(architecture: Architecture, slot: Slot) -> int:
    """The index of the expert that fills `slot` (the plug-in rule of spec/sharing.md).

    A pool takes the chosen experts in listed order, a task's unit that task's experts by beta rank, a shared unit
    all by mean softmax(beta); without a ranking the listed order holds. Where a unit has more slots than there
    are experts, the list starts again.
    """
    if slot.owner == "pool":
        order = pool(architecture)
    else:
        legal = _matching(architecture, slot)
        ranked = _shared_order(architecture) if slot.owner == "shared" else _task_order(architecture, int(slot.owner))
        order = tuple(i for i in ranked if i in legal) or legal
    return order[slot.index % len(order)]


def _matching(architecture: Architecture, slot: Slot) -> tuple[int, ...]:
    fits = tuple(i for i, expert in enumerate(architecture.experts) if _fits(expert, slot))
    return fits or tuple(range(len(architecture.experts)))


def _fits(expert: Expert, slot: Slot) -> bool:
    if expert.level is not None and expert.level != slot.level:
        return False
    if expert.owner is None:
        return True
    if isinstance(slot.owner, int):
        return expert.owner == "task" and expert.task in (None, slot.owner)
    return expert.owner == slot.owner


def _task_order(architecture: Architecture, task: int) -> tuple[int, ...]:
    ranking, chosen = architecture.ranking, architecture.chosen
    if ranking is None:
        return chosen[task] if chosen is not None else tuple(range(len(architecture.experts)))
    order = tuple(entry.expert for entry in ranking[task])
    return tuple(i for i in order if i in chosen[task]) if chosen is not None else order


def _shared_order(architecture: Architecture) -> tuple[int, ...]:
    everyone = range(len(architecture.experts))
    if architecture.ranking is None:
        return tuple(everyone)
    weights = dict.fromkeys(everyone, 0.0)
    for task in architecture.ranking:
        for entry in task:
            weights[entry.expert] += entry.weight / len(architecture.ranking)
    return tuple(sorted(everyone, key=lambda i: (-weights[i], i)))
