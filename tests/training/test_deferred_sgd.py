"""Table optimisers: deferred SGD against dense torch.optim.SGD and against exact fractions, lazy
Adam against torch.optim.Adam per row.
"""

from fractions import Fraction

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from automtl.errors import ArtifactError
from automtl.training.optim import deferred_sgd
from automtl.training.optim.deferred_sgd import DeferredSGD
from automtl.training.optim.lazy_adam import LazyAdam
from automtl.training.optim.schedules import cosine_lr

V, D = 12, 2
# rows (repetitions allowed), one gradient per row, learning rate
Step = tuple[list[int], list[list[float]], float]


def integers(seed: int, steps: int, lrs: tuple[float, ...]) -> list[Step]:
    """Row 0 in every step, once twice; the last row in none; the others now and then."""
    rng = np.random.default_rng(seed)
    plan = []
    for t in range(steps):
        rows = [0, *rng.integers(1, V - 1, size=3).tolist()] + ([0] if t % 4 == 0 else [])
        plan.append(
            (
                rows,
                rng.integers(-3, 4, size=(len(rows), D)).astype(float).tolist(),
                lrs[t % len(lrs)],
            )
        )
    return plan


def table(values: np.ndarray | Tensor, dtype: torch.dtype = torch.float64) -> nn.Parameter:
    return nn.Parameter(torch.as_tensor(values).to(dtype).clone())


def backward(weight: nn.Parameter, step: Step, *, sparse: bool) -> None:
    """A loss whose gradient is the step's, by way of a real lookup."""
    weight.grad = None
    rows, gradients, _ = step
    (
        functional.embedding(torch.tensor(rows), weight, sparse=sparse)
        * torch.tensor(gradients, dtype=weight.dtype)
    ).sum().backward()


def deferred(
    start: np.ndarray | Tensor,
    plan: list[Step],
    dtype: torch.dtype = torch.float64,
    **settings: float,
) -> nn.Parameter:
    weight = table(start, dtype)
    optimizer = DeferredSGD(weight, **settings)
    for step in plan:
        optimizer.zero_grad()
        optimizer.catch_up(torch.tensor(step[0]))
        backward(weight, step, sparse=True)
        optimizer.step(step[2])
    optimizer.flush()
    return weight


def dense(
    start: np.ndarray | Tensor,
    plan: list[Step],
    dtype: torch.dtype = torch.float64,
    **settings: float,
) -> nn.Parameter:
    weight = table(start, dtype)
    optimizer = torch.optim.SGD([weight], lr=1.0, foreach=False, **settings)
    for step in plan:
        backward(weight, step, sparse=False)
        optimizer.param_groups[0]["lr"] = step[2]
        optimizer.step()
    return weight


def exact(
    start: np.ndarray, plan: list[Step], momentum: float, weight_decay: float
) -> list[list[float]]:
    """Dense SGD in fractions; float() of a result is lossless only where float64 could be exact."""
    w = [[Fraction(x) for x in row] for row in start.tolist()]
    v = [[Fraction(0)] * D for _ in w]
    for rows, gradients, lr in plan:
        for r in range(V):
            for c in range(D):
                g = sum(
                    (
                        Fraction(gradient[c])
                        for row, gradient in zip(rows, gradients, strict=True)
                        if row == r
                    ),
                    Fraction(0),
                )
                v[r][c] = Fraction(momentum) * v[r][c] + Fraction(weight_decay) * w[r][c] + g
                w[r][c] -= Fraction(lr) * v[r][c]
    assert all(Fraction(float(x)) == x for row in w for x in row), (
        "the numbers no longer fit float64: fewer steps"
    )
    return [[float(x) for x in row] for row in w]


DYADIC = [
    pytest.param(0.5, 0.5, (0.5,), 14, id="halves"),
    pytest.param(0.5, 0.25, (0.5, 0.25), 10, id="two-rates"),
    pytest.param(0.5, 0.0, (0.5,), 18, id="no-decay"),
    pytest.param(0.0, 0.5, (0.5,), 14, id="no-momentum"),
    pytest.param(0.0, 0.0, (0.25,), 18, id="plain"),
]


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("momentum", "decay", "lrs", "steps"), DYADIC)
def test_in_exact_arithmetic_the_difference_to_dense_sgd_is_zero(momentum, decay, lrs, steps, seed):
    start = np.random.default_rng(seed + 100).integers(-8, 9, size=(V, D)).astype(float)
    plan = integers(seed, steps, lrs)
    got = deferred(start, plan, momentum=momentum, weight_decay=decay)
    assert got.tolist() == exact(start, plan, momentum, decay)
    assert torch.equal(got, dense(start, plan, momentum=momentum, weight_decay=decay))


def test_rows_never_touched_decay_as_in_dense_sgd():
    start = np.full((V, D), 4.0)
    got = deferred(start, integers(0, 14, (0.5,)), momentum=0.5, weight_decay=0.5)
    assert got[-1].tolist() == exact(start, integers(0, 14, (0.5,)), 0.5, 0.5)[-1]
    assert got[-1].tolist() != [4.0, 4.0]


def drawn(steps: int, rows: int = 200, epochs: int = 15) -> tuple[Tensor, list[Step]]:
    """Skewed rows, normal gradients, the default cosine."""
    rng = np.random.default_rng(7)
    plan = []
    for t in range(steps):
        touched = (rows * rng.random(20) ** 3).astype(int).tolist()
        plan.append(
            (
                touched,
                rng.standard_normal((20, D)).tolist(),
                cosine_lr(0.02, t * epochs // steps, epochs),
            )
        )
    return torch.tensor(rng.standard_normal((rows, D))), plan


DEFAULTS = {"momentum": 0.9, "weight_decay": 3e-4}


def test_with_the_default_settings_it_is_dense_sgd_to_1e_14():
    start, plan = drawn(600)
    got, want = deferred(start, plan, **DEFAULTS), dense(start, plan, **DEFAULTS)
    assert ((got - want).abs().max() / want.abs().max()).item() < 1e-14


def test_float32_is_as_near_to_float64_as_dense_float32_is():
    start, plan = drawn(600)
    want = dense(start, plan, **DEFAULTS)
    errors = [
        (way(start, plan, torch.float32, **DEFAULTS) - want).abs().max().item()
        for way in (deferred, dense)
    ]
    assert errors[0] <= 1.5 * errors[1]
    assert errors[0] < 1e-5


def test_rows_touched_in_every_step_are_bitwise_dense_sgd_in_float32():
    start, plan = drawn(50)
    plan = [([3, 4], gradients[:2], lr) for _, gradients, lr in plan]
    got, want = (way(start, plan, torch.float32, **DEFAULTS) for way in (deferred, dense))
    assert torch.equal(got[3:5], want[3:5])


def test_reading_without_a_step_brings_rows_up_to_date_and_changes_nothing_else():
    """The alpha step reads rows and does not train them."""
    start, plan = drawn(30)
    weight, other = table(start), table(start)
    optimizer, dense_optimizer = (
        DeferredSGD(weight, **DEFAULTS),
        torch.optim.SGD([other], lr=0.02, **DEFAULTS),
    )
    for step in plan:
        optimizer.catch_up(torch.tensor([[5, 150], [199, 5]]))
        torch.testing.assert_close(weight[[5, 150, 199]], other[[5, 150, 199]], rtol=1e-13, atol=0)
        optimizer.catch_up(torch.tensor(step[0]))
        backward(weight, step, sparse=True)
        optimizer.step(0.02)
        backward(other, step, sparse=False)
        dense_optimizer.step()
    optimizer.flush()
    torch.testing.assert_close(weight, other, rtol=1e-13, atol=0)


def test_a_step_leaves_untouched_rows_alone_until_they_are_needed():
    weight = table(np.ones((V, D)))
    optimizer = DeferredSGD(weight, momentum=0.5, weight_decay=0.5)
    for _ in range(2):
        backward(weight, ([1], [[1.0, 1.0]], 0.5), sparse=True)
        optimizer.step(0.5)
    assert torch.equal(weight[2:], torch.ones(V - 2, D, dtype=torch.float64))
    optimizer.catch_up(torch.tensor([2]))
    # By hand: v = .5, w = .75; then v = .25 + .375 = .625, w = .75 - .3125.
    assert weight[2].tolist() == [0.4375, 0.4375]
    assert weight[3].tolist() == [1.0, 1.0]


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_full_buffer_flushes_by_itself(monkeypatch, limit):
    monkeypatch.setattr(deferred_sgd, "MAX_STEPS", limit)
    monkeypatch.setattr(deferred_sgd, "FLUSH_ROWS", 5)  # of 12: the last piece is a short one
    start = np.random.default_rng(3).integers(-8, 9, size=(V, D)).astype(float)
    plan = integers(3, 14, (0.5,))
    assert deferred(start, plan, momentum=0.5, weight_decay=0.5).tolist() == exact(
        start, plan, 0.5, 0.5
    )


def test_without_a_gradient_a_step_does_nothing_as_in_torch():
    weight = table(np.ones((V, D)))
    for optimizer in (DeferredSGD(weight, **DEFAULTS), LazyAdam(weight)):
        optimizer.step(0.5)
        optimizer.flush()
        assert torch.equal(weight, torch.ones(V, D, dtype=torch.float64))


def test_a_dense_gradient_is_our_own_fault():
    weight = table(np.ones((V, D)))
    backward(weight, ([1], [[1.0, 1.0]], 0.5), sparse=False)
    with pytest.raises(AssertionError, match="sparse=True"):
        DeferredSGD(weight, **DEFAULTS).step(0.1)


def lazy(start: Tensor, plan: list[Step], weight_decay: float = 0.0) -> nn.Parameter:
    weight = table(start)
    optimizer = LazyAdam(weight, betas=(0.8, 0.99), weight_decay=weight_decay)
    for step in plan:
        optimizer.zero_grad()
        optimizer.catch_up(torch.tensor(step[0]))
        backward(weight, step, sparse=True)
        optimizer.step(step[2])
    optimizer.flush()
    return weight


@pytest.mark.parametrize("decay", [0.0, 0.01])
def test_lazy_adam_is_adam_on_each_row_over_the_steps_that_touch_it(decay):
    start, plan = drawn(15, rows=300)
    got = lazy(start, plan, decay)
    for r in range(len(start)):
        row = nn.Parameter(start[r].clone())
        adam = torch.optim.Adam([row], betas=(0.8, 0.99), weight_decay=decay, foreach=False)
        for rows, gradients, lr in plan:
            mine = [
                torch.tensor(g, dtype=torch.float64)
                for at, g in zip(rows, gradients, strict=True)
                if at == r
            ]
            if mine:
                row.grad = torch.stack(mine).sum(0)
                adam.param_groups[0]["lr"] = lr
                adam.step()
        torch.testing.assert_close(got[r], row, rtol=1e-12, atol=1e-14)
    assert len({row for rows, _, _ in plan for row in rows}) < len(start), (
        "some rows stay untouched"
    )


def test_lazy_adam_keeps_small_corrections_in_float32():
    """The first step of a row has length lr, whenever it comes."""
    weight = table(np.zeros((V, D)), torch.float32)
    optimizer = LazyAdam(weight)
    for t in range(20):
        backward(weight, ([1 if t < 19 else 2], [[0.25, -4.0]], 0.1), sparse=True)
        optimizer.step(0.1)
    assert weight[2].tolist() == pytest.approx([-0.1, 0.1], rel=1e-6)


@pytest.mark.parametrize("kind", ["deferred", "lazy"])
@pytest.mark.parametrize("cut", [1, 17])
def test_a_resumed_run_is_bitwise_the_same(kind, cut):
    start, plan = drawn(30)

    def build(weight: nn.Parameter) -> DeferredSGD | LazyAdam:
        return DeferredSGD(weight, **DEFAULTS) if kind == "deferred" else LazyAdam(weight)

    def run(weight: nn.Parameter, optimizer: DeferredSGD | LazyAdam, steps: list[Step]) -> None:
        for step in steps:
            optimizer.catch_up(torch.tensor(step[0]))
            backward(weight, step, sparse=True)
            optimizer.step(step[2])

    whole = table(start, torch.float32)
    through = build(whole)
    run(whole, through, plan)

    first = table(start, torch.float32)
    stopped = build(first)
    run(first, stopped, plan[:cut])
    second = table(first.detach(), torch.float32)
    resumed = build(second)
    resumed.load_state_dict({name: tensor.clone() for name, tensor in stopped.state_dict().items()})
    run(second, resumed, plan[cut:])
    assert torch.equal(whole, second)
    assert all(
        torch.equal(a, b)
        for a, b in zip(through.state_dict().values(), resumed.state_dict().values(), strict=True)
    )
    for optimizer in (through, resumed):
        optimizer.flush()
    assert torch.equal(whole, second)


@pytest.mark.parametrize(
    "build", [lambda w: DeferredSGD(w, **DEFAULTS), LazyAdam], ids=["deferred", "lazy"]
)
def test_a_state_of_another_table_is_refused_and_changes_nothing(build):
    weight = table(np.ones((V, D)))
    optimizer = build(weight)
    backward(weight, ([1], [[1.0, 1.0]], 0.5), sparse=True)
    optimizer.step(0.5)
    before = {name: tensor.clone() for name, tensor in optimizer.state_dict().items()}
    other = build(table(np.ones((V + 1, D)))).state_dict()
    for state in (other, {}, dict(list(before.items())[1:])):
        with pytest.raises(ArtifactError, match="table optimiser.* must (be|hold)"):
            optimizer.load_state_dict(state)
    assert all(torch.equal(before[name], tensor) for name, tensor in optimizer.state_dict().items())


def test_deferred_refuses_coefficients_of_another_form():
    optimizer = DeferredSGD(table(np.ones((V, D))), **DEFAULTS)
    good = optimizer.state_dict()
    for missed in (
        torch.zeros(2, 0, 2),
        torch.zeros(2, deferred_sgd.MAX_STEPS + 2, 2),
        torch.zeros(4),
        torch.zeros(3, 1, 2),
    ):
        with pytest.raises(ArtifactError):
            optimizer.load_state_dict({**good, "missed": missed})


def test_state_is_small_after_a_flush():
    weight = table(np.ones((V, D)))
    optimizer = DeferredSGD(weight, **DEFAULTS)
    backward(weight, ([1], [[1.0, 1.0]], 0.5), sparse=True)
    optimizer.step(0.5)
    optimizer.flush()
    assert {name: tuple(tensor.shape) for name, tensor in optimizer.state_dict().items()} == {
        "velocity": (V, D), "last": (V,), "missed": (2, 1, 2)
    }  # fmt: skip
