"""What a network's state may not hold, though its names, types and shapes are right."""

import pytest
from torch import nn

from automtl.errors import ArtifactError
from automtl.training.checkpoint_state import load_net_state


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("1.running_var", -1e-3, r"net\.1\.running_var: must be at least 0, got -0\.001"),
        ("1.running_var", float("nan"), r"net\.1\.running_var: must be finite, got NaN"),
        ("1.running_mean", float("inf"), r"net\.1\.running_mean: must be finite, got NaN"),
    ],
)
def test_statistics_that_no_batch_gives_are_refused(name, value, message):
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    state[name][1] = value
    with pytest.raises(ArtifactError, match=message):
        load_net_state(net, state)


def test_a_mean_below_0_is_taken_in():
    net = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    state = {key: tensor.clone() for key, tensor in net.state_dict().items()}
    state["1.running_mean"][1] = -1.0
    load_net_state(net, state)
    assert net[1].running_mean.tolist() == [0.0, -1.0]
