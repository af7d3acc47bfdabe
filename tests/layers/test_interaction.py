"""Feature interactions against numpy by hand (attention: against torch's own too), forward and
gradient, in both modes.
"""

from functools import partial

import pytest
import torch
from torch import nn

from automtl.errors import ConfigError
from automtl.layers._attention import field_attention
from automtl.layers.interaction import BUILDERS, build_interaction
from automtl.layers.normalization import BatchNorm
from automtl.spaces.operations import OPERATIONS, Operation
from automtl.testing.operations import RULES, operation_case
from tests.layers import oracles
from tests.layers.checks import check_against, randomise

CROSSES, HEADS, WIDTHS = (1, 2, 3, 4), (1, 2, 4, 8), (64, 128, 256, 512, 1024)
TABLE_1 = [
    "product(inner)",
    "product(outer)",
    *(f"cross({n})" for n in CROSSES),
    *(f"self_attention({n})" for n in HEADS),
    *(f"mlp({n})" for n in WIDTHS),
    "skip",
]


def build(text: str, num_fields: int = 3, dim: int = 8, **settings):
    torch.manual_seed(1)
    module = build_interaction(Operation.parse(text), num_fields=num_fields, dim=dim, **settings)
    randomise(module)
    return module


def fields(count: int = 4, num_fields: int = 3, dim: int = 8) -> torch.Tensor:
    return torch.randn(
        count, num_fields, dim, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )


def oracle(text: str):
    operation = Operation.parse(text)
    if operation.name == "self_attention":
        return partial(oracles.self_attention, heads=operation.argument)
    return oracles.INTERACTION.get(text) or oracles.INTERACTION[operation.name]


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("text", TABLE_1)
def test_interaction_equals_numpy(text, training):
    module = build(text).train(training)
    check_against(module, oracle(text), fields())
    assert module.width_out == 24


@pytest.mark.parametrize(
    "text", ["product(inner)", "product(outer)", "cross(2)", "self_attention(2)", "mlp(64)", "skip"]
)
def test_one_field_is_enough(text):
    check_against(build(text, num_fields=1), oracle(text), fields(num_fields=1))


# pair by pair up to 16, and up to 8 for each head
@pytest.mark.parametrize("num_fields", [3, 9, 17])
@pytest.mark.parametrize("heads", HEADS)
def test_attention_equals_torch_with_copied_weights(heads, num_fields):
    module = build(f"self_attention({heads})", num_fields=num_fields)
    theirs = nn.MultiheadAttention(8, heads, batch_first=True, dtype=torch.float64)
    theirs.in_proj_weight.data, theirs.in_proj_bias.data = (
        module.project_in.weight.data,
        module.project_in.bias.data,
    )
    theirs.out_proj.weight.data, theirs.out_proj.bias.data = (
        module.project_out.weight.data,
        module.project_out.bias.data,
    )
    ours, other = (fields(num_fields=num_fields).requires_grad_() for _ in range(2))
    expected = module.norm(other + theirs(other, other, other)[0]).flatten(1)
    out = module(ours)
    torch.testing.assert_close(out, expected)
    (out * out.detach().cos()).sum().backward()
    (expected * expected.detach().cos()).sum().backward()
    torch.testing.assert_close(ours.grad, other.grad)
    torch.testing.assert_close(module.project_in.weight.grad / 2, theirs.in_proj_weight.grad / 2)


# of the input: a block before it may have made it
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_attention_under_autocast_is_near_the_whole_precision(dtype):
    module = build("self_attention(2)", num_fields=9).float()
    x = fields(200, num_fields=9).to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        pairwise = module(x)
        module.fused = False
        theirs = module(x)
    exact = module.double()(x.double())
    error, of_theirs = ((out.double() - exact).abs().mean() for out in (pairwise, theirs))
    assert pairwise.dtype == theirs.dtype and error < 1.1 * of_theirs < 0.02


def test_attention_pair_by_pair_has_first_and_second_derivatives():
    packed = torch.randn(
        3,
        3,
        2,
        2,
        4,
        generator=torch.Generator().manual_seed(0),
        dtype=torch.float64,
        requires_grad=True,
    )
    assert torch.autograd.gradcheck(field_attention, packed)
    assert torch.autograd.gradgradcheck(field_attention, packed)


def test_heads_must_divide_the_width():
    with pytest.raises(
        ConfigError,
        match=r"self_attention\(4\): embedding width d must be divisible by 4 heads, got d = 10",
    ):
        build("self_attention(4)", dim=10)


@pytest.mark.parametrize("text", ["product(inner)", "product(outer)", "cross(2)", "mlp(64)"])
def test_without_batch_norm_it_equals_numpy(text):
    module = build(text, batch_norm=False)
    check_against(module, oracle(text), fields())


@pytest.mark.parametrize("num_fields", [3, 1])
@pytest.mark.parametrize("text", TABLE_1)
@pytest.mark.parametrize("rule", RULES)
def test_rule(rule, text, num_fields):
    RULES[rule].check(operation_case(text, "interaction", num_fields=num_fields))


@pytest.mark.parametrize("text", ["self_attention(2)", "skip"])
def test_attention_and_skip_take_neither_norm_nor_dropout(text):
    assert not OPERATIONS[Operation.parse(text).name].closed
    assert not any(isinstance(m, BatchNorm) for m in build(text, dropout=0.5).modules())


def test_builders_match_the_catalogue():
    assert set(BUILDERS) == {
        name for name, signature in OPERATIONS.items() if "interaction" in signature.places
    }


def test_an_expert_operation_is_no_interaction():
    with pytest.raises(
        ConfigError, match=r"operation: must be an interaction operation, got 'gate'"
    ):
        build_interaction(Operation("gate"), num_fields=3, dim=8)
