"""What every strategy of the table owes, by the rules of `automtl.testing`; and what each
computes.
"""

from typing import get_args

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from automtl.config_search import SearchSection
from automtl.data.store.batches import Inputs
from automtl.errors import ConfigError
from automtl.models.cost import flops_per_row
from automtl.models.derived import build_model
from automtl.models.supernet import build_supernet
from automtl.spaces.architecture import Sharing
from automtl.spaces.space import SearchSpace
from automtl.strategies._evolution import Evolution, SinglePath
from automtl.strategies._random import RandomSearch
from automtl.strategies._sampled import Sampled
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.strategies.encoding import SpaceEncoding
from automtl.strategies.registry import STRATEGIES
from automtl.strategies.score import score
from automtl.testing.strategies import RULES, strategy_case
from tests.strategies.contexts import search, small_context
from tests.support import random_batch, small_schema, small_space


def test_config_and_table_name_the_same_strategies():
    assert set(get_args(SearchSection.model_fields["strategy"].annotation)) == set(STRATEGIES)


CASES = {name: strategy_case(name) for name in STRATEGIES}
CASES["second_order"] = strategy_case("darts", {"second_order": True})
SIZED = [(rule, size) for rule in RULES.values() for size in rule.sizes]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(
    ("rule", "size"), SIZED, ids=["-".join(map(str, (rule.name, *size))) for rule, size in SIZED]
)
def test_rule(rule, size, name):
    rule.check(CASES[name], *size)


@pytest.mark.parametrize("name", CASES)
def test_all_but_a_draw_read_rows_and_record_every_epoch(name):
    whole = CASES[name].whole
    assert whole.samples > 0 or name == "random_sampling"
    assert len(whole.records) == whole.strategy.epochs
    blocks = {"interaction.0", *(f"level0.pool.{i}.block.{j}" for i in range(3) for j in range(2))}
    assert {*whole.records[0]["choices"]} == blocks


def test_random_search_spends_its_budget_in_rows():
    for budget, draws in ((900, 3), (2000, 7), (1111, 2)):
        strategy = RandomSearch(small_context(options={"draws": draws, "budget_samples": budget}))
        search(strategy)
        assert abs(strategy.samples - budget) <= 0.05 * budget
    darts = STRATEGIES["darts"](small_context(settings={"epochs": 6}))
    search(darts)
    same = RandomSearch(small_context(settings={"epochs": 6}, options={"draws": 4}))
    search(same)
    assert abs(same.samples - darts.samples) <= 0.05 * darts.samples
    assert same.best() == min(same._tried, key=lambda pair: pair[1])[0] and len(same._tried) == 4


def test_a_budget_too_small_for_its_draws_is_refused():
    with pytest.raises(
        ConfigError, match="search.draws: each draw must get at least 80 rows of the budget of 100"
    ):
        RandomSearch(small_context(options={"draws": 2, "budget_samples": 100}))


def paper_net():
    schema = small_schema()
    space = SearchSpace.load("automtl")
    return build_supernet(space, schema), schema, space


def step_flops(step):
    with FlopCounterMode(display=False) as counter:
        step()
    return counter.get_total_flops()


def test_gdas_and_evolution_steps_compute_only_the_sampled_path():
    """At least 8 times fewer FLOPs than the mixture's step on automtl.yaml, the mean over draws,
    forward and backward.
    """
    net, schema, space = paper_net()
    settings, batch = DartsSettings(), random_batch(schema, rows=8)
    darts = Darts(net, schema, settings)
    for block in net.choice_blocks():
        block.fused = False
    darts.begin_epoch(5)
    whole, weights = (
        step_flops(lambda: darts.step(batch, batch)),
        step_flops(lambda: darts._weight_step(batch)),
    )
    heat = {"temperature": 5.0, "final_temperature": 0.5}
    gdas = Sampled(
        net, schema, settings, hard=True, generator=torch.Generator().manual_seed(0), **heat
    )
    gdas.begin_epoch(5)
    assert np.mean([step_flops(lambda: gdas.step(batch, batch)) for _ in range(6)]) * 8 < whole
    encoding = SpaceEncoding(space, schema, Sharing())
    evolution = SinglePath(
        net, schema, settings, encoding=encoding, generator=torch.Generator().manual_seed(0)
    )
    evolution.begin_epoch(5)
    assert (
        np.mean([step_flops(lambda: evolution.step(None, batch)) for _ in range(6)]) * 8 < weights
    )
    assert all(block.shares is None for block in net.choice_blocks())


def test_a_set_path_computes_what_the_derived_architecture_computes():
    """Weights copied: one path of a supernet is the discrete interaction and experts; counted FLOPs
    agree too.
    """
    m = small_context(space=small_space(chosen_experts=1))
    net = m.make_supernet().eval()
    encoding = SpaceEncoding(m.space, m.schema, Sharing())
    genome = encoding.draw(np.random.default_rng(3))
    encoding.set(net, genome)
    architecture = encoding.architecture(genome)
    model = build_model(architecture, m.schema).eval()
    inputs = Inputs(*random_batch(m.schema).inputs)
    used = sorted({e for task in genome.chosen for e in task})
    blocks = net.blocks()
    with torch.no_grad():
        model.input.load_state_dict(net.input.state_dict())
        model.interaction[0].load_state_dict(
            blocks["interaction.0"].candidates[genome.picks[0]].state_dict()
        )
        model.projection.load_state_dict(net.projection.state_dict())
        for place, expert in enumerate(used):
            for j in range(2):
                block = blocks[f"level0.pool.{expert}.block.{j}"]
                model.sharing.experts[place].operations[j].load_state_dict(
                    block.candidates[block.path].state_dict()
                )
        model.towers.load_state_dict(net.towers.state_dict())
        for mine, theirs in zip(net(inputs), model(inputs), strict=True):
            torch.testing.assert_close(mine, theirs)
    unused = flops_per_row(net, m.schema) - flops_per_row(model, m.schema)
    assert unused >= 0


def test_gdas_gives_alpha_the_gradient_of_the_sampled_share(monkeypatch):
    m = small_context()
    net = m.make_supernet()
    gdas = Sampled(
        net,
        m.schema,
        m.settings,
        hard=True,
        generator=m.generator,
        temperature=5.0,
        final_temperature=0.5,
    )
    gdas.begin_epoch(0)
    gdas._draw()
    block = next(net.choice_blocks())
    assert block.shares[block.path].item() == 1.0
    [gradient] = torch.autograd.grad(block.shares[block.path], block.alpha)
    # shares are p - p + 1: their value is 1, so p is asked of the gradient
    p = block.shares.detach() - 1 + 0
    assert (
        gradient[block.path] > 0
        and gradient.sum().abs() < 1e-6
        and torch.equal(p, torch.zeros_like(p))
    )


def test_temperatures_fall_from_first_to_last():
    m = small_context(settings={"epochs": 4})
    snas = Sampled(
        m.make_supernet(),
        m.schema,
        m.settings,
        hard=False,
        generator=m.generator,
        temperature=4.0,
        final_temperature=0.5,
    )
    seen = []
    for epoch in range(4):
        snas.begin_epoch(epoch)
        seen.append(snas.temperature)
    assert seen == pytest.approx([4.0, 2.0, 1.0, 0.5])


def test_snas_samples_the_gumbel_softmax():
    """At temperature 0.05 the likeliest candidate of a draw follows softmax(alpha)."""
    m = small_context()
    net = m.make_supernet()
    snas = Sampled(
        net,
        m.schema,
        m.settings,
        hard=False,
        generator=m.generator,
        temperature=0.05,
        final_temperature=0.05,
    )
    snas.begin_epoch(0)
    alpha = torch.tensor([1.0, 0.0, -1.0])
    picks = torch.stack([snas._sample(alpha).argmax() for _ in range(4000)])
    shares = torch.bincount(picks, minlength=3) / 4000
    torch.testing.assert_close(shares, alpha.softmax(0), atol=0.03, rtol=0)


def test_genomes_mutate_in_one_place_and_tied_blocks_stay_tied():
    schema = small_schema()
    for tie in ("none", "all"):
        encoding = SpaceEncoding(small_space(tie_alphas=tie), schema, Sharing())
        rng = np.random.default_rng(0)
        genome = encoding.draw(rng)
        for _ in range(50):
            child = encoding.mutate(genome, rng)
            assert child != genome
            moved = [
                i for i, (a, b) in enumerate(zip(genome.picks, child.picks, strict=True)) if a != b
            ]
            swapped = sum(
                len(set(a) - set(b)) for a, b in zip(genome.chosen, child.chosen, strict=True)
            )
            assert len(moved) + swapped == 1 or (tie == "all" and len(moved) == 3 and not swapped)
            if tie == "all":
                assert len({e.blocks for e in encoding.architecture(child).experts}) == 1
            genome = child


def test_evolution_finds_the_best_of_a_small_space_by_its_own_score():
    """9 architectures: the best of all scored is what a full enumeration of the same scores
    finds.
    """
    one = {"num_experts": 1, "num_blocks": 1, "chosen_experts": 1}
    space = small_space(
        interaction=("cross(1)", "mlp(8)", "skip"), expert=("gate", "mlp(4)", "skip"), **one
    )
    m = small_context(space=space, options={"population": 8, "tournament": 3, "generations": 4})
    evolution = Evolution(m)
    search(evolution)
    losses = {}
    for pick in np.ndindex(3, 3):
        genome = type(evolution.best())(tuple(int(i) for i in pick), ((0,), (0,)))
        evolution.encoding.set(evolution.supernet, genome)
        losses[genome] = score(evolution.supernet, m.scored, m.schema.tasks, supernet=True)
    assert evolution.best() == min(losses, key=losses.__getitem__)
    assert dict(evolution._scored)[evolution.best()] == pytest.approx(
        min(losses.values()), abs=1e-6
    )
