"""A search's weight step under balancing: batches that lack a task, and rows that weigh nothing."""

import math
from dataclasses import replace

import pytest
import torch

from automtl.models.supernet import build_supernet
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.balancing.balancers import METHODS, PLAIN
from tests.support import random_batch, small_schema, small_space

SCHEMA = small_schema(3)


def made(method):
    net = build_supernet(small_space(interaction=("skip",), expert=("mlp(4)", "skip")), SCHEMA)
    darts = Darts(
        net,
        SCHEMA,
        DartsSettings(
            epochs=4, warmup_epochs=2, weight_decay=0.1, balancing=BalancingSettings(method)
        ),
    )
    darts.begin_epoch(0)
    darts._weight_step(random_batch(SCHEMA, seed=1))
    return net, darts


@pytest.mark.parametrize("method", [m for m in METHODS if m not in PLAIN])
def test_a_task_without_labels_keeps_its_tower_momentum_and_factor(method):
    net, darts = made(method)
    batch = random_batch(SCHEMA)
    batch.labels[:, 1] = math.nan
    before = [[p.clone() for p in tower.parameters()] for tower in net.towers]
    momenta = [darts._sgd.state[p]["momentum_buffer"].clone() for p in net.towers[1].parameters()]
    darts._weight_step(batch)
    same = [
        all(torch.equal(b, p) for b, p in zip(held, tower.parameters(), strict=True))
        for held, tower in zip(before, net.towers, strict=True)
    ]
    assert same == [False, True, False]
    now = [darts._sgd.state[p]["momentum_buffer"] for p in net.towers[1].parameters()]
    assert any(m.any() for m in momenta) and all(
        torch.equal(m, n) for m, n in zip(momenta, now, strict=True)
    )
    assert darts.record()["balancing"]["weights"]["task1"] is not None, "of the step that had it"


@pytest.mark.parametrize("method", METHODS)
def test_a_row_that_weighs_nothing_counts_as_one_without_a_label(method):
    nets = []
    for weighed in (False, True):
        net, darts = made(method)
        batch = random_batch(SCHEMA)
        if weighed:
            weights = torch.full_like(batch.labels, 2.0)
            weights[::3, 2] = 0
            batch = replace(batch, weights=weights)
        else:
            batch.labels[::3, 2] = math.nan
        darts._weight_step(batch)
        nets.append(net)
    for one, other in zip(*(net.parameters() for net in nets), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-7)
