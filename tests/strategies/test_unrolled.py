"""Second-order alpha gradients against a closed form and against autograd through the virtual step
as it is written.
"""

import copy
from dataclasses import replace

import pytest
import torch
from torch.func import functional_call

from automtl.layers.normalization import frozen_statistics
from automtl.models.supernet import build_supernet
from automtl.strategies._unrolled import Inner, Unrolled, hypergradient
from automtl.strategies.darts import Darts
from automtl.strategies.darts_settings import DartsSettings
from automtl.training.losses import jsd_loss, multi_task_loss
from tests.support import random_batch, small_schema, small_space


def quadratic(seed=0):
    """L_train = |A w - B a|^2 / 2 + w.C a, L_val = |w - t|^2 / 2 + d.a: everything linear, so the
    gradient has a closed form.
    """
    g = torch.Generator().manual_seed(seed)
    A, B, C = (torch.randn(4, n, generator=g, dtype=torch.float64) for n in (4, 3, 3))
    t, d = (
        torch.randn(4, generator=g, dtype=torch.float64),
        torch.randn(3, generator=g, dtype=torch.float64),
    )
    w = torch.nn.Parameter(torch.randn(4, generator=g, dtype=torch.float64))
    a = torch.nn.Parameter(torch.randn(3, generator=g, dtype=torch.float64))
    train = lambda: (A @ w - B @ a).square().sum() / 2 + w @ C @ a  # noqa: E731
    outer = lambda: (w - t).square().sum() / 2 + d @ a  # noqa: E731
    xi = 0.1
    w1 = w.detach() - xi * (A.T @ (A @ w.detach() - B @ a.detach()) + C @ a.detach())
    exact = d - xi * (C - A.T @ B).T @ (w1 - t)
    return train, outer, a, w, xi, d, exact


@pytest.mark.parametrize("hvp", ["finite", "exact"])
def test_the_bilevel_quadratic_in_closed_form(hvp):
    train, outer, a, w, xi, first_order, exact = quadratic()
    before = w.detach().clone()
    [found] = hypergradient(train, outer, [a], [Inner([w], xi)], hvp=hvp, scale=1e-4)
    assert (found - exact).norm() / exact.norm() < (1e-8 if hvp == "finite" else 1e-12)
    assert (first_order - exact).norm() / exact.norm() > 0.1, "first order would not pass"
    assert torch.equal(w.detach(), before) and w.grad is None and a.grad is None


def two_blocks(relu=True):
    """One interaction block and one expert block, float64, warmed up so that beta takes its virtual
    step too.
    """
    expert = ("gate", "mlp(4)", "conv1d(3)", "skip") if relu else ("gate", "conv1d(3)", "skip")
    interaction = (
        ("product(inner)", "cross(1)", "mlp(4)", "skip")
        if relu
        else ("product(inner)", "cross(1)", "skip")
    )
    space = small_space(
        interaction=interaction,
        expert=expert,
        num_experts=2,
        num_blocks=1,
        expert_dim=4,
        chosen_experts=1,
        towers=(),
    )
    schema = small_schema()
    net = build_supernet(space, schema, seed=1).double()
    g = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in [*net.alpha_parameters(), *net.beta_parameters()]:
            p.copy_(torch.randn(p.shape, generator=g, dtype=torch.float64))
    return net, schema


def by_autograd(net, schema, unrolled, alpha_batch, fit_batch, *, through=True):
    """d L_val(w - xi1 grad_w L_train, beta - xi2 grad_beta (L_train + w_JSD L_JSD), alpha) / d
    alpha, as Eq. 4 reads.
    """
    twin = copy.deepcopy(net)
    for block in twin.choice_blocks():
        block.fused = False
    names = {id(p): name for name, p in twin.named_parameters()}
    values = dict(twin.named_parameters())
    alphas, betas = twin.alpha_parameters(), twin.beta_parameters()
    weights = [*twin.weights(), *twin.tables()]

    def loss(parameters, batch, jsd):
        outputs = functional_call(twin, {**values, **parameters}, (batch.inputs,))
        total = multi_task_loss(schema.tasks, outputs, batch.labels).total
        return total + jsd * jsd_loss(parameters.get(names[id(betas[0])], betas[0]))

    with frozen_statistics(twin):
        inner = [*weights, *betas]
        rates = [unrolled._lr] * len(weights) + [unrolled.settings.beta_lr] * len(betas)
        grads = torch.autograd.grad(
            loss({}, fit_batch, unrolled._jsd), inner, create_graph=through, allow_unused=True
        )
        virtual = {
            names[id(p)]: p - rate * (g if through else g.detach())
            for p, g, rate in zip(inner, grads, rates, strict=True)
            if g is not None
        }
        return torch.autograd.grad(loss(virtual, alpha_batch, 0.0), alphas)


def unrolled_for(net, schema, **changes):
    settings = DartsSettings(epochs=4, warmup_epochs=1, weight_lr=0.5, beta_lr=0.3, jsd_weight=2.0)
    made = Unrolled(net, schema, settings, **changes)
    made.begin_epoch(1)
    return made


def error(found, exact):
    gap = sum((f - e).square().sum() for f, e in zip(found, exact, strict=True))
    return float((gap / sum(e.square().sum() for e in exact)).sqrt())


@pytest.mark.parametrize(("hvp", "scale", "bound"), [("finite", 1e-4, 1e-3), ("exact", 0.01, 1e-8)])
def test_a_two_block_supernet_against_autograd_through_the_virtual_step(hvp, scale, bound):
    net, schema = two_blocks()
    unrolled = unrolled_for(net, schema, hvp=hvp, hvp_scale=scale)
    batches = random_batch(schema, rows=24, seed=1), random_batch(schema, rows=24, seed=2)
    exact = by_autograd(net, schema, unrolled, *batches)
    state = [p.detach().clone() for p in net.parameters()]
    found = unrolled.alpha_gradients(*batches)
    assert error(found, exact) < bound
    assert all(torch.equal(a, b) for a, b in zip(state, net.parameters(), strict=True)), (
        "the virtual step leaves no trace"
    )
    no_hessian = by_autograd(net, schema, unrolled, *batches, through=False)
    assert error(no_hessian, exact) > 10 * bound, "the Hessian term matters here"


def test_a_virtual_step_that_does_nothing_is_caught(monkeypatch):
    net, schema = two_blocks()
    unrolled = unrolled_for(net, schema, hvp="exact")
    batches = random_batch(schema, rows=24, seed=1), random_batch(schema, rows=24, seed=2)
    exact = by_autograd(net, schema, unrolled, *batches)
    import contextlib

    monkeypatch.setattr("automtl.strategies._unrolled._moved", lambda *_: contextlib.nullcontext())
    assert error(unrolled.alpha_gradients(*batches), exact) > 1e-2


def test_beta_has_its_part_after_warm_up_and_none_before():
    net, schema = two_blocks()
    unrolled = unrolled_for(net, schema, hvp="exact")
    batches = random_batch(schema, rows=24, seed=1), random_batch(schema, rows=24, seed=2)
    with_beta = unrolled.alpha_gradients(*batches)
    without = DartsSettings(epochs=4, warmup_epochs=1, weight_lr=0.5, beta_lr=1e-12, jsd_weight=2.0)
    still = Unrolled(net, schema, without, hvp="exact")
    still.begin_epoch(1)
    assert error(with_beta, still.alpha_gradients(*batches)) > 1e-3
    unrolled.begin_epoch(0)
    still.begin_epoch(0)
    assert error(unrolled.alpha_gradients(*batches), still.alpha_gradients(*batches)) < 1e-12


def test_first_order_gradients_are_eq_4_with_both_rates_zero(monkeypatch):
    net, schema = two_blocks()
    darts = Darts(net, schema, DartsSettings())
    darts.begin_epoch(0)
    batch = random_batch(schema, rows=24, seed=1)
    grads = []
    monkeypatch.setattr(
        darts._alpha_adam,
        "step",
        lambda: grads.extend(p.grad.clone() for p in net.alpha_parameters()),
    )
    darts._alpha_step(batch)
    with frozen_statistics(net):
        loss = multi_task_loss(schema.tasks, net(batch.inputs), batch.labels).total
        expected = torch.autograd.grad(loss, net.alpha_parameters())
    assert error(grads, expected) < 1e-12


KINKED = [
    {},
    {"widths": "nested"},
    {"expert": ("dense(8)", "gate", "mlp(16)", "conv1d(3)", "skip")},
    {"interaction": ("self_attention(2)", "cross(3)", "product(outer)", "mlp(16)")},
]


@pytest.mark.parametrize("changes", KINKED)
@pytest.mark.parametrize("sharing", ["selected", "mmoe", "mssm", "dselect_k", "snr_trans"])
def test_the_default_is_right_where_networks_have_relus_and_dropout(sharing, changes):
    """Against a central difference in float64 over so small a step that no kink is crossed; DARTS'
    own step is far off.
    """
    schema, noise = small_schema(), torch.Generator()
    net = build_supernet(
        small_space(dropout=0.2, **changes), schema, seed=1, sharing=sharing, generator=noise
    ).double()
    g = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for p in [*net.alpha_parameters(), *net.beta_parameters()]:
            p.copy_(torch.randn(p.shape, generator=g, dtype=torch.float64))
    batches = [random_batch(schema, rows=64, seed=seed) for seed in (1, 2)]
    batches = [replace(b, inputs=b.inputs._replace(dense=b.inputs.dense.double())) for b in batches]

    def found(**how):
        noise.manual_seed(7)
        return unrolled_for(net, schema, **how).alpha_gradients(*batches)

    right = found(hvp="finite", hvp_scale=1e-6)
    assert error(found(), right) < 1e-6
    assert error(found(hvp="finite", hvp_scale=0.01), right) > 1e-2


def test_a_step_trains_everything_and_the_step_of_darts_is_what_the_docs_say():
    """eps = 0.01 / ||grad||: the Hessian term of a network with ReLUs is off by far more than at
    1e-4, in float64.
    """
    net, schema = two_blocks()
    batches = random_batch(schema, rows=24, seed=1), random_batch(schema, rows=24, seed=2)
    errors = {}
    for scale in (0.01, 1e-4):
        unrolled = unrolled_for(net, schema, hvp="finite", hvp_scale=scale)
        exact, first = (
            by_autograd(net, schema, unrolled, *batches),
            by_autograd(net, schema, unrolled, *batches, through=False),
        )
        found = unrolled.alpha_gradients(*batches)
        errors[scale] = error(
            [f - p for f, p in zip(found, first, strict=True)],
            [e - p for e, p in zip(exact, first, strict=True)],
        )
    assert errors[1e-4] < errors[0.01] / 10
    before = [p.detach().clone() for p in net.parameters()]
    unrolled.step(*batches)
    unrolled.end_epoch()
    assert (
        sum(not torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
        > len(before) / 2
    )
