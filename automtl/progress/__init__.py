"""Progress of a command, for terminals and notebooks."""

from automtl.progress._following import Following as Following
from automtl.progress._following import View as View
from automtl.progress._terminal import TerminalReporter as TerminalReporter
