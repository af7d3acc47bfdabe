"""What predictions are worth, per task, in float64 over all rows that have the label.

A metric that is undefined is None: AUC of one class, calibration without a positive, anything over
no rows.
Legend: n rows, C classes. AUC lives in `auc.py`, grouped AUC in `gauc.py`.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import ArrayLike
from scipy.special import log_softmax

from automtl.data.store.schema import Task
from automtl.errors import DataError, NumericalError
from automtl.training.metrics.answers import answers_of
from automtl.training.metrics.auc import Array, auc, check_weights
from automtl.training.metrics.gauc import gauc

PIECE = 2**17  # rows whose float64 temporaries stay in cache
EPS = 1e-15  # probabilities are clipped to [EPS, 1 - EPS] before the logarithm
Metrics = dict[str, float | None]


def _mean(
    element: Callable[..., Array], *columns: ArrayLike, weights: ArrayLike | None = None
) -> float | None:
    """Weighted mean of element(*columns) over rows, taken in pieces; None where there is no
    weight.
    """
    arrays = [np.asarray(column) for column in columns]
    shares = None if weights is None else np.asarray(weights)
    sums, totals = [], []
    for start in range(0, len(arrays[0]), PIECE):
        part = slice(start, start + PIECE)
        values = element(*(array[part].astype(np.float64) for array in arrays))
        share = np.ones(len(values)) if shares is None else shares[part].astype(np.float64)
        sums.append(float((values * share).sum()))
        totals.append(float(share.sum()))
    total = math.fsum(totals)
    return math.fsum(sums) / total if total else None


def log_loss(
    labels: ArrayLike,
    probabilities: ArrayLike,
    weights: ArrayLike | None = None,
    *,
    eps: float = EPS,
) -> float | None:
    """Binary cross entropy in nats; probabilities are clipped to [eps, 1 - eps]. Shape: (n,)
    each.
    """

    def element(y: Array, p: Array) -> Array:
        p = np.clip(p, eps, 1 - eps)
        costs: Array = -(y * np.log(p) + (1 - y) * np.log1p(-p))
        return costs

    return _mean(element, labels, probabilities, weights=weights)


def normalised_entropy(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None
) -> float | None:
    """Log loss over the entropy of the labels' own rate (He et al. 2014): below 1 is better than
    that constant.

    Shape: (n,) each. None where only one class is there.
    """
    loss = log_loss(labels, probabilities, weights)
    base = _mean(lambda y: y, labels, weights=weights)
    if loss is None or base is None or not 0 < base < 1:
        return None
    return loss / -(base * math.log(base) + (1 - base) * math.log1p(-base))


def calibration(
    labels: ArrayLike, probabilities: ArrayLike, weights: ArrayLike | None = None
) -> float | None:
    """Sum of the predicted over sum of the observed: 1 is right, above 1 promises too much. Shape:
    (n,) each.
    """
    predicted = _mean(lambda p: p, probabilities, weights=weights)
    observed = _mean(lambda y: y, labels, weights=weights)
    return predicted / observed if predicted is not None and observed else None


def rmse(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> float | None:
    """Root of the mean square error, in the label's unit. Shape: (n,) each."""
    mean = _mean(lambda y, p: (y - p) ** 2, labels, predictions, weights=weights)
    return None if mean is None else math.sqrt(mean)


def mae(
    labels: ArrayLike, predictions: ArrayLike, weights: ArrayLike | None = None
) -> float | None:
    """Mean absolute error, in the label's unit. Shape: (n,) each."""
    return _mean(lambda y, p: np.abs(y - p), labels, predictions, weights=weights)


def accuracy(
    labels: ArrayLike, logits: ArrayLike, weights: ArrayLike | None = None
) -> float | None:
    """Share of rows whose class has the largest logit, the first of equals. Shape: labels (n,),
    logits (n, C).
    """
    return _mean(
        lambda y, z: (z.argmax(axis=1) == y).astype(np.float64), labels, logits, weights=weights
    )


def multiclass_log_loss(
    labels: ArrayLike, logits: ArrayLike, weights: ArrayLike | None = None
) -> float | None:
    """Cross entropy in nats, from logits and so without clipping. Shape: labels (n,), logits (n,
    C).
    """
    return _mean(
        lambda y, z: -log_softmax(z, axis=1)[np.arange(len(y)), y.astype(np.intp)],
        labels,
        logits,
        weights=weights,
    )


def macro_auc(
    labels: ArrayLike, logits: ArrayLike, weights: ArrayLike | None = None
) -> float | None:
    """Mean over classes of the AUC of that class against the rest; None where one of the C classes
    is not there.

    Ranked by the logarithm of the class's probability. Shape: labels (n,), logits (n, C).
    """
    marks = np.asarray(labels)
    scores = log_softmax(np.asarray(logits, dtype=np.float64), axis=1)
    areas = [
        auc(marks == c, scores[:, c], weights, threads=torch.get_num_threads())
        for c in range(scores.shape[1])
    ]
    defined = [value for value in areas if value is not None]
    return math.fsum(defined) / len(defined) if defined and len(defined) == len(areas) else None


def _binary(
    task: Task, logits: Array, labels: Array, weights: Array | None, groups: Array | None
) -> Metrics:
    threads = torch.get_num_threads()
    metrics: Metrics = {
        "positives": int(np.count_nonzero(labels)),
        "auc": auc(labels, logits, weights, threads=threads),
    }
    if groups is not None:
        metrics["gauc"] = gauc(labels, logits, groups, weights)
    p = answers_of(task, logits)
    scores = {"logloss": log_loss, "ne": normalised_entropy, "calibration": calibration}
    return metrics | {name: score(labels, p, weights) for name, score in scores.items()}


def _multiclass(
    task: Task, logits: Array, labels: Array, weights: Array | None, groups: Array | None
) -> Metrics:
    if len(other := labels[~np.isin(labels, np.arange(logits.shape[1]))]):
        raise DataError(
            f"task {task.name}",
            f"labels must be a class from 0 to {logits.shape[1] - 1}",
            f"{other[0]:g}",
        )
    scores = {"accuracy": accuracy, "logloss": multiclass_log_loss, "auc": macro_auc}
    return {name: score(labels, logits, weights) for name, score in scores.items()}


def _regression(
    task: Task, standardised: Array, labels: Array, weights: Array | None, groups: Array | None
) -> Metrics:
    prediction = answers_of(task, standardised)
    return {"rmse": rmse(labels, prediction, weights), "mae": mae(labels, prediction, weights)}


EVALUATORS = {"binary": _binary, "multiclass": _multiclass, "regression": _regression}


def evaluate_task(
    task: Task,
    prediction: Array,
    labels: Array,
    weights: Array | None = None,
    groups: Array | None = None,
) -> Metrics:
    """Every metric of one task over the rows that have its label.

    Binary: positives, auc, gauc (with groups), logloss, ne, calibration. Multiclass: accuracy,
    logloss, auc (macro).
    Regression: rmse, mae. All of them: rows.

    Shape: prediction (n,) or (n, C); labels, weights, groups (n,).

    Args:
        task: its kind, and the mean and standard deviation of its training labels.
        prediction: what the network gives: logits, or the label in standardised units.
        labels: 0/1, class index or number; NaN where missing.
        weights: of the rows; None: 1 each.
        groups: whose AUCs to average; None: no gauc.

    Raises:
        NumericalError: a prediction is NaN or infinite.
        DataError: a label or a weight that cannot be.
    """
    if not np.isfinite(prediction).all():
        got = f"{int((~np.isfinite(prediction)).sum())} that are not"
        raise NumericalError(
            f"task {task.name}", "predictions must be finite", got, "lower the learning rate"
        )
    present = ~np.isnan(labels)
    if not present.all():
        prediction, labels = prediction[present], labels[present]
        weights, groups = (None if array is None else array[present] for array in (weights, groups))
    if weights is not None:
        check_weights(f"task {task.name}", weights)
    return {"rows": len(labels), **EVALUATORS[task.kind](task, prediction, labels, weights, groups)}
