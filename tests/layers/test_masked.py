"""What folding a neuron mask leaves of a layer, against numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from automtl.layers.masked import BaseLinear
from automtl.layers.masks import GaussianMask
from automtl.sharing.mome import FINE, NEURONS
from tests.sharing.modules import make

MUS = [-3.0, -2.0, 9.9, -2.0, -3.0, -4.0]  # the third is each test's own


def folded(mus: list[float]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Weights before and after, and the inputs that are alive."""
    layer = BaseLinear(nn.Linear(len(mus), 4))
    layer.neurons = GaussianMask((len(mus),), generator=torch.Generator())
    before = layer.weight.detach().numpy().copy()
    with torch.no_grad():
        layer.neurons.mu.copy_(torch.tensor(mus))
    alive = layer.fold()
    assert layer.neurons is None
    return before, layer.weight.detach().numpy(), alive.numpy()


@pytest.mark.parametrize("best", [-1.0, 0.0])
def test_where_every_input_is_dead_the_best_stays_at_its_whole_weight(best: float) -> None:
    before, after, alive = folded([best if mu == 9.9 else mu for mu in MUS])
    assert alive.tolist() == [False, False, True, False, False, False]
    np.testing.assert_array_equal(after[:, alive], before[:, alive])


@pytest.mark.parametrize("best", [1e-3, 0.25, 1.0, 2.5])
def test_one_live_input_is_folded_as_it_is(best: float) -> None:
    before, after, alive = folded([best if mu == 9.9 else mu for mu in MUS])
    assert alive.tolist() == [False, False, True, False, False, False]
    np.testing.assert_array_equal(after[:, alive], np.float32(min(best, 1.0)) * before[:, alive])
    assert not after[:, ~alive].any()


def test_the_whole_module_keeps_the_survivor() -> None:
    module = make("mome", masks=0)
    module.begin(NEURONS)
    weight = module.base[0].weight.detach().numpy().copy()
    with torch.no_grad():
        module.base[0].neurons.mu.copy_(-torch.tensor([3.0, 2, 1, 2, 3, 4]))
    module.begin(FINE)
    assert module.base[0].inputs.tolist() == [2]
    np.testing.assert_array_equal(module.base[0].weight.detach().numpy(), weight[:, [2]])
