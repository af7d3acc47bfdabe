"""Metrics against scikit-learn, scipy and numpy by hand."""

import math

import numpy as np
import pytest
import scipy.stats
from sklearn import metrics as sklearn

from automtl.data.store.schema import Task
from automtl.errors import DataError, NumericalError
from automtl.training.metrics import _metrics
from automtl.training.metrics._metrics import (
    accuracy,
    calibration,
    evaluate_task,
    log_loss,
    macro_auc,
    mae,
    multiclass_log_loss,
    normalised_entropy,
    rmse,
)

RNG = np.random.default_rng(0)
N = 500
LABELS, LOGITS, WEIGHTS = (
    (RNG.random(N) < 0.3).astype(np.float32),
    RNG.standard_normal(N).astype(np.float32),
    RNG.random(N) + 0.1,
)
PROBABILITIES = 1 / (1 + np.exp(-LOGITS.astype(np.float64)))
CLASSES, CLASS_LOGITS = (
    RNG.integers(0, 4, N).astype(np.float32),
    RNG.standard_normal((N, 4)).astype(np.float32),
)
BINARY, MULTICLASS = (
    Task(name="click", kind="binary"),
    Task(name="genre", kind="multiclass", classes=4),
)
REGRESSION = Task(name="seconds", kind="regression", mean=10.0, std=4.0)


@pytest.fixture(params=[2**17, 64], ids=["one piece", "pieces"], autouse=True)
def _pieces(request, monkeypatch):
    monkeypatch.setattr(_metrics, "PIECE", request.param)


@pytest.fixture(params=[None, WEIGHTS], ids=["plain", "weighted"])
def weights(request):
    return request.param


def close(expected):
    return pytest.approx(expected, rel=1e-12)


def test_log_loss_equals_scikit_learn(weights):
    assert log_loss(LABELS, PROBABILITIES, weights) == close(
        sklearn.log_loss(LABELS, PROBABILITIES, sample_weight=weights)
    )


def test_log_loss_is_clipped_at_eps():
    assert log_loss([1, 0], [0.0, 0.0]) == close((-math.log(1e-15) - math.log1p(-1e-15)) / 2)
    # 1 - 1e-15 is no float64
    assert log_loss([0], [1.0]) == pytest.approx(-math.log(1e-15), rel=1e-3)
    assert log_loss([1], [0.0], eps=1e-3) == close(-math.log(1e-3))


def test_normalised_entropy_is_log_loss_over_scipys_entropy(weights):
    base = np.average(LABELS.astype(np.float64), weights=weights)
    expected = sklearn.log_loss(LABELS, PROBABILITIES, sample_weight=weights) / scipy.stats.entropy(
        [base, 1 - base]
    )
    assert normalised_entropy(LABELS, PROBABILITIES, weights) == close(expected)
    assert normalised_entropy(LABELS, np.full(N, base), weights) == close(1.0)


def test_calibration_is_the_ratio_of_the_sums(weights):
    w = np.ones(N) if weights is None else weights
    assert calibration(LABELS, PROBABILITIES, weights) == close(
        (w * PROBABILITIES).sum() / (w * LABELS).sum()
    )
    assert calibration([1, 0, 0, 0], [0.5, 0.5, 0.5, 0.5]) == 2.0


def test_errors_of_a_regression_equal_scikit_learn(weights):
    labels, predictions = LOGITS * 3, LOGITS.astype(np.float64) + RNG.random(N)
    assert rmse(labels, predictions, weights) == close(
        sklearn.root_mean_squared_error(labels, predictions, sample_weight=weights)
    )
    assert mae(labels, predictions, weights) == close(
        sklearn.mean_absolute_error(labels, predictions, sample_weight=weights)
    )


def test_multiclass_metrics_equal_scikit_learn(weights):
    p = np.exp(CLASS_LOGITS.astype(np.float64))
    p /= p.sum(1, keepdims=True)
    assert accuracy(CLASSES, CLASS_LOGITS, weights) == close(
        sklearn.accuracy_score(CLASSES, p.argmax(1), sample_weight=weights)
    )
    assert multiclass_log_loss(CLASSES, CLASS_LOGITS, weights) == close(
        sklearn.log_loss(CLASSES, p, sample_weight=weights)
    )
    expected = np.mean(
        [sklearn.roc_auc_score(c == CLASSES, p[:, c], sample_weight=weights) for c in range(4)]
    )
    assert macro_auc(CLASSES, CLASS_LOGITS, weights) == close(expected)
    if weights is None:
        assert expected == close(sklearn.roc_auc_score(CLASSES, p, multi_class="ovr"))


def test_macro_auc_without_one_of_the_classes_is_undefined():
    assert macro_auc(np.minimum(CLASSES, 2), CLASS_LOGITS) is None


def test_undefined_is_none():
    nothing = np.zeros(0)
    assert [
        f(nothing, nothing) for f in (log_loss, normalised_entropy, calibration, rmse, mae)
    ] == [None] * 5
    assert [f(nothing, np.zeros((0, 3))) for f in (accuracy, multiclass_log_loss, macro_auc)] == [
        None
    ] * 3
    assert log_loss([1, 0], [0.5, 0.5], [0, 0]) is None
    assert calibration([0, 0], [0.5, 0.5]) is None
    assert normalised_entropy([1, 1], [0.5, 0.5]) is None
    assert normalised_entropy([0, 0], [0.5, 0.5]) is None


def with_gaps(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gaps = labels.astype(np.float32).copy()
    gaps[::7] = np.nan
    return gaps, ~np.isnan(gaps)


def test_evaluate_binary_leaves_out_missing_labels(weights):
    labels, has = with_gaps(LABELS)
    groups = np.arange(N) % 9
    # where the label is missing its weight may be, too
    w = None if weights is None else np.where(has, weights, np.nan)
    got = evaluate_task(BINARY, LOGITS, labels, w, groups)
    kept = None if weights is None else weights[has]
    assert got == {
        "rows": has.sum(),
        "positives": (labels == 1).sum(),
        "auc": close(sklearn.roc_auc_score(LABELS[has], LOGITS[has], sample_weight=kept)),
        "gauc": _metrics.gauc(LABELS[has], LOGITS[has], groups[has], kept),
        "logloss": close(sklearn.log_loss(LABELS[has], PROBABILITIES[has], sample_weight=kept)),
        "ne": normalised_entropy(LABELS[has], PROBABILITIES[has], kept),
        "calibration": calibration(LABELS[has], PROBABILITIES[has], kept),
    }
    assert "gauc" not in evaluate_task(BINARY, LOGITS, labels)


def test_evaluate_multiclass(weights):
    labels, has = with_gaps(CLASSES)
    kept = None if weights is None else weights[has]
    assert evaluate_task(MULTICLASS, CLASS_LOGITS, labels, weights) == {
        "rows": has.sum(),
        "accuracy": accuracy(CLASSES[has], CLASS_LOGITS[has], kept),
        "logloss": multiclass_log_loss(CLASSES[has], CLASS_LOGITS[has], kept),
        "auc": macro_auc(CLASSES[has], CLASS_LOGITS[has], kept),
    }


def test_evaluate_regression_is_in_the_labels_unit(weights):
    labels, has = with_gaps(10 + 5 * LOGITS)
    error = (4.0 * PROBABILITIES + 10.0 - labels)[has]
    w = None if weights is None else weights[has]
    assert evaluate_task(REGRESSION, PROBABILITIES, labels, weights) == {
        "rows": has.sum(),
        "rmse": close(math.sqrt(np.average(error**2, weights=w))),
        "mae": close(np.average(np.abs(error), weights=w)),
    }


def test_evaluate_without_labels_has_no_metric_and_no_crash():
    missing = np.full(N, np.nan, dtype=np.float32)
    binary = evaluate_task(BINARY, LOGITS, missing, groups=np.zeros(N, dtype=int))
    assert binary == {"rows": 0, "positives": 0} | dict.fromkeys(
        ("auc", "gauc", "logloss", "ne", "calibration")
    )
    assert evaluate_task(MULTICLASS, CLASS_LOGITS, missing) == {
        "rows": 0,
        "accuracy": None,
        "logloss": None,
        "auc": None,
    }
    assert evaluate_task(REGRESSION, LOGITS, missing) == {"rows": 0, "rmse": None, "mae": None}


def test_evaluate_one_class_has_a_loss_but_no_auc():
    got = evaluate_task(BINARY, LOGITS, np.zeros(N))
    assert (got["auc"], got["ne"], got["calibration"], got["positives"]) == (None, None, None, 0)
    assert got["logloss"] == close(-np.log1p(-PROBABILITIES).mean())


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_prediction_that_is_no_number_stops(bad):
    logits = LOGITS.copy()
    logits[3] = bad
    with pytest.raises(
        NumericalError,
        match="task click: predictions must be finite, got 1 that are not; lower the learning rate",
    ):
        evaluate_task(BINARY, logits, LABELS)


def test_labels_and_weights_that_cannot_be_are_refused():
    with pytest.raises(DataError, match="task genre: labels must be a class from 0 to 3"):
        evaluate_task(MULTICLASS, CLASS_LOGITS, CLASSES + 1)
    with pytest.raises(DataError, match="auc: labels must be 0 or 1"):
        evaluate_task(BINARY, LOGITS, CLASSES)
    with pytest.raises(DataError, match="task seconds: weights must be finite"):
        evaluate_task(REGRESSION, LOGITS, LABELS, -WEIGHTS)
