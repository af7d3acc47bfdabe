"""Every kind against numpy by hand, in float64."""

from itertools import chain, pairwise

import numpy as np
import pytest
import torch

from tests.sharing.modules import (
    HEIGHT,
    affine,
    assert_equal,
    gate,
    inputs,
    make,
    mixed,
    outputs_of,
    softmax,
)


def numbers(tensor):
    return tensor.detach().numpy()


def level(module, number):
    return [
        expert
        for slot, expert in zip(module.slots, module.experts, strict=True)
        if slot.level == number
    ]


def test_moe_and_mmoe():
    h = inputs()
    for module, places in ((make("moe"), [0, 0]), (make("mmoe", gate_bias=True), [0, 1])):
        outputs = outputs_of(module, h)
        assert_equal(
            module.share(h), [mixed(gate(module.gates[i], h.numpy()), outputs) for i in places]
        )


def test_selected_weighs_its_picks_in_their_order():
    module, h = make("selected", 3, 4, chosen=[[2, 0], [3], [1, 2, 3]]), inputs()
    out = outputs_of(module, h)
    expected = [
        mixed(gate(module.gates[0], h.numpy()), [out[2], out[0]]),
        out[3],
        mixed(gate(module.gates[2], h.numpy()), out[1:]),
    ]
    assert_equal(module.share(h), expected)
    module.eval().share(h)
    spread = module.gate_weights()["task0"].numpy()
    np.testing.assert_allclose(spread[[2, 0]], gate(module.gates[0], h.numpy()).mean(0), atol=1e-12)
    assert spread[1] == spread[3] == 0


def test_ml_mmoe_gates_see_the_raw_input_on_every_level():
    module, h = make("ml_mmoe", 2, 3), inputs()
    x, first, gates = h.numpy(), outputs_of(module, h), list(module.gates)
    between = [mixed(gate(gates[i], x), first) for i in range(3)]
    second = [
        affine(expert, vector) for expert, vector in zip(level(module, 1), between, strict=True)
    ]
    assert_equal(module.share(h), [mixed(gate(gates[3 + t], x), second) for t in range(2)])
    assert all(g.linear.in_features == 6 for g in gates)


def weighed(layer, x, outputs):
    """A unit's vector; one that reads a single expert has no gate."""
    return mixed(gate(layer, x), outputs) if len(outputs) > 1 else outputs[0]


def progressive(module, h, own, shared, levels):
    """PLE by hand, with own[t] experts of task t: units' vectors level by level; on the last level
    no shared unit.
    """
    tasks = len(own)
    vectors, gates, experts = [h.numpy()] * (tasks + 1), iter(module.gates), iter(module.experts)
    for number in range(levels):
        outputs = [[affine(next(experts), vectors[t]) for _ in range(own[t])] for t in range(tasks)]
        common = [affine(next(experts), vectors[tasks]) for _ in range(shared)]
        made = [weighed(next(gates), vectors[t], outputs[t] + common) for t in range(tasks)]
        if shared and number + 1 < levels:
            made.append(
                mixed(gate(next(gates), vectors[tasks]), [*chain.from_iterable(outputs), *common])
            )
        vectors = made
    assert next(gates, None) is None and next(experts, None) is None
    return vectors


def test_cgc_and_ple_level_by_level():
    h = inputs()
    cgc, ple = (
        make("cgc", task_experts=2, shared_experts=1),
        make("ple", levels=3, task_experts=2, shared_experts=2),
    )
    assert_equal(cgc.share(h), progressive(cgc, h, (2, 2), 1, 1))
    assert_equal(ple.share(h), progressive(ple, h, (2, 2), 2, 3))


@pytest.mark.parametrize(("kind", "levels"), [("cgc", 1), ("ple", 3)])
@pytest.mark.parametrize(("own", "shared"), [((1, 3, 2), 2), ((2, 1), 0), ((1, 4), 1)])
def test_tasks_with_other_numbers_of_experts_each(kind, levels, own, shared):
    """m_1..m_T of eq. 1 to 3, as a list and by the tasks' names in another order."""
    h, deep = inputs(), {} if kind == "cgc" else {"levels": levels}
    names = {f"task{t}": own[t] for t in reversed(range(len(own)))}
    listed, named = (
        make(kind, len(own), task_experts=given, shared_experts=shared, **deep)
        for given in (list(own), names)
    )
    expected = progressive(listed, h, own, shared, levels)
    assert_equal(listed.share(h), expected)
    assert_equal(named.share(h), expected)


@pytest.mark.parametrize(
    ("own", "shared"),
    [
        ((1, 1), 0),
        ((3, 3), 0),
        ((2, 2), 1),
        ((1, 1), 2),
        ((1, 3, 2), 0),
        ((1, 3, 2), 1),
        ((2, 1), 2),
        ((4, 1, 1), 3),
    ],
)
def test_adatt_equation_7_by_its_two_sums(own, shared):
    """The padded product of eq. 11 against AllExpertGF + NativeExpertLF of eq. 7 to 9, sum by sum,
    with m_1..m_T experts.
    """
    tasks = len(own)
    given = own[0] if len(set(own)) == 1 else own
    module, h = make("adatt", tasks, task_experts=given, shared_experts=shared), inputs()
    vectors, experts, unit = [h.numpy()] * (tasks + 1), iter(module.experts), 0
    for number in range(2):
        sizes = [*own, shared]
        by_unit = [
            [affine(next(experts), vectors[u]) for _ in range(sizes[u])] for u in range(tasks + 1)
        ]
        everyone, made = list(chain.from_iterable(by_unit)), []
        for u in range(tasks + (shared > 0 and number == 0)):
            everyone_fused = mixed(gate(module.gates[unit], vectors[u]), everyone)
            v = numbers(module.native[str(unit)]) if sizes[u] > 1 else np.ones(1)
            made.append(everyone_fused + mixed(v, by_unit[u]))
            unit += 1
        vectors = made + [vectors[-1]] * (tasks + 1 - len(made))
    assert unit == len(module.fusions)
    assert_equal(module.share(h), vectors[:tasks])


def test_cross_stitch():
    module, h = make("cross_stitch", 3), inputs()
    vectors = [h.numpy()] * 3
    for number in range(2):
        stitched = np.stack(
            [affine(expert, vectors[t]) for t, expert in enumerate(level(module, number))]
        )
        vectors = list(np.einsum("st,tbd->sbd", numbers(module.stitches[number]), stitched))
    assert_equal(module.share(h), vectors)
    start = numbers(module.stitches[0])
    np.testing.assert_allclose(np.diag(start), 0.9, atol=1e-7)
    np.testing.assert_allclose(start.sum(1), 1.0, atol=1e-7)
    assert numbers(make("cross_stitch", 1).stitches[0]) == [[1.0]]


def clamped(log_alpha, u=None):
    """The hard concrete mask (Louizos et al. 2018, eq. 10 to 13)."""
    s = 1 / (
        1 + np.exp(-(log_alpha if u is None else (np.log(u) - np.log(1 - u) + log_alpha) / (2 / 3)))
    )
    return np.clip(s * 1.2 - 0.1, 0, 1)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("kind", ["snr_trans", "snr_aver"])
def test_snr(kind, training):
    module, h = make(kind, 2, 3, widths=(HEIGHT, 4)).train(training), inputs()
    noise = torch.Generator().manual_seed(7)
    vectors = [h.numpy()] * 3
    with torch.no_grad():
        for mask in module.connections:
            mask.log_alpha.normal_(generator=torch.Generator().manual_seed(1))
    for number in range(2):
        out = [affine(expert, x) for expert, x in zip(level(module, number), vectors, strict=True)]
        mask = module.connections[number]
        u = torch.rand(mask.log_alpha.shape, generator=noise).double().numpy() if training else None
        z = clamped(numbers(mask.log_alpha), u)
        if kind == "snr_aver":
            vectors = [sum(z[i, j] * out[j] for j in range(3)) for i in range(len(z))]
        else:
            w = numbers(module.transforms[number])
            vectors = [
                sum(z[i, j] * out[j] @ w[i, :, j, :].T for j in range(3)) for i in range(len(z))
            ]
    assert_equal(module.share(h), vectors)
    on = [
        1 / (1 + np.exp(-(numbers(m.log_alpha) - 2 / 3 * np.log(0.1 / 1.1))))
        for m in module.connections
    ]
    hand = sum(p.sum() - p.max(1).sum() for p in on)
    assert module.auxiliary_loss([], torch.zeros(0)).item() == pytest.approx(
        module.l0 * hand, rel=1e-12
    )


@pytest.mark.parametrize("kind", ["snr_trans", "snr_aver"])
def test_snr_settles_before_an_epoch_is_judged_and_tells_what_is_off(kind):
    module = make(kind, 2, 3, l0=0.01, settle_steps=90)
    settle, train = module.stages()
    assert (settle.steps, settle.judged, train.judged) == (90, False, True)
    assert [len(make(kind, **off).stages()) for off in ({"l0": 0.0}, {"settle_steps": 0})] == [1, 1]
    assert [(g.lr, g.weight_decay) for g in module.parameter_groups()] == [(1e-2, 0.0)]
    first, second = module.connections  # of 3 units that read 3, of 2 that read 3
    with torch.no_grad():
        first.log_alpha.copy_(torch.tensor([[3.0, -3, -3], [3, 3, -3], [-3, -3, -3]]))
        second.log_alpha.fill_(3.0)
    told = module.eval().record()
    assert told["connections_on"] == pytest.approx([3 / 9, 1.0])
    assert told["cross_off"] == pytest.approx([5 / 6, 0.0]), (
        "beyond one of each unit, 1 of 6 is on; a unit that reads nothing has none"
    )


@pytest.mark.parametrize("order", [None, ["task2", "task0", "task1"]])
def test_aitm_passes_on_the_attended_vector(order):
    module, h = make("aitm", 3, order=order, calibration=0.6), inputs()
    q = outputs_of(module, h)
    funnel = [2, 0, 1] if order else [0, 1, 2]
    h1, h2, h3 = (numbers(head.weight) for head in module.heads)
    z = {funnel[0]: q[funnel[0]]}
    for before, now, passed in zip(funnel, funnel[1:], module.passes, strict=False):
        both = [affine(passed, z[before]), q[now]]
        scores = np.stack([((u @ h2.T) * (u @ h3.T)).sum(1) for u in both], axis=1) / np.sqrt(
            HEIGHT
        )
        z[now] = mixed(softmax(scores), [u @ h1.T for u in both])
    assert_equal(module.share(h), [z[t] for t in range(3)])
    logits = [torch.linspace(-2, 2, 16, dtype=torch.float64) * (t - 0.7) for t in range(3)]
    y = [1 / (1 + np.exp(-numbers(logit))) for logit in logits]
    hand = 0.6 * sum(np.maximum(y[b] - y[a], 0).mean() for a, b in pairwise(funnel))
    assert module.auxiliary_loss(logits, torch.zeros(16, 3)).item() == pytest.approx(
        hand, rel=1e-12
    )


@pytest.mark.parametrize("training", [True, False])
def test_aitm_may_pass_on_by_a_dense_layer_as_its_authors_do(training):
    """Linear, BatchNorm (of the batch, or running), ReLU, by numpy; dropout is told apart below."""
    module, h = make("aitm", 2, transfer="dense"), inputs()
    q, dense = outputs_of(module, h), module.passes[0]
    with torch.no_grad():
        dense.norm.running_mean.normal_(generator=torch.Generator().manual_seed(1))
        dense.norm.weight.uniform_(0.5, 2, generator=torch.Generator().manual_seed(2))
        dense.norm.bias.normal_(generator=torch.Generator().manual_seed(3))
    linear = affine(dense.linear, q[0])
    mean, var = (
        (linear.mean(0), linear.var(0))
        if training
        else (numbers(dense.norm.running_mean), numbers(dense.norm.running_var))
    )
    passed = np.maximum(
        (linear - mean) / np.sqrt(var + dense.norm.eps) * numbers(dense.norm.weight)
        + numbers(dense.norm.bias),
        0,
    )
    h1, h2, h3 = (numbers(head.weight) for head in module.heads)
    both = [passed, q[1]]
    scores = np.stack([((u @ h2.T) * (u @ h3.T)).sum(1) for u in both], axis=1) / np.sqrt(HEIGHT)
    assert_equal(
        module.train(training).share(h), [q[0], mixed(softmax(scores), [u @ h1.T for u in both])]
    )
    rate = make("aitm", 2, transfer="dense", transfer_dropout=0.5).train().passes[0]
    assert ((rate(torch.tensor(q[0])) == 0).double().mean() > 0.6) and rate.dropout.rate == 0.5


def test_aitm_reads_along_the_funnel_only():
    module = make("aitm", 3, order=["task2", "task0", "task1"])
    assert [{slot.owner for slot in module.reads(t)} for t in range(3)] == [{2, 0}, {2, 0, 1}, {2}]


def kept(logits, k):
    """softmax(KeepTopK(logits)), row by row."""
    weights = np.zeros_like(logits)
    for row, result in zip(np.atleast_2d(logits), np.atleast_2d(weights), strict=True):
        best = sorted(range(len(row)), key=lambda i: -row[i])[:k]
        result[best] = softmax(row[best])
    return weights


@pytest.mark.parametrize("k", [1, 2, 5])
def test_top_k(k):
    h = inputs()
    example, static = make("top_k", k=k), make("top_k", k=k, per_example=False)
    outputs = outputs_of(example, h)
    assert_equal(
        example.share(h),
        [mixed(kept(affine(gate, h.numpy()), k), outputs) for gate in example.gates],
    )
    outputs = outputs_of(static, h)
    assert_equal(static.share(h), [mixed(kept(row, k), outputs) for row in numbers(static.scores)])
    static.eval().share(h)
    assert all((weights > 0).sum() == k for weights in static.gate_weights().values())


def test_gumbel_in_training_and_in_evaluation():
    module, h = make("gumbel", 3, 4).train(), inputs()
    with torch.no_grad():
        module.switches.copy_(
            torch.tensor([[1.0, -1, 0.5, 2], [-30, -30, -30, -30], [40, 40, 40, 40]])
        )
    module.advance(0.5)
    assert module.temperature == pytest.approx(np.sqrt(0.1))
    u = torch.rand(3, 4, generator=torch.Generator().manual_seed(7)).double().numpy()
    drawn = numbers(module.switches) + np.log(u) - np.log(1 - u) > 0
    for on, mode in ((drawn, True), (numbers(module.switches) > 0, False)):
        shares = softmax(numbers(module.scores))
        weights = np.where(on, shares, 0)
        weights[1] = np.eye(4)[shares[1].argmax()]  # nothing is on: the largest
        weights /= weights.sum(1, keepdims=True)
        assert_equal(
            module.train(mode).share(h), [mixed(row, outputs_of(module, h)) for row in weights]
        )


def test_gumbels_straight_through_gradient_is_that_of_the_soft_draw():
    module, h = make("gumbel", 1, 3).train(), inputs()
    u = torch.rand(1, 3, generator=torch.Generator().manual_seed(7)).double().numpy()[0]
    # of the loss below, a number per expert
    out = np.stack([o.sum() for o in outputs_of(module, h)])
    module.share(h)[0].sum().backward()
    soft = 1 / (1 + np.exp(-(np.log(u) - np.log(1 - u))))
    on, p = (soft > 0.5).astype(float), softmax(numbers(module.scores))[0]
    assert 0 < on.sum() < 3
    f = (on * p * out).sum() / (on * p).sum()
    hand = p * (out - f) / (on * p).sum() * soft * (1 - soft)
    np.testing.assert_allclose(module.switches.grad[0].numpy(), hand, rtol=1e-10)


def test_gumbels_temperature_goes_from_one_to_a_tenth():
    module = make("gumbel")
    temperatures = []
    for progress in (0.0, 0.5, 1.0):
        module.advance(progress)
        temperatures.append(module.temperature)
    np.testing.assert_allclose(temperatures, [1.0, 0.1**0.5, 0.1])
