"""The table of sizes on a tiny data set: the script's figures are those of the files."""

import runpy

import pytest

from automtl.files import read_json
from automtl.runs import checkpoint
from tests.house import ROOT
from tests.support import write_dataset

script = runpy.run_path(str(ROOT / "scripts/reproduce_mome.py"))


def test_sizes_are_those_of_the_files_and_every_lambda_has_its_row(tmp_path, capsys):
    yaml, figures = write_dataset(tmp_path / "data", rows=200), tmp_path / "figures.json"
    given = [
        "--data",
        str(yaml),
        "--data-dir",
        str(tmp_path / "prepared"),
        "--out",
        str(tmp_path / "runs"),
        "--json",
        str(figures),
    ]
    given += ["--seeds", "0", "--set", "retrain.epochs=1", "--set", "retrain.batch_size=128"]
    script["main"](given)
    rows = read_json(figures)
    assert [row["model"] for row in rows] == ["mmoe", "mome-1e-7", "mome-1e-8", "mome-1e-6"]
    for row in rows:
        (held,) = (tmp_path / "runs" / row["model"]).glob("retrain/*/checkpoint/best.safetensors")
        net = checkpoint.load(held)["net"]
        size = sum(
            t.numel() * t.element_size() for name, t in net.items() if name.startswith("sharing.")
        )
        assert row["sizes"]["experts"] * 2**20 == pytest.approx(size)
        assert (
            row["model"] == "mmoe" or {"before", "after", "kept", "neurons", "live"} <= row.keys()
        )
    printed = capsys.readouterr().out.splitlines()[-13:]
    assert (
        all(line.count("|") == printed[0].count("|") for line in printed[:6])
        and "times smaller" in printed[0]
    )
    script["main"]([*given, "--resume"])
    assert read_json(figures) == rows, "finished models are kept"
