"""The switchable BatchNorm and the dropout that draws from its own generator."""

from unittest.mock import patch

import numpy as np
import pytest
import torch
from torch import nn

from automtl.errors import ConfigError, DataError
from automtl.layers.gates import Gate
from automtl.layers.normalization import BatchNorm, Dropout, frozen_statistics
from tests.layers import oracles


def rows(count: int = 6) -> torch.Tensor:
    return torch.randn(count, 4, generator=torch.Generator().manual_seed(3)) * 3 + 1


def test_switched_off_normalises_by_the_batch_and_leaves_statistics_bitwise_alone():
    norm, reference = BatchNorm(4), nn.BatchNorm1d(4)
    norm(rows())
    before = {name: value.clone() for name, value in norm.state_dict().items()}
    norm.update_statistics = False
    torch.testing.assert_close(norm(rows()), reference(rows()), rtol=0, atol=0)
    assert all(torch.equal(value, before[name]) for name, value in norm.state_dict().items())


def test_switched_on_it_is_torchs_batch_norm():
    norm, reference = BatchNorm(4), nn.BatchNorm1d(4)
    for module in (norm, reference):
        module(rows())
    assert all(
        torch.equal(value, reference.state_dict()[name])
        for name, value in norm.state_dict().items()
    )
    assert torch.equal(norm.eval()(rows()), reference.eval()(rows()))


def test_frozen_statistics_restores_each_setting_even_after_an_error():
    model = nn.Sequential(BatchNorm(4), BatchNorm(4))
    model[1].update_statistics = False

    def fail_within() -> None:
        with frozen_statistics(model):
            assert not model[0].update_statistics
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail_within()
    assert [norm.update_statistics for norm in model] == [True, False]


@pytest.mark.parametrize("update", [True, False])
def test_one_row_has_no_variance(update):
    norm = BatchNorm(4)
    norm.update_statistics = update
    with pytest.raises(DataError, match="batch: must have at least 2 rows in training, got 1"):
        norm(rows(1))
    assert norm.eval()(rows(1)).shape == (1, 4)


@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_dropout_rate_and_scale(rate):
    out = Dropout(rate, generator=torch.Generator().manual_seed(5))(
        torch.ones(1000, 301, dtype=torch.float64)
    )
    kept = out != 0
    assert abs(1 - kept.double().mean() - rate) < 5 * np.sqrt(rate * (1 - rate) / out.numel())
    torch.testing.assert_close(
        out[kept], torch.full_like(out[kept], 1 / (1 - rate)), rtol=2e-4, atol=0
    )


def test_dropout_decisions_are_independent_between_neighbours():
    dropout = Dropout(0.5, generator=torch.Generator().manual_seed(5))
    kept = (dropout.factors(torch.Size([200_000]), torch.device("cpu")) > 0).double() - 0.5
    for lag in range(1, 9):
        assert abs((kept[lag:] * kept[:-lag]).mean() * 4) < 0.012  # 5 standard deviations


def test_dropout_draws_from_its_generator_only():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    first, second = (Dropout(0.3, generator=torch.Generator().manual_seed(9)) for _ in range(2))
    x = torch.ones(50, 7)
    assert torch.equal(first(x), second(x))
    assert not torch.equal(first(x), torch.ones(50, 7) * first(x).max())
    assert torch.equal(torch.get_rng_state(), before)


def test_dropout_is_the_identity_in_evaluation_and_at_rate_zero():
    x = rows()
    assert Dropout(0.3, generator=torch.Generator()).eval()(x) is x
    assert Dropout(0.0)(x) is x


def test_dropout_gradient_is_masked_like_the_output():
    x = torch.ones(50, 7, requires_grad=True)
    out = Dropout(0.3, generator=torch.Generator().manual_seed(9))(x)
    out.sum().backward()
    assert torch.equal(x.grad, out.detach())


@pytest.mark.parametrize(
    ("rate", "bits"),
    [(2**-16, 16), (0.001, 16), (0.1, 16), (0.2, 8), (0.25, 8), (0.999, 16), (1 - 2**-16, 16)],
)
def test_as_many_words_drop_as_the_rate_says(rate, bits):
    dropout = Dropout(rate, generator=torch.Generator())
    # each once
    words = torch.arange(
        -(2 ** (bits - 1)), 2 ** (bits - 1), dtype={8: torch.int8, 16: torch.int16}[bits]
    )
    with patch.object(torch, "empty", lambda *_, **__: Drawn(words)):
        factors = dropout.factors(torch.Size([2**bits]), torch.device("cpu"), torch.float64)
    dropped = int((factors == 0).sum())
    assert dropped == round(rate * 2**bits)
    assert abs(dropped / 2**bits - rate) <= max(2**-17, min(rate, 1 - rate) / 100)
    assert factors.mean().item() == pytest.approx(1, abs=1e-12)


class Drawn:
    """Stands for the drawn words."""

    def __init__(self, words):
        self.words = words

    def random_(self, *_, **__):
        return self

    def view(self, _):
        return self.words


def test_rectified_is_dropout_after_relu():
    x = torch.randn(50, 7, dtype=torch.float64, requires_grad=True)
    one, other = (Dropout(0.3, generator=torch.Generator().manual_seed(9)) for _ in range(2))
    expected, found = one(torch.relu(x)), other.rectified(x * 1.0)
    assert torch.equal(found, expected)
    assert (found == 0).double().mean() > 0.5
    upstream = torch.randn_like(x)
    (first,), (second,) = (torch.autograd.grad(out, x, upstream) for out in (expected, found))
    assert torch.equal(first, second)


REFUSED = [
    (1.0, torch.Generator(), "less than 1"),
    (-0.1, None, "at least 0"),
]


@pytest.mark.parametrize(("rate", "generator", "rule"), REFUSED)
def test_dropout_refuses(rate, generator, rule):
    with pytest.raises(ConfigError, match=rule):
        Dropout(rate, generator=generator)


def test_dropout_without_a_generator_draws_from_torchs_own():
    dropout, x = Dropout(0.5), torch.ones(64, 9)
    draws = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        draws.append(dropout(x))
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    assert 0.3 < (draws[0] == 0).double().mean() < 0.7


@pytest.mark.parametrize("bias", [True, False])
def test_gate_is_a_softmax_of_a_linear_map(bias):
    gate = Gate(4, 3, bias=bias).double()
    x = rows().double()
    params = {
        f"linear.{name}": value.detach().numpy() for name, value in gate.linear.named_parameters()
    }
    assert ("linear.bias" in params) is bias
    expected = np.stack(
        [oracles.softmax(row) for row in oracles.linear(x.numpy(), params, "linear")]
    )
    np.testing.assert_allclose(gate(x).detach().numpy(), expected, rtol=1e-12)
