"""Which expert of an architecture fills which slot of its sharing module."""

from collections.abc import Mapping
from functools import cached_property
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


class Placement:
    """The slots of an architecture's sharing kind, how they are wired, and which expert fills each;
    every answer is computed once.

    Args:
        architecture: a template, or one bound to a data set.
        num_tasks: T; None takes the architecture's own tasks, and two of a template of any tasks,
            whose tasks are all alike.
    """

    def __init__(self, architecture: Architecture, num_tasks: int | None = None) -> None:
        self.architecture = architecture
        self.settings = architecture.sharing.all_settings
        self.num_tasks = len(self.task_names or (1, 2)) if num_tasks is None else num_tasks
        self._pools: dict[int, tuple[int, ...]] = {}
        self._experts: dict[Slot, int] = {}

    @cached_property
    def task_names(self) -> list[str] | None:
        """The names of the tasks that the architecture is bound to, or a template counts experts
        of; None for a template of any tasks.
        """
        if self.architecture.tasks is not None:
            return [task.name for task in self.architecture.tasks]
        own = self.settings.get("task_experts")
        if isinstance(own, Mapping):
            return list(own)
        return [f"task {i + 1}" for i in range(len(own))] if isinstance(own, tuple) else None

    @cached_property
    def slots(self) -> tuple[Slot, ...]:
        """The slots of the sharing kind; `single_task` has one per chosen expert."""
        kind, chosen = self.architecture.sharing.kind, self.architecture.chosen
        if kind == "single_task" and chosen is not None:
            return tuple(Slot(0, t, i) for t, picks in enumerate(chosen) for i in range(len(picks)))
        return layout(
            kind,
            num_tasks=self.num_tasks,
            num_experts=len(self.pool()),
            settings=self.settings,
            names=self.task_names,
        )

    @cached_property
    def picks(self) -> list[list[int]] | None:
        """Per task, the places in the pool of its chosen experts; None where every task reads
        them all.
        """
        members, chosen = self.pool(), self.architecture.chosen
        if chosen is None:
            return None
        return [[members.index(i) for i in task if i in members] for task in chosen]

    @cached_property
    def wiring(self) -> Wiring:
        """Which outputs each unit weighs, and who reads what it makes."""
        order = self.settings.get("order")
        names = [task.name for task in self.architecture.tasks or ()]
        return wire(
            self.architecture.sharing.kind,
            self.slots,
            num_tasks=self.num_tasks,
            picks=self.picks,
            order=[names.index(name) for name in order] if order and names else None,
            all_pairs=not self.settings.get("cells", True),
        )

    def pool(self, level: int = 0) -> tuple[int, ...]:
        """Indices of the experts that a pool holds, in listed order: those chosen by at least one
        task; all where none is chosen.

        Where the sharing kind is given a smaller number of experts, it takes those of the largest
        mean weight.
        """
        if level not in self._pools:
            members = self.architecture.pool(level)
            count = self.settings.get("experts") or len(members)
            best = set([i for i in self._shared_order if i in set(members)][:count])
            self._pools[level] = tuple(i for i in members if i in best)
        return self._pools[level]

    def expert(self, slot: Slot) -> int:
        """The index of the expert that fills `slot`.

        A pool takes the chosen experts in listed order, a task's unit that task's experts by beta
        rank, a shared unit all by mean softmax(beta); without a ranking, after those that one
        names, and in the very unit that experts were searched for, the listed order holds. Where a
        unit has more slots than there are experts, the list starts again. A base network is the
        first expert by mean softmax(beta) that masks have something to hold on to in.

        Raises:
            ConfigError: there is no such expert.
        """
        if slot not in self._experts:
            self._experts[slot] = self._expert(slot)
        return self._experts[slot]

    def _expert(self, slot: Slot) -> int:
        if SHARING[self.architecture.sharing.kind].slots == "base":
            return self._base
        order = self.pool(slot.level) if slot.owner == "pool" else self._order(slot)
        return order[slot.index % len(order)]

    def _order(self, slot: Slot) -> tuple[int, ...]:
        """The experts that a unit of its own may take, the first first."""
        fitting = self.architecture.fitting(slot)
        experts = [self.architecture.experts[i] for i in fitting]
        if all(expert.level is not None and expert.owner is not None for expert in experts):
            return fitting
        shared = slot.owner == "shared"
        ranked = self._shared_order if shared else self._task_order(int(slot.owner))
        return tuple(i for i in ranked if i in fitting) or fitting

    @cached_property
    def _base(self) -> int:
        experts = self.architecture.experts
        for index in self._shared_order:
            if any(operation.name in _MASKABLE for operation in experts[index].operations):
                return index
        raise ConfigError(
            f"sharing.kind {self.architecture.sharing.kind}",
            "needs an expert that holds mlp or dense, to mask its weights",
            "; ".join(" -> ".join(expert.blocks) for expert in experts)[:200],
            "choose another sharing kind",
        )

    def _task_order(self, task: int) -> tuple[int, ...]:
        ranking, chosen = self.architecture.ranking, self.architecture.chosen
        listed = chosen[task] if chosen is not None else range(len(self.architecture.experts))
        ranked = [entry.expert for entry in ranking[task]] if ranking is not None else []
        return (*(i for i in ranked if i in listed), *(i for i in listed if i not in ranked))

    @cached_property
    def _shared_order(self) -> tuple[int, ...]:
        everyone = range(len(self.architecture.experts))
        if self.architecture.ranking is None:
            return tuple(everyone)
        weights = dict.fromkeys(everyone, 0.0)
        for task in self.architecture.ranking:
            for entry in task:
                weights[entry.expert] += entry.weight / len(self.architecture.ranking)
        return tuple(sorted(everyone, key=lambda i: (-weights[i], i)))


def check_widths(architecture: Architecture) -> None:
    """Refuse experts of different output widths where their outputs are added.

    Raises:
        ConfigError: as above, with the level and the widths.
    """
    placement = Placement(architecture)
    wiring = placement.wiring
    # None: as wide as the flat fields
    widths: dict[Fusion | None, int | None] = {None: architecture.projection}
    for fusion in wiring.fusions:
        outputs = {}
        for slot in fusion.slots:
            index = placement.expert(slot)
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
    placement = Placement(architecture)
    experts = [architecture.experts[placement.expert(Slot(0, task, i))] for i in range(count)]
    return architecture.evolve(
        tasks=(architecture.tasks[task],),
        experts=tuple(Expert(blocks=expert.blocks) for expert in experts),
        chosen=(tuple(range(count)),),
        sharing=Sharing(),
        ranking=None,
        choices={},
    )
