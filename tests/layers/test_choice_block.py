"""The choice block against its formula; the gradient of alpha against finite differences."""

import numpy as np
import pytest
import torch
from torch import nn

from automtl.errors import ConfigError
from automtl.layers.choice_block import ChoiceBlock
from automtl.layers.interaction import build_interaction
from automtl.layers.operations import build_operation
from automtl.spaces.operations import Operation
from tests.layers import oracles
from tests.layers.checks import arrays, randomise

EXPERT = ["gate", "mlp(16)", "mlp(32)", "conv1d(3)", "conv1d(5)", "skip"]
INTERACTION = ["product(inner)", "cross(2)", "self_attention(2)", "mlp(64)", "skip"]


def expert_block() -> ChoiceBlock:
    torch.manual_seed(2)
    block = ChoiceBlock(
        [build_operation(Operation.parse(t), width_in=6) for t in EXPERT],
        alpha=nn.Parameter(torch.randn(len(EXPERT))),
    )
    randomise(block)
    return block


def rows() -> torch.Tensor:
    return torch.randn(7, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def by_hand(block: ChoiceBlock, x: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    weights = oracles.softmax(alpha)
    parts = [
        oracles.EXPERT[Operation.parse(text).name](x, arrays(candidate), block.training)
        for text, candidate in zip(EXPERT, block.candidates, strict=True)
    ]
    return sum(w * part for w, part in zip(weights, parts, strict=True)) + block.auxiliary_skip * x


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("auxiliary_skip", [0.0, 0.7])
def test_block_and_alpha_gradient_equal_the_formula(training, auxiliary_skip):
    block = expert_block().train(training)
    block.auxiliary_skip = auxiliary_skip
    x, alpha = rows().numpy(), block.alpha.detach().numpy().copy()
    direction = np.random.default_rng(0).standard_normal(x.shape)
    out = block(rows())
    np.testing.assert_allclose(
        out.detach().numpy(), by_hand(block, x, alpha), rtol=1e-10, atol=1e-10
    )
    out.backward(torch.from_numpy(direction))
    for i in range(len(alpha)):
        step = 1e-6 * np.eye(len(alpha))[i]
        numeric = (
            (by_hand(block, x, alpha + step) - by_hand(block, x, alpha - step)) * direction
        ).sum() / 2e-6
        assert abs(block.alpha.grad[i] - numeric) < 1e-7 * max(1, abs(numeric))


def test_interaction_block_flattens_its_auxiliary_skip():
    torch.manual_seed(2)
    candidates = [build_interaction(Operation.parse(t), num_fields=3, dim=4) for t in INTERACTION]
    block = ChoiceBlock(candidates, alpha=nn.Parameter(torch.full((5,), -50.0)))
    block.alpha.data[-1] = 50.0  # skip alone
    block.auxiliary_skip = 0.25
    x = torch.randn(7, 3, 4)
    torch.testing.assert_close(block(x), 1.25 * x.flatten(1))


def test_one_alpha_serves_two_blocks():
    alpha = nn.Parameter(torch.zeros(2))
    blocks = [
        ChoiceBlock(
            [build_operation(Operation.parse(t), width_in=6) for t in ("gate", "skip")], alpha=alpha
        )
        for _ in range(2)
    ]
    assert sum(p is alpha for p in nn.ModuleList(blocks).parameters()) == 1
    x = rows().float()
    blocks[1](blocks[0](x)).square().sum().backward()
    assert alpha.grad.abs().min() > 0


@pytest.mark.parametrize("length", [1, 3])
def test_alpha_must_fit(length):
    with pytest.raises(ConfigError, match="one alpha per candidate, got 2 candidates"):
        ChoiceBlock([nn.Identity(), nn.Identity()], alpha=nn.Parameter(torch.zeros(length)))
