"""Clipping over dense and sparse gradients against numpy; no step waits for the device."""

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from automtl.data.store.schema import Task
from automtl.training.losses import jsd_loss, multi_task_loss
from automtl.training.optim import clipping
from automtl.training.optim.clipping import clip_grad_norm
from automtl.training.optim.deferred_sgd import DeferredSGD
from automtl.training.optim.lazy_adam import LazyAdam


def parameters() -> list[nn.Parameter]:
    """Two dense ones, one without a gradient, one table whose row 1 comes twice."""
    torch.manual_seed(0)
    made = [
        nn.Parameter(torch.randn(shape, dtype=torch.float64))
        for shape in ((3, 4), (5,), (2,), (6, 2))
    ]
    made[0].grad, made[1].grad = (
        torch.randn(3, 4, dtype=torch.float64),
        torch.randn(5, dtype=torch.float64),
    )
    rows = functional.embedding(torch.tensor([1, 4, 1]), made[3], sparse=True)
    (rows * torch.tensor([[1.0, 2], [3, 4], [5, 6]])).sum().backward()
    return made


def gradients(made: list[nn.Parameter]) -> list[np.ndarray]:
    return [p.grad.to_dense().clone().numpy() for p in made if p.grad is not None]


def test_the_norm_and_the_scaling_equal_numpy():
    made = parameters()
    before = gradients(made)
    # repeated rows are summed first
    assert before[2].tolist() == [[0, 0], [6, 8], [0, 0], [0, 0], [3, 4], [0, 0]]
    expected = math.sqrt(sum((g**2).sum() for g in before))
    norm = clip_grad_norm(made, 0.5)
    assert norm.shape == ()
    assert norm.item() == pytest.approx(expected, rel=1e-12)
    for old, new in zip(before, gradients(made), strict=True):
        np.testing.assert_allclose(new, old * 0.5 / (expected + 1e-6), rtol=1e-12)
    assert made[2].grad is None
    assert made[3].grad.is_sparse


def test_a_small_gradient_stays_bitwise():
    made = parameters()
    before = gradients(made)
    clip_grad_norm(made, 1e3)
    assert all(np.array_equal(old, new) for old, new in zip(before, gradients(made), strict=True))


def test_dense_only_equals_torch():
    ours, theirs = parameters()[:3], parameters()[:3]
    assert torch.equal(clip_grad_norm(ours, 0.7), torch.nn.utils.clip_grad_norm_(theirs, 0.7))
    assert all(
        np.array_equal(a, b) for a, b in zip(gradients(ours), gradients(theirs), strict=True)
    )


def test_a_generator_and_nothing_at_all_are_fine():
    made = parameters()
    assert clip_grad_norm((p for p in made), 1.0).item() > 1.0
    assert clip_grad_norm([], 1.0).item() == clip_grad_norm([made[2]], 1.0).item() == 0.0


def test_only_a_table():
    made = parameters()
    assert clip_grad_norm([made[3]], 1.0).item() == pytest.approx(
        math.sqrt(36 + 64 + 9 + 16), rel=1e-12
    )
    assert np.linalg.norm(made[3].grad.to_dense().numpy()) == pytest.approx(1.0, rel=1e-6)


def test_nan_shows_in_the_norm():
    made = parameters()
    made[0].grad[0, 0] = math.nan
    assert math.isnan(clip_grad_norm(made, 1.0).item())


@pytest.mark.parametrize(
    "build",
    [lambda w: DeferredSGD(w, momentum=0.9, weight_decay=3e-4), LazyAdam],
    ids=["deferred", "lazy"],
)
def test_a_step_never_waits_for_the_device(monkeypatch, build):
    """On CUDA each of these would stop the processor until the queue is empty."""
    torch.manual_seed(0)
    weight, betas = nn.Parameter(torch.randn(20, 3)), nn.Parameter(torch.randn(2, 4))
    tasks = (Task(name="a", kind="binary"), Task(name="b", kind="regression", mean=1.0, std=2.0))
    labels = torch.tensor([[1, math.nan], [0, 2.0]])
    optimizer = build(weight)
    before = weight.detach().clone()

    def refuse(*_: object) -> None:
        raise AssertionError("waits for the device")

    with monkeypatch.context() as patch:
        patch.setattr(clipping, "_at_hand", lambda _: False)
        for name in ("item", "cpu", "tolist", "numpy", "__bool__", "__float__", "__int__"):
            patch.setattr(torch.Tensor, name, refuse)
        with pytest.raises(AssertionError, match="waits"):
            weight.sum().item()
        for _ in range(2):
            rows = torch.tensor([1, 7])
            optimizer.zero_grad()
            optimizer.catch_up(rows)
            x = functional.embedding(rows, weight, sparse=True).sum(1)
            (multi_task_loss(tasks, [x, x], labels).total + 0.1 * jsd_loss(betas)).backward()
            clip_grad_norm([weight, betas], 5.0)
            optimizer.step(0.1)
        optimizer.flush()
    assert not torch.equal(weight[1], before[1])
