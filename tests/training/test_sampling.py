"""Logs that left negatives out, against the whole logs that they were drawn from."""

import json

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.metrics import log_loss, roc_auc_score

import automtl
from automtl.data.spec.dataset import load_dataset
from automtl.data.store.schema import Task
from automtl.errors import ConfigError
from automtl.phases.finished.evaluate import evaluate_runs
from automtl.training.metrics.evaluation import Predictions, evaluate
from automtl.training.metrics.sampling import of_whole_log
from tests.support import write_dataset

KEPT = 0.1


def kept_log(rows=400_000, seed=0):
    """A whole log with its true probabilities, and which rows are kept: all positives and a tenth
    of the negatives.
    """
    g = np.random.default_rng(seed)
    truth = expit(g.normal(-3.0, 1.2, rows))
    labels = (g.random(rows) < truth).astype(np.float32)
    return truth, labels, (labels == 1) | (g.random(rows) < KEPT)


def test_the_truth_of_the_kept_rows_becomes_that_of_the_whole_log():
    truth, labels, kept = kept_log()
    # Bayes: what a perfect network of the kept rows says
    among_kept = truth / (truth + (1 - truth) * KEPT)
    counts = {"labelled": int(kept.sum()), "positives": int(labels.sum())}
    tasks = [
        Task(name="click", kind="binary", negatives_kept=KEPT, negatives_kept_test=KEPT, **counts)
    ]
    there = Predictions(
        [logit(among_kept[kept]).astype(np.float32)], labels[kept, None], None, np.flatnonzero(kept)
    )
    corrected, corrected_tasks = of_whole_log(there, tasks)
    judged = evaluate(corrected, corrected_tasks)
    found = judged.tasks["click"]
    rate = labels.mean()
    assert judged.constant["tasks"]["click"]["loss"] == pytest.approx(
        -rate * np.log(rate) - (1 - rate) * np.log1p(-rate), abs=2e-3
    )
    assert judged.constant["tasks"]["click"]["verdict"] == "better"
    np.testing.assert_allclose(expit(corrected.logits[0]), truth[kept], atol=1e-6)
    uncorrected = evaluate(there, [Task(name="click", kind="binary")]).tasks["click"]
    assert found["auc"] == pytest.approx(uncorrected["auc"], abs=1e-9), (
        "order and so AUC are the same"
    )
    whole = log_loss(labels, truth)
    error = np.std(np.where(labels == 1, -np.log(truth), -np.log1p(-truth))) / np.sqrt(kept.sum())
    assert abs(found["logloss"] - whole) < 4 * error and abs(found["calibration"] - 1) < 0.03
    assert found["rows"] == kept.sum() and uncorrected["logloss"] > whole + 0.2


def test_test_rows_with_all_negatives_are_judged_as_they_are():
    truth, labels, _ = kept_log(seed=1)
    among_kept = truth / (truth + (1 - truth) * KEPT)
    tasks = [Task(name="click", kind="binary", negatives_kept=KEPT)]
    all_rows = Predictions(
        [logit(among_kept).astype(np.float32)], labels[:, None], None, np.arange(len(labels))
    )
    found = evaluate(*of_whole_log(all_rows, tasks)).tasks["click"]
    assert found["logloss"] == pytest.approx(log_loss(labels, truth), abs=1e-6)
    assert found["auc"] == pytest.approx(roc_auc_score(labels, truth), abs=1e-7)
    assert found["calibration"] == pytest.approx(truth.sum() / labels.sum(), abs=1e-5)


def test_only_negatives_of_tasks_that_say_so_are_weighed_and_weights_of_rows_stay():
    nan = np.nan
    labels = np.array([[1, 0, 2.5], [0, 1, nan], [nan, 0, 0.0], [0, nan, 1.0]], np.float32)
    tasks = [
        Task(name="click", kind="binary", negatives_kept=0.25, negatives_kept_test=0.25),
        Task(name="buy", kind="binary"),
        Task(name="spend", kind="regression"),
    ]
    given = Predictions(
        [np.zeros(4, np.float32)] * 3, labels, np.full((4, 3), 2.0, np.float32), np.arange(4)
    )
    found, _ = of_whole_log(given, tasks)
    np.testing.assert_array_equal(found.weights, [[2, 2, 2], [8, 2, 2], [2, 2, 2], [8, 2, 2]])
    np.testing.assert_allclose(
        found.logits, [np.full(4, np.log(0.25)), np.zeros(4), np.zeros(4)], rtol=1e-6
    )
    assert (given.weights == 2).all() and of_whole_log(given, tasks[1:])[0] is given


@pytest.mark.parametrize(
    ("task", "message"),
    [
        ("{name: click, label: click, negatives_kept: 0.0}", "greater than 0"),
        ("{name: click, label: click, negatives_kept: 1.5}", "less than or equal to 1"),
        (
            "{name: click, label: click, kind: regression, negatives_kept: .1}",
            "is for binary labels only",
        ),
        ("{name: click, label: click, negatives_kept_test: 1.0}", "needs negatives_kept"),
    ],
)
def test_what_cannot_be_meant_is_refused(task, message, tmp_path):
    path = write_dataset(tmp_path)
    path.write_text(path.read_text().replace("{name: click, label: click}", task))
    with pytest.raises(ConfigError, match=message):
        load_dataset(path)


def test_predict_evaluate_and_export_answer_for_the_whole_log(tmp_path):
    path = write_dataset(tmp_path / "data")
    settings = {"data_dir": tmp_path / "cache", "retrain": {"epochs": 2, "batch_size": 64}}
    automtl.retrain("mmoe", data=path, out=tmp_path / "plain", **settings)
    path.write_text(path.read_text().replace("label: click}", "label: click, negatives_kept: 0.1}"))
    automtl.retrain("mmoe", data=path, out=tmp_path / "kept", **settings)
    rows = pd.read_csv(tmp_path / "data/rows.csv")
    plain, kept = (automtl.predict(tmp_path / name, rows) for name in ("plain", "kept"))
    p = plain["probs_click"].to_numpy(float)
    np.testing.assert_allclose(kept["probs_click"], p / (p + (1 - p) / KEPT), atol=1e-6)
    np.testing.assert_array_equal(kept["probs_buy"], plain["probs_buy"])
    for form in ("onnx", "python"):
        # which compares it with the network itself
        automtl.export(tmp_path / "kept", form, out=tmp_path / form)
    np.testing.assert_allclose(automtl.predict(tmp_path / "onnx", rows), kept, atol=2e-6)
    assert (
        "corrected for the negatives that the log left out of click (0.1 kept)"
        in (tmp_path / "onnx/README.md").read_text()
    )
    (before,), (after,) = (evaluate_runs([tmp_path / name]) for name in ("plain", "kept"))
    click, buy = after.test.tasks["click"], after.test.tasks["buy"]
    assert buy == before.test.tasks["buy"] and click["auc"] == pytest.approx(
        before.test.tasks["click"]["auc"], abs=1e-9
    )
    held = json.loads((tmp_path / "kept/retrain/mmoe-s0/results.json").read_text())
    same = json.loads((tmp_path / "plain/retrain/mmoe-s0/results.json").read_text())
    assert held["validation"] == same["validation"], "epochs are chosen on the rows as they are"
    assert (
        click["rows"] == before.test.tasks["click"]["rows"]
        and click["logloss"] != before.test.tasks["click"]["logloss"]
    )
