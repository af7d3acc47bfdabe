"""A model that predicts the same of every row."""

from collections.abc import Sequence

import numpy as np

from automtl.training.metrics.evaluation import Predictions


def constant_predictions(
    outputs: Sequence[np.ndarray],
    labels: np.ndarray,
    weights: np.ndarray | None,
    rows: np.ndarray,
) -> Predictions:
    """The predictions of a constant.

    Shape: of a task's output () or (K,), labels and weights (n, T), rows (n,).

    Args:
        outputs: per task, as its network would say them: a logit, K logits, or a value in
            standardised units.
        labels: of the rows.
        weights: of the labels.
        rows: numbers of the rows in their split.
    """
    repeated = [
        np.broadcast_to(output, (len(rows), *output.shape)).astype(np.float32) for output in outputs
    ]
    return Predictions(repeated, labels, weights, rows)
