"""Every file of a study, damaged in every way, met by every command that reads it; see
`test_run_directory.py` for the words.
"""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.test_errors import run
from tests.damaged.test_run_directory import (
    DAMAGES,
    LAST,
    PREVIOUS,
    SMALL,
    at_work,
    check,
    damaged,
    sampled,
    stopped_after,
)

TUNE = [
    "tune",
    "data/tiny.yaml",
    "--space",
    "automtl_small",
    *SMALL,
    "--set",
    "retrain.epochs=1",
    "--set",
    "retrain.batch_size=64",
]
TUNE += [
    "--set",
    "tune.parameters={search.alpha_lr: {low: 0.001, high: 0.01}}",
    "--trials",
    "2",
    "--out",
]
OWN = ["config.yaml", "manifest.json", "results.json", "best.yaml", "smallest.yaml", "study.db"]
TRIAL = [
    f"trials/0001/run/search/{name}"
    for name in ("config.yaml", "manifest.json", "metrics.jsonl", "alphas.parquet", LAST, PREVIOUS)
]
COMMANDS = {
    "status": ["status", "case"],
    "report": ["report", "case", "-o", "out.html"],
    "tune --resume": [*TUNE, "case", "--resume"],
}


def expected(command: str, file: str, damage: str) -> str:
    """What must come of an ended study with one damaged file."""
    if file == "study.db":
        return (
            "unread"
            if command != "tune --resume"
            else "either"
            if damage == "flipped"
            else "refused"
        )
    if command == "report" and not (file == "manifest.json" and damage == "deleted"):
        return "told"
    return "refused"


def expected_cut(file: str, damage: str) -> str:
    """What must come of a study that was stopped in its second trial: a trial with a damaged file
    begins anew where it must.
    """
    if not file.startswith("trials"):
        return "either" if file == "study.db" and damage == "flipped" else "refused"
    return "refused" if file.endswith("parquet") and damage == "a folder" else "same"


def cases(files, commands):
    found = [
        (command, file, damage) for command in commands for file in files for damage in DAMAGES
    ]
    return [
        pytest.param(*case, id="-".join(case), marks=[] if sampled(*case) else [pytest.mark.slow])
        for case in found
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with an ended study and one that was stopped in its second trial."""
    with at_work(tmp_path_factory.mktemp("damaged")) as folder:
        assert run([*TUNE, "whole"]) == 0
        with stopped_after(17):
            assert run([*TUNE, "cut"]) == 143
        assert (folder / "cut/tune" / TRIAL[2]).read_text().count("\n") == 1, (
            "in the second epoch of its search"
        )
        yield folder


def found(folder: Path):
    """What a study's results tell, seconds apart."""
    held = json.loads((folder / "tune/results.json").read_text())
    for trial in held["trials"]:
        trial["facts"] = {
            name: value for name, value in trial["facts"].items() if not name.endswith("seconds")
        }
    return held


def meet(outcome, command, file, damage, place, capfd, *, source):
    shutil.rmtree(place / "case", ignore_errors=True)
    Path("out.html").unlink(missing_ok=True)
    shutil.copytree(place / source, place / "case")
    damaged(place / "case/tune" / file, damage)
    capfd.readouterr()
    status, told = run(COMMANDS[command]), capfd.readouterr()
    if outcome == "either":
        outcome = "refused" if status else "same"
    check(outcome, file, status, told.out + told.err)
    if outcome == "same":
        assert found(place / "case") == found(place / "whole")
        assert (place / "case/tune/best.yaml").read_bytes() == (
            place / "whole/tune/best.yaml"
        ).read_bytes()
    return told


@pytest.mark.parametrize(("command", "file", "damage"), cases(OWN, COMMANDS))
def test_an_ended_study(command, file, damage, place, capfd):
    outcome = expected(command, file, damage)
    meet(outcome, command, file, damage, place, capfd, source="whole")
    if outcome == "told":
        page = Path("out.html").read_text()
        assert file in page and (
            "as it was written" in page or "cannot be read" in page or "must" in page
        )


@pytest.mark.parametrize(
    ("command", "file", "damage"),
    cases(["config.yaml", "manifest.json", "study.db", *TRIAL], ["tune --resume"]),
)
def test_a_stopped_study(command, file, damage, place, capfd):
    told = meet(expected_cut(file, damage), command, file, damage, place, capfd, source="cut")
    if file.startswith("trials") and file.endswith(
        ("config.yaml", "manifest.json", "metrics.jsonl")
    ):
        assert "trial 1 begins anew" in told.err and Path(file).name in told.err
