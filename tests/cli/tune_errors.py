"""The errors of studies, for test_errors.py: name -> (what is wrong, command, exit status, parts of
the message).
"""

import contextlib
import shutil
import sqlite3
import sys
from pathlib import Path

from automtl.cli.main import main

TUNE = ["tune", "data/tiny.yaml", "--space", "automtl_small", "--out", "new"]


def nothing():
    """The command itself is the mistake."""


FAST = [
    "--fast-dev-run",
    "--trials",
    "1",
    "--set",
    "space.expert=[gate, skip]",
    "--set",
    "space.interaction=[skip]",
]


def no_database():
    Path("new/tune").mkdir(parents=True)
    Path("new/tune/study.db").write_text("SQLite format 4" * 100)


def no_study():
    Path("new/search").mkdir(parents=True)


def altered_trial():
    sys.argv = ["automtl", *TUNE, *FAST]
    with contextlib.suppress(SystemExit):
        main()
    with contextlib.closing(sqlite3.connect("new/tune/study.db")) as study:
        study.execute("UPDATE trial_values SET value = value - 0.5")
        study.commit()


# the trial fails at once: a training has rows
SHORT = ["--trials", "1", "--set", "tune.parameters={search.race_epochs: {choices: [0]}}"]
BEGUN, SHARED = [*TUNE[:-1], "begun", *SHORT], ["--storage", "sqlite:///shared.db"]


def studied(*options):
    sys.argv = ["automtl", *BEGUN, *options]
    with contextlib.suppress(SystemExit):
        main()


def forgotten():
    studied(*SHARED)
    shutil.rmtree("begun")


TUNE_ERRORS = {
    "tune-parameter": (nothing, [*TUNE, "--set", "tune.parameters={search.epoch: " "{low: 2, high: 3}}"], 2, ["must be a setting of " "search, space " "or retrain", "'search.epochs'"]),
    "tune-range": (nothing, [*TUNE, "--set", "tune.parameters={search.epochs: " "{low: 3, high: 2}}"], 2, ["low must be " "at most high"]),
    "tune-nothing-begun": (no_study, [*TUNE, "--resume"], 2, ["new: must " "hold a study " "to go on " "with, got none"]),
    "tune-storage": (nothing, [*TUNE, "--storage", "sqlite:////nowhere/at/all/study.db"], 2, ["--storage: must be " "a database that opens"]),
    "tune-storage-driver": (nothing, [*TUNE, "--storage", "mysql://me:s3cret@host/name"], 2, ["--storage: " "needs MySQLdb, " "got no such library"]),
    "tune-storage-other": (studied, [*BEGUN, *SHARED, "--resume"], 2, ["--storage: must be " "what the study began " "with, got " "sqlite:///shared.db; " "leave it out"]),
    "tune-storage-taken": (forgotten, [*BEGUN, *SHARED], 2, ["--storage: " "must not hold " "a study of " "this folder yet"]),
    "tune-wilcoxon": (nothing, [*TUNE, "--set", "tune.pruner=wilcoxon"], 2, ["wilcoxon needs " "tune.seeds " "of 2 or more"]),
    "tune-without-run": (nothing, ["tune", "data/tiny.yaml", "--over", "sharing"], 2, ["must be a " "searched run's " "folder for " "--over sharing"]),
    "tune-altered": (altered_trial, [*TUNE, *FAST, "--resume"], 2, ["new/tune/study.db: " "trial " "0 must be as " "it was written"]),
    "tune-unreadable": (no_database, [*TUNE, "--resume"], 3, ["new/tune/study.db: " "must be a " "database that can " "be read and written"]),
}  # fmt: skip
