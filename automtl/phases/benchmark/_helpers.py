"""Further processes at work on a table; each claims trainings as one started by hand would."""

import contextlib
import signal
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from automtl.config import RunConfig
from automtl.engines import Engine, ending_children
from automtl.errors import Interrupted
from automtl.phases.benchmark.settings import TableSettings

Work = Callable[[RunConfig, TableSettings, Path, bool, Sequence[Path]], None]


@contextlib.contextmanager
def helped(
    work: Work,
    count: int,
    order: tuple[RunConfig, TableSettings, Path, bool, Sequence[Path]],
    say: Callable[[str], None],
) -> Iterator[None]:
    """Have so many other processes do the same work while the block runs.

    Args:
        work: takes part, until nothing is left.
        count: how many others.
        order: what it is told.
        say: told which of them ended before the work was done.
    """
    if not count:
        yield
        return
    with Engine().opened(count, order[2], alone=True) as executor:
        with ending_children():  # as stopped ones, they leave what they have finished
            futures = [executor.submit(work, *order) for _ in range(count)]
            yield
        for number, future in enumerate(futures, 2):
            if error := future.exception():
                say(f"process {number} of {count + 1} has ended early: {error}")


@contextlib.contextmanager
def stopped_by_signals(out: Path) -> Iterator[None]:
    """Let SIGINT and SIGTERM stop the running training inside the block; --resume runs it again."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number, out, "every training that ended is kept")

    try:
        before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    except ValueError:  # outside the main thread Python takes no signals
        before = {}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
