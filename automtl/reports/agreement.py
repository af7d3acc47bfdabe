"""Do searches that differ in their seed find the same thing? Which operation each block chose, and
how often.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from automtl.spaces.architecture import Architecture


@dataclass(frozen=True)
class Place:
    """One place of an architecture over several searches.

    Args:
        name: "interaction 0", "expert 2, block 1", or "block 1 of any expert", in which the
            experts' order does not count.
        counts: how often each operation was chosen, the commonest first.
    """

    name: str
    counts: dict[str, int]

    @property
    def share(self) -> float:
        """The share of the commonest operation."""
        return next(iter(self.counts.values())) / sum(self.counts.values())

    @property
    def words(self) -> str:
        """Every operation with its count."""
        whole = sum(self.counts.values())
        return ", ".join(f"{operation} {count}/{whole}" for operation, count in self.counts.items())


def agreement(architectures: Sequence[Architecture]) -> list[Place]:
    """Place by place what several architectures of one space chose; none where there are fewer than
    two.

    Experts have no names: one search's expert 0 may be another's expert 2. So beside every block of
    every expert there is each depth taken over all experts, which their order cannot change.
    """
    if len(architectures) < 2:
        return []
    columns: dict[str, list[str]] = {}
    for architecture in architectures:
        for i, operation in enumerate(architecture.interaction):
            columns.setdefault(f"interaction {i}", []).append(operation)
        for j in range(max(len(expert.blocks) for expert in architecture.experts)):
            deep = [expert.blocks[j] for expert in architecture.experts if j < len(expert.blocks)]
            columns.setdefault(f"block {j} of any expert", []).extend(deep)
    for architecture in architectures:
        for e, expert in enumerate(architecture.experts):
            for j, operation in enumerate(expert.blocks):
                columns.setdefault(f"expert {e}, block {j}", []).append(operation)
    return [Place(name, dict(Counter(chosen).most_common())) for name, chosen in columns.items()]
