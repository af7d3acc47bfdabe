"""The training loop as a generator of step events: it computes; phases store, print and decide.

Shapes: B batch, T tasks.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from automtl.data.batches import Batch, Batches


@dataclass(frozen=True)
class TaskSums:
    """What one batch adds to the reported losses; on the device, so that no step waits for it.

    Args:
        losses: (T,) weighted sums of the rows' losses.
        weights: (T,) sums of the rows' weights; 0 for a task without a label in the batch.
    """

    losses: Tensor
    weights: Tensor


@dataclass(frozen=True)
class StepEvent:
    """One finished step.

    Args:
        epoch: of the step, from 0.
        step: inside the epoch, from 0.
        steps: of the whole epoch.
        rows: rows of the weight batch.
        sums: the batch's task losses before the update.
    """

    epoch: int
    step: int
    steps: int
    rows: int
    sums: TaskSums


class RunningLosses:
    """Losses over all rows of an epoch, never means of batch means."""

    def __init__(self) -> None:
        self._losses: Tensor | None = None
        self._weights: Tensor | None = None

    def add(self, sums: TaskSums) -> None:
        """Add one batch, without leaving the device."""
        losses, weights = sums.losses.double(), sums.weights.double()
        self._losses = losses if self._losses is None else self._losses + losses
        self._weights = weights if self._weights is None else self._weights + weights

    def means(self) -> list[float | None]:
        """Per task, the mean over its labelled rows; None where there was none."""
        if self._losses is None or self._weights is None:
            return []
        pairs = zip(self._losses.tolist(), self._weights.tolist(), strict=True)
        return [loss / weight if weight else None for loss, weight in pairs]


def run_epoch(
    update: Callable[[Batch], TaskSums], batches: Batches, *, epoch: int, start: int = 0, device: torch.device | None = None
) -> Iterator[StepEvent]:
    """Run one epoch of updates and yield an event after each.

    Args:
        update: one training step on a batch.
        batches: the rows that train weights.
        epoch: picks the permutation of the rows.
        start: the first step to run, for going on inside an epoch.
        device: where batches go before the update.
    """
    steps = len(batches)
    for step, batch in enumerate(batches.epoch(epoch, start), start):
        here = batch.to(device, non_blocking=True) if device is not None else batch
        yield StepEvent(epoch, step, steps, len(batch), update(here))


def combined(means: list[float | None], weights: list[float]) -> float:
    """sum_k w_k L_k over the tasks that have a mean; w_k as the data set weighs them (they sum to 1)."""
    return sum(w * mean for w, mean in zip(weights, means, strict=True) if mean is not None)
