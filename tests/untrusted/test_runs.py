"""Runs of strangers: pipes in the place of files, and trained weights that are none."""

import os
import shutil

import pytest
import torch

from automtl.errors import ArtifactError
from automtl.phases.finished.evaluate import evaluate_runs
from automtl.phases.finished.predict import predict_file
from automtl.runs import checkpoint
from automtl.runs.status import status
from tests.phases.stopping import plan, train
from tests.support import write_dataset


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    train(
        plan(write_dataset(folder / "data", rows=300), "mmoe", folder / "run", "retrain.epochs=1")
    )
    return folder


@pytest.fixture
def phase(trained, tmp_path):
    shutil.copytree(trained / "run", tmp_path / "run")
    return tmp_path / "run/retrain/mmoe-s0"


@pytest.mark.parametrize(
    "name",
    [
        "manifest.json",
        "metrics.jsonl",
        "config.yaml",
        "results.json",
        "checkpoint/best.safetensors",
    ],
)
def test_a_pipe_in_the_place_of_a_file_is_refused_and_not_waited_for(name, phase):
    (phase / name).unlink()
    os.mkfifo(phase / name)
    for look in (status, lambda path: evaluate_runs([path])):
        with pytest.raises(ArtifactError, match=rf"{name}: must be a file, got a pipe or a device"):
            look(phase.parents[1])


CHANGES = {
    "nan": (lambda tensor: torch.full_like(tensor, torch.nan), "must be finite"),
    "type": (lambda tensor: tensor.to(torch.int64), r"must be float32 .*got int64"),
    "word": (lambda tensor: "x", "expected"),
}


@pytest.mark.parametrize("change", CHANGES)
def test_weights_that_are_none_are_refused_and_nothing_is_predicted_by_them(change, phase, trained):
    path = phase / "checkpoint/best.safetensors"
    held = checkpoint.load(path)["net"]
    name = next(name for name, tensor in held.items() if tensor.is_floating_point())
    act, told = CHANGES[change]
    checkpoint.save(path, {"net": {**held, name: act(held[name])}})
    out = phase / "out.parquet"
    for use in (
        lambda: evaluate_runs([phase]),
        lambda: predict_file(phase, trained / "data/rows.csv", out),
    ):
        with pytest.raises(
            ArtifactError,
            match=r"best.safetensors: must hold the weights of the architecture beside it, got "
            rf".*{told}",
        ):
            use()
    assert not out.exists()


@pytest.mark.parametrize("place", ["retrain", "retrain/mmoe-s0", "search", "tune"])
def test_a_phase_that_is_a_link_out_of_the_run_is_not_followed(place, phase, tmp_path):
    run = phase.parents[1]
    (tmp_path / "elsewhere").mkdir()
    if (run / place).exists():
        shutil.move(run / place, tmp_path / "elsewhere/moved")
    (run / place).symlink_to(tmp_path / "elsewhere/moved")
    for look in (status, lambda path: evaluate_runs([path])):
        with pytest.raises(
            ArtifactError, match=rf"run/{place}: must not lead out of the run's folder, got a link"
        ):
            look(run)


def test_a_run_may_lie_behind_a_link_and_links_inside_it_may_stay(phase, tmp_path):
    run = phase.parents[1]
    (run / "retrain/again").symlink_to(phase)
    (tmp_path / "linked").symlink_to(run)
    assert status(tmp_path / "linked")
