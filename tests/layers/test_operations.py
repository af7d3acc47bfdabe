"""Expert candidates, dense and towers against numpy by hand, forward and gradient, in both modes;
and what every operation keeps, by the rules of `automtl.testing`.
"""

import pytest
import torch

from automtl.errors import ConfigError
from automtl.layers.normalization import BatchNorm
from automtl.layers.operations import BUILDERS, build_operation
from automtl.layers.towers import Tower
from automtl.spaces.operations import OPERATIONS, Operation
from automtl.testing.operations import RULES, operation_case
from tests.layers import oracles
from tests.layers.checks import check_against, randomise

TABLE_1 = [
    "gate",
    *(f"mlp({h})" for h in (16, 32, 64, 128, 256, 512, 1024)),
    "conv1d(3)",
    "conv1d(5)",
    "conv1d(7)",
    "skip",
]


def build(text: str, **settings):
    torch.manual_seed(1)
    module = build_operation(Operation.parse(text), width_in=6, **settings)
    randomise(module)
    return module


def rows(count: int = 5, width: int = 6) -> torch.Tensor:
    return torch.randn(
        count, width, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("text", [*TABLE_1, "dense(6)", "dense(9)"])
def test_expert_candidate_equals_numpy(text, training):
    module = build(text).train(training)
    check_against(module, oracles.EXPERT[Operation.parse(text).name], rows())


@pytest.mark.parametrize("text", ["gate", "mlp(16)", "conv1d(3)", "dense(9)"])
def test_without_batch_norm_it_equals_numpy(text):
    module = build(text, batch_norm=False)
    check_against(module, oracles.EXPERT[Operation.parse(text).name], rows())


def test_running_statistics_follow_the_outputs():
    module = build("conv1d(3)")
    before = (
        module.ending.norm.running_mean.numpy().copy(),
        module.ending.norm.running_var.numpy().copy(),
    )
    raw = oracles.conv1d(rows().numpy(), {"conv.weight": module.conv.weight.detach().numpy()}, True)
    module(rows())
    mean, var = oracles.running_statistics(raw, *before)
    torch.testing.assert_close(module.ending.norm.running_mean, torch.from_numpy(mean))
    torch.testing.assert_close(module.ending.norm.running_var, torch.from_numpy(var))


@pytest.mark.parametrize("text", [*TABLE_1, "dense(6)", "dense(9)"])
@pytest.mark.parametrize("rule", RULES)
def test_rule(rule, text):
    RULES[rule].check(operation_case(text, "expert"))


def test_builders_match_the_catalogue():
    assert set(BUILDERS) == {
        name for name, signature in OPERATIONS.items() if "expert" in signature.places
    }


def test_an_interaction_is_no_expert_operation():
    with pytest.raises(ConfigError, match=r"operation: must be an expert operation, got 'cross'"):
        build_operation(Operation("cross", 2), width_in=6)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("hidden", "outputs"), [((7, 4), 1), ((7, 4), 3), ((), 2)])
def test_tower_equals_numpy(hidden, outputs, training):
    torch.manual_seed(1)
    tower = Tower(width_in=6, hidden=hidden, outputs=outputs)
    randomise(tower)
    check_against(tower.train(training), oracles.tower, rows())
    assert tower(rows()).shape == ((5,) if outputs == 1 else (5, outputs))


def test_tower_keeps_a_single_row_a_vector():
    assert Tower(width_in=6).eval()(torch.zeros(1, 6)).shape == (1,)


def test_tower_dropout_and_batch_norm_act():
    generator = torch.Generator().manual_seed(0)
    tower = Tower(width_in=6, dropout=0.9, batch_norm=False, generator=generator)
    assert not any(isinstance(m, BatchNorm) for m in tower.modules())
    x = rows().float()
    assert not torch.equal(tower(x), tower(x))
    torch.testing.assert_close(tower.eval()(x), tower(x))
