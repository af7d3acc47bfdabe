"""BatchNorm, ReLU and dropout together against the three of torch."""

from contextlib import nullcontext

import pytest
import torch
from torch.nn import functional

from automtl.errors import DataError
from automtl.layers.kernels.bn_relu_dropout import NormalisedReLU
from automtl.layers.normalization import BatchNorm, Dropout, frozen_statistics, normalised_relu
from automtl.layers.operations import Dense

ROWS, WIDTH = 9, 5


def drawn(*shape, seed=0):
    return torch.randn(
        *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)
    ).requires_grad_()


def norm_of(width=WIDTH):
    norm = BatchNorm(width).double()
    norm.weight.data, norm.bias.data = drawn(width, seed=1).detach(), drawn(width, seed=2).detach()
    return norm


@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("frozen", [False, True])
def test_it_is_batch_norm_then_relu_then_dropout(rate, frozen):
    z, offset, upstream = drawn(ROWS, WIDTH), drawn(WIDTH, seed=3), drawn(ROWS, WIDTH, seed=4)
    ours, theirs = norm_of(), torch.nn.BatchNorm1d(WIDTH).double()
    theirs.load_state_dict(ours.state_dict())
    dropout, same = (Dropout(rate, generator=torch.Generator().manual_seed(9)) for _ in range(2))
    with frozen_statistics(ours) if frozen else nullcontext():
        found = normalised_relu(z, offset, ours, dropout)
    factors = same.factors(z.shape, z.device, z.dtype) if rate else 1.0
    expected = torch.relu(theirs(z + offset)) * factors
    torch.testing.assert_close(found, expected)
    got = torch.autograd.grad(found, [z, ours.weight, ours.bias, offset], upstream)
    want = torch.autograd.grad(expected, [z, theirs.weight, theirs.bias, offset], upstream)
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(
        ours.state_dict(), norm_of().state_dict() if frozen else theirs.state_dict()
    )


def test_gradients_and_their_gradients_by_differences():
    kept = (drawn(ROWS, WIDTH, seed=5) > -0.5).double()

    def function(z, gamma, beta, offset):
        return NormalisedReLU.apply(norm_of(), kept, 1.25, z, gamma, beta, offset)

    arguments = (
        drawn(ROWS, WIDTH),
        drawn(WIDTH, seed=1),
        drawn(WIDTH, seed=2),
        drawn(WIDTH, seed=3),
    )
    assert torch.autograd.gradcheck(function, arguments)
    assert torch.autograd.gradgradcheck(function, arguments)


def test_a_dense_layer_is_its_parts_one_after_the_other():
    torch.manual_seed(0)
    dense = Dense(
        width_in=4, units=WIDTH, dropout=0.5, generator=torch.Generator().manual_seed(9)
    ).double()
    same = Dropout(0.5, generator=torch.Generator().manual_seed(9))
    x = drawn(ROWS, 4)
    z = functional.linear(x, dense.linear.weight, dense.linear.bias)
    expected = torch.relu(
        functional.batch_norm(z, None, None, dense.norm.weight, dense.norm.bias, training=True)
    )
    torch.testing.assert_close(dense(x), same(expected))
    dense.eval()
    torch.testing.assert_close(dense(x), torch.relu(dense.norm(dense.linear(x))))


def test_in_bfloat16_it_is_near_and_moments_stay_float32():
    torch.manual_seed(0)
    dense, x = Dense(width_in=16, units=WIDTH), torch.randn(256, 16)
    exact = dense(x)
    moved = dense.norm.running_var.clone()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rough = dense(x)
    assert rough.dtype == torch.bfloat16 and dense.norm.running_var.dtype == torch.float32
    torch.testing.assert_close(rough.float(), exact, rtol=0.05, atol=0.05)
    torch.testing.assert_close(
        (dense.norm.running_var - 0.9 * moved) / 0.1, (moved - 0.9) / 0.1, rtol=0.02, atol=0
    )
    rough.float().sum().backward()
    assert dense.linear.weight.grad.dtype == torch.float32


def test_one_row_has_no_variance():
    with pytest.raises(DataError, match="batch: must have at least 2 rows in training, got 1"):
        Dense(width_in=4, units=WIDTH)(torch.ones(1, 4))
