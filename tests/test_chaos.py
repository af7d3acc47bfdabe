"""The script that kills commands: a few kills of it, in a process of its own since it forks; and
what it would say of other bits.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import torch

from automtl.runs import checkpoint


def test_lost_doubled_and_differing_are_told_by_their_places(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parents[1] / "scripts")
    import chaos

    for name, epochs, mean in (("whole", [0, 1], 0.5), ("killed", [0, 0], 0.25)):
        folder = tmp_path / name
        (folder / "checkpoint").mkdir(parents=True)
        (folder / "metrics.jsonl").write_text(
            "".join(json.dumps({"epoch": epoch}) + "\n" for epoch in epochs)
        )
        (folder / "cost.json").write_text(json.dumps({"seconds": mean, "rows": 3}))
        checkpoint.save(
            folder / "checkpoint/last.safetensors",
            {"net": {"a": torch.ones(2), "mean": torch.tensor(mean)}, "epoch": 2},
        )
    (tmp_path / "whole/architecture.json").write_text("{}")
    tally = chaos.Tally()
    chaos.compare(tmp_path / "whole", tmp_path / "killed", tally)
    assert (tally.lost, tally.doubled) == (1, 1)
    assert tally.differing == [
        "0: architecture.json is in one of them only",
        "0: checkpoint/last.safetensors at .net.mean (1 in all)",
        "0: metrics.jsonl",
    ]


def test_killed_retrains_end_in_the_bits_of_an_undisturbed_one():
    root = Path(__file__).parents[1]
    words = [
        sys.executable,
        "scripts/chaos.py",
        "--kills",
        "3",
        "--commands",
        "retrain mmoe, two seeds",
    ]
    done = subprocess.run(
        words,
        cwd=root,
        capture_output=True,
        text=True,
        timeout=600,
        env={**os.environ, "PYTHONPATH": str(root)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("| retrain mmoe"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert int(cells[2]) + int(cells[3]) >= 3 and cells[5:] == ["0", "0", "0"]
    assert "every run ended in the bits of its reference" in done.stdout
