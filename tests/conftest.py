"""What holds for every test: one thread for the small networks, which are faster with one and do
not fight with a second test run; and no waiting for the disk, since what tests write need not
outlast a power cut. A test of durability calls the `os.fsync` that its module saw when it was
imported (`tests/test_files.py`). Processes that tests start do wait.
"""

import os
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy
import torch

torch.set_num_threads(1)


@pytest.fixture(autouse=True, scope="session")
def _no_waiting_for_the_disk() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _: None)
        sqlalchemy.event.listen(sqlalchemy.Engine, "connect", _unsynced)
        yield
        sqlalchemy.event.remove(sqlalchemy.Engine, "connect", _unsynced)


def _unsynced(connection: Any, _: object) -> None:
    """A study's SQLite file syncs by itself, in C."""
    if isinstance(connection, sqlite3.Connection):
        connection.execute("PRAGMA synchronous = OFF")
