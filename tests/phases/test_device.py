"""What a phase sets on the machine: memory that is freed goes back to the kernel."""

import platform
import subprocess
import sys
import time

import pytest
import torch

from automtl.phases.retrain import retrain
from automtl.phases.retrain.plan import plan_retrain
from automtl.phases.run import device
from automtl.phases.run.device import Trimmer, bfloat16_factor, fast_bfloat16, warn_of_slow_bfloat16
from automtl.phases.run.reporter import Silent
from tests.support import write_dataset

CPU = torch.device("cpu")

# Blocks that are freed between blocks that stay: kept by the process, since the end of its heap is
# in use.
HOLES = """
import torch
from pathlib import Path
from automtl.phases.run.device import Trimmer, set_allocator

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


@pytest.fixture
def emulated(monkeypatch):
    """A processor that has to emulate bfloat16, and a process that has said nothing of it."""
    monkeypatch.setattr(device, "fast_bfloat16", lambda device: False)
    monkeypatch.setattr(device, "bfloat16_factor", lambda device: 12.345)
    monkeypatch.setattr(device, "_SAID", set())


def test_slow_bfloat16_is_said_once_with_its_factor(emulated):
    said = []
    warn_of_slow_bfloat16("float32", CPU, said.append)
    assert not said
    for _ in range(2):
        warn_of_slow_bfloat16("bfloat16", CPU, said.append)
    [warning] = said
    assert (
        "take 12.3 times as long as in float32" in warning
        and "runtime.precision=float32" in warning
    )


@pytest.mark.parametrize(("fast", "factor"), [(True, 9.0), (False, 0.6), (False, 1.05)])
def test_nothing_is_said_where_it_is_not_slow(emulated, monkeypatch, fast, factor):
    monkeypatch.setattr(device, "fast_bfloat16", lambda device: fast)
    monkeypatch.setattr(device, "bfloat16_factor", lambda device: factor)
    said = []
    warn_of_slow_bfloat16("bfloat16", CPU, said.append)
    assert not said


def test_the_factor_is_measured_in_little_time_and_without_random_numbers():
    bfloat16_factor(CPU)  # the process's first products make ready
    state, start = torch.get_rng_state(), time.process_time()
    factor = bfloat16_factor(CPU)
    # some .1 s on an idle machine
    assert time.process_time() - start < 2.0 * torch.get_num_threads()
    assert torch.equal(state, torch.get_rng_state())
    assert factor > 0
    if not fast_bfloat16(CPU) and platform.machine() == "x86_64":
        assert factor > 1.1


def test_training_says_it_and_evaluation_does_not(emulated, tmp_path, monkeypatch):
    from automtl.phases.finished.evaluate import evaluate_runs

    class Told(Silent):
        def __init__(self):
            self.lines = []

        def say(self, text):
            self.lines.append(text)

    data, told = write_dataset(tmp_path / "data", rows=200), Told()
    sets = ["runtime.precision=bfloat16", "retrain.epochs=1", "retrain.batch_size=64"]
    flags = {"data": {"dir": str(tmp_path / "cache")}}
    plan = plan_retrain(
        "shared_bottom",
        data=str(data),
        sharing=None,
        config_file=None,
        sets=sets,
        flags=flags,
        out=tmp_path / "run",
    )
    for seeded in plan.seeded([0, 1]):
        retrain(plan.architecture, seeded, run=plan.run, label=plan.label, reporter=told)
    assert sum("bfloat16" in line for line in told.lines) == 1
    monkeypatch.setattr(device, "_SAID", set())
    told.lines.clear()
    evaluate_runs([tmp_path / "run"], device="cpu", reporter=told)
    assert not [line for line in told.lines if "bfloat16" in line]
