"""Kinds that must be one another in special cases (issue E, must hold 2 and 3)."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from automtl.sharing import SHARING_MODULES
from tests.sharing.modules import assert_equal, inputs, make


def same(first, second, h=None):
    """Copy the weights of the first into the second and compare what they compute, and the
    gradients.
    """
    h = inputs() if h is None else h
    second.load_state_dict(first.state_dict())
    results = []
    for module in (first, second):
        module.zero_grad()
        vectors = module.share(h)
        sum(v.square().sum() * (t + 1) for t, v in enumerate(vectors)).backward()
        results.append([*vectors, *(p.grad for p in module.parameters())])
    for a, b in zip(*results, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("num_tasks", [1, 2, 3])
def test_ple_with_one_level_is_cgc(num_tasks):
    units = {"task_experts": 2, "shared_experts": 3}
    same(make("cgc", num_tasks, **units), make("ple", num_tasks, seed=5, levels=1, **units))


@pytest.mark.parametrize("num_tasks", [1, 2, 3])
def test_ml_mmoe_with_one_level_is_mmoe(num_tasks):
    same(make("mmoe", num_tasks), make("ml_mmoe", num_tasks, seed=5, levels=1))


@pytest.mark.parametrize("kind", ["mmoe", "moe", "top_k", "gumbel", "dselect_k", "selected"])
def test_a_gate_over_one_expert_is_shared_bottom(kind):
    h, shared, gated = inputs(), make("shared_bottom", 3), make(kind, 3, 1, seed=5)
    assert [n for n, _ in gated.named_parameters()] == [n for n, _ in shared.named_parameters()], (
        "a gate is built that weighs nothing"
    )
    gated.experts.load_state_dict(shared.experts.state_dict())
    assert all(
        torch.equal(a, b) for a, b in zip(shared.share(h), gated.train().share(h), strict=True)
    )


def all_on(module):
    with torch.no_grad():
        for mask in module.connections:
            mask.log_alpha.fill_(1000.0)
    return module


def test_snr_with_all_on_is_the_dense_connection():
    module, h = all_on(make("snr_trans", 2, 3, levels=1)), inputs()
    joined = torch.cat([expert(h) for expert in module.experts], dim=1)  # (B, n * D)
    dense = torch.nn.Linear(15, 10, bias=False).double()
    with torch.no_grad():
        dense.weight.copy_(module.transforms[0].reshape(10, 15))
    for mode in (True, False):
        assert_equal(
            module.train(mode).share(h), [v.detach().numpy() for v in dense(joined).chunk(2, dim=1)]
        )
    assert module.transforms[0].abs().max() <= 15**-0.5, (
        "started as a dense connection from all inputs"
    )


def test_snr_aver_with_all_on_adds_up():
    module, h = all_on(make("snr_aver", 2, 3, levels=1)), inputs()
    total = sum(expert(h) for expert in module.experts).detach().numpy()
    assert_equal(module.share(h), [total, total])


def test_cross_stitch_with_the_identity_is_single_towers():
    module, h = make("cross_stitch", 3), inputs()
    with torch.no_grad():
        for stitch in module.stitches:
            stitch.copy_(torch.eye(3))
    alone = []
    for t in range(3):
        first, second = (
            expert
            for slot, expert in zip(module.slots, module.experts, strict=True)
            if slot.owner == t
        )
        alone.append(second(first(h)).detach().numpy())
    assert_equal(module.share(h), alone)


def test_adatt_sp_is_the_general_form_without_its_shared_unit():
    """The general form's output with the shared unit's experts at zero weight, against AdaTT-sp
    with the same parameters.
    """
    h = inputs()
    sp, general = (
        make("adatt", task_experts=2),
        make("adatt", seed=5, task_experts=2, shared_experts=1, gate_bias=True),
    )
    own = [i for i, slot in enumerate(general.slots) if slot.owner != "shared"]
    with torch.no_grad():
        for mine, place in zip(sp.experts, own, strict=True):
            general.experts[place].load_state_dict(mine.state_dict())
        units = [i for i, fusion in enumerate(general.fusions) if fusion.owner != "shared"]
        for i, place in enumerate(units):
            # the shared expert is last
            general.gates[place].linear.bias.copy_(torch.tensor([0.0, 0, 0, 0, -1e9]))
            general.gates[place].linear.weight[:4].copy_(sp.gates[i].linear.weight)
            general.native[str(place)].copy_(sp.native[str(i)])
    assert_equal(general.share(h), [v.detach().numpy() for v in sp.share(h)])
    assert not [slot for slot in sp.slots if slot.owner == "shared"]


def test_adatts_padded_matrix_product_is_equation_11():
    """One product per unit, weights (B, 1, n) times experts (B, n, D), with pad(v) written out."""
    module, h = make("adatt", 2, levels=1, task_experts=3), inputs()
    experts = torch.stack([expert(h) for expert in module.experts], dim=1)
    for t, vector in enumerate(module.share(h)):
        padded = functional.pad(module.native[str(t)], (0, 3) if t == 0 else (3, 0))
        weights = padded + module.gates[t](h)
        assert_equal(
            [vector], [torch.bmm(weights.unsqueeze(1), experts).squeeze(1).detach().numpy()]
        )
    module.eval().share(h)
    np.testing.assert_allclose(
        module.gate_weights()["task1"].detach().numpy(),
        weights.detach().mean(0).numpy(),
        atol=1e-12,
    )


def test_adatt_without_its_residual_is_the_gate_alone():
    module, h = make("adatt", 2, levels=1, task_experts=2, native_residual=False), inputs()
    mmoe = make("mmoe", 2, 4, seed=5)
    mmoe.load_state_dict(module.state_dict())
    assert_equal(module.share(h), [v.detach().numpy() for v in mmoe.share(h)])


@pytest.mark.parametrize(
    ("own", "shared", "learnt"), [(1, 0, 0), (1, 1, 0), (1, 3, 1), (2, 1, 4), (2, 2, 5)]
)
def test_adatt_learns_v_only_where_a_unit_has_several_experts(own, shared, learnt):
    """Two tasks on two levels, the shared unit on the first one only: decided per unit."""
    module = make("adatt", task_experts=own, shared_experts=shared)
    assert len(module.native) == learnt
    for v in module.native.values():
        assert v.abs().max() <= len(v) ** -0.5
    assert all(
        (v == 1).all()
        for v in make(
            "adatt", task_experts=own, shared_experts=shared, native_init="ones"
        ).native.values()
    )


def test_adatt_with_a_single_expert_of_a_single_task_doubles_it():
    """Eq. 7 by the letter: G = 1 and v = 1."""
    module, h = make("adatt", 1, levels=1), inputs()
    assert_equal(module.share(h), [2 * module.experts[0](h).detach().numpy()])


def test_every_kind_with_several_units_leaves_the_last_shared_one_out():
    for kind in ("cgc", "ple", "adatt"):
        module = make(kind, shared_experts=2)
        top = module.fusions[-1].level
        assert not [f for f in module.fusions if f.level == top and f.owner == "shared"]
        assert any(slot.owner == "shared" and slot.level == top for slot in module.slots), (
            "its experts are read by the tasks"
        )
    assert set(SHARING_MODULES) >= {"cgc", "ple", "adatt"}
