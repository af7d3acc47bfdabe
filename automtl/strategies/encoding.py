"""Architectures of a space as plain choices: drawn, mutated, read, and set in a supernet."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from automtl.data.store.schema import Schema
from automtl.errors import ConfigError
from automtl.models.supernet import Supernet
from automtl.spaces.architecture import Architecture, Ranked, Sharing
from automtl.spaces.catalogue import SHARING, sharing_settings
from automtl.spaces.decisions import EXPERTS_OF
from automtl.spaces.kinds import Slot, layout
from automtl.spaces.operations import Operation
from automtl.spaces.space import SearchSpace
from automtl.strategies.derive import assemble

MOST_DRAWS = 1000


@dataclass(frozen=True)
class Genome:
    """One architecture of a space.

    Args:
        picks: per choice block, in the order of `SpaceEncoding.names`, the number of its candidate.
        chosen: per task its experts, ascending; None for sharing kinds that choose none.
    """

    picks: tuple[int, ...]
    chosen: tuple[tuple[int, ...], ...] | None


class SpaceEncoding:
    """The choices of a space, and the ways between choices and architectures.

    Args:
        space: the space.
        schema: the data set; gives the tasks.
        sharing: the sharing kind and its settings.
        within: whether an architecture keeps the hard limits; draws and mutations that do not are
            made anew.
    """

    def __init__(
        self,
        space: SearchSpace,
        schema: Schema,
        sharing: Sharing,
        *,
        within: Callable[[Architecture], bool] | None = None,
    ) -> None:
        self.space = space
        self.schema = schema
        self.sharing = sharing
        self._within = within
        settings = sharing_settings(sharing.kind, sharing.settings)
        names = [task.name for task in schema.tasks]
        slots = layout(
            sharing.kind,
            num_tasks=len(names),
            num_experts=space.num_experts,
            settings=settings,
            names=names,
        )
        self.slots: Sequence[Slot] = slots
        self.count = space.chosen(len(names)) if SHARING[sharing.kind].uses_beta else 0
        self.names: list[str] = []
        self._ties: list[object] = []
        for i in range(space.num_interaction_blocks):
            self._add(f"interaction.{i}", ("interaction", i))
        for slot in self.slots:
            for j in range(space.num_blocks):
                self._add(f"{slot}.block.{j}", space.tie(slot, j))

    @property
    def chooses_experts(self) -> bool:
        """Whether tasks choose some of the experts, not all or none."""
        return 0 < self.count < len(self.slots)

    def _add(self, name: str, tie: object) -> None:
        self.names.append(name)
        self._ties.append(tie)

    def operations(self, name: str) -> tuple[Operation, ...]:
        """The candidates of a choice block."""
        return (
            self.space.interaction_operations
            if name.startswith("interaction.")
            else self.space.expert_operations
        )

    def draw(self, rng: np.random.Generator) -> Genome:
        """Every candidate of a block, and every set of experts of a task, equally likely (among
        those within the limits).

        Raises:
            ConfigError: the limits leave so little that no draw keeps them.
        """
        for _ in range(MOST_DRAWS):
            genome = self._any(rng)
            if self._within is None or self._within(self.architecture(genome)):
                return genome
        rule = f"must leave room for one of {MOST_DRAWS} random architectures"
        raise ConfigError(
            "the hard limits of the search",
            rule,
            "none within them",
            "raise them, or search with darts",
        )

    def _any(self, rng: np.random.Generator) -> Genome:
        drawn: dict[object, int] = {}
        for name, tie in zip(self.names, self._ties, strict=True):
            if tie not in drawn:
                drawn[tie] = int(rng.integers(len(self.operations(name))))
        return Genome(tuple(drawn[tie] for tie in self._ties), self.draw_experts(rng))

    def draw_experts(self, rng: np.random.Generator) -> tuple[tuple[int, ...], ...] | None:
        """Per task its experts, every set equally likely, the hard limits not looked at; None for
        sharing kinds that choose none.
        """
        return tuple(self._experts(rng) for _ in self.schema.tasks) if self.count else None

    def sample(
        self,
        rng: np.random.Generator,
        choices: Mapping[str, Mapping[str, float]],
        usage: Sequence[Sequence[float]] | None,
    ) -> Genome:
        """A genome drawn by weights; the hard limits are not looked at.

        Args:
            rng: of the draw.
            choices: per block the weights of its candidates, summing to 1.
            usage: per task the weights of the experts; None where none are chosen.
        """
        picks = [0] * len(self.names)
        for name, numbers in self.groups().items():
            weights = np.array(list(choices[name].values()))
            pick = int(rng.choice(len(weights), p=weights / weights.sum()))
            for number in numbers:
                picks[number] = pick
        if usage is None or not self.count:
            return Genome(tuple(picks), None)
        rows = [np.maximum(np.array(row), 1e-12) for row in usage]
        drawn = [rng.choice(len(row), self.count, replace=False, p=row / row.sum()) for row in rows]
        return Genome(tuple(picks), tuple(tuple(sorted(map(int, d))) for d in drawn))

    def _experts(self, rng: np.random.Generator) -> tuple[int, ...]:
        return tuple(sorted(int(i) for i in rng.choice(len(self.slots), self.count, replace=False)))

    def legal(self, genome: Genome) -> bool:
        """Whether a genome that was read somewhere is one of the space, its ties and the number of
        chosen experts included.
        """
        if len(genome.picks) != len(self.names) or (genome.chosen is None) != (not self.count):
            return False
        tied: dict[object, int] = {}
        picks = all(
            0 <= pick < len(self.operations(name)) and tied.setdefault(tie, pick) == pick
            for name, tie, pick in zip(self.names, self._ties, genome.picks, strict=True)
        )
        experts = genome.chosen or ()
        sets = all(
            sorted({*e}) == list(e) and len(e) == self.count and {*e} <= {*range(len(self.slots))}
            for e in experts
        )
        return picks and sets and len(experts) in (0, len(self.schema.tasks))

    def mutate(self, genome: Genome, rng: np.random.Generator) -> Genome:
        """Another candidate in one block, or another expert for one task; which of all these
        places, equally likely.

        Where no such neighbour is found within the limits, the genome itself.
        """
        for _ in range(MOST_DRAWS):
            child = self._neighbour(genome, rng)
            if self._within is None or self._within(self.architecture(child)):
                return child
        return genome

    def _neighbour(self, genome: Genome, rng: np.random.Generator) -> Genome:
        ties = list(dict.fromkeys(self._ties))
        tasks = range(len(self.schema.tasks) if self.chooses_experts else 0)
        place = int(rng.integers(len(ties) + len(tasks)))
        if place < len(ties):
            first = self._ties.index(ties[place])
            others = [
                i
                for i in range(len(self.operations(self.names[first])))
                if i != genome.picks[first]
            ]
            new = int(rng.choice(others)) if others else genome.picks[first]
            picks = tuple(
                new if tie == ties[place] else old
                for tie, old in zip(self._ties, genome.picks, strict=True)
            )
            return Genome(picks, genome.chosen)
        assert genome.chosen is not None
        task = place - len(ties)
        experts_of_task = list(genome.chosen[task])
        free = [i for i in range(len(self.slots)) if i not in experts_of_task]
        experts_of_task[int(rng.integers(len(experts_of_task)))] = int(rng.choice(free))
        changed = tuple(
            tuple(sorted(experts_of_task)) if t == task else experts
            for t, experts in enumerate(genome.chosen)
        )
        return Genome(genome.picks, changed)

    def genome(self, architecture: Architecture) -> Genome:
        """The genome of an architecture of this space: the way back from `architecture`."""
        operations = [*architecture.interaction, *_blocks(architecture)]
        picks = tuple(
            [str(o) for o in self.operations(name)].index(operation)
            for name, operation in zip(self.names, operations, strict=True)
        )
        return Genome(picks, architecture.chosen)

    def groups(self) -> dict[str, tuple[int, ...]]:
        """Per choice the numbers of its blocks, several where blocks are tied; a choice is named
        after its first block.
        """
        firsts: dict[object, str] = {}
        groups: dict[str, list[int]] = {}
        for i, (name, tie) in enumerate(zip(self.names, self._ties, strict=True)):
            groups.setdefault(firsts.setdefault(tie, name), []).append(i)
        return {name: tuple(numbers) for name, numbers in groups.items()}

    def taken(self, genome: Genome) -> dict[str, str]:
        """Every choice by its name, tied blocks once: the operation, or a task's experts. Where
        there is one candidate only, or every task takes all experts, nothing is chosen.
        """
        blocks = {
            name: str(self.operations(name)[genome.picks[numbers[0]]])
            for name, numbers in self.groups().items()
            if len(self.operations(name)) > 1
        }
        chosen = genome.chosen if self.chooses_experts else None
        tasks = zip(self.schema.tasks, chosen or (), strict=False)
        return blocks | {
            f"{EXPERTS_OF}{task.name}": ", ".join(map(str, experts)) for task, experts in tasks
        }

    def choices(self, genome: Genome) -> dict[str, dict[str, float]]:
        """Per block a weight of 1 on its candidate and 0 on the others."""
        return {
            name: {str(o): float(i == pick) for i, o in enumerate(self.operations(name))}
            for name, pick in zip(self.names, genome.picks, strict=True)
        }

    def usage(self, genome: Genome) -> dict[str, list[float]]:
        """Per task the same weight on each of its experts and 0 on the others."""
        chosen = zip(self.schema.tasks, genome.chosen or (), strict=False)
        return {
            task.name: [float(i in experts) / len(experts) for i in range(len(self.slots))]
            for task, experts in chosen
        }

    def architecture(self, genome: Genome) -> Architecture:
        """The architecture of a genome."""
        best = {
            n: str(self.operations(n)[p]) for n, p in zip(self.names, genome.picks, strict=True)
        }
        usage = self.usage(genome).values()
        order = [
            sorted(range(len(row)), key=lambda i, row=row: (-row[i], i))  # type: ignore[misc]
            for row in usage
        ]
        ranking = tuple(
            tuple(Ranked(expert=i, weight=row[i]) for i in places)
            for places, row in zip(order, usage, strict=True)
        )
        return assemble(
            self.space,
            self.schema,
            self.slots,
            best=best,
            sharing=self.sharing,
            chosen=genome.chosen,
            ranking=ranking or None,
            choices=self.choices(genome),
        )

    def set(self, net: Supernet, genome: Genome) -> None:
        """Make a supernet compute this architecture's path only, its tasks mixing their chosen
        experts.
        """
        for name, block in net.blocks().items():
            block.path = genome.picks[self.names.index(name)]
        if genome.chosen is not None:
            mask = torch.zeros(len(genome.chosen), len(self.slots), dtype=torch.bool)
            for task, experts in enumerate(genome.chosen):
                mask[task, list(experts)] = True
            net.sharing.mask = mask.to(net.beta_parameters()[0].device)


def _blocks(architecture: Architecture) -> Iterator[str]:
    for expert in architecture.experts:
        yield from expert.blocks
