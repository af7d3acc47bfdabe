"""Phases that are stopped at a step, and what must then be equal: shared by the tests of
resuming.
"""

import os
import signal

import torch

from automtl import files
from automtl.config import resolve
from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.run.opening import open_session
from automtl.phases.run.reporter import Silent
from automtl.runs import checkpoint
from automtl.runs.run_dir import PhaseDir
from scripts.small import SEARCH
from tests.support import Stop, read_settings

SMALL = [
    *SEARCH,
    "space.dropout=0.1",
    "search.draws=2",
    "search.population=3",
    "search.generations=1",
    "search.score_rows=64",
]


def config(dataset, *sets, every=1):
    flags = {
        "data": {"dir": str(dataset.parent / "prepared")},
        "runtime": {"checkpoint_every_steps": every},
    }
    given = read_settings(SMALL, sets)
    return resolve(source=str(dataset), space="automtl_small", sets=given, flags=flags)


def plan(dataset, kind, out, *sets, resume=False, every=1):
    given = ["retrain.batch_size=64", "retrain.epochs=3", *sets]
    flags = {
        "data": {"dir": str(dataset.parent / "prepared")},
        "runtime": {"checkpoint_every_steps": every},
    }
    return plan_retrain(
        kind,
        data=str(dataset),
        sharing=None,
        config_file=None,
        sets=given,
        flags=flags,
        out=out,
        resume=resume,
    )


def train(made, resume=False, reporter=None):
    return retrain(
        made.architecture,
        made.config,
        run=made.run,
        label=made.label,
        reporter=reporter,
        resume=resume,
    )


class After(Silent):
    """A reporter that does something once after so many steps of this process."""

    def __init__(self, steps, act):
        self.left, self.act, self.said = steps, act, []

    def say(self, text):
        self.said.append(text)

    def step(self, event, epochs):
        self.left -= 1
        if self.left == 0:
            self.act()


class When(Silent):
    """A reporter that does something when it is told of something."""

    def __init__(self, start, act):
        self.start, self.act = start, act

    def say(self, text):
        if text.startswith(self.start):
            self.act()


def stop():
    raise Stop


def terminate():
    os.kill(os.getpid(), signal.SIGTERM)


def plain(value, path=""):
    """A state as a flat mapping, without seconds."""
    if isinstance(value, dict):
        return {
            k: v
            for key, item in value.items()
            if key not in ("seconds", "reference_seconds")
            for k, v in plain(item, f"{path}.{key}").items()
        }
    if isinstance(value, list):
        return {k: v for i, item in enumerate(value) for k, v in plain(item, f"{path}.{i}").items()}
    return {path: value}


def same(one, two):
    one, two = plain(one), plain(two)
    assert one.keys() == two.keys()
    for key, value in one.items():
        equal = (
            torch.equal(value, two[key]) if isinstance(value, torch.Tensor) else value == two[key]
        )
        assert equal, key


def same_phase(one, two, ended=()):
    """All that two phase folders hold is equal, seconds and dates apart."""
    one, two = PhaseDir(one), PhaseDir(two)
    for file in ("metrics.jsonl", "architecture.json", "results.json"):
        assert (one.path / file).exists() == (two.path / file).exists()
        if (one.path / file).exists():
            assert (one.path / file).read_bytes() == (two.path / file).read_bytes(), file
    same(files.read_json(one.cost), files.read_json(two.cost))
    for name in ended:
        same(checkpoint.load(one.checkpoint(name)), checkpoint.load(two.checkpoint(name)))
    assert not [path for folder in (one, two) for path in folder.path.rglob(".*.tmp")]


def len_of(dataset):
    """Steps of a search's epoch."""
    return len(open_session(config(dataset)).batches("fit", batch_size=64, seed=0))
