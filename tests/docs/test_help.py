"""Each command's --help shows an example, and it runs."""

import shutil
import sys
from pathlib import Path

import pytest
import typer.main

from automtl.cli._app import app
from scripts.small import PAPER, flags
from tests.docs.blocks import run, write_clicks

# What the examples take for granted; `census_income` is here a file of that name, and an existing
# path wins over a shipped name.
BEFORE = [
    f"search census_income --space automtl_small {' '.join(flags(PAPER))}",  # a supernet to rank
    "retrain runs/census_income-automtl_small-1",
    *(f"retrain {name} --data census_income" for name in ("shared_bottom", "mmoe", "single_task")),
    "search clicks.yaml --space automtl_small --out runs/first",
    "retrain runs/first",
    "retrain mmoe --data clicks.yaml --out runs/monday",
]
# It asks the package index for 300,000 rows; tests/data/test_census.py tries it with a package of
# its own.
ELSEWHERE = {"automtl data get census_income"}
FUXICTR = """tiny_csv:
    data_format: csv
    train_data: clicks.csv
    feature_cols:
        [{name: [user_id, item_id], active: True, dtype: str, type: categorical}]
    label_col: {name: clicked, dtype: float}
"""


def helps(group, name="automtl"):
    for part, command in group.commands.items():
        yield from (
            helps(command, f"{name} {part}")
            if hasattr(command, "commands")
            else [(f"{name} {part}", command.help or "")]
        )


def examples(text):
    """The commands below "Example:" or "Examples:", one a line."""
    _, _, told = text.partition("Example:\n" if "Example:\n" in text else "Examples:\n")
    lines = told.replace("\\\n", " ").splitlines()
    return [" ".join(line.removeprefix("$ ").split()) for line in lines if line.startswith("$ ")]


HELPS = dict(helps(typer.main.get_command(app)))


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    folder = tmp_path_factory.mktemp("before")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AUTOMTL_DATA_DIR", str(tmp_path_factory.mktemp("cache")))
        patch.setattr(sys, "argv", sys.argv)
        patch.chdir(folder)
        write_clicks(folder)
        described = Path("clicks.yaml").read_text()
        Path("census_income").write_text(
            described.replace("name: clicks", "name: census_income", 1)
        )
        Path("tuesday.yaml").write_text(described)
        Path("dataset_config.yaml").write_text(FUXICTR)
        for line in BEFORE:
            run(["automtl", *line.split()], "before the examples")
        yield folder


@pytest.mark.parametrize("command", HELPS)
def test_the_example_of_a_help_runs(command, before, tmp_path, monkeypatch):
    shown = examples(HELPS[command])
    assert shown and all(
        example.startswith(f"{command} ") or example == command for example in shown
    ), shown
    shutil.copytree(before, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", sys.argv)
    if command == "automtl retrain":  # it makes what the others find made
        shutil.rmtree("runs/census_income-automtl_small-1/retrain")
    for example in shown:
        if example not in ELSEWHERE:
            run(example.split(), command)
