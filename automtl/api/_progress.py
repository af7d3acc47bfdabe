"""Progress as Python users see it: a bar in a terminal, one in a notebook, nothing in a file."""

import html
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from automtl.api._wording import in_python
from automtl.api.callbacks import Calling
from automtl.phases.run.session import Reporter, Silent
from automtl.training.loop import StepEvent

_EVERY_S = 0.5  # of a notebook's bar


class Pace:
    """How far a phase is and how fast: counted anew where another phase, seed or part begins."""

    def __init__(self) -> None:
        self.done, self.total, self._begun, self._start = 0, 1, 0, time.monotonic()

    def step(self, event: StepEvent, epochs: int) -> None:
        """Count a step of a phase that plans so many epochs."""
        done = event.epoch * event.steps + event.step + 1
        if done <= self.done or not self.done:
            self._begun, self._start = done, time.monotonic()
        self.done, self.total = done, epochs * event.steps

    @property
    def words(self) -> str:
        """The rate, once there is one."""
        seconds = time.monotonic() - self._start
        return f"{(self.done - self._begun) / seconds:,.1f} steps/s" if seconds > 0 else ""


class TerminalProgress(Silent):
    """Lines above a live bar, on standard error."""

    def __init__(self, console: Console | None = None) -> None:
        console = console or Console(stderr=True, highlight=False, soft_wrap=True)
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TextColumn("at most"),
            TimeRemainingColumn(),
        )
        self._pace, self._console = Pace(), console
        self._bar = Progress(*columns, console=console, transient=True)
        self._task: Any = None

    def say(self, text: str) -> None:
        """A line for people."""
        self._console.print(escape(in_python(text)))

    def step(self, event: StepEvent, epochs: int) -> None:
        """Move the bar."""
        before = self._pace.done
        self._pace.step(event, epochs)
        if self._task is None or self._pace.done <= before:
            if self._task is not None:
                self._bar.remove_task(self._task)
            self._task = self._bar.add_task("", total=self._pace.total, rate="")
        self._bar.update(
            self._task,
            completed=self._pace.done,
            total=self._pace.total,
            description=f"epoch {event.epoch + 1}/{epochs}",
            rate=self._pace.words,
        )

    def __enter__(self) -> "TerminalProgress":
        if self._console.is_terminal:
            self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()


class NotebookProgress(Silent):
    """The last lines and a bar, in the cell that asked.

    Args:
        display: IPython's.
    """

    LINES = 12

    def __init__(self, display: Any) -> None:
        self._pace, self._label, self._shown = Pace(), "", 0.0
        self._lines: list[str] = []
        self._handle = display(self, display_id=True)

    def say(self, text: str) -> None:
        """A line for people."""
        self._lines.append(in_python(text))
        self._show()

    def step(self, event: StepEvent, epochs: int) -> None:
        """Move the bar."""
        self._pace.step(event, epochs)
        self._label = f"epoch {event.epoch + 1}/{epochs}"
        if time.monotonic() - self._shown > _EVERY_S or self._pace.done == self._pace.total:
            self._show()

    def _show(self) -> None:
        self._shown = time.monotonic()
        self._handle.update(self)

    def _repr_html_(self) -> str:
        lines = html.escape("\n".join(self._lines[-self.LINES :]))
        bar = f'<progress value="{self._pace.done}" max="{self._pace.total}"></progress>'
        label = html.escape(f"{self._label} {self._pace.words}") if self._label else ""
        return f"<pre>{lines}</pre>{bar} {label}" if label else f"<pre>{lines}</pre>"

    def __enter__(self) -> "NotebookProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._show()


def _own(verbose: bool | None) -> TerminalProgress | NotebookProgress | Silent:
    """Whoever shows progress where this runs."""
    if verbose is False:
        return Silent()
    # a notebook has loaded it; nothing else is asked to
    notebook = sys.modules.get("IPython.display") if "ipykernel" in sys.modules else None
    if notebook is not None:
        return NotebookProgress(notebook.display)
    return TerminalProgress() if verbose or sys.stderr.isatty() else Silent()


class Listening(ExitStack):
    """Someone to tell, for the time of a call: the caller's own reporter, or a bar; and callbacks.

    Args:
        verbose: whether to show progress; None: in terminals and notebooks.
        reporter: the caller's own, in place of a bar.
        callbacks: see `callbacks.py`.
    """

    def __init__(
        self,
        verbose: bool | None = None,
        reporter: Reporter | None = None,
        callbacks: Sequence[Any] = (),
    ) -> None:
        super().__init__()
        self._verbose, self._reporter, self._callbacks = verbose, reporter, callbacks

    def __enter__(self) -> Calling:  # type: ignore[override] # it hands over whom to tell
        super().__enter__()
        if self._reporter is not None:
            return Calling(self._reporter, self._callbacks)
        own = _own(self._verbose)
        if isinstance(own, TerminalProgress | NotebookProgress):
            self.enter_context(own)
        return Calling(own, self._callbacks)
