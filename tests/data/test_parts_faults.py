"""Faults of those who prepare a store in parts: told as one process tells its own, whatever the engine
makes of them.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from automtl.data.prepare import in_parts, prepare
from automtl.data.prepare._parts_workers import Workers
from automtl.data.prepare.in_parts import InParts
from automtl.data.spec.dataset import load_dataset
from automtl.engines import Engine
from automtl.errors import ConfigError, DataError, EnvironmentFault
from tests.data import test_parts
from tests.data.tables import dataset
from tests.data.test_parts import ALL, by_threads, in_one_file, rows, with_cells


class _Wrapping(ThreadPoolExecutor):
    """Hands over what is raised as submitit does: as an error of its own, with the words."""

    def submit(self, fn: Callable[..., Any], /, *given: Any, **named: Any) -> Any:
        def call() -> Any:
            try:
                return fn(*given, **named)
            except Exception as error:
                raise RuntimeError(f"FailedJobError: {error}") from None

        return super().submit(call)


def test_errors_are_the_same_whatever_an_engine_makes_of_them(tmp_path: Path, monkeypatch) -> None:
    path = dataset(tmp_path, **ALL)
    in_one_file(tmp_path, with_cells(rows(6), {700: ("spent", "much")}))
    with pytest.raises(DataError) as one:
        prepare(load_dataset(path), data_dir=tmp_path / "whole")
    monkeypatch.setattr(test_parts, "ThreadPoolExecutor", _Wrapping)
    with pytest.raises(DataError) as wrapped:
        prepare(load_dataset(path), data_dir=tmp_path / "parts", parts=by_threads(3))
    assert str(wrapped.value) == str(one.value)
    assert list((tmp_path / "parts" / "prepared").iterdir()) == [], "other data have another name"
    full = EnvironmentFault("folder", "must be writable", "No space left on device")
    monkeypatch.setattr(in_parts, "learn", raising(full))
    in_one_file(tmp_path, rows(6))
    with pytest.raises(EnvironmentFault, match="folder: must be writable, got No space left"):
        prepare(load_dataset(path), data_dir=tmp_path / "parts", parts=by_threads(3))
    [left] = (tmp_path / "parts" / "prepared").iterdir()
    monkeypatch.undo()
    in_one_file(tmp_path, rows(7))
    said: list[str] = []
    prepare(
        load_dataset(path), data_dir=tmp_path / "parts", parts=by_threads(3), progress=said.append
    )
    assert f"{left} is of other files or settings; remove it where nobody goes on with it" in said


def raising(error: Exception) -> Callable[[Any], None]:
    def work(order: Any) -> None:
        raise error

    return work


def die(order: Any) -> None:
    os._exit(9)


def test_a_process_that_dies_is_told_wherever_it_does(tmp_path: Path) -> None:
    how = InParts(2, Engine(), 2, 2**20)
    ways: tuple[Callable[[Workers], Any], ...] = (
        lambda workers: workers.each("at it", die, [1, 2, 3], [tmp_path / n for n in "abc"]),
        lambda workers: workers.one("at it", die, 1),
    )
    for way in ways:
        with how.engine.opened(2, tmp_path) as executor:
            workers = Workers(how, executor, lambda line: None)
            rule = "at it: must not end a process, got one that was killed; it may have lacked"
            with pytest.raises(EnvironmentFault, match=rule):
                way(workers)
            with pytest.raises(EnvironmentFault, match=rule):  # handed over to nobody
                way(workers)


@pytest.mark.parametrize(
    ("count", "jobs", "memory"),
    [(0, 1, 1), (65_537, 1, 1), (10**9, 1, 1), (1, 0, 1), (1, 1025, 1), (1, 1, 0)],
)
def test_parts_and_jobs_that_no_machine_has_are_refused(count, jobs, memory) -> None:
    how = InParts(count, Engine(), jobs, memory)
    with pytest.raises(
        ConfigError, match=r"parts: must be from 1 to 65,536, jobs to 1,024, memory"
    ):
        how.check(load_dataset("census_income"))
    InParts(65_536, Engine(), 1024, 1).check(load_dataset("census_income"))
