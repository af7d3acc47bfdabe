"""Progress as Python users see it: a bar in a terminal, one in a notebook, nothing in a file."""

import html
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any

from rich.console import Console
from rich.markup import escape

from automtl.api._wording import in_python
from automtl.api.callbacks import Calling
from automtl.phases.run.reporter import Reporter, Silent
from automtl.progress import Following, TerminalReporter, View
from automtl.training.loop import StepEvent

_EVERY_S = 0.5  # of a notebook's bar


def terminal_progress(console: Console | None = None) -> TerminalReporter:
    """Lines above a live bar, on standard error."""
    shown = console or Console(stderr=True, highlight=False, soft_wrap=True)
    return TerminalReporter(
        lambda text: shown.print(escape(in_python(text))),
        lambda: shown,
        lambda: shown.is_terminal,
    )


class NotebookProgress:
    """The last lines and a bar, in the cell that asked.

    Args:
        display: IPython's.
    """

    LINES = 12

    def __init__(self, display: Any) -> None:
        self._following, self._shown = Following(), 0.0
        self._lines: list[str] = []
        self._view: View | None = None
        self._handle = display(self, display_id=True)

    def say(self, text: str) -> None:
        """A line for people."""
        self._lines.append(in_python(text))
        self._show()

    def training(self, number: int, count: int) -> None:
        """The training `number`, from 0, of `count` alike begins; what is left is told of all."""
        self._following.training(number, count)

    def step(self, event: StepEvent, epochs: int) -> None:
        """Move the bar."""
        self._view = self._following.step(event, epochs, look=True)
        if time.monotonic() - self._shown > _EVERY_S:
            self._show()

    def epoch(self, phase: str, line: dict[str, Any]) -> None:
        """Keep an epoch's losses for the bar."""
        self._following.epoch(line)

    def _show(self) -> None:
        self._shown = time.monotonic()
        self._handle.update(self)

    def _repr_html_(self) -> str:
        lines = html.escape("\n".join(self._lines[-self.LINES :]))
        if (view := self._view) is None:
            return f"<pre>{lines}</pre>"
        words = (view.rate, f"{view.elapsed} elapsed", f"{view.left} left")
        label = html.escape(", ".join(filter(None, (view.place, *words))))
        losses = html.escape("\n".join(filter(None, (view.losses, view.patience))))
        bar = f'<progress value="{view.share:.4f}" max="1"></progress>'
        return f"<pre>{lines}</pre>{bar} {label}<pre>{losses}</pre>"

    def __enter__(self) -> "NotebookProgress":
        return self

    def __exit__(self, *_: object) -> None:
        self._show()


def _own(verbose: bool | None) -> TerminalReporter | NotebookProgress | Silent:
    """Whoever shows progress where this runs."""
    if verbose is False:
        return Silent()
    # a notebook has loaded it; nothing else is asked to
    notebook = sys.modules.get("IPython.display") if "ipykernel" in sys.modules else None
    if notebook is not None:
        return NotebookProgress(notebook.display)
    return terminal_progress() if verbose or sys.stderr.isatty() else Silent()


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
        self._verbose, self._reporter = verbose, reporter
        self._callbacks = callbacks

    def __enter__(self) -> Calling:  # type: ignore[override] # it hands over whom to tell
        super().__enter__()
        if self._reporter is not None:
            return Calling(self._reporter, self._callbacks)
        own = _own(self._verbose)
        if isinstance(own, TerminalReporter | NotebookProgress):
            self.enter_context(own)
        return Calling(own, self._callbacks)
