"""The count of what backward needs, by hand."""

import pytest
import torch
from torch import nn

from automtl.data.store.schema import Field, Schema, Task
from automtl.layers.embedding import InputLayer
from automtl.models.memory import _LIBRARIES, _SPARE, _kept, step_bytes

SCHEMA = Schema(
    name="x",
    fields=(Field(name="a", kind="categorical", vocabulary_size=11),),
    tasks=(Task(name="t", kind="binary"),),
)


class Net(nn.Module):
    """A table, then two linear layers with a sine between."""

    def __init__(self):
        super().__init__()
        self.input = InputLayer(vocabulary_sizes=(11,), num_numeric=0, dim=8)
        self.first, self.second = nn.Linear(8, 32), nn.Linear(32, 1)

    def forward(self, inputs):
        return self.second(torch.sin(self.first(self.input(inputs).flatten(1))))


def test_bytes_of_a_small_net_by_hand():
    batch = 1000
    dense = 8 * 32 + 32 + 32 + 1
    state = dense + 11 * 8
    # per row, kept for backward: the id (int64), the vector, sine's input and its output
    per_row = 8 + 4 * (8 + 32 + 32)
    needed = 4 * (dense + state) + batch * (per_row + 4 * 32)
    assert step_bytes(Net(), SCHEMA, batch=batch) == _LIBRARIES + round(_SPARE * needed)


def test_the_net_is_left_as_it_was():
    net = Net().eval()
    net.register_module("norm", nn.BatchNorm1d(8))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    step_bytes(net, SCHEMA, batch=4)
    assert not net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


class Listed(Net):
    """The same over a list instead of an id."""

    def __init__(self):
        super().__init__()
        self.input = InputLayer(vocabulary_sizes=(), num_numeric=0, dim=8, list_sizes=(11,))


LISTED = Schema(
    name="x", fields=(Field(name="a", kind="multi", vocabulary_size=11),), tasks=SCHEMA.tasks
)


def test_bytes_of_lists_by_hand():
    batch, longest = 300, 20_000
    dense = 8 * 32 + 32 + 32 + 1
    # per id of the longest list: whether it is known, its place (int64), and for a moment its
    # vector twice
    needed = 4 * (2 * dense + 11 * 8) + batch * longest * (4 + 8 + 2 * 4 * 8)
    assert step_bytes(Listed(), LISTED, batch=batch, longest=[longest]) == pytest.approx(
        _LIBRARIES + _SPARE * needed, rel=1e-3
    )


@pytest.mark.parametrize("longest", [1, 2, 7, 300])
def test_what_grows_by_ids_is_what_torch_keeps(longest):
    net = Listed()
    measured = _kept(net, LISTED, 128, [longest])
    one, two = _kept(net, LISTED, 128, [1]), _kept(net, LISTED, 128, [2])
    assert measured == [a + (longest - 1) * (b - a) for a, b in zip(one, two, strict=True)]
