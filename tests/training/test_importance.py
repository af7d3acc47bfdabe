"""Permutation importance against arithmetic: a planted field, one that is ignored, and how often
the interval holds the truth.
"""

import math

import numpy as np
import pytest
import torch
from torch import nn

from automtl.data.store.batches import Batch, Inputs
from automtl.data.store.schema import Field, Schema, Task
from automtl.training.metrics.importance import importance

SLOPE, OTHER = 0.7, -0.3


class Linear(nn.Module):
    """y = SLOPE a + OTHER b + the id's own value, whatever `c` and `history` are."""

    def __init__(self, values=(0.0, 0.0, 0.0)):
        super().__init__()
        self.values = torch.tensor(values, dtype=torch.float32)

    def forward(self, inputs):
        a, b, _ = inputs.dense.unbind(1)
        return [SLOPE * a + OTHER * b + self.values[inputs.ids[:, 0].long()]]


def schema(**task):
    numbers = tuple(Field(name=name, kind="numeric") for name in "abc")
    ids = Field(name="shop", kind="categorical", vocabulary_size=3)
    history = Field(name="history", kind="multi", vocabulary_size=9)
    given = {"name": "y", "kind": "regression", "constant": (0.0,)} | task
    return Schema(name="made", fields=(ids, history, *numbers), tasks=(Task(**given),))


def rows(n, seed, values=(0.0, 0.0, 0.0), weights=None):
    rng = np.random.default_rng(seed)
    dense = torch.tensor(rng.normal(size=(n, 3)), dtype=torch.float32)
    ids = torch.tensor(rng.integers(0, 3, (n, 1)), dtype=torch.int32)
    lists = (torch.tensor(rng.integers(0, 9, (n, 4)), dtype=torch.int32),)
    inputs = Inputs(ids, dense, lists)
    truth = Linear(values)(inputs)[0] + torch.tensor(rng.normal(size=n) * 0.5).float()
    return Batch(inputs, truth[:, None], weights)


def told(net, batch, **given):
    return {row.field: row for row in importance(net, batch, schema(), **given)}


def test_a_planted_field_has_the_rise_of_arithmetic():
    """E (y - f)^2 rises by E s^2 (a - a')^2 = 2 s^2 Var(a); of ids by twice their values' variance."""
    values = (0.0, 1.0, -1.0)
    rises = told(Linear(values), rows(20_000, 0, values))
    wanted = {"a": 2 * SLOPE**2, "b": 2 * OTHER**2, "shop": 2 * np.var(values)}
    for name, rise in wanted.items():
        assert rises[name].low < rise < rises[name].high
        assert rises[name].rise == pytest.approx(rise, rel=0.05)
    for name in ("c", "history"):
        assert rises[name][2:] == (0.0, 0.0, 0.0), "what the network ignores changes nothing"


def test_the_interval_holds_the_truth_as_often_as_it_says():
    batches = [rows(300, seed) for seed in range(200)]
    intervals = [told(Linear(), batch, seed=i)["a"] for i, batch in enumerate(batches)]
    held = np.mean([row.low < 2 * SLOPE**2 < row.high for row in intervals])
    assert 0.92 <= held <= 0.995
    spread = np.std([row.rise for row in intervals], ddof=1)
    assert 0.9 < np.mean([row.high - row.rise for row in intervals]) / (1.97 * spread) < 1.35


def test_rows_without_a_label_or_a_weight_count_nothing():
    batch = rows(400, 3)
    labels, weights = batch.labels.clone(), torch.ones(400, 1)
    labels[:100] = math.nan
    weights[100:200] = 0.0
    partial = told(Linear(), Batch(batch.inputs, labels, weights), repeats=1)["a"]
    order = np.random.default_rng(0)
    for _ in range(2):  # shop, history
        order.permutation(400)
    a = batch.inputs.dense[:, 0].double().numpy()
    b = batch.inputs.dense[:, 1].double().numpy()
    y = batch.labels[:, 0].double().numpy()
    mixed = a[order.permutation(400)]
    gap = (y - SLOPE * mixed - OTHER * b) ** 2 - (y - SLOPE * a - OTHER * b) ** 2
    assert partial.rise == pytest.approx(gap[200:].mean(), rel=1e-5)
    none = told(Linear(), Batch(batch.inputs, torch.full((400, 1), math.nan)))["a"]
    assert math.isnan(none.rise) and math.isnan(none.low)


def test_rows_of_one_user_stay_together():
    """Each row four times: the interval of rows is half as wide as it should be, that of users is
    right.
    """
    few = rows(500, 4)
    again = torch.arange(500).repeat_interleave(4)
    inputs = Inputs(few.inputs.ids[again], few.inputs.dense[again], (few.inputs.lists[0][again],))
    many = Batch(inputs, few.labels[again])
    by_row, by_user = (told(Linear(), many, units=u)["a"] for u in (None, again.numpy()))
    once = told(Linear(), few)["a"]
    assert (by_user.high - by_user.low) == pytest.approx(once.high - once.low, rel=0.15)
    assert (by_row.high - by_row.low) < 0.65 * (once.high - once.low)


def test_the_network_and_the_rows_stay_as_they_were():
    net, batch = Linear().train(), rows(50, 5)
    before = [part.clone() for part in (batch.inputs.ids, batch.inputs.dense, *batch.inputs.lists)]
    list(importance(net, batch, schema()))
    after = (batch.inputs.ids, batch.inputs.dense, *batch.inputs.lists)
    assert net.training and all(map(torch.equal, before, after))
    rises = [list(importance(net, batch, schema(), seed=s)) for s in (0, 0, 1)]
    assert rises[0] == rises[1] != rises[2]


def test_an_indicator_goes_with_its_column():
    missing = Field(name="a missing", kind="numeric", indicator_of="a")
    made = schema().model_copy(update={"fields": (*schema().fields[:4], missing)})
    assert [r.field for r in importance(Linear(), rows(50, 6), made)] == [
        "shop",
        "history",
        "a",
        "b",
    ]


class Counting(nn.Module):
    """A network in which every column matters, whatever the others are; it counts its rows."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.layer = nn.Embedding(9, 4), nn.Linear(11, 16)
        self.out = nn.Linear(16, 2)
        self.rows = 0

    def forward(self, inputs):
        self.rows += len(inputs.ids)
        ids = self.table(inputs.ids[:, 0].long())
        history = self.table(inputs.lists[0].long()).mean(1)
        hidden = torch.tanh(self.layer(torch.cat([ids, history, inputs.dense], 1)))
        return list(self.out(hidden).unbind(1))


def one_by_one(net, batch, tasks, repeats):
    """The same by shuffling whole columns and asking the network for every row."""
    rng, found = np.random.default_rng(0), {}

    def loss(inputs, k):
        logits = net(inputs)[k].detach().double()
        labels = torch.nan_to_num(batch.labels[:, k]).double()
        return nn.functional.binary_cross_entropy_with_logits(logits, labels, reduction="none")

    known = [torch.where(batch.labels[:, k].isnan(), 0.0, batch.weights[:, k]) for k in range(2)]
    for name in ("shop", "history", "a", "b", "c"):
        rises = [[], []]
        for _ in range(repeats):
            order = torch.from_numpy(rng.permutation(len(batch)))
            ids, dense, lists = batch.inputs.ids, batch.inputs.dense.clone(), batch.inputs.lists
            if name == "shop":
                ids = ids[order]
            elif name == "history":
                lists = (lists[0][order],)
            else:
                dense[:, "abc".index(name)] = dense[order, "abc".index(name)]
            for k in range(2):
                gap = loss(Inputs(ids, dense, lists), k) - loss(batch.inputs, k)
                rises[k].append(float((gap * known[k]).sum() / known[k].sum()))
        found |= {(task, name): np.mean(rises[k]) for k, task in enumerate(tasks)}
    return found


def test_each_change_is_computed_once_and_counts_as_often_as_it_comes():
    rng = np.random.default_rng(7)
    n, repeats = 5000, 4
    dense = torch.tensor(rng.normal(size=(n, 3)), dtype=torch.float32)
    dense[:, 1] = (dense[:, 1] > 1.3).float()  # a tenth of the rows
    dense[:, 2] = 0.5
    lists = torch.tensor(rng.integers(0, 9, (n, 2)) * (rng.random((n, 1)) < 0.5), dtype=torch.int32)
    inputs = Inputs(torch.tensor(rng.integers(0, 3, (n, 1)), dtype=torch.int32), dense, (lists,))
    labels = torch.tensor(rng.integers(0, 2, (n, 2))).float()
    labels[: n // 3, 1] = math.nan
    batch = Batch(inputs, labels, torch.tensor(rng.random((n, 2)), dtype=torch.float32))
    tasks = tuple(Task(name=name, kind="binary", constant=(0.0,)) for name in ("y", "z"))
    made, net = schema().model_copy(update={"tasks": tasks}), Counting().eval()
    found = list(importance(net, batch, made, repeats=repeats))
    asked = net.rows
    wanted = one_by_one(net, batch, ("y", "z"), repeats)
    assert [(row.task, row.field) for row in found][:2] == [("y", "shop"), ("z", "shop")]
    for row in found:
        assert row.rise == pytest.approx(wanted[row.task, row.field], rel=1e-5, abs=1e-9)
    assert {row[2:] for row in found if row.field == "c"} == {(0.0, 0.0, 0.0)}
    # own values, all other shops, all numbers, lists and flags that differ
    assert asked < n * (1 + 2 + repeats + repeats + 0.7)
