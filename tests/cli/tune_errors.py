# ruff: noqa: E501 - one error a line reads best
"""The errors of studies, for test_errors.py: name -> (what is wrong, command, exit status, parts of the message)."""

import shutil
import sys
from pathlib import Path

import pytest

from automtl.cli.main import main

TUNE = ["tune", "data/tiny.yaml", "--space", "automtl_small", "--out", "new"]
SHORT = ["--trials", "1", "--set", "tune.parameters={search.epochs: {choices: [1]}}"]  # the trial fails at once: a search has two epochs
SHARED = ["--storage", "sqlite:///shared.db"]


def nothing():
    """The command itself is the mistake."""


def studied(*options):
    """A study that has ended."""
    sys.argv = ["automtl", *TUNE[:-1], "begun", *SHORT, *options]
    with pytest.raises(SystemExit) as ended:
        main()
    assert not ended.value.code


def forgotten():
    studied(*SHARED)
    shutil.rmtree("begun")


def no_database():
    Path("bad.db").write_text("no database " * 100)


TUNE_ERRORS = {
    "tune-parameter": (nothing, [*TUNE, "--set", "tune.parameters={search.epoch: {low: 2, high: 3}}"], 2, ["must be a setting of search, space or retrain", "'search.epochs'"]),
    "tune-range": (nothing, [*TUNE, "--set", "tune.parameters={search.epochs: {low: 3, high: 2}}"], 2, ["low must be at most high"]),
    "tune-storage": (nothing, [*TUNE, "--storage", "sqlite:////nowhere/at/all/study.db"], 2, ["--storage: must be a database that opens"]),
    "tune-storage-driver": (nothing, [*TUNE, "--storage", "mysql://me:s3cret@host/name"], 2, ["--storage: needs MySQLdb, got no such library"]),
    "tune-storage-other": (studied, [*TUNE[:-1], "begun", *SHORT, *SHARED, "--resume"], 2, ["--storage: must be what the study began with, got sqlite:///shared.db; leave it out"]),
    "tune-storage-taken": (forgotten, [*TUNE[:-1], "begun", *SHORT, *SHARED], 2, ["--storage: must not hold a study of this folder yet"]),
    "tune-storage-gone": (no_database, [*TUNE, "--storage", "sqlite:///bad.db"], 3, ["study: must be within reach in its storage, got", "file is not a database", "go on with --resume once it is"]),
    "tune-wilcoxon": (nothing, [*TUNE, "--set", "tune.pruner=wilcoxon"], 2, ["wilcoxon needs tune.seeds of 2 or more"]),
    "tune-without-run": (nothing, ["tune", "data/tiny.yaml", "--over", "sharing"], 2, ["must be a searched run's folder for --over sharing"]),
}  # fmt: skip
