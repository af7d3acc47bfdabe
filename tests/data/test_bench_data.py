"""The data benchmark runs, on a few rows; its figures are no matter here."""

import json
import sys
from pathlib import Path

import pytest

from tests.house import ROOT


def test_it_runs_and_writes_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import bench_data

    bench_data.main(
        [
            "--rows",
            "3000",
            "--memory-rows",
            "3000",
            "--rounds",
            "1",
            "--json",
            str(tmp_path / "figures.json"),
        ]
    )
    sys.modules.pop("bench_data")
    found = json.loads((tmp_path / "figures.json").read_text())["results"]
    assert [result["what"].partition(",")[0] for result in found] == ["batches"] * 2 + [
        "prepare"
    ] * 2 + ["prepare 3"]
    assert all(result["value"] > 0 for result in found)
