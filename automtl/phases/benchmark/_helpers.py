"""Further processes at a table that was begun: each claims trainings as one that was started by
hand beside the first does.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from multiprocessing import active_children
from pathlib import Path

from automtl.config import RunConfig
from automtl.engines import Engine
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
    before = set(active_children())
    with Engine().opened(count, order[2], alone=True) as executor:
        futures = [executor.submit(work, *order) for _ in range(count)]
        try:
            yield
        except BaseException:
            for child in set(active_children()) - before:
                child.terminate()  # as a stopped one, it leaves what it has finished
            raise
        for number, future in enumerate(futures, 2):
            if error := future.exception():
                say(f"process {number} of {count + 1} has ended early: {error}")
