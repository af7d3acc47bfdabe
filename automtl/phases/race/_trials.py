"""All that the winner of a race is trained again for: its choices changed, its experts shared
otherwise.
"""

from automtl.phases.race._checks import Check, Checks
from automtl.phases.race._compare import Table
from automtl.phases.race._patterns import Pattern, Patterns
from automtl.phases.race._verdicts import Grounds
from automtl.phases.race.entrants import Entrant
from automtl.phases.run.session import Session


class Trials:
    """The checks of a winner; the finals settle which.

    Args:
        grounds: what the finals have shown.
        session: data and settings.
        seed: of drawn patterns of experts.
    """

    def __init__(self, grounds: Grounds, session: Session, seed: int) -> None:
        search, winner = session.config.search, grounds.finals.winner
        agreed, encoding = grounds.agreed(), grounds.encoding
        most = search.race_patterns if grounds.agreed_on_experts else 0
        self._checks = Checks(
            winner,
            agreed,
            encoding,
            session,
            search.race_checks,
            others=min(most, 1),  # the pattern is one choice
        )
        family = self._checks.family
        self._patterns = Patterns(winner, encoding, session, most=most, seed=seed, family=family)
        self._seeds = search.race_seeds

    def next(self, table: Table) -> Entrant | None:
        """Who must be trained next; None where nobody must."""
        return (
            self._checks.look(table, self._seeds)[1] or self._patterns.look(table, self._seeds)[1]
        )

    def judged(self, table: Table) -> tuple[list[Check], list[Pattern], bool, bool]:
        """What has been tried, and whether no check, and no pattern of experts, is left to try."""
        checks, check = self._checks.look(table, self._seeds)
        patterns, pattern = self._patterns.look(table, self._seeds)
        return checks, patterns, check is None, pattern is None
