"""DSelect-k: its parts against closed forms, its schedules, and what a settled gate no longer
computes.
"""

import numpy as np
import pytest
import torch

from automtl.layers.gates import bit_codes, selector_entropy, single_selectors, smooth_step
from automtl.models.cost import flops_per_row
from automtl.models.derived import build_model
from automtl.sharing.base import Stage
from automtl.spaces.architecture import Architecture, Expert, Sharing
from automtl.spaces.catalogue import sharing_settings
from tests.sharing.modules import affine, assert_equal, inputs, make, mixed, outputs_of, softmax
from tests.support import random_batch, small_schema


def cubic(t, gamma):
    """S(t) of section 3.1.3 as printed."""
    inner = -2 / gamma**3 * t**3 + 3 / (2 * gamma) * t + 0.5
    return np.where(t <= -gamma / 2, 0.0, np.where(t >= gamma / 2, 1.0, inner))


def chosen(z, gamma, size):
    """r(S(z)) of eq. 4 for one selector z (m,), by Python's own integers."""
    s = cubic(z, gamma)
    return np.array(
        [np.prod([s[b] if i >> b & 1 else 1 - s[b] for b in range(len(z))]) for i in range(size)]
    )


def by_hand(z, w, gamma, size):
    """Gate weights of one task, eq. 6: z (k, m), w (k,)."""
    return sum(share * chosen(row, gamma, size) for share, row in zip(softmax(w), z, strict=True))


@pytest.mark.parametrize("gamma", [0.3, 1.0, 4.0])
def test_smooth_step(gamma):
    t = torch.linspace(-3, 3, 301, dtype=torch.float64, requires_grad=True)
    s = smooth_step(t, torch.tensor(gamma, dtype=torch.float64))
    np.testing.assert_allclose(s.detach().numpy(), cubic(t.detach().numpy(), gamma), atol=1e-14)
    s.sum().backward()
    inside = t.detach().abs() < gamma / 2
    slope = torch.where(inside, -6 / gamma**3 * t.detach() ** 2 + 1.5 / gamma, 0.0)
    torch.testing.assert_close(t.grad, slope, atol=1e-12, rtol=1e-12)
    ends = smooth_step(torch.tensor([-gamma / 2, gamma / 2]), torch.tensor(gamma))
    assert ends.tolist() == [0.0, 1.0]
    assert smooth_step(torch.tensor([-1e-9, 1e-9]), torch.tensor(0.0)).tolist() == [0.0, 1.0], (
        "a step where gamma is 0"
    )


def test_four_experts_as_equation_3_prints_them():
    s = torch.tensor([0.3, 0.8], dtype=torch.float64)
    expected = [0.7 * 0.2, 0.3 * 0.2, 0.7 * 0.8, 0.3 * 0.8]
    np.testing.assert_allclose(single_selectors(s, bit_codes(4)).numpy(), expected, atol=1e-15)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 8, 9, 33])
def test_codes_are_the_bits_of_the_numbers(size):
    codes = bit_codes(size)
    assert codes.shape == (size, (size - 1).bit_length())
    assert [sum(int(bit) << b for b, bit in enumerate(row)) for row in codes.tolist()] == list(
        range(size)
    )


def test_entropy_and_its_gradient_are_finite_where_a_selector_has_settled():
    r = torch.tensor(
        [[1.0, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]], dtype=torch.float64, requires_grad=True
    )
    np.testing.assert_allclose(selector_entropy(r).detach().numpy(), [0, np.log(4)], atol=1e-12)
    selector_entropy(r).sum().backward()
    assert torch.isfinite(r.grad).all()


@pytest.mark.parametrize("size", [4, 5, 8])
def test_static_gate_and_its_regulariser_by_hand(size):
    module, h = make("dselect_k", 3, size, k=2, entropy=0.1).train(), inputs()
    with torch.no_grad():
        module.z.uniform_(-0.6, 0.6, generator=torch.Generator().manual_seed(1))
    z, w = module.z.detach().numpy(), module.w.detach().numpy()
    weights = [by_hand(z[t], w[t], 1.0, size) for t in range(3)]
    assert_equal(module.share(h), [mixed(row, outputs_of(module, h)) for row in weights])
    hand = 0.0
    for t in range(3):
        for j in range(2):
            r = chosen(z[t, j], 1.0, size)
            hand += 0.1 * -(r * np.log(np.maximum(r, 1e-6))).sum()
            hand += 1 / (1e-6 + r.sum()) if size == 5 else 0
    assert module.auxiliary_loss([], torch.zeros(0)).item() == pytest.approx(hand, rel=1e-10)
    assert all((row.sum() < 1 - 1e-9) == (size == 5) for row in weights), "not renormalised"


@pytest.mark.parametrize("size", [4, 6])
def test_per_example_gate_and_its_regulariser_by_hand(size):
    module, h = make("dselect_k", 2, size, k=2, per_example=True, entropy=0.1).train(), inputs()
    with torch.no_grad():
        module.z.weight.mul_(20)
    bits = (size - 1).bit_length()
    z = affine(module.z, h.numpy()).reshape(16, 2, 2, bits)
    w = affine(module.w, h.numpy()).reshape(16, 2, 2)
    outputs = outputs_of(module, h)
    weights = [
        np.stack([by_hand(z[b, t], w[b, t], 1.0, size) for b in range(16)]) for t in range(2)
    ]
    assert_equal(module.share(h), [mixed(rows, outputs) for rows in weights])
    r = np.stack([chosen(row, 1.0, size) for row in z.reshape(-1, bits)])
    hand = 0.1 * -(r * np.log(np.maximum(r, 1e-6))).sum() / 16
    hand += (1 / (1e-6 + r.sum(1))).sum() / 16 if size == 6 else 0
    assert module.auxiliary_loss([], torch.zeros(0)).item() == pytest.approx(hand, rel=1e-10)


@pytest.mark.parametrize("per_example", [False, True])
def test_it_starts_where_every_selector_has_a_gradient(per_example):
    module, h = make("dselect_k", 2, 8, per_example=per_example, gamma=2.0), inputs()
    z = [module.z] if not per_example else [module.z.weight, module.z.bias]
    assert all(0 < p.abs().max() <= 2.0 / 100 for p in z)
    assert (module.w if not per_example else module.w.weight).abs().max() <= 0.05
    module.share(h)[0].sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in z)


def test_gates_have_a_rate_of_their_own_and_decay_is_kept_off_z():
    for per_example, selectors, scores in (
        (False, {"z"}, {"w"}),
        (True, {"z.weight", "z.bias"}, {"w.weight", "w.bias"}),
    ):
        module = make("dselect_k", per_example=per_example)
        held = [
            {name for name, p in module.named_parameters() if any(p is q for q in g.parameters)}
            for g in module.parameter_groups()
        ]
        assert held == [selectors, scores]
        assert [(g.lr, g.weight_decay) for g in module.parameter_groups()] == [
            (1e-2, 0.0),
            (1e-2, None),
        ]
    assert sharing_settings("dselect_k", {})["entropy"] == 1e-2
    assert not [
        p for g in make("dselect_k", num_experts=1).parameter_groups() for p in g.parameters
    ]


def test_a_search_knows_no_phases_and_keeps_gamma():
    module = make("dselect_k", 2, 8, gamma=2.0).train()
    for progress in (0.0, 0.9, 1.0):
        module.advance(progress)
    assert float(module.gamma) == 2.0


def test_a_gate_of_one_expert_has_nothing_to_select():
    assert make("dselect_k", num_experts=1).stages() == (Stage("train"),)


def test_gamma_narrows_over_the_last_third_of_the_phase_and_ends_binary():
    module, widths = make("dselect_k", 2, 8, gamma=2.0).train(), []
    module.begin("select")
    for step in range(91):
        module.advance(step / 90)
        widths.append(float(module.gamma))
        module.share(inputs())
    assert widths[:61] == [2.0] * 61
    np.testing.assert_allclose(widths[61:], 2.0 * np.arange(29, -1, -1) / 30, atol=1e-12)
    assert module.record()["binary_step"] == 91, "only the last step has gamma below z's start"
    module.eval().share(inputs())
    assert all(len(experts) <= 2 for experts in module.record()["experts"].values())


def settled(picks, size=8, **settings):
    """A static gate whose tasks have selected the experts `picks` for good."""
    module = make("dselect_k", len(picks), size, **settings)
    bits = (size - 1).bit_length()
    with torch.no_grad():
        for t, experts in enumerate(picks):
            for j, expert in enumerate(experts):
                module.z[t, j] = torch.tensor(
                    [0.7 if expert >> b & 1 else -0.7 for b in range(bits)]
                )
    return module


def calls_of(module, h):
    """Places of the experts that a forward pass computes."""
    calls = []
    hooks = [
        expert.register_forward_hook(lambda *_, i=i: calls.append(i))
        for i, expert in enumerate(module.experts)
    ]
    module.share(h)
    for hook in hooks:
        hook.remove()
    return sorted(calls)


def test_a_settled_gate_computes_its_experts_only_and_the_same_numbers():
    module, h = settled([(1, 6), (6, 6)]), inputs()
    assert calls_of(module, h) == list(range(8)), "nothing has looked yet"
    before = [v.detach().numpy() for v in module.share(h)]
    for mode in (False, True):
        assert calls_of(module.train(mode), h) == [1, 6]
        assert_equal(module.share(h), before)
    module.eval().share(h)
    record = module.record()
    assert record["experts"] == {"task0": [1, 6], "task1": [6]} and record["experts_per_row"] == {
        "task0": 2.0,
        "task1": 1.0,
    }


def test_a_gate_that_settles_in_training_stops_computing_in_training():
    module, h = settled([(1, 6)]).train(), inputs()
    with torch.no_grad():
        module.z[0, 0, 0] = 0.3
    module.train()
    assert module.selected is None
    with torch.no_grad():
        module.z[0, 0, 0] = 0.7
    for step in range(100):
        module.advance(step / 1000)
        module.share(h)
    assert calls_of(module, h) == [1, 6] and module.record()["binary_step"] == 1
    with torch.no_grad():
        module.z[0, 0, 0] = 0.3  # as momentum might
    module.advance(0.1)
    assert calls_of(module, h) == list(range(8))
    assert module.record()["binary_step"] is None


def test_a_settled_gate_gets_no_gradient_and_a_finite_loss():
    module, h = settled([(1, 6), (2, 3)], size=7).train(), inputs()
    vectors = module.share(h)
    (sum(v.sum() for v in vectors) + module.auxiliary_loss([], torch.zeros(0))).backward()
    assert not module.z.grad.any() and torch.isfinite(module.w.grad).all() and module.w.grad.any()
    computed = [i for i, expert in enumerate(module.experts) if expert.weight.grad is not None]
    assert computed == [1, 2, 3, 6]


def test_a_selector_outside_the_reachable_codes_weighs_nothing():
    """Code 7 of seven experts names none: its share of the weight is lost, and its term of the loss
    is huge.
    """
    module, h = settled([(7, 2)], size=7).train(), inputs()
    vector = module.share(h)[0]
    share = softmax(module.w.detach().numpy()[0])[1]
    assert_equal([vector], [share * outputs_of(module, h)[2]])
    assert module.auxiliary_loss([], torch.zeros(0)).item() == pytest.approx(1e6 + 1, rel=1e-5)
    alone = settled([(7, 7)], size=7).eval()
    assert_equal(alone.share(h), [np.zeros((16, 5))])


@pytest.mark.parametrize("size", [2, 5, 7, 8])
@pytest.mark.parametrize("k", [1, 2])
def test_at_the_end_of_selecting_each_static_selector_takes_its_most_probable_expert(size, k):
    module, h = make("dselect_k", 3, size, k=k).train(), inputs()
    module.begin("select")
    with torch.no_grad():
        module.z.uniform_(-0.6, 0.6, generator=torch.Generator().manual_seed(size))
    z, w = module.z.detach().numpy(), module.w.detach().numpy() if k > 1 else np.zeros((3, 1))
    picks = [[int(chosen(row, 1.0, size).argmax()) for row in task] for task in z]
    for step in range(4):
        module.advance(step / 4)
        module.share(h)
    module.begin("train")
    assert int(module.binary_step) == 4 and module.selected == [
        tuple(sorted(set(p))) for p in picks
    ]
    outputs = outputs_of(module, h)
    weights = [np.bincount(p, softmax(row), size) for p, row in zip(picks, w, strict=True)]
    assert_equal(module.share(h), [mixed(row, outputs) for row in weights])
    optimizer = torch.optim.Adam(
        [{"params": list(g.parameters)} for g in module.parameter_groups()], lr=0.5
    )
    for _ in range(10):
        optimizer.zero_grad()
        module.advance(0.99)
        (
            sum(v.square().sum() for v in module.share(h))
            + module.auxiliary_loss([], torch.zeros(0))
        ).backward()
        optimizer.step()
    assert module.selected == [tuple(sorted(set(p))) for p in picks], "chosen for good"
    module.eval().share(h)
    record = module.record()
    assert record["experts"] == {f"task{t}": sorted(set(p)) for t, p in enumerate(picks)}
    assert record["experts_per_row"] == {
        f"task{t}": float(len(set(p))) for t, p in enumerate(picks)
    }


@pytest.mark.parametrize("size", [4, 6])
def test_at_the_end_of_selecting_per_example_s_is_a_step(size):
    module, h = make("dselect_k", 2, size, per_example=True).train(), inputs()
    module.begin("select")
    module.advance(0.5)
    module.share(h)
    module.begin("train")
    bits = (size - 1).bit_length()
    z = affine(module.z, h.numpy()).reshape(16, 2, 2, bits) > 0
    shares, outputs = softmax(affine(module.w, h.numpy()).reshape(16, 2, 2)), outputs_of(module, h)
    numbers = (z * 2 ** np.arange(bits)).sum(-1)  # (B, T, k)
    weights = [
        np.stack([np.bincount(numbers[b, t], shares[b, t], 2**bits)[:size] for b in range(16)])
        for t in range(2)
    ]
    assert_equal(module.share(h), [mixed(rows, outputs) for rows in weights])
    assert (
        all(count <= 2 for count in module.record()["experts_per_row"].values())
        and module.record()["binary_step"] == 1
    )


@pytest.mark.parametrize("cut", [17, 28, 33])
def test_an_interrupted_training_goes_on_to_the_same_bits(cut):
    h = inputs()

    def train(module, optimizer, steps):
        for step in steps:
            if step in (0, 30):
                module.begin("select" if step == 0 else "train")
            module.advance(step / 30 if step < 30 else 0.0)
            (
                sum(v.square().mean() for v in module.share(h))
                + module.auxiliary_loss([], torch.zeros(0))
            ).backward()
            optimizer.step()
            optimizer.zero_grad()

    whole, first, second = (make("dselect_k", 2, 6, seed=s).train() for s in (0, 0, 5))
    optimizers = [torch.optim.Adam(m.parameters(), lr=0.05) for m in (whole, first, second)]
    train(whole, optimizers[0], range(40))
    train(first, optimizers[1], range(cut))
    second.load_state_dict(first.state_dict())
    optimizers[2].load_state_dict(optimizers[1].state_dict())
    train(second, optimizers[2], range(cut, 40))
    state, resumed = whole.state_dict(), second.state_dict()
    assert state.keys() == resumed.keys() and all(
        torch.equal(state[key], resumed[key]) for key in state
    )
    assert (
        int(state["steps"]) == 40
        and bool(state["gamma"] > 0)
        and (state["_extra_state"].sum(1) <= 2).all()
    )


def test_flops_and_parameters_of_a_settled_model():
    schema = small_schema()
    experts = tuple(Expert(blocks=("dense(8)",)) for _ in range(8))
    template = Architecture(
        embedding_dim=4, projection=8, towers=(), experts=experts, sharing=Sharing(kind="dselect_k")
    )
    net = build_model(template, schema)
    full = flops_per_row(net, schema)
    with torch.no_grad():
        net.sharing.z.fill_(0.7)  # both tasks select the last expert, twice
    assert flops_per_row(net, schema) == full - 7 * 2 * 8 * 8
    net.train()
    assert all(torch.isfinite(out).all() for out in net(random_batch(schema).inputs))
