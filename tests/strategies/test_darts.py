"""The search step against finite differences, closed forms and its own promises."""

import copy

import pytest
import torch

from automtl.data.store.schema import Task
from automtl.errors import ConfigError
from automtl.layers.normalization import BatchNorm, frozen_statistics
from automtl.models.supernet import build_supernet
from automtl.phases.run.device import compile_net
from automtl.spaces.space import SearchSpace
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.strategies.derive import derive, entropy
from automtl.strict import build
from automtl.training.losses import multi_task_loss
from tests.support import compiles, random_batch, small_schema, small_space


def made(seed=0, schema=None, space=None, double=False, **settings):
    schema = schema or small_schema()
    net = build_supernet(space or small_space(), schema, seed=seed)
    net = net.double() if double else net
    darts = Darts(net, schema, DartsSettings(**{"epochs": 4, "warmup_epochs": 2, **settings}))
    darts.begin_epoch(0)
    return net, darts, schema


def snapshot(parameters):
    return [p.detach().clone() for p in parameters]


def equal(before, parameters):
    return all(torch.equal(b, p) for b, p in zip(before, parameters, strict=True))


def test_alpha_gradient_against_finite_differences_of_the_alpha_rows_loss(monkeypatch):
    net, darts, schema = made(double=True)
    with torch.no_grad():
        for alpha in net.alpha_parameters():
            alpha.normal_(generator=torch.Generator().manual_seed(int(alpha.numel())))
    batch = random_batch(schema, rows=24, seed=3)
    grads = []
    monkeypatch.setattr(
        darts._alpha_adam,
        "step",
        lambda: grads.extend(p.grad.clone() for p in net.alpha_parameters()),
    )
    darts._alpha_step(batch)

    def loss():
        with torch.no_grad(), frozen_statistics(net):
            return float(multi_task_loss(schema.tasks, net(batch.inputs), batch.labels).total)

    eps = 1e-6
    for alpha, grad in zip(net.alpha_parameters(), grads, strict=True):
        for i in range(len(alpha)):
            with torch.no_grad():
                alpha[i] += eps
                up = loss()
                alpha[i] -= 2 * eps
                down = loss()
                alpha[i] += eps
            assert abs((up - down) / (2 * eps) - float(grad[i])) < 1e-8 + 1e-6 * abs(float(grad[i]))


def test_the_alpha_step_moves_alpha_only_and_computes_no_weight_gradient():
    net, darts, schema = made()
    weights, betas, tables = net.weights(), net.beta_parameters(), net.tables()
    others = [*weights, *betas, *tables]
    before, alphas = snapshot(others), snapshot(net.alpha_parameters())
    buffers = {k: v.clone() for k, v in net.named_buffers()}
    darts._alpha_step(random_batch(schema))
    assert equal(before, others) and all(p.grad is None for p in others)
    assert all(torch.equal(v, buffers[k]) for k, v in net.named_buffers()), (
        "running statistics stay as they are"
    )
    assert not any(torch.equal(b, a) for b, a in zip(alphas, net.alpha_parameters(), strict=True))
    assert all(p.requires_grad for p in net.parameters())
    assert all(m.update_statistics for m in net.modules() if isinstance(m, BatchNorm))


def test_the_weight_step_moves_weights_and_tables_and_leaves_alpha():
    net, darts, schema = made()
    alphas = snapshot(net.alpha_parameters())
    weights, table = snapshot(net.weights()), net.tables()[0].detach().clone()
    darts._weight_step(random_batch(schema))
    assert equal(alphas, net.alpha_parameters())
    assert (
        sum(not torch.equal(b, p) for b, p in zip(weights, net.weights(), strict=True))
        > len(weights) / 2
    )
    assert not torch.equal(table, net.tables()[0])


def test_beta_is_bitwise_untouched_in_warm_up_and_moves_after():
    net, darts, schema = made()
    beta = net.beta_parameters()[0]
    start = beta.detach().clone()
    for epoch in range(2):
        darts.begin_epoch(epoch)
        darts.step(random_batch(schema, seed=1), random_batch(schema, seed=2))
        assert torch.equal(start, beta) and beta.grad is None
    darts.begin_epoch(2)
    darts.step(random_batch(schema, seed=1), random_batch(schema, seed=2))
    assert not torch.equal(start, beta)


def test_after_warm_up_beta_follows_the_loss_and_the_divergence():
    """With a huge w_JSD beta's first Adam step has the sign of the divergence's gradient alone."""
    net, darts, schema = made(jsd_weight=1e6)
    beta = net.beta_parameters()[0]
    with torch.no_grad():
        beta.copy_(torch.tensor([[0.5, 0.0, -0.5], [-0.2, 0.1, 0.4]]))
    p = beta.detach().double().softmax(1)
    m = p.mean(0)
    inner = (m.log() - p.log()) / 2  # dL/dp, the constant left out; then through softmax
    gradient = (inner - (p * inner).sum(1, keepdim=True)) * p
    before = beta.detach().clone()
    darts.begin_epoch(2)
    darts.step(random_batch(schema, seed=1), random_batch(schema, seed=2))
    moved = beta.detach() - before
    numeric = torch.autograd.functional.jacobian(
        lambda b: (lambda q: (q.mean(0) * q.mean(0).log()).sum() - (q * q.log()).sum() / 2)(
            b.softmax(1)
        ),
        before.double(),
    )
    assert torch.equal(moved.sign(), -numeric.sign().float())
    assert torch.allclose(gradient, numeric)


def test_one_weight_step_is_clipped_sgd_with_momentum_and_decay_in_the_dense_sense():
    """The whole net stepped twice against plain torch: dense tables, torch's own SGD and
    clipping.
    """
    net, darts, schema = made(double=True, clip_norm=0.05)
    twin = copy.deepcopy(net)
    twin.input.embeddings[0].sparse = False
    sgd = torch.optim.SGD(
        [*twin.weights(), *twin.tables()], lr=0.02, momentum=0.9, weight_decay=3e-4
    )
    twin.set_auxiliary_skip(1.0)
    for seed in range(3):
        batch = random_batch(schema, rows=8, seed=seed)
        darts._weight_step(batch)
        sgd.zero_grad()
        multi_task_loss(schema.tasks, twin(batch.inputs), batch.labels).total.backward()
        torch.nn.utils.clip_grad_norm_([*twin.weights(), *twin.tables()], 0.05)
        sgd.step()
    darts.end_epoch()
    for mine, theirs in zip(
        [*net.weights(), *net.tables()], [*twin.weights(), *twin.tables()], strict=True
    ):
        torch.testing.assert_close(mine, theirs, rtol=1e-9, atol=1e-12)


def test_schedules_reach_the_net_and_the_optimiser():
    net, darts, _ = made(epochs=4, warmup_epochs=2, weight_lr=0.5)
    seen = []
    for epoch in range(4):
        darts.begin_epoch(epoch)
        seen.append(
            (next(net.choice_blocks()).auxiliary_skip, darts._jsd, darts._sgd.param_groups[0]["lr"])
        )
    assert [s for s, _, _ in seen] == [1.0, pytest.approx(2 / 3), pytest.approx(1 / 3), 0.0]
    assert [j for _, j, _ in seen] == [0.0, 0.0, 1.0, 0.0]
    assert seen[0][2] == 0.5 and seen[2][2] == pytest.approx(0.25) and seen[3][2] < 0.1


def test_warm_up_as_long_as_the_search_is_refused():
    with pytest.raises(
        ConfigError,
        match="must be below search.epochs = 4, since beta trains only after warm-up, got 4",
    ):
        build(DartsSettings, {"epochs": 4, "warmup_epochs": 4}, "Darts")


def test_a_field_called_alpha_trains_bit_for_bit_the_same():
    ends = []
    for names in (("user", "item", "hour"), ("alpha", "beta", "alphas")):
        net, darts, schema = made(schema=small_schema(field_names=names))
        for seed in range(3):
            darts.step(random_batch(schema, seed=seed), random_batch(schema, seed=10 + seed))
        ends.append([p.detach().clone() for p in net.parameters()])
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_a_batch_without_a_tasks_labels_is_no_nan_and_leaves_that_tower():
    net, darts, schema = made()
    batch = random_batch(schema)
    batch.labels[:, 1] = float("nan")
    tower = snapshot(net.towers[1].parameters())
    net.zero_grad(set_to_none=True)
    losses = multi_task_loss(schema.tasks, net(batch.inputs), batch.labels)
    losses.total.backward()
    assert torch.isfinite(losses.total)
    assert all(p.grad is None or not p.grad.any() for p in net.towers[1].parameters()) and equal(
        tower, net.towers[1].parameters()
    )


def test_derive_takes_argmax_and_top_c_and_keeps_ranking_and_margins():
    schema, space = small_schema(), small_space(chosen_experts=2)
    net = build_supernet(space, schema)
    with torch.no_grad():
        for i, alpha in enumerate(net.alpha_parameters()):
            alpha[i % len(alpha)] = 2.0
        net.sharing.beta.copy_(torch.tensor([[0.1, 3.0, 2.0], [5.0, 0.0, 1.0]]))
    found = derive(net, schema, sharing="selected", settings={})
    assert found.interaction == (space.interaction[0],)
    assert found.experts[0].blocks == (space.expert[1], space.expert[2])
    assert found.chosen == ((1, 2), (0, 2))
    assert [r.expert for r in found.ranking[0]] == [1, 2, 0]
    assert found.ranking[0][0].weight == pytest.approx(
        float(net.sharing.beta[0].detach().softmax(0)[1])
    )
    assert sum(found.choices["level0.pool.0.block.0"].values()) == pytest.approx(1.0)
    assert found.bind(schema) == found


def test_entropy_in_closed_form():
    uniform = torch.full((4,), 0.25)
    assert float(entropy(uniform)) == pytest.approx(1.3862943611)
    assert float(entropy(torch.tensor([1.0, 0.0]))) == 0.0


def test_state_goes_on_bit_for_bit():
    net, darts, schema = made()
    batches = [(random_batch(schema, seed=i), random_batch(schema, seed=50 + i)) for i in range(6)]
    for pair in batches[:3]:
        darts.step(*pair)
    darts.end_epoch()
    held = copy.deepcopy((net.state_dict(), darts.state_dict()))
    darts.begin_epoch(2)
    for pair in batches[3:]:
        darts.step(*pair)
    darts.end_epoch()
    other, resumed, _ = made(seed=9)
    other.load_state_dict(held[0])
    resumed.load_state_dict(held[1])
    resumed.begin_epoch(2)
    for pair in batches[3:]:
        resumed.step(*pair)
    resumed.end_epoch()
    assert equal(snapshot(net.parameters()), list(other.parameters()))


def test_regression_and_multiclass_tasks_search_too():
    schema = small_schema().model_copy(
        update={
            "tasks": (
                Task(name="stars", kind="multiclass", classes=3),
                Task(name="seconds", kind="regression", mean=30.0, std=10.0),
            )
        }
    )
    net, darts, _ = made(schema=schema)
    batch = random_batch(schema)
    batch.labels[:, 0] = torch.arange(32) % 3
    batch.labels[:, 1] = torch.linspace(0, 60, 32)
    losses = [float(darts.step(batch, batch).total.detach()) for _ in range(30)]
    assert losses[-1] < losses[0]


@compiles
def test_a_compiled_supernet_takes_the_same_steps():
    """As `runtime.compile` compiles it, but for the default compiler, too slow for a test."""
    schema = small_schema()
    found = []
    for compiled in (False, True):
        net = build_supernet(
            SearchSpace.load("automtl_small").model_copy(
                update={"num_experts": 2, "num_blocks": 1}
            ),
            schema,
        )
        if compiled:
            compile_net(net, backend="aot_eager")
        darts = Darts(net.train(), schema, DartsSettings())
        darts.begin_epoch(5)
        for seed in range(2):
            darts.step(random_batch(schema, seed=seed), random_batch(schema, seed=9 + seed))
        found.append(torch.cat([p.detach().flatten() for p in net.parameters()]))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-6)
