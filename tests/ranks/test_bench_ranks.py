"""The benchmark of ranks runs, and counts what a step gives to the others."""

import subprocess
import sys
from pathlib import Path

import pytest

from automtl.files import read_json

SCRIPT = Path(__file__).parents[2] / "scripts" / "bench_ranks.py"


@pytest.mark.slow
def test_both_steps_are_timed_beside_one_process(tmp_path):
    out = tmp_path / "figures.json"
    small = ["--batch", "32", "--rounds", "2", "--vocabulary", "20", "--json", str(out)]
    done = subprocess.run(
        [sys.executable, str(SCRIPT), *small], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = read_json(out)["rows"]
    assert [(row["step"], row["ranks"]) for row in rows] == [("search", 2), ("retrain", 2)]
    assert [row["collectives"] for row in rows] == [10, 6]
    for row in rows:
        low, high = row["range"]
        assert 0 < low <= row["times_the_rows"] <= high and row["bytes"] > 0
    assert len(done.stdout.splitlines()) == 3
