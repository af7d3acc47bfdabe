"""What strategies say of their choices: what was taken, what came next, on what it rests, and that
nothing is decided by one supernet.
"""

import numpy as np
import pytest
import torch
from scipy import stats

from automtl.spaces.architecture import Sharing
from automtl.strategies._alpha_gradients import PASSES, AlphaGradients
from automtl.strategies.encoding import SpaceEncoding
from automtl.strategies.registry import STRATEGIES
from tests.strategies.contexts import small_context
from tests.support import small_schema, small_space

FAST = {"draws": 3, "budget_samples": 900, "population": 3, "tournament": 2, "generations": 2}


def searched(name, space=None, **options):
    strategy = STRATEGIES[name](small_context(options={**FAST, **options}, space=space))
    for epoch in range(strategy.epochs):
        list(strategy.run_epoch(epoch))
        strategy.evaluated()
        strategy.record()
    return strategy


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_choice_is_told_once_and_none_is_decided(name):
    strategy = searched(name, space=small_space(chosen_experts=2))
    made = strategy.derive()
    decisions = strategy.decisions(made)
    blocks = [f"level0.pool.{i}.block.{j}" for i in range(3) for j in range(2)]
    tasks = ["experts of task0", "experts of task1"]
    assert [d.choice for d in decisions] == ["interaction.0", *blocks, *tasks]
    assert {d.verdict for d in decisions} == {"not decided"}
    assert all(d.difference is None and d.low is None and d.evidence for d in decisions)
    operations = [*made.interaction, *(b for e in made.experts for b in e.blocks)]
    assert [d.taken for d in decisions[: len(operations)]] == operations
    assert [d.taken for d in decisions[-2:]] == [", ".join(map(str, c)) for c in made.chosen]
    assert all(d.taken != d.runner_up for d in decisions)


def test_what_has_one_candidate_is_no_choice():
    space = small_space(interaction=("skip",), chosen_experts=3)
    strategy = searched("random_sampling", space=space)
    names = [d.choice for d in strategy.decisions(strategy.derive())]
    assert names == [f"level0.pool.{i}.block.{j}" for i in range(3) for j in range(2)]


def test_the_runner_up_is_the_next_by_alpha_and_by_beta():
    strategy = searched("darts", space=small_space(chosen_experts=2))
    made = strategy.derive()
    told = {d.choice: d for d in strategy.decisions(made)}
    for block, weights in made.choices.items():
        first, second = sorted(weights, key=weights.__getitem__)[:-3:-1]
        assert (told[block].taken, told[block].runner_up) == (first, second)
        assert f"{weights[first]:.3f} against {weights[second]:.3f}" in told[block].evidence
    order = [r.expert for r in made.ranking[0]]
    count = len(made.chosen[0])
    swapped = sorted({*order[: count - 1], order[count]})
    assert told["experts of task0"].runner_up == ", ".join(map(str, swapped))
    assert "not known to come from the data" in told["experts of task0"].evidence


def test_experts_of_a_search_that_ended_in_its_warm_up_are_the_starts():
    strategy = STRATEGIES["darts"](small_context(space=small_space(chosen_experts=2)))
    list(strategy.run_epoch(0))
    told = {d.choice: d for d in strategy.decisions(strategy.derive())}
    assert "before beta was trained" in told["experts of task0"].evidence


def test_perturbation_tells_the_losses_without_each():
    strategy = searched("darts", selection="perturbation")
    told = strategy.decisions(strategy.derive())
    assert all("loss on A rows without it" in d.evidence for d in told if "block" in d.choice)
    losses = strategy._removed["interaction.0"]
    assert told[0].taken == max(losses, key=losses.__getitem__)


def test_random_search_tells_the_best_that_differs():
    strategy = searched("random_search", draws=4)
    made = strategy.derive()
    ordered = sorted(strategy._tried, key=lambda pair: pair[1])
    values = [strategy.encoding.taken(genome) for genome, _ in ordered]
    for decision in strategy.decisions(made):
        others = [v[decision.choice] for v in values if v[decision.choice] != decision.taken]
        assert decision.runner_up == (others[0] if others else None)


def test_an_encoding_reads_back_what_it_gave_and_names_tied_blocks_once():
    for tie in ("none", "all"):
        encoding = SpaceEncoding(small_space(tie_alphas=tie), small_schema(), Sharing())
        for seed in range(20):
            genome = encoding.draw(np.random.default_rng(seed))
            assert encoding.genome(encoding.architecture(genome)) == genome
        # with all experts tied: the interaction, and each place of an expert once
        assert len(encoding.groups()) == (7 if tie == "none" else 3)
        assert sorted(i for group in encoding.groups().values() for i in group) == list(range(7))


def gathered(gaps, batches=2):
    """Gradients of two candidates whose mean difference per pass is as given."""
    alpha = torch.nn.Parameter(torch.zeros(3))
    made = AlphaGradients([torch.nn.Parameter(torch.zeros(2)), alpha], batches)
    for gap in gaps:
        for part in (gap - 1.0, gap + 1.0):  # batches differ, their mean is the pass's
            alpha.grad = torch.tensor([0.0, float(part), 0.0])
            made.add()
    return made, alpha


def moves(gaps):
    """In numpy: neighbours' correlation without its bias, then Student's t with fewer passes."""
    n, away = len(gaps), gaps - gaps.mean()
    seen = np.sum(away[1:] * away[:-1]) / np.sum(away**2)
    r = np.clip((n * seen + 1) / (n - 4), 0, 0.8)
    count = n * (1 - r) / (1 + r)
    t = gaps.mean() / (gaps.std(ddof=1) / np.sqrt(count))
    return 2 * stats.t.sf(abs(t), max(count - 1, 3)) < 0.05


def test_alpha_moves_where_the_mean_gradient_is_told_apart_from_zero():
    gaps, said = np.random.default_rng(0).normal(size=PASSES), set()
    for drift in (0.0, 0.5):
        for shift in (-3.0, -0.9, 0.0, 0.4, 0.8, 3.0):
            own = gaps + drift * np.arange(PASSES) + shift
            held, alpha = gathered(own)
            motion = held.motion(alpha, 1, 2)
            assert motion == ("moving" if moves(own) else "settled")
            assert held.motion(alpha, 0, 2) == "settled"  # no gradient at all
            said.add(motion)
    assert said == {"moving", "settled"}
    held, alpha = gathered([5.0] * PASSES)
    assert held.motion(alpha, 1, 2) == "moving"  # without any noise


@pytest.mark.parametrize(
    ("correlation", "most", "least"), [(0.0, 0.05, 0.75), (0.5, 0.11, 0.4), (0.8, 0.18, 0.3)]
)
def test_passes_that_resemble_the_one_before_seldom_look_like_motion(correlation, most, least):
    """Simulated: how often it says "moving" where the mean is 0, and 1.5 standard deviations."""
    rng, count = np.random.default_rng(3), 1500
    gaps = rng.normal(size=(count, PASSES))
    for i in range(1, PASSES):
        gaps[:, i] = correlation * gaps[:, i - 1] + np.sqrt(1 - correlation**2) * gaps[:, i]
    held, alpha = gathered([0.0] * PASSES)

    def share(shift):
        said = 0
        for own in gaps + shift:
            held._means[:, 3] = torch.from_numpy(own)
            said += held.motion(alpha, 1, 0) == "moving"
        return said / count

    assert share(0.0) <= most and share(1.5) >= least


def test_fewer_than_ten_passes_say_nothing_and_more_only_the_last():
    held, alpha = gathered([5.0] * (PASSES - 1))
    assert held.motion(alpha, 1, 2) == "unknown"
    noise = np.random.default_rng(1).normal(size=PASSES)
    held, alpha = gathered([50.0] * 30 + list(noise))
    assert held.motion(alpha, 1, 2) == ("moving" if moves(noise) else "settled")


def test_gradients_go_on_from_their_state():
    first, alpha = gathered([1.0] * 4)
    alpha.grad = torch.tensor([0.0, 9.0, 0.0])
    first.add()
    other = AlphaGradients(first._alphas, 2)
    other.load_state_dict(first.state_dict())
    for made in (first, other):
        made.add()
    assert torch.equal(first._means, other._means) and len(first._means) == 5
    with pytest.raises(ValueError, match="alpha_gradients"):
        AlphaGradients([alpha], 2).load_state_dict(first.state_dict())


def test_a_search_gathers_one_mean_per_pass_over_a():
    strategy = searched("darts")  # 3 epochs of 3 steps; a pass over A has 2 batches
    assert len(strategy.stepper.gradients._means) == 9 * 1 // 2
    assert {d.alpha for d in strategy.decisions(strategy.derive()) if "block" in d.choice} == {
        "unknown"
    }
