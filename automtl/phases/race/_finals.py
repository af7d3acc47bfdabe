"""The winner of a race's finals: the least mean loss on B rows, or the cheapest of those that are
as good.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from automtl.phases.race._compare import Gap, Key, Table, flipped
from automtl.phases.race.entrants import Entrant

CLOSE = 1e-3  # of the best loss: within it, of those not told apart, the cheapest wins


@dataclass(frozen=True)
class Finals:
    """The outcome of the finals.

    Args:
        winner: who is taken.
        best: who has the least loss.
        gaps: per other finalist, by id, its loss less the winner's; without those of a loss that is
            not finite.
        level: who is not told apart from the winner, the nearest first.
        ordered: all finalists, the least loss first.
        margin: within which two of them count as equal.
        needed: per other finalist that is not told apart, how many seeds of each would do in four
            of five races; None where more than are to be had, as too few rows leave it open.
    """

    winner: Entrant
    best: Entrant
    gaps: dict[str, Gap]
    level: list[Entrant]
    ordered: list[Entrant]
    margin: float = 0.0
    needed: Mapping[str, int | None] = field(default_factory=dict)

    @property
    def rival(self) -> Entrant | None:
        """The best hand-made model beside the winner; None where none ran."""
        rivals = (e for e in self.ordered if e.kind == "rival" and e.id != self.winner.id)
        return next(rivals, None)


def finals(finalists: Sequence[Entrant], table: Table) -> Finals:
    """Judge finalists that are all trained."""
    ordered = sorted(finalists, key=lambda e: (table.mean(("final", e.id)), e.price))
    finite = [e for e in ordered if ("final", e.id) in table.losses]
    family = table.family([("final", e.id) for e in finite])

    def gap(of: Entrant, less: Entrant) -> Gap | None:
        one: Key = ("final", of.id)
        two: Key = ("final", less.id)
        if (one, two) in family:
            return family[one, two]
        return flipped(family[two, one]) if (two, one) in family else None

    best = ordered[0]
    least = table.mean(("final", best.id))
    near = [
        e
        for e in finite
        if table.mean(("final", e.id)) - least <= CLOSE * least
        and ((distance := gap(e, best)) is None or not distance.apart)
    ]
    # of equal price the least loss, as they are ordered
    winner = min(near, key=lambda e: e.price) if near else best
    gaps = {e.id: distance for e in finite if (distance := gap(e, winner)) is not None}
    level = [e for e in finite if e.id in gaps and not gaps[e.id].apart]
    needed = {
        e.id: table.seeds_needed(("final", e.id), ("final", winner.id), len(family)) for e in level
    }
    return Finals(winner, best, gaps, level, ordered, table.margin, needed)
