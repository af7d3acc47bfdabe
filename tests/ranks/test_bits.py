"""One process computes what it computed before there were ranks: the checksums that
`scripts/same_bits.py` made at the commit tagged before-P (489a6d2).
"""

import subprocess
import sys

import pytest
import torch

from tests.house import ROOT

MADE_BY = ("2.13.0+cpu", "AVX2")  # torch's version, and which instructions it used


@pytest.mark.slow
def test_one_process_has_the_bits_of_before_the_ranks():
    here = (torch.__version__, torch.backends.cpu.get_cpu_capability())
    if here != MADE_BY:
        pytest.skip(f"the bits were made by {MADE_BY}, this is {here}")
    script = [sys.executable, ROOT / "scripts" / "same_bits.py"]
    compare = [*script, "--against", ROOT / "tests" / "golden" / "bits.json"]
    done = subprocess.run(compare, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
