"""The seam: who does the work, how many at a time, and that nothing is begun after a stop."""

import multiprocessing
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from automtl.engines import Engine, shared_out
from automtl.errors import ConfigError, DataError


def where(number: int) -> tuple[int, int, str]:
    return number, os.getpid(), multiprocessing.current_process().name


def refuse(number: int) -> None:
    raise DataError("here", "must hold", number, "mend it")


def die(number: int) -> None:
    os._exit(9)


def test_engines_by_their_words() -> None:
    assert Engine.of("local") == Engine()
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    assert Engine.of("dask:tcp://head:8786") == Engine("dask", "tcp://head:8786")
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    assert Engine.of("slurm:partition=gpu") == Engine("slurm", "partition=gpu")


def test_local_processes_and_their_faults(tmp_path: Path) -> None:
    """Each in one of its own where that is asked for; one that dies takes no other with it."""
    with Engine().opened(2, tmp_path, alone=True) as executor:
        done = [executor.submit(work, i) for i, work in enumerate((where, refuse, die, where))]
        numbers, processes, _ = zip(done[0].result(), done[3].result(), strict=True)
        assert numbers == (0, 3) and len({os.getpid(), *processes}) == 3
        with pytest.raises(DataError, match="here: must hold, got 1; mend it"):
            done[1].result()
        assert type(done[2].exception()).__name__ == "BrokenProcessPool"


def test_no_more_than_that_at_a_time_and_none_after_a_stop() -> None:
    begun, most, lock, stopped = [], 0, threading.Lock(), threading.Event()
    now, together = 0, threading.Barrier(3)

    def work(item: int) -> int:
        nonlocal now, most
        with lock:
            begun.append(item)
            now += 1
            most = max(most, now)
        if item < 3:
            together.wait(30)
        for _ in range(200):
            if stopped.is_set() or item < 4:
                break
            time.sleep(0.05)
        with lock:
            now -= 1
        return item * item

    with ThreadPoolExecutor(8) as pool:
        found = {}
        shared = shared_out(pool, work, list(range(40)), 3, stop=stopped.set)
        for number, future in shared:
            found[number] = future.result()
            if len(found) == 4:
                with pytest.raises(KeyboardInterrupt):
                    shared.throw(KeyboardInterrupt)
                break
        assert not now, "it waits for those at work"
    assert found == {i: i * i for i in range(4)}
    assert most == 3 and max(begun) < 4 + 3


def test_settings_of_submitit_that_are_none_are_refused(tmp_path: Path) -> None:
    pytest.importorskip("submitit", reason="the extra slurm is not installed")
    for where_ in ("nodez=3,cluster=local", "partition=gpu"):
        with (
            pytest.raises(ConfigError, match=r"--engine slurm:.*: must be settings of submitit"),
            Engine("slurm", where_).opened(1, tmp_path),
        ):
            pytest.fail("nobody opens it")


def test_a_scheduler_out_of_reach_is_told(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the extra dask is not installed")
    from automtl.errors import EnvironmentFault

    with (
        pytest.raises(EnvironmentFault, match="must be the address of a Dask scheduler"),
        Engine("dask", "no address").opened(1, tmp_path),
    ):
        pytest.fail("nobody opens it")
