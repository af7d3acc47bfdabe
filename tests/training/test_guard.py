"""The guard: which batch is named, when it looks, and that a batch left out leaves nothing
behind.
"""

import pytest
import torch
from torch import nn

from automtl.data.store.schema import Task
from automtl.errors import NumericalError
from automtl.training.losses import multi_task_loss
from automtl.training.step.guard import BadBatch, Guard
from tests.support import random_batch, small_schema

SCHEMA = small_schema()


def losses_of(batch, *values):
    predictions = [torch.full((len(batch),), value) for value in values]
    return multi_task_loss(SCHEMA.tasks, predictions, batch.labels, batch.weights)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_names_task_and_rows(value):
    guard, batch = Guard(), random_batch(SCHEMA, rows=5)
    assert not guard.loss(losses_of(batch, 0.0, 0.0), batch, SCHEMA.tasks)
    with pytest.raises(BadBatch, match="the loss of task task1: must be finite") as caught:
        guard.loss(losses_of(batch, 0.0, value), batch, SCHEMA.tasks)
    assert caught.value.rows == [0, 1, 2, 3, 4] and caught.value.exit_code == 4


def test_a_gradient_that_is_not_finite_names_the_rows():
    guard, batch = Guard(), random_batch(SCHEMA, rows=3)
    assert not guard.norm(torch.tensor(1e30), batch)
    with pytest.raises(BadBatch, match="the gradient: must be finite"):
        guard.norm(torch.tensor(float("inf")), batch)


def test_a_guard_that_may_not_wait_keeps_what_it_saw_and_names_the_first():
    good, bad, later = (random_batch(SCHEMA, rows=n) for n in (2, 3, 4))
    seen = ((good, 1.0), (bad, float("nan")), (later, float("nan")))
    guard = Guard(look_every=64)
    assert not any(guard.norm(torch.tensor(value), batch) for batch, value in seen)
    with pytest.raises(BadBatch) as caught:
        guard.look()
    assert caught.value.rows == [0, 1, 2]
    guard.look()  # what was told is not told again
    soon = Guard(look_every=2)
    with pytest.raises(BadBatch) as caught:
        for batch, value in seen * 2:
            soon.norm(torch.tensor(value), batch)
    assert caught.value.rows == [0, 1, 2]


def test_skipping_counts_and_has_a_limit():
    guard, batch = Guard("skip", limit=2), random_batch(SCHEMA, rows=2)
    assert not guard.norm(torch.tensor(1.0), batch)
    assert guard.norm(torch.tensor(float("nan")), batch) and guard.norm(
        torch.tensor(float("nan")), batch
    )
    other = Guard("skip", limit=2)
    other.load_state_dict(guard.state_dict())
    with pytest.raises(BadBatch, match="all but 2 batches: must be finite"):
        other.norm(torch.tensor(float("nan")), batch)


def test_running_statistics_forget_a_batch_that_is_left_out():
    net, guard, batch = nn.BatchNorm1d(2), Guard("skip"), random_batch(SCHEMA, rows=2)
    net(torch.randn(4, 2))
    held = {name: buffer.clone() for name, buffer in net.named_buffers()}
    guard.before(net)
    net(torch.full((4, 2), float("nan")))
    assert not net.running_mean.isfinite().all()
    assert guard.norm(torch.tensor(float("nan")), batch)
    assert all(torch.equal(buffer, held[name]) for name, buffer in net.named_buffers())


def test_left_out_losses_count_nothing():
    batch = random_batch(SCHEMA, rows=4)
    empty = losses_of(batch, float("nan"), 0.0).left_out()
    assert (
        float(empty.total) == 0
        and not empty.sums.any()
        and not empty.weights.any()
        and len(empty.parts) == len(SCHEMA.tasks)
    )
    assert isinstance(SCHEMA.tasks[0], Task)


@pytest.mark.parametrize("mode", ["stop", "skip"])
def test_gradients_that_cannot_be_balanced_are_of_their_batch(mode):
    class Refusing:
        def backward(self, losses, extra):
            raise NumericalError(
                "balancing by gradnorm", "the tasks' gradient norms must be finite", [1.0]
            )

    guard, batch = Guard(mode), random_batch(SCHEMA, rows=2)
    losses = losses_of(batch, 0.0, 0.0)
    if mode == "skip":
        assert guard.backward(Refusing(), losses, None, batch) and guard.skipped == 1
        return
    with pytest.raises(
        BadBatch, match="the tasks' gradients: must be finite.*balancing by gradnorm"
    ) as caught:
        guard.backward(Refusing(), losses, None, batch)
    assert caught.value.rows == [0, 1]
