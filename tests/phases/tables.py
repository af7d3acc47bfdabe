"""Tables of trained architectures on a tiny data set, for the tests of making them."""

import os
import signal
from unittest.mock import patch

from automtl.config import resolve
from automtl.phases.benchmark._rows import TableRows
from automtl.phases.benchmark.run import Benchmark
from automtl.phases.benchmark.settings import TableSettings
from automtl.phases.run.opening import open_session
from automtl.phases.run.reporter import Silent
from scripts.small import SPACE

TINY = {"epochs": 2, "architectures": 4, "pilot": 2, "hand_made": ("mmoe", "single_task")}


def config(dataset, *sets, **runtime):
    flags = {
        "data": {"dir": str(dataset.parent / "prepared")},
        "runtime": {"threads": 1, **runtime},
    }
    return resolve(
        source=str(dataset),
        space="automtl_small",
        sets=[*SPACE, "retrain.batch_size=64", *sets],
        flags=flags,
    )


def benchmark(dataset, reporter=None, sets=(), **settings):
    return Benchmark(config(dataset, *sets), TableSettings(**{**TINY, **settings}), reporter)


def run(made, out, *, commit="of the tests", **options):
    """Make a table, or go on with one, the gate or not; at a commit of its own, since a developer's
    may move meanwhile.
    """
    with patch("automtl.phases.benchmark._plan.code_version", return_value=commit):
        return made.run(out, **{"anyway": True, **options})


def rows(dataset, **settings):
    return TableRows(open_session(config(dataset)), TableSettings(**{**TINY, **settings}))


class Listening(Silent):
    """Keeps what it is told; interrupts after some trainings, as a signal does."""

    def __init__(self, after=None):
        self.after, self.lines = after, []

    def say(self, text):
        self.lines.append(text)
        if text.startswith("[") and self.after is not None:
            self.after -= 1
            if not self.after:
                os.kill(os.getpid(), signal.SIGTERM)
