"""Progress for people who read lines: on a terminal a live bar with rate, elapsed and remaining
time and the losses, elsewhere a plain line now and then.
"""

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

from automtl.progress._following import Following, View

if TYPE_CHECKING:
    from rich.console import Console

    from automtl.progress._bar import Bar
    from automtl.training.loop import StepEvent

_PLAIN_EVERY_S = 30.0


class TerminalReporter:
    """Tells a phase's progress to people.

    Args:
        say: writes a line.
        console: makes the console of the bar, when it is needed.
        is_live: whether there is a terminal for one.
    """

    def __init__(
        self,
        say: Callable[[str], None],
        console: Callable[[], "Console"],
        is_live: Callable[[], bool],
    ) -> None:
        self._write, self._console = say, console
        self._is_live = is_live
        self._following, self._said = Following(), time.monotonic()
        self._bar: Bar | None = None

    def say(self, text: str) -> None:
        """A line for people."""
        self._write(text)

    def training(self, number: int, count: int) -> None:
        """The training `number`, from 0, of `count` alike begins; what is left is told of all."""
        self._following.training(number, count)

    def step(self, event: "StepEvent", epochs: int) -> None:
        """Show how far the command is, its rate and what is left."""
        live, now = self._is_live(), time.monotonic()
        view = self._following.step(event, epochs, look=live)
        if live:
            self._draw(view)
        elif now - self._said > _PLAIN_EVERY_S and view.is_timed:
            self._said = now
            words = [f"{view.share:.0%}", view.rate, f"{view.elapsed} elapsed", f"{view.left} left"]
            message = f"{view.place}, step {event.step + 1} of {event.steps}: {', '.join(words)}"
            self.say(f"  {message}")

    def epoch(self, phase: str, line: dict[str, Any]) -> None:
        """Keep an epoch's losses for the bar."""
        self._following.epoch(line)

    def _draw(self, view: View) -> None:
        if self._bar is None:
            from automtl.progress._bar import make_bar

            self._bar = make_bar(self._console())
            self._bar.start()
        self._bar.show(
            view.place,
            view.share,
            rate=view.rate,
            elapsed=view.elapsed,
            left=view.left,
            losses="\n".join(filter(None, (view.losses, view.patience))),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
