"""Slots: the places for experts that a sharing kind declares, and which expert of an architecture fills each.

A slot is (level, owner, index). The owner is "pool" (every task reads it), "shared" (a shared unit of a kind that
also has task units) or the number of a task.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from automtl.spaces.architecture import Architecture, Expert


@dataclass(frozen=True)
class Slot:
    """One place for an expert in a sharing module."""

    level: int
    owner: int | str
    index: int

    def __str__(self) -> str:
        owner = f"task{self.owner}" if isinstance(self.owner, int) else self.owner
        return f"level{self.level}.{owner}.{self.index}"


def _pool(num_tasks: int, num_experts: int, settings: Mapping[str, Any]) -> tuple[Slot, ...]:
    return tuple(Slot(0, "pool", i) for i in range(num_experts))


def _one_shared(num_tasks: int, num_experts: int, settings: Mapping[str, Any]) -> tuple[Slot, ...]:
    return (Slot(0, "shared", 0),)


def _one_per_task(num_tasks: int, num_experts: int, settings: Mapping[str, Any]) -> tuple[Slot, ...]:
    return tuple(Slot(0, task, 0) for task in range(num_tasks))


LAYOUTS: dict[str, Callable[[int, int, Mapping[str, Any]], tuple[Slot, ...]]] = {
    "selected": _pool,
    "mmoe": _pool,
    "shared_bottom": _one_shared,
    "single_task": _one_per_task,
}


def layout(kind: str, *, num_tasks: int, num_experts: int, settings: Mapping[str, Any]) -> tuple[Slot, ...]:
    """The slots of a sharing kind.

    Args:
        kind: a name of ``catalogue.SHARING``.
        num_tasks: T.
        num_experts: N, the size of the pool; kinds without a pool do not read it.
        settings: the kind's settings, complete.
    """
    return LAYOUTS[kind](num_tasks, num_experts, settings)


def pool(architecture: "Architecture") -> tuple[int, ...]:
    """Indices of the experts a pool holds: those chosen by at least one task, in listed order; all where none is chosen."""
    everyone = _matching(architecture, Slot(0, "pool", 0))
    if architecture.chosen is None:
        return everyone
    used = {expert for task in architecture.chosen for expert in task}
    return tuple(i for i in everyone if i in used)


def expert_for(architecture: "Architecture", slot: Slot) -> int:
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


def _matching(architecture: "Architecture", slot: Slot) -> tuple[int, ...]:
    fits = tuple(i for i, expert in enumerate(architecture.experts) if _fits(expert, slot))
    return fits or tuple(range(len(architecture.experts)))


def _fits(expert: "Expert", slot: Slot) -> bool:
    if expert.level is not None and expert.level != slot.level:
        return False
    if expert.owner is None:
        return True
    if isinstance(slot.owner, int):
        return expert.owner == "task" and expert.task in (None, slot.owner)
    return expert.owner == slot.owner


def _task_order(architecture: "Architecture", task: int) -> tuple[int, ...]:
    ranking, chosen = architecture.ranking, architecture.chosen
    if ranking is None:
        return chosen[task] if chosen is not None else tuple(range(len(architecture.experts)))
    order = tuple(entry.expert for entry in ranking[task])
    return tuple(i for i in order if i in chosen[task]) if chosen is not None else order


def _shared_order(architecture: "Architecture") -> tuple[int, ...]:
    everyone = range(len(architecture.experts))
    if architecture.ranking is None:
        return tuple(everyone)
    weights = dict.fromkeys(everyone, 0.0)
    for task in architecture.ranking:
        for entry in task:
            weights[entry.expert] += entry.weight / len(architecture.ranking)
    return tuple(sorted(everyone, key=lambda i: (-weights[i], i)))
