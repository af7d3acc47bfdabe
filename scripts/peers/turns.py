"""What the measured processes share: one step per line of input, and the same rows for all. Needs
torch and numpy only.
"""

import json
import resource
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

STEPS = 10_000  # more than anybody asks for


class Done(Exception):
    """The driver wants no more steps."""


class Turns:
    """Called at the start of each step: tells the seconds of the step before and waits for the
    driver's next line.
    """

    def __init__(self) -> None:
        self._start = 0.0

    def __call__(self) -> None:
        if self._start:
            say(seconds=time.perf_counter() - self._start, peak_mb=peak_mb())
        if not sys.stdin.readline().strip():
            raise Done
        self._start = time.perf_counter()


def peak_mb() -> float:
    """Peak resident memory of this process."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def say(**facts: Any) -> None:
    """One line of JSON to the driver; libraries print to the error stream meanwhile."""
    print(json.dumps(facts), file=sys.__stdout__, flush=True)


def rows(path: str) -> dict[str, np.ndarray]:
    """ids (n, C) int64, dense (n, M) float32, labels (n, T) float32, each of a split: `train_ids`,
    ...
    """
    with np.load(Path(path), allow_pickle=False) as found:
        return {name: found[name] for name in found.files}


def slices(count: int, size: int) -> Iterator[slice]:
    """Whole batches, over and over."""
    starts = range(0, count - size + 1, size)
    for step in range(STEPS):
        start = starts[step % len(starts)]
        yield slice(start, start + size)
