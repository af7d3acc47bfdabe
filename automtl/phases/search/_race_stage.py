"""The race that ends a search, where the settings ask for one."""

from collections.abc import Callable
from typing import Any

from automtl import files
from automtl.errors import counted
from automtl.phases.race.judge import Judge
from automtl.phases.race.race import Race
from automtl.phases.run.checkpointer import Checkpointer
from automtl.phases.run.session import Session
from automtl.runs.run_dir import PhaseDir
from automtl.strategies.protocol import SearchContext, Strategy
from automtl.training.checkpoint_state import require


class RaceStage:
    """The race of one search.

    Args:
        session: data and settings.
        folder: of the search.
        strategy: which searched; what it believes in starts.
        context: the context it worked in.

    Attributes:
        wanted: whether the settings ask for a race.
        race: the race, from its start on.
    """

    def __init__(
        self, session: Session, folder: PhaseDir, strategy: Strategy, context: SearchContext
    ) -> None:
        self._session, self._folder = session, folder
        self._strategy, self._context = strategy, context
        self.wanted = session.config.search.selection == "race"
        self.race: Race | None = None

    def run(self, checkpointer: Checkpointer, late: Callable[[], bool]) -> Race:
        """Race to the end; where the time limit cuts it, it is not over, and only its whole rungs
        count.
        """
        race = self.race = self.race or self._start()
        for event in race.events():
            if event is None:
                checkpointer.save()
            else:
                checkpointer.stepped(event, 1)
            if late() and not race.over:
                checkpointer.save()
                break
        return race

    def reached(self) -> str:
        """How many trainings it has behind it, in words."""
        return counted(len(self.race.results) if self.race else 0, "training")

    def _start(self) -> Race:
        session = self._session
        judge = Judge(session, session.scored("a"), session.scored("b"))
        return Race(session, self._folder, self._strategy, self._context, judge)

    def state_dict(self) -> dict[str, Any] | None:
        """All that an exact resume needs; None before the race."""
        return None if self.race is None else self.race.state_dict()

    def load_state_dict(self, state: dict[str, Any] | None) -> None:
        """Go on from a ``state_dict()``.

        Raises:
            AutoMTLError, RuntimeError: it is none of this search's.
        """
        if state is None:
            files.cut_lines(self._folder.race, 0)  # written after the checkpoint
            return
        require(self.wanted, "race", "must be there for a race only", "one")
        self.race = self._start()
        self.race.load_state_dict(state)

    def clear(self) -> None:
        """Remove the weights that waited for their next rung."""
        if self.race is not None:
            self.race.parked.clear()
