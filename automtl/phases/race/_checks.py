"""Whether the winner's choices matter: trained again with fresh seeds, beside itself with some of
them changed for their runners-up, the rest alike.

That all finalists share a choice says nothing of it: nothing else was tried there, and finalists
that are told apart differ in many places. So first the interaction is changed, then all other
choices at once; the choices of a group that makes a difference are then changed alone, one after
the other, so that each further check can decide a choice.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from automtl.phases.race._compare import Gap, Key, Table
from automtl.phases.race.entrants import Entrant, make_entrant
from automtl.phases.run.session import Session
from automtl.runs.decided import block_name
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

    Attributes:
        family: so many comparisons may be told of the winner in all.
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
        groups = [group for group in self._first() if len(group) > 1]
        self.family = others + (len(runners_up) + len(groups) if most else 0)
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
            entrant, alone = self.changed(group), [(name,) for name in group if len(group) > 1]
            if form(entrant.architecture) == form(self.winner.architecture):
                queue += alone  # two experts that swap what they have are the same model
                continue
            if not table.checked(entrant.id, seeds):
                return judged, entrant
            gap = table.against(("check", entrant.id), own, self.family)
            judged.append(Check({name: self.runners_up[name] for name in group}, entrant, gap))
            if gap is not None and gap.worse:
                queue += alone
        return judged, None

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
                "variant", self._name(group), architecture, self.session
            )
        return self._entrants[group]

    def _name(self, group: tuple[str, ...]) -> str:
        """What a training of it is called on the screen and in race.jsonl."""
        if len(group) > 1:
            return f"winner but for {len(group)} choices"
        return f"winner but for {self.runners_up[group[0]]} at {block_name(group[0])}"
