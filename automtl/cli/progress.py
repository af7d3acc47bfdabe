"""Progress of a command on standard error."""

from automtl.cli.console import error_console, on_terminal, say
from automtl.progress import TerminalReporter


class ConsoleReporter(TerminalReporter):
    """Tells a phase's progress to people: a live bar on a terminal, lines elsewhere."""

    def __init__(self) -> None:
        super().__init__(say, error_console, on_terminal)
