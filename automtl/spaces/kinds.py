"""Slots: the places for experts that a sharing kind declares.

A slot is (level, owner, index). The owner is "pool" (every task reads it), "shared" (a shared unit
of a kind that also has task units) or the number of a task.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from automtl.bounds import MAX_SLOTS
from automtl.errors import ConfigError, counted
from automtl.spaces.catalogue import SHARING
from automtl.spaces.settings import of_each

_COUNTS = ("levels", "experts", "task_experts", "shared_experts", "masks")


@dataclass(frozen=True)
class Slot:
    """One place for an expert in a sharing module."""

    level: int
    owner: int | str
    index: int

    def __str__(self) -> str:
        owner = f"task{self.owner}" if isinstance(self.owner, int) else self.owner
        return f"level{self.level}.{owner}.{self.index}"


def _pool(num_tasks: int, num_experts: int, settings: Mapping[str, Any]) -> Iterator[Slot]:
    """The same number of experts on every level, no one's own."""
    count = settings.get("experts") or num_experts
    return (
        Slot(level, "pool", i) for level in range(settings.get("levels", 1)) for i in range(count)
    )


def _units(num_tasks: int, num_experts: int, settings: Mapping[str, Any]) -> Iterator[Slot]:
    """On every level each task's own experts, then the shared unit's."""
    own = settings.get("task_experts", (1,) * num_tasks)
    for level in range(settings.get("levels", 1)):
        yield from (Slot(level, task, i) for task in range(num_tasks) for i in range(own[task]))
        yield from (Slot(level, "shared", i) for i in range(settings.get("shared_experts", 0)))


def _masks(num_tasks: int, num_experts: int, settings: Mapping[str, Any]) -> Iterator[Slot]:
    """One slot per mask over the one base network; the base itself where there is no mask."""
    return (Slot(0, "pool", i) for i in range(max(settings["masks"], 1)))


def _units_and_shared(
    num_tasks: int, num_experts: int, settings: Mapping[str, Any]
) -> Iterator[Slot]:
    return _units(num_tasks, num_experts, {**settings, "shared_experts": 1})


def _one_shared(num_tasks: int, num_experts: int, settings: Mapping[str, Any]) -> Iterator[Slot]:
    yield Slot(0, "shared", 0)


# By ``SharingSignature.slots``.
LAYOUTS: dict[str, Callable[[int, int, Mapping[str, Any]], Iterator[Slot]]] = {
    "pool": _pool,
    "task": _units,
    "shared": _one_shared,
    "units": _units,
    "sub_networks": _units_and_shared,
    "base": _masks,
}


def layout(
    kind: str,
    *,
    num_tasks: int,
    num_experts: int,
    settings: Mapping[str, Any],
    names: Sequence[str] | None = None,
) -> tuple[Slot, ...]:
    """The slots of a sharing kind.

    Args:
        kind: a name of ``catalogue.SHARING``.
        num_tasks: T.
        num_experts: N, the size of the pool; kinds without a pool do not read it.
        settings: the kind's settings, complete.
        names: of the tasks, which settings may count experts by; None where they are not known.

    Raises:
        ConfigError: more than ``MAX_SLOTS``; each unit's reads of all others would be counted in
            millions.
    """
    own = (
        {}
        if "task_experts" not in settings
        else {"task_experts": of_each(settings["task_experts"], names, num_tasks)}
    )
    place = LAYOUTS[SHARING[kind].slots]
    slots = tuple(islice(place(num_tasks, num_experts, {**settings, **own}), MAX_SLOTS + 1))
    if len(slots) > MAX_SLOTS:
        counts = ", ".join(f"{name} {value}" for name, value in settings.items() if name in _COUNTS)
        rule = f"must have at most {MAX_SLOTS} places for experts, all levels and tasks together"
        fix = "lower the numbers"
        raise ConfigError(
            f"sharing kind {kind}",
            rule,
            f"{counts or 'experts'} with {counted(num_experts, 'expert')} and "
            f"{counted(num_tasks, 'task')}",
            fix,
        )
    return slots
