"""What people see: lines, tables, progress on a terminal, JSON for machines."""

import json
import math
import os
import re
import sys
import time
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

if TYPE_CHECKING:
    from automtl.config import RunConfig
    from automtl.training.loop import StepEvent

# in a file or a pipe there is no terminal to ask for its width, and 80 columns break names of tasks
_WIDE = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140
_out = Console(highlight=False, soft_wrap=True, width=_WIDE)
_err = Console(stderr=True, highlight=False, soft_wrap=True)
_PLAIN_EVERY_S = 30.0
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def say(text: str) -> None:
    """A line for people, on standard error, so that --json stays clean."""
    _err.print(escape(plain(text)))


def say_origins(config: "RunConfig") -> None:
    """The line on settings that the data set and the baseline gave, where they gave any."""
    if config.told:
        say(config.told)


def error(text: str) -> None:
    """An error line."""
    _err.print(f"[bold red]error:[/] {escape(plain(text, keep=''))}")


def plain(text: str, keep: str = "\n\t") -> str:
    """Text from files as a terminal may have it: control characters and marks of direction are
    written as their numbers.
    """
    hidden = {c for c in text if c not in keep and unicodedata.category(c) in _HIDDEN}
    return text.translate({ord(c): f"\\u{ord(c):04x}" for c in hidden}) if hidden else text


def print_json(value: Any) -> None:
    """One JSON document on standard output; NaN and infinity become null."""
    _out.print_json(json.dumps(_finite(value))) if _out.is_terminal else print(
        json.dumps(_finite(value))
    )


def _finite(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(k): _finite(v) for k, v in value.items()}
    return [_finite(v) for v in value] if isinstance(value, list | tuple) else value


def table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table; columns of figures to the right, words to the left. One too wide is turned, its
    first column the new heads.
    """
    made = _table(title, header, rows)
    if (
        len(rows) < len(header)
        and _out.measure(made, options=_out.options.update_width(sys.maxsize)).maximum > _out.width
    ):
        first, *others = zip(header, *rows, strict=True)
        made = _table(title, first, others)
    _out.print(made)


def _table(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    made = Table(title=escape(plain(title)), title_justify="left")
    for i, name in enumerate(header):
        figures = all(re.match(r"[-+]?\d|-$", row[i]) for row in rows)
        made.add_column(
            escape(plain(name)), justify="right" if figures else "left", overflow="fold"
        )
    for row in rows:
        made.add_row(*(escape(plain(cell)) for cell in row))
    return made


class ConsoleReporter:
    """Tells a phase's progress: a live bar on a terminal, a plain line now and then elsewhere."""

    def __init__(self) -> None:
        self._live: Any = None
        self._task: Any = None
        self._last = self._start = time.monotonic()
        # steps done when the phase was first heard of, and when last
        self._begun, self._seen = 0, sys.maxsize

    def say(self, text: str) -> None:
        """A line for people."""
        say(text)

    def step(self, event: "StepEvent", epochs: int) -> None:
        """Show how far the phase is, its rate and what is left at most."""
        done, total = event.epoch * event.steps + event.step + 1, epochs * event.steps
        if done <= self._seen:  # the first of a phase, of the next seed, or of the next part
            self._start, self._begun = time.monotonic(), done
        self._seen = done
        if _err.is_terminal:
            self._bar(event, done, total)
        elif time.monotonic() - self._last > _PLAIN_EVERY_S and done > self._begun:
            self._last = time.monotonic()
            left = (total - done) * (self._last - self._start) / (done - self._begun)
            say(
                f"  epoch {event.epoch + 1}, step {event.step + 1}/{event.steps}, at most "
                f"{left:,.0f} s left"
            )

    def epoch(self, phase: str, line: dict[str, Any]) -> None:
        """Nothing: the phase says it in words."""

    def _bar(self, event: "StepEvent", done: int, total: int) -> None:
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeRemainingColumn,
        )

        if self._live is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
            )
            self._live = Progress(*columns, console=_err, transient=True)
            self._live.start()
            self._task = self._live.add_task("steps", total=total)
        self._live.update(
            self._task, completed=done, total=total, description=f"epoch {event.epoch + 1}"
        )

    def __enter__(self) -> "ConsoleReporter":
        return self

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()
