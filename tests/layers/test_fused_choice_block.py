"""The fused choice block against the straightforward one: values, statistics, gradients, and what
must not change.
"""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from automtl.errors import DataError
from automtl.layers._fused_choice_block import kinds_of
from automtl.layers.choice_block import ChoiceBlock
from automtl.layers.interaction import build_interaction
from automtl.layers.kernels import mlp_bank, normalised_sum
from automtl.layers.nested import build_nested
from automtl.layers.normalization import frozen_statistics
from automtl.layers.operations import build_operation
from automtl.spaces.operations import Operation

TABLE_1 = [
    "gate",
    *(f"mlp({h})" for h in (16, 32, 64, 128, 256, 512, 1024)),
    "conv1d(3)",
    "conv1d(5)",
    "conv1d(7)",
    "skip",
]
SMALL = ["gate", "mlp(16)", "mlp(32)", "conv1d(3)", "conv1d(7)", "skip"]
INTERACTIONS = [
    "product(inner)",
    "product(outer)",
    "cross(2)",
    "self_attention(2)",
    "mlp(64)",
    "mlp(128)",
    "skip",
]


def plain_block(
    operations: list[str] = SMALL, width: int = 16, *, nested: bool = False, **settings
) -> ChoiceBlock:
    """A straightforward block in float64 whose parameters and statistics are all random."""
    torch.manual_seed(0)
    if nested:
        candidates = build_nested(
            [Operation.parse(o) for o in operations], width_in=width, **settings
        )
    elif operations is INTERACTIONS:
        candidates = [
            build_interaction(Operation.parse(o), num_fields=3, dim=4, **settings)
            for o in operations
        ]
    else:
        candidates = [
            build_operation(Operation.parse(o), width_in=width, **settings) for o in operations
        ]
    block = ChoiceBlock(
        candidates, alpha=nn.Parameter(torch.randn(len(operations))), fused=False
    ).double()
    block.auxiliary_skip = 0.3
    for name, tensor in block.state_dict().items():
        if "norm" in name and tensor.dim():
            tensor.copy_(0.5 + torch.rand_like(tensor))
    return block


def fused_copy(block: ChoiceBlock, dtype: torch.dtype = torch.float64) -> ChoiceBlock:
    fused = ChoiceBlock(
        copy.deepcopy(list(block.candidates)), alpha=nn.Parameter(block.alpha.detach().clone())
    ).to(dtype)
    fused.auxiliary_skip = block.auxiliary_skip
    return fused


def inputs(kind: str, *shape: int) -> Tensor:
    rows = {"normal": 300, "shifted": 300, "two rows": 2}[kind]
    x = torch.randn(rows, *shape, generator=torch.Generator().manual_seed(1)) + (
        100 if kind == "shifted" else 0
    )
    return x.double()  # of float32 values: both types see the same numbers


def run(block: ChoiceBlock, x: Tensor) -> dict[str, Tensor]:
    """Output, gradients and running statistics of one step, in float64."""
    leaf = x.to(block.alpha.dtype).requires_grad_()
    out = block(leaf)
    out.backward(torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(out.dtype))
    weights = {n: p for n, p in block.named_parameters() if n != "alpha" and p.grad is not None}
    return {
        "out": out.detach().double(),
        "statistics": torch.cat(
            [torch.ones(1), *(b.double() for n, b in block.named_buffers() if "running" in n)]
        ),
        "x": leaf.grad.double(),
        "alpha": block.alpha.grad.double(),
        "weights": torch.cat([p.grad.flatten().double() for p in weights.values()])
        if weights
        else torch.empty(0),
    }


def assert_equal(
    got: dict[str, Tensor], expected: dict[str, Tensor], *, values: float, gradients: float
) -> None:
    for name in ("out", "statistics"):
        assert (got[name] - expected[name]).abs().max() <= values * expected[name].abs().max(), name
    for name in ("x", "alpha", "weights"):
        assert (got[name] - expected[name]).norm() <= gradients * expected[name].norm(), name


# float32 is held against float64: at mean 100 the straightforward block's own float32 gradient is
# 3e-3 away from it
TOLERANCES = {
    torch.float64: {"values": 1e-9, "gradients": 1e-9},
    torch.float32: {"values": 1e-4, "gradients": 1e-3},
}


SHAPES = [
    (SMALL, 16, False),
    (TABLE_1, 64, False),
    (["mlp(16)"], 5, False),
    (["conv1d(7)", "skip"], 3, False),
]
# the last in no order
NESTED = [
    (SMALL, 16, True),
    (TABLE_1, 64, True),
    (["mlp(16)", "mlp(64)", "gate", "mlp(32)"], 5, True),
]


@pytest.mark.parametrize("dtype", TOLERANCES)
@pytest.mark.parametrize("kind", ["normal", "shifted", "two rows"])
@pytest.mark.parametrize(("operations", "width", "nested"), SHAPES + NESTED)
def test_equals_the_straightforward_block(operations, width, nested, kind, dtype):
    block = plain_block(operations, width, nested=nested)
    fused = fused_copy(block, dtype)
    assert_equal(
        run(fused, inputs(kind, width)), run(block, inputs(kind, width)), **TOLERANCES[dtype]
    )


@pytest.mark.parametrize("kind", ["normal", "two rows"])
def test_interaction_block_fuses_its_mlps_among_the_others(kind):
    block = plain_block(INTERACTIONS)
    assert_equal(
        run(fused_copy(block), inputs(kind, 3, 4)),
        run(block, inputs(kind, 3, 4)),
        values=1e-9,
        gradients=1e-9,
    )


@pytest.mark.parametrize(
    ("operations", "nested"),
    [(SMALL, False), (INTERACTIONS, False), (SMALL, True), (SMALL[::-1], True)],
)
def test_dropout_draws_and_drops_the_same(operations, nested):
    shape = (3, 4) if operations is INTERACTIONS else (16,)
    block = plain_block(operations, dropout=0.3, generator=torch.Generator(), nested=nested)
    fused = fused_copy(block)
    for each in (block, fused):  # the copy has a generator of its own
        next(
            module for module in each.modules() if hasattr(module, "generator")
        ).generator.manual_seed(5)
    expected = run(block, inputs("normal", *shape))
    assert_equal(run(fused, inputs("normal", *shape)), expected, values=1e-9, gradients=1e-9)
    assert not torch.allclose(
        run(plain_block(operations, nested=nested), inputs("normal", *shape))["out"],
        expected["out"],
    )


@pytest.mark.parametrize("recompute", [True, False])
@pytest.mark.parametrize("frozen", [True, False])
@pytest.mark.parametrize("nested", [True, False])
def test_chunks_and_recomputation_change_nothing(monkeypatch, recompute, frozen, nested):
    block = plain_block(nested=nested)
    fused = fused_copy(block)
    fused.recompute = recompute
    for each in (block, fused):
        for name, parameter in each.named_parameters():
            parameter.requires_grad_(not frozen or name == "alpha")
    # 128 of the 300 rows: the last chunk is short
    monkeypatch.setattr(mlp_bank, "_CHUNK_BYTES", 48 * 8 * 128)
    assert_equal(
        run(fused, inputs("normal", 16)),
        run(block, inputs("normal", 16)),
        values=1e-9,
        gradients=1e-9,
    )
    if frozen:
        assert all(
            parameter.grad is None
            for name, parameter in fused.named_parameters()
            if name != "alpha"
        )


@pytest.mark.parametrize("nested", [True, False])
def test_statistics_stay_where_they_are_switched_off(nested):
    block = plain_block(nested=nested)
    fused = fused_copy(block)
    before = {name: buffer.clone() for name, buffer in fused.named_buffers()}
    with frozen_statistics(fused):
        torch.testing.assert_close(fused(inputs("normal", 16)), block(inputs("normal", 16)))
    assert all(torch.equal(buffer, before[name]) for name, buffer in fused.named_buffers())
    fused.candidates[2].inner_norm.update_statistics = False  # one alone
    fused(inputs("normal", 16))
    moved = {
        name for name, buffer in fused.named_buffers() if not torch.equal(buffer, before[name])
    }
    assert not any("candidates.2.inner_norm" in name for name in moved)
    assert {
        name for name in before if "num_batches" in name and "candidates.2.inner_norm" not in name
    } <= moved


@pytest.mark.parametrize("nested", [True, False])
def test_evaluation_uses_running_statistics(nested):
    block = plain_block(nested=nested).eval()
    fused = fused_copy(block).eval()
    assert torch.equal(fused(inputs("normal", 16)), block(inputs("normal", 16)))
    assert torch.equal(fused(inputs("normal", 16)[:1]), block(inputs("normal", 16)[:1]))


@pytest.mark.parametrize("nested", [True, False])
def test_candidates_own_the_same_parameters_under_the_same_names(nested):
    block = plain_block(nested=nested)
    assert list(fused_copy(block).state_dict()) == list(block.state_dict())


def test_biases_before_a_batch_norm_get_a_zero_gradient():
    fused = fused_copy(plain_block())
    run(fused, inputs("normal", 16))
    assert not fused.candidates[1].inner.bias.grad.any()
    assert not fused.candidates[1].outer.bias.grad.any()


@pytest.mark.parametrize("nested", [True, False])
def test_bfloat16_products_stay_near(nested):
    block = plain_block(TABLE_1, 64, nested=nested)
    fused = fused_copy(block, torch.float32)
    expected = run(block, inputs("normal", 64))
    with torch.autocast("cpu", torch.bfloat16):
        got = run(fused, inputs("normal", 64))
    assert_equal(got, expected, values=0.02, gradients=0.15)
    # they were in bfloat16
    assert (got["out"] - expected["out"]).abs().max() > 1e-4 * expected["out"].abs().max()


def test_blocks_in_a_row_share_one_alpha():
    first, second = plain_block(), plain_block()
    second.alpha = first.alpha
    fused = [fused_copy(first), fused_copy(second)]
    fused[1].alpha = fused[0].alpha
    x = inputs("normal", 16)
    second(first(x)).square().sum().backward()
    fused[1](fused[0](x)).square().sum().backward()
    torch.testing.assert_close(fused[0].alpha.grad, first.alpha.grad, rtol=1e-9, atol=1e-9)


def test_what_is_merged():
    def kinds(operations: list[str], width: int = 16, **settings: object) -> dict[str, list[int]]:
        return {
            kind: found
            for kind, found in kinds_of(
                plain_block(operations, width, **settings).candidates
            ).items()
            if found
        }

    assert kinds(SMALL) == {"gate": [0], "mlp": [1, 2], "convolution": [3, 4], "skip": [5]}
    assert kinds(INTERACTIONS) == {"other": [0, 1, 2, 3], "mlp": [4, 5], "skip": [6]}
    assert kinds(SMALL, 129) == {"gate": [0], "other": [1, 2, 3, 4], "skip": [5]}
    assert kinds(SMALL, batch_norm=False) == {"other": [0, 1, 2, 3, 4], "skip": [5]}
    assert kinds(SMALL, nested=True) == kinds(SMALL)
    assert kinds(SMALL, 129, nested=True) == kinds(SMALL, 129)
    assert kinds(SMALL, dropout=0.1, generator=torch.Generator()) == {
        "other": [0, 3, 4],
        "mlp": [1, 2],
        "skip": [5],
    }


@pytest.mark.parametrize(
    ("operations", "width", "settings"),
    [
        (["gate", "skip"], 16, {}),
        (SMALL, 129, {}),
        (SMALL, 16, {"batch_norm": False}),
        (["conv1d(3)", "skip"], 16, {"dropout": 0.5}),
    ],
)
def test_nothing_to_merge(operations, width, settings):
    if "dropout" in settings:
        settings = settings | {"generator": torch.Generator()}
    block = plain_block(operations, width, **settings)
    assert_equal(
        run(fused_copy(block), inputs("normal", width)),
        run(block, inputs("normal", width)),
        values=0,
        gradients=0,
    )


@pytest.mark.parametrize("fused", [True, False])
def test_one_row_has_no_variance(fused):
    block = plain_block()
    block.fused = fused
    with pytest.raises(DataError, match="batch: must have at least 2 rows in training, got 1"):
        block(inputs("normal", 16)[:1])


def test_second_derivatives_are_refused_not_wrong():
    fused = fused_copy(plain_block())
    (gradient,) = torch.autograd.grad(
        fused(inputs("normal", 16)).square().sum(), fused.alpha, create_graph=True
    )
    with pytest.raises(RuntimeError):
        gradient.sum().backward()
    fused.fused = False
    (gradient,) = torch.autograd.grad(
        fused(inputs("normal", 16)).square().sum(), fused.alpha, create_graph=True
    )
    gradient.sum().backward()
    assert fused.alpha.grad.any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
def test_batch_norm_gradients_are_those_of_the_formula(dtype):
    rng = np.random.default_rng(0)
    # as rounded to the type
    x, gradient = (
        torch.tensor(rng.normal(1, 2, (3, 5, 400))).to(dtype).double().numpy() for _ in range(2)
    )
    gamma, mean, rstd = rng.normal(size=(3, 5)), x.mean(2), 1 / np.sqrt(x.var(2) + 1e-5)
    normal = (x - mean[..., None]) * rstd[..., None]
    to_gamma, to_beta = (gradient * normal).sum(2), gradient.sum(2)
    to_x = (gamma * rstd)[..., None] * (
        gradient - to_beta[..., None] / 400 - normal * to_gamma[..., None] / 400
    )
    exact = torch.promote_types(dtype, torch.float32)
    inputs = [
        torch.tensor(a).to(kind)
        for a, kind in ((gradient, dtype), (x, dtype), (gamma, exact), (mean, exact), (rstd, exact))
    ]
    tolerance = {torch.float64: 1e-11, torch.float32: 2e-4, torch.bfloat16: 2e-4}[dtype]
    got = normalised_sum.batch_norm_gradients(*inputs)
    assert [t.dtype for t in got] == [dtype, exact, exact]
    np.testing.assert_allclose(
        got[0].double(), to_x, rtol=8e-3 if dtype == torch.bfloat16 else tolerance, atol=tolerance
    )
    for sums in (got, normalised_sum.batch_norm_gradients(*inputs, to_x=False)):
        np.testing.assert_allclose(sums[1].double(), to_gamma, rtol=tolerance, atol=tolerance * 20)
        np.testing.assert_allclose(sums[2].double(), to_beta, rtol=tolerance, atol=tolerance * 20)
