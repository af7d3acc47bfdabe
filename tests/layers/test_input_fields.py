"""Lists of ids, own widths, shared rows and periodic numbers against numpy by hand."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from automtl.layers._numeric_embedding import PeriodicNumeric
from automtl.layers.embedding import InputLayer
from automtl.training.optim.deferred_sgd import DeferredSGD

IDS = np.array([[0, 7], [3, 19], [3, 0], [1, 7]])
TAGS = np.array([[1, 0, 0], [0, 0, 0], [2, 4, 1], [4, 4, 0]])
SEEN = np.array([[1, 19], [7, 0], [3, 3], [0, 0]])
SETTINGS = {"vocabulary_sizes": (4, 20), "list_sizes": (5, 20), "num_numeric": 1, "dim": 3}


def batch() -> SimpleNamespace:
    lists = tuple(torch.tensor(part, dtype=torch.int32) for part in (TAGS, SEEN))
    return SimpleNamespace(
        ids=torch.tensor(IDS, dtype=torch.int32),
        dense=torch.ones(4, 1, dtype=torch.float64),
        lists=lists,
    )


def layer(**settings) -> InputLayer:
    torch.manual_seed(0)
    return InputLayer(**{**SETTINGS, **settings}).double()


def mean(rows: np.ndarray, ids: np.ndarray) -> np.ndarray:
    return np.array(
        [
            rows[known].mean(0) if len(known := row[row > 0]) else np.zeros(rows.shape[1])
            for row in ids
        ]
    )


def rows_of(module: InputLayer) -> list[np.ndarray]:
    return [module.rows_of(i).numpy().copy() for i in range(4)]


def test_lists_are_means_of_their_known_ids():
    module = layer()
    user, item, tag, seen = rows_of(module)
    out = module(batch()).detach().numpy()
    assert out.shape == (4, 5, 3)
    np.testing.assert_allclose(out[:, 0], user[IDS[:, 0]])
    np.testing.assert_allclose(out[:, 1], item[IDS[:, 1]])
    np.testing.assert_allclose(out[:, 2], mean(tag, TAGS), rtol=1e-12)
    np.testing.assert_allclose(out[:, 3], mean(seen, SEEN), rtol=1e-12)
    assert not out[1, 2].any()
    assert not out[3, 3].any()


def test_padding_changes_nothing():
    module, wide = layer(), batch()
    wide.lists = tuple(torch.nn.functional.pad(part, (0, 5)) for part in wide.lists)
    torch.testing.assert_close(module(wide), module(batch()))


def test_own_widths_have_own_tables_and_keep_the_order_of_fields():
    module = layer(widths=(6, 0, 0, 6))
    assert [tuple(table.shape) for table in module.tables()] == [(4 + 20, 6), (20 + 5, 3)]
    user, item, tag, seen = rows_of(module)
    weight = module.maps["0"].weight.detach().numpy()
    out = module(batch()).detach().numpy()
    np.testing.assert_allclose(out[:, 0], user[IDS[:, 0]] @ weight[0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(out[:, 1], item[IDS[:, 1]])
    np.testing.assert_allclose(out[:, 2], mean(tag, TAGS), rtol=1e-12)
    np.testing.assert_allclose(out[:, 3], mean(seen, SEEN) @ weight[1], rtol=1e-9, atol=1e-12)


def test_shared_fields_read_the_same_rows():
    module = layer(shares=(0, 1, 2, 1))
    assert [tuple(table.shape) for table in module.tables()] == [(4 + 20 + 5, 3)]
    _, item, _, seen = rows_of(module)
    np.testing.assert_array_equal(item, seen)
    out = module(batch()).detach().numpy()
    np.testing.assert_allclose(out[:, 3], mean(item, SEEN), rtol=1e-12)
    np.testing.assert_allclose(out[:, 1], item[IDS[:, 1]])


@pytest.mark.parametrize("settings", [{}, {"widths": (6, 0, 0, 6)}, {"shares": (0, 1, 2, 1)}])
def test_touched_rows_cover_the_gradient_of_each_table(settings):
    module = layer(sparse=True, **settings)
    weight = torch.randn(4, 5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    (module(batch()) * weight).sum().backward()
    touched = module.row_ids(batch())
    assert len(touched) == len(module.tables())
    for table, rows in zip(module.tables(), touched, strict=True):
        assert rows.dtype == torch.int64
        assert set(table.grad.coalesce().indices()[0].tolist()) <= set(rows.tolist())


@pytest.mark.parametrize("settings", [{}, {"widths": (6, 0, 0, 6)}, {"shares": (0, 1, 2, 1)}])
def test_deferred_sgd_on_every_table_is_dense_sgd(settings):
    settings = {**settings, "num_numeric": 0}
    sparse, dense = layer(sparse=True, **settings), layer(**settings)
    steps = [DeferredSGD(table, momentum=0.9, weight_decay=1e-2) for table in sparse.tables()]
    optimizer = torch.optim.SGD(dense.tables(), lr=0.1, momentum=0.9, weight_decay=1e-2)
    for number in range(4):
        inputs = batch()
        inputs.ids, inputs.lists = (
            (inputs.ids + number) % 4,
            tuple((part + number) % 5 * (part > 0) for part in inputs.lists),
        )
        for step, rows in zip(steps, sparse.row_ids(inputs), strict=True):
            step.catch_up(rows)
        for module in (sparse, dense):
            module.zero_grad()
            (module(inputs) ** 2).sum().backward()
        for step in steps:
            step.step(0.1)
        optimizer.step()
    for step, mine, theirs in zip(steps, sparse.tables(), dense.tables(), strict=True):
        step.flush()
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-12)


def test_unknown_rows_of_shared_fields_are_filled_if_no_column_met_one():
    for counts, filled in (((1, 0, 0, 9), True), ((1, 5, 0, 0), False)):
        module = layer(shares=(0, 1, 2, 1))
        module.fill_unknown(counts)
        user, item, tag, _ = rows_of(module)
        np.testing.assert_allclose(item[0], item[1:].mean(0) if filled else np.zeros(3))
        assert not user[0].any()
        assert not tag[0].any(), "lists never read their row 0"


def test_only_lists():
    module = layer(vocabulary_sizes=(), num_numeric=0, list_sizes=(5,))
    inputs = batch()
    inputs.ids, inputs.lists = torch.zeros(4, 0, dtype=torch.int32), inputs.lists[:1]
    np.testing.assert_allclose(
        module(inputs).detach().numpy()[:, 0], mean(module.rows_of(0).numpy(), TAGS), rtol=1e-12
    )
    module.fill_unknown((3,))


def test_periodic_numbers_equal_numpy():
    torch.manual_seed(0)
    module = PeriodicNumeric(num_numeric=2, dim=3, frequencies=4).double()
    x = np.random.default_rng(0).standard_normal((5, 2))
    c, w, b = (p.detach().numpy() for p in (module.frequencies, module.weight, module.bias))
    angles = 2 * np.pi * c * x[:, :, None]
    waves = np.concatenate([np.sin(angles), np.cos(angles)], axis=2)
    expected = np.maximum(np.einsum("bmk,mkd->bmd", waves, w) + b, 0)
    np.testing.assert_allclose(module(torch.tensor(x)).detach().numpy(), expected, rtol=1e-10)
    assert layer(numeric="periodic", num_numeric=3).num_fields == 4 + 3


def test_the_layer_exports_with_any_number_of_rows_and_any_length():
    module = layer(widths=(6, 0, 0, 6), numeric="periodic").eval()

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.input = module

        def forward(self, ids, dense, tags, seen):
            return self.input(SimpleNamespace(ids=ids, dense=dense, lists=(tags, seen)))

    inputs = batch()
    rows, long, longer = (
        torch.export.Dim(name, min=1, max=4096) for name in ("rows", "tags", "seen")
    )
    shapes = ({0: rows}, {0: rows}, {0: rows, 1: long}, {0: rows, 1: longer})
    program = torch.export.export(
        Net(), (inputs.ids, inputs.dense, *inputs.lists), dynamic_shapes=shapes
    )
    other = (
        inputs.ids[:3],
        inputs.dense[:3],
        torch.nn.functional.pad(inputs.lists[0][:3], (0, 4)),
        inputs.lists[1][:3],
    )
    torch.testing.assert_close(program.module()(*other), module(inputs)[:3])
