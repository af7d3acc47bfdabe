"""Starts the workers of one command: the same command in several processes of this machine, which
train together (see `automtl/ranks.py`).
"""

import logging
import os
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from automtl import files
from automtl.errors import ConfigError, RankLost
from automtl.phases.run.device import cores
from automtl.ranks import world_size

_MOST = 1024
_STOPPED = (-signal.SIGTERM, 128 + signal.SIGTERM)


def needs_workers(workers: int | None) -> bool:
    """Whether a command must start workers, and is none itself.

    Args:
        workers: how many are asked for; None: as many as there are.

    Raises:
        ConfigError: it is not to be shared by so many.
    """
    there = world_size()
    if workers is None:
        return False
    if not 1 <= workers <= _MOST:
        raise ConfigError("--workers", f"must be from 1 to {_MOST}", workers)
    if there not in (1, workers):
        fix = "leave out --workers: torchrun says how many there are"
        raise ConfigError("--workers", f"must be the WORLD_SIZE of {there}", workers, fix)
    return workers > there


def launch(workers: int, words: Sequence[str], say: Callable[[str], None]) -> int:
    """Run `python -m automtl` with some words in several processes; the exit status of the one that
    failed first, else 0.

    Args:
        workers: how many.
        words: the command line.
        say: told of a failure that no worker could tell people of.
    """
    from torch.distributed.elastic.multiprocessing.api import DefaultLogsSpecs, SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    # its own account of a failure is told by `_failed`
    logging.getLogger("torch.distributed.elastic").setLevel(logging.CRITICAL + 1)
    # torchrun sets 1 where nothing is said
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, cores() // workers)))
    with files.scratch_folder() as logs:
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=workers,
            run_id="automtl",
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            monitor_interval=0.1,
            logs_specs=DefaultLogsSpecs(log_dir=str(logs)),
            shutdown_timeout=600,  # a step and a checkpoint
        )
        try:
            elastic_launch(config, sys.executable)("-m", "automtl", *words)
        except ChildFailedError as error:
            return _failed(error.failures, say)
        except SignalException as stopped:
            return 128 + int(stopped.sigval)
    return 0


def _failed(failures: Mapping[int, Any], say: Callable[[str], None]) -> int:
    """The exit status of the worker that failed by itself: others end because they miss it."""
    messages = {rank: _message(failure) for rank, failure in failures.items()}
    first = min(
        failures,
        key=lambda rank: (
            messages[rank].startswith(RankLost.__name__),
            failures[rank].exitcode in _STOPPED,
            rank,
        ),
    )
    status = int(failures[first].exitcode)
    number = -status if status < 0 else max(0, status - 128)
    if status < 0 or (number and first):
        say(f"worker {first} was ended by signal {number}; go on with --resume")
        return 128 + number
    if first:  # the first one, number 0, told people itself
        say(f"worker {first}: {messages[first].partition(': ')[2]}")
    return status


def _message(failure: Any) -> str:
    """The error that a worker wrote down, with the name of its class before it."""
    message = failure.message
    return str(message["message"] if isinstance(message, dict) else message)
