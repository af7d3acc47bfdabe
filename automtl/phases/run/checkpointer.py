"""Keeps the state of a running phase: now and then, and when the process is asked to stop."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from automtl.errors import Interrupted
from automtl.phases.run.session import Session
from automtl.runs.checkpoints import Slots
from automtl.runs.run_dir import PhaseDir
from automtl.training.loop import StepEvent

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Keeper:
    """Makes a phase's checkpoints.

    Used as a context manager around the steps: inside, SIGINT and SIGTERM let the running step end,
    keep its state and then stop the phase; a second one stops it at once. Outside the main thread
    Python takes no signals, and nothing changes.

    Args:
        folder: the phase's folder.
        run: the run's folder, for the message.
        session: its settings say how often.
        state: all that going on from here needs; called between two steps.
    """

    def __init__(
        self, folder: PhaseDir, run: object, session: Session, state: Callable[[], dict[str, Any]]
    ) -> None:
        runtime = session.config.runtime
        self._every_s, self._every_steps = (
            runtime.checkpoint_every_s,
            runtime.checkpoint_every_steps,
        )
        self._slots, self._run, self._reporter, self._state = (
            Slots(folder),
            run,
            session.reporter,
            state,
        )
        self._ranks = session.ranks
        self._at, self._steps, self._asked = time.monotonic(), 0, 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._ask) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)
        self._before = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked:
            raise Interrupted(number, self._run, "what the last checkpoint holds is kept")
        self._asked = number

    def stepped(self, event: StepEvent, epochs: int) -> None:
        """A step is done: tell the reporter, keep it where that is due, or stop where that was
        asked for.

        Raises:
            Interrupted: the process was asked to stop; the state is kept, as it is where a reporter
                interrupts the phase.
        """
        self._steps += 1
        try:
            self._reporter.step(event, epochs)
        except KeyboardInterrupt:
            self.save()
            raise
        due = time.monotonic() - self._at >= self._every_s or (
            self._every_steps is not None and self._steps >= self._every_steps
        )
        # whichever rank was asked, all stop after the same step
        self._asked = self._ranks.agree(self._asked)
        if due or self._asked:
            self.save()
        if self._asked:
            raise Interrupted(self._asked, self._run, "everything up to this step is kept")

    def save(self) -> None:
        """Make a checkpoint now; of several ranks, which are all alike, the first one does."""
        if self._ranks.first:
            self._slots.save(self._state())
        self._at, self._steps = time.monotonic(), 0
