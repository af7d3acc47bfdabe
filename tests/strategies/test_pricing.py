"""Costs of candidates against whole models counted by themselves; expected cost and hard limits in
a search.
"""

import itertools
import time

import numpy as np
import pytest
import torch

from automtl.errors import ConfigError
from automtl.models.cost import cost
from automtl.models.derived import build_model
from automtl.models.latency import candidate_latencies, latency_us
from automtl.models.prices import Latencies
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.strategies.derive import derive
from automtl.strategies.pricing import ExpectedCost, Limits, Pricing, measure
from automtl.strategies.registry import STRATEGIES
from tests.strategies.contexts import FAST, search, small_context
from tests.support import random_batch, small_space


def spread(net, seed=0, scale=1.0):
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in [*net.alpha_parameters(), *net.beta_parameters()]:
            p.copy_(scale * torch.randn(p.shape, generator=g))
    return net


def pricing_of(net, schema, **limits):
    return Pricing(net, schema, sharing="selected", settings={}, limits=Limits(**limits))


@pytest.mark.parametrize("widths", ["full", "nested"])
def test_prices_add_up_to_what_the_derived_model_costs(widths):
    m = small_context(space=small_space(chosen_experts=2, widths=widths))
    net = m.make_supernet()
    pricing = pricing_of(net, m.schema)
    for seed in range(8):
        found = derive(spread(net, seed), m.schema, sharing="selected", settings={})
        counted = cost(build_model(found, m.schema), m.schema)
        assert pricing.cost(found) == {
            "flops": counted.flops_per_row,
            "parameters": counted.other_parameters,
        }


@pytest.mark.parametrize("chosen", [1, 2])
def test_half_the_flops_are_kept_and_the_choice_is_the_best_of_all(chosen):
    """Every architecture of a space of 3 * 3^2 * C(2,c)^2 is built and counted."""
    one = {
        "interaction": ("cross(2)", "mlp(32)", "skip"),
        "expert": ("gate", "mlp(32)", "skip"),
        "num_experts": 2,
        "num_blocks": 1,
    }
    m = small_context(space=small_space(**one, chosen_experts=chosen))
    net = spread(m.make_supernet(), seed=3, scale=2.0)
    free = pricing_of(net, m.schema)
    biggest = free.cost(derive(net, m.schema, sharing="selected", settings={}))["flops"]
    limits = {"flops": biggest // 2}
    assert free.least("flops") < limits["flops"], "room for a choice"
    found = pricing_of(net, m.schema, **limits).derive()
    counted = cost(build_model(found, m.schema), m.schema).flops_per_row
    assert (
        counted <= limits["flops"] and found.provenance["within_limits"]["cost"]["flops"] == counted
    )

    alphas = {name: a.detach().double().log_softmax(0).numpy() for name, a in net.alphas.items()}
    beta = net.beta_parameters()[0].detach().double().log_softmax(1).numpy()
    names = list(alphas)
    best = -np.inf
    for picks in itertools.product(range(3), repeat=3):
        spoken = {n: free.table.operations[n][p] for n, p in zip(names, picks, strict=True)}
        for tasks in itertools.product(itertools.combinations(range(2), chosen), repeat=2):
            made = derive(net, m.schema, sharing="selected", settings={}, best=spoken, chosen=tasks)
            if cost(build_model(made, m.schema), m.schema).flops_per_row <= limits["flops"]:
                used = {0, *(1 + e for task in tasks for e in task)}
                score = sum(
                    alphas[n][p]
                    for i, (n, p) in enumerate(zip(names, picks, strict=True))
                    if i in used
                )
                best = max(
                    best, score + sum(beta[t, e] for t, task in enumerate(tasks) for e in task)
                )
    assert found.provenance["within_limits"]["score"] == pytest.approx(best)


def test_a_limit_below_the_cheapest_model_is_refused_with_that_figure():
    m = small_context()
    with pytest.raises(
        ConfigError,
        match=r"search.max_flops: must be at least \d+, the cheapest model of the space, got 10",
    ):
        pricing_of(m.make_supernet(), m.schema, flops=10)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_keeps_the_limits(name):
    m = small_context()
    net = m.make_supernet()
    table = pricing_of(net, m.schema)
    costs = [
        table.cost(derive(spread(net, s), m.schema, sharing="selected", settings={}))
        for s in range(10)
    ]
    settings = {
        "max_flops": int(np.median([c["flops"] for c in costs])),
        "max_params": int(np.median([c["parameters"] for c in costs])),
    }
    m = small_context(settings={**settings, "epochs": 2}, options=FAST)
    strategy = STRATEGIES[name](m)
    search(strategy)
    counted = cost(build_model(strategy.derive(), m.schema), m.schema)
    assert (
        counted.flops_per_row <= settings["max_flops"]
        and counted.other_parameters <= settings["max_params"]
    )


def made_up(net):
    """Times as no machine has them: the first candidates are the slow ones."""
    return Latencies(
        8, {name: tuple(range(100 * len(a), 0, -100)) for name, a in net.alphas.items()}, 50
    )


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_keeps_a_limit_of_time(name):
    m = small_context()
    net = m.make_supernet()
    times = made_up(net)
    table = Pricing(
        net, m.schema, sharing="selected", settings={}, limits=Limits(), latencies=times
    )
    costs = [
        table.cost(derive(spread(net, s), m.schema, sharing="selected", settings={}))["latency_us"]
        for s in range(10)
    ]
    limit = float(np.median(costs)) / 1000
    m = small_context(
        settings={"max_latency_ms": limit, "latencies": times, "epochs": 2}, options=FAST
    )
    strategy = STRATEGIES[name](m)
    search(strategy)
    found = strategy.derive()
    used = {e for task in found.chosen for e in task}
    blocks = [("interaction.0", found.interaction[0])]
    blocks += [
        (f"level0.pool.{e}.block.{j}", o)
        for e in used
        for j, o in enumerate(found.experts[e].blocks)
    ]
    by_hand = 50 + sum(
        times.candidates[block][table.table.operations[block].index(operation)]
        for block, operation in blocks
    )
    assert by_hand == table.cost(found)["latency_us"] <= 1000 * limit < max(costs)


class Slow(torch.nn.Module):
    def __init__(self, inner):
        super().__init__()
        self.inner, self.calls = inner, 0

    def forward(self, x):
        self.calls += 1
        time.sleep(0.01)
        return self.inner(x)


def test_a_slow_candidate_measures_slow_blocks_alike_are_timed_once_and_no_trace_is_left():
    m = small_context()
    net = m.make_supernet().train()
    first, second = (net.blocks()[f"level0.pool.0.block.{j}"] for j in (0, 1))
    first.candidates[1], second.candidates[1] = (
        Slow(first.candidates[1]),
        Slow(second.candidates[1]),
    )
    before = {name: value.clone() for name, value in net.state_dict().items()}
    found = candidate_latencies(net, m.schema, rows=16)
    assert set(found) == set(net.alphas)
    slow = found["level0.pool.0.block.0"]
    assert slow[1] >= 10_000 and np.array_equal(slow, found["level0.pool.2.block.1"])
    assert second.candidates[1].calls == 1, "in the forward pass that brings its input"
    assert net.training and all(
        torch.equal(value, before[name]) for name, value in net.state_dict().items()
    )
    model = torch.nn.Sequential(Slow(torch.nn.Identity()), torch.nn.Linear(1, 1))
    assert latency_us(_Ignoring(model), m.schema, rows=4) >= 10_000


class _Ignoring(torch.nn.Module):
    """Takes a batch's inputs and reads their numbers' first column."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, inputs):
        return self.inner(inputs.dense[:, :1])


def test_measured_times_of_a_supernet_cover_a_whole_model():
    m = small_context()
    times = measure(m.make_supernet(), m.schema, sharing="selected", settings={}, rows=64)
    assert times.rows == 64 and times.rest >= 0
    assert {name: len(t) for name, t in times.candidates.items()} == {
        name: len(a) for name, a in m.make_supernet().alphas.items()
    }


def test_the_expected_cost_by_hand_and_its_gradient_lowers_it():
    m = small_context()
    net = spread(m.make_supernet())
    pricing = pricing_of(net, m.schema)
    expected = ExpectedCost(pricing, "flops")
    by_hand = sum(
        float(a.detach().softmax(0) @ torch.tensor(pricing.table.candidates[n][:, 0]).float())
        for n, a in net.alphas.items()
    )
    equal = sum(pricing.table.candidates[n][:, 0].mean() for n in net.alphas)
    assert float(expected().detach()) == pytest.approx(by_hand / equal, rel=1e-5)
    ends = []
    for weight in (0.0, 100.0):
        m = small_context()
        darts = Darts(m.make_supernet(), m.schema, DartsSettings(cost_weight=weight, alpha_lr=0.05))
        darts.begin_epoch(0)
        for step in range(10):
            darts.step(random_batch(m.schema, seed=step), random_batch(m.schema, seed=step + 50))
        ends.append(float(ExpectedCost(pricing_of(darts.net, m.schema), "flops")().detach()))
    assert ends[1] < 0.8 * ends[0]


@pytest.mark.parametrize(("limit", "shown"), [(0.00001, "1e-05"), (0.0123, "0.0123")])
def test_a_limit_of_time_is_refused_as_it_was_given(limit, shown):
    m = small_context()
    times = made_up(m.make_supernet())
    m = small_context(settings={"max_latency_ms": limit, "latencies": times, "epochs": 2})
    with pytest.raises(ConfigError, match=rf"max_latency_ms: must be at least .*got {shown}; "):
        STRATEGIES["darts"](m)
