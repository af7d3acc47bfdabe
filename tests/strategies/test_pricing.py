"""Costs of candidates against whole models counted by themselves; expected cost and hard limits in a search."""

import itertools

import numpy as np
import pytest
import torch

from automtl.errors import ConfigError
from automtl.models.cost import cost
from automtl.models.derived import build_model
from automtl.strategies.darts import Darts, DartsSettings
from automtl.strategies.derive import derive
from automtl.strategies.pricing import ExpectedCost, Limits, Pricing
from automtl.strategies.table import STRATEGIES
from tests.strategies.material import material
from tests.strategies.test_contract import FAST, search
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
    m = material(space=small_space(chosen_experts=2, widths=widths))
    net = m.make_supernet()
    pricing = pricing_of(net, m.schema)
    for seed in range(8):
        found = derive(spread(net, seed), m.schema, sharing="selected", settings={})
        counted = cost(build_model(found, m.schema), m.schema)
        assert pricing.cost(found) == {"flops": counted.flops_per_row, "parameters": counted.other_parameters}


@pytest.mark.parametrize("chosen", [1, 2])
def test_half_the_flops_are_kept_and_the_choice_is_the_best_of_all(chosen):
    """Every architecture of a space of 3 * 3^2 * C(2,c)^2 is built and counted."""
    one = {"interaction": ("cross(2)", "mlp(8)", "skip"), "expert": ("gate", "mlp(8)", "skip"), "num_experts": 2, "num_blocks": 1}
    m = material(space=small_space(**one, chosen_experts=chosen))
    net = spread(m.make_supernet(), seed=3, scale=2.0)
    free = pricing_of(net, m.schema)
    biggest = free.cost(derive(net, m.schema, sharing="selected", settings={}))["flops"]
    limits = {"flops": max(biggest // 2, int(free.fixed[0]) + 64)}
    found = pricing_of(net, m.schema, **limits).derive()
    counted = cost(build_model(found, m.schema), m.schema).flops_per_row
    assert counted <= limits["flops"] and found.provenance["within_limits"]["cost"]["flops"] == counted

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
                score = sum(alphas[n][p] for i, (n, p) in enumerate(zip(names, picks, strict=True)) if i in used)
                best = max(best, score + sum(beta[t, e] for t, task in enumerate(tasks) for e in task))
    assert found.provenance["within_limits"]["score"] == pytest.approx(best)
    assert found.provenance["within_limits"]["exact"]


def test_a_limit_below_the_cheapest_model_is_refused_with_that_figure():
    m = material()
    with pytest.raises(ConfigError, match=r"search.max_flops: must be at least \d+, the cheapest model of the space, got 10"):
        pricing_of(m.make_supernet(), m.schema, flops=10)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_keeps_the_limits(name):
    m = material()
    net = m.make_supernet()
    table = pricing_of(net, m.schema)
    costs = [table.cost(derive(spread(net, s), m.schema, sharing="selected", settings={})) for s in range(10)]
    settings = {"max_flops": int(np.median([c["flops"] for c in costs])), "max_params": int(np.median([c["parameters"] for c in costs]))}
    m = material(settings={**settings, "epochs": 2}, options=FAST)
    strategy = STRATEGIES[name](m)
    search(strategy)
    counted = cost(build_model(strategy.derive(), m.schema), m.schema)
    assert counted.flops_per_row <= settings["max_flops"] and counted.other_parameters <= settings["max_params"]


def test_the_expected_cost_by_hand_and_its_gradient_lowers_it():
    m = material()
    net = spread(m.make_supernet())
    pricing = pricing_of(net, m.schema)
    expected = ExpectedCost(pricing, "flops")
    by_hand = sum(float(a.detach().softmax(0) @ torch.tensor(pricing.table.candidates[n][:, 0]).float()) for n, a in net.alphas.items())
    equal = sum(pricing.table.candidates[n][:, 0].mean() for n in net.alphas)
    assert float(expected().detach()) == pytest.approx(by_hand / equal, rel=1e-5)
    ends = []
    for weight in (0.0, 100.0):
        m = material()
        darts = Darts(m.make_supernet(), m.schema, DartsSettings(cost_weight=weight, alpha_lr=0.05))
        darts.begin_epoch(0)
        for step in range(10):
            darts.step(random_batch(m.schema, seed=step), random_batch(m.schema, seed=step + 50))
        ends.append(float(ExpectedCost(pricing_of(darts.net, m.schema), "flops")().detach()))
    assert ends[1] < 0.8 * ends[0]
