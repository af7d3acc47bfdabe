"""The training loop as a generator of step events: it computes; phases store, print and decide.

Shapes: B batch, T tasks.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from automtl.data.store.batches import Batch, Batches
from automtl.training.checkpoint_state import Running, parse, require_tensors
from automtl.training.losses import Losses


@dataclass(frozen=True)
class StepEvent:
    """One finished step.

    Args:
        epoch: of the step, from 0.
        step: inside the epoch, from 0.
        steps: of the whole epoch.
        rows: rows of the weight batch, over all ranks.
        losses: of the batch before the update; on the device, so that no step waits for it. None
            where nothing is trained.
        horizon: after so many epochs training stops unless one of those to come is better; None
            where its length is fixed.
        part: of several networks that are trained one after the other, this one, from 0.
        parts: how many there are.
        stage: what is trained, where it is not the whole: a task, a race.
    """

    epoch: int
    step: int
    steps: int
    rows: int
    losses: Losses | None
    horizon: int | None = None
    part: int = 0
    parts: int = 1
    stage: str = ""


class RunningLosses:
    """Losses over all rows of an epoch, never means of batch means."""

    def __init__(self) -> None:
        self._losses: Tensor | None = None
        self._weights: Tensor | None = None

    def add(self, batch: Losses) -> None:
        """Add one batch, without leaving the device."""
        losses, weights = batch.sums.double(), batch.weights.double()
        self._losses = losses if self._losses is None else self._losses + losses
        self._weights = weights if self._weights is None else self._weights + weights

    def state_dict(self) -> dict[str, Tensor | None]:
        """What a resumed epoch needs."""
        return {"losses": self._losses, "weights": self._weights}

    def load_state_dict(
        self, state: Any, *, tasks: int, device: torch.device | None = None
    ) -> None:
        """Go on from a ``state_dict()`` of so many tasks.

        Raises:
            AutoMTLError: it is none.
        """
        parse(Running, state, "running")
        self._losses = self._weights = None
        if state["losses"] is not None or state["weights"] is not None:
            like = torch.zeros(tasks, dtype=torch.float64)
            require_tensors({"losses": like, "weights": like}, state, "running")
            self._losses, self._weights = state["losses"].to(device), state["weights"].to(device)

    def means(self) -> list[float | None]:
        """Per task, the mean over its labelled rows; None where there was none."""
        if self._losses is None or self._weights is None:
            return []
        pairs = zip(self._losses.tolist(), self._weights.tolist(), strict=True)
        return [loss / weight if weight else None for loss, weight in pairs]


def run_epoch(
    update: Callable[[int, Batch], Losses],
    batches: Batches,
    *,
    epoch: int,
    start: int = 0,
    device: torch.device | None = None,
) -> Iterator[StepEvent]:
    """Run one epoch of updates and yield an event after each.

    Args:
        update: one training step, given its number inside the epoch and its batch.
        batches: the rows that train weights.
        epoch: picks the permutation of the rows.
        start: the first step to run, for going on inside an epoch.
        device: where batches go before the update.
    """
    yield from run_steps(
        update,
        batches.epoch(epoch, start),
        epoch=epoch,
        steps=len(batches),
        start=start,
        device=device,
    )


def run_steps(
    update: Callable[[int, Batch], Losses],
    batches: Iterator[Batch],
    *,
    epoch: int,
    steps: int,
    start: int = 0,
    device: torch.device | None = None,
) -> Iterator[StepEvent]:
    """Run steps `start` to `steps` - 1 on batches as they come; arguments as in `run_epoch`."""
    for step, batch in zip(range(start, steps), batches, strict=False):
        here = batch.to(device, non_blocking=True) if device is not None else batch
        yield StepEvent(epoch, step, steps, batch.step_size, update(step, here))


def combined(means: Sequence[float | None], shares: Sequence[float]) -> float | None:
    """sum_k w_k L_k; None where a task has no mean. The shares w_k sum to 1."""
    known = [mean for mean in means if mean is not None]
    return (
        sum(share * mean for share, mean in zip(shares, known, strict=True))
        if len(known) == len(means)
        else None
    )
