import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from automtl.reports.load import load_run
from automtl.reports.tables import Estimate, leaderboard, models
from tests.reports.architectures import searched
from tests.reports.runs import write_json, write_retrain, write_run

SEEDS = (0.71, 0.74, 0.735, 0.72)


def test_the_interval_is_student_s():
    low, high = stats.t.interval(0.95, 3, loc=np.mean(SEEDS), scale=stats.sem(SEEDS))
    estimate = Estimate(SEEDS)
    assert (estimate.mean - estimate.half, estimate.mean + estimate.half) == pytest.approx(
        (low, high)
    )
    assert Estimate((0.7,)).half is None


def judge(folder: Path, loss: float, auc: float | None, split: str = "test") -> None:
    figures = {"tasks": {"click": {"auc": auc, "rows": 5}}, "loss": loss, "losses": {"click": loss}}
    write_json(folder / "results.json", {"best_epochs": [0], "validation": figures, split: figures})


def test_models_are_ordered_by_loss_and_seeds_are_averaged(tmp_path):
    architecture = searched(1, 2)
    for seed, loss in enumerate((0.5, 0.6)):
        judge(write_retrain(tmp_path / "a", architecture, seed=seed), loss, 0.8 + seed / 10)
    judge(write_retrain(tmp_path / "b", architecture, label="mmoe"), 0.3, None)
    made = models([load_run(tmp_path / "a"), load_run(tmp_path / "b")])
    assert [m.name for m in made] == ["mmoe", "selected"] and {m.split for m in made} == {"test"}
    frame = leaderboard([load_run(tmp_path / "a"), load_run(tmp_path / "b")]).set_index("model")
    assert (
        frame.loc["selected", "MTL-Loss"] == pytest.approx(0.55)
        and frame.loc["selected", "seeds"] == 2
    )
    assert frame.loc["selected", "click auc"] == pytest.approx(0.85)
    assert frame.loc["selected", "click auc sd"] == pytest.approx(np.std([0.8, 0.9], ddof=1))
    assert math.isnan(frame.loc["mmoe", "click auc"]), "undefined stays undefined"


def test_figures_are_of_validation_rows_until_all_have_seen_the_test_rows(tmp_path):
    architecture = searched(1, 2)
    judge(write_retrain(tmp_path / "a", architecture), 0.5, 0.8)
    judge(write_retrain(tmp_path / "b", architecture), 0.5, 0.8, split="validation")
    assert {m.split for m in models([load_run(tmp_path / "a"), load_run(tmp_path / "b")])} == {
        "validation"
    }


def test_a_run_without_models_has_an_empty_leaderboard(tmp_path):
    assert leaderboard([load_run(write_run(tmp_path / "run", seeds=()))]).empty
