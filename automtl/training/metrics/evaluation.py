"""Predictions over a whole split, and what they are worth.

Shapes: n rows of the split, T tasks, C classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import nn

from automtl.data.store.batches import Batches
from automtl.data.store.schema import Task
from automtl.ranks import ALONE, Ranks
from automtl.training.loop import combined
from automtl.training.losses import row_losses, task_weights
from automtl.training.metrics._bootstrap import Resamples
from automtl.training.metrics._calibration import Bin, task_reliability
from automtl.training.metrics._constant import Against, Beside, RowLosses
from automtl.training.metrics._metrics import Metrics, evaluate_task
from automtl.training.replica import add_up_meters


@dataclass(frozen=True)
class Predictions:
    """A network's outputs over a split, in row order.

    Args:
        logits: per task (n,) or (n, C); regression in standardised units.
        labels: (n, T), NaN where missing.
        weights: (n, T), or None where every row counts one.
        rows: (n,) row numbers of the split.
    """

    logits: list[np.ndarray]
    labels: np.ndarray
    weights: np.ndarray | None
    rows: np.ndarray


@dataclass(frozen=True)
class Evaluation:
    """Metrics of one split.

    Args:
        tasks: per task name, its metrics; None where one is undefined.
        loss: MTL-Loss, sum_k w_k L_k; None where a task has no label, or none of a weight above 0.
        losses: per task name, L_k over its labelled rows.
        reliability: per task name, its reliability table, where it was asked for.
        intervals: per binary task's name, the 95% bootstrap interval of its AUC, where it was asked
            for; None where undefined.
        constant: beside the best constant; None in figures of an older version.
    """

    tasks: dict[str, Metrics]
    loss: float | None
    losses: Metrics
    reliability: dict[str, list[Bin]] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float] | None] = field(default_factory=dict)
    constant: Against | None = None

    @property
    def line(self) -> dict[str, Any]:
        """What an epoch's line of metrics.jsonl tells of it; of the constant its MTL-Loss."""
        total = self.constant and self.constant["total"]
        return {"tasks": self.tasks, "loss": self.loss, "constant": total and total["loss"]}

    @property
    def loss_text(self) -> str:
        """The MTL-Loss as people read it."""
        return "undefined" if self.loss is None else f"{self.loss:.5f}"


def predict(
    net: nn.Module,
    batches: Batches,
    *,
    device: torch.device | None = None,
    ranks: Ranks = ALONE,
) -> Predictions:
    """Run a network over batches in evaluation mode, without gradients.

    Args:
        net: the network, the same on all ranks.
        batches: of all rows.
        device: where the network is.
        ranks: those that share the rows; each hands back the predictions of all of them.
    """
    logits: list[list[torch.Tensor]] = []
    labels = []
    weights = []
    rows = []
    sizes = []
    shared = 1 < ranks.size <= batches.num_rows  # else all rows on every rank
    training = net.training
    net.eval()
    try:
        with torch.inference_mode():
            own = batches.of_rank(ranks.rank, ranks.size) if shared else batches
            for batch in own.epoch(0):
                here = batch.to(device, non_blocking=True) if device is not None else batch
                logits.append(list(net(here.inputs)))
                labels.append(batch.labels)
                rows.append(batch.rows)
                sizes.append(batch.step_size)
                if batch.weights is not None:
                    weights.append(batch.weights)
        if shared:
            add_up_meters(net, ranks)
    finally:
        net.train(training)
    outputs = [torch.cat(parts).float().cpu().numpy() for parts in zip(*logits, strict=True)]
    stacked = torch.cat(weights).numpy() if weights else None
    predictions = Predictions(outputs, torch.cat(labels).numpy(), stacked, torch.cat(rows).numpy())
    return _joined(predictions, sizes, ranks) if shared else predictions


def _joined(part: Predictions, sizes: Sequence[int], ranks: Ranks) -> Predictions:
    """The predictions of all ranks, in the order of one process's: of a step of S rows rank r had
    those numbered r, r + W, ...
    """
    starts = np.cumsum([0, *sizes])
    places = [
        np.concatenate([np.arange(a + r, b, ranks.size) for a, b in pairwise(starts)])
        for r in range(ranks.size)
    ]

    def whole(own: np.ndarray) -> np.ndarray:
        joined = np.empty((starts[-1], *own.shape[1:]), own.dtype)
        for place, piece in zip(places, ranks.gathered(own), strict=True):
            joined[place] = piece
        return joined

    weights = None if part.weights is None else whole(part.weights)
    return Predictions([*map(whole, part.logits)], whole(part.labels), weights, whole(part.rows))


def evaluate_slices(
    predictions: Predictions,
    tasks: Sequence[Task],
    codes: np.ndarray,
    names: Sequence[str],
    *,
    groups: np.ndarray | None = None,
) -> dict[str, Evaluation]:
    """Metrics of each slice of the rows, by its name.

    Args:
        predictions: of the whole split.
        tasks: in the order of the predictions.
        codes: (n,) the slice of each row.
        names: of the slices.
        groups: (n,) as for `evaluate`.
    """
    evaluations = {}
    for code, name in enumerate(names):
        rows = np.flatnonzero(codes == code)
        weights = None if predictions.weights is None else predictions.weights[rows]
        part = Predictions(
            [logits[rows] for logits in predictions.logits],
            predictions.labels[rows],
            weights,
            predictions.rows[rows],
        )
        evaluations[name] = evaluate(part, tasks, groups=None if groups is None else groups[rows])
    return evaluations


def evaluate(
    predictions: Predictions,
    tasks: Sequence[Task],
    *,
    reliability: bool = False,
    groups: np.ndarray | None = None,
) -> Evaluation:
    """Metrics per task and the MTL-Loss of a split.

    Args:
        predictions: of the whole split.
        tasks: in the order of the predictions.
        reliability: make the reliability tables too, which sorts the rows once more.
        groups: (n,) whose AUCs GAUC averages, and the units of what is said of the constant; None:
            no GAUC, and rows.

    Raises:
        NumericalError: a prediction is NaN or infinite.
    """
    beside, shares = Beside(len(predictions.rows), groups), task_weights(tasks)
    metrics: dict[str, Metrics] = {}
    losses: Metrics = {}
    tables: dict[str, list[Bin]] = {}
    for t, task in enumerate(tasks):
        logits, labels = predictions.logits[t], predictions.labels[:, t]
        weights = None if predictions.weights is None else predictions.weights[:, t]
        metrics[task.name] = evaluate_task(task, logits, labels, weights, groups)
        rows = losses_by_row(task, logits, labels, weights)
        losses[task.name] = rows.mean
        beside.add(task, shares[t], rows, metrics[task.name])
        if reliability:
            tables[task.name] = task_reliability(task, logits, labels, weights)
    return Evaluation(
        metrics, combined(list(losses.values()), shares), losses, tables, constant=beside.result()
    )


def auc_intervals(
    predictions: Predictions,
    tasks: Sequence[Task],
    *,
    resamples: int,
    units: np.ndarray | None,
    seed: int = 0,
) -> dict[str, tuple[float, float] | None]:
    """Per binary task, the 95% interval of its AUC by the bootstrap.

    Args:
        predictions: of the whole split.
        tasks: in the order of the predictions.
        resamples: how many.
        units: (n,) what is drawn, such as the user of each row; None: rows.
        seed: of the draws; models judged with one seed are judged on the same draws.
    """
    draws = Resamples(resamples, units=units, rows=len(predictions.rows), seed=seed)
    columns = None if predictions.weights is None else predictions.weights.T
    return {
        task.name: draws.auc_interval(
            predictions.labels[:, t], predictions.logits[t], None if columns is None else columns[t]
        )
        for t, task in enumerate(tasks)
        if task.kind == "binary"
    }


def losses_by_row(
    task: Task, logits: np.ndarray, labels: np.ndarray, weights: np.ndarray | None
) -> RowLosses:
    """The loss of each row, in float64."""
    marks = torch.from_numpy(labels).double()
    losses = row_losses(
        task.kind, torch.from_numpy(logits).double(), marks, mean=task.mean, std=task.std
    )
    weight = (
        (~marks.isnan()).double()
        if weights is None
        else torch.where(marks.isnan(), 0.0, torch.from_numpy(weights).double())
    )
    return RowLosses(losses, marks, weight)
