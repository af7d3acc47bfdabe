"""Where work that can be shared is done: processes of this machine, the workers of a Dask cluster,
or Slurm jobs, behind one seam, `concurrent.futures.Executor`.

Whoever does the work imports this package, and sees the same folders under the same paths.
"""

import contextlib
import importlib.util
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import (
    FIRST_COMPLETED,
    Executor,
    Future,
    ProcessPoolExecutor,
    ThreadPoolExecutor,
    wait,
)
from dataclasses import dataclass
from functools import partial
from itertools import islice
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, TypeVar

from automtl.errors import ConfigError, EnvironmentFault

S = TypeVar("S")
T = TypeVar("T")
NAMES = ("local", "dask", "slurm")
_NEEDS = {"dask": "distributed", "slurm": "submitit"}
# what the engines raise, by name, where whoever did a call is gone
_DEATHS = ("BrokenExecutor", "KilledWorker", "UncompletedJobError")
_LOOK_EVERY_S = 1.0
# Slurm's own default is the partition's, submitit's five minutes: a day, unless the user says more
_TIMEOUT_MIN = 24 * 60


@dataclass(frozen=True)
class Engine:
    """Who does the work.

    Attributes:
        name: one of `NAMES`.
        where: dask: the scheduler's address, "" for workers of this machine; slurm: settings of
            submitit, such as ``partition=gpu,timeout_min=600``.
    """

    name: str = "local"
    where: str = ""

    @classmethod
    def of(cls, text: str) -> "Engine":
        """An engine by its words: ``local``, ``dask:tcp://head:8786``, ``slurm:partition=gpu``.

        Raises:
            ConfigError: there is none of that name.
            EnvironmentFault: what it needs is not installed.
        """
        name, _, where = text.partition(":")
        if name not in NAMES or (name == "local" and where):
            rule = f"must be one of {', '.join(NAMES)}, dask:ADDRESS or slurm:NAME=VALUE,..."
            raise ConfigError("--engine", rule, repr(text))
        package = _NEEDS.get(name)
        if package and importlib.util.find_spec(package) is None:
            raise EnvironmentFault(
                f"--engine {name}",
                f"needs the extra `{name}`",
                f"no package {package}",
                f'run `pip install "automtl[{name}]"`',
            )
        return cls(name, where)

    @contextlib.contextmanager
    def opened(self, jobs: int, scratch: Path, *, alone: bool = False) -> Iterator[Executor]:
        """Someone who does `jobs` things at a time.

        Args:
            jobs: how many.
            scratch: a folder for what the engine itself writes down, seen by all.
            alone: each in a process of its own, which the next one does not go on with; only Dask's
                workers do.

        Raises:
            ConfigError: the settings are none of the engine's.
            EnvironmentFault: it is out of reach.
        """
        make = {"local": _local, "dask": _dask, "slurm": _slurm}[self.name]
        with make(self.where, jobs, scratch, alone) as executor:
            yield executor


class _Elsewhere(Executor):
    """Threads, each of which waits for something that runs elsewhere.

    Args:
        jobs: how many.
        run: does a call elsewhere and waits for its result.
        give_up: lets go of calls that nobody has begun.
    """

    def __init__(
        self,
        jobs: int,
        run: Callable[[Callable[[], Any]], Any],
        give_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._threads = ThreadPoolExecutor(jobs)
        self._run, self.give_up = run, give_up

    def submit(self, fn: Callable[..., T], /, *args: Any, **kwargs: Any) -> Future[T]:
        """Do a call elsewhere."""
        return self._threads.submit(self._run, partial(fn, *args, **kwargs))

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Take no more calls."""
        self._threads.shutdown(wait, cancel_futures=cancel_futures)


@contextlib.contextmanager
def _local(where: str, jobs: int, scratch: Path, alone: bool) -> Iterator[Executor]:
    def pool(processes: int) -> ProcessPoolExecutor:
        # a forked process would share locks of threads that it does not have
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(processes, mp_context=context, initializer=_begin)

    def run(call: Callable[[], T]) -> T:
        with pool(1) as one:
            return one.submit(_called, call).result()

    with _Elsewhere(jobs, run) if alone else pool(jobs) as executor:
        yield executor


_BUSY = threading.Event()
_ORPHANED = threading.Event()


def orphaned() -> bool:
    """Whether this is a local engine's process whose parent is gone."""
    return _ORPHANED.is_set()


def _begin() -> None:
    """In a new process: a Ctrl-C is for the parent to pass on; without a parent it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is None:
        return
    parent.join()
    _ORPHANED.set()
    while _BUSY.is_set():  # what it is at may end, or keep what it has
        time.sleep(0.1)
    os._exit(1)


def _called(call: Callable[[], T]) -> T:
    _BUSY.set()
    try:
        return call()
    finally:
        _BUSY.clear()


@contextlib.contextmanager
def _dask(where: str, jobs: int, scratch: Path, alone: bool) -> Iterator[Executor]:
    from distributed import Client, LocalCluster

    with contextlib.ExitStack() as opened:
        try:
            if where:
                client = opened.enter_context(Client(where))
            else:
                cluster = opened.enter_context(
                    LocalCluster(n_workers=jobs, threads_per_worker=1, dashboard_address=None)
                )
                client = opened.enter_context(Client(cluster))
        except (OSError, ValueError) as error:
            raise EnvironmentFault(
                f"--engine dask:{where}",
                "must be the address of a Dask scheduler",
                error,
                "for example dask:tcp://head:8786",
            ) from error
        # not pure: a call is done as often as it is asked for
        yield client.get_executor(pure=False)


@contextlib.contextmanager
def _slurm(where: str, jobs: int, scratch: Path, alone: bool) -> Iterator[Executor]:
    import submitit

    settings: dict[str, Any] = dict(pair.partition("=")[::2] for pair in where.split(",") if pair)
    settings = {name: int(v) if v.isdecimal() else v for name, v in settings.items()}
    cluster = settings.pop("cluster", "slurm")
    try:
        submitter = submitit.AutoExecutor(scratch, cluster=cluster)
        submitter.update_parameters(timeout_min=settings.pop("timeout_min", _TIMEOUT_MIN))
        known = submitter._valid_parameters()
        submitter.update_parameters(
            **{n if n in known else f"slurm_{n}": v for n, v in settings.items()}
        )
    except Exception as error:  # submitit raises whatever comes to hand
        raise ConfigError(
            f"--engine slurm:{where}",
            "must be settings of submitit, on a machine that can submit",
            " ".join(str(error).split())[:300],
            "for example slurm:partition=gpu,cpus_per_task=4; slurm:cluster=local tries it here",
        ) from error
    submitting, submitted = threading.Lock(), list[Any]()

    def run(call: Callable[[], T]) -> T:
        with submitting:
            job = submitter.submit(call)
            submitted.append(job)
        result: T = job.result()
        return result

    def give_up() -> None:
        for job in submitted:
            if job.state == "PENDING":  # in the queue
                job.cancel(check=False)

    with _Elsewhere(jobs, run, give_up) as executor:
        yield executor


def died(error: BaseException) -> bool:
    """Whether it says that whoever did a call was killed, lacked memory or ran out of time."""
    return any(kind.__name__ in _DEATHS for kind in type(error).__mro__)


@contextlib.contextmanager
def ending_children(others: set[BaseProcess] | None = None) -> Iterator[None]:
    """Inside, a failure ends this process's children.

    Args:
        others: children that are left alone; default those that there are now.
    """
    others = set(multiprocessing.active_children()) if others is None else others
    try:
        yield
    except BaseException:
        for child in set(multiprocessing.active_children()) - others:
            child.terminate()
        raise


def shared_out(
    executor: Executor,
    work: Callable[[S], T],
    items: Sequence[S],
    jobs: int,
    *,
    look: Callable[[], None] = lambda: None,
    stop: Callable[[], None] = lambda: None,
) -> Generator[tuple[int, Future[T]], None, None]:
    """The number of each item with what came of it, in the order in which they end.

    No item is handed over before there is someone to do it, so that none is begun after a stop.

    Args:
        executor: who does it.
        work: what is to be done with an item.
        items: as they are handed over.
        jobs: how many at a time.
        look: called now and then.
        stop: asks those at work to end; called where this process is to stop, which then waits for
            them. Asked again it waits no longer.
    """
    others: set[BaseProcess] = set(multiprocessing.active_children())
    pending: dict[Future[T], int] = {}
    left = iter(enumerate(items))
    try:
        while True:
            for number, item in islice(left, jobs - len(pending)):
                pending[executor.submit(work, item)] = number
            if not pending:
                return
            done, _ = wait(pending, timeout=_LOOK_EVERY_S, return_when=FIRST_COMPLETED)
            look()
            for future in done:
                yield pending.pop(future), future
    except BaseException:
        stop()
        with ending_children(others):
            if isinstance(executor, _Elsewhere):
                executor.give_up()
            wait(pending)
        raise
