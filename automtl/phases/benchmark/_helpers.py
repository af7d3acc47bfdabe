"""Further processes at a table that was begun: each claims trainings as one that was started by
hand beside the first does.
"""

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
    """Inside, so many others are at the same work.

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
    """Inside, SIGINT and SIGTERM stop the training that runs; it is run again by --resume."""

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
