"""`automtl benchmark` as people call it: what it says, how it ends, how it is stopped and gone on
with.
"""

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from scripts.small import SPACE, flags
from tests.support import write_dataset

ENDS = 300  # seconds, on a busy machine
SMALL = [
    *flags([*SPACE, "retrain.batch_size=64"]),
    "--architectures",
    "4",
    "--pilot",
    "2",
    "--epochs",
    "1",
    "--hand-made",
    "none",
]


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("home")).parent


def start(home, *words):
    command = [
        sys.executable,
        "-m",
        "automtl",
        "benchmark",
        "tiny.yaml",
        "--space",
        "automtl_small",
        "--data-dir",
        "cache",
        *SMALL,
        *words,
    ]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        command, cwd=home, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def ended(process):
    out, told = process.communicate(timeout=ENDS)
    return process.returncode, out, told


def test_the_price_comes_first_and_a_folder_must_be_named(home):
    status, out, told = ended(start(home, "--plan", "--json"))
    plan = json.loads(out)
    assert (
        status == 0
        and plan["trainings"] == {"pilot": 4, "table": 5, "fresh": 6}
        and plan["total_seconds"] > 0
    )
    assert plan["rows"]["fit"] > 100 and not (home / "table").exists(), told
    status, _, told = ended(start(home))
    assert status == 2 and "--out: must name the table's folder" in told


@pytest.mark.slow
def test_a_table_is_stopped_gone_on_with_and_told(home):
    process = start(home, "--out", "table", "--anyway")
    limit = time.monotonic() + ENDS
    while (
        not list((home / "table").glob("trainings/*/row.json"))
        and process.poll() is None
        and time.monotonic() < limit
    ):
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    status, _, told = ended(process)
    assert (
        status == 143
        and "every training that ended is kept; go on with: automtl benchmark tiny.yaml" in told
        and "--resume" in told
    )
    status, out, told = ended(start(home, "--out", "table", "--anyway", "--resume", "--json"))
    result = json.loads(out)
    assert status == 0 and result["finished"] and result["trainings"] == result["of"] == 15, told
    assert (
        told.index("trainings to do: pilot") < told.index("seed 0:")
        and result["verdict"]["architectures"] == 2
    )
    status, out, told = ended(start(home, "--out", "table", "--anyway", "--resume"))
    assert status == 0 and "15 of 15 trainings" in told and "cross(1)" in out and "constant" in out
