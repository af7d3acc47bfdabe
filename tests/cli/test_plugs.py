"""Sharing kinds plugged over one searched architecture: one command each, then all of them in one
table (issue F, must hold 3).
"""

import json
import sys

import pytest

from automtl.cli.main import main
from tests.support import write_dataset

PLUGS = ("selected", "dselect_k", "adatt", "mssm", "mome")
SMALL = [
    "--set",
    "space.expert=[mlp(8), skip]",
    "--set",
    "space.interaction=[skip]",
    "--set",
    "search.rivals=[]",
    "--fast-dev-run",
]


def run(argv, capsys):
    sys.argv = ["automtl", *argv]
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 0
    return capsys.readouterr().out


def test_one_command_each_gives_all_of_them_in_one_table(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "cache"))
    write_dataset(tmp_path / "data", rows=300)
    run(["search", "data/tiny.yaml", "--space", "automtl_small", "--out", "run", *SMALL], capsys)
    for kind in PLUGS:
        run(["retrain", "run", "--sharing", kind, "--fast-dev-run"], capsys)
    judged = json.loads(run(["evaluate", "run", "--json"], capsys))["summary"]
    assert [row["model"] for row in judged] == [f"run: {kind}" for kind in sorted(PLUGS)]
    assert all(
        row[metric]["mean"] is not None
        for row in judged
        for metric in ("click auc", "buy auc", "MTL-Loss")
    )
    compared = json.loads(run(["compare", "run", "--json"], capsys))
    assert compared["split"] == "test" and sorted(e["name"] for e in compared["entries"]) == [
        f"run: {kind}" for kind in sorted(PLUGS)
    ]
    losses = {e["figures"]["test"]["MTL-Loss"]["0"] for e in compared["entries"]}
    assert len(losses) == len(PLUGS), "each is a model of its own"
    text = run(["compare", "run", "--full"], capsys)
    assert all(f"run: {kind}" in text for kind in PLUGS)
