"""Whether it matters which tasks share experts: the winner beside copies with the same operations,
first with all tasks on the same experts, then with each task's experts drawn evenly.

An expert's number has no meaning, and a supernet's beta says where it started. So the pattern of
all tasks is checked as one, by training. The first copy that is not shown to be worse ends it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from automtl.phases.race._compare import Gap, Key, Table
from automtl.phases.race.entrants import Entrant, make_entrant
from automtl.phases.run.session import Session
from automtl.spaces.architecture import Architecture
from automtl.spaces.equivalence import form
from automtl.strategies.decisions import words_of
from automtl.strategies.encoding import MOST_DRAWS, SpaceEncoding

_PATTERNS = 979  # a stream of draws of their own


@dataclass(frozen=True)
class Pattern:
    """Another pattern, tried.

    Args:
        entrant: the winner with it.
        gap: its loss less the winner's; None where a training was not finite.
    """

    entrant: Entrant
    gap: Gap | None

    @property
    def worse(self) -> bool:
        """Whether it is shown to be worse than the winner's own."""
        return self.gap is not None and self.gap.worse


class Patterns:
    """The trainings that check which tasks share experts.

    Args:
        winner: whose pattern.
        encoding: of the space.
        session: data and settings.
        most: so many other patterns are tried, within the hard limits or not; 0 where none can be.
        seed: of the draws.
        family: so many comparisons are made of the winner in all.
    """

    def __init__(
        self,
        winner: Entrant,
        encoding: SpaceEncoding,
        session: Session,
        *,
        most: int,
        seed: int,
        family: int,
    ) -> None:
        self.winner, self._encoding, self._session = winner, encoding, session
        self._most, self._seed, self._family = most, seed, family
        self._others = self._entrants()
        self._known: list[Entrant] = []

    def look(self, table: Table, seeds: int) -> tuple[list[Pattern], Entrant | None]:
        """The patterns that are judged, and who must be trained next; None where nobody must."""
        own: Key = ("check", self.winner.id)
        judged = list[Pattern]()
        for number in range(self._most):
            other = self._other(number)
            if other is None:
                break
            for entrant in (self.winner, other):
                if not table.checked(entrant.id, seeds):
                    return judged, entrant
            judged.append(Pattern(other, table.against(("check", other.id), own, self._family)))
            if not judged[-1].worse:
                break
        return judged, None

    def _other(self, number: int) -> Entrant | None:
        """The entrant with another pattern, built when it is first asked for."""
        while len(self._known) <= number:
            entrant = next(self._others, None)
            if entrant is None:
                return None
            self._known.append(entrant)
        return self._known[number]

    def _entrants(self) -> Iterator[Entrant]:
        known = {form(self.winner.architecture)}
        for name, architecture in self._architectures():
            if form(architecture) not in known:
                known.add(form(architecture))
                yield make_entrant("variant", name, architecture, self._session)

    def _architectures(self) -> Iterator[tuple[str, Architecture]]:
        """All tasks on the experts that most of them take, then drawn patterns."""
        genome = self._encoding.genome(self.winner.architecture)
        if genome.chosen is None:
            return
        experts = range(len(self._encoding.slots))
        often = sorted(experts, key=lambda i: (-sum(i in e for e in genome.chosen or ()), i))
        alike = tuple(sorted(often[: self._encoding.count]))
        together = replace(genome, chosen=(alike,) * len(genome.chosen))
        name = f"all tasks on experts {words_of(alike)}"
        yield name, self._encoding.architecture(together)
        for number in range(MOST_DRAWS):
            rng = np.random.default_rng([self._seed, _PATTERNS, number])
            drawn = replace(genome, chosen=self._encoding.draw_experts(rng))
            yield "a drawn pattern of experts", self._encoding.architecture(drawn)


def least(patterns: Sequence[Pattern]) -> Pattern:
    """The one that is least clearly worse."""
    return min(patterns, key=lambda p: -np.inf if p.gap is None else p.gap.low)
