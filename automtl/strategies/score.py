"""The loss of a network on rows that it did not train on, by which architectures are compared
inside a search.
"""

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import nn

from automtl.data.store.batches import Batches
from automtl.data.store.schema import Task
from automtl.errors import DataError
from automtl.layers.choice_block import ChoiceBlock
from automtl.layers.normalization import BatchNorm, frozen_statistics
from automtl.training.loop import RunningLosses, combined
from automtl.training.losses import multi_task_loss, task_weights


@contextlib.contextmanager
def batch_statistics(net: nn.Module) -> Iterator[None]:
    """Everything as in evaluation, but BatchNorm normalises by the batch it sees, and remembers
    nothing of it.

    A supernet's running statistics are of the mixture, or of many paths: for one path, or a mixture
    with one candidate less, they are another network's.
    """
    before = {module: module.training for module in net.modules()}
    try:
        for module in before:
            module.training = isinstance(module, BatchNorm | ChoiceBlock)
        with frozen_statistics(net):
            yield
    finally:
        for module, training in before.items():
            module.training = training


def score(
    net: nn.Module,
    batches: Batches,
    tasks: Sequence[Task],
    *,
    device: torch.device | None = None,
    supernet: bool,
) -> float:
    """MTL-Loss over all rows of `batches`; lower is better.

    Args:
        net: the network.
        batches: the rows, once each.
        tasks: of the data set.
        device: where the network is.
        supernet: normalise by batch statistics; a model of its own is scored as it would serve.

    Raises:
        DataError: a task has no label in these rows.
    """
    running, training = RunningLosses(), net.training
    net.train(supernet)
    try:
        with torch.no_grad(), batch_statistics(net) if supernet else contextlib.nullcontext():
            for batch in batches.epoch(0):
                here = batch.to(device) if device is not None else batch
                running.add(multi_task_loss(tasks, net(here.inputs), here.labels, here.weights))
    finally:
        net.train(training)
    loss = combined(running.means(), task_weights(tasks))
    if loss is None:
        lacking = ", ".join(
            task.name for task, mean in zip(tasks, running.means(), strict=True) if mean is None
        )
        raise DataError(
            "rows to score by",
            "must have labels of every task",
            f"none of {lacking}",
            "change split, or leave out the task",
        )
    return loss
