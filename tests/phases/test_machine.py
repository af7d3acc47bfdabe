"""What a phase sets on the machine: memory that is freed goes back to the kernel."""

import platform
import subprocess
import sys

from automtl.phases.machine import Trimmer

# Blocks that are freed between blocks that stay: kept by the process, since the end of its heap is in use.
HOLES = """
import torch
from pathlib import Path
from automtl.phases.machine import Trimmer, set_allocator

def resident() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))

assert set_allocator("keep") == "keep"
blocks = [torch.ones(2**18) for _ in range(200)]  # 200 MiB
full = resident()
del blocks[:-1:2]
kept = resident()
assert Trimmer(every_s=0)()
print(full, kept, resident())
"""


def test_freed_memory_goes_back_where_it_lies_between_what_is_in_use():
    if platform.libc_ver()[0] != "glibc":  # whose allocator it is
        assert not Trimmer(every_s=0)()
        return
    done = subprocess.run([sys.executable, "-c", HOLES], capture_output=True, text=True, check=True)
    full, kept, trimmed = (int(word) / 1024 for word in done.stdout.split())
    assert kept > full - 10
    assert trimmed < full - 80


def test_not_before_it_is_time():
    trim = Trimmer()
    assert not trim()
    trim.every_s = 0
    assert trim() == (platform.libc_ver()[0] == "glibc")
    trim.every_s = 60
    assert not trim()
