"""Losses: one per task, their weighted sum, and the divergence of the expert choices (AutoMTL, Eq.
1 and 2).

Legend: B rows, T tasks, C classes, N experts. A label that is missing is NaN: it is replaced before
any operation (NaN times a zero mask would still be NaN in the gradient) and counts nothing. Nothing
here waits for the device.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from automtl.data.store.schema import Task


class Losses(NamedTuple):
    """What one batch costs.

    Attributes:
        total: () the weighted loss, with gradient.
        sums: (T,) sum of weight * loss over the labelled rows, without gradient. Added up over
            batches, with `weights`, they give the loss over all rows, which a mean of batch means
            is not.
        weights: (T,) sum of the weights of the labelled rows.
        parts: per task its sum, (), with gradient: a graph that no other task's passes through.
    """

    total: Tensor
    sums: Tensor
    weights: Tensor
    parts: tuple[Tensor, ...]

    def left_out(self) -> "Losses":
        """The losses of a batch that is left out: zeros."""
        total, sums, weights = (
            torch.zeros_like(value) for value in (self.total, self.sums, self.weights)
        )
        return Losses(total, sums, weights, tuple(torch.zeros_like(part) for part in self.parts))


def _multiclass(prediction: Tensor, target: Tensor) -> Tensor:
    return functional.cross_entropy(prediction, target.long(), reduction="none")


ELEMENT_LOSSES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "binary": lambda prediction, target: functional.binary_cross_entropy_with_logits(
        prediction, target, reduction="none"
    ),
    "multiclass": _multiclass,
    "regression": lambda prediction, target: (prediction - target).square(),
}


def row_losses(
    kind: str, prediction: Tensor, labels: Tensor, *, mean: float = 0.0, std: float = 1.0
) -> Tensor:
    """A task's loss per row: cross entropy on logits (binary, multiclass) or the square of the
    standardised error (regression).

    In float32 at least. Where the label is missing it is that of the label 0, and finite. Arguments
    as of `task_loss`.

    Shape: prediction (B,), multiclass (B, C); labels and result (B,).
    """
    if prediction.dtype in (torch.float16, torch.bfloat16):
        prediction = prediction.float()
    target = torch.where(labels.isnan(), 0.0, labels).to(prediction.dtype)
    if kind == "regression":
        target = (target - mean) / std
    return ELEMENT_LOSSES[kind](prediction, target)


def task_loss(
    kind: str,
    prediction: Tensor,
    labels: Tensor,
    weights: Tensor | None = None,
    *,
    mean: float = 0.0,
    std: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """Sum of a task's loss (see `row_losses`) over the rows that have its label, and the sum of
    their weights.

    Shape: prediction (B,), multiclass (B, C); labels and weights (B,); both results ().

    Args:
        kind: "binary", "multiclass" or "regression".
        prediction: logits; regression: the label in standardised units.
        labels: 0/1, class index, or the number in its own unit; NaN where missing.
        weights: of the rows, at least 0; None: 1 each.
        mean: of the regression labels on the training rows.
        std: likewise.
    """
    losses = row_losses(kind, prediction, labels, mean=mean, std=std)
    present = ~labels.isnan()
    weight = (
        present.to(losses.dtype)
        if weights is None
        else torch.where(present, weights, 0.0).to(losses.dtype)
    )
    return (losses * weight).sum(), weight.sum()


def task_weights(tasks: Sequence[Task]) -> tuple[float, ...]:
    """Shares w_k = weight_k / sum of weights. Shape: T numbers."""
    total = sum(task.weight for task in tasks)
    return tuple(task.weight / total for task in tasks)


def combine(sums: Tensor, weights: Tensor, shares: Sequence[float]) -> Tensor:
    """sum_k w_k * sums_k / weights_k: the loss of a batch, or, from sums over many batches, of all
    their rows (MTL-Loss).

    A task without any label adds exactly 0, and no gradient.

    Shape: sums and weights (T,), shares T numbers; result ().
    """
    means = sums / weights.clamp_min(torch.finfo(weights.dtype).tiny)  # no label: 0 / tiny
    return torch.stack(
        [share * mean for share, mean in zip(shares, means.unbind(), strict=True)]
    ).sum()


def multi_task_loss(
    tasks: Sequence[Task],
    predictions: Sequence[Tensor],
    labels: Tensor,
    weights: Tensor | None = None,
) -> Losses:
    """L = sum_k w_k L_k, L_k the weighted mean over the batch's rows that have label k.

    Shape: predictions T times (B,) or (B, C); labels and weights (B, T).
    """
    parts = [
        task_loss(
            task.kind,
            prediction,
            labels[:, k],
            None if weights is None else weights[:, k],
            mean=task.mean,
            std=task.std,
        )
        for k, (task, prediction) in enumerate(zip(tasks, predictions, strict=True))
    ]
    apart = tuple(loss_sum for loss_sum, _ in parts)
    sums = torch.stack(apart)  # (T,)
    weight_sums = torch.stack([weight_sum for _, weight_sum in parts])  # (T,)
    return Losses(
        combine(sums, weight_sums, task_weights(tasks)), sums.detach(), weight_sums, apart
    )


def jsd_loss(betas: Tensor) -> Tensor:
    """Auxiliary loss of the expert selection (paper Eq. 2), minus the Jensen-Shannon divergence of
    the tasks' choices.

    L = sum_i m_i ln m_i - (1/T) sum_k sum_i p_i^k ln p_i^k with p^k = softmax(beta^k), m = mean_k
    p^k. From 0 (equal rows, T = 1) down to -ln T (each task its own expert).

    Shape: betas (T, N) -> ().
    """
    log_p = torch.log_softmax(betas, dim=1)
    log_m = torch.logsumexp(log_p, dim=0) - math.log(len(betas))  # (N,)
    # sum_i m_i ln m_i = (1/T) sum_k sum_i p_i^k ln m_i: gathered under one sum, near-equal rows
    # cancel term by term.
    return (log_p.exp() * (log_m - log_p)).sum() / len(betas)
