"""The input layer against lookups by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from automtl.data.store.schema import Field, Schema, Task
from automtl.errors import ConfigError
from automtl.layers.embedding import InputLayer
from automtl.layers.embedding_table import EmbeddingTable
from automtl.models.derived import build_model
from automtl.spaces.architecture import Architecture
from automtl.training.losses import multi_task_loss
from tests.support import random_batch

SIZES = (4, 200, 3)
IDS = np.array([[0, 7, 2], [3, 199, 0], [3, 0, 1], [1, 7, 2]])
DENSE = np.random.default_rng(0).standard_normal((4, 2))


def batch(dtype: torch.dtype = torch.int64) -> SimpleNamespace:
    return SimpleNamespace(ids=torch.tensor(IDS, dtype=dtype), dense=torch.tensor(DENSE))


def layer(**settings) -> InputLayer:
    torch.manual_seed(0)
    return InputLayer(**{"vocabulary_sizes": SIZES, "num_numeric": 2, "dim": 5} | settings).double()


def by_hand(module: InputLayer) -> np.ndarray:
    table = module.tables()[0].detach().numpy()
    starts = [0, 4, 204]
    return np.stack([[table[starts[j] + row[j]] for j in range(3)] for row in IDS])


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_linear_mode_equals_numpy(dtype):
    module = layer()
    w, b = module.numeric.weight.detach().numpy(), module.numeric.bias.detach().numpy()
    expected = np.concatenate(
        [by_hand(module), np.stack([[row[j] * w[j] + b[j] for j in range(2)] for row in DENSE])],
        axis=1,
    )
    out = module(batch(dtype))
    assert out.shape == (4, module.num_fields, 5) == (4, 5, 5)
    np.testing.assert_allclose(out.detach().numpy(), expected, rtol=1e-12)


def test_joint_mode_equals_numpy():
    module = layer(numeric="joint")
    w, b = (
        module.numeric.linear.weight.detach().numpy(),
        module.numeric.linear.bias.detach().numpy(),
    )
    expected = np.concatenate([by_hand(module), (DENSE @ w.T + b)[:, None]], axis=1)
    assert module.num_fields == 4
    np.testing.assert_allclose(module(batch()).detach().numpy(), expected, rtol=1e-12)


@pytest.mark.parametrize("sparse", [True, False])
def test_gradients_by_hand(sparse):
    module = layer(sparse=sparse)
    direction = torch.randn(
        4, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1)
    )
    module(batch()).backward(direction)
    expected = np.zeros((207, 5))
    for row in range(4):
        for j, start in enumerate((0, 4, 204)):
            expected[start + IDS[row, j]] += direction[row, j].numpy()
    table = module.tables()[0]
    assert table.grad.is_sparse is sparse
    np.testing.assert_allclose(table.grad.to_dense().numpy(), expected, rtol=1e-12)
    np.testing.assert_allclose(
        module.numeric.weight.grad.numpy(),
        np.einsum("bj,bjd->jd", DENSE, direction[:, 3:].numpy()),
        rtol=1e-12,
    )
    np.testing.assert_allclose(
        module.numeric.bias.grad.numpy(), direction[:, 3:].sum(0).numpy(), rtol=1e-12
    )


def test_touched_rows_per_table():
    module = layer()
    (rows,) = module.row_ids(batch(torch.int32))
    assert rows.dtype == torch.int64
    assert rows.tolist() == [0, 11, 206, 3, 203, 204, 3, 4, 205, 1, 11, 206]


def test_rows_beyond_two_to_the_31_do_not_wrap():
    table = EmbeddingTable(vocabulary_sizes=(9,), width=2, lists=(0,), segments=(0, 0))
    table.offsets.fill_(2**31 - 3)
    table._list_offsets = [2**31 - 3]  # as behind a segment of two billion rows
    ids = torch.tensor([[1], [8]], dtype=torch.int32)
    rows = table.row_ids(ids, [torch.tensor([[2, 3], [0, 8]], dtype=torch.int32)])
    assert rows.dtype == torch.int64
    assert (rows - 2**31 + 3).tolist() == [1, 8, 2, 3, 0, 8]


def test_start_is_xavier_per_field_with_a_zero_unknown_row():
    torch.manual_seed(0)
    module = InputLayer(vocabulary_sizes=(4, 20_000), num_numeric=0, dim=8)
    small, large = module.tables()[0].detach().split([4, 20_000])
    assert not small[0].any()
    assert not large[0].any()
    for field in (small, large):
        bound = np.sqrt(6 / (len(field) + 8))
        assert 0.8 * bound < field.abs().max() <= bound
    assert abs(large.std() - np.sqrt(6 / 20_008) / np.sqrt(3)) < 1e-3 * np.sqrt(6 / 20_008)


def test_unknown_row_becomes_the_mean_where_it_never_occurred():
    module = layer()
    before = [part.clone() for part in module.tables()[0].detach().split(SIZES)]
    for _ in range(2):  # a second call changes nothing
        module.fill_unknown((0, 3, 0))
    after = module.tables()[0].detach().split(SIZES)
    torch.testing.assert_close(after[0][0], before[0][1:].mean(0))
    assert torch.equal(after[1], before[1])
    torch.testing.assert_close(after[2][0], before[2][1:].mean(0))
    assert torch.equal(after[0][1:], before[0][1:])


def test_a_field_of_the_unknown_alone_keeps_its_row():
    module = InputLayer(vocabulary_sizes=(1,), num_numeric=0, dim=3)
    module.fill_unknown((0,))
    assert torch.equal(module.tables()[0].detach(), torch.zeros(1, 3))


def test_only_categorical_and_only_numeric():
    assert layer(num_numeric=0)(batch()).shape == (4, 3, 5)
    numeric = layer(vocabulary_sizes=())
    assert numeric.tables() == []
    assert numeric.row_ids(batch()) == []
    assert numeric(batch()).shape == (4, 2, 5)


def test_parameters_take_float32_input_in_float64():
    inputs = SimpleNamespace(ids=torch.tensor(IDS), dense=torch.tensor(DENSE, dtype=torch.float32))
    assert layer()(inputs).dtype == layer(numeric="joint")(inputs).dtype == torch.float64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"vocabulary_sizes": (), "num_numeric": 0}, "fields: must be at least one, got 0"),
        ({"numeric": "log"}, "numeric: must be one of linear, joint, periodic, got 'log'"),
        ({"vocabulary_sizes": (4, 0)}, "vocabulary_sizes: must be at least 1 each"),
    ],
)
def test_refusals(settings, message):
    with pytest.raises(ConfigError, match=message):
        layer(**settings)


def test_the_gradient_of_an_embedded_batch_is_each_rows_own():
    """Read by a hook inside a hand-made model in training, against the gradient of the same rows as
    a leaf; most rows share their ids.
    """
    fields = tuple(Field(name=f"f{i}", kind="categorical", vocabulary_size=7) for i in range(3))
    schema = Schema(
        name="few ids",
        fields=fields,
        tasks=tuple(Task(name=f"t{i}", kind="binary") for i in range(2)),
    )
    experts = ({"blocks": ("dense(512)",)},) * 2
    model = Architecture(
        embedding_dim=64, projection=None, towers=(4,), experts=experts, sharing={"kind": "mmoe"}
    )
    net, batch = build_model(model, schema, seed=1).train(), random_batch(schema, rows=1024)
    seen = []
    net.input.register_forward_hook(lambda *parts: seen.append(parts[2]))
    outputs = net(batch.inputs)
    seen[0].retain_grad()
    multi_task_loss(schema.tasks, outputs, batch.labels).total.backward()
    leaf = seen[0].detach().clone().requires_grad_()
    read = [tower(r) for tower, r in zip(net.towers, net.sharing(leaf, net.encode), strict=True)]
    multi_task_loss(schema.tasks, read, batch.labels).total.backward()
    torch.testing.assert_close(seen[0].grad, leaf.grad, rtol=1e-4, atol=1e-7)
    assert (leaf.grad.flatten(1).norm(dim=1) > 0).all()
