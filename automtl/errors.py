"""Every error that the package raises on purpose, and the exit status that each one carries.

A message has one form: ``where: what must hold, got what; what to do``.
"""

from numbers import Integral
from pathlib import Path
from typing import Any


class AutoMTLError(Exception):
    """Base of the package's own errors.

    Args:
        where: the file, setting, column or argument at fault.
        rule: what must hold there.
        got: what was found instead; left out of the message when empty.
        fix: what the reader can do about it; left out of the message when empty.

    Attributes:
        of_file: whether a file is at fault, which was then named by its path.
    """

    exit_code = 1

    def __init__(self, where: object, rule: str, got: object = "", fix: str = "") -> None:
        self.where, self.rule, self.of_file = str(where), rule, isinstance(where, Path)
        self.got, self.fix = str(got), fix
        message = f"{self.where}: {rule}"
        if self.got:
            message += f", got {self.got}"
        if fix:
            message += f"; {fix}"
        super().__init__(message)

    def __reduce__(self) -> tuple[type["AutoMTLError"], tuple[Any, ...]]:
        """As another process has it: an exception is handed over as its class and arguments."""
        return type(self), (self.where, self.rule, self.got, self.fix)


class ConfigError(AutoMTLError, ValueError):
    """A setting, an option or an argument that cannot be meant."""

    exit_code = 2


class DataError(AutoMTLError, ValueError):
    """A data set, a column or a value that cannot be used."""

    exit_code = 2


class ArtifactError(AutoMTLError, ValueError):
    """A file that the package wrote (architecture, checkpoint, store, run) and cannot use."""

    exit_code = 2


class Interrupted(BaseException):
    """The process was asked to stop by a signal; what was done is kept. No KeyboardInterrupt: typer
    would make its own of that.

    Args:
        signal: its number; the exit status is 128 more.
        folder: of the run that `--resume` goes on with; None where there is none.
        message: how far it had come.
    """

    def __init__(
        self, signal: int, folder: object = None, message: str = "what was finished is kept"
    ) -> None:
        self.signal, self.folder = signal, None if folder is None else str(folder)
        self._message = message
        super().__init__(f"interrupted; {message}")

    def __reduce__(self) -> tuple[type["Interrupted"], tuple[int, str | None, str]]:
        """As another process has it."""
        return type(self), (self.signal, self.folder, self._message)


class EnvironmentFault(AutoMTLError, OSError):
    """The machine: disk full, permission, lock held, memory."""

    exit_code = 3


class InUse(EnvironmentFault):
    """Another process is at work in a folder."""


class NoMemory(EnvironmentFault):
    """A batch needs more memory than there is."""


class RankLost(EnvironmentFault):
    """Another process of those that train together is gone, and said itself why; or it hangs.

    Args:
        rank: the number of this one.
        message: what the backend says.
        timeout_s: how long it waits for the others.
    """

    def __init__(self, rank: int, message: str, timeout_s: float) -> None:
        self._given = rank, message, timeout_s
        rule = "must hear from all other ranks"
        fix = "see what the rank that ended first says"
        if "timed out" in message.lower() or "timeout" in message.lower():
            rule += f" within {timeout_s:g} s (runtime.collective_timeout_s)"
            fix = "one of them hangs, has no way to this one, or is slower than that"
        got = " ".join(message.split())[:200] or "nothing"
        super().__init__(f"rank {rank}", rule, got, f"{fix}; go on with --resume")

    def __reduce__(self) -> tuple[type["RankLost"], tuple[Any, ...]]:
        """As another process has it."""
        return type(self), self._given


class NumericalError(AutoMTLError, ArithmeticError):
    """NaN or infinity where a number must be."""

    exit_code = 4


class NoResult(AutoMTLError):
    """The work ended, by a limit or by its own failures, before there was anything to hand over."""

    exit_code = 5


def need_whole(name: str, value: object, least: int) -> None:
    """Refuse what a Python user may give and a command line cannot.

    Raises:
        ConfigError: no whole number, or one below the least.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or int(value) < least:
        raise ConfigError(name, f"must be a whole number, at least {least}", repr(value))


def counted(count: int, noun: str, plural: str = "") -> str:
    """So many of something.

    >>> counted(1, "epoch"), counted(12_000, "row"), counted(2, "search", "searches")
    ('1 epoch', '12,000 rows', '2 searches')

    Args:
        count: how many.
        noun: of one.
        plural: of several; default the noun with an s.
    """
    return f"{count:,} {noun if count == 1 else plural or f'{noun}s'}"
