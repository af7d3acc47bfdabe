"""Periodic and on-signal checkpointing of a running phase."""

import signal
import threading
import time
from collections.abc import Callable
from types import FrameType
from typing import Any, Self

from automtl.errors import Interrupted
from automtl.phases.run.session import Session
from automtl.runs.checkpoints import Checkpoints
from automtl.runs.run_dir import PhaseDir
from automtl.training.loop import StepEvent

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Checkpointer:
    """Makes a phase's checkpoints.

    Used as a context manager around the steps: inside, SIGINT and SIGTERM let the running step end,
    save its state and then stop the phase; a second one stops it at once. Outside the main thread
    Python takes no signals, and nothing changes.

    Args:
        folder: the phase's folder.
        session: its settings say how often.
        state: all that going on from here needs; called between two steps.
    """

    def __init__(
        self, folder: PhaseDir, session: Session, state: Callable[[], dict[str, Any]]
    ) -> None:
        runtime = session.config.runtime
        self._every_s = runtime.checkpoint_every_s
        self._every_steps = runtime.checkpoint_every_steps
        self._checkpoints = Checkpoints(folder)
        self._run = folder.run
        self._reporter = session.reporter
        self._ranks = session.ranks
        self._state = state
        self._last_save, self._steps = time.monotonic(), 0
        self._signal = 0  # that asked to stop
        self._handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._ask) for number in _SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._signal:
            raise Interrupted(number, self._run, "what the last checkpoint holds is kept")
        self._signal = number

    def stepped(self, event: StepEvent, epochs: int) -> None:
        """After a step: tell the reporter, save where that is due, stop where that was asked for.

        Raises:
            Interrupted: the process was asked to stop; the state is saved, as it is where a
                reporter interrupts the phase.
        """
        self._steps += 1
        try:
            self._reporter.step(event, epochs)
        except KeyboardInterrupt:
            self.save()
            raise
        due = time.monotonic() - self._last_save >= self._every_s or (
            self._every_steps is not None and self._steps >= self._every_steps
        )
        # whichever rank was asked, all stop after the same step
        self._signal = self._ranks.agree(self._signal)
        if due or self._signal:
            self.save()
        if self._signal:
            raise Interrupted(self._signal, self._run, "everything up to this step is kept")

    def save(self) -> None:
        """Make a checkpoint now; of several ranks, which are all alike, the first one does."""
        if self._ranks.first:
            self._checkpoints.save(self._state())
        self._last_save, self._steps = time.monotonic(), 0

    def clear(self, *, but_last: bool = False) -> None:
        """Remove the checkpoints, or all but the newest: nothing goes on from them."""
        self._checkpoints.clear(but_last=but_last)
