"""Output for people: lines and tables that break between words only, and JSON for machines."""

import json
import math
import os
import re
import shlex
import sys
import textwrap
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from automtl.runs import decided

if TYPE_CHECKING:
    from automtl.config import RunConfig

# in a file or a pipe there is no terminal to ask for its width, and 80 columns break names of tasks
_WIDE = None if sys.stdout.isatty() or "COLUMNS" in os.environ else 140
_GAP = 2  # blanks between columns
_out = Console(highlight=False, soft_wrap=True, width=_WIDE)
_err = Console(stderr=True, highlight=False, soft_wrap=True)
_HIDDEN = {"Cc", "Cf", "Cs", "Zl", "Zp"}


def say(text: str) -> None:
    """A line for people, on standard error, so that --json stays clean."""
    _err.print(escape(_broken(plain(text), _err)))


def say_command(label: str, command: str) -> None:
    """A command to go on with, broken as a shell reads it where a terminal is too narrow."""
    words = [shlex.quote(word) for word in shlex.split(plain(command, keep=""))]
    width = _err.width - 2 if _err.is_terminal else sys.maxsize
    lines, line = [], f"{label}:"
    for word in words:
        if len(line) + 1 + len(word) > width and line != f"{label}:":
            lines.append(line)
            line = f"    {word}"
        else:
            line += f" {word}"
    _err.print(escape(" \\\n".join([*lines, line])))


def say_origins(config: "RunConfig") -> None:
    """The line on settings that the data set and the baseline gave, where they gave any."""
    if config.told:
        say(config.told)


def error(text: str) -> None:
    """An error line."""
    said = _broken(f"error: {plain(text, keep='')}", _err)
    _err.print(f"[bold red]error:[/]{escape(said.removeprefix('error:'))}")


def plain(text: str, keep: str = "\n\t") -> str:
    """Text from files as a terminal may have it: control characters and marks of direction are
    written as their numbers.
    """
    hidden = {c for c in text if c not in keep and unicodedata.category(c) in _HIDDEN}
    return text.translate({ord(c): f"\\u{ord(c):04x}" for c in hidden}) if hidden else text


def _broken(text: str, console: Console) -> str:
    """Text in lines as wide as the terminal, broken between words; as it is where there is none."""
    return _wrapped(text, console.width) if console.is_terminal else text


def _wrapped(text: str, width: int) -> str:
    lines = []
    for line in text.split("\n"):
        indent = re.match(r" *", line)[0]  # type: ignore[index]
        lines += textwrap.wrap(
            line,
            width,
            subsequent_indent=f"{indent}  ",
            break_long_words=False,
            break_on_hyphens=False,
        ) or [""]
    return "\n".join(lines)


def print_text(text: str) -> None:
    """Text on standard output as it is, such as YAML."""
    print(text, end="" if text.endswith("\n") else "\n")


def print_lines(text: str) -> None:
    """Lines on standard output, broken between words."""
    _out.print(escape(_wrapped(plain(text), _out.width)))


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
    """A table on standard output; columns of figures to the right, words to the left, cells broken
    between words only.

    One that is too wide is turned, its first column the new heads, where that fits; else each row
    is told line by line.

    Args:
        title: above it; "" for none.
        header: its heads; empty ones for a table without.
        rows: of as many cells.
    """
    if title:
        _out.print(escape(_wrapped(plain(title), _out.width)), style="bold")
    cells = [[plain(cell, keep="") for cell in row] for row in (header, *rows)]
    turned = [list(column) for column in zip(*cells, strict=True)]
    if _fits(cells):
        _print_grid(cells)
    elif len(rows) < len(header) and _fits(turned):
        _print_grid(turned)
    else:
        for row in cells[1:]:
            _out.print(escape(_wrapped(row[0], _out.width)))
            for name, cell in zip(cells[0][1:], row[1:], strict=True):
                _out.print(escape(_wrapped(f"  {name}: {cell}", _out.width)))


def show_decisions(decisions: Sequence[Mapping[str, Any]], title: str = "") -> None:
    """A line per choice of a search: its verdict and what that rests on; nothing without one."""
    if decisions or title:
        table(title, decided.HEADER, decided.rows(decisions))


def _fits(cells: Sequence[Sequence[str]]) -> bool:
    longest = (
        max(cell_len(w) for cell in column for w in [*cell.split(), ""])
        for column in zip(*cells, strict=True)
    )
    return sum(longest) + _GAP * (len(cells[0]) - 1) <= _out.width


def _widths(cells: Sequence[Sequence[str]]) -> list[int]:
    """The widths of columns: the widest give way first, none below its longest word."""
    columns = list(zip(*cells, strict=True))
    widths = [max(map(cell_len, column)) for column in columns]
    least = [max(cell_len(w) for cell in column for w in [*cell.split(), ""]) for column in columns]
    over = sum(widths) + _GAP * (len(widths) - 1) - _out.width
    for _ in range(max(0, over)):
        broad = max(
            (i for i, width in enumerate(widths) if width > least[i]), key=widths.__getitem__
        )
        widths[broad] -= 1
    return widths


def _print_grid(cells: Sequence[Sequence[str]]) -> None:
    header, *rows = cells
    grid = Table(box=None, padding=(0, _GAP, 0, 0), pad_edge=False, show_header=any(header))
    for i, (name, width) in enumerate(zip(header, _widths(cells), strict=True)):
        figures = bool(rows) and all(re.match(r"[-+]?\d|-?$", row[i]) for row in rows)
        justify = "right" if figures and i else "left"
        grid.add_column(escape(name), justify=justify, width=width)  # type: ignore[arg-type]
    for row in rows:
        grid.add_row(*map(escape, row))
    _out.print(grid)


def listed(names: Iterable[str], most: int = 4) -> str:
    """Names in words, a few of them and how many more."""
    some = list(names)
    rest = f" and {len(some) - most} more" if len(some) > most else ""
    return f"{', '.join(some[:most])}{rest}"


def on_terminal() -> bool:
    """Whether people watch progress: standard error is a terminal."""
    return _err.is_terminal


def error_console() -> Console:
    """The console that progress is drawn on."""
    return _err
