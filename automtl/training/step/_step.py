"""One training step of a discrete network: the same wherever such a network is trained by
itself.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

from automtl.data.store.batches import Batch
from automtl.data.store.schema import Task
from automtl.models.skeleton import MultiTaskNet
from automtl.training.balancing.balancer import Balancer
from automtl.training.losses import Losses, multi_task_loss, task_weights
from automtl.training.optim.clipping import clip_grad_norm
from automtl.training.optim.net_optimizer import NetOptimizer
from automtl.training.step.guard import Guard


def train_step(
    net: MultiTaskNet,
    batch: Batch,
    tasks: Sequence[Task],
    *,
    optimizer: NetOptimizer,
    balancer: Balancer,
    guard: Guard,
    autocast: Callable[[], AbstractContextManager[Any]],
    clip_norm: float,
) -> Losses:
    """Update a network's weights on one batch.

    Args:
        net: in training mode.
        batch: with a label per task; of several ranks, this one's rows of the step.
        tasks: of the network.
        optimizer: of its weights.
        balancer: weighs the tasks' losses, and runs the backward pass; of this network.
        guard: looks for losses and gradients that are not finite.
        autocast: makes the context of the forward pass.
        clip_norm: largest gradient norm.

    Returns:
        The step's losses before the update; zeros where the guard left the step out.
    """
    replica = balancer.replica
    replica.begin()
    optimizer.catch_up(batch.inputs, replica.rows)
    guard.before(net)
    with autocast():
        outputs = net(batch.inputs)
    losses = multi_task_loss(tasks, outputs, batch.labels, batch.weights)
    losses = replica.losses(losses, task_weights(tasks))
    if guard.loss(losses, batch, tasks):
        return losses.left_out()
    extra = net.sharing.auxiliary_loss(outputs, batch.labels)
    extra = None if extra is None else replica.share(extra, batch)
    left_out = guard.backward(balancer, losses, extra, batch)
    replica.add_up(net.parameters(), balancer.summed)
    left_out = left_out or guard.norm(clip_grad_norm(list(net.parameters()), clip_norm), batch)
    if not left_out:
        optimizer.step()
    optimizer.zero_grad()
    return losses.left_out() if left_out else losses
