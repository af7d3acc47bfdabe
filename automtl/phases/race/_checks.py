"""Whether the winner's choices matter: trained again with fresh seeds, beside itself with some of
them changed for their runners-up, the rest alike.

That all finalists share a choice says nothing of it: nothing else was tried there, and finalists
that are told apart differ in many places. So choices are changed in groups, first the interaction,
then all others at once; a group that makes a difference is halved, down to single choices.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from automtl.phases.race._compare import Gap, Key, Table
from automtl.phases.race.entrants import Entrant, make_entrant
from automtl.phases.run.session import Session
from automtl.spaces.equivalence import form
from automtl.strategies.encoding import SpaceEncoding


@dataclass(frozen=True)
class Check:
    """A group of choices that was changed.

    Args:
        choices: changed together, each for its runner-up.
        entrant: the winner with them changed.
        gap: its loss less the winner's; None where a training was not finite.
    """

    choices: Mapping[str, str]
    entrant: Entrant
    gap: Gap | None


class Checks:
    """The trainings that check a winner's choices.

    Args:
        winner: whose.
        runners_up: per choice to check its runner-up; the order is the order of checks.
        encoding: of the space.
        session: data and settings.
        most: so many groups are tried.
        others: so many comparisons are made of the winner beside these.
    """

    def __init__(
        self,
        winner: Entrant,
        runners_up: Mapping[str, str],
        encoding: SpaceEncoding,
        session: Session,
        most: int,
        others: int = 0,
    ) -> None:
        self.winner, self.runners_up = winner, runners_up
        self.encoding, self.session = encoding, session
        self.most = most if runners_up else 0
        self._others = others
        self._entrants: dict[tuple[str, ...], Entrant] = {}

    def look(self, table: Table, seeds: int) -> tuple[list[Check], Entrant | None]:
        """The groups that are judged, and who must be trained next; None where nobody must."""
        if not self.most:
            return [], None
        own: Key = ("check", self.winner.id)
        if not table.checked(self.winner.id, seeds):
            return [], self.winner
        queue, judged = self._first(), list[Check]()
        while queue and len(judged) < self.most:
            group = queue.pop(0)
            entrant = self.changed(group)
            if form(entrant.architecture) == form(self.winner.architecture):
                continue
            if not table.checked(entrant.id, seeds):
                return judged, entrant
            gap = table.against(("check", entrant.id), own, self._family(group))
            judged.append(Check({name: self.runners_up[name] for name in group}, entrant, gap))
            if len(group) > 1 and gap is not None and gap.worse:
                half = len(group) // 2
                queue = [group[:half], group[half:], *queue]
        return judged, None

    def _family(self, group: Sequence[str]) -> int:
        """A single choice is one of all that are checked; a group decides nothing by itself."""
        return len(self.runners_up) + self._others if len(group) == 1 else 1

    def _first(self) -> list[tuple[str, ...]]:
        names = list(self.runners_up)
        interaction = tuple(name for name in names if name.startswith("interaction."))
        others = tuple(name for name in names if name not in interaction)
        return [group for group in (interaction, others) if group]

    def changed(self, group: tuple[str, ...]) -> Entrant:
        """The winner with the choices of a group changed."""
        if group not in self._entrants:
            genome = self.encoding.genome(self.winner.architecture)
            picks, groups = list(genome.picks), self.encoding.groups()
            for name in group:
                names = [str(o) for o in self.encoding.operations(name)]
                for number in groups[name]:
                    picks[number] = names.index(self.runners_up[name])
            architecture = self.encoding.architecture(replace(genome, picks=tuple(picks)))
            self._entrants[group] = make_entrant(
                "variant", f"winner but for {len(group)}", architecture, self.session
            )
        return self._entrants[group]
