"""Monitors against closed forms and autograd; selection by perturbation; the collapse rule and its
task.
"""

import numpy as np
import pytest
import torch

from automtl.config_search import SearchSection
from automtl.models.supernet import build_supernet
from automtl.phases.search._collapse import Watch
from automtl.strategies._perturbation import perturbed
from automtl.strategies.monitor import (
    CollapseRule,
    alpha_figures,
    gradient_conflict,
    hessian_eigenvalue,
)
from automtl.strategies.registry import STRATEGIES
from automtl.strategies.score import batch_statistics, score
from automtl.training.losses import multi_task_loss
from tests.strategies.contexts import search, small_context
from tests.support import random_batch, small_schema, small_space


def test_figures_of_alpha_by_hand():
    choices = {
        "interaction.0": {"mlp(8)": 0.7, "skip": 0.3},
        "level0.pool.0.block.0": {"gate": 0.2, "skip": 0.8},
        "level0.pool.0.block.1": {"gate": 0.6, "skip": 0.4},
        "level0.pool.1.block.0": {"gate": 0.1, "skip": 0.9},
        "level0.pool.1.block.1": {"gate": 0.9, "skip": 0.1},
        "level0.pool.2.block.0": {"gate": 0.5, "skip": 0.5},
        "level0.pool.2.block.1": {"gate": 0.3, "skip": 0.7},
    }
    found = alpha_figures(choices)
    assert found["skip_share"] == pytest.approx(
        {"interaction.0": 0.3, "level0.pool.0": 0.6, "level0.pool.1": 0.5, "level0.pool.2": 0.6}
    )
    assert found["skip_chosen"] == 0.5 and found["margin"][
        "level0.pool.0.block.0"
    ] == pytest.approx(0.6)
    assert found["duplicate_experts"] == [["level0.pool.0", "level0.pool.1"]]


def test_gradient_conflict_of_a_task_with_itself_with_its_opposite_and_without_labels():
    schema = small_schema(3)
    net = build_supernet(small_space(), schema, seed=0)
    net.towers[1].load_state_dict(net.towers[0].state_dict())
    with torch.no_grad():
        net.sharing.beta[1] = net.sharing.beta[0]
    batch = random_batch(schema)
    batch.labels[:, 1] = batch.labels[:, 0]
    batch.labels[:, 2] = float("nan")
    assert gradient_conflict(net, schema, batch) == {"task0 / task1": pytest.approx(1.0, abs=1e-5)}
    last = [m for m in net.towers[1].modules() if isinstance(m, torch.nn.Linear)][-1]
    with torch.no_grad():
        last.weight.neg_()
        last.bias.neg_()
    batch.labels[:, 1] = 1 - batch.labels[:, 0]  # the mirror image: the same gradient again
    assert gradient_conflict(net, schema, batch)["task0 / task1"] == pytest.approx(1.0, abs=1e-4)
    with torch.no_grad():
        last.weight.zero_()
        last.bias.zero_()
    batch.labels[:, 1] = float("nan")
    assert gradient_conflict(net, schema, batch) == {}


def test_the_dominant_eigenvalue_against_the_whole_hessian():
    schema = small_schema()
    space = small_space(
        interaction=("cross(1)", "skip"),
        expert=("gate", "conv1d(3)", "skip"),
        num_experts=2,
        num_blocks=1,
    )
    net = build_supernet(space, schema, seed=0).double()
    batch = random_batch(schema)
    found = hessian_eigenvalue(net, schema, batch, scale=1e-4)
    alphas = net.alpha_parameters()
    for block in net.choice_blocks():
        block.fused = False
    with batch_statistics(net):
        loss = multi_task_loss(schema.tasks, net(batch.inputs), batch.labels).total
        grads = torch.cat(torch.autograd.grad(loss, alphas, create_graph=True))
        rows = [torch.cat(torch.autograd.grad(g, alphas, retain_graph=True)) for g in grads]
    values = torch.linalg.eigvalsh(torch.stack(rows))
    assert found == pytest.approx(float(values[values.abs().argmax()]), rel=0.05)


def test_measuring_leaves_no_trace():
    m = small_context(options={"hessian": True})
    strategy = STRATEGIES["darts"](m)
    list(strategy.run_epoch(0))
    before = {k: v.clone() for k, v in strategy.supernet.state_dict().items()}
    noise = m.generator.get_state()
    record = strategy.record()
    assert -1 <= record["gradient_cosine"]["task0 / task1"] <= 1 and np.isfinite(
        record["eigenvalue"]
    )
    assert all(torch.equal(v, before[k]) for k, v in strategy.supernet.state_dict().items())
    assert torch.equal(noise, m.generator.get_state()) and all(
        p.grad is None for p in strategy.supernet.parameters()
    )


def test_perturbation_takes_the_candidate_that_is_missed_most():
    """One block: by hand, the score of the net without each candidate; alpha's own favourite is
    another.
    """
    space = small_space(
        interaction=("cross(1)", "mlp(8)", "skip"),
        expert=("skip",),
        num_experts=1,
        num_blocks=1,
        chosen_experts=1,
    )
    m = small_context(
        space=space, options={"selection": "perturbation"}, settings={"weight_lr": 0.3, "epochs": 6}
    )
    strategy = STRATEGIES["darts"](m)
    search(strategy)
    net = strategy.supernet
    losses = []
    alpha = net.alphas["interaction.0"]
    held = alpha.detach().clone()
    for without in range(3):
        with torch.no_grad():
            alpha[without] = -torch.inf
        losses.append(score(net, m.scored, m.schema.tasks, supernet=True))
        with torch.no_grad():
            alpha.copy_(held)
    before = strategy.samples
    found = strategy.derive()
    assert found.interaction == (space.interaction[int(np.argmax(losses))],)
    assert strategy.samples == before + 3 * m.scored.num_rows
    assert all(b.path is None and b.shares is None for b in net.choice_blocks())


def test_perturbation_decides_tied_blocks_together():
    m = small_context(space=small_space(tie_alphas="all"))
    best, _ = perturbed(m.make_supernet(), m.scored, m.schema.tasks, device=m.device, seed=0)
    assert len(best) == 7 and all(
        best[f"level0.pool.{i}.block.0"] == best["level0.pool.0.block.0"] for i in range(3)
    )


def test_the_collapse_rule():
    rule = CollapseRule(0.5, 4 / 3)
    assert rule.reason([{"skip_chosen": 0.5}]) == "" and "skip leads in 75%" in rule.reason(
        [{"skip_chosen": 0.2}, {"skip_chosen": 0.75}]
    )
    rising = [{"eigenvalue": v} for v in (1.0, 1.0, 1.0, 1.2, 1.4, 1.6)]
    assert "grew from 1 to 1.4" in rule.reason(rising)
    assert rule.reason(rising[:5]) == "" and rule.reason([{"eigenvalue": 1.0}] * 9) == ""


def test_the_watch_keeps_the_best_epoch_before_a_collapse():
    watch = Watch.of(SearchSection(on_collapse="rollback"))
    lines = [
        {"skip_chosen": s, "b_loss": v}
        for s, v in ((0.0, 0.5), (0.2, 0.4), (0.3, 0.45), (0.9, 0.3))
    ]
    assert [watch.keeps(lines[: i + 1]) for i in range(4)] == [True, True, False, False]
    assert [watch.fired(lines[: i + 1]) for i in range(4)] == [False, False, False, True]
    assert not Watch.of(SearchSection()).fired(lines)
