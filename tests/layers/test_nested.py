"""Nested widths against numpy: mlp(h) is an MLP of the first h hidden units of the widest one,
whatever form computes it.
"""

import numpy as np
import pytest
import torch
from torch import nn

from automtl.layers.choice_block import ChoiceBlock
from automtl.layers.nested import NestedMLP, build_nested
from automtl.layers.normalization import frozen_statistics
from automtl.layers.operations import MLP
from automtl.spaces.operations import Operation
from tests.layers import oracles
from tests.layers.checks import arrays, check_against, randomise

WIDTHS = {"mlp(4)": 4, "mlp(12)": 12, "mlp(7)": 7}


def nested_block(**settings) -> ChoiceBlock:
    torch.manual_seed(0)
    candidates = build_nested(
        [Operation.parse(o) for o in (*WIDTHS, "gate", "skip")], width_in=6, **settings
    )
    block = ChoiceBlock(candidates, alpha=nn.Parameter(torch.randn(5)))
    randomise(block)
    return block


def rows(count: int = 9) -> torch.Tensor:
    return torch.randn(count, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(3))


def own_parameters(shared, number: int, width: int):
    """What mlp(width) would own as an MLP of its own, cut from the block's arrays."""
    mine, wide = f"candidates.{number}.", "candidates.1."
    cut = {
        name.removeprefix(wide): value[:width]
        for name, value in shared.items()
        if name.startswith(f"{wide}inner")
    }
    cut |= {
        "outer.weight": shared[f"{wide}outer.weight"][:, :width],
        "outer.bias": shared[f"{mine}{'outer.' * (width == 12)}bias"],
    }
    return cut | {
        name.removeprefix(mine): value
        for name, value in shared.items()
        if name.startswith(f"{mine}ending")
    }


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("batch_norm", [True, False])
def test_block_and_all_gradients_equal_the_formula(training, fused, batch_norm):
    block = nested_block(batch_norm=batch_norm).train(training)
    block.fused, block.auxiliary_skip = fused, 0.4

    def oracle(x, shared, training):
        shares = oracles.softmax(shared["alpha"])
        out = shares[4] * x + 0.4 * x
        gate = {
            name.removeprefix("candidates.3."): value
            for name, value in shared.items()
            if name.startswith("candidates.3.")
        }
        out = out + shares[3] * oracles.gate(x, gate, training)
        for number, width in enumerate(WIDTHS.values()):
            out = out + shares[number] * oracles.mlp(
                x, own_parameters(shared, number, width), training
            )
        return out

    with frozen_statistics(block):
        check_against(block, oracle, rows())


@pytest.mark.parametrize("fused", [True, False])
def test_shared_statistics_move_once_a_step(fused):
    block = nested_block()
    block.fused = fused
    before, x = arrays(block), rows()
    block(x)
    inner = oracles.linear(x.numpy(), before, "candidates.1.inner")
    name = "candidates.1.inner_norm.running_"
    expected = oracles.running_statistics(inner, before[name + "mean"], before[name + "var"])
    after = arrays(block)
    np.testing.assert_allclose(after[name + "mean"], expected[0], rtol=1e-12)
    np.testing.assert_allclose(after[name + "var"], expected[1], rtol=1e-12)
    assert block.candidates[1].inner_norm.num_batches_tracked == 1


def test_on_a_path_a_candidate_moves_the_statistics_of_its_own_units():
    block = nested_block()
    before, x = arrays(block), rows()
    block.path = 0  # mlp(4)
    with frozen_statistics(block):
        expected = block(x)
    assert all(np.array_equal(value, before[name]) for name, value in arrays(block).items())
    assert torch.equal(block(x), expected)
    after, inner = arrays(block), oracles.linear(x.numpy(), before, "candidates.1.inner")
    name = "candidates.1.inner_norm.running_"
    for mine, moved in zip(
        ("mean", "var"),
        oracles.running_statistics(inner, before[name + "mean"], before[name + "var"]),
        strict=True,
    ):
        np.testing.assert_allclose(
            after[name + mine], [*moved[:4], *before[name + mine][4:]], rtol=1e-12
        )
    block.eval()
    np.testing.assert_allclose(
        block(x).detach().numpy(),
        oracles.mlp(x.numpy(), own_parameters(after, 0, 4), training=False),
    )


def test_the_widest_owns_the_shared_parameters_once():
    block = nested_block()
    wide = block.candidates[1]
    assert isinstance(wide, MLP) and [type(block.candidates[i]) for i in (0, 2)] == [NestedMLP] * 2
    assert [n for n, _ in block.candidates[0].named_parameters()] == [
        "bias",
        "ending.norm.weight",
        "ending.norm.bias",
    ]
    assert sum(p.numel() for p in wide.parameters()) == 6 * 12 + 12 + 2 * 12 + 12 * 6 + 6 + 2 * 6
    assert repr(block.candidates[0]).startswith("NestedMLP(\n  hidden=4 of 12")


def test_a_copy_shares_within_itself_alone():
    import copy

    block = nested_block()
    twin = copy.deepcopy(block)
    assert twin.candidates[0].wide is twin.candidates[1] is not block.candidates[1]


def test_a_block_with_one_mlp_or_none_has_nothing_to_share():
    one = build_nested([Operation.parse("mlp(4)"), Operation.parse("skip")], width_in=6)
    assert [type(m).__name__ for m in one] == ["MLP", "Skip"]
    assert [type(m).__name__ for m in build_nested([Operation.parse("gate")], width_in=6)] == [
        "BitGate"
    ]
