"""A run with several trained models predicts: the best seed, all of them, or none of two kinds; and
into CSV.
"""

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import automtl
from automtl.errors import ConfigError
from automtl.phases.finished._seeds import models_of
from automtl.phases.finished.predict import predict_file, predict_frame
from automtl.phases.run.reporter import Silent
from tests.support import write_dataset

SMALL = {"retrain": {"epochs": 1, "batch_size": 64}}


class Listener(Silent):
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("seeds")
    write_dataset(folder, rows=300)
    automtl.retrain(
        "shared_bottom",
        data=str(folder / "tiny.yaml"),
        out=folder / "run",
        data_dir=folder / "cache",
        seeds=[0, 1],
        **SMALL,
    )
    return folder


@pytest.fixture
def trained(place, tmp_path):
    """A run with two seeds, of which the second is the better one."""
    shutil.copytree(place / "run", tmp_path / "run")
    return tmp_path / "run"


def losses(run):
    return {
        path.parent.name: json.loads(path.read_text())["validation"]["loss"]
        for path in sorted(run.glob("retrain/*/results.json"))
    }


def test_the_best_seed_on_validation_predicts_and_is_named(trained, place):
    frame, listener = pd.read_csv(place / "rows.csv"), Listener()
    found = losses(trained)
    best = min(found, key=found.get)
    made = predict_frame(trained, frame, reporter=listener)
    alone = predict_frame(trained / "retrain" / best, frame)
    other = predict_frame(trained / "retrain" / max(found, key=found.get), frame)
    pd.testing.assert_frame_equal(made, alone)
    assert not made.equals(other)
    said = f"{best}, the best of 2 seeds (validation MTL-Loss {found[best]:.5f})"
    assert said in listener.said


def test_the_average_is_the_mean_of_probabilities(trained, place):
    frame, listener = pd.read_csv(place / "rows.csv"), Listener()
    made = predict_frame(trained, frame, average=True, reporter=listener)
    parts = [predict_frame(trained / "retrain" / name, frame) for name in losses(trained)]
    for name in ("probs_click", "probs_buy"):
        mean = np.mean([part[name].to_numpy(np.float64) for part in parts], axis=0)
        np.testing.assert_allclose(made[name], mean, rtol=1e-6)
    assert any(line.startswith("mean of 2 seeds: shared_bottom-s0, ") for line in listener.said)


@pytest.mark.parametrize(
    ("monitor", "figures", "best"),
    [
        ("MTL-Loss", (0.5, 0.4), 1),
        ("click auc", (0.7, 0.6), 0),
        ("click logloss", (0.3, 0.2), 1),
        ("MTL-Loss", (None, 0.9), 1),
    ],
)
def test_the_best_is_by_what_picked_the_epoch(monitor, figures, best, trained):
    task, _, metric = monitor.rpartition(" ")
    for path, figure in zip(sorted(trained.glob("retrain/*")), figures, strict=True):
        results = json.loads((path / "results.json").read_text())
        results["monitor"] = monitor
        if task:
            results["validation"]["tasks"][task][metric] = figure
        else:
            results["validation"]["loss"] = figure
        (path / "results.json").write_text(json.dumps(results))
        manifest = json.loads((path / "manifest.json").read_text())
        manifest.pop("sums"), manifest.pop("sha256")
        (path / "manifest.json").write_text(json.dumps(manifest))
    (chosen,) = models_of(trained, average=False, reporter=Silent())
    assert chosen.path.name == f"shared_bottom-s{best}"


def test_two_kinds_of_models_are_refused(trained):
    (trained / "retrain" / "shared_bottom-s1").rename(trained / "retrain" / "mmoe-s1")
    with pytest.raises(ConfigError, match=r"got 2: mmoe, shared_bottom; pass one of them, such as"):
        models_of(trained, average=True, reporter=Silent())


def test_csv_has_the_same_figures_as_parquet(trained, place, tmp_path):
    for name in ("out.csv", "out.parquet"):
        count = predict_file(trained, place / "rows.csv", tmp_path / name, keep=["user"])
        assert count == 300
    csv, parquet = pd.read_csv(tmp_path / "out.csv"), pd.read_parquet(tmp_path / "out.parquet")
    assert list(csv.columns) == ["user", "probs_click", "probs_buy"]
    np.testing.assert_allclose(csv.probs_click, parquet.probs_click, rtol=1e-6)
    assert list(csv.user.astype(str)) == list(parquet.user)
    assert not list(Path(tmp_path).glob("*.tmp"))
