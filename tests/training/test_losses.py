"""Losses against numpy by hand, and their gradients against finite differences."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from automtl.data.store.schema import Task
from automtl.training.losses import combine, jsd_loss, multi_task_loss, task_loss, task_weights

NAN = math.nan
BINARY, MULTICLASS = (
    Task(name="click", kind="binary", weight=1.0),
    Task(name="genre", kind="multiclass", weight=2.0, classes=3),
)
REGRESSION = Task(name="seconds", kind="regression", weight=5.0, mean=10.0, std=4.0)
TASKS = (BINARY, MULTICLASS, REGRESSION)
LABELS = np.array([[1, 2, 12.0], [0, NAN, NAN], [NAN, 0, 3.0], [1, 1, NAN]])
# a weight may be missing where its label is
WEIGHTS = np.array([[0.5, 1, 2], [3, NAN, 1], [7, 0.25, 1], [1, 1, NAN]])


def by_hand(kind: str, prediction: np.ndarray, label: float) -> float:
    if kind == "binary":
        p = 1 / (1 + math.exp(-prediction))
        return -math.log(p if label else 1 - p)
    if kind == "multiclass":
        return -math.log(math.exp(prediction[int(label)]) / sum(math.exp(z) for z in prediction))
    return (prediction - (label - REGRESSION.mean) / REGRESSION.std) ** 2


def predictions(seed: int = 0, dtype: torch.dtype = torch.float64) -> list[torch.Tensor]:
    draw = np.random.default_rng(seed).standard_normal
    return [
        torch.tensor(draw(shape), dtype=dtype, requires_grad=True) for shape in ((4,), (4, 3), (4,))
    ]


def sums_by_hand(outputs: list[torch.Tensor], weights: np.ndarray) -> list[tuple[float, float]]:
    found = []
    for k, task in enumerate(TASKS):
        z = outputs[k].detach().numpy()
        rows = [b for b in range(4) if not math.isnan(LABELS[b, k])]
        found.append(
            (
                sum(weights[b, k] * by_hand(task.kind, z[b], LABELS[b, k]) for b in rows),
                sum(weights[b, k] for b in rows),
            )
        )
    return found


@pytest.mark.parametrize("weighted", [False, True])
def test_multi_task_loss_equals_numpy(weighted):
    outputs = predictions()
    weights = WEIGHTS if weighted else np.ones_like(WEIGHTS)
    got = multi_task_loss(
        TASKS, outputs, torch.tensor(LABELS), torch.tensor(WEIGHTS) if weighted else None
    )
    expected = sums_by_hand(outputs, weights)
    np.testing.assert_allclose(got.sums.numpy(), [loss for loss, _ in expected], rtol=1e-12)
    np.testing.assert_allclose(got.weights.numpy(), [weight for _, weight in expected], rtol=1e-12)
    total = sum(
        share * loss / weight
        for share, (loss, weight) in zip((1 / 8, 2 / 8, 5 / 8), expected, strict=True)
    )
    assert got.total.item() == pytest.approx(total, rel=1e-12)
    assert not got.sums.requires_grad


@pytest.mark.parametrize("weighted", [False, True])
def test_gradients_equal_finite_differences_and_vanish_on_missing_labels(weighted):
    outputs = predictions(1)
    labels, weights = torch.tensor(LABELS), torch.tensor(WEIGHTS) if weighted else None
    multi_task_loss(TASKS, outputs, labels, weights).total.backward()
    for k, output in enumerate(outputs):
        assert output.grad is not None
        for place in np.ndindex(*output.shape):
            moved = []
            for step in (1e-6, -1e-6):
                other = [o.detach().clone() for o in outputs]
                other[k][place] += step
                moved.append(multi_task_loss(TASKS, other, labels, weights).total.item())
            assert output.grad[place].item() == pytest.approx(
                (moved[0] - moved[1]) / 2e-6, abs=1e-9
            )
            if math.isnan(LABELS[place[0], k]):
                assert output.grad[place].item() == 0.0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_batch_without_any_label_costs_exactly_nothing(dtype):
    outputs = predictions(2, dtype)
    got = multi_task_loss(TASKS, outputs, torch.full((4, 3), NAN))
    got.total.backward()
    assert got.total.item() == 0.0
    assert got.weights.tolist() == got.sums.tolist() == [0.0, 0.0, 0.0]
    assert all(torch.equal(output.grad, torch.zeros_like(output)) for output in outputs)


def test_a_task_without_labels_leaves_the_others_alone():
    outputs, labels = predictions(3), torch.tensor(LABELS)
    labels[:, 0] = NAN
    got = multi_task_loss(TASKS, outputs, labels)
    got.total.backward()
    (genre, rows), (seconds, others) = sums_by_hand(outputs, np.ones((4, 3)))[1:]
    assert got.total.item() == pytest.approx(
        2 / 8 * genre / rows + 5 / 8 * seconds / others, rel=1e-12
    )
    assert outputs[0].grad is not None
    assert outputs[0].grad.tolist() == [0.0] * 4


def test_only_the_proportion_of_weights_counts():
    """However small: their sum divides, nothing else."""
    outputs, labels, weights = (
        predictions(5, torch.float32),
        torch.tensor(LABELS).float(),
        torch.tensor(WEIGHTS).float(),
    )
    whole, tiny = (
        multi_task_loss(TASKS, outputs, labels, scale * weights).total.item()
        for scale in (1, 2.0**-60)
    )
    assert tiny == pytest.approx(whole, rel=1e-6)


def test_zero_weights_cost_nothing():
    prediction = torch.tensor([3.0, -2.0], requires_grad=True)
    loss, weight = task_loss("binary", prediction, torch.tensor([0.0, 1.0]), torch.zeros(2))
    loss.backward()
    assert (loss.item(), weight.item(), prediction.grad.tolist()) == (0.0, 0.0, [0.0, 0.0])


def test_sums_over_batches_give_the_loss_of_all_rows():
    """Batches of 3 and 1 rows with unequal label counts: the mean of batch means would differ."""
    outputs, labels = predictions(4), torch.tensor(LABELS)
    whole = multi_task_loss(TASKS, outputs, labels)
    parts = [
        multi_task_loss(TASKS, [o[rows] for o in outputs], labels[rows])
        for rows in (slice(0, 3), slice(3, 4))
    ]
    got = combine(
        parts[0].sums + parts[1].sums, parts[0].weights + parts[1].weights, task_weights(TASKS)
    )
    assert got.item() == pytest.approx(whole.total.item(), rel=1e-12)
    assert sum(part.total.item() for part in parts) / 2 != pytest.approx(
        whole.total.item(), rel=1e-2
    )


def test_bfloat16_predictions_are_taken_to_float32():
    prediction = torch.tensor([2.0, -1.0], dtype=torch.bfloat16, requires_grad=True)
    loss, _ = task_loss("binary", prediction, torch.tensor([1.0, 1.0]))
    loss.backward()
    assert loss.dtype == torch.float32
    assert loss.item() == pytest.approx(
        math.log1p(math.exp(-2)) + math.log1p(math.exp(1)), rel=1e-6
    )
    assert prediction.grad.dtype == torch.bfloat16


def test_huge_logits_stay_finite():
    prediction = torch.tensor([1e4, -1e4], requires_grad=True)
    loss, _ = task_loss("binary", prediction, torch.tensor([0.0, 0.0]))
    loss.backward()
    assert (loss.item(), prediction.grad.tolist()) == (1e4, [1.0, 0.0])


def test_shares_sum_to_one():
    assert task_weights(TASKS) == (1 / 8, 2 / 8, 5 / 8)


def choices(rows) -> torch.Tensor:
    return torch.tensor(rows, dtype=torch.float64).log()


def test_jsd_of_a_hand_value():
    """p = (.5 .5), (.25 .75): m = (.375, .625)."""
    entropy = {p: p * math.log(p) for p in (0.5, 0.25, 0.75, 0.375, 0.625)}
    expected = (
        entropy[0.375] + entropy[0.625] - (2 * entropy[0.5] + entropy[0.25] + entropy[0.75]) / 2
    )
    assert expected == pytest.approx(-0.0338221, abs=1e-7)
    assert jsd_loss(choices([[0.5, 0.5], [0.25, 0.75]])).item() == pytest.approx(
        expected, rel=1e-12
    )


def test_jsd_of_equal_rows_and_of_one_task_is_zero():
    row = torch.randn(1, 8, dtype=torch.float64)
    assert jsd_loss(row).item() == 0.0
    assert jsd_loss(row.repeat(3, 1)).item() == pytest.approx(0, abs=1e-15)


@pytest.mark.parametrize(("tasks", "experts"), [(2, 2), (3, 8), (5, 5)])
def test_jsd_of_disjoint_choices_is_minus_log_of_tasks(tasks, experts):
    assert jsd_loss(1e4 * torch.eye(tasks, experts, dtype=torch.float64)).item() == pytest.approx(
        -math.log(tasks), rel=1e-12
    )


@settings(max_examples=50, deadline=None)
@given(st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**31))
def test_jsd_is_paper_equation_2_and_lies_between_its_ends(tasks, experts, seed):
    betas = np.random.default_rng(seed).normal(scale=2, size=(tasks, experts))
    p = np.exp(betas) / np.exp(betas).sum(1, keepdims=True)
    m = p.mean(0)
    expected = (m * np.log(m)).sum() - (p * np.log(p)).sum() / tasks
    got = jsd_loss(torch.tensor(betas)).item()
    assert got == pytest.approx(expected, abs=1e-13)
    assert -math.log(tasks) - 1e-13 <= got <= 1e-13


def test_jsd_gradient():
    assert torch.autograd.gradcheck(
        jsd_loss, torch.randn(3, 5, dtype=torch.float64, requires_grad=True)
    )
