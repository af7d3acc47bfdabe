"""The script that kills commands: a few kills of it, in a process of its own since it forks."""

import os
import subprocess
import sys
from pathlib import Path


def test_killed_retrains_end_in_the_bits_of_an_undisturbed_one():
    root = Path(__file__).parents[1]
    words = [sys.executable, "scripts/chaos.py", "--kills", "3", "--commands", "retrain mmoe, two seeds"]
    done = subprocess.run(words, cwd=root, capture_output=True, text=True, timeout=600, env={**os.environ, "PYTHONPATH": str(root)})
    assert done.returncode == 0, done.stdout + done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("| retrain mmoe"))
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert int(cells[2]) + int(cells[3]) >= 3 and cells[5:] == ["0", "0", "0"]
    assert "every run ended in the bits of its reference" in done.stdout
