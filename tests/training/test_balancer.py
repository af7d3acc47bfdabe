"""Balancing against steps worked by hand in numpy, and what must not change."""

import copy
import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar
from torch import nn

from automtl.data.store.schema import Task
from automtl.errors import NumericalError
from automtl.models.derived import build_model
from automtl.spaces.architecture import Architecture
from automtl.training.balancing import make_balancer
from automtl.training.balancing.balancer import BalancingSettings
from automtl.training.balancing.balancers import METHODS, PLAIN
from automtl.training.losses import Losses, combine, multi_task_loss, task_weights
from tests.support import random_batch, small_schema

ADAPTIVE = [method for method in METHODS if method not in PLAIN]
TASKS = [Task(name="click", kind="binary"), Task(name="price", kind="regression", weight=3.0)]
SHARES = np.array([0.25, 0.75])

# Two quadratics L_k = |A_k w - b_k|^2 over a shared w, plus each task's own number, (v_k - k)^2.
A = np.array([[[1.0, 2.0], [0.0, 1.0]], [[2.0, -1.0], [1.0, 1.0]]])
B = np.array([[1.0, -1.0], [-2.0, 0.5]])
START = np.array([0.3, -0.4])


class Quadratics(nn.Module):
    def __init__(self, sparse=False):
        super().__init__()
        self.w = nn.Parameter(torch.tensor(START))
        self.towers = nn.ModuleList(
            nn.ParameterList([nn.Parameter(torch.tensor(0.5, dtype=torch.float64))]) for _ in TASKS
        )

    def tables(self):
        return []

    def losses(self, present=(1.0, 1.0)):
        rows = [torch.tensor(A[k]) @ self.w - torch.tensor(B[k]) for k in range(2)]
        parts = tuple(
            present[k] * (rows[k].square().sum() + (self.towers[k][0] - k).square())
            for k in range(2)
        )
        weights = torch.tensor(present, dtype=torch.float64)
        return Losses(
            combine(torch.stack(parts), weights, task_weights(TASKS)),
            torch.stack(parts).detach(),
            weights,
            parts,
        )


def by_hand(w, v=0.5):
    """Losses and gradients over w."""
    rest = [A[k] @ w - B[k] for k in range(2)]
    return np.array([r @ r + (v - k) ** 2 for k, r in enumerate(rest)]), np.array(
        [2 * A[k].T @ rest[k] for k in range(2)]
    )


def quadratics(method, **settings):
    net = Quadratics()
    return net, make_balancer(BalancingSettings(method, **settings), TASKS, net)


def adam(lr):
    """Adam on two numbers, one after another as Kingma and Ba write it."""
    m, v, t = np.zeros(2), np.zeros(2), 0

    def step(x, g):
        nonlocal m, v, t
        t, m, v = t + 1, 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g**2
        return x - lr * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)

    return step


def train(net, balancer, steps, lr=0.05, present=(1.0, 1.0)):
    for _ in range(steps):
        net.zero_grad()
        balancer.backward(net.losses(present))
        with torch.no_grad():
            for p in net.parameters():
                if p.grad is not None:
                    p -= lr * p.grad


def test_pcgrad_on_two_quadratics_by_hand():
    net, balancer = quadratics("pcgrad")
    w, conflicts = START, 0
    for _ in range(3):
        g = SHARES[:, None] * by_hand(w)[1]
        inner = g[0] @ g[1]
        conflicts += inner < 0
        apart = [g[k] - min(inner, 0) / (g[1 - k] @ g[1 - k]) * g[1 - k] for k in range(2)]
        w = w - 0.05 * sum(apart)
    assert conflicts, "the example must conflict"
    train(net, balancer, 3)
    np.testing.assert_allclose(net.w.detach().numpy(), w, rtol=1e-12)
    told = balancer.record()
    assert (
        told["conflicts"] == conflicts / 3
        and told["backward_passes"] == 2
        and told["extra_bytes"] == 2 * 2 * 8
    )


def test_uncertainty_on_two_quadratics_by_hand():
    net, balancer = quadratics("uncertainty", lr=0.1)
    w, v, s, step, scale = START, np.array([0.5, 0.5]), np.zeros(2), adam(0.1), np.array([1.0, 0.5])
    for _ in range(3):
        values = np.array([by_hand(w, v[k])[0][k] for k in range(2)])
        c = scale * np.exp(-s)
        slope_s = SHARES * (0.5 - c * values)
        w, v = (
            w - 0.05 * (SHARES * c) @ by_hand(w)[1],
            v - 0.05 * SHARES * c * 2 * (v - np.arange(2)),
        )
        s = step(s, slope_s)
    train(net, balancer, 3)
    np.testing.assert_allclose(net.w.detach().numpy(), w, rtol=1e-12)
    np.testing.assert_allclose([t[0].item() for t in net.towers], v, rtol=1e-12)
    np.testing.assert_allclose(balancer.log_variance.values().numpy(), s, rtol=1e-12)


def test_gradnorm_on_two_quadratics_by_hand():
    net, balancer = quadratics("gradnorm", lr=0.1, gradnorm_alpha=0.7)
    w, v, c, step, first = START, np.array([0.5, 0.5]), np.ones(2), adam(0.1), None
    for _ in range(4):
        values = np.array([by_hand(w, v[k])[0][k] for k in range(2)])
        first = values if first is None else first
        raw = SHARES * np.linalg.norm(by_hand(w)[1], axis=1)
        rate = values / first / np.mean(values / first)
        slope = np.sign(c * raw - np.mean(c * raw) * rate**0.7) * raw
        w, v = (
            w - 0.05 * (SHARES * c) @ by_hand(w)[1],
            v - 0.05 * SHARES * c * 2 * (v - np.arange(2)),
        )
        c = step(c, slope)
        c = 2 * c / c.sum()
    train(net, balancer, 4)
    np.testing.assert_allclose(net.w.detach().numpy(), w, rtol=1e-12)
    np.testing.assert_allclose(balancer.factors.values().numpy(), c, rtol=1e-12)


def test_cagrad_mgda_and_aligned_mtl_by_hand():
    g = SHARES[:, None] * by_hand(START)[1]
    directions = {}
    for method in ("cagrad", "mgda", "aligned_mtl"):
        net, balancer = quadratics(method)
        balancer.backward(net.losses())
        directions[method] = net.w.grad.numpy() / 2  # of the mean
    mean = g.mean(0)

    def radius(x):  # CAGrad, eq. 4 (dual), c = 0.4
        mixed = x * g[0] + (1 - x) * g[1]
        return mixed @ mean + 0.4 * np.linalg.norm(mean) * np.linalg.norm(mixed)

    x = minimize_scalar(radius, bounds=(0, 1), method="bounded", options={"xatol": 1e-12}).x
    mixed = x * g[0] + (1 - x) * g[1]
    cagrad = mean + 0.4 * np.linalg.norm(mean) * mixed / np.linalg.norm(mixed)
    np.testing.assert_allclose(directions["cagrad"], cagrad, rtol=1e-5)
    x = np.clip((g[1] - g[0]) @ g[1] / ((g[1] - g[0]) @ (g[1] - g[0])), 0, 1)
    np.testing.assert_allclose(directions["mgda"], x * g[0] + (1 - x) * g[1], rtol=1e-9)
    # principal components made as long as the shortest
    u, s, vt = np.linalg.svd(g.T, full_matrices=False)
    np.testing.assert_allclose(
        directions["aligned_mtl"], s.min() * u @ vt @ np.array([0.5, 0.5]), rtol=1e-9
    )


@pytest.mark.parametrize("method", ADAPTIVE)
def test_a_batch_that_lacks_a_task_changes_nothing_of_it(method):
    schema, batch = small_schema(3), random_batch(small_schema(3))
    net = build_model(Architecture.load("ple"), schema)
    balancer = make_balancer(BalancingSettings(method), schema.tasks, net)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.01, weight_decay=0.1)

    def step(labels):
        balancer.backward(multi_task_loss(schema.tasks, net(batch.inputs), labels))
        optimizer.step()
        optimizer.zero_grad()

    step(batch.labels)
    lacking = batch.labels.clone()
    lacking[:, 1] = math.nan
    own = {name: p for name, p in net.named_parameters() if name.startswith("towers.1.")}
    before = copy.deepcopy(
        (
            {n: p.detach() for n, p in own.items()},
            [optimizer.state[p] for p in own.values()],
            balancer.state_dict(),
        )
    )
    others = [p.detach().clone() for p in net.towers[0].parameters()]
    step(lacking)
    assert all(torch.equal(before[0][name], p) for name, p in own.items())
    for was, p in zip(before[1], own.values(), strict=True):
        assert all(torch.equal(was[key], optimizer.state[p][key]) for key in was)
    for was, now in zip(rows_of(before[2]), rows_of(balancer.state_dict()), strict=True):
        assert torch.equal(was[1], now[1])
    assert any(
        not torch.equal(was, p) for was, p in zip(others, net.towers[0].parameters(), strict=True)
    ), "the others train"
    step(torch.full_like(batch.labels, math.nan))  # a batch without any label goes through


def rows_of(state):
    """All tensors with a row per task."""
    return [
        t
        for value in state.values()
        for t in (rows_of(value) if isinstance(value, dict) else [value])
        if isinstance(t, torch.Tensor)
    ]


@pytest.mark.parametrize("method", METHODS)
def test_one_task_trains_as_without_balancing(method):
    schema, batch = small_schema(1), random_batch(small_schema(1))
    nets = [build_model(Architecture.load("mmoe"), schema) for _ in range(2)]
    balancer = make_balancer(BalancingSettings(method), schema.tasks, nets[0])
    for _ in range(2):
        balancer.backward(multi_task_loss(schema.tasks, nets[0](batch.inputs), batch.labels))
        multi_task_loss(schema.tasks, nets[1](batch.inputs), batch.labels).total.backward()
    assert same_gradients(*nets)


def same_gradients(one, other, rtol=0.0):
    pairs = zip(one.parameters(), other.parameters(), strict=True)
    return all(
        (a.grad is None) == (b.grad is None) and (a.grad is None or close(a.grad, b.grad, rtol))
        for a, b in pairs
    )


def close(a, b, rtol):
    a, b = (x.to_dense() if x.is_sparse else x for x in (a, b))
    return torch.equal(a, b) if rtol == 0 else torch.allclose(a, b, rtol=rtol, atol=1e-9)


@pytest.mark.parametrize("tables", [True, False])
@pytest.mark.parametrize("method", ["gradnorm", "pcgrad"])
def test_sparse_tables_get_the_gradient_that_dense_ones_get(method, tables):
    schema, batch = small_schema(3), random_batch(small_schema(3))
    nets = [
        build_model(Architecture.load("mmoe"), schema, sparse=sparse) for sparse in (True, False)
    ]
    for net in nets:
        made = make_balancer(BalancingSettings(method, tables=tables), schema.tasks, net)
        made.backward(multi_task_loss(schema.tasks, net(batch.inputs), batch.labels))
    assert nets[0].tables()[0].grad.is_sparse and same_gradients(*nets, rtol=1e-5)


@pytest.mark.parametrize("tables", [True, False])
def test_pcgrad_over_a_network_equals_projections_of_its_flat_gradients(tables):
    schema = small_schema(2)
    batch = random_batch(schema, seed=3)
    net = build_model(Architecture.load("ple"), schema, sparse=True).double()
    names = dict(net.named_parameters())

    whole = multi_task_loss(
        schema.tasks, net(batch.inputs._replace(dense=batch.inputs.dense.double())), batch.labels
    )
    flat = []
    for part in whole.parts:
        found = torch.autograd.grad(
            part / len(batch) / 2, list(names.values()), retain_graph=True, allow_unused=True
        )
        flat.append(
            {
                n: None if g is None else g.to_dense().numpy()
                for n, g in zip(names, found, strict=True)
            }
        )
    both = [
        n
        for n in names
        if all(g[n] is not None for g in flat) and (tables or "embeddings" not in n)
    ]
    g = [np.concatenate([grads[n].ravel() for n in both]) for grads in flat]
    c = [1 + max(0, -(g[0] @ g[1])) / (g[k] @ g[k]) for k in range(2)]
    made = make_balancer(BalancingSettings("pcgrad", tables=tables), schema.tasks, net)
    made.backward(whole)
    for name, p in names.items():
        factors = c if name in both else [1.0, 1.0]
        want = sum(
            f * grads[name]
            for f, grads in zip(factors, flat, strict=True)
            if grads[name] is not None
        )
        np.testing.assert_allclose(
            p.grad.to_dense().numpy(), want, rtol=1e-9, atol=1e-15, err_msg=name
        )


@pytest.mark.parametrize("method", METHODS)
def test_auxiliary_terms_are_added_as_they_are(method):
    nets = [Quadratics() for _ in range(2)]
    for number, net in enumerate(nets):
        extra = 3 * net.w.square().sum()
        made = make_balancer(BalancingSettings(method), TASKS, net)
        made.backward(net.losses(), extra if number else None)
        if not number:
            extra.backward()
    assert same_gradients(*nets, rtol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_a_restored_balancer_goes_on_to_the_bit(method):
    net, balancer = quadratics(method)
    train(net, balancer, 3)
    other = copy.deepcopy(net)
    again = make_balancer(BalancingSettings(method), TASKS, other)
    again.load_state_dict(copy.deepcopy(balancer.state_dict()))
    train(net, balancer, 3)
    train(other, again, 3)
    assert torch.equal(net.w, other.w) and abs(net.w.detach().numpy() - START).min() > 0.01


def test_pcgrad_of_three_tasks_leaves_torchs_generator_alone_and_repeats():
    gram = torch.tensor(
        [[1.0, -0.5, -0.9], [-0.5, 1.0, -0.3], [-0.9, -0.3, 1.0]], dtype=torch.float64
    )
    made = [
        make_balancer(BalancingSettings("pcgrad"), small_schema(3).tasks, Quadratics())
        for _ in range(2)
    ]
    before = torch.get_rng_state()
    drawn = [made[0]._factors(gram) for _ in range(8)]
    assert torch.equal(torch.get_rng_state(), before) and len({tuple(d) for d in drawn}) > 1, (
        "the order of projections is drawn"
    )
    assert drawn == [made[1]._factors(gram) for _ in range(8)]


def test_sample_weights_and_missing_rows_count_as_in_the_loss():
    """Uncertainty reads L_k as the weighted mean over labelled rows."""
    net, balancer = quadratics("uncertainty", lr=0.1)
    losses = net.losses()
    doubled = losses._replace(parts=tuple(4 * p for p in losses.parts), weights=4 * losses.weights)
    balancer.backward(doubled)
    got = net.w.grad.clone()
    net.zero_grad()
    make_balancer(BalancingSettings("uncertainty", lr=0.1), TASKS, net).backward(net.losses())
    assert torch.allclose(got, net.w.grad, rtol=1e-12)


def test_gradients_that_are_not_finite_are_said_to_be():
    for method in ("pcgrad", "gradnorm"):
        net, balancer = quadratics(method)
        with torch.no_grad():
            net.w.fill_(math.inf)
        with pytest.raises(
            NumericalError, match=f"balancing by {method}: the tasks' gradient.* must be finite"
        ):
            balancer.backward(net.losses())
