"""The `automtl` command: its exit status and its last line, however it ends.

What takes long to import is imported while signals are heeded, so that a Ctrl-C in the first second
ends as any other does.
"""

import atexit
import contextlib
import io
import signal
import sys
import traceback
from collections.abc import Iterator
from types import FrameType
from typing import Any

from automtl.errors import AutoMTLError, ConfigError, Interrupted
from automtl.ranks import follows, leave, world_size

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """Run the command and exit with the status that docs/errors.md lists."""
    heard: list[int] = []
    with _silenced(), _heeded(heard), _guarded("stdout"), _guarded("stderr"):
        try:
            status = _run()
            # at the interpreter's own end nobody would hear that it cannot be written
            sys.stdout.flush()
            _settle()
        except BaseException as fault:
            _settle()
            as_is = isinstance(fault, Interrupted) or not heard
            # one raised in an import may come out as an ImportError
            fault = fault if as_is else Interrupted(heard[0])
            if status := _ended(fault):
                _note(fault)
        leave()
    sys.exit(status)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """Of processes that train together the first one talks; what ends another is written down for
    whoever started them (see `_note`).
    """
    try:
        silent = follows()
    except ConfigError:  # the command says it
        silent = False
    if not silent:
        yield
        return
    with contextlib.redirect_stdout(_Nowhere()), contextlib.redirect_stderr(_Nowhere()):
        yield


class _Nowhere(io.TextIOBase):
    """A stream that keeps nothing."""

    def write(self, text: str) -> int:
        """Forget a text."""
        return len(text)


def _note(fault: BaseException) -> None:
    """Write down what ended one of several processes where torchrun looks for it, but a signal: the
    status tells that, and torch may be half imported.
    """
    if world_size() > 1 and not isinstance(fault, Interrupted):
        from torch.distributed.elastic.multiprocessing.errors import get_error_handler

        get_error_handler().record_exception(fault)


@contextlib.contextmanager
def _heeded(heard: list[int]) -> Iterator[None]:
    """Let signals raise `Interrupted`; a phase at work takes them over (see
    `phases/run/checkpointer.py`).
    """

    def stop(number: int, frame: FrameType | None) -> None:
        heard.append(number)
        raise Interrupted(number)

    before = {number: signal.signal(number, stop) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
            atexit.register(signal.signal, number, signal.SIG_IGN)  # the status is settled by then


def _settle() -> None:
    """From here on the status is settled: no signal changes it, such as the one that torchrun
    sends as soon as another rank is gone.
    """
    for number in _SIGNALS:
        signal.signal(number, signal.SIG_IGN)


class _Stream:
    """A standard stream; when nobody reads it any more, the command is over, as others are by
    SIGPIPE.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> Any:
        """As the stream does."""
        return self._done(self._stream.write, text)

    def flush(self) -> None:
        """As the stream does."""
        self._done(self._stream.flush)

    def _done(self, act: Any, *given: str) -> Any:
        try:
            return act(*given)
        except BrokenPipeError:
            from automtl.files import close_off

            close_off(self._stream)
            raise Interrupted(signal.SIGPIPE) from None


@contextlib.contextmanager
def _guarded(name: str) -> Iterator[None]:
    stream = getattr(sys, name)
    setattr(sys, name, _Stream(stream))
    try:
        yield
    finally:
        setattr(sys, name, stream)


def _run() -> int:
    """Run the command; its exit status."""
    # bytes that are no text; no file of a run could tell them
    if any("\ud800" <= c <= "\udfff" for word in sys.argv for c in word):
        raise ConfigError(
            "command line", "must be UTF-8", ascii(sys.argv[1:])[:200], "rename the file"
        )
    from automtl.cli._app import app
    from automtl.cli._options import at_home

    # typer hands back the status of --help, and of its own Exit
    return app(at_home(sys.argv[1:]), standalone_mode=False) or 0


def _ended(fault: BaseException) -> int:
    """Tell why a command did not run to its end; its exit status."""
    from automtl.cli.console import error, say

    status, line = _ending(fault)
    with contextlib.suppress(Interrupted):
        if line:
            (say if type(fault).__name__ == "NoArgsIsHelpError" else error)(line)
    return status


def _ending(fault: BaseException) -> tuple[int, str]:
    """The exit status and the last line."""
    match fault:
        case AutoMTLError():
            return fault.exit_code, str(fault)
        case Interrupted(signal=signal.SIGPIPE):
            return 128 + signal.SIGPIPE, ""
        case Interrupted(folder=None):
            return 128 + fault.signal, str(fault)
        case Interrupted():
            from automtl.runs.manifest import again, command

            return 128 + fault.signal, f"{fault}; go on with: {again(command(), fault.folder)}"
        # where nobody knew better: a name that is too long, a folder that cannot be looked into
        case OSError():
            from automtl.strict import shown

            where = shown(str(fault.filename or "the machine"))
            return (
                3,
                f"{where}: must be within reach, got {fault.strerror or fault}; check the path",
            )
        case MemoryError():
            return 3, "memory: the machine ran out; lower search.batch_size or retrain.batch_size"
        case SystemExit():
            return fault.code if isinstance(fault.code, int) else 0, ""
    # typer's: a usage error of the command line, or its help where nothing was asked for
    if hasattr(fault, "format_message"):
        return 2, fault.format_message()
    traceback.print_exception(fault)
    return 1, f"a fault of automtl itself: {type(fault).__name__}: {fault}"
