"""How a data set is prepared by several processes, and the processes at work."""

import ctypes
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pyarrow as pa

from automtl.data.spec.dataset import DatasetConfig
from automtl.engines import Engine, died, shared_out
from automtl.errors import AutoMTLError, ConfigError, DataError, EnvironmentFault

_SAY_EVERY_S = 30.0
MOST_PARTS, MOST_JOBS = 65_536, 1024
Say = Callable[[str], None]


@dataclass(frozen=True)
class InParts:
    """How a data set is prepared by several processes.

    Args:
        count: about how many parts; what a process holds grows with a part's rows.
        engine: who is at them.
        jobs: how many at a time.
        memory: bytes that the words of a part, or of a bucket, may take in a process.
    """

    count: int
    engine: Engine
    jobs: int = 1
    memory: int = 2**29

    def check(self, config: DatasetConfig) -> None:
        """Refuse what cannot be done in parts.

        Raises:
            ConfigError: a number out of range, or vocabularies that grow from older ones.
        """
        legal = 1 <= self.count <= MOST_PARTS and 1 <= self.jobs <= MOST_JOBS
        if not legal or self.memory < 1:
            got = f"{self.count} parts, {self.jobs} jobs, {self.memory / 2**20:g} MiB"
            rule = f"must be from 1 to {MOST_PARTS:,}, jobs to {MOST_JOBS:,}, memory at least 1 MiB"
            raise ConfigError("parts", rule, got, "lower them, or leave them out")
        if config.vocabularies_from is not None:
            raise ConfigError(
                "vocabularies_from",
                "cannot be read in parts, since older words keep their numbers",
                config.vocabularies_from,
                "prepare without --parts",
            )


class Workers:
    """The processes that work on parts, and how far they are.

    Args:
        how: who they are, and how many at a time.
        executor: takes what is to be done.
        say: is told how far they are.
    """

    def __init__(self, how: InParts, executor: Executor, say: Say) -> None:
        self.how, self.say, self._executor = how, say, executor
        self._said, self._others = time.monotonic(), set(active_children())

    def each(
        self, what: str, work: Callable[[Any], None], orders: Sequence[Any], targets: Sequence[Path]
    ) -> None:
        """Do what is not there yet.

        Args:
            what: it is, in words.
            work: does one order.
            orders: what is to be done.
            targets: of each order, the file that is there once it is done.

        Raises:
            DataError: the data do not allow one of them.
        """
        if refused := self.attempt(what, work, orders, targets):
            raise refused[min(refused)]

    def attempt(
        self, what: str, work: Callable[[Any], None], orders: Sequence[Any], targets: Sequence[Path]
    ) -> dict[int, DataError]:
        """As `each`, but gives the orders that the data do not allow, by number."""
        missing = [i for i, path in enumerate(targets) if not path.exists()]
        done, refused = len(orders) - len(missing), dict[int, DataError]()
        if missing:
            self.say(f"{what}: {len(orders)}" + (f", {done} are there" if done else ""))
        # a job in a queue is too dear for one order
        size = -(-len(missing) // self.how.jobs) if self.how.engine.name == "slurm" else 1
        bundles = [missing[i : i + size] for i in range(0, len(missing), max(size, 1))]
        results = shared_out(
            self._executor,
            partial(_do, work),
            [[orders[i] for i in bundle] for bundle in bundles],
            self.how.jobs,
            stop=self._stop,
        )
        with _deaths_told(what), closing(results) as ended:
            for number, future in ended:
                bundle = bundles[number]
                for place, error in future.result():
                    if not isinstance(error, DataError):
                        raise error
                    refused[bundle[place]] = error
                done += len(bundle)
                if time.monotonic() - self._said > _SAY_EVERY_S:
                    self._said = time.monotonic()
                    self.say(f"{what}: {done} of {len(orders)}")
        return refused

    def one(self, what: str, work: Callable[[Any], None], order: Any) -> None:
        """Do one order, whether it is done or not."""
        with _deaths_told(what):
            for _, error in self._executor.submit(_do, work, [order]).result():
                raise error

    def _stop(self) -> None:
        """End what this machine's processes are at; whatever is done stays."""
        for child in set(active_children()) - self._others:
            child.terminate()


def _do(work: Callable[[Any], None], orders: Sequence[Any]) -> list[tuple[int, AutoMTLError]]:
    """Do some orders, one after the other; gives the errors, each with its order's place. They are
    returned, since not every engine hands over what is raised as it is.

    Memory goes back to the system after each, since the next one needs other amounts of it.
    """
    errors = []
    for place, order in enumerate(orders):
        try:
            work(order)
        except AutoMTLError as error:
            errors.append((place, error))
        pa.default_memory_pool().release_unused()
        if platform.libc_ver()[0] == "glibc":
            ctypes.CDLL(None).malloc_trim(0)
    return errors


@contextmanager
def _deaths_told(what: str) -> Iterator[None]:
    """Turn the death of whoever is at something into an error that says what to do.

    Raises:
        EnvironmentFault: somebody has died.
    """
    try:
        yield
    except Exception as error:
        if not died(error):
            raise
        fix = (
            "it may have lacked memory: take more --parts or less --memory; run it again to go on; "
            'a script of your own needs `if __name__ == "__main__":` around the call'
        )
        raise EnvironmentFault(what, "must not end a process", "one that was killed", fix) from None
