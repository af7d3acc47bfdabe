# ruff: noqa: E501 - one error a line reads best
"""The errors of studies, for test_errors.py: name -> (what is wrong, command, exit status, parts of the message)."""

TUNE = ["tune", "data/tiny.yaml", "--space", "automtl_small", "--out", "new"]


def nothing():
    """The command itself is the mistake."""


TUNE_ERRORS = {
    "tune-parameter": (nothing, [*TUNE, "--set", "tune.parameters={search.epoch: {low: 2, high: 3}}"], 2, ["must be a setting of search, space or retrain", "'search.epochs'"]),
    "tune-range": (nothing, [*TUNE, "--set", "tune.parameters={search.epochs: {low: 3, high: 2}}"], 2, ["low must be at most high"]),
    "tune-storage": (nothing, [*TUNE, "--storage", "sqlite:////nowhere/at/all/study.db"], 2, ["--storage: must be a database that opens"]),
    "tune-wilcoxon": (nothing, [*TUNE, "--set", "tune.pruner=wilcoxon"], 2, ["wilcoxon needs tune.seeds of 2 or more"]),
    "tune-without-run": (nothing, ["tune", "data/tiny.yaml", "--over", "sharing"], 2, ["must be a searched run's folder for --over sharing"]),
}  # fmt: skip
