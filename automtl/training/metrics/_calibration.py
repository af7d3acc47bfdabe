"""Reliability tables: do predictions mean what they say, over the range of the predictions?

Shapes: n rows, C classes.
"""

from typing import TypedDict

import numpy as np

from automtl.data.store.schema import Task
from automtl.training.metrics.answers import answers_of

BINS = 20


class Bin(TypedDict):
    """Rows with neighbouring predictions: weighted mean prediction, weighted mean label, and how
    many rows.
    """

    prediction: float
    label: float
    rows: int


def reliability(
    prediction: np.ndarray,
    label: np.ndarray,
    weights: np.ndarray | None = None,
    *,
    bins: int = BINS,
) -> list[Bin]:
    """Mean prediction against mean label over bins of (nearly) equal numbers of rows, in the order
    of the predictions.

    Rows with one prediction stay in one bin, so that the order of rows never matters; a bin may
    therefore be larger, and there may be fewer bins. Means are over weights, in float64.

    Args:
        prediction: (n,) probabilities, or values in the label's unit.
        label: (n,), NaN where missing; such rows are left out.
        weights: (n,), or None where every row counts one.
        bins: the most bins.
    """
    labelled = ~np.isnan(label)
    p, y = prediction[labelled].astype(np.float64), label[labelled].astype(np.float64)
    w = np.ones_like(p) if weights is None else weights[labelled].astype(np.float64)
    order = np.argsort(p, kind="stable")
    p = p[order]
    y = y[order]
    w = w[order]
    edges = (
        np.searchsorted(p, p[np.arange(1, bins) * len(p) // bins], side="left")
        if len(p)
        else np.empty(0, int)
    )
    pieces = [
        slice(a, b)
        for a, b in zip([0, *edges], [*edges, len(p)], strict=True)
        if a < b and w[a:b].sum() > 0
    ]
    return [
        {
            "prediction": float(np.average(p[s], weights=w[s])),
            "label": float(np.average(y[s], weights=w[s])),
            "rows": int(s.stop - s.start),
        }
        for s in pieces
    ]


def task_reliability(
    task: Task, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None
) -> list[Bin]:
    """The reliability table of a task's outputs.

    Binary: probability against positives. Regression: value against label, in the label's unit.
    Multiclass: the largest probability against whether that class was right.

    Shape: logits (n,) or (n, C); labels (n,), NaN where missing; weights (n,) or None.
    """
    values = answers_of(task, logits)
    if task.kind != "multiclass":
        return reliability(values, labels, weights)
    right = np.where(np.isnan(labels), np.nan, logits.argmax(axis=1) == labels)
    return reliability(values.max(axis=1), right, weights)
