"""What each row, or group of rows, has to do with a model's loss, so that the variance over rows of
a difference between two models is known.

Legend: n rows, U units (rows, or the groups that rows come in), w row weights.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from automtl.data.store.schema import Task
from automtl.statistics import ONE_UNIT
from automtl.training.losses import task_weights
from automtl.training.metrics.evaluation import Predictions, losses_by_row


class Influence(NamedTuple):
    """A loss, and what every unit adds to it.

    Attributes:
        loss: the MTL-Loss; None where a task has no label.
        units: (U,) e_u, the sum over the unit's rows of sum_k w_k w (l - L_k) / sum(w); they sum to
            0, and `variance` is made of their squares (a ratio's, by linearisation; Cochran 1977,
            section 6.3).
        tasks: the same of each task's own loss; () of a task's.
    """

    loss: float | None
    units: np.ndarray
    tasks: "tuple[Influence, ...]" = ()


def influence(
    predictions: Predictions, tasks: Sequence[Task], groups: np.ndarray | None = None
) -> Influence:
    """The MTL-Loss of some predictions with what every unit adds to it.

    Args:
        predictions: of the rows.
        tasks: in the order of the predictions.
        groups: (n,) whose rows stay together; None: every row is a unit.
    """
    unit = None if groups is None else np.unique(groups, return_inverse=True)[1]
    total, whole = np.zeros(len(predictions.rows)), 0.0
    of_tasks: list[Influence] = []
    for t, (task, share) in enumerate(zip(tasks, task_weights(tasks), strict=True)):
        weights = None if predictions.weights is None else predictions.weights[:, t]
        rows = losses_by_row(task, predictions.logits[t], predictions.labels[:, t], weights)
        mean = rows.mean
        if mean is None:
            return Influence(None, np.zeros(0))
        gap = (rows.losses - mean) * rows.weights / rows.weights.sum()
        # of any value where there is no label
        own = np.where(rows.weights.numpy() > 0, gap.numpy(), 0.0)
        of_tasks.append(Influence(mean, _by_unit(own, unit)))
        total += share * own
        whole += share * mean
    return Influence(whole, _by_unit(total, unit), tuple(of_tasks))


def _by_unit(values: np.ndarray, unit: np.ndarray | None) -> np.ndarray:
    return values if unit is None else np.bincount(unit, weights=values)


def variance(first: np.ndarray, second: np.ndarray, equal: float | None = None) -> float:
    """The variance over units of the difference of two losses on the same rows.

    Args:
        first: (U,) what every unit adds to the one.
        second: likewise to the other.
        equal: their `equal_units`; None: all U count alike.
    """
    gap, units = first - second, len(first) if equal is None else equal
    return float(gap @ gap) * units / (units - 1) if units > ONE_UNIT else float("inf")


def shares(
    labels: np.ndarray,
    weights: np.ndarray | None,
    tasks: Sequence[Task],
    groups: np.ndarray | None = None,
) -> np.ndarray:
    """The share of every unit in the weight of the MTL-Loss: large for the few rows that have a
    label of a task that most rows lack. Shape: (U,).

    Args:
        labels: (n, T), NaN where there is none.
        weights: (n, T) of the labels.
        tasks: T.
        groups: (n,) as of `influence`.
    """
    share: np.ndarray = np.zeros(len(labels))
    for t, of_task in enumerate(task_weights(tasks)):
        known = ~np.isnan(labels[:, t]) * (1.0 if weights is None else weights[:, t].astype(float))
        share += of_task * known / (known.sum() or 1.0)
    if groups is None:
        return share
    return np.bincount(np.unique(groups, return_inverse=True)[1], weights=share)
