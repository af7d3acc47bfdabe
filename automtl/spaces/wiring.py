"""How the experts of a sharing kind are joined: which outputs each unit weighs, and who reads what
it makes.

A *fusion* is one place where several outputs become one vector; the experts of its owner on the
next level, or a task's tower, read that vector. Networks and pictures are both made from it, so
they cannot disagree.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from automtl.spaces.catalogue import SHARING
from automtl.spaces.kinds import Slot

Picks = Sequence[Sequence[int]] | None


@dataclass(frozen=True)
class Fusion:
    """One place where outputs become one vector.

    Args:
        level: of the experts it reads.
        owner: a task's number, "shared" (the shared unit; of a kind with one level: every tower
            reads it) or "pool".
        index: which expert of the next level reads it, for the owner "pool".
        slots: the experts it weighs, in the order of its weights.
        after: another fusion whose vector it reads before those.
    """

    level: int
    owner: int | str
    index: int
    slots: tuple[Slot, ...]
    after: "Fusion | None" = None

    @property
    def inputs(self) -> int:
        """How many vectors it weighs."""
        return len(self.slots) + (self.after is not None)

    def label(self, tasks: Sequence[str]) -> str:
        """Its unit in words: the task's name, "shared", or the number of the next expert."""
        if isinstance(self.owner, int):
            return tasks[self.owner]
        return "shared" if self.owner == "shared" else f"expert {self.index}"


@dataclass(frozen=True)
class Wiring:
    """All fusions of a sharing module, lower levels first."""

    fusions: tuple[Fusion, ...]

    def source(self, slot: Slot) -> Fusion | None:
        """Whose vector the expert in `slot` reads; None for the module's input."""
        return self._unit(slot.level - 1, slot.owner, slot.index if slot.owner == "pool" else 0)

    def previous(self, fusion: Fusion) -> Fusion | None:
        """The same unit's vector one level below; None for the module's input."""
        return self._unit(fusion.level - 1, fusion.owner, fusion.index)

    def tower(self, task: int) -> Fusion:
        """Whose vector a task's tower reads."""
        top = self.fusions[-1].level
        return self._unit(top, task, 0) or self._unit(top, "shared", 0) or self.fusions[-1]

    def ancestors(self, task: int) -> tuple[Fusion, ...]:
        """The fusions that a task's representation depends on."""
        fusions: list[Fusion] = []
        waiting: list[Fusion | None] = [self.tower(task)]
        while waiting:
            fusion = waiting.pop()
            if fusion is not None and fusion not in fusions:
                fusions.append(fusion)
                waiting += [fusion.after, *(self.source(slot) for slot in fusion.slots)]
        return tuple(fusions)

    def reads(self, task: int) -> frozenset[Slot]:
        """The slots that a task's representation depends on."""
        return frozenset(slot for fusion in self.ancestors(task) for slot in fusion.slots)

    def _unit(self, level: int, owner: int | str, index: int) -> Fusion | None:
        return self._units.get((level, owner, index))

    @cached_property
    def _units(self) -> dict[tuple[int, int | str, int], Fusion]:
        return {(f.level, f.owner, f.index): f for f in self.fusions}


def wire(
    kind: str,
    slots: Sequence[Slot],
    *,
    num_tasks: int,
    picks: Picks = None,
    order: Sequence[int] | None = None,
    all_pairs: bool = False,
) -> Wiring:
    """The wiring of a sharing kind.

    Args:
        kind: a name of ``catalogue.SHARING``.
        slots: as ``kinds.layout`` declares them.
        num_tasks: T.
        picks: per task the positions in the pool it may gate; None for all. Kinds that do not
            choose do not read it.
        order: the tasks' numbers in the order of a funnel; None for the listed one.
        all_pairs: a task's unit reads other tasks' experts too, in a kind that can do without
            (`mssm`).
    """
    return Wiring(
        WIRINGS[SHARING[kind].wiring](
            tuple(slots), num_tasks, {"picks": picks, "order": order, "all_pairs": all_pairs}
        )
    )


def _on_level(slots: Sequence[Slot], level: int) -> tuple[Slot, ...]:
    return tuple(slot for slot in slots if slot.level == level)


def _levels(slots: Sequence[Slot]) -> int:
    return max(slot.level for slot in slots) + 1


def _one_for_all(
    slots: tuple[Slot, ...], num_tasks: int, details: Mapping[str, Any]
) -> tuple[Fusion, ...]:
    return (Fusion(0, "shared", 0, slots),)


def _one_per_task(
    slots: tuple[Slot, ...], num_tasks: int, details: Mapping[str, Any]
) -> tuple[Fusion, ...]:
    return tuple(Fusion(0, t, 0, slots) for t in range(num_tasks))


def _picked(
    slots: tuple[Slot, ...], num_tasks: int, details: Mapping[str, Any]
) -> tuple[Fusion, ...]:
    picks = details["picks"] or [range(len(slots))] * num_tasks
    return tuple(Fusion(0, t, 0, tuple(slots[i] for i in picks[t])) for t in range(num_tasks))


def _own_only(
    slots: tuple[Slot, ...], num_tasks: int, details: Mapping[str, Any]
) -> tuple[Fusion, ...]:
    return tuple(Fusion(0, t, 0, tuple(s for s in slots if s.owner == t)) for t in range(num_tasks))


def _stacked(
    slots: tuple[Slot, ...], num_tasks: int, details: Mapping[str, Any]
) -> tuple[Fusion, ...]:
    """Per level one fusion for each expert of the next, at last one for each task; each reads the
    whole level.
    """
    last = _levels(slots) - 1
    levels = [_on_level(slots, level) for level in range(last + 1)]
    inner = [
        Fusion(level, "pool", s.index, levels[level])
        for level in range(last)
        for s in levels[level + 1]
    ]
    return (*inner, *(Fusion(last, t, 0, levels[last]) for t in range(num_tasks)))


def _units(slots: tuple[Slot, ...], num_tasks: int, *, own_first: bool) -> tuple[Fusion, ...]:
    """Per level one fusion for each task, and one for the shared unit, where it has experts, but
    not on the last level.

    `own_first`: a task reads its own experts, then the shared ones (Tang et al. 2020); otherwise
    all experts of the level. The shared unit reads them all.
    """
    fusions = []
    for level in range(_levels(slots)):
        everyone = _on_level(slots, level)
        shared = tuple(s for s in everyone if s.owner == "shared")
        for t in range(num_tasks):
            own = tuple(s for s in everyone if s.owner == t)
            fusions.append(Fusion(level, t, 0, own + shared if own_first else everyone))
        if shared and level + 1 < _levels(slots):
            fusions.append(Fusion(level, "shared", 0, everyone))
    return tuple(fusions)


def _progressive(
    slots: tuple[Slot, ...], num_tasks: int, details: Mapping[str, Any]
) -> tuple[Fusion, ...]:
    return _units(slots, num_tasks, own_first=True)


def _all_to_all(
    slots: tuple[Slot, ...], num_tasks: int, details: Mapping[str, Any]
) -> tuple[Fusion, ...]:
    return _units(slots, num_tasks, own_first=False)


def _sparse(
    slots: tuple[Slot, ...], num_tasks: int, details: Mapping[str, Any]
) -> tuple[Fusion, ...]:
    return _units(slots, num_tasks, own_first=not details["all_pairs"])


def _chain(
    slots: tuple[Slot, ...], num_tasks: int, details: Mapping[str, Any]
) -> tuple[Fusion, ...]:
    fusions: list[Fusion] = []
    for t in details["order"] or range(num_tasks):
        fusions.append(
            Fusion(
                0, t, 0, tuple(s for s in slots if s.owner == t), fusions[-1] if fusions else None
            )
        )
    return tuple(fusions)


# By ``SharingSignature.wiring``.
WIRINGS: dict[str, Callable[[tuple[Slot, ...], int, Mapping[str, Any]], tuple[Fusion, ...]]] = {
    "picked": _picked,
    "one_for_all": _one_for_all,
    "one_per_task": _one_per_task,
    "stacked": _stacked,
    "progressive": _progressive,
    "all_to_all": _all_to_all,
    "chain": _chain,
    "sparse": _sparse,
    "own_only": _own_only,
}
