"""Commands that are stopped by signals, by numbers that are not finite and by memory: exit status
and what they say.
"""

import os
import shlex
import signal
from pathlib import Path

import pytest
import torch

from automtl.runs.manifest import Manifest
from automtl.runs.run_dir import PhaseDir
from tests.cli.test_errors import run
from tests.support import write_dataset

RETRAIN = ["retrain", "mmoe", "--data", "data/tiny.yaml", "--fast-dev-run", "--out"]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("AUTOMTL_DATA_DIR", str(tmp_path / "cache"))
    write_dataset(tmp_path / "data")


def test_numbers_that_are_not_finite_are_exit_4(capfd):
    assert (
        run(
            [
                *RETRAIN,
                "new",
                "--set",
                "retrain.lr=1e30",
                "--set",
                "retrain.clip_norm=1e30",
                "--set",
                "retrain.batch_size=64",
            ]
        )
        == 4
    )
    assert "must be finite" in capfd.readouterr().err


def test_memory_that_runs_out_is_exit_3(capfd, monkeypatch):
    def full(self, inputs):
        raise MemoryError

    monkeypatch.setattr("automtl.models.skeleton.MultiTaskNet.forward", full)
    assert run([*RETRAIN, "new"]) == 3
    assert "memory: must hold a batch (retrain.batch_size = 1024)" in capfd.readouterr().err


def test_an_operation_that_cannot_repeat_itself_is_refused_by_name(capfd, monkeypatch):
    def varying(self, inputs):
        return torch.zeros(3).put_(torch.tensor([1]), torch.tensor([1.0]))

    monkeypatch.setattr("automtl.models.skeleton.MultiTaskNet.forward", varying)
    try:
        assert run([*RETRAIN, "new", "--deterministic"]) == 2
    finally:
        torch.use_deterministic_algorithms(False)
    assert (
        "--deterministic: needs operations that repeat themselves to the bit, got put_"
        in capfd.readouterr().err
    )


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_command_names_the_one_that_goes_on(number, capfd, monkeypatch):
    def stop(self, event, epochs):
        os.kill(os.getpid(), number)

    with monkeypatch.context() as patched:
        patched.setattr("automtl.cli.progress.ConsoleReporter.step", stop)
        assert run([*RETRAIN, "new folder"]) == 128 + number
    said = capfd.readouterr().err.splitlines()[-1]
    assert said.startswith("error: interrupted; everything up to this step is kept; go on with: ")
    assert shlex.split(said.partition("go on with: ")[2]) == [
        "automtl",
        *RETRAIN,
        "new folder",
        "--resume",
    ]
    assert run([*RETRAIN, "new folder", "--resume"]) == 0
    assert run(["status", "new folder"]) == 0


def test_what_cannot_be_resumed_is_said(capfd):
    assert run([*RETRAIN[:-1], "--resume"]) == 2
    assert "--resume: needs --out" in capfd.readouterr().err
    assert run([*RETRAIN, "absent", "--resume"]) == 2
    assert "absent: must be a run folder, got no such folder" in capfd.readouterr().err


def test_on_nan_and_deterministic_act_and_are_kept(capfd, monkeypatch):
    asked = []
    monkeypatch.setattr(torch, "use_deterministic_algorithms", asked.append)
    monkeypatch.setattr(torch, "are_deterministic_algorithms_enabled", lambda: bool(asked))
    assert run([*RETRAIN, "new", "--deterministic", "--on-nan", "skip", "--threads", "1"]) == 0
    folder = PhaseDir(Path("new/retrain/mmoe-s0"))
    machine = Manifest.read(folder.manifest).values["machine"]
    assert asked == [True] and machine["deterministic"] and machine["threads"] == 1
    assert "on_nan: skip" in folder.config.read_text()
    assert run([*RETRAIN, "other", "--on-nan", "jump"]) == 2
