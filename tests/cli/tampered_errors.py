# ruff: noqa: E501 - one error a line reads best
"""The errors of runs whose files somebody changed, for test_errors.py: name -> (what is wrong, command, exit status, parts of the message)."""

import os
from pathlib import Path


def edited(name, old, new):
    path = Path("run/search") / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def link_out():
    Path("elsewhere.json").write_text("{}")
    os.remove("run/search/architecture.json")
    os.symlink(Path("elsewhere.json").resolve(), "run/search/architecture.json")


TAMPERED = {
    "file-altered": (lambda: edited("architecture.json", '"version": 1', '"version":  1'), ["retrain", "run"], 2, ["run/search/architecture.json: must be as it was written"]),
    "manifest-altered": (lambda: edited("manifest.json", '"seed": 0', '"seed": 1'), ["status", "run"], 2, ["manifest.json: must match its own checksum"]),
    "link-out": (link_out, ["retrain", "run"], 2, ["must not lead out of the run's folder"]),
}  # fmt: skip
